"""What a run learns from: its pairs, and the labels on them.

Labels are a weak supervisor's probabilities of the true order.  Whatever is done to them here, a trainer could do
who knows the labels and not the truth: it treats a pair and the same pair turned around alike.  An exception is
the ``leaky`` filter, which is named for it; so is ``misplaced``, a control.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import expit
from scipy.stats import rankdata

from w2s_lib.data.load import mixed_in, split
from w2s_lib.data.pairs import PairsError
from w2s_lib.specs import Labelling, Opinion, Submission, Train, stream

LABEL_COLUMNS = ("label", "weakly_labelled")
"""Columns of ``training_pairs`` that a trainer needs beside the texts."""

Labels = NDArray[np.float64]

DIVISOR = {"simpo": 1.0, "dpo": 50.0}
"""By what a policy's difference in log-probability is divided before a filter goes by it: sums are large."""


def relabel(q: Labels, labelling: Labelling) -> Labels:
    """The labels q, shape (n,), rounded or lifted as the labelling says; exactly 1/2 takes no side, and stays."""
    if labelling.hard:
        q = (np.sign(q - 0.5) + 1) / 2
    if labelling.floor is not None:
        lifted = np.where(q > 0.5, np.maximum(q, labelling.floor), np.minimum(q, 1 - labelling.floor))
        q = np.where(q == 0.5, q, lifted)
    return q


def kept(q: Labels, labelling: Labelling) -> NDArray[np.bool_]:
    """Which pairs the labelling keeps, by their labels q, or by what its filter goes by instead; shape (n,)."""
    asked = np.ones(len(q), dtype=bool) if labelling.half is None else np.arange(len(q)) % 2 == labelling.half
    if labelling.keep_above is None:
        return asked
    confidence = np.maximum(q, 1 - q)
    reaches = np.greater if labelling.filter_by == "label" else np.greater_equal
    confident = asked & reaches(confidence, labelling.keep_above)
    return confident & (q > 0.5) if labelling.leaky else confident


def by_log_probability(labellers: Sequence[Train], margins: Sequence[Labels]) -> Labels:
    """What ``filter_by: log_probability`` goes by, from the margins of these labellers; all of shape (n,)."""
    scales = [labeller.recipe.beta * DIVISOR[labeller.method] for labeller in labellers]
    return np.mean([expit(margin / scale) for margin, scale in zip(margins, scales, strict=True)], axis=0)


def half_of_cluster(frame: pd.DataFrame) -> NDArray[np.intp]:
    """In which half of its clusters each pair lies, 0 or 1, shape (n,)."""
    return pd.factorize(frame["cluster"])[0] % 2


def trust(q: Labels, opinion: Labels) -> Labels:
    """How probable an opinion finds it that the labels q take the right side; all of shape (n,)."""
    return np.where(q == 0.5, 0.5, np.where(q > 0.5, opinion, 1 - opinion))


def told(
    labellers: Sequence[Train | Submission | Opinion], tables: Sequence[pd.DataFrame], labelling: Labelling
) -> Labels:
    """The labels that these give together, and what the labelling's filter goes by; shape (2, n)."""
    q = np.mean([table["p_true"].to_numpy() for table in tables], axis=0)
    if labelling.filter_by == "label":
        return np.stack([q, q])
    return np.stack([q, by_log_probability(labellers, [table["margin"].to_numpy() for table in tables])])


def labels_of_run(run: Train, tables: Sequence[pd.DataFrame]) -> tuple[Labels, NDArray[np.bool_], NDArray[np.bool_]]:
    """The run's labels q, which of the pairs it is trained on, and which were labelled again; all of shape (n,).

    ``tables`` are the scores of the run's ``labellers``, all in the order of the pairs.  A pair that a first stage was
    not trained on has that stage's label, and the run's filter goes by it (Shi et al. 2025: what is kept in the first
    stage, and what the student itself is sure of in the second).  Two first stages on one half each label the whole
    (after Somerstep et al. 2024).  An opinion of a first stage says where its label is taken (after Lang et al. 2026),
    one of the supervisor which labels are kept.
    """
    n, opinion = len(run.supervisors), tables[-1]["p_true"].to_numpy() if run.opinion else None
    both = told(run.supervisors, tables[:n], run.labelling)
    again = np.zeros(both.shape[1], dtype=bool)
    for stage, table in zip(run.first, tables[n : n + len(run.first)], strict=True):
        unseen = ~kept(told(run.supervisors, tables[:n], stage.labelling)[1], stage.labelling)
        its = told([stage], [table], run.labelling)
        if opinion is not None:
            unseen &= trust(its[0], opinion) > stage.labelling.keep_above
        both[:, unseen] = its[:, unseen]
        again |= unseen
    q, used = both[0], kept(both[1], run.labelling)
    if opinion is not None and not run.first:
        used = rankdata(-trust(q, opinion), method="ordinal") <= used.sum()
    if run.labelling.misplaced:
        places = np.flatnonzero(again & used)
        q[places] = np.random.default_rng(stream(run.pairs.seed, "misplaced")).permutation(q[places])
    return q, used, again


def training_pairs(run: Train, labels: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """The pairs that a run trains on, with ``label`` (probability of the true order) and ``weakly_labelled``.

    ``labels`` are the scores of the run's ``labellers``, in any order of the pairs; none for ground truth.  Pairs that
    a submission does not label are dropped.  A mixed conflict appends pairs of its objective, from the same split's
    substances, with their own hard labels: its share of those that a filter has left.

    Raises:
        PairsError: filter or half keep no pair, or there are fewer to mix in than the conflict's share asks for.
    """
    frame = split(run.pairs, run.split)
    if isinstance(run.labels, Submission):
        frame = frame[frame["pair_id"].isin(labels[0]["pair_id"])]
    half = run.labelling.half
    q, used = np.ones(len(frame)), np.ones(len(frame), dtype=bool) if half is None else half_of_cluster(frame) == half
    if labels:
        q, used, again = labels_of_run(run, [table.set_index("pair_id").loc[frame["pair_id"]] for table in labels])
    both = used.sum()
    if run.as_long:
        used &= ~again
    weakly = bool(labels) or run.conflict.kind == "explicit"
    frame = frame.assign(label=relabel(q, run.labelling), weakly_labelled=weakly)[used]
    if frame.empty and run.labelling.keep_above is None:
        raise PairsError("no labelled pair is in the half that this first stage is trained on; label more")
    if frame.empty:
        raise PairsError(
            f"filter_above={run.labelling.keep_above:g}: no pair is labelled with more confidence, "
            "and none is left to train on; use a lower one"
        )
    if run.conflict.kind == "mixed":
        extra = mixed_in(run.pairs, run.split, run.conflict, len(frame))
        frame = pd.concat([frame, extra.assign(label=1.0, weakly_labelled=False)], ignore_index=True)
        both += round(run.conflict.share * both)
    if run.as_long:  # over and over, in whole batches: as many as the two stages have in an epoch
        batches = sum(-(-pairs // run.batch_size) for pairs in (len(frame), both))
        order = np.random.default_rng(stream(run.pairs.seed, "as long")).permutation(len(frame))
        frame = frame.iloc[np.resize(order, batches * run.batch_size)]
    return frame.reset_index(drop=True)


def summarise_labels(frame: pd.DataFrame, pairs: int, band: tuple[float, float]) -> dict[str, float]:
    """What the labels of a student's training pairs are like, as shares between 0 and 1.

    ``frame`` as of ``training_pairs``, weakly labelled pairs only, left over from so many ``pairs``.  Of these,
    ``kept``; of the kept ones, ``right`` (label above 1/2), mean ``confidence`` max(q, 1 − q), and ``in_band``: labels
    in [low, high), as of ``metrics.band``.
    """
    q, (low, high) = frame["label"].to_numpy(), band
    right, confidence, in_band = q > 0.5, np.maximum(q, 1 - q), (q >= low) & (q < high)
    means = {"right": right.mean(), "confidence": confidence.mean(), "in_band": in_band.mean()}
    return {"kept": len(q) / pairs} | means
