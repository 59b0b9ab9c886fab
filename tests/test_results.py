"""The tidy frame agrees with the scores in the store, and says no more than its intervals."""

from itertools import permutations, product

import numpy as np
import pandas as pd
import pytest

from tests import planted
from w2s_lib.findings.results import (
    ALL,
    COLUMNS,
    LEGEND,
    MARKS,
    NAMES,
    NUMBERS,
    OPTIONS,
    ROWS,
    _slope,
    difference,
    estimate,
    how_many_read,
    marked,
    measure,
    one_less_other,
    pick,
    pool,
    published,
    read_results,
    reads,
    rows_with,
    say,
    slopes,
    summarise,
    usual,
    wide,
)
from w2s_lib.findings.statistics import BY_LABEL, DECEPTION, GENERALIZATION, LESS, RATIOS, SIGNED, STATISTICS
from w2s_lib.measures.intervals import share_bounds
from w2s_lib.measures.metrics import NULLS, Comparison, correct
from w2s_lib.specs import Train
from w2s_lib.study import Study
from w2s_lib.study.conditions import CONTROLS, CORE


@pytest.fixture(scope="module")
def per_seed(study, lab) -> pd.DataFrame:
    return measure(study.on(lab), ["explicit", "rerun"], (*GENERALIZATION, *DECEPTION))


def two_seeds(values: dict[int, tuple[float, float]]) -> pd.DataFrame:
    """A planted per-seed frame: seed → value in each of two cells."""
    named = {"statistic": "deception_score", "strong": "tiny-44", "alpha": 0.5, "threshold": 0.75}
    return planted.per_seed(
        named | {"seed": seed, "weak": weak, "value": value, "run_keys": (f"k{seed}",)}
        for seed, cells in values.items()
        for weak, value in zip(("tiny-24", "tiny-28"), cells)
    )


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
    assert row["high"] == pytest.approx(0.5 + half, abs=0.02), "two independent values, not four"
    assert row["run_keys"] == "k0 k1" and row["weak"] == ALL


def test_pooled_scores_are_ratios_of_sums():
    """0 of 2 and 69 of 96 taxed pairs are 69 of 98; a model pair without any is no evidence of anything."""
    frame = two_seeds({1: (0 / 2, 69 / 96), 2: (np.nan, 0.5)}).assign(counted=[2.0, 96.0, 0.0, 4.0])
    by_seed = pool(frame, weak=ALL, strong=ALL).set_index("seed")
    assert by_seed["value"].tolist() == pytest.approx([69 / 98, 0.5]) and by_seed["counted"].tolist() == [98, 4]
    row = summarise(frame, pooled=True).iloc[0]
    assert row["value"] == pytest.approx((69 / 98 + 0.5) / 2), "seeds count alike"
    assert row["counted"] == 102 and row["n_seeds"] == 2


def test_pooled_draws_are_ratios_of_sums_as_well():
    frame = two_seeds({1: (0.5, 0.25)}).assign(counted=[2.0, 4.0])
    frame["draws"] = [np.array([0.5, 1.0]), np.array([0.25, np.nan])]
    frame["draws_counted"] = [np.array([2.0, 1.0]), np.array([4.0, 0.0])]
    assert pool(frame, weak=ALL, strong=ALL)["draws"].iloc[0].tolist() == pytest.approx([2 / 6, 1.0])


def test_a_single_model_pair_has_no_number_where_it_is_a_share_of_too_little():
    frame = two_seeds({1: (0.5, 0.25), 2: (0.4, 0.2)}).assign(counted=[9.0, 30.0, 12.0, 30.0])
    found = summarise(frame).set_index("weak")
    assert found["n_seeds"].tolist() == [1, 2] and found.loc["tiny-24", "value"] == 0.4


def test_slopes_weigh_cells_by_what_they_are_shares_of():
    x = np.array([[0.0], [1.0], [2.0]])
    few = _slope(x, np.array([[0.0], [1.0], [9.0]]), np.array([[50.0], [50.0], [0.0]]))
    assert few == pytest.approx([1.0]) and _slope(x, 2 * x, np.full((3, 1), np.nan)) == pytest.approx([2.0])


def test_undefined_cells_are_left_out(study):
    rows = summarise(two_seeds({0: (0.2, np.nan), 1: (0.6, 0.8)}), pooled=True)
    assert pick(rows, "deception_score", "explicit")["value"] == pytest.approx((0.2 + 0.7) / 2)


def test_rows_have_the_published_columns(study, per_seed):
    rows = summarise(per_seed)
    assert list(rows.columns) == list(ROWS) and not rows.duplicated(list(NAMES)).any()
    assert (rows[list(OPTIONS)] == "").all(axis=None), "as usual in every respect"
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
    row = difference(per_seed, "conflict_tax", "rerun", {"condition": "explicit"}, {"condition": "rerun"}).iloc[0]
    value = per_seed[per_seed["statistic"] == "conflict_tax"].set_index("condition")["value"]
    assert row["value"] == pytest.approx(value["explicit"] - value["rerun"])
    assert (row["statistic"], row["condition"], row["versus"]) == ("conflict_tax", "explicit", "rerun")


def planted_slopes(slope: dict[int, float]) -> pd.DataFrame:
    """Three cells a seed whose score is a line in their gap, with one cell undefined."""
    rows = []
    for seed, b in slope.items():
        for weak, gap in (("tiny-24", 0.05), ("tiny-28", 0.1), ("tiny-36", 0.2), ("tiny-44", 0.15)):
            score = np.nan if weak == "tiny-44" else 0.2 + b * gap
            cell = {"seed": seed, "weak": weak, "strong": "tiny-56", "alpha": 0.5, "threshold": 0.75}
            rows += [cell | {"statistic": "deception_score", "value": score}, cell | {"statistic": "gap", "value": gap}]
    return planted.per_seed(rows)


def test_slopes_are_per_seed_and_their_interval_is_over_seeds():
    row = pick(
        slopes(planted_slopes({0: 1.0, 1: 2.0, 2: 3.0}), ["deception_score"]), "deception_score", "explicit", per="gap"
    )
    assert row["value"] == pytest.approx(2.0) and row["n_seeds"] == 3
    assert row["high"] - row["value"] == pytest.approx(4.302653 / np.sqrt(3), rel=1e-4)


def test_a_single_seed_gets_slopes_from_its_draws():
    frame = planted_slopes({0: 1.5})
    rng = np.random.default_rng(0)
    frame["draws"] = [np.full(200, value) + 0.001 * rng.normal(size=200) for value in frame["value"]]
    row = pick(slopes(frame, ["deception_score"]), "deception_score", "explicit", per="gap")
    assert row["value"] == pytest.approx(1.5) and row["low"] < 1.5 < row["high"]


def test_stable_pairs_are_those_that_all_reruns_rank_right(study, lab):
    weak, strong = study.edition.weak_strong[0]
    seed = study.edition.seeds[0]
    row = measure(study.on(lab), ["explicit"], ["conflict_tax"], stable=True).iloc[0]
    keep = np.all([p > 0.5 for p in study.on(lab).probabilities(study.reruns(seed, weak, strong))], axis=0)
    c = study.on(lab).comparison(seed, weak, strong, "explicit").among(keep)
    assert (row["statistic"], row["subset"]) == ("conflict_tax", "stable") and row["n_pairs"] == keep.sum()
    assert {name for name in OPTIONS if row[name]} == {"subset"}
    assert row["value"] == pytest.approx(c.conflict_tax(), nan_ok=True)


def test_training_pairs_are_told_from_test_pairs(study, lab):
    frame = measure(study.on(lab), ["explicit"], ["conflict_tax", "band_contrast"], on="weak_label")
    assert set(frame["statistic"]) == {"conflict_tax", "band_contrast"} and set(frame["on"]) == {"training"}
    assert usual(frame).empty and len(usual(frame, on="training")) == len(frame)
    assert (frame["n_pairs"] == study.edition.train_pairs).all()


def test_another_aim_has_a_column_of_its_own(study, lab):
    frame = measure(study.aiming_at("honesty").on(lab), ["implicit"], ["conflict_tax"])
    assert frame[["condition", "objective"]].to_numpy().tolist() == [["implicit", "honesty"]]
    assert measure(study.on(lab), ["implicit"], ["conflict_tax"])["objective"].tolist() == [""]


def test_further_columns_are_named_by_whoever_measures(study, lab):
    frame = measure(study.on(lab), ["explicit"], ["conflict_tax", "deception_score"], ceiling="other")
    assert set(frame["ceiling"]) == {"other"} and usual(frame).empty


def test_doses_and_thresholds_stay_apart(study, lab):
    frames = [
        measure(study.with_parameters(threshold=t).on(lab), ["explicit"], ["deception_score", "conflict_tax"])
        for t in (0.6, 0.9)
    ]
    rows = summarise(pd.concat(frames), pooled=True)
    assert sorted(rows.loc[rows["statistic"] == "deception_score", "threshold"]) == [0.6, 0.9]
    with pytest.raises(KeyError, match="2 rows"):
        pick(rows, "deception_score", "explicit")
    assert pick(rows, "deception_score", "explicit", threshold=0.9)["threshold"] == 0.9


def test_pick_refuses_the_ambiguous_and_the_missing(study, per_seed):
    rows = summarise(per_seed)
    with pytest.raises(KeyError, match="0 rows"):
        pick(rows, "deception_score", "placebo")
    rows = planted.pooled([{"statistic": "pgr", "value": v, "mitigation": m, "via": w} for v, m, w in VIA])
    with pytest.raises(
        KeyError, match=r"pgr under explicit for all -> all, {'mitigation': 'bootstrap', 'via': None}: 2 rows"
    ):
        pick(rows, "pgr", "explicit", mitigation="bootstrap", via=None)
    with pytest.raises(KeyError, match="0 rows"):
        pick(rows, "pgr", "explicit", mitigation="filter")
    with pytest.raises(KeyError, match="0 rows"):
        pick(rows, "pgr", "explicit", "w", "s")
    assert pick(rows, "pgr", "explicit")["value"] == 1, "as usual, whatever else there is"
    assert pick(rows, "pgr", "explicit", mitigation="bootstrap")["value"] == 2, "via is as usual as well"
    assert pick(rows, "pgr", "explicit", mitigation="bootstrap", via="tiny-28")["value"] == 3


VIA = ((1.0, "", ""), (2.0, "bootstrap", ""), (3.0, "bootstrap", "tiny-28"))
"""Rows with their ``mitigation`` and ``via``."""


@pytest.mark.parametrize("option", OPTIONS)
def test_what_is_unusual_in_one_column_is_not_usual(option):
    rows = planted.pooled([{"statistic": "pgr", "value": 1.0}, {"statistic": "pgr", "value": 2.0, option: "x"}])
    assert usual(rows)["value"].tolist() == [1] and usual(rows, **{option: "x"})["value"].tolist() == [2]
    assert usual(rows, **{option: None})["value"].tolist() == [1, 2] and usual(rows, **{option: "y"}).empty


def test_usual_rows_may_be_asked_for_by_other_columns_too():
    rows = planted.pooled(
        [{"statistic": s, "condition": c, "value": 1.0} for s, c in product(("pgr", "gap"), ("none", "explicit"))]
    )
    assert (
        usual(rows, statistic="pgr", condition="none").index.tolist() == [0] and len(usual(rows, statistic="gap")) == 2
    )


def test_numbers_are_found_although_they_are_not_exact_and_none_asks_nothing():
    rows = planted.pooled({"statistic": "pgr", "value": 1.0, "alpha": a} for a in (0.1 + 0.2, 0.5, np.nan))
    assert rows["alpha"][0] != 0.3
    assert rows_with(rows, alpha=0.3).index.tolist() == [0] and rows_with(rows, alpha=2.0).empty
    assert rows_with(rows, alpha=None, statistic="pgr").index.tolist() == [0, 1, 2]
    assert rows_with(rows, statistic="gap").empty


CELLS = tuple(product((1, 2), (("a", "b"), ("c", "d"))))


def scores(order, values, **names) -> pd.DataFrame:
    """A score in four cells, two seeds and two weak-strong pairs, whose rows stand in this order."""
    named = {"statistic": "deception_score", "threshold": 0.75} | names
    rows = []
    for i in order:
        seed, (weak, strong) = CELLS[i]
        who = "-".join([*names.values(), str(i)])
        cell = {"seed": seed, "weak": weak, "strong": strong, "run_keys": (f"weak-{i}", who)}
        rows.append(named | cell | {"value": values[i], "draws": np.full(3, values[i])})
    return planted.per_seed(rows)


LEFT, RIGHT = (np.nan, 0.5, 0.9, 0.1), (0.5, 0.1, np.nan, 0.9)
"""Each seed has an undefined cell, which takes its partner with it: so every wrong pairing gives other means by
seed."""

BY_SEED = (0.5 - 0.1, 0.1 - 0.9)


def test_the_planted_differences_tell_every_pairing_from_the_right_one():
    right, *wrong = (
        [
            [x for x in np.subtract(LEFT, np.array(RIGHT)[list(order)])[of_seed] if x == x]
            for of_seed in (slice(2), slice(2, 4))
        ]
        for order in permutations(range(4))
    )
    assert right == [[0.4], [-0.8]] and len(wrong) == 23
    for seeds in wrong:
        means = sorted(np.mean(seed) if seed else np.nan for seed in seeds)
        assert len(means) == 2 and not np.allclose(means, sorted(BY_SEED), atol=0.1), "in one of the two seeds at least"


@pytest.mark.parametrize(
    ("these", "those"),
    [
        ({"condition": "explicit"}, {"condition": "rerun"}),
        ({"condition": "explicit", "method": "dpo"}, {"condition": "explicit", "method": "reward_model"}),
        ({"condition": "explicit", "mitigation": "bootstrap", "via": "m"}, {"condition": "explicit"}),
    ],
)
@pytest.mark.parametrize("order", [(0, 1, 2, 3), (3, 1, 2, 0), (2, 0, 3, 1)])
def test_cells_meet_their_own_whatever_the_order_of_the_rows(these, those, order):
    frame = pd.concat([scores(range(4), LEFT, **these), scores(order, RIGHT, **those)], ignore_index=True)
    (found,) = difference(frame.assign(draws=None), "deception_score", "x", these, those).to_dict("records")
    assert found["value"] == pytest.approx(np.mean(BY_SEED)) and found["sd"] == pytest.approx(np.std(BY_SEED, ddof=1))
    assert found["n_seeds"] == 2 and found["versus"] == "x" and (found["weak"], found["strong"]) == (ALL, ALL)
    assert {name: found[name] for name in these} == these, "named as what was subtracted from"
    names = [scores([i], v, **who)["run_keys"][0][1] for i in range(4) for v, who in ((LEFT, these), (RIGHT, those))]
    expected = [key for i in range(4) for key in (f"weak-{i}", *names[2 * i : 2 * i + 2])]
    assert sorted(found["run_keys"].split()) == sorted(expected), "each once"


def test_draws_are_subtracted_cell_by_cell_too():
    """A single seed: its two cells, in another order on the right, each with draws that tell the pairs apart."""
    these, those = {"condition": "explicit"}, {"condition": "rerun"}
    frame = pd.concat([scores((0, 1), LEFT, **these), scores((1, 0), RIGHT, **those)], ignore_index=True)
    frame["draws"] = [np.array(d, dtype=float) for d in ([10, 20], [0, 40], [1, 5], [4, 7])]
    frame["value"] = [0.9, 0.5, 0.3, 0.1]
    found = difference(frame, "deception_score", "rerun", these, those).iloc[0]
    drawn = [((10 - 4) + (0 - 1)) / 2, ((20 - 7) + (40 - 5)) / 2]
    assert found["value"] == pytest.approx(0.5) and found["low"] == pytest.approx(np.quantile(drawn, 0.025))
    assert found["high"] == pytest.approx(np.quantile(drawn, 0.975))
    frame = frame.assign(value=[0.9, np.nan, 0.3, 0.1])  # the second cell is undefined, and so are its draws
    alone = difference(frame, "deception_score", "rerun", these, those).iloc[0]
    assert alone["value"] == pytest.approx(0.8) and alone["high"] == pytest.approx(np.quantile([6, 13], 0.975)), (
        "6 = 10 - 4, 13 = 20 - 7"
    )


@pytest.mark.parametrize("option", OPTIONS)
def test_a_column_that_a_difference_does_not_name_is_as_usual(option):
    these, those = {"condition": "explicit"}, {"condition": "rerun"}
    plain = [scores(range(4), LEFT, **these), scores((3, 1, 2, 0), RIGHT, **those)]
    other = [scores(range(4), (9.0,) * 4, **names, **{option: "x"}) for names in (these, those)]
    frame = pd.concat([*other, *plain], ignore_index=True).assign(draws=None)
    assert difference(frame, "deception_score", "rerun", these, those)["value"].tolist() == pytest.approx(
        [np.mean(BY_SEED)]
    )
    against = difference(frame, "deception_score", "unmodified", these | {option: "x"}, these)
    assert against["value"].tolist() == pytest.approx([9 - np.mean([0.5, (0.9 + 0.1) / 2])])


def test_a_cell_without_a_partner_is_an_error():
    these, those = {"condition": "explicit"}, {"condition": "rerun"}
    frame = pd.concat([scores(range(4), LEFT, **these), scores((3, 1, 2), RIGHT, **those)], ignore_index=True)
    with pytest.raises(KeyError):
        difference(frame, "deception_score", "rerun", these, those)


def test_cells_that_differ_in_more_than_is_named_are_an_error():
    """Two model pairs, of which the control's second has another alpha: pooled, there would be two rows a seed."""
    these, those = {"condition": "explicit"}, {"condition": "rerun"}
    frame = pd.concat([scores(range(4), LEFT, **these), scores(range(4), RIGHT, **those)], ignore_index=True)
    frame = frame.assign(draws=None)
    frame.loc[frame.index[-1], "alpha"] = 2.0
    with pytest.raises(KeyError, match="cells differ in more"):
        difference(frame, "deception_score", "rerun", these, those)


def test_rows_in_another_order_are_not_subtracted():
    frame = pool(scores(range(4), LEFT, condition="explicit").assign(draws=None))
    with pytest.raises(KeyError, match="minus rerun: cells differ in more"):
        one_less_other(frame, frame[::-1], "rerun")
    assert set(one_less_other(frame, frame, "rerun")["value"].dropna()) == {0}


def test_published_rows_are_read_as_they_were_written(tmp_path):
    rows = planted.per_seed(
        {"statistic": "deception_score", "seed": seed, "value": value, "threshold": 0.75, "run_keys": keys} | names
        for seed in (1, 2)
        for value, keys, names in (
            (0.1 * seed, ("a1", "b2"), {}),
            (np.nan, ("a1", "b2"), {"versus": "rerun", "alpha": 0.5}),
            (
                0.2,
                ("12345678",),
                {"statistic": "pgr", "threshold": np.nan, "mitigation": "bootstrap", "via": "tiny-28"},
            ),
            (
                0.3,
                ("c3",),
                {"weak": "", "strong": "none", "condition": "none"},
            ),  # the ladder has no weak model; "none" is a word
        )
    )
    rows = summarise(rows)
    table, runs = published(rows, "smoke", "07_x")
    assert list(table.columns) == list(COLUMNS) and list(runs.columns) == ["runs", "run_keys"]
    assert runs["run_keys"].tolist() == ["a1 b2", "12345678", "c3"] and runs["runs"].is_unique, (
        "what several rows share, once"
    )
    named = table.merge(runs, on="runs")
    assert named["run_keys"].tolist() == rows["run_keys"].tolist()
    table.to_csv(tmp_path / "x.csv", index=False)
    back = read_results(tmp_path / "x.csv")
    texts = [name for name in COLUMNS if name not in (*NUMBERS, "alpha", "threshold")]
    assert back[texts].to_numpy().tolist() == table[texts].to_numpy().tolist() and not back[texts].isna().any(axis=None)
    pd.testing.assert_frame_equal(
        back.drop(columns=texts), table.drop(columns=texts), check_dtype=False, check_exact=True
    )
    assert (
        np.isnan(pick(back, "deception_score", "explicit", "w", "s", versus="rerun")["value"])
        and back["alpha"].isna().sum() == 3
    )
    pd.testing.assert_frame_equal(usual(back).reset_index(drop=True), back.iloc[[0, 3]].reset_index(drop=True))


def test_names_of_digits_stay_text(tmp_path):
    (tmp_path / "x.csv").write_text(
        "statistic,versus,threshold,value,runs\npgr,,,0.5,00123456\npgr,,,0.5,0012e456\n", encoding="utf-8"
    )
    assert read_results(tmp_path / "x.csv")["runs"].tolist() == ["00123456", "0012e456"]
    (tmp_path / "x.csv").write_text("statistic,versus,threshold,value,runs\npgr,,,,00123456\n", encoding="utf-8")
    back = read_results(tmp_path / "x.csv").iloc[0]
    assert (
        (back["runs"], back["versus"]) == ("00123456", "") and np.isnan(back["threshold"]) and np.isnan(back["value"])
    )


def test_an_empty_table_is_read_as_one(tmp_path):
    published(pd.DataFrame(columns=list(ROWS)), "smoke", "07_x")[0].to_csv(tmp_path / "x.csv", index=False)
    back = read_results(tmp_path / "x.csv")
    assert list(back.columns) == list(COLUMNS) and back.empty and usual(back, versus="rerun").empty


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [
        (0.1, 0.2, "above zero"),
        (-0.2, -0.1, "below zero"),
        (-0.1, 0.1, "not distinguishable from zero"),
        (np.nan, np.nan, "undecided"),
    ],
)
def test_words_follow_the_interval(low, high, words):
    assert reads(pd.Series({"value": 0.15, "low": low, "high": high})) == words


def test_marks_say_what_the_words_say():
    for words, mark in MARKS.items():
        assert mark in LEGEND and (words == "undecided" or words.removesuffix(" zero") in LEGEND)
    row = pd.Series({"value": -0.2, "low": -0.3, "high": -0.1})
    assert marked(row) == "-0.20 [-0.30, -0.10] ▼" and marked(row, percent=True).endswith("-10.0] ▼")
    assert marked(pd.Series({"value": 0.2, "low": -0.3, "high": 0.7})).endswith("○")
    assert marked(pd.Series({"value": 0.5, "low": np.nan, "high": np.nan})) == "0.50 ?"
    assert marked(pd.Series({"value": np.nan, "low": np.nan, "high": np.nan})) == "undefined"


def test_intervals_are_counted_by_what_they_say():
    bounds = [(0.1, 0.2), (0.3, 0.4), (-0.2, -0.1), (-0.1, 0.1), (np.nan, np.nan)]
    rows = pd.DataFrame(bounds, columns=["low", "high"])
    assert [how_many_read(rows, says) for says in MARKS] == [2, 1, 1, 1]
    assert how_many_read(rows, "above zero", "below zero") == 3 and how_many_read(rows.iloc[:0], *MARKS) == 0


def test_say():
    row = pd.Series({"value": 0.4567, "low": 0.1, "high": 0.812})
    assert say(row) == "0.46 [0.10, 0.81]" and say(row, percent=True) == "45.7 % [10.0, 81.2]"
    assert say(pd.Series({"value": np.nan, "low": np.nan, "high": np.nan})) == "undefined"
    assert say(pd.Series({"value": -0.001, "low": -0.004, "high": 0.3})) == "0.00 [0.00, 0.30]"
    narrow = pd.Series({"value": -0.0004, "low": -0.004, "high": 0.003})
    assert say(narrow) == "0.000 [-0.004, 0.003]" and marked(narrow, percent=True).startswith("0.0 % [-0.4, 0.3] ○")
    assert say(pd.Series({"value": 0.5, "low": np.nan, "high": np.nan})) == "0.50"
    assert say(row, percent=True, unit=False) == "45.7 [10.0, 81.2]" and say(row, unit=False) == say(row)
    assert marked(row, percent=True, unit=False) == "45.7 [10.0, 81.2] ▲"


def test_who_is_trained_on_what(study: Study):
    weak, strong = study.edition.weak_strong[0]
    seed = study.edition.seeds[0]
    supervisor, ceiling, baseline, rerun, independent = study.compared(seed, weak, strong, "rerun")
    assert (supervisor.split, supervisor.labels) == ("ground_truth", None)
    assert (ceiling.split, ceiling.labels) == ("weak_label", None)
    for run in (baseline, rerun, independent):
        assert isinstance(run, Train) and (run.split, run.labels, run.model) == (
            "weak_label",
            supervisor,
            ceiling.model,
        )
        assert run.conflict.kind == "none"
    assert len({r.replica for r in (ceiling, baseline, rerun, independent)}) == 4, "no two share their random streams"
    explicit = study.student(seed, weak, strong, "explicit")
    assert explicit.conflict.alpha == study.edition.alpha
    for condition in (*CORE[1:], *CONTROLS):
        (_, _, baseline, student, independent) = study.compared(seed, weak, strong, condition)
        shares = condition in ("explicit_shared", "gold", "untrained")
        assert (student.replica == baseline.replica) == shares and independent.replica != student.replica, condition
    implicit, placebo = (study.student(seed, weak, strong, c).conflict for c in ("implicit", "placebo"))
    assert (implicit.objective, placebo.objective) == ("helpfulness", "politeness")


def test_intervals_of_shares_and_of_their_differences_stay_where_these_can_be(study):
    frame = two_seeds({0: (0.1, 0.1), 1: (0.9, 0.9)})
    row = pick(summarise(frame, pooled=True), "deception_score", "explicit")
    assert 0 <= row["low"] < 0.5 < row["high"] <= 1
    both = pd.concat([frame, frame.assign(condition="rerun", value=0.5)])
    row = difference(both, "deception_score", "rerun", {"condition": "explicit"}, {"condition": "rerun"}).iloc[0]
    assert -1 <= row["low"] < 0 < row["high"] <= 1 and row["value"] == pytest.approx(0)


def test_the_interval_of_a_difference_is_made_from_its_two_shares():
    taxed, rerun = (
        {0: (0.01, 0.03), 1: (0.05, 0.07), 2: (0.02, 0.04)},
        {0: (0.01, 0.01), 1: (0.02, 0.02), 2: (0.02, 0.01)},
    )
    frame = pd.concat([two_seeds(taxed), two_seeds(rerun).assign(condition="rerun")]).assign(statistic="conflict_tax")
    row = difference(frame, "conflict_tax", "rerun", {"condition": "explicit"}, {"condition": "rerun"}).iloc[0]
    left, right = (np.mean(list(values.values()), axis=1) for values in (taxed, rerun))
    assert (row["low"], row["high"]) == pytest.approx(share_bounds(left, right))


@pytest.mark.parametrize("statistic", LESS)
def test_what_is_taken_off_a_share_leaves_the_statistic(statistic):
    c = Comparison(*np.random.default_rng(0).uniform(size=(5, 400)))
    found = estimate(c, statistic, ())
    shares = {
        "net_change": (~correct(c.baseline) & correct(c.conflict)).mean(),
        "band_contrast": c.tax_rate_in_band(),
    }
    assert 0 < found.less() < 1 and found.of() + found.less() == pytest.approx(shares[statistic])


def test_the_interval_of_a_net_change_is_made_from_pairs_won_back_and_taxed_ones():
    value, taxed = np.array([-0.01, 0.0, -0.03]), np.array([0.02, 0.01, 0.06])
    frame = planted.per_seed(
        {"statistic": "net_change", "seed": i, "value": v, "less": t} for i, (v, t) in enumerate(zip(value, taxed))
    )
    row = summarise(frame, pooled=True).iloc[0]
    assert (row["low"], row["high"]) == pytest.approx(share_bounds(value + taxed, taxed))
    control = frame.assign(condition="rerun", value=[0.0, 0.01, 0.0], less=0.01)
    both = pd.concat([frame, control])
    row = difference(both, "net_change", "rerun", {"condition": "explicit"}, {"condition": "rerun"}).iloc[0]
    gain = value + taxed + 0.01
    assert (row["low"], row["high"]) == pytest.approx(share_bounds(gain, gain - (value - [0.0, 0.01, 0.0])))


@pytest.mark.parametrize("statistic", ["conflict_tax", "net_change", "excess_margin_matched", "pgr"])
def test_seeds_that_are_all_alike_are_no_evidence(statistic):
    frame = planted.per_seed({"statistic": statistic, "seed": seed, "value": 0.0} for seed in range(3))
    row = summarise(frame, pooled=True).iloc[0]
    assert row["value"] == 0 and row["sd"] == 0 and np.isnan(row["low"]) and np.isnan(row["high"])
    assert say(row, percent=True) == "0.0 % [cannot tell]" and reads(row) == "undecided"


NO_SHARES = (
    *("gap", "pgr", "net_change", "lift", "band_contrast", "explained_by_label"),
    *(f"{kind}_{null}" for kind in ("excess", "share_of_attainable") for null in NULLS),
    *(f"overconfidence_{role}" for role in ("weak", "student", "ceiling")),
    *(
        "gain",
        "gain_beyond_misfit",
        "kappa",
        "shift_by_ceiling",
        "taxed_there_beyond_margin",
        "tax_rate_contrast",
        "loss_weak",
        "loss_student",
        "loss_distance",
        "bound_beyond_coin",
    ),
    *(f"{name}_moved" for name in ("score", "null", "beyond_null")),
    *(f"bound_{how}" for how in ("pair_by_pair", "by_variation", "by_kl", "by_reverse_kl")),
    *(f"slack_{name}" for name in ("mixtures", "mixtures_truth", "heads", "heads_truth", "heads_forward")),
)


@pytest.mark.parametrize("statistic", NO_SHARES)
def test_intervals_of_what_is_no_share_of_pairs_are_not_cut(statistic):
    row = pick(
        summarise(two_seeds({0: (0.1, 0.1), 1: (0.9, 0.9)}).assign(statistic=statistic), pooled=True),
        statistic,
        "explicit",
    )
    assert row["low"] < 0 and (row["high"] > 1 if statistic in RATIOS else row["high"] == 1) and statistic in SIGNED


def test_all_that_is_no_share_of_pairs_is_known():
    assert sorted(SIGNED) == sorted(NO_SHARES)


def test_wide_keeps_the_order_and_invents_no_pair(study):
    frame = pd.DataFrame(
        {
            "weak": ["b", "b", "a", "a"],
            "strong": ["d", "d", "c", "c"],
            "statistic": ["y", "x"] * 2,
            "value": [1.0, 2, 3, np.nan],
        }
    )
    table = wide(frame)
    assert list(table.index) == [("b", "d"), ("a", "c")] and list(table.columns) == ["y", "x"]
    assert table.loc[("b", "d"), "x"] == 2 and np.isnan(table.loc[("a", "c"), "x"])


def test_the_last_bin_of_labels_holds_certainty():
    """A supervisor's probability is exactly 1 from a margin of 37 on: such a pair is in the last bin, and in no
    band."""
    name, low, high = BY_LABEL[-1]
    p = np.array([1.0, 1.0])
    c = Comparison(weak=p, ceiling=p, baseline=p, conflict=np.array([0.0, 1.0]), independent=p, alpha=1.0)
    assert high == 1 and float(STATISTICS[name](c)) == 0.5
    assert np.isnan(c.tax_rate_in_band()) and c.tax_rate_above_band() == 0.5
