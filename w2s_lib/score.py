"""Scores: model × pairs → one row a pair, whatever the batch size."""

from __future__ import annotations

from collections.abc import Iterator
from weakref import WeakKeyDictionary

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from w2s_lib import prefix

_ENCODED: WeakKeyDictionary[PreTrainedTokenizerBase, dict[str, list[int]]] = WeakKeyDictionary()
"""Token ids by text: a worker trains dozens of runs on the same pairs, each too short to encode them again."""


def encode(tokenizer: PreTrainedTokenizerBase, pairs: pd.DataFrame) -> tuple[list[list[int]], list[list[int]]]:
    """Token ids of prompt + chosen and prompt + rejected, one list a pair, cut where the tokenizer says that texts end."""
    texts = [text for column in ("chosen", "rejected") for text in pairs["opening"] + pairs[column] + pairs["ending"]]
    ids = _ids(tokenizer, texts)
    return ids[: len(pairs)], ids[len(pairs) :]


def _ids(tokenizer: PreTrainedTokenizerBase, texts: list[str]) -> list[list[int]]:
    known = _ENCODED.setdefault(tokenizer, {})
    new = [text for text in dict.fromkeys(texts) if text not in known]
    if new:
        first = tokenizer("")["input_ids"]  # some families begin every text with a token of its own; none may end it with one
        found = tokenizer(new, add_special_tokens=False)["input_ids"]
        known.update((text, (first + ids)[: tokenizer.model_max_length]) for text, ids in zip(new, found))
    return [known[text] for text in texts]


def batches(sequences: list[list[int]], batch_size: int) -> Iterator[NDArray[np.intp]]:
    """Indices of the sequences, up to ``batch_size`` of one length at a time: such rows need no padding, and no mask."""
    lengths = np.array([len(s) for s in sequences], dtype=int)
    for length in np.unique(lengths):
        index = np.flatnonzero(lengths == length)
        yield from np.split(index, range(batch_size, len(index), batch_size))


def reward_gaps(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, pairs: pd.DataFrame, token_budget: int | None = None, **how: str
) -> np.ndarray:
    """Reward of chosen − rejected, shape (n,), in batches of so many tokens of text (None: what suits the model); ``how``: ``dtype`` and ``score_at``
    of ``prefix.reward_gaps``."""
    return prefix.reward_gaps(model, *encode(tokenizer, pairs), token_budget, **how)


def as_scores(pairs: pd.DataFrame, margin: np.ndarray) -> pd.DataFrame:
    """``pair_id``, ``split``, ``margin`` = r(chosen) − r(rejected), ``p_true`` = sigmoid(margin): p_m(i) of the paper."""
    return pd.DataFrame({"pair_id": pairs["pair_id"], "split": pairs["split"], "margin": margin, "p_true": 1 / (1 + np.exp(-margin))})


def openings(tokenizer: PreTrainedTokenizerBase, pairs: pd.DataFrame) -> list[list[int]]:
    """Token ids up to where the reply begins, one list a pair: what chosen and rejected share."""
    return _ids(tokenizer, pairs["opening"].tolist())


def reply_lengths(tokenizer: PreTrainedTokenizerBase, pairs: pd.DataFrame) -> np.ndarray:
    """Tokens of chosen and of rejected without the prompt, shape (n, 2)."""
    starts = [len(ids) for ids in openings(tokenizer, pairs)]
    return np.array([[len(ids) - start for ids, start in zip(side, starts)] for side in encode(tokenizer, pairs)]).T


LOGITS = 2**27
"""Logits at once, at most: half a gigabyte, of which a few copies live for a moment."""


@torch.no_grad()
def reply_log_probs(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, pairs: pd.DataFrame, batch_size: int = 256
) -> tuple[np.ndarray, np.ndarray]:
    """Log-probability of chosen and rejected given the prompt, in nats, end token included, and their lengths in tokens; each of shape (n, 2).

    In batches of ``batch_size`` texts, or fewer where their logits would be more than ``LOGITS``.
    """

    def told(ids: torch.Tensor, replied: torch.Tensor) -> torch.Tensor:
        hidden = model.base_model(input_ids=ids[:, :-1], use_cache=False).last_hidden_state
        # Logits at the tokens of replies only: the vocabulary is most of a small model's work.
        logits = model.get_output_embeddings()(hidden[replied]).float().log_softmax(-1)
        return logits.gather(-1, ids[:, 1:][replied][:, None])[:, 0]

    model.eval()
    starts = [len(ids) for ids in openings(tokenizer, pairs)] * 2
    sequences = [ids for side in encode(tokenizer, pairs) for ids in side]
    out = np.empty(len(sequences))
    most = LOGITS // (model.config.vocab_size * max(map(len, sequences), default=1))
    for index in batches(sequences, max(1, min(batch_size, most))):
        ids = torch.tensor([sequences[i] for i in index], device=model.device)
        replied = torch.arange(1, ids.shape[1]) >= torch.tensor([starts[i] for i in index])[:, None]
        found = torch.zeros(replied.shape, device=model.device)
        found[replied] = prefix.called(model, told, ids, replied)
        out[index] = found.double().sum(dim=1).cpu().numpy()
    return out.reshape(2, -1).T, reply_lengths(tokenizer, pairs)
