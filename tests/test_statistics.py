"""What a statistic is stands in tables: no code takes its name apart, in the library or in a notebook."""

import ast
import json
from pathlib import Path

import pytest

from w2s_lib.findings.statistics import BY_NULL, STATISTICS, attainable_of
from w2s_lib.measures.metrics import NULLS

PACKAGE = Path(__file__).resolve().parent.parent / "w2s_lib"
FILES = [path for folder in ("findings", "figures", "book") for path in sorted((PACKAGE / folder).glob("*.py"))]
FILES += sorted((PACKAGE.parent / "notebooks").glob("*.ipynb"))

APART = {
    "startswith", "endswith", "removeprefix", "removesuffix", "partition", "rpartition", "split", "replace", "match",
    "fullmatch", "search", "contains", "extract", "slice", "index", "find",
}  # fmt: skip
"""Methods of texts that look into one, or make another one of its parts."""

PARTS = {"excess", "attainable", "null", "share_of", "deception", "hidden", "power_of", "talk", "tax_rate", "accuracy"}
"""What names of statistics begin with."""


def is_a_name(node: ast.AST) -> bool:
    """Whether an expression is a statistic's name: a variable, an attribute or a column that is called so."""
    called = {
        ast.Name: lambda n: n.id, ast.Attribute: lambda n: n.attr,
        ast.Subscript: lambda n: getattr(n.slice, "value", ""),
    }  # fmt: skip
    return any(type(n) in called and called[type(n)](n) == "statistic" for n in ast.walk(node))


def taken_apart(source: str) -> list[int]:
    """Lines in which a statistic's name is looked into; ``_`` may become what separates words."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Slice) and is_a_name(node.value):
            found.append(node.lineno)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in APART:
            texts = [n.value for a in node.args for n in ast.walk(a) if isinstance(n, ast.Constant)]
            texts = [text for text in texts if isinstance(text, str)]
            looks = is_a_name(node.func.value) or any(text.strip("_") in PARTS for text in texts)
            if looks and texts[:1] != ["_"]:
                found.append(node.lineno)
    return found


def code_of(path: Path) -> str:
    """A module's text, or all code cells of a notebook."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".py":
        return text
    return "\n".join("".join(c["source"]) for c in json.loads(text)["cells"] if c["cell_type"] == "code")


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_no_code_takes_a_statistic_s_name_apart(path):
    assert not taken_apart(code_of(path))


@pytest.mark.parametrize(
    "source",
    [
        'statistic.startswith("x")', 'row["statistic"].replace("excess", "attainable")', "name.startswith('excess_')",
        'frame["statistic"].astype("str").str.startswith("p")', "claim.statistic[6:]", 'n.startswith(("null", "lift"))',
    ],
)  # fmt: skip
def test_names_that_are_taken_apart_are_found(source):
    assert taken_apart(source) == [1]


def test_names_in_words_are_none():
    assert not taken_apart('statistic.replace("_", " ")')


def test_each_kind_has_every_null_and_each_excess_its_bound():
    assert {its.null for its in BY_NULL.values()} == set(NULLS)
    assert len(BY_NULL) == 4 * len(NULLS) and set(BY_NULL) <= set(STATISTICS)
    bounds = {name: attainable_of(name) for name in STATISTICS}
    assert {name for name, bound in bounds.items() if bound} == {f"excess_{null}" for null in NULLS}
    assert all(bound == f"attainable_{BY_NULL[name].null}" for name, bound in bounds.items() if bound)
