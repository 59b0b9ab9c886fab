"""Every parameter of editions, chapters and the report: what is accepted can be run, and what cannot is one line.

Strategies and bad values are made of the fields themselves, so that a new parameter is tried as well.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import types
import typing
from collections.abc import Iterator
from math import inf, nan
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from pydantic.fields import FieldInfo

from tests.conftest import ROOT
from tests.faults.conftest import TIMES, takes_long
from w2s_lib.book import build, report
from w2s_lib.book.chapter import open_chapter
from w2s_lib.errors import OneLineError
from w2s_lib.lab.graph import closure
from w2s_lib.specs import MAX_REPLY, MOST_BEAMS, PolicyRecipe, Recipe
from w2s_lib.study import Study
from w2s_lib.study.cost import plan
from w2s_lib.study.edition import ALSO, CHAPTERS, FOLDER, GOES_ON_FROM, OF_REAL_TEXTS, PARAMETERS, Edition, load
from w2s_lib.study.methods import POLICY_METHODS
from w2s_lib.study.mitigations import MITIGATIONS, TOKENS

FIELDS = Edition.model_fields
RECIPES = {name: type(FIELDS[name].default) for name in ("reward_model", *POLICY_METHODS)}
MODELS = ("tiny-24", "tiny-28", "tiny-44")
PAIRS = ("tiny-24 -> tiny-28", "tiny-24 -> tiny-44", "tiny-28 -> tiny-44")

FEW = settings(max_examples=6, derandomize=True, deadline=None, database=None, phases=[Phase.generate])
MANY = settings(
    max_examples=40 if TIMES else 10, derandomize=not TIMES, deadline=None, database=None,
    suppress_health_check=[HealthCheck.too_slow],
)  # fmt: skip
"""At random where faults are sought; else the same examples in every run, so that it fails for what was changed."""


# What is accepted


def kind(field: FieldInfo) -> type | None:
    """What a field holds, if that is a number, a truth value or one of some names; else None."""
    types_ = [t for t in typing.get_args(field.annotation) or (field.annotation,) if t is not type(None)]
    if typing.get_origin(field.annotation) in (typing.Union, types.UnionType) and len(types_) == 1:
        return types_[0] if types_[0] in (int, float) else None
    return field.annotation if field.annotation in (int, float, bool) else None


def bounds(field: FieldInfo) -> dict[str, float]:
    """``ge``, ``gt``, ``le``, ``lt`` of a number."""
    return {n: getattr(m, n) for m in field.metadata for n in ("ge", "gt", "le", "lt") if hasattr(m, n)}


def values(name: str, field: FieldInfo) -> SearchStrategy:
    """Valid values of a field: its own bounds, or sizes that a test can count."""
    most = {"substances": 120, "train_pairs": 120, "test_pairs": 120, "draws": 1000, "reading": 2.0}
    its, held = bounds(field), kind(field)
    if held is bool:
        return st.booleans()
    if held is None:
        return st.sampled_from(typing.get_args(field.annotation))
    low, high = its.get("ge", its.get("gt", 0)), its.get("le", its.get("lt", 50))
    high = min(high, most.get(name, high))
    if held is int:
        return st.integers(int(low), int(high))
    return st.floats(low, high, exclude_min="gt" in its, exclude_max="lt" in its, allow_subnormal=False)


def recipes(model: type[Recipe] | type[PolicyRecipe]) -> SearchStrategy[dict[str, Any]]:
    """Some fields of a recipe."""
    # of one schedule, of real models, of few chapters, given by themselves
    apart = {"warmup_share", "encode_apart", "frozen", "beta", "gamma"}
    fields = {name: values(name, field) for name, field in model.model_fields.items() if name not in apart}
    fit = lambda recipe: (
        recipe.get("loss", "forward") == "forward"
        if recipe.get("confidence_weight")
        else recipe.get("confidence_fence", "half") == "half"
    )
    return st.fixed_dictionaries({}, optional=fields).filter(fit)


BEAMS = {"width": st.integers(1, 8), "successors": st.integers(1, 8), "chunk": st.none() | st.integers(1, MAX_REPLY)}
"""Fields of a search, whose replies side by side are as many as it may have."""


@st.composite
def editions(draw: st.DrawFn) -> dict[str, Any]:
    """Fields of an edition of the world, all of them now and then."""
    some = lambda names, least=0: st.lists(st.sampled_from(names), unique=True, min_size=least)
    pairs = draw(st.just("all") | some(PAIRS, 1))
    among = list(PAIRS if pairs == "all" else pairs)
    fields = {
        "title": st.text(
            st.characters(codec="utf-8", exclude_categories=["C", "Z"], include_characters=" "), max_size=30
        ),
        "seeds": st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=2, unique=True),
        **dict.fromkeys(
            ("control_weak_strong_pairs", "policy_weak_strong_pairs", "mitigation_weak_strong_pairs"), some(among)
        ),
        "alphas": st.lists(st.floats(0.01, 10), min_size=1, max_size=3, unique=True),
        "methods": some(POLICY_METHODS, 1),
        "mitigations": some(list(MITIGATIONS), 1),
        "chapters": some([number for number in CHAPTERS if number not in GOES_ON_FROM]),
        **{name: recipes(model) for name, model in RECIPES.items()},
        "search": st.fixed_dictionaries({}, optional=BEAMS),
    }
    alone = {"name", "models", "weak_strong_pairs", "data", "dask", "intermediates", "truncation_side", "record_of"}
    alone |= {"helpful_share", *OF_REAL_TEXTS}  # they are refused where data is the world
    fields |= {name: values(name, field) for name, field in FIELDS.items() if name not in fields.keys() | alone}
    simpo = lambda fields: (
        "simpo" in fields.get("methods", ["simpo"]) or not {*TOKENS} & {*fields.get("mitigations", ())}
    )
    return {"models": list(MODELS), "weak_strong_pairs": pairs} | draw(
        st.fixed_dictionaries({}, optional=fields).filter(simpo)
    )


def accepted(fields: dict[str, Any], folder: Path) -> None:
    """What a notebook or a file gives is an edition, and all its runs are named and counted."""
    study = Study(load("smoke", fields))
    runs = closure(study.runs())
    assert runs and len({run.key for run in runs}) == len(runs)
    file = yaml.safe_load((FOLDER / "smoke.yaml").read_text(encoding="utf-8")) | fields | {"name": "mine"}
    (folder / "mine.yaml").write_text(yaml.safe_dump(file, allow_unicode=True), encoding="utf-8")
    again = load(folder / "mine.yaml")
    assert again.model_dump() == study.edition.model_dump() | {"name": "mine"}


@pytest.mark.slow
@FEW
@given(editions())
def test_what_is_accepted_can_be_counted(tmp_path_factory, fields):
    accepted(fields, tmp_path_factory.mktemp("edition"))


@takes_long
@MANY
@given(editions())
def test_everything_that_is_accepted_can_be_counted(tmp_path_factory, fields):
    accepted(fields, tmp_path_factory.mktemp("edition"))


@pytest.mark.slow
@settings(MANY, max_examples=40 if TIMES else 4)
@given(editions())
def test_what_is_accepted_can_be_planned(fields):
    """A dry run makes all pairs and counts their tokens."""
    study = Study(load("smoke", fields))
    assert len(plan(study)) == len(closure(study.runs()))


@takes_long
@settings(
    max_examples=min(TIMES, 12) or 1, deadline=None, database=None, phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)  # fmt: skip
@given(editions(), st.lists(st.sampled_from([n for n in CHAPTERS if n not in GOES_ON_FROM]), unique=True, max_size=2))
def test_what_is_accepted_runs(tmp_path_factory, without_pages, counted, fields, chapters):
    """All runs of an edition of one seed and few chapters, and its notebooks."""
    folder, smoke = tmp_path_factory.mktemp("accepted"), (FOLDER / "smoke.yaml").read_text(encoding="utf-8")
    few = {"name": "mine", "chapters": chapters, "seeds": fields.get("seeds", [7])[:1], "reading": 0.05}
    (folder / "mine.yaml").write_text(yaml.safe_dump(yaml.safe_load(smoke) | fields | few), encoding="utf-8")
    told = {"--edition": folder / "mine.yaml", "--store": folder / "store", "--output": folder / "book"}
    assert build.main([str(word) for pair in told.items() for word in pair]) == 0, (fields, few)
    shutil.rmtree(folder)
    counted["an edition of random parameters that is accepted", "all runs trained, all notebooks executed"] += 1


# What is refused

NO_NUMBER = ["many", "", [], [1], {}, {"a": 1}, True, nan, inf, -inf, "nan", "1e400", "1:30", b"\xff"]
NO_LIST = [3, 0.5, True, {"a": 1}, "some", ""]
NO_TEXT = [3, 0.5, True, ["a"], {"a": 1}]
NO_NAME = ["no such one", "", "\n", "a\x00b", "../..", "{x}", "$HOME", "x" * 5000]


def beyond(field: FieldInfo) -> Iterator[float]:
    """Numbers just outside a field's bounds."""
    step = 1 if kind(field) is int else 1e-9
    for name, bound in bounds(field).items():
        yield {"ge": bound - step, "gt": bound, "le": bound * (1 + 1e-9) + step, "lt": bound}[name]


def wrong(field: FieldInfo) -> list[object]:
    """Values that a field must not have."""
    held = kind(field)
    if held in (int, float):
        return [*NO_NUMBER, *beyond(field), *([1.5] if held is int else [])]
    if held is bool:
        return ["perhaps", 7, 0.5, [], {}, nan]
    if typing.get_origin(field.annotation) is typing.Literal:
        return [*NO_TEXT, *NO_NAME]
    return []


OTHERS: dict[str, list[object]] = {
    "name": [*NO_TEXT, "a b", "A", "-a", "a/b", ""],
    "title": NO_TEXT,
    "seeds": [*NO_LIST, [], [True], [-1], [1.5], ["x"], [nan], [inf], [2**32], [7, 7], [7, "7"], [[7]], [None]],
    "alphas": [*NO_LIST, [], [0], [-1], [nan], [inf], [11], ["x"], [1, 1.0], [True]],
    "models": [*NO_LIST, [], ["tiny-24"], ["tiny-24", "tiny-24"], [24, 28], *([["tiny-24", n] for n in NO_NAME])],
    "weak_strong_pairs": [*NO_LIST, [], ["tiny-24"], ["tiny-44 -> tiny-24"], ["tiny-24 -> "], [" -> tiny-24"],
        [["tiny-24", "tiny-44"]],
              ["tiny-24 -> tiny-44 -> tiny-56"], ["tiny-24 -> tiny-44", "tiny-24->tiny-44"], ["a\nb -> c"]],
    **dict.fromkeys(("control_weak_strong_pairs", "policy_weak_strong_pairs", "mitigation_weak_strong_pairs"),
        [*NO_LIST, ["tiny-24 -> tiny-56"], ["x"], [3]]),
    "methods": [*NO_LIST, [], ["ppo"], ["dpo", "dpo"], [1]],
    "mitigations": [*NO_LIST, [], ["hope"], ["filter", "filter"], [1]],
    "intermediates": [*NO_LIST, ["tiny-24"], ["tiny-56"], ["x"], [3], ["tiny-28", "tiny-28"]],
    "bfloat16_policies": [*NO_LIST, ["x"], [3]],
    "chapters": [*NO_LIST, ["28"], [5], ["5"], [4.0], ["nope"], ["05", "05"], [""], [True]],
    "data": [*NO_TEXT, "hh-harmless", "hh-helpful"],
    "helpful": [*NO_TEXT, "hh-harmless"],
    "dask": NO_TEXT,
    "judge": [*NO_TEXT, *NO_NAME, "gpt2", "tiny-24"],
    "search": [3, True, "wide", [], {"no_such": 1}, {3: 1}, {"width": 1, "successors": MOST_BEAMS + 1},
        {"width": 9, "successors": 9}, {"chunk": MAX_REPLY + 1},
        *({name: value} for name in ("width", "successors", "chunk") for value in (0, -1, 1.5, "x", nan, inf, [1]))],
    "record_of": [3, True, [], {}],
    **{name: [3, True, "epochs=1", [], ["epochs"], {"no_such": 1}, {"epochs": None}, {3: 1}] for name in RECIPES},
}  # fmt: skip


def bad_values() -> list[tuple[str, object]]:
    """Name and value of parameters that must be refused; of a field of a recipe the name with a dot."""
    found = [(name, value) for name, field in FIELDS.items() for value in OTHERS.get(name) or wrong(field)]
    for recipe, model in RECIPES.items():
        fields = model.model_fields.items()
        found += [(f"{recipe}.{name}", value) for name, field in fields for value in wrong(field)]
    return found


BAD = bad_values()

REFUSED = "each refused in one line that names it, before any run"


def refused(name: str, value: object) -> str:
    """What an edition says to a bad value: one line that names the parameter."""
    recipe, _, field = name.partition(".")
    with pytest.raises(OneLineError) as error:
        load("smoke", {recipe: {field: value} if field else value})
    text = str(error.value)
    assert len(text.splitlines()) == 1 and re.search(rf"\b{recipe}\b", text), (name, value, text)
    return text


def test_every_parameter_has_values_that_are_refused():
    tried = {name for name, _ in BAD}
    assert set(FIELDS) <= {name.partition(".")[0] for name in tried}
    assert {f"{recipe}.{field}" for recipe, model in RECIPES.items() for field in model.model_fields} <= tried
    kinds = {(name, type(value).__name__, repr(value)) for name, value in BAD}
    assert len(kinds) >= 500


@pytest.mark.parametrize("name", list(dict.fromkeys(name for name, _ in BAD)))
def test_what_cannot_be_is_one_line(counted, name):
    for value in (value for its, value in BAD if its == name):
        refused(name, value)
        counted["a value that a parameter of an edition cannot have", REFUSED] += 1


@pytest.mark.slow
@MANY
@given(st.sampled_from(list(FIELDS)), st.one_of(st.text(), st.floats(), st.integers(), st.lists(st.text(), max_size=2)))
def test_whatever_is_given_is_accepted_or_one_line(name, value):
    try:
        load("smoke", {name: value})
    except OneLineError as error:
        assert len(str(error).splitlines()) == 1


TAKEN = [("05_conflict_tax_deception", name) for name in PARAMETERS] + [(n, name) for n in ALSO for name in ALSO[n]]
"""Chapters, and what they take by name."""


@pytest.mark.parametrize(("chapter", "name"), TAKEN)
def test_a_notebook_refuses_what_cannot_be(tmp_path, counted, chapter, name):
    """Before anything is run: nothing is in the store."""
    allowed = PARAMETERS + ALSO.get(chapter, ())
    others = {"edition": [*NO_TEXT, *NO_NAME], "store": NO_TEXT, "workers": [-1, 1.5, "two", True, [], {}, nan]}
    for value in others.get(name) or [value for its, value in BAD if its == name and value != []]:
        if name in ("seeds", "weak_strong_pairs", "methods", "mitigations") and value in (3, "some"):
            continue  # one value is a list of one
        given = dict.fromkeys(allowed) | {"edition": "smoke", "store": str(tmp_path), "workers": 0, name: value}
        with pytest.raises(OneLineError) as error:
            open_chapter(chapter, given)
        assert name in str(error.value) and len(str(error.value).splitlines()) == 1
        counted["a value that a parameter of a notebook cannot have", REFUSED] += 1
    assert not list(tmp_path.rglob("*.json"))


# Command lines


@pytest.fixture(scope="module")
def mine(tmp_path_factory, folders) -> list[str]:
    """Own pairs and models, as a report takes them."""
    folder = tmp_path_factory.mktemp("mine")
    rows = [{"prompt": f"Question {i}?", "chosen": f" Yes, {i}.", "rejected": f" No {i}, never."} for i in range(120)]
    (folder / "my.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    models = ["--weak", f"{folders['gpt2']}:1", "--strong", str(folders["gpt2"])]
    return [str(folder / "my.jsonl"), *models, "--store", str(folder / "store"), "--out", str(folder / "report.html")]


WRONG_OPTIONS = [
    *([f"--{name}", value]
      for name in ("threshold", "alpha", "train-pairs", "test-pairs", "max-tokens", "draws", "lora-rank")
      for value in ("x", "", "nan", "inf", "-1", "0", "1e400", "1:30")),
    *(["--mitigations", "label_again", "--filter-above", value] for value in ("x", "", "nan", "0.4", "1", "0.8:1")),
    ["--filter-above", "0.8"], ["--mitigations", "hard_labels", "--filter-above", "0.8"],
    *(["--seeds", *values] for values in (["x"], [""], ["-1"], ["1", "1"], ["1.5"], ["nan"], ["4294967296"])),
    *(["--dtype", value] for value in ("float16", "", "32")),
    *(["--recipe", *values] for values in (["epochs"], ["no_such=1"], ["epochs=x"], ["epochs=-1"], ["=1"], [""],
      ["learning_rate=inf"], ["learning_rate=nan"], ["epochs=1", "batch_size=0"], ["schedule=none"])),
    *(["--workers", value] for value in ("x", "-1", "1.5", "", "nan")),
    *(["--helpful", value] for value in ("hh-harmless", "no such file", "missing.jsonl")),
    *(["--out", value] for value in ("report.pdf", "", "/no/such/folder/report.html")),
    *(["--mitigations", *values] for values in ([], [""], ["filtr"], ["filter", "filter"], ["bootstrap"], ["none"],
      ["filter", "chosen_tokens"], ["random_half"])),
    ["--store", "/proc/nowhere"], ["--no-such", "1"], ["--seeds"], ["one too many"],
    ["--store", "not UTF-8: \udce9"], ["--strong", "./not UTF-8: \udce9:1"],
]  # fmt: skip


@pytest.mark.parametrize("options", WRONG_OPTIONS, ids=" ".join)
def test_a_report_refuses_what_cannot_be(mine, options, capsys, monkeypatch, tmp_path, counted):
    """With and without a dry run, in one line with exit code 2, and leaves no page."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("w2s_lib.lab.Lab.run", lambda *_: pytest.fail("something was trained"))
    for dry in ([], ["--dry-run"]):
        try:
            code = report.main([*mine, *options, *dry])
        except SystemExit as left:
            code = left.code
        told = capsys.readouterr().err
        assert code == 2 and told.startswith("error: ") and len(told.splitlines()) == 1, (dry, told)
    assert not list(tmp_path.rglob("*.html")) and not Path(mine[mine.index("--out") + 1]).exists()
    counted["options of a report or a build that cannot be", REFUSED] += 1


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere all names are UTF-8")
def test_a_locale_without_utf8_is_named_where_a_path_cannot_be_told(mine, folders, tmp_path):
    """Pairs and the page may be called anything; libraries take folders of models and stores in UTF-8 alone."""
    for name in ("pairs-ü.jsonl", os.fsdecode(b"pairs-\xfc.jsonl")):
        shutil.copy(mine[0], tmp_path / name)
    shutil.copytree(folders["gpt2"], tmp_path / "gpt-ü")
    (tmp_path / "ü.yaml").touch()
    english = os.environ | {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONPATH": str(ROOT)}

    def said(*words: str) -> tuple[int, str]:
        command = [sys.executable, "-m", *words, "--dry-run"]
        done = subprocess.run(
            command, cwd=tmp_path, env=english, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, encoding="utf-8"
        )
        return done.returncode, done.stderr

    report = ["w2s_lib.book.report", *mine]
    for name in ("pairs-ü.jsonl", os.fsdecode(b"pairs-\xfc.jsonl")):
        assert said(report[0], name, *mine[1:], "--out", f"{name}.html") == (0, "")
    for words in ([*report, "--store", "ü"], [*report, "--strong", "./gpt-ü"], ["w2s_lib.book", "--edition", "ü.yaml"]):
        code, told = said(*words)
        assert code == 2 and len(told.splitlines()) == 1 and "does not know (ascii); set PYTHONUTF8=1" in told, told


HONEST = [name for name, one in MITIGATIONS.items() if one.honest and not one.bootstrap and not one.tokens]

FOR_REPORTS = st.fixed_dictionaries(
    {"draws": st.integers(100, 300), "seeds": st.lists(st.integers(0, 9), min_size=1, max_size=2, unique=True)},
    optional={
        **{name: values(name, FIELDS[name]) for name in ("threshold", "alpha", "max_tokens", "dtype", "lora_rank")},
        **dict.fromkeys(("train_pairs", "test_pairs"), st.integers(32, 50)),
        "mitigations": st.lists(st.sampled_from(HONEST), max_size=2, unique=True),
        "reward_model": recipes(Recipe).flatmap(
            lambda some: st.floats(1e-6, 1e6).map(lambda rate: some | {"learning_rate": rate})
        ),
    },
)
"""What a report takes; among learning rates are those at which any training diverges."""


@takes_long
@settings(
    max_examples=min(TIMES, 12) or 1, deadline=None, database=None, phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)  # fmt: skip
@given(FOR_REPORTS)
def test_what_a_report_accepts_runs(mine, counted, tmp_path_factory, fields):
    """It gives numbers, or one line and no page."""
    folder, (data, _, weak, _, strong, *_) = tmp_path_factory.mktemp("report"), mine
    page = folder / "report.html"
    try:
        found = report.report(data, weak, strong, out=page, store=folder / "store", workers=0, **fields).results
    except OneLineError as error:
        assert len(str(error).splitlines()) == 1 and not page.exists(), fields
        counted["a report with random options", "one line and no page where it cannot be"] += 1
        return
    told = found[found["statistic"].str.startswith("accuracy")]
    assert page.is_file() and len(told) > 2 and told["value"].between(0, 1).all(), fields
    counted["a report with random options that is accepted", "all runs trained, numbers in the page"] += 1


@pytest.mark.parametrize(
    "options",
    [["--edition", "smoke", *more] for more in (["--workers", "x"], ["--workers", "-1"], ["--price", "nan"],
     ["--price", "-2"], ["--price", "x"], ["--no-such"], ["--store", "/proc/nowhere"])
     ] + [["--edition", ""], ["--edition"]],
    ids=" ".join,
)  # fmt: skip
def test_a_build_refuses_what_cannot_be(options, capsys, counted):
    try:
        code = build.main([*options, "--dry-run"])
    except SystemExit as left:
        code = left.code
    told = capsys.readouterr().err
    assert code == 2 and told.startswith("error: ") and len(told.splitlines()) == 1
    counted["options of a report or a build that cannot be", REFUSED] += 1
