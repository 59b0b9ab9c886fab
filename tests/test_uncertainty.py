"""Intervals cover near their nominal rate on planted truth, and the naive one does not."""

import numpy as np
import pytest

from w2s_lib.metrics import Comparison
from w2s_lib.uncertainty import cluster_interval, cluster_weights, percentile_interval, seed_interval

DS = 0.45


def simulated_seed(rng, clusters=60, per_cluster=8):
    """Score tables of one study seed whose true DS scatters around ``DS`` and whose clusters share their fate."""
    n = clusters * per_cluster
    index = np.repeat(np.arange(clusters), per_cluster)
    level = np.clip(DS + 0.06 * rng.normal(), 0.05, 0.95)
    area = rng.beta(level * 4, (1 - level) * 4, size=clusters)[index] > rng.uniform(size=n)
    tax = rng.uniform(size=n) < 0.3
    c = Comparison(np.full(n, 0.1), np.where(area, 0.9, 0.1), np.full(n, 0.9), np.where(tax, 0.1, 0.9), rng.uniform(size=n))
    return c, index


def test_seed_interval_by_hand():
    value, low, high, n = seed_interval([0.4, 0.5, 0.6])
    assert (value, n) == (pytest.approx(0.5), 3)
    assert high - value == pytest.approx(4.302653 * 0.1 / np.sqrt(3)) == pytest.approx(value - low)


def test_undefined_seeds_are_left_out_and_counted():
    assert seed_interval([0.4, np.nan, 0.6]).n_seeds == 2
    assert seed_interval([np.nan]).n_seeds == 0
    one = seed_interval([0.4, np.nan])
    assert one.value == 0.4 and np.isnan(one.low)


def test_three_seed_intervals_cover_and_a_bootstrap_of_three_does_not():
    rng = np.random.default_rng(0)
    covered, naive, studies = 0, 0, 400
    for _ in range(studies):
        estimates = np.array([float(simulated_seed(rng)[0].deception_score()) for _ in range(3)])
        interval = seed_interval(estimates)
        covered += interval.low <= DS <= interval.high
        low, high = np.quantile(rng.choice(estimates, (200, 3)).mean(axis=1), [0.025, 0.975])
        naive += low <= DS <= high
    assert 0.92 <= covered / studies <= 0.98
    assert naive / studies < 0.85


def test_cluster_interval_covers_where_pairs_are_not_independent():
    """Truth of a single seed: its own clusters' mean, known from far more pairs."""
    rng = np.random.default_rng(1)
    studies, covered, covered_by_pairs = 300, 0, 0
    index = np.repeat(np.arange(150), 8)
    for _ in range(studies):
        hit = (rng.uniform(size=len(index)) < rng.normal(DS, 0.2, size=150).clip(0, 1)[index]).astype(float)

        def statistic(weights=None, hit=hit):
            return hit.mean() if weights is None else weights @ hit / weights.sum(-1)

        by_cluster = cluster_interval(statistic, cluster_weights(index, 300, rng))
        by_pair = cluster_interval(statistic, cluster_weights(np.arange(len(index)), 300, rng))
        covered += by_cluster.low <= DS <= by_cluster.high
        covered_by_pairs += by_pair.low <= DS <= by_pair.high
    assert 0.91 <= covered / studies <= 0.98
    assert covered_by_pairs < covered


def test_cluster_weights_resample_whole_clusters():
    weights = cluster_weights(["a", "a", "b", "c", "c", "c"], 500, np.random.default_rng(0))
    assert weights.shape == (500, 6)
    assert (weights[:, 0] == weights[:, 1]).all() and (weights[:, 3] == weights[:, 5]).all()
    assert (weights[:, 0] + weights[:, 2] + weights[:, 3] == 3).all()


def test_percentile_interval_of_an_undefined_value():
    interval = percentile_interval(np.nan, np.array([0.1, 0.2]))
    assert np.isnan(interval.low) and interval.n_seeds == 0
