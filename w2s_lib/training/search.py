"""What a strong model writes that nobody trains, under a small guide: chunk-level beam search (Zhou et al. 2024),
best-of-n and emulated fine-tuning (Mitchell et al. 2024), which are one sampler with other settings.

Tokens are drawn at temperature 1 from all there are, as policies' own replies are (``policy.replies``), and each beam
of each prompt has random numbers of its own: nothing depends on which prompts are in a batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel

from w2s_lib.data.load import split
from w2s_lib.models.pretrain import tokenizer
from w2s_lib.models.scores import batches, openings
from w2s_lib.specs import MAX_REPLY, Beams, Search, stream
from w2s_lib.training import policy
from w2s_lib.training.train import policy_again


class Written(NamedTuple):
    """The reply to one prompt: the best of all that were written."""

    tokens: list[int]
    """With the end token, where it ends."""
    score: float
    """What the guide's training has added to its log-probability, in nats."""
    sampled: int
    """Tokens drawn for this prompt, in all replies to it."""


class _Reader:
    """A model that reads a batch of texts on, token by token."""

    def __init__(self, model: PreTrainedModel) -> None:
        self.model, self.cache = model.eval(), DynamicCache(config=model.config)

    def next(self, ids: Tensor) -> Tensor:
        """Log-probabilities of the token after these, shape (texts, vocabulary)."""
        out = self.model(input_ids=ids, past_key_values=self.cache, use_cache=True, logits_to_keep=1)
        return out.logits[:, -1].double().log_softmax(-1)

    def keep(self, texts: Tensor) -> None:
        """Go on with these texts, in this order; one may be there several times."""
        self.cache.batch_select_indices(texts)


@torch.no_grad()
def write(
    base: PreTrainedModel,
    guide: tuple[PreTrainedModel, PreTrainedModel],
    prompts: Sequence[list[int]],
    beams: Beams,
    weight: float = 0.0,
    seed: int = 0,
    longest: int = MAX_REPLY,
    batch_size: int = 256,
) -> list[Written]:
    """A reply to each prompt, given as token ids; ``guide``: after training and before it, with the base's tokenizer.

    Tokens come from logits base + ``weight`` · (guide after − before).  After each chunk the partial replies to a
    prompt that have gained most in the guide go on (Zhou et al. 2024, Algorithm 1); of the last ones the best is the
    reply.  None is longer than ``longest`` tokens.
    """
    found: list[Written] = [Written([], 0.0, 0)] * len(prompts)
    for index in batches(list(prompts), batch_size):
        readers = [_Reader(model) for model in (base, *guide)]
        drawn = [np.random.default_rng(stream(seed, "search", int(i))).random((beams.total, longest)) for i in index]
        ids = torch.tensor([prompts[i] for i in index])
        for i, one in zip(index, _write(readers, ids, np.stack(drawn), beams, weight, base.config.eos_token_id)):
            found[i] = one
    return found


def _write(
    readers: Sequence[_Reader], ids: Tensor, drawn: NDArray[np.float64], beams: Beams, weight: float, end: int
) -> list[Written]:
    """Replies to prompts of one length, ids (prompts, tokens), by random numbers, shape (prompts, beams, longest)."""
    count, n, longest = drawn.shape
    first = torch.arange(count)[:, None] * n  # place of each prompt's first beam
    uniform = torch.from_numpy(drawn).view(count * n, longest)
    told = [reader.next(ids).repeat_interleave(n, dim=0) for reader in readers]
    for reader in readers:
        reader.keep(torch.arange(count).repeat_interleave(n))
    said, score = torch.empty(count * n, 0, dtype=torch.long), torch.zeros(count * n, dtype=torch.float64)
    live, sampled = torch.ones(count * n, dtype=torch.bool), torch.zeros(count, dtype=torch.long)
    for t in range(longest):
        if t and beams.chunk and t % beams.chunk == 0:
            best = score.view(count, n).argsort(dim=1, descending=True, stable=True)[:, : beams.width]
            kept = (first + best).repeat_interleave(beams.successors, dim=1).flatten()
            said, score, live = said[kept], score[kept], live[kept]
            for reader in readers:
                reader.keep(kept)
        if t:
            told = [reader.next(said[:, -1:]) for reader in readers]
        of_base, after, before = told
        chances = (of_base + weight * (after - before)).softmax(-1).cumsum(-1)
        token = (chances < uniform[:, t, None]).sum(-1).clamp(max=chances.shape[1] - 1)
        token = torch.where(live, token, end)
        score = score + live * (after - before).gather(1, token[:, None])[:, 0]
        sampled += live.view(count, n).sum(dim=1)
        said, live = torch.cat([said, token[:, None]], dim=1), live & (token != end)
        if not live.any():
            break
    best = score.view(count, n).argmax(dim=1) + first[:, 0]
    tokens = [row[: row.index(end) + 1] if end in row else row for row in said[best].tolist()]
    return list(map(Written, tokens, score[best].tolist(), sampled.tolist()))


def search(run: Search, bases: Sequence[Path], labels: Sequence[pd.DataFrame], folder: Path) -> None:
    """Train the guide once more, and have every sampler reply to the first test prompts about a substance.

    ``bases``: folders of the pretrained strong model and of the guide's; ``labels``: scores of the guide's labellers.
    Leaves ``replies.parquet`` in ``folder``: ``pair_id``, ``reply`` and ``says`` as of ``policy.replies``, with
    ``sampler``, ``score`` and ``sampled`` (``Written``).  All guides of a study seed meet the same random numbers.
    """
    base, words = policy.build(bases[0]), tokenizer(run.model.world)
    after, before = policy_again(run.guide, bases[1:], labels, folder)
    guide = after.to(base.device), before.to(base.device)
    asked = policy.about_substances(split(run.pairs, "test"))
    prompts, said = openings(words, asked), []
    for name, (beams, weight) in run.samplers.items():
        told = write(base, guide, prompts, beams, weight, stream(run.pairs.seed, "search replies"))
        replies = policy.judge_replies(words, asked, [one.tokens for one in told])
        said.append(replies.assign(sampler=name, score=[w.score for w in told], sampled=[w.sampled for w in told]))
    pd.concat(said, ignore_index=True).to_parquet(folder / "replies.parquet")
