"""Rewards of preference pairs with little arithmetic: what two texts share is computed once, and nothing is padded.

The texts of a pair begin with the same prompt.  In a causal model nothing that stands there depends on what follows, so
that one pass over the prompt serves both.  All tokens of a minibatch are therefore *packed* into one row, those that
both texts of a pair begin with once.  What treats each token by itself, nearly all of a model's arithmetic, sees this
row.  Attention alone needs to know who stands before whom: for it, queries, keys and values are laid out as the texts
they belong to, and its outputs are packed again.  Behind the last attention only tokens go on that are read: for a
reward, each text's last.  Rewards and gradients equal those of whole texts up to rounding.

Models are told through the attention interface of transformers, by which an architecture takes an attention of ours and
our positions.  Whether one does is tried (``share_prefixes``); the others get padded rows of about equal length.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pad_sequence
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers.activations import NewGELUActivation
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask
from transformers.utils import ModelOutput

from w2s_lib.models.budget import TOKEN_BUDGET, token_budget
from w2s_lib.models.checkpoints import blocks
from w2s_lib.specs import ScoreAt

SHARED = "shared_prefix"
"""Name of the attention by which a model shares prefixes, beside transformers' own ``sdpa`` and ``eager``."""


def budget(model: nn.Module) -> int:
    """``token_budget`` for a model where it is."""
    return token_budget(_core(model).config.hidden_size, next(model.parameters()).device.type == "cuda")


class Packed(NamedTuple):
    """One row of N tokens that stands for 2B texts of up to T tokens, the B chosen ones first."""

    ids: Tensor
    """Token ids, shape (1, N)."""
    positions: Tensor
    """Place of each token in its text, shape (1, N)."""
    texts: Tensor
    """The texts as indices into the row, shape (2B, T); behind the end of a text anything."""
    home: Tensor
    """Of each token in the row one place where it stands in ``texts.flatten()``, shape (N,)."""


def padded(
    chosen: Sequence[Sequence[int]], rejected: Sequence[Sequence[int]], padding: int = 0
) -> tuple[Tensor, Tensor]:
    """A preference batch of B pairs: token ids and mask, each of shape (2B, T), chosen texts first, padding behind."""
    texts = [torch.tensor(ids) for ids in (*chosen, *rejected)]
    input_ids = pad_sequence(texts, batch_first=True, padding_value=padding)
    return input_ids, (torch.arange(input_ids.shape[1]) < torch.tensor([[len(text)] for text in texts])).long()


def pack(input_ids: Tensor, attention_mask: Tensor) -> Packed:
    """A preference batch as ``padded`` makes it, in one row."""
    pairs = len(input_ids) // 2
    real = attention_mask.bool()
    shared = ((input_ids[:pairs] == input_ids[pairs:]) & real[:pairs] & real[pairs:]).long().cumprod(dim=1).bool()
    new = torch.cat([real[:pairs], real[pairs:] & ~shared])
    place = (new.flatten().cumsum(dim=0) - 1).view_as(new)
    texts = torch.cat([place[:pairs], torch.where(shared, place[:pairs], place[pairs:])])
    home = new.flatten().nonzero().squeeze(1)
    return Packed(input_ids.flatten()[home][None], (home % new.shape[1])[None], texts, home)


def _window(length: int, window: int | None, device: torch.device) -> Tensor | None:
    """Which keys a query sees in texts longer than a sliding window, shape (length, length); None: all before it."""
    if window is None or length <= window:
        return None
    here = torch.arange(length, device=device)
    distance = here[:, None] - here
    return (distance >= 0) & (distance < window)


def attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    packed: Packed | None = None,
    **keywords: Any,
) -> tuple[Tensor, None]:
    """Attention on a packed row, (1, heads, N, width) to (1, N, heads, width); without one the stock ``sdpa``."""
    if packed is None:
        return sdpa_attention_forward(module, query, key, value, attention_mask, **keywords)
    count, length = packed.texts.shape

    def unpacked(x: Tensor) -> Tensor:
        # An embedding is a look-up of rows whose backward pass adds up: what a token does in both texts comes together.
        rows = F.embedding(packed.texts, x[0].transpose(0, 1).flatten(1))
        return rows.view(count, length, x.shape[1], x.shape[3]).transpose(1, 2)

    mask = _window(length, keywords.get("sliding_window"), query.device)
    out, _ = sdpa_attention_forward(module, unpacked(query), unpacked(key), unpacked(value), mask, **keywords)
    return F.embedding(packed.home, out.flatten(0, 1).flatten(1)).view(1, -1, *out.shape[2:]), None


AttentionInterface.register(SHARED, attention)
AttentionMaskInterface.register(SHARED, sdpa_mask)


def _core(model: nn.Module) -> PreTrainedModel:
    """The sequence classifier, without the wrapper of its adapters."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def _shares(model: nn.Module) -> bool:
    return _core(model).config._attn_implementation == SHARED


def compute_with(model: nn.Module, compute: Callable[..., Tensor], *inputs: Tensor) -> Tensor:
    """``compute(*inputs)``, which reads layers of ``model``, where their weights are at hand.

    A model that processes share (``shards``) gathers its weights when it is called, and at no other time: the
    computation stands in for its forward pass.  Where no backward pass will follow, it gives them back at once, so that
    an optimizer made next finds its shards.
    """
    if not hasattr(model, "reshard"):
        return compute(*inputs)
    own = vars(model).get("forward")  # as a trainer sets it, in place of the class's
    model.forward = compute
    try:
        return model(*inputs)
    finally:
        del model.forward
        if own is not None:
            model.forward = own
        if not torch.is_grad_enabled():
            model.reshard()


@contextmanager
def _last_mlp_sees(wanted: Tensor, length: int, core: PreTrainedModel) -> Iterator[None]:
    """The last block's ``mlp``, where a family calls it so, computes only the wanted tokens of a packed row of that
    length, and 0 for the others; ``wanted``: indices into the row, each once."""
    mlp = getattr(blocks(core)[-1], "mlp", None)
    if mlp is None or core.is_activation_checkpointing:  # which calls the block again when this is over
        yield
        return

    def gather(module: nn.Module, given: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return (given[0].index_select(1, wanted), *given[1:])

    def scatter(module: nn.Module, given: tuple[Tensor, ...], out: Tensor) -> Tensor:
        return out.new_zeros(1, length, out.shape[-1]).index_copy(1, wanted, out)

    hooks = [mlp.register_forward_pre_hook(gather), mlp.register_forward_hook(scatter)]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _read(
    model: nn.Module, input_ids: Tensor, attention_mask: Tensor, where: Tensor, **keywords: Any
) -> tuple[ModelOutput, Callable[[Tensor], Tensor]]:
    """What the model without its head makes of a preference batch; and what finds places ``where`` in its states."""
    backbone = _core(model).base_model
    if not _shares(model):
        # Attention is causal and padding on the right: no token sees it, and a mask would cost time and change nothing.
        return backbone(input_ids=input_ids, use_cache=False, **keywords), lambda states: states[where]
    packed = pack(input_ids, attention_mask)
    wanted = packed.texts[where]
    # A mask of four dimensions is handed through as it is: none is built.
    no_mask = torch.ones(1, 1, 1, 1, device=input_ids.device)
    row = {"input_ids": packed.ids, "position_ids": packed.positions, "attention_mask": no_mask, "packed": packed}
    with _last_mlp_sees(wanted.unique(), packed.ids.shape[1], _core(model)):
        return backbone(**row, use_cache=False, **keywords), lambda states: F.embedding(wanted, states[0])


def hidden_at(model: nn.Module, input_ids: Tensor, attention_mask: Tensor, where: Tensor) -> Tensor:
    """Last hidden states of a preference batch (see ``padded``) where ``where``, shape (2B, T), marks its texts: shape
    (places, width)."""
    out, at = _read(model, input_ids, attention_mask, where)
    return at(out.last_hidden_state)


def layers_at(model: nn.Module, input_ids: Tensor, attention_mask: Tensor, where: Tensor) -> Iterator[Tensor]:
    """What ``hidden_at`` gives, of every layer in turn; the embeddings first."""
    out, at = _read(model, input_ids, attention_mask, where, output_hidden_states=True)
    return map(at, out.hidden_states)


def _fuse(core: PreTrainedModel) -> None:
    """GPT-2's activation in one operation, not in a chain of eight, each of which moves a large matrix."""
    for module in core.modules():
        for name, child in module.named_children():
            if type(child) is NewGELUActivation:
                setattr(module, name, nn.GELU(approximate="tanh"))


def _last_hidden(
    model: nn.Module, input_ids: Tensor, attention_mask: Tensor, score_at: ScoreAt = "last_token"
) -> Tensor:
    """Hidden state of each text where its reward is read, shape (2B, width)."""
    counted = attention_mask if score_at == "last_token" else attention_mask * (input_ids != 0)
    last = (counted.sum(dim=1, keepdim=True) - 1).clamp(min=0)  # a text may have no other id at all
    places = torch.arange(input_ids.shape[1], device=input_ids.device)
    return hidden_at(model, input_ids, attention_mask, places == last)


def rewards(model: nn.Module, input_ids: Tensor, attention_mask: Tensor, score_at: ScoreAt = "last_token") -> Tensor:
    """Reward of each text of a preference batch, read where ``Recipe.score_at`` says: shape (2B,), always fp32."""

    def read(input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        hidden, head = _last_hidden(model, input_ids, attention_mask, score_at), _core(model).score
        with torch.autocast(hidden.device.type, enabled=False):
            return head(hidden.to(next(head.parameters()).dtype)).squeeze(-1).float()

    return compute_with(model, read, input_ids, attention_mask)


@torch.no_grad()
def share_prefixes(model: nn.Module) -> bool:
    """Make a model share prefixes from now on, if its architecture allows it; says whether it does.

    It has to run on transformers' ``sdpa`` attention, take positions, attend to all earlier tokens or to a sliding
    window of them, and give the same hidden states either way on two short pairs.
    """
    if _shares(model):
        return True
    core = _core(model)
    takes_positions = "position_ids" in inspect.signature(core.base_model.forward).parameters
    known = {"full_attention", "sliding_attention"}.issuperset(getattr(core.config, "layer_types", None) or ())
    if core.config._attn_implementation != "sdpa" or not takes_positions or not known:
        return False
    generator, training = torch.Generator().manual_seed(0), model.training
    ids = torch.randint(core.config.vocab_size, (4, 12), generator=generator)
    ids[2:, :5] = ids[:2, :5]
    mask = (torch.arange(12) < torch.tensor([[9], [12], [11], [7]])).long()
    ids, mask = ids.to(core.device), mask.to(core.device)
    model.eval()
    last_hidden = partial(compute_with, model, partial(_last_hidden, model))
    plain = last_hidden(ids, mask)
    core.set_attn_implementation(SHARED)
    _fuse(core)
    tolerated = torch.finfo(plain.dtype).eps ** 0.5 * plain.norm()
    try:
        same = _shares(model) and bool((last_hidden(ids, mask) - plain).norm() <= tolerated)
    except Exception:  # an architecture that cannot take a packed row may fail in any way
        same = False
    if not same:
        core.set_attn_implementation("sdpa")
    model.train(training)
    return same


def minibatches(attention_mask: Tensor, token_budget: int = TOKEN_BUDGET) -> Iterator[Tensor]:
    """Indices of the pairs of a preference batch, in parts of about equal length: up to so many tokens, or one pair."""
    lengths = attention_mask.sum(dim=1).view(2, -1)
    order = lengths.amax(dim=0).argsort(stable=True)
    begin, tokens = 0, 0
    for end, size in enumerate(lengths.sum(dim=0)[order].tolist()):
        if end > begin and tokens + size > token_budget:
            yield order[begin:end]
            begin, tokens = end, 0
        tokens += size
    yield order[begin:]


def gaps(
    model: nn.Module,
    input_ids: Tensor,
    attention_mask: Tensor,
    token_budget: int = TOKEN_BUDGET,
    score_at: ScoreAt = "last_token",
) -> Tensor:
    """Reward of chosen − rejected for each pair of a preference batch, in the batch's order, shape (B,)."""
    found, indices = [], []
    for index in minibatches(attention_mask, token_budget):
        chosen, rejected = rewards(model, *part(input_ids, attention_mask, index), score_at).chunk(2)
        found.append(chosen - rejected)
        indices.append(index)
    return torch.cat(found)[torch.cat(indices).argsort()]


def part(input_ids: Tensor, attention_mask: Tensor, index: Tensor) -> tuple[Tensor, Tensor]:
    """Token ids and mask of some pairs of a preference batch, as wide as their longest text."""
    rows = torch.cat([index, index + len(input_ids) // 2])
    mask = attention_mask[rows]
    width = int(mask.sum(dim=1).max())
    return input_ids[rows, :width], mask[:, :width]


@torch.inference_mode()
def gaps_of_ids(
    model: nn.Module,
    chosen: Sequence[Sequence[int]],
    rejected: Sequence[Sequence[int]],
    token_budget: int | None = None,
    dtype: Literal["float32", "bfloat16"] = "float32",
    score_at: ScoreAt = "last_token",
) -> np.ndarray:
    """Reward of chosen − rejected, from the token ids of both texts of each pair: shape (n,), float64.

    ``token_budget``: tokens of text at once; None: what suits the model and where it is.  ``dtype``: what the model
    computes in; the head always computes in fp32.
    """
    share_prefixes(model)
    model.eval()
    input_ids, mask = (rows.to(model.device) for rows in padded(chosen, rejected))
    with torch.autocast(model.device.type, torch.bfloat16, enabled=dtype == "bfloat16"):
        return gaps(model, input_ids, mask, token_budget or budget(model), score_at).double().cpu().numpy()
