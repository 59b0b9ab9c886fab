"""Results for readers who cannot compute them, written where the data and the model are at hand.

    python -m w2s_lib.book.ship --edition hh-smol
    python -m w2s_lib.book.ship --edition preview

Writes, beside the edition file, the margins of finished runs and their records (``shipped.Shipped``).  Of runs that the
store lacks, what was shipped before stays, so that a chapter can be added.  Of real texts, none is among them, and two
small tables say what they are: ``counts`` (what was read, dropped and kept) and ``agreement`` (how often each surface
objective agrees with the labels).  Where the store has ceilings of all layers on the divisions on which layers were
chosen, ``layers`` has their accuracy.  Where there are helpful pairs, ``longer`` says how often the longer reply is the
better one, in each part of their data set and in ``all``.  Of a preview of the world there is what its chapters need
besides: margins on training pairs, what models know and reply, what oracles say of tokens, societies' scores and
lessons, and the ``paths`` of one training.  What the edition would need, such as conditions that are too costly, is not
run here.
"""

from __future__ import annotations

import argparse
import sys

import pandas as pd

from w2s_lib.book.chapter import open_lab
from w2s_lib.data.cleaning import cleaned, pool
from w2s_lib.data.preferences import SURFACE, Agreement, agreement
from w2s_lib.data.sources import source
from w2s_lib.errors import ParameterError, exit_code
from w2s_lib.findings.mechanism import PATHS, paths
from w2s_lib.findings.results import ALL
from w2s_lib.lab import Lab
from w2s_lib.lab.graph import closure
from w2s_lib.lab.shipped import Shipped
from w2s_lib.models.ladder import KNOWN, parse
from w2s_lib.specs import Opinion, Pretrain, Society, Train
from w2s_lib.study import Study
from w2s_lib.study.edition import FOLDER, WORLD, load

CHOSEN_ON = (100, 101, 102)
"""Study seeds on whose divisions layers were chosen, before any conflict was trained."""


def layers(study: Study) -> pd.DataFrame:
    """Accuracy of the ceiling of every layer of the edition's models, on the divisions of ``CHOSEN_ON``, of those that
    the store has: ``model``, ``layer``, ``seed``, ``accuracy``."""
    rows, store = [], study.lab.store
    read = [model for model in map(parse, study.edition.models) if model.layer is not None]
    for base, blocks, pooling in dict.fromkeys((model.base, model.blocks, model.pooling) for model in read):
        deepest = blocks or (KNOWN[base].blocks if base in KNOWN else 0)
        for layer in range(1, deepest + 1):
            name = f"{base}{f':{blocks}' if blocks else ''}@{layer}.{pooling}"
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
    helpful = None if e.helpful is None else pool(source(e.at(e.helpful)), e.max_tokens)
    if helpful is not None and ALL in set(helpful["part"]):
        raise ParameterError("helpful", e.helpful, f"a part is called {ALL!r}, as all of them together are; rename it")
    shipped = Shipped(FOLDER / e.name)
    runs = [run for run in closure(study.runs()) if isinstance(run, (Pretrain, Train, Opinion, Society))]
    if not any(map(lab.store.has, runs)):
        raise ParameterError("edition", e.name, f"none of its runs is in {lab.store.root}; run it first")
    shipped.write(lab.store, [run for run in runs if lab.store.has(run) or shipped.has(run)])
    if e.data == WORLD:
        few = study.on_control_pairs()
        one = (few.edition.seeds[0], *few.edition.weak_strong[0])
        key, there = few.student(*one, "explicit").key, Lab(lab.store.root, lab.workers)
        if not there.missing(few.compared(*one, "explicit")):
            shipped.write_table(PATHS, paths(few.on(there), *one).assign(key=key))
        return shipped
    texts, frame = source(e.at(e.data)), pool(source(e.at(e.data)), e.max_tokens)
    shipped.write_table("counts", cleaned(texts, e.max_tokens).report)
    agreements = [(objective, *agreement(frame, objective)) for objective in SURFACE]
    shipped.write_table("agreement", pd.DataFrame(agreements, columns=["objective", *Agreement._fields]))
    if len(tried := layers(study)):
        shipped.write_table("layers", tried)
    if helpful is not None:
        parts = [*helpful.groupby("part"), (ALL, helpful)]
        longer = [(part, *agreement(pairs, "verbosity")) for part, pairs in parts]
        shipped.write_table("longer", pd.DataFrame(longer, columns=["part", *Agreement._fields]))
    return shipped


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit code."""
    says = "Keep an edition's finished results with the project."
    parser = argparse.ArgumentParser(prog="python -m w2s_lib.book.ship", description=says)
    parser.add_argument("--edition", required=True, help="name of an edition")
    parser.add_argument("--store", help="folder of results; $W2S_STORE, or .store")
    given = parser.parse_args(arguments)

    def do() -> None:
        shipped = ship(Study(load(given.edition)).on(open_lab(given.store)))
        print(f"{len(shipped.records)} runs in {shipped.folder}")

    return exit_code(do)


if __name__ == "__main__":
    sys.exit(main())
