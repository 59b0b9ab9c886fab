"""Which tokens of its replies a policy learns from (selective preference optimization, K. Yang et al. 2024).

A small policy, the oracle, says of each token how much more probable it has become by training.  Of the preferred reply
those tokens count that have gained most, of the other one those that have gained least, or lost most.
"""

from __future__ import annotations

from collections.abc import Sequence
from os.path import commonprefix

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from w2s_lib.data.pairs import PairsError
from w2s_lib.specs import Selection, Train, stream

SIDES = ("chosen", "rejected")

Gains = Sequence[NDArray[np.float64]]
"""One array a reply, one number a token: log-probability after training minus before, in nats."""

Mask = NDArray[np.bool_]


def gained(before: Gains, after: Gains, replies: Sequence[list[int]], pairs: pd.DataFrame) -> pd.DataFrame:
    """What each token of the replies has gained: ``pair_id``, ``split``, ``chosen`` and ``rejected`` (lists, in nats),
    and ``differ_at``, the place of the first token in which the two replies differ.

    ``before``, ``after`` and ``replies``, their token ids, are as of ``scores.token_log_probs``.
    """
    n = len(pairs)
    gains = [b - a for a, b in zip(before, after, strict=True)]
    return pd.DataFrame({
        "pair_id": pairs["pair_id"].to_numpy(),
        "split": pairs["split"].to_numpy(),
        "chosen": gains[:n],
        "rejected": gains[n:],
        "differ_at": [len(commonprefix([c, r])) for c, r in zip(replies[:n], replies[n:])],
    })  # fmt: skip


def count_of_share(tokens: int, share: float) -> int:
    """How many of so many tokens count: the share, rounded down, and one at least.

    >>> [how_many(n, 0.3) for n in (0, 1, 3, 6, 7, 10)]
    [0, 1, 1, 1, 2, 3]
    """
    return min(tokens, max(1, int(share * tokens + 1e-9)))  # 0.29 times 100 is a little less than 29


def outermost(gains: NDArray[np.float64], share: float, most: bool) -> Mask:
    """The share of the tokens that have gained ``most``, or least; of equal ones the earlier, shape (tokens,)."""
    found = np.zeros(len(gains), dtype=bool)
    found[np.argsort(-gains if most else gains, kind="stable")[: count_of_share(len(gains), share)]] = True
    return found


def by_oracle(gains: tuple[NDArray[np.float64], NDArray[np.float64]], share: float, label: float) -> tuple[Mask, Mask]:
    """The tokens of chosen and rejected that count under this label; all of them where it takes no side.

    Labels turn the pair around: below 1/2, rejected is the reply that is preferred.
    """
    if label == 0.5:
        return np.ones(len(gains[0]), dtype=bool), np.ones(len(gains[1]), dtype=bool)
    return outermost(gains[0], share, most=label > 0.5), outermost(gains[1], share, most=label < 0.5)


def by_lot(tokens: tuple[int, int], share: float, label: float, seed: int, pair_id: str) -> tuple[Mask, Mask]:
    """As many tokens as an oracle would choose, drawn by lot: for a pair of a study seed always the same."""
    rng = np.random.default_rng(stream(seed, "tokens", pair_id))
    found = tuple(rng.permutation(n) < count_of_share(n, share) for n in tokens)
    return found if label != 0.5 else tuple(np.ones(n, dtype=bool) for n in tokens)


def selected(
    selection: Selection, seed: int, pair_ids: Sequence[str], labels: Sequence[float], gains: pd.DataFrame
) -> list[tuple[Mask, Mask]]:
    """The tokens of chosen and of rejected that count, pair by pair.

    ``gains``, as of ``gained``, is in the order of the pairs; where a lot is drawn, only its lengths matter.
    """
    told = zip(pair_ids, labels, gains["chosen"], gains["rejected"])
    if selection.oracle is None:
        return [by_lot((len(c), len(r)), selection.share, label, seed, name) for name, label, c, r in told]
    return [by_oracle((np.asarray(c), np.asarray(r)), selection.share, label) for _, label, c, r in told]


def masks(run: Train, frame: pd.DataFrame, lengths: NDArray[np.int_], told: pd.DataFrame | None) -> list[Mask]:
    """Which tokens of its replies a run with a selection learns from: one mask a reply, all chosen ones first.

    ``frame`` as of ``training_pairs``, ``lengths`` of its replies in tokens, shape (n, 2); ``told`` is the oracle's
    table, None where a lot is drawn.

    Raises:
        PairsError: the oracle splits replies into other tokens.
    """
    whole = [tuple(np.ones(n, dtype=bool) for n in both) for both in lengths]
    weakly, gains = frame["weakly_labelled"].to_numpy(dtype=bool), pd.DataFrame(whole, columns=list(SIDES))
    if told is not None:
        its = told.set_index("pair_id").loc[frame["pair_id"][weakly], list(SIDES)]
        theirs = its.map(len).to_numpy()
        if len(differ := np.flatnonzero((theirs != lengths[weakly]).any(axis=1))):
            raise PairsError(
                f"token selection: the oracle reads {theirs[differ[0]].max()} tokens where the student reads "
                f"{lengths[weakly][differ[0]].max()}; use models with one tokenizer"
            )
        gains = its.reset_index(drop=True)
    else:
        gains = gains[weakly].reset_index(drop=True)
    ids, labels = frame["pair_id"][weakly].tolist(), frame["label"][weakly].tolist()
    chosen = iter(selected(run.selection, run.pairs.seed, ids, labels, gains))
    both = [next(chosen) if weak else all_of_it for weak, all_of_it in zip(weakly, whole)]
    return [its[side] for side in (0, 1) for its in both]
