"""Reward models on TRL, with soft labels, the explicit conflict and the confidence loss."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import torch
from datasets import Dataset
from pandas import DataFrame
from torch import Tensor
from transformers import (
    AutoModelForSequenceClassification,
    EarlyStoppingCallback,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    TrainerCallback,
)
from trl import RewardConfig, RewardTrainer
from trl.trainer.reward_trainer import suppress_seqcls_warning

from w2s_lib.models.budget import TOKEN_BUDGET
from w2s_lib.models.checkpoints import draw_head
from w2s_lib.models.packing import budget, gaps, minibatches, part, rewards, share_prefixes
from w2s_lib.models.scores import encode, reward_gaps
from w2s_lib.specs import Checkpoint, Fence, Loss, Recipe, ScoreAt, Train
from w2s_lib.training.labels import LABEL_COLUMNS
from w2s_lib.training.losses import LOSSES, confident_label, explicit_conflict, hardened
from w2s_lib.training.trl_settings import KeepsLabels, PairCollator, arguments, order_epochs, train_quietly

LOOK_EVERY = 4
"""Steps between two looks at the held-out pairs, where a run may stop early."""

LOOKS = dict(eval_strategy="steps", save_strategy="steps", eval_steps=LOOK_EVERY, save_steps=LOOK_EVERY)
LOOKS |= dict(save_total_limit=1, save_only_model=True, load_best_model_at_end=True, prediction_loss_only=True)
"""A trainer's arguments for that: each look is saved, and the best is gone back to."""

HELD_OUT = 10
"""Every tenth weakly labelled pair is held out for these looks."""

WARM_UP = 0.2
"""Share of the training in which the confidence loss grows to its weight (Burns et al. 2023)."""


class WeakToStrongRewardTrainer(KeepsLabels, RewardTrainer):
    """TRL's reward trainer with our loss: soft labels, and the run's explicit conflict or confidence loss.

    A batch is computed in minibatches of pairs of about equal length, up to ``token_budget`` tokens of text, that share
    prefixes where the model can (``packing``).  Every loss is a mean over pairs, so that minibatches weighted by their
    share of the batch add up to its gradient.  A fence that is a quantile of the batch is asked of the whole of it
    before.  Without a budget a batch is computed as a whole, which suits models so small that a step is mostly
    overhead.
    """

    alpha: float | None = None
    confidence_weight: float = 0.0
    confidence_fence: Fence = "half"
    token_budget: int | None = TOKEN_BUDGET
    score_at: ScoreAt = "last_token"
    label_loss: Loss = "forward"

    def training_step(self, model, inputs, num_items_in_batch=None):
        if self.token_budget is None:
            return super().training_step(model, inputs, num_items_in_batch)
        columns = LABEL_COLUMNS
        if self.confidence_fence == "quantile":
            with torch.no_grad(), self.accelerator.autocast():
                gap = gaps(model, inputs["input_ids"], inputs["attention_mask"], self.token_budget, self.score_at)
            opinion = hardened(gap, *(inputs[key] for key in LABEL_COLUMNS), self.confidence_fence)
            inputs, columns = {**inputs, "opinion": opinion}, (*LABEL_COLUMNS, "opinion")
        total = torch.zeros((), device=self.args.device)
        for index in minibatches(inputs["attention_mask"], self.token_budget):
            ids, mask = part(inputs["input_ids"], inputs["attention_mask"], index)
            few = {key: inputs[key][index] for key in columns} | {"share": len(index) / len(inputs["label"])}
            few |= {"input_ids": ids, "attention_mask": mask}
            total += super().training_step(model, few, num_items_in_batch)
        return total

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        with self.accelerator.autocast():
            gap = torch.sub(*rewards(model, inputs["input_ids"], inputs["attention_mask"], self.score_at).chunk(2))
        labels = (inputs[key] for key in LABEL_COLUMNS)
        loss = self.preference_loss(gap, *labels, model.training, inputs.get("opinion"))
        loss = loss * inputs.get("share", 1.0)
        return (loss, {"gap": gap}) if return_outputs else loss

    def preference_loss(
        self, gap: Tensor, label: Tensor, weakly_labelled: Tensor, training: bool, opinion: Tensor | None = None
    ) -> Tensor:
        """The run's loss, mean over pairs; what is looked at while training is its part that weak labels make.

        ``opinion``: the student's own of these pairs, where they are no whole batch."""
        if self.confidence_weight and training:
            grown = min(1.0, self.state.global_step / (WARM_UP * self.state.max_steps))
            weight = self.confidence_weight * grown * weakly_labelled  # pairs that are mixed in keep their labels
            if opinion is None:
                opinion = hardened(gap, label, weakly_labelled, self.confidence_fence)
            label = confident_label(label, weight, opinion)
        loss = LOSSES[self.label_loss](gap, label)
        if self.alpha is not None and training:
            loss = loss + explicit_conflict(gap, weakly_labelled, self.alpha)
        return loss


class Watch(TrainerCallback):
    """Writes down the reward gaps of some pairs before the first step and after each; ``gaps`` has a row of them a
    step."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, pairs: DataFrame, score_at: ScoreAt) -> None:
        self.look = lambda model: reward_gaps(model, tokenizer, pairs, score_at=score_at)
        self.gaps: list[np.ndarray] = []

    def on_train_begin(self, args, state, control, model=None, **others) -> None:
        was_training = model.training
        self.gaps.append(self.look(model))
        model.train(was_training)

    on_step_end = on_train_begin


def build_with_head(folder: str | Path, recipe: Recipe, seed: int) -> PreTrainedModel:
    """The pretrained model in ``folder`` with a new scalar head drawn from ``seed``."""
    with suppress_seqcls_warning():
        model = AutoModelForSequenceClassification.from_pretrained(folder, num_labels=1)
    with torch.no_grad():
        model.score.weight.copy_(draw_head(model.score.weight.shape, seed, recipe.head_scale, recipe.head_init))
    return model


def optimizer(model: PreTrainedModel, recipe: Recipe) -> torch.optim.Optimizer:
    """AdamW; the head, which starts near zero, learns faster than the trunk."""
    trained = [("score" in name.split("."), p) for name, p in model.named_parameters() if p.requires_grad]
    head, trunk = ([p for is_head, p in trained if is_head == wanted] for wanted in (True, False))
    groups = [{"params": trunk, "lr": recipe.learning_rate}, {"params": head, "lr": recipe.head_learning_rate}]
    return torch.optim.AdamW(groups, weight_decay=recipe.weight_decay, fused=True)


def _without_held_out(data: Dataset) -> tuple[Dataset, Dataset]:
    """The pairs to train on, and those that are held out."""
    looks = {*np.flatnonzero(np.array(data["weakly_labelled"]))[::HELD_OUT].tolist()}
    return data.select([i for i in range(len(data)) if i not in looks]), data.select(sorted(looks))


def fit(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    frame: DataFrame,
    run: Train,
    folder: Path,
    watch: TrainerCallback | None = None,
    **part: int,
) -> None:
    """Train ``model`` in place on ``frame`` (columns of ``training_pairs``) by the run's recipe and conflict.

    ``watch`` is told of each step, as ``Watch`` is. ``part``: what of each batch is this process's, where several share
    the run (``shards.batch_arguments``).
    """
    chosen, rejected = encode(tokenizer, frame)
    columns = {"chosen_ids": chosen, "rejected_ids": rejected}
    data = Dataset.from_dict(columns | {key: frame[key].astype(float) for key in LABEL_COLUMNS})
    own, held_out = dict(part), None
    if run.recipe.patience is not None:
        data, held_out = _without_held_out(data)
        own |= LOOKS | dict(per_device_eval_batch_size=run.batch_size if isinstance(run.model, Checkpoint) else 256)
    data, order = order_epochs(data, run, run.recipe.epochs)
    share_prefixes(model)
    trainer = WeakToStrongRewardTrainer(
        model,
        arguments(RewardConfig, run, folder, own | order),
        data_collator=PairCollator(tokenizer.pad_token_id),
        train_dataset=data,
        eval_dataset=held_out,
        processing_class=tokenizer,
        optimizers=(optimizer(model, run.recipe), None),
    )
    # Processes that share a run gather weights together: each takes as many steps, however long its texts are.
    alone = trainer.args.world_size == 1
    trainer.token_budget = budget(model) if alone and isinstance(run.model, Checkpoint) else None
    trainer.alpha, trainer.confidence_weight = run.conflict.alpha, run.recipe.confidence_weight
    trainer.confidence_fence = run.recipe.confidence_fence
    trainer.score_at, trainer.label_loss = run.recipe.score_at, run.recipe.loss
    if run.recipe.patience is not None:
        trainer.add_callback(EarlyStoppingCallback(run.recipe.patience))
    if watch is not None:
        trainer.add_callback(watch)
    train_quietly(trainer, model)
    for left in folder.glob("checkpoint-*"):  # the best weights have been read back
        shutil.rmtree(left)
    (folder / "README.md").unlink(missing_ok=True)  # a model card comes with each
