"""Kill -9 at random moments: the next call goes on, ends as if nothing had happened, and does nothing twice."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import suppress
from pathlib import Path
from queue import Queue
from typing import NamedTuple

import psutil
import pytest

from tests.faults.conftest import PHASES, RUNS, TIMES, SmallBook, begun, check, records, start, takes_long
from w2s_lib.lab import Lab

KINDS = ("worker or executor", "kernel", "renderer")
"""Processes under a build."""

SPAWNED, FORKED, PAGES = "multiprocessing.spawn", "multiprocessing.forkserver", "jupyter_book"
"""What their command lines hold; a copy of a fork server has that of the server."""


def kind_of(process: psutil.Process) -> str | None:
    """Which of ``KINDS`` a process is, if any: executors are spawned, kernels are copies of an executor's fork server,
    and workers are copies of the build's."""
    with suppress(psutil.Error):
        told, *above = (" ".join(each.cmdline()) for each in (process, *process.parents()))
        if FORKED in told and above and FORKED in above[0]:
            return "kernel" if any(SPAWNED in each for each in above) else "worker or executor"
        return "renderer" if PAGES in told else "worker or executor" if SPAWNED in told else None
    return None


def kill_one(root: subprocess.Popen, kind: str) -> bool:
    """Kill the build itself, or a process of that kind under it; False where there is none."""
    if kind == "build":
        root.kill()
        return True
    with suppress(psutil.Error):
        for process in psutil.Process(root.pid).children(recursive=True):
            if kind_of(process) == kind:
                process.kill()
                return True
    return False


def ended(process: subprocess.Popen, seconds: float) -> bool:
    """Whether a process ends within so many seconds."""
    with suppress(subprocess.TimeoutExpired):
        process.wait(seconds)
    return process.poll() is not None


def wait_for(root: subprocess.Popen, kind: str) -> None:
    """Wait until there is a process of that kind under a build, or the build has ended."""
    while not ended(root, 0.05):
        if kind in map(kind_of, psutil.Process(root.pid).children(recursive=True)):
            return


@pytest.mark.slow
def test_killed_runs_go_on(tmp_path, undisturbed, chance, tried):
    """Each kill comes when some further runs are finished, and a moment later."""
    kills, before, store = 0, {}, tmp_path / "store"
    while kills < max(1, TIMES):
        kind = chance.choice(("build", "worker or executor")) if kills else "build"
        process = start(store, workers=1)
        wait_for(process, "worker or executor")
        finished = chance.randrange(len(before), len(RUNS))
        while len(records(store)) < finished and not ended(process, 0.02):
            pass
        time.sleep(chance.uniform(0, 0.5))
        under = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
        kills += process.poll() is None and kill_one(process, kind)
        _, told = process.communicate(timeout=400)
        assert "Traceback" not in told, told
        assert not psutil.wait_procs(under, timeout=60)[1], "processes outlive the one that they work for"
        now = records(store)
        assert all(now[key] == text for key, text in before.items()), "a finished run was done twice"
        before = now
        if len(before) == len(RUNS) and kills < max(1, TIMES):  # done: from the start
            check(store, undisturbed, before)
            store, before = tmp_path / f"again-{len(list(tmp_path.iterdir()))}", {}
    Lab(store, workers=0, progress=False).run(RUNS)
    check(store, undisturbed, before)
    tried("kill -9 of five small runs or of their worker", kills, "the next call ended with the same numbers")


class Kill(NamedTuple):
    """One kill of a build: whom, in which part of it, how far into the part, and how far an earlier build had come."""

    who: str
    phase: str
    far: float
    before: float
    anew: bool
    """Whether no earlier book lies where it is built."""


WHOM = {"runs": ("build", "worker or executor"), "notebooks": ("build", "worker or executor", "kernel"),
        "pages": ("build", "renderer")}  # fmt: skip
"""Who is at work in which part of a build."""


def drawn(chance: random.Random) -> Kill:
    phase = chance.choice(list(PHASES))
    return Kill(chance.choice(WHOM[phase]), phase, chance.random(), chance.random(), chance.random() < 0.3)


def killed(book: SmallBook, kill: Kill, output: Path, order: random.Random) -> str | None:
    """Kill a build so, and have the next one complete; the part of the build in which the kill was, None where the
    build had ended before.

    Raises:
        AssertionError: anything is left otherwise than if nobody had been killed.
    """
    store, log = output.with_name(f"{output.name}-store"), output.with_name(f"{output.name}-log")
    shutil.rmtree(store, ignore_errors=True)
    book.cut_off(kill.before, kill.phase != "runs", order, store)
    if kill.anew:
        shutil.rmtree(output, ignore_errors=True)
    before, under, during = records(store), [], None
    with log.open("w", encoding="utf-8") as stream:
        process = book.start(store, output, stdout=stream, stderr=stream)
        while kill.phase not in begun(log) and not ended(process, 0.05):
            pass
        moment = time.monotonic() + kill.far * book.seconds[kill.phase]
        while during is None and not ended(process, 0.05):
            if time.monotonic() > moment:
                with suppress(psutil.Error):
                    under = psutil.Process(process.pid).children(recursive=True)
                during = begun(log)[-1] if kill_one(process, kill.who) else None
        failed = process.wait(1800) != 0
    told = log.read_text(encoding="utf-8")
    assert (during or not failed) and "Traceback" not in told, told[-3000:]
    assert not psutil.wait_procs(under, timeout=60)[1], "processes outlive the build that they work for"
    now = records(store)
    if failed:
        with log.open("w", encoding="utf-8") as stream:
            code = book.start(store, output, stdout=stream, stderr=stream).wait(1800)
        assert code == 0, log.read_text(encoding="utf-8")[-3000:]
    book.check(output / "html")
    after = records(store)
    assert all(after[key] == text for known in (before, now) for key, text in known.items()), "a run was done twice"
    assert not list(store.rglob(".draft-*"))
    return during


@takes_long
def test_killed_builds_complete(tmp_path, small_book, chance, tried):
    """Each build is killed once, or a process under it, and after each the next one completes.

    So that fifty take the better part of an hour, builds begin where an earlier one was cut off, at any point of its
    runs and notebooks; most are rendered over an earlier book; and each core has one of them.
    """
    seen: Counter[tuple[str, str]] = Counter()
    places: Queue[Path] = Queue()
    for lane in range(os.cpu_count()):
        places.put(tmp_path / f"book-{lane}")

    def one(kill: Kill, order: random.Random) -> tuple[str, str | None]:
        place = places.get()
        try:
            return kill.who, killed(small_book, kill, place, order)
        finally:  # whoever waits for a place would wait for ever
            places.put(place)

    with ThreadPoolExecutor(os.cpu_count()) as lanes:
        while seen.total() < TIMES:
            more = range(TIMES - seen.total())
            jobs = [lanes.submit(one, drawn(chance), random.Random(chance.random())) for _ in more]
            try:
                for job in as_completed(jobs):
                    who, during = job.result()
                    if during is not None:
                        seen[who, during] += 1
                        fault = f"kill -9 of a build at a random moment of its {during}: {who}"
                        tried(fault, seen[who, during], "the next build completed; the same tables")
            except BaseException:
                lanes.shutdown(cancel_futures=True)
                raise
