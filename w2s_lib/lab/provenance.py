"""Where a result comes from: the code that makes runs, the packages under it, the machine.

A key says what was asked for.  What is told here goes into the record beside the result, so that a reader can ask
whether today's code would give the same.
"""

from __future__ import annotations

import ast
import os
import platform
import re
from collections.abc import Mapping
from contextlib import suppress
from functools import lru_cache
from importlib.metadata import PackageMetadata, metadata, requires, version
from pathlib import Path

import pandas as pd
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from w2s_lib.digests import digest

MODULES = (
    "errors", "digests", "progress", "specs", "data.world", "data.pairs", "data.reading", "data.rows", "data.sources",
    "data.cleaning", "data.preferences", "data.refusals", "data.load", "models.ladder", "models.folders",
    "models.names", "models.checkpoints", "models.budget", "models.packing", "models.scores", "models.features",
    "models.pretrain", "training.labels", "training.losses", "training.tokens", "training.trl_settings",
    "training.reward_model", "training.shards", "training.probe", "training.policy", "training.train",
    "training.sealed_process", "training.sealed", "training.submission", "training.society", "training.search",
    "training.judgement",
)  # fmt: skip
"""Modules that a run goes through: a change of one may change its numbers."""


def _needed(package: str) -> tuple[str, ...]:
    """The packages that an installed one depends on, without those of its extras."""
    wanted = map(Requirement, requires(package) or ())
    return tuple(r.name for r in wanted if r.marker is None or r.marker.evaluate({"extra": ""}))


PACKAGES = _needed("w2s-deception")
"""Packages that the project pins."""

MAKERS = ("torch", "transformers", "trl", "peft", "datasets", "accelerate", "tokenizers", "numpy", "pandas")
"""Packages whose version may change the numbers of a run; the others draw, build and schedule."""


@lru_cache(maxsize=1)
def versions() -> dict[str, str]:
    """Versions of Python, of all packages that the project pins, and of ``MAKERS``."""
    return {"python": platform.python_version()} | {name: version(name) for name in (*PACKAGES, *MAKERS)}


@lru_cache(maxsize=1)
def licences() -> pd.DataFrame:
    """All packages that the project depends on, directly or not, as installed: ``package, version, licence``."""
    rows, todo = {}, [*PACKAGES]
    while todo:
        name = todo.pop()
        if canonicalize_name(name) in rows:
            continue
        told = metadata(name)
        rows[canonicalize_name(name)] = (name, told["Version"], _licence(told))
        todo += _needed(name)
    return pd.DataFrame([rows[name] for name in sorted(rows)], columns=["package", "version", "licence"])


def _licence(told: PackageMetadata) -> str:
    """What a package says of its licence: by today's field, by classifiers, or in the words of the older field."""
    classified = [line.rpartition(" :: ")[2] for line in told.get_all("Classifier") or () if line.startswith("License")]
    # not by brackets: they raise where a package has put its own reader of metadata before Python's
    said = told.get("License-Expression") or ", ".join(classified) or told.get("License") or ""
    return said.strip().split("\n")[0]


class _Bare(ast.NodeTransformer):
    """Takes out strings that stand by themselves: docstrings, of modules, functions and constants."""

    def visit_Expr(self, node: ast.Expr) -> ast.Expr | None:
        return None if isinstance(node.value, ast.Constant) and isinstance(node.value.value, str) else node


def meaning(source: str) -> str:
    """A module's syntax tree as text: comments, docstrings and line breaks leave it as it is.

    >>> meaning("def f():\\n  'Says.'\\n  return (1 +\\n 2)  # three") == meaning("def f(): return 1 + 2")
    True
    """
    return ast.dump(_Bare().visit(ast.parse(source)))


@lru_cache(maxsize=1)
def code() -> str:
    """16 hexadecimal digits that name what ``MODULES`` do, as they were when this process asked first."""
    files = (Path(__file__).parents[1] / f"{name.replace('.', '/')}.py" for name in MODULES)
    return digest("\n".join(meaning(file.read_text(encoding="utf-8")) for file in files))


def _makes(record: Mapping) -> list:
    """What a record says of the code and the versions that make the numbers."""
    found = record.get("versions", {})
    releases = [found.get(name, "").partition("+")[0] for name in MAKERS]  # "+cpu" is how a release was built
    return [record.get("code"), found.get("python", "").split(".")[:2], releases]


def is_of_other_code(record: Mapping) -> bool:
    """Whether a result, by its record, comes from other ``MODULES``, ``MAKERS`` or minor version of Python.

    One that does not say comes from others.
    """
    return _makes(record) != _makes({"code": code(), "versions": versions()})


@lru_cache(maxsize=1)
def hardware() -> str:
    """One line about this machine, e.g. ``x86_64, AMD EPYC, 2 cores, Linux``."""
    cpus = Path("/proc/cpuinfo")
    named = re.search(r"^model name\s*:\s*(.*\S)", cpus.read_text(encoding="utf-8"), re.M) if cpus.exists() else None
    model = named[1] if named else platform.processor()
    return ", ".join(filter(None, [platform.machine(), model, f"{os.cpu_count()} cores", platform.system()]))


@lru_cache(maxsize=1)
def machine() -> str:
    """8 hexadecimal digits that name where process numbers mean what they mean here.

    That is this host since it was started, and this container; where a system tells no more than its name, the name.
    """
    told = [platform.node()]
    for tell in (Path("/proc/sys/kernel/random/boot_id").read_text, lambda: os.readlink("/proc/self/ns/pid")):
        with suppress(OSError):
            told.append(tell())
    return digest("/".join(told))[:8]


def is_alive(pid: int) -> bool:
    """Whether this machine has a process of that number, anybody's."""
    try:
        os.kill(pid, 0)
    except OSError as error:  # any but this one: it is somebody else's
        return not isinstance(error, ProcessLookupError)
    return True
