"""Frozen features: what every layer of a pretrained model makes of every pair, read once for any number of runs.

A linear head sees a pair only through the difference of its two texts' features: the difference is what is kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from os.path import commonprefix
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from transformers import AutoModel, AutoTokenizer, PreTrainedModel

from w2s_lib import progress
from w2s_lib.data.cleaning import usable_pairs
from w2s_lib.errors import OneLineError
from w2s_lib.models import checkpoints, packing
from w2s_lib.models.scores import encode, openings
from w2s_lib.specs import Checkpoint, Features, Layer


class FeaturesError(OneLineError):
    """A layer that no head can read."""


def begins(prompts: Sequence[list[int]], chosen: Sequence[list[int]], rejected: Sequence[list[int]]) -> list[int]:
    """Where each pair's replies begin: behind the prompt, not after texts differ, before the last token."""
    texts = zip(prompts, chosen, rejected)
    return [min(len(p), len(commonprefix([c, r])), len(c) - 1, len(r) - 1) for p, c, r in texts]


@torch.inference_mode()
def feature_differences(
    model: PreTrainedModel, chosen: Sequence[list[int]], rejected: Sequence[list[int]], begin: Sequence[int]
) -> dict[str, torch.Tensor]:
    """Features of chosen − rejected, by ``layer.pooling`` (0 is the embeddings), each of shape (pairs, hidden), fp16.

    ``last`` is read at a text's last token, ``mean`` over its reply's tokens, from ``begin`` (see ``begins``) on.
    """
    packing.share_prefixes(model)
    out: dict[str, torch.Tensor] = {}  # families have layers of several widths
    ids, mask = packing.padded(chosen, rejected)
    parts = list(packing.minibatches(mask, packing.budget(model)))
    for index in progress.tell_steps(parts, len(parts), "reading"):
        some, real = packing.part(ids, mask, index)
        replied = real.bool() & (torch.arange(some.shape[1]) >= torch.tensor(begin)[index].repeat(2)[:, None])
        some, real, replied = (rows.to(model.device) for rows in (some, real, replied))
        text, length = replied.nonzero()[:, 0], replied.sum(dim=1)
        for layer, state in enumerate(packing.layers_at(model, some, real, replied)):
            last = state[length.cumsum(dim=0) - 1].float()
            mean = torch.zeros_like(last).index_add(0, text, state.float()) / length[:, None]
            for pooling, found in (("last", last), ("mean", mean)):
                name = f"{layer}.{pooling}"
                if name not in out:
                    out[name] = torch.empty(len(chosen), state.shape[1], dtype=torch.float16)
                out[name][index] = torch.sub(*found.chunk(2)).half().cpu()
    return out


_kept: dict[Checkpoint, PreTrainedModel] = {}
"""The model that this process has loaded, once for all the shards of its checkpoint that it reads one after another."""


def keep(checkpoint: Checkpoint | None) -> None:
    """Let go of the model that was kept, unless it is this checkpoint's: it takes memory that another run needs."""
    for other in _kept.keys() - {checkpoint}:
        del _kept[other]


def _backbone(checkpoint: Checkpoint) -> PreTrainedModel:
    keep(checkpoint)
    if checkpoint not in _kept:
        _kept[checkpoint] = checkpoints.backbone(checkpoint)
    return _kept[checkpoint]


def extract(run: Features, folder: Path) -> dict[str, object]:
    """Read one shard of the pairs; leaves ``features.safetensors`` and ``pairs.parquet`` (its pair ids) in ``folder``.

    Returns notes for the record: ``pairs``, ``tokens`` (what the texts share counted once).
    """
    pairs = usable_pairs(run.source, run.max_tokens).iloc[run.shard :: run.shards]
    pairs = pairs.assign(opening=pairs["prompt"], ending="")
    tokenizer = checkpoints.tokenizer(run.checkpoint, run.max_tokens)
    chosen, rejected = encode(tokenizer, pairs)
    found = feature_differences(
        _backbone(run.checkpoint), chosen, rejected, begins(openings(tokenizer, pairs), chosen, rejected)
    )
    save_file(found, folder / "features.safetensors")
    pairs[["pair_id"]].to_parquet(folder / "pairs.parquet")
    tokens = sum(len(c) + len(r) - len(commonprefix([c, r])) for c, r in zip(chosen, rejected))
    return {"pairs": len(pairs), "tokens": tokens}


@lru_cache(maxsize=8)
def read_layer(shards: tuple[Path, ...], model: Layer) -> tuple[np.ndarray, pd.Series]:
    """One layer's differences, shape (pairs, hidden), float32, of all shards, and each pair's row in it by ``pair_id``.

    A pair that two data sets hold has the row of the first.

    Raises:
        FeaturesError: some are no numbers of half precision, which is how they are kept.
    """
    found, ids = [], []
    for folder in shards:
        with safe_open(folder / "features.safetensors", "pt") as file:
            found.append(file.get_tensor(f"{model.layer}.{model.pooling}").float().numpy())
        ids += pd.read_parquet(folder / "pairs.parquet")["pair_id"].tolist()
    rows = pd.Series(range(len(ids)), index=ids)
    whole = without_overflow(np.concatenate(found), model.features.checkpoint, f"{model.layer}.{model.pooling}")
    return whole, rows[~rows.index.duplicated()]


def without_overflow(found: np.ndarray, checkpoint: Checkpoint, name: str) -> np.ndarray:
    """The differences of one layer, by its name in ``feature_differences``, if half precision could hold them all.

    Raises:
        FeaturesError: it could not.
    """
    if wrong := int((~np.isfinite(found).all(axis=1)).sum()):
        raise FeaturesError(
            f"model={checkpoint.name!r}, layer {name.replace('.', ', ')}: states of {wrong} of {len(found)} pairs are "
            "too large for half precision; read another layer"
        )
    return found


def oriented(differences: np.ndarray, row_of: pd.Series, pairs: pd.DataFrame) -> np.ndarray:
    """The differences of these pairs, in their order; shape (len(pairs), hidden).

    A derived preference may turn a pair around, and its difference with it; ``pair_id`` stays the same.
    """
    return differences[row_of.loc[pairs["pair_id"]].to_numpy()] * np.where(pairs["turned"], -1, 1)[:, None]


def of_ladder(folder: Path, pairs: pd.DataFrame) -> np.ndarray:
    """Differences at the last token behind the last layer of a pretrained model of the ladder, which lies in
    ``folder``; shape (pairs, hidden), float64."""
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder).eval()
    chosen, rejected = encode(tokenizer, pairs)
    found = feature_differences(model, chosen, rejected, begins(openings(tokenizer, pairs), chosen, rejected))
    return found[f"{model.config.num_hidden_layers}.last"].double().numpy()
