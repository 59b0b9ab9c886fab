"""How far long work is, in lines: how much of what is done, and how long the rest will take.

A line comes once in ``EVERY`` seconds, so that what is short says nothing.  On a terminal each takes the place of the
one before; elsewhere, in a log or a notebook, they stand one below the other.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from transformers import Trainer

EVERY = 30.0
"""Seconds between two lines about the same work; a terminal has one a second."""

Say = Callable[[str], object]
T = TypeVar("T")

_at_hand: list[tuple[str, Say]] = []
"""The run that this process is at, and who hears of it."""


def span(seconds: float) -> str:
    """Some time in words.

    >>> span(42), span(700), span(9000)
    ('42 s', '12 min', '2 h 30 min')
    """
    minutes = round(seconds / 60)
    if minutes < 2:
        return f"{seconds:.0f} s"
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"


def write_line(line: str, end: str = "\n") -> None:
    """One line on stderr, whole even where several processes write there."""
    sys.stderr.write(line + end)
    sys.stderr.flush()


class Progress:
    """Work of so many parts, ``what``; begins now."""

    def __init__(self, what: str, total: int, hear: Say | None = None) -> None:
        self.what, self.total, self._hear = what, total, hear or write_line
        self._overwrites = hear is None and sys.stderr.isatty()
        self._began = self._told = time.monotonic()
        self._open = False

    def left(self, share: float) -> float:
        """Seconds that the rest will take, when a ``share`` above 0 of the work is done."""
        return (time.monotonic() - self._began) * (1 - share) / share

    def at(self, done: int, share: float | None = None, then: float = 0.0, now: str = "") -> None:
        """Say how far it is, unless that has just been said.

        ``share`` of the work that is done, where parts are of different length; ``then``: seconds of what follows in a
        build; ``now``: what is being done.
        """
        if time.monotonic() - self._told < (1 if self._overwrites else EVERY):
            return
        self._told, share = time.monotonic(), done / self.total if share is None else share
        left = self.left(share) if share > 0 else None
        words = [f"{self.what}: {done:,} of {self.total:,}"]
        words += [] if left is None else [f"about {span(left)} left"]
        words += [f"{span(left + then)} for the whole build"] if then and left is not None else []
        line = ", ".join(words) + (f"; {now}" if now else "")
        if self._overwrites:
            write_line(f"\r{line[:150]}\x1b[K", end="")
            self._open = True
        else:
            self._hear(line)

    def close(self) -> None:
        """End the line of a terminal."""
        if self._open:
            write_line("")


@contextmanager
def working_on(what: str, hear: Say) -> Iterator[None]:
    """What is done within is the run ``what``: its steps are told to ``hear``."""
    _at_hand.append((what, hear))
    try:
        yield
    finally:
        _at_hand.pop()


def tell_steps(parts: Iterable[T], total: int, doing: str) -> Iterator[T]:
    """The same parts; how far the run at hand is with them is told on the way."""
    progress = Progress(f"{_at_hand[-1][0]}, {doing}", total, _at_hand[-1][1]) if _at_hand else None
    for done, part in enumerate(parts):
        if progress:
            progress.at(done)
        yield part


def watch(trainer: Trainer) -> None:
    """Have a trainer tell how far the run at hand is."""
    if not _at_hand:
        return
    from transformers import TrainerCallback  # here, for it loads torch

    class Told(TrainerCallback):
        def on_train_begin(self, args, state, control, **more) -> None:
            self.progress = Progress(f"{_at_hand[-1][0]}, training", state.max_steps, _at_hand[-1][1])

        def on_step_end(self, args, state, control, **more) -> None:
            self.progress.at(state.global_step)

    trainer.add_callback(Told())
