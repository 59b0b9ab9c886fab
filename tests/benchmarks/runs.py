"""What a run costs: set-up against steps, TRL against a bare loop, scoring, look-up.

    make bench

Machines are noisy, so that only ratios within one call are worth quoting: every comparison is interleaved,
and its median over the repeats is printed with the smallest and the largest.  The bench file is rewritten.
"""

from __future__ import annotations

import math
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import torch
from transformers import TrainerCallback
from transformers.utils import logging

from tests.benchmarks.record import record
from w2s_lib.data.load import load, split
from w2s_lib.lab.store import Store, hardware
from w2s_lib.models.pretrain import build_untrained, tokenizer
from w2s_lib.models.scores import encode, reward_gaps
from w2s_lib.specs import Pairs, Pretrain, Train, World
from w2s_lib.training.labels import training_pairs
from w2s_lib.training.losses import soft_label_loss
from w2s_lib.training.reward_model import WeakToStrongRewardTrainer, fit, optimizer
from w2s_lib.training.reward_model import build_with_head as reward_model

REPEATS = 5
ROWS: list[dict[str, object]] = []
"""What has been measured: name, value (median), low, high, unit."""

WORLD = World(seed=900)
PAIRS = Pairs(world=WORLD)
MODEL = Pretrain(world=WORLD, width=24)
RUN = Train(model=MODEL, pairs=PAIRS, split="ground_truth")


def seconds(do: Callable[[], object]) -> float:
    start = time.perf_counter()
    do()
    return time.perf_counter() - start


def report(name: str, values: list[float], unit: str = "×") -> None:
    value, low, high = statistics.median(values), min(values), max(values)
    ROWS.append(
        {"name": name.strip(), "value": round(value, 3), "low": round(low, 3), "high": round(high, 3), "unit": unit}
    )
    print(f"{name:<58} {value:8.2f} {unit:<3} [{low:.2f}, {high:.2f}]", flush=True)


def ratio(name: str, slow: Callable[[], object], fast: Callable[[], object], repeats: int = REPEATS) -> None:
    """Print slow / fast, measured in turn."""
    slow(), fast()
    report(name, [seconds(slow) / seconds(fast) for _ in range(repeats)])


def bare_loop(folder: Path) -> None:
    """The same training without a trainer: what TRL's conveniences are measured against."""
    model, frame = reward_model(folder, RUN.recipe, 1), training_pairs(RUN, [])
    chosen, rejected = encode(tokenizer(WORLD), frame)
    steps = math.ceil(len(frame) / RUN.recipe.batch_size) * RUN.recipe.epochs
    adam = optimizer(model, RUN.recipe)
    schedule = torch.optim.lr_scheduler.LambdaLR(adam, lambda k: min(1, (k + 1) / 5) * (1 - k / steps))
    for _ in range(RUN.recipe.epochs):
        for index in torch.randperm(len(frame)).split(RUN.recipe.batch_size):
            batch = tokenizer(WORLD).pad(
                {"input_ids": [chosen[i] for i in index] + [rejected[i] for i in index]}, return_tensors="pt"
            )
            good, bad = model(**batch).logits.squeeze(-1).chunk(2)
            adam.zero_grad()
            soft_label_loss(good - bad, torch.ones(len(index))).backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            adam.step(), schedule.step()


class FirstStep(TrainerCallback):
    """Notes when the first step begins."""

    at = 0.0

    def on_step_begin(self, args, state, control, **keywords):
        self.at = self.at or time.perf_counter()


def set_up(folder: Path) -> tuple[float, float]:
    """Milliseconds before the first step of a run, and their share of the run's training, in percent."""
    note, original = FirstStep(), WeakToStrongRewardTrainer.__init__

    def noted(self, *arguments, **keywords):
        original(self, *arguments, **keywords)
        self.add_callback(note)

    WeakToStrongRewardTrainer.__init__ = noted
    try:
        start = time.perf_counter()
        fit(reward_model(folder, RUN.recipe, 1), tokenizer(WORLD), training_pairs(RUN, []), RUN, folder / "out")
        end = time.perf_counter()
    finally:
        WeakToStrongRewardTrainer.__init__ = original
    return 1000 * (note.at - start), 100 * (note.at - start) / (end - start)


def look_up(results: int) -> float:
    """Microseconds to find out that a result exists, in a store with so many."""
    with tempfile.TemporaryDirectory() as folder:
        store = Store(folder)
        specs = [World(seed=i) for i in range(results)]
        for spec in specs:
            path = store.path(spec)
            path.mkdir(parents=True)
            (path / "record.json").touch()
        probe = specs[:: max(1, results // 200)]
        return 1e6 * min(seconds(lambda: [store.has(s) for s in probe]) for _ in range(5)) / len(probe)


def main() -> int:
    warnings.simplefilter("ignore")
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    torch.set_num_threads(1)
    print(f"{hardware()}; one thread a run; median [smallest, largest] of {REPEATS}")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        build_untrained(MODEL).save_pretrained(folder)
        tokenizer(WORLD).save_pretrained(folder)
        set_up(folder)
        before = [set_up(folder) for _ in range(REPEATS)]
        report("before the first step of a run", [ms for ms, _ in before], "ms")
        report("  its share of the run's training", [share for _, share in before], "%")
        out = folder / "out"
        ratio(
            "training 1,000 pairs: TRL / bare loop",
            lambda: fit(reward_model(folder, RUN.recipe, 1), tokenizer(WORLD), training_pairs(RUN, []), RUN, out),
            lambda: bare_loop(folder),
        )
        model, test = reward_model(folder, RUN.recipe, 1), split(PAIRS, "test")
        ratio(
            "scoring 300 pairs: one pair at a time / sorted minibatches",
            lambda: reward_gaps(model, tokenizer(WORLD), test.head(300), token_budget=1),
            lambda: reward_gaps(model, tokenizer(WORLD), test.head(300)),
        )
        report(
            "scoring test and weak-label pairs",
            [seconds(lambda: reward_gaps(model, tokenizer(WORLD), load(PAIRS).iloc[1000:])) for _ in range(REPEATS)],
            "s",
        )
    few, many = zip(*[(look_up(100), look_up(100_000)) for _ in range(3)])
    report("store look-up: 100,000 results / 100 results", [b / a for a, b in zip(few, many)])
    report("  one look-up among 100,000", list(many), "µs")
    record("runs", ROWS, {"work": f"one thread a run; median [smallest, largest] of {REPEATS}, the last two of 3"})
    return 0


if __name__ == "__main__":
    sys.exit(main())
