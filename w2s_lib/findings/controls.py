"""What is left of a deception score after each null and control."""

from dataclasses import replace

import numpy as np
import pandas as pd

from w2s_lib.findings.results import CONFLICTS, OTHER, cells, measure, minus, summarise
from w2s_lib.findings.statistics import EXCESSES, MATCHED, SCORES
from w2s_lib.study import Study
from w2s_lib.study.conditions import ABOVE_ONE


def controls(study: Study) -> tuple[pd.DataFrame, pd.DataFrame]:
    """DS after each null and control, on the edition's control weak-strong pairs, pooled.

    ``subset`` is *stable* for the pairs that every rerun ranks right, ``ceiling`` *other* where the ceiling was trained
    on the weak supervisor's half.
    """
    few = study.on_control_weak_strong_pairs()
    weakly = (*CONFLICTS, "explicit_shared", "untrained")
    gold = ("gold_explicit", "gold_implicit", "gold_rerun")
    per_seed = measure(few, (*weakly, *gold), SCORES)
    asked = ("deception_score", *EXCESSES)
    stable = measure(few, ("explicit", "implicit", "placebo", "explicit_shared"), asked, stable=True)
    other = measure(replace(few, ceiling_half="ground_truth"), CONFLICTS, asked, ceiling=OTHER)
    doses = {ABOVE_ONE} - {study.edition.alpha}
    above_one = [measure(few.with_parameters(alpha=dose), ["gold_explicit"], SCORES) for dose in doses]
    rows = [
        *(summarise(frame, pooled=True) for frame in (per_seed, stable, other, *above_one)),
        minus(per_seed, (MATCHED, "excess_weak_matched"), ("explicit", "implicit", "explicit_shared"), "rerun"),
        minus(per_seed, (MATCHED,), ("explicit", "implicit"), "placebo"),
        minus(per_seed, ("conflict_tax", MATCHED), ("gold_explicit", "gold_implicit"), "gold_rerun"),
        minus(per_seed, ("conflict_tax",), ("gold_implicit",), "implicit"),
    ]
    return per_seed, pd.concat(rows, ignore_index=True)


def balance(study: Study) -> pd.DataFrame:
    """Whether matching matches: how far taxed pairs' margins lie from those that the margin-matched null compares with.

    On the control weak-strong pairs, in standard deviations of all pairs that can pay (``Comparison.imbalance``):
    ``before``, against all of them, and ``after`` matching, on average over seeds and model pairs by their ``taxed``
    pairs; and the ``largest`` imbalance after matching.  Below 0.1 counts as balanced.
    """
    rows = []
    for cell in cells(study.on_control_weak_strong_pairs(), CONFLICTS):
        c = study.comparison(*cell)
        rows.append((cell.condition, int(c.tax.sum()), c.imbalance("random"), c.imbalance("margin_matched")))
    frame = pd.DataFrame(rows, columns=["condition", "taxed", "before", "after"]).dropna()
    found = []
    for condition, mine in frame.groupby("condition", sort=False):
        before, after = (float(np.average(mine[name], weights=mine["taxed"])) for name in ("before", "after"))
        found.append((condition, mine["taxed"].sum(), before, after, mine["after"].abs().max()))
    return pd.DataFrame(found, columns=["condition", "taxed", "before", "after", "largest"])
