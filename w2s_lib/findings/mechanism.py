"""The explicit conflict by dose, and by the weak label of a pair."""

from __future__ import annotations

import pandas as pd

from w2s_lib.findings.results import (
    MATCHED,
    MECHANISM,
    SCORES,
    TRAINING,
    measure,
    minus,
    summarise,
)
from w2s_lib.study import Study

BESIDE = (0.6, 0.75, 0.9, 0.97)
"""At which the mechanism chapter sets T, beside the edition's own."""


def mechanism(study: Study) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The explicit conflict by dose: tax by weak label on training and on test pairs, DS and nulls, gold labels; pooled.

    The rerun is measured at every alpha, too: its training does not depend on alpha, but the band that it is
    compared in does.
    """
    frames, rows = [], []
    for alpha in study.edition.alphas:
        at = study.on_control_pairs().with_parameters(alpha=alpha)
        training = measure(at, ("explicit", "rerun"), MECHANISM, on="weak_label")
        test = measure(at, ("explicit", "rerun"), (*MECHANISM, *SCORES[2:]))
        gold = measure(at, ("gold_explicit", "gold_rerun"), ("conflict_tax", "net_change"))
        elsewhere = [
            measure(
                at.with_parameters(threshold=t),
                ("explicit", "rerun"),
                ("deception_score", "null_random", "null_margin_matched", MATCHED),
            )
            for t in BESIDE
            if t != study.edition.threshold
        ]
        for frame in (training, test, gold, *elsewhere):
            frame["alpha"] = alpha
            frames.append(frame)
            rows.append(summarise(frame, pooled=True))
        rows.append(minus(training, ("band_contrast",), ("explicit",), "rerun", on=TRAINING))
        rows.append(minus(test, ("band_contrast", MATCHED), ("explicit",), "rerun"))
        rows.append(minus(gold, ("conflict_tax",), ("gold_explicit",), "gold_rerun"))
    return pd.concat(frames, ignore_index=True), pd.concat(rows, ignore_index=True)
