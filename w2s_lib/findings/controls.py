"""What is left of a deception score after each null and control."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd

from w2s_lib.findings.results import (
    CONFLICTS,
    EXCESSES,
    MATCHED,
    OTHER,
    SCORES,
    measure,
    minus,
    summarise,
)
from w2s_lib.study import Study
from w2s_lib.study.conditions import ABOVE_ONE


def controls(study: Study) -> tuple[pd.DataFrame, pd.DataFrame]:
    """DS after each null and control, on the edition's control pairs, pooled.

    ``subset`` is *stable* for the pairs that every rerun ranks right, ``ceiling`` *other* where the ceiling was trained
    on the weak supervisor's half.
    """
    few = study.on_control_pairs()
    weakly = (*CONFLICTS, "explicit_shared", "untrained")
    gold = ("gold_explicit", "gold_implicit", "gold_rerun")
    per_seed = measure(few, (*weakly, *gold), SCORES)
    stable = measure(
        few, ("explicit", "implicit", "placebo", "explicit_shared"), ("deception_score", *EXCESSES), stable=True
    )
    other = measure(replace(few, ceiling_half="ground_truth"), CONFLICTS, ("deception_score", *EXCESSES), ceiling=OTHER)
    above_one = (
        []
        if study.edition.alpha == ABOVE_ONE
        else [measure(few.with_parameters(alpha=ABOVE_ONE), ["gold_explicit"], SCORES)]
    )
    rows = [
        *(summarise(frame, pooled=True) for frame in (per_seed, stable, other, *above_one)),
        minus(per_seed, (MATCHED, "excess_weak_matched"), ("explicit", "implicit", "explicit_shared"), "rerun"),
        minus(per_seed, (MATCHED,), ("explicit", "implicit"), "placebo"),
        minus(per_seed, ("conflict_tax", MATCHED), ("gold_explicit", "gold_implicit"), "gold_rerun"),
        minus(per_seed, ("conflict_tax",), ("gold_implicit",), "implicit"),
    ]
    return per_seed, pd.concat(rows, ignore_index=True)
