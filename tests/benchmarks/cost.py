"""The cost model beside real training: three sizes of GPT-2 on texts as long as HH-RLHF's, and every run of the world
in a store.

    python -m tests.benchmarks.cost [--repeats 3] [--store .store]

Each size is trained by the library's own trainer on one thread, once on few pairs and once on more: the difference is
what a token costs, the rest what a run takes beside it.  Seconds are the processor's, so that other work on the
machine matters little.  The model is given one number, the rate that the middle size sustains, and predicts the other
two.  For the world's runs, which are too small to be all arithmetic, the rate, and what a step and a run take beside
it, are fitted to the records of the store.
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
from scipy.optimize import nnls
from tokenizers import Tokenizer, models, pre_tokenizers
from torch.autograd.graph import saved_tensors_hooks
from transformers import GPT2Config, GPT2ForSequenceClassification, PreTrainedTokenizerFast
from transformers.utils import logging

from tests.benchmarks.record import record
from tests.benchmarks.throughput import VOCABULARY, batches, lengths
from w2s_lib.lab.store import Store, hardware
from w2s_lib.models.scores import reward_gaps
from w2s_lib.specs import Checkpoint, Pretrain, Recipe, Source, Texts, Train
from w2s_lib.study.cost import Size, Work, arithmetic, of_config, size, work
from w2s_lib.training import reward_model

SHAPES = ((4, 256), (6, 384), (12, 768))
"""Blocks and width; the last is GPT-2's own."""

CALIBRATED = 1
"""Which of them tells the model its rate."""

FEW, MORE = 32, 64
"""Pairs: one optimiser step, and two."""

RUN = Train(
    model=Checkpoint(name="random", revision="0"),
    pairs=Texts(source=Source(name="random", revision="0")),
    split="ground_truth",
    recipe=Recipe(epochs=1),
)


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
    frame = pd.DataFrame(rows, columns=["opening", "chosen", "rejected"]).assign(
        ending="", label=1.0, weakly_labelled=False
    )
    return frame.assign(opening=frame["opening"] + " "), tokens


def build(blocks: int, width: int) -> tuple[GPT2ForSequenceClassification, Size]:
    torch.manual_seed(0)
    config = GPT2Config(
        n_layer=blocks,
        n_embd=width,
        n_head=width // 64,
        num_labels=1,
        pad_token_id=0,
        resid_pdrop=0,
        embd_pdrop=0,
        attn_pdrop=0,
    )
    return GPT2ForSequenceClassification(config), of_config(config)


def seconds(do, *arguments) -> float:
    """Of the processor."""
    start = time.process_time()
    do(*arguments)
    return time.process_time() - start


def gemm_rate(n: int = 1536) -> float:
    """Operations a second of a large product of matrices, the best of five."""
    a, b = torch.randn(n, n), torch.randn(n, n)
    return 2 * n**3 / min(seconds(torch.mm, a, b) for _ in range(5))


def kept(blocks: int, width: int, dtype: torch.dtype = torch.float32) -> float:
    """Bytes kept for the backward pass, for each token, block and hidden unit: what more tokens add."""
    model, _ = build(blocks, width)
    model.train()
    sums = []
    for rows in (4, 8):
        found: dict[int, int] = {}

        def note(tensor: torch.Tensor) -> torch.Tensor:
            found[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
            return tensor

        with (
            saved_tensors_hooks(note, lambda tensor: tensor),
            torch.autocast("cpu", dtype, enabled=dtype != torch.float32),
        ):
            model(input_ids=torch.randint(1, VOCABULARY, (rows, 64))).logits.sum()
        sums.append(sum(found.values()))
    return (sums[1] - sums[0]) / (4 * 64 * blocks * width)


def sizes(repeats: int) -> list[dict[str, object]]:
    tokenizer, found, gemm = words(), {}, []
    few, more = texts(FEW, 1), texts(MORE, 2)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        warm, _ = build(2, 128)
        reward_model.fit(warm, tokenizer, few[0], RUN, folder)  # what is imported and compiled once
        for _ in range(repeats):
            gemm.append(gemm_rate())
            for shape in SHAPES:
                model, its = build(*shape)
                short, long = (
                    seconds(reward_model.fit, model, tokenizer, frame, RUN, folder) for frame, _ in (few, more)
                )
                a_token = (long - short) / (more[1] - few[1])
                found.setdefault((shape, "training"), []).append((a_token, short - a_token * few[1]))
                found.setdefault((shape, "scoring"), []).append(
                    (seconds(reward_gaps, model, tokenizer, few[0]) / few[1], 0.0)
                )
    rows = []
    for (shape, name), values in found.items():
        its, (tokens, overheads) = build(*shape)[1], zip(*values)
        operations = arithmetic(Work(1, 0) if name == "training" else Work(0, 1), its)
        rows.append({
            "work": name, "model": "{}x{}".format(*shape), "weights": its.weights, "body": its.body,
            "operations": operations, "microseconds": 1e6 * statistics.median(tokens), "low": 1e6 * min(tokens),
            "high": 1e6 * max(tokens), "rate": operations / statistics.median(tokens),
            "gemm_rate": statistics.median(gemm), "overhead": statistics.median(overheads),
        })  # fmt: skip
    known = next(
        row["rate"] for row in rows if (row["work"], row["model"]) == ("training", "{}x{}".format(*SHAPES[CALIBRATED]))
    )
    return [row | {"predicted": 1e6 * row["operations"] / known} for row in rows]


def world(store: Store) -> list[dict[str, object]]:
    """Rate, and seconds of a step and of a run beside it, fitted to the records of a store, and how they predict each
    kind and size.

    Least squares of relative errors, one row a kind and size, none of the three below zero.
    """
    found = []
    for path in store.root.glob("*/*/*/record.json"):
        one = json.loads(path.read_text(encoding="utf-8"))
        kind = {"Pretrain": Pretrain, "Train": Train}.get(one["kind"])
        run = kind.model_validate(one["spec"]) if kind else None
        model = getattr(run, "model", run)
        if isinstance(model, Pretrain):
            todo = work(run)
            name = "pretraining" if isinstance(run, Pretrain) else run.method
            found.append((name, model.width, arithmetic(todo, size(model)), todo.steps, one["seconds"]))
    if not found:
        return []
    runs = pd.DataFrame(found, columns=["work", "width", "operations", "steps", "seconds"])
    rows = runs.groupby(["work", "width"]).median().reset_index()
    factors = np.column_stack([rows["operations"] / 1e9, rows["steps"], np.ones(len(rows))])
    (slope, step, overhead), _ = nnls(factors / rows["seconds"].to_numpy()[:, None], np.ones(len(rows)))
    print(
        f"the world's runs: {1e9 / slope if slope else float('inf'):.3g} operations a second, "
        f"{1000 * step:.1f} ms a step, {overhead:.2f} s a run"
    )
    runs_of = runs.groupby(["work", "width"]).size().to_numpy()
    return rows.assign(runs=runs_of, predicted=factors @ [slope, step, overhead]).to_dict("records")


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
    for dtype in (torch.float32, torch.bfloat16):
        print(
            f"bytes kept for the backward pass a token, block and hidden unit, {dtype}: {kept(*SHAPES[1], dtype):.0f}"
        )
    measured, small = sizes(given.repeats), world(Store(given.store)) if Path(given.store).is_dir() else []
    for rows in (measured, small):
        print(pd.DataFrame(rows).to_string(index=False, float_format="{:.4g}".format), flush=True)
    record("cost", measured, {"calibrated": "{}x{}".format(*SHAPES[CALIBRATED]), "repeats": str(given.repeats)})
    if small:
        record("cost_world", small)
    return 0


if __name__ == "__main__":
    sys.exit(main())
