"""The process in which a submitted function runs: it holds the function's inputs, and nothing that tells the truth.

    python -s -P -B sealed_process.py FOLDER SECONDS BYTES [MODULE …]

``FOLDER`` has ``code.py`` and ``asked.npz``; ``answer.npz`` or ``fault.json`` is left there.  Each ``MODULE`` is
imported before the process is sealed.  Runs by itself: it imports nothing of this library.
"""

from __future__ import annotations

import importlib
import json
import os
import random
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

NAME = "<submission>"
"""What the submitted file is called in tracebacks."""

LIBRARY = Path(__file__).resolve().parents[1]
PRINTED = 1 << 20
"""Bytes that a submission may print, or write to a file."""

FINE = ("os.putenv", "os.unsetenv")
"""Events that begin as ``REFUSED`` ones do and concern this process alone; libraries set variables as they load."""

LOOKS = ("os.listdir", "os.scandir", "os.walk", "os.fwalk", "glob.glob", "glob.glob/2")
"""Events that name a path to look at, as ``open`` does."""

CHANGES = ("os.mkdir", "os.remove", "os.rmdir", "os.utime", "os.rename", "os.chmod", "shutil.rmtree")
"""Events that name a path, or two, to be changed."""

REFUSED = (
    "os.", "subprocess.", "socket.", "ctypes.", "shutil.", "pty.", "mmap.", "fcntl.", "sqlite3.", "urllib.", "http.",
    "ftplib.", "smtplib.", "webbrowser.", "winreg.", "_winapi.", "signal.", "resource.", "syslog.", "sys.settrace",
    "sys.setprofile", "sys.addaudithook", "cpython.remote", "cpython.run",
)  # fmt: skip
"""How events begin that no function of labels needs."""


class Sealed(PermissionError):
    """What a submission asked for, and does not get."""


class TooLong(BaseException):
    """It has run for as long as it may; no ``except Exception`` goes on from here."""


def line_of(frame: object) -> int | None:
    """The line of the submission that a frame, or what called it, is at."""
    while frame is not None and frame.f_code.co_filename != NAME:
        frame = frame.f_back
    return None if frame is None else frame.f_lineno


def refuse_the_rest(folder: str, readable: tuple[str, ...], asked_for: list[tuple[int | None, str]]) -> None:
    """From here on, files outside of ``folder`` and ``readable``, and all that ``REFUSED`` names, are refused.

    What is asked for all the same is noted in ``asked_for``: a submission that goes on as if nothing were is known.
    """
    writes = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
    real, decode, within = os.path.realpath, os.fsdecode, lambda path, root: path == root or path.startswith(root + "/")
    frame = sys._getframe

    def allowed(path: object, is_written: bool = False) -> bool:
        if path is None or isinstance(path, int):  # what is open already
            return True
        path = real(decode(path))
        return within(path, folder) or (not is_written and any(within(path, root) for root in readable))

    def hook(event: str, args: tuple) -> None:
        if event == "open":
            path, mode, flags = args
            is_written = any(c in (mode or "") for c in "wax+") or bool((flags or 0) & writes)
            fine, says = allowed(path, is_written), f"opens {path!r}"
        elif event == "import":
            fine, says = args[0].split(".")[0] != LIBRARY.name and allowed(args[1]), f"imports {args[0]}"
        elif event in LOOKS:
            fine, says = allowed(args[0]), f"looks into {args[0]!r}"
        elif event in CHANGES:
            paths = args[:2] if event == "os.rename" else args[:1]
            fine, says = all(allowed(path, True) for path in paths), f"changes {args[0]!r}"
        else:
            fine, says = event in FINE or not event.startswith(REFUSED), f"calls {event}"
        if not fine:
            asked_for.append((line_of(frame()), says))
            raise Sealed(says)

    sys.addaudithook(hook)


def limit(seconds: int, memory: int) -> None:
    """Limits of time, memory and files, as far as this system knows them; an alarm comes first, and tells the line."""
    import resource

    def late(*_: object) -> None:
        raise TooLong

    signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    resource.setrlimit(resource.RLIMIT_FSIZE, (PRINTED, PRINTED))
    statm = Path("/proc/self/statm")
    if statm.is_file():  # elsewhere address space is not counted
        most = int(statm.read_text(encoding="ascii").split()[0]) * resource.getpagesize() + memory
        resource.setrlimit(resource.RLIMIT_AS, (most, most))


def call(folder: Path, limits: Callable[[], None]) -> tuple[np.ndarray, np.ndarray]:
    """Labels and what is kept, as the submission gives them; shapes and values are not looked at here."""
    code = compile((folder / "code.py").read_bytes(), NAME, "exec")
    with np.load(folder / "asked.npz", allow_pickle=False) as asked:
        pairs = pd.DataFrame({name: asked[name].astype(object) for name in ("prompt", "first", "second")})
        weak, features = asked["weak"], asked["features"]
    limits()
    random.seed(0)
    np.random.seed(0)  # what draws without a seed of its own gives the same labels again
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(0)
    space: dict[str, object] = {"__name__": "submission"}
    exec(code, space)
    given = space["mitigate"](pairs, weak, features)
    labels, keep = given if isinstance(given, tuple) and len(given) == 2 else (given, np.ones(len(weak), dtype=bool))
    return np.asarray(labels), np.asarray(keep)


def fault(error: BaseException) -> tuple[int | None, str]:
    """The submission's line, and what went wrong there."""
    at, trace = None, error.__traceback__
    while trace is not None:
        at = trace.tb_lineno if trace.tb_frame.f_code.co_filename == NAME else at
        trace = trace.tb_next
    if isinstance(error, TooLong):
        return at, "TooLong"
    says = " ".join(str(error).split())[:200]
    if isinstance(error, MemoryError) or "allocate memory" in says:
        return at, "MemoryError"
    if isinstance(error, OSError) and error.errno == 27:  # EFBIG
        return at, "TooMuch"
    return at, f"raises {type(error).__name__}" + (f": {says}" if says else "")


def main(folder: str, seconds: str, memory: str, *modules: str) -> None:
    for module in modules:
        try:
            importlib.import_module(module)
        except ImportError:  # the submission's own import says so, at its line
            pass
    home, asked_for = os.path.realpath(folder), []
    readable = {os.path.realpath(path) for path in sys.path if path} - {str(LIBRARY.parent)}

    def limits() -> None:
        limit(int(seconds), int(memory))
        refuse_the_rest(home, (*readable, os.devnull), asked_for)

    try:
        labels, keep = call(Path(home), limits)
        failed = None
    except BaseException as error:
        failed = fault(error)
    signal.setitimer(signal.ITIMER_REAL, 0)
    if asked_for:
        failed = asked_for[0][0], f"{asked_for[0][1]}, which is sealed"
    if failed is None and (labels.dtype == object or keep.dtype == object):
        failed = None, "returns something else than numbers"
    if failed is None:
        np.savez(Path(home, "answer.npz"), labels=labels, keep=keep)
    else:
        Path(home, "fault.json").write_text(json.dumps(failed), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
