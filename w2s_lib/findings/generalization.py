"""Do students beat their supervisors?  Accuracies and the performance gap recovered."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from w2s_lib.findings.results import cells, measure, summarise
from w2s_lib.findings.statistics import GENERALIZATION
from w2s_lib.measures.intervals import seed_interval
from w2s_lib.measures.metrics import correct
from w2s_lib.study import Study


def generalization(study: Study) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Accuracies and PGR of the no-conflict students: one row a seed and pair; results rows by pair and pooled."""
    per_seed = measure(study, ["none"], GENERALIZATION)
    return per_seed, pd.concat([summarise(per_seed), summarise(per_seed, pooled=True)], ignore_index=True)


def gain_by_confidence(study: Study, edges: Sequence[float] = (0.5, 0.6, 0.75, 0.9, 1.0)) -> pd.DataFrame:
    """What no-conflict students make of supervisors' right and wrong answers, by their confidence max(p, 1 − p).

    A row a range of confidence: ``weak_confidence``; how many of its pairs the supervisor ranks ``wrong`` and
    ``right``, a seed and model pair on average; the shares ``corrected`` of the wrong and ``lost`` of the right, each
    with ``_low`` and ``_high``: model pairs are pooled within a seed, and 95 % intervals, of shares, are over seeds.
    """
    labels = [f"{low:.2f}–{high:.2f}" for low, high in zip(edges, edges[1:])]
    frames = []
    for cell in cells(study, ["none"]):
        c = study.comparison(*cell)
        confidence = pd.cut(np.maximum(c.weak, 1 - c.weak), edges, labels=labels, include_lowest=True)
        right, learned = correct(c.weak), correct(c.baseline)
        counts = {"wrong": ~right, "right": right, "corrected": ~right & learned, "lost": right & ~learned}
        frames.append(pd.DataFrame({"seed": cell.seed, "weak_confidence": confidence, **counts}))
    summed = pd.concat(frames).groupby(["weak_confidence", "seed"], observed=True).sum()
    rows = []
    for confidence, seeds in summed.groupby("weak_confidence", observed=True):
        row = {
            "weak_confidence": confidence,
            **(seeds[["wrong", "right"]].mean() / len(study.edition.weak_strong_pairs)),
        }
        for name, of in (("corrected", "wrong"), ("lost", "right")):
            found = seed_interval(seeds[name] / seeds[of], less=0)
            row |= {name: found.value, f"{name}_low": found.low, f"{name}_high": found.high}
        rows.append(row)
    return pd.DataFrame(rows)
