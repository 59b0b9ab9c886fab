"""What a conflict taxes, and where: tax, deception score and nulls, each beside a rerun's."""

from __future__ import annotations

import pandas as pd

from w2s_lib.findings.results import (
    CONFLICTS,
    DECEPTION,
    MATCHED,
    measure,
    minus,
    summarise,
)
from w2s_lib.study import Study

OF_THE_HIDDEN = ("hidden_score", "null_weak_matched", "excess_weak_matched", "attainable_weak_matched")
"""Statistics of the pairs that the weak supervisor does not know."""


def conflict(study: Study) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Tax, DS and nulls of the two conflicts and the two controls, by pair and pooled, and each minus the rerun's."""
    per_seed = measure(study, CONFLICTS, ("accuracy", *DECEPTION, *OF_THE_HIDDEN))
    rows = [
        summarise(per_seed),
        summarise(per_seed, pooled=True),
        minus(per_seed, ["conflict_tax", MATCHED, "excess_weak_matched"], ("explicit", "implicit", "placebo"), "rerun"),
    ]
    return per_seed, pd.concat(rows, ignore_index=True)
