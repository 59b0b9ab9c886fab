"""What the faults have in common: how often, runs that nothing disturbs, and a file of what was tried.

``make test`` causes the short ones, on five small runs.  ``make test-faults`` sets ``W2S_FAULTS``, the number of
kills: then builds of a few chapters of the smoke edition are disturbed as well, and ``book/tried.csv`` is written,
which the page *What was tried* shows.
"""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, NamedTuple

import pandas as pd
import pytest

from tests.conftest import ROOT, build_command, of_few_chapters
from tests.small import RERUN, STUDENT
from w2s_lib.findings.record import commit
from w2s_lib.lab import Lab
from w2s_lib.lab.graph import closure
from w2s_lib.lab.store import Store
from w2s_lib.study import Study
from w2s_lib.study.edition import load

TIMES = int(os.environ.get("W2S_FAULTS") or 0)
"""How many builds are killed; 0: no builds are, and of the other faults the short ones once."""

TRIED = ROOT / "book" / "tried.csv"
COLUMNS = ("fault", "times", "what was seen", "minutes", "on", "commit")

COMMIT = commit() if TIMES else ""
"""What is tried, before this file's rows change it."""

RUNS = closure([STUDENT, RERUN])

takes_long = pytest.mark.skipif(not TIMES, reason="takes long: make test-faults")


@pytest.fixture
def chance(request: pytest.FixtureRequest) -> random.Random:
    """Random numbers that are the same for a test whenever it runs."""
    return random.Random(request.node.nodeid)


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    """The five runs, done in peace."""
    lab = Lab(tmp_path_factory.mktemp("undisturbed"), workers=0, progress=False)
    lab.run(RUNS)
    return lab


def noting() -> Callable[..., None]:
    """Note what was tried, how often, what was seen, in how many minutes from now and of which commit, where
    ``W2S_FAULTS`` asks for it.

    What was tried more often of an older one stays beside it.
    """
    start = time.monotonic()

    def note(fault: str, times: int, seen: str) -> None:
        if TIMES:
            told = [fault, times, seen, f"{(time.monotonic() - start) / 60:.1f}", time.strftime("%Y-%m-%d"), COMMIT]
            row = pd.DataFrame([told], columns=list(COLUMNS))
            others = pd.read_csv(TRIED, dtype="str") if TRIED.is_file() else row[:0]
            more = (others["times"].astype(int) > times) & (others["commit"] != COMMIT)
            pd.concat([others[(others["fault"] != fault) | more], row]).to_csv(TRIED, index=False)

    return note


@pytest.fixture
def tried() -> Callable[..., None]:
    """``noting`` for a test that tries something by itself."""
    return noting()


@pytest.fixture(scope="module")
def counted() -> Iterator[Counter[tuple[str, str]]]:
    """For what several tests of a file try together: how often, by fault and what was seen; noted as they end."""
    note, times = noting(), Counter()
    yield times
    for (fault, seen), count in times.items():
        note(fault, count, seen)


class SmallBook(NamedTuple):
    """A few chapters of the smoke edition, and what a build of them that nothing disturbs leaves and takes."""

    edition: Path
    folder: Path
    """Where its ``store`` and its ``book`` lie."""
    seconds: dict[str, float]
    """What each of ``PHASES`` took, from an empty store."""

    def start(self, store: Path, output: Path, **to: IO) -> subprocess.Popen:
        """Begin a build of it, with one worker: others may be at work beside it."""
        return subprocess.Popen([*build_command(store, output, self.edition), "--workers", "1"], cwd=ROOT, **to)

    def check(self, html: Path) -> None:
        """The tables of a built book are those of the undisturbed one."""
        for found, one in zip(tables(html), tables(self.folder / "book" / "html"), strict=True):
            pd.testing.assert_frame_equal(found, one)

    def cut_off(self, at: float, pages: bool, order: random.Random, store: Path) -> None:
        """Make a store that is as a build leaves it which was cut off: with that share of the runs, the first ones, or,
        where it had come to ``pages``, of runs and executed notebooks, which come in any order."""
        shutil.copytree(self.folder / "store", store)
        done = [Store(store).path(run) for run in closure(Study(load(self.edition)).runs())]
        executed = sorted(store.glob("page/*/*"))
        for result in [] if pages else executed:
            shutil.rmtree(result)
        done += order.sample(executed, len(executed)) if pages else []
        for result in done[round(at * len(done)) :]:
            shutil.rmtree(result)


PHASES = {"runs": "edition smoke", "notebooks": "executing the notebooks", "pages": "rendering the pages"}
"""Parts of a build, and how the line begins with which each does."""


def begun(log: Path) -> list[str]:
    """The parts to which a build has come whose output goes to ``log``."""
    told = log.read_text(encoding="utf-8")
    return [phase for phase, line in PHASES.items() if line in told]


def tables(html: Path) -> list[pd.DataFrame]:
    return [pd.read_csv(html / f"{name}.csv") for name in ("results", "runs", "results_by_seed")]


@pytest.fixture(scope="session")
def small_book(tmp_path_factory: pytest.TempPathFactory) -> SmallBook:
    folder = tmp_path_factory.mktemp("small")
    book = SmallBook(of_few_chapters(folder, ()), folder, {})
    log, begins = folder / "log", {}
    with log.open("w", encoding="utf-8") as stream:
        process = book.start(folder / "store", folder / "book", stdout=stream, stderr=stream)
        while process.poll() is None:
            begins = dict.fromkeys(begun(log), time.monotonic()) | begins
            time.sleep(0.05)
    assert process.returncode == 0, log.read_text(encoding="utf-8")
    ends = [*[begins[phase] for phase in PHASES][1:], time.monotonic()]
    return book._replace(seconds={phase: end - begins[phase] for phase, end in zip(PHASES, ends, strict=True)})


def start(store: Path, workers: int = 0, *before: str, **environment: str) -> subprocess.Popen:
    """Begin the five runs in a process of their own; words ``before`` the command, such as those of ``unshare``."""
    command = [*before, sys.executable, "-m", "tests.faults.train", str(store), str(workers)]
    return subprocess.Popen(
        command,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | environment,
        encoding="utf-8",
    )


def records(store: Path) -> dict[str, str]:
    """The records of finished runs, by the name of their folder."""
    kinds = ("pretrain", "features", "train")
    return {
        path.parent.name: path.read_text(encoding="utf-8")
        for kind in kinds
        for path in store.glob(f"{kind}/*/*/record.json")
    }


def check(store: Path, undisturbed: Lab, before: dict[str, str] | None = None) -> None:
    """The runs are all there, as those that nothing disturbed, those from ``before`` were not done again, and nothing
    unfinished is left."""
    lab = Lab(store, workers=0, progress=False)
    assert lab.missing(RUNS) == []
    for spec in (run for run in RUNS if hasattr(run, "pairs")):
        assert (lab.scores(spec)["margin"].to_numpy() == undisturbed.scores(spec)["margin"].to_numpy()).all()
    after = records(store)
    assert all(after[key] == text for key, text in (before or {}).items()), "a finished run was done twice"
    lab.store.sweep_drafts()
    until = time.monotonic() + 20  # who was killed may need a moment to be dead
    while (left := list(store.rglob(".draft-*"))) and time.monotonic() < until:
        time.sleep(0.5)
        lab.store.sweep_drafts()
    assert not left, "the dead left something that is in the way"


def one_line(process: subprocess.Popen, seconds: float = 300) -> str:
    """What a process said on stderr as it ended by an error of the user's: one line, beside notices of the store."""
    _, told = process.communicate(timeout=seconds)
    said = [line for line in told.splitlines() if not line.startswith(("store: ", "waiting: "))]
    assert process.returncode == 2 and len(said) == 1 and said[0].startswith("error: "), (process.returncode, told)
    return said[0]
