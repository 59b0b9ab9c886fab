"""The same questions on real texts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd

from w2s_lib.findings.claims import claims_in
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
from w2s_lib.study.conditions import BY_PEOPLE

EXPECTED = claims_in(Path(__file__).with_name("by_people.yaml"))
"""What was expected of helpful pairs that people judged, with the rule that each is told by.

:meta hide-value:
"""


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


def by_people(study: Study) -> pd.DataFrame:
    """Results rows of a study with helpful pairs that people judged, pooled: every condition, each minus a rerun's, and
    what the expectations compare."""
    per_seed = measure(study, (*CONFLICTS, *BY_PEOPLE), ("accuracy", *SCORES))
    paid = ("conflict_tax", MATCHED)
    against = [condition for condition in (*CONFLICTS, *BY_PEOPLE) if condition != "rerun"]
    others = [(str(c.row["condition"]), str(c.row["versus"])) for c in EXPECTED.values() if c.row["versus"] != "rerun"]
    return pd.concat(
        [
            generalization(study)[1],
            summarise(per_seed, pooled=True),
            minus(per_seed, paid, against, "rerun"),
            *(minus(per_seed, paid, [condition], control) for condition, control in others),
        ],
        ignore_index=True,
    )
