"""Scores: model × pairs → one row a pair, whatever the batch size."""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from w2s_lib.world import dialogue


def encode(tokenizer: PreTrainedTokenizerBase, pairs: pd.DataFrame) -> tuple[list[list[int]], list[list[int]]]:
    """Token ids of prompt + chosen and prompt + rejected, one list a pair, each ending with the end token."""
    texts = [[dialogue(p, r) for p, r in zip(pairs["prompt"], pairs[column])] for column in ("chosen", "rejected")]
    chosen, rejected = (tokenizer(t, add_special_tokens=False)["input_ids"] for t in texts)
    return chosen, rejected


@torch.no_grad()
def rewards(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, sequences: list[list[int]], batch_size: int = 256) -> np.ndarray:
    """Reward of each sequence, read at its last real token; shape (len(sequences),), float64.

    Sequences are sorted by length, so that batches carry little padding; padding changes a score by
    less than 1e-5.
    """
    order = np.argsort([len(s) for s in sequences], kind="stable")
    out = np.empty(len(sequences))
    for start in range(0, len(order), batch_size):
        index = order[start : start + batch_size]
        batch = tokenizer.pad({"input_ids": [sequences[i] for i in index]}, return_tensors="pt").to(model.device)
        out[index] = model(**batch).logits.squeeze(-1).double().cpu().numpy()
    return out


def score(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, pairs: pd.DataFrame, batch_size: int = 256) -> pd.DataFrame:
    """``pair_id``, ``split``, ``margin`` = r(chosen) − r(rejected), ``p_true`` = sigmoid(margin): p_m(i) of the paper."""
    model.eval()
    chosen, rejected = encode(tokenizer, pairs)
    gap = np.subtract(*np.split(rewards(model, tokenizer, chosen + rejected, batch_size), 2))
    return pd.DataFrame({"pair_id": pairs["pair_id"], "split": pairs["split"], "margin": gap, "p_true": 1 / (1 + np.exp(-gap))})
