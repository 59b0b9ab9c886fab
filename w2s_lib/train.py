"""Weak supervisor, strong ceiling and strong student are one function, for reward models and for policies."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd

from w2s_lib import pairs as pairs_module
from w2s_lib import policy, reward_model
from w2s_lib.pretrain import tokenizer as world_tokenizer
from w2s_lib.run import Pairs, Train, stream
from w2s_lib.score import as_scores, reply_log_probs, reward_gaps
from w2s_lib.supervision import training_pairs


def train(run: Train, base: Path, labels: Sequence[pd.DataFrame], folder: Path) -> None:
    """Fine-tune the model in ``base`` as the run says; leaves ``scores.parquet``, and a policy's ``replies.parquet``, in ``folder``.

    Scored are the test pairs and the weak-label half: what a supervisor's students learn from, and
    what a student made of its own training pairs.
    """
    frame = _scored(run.pairs)
    fitted = _reward_gaps if run.method == "reward_model" else _policy_margins
    as_scores(frame, fitted(run, base, training_pairs(run, labels), frame, folder)).to_parquet(folder / "scores.parquet")


def _reward_gaps(run: Train, base: Path, learned_from: pd.DataFrame, scored: pd.DataFrame, folder: Path) -> np.ndarray:
    tokenizer = world_tokenizer(run.pairs.world)
    model = reward_model.build(base, run.recipe, stream(run.pairs.world.seed, "head", run.replica))
    if run.recipe.epochs:
        reward_model.fit(model, tokenizer, learned_from, run, folder)
    return reward_gaps(model, tokenizer, scored)


def _scored(pairs: Pairs) -> pd.DataFrame:
    frame = pairs_module.load(pairs)
    return frame[frame["split"] != "ground_truth"]


@lru_cache(maxsize=4)
def _untuned(base: Path, pairs: Pairs) -> np.ndarray:
    """Log-probabilities of the scored replies under a pretrained model: the same for every run that begins with it."""
    return reply_log_probs(policy.build(base), world_tokenizer(pairs.world), _scored(pairs))[0]


def _policy_margins(run: Train, base: Path, learned_from: pd.DataFrame, scored: pd.DataFrame, folder: Path) -> np.ndarray:
    tokenizer = world_tokenizer(run.pairs.world)
    model = policy.build(base)
    if run.recipe.sft_epochs:
        policy.sft(model, tokenizer, learned_from, run, folder)
    if run.method == "simpo":
        start = np.zeros((len(scored), 2))  # it has no reference
    else:
        start = reply_log_probs(model, tokenizer, scored)[0] if run.recipe.sft_epochs else _untuned(base, run.pairs)
    policy.fit(model, tokenizer, learned_from, run, folder)
    seed = stream(run.pairs.world.seed, "replies", run.replica) % 2**32
    policy.replies(model, tokenizer, scored[scored["split"] == "test"], seed).to_parquet(folder / "replies.parquet")
    return policy.margins(model, start, tokenizer, scored, run)
