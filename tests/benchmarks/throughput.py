"""How fast rewards are trained and read: the reference recipe, plain TRL, and the ways of this library.

    python -m tests.benchmarks.throughput [--models 6x384 12x768] [--repeats 5]

Models are GPT-2s with random weights and GPT-2's vocabulary; texts are random tokens that are as long, and share as
much, as real single-turn pairs of HH-RLHF (``lengths.csv``: counts of tokens alone).  Every repeat measures every way
on the same pairs, one after another and on one thread; what is kept are ratios within a repeat: their median,
smallest and largest.  Times are seconds of that thread, so that other work on the machine counts little; on a GPU,
those of a clock.  Every way takes the same optimiser step; by how much its gradient, or its scores, differ from the
reference's is measured as well.  Where matrix products in bfloat16 are slower than in fp32, that way is measured
once, in the round that warms up, at the first size.  In the bench file the rows of these models are replaced.
"""

from __future__ import annotations

import argparse
import copy
import csv
import gc
import json
import os
import random
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from datasets import Dataset, disable_progress_bars
from tokenizers import Tokenizer, models
from torch.nn import functional as F
from torch.nn.utils.rnn import pad_sequence
from transformers import (
    GPT2Config,
    GPT2ForSequenceClassification,
    PreTrainedTokenizerFast,
    PrinterCallback,
    TrainerCallback,
)
from transformers.pytorch_utils import Conv1D
from transformers.utils import logging
from trl import RewardConfig, RewardTrainer
from trl.trainer.reward_trainer import DataCollatorForPreference

from tests.benchmarks.record import record
from w2s_lib.findings.benchmarks import LAST_BENCH
from w2s_lib.lab.store import hardware, versions
from w2s_lib.models.packing import budget, gaps_of_ids, share_prefixes
from w2s_lib.study.cost import ACTIVATIONS
from w2s_lib.training.reward_model import PairCollator, WeakToStrongRewardTrainer

LENGTHS = Path(__file__).with_name("lengths.csv")
VOCABULARY = 50_257
PAIRS = 32
"""Pairs an optimiser step."""

SCORED = 64
"""Pairs of one measurement of scoring up to width 384, two batches of the reference's; of wider models half as many."""

REFERENCE, TRL = "reference recipe", "TRL, batches of 32"
PAD = 0

Texts = list[list[int]]


class Batch(NamedTuple):
    """Token ids of both texts of some pairs."""

    chosen: Texts
    rejected: Texts


class Outcome(NamedTuple):
    """What one way did: how long it took, what went through the model, and its gradient or its scores."""

    seconds: float
    tokens: int
    operations: int
    """Of the blocks' matrices: two a weight and token, and four more in a backward pass."""
    result: torch.Tensor


class Way(NamedTuple):
    """One way of doing the same work."""

    name: str
    dtype: str
    do: Callable[[GPT2ForSequenceClassification, Batch], tuple[float, torch.Tensor]]
    shared: bool = False


def lengths(chosen: Sequence[int], rejected: Sequence[int]) -> tuple[int, int, int]:
    """Tokens that both texts begin with, tokens of the chosen and of the rejected one."""
    shared = next((i for i, (a, b) in enumerate(zip(chosen, rejected)) if a != b), min(len(chosen), len(rejected)))
    return shared, len(chosen), len(rejected)


def batches(count: int, size: int, seed: int) -> list[Batch]:
    """Pairs of random tokens with the recorded lengths, drawn without repetition while there are enough."""
    rng = random.Random(seed)
    with LENGTHS.open(encoding="utf-8") as stream:
        recorded = [tuple(map(int, row)) for row in list(csv.reader(stream))[1:]]
    drawn = (rng.sample(recorded, len(recorded)) * (1 + count * size // len(recorded)))[: count * size]
    word = lambda: rng.randrange(1, VOCABULARY)
    out = []
    for begin in range(0, len(drawn), size):
        chosen, rejected = [], []
        for shared, good, bad in drawn[begin : begin + size]:
            prefix = [word() for _ in range(shared)]
            chosen.append(prefix + [word() for _ in range(good - shared)])
            rejected.append(prefix + [word() for _ in range(bad - shared)])
        out.append(Batch(chosen, rejected))
    return out


def build(layers: int, width: int) -> GPT2ForSequenceClassification:
    torch.manual_seed(0)
    dropout = dict(resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0)
    config = GPT2Config(
        n_layer=layers, n_embd=width, n_head=width // 64, num_labels=1, pad_token_id=PAD, use_cache=False, **dropout
    )
    return GPT2ForSequenceClassification(config).to(DEVICE)


def tokenizer() -> PreTrainedTokenizerFast:
    """What TRL asks for a padding token; the texts are tokens already."""
    return PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(models.WordLevel({"<pad>": PAD}, unk_token="<pad>")), pad_token="<pad>"
    )


DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


def now() -> float:
    if DEVICE == "cpu":
        return time.process_time()
    torch.cuda.synchronize()
    return time.perf_counter()


def gradient(model: torch.nn.Module) -> torch.Tensor:
    return torch.cat([p.grad.flatten() for p in model.parameters()])


def adam(model: torch.nn.Module) -> torch.optim.Optimizer:
    """The optimiser of every way, its moments allocated: they are no part of a step."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5, weight_decay=0.0, fused=True)
    for p in model.parameters():
        p.grad = torch.zeros_like(p)
    optimizer.step()
    optimizer.zero_grad()
    return optimizer


class Watch(TrainerCallback):
    """Times a trainer's one step, and keeps its gradient."""

    begin = seconds = 0.0
    gradient = torch.empty(0)

    def on_step_begin(self, args, state, control, **keywords):
        self.begin = now()

    def on_pre_optimizer_step(self, args, state, control, model=None, **keywords):
        if KEEP_GRADIENTS:
            self.gradient = gradient(model)

    def on_step_end(self, args, state, control, **keywords):
        self.seconds = now() - self.begin


KEEP_GRADIENTS = False
"""Whether gradients are kept: not while steps are timed."""


def settings(folder: str, dtype: str, **fields: object) -> RewardConfig:
    return RewardConfig(
        output_dir=folder, per_device_train_batch_size=PAIRS, per_device_eval_batch_size=PAIRS, num_train_epochs=1,
        max_length=None, max_grad_norm=0, bf16=dtype == "bfloat16", activation_checkpointing=False,
        use_cpu=DEVICE == "cpu", lr_scheduler_type="constant", learning_rate=1e-5, logging_strategy="no",
        save_strategy="no", report_to=[], disable_tqdm=True, dataloader_pin_memory=False, **fields,
    )  # fmt: skip


# Training: one optimiser step on 32 pairs


def reference_step(model: GPT2ForSequenceClassification, batch: Batch) -> tuple[float, torch.Tensor]:
    """Pair by pair, one forward pass for each text, gradients summed over the batch.

    The published code asks for activations to be recomputed as well, of a model in evaluation mode, where nothing is.
    """
    optimizer, kept = adam(model), torch.empty(0)
    model.train()
    begin = now()
    for pair in zip(*batch):
        good, bad = (model(input_ids=torch.tensor([ids], device=DEVICE)).logits.squeeze() for ids in pair)
        (F.softplus(bad - good) / len(batch.chosen)).backward()
    if KEEP_GRADIENTS:
        kept = gradient(model)
    optimizer.step()
    optimizer.zero_grad()
    return now() - begin, kept


def trainer_step(kind: type[RewardTrainer], dtype: str) -> Callable[..., tuple[float, torch.Tensor]]:
    def step(model: GPT2ForSequenceClassification, batch: Batch) -> tuple[float, torch.Tensor]:
        columns, collator = batch._asdict(), DataCollatorForPreference(PAD)
        if kind is WeakToStrongRewardTrainer:
            columns |= {"label": [1.0] * PAIRS, "weakly_labelled": [0.0] * PAIRS}
            collator = PairCollator(PAD)
        data = Dataset.from_dict(
            {{"chosen": "chosen_ids", "rejected": "rejected_ids"}.get(k, k): v for k, v in columns.items()}
        )
        watch = Watch()
        with tempfile.TemporaryDirectory() as folder:
            trainer = kind(
                model,
                settings(folder, dtype),
                data_collator=collator,
                train_dataset=data,
                processing_class=tokenizer(),
                optimizers=(adam(model), None),
                callbacks=[watch],
            )
            trainer.remove_callback(PrinterCallback)
            if kind is WeakToStrongRewardTrainer:
                trainer.token_budget = budget(model)
            trainer.train()
        return watch.seconds, watch.gradient

    return step


TRAINING = [
    Way(REFERENCE, "float32", reference_step),
    Way(TRL, "float32", trainer_step(RewardTrainer, "float32")),
    Way("length buckets", "float32", trainer_step(WeakToStrongRewardTrainer, "float32")),
    Way("shared prefixes", "float32", trainer_step(WeakToStrongRewardTrainer, "float32"), shared=True),
    Way("shared prefixes", "bfloat16", trainer_step(WeakToStrongRewardTrainer, "bfloat16"), shared=True),
]

# Scoring: reward of chosen − rejected


def scores_in_batches(size: int) -> Callable[..., tuple[float, torch.Tensor]]:
    """Batches of so many pairs in the order they come, chosen and rejected apart, each padded to its longest text.

    The published code does so with 32 pairs for all but its largest models.
    """

    @torch.no_grad()
    def scores(model: GPT2ForSequenceClassification, batch: Batch) -> tuple[float, torch.Tensor]:
        model.eval()
        begin, read = now(), []
        for texts in batch:
            rows = [
                pad_sequence([torch.tensor(ids) for ids in texts[i : i + size]], batch_first=True)
                for i in range(0, len(texts), size)
            ]
            read.append(torch.cat([model(input_ids=row.to(DEVICE)).logits.squeeze(-1) for row in rows]).cpu())
        return now() - begin, read[0] - read[1]

    return scores


def trl_scores(model: GPT2ForSequenceClassification, batch: Batch) -> tuple[float, torch.Tensor]:
    data = Dataset.from_dict({"chosen_ids": batch.chosen, "rejected_ids": batch.rejected})
    with tempfile.TemporaryDirectory() as folder:
        trainer = RewardTrainer(
            model,
            settings(folder, "float32"),
            train_dataset=data,
            processing_class=tokenizer(),
            data_collator=DataCollatorForPreference(PAD),
        )
        begin = now()
        read = torch.tensor(trainer.predict(data).predictions).flatten()
        seconds = now() - begin
    good, bad = zip(
        *(block.chunk(2) for block in read.split(2 * PAIRS))
    )  # blocks of a batch's chosen texts and its rejected ones
    return seconds, torch.cat(good) - torch.cat(bad)


def our_scores(dtype: str) -> Callable[..., tuple[float, torch.Tensor]]:
    def scores(model: GPT2ForSequenceClassification, batch: Batch) -> tuple[float, torch.Tensor]:
        begin = now()
        found = gaps_of_ids(model, *batch, dtype=dtype)
        return now() - begin, torch.from_numpy(found)

    return scores


SCORING = [
    Way(REFERENCE, "float32", scores_in_batches(PAIRS)),
    Way(TRL, "float32", trl_scores),
    Way("one text at a time", "float32", scores_in_batches(1)),
    Way("shared prefixes", "float32", our_scores("float32"), shared=True),
    Way("shared prefixes", "bfloat16", our_scores("bfloat16"), shared=True),
]


def run(way: Way, model: GPT2ForSequenceClassification, batch: Batch) -> Outcome:
    """One way on its own copy of the model."""
    mine, tokens, products = copy.deepcopy(model), 0, 0
    assert not way.shared or share_prefixes(mine)

    def count(module: torch.nn.Module, given: tuple[torch.Tensor, ...]) -> None:
        nonlocal tokens, products
        if module is mine.transformer.wte:
            tokens += given[0].numel()
        else:
            products += given[0].numel() // module.weight.shape[0] * module.weight.numel()

    for module in (mine.transformer.wte, *(m for m in mine.modules() if isinstance(m, Conv1D))):
        module.register_forward_pre_hook(count)
    gc.collect()
    seconds, result = way.do(mine, batch)
    return Outcome(seconds, tokens, products * (6 if way in TRAINING else 2), result)


def gemm_rates(width: int, formats: Sequence[str] = ("float32", "bfloat16")) -> dict[str, float]:
    """Floating-point operations a second of a matrix product as large as those of the model's widest layers, by number
    format; at best of ten."""
    found = {}
    for name in formats:
        a, b = (
            torch.randn(shape, device=DEVICE).to(getattr(torch, name)) for shape in ((1024, width), (width, 4 * width))
        )
        times = []
        for _ in range(10):
            begin = now()
            a @ b
            times.append(now() - begin)
            if sum(times) > 3:  # as where the format is emulated
                break
        found[name] = 2 * 1024 * width * 4 * width / min(times)
    return found


def fits(layers: int, width: int, given: list[Batch]) -> bool:
    """Whether a whole batch, padded to its longest text, can be kept for the backward pass in half of this machine's
    memory."""
    if DEVICE == "cuda":
        return True
    longest = max(len(ids) for batch in given for texts in batch for ids in texts)
    needed = 2 * PAIRS * longest * layers * width * ACTIVATIONS["float32"]
    return needed < 0.5 * os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def middle(values: Sequence[float]) -> dict[str, float]:
    return {"value": round(statistics.median(values), 3), "low": round(min(values), 3), "high": round(max(values), 3)}


def measure(
    work: str, ways: list[Way], layers: int, width: int, repeats: int, once: bool = True
) -> list[dict[str, object]]:
    """One row a way and a baseline: the ratio of their times, and how far the way is from the machine's rate of
    matrix products.

    Ways in a number format that is slower than fp32 here are measured ``once``, or not at all.
    """
    global KEEP_GRADIENTS
    model, size = build(layers, width), f"{layers} × {width}"
    rates = [gemm_rates(width)]
    slow = [name for name, rate in rates[0].items() if rate < rates[0]["float32"]]
    ways = [way for way in ways if once or way.dtype not in slow]
    first, *rest = batches(1 + repeats, PAIRS if work == "training" or width > 384 else SCORED, seed=layers)
    if work == "training" and not fits(layers, width, [first, *rest]):
        print(f"  {size}: {TRL} would take more than half of the memory; left out", flush=True)
        ways = [way for way in ways if way.name != TRL]
    KEEP_GRADIENTS, results, errors, warm = True, [], [], {}
    for way in ways:  # a round to warm up, which shows whether all compute the same
        outcome = run(way, model, first)
        results = [*results[:1], outcome.result.double()]
        errors.append(float((results[-1] - results[0]).norm() / results[0].norm()))
        warm[way] = outcome._replace(result=torch.empty(0))
    KEEP_GRADIENTS, results = False, []
    rounds = [warm]
    for batch in rest:
        rates.append(gemm_rates(width, sorted({way.dtype for way in ways if way.dtype not in slow} | {"float32"})))
        rounds.append({way: run(way, model, batch) for way in ways if way.dtype not in slow})
        print(
            f"  {work}, {size}: " + ", ".join(f"{outcome.seconds:.2f} s" for outcome in rounds[-1].values()), flush=True
        )
    rows = []
    for baseline in [i for i, way in enumerate(ways) if way.name in (REFERENCE, TRL)]:
        for i, way in enumerate(ways[baseline:], baseline):
            counted = slice(0, 1) if way.dtype in slow else slice(1, None)
            done = [
                (each[way], each[ways[baseline]].seconds, rate[way.dtype])
                for each, rate in zip(rounds[counted], rates[counted])
            ]
            rows.append({
                "device": DEVICE, "work": work, "model": size, "way": way.name, "dtype": way.dtype,
                "against": ways[baseline].name,
                **middle([base / mine.seconds for mine, base, _ in done]), "repeats": len(done),
                "seconds": round(statistics.median(mine.seconds for mine, _, _ in done), 3),
                "tokens": round(statistics.mean(mine.tokens for mine, _, _ in done)),
                "gemm_share": round(statistics.median(m.operations / m.seconds / rate for m, _, rate in done), 3),
                "gemm_rate": round(statistics.median(rate for _, _, rate in done) / 1e9, 1),
                "error": float(f"{errors[i]:.1e}"),
            })  # fmt: skip
    return rows


def others(models: list[str]) -> list[dict[str, object]]:
    """What this machine has measured of other models with the same versions: it stays."""
    last = json.loads(LAST_BENCH.read_text(encoding="utf-8")).get("throughput") if LAST_BENCH.exists() else None
    same = (
        last is not None
        and last["hardware"] == hardware()
        and all(versions()[name] == version for name, version in last["versions"].items())
    )
    return [row for row in last["rows"] if row["model"] not in models and row["device"] == DEVICE] if same else []


def report(rows: list[dict[str, object]]) -> None:
    for row in rows:
        name = f"{row['work']}, {row['model']}: {row['way']}, {row['dtype']}"
        ratio = f"{row['value']:6.2f} × {row['against']} [{row['low']:.2f}, {row['high']:.2f}]"
        print(
            f"{name:<62}{ratio:<46}{row['gemm_share']:5.2f} of the GEMM rate, differs by {row['error']:.0e}", flush=True
        )


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.throughput", description=__doc__.splitlines()[0])
    parser.add_argument(
        "--models", nargs="+", default=["6x384", "12x768"], help="layers x width (default: 6x384 12x768)"
    )
    parser.add_argument("--repeats", type=int, default=5)
    given = parser.parse_args(arguments)
    warnings.simplefilter("ignore")
    logging.set_verbosity_error()
    disable_progress_bars()
    torch.set_num_threads(1)
    print(f"{hardware()}; one thread; median [smallest, largest] of {given.repeats}")
    if DEVICE == "cpu":
        print("no GPU is at hand: its lines are skipped")
    instructions = DEVICE == "cuda" or any(
        torch.cpu.get_capabilities().get(name) for name in ("avx512_bf16", "amx_tile", "sve_bf16")
    )
    notes = {
        "device": torch.cuda.get_device_name() if DEVICE == "cuda" else "CPU, one thread; no GPU was at hand",
        "bfloat16": "by instructions of its own" if instructions else "without instructions for it",
        "work": f"training: one optimiser step on {PAIRS} pairs; scoring: {SCORED} pairs, above width 384 half as many",
    }
    rows = others([model.replace("x", " × ") for model in given.models])
    for i, model in enumerate(given.models):
        layers, width = map(int, model.split("x"))
        for work, ways in {"training": TRAINING, "scoring": SCORING}.items():
            rows += measure(work, ways, layers, width, given.repeats, once=i == 0)
            record("throughput", rows, notes)  # each part takes minutes: what is measured is kept
    report(rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
