"""The ladder: tiny causal language models of growing width, pretrained live on the world's documents.

The rungs differ in width, in learning rate and in how many tokens each is pretrained on.  Wider models recall more of
the fact table; how much each one knows is measured (``knowledge``), never assumed.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    PrinterCallback,
    Trainer,
    TrainingArguments,
)

from w2s_lib import progress
from w2s_lib.data.world import BOS, EOS, HAZARD_WORDS, PAD, SAFE_WORDS, documents, questions, substances, vocabulary
from w2s_lib.specs import Pretrain, World, stream

MAX_POSITIONS = 64
ROPE_THETA = 100.0
"""For rows of 48 tokens: the usual 10,000 leaves a head this narrow one useful frequency."""


@lru_cache(maxsize=4)
def tokenizer(world: World) -> PreTrainedTokenizerFast:
    """One token a word; shared by all models of a world."""
    words = {word: i for i, word in enumerate(vocabulary(world))}
    backend = Tokenizer(models.WordLevel(words, unk_token=PAD))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, pad_token=PAD, bos_token=BOS, eos_token=EOS, padding_side="right"
    )


@lru_cache(maxsize=2)
def corpus(world: World, tokens: int, block: int) -> np.ndarray:
    """The first ``tokens`` tokens of the world's documents, packed into rows: shape (tokens // block, block)."""
    ids = {word: i for i, word in enumerate(vocabulary(world))}
    out: list[int] = []
    for document in documents(world):
        out += [ids[word] for word in document.text.split()]
        if len(out) >= tokens:
            break
    rows = tokens // block
    return np.asarray(out[: rows * block], dtype=np.int64).reshape(rows, block)


def build_untrained(spec: Pretrain) -> LlamaForCausalLM:
    """An untrained model of the spec's size; its weights depend on the world's seed, the width and the replica.

    Torch's random state stays as it was.

    Weights start with standard deviation width^-1/2.  A fixed one leaves narrow models with flat attention,
    and how much they come to know is then more a matter of luck than of width.
    """
    config = LlamaConfig(
        vocab_size=len(vocabulary(spec.world)),
        hidden_size=spec.width,
        intermediate_size=4 * round(2 * spec.width / 3),
        num_hidden_layers=spec.layers,
        num_attention_heads=spec.heads,
        max_position_embeddings=MAX_POSITIONS,
        rope_parameters={"rope_type": "default", "rope_theta": ROPE_THETA},
        tie_word_embeddings=True,
        initializer_range=spec.width**-0.5,
        pad_token_id=tokenizer(spec.world).pad_token_id,
        bos_token_id=tokenizer(spec.world).bos_token_id,
        eos_token_id=tokenizer(spec.world).eos_token_id,
    )
    with torch.random.fork_rng(devices=[]):  # transformers draws from torch's own stream and from no other
        torch.default_generator.manual_seed(stream(spec.world.seed, "pretraining", spec.width, *_again(spec)))
        return LlamaForCausalLM(config)


def _again(spec: Pretrain) -> tuple[int, ...]:
    """What the streams of a replica are called beside; the first one's are called as before there were others."""
    return (spec.replica,) if spec.replica else ()


def pretrain(spec: Pretrain, folder: Path) -> dict[str, object]:
    """Train a model on its world's documents; leaves weights, tokenizer and ``knowledge.parquet`` in ``folder``.

    Returns notes for the record: ``parameters``, ``steps``, mean training ``loss`` in nats a token.
    """
    model = build_untrained(spec)
    rows = corpus(spec.world, spec.tokens, spec.block)
    tensors = torch.from_numpy(rows)
    data = [{"input_ids": row, "labels": row} for row in tensors]  # in memory: reading rows must not outweigh the step
    arguments = TrainingArguments(
        output_dir=str(folder),
        num_train_epochs=1,
        per_device_train_batch_size=min(spec.batch_size, len(rows)),
        learning_rate=spec.learning_rate,
        lr_scheduler_type="linear",
        warmup_steps=40,
        adam_beta2=0.98,
        weight_decay=0.01,
        max_grad_norm=1.0,
        dataloader_drop_last=True,
        seed=stream(spec.world.seed, "pretraining order", *_again(spec)) % 2**32,
        use_cpu=True,
        logging_strategy="no",
        save_strategy="no",
        report_to=[],
        disable_tqdm=True,
    )
    trainer = Trainer(model, arguments, train_dataset=data)
    trainer.remove_callback(PrinterCallback)
    progress.watch(trainer)
    outcome = trainer.train()
    model.eval()
    model.save_pretrained(folder)
    tokenizer(spec.world).save_pretrained(folder)
    knowledge(model, spec.world).to_parquet(folder / "knowledge.parquet")
    return {"parameters": model.num_parameters(), "steps": outcome.global_step, "loss": round(outcome.training_loss, 4)}


@torch.no_grad()
def knowledge(model: PreTrainedModel, world: World) -> pd.DataFrame:
    """What a language model says of every substance, asked in each of the ways of ``world.questions``.

    Columns of ``world.substances`` plus ``p_true``: probability of the true kind of hazard word,
    given that it says a hazard or a safe word, averaged over the questions.  One way of asking would
    measure how well the model likes that way.
    """
    asked = questions(world)
    ids = tokenizer(world)(asked["text"].tolist(), add_special_tokens=False)["input_ids"]
    word = tokenizer(world).convert_tokens_to_ids
    p_hazard = np.empty(len(ids))
    for length in {len(row) for row in ids}:  # no padding: batches of one length each
        index = [i for i, row in enumerate(ids) if len(row) == length]
        p = model(input_ids=torch.tensor([ids[i] for i in index])).logits[:, -1].softmax(-1)
        hazard, safe = p[:, word(HAZARD_WORDS)].sum(-1), p[:, word(SAFE_WORDS)].sum(-1)
        p_hazard[index] = (hazard / (hazard + safe)).double().numpy()
    mean = pd.Series(p_hazard).groupby(asked["name"]).mean()
    table = substances(world)
    said = mean.loc[table["name"]].to_numpy()
    return table.assign(p_true=np.where(table["hazardous"], said, 1 - said))
