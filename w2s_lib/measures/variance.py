"""What a spread is made of: the variance of a statistic, split among nested levels; and what to replicate for the most
precision."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd


def components(frame: pd.DataFrame, levels: Sequence[str], value: str = "value") -> pd.Series:
    """Variance of ``value`` by level, from outer to inner; the innermost is what is left within the others.

    ``frame`` has a row a measurement; each level is nested in those before it (a training replica belongs to its
    pretraining, which belongs to its world), with as many units in every unit that holds it.  The moments of the nested
    analysis of variance; a component that comes out below zero is one that the others drown.

    Raises:
        ValueError: a level without replicates, or units of different size.
    """
    outer = list(levels)
    means = frame.groupby(outer, sort=False)[value].mean()
    if len(means) < len(frame):
        raise ValueError(f"{', '.join(outer)} name no single measurement")
    squares, units = [], []
    for depth in range(len(outer), 0, -1):
        groups = means.groupby(level=outer[: depth - 1], sort=False) if depth > 1 else [((), means)]
        within = pd.DataFrame([(len(g), g.var(ddof=1)) for _, g in groups], columns=["n", "variance"])
        if within["n"].nunique() > 1 or within["n"].iloc[0] < 2:
            raise ValueError(f"{outer[depth - 1]}: as many units are needed everywhere, two at least")
        squares.append(within["variance"].mean())
        units.append(int(within["n"].iloc[0]))
        if depth > 1:
            means = groups.mean()
    # The variance of means holds the share of everything below that averaging has left.
    found = [squares[0], *(above - below / n for below, above, n in zip(squares, squares[1:], units))]
    return pd.Series(found[::-1], index=outer, name="variance")


def best_replicas(outer: float, inner: float, cost_outer: float, cost_inner: float) -> int:
    """Replicas within each unit that buy the most precision per second, from both variances and what a unit and a
    replica cost.

    The mean over n units of k replicas has variance (outer + inner / k) / n and costs n (cost_outer + k cost_inner):
    the best k is
    √(cost_outer inner / (cost_inner outer)), and one at least (Cochran 1977, section 10.6).
    """
    if outer <= 0 or inner <= 0:
        return 1
    best = np.sqrt(cost_outer * inner / (cost_inner * outer))
    pair = max(int(best), 1), int(best) + 1
    return min(pair, key=lambda k: (outer + inner / k) * (cost_outer + k * cost_inner))
