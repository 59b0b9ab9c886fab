"""Training on TRL: weak supervisor, strong ceiling and strong student are one function.

``WeakToStrongRewardTrainer`` adds two terms to TRL's pairwise loss, soft labels and the explicit
conflict, and overrides nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from datasets import Dataset
from transformers import AutoModelForSequenceClassification, PreTrainedModel, PreTrainedTokenizerBase, PrinterCallback
from trl import RewardConfig, RewardTrainer
from trl.trainer.reward_trainer import DataCollatorForPreference, suppress_seqcls_warning

from w2s_lib import pairs as pairs_module
from w2s_lib.losses import explicit_conflict, soft_label_term
from w2s_lib.pretrain import tokenizer as world_tokenizer
from w2s_lib.run import Recipe, Train, stream
from w2s_lib.score import encode, score

EXTRA = ("label", "weakly_labelled")


@dataclass
class SoftLabelCollator(DataCollatorForPreference):
    """TRL's collator, which drops every key it does not know, with ours put back."""

    def torch_call(self, examples: list[dict[str, Any]]) -> dict[str, Any]:
        extra = {key: torch.tensor([float(e[key]) for e in examples]) for key in EXTRA}
        return super().torch_call(examples) | extra


class WeakToStrongRewardTrainer(RewardTrainer):
    """TRL's reward trainer with soft labels and, where ``alpha`` is given, the explicit conflict."""

    alpha: float | None = None

    def _set_signature_columns_if_needed(self) -> None:
        # Without this the trainer would remove the labels silently and train on hard ones.
        super()._set_signature_columns_if_needed()
        self._signature_columns = list(dict.fromkeys([*self._signature_columns, *EXTRA]))

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        label, weakly_labelled = (inputs.pop(key) for key in EXTRA)
        loss, outputs = super().compute_loss(model, inputs, return_outputs=True, num_items_in_batch=num_items_in_batch)
        chosen, rejected = outputs.logits.squeeze(-1).float().chunk(2)
        loss = loss + soft_label_term(chosen - rejected, label)
        if self.alpha is not None:
            loss = loss + explicit_conflict(chosen - rejected, weakly_labelled, self.alpha)
        return (loss, outputs) if return_outputs else loss


def reward_model(folder: str | Path, recipe: Recipe, seed: int) -> PreTrainedModel:
    """The pretrained model in ``folder`` with a new scalar head drawn from ``seed``."""
    with suppress_seqcls_warning():
        model = AutoModelForSequenceClassification.from_pretrained(folder, num_labels=1)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        model.score.weight.copy_(recipe.head_scale * torch.randn(model.score.weight.shape, generator=generator))
    return model


def training_pairs(run: Train, labels: pd.DataFrame | None) -> pd.DataFrame:
    """The pairs that a run trains on, with ``label`` (probability of the true order) and ``weakly_labelled``.

    ``labels`` are the labelling run's scores, or None for ground truth.  A mixed conflict appends as
    many pairs of its objective, from the same split's substances, with their own hard labels.
    """
    frame = pairs_module.split(run.pairs, run.split)
    if labels is None:
        frame = frame.assign(label=1.0)
    else:
        frame = frame.assign(label=labels.set_index("pair_id")["p_true"].loc[frame["pair_id"]].to_numpy())
    frame = frame.assign(weakly_labelled=labels is not None or run.conflict.kind == "explicit")
    if run.conflict.kind == "mixed":
        extra = pairs_module.split(run.pairs, run.split, run.conflict.objective).iloc[: len(frame)]
        frame = pd.concat([frame, extra.assign(label=1.0, weakly_labelled=False)], ignore_index=True)
    return frame


def optimizer(model: PreTrainedModel, recipe: Recipe) -> torch.optim.Optimizer:
    """AdamW without decay; the head, which starts near zero, learns faster than the trunk."""
    head = list(model.score.parameters())
    trunk = [p for name, p in model.named_parameters() if not name.startswith("score.")]
    groups = [{"params": trunk, "lr": recipe.learning_rate}, {"params": head, "lr": recipe.head_learning_rate}]
    return torch.optim.AdamW(groups, weight_decay=0.0)


def fit(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, frame: pd.DataFrame, run: Train, folder: Path) -> None:
    """Train ``model`` in place on ``frame`` (columns of ``training_pairs``) by the run's recipe and conflict."""
    chosen, rejected = encode(tokenizer, frame)
    columns = {"chosen_ids": chosen, "rejected_ids": rejected, **{key: frame[key].astype(float) for key in EXTRA}}
    seed = stream(run.pairs.world.seed, "order", run.replica) % 2**32
    # A second set doubles the batch, so that every condition takes the same number of steps.
    batch_size = run.recipe.batch_size * (2 if run.conflict.kind == "mixed" else 1)
    arguments = RewardConfig(
        output_dir=str(folder),
        num_train_epochs=run.recipe.epochs,
        per_device_train_batch_size=batch_size,
        learning_rate=run.recipe.learning_rate,
        lr_scheduler_type="linear",
        warmup_steps=run.recipe.warmup_steps,
        max_grad_norm=run.recipe.max_grad_norm,
        seed=seed,
        data_seed=seed,
        bf16=False,
        activation_checkpointing=False,
        max_length=None,
        use_cpu=True,
        logging_strategy="no",
        save_strategy="no",
        report_to=[],
        disable_tqdm=True,
    )
    trainer = WeakToStrongRewardTrainer(
        model,
        arguments,
        data_collator=SoftLabelCollator(tokenizer.pad_token_id),
        train_dataset=Dataset.from_dict(columns),
        processing_class=tokenizer,
        optimizers=(optimizer(model, run.recipe), None),
    )
    trainer.alpha = run.conflict.alpha
    trainer.remove_callback(PrinterCallback)
    trainer.train()


def train(run: Train, base: Path, labels: pd.DataFrame | None, folder: Path) -> None:
    """Fine-tune the model in ``base`` as the run says; leaves ``scores.parquet`` in ``folder``.

    Scored are the test pairs and the weak-label half: what a supervisor's students learn from, and
    what a student made of its own training pairs.
    """
    tokenizer = world_tokenizer(run.pairs.world)
    model = reward_model(base, run.recipe, stream(run.pairs.world.seed, "head", run.replica))
    if run.recipe.epochs:
        fit(model, tokenizer, training_pairs(run, labels), run, folder)
    frame = pairs_module.load(run.pairs)
    score(model, tokenizer, frame[frame["split"] != "ground_truth"]).to_parquet(folder / "scores.parquet")
