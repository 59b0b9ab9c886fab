"""A module imports only what stands before it, and reading results loads no torch."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "w2s_lib"
ORDER = [
    "errors", "digests", "run", "world", "pairs", "data", "ladder", "checkpoints", "conditions", "methods", "mitigations", "edition", "supervision",
    "losses", "prefix", "score", "features", "pretrain", "trainers", "reward_model", "sharded", "probe", "policy", "train", "provenance", "store",
    "cluster", "lab", "metrics", "uncertainty", "study", "cost", "results", "talk", "findings", "objectives", "sensitivity", "early_warning", "claims",
    "benchmarks", "figures", "tables", "check", "chapter", "report", "ship", "book",
]  # fmt: skip
LAZY = {"lab": {"pretrain", "train"}, "pairs": {"data"}, "ladder": {"checkpoints"}}
"""Imported inside functions, where only some need what is slow to import."""
NO_TORCH = [
    "metrics",
    "uncertainty",
    "results",
    "findings",
    "objectives",
    "sensitivity",
    "early_warning",
    "claims",
    "figures.sensitivity",
    "figures.slider",
    "figures.deception",
    "figures.ladder",
    "chapter",
    "data",
    "study",
    "supervision",
    "book",
]


def imported(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("w2s_lib"):
            parts = node.module.split(".")
            names |= {parts[1]} if len(parts) > 1 else {alias.name for alias in node.names}
    return names


def module_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_go_one_way(path):
    if path.parent == PACKAGE and path.name == "__init__.py":
        assert not imported(path)
        return
    here = ORDER.index(module_of(path))
    later = [name for name in imported(path) if ORDER.index(name) > here]
    assert not set(later) - LAZY.get(module_of(path), set())


def loads_torch(module: str) -> bool:
    code = f"import sys, w2s_lib.{module}; sys.exit('torch' in sys.modules or 'transformers' in sys.modules)"
    return bool(subprocess.run([sys.executable, "-c", code]).returncode)


@pytest.mark.parametrize("module", NO_TORCH)
def test_reading_results_loads_no_torch(module):
    assert not loads_torch(module)


def test_this_test_can_fail():
    assert loads_torch("train")
