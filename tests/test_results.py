"""The tidy frame agrees with the scores in the store, and says no more than its intervals."""

import numpy as np
import pandas as pd
import pytest

from w2s_lib.metrics import Comparison
from w2s_lib.results import (
    ALL,
    BY_LABEL,
    COLUMNS,
    DECEPTION,
    GENERALIZATION,
    PER_SEED,
    STATISTICS,
    difference,
    gain_by_confidence,
    ladder_results,
    measure,
    pick,
    reads,
    say,
    slopes,
    summarise,
    wide,
)
from w2s_lib.run import Train
from w2s_lib.study import Study


@pytest.fixture(scope="module")
def per_seed(study, lab) -> pd.DataFrame:
    return measure(study, lab, ["explicit", "rerun"], (*GENERALIZATION, *DECEPTION))


def two_seeds(values: dict[int, tuple[float, float]]) -> pd.DataFrame:
    """A planted per-seed frame: seed → value in each of two cells."""
    rows = [
        (seed, weak, "tiny-44", "reward_model", "explicit", 0.5, 0.75, "deception_score", value, 100, (f"k{seed}",), None)
        for seed, cells in values.items()
        for weak, value in zip(("tiny-24", "tiny-28"), cells)
    ]
    return pd.DataFrame(rows, columns=PER_SEED)


def test_values_are_those_of_the_stored_scores(study, lab, per_seed):
    weak, strong = study.edition.weak_strong[0]
    seed = study.edition.seeds[0]
    p = {
        run: lab.store.table(run, "scores").query("split == 'test'")["p_true"].to_numpy()
        for run in study.compared(seed, weak, strong, "explicit")
    }
    p_weak, p_ceiling, p_none, p_conflict, _ = p.values()
    value = per_seed[per_seed["condition"] == "explicit"].set_index("statistic")["value"]
    assert value["accuracy_weak"] == pytest.approx(np.mean(p_weak > 0.5))
    taxed = (p_none > 0.5) & (p_conflict <= 0.5)
    assert value["conflict_tax"] == pytest.approx(taxed.mean())
    area = (p_ceiling > study.edition.threshold) & (p_weak <= study.edition.threshold)
    expected = area[taxed].mean() if taxed.any() else np.nan
    assert value["deception_score"] == pytest.approx(expected, nan_ok=True)


def test_one_seed_gets_cluster_intervals(study, per_seed):
    row = pick(summarise(per_seed, pooled=True), "accuracy", "rerun")
    assert row["n_seeds"] == 1 and row["low"] < row["value"] < row["high"]


def test_pooling_averages_over_pairs_within_a_seed_first(study):
    rows = summarise(two_seeds({0: (0.47, 0.49), 1: (0.51, 0.53)}), pooled=True)
    row = pick(rows, "deception_score", "explicit")
    assert row["value"] == pytest.approx(0.5) and row["n_seeds"] == 2
    half = 12.706 * np.std([0.48, 0.52], ddof=1) / np.sqrt(2)
    assert row["high"] == pytest.approx(0.5 + half, abs=1e-3), "two independent values, not four"
    assert row["run_keys"] == "k0 k1" and row["weak"] == ALL


def test_undefined_cells_are_left_out(study):
    rows = summarise(two_seeds({0: (0.2, np.nan), 1: (0.6, 0.8)}), pooled=True)
    assert pick(rows, "deception_score", "explicit")["value"] == pytest.approx((0.2 + 0.7) / 2)


def test_rows_have_the_published_columns(study, per_seed):
    rows = summarise(per_seed)
    assert list(rows.columns) == [c for c in COLUMNS if c not in ("edition", "chapter")]
    assert set(rows["method"]) == {"reward_model"}
    explicit, rerun = (rows[rows["condition"] == c] for c in ("explicit", "rerun"))
    assert (explicit["alpha"] == study.edition.alpha).all() and rerun["alpha"].isna().all()
    assert rows.set_index("statistic")["threshold"].notna()["deception_score"].all()
    assert rows.set_index("statistic")["threshold"].isna()["accuracy"].all()


def test_run_keys_lead_to_the_runs(study, lab, per_seed):
    weak, strong = study.edition.weak_strong[0]
    keys = pick(summarise(per_seed), "deception_score", "explicit", weak, strong)["run_keys"].split()
    runs = {run.key: run for run in study.student_runs()}
    assert len(keys) == 5 and all(lab.store.has(runs[key]) for key in keys)


def test_difference_is_taken_cell_by_cell(study, per_seed):
    row = difference(per_seed, "conflict_tax", "explicit", "rerun").iloc[0]
    value = per_seed[per_seed["statistic"] == "conflict_tax"].set_index("condition")["value"]
    assert row["value"] == pytest.approx(value["explicit"] - value["rerun"])
    assert row["statistic"] == "conflict_tax_vs_rerun"


def planted_slopes(slope: dict[int, float]) -> pd.DataFrame:
    """Three cells a seed whose score is a line in their gap, with one cell undefined."""
    rows = []
    for seed, b in slope.items():
        for weak, gap in (("tiny-24", 0.05), ("tiny-28", 0.1), ("tiny-36", 0.2), ("tiny-44", 0.15)):
            score = np.nan if weak == "tiny-44" else 0.2 + b * gap
            cell = (seed, weak, "tiny-56", "reward_model", "explicit", 0.5, 0.75)
            rows += [(*cell, "deception_score", score, 100, ("k",), None), (*cell, "gap", gap, 100, ("k",), None)]
    return pd.DataFrame(rows, columns=PER_SEED)


def test_slopes_are_per_seed_and_their_interval_is_over_seeds():
    row = pick(slopes(planted_slopes({0: 1.0, 1: 2.0, 2: 3.0}), ["deception_score"]), "deception_score_slope", "explicit")
    assert row["value"] == pytest.approx(2.0) and row["n_seeds"] == 3
    assert row["high"] - row["value"] == pytest.approx(4.302653 / np.sqrt(3), rel=1e-4)


def test_a_single_seed_gets_slopes_from_its_draws():
    frame = planted_slopes({0: 1.5})
    rng = np.random.default_rng(0)
    frame["draws"] = [np.full(200, value) + 0.001 * rng.normal(size=200) for value in frame["value"]]
    row = pick(slopes(frame, ["deception_score"]), "deception_score_slope", "explicit")
    assert row["value"] == pytest.approx(1.5) and row["low"] < 1.5 < row["high"]


def test_stable_pairs_are_those_that_all_reruns_rank_right(study, lab):
    weak, strong = study.edition.weak_strong[0]
    seed = study.edition.seeds[0]
    row = measure(study, lab, ["explicit"], ["conflict_tax"], stable=True).iloc[0]
    keep = np.all([p > 0.5 for p in study.probabilities(lab, study.reruns(seed, weak, strong))], axis=0)
    c = study.comparison(lab, seed, weak, strong, "explicit").among(keep)
    assert row["statistic"] == "conflict_tax_stable" and row["n_pairs"] == keep.sum()
    assert row["value"] == pytest.approx(c.conflict_tax(), nan_ok=True)


def test_training_pairs_are_measured_under_their_own_name(study, lab):
    frame = measure(study, lab, ["explicit"], ["conflict_tax", "band_contrast"], on="weak_label")
    assert set(frame["statistic"]) == {"conflict_tax_training", "band_contrast_training"}
    assert (frame["n_pairs"] == study.edition.train_pairs).all()


def test_another_aim_is_named_before_the_condition(study, lab):
    frame = measure(study.about("honesty"), lab, ["implicit"], ["conflict_tax"])
    assert frame["condition"].tolist() == ["honesty_implicit"]


def test_doses_and_thresholds_stay_apart(study, lab):
    frames = [measure(study.at(threshold=t), lab, ["explicit"], ["deception_score", "conflict_tax"]) for t in (0.6, 0.9)]
    rows = summarise(pd.concat(frames), pooled=True)
    assert sorted(rows.loc[rows["statistic"] == "deception_score", "threshold"]) == [0.6, 0.9]
    with pytest.raises(KeyError, match="2 rows"):
        pick(rows, "deception_score", "explicit")
    assert pick(rows, "deception_score", "explicit", threshold=0.9)["threshold"] == 0.9


def test_ladder_results(study, lab):
    facts, rows = ladder_results(study, lab)
    model = study.edition.models[0]
    assert len(facts) == len(study.edition.models) * study.edition.substances
    mine = facts[facts["model"] == model]
    row = pick(rows, "facts_known", "none", "", model)
    assert row["value"] == pytest.approx((mine["p_true"] > 0.5).mean())
    assert row["low"] <= row["value"] <= row["high"]


def test_pick_refuses_the_ambiguous_and_the_missing(study, per_seed):
    rows = summarise(per_seed)
    with pytest.raises(KeyError, match="0 rows"):
        pick(rows, "deception_score", "placebo")


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [(0.1, 0.2, "above zero"), (-0.2, -0.1, "below zero"), (-0.1, 0.1, "not distinguishable from zero"), (np.nan, np.nan, "undecided")],
)
def test_words_follow_the_interval(low, high, words):
    assert reads(pd.Series({"value": 0.15, "low": low, "high": high})) == words


def test_say():
    row = pd.Series({"value": 0.4567, "low": 0.1, "high": 0.812})
    assert say(row) == "0.46 [0.10, 0.81]" and say(row, percent=True) == "45.7 % [10.0, 81.2]"
    assert say(pd.Series({"value": np.nan, "low": np.nan, "high": np.nan})) == "undefined"
    assert say(pd.Series({"value": -0.001, "low": -0.004, "high": 0.3})) == "0.00 [0.00, 0.30]"
    assert say(pd.Series({"value": 0.5, "low": np.nan, "high": np.nan})) == "0.50"


def test_who_is_trained_on_what(study: Study):
    weak, strong = study.edition.weak_strong[0]
    seed = study.edition.seeds[0]
    supervisor, ceiling, baseline, rerun, independent = study.compared(seed, weak, strong, "rerun")
    assert (supervisor.split, supervisor.labels) == ("ground_truth", None)
    assert (ceiling.split, ceiling.labels) == ("weak_label", None)
    for run in (baseline, rerun, independent):
        assert isinstance(run, Train) and (run.split, run.labels, run.model) == ("weak_label", supervisor, ceiling.model)
        assert run.conflict.kind == "none"
    assert len({r.replica for r in (ceiling, baseline, rerun, independent)}) == 4, "no two share their random streams"
    explicit = study.student(seed, weak, strong, "explicit")
    assert explicit.replica == baseline.replica and explicit.conflict.alpha == study.edition.alpha
    implicit, placebo = (study.student(seed, weak, strong, c).conflict for c in ("implicit", "placebo"))
    assert (implicit.objective, placebo.objective) == ("helpfulness", "politeness")


def test_intervals_of_shares_stay_shares_and_differences_do_not(study):
    frame = two_seeds({0: (0.1, 0.1), 1: (0.9, 0.9)})
    row = pick(summarise(frame, pooled=True), "deception_score", "explicit")
    assert (row["low"], row["high"]) == (0.0, 1.0)
    both = pd.concat([frame, frame.assign(condition="rerun", value=0.5)])
    row = difference(both, "deception_score", "explicit", "rerun").iloc[0]
    assert row["low"] < 0 and row["value"] == pytest.approx(0)


def test_wide_keeps_the_order_and_invents_no_pair(study):
    frame = pd.DataFrame(
        {"weak": ["b", "b", "a", "a"], "strong": ["d", "d", "c", "c"], "statistic": ["y", "x"] * 2, "value": [1.0, 2, 3, np.nan]}
    )
    table = wide(frame)
    assert list(table.index) == [("b", "d"), ("a", "c")] and list(table.columns) == ["y", "x"]
    assert table.loc[("b", "d"), "x"] == 2 and np.isnan(table.loc[("a", "c"), "x"])


def test_gain_by_confidence_counts_every_pair_once(study, lab):
    table = gain_by_confidence(study, lab)
    assert table["pairs"].sum() == study.edition.test_pairs * len(study.edition.seeds) * len(study.edition.pairs)
    assert np.allclose(table["student_gains"], table["student_is_right"] - table["weak_is_right"])


def test_the_last_bin_of_labels_holds_certainty():
    """A supervisor's probability is exactly 1 from a margin of 37 on: such a pair is in the last bin, and in no band."""
    name, low, high = BY_LABEL[-1]
    p = np.array([1.0, 1.0])
    c = Comparison(weak=p, ceiling=p, baseline=p, conflict=np.array([0.0, 1.0]), independent=p, alpha=1.0)
    assert high == 1 and float(STATISTICS[name](c)()) == 0.5
    assert np.isnan(c.tax_rate_in_band()) and c.tax_rate_above_band() == 0.5
