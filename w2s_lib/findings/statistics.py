"""Every statistic of a comparison: its null, what it is a share of, and where its values may lie.

A statistic's name is never taken apart: what it is stands in the tables here."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np

from w2s_lib.measures.metrics import MIN_GAP, NULLS, Comparison, Mask, band, borders

RATES = ("tax_rate_both_know", "tax_rate_deception_area", "tax_rate_only_weak_knows", "tax_rate_neither_knows")
"""Tax rates of the four quadrants, in the order of ``metrics.QUADRANTS``."""

LABEL_EDGES = (0.0, 0.25, 0.5, 0.5625, 0.625, 0.75, 0.875, 1.0)
BY_LABEL = tuple((f"tax_rate_label_{low:g}_{high:g}", low, high) for low, high in zip(LABEL_EDGES, LABEL_EDGES[1:]))
"""Tax rates by the weak supervisor's p of the truth, with each bin's edges; bands of usual alphas end at an edge."""

_EDGES = {name: {"low": low, "high": np.inf if high == LABEL_EDGES[-1] else high} for name, low, high in BY_LABEL}
"""The same as keywords: a label is exactly 1 from a margin of 37 on."""

Statistic = Callable[..., np.ndarray]
"""A number, or, under bootstrap ``weights``, one a row of them."""


def _rate(c: Comparison, weights: np.ndarray | None = None, *, i: int) -> np.ndarray:
    return c.tax_rates(weights)[..., i]


class ByNull(NamedTuple):
    """A statistic that asks for a null: which number of a comparison it is, and by which of ``metrics.NULLS``."""

    kind: str
    null: str


WITH_A_NULL = ("null", "excess", "attainable", "share_of_attainable")

BY_NULL = {f"{kind}_{null}": ByNull(kind, null) for null in NULLS for kind in WITH_A_NULL}
"""All of these, by name."""

MATCHED, SHARE = "excess_margin_matched", "share_of_attainable_margin_matched"


def of_kind(*kinds: str) -> tuple[str, ...]:
    """Statistics of ``BY_NULL`` that are of these kinds."""
    return tuple(name for name, its in BY_NULL.items() if its.kind in kinds)


def attainable_of(statistic: str) -> str | None:
    """The statistic that bounds an excess; None of what is no excess.

    >>> attainable_of("excess_random"), attainable_of("lift")
    ('attainable_random', None)
    """
    its = BY_NULL.get(statistic)
    return f"attainable_{its.null}" if its and its.kind == "excess" else None


STATISTICS: dict[str, Statistic] = {
    name: getattr(Comparison, name)
    for name in (
        "accuracy_weak", "accuracy_ceiling", "accuracy", "gap", "pgr", "conflict_tax", "net_change", "deception_score",
        "lift", "explained_by_label", "tax_rate_below_band", "tax_rate_in_band", "tax_rate_above_band", "band_contrast",
        "tax_rate_between_borders", "shift_by_ceiling", "known_beyond_weak",
    )
} | {name: partial(getattr(Comparison, its.kind), null=its.null) for name, its in BY_NULL.items()} | {
    "hidden_score": partial(Comparison.score, null="weak_matched"),
} | {name: partial(_rate, i=i) for i, name in enumerate(RATES)} | {
    name: partial(Comparison.tax_rate_by_label, **edges) for name, edges in _EDGES.items()
}  # fmt: skip
"""Name → the statistic of a comparison, and of bootstrap weights where they are given."""


def number_of(mask: Mask, weights: np.ndarray | None = None) -> np.ndarray:
    """How many pairs a mask has."""
    return (np.ones(len(mask)) if weights is None else weights) @ mask.astype(float)


def _count(c: Comparison, weights: np.ndarray | None = None, *, of: Callable[[Comparison], Mask]) -> np.ndarray:
    return number_of(of(c), weights)


def _taxed(c: Comparison, weights: np.ndarray | None = None, *, null: str, times: str = "") -> np.ndarray:
    """Number of taxed pairs among which a null lets the tax fall, times another number by that null."""
    number = number_of(c.tax & c.scored(null)[1], weights)
    return number * getattr(c, times)(null, weights) if times else number


_ON_LABELS: dict[str, Callable[[Comparison], Mask]] = {
    "tax_rate_below_band": lambda c: c.labelled(-np.inf, band(c.alpha)[0]),
    "tax_rate_in_band": lambda c: c.labelled(*band(c.alpha)),
    "tax_rate_above_band": lambda c: c.labelled(band(c.alpha)[1], np.inf),
    "tax_rate_between_borders": lambda c: c.labelled(*borders(c.alpha)),
    "band_contrast": lambda c: c.labelled(*band(c.alpha)),
} | {name: partial(Comparison.labelled, **edges) for name, edges in _EDGES.items()}

COUNTED: dict[str, Statistic] = (
    dict.fromkeys(("deception_score", "explained_by_label"), partial(_taxed, null="random"))
    | {name: partial(_taxed, null=BY_NULL[name].null) for name in of_kind("null", "excess", "attainable")}
    | {name: partial(_taxed, null=BY_NULL[name].null, times="attainable") for name in of_kind("share_of_attainable")}
    | {"hidden_score": partial(_taxed, null="weak_matched"), "lift": partial(_taxed, null="random", times="null")}
    | {"pgr": Comparison.gap, "known_beyond_weak": partial(_count, of=Comparison.unknown)}
    | {name: partial(_count, of=partial(Comparison.of_quadrant, i=i)) for i, name in enumerate(RATES)}
    | {name: partial(_count, of=mask) for name, mask in _ON_LABELS.items()}
)
"""Statistic → what it is a share of, which weighs it where model pairs are pooled: into a ratio of sums.

A score of 0 of 2 taxed pairs so counts as two pairs do.  PGR is weighed by the gap, without a choice of wide ones.
Statistics that are not named here are shares of all pairs, as many for each model pair."""

OF_TAXED_PAIRS = ("deception_score", "hidden_score", *of_kind("null", "excess", "attainable"))
"""Statistics that are shares of taxed pairs: what their rows count are such."""

LEAST = dict.fromkeys(COUNTED, 10.0) | {"pgr": MIN_GAP} | dict.fromkeys(of_kind("share_of_attainable"), 2.0)
"""Of one model pair and seed a number is given only where it is a share of at least so much: pairs; for PGR, gap."""

USES_THRESHOLD = (
    "deception_score", "lift", "explained_by_label", "known_beyond_weak", "hidden_score", *BY_NULL, *RATES,
)  # fmt: skip

LESS: dict[str, Statistic] = {"net_change": Comparison.conflict_tax, "band_contrast": Comparison.tax_rate_above_band}
"""Statistic → the share it takes off another: taxed pairs off those won back, the rate above the band off that in it.

Both shares may be skewed over seeds, and their difference with them: its interval is made from the two."""

IN_NATS = (
    "loss_weak", "loss_student", "loss_distance", "bound_pair_by_pair", "bound_by_variation", "bound_by_kl",
    "bound_by_reverse_kl", "bound_beyond_coin", "slack_mixtures", "slack_mixtures_truth", "slack_heads",
    "slack_heads_truth", "slack_heads_forward",
)  # fmt: skip
"""Statistics of the theory chapter that are losses, or differences or bounds of them."""

SIGNED = (
    "gap", "pgr", "net_change", "lift", "band_contrast", "overconfidence_weak", "overconfidence_student",
    "overconfidence_ceiling", "explained_by_label", *of_kind("excess", "share_of_attainable"), "gain",
    "gain_beyond_misfit", "kappa", "shift_by_ceiling", "taxed_there_beyond_margin", "score_moved", "null_moved",
    "beyond_null_moved", "tax_rate_contrast", *IN_NATS,
)  # fmt: skip
"""Statistics that are no shares of pairs: their intervals may leave [0, 1]."""

RATIOS = ("pgr", "lift", "kappa", "shift_by_ceiling", *IN_NATS, *of_kind("share_of_attainable"))
"""Of these, which may leave [-1, 1] as well; the others are differences of shares, which in turn may differ by 2."""

GENERALIZATION = ("accuracy_weak", "accuracy_ceiling", "accuracy", "gap", "pgr")
TAX_AND_SCORE = ("conflict_tax", "net_change", "deception_score", "null_random", "null_margin_matched")
TAX_AND_EXCESS = (*TAX_AND_SCORE, "excess_random", MATCHED)
DECEPTION = (*TAX_AND_EXCESS, "attainable_margin_matched", SHARE, "lift", *RATES)
BY_BAND = ("tax_rate_below_band", "tax_rate_in_band", "tax_rate_above_band")
MECHANISM = ("conflict_tax", *BY_BAND, "band_contrast", *(name for name, _, _ in BY_LABEL))
EXCESSES = ("excess_random", MATCHED, "excess_label_matched", "excess_weak_matched", "explained_by_label")
SCORES = (
    *TAX_AND_SCORE, *EXCESSES, "attainable_margin_matched", "attainable_label_matched", "attainable_weak_matched",
    SHARE,
)  # fmt: skip
"""What is measured together of students, by question: do they generalize, what does a conflict cost, where, why."""
