"""Do students beat their supervisors?  Accuracies and the performance gap recovered."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from w2s_lib.findings.results import (
    GENERALIZATION,
    measure,
    summarise,
)
from w2s_lib.measures.metrics import correct
from w2s_lib.study import Study


def generalization(study: Study) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Accuracies and PGR of the no-conflict students: one row a seed and pair; results rows by pair and pooled."""
    per_seed = measure(study, ["none"], GENERALIZATION)
    return per_seed, pd.concat([summarise(per_seed), summarise(per_seed, pooled=True)], ignore_index=True)


def gain_by_confidence(study: Study, edges: Sequence[float] = (0.5, 0.6, 0.75, 0.9, 1.0)) -> pd.DataFrame:
    """Where no-conflict students beat their supervisors: accuracies by the weak supervisor's confidence max(p, 1 − p).

    Pairs of all seeds and weak-strong cells together.  Columns ``weak_confidence`` (a range), ``pairs``,
    ``weak_is_right``, ``student_is_right``, ``student_gains``.
    """
    labels = [f"{low:.2f}–{high:.2f}" for low, high in zip(edges, edges[1:])]
    frames = []
    for seed in study.edition.seeds:
        for weak, strong in study.edition.weak_strong:
            c = study.comparison(seed, weak, strong, "none")
            confidence = pd.cut(np.maximum(c.weak, 1 - c.weak), edges, labels=labels, include_lowest=True)
            right = {"weak_is_right": correct(c.weak), "student_is_right": correct(c.baseline)}
            frames.append(pd.DataFrame({"weak_confidence": confidence, **right}))
    grouped = pd.concat(frames).groupby("weak_confidence", observed=True)
    table = grouped.mean().assign(pairs=grouped.size()).reset_index()
    table["student_gains"] = table["student_is_right"] - table["weak_is_right"]
    return table[["weak_confidence", "pairs", "weak_is_right", "student_is_right", "student_gains"]]
