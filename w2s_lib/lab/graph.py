"""Runs as a graph: what they depend on, what they are called, whether they want a GPU."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from w2s_lib.errors import plain
from w2s_lib.specs import (
    Checkpoint,
    Features,
    Judgement,
    Layer,
    Opinion,
    Pretrain,
    Search,
    Society,
    Spec,
    Submission,
    Train,
)


def closure(specs: Iterable[Spec], known: Callable[[Spec], bool] = lambda spec: False) -> list[Spec]:
    """The specs and all that they depend on, each once, parents before children.

    Specs that are ``known`` are left out, and so is what only they depend on.
    What others depend on is not: a run reads its parents' results in the store.
    """
    out: dict[str, Spec] = {}

    def visit(spec: Spec) -> None:
        if spec.key not in out:
            for parent in spec.parents():
                visit(parent)
            out[spec.key] = spec

    for spec in specs:
        if not known(spec):
            visit(spec)
    return list(out.values())


def model_name(model: Pretrain | Checkpoint | Layer) -> str:
    """A few words about a model."""
    if isinstance(model, Pretrain):
        return f"width {model.width}"
    if isinstance(model, Layer):
        return f"layer {model.layer} of {plain(model.features.checkpoint.name)}"
    name = plain(model.name)
    return name if model.layers is None else f"{model.layers} blocks of {name}"


def describe(spec: Spec) -> str:
    """A few words about a run for progress bars and error messages."""
    if isinstance(spec, Pretrain):
        return f"pretrain {model_name(spec)}, seed {spec.world.seed}{f', replica {spec.replica}' * (spec.replica > 0)}"
    if isinstance(spec, Features):
        return f"features of {spec.checkpoint.name} on {spec.source.name}, part {spec.shard + 1} of {spec.shards}"
    if isinstance(spec, Submission):
        return f"submission {spec.key} on labels of {model_name(spec.labels.model)}, seed {spec.pairs.seed}"
    if isinstance(spec, Opinion):
        of = "" if spec.of is None else f" of {describe(spec.of)}"
        return f"opinion of {model_name(spec.model)}, seed {spec.pairs.seed}{of and ',' + of}"
    if isinstance(spec, Society):
        who = f"{spec.agents} of {model_name(spec.weak)} and {model_name(spec.model)}"
        return f"society of {who}, {spec.conflict.kind}, seed {spec.pairs.seed}, replica {spec.replica}"
    if isinstance(spec, Search):
        return f"search of {model_name(spec.model)}, guided by {describe(spec.guide)}"
    if isinstance(spec, Judgement):
        return f"judgement of {len(spec.policies)} policies of {model_name(spec.model)}, seed {spec.pairs.seed}"
    assert isinstance(spec, Train)
    labels = "ground truth" if spec.labels is None else f"labels of {model_name(spec.labels.model)}"
    learner = f"{spec.method} of {model_name(spec.model)}"
    return f"{learner} on {labels}, {spec.conflict.kind}, seed {spec.pairs.seed}, replica {spec.replica}"


def checkpoints_of(spec: Spec) -> list[Checkpoint]:
    """The real models that a run reads or fine-tunes, if any; of a judgement, the one that replies and the judge's."""
    named = [spec.checkpoint if isinstance(spec, Features) else getattr(spec, "model", None)]
    named += [spec.reader] if isinstance(spec, Judgement) else []
    return [model for model in dict.fromkeys(named) if isinstance(model, Checkpoint)]


def wants_gpu(spec: Spec) -> bool:
    """Whether a run should have a GPU where there are any: one that reads or fine-tunes a real model."""
    return bool(checkpoints_of(spec))
