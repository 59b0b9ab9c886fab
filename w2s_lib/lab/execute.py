"""One run, done by this process: its parents' results in, its own into the store.

``python -m w2s_lib.lab.execute`` is one process of a run that several share.
"""

from __future__ import annotations

import gc
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path
from typing import TypeVar

from w2s_lib.errors import OneLineError
from w2s_lib.lab.cluster import heard_by_client
from w2s_lib.lab.graph import describe
from w2s_lib.lab.store import DamagedError, Draft, Store
from w2s_lib.progress import Say, working_on, write_line
from w2s_lib.specs import Features, Judgement, Opinion, Pretrain, Search, Society, Spec, Submission, Train
from w2s_lib.training import shards

_at_work = threading.Lock()
"""Held while this process is at a run: random state is the process's, and two runs at once would share it."""

T = TypeVar("T")


class RunError(OneLineError):
    """A run that failed, in one line; what the other runs computed is kept."""


def one_line(error: BaseException | None) -> str:
    """An error's message, on one line."""
    return " ".join(str(error).split())


@contextmanager
def _writing(store: Store, spec: Spec) -> Iterator[Draft]:
    """A draft of the result; where several processes share a run, all but the first write theirs to be thrown away."""
    if shards.is_first():
        with store.writing(spec) as draft:
            yield draft
    else:
        with tempfile.TemporaryDirectory() as folder:
            yield Draft(Path(folder), {})


@cache
def _freeze(kind: type[Spec]) -> None:
    """Let the collector, which accelerate calls before each run, not walk a run's imported libraries again.

    Once a kind, after collecting: what is garbage when it is frozen, a model on the GPU say, is never given back.
    """
    gc.collect()
    gc.freeze()


def sound(read: Callable[[], T], store: Store, spec: Spec, again: Callable[[], object]) -> T:
    """What ``read`` gives of a finished run; where it is damaged, it is set aside, and the run done ``again`` first."""
    try:
        return read()
    except DamagedError as error:
        store.set_aside(spec, error)
        again()
        return read()


def execute(spec: Spec, root: Path, *parents: str, hear: Say | None = None) -> str:
    """Do one run into the store at ``root``; returns its key.

    ``parents`` are the keys of the runs waited for: Dask orders the runs by them.  A parent's result that is damaged,
    or gone, is computed again here.  How far a long run is, is told to ``hear``, else to Dask's client, else on stderr.

    Raises:
        RunError: this process is at another run, in another thread.
    """
    if not _at_work.acquire(blocking=False):
        raise RunError(
            "its process is at another run, and two at once draw from one random state; "
            "a worker does one at a time: 'dask worker … --nthreads 1'"
        )
    try:
        with working_on(describe(spec), hear or heard_by_client() or write_line):
            _do(spec, Store(root))
    finally:
        _at_work.release()
    return spec.key


def _do(spec: Spec, store: Store) -> None:
    """Do a run that is missing, its parents first."""
    if store.has(spec):
        return
    for parent in spec.parents():
        _do(parent, store)
        sound(partial(store.verify, parent), store, parent, partial(_do, parent, store))
    if shards.wanted(spec):
        shards.launch(spec, store.root, __name__)
        return
    import torch  # here, so that a notebook that only reads results starts fast
    from datasets import disable_progress_bars
    from transformers.utils import logging

    from w2s_lib.models import features

    features.keep(spec.checkpoint if isinstance(spec, Features) else None)
    torch.set_num_threads(1)
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    disable_progress_bars()
    compute = _ready(spec, store)
    with _writing(store, spec) as draft:
        draft.notes.update(compute(draft.folder) or {})


def _ready(spec: Spec, store: Store) -> Callable[[Path], dict[str, object] | None]:
    """What does a run into a folder, and returns notes for its record; what it needs is imported and read."""
    if isinstance(spec, Features):
        from w2s_lib.models.features import extract

        return partial(extract, spec)
    if isinstance(spec, Pretrain):
        from w2s_lib.models.pretrain import pretrain

        _freeze(Pretrain)
        return partial(pretrain, spec)
    if isinstance(spec, Society):
        from w2s_lib.training.society import live

        _freeze(Society)
        return partial(live, spec, [store.path(parent) for parent in spec.parents()])
    if not isinstance(spec, Train | Submission | Opinion | Search | Judgement):
        raise TypeError(f"{type(spec).__name__} is not a run")
    read = lambda run, name="scores": sound(partial(store.table, run, name), store, run, partial(_do, run, store))
    if isinstance(spec, Judgement):
        from w2s_lib.training.judgement import judge

        _freeze(Judgement)
        return partial(judge, spec, [read(run, "replies") for run in spec.policies])
    if isinstance(spec, Search):
        from w2s_lib.training.search import search

        _freeze(Search)
        bases = [store.path(parent) for parent in spec.parents() if isinstance(parent, Pretrain)]
        return partial(search, spec, bases, [read(run) for run in spec.guide.labellers])
    if isinstance(spec, Submission):
        from w2s_lib.training.submission import label_pairs

        return partial(label_pairs, spec, store.path(spec.model), read(spec.labels))
    from w2s_lib.training.train import opinion, train

    _freeze(Train)
    bases = [store.path(parent) for parent in spec.parents() if isinstance(parent, Pretrain | Features)]
    if isinstance(spec, Opinion):
        return partial(opinion, spec, bases, [read(run) for run in spec.answers])
    labels = [read(run) for run in spec.labellers]
    told = None
    if spec.selection is not None and (oracle := spec.selection.oracle) is not None:
        told = read(oracle, "tokens")
    return partial(train, spec, bases, labels, told=told)


def main(arguments: list[str]) -> int:
    """One process of a sharded run: the store's folder, and a file with the run's spec; returns the exit code."""
    import torch

    root, file = map(Path, arguments)
    try:
        execute(shards.read_run(file), root)
    except Exception as error:
        print(f"error: {one_line(error)}", file=sys.stderr, flush=True)
        return 1
    torch.distributed.destroy_process_group()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
