"""What theory says of weak-to-strong learning, held against the book's own runs; trains no preference model.

Misfit and gain (Charikar et al. 2024), bounds by divergences (Yao et al. 2025), Pythagoras' inequality on linear heads
(Csiszár 1975), and whether models that err alike explain what the capability gap seems to (Goel et al. 2025).
"""

from collections.abc import Callable, Iterable, Mapping
from functools import partial

import numpy as np
import pandas as pd
from scipy.special import expit

from w2s_lib.data.load import split
from w2s_lib.findings.results import CONFLICTS, TRAINING, Cell, Estimate, measure, minus, slopes, summarise, tabulate
from w2s_lib.findings.statistics import MATCHED
from w2s_lib.measures import divergences as d
from w2s_lib.measures.metrics import Array, Comparison
from w2s_lib.measures.projections import nearest_head, nearest_mixture
from w2s_lib.specs import stream
from w2s_lib.study import Study
from w2s_lib.study.conditions import CORE

GOES_ON_BY_VERDICT = {
    "T1": {
        "yes": "Here its inequality held as well, which nothing had promised.",
        "small": "Here its inequality held as well, narrowly, which nothing had promised.",
        "no": "Its inequality should not be: here the gain does not exceed the misfit.",
        "undecided": "Whether its inequality may be, these students do not tell.",
    },
    "T3": {
        "yes": "On average it promises more than a coin, and the count says of how many students.",
        "small": "On average it promises hardly more than a coin, and the count says of how many students.",
        "no": "On average, too, it promises no more than a coin.",
        "undecided": "An interval for the mean of such numbers reaches everywhere. A rule that is written beforehand "
        "can be written on the wrong scale. This one was, and it stands as it was written: the count is the better "
        "answer.",
    },
}
"""What a chapter goes on to say after these claims, by their verdict."""

COIN = float(np.log(2))
"""Log loss of a coin, in nats."""

LEAST_LABEL = 1e-3
"""Weak labels are moved so far from 0 and 1 before heads learn them, as under reverse losses (Yao et al. 2025)."""

MIXTURE_PARTS = 8
"""Of so many parts of the training pairs each gives the mixtures a member."""

HEAD_RIDGE = 1e-3
"""Keeps heads finite that learn the truth, or few pairs."""

Between = Callable[..., Array]
"""A number about a student and its supervisor: of the student's p, the supervisor's, and weights."""


def _at_worst(student: Array, weak: Array, weights: Array | None = None) -> Array:
    return d.log_loss(weak, weights) + d.bound_by_kl(student, weak, weights) - COIN


BOUNDS: dict[str, Between] = {
    "loss_distance": d.loss_distance,
    "bound_pair_by_pair": d.bound_pair_by_pair,
    "bound_by_variation": d.bound_by_variation,
    "bound_by_kl": d.bound_by_kl,
    "bound_by_reverse_kl": partial(d.bound_by_kl, reverse=True),
}
"""The distance of two losses, and what is larger, the nearest first."""

OF_STUDENTS: dict[str, Between] = BOUNDS | {
    "misfit": d.misfit,
    "gain": d.gain,
    "gain_beyond_misfit": d.gain_beyond_misfit,
    "loss_student": lambda student, weak, weights=None: d.log_loss(student, weights),
    "loss_weak": lambda student, weak, weights=None: d.log_loss(weak, weights),
    "bound_beyond_coin": _at_worst,
    "variation": d.variation,
    "calibration_error_weak": lambda student, weak, weights=None: d.calibration_in_bins_of(weak, weak, weights),
    "calibration_error_student": lambda student, _, weights=None: d.calibration_in_bins_of(student, student, weights),
    "calibration_in_bins_of_weak": lambda student, weak, weights=None: d.calibration_in_bins_of(student, weak, weights),
}
"""Statistics of a fine-tuned student beside its weak supervisor."""

EXPLAINED = ("conflict_tax", "deception_score", MATCHED)
"""What might grow with the gap because errors grow less alike."""

GROWTH = (("gap", ""), ("kappa", ""), ("gap", "kappa"), ("kappa", "gap"))
"""What statistics may grow with, and what is held equal; ``slopes`` names both in the column ``per``."""


def measure_students(study: Study) -> pd.DataFrame:
    """``OF_STUDENTS`` and ``kappa``, CAPA of weak supervisor and ceiling, on test pairs; under conflicts and controls
    misfit and gain alone.  Columns ``PER_SEED``."""

    def estimates(cell: Cell) -> Iterable[Estimate]:
        c, runs = study.comparison(*cell), study.compared(*cell)
        for name in OF_STUDENTS if cell.condition == "none" else ("misfit", "gain"):
            yield Estimate({"statistic": name}, partial(OF_STUDENTS[name], c.conflict, c.weak), len(c.weak), runs)
        if cell.condition == "none":
            yield _kappa(c, runs)

    return tabulate(study, CORE, estimates)


def likeness(study: Study) -> pd.DataFrame:
    """``kappa``, CAPA of weak supervisor and ceiling, on test pairs; columns ``PER_SEED``."""
    return tabulate(study, ["none"], lambda cell: [_kappa(study.comparison(*cell), study.compared(*cell))])


def _kappa(c: Comparison, runs: Iterable) -> Estimate:
    return Estimate({"statistic": "kappa"}, partial(d.capa, c.weak, c.ceiling), len(c.weak), runs)


def heads(x: Array, q: Array, seed: int) -> dict[str, Callable[[Array], Array]]:
    """Three students that are what theorems ask for, and the truth that they can reach: functions from features of
    pairs, shape (pairs, features), to probabilities.

    All are fitted on frozen features ``x`` of the pairs that a supervisor labelled ``q``: ``truth``, the head that
    learned the true orders; ``heads``, the head nearest to q by reverse KL; ``heads_forward``, by forward KL, which is
    cross-entropy; ``mixtures``, by reverse KL among all mixtures of the truth's head and of ``MIXTURE_PARTS`` heads,
    each of which learned the weak labels of its part of the pairs.
    """
    scale = np.sqrt(np.mean(x**2, axis=0)) + 1e-6
    x, q = x / scale, d.clipped(q, LEAST_LABEL)
    parts = np.array_split(np.random.default_rng(stream(seed, "parts of a mixture")).permutation(len(q)), MIXTURE_PARTS)
    truth = nearest_head(x, np.ones(len(q)), HEAD_RIDGE)
    forward = nearest_head(x, q)
    reverse = nearest_head(x, q, reverse=True, start=forward)
    members = np.stack([truth, *(nearest_head(x[part], q[part], HEAD_RIDGE) for part in parts)])
    share = nearest_mixture(expit(members @ x.T), q)
    alone = {"truth": truth, "heads": reverse, "heads_forward": forward}
    found = {name: lambda z, w=w: expit(z / scale @ w) for name, w in alone.items()}
    return found | {"mixtures": lambda z: share @ expit(members @ (z / scale).T)}


def slacks(p: Mapping[str, Array], q: Array) -> dict[str, Callable[..., Array]]:
    """Pythagoras' slack, by statistic, of the students of ``heads``, whose probabilities of some pairs are ``p``.

    The truth is the head that can be reached, or, ``_truth``, the pairs' own: nothing reaches that.
    """
    real, q = np.ones(len(q)), d.clipped(q, LEAST_LABEL)
    return {
        "slack_mixtures": partial(d.slack, p["truth"], p["mixtures"], q),
        "slack_mixtures_truth": partial(d.slack, real, p["mixtures"], q),
        "slack_heads": partial(d.slack, p["truth"], p["heads"], q),
        "slack_heads_truth": partial(d.slack, real, p["heads"], q),
        "slack_heads_forward": partial(d.slack, p["truth"], p["heads_forward"], q, reverse=False),
    }


def pythagoras(study: Study) -> pd.DataFrame:
    """``slacks`` of heads on the frozen features of the pretrained strong models, on the pairs that they learned from
    (``on`` is ``training``) and on test pairs; columns ``PER_SEED``."""
    from w2s_lib.models.features import of_ladder  # here, for it loads torch

    lab, seen = study.lab, {}

    def features(seed: int, model: str) -> dict[str, Array]:
        spec, pairs = study.model(seed, model), study.pairs(seed)
        lab.run([spec])
        both = {on: split(pairs, on) for on in ("weak_label", "test")}
        found = of_ladder(lab.store.path(spec), pd.concat(both.values(), ignore_index=True))
        return dict(zip(both, np.split(found, [len(both["weak_label"])])))

    frames = []
    for on, also in (("weak_label", {"on": TRAINING}), ("test", {})):

        def estimates(cell: Cell) -> Iterable[Estimate]:
            weak, runs = study.weak(cell.seed, cell.weak), study.compared(*cell)
            learned, q = (study.probabilities([weak], where)[0] for where in ("weak_label", on))
            at = cell.seed, cell.strong
            seen[at] = seen.get(at) or features(*at)
            if cell[:3] not in seen:
                seen[cell[:3]] = heads(seen[at]["weak_label"], learned, cell.seed)
            p = {name: of(seen[at][on]) for name, of in seen[cell[:3]].items()}
            for name, of in slacks(p, q).items():
                yield Estimate({"statistic": name, **also}, of, len(q), runs)

        frames.append(tabulate(study, ["none"], estimates, on))
    return pd.concat(frames, ignore_index=True)


def theory(study: Study) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Every inequality of the chapter by seed and weak-strong pair, and over seeds, pairs pooled; and how gain grows
    with misfit, and tax, DS and PGR with the gap and with κ, each alone and beside the other."""
    mine = measure_students(study)
    explained = [measure(study, ["none"], ("gap", "pgr")), measure(study, CONFLICTS, EXPLAINED)]
    growth = pd.concat([mine, *explained], ignore_index=True)
    per_seed = pd.concat([growth, pythagoras(study)], ignore_index=True)
    lines = [slopes(mine[mine["condition"] == "none"], ("gain",), "misfit")]
    lines.append(minus(mine, ("misfit", "gain"), [name for name in CONFLICTS if name != "rerun"], "rerun"))
    lines += [slopes(growth, (*EXPLAINED, "pgr"), *both) for both in GROWTH]
    return per_seed, pd.concat([summarise(per_seed, pooled=True), *lines], ignore_index=True)
