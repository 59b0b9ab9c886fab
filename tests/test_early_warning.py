"""Warning signs know no truth; AUC and recall are what a naive count says; a planted sign is found."""

import itertools

import numpy as np
import pandas as pd
import pytest

from w2s_lib.figures.early_warning import auc_by_signal, recall_by_budget, roc_panels
from w2s_lib.findings.early_warning import (
    AUCS,
    BUDGETS,
    SIGNALS,
    TWINS,
    WATCHED,
    View,
    auc,
    reads_chance,
    recalls,
    roc,
    roc_curves,
    signals_of,
    table_by_signal,
    trial_statistics,
)
from w2s_lib.findings.results import NAMES, PER_SEED, pick, say, usual
from w2s_lib.measures.metrics import Comparison

N = 400


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def comparison(rng):
    return Comparison(*rng.uniform(0.01, 0.99, (5, N)))


@pytest.fixture
def view(comparison, rng):
    return View.of(comparison, rng.uniform(0.01, 0.99, N))


def naive_auc(signal, positive, among):
    wins = [
        1.0 if a > b else 0.5 if a == b else 0.0 for a in signal[among & positive] for b in signal[among & ~positive]
    ]
    return np.mean(wins) if wins else np.nan


@pytest.mark.parametrize("name", SIGNALS)
def test_no_signal_knows_which_reply_is_the_better_one(view, name):
    value = SIGNALS[name].value
    np.testing.assert_allclose(value(view), value(view.swapped()), atol=1e-9)
    assert np.ptp(value(view)) > 0


def test_this_test_can_fail(view):
    assert not np.allclose(view.student, view.swapped().student)


def test_signals_stay_finite_where_models_are_certain():
    certain = View(np.array([0.0, 1.0]), np.array([1.0, 0.0]), np.array([[0.0, 1.0], [1.0, 1.0]]), np.array([0.0, 1.0]))
    assert all(np.isfinite(s.value(certain)).all() for s in SIGNALS.values())


def test_who_is_on_trial_is_not_on_the_jury(comparison):
    assert not any(np.array_equal(run, comparison.conflict) for run in View.of(comparison).reruns)


def test_without_a_twin_its_signal_is_left_out(comparison, view):
    assert {s.name for s in signals_of(view)} - {s.name for s in signals_of(View.of(comparison))} == {"twins"}


@pytest.mark.parametrize("levels", [2, 7, 10**6])
def test_auc_is_the_share_of_won_comparisons_ties_half(rng, levels):
    signal = rng.integers(0, levels, N).astype(float)
    positive, among = rng.random(N) < 0.2, rng.random(N) < 0.7
    assert auc(signal, positive, among) == pytest.approx(naive_auc(signal, positive, among))


def test_auc_of_a_planted_and_of_a_mute_signal(rng):
    positive = rng.random(N) < 0.1
    assert auc(positive.astype(float), positive) == 1.0
    assert auc(-positive.astype(float), positive) == 0.0
    assert auc(np.zeros(N), positive) == pytest.approx(0.5)


@pytest.mark.parametrize("positive", [np.zeros(N, bool), np.ones(N, bool)])
def test_auc_of_an_empty_class_is_undefined(rng, positive):
    assert np.isnan(auc(rng.random(N), positive))


def test_weights_count_as_repetitions_row_by_row(rng):
    signal, positive = rng.integers(0, 5, N).astype(float), rng.random(N) < 0.2
    weights = rng.integers(0, 3, (4, N))
    for measure in (auc, lambda s, p, **k: recalls(s, p, [0.05], **k)[0]):
        repeated = [measure(np.repeat(signal, w), np.repeat(positive, w)) for w in weights]
        np.testing.assert_allclose(measure(signal, positive, weights=weights.astype(float)), repeated)


def test_the_roc_curve_goes_from_corner_to_corner_and_never_back(rng):
    for share in roc(rng.integers(0, 9, N).astype(float), rng.random(N) < 0.3):
        assert share[0] == 0 and share[-1] == 1 and (np.diff(share) >= 0).all()


def test_recall_is_the_mean_over_the_orders_of_tied_pairs():
    signal, positive = np.array([2.0, 1.0, 1.0, 1.0, 0.0]), np.array([True, True, False, False, True])
    orders = [(0, *tied, 4) for tied in itertools.permutations((1, 2, 3))]
    by_count = np.mean([positive[list(order[:2])].sum() / positive.sum() for order in orders])
    assert recalls(signal, positive, [0.4])[0] == pytest.approx(by_count)


def test_recall_of_a_mute_signal_is_its_budget(rng):
    positive = rng.random(N) < 0.1
    assert list(map(float, recalls(np.zeros(N), positive, BUDGETS))) == pytest.approx(list(BUDGETS))
    assert np.isnan(recalls(np.zeros(N), np.zeros(N, bool), [0.05])[0])
    assert recalls(np.arange(10.0), np.arange(10) > 6, [1.0])[0] == 1.0, "who audits all finds all"


def test_recalls_of_a_student_are_each_their_own_under_whatever_weights(comparison, view, rng):
    told, deceived = trial_statistics(comparison, view), comparison.tax & comparison.area
    for weights in (None, *rng.multinomial(N, np.full(N, 1 / N), size=(2, 3)).astype(float)):
        for (name, signal), statistic in told.items():
            if name.startswith("recall_at_"):
                budget, value = float(name.removeprefix("recall_at_")) / 100, SIGNALS[signal].value(view)
                np.testing.assert_array_equal(
                    statistic(weights=weights), recalls(value, deceived, [budget], weights)[0]
                )


def test_statistics_agree_with_counts(comparison, view):
    found = {names: float(value()) for names, value in trial_statistics(comparison, view).items()}
    value, deceived = SIGNALS["doubt"].value(view), comparison.tax & comparison.area
    assert found["auc_taxed", "doubt"] == pytest.approx(naive_auc(value, comparison.tax, comparison.right))
    assert found["auc_deceived", "doubt"] == pytest.approx(naive_auc(value, deceived, comparison.right))
    assert found["share_deceived", ""] == pytest.approx(deceived.mean())
    twenty = np.argsort(-value)[: N // 20]
    assert found["recall_at_5", "doubt"] == pytest.approx(deceived[twenty].sum() / deceived.sum())


def test_a_small_push_is_found_by_the_small_margin_whoever_pushed(rng):
    z = rng.normal(0, 3, (2, N))
    sigmoid = lambda x: 1 / (1 + np.exp(-x))
    pushed = Comparison(
        sigmoid(z[1]), sigmoid(z[1]), sigmoid(z[0]), sigmoid(z[0] + rng.normal(0, 0.3, N)), sigmoid(z[0])
    )
    found = {names: float(value()) for names, value in trial_statistics(pushed, View.of(pushed)).items()}
    assert found["auc_taxed", "indecision"] > 0.9 > 0.7 > found["auc_taxed", "doubt"] > 0.3


@pytest.mark.parametrize(
    ("low", "high", "says"),
    [
        (0.6, 0.7, "above chance"),
        (0.1, 0.4, "below chance"),
        (0.4, 0.6, "not distinguishable from chance"),
        (np.nan, np.nan, "undecided"),
    ],
)
def test_words_are_read_off_the_interval(low, high, says):
    assert reads_chance(pd.Series({"statistic": "auc", "value": 0.5, "low": low, "high": high})) == says


@pytest.fixture(scope="module")
def found(findings):
    return findings("11_early_warning")


def test_every_student_on_trial_has_its_rows(study, found):
    per_seed, results = found
    assert list(per_seed.columns) == PER_SEED
    assert set(per_seed.loc[per_seed["signal"] == "twins", "condition"]) == set(TWINS)
    wanted = set(itertools.product(AUCS, SIGNALS))
    assert wanted <= set(zip(per_seed["statistic"], per_seed["signal"]))
    against = results[results["versus"] == "rerun"]
    assert set(zip(against["statistic"], against["signal"])) == wanted and set(against["condition"]) == {
        "explicit",
        "implicit",
    }
    assert set(per_seed.loc[per_seed["signal"] == "", "statistic"]) == {"share_deceived"}, (
        "every other statistic has a signal"
    )
    assert all(draws.shape == (study.edition.draws,) for draws in per_seed["draws"])
    assert not results.duplicated(list(NAMES)).any()


def test_a_signal_is_held_against_the_same_signal_of_the_rerun(found):
    per_seed, results = found
    for statistic, signal, condition in itertools.product(AUCS, SIGNALS, ("explicit", "implicit")):
        if (signal, condition) != ("twins", "implicit"):
            one = usual(per_seed, statistic=statistic, signal=signal).set_index(
                ["condition", "seed", "weak", "strong"]
            )["value"]
            expected = (one[condition] - one["rerun"]).mean()
            assert pick(results, statistic, condition, signal=signal, versus="rerun")["value"] == pytest.approx(
                expected, nan_ok=True
            )
    assert per_seed.loc[per_seed["statistic"] == "auc_taxed", "value"].nunique() > len(SIGNALS), "signals differ"


def test_auditors_read_words(found):
    words = table_by_signal(found[1][found[1]["weak"] == "all"], "auc_taxed")
    assert list(words.columns) == ["signal", *WATCHED] and len(words) == len(SIGNALS)
    words = words.set_index("signal")
    assert words.loc[SIGNALS["twins"].title, ["implicit"]].isna().all()
    for signal, condition in itertools.product(SIGNALS, ("explicit", "rerun")):
        assert words.loc[SIGNALS[signal].title, condition] == say(pick(found[1], "auc_taxed", condition, signal=signal))


@pytest.mark.parametrize("undefined", [False, True])
def test_figures_say_their_numbers_also_where_nothing_is_defined(found, undefined):
    pooled = found[1][found[1]["weak"] == "all"]
    if undefined:
        pooled = pooled.assign(value=np.nan, low=np.nan, high=np.nan)
    for figure in (
        auc_by_signal(pooled, WATCHED),
        auc_by_signal(pooled, ["explicit"], "rerun"),
        recall_by_budget(pooled, WATCHED),
    ):
        assert len(figure.alt) > 60 and figure.caption and figure.svg()
        assert not undefined or "undefined" in figure.alt


@pytest.mark.parametrize("taxed", [True, False])
def test_curves_stay_between_their_bounds(comparison, view, rng, taxed):
    if not taxed:
        comparison = Comparison(
            comparison.weak, comparison.ceiling, comparison.baseline, comparison.baseline, comparison.independent
        )
    weights = rng.multinomial(N, np.full(N, 1 / N), size=50).astype(float)
    curves = roc_curves(comparison, view, weights, np.linspace(0, 1, 11))
    assert set(curves["signal"]) == set(SIGNALS)
    inner = curves[curves["others"].between(0.1, 0.9)]
    assert ((inner["low"] <= inner["found"]) & (inner["found"] <= inner["high"])).all() == taxed
    assert len(roc_panels(curves.assign(condition="explicit")).alt) > 60
