"""The same seed gives the same numbers: whoever does the runs, in whatever order, after whatever, from wherever on."""

from __future__ import annotations

import json
import random
import shutil

import numpy as np
import pytest
import torch

from tests.conftest import ROOT
from tests.faults.conftest import RUNS, check, start
from tests.small import LARGE, RERUN, SMALL, STUDENT, WEAK
from w2s_lib.data.load import split
from w2s_lib.lab import Lab, again
from w2s_lib.lab.execute import execute
from w2s_lib.lab.store import Store
from w2s_lib.models.pretrain import tokenizer
from w2s_lib.models.scores import reply_log_probs, reward_gaps
from w2s_lib.training import policy, reward_model

ORDERS = {
    "each as soon as it can be": [SMALL, WEAK, LARGE, STUDENT, RERUN],
    "the other way round": [LARGE, SMALL, WEAK, RERUN, STUDENT],
}

ALIKE = ("five small runs in another order, process or place, or from any point on", "bit for bit the same numbers")

OLDER = {
    "ATEN_CPU_CAPABILITY": "default", "MKL_ENABLE_INSTRUCTIONS": "SSE4_2", "MKL_CBWR": "COMPATIBLE",
    "ONEDNN_MAX_CPU_ISA": "SSE41", "OPENBLAS_CORETYPE": "Nehalem",
}  # fmt: skip
"""What makes libraries compute as on a processor of 2008, without wide registers: another kind of machine."""

pytestmark = pytest.mark.slow


def disturb(seed: int) -> None:
    """Draw from all random streams that a process has."""
    random.seed(seed), np.random.seed(seed), torch.manual_seed(seed)
    random.random(), np.random.rand(3), torch.rand(3)


@pytest.mark.parametrize("order", ORDERS)
def test_order_and_what_was_drawn_before_change_nothing(tmp_path, undisturbed, counted, order):
    for seed, spec in enumerate(ORDERS[order]):
        disturb(seed)
        execute(spec, tmp_path)
    check(tmp_path, undisturbed)
    counted[ALIKE] += 1


@pytest.mark.parametrize("done", range(len(RUNS)))
def test_going_on_from_any_point_changes_nothing(tmp_path, undisturbed, counted, done):
    store = Store(tmp_path)
    for spec in RUNS[:done]:
        shutil.copytree(undisturbed.store.path(spec), store.path(spec))
    assert Lab(tmp_path, workers=0, progress=False).run(RUNS) == len(RUNS) - done
    check(tmp_path, undisturbed)
    counted[ALIKE] += 1


@pytest.mark.parametrize(
    ("workers", "environment"),
    [
        (0, {"OMP_NUM_THREADS": "2", "PYTHONHASHSEED": "1"}),
        (3, {"OMP_NUM_THREADS": "4", "PYTHONHASHSEED": "2", "LC_ALL": "C", "TZ": "Pacific/Auckland"}),
    ],
)
def test_workers_threads_and_surroundings_change_nothing(tmp_path, undisturbed, workers, environment):
    process = start(tmp_path, workers, **environment)
    _, told = process.communicate(timeout=600)
    assert process.returncode == 0, told
    check(tmp_path, undisturbed)


def test_scoring_in_other_batches_changes_rounding_alone(undisturbed):
    """How many texts are scored at once follows from model and machine, and is no part of a run.

    The page *Running at scale* gives the number: models of the ladder, with heads that tell pairs apart as trained ones
    do, differed by 2e-6 at most in a probability, and by 7e-7 in the log-probability of a reply.
    """
    words, pairs = tokenizer(WEAK.pairs.world), split(WEAK.pairs, "test")
    model = reward_model.build_with_head(undisturbed.store.path(SMALL), WEAK.recipe, seed=3)
    with torch.no_grad():
        model.score.weight *= 12 / np.abs(reward_gaps(model, words, pairs)).max()  # as far apart as after training
    gaps = [reward_gaps(model, words, pairs, token_budget=budget) for budget in (1, 100, 1024, 100_000)]
    probabilities = [1 / (1 + np.exp(-gap)) for gap in gaps]
    language = policy.build(undisturbed.store.path(SMALL))
    replies = [reply_log_probs(language, words, pairs, batch_size=size)[0] for size in (1, 7, 256)]
    for found in (probabilities, replies):
        assert max(np.abs(one - found[0]).max() for one in found) < 1e-5 < np.abs(found[0]).max()
    page = (ROOT / "book" / "running-at-scale.md").read_text(encoding="utf-8")
    assert "| scoring in batches of other sizes | 0.000002 (a test allows 0.00001) |" in page


def test_another_kind_of_machine_is_within_the_tolerance(tmp_path, undisturbed, tried):
    process = start(tmp_path, 0, **OLDER)
    assert process.wait(600) == 0
    lab = Lab(tmp_path, workers=0, progress=False)
    for spec in (WEAK, STUDENT, RERUN):
        here, there = (each.scores(spec)["p_true"].to_numpy() for each in (undisturbed, lab))
        assert np.abs(here - there).max() < again.TOLERANCE
    seen = f"probabilities within the tolerance, {again.TOLERANCE:g}"
    tried("five small runs by the instructions of a processor of 2008", 1, seen)


@pytest.mark.parametrize(("by", "code"), [(0, 0), (2 * again.TOLERANCE, 2)])
def test_results_of_other_machines_are_accepted_within_the_tolerance_or_flagged(
    tmp_path, undisturbed, capsys, by, code
):
    """A store that came from elsewhere: its quickest run is done again, and the line says how far it is off."""
    lab = Lab(shutil.copytree(undisturbed.store.root, tmp_path / "store"), workers=0, progress=False)
    assert again.says_of_others(lab, RUNS) == ""
    for path in (tmp_path / "store").rglob("record.json"):
        record = json.loads(path.read_text(encoding="utf-8")) | {"hardware": "riscv64, Kind, 64 cores, Linux"}
        record = {name: value for name, value in record.items() if name not in ("digest", "sealed")}
        if record["kind"] == "Train":
            scores = lab.store.root / path.parent / "scores.parquet"
            frame = lab.store.table(next(run for run in RUNS if run.key == record["key"]), "scores")
            frame.assign(p_true=frame["p_true"] + by).to_parquet(scores)
            record.pop("files", None)
        path.write_text(json.dumps(record), encoding="utf-8")
    lab = Lab(tmp_path / "store", workers=0, progress=False)
    assert again.says_of_others(lab, RUNS).startswith("5 of 5 results come from other machines (riscv64, Kind, Linux)")
    with_models = Lab(lab.store.root, workers=0, progress=False, given=lab.store)
    assert again.says_of_others(with_models, RUNS).startswith("3 of 3"), "whose models came along for everybody"
    assert again.main(["--store", str(tmp_path / "store")]) == code
    said = capsys.readouterr()
    assert len((said.out + said.err).splitlines()) == 1
    assert "accepted" in said.out if not code else "do not mix its results" in said.err
    assert lab.missing(RUNS) == [], "nothing of the store was changed"


def test_a_store_without_anything_to_do_again_says_so(tmp_path, capsys):
    assert again.main(["--store", str(tmp_path)]) == 0
    folder = tmp_path / "train" / "ab" / "ab12"
    folder.mkdir(parents=True)
    for record in ({}, {"spec": {"model": "older"}}, {"spec": WEAK.model_dump(mode="json"), "scheme": 2}):
        (folder / "record.json").write_text(json.dumps(record), encoding="utf-8")
        assert again.main(["--store", str(tmp_path)]) == 0
    assert capsys.readouterr().out.count("nothing was done again") == 4
