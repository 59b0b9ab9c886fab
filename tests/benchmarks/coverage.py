"""How often 95 % intervals cover the planted truth: the book's, and those that one might use instead.

    python -m tests.benchmarks.coverage [simulated seeds] [studies]

Every simulated study seed has the default edition's shape: ten weak-strong cells of five models, 1,500 pairs in some
300 substances and eight tasks.  Studies of 3, 12 and 30 seeds are drawn from all that were simulated, each seed at most
once a study; their intervals are the book's, ``results.summarise``, taken of all studies at once.  The truth is the
mean over all simulated seeds (in the second setting, DS - margin-matched null should be near zero by construction).
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import replace
from itertools import product

import numpy as np
import pandas as pd
from scipy import stats

from tests.planted import per_seed
from tests.simulate import Plant, estimated, simulate, tables
from w2s_lib.findings.results import ALL, _mean, _slope, pool, summarise, taken_off
from w2s_lib.measures.intervals import (
    LEVEL,
    Interval,
    cluster_weights,
    half_width,
    percentile_interval,
    share_bounds,
    t_bounds,
)

SIZES = (3, 12, 30)
"""Seeds of a study."""

POOLED = (
    "conflict_tax",
    "net_change",
    "tax_rate_both_know",
    "tax_rate_deception_area",
    "deception_score",
    "null_random",
    "excess_random",
    "excess_margin_matched",
    "pgr",
)
SLOPES = ("deception_score", "excess_margin_matched")
SLOPE = " per gap"
"""Ends the names of slopes in the table."""

CONTRAST = "tax rate: area - both know"
"""The difference of two tax rates, seed by seed, as where one condition is compared with another."""

DRAWS = 200

SETTINGS = {
    "near the default edition": Plant(),
    "no deception: the tax follows margins only": Plant(preference=0.0, preference_scatter=0.0),
    "small, skewed tax: few taxed pairs in most seeds": Plant(tax=-3.0, tax_scatter=0.9),
}

Bounds = tuple[np.ndarray, np.ndarray]


def covers(low: np.ndarray | float, high: np.ndarray | float, truth: float) -> float:
    """Share of the intervals that contain the truth, in percent; undefined ones are left out."""
    low, high = np.broadcast_arrays(low, high)
    defined = ~np.isnan(low) & ~np.isnan(high)
    return 100 * float(np.mean((low <= truth)[defined] & (truth <= high)[defined]))


def bootstrap_of_seeds(values: np.ndarray) -> Bounds:
    """Percentile bootstrap over the seeds of each study, shape (studies, seeds): all resamples, not some."""
    resamples = np.array(list(product(range(values.shape[1]), repeat=values.shape[1])))
    low, high = np.quantile(values[:, resamples].mean(axis=2), [0.5 - LEVEL / 2, 0.5 + LEVEL / 2], axis=1)
    return low, high


def t_of_log_odds(values: np.ndarray) -> Bounds:
    """Student's t on the log-odds of shares, moved back: of their median, not of their mean.  Shares of 0 make it
    undefined."""
    with np.errstate(divide="ignore", invalid="ignore"):
        low, high = t_bounds(np.log(values / (1 - values)))
    return 1 / (1 + np.exp(-low)), 1 / (1 + np.exp(-high))


def cox(values: np.ndarray) -> Bounds:
    """Of the mean of a lognormal, with t for z (Olsson 2005); shares of 0 make it undefined."""
    n = values.shape[1]
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.log(values)
        sd = logs.std(axis=1, ddof=1)
    middle, half = logs.mean(axis=1) + sd**2 / 2, half_width(np.sqrt(sd**2 + n * sd**4 / (2 * (n - 1))), n)
    return np.exp(middle - half), np.exp(middle + half)


def hall(values: np.ndarray) -> Bounds:
    """Student's t with the skewness taken out by a cubic (Hall 1992)."""
    n, sd = values.shape[1], values.std(axis=1, ddof=1)
    with np.errstate(invalid="ignore"):
        found = ((values - values.mean(axis=1, keepdims=True)) ** 3).mean(axis=1) / values.std(axis=1) ** 3
    skew = np.where(np.abs(found) < 1e-6, 1e-6, found)
    ends = (
        np.cbrt(1 + skew * (q / np.sqrt(n) - skew / (6 * n))) - 1 for q in half_width(np.sqrt(n), n) * np.array([1, -1])
    )
    low, high = (values.mean(axis=1) - sd * 3 / skew * end for end in ends)
    return low, high


def bootstrap_of_pairs(plant: Plant, studies: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Percentile bounds of each statistic, shape (studies, 2), that take pairs for independent and three seeds for all
    there are."""
    bounds: dict[str, list] = {name: [] for name in (*POOLED, *(name + SLOPE for name in SLOPES))}
    for _ in range(studies):
        draws: dict[str, list] = {name: [] for name in bounds}
        for _ in range(SIZES[0]):
            weights = cluster_weights(range(plant.pairs), DRAWS, rng)  # every pair a cluster of its own
            cells, drawn, counted = list(simulate(plant, rng)[0].values()), {}, {}
            for name in ("gap", *POOLED):
                found = [estimated(name, c) for c in cells]
                drawn[name] = np.stack([e.of(weights=weights) for e in found])
                counted[name] = np.stack(
                    [e.counted(weights=weights) if e.counted else np.full(DRAWS, np.nan) for e in found]
                )
            for name in POOLED:
                draws[name].append(_mean(drawn[name], counted[name]))
            for name in SLOPES:
                draws[name + SLOPE].append(_slope(drawn["gap"], drawn[name], counted[name]))
        for name, found in draws.items():
            bounds[name].append(np.nanquantile(np.mean(found, axis=0), [0.5 - LEVEL / 2, 0.5 + LEVEL / 2]))
    return {name: np.array(found) for name, found in bounds.items()}


def simulated(plant: Plant, seeds: int, rng: np.random.Generator) -> pd.DataFrame:
    """A per-seed frame: every statistic with its model pairs pooled, slopes, and a difference of two tax rates."""
    frame = tables(plant, seeds, ("gap", *POOLED), rng)
    wide = frame.pivot(index=["weak", "strong"], columns=["statistic", "seed"], values=["value", "counted"]).sort_index(
        axis=1
    )
    rows = []
    for name in SLOPES:
        slopes = _slope(*(wide[of].to_numpy() for of in (("value", "gap"), ("value", name), ("counted", name))))
        rows += [{"statistic": name, "per": "gap", "seed": i, "value": slope} for i, slope in enumerate(slopes)]
    pooled = pool(frame, weak=ALL, strong=ALL)
    rates = pooled.pivot(index="seed", columns="statistic", values="value")
    area, both = rates["tax_rate_deception_area"], rates["tax_rate_both_know"]
    rows += [
        {"statistic": CONTRAST, "versus": "both", "seed": i, "value": area[i] - both[i], "less": both[i]}
        for i in rates.index
    ]
    return pd.concat([pooled, per_seed(row | {"weak": ALL, "strong": ALL} for row in rows)], ignore_index=True)


def of_the_book(group: pd.DataFrame, drawn: np.ndarray) -> Bounds:
    """The book's intervals of one statistic, from the seeds that each study has drawn, shape (studies, seeds).

    Raises:
        AssertionError: they are not those that ``results.summarise`` gives.
    """
    less = taken_off(group).to_numpy()
    x, off = group["value"].to_numpy(float)[drawn], less[drawn]
    low, high = t_bounds(x) if np.isnan(less).any() else share_bounds(x + off, off)
    for i in range(3):
        row = summarise(group.iloc[drawn[i]].assign(counted=np.nan)).iloc[0]
        found, here = (np.clip(ends, -1, 1) for ends in ((row["low"], row["high"]), (low[i], high[i])))
        assert np.allclose(found, here), f"{row['statistic']}: {found}, not {here}"
    return low, high


def coverage(frame: pd.DataFrame, size: int, studies: int, rng: np.random.Generator) -> pd.DataFrame:
    """One row a statistic: how often, in percent, each kind of interval of so many seeds covers the truth.

    ``book``: of ``results.summarise``, how often it lies below the truth, above it and off zero, and its median width;
    ``t``: the same of Student's t.
    """
    drawn = np.argsort(rng.random((studies, frame["seed"].nunique())), axis=1)[:, :size]
    rows = []
    for (name, per), group in frame.groupby(["statistic", "per"], sort=False):
        x, truth = group["value"].to_numpy(float)[drawn], float(group["value"].mean())
        kinds: dict[str, Bounds] = {"book": of_the_book(group, drawn), "t": t_bounds(x)}
        others: dict[str, Callable[[np.ndarray], Bounds]] = {"hall": hall}
        if (taken_off(group) == 0).all():
            others |= {"log-odds": t_of_log_odds, "cox": cox}
        if size == SIZES[0]:
            others |= {"bootstrap of seeds": bootstrap_of_seeds}
        row = {
            "statistic": name + (SLOPE if per else ""),
            "seeds": size,
            "truth": truth,
            "scatter": group["value"].std(),
        }
        row["skew"] = float(stats.skew(group["value"], nan_policy="omit"))
        for kind, (low, high) in kinds.items():
            row |= {kind: covers(low, high, truth), f"{kind} below": covers(high, np.inf, truth)}
            row |= {f"{kind} above": covers(-np.inf, low, truth), f"{kind} width": float(np.nanmedian(high - low))}
        row |= {"book off zero": 100 - covers(*kinds["book"], 0.0)}
        rows.append(row | {kind: covers(*of(x), truth) for kind, of in others.items()})
    return pd.DataFrame(rows)


def naive(plant: Plant, frame: pd.DataFrame, studies: int, rng: np.random.Generator) -> pd.DataFrame:
    """How often percentile intervals of resampled pairs, from studies of three seeds, cover the truth of a simulated
    frame."""
    truths = {
        name + (SLOPE if per else ""): x.mean() for (name, per), x in frame.groupby(["statistic", "per"])["value"]
    }
    found = bootstrap_of_pairs(plant, studies, rng)
    return pd.DataFrame({"statistic": name, "of pairs": covers(*b.T, truths[name])} for name, b in found.items())


def one_seed(plant: Plant, studies: int, rng: np.random.Generator) -> pd.DataFrame:
    """Coverage in percent of the intervals for a single seed, by statistic: clusters resampled, and pairs.

    The truth is then of this seed's world and models: all seeds are planted alike.  One cell, the widest gap.
    ``lean``: how far the draws of clusters lie from the seed's own estimate, on average.
    """
    plant = replace(plant, **{f"{name}_scatter": 0.0 for name in ("skill", "recovered", "tax", "preference")})
    cell = plant.cells[len(plant.skills) - 2]
    found: dict[str, list] = {name: [] for name in POOLED}
    for _ in range(studies):
        cells, index = simulate(plant, rng)
        ways = cluster_weights(index, DRAWS, rng), cluster_weights(range(plant.pairs), DRAWS, rng)
        for name in POOLED:
            of = estimated(name, cells[cell]).of
            draws, value = [of(weights=weights) for weights in ways], float(of())
            intervals: list[Interval] = [percentile_interval(value, drawn) for drawn in draws]
            lean = np.mean(draws[0][~np.isnan(draws[0])]) - value
            found[name].append((value, lean, *intervals[0][1:3], *intervals[1][1:3]))
    rows = []
    for name, intervals in found.items():
        value, lean, *bounds = np.array(intervals).T
        truth = float(np.nanmean(value))
        rows.append(
            {
                "statistic": name,
                "truth": truth,
                "lean": float(np.nanmean(lean)),
                "clusters": covers(*bounds[:2], truth),
                "pairs": covers(*bounds[2:], truth),
            }
        )
    return pd.DataFrame(rows)


def show(title: str, table: pd.DataFrame) -> None:
    print(f"\n{title}")
    print(
        table.to_string(index=False, float_format=lambda x: f"{x:.3f}" if abs(x) < 2 else f"{x:.1f}", na_rep="–"),
        flush=True,
    )


def main() -> int:
    seeds = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    studies = int(sys.argv[2]) if len(sys.argv) > 2 else 2000
    few = max(studies // 20, 2)
    errors = " and ".join(f"{196 * np.sqrt(LEVEL * (1 - LEVEL) / n):.1f} points of {n:,}" for n in (studies, few))
    print(f"{seeds:,} seeds a setting, {studies:,} studies of each size, {few:,} where pairs are resampled.")
    print(f"A coverage of 95 % is known to ± {errors}.")
    start = time.perf_counter()
    for i, (title, plant) in enumerate(SETTINGS.items()):
        rng = np.random.default_rng(i)
        frame = simulated(plant, seeds, rng)
        show(title, pd.concat([coverage(frame, size, studies, rng) for size in SIZES]))
        show("Pairs resampled, three seeds", naive(plant, frame, few, rng))
    show("One seed, near the default edition", one_seed(Plant(), max(studies // 4, few), np.random.default_rng(99)))
    print(f"\n{time.perf_counter() - start:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
