"""Intervals.  The study seed is the unit of replication; within one seed, the cluster of pairs is.

A study seed draws a new world, new models and new test pairs, so the estimates of several seeds are
independent draws of the same thing, whose spread already contains the sampling of pairs.  Their mean
gets a t interval.  With three seeds it is wide (t = 4.3), and that is the truth: a percentile
bootstrap over three seeds covers far less than it says (``tests/benchmarks/coverage.py`` shows it).
Where few pairs are taxed, and several times as many in one seed as in another, taxes and net changes are skewed
over seeds: their t intervals then cover some 88 % and err by lying too near to zero; scores, nulls and slopes keep their 95 %.
Where there is one seed, pairs about the same substance are resampled together; such an interval
speaks of new pairs from the same world and models, not of new worlds.

>>> from w2s_lib.measures.intervals import seed_interval
>>> seed_interval([0.4, 0.5, 0.6])
Interval(value=0.5, low=0.25..., high=0.74..., n_seeds=3, sd=0.09...)
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats
from statsmodels.stats.power import TTestPower

LEVEL = 0.95


class Interval(NamedTuple):
    """An estimate with its 95 % interval (NaN bounds where none can be given)."""

    value: float
    low: float
    high: float
    n_seeds: int
    sd: float = np.nan
    """Standard deviation over study seeds; NaN for fewer than two.  The bounds of a share are cut at 0 and 1, this is not."""


def seed_interval(values: ArrayLike, level: float = LEVEL) -> Interval:
    """Mean over study seeds with Student's t interval, shape (n_seeds,); undefined (NaN) seeds are left out.

    With a single defined seed the bounds are NaN: use ``cluster_interval`` there.
    """
    x = np.asarray(values, dtype=float)
    x = x[~np.isnan(x)]
    if len(x) == 0:
        return Interval(np.nan, np.nan, np.nan, 0)
    mean = float(x.mean())
    if len(x) == 1:
        return Interval(mean, np.nan, np.nan, 1)
    sd = float(x.std(ddof=1))
    half = float(half_width(sd, len(x), level))
    return Interval(mean, mean - half, mean + half, len(x), sd)


def half_width(sd: ArrayLike, n_seeds: int, level: float = LEVEL) -> NDArray[np.float64]:
    """Half of Student's t interval for the mean of so many seeds with standard deviation ``sd``, in its unit."""
    return stats.t.ppf(0.5 + level / 2, n_seeds - 1) * np.asarray(sd) / np.sqrt(n_seeds)


def power(effect: float, sd: float, n_seeds: int, level: float = LEVEL) -> float:
    """How often a true mean of this size would be told from zero: how often ``seed_interval`` of so many study seeds with
    standard deviation ``sd`` would exclude zero (the power of a two-sided t test); NaN for fewer than two seeds."""
    if n_seeds < 2 or not sd > 0:
        return float("nan")
    return float(TTestPower().power(effect_size=effect / sd, nobs=n_seeds, alpha=1 - level))


def prediction_interval(
    mean: ArrayLike, sd: ArrayLike, n_seeds: ArrayLike, new: ArrayLike, level: float = LEVEL
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Bounds between which the mean of ``new`` further seeds will lie, from mean and standard deviation of ``n_seeds``.

    mean ± t · sd · √(1/n_seeds + 1/new), with n_seeds − 1 degrees of freedom; all of one shape, NaN for fewer than two seeds.

    >>> low, high = prediction_interval(0.5, 0.1, 30, 3)
    >>> round(float(low), 2), round(float(high), 2)
    (0.38, 0.62)
    """
    mean, sd, n, new = (np.asarray(x, dtype=float) for x in (mean, sd, n_seeds, new))
    known = n > 1
    half = stats.t.ppf(0.5 + level / 2, np.where(known, n - 1, 1)) * sd * np.sqrt(1 / np.maximum(n, 1) + 1 / new)
    half = np.where(known, half, np.nan)
    return mean - half, mean + half


def seeds_for(effect: float, sd: float, wanted: float = 0.8, level: float = LEVEL) -> float:
    """How many seeds tell a mean of this size from zero with this power, two at least; NaN where ``sd`` is unknown or zero.

    >>> seeds_for(0.05, 0.05)
    10.0
    """
    if not (sd > 0 and effect > 0):
        return float("nan")
    most = 2
    while power(effect, sd, most, level) < wanted:
        most *= 2
    # statsmodels' own search finds no root where few seeds are enough.
    return 2.0 + bisect_left(range(2, most), True, key=lambda n: power(effect, sd, n, level) >= wanted)


def minimum_detectable_effect(sd: float, n_seeds: int, power: float = 0.8, level: float = LEVEL) -> float:
    """Smallest mean that would be told from zero with this power; in the unit of ``sd``, NaN for fewer than two seeds.

    ``sd`` is itself an estimate, from few seeds a rough one: read the result as an order of magnitude.
    """
    if n_seeds < 2 or not sd > 0:
        return float("nan")
    return float(sd * TTestPower().solve_power(effect_size=None, nobs=n_seeds, alpha=1 - level, power=power))


def cluster_weights(clusters: Sequence[object], draws: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Bootstrap weights of shape (draws, n): how often each pair's cluster was drawn."""
    _, index = np.unique(np.asarray(clusters, dtype=str), return_inverse=True)
    k = int(index.max()) + 1
    return rng.multinomial(k, np.full(k, 1 / k), size=draws).astype(float)[:, index]


def percentile_interval(value: float, draws: NDArray[np.float64], level: float = LEVEL) -> Interval:
    """Percentile interval of bootstrap draws, shape (draws,), around one study seed's value; NaN draws are left out."""
    draws = draws[~np.isnan(draws)]
    if np.isnan(value) or len(draws) == 0:
        return Interval(value, np.nan, np.nan, int(not np.isnan(value)))
    low, high = np.quantile(draws, [0.5 - level / 2, 0.5 + level / 2])
    return Interval(value, float(low), float(high), 1)


def cluster_interval(
    statistic: Callable[..., NDArray[np.float64]], weights: NDArray[np.float64], level: float = LEVEL
) -> Interval:
    """Percentile interval of ``statistic(weights=...)`` under ``cluster_weights``, for one study seed."""
    return percentile_interval(float(statistic()), np.asarray(statistic(weights=weights), dtype=float), level)
