"""Label again: a first student labels what a filter dropped.  What does that do to tax, score and PGR, and who pays?"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
import pandas as pd

from w2s_lib.findings.results import (
    TRAINING,
    UNMODIFIED,
    Cell,
    Estimate,
    difference,
    differences,
    measure_both,
    minus,
    net_of_reruns,
    summarise,
    tabulate,
)
from w2s_lib.findings.statistics import MATCHED, Statistic, number_of
from w2s_lib.measures.metrics import Array, Comparison, Mask, correct, share
from w2s_lib.specs import Spec, Split, Train
from w2s_lib.study import Study
from w2s_lib.study.mitigations import AGAIN, AGAIN_WITH_RERUN, WEIGHED
from w2s_lib.training.labels import kept, labels_of_run

LABEL_GROUPS = ("kept", "came_back", "left_out")
"""What becomes of a pair by its weak label, and by what the first student, without a conflict, says of it: the filter
keeps it; it is dropped, and comes back; neither is sure of it."""

ONE_STAGE, TWICE = "filter", AGAIN[0]
"""The mitigation whose student is the first one, and the one that goes on from it."""

LABELS_TRIED = ("", ONE_STAGE, *AGAIN)
"""Mitigations of the chapter; the empty one is none."""

WITH_RERUN = ("", *AGAIN_WITH_RERUN)
"""Those that have a rerun of their own."""

ASKED_WHO_PAYS = ("", TWICE)
"""Those of which it is asked who pays."""

AGAINST = {UNMODIFIED: "", "one_stage": ONE_STAGE, TWICE: TWICE}
"""Value of ``versus`` → the mitigation that is taken off."""

LABEL_CHANGES = ("conflict_tax", "net_change", "deception_score", MATCHED)

LABELS = ("share_of_pairs", "label_right", "label_right_again")
"""Of a group of training pairs: how many of all; how many weak labels are right, and of the first student's."""

THERE = ("tax_rate", "taxed_there", "taxed_there_by_margin", "taxed_there_beyond_margin")
"""Of a group of pairs: the share taxed of those that can pay; the share of all taxed pairs that lie in it; what that
would be if each taxed pair were one of the twenty nearest in margin; the difference."""

CONTRAST = "tax_rate_contrast"
"""The tax rate of one group of pairs minus another's: per pair, so that neither counts for being larger."""


def stages(study: Study, seed: int, weak: str, strong: str, condition: str = "none") -> tuple[Train, Train, Train]:
    """The weak supervisor, the first student and the student of its labels, when they label again."""
    run = study.under_mitigation(TWICE).student(seed, weak, strong, condition)
    return run.labels, run.first[0], run


def label_groups(study: Study, seed: int, weak: str, strong: str, on: Split = "test") -> dict[str, Mask]:
    """Which pairs are in each of ``LABEL_GROUPS``, shape (pairs,); of test pairs, in which they would be."""
    supervisor, first, student = stages(study, seed, weak, strong)
    q, p = study.probabilities([supervisor, first], on)
    sure, again = kept(q, first.labelling), kept(p, student.labelling)
    return dict(zip(LABEL_GROUPS, (sure, ~sure & again, ~sure & ~again)))


def group_as_area(c: Comparison, group: Mask) -> Comparison:
    """The comparison with the group in place of the deception area, so that score and nulls are the group's."""
    return replace(c, ceiling=np.ones(len(group)), weak=np.where(group, 0.0, 1.0))


def there(c: Comparison, group: Mask) -> dict[str, Statistic]:
    """``THERE`` by name, as functions of bootstrap weights."""
    its = group_as_area(c, group)
    rate = partial(share, c.tax, c.right & group)
    null, excess = (partial(of, "margin_matched") for of in (its.null, its.excess))
    return dict(zip(THERE, (rate, its.deception_score, null, excess)))


def who_pays(
    study: Study,
    conditions: Iterable[str],
    on: Split = "test",
    among: Callable[..., Mapping[str, Mask]] | None = None,
    by: Callable[..., Train] | None = None,
) -> pd.DataFrame:
    """``THERE`` of every student and group, which ``subset`` names; columns ``results.PER_SEED``.

    ``among``: other groups than those here, of seed, weak, strong and split; ``by``: a run more that they come from."""
    also, of_pairs = {"on": TRAINING} if on == "weak_label" else {}, among or partial(label_groups, study)

    def estimates(cell: Cell) -> Iterator[Estimate]:
        c, runs = study.comparison(*cell, on), [*study.compared(*cell), *([by(*cell[:2])] if by else [])]
        for name, group in of_pairs(*cell[:3], on).items():
            for statistic, of in there(c, group).items():
                counted = partial(number_of, c.right & group if statistic == "tax_rate" else c.tax)
                yield Estimate({"statistic": statistic, "subset": name, **also}, of, len(group), runs, counted)

    return tabulate(study, tuple(conditions), estimates, on)


def of_labels(group: Mask, labels: Iterable[Array], runs: Sequence[Spec], **names: str) -> Iterator[Estimate]:
    """``LABELS`` of a group: its share of all pairs, and of its pairs those that each of the ``labels`` ranks right."""
    masks = [(group, np.ones(len(group), dtype=bool)), *((correct(p), group) for p in labels)]
    for statistic, (part, of) in zip(LABELS, masks):
        about = {"statistic": statistic, **names}
        yield Estimate(about, partial(share, part, of), len(group), runs, partial(number_of, of))


def labels(study: Study, conditions: Iterable[str]) -> pd.DataFrame:
    """``LABELS`` of the training pairs by group and by the condition of the first student, which labels again."""

    def estimates(cell: Cell) -> Iterator[Estimate]:
        runs = stages(study, *cell)
        q, p = study.probabilities(runs[:2], "weak_label")
        for name, group in label_groups(study, *cell[:3], "weak_label").items():
            yield from of_labels(group, (q, p), runs, subset=name, on=TRAINING)

    return tabulate(study.under_mitigation(TWICE), tuple(conditions), estimates, "weak_label")


def weighed(study: Study, name: str, conditions: Iterable[str]) -> pd.DataFrame:
    """``LABELS`` of the pairs that an opinion trusts, under that mitigation of ``WEIGHED``: those whose weak label is
    kept, or those that come back with the first student's."""

    def estimates(cell: Cell) -> Iterator[Estimate]:
        run = study.under_mitigation(name).student(*cell)
        study.lab.run(run.labellers)
        tables = [study.lab.scores(one, "weak_label") for one in run.labellers]
        _, used, again = labels_of_run(run, tables)
        q, p = (table["p_true"].to_numpy() for table in tables[:2])
        if run.first:
            yield from of_labels(again, (q, p), [run], subset="came_back", on=TRAINING)
        else:
            yield from of_labels(used, (q,), [run], subset="kept", on=TRAINING)

    return tabulate(study.under_mitigation(name), tuple(conditions), estimates, "weak_label")


def contrast(per_seed: pd.DataFrame, group: str, base: str, **also: object) -> pd.DataFrame:
    """``CONTRAST`` of a group of pairs and another by seed, pooled over model pairs, under the explicit conflict and in
    a rerun; ``also`` names columns of the tax rates in the frame."""
    at = lambda condition, subset: also | {"condition": condition, "subset": subset}
    told = [differences(per_seed, "tax_rate", base, at(c, group), at(c, base)) for c in ("explicit", "rerun")]
    return pd.concat(told, ignore_index=True).assign(statistic=CONTRAST, subset="", versus="")


def label_again(study: Study) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Students under every mitigation of ``LABELS_TRIED``: tax, DS with nulls, PGR; what labels came back, who pays.

    Minus a rerun under the same mitigation (``versus`` *rerun*), minus no mitigation (*unmodified*), minus the filter
    alone (*one_stage*), and the others minus *label_again*; and, with the rerun of each taken off before, minus no
    mitigation (*unmodified_net*).  ``CONTRAST`` of the pairs that come back and those that are kept."""
    few = study.on_mitigation_weak_strong_pairs()
    frames = [labels(few, ("none", "explicit"))]
    frames += [weighed(few, name, conditions) for name, conditions in zip(WEIGHED, (("none",), ("none", "explicit")))]
    for name in LABELS_TRIED:
        conditions = ("explicit", "rerun") if name in WITH_RERUN else ("explicit",)
        one = few.under_mitigation(name)
        frames.append(measure_both(one, conditions))
        if name in ASKED_WHO_PAYS:
            frames += [who_pays(one, conditions, on) for on in ("test", "weak_label")]
    per_seed = pd.concat(frames, ignore_index=True)
    rows = [summarise(per_seed, pooled=True)]
    for name in WITH_RERUN:
        rows.append(minus(per_seed, ("conflict_tax", MATCHED), ("explicit",), "rerun", mitigation=name))
    for name in ASKED_WHO_PAYS:
        for group in LABEL_GROUPS:
            for on in ("", TRAINING):
                rows.append(minus(per_seed, THERE, ("explicit",), "rerun", mitigation=name, subset=group, on=on))
        for on in ("", TRAINING):
            apart = contrast(per_seed, *LABEL_GROUPS[1::-1], mitigation=name, on=on)
            rows += [summarise(apart), minus(apart, (CONTRAST,), ("explicit",), "rerun", mitigation=name, on=on)]
    for versus, base in AGAINST.items():
        for name in LABELS_TRIED[LABELS_TRIED.index(base) + 1 :]:
            for condition, statistics in (("explicit", LABEL_CHANGES), ("none", ("accuracy", "pgr"))):
                these, those = ({"condition": condition, "mitigation": which} for which in (name, base))
                rows.append(difference(per_seed, statistics, versus, these, those))
    for name in AGAIN_WITH_RERUN:
        its = {"condition": "explicit", "mitigation": name}
        rows.append(net_of_reruns(per_seed, ("conflict_tax",), UNMODIFIED, its, {"condition": "explicit"}))
    return per_seed, pd.concat(rows, ignore_index=True)
