"""A submitted mitigation: looked at without running it, then run where no truth is.

A submission is one Python file with one function, ``mitigate(pairs, weak, features)``, that returns labels, or labels
and which pairs to keep, and may name a loss, ``LOSS = "reverse_kl"``.  It runs in a process of its own
(``sealed_process``): a temporary empty folder, an emptied environment, no module of this library, limits of time and
memory.  That process is given texts in an order that tells nothing, the weak supervisor's probabilities in that order,
and features; it never holds the truth.

What this withstands is curiosity and mistakes.  It does not withstand malice: code that reads files by C and not by
Python is not seen by the audit hook, and a world whose seed is public can be drawn again by anyone who copies its
generator.  Who must be safe from that runs submissions on a machine without the store, and keeps a secret.
"""

from __future__ import annotations

import ast
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple, get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from w2s_lib.errors import OneLineError, nearest, plain
from w2s_lib.specs import Loss
from w2s_lib.training import sealed_process

FUNCTION, TAKES = "mitigate", ("pairs", "weak", "features")
SECONDS = 60
"""Time that a submission may take for one study seed."""

START = 60
"""Seconds that its process may take besides, to begin and to end."""

MEMORY = 2 << 30
"""Bytes that it may take beyond what its libraries do."""

LIBRARIES = (
    "numpy", "pandas", "scipy", "scipy.cluster", "scipy.linalg", "scipy.optimize", "scipy.sparse", "scipy.spatial",
    "scipy.special", "scipy.stats", "sklearn", "statsmodels", "torch",
)  # fmt: skip
"""What is imported for a submission before its process is sealed, where its file names it."""


class SubmissionError(OneLineError):
    """A submission that cannot be used: its name, the line where there is one, and what is wrong."""

    def __init__(self, name: str, line: int | None, says: str) -> None:
        super().__init__(f"{name}{f', line {line}' if line else ''}: {says}")


class Asked(NamedTuple):
    """All that a submission gets to see."""

    pairs: pd.DataFrame
    """``prompt``, ``first``, ``second``."""
    weak: NDArray[np.float64]
    """The weak supervisor's probability that ``first`` is better, shape (n,)."""
    features: NDArray[np.float32]
    """What the student's pretrained model makes of first and second, shape (n, 2, width)."""


def check_submission(code: str, name: str = "submission") -> ast.Module:
    """Look at a submission without running it; returns its syntax tree.

    Raises:
        SubmissionError: it is no Python, or does not define one function ``mitigate(pairs, weak, features)``.
    """
    try:
        tree = ast.parse(code)
    except SyntaxError as error:
        raise SubmissionError(name, error.lineno, f"is no Python ({error.msg})") from None
    except (ValueError, RecursionError, MemoryError) as error:
        raise SubmissionError(name, None, f"is no Python ({error})") from None
    defined = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
    wanted = [node for node in defined if node.name == FUNCTION]
    needs = f"one function {FUNCTION}({', '.join(TAKES)}) is needed"
    if not wanted:
        others = f"; it defines {', '.join(node.name for node in defined)}" if defined else ""
        raise SubmissionError(name, None, f"{needs}, and there is none{others}")
    if len(wanted) > 1:
        raise SubmissionError(name, wanted[1].lineno, f"{needs}; this is another one")
    its = wanted[0].args
    most = len(its.posonlyargs) + len(its.args)
    if not (most - len(its.defaults) <= len(TAKES) <= (np.inf if its.vararg else most)) or None in its.kw_defaults:
        raise SubmissionError(name, wanted[0].lineno, f"{needs}; this one takes ({ast.unparse(its)})")
    return tree


def loss(tree: ast.Module, name: str = "submission") -> Loss:
    """The loss that a submission names, ``LOSS = "reverse_kl"`` say, read and never run; ``forward`` where it does not.

    Raises:
        SubmissionError: ``LOSS`` is not given once, outside of all else, as literal text, or there is no such loss.
    """
    written = [node for node in ast.walk(tree) if isinstance(node, ast.Name) and node.id == "LOSS"]
    plainly = [node for node in tree.body if isinstance(node, ast.Assign) and node.targets == written]
    if not written:
        return "forward"
    if not plainly:
        says = 'LOSS is read off one line of its own, such as LOSS = "reverse_kl"'
        raise SubmissionError(name, written[0].lineno, says)
    found = getattr(plainly[0].value, "value", None)
    if found not in get_args(Loss):
        says = f"LOSS is {ast.unparse(plainly[0].value)}; {nearest(str(found), list(get_args(Loss)))}"
        raise SubmissionError(name, plainly[0].lineno, says)
    return found


def answer(
    code: str, asked: Asked, name: str = "submission", seconds: int = SECONDS, memory: int = MEMORY
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """The submission's labels, probabilities that ``first`` is better, and which pairs it keeps; both of shape (n,).

    Raises:
        SubmissionError: it cannot be used, fails, asks for what is sealed, or gives no such labels.
    """
    tree = check_submission(code, name)
    loss(tree, name)
    modules = _named(tree)
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        (home / "code.py").write_text(code, encoding="utf-8")
        texts = {column: asked.pairs[column].to_numpy(dtype=str) for column in ("prompt", "first", "second")}
        np.savez(home / "asked.npz", **texts, weak=asked.weak, features=asked.features)
        # Not -I, which would forget that the order of a set is to be the same every time.
        program = [sys.executable, "-s", "-P", "-B", sealed_process.__file__, folder, str(seconds), str(memory)]
        environment = {"PYTHONHASHSEED": "0", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        environment |= {"HOME": folder, "TMPDIR": folder, "USER": "nobody"}  # where torch wants to keep things
        how = {"cwd": folder, "env": environment, "stdin": subprocess.DEVNULL, "timeout": seconds + START}
        with (home / "printed").open("wb") as printed:
            try:
                ended = subprocess.run([*program, *modules], stdout=printed, stderr=subprocess.STDOUT, **how).returncode
            except subprocess.TimeoutExpired:
                raise SubmissionError(name, None, _limits(seconds, memory)["TooLong"]) from None
        return _read(home, len(asked.weak), name, ended, _limits(seconds, memory))


def _named(tree: ast.Module) -> list[str]:
    """Of ``LIBRARIES``, those that a file names, and what belongs to them."""
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module}
    first = {name.split(".")[0] for name in names}
    return [library for library in LIBRARIES if library.split(".")[0] in first]


def _limits(seconds: int, memory: int) -> dict[str, str]:
    """What is said of a limit that was reached."""
    return {
        "TooLong": f"takes more than {seconds} s: no submission may take longer",
        "MemoryError": f"needs more than {memory / (1 << 30):.2g} GiB of memory: no submission may take more",
        "TooMuch": f"prints or writes more than {sealed_process.PRINTED >> 20} MiB: say less",
    }


def _read(
    home: Path, n: int, name: str, ended: int, limits: dict[str, str]
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """What a process left in its folder, if it is what was asked for."""
    if (home / "fault.json").is_file():
        try:
            line, says = json.loads((home / "fault.json").read_text(encoding="utf-8"))
        except ValueError:  # cut, for the disk was full of what it had printed
            line, says = None, "TooMuch"
        raise SubmissionError(name, line, limits.get(says, plain(says)))
    if (home / "printed").stat().st_size >= sealed_process.PRINTED:
        raise SubmissionError(name, None, limits["TooMuch"])
    if not (home / "answer.npz").is_file():
        how = f"was ended by signal {-ended}" if ended < 0 else f"ended with {ended}"
        raise SubmissionError(name, None, f"gives no answer; its process {how}")
    try:
        with np.load(home / "answer.npz", allow_pickle=False) as given:
            return checked(given["labels"], given["keep"], n, name)
    except (OSError, KeyError) as error:
        raise SubmissionError(name, None, f"gives no answer ({error})") from None


def checked(
    labels: NDArray, keep: NDArray, n: int, name: str = "submission"
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Labels and what is kept, if they are what was asked for.

    Raises:
        SubmissionError: other shapes or kinds, labels that are no numbers or not within [0, 1], or nothing is kept.
    """
    for what, given in (("label", labels), ("keep", keep)):
        if given.shape != (n,):
            raise SubmissionError(name, None, f"{what} has shape {given.shape}; one for each pair is needed, ({n},)")
    if labels.dtype.kind not in "biuf":
        raise SubmissionError(name, None, f"label is of kind {labels.dtype}; numbers from 0 to 1 are needed")
    if keep.dtype != bool and not (keep.dtype.kind in "iuf" and np.isin(keep, (0, 1)).all()):
        raise SubmissionError(name, None, f"keep is of kind {keep.dtype}; true or false is needed for each pair")
    labels, keep = labels.astype(float), keep.astype(bool)
    if not keep.any():
        raise SubmissionError(name, None, f"keeps none of {n} pairs; one at least is needed to train on")
    odd = np.flatnonzero(keep & ~((labels >= 0) & (labels <= 1)))
    if len(odd):
        says = f"label is {labels[odd[0]]:g} for pair {odd[0]}" + (f" and {len(odd) - 1} more" if odd[1:].size else "")
        raise SubmissionError(name, None, f"{says}; it must lie between 0 and 1")
    return labels, keep
