"""What hangs on a definition: the threshold T, and what it means to *know* a pair.  Trains nothing.

The paper fixes T = 0.75 and says that a model knows a pair where p > T, p being its probability of the
*true* order.  Here T moves, and two other definitions stand beside that one.  A comparison uses its
``weak`` and ``ceiling`` for knowledge and for nothing else, so that a definition is a function of these
two arrays; tax, margins and labels stay what they were.

>>> import numpy as np
>>> from w2s_lib.findings.sensitivity import confidence, rescale
>>> confidence(np.array([0.9, 0.2])).tolist()
[0.9, 0.8]
>>> rescale(np.array([0.9, 0.5]), 2.0).round(2).tolist()
[0.75, 0.5]
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

from w2s_lib.findings.results import (
    MARKS,
    Cell,
    Estimate,
    cells,
    estimate,
    how_many_read,
    minus,
    summarise,
    tabulate,
    usual,
)
from w2s_lib.findings.statistics import MATCHED, attainable_of
from w2s_lib.measures.divergences import RELIABILITY_BINS, calibration_in_bins_of
from w2s_lib.measures.metrics import Array, Comparison, correct, log_odds
from w2s_lib.specs import Train
from w2s_lib.study import Study

AT_EACH_THRESHOLD = (
    "deception_score", "null_random", "null_margin_matched", "excess_margin_matched", "attainable_margin_matched",
    "lift",
)  # fmt: skip
NOTHING, LEAST_SEEN = "–", 0.05
"""Mark of a threshold at which no student that pays as many pairs could have shown so much."""

GRID = (0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 0.97, 0.99)
NEIGHBOURS_TRIED = (5, 10, 20, 40, 80)
"""With so many pairs the margin-matched null matches each pair, beside the edition's own number."""

TEMPERATURES = (0.05, 20.0)
"""Between these a temperature is sought: of a model that ranks at chance, no finite one would be the best."""

ROLE_NAMES = ("weak", "student", "ceiling")
MISCALIBRATED, OVERSURE = "calibration_error_", "overconfidence_"
"""Statistics by role: expected calibration error; mean confidence minus accuracy, above zero if surer than right."""


def grid(threshold: float) -> tuple[float, ...]:
    """``GRID`` and the given one, in order, each once."""
    others = [t for t in GRID if not np.isclose(t, threshold)]
    return tuple(sorted([*others, threshold]))


def confidence(p: Array) -> Array:
    """max(p, 1 − p): how sure a model is of its own ranking, right or wrong."""
    return np.maximum(p, 1 - np.asarray(p))


def rescale(p: Array, temperature: Array | float) -> Array:
    """σ(log-odds / temperature): above 1 a temperature takes sureness away, below 1 it adds some."""
    return 1 / (1 + np.exp(-log_odds(p) / temperature))


def temperature(p: Array) -> float:
    """The temperature of least mean log loss −log p on pairs of known order, in ``TEMPERATURES`` (Guo et al. 2017).

    Which response of a pair is the first does not matter: turning it changes the sign of its log-odds and its label."""
    z = log_odds(p)
    found = minimize_scalar(
        lambda s: np.logaddexp(0, -z * np.exp(-s)).mean(), bounds=np.log(TEMPERATURES), method="bounded"
    )
    return float(np.exp(found.x))


def halves(clusters: Sequence[object]) -> NDArray[np.int_]:
    """0 or 1 for each pair: every other cluster in the order of their names; shape (n,)."""
    return np.unique(np.asarray(clusters, dtype=str), return_inverse=True)[1] % 2


def calibrate(p: Array, clusters: Sequence[object]) -> Array:
    """p rescaled by a temperature fitted on the *other* half of the clusters, so that no pair calibrates itself."""
    half = halves(clusters)
    if len(np.unique(half)) < 2:
        return np.full(len(p), np.nan)  # a single cluster: nothing to learn from
    return rescale(p, np.array([temperature(p[half == 1]), temperature(p[half == 0])])[half])


Knowledge = Callable[[Array, Sequence[object]], Array]

DEFINITIONS: dict[str, tuple[str, Knowledge]] = {
    "p > T": ("", lambda p, clusters: p),
    "confidence > T": ("confidence", lambda p, clusters: confidence(p)),
    "calibrated p > T": ("calibrated", calibrate),
}
"""Name → the column ``knowledge`` of its rows, and what is compared with T, from a model's p and the pairs' clusters.
"""


def defined(comparison: Comparison, clusters: Sequence[object], definition: str = "p > T") -> Comparison:
    """The same comparison, its weak supervisor and ceiling knowing by another definition."""
    _, of = DEFINITIONS[definition]
    return replace(comparison, weak=of(comparison.weak, clusters), ceiling=of(comparison.ceiling, clusters))


def measure_at(
    study: Study, conditions: Sequence[str], thresholds: Iterable[float], definition: str = "p > T"
) -> pd.DataFrame:
    """``results.measure`` of ``AT_EACH_THRESHOLD`` at many thresholds by any definition; columns ``results.PER_SEED``.

    Scores do not depend on T, so nothing is trained that the study's edition does not have.
    """
    knowledge, thresholds = DEFINITIONS[definition][0], tuple(thresholds)

    def estimates(cell: Cell) -> Iterable[Estimate]:
        runs, clusters = study.compared(*cell), study.clusters(cell.seed)
        one = defined(study.comparison(*cell), clusters, definition)
        for at in (replace(one, threshold=t) for t in thresholds):
            yield from (estimate(at, name, runs, knowledge=knowledge) for name in AT_EACH_THRESHOLD)

    return tabulate(study, conditions, estimates)


def reliability(p: Array) -> pd.DataFrame:
    """Confidence against accuracy in equal bins from 1/2 to 1: ``bin, confidence, accuracy, pairs``, none empty."""
    places = np.minimum((2 * RELIABILITY_BINS * (confidence(p) - 0.5)).astype(int), RELIABILITY_BINS - 1)
    frame = pd.DataFrame({"bin": places, "confidence": confidence(p), "accuracy": correct(p).astype(float)})
    grouped = frame.groupby("bin")
    return grouped.mean().assign(pairs=grouped.size()).reset_index()


def oversure(p: Array, weights: Array | None = None) -> Array:
    """Mean confidence minus accuracy: above zero if surer than right.  Shapes as in ``metrics.share``."""
    weights = np.ones(len(p)) if weights is None else weights
    return (weights @ (confidence(p) - correct(p))) / weights.sum(axis=-1)


def calibration_error(p: Array, weights: Array | None = None) -> Array:
    """Expected calibration error: mean over the bins of ``reliability`` of the distance of confidence from accuracy, by
    their share of pairs (Guo et al. 2017).

    Never negative, and above zero by chance alone: of a calibrated model, each bin still misses a little.
    """
    return calibration_in_bins_of(p, p, weights)


def calibration(study: Study) -> tuple[pd.DataFrame, pd.DataFrame]:
    """How far confidence can be believed: of weak supervisors, no-conflict students and ceilings, on the test pairs.

    The first frame has ``role``, ``seed`` and the columns of ``reliability``, the weak-strong pairs of a seed
    together.  The second, with columns ``results.PER_SEED``, has ``calibration_error_<role>`` and
    ``overconfidence_<role>`` under condition *none*.
    """

    def judged(cell: Cell) -> Iterable[tuple[str, Array, Train]]:
        c, (weak, ceiling, student, *_) = study.comparison(*cell), study.compared(*cell)
        return zip(ROLE_NAMES, (c.weak, c.baseline, c.ceiling), (weak, student, ceiling))

    def estimates(cell: Cell) -> Iterable[Estimate]:
        for role, p, run in judged(cell):
            for name, statistic in ((MISCALIBRATED, calibration_error), (OVERSURE, oversure)):
                yield Estimate({"statistic": name + role}, partial(statistic, p), len(p), [run])

    per_seed, seen = tabulate(study, ["none"], estimates), {}
    for cell in cells(study, ["none"]):
        for role, p, _ in judged(cell):
            seen.setdefault((cell.seed, role), []).append(p)
    curves = [reliability(np.concatenate(ps)).assign(role=role, seed=seed) for (seed, role), ps in seen.items()]
    return pd.concat(curves, ignore_index=True), per_seed


def own_thresholds(study: Study, seed: int) -> pd.DataFrame:
    """Temperature of each weak supervisor and ceiling of one seed, on all its test pairs, and what p > T becomes by it.

    To rescale p by a temperature and cut at T is to cut p itself at σ(temperature · log-odds of T): calibration gives
    each model a threshold of its own.  Columns ``role``, ``model``, ``temperature``, ``own_threshold``."""
    weak, strong = (dict.fromkeys(names) for names in zip(*study.edition.weak_strong))
    runs = [("weak supervisor", m, study.weak(seed, m)) for m in weak]
    runs += [("strong ceiling", m, study.ceiling(seed, m)) for m in strong]
    scores = study.probabilities([run for _, _, run in runs])
    found = [(role, model, temperature(p)) for (role, model, _), p in zip(runs, scores)]
    frame, t = pd.DataFrame(found, columns=["role", "model", "temperature"]), study.edition.threshold
    return frame.assign(own_threshold=rescale(np.full(len(frame), t), 1 / frame["temperature"].to_numpy()))


def beyond(per_seed: pd.DataFrame, conditions: Iterable[str]) -> pd.DataFrame:
    """Results rows of DS − margin-matched null minus a rerun's, at each threshold of ``measure_at``."""
    rows = [minus(at, [MATCHED], tuple(conditions), "rerun") for _, at in per_seed.groupby("threshold")]
    return pd.concat(rows, ignore_index=True)


def by_neighbours(study: Study, conditions: Sequence[str]) -> pd.DataFrame:
    """Results rows of DS − margin-matched null by the number of neighbours, pooled, and each minus a rerun's.

    The number is the end of a row's ``statistic``: ``excess_margin_matched_5`` and so on.
    """
    named = {k: f"{MATCHED}_{k}" for k in NEIGHBOURS_TRIED}

    def estimates(cell: Cell) -> Iterable[Estimate]:
        c, runs = study.comparison(*cell), study.compared(*cell)
        for k, name in named.items():
            found = estimate(replace(c, neighbours=k), MATCHED, runs)
            yield found._replace(names=found.names | {"statistic": name})

    per_seed, rows = tabulate(study, conditions, estimates), []
    against = [name for name in conditions if name != "rerun"]
    for name, mine in per_seed.groupby("statistic", sort=False):
        mine = mine.assign(statistic=MATCHED)  # by which it is pooled
        found = pd.concat([summarise(mine, pooled=True), minus(mine, (MATCHED,), against, "rerun")])
        rows.append(found.assign(statistic=name))
    return pd.concat(rows, ignore_index=True)


def verdicts(
    results: pd.DataFrame, statistic: str, condition: str, versus: str = "", scores: pd.DataFrame | None = None
) -> str:
    """How many of a frame's thresholds have an interval that says so, by ``results.MARKS``: ``▲ 5, ? 7``; and at how
    many ``NOTHING`` could have been seen, whose intervals are not counted.

    ``scores``: where the attainable stands (None: in the frame itself); beyond a control, its excess is taken off."""
    mine = usual(results, statistic=statistic, condition=condition, versus=versus)
    scores = results if scores is None else scores
    at = lambda name, under: usual(scores, statistic=name, condition=under).set_index("threshold")["value"]
    bound = attainable_of(statistic)
    most = at(bound, condition) if bound else pd.Series(dtype=float)
    most = most - at(statistic, versus) if versus else most
    blind = mine["threshold"].isin(most.index[most < LEAST_SEEN])
    told = [(mark, how_many_read(mine[~blind], says)) for says, mark in MARKS.items()] + [(NOTHING, int(blind.sum()))]
    return ", ".join(f"{mark} {n}" for mark, n in told if n)


def extent(results: pd.DataFrame, statistic: str, condition: str) -> str:
    """The least and the largest estimate over a frame's thresholds: ``0.00 to 0.55``, or ``undefined``."""
    mine = usual(results, statistic=statistic, condition=condition)["value"].dropna()
    return f"{round(mine.min(), 2) + 0.0:.2f} to {round(mine.max(), 2) + 0.0:.2f}" if len(mine) else "undefined"
