"""Replies of a real model before training and of policies after it, held by the rule for refusals and by a judge."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from w2s_lib.data.load import split
from w2s_lib.models import checkpoints
from w2s_lib.specs import EXAMPLES, Judgement
from w2s_lib.training import policy, shards
from w2s_lib.training.train import gaps_again, replied

BEFORE_TRAINING = "before"
"""Who writes before any training; policies go by their keys, and the data set's own replies by their columns."""


def judge(run: Judgement, tables: Sequence[pd.DataFrame], folder: Path) -> None:
    """Hold all replies, and the data set's own, against those before training; leaves ``replies.parquet`` in
    ``folder``: ``pair_id``, ``writer``, ``says`` (the rule), ``margin`` (by how much the judge rewards it more than the
    reply before, 0 where both are the same), and ``reply`` (empty, but of the examples).

    ``tables``: what each policy replied, as of ``policy.answers``.
    """
    first, test = run.policies[0], split(run.pairs, "test")
    model = shards.spread_model(checkpoints.language_model(first.model))
    tokenizer = checkpoints.tokenizer(first.model, run.pairs.max_tokens, run.pairs.truncation_side)
    before = replied(first, model, tokenizer, test)
    asked = test.set_index("pair_id").loc[before["pair_id"]].reset_index()
    own = {name: before.assign(reply=asked[name], says=asked[name].map(policy.says)) for name in ("chosen", "rejected")}
    writers = {
        BEFORE_TRAINING: before,
        **own,
        **{run.key: table for run, table in zip(run.policies, tables, strict=True)},
    }
    told = pd.concat([table.assign(writer=name) for name, table in writers.items()], ignore_index=True)
    as_text = lambda replies: (" " + replies.str.strip()).tolist()
    pairs = pd.concat([asked] * len(writers), ignore_index=True)
    pairs = pairs.assign(chosen=as_text(told["reply"]), rejected=as_text(before["reply"]) * len(writers))
    told["margin"] = gaps_again(run.judge, pairs, folder)
    told.loc[(pairs["chosen"] == pairs["rejected"]).to_numpy(), "margin"] = 0.0  # but for rounding
    shown = told["writer"].isin([BEFORE_TRAINING, first.key]) & told["pair_id"].isin(asked["pair_id"].head(EXAMPLES))
    told["reply"] = told["reply"].where(shown, "")
    told[["pair_id", "writer", "says", "margin", "reply"]].to_parquet(folder / "replies.parquet")
