"""The one data type: a frame of preference pairs with stable ids, in leak-free splits.

A pair is a row with ``prompt``, ``chosen`` (the truly better response), ``rejected``, ``split``,
``objective`` and ``cluster``; its ``pair_id`` is a hash of what it says, so it is the same in every
run, file and session, and the same if chosen and rejected were swapped.

>>> import pandas as pd
>>> from w2s_lib.data.pairs import with_ids
>>> with_ids(pd.DataFrame({"prompt": ["p"], "chosen": ["a"], "rejected": ["b"]}))["pair_id"][0]
'292f6f51c4df'
"""

from __future__ import annotations

import hashlib

import pandas as pd

from w2s_lib.errors import OneLineError


class PairsError(OneLineError, ValueError):
    """Pairs that cannot be used, in one line."""


def pair_id(prompt: str, first: str, second: str) -> str:
    """12 hexadecimal digits that name a pair, whichever response stands first."""
    return hashlib.sha256("\x1f".join([prompt, *sorted((first, second))]).encode()).hexdigest()[:12]


def with_ids(frame: pd.DataFrame) -> pd.DataFrame:
    """The same pairs with a ``pair_id`` column in front.

    Raises:
        PairsError: no rows, an empty or non-text field, equal responses, or a pair that occurs twice.
    """
    if frame.empty:
        raise PairsError("pairs: none given; at least one is needed")
    for column in ("prompt", "chosen", "rejected"):
        empty = frame.index[~frame[column].map(lambda x: isinstance(x, str) and bool(x.strip()))]
        if len(empty):
            raise PairsError(f"pairs: {column} of row {empty[0]} is empty or not text; every field needs text")
    same = frame.index[frame["chosen"] == frame["rejected"]]
    if len(same):
        raise PairsError(f"pairs: chosen and rejected of row {same[0]} are identical; they must differ")
    ids = pd.Series(map(pair_id, frame["prompt"], frame["chosen"], frame["rejected"]), index=frame.index)
    twice = frame.index[ids.duplicated()]
    if len(twice):
        raise PairsError(f"pairs: row {twice[0]} repeats pair {ids[twice[0]]}; no pair may occur twice")
    return frame.assign(pair_id=ids)[["pair_id", *frame.columns]]


def check_disjoint(frame: pd.DataFrame) -> pd.DataFrame:
    """The same frame, if no pair, prompt or cluster occurs in two splits.

    Raises:
        PairsError: the splits leak into each other.
    """
    for column in ("pair_id", "prompt", "cluster"):
        splits = frame.groupby(column)["split"].nunique()
        leaks = splits.index[splits > 1]
        if len(leaks):
            raise PairsError(f"pairs: {column} {leaks[0]!r} occurs in more than one split; splits must be disjoint")
    return frame
