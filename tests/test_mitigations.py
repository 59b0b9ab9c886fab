"""Mitigations: their parameters are checked, their labels come from where they should, the chapter finds and shows what
was planted."""

import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import get_args

import nbformat
import numpy as np
import pandas as pd
import pytest

from tests.planted import DrawnLab, per_seed, pooled
from w2s_lib.book.chapter import open_chapter
from w2s_lib.errors import ParameterError
from w2s_lib.figures.mitigations import (
    BOOTSTRAP_PANELS,
    IMPLICIT,
    MITIGATION_PANELS,
    POLICIES,
    bootstrapping,
    by_excess,
    cost,
    every_mitigation,
    in_policies,
    on_fewer_seeds,
    tried,
    tried_on_policies,
    ways,
)
from w2s_lib.findings.claims import FINDINGS
from w2s_lib.findings.mitigations import (
    NEEDS,
    OF_A_MITIGATION,
    OF_OTHERS,
    costs,
    costs_elsewhere,
    of_the_attainable,
    of_the_attainable_in_words,
    over_ways,
    split_remedies,
    two_remedies,
    what_helps,
    why_not,
    with_others,
)
from w2s_lib.findings.results import COLUMNS, NAMES, PER_SEED, UNMODIFIED, pick, read_results, say, usual
from w2s_lib.findings.statistics import MATCHED, SHARE
from w2s_lib.lab import Lab
from w2s_lib.lab.execute import RunError
from w2s_lib.lab.graph import closure
from w2s_lib.specs import Labelling, Train
from w2s_lib.study import Study
from w2s_lib.study.cost import arithmetic, size, work
from w2s_lib.study.edition import load
from w2s_lib.study.methods import TITLES
from w2s_lib.study.mitigations import AGAIN, FENCES, MITIGATIONS, REVERSE, TOKENS, TWO_STAGES, Changes, title
from w2s_lib.training.labels import training_pairs

ROOT = Path(__file__).resolve().parent.parent

HONEST = [name for name, m in MITIGATIONS.items() if m.honest]
ASKING = [name for name in MITIGATIONS if name not in HONEST]

# Parameters


@pytest.mark.parametrize(
    ("parameters", "says"),
    [
        ({"mitigations": ["filtr"]}, "mitigations='filtr': no such mitigation; did you mean 'filter'?"),
        ({"mitigations": "filtr"}, "mitigations='filtr': no such mitigation"),
        ({"mitigations": []}, r"mitigations=\[\]: needs at least 1"),
        ({"mitigations": ["filter", "filter"]}, "mitigations=.*every entry may occur once"),
        (
            {"intermediates": ["tiny-56"]},
            "intermediates=.*'tiny-56' is not between tiny-24 and tiny-44; allowed: tiny-28, tiny-36",
        ),
        ({"intermediates": ["tiny-24"]}, "intermediates=.*'tiny-24' is not between"),
        (
            {"intermediates": ["tiny-28"], "weak_strong_pairs": ["tiny-24 -> tiny-28"]},
            "allowed: none, they are neighbours",
        ),
        ({"intermediates": ["tiny28"]}, "intermediates='tiny28': no such model; did you mean 'tiny-28'?"),
        ({"filter_above": 0.3}, "filter_above=0.3: must be at least 0.5"),
        ({"filter_above": 1.0}, "filter_above=1.0: must be below 1"),
        ({"filter_above": "high"}, "filter_above='high': must be a number"),
    ],
)
def test_bad_parameters_are_one_line_that_names_them(tmp_path, parameters, says):
    with pytest.raises(ParameterError, match=says) as error:
        open_chapter("13_what_helps", {"edition": "smoke", "store": str(tmp_path)} | parameters)
    assert "\n" not in str(error.value)


def test_the_chapter_takes_them(tmp_path):
    parameters = {"mitigations": "bootstrap", "intermediates": "tiny-28", "filter_above": 0.6}
    chapter = open_chapter("13_what_helps", {"edition": "smoke", "store": str(tmp_path)} | parameters)
    assert [(s.mitigation, s.via) for s in chapter.study.mitigated()] == [("bootstrap", "tiny-28")]
    assert chapter.study.under_mitigation("filter").student(7, "tiny-24", "tiny-44").labelling == Labelling(
        keep_above=0.6
    )


def test_what_changes_a_reward_models_recipe_is_not_for_policies():
    for name in ("confidence_loss", "confidence_quantile", "early_stopping"):
        with pytest.raises(ValueError, match="is for reward models, not for dpo"):
            Study(load("world")).trained_by("dpo").under_mitigation(name, "tiny-28").student(21, "tiny-24", "tiny-56")


def test_policies_meet_the_papers_two_in_its_own_setting():
    """SimPO and DPO, no conflict and the implicit one; labels stay rounded, and the edition says what the filter goes
    by."""
    study = Study(load("world", {"filter_by": "log_probability", "filter_above": 0.8}))
    for method in ("dpo", "simpo"):
        tried = study.mitigated_policies(method)
        assert [(s.mitigation, s.via) for s in tried] == [("bootstrap", "tiny-36"), ("filter", None)]
        student = tried[1].student(21, "tiny-24", "tiny-56", "implicit")
        assert student.labelling == Labelling(hard=True, keep_above=0.8, filter_by="log_probability")
        assert student.conflict.objective == "helpfulness" and student.method == method == student.labels.method
        through = tried[0].student(21, "tiny-24", "tiny-56", "implicit").labels
        assert (through.model.width, through.method, through.labelling) == (36, method, Labelling(hard=True))
    named = Study(load("world", {"intermediates": ["tiny-28", "tiny-44"]}))
    assert [s.via for s in named.mitigated_policies("dpo")] == ["tiny-28", "tiny-44", None]
    assert study.under_mitigation("filter").student(21, "tiny-24", "tiny-56").labelling == Labelling(keep_above=0.8), (
        "reward models have labels"
    )


def test_an_edition_without_the_chapter_on_policies_trains_none():
    study = Study(load("world", {"chapters": ["05", "13"]}))
    assert study.mitigated_policies("dpo") == [] and all(
        run.method == "reward_model" for run in study.runs() if isinstance(run, Train)
    )


def test_each_has_a_title_of_its_own():
    assert len({title(name) for name in ("none", *MITIGATIONS)}) == len(MITIGATIONS) + 1
    assert title("bootstrap", "tiny-36") == "bootstrapping via tiny-36"


# Figures and findings, planted


def planted(names=tuple(MITIGATIONS), vias=("tiny-28", "tiny-36"), undefined: bool = False) -> pd.DataFrame:
    """Pooled rows of a chapter that tried these: 0.1 [0.05, 0.15], but −0.3 [−0.35, −0.25] for every change under what
    asks the truth."""
    tried = [("", ""), *((name, "") for name in names), *(("bootstrap", via) for via in vias if "bootstrap" in names)]
    rows = []
    for mitigation, via in tried:
        levels = [(p.base, p.statistic, "") for p in BOOTSTRAP_PANELS] + [
            ("explicit", f"null_{n}", "") for n in ("random", "margin_matched")
        ]
        changes = [(p.base, p.statistic, UNMODIFIED) for p in MITIGATION_PANELS] if mitigation else []
        for condition, statistic, versus in levels + changes:
            value = np.nan if undefined else -0.3 if mitigation in ASKING and versus else 0.1
            student = {"condition": condition, "mitigation": mitigation, "via": via}
            rows.append(student | {"statistic": statistic, "versus": versus, "value": value})
    return pooled(rows)


def test_what_asks_the_truth_stands_last():
    assert ASKING == ["leaky_filter", "label_again_misplaced"] and tried(planted()) == [*HONEST, *ASKING]
    assert tried(planted(["filter", "leaky_filter", "hard_labels"])) == ["filter", "hard_labels", "leaky_filter"]
    assert tried(planted([])) == [] and ways(planted()) == ["tiny-28", "tiny-36"] and ways(planted(["filter"])) == []


def test_the_forest_says_every_change():
    alt = every_mitigation(planted()).alt
    assert alt.count("0.10 [0.05, 0.15]") == 3 * len(HONEST) and alt.count("10.0 [5.0, 15.0]") == len(HONEST)
    assert alt.count("leaky filter -0.30 [-0.35, -0.25]") == 3 and "leaky filter -30.0 [-35.0, -25.0]" in alt
    for name in MITIGATIONS:
        assert alt.count(f" {title(name)} ") == len(MITIGATION_PANELS)


def test_the_forest_is_sorted_by_what_is_left_over_the_null_and_says_what_each_costs():
    rows = planted()
    about = (rows["statistic"] == MATCHED) & (rows["versus"] == UNMODIFIED)
    rows.loc[about & (rows["mitigation"] == "ensemble"), "value"] = -0.2
    rows.loc[about & (rows["mitigation"] == "filter"), "value"] = np.nan
    found = by_excess(rows)
    assert found[0] == "ensemble" and found[-3:] == ["filter", *ASKING] and len(found) == len(MITIGATIONS)
    times = lambda x: dict.fromkeys(map(title, MITIGATIONS), x)
    assert "ensemble of supervisors (3.0 ×) -0.20" in every_mitigation(rows, times(3.0)).alt
    assert "nan" not in every_mitigation(rows, times(np.nan)).alt, "heads on frozen layers cost nothing"


def test_what_fewer_seeds_say_has_an_order_of_its_own():
    """However low a change of few seeds is, it stands below those of many, with its number of seeds."""
    rows = planted()
    assert on_fewer_seeds(rows) == {} and "fewer seeds" not in every_mitigation(rows).caption
    late, first = (
        rows["mitigation"].isin(REVERSE),
        (rows["versus"] == UNMODIFIED) & (rows["mitigation"] == "reverse_kl"),
    )
    rows = rows.assign(n_seeds=np.where(late, 3, 32), value=np.where(first, -0.5, rows["value"]))
    assert on_fewer_seeds(rows) == dict.fromkeys(REVERSE, 3)
    found, drawn = by_excess(rows), every_mitigation(rows, dict.fromkeys(map(title, MITIGATIONS), 1.0))
    assert found[-4:] == [*REVERSE, *ASKING] and set(found) == set(MITIGATIONS)
    assert "reverse KL, 3 seeds (1.0 ×) -0.50" in drawn.alt and "32 seeds" not in drawn.alt
    assert "fewer seeds" in drawn.caption
    names = [label.get_text().split(",")[0] for label in drawn.canvas.axes[0].get_yticklabels()]
    assert names[-4:-2] == [title(name) for name in REVERSE]


def told_elsewhere() -> dict[str, pd.DataFrame]:
    """Rows by chapter of every remedy that another one tries: 0.4 less, in all that can be had."""
    rows: dict[str, list] = {}
    for one in OF_OTHERS:
        about = {"method": one.method, "mitigation": one.mitigation, "versus": one.versus, "value": -0.4}
        for statistic in (panel.statistic for panel in MITIGATION_PANELS if panel.statistic not in one.lacks):
            condition = "none" if statistic == "pgr" else one.condition
            knowledge = "" if statistic == "conflict_tax" else one.knowledge
            also = {"statistic": statistic, "condition": condition, "knowledge": knowledge}
            rows.setdefault(one.chapter, []).append(about | also)
    return {chapter: pooled(found) for chapter, found in rows.items()}


def names_at_the_left(figure) -> list[str]:
    return [label.get_text() for label in figure.canvas.axes[0].get_yticklabels()]


def test_remedies_on_other_scales_stand_in_blocks_of_their_own():
    told = told_elsewhere()
    apart = [one for one in OF_OTHERS if not one.beside_none]
    drawn = every_mitigation(planted(), dict.fromkeys((one.title for one in OF_OTHERS), 2.0), told)
    names = names_at_the_left(drawn)
    below = names[names.index(POLICIES) + 1 : names.index(IMPLICIT)]
    assert names.index(POLICIES) == len(MITIGATIONS) and len(below) == 4
    assert set(below) | set(names[names.index(IMPLICIT) + 1 :]) == {
        f"{one.title}, 3 seeds ({'≤ ' * one.at_most}2.0 ×)" for one in apart
    }
    for said in ("search − DPO, 3 seeds (2.0 ×) -40.0", "many agents − DPO, 3 seeds (≤ 2.0 ×) -0.40"):
        assert said in drawn.alt
    without = every_mitigation(planted(), elsewhere=dict.fromkeys(told, pd.DataFrame(columns=list(COLUMNS))))
    assert not {POLICIES, IMPLICIT} & set(names_at_the_left(without))


def test_what_the_figure_cannot_say_of_a_remedy_has_a_reason_beside_it():
    told = told_elsewhere()
    lacking = {(one.title, panel.statistic) for one in OF_OTHERS for panel in MITIGATION_PANELS
               if one.row(told[one.chapter], panel.statistic) is None}  # fmt: skip
    assert lacking == {(one.title, statistic) for one in OF_OTHERS for statistic in one.lacks} != set()
    drawn = every_mitigation(planted(), elsewhere=told)
    assert all(why in drawn.caption for one in OF_OTHERS for why in one.lacks.values())
    marks = [words for ax in drawn.canvas.axes for words in ax.texts if words.get_text() == "–"]
    assert len(marks) == len(lacking)
    del told["29_competence_and_conformity"]
    assert "–:" not in every_mitigation(planted(), elsewhere=told).caption


def test_remedies_on_the_same_scale_join_the_others_and_nobody_stands_there_twice():
    told, own = told_elsewhere(), planted(["filter", "trust"])
    both = with_others(own, told)
    joined = {one.mitigation for one in OF_OTHERS if one.beside_none}
    assert joined == {"trust", "selective", "own_labels", "confidence_quantile"}
    assert set(tried(both)) == {"filter"} | joined and both["n_seeds"].eq(3).all()
    names = names_at_the_left(every_mitigation(both, elsewhere=told))
    assert names.index(POLICIES) == 5, "remedies of other chapters are sorted among these"
    assert pick(both, MATCHED, "explicit", mitigation="trust", versus=UNMODIFIED)["value"] == 0.1, "this chapter's own"
    assert by_excess(both)[0] != "filter" and with_others(own, {}).equals(own)
    beside = with_others(own.assign(here=0.2, within=True), told)
    assert "here" not in say(pick(beside, MATCHED, "explicit", mitigation="selective", versus=UNMODIFIED))


def test_a_row_that_another_chapter_has_on_more_seeds_stands_in_place_of_the_same():
    own = planted(["filter", "reverse_kl"])
    more = own[own["mitigation"] == "reverse_kl"].assign(value=0.07, n_seeds=12)
    both = with_others(own, {"21_another_loss": more})
    of = lambda rows, name: rows[rows["mitigation"] == name].reset_index(drop=True)
    assert of(both, "reverse_kl").equals(of(more, "reverse_kl")) and of(both, "filter").equals(of(own, "filter"))
    assert both["mitigation"].tolist() == own["mitigation"].tolist()
    fewer = more.assign(n_seeds=2)
    assert with_others(own, {"21_another_loss": fewer}).equals(own)
    elsewhere = more.assign(alpha=9.0, n_seeds=12)
    assert with_others(own, {"21_another_loss": elsewhere}).equals(own), "another dose is another row"


def test_what_an_edition_cannot_show_is_left_out_and_why_is_said():
    class Idle:
        def missing(self, runs):
            return list(runs)

    class Done:
        missing = staticmethod(lambda runs: [])

    few = Study(load("world", {"chapters": ["12", "13", "30"]}))
    assert why_not(few.on(Done())) == dict.fromkeys(set(NEEDS) - {"30_label_again", "28_two_remedies"},
                                                    "this edition has no such chapter")  # fmt: skip
    assert set(why_not(Study(load("preview", {"chapters": ["13"]})).on(Done())).values()) == {
        "its runs do not come with a preview"
    }
    assert set(why_not(few.on(Idle()))) == set(NEEDS) and why_not(Study(load("world")).on(Done())) == {}
    there, without = split_remedies({"30_label_again": told_elsewhere()["30_label_again"]})
    assert {one.chapter for one in there} == {"30_label_again"} and len(there) + len(without) == len(OF_OTHERS)


def test_chapters_of_remedies_are_those_whose_findings_are_known():
    assert {one.chapter for one in OF_OTHERS} == set(NEEDS) - {"21_another_loss"} and set(NEEDS) <= set(FINDINGS)
    runs = set(Study(load("world")).runs())
    assert all(runs.issuperset(of(Study(load("world")))) for of in NEEDS.values()), "no run is this page's own"


@pytest.mark.parametrize("chapter", NEEDS)
def test_rows_of_a_chapter_rest_on_no_other_runs(study, lab, chapter, monkeypatch):
    """Else a reader who opens *What helps?* would train what the page says is not trained for it."""
    asked = []
    monkeypatch.setattr(lab, "run", lambda runs: asked.extend(runs))
    FINDINGS[chapter](study.on(lab))
    assert asked and set(asked) <= set(closure(NEEDS[chapter](study)))


def test_an_estimate_far_out_is_written_at_the_edge_and_spoils_no_scale():
    rows = planted(["filter", "hard_labels"])
    far = (rows["mitigation"] == "filter") & (rows["versus"] == UNMODIFIED) & (rows["statistic"] == "pgr")
    assert far.sum() == 1
    rows.loc[far, ["low", "value", "high"]] = [-8.0, -4.75, -3.4]
    ax = every_mitigation(rows).canvas.axes[1]
    assert ax.get_xlim()[0] > -1 and "← -4.8" in [words.get_text() for words in ax.texts]
    assert "confidence filter -4.75 [-8.00, -3.40]" in every_mitigation(rows).alt


def test_every_remedy_has_a_price_against_the_student_that_it_is_held_against():
    study = Study(load("smoke"))
    times = costs_elsewhere(study, OF_OTHERS)
    assert set(times) == {one.title for one in OF_OTHERS} and all(np.isfinite([*times.values()]))
    same = [name for name, x in times.items() if x == pytest.approx(1)]
    assert same == ["confidence loss, quantile", "turns, helpfulness last − mixed", "turns, weak labels last − mixed",
                    "DPO, confidence filter", "SimPO, confidence filter"]  # fmt: skip
    assert times["search − DPO"] < 1 < times["own labels"] < times["trust function"] < times["many agents − DPO"]
    assert times["chosen tokens − all tokens"] == times["chosen half − all tokens"] > 1, "an oracle is trained as well"
    by, (seed, weak, strong) = study.trained_by("simpo"), (7, "tiny-24", "tiny-44")
    by_hand = lambda run: arithmetic(work(run), size(run.model))
    plain, oracle = by_hand(by.student(seed, weak, strong)), by_hand(by.oracle(seed, weak))
    assert times["chosen tokens − all tokens"] == pytest.approx((plain + oracle) / plain)
    dearest = OF_OTHERS[-1]
    assert cost(dearest, times).startswith("≤ ") and cost(dearest, {}) == cost(dearest, {dearest.title: np.nan}) == ""


def test_a_remedy_changes_one_thing():
    kinds = {name: m.changes for name, m in MITIGATIONS.items()}
    assert kinds["filter"] == kinds["ensemble"] == kinds["trust"] == kinds["own_labels"] == "labels"
    assert kinds["early_stopping"] == kinds["reverse_kl"] == kinds["confidence_quantile"] == "loss"
    assert kinds["bootstrap"] == kinds["cross_fit"] == kinds["selective"] == "stages"
    assert {name for name, kind in kinds.items() if kind == "tokens"} == set(TOKENS)
    assert {one.changes for one in OF_OTHERS} | set(kinds.values()) == set(get_args(Changes))


def test_the_page_names_what_each_remedy_changes():
    cells = nbformat.read(ROOT / "notebooks" / "13_what_helps.ipynb", as_version=4).cells
    (text,) = (cell.source for cell in cells if cell.source.startswith("## Six things to change"))
    for name in Study(load("world")).mitigations():
        words = {"label_again": "label again", "cross_fit": "cross-fit", "reverse_kl": "reverse losses",
                 "reverse_cross_entropy": "reverse losses"}.get(name, title(name))  # fmt: skip
        assert words.lower() in text.lower(), name
    for chapter in set(NEEDS) - {"28_two_remedies"}:
        assert f"]({chapter}.ipynb)" in text, chapter


def test_steps_say_every_way_and_its_nulls():
    alt = bootstrapping(planted()).alt
    for row in ("no intermediate", "via tiny-28", "via tiny-36", "mean of these"):
        assert alt.count(f" {row} ") == len(BOOTSTRAP_PANELS) + 1
    assert alt.count("10.0 % [5.0, 15.0]") == 4 and "via tiny-28 0.10 and 0.10" in alt


@pytest.mark.parametrize("draw", [every_mitigation, bootstrapping, in_policies])
@pytest.mark.parametrize("names", [tuple(MITIGATIONS), ("filter",), ("leaky_filter",), ("bootstrap",), ()])
@pytest.mark.parametrize("undefined", [False, True])
def test_figures_are_drawn_whatever_was_tried(draw, names, undefined):
    figure = draw(planted(names, undefined=undefined))
    assert len(figure.alt) > 60 and re.search(r"\d", figure.alt) and figure.caption
    assert ("undefined" in figure.alt) == (
        undefined and (draw is bootstrapping or bool(names) and draw is every_mitigation)
    )
    svg = figure.svg()
    assert (
        "fill: #ffffff" not in svg.split("</defs>")[0]
        and "fill: #000000" not in svg
        and 'style="fill: #262626' not in svg
    )


def test_an_estimate_never_leaves_the_frame():
    rows = planted(["filter"])
    far = rows["versus"] == UNMODIFIED
    assert far.sum() == len(MITIGATION_PANELS)
    rows.loc[far, ["low", "value", "high"]] = [-2.0, -0.7, 3.0]
    for ax, panel in zip(every_mitigation(rows).canvas.axes, MITIGATION_PANELS):
        low, high = ax.get_xlim()
        assert low < -0.7 * panel.scale and high == panel.most[1], "the mark is inside, the bar goes on"


def test_bootstrapping_is_averaged_over_its_ways_within_a_seed():
    def row(seed, via, value, draws=None):
        named = {"statistic": "deception_score", "mitigation": "bootstrap", "via": via, "alpha": 0.5, "threshold": 0.75}
        return named | {"seed": seed, "value": value, "run_keys": (f"key-{via}", "shared"), "draws": draws}

    frame = per_seed([row(1, "a", 0.2), row(1, "b", 0.6), row(2, "a", 0.5), row(2, "b", np.nan)])
    mean = over_ways(frame)
    assert list(mean.columns) == PER_SEED and mean.set_index("seed")["value"].to_dict() == pytest.approx(
        {1: 0.4, 2: 0.5}
    )
    assert mean["run_keys"].iloc[0] == ("key-a", "shared", "key-b")
    differs = [name for name in NAMES if not mean[name].equals(frame[name].iloc[[0, 2]].reset_index(drop=True))]
    assert differs == ["via"] and (mean["via"] == "").all(), "all else is named as each of the ways is"
    draws = over_ways(per_seed([row(1, "a", 0.2, np.array([0.1, 0.3])), row(1, "b", 0.6, np.array([0.5, 0.7]))]))
    assert draws["draws"].iloc[0] == pytest.approx([0.3, 0.5])
    assert over_ways(frame.iloc[:0]).empty
    others = per_seed([row(1, "", 0.9) | {"mitigation": "filter"}, row(1, "", 0.9) | {"mitigation": ""}])
    assert over_ways(others).empty and len(over_ways(pd.concat([frame, others]))) == 2, "what goes via nobody is no way"


# What the chapter finds


@pytest.fixture(scope="module")
def found(findings):
    return findings("13_what_helps")


def test_what_the_chapter_finds(study, lab, found):
    per_seed, results = found
    assert not results.duplicated(list(NAMES)).any() and set(results["method"]) == {"reward_model"}
    controls = {*AGAIN, *TOKENS, *FENCES[1:]} - {*TWO_STAGES}
    assert tried(results) == [*(name for name in HONEST if name not in controls), "leaky_filter"]
    cell = (study.edition.seeds[0], *study.edition.weak_strong[0])
    for name in ("filter", "clear_labels", "ensemble"):
        before, after = (s.on(lab).comparison(*cell, "explicit") for s in (study, study.under_mitigation(name)))
        assert (
            (before.weak == after.weak).all()
            and (before.ceiling == after.ceiling).all()
            and not (before.baseline == after.baseline).all()
        )
        for statistic in ("conflict_tax", "net_change"):
            assert statistic in OF_A_MITIGATION
            expected = float(getattr(after, statistic)()) - float(getattr(before, statistic)())
            assert pick(results, statistic, "explicit", mitigation=name, versus=UNMODIFIED)["value"] == pytest.approx(
                expected
            )
    through = {"mitigation": "bootstrap", "via": "tiny-28"}
    assert (
        say(pick(results, "deception_score", "explicit", mitigation="filter", versus=UNMODIFIED))
        in every_mitigation(results).alt
    )
    assert say(pick(results, "conflict_tax", "explicit", **through), percent=True) in bootstrapping(results).alt
    each = usual(
        results, statistic="conflict_tax", condition="explicit", mitigation="bootstrap", via=None, versus=UNMODIFIED
    )
    *through, mean = each["value"]
    assert each["via"].tolist() == [*study.edition.ways(*cell[1:]), ""] and mean == pytest.approx(np.mean(through))


def test_shares_of_the_attainable_are_ratios_of_sums_each_beside_no_mitigation():
    """Of drawn scores, in which a mitigation makes another student of every model pair."""
    tried = load(
        "smoke",
        {"mitigations": ["filter", "bootstrap"], "weak_strong_pairs": ["tiny-24 -> tiny-44", "tiny-24 -> tiny-36"]},
    )
    few = Study(tried.model_copy(update={"mitigation_weak_strong_pairs": tried.weak_strong_pairs})).on(DrawnLab())
    rows = of_the_attainable(few)
    assert not rows.duplicated(list(NAMES)).any() and set(rows["via"]) > {""}, "bootstrapping by its ways, and averaged"

    def by_hand(option):
        cells = [option.comparison(few.edition.seeds[0], *names, "explicit") for names in few.edition.weak_strong]
        paid = [c.tax.sum() for c in cells]
        return [np.dot(paid, [of(c) for c in cells]) for of in (lambda c: c.excess("margin_matched"),
                                                               lambda c: c.attainable("margin_matched"))]  # fmt: skip

    share = lambda option: np.divide(*by_hand(option))
    filtered = few.under_mitigation("filter")
    for name, option in (("", few), ("filter", filtered)):
        assert pick(rows, SHARE, "explicit", mitigation=name)["value"] == pytest.approx(share(option))
    change = pick(rows, SHARE, "explicit", mitigation="filter", versus=UNMODIFIED)["value"]
    assert change == pytest.approx(share(filtered) - share(few)) != 0


def attained(shares, changes=()):
    """Rows as of ``of_the_attainable``: shares by mitigation, and by how much those differ whose difference is
    given."""
    row = lambda name, value, versus="": {"statistic": SHARE, "mitigation": name, "value": value, "versus": versus}
    levels = [row(name, value) for name, value in shares.items()]
    return pooled([*levels, *(row(name, dict(changes).get(name, 0.0), UNMODIFIED) for name in shares if name)])


def test_what_is_attained_is_said_by_rule():
    says = of_the_attainable_in_words
    shares = {"": 0.14, "filter": 0.3, "ensemble": 0.02, "hard_labels": np.nan, "leaky_filter": 0.9}
    assert says(attained(shares, {"ensemble": -0.12, "filter": 0.16, "leaky_filter": 0.7})) == (
        "Without a mitigation it is 0.14; with an honest one 0.02 (ensemble of supervisors) to 0.30 (confidence "
        "filter); nothing could have been seen with hard labels. Told from no mitigation's by their intervals: "
        "lower: ensemble of supervisors; higher: confidence filter."
    )
    assert says(attained(shares)).endswith("by their intervals: none.")
    assert says(attained({"": 0.14})) == "Without a mitigation it is 0.14; with one, it cannot be told."
    assert says(attained({"": np.nan, "filter": 0.3})).startswith(
        "Without a mitigation nothing could have been seen; with an honest one 0.30 (confidence filter). "
    )
    drawn = every_mitigation(pd.concat([planted(["filter"]), attained({"": 0.14, "filter": 0.3})], ignore_index=True))
    assert "share of the attainable: no mitigation 0.14 [0.09, 0.19]; confidence filter 0.30 [0.25, 0.35]" in drawn.alt


def test_two_remedies_are_tried_on_policies_under_the_implicit_conflict(study, lab):
    _, results = two_remedies(study.on(lab))
    policies = tried_on_policies(results)
    assert policies == [(m, n) for m in ("dpo", "simpo") for n in ("bootstrap", "filter")]
    assert not results.duplicated(list(NAMES)).any() and set(results["method"]) == {"dpo", "simpo"}
    for method, name in policies:
        change = pick(results, "deception_score", "implicit", method=method, mitigation=name, versus=UNMODIFIED)
        assert f"{TITLES[method]}: {title(name)} {say(change)}" in in_policies(results).alt


def test_one_mitigation_alone_finds_the_same(study, lab, found):
    few = replace(study.on(lab), edition=study.edition.model_copy(update={"mitigations": ("filter",)}))
    alone = what_helps(few)[1]
    assert tried(alone) == ["filter"] and ways(alone) == []
    assert tried_on_policies(two_remedies(few)[1]) == [("dpo", "filter"), ("simpo", "filter")]
    which = {"statistic": "conflict_tax", "condition": "explicit", "mitigation": "filter", "versus": UNMODIFIED}
    assert say(pick(alone, **which)) == say(pick(found[1], **which)) != "undefined"


def test_bootstrapping_s_labels_come_from_the_intermediate_model(study, lab, found):
    cell = (study.edition.seeds[0], *study.edition.weak_strong[0])
    for condition in ("none", "explicit"):
        student = study.under_mitigation("bootstrap", "tiny-28").student(*cell, condition)
        (middle,) = student.labellers
        assert middle.model.width == 28 and middle.labels == study.weak(*cell[:2])
        frame = training_pairs(student, [lab.scores(middle, "weak_label")])
        assert (
            frame["label"].tolist()
            == lab.scores(middle, "weak_label").set_index("pair_id")["p_true"][frame["pair_id"]].tolist()
        )
        assert frame["label"].tolist() != lab.scores(study.weak(*cell[:2]), "weak_label")["p_true"].tolist()


def test_costs_count_what_a_student_needs_besides(study, lab, found):
    runs = costs(study.on(lab)).groupby("mitigation")["runs"].first()
    assert runs["none"] == runs["filter"] == runs["early_stopping"] == 1
    assert runs["bootstrap"] == 2 and runs["ensemble"] == 3
    spent = costs(study.on(lab)).groupby("mitigation")["operations"].mean()
    assert (spent[["filter", "hard_labels", "reverse_kl"]] == spent["none"]).all(), "one student each"
    assert spent["none"] < spent["bootstrap"] < 2 * spent["none"], "its intermediate model is smaller"


def test_a_filter_that_keeps_nothing_fails_in_one_line(study, lab, found, tmp_path):
    store = tmp_path / "store"
    shutil.copytree(lab.store.root, store)
    strict = replace(study, edition=study.edition.model_copy(update={"filter_above": 0.99}))
    student = strict.under_mitigation("filter").student(study.edition.seeds[0], *study.edition.weak_strong[0])
    with pytest.raises(RunError, match="filter_above=0.99: no pair is labelled with more confidence") as error:
        Lab(store, workers=0, progress=False).run([student])
    assert "\n" not in str(error.value)


def test_the_chapter_publishes_each_row_once(build_folder):
    rows = read_results(build_folder / "book" / "results" / "13_what_helps.csv")
    assert not rows.duplicated(["chapter", *NAMES]).any()
    changes = rows[rows["versus"] == UNMODIFIED]
    assert {("pgr", "none"), ("conflict_tax", "explicit")} <= set(zip(changes["statistic"], changes["condition"]))
    assert (changes["mitigation"] != "").all() and set(rows["versus"]) == {"", UNMODIFIED}
