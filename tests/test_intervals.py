"""Intervals cover near their nominal rate on planted truth, and the naive ones do not."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from tests.benchmarks.coverage import one_seed, three_seeds
from tests.simulate import Plant
from w2s_lib.measures.intervals import cluster_weights, minimum_detectable_effect, percentile_interval, seed_interval

SMALL = Plant(skills=(0.65, 0.95, 1.2), substances=120, tasks=4, pairs=600)


def test_seed_interval_by_hand():
    value, low, high, n, _ = seed_interval([0.4, 0.5, 0.6])
    assert (value, n) == (pytest.approx(0.5), 3)
    assert high - value == pytest.approx(4.302653 * 0.1 / np.sqrt(3)) == pytest.approx(value - low)


def test_undefined_seeds_are_left_out_and_counted():
    assert seed_interval([0.4, np.nan, 0.6]).n_seeds == 2
    assert seed_interval([np.nan]).n_seeds == 0
    one = seed_interval([0.4, np.nan])
    assert one.value == 0.4 and np.isnan(one.low)


# Hundreds of simulated studies


@pytest.fixture(scope="module")
def coverage():
    """A smaller version of ``python -m tests.benchmarks.coverage``."""
    return three_seeds(SMALL, studies=250, by_pairs=25, rng=np.random.default_rng(0)).set_index("statistic")


@pytest.mark.slow
@pytest.mark.parametrize("statistic", ["deception_score", "excess_margin_matched", "pgr"])
def test_intervals_over_seeds_cover_the_planted_truth_and_naive_ones_do_not(coverage, statistic):
    row = coverage.loc[statistic]
    assert 91 <= row["t of seeds"] <= 98.5
    assert row["bootstrap of seeds"] < 85
    assert row["bootstrap of pairs"] < row["t of seeds"]


@pytest.mark.slow
@pytest.mark.parametrize("statistic", ["deception_score per gap", "excess_margin_matched per gap"])
def test_intervals_of_slopes_cover_although_cells_share_models(coverage, statistic):
    assert 91 <= coverage.loc[statistic, "t of seeds"] <= 98.5
    assert coverage.loc[statistic, "bootstrap of seeds"] < 85


@pytest.mark.slow
def test_taxes_are_skewed_over_seeds_and_their_intervals_err_by_lying_too_low(coverage):
    row = coverage.loc["conflict_tax"]
    assert row["skew"] > 0.3 and row["t of seeds"] > 88
    assert row["below"] > row["above"]


@pytest.mark.slow
def test_where_nothing_is_planted_the_margin_matched_null_takes_the_score_away():
    plant = replace(SMALL, preference=0.0, preference_scatter=0.0)
    row = three_seeds(plant, 250, 1, np.random.default_rng(1)).set_index("statistic").loc["excess_margin_matched"]
    assert abs(row["truth"]) < 0.01
    assert row["off zero"] < 9


@pytest.mark.slow
def test_cluster_intervals_cover_where_pairs_are_not_independent():
    table = one_seed(SMALL, 200, np.random.default_rng(2)).set_index("statistic")
    for statistic in ("conflict_tax", "deception_score", "pgr"):
        assert 88 <= table.loc[statistic, "clusters"] <= 99
        assert table.loc[statistic, "pairs"] < table.loc[statistic, "clusters"]


@pytest.mark.parametrize("n", [2, 3, 10])
def test_the_minimum_detectable_effect_is_detected_with_its_power(n):
    rng, truth = np.random.default_rng(3), minimum_detectable_effect(0.7, n)
    x = rng.normal(truth, 0.7, (20_000, n))
    detected = np.abs(x.mean(axis=1)) > stats.t.ppf(0.975, n - 1) * x.std(axis=1, ddof=1) / np.sqrt(n)
    assert detected.mean() == pytest.approx(0.8, abs=0.01)


def test_the_minimum_detectable_effect_is_that_of_the_noncentral_t():
    found = minimum_detectable_effect(0.1, 3, power=0.6, level=0.9)
    noncentrality, critical = found * np.sqrt(3) / 0.1, stats.t.ppf(0.95, 2)
    assert stats.nct.sf(critical, 2, noncentrality) + stats.nct.cdf(-critical, 2, noncentrality) == pytest.approx(
        0.6, abs=1e-4
    )
    assert minimum_detectable_effect(1.0, 3, 0.6, 0.9) == pytest.approx(10 * found)
    assert minimum_detectable_effect(0.1, 3) > found


def test_the_minimum_detectable_effect_of_less_than_two_seeds_is_undefined():
    assert np.isnan(minimum_detectable_effect(np.nan, 0)) and np.isnan(minimum_detectable_effect(np.nan, 1))
    assert minimum_detectable_effect(0.0, 2) == 0


def test_the_spread_over_seeds_is_that_of_the_defined_ones():
    assert seed_interval([0.1, np.nan, 0.5, 0.9]).sd == pytest.approx(0.4)
    assert np.isnan(seed_interval([0.1]).sd) and np.isnan(seed_interval([]).sd)


def test_cluster_weights_resample_whole_clusters():
    weights = cluster_weights(["a", "a", "b", "c", "c", "c"], 500, np.random.default_rng(0))
    assert weights.shape == (500, 6)
    assert (weights[:, 0] == weights[:, 1]).all() and (weights[:, 3] == weights[:, 5]).all()
    assert (weights[:, 0] + weights[:, 2] + weights[:, 3] == 3).all()


def test_percentile_interval_of_an_undefined_value():
    interval = percentile_interval(np.nan, np.array([0.1, 0.2]))
    assert np.isnan(interval.low) and interval.n_seeds == 0
