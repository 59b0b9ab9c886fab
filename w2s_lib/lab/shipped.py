"""Results that come with the project, for readers who cannot compute them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from w2s_lib.data.load import split
from w2s_lib.errors import first_line
from w2s_lib.lab.store import UNREADABLE, Store, StoreError, replacing
from w2s_lib.specs import Spec, Texts, Train

RECORDS = "records.parquet"
"""The file that an edition's folder has where results come with it."""


class Shipped:
    """Results of an edition that not everybody can compute: margins on test pairs, and the records, but no texts.

    For every study seed, ``margins-<seed>.parquet`` has a row a test pair, its ``pair_id`` and ``cluster``, and a
    column a run, named by its key (fp16 to stay small: probabilities keep three digits); ``records.parquet`` has the
    runs' records as JSON.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        path = self.folder / RECORDS
        self.records: dict[str, dict] = {}
        if path.is_file():
            lines = self._read(path, ["record"])["record"]
            self.records = {record["key"]: record for record in map(json.loads, lines)}

    def has(self, spec: Spec) -> bool:
        return spec.key in self.records

    def pairs(self, spec: Texts) -> pd.DataFrame | None:
        """``pair_id`` and ``cluster`` of the test pairs, in the order of the margins; None: no result is on these."""
        if spec.key not in {record["pairs"] for record in self.records.values()}:
            return None
        return self._read(self._margins(spec.seed), ["pair_id", "cluster"])

    def _margins(self, seed: int) -> Path:
        return self.folder / f"margins-{seed}.parquet"

    @staticmethod
    def _read(path: Path, columns: Sequence[str] | None = None) -> pd.DataFrame:
        try:
            return pd.read_parquet(path, columns=columns)
        except UNREADABLE as error:
            said = "is missing" if isinstance(error, FileNotFoundError) else f"cannot be read ({first_line(error)})"
            raise StoreError(f"{path} {said}; it comes with the edition: restore it (git checkout)") from None

    def scores(self, spec: Train) -> pd.DataFrame:
        """``pair_id``, ``split``, ``margin``, ``p_true`` of a run on the test pairs.

        Raises:
            StoreError: it is not among them, or their file cannot be read.
        """
        if not self.has(spec):
            raise StoreError(f"{type(spec).__name__} {spec.key}: not among the results in {self.folder}")
        frame = self._read(self._margins(spec.pairs.seed), ["pair_id", spec.key])
        margin = frame[spec.key].astype(float)
        return frame[["pair_id"]].assign(split="test", margin=margin, p_true=1 / (1 + np.exp(-margin)))

    def table(self, name: str) -> pd.DataFrame:
        """A table about the texts; see ``ship``.

        Raises:
            StoreError: there is no such table, or it cannot be read.
        """
        path = self.folder / f"{name}.parquet"
        if not path.is_file():
            raise StoreError(f"{self.folder.name}: no table {name!r} comes with this edition")
        return self._read(path)

    def write_table(self, name: str, frame: pd.DataFrame) -> None:
        """Keep a table about the texts."""
        with replacing(self.folder / f"{name}.parquet") as draft:
            frame.to_parquet(draft, compression="zstd")

    def write(self, store: Store, runs: Iterable[Train]) -> None:
        """Write the test margins and records of finished training runs; replaces what is there, once all is read.

        Raises:
            StoreError: two studies of one seed, or scores that are not those of the test pairs.
        """
        frames: dict[Texts, pd.DataFrame] = {}
        records = {}
        for spec in runs:
            pairs = frames.setdefault(spec.pairs, split(spec.pairs, "test")[["pair_id", "cluster"]].copy())
            scores = store.table(spec, "scores").query("split == 'test'")
            if scores["pair_id"].tolist() != pairs["pair_id"].tolist():
                raise StoreError(
                    f"{type(spec).__name__} {spec.key}: its scores are not those of the test pairs, in their order"
                )
            pairs[spec.key] = scores["margin"].to_numpy(np.float16)
            records[spec.key] = {"pairs": spec.pairs.key, **store.record(spec)}
        seeds = [pairs.seed for pairs in frames]
        if len(set(seeds)) < len(seeds):
            raise StoreError(
                f"{self.folder.name}: two studies of seed {max(seeds, key=seeds.count)}; a seed has one set of pairs"
            )
        self.folder.mkdir(parents=True, exist_ok=True)
        for pairs, frame in frames.items():
            self.write_table(self._margins(pairs.seed).stem, frame)
        self.records = records
        lines = [json.dumps(record, sort_keys=True) for record in records.values()]
        self.write_table("records", pd.DataFrame({"record": lines}))
        for old in set(self.folder.glob("margins-*.parquet")) - {self._margins(seed) for seed in seeds}:
            old.unlink()
