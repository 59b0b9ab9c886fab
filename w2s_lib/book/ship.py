"""Results for readers who cannot compute them, written where the data and the model are at hand.

    python -m w2s_lib.book.ship --edition hh-smol
    python -m w2s_lib.book.ship --edition preview
    python -m w2s_lib.book.ship --edition preview --pages
    python -m w2s_lib.book.ship --edition world --models

Writes, beside the edition file, the margins of finished runs and their records (``shipped.Shipped``).  Of runs that the
store lacks, what was shipped before stays, so that a chapter can be added.  No real text is among them; small tables
say what they are: ``counts`` (what was read, dropped and kept), ``agreement`` (how often each surface objective agrees
with the labels), ``layers`` (accuracies of ceilings) and ``longer`` (how often the longer of two helpful replies is the
better one, in each part of their data set and in ``all``).  Of a preview of the world there are also the ``paths`` of
one training.  What the edition would need, such as conditions that are too costly, is not run here.

With ``--pages``, every chapter of a preview is executed, and the pages go with it (``pages``).  With ``--models``, the
pretrained models of the edition ``world`` are kept, and no result of it: all start from the same weights.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterable
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd

from w2s_lib.book import pages
from w2s_lib.book.build import (
    REPRODUCIBILITY,
    ROOT,
    drawing,
    execute_all,
    left_behind,
    left_out,
    notebook_parameters,
    notebook_paths,
    page_key,
    read_by,
    studied,
)
from w2s_lib.book.challenge import BOARD
from w2s_lib.book.chapter import CHAPTERS_BESIDE, MODELS, open_lab
from w2s_lib.data.cleaning import cleaned, usable_pairs
from w2s_lib.data.preferences import SURFACE, Agreement, agreement
from w2s_lib.data.sources import source
from w2s_lib.errors import Arguments, ParameterError, exit_code
from w2s_lib.findings.mechanism import PATHS, paths
from w2s_lib.findings.results import ALL
from w2s_lib.lab import Lab
from w2s_lib.lab.graph import closure
from w2s_lib.lab.shipped import Shipped
from w2s_lib.lab.store import Store
from w2s_lib.models.ladder import KNOWN, parse
from w2s_lib.specs import Judgement, Opinion, Pretrain, Society, Train
from w2s_lib.study import Study
from w2s_lib.study.edition import FOLDER, WORLD, Edition, load

CHOSEN_ON = (100, 101, 102)
"""Study seeds on whose divisions layers were chosen, before any conflict was trained."""


def layer_accuracies(study: Study) -> pd.DataFrame:
    """Accuracy of the ceiling of every layer of the edition's models, on the divisions of ``CHOSEN_ON``, of those that
    the store has: ``model``, ``layer``, ``seed``, ``accuracy``.  Of a known model, layers are counted beyond the blocks
    that the edition reads, too: those are of the whole model."""
    rows, store = [], study.lab.store
    read = [model for model in map(parse, study.edition.models) if model.layer is not None]
    for base, blocks, pooling in dict.fromkeys((model.base, model.blocks, model.pooling) for model in read):
        deepest = KNOWN[base].blocks if base in KNOWN else blocks or 0
        for layer in range(1, deepest + 1):
            read_alone = blocks is not None and layer <= blocks
            name = f"{base}{f':{blocks}' if read_alone else ''}@{layer}.{pooling}"
            runs = {seed: study.ceiling(seed, name) for seed in CHOSEN_ON}
            for seed, run in ((seed, run) for seed, run in runs.items() if store.has(run)):
                right = store.table(run, "scores").query("split == 'test'")["p_true"] > 0.5
                rows.append((base, layer, seed, float(right.mean())))
    return pd.DataFrame(rows, columns=["model", "layer", "seed", "accuracy"])


def ship(study: Study) -> Shipped:
    """Write what the lab's store has of the study's runs, beside what is shipped of others; returns it.

    Raises:
        ParameterError: the edition is of the world, which everybody can compute, and no preview of another, or no run
        of it is finished.
    """
    e, lab = study.edition, study.lab
    if e.data == WORLD and e.record_of is None:
        says = "its runs can be computed anywhere; only those on a data set, or of a preview, are shipped"
        raise ParameterError("edition", e.name, says)
    helpful = None if e.helpful is None else usable_pairs(source(e.at(e.helpful)), e.max_tokens)
    if helpful is not None and ALL in set(helpful["part"]):
        raise ParameterError("helpful", e.helpful, f"a part is called {ALL!r}, as all of them together are; rename it")
    shipped = Shipped(FOLDER / e.name)
    runs = [run for run in closure(study.runs()) if isinstance(run, (Pretrain, Train, Opinion, Society, Judgement))]
    if not any(map(lab.store.has, runs)):
        raise ParameterError("edition", e.name, f"none of its runs is in {lab.store.root}; run it first")
    shipped.write(lab.store, [run for run in runs if lab.store.has(run) or shipped.has(run)])
    if e.data == WORLD:
        few = study.on_control_weak_strong_pairs()
        one = (few.edition.seeds[0], *few.edition.weak_strong[0])
        key, there = few.student(*one, "explicit").key, Lab(lab.store.root, lab.workers)
        if not there.missing(few.compared(*one, "explicit")):
            shipped.write_table(PATHS, paths(few.on(there), *one).assign(key=key))
        return shipped
    texts, frame = source(e.at(e.data)), usable_pairs(source(e.at(e.data)), e.max_tokens)
    shipped.write_table("counts", cleaned(texts, e.max_tokens).report)
    agreements = [(objective, *agreement(frame, objective)) for objective in SURFACE]
    shipped.write_table("agreement", pd.DataFrame(agreements, columns=["objective", *Agreement._fields]))
    if len(tried := layer_accuracies(study)):
        shipped.write_table("layers", tried)
    if helpful is not None:
        parts = [*helpful.groupby("part"), (ALL, helpful)]
        longer = [(part, *agreement(pairs, "verbosity")) for part, pairs in parts]
        shipped.write_table("longer", pd.DataFrame(longer, columns=["part", *Agreement._fields]))
    return shipped


def ship_models(study: Study, folder: Path = MODELS) -> list[Pretrain]:
    """Keep the study's pretrained models with the project, in the place of those that are there; returns their runs.

    Raises:
        ParameterError: another edition than that whose models come with the project.
        StoreError: a model is not in the lab's store, or is damaged there.
    """
    e, store = study.edition, study.lab.store
    if e.name != MODELS.parent.name:
        raise ParameterError("edition", e.name, f"only models of {MODELS.parent.name!r} come with the book")
    runs = [study.model(seed, name) for seed in e.seeds for name in e.models]
    for run in runs:
        store.verify(run)
    with TemporaryDirectory(dir=folder.parent) as draft:  # all of them, or what is there stays
        for run in runs:
            Store(draft).copy(run, store)
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(draft, folder)
    return runs


def left_out_of_the_preview(edition: Edition) -> list[Path]:
    """Chapters that a preview has not, and the edition that it shows has."""
    whole = load(edition.record_of)
    return [path for path in notebook_paths() if left_out(path, edition) and not left_out(path, whole)]


def ship_pages(study: Study, edition: str, also: Iterable[Path]) -> Path:
    """Execute the chapters of a preview, and ``also`` others, and keep their pages with it; returns the file.

    ``edition``: its name or file.  What those others read and the edition does not ship is trained where the store
    lacks it, and so are models, whose weights they read.

    Raises:
        ParameterError: the edition is no preview, or the store has a leaderboard: who is on it is nobody else's.
        PackError: a page names a place on this machine.
        BuildError: a cell failed.
    """
    e, lab, also = study.edition, study.lab, list(also)
    if e.record_of is None:
        raise ParameterError("edition", e.name, "only pages of a preview are shipped")
    if (lab.store.root / BOARD).is_file():
        raise ParameterError("store", str(lab.store.root), f"has a {BOARD} of its own; take one without")
    lab.run(study.runs())
    if also:
        numbers = [path.stem[:2] for path in notebook_paths() if path in also or not left_out(path, e)]
        needed = Study(e.model_copy(update={"chapters": tuple(numbers)})).runs()
        weights = [run for run in closure(needed) if isinstance(run, Pretrain)]
        Lab(lab.store.root, lab.workers, dask=e.dask, given=lab.given).run(weights)  # a preview's results lack them
        lab.run(needed)
    of, keys, made = studied(study), {}, {}
    with TemporaryDirectory() as folder, drawing(for_slides=False):
        target, results = Path(folder, "source", "notebooks"), Path(folder, "results")
        target.mkdir(parents=True)
        results.mkdir()
        counts = {"trained": 0, "total": len(closure(study.runs())), "run_seconds": 0.0}
        for name, told in {"runs.json": counts, CHAPTERS_BESIDE: [path.stem for path in also]}.items():
            (results / name).write_text(json.dumps(told), encoding="utf-8")
        execute_all(target, results, notebook_parameters(edition, lab), lab.workers, of, {}, also=also)
        for path in notebook_paths():
            if path.stem != REPRODUCIBILITY and (path in also or not left_out(path, e)):
                its = {name: left.read_bytes() for name, left in left_behind(path, results).items() if left.is_file()}
                its[pages.PAGE] = pages.handed_on((target / path.name).read_bytes())
                keys[path.stem] = page_key(path, of, read_by(path, results, lab.store.root), anywhere=True)
                made[path.stem] = its
    pack = pages.pack_pages(keys, made, [ROOT, lab.store.root, Path.home()])
    return Shipped(FOLDER / e.name).write_content(pages.PACK, pack)


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit code."""
    says = "Keep an edition's finished results with the project."
    parser = Arguments(prog="python -m w2s_lib.book.ship", description=says)
    parser.add_argument("--edition", required=True, help="name of an edition")
    parser.add_argument("--store", help="folder of results; $W2S_STORE, or .store")
    parser.add_argument("--workers", type=int, help="processes (default: one a core)")
    instead = parser.add_mutually_exclusive_group()
    what = "execute all chapters of a preview and keep their pages, instead of results"
    instead.add_argument("--pages", action="store_true", help=what)
    what = "keep the pretrained models of the edition world, instead of results"
    instead.add_argument("--models", action="store_true", help=what)
    given = parser.parse_args(arguments)

    def do() -> None:
        e = load(given.edition)
        if given.models:
            models = ship_models(Study(e).on(open_lab(given.store, given.workers)))
            print(f"{len(models)} pretrained models in {MODELS}")
            return
        if not given.pages:
            shipped = ship(Study(e).on(open_lab(given.store, given.workers)))
            print(f"{len(shipped.records)} runs in {shipped.folder}")
            return
        also = left_out_of_the_preview(e) if e.record_of else []
        path = ship_pages(Study(e).on(open_lab(given.store, given.workers, e)), given.edition, also)
        print(f"{path}: {path.stat().st_size / 1e6:.1f} MB")

    return exit_code(do)


if __name__ == "__main__":
    sys.exit(main())
