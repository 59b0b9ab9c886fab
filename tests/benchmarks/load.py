"""How many runs lab and store can take: ten thousand that compute nothing, and what memory they leave behind.

    python -m tests.benchmarks.load [--runs 10000]

Each run goes the way of any other, spec, draft, digests, record and final name, but for its training: it leaves a
table of one row.  The first tenth is warm-up.  Then the lab looks all of them up again and reads a tenth back.  In the
bench file this section is replaced.
"""

from __future__ import annotations

import argparse
import gc
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from unittest.mock import patch

import pandas as pd

from tests.benchmarks.record import record
from w2s_lib.lab import Lab
from w2s_lib.lab.store import Store
from w2s_lib.specs import Pretrain, Spec, World

PARTS = 10
"""Parts of the runs; the first warms up, rates are of the others."""


def memory() -> float:
    """Megabytes that this process holds now."""
    gc.collect()
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(status.partition("VmRSS:")[2].split()[0]) / 1024


def trivial(spec: Spec, store: Store) -> Callable[[Path], dict[str, object]]:
    """What a run does that computes nothing: one row."""

    def compute(folder: Path) -> dict[str, object]:
        pd.DataFrame({"name": ["x"], "p_true": [0.5]}).to_parquet(folder / "knowledge.parquet")
        return {}

    return compute


def spread(name: str, values: list[float], unit: str) -> dict[str, object]:
    """A row of the bench file: the median, the smallest, the largest."""
    values = sorted(values)
    middle, low, high = (round(v, 3) for v in (values[len(values) // 2], values[0], values[-1]))
    return {"name": name, "value": middle, "low": low, "high": high, "unit": unit}


def measure(runs: int) -> list[dict[str, object]]:
    """Rates and memory, as rows: ``name``, ``value``, ``low``, ``high`` (over parts of the runs), ``unit``."""
    specs = [Pretrain(world=World(seed=seed), width=4) for seed in range(runs)]
    parts = [specs[i * runs // PARTS : (i + 1) * runs // PARTS] for i in range(PARTS)]
    done, found, read, held = [], [], [], []
    with tempfile.TemporaryDirectory() as folder, patch("w2s_lib.lab.execute._ready", trivial):
        lab = Lab(folder, workers=0, progress=False)
        for part in parts:
            begin = time.perf_counter()
            assert lab.run(part) == len(part)
            done.append(len(part) / (time.perf_counter() - begin))
            held.append(memory())
        for part in parts:
            begin = time.perf_counter()
            assert not lab.missing(part)
            found.append(len(part) / (time.perf_counter() - begin))
        for part in parts:
            few = part[::PARTS]
            begin = time.perf_counter()
            assert all(len(lab.knowledge(spec)) == 1 for spec in few)
            read.append(len(few) / (time.perf_counter() - begin))
    grown = 1000 * (held[-1] - held[0]) / (runs - len(parts[0]))
    return [
        spread("runs done a second", done[1:], "/s"),
        spread("results looked up a second", found[1:], "/s"),
        spread("results read and verified a second", read[1:], "/s"),
        spread("memory that a thousand runs leave behind", [grown], "MB"),
    ]


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=10_000)
    given = parser.parse_args(arguments)
    rows = measure(given.runs)
    for row in rows:
        print(
            f"{row['name']:<45} {row['value']:10.2f} {row['unit']:<3} [{row['low']:.2f}, {row['high']:.2f}]", flush=True
        )
    record(
        "load", rows, {"work": f"{given.runs:,} runs that compute nothing; median [smallest, largest] of nine parts"}
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
