"""Intervals cover near their nominal rate on planted truth, and the naive ones do not."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from tests.benchmarks.coverage import CONTRAST, SIZES, coverage, covers, naive, one_seed, simulated
from tests.simulate import Plant
from w2s_lib.measures.intervals import (
    cluster_weights,
    minimum_detectable_effect,
    percentile_interval,
    seed_interval,
    share_bounds,
    t_bounds,
)

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


def test_seeds_that_are_all_alike_give_no_interval():
    for alike in ([0.0, 0.0, 0.0], [0.3 - 0.1, 0.2, 0.4 - 0.2]):
        for less in (None, 0.0):
            value, low, high, n, sd = seed_interval(alike, less=less)
            assert (value, n, sd) == (pytest.approx(alike[1]), 3, 0.0) and np.isnan(low) and np.isnan(high)
    assert np.isnan(seed_interval([0.1, 0.1], less=[0.2, 0.5]).low), "parts that differ, and a difference that does not"


def test_intervals_of_shares_are_those_of_student_where_seeds_differ_little():
    share, other = np.array([0.51, 0.50, 0.49, 0.505]), np.array([0.305, 0.30, 0.295, 0.30])
    assert share_bounds(share) == pytest.approx(t_bounds(share), abs=1e-4)
    assert share_bounds(share, other) == pytest.approx(t_bounds(share - other), abs=1e-4)
    x = seed_interval(share - other, less=other)
    assert (x.low, x.high) == pytest.approx(share_bounds(share, other))


@pytest.mark.parametrize(
    ("share", "less", "least", "most"),
    [
        ([0.94, 0.92, 0.99], 0, 0, 1),
        ([0, 0, 0.01], 0, 0, 1),
        ([1, 1, 0.99], 0, 0, 1),
        ([0.9, 0.99, 0.5], [0.1, 0, 0.4], -1, 1),
        ([0, 0.2, 0.1], [0.9, 1, 0.4], -1, 1),
        ([0.5, 0.2, 0.1], [0, 0, 0], -1, 1),
        ([1.6, 1.2, 0.1], [0, 0.1, 0.3], -2, 2),
    ],
)
def test_intervals_of_shares_stay_where_shares_can_be(share, less, least, most):
    value, low, high, *_ = seed_interval(np.subtract(share, less), less=less)
    assert least <= low < value < high <= most


def test_intervals_do_not_depend_on_which_of_two_sides_is_called_a_share():
    share, other = np.array([0.01, 0.02, 0.06]), np.array([0.03, 0.02, 0.05])
    low, high = share_bounds(share, other)
    assert share_bounds(other, share) == pytest.approx((-high, -low))
    assert share_bounds(1 - share) == pytest.approx(tuple(1 - end for end in share_bounds(share))[::-1])


def lognormal(rng: np.random.Generator, mean: float, sigma: float, size: tuple[int, int]) -> np.ndarray:
    return mean * np.exp(sigma * rng.normal(size=size) - sigma**2 / 2)


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("sigma", [0.1, 0.4, 0.6])
def test_intervals_of_skewed_shares_and_differences_cover_their_means(n, sigma):
    """Lognormal over seeds; of the widest, every twentieth seed has more than 2.7 times the median."""
    rng, studies, truth = np.random.default_rng(n), 4000, 0.02
    error = 200 * np.sqrt(0.95 * 0.05 / studies)  # two standard errors, in points
    tax, rerun = lognormal(rng, truth, sigma, (studies, n)), lognormal(rng, 0.03, 0.15, (studies, n))
    assert covers(*share_bounds(tax), truth) == pytest.approx(95, abs=2 + error)
    assert covers(*share_bounds(tax, rerun), truth - 0.03) == pytest.approx(95, abs=2 + error)
    if sigma == 0.6:
        assert covers(*t_bounds(tax), truth) < covers(*share_bounds(tax), truth) - 1
        assert covers(*t_bounds(tax), truth) < 93, "if Student's t did as well, there would be no need of anything else"


@pytest.fixture(scope="module")
def seeds():
    return simulated(SMALL, 250, np.random.default_rng(0))


@pytest.fixture(scope="module")
def three(seeds):
    """A smaller version of ``python -m tests.benchmarks.coverage``."""
    return coverage(seeds, 3, 2000, np.random.default_rng(0)).set_index("statistic")


@pytest.fixture(scope="module", params=SIZES)
def sized(seeds, request):
    """A smaller version of ``python -m tests.benchmarks.coverage``, with the number of seeds of a study."""
    return request.param, coverage(seeds, request.param, 2000, np.random.default_rng(0)).set_index("statistic")


@pytest.mark.slow
@pytest.mark.parametrize(
    "statistic", ["conflict_tax", "net_change", CONTRAST, "deception_score", "excess_margin_matched"]
)
def test_intervals_over_seeds_cover_the_planted_truth_and_bootstraps_of_seeds_do_not(sized, statistic):
    """Of a pool of 250 simulated seeds, 30 know much: their intervals cover more than they say."""
    n, table = sized
    assert 92 <= table.loc[statistic, "book"] <= (98.5 if n == 30 else 97.5)
    assert n > 3 or table.loc[statistic, "bootstrap of seeds"] < 85


@pytest.mark.slow
def test_intervals_that_take_pairs_for_independent_cover_less(seeds, three):
    covered = naive(SMALL, seeds, 20, np.random.default_rng(0)).set_index("statistic")["of pairs"]
    for statistic in ("deception_score", "excess_margin_matched", "pgr"):
        assert covered[statistic] < three.loc[statistic, "book"]


@pytest.mark.parametrize("statistic", ["deception_score per gap", "excess_margin_matched per gap"])
def test_intervals_of_slopes_cover_although_cells_share_models(three, statistic):
    assert 91 <= three.loc[statistic, "book"] <= 98.5
    assert three.loc[statistic, "bootstrap of seeds"] < 85


@pytest.mark.parametrize("n", SIZES)
def test_taxes_are_skewed_over_seeds_and_their_intervals_err_less_than_those_of_student(seeds, n):
    row = coverage(seeds, n, 2000, np.random.default_rng(1)).set_index("statistic").loc["conflict_tax"]
    assert row["skew"] > 0.3 and row["book below"] < row["t below"]
    assert 92.5 <= row["book"] <= 98.5, "of a pool of 250 seeds, 30 know much"


@pytest.mark.slow
def test_where_nothing_is_planted_the_margin_matched_null_takes_the_score_away():
    plant = replace(SMALL, preference=0.0, preference_scatter=0.0)
    rng = np.random.default_rng(1)
    row = coverage(simulated(plant, 250, rng), 3, 2000, rng).set_index("statistic").loc["excess_margin_matched"]
    assert abs(row["truth"]) < 0.01
    assert row["book off zero"] < 9


@pytest.mark.slow
def test_cluster_intervals_cover_where_pairs_are_not_independent():
    table = one_seed(SMALL, 200, np.random.default_rng(2)).set_index("statistic")
    for statistic in ("conflict_tax", "deception_score", "pgr"):
        assert 88 <= table.loc[statistic, "clusters"] <= 99
        assert table.loc[statistic, "pairs"] < table.loc[statistic, "clusters"]


@pytest.mark.slow
def test_intervals_of_one_seed_lean_to_no_side_where_a_pair_is_drawn_twice():
    """A pair's copies, were they matched with it, would take a twentieth off what is planted beyond the null."""
    table = one_seed(replace(SMALL, preference=1.5), 200, np.random.default_rng(3)).set_index("statistic")
    truth, lean = table.loc["excess_margin_matched", ["truth", "lean"]]
    assert truth > 0.15 and abs(lean) < 0.025 * truth
    assert 88 <= table.loc["excess_margin_matched", "clusters"] <= 99


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
    assert np.isnan(minimum_detectable_effect(0.0, 2)), "seeds that are all alike do not say how far they could differ"


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


def test_draws_that_are_all_alike_give_no_interval():
    interval = percentile_interval(0.0, np.zeros(100))
    assert interval.value == 0 and np.isnan(interval.low) and np.isnan(interval.high) and interval.n_seeds == 1
