"""How much more two workers do than one, and what keeps them from doing twice as much.

    python -m tests.benchmarks.workers [--runs 8] [--repeats 3]

Every repeat measures one and two of each in turn: the lab's workers; processes that know nothing of lab, Dask and
store, and train the same students; processes that multiply matrices which a core's own cache holds; and processes that
copy memory which no cache holds.  Where plain processes reach no more than workers do, the machine is the bound: its
memory, a cache that cores share, a clock that falls, or "cores" that are halves of one.  In the bench file this section
is replaced.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from tests.benchmarks.record import record
from w2s_lib.lab import Lab
from w2s_lib.lab.cluster import ENVIRONMENT
from w2s_lib.lab.store import hardware
from w2s_lib.specs import Pairs, Pretrain, Recipe, Train, World

WORLD = World(seed=900)
MODEL = Pretrain(world=WORLD, width=24, tokens=20_000)
STUDENT = Train(model=MODEL, pairs=Pairs(world=WORLD), split="ground_truth", recipe=Recipe(epochs=4))

Work = Callable[[int], object]

ALONE = "a run by a plain process"

TOGETHER = 1800.0
"""Seconds that processes wait for each other, at most: one may have failed."""


def train(base: Path, replica: int) -> None:
    """One student's training, as a run does it, into a folder that is thrown away."""
    import torch
    from datasets import disable_progress_bars
    from transformers.utils import logging

    from w2s_lib.training.train import train as trained

    torch.set_num_threads(1)
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    disable_progress_bars()
    with tempfile.TemporaryDirectory() as folder:
        trained(STUDENT.model_copy(update={"replica": replica}), [base], [], Path(folder))


def multiply(_: int) -> None:
    """Products of matrices that a core's own cache holds: 48 KB in all."""
    a = np.full((64, 64), 0.01, dtype=np.float32)
    b, c = a.copy(), a.copy()
    for _ in range(20_000):
        np.matmul(a, b, out=c)


def copy(_: int) -> None:
    """Copies of 64 MB, more than a core's part of any cache."""
    a = np.ones(2**23)
    b = a.copy()
    for _ in range(40):
        np.copyto(b, a)


def _take_part(work: Work, part: Sequence[int], begin: object, took: object) -> None:
    """A process of ``side_by_side``: does one piece to warm up, and the others when all have."""
    work(part[0])
    begin.wait(TOGETHER)
    start = time.perf_counter()
    for piece in part[1:]:
        work(piece)
    took.put((time.perf_counter() - start) / len(part[1:]))


def side_by_side(work: Work, processes: int, pieces: int) -> float:
    """Seconds for a piece of work, all processes together, each with as many of the pieces."""
    context = multiprocessing.get_context("spawn")
    begin, took = context.Barrier(processes), context.Queue()
    parts = [range(i, pieces + processes, processes) for i in range(processes)]
    started = [context.Process(target=_take_part, args=(work, part, begin, took), daemon=True) for part in parts]
    for process in started:
        process.start()
    found = [took.get(timeout=TOGETHER) for _ in started]
    for process in started:
        process.join()
    return statistics.mean(found) / processes


def by_the_lab(workers: int, runs: int) -> tuple[float, float]:
    """Seconds for a run by so many workers, from the call of the lab to its end, and from each worker's first finished
    run on: to start takes a while."""
    with tempfile.TemporaryDirectory() as folder:
        lab = Lab(folder, workers=workers, progress=False)
        lab.run([MODEL])
        students = [STUDENT.model_copy(update={"replica": replica}) for replica in range(runs)]
        begin = time.perf_counter()
        lab.run(students)
        whole = time.perf_counter() - begin
        ended = sorted((lab.store.path(run) / "record.json").stat().st_mtime for run in students)
        return whole / runs, (ended[-1] - ended[workers - 1]) / (runs - workers)


def measure(runs: int, repeats: int) -> list[dict[str, object]]:
    """Rows ``name``, ``value`` (median of the repeats), ``low``, ``high``, ``unit``; × is two relative to one."""
    found: dict[tuple[str, str], list[float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        lab = Lab(folder, workers=0, progress=False)
        lab.run([MODEL])
        plain = {
            "plain processes": partial(train, lab.store.path(MODEL)),
            "products in a core's cache": multiply,
            "copies of memory": copy,
        }
        for _ in range(repeats):
            (whole, started), (whole_of_two, started_of_two) = (by_the_lab(n, runs) for n in (1, 2))
            alone, two = zip(*[(side_by_side(do, 1, runs), side_by_side(do, 2, runs)) for do in plain.values()])
            ratios = {"the lab": whole / whole_of_two, "the lab, workers started": started / started_of_two}
            ratios |= {name: one / both for name, one, both in zip(plain, alone, two)}
            for name, value in ratios.items():
                found.setdefault((name, "×"), []).append(value)
            found.setdefault((ALONE, "s"), []).append(alone[0])
            found.setdefault(("what the lab adds to it", "s"), []).append(started - alone[0])
            found.setdefault(("start and end of one worker", "s"), []).append(runs * (whole - started))
    rows = []
    for (name, unit), values in found.items():
        middle, low, high = (round(value, 3) for value in (statistics.median(values), min(values), max(values)))
        rows.append({"name": name, "value": middle, "low": low, "high": high, "unit": unit})
    return rows


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=8)
    parser.add_argument("--repeats", type=int, default=3)
    given = parser.parse_args(arguments)
    warnings.simplefilter("ignore")
    os.environ |= ENVIRONMENT
    print(f"{hardware()}; two relative to one; median [smallest, largest] of {given.repeats}")
    rows = measure(given.runs, given.repeats)
    for row in rows:
        print(f"{row['name']:<30} {row['value']:8.3f} {row['unit']:<3} [{row['low']:.3f}, {row['high']:.3f}]")
    seconds = next(row["value"] for row in rows if row["name"] == ALONE)
    says = f"{given.runs} runs of {seconds:.1f} s each; median [smallest, largest] of {given.repeats}"
    record("workers", rows, {"work": says})
    return 0


if __name__ == "__main__":
    sys.exit(main())
