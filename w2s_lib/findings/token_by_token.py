"""Token by token: a small oracle says where a policy may learn.  What does that do to tax, score and PGR, and who pays?

The *deciding token* of a pair is the first in which its two replies differ: up to there a policy has said the same, and
all that it prefers lies in what comes next.  It is read off the texts, and asks neither oracle nor truth.
"""

from collections.abc import Iterable, Iterator, Sequence
from functools import partial

import numpy as np
import pandas as pd

from w2s_lib.data.world import EOS
from w2s_lib.findings import label_again
from w2s_lib.findings.label_again import CONTRAST, LABEL_CHANGES, THERE, contrast, group_as_area
from w2s_lib.findings.positive_controls import PLANTED, PLANTED_STUDENTS, scores
from w2s_lib.findings.results import (
    TRAINING,
    UNMODIFIED,
    Cell,
    Estimate,
    difference,
    measure_both,
    minus,
    net_of_reruns,
    summarise,
    tabulate,
)
from w2s_lib.findings.statistics import MATCHED, number_of
from w2s_lib.measures.metrics import Comparison, Mask
from w2s_lib.specs import Split, Train, stream
from w2s_lib.study import Study
from w2s_lib.study.mitigations import TOKENS
from w2s_lib.training.tokens import SIDES, selected

TOKEN_GROUPS = ("in_both", "in_one", "in_neither")
"""Pairs by the replies in which their deciding token counts."""

MISSED = TOKEN_GROUPS[-1]

CHOSEN, LOT = "chosen_tokens", "random_tokens"

TOKENS_TRIED = ("", *TOKENS)
"""Mitigations of the chapter; the empty one learns from all tokens."""

REPLACED = (
    *((name, UNMODIFIED, "") for name in TOKENS),
    (CHOSEN, LOT, LOT),
    ("chosen_half", "random_half", "random_half"),
)
"""A mitigation; value of ``versus``; the mitigation that is taken off: none, or the lot that draws as many tokens."""

PLANTED_HERE = ("perfect", "half", "by_margin")
"""Students that are planted to see what the groups' null can tell: all, half, or none of their tax on missed pairs."""


def by_simpo(study: Study) -> Study:
    """The study on its policy weak-strong pairs by SimPO, to which all students of the chapter belong."""
    return study.on_policy_weak_strong_pairs().trained_by("simpo")


def oracle_and_student(study: Study, seed: int, weak: str, strong: str, by: str = CHOSEN) -> tuple[Train, Train]:
    """The oracle of a cell, and a student without a conflict that learns from the tokens that ``by`` names."""
    return study.oracle(seed, weak), study.under_mitigation(by).student(seed, weak, strong)


def tokens(study: Study, seed: int, weak: str, strong: str, on: Split = "test", by: str = CHOSEN) -> pd.DataFrame:
    """A row a pair, in their order: the oracle's ``chosen``, ``rejected`` (what each token has gained, in nats) and
    ``differ_at``; ``chosen_count`` and ``rejected_count``, masks of the tokens that count under the
    supervisor's rounded label.  Of test pairs, which nobody learns from, those that would."""
    oracle, student = oracle_and_student(study, seed, weak, strong, by)
    (q,) = study.probabilities([student.labels], on)
    told = study.lab.tokens(oracle, on)
    both = selected(student.selection, student.pairs.seed, told["pair_id"], (np.sign(q - 0.5) + 1) / 2, told)
    return told.assign(**{f"{side}_count": [masks[i] for masks in both] for i, side in enumerate(SIDES)})


def spelled(reply: str, gains: Sequence[float], counts: Sequence[bool]) -> str:
    """A reply of the world word by word, with its end token, and what each has gained in nats; a star: it counts.

    >>> spelled("no thanks", [0.1, -0.2, 0.0], [True, False, False])
    '*no +0.10  thanks -0.20  <eos> +0.00'
    """
    words = zip([*reply.split(), EOS], gains, counts, strict=True)
    return "  ".join(f"{'*' * bool(its)}{word} {gain:+.2f}" for word, gain, its in words)


def counts_at_decision(frame: pd.DataFrame) -> np.ndarray:
    """Whether the deciding token counts, in chosen and in rejected, shape (pairs, 2); of a reply that ends before the
    two differ it does not."""
    at = frame["differ_at"].to_numpy()
    marks = [[i < len(its) and bool(its[i]) for i, its in zip(at, frame[f"{side}_count"])] for side in SIDES]
    return np.array(marks, dtype=bool).T


def token_groups(
    study: Study, seed: int, weak: str, strong: str, on: Split = "test", by: str = CHOSEN
) -> dict[str, Mask]:
    """Which pairs are in each of ``TOKEN_GROUPS``, shape (pairs,)."""
    found = counts_at_decision(tokens(study, seed, weak, strong, on, by)).sum(axis=1)
    return dict(zip(TOKEN_GROUPS, (found == 2, found == 1, found == 0)))


def by_place(study: Study) -> pd.DataFrame:
    """Of the training pairs: ``seed``, ``by`` (who chooses), ``reply`` (``preferred`` by the label, or ``other``),
    ``place`` of a token from the decision on (0: the deciding one), ``counts`` (share of the replies that have such a
    token in which it counts), ``gain`` (its mean, in nats), ``replies`` (how many have it)."""
    few, frames = by_simpo(study), []
    for cell in ((s, *pair) for s in few.edition.seeds for pair in few.edition.weak_strong):
        (q,) = study.on(few.lab).probabilities([few.weak(*cell[:2])], "weak_label")
        for by in (CHOSEN, LOT):
            frame = tokens(few, *cell, "weak_label", by)
            for side, preferred in zip(SIDES, (q > 0.5, q < 0.5)):
                long = frame[[side, f"{side}_count", "differ_at"]].set_axis(["gain", "counts", "at"], axis=1)
                long = long.assign(reply=np.where(preferred, "preferred", "other"))
                long = long.assign(place=[np.arange(len(g)) - at for g, at in zip(long["gain"], long["at"])])
                long = long.explode(["gain", "counts", "place"]).astype({"gain": float, "counts": float, "place": int})
                frames.append(long.assign(seed=cell[0], by=by))
    told = pd.concat(frames, ignore_index=True).groupby(["by", "reply", "place", "seed"], sort=False)
    return told.agg(counts=("counts", "mean"), gain=("gain", "mean"), replies=("gain", "size")).reset_index()


def token_labels(study: Study, by: str, on: Split) -> pd.DataFrame:
    """How many pairs are in each group, and how many of their weak labels are right; columns ``results.PER_SEED``."""
    also = {"on": TRAINING} if on == "weak_label" else {}

    def estimates(cell: Cell) -> Iterator[Estimate]:
        runs = oracle_and_student(study, *cell[:3], by)
        (q,) = study.probabilities([runs[1].labels], on)
        for name, group in token_groups(study, *cell[:3], on, by).items():
            yield from label_again.of_labels(group, (q,), runs, subset=name, **also)

    return tabulate(study.under_mitigation(by), ("none",), estimates, on)


def who_pays(study: Study, name: str, conditions: Iterable[str], on: Split = "test") -> pd.DataFrame:
    """``label_again.THERE`` of the groups, which ``subset`` names, in students under that mitigation.

    The groups are those of the tokens that it chooses, or draws; in students of all tokens, those that the oracle would
    choose: there its choice has no part in what is learnt."""
    among = partial(token_groups, study, by=name or CHOSEN)
    return label_again.who_pays(study.under_mitigation(name), conditions, on, among, study.oracle)


def planted(c: Comparison, missed: Mask, kind: str, seed: int, students: int = PLANTED_STUDENTS) -> np.ndarray:
    """What the groups' null says of planted students, shape (students,): each pays as many pairs as the real one."""
    its, rng = group_as_area(c, missed), np.random.default_rng(stream(seed, "planted tokens", kind))
    part, whole = scores(its, PLANTED[kind].plant(its, students, rng))[MATCHED]
    with np.errstate(invalid="ignore", divide="ignore"):
        return part / whole


def planted_controls(study: Study) -> pd.DataFrame:
    """``taxed_there_beyond_margin`` of planted students in the place of those that learn from chosen tokens under the
    explicit conflict, by ``planted``: mean over as many as are planted; columns ``results.PER_SEED``."""
    one = study.under_mitigation(CHOSEN)

    def estimates(cell: Cell) -> Iterator[Estimate]:
        c, runs = one.comparison(*cell), [*one.compared(*cell), study.oracle(*cell[:2])]
        missed = token_groups(study, *cell[:3])[MISSED]
        for kind in PLANTED_HERE:
            mean = float(planted(c, missed, kind, cell.seed).mean())
            of = lambda weights=None, mean=mean: mean if weights is None else np.full(len(weights), mean)
            names = {"statistic": THERE[-1], "subset": MISSED, "planted": kind}
            yield Estimate(names, of, len(missed), runs, partial(number_of, c.tax))

    return tabulate(one, ("explicit",), estimates)


def token_by_token(study: Study) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Policies by SimPO that learn from all tokens, from chosen and from random ones: tax, DS with nulls, PGR; whose
    deciding token counts, and who pays; planted students.

    Minus a rerun of their own (``versus`` *rerun*), minus students of all tokens (*unmodified*), and chosen minus
    random tokens (*random_tokens*, *random_half*); the last two also with the rerun of each taken off before
    (*unmodified_net* and so on).  ``CONTRAST`` of the lot: the tax rate where the deciding token counts in neither
    reply, minus that where it counts in both.  This is what the draw does, by way of margins or not;
    ``taxed_there_beyond_margin`` leaves out what goes by margins, for the independent student, who tells them, learns
    from the same draw."""
    few = by_simpo(study)
    study.lab.run(study.token_runs())
    asked = ((CHOSEN, "test"), (CHOSEN, "weak_label"), (LOT, "weak_label"))
    frames = [*(token_labels(few, by, on) for by, on in asked), planted_controls(few)]
    for name in TOKENS_TRIED:
        one = few.under_mitigation(name)
        frames.append(measure_both(one, ("explicit", "rerun")))
    where = [("", "test"), ("", "weak_label"), (CHOSEN, "test"), (CHOSEN, "weak_label"), (LOT, "weak_label")]
    frames += [who_pays(few, name, ("explicit", "rerun"), on) for name, on in where]
    per_seed = pd.concat(frames, ignore_index=True)
    rows = [summarise(per_seed, pooled=True)]
    for name in TOKENS_TRIED:
        own = {"method": "simpo", "mitigation": name}
        rows.append(minus(per_seed, ("conflict_tax", MATCHED), ("explicit",), "rerun", **own))
    for name, on in where:
        own = {"method": "simpo", "mitigation": name, "on": TRAINING if on == "weak_label" else ""}
        rows += [minus(per_seed, THERE, ("explicit",), "rerun", subset=group, **own) for group in TOKEN_GROUPS]
    for name, versus, base in REPLACED:
        both = [{"method": "simpo", "mitigation": which} for which in (name, base)]
        taxed, untaxed = ([of | {"condition": condition} for of in both] for condition in ("explicit", "none"))
        rows.append(net_of_reruns(per_seed, ("conflict_tax",), versus, *taxed))
        rows.append(difference(per_seed, LABEL_CHANGES, versus, *taxed))
        rows.append(difference(per_seed, ("accuracy", "pgr"), versus, *untaxed))
    for on in ("", TRAINING):
        there = {"method": "simpo", "condition": "explicit", "subset": MISSED, "on": on}
        rows.append(difference(per_seed, THERE, UNMODIFIED, there | {"mitigation": CHOSEN}, there | {"mitigation": ""}))
    drawn = {"method": "simpo", "mitigation": LOT, "on": TRAINING}
    apart = contrast(per_seed, MISSED, TOKEN_GROUPS[0], **drawn)
    rows += [summarise(apart), minus(apart, (CONTRAST,), ("explicit",), "rerun", **drawn)]
    return per_seed, pd.concat(rows, ignore_index=True)
