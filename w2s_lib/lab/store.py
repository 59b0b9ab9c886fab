"""Results on disk, named by content: this module and ``shipped`` alone read or write them.

A result is a folder ``<root>/<kind>/<first two digits>/<key>`` with Parquet tables, weights where a child run needs
them, and ``record.json``: the spec, its parents, code, versions, hardware, seconds, and a digest of every file beside
it.  It is written under another name and renamed when complete, so that a folder with its final name is whole, whatever
was interrupted.  What is found damaged all the same, as after a power cut, is never removed: it is moved to
``<root>/aside``, and done again.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple
from uuid import uuid4

import numpy as np
import pandas as pd
from pyarrow import ArrowException
from pydantic import ValidationError

from w2s_lib.digests import digest, of_file
from w2s_lib.errors import OneLineError, first_line
from w2s_lib.lab.provenance import code, hardware, is_alive, machine, versions
from w2s_lib.specs import SCHEME, Spec, Submission

RECORD = "record.json"

WEEK = 7 * 24 * 3600.0
"""Seconds for which nothing is written into a draft of another machine before it counts as left behind."""

ATTEMPTS = 5
"""How often a finished run asks for its final name, where others move what is in the way at the same time."""

UNREADABLE = (OSError, ValueError, ArrowException)
"""What readers of Parquet raise."""


def no_utf8(path: str | Path) -> str:
    """What to do about a path that libraries cannot be told, for they take UTF-8 alone; empty where they can."""
    try:
        os.fsencode(path)
        str(Path(path).absolute()).encode()
    except UnicodeEncodeError:
        if (known := sys.getfilesystemencoding()) == "utf-8":
            return "its path holds bytes that are not UTF-8; rename it, or the folder around it"
        return f"its path holds letters that this locale does not know ({known}); set PYTHONUTF8=1"
    return ""


class StoreError(OneLineError):
    """A store that cannot be used, in one line."""


class DamagedError(StoreError):
    """A result that is not as it was written; says which file, and in ``damage`` nothing but that."""

    def __init__(self, path: Path, damage: str) -> None:
        self.damage = f"{path} {damage}"
        super().__init__(f"{self.damage}; without its folder the run is done again")


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """What readers raise within is said of the file at ``path``, as damage."""
    try:
        yield
    except FileNotFoundError:
        raise DamagedError(path, "is missing") from None
    except UNREADABLE as error:
        raise DamagedError(path, f"cannot be read ({first_line(error)})") from None


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """A path to write a file to, in the same folder, that replaces the file at ``path`` on leaving without an error.

    So nobody reads half of it, and after an error what was there is there; after a power cut one of both is.
    """
    path = Path(path)
    draft = path.with_name(f".draft-{uuid4().hex}-{path.name}")  # with its ending, by which writers know the format
    try:
        yield draft
        with draft.open("rb") as written:
            os.fsync(written.fileno())  # or the name may reach the disk before what it names
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


@contextmanager
def _draft(final: Path) -> Iterator[Path]:
    """A folder beside the final one, whose name nobody else has on any machine; gone on leaving, unless renamed."""
    folder = final.parent / f".draft-{final.name}-{machine()}-{uuid4().hex}-{os.getpid()}"
    folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _in_the_making(draft: Path) -> bool:
    """Whether somebody may still be writing a draft: a living process here, or, within a ``WEEK``, one elsewhere."""
    *_, where, _, pid = ("", "", *draft.name.split("-"))
    if where == machine():
        return is_alive(int(pid))
    try:
        return max(path.stat().st_mtime for path in (draft, *draft.rglob("*"))) > time.time() - WEEK
    except FileNotFoundError:  # it is being finished
        return True


def _files(folder: Path) -> dict[str, str]:
    """Digests of all files in a folder, by their paths in it."""
    return {path.relative_to(folder).as_posix(): of_file(path) for path in sorted(folder.rglob("*")) if path.is_file()}


class Draft(NamedTuple):
    """A result in the making: the folder to fill, and notes that go into its record."""

    folder: Path
    notes: dict[str, object]


class Store:
    """The results under one folder.

    Args:
        root: the folder; it is made.
        read_only: it is as it is, and need not be there.

    Raises:
        StoreError: the folder cannot be created or written.
    """

    def __init__(self, root: str | Path, read_only: bool = False) -> None:
        self.root = Path(root).expanduser().absolute()
        if read_only:
            return
        if says := no_utf8(self.root):
            raise StoreError(f"store={str(root)!r}: {says}")
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self.root):
                pass
        except OSError as error:
            raise StoreError(
                f"store={str(root)!r}: cannot be written ({error.strerror}); allowed: a folder you can write to"
            ) from None

    def path(self, spec: Spec) -> Path:
        """Where the result of a spec lies, or will lie."""
        return self.root / type(spec).__name__.lower() / spec.key[:2] / spec.key

    def has(self, spec: Spec) -> bool:
        return (self.path(spec) / RECORD).is_file()

    @contextmanager
    def writing(self, spec: Spec) -> Iterator[Draft]:
        """A draft to write a result into; it gets its final name, and its record, on leaving without an error.

        Raises:
            StoreError: a model's scores in it are no finite numbers.
        """
        start, made_by = time.perf_counter(), code()
        with _draft(self.path(spec)) as folder:
            draft = Draft(folder, {})
            yield draft
            scores = folder / "scores.parquet"
            if scores.is_file() and not isinstance(spec, Submission):  # which may leave pairs without a label
                # Whoever reads scores that are no numbers would call them wrong, and report a tax that nobody paid.
                if not np.isfinite(pd.read_parquet(scores, columns=["margin"])["margin"]).all():
                    raise StoreError("its scores are no finite numbers: training diverged; lower learning_rate")
            record = {
                "key": spec.key,
                "kind": type(spec).__name__,
                "scheme": SCHEME,
                "spec": spec.model_dump(mode="json"),
                "parents": [p.key for p in spec.parents()],
                "seconds": round(time.perf_counter() - start, 3),
                "finished": datetime.now(UTC).isoformat(timespec="seconds"),
                "hardware": hardware(),
                "code": made_by,
                "versions": versions(),
                "files": _files(folder),
                "notes": draft.notes,
            }
            _write_record(folder, record)
            self._settle(folder, self.path(spec))

    def copy(self, spec: Spec, other: Store) -> None:
        """Have a finished run that another store has, with its record as it is there.

        Raises:
            StoreError: the other has no such result.
            DamagedError: it is not as it was written.
        """
        other.verify(spec)
        with _draft(self.path(spec)) as draft:
            for name in (*other.record(spec)["files"], RECORD):  # and nothing else that lies there
                (draft / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(other.path(spec) / name, draft / name, follow_symlinks=False)
            self._settle(draft, self.path(spec))

    def _settle(self, draft: Path, final: Path) -> None:
        """Give a whole draft its final name, unless another writer was faster, whose result is the same."""
        for attempt in range(ATTEMPTS):
            try:
                draft.rename(final)
                return
            except OSError:
                if (final / RECORD).is_file():
                    return
                if attempt == ATTEMPTS - 1:
                    raise
                self._move_aside(final, f"{final} has no {RECORD}")

    def _move_aside(self, folder: Path, damage: str) -> None:
        """Say what is wrong with a folder and move it to ``aside``; nothing where another process has just done so."""
        aside = self.root / "aside" / f"{folder.name}-{uuid4().hex[:8]}"
        aside.parent.mkdir(exist_ok=True)
        try:
            folder.rename(aside)
        except FileNotFoundError:
            return
        print(f"store: {damage}; set aside in {aside}, and done again", file=sys.stderr, flush=True)

    def set_aside(self, spec: Spec, error: DamagedError) -> None:
        """Move a damaged result out of the way, so that the run is missing; says so in one line on stderr."""
        self._move_aside(self.path(spec), error.damage)

    def record(self, spec: Spec) -> dict:
        """The record of a finished run.

        Raises:
            StoreError: there is no such result.
            DamagedError: its record cannot be read.
        """
        path = self.path(spec) / RECORD
        if not path.is_file():
            raise StoreError(f"{type(spec).__name__} {spec.key}: no result in {self.root}; run it first")
        record = _read_record(path)
        if record.get("scheme", SCHEME) != SCHEME:
            raise DamagedError(path, f"is of scheme {record['scheme']!r}, here it is {SCHEME}")
        if record.get("key", spec.key) != spec.key:
            raise DamagedError(path, f"is that of another run, {record['key']}")
        return record

    def records(self, kind: type[Spec]) -> Iterator[tuple[Spec, dict]]:
        """All finished runs of a kind with their records, as far as these can be read and are of today's scheme."""
        for path in sorted(self.root.glob(f"{kind.__name__.lower()}/*/*/{RECORD}")):
            with suppress(StoreError, ValidationError):
                spec = kind.model_validate(_read_record(path).get("spec"))
                yield spec, self.record(spec)

    def seconds(self, spec: Spec) -> float | None:
        """How long a run took; None where this machine does not see its record."""
        try:
            return self.record(spec).get("seconds")
        except StoreError:
            return None

    def verify(self, spec: Spec) -> None:
        """Check that the files of a finished run are those that its record names, if it names any.

        Raises:
            StoreError: there is no such result.
            DamagedError: a file is missing or was changed, or the record cannot be read.
        """
        _verify(self.path(spec), self.record(spec).get("files", {}))

    def table(self, spec: Spec, name: str) -> pd.DataFrame:
        """A table of a finished run: a ``Train``'s ``scores``, a policy's ``replies``, an oracle's ``tokens``, a
        ``Pretrain``'s ``knowledge``.

        Raises:
            StoreError: there is no such result, or it has no such table.
            DamagedError: the table is missing, was changed or cannot be read, or the record cannot.
        """
        path = self.path(spec) / f"{name}.parquet"
        written = self.record(spec).get("files") if self.has(spec) else {}
        if written is not None:
            if path.name not in written:
                raise StoreError(f"{type(spec).__name__} {spec.key}: no table {name!r} in {self.root}; run it first")
            _verify(path.parent, {path.name: written[path.name]})
        with _reading(path):
            return pd.read_parquet(path)

    def page(self, key: str) -> dict[str, bytes] | None:
        """The files of an executed notebook, by name, or None where nobody has executed it."""
        folder = self.root / "page" / key[:2] / key
        if not (folder / RECORD).is_file():
            return None
        try:
            files = _read_record(folder / RECORD).get("files", {})
            _verify(folder, files)
        except DamagedError as error:
            self._move_aside(folder, error.damage)
            return None
        return {name: (folder / name).read_bytes() for name in files}

    def keep_page(self, key: str, files: Mapping[str, bytes]) -> None:
        """Keep the files of an executed notebook under a key that names all that went into it."""
        final = self.root / "page" / key[:2] / key
        with _draft(final) as draft:
            for name, content in files.items():
                (draft / name).write_bytes(content)
            _write_record(draft, {"files": _files(draft)})
            self._settle(draft, final)

    def sweep_drafts(self) -> int:
        """Remove what interrupted processes left behind; returns how many drafts.

        Of this machine's those whose process is gone, of others' those that nobody has written to for a ``WEEK``.
        """
        left = [draft for draft in self.root.glob("*/*/.draft-*") if not _in_the_making(draft)]
        for draft in left:
            shutil.rmtree(draft, ignore_errors=True)
        return len(left)


def _read_record(path: Path) -> dict:
    with _reading(path):
        record = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(record, dict):
        raise DamagedError(path, "is no record")
    if {"sealed", "digest"} & set(record) and record.get("digest") != _digest(record):
        raise DamagedError(path, "is not what was written")
    return record


def _write_record(folder: Path, record: Mapping[str, object]) -> None:
    """Write a record with a digest of itself, and a word that there is one: older records have neither."""
    record = {**record, "sealed": True}
    text = json.dumps(record | {"digest": _digest(record)}, indent=1)
    (folder / RECORD).write_text(text, encoding="utf-8")


def _digest(record: Mapping[str, object]) -> str:
    """A digest of all that a record says, but for this."""
    return digest(json.dumps({name: value for name, value in record.items() if name != "digest"}, sort_keys=True))


def _verify(folder: Path, files: Mapping[str, str]) -> None:
    for name, written in files.items():
        with _reading(folder / name):
            found = of_file(folder / name)
        if found != written:
            raise DamagedError(folder / name, "is not what was written")
