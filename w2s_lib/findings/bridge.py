"""Why is the explicit conflict's excess larger on real texts?  The world, given one of their properties at a time.

The account by gradients: on a pair that the student ranks wrongly the explicit conflict pulls against the loss by
which the ceiling learns it.  ``metrics.Comparison.shift_by_ceiling`` asks whether it moves students that way.
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from w2s_lib.data.load import split
from w2s_lib.findings.results import cells, difference, measure, minus, summarise
from w2s_lib.findings.statistics import MATCHED, SHARE
from w2s_lib.measures.metrics import correct
from w2s_lib.study import Study
from w2s_lib.study.study import COMPARED

SHIFT = "shift_by_ceiling"
KNOWN_BEYOND = "known_beyond_weak"
ATTAINABLE = "attainable_margin_matched"

MEASURED = (
    "accuracy_weak", "accuracy", "accuracy_ceiling", "conflict_tax", "deception_score", "null_margin_matched", MATCHED,
    ATTAINABLE, SHARE, SHIFT,
)  # fmt: skip

NOISELESS, WHOLE = "noiseless", "all_weights"
"""Values of ``versus``: the same students in the world with clean labels; the same with all weights trained."""


def explicit_and_rerun(study: Study, **names: str) -> pd.DataFrame:
    """Tax, score, null and shift under the explicit conflict and in a rerun, a row a seed; ``names``: columns in which
    the students are not as usual."""
    return measure(study, COMPARED, MEASURED, **names)


def bridge(study: Study) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The settings of ``Study.like_real_texts``, pooled; minus a rerun; noisy minus clean; heads minus all weights.

    ``labels`` is *noisy*, or empty; ``method`` *frozen_head* or *reward_model*."""
    settings = study.like_real_texts()
    frames = [explicit_and_rerun(one, labels=labels, method=method) for (labels, method), one in settings.items()]
    per_seed = pd.concat(frames, ignore_index=True)
    rows = [summarise(per_seed, pooled=True)]
    for labels, method in settings:
        rows.append(minus(per_seed, (MATCHED, SHARE, SHIFT), ("explicit",), "rerun", labels=labels, method=method))
    cell = lambda labels, method: {"condition": "explicit", "labels": labels, "method": method}
    for method in ("reward_model", "frozen_head"):
        rows.append(difference(per_seed, SHARE, NOISELESS, cell("noisy", method), cell("", method)))
    for labels in ("", "noisy"):
        rows.append(difference(per_seed, SHARE, WHOLE, cell(labels, "frozen_head"), cell(labels, "reward_model")))
    return per_seed, pd.concat(rows, ignore_index=True)


def of_real_texts(studies: Mapping[str, Study], **names: str) -> dict[str, pd.DataFrame]:
    """The same of studies on real texts, pooled over their control weak-strong pairs, by name; ``names`` as of
    ``explicit_and_rerun``."""
    found = {}
    for name, study in studies.items():
        per_seed = explicit_and_rerun(study.on_control_weak_strong_pairs(), **names)
        against = minus(per_seed, (MATCHED, SHARE, SHIFT), ("explicit",), "rerun", **names)
        found[name] = pd.concat([summarise(per_seed, pooled=True), against], ignore_index=True)
    return found


def by_ceiling(study: Study) -> pd.DataFrame:
    """Results rows of the explicit conflict for each student of the first weak supervisor: how much its ceiling knows
    of what the supervisor does not, the largest excess that could have been seen, and which share of it was."""
    (first, _), *_ = study.edition.weak_strong
    mine = [f"{weak} -> {strong}" for weak, strong in study.edition.weak_strong if weak == first]
    return summarise(
        measure(study.restricted_to(weak_strong_pairs=mine), ("explicit",), (KNOWN_BEYOND, ATTAINABLE, SHARE))
    )


def wrongly_ranked(study: Study) -> tuple[float, float]:
    """Share of training pairs that no-conflict students rank wrongly; of these, the share that supervisors do, too."""
    learned = [study.comparison(*cell, on="weak_label") for cell in cells(study, ["explicit"])]
    wrong = np.concatenate([~c.right for c in learned])
    return float(wrong.mean()), float(np.concatenate([~correct(c.weak) for c in learned])[wrong].mean())


def turned_by_noise(study: Study, seed: int, noisy: Study) -> np.ndarray:
    """Which of the pairs that students learn from have a label that noise turned around; shape (pairs,)."""
    clean, after = (split(one.pairs(seed), "weak_label")["chosen"] for one in (study, noisy))
    return (clean != after).to_numpy()
