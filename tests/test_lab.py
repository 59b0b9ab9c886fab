"""The lab: parents first, nothing twice, the same results whatever the workers and the order, nothing lost on failure."""

import os
import signal
import threading
import time

import numpy as np
import pytest

import w2s_lib.train
from w2s_lib import lab as lab_module
from w2s_lib.cluster import worker_specs
from w2s_lib.edition import ParameterError
from w2s_lib.lab import Lab, RunError, closure, describe, execute, wants_gpu
from w2s_lib.run import Checkpoint, Features, Layer, Pairs, Pretrain, Source, Texts, Train, World

WORLD = World(seed=9, substances=60)
PAIRS = Pairs(world=WORLD, train_pairs=40, test_pairs=40)
SMALL, LARGE = (Pretrain(world=WORLD, width=w, tokens=20_000) for w in (12, 16))
WEAK = Train(model=SMALL, pairs=PAIRS, split="ground_truth")
STUDENT = Train(model=LARGE, pairs=PAIRS, split="weak_label", labels=WEAK)
RERUN = STUDENT.model_copy(update={"replica": 1})


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


@pytest.mark.parametrize("workers", [0, 2])
def test_a_failed_run_is_named_and_the_others_are_kept(workers, tmp_path, monkeypatch):
    poor = Pretrain(world=WORLD, width=12, heads=5, tokens=20_000)  # a width that five heads cannot share
    lab = Lab(tmp_path, workers=workers, progress=False)
    with pytest.raises(RunError, match=f"run {poor.key} .*failed: ") as error:
        lab.run([WEAK, poor])
    assert "\n" not in str(error.value)
    assert lab.store.has(SMALL) and lab.store.has(WEAK)


def test_an_interrupt_keeps_what_is_finished(tmp_path, monkeypatch):
    lab = Lab(tmp_path, workers=0, progress=False)
    original = w2s_lib.train.train

    def interrupted(run, *arguments):
        if run == STUDENT:
            raise KeyboardInterrupt
        return original(run, *arguments)

    monkeypatch.setattr(w2s_lib.train, "train", interrupted)
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


def test_a_scheduler_at_an_address_gives_the_same_results(here, tmp_path, monkeypatch):
    from distributed import Scheduler, SpecCluster

    monkeypatch.delenv("W2S_DASK", raising=False)
    scheduler = {"cls": Scheduler, "options": {"host": "127.0.0.1", "port": 0, "dashboard": False}}
    with SpecCluster(worker_specs(2), scheduler, silence_logs=50) as there:
        lab = Lab(tmp_path, workers=1, progress=False, dask=there.scheduler_address)
        assert lab.run([STUDENT, RERUN]) == 5
    for spec in (WEAK, STUDENT, RERUN):
        assert (lab.scores(spec)["margin"].to_numpy() == here.scores(spec)["margin"].to_numpy()).all()


def test_a_store_that_workers_do_not_share_is_one_line(here, monkeypatch):
    monkeypatch.setattr(lab_module, "SHARING", 0.0)
    elsewhere = STUDENT.model_copy(update={"replica": 9})
    with pytest.raises(RunError, match=f"run {elsewhere.key} .* the store must lie where all machines see it"):
        here._await([WEAK, elsewhere])
    here._await([WEAK, STUDENT])


def test_a_wrong_cluster_is_refused_before_anything_is_run(tmp_path, monkeypatch):
    monkeypatch.setenv("W2S_DASK", "slrum")
    with pytest.raises(ParameterError, match="W2S_DASK='slrum': must be"):
        Lab(tmp_path)


def test_real_models_want_a_gpu_and_tiny_ones_do_not():
    pairs = Texts(source=Source(name="x", revision="1"), train_pairs=8, test_pairs=8)
    model = Checkpoint(name="m", revision="2")
    features = Features(checkpoint=model, source=pairs.source)
    head = Train(model=Layer(features=features, layer=1), pairs=pairs, split="ground_truth")
    assert wants_gpu(features) and wants_gpu(Train(model=model, pairs=pairs, split="ground_truth"))
    assert not wants_gpu(head) and not wants_gpu(STUDENT) and not wants_gpu(SMALL)
