"""Scores: model × pairs → one row a pair, whatever the batch size."""

from __future__ import annotations

from weakref import WeakKeyDictionary

import numpy as np
import pandas as pd
import torch
from torch.nn.utils.rnn import pad_sequence
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


@torch.no_grad()
def rewards(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, sequences: list[list[int]], batch_size: int = 256) -> np.ndarray:
    """Reward of each sequence, read at its last real token; shape (len(sequences),), float64.

    Sequences are sorted by length, so that batches carry little padding; padding changes a pair's
    probability by less than 1e-5.
    """
    order = np.argsort([len(s) for s in sequences], kind="stable")
    out = np.empty(len(sequences))
    for start in range(0, len(order), batch_size):
        index = order[start : start + batch_size]
        rows = [torch.tensor(sequences[i]) for i in index]
        ids = pad_sequence(rows, batch_first=True, padding_value=tokenizer.pad_token_id)  # tokenizer.pad takes half as long as the model
        mask = torch.arange(ids.shape[1]) < torch.tensor([len(row) for row in rows])[:, None]
        logits = model(input_ids=ids.to(model.device), attention_mask=mask.long().to(model.device)).logits
        out[index] = logits.squeeze(-1).double().cpu().numpy()
    return out


def score(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, pairs: pd.DataFrame, batch_size: int = 256) -> pd.DataFrame:
    """``pair_id``, ``split``, ``margin`` = r(chosen) − r(rejected), ``p_true`` = sigmoid(margin): p_m(i) of the paper."""
    model.eval()
    chosen, rejected = encode(tokenizer, pairs)
    gap = np.subtract(*np.split(rewards(model, tokenizer, chosen + rejected, batch_size), 2))
    return pd.DataFrame({"pair_id": pairs["pair_id"], "split": pairs["split"], "margin": gap, "p_true": 1 / (1 + np.exp(-gap))})
