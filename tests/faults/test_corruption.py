"""One bit of any file of a store turns over: it is found on reading, named, set aside, and the run done again."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator

import pytest

from tests.faults.conftest import RUNS, TIMES, check
from tests.small import LARGE, SMALL, STUDENT, WEAK
from w2s_lib.lab import Lab
from w2s_lib.lab.store import DamagedError, Store, StoreError
from w2s_lib.specs import Train


def files(lab: Lab) -> list[tuple[Train, str]]:
    """Every kind of file that the five runs leave, once: the run, and the file's path in its folder."""
    found = {}
    for spec in (LARGE, SMALL, WEAK, STUDENT):
        folder = lab.store.path(spec)
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                found.setdefault((type(spec), path.name), (spec, path.relative_to(folder).as_posix()))
    return list(found.values())


@pytest.mark.slow
def test_one_bit_of_each_kind_of_file(tmp_path, undisturbed, chance, capsys, tried):
    kinds = files(undisturbed)
    assert len(kinds) >= 6, "tables, weights, their settings, and records"
    times = 0
    for turn in range(3 if TIMES else 1):
        for spec, name in kinds:
            copy = tmp_path / f"{turn}-{times}"
            shutil.copytree(undisturbed.store.root, copy)
            lab = Lab(copy, workers=0, progress=False)
            for child in RUNS:
                if spec in child.parents():
                    shutil.rmtree(lab.store.path(child))  # so that somebody reads what the parent left
            path = lab.store.path(spec) / name
            content = bytearray(path.read_bytes())
            content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
            path.write_bytes(content)
            lab.run(RUNS), lab.of_other_code(RUNS)
            lab.scores(WEAK)
            check(copy, undisturbed)
            said = capsys.readouterr().err
            assert str(path) in said and said.count("set aside in") == 1, (name, said)
            shutil.rmtree(copy)
            times += 1
    tried("one random bit of each kind of file of a store", times, "each found, named, set aside, and done again")


def with_each_bit_turned_over(content: bytes) -> Iterator[bytes]:
    for place in range(8 * len(content)):
        turned = bytearray(content)
        turned[place // 8] ^= 1 << place % 8
        yield bytes(turned)


@pytest.mark.slow
def test_every_bit_of_a_record(tmp_path):
    """A run's and a page's, their own digests and what says that there are some included."""
    store = Store(tmp_path)
    with store.writing(SMALL) as draft:
        (draft.folder / "weights").write_text("many", encoding="utf-8")
    for content in with_each_bit_turned_over((path := store.path(SMALL) / "record.json").read_bytes()):
        path.write_bytes(content)
        with pytest.raises(DamagedError):
            store.record(SMALL)
    store.keep_page("ab12", {"seconds": b"1.5"})
    for content in with_each_bit_turned_over((tmp_path / "page/ab/ab12/record.json").read_bytes()):
        store.keep_page("ab12", {"seconds": b"1.5"})
        (tmp_path / "page/ab/ab12/record.json").write_bytes(content)
        assert store.page("ab12") is None


def test_one_bit_of_each_file_of_a_model_that_comes_with_the_book(tmp_path, chance):
    given = Store(tmp_path / "given")
    with given.writing(SMALL) as draft:
        for name in ("model.safetensors", "knowledge.parquet", "config.json"):
            (draft.folder / name).write_text(f"what {name} holds", encoding="utf-8")
    lab = Lab(tmp_path / "store", workers=0, progress=False, given=Store(given.root, read_only=True))
    for path in sorted(given.path(SMALL).iterdir()):
        content = bytearray(whole := path.read_bytes())
        content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
        path.write_bytes(content)
        with pytest.raises(StoreError, match=f"^{re.escape(str(path))} [^\n]*restore it \\(git checkout\\)$"):
            lab.run([SMALL])
        assert not lab.store.has(SMALL)
        path.write_bytes(whole)
    assert lab.run([SMALL]) == 0 and lab.store.record(SMALL) == given.record(SMALL)


def test_one_bit_of_each_file_of_a_page(tmp_path, chance, capsys):
    store = Store(tmp_path)
    for name in ("page.ipynb", "seconds", "results.csv", "record.json"):
        store.keep_page("ab12", {"page.ipynb": b'{"cells": []}', "seconds": b"1.5", "results.csv": b"a,b\n1,2\n"})
        path = tmp_path / "page" / "ab" / "ab12" / name
        content = bytearray(path.read_bytes())
        content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
        path.write_bytes(content)
        assert store.page("ab12") is None and "set aside in" in capsys.readouterr().err
