"""Planted students do as their names say, and a statistic's power is read off them."""

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import pytest

from tests.simulate import Plant, simulate
from w2s_lib.findings import positive_controls as module
from w2s_lib.findings import record
from w2s_lib.findings.positive_controls import (
    FALSE_ALARMS,
    PLANTED,
    POWER,
    SEEN,
    alarm_rates,
    among_policies,
    draw_taxed,
    judge_alarms,
    largest,
    positive_controls,
    reckoned,
    scores,
    sharpest,
)
from w2s_lib.findings.results import OPTIONS, usual
from w2s_lib.measures.metrics import NULLS, Comparison, log_odds
from w2s_lib.study import Study
from w2s_lib.study.edition import load
from w2s_lib.study.seeds import PLANNED, SEEDS

STUDENTS = 400
RATES = dict.fromkeys(PLANTED, 0.02)


@pytest.fixture(scope="module")
def c() -> Comparison:
    return next(iter(simulate(Plant(tax=-2.5), np.random.default_rng(0))[0].values()))


def masks(c: Comparison, kind: str) -> np.ndarray:
    return PLANTED[kind].plant(c, STUDENTS, np.random.default_rng(1))


def mean(c: Comparison, kind: str, statistic: str) -> np.ndarray:
    gained, paid = scores(c, masks(c, kind))[statistic]
    return (gained / paid).mean()


@pytest.mark.parametrize("kind", PLANTED)
def test_a_planted_student_pays_as_many_pairs_as_the_real_one_and_only_such_as_can_pay(c, kind):
    found = masks(c, kind)
    assert (found.sum(axis=1) == c.tax.sum()).all() and not found[:, ~c.right].any()


@pytest.mark.parametrize("kind", PLANTED)
def test_where_nothing_is_taxed_nothing_is_planted(c, kind):
    assert not masks(replace(c, conflict=c.baseline), kind).any()


def test_draws_follow_the_weights_and_never_take_what_has_none():
    with np.errstate(divide="ignore"):
        found = draw_taxed(np.log([3.0, 1.0, 0.0, 0.0]), 1, 20_000, np.random.default_rng(0))
    assert found.sum(axis=1).tolist() == [1] * 20_000
    assert found.mean(axis=0) == pytest.approx([0.75, 0.25, 0, 0], abs=0.02)
    assert draw_taxed(np.zeros(5), 3, 50, np.random.default_rng(0)).sum(axis=1).tolist() == [3] * 50
    assert draw_taxed(np.array([0.0, -np.inf, -np.inf]), 2, 5, np.random.default_rng(0)).sum(axis=1).tolist() == [1] * 5


def test_deceivers_hide_in_the_area_as_long_as_it_has_room(c):
    amount, room = int(c.tax.sum()), int((c.area & c.right).sum())
    assert amount < room
    assert mean(c, "perfect", "deception_score") == mean(c, "lowest", "deception_score") == 1
    half = PLANTED["half"].plant(c, 50, np.random.default_rng(0)) & c.area
    assert (half.sum(axis=1) >= amount - amount // 2).all()
    crowded = replace(c, conflict=1 - c.baseline)  # everything that can be taxed is
    assert mean(crowded, "perfect", "deception_score") == pytest.approx(room / c.right.sum())


def test_the_deceiver_behind_doubt_takes_the_least_sure_pairs_of_the_area(c):
    paid = masks(c, "lowest")[0]
    assert c.independent[paid].max() <= c.independent[c.area & c.right & ~paid].min()


@pytest.mark.parametrize("null", ["random", "margin_matched", "label_matched"])
def test_the_blind_have_no_excess_over_any_null(c, null):
    gained, paid = scores(c, masks(c, "blind"))[f"excess_{null}"]
    excess = gained / paid
    assert abs(excess.mean()) < 4 * excess.std() / np.sqrt(STUDENTS) + 0.005, (
        "0.005: pairs at the edge have one-sided likes"
    )


@pytest.mark.parametrize(("kind", "feature"), [("by_margin", "independent"), ("by_label", "weak")])
def test_an_innocent_keeps_the_distribution_of_what_it_looks_at(c, kind, feature):
    z = log_odds(getattr(c, feature))
    quantiles = np.linspace(0.1, 0.9, 9)
    real, planted = (
        np.quantile(values, quantiles) for values in (z[c.tax], np.broadcast_to(z, (STUDENTS, len(z)))[masks(c, kind)])
    )
    blind = np.quantile(z[c.right], quantiles)
    assert np.abs(planted - real).max() < 0.25 * z[c.right].std() < np.abs(blind - real).max()
    assert mean(c, kind, f"excess_{'margin' if kind == 'by_margin' else 'label'}_matched") == pytest.approx(0, abs=0.02)


def test_scores_are_those_of_the_comparison(c):
    found = scores(c, c.tax[None, :])
    value = {name: float(gained[0] / paid[0]) for name, (gained, paid) in found.items()}
    assert value == pytest.approx(
        {"deception_score": float(c.deception_score())} | {f"excess_{n}": float(c.excess(n)) for n in NULLS}
    )
    assert list(value) == list(SEEN)


@dataclass(frozen=True)
class Simulated(Study):
    """A study whose comparisons are simulated; no run is there."""

    def comparison(self, seed, weak, strong, condition, on="test"):
        rng = np.random.default_rng([seed, len(self.edition.weak_strong_pairs), condition == "rerun"])
        return list(simulate(Plant(tax=-2.5), rng)[0].values())[self.edition.weak_strong.index((weak, strong))]

    def probabilities(self, runs, on="test"):
        return [np.full(1500, 0.9)]


class Nothing:
    trained = True

    def run(self, runs): ...

    def missing(self, runs):
        return [] if self.trained else list(runs)


def simulated(*seeds: int) -> Study:
    study = Simulated(load("world"), lab=Nothing())
    return study.restricted_to(seeds=seeds, weak_strong_pairs=["tiny-24 -> tiny-56"])


@pytest.fixture(scope="module")
def planted() -> pd.DataFrame:
    return positive_controls(simulated(0, 1, 2), students=30)[1]


def test_deceivers_are_seen_and_every_innocent_has_a_score(planted):
    table = alarm_rates(planted, "explicit")
    assert list(table.index) == list(SEEN) and (table.loc["excess_margin_matched", ["perfect", "lowest"]] == 1).all()
    assert table.loc["deception_score", "says"] == "alarms for innocents, too"


def test_rows_are_told_apart_and_name_their_runs(planted):
    assert not planted.duplicated(["statistic", "condition", *OPTIONS]).any()
    assert planted["run_keys"].str.fullmatch(r"[0-9a-f]{16}( [0-9a-f]{16})*").all()


def test_students_that_are_all_alike_have_no_range(planted):
    """A perfect deceiver has one deception score, whichever pairs it picks."""
    alike = planted[(planted["statistic"] == "deception_score") & (planted["planted"] == "perfect")]
    assert len(alike) and alike["value"].notna().all() and alike[["low", "high"]].isna().all(axis=None)
    ranged = planted.dropna(subset=["low", "high"])
    assert len(ranged) > len(planted) / 4 and (ranged["low"] < ranged["high"]).all()


def test_the_explicit_conflict_alone_has_the_rows_that_it_has_among_others(planted):
    alone = positive_controls(simulated(0, 1, 2), students=30, only_explicit=True)[1]
    asked = (planted["condition"] == "explicit") & (planted["subset"] == "") & (planted["ceiling"] == "")
    pd.testing.assert_frame_equal(alone, planted[asked].reset_index(drop=True))


def test_stable_pairs_have_nothing_beyond_a_rerun(planted):
    stable = planted[planted["subset"] == "stable"]
    assert len(stable) and (stable["versus"] == "").all()
    assert set(planted.loc[planted["subset"] == "", "versus"]) == {"", "rerun"}


def test_students_are_planted_among_policies_under_both_conflicts_and_none_is_trained_for_it():
    study, keys = simulated(0, 1, 2), {}
    rows = among_policies(study, students=30)[1]
    assert not rows.duplicated(["statistic", "method", "condition", *OPTIONS]).any()
    for method in ("dpo", "simpo"):
        by = study.trained_by(method)
        for condition in ("explicit", "implicit"):
            table = alarm_rates(rows, condition, method=method)
            assert (table.loc["excess_margin_matched", ["perfect", "lowest"]] == 1).all()
            assert (
                alarm_rates(rows, condition, method=method, versus="rerun").loc["excess_margin_matched", "perfect"]
                > 0.5
            )
            mine = usual(rows, method=method, condition=condition, planted="half", statistic="deception_score")
            (keys[method, condition],) = mine["run_keys"]
            assert keys[method, condition] == " ".join(run.key for run in by.student_runs((condition,)))
    assert len(set(keys.values())) == len(keys) and len(set(rows["method"])) == 2
    untrained = replace(study, lab=type("Untrained", (Nothing,), {"trained": False})())
    assert among_policies(untrained)[1].empty


def test_a_single_seed_has_no_power():
    rows = positive_controls(simulated(0), students=5)[1]
    power = rows["statistic"].str.startswith("power_of_")
    assert power.any() and rows.loc[power, "value"].isna().all() and rows.loc[~power, "value"].notna().all()
    assert (
        set(alarm_rates(rows, "explicit")["says"]) == {"cannot be judged here"}
        and sharpest(alarm_rates(rows, "explicit")) is None
    )


@pytest.mark.slow
def test_what_is_reckoned_for_more_seeds_is_what_planting_there_finds():
    """From means of twelve seeds and scatters of six, the power at twelve; drawn at twelve, it is as large."""
    few, many = (positive_controls(simulated(*range(n)), students=60) for n in (6, 12))
    told = reckoned(many[0], few[0], 12, "explicit")
    found = alarm_rates(many[1], "explicit")
    assert list(told.index) == list(SEEN)
    told, found = (table[list(PLANTED)].to_numpy(dtype=float) for table in (told, found))
    drawn = ~np.isnan(found)  # of a statistic that some student leaves undefined no study is drawn
    assert drawn.mean() > 0.7 and told[drawn] == pytest.approx(found[drawn], abs=0.15)
    weaker = few[0].assign(scatter=few[0]["scatter"] + 1.0)
    assert (reckoned(many[0], weaker, 12, "explicit")["half"] < 0.8).any(), "students that scatter more are seen less"
    seeds = reckoned(many[0], few[0], 12, "explicit").loc["excess_margin_matched", "needed"]
    assert reckoned(many[0], few[0], int(seeds), "explicit").loc["excess_margin_matched", "half"] >= POWER
    assert reckoned(few[0][few[0]["seed"] == 0], few[0], 1, "explicit")["half"].isna().all()


def test_the_records_planted_students_say_what_its_planned_size_would_see():
    """At the seeds that are planned, what claims on the explicit conflict are read off sees half a deceiver."""
    rows = record.rows_of(load("world"))
    means = rows[rows["chapter"] == "17_positive_controls"]
    drawn = means.assign(scatter=0.03)  # twice what single students of a reported seed scatter
    alone, beyond = (reckoned(means, drawn, len(PLANNED), "explicit", versus=v) for v in ("", "rerun"))
    assert len(PLANNED) == 32 and PLANNED[0] in SEEDS["record"]
    main = alone.loc[["excess_margin_matched", "excess_weak_matched"], "half"].tolist()
    assert min(*main, beyond.loc["excess_margin_matched", "half"]) >= POWER
    assert alone.loc["excess_margin_matched", "by_label"] > FALSE_ALARMS, "no number of seeds mends that"


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"by_label": 0.3, "perfect": 1.0}, "alarms for innocents, too"),
        ({}, "is silent, whoever is planted"),
        ({"perfect": 1.0, "lowest": 0.3, "half": 1.0}, "is silent, whoever is planted"),
        ({"perfect": 1.0, "lowest": 1.0, "half": POWER}, "tells deceivers from innocents"),
        ({"perfect": 1.0, "lowest": 1.0, "half": POWER - 0.1}, "sees a deceiver, and too often misses half of one"),
        ({"by_label": 0.3, "half": np.nan}, "cannot be judged here"),
    ],
)
def test_a_statistic_is_judged_by_its_alarms(changed, says):
    assert judge_alarms(RATES | changed) == says


def test_the_sharpest_is_the_one_with_power_among_those_that_no_innocent_fools():
    rates = {
        "excess_random": {"half": 1.0, "by_margin": 0.5},
        "excess_label_matched": {"half": 0.1},
        "excess_weak_matched": {"half": 0.7},
    }
    table = pd.DataFrame([RATES | changed for changed in rates.values()], index=list(rates))
    assert sharpest(table) == "excess_weak_matched" and sharpest(table.iloc[:1]) is None


def test_the_largest_score_is_that_of_the_perfect_deceiver(c):
    names = ("attainable_random", "null_random")
    found = pd.DataFrame([{"statistic": n, "value": float(getattr(c, n.split("_")[0])("random"))} for n in names])
    found = found.assign(condition="explicit", weak="all", strong="all", **dict.fromkeys(OPTIONS, ""))
    assert len(usual(found)) == 2
    assert largest(found, "deception_score", "explicit") == pytest.approx(mean(c, "perfect", "deception_score"))


def test_every_kind_has_a_rule_of_its_own():
    assert len({kind.plant for kind in PLANTED.values()}) == len(PLANTED) and module.FALSE_ALARMS < POWER
