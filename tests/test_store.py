"""The store: complete or absent, whatever is interrupted."""

import json
import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.small import WEAK
from w2s_lib.digests import of_file
from w2s_lib.lab.store import WEEK, DamagedError, Store, StoreError, replacing
from w2s_lib.specs import Pretrain, World

SPEC = Pretrain(world=World(seed=1), width=12)
TABLE = pd.DataFrame({"p_true": [0.1, 0.9]})


def keep(store: Store) -> Path:
    """The folder of a finished run."""
    with store.writing(SPEC) as draft:
        TABLE.to_parquet(draft.folder / "knowledge.parquet")
        (draft.folder / "weights").write_text("many", encoding="utf-8")
    return store.path(SPEC)


def test_what_is_written_is_read(tmp_path):
    store = Store(tmp_path)
    assert not store.has(SPEC)
    with store.writing(SPEC) as draft:
        TABLE.to_parquet(draft.folder / "knowledge.parquet")
        draft.notes["loss"] = 1.5
    assert store.has(SPEC)
    pd.testing.assert_frame_equal(Store(tmp_path).table(SPEC, "knowledge"), TABLE)
    record = store.record(SPEC)
    assert record["key"] == SPEC.key and Pretrain(**record["spec"]) == SPEC and record["notes"] == {"loss": 1.5}
    assert record["versions"]["torch"] and record["seconds"] >= 0


def test_an_error_leaves_nothing(tmp_path):
    store = Store(tmp_path)
    with pytest.raises(RuntimeError), store.writing(SPEC) as draft:
        TABLE.to_parquet(draft.folder / "knowledge.parquet")
        raise RuntimeError
    assert not store.has(SPEC) and not list(tmp_path.rglob("*.parquet"))


@pytest.mark.parametrize("margin", [np.nan, np.inf])
def test_scores_that_are_no_numbers_are_no_result(margin, tmp_path):
    store = Store(tmp_path)
    with pytest.raises(StoreError, match="no finite numbers: training diverged; lower learning_rate"):
        with store.writing(WEAK) as draft:
            pd.DataFrame({"margin": [0.5, margin]}).to_parquet(draft.folder / "scores.parquet")
    assert not store.has(WEAK) and not list(tmp_path.rglob("*.parquet"))


def test_a_killed_writer_leaves_no_result_and_its_draft_is_swept(tmp_path):
    code = f"""
import os, signal
from w2s_lib.specs import Pretrain, World
from w2s_lib.lab.store import Store
with Store({str(tmp_path)!r}).writing(Pretrain(world=World(seed=1), width=12)) as draft:
    (draft.folder / "knowledge.parquet").write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""
    assert subprocess.run([sys.executable, "-c", code]).returncode == -9
    store = Store(tmp_path)
    assert not store.has(SPEC) and len(list(tmp_path.rglob("knowledge.parquet"))) == 1
    assert store.sweep_drafts() == 1
    assert not list(tmp_path.rglob("knowledge.parquet"))


def test_drafts_of_living_processes_are_left_alone(tmp_path):
    store = Store(tmp_path)
    with store.writing(SPEC) as draft:
        assert store.sweep_drafts() == 0 and draft.folder.is_dir()


def test_the_second_of_two_writers_changes_nothing(tmp_path):
    store = Store(tmp_path)
    with store.writing(SPEC) as draft:
        TABLE.to_parquet(draft.folder / "knowledge.parquet")
        moved = store.path(SPEC)
        moved.mkdir()
        (moved / "record.json").write_text(json.dumps({"first": True}), encoding="utf-8")
    assert store.record(SPEC) == {"first": True}


def test_an_unwritable_store_is_refused_in_one_line(tmp_path):
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(StoreError, match="store=.*cannot be written .* allowed: a folder you can write to") as error:
        Store(tmp_path / "file" / "store")
    assert "\n" not in str(error.value)


def test_a_missing_table_is_named(tmp_path):
    with pytest.raises(StoreError, match="no table 'scores'"):
        Store(tmp_path).table(SPEC, "scores")


def test_look_up_touches_one_path_only(tmp_path, monkeypatch):
    """Its cost does not grow with the number of results."""
    store = Store(tmp_path)
    monkeypatch.setattr(os, "listdir", lambda *_: pytest.fail("listed a folder"))
    monkeypatch.setattr(os, "scandir", lambda *_: pytest.fail("scanned a folder"))
    assert not store.has(SPEC)


def test_pages_are_kept_whole_and_once(tmp_path):
    store = Store(tmp_path)
    assert store.page("ab12") is None
    store.keep_page("ab12", {"page.ipynb": b"{}", "seconds": b"1.5"})
    store.keep_page("ab12", {"page.ipynb": b"other"})
    assert store.page("ab12") == {"page.ipynb": b"{}", "seconds": b"1.5"}
    assert not list(tmp_path.rglob(".draft-*"))


def test_writers_at_the_same_time_keep_one_whole_result(tmp_path):
    together = threading.Barrier(8)

    def write(_: int) -> None:
        with Store(tmp_path).writing(SPEC) as draft:
            TABLE.to_parquet(draft.folder / "knowledge.parquet")
            together.wait(10)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(8)))
    pd.testing.assert_frame_equal(Store(tmp_path).table(SPEC, "knowledge"), TABLE)
    assert not list(tmp_path.rglob(".draft-*")) and not (tmp_path / "aside").exists()


def test_half_a_copy_in_the_way_is_set_aside(tmp_path, capsys):
    store = Store(tmp_path)
    store.path(SPEC).mkdir(parents=True)
    (store.path(SPEC) / "knowledge.parquet").write_text("half", encoding="utf-8")
    keep(store)
    assert store.has(SPEC) and len(store.table(SPEC, "knowledge")) == 2
    assert [path.read_text(encoding="utf-8") for path in tmp_path.glob("aside/*/knowledge.parquet")] == ["half"]
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and f"{store.path(SPEC)} has no record.json; set aside in {tmp_path / 'aside'}" in said


def test_half_a_page_in_the_way_is_set_aside_and_a_damaged_one_is_none(tmp_path, capsys):
    store = Store(tmp_path)
    page = tmp_path / "page" / "ab" / "ab12"
    page.mkdir(parents=True)
    (page / "page.ipynb").write_text("half", encoding="utf-8")
    assert store.page("ab12") is None
    store.keep_page("ab12", {"page.ipynb": b"{}", "seconds": b"1.5"})
    assert store.page("ab12") == {"page.ipynb": b"{}", "seconds": b"1.5"}
    (page / "seconds").unlink()
    assert store.page("ab12") is None
    assert not page.exists() and len(list(tmp_path.glob("aside/ab12-*"))) == 2
    assert f"{page / 'seconds'} is missing; set aside" in capsys.readouterr().err


def test_a_store_is_opened_by_many_at_once(tmp_path):
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(Store, [tmp_path] * 400))
    assert not list(tmp_path.iterdir())


def test_drafts_are_left_alone_where_there_is_no_proc(tmp_path, monkeypatch):
    exists = Path.exists
    monkeypatch.setattr(Path, "exists", lambda self: not str(self).startswith("/proc") and exists(self))
    store = Store(tmp_path)
    with store.writing(SPEC) as draft:
        assert store.sweep_drafts() == 0 and draft.folder.is_dir()


def test_drafts_of_other_machines_are_swept_after_a_week(tmp_path):
    """A process of the same number may live there, or here."""
    store = Store(tmp_path)
    drafts = [
        store.path(SPEC).parent / f".draft-{SPEC.key}-{name}" for name in ("0123abcd-00-1", "0123abcd-11-1", "node-7-1")
    ]
    for draft in drafts:
        draft.mkdir(parents=True)
        (draft / "weights").write_text("many", encoding="utf-8")
    assert store.sweep_drafts() == 0
    past = time.time() - WEEK - 60
    for draft in drafts:
        os.utime(draft, (past, past))
    for draft in drafts[1:]:
        os.utime(draft / "weights", (past, past))
    assert store.sweep_drafts() == 2 and drafts[0].is_dir(), "something in it was written lately"


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-9])


def other(path: Path) -> None:
    TABLE.iloc[::-1].to_parquet(path)


def say(path: Path, **fields: object) -> None:
    """Let a record say something else, as if it had been written so."""
    record = {
        name: value
        for name, value in json.loads(path.read_text(encoding="utf-8")).items()
        if name not in ("digest", "sealed")
    }
    path.write_text(json.dumps(record | fields), encoding="utf-8")


@pytest.mark.parametrize(
    ("file", "harm", "says"),
    [
        ("knowledge.parquet", cut, "is not what was written"),
        ("knowledge.parquet", other, "is not what was written"),
        ("knowledge.parquet", Path.unlink, "is missing"),
        ("record.json", cut, "cannot be read"),
        ("record.json", lambda path: path.write_text("null", encoding="utf-8"), "is no record"),
        (
            "record.json",
            lambda path: path.write_text(path.read_text(encoding="utf-8").replace("torch", "tosch"), encoding="utf-8"),
            "is not what was",
        ),
        ("record.json", lambda path: say(path, scheme=4), "is of scheme 4, here it is 3"),
        ("record.json", lambda path: say(path, key="0123"), "is that of another run, 0123"),
    ],
)
def test_a_damaged_table_is_named_and_set_aside(file, harm, says, tmp_path, capsys):
    store = Store(tmp_path)
    folder = keep(store)
    assert store.record(SPEC)["files"] == {name: of_file(folder / name) for name in ("knowledge.parquet", "weights")}
    harm(folder / file)
    with pytest.raises(DamagedError, match=says) as error:
        store.table(SPEC, "knowledge")
    assert str(folder / file) in str(error.value) and "\n" not in str(error.value)
    store.set_aside(SPEC, error.value)
    said = capsys.readouterr().err
    assert str(folder / file) in said and says in said and said.count("\n") == 1
    assert not store.has(SPEC) and len(list(tmp_path.glob("aside/*/weights"))) == 1
    store.set_aside(SPEC, error.value)  # another process was faster
    assert not capsys.readouterr().err


def test_what_a_child_run_reads_is_verified(tmp_path):
    store = Store(tmp_path)
    weights = keep(store) / "weights"
    store.verify(SPEC)
    weights.write_text("most", encoding="utf-8")
    with pytest.raises(DamagedError, match="weights is not what was written"):
        store.verify(SPEC)


def test_a_record_without_digests_is_believed_and_what_cannot_be_read_is_damaged(tmp_path):
    store = Store(tmp_path)
    table = keep(store) / "knowledge.parquet"
    record = store.record(SPEC)
    del record["files"], record["digest"], record["sealed"]
    (table.parent / "record.json").write_text(json.dumps(record), encoding="utf-8")
    other(table)
    store.verify(SPEC)
    assert store.table(SPEC, "knowledge")["p_true"].tolist() == [0.9, 0.1]
    cut(table)
    with pytest.raises(DamagedError, match="knowledge.parquet cannot be read"):
        store.table(SPEC, "knowledge")
    table.unlink()
    with pytest.raises(DamagedError, match="knowledge.parquet is missing"):
        store.table(SPEC, "knowledge")


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path):
    path = tmp_path / "results.csv"
    path.write_text("old", encoding="utf-8")
    with pytest.raises(RuntimeError), replacing(path) as draft:
        draft.write_text("ne", encoding="utf-8")
        raise RuntimeError
    assert path.read_text(encoding="utf-8") == "old"
    with replacing(path) as draft:
        draft.write_text("new", encoding="utf-8")
        assert path.read_text(encoding="utf-8") == "old" and draft.suffix == ".csv"
    assert path.read_text(encoding="utf-8") == "new" and list(tmp_path.iterdir()) == [path]
