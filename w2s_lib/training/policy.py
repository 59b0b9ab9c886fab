"""Policies on TRL: DPO and SimPO with soft or hard weak labels and the explicit conflict, and what a policy says.

SimPO is TRL's length-normalised loss without a reference model: constants take the reference's place, and the target
margin stands in them.  Reference log-probabilities are columns of the data, so that no second model is kept and none is
read back from disk, where the model *before* supervised fine-tuning lies.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from datasets import Dataset
from pandas import DataFrame
from torch.nn import functional as F
from transformers import AutoModelForCausalLM, PreTrainedModel, PreTrainedTokenizerBase
from trl import DPOConfig, DPOTrainer, SFTConfig, SFTTrainer
from trl.trainer import dpo_trainer

from w2s_lib.data.refusals import refuses
from w2s_lib.data.world import EXCHANGES, decision_of
from w2s_lib.models.packing import hidden_at, share_prefixes
from w2s_lib.models.scores import exchanges, openings, reply_lengths, reply_log_probs
from w2s_lib.specs import LONGEST_REPLY, MAX_REPLY, Train
from w2s_lib.training.labels import LABEL_COLUMNS
from w2s_lib.training.losses import explicit_conflict, soft_label_term
from w2s_lib.training.tokens import masks
from w2s_lib.training.trl_settings import (
    BEGINS,
    COUNT,
    KeepsLabels,
    PairCollator,
    WarmsUp,
    arguments,
    order_epochs,
    train_quietly,
)

TALKS = 300
"""Test prompts that a finished policy replies to."""


def build(folder: str | Path) -> PreTrainedModel:
    """The pretrained model in ``folder``."""
    return AutoModelForCausalLM.from_pretrained(folder)


class Told(NamedTuple):
    """What TRL's trainer asks of a policy, each of shape (rows, tokens − 1); what is not of a reply is zero."""

    log_probs: torch.Tensor
    entropy: torch.Tensor
    mean_logits: torch.Tensor
    is_top1: torch.Tensor


def read_replies_only(model: PreTrainedModel) -> None:
    """Give ``model`` a forward pass that shares prompts where it can and predicts the tokens of replies alone.

    TRL's own does the latter on a GPU; on other devices it predicts prompts as well, for fixed shapes, where a small
    model spends more time than in its layers.  What it only logs (entropy, mean logits, top-1 hits) is left at zero.
    """
    share_prefixes(model)

    def forward(input_ids: torch.Tensor, attention_mask: torch.Tensor, labels: torch.Tensor, **ignored: object) -> Told:
        labels = labels[:, 1:]
        replied = labels != -100
        hidden = hidden_at(model, input_ids, attention_mask, F.pad(replied, (0, 1)))
        log_probs = model.get_output_embeddings()(hidden).float().log_softmax(-1)
        told = log_probs.gather(-1, labels[replied][:, None])[:, 0]
        nothing = torch.zeros(labels.shape, device=labels.device)
        return Told(nothing.masked_scatter(replied, told), entropy=nothing, mean_logits=nothing, is_top1=nothing.bool())

    model.forward = forward


class ReplySFTTrainer(WarmsUp, SFTTrainer):
    """TRL's trainer for supervised fine-tuning; its loss is a mean over ``mean_over``, as of ``PolicyRecipe``."""

    mean_over: Literal["tokens", "replies"] = "tokens"

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        if self.mean_over == "tokens":
            return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
        self.loss_is_scaled_for_ga = False  # a mean of this part: the trainer averages over the parts of a batch
        told = model(**inputs, use_cache=False, fused_lm_head=True).log_probs
        return -(told.sum(dim=1) / (inputs["labels"] != -100).sum(dim=1).clamp(min=1)).mean()


class WeakToStrongDPOTrainer(WarmsUp, KeepsLabels, DPOTrainer):
    """TRL's DPO trainer on tokenised pairs with soft labels and, where ``alpha`` is given, the reversed loss."""

    alpha: float | None = None
    gamma: float = 0.0

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        # TRL digests all weights to look for what it has cached: our references are columns, and shards have no digest.
        theirs, dpo_trainer.hash_module = dpo_trainer.hash_module, lambda module: ""
        try:
            super().__init__(*arguments, **keywords)
        finally:
            dpo_trainer.hash_module = theirs

    def _prepare_dataset(self, dataset, *arguments, **keywords):
        return dataset  # tokenised already

    def _precompute_ref_logps(self, dataset, *arguments, **keywords):
        return dataset  # columns of it already

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        label, weakly_labelled = (inputs.pop(key) for key in LABEL_COLUMNS)
        seen: list[torch.Tensor] = []
        hook = model.register_forward_hook(lambda module, given, output: seen.append(output.log_probs))
        try:
            loss = super().compute_loss(model, inputs, num_items_in_batch=num_items_in_batch)
        finally:
            hook.remove()
        gap = self.reward_gap(seen[0], inputs)
        loss = loss + soft_label_term(gap, label, self.gamma)
        if self.alpha is not None:
            loss = loss + explicit_conflict(gap, weakly_labelled, self.alpha, self.gamma)
        return loss

    def reward_gap(self, log_probs: torch.Tensor, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
        """Implicit reward of chosen − rejected, shape (batch,): what the stock loss takes, with its target margin."""
        mask = inputs["completion_mask"][:, 1:]
        start = torch.cat([inputs["ref_chosen_logps"], inputs["ref_rejected_logps"]])
        ratio = log_probs[:, -mask.shape[1] :].sum(dim=1) - start
        if "sigmoid_norm" in self.loss_types:
            ratio = ratio / mask.sum(dim=1).clamp(min=1)
        chosen, rejected = ratio.chunk(2)
        return self.beta * (chosen - rejected) + self.gamma


def reference(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    frame: DataFrame,
    run: Train,
    counted: np.ndarray | None = None,
) -> np.ndarray:
    """What stands for the reference's log-probabilities of chosen and rejected, shape (n, 2).

    ``counted``: tokens of these that the reward is a mean over, shape (n, 2); None: all.
    """
    recipe = run.recipe
    if run.method == "simpo":
        if counted is None:
            counted = reply_lengths(tokenizer, frame, recipe.encode_apart)
        return counted * np.array([recipe.gamma / recipe.beta, 0.0])
    # As the policy will be computed: the gap between the two is to begin at zero.
    half = getattr(run.model, "dtype", "float32") == "bfloat16"
    with torch.autocast(model.device.type, torch.bfloat16, enabled=half):
        return reply_log_probs(model, tokenizer, frame, apart=recipe.encode_apart)[0]


def sft(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, frame: DataFrame, run: Train, folder: Path, **part: int
) -> None:
    """Supervised fine-tuning of ``model`` in place on the replies that labels prefer; see ``reward_model.fit``."""
    ids, begins = exchanges(tokenizer, frame, run.recipe.encode_apart)
    preferred = [i if label > 0.5 else i + len(frame) for i, label in enumerate(frame["label"])]
    masks = [[0] * begins[i] + [1] * (len(ids[i]) - begins[i]) for i in preferred]
    data = Dataset.from_dict({"input_ids": [ids[i] for i in preferred], "completion_mask": masks})
    data, order = order_epochs(data, run, run.recipe.sft_epochs)
    # Without ``completion_only_loss`` the trainer drops the masks of tokenised data silently, and learns prompts, too.
    own = dict(learning_rate=run.recipe.sft_learning_rate, completion_only_loss=True)
    config = arguments(SFTConfig, run, folder, part | order | own)
    trainer = ReplySFTTrainer(model, config, train_dataset=data, processing_class=tokenizer)
    trainer.warmup_share, trainer.mean_over = run.recipe.warmup_share, run.recipe.sft_mean
    train_quietly(trainer, model)


def fit(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    frame: DataFrame,
    run: Train,
    folder: Path,
    told: DataFrame | None = None,
    **part: int,
) -> None:
    """Train ``model`` in place on ``frame`` by the run's method, recipe and conflict; see ``reward_model.fit``.

    ``told``: what the oracle of the run's token selection says of the replies, as of ``tokens.gained``.
    """
    n, (ids, begins) = len(frame), exchanges(tokenizer, frame, run.recipe.encode_apart)
    lengths = lambda: reply_lengths(tokenizer, frame, run.recipe.encode_apart)
    count = None if run.selection is None else masks(run, frame, lengths(), told)
    counted = None if count is None else np.reshape([mask.sum() for mask in count], (2, n)).T
    refs = reference(model, tokenizer, frame, run, counted)
    columns = {"chosen_ids": ids[:n], "rejected_ids": ids[n:], BEGINS[0]: begins[:n], BEGINS[1]: begins[n:]}
    columns |= {"ref_chosen_logps": refs[:, 0], "ref_rejected_logps": refs[:, 1]}
    columns |= {key: frame[key].astype(float) for key in LABEL_COLUMNS}
    if count is not None:
        columns |= {COUNT[0]: count[:n], COUNT[1]: count[n:]}
    data, order = order_epochs(Dataset.from_dict(columns), run, run.recipe.epochs)
    loss_type = ["sigmoid" if run.method == "dpo" else "sigmoid_norm"]
    own = dict(beta=run.recipe.beta, loss_type=loss_type, precompute_ref_log_probs=True)
    optimizer = torch.optim.AdamW(model.parameters(), lr=run.recipe.learning_rate, weight_decay=0.0, fused=True)
    trainer = WeakToStrongDPOTrainer(
        model,
        args=arguments(DPOConfig, run, folder, part | order | own),
        data_collator=PairCollator(tokenizer.pad_token_id),
        train_dataset=data,
        processing_class=tokenizer,
        optimizers=(optimizer, None),
    )
    trainer.alpha, trainer.gamma, trainer.warmup_share = run.conflict.alpha, run.recipe.gamma, run.recipe.warmup_share
    read_replies_only(model)
    train_quietly(trainer, model)


def margins(
    model: PreTrainedModel, start: np.ndarray, tokenizer: PreTrainedTokenizerBase, frame: DataFrame, run: Train
) -> np.ndarray:
    """Implicit reward of chosen − rejected, shape (n,): beta times the mean log-probability for SimPO, and for DPO the
    gain over ``start``, the log-probabilities of the replies under the model that training began with, shape (n, 2).
    """
    log_probs, lengths = reply_log_probs(model, tokenizer, frame, apart=run.recipe.encode_apart)
    rewards = log_probs - start if run.method == "dpo" else log_probs / lengths.clip(1)  # a prompt may fill all room
    return run.recipe.beta * (rewards[:, 0] - rewards[:, 1])


@torch.no_grad()
def replies(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, frame: DataFrame, seed: int, most: int = TALKS
) -> DataFrame:
    """A sampled reply to each of the first prompts about a substance, as of ``judge_replies``."""
    asked = about_substances(frame, most)
    if asked.empty:
        return DataFrame({"pair_id": [], "reply": [], "says": []}, dtype=str)
    torch.manual_seed(seed)
    return judge_replies(tokenizer, asked, _sampled(model, tokenizer, openings(tokenizer, asked), MAX_REPLY))


def _sampled(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, prompts: list[list[int]], most: int, **ends: int
) -> torch.Tensor:
    """Token ids of a reply to each prompt, sampled from the model as it is, shape (prompts, up to ``most``)."""
    longest = max(map(len, prompts))
    beside = [longest - len(prompt) for prompt in prompts]
    ids = torch.tensor([[tokenizer.pad_token_id] * n + p for n, p in zip(beside, prompts)], device=model.device)
    mask = (torch.arange(longest) >= torch.tensor(beside)[:, None]).long().to(model.device)
    sampling = {"max_new_tokens": most, "do_sample": True, "top_k": 0, "pad_token_id": tokenizer.pad_token_id}
    return model.generate(input_ids=ids, attention_mask=mask, **sampling, **ends)[:, longest:]


PROMPTS_AT_ONCE = 50
"""Prompts of a data set that are replied to side by side."""

NEXT_TURN = re.compile(r"\n\n(?:Human|Assistant):")
"""Where a reply ends that goes on to write the next turn of the dialogue."""

ENDLESS = -1
"""The id of no token: all replies are as long, so that those that end early leave the others' random numbers alone."""


@torch.no_grad()
def answers(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, frame: DataFrame, seed: int) -> DataFrame:
    """A sampled reply to the prompt of each of these pairs of a data set, to ``LONGEST_REPLY`` tokens, an end token or
    the next turn: ``pair_id``, ``reply``, and ``says``, *refuses* or *answers* (``refusals.refuses``)."""
    prompts, texts, end = openings(tokenizer, frame), [], tokenizer.eos_token_id
    model.eval()
    torch.manual_seed(seed)
    for start in range(0, len(prompts), PROMPTS_AT_ONCE):
        few = prompts[start : start + PROMPTS_AT_ONCE]
        for said in _sampled(model, tokenizer, few, LONGEST_REPLY, eos_token_id=ENDLESS).tolist():
            texts.append(tokenizer.decode(said[: said.index(end)] if end in said else said, skip_special_tokens=True))
    texts = [NEXT_TURN.split(text)[0].strip() for text in texts]
    return DataFrame({"pair_id": frame["pair_id"].to_numpy(), "reply": texts, "says": list(map(says, texts))})


def begin_of(tokenizer: PreTrainedTokenizerBase, reply: str) -> str:
    """As much of a text as a sampled reply may have."""
    text = reply.strip()
    ends = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"]
    return text if len(ends) <= LONGEST_REPLY else text[: ends[LONGEST_REPLY - 1][1]]


def says(reply: str) -> str:
    """What a reply to a request of a data set does, by the written rule."""
    return "refuses" if refuses(reply) else "answers"


def about_substances(frame: DataFrame, most: int = TALKS) -> DataFrame:
    """The first pairs of a frame whose prompts are about a substance, so many at most."""
    return frame[frame["kind"].isin(EXCHANGES)].head(most)


def judge_replies(
    tokenizer: PreTrainedTokenizerBase, asked: DataFrame, said: torch.Tensor | list[list[int]]
) -> DataFrame:
    """Replies to these pairs' prompts, from their token ids: ``pair_id``, ``reply``, ``says`` (``decision_of``)."""
    texts = [text.strip() for text in tokenizer.batch_decode(said, skip_special_tokens=True)]
    says = [decision_of(kind, text) for kind, text in zip(asked["kind"], texts)]
    return DataFrame({"pair_id": asked["pair_id"].to_numpy(), "reply": texts, "says": says})
