"""The study behind a report on own pairs and models: everything checked, sizes chosen, nothing trained.

It is a study like the book's: the edition ``own`` with other names in it, the same conditions, controls and nulls.
"""

import os
import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from itertools import chain
from math import floor
from operator import eq
from pathlib import Path
from typing import Any, NamedTuple, get_args

from w2s_lib.data import load, sources
from w2s_lib.data.cleaning import usable_pairs
from w2s_lib.data.reading import DataError
from w2s_lib.errors import ParameterError
from w2s_lib.lab.again import says_of_others
from w2s_lib.lab.graph import closure
from w2s_lib.models.folders import refused_by
from w2s_lib.models.ladder import KNOWN, parse
from w2s_lib.specs import Checkpoint, Layer, Train
from w2s_lib.study import Study, edition
from w2s_lib.study.conditions import CORE
from w2s_lib.study.edition import ARROW, WORLD, Edition, Placebo
from w2s_lib.study.mitigations import MITIGATIONS
from w2s_lib.study.study import distinct

REMEDIES = "13"
"""The chapter that tries mitigations, which a study of own pairs has where any are named."""

FEWEST = 32
"""Pairs in a split, at least."""


def own(data: str | Path, weak: str | Path, strong: str | Path, **parameters: Any) -> Study:
    """The study behind a report: everything checked, nothing trained.

    Args:
        data: JSON or Parquet with columns ``chosen`` and ``rejected`` (and ``prompt``, where they do not hold it; see
            ``data.rows``), a folder of such files, a hub id, or a data set of ``sources.DATA``.
        weak, strong: a name of ``ladder.KNOWN``, a hub id or a folder; ``gpt2:6``: the first six blocks; ``gpt2@6``:
            the frozen sixth layer.
        parameters: fields of an edition, such as ``seeds``, ``train_pairs`` and ``test_pairs`` (default: as many as the
            data allow, evenly, up to 4,000 in each of the three splits), ``threshold``, ``alpha``, ``helpful``,
            ``helpful_share`` (default: as many helpful pairs as there are, up to ``train_pairs``), ``placebo``
            (default: the first that tells enough pairs apart), ``max_tokens``, ``lora_rank``, ``mitigations`` (default:
            none is tried), ``filter_above`` (for those that filter); ``reward_model`` may hold some fields of the
            recipe. None: as the edition ``own`` says.

    Raises:
        ParameterError, DataError, PairsError, CheckpointError: in one line, what cannot be used and why.
    """
    if str(data) == edition.WORLD:
        raise ParameterError("data", data, "a report needs pairs of your own; on the world's, there is the book")
    fields = {"data": str(data), "models": [str(weak), str(strong)], "weak_strong_pairs": [f"{weak}{ARROW}{strong}"]}
    fields |= parameters
    fields = {name: value for name, value in fields.items() if value is not None}
    recipe = fields.get("reward_model", {})
    if not isinstance(recipe, Mapping):
        raise ParameterError("reward_model", recipe, "must be fields of a recipe, for instance {'epochs': 1}")
    fields["reward_model"] = edition.load("own").reward_model.model_dump() | dict(recipe)
    if "mitigations" in fields:
        fields["chapters"] = sorted({*(fields.get("chapters") or edition.load("own").chapters), REMEDIES})
    e = edition.load("own", fields)
    _check_mitigations(e, fields)
    fields |= _sizes(e, set(fields))
    study = Study(edition.load("own", fields))
    if e.helpful is not None and "helpful_share" not in fields:
        study = Study(edition.load("own", fields | {"helpful_share": min(1.0, _share(study))}))
    from w2s_lib.models import usable  # here, for it loads torch

    refuse = lambda error: ParameterError("models", name, error.says)
    for name in study.edition.models:
        with refused_by(refuse):
            usable.check_models(closure([study.ceiling(study.edition.seeds[0], name)]))
    placebos = [e.placebo] if "placebo" in fields else get_args(Placebo)
    tried = [study.with_parameters(placebo=name) for name in placebos]
    study = next((one for one in tried if "placebo" not in not_shown(one)), tried[-1])
    for name in study.edition.models:
        with refused_by(refuse):
            read = as_read(study, name)
        if 2 * read.alike > read.pairs:
            says = f"{name} reads {read.alike} of {read.pairs} pairs as two times the same text, so soon are they cut"
            raise ParameterError("max_tokens", e.max_tokens, f"{says}; allow more tokens")
    return study


def _check_mitigations(e: Edition, given: Mapping[str, Any]) -> None:
    """Refuse mitigations that a report cannot try, and a filter's parameter where none filters."""
    named = e.mitigations if "mitigations" in given else ()
    for name in named:
        if MITIGATIONS[name].tokens:
            raise ParameterError("mitigations", name, "is for policies, and a report trains reward models; name others")
        if MITIGATIONS[name].bootstrap and not e.ways(*e.weak_strong[0]):
            says = "goes through a model between the weak and the strong one, and there is none; name others"
            raise ParameterError("mitigations", name, says)
    if "filter_above" in given and not any(MITIGATIONS[name].by_confidence for name in named):
        says = "no mitigation that is named keeps pairs by their confidence; name one, such as filter (mitigations)"
        raise ParameterError("filter_above", e.filter_above, says)


def _which(e: Edition) -> Iterator[str]:
    """What is meant by names that a model of the hub and a folder both have, a sentence each."""
    for base in dict.fromkeys(parse(name).base for name in (*e.models, *chain(*e.weak_strong))):
        if not os.path.isdir(e.at(f"./{base}")):
            continue
        if base in KNOWN:
            yield f"{base} is {KNOWN[base].source}, not the folder of that name, which is written ./{base}."
        elif re.fullmatch(r"[\w-][\w.-]*/[\w.-]+", base):
            yield f"{base} is the folder of that name, not the hub's model."


@lru_cache(maxsize=8)
def not_shown(study: Study) -> dict[str, load.TiesError]:
    """Conditions that the pairs cannot show: in some seed too few of those to mix in are told apart.

    Raises:
        DataError, PairsError: the pairs of some condition cannot be used.
    """
    found = {}
    for condition in CORE:
        try:
            for seed in study.edition.seeds:
                pairs, conflict = study.pairs(seed), study.conflict(condition)
                load.load(pairs)
                if conflict.kind == "mixed":
                    load.mixed_in(pairs, "weak_label", conflict, pairs.train_pairs)
        except load.TiesError as error:
            found[condition] = error
    return found


def conditions(study: Study) -> list[str]:
    """The conditions of a report: those of the book's studies but for what is left out."""
    return [condition for condition in CORE if condition not in not_shown(study)]


def remedies(study: Study) -> list[Study]:
    """The study under each mitigation that was named."""
    return study.mitigated() if study.edition.has_chapter(REMEDIES) else []


def needed(study: Study) -> list[Train]:
    """All that a report trains: students under its conditions, and, without and with a conflict, mitigations."""
    tried = [run for one in remedies(study) for run in one.student_runs(("none", "explicit"))]
    return distinct([*study.student_runs(conditions(study)), *tried])


def notes(study: Study, here: bool = False) -> list[str]:
    """What whoever gave the data and models should know of how they are read, a sentence each.

    ``here``: of the data, only of files here that the book does not know.
    """
    e, pairs = study.edition, study.pairs(study.edition.seeds[0])
    if e.data == WORLD:
        return []
    read = [(e.at(e.data), pairs.source), *([(e.at(e.helpful), pairs.helpful)] if pairs.helpful else [])]
    read = [(data, its) for data, its in read if not here or its.files and its.name not in sources.DATA]
    found = [*_which(e), *(note for data, source in read for note in sources.notes_on_reading(data, source))]
    if e.helpful is not None and e.helpful_share < 1 and not here:
        few = len(load.mixed_in(pairs, "weak_label", study.conflict("implicit"), e.train_pairs))
        found.append(f"Helpful pairs that are mixed in: {few:,}, with {e.train_pairs:,} weakly labelled ones.")
    return found


def remarks(study: Study) -> list[str]:
    """What readers of a page should know of its data and of the results on its lab, a sentence each, without paths."""
    runs = study.runs()
    of_results = (study.lab.says_of_code(runs), says_of_others(study.lab, runs, how=False))
    return [*notes(study, here=True), *(f"{said}." for said in of_results if said)]


def checkpoint(study: Study, name: str) -> Checkpoint:
    """The checkpoint behind a model of the study, or behind a frozen layer."""
    model = study.model(study.edition.seeds[0], name)
    return model.features.checkpoint if isinstance(model, Layer) else model


class AsRead(NamedTuple):
    """How many pairs a model reads, and of these, how many with a text that is cut, and as the same text twice."""

    pairs: int
    cut: int
    alike: int


@lru_cache(maxsize=8)
def as_read(study: Study, name: str) -> AsRead:
    """What a model of the study reads of the pairs that can be used."""
    from w2s_lib.models.checkpoints import tokenizer  # here, for they load torch
    from w2s_lib.models.scores import encode, too_long

    pairs = study.pairs(study.edition.seeds[0])
    usable = usable_pairs(pairs.source, pairs.max_tokens).assign(opening=lambda frame: frame["prompt"], ending="")
    its = tokenizer(checkpoint(study, name), pairs.max_tokens, pairs.truncation_side)
    return AsRead(len(usable), int(too_long(its, usable).sum()), sum(map(eq, *encode(its, usable))))


def _room(data: str, max_tokens: int) -> tuple[int, str]:
    """Pairs that three splits have room for, and why there are no more: where a split ends within a prompt, the rest of
    its pairs are left out.  The first two end, at the worst, within the two largest prompts; one prompt fills one."""
    sizes = usable_pairs(sources.source(data), max_tokens)["prompt"].value_counts()
    why = f", for one prompt has {sizes.max()} of {sizes.sum()}, and all pairs of a prompt are in one split"
    room = int(sizes.sum() - (sizes[:2] - 1).sum()) if len(sizes) > 1 else 0
    return room, why if sizes.max() > 1 else ""


def _sizes(e: Edition, given: set[str]) -> dict[str, int]:
    """``train_pairs`` and ``test_pairs``: as given, else as many as there are, evenly, up to what the edition says."""
    (room, why), train, test = _room(e.at(e.data), e.max_tokens), e.train_pairs, e.test_pairs
    for name, most in (("test_pairs", room - 2 * FEWEST), ("train_pairs", (room - FEWEST) // 2)):
        if name in given and getattr(e, name) > most >= FEWEST:
            says = f"too few pairs: {room} can be used{why}; use at most {most}, so that each other split has {FEWEST}"
            raise ParameterError(name, getattr(e, name), says)
    if "test_pairs" not in given:
        test = min(test, room - 2 * train if "train_pairs" in given else room // 3)
    if "train_pairs" not in given:
        train = min(train, (room - test) // 2)
    if min(test, train) < FEWEST:
        says = f"{room} pairs can be used{why}; {3 * FEWEST} are needed, {FEWEST} for tests and for each training split"
        raise DataError(e.data, says)
    return {"train_pairs": train, "test_pairs": test}


def _share(study: Study) -> float:
    """The largest ``helpful_share`` that the helpful pairs allow in every seed."""
    e = study.edition
    found = min(len(load.split(study.pairs(seed), "weak_label", "helpfulness")) for seed in e.seeds)
    if found < FEWEST:
        says = f"{found} pairs can be used, whose prompts are not among those of the others; {FEWEST} are needed"
        raise ParameterError("helpful", e.helpful, says)
    return floor(1e4 * found / e.train_pairs) / 1e4  # rounded down, so that no more are asked for
