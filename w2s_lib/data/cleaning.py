"""Which pairs of a data set can be used, and why the others cannot."""

from __future__ import annotations

import re
from functools import lru_cache
from operator import eq
from typing import NamedTuple

import pandas as pd

from w2s_lib.data.pairs import with_ids
from w2s_lib.data.reading import DataError
from w2s_lib.data.rows import ASSISTANT, HUMAN, LABELLED
from w2s_lib.data.sources import DATA, read_pairs, reading, source_name
from w2s_lib.errors import listed
from w2s_lib.specs import Source


class Cleaned(NamedTuple):
    """Pairs that can be used, and how many could not, by reason."""

    frame: pd.DataFrame
    dropped: dict[str, int]

    @property
    def report(self) -> pd.DataFrame:
        """What was read, dropped and kept, and how prompts repeat: columns ``what``, ``number``."""
        prompts = self.frame.groupby("prompt")["file"].agg(["size", "nunique"])
        counts = {
            "pairs read": len(self.frame) + sum(self.dropped.values()),
            **{f"dropped: {reason}": number for reason, number in self.dropped.items()},
            "pairs kept": len(self.frame),
            "their prompts": len(prompts),
            "prompts with several pairs": int((prompts["size"] > 1).sum()),
            "prompts in several files": int((prompts["nunique"] > 1).sum()),
        }
        return pd.DataFrame(list(counts.items()), columns=["what", "number"])


def _beginnings(texts: pd.Series, words: int) -> list[list[str]]:
    """What is left of each text after so many words.

    Where tokens do not reach over spaces, a text has at least as many tokens as words: what is the same for so many
    words is the same for so many tokens of any such tokenizer.
    """
    # Space at the end is no word; left there, the pattern would look through it again from each of its characters.
    return [re.findall(r"\s*\S+", text.rstrip())[:words] for text in texts]


def _said(frame: pd.DataFrame) -> pd.DataFrame:
    """What each pair says, whichever of its replies is preferred."""
    first = frame["chosen"] < frame["rejected"]
    one, other = (frame[side].where(first, frame[rival]) for side, rival in (LABELLED, LABELLED[::-1]))
    return pd.DataFrame({"prompt": frame["prompt"], "one": one, "other": other})


def clean(frame: pd.DataFrame, max_tokens: int | None = None, single_turn: bool = False) -> Cleaned:
    """Those of ``read_pairs`` that can be used: reasons to drop one are counted in this order, on what is left by then.

    ``more than one turn``, where ``single_turn``; ``empty reply``; ``no shared prompt``; ``identical replies``, but for
    space around them; ``labelled both ways``: the same prompt and replies, once one preferred and once the other, of
    which none is kept; ``repeated`` in its file or ``in another file``, of which one is kept; and where ``max_tokens``
    is given, pairs with the same texts when cut after so many words (see ``_beginnings``).
    """
    dropped: dict[str, int] = {}

    def drop(reason: str, where: pd.Series) -> None:
        nonlocal frame
        dropped[reason], frame = int(where.sum()), frame[~where]

    if single_turn:
        turns = [(frame["prompt"] + frame[side]).str.count(HUMAN) for side in LABELLED]
        drop("more than one turn", (turns[0] > 1) & (turns[1] > 1))  # one alone is a reply that runs on
    drop("empty reply", (frame["chosen"].str.strip() == "") | (frame["rejected"].str.strip() == ""))
    drop("no shared prompt", frame["prompt"].str.strip() == "")
    drop("identical replies", frame["chosen"].str.strip() == frame["rejected"].str.strip())
    preferred = _said(frame).assign(chosen=frame["chosen"]).groupby(["prompt", "one", "other"])["chosen"]
    drop("labelled both ways", preferred.transform("nunique") > 1)
    drop("repeated", _said(frame).assign(file=frame["file"]).duplicated())
    drop("repeated in another file", _said(frame).duplicated())
    if max_tokens is not None:
        cut = (_beginnings(frame["prompt"] + frame[side], max_tokens) for side in LABELLED)
        same = pd.Series(map(eq, *cut), index=frame.index, dtype=bool)
        drop(f"identical for {max_tokens} words", same)
    return Cleaned(frame.reset_index(drop=True), dropped)


@lru_cache(maxsize=8)
def cleaned(source: Source, max_tokens: int | None = None) -> Cleaned:
    """The pairs of a data set that can be used, with what was dropped; see ``clean``."""
    return clean(
        read_pairs(source), max_tokens=max_tokens, single_turn=source.name in DATA and DATA[source.name].single_turn
    )


@lru_cache(maxsize=8)
def usable_pairs(source: Source, max_tokens: int | None = None) -> pd.DataFrame:
    """The pairs of a data set that can be used: ``pair_id``, ``prompt``, ``chosen``, ``rejected``, in order of ids.

    Raises:
        DataError: none can.
    """
    found = cleaned(source, max_tokens)
    if found.frame.empty:
        reasons = [f"{reason} {n}" for reason, n in found.dropped.items() if n] or ["the files hold none"]
        says = [f"no pair can be used: {', '.join(reasons)}"]
        if found.dropped["no shared prompt"]:
            says.append(f"a prompt is what both texts share up to {ASSISTANT!r}, or a column 'prompt'")
        if unread := reading(source).unread:
            says.append(f"columns that are not read: {listed(unread)}")
        raise DataError(source_name(source), "; ".join(says))
    return with_ids(found.frame.drop(columns="file")).sort_values("pair_id", ignore_index=True)
