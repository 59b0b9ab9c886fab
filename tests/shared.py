"""``torchrun … -m tests.shared STORE FILE``: one of the processes that share runs, several one after another.

They are those in the folder ``runs`` beside the store, the last of them done as the library's own processes do theirs,
and then the one that the file holds, which fails.  How much of a model this process holds, it writes beside the store.
"""

import json
import runpy
import sys
from pathlib import Path

import torch

from w2s_lib.lab.execute import execute
from w2s_lib.models import checkpoints, packing
from w2s_lib.training import shards


def held(load) -> list[int]:
    """How many numbers a model's weights are, and how many of them this process holds once it is shared and read."""
    model = load()
    whole = sum(p.numel() for p in model.parameters())
    packing.share_prefixes(shards.spread_model(model))
    return [whole, sum(p.to_local().numel() for p in model.parameters())]


def as_the_command(root: str, file: str) -> int:
    """What ``python -m w2s_lib.lab.execute`` does; returns its exit code."""
    sys.argv[1:] = root, file
    try:
        runpy.run_module("w2s_lib.lab.execute", run_name="__main__")
    except SystemExit as ends:
        return ends.code
    raise AssertionError("it ends with a code")


def main(root: str, fails: str) -> int:
    assert torch.distributed.is_torchelastic_launched() and shards.processes() == 2
    *files, last = sorted(Path(root).parent.glob("runs/*.json"))
    checkpoint = shards.read_run(last).model
    counts = [
        held(lambda: checkpoints.reward_model(checkpoint, 0.5, seed=3)),
        held(lambda: checkpoints.language_model(checkpoint)),
    ]
    if shards.is_first():
        (Path(root).parent / "held.json").write_text(json.dumps(counts), encoding="utf-8")
    for file in files:
        execute(shards.read_run(file), Path(root))
        torch.distributed.barrier()  # the next run may read what the first process has written
    assert as_the_command(root, str(last)) == 0
    return as_the_command(root, fails)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
