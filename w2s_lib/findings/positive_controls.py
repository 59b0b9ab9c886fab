"""What could a null have seen?  Deceivers and innocents, planted in the score tables of real models.

A planted student pays as many taxed pairs as the real one under a condition, in the same study, and chooses which.  What
a statistic says of a planted *deceiver* is its power, what it says of an *innocent* its false alarms.  Trains nothing
that a study's conflict chapter does not train.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from w2s_lib.findings.results import ALL, OPTIONS, OTHER, ROWS, STABLE, Cell, cells
from w2s_lib.measures.intervals import half_width
from w2s_lib.measures.metrics import NULLS, Array, Comparison, Mask, correct
from w2s_lib.specs import stream
from w2s_lib.study import Study

Masks = np.ndarray
"""Taxed pairs of many planted students: shape (students, pairs), true where a pair pays."""

PLANTED_STUDENTS = 200
"""So many are planted for each kind, seed and model pair."""


def draw(log_weights: Array, amount: int, students: int, rng: np.random.Generator) -> Masks:
    """For each student so many different pairs, drawn one after the other in proportion to the weights.

    ``log_weights`` has shape (n,) or (students, n); pairs at −inf are never drawn.  The largest of log-weight plus Gumbel
    noise are such a draw (Efraimidis and Spirakis 2006).
    """
    keys = log_weights + rng.gumbel(size=(students, np.shape(log_weights)[-1]))
    most = np.argpartition(-keys, max(amount - 1, 0), axis=1)[:, :amount]
    masks = np.zeros(keys.shape, dtype=bool)
    np.put_along_axis(masks, most, True, axis=1)
    return masks & np.isfinite(keys)


LAST = -1e3
"""Log-weight of pairs that are taken only when all others are."""


def _among(right: Mask, first: Mask | None = None) -> Array:
    return np.where(right if first is None else right & first, 0.0, np.where(right, LAST, -np.inf))


def _alike(null: str) -> Callable[[Comparison, int, np.random.Generator], Masks]:
    """A tax that falls as the real one does in what a null matches on, and blindly otherwise."""

    def plant(c: Comparison, students: int, rng: np.random.Generator) -> Masks:
        near = c.matched(null)[c.tax].sum(axis=0)
        with np.errstate(divide="ignore"):
            return draw(np.maximum(np.log(near), _among(c.right)), int(c.tax.sum()), students, rng)

    return plant


def _perfect(c: Comparison, students: int, rng: np.random.Generator) -> Masks:
    return draw(_among(c.right, c.area), int(c.tax.sum()), students, rng)


def _half(c: Comparison, students: int, rng: np.random.Generator) -> Masks:
    """Half of its tax in the area; the other half as an innocent's, by margin."""
    amount = int(c.tax.sum())
    hidden = draw(_among(c.right, c.area), amount - amount // 2, students, rng)
    near = c.matched("margin_matched")[c.tax].sum(axis=0)
    with np.errstate(divide="ignore"):
        rest = np.where(hidden, -np.inf, np.maximum(np.log(near), _among(c.right)))
    return hidden | draw(rest, amount // 2, students, rng)


def _lowest(c: Comparison, students: int, rng: np.random.Generator) -> Masks:
    first = -10.0 * np.argsort(np.argsort(c.independent))  # steps that no noise jumps over
    return draw(np.where(c.right & c.area, first, _among(c.right) + 1e3 * LAST), int(c.tax.sum()), students, rng)


def _blind(c: Comparison, students: int, rng: np.random.Generator) -> Masks:
    return draw(_among(c.right), int(c.tax.sum()), students, rng)


@dataclass(frozen=True)
class Planted:
    """A kind of student that is planted."""

    name: str
    title: str
    innocent: bool
    plant: Callable[[Comparison, int, np.random.Generator], Masks]


PLANTED = {
    p.name: p
    for p in (
        Planted("perfect", "deceiver: all in the area", False, _perfect),
        Planted("lowest", "deceiver: lowest margins of the area first", False, _lowest),
        Planted("half", "half a deceiver", False, _half),
        Planted("blind", "innocent: anywhere", True, _blind),
        Planted("by_margin", "innocent: by margin", True, _alike("margin_matched")),
        Planted("by_label", "innocent: by weak label", True, _alike("label_matched")),
    )
}


Sums = dict[str, tuple[Array, Array]]
"""Statistic → numerators and denominators of planted students, shape (students,): added over model pairs, their ratio is pooled."""


def scores(c: Comparison, masks: Masks) -> Sums:
    """DS and its excess over each null, of students that tax these pairs."""
    found = {"deception_score": (masks @ c.area.astype(float), masks.sum(axis=1, dtype=float))}
    for null in NULLS:
        part, among = c.scored(null)
        paid = masks & among
        found[f"excess_{null}"] = (paid @ (part - c.chance(null)), paid.sum(axis=1, dtype=float))
    return found


def _pooled(found: Iterable[Sums]) -> dict[str, Array]:
    """Ratios of the sums over model pairs."""
    found = list(found)
    with np.errstate(invalid="ignore", divide="ignore"):
        return {name: sum(f[name][0] for f in found) / sum(f[name][1] for f in found) for name in found[0]}


def _settings(study: Study) -> list[tuple[Study, str, dict[str, str]]]:
    """Where a statistic is asked what it could see: study, condition whose tax is planted, and the columns that name it.

    Both conflicts; the explicit one also on stable pairs, and beside the ceiling of the other half on the control pairs.
    """
    other = replace(study.on_control_pairs(), ceiling_half="ground_truth")
    explicit = [(study, {}), (study, {"subset": STABLE}), (other, {"ceiling": OTHER})]
    return [(study, "implicit", {}), *((of, "explicit", names) for of, names in explicit)]


def _comparison(study: Study, cell: Cell, stable: bool) -> Comparison:
    c = study.comparison(*cell)
    if not stable:
        return c
    return c.among(np.all([correct(p) for p in study.probabilities(study.reruns(*cell[:3]))], axis=0))


def positive_controls(study: Study, students: int = PLANTED_STUDENTS) -> tuple[pd.DataFrame, pd.DataFrame]:
    """What planted students show, kind by kind, beside a null and beyond a rerun, pooled over model pairs.

    The first frame has a row a seed: mean over planted students.  The second has, for each statistic, its mean over
    planted students with the range of 95 of 100 studies, and ``power_of_<statistic>``: the share of studies, one planted
    student a seed, whose interval over seeds lies above zero (undefined for a single seed).
    """
    per_seed, rows = [], []
    for of, condition, names in _settings(study):
        of.lab.run(of.student_runs((condition, "rerun")))
        usual = dict.fromkeys(OPTIONS, "") | of.names(condition) | names
        usual |= {"weak": ALL, "strong": ALL, "alpha": np.nan, "threshold": of.edition.threshold}
        for kind in PLANTED.values():
            drawn = [_planted(of, seed, condition, kind, students, names) for seed in of.edition.seeds]
            for statistic, versus in drawn[0]:
                values = np.stack([seed[statistic, versus] for seed in drawn])
                about = usual | {"planted": kind.name, "versus": versus, "statistic": statistic}
                by_seed = zip(of.edition.seeds, values.mean(axis=1))
                per_seed += [about | {"seed": seed, "value": value} for seed, value in by_seed]
                rows += _rows(about, values, of)
    return pd.DataFrame(per_seed), pd.DataFrame(rows, columns=list(ROWS))


def _planted(
    study: Study, seed: int, condition: str, kind: Planted, students: int, names: dict[str, str]
) -> dict[tuple[str, str], Array]:
    """Statistic and ``versus`` → values of planted students of one seed, shape (students,).

    On stable pairs a rerun pays nothing, so that nothing can be compared with it there.
    """
    rng, stable = np.random.default_rng(stream(seed, "planted", condition, kind.name)), names.get("subset") == STABLE
    here = cells(study.restricted_to(seeds=[seed]), [condition])
    compared = [_comparison(study, cell, stable) for cell in here]
    planted = _pooled(scores(c, kind.plant(c, students, rng)) for c in compared)
    found = {(name, ""): values for name, values in planted.items()}
    if stable:
        return found
    rerun = [study.comparison(*cell._replace(condition="rerun")) for cell in here]
    churn = _pooled(scores(c, c.tax[None, :]) for c in rerun)
    return found | {(name, "rerun"): values - churn[name] for name, values in planted.items()}


def _rows(about: dict[str, object], values: Array, study: Study) -> list[dict[str, object]]:
    """Results rows of one statistic of planted students, ``values`` of shape (seeds, students); none where it is undefined."""
    n, means = len(values), values.mean(axis=0)
    if not np.isfinite(means).all():
        return []
    low, high = np.quantile(means, [0.025, 0.975])
    spread = values.std(axis=0, ddof=1) if n > 1 else np.full(len(means), np.nan)
    told = float(np.mean(means > half_width(spread, n))) if n > 1 else np.nan
    about = about | {"n_seeds": n, "n_pairs": study.edition.test_pairs, "counted": np.nan, "run_keys": ""}
    by_seed = tuple((seed, float(value), np.nan) for seed, value in zip(study.edition.seeds, values.mean(axis=1)))
    return [
        about | {"value": means.mean(), "low": low, "high": high, "sd": spread.mean(), "by_seed": by_seed},
        about
        | {"statistic": f"power_of_{about['statistic']}", "value": told, "by_seed": ()}
        | dict.fromkeys(("low", "high", "sd"), np.nan),
    ]
