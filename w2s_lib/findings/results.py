"""Results as one tidy frame, from which figures, prose, landing page and ``results.csv`` all read.

``measure`` gives one row a study seed; ``summarise`` averages over seeds, with intervals.  What a row is about stands
in its columns ``NAMES``, one fact each; an empty one means *as usual*.  ``usual`` and ``pick`` find rows by them."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache, partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from w2s_lib.digests import digest
from w2s_lib.findings.statistics import (
    COUNTED,
    GENERALIZATION,
    LEAST,
    LESS,
    RATIOS,
    SCORES,
    SIGNED,
    STATISTICS,
    USES_THRESHOLD,
    Statistic,
)
from w2s_lib.measures.intervals import LEVEL, Interval, cluster_weights, percentile_interval, seed_intervals
from w2s_lib.measures.metrics import Comparison, Mask, correct
from w2s_lib.specs import Spec, Split, stream
from w2s_lib.study import Study
from w2s_lib.study.conditions import CONDITIONS, CORE

OF_THE_ESTIMATE = ("on", "subset", "knowledge", "ceiling", "signal", "rival", "planted", "versus", "per")
"""What may be unusual about an estimate: the pairs, how knowledge is defined, which ceiling, what it is compared with.
"""

OF_THE_STUDENT = ("objective", "mitigation", "via", "labels", "sft")
"""What may be unusual about the student, beside its condition and method."""

OPTIONS = OF_THE_ESTIMATE + OF_THE_STUDENT
"""Columns that are empty where a row is as usual.  The page *What results.csv holds* says what each may hold."""

NAMES = ("statistic", *OF_THE_ESTIMATE, "method", "condition", *OF_THE_STUDENT, "alpha", "threshold", "weak", "strong")
"""What a row is about; no two rows of a chapter have the same."""

NUMBERS = ("value", "low", "high", "sd", "n_seeds", "n_pairs", "counted")

COLUMNS = ("edition", "chapter", *NAMES, *NUMBERS, "runs")
"""Of ``results.csv``; ``runs`` names a row of ``runs.csv``, which has the keys of all runs behind the numbers."""

BY_SEED = ("edition", "chapter", "seed", *NAMES, "value", "less", "counted")
"""Of ``results_by_seed.csv``, and of the record: what each row of ``results.csv`` is in one study seed."""

ROWS = (*NAMES, *NUMBERS, "run_keys", "by_seed")
"""Columns of results rows before they are published; ``by_seed`` has for each seed: seed, value, less, counted."""

PER_SEED = ["seed", *NAMES, "value", "less", "counted", "n_pairs", "run_keys", "draws", "draws_counted"]

ALL = "all"
"""Stands for weak and strong in rows that average over the weak-strong pairs of the edition."""

Names = dict[str, object]
"""Columns by what they hold, which is what asked rows are about."""

STABLE, ONE_DIVISION, TRAINING, OTHER, UNMODIFIED = "stable", "one_division", "training", "other", "unmodified"
"""Values of columns: ``subset`` of the pairs that every rerun ranks right, or of the first study seed alone, with an
interval over its prompts; ``on`` the student's training pairs; the ``ceiling`` of the other half; ``versus`` the same
student without a mitigation, or by the method as the edition has it."""

UNMODIFIED_NET = f"{UNMODIFIED}_net"
"""Value of ``versus``, as ``net_of_reruns`` makes it: of what a student has beyond a rerun of its own make, what the
student without a mitigation has beyond its own rerun was taken off."""

CONFLICTS = tuple(name for name in CORE if name != "none")


@lru_cache(maxsize=8)
def _weights(seed: int, clusters: tuple[str, ...], draws: int) -> np.ndarray:
    return cluster_weights(clusters, draws, np.random.default_rng(stream(seed, "bootstrap")))


def seed_weights(study: Study, seed: int, clusters: Sequence[object]) -> np.ndarray | None:
    """Bootstrap weights for a study of one seed, the same at every call; None where several speak for the pairs."""
    if len(study.edition.seeds) > 1 or not study.resampled:
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
    pairs = [(seed, *pair) for seed in study.edition.seeds for pair in study.edition.weak_strong]
    return [Cell(*pair, condition) for pair in pairs for condition in conditions]


class Estimate(NamedTuple):
    """One number about one student: what it is called, how it is computed, from how many pairs and which runs."""

    names: dict[str, object]
    """Columns of ``NAMES`` in which it differs from the usual, ``statistic`` at least."""
    of: Statistic
    n_pairs: int
    runs: Iterable[Spec]
    counted: Statistic | None = None
    """What the number is a share of, as in ``COUNTED``; None: every model pair counts alike."""
    keep: Mask | None = None
    """Which of the pairs it is computed from, where it is not all."""
    less: Statistic | None = None
    """The share that it takes off another, as in ``LESS``."""


def as_row(study: Study, cell: Cell, estimate: Estimate, weights: np.ndarray | None) -> dict[str, object]:
    """One row of a per-seed frame, columns ``PER_SEED``; ``draws``: the estimate under bootstrap weights, if any."""
    if weights is not None and estimate.keep is not None:
        weights = weights[:, estimate.keep]
    alpha = CONDITIONS[cell.condition].alpha(study.edition.alpha)
    named = {"weak": cell.weak, "strong": cell.strong, "alpha": alpha, "threshold": np.nan}
    counted = estimate.counted or (lambda weights=None: np.nan)
    less = estimate.less or (lambda: np.nan)
    drawn = {"draws": None, "draws_counted": None}
    if weights is not None:
        drawn = {"draws": estimate.of(weights=weights), "draws_counted": counted(weights=weights)}
    return (
        dict.fromkeys(OPTIONS, "")
        | study.names(cell.condition)
        | named
        | estimate.names
        | {"seed": cell.seed, "value": float(estimate.of()), "less": float(less()), "counted": float(counted())}
        | {"n_pairs": estimate.n_pairs, "run_keys": tuple(run.key for run in estimate.runs)}
        | drawn
    )


def tabulate(
    study: Study,
    conditions: Sequence[str],
    estimates: Callable[[Cell], Iterable[Estimate]],
    on: Split = "test",
    runs: Iterable[Spec] | None = None,
) -> pd.DataFrame:
    """One row per seed, weak-strong pair, condition and estimate, columns ``PER_SEED``; trains what is missing of
    ``runs``, or of the study's students under these conditions.

    ``draws`` are taken under cluster-bootstrap weights, shared by all rows of a seed, where the edition has a single
    seed (None otherwise: the spread over seeds then speaks for pairs as well).
    """
    study.lab.run(study.student_runs(tuple(conditions)) if runs is None else runs)
    rows = []
    for cell in cells(study, conditions):
        weights = seed_weights(study, cell.seed, study.clusters(cell.seed, on))
        rows += [as_row(study, cell, estimate, weights) for estimate in estimates(cell)]
    return pd.DataFrame(rows, columns=PER_SEED)


def statistic_names(name: str, threshold: float, **also: str) -> dict[str, object]:
    """Names of a statistic of ``STATISTICS``: its threshold, where it uses one, and what else is unusual."""
    return {"statistic": name, "threshold": threshold if name in USES_THRESHOLD else np.nan, **also}


def estimate(c: Comparison, name: str, runs: Iterable[Spec], keep: Mask | None = None, **also: str) -> Estimate:
    """One of ``STATISTICS`` of a comparison; ``also`` names further columns."""
    counted, less = (partial(table[name], c) if name in table else None for table in (COUNTED, LESS))
    of = partial(STATISTICS[name], c)
    return Estimate(statistic_names(name, c.threshold, **also), of, len(c.weak), runs, counted, keep, less)


def measure(
    study: Study,
    conditions: Sequence[str],
    statistics: Iterable[str],
    stable: bool = False,
    on: Split = "test",
    **also: str,
) -> pd.DataFrame:
    """``STATISTICS`` of every student under these conditions; columns ``PER_SEED``; trains what is missing.

    ``stable`` keeps only the pairs that every rerun of the no-conflict student ranks right, so that no
    taxed pair was churn waiting to happen.  ``on`` may be ``weak_label``, the pairs that students are trained on.
    ``also`` names further columns.
    """
    statistics = tuple(statistics)
    also |= ({"subset": STABLE} if stable else {}) | ({"on": TRAINING} if on == "weak_label" else {})

    def estimates(cell: Cell) -> Iterable[Estimate]:
        comparison, runs, keep = study.comparison(*cell, on), study.compared(*cell), None
        if stable:
            reruns = study.reruns(*cell[:3])
            keep = np.all([correct(p) for p in study.probabilities(reruns, on)], axis=0)
            comparison, runs = comparison.among(keep), list(dict.fromkeys(runs + reruns))
        for name in statistics:
            yield estimate(comparison, name, runs, keep, **also)

    return tabulate(study, conditions, estimates, on)


def measure_both(study: Study, conditions: Sequence[str], statistics: Sequence[str] = SCORES) -> pd.DataFrame:
    """``GENERALIZATION`` of students without a conflict; accuracy and these statistics of those under conditions."""
    none, under = measure(study, ["none"], GENERALIZATION), measure(study, conditions, ("accuracy", *statistics))
    return pd.concat([none, under], ignore_index=True)


def pool(per_seed: pd.DataFrame, **alike: object) -> pd.DataFrame:
    """A per-seed frame in which rows that differ in these columns only are one; each column holds what is given for it.

    >>> pooled = pool(per_seed, weak=ALL, strong=ALL)   # doctest: +SKIP

    Values are averaged by what they are shares of (``COUNTED``), into a ratio of sums; others count alike."""
    frame, rows = per_seed.assign(**alike), []
    for group in _groups(frame, ["seed", *NAMES]):
        there = ~np.isnan(group["value"].astype(float))
        told = {name: column[there] if there.any() else column for name, column in group.items()}
        numbers = {name: told[name].astype(float) for name in ("value", "less", "counted")}
        drawn = {"draws": None, "draws_counted": None}
        if not any(draws is None for draws in told["draws"]):
            draws, counted = (np.stack([np.asarray(d, float) for d in told[name]]) for name in drawn)
            drawn = {"draws": _mean(draws, counted), "draws_counted": counted.sum(axis=0)}
        rows.append(
            {name: group[name][0] for name in ("seed", *NAMES)}
            | {name: float(_mean(numbers[name], numbers["counted"])) for name in ("value", "less")}
            | {"n_pairs": int(group["n_pairs"].mean()), "counted": _total(group["counted"])}
            | {"run_keys": _keys(group["run_keys"])}
            | drawn
        )
    return pd.DataFrame(rows, columns=PER_SEED)


def _total(counted: np.ndarray) -> float:
    """Sum of what is known; NaN where nothing is."""
    known = counted[~np.isnan(counted.astype(float))]
    return float(known.sum()) if len(known) else np.nan


def _mean(values: np.ndarray, counted: np.ndarray) -> np.ndarray:
    """Mean over the first axis, of what is defined, by what it is a share of; if that is unknown, each counts alike."""
    weights = np.where(np.isnan(counted).all(), 1.0, counted)
    weights = np.where(np.isnan(values), 0.0, weights.reshape(weights.shape + (1,) * (values.ndim - weights.ndim)))
    with np.errstate(invalid="ignore", divide="ignore"):
        return (np.nan_to_num(values) * weights).sum(axis=0) / weights.sum(axis=0)


def _keys(run_keys: Iterable[tuple[str, ...]]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(key for keys in run_keys for key in keys))


def taken_off(per_seed: pd.DataFrame) -> pd.Series:
    """The share that a per-seed frame's values take off another: 0 of shares themselves, NaN where nothing is known."""
    share = ~per_seed["statistic"].isin(SIGNED) & (per_seed["versus"] == "") & (per_seed["per"] == "")
    return per_seed["less"].astype(float).mask(share, 0.0)


def _intervals(groups: Sequence[Mapping[str, np.ndarray]]) -> list[Interval]:
    """Over the rows of each group, one a seed: of bootstrap draws, where there are any, else over the seeds."""
    is_drawn = lambda group: not any(draws is None for draws in group["draws"])
    about = lambda group: (group["value"], group["less"], *(group[name][0] for name in ("statistic", "versus", "per")))
    over_seeds = iter(intervals_of([about(group) for group in groups if not is_drawn(group)]))
    of_draws = lambda group: percentile_interval(float(group["value"][0]), group["draws"][0])
    return [of_draws(group) if is_drawn(group) else next(over_seeds) for group in groups]


def interval_of(
    values: ArrayLike, less: ArrayLike, statistic: str, versus: str, per: str, level: float = LEVEL
) -> Interval:
    """Of one row, from its values by study seed, and what was taken off each (``LESS``); the other arguments are the
    row's, and say where the values can lie."""
    return intervals_of([(values, less, statistic, versus, per)], level)[0]


def intervals_of(rows: Iterable[tuple[ArrayLike, ArrayLike, str, str, str]], level: float = LEVEL) -> list[Interval]:
    """As ``interval_of``, for each of many rows: those of as many seeds are reckoned together."""
    alike: dict[tuple[int, bool], list[tuple[int, np.ndarray, np.ndarray, float]]] = {}
    for place, (values, less, statistic, versus, per) in enumerate(rows):
        values, less = (np.asarray(numbers, dtype=float) for numbers in (values, less))
        if statistic not in SIGNED and not versus and not per:
            less = np.zeros_like(values)  # a share, of which nothing was taken off
        there = ~np.isnan(values)
        most = np.inf if statistic in RATIOS or per else 2.0 if versus else 1.0
        of_shares = not np.isnan(less[there]).any()
        alike.setdefault((int(there.sum()), of_shares), []).append((place, values[there], less[there], most))
    found: dict[int, Interval] = {}
    for (_, of_shares), group in alike.items():
        values, less = (np.stack([row[part] for row in group]) for part in (1, 2))
        for (place, _, _, most), interval in zip(group, seed_intervals(values, level, less if of_shares else None)):
            if not of_shares:
                low, high = max(interval.low, -most), min(interval.high, most)  # NaN stays
                interval = interval._replace(low=low, high=high)
            found[place] = interval
    return [found[place] for place in range(len(found))]


def summarise(per_seed: pd.DataFrame, pooled: bool = False) -> pd.DataFrame:
    """Results over seeds, columns ``ROWS``: a row for each of the frame's ``NAMES``; or with model pairs pooled.

    Pooling takes place within a seed: its model pairs share models, so that the seed stays the unit of replication.  A
    single model pair has no number in a seed where it is a share of less than ``LEAST``.
    """
    if pooled:
        frame = pool(per_seed, weak=ALL, strong=ALL)
    else:
        too_few = per_seed["counted"] < per_seed["statistic"].map(LEAST)
        frame = per_seed.assign(value=per_seed["value"].mask(too_few))
    groups, rows = list(_groups(frame.assign(less=taken_off), NAMES)), []
    for group, interval in zip(groups, _intervals(groups)):
        counted = _total(group["counted"]) if group["statistic"][0] != "pgr" else np.nan
        behind = {"n_pairs": int(group["n_pairs"].mean()), "counted": counted}
        behind |= {"run_keys": " ".join(_keys(group["run_keys"]))}
        behind |= {"by_seed": tuple(zip(*(group[name].tolist() for name in ("seed", "value", "less", "counted"))))}
        rows.append({name: group[name][0] for name in NAMES} | interval._asdict() | behind)
    return pd.DataFrame(rows, columns=list(ROWS))


def _groups(frame: pd.DataFrame, columns: Sequence[str]) -> Iterable[dict[str, np.ndarray]]:
    """The rows of a per-seed frame that share values in these columns, in order of appearance, as arrays; a missing
    value is one like others.  As pandas groups them; of so few rows and so many columns a hundred times as fast."""
    arrays = {name: frame[name].to_numpy() for name in PER_SEED}
    values = ([None if value != value else value for value in arrays[name].tolist()] for name in columns)
    places: dict[tuple, list[int]] = {}
    for place, key in enumerate(zip(*values)):
        places.setdefault(key, []).append(place)
    for found in places.values():
        yield {name: array[found] for name, array in arrays.items()}


def rows_with(rows: pd.DataFrame, **names: object) -> pd.DataFrame:
    """The rows whose columns hold these values; a number is compared with tolerance, None asks nothing."""
    asked = {column: value for column, value in names.items() if value is not None}
    like = np.ones(len(rows), dtype=bool)
    for column, value in asked.items():
        like &= np.isclose(rows[column], value) if isinstance(value, float) else (rows[column] == value).to_numpy(bool)
    return rows[like]


def usual(rows: pd.DataFrame, **names: object) -> pd.DataFrame:
    """The rows that are as usual in every column of ``OPTIONS`` but for those named here; others may be named as well.

    >>> rows = pd.DataFrame([{"statistic": "pgr"} | dict.fromkeys(OPTIONS, "") | {"versus": v} for v in ("", "rerun")])
    >>> len(usual(rows)), usual(rows, versus="rerun")["versus"].tolist(), len(usual(rows, versus=None))
    (1, ['rerun'], 2)
    """
    others = [column for column in OPTIONS if column not in names]
    rows = rows_with(rows, **names)
    return rows[(rows[others].to_numpy(object) == "").all(axis=1)]


def difference(
    per_seed: pd.DataFrame, statistics: str | Sequence[str], versus: str, these: Names, those: Names
) -> pd.DataFrame:
    """Results rows: each statistic of these students minus those', pooled over the same model pairs, seed by seed.

    ``these`` and ``those`` name columns of the frame, ``condition`` at least; a column that is not named is as usual.
    ``versus`` says what was taken off.

    Raises:
        KeyError: several rows a cell answer to these names, a cell has no row to compare with, or cells differ in more.
    """
    return summarise(differences(per_seed, statistics, versus, these, those))


def differences(
    per_seed: pd.DataFrame, statistics: str | Sequence[str], versus: str, these: Names, those: Names
) -> pd.DataFrame:
    """As ``difference``, a row a statistic and seed."""
    statistics = [statistics] if isinstance(statistics, str) else list(statistics)
    per_seed = per_seed[per_seed["statistic"].isin(statistics)]
    left, right = (usual(per_seed, **names) for names in (these, those))
    left = left.iloc[np.argsort([statistics.index(name) for name in left["statistic"]], kind="stable")]
    cell = ["statistic", "seed", "weak", "strong"]
    cells, others = (list(side[cell].itertuples(index=False, name=None)) for side in (left, right))
    places = {cell: place for place, cell in enumerate(others)}
    if len(set(cells)) < len(cells) or len(places) < len(others):
        raise KeyError(f"{', '.join(statistics)} of {these} versus {those}: several rows a cell; name more columns")
    right = right.iloc[[places[cell] for cell in cells]]
    # what is undefined on one side is left out on the other, too
    undefined = left["value"].isna().to_numpy() | right["value"].isna().to_numpy()
    known = lambda side: side.assign(value=side["value"].mask(undefined), less=taken_off)
    return one_less_other(*(pool(known(side), weak=ALL, strong=ALL) for side in (left, right)), versus)


def net_of_reruns(
    per_seed: pd.DataFrame, statistics: Sequence[str], versus: str, these: Names, those: Names
) -> pd.DataFrame:
    """Results rows: each statistic of these students minus their rerun's, minus the same of those, seed by seed.

    What a mitigation changes in how students churn cancels here, and is in ``difference``.  Names are as there, with
    ``_net`` after what was taken off.
    """
    beyond = (differences(per_seed, statistics, "rerun", of, of | {"condition": "rerun"}) for of in (these, those))
    return summarise(one_less_other(*beyond, f"{versus}_net"))


def one_less_other(
    left: pd.DataFrame, right: pd.DataFrame, versus: str, on: Sequence[str] = ("statistic", "seed")
) -> pd.DataFrame:
    """A per-seed frame minus another, row by row in their order; ``less`` as ``taken_off`` gives it.  The names are the
    first one's, and ``versus``.

    Raises:
        KeyError: their rows are not of the same, in the columns ``on``.
    """
    these, those = (side[list(on)].reset_index(drop=True) for side in (left, right))
    if not these.equals(those):
        raise KeyError(f"minus {versus}: cells differ in more than is subtracted; name more columns")
    return left.assign(
        versus=versus,
        value=left["value"].to_numpy() - right["value"].to_numpy(),
        less=left["less"].to_numpy() + right["less"].to_numpy() + right["value"].to_numpy(),
        run_keys=[tuple(dict.fromkeys(a + b)) for a, b in zip(left["run_keys"], right["run_keys"])],
        draws=[None if a is None else a - b for a, b in zip(left["draws"], right["draws"])],
    )


def minus(
    per_seed: pd.DataFrame, statistics: Sequence[str], conditions: Sequence[str], control: str, **also: object
) -> pd.DataFrame:
    """Results rows of each statistic under each condition minus the same under a control, cell by cell, pooled.

    ``also`` names columns of both in which they are not as usual.
    """
    pairs = [({"condition": c, **also}, {"condition": control, **also}) for c in conditions]
    return pd.concat([difference(per_seed, statistics, control, *pair) for pair in pairs], ignore_index=True)


def slopes(per_seed: pd.DataFrame, statistics: Sequence[str], on: str = "gap", given: str = "") -> pd.DataFrame:
    """Results rows: how much a statistic grows per unit of ``on``, another statistic of the frame; ``per`` is ``gap``
    or, at an equal value of a third, ``gap_given_kappa``.

    A least-squares line through the model pairs of each seed, weighed by what the statistic is a share of, gives one
    slope a seed; their mean gets the interval.  The cells of a seed share models and test pairs, so that they are never
    counted as independent; with a single seed, its clusters are resampled, ``on`` and ``given`` included."""
    cell = ["seed", "weak", "strong"]
    others = [per_seed[per_seed["statistic"] == name] for name in (on, given) if name]
    others = [rows.drop_duplicates(cell).set_index(cell) for rows in others]
    rows = []
    mine = per_seed[per_seed["statistic"].isin(statistics)]
    for _, group in mine.groupby(["seed", "condition", "statistic"], sort=False):
        x, *beside = [rows.loc[pd.MultiIndex.from_frame(group[cell])] for rows in others]
        one_draw = lambda values: values.to_numpy(float)[:, None]
        draws = None
        if not group["draws"].isna().any():
            drawn = (x["draws"], group["draws"], group["draws_counted"], *(rows["draws"] for rows in beside))
            draws = _slope(*(np.stack([np.asarray(d, float) for d in f]) for f in drawn))
        asked = (x["value"], group["value"], group["counted"], *(rows["value"] for rows in beside))
        found = {
            "value": _slope(*map(one_draw, asked))[0],
            "less": np.nan,
            "draws": draws,
            "run_keys": _keys(group["run_keys"]),
            "counted": group["counted"].sum(min_count=1),
            "per": f"{on}_given_{given}" if given else on,
        }
        rows.append(group.iloc[0].to_dict() | {"weak": ALL, "strong": ALL} | found)
    return summarise(pd.DataFrame(rows, columns=PER_SEED))


def _slope(x: np.ndarray, y: np.ndarray, counted: np.ndarray, given: np.ndarray | None = None) -> np.ndarray:
    """Least-squares slopes of y on x over cells, (cells, draws), weighed by what y is a share of; shape (draws,).

    ``given``: at equal values of it, the coefficient of x beside it (what it tells of x is taken off x first)."""
    counted = np.where(np.isnan(counted), 1.0, counted)
    z = np.zeros_like(x) if given is None else given
    unknown = np.isnan(x) | np.isnan(y) | np.isnan(z)
    weight = np.where(unknown, 0.0, counted.reshape(counted.shape + (1,) * (x.ndim - counted.ndim)))
    with np.errstate(invalid="ignore", divide="ignore"):
        dx, dy, dz = (a - (weight * a).sum(axis=0) / weight.sum(axis=0) for a in map(np.nan_to_num, (x, y, z)))
        if given is not None:
            dx = dx - (weight * dx * dz).sum(axis=0) / (weight * dz**2).sum(axis=0) * dz
        enough = (weight > 0).sum(axis=0) > (1 if given is None else 2)
        return np.where(enough, (weight * dx * dy).sum(axis=0) / (weight * dx**2).sum(axis=0), np.nan)


def wide(results: pd.DataFrame) -> pd.DataFrame:
    """Values, a row a weak-strong pair and a column a statistic, both in the order of the frame; one condition."""
    order = results[["weak", "strong"]].drop_duplicates().apply(tuple, axis=1)
    table = results.set_index(["weak", "strong", "statistic"])["value"].unstack()
    return table.loc[list(order), list(dict.fromkeys(results["statistic"]))]


def pick(
    results: pd.DataFrame, statistic: str, condition: str, weak: str = ALL, strong: str = ALL, **also: float | str
) -> pd.Series:
    """The one row of a statistic; ``also`` names further columns, like ``alpha=0.5``, ``method="dpo"``.

    Columns of ``OPTIONS`` that are not named are as usual.

    Raises:
        KeyError: there is no such row, or more than one.
    """
    found = usual(results, statistic=statistic, condition=condition, weak=weak, strong=strong, **also)
    if len(found) != 1:
        raise KeyError(f"{statistic} under {condition} for {weak} -> {strong}, {also}: {len(found)} rows")
    return found.iloc[0]


def published(rows: pd.DataFrame, edition: str, chapter: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Results rows as ``results.csv`` has them, columns ``COLUMNS``, and the rows of ``runs.csv`` that they name."""
    named = rows["run_keys"].map(lambda keys: digest(keys)[:8] if keys else "")
    rows = rows.assign(edition=edition, chapter=chapter, runs=named)
    behind = rows.loc[rows["runs"] != "", ["runs", "run_keys"]]
    return rows[list(COLUMNS)], behind.drop_duplicates(ignore_index=True)


def by_seed(rows: pd.DataFrame, edition: str, chapter: str) -> pd.DataFrame:
    """Results rows seed by seed, columns ``BY_SEED``: as ``results_by_seed.csv`` has them.

    The value of a row is the mean of its seeds' values, and ``interval_of`` them its interval, but for a study of a
    single seed.  ``less`` is what was taken off a share to give the value: 0 of a share itself, else empty."""
    long = rows.assign(edition=edition, chapter=chapter)[["edition", "chapter", *NAMES, "by_seed"]].explode("by_seed")
    long = long[long["by_seed"].notna()].reset_index(drop=True)
    told = pd.DataFrame(long.pop("by_seed").tolist(), columns=["seed", "value", "less", "counted"])
    told = told.astype({"seed": int, "value": float, "less": float, "counted": float})
    return pd.concat([long, told], axis=1)[list(BY_SEED)]


def read_results(path: Path) -> pd.DataFrame:
    """A file of published rows; what is empty in a column of names is empty text, and in one of numbers NaN."""
    frame = pd.read_csv(path, dtype={"runs": "str"})
    texts = [column for column in frame.columns if column not in (*NUMBERS, "seed", "less", "alpha", "threshold")]
    return frame.assign(**{column: frame[column].astype("str").where(frame[column].notna(), "") for column in texts})


def say(row: pd.Series, percent: bool = False, unit: bool = True) -> str:
    """A value with its interval as text, e.g. ``0.45 [0.21, 0.69]`` or ``9.3 % [4.1, 14.5]``.

    ``0.0 % [cannot tell]``: it is the same in every seed, which says nothing of how far it could differ.  An interval
    whose ends would read the same has more digits, e.g. ``0.000 [-0.004, 0.003]``.  Without its ``unit``: for tables
    of percentage points, whose heads say so.  A row of ``record.beside_record`` is the record's, and this
    build's value stands behind it: ``0.45 [0.40, 0.50] (here 0.47)``, or ``(here 0.71, outside)``.
    """
    return _number(row, percent, unit) + _here(row, percent, unit)


def _number(row: pd.Series, percent: bool, unit: bool) -> str:
    scale, digits, sign = (100, 1, " %" * unit) if percent else (1, 2, "")

    def text(x: float) -> str:
        return f"{round(scale * x, digits) + 0.0:.{digits}f}"  # adding zero turns -0.0 into 0.0

    if np.isnan(row["value"]):
        return "undefined"
    if np.isnan(row["low"]):
        return f"{text(row['value'])}{sign}{' [cannot tell]' * bool(row.get('sd') == 0)}"
    while row["low"] < row["high"] and text(row["low"]) == text(row["high"]) and digits < 6:
        digits += 1
    number = text(row["value"]) + sign
    return f"{number} [{text(row['low'])}, {text(row['high'])}]"


def _here(row: pd.Series, percent: bool, unit: bool) -> str:
    """What this build found, of a row of ``record.beside_record``; empty text of any other."""
    if row.get("here", "") == "":
        return ""
    alone = pd.Series({"value": row["here"], "low": np.nan})
    return f" (here {_number(alone, percent, unit)}{', outside' * outside(row)})"


def outside(row: pd.Series) -> bool:
    """Whether a row is one of ``record.beside_record``, and this build's value no such as the record predicts."""
    return row.get("within") in (False,)  # None and NaN: it cannot be told


def reads(row: pd.Series) -> str:
    """What an interval says about zero, in words: ``undecided`` where there is none.  Prose never says more."""
    if np.isnan(row["low"]) or np.isnan(row["high"]):
        return "undecided"
    if row["low"] > 0:
        return "above zero"
    return "below zero" if row["high"] < 0 else "not distinguishable from zero"


def how_many_read(rows: pd.DataFrame, *says: str) -> int:
    """How many results rows have an interval that says one of these about zero, as ``reads`` does."""
    return sum(reads(row) in says for _, row in rows.iterrows())


MARKS = {"above zero": "▲", "below zero": "▼", "not distinguishable from zero": "○", "undecided": "?"}
"""What ``reads`` says, as a mark: for tables with so many intervals that the words would hide the numbers."""

LEGEND = "Intervals lie ▲ above zero, ▼ below zero, ○ on both sides (not distinguishable from zero); ? there is none."
"""What a page with marks says of them, once."""


def marked(row: pd.Series, percent: bool = False, unit: bool = True) -> str:
    """A result with its interval, and what that says about zero as one of ``MARKS``; see ``LEGEND``."""
    if np.isnan(row["value"]):
        return say(row, percent, unit)
    return f"{_number(row, percent, unit)} {MARKS[reads(row)]}{_here(row, percent, unit)}"
