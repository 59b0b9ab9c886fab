"""Why is the explicit conflict's excess larger on real texts?  The world, given one of their properties at a time.

The account by gradients: on a pair that the student ranks wrongly the explicit conflict is −α times the loss by which
the ceiling learns it.  So the student is pushed away from what the ceiling knows, and from nothing else.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial

import numpy as np
import pandas as pd

from w2s_lib.data.load import split
from w2s_lib.findings.results import MATCHED, Cell, Estimate, difference, measure, minus, summarise, tabulate
from w2s_lib.measures.metrics import Array, Comparison, log_odds
from w2s_lib.study import Study
from w2s_lib.study.study import COMPARED

SHARE = "share_of_attainable_margin_matched"
SHIFT = "shift_by_ceiling"

MEASURED = (
    "accuracy_weak", "accuracy", "accuracy_ceiling", "conflict_tax", "deception_score", "null_margin_matched", MATCHED,
    "attainable_margin_matched", SHARE,
)  # fmt: skip

NOISELESS, WHOLE = "noiseless", "all_weights"
"""Values of ``versus``: the same students in the world with clean labels; the same with all weights trained."""


def shift_by_ceiling(c: Comparison, weights: Array | None = None) -> Array:
    """How far the conflict moves a pair's logit for each unit of the ceiling's logit, at equal logits of the student
    without it and of the weak supervisor: a least-squares coefficient over the pairs, below zero where the student
    unlearns what the ceiling knows.

    ``weights`` of shape (n,) or (b, n); the result is a scalar or (b,).
    """
    before, weak, ceiling = (log_odds(p) for p in (c.baseline, c.weak, c.ceiling))
    x = np.stack([np.ones_like(before), before, weak, ceiling], axis=1)
    w = np.atleast_2d(np.ones(len(before)) if weights is None else weights)
    inner = np.einsum("bn,ni,nj->bij", w, x, x, optimize=True)
    outer = (w * (log_odds(c.conflict) - before)) @ x
    found = (np.linalg.pinv(inner) @ outer[:, :, None])[:, 3, 0]
    return found if np.ndim(weights) == 2 else found[0]


def compared(study: Study, **names: str) -> pd.DataFrame:
    """Tax, score, null and shift under the explicit conflict and in a rerun, a row a seed; ``names``: columns in which
    the students are not as usual."""

    def shifts(cell: Cell) -> Iterable[Estimate]:
        c = study.comparison(*cell)
        yield Estimate({"statistic": SHIFT, **names}, partial(shift_by_ceiling, c), len(c.weak), study.compared(*cell))

    return pd.concat(
        [measure(study, COMPARED, MEASURED, **names), tabulate(study, COMPARED, shifts)], ignore_index=True
    )


def bridge(study: Study) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The settings of ``Study.like_real_texts``, pooled; minus a rerun in each; noisy minus clean labels; heads minus
    all weights.

    ``labels`` is *noisy*, or empty; ``method`` *frozen_head* or *reward_model*."""
    settings = study.like_real_texts()
    per_seed = pd.concat(
        [compared(one, labels=labels, method=method) for (labels, method), one in settings.items()], ignore_index=True
    )
    rows = [summarise(per_seed, pooled=True)]
    for labels, method in settings:
        rows.append(minus(per_seed, (MATCHED, SHARE, SHIFT), ("explicit",), "rerun", labels=labels, method=method))
    cell = lambda labels, method: {"condition": "explicit", "labels": labels, "method": method}
    for method in ("reward_model", "frozen_head"):
        rows.append(difference(per_seed, SHARE, NOISELESS, cell("noisy", method), cell("", method)))
    for labels in ("", "noisy"):
        rows.append(difference(per_seed, SHARE, WHOLE, cell(labels, "frozen_head"), cell(labels, "reward_model")))
    return per_seed, pd.concat(rows, ignore_index=True)


def of_real_texts(studies: Mapping[str, Study]) -> dict[str, pd.DataFrame]:
    """The same of studies on real texts, pooled over their control pairs, by name."""
    found = {}
    for name, study in studies.items():
        per_seed = compared(study.on_control_pairs())
        against = minus(per_seed, (MATCHED, SHARE, SHIFT), ("explicit",), "rerun")
        found[name] = pd.concat([summarise(per_seed, pooled=True), against], ignore_index=True)
    return found


def turned(study: Study, seed: int, noisy: Study) -> np.ndarray:
    """Which of the pairs that students learn from have a label that noise turned around; shape (pairs,)."""
    clean, after = (split(one.pairs(seed), "weak_label")["chosen"] for one in (study, noisy))
    return (clean != after).to_numpy()
