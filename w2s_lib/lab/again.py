"""Results of other kinds of machine: the quickest run of each is done again here, and accepted within a tolerance.

    python -m w2s_lib.lab.again --store FOLDER

On one kind of machine the same run has the same numbers, bit for bit.  Processors of other kinds add in another order;
training carries the rounding on.
"""

from __future__ import annotations

import re
import shutil
import sys
import tempfile
from collections.abc import Mapping
from math import inf
from pathlib import Path
from typing import Any

from w2s_lib.errors import Arguments, OneLineError, ParameterError, exit_code
from w2s_lib.lab.execute import execute
from w2s_lib.lab.graph import closure, describe
from w2s_lib.lab.lab import Lab
from w2s_lib.lab.provenance import hardware, is_of_other_code
from w2s_lib.lab.store import Store
from w2s_lib.specs import Pretrain, Spec, Train

TOLERANCE = 1e-4
"""Most by which a probability may differ between kinds of machine, for one run from the same parents' results.

Measured were 4e-6 at most; see *Running at scale*.
"""


class OtherNumbers(OneLineError):
    """A result that a run done again does not confirm."""


def kind_of_machine(record: Mapping[str, Any]) -> str:
    """The kind of machine that made a result, in what ``provenance.hardware`` said: without how many cores it has."""
    return re.sub(r"\d+ cores, ", "", record["hardware"])


def says_of_others(lab: Lab, specs: list[Spec], how: bool = True) -> str:
    """One line about results from other kinds of machine, and ``how`` to do some again; empty where there are none.

    Pretrained models that come with the project are the same for all, wherever they were made.
    """
    mine = [spec for spec in closure(specs) if lab.store.has(spec) and not lab.is_given(spec)]
    stored = [kind_of_machine(lab.record(spec)) for spec in mine]
    others = [kind for kind in stored if kind != kind_of_machine({"hardware": hardware()})]
    if not others:
        return ""
    says = f"{len(others)} of {len(stored)} results come from other machines ({others[0]})"
    if how and set(others) & set(quickest(lab.store)):
        says += f"; python -m w2s_lib.lab.again --store {lab.store.root} does some again"
    return says


def quickest(store: Store) -> dict[str, Train]:
    """Of each kind of machine the quickest run that needs nothing but the store: one of the world's models."""
    found: dict[str, tuple[float, Train]] = {}
    for spec, record in store.records(Train):
        has_parents = isinstance(spec.model, Pretrain) and all(map(store.has, spec.parents()))
        kind = kind_of_machine(record)
        if has_parents and not is_of_other_code(record) and record["seconds"] < found.get(kind, (inf, spec))[0]:
            found[kind] = record["seconds"], spec
    return {machine: spec for machine, (_, spec) in found.items()}


def largest_difference(spec: Train, store: Store) -> float:
    """Do a finished run again, from the same parents' results: the most by which a probability differs."""
    with tempfile.TemporaryDirectory() as folder:
        mine = Store(folder)
        for parent in spec.parents():
            shutil.copytree(store.path(parent), mine.path(parent))
        execute(spec, mine.root)
        here, there = (each.table(spec, "scores")["p_true"].to_numpy() for each in (mine, store))
    return float(abs(here - there).max())


def main(arguments: list[str] | None = None) -> int:
    """The command line; 2 where a result is not confirmed."""
    parser = Arguments(prog="python -m w2s_lib.lab.again", description=__doc__.splitlines()[0])
    parser.add_argument("--store", required=True, help="folder of results")
    root = Path(parser.parse_args(arguments).store)

    def do() -> None:
        if not root.is_dir():
            raise ParameterError("store", str(root), "no such folder")
        store = Store(root)
        if not (runs := quickest(store)):
            print(f"{root}: no run of one of the world's models by today's code: nothing was done again")
        for machine, spec in runs.items():
            by = largest_difference(spec, store)
            says = f"{machine}: {spec.key} ({describe(spec)}): probabilities differ by {by:.1e} at most"
            if by > TOLERANCE:
                raise OtherNumbers(
                    f"{says}, more than {TOLERANCE:g}: do not mix its results with those of this machine"
                )
            print(f"{says}; accepted")

    return exit_code(do)


if __name__ == "__main__":
    sys.exit(main())
