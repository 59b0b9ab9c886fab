"""Results that come with the project, for readers who cannot compute them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd

from w2s_lib import digests
from w2s_lib.data.load import split
from w2s_lib.errors import first_line
from w2s_lib.lab.store import UNREADABLE, Store, StoreError, replacing
from w2s_lib.specs import Opinion, Pairs, Society, Spec, Texts, Train

RECORDS = "records.parquet"
"""The file that an edition's folder has where results come with it."""

DIGESTS = "digests.json"
"""The file beside them that names what each holds: a bit that flipped would be another number, and nothing else."""

TABLES = ("knowledge", "replies", "tokens")
"""What a run may leave beside its scores."""

OF_A_PAIR = ["pair_id", "split", "margin", "p_true"]
"""The columns with which every table of scores begins."""

OF_SOCIETIES = {"scores": "agents", "replies": "lessons"}
"""What tables of societies are called: their scores are of every agent and round."""


class Shipped:
    """Results of an edition that not everybody can compute, or wants to: margins and records, but no real texts.

    For every study seed, ``margins-<seed>.parquet`` has a row a test pair, its ``pair_id`` and ``cluster``, and a
    column a run, named by its key (fp16 to stay small: probabilities keep three digits); ``records.parquet`` has the
    runs' records as JSON, and ``digests.json`` the digest of each file, held against it when it is read.

    Of the world's, ``margins-<seed>-<objective>.parquet``, with the share of noisy labels behind that where there are
    any, has those on the pairs of the other ``split`` as well, fp32; ``knowledge``, ``replies`` and ``tokens`` hold
    those tables of all runs, with the ``key`` of each, ``agents`` and ``lessons`` those of societies; no weights.
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

    def pairs(self, spec: Pairs | Texts) -> pd.DataFrame | None:
        """``pair_id`` and ``cluster`` of the test pairs, in the order of the margins; None: no result is on these, or
        anybody can make them, as those of the world."""
        if not isinstance(spec, Texts) or spec.key not in {record.get("pairs") for record in self.records.values()}:
            return None
        return self._read(self._margins(spec), ["pair_id", "cluster"])

    def _margins(self, pairs: Pairs | Texts) -> Path:
        of = str(pairs.seed)
        if isinstance(pairs, Pairs):
            of += f"-{pairs.objective}" + (f"-noise-{pairs.label_noise:g}" if pairs.label_noise else "")
        return self.folder / f"margins-{of}.parquet"

    def _digests(self) -> dict[str, str]:
        return json.loads((self.folder / DIGESTS).read_bytes())

    def content(self, name: str) -> bytes | None:
        """What a file of another kind holds; None: there is none.

        Raises:
            StoreError: it cannot be read, or is not what was written.
        """
        path = self.folder / name
        if not path.is_file():
            return None
        with self._reading(path):
            return path.read_bytes()

    def write_content(self, name: str, content: bytes) -> Path:
        """Keep a file of another kind; returns its path."""
        path = self.folder / name
        self.folder.mkdir(parents=True, exist_ok=True)
        with replacing(path) as draft:
            draft.write_bytes(content)
        self._name({name: digests.of_file(path)})
        return path

    def _read(self, path: Path, columns: Sequence[str] | None = None) -> pd.DataFrame:
        with self._reading(path):
            frame = _whole(digests.stamp(path))
            return frame.copy(deep=False) if columns is None else frame[list(columns)]

    @contextmanager
    def _reading(self, path: Path) -> Iterator[None]:
        """Within, a file is what was written; what readers raise is said in one line."""
        try:
            if digests.of_file(path) != self._digests().get(path.name):
                raise ValueError(f"it is not what {DIGESTS} names")
            yield
        except (*UNREADABLE, KeyError) as error:
            said = "is missing" if isinstance(error, FileNotFoundError) else f"cannot be read ({first_line(error)})"
            where = getattr(error, "filename", None) or path
            raise StoreError(f"{where} {said}; it comes with the edition: restore it (git checkout)") from None

    def scores(self, spec: Train | Opinion | Society) -> pd.DataFrame:
        """``pair_id``, ``split``, ``margin``, ``p_true`` of a run on the test pairs and on others that are shipped.

        Of a society, by every agent after every round.

        Raises:
            StoreError: it is not among them, or their file cannot be read.
        """
        if isinstance(spec, Society):
            frame = self.of_run(spec, "scores")
            margin = frame["margin"].astype(float)
            told = frame.assign(margin=margin, p_true=1 / (1 + np.exp(-margin)))
            return told[[*OF_A_PAIR, *told.columns.drop(OF_A_PAIR)]]
        if not self.has(spec):
            raise StoreError(f"{type(spec).__name__} {spec.key}: not among the results in {self.folder}")
        split_too = [] if isinstance(spec.pairs, Texts) else ["split"]
        frame = self._read(self._margins(spec.pairs), ["pair_id", *split_too, spec.key])
        margin, split = frame[spec.key].astype(float), frame["split"] if split_too else "test"
        return pd.DataFrame(
            {"pair_id": frame["pair_id"], "split": split, "margin": margin, "p_true": 1 / (1 + np.exp(-margin))}
        )

    def of_run(self, spec: Spec, name: str) -> pd.DataFrame:
        """A run's part of a table: ``knowledge``, ``replies``, ``tokens``, or a society's ``scores``.

        Raises:
            StoreError: it is not among them, or the table cannot be read.
        """
        mine = self._rows(spec, name)
        if mine.empty:
            raise StoreError(f"{type(spec).__name__} {spec.key}: no {name} among the results in {self.folder}")
        return mine

    def _kept(self, spec: Spec, name: str) -> pd.DataFrame | None:
        if not (self.folder / f"{_called(spec, name)}.parquet").is_file():
            return None
        mine = self._rows(spec, name)
        return None if mine.empty else mine

    def _rows(self, spec: Spec, name: str) -> pd.DataFrame:
        table = self.table(_called(spec, name))
        return table[table["key"] == spec.key].drop(columns="key").reset_index(drop=True)

    def _kept_margins(self, spec: Train | Opinion, beside: pd.DataFrame) -> np.ndarray:
        frame = self._read(self._margins(spec.pairs), [*beside.columns, spec.key])
        if not all(frame[name].tolist() == beside[name].tolist() for name in beside.columns):
            says = "its margins that were shipped are of other pairs; run it again"
            raise StoreError(f"{type(spec).__name__} {spec.key}: {says}")
        return frame[spec.key].to_numpy()

    def table(self, name: str) -> pd.DataFrame:
        """A table about the texts; see ``ship``.

        Raises:
            StoreError: there is no such table, or it cannot be read.
        """
        path = self.folder / f"{name}.parquet"
        if not path.is_file():
            raise StoreError(f"{self.folder.name}: no table {name!r} comes with this edition")
        return self._read(path)

    def machines(self) -> pd.DataFrame:
        """Which machines finished its runs, by their records: ``hardware``, ``runs``, and the ``minutes`` that these
        took (without the reading of texts by frozen layers)."""
        rows = [(record["hardware"], record["seconds"] / 60) for record in self.records.values()]
        took = pd.DataFrame(rows, columns=["hardware", "took"]).groupby("hardware")["took"]
        return took.agg(runs="size", minutes="sum").reset_index()

    def write_table(self, name: str, frame: pd.DataFrame) -> None:
        """Keep a table about the texts."""
        path = self.folder / f"{name}.parquet"
        with replacing(path) as draft:
            frame.to_parquet(draft, compression="zstd")
        self._name({path.name: digests.of_file(path)})

    def _name(self, written: dict[str, str]) -> None:
        """Keep the digests of files that were written, beside those of the others that are there."""
        path = self.folder / DIGESTS
        every = (self._digests() if path.is_file() else {}) | written
        there = {name: digest for name, digest in sorted(every.items()) if (self.folder / name).is_file()}
        with replacing(path) as draft:
            draft.write_text(json.dumps(there, indent=1) + "\n", encoding="utf-8")

    def write(self, store: Store, runs: Iterable[Spec]) -> None:
        """Write margins, tables and records of finished runs; replaces what is there, once all is read.

        Of a run that the store lacks, what is there stays.

        Raises:
            StoreError: two studies of one seed, scores that are not those of the pairs, or a run that is in neither.
        """
        beside: dict[Pairs | Texts, pd.DataFrame] = {}
        margins: dict[Pairs | Texts, dict[str, np.ndarray]] = {}
        tables: dict[str, list[pd.DataFrame]] = {}
        records = {}
        for spec in runs:
            kept = not store.has(spec) and self.has(spec)
            records[spec.key] = self.records[spec.key] if kept else store.record(spec)
            for name in (*TABLES, "scores") if isinstance(spec, Society) else TABLES:
                table = self._kept(spec, name) if kept else _table(store, spec, name)
                if table is not None:
                    tables.setdefault(_called(spec, name), []).append(table.assign(key=spec.key))
            if isinstance(spec, Train | Opinion):
                if spec.pairs not in beside:
                    beside[spec.pairs] = _of_pairs(spec.pairs)
                of = self._kept_margins(spec, beside[spec.pairs]) if kept else _margins(store, spec, beside[spec.pairs])
                margins.setdefault(spec.pairs, {})[spec.key] = of
                records[spec.key] = {"pairs": spec.pairs.key, **records[spec.key]}
        names = [self._margins(pairs).stem for pairs in beside]
        if len(set(names)) < len(names):
            seed = max(names, key=names.count).removeprefix("margins-")
            raise StoreError(f"{self.folder.name}: two studies of seed {seed}; a seed has one set of pairs")
        self.folder.mkdir(parents=True, exist_ok=True)
        for name, (pairs, frame) in zip(names, beside.items()):
            self.write_table(name, pd.concat([frame, pd.DataFrame(margins[pairs], index=frame.index)], axis=1))
        for name, parts in tables.items():
            self.write_table(name, pd.concat(parts, ignore_index=True))
        self.records = records
        lines = [json.dumps(record, sort_keys=True) for record in records.values()]
        self.write_table("records", pd.DataFrame({"record": lines}))
        for old in set(self.folder.glob("margins-*.parquet")) - {self._margins(pairs) for pairs in beside}:
            old.unlink()
        for name in {*TABLES, *OF_SOCIETIES.values()} - set(tables):
            (self.folder / f"{name}.parquet").unlink(missing_ok=True)
        self._name({})


def _called(spec: Spec, name: str) -> str:
    return OF_SOCIETIES.get(name, name) if isinstance(spec, Society) else name


def _table(store: Store, spec: Spec, name: str) -> pd.DataFrame | None:
    if isinstance(spec, Train) and isinstance(spec.pairs, Texts) and name == "replies":
        return None  # what may be read of them a judgement says
    if not (store.path(spec) / f"{name}.parquet").is_file():
        return None
    table = store.table(spec, name)
    return table.drop(columns="p_true").astype({"margin": np.float32}) if name == "scores" else table


@lru_cache(maxsize=16)
def _whole(stamped: digests.Stamp) -> pd.DataFrame:
    """A file as it is under its stamp: a chapter asks for a hundred runs in it, one by one.  Copies of it share its
    columns until one is written to (pandas 3 copies on write)."""
    return pd.read_parquet(stamped[0])


def _of_pairs(pairs: Pairs | Texts) -> pd.DataFrame:
    """What stands beside the margins: of real texts the test pairs, of the world's those of every scored split."""
    if isinstance(pairs, Texts):
        return split(pairs, "test")[["pair_id", "cluster"]].copy()
    parts = [split(pairs, name)[["pair_id"]].assign(split=name) for name in ("weak_label", "test")]
    return pd.concat(parts, ignore_index=True)


def _margins(store: Store, spec: Train | Opinion, beside: pd.DataFrame) -> np.ndarray:
    """The margins of a finished run on pairs that are named beside it, each where it belongs."""
    scores, dtype = store.table(spec, "scores").query("split != 'ground_truth'"), np.float32
    if isinstance(spec.pairs, Texts):
        scores, dtype = scores.query("split == 'test'"), np.float16
    if scores["pair_id"].tolist() != beside["pair_id"].tolist():
        raise StoreError(
            f"{type(spec).__name__} {spec.key}: its scores are not those of the test pairs, in their order"
        )
    return scores["margin"].to_numpy(dtype)
