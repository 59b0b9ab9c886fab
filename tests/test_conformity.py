"""Competence and conformity: two accuracies by hand, every student once, and a map that names works that exist."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from tests.planted import DrawnLab
from w2s_lib.data import load as data
from w2s_lib.figures.conformity import (
    ON_THE_MAP,
    WHERE_WORKS_ACT,
    WORKS,
    drawn,
    field_map,
    on_the_map,
    student_table,
    turns_against_mixed,
    what_moves,
)
from w2s_lib.findings import conformity, search, society
from w2s_lib.findings.claims import CLAIMS, ledger
from w2s_lib.findings.objectives import rival_sides
from w2s_lib.findings.results import TRAINING, UNMODIFIED, Cell, pick
from w2s_lib.findings.statistics import MATCHED
from w2s_lib.specs import Recipe, stream
from w2s_lib.study import Study
from w2s_lib.study.conditions import TURNS
from w2s_lib.study.edition import load
from w2s_lib.study.mitigations import FENCES, MITIGATIONS, title
from w2s_lib.study.mitigations import USUAL as TRIED
from w2s_lib.training.losses import hardened

ROOT = Path(__file__).resolve().parent.parent
USUAL = {"method": "reward_model", "rival": "helpfulness"}
CELL = (7, "tiny-24", "tiny-44")


@pytest.fixture(scope="module")
def found():
    """The smoke edition on drawn scores: the study, and its results rows."""
    study = replace(
        Study(load("smoke", {"mitigations": ["filter", "confidence_loss"]})).on(DrawnLab()), resampled=False
    )
    n = study.edition.test_pairs
    of = lambda *about: np.random.default_rng(stream(*about)).uniform(size=n)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(search, "base_margins", lambda study, seed, strong, on="test": margins(study, seed, on))
        patch.setattr(
            society, "after", lambda study, run: {k: (of(run.key, k), of(run.key, k, "s")) for k in (0, run.rounds)}
        )
        yield study, conformity.competence_and_conformity(study)[1]


def margins(study, seed, on):
    """What a strong model that nobody has trained thinks of pairs, drawn."""
    return np.random.default_rng(seed).normal(size=len(study.lab.pairs(study.pairs(seed), on)))


def test_what_is_helpful_and_what_is_harmless_by_hand():
    stands = np.array(["agrees", "agrees", "clashes", "clashes", "silent", "silent"])
    p = np.array([0.9, 0.2, 0.9, 0.2, 0.9, 0.2])
    assert conformity.prefers_helpful(p, stands).tolist() == [True, False, False, True, False, False]


def test_two_aims_are_two_accuracies():
    """Any student's two aims lead back to what it does where they agree and where they clash."""
    rng = np.random.default_rng(0)
    p, stands = rng.uniform(size=500), rng.choice(["agrees", "clashes"], size=500, p=[0.3, 0.7])
    competence, right = conformity.prefers_helpful(p, stands).mean(), p > 0.5
    told = conformity.by_side(competence, right.mean(), (stands == "clashes").mean())
    assert told == pytest.approx([right[stands == name].mean() for name in ("agrees", "clashes")])


@pytest.mark.slow
def test_rows_say_what_scores_say(found):
    study, results = found
    stands = rival_sides(data.split(study.pairs(7), "test"), "helpfulness")
    c, heard = study.comparison(*CELL, "implicit"), stands != "silent"
    right = c.conflict > 0.5
    helpful = np.where(stands == "agrees", right, ~right)
    row = pick(results, "competence", "implicit", **USUAL)
    assert row["value"] == pytest.approx(helpful[heard].mean()) and row["n_pairs"] == heard.sum() < len(heard)
    assert pick(results, "conformity", "implicit", **USUAL)["value"] == pytest.approx(right[heard].mean())
    assert pick(results, "conformity_ceiling", "none", **USUAL)["value"] == pytest.approx(
        (c.ceiling > 0.5)[heard].mean()
    )
    clash = pick(results, "accuracy", "implicit", subset="clashes", **USUAL)["value"]
    assert clash == pytest.approx(right[stands == "clashes"].mean())
    score = pick(results, "deception_score", "implicit", method="reward_model")["value"]
    assert score == pytest.approx(float(c.deception_score()))
    change = pick(results, "competence", "explicit", mitigation="filter", versus=UNMODIFIED, **USUAL)["value"]
    both = [pick(results, "competence", "explicit", mitigation=name, **USUAL)["value"] for name in ("filter", "")]
    assert change == pytest.approx(both[0] - both[1])


def test_nothing_is_trained_that_the_plan_does_not_name():
    study = Study(load("smoke"))
    needed = {run for one, conditions in conformity.placed(study) for run in one.student_runs(tuple(conditions))}
    assert needed <= set(study.runs()) and len(needed) > 30


def test_every_mitigation_has_its_place_on_the_map():
    """And none of those that an edition does without."""
    where = lambda study: {one.mitigation or "" for one, _ in conformity.placed(study)}
    assert where(Study(load("world"))) == {"", *MITIGATIONS}, "whatever is left out is to be named in the caption"
    assert where(Study(load("smoke", {"chapters": ["05", "29"]}))) == {"", *FENCES}


def test_guided_models_and_societies_stand_beside_students(found):
    study, results = found
    table = drawn(student_table(results))
    assert {"search", "guide", "macpo", "dpo", "simpo"} <= set(table["method"])
    held = set(map(tuple, table[["method", "condition", "mitigation"]].to_numpy()))
    assert {("simpo", "implicit", "filter"), ("simpo", "explicit", "random_half"), ("search", "placebo", "")} <= held
    assert ("simpo", "none", "filter") not in held and ("macpo", "rerun", "") in held
    by = search.by_dpo(study)
    c = search.guided_comparison(by, Cell(*CELL, "explicit"), np.inf)
    stands = rival_sides(data.split(study.pairs(7), "test"), "helpfulness")
    told = pick(results, "conformity", "explicit", method="guide", rival="helpfulness")["value"]
    assert told == pytest.approx((c.conflict > 0.5)[stands != "silent"].mean())
    assert pick(results, "conflict_tax", "explicit", method="guide")["value"] == pytest.approx(float(c.conflict_tax()))
    alt = on_the_map(results, 0.5).alt
    assert all(
        name in alt for name in ("guided, explicit", "guide alone, implicit", "society, rerun", title("random_half"))
    )


def test_aims_in_turn_are_held_against_the_same_pairs_mixed(found):
    study, results = found
    for condition, mixed in TURNS.items():
        told = pick(results, "conflict_tax", condition, versus=mixed, method="reward_model")["value"]
        taxes = [float(study.comparison(*CELL, name).conflict_tax()) for name in (condition, mixed)]
        assert told == pytest.approx(taxes[0] - taxes[1]) != 0
        learned = [study.student(*CELL, name) for name in (condition, mixed)]
        assert learned[0].model_copy(update={"conflict": learned[1].conflict}) == learned[1], "but for the order"
    assert "politeness (placebo), which comes last" in turns_against_mixed(results).alt


@pytest.mark.parametrize("recipe", [{"patience": 2}, {"frozen": True}, {"order": "repeated"}])
def test_nobody_takes_turns_where_they_would_change_more_than_the_order(recipe):
    study = Study(load("smoke", {"mitigations": ["filter"], "reward_model": recipe, "chapters": ["05", "29"]}))
    assert not study.turn_runs() and len(Study(load("smoke")).turn_runs()) > 3
    with pytest.raises(ValueError, match="turns are"):
        study.student(*CELL, "implicit_in_turns")
    results = conformity.competence_and_conformity(replace(study.on(DrawnLab()), resampled=False))[1]
    assert not set(TURNS) & set(results["condition"]) and len(results)


def test_fences_part_by_as_many_pairs_as_labels_and_opinions_differ():
    rng = np.random.default_rng(1)
    p = rng.uniform(size=64)
    same = conformity.hardened_otherwise(p, (p > 0.5).astype(float), 16, np.random.default_rng(0))
    assert not same.any(), "as many labels point up as opinions do"
    order, turned = np.random.default_rng(0).permutation(64), np.zeros(64, dtype=bool)
    turned[order[1::2]] = True
    sure = np.where(turned, 0.0, 1.0)  # labels that all point up once pairs are turned
    differs = conformity.hardened_otherwise(p, sure, 64, np.random.default_rng(0))
    assert differs.tolist() == (np.where(turned, 1 - p, p) <= 0.5).tolist(), "the fence is at the lowest opinion"


def test_what_is_counted_is_what_the_loss_does():
    rng = np.random.default_rng(5)
    p, q = rng.uniform(size=96), rng.uniform(size=96) ** 0.5
    counted = conformity.hardened_otherwise(p, q, 40, np.random.default_rng(0))
    for index in np.split(np.random.default_rng(0).permutation(96), [40, 80]):
        gap, label = (torch.from_numpy(x[index]) for x in (p - 0.5, q))
        half, quantile = (hardened(gap, label, torch.ones(len(index)), fence) for fence in ("half", "quantile"))
        assert counted[index].tolist() == (half != quantile).tolist()
    assert 0 < counted.mean() < 0.5


def test_either_fence_is_held_against_the_other(found):
    study, results = found
    both = [study.under_mitigation(name) for name in FENCES]
    tax = [float(one.comparison(*CELL, "explicit").conflict_tax()) for one in both]
    asked = {"method": "reward_model", "mitigation": FENCES[1]}
    told = pick(results, "conflict_tax", "explicit", versus=FENCES[0], **asked)["value"]
    assert told == pytest.approx(tax[1] - tax[0]) != 0
    none = float(study.comparison(*CELL, "explicit").conflict_tax())
    told = pick(results, "conflict_tax", "explicit", versus=UNMODIFIED, **asked)["value"]
    assert told == pytest.approx(tax[1] - none) != tax[1] - tax[0]
    mine = results[(results["mitigation"] == FENCES[1]) & (results["versus"] == UNMODIFIED)]
    assert set(mine["statistic"]) == {"conflict_tax", "deception_score", MATCHED, "pgr"}
    plain = both[1].comparison(*CELL, "none")
    assert pick(results, "pgr", "none", **asked)["value"] == pytest.approx(float(plain.pgr()))
    churn = float(both[1].comparison(*CELL, "rerun").conflict_tax())
    assert pick(results, "conflict_tax", "explicit", versus="rerun", **asked)["value"] == pytest.approx(tax[1] - churn)
    runs = [one.student(*CELL, "explicit") for one in both]
    assert runs[1].recipe.model_copy(update={"confidence_fence": "half"}) == runs[0].recipe, "but for the fence"
    (claim,) = (claim for claim in CLAIMS.values() if claim.family == "the other fence")
    assert ledger({claim.chapter: results}, [claim])["verdict"].iloc[0] != "untested"


def test_the_other_fence_is_tried_by_name_and_nobody_else_tries_it():
    world, mine = load("world"), load("world", {"mitigations": [FENCES[1]], "reward_model": {"loss": "reverse_kl"}})
    assert FENCES[0] in TRIED and FENCES[1] not in {*TRIED, *Study(world).mitigations()}
    assert [one.mitigation for one in Study(mine).mitigated()] == [FENCES[1]]
    recipe = Study(mine).under_mitigation(FENCES[1]).student(21, "tiny-24", "tiny-56").recipe
    assert Recipe.model_validate(recipe.model_dump()) == recipe, "the confidence loss is a cross-entropy"
    fewer = Study(load("world", {"chapters": ["05", "29"]}))
    assert {run.recipe.confidence_fence for run in fewer.fence_runs() if run.labels} == {"half", "quantile"}
    assert set(fewer.fence_runs()) <= set(fewer.runs())


def test_figures_show_every_student_once(found):
    study, results = found
    table = student_table(results)
    assert not table[["method", "condition", "mitigation"]].duplicated().any()
    assert {"untrained", "gold", "placebo"} <= set(table["condition"]) and {"dpo", "simpo"} <= set(table["method"])
    alt = on_the_map(results, 0.5).alt
    row = table[(table["condition"] == "implicit") & (table["method"] == "reward_model")].iloc[0]
    assert f"implicit {100 * row['competence']:.0f} % and {100 * row['conformity']:.0f} %, DS {row['score']:.2f}" in alt
    assert title("filter") in alt and title("filter") in what_moves(results).alt
    share = pick(
        results, conformity.OTHERWISE, "none", mitigation="confidence_loss", on=TRAINING, method="reward_model"
    )
    assert 0 <= share["value"] < 0.5


def test_the_map_shows_whoever_stands_farthest_out(found):
    """Its axes begin below every student, the weak supervisor and the ceiling, wherever an edition puts them."""
    results = found[1].copy()
    low = results["statistic"].isin(["competence", "conformity_weak"]) & (results["condition"] == "none")
    results.loc[low, "value"] = 0.08
    for rows in (found[1], results):
        axes, table = on_the_map(rows, 0.5).canvas.axes, student_table(rows)
        for i, aim in enumerate(conformity.AIMS):
            everybody = [
                100 * table[aim].min(),
                *(100 * pick(rows, f"{aim}_{who}", "none", **USUAL)["value"] for who in ON_THE_MAP),
            ]
            for ax in (axes[0], axes[2]):
                low, high = (ax.get_xlim, ax.get_ylim)[i]()
                assert low < min(everybody) - 5 and low > min(everybody) - 15 and high > 100


def test_how_often_is_said_by_an_interval():
    said = [conformity.how_often(pd.Series({"low": a, "high": b})) for a, b in ((1, 2), (-2, -1), (-1, 1))]
    assert said == ["more often", "less often", "no more and no less often, as far as can be told"]


def test_the_map_names_works_and_chapters_that_exist():
    known = set(
        re.findall(r"^@\w+\{(\w+),", (ROOT / "book" / "references.bib").read_text(encoding="utf-8"), re.MULTILINE)
    )
    assert {work.key for work in WORKS} <= known and {work.acts for work in WORKS} == set(WHERE_WORKS_ACT)
    for work in WORKS:
        assert not work.chapter or (ROOT / "notebooks" / f"{work.chapter}.ipynb").is_file(), work
    assert "refine, then learn (not run)" in field_map().alt and "search (chapter 23)" in field_map().alt
