"""The same notebooks carry models and pairs from elsewhere: an edition of both, built as a book."""

import json
import random
import re
import shutil

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from scipy.optimize import minimize_scalar
from transformers import AutoModel, AutoModelForCausalLM, AutoTokenizer

from w2s_lib.book.build import main
from w2s_lib.data.load import load as loaded
from w2s_lib.errors import ParameterError
from w2s_lib.findings.results import read_results, usual
from w2s_lib.lab import Lab
from w2s_lib.lab.graph import closure
from w2s_lib.models.features import FeaturesError
from w2s_lib.models.folders import CheckpointError
from w2s_lib.specs import Checkpoint, Features, Layer, Opinion, Train
from w2s_lib.study import Study
from w2s_lib.study.edition import FOLDER, load
from w2s_lib.study.mitigations import WEIGHED
from w2s_lib.training import train
from w2s_lib.training.labels import labels_of_run

FAST = {"epochs": 2, "learning_rate": 3e-3, "head_learning_rate": 1e-2, "head_scale": 0.1, "batch_size": 16}
"""A recipe of reward models by which a tiny model learns from a few pairs."""

GOOD, BAD = "please thank safe kind careful help".split(), "never burn hit steal poison break".split()


def dialogues(pairs: int, words: tuple[list[str], list[str]], seed: int):
    """Pairs in the form of HH-RLHF: replies are of one kind of words or the other, some of them longer."""
    rng = random.Random(seed)
    for i in range(pairs):
        prompt = f"\n\nHuman: Question {seed}-{i}, what do I do?\n\nAssistant:"
        chosen, rejected = (" " + ", ".join(rng.choices(kind, k=rng.randint(2, 5))) + "." for kind in words)
        yield {"chosen": prompt + chosen, "rejected": prompt + rejected}


@pytest.fixture(scope="module")
def own(tmp_path_factory, folders):
    """An edition file with local pairs and two tiny local models, frozen layers of one of them included."""
    folder = tmp_path_factory.mktemp("own")
    for name, words, seed in (("harmless", (GOOD, BAD), 1), ("helpful", (BAD, GOOD), 2)):
        (folder / f"{name}.jsonl").write_text("\n".join(map(json.dumps, dialogues(200, words, seed))), encoding="utf-8")
    weak, strong, middle = f"{folders['gpt2']}:1", str(folders["llama"]), f"{folders['llama']}:2"
    edition = yaml.safe_load((FOLDER / "hh-small.yaml").read_text(encoding="utf-8")) | {
        "name": "own", "title": "tiny models, a few pairs", "data": "harmless.jsonl",
        "helpful": "./helpful.jsonl", "seeds": [1], "models": [weak, middle, strong],
        "weak_strong_pairs": [f"{weak} -> {strong}"], "train_pairs": 48, "test_pairs": 64, "max_tokens": 96,
        "lora_rank": None, "dtype": "float32", "draws": 100, "threshold": 0.5, "filter_above": 0.5,
        "alphas": [0.5, 1.0], "reward_model": FAST,
        "mitigations": ["bootstrap", "filter", "early_stopping", "ensemble"],
    }  # fmt: skip
    edition["chapters"] = ["05", "12", "13", "14", "99"]  # others train as well, and take long
    for name in ("control_weak_strong_pairs", "policy_weak_strong_pairs", "mitigation_weak_strong_pairs"):
        edition.pop(name)
    path = folder / "own.yaml"
    path.write_text(yaml.safe_dump(edition), encoding="utf-8")
    return path


@pytest.mark.slow
@pytest.mark.rehearsal
def test_the_book_of_an_edition_with_own_models_and_pairs(own, tmp_path, without_pages, executed_here):
    """All in this process: other builds begin as commands, and share runs and notebooks among workers.  Of
    mitigations those that ask for other runs or stop training: what changes labels reads no model."""
    told = {"--edition": own, "--store": tmp_path / "store", "--output": tmp_path / "book", "--workers": 0}
    assert main([str(word) for pair in told.items() for word in pair]) == 0
    results = read_results(tmp_path / "book" / "html" / "results.csv")
    there = {"05_conflict_tax_deception", "12_preference_optimisation", "13_what_helps", "28_two_remedies"}
    assert there <= set(results["chapter"])
    assert (results["edition"] == "own").all() and not results["chapter"].str.startswith(("02", "10")).any()
    left_out = tmp_path / "book" / "source" / "notebooks" / "02_preference_world.ipynb"
    assert "not part of the edition" in left_out.read_text(encoding="utf-8")
    accuracy = usual(results, statistic="accuracy_ceiling", condition="none", method="reward_model")
    assert accuracy["value"].iloc[0] > 0.9, "kind and unkind words are told apart with ease"


@pytest.mark.parametrize("edition", ["hh-small", "paper"])
def test_editions_that_need_the_hub_plan_without_it(edition, capsys, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert main(["--edition", edition, "--dry-run", "--price", "2"]) == 0
    said, noted = capsys.readouterr()
    runs = closure(Study(load(edition)).runs())
    assert noted.startswith("note: this plan cannot be run from here: model='")
    assert f"{len(runs)} runs" in said and "euros" in said
    assert all(model in said for model in {run.model.name for run in runs if isinstance(run.model, Checkpoint)})


def test_a_build_and_its_plan_say_what_of_ones_own_data_is_not_read(own, tmp_path, capsys, monkeypatch):
    """Before anything is trained."""
    rows = [row | {"note": "n"} for row in dialogues(200, (GOOD, BAD), 1)]
    (tmp_path / "pairs").mkdir()
    (tmp_path / "pairs" / "a.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-16")
    (tmp_path / "pairs" / "README.md").touch()
    edition = yaml.safe_load(own.read_text(encoding="utf-8")) | {"data": "pairs", "chapters": ["05"]}
    (tmp_path / "own.yaml").write_text(yaml.safe_dump(edition | {"helpful": None}), encoding="utf-8")
    command = ["--edition", tmp_path / "own.yaml", "--store", tmp_path / "store", "--output", tmp_path / "book"]
    monkeypatch.setattr(Lab, "run", lambda *_: (_ for _ in ()).throw(ParameterError("run", 0, "not here")))
    for more, code in (["--dry-run"], 0), (["--workers", "0"], 2):
        assert main([*map(str, command), *more]) == code
        said = capsys.readouterr().out.splitlines()
        assert {
            "Files that are not read: 'README.md'.",
            "Columns that are not read: 'note'.",
            "'a.jsonl' is read as UTF-16.",
        } <= set(said)


@pytest.mark.parametrize(
    ("replies", "placebo", "says"),
    [
        ("1 2", "vowels", "objective='verbosity': tells 0 of 48 .*; name helpful pairs .helpful. instead$"),
        ("优 坏坏", "vowels", "objective='vowels': tells 0 of 48 .*; name placebo: parity instead$"),
        ("优 坏坏", "parity", None),
    ],
)
def test_an_edition_can_name_a_placebo_that_suits_the_script(own, tmp_path, capsys, replies, placebo, says):
    good, bad = replies.split()
    rows = [{"prompt": f"{i}?", "chosen": good, "rejected": bad} for i in range(200)]
    (tmp_path / "pairs.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    edition = yaml.safe_load(own.read_text(encoding="utf-8")) | {"data": "pairs.jsonl", "placebo": placebo}
    edition |= {"helpful": None, "chapters": ["05"]}
    (tmp_path / "own.yaml").write_text(yaml.safe_dump(edition), encoding="utf-8")
    code = main(["--edition", str(tmp_path / "own.yaml"), "--store", str(tmp_path / "store"), "--dry-run"])
    told = capsys.readouterr().err
    assert (
        (code, told) == (0, "") if says is None else code == 2 and re.match(f"error: data='pairs.jsonl': {says}", told)
    )


def of_layers(name):
    """Two frozen layers in the place of the edition's models; early stopping is for whole ones."""
    pairs = [f"{name}@0 -> {name}@2"]
    return {
        "models": [f"{name}@0", f"{name}@2"],
        "weak_strong_pairs": pairs,
        "mitigations": ["bootstrap", "filter", "ensemble"],
    }


def test_frozen_layers_are_models_of_a_ladder(own, folders):
    name = str(folders["llama"])
    study = Study(load(own, of_layers(name)))
    models = [run.model for run in study.student_runs()]
    assert {model.layer for model in models if isinstance(model, Layer)} == {0, 2}
    shards = [run for run in closure(study.student_runs()) if type(run).__name__ == "Features"]
    assert len(shards) == 2 * shards[0].shards, "one reading of each data set serves every layer, seed and condition"


def test_frozen_layers_learn_from_helpful_pairs_as_well(own, folders, tmp_path):
    """The implicit conflict of an edition that names helpful pairs, trained: their features are read like the
    others'."""
    name = str(folders["llama"])
    study = Study(load(own, of_layers(name)))
    lab = Lab(tmp_path, workers=0, progress=False)
    student, calm = (study.student(1, f"{name}@0", f"{name}@2", condition) for condition in ("implicit", "none"))
    assert student.conflict.objective == "helpfulness" and student.pairs.helpful is not None
    frames = [lab.scores(run) for run in (student, calm)]
    assert (frames[0]["margin"] < frames[1]["margin"]).mean() > 0.9, "helpful pairs prefer what harmless pairs reject"


def opinionated(own, folders, layers: bool, above: float = 0.75) -> tuple[Study, dict[str, Train]]:
    """The students of a weak model's labels under each mitigation that asks an opinion, of frozen layers or whole."""
    llama = folders["llama"]
    weak, strong = (f"{llama}@0", f"{llama}@3") if layers else (f"{folders['gpt2']}:1", str(llama))
    fields = {
        "models": [weak, strong],
        "weak_strong_pairs": [f"{weak} -> {strong}"],
        "mitigations": ["own_labels", *WEIGHED],
    }
    fields["filter_above"] = above
    study = Study(load(own, fields))
    return study, {one.mitigation: one.student(1, weak, strong, "explicit") for one in study.mitigated()}


@pytest.fixture(scope="module")
def opinions(own, folders, tmp_path_factory):
    """These, trained, where a filter keeps half of the pairs; and the lab that has them."""
    lab, found = Lab(tmp_path_factory.mktemp("opinions"), workers=0, progress=False), {}
    for layers in (True, False):
        weak = opinionated(own, folders, layers)[1]["trust"].labels
        q = lab.scores(weak, "weak_label")["p_true"]
        found[layers] = opinionated(own, folders, layers, float(np.maximum(q, 1 - q).median()))
    lab.run([run for _, runs in found.values() for run in runs.values()])
    return found, lab


@pytest.mark.slow
@pytest.mark.parametrize("layers", [True, False])
def test_opinions_are_asked_of_real_models(opinions, layers):
    """Who labels, how many are kept, and what is left of it in the student: finite scores that are not all alike."""
    (study, runs), lab = opinions[0][layers], opinions[1]
    assert isinstance(runs["trust"].model, Layer if layers else Checkpoint)
    for run in runs.values():
        frame = lab.scores(run, "weak_label")
        assert len(frame) == 48 and np.isfinite(frame["margin"]).all() and frame["margin"].std() > 0
    kept = {}
    for name in ("trust", "filter"):
        run = runs[name] if name in runs else study.under_mitigation(name).student(1, *study.edition.weak_strong[0])
        _, used, _ = labels_of_run(run, [lab.scores(one, "weak_label") for one in run.labellers])
        kept[name] = set(np.flatnonzero(used))
    assert 0 < len(kept["trust"]) == len(kept["filter"]) < 48
    for half in runs["trust"].opinion.fitted_on:
        assert half.everywhere and half.model == runs["trust"].labels.model
        assert lab.scores(half, "ground_truth")["margin"].notna().all(), "the supervisor's half is scored as well"


def test_a_layers_own_labels_are_its_whole_models(opinions, folders, tmp_path, monkeypatch):
    """What the pretrained model finds more probable, reckoned from its forward pass, at one temperature; told the truth
    of the supervisor's half, and told the contrary of every truth, where it finds the other temperature."""
    run, whole = (opinions[0][layers][1]["own_labels"].labels for layers in (True, False))
    assert run == whole and isinstance(run.model, Checkpoint) and run.parents() == ()
    model, words = (kind.from_pretrained(folders["llama"]) for kind in (AutoModelForCausalLM, AutoTokenizer))

    def margin(pair) -> float:
        told = []
        for reply in (pair.chosen, pair.rejected):
            ids, begin = words(pair.opening + reply)["input_ids"], len(words(pair.opening)["input_ids"])
            with torch.no_grad():
                logs = model(torch.tensor([ids])).logits[0].log_softmax(dim=-1)
            told.append(sum(float(logs[at - 1, ids[at]]) for at in range(begin, len(ids))))
        return told[0] - told[1]

    frame = loaded(run.pairs)
    known, asked = (
        np.array([margin(pair) for pair in frame[frame["split"] == half].itertuples()])
        for half in ("ground_truth", "weak_label")
    )
    contrary = frame.assign(chosen=frame["rejected"], rejected=frame["chosen"])
    inverses = []
    for told, sign in ((frame, 1), (contrary, -1)):
        monkeypatch.setattr(train.load, "load", lambda pairs, told=told: told)
        train._untuned.cache_clear()
        train.opinion(run, [], [], tmp_path)
        loss = lambda inverse, sign=sign: np.logaddexp(0, -sign * inverse * known).sum()
        inverses.append(minimize_scalar(loss, bounds=(0, 10), method="bounded", options={"xatol": 1e-8}).x)
        found = pd.read_parquet(tmp_path / "scores.parquet").query("split == 'weak_label'")["margin"]
        assert np.allclose(found, sign * inverses[-1] * asked, atol=1e-3)
    train._untuned.cache_clear()
    assert max(inverses) > 1e-3 > min(inverses), "no temperature turns an opinion round"


def test_the_last_layer_says_the_same_alone_and_in_its_model(opinions):
    """What a head reads of a frozen layer is what it reads of the checkpoint: aligned pair by pair."""
    found, lab = opinions
    opinion = {layers: runs["trust"].opinion for layers, (_, runs) in found.items()}
    frame = loaded(opinion[True].pairs)
    shards = [lab.store.path(run) for run in opinion[True].parents() if isinstance(run, Features)]
    read = [train._differences(one, bases, frame) for one, bases in ((opinion[True], shards), (opinion[False], []))]
    assert read[0].shape == (len(frame), 32) and np.allclose(*read, atol=5e-3) and np.ptp(read[0], axis=0).min() > 0.01


def test_what_an_opinion_cannot_be_asked_is_said_before_anything_is_trained(own, folders, tmp_path):
    whole = opinionated(own, folders, layers=False)[1]["own_labels"].labels
    layer = opinionated(own, folders, layers=True)[1]["trust"].model
    with pytest.raises(ValueError, match="a frozen layer finds no reply more probable"):
        Opinion(model=layer, pairs=whole.pairs)
    shutil.copytree(folders["llama"], tmp_path / "headless")
    AutoModel.from_pretrained(folders["llama"]).save_pretrained(tmp_path / "headless")
    study, _ = opinionated(own, folders | {"llama": tmp_path / "headless"}, layers=True)
    lab = Lab(tmp_path / "store", workers=0, progress=False)
    cell = (1, *study.edition.weak_strong[0])
    with pytest.raises(CheckpointError, match="headless.*lm_head") as error:
        lab.run([study.under_mitigation("own_labels").student(*cell)])
    assert lab.trained == 0 and "\n" not in str(error.value)
    assert lab.check([study.under_mitigation("trust").student(*cell)]), "a head reads features, and needs no words"


def test_states_too_large_for_half_precision_are_no_opinion(opinions, monkeypatch):
    run = opinions[0][False][1]["trust"].opinion
    large = {"3.last": torch.zeros(1, 2), "3.mean": torch.tensor([[1.0, float("inf")]]).half()}
    monkeypatch.setattr(train.features, "feature_differences", lambda *_: large)
    with pytest.raises(FeaturesError, match="layer 3, mean: states of 1 of 1 pairs are too large"):
        train._differences(run, [], loaded(run.pairs)[:1])
