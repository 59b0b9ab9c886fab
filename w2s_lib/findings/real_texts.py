"""The same questions on real texts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pandas as pd

from w2s_lib.findings.generalization import generalization
from w2s_lib.findings.results import (
    CONFLICTS,
    MATCHED,
    OTHER,
    SCORES,
    measure,
    minus,
    summarise,
)
from w2s_lib.study import Study


def real_texts(
    study: Study, conditions: Sequence[str] = CONFLICTS, controls: bool = True
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """A study on real texts: PGR by pair and pooled; the conflicts, rerun and placebo, and each minus the rerun's,
    pooled.

    ``controls`` adds gold labels and the other half's ceiling, on the control pairs; ``ceiling`` is *other* there, and
    *own* for what they are to be compared with."""
    none, rows = generalization(study)
    per_seed = measure(study, conditions, ("accuracy", *SCORES))
    against = [c for c in conditions if c != "rerun"]
    found = [rows, summarise(per_seed, pooled=True), minus(per_seed, ("conflict_tax", MATCHED), against, "rerun")]
    if controls:
        few = study.on_control_pairs()
        on_gold = measure(few, ("gold_explicit", "gold_rerun"), SCORES)
        found += [summarise(on_gold, pooled=True), minus(on_gold, ("conflict_tax",), ("gold_explicit",), "gold_rerun")]
        for half, name in (("weak_label", "own"), ("ground_truth", OTHER)):
            found.append(
                summarise(measure(replace(few, ceiling_half=half), conditions, (MATCHED,), ceiling=name), pooled=True)
            )
    return none, pd.concat(found, ignore_index=True)
