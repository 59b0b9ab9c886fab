"""What grows with the capability gap: tax, deception score, nulls and what is beyond them."""

import pandas as pd

from w2s_lib.findings.results import CONFLICTS, measure, slopes, summarise
from w2s_lib.findings.statistics import TAX_AND_EXCESS
from w2s_lib.study import Study


def capability_gap(study: Study) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Every weak-strong pair by its capability gap, and how tax, DS, nulls and excesses grow with it."""
    none = measure(study, ["none"], ("accuracy", "pgr", "gap"))
    per_seed = pd.concat([none, measure(study, CONFLICTS, ("accuracy", *TAX_AND_EXCESS))], ignore_index=True)
    return per_seed, pd.concat([summarise(per_seed), slopes(per_seed, TAX_AND_EXCESS)], ignore_index=True)
