"""What a spread is made of: variance, split among nested levels; and what to replicate for the most precision."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray


def components(frame: pd.DataFrame, levels: Sequence[str], *values: str | int) -> pd.Series:
    """Variance of a column (``value``, or one that is named) by level, from outer to inner; the innermost is what is
    left within the others.  Of several columns, the mean of theirs.

    ``frame`` has a row a measurement; each level is nested in those before it (a training replica belongs to its
    pretraining, which belongs to its world), with as many units in every unit that holds it.  The moments of the nested
    analysis of variance; a component that comes out below zero is one that the others drown.

    Raises:
        ValueError: a level without replicates, or units of different size.
    """
    squares, units = _mean_squares(frame, list(levels), list(values) or ["value"])
    return pd.Series(_parts(squares, units).mean(axis=0), index=list(levels), name="variance")


def likely_components(
    frame: pd.DataFrame, levels: Sequence[str], value: str | int = "value", draws: int = 2000, seed: int = 0
) -> NDArray[np.float64]:
    """Components as they may truly be, shape (draws, levels): quantiles of what is reckoned from them are generalized
    confidence intervals (Weerahandi 1993).

    If everything is normal, a mean square over its expectation is chi-squared over its degrees of freedom: each draw
    divides the mean squares that were found by such numbers.  Of shares of the variance, 95 % intervals cover 92 to
    98 % with six or four worlds, each with two replicas of two (78 to 90 % where nearly all of it is of the innermost
    level); of worlds that are drawn with replacement, 72 to 92 %.
    """
    squares, units = _mean_squares(frame, list(levels), [value])
    freedom = np.cumprod([1, *units[:-1]]) * (np.array(units) - 1)
    rng = np.random.default_rng(seed)
    return _parts(squares * freedom / rng.chisquare(freedom, size=(draws, len(units))), units)


def _mean_squares(
    frame: pd.DataFrame, levels: list[str], values: list[str | int]
) -> tuple[NDArray[np.float64], list[int]]:
    """Variance of units' means within the unit that holds them, shape (values, levels), and how many it holds."""
    means = frame.groupby(levels, sort=False)[values].mean()
    if len(means) < len(frame):
        raise ValueError(f"{', '.join(levels)} name no single measurement")
    squares, units = [], []
    for depth in range(len(levels), 0, -1):
        groups = means.groupby(levels[: depth - 1] if depth > 1 else np.zeros(len(means)), sort=False)
        n = groups.size()
        if n.nunique() > 1 or n.iloc[0] < 2:
            raise ValueError(f"{levels[depth - 1]}: as many units are needed everywhere, two at least")
        squares.append(groups.var(ddof=1).mean())
        units.append(int(n.iloc[0]))
        means = groups.mean()
    return np.array(squares[::-1]).T, units[::-1]


def _parts(squares: NDArray[np.float64], units: list[int]) -> NDArray[np.float64]:
    """Components from mean squares: the variance of means holds what averaging has left of everything below."""
    below = np.divide(squares[:, 1:], units[1:])
    return squares - np.pad(below, ((0, 0), (0, 1)))


def best_replicas(outer: float, inner: float, cost_outer: float, cost_inner: float) -> int:
    """Replicas within each unit that buy the most precision per second, from both variances and their costs.

    The mean over n units of k replicas has variance (outer + inner / k) / n and costs n (cost_outer + k cost_inner):
    the best k is
    √(cost_outer inner / (cost_inner outer)), and one at least (Cochran 1977, section 10.6).
    """
    if outer <= 0 or inner <= 0:
        return 1
    best = np.sqrt(cost_outer * inner / (cost_inner * outer))
    pair = max(int(best), 1), int(best) + 1
    return min(pair, key=lambda k: (outer + inner / k) * (cost_outer + k * cost_inner))
