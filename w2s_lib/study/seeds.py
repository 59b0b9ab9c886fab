"""Which study seeds are for what: no seed on which anything was chosen is among those that are reported."""

from __future__ import annotations

from random import Random

from w2s_lib.errors import ParameterError
from w2s_lib.specs import stream

SEEDS = {
    "earlier": range(0, 14),
    "reported": range(21, 24),
    "recipes": range(100, 300),
    "pilots": range(320, 400),
    "record": range(400, 1_000_000),
    "challenge": range(1_000_000, 2**32),
}
"""Purpose → seeds of the edition ``world``.

* earlier: were reported before the ladder was as it is;
* reported: a build computes them;
* recipes: sizes, rates and recipes were chosen on them;
* pilots: statistics, nulls and margins were chosen on them, and what a seed's spread is made of;
* record: those that come with the project, computed once, and those that readers add;
* challenge: the sealed challenge's second world draws a few of them by its secret.
"""

SPREAD = range(330, 334)
"""Pilots that say what a seed's spread is made of."""

PLANNED = range(400, 432)
"""Seeds of the record that were planned before the first was trained."""

LOOKED = (5, 8, 32)
"""After how many of them the record was looked at."""

PLANNED_LATER = range(440, 452)
"""Seeds of the record of later chapters, planned before the first was trained, to be looked at once."""


def of_record(text: str) -> list[int]:
    """Seeds of the record, as they are given: ``"400-431"``, ``"400,405"``, or both.

    >>> of_record("400-402,410")
    [400, 401, 402, 410]

    Raises:
        ParameterError: it is no such list, names a seed twice, or one of another purpose.
    """
    try:
        parts = [[int(end) for end in part.split("-")] for part in text.split(",")]
        seeds = [seed for part in parts for seed in range(part[0], part[-1] + 1)]
    except ValueError:
        seeds, parts = [], []
    if not seeds or any(len(part) > 2 or part[0] > part[-1] for part in parts):
        raise ParameterError("seeds", text, "must be seeds or ranges of seeds, such as 400-431 or 400,402")
    if len(set(seeds)) < len(seeds):
        raise ParameterError("seeds", text, "every seed may occur once")
    for seed in seeds:
        if seed not in SEEDS["record"]:
            raise ParameterError("seeds", text, f"{seed} is none of the record's; they begin at {SEEDS['record'][0]}")
    return seeds


def of_challenge(secret: str, n: int) -> tuple[int, ...]:
    """So many seeds of the sealed challenge's second world; who does not know the secret does not know them.

    >>> len(set(of_challenge("a", 3)) | set(of_challenge("b", 3)))
    6
    """
    return tuple(Random(stream(secret, "challenge", "seeds")).sample(SEEDS["challenge"], n))
