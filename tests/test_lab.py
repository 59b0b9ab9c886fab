"""The lab: parents first, nothing twice, the same results whatever the workers and the order, nothing lost on
failure."""

import json
import os
import shutil
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import w2s_lib.training.train
from tests.small import LARGE, PAIRS, RERUN, SMALL, STUDENT, WEAK, WORLD
from w2s_lib.data import world
from w2s_lib.data.pairs import PairsError
from w2s_lib.data.reading import DataError
from w2s_lib.data.sources import source
from w2s_lib.errors import ParameterError
from w2s_lib.lab import Lab
from w2s_lib.lab.cluster import _as_copies, worker_specs
from w2s_lib.lab.execute import RunError, execute
from w2s_lib.lab.graph import closure, describe, wants_gpu
from w2s_lib.lab.provenance import code
from w2s_lib.lab.store import StoreError
from w2s_lib.specs import Checkpoint, Conflict, Features, Layer, Pretrain, Recipe, Source, Texts, Train


@pytest.fixture(scope="module")
def here(tmp_path_factory) -> Lab:
    lab = Lab(tmp_path_factory.mktemp("here"), workers=0, progress=False)
    assert lab.run([STUDENT, RERUN]) == 5
    return lab


def test_closure_puts_parents_first_and_each_run_once():
    order = closure([STUDENT, RERUN, WEAK])
    assert len(order) == 5
    for spec in order:
        assert all(order.index(parent) < order.index(spec) for parent in spec.parents())


def test_what_exists_is_not_run_again(here):
    assert here.missing([STUDENT]) == []
    assert here.run([STUDENT, RERUN]) == 0


@pytest.mark.slow
def test_same_results_with_two_workers_in_another_order(here, tmp_path):
    lab = Lab(tmp_path, workers=2, progress=False)
    assert lab.run([RERUN, WEAK, STUDENT]) == 5
    for spec in (WEAK, STUDENT, RERUN):
        assert (lab.scores(spec)["margin"].to_numpy() == here.scores(spec)["margin"].to_numpy()).all(), "bit-identical"
    assert (lab.knowledge(LARGE)["p_true"] == here.knowledge(LARGE)["p_true"]).all()


def test_scores_cover_test_and_weak_label_pairs(here):
    assert len(here.scores(STUDENT)) == 40 and len(here.scores(STUDENT, "weak_label")) == 40
    frame = here.scores(STUDENT)
    assert frame["p_true"].to_numpy() == pytest.approx(1 / (1 + np.exp(-frame["margin"].to_numpy())))


def test_a_rerun_differs_in_its_streams_only(here):
    assert not np.allclose(here.scores(STUDENT)["margin"], here.scores(RERUN)["margin"])


@pytest.mark.parametrize("workers", [0, pytest.param(2, marks=pytest.mark.slow)])
def test_a_failed_run_is_named_and_the_others_are_kept(workers, tmp_path, monkeypatch):
    poor = Pretrain(world=WORLD, width=12, heads=5, tokens=20_000)  # a width that five heads cannot share
    lab = Lab(tmp_path, workers=workers, progress=False)
    with pytest.raises(RunError, match=f"run {poor.key} .*failed: ") as error:
        lab.run([WEAK, poor])
    assert "\n" not in str(error.value)
    assert lab.store.has(SMALL) and lab.store.has(WEAK)


def test_a_training_that_diverges_is_one_line(here):
    run = Train(model=SMALL, pairs=PAIRS, split="ground_truth", recipe=Recipe(learning_rate=1e30))
    with pytest.raises(RunError, match=f"run {run.key} .*training diverged; lower learning_rate"):
        here.run([run])
    assert not here.store.has(run)


def test_an_interrupt_keeps_what_is_finished(tmp_path, monkeypatch):
    lab = Lab(tmp_path, workers=0, progress=False)
    original = w2s_lib.training.train.train

    def interrupted(run, *arguments, **named):
        if run == STUDENT:
            raise KeyboardInterrupt
        return original(run, *arguments, **named)

    monkeypatch.setattr(w2s_lib.training.train, "train", interrupted)
    with pytest.raises(KeyboardInterrupt):
        lab.run([WEAK, STUDENT])
    monkeypatch.undo()
    assert lab.missing([STUDENT]) == [STUDENT], "goes on from what was finished"


def test_executing_a_finished_run_does_nothing(here):
    before = here.store.record(WEAK)
    assert execute(WEAK, here.store.root) == WEAK.key
    assert here.store.record(WEAK) == before


def test_descriptions_tell_runs_apart():
    assert len({describe(s) for s in closure([STUDENT, RERUN])}) == 5


def test_ledger_lists_every_run_once(here):
    ledger = here.ledger([STUDENT, RERUN])
    assert ledger["key"].is_unique and len(ledger) == 5 and (ledger["seconds"] > 0).all()


@pytest.mark.slow
def test_a_killed_worker_loses_nothing(here, tmp_path):
    """The process that does a run is killed in the middle of it; the name of the draft ends with its number."""
    killed = []

    def kill() -> None:
        while not (drafts := list(tmp_path.glob("train/*/.draft-*"))):
            time.sleep(0.01)
        killed.append(int(drafts[0].name.rsplit("-", 1)[1]))
        os.kill(killed[0], signal.SIGKILL)

    threading.Thread(target=kill, daemon=True).start()
    lab = Lab(tmp_path, workers=1, progress=False)
    assert lab.run([STUDENT, RERUN]) == 5
    assert killed and killed[0] != os.getpid()
    for spec in (WEAK, STUDENT, RERUN):
        assert (lab.scores(spec)["margin"].to_numpy() == here.scores(spec)["margin"].to_numpy()).all()
    assert lab.store.sweep_drafts() == 1, "what it left behind is no result"


@pytest.mark.slow
def test_a_scheduler_at_an_address_gives_the_same_results(here, tmp_path, monkeypatch):
    from distributed import Scheduler, SpecCluster

    monkeypatch.delenv("W2S_DASK", raising=False)
    scheduler = {"cls": Scheduler, "options": {"host": "127.0.0.1", "port": 0, "dashboard": False}}
    with _as_copies(), SpecCluster(worker_specs(2), scheduler, silence_logs=50) as there:  # so that they begin soon
        lab = Lab(tmp_path, workers=1, progress=False, dask=there.scheduler_address)
        assert lab.run([STUDENT, RERUN]) == 5
    for spec in (WEAK, STUDENT, RERUN):
        assert (lab.scores(spec)["margin"].to_numpy() == here.scores(spec)["margin"].to_numpy()).all()


def test_a_store_that_workers_do_not_share_is_one_line(here, monkeypatch):
    monkeypatch.setattr("w2s_lib.lab.lab.SHARING", 0.0)
    elsewhere = STUDENT.model_copy(update={"replica": 9})
    with pytest.raises(RunError, match=f"first run {elsewhere.key} .* was the store moved or deleted"):
        here._await([WEAK, elsewhere])
    monkeypatch.setattr(here, "dask", "tcp://node7:8786")
    with pytest.raises(RunError, match=f"run {elsewhere.key} .* the store must lie where all machines see it"):
        here._await([WEAK, elsewhere])
    here._await([WEAK, STUDENT])


def test_pairs_that_cannot_be_made_are_refused_before_anything_is_run(tmp_path):
    """Also in a dry run, which asks the same; and by the objective that a conflict mixes in."""
    rows = [{"prompt": f"p{i}", "chosen": f"good {i}", "rejected": f"bad {i}"} for i in range(30)]
    (tmp_path / "pairs.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    texts = Texts(source=source(tmp_path / "pairs.jsonl"), train_pairs=16, test_pairs=16)
    lab, fits = (
        Lab(tmp_path / "store", workers=0, progress=False),
        texts.model_copy(update={"train_pairs": 8, "test_pairs": 8}),
    )
    run = Train(model=Checkpoint(name="m", revision="1"), pairs=texts, split="ground_truth")
    for do in (lab.check, lab.run):
        with pytest.raises(PairsError, match="too few pairs"):
            do([run])
    mixed = run.model_copy(update={"pairs": fits, "conflict": Conflict(kind="mixed", objective="honesty")})
    with pytest.raises(DataError, match="objective='honesty'"):
        lab.check([mixed])
    assert not list((tmp_path / "store").rglob("*.json"))


def test_more_pairs_than_a_world_has_are_refused_before_anything_is_run(tmp_path, monkeypatch):
    """Also where they are those of an objective that is mixed in, of which there are fewer."""
    monkeypatch.setattr(world, "GIVE_UP", 3)
    lab, polite = Lab(tmp_path, workers=0, progress=False), Conflict(kind="mixed", objective="politeness")
    pairs = WEAK.pairs.model_copy(update={"train_pairs": 3000})
    assert lab.check([WEAK.model_copy(update={"pairs": pairs})])
    with pytest.raises(PairsError, match=r"train_pairs=3000: no more than \d+ distinct politeness pairs found"):
        lab.check([STUDENT.model_copy(update={"pairs": pairs, "conflict": polite})])


def test_a_wrong_cluster_is_refused_before_anything_is_run(tmp_path, monkeypatch):
    monkeypatch.setenv("W2S_DASK", "slrum")
    with pytest.raises(ParameterError, match="W2S_DASK='slrum': must be"):
        Lab(tmp_path)


def test_a_pretrained_model_that_is_given_is_copied_and_not_trained(here, tmp_path):
    lab = Lab(tmp_path, workers=0, progress=False, given=here.store)
    assert lab.check([WEAK], planning=True) == [WEAK] == lab.missing([WEAK]) and not lab.store.has(SMALL)
    assert lab.run([WEAK]) == lab.trained == 1, "of runs of other kinds none is given"
    assert lab.store.record(SMALL) == here.store.record(SMALL) and not lab.store.has(LARGE)
    assert (lab.scores(WEAK)["margin"] == here.scores(WEAK)["margin"]).all()
    shutil.rmtree(lab.store.path(SMALL))
    pd.testing.assert_frame_equal(lab.knowledge(SMALL), here.knowledge(SMALL))


def test_real_models_want_a_gpu_and_tiny_ones_do_not():
    pairs = Texts(source=Source(name="x", revision="1"), train_pairs=8, test_pairs=8)
    model = Checkpoint(name="m", revision="2")
    features = Features(checkpoint=model, source=pairs.source)
    head = Train(model=Layer(features=features, layer=1), pairs=pairs, split="ground_truth")
    assert wants_gpu(features) and wants_gpu(Train(model=model, pairs=pairs, split="ground_truth"))
    assert not wants_gpu(head) and not wants_gpu(STUDENT) and not wants_gpu(SMALL)


@pytest.fixture
def copy(here, tmp_path) -> Lab:
    """A lab on a copy of the results, to do harm to."""
    shutil.copytree(here.store.root, tmp_path / "copy")
    return Lab(tmp_path / "copy", workers=0, progress=False)


def test_two_runs_at_once_in_one_process_are_refused(here, tmp_path):
    """They would draw from one random state, and store wrong numbers."""

    def attempt(spec: Pretrain) -> str:
        try:
            return execute(spec, tmp_path)
        except RunError as error:
            return str(error)

    with ThreadPoolExecutor(2) as pool:
        said = list(pool.map(attempt, (SMALL, LARGE)))
    (refused,) = [text for text in said if "one random state" in text]
    assert "--nthreads 1" in refused and "\n" not in refused
    done = SMALL if refused == said[1] else LARGE
    lab = Lab(tmp_path, workers=0, progress=False)
    assert lab.store.has(SMALL) + lab.store.has(LARGE) == 1
    assert (lab.knowledge(done)["p_true"] == here.knowledge(done)["p_true"]).all()
    assert lab.run([SMALL, LARGE]) == 1, "one after another they are done"


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-9])


@pytest.mark.parametrize("harm", [cut, Path.unlink])
def test_damaged_results_are_done_again_where_they_are_read(harm, here, copy, capsys):
    for spec, name in ((WEAK, "scores.parquet"), (LARGE, "knowledge.parquet"), (SMALL, "record.json")):
        harm(copy.store.path(spec) / name)
    assert (copy.scores(WEAK)["margin"].to_numpy() == here.scores(WEAK)["margin"].to_numpy()).all()
    assert (copy.knowledge(LARGE)["p_true"] == here.knowledge(LARGE)["p_true"]).all()
    assert copy.ledger([STUDENT, RERUN])["key"].tolist() == here.ledger([STUDENT, RERUN])["key"].tolist()
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 3 and all("set aside in" in line for line in said)
    assert len(list(copy.store.root.glob("aside/*"))) == 3


def test_a_run_does_its_damaged_parents_again(here, copy, capsys):
    """Its labels, and the weights that it starts from."""
    shutil.rmtree(copy.store.path(STUDENT))
    cut(copy.store.path(WEAK) / "scores.parquet")
    cut(copy.store.path(LARGE) / "model.safetensors")
    assert copy.run([STUDENT]) == 1
    assert (copy.scores(STUDENT)["margin"].to_numpy() == here.scores(STUDENT)["margin"].to_numpy()).all()
    said = capsys.readouterr().err
    assert (
        str(copy.store.path(WEAK) / "scores.parquet") in said
        and str(copy.store.path(LARGE) / "model.safetensors") in said
    )
    assert (copy.scores(WEAK)["margin"].to_numpy() == here.scores(WEAK)["margin"].to_numpy()).all()


def rewrite(lab: Lab, spec: Pretrain | Train, **fields: object) -> None:
    """Change fields of a record; None takes one out."""
    fields |= {"digest": None, "sealed": None}  # as a record that is older than digests
    record = {key: value for key, value in (lab.store.record(spec) | fields).items() if value is not None}
    (lab.store.path(spec) / "record.json").write_text(json.dumps(record), encoding="utf-8")


def test_results_of_other_code_are_counted(here, copy):
    assert here.store.record(WEAK)["code"] == code()
    assert copy.of_other_code([STUDENT, RERUN]) == [] and copy.says_of_code([STUDENT]) == ""
    rewrite(copy, WEAK, code=None)
    rewrite(copy, SMALL, versions=copy.store.record(SMALL)["versions"] | {"torch": "1.0"})
    assert copy.of_other_code([STUDENT, RERUN]) == [SMALL, WEAK]
    assert (
        copy.says_of_code([STUDENT, RERUN])
        == "2 of 5 results come from other code or versions; W2S_STRICT=yes refuses them"
    )
    cut(copy.store.path(SMALL) / "record.json")
    assert copy.of_other_code([STUDENT, RERUN]) == [WEAK] and copy.missing([STUDENT]) == [SMALL], (
        "what cannot be read is no result"
    )


def test_results_of_other_code_are_refused_where_that_is_wanted(copy, monkeypatch):
    rewrite(copy, WEAK, code="0")
    new = STUDENT.model_copy(update={"replica": 7})
    monkeypatch.setenv("W2S_STRICT", "yes")
    with pytest.raises(
        StoreError, match="W2S_STRICT=yes: 1 of 3 results come from other code or versions, first reward_model"
    ) as error:
        copy.run([new])
    assert str(copy.store.path(WEAK)) in str(error.value) and "\n" not in str(error.value)
    assert not copy.store.has(new)
    monkeypatch.setenv("W2S_STRICT", "1")
    with pytest.raises(ParameterError, match="W2S_STRICT='1': must be 'yes' or 'no'"):
        copy.run([new])
    monkeypatch.setenv("W2S_STRICT", "no")
    assert copy.run([new]) == 1
