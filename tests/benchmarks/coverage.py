"""How often 95 % intervals cover the planted truth: the book's, and those that one might use instead.

    python -m tests.benchmarks.coverage [studies]

Every simulated study has the default edition's shape: three seeds, ten weak-strong cells of five models, 1,500 pairs
in some 300 substances and eight tasks.  The truth is the mean of a statistic over study seeds, known from all
simulated seeds together (in the second setting, DS - margin-matched null should be near zero by construction).
Intervals come from ``results.summarise`` and ``intervals.seed_interval``, as in the book.
"""

from __future__ import annotations

import sys
import time
from dataclasses import replace
from itertools import product

import numpy as np
import pandas as pd
from scipy import stats

from tests.simulate import Plant, simulate, statistic, tables
from w2s_lib.findings.results import SIGNED, _slope, summarise
from w2s_lib.measures.intervals import LEVEL, cluster_interval, cluster_weights, seed_interval

SEEDS = 3
POOLED = (
    "conflict_tax",
    "net_change",
    "deception_score",
    "null_random",
    "excess_random",
    "excess_margin_matched",
    "pgr",
)
SLOPES = ("deception_score", "excess_margin_matched")
SLOPE = " per gap"
"""Ends the names of slopes in the table."""

DRAWS = 200

SETTINGS = {
    "near the default edition": Plant(),
    "no deception: the tax follows margins only": Plant(preference=0.0, preference_scatter=0.0),
    "small, skewed tax: few taxed pairs in most seeds": Plant(tax=-3.0, tax_scatter=0.9),
}


def covers(low: np.ndarray | float, high: np.ndarray | float, truth: float) -> float:
    """Share of the intervals that contain the truth, in percent; undefined ones are left out."""
    low, high = np.broadcast_arrays(low, high)
    defined = ~np.isnan(low) & ~np.isnan(high)
    return 100 * float(np.mean((low <= truth)[defined] & (truth <= high)[defined]))


def bootstrap_of_seeds(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Percentile bootstrap over the seeds of each study, shape (studies, seeds): all resamples, not some."""
    resamples = np.array(list(product(range(values.shape[1]), repeat=values.shape[1])))
    low, high = np.quantile(values[:, resamples].mean(axis=2), [0.5 - LEVEL / 2, 0.5 + LEVEL / 2], axis=1)
    return low, high


def t_of_log_odds(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Student's t on the log-odds of shares, moved back: a candidate for skewed taxes.  Shares of 0 or 1 make it
    undefined."""
    with np.errstate(divide="ignore", invalid="ignore"):
        x = np.log(values / (1 - values))
        half = stats.t.ppf(0.5 + LEVEL / 2, values.shape[1] - 1) * x.std(axis=1, ddof=1) / np.sqrt(values.shape[1])
        return 1 / (1 + np.exp(half - x.mean(axis=1))), 1 / (1 + np.exp(-half - x.mean(axis=1)))


def bootstrap_of_pairs(plant: Plant, studies: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Percentile bounds of each statistic, shape (studies, 2), that take pairs for independent and the three seeds for
    all there are."""
    bounds: dict[str, list] = {name: [] for name in (*POOLED, *(name + SLOPE for name in SLOPES))}
    for _ in range(studies):
        draws: dict[str, list] = {name: [] for name in bounds}
        for _ in range(SEEDS):
            weights = cluster_weights(range(plant.pairs), DRAWS, rng)  # every pair a cluster of its own
            cells = list(simulate(plant, rng)[0].values())
            cell = {name: np.stack([statistic(name, c)(weights=weights) for c in cells]) for name in POOLED}
            gap = np.stack([statistic("gap", c)(weights=weights) for c in cells])
            for name in POOLED:
                draws[name].append(_mean(cell[name]))
            for name in SLOPES:
                draws[name + SLOPE].append(_slope(gap, cell[name]))
        for name, found in draws.items():
            bounds[name].append(np.nanquantile(np.mean(found, axis=0), [0.5 - LEVEL / 2, 0.5 + LEVEL / 2]))
    return {name: np.array(found) for name, found in bounds.items()}


def _mean(cells: np.ndarray) -> np.ndarray:
    """Over the cells in which it is defined, shape (cells, draws) to (draws,)."""
    defined = ~np.isnan(cells)
    return np.where(defined, cells, 0).sum(axis=0) / np.maximum(defined.sum(axis=0), 1)


def three_seeds(plant: Plant, studies: int, by_pairs: int, rng: np.random.Generator) -> pd.DataFrame:
    """One row a statistic: how often, in percent, each kind of interval covers the truth; the slow one of pairs in
    fewer studies.

    Of the book's interval (``t of seeds``) also how often it lies below the truth, above it, and off zero.
    """
    per_seed = tables(plant, studies * SEEDS, SEEDS, ("gap", *POOLED), rng)
    wide = per_seed.pivot(index=["weak", "strong"], columns=["statistic", "seed"], values="value")
    values = {name: wide[name].mean().to_numpy() for name in POOLED}  # over the cells of each seed
    values |= {name + SLOPE: _slope(wide["gap"].to_numpy(), wide[name].to_numpy()) for name in SLOPES}
    pooled = summarise(per_seed, pooled=True)
    bounds = {name: pooled.loc[pooled["statistic"] == name, ["low", "high"]].to_numpy().T for name in POOLED}
    bounds |= {
        name: np.array([seed_interval(x)[1:3] for x in values[name].reshape(-1, SEEDS)]).T
        for name in values
        if name not in POOLED
    }
    naive, rows = bootstrap_of_pairs(plant, by_pairs, rng), []
    for name in naive:
        (low, high), x = bounds[name], values[name].reshape(-1, SEEDS)
        truth = float(np.nanmean(x))
        share = name in POOLED and name not in SIGNED
        rows.append({
            "statistic": name, "truth": truth, "scatter": np.nanstd(x),
            "skew": float(stats.skew(x.ravel(), nan_policy="omit")), "half_width": float(np.nanmedian(high - low) / 2),
            "t of seeds": covers(low, high, truth), "below": covers(high, np.inf, truth),
            "above": covers(-np.inf, low, truth),
            "off zero": 100 - covers(low, high, 0.0),
            "t of log-odds": covers(*t_of_log_odds(x), truth) if share else np.nan,
            "bootstrap of seeds": covers(*bootstrap_of_seeds(x), truth),
            "bootstrap of pairs": covers(*naive[name].T, truth),
        })  # fmt: skip
    return pd.DataFrame(rows)


def one_seed(plant: Plant, studies: int, rng: np.random.Generator) -> pd.DataFrame:
    """Coverage in percent of the intervals for a single seed, by statistic: clusters resampled, and pairs.

    The truth is then of this seed's world and models: all seeds are planted alike.  One cell, the widest gap.
    """
    plant = replace(plant, **{f"{name}_scatter": 0.0 for name in ("skill", "recovered", "tax", "preference")})
    cell = plant.cells[len(plant.skills) - 2]
    found: dict[str, list] = {name: [] for name in POOLED}
    for _ in range(studies):
        cells, index = simulate(plant, rng)
        by_cluster, by_pair = cluster_weights(index, DRAWS, rng), cluster_weights(range(plant.pairs), DRAWS, rng)
        for name in POOLED:
            of = statistic(name, cells[cell])
            found[name].append(
                (float(of()), *cluster_interval(of, by_cluster)[1:3], *cluster_interval(of, by_pair)[1:3])
            )
    rows = []
    for name, intervals in found.items():
        value, *bounds = np.array(intervals).T
        truth = float(np.nanmean(value))
        rows.append(
            {
                "statistic": name,
                "truth": truth,
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
    studies = int(sys.argv[1]) if len(sys.argv) > 1 else 2000
    few = max(studies // 20, 2)
    errors = " and ".join(f"{196 * np.sqrt(LEVEL * (1 - LEVEL) / n):.1f} points of {n:,}" for n in (studies, few))
    print(
        f"{studies:,} studies a setting, {few:,} for 'bootstrap of pairs'; a coverage of 95 % is known to ± {errors}."
    )
    start = time.perf_counter()
    for i, (title, plant) in enumerate(SETTINGS.items()):
        show(f"Three seeds, {title}", three_seeds(plant, studies, few, np.random.default_rng(i)))
    show("One seed, near the default edition", one_seed(Plant(), max(studies // 4, few), np.random.default_rng(99)))
    print(f"\n{time.perf_counter() - start:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
