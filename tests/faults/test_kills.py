"""Kill -9 at random moments: the next call goes on, ends as if nothing had happened, and does nothing twice."""

from __future__ import annotations

import subprocess
import time
from contextlib import suppress

import psutil
import pytest

from tests.faults.conftest import TIMES, check, records, start, takes_long

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
    begin = time.monotonic()
    assert start(tmp_path / "in peace", workers=1).wait(400) == 0
    usual, kills, before, tmp_path = time.monotonic() - begin, 0, {}, tmp_path / "store"
    while kills < max(1, TIMES):
        process = start(tmp_path, workers=1)
        kind = chance.choice(("build", "worker or executor"))
        if kind == "build":
            kills += not ended(process, chance.uniform(0.4, 0.9) * usual) and kill_one(process, kind)
        else:
            wait_for(process, kind)
            kills += not ended(process, chance.uniform(0, 0.3) * usual) and kill_one(process, kind)
        if kind == "build" and process.poll() is None:
            process.kill()
        _, told = process.communicate(timeout=400)
        assert "Traceback" not in told, told
        now = records(tmp_path)
        assert all(now[key] == text for key, text in before.items()), "a finished run was done twice"
        before = now
        if len(before) == 5 and kills < max(1, TIMES):  # done: from the start
            check(tmp_path, undisturbed, before)
            tmp_path, before = tmp_path / "again", {}
    process = start(tmp_path)
    assert process.wait(300) == 0
    check(tmp_path, undisturbed, before)
    tried("kill -9 of five small runs or of their worker", kills, "the next call ended with the same numbers")


@takes_long
def test_killed_builds_complete(tmp_path, small_book, chance, tried):
    """Each build is killed once, or a process under it; the one after it goes on from there, and after every fifth kill
    one is left to complete."""
    kinds = ["build", *KINDS]
    seen = dict.fromkeys(kinds, 0)
    while (kills := sum(seen.values())) < TIMES:
        store, output = tmp_path / f"store-{kills // 5}", tmp_path / "book"
        before = records(store)
        with (tmp_path / "log").open("w+", encoding="utf-8") as log:
            process, kind = small_book.start(store, output, stdout=log, stderr=log), chance.choice(kinds)
            moment, killed = time.monotonic() + chance.uniform(0.05, 0.8) * small_book.seconds, False
            under: list[psutil.Process] = []
            while not killed and not ended(process, 0.05):
                if time.monotonic() > moment:
                    with suppress(psutil.Error):
                        under = psutil.Process(process.pid).children(recursive=True)
                    killed = kill_one(process, kind)
            if process.wait(1800) != 0:
                log.seek(0)
                told = log.read()
                assert killed and "Traceback" not in told, told[-3000:]
        seen[kind] += killed
        assert not psutil.wait_procs(under, timeout=60)[1], "processes outlive the build that they work for"
        now = records(store)
        assert all(now[key] == text for key, text in before.items()), "a finished run was done twice"
        if killed and sum(seen.values()) % 5 == 0:
            assert small_book.start(store, output, stdout=subprocess.DEVNULL).wait(1800) == 0
            small_book.check(output / "html")
            after = records(store)
            assert all(after[key] == text for key, text in now.items()) and not list(store.rglob(".draft-*"))
            for kind, times in seen.items():
                tried(f"kill -9 at a random moment of a build: {kind}", times, "builds went on; the same tables")
