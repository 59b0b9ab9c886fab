"""What readers play with: pairs and margins of this edition's runs, as one file for the browser.

Everything here comes from runs; nothing is drawn that is not said to be.  Margins whose order or threshold matters
stand as fp32, exactly as runs have them; of students the sign is exact and the rest rounded (``signed``).
"""

import base64
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from w2s_lib.data.load import split
from w2s_lib.findings.results import CONFLICTS, Cell, cells
from w2s_lib.measures.metrics import Array, Comparison
from w2s_lib.specs import Train, stream
from w2s_lib.study import Study

FILE_ROOM = 1_700_000
"""Characters of margins and texts at most: study seeds are in the file as far as they fit, the first always."""

STEPS_PER_NAT = 2048
"""A student's margin stands as a whole number of this part of a nat."""

PLANES_OF = ("explicit", "rerun")
PLANES, LIT, PALE = 10, 60, 150
"""Deception planes of each kind; taxed pairs that one shows at most, and others beside them."""

SHOWN_NULLS = ("random", "margin_matched", "label_matched")
"""The library's nulls that stand beside one of the reader's own."""


def packed(values: NDArray, kind: str) -> str:
    """An array as base64 of its little-endian numbers, ``<f4`` or ``<i2``."""
    return base64.b64encode(np.ascontiguousarray(values, dtype=kind).tobytes()).decode()


def signed(margins: Array) -> NDArray[np.int16]:
    """Margins in whole ``STEPS_PER_NAT``-ths, rounded away from zero, so that none changes its sign or gains one."""
    steps = np.copysign(np.ceil(np.abs(margins) * STEPS_PER_NAT), margins)
    return np.clip(steps, -32767, 32767).astype(np.int16)


def _margins(study: Study, run: Train) -> Array:
    return study.lab.scores(run)["margin"].to_numpy()


def of_book(c: Comparison) -> dict[str, float | None]:
    """DS and the library's nulls of one student, for a page to show; None where undefined."""
    numbers = {"ds": c.deception_score(), **{name: c.null(name) for name in SHOWN_NULLS}}
    return {name: None if np.isnan(x) else float(x) for name, x in numbers.items()}


def seed_of(study: Study, seed: int) -> dict:
    """Test pairs of one study seed, the margins of its models, and what the library computes of its students."""
    e, frame = study.edition, split(study.pairs(seed), "test")
    exact = lambda run: packed(_margins(study, run), "<f4")
    rounded = lambda run: packed(signed(_margins(study, run)), "<i2")
    found = []
    for weak, strong in e.weak_strong:
        *_, baseline, _, independent = study.compared(seed, weak, strong, CONFLICTS[0])
        conditions = {c: study.student(seed, weak, strong, c) for c in CONFLICTS}
        found.append({
            "weak": weak, "strong": strong, "none": rounded(baseline), "independent": exact(independent),
            "students": {c: rounded(run) for c, run in conditions.items()},
            "book": {c: of_book(study.comparison(seed, weak, strong, c)) for c in CONFLICTS},
        })  # fmt: skip
    weaks, strongs = (dict.fromkeys(names) for names in zip(*e.weak_strong))
    return {
        "seed": seed,
        "texts": {name: "|".join(frame[name]) for name in ("prompt", "chosen", "rejected")},
        "weak": {name: exact(study.weak(seed, name)) for name in weaks},
        "ceiling": {name: exact(study.ceiling(seed, name)) for name in strongs},
        "cells": found,
    }


def _size(seed: dict) -> int:
    """Characters of a seed's margins and texts, near enough."""
    own = [*seed["texts"].values(), *seed["weak"].values(), *seed["ceiling"].values()]
    return sum(map(len, own)) + sum(
        len(cell["none"]) + len(cell["independent"]) + sum(map(len, cell["students"].values()))
        for cell in seed["cells"]
    )


def seeds_of(study: Study) -> list[dict]:
    """``seed_of`` the edition's study seeds, in their order, as far as there is ``FILE_ROOM``."""
    found, used = [], 0
    for seed in study.edition.seeds:
        one = seed_of(study, seed)
        used += _size(one)
        if found and used > FILE_ROOM:
            break
        found.append(one)
    return found


def _plane(c: Comparison, cell: Cell, dots: int, rng: np.random.Generator) -> dict:
    """One plane without its name: places of as many taxed pairs as every plane has, and of some that are not taxed."""
    some = lambda of, n: rng.permutation(np.flatnonzero(of))[:n]
    lit, pale = some(c.tax, dots), some(c.right & ~c.tax, PALE)
    place = lambda index: [[float(c.weak[i]), float(c.ceiling[i])] for i in index]
    excess = float(c.excess("margin_matched"))
    says = {"condition": cell.condition, "seed": cell.seed, "weak": cell.weak, "strong": cell.strong}
    return says | {"lit": place(lit), "pale": place(pale), "excess": excess, **of_book(c)}


def planes(study: Study) -> list[dict]:
    """Two planes each of up to ``PLANES`` weak-strong pairs and seeds, the explicit student's and the rerun's, in an
    order drawn from the first seed.

    They are those where the fewer of both students' taxed pairs are the most, and at least one.  Each plane shows as
    many taxed pairs as the others, up to ``LIT``, which betrays nothing; ``ds``, ``excess`` and nulls are of all pairs.
    """
    rng = np.random.default_rng(stream(study.edition.seeds[0], "deception or churn"))
    each = [[(study.comparison(*cell), cell) for cell in cells(study, [condition])] for condition in PLANES_OF]
    fewest = lambda two: min(int(c.tax.sum()) for c, _ in two)
    drawn = sorted(filter(fewest, zip(*each)), key=fewest, reverse=True)[:PLANES]
    dots = min([LIT, *map(fewest, drawn)])
    every = [one for two in drawn for one in two]
    return [_plane(*every[i], dots, rng) for i in rng.permutation(len(every))]


def right_by_rule(found: Iterable[dict], by: str) -> int:
    """How many planes a rule gets right that calls the half with the larger ``by`` explicit; ties as they stand."""
    found = list(found)
    order = sorted(range(len(found)), key=lambda i: -found[i][by])
    called = set(order[: len(found) // 2])
    return sum((i in called) == (one["condition"] == "explicit") for i, one in enumerate(found))


def play(study: Study, shown: Iterable[dict]) -> dict:
    """All that the pages read, ready for JSON; ``shown`` as of ``planes``, whose dots stand in the page itself."""
    e, shown = study.edition, list(shown)
    return {
        "edition": e.name,
        "threshold": e.threshold,
        "alpha": e.alpha,
        "step": STEPS_PER_NAT,
        "seeds": seeds_of(study),
        "planes": [{name: x for name, x in one.items() if name not in ("lit", "pale")} for one in shown],
        "rules": {by: right_by_rule(shown, by) for by in ("ds", "excess")},
    }
