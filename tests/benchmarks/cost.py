"""The cost model beside real training: three sizes of GPT-2 on texts as long as HH-RLHF's, and every run of the world in a store.

    python -m tests.benchmarks.cost [--repeats 3] [--store .store]

Each size is trained by the library's own trainer on one thread, once on few pairs and once on more: the difference is what a token costs,
the rest what a run takes beside it.  The model is given one number, the rate that the middle size sustains, and predicts the other two.
For the world's runs, which are too small to be all arithmetic, rate and overhead are fitted to the records of the store.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from torch.autograd.graph import saved_tensors_hooks
from transformers import GPT2Config, GPT2ForSequenceClassification, PreTrainedTokenizerFast
from transformers.utils import logging

from tests.benchmarks.record import record
from tests.benchmarks.throughput import VOCABULARY, batches, lengths
from w2s_lib import reward_model
from w2s_lib.cost import Size, Work, arithmetic, of_config, size, work
from w2s_lib.run import Pairs, Pretrain, Recipe, Train, World
from w2s_lib.score import reward_gaps
from w2s_lib.store import Store, hardware

SHAPES = ((4, 256), (6, 384), (12, 768))
"""Blocks and width; the last is GPT-2's own."""

CALIBRATED = 1
"""Which of them tells the model its rate."""

FEW, MORE = 32, 96
"""Pairs: one optimiser step, and three."""

WORLD = World(seed=900, substances=30)
RUN = Train(model=Pretrain(world=WORLD, width=8), pairs=Pairs(world=WORLD), split="ground_truth", recipe=Recipe(epochs=1))


def words() -> PreTrainedTokenizerFast:
    """One token a number."""
    backend = Tokenizer(models.WordLevel({str(i): i for i in range(VOCABULARY)}, unk_token="0"))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(tokenizer_object=backend, pad_token="0", padding_side="right")


def texts(pairs: int, seed: int) -> tuple[pd.DataFrame, int]:
    """Pairs of numbers, and how many tokens they have, what both texts of a pair share counted once."""
    batch, rows, tokens = batches(1, pairs, seed)[0], [], 0
    for chosen, rejected in zip(batch.chosen, batch.rejected):
        shared, first, second = lengths(chosen, rejected)
        tokens += first + second - shared
        rows.append([" ".join(map(str, ids)) for ids in (chosen[:shared], chosen[shared:], rejected[shared:])])
    frame = pd.DataFrame(rows, columns=["opening", "chosen", "rejected"]).assign(ending="", label=1.0, weakly_labelled=False)
    return frame.assign(opening=frame["opening"] + " "), tokens


def build(blocks: int, width: int) -> tuple[GPT2ForSequenceClassification, Size]:
    torch.manual_seed(0)
    config = GPT2Config(
        n_layer=blocks, n_embd=width, n_head=width // 64, num_labels=1, pad_token_id=0, resid_pdrop=0, embd_pdrop=0, attn_pdrop=0
    )
    return GPT2ForSequenceClassification(config), of_config(config)


def seconds(do, *arguments) -> float:
    start = time.perf_counter()
    do(*arguments)
    return time.perf_counter() - start


def gemm_rate(n: int = 1536) -> float:
    """Operations a second of a large product of matrices, the best of five."""
    a, b = torch.randn(n, n), torch.randn(n, n)
    return 2 * n**3 / min(seconds(torch.mm, a, b) for _ in range(5))


def kept(blocks: int, width: int) -> float:
    """Numbers kept for the backward pass, for each token, block and hidden unit."""
    model, _ = build(blocks, width)
    model.train()
    own, found = {p.untyped_storage().data_ptr() for p in model.parameters()}, {}

    def note(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            found[storage.data_ptr()] = storage.nbytes() // 4
        return tensor

    ids = torch.randint(1, VOCABULARY, (8, 64))
    with saved_tensors_hooks(note, lambda tensor: tensor):
        model(input_ids=ids).logits.sum()
    return sum(found.values()) / (ids.numel() * blocks * width)


def sizes(repeats: int) -> list[dict[str, object]]:
    tokenizer, rows = words(), []
    few, more = texts(FEW, 1), texts(MORE, 2)
    with tempfile.TemporaryDirectory() as folder:
        for blocks, width in SHAPES:
            trained, overheads, read = [], [], []
            model, its = build(blocks, width)
            reward_model.fit(model, tokenizer, few[0], RUN, Path(folder))
            for _ in range(repeats):
                short, long = (seconds(reward_model.fit, model, tokenizer, frame, RUN, Path(folder)) for frame, _ in (few, more))
                a_token = (long - short) / (more[1] - few[1])
                trained.append(a_token)
                overheads.append(short - a_token * few[1])
                read.append(seconds(reward_gaps, model, tokenizer, more[0]) / more[1])
            gemm = gemm_rate()
            for name, found, per_token in (("training", trained, Work(1, 0)), ("scoring", read, Work(0, 1))):
                operations = arithmetic(per_token, its)
                rows.append({
                    "work": name, "model": f"{blocks}x{width}", "weights": its.weights, "body": its.body, "operations": operations,
                    "microseconds": 1e6 * statistics.median(found), "low": 1e6 * min(found), "high": 1e6 * max(found),
                    "rate": operations / statistics.median(found), "gemm_rate": gemm,
                    "overhead": statistics.median(overheads) if name == "training" else 0.0,
                })  # fmt: skip
    for row in rows:
        known = next(r for r in rows if r["work"] == "training" and r["model"] == "{}x{}".format(*SHAPES[CALIBRATED]))
        row["predicted"] = 1e6 * row["operations"] / known["rate"]
    return rows


def world(store: Store) -> list[dict[str, object]]:
    """Rate and overhead of the world's runs, fitted to the records of a store by least absolute error, and how they predict each size."""
    found = []
    for path in store.root.glob("*/*/*/record.json"):
        one = json.loads(path.read_text())
        if one["kind"] in ("Pretrain", "Train"):
            run = (Pretrain if one["kind"] == "Pretrain" else Train).model_validate(one["spec"])
            model = run if isinstance(run, Pretrain) else run.model
            if isinstance(model, Pretrain):
                kind = "pretraining" if isinstance(run, Pretrain) else run.method
                found.append((kind, model.width, arithmetic(work(run), size(model)), one["seconds"]))
    if not found:
        return []
    runs = pd.DataFrame(found, columns=["kind", "width", "operations", "seconds"])
    train = runs[runs["kind"] == "reward_model"]
    medians = train.groupby("width")[["operations", "seconds"]].median()
    slope, overhead = np.polyfit(medians["operations"], medians["seconds"], 1)
    print(f"world's reward models: {1 / slope:.3g} operations a second, {overhead:.2f} s beside them")
    runs["predicted"] = runs["operations"] * slope + overhead
    groups = runs.groupby(["kind", "width"])
    return [
        {"work": kind, "model": f"width {width}", "runs": len(rows), "operations": rows["operations"].median(),
         "seconds": rows["seconds"].median(), "predicted": rows["predicted"].median()}
        for (kind, width), rows in groups
    ]  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--store", default=".store")
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    torch.set_num_threads(1)
    print(f"{hardware()}; one thread")
    activations = {f"{blocks}x{width}": kept(blocks, width) for blocks, width in SHAPES[:2]}
    print("numbers kept for the backward pass a token, block and hidden unit:", {k: round(v, 1) for k, v in activations.items()})
    measured, small = sizes(given.repeats), world(Store(given.store)) if Path(given.store).is_dir() else []
    for rows in (measured, small):
        print(pd.DataFrame(rows).to_string(index=False, float_format="{:.4g}".format), flush=True)
    record("cost", measured, {"calibrated": "{}x{}".format(*SHAPES[CALIBRATED]), "repeats": str(given.repeats)})
    if small:
        record("cost_world", small)
    return 0


if __name__ == "__main__":
    sys.exit(main())
