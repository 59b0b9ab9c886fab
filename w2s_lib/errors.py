"""Errors that are the user's to mend: one line each, in a terminal and in a notebook."""

from __future__ import annotations

import sys
from collections.abc import Callable


class OneLineError(Exception):
    """An error whose message says all; Jupyter shows it without a traceback."""

    def _render_traceback_(self) -> list[str]:
        return [f"{type(self).__name__}: {self}"]


def exit_code(command: Callable[[], object]) -> int:
    """Do what a command line asks for: 0, or 2 after an error of the user's in one line, or 130 after Ctrl-C."""
    try:
        command()
    except OneLineError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\ninterrupted: finished runs are kept, the same command goes on from there", file=sys.stderr)
        return 130
    return 0
