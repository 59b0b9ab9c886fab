"""Results as one tidy frame, from which figures, prose, landing page and ``results.csv`` all read.

``measure`` gives one row a study seed; ``summarise`` averages over seeds, with intervals.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np
import pandas as pd

from w2s_lib.conditions import CONDITIONS
from w2s_lib.lab import Lab
from w2s_lib.metrics import Comparison, accuracy, correct, pgr
from w2s_lib.run import stream
from w2s_lib.study import Study
from w2s_lib.uncertainty import Interval, cluster_weights, percentile_interval, seed_interval

COLUMNS = (
    "edition", "chapter", "statistic", "method", "condition", "alpha", "threshold", "weak", "strong",
    "value", "low", "high", "n_seeds", "n_pairs", "run_keys",
)  # fmt: skip

ALL = "all"
"""Stands for weak and strong in rows that average over the weak-strong pairs of the edition."""

RATES = ("tax_rate_both_know", "tax_rate_deception_area", "tax_rate_only_weak_knows", "tax_rate_neither_knows")
"""Tax rates of the four quadrants, in the order of ``metrics.QUADRANTS``."""

PER_SEED = ["seed", "weak", "strong", "condition", "statistic", "value", "n_pairs", "run_keys", "draws"]

Statistic = Callable[..., np.ndarray]


def _rate(quadrant: int) -> Callable[[Comparison], Statistic]:
    return lambda c: lambda weights=None: c.tax_rates(weights)[..., quadrant]


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
    **{name: _rate(i) for i, name in enumerate(RATES)},
}
"""Name → the statistic of one comparison, as a function of weights."""

USES_THRESHOLD = {name for name in STATISTICS if name.startswith(("deception", "null", "excess", "lift", "tax_rate"))}

SIGNED = {"gap", "pgr", "net_change", "excess_random", "excess_margin_matched", "lift"}
"""Statistics that are no shares of pairs: their intervals may leave [0, 1]."""

VERSUS = "_vs_"
"""Joins the names of a statistic and of the control that is subtracted from it."""

GENERALIZATION = ("accuracy_weak", "accuracy_ceiling", "accuracy", "gap", "pgr")
DECEPTION = tuple(name for name in STATISTICS if name not in GENERALIZATION)


def _weights(study: Study, seed: int, clusters: Sequence[object]) -> np.ndarray | None:
    """Bootstrap weights for a study of a single seed, the same at every call; None where several seeds speak for the pairs."""
    if len(study.edition.seeds) > 1:
        return None
    return cluster_weights(clusters, study.edition.draws, np.random.default_rng(stream(seed, "bootstrap")))


def measure(study: Study, lab: Lab, conditions: Sequence[str], statistics: Iterable[str]) -> pd.DataFrame:
    """One row per seed, weak-strong pair, condition and statistic; trains what is missing.

    Columns ``seed, weak, strong, condition, statistic, value, n_pairs, run_keys`` and ``draws``: the
    statistic under cluster-bootstrap weights, shared by all rows of a seed, where the edition has a
    single seed (None otherwise: the spread over seeds then speaks for pairs as well).
    """
    e, rows, statistics = study.edition, [], tuple(statistics)
    lab.run(study.student_runs(tuple(conditions)))
    for seed in e.seeds:
        weights = _weights(study, seed, study.clusters(seed))
        for weak, strong in e.weak_strong:
            for condition in conditions:
                comparison = study.comparison(lab, seed, weak, strong, condition)
                keys = tuple(run.key for run in study.compared(seed, weak, strong, condition))
                for name in statistics:
                    statistic = STATISTICS[name](comparison)
                    draws = None if weights is None else statistic(weights=weights)
                    rows.append((seed, weak, strong, condition, name, float(statistic()), len(comparison.weak), keys, draws))
    return pd.DataFrame(rows, columns=PER_SEED)


def _interval(group: pd.DataFrame) -> Interval:
    """Over seeds, after averaging over whatever weak-strong pairs the group holds; shares stay between 0 and 1."""
    by_seed = group.groupby("seed")["value"].mean()
    if group["draws"].isna().any():
        interval = seed_interval(by_seed)
        name = group["statistic"].iloc[0]
        if name in SIGNED or VERSUS in name:
            return interval
        return interval._replace(low=max(interval.low, 0.0), high=min(interval.high, 1.0))
    defined = [draws for draws, value in zip(group["draws"], group["value"]) if not np.isnan(value)]
    return percentile_interval(float(by_seed.iloc[0]), np.mean(defined, axis=0) if defined else np.empty(0))


def summarise(per_seed: pd.DataFrame, study: Study, pooled: bool = False, method: str = "reward_model") -> pd.DataFrame:
    """Results over seeds: a row per weak-strong pair, condition and statistic, or, pooled, one over all pairs.

    Pooling averages over pairs within a seed first: cells of one seed share models, so that the seed
    stays the unit of replication.  Columns ``COLUMNS`` but for ``edition`` and ``chapter``.
    """
    frame = per_seed.assign(weak=ALL, strong=ALL) if pooled else per_seed
    rows = []
    for (weak, strong, condition, statistic), group in frame.groupby(["weak", "strong", "condition", "statistic"], sort=False):
        interval = _interval(group)
        rows.append(
            {
                "statistic": statistic,
                "method": method,
                "condition": condition,
                "alpha": study.edition.alpha if CONDITIONS[condition].uses_alpha else np.nan,
                "threshold": study.edition.threshold if statistic.split(VERSUS)[0] in USES_THRESHOLD else np.nan,
                "weak": weak,
                "strong": strong,
                "value": interval.value,
                "low": interval.low,
                "high": interval.high,
                "n_seeds": interval.n_seeds,
                "n_pairs": int(group["n_pairs"].iloc[0]),
                "run_keys": " ".join(dict.fromkeys(key for keys in group["run_keys"] for key in keys)),
            }
        )
    return pd.DataFrame(rows)


def difference(per_seed: pd.DataFrame, study: Study, statistic: str, condition: str, control: str) -> pd.DataFrame:
    """One results row: a statistic under a condition minus the same under a control, cell by cell, pooled.

    The row is named ``<statistic>_vs_<control>``.
    """
    cells = ["seed", "weak", "strong"]
    both = per_seed[per_seed["statistic"] == statistic]
    left, right = (both[both["condition"] == c].set_index(cells) for c in (condition, control))
    minus = left.assign(
        statistic=f"{statistic}{VERSUS}{control}",
        value=left["value"] - right["value"],
        run_keys=[tuple(dict.fromkeys(a + b)) for a, b in zip(left["run_keys"], right["run_keys"])],
        draws=[None if a is None else a - b for a, b in zip(left["draws"], right["draws"])],
    )
    return summarise(minus.reset_index(), study, pooled=True)


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
            for name, frame, clusters, key in (
                ("facts_known", knows, knows["name"], study.model(seed, model).key),  # every fact is a cluster of its own
                ("accuracy_ceiling", ranks, study.clusters(seed), study.ceiling(seed, model).key),
            ):
                p, weights = frame["p_true"].to_numpy(), _weights(study, seed, clusters)
                draws = None if weights is None else accuracy(p, weights)
                rows.append((seed, "", model, "none", name, float(accuracy(p)), len(p), (key,), draws))
    frame = pd.DataFrame(rows, columns=PER_SEED)
    return facts, summarise(frame, study).sort_values("statistic", kind="stable", ascending=False, ignore_index=True)


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


def pick(results: pd.DataFrame, statistic: str, condition: str, weak: str = ALL, strong: str = ALL) -> pd.Series:
    """The one row of a statistic.

    Raises:
        KeyError: there is no such row, or more than one.
    """
    found = results[
        (results["statistic"] == statistic)
        & (results["condition"] == condition)
        & (results["weak"] == weak)
        & (results["strong"] == strong)
    ]
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
