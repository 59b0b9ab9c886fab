"""Errors that are the user's to mend: one line each, in a terminal and in a notebook, with the nearest right name."""

from __future__ import annotations

import argparse
import difflib
import errno
import os
import re
import shutil
import sys
import unicodedata
from collections.abc import Callable, Sequence
from typing import NoReturn

UNSEEN = ("Cc", "Cf", "Cs", "Zl", "Zp")
"""Kinds of characters that steer a terminal or a page instead of standing on it."""


def plain(text: str) -> str:
    r"""The text with everything that steers written out: what others wrote can be shown anywhere, in one line.

    >>> plain("red \x1b[31m, \u202eback")
    'red \\x1b[31m, \\u202eback'
    """
    return "".join(repr(c)[1:-1] if unicodedata.category(c) in UNSEEN else c for c in text)


class OneLineError(Exception):
    """An error whose message says all, in one line; Jupyter shows it without a traceback."""

    def __str__(self) -> str:
        return plain(super().__str__())

    def __reduce__(self) -> tuple:
        return _again, (type(self), self.args, self.__dict__)  # processes tell each other of it

    def _render_traceback_(self) -> list[str]:
        return [f"{type(self).__name__}: {self}"]


def _again(kind: type[OneLineError], args: tuple, state: dict) -> OneLineError:
    """The error that another process raised, whatever it was made of."""
    error = kind.__new__(kind, *args)
    error.__dict__.update(state)
    return error


class ParameterError(OneLineError, ValueError):
    """A parameter that cannot be used: one line with its name, its value and what is allowed.

    ``where`` begins the line where a file holds the parameter: ``"mine.yaml, line 3: "``.
    """

    def __init__(self, name: str, value: object, allowed: str, where: str = "") -> None:
        self.name, self.value, self.allowed, self.where = name, value, allowed, where
        super().__init__(f"{where}{name}={value!r}: {allowed}")


def first_line(error: BaseException) -> str:
    """The first line of an error's message, 200 characters at most, or its kind where it has none."""
    return (str(error).splitlines() or [""])[0][:200] or type(error).__name__


def listed(names: Sequence[str], most: int = 8) -> str:
    """Some names as they are written in code, and how many more there are.

    >>> listed(["a", "b", "c"], most=2)
    "'a', 'b' and 1 more"
    """
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(map(repr, names[:most])) + more


def nearest(name: str, names: list[str]) -> str:
    """What to say about an unknown name: the nearest one, if any is near, and all of them."""
    close = difflib.get_close_matches(str(name), names, n=1)
    hint = f"did you mean {close[0]!r}? " if close else ""
    return f"{hint}allowed: {', '.join(names)}"


class Arguments(argparse.ArgumentParser):
    """A command line whose errors are one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"error: {' '.join(message.split())}; '{self.prog} --help' says what may be given\n")


GOES_ON = "finished runs are kept, the same command goes on from there"

OF_THE_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)
"""What the system says where a disk is full or cannot be written: not a fault of the code, and no traceback helps."""


def _of_the_first_file(error: OSError) -> OSError:
    """What was wrong with the first file, where a whole tree could not be copied: ``shutil`` tells all of them at once,
    and of each the words alone."""
    if isinstance(error, shutil.Error) and isinstance(error.args[0], list):
        _, target, says = error.args[0][0]
        if found := re.match(r"\[Errno (\d+)\]", str(says)):
            return OSError(int(found[1]), os.strerror(int(found[1])), target)
    return error


def exit_code(command: Callable[[], object]) -> int:
    """Do what a command line asks for: 0, or 2 after an error of the user's in one line, or 130 after Ctrl-C."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a terminal may know fewer letters than a text has
            stream.reconfigure(errors="backslashreplace")
    try:
        command()
    except OneLineError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except OSError as raised:
        error = _of_the_first_file(raised)
        if error.errno not in (*OF_THE_DISK, errno.ENAMETOOLONG):
            raise
        where, do = error.filename or "while writing", f"make room, or let it be written; {GOES_ON}"
        if error.errno == errno.ENAMETOOLONG:
            where, do = f"{str(where)[:80]}…", "use shorter names"
        print(f"error: {where}: {error.strerror}; {do}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"\ninterrupted: {GOES_ON}", file=sys.stderr)
        return 130
    return 0
