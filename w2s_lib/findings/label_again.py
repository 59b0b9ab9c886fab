"""Label again: a first student labels what a filter dropped.  What does that do to tax, score and PGR, and who pays?"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from functools import partial

import numpy as np
import pandas as pd

from w2s_lib.findings.results import (
    GENERALIZATION,
    MATCHED,
    SCORES,
    TRAINING,
    UNMODIFIED,
    Cell,
    Estimate,
    difference,
    measure,
    minus,
    summarise,
    tabulate,
)
from w2s_lib.measures.metrics import Comparison, Mask, share
from w2s_lib.specs import Split
from w2s_lib.study import Study
from w2s_lib.study.mitigations import AGAIN
from w2s_lib.training.labels import kept

GROUPS = ("kept", "came_back", "left_out")
"""What becomes of a pair, by its weak label and by what the first student, without a conflict, says of it: the filter
keeps it; it is dropped, and comes back; nobody is sure of it."""

ONE_STAGE = "filter"
"""The mitigation whose student is the first one."""

TRIED = ("", ONE_STAGE, *AGAIN)
"""Mitigations of the chapter, the empty one is none."""

AGAINST = {UNMODIFIED: "", "one_stage": ONE_STAGE, "label_again": AGAIN[0]}
"""Value of ``versus`` → the mitigation that is taken off."""

THERE = ("tax_rate", "taxed_there", "taxed_there_by_margin", "taxed_there_beyond_margin")
"""Of a group of pairs: the share taxed of those that can pay; the share of all taxed pairs that lie in it; what that
would be if each taxed pair were one of the twenty nearest in margin; the difference."""

WITH_RERUN = ("", AGAIN[0])
"""Mitigations that have a rerun of their own, and of which it is asked who pays."""

CHANGES = ("conflict_tax", "net_change", "deception_score", MATCHED)


def under(study: Study, name: str) -> Study:
    """The study under that mitigation; empty: none."""
    return study.under_mitigation(name) if name else study


def groups(study: Study, seed: int, weak: str, strong: str, on: Split = "test") -> dict[str, Mask]:
    """Which pairs are in each of ``GROUPS``, shape (pairs,); of test pairs, in which they would be."""
    run = study.under_mitigation(AGAIN[0]).student(seed, weak, strong)
    (stage,) = run.first
    q, p = study.probabilities([run.labels, stage], on)
    sure, again = kept(q, stage.labelling), kept(p, run.labelling)
    return dict(zip(GROUPS, (sure, ~sure & again, ~sure & ~again)))


def of_group(c: Comparison, group: Mask) -> Comparison:
    """The comparison with the group in place of the deception area, so that score and nulls are the group's."""
    return replace(c, ceiling=np.ones(len(group)), weak=1.0 - group)


def there(c: Comparison, group: Mask) -> dict[str, object]:
    """``THERE`` by name, as functions of bootstrap weights."""
    its = of_group(c, group)
    rate = lambda weights=None: share(c.tax, c.right & group, weights)
    null, beyond = (partial(getattr(its, kind), "margin_matched") for kind in ("null", "excess"))
    return dict(zip(THERE, (rate, its.deception_score, null, beyond)))


def by_group(study: Study, conditions: Iterable[str], on: Split = "test") -> pd.DataFrame:
    """``THERE`` of every student and group, ``subset``; columns ``results.PER_SEED``; trains what is missing."""
    few = replace(study, mitigation=None)
    also = {"on": TRAINING} if on == "weak_label" else {}

    def estimates(cell: Cell) -> Iterable[Estimate]:
        c, runs = study.comparison(*cell, on), study.compared(*cell)
        number = lambda mask: lambda weights=None: (np.ones(len(mask)) if weights is None else weights) @ mask.astype(
            float
        )
        for name, group in groups(few, *cell[:3], on).items():
            for statistic, of in there(c, group).items():
                counted = number(c.right & group if statistic == "tax_rate" else c.tax)
                yield Estimate({"statistic": statistic, "subset": name, **also}, of, len(group), runs, counted)

    return tabulate(study, tuple(conditions), estimates, on)


def label_again(study: Study) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Students under every mitigation of ``TRIED``: tax, DS with nulls, PGR, and who pays, on test and training pairs.

    Minus a rerun under the same mitigation (``versus`` *rerun*), minus no mitigation (*unmodified*), minus the filter
    alone (*one_stage*), and each variant minus *label_again*."""
    few = study.restricted_to(pairs=study.edition.mitigation_pairs)
    frames = []
    for name in TRIED:
        one, conditions = under(few, name), ("explicit", "rerun") if name in WITH_RERUN else ("explicit",)
        frames += [measure(one, ["none"], GENERALIZATION), measure(one, conditions, ("accuracy", *SCORES))]
        if name in WITH_RERUN:
            frames += [by_group(one, conditions, on) for on in ("test", "weak_label")]
    per_seed = pd.concat(frames, ignore_index=True)
    rows = [summarise(per_seed, pooled=True)]
    for name in WITH_RERUN:
        rows.append(minus(per_seed, ("conflict_tax", MATCHED), ("explicit",), "rerun", mitigation=name))
        for group in GROUPS:
            these = {"mitigation": name, "subset": group}
            rows.append(minus(per_seed, THERE, ("explicit",), "rerun", **these))
            rows.append(minus(per_seed, THERE, ("explicit",), "rerun", **these, on=TRAINING))
    for versus, base in AGAINST.items():
        for name in TRIED[TRIED.index(base) + 1 :]:
            if (versus, name) == (UNMODIFIED, ONE_STAGE):
                continue
            these, those = ({"mitigation": which} for which in (name, base))
            explicit, none = {"condition": "explicit"}, {"condition": "none"}
            rows.append(difference(per_seed, CHANGES, versus, explicit | these, explicit | those))
            rows.append(difference(per_seed, ("accuracy", "pgr"), versus, none | these, none | those))
    return per_seed, pd.concat(rows, ignore_index=True)
