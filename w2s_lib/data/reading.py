"""Files of preference pairs: JSON in any of the ways that it is written, or Parquet; what is wrong is named by row.

``datasets`` and pandas would take fewer lines, and bad files: the one lets numbers among texts pass, and no UTF-16;
the other lets a key pass that an object has twice; and neither says which column of which row is wrong.
"""

from __future__ import annotations

import gzip
import json
import re
import zlib
from ast import literal_eval
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from functools import lru_cache
from os.path import commonpath
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from w2s_lib.data.rows import ASKED, BEFORE, LABELLED, ORIGIN, ROLES, SAFER, pair
from w2s_lib.digests import POINTER, Stamp, digest
from w2s_lib.errors import OneLineError, first_line

SUFFIXES = (".jsonl", ".json", ".ndjson", ".parquet")
"""Endings of files that hold pairs, in capitals or not, and with ``.gz`` behind them where they are packed."""


class DataError(OneLineError, ValueError):
    """Data that cannot be used: one line with the value of ``data`` and what is wrong with it."""

    def __init__(self, data: object, says: str) -> None:
        super().__init__(f"data={data!r}: {says}")
        self.says = says


ALONE = "the file is one object; pairs are an object each, one a line or all in a list"
"""What is said of a file with columns as lists, or with its rows below a name."""

GZIP = b"\x1f\x8b"
BLANK, OBJECT = re.compile(r"[\s\ufeff]*"), re.compile(r"^\{", re.MULTILINE)


def _decoded(content: bytes) -> tuple[str, str]:
    """The text of a file in UTF-8, UTF-16 or UTF-32, with or without a byte order mark, and which it is unless UTF-8.

    Raises:
        ValueError: it is none of them.
    """
    if content.startswith(POINTER):
        raise ValueError("it is a pointer of Git LFS, and not the data; 'git lfs pull' fetches them")
    encoding = json.detect_encoding(content[:4])
    try:
        return content.decode(encoding), "" if encoding.startswith("utf-8") else encoding.upper()
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        says = f"line {line} is not {encoding.upper()} (byte {content[error.start]:#04x}), nor is it marked as UTF-16"
        raise ValueError(f"{says}; save the file as UTF-8") from None


def _object(items: list[tuple[str, object]]) -> dict[str, object] | ValueError:
    """A JSON object, or what is wrong with it."""
    key, times = Counter(key for key, _ in items).most_common(1)[0] if items else ("", 0)
    return ValueError(f"has the key {key!r} {times} times") if times > 1 else dict(items)


def _values(text: str) -> Iterator[tuple[str, object]]:
    """The JSON values of a text, behind where each stands, however they are broken into lines; of a list its items.

    Where one is broken stands its error; the next one is looked for at the beginning of a line.  An error stands for an
    object, too, that has a key more than once: of its values any may be meant.
    """
    decoder, line, end = json.JSONDecoder(object_pairs_hook=_object), 1, 0
    while (start := BLANK.match(text, end).end()) < len(text):
        line += text.count("\n", end, start)
        try:
            value, end = decoder.raw_decode(text, start)
        except json.JSONDecodeError as error:
            value = ValueError(f"is not JSON ({error.msg})")
            end = found.start() if (found := OBJECT.search(text, start + 1)) else len(text)
        if isinstance(value, list):
            yield from ((f"item {number}", item) for number, item in enumerate(value, 1))
        else:
            yield f"line {line}", value
        line += text.count("\n", start, end)


MESSAGES = re.compile(r"""\s*(array\()?\[?\s*\{\s*["']\w+["']\s*:""")
"""How a text begins that may be messages: a list of them, one alone, or an array as NumPy's ``repr`` has it."""
SPEAKER = re.compile(rf"""["'](role|from)\\?["']\s*:\s*\\?["']({"|".join(ROLES)})\\?["']""")
UNPARTED = re.compile(r"""('(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*")|\}\s+\{""")
"""A text as Python writes it, or what NumPy writes between messages."""


def _messages(text: object) -> Sequence | None:
    """The messages that a text is, in JSON or as Python or NumPy write them; None: it is something else.

    Raises:
        ValueError: it begins as they do, no words stand behind them, and it cannot be read.
    """
    if isinstance(text, str) and text.startswith('"') and SPEAKER.search(text):  # JSON of JSON
        with suppress(ValueError):
            text = json.loads(text)
    if not isinstance(text, str) or not MESSAGES.match(text):
        return None
    for read in (
        json.JSONDecoder(object_pairs_hook=_object).decode,
        lambda text: literal_eval(UNPARTED.sub(lambda found: found[1] or "}, {", text.strip())),
    ):
        try:
            found = read(text)
        except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
            continue
        found = found if isinstance(found, list) else [found]
        spoken = any(isinstance(one, Mapping) and ("role" in one or "from" in one) for one in found)
        return found if spoken or any(isinstance(one, ValueError) for one in found) else None
    ends = text.rstrip().endswith(("]", "}", ", dtype=object)"))
    if SPEAKER.search(text) and (ends or not re.search(r"\}\s*\]", text)):
        raise ValueError("begins as messages do, and is cut or no JSON; write messages as a list")
    return None


def _unpacked(row: object) -> object:
    """A row with messages where its columns hold them as text, as tables without lists do; prose stays as it is.

    Raises:
        ValueError: a text cannot be read, or one reply is messages and the other is prose.
    """
    if not isinstance(row, Mapping):
        return row
    found = {}
    for column in (*ASKED, *BEFORE, *LABELLED, *SAFER[:2]):
        try:
            found[column] = _messages(row.get(column))
        except ValueError as error:
            raise ValueError(f"{column}: {error}") from None
    found = {column: messages for column, messages in found.items() if messages is not None}
    turns = row.get("history")
    if isinstance(turns, str) and turns.lstrip().startswith("["):  # of questions and replies, or none
        with suppress(ValueError):
            row = row | {"history": json.loads(turns)}
    if not any(SPEAKER.search(row[column]) for column in found if isinstance(row[column], str)):
        return row  # an answer in JSON
    for sides in (LABELLED, SAFER[:2]):
        prose = [side for side in sides if side not in found and isinstance(row.get(side), str) and row[side].strip()]
        if prose and any(side in found for side in sides):
            told = next(side for side in sides if side in found)
            raise ValueError(f"{told}: is messages as text, and {prose[0]} is not; write both in one way")
    return row | found


class Reading(NamedTuple):
    """What stands in some files."""

    frame: pd.DataFrame
    """Columns ``prompt``, ``chosen``, ``rejected``, ``part`` (what ``ORIGIN`` says), ``file`` (the file's number)."""
    unread: tuple[str, ...]
    """Columns that hold something and say nothing of the pairs."""
    encodings: dict[str, str]
    """Files that are not UTF-8, and what they are."""


def _rows(path: Path) -> tuple[Iterator[tuple[str, object]], set[str], str]:
    """The rows of a file behind where each stands, names of columns that they lack, and its encoding unless UTF-8."""
    content = path.read_bytes()
    if content.startswith(GZIP):
        content = gzip.decompress(content)
        if content.startswith(GZIP):
            raise ValueError("it is packed twice by gzip; unpack it once")
    if not content.startswith(b"PAR1"):
        text, encoding = _decoded(content)
        return _values(text), set(), encoding
    from pyarrow import BufferReader
    from pyarrow.parquet import ParquetFile

    file = ParquetFile(BufferReader(content))
    columns = {*(names := file.schema_arrow.names)}
    if doubled := [name for name in names if names.count(name) > 1]:
        raise ValueError(f"has the column {doubled[0]!r} {names.count(doubled[0])} times")
    known = columns & {*ASKED, *BEFORE, *LABELLED, *SAFER}
    read = sorted(known | columns & {ORIGIN}) if known else None
    rows = (row for batch in file.iter_batches(columns=read) for row in batch.to_pylist())
    return ((f"row {number}", row) for number, row in enumerate(rows, 1)), columns - {*known, ORIGIN}, ""


def _pairs(path: Path, called: str) -> tuple[list[tuple[str, str, str, str]], set[str], str]:
    """The pairs in a file, each with its part, the names of its columns that say nothing of them, and its encoding
    unless UTF-8."""
    found, wrong, first = [], Counter(), {}
    try:
        rows, unread, encoding = _rows(path)
        for where, row in rows:
            try:
                if isinstance(row, Exception):
                    raise row
                said, read = pair(_unpacked(row))
            except (ValueError, RecursionError) as error:
                wrong[says := first_line(error)] += 1
                first.setdefault(says, where)
            else:
                origin = row.get(ORIGIN)
                named = origin.encode(errors="replace").decode() if isinstance(origin, str) else ""
                found.append((*said, named))
                unread |= {column for column, value in row.items() if value not in (None, "", [])} - {*read, ORIGIN}
    except (ValueError, OSError, EOFError, zlib.error, RecursionError) as error:  # not Parquet, cut short, ...
        raise DataError(called, f"cannot be read: {first_line(error)}") from None
    if not wrong:
        return found, unread, encoding
    (says, where), *others = first.items()
    told = [f"{where}: {says}"]
    told += [f"{wrong[says]} such rows in all"] if wrong[says] > 1 else []
    told += [f"{wrong.total() - wrong[says]} wrong otherwise, from {others[0][1]} on"] if others else []
    told += [ALONE] if not found and isinstance(row, dict) and wrong.total() == 1 and where == "line 1" else []
    raise DataError(called, "; ".join(told))


@lru_cache(maxsize=4)
def read_files(files: tuple[Stamp, ...]) -> Reading:
    """The pairs in some files.

    Raises:
        DataError: a file cannot be read, or a row of it is no pair; says which row, why, and how many are like it.
    """
    paths = [Path(file) for file, _, _ in files]
    shared = commonpath([path.parent for path in paths]) if paths else ""
    found: list[tuple[str, str, str, str, int]] = []
    unread: set[str] = set()
    encodings: dict[str, str] = {}
    for index, path in enumerate(paths):
        called = path.relative_to(shared).as_posix()  # by its name or, of several files, from where their paths part
        pairs, more, encoding = _pairs(path, called)
        found += [(*said, index) for said in pairs]
        unread |= more
        encodings |= {called: encoding} if encoding else {}
    texts = ["prompt", "chosen", "rejected", "part"]
    frame = pd.DataFrame(found, columns=[*texts, "file"]).astype(dict.fromkeys(texts, "str"))
    return Reading(frame, tuple(sorted(unread)), encodings)


@lru_cache(maxsize=16)
def revision(files: tuple[Stamp, ...]) -> str:
    """16 hexadecimal digits that name what the pairs in some files say, whatever their order."""
    frame = read_files(files).frame
    rows = sorted(map("\x1f".join, zip(frame["prompt"], frame["chosen"], frame["rejected"])))
    return digest("\x1e".join(rows))
