"""Frozen features: what every layer of a pretrained model makes of every pair, read once for any number of runs.

A linear head sees a pair only through the difference of its two texts' features, so that the difference is what is kept.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from os.path import commonprefix
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from w2s_lib import checkpoints, data
from w2s_lib.run import Features
from w2s_lib.score import encode, openings

TOKENS_A_BATCH = 2048


class Row(NamedTuple):
    """One pair as a model reads it: what its texts share once, then the rest of chosen, then the rest of rejected."""

    prompt: int
    """Tokens before the replies."""
    shared: int
    chosen: list[int]
    rejected: list[int]

    @property
    def ids(self) -> list[int]:
        return self.chosen + self.rejected[self.shared :]

    def replies(self) -> tuple[list[int], list[int]]:
        """Where in ``ids`` the tokens of the two replies stand, in order."""
        first = list(range(self.prompt, len(self.chosen)))
        return first, [*range(self.prompt, self.shared), *range(len(self.chosen), len(self.ids))]


def rows(tokenizer: PreTrainedTokenizerBase, pairs: pd.DataFrame) -> list[Row]:
    """The pairs, in columns as of ``pairs.load``, as rows."""
    out = []
    for prompt, chosen, rejected in zip(openings(tokenizer, pairs), *encode(tokenizer, pairs)):
        shared = len(commonprefix([chosen, rejected]))
        out.append(Row(min(len(prompt), shared, len(chosen) - 1, len(rejected) - 1), shared, chosen, rejected))
    return out


def _batches(rows: Sequence[Row]) -> Iterator[list[int]]:
    """Indices of rows of about one length, up to ``TOKENS_A_BATCH`` tokens with padding."""
    batch: list[int] = []
    for i in np.argsort([len(row.ids) for row in rows], kind="stable"):
        if batch and (len(batch) + 1) * len(rows[i].ids) > TOKENS_A_BATCH:
            yield batch
            batch = []
        batch.append(int(i))
    yield batch


def _inputs(batch: Sequence[Row], dtype: torch.dtype) -> dict[str, torch.Tensor]:
    """Ids, positions and mask: a token sees what stands before it in its own text."""
    length = max(len(row.ids) for row in batch)
    ids = torch.zeros(len(batch), length, dtype=torch.long)
    positions, text = torch.zeros_like(ids), torch.full_like(ids, 3)
    for k, row in enumerate(batch):
        n, whole = len(row.chosen), len(row.ids)
        ids[k, :whole] = torch.tensor(row.ids)
        positions[k, :whole] = torch.tensor([*range(n), *range(row.shared, len(row.rejected))])
        text[k, : row.shared], text[k, row.shared : n], text[k, n:whole] = 0, 1, 2
    causal = torch.ones(length, length, dtype=torch.bool).tril()
    sees = causal & ((text[:, :, None] == text[:, None, :]) | (text[:, None, :] == 0))
    mask = torch.zeros(len(batch), 1, length, length, dtype=dtype).masked_fill(~sees[:, None], torch.finfo(dtype).min)
    return {"input_ids": ids, "position_ids": positions, "attention_mask": mask}


@torch.inference_mode()
def differences(model: PreTrainedModel, rows: Sequence[Row]) -> dict[str, torch.Tensor]:
    """Features of chosen − rejected, by ``layer.pooling`` (0 is the embeddings), each of shape (pairs, hidden), fp16.

    ``last`` is read at a text's last token, ``mean`` over its reply's tokens.
    """
    depth, width = model.config.num_hidden_layers, model.config.hidden_size
    out = {
        f"{layer}.{pooling}": torch.empty(len(rows), width, dtype=torch.float16)
        for layer in range(depth + 1)
        for pooling in ("last", "mean")
    }
    for index in _batches(rows):
        batch = [rows[i] for i in index]
        states = model(**_inputs(batch, model.dtype), output_hidden_states=True, use_cache=False).hidden_states
        for layer, state in enumerate(states):
            for k, (i, row) in enumerate(zip(index, batch)):
                chosen, rejected = (state[k, where].float() for where in row.replies())
                out[f"{layer}.last"][i] = (chosen[-1] - rejected[-1]).half()
                out[f"{layer}.mean"][i] = (chosen.mean(0) - rejected.mean(0)).half()
    return out


_backbone = lru_cache(maxsize=1)(checkpoints.backbone)
"""A worker loads a model once for all its shards."""


def extract(run: Features, folder: Path) -> dict[str, object]:
    """Read one shard of the pairs; leaves ``features.safetensors`` and ``pairs.parquet`` (its pair ids) in ``folder``.

    Returns notes for the record: ``pairs``, ``tokens`` (what the texts share counted once).
    """
    pairs = data.pool(run.source, run.max_tokens).iloc[run.shard :: run.shards]
    pairs = pairs.assign(opening=pairs["prompt"], ending="")
    packed = rows(checkpoints.tokenizer(run.checkpoint, run.max_tokens), pairs)
    save_file(differences(_backbone(run.checkpoint), packed), folder / "features.safetensors")
    pairs[["pair_id"]].to_parquet(folder / "pairs.parquet")
    return {"pairs": len(pairs), "tokens": sum(len(row.ids) for row in packed), **checkpoints.commit(run.checkpoint)}


@lru_cache(maxsize=8)
def read(shards: tuple[Path, ...], layer: int, pooling: str) -> tuple[np.ndarray, pd.Series]:
    """One layer's differences, shape (pairs, hidden), float32, from the folders of all shards, and each pair's row in it by ``pair_id``."""
    found, ids = [], []
    for folder in shards:
        with safe_open(folder / "features.safetensors", "pt") as file:
            found.append(file.get_tensor(f"{layer}.{pooling}").float().numpy())
        ids += pd.read_parquet(folder / "pairs.parquet")["pair_id"].tolist()
    return np.concatenate(found), pd.Series(range(len(ids)), index=ids)


def oriented(differences: np.ndarray, row_of: pd.Series, pairs: pd.DataFrame) -> np.ndarray:
    """The differences of these pairs, in their order; shape (len(pairs), hidden).

    A derived preference may turn a pair around, and its difference with it; ``pair_id`` stays the same.
    """
    return differences[row_of.loc[pairs["pair_id"]].to_numpy()] * np.where(pairs["turned"], -1, 1)[:, None]
