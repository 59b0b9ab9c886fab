"""The lab: runs what is missing, parents first, in parallel, and hands out what the runs left.

One process a core and one thread a process, through Dask's local cluster: the models are small, so
that parallelism pays over runs and not within one, and results do not depend on how many there are.
"""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from w2s_lib.errors import OneLineError
from w2s_lib.run import Pretrain, Spec, Train
from w2s_lib.store import Store


class RunError(OneLineError):
    """A run that failed, in one line; what the other runs computed is kept."""


def closure(specs: Iterable[Spec]) -> list[Spec]:
    """The specs and all that they depend on, each once, parents before children."""
    out: dict[str, Spec] = {}

    def visit(spec: Spec) -> None:
        if spec.key not in out:
            for parent in spec.parents():
                visit(parent)
            out[spec.key] = spec

    for spec in specs:
        visit(spec)
    return list(out.values())


def describe(spec: Spec) -> str:
    """A few words about a run for progress bars and error messages."""
    if isinstance(spec, Pretrain):
        return f"pretrain width {spec.width}, seed {spec.world.seed}"
    assert isinstance(spec, Train)
    labels = "ground truth" if spec.labels is None else f"labels of width {spec.labels.model.width}"
    return (
        f"{spec.method} of width {spec.model.width} on {labels}, {spec.conflict.kind}, seed {spec.pairs.world.seed}, replica {spec.replica}"
    )


def _one_line(error: BaseException | None) -> str:
    return " ".join(str(error).split())


def execute(spec: Spec, root: Path, *parents: str) -> str:
    """Do one run, whose parents' results are in the store at ``root``; returns its key.

    ``parents`` are the keys of the runs waited for: Dask orders the runs by them.
    """
    import torch  # here, so that a notebook that only reads results starts fast
    from datasets import disable_progress_bars
    from transformers.utils import logging

    store = Store(root)
    if store.has(spec):
        return spec.key
    torch.set_num_threads(1)
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    disable_progress_bars()
    if isinstance(spec, Pretrain):
        from w2s_lib.pretrain import pretrain

        gc.freeze()  # accelerate collects garbage before each run; let it not walk the imported libraries again
        with store.writing(spec) as draft:
            draft.notes.update(pretrain(spec, draft.folder))
    elif isinstance(spec, Train):
        from w2s_lib.train import train

        gc.freeze()
        labels = [store.table(labeller, "scores") for labeller in spec.labellers]
        with store.writing(spec) as draft:
            train(spec, store.path(spec.model), labels, draft.folder)
    else:
        raise TypeError(f"{type(spec).__name__} is not a run")
    return spec.key


class Lab:
    """Access to results by spec.

    Args:
        store: folder of the results.
        workers: processes to run missing runs in; 0 runs them in this process, one after another.
        progress: show a progress bar while runs are missing.
    """

    def __init__(self, store: str | Path, workers: int | None = None, progress: bool = True) -> None:
        self.store = Store(store)
        self.workers = (os.cpu_count() or 1) if workers is None else workers
        self.progress = progress
        self.trained = 0
        self._scores: dict[str, pd.DataFrame] = {}

    def missing(self, specs: Iterable[Spec]) -> list[Spec]:
        """Of the specs and their parents, those that the store lacks, parents first."""
        return [spec for spec in closure(specs) if not self.store.has(spec)]

    def run(self, specs: Iterable[Spec]) -> int:
        """Make sure that all these runs, and their parents, exist; returns how many were trained now.

        Raises:
            RunError: a run failed.  The runs that do not depend on it are finished first.
        """
        todo = self.missing(specs)
        if todo:
            self.store.sweep_drafts()
            (self._run_here if self.workers == 0 else self._run_on_dask)(todo)
            self.trained += len(todo)
        return len(todo)

    def _bar(self, total: int):
        from tqdm.auto import tqdm

        return tqdm(total=total, desc="runs", unit="run", disable=not self.progress, file=sys.stderr, mininterval=1)

    def _run_here(self, todo: list[Spec]) -> None:
        with self._bar(len(todo)) as bar:
            for spec in todo:
                bar.set_postfix_str(describe(spec))
                try:
                    execute(spec, self.store.root)
                except Exception as error:
                    raise RunError(f"run {spec.key} ({describe(spec)}) failed: {_one_line(error)}") from error
                bar.update()

    def _run_on_dask(self, todo: list[Spec]) -> None:
        import dask
        from distributed import Client, LocalCluster, as_completed

        # One thread a process; and no trimming of freed memory, which Dask sets up for large data and which
        # makes each of a small model's thousands of steps ask the system for its memory again.
        threads = {name: "1" for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")}
        environment = threads | {"MALLOC_TRIM_THRESHOLD_": "1073741824", "MALLOC_MMAP_THRESHOLD_": "1073741824"}
        settings = {
            "distributed.nanny.pre-spawn-environ": environment,
            "distributed.worker.profile.enabled": False,  # it would sample the training loop a hundred times a second
            "distributed.admin.tick.limit": "1h",
            "distributed.scheduler.worker-ttl": None,
        }
        failed: list[tuple[Spec, BaseException]] = []
        with (
            dask.config.set(settings),
            LocalCluster(
                n_workers=min(self.workers, len(todo)), threads_per_worker=1, processes=True, dashboard_address=None, silence_logs=50
            ) as cluster,
            Client(cluster) as client,
            self._bar(len(todo)) as bar,
        ):
            futures: dict[str, object] = {}
            for spec in todo:
                parents = [futures[p.key] for p in spec.parents() if p.key in futures]
                futures[spec.key] = client.submit(execute, spec, self.store.root, *parents, key=f"{describe(spec)} {spec.key}", pure=False)
            by_name = {future.key: spec for spec, future in zip(todo, futures.values())}
            for future in as_completed(futures.values()):
                spec = by_name[future.key]
                bar.set_postfix_str(describe(spec))
                bar.update()
                if future.status != "finished":
                    failed.append((spec, future.exception()))
        if failed:
            failed_keys = {spec.key for spec, _ in failed}
            first, error = next((s, e) for s, e in failed if not failed_keys & {p.key for p in s.parents()})
            raise RunError(
                f"run {first.key} ({describe(first)}) failed: {_one_line(error)}; {len(todo) - len(failed)} other runs finished and are kept"
            ) from error

    def scores(self, spec: Train, split: str = "test") -> pd.DataFrame:
        """``pair_id``, ``margin``, ``p_true`` of one split, in the order of the pairs; trains what is missing."""
        if spec.key not in self._scores:
            self.run([spec])
            self._scores[spec.key] = self.store.table(spec, "scores")
        frame = self._scores[spec.key]
        return frame[frame["split"] == split].reset_index(drop=True)

    def replies(self, spec: Train) -> pd.DataFrame:
        """What a policy replied to test prompts: ``pair_id``, ``reply``, ``says``; trains it if missing."""
        self.run([spec])
        return self.store.table(spec, "replies")

    def ledger(self, specs: Iterable[Spec]) -> pd.DataFrame:
        """The records of finished runs and their parents: ``key, kind, what, seconds, finished, hardware``."""
        rows = []
        for spec in closure(specs):
            record = self.store.record(spec)
            rows.append((spec.key, record["kind"].lower(), describe(spec), record["seconds"], record["finished"], record["hardware"]))
        return pd.DataFrame(rows, columns=["key", "kind", "what", "seconds", "finished", "hardware"])

    def knowledge(self, spec: Pretrain) -> pd.DataFrame:
        """What a language model knows of every substance; trains it if missing."""
        self.run([spec])
        return self.store.table(spec, "knowledge")
