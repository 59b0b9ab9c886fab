"""Intervals.  The study seed is the unit of replication; within one seed, the cluster of pairs is.

A study seed draws a new world, new models and new test pairs, so the estimates of several seeds are
independent draws of the same thing, whose spread already contains the sampling of pairs.  Their mean
gets Student's t interval.  With three seeds it is wide (t = 4.3), and that is the truth: a percentile
bootstrap over three seeds covers far less than it says.

Shares need more care (``share_bounds``).  Where few pairs are taxed, and several times as many in one seed as in
another, Student's t covers some 88 % for taxes and their differences: it takes the seeds for symmetric, and lies too
near to zero.  So it is taken of log-odds, where a tenth and ten times are equally far.  Such intervals never leave the
possible range, are those of Student's t where seeds differ little, and cover 93 to 97 % with 3, 12 and 30 seeds in all
that was simulated but one: of net changes where 1.3 % of the pairs are taxed they cover 92 % with three seeds (t: 87).
PGR, scores minus nulls and slopes are close to symmetric, and Student's t covers 94 to 96 %.
``tests/benchmarks/coverage.py`` measures all this.  Where shares are lognormal over seeds and two thirds of them lie
within a factor of 2.5 of the median, they cover 92 %; differences of two such shares that rise and fall together, 89 %
with three seeds.

Where there is one seed, pairs about the same substance are resampled together; such an interval
speaks of new pairs from the same world and models, not of new worlds.

>>> from w2s_lib.measures.intervals import seed_interval
>>> seed_interval([0.4, 0.5, 0.6])
Interval(value=0.5, low=0.25..., high=0.74..., n_seeds=3, sd=0.09...)
>>> seed_interval([0.01, 0.02, 0.06], less=0)   # shares; Student's t would say [-0.036, 0.096]
Interval(value=0.03, low=0.003..., high=0.23..., n_seeds=3, sd=0.02...)
"""

import warnings
from bisect import bisect_left
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats
from scipy.special import expit, logit, stdtrit
from statsmodels.stats.power import TTestPower

LEVEL = 0.95

SAME = 1e-12
"""Values that differ by less are the same: what remains is rounding."""


class Interval(NamedTuple):
    """An estimate with its 95 % interval (NaN bounds where none can be given: an interval has a width)."""

    value: float
    low: float
    high: float
    n_seeds: int
    sd: float = np.nan
    """Standard deviation over study seeds; NaN for fewer than two."""


def seed_interval(values: ArrayLike, level: float = LEVEL, less: ArrayLike | None = None) -> Interval:
    """Mean over study seeds with its interval, shape (n_seeds,); undefined (NaN) seeds are left out.

    ``less`` tells shares from other numbers.  None: the values are no shares; Student's t interval.  0: they are
    shares, between 0 and 1.  Of shape (n_seeds,): they are what is left of one share when another, ``less``, is taken
    off.  Both may be sums of shares, as where a difference is taken off another: if one exceeds 1, they may reach 2.

    The bounds are NaN where a single seed is defined (use ``percentile_interval`` there), and where all seeds give the
    same value: that they do not differ is no evidence of how far they could.
    """
    x = np.asarray(values, dtype=float)
    off = np.broadcast_to(np.nan if less is None else np.asarray(less, dtype=float), x.shape)[~np.isnan(x)]
    return seed_intervals(x[~np.isnan(x)][None], level, None if less is None else off[None])[0]


SHARES_AT_ONCE = 256
"""Intervals of shares that are reckoned together: each takes 30 kB."""


def seed_intervals(
    values: NDArray[np.float64], level: float = LEVEL, less: NDArray[np.float64] | None = None
) -> list[Interval]:
    """As ``seed_interval``, for each row of ``values`` and ``less``, shape (n, n_seeds); all seeds are defined."""
    n, n_seeds = values.shape
    if n_seeds == 0:
        return [Interval(np.nan, np.nan, np.nan, 0)] * n
    mean, bounds, sd = values.mean(axis=1), np.full((2, n), np.nan), np.full(n, np.nan)
    if n_seeds > 1:
        differ = np.ptp(values, axis=1) >= SAME
        sd = np.where(differ, values.std(axis=1, ddof=1), 0.0)
        for at in np.split(np.flatnonzero(differ), range(SHARES_AT_ONCE, int(differ.sum()), SHARES_AT_ONCE)):
            bounds[:, at] = _bounds(values[at], None if less is None else less[at], level)
    numbers = zip(mean.tolist(), *bounds.tolist(), sd.tolist())
    return [Interval(value, low, high, n_seeds, spread) for value, low, high, spread in numbers]


def _bounds(x: NDArray[np.float64], off: NDArray[np.float64] | None, level: float) -> NDArray[np.float64]:
    if off is None:
        return np.stack(t_bounds(x, level))
    most = np.maximum(1.0, np.ceil(np.maximum((x + off).max(axis=1), off.max(axis=1)) - SAME))
    return most * np.stack(share_bounds((x + off) / most[:, None], off / most[:, None], level))


def p_value(says: Callable[[float], bool], held: float = 0.0) -> float:
    """1 − the largest level whose interval still says so: what it says at the level ``held``, narrower intervals above
    it say as well.  Where it does not say so even there, 1 − ``held``."""
    yes, no = held, 1.0
    for _ in range(40):
        level = (yes + no) / 2
        yes, no = (level, no) if says(level) else (yes, level)
    return 1 - yes


def t_bounds(values: ArrayLike, level: float = LEVEL) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Student's t interval for the mean over the last axis, the study seeds."""
    x = np.asarray(values, dtype=float)
    half = half_width(x.std(axis=-1, ddof=1), x.shape[-1], level)
    return x.mean(axis=-1) - half, x.mean(axis=-1) + half


def share_bounds(
    share: ArrayLike, less: ArrayLike = 0.0, level: float = LEVEL
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Interval for the mean of a share, or of one share minus another, over the last axis, the study seeds.

    The log-odds of a mean share lie within Student's t, times the standard error of log-odds, of those that were found.
    Of two shares, all pairs of log-odds are looked at that lie as near to those found, in standard errors and with
    their correlation: an ellipse.  The interval goes from the smallest to the largest difference of shares on it.

    Where seeds differ little, log-odds are as good as straight, and this is Student's t interval of the differences.
    """
    x, y = np.broadcast_arrays(np.clip(share, 0.0, 1.0), np.clip(less, 0.0, 1.0))
    turn = np.linspace(0, 2 * np.pi, 720, endpoint=False)
    r = _correlation(x, y)[..., None]
    ways = np.cos(turn), r * np.cos(turn) + np.sqrt(1 - r**2) * np.sin(turn)
    wide = lambda z: half_width(spread_of_log_odds(z), z.shape[-1], level)[..., None]
    first, second = (expit(logit(z.mean(axis=-1))[..., None] + wide(z) * way) for z, way in zip((x, y), ways))
    return (first - second).min(axis=-1), (first - second).max(axis=-1)


def spread_of_log_odds(shares: NDArray[np.float64]) -> NDArray[np.float64]:
    """Standard deviation of log-odds over the last axis, the study seeds.

    The larger of two: that of each seed's log-odds, which sees seeds far below the others and leaves out shares of 0
    and 1, which have none; and the shares' own, in units of log-odds at their mean, which sees seeds far above.
    """
    mean = shares.mean(axis=-1)
    with np.errstate(invalid="ignore", divide="ignore"):
        above = np.nan_to_num(shares.std(axis=-1, ddof=1) / (mean * (1 - mean)))
    inside = (shares > 0) & (shares < 1)
    with np.errstate(invalid="ignore", divide="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # fewer than two shares inside: no deviation
        below = logit(np.where(inside, shares, 0.5)).std(axis=-1, ddof=1, where=inside)
    return np.maximum(above, np.nan_to_num(below))


def _correlation(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    """Over the last axis; 0 where one of the two is constant."""
    dx, dy = (z - z.mean(axis=-1, keepdims=True) for z in (x, y))
    size = np.sqrt((dx**2).sum(axis=-1) * (dy**2).sum(axis=-1))
    with np.errstate(invalid="ignore"):
        return np.clip(np.nan_to_num((dx * dy).sum(axis=-1) / size), -1, 1)


def half_width(sd: ArrayLike, n_seeds: int, level: float = LEVEL) -> NDArray[np.float64]:
    """Half of Student's t interval for the mean of so many seeds with standard deviation ``sd``, in its unit."""
    return stdtrit(n_seeds - 1, 0.5 + level / 2) * np.asarray(sd) / np.sqrt(n_seeds)


def power(effect: float, sd: float, n_seeds: int, level: float = LEVEL) -> float:
    """How often a true mean of this size would be told from zero: how often Student's t interval of so many study seeds
    with standard deviation ``sd`` would exclude zero (the power of a two-sided t test); NaN below two seeds."""
    if n_seeds < 2 or not sd > 0:
        return float("nan")
    return above_zero(effect / sd, n_seeds, level) + above_zero(-effect / sd, n_seeds, level)


def above_zero(size: float, n_seeds: int, level: float = LEVEL) -> float:
    """How often Student's t interval of so many study seeds lies above zero, where the true mean is so many standard
    deviations (the power of a one-sided t test at half the level); NaN for fewer than two seeds.

    >>> round(above_zero(0.0, 5), 3), round(above_zero(1.0, 10), 2)
    (0.025, 0.8)
    """
    if n_seeds < 2 or not np.isfinite(size):
        return float("nan") if n_seeds < 2 or np.isnan(size) else float(size > 0)
    test = {"alpha": (1 - level) / 2, "alternative": "larger"}
    found = float(TTestPower().power(effect_size=size, nobs=n_seeds, **test))
    return 0.0 if np.isnan(found) and size < 0 else found  # far out, the noncentral t has no number


def prediction_interval(
    mean: ArrayLike, sd: ArrayLike, n_seeds: ArrayLike, new: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Bounds between which the mean of ``new`` further seeds will lie, from mean and standard deviation of ``n_seeds``.

    mean ± t · sd · √(1/n_seeds + 1/new), with n_seeds − 1 degrees of freedom; of one shape, NaN below two seeds.

    >>> low, high = prediction_interval(0.5, 0.1, 30, 3)
    >>> round(float(low), 2), round(float(high), 2)
    (0.38, 0.62)
    """
    mean, sd, n, new = (np.asarray(x, dtype=float) for x in (mean, sd, n_seeds, new))
    known = n > 1
    half = stats.t.ppf(0.5 + LEVEL / 2, np.where(known, n - 1, 1)) * sd * np.sqrt(1 / np.maximum(n, 1) + 1 / new)
    half = np.where(known, half, np.nan)
    return mean - half, mean + half


def seeds_for(effect: float, sd: float, wanted: float = 0.8) -> float:
    """How many seeds tell a mean of this size from zero with this power, two at least; NaN where ``sd`` is not above 0.

    >>> seeds_for(0.05, 0.05)
    10.0
    """
    if not (sd > 0 and effect > 0):
        return float("nan")
    most = 2
    while power(effect, sd, most) < wanted:
        most *= 2
    # statsmodels' own search finds no root where few seeds are enough.
    return 2.0 + bisect_left(range(2, most), True, key=lambda n: power(effect, sd, n) >= wanted)


def minimum_detectable_effect(sd: float, n_seeds: int, power: float = 0.8, level: float = LEVEL) -> float:
    """Smallest mean that would be told from zero with this power; in the unit of ``sd``, NaN for fewer than two seeds
    and where they do not differ.

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


def percentile_interval(value: float, draws: NDArray[np.float64]) -> Interval:
    """Percentile interval of bootstrap draws, shape (draws,), around one study seed's value; NaN draws are left out.

    The bounds are NaN where all draws are the same: none of a pair that was not seen can be drawn.
    """
    draws = draws[~np.isnan(draws)]
    if np.isnan(value) or len(draws) == 0:
        return Interval(value, np.nan, np.nan, int(not np.isnan(value)))
    low, high = np.quantile(draws, [0.5 - LEVEL / 2, 0.5 + LEVEL / 2])
    return Interval(value, float(low), float(high), 1) if high - low >= SAME else Interval(value, np.nan, np.nan, 1)
