"""Packages import only what stands before them, no two modules import each other, and reading results loads no
torch."""

import ast
import os
import re
import subprocess
import sys
from collections import Counter
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "w2s_lib"
ORDER = [
    "errors", "digests", "progress", "specs", "measures", "data", "models", "training", "lab", "study", "findings",
    "figures", "book",
]  # fmt: skip
"""The order of an experiment: each imports only what stands before it, and what is its own."""

MODULES = {".".join(p.relative_to(PACKAGE).with_suffix("").parts): p for p in PACKAGE.rglob("*.py")}

NO_TORCH = (
    "measures.metrics", "measures.intervals", "data.load", "data.sources", "models.ranks", "training.labels", "lab",
    "study", "study.cost", "findings.results", "findings.claims", "findings.early_warning", "findings.sensitivity",
    "figures.sensitivity", "figures.slider", "figures.conflict", "figures.ladder", "book.chapter", "book.report",
    "book.build", "book.compare",
)  # fmt: skip


def imported(path: Path, within_functions: bool = True) -> set[str]:
    """Modules of the library that a file imports, by their names within it: ``lab.store``; of a package that exports a
    name, the package."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    nodes = ast.walk(tree) if within_functions else tree.body
    names = set()
    for node in nodes:
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "w2s_lib":
            base = node.module.removeprefix("w2s_lib").removeprefix(".")
            for alias in node.names:
                inside = f"{base}.{alias.name}".lstrip(".")
                names.add(inside if inside in MODULES else base if base in MODULES else f"{base}.__init__")
    return names


def test_nothing_of_the_library_is_left_out_of_the_order():
    assert {name.split(".")[0] for name in MODULES} - {"__init__"} == set(ORDER)


@pytest.mark.parametrize("name", sorted(MODULES))
def test_packages_import_only_what_stands_before_them(name):
    if name == "__init__":
        assert not imported(MODULES[name])
        return
    here = ORDER.index(name.split(".")[0])
    assert not {other for other in imported(MODULES[name]) if ORDER.index(other.split(".")[0]) > here}


def test_no_modules_import_each_other():
    """Not in a circle either, and imports within functions count."""
    graph = {name: {other for other in imported(path) if other != name} for name, path in MODULES.items()}
    assert len(list(TopologicalSorter(graph).static_order())) == len(MODULES)


TWO_MEANINGS = {
    "T": "a type variable, of its own function alone",
    **dict.fromkeys(
        ("ALONE", "ASSISTANT", "FINE", "LOOKS"),
        "both stand in modules whose digest shipped results carry (``provenance.MODULES``): a new name is other code",
    ),
}
"""Constants of several modules that may mean something else in each, and why."""


def constants(source: str) -> set[str]:
    """Names in capitals that a module defines at its top level, alone or several at once; not those it imports."""
    targets = [
        target
        for node in ast.parse(source).body
        if isinstance(node, (ast.Assign, ast.AnnAssign))
        for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
    ]
    return {
        part.id for t in targets for part in getattr(t, "elts", [t]) if isinstance(part, ast.Name) and part.id.isupper()
    }


def test_a_constant_has_one_meaning_and_is_defined_once():
    """Ninety of them once had two values or more; whoever needs one elsewhere imports it."""
    defined = Counter(name for path in MODULES.values() for name in constants(path.read_text(encoding="utf-8")))
    assert {name for name, times in defined.items() if times > 1} == set(TWO_MEANINGS)


def test_constants_are_found_however_they_are_defined():
    source = "from a import ZERO\nONE = 1\nTWO: int = 2\nTHREE, FOUR = 3, 4\nfive = 5\nclass Six:\n    SIX = 6\n"
    assert constants(source) == {"ONE", "TWO", "THREE", "FOUR"}


def test_no_two_classes_have_one_name():
    nodes = (node for path in MODULES.values() for node in ast.parse(path.read_text(encoding="utf-8")).body)
    named = [node.name for node in nodes if isinstance(node, ast.ClassDef)]
    assert len(named) > 80 and len(set(named)) == len(named), {name for name in named if named.count(name) > 1}


FIGURE_AND_FINDING = {
    "ask", "bridge", "by_people", "families", "game", "labels", "ledger", "pythagoras", "real_replies",
    "specification_curve", "tax_by_side", "who_pays",
}  # fmt: skip
"""Functions by which a chapter finds something, and by which it draws just that."""

SAME_OF_SEVERAL = {
    "main": "what a command does",
    **dict.fromkeys(("fit", "tokenizer"), "of another kind of model in each module"),
    "load": "pairs; and an edition",
}
"""Functions of several modules that are called alike, and why."""


def test_no_two_functions_have_one_name():
    """But for a chapter's figure and its finding, and those of which it is told why."""
    found: dict[str, set[str]] = {}
    for module, path in MODULES.items():
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
                found.setdefault(node.name, set()).add(module)
    alike = {name: modules for name, modules in found.items() if len(modules) > 1}
    assert set(alike) == FIGURE_AND_FINDING | set(SAME_OF_SEVERAL)
    assert {module.split(".")[0] for name in FIGURE_AND_FINDING for module in alike[name]} == {"figures", "findings"}


def test_a_module_is_no_catch_all():
    assert not [path for path in PACKAGE.rglob("*.py") if path.stem in ("utils", "helpers", "common", "misc")]


SLOW = ("torch", "transformers", "lark")
"""What takes seconds to load; ``w2s_lib.book`` says who would load the last, a parser of addresses."""


def loads(*modules: str, slow: tuple[str, ...] = SLOW, folder: Path = PACKAGE.parent) -> str:
    """The first of these modules that loads a slow one, in a process that imports one after another; Python looks into
    the folder first."""
    code = (
        "import importlib, sys\n"
        "for name in sys.argv[1:]:\n"
        "    importlib.import_module(name)\n"
        f"    if set({slow}) & set(sys.modules):\n"
        "        sys.exit(name)\n"
    )
    within = os.pathsep.join(map(str, (folder, PACKAGE.parent)))
    command, environment = [sys.executable, "-c", code, *modules], os.environ | {"PYTHONPATH": within}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, encoding="utf-8")
    assert done.returncode in (0, 1)
    return done.stderr.strip()


@pytest.mark.slow
def test_reading_results_loads_no_torch_and_no_grammar():
    assert not loads(*(f"w2s_lib.{name}" for name in NO_TORCH))


def test_rendering_pages_loads_nothing_that_computes_or_draws():
    folder = PACKAGE.parent / "book" / "_ext"
    computing = (*SLOW, "matplotlib", "pandas", "scipy", "seaborn")
    names = ("w2s_lib.book", *sorted(path.stem for path in folder.glob("*.py")))  # in that order the build does
    assert not loads(*names, slow=computing, folder=folder)


def test_this_test_can_fail(tmp_path):
    """Modules of the library that need torch say so at their top; here it is an empty one, which is loaded sooner."""
    assert re.search("^import torch$", MODULES["training.losses"].read_text(encoding="utf-8"), re.MULTILINE)
    (tmp_path / "torch.py").touch()
    (tmp_path / "losses.py").write_text("import torch", encoding="utf-8")
    assert loads("w2s_lib.digests", "losses", "w2s_lib.errors", folder=tmp_path) == "losses"
