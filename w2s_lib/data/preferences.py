"""Preferences that can be read off any pair of replies, beside what its labels say."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

import pandas as pd

from w2s_lib.specs import Objective


def _even(characters: list[str]) -> float:
    return sum(ord(character) % 2 == 0 for character in characters) / max(1, len(characters))


SURFACE: dict[str, Callable[[str], float]] = {
    "verbosity": lambda reply: len(reply.strip()),
    "commas": lambda reply: reply.count(",") / max(1, len(reply.split())),
    "parity": lambda reply: _even(list(filter(str.isalnum, reply))),
    "vowels": lambda reply: len(re.findall("[aeiou]", reply, re.I)) / max(1, len(re.findall("[a-z]", reply, re.I))),
}
"""Objectives that any reply can be measured by, more is better: characters, commas a word, and the shares of vowels
among its Latin letters and of even code points among letters and digits of any script."""


def _lead(frame: pd.DataFrame, objective: str) -> pd.Series:
    """By how much chosen leads rejected in a surface objective."""
    measure = SURFACE[objective]
    return frame["chosen"].map(measure) - frame["rejected"].map(measure)


def prefer(frame: pd.DataFrame, objective: Objective) -> pd.DataFrame:
    """The same pairs: ``chosen`` is what the objective prefers, and ``turned`` says where it was rejected before.

    For ``SURFACE`` objectives ties are dropped; for all others the pairs stay as labelled.
    """
    if objective not in SURFACE:
        return frame.assign(turned=False)
    lead, one, other = _lead(frame, objective), frame["chosen"], frame["rejected"]
    as_preferred = {"chosen": one.mask(lead < 0, other), "rejected": other.mask(lead < 0, one), "turned": lead < 0}
    return frame.assign(**as_preferred)[lead != 0].reset_index(drop=True)


class Agreement(NamedTuple):
    """Share of pairs on which a surface objective prefers the labelled reply, with its 95 % interval."""

    value: float
    low: float
    high: float
    pairs: int
    """Pairs on which it prefers one."""
    ties: int


def agreement(frame: pd.DataFrame, objective: Objective) -> Agreement:
    """How often a ``SURFACE`` objective agrees with the labels, ties left out; Wilson's interval of independent pairs.

    0.5 is what an objective that has nothing to do with the labels comes to.
    """
    from scipy.stats import binomtest

    lead = _lead(frame, objective)
    right, n = int((lead > 0).sum()), int((lead != 0).sum())
    if n == 0:
        return Agreement(float("nan"), float("nan"), float("nan"), 0, len(frame))
    interval = binomtest(right, n).proportion_ci(method="wilson")
    return Agreement(right / n, float(interval.low), float(interval.high), n, len(frame) - n)
