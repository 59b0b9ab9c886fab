"""What a file says, in sixteen hexadecimal digits: what names a result names the content behind it, not a path."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

Stamp = tuple[str, int, int]
"""A file with what changes when it is written: path, time of its last change in ns, size in bytes."""

POINTER = b"version https://git-lfs.github.com/spec/"
"""How a file of git-lfs begins that only names the content, which lies elsewhere."""


def stamp(path: str | Path) -> Stamp:
    """The file as it is now: what is remembered under its stamp is of this moment.

    Raises:
        FileNotFoundError: there is no such file.
    """
    stat = Path(path).stat()
    return str(path), stat.st_mtime_ns, stat.st_size


def digest(text: str | bytes) -> str:
    """16 hexadecimal digits that name a text."""
    return hashlib.sha256(text.encode() if isinstance(text, str) else text).hexdigest()[:16]


@lru_cache(maxsize=4096)
def _of_stamped(stamped: Stamp) -> str:
    with open(stamped[0], "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]


def of_file(path: str | Path) -> str:
    """16 hexadecimal digits that name what a file holds; read once until it is written again."""
    return _of_stamped(stamp(path))


def of_files(paths: Iterable[str | Path]) -> str:
    """16 hexadecimal digits that name what some files of one folder are called and hold, in whatever order."""
    return digest("\n".join(sorted(f"{Path(path).name} {of_file(path)}" for path in paths)))
