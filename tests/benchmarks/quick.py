"""Whether today's library is slower than the last release's: five minutes on two cores.

    python -m tests.benchmarks.quick [--against COMMIT] [--repeats 21]

The release is the newest tag, or, where there is none, the commit in ``release.txt``; it is checked out into a
temporary folder and run in this environment.  Both do each work of ``timed`` in turn, now one first and now the
other, so that a machine whose speed drifts is as fast for both.  What counts is the ratio within a turn: the median
over all turns, and its interval, that of a median by its order statistics, which assumes nothing of how times
scatter.

Exit status: 0, or 1 where a work takes more than a tenth longer by the whole of its interval, or 2 where nothing
could be measured.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy import stats

from w2s_lib.errors import OneLineError

ROOT = Path(__file__).resolve().parents[2]
RELEASE = Path(__file__).with_name("release.txt")
TOLERATED = 1.1
"""Times as long as the last release took."""

LEVEL = 0.95


class BenchError(OneLineError):
    """Why nothing could be measured."""


class Ratio(NamedTuple):
    """How many times as long a work takes today: median over turns, and its interval."""

    value: float
    low: float
    high: float

    @property
    def is_worse(self) -> bool:
        """Beyond what is tolerated, with the whole interval."""
        return self.low > TOLERATED


def ratio(today: Sequence[float], release: Sequence[float]) -> Ratio:
    """Of seconds that were taken turn by turn; six turns at least, or the interval is not a number."""
    ratios = np.divide(today, release)
    interval = stats.quantile_test(ratios, q=1.0, p=0.5).confidence_interval(LEVEL)
    return Ratio(float(np.median(ratios)), float(interval.low), float(interval.high))


def git(*arguments: str) -> str:
    """What git says in this checkout.

    Raises:
        BenchError: it refused, or there is no git.
    """
    try:
        done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, encoding="utf-8")
    except FileNotFoundError:
        raise BenchError("git: no such program; it is needed to check out the last release") from None
    if done.returncode:
        raise BenchError(f"git {' '.join(arguments)}: {' '.join(done.stderr.split())}")
    return done.stdout.strip()


def release() -> str:
    """The newest tag that leads here, or the commit in ``release.txt``."""
    try:
        return git("describe", "--tags", "--abbrev=0")
    except BenchError:
        return RELEASE.read_text(encoding="utf-8").split()[0]


@contextmanager
def checked_out(commit: str) -> Iterator[Path]:
    """A folder with this commit's files, for a while."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "release"
        try:
            git("worktree", "add", "--detach", str(folder), commit)
        except BenchError as error:
            hint = "of a shallow clone, 'git fetch --unshallow --tags' fetches the rest"
            raise BenchError(f"against={commit!r}: cannot be checked out ({error}); {hint}") from None
        try:
            yield folder
        finally:
            git("worktree", "remove", "--force", str(folder))


class Timed:
    """A process that does the works of ``timed`` by the library of one tree, when it is asked to."""

    def __init__(self, tree: Path) -> None:
        environment = os.environ | {"PYTHONPATH": str(tree), "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
        command = [sys.executable, str(Path(__file__).with_name("timed.py"))]
        self.process = subprocess.Popen(
            command,
            cwd=tree,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            encoding="utf-8",
        )
        library, *self.works = self._answer().split("\t")
        assert Path(library) == tree.resolve() / "w2s_lib", f"{library} is not of {tree}"

    def seconds(self, work: str) -> float:
        print(work, file=self.process.stdin, flush=True)
        return float(self._answer())

    def _answer(self) -> str:
        if not (line := self.process.stdout.readline()):
            raise BenchError(f"{self.process.args[1]}: ended with {self.process.wait()}; what it said is above")
        return line.strip()

    def __enter__(self) -> Timed:
        return self

    def __exit__(self, *_) -> None:
        self.process.stdin.close()
        self.process.wait()


def compare(today: Timed, then: Timed, repeats: int) -> dict[str, Ratio]:
    """The ratio of each work, in so many turns after one to warm up."""
    sides, took = (today, then), {work: ([], []) for work in today.works}
    for turn in range(1 + repeats):
        for work, both in took.items():
            for i in (0, 1) if turn % 2 else (1, 0):
                both[i].append(sides[i].seconds(work))
    return {work: ratio(*(times[1:] for times in both)) for work, both in took.items()}


def bench(against: str, repeats: int) -> dict[str, Ratio]:
    print(f"today against {against}; times as long, median of {repeats} turns [{LEVEL:.0%} interval]", flush=True)
    with checked_out(against) as folder, Timed(ROOT) as today, Timed(folder) as then:
        found = compare(today, then, repeats)
    for work, its in found.items():
        print(f"{work:<40} {its.value:5.2f} [{its.low:.2f}, {its.high:.2f}]")
    return found


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.quick", description=__doc__.splitlines()[0])
    parser.add_argument("--against", metavar="COMMIT", help="a tag or a commit (default: the last release)")
    parser.add_argument("--repeats", type=int, default=21, help="turns, six at least (default: 21)")
    given = parser.parse_args(arguments)
    try:
        if given.repeats < 6:
            raise BenchError(f"repeats={given.repeats}: must be at least 6, or a median has no interval")
        against = given.against or release()
        found = bench(against, given.repeats)
    except BenchError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    slow = [f"{work} takes {its.value:.2f} times as long" for work, its in found.items() if its.is_worse]
    if slow:
        print(f"slower than {against} by more than a tenth: {'; '.join(slow)}", file=sys.stderr)
    return int(bool(slow))


if __name__ == "__main__":
    sys.exit(main())
