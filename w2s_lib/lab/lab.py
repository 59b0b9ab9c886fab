"""The lab: runs what is missing, parents first, in parallel, and hands out what the runs left.

Runs go through Dask, one thread a process, as many at a time as there are workers: on this machine, at a scheduler or
as jobs of SLURM (``cluster``).  Parallelism pays over runs and not within one, and results do not depend on where a run
is done.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import closing
from functools import partial
from itertools import chain
from pathlib import Path

import pandas as pd

from w2s_lib.data import load
from w2s_lib.errors import ParameterError
from w2s_lib.lab import cluster
from w2s_lib.lab.execute import RunError, execute, one_line, sound
from w2s_lib.lab.graph import checkpoints_of, closure, describe, wants_gpu
from w2s_lib.lab.provenance import is_of_other_code
from w2s_lib.lab.remaining import Remaining
from w2s_lib.lab.shipped import Shipped
from w2s_lib.lab.store import DamagedError, Store, StoreError
from w2s_lib.models import names
from w2s_lib.models.folders import refused_by
from w2s_lib.specs import Checkpoint, Judgement, Pairs, Pretrain, Search, Spec, Split, Texts, Train
from w2s_lib.training import shards

SHARING = 90.0
"""Seconds after which what another machine wrote must be seen here; NFS keeps what it knows of folders for 60."""

STRICT = "W2S_STRICT"
"""Environment variable: ``yes`` refuses results that come from other code or versions than today's."""


class Lab:
    """Access to results by spec.

    Args:
        store: folder of the results.
        workers: processes, or jobs of SLURM, to run missing runs in; 0 runs them in this process, one after another.
        progress: say how far it is while runs are missing.
        dask: where those processes are: ``local``, ``slurm`` or a scheduler's address; ``$W2S_DASK`` goes before it.
        shipped: results that come with the project; they count as finished.
        given: pretrained models that come with the project; they are copied into the store instead of trained, and
            as data are of no other code.

    Raises:
        StoreError: the store cannot be written.
        ParameterError: there is no such cluster, or none that can be reached from here.
    """

    def __init__(
        self,
        store: str | Path,
        workers: int | None = None,
        progress: bool = True,
        dask: str = cluster.LOCAL,
        shipped: Shipped | None = None,
        given: Store | None = None,
    ) -> None:
        self.store = Store(store)
        self.workers = (os.cpu_count() or 1) if workers is None else workers
        self.progress = progress
        self.dask = cluster.choose(dask)
        self.shipped = shipped
        self.given = given
        self.trained = 0
        self.then = 0.0
        """Seconds that what follows the runs takes in a build."""
        self.written: dict[str, str] = {}
        """How users write models whose names are others; see ``Edition.written``."""
        self._scores: dict[str, pd.DataFrame] = {}
        self._parts: dict[tuple[str, str], pd.DataFrame] = {}

    def missing(self, specs: Iterable[Spec]) -> list[Spec]:
        """Of the specs and their parents, those whose results are not at hand, parents first."""
        return [spec for spec in closure(specs, self._ships) if not self.store.has(spec) and not self.is_given(spec)]

    def check(self, specs: Iterable[Spec], planning: bool = False) -> list[Spec]:
        """What is missing of these runs and their parents, if nothing speaks against doing it.

        Models that are given are copied into the store, and those that only the hub has are fetched.  In ``planning``
        neither is: the latter are known by their configurations, and it is a note on stderr where the hub cannot be
        reached.

        Raises:
            StoreError: ``$W2S_STRICT`` is ``yes``, and results come from other code or versions; or a model that is
                given is damaged.
            ParameterError: ``$W2S_STRICT`` or ``$W2S_PATIENCE`` says nothing that they can.
            ShardedError: a run cannot be shared as ``$W2S_SHARDS`` asks.
            CheckpointError: a model cannot be used, or not be had from the hub.
            DataError, PairsError: pairs of the world, or that lie here, are too few, or too seldom told apart by what
                is mixed in.
        """
        specs = list(specs)
        if not planning:
            self._take(specs)
        self._be_strict(specs)
        cluster.patience(cluster.PATIENCE_WITHOUT_WORKER)
        todo = self.missing(specs)
        shards.check_shared(todo)
        _check_pairs(todo)
        if read := list(chain.from_iterable(map(checkpoints_of, todo))):
            self._check_models(todo, read, planning)
        return todo

    def _check_models(self, todo: list[Spec], read: list[Checkpoint], planning: bool) -> None:
        """Refuse real models that cannot be used, named as users write them."""
        from w2s_lib.models import usable  # here, for it loads torch

        as_written = lambda error: type(error)(self.written.get(error.args[0], error.args[0]), error.says)
        try:
            with refused_by(as_written):
                names.check_hub(read)
        except names.Unreachable as error:
            if not planning:
                raise
            print(f"note: this plan cannot be run from here: {error}", file=sys.stderr)
        with refused_by(as_written):
            usable.check_models(todo, fetch=not planning)

    def run(self, specs: Iterable[Spec]) -> int:
        """Make sure that all these runs, and their parents, exist; returns how many were trained now.

        Raises:
            RunError: a run failed.  The runs that do not depend on it are finished first.
            ClusterError: a cluster that cannot be used, or that has no worker left for what is to be run.
            OneLineError: see ``check``; none is begun.
        """
        if todo := self.check(specs):
            self.store.sweep_drafts()
            with closing(Remaining(todo, self.progress, self.then)) as remaining:
                (self._run_here if self.workers == 0 else self._run_on_dask)(todo, remaining)
            self.trained += len(todo)
        return len(todo)

    def of_other_code(self, specs: Iterable[Spec]) -> list[Spec]:
        """Of the specs and their parents, those whose results come from other code or versions, parents first."""
        shipped, found = self.shipped.records if self.shipped else {}, []
        for spec in filter(self._has, closure(specs)):
            if self.is_given(spec):
                continue
            try:
                if is_of_other_code(shipped.get(spec.key) or self.store.record(spec)):
                    found.append(spec)
            except DamagedError as error:
                self.store.set_aside(spec, error)  # it is missing from now on
        return found

    def says_of_code(self, specs: Iterable[Spec]) -> str:
        """One line about results that come from other code or versions; empty where none does."""
        specs = list(specs)
        others = self.of_other_code(specs)
        return f"{self._count(others, specs)}; {STRICT}=yes refuses them" if others else ""

    def is_given(self, spec: Spec) -> bool:
        """Whether a run is one of the pretrained models that come with the project; results that are shipped began
        from the same."""
        return self.given is not None and isinstance(spec, Pretrain) and self.given.has(spec)

    def _take(self, specs: Iterable[Spec]) -> None:
        for spec in closure(specs, self._ships):
            if not self.store.has(spec) and self.is_given(spec):
                try:
                    self.store.copy(spec, self.given)
                except DamagedError as error:
                    raise StoreError(f"{error.damage}; it comes with the book: restore it (git checkout)") from None

    def _ships(self, spec: Spec) -> bool:
        return self.shipped is not None and self.shipped.has(spec)

    def _has(self, spec: Spec) -> bool:
        return self.store.has(spec) or self._ships(spec)

    def _count(self, others: list[Spec], specs: Iterable[Spec]) -> str:
        return f"{len(others)} of {sum(map(self._has, closure(specs)))} results come from other code or versions"

    def _be_strict(self, specs: list[Spec]) -> None:
        said = os.environ.get(STRICT) or "no"
        if said not in ("yes", "no"):
            raise ParameterError(STRICT, said, "must be 'yes' or 'no'")
        if said == "yes" and (others := self.of_other_code(specs)):
            where = "shipped with the edition" if self._ships(others[0]) else self.store.path(others[0])
            raise StoreError(
                f"{STRICT}=yes: {self._count(others, specs)}, first {describe(others[0])} ({where}); "
                "use an empty store, and W2S_SHIPPED=no where they are shipped"
            )

    def _run_here(self, todo: list[Spec], remaining: Remaining) -> None:
        for spec in todo:
            begin = time.monotonic()
            try:
                execute(spec, self.store.root, hear=remaining.hear)
            except Exception as error:
                raise RunError(_failed(spec, error)) from error
            remaining.done(spec, time.monotonic() - begin)

    def _run_on_dask(self, todo: list[Spec], remaining: Remaining) -> None:
        wanting, logs = sum(map(wants_gpu, todo)), self.store.root / "logs"
        with cluster.connect(self.dask, self.workers, len(todo), wanting, logs) as connection:
            cluster.hear(connection, remaining.hear)
            failed = self._submit(todo, connection, remaining)
        for spec, error in failed.items():
            if not any(parent in failed for parent in spec.parents()):
                others = f"{len(todo) - len(failed)} other runs finished and are kept"
                raise RunError(f"{_failed(spec, error)}; {others}") from error
        self._await(todo)

    def _submit(
        self, todo: list[Spec], connection: cluster.Connection, remaining: Remaining
    ) -> dict[Spec, BaseException]:
        """Have runs done, each once its parents are, and wait for all; returns those that failed, and why."""
        failed: dict[Spec, BaseException] = {}
        asked = {spec: connection.resources(wants_gpu(spec)) for spec in todo}
        futures = {}
        for spec, resources in asked.items():
            parents = [futures[parent] for parent in spec.parents() if parent in futures]
            name = f"{type(spec).__name__.lower()}-{spec.key}"  # by what is before the hyphen Dask guesses the duration
            submit = partial(connection.client.submit, execute, spec, self.store.root, *parents)
            futures[spec] = submit(key=name, resources=resources, pure=False)
        specs = {future.key: spec for spec, future in futures.items()}
        for future in cluster.as_finished(connection, {futures[spec]: its or {} for spec, its in asked.items()}):
            spec = specs[future.key]
            if future.status == "error":
                failed[spec] = future.exception()
            elif future.status != "finished":
                failed[spec] = ConnectionError("the scheduler is gone")
            remaining.done(spec, None if spec in failed else self.store.seconds(spec))
        return failed

    def _await(self, done: list[Spec]) -> None:
        """Wait until this machine sees what others have written: shared file systems tell of it with a delay."""
        deadline = time.monotonic() + SHARING
        while missing := [spec for spec in done if not self.store.has(spec)]:
            if self.dask == cluster.LOCAL:
                raise RunError(
                    f"{len(missing)} results that were written are gone from {self.store.root}, first run "
                    f"{missing[0].key} ({describe(missing[0])}): was the store moved or deleted? the same command "
                    "does them again"
                )
            if time.monotonic() > deadline:
                raise RunError(
                    f"run {missing[0].key} ({describe(missing[0])}) was done on another machine and is not in "
                    f"{self.store.root} here; the store must lie where all machines see it"
                )
            time.sleep(0.5)

    def scores(self, spec: Train, split: str = "test") -> pd.DataFrame:
        """``pair_id``, ``margin``, ``p_true`` of one split, in the order of the pairs; trains what is missing."""
        if spec.key not in self._scores:
            self.run([spec])
            self._scores[spec.key] = self.shipped.scores(spec) if self._ships(spec) else self._table(spec, "scores")
        frame = self._scores[spec.key]
        return self._part(spec, split, lambda: frame[frame["split"] == split].reset_index(drop=True))

    def pairs(self, spec: Pairs | Texts, split: Split = "test") -> pd.DataFrame:
        """``pair_id`` and ``cluster`` (substance, task or prompt) of the pairs of one split, in their order."""

        def read() -> pd.DataFrame:
            shipped = self.shipped.pairs(spec) if self.shipped and split == "test" else None
            return load.split(spec, split)[["pair_id", "cluster"]] if shipped is None else shipped

        return self._part(spec, split, read)

    def _part(self, spec: Spec, split: str, read: Callable[[], pd.DataFrame]) -> pd.DataFrame:
        """What every statistic asks for, read once.  Who changes it changes their own: pandas copies on write."""
        if (spec.key, split) not in self._parts:
            self._parts[spec.key, split] = read()
        return self._parts[spec.key, split].copy(deep=False)

    def replies(self, spec: Train | Search | Judgement) -> pd.DataFrame:
        """What a policy, each sampler of a search, or each writer of a judgement replied to test prompts: ``pair_id``,
        ``reply``, ``says``; trains what is missing."""
        return self._left(spec, "replies")

    def tokens(self, spec: Train, split: str = "test") -> pd.DataFrame:
        """What an oracle says of the replies of one split, token by token (``training.tokens.gained``), in the order of
        the pairs; trains it if missing."""
        frame = self._left(spec, "tokens")
        return frame[frame["split"] == split].reset_index(drop=True)

    def record(self, spec: Spec) -> dict:
        """The record of a run; does it if it is missing."""
        if self._ships(spec):
            return self.shipped.records[spec.key]
        if not self.store.has(spec):
            self.run([spec])
        return sound(partial(self.store.record, spec), self.store, spec, partial(self.run, [spec]))

    def records(self, specs: Iterable[Spec]) -> list[dict]:
        """The records of finished runs and their parents, each with ``what`` it was in a few words."""
        done = filter(self._has, closure(specs))  # without what only shipped results depend on
        return [self.record(spec) | {"kind": type(spec).__name__.lower(), "what": describe(spec)} for spec in done]

    def ledger(self, specs: Iterable[Spec]) -> pd.DataFrame:
        """The same as a table: ``key, kind, what, seconds, finished, hardware``."""
        return pd.DataFrame(self.records(specs), columns=["key", "kind", "what", "seconds", "finished", "hardware"])

    def knowledge(self, spec: Pretrain) -> pd.DataFrame:
        """What a language model knows of every substance; trains it if missing."""
        return self._left(spec, "knowledge")

    def _left(self, spec: Spec, name: str) -> pd.DataFrame:
        """A table that a run left beside its scores; does the run if it is missing."""
        self.run([spec])
        return self.shipped.of_run(spec, name) if self._ships(spec) else self._table(spec, name)

    def _table(self, spec: Spec, name: str) -> pd.DataFrame:
        return sound(partial(self.store.table, spec, name), self.store, spec, partial(self.run, [spec]))


def _check_pairs(todo: list[Spec]) -> None:
    """Draw the pairs that runs learn from, of the world or that lie here: what is wrong with them is said now."""
    learned = ((run.pairs, run.conflict) for run in todo if isinstance(run, Train))
    for its, conflict in dict.fromkeys(learned):
        if isinstance(its, Pairs) or its.source.files and (its.helpful is None or its.helpful.files):
            load.load(its)
            if conflict.kind == "mixed":
                load.mixed_in(its, "weak_label", conflict, its.train_pairs)


def _failed(spec: Spec, error: BaseException) -> str:
    return f"run {spec.key} ({describe(spec)}) failed: {one_line(error)}"
