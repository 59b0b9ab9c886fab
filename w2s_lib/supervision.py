"""What a run learns from: its pairs, and the labels on them.

Labels are a weak supervisor's probabilities of the true order.  Whatever is done to them here, a trainer could do
who knows the labels and not the truth: it treats a pair and the same pair turned around alike.  The one exception is
the ``leaky`` filter, which is named for it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from w2s_lib import pairs as pairs_module
from w2s_lib.run import Labelling, Train

EXTRA = ("label", "weakly_labelled")
"""Columns of ``training_pairs`` that a trainer needs beside the texts."""

Labels = NDArray[np.float64]


def relabel(q: Labels, labelling: Labelling) -> Labels:
    """The labels q, shape (n,), rounded or lifted as the labelling says; a label of exactly 1/2 takes no side, and stays."""
    if labelling.hard:
        q = (np.sign(q - 0.5) + 1) / 2
    if labelling.floor is not None:
        lifted = np.where(q > 0.5, np.maximum(q, labelling.floor), np.minimum(q, 1 - labelling.floor))
        q = np.where(q == 0.5, q, lifted)
    return q


def kept(q: Labels, labelling: Labelling) -> NDArray[np.bool_]:
    """Which pairs the labelling's filter keeps, by their labels q; shape (n,)."""
    if labelling.keep_above is None:
        return np.ones(len(q), dtype=bool)
    confident = np.maximum(q, 1 - q) > labelling.keep_above
    return confident & (q > 0.5) if labelling.leaky else confident


def training_pairs(run: Train, labels: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """The pairs that a run trains on, with ``label`` (probability of the true order) and ``weakly_labelled``.

    ``labels`` are the scores of the run's ``labellers``, in any order of the pairs; none for ground truth.  A mixed conflict appends
    pairs of its objective, from the same split's substances, with their own hard labels.

    Raises:
        PairsError: the filter keeps no pair.
    """
    frame = pairs_module.split(run.pairs, run.split)
    size = round(run.conflict.share * len(frame))
    q = np.ones(len(frame))
    if labels:
        q = np.mean([table.set_index("pair_id")["p_true"].loc[frame["pair_id"]].to_numpy() for table in labels], axis=0)
    frame = frame.assign(label=relabel(q, run.labelling), weakly_labelled=bool(labels) or run.conflict.kind == "explicit")[
        kept(q, run.labelling)
    ]
    if frame.empty:
        raise pairs_module.PairsError(
            f"filter_above={run.labelling.keep_above:g}: no pair is labelled with more confidence, and none is left to train on; use a lower one"
        )
    if run.conflict.kind == "mixed":
        extra = pairs_module.split(run.pairs, run.split, run.conflict.objective).iloc[:size]
        frame = pd.concat([frame, extra.assign(label=1.0, weakly_labelled=False)], ignore_index=True)
    return frame.reset_index(drop=True)


def describe(frame: pd.DataFrame, pairs: int, band: tuple[float, float]) -> dict[str, float]:
    """What the labels of a student's training pairs are like, as shares between 0 and 1.

    ``frame`` as of ``training_pairs``, weakly labelled pairs only, left over from so many ``pairs``.  Of these, ``kept``; of the kept ones,
    ``right`` (label above 1/2), mean ``confidence`` max(q, 1 − q), and ``in_band``: labels in [low, high), as of ``metrics.band``.
    """
    q, (low, high) = frame["label"].to_numpy(), band
    return {
        "kept": len(q) / pairs, "right": (q > 0.5).mean(), "confidence": np.maximum(q, 1 - q).mean(),
        "in_band": ((q >= low) & (q < high)).mean(),
    }  # fmt: skip
