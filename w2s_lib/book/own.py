"""The study behind a report on own pairs and models: everything checked, sizes chosen, nothing trained.

It is a study like the book's: the edition ``own`` with other names in it, the same conditions, controls and nulls.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

from w2s_lib.data import load, sources
from w2s_lib.data.cleaning import clean, pool
from w2s_lib.data.reading import DataError
from w2s_lib.errors import ParameterError
from w2s_lib.lab.graph import closure
from w2s_lib.models.folders import CheckpointError
from w2s_lib.models.ladder import KNOWN, parse
from w2s_lib.specs import Checkpoint, Layer, Source
from w2s_lib.study import Study, edition
from w2s_lib.study.conditions import CORE
from w2s_lib.study.edition import ARROW, Edition

LEAST = 32
"""Pairs in a split, at least."""


def own(data: str | Path, weak: str | Path, strong: str | Path, **parameters: Any) -> Study:
    """The study behind a report: everything checked, nothing trained.

    Args:
        data: JSONL or Parquet with columns ``chosen`` and ``rejected`` (and ``prompt``, where they do not hold it), a
            folder of such files, a hub id, or a data set of ``sources.DATA``.
        weak, strong: a name of ``ladder.KNOWN``, a hub id or a folder; ``gpt2:6``: the first six blocks; ``gpt2@6``:
            the frozen sixth layer.
        parameters: fields of an edition, such as ``seeds``, ``train_pairs`` and ``test_pairs`` (default: as many as the
            data allow, evenly, up to 4,000 in each of the three splits), ``threshold``, ``alpha``, ``helpful``,
            ``max_tokens``, ``lora_rank``; ``reward_model`` may hold some fields of the recipe. None: as the edition
            ``own`` says.

    Raises:
        ParameterError, DataError, PairsError, CheckpointError: in one line, what cannot be used and why.
    """
    fields = {"data": str(data), "models": [str(weak), str(strong)], "pairs": [f"{weak}{ARROW}{strong}"], **parameters}
    fields = {name: value for name, value in fields.items() if value is not None}
    recipe = fields.get("reward_model", {})
    if not isinstance(recipe, Mapping):
        raise ParameterError("reward_model", recipe, "must be fields of a recipe, for instance {'epochs': 1}")
    fields["reward_model"] = edition.load("own").reward_model.model_dump() | dict(recipe)
    e = edition.load("own", fields)
    study = Study(edition.load("own", fields | _sizes(e, set(fields))))
    for name in study.edition.models:
        _say_which(parse(name).base)
        _usable(study, name)
    for seed in study.edition.seeds:
        for aim in {study.conflict(condition).objective for condition in CORE}:
            load.load(study.pairs(seed), aim)
    for name in study.edition.models:
        same, of = read_alike(study, name)
        if 2 * same > of:
            says = f"{name} reads {same} of {of} pairs as two times the same text, so soon are they cut"
            raise ParameterError("max_tokens", e.max_tokens, f"{says}; allow more tokens")
    return study


def _say_which(base: str) -> None:
    """Say what is meant by a name that a model of the hub and a folder here both have."""
    if base in KNOWN and Path(base).is_dir():
        print(f"note: {base} is {KNOWN[base].source} of the hub; the folder is written ./{base}", file=sys.stderr)
    elif re.fullmatch(r"[\w-][\w.-]*/[\w.-]+", base) and Path(base).is_dir():
        print(f"note: {base} is the folder here, not the hub's model of that name", file=sys.stderr)


def _usable(study: Study, name: str) -> None:
    """Refuse a model that cannot be used, under the name by which it was asked for."""
    from w2s_lib.models import usable  # here, for it loads torch

    try:
        usable.check(closure([study.ceiling(study.edition.seeds[0], name)]))
    except CheckpointError as error:
        raise ParameterError("models", name, error.says) from None


def checkpoint(study: Study, name: str) -> Checkpoint:
    """The checkpoint behind a model of the study, or behind a frozen layer."""
    model = study.model(study.edition.seeds[0], name)
    return model.features.checkpoint if isinstance(model, Layer) else model


@lru_cache(maxsize=8)
def read_alike(study: Study, name: str) -> tuple[int, int]:
    """How many pairs, of how many, a model cannot tell apart: cut after ``max_tokens`` tokens they say the same."""
    from w2s_lib.models.checkpoints import tokenizer  # here, for it loads torch

    pairs = study.pairs(study.edition.seeds[0])
    usable = pool(pairs.source, pairs.max_tokens)
    cut = partial(tokenizer(checkpoint(study, name), pairs.max_tokens), truncation=True)
    left = clean(usable.assign(file=0), cut, pairs.max_tokens).frame
    return len(usable) - len(left), len(usable)


def _room(source: Source, max_tokens: int) -> int:
    """Pairs that three splits have room for: where a split ends within a prompt, the rest of its pairs are left out."""
    prompts = pool(source, max_tokens)["prompt"]
    return len(prompts) - 2 * (int(prompts.value_counts().max()) - 1)


def _sizes(e: Edition, given: set[str]) -> dict[str, int]:
    """``train_pairs`` and ``test_pairs``: as given, else as many as there are, evenly, up to what the edition says."""
    room, train, test = _room(sources.source(e.at(e.data)), e.max_tokens), e.train_pairs, e.test_pairs
    if "test_pairs" not in given:
        test = min(test, room - 2 * train if "train_pairs" in given else room // 3)
    if "train_pairs" not in given:
        train = min(train, (room - test) // 2)
        if e.helpful is not None:
            train = min(train, _room(sources.source(e.at(e.helpful)), e.max_tokens) // 2)
    if min(test, train) < LEAST:
        says = f"{room} pairs can be used, too few for a test split and two training splits of {LEAST} or more each"
        raise DataError(e.data, says)
    return {"train_pairs": train, "test_pairs": test}
