"""Scores: model × pairs → one row a pair, whatever the batch size."""

from __future__ import annotations

from collections.abc import Iterator
from weakref import WeakKeyDictionary

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from w2s_lib.world import dialogue

_ENCODED: WeakKeyDictionary[PreTrainedTokenizerBase, dict[str, list[int]]] = WeakKeyDictionary()
"""Token ids by text: a worker trains dozens of runs on the same pairs, each too short to encode them again."""


def encode(tokenizer: PreTrainedTokenizerBase, pairs: pd.DataFrame) -> tuple[list[list[int]], list[list[int]]]:
    """Token ids of prompt + chosen and prompt + rejected, one list a pair, each ending with the end token."""
    texts = [dialogue(p, r) for column in ("chosen", "rejected") for p, r in zip(pairs["prompt"], pairs[column])]
    known = _ENCODED.setdefault(tokenizer, {})
    new = [text for text in dict.fromkeys(texts) if text not in known]
    if new:
        known.update(zip(new, tokenizer(new, add_special_tokens=False)["input_ids"]))
    ids = [known[text] for text in texts]
    return ids[: len(pairs)], ids[len(pairs) :]


def batches(sequences: list[list[int]], batch_size: int) -> Iterator[NDArray[np.intp]]:
    """Indices of the sequences, up to ``batch_size`` of one length at a time: such rows need no padding, and no mask."""
    lengths = np.array([len(s) for s in sequences], dtype=int)
    for length in np.unique(lengths):
        index = np.flatnonzero(lengths == length)
        yield from np.split(index, range(batch_size, len(index), batch_size))


@torch.no_grad()
def rewards(model: PreTrainedModel, sequences: list[list[int]], batch_size: int = 256) -> np.ndarray:
    """Reward of each sequence, read at its last token; shape (len(sequences),), float64."""
    out = np.empty(len(sequences))
    for index in batches(sequences, batch_size):
        ids = torch.tensor([sequences[i] for i in index], device=model.device)
        out[index] = model(input_ids=ids, use_cache=False).logits.squeeze(-1).double().cpu().numpy()
    return out


def score(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, pairs: pd.DataFrame, batch_size: int = 256) -> pd.DataFrame:
    """``pair_id``, ``split``, ``margin`` = r(chosen) − r(rejected), ``p_true`` = sigmoid(margin): p_m(i) of the paper."""
    model.eval()
    chosen, rejected = encode(tokenizer, pairs)
    gap = np.subtract(*np.split(rewards(model, chosen + rejected, batch_size), 2))
    return pd.DataFrame({"pair_id": pairs["pair_id"], "split": pairs["split"], "margin": gap, "p_true": 1 / (1 + np.exp(-gap))})
