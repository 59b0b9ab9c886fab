"""Errors that are the user's to mend: one line each, in a terminal and in a notebook."""

from __future__ import annotations


class OneLineError(Exception):
    """An error whose message says all; Jupyter shows it without a traceback."""

    def _render_traceback_(self) -> list[str]:
        return [f"{type(self).__name__}: {self}"]
