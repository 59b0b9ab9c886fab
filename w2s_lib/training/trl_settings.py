"""What the trainers share: settings for hundreds of short runs, labels that reach the loss, the order of the pairs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from numpy.typing import NDArray
from torch.optim.lr_scheduler import LambdaLR, LRScheduler
from transformers import PreTrainedModel, PrinterCallback, Trainer, TrainingArguments

from w2s_lib import progress
from w2s_lib.data.pairs import PairsError
from w2s_lib.models.packing import padded
from w2s_lib.specs import Train, stream
from w2s_lib.training.labels import LABEL_COLUMNS

BEGINS = ("chosen_begins", "rejected_begins")
"""Columns of a policy's data: where in a text its reply begins."""

COUNT = ("chosen_count", "rejected_count")
"""Columns of its data where it learns from some tokens: which of those that it predicts of a reply."""


@dataclass
class PairCollator:
    """Tokenised pairs as a preference batch: chosen rows first, padded on the right, as TRL's own, and their labels.

    Pairs of a policy have ``BEGINS`` and the reference's log-probabilities besides, their batch the mask of replies.
    """

    pad_token_id: int

    def __call__(self, examples: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
        ids, mask = padded(*([e[side] for e in examples] for side in ("chosen_ids", "rejected_ids")), self.pad_token_id)
        batch = {"input_ids": ids, "attention_mask": mask}
        if BEGINS[0] in examples[0]:
            begins = torch.tensor([e[side] for side in BEGINS for e in examples])
            batch["completion_mask"] = mask * (torch.arange(ids.shape[1]) >= begins[:, None])
        if COUNT[0] in examples[0]:
            batch["completion_mask"] = torch.zeros_like(mask)
            for row, begin, its in zip(
                batch["completion_mask"], begins.tolist(), (e[side] for side in COUNT for e in examples)
            ):
                row[max(begin, 1) :][: len(its)] = torch.tensor(its)
        numbers = (key for key in ("ref_chosen_logps", "ref_rejected_logps", *LABEL_COLUMNS) if key in examples[0])
        return batch | {key: torch.tensor([float(e[key]) for e in examples]) for key in numbers}


class KeepsLabels:
    """Mixin for a trainer of TRL, which would remove the labels silently and train on hard ones."""

    def _set_signature_columns_if_needed(self) -> None:
        super()._set_signature_columns_if_needed()
        self._signature_columns = list(dict.fromkeys([*self._signature_columns, *LABEL_COLUMNS, *BEGINS, *COUNT]))


class WarmsUp:
    """Mixin for a trainer: warm-up over a ``warmup_share`` of its steps, as of ``PolicyRecipe``, if one is given."""

    warmup_share: float | None = None

    def create_scheduler(self, num_training_steps: int, optimizer: torch.optim.Optimizer | None = None) -> LRScheduler:
        if self.warmup_share is not None and self.lr_scheduler is None:
            full = int(num_training_steps * self.warmup_share) + 1
            self.lr_scheduler = LambdaLR(optimizer or self.optimizer, lambda step: min(1.0, (step + 1) / full))
        return super().create_scheduler(num_training_steps, optimizer)


def order_epochs(data: Dataset, run: Train, epochs: int) -> tuple[Dataset, dict[str, Any]]:
    """The data of so many epochs as the recipe's ``order`` has them, or in the conflict's turns, and a trainer's
    arguments to read them so.

    Raises:
        PairsError: they are fewer than one batch, and partial ones are dropped.
    """
    once_through = {"num_train_epochs": 1, "train_sampling_strategy": "sequential"}
    if run.conflict.turns is not None:
        rng = np.random.default_rng(stream(run.pairs.seed, "turns", run.replica))
        weakly = np.array(data["weakly_labelled"], dtype=bool)
        return data.select(in_turns(weakly, epochs, run.conflict.turns, rng)), once_through
    if run.recipe.order == "reshuffled":
        return data, {"num_train_epochs": epochs}
    steps = len(data) * epochs // run.batch_size
    if not steps:
        raise PairsError(
            f"order=repeated: {len(data)} pairs are no whole batch of {run.batch_size}; use a smaller batch_size"
        )
    once = np.random.default_rng(stream(run.pairs.seed, "order", run.replica)).permutation(len(data))
    all_epochs = data.select(np.resize(once, steps * run.batch_size))
    return all_epochs, once_through


def in_turns(weakly: NDArray[np.bool_], epochs: int, turns: int, rng: np.random.Generator) -> NDArray[np.intp]:
    """The order of all epochs' pairs in which two aims take turns; ``weakly``: whose turn a pair belongs to.

    Weakly labelled pairs have the first turn, so that an even number ends with the others.  Each aim's turns are of one
    length; within an aim, every epoch has its pairs once, in another order (after Kim et al. 2025)."""
    shares = []
    for mine, n in ((weakly, (turns + 1) // 2), (~weakly, turns // 2)):
        pairs = np.flatnonzero(mine)
        shares.append(np.array_split(np.concatenate([rng.permutation(pairs) for _ in range(epochs)]), n))
    return np.concatenate([shares[i % 2][i // 2] for i in range(turns)])


def one_device(arguments: TrainingArguments) -> TrainingArguments:
    """The same arguments for a process that trains on one GPU, however many it sees: TRL refuses to use several."""
    if arguments.n_gpu > 1:
        arguments._n_gpu = 1
    return arguments


def train_quietly(trainer: Trainer, model: PreTrainedModel) -> None:
    """Train the trainer's ``model``, print nothing, and give it its own forward pass back.

    Another trainer would take it for prepared and compute in fp32; and one that holds its own method is freed late.
    """
    trainer.remove_callback(PrinterCallback)
    progress.watch(trainer)
    trainer.train()
    model._is_accelerate_prepared = False
    for name in ("forward", "_original_forward"):
        vars(model).pop(name, None)


def arguments(kind: type[TrainingArguments], run: Train, folder: Path, own: dict[str, Any]) -> TrainingArguments:
    """A trainer's arguments by the run's recipe, then its ``own``; without these nothing is saved, logged, reported."""
    seed = stream(run.pairs.seed, "order", run.replica) % 2**32
    shared = dict(
        output_dir=str(folder),
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
    return one_device(kind(**shared | own))
