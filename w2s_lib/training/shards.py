"""One run shared among several processes, for a model larger than one GPU: each holds a part of every weight (FSDP).

The sharding is transformers' own (``DistributedConfig``, on PyTorch's FSDP2): weights are sharded once they are read
and gathered block by block when they are needed, and gradients are averaged over the processes, each of which trains on
its part of every batch.  Nothing of this stands in a spec: a sharded run has the same key as a whole one and, to
rounding, the same results.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from math import gcd
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from w2s_lib.errors import OneLineError
from w2s_lib.specs import Checkpoint, Spec, Train

if TYPE_CHECKING:
    from transformers import PreTrainedModel

SHARDS = "W2S_SHARDS"
"""Environment variable: how many processes, each with a GPU if there is any, share fine-tuning a whole real model."""

AT_A_TIME = 4
"""Pairs that a process of a shared run goes through at once, at most: activations are not shared."""

ALONE = 8
"""Pairs that one process goes through at once, at most, for a policy of a real model: replies' logits take room."""


class ShardedError(OneLineError, ValueError):
    """A run that cannot be shared, or that failed in one of its processes, in one line."""


def shards() -> int:
    """What ``$W2S_SHARDS`` says; 1 where it says nothing.

    Raises:
        ShardedError: it is no whole number from 1 on.
    """
    said = os.environ.get(SHARDS) or "1"
    if not said.isdecimal() or int(said) < 1:
        raise ShardedError(f"{SHARDS}={said!r}: must be a whole number, 1 (not sharded) or more")
    return int(said)


def processes() -> int:
    """How many processes share the run that this process works at; 1 where it is alone."""
    return int(os.environ["WORLD_SIZE"]) if "TORCHELASTIC_RUN_ID" in os.environ else 1


def is_first() -> bool:
    """Whether this process is the one that writes the result."""
    return processes() == 1 or os.environ["RANK"] == "0"


def trains_all(spec: Spec) -> bool:
    """Whether a run trains all weights of a real model: what can be shared.  Under adapters they have no moments."""
    return isinstance(spec, Train) and isinstance(spec.model, Checkpoint) and spec.model.lora_rank is None


def wanted(spec: Spec) -> bool:
    """Whether a run is to be shared and is not yet."""
    return trains_all(spec) and shards() > 1 and processes() == 1


def divide(batch_size: int, among: int) -> None:
    """Refuse a batch that so many processes cannot share equally.

    Raises:
        ShardedError: they cannot.
    """
    if batch_size % among:
        raise ShardedError(
            f"{SHARDS}={among}: a batch of {batch_size} pairs cannot be shared equally among so many; use a divisor"
        )


def check_shared(runs: Iterable[Spec]) -> None:
    """Refuse runs that cannot be shared, before any is begun.

    Raises:
        ShardedError: a batch cannot be divided among the processes, a run is to stop early, or asks for a whole batch.
    """
    for run in filter(wanted, runs):
        divide(run.batch_size, shards())
        if getattr(run.recipe, "patience", None) is not None:
            raise ShardedError(
                f"{SHARDS}={shards()}: early stopping (patience={run.recipe.patience}) needs checkpoints, "
                f"and a shared run keeps none; unset {SHARDS} or leave that mitigation out"
            )
        if run.replies:
            raise ShardedError(
                f"{SHARDS}={shards()}: replies of a policy (replies={run.replies}) are written by one process, and "
                f"a shared run has its weights in several; unset {SHARDS}, or train adapters (lora_rank)"
            )
        if getattr(run.recipe, "confidence_fence", "half") == "quantile":
            raise ShardedError(
                f"{SHARDS}={shards()}: a quantile of the batch (confidence_fence=quantile) needs all of it in one "
                f"process; unset {SHARDS} or leave that mitigation out"
            )


def batch_arguments(batch_size: int, at_a_time: int | None = None, pairs: int = 0) -> dict[str, int]:
    """A trainer's arguments for batches of so many pairs, of which each process that shares the run has its part.

    It goes through that a few pairs at a time, as many in every process: they gather weights together, and one with
    fewer parts than another would be waited for.  A single process goes through ``at_a_time`` pairs at most, None: all
    at once; and, since parts count alike, in such parts as the last of ``pairs`` can be divided into as well.

    Raises:
        ShardedError: the batch cannot be divided among the processes.
    """
    divide(batch_size, processes())
    most = at_a_time if processes() == 1 else AT_A_TIME
    if most is None:
        return {"per_device_train_batch_size": batch_size}
    part = batch_size // processes()
    equal = gcd(part, pairs % batch_size) if processes() == 1 else part
    few = max(n for n in range(1, most + 1) if equal % n == 0)
    return {"per_device_train_batch_size": few, "gradient_accumulation_steps": part // few}


def spread_model(model: PreTrainedModel) -> PreTrainedModel:
    """The same model, spread over the processes that share the run, each of which has read it whole; a single process
    has it on its GPU, if any.

    Once spread, its weights are at hand inside of its forward pass only: see ``packing.compute_with``.
    """
    import torch

    if processes() == 1:
        return model.to("cuda") if torch.cuda.is_available() else model
    from transformers.distributed import DistributedConfig

    from w2s_lib.models.checkpoints import blocks

    # Each block gives its weights back once it is done, and what is no block's at the end of a pass.
    found = blocks(model)
    name = next(name for name, module in model.named_modules() if module is found)
    model.fsdp_plan = {f"{name}.*": "free_full_weight"}
    config, _, mesh = model.prepare_distribute_model(DistributedConfig(fsdp_size=processes()))
    return model.maybe_distribute_model(model, config, mesh)


def _whole(value: Any) -> Any:
    """A spec as JSON's types, with the places on this machine that its own dump leaves out."""
    if isinstance(value, BaseModel):
        return {name: _whole(getattr(value, name)) for name in type(value).model_fields}
    return [_whole(v) for v in value] if isinstance(value, tuple) else value


def read_run(path: Path) -> Train:
    """The spec of a run that ``launch`` has written for its processes."""
    return Train.model_validate_json(path.read_text(encoding="utf-8"))


def launch(spec: Train, root: Path, module: str) -> None:
    """Do one run in so many processes (``torchrun``), whose first one writes the result to the store at ``root``.

    Each is ``python -m module root file``, where the file is for ``read_run``.

    Raises:
        ShardedError: it cannot be shared, or failed; says what the first of them said that failed.
    """
    check_shared([spec])  # what this machine is told may differ from what the one was told that asks for the run
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "run.json"
        file.write_text(json.dumps(_whole(spec)), encoding="utf-8")
        torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(shards())]
        command = [sys.executable, *torchrun, "-m", module, str(root), str(file)]
        done = subprocess.run(command, capture_output=True, encoding="utf-8", errors="replace")
    if done.returncode:
        lines = done.stderr.splitlines()
        errors = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
        raise ShardedError(f"{SHARDS}={shards()}: {[*errors, *lines[-1:], ''][0]}")
