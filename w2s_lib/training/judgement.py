"""Replies of a real model before training and of policies after it, held by the rule for refusals and by a judge."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from operator import eq
from pathlib import Path

import numpy as np
import pandas as pd

from w2s_lib.data.load import split
from w2s_lib.models import checkpoints
from w2s_lib.models.scores import encode
from w2s_lib.specs import EXAMPLES, Judgement
from w2s_lib.training import policy, shards
from w2s_lib.training.train import gaps_again, replied

BEFORE_TRAINING = "before"
"""Who writes before any training; policies go by their keys, and the data set's own replies by their columns."""


COPIED = 8
"""A reply that has so many words in a row of a text of the data set is not kept to be read."""


def copies(reply: str, texts: Sequence[str]) -> bool:
    """Whether a reply has ``COPIED`` words in a row of any of these texts."""
    runs = lambda words: {tuple(words[i : i + COPIED]) for i in range(len(words) - COPIED + 1)}
    return any(runs(reply.split()) & runs(text.split()) for text in texts)


def judge(run: Judgement, tables: Sequence[pd.DataFrame], folder: Path) -> None:
    """Hold all replies, and the data set's own, against those before training; leaves ``replies.parquet`` in
    ``folder``: ``pair_id``, ``writer``, ``says`` (the rule), ``margin`` (by how much the judge rewards it more than the
    reply before, 0 where it reads the same), and ``reply`` (empty, but of the examples).

    ``tables``: what each policy replied, as of ``policy.answers``.  The data set's replies are cut as those are.
    """
    first, test = run.policies[0], split(run.pairs, "test")
    words = lambda model: checkpoints.tokenizer(model, run.pairs.max_tokens, run.pairs.truncation_side)
    model = shards.spread_model(checkpoints.language_model(first.model))
    before = replied(first, model, words(run.model), test)
    del model  # the judge needs the room
    asked = test.set_index("pair_id").loc[before["pair_id"]].reset_index()
    writers = {BEFORE_TRAINING: before}
    for name in ("chosen", "rejected"):
        own = asked[name].map(partial(policy.begin_of, words(run.model)))
        writers[name] = before.assign(reply=own, says=own.map(policy.says))
    writers |= {its.key: table for its, table in zip(run.policies, tables, strict=True)}
    told = pd.concat([table.assign(writer=name) for name, table in writers.items()], ignore_index=True)
    as_text = lambda replies: (" " + replies.str.strip()).tolist()
    pairs = pd.concat([asked] * len(writers), ignore_index=True)
    pairs = pairs.assign(chosen=as_text(told["reply"]), rejected=as_text(before["reply"]) * len(writers))
    told["margin"] = gaps_again(run.judge, pairs, folder)
    told.loc[list(map(eq, *encode(words(run.reader), pairs))), "margin"] = 0.0  # but for rounding
    shown = told["writer"].isin([BEFORE_TRAINING, first.key]) & told["pair_id"].isin(asked["pair_id"].head(EXAMPLES))
    texts = asked[["prompt", "chosen", "rejected"]].to_numpy().tolist() * len(writers)
    shown &= np.array([not copies(reply, its) for reply, its in zip(told["reply"], texts)])
    told["reply"] = told["reply"].where(shown, "")
    told[["pair_id", "writer", "says", "margin", "reply"]].to_parquet(folder / "replies.parquet")
