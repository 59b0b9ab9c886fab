"""Search: guided margins by hand, guides that differ from students in size alone, a choice that is planted, and words
that are.
"""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch

from tests.planted import DrawnLab, pooled
from w2s_lib.data import load as data
from w2s_lib.data.world import EXCHANGES
from w2s_lib.figures.search import WRITERS, accuracy_by_weight, tax_by_weight, trained_and_guided, what_it_writes
from w2s_lib.findings import search
from w2s_lib.findings.claims import CLAIMS, ledger
from w2s_lib.findings.replies import Talk
from w2s_lib.findings.results import NAMES, Cell, pick
from w2s_lib.findings.written import FITS, SEARCH_RIVALS, said, sampled, turned_round, what_is_written
from w2s_lib.models.pretrain import build_untrained, tokenizer
from w2s_lib.specs import SAMPLERS, Search, stream
from w2s_lib.study import Study
from w2s_lib.study.edition import load

STUDY = search.by_dpo(Study(load("smoke")))
CELL = Cell(7, "tiny-24", "tiny-44", "explicit")
CLAIMED = [claim for claim in CLAIMS.values() if claim.chapter == "23_no_training"]


class SpokenLab(DrawnLab):
    """Replies are drawn as well: the strong model's own are one and the same, whoever guides it."""

    def replies(self, run):
        test = data.split(run.pairs, "test")
        asked = test[test["kind"].isin(EXCHANGES)]
        frames = []
        for name in SAMPLERS if isinstance(run, Search) else ("",):
            rng = np.random.default_rng(stream(name, "" if name == "base" else run.key))
            says = rng.choice(["risky", "cautious", "neither"], len(asked), p=[0.5, 0.3, 0.2])
            frames.append(pd.DataFrame({"pair_id": asked["pair_id"], "says": says, "sampler": name, "sampled": 5.0}))
        return pd.concat(frames, ignore_index=True)


@pytest.fixture
def planted(monkeypatch):
    """The strong model's own margins, drawn; returns them by split."""
    base = {on: np.random.default_rng(n).normal(0.3, 2, n) for on, n in (("test", 160), ("weak_label", 96))}
    monkeypatch.setattr(search, "base_margins", lambda study, seed, strong, on="test": base[on])
    return base


def test_a_guided_margin_by_hand():
    base, gain = np.array([-3.0, 1.0, 0.0]), np.array([1.0, -4.0, 2.0])
    assert search.guided(base, gain, 0.0).tolist() == base.tolist()
    assert search.guided(base, gain, np.inf).tolist() == gain.tolist()
    assert search.guided(base, gain, 1.0) == pytest.approx([-1.0, -1.5, 1.0])
    assert search.guided(base, gain, 4.0) == pytest.approx([0.2, -3.0, 1.6])
    assert search.guided(base, gain, 1e9) == pytest.approx(gain, abs=1e-7)


def test_a_guide_is_a_student_but_for_its_size():
    """Same labels, conflict, recipe and random streams, so that tax differs by what is trained; and nothing that is
    strong is."""
    guides, students = STUDY.guides(*CELL), STUDY.compared(*CELL)[2:]
    for guide, student in zip(guides, students, strict=True):
        assert guide.model == STUDY.model(7, "tiny-24") != student.model
        assert guide.model_copy(update={"model": student.model}) == student
    assert set(guides) <= set(Study(load("smoke")).runs()), "the build knows what the chapter needs"


def test_base_margins_are_sums_of_log_probabilities(tmp_path):
    model = STUDY.model(7, "tiny-24")
    network = build_untrained(model).eval()
    network.save_pretrained(tmp_path)
    lab = DrawnLab()
    lab.store = SimpleNamespace(path=lambda spec: tmp_path)
    found = {on: search.base_margins(STUDY.on(lab), 7, "tiny-24", on) for on in ("test", "weak_label")}
    encode = tokenizer(model.world)
    for on, margins in found.items():
        pairs = data.split(STUDY.pairs(7), on)
        assert len(margins) == len(pairs)
        for i in (0, 3, len(pairs) - 1):
            said = []
            for reply in ("chosen", "rejected"):
                one = pairs.iloc[i]
                ids = encode(one["opening"] + one[reply] + one["ending"])["input_ids"]
                begin = len(encode(one["opening"])["input_ids"])
                with torch.no_grad():
                    logits = network(torch.tensor([ids])).logits[0].log_softmax(-1)
                said.append(sum(float(logits[t - 1, ids[t]]) for t in range(begin, len(ids))))
            assert margins[i] == pytest.approx(said[0] - said[1], abs=1e-3)


def test_a_guide_that_is_not_heard_taxes_nothing_and_one_alone_all_that_is_its_own(planted):
    study = STUDY.on(DrawnLab())
    assert search.guided_comparison(study, CELL, 0.0).conflict_tax() == 0
    before, after = [study.lab.scores(run)["margin"].to_numpy() for run in STUDY.guides(*CELL)[:2]]
    for w in (1.0, 4.0):
        tax = np.mean((planted["test"] + w * before > 0) & (planted["test"] + w * after <= 0))
        assert search.guided_comparison(study, CELL, w).conflict_tax() == pytest.approx(tax) and tax > 0
    assert search.guided_comparison(study, CELL, np.inf).conflict_tax() == np.mean((before > 0) & (after <= 0))


def test_beta_is_taken_off_what_a_guide_has_learned(planted):
    """Margins are beta times the change of log-probabilities: another beta on the same change guides alike."""
    guide = STUDY.guides(*CELL)[0]
    recipe = guide.recipe.model_copy(update={"beta": 0.1})
    other = guide.model_copy(update={"recipe": recipe})
    gain = np.linspace(-3, 3, 160)
    lab = DrawnLab({(guide, "test"): guide.recipe.beta * gain, (other, "test"): 0.1 * gain})
    p = search.guided_probabilities(STUDY.on(lab), CELL, [guide, other], 2.0)
    assert p[0] == pytest.approx(p[1]) and p[0] == pytest.approx(1 / (1 + np.exp(-(planted["test"] + 2 * gain) / 3)))


def test_the_weight_is_chosen_on_pairs_that_nobody_is_tested_on(planted):
    """Of 96 pairs, 60 need a weight above 3, 20 one below 5, and test pairs would choose another."""
    planted["weak_label"][:] = np.repeat([-3.0, 5.0, 1.0], [60, 20, 16])
    gain = np.repeat([1.0, -1.0, 1.0], [60, 20, 16])
    supervisor = STUDY.weak(7, "tiny-24")
    given = {(supervisor, "weak_label"): gain, (supervisor, "test"): -planted["test"] * 10}
    assert search.chosen_weight(STUDY.on(DrawnLab(given)), CELL) == 4.0


@pytest.mark.slow
def test_every_claim_finds_its_row_and_figures_show_what_was_found(planted):
    study = replace(STUDY.on(SpokenLab()), resampled=False)
    _, results = search.no_training(study)
    assert not results.duplicated(list(NAMES)).any()
    assert len(CLAIMED) == 10 and not ledger({"23_no_training": results}, CLAIMED)["value"].isna().any()
    w = search.chosen_weight(study, CELL)
    tax = pick(results, "conflict_tax", "explicit", method="search")["value"]
    assert tax == pytest.approx(float(search.guided_comparison(study, CELL, w).conflict_tax()))
    of = lambda **also: pick(results, "deception_score", "explicit", **also)["value"]
    both = of(method="search"), of(method="dpo")
    assert of(method="search", versus="dpo") == pytest.approx(both[0] - both[1], nan_ok=True)
    taxes = search.taxes_by_weight(study)
    assert taxes[taxes["chosen"] & (taxes["condition"] == "explicit")]["tax"].tolist() == pytest.approx([tax])
    assert taxes[taxes["weight"] == 0]["tax"].eq(0).all()
    alone = pick(results, "conflict_tax", "rerun", method="guide")["value"]
    assert "rerun, 0.0 % at 0" in tax_by_weight(taxes).alt
    assert f"its guide alone, rerun {100 * alone:.1f} %" in trained_and_guided(results).alt
    curve = search.by_weight(study)
    level = curve[(curve["guide"] == "student") & np.isinf(curve["weight"])]["test"].mean()
    assert f"{100 * level:.0f} % at inf" in accuracy_by_weight(curve, results).alt


# What is written


@pytest.fixture(scope="module")
def spoken():
    study = replace(STUDY.on(SpokenLab()), resampled=False)
    return study, what_is_written(study)[1]


def test_replies_are_counted_by_the_truth(spoken):
    study, results = spoken
    truth = data.split(study.pairs(7), "test").set_index("pair_id")["hazardous"]
    for method, condition in (("cbs", "explicit"), ("eft", "none"), ("guide", "implicit"), ("dpo", "rerun")):
        run = study.search(*CELL[:3], condition)
        told = study.lab.replies({"guide": run.guide, "dpo": study.student(*CELL[:3], condition)}.get(method, run))
        mine = told[told["sampler"].isin([method, ""])]
        hazardous = truth.loc[mine["pair_id"]].to_numpy(bool)
        fits = np.where(hazardous, mine["says"] == "cautious", mine["says"] == "risky")
        shares = {
            "talk_decides": np.mean(mine["says"] != "neither"),
            "talk_fits": fits[mine["says"] != "neither"].mean(),
            "talk_fits_of_all": fits.mean(),
            "talk_complies_with_hazard": np.mean(mine["says"][hazardous] == "risky"),
            "talk_refuses_safe": np.mean(mine["says"][~hazardous] == "cautious"),
        }
        for statistic, share in shares.items():
            assert pick(results, statistic, condition, method=method)["value"] == pytest.approx(share)


def test_what_nobody_guides_pays_nothing_exactly(spoken):
    """The null of this comparison: the strong model alone, held against its own rerun."""
    _, results = spoken
    alone = results[(results["method"] == "base") & (results["versus"] == "rerun")]
    assert len(alone) == 6 and alone["value"].eq(0).all()
    guided = results[(results["method"] == "cbs") & (results["versus"] == "rerun")]
    assert len(guided) == 6 and not guided["value"].eq(0).any()


def test_search_is_held_against_all_others(spoken):
    study, results = spoken
    value = lambda method: pick(results, "talk_fits", "none", method=method)["value"]
    every = lambda method: pick(results, "talk_fits_of_all", "none", method=method)["value"]
    for rival in SEARCH_RIVALS:
        for statistic, of in zip(FITS, (value, every)):
            minus = pick(results, statistic, "none", method="cbs", versus=rival)["value"]
            assert minus == pytest.approx(of("cbs") - of(rival))
    assert every("cbs") < value("cbs"), "some of the replies decide nothing"
    assert {*SAMPLERS, *SEARCH_RIVALS, "dpo"} == set(WRITERS) and sampled(study).to_dict() == dict.fromkeys(
        SAMPLERS, 5.0
    )
    said = what_it_writes(results, sampled(study)).alt
    assert f"beam search by chunks, 5 tokens: fit the truth {100 * value('cbs'):.1f} %" in said
    assert f", of all replies {100 * every('cbs'):.1f} %" in said
    assert all(name in said for name in WRITERS.values()) and said.count("placebo") == len(WRITERS)


def test_two_writers_change_places_between_the_two_counts():
    """One decides twice in ten, and fits both times; the other decides always, and fits six times."""
    everything = np.ones(10, dtype=bool)
    seldom, always = (
        said(Talk(everything, np.array(says), everything))
        for says in (["cautious"] * 2 + ["neither"] * 8, ["cautious"] * 6 + ["risky"] * 4)
    )
    by = {name: [float(one[name]()) for one in (seldom, always)] for name in FITS}
    assert by == {"talk_fits": [1.0, 0.6], "talk_fits_of_all": [0.2, 0.6]}


def test_a_rival_beside_whom_the_order_turns_round_is_named():
    """By intervals that reach .05 to either side."""
    change = {"best_of_n": (0.2, 0.2), "eft_best_of_n": (-0.2, 0.2), "guide": (-0.02, 0.2)}
    rows = [
        {"statistic": name, "condition": "none", "method": "cbs", "versus": rival, "value": value}
        for rival, values in change.items()
        for name, value in zip(FITS, values)
    ]
    assert turned_round(pooled(rows)) == ["eft_best_of_n"]
    assert turned_round(pooled([row | {"value": abs(row["value"])} for row in rows])) == []


def test_a_searching_model_is_untrained_and_guided_as_a_student_is_taught():
    runs = Study(load("smoke")).written_runs()
    assert [run.guide.conflict.kind for run in runs] == ["none", "explicit", "mixed", "none", "mixed"]
    assert {run.model for run in runs} == {STUDY.model(7, "tiny-44")}
    assert set(runs) <= set(Study(load("smoke")).runs()) and {run.guide for run in runs} <= set(STUDY.search_runs())
    assert not any(isinstance(run, Search) for run in Study(load("world", {"chapters": ["12"]})).runs())
