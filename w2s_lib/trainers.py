"""What the two trainers share: settings that suit hundreds of short runs, and labels that reach the loss."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel, TrainingArguments

from w2s_lib.run import Train, stream
from w2s_lib.supervision import EXTRA


@dataclass
class LabelCollator:
    """A collator of TRL, which drops every key it does not know, with ours put back."""

    collate: Callable[[list[dict[str, Any]]], dict[str, Any]]

    def __call__(self, examples: list[dict[str, Any]]) -> dict[str, Any]:
        return self.collate(examples) | {key: torch.tensor([float(e[key]) for e in examples]) for key in EXTRA}


class KeepsLabels:
    """Mixin for a trainer of TRL: without it the labels would be removed silently, and training would be on hard ones."""

    def _set_signature_columns_if_needed(self) -> None:
        super()._set_signature_columns_if_needed()
        self._signature_columns = list(dict.fromkeys([*self._signature_columns, *EXTRA]))


def one_device(arguments: TrainingArguments) -> TrainingArguments:
    """The same arguments for a process that trains on one GPU, however many it sees: TRL refuses to spread a model over several by itself."""
    if arguments.n_gpu > 1:
        arguments._n_gpu = 1
    return arguments


def release(model: PreTrainedModel) -> None:
    """Give a model that a trainer has prepared its own forward pass back.

    Another trainer would take it for prepared and compute in fp32; and a model that holds a method of its own is freed late.
    """
    model._is_accelerate_prepared = False
    for name in ("forward", "_original_forward"):
        vars(model).pop(name, None)


def settings(run: Train, folder: Path) -> dict[str, Any]:
    """Arguments of a TRL config by the run's recipe: nothing saved, logged or reported."""
    seed = stream(run.pairs.seed, "order", run.replica) % 2**32
    return dict(
        output_dir=str(folder),
        num_train_epochs=run.recipe.epochs,
        per_device_train_batch_size=run.batch_size,
        learning_rate=run.recipe.learning_rate,
        lr_scheduler_type=run.recipe.schedule,
        warmup_steps=run.recipe.warmup_steps,
        max_grad_norm=run.recipe.max_grad_norm,
        seed=seed,
        data_seed=seed,
        bf16=getattr(run.model, "dtype", "float32") == "bfloat16",
        activation_checkpointing=False,
        max_length=None,
        use_cpu=not torch.cuda.is_available(),
        logging_strategy="no",
        save_strategy="no",
        report_to=[],
        disable_tqdm=True,
    )
