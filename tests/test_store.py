"""The store: complete or absent, whatever is interrupted."""

import json
import os
import subprocess
import sys

import pandas as pd
import pytest

from w2s_lib.run import Pretrain, World
from w2s_lib.store import Store, StoreError

SPEC = Pretrain(world=World(seed=1), width=12)
TABLE = pd.DataFrame({"p_true": [0.1, 0.9]})


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


def test_a_killed_writer_leaves_no_result_and_its_draft_is_swept(tmp_path):
    code = f"""
import os, signal
from w2s_lib.run import Pretrain, World
from w2s_lib.store import Store
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
        (moved / "record.json").write_text(json.dumps({"first": True}))
    assert store.record(SPEC) == {"first": True}


def test_an_unwritable_store_is_refused_in_one_line(tmp_path):
    (tmp_path / "file").write_text("")
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
