"""Disks that are full, cannot be written, or are taken away: one line, and afterwards the same command goes on."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.conftest import ROOT, build_command
from tests.faults.conftest import PHASES, RUNS, TIMES, begun, check, one_line, records, start, takes_long
from tests.faults.test_concurrency import allowed
from w2s_lib.errors import exit_code
from w2s_lib.lab import Lab

OWN_DISKS = ("unshare", "--map-root-user", "--user", "--mount")

FULL = """
mount -t tmpfs -o size=$2 tmpfs $1 || exit 99
$3 -m tests.faults.train $1/store 0 2> $4/full; echo $? > $4/code
mount -o remount,size=64m $1
$3 -m tests.faults.train $1/store 0 2> $4/roomy || exit 98
cp -r $1/store $4/
mount -o remount,ro $1
$3 -m tests.faults.train $1/store 0 2> $4/read-only; test $? = 2
"""
"""Runs on a disk of so many bytes, then on a roomy one, then on one that cannot be written."""


@pytest.mark.slow
@pytest.mark.skipif(not allowed(*OWN_DISKS), reason="this machine lets nobody mount a disk of one's own")
def test_a_full_disk_is_one_line_and_loses_nothing(tmp_path, undisturbed, chance, tried):
    needed = sum(path.stat().st_size for path in undisturbed.store.root.rglob("*") if path.is_file())
    for i in range(TIMES or 1):
        disk, kept = tmp_path / f"disk-{i}", tmp_path / f"kept-{i}"
        disk.mkdir(), kept.mkdir()
        size = str(int(chance.uniform(0.1, 0.9) * needed))
        process = start_in(FULL, str(disk), size, sys.executable, str(kept))
        assert process.returncode == 0, (process.returncode, process.stderr)
        said = (kept / "full").read_text(encoding="utf-8").splitlines()
        assert (kept / "code").read_text(encoding="utf-8") == "2\n" and len(said) == 1, said
        assert said[0].startswith("error: ") and "No space left" in said[0], said
        check(kept / "store", undisturbed)
        (refused,) = (kept / "read-only").read_text(encoding="utf-8").splitlines()
        assert "cannot be written (Read-only file system)" in refused
        shutil.rmtree(kept)
    seen = "one line each; with room, the same command ended as usual"
    tried("a disk that is full at a random byte, then one that cannot be written", TIMES or 1, seen)


def start_in(script: str, *arguments: str) -> subprocess.CompletedProcess:
    """Run a shell script with disks of its own to its end."""
    command = [*OWN_DISKS, "sh", "-c", script, "sh", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=1800, encoding="utf-8")


@takes_long
def test_a_store_that_is_deleted_under_a_run(tmp_path, undisturbed, tried):
    store = tmp_path / "store"
    process = start(store, workers=1)
    deadline = time.monotonic() + 120
    while len(records(store)) < 2 and time.monotonic() < deadline:
        time.sleep(0.02)
    store.rename(tmp_path / "taken away")  # at once, whatever is being written
    shutil.rmtree(tmp_path / "taken away", ignore_errors=True)
    process_ended = process.wait(300)
    if process_ended:
        assert str(store) in one_line(process)
    lab = Lab(store, workers=0, progress=False)
    lab.run(RUNS)
    check(store, undisturbed)
    tried("a store that is deleted while runs are at work", 1, "one line, or done again; then the same numbers")


@takes_long
def test_a_store_that_is_deleted_under_a_build(tmp_path, small_book, chance, tried):
    """In each part of a build: it ends as usual or in one line, and the next one completes."""
    store, output, log, deleted = tmp_path / "store", tmp_path / "book", tmp_path / "log", 0
    for phase in PHASES:
        with log.open("w", encoding="utf-8") as stream:
            process = small_book.start(store, output, stdout=stream, stderr=stream)
            while phase not in begun(log) and process.poll() is None:
                time.sleep(0.05)
            time.sleep(chance.random() * small_book.seconds[phase])
            if store.is_dir():
                deleted += process.poll() is None
                store.rename(tmp_path / "taken away")
            shutil.rmtree(tmp_path / "taken away", ignore_errors=True)
            code = process.wait(1800)
        said = log.read_text(encoding="utf-8")
        assert code in (0, 2) and "Traceback" not in said, (code, said[-3000:])
        assert not code or said.splitlines()[-1].startswith("error: "), said[-3000:]
        assert small_book.start(store, output, stdout=subprocess.DEVNULL).wait(1800) == 0
        small_book.check(output / "html")
    assert deleted, "each build had ended"
    seen = "an end, with one line or a book; the next build completed; the same tables"
    tried("a store that is deleted at a random moment of a build", deleted, seen)


FILLS = """
mount -t tmpfs -o size=$2 tmpfs $1 || exit 99
disk=$1 kept=$3; shift 3
"$@" > $kept/full 2>&1; echo $? > $kept/code
mount -o remount,size=2g $disk
"$@" > $kept/roomy 2>&1 || exit 98
cp -r $disk/book $kept/
"""
"""A command that writes on a disk of so many bytes, then on a roomy one."""


@takes_long
@pytest.mark.skipif(not allowed(*OWN_DISKS), reason="this machine lets nobody mount a disk of one's own")
def test_a_disk_that_fills_up_under_a_build(tmp_path, small_book, chance, tried):
    parts = [sum(path.stat().st_size for path in (small_book.folder / name).rglob("*")) for name in ("store", "book")]
    times = min(TIMES, 5)
    for i in range(times):
        disk, kept = tmp_path / f"disk-{i}", tmp_path / f"kept-{i}"
        disk.mkdir(), kept.mkdir()
        command = [*build_command(disk / "store", disk / "book", small_book.edition), "--workers", "1"]
        size = int(sum(parts) * (i + chance.random()) / times * 0.95)
        process = start_in(FILLS, str(disk), str(size), str(kept), *command)
        said = (kept / "full").read_text(encoding="utf-8")
        assert process.returncode == 0, (process.stderr, said[-3000:])
        assert (kept / "code").read_text(encoding="utf-8") == "2\n" and "Traceback" not in said, said[-3000:]
        assert said.splitlines()[-1].startswith("error: ") and "No space left" in said, said[-3000:]
        small_book.check(kept / "book" / "html")
        shutil.rmtree(kept)
    seen = "one line each; with room, the same command completed the book; the same tables"
    tried("a disk that is full at a random byte of a build", times, seen)


@pytest.mark.parametrize("number", [28, 30, 122], ids=["full", "read-only", "quota"])
def test_what_the_disk_says_is_one_line(number, capsys):
    def write() -> None:
        raise OSError(number, "what the system says", "results.csv")

    assert exit_code(write) == 2
    told = capsys.readouterr().err
    assert told == (
        "error: results.csv: what the system says; make room, or let it be written; finished runs are kept, "
        "the same command goes on from there\n"
    )


@pytest.mark.parametrize(("number", "code"), [(28, 2), (13, None)], ids=["full", "forbidden"])
def test_a_tree_that_cannot_be_copied_is_one_line_where_the_disk_says_so(tmp_path, monkeypatch, capsys, number, code):
    """shutil.copytree tells all files in one error, which has no number."""
    (tmp_path / "from").mkdir()
    (tmp_path / "from" / "a.js").touch(), (tmp_path / "from" / "b.js").touch()

    def refuse(source: str, target: str) -> None:
        raise OSError(number, "what the system says", target)

    def copy() -> Path:
        return shutil.copytree(tmp_path / "from", tmp_path / "to", copy_function=refuse)

    if code is None:
        with pytest.raises(shutil.Error):
            exit_code(copy)
        return
    assert exit_code(copy) == code
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: {tmp_path / 'to'}") and "No space left on device; make room" in line


def test_a_name_that_is_too_long_for_the_disk_is_one_line(capsys):
    assert exit_code(lambda: Path("x" * 300).stat()) == 2
    assert capsys.readouterr().err == f"error: {'x' * 80}…: File name too long; use shorter names\n"


def test_other_faults_keep_their_traceback():
    with pytest.raises(FileNotFoundError):
        exit_code(lambda: json.loads((ROOT / "nowhere").read_text(encoding="utf-8")))
