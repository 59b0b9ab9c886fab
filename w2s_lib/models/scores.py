"""Scores: model × pairs → one row a pair, whatever the batch size."""

from __future__ import annotations

from collections.abc import Iterator
from os.path import commonprefix
from weakref import WeakKeyDictionary

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from w2s_lib.models import packing

_ENCODED: WeakKeyDictionary[PreTrainedTokenizerBase, dict[str, list[int]]] = WeakKeyDictionary()
"""Token ids by text, whole: a worker trains dozens of runs on the same pairs, each too short to encode them again."""


def encode(tokenizer: PreTrainedTokenizerBase, pairs: pd.DataFrame) -> tuple[list[list[int]], list[list[int]]]:
    """Token ids of prompt + chosen and prompt + rejected, one list a pair.

    Long ones are cut on the tokenizer's ``truncation_side``, which spares what a family begins every text with.
    """
    ids = _cut(tokenizer, _ids(tokenizer, _texts(pairs)), len(tokenizer("")["input_ids"]))
    return ids[: len(pairs)], ids[len(pairs) :]


def too_long(tokenizer: PreTrainedTokenizerBase, pairs: pd.DataFrame) -> NDArray[np.bool_]:
    """Of which pairs a text has more tokens than the tokenizer allows, so that ``encode`` cuts it, shape (n,)."""
    lengths = np.array([len(ids) for ids in _ids(tokenizer, _texts(pairs))])
    return (lengths > tokenizer.model_max_length).reshape(2, -1).any(axis=0)


def _texts(pairs: pd.DataFrame, whole: bool = True) -> list[str]:
    """All chosen texts, then all rejected ones; unless ``whole``, without the prompt."""
    openings = pairs["opening"] if whole else ""
    return [text for column in ("chosen", "rejected") for text in openings + pairs[column] + pairs["ending"]]


def _ids(tokenizer: PreTrainedTokenizerBase, texts: list[str]) -> list[list[int]]:
    known = _ENCODED.setdefault(tokenizer, {})
    new = [text for text in dict.fromkeys(texts) if text not in known]
    if new:
        first = tokenizer("")["input_ids"]  # with which some families begin every text; none may end it with one
        found = tokenizer(new, add_special_tokens=False)["input_ids"]
        known.update((text, first + ids) for text, ids in zip(new, found))
    return [known[text] for text in texts]


def _cut(tokenizer: PreTrainedTokenizerBase, sequences: list[list[int]], spared: int) -> list[list[int]]:
    """The sequences, long ones without their end or, on the left, without what follows ``spared`` tokens."""
    most = tokenizer.model_max_length
    if tokenizer.truncation_side == "right":
        return [ids if len(ids) <= most else ids[:most] for ids in sequences]
    return [ids if len(ids) <= most else ids[:spared] + ids[spared + len(ids) - most :] for ids in sequences]


def batches(sequences: list[list[int]], batch_size: int) -> Iterator[NDArray[np.intp]]:
    """Indices of the sequences, up to ``batch_size`` of one length at a time: such rows need no padding or mask."""
    lengths = np.array([len(s) for s in sequences], dtype=int)
    for length in np.unique(lengths):
        index = np.flatnonzero(lengths == length)
        yield from np.split(index, range(batch_size, len(index), batch_size))


def reward_gaps(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    pairs: pd.DataFrame,
    token_budget: int | None = None,
    **how: str,
) -> np.ndarray:
    """Reward of chosen − rejected, shape (n,): ``packing.gaps_of_ids`` of their texts; ``how``: its other settings."""
    return packing.gaps_of_ids(model, *encode(tokenizer, pairs), token_budget, **how)


def as_scores(pairs: pd.DataFrame, margin: np.ndarray) -> pd.DataFrame:
    """``pair_id``, ``split``, ``margin`` = r(chosen) − r(rejected), ``p_true`` = sigmoid(margin): the paper's p_m."""
    return pd.DataFrame(
        {"pair_id": pairs["pair_id"], "split": pairs["split"], "margin": margin, "p_true": 1 / (1 + np.exp(-margin))}
    )


def exchanges(
    tokenizer: PreTrainedTokenizerBase, pairs: pd.DataFrame, apart: bool = False
) -> tuple[list[list[int]], list[int]]:
    """Token ids of prompt + chosen of all pairs, then of prompt + rejected, and where in each of them the reply begins.

    Both are encoded as one text, as by ``encode``; or, ``apart``, each as a text of its own, and then cut whatever
    stands there.  Some tokenizers merge the end of a prompt with the beginning of a reply: there the reply begins where
    the two texts differ at the latest.
    """
    prompts = _ids(tokenizer, pairs["opening"].tolist())
    if apart:
        spared, whole = 0, [p + r for p, r in zip(prompts * 2, _ids(tokenizer, _texts(pairs, whole=False)))]
        begins = [len(p) for p in prompts]
    else:
        spared, whole = len(tokenizer("")["input_ids"]), _ids(tokenizer, _texts(pairs))
        begins = [
            len(p) if p == c[: len(p)] == r[: len(p)] else min(len(p), len(commonprefix([c, r])))
            for p, c, r in zip(prompts, whole[: len(pairs)], whole[len(pairs) :])
        ]
    cut = _cut(tokenizer, whole, spared)
    lost = [len(a) - len(b) if tokenizer.truncation_side == "left" else 0 for a, b in zip(whole, cut)]
    return cut, [min(len(ids), max(spared, begin - n)) for ids, begin, n in zip(cut, begins * 2, lost)]


def openings(tokenizer: PreTrainedTokenizerBase, pairs: pd.DataFrame) -> list[list[int]]:
    """Token ids of chosen up to where the reply begins, one list a pair: what rejected begins with, too."""
    return [ids[:begin] for ids, begin in zip(*exchanges(tokenizer, pairs))][: len(pairs)]


def _lengths(sequences: list[list[int]], begins: list[int]) -> np.ndarray:
    """Predicted tokens of each reply: nothing predicts the first of a text."""
    return np.array([len(ids) - max(begin, 1) for ids, begin in zip(sequences, begins)]).reshape(2, -1).T


def reply_lengths(tokenizer: PreTrainedTokenizerBase, pairs: pd.DataFrame, apart: bool = False) -> np.ndarray:
    """Tokens of chosen and of rejected that a model predicts: without the prompt, shape (n, 2)."""
    return _lengths(*exchanges(tokenizer, pairs, apart))


LOGITS = 2**27
"""Logits at once, at most: half a gigabyte, of which a few copies live for a moment."""


def reply_log_probs(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    pairs: pd.DataFrame,
    batch_size: int = 256,
    apart: bool = False,
) -> tuple[np.ndarray, np.ndarray]:
    """Log-probability of chosen and rejected given the prompt, in nats, and their lengths in tokens; each (n, 2).

    Replies are whole with what ends them in the data: the world's with an end token, those of other texts with none.
    ``apart``: as of ``exchanges``.  In batches of ``batch_size`` texts, or fewer, of up to ``LOGITS`` logits.
    """
    sequences, begins = exchanges(tokenizer, pairs, apart)
    out = np.empty(len(sequences))
    for index, found, _ in _by_token(model, sequences, begins, batch_size):
        out[index] = found.double().sum(dim=1).cpu().numpy()
    return out.reshape(2, -1).T, _lengths(sequences, begins)


def token_log_probs(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, pairs: pd.DataFrame, apart: bool = False
) -> tuple[list[NDArray[np.float64]], list[list[int]]]:
    """As ``reply_log_probs``, of each predicted token: one array a reply, all chosen ones first, in nats; and their
    token ids."""
    sequences, begins = exchanges(tokenizer, pairs, apart)
    out: list[NDArray[np.float64]] = [np.empty(0)] * len(sequences)
    for index, found, replied in _by_token(model, sequences, begins, 256):
        for i, row, its in zip(index, found.double().cpu().numpy(), replied.cpu().numpy()):
            out[i] = row[its]
    return out, [ids[max(begin, 1) :] for ids, begin in zip(sequences, begins)]


@torch.no_grad()
def _by_token(
    model: PreTrainedModel, sequences: list[list[int]], begins: list[int], batch_size: int
) -> Iterator[tuple[NDArray[np.intp], torch.Tensor, torch.Tensor]]:
    """Of texts of one length at a time: their indices, log-probabilities of their tokens but the first, 0 outside of
    replies, and which are a reply's; both of shape (texts, tokens − 1)."""

    def told(ids: torch.Tensor, replied: torch.Tensor) -> torch.Tensor:
        hidden = model.base_model(input_ids=ids[:, :-1], use_cache=False).last_hidden_state
        # Logits at the tokens of replies only: the vocabulary is most of a small model's work.
        logits = model.get_output_embeddings()(hidden[replied]).float().log_softmax(-1)
        return logits.gather(-1, ids[:, 1:][replied][:, None])[:, 0]

    model.eval()
    most = LOGITS // (model.config.vocab_size * max(map(len, sequences), default=1))
    for index in batches(sequences, max(1, min(batch_size, most))):
        ids = torch.tensor([sequences[i] for i in index], device=model.device)
        replied = torch.arange(1, ids.shape[1]) >= torch.tensor([begins[i] for i in index])[:, None]
        found = torch.zeros(replied.shape, device=model.device)
        found[replied] = packing.compute_with(model, told, ids, replied)
        yield index, found, replied
