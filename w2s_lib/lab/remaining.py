"""How far the missing runs are, and how long the rest will take: alike runs take alike."""

from __future__ import annotations

import sys
from collections import Counter, defaultdict
from collections.abc import Iterable

from w2s_lib.lab.graph import describe, model_name
from w2s_lib.progress import Progress, write_line
from w2s_lib.specs import Features, Spec


def kind(spec: Spec) -> tuple[str, ...]:
    """What runs must have in common to take about as long."""
    model = spec.checkpoint.name if isinstance(spec, Features) else model_name(getattr(spec, "model", spec))
    return type(spec).__name__, getattr(spec, "method", ""), model


class Remaining:
    """The runs that are missing, from now on until all are done; ``then``: seconds of what follows in a build.

    ``shown`` on stderr: in lines, or on a terminal in one line that changes.
    """

    def __init__(self, todo: Iterable[Spec], shown: bool = True, then: float = 0.0) -> None:
        self._left, self._took = Counter(map(kind, todo)), defaultdict(list)
        self._progress, self._shown, self._then = Progress("runs", self._left.total()), shown, then
        self._done, self._now = 0, ""

    def share(self) -> float:
        """The part of the work that is done, by the seconds that runs of each kind took so far."""
        took = [seconds for its in self._took.values() for seconds in its]
        mean = lambda seconds: sum(seconds) / len(seconds)
        left = sum(n * mean(self._took.get(kind) or took or [1.0]) for kind, n in self._left.items())
        return sum(took) / (sum(took) + left) if took else 0.0

    def done(self, spec: Spec, seconds: float | None) -> None:
        """A run is done, or has failed where ``seconds`` is None; says how far all of them are."""
        self._left[kind(spec)] -= 1
        self._done += 1
        if seconds is not None:
            self._took[kind(spec)].append(seconds)
        self._now = describe(spec)
        self.tell()

    def hear(self, line: str) -> None:
        """What a process says of the run that it is at."""
        if self._shown and not sys.stderr.isatty():
            write_line(line)
        else:
            self._now = line
        self.tell()

    def tell(self) -> None:
        """Say how far all runs are, unless that has just been said."""
        if self._shown:
            self._progress.at(self._done, self.share(), self._then, self._now)

    def close(self) -> None:
        """Nothing is said any more."""
        self._progress.close()
