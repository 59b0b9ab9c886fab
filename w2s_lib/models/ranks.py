"""Where a model stands on the ladder, by its name; torch is loaded only for models that the registry does not know."""

from __future__ import annotations

from w2s_lib.models.folders import is_model_path
from w2s_lib.models.ladder import KNOWN, LADDER, Known, parse

READS_BOTH_WAYS = ("bert-generation", "cpmant", "xlnet")
"""Families that transformers lists among causal language models, and that read what comes after a token as well."""


def look_up(base: str) -> Known:
    """The registry's entry of a base name; for a hub id or a local folder, one made from its configuration.

    Raises:
        ValueError: there is no such model; says why.
    """
    if base in KNOWN:
        return KNOWN[base]
    if "/" not in base and not is_model_path(base):
        raise ValueError("no such model")
    # Here, for it loads torch, and the world's study needs none to begin.
    from w2s_lib.models.checkpoints import configuration, shape
    from w2s_lib.models.names import checkpoint_named

    config = configuration(checkpoint_named(base))
    if config.model_type in READS_BOTH_WAYS:
        raise ValueError(f"its family {config.model_type!r} reads both ways; causal language models are needed")
    if not hasattr(config, "num_hidden_layers"):
        raise ValueError(f"its family {config.model_type!r} reads more than text; use a model of text alone")
    weights, blocks = shape(checkpoint_named(base))
    return Known(base, base, weights / 1e6, blocks)


def rank(name: str) -> float:
    """Place on the ladder: the world's models in their order, below all others, which stand by millions of weights,
    times the share of their depth.

    Raises:
        ValueError: there is no such model, it has fewer blocks, or it is one of the world's, which are used whole.
    """
    base, blocks, layer, _ = parse(name)
    if base in LADDER:
        if name != base:
            raise ValueError("the world's models are used whole")
        return list(LADDER).index(base) / len(LADDER)
    model = look_up(base)
    deepest = model.blocks if blocks is None else blocks
    if deepest > model.blocks or (layer is not None and layer > deepest):
        raise ValueError(f"{base} has {model.blocks} blocks")
    depth = deepest if layer is None else layer
    return model.millions * (depth + 1) / (model.blocks + 1)
