"""Results as one tidy frame, from which figures, prose, landing page and ``results.csv`` all read.

``measure`` gives one row a study seed; ``summarise`` averages over seeds, with intervals.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache, partial
from typing import NamedTuple

import numpy as np
import pandas as pd

from w2s_lib.conditions import CONDITIONS
from w2s_lib.lab import Lab
from w2s_lib.metrics import Comparison, accuracy, correct, pgr
from w2s_lib.run import Spec, Split, stream
from w2s_lib.study import Study
from w2s_lib.uncertainty import Interval, cluster_weights, percentile_interval, seed_interval

COLUMNS = (
    "edition", "chapter", "statistic", "method", "condition", "alpha", "threshold", "weak", "strong",
    "value", "low", "high", "sd", "n_seeds", "n_pairs", "run_keys",
)  # fmt: skip

ALL = "all"
"""Stands for weak and strong in rows that average over the weak-strong pairs of the edition."""

RATES = ("tax_rate_both_know", "tax_rate_deception_area", "tax_rate_only_weak_knows", "tax_rate_neither_knows")
"""Tax rates of the four quadrants, in the order of ``metrics.QUADRANTS``."""

LABEL_EDGES = (0.0, 0.25, 0.5, 0.5625, 0.625, 0.75, 0.875, 1.0)
BY_LABEL = tuple((f"tax_rate_label_{low:g}_{high:g}", low, high) for low, high in zip(LABEL_EDGES, LABEL_EDGES[1:]))
"""Tax rates by the weak supervisor's p of the truth, with the edges of each bin; bands of the usual alphas end at an edge."""

PER_SEED = ["seed", "weak", "strong", "method", "condition", "alpha", "threshold", "statistic", "value", "n_pairs", "run_keys", "draws"]
CELL = ["weak", "strong", "method", "condition", "alpha", "threshold", "statistic"]
"""What names a row of results, beside the study seed."""

Statistic = Callable[..., np.ndarray]


def _rate(quadrant: int) -> Callable[[Comparison], Statistic]:
    return lambda c: lambda weights=None: c.tax_rates(weights)[..., quadrant]


def _rate_by_label(low: float, high: float) -> Callable[[Comparison], Statistic]:
    above = np.inf if high == LABEL_EDGES[-1] else high  # a label is exactly 1 from a margin of 37 on
    return lambda c: lambda weights=None: c.tax_rate_by_label(low, above, weights)


STATISTICS: dict[str, Callable[[Comparison], Statistic]] = {
    "accuracy_weak": lambda c: lambda weights=None: accuracy(c.weak, weights),
    "accuracy_ceiling": lambda c: lambda weights=None: accuracy(c.ceiling, weights),
    "accuracy": lambda c: lambda weights=None: accuracy(c.conflict, weights),
    "gap": lambda c: lambda weights=None: accuracy(c.ceiling, weights) - accuracy(c.weak, weights),
    "pgr": lambda c: lambda weights=None: pgr(accuracy(c.weak, weights), accuracy(c.conflict, weights), accuracy(c.ceiling, weights)),
    "conflict_tax": lambda c: c.conflict_tax,
    "net_change": lambda c: c.net_change,
    "deception_score": lambda c: c.deception_score,
    "null_random": lambda c: c.null_random,
    "null_margin_matched": lambda c: c.null_margin_matched,
    "excess_random": lambda c: c.excess_random,
    "excess_margin_matched": lambda c: c.excess_margin_matched,
    "lift": lambda c: c.lift,
    "null_label_matched": lambda c: c.null_label_matched,
    "excess_label_matched": lambda c: c.excess_label_matched,
    "explained_by_label": lambda c: c.explained_by_label,
    "hidden_score": lambda c: c.hidden_score,
    "null_weak_matched": lambda c: c.null_weak_matched,
    "excess_weak_matched": lambda c: c.excess_weak_matched,
    **{name: _rate(i) for i, name in enumerate(RATES)},
    "tax_rate_in_band": lambda c: c.tax_rate_in_band,
    "tax_rate_above_band": lambda c: c.tax_rate_above_band,
    "band_contrast": lambda c: c.band_contrast,
    **{name: _rate_by_label(low, high) for name, low, high in BY_LABEL},
}
"""Name → the statistic of one comparison, as a function of weights."""

USES_THRESHOLD = (
    tuple(name for name in STATISTICS if name.startswith(("deception", "null", "excess", "explained", "lift", "hidden"))) + RATES
)

SIGNED = ("gap", "pgr", "net_change", "lift", "band_contrast", *(name for name in STATISTICS if name.startswith(("excess", "explained"))))
"""Statistics that are no shares of pairs: their intervals may leave [0, 1]."""

VERSUS, SLOPE, STABLE, TRAINING = "_vs_", "_slope", "_stable", "_training"
"""Parts of names: a statistic minus that of a control; its slope against the capability gap; on pairs that
every rerun ranks right; on the student's training pairs."""

GENERALIZATION = ("accuracy_weak", "accuracy_ceiling", "accuracy", "gap", "pgr")
DECEPTION = ("conflict_tax", "net_change", "deception_score", "null_random", "null_margin_matched", "excess_random", "excess_margin_matched", "lift", *RATES)  # fmt: skip
MECHANISM = ("conflict_tax", "tax_rate_in_band", "tax_rate_above_band", "band_contrast", *(name for name, _, _ in BY_LABEL))


@lru_cache(maxsize=8)
def _weights(seed: int, clusters: tuple[str, ...], draws: int) -> np.ndarray:
    return cluster_weights(clusters, draws, np.random.default_rng(stream(seed, "bootstrap")))


def seed_weights(study: Study, seed: int, clusters: Sequence[object]) -> np.ndarray | None:
    """Bootstrap weights for a study of a single seed, the same at every call; None where several seeds speak for the pairs."""
    if len(study.edition.seeds) > 1:
        return None
    return _weights(seed, tuple(clusters), study.edition.draws)


class Cell(NamedTuple):
    """One student of a study, by its names."""

    seed: int
    weak: str
    strong: str
    condition: str


def cells(study: Study, conditions: Sequence[str]) -> list[Cell]:
    """Every student of a study, seed by seed."""
    return [Cell(s, weak, strong, c) for s in study.edition.seeds for weak, strong in study.edition.weak_strong for c in conditions]


def row(
    study: Study, cell: Cell, name: str, statistic: Statistic, n_pairs: int, runs: Iterable[Spec],
    weights: np.ndarray | None = None, threshold: float = np.nan,
) -> tuple:  # fmt: skip
    """One row of a per-seed frame, columns ``PER_SEED``, from a statistic as a function of bootstrap weights."""
    named = (cell.seed, cell.weak, cell.strong, study.method, study.label(cell.condition))
    alpha, keys = CONDITIONS[cell.condition].alpha(study.edition.alpha), tuple(run.key for run in runs)
    draws = None if weights is None else statistic(weights=weights)
    return (*named, alpha, threshold, name, float(statistic()), n_pairs, keys, draws)


def measure(
    study: Study, lab: Lab, conditions: Sequence[str], statistics: Iterable[str], stable: bool = False, on: Split = "test"
) -> pd.DataFrame:
    """One row per seed, weak-strong pair, condition and statistic; trains what is missing.

    ``stable`` keeps only the pairs that every rerun of the no-conflict student ranks right, so that no
    taxed pair was churn waiting to happen; the statistics' names then end in ``_stable``.  ``on`` may be
    ``weak_label``, the pairs that students are trained on; the names then end in ``_training``.

    Columns ``PER_SEED``.  ``draws`` is the statistic under cluster-bootstrap weights, shared by all rows
    of a seed, where the edition has a single seed (None otherwise: the spread over seeds then speaks for
    pairs as well).  ``Study.label`` names the condition.
    """
    rows, statistics = [], tuple(statistics)
    lab.run(study.student_runs(tuple(conditions)))
    suffix = (STABLE if stable else "") + (TRAINING if on == "weak_label" else "")
    for cell in cells(study, conditions):
        weights = seed_weights(study, cell.seed, study.clusters(lab, cell.seed, on))
        comparison, runs = study.comparison(lab, *cell, on), study.compared(*cell)
        if stable:
            reruns = study.reruns(*cell[:3])
            keep = np.all([correct(p) for p in study.probabilities(lab, reruns, on)], axis=0)
            comparison, runs = comparison.among(keep), list(dict.fromkeys(runs + reruns))
            weights = None if weights is None else weights[:, keep]
        for name in statistics:
            threshold = study.edition.threshold if name in USES_THRESHOLD else np.nan
            rows.append(row(study, cell, name + suffix, STATISTICS[name](comparison), len(comparison.weak), runs, weights, threshold))
    return pd.DataFrame(rows, columns=PER_SEED)


def _interval(group: pd.DataFrame) -> Interval:
    """Over seeds, after averaging over whatever weak-strong pairs the group holds; shares stay between 0 and 1."""
    by_seed = group.groupby("seed")["value"].mean()
    if group["draws"].isna().any():
        interval = seed_interval(by_seed)
        name = group["statistic"].iloc[0]
        if name.startswith(SIGNED) or VERSUS in name or name.endswith(SLOPE):
            return interval
        return interval._replace(low=max(interval.low, 0.0), high=min(interval.high, 1.0))
    defined = [draws for draws, value in zip(group["draws"], group["value"]) if not np.isnan(value)]
    return percentile_interval(float(by_seed.iloc[0]), np.mean(defined, axis=0) if defined else np.empty(0))


def summarise(per_seed: pd.DataFrame, pooled: bool = False) -> pd.DataFrame:
    """Results over seeds: a row per weak-strong pair, method, condition, alpha, threshold and statistic, or, pooled, one over all pairs.

    Pooling averages over pairs within a seed first: cells of one seed share models, so that the seed
    stays the unit of replication.  Columns ``COLUMNS`` but for ``edition`` and ``chapter``.
    """
    frame = per_seed.assign(weak=ALL, strong=ALL) if pooled else per_seed
    rows = []
    for names, group in frame.groupby(CELL, sort=False, dropna=False):
        interval = _interval(group)
        numbers = interval._asdict()
        keys = " ".join(dict.fromkeys(key for keys in group["run_keys"] for key in keys))
        rows.append(dict(zip(CELL, names)) | {**numbers, "n_pairs": int(group["n_pairs"].mean()), "run_keys": keys})
    return pd.DataFrame(rows, columns=[c for c in COLUMNS if c not in ("edition", "chapter")])


def difference(
    per_seed: pd.DataFrame, statistic: str, condition: str, control: str, method: str | None = None, control_method: str | None = None
) -> pd.DataFrame:
    """One results row: a statistic under a condition minus the same under a control, cell by cell, pooled.

    The row is named ``<statistic>_vs_<control>``.  ``method`` is needed where the frame holds several; with a
    ``control_method`` the control is another method's, and the row is named after that.
    """
    named = ["seed", "weak", "strong"]
    both = per_seed[per_seed["statistic"] == statistic]

    def side(name: str, by: str | None) -> pd.DataFrame:
        return both[(both["condition"] == name) & (True if by is None else both["method"] == by)].set_index(named)

    left = side(condition, method)
    right = side(control, control_method or method).loc[left.index]
    minus = left.assign(
        statistic=f"{statistic}{VERSUS}{control_method or control}",
        value=left["value"] - right["value"],
        run_keys=[tuple(dict.fromkeys(a + b)) for a, b in zip(left["run_keys"], right["run_keys"])],
        draws=[None if a is None else a - b for a, b in zip(left["draws"], right["draws"])],
    )
    return summarise(minus.reset_index(), pooled=True)


def slopes(per_seed: pd.DataFrame, statistics: Sequence[str]) -> pd.DataFrame:
    """Results rows: how much a statistic grows per unit of the capability gap (ceiling − weak, in accuracy).

    A least-squares line through the weak-strong cells of each seed gives one slope a seed; their mean
    gets the interval.  The cells of a seed share models and test pairs, so that they are never counted as
    independent; with a single seed, its clusters are resampled, gaps included.
    """
    gaps = per_seed[per_seed["statistic"] == "gap"].drop_duplicates(["seed", "weak", "strong"]).set_index(["seed", "weak", "strong"])
    rows = []
    for (seed, condition, statistic), group in per_seed[per_seed["statistic"].isin(statistics)].groupby(
        ["seed", "condition", "statistic"], sort=False
    ):
        index = pd.MultiIndex.from_frame(group[["seed", "weak", "strong"]])
        x = gaps.loc[index, "value"].to_numpy(), gaps.loc[index, "draws"]
        slope = _slope(x[0][:, None], group["value"].to_numpy()[:, None])[0]
        draws = None if group["draws"].isna().any() else _slope(np.stack(x[1].to_list()), np.stack(group["draws"].to_list()))
        keys = tuple(dict.fromkeys(key for keys in group["run_keys"] for key in keys))
        first = group.iloc[0]
        named = (seed, ALL, ALL, first["method"], condition, first["alpha"], first["threshold"])
        rows.append((*named, statistic + SLOPE, slope, first["n_pairs"], keys, draws))
    return summarise(pd.DataFrame(rows, columns=PER_SEED))


def _slope(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Least-squares slopes of y on x, both of shape (cells, draws), over cells where both are defined; shape (draws,)."""
    defined = ~np.isnan(x) & ~np.isnan(y)
    n = defined.sum(axis=0)
    x, y = (np.where(defined, a, 0.0) for a in (x, y))
    with np.errstate(invalid="ignore", divide="ignore"):
        x_mean, y_mean = x.sum(axis=0) / n, y.sum(axis=0) / n
        dx, dy = (np.where(defined, a - mean, 0.0) for a, mean in ((x, x_mean), (y, y_mean)))
        return np.where(n > 1, (dx * dy).sum(axis=0) / (dx**2).sum(axis=0), np.nan)


def ladder_results(study: Study, lab: Lab) -> tuple[pd.DataFrame, pd.DataFrame]:
    """What every model of the ladder knows: all facts, and the results rows over seeds.

    The first frame has ``model`` (ordered), ``seed`` and the columns of ``pretrain.knowledge``; the second
    the statistics ``facts_known`` (share of facts whose true kind of word is the likelier one) and
    ``accuracy_ceiling``, one row a model, which stands under ``strong``.
    """
    e = study.edition
    lab.run(study.ladder_runs())
    facts = pd.concat([lab.knowledge(study.model(s, m)).assign(model=m, seed=s) for m in e.models for s in e.seeds], ignore_index=True)
    facts["model"] = pd.Categorical(facts["model"], e.models, ordered=True)
    rows = []
    for model in e.models:
        for seed in e.seeds:
            knows, ranks = lab.knowledge(study.model(seed, model)), lab.scores(study.ceiling(seed, model))
            for name, frame, clusters, run in (
                ("facts_known", knows, knows["name"], study.model(seed, model)),  # every fact is a cluster of its own
                ("accuracy_ceiling", ranks, study.clusters(lab, seed), study.ceiling(seed, model)),
            ):
                p, weights = frame["p_true"].to_numpy(), seed_weights(study, seed, clusters)
                rows.append(row(study, Cell(seed, "", model, "none"), name, partial(accuracy, p), len(p), (run,), weights))
    frame = pd.DataFrame(rows, columns=PER_SEED)
    return facts, summarise(frame).sort_values("statistic", kind="stable", ascending=False, ignore_index=True)


def gain_by_confidence(study: Study, lab: Lab, edges: Sequence[float] = (0.5, 0.6, 0.75, 0.9, 1.0)) -> pd.DataFrame:
    """Where no-conflict students beat their supervisors: accuracies by the weak supervisor's confidence max(p, 1 − p).

    Pairs of all seeds and weak-strong cells together.  Columns ``weak_confidence`` (a range), ``pairs``,
    ``weak_is_right``, ``student_is_right``, ``student_gains``.
    """
    labels = [f"{low:.2f}–{high:.2f}" for low, high in zip(edges, edges[1:])]
    frames = []
    for seed in study.edition.seeds:
        for weak, strong in study.edition.weak_strong:
            c = study.comparison(lab, seed, weak, strong, "none")
            confidence = pd.cut(np.maximum(c.weak, 1 - c.weak), edges, labels=labels, include_lowest=True)
            right = {"weak_is_right": correct(c.weak), "student_is_right": correct(c.baseline)}
            frames.append(pd.DataFrame({"weak_confidence": confidence, **right}))
    grouped = pd.concat(frames).groupby("weak_confidence", observed=True)
    table = grouped.mean().assign(pairs=grouped.size()).reset_index()
    table["student_gains"] = table["student_is_right"] - table["weak_is_right"]
    return table[["weak_confidence", "pairs", "weak_is_right", "student_is_right", "student_gains"]]


def wide(results: pd.DataFrame) -> pd.DataFrame:
    """Values with a row per weak-strong pair and a column per statistic, both in the order of the frame; one condition."""
    order = results[["weak", "strong"]].drop_duplicates().apply(tuple, axis=1)
    table = results.set_index(["weak", "strong", "statistic"])["value"].unstack()
    return table.loc[list(order), list(dict.fromkeys(results["statistic"]))]


def pick(results: pd.DataFrame, statistic: str, condition: str, weak: str = ALL, strong: str = ALL, **also: float | str) -> pd.Series:
    """The one row of a statistic; ``also`` names further columns, such as ``alpha=0.5`` or ``method="dpo"``.

    Raises:
        KeyError: there is no such row, or more than one.
    """
    found = results[
        (results["statistic"] == statistic)
        & (results["condition"] == condition)
        & (results["weak"] == weak)
        & (results["strong"] == strong)
    ]
    for column, value in also.items():
        found = found[found[column] == value if isinstance(value, str) else np.isclose(found[column], value)]
    if len(found) != 1:
        raise KeyError(f"{statistic} under {condition} for {weak} -> {strong}: {len(found)} rows")
    return found.iloc[0]


def say(row: pd.Series, percent: bool = False) -> str:
    """A value with its interval as text, e.g. ``0.45 [0.21, 0.69]`` or ``9.3 % [4.1, 14.5]``."""
    scale, digits, unit = (100, 1, " %") if percent else (1, 2, "")

    def text(x: float) -> str:
        return f"{round(scale * x, digits) + 0.0:.{digits}f}"  # adding zero turns -0.0 into 0.0

    if np.isnan(row["value"]):
        return "undefined"
    number = text(row["value"]) + unit
    if np.isnan(row["low"]):
        return number
    return f"{number} [{text(row['low'])}, {text(row['high'])}]"


def reads(row: pd.Series) -> str:
    """What an interval says about zero, in words; the book's prose never says more."""
    if np.isnan(row["low"]) or np.isnan(row["high"]):
        return "undecided"
    if row["low"] > 0:
        return "above zero"
    return "below zero" if row["high"] < 0 else "not distinguishable from zero"
