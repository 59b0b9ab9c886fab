"""Several at once on one store: each run is done once, or twice without harm, and all end."""

from __future__ import annotations

import subprocess
import sys

from tests.conftest import ROOT
from tests.faults.conftest import check, start, takes_long

OTHER_HOST = ("unshare", "--map-root-user", "--user", "--pid", "--fork", "--mount-proc", "--uts")
"""What gives a process process numbers and a host of its own, as in another container."""


def allowed(*command: str) -> bool:
    """Whether this machine lets a process make namespaces of its own."""
    try:
        return subprocess.run([*command, "true"], capture_output=True).returncode == 0
    except FileNotFoundError:
        return False


@takes_long
def test_processes_and_hosts_share_a_store(tmp_path, undisturbed, tried):
    """Those on hosts of their own, where they can be had, have the same process numbers, which are not each other's."""
    others = OTHER_HOST if allowed(*OTHER_HOST) else ()
    processes = [start(tmp_path, 0, *others), start(tmp_path, 0, *others), start(tmp_path), start(tmp_path, 1)]
    for process in processes:
        _, told = process.communicate(timeout=600)
        assert process.returncode == 0, told
    check(tmp_path, undisturbed)
    hosts = "two on one host and two on hosts of their own" if others else "four on one host"
    tried(
        "five small runs asked for by four processes at once",
        len(processes),
        f"{hosts}: all ended with the same numbers",
    )


@takes_long
def test_builds_and_notebooks_share_a_store(tmp_path, small_book, tried):
    store = tmp_path / "store"
    builds = [small_book.start(store, tmp_path / name, stderr=subprocess.PIPE, text=True) for name in ("one", "two")]
    chapters = ["01_tour", "04_weak_to_strong", "05_conflict_tax_deception"]
    ask = ["-p", "edition", "smoke", "-p", "store", str(store), "-p", "workers", "1", "--no-progress-bar"]
    readers = [
        subprocess.Popen(
            [sys.executable, "-m", "papermill", f"{name}.ipynb", str(tmp_path / f"{name}.ipynb"), *ask],
            cwd=ROOT / "notebooks", stderr=subprocess.PIPE, text=True, encoding="utf-8",
        )
        for name in chapters
    ]  # fmt: skip
    for process in (*builds, *readers):
        _, told = process.communicate(timeout=3600)
        assert process.returncode == 0, told[-3000:]
    for name in ("one", "two"):
        small_book.check(tmp_path / name / "html")
    assert not list(store.rglob(".draft-*"))
    tried("two builds and three notebooks on one empty store", 5, "all ended; the same tables twice")
