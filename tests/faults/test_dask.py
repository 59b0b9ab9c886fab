"""Schedulers and nannies that die: a line within a minute, an end, and nothing lost."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import psutil
import pytest

from tests.faults.conftest import RUNS, check, one_line, records, start, takes_long
from tests.faults.test_kills import ended
from w2s_lib.lab import Lab


@contextmanager
def program(*arguments: str) -> Iterator[subprocess.Popen]:
    """A program of Dask, and what it started, until they are killed."""
    command = [sys.executable, "-m", "distributed.cli." + arguments[0], *arguments[1:]]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield process
    finally:
        kill_all(process)


def kill_all(process: subprocess.Popen) -> None:
    if process.poll() is None:
        for child in psutil.Process(process.pid).children(recursive=True):
            child.kill()
        process.kill()
    process.wait(30)


@contextmanager
def scheduler(folder) -> Iterator[tuple[subprocess.Popen, str]]:
    file = folder / "scheduler.json"
    own = ("--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--scheduler-file", str(file))
    with program("dask_scheduler", *own) as process:
        deadline = time.monotonic() + 60
        while not file.is_file() and time.monotonic() < deadline:
            time.sleep(0.1)
        yield process, json.loads(file.read_text(encoding="utf-8"))["address"]


def worker(address: str):
    return program("dask_worker", address, "--nthreads", "1", "--no-dashboard", "--host", "127.0.0.1")


def wait_for_a_record(store, process: subprocess.Popen) -> None:
    deadline = time.monotonic() + 120
    while not records(store) and not ended(process, 0.05) and time.monotonic() < deadline:
        pass


@pytest.mark.slow
def test_a_scheduler_that_goes_away_is_one_line(tmp_path, undisturbed, tried):
    store = tmp_path / "store"
    with scheduler(tmp_path) as (there, address), worker(address):
        process = start(store, 1, W2S_DASK=address)
        wait_for_a_record(store, process)
        kill_all(there)
        gone = time.monotonic()
        said = one_line(process, 120)
    assert "scheduler" in said and time.monotonic() - gone < 60, said
    Lab(store, workers=0, progress=False).run(RUNS)
    check(store, undisturbed)
    tried("a scheduler that goes away", 1, f"one line after {time.monotonic() - gone:.0f} s; then the same numbers")


@takes_long
def test_a_nanny_that_is_killed_is_waited_for_and_told_of(tmp_path, undisturbed, tried):
    store = tmp_path / "store"
    with scheduler(tmp_path) as (_, address):
        with worker(address) as nanny:
            process = start(store, 1, W2S_DASK=address, W2S_PATIENCE="40")
            wait_for_a_record(store, process)
            kill_all(nanny)
        said = one_line(process, 120)
        assert "no worker" in said and "dask worker" in said, said
        before = records(store)
        with worker(address):
            process = start(store, 1, W2S_DASK=address)
            assert process.wait(300) == 0
    check(store, undisturbed, before)
    tried("the only worker and its nanny killed", 1, "a line, an end; with a worker, the same numbers")
