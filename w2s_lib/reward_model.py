"""Reward models on TRL: its pairwise loss, plus soft labels, the explicit conflict and the confidence loss."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import torch
from datasets import Dataset
from transformers import (
    AutoModelForSequenceClassification,
    EarlyStoppingCallback,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    PrinterCallback,
)
from trl import RewardConfig, RewardTrainer
from trl.trainer.reward_trainer import DataCollatorForPreference, suppress_seqcls_warning

from w2s_lib.losses import confident_label, explicit_conflict, soft_label_term
from w2s_lib.run import Recipe, Train
from w2s_lib.score import encode
from w2s_lib.supervision import EXTRA
from w2s_lib.trainers import KeepsLabels, LabelCollator, settings

LOOK_EVERY = 4
"""Steps between two looks at the held-out pairs, where a run may stop early."""

HELD_OUT = 10
"""Every tenth weakly labelled pair is held out for these looks."""

WARM_UP = 0.2
"""Share of the training in which the confidence loss grows to its weight (Burns et al. 2023)."""


class WeakToStrongRewardTrainer(KeepsLabels, RewardTrainer):
    """TRL's reward trainer on soft labels; with the explicit conflict, or the confidence loss, where the run asks for it."""

    alpha: float | None = None
    confidence_weight: float = 0.0

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        label, weakly_labelled = (inputs.pop(key) for key in EXTRA)
        loss, outputs = super().compute_loss(model, inputs, return_outputs=True, num_items_in_batch=num_items_in_batch)
        chosen, rejected = outputs.logits.squeeze(-1).float().chunk(2)
        gap = chosen - rejected
        if self.confidence_weight and model.training:
            grown = min(1.0, self.state.global_step / (WARM_UP * self.state.max_steps))
            weight = self.confidence_weight * grown * weakly_labelled  # pairs that are mixed in keep their labels
            label = confident_label(gap, label, weight)
        loss = loss + soft_label_term(gap, label)
        if self.alpha is not None and model.training:
            loss = loss + explicit_conflict(gap, weakly_labelled, self.alpha)
        return (loss, outputs) if return_outputs else loss


def _without_mask(model: PreTrainedModel, given: tuple, keywords: dict[str, Any]) -> tuple[tuple, dict[str, Any]]:
    """Rows are padded on the right and attention is causal: no token sees padding, and a mask costs time and changes nothing."""
    return given, keywords | {"attention_mask": None, "use_cache": False}


def build(folder: str | Path, recipe: Recipe, seed: int) -> PreTrainedModel:
    """The pretrained model in ``folder`` with a new scalar head drawn from ``seed``."""
    with suppress_seqcls_warning():
        model = AutoModelForSequenceClassification.from_pretrained(folder, num_labels=1)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        model.score.weight.copy_(recipe.head_scale * torch.randn(model.score.weight.shape, generator=generator))
    model.register_forward_pre_hook(_without_mask, with_kwargs=True)
    return model


def optimizer(model: PreTrainedModel, recipe: Recipe) -> torch.optim.Optimizer:
    """AdamW without decay; the head, which starts near zero, learns faster than the trunk."""
    head = list(model.score.parameters())
    trunk = [p for name, p in model.named_parameters() if not name.startswith("score.")]
    groups = [{"params": trunk, "lr": recipe.learning_rate}, {"params": head, "lr": recipe.head_learning_rate}]
    return torch.optim.AdamW(groups, weight_decay=0.0, fused=True)


def fit(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, frame: pd.DataFrame, run: Train, folder: Path) -> None:
    """Train ``model`` in place on ``frame`` (columns of ``training_pairs``) by the run's recipe and conflict."""
    chosen, rejected = encode(tokenizer, frame)
    data = Dataset.from_dict({"chosen_ids": chosen, "rejected_ids": rejected, **{key: frame[key].astype(float) for key in EXTRA}})
    arguments, held_out = settings(run, folder), None
    if run.recipe.patience is not None:
        weak = [i for i, weakly in enumerate(frame["weakly_labelled"]) if weakly]
        looks = set(weak[::HELD_OUT])
        held_out, data = data.select(sorted(looks)), data.select([i for i in range(len(data)) if i not in looks])
        when = dict(eval_strategy="steps", eval_steps=LOOK_EVERY, per_device_eval_batch_size=256, prediction_loss_only=True)
        arguments |= when | dict(save_strategy="steps", save_steps=LOOK_EVERY, save_total_limit=1, load_best_model_at_end=True)
    trainer = WeakToStrongRewardTrainer(
        model,
        RewardConfig(**arguments),
        data_collator=LabelCollator(DataCollatorForPreference(tokenizer.pad_token_id)),
        train_dataset=data,
        eval_dataset=held_out,
        processing_class=tokenizer,
        optimizers=(optimizer(model, run.recipe), None),
    )
    trainer.alpha, trainer.confidence_weight = run.conflict.alpha, run.recipe.confidence_weight
    trainer.remove_callback(PrinterCallback)
    if run.recipe.patience is not None:
        trainer.add_callback(EarlyStoppingCallback(run.recipe.patience))
    trainer.train()
