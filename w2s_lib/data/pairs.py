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

COLUMNS = (
    "pair_id",
    "prompt",
    "chosen",
    "rejected",
    "objective",
    "split",
    "kind",
    "cluster",
    "hazardous",
    "opening",
    "ending",
)


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
        text = frame[column].map(lambda x: isinstance(x, str) and bool(x.strip()))
        if not text.all():
            raise PairsError(
                f"pairs: {column} of row {frame.index[~text][0]} is empty or not text; every field needs text"
            )
    same = frame["chosen"] == frame["rejected"]
    if same.any():
        raise PairsError(f"pairs: chosen and rejected of row {frame.index[same][0]} are identical; they must differ")
    ids = [pair_id(*row) for row in zip(frame["prompt"], frame["chosen"], frame["rejected"])]
    out = frame.assign(pair_id=ids)
    twice = out["pair_id"].duplicated()
    if twice.any():
        raise PairsError(
            f"pairs: row {frame.index[twice][0]} repeats pair {out.loc[twice, 'pair_id'].iloc[0]}; no pair may occur twice"
        )
    return out[["pair_id", *frame.columns]]


def check_disjoint(frame: pd.DataFrame) -> pd.DataFrame:
    """The same frame, if no pair, prompt or cluster occurs in two splits.

    Raises:
        PairsError: the splits leak into each other.
    """
    for column in ("pair_id", "prompt", "cluster"):
        splits = frame.groupby(column)["split"].nunique()
        if (splits > 1).any():
            raise PairsError(
                f"pairs: {column} {splits.index[splits > 1][0]!r} occurs in more than one split; splits must be disjoint"
            )
    return frame
