"""Results on disk, named by content: the only module that reads or writes them.

A result is a folder ``<root>/<kind>/<first two digits>/<key>`` with Parquet tables, weights where a
child run needs them, and ``record.json``: the spec, its parents, versions, hardware, seconds.  It is
written under another name and renamed when complete, so that a folder with its final name is whole,
whatever was interrupted.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from w2s_lib.errors import OneLineError
from w2s_lib.pairs import split
from w2s_lib.run import SCHEME, Spec, Texts, Train

PACKAGES = (
    "torch",
    "transformers",
    "trl",
    "peft",
    "datasets",
    "accelerate",
    "numpy",
    "pandas",
    "seaborn",
    "distributed",
    "papermill",
    "jupyter-book",
)


class StoreError(OneLineError):
    """A store that cannot be used, in one line."""


@lru_cache(maxsize=1)
def versions() -> dict[str, str]:
    """Versions of Python and of the packages that make the results."""
    return {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}}


@lru_cache(maxsize=1)
def hardware() -> str:
    """One line about this machine, e.g. ``x86_64, AMD EPYC, 2 cores, Linux``."""
    model = ""
    if Path("/proc/cpuinfo").exists():
        names = [line.split(":", 1)[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
        model = names[0] if names else ""
    return ", ".join(filter(None, [platform.machine(), model or platform.processor(), f"{os.cpu_count()} cores", platform.system()]))


class Draft(NamedTuple):
    """A result in the making: the folder to fill, and notes that go into its record."""

    folder: Path
    notes: dict[str, object]


class Store:
    """The results under one folder.

    Raises:
        StoreError: the folder cannot be created or written.
    """

    def __init__(self, root: str | Path) -> None:
        self.root = Path(root).expanduser().absolute()
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            probe = self.root / f".probe-{os.getpid()}"
            probe.touch()
            probe.unlink()
        except OSError as error:
            raise StoreError(f"store={str(root)!r}: cannot be written ({error.strerror}); allowed: a folder you can write to") from None

    def path(self, spec: Spec) -> Path:
        """Where the result of a spec lies, or will lie."""
        return self.root / type(spec).__name__.lower() / spec.key[:2] / spec.key

    def has(self, spec: Spec) -> bool:
        return (self.path(spec) / "record.json").is_file()

    @contextmanager
    def writing(self, spec: Spec) -> Iterator[Draft]:
        """A draft to write a result into; it gets its final name, and its record, on leaving without an error."""
        final = self.path(spec)
        folder = final.parent / f".draft-{spec.key}-{platform.node()}-{os.getpid()}"
        folder.mkdir(parents=True)
        draft = Draft(folder, {})
        start = time.perf_counter()
        try:
            yield draft
            record = {
                "key": spec.key,
                "kind": type(spec).__name__,
                "scheme": SCHEME,
                "spec": spec.model_dump(mode="json"),
                "parents": [p.key for p in spec.parents()],
                "seconds": round(time.perf_counter() - start, 3),
                "finished": datetime.now(UTC).isoformat(timespec="seconds"),
                "hardware": hardware(),
                "versions": versions(),
                "notes": draft.notes,
            }
            (folder / "record.json").write_text(json.dumps(record, indent=1))
            if not self.has(spec):  # another worker may have been faster; its result is the same
                folder.rename(final)
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def record(self, spec: Spec) -> dict:
        """The record of a finished run."""
        return json.loads((self.path(spec) / "record.json").read_text())

    def table(self, spec: Spec, name: str) -> pd.DataFrame:
        """A table of a finished run: ``scores`` of a ``Train``, ``replies`` of a policy, ``knowledge`` of a ``Pretrain``.

        Raises:
            StoreError: there is no such result.
        """
        path = self.path(spec) / f"{name}.parquet"
        if not path.is_file():
            raise StoreError(f"{type(spec).__name__} {spec.key}: no table {name!r} in {self.root}; run it first")
        return pd.read_parquet(path)

    def page(self, key: str) -> dict[str, bytes] | None:
        """The files of an executed notebook, by name, or None where nobody has executed it."""
        folder = self.root / "page" / key[:2] / key
        return {path.name: path.read_bytes() for path in folder.iterdir()} if folder.is_dir() else None

    def keep_page(self, key: str, files: Mapping[str, bytes]) -> None:
        """Keep the files of an executed notebook under a key that names all that went into it."""
        final = self.root / "page" / key[:2] / key
        draft = final.parent / f".draft-{key}-{platform.node()}-{os.getpid()}"
        draft.mkdir(parents=True)
        try:
            for name, content in files.items():
                (draft / name).write_bytes(content)
            if not final.exists():
                draft.rename(final)
        finally:
            shutil.rmtree(draft, ignore_errors=True)

    def sweep_drafts(self) -> int:
        """Remove what interrupted processes of this machine left behind; returns how many drafts."""
        removed = 0
        for draft in self.root.glob("*/*/.draft-*"):
            _, _, node_and_pid = draft.name.removeprefix(".draft-").partition("-")
            node, _, pid = node_and_pid.rpartition("-")
            if node == platform.node() and not Path(f"/proc/{pid}").exists():
                shutil.rmtree(draft, ignore_errors=True)
                removed += 1
        return removed


class Shipped:
    """Results that come with the project, of an edition that not everybody can compute: margins on test pairs, and the records.

    For every study seed, ``margins-<seed>.parquet`` has a row a test pair, its ``pair_id`` and ``cluster``, and a column a run, named by
    its key (fp16 to stay small: probabilities keep three digits); ``records.parquet`` has the runs' records as JSON.  The texts are not
    among them.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        path = self.folder / "records.parquet"
        self.records: dict[str, dict] = {}
        if path.is_file():
            self.records = {record["key"]: record for record in map(json.loads, pd.read_parquet(path)["record"])}

    def has(self, spec: Spec) -> bool:
        return spec.key in self.records

    def pairs(self, spec: Texts) -> pd.DataFrame | None:
        """``pair_id`` and ``cluster`` of the test pairs, in the order of the margins; None where there is no result on these pairs."""
        if spec.key not in {record["pairs"] for record in self.records.values()}:
            return None
        return pd.read_parquet(self._margins(spec.seed), columns=["pair_id", "cluster"])

    def _margins(self, seed: int) -> Path:
        return self.folder / f"margins-{seed}.parquet"

    def scores(self, spec: Train) -> pd.DataFrame:
        """``pair_id``, ``split``, ``margin``, ``p_true`` of a run on the test pairs.

        Raises:
            StoreError: it is not among them.
        """
        if not self.has(spec):
            raise StoreError(f"{type(spec).__name__} {spec.key}: not among the results in {self.folder}")
        frame = pd.read_parquet(self._margins(spec.pairs.seed), columns=["pair_id", spec.key])
        margin = frame[spec.key].astype(float)
        return pd.DataFrame({"pair_id": frame["pair_id"], "split": "test", "margin": margin, "p_true": 1 / (1 + np.exp(-margin))})

    def table(self, name: str) -> pd.DataFrame:
        """A table about the texts; see ``ship``.

        Raises:
            StoreError: there is no such table.
        """
        path = self.folder / f"{name}.parquet"
        if not path.is_file():
            raise StoreError(f"{self.folder.name}: no table {name!r} comes with this edition")
        return pd.read_parquet(path)

    def write_table(self, name: str, frame: pd.DataFrame) -> None:
        """Keep a table about the texts."""
        frame.to_parquet(self.folder / f"{name}.parquet", compression="zstd")

    def write(self, store: Store, runs: Iterable[Train]) -> None:
        """Write the test margins and records of finished training runs; replaces what is there, once all of it has been read.

        Raises:
            StoreError: two studies of one seed, or scores that are not those of the test pairs.
        """
        frames: dict[Texts, pd.DataFrame] = {}
        records = {}
        for spec in runs:
            pairs = frames.setdefault(spec.pairs, split(spec.pairs, "test")[["pair_id", "cluster"]].copy())
            scores = store.table(spec, "scores").query("split == 'test'")
            if scores["pair_id"].tolist() != pairs["pair_id"].tolist():
                raise StoreError(f"{type(spec).__name__} {spec.key}: its scores are not those of the test pairs, in their order")
            pairs[spec.key] = scores["margin"].to_numpy(np.float16)
            records[spec.key] = {"pairs": spec.pairs.key, **store.record(spec)}
        seeds = [pairs.seed for pairs in frames]
        if len(set(seeds)) < len(seeds):
            raise StoreError(f"{self.folder.name}: two studies of seed {max(seeds, key=seeds.count)}; a seed has one set of pairs")
        self.folder.mkdir(parents=True, exist_ok=True)
        for old in self.folder.glob("margins-*.parquet"):
            old.unlink()
        for pairs, frame in frames.items():
            frame.to_parquet(self._margins(pairs.seed), compression="zstd")
        self.records = records
        lines = [json.dumps(record, sort_keys=True) for record in records.values()]
        pd.DataFrame({"record": lines}).to_parquet(self.folder / "records.parquet", compression="zstd")
