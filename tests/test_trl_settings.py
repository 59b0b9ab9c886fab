"""Real models under the trainers: computed as asked for, one device each, given back afterwards, nothing left
behind."""

import gc
import json
import random
import weakref

import numpy as np
import pytest
import torch
from datasets import Dataset
from trl import DPOConfig

from w2s_lib.data.sources import source
from w2s_lib.lab import Lab
from w2s_lib.models import checkpoints, names, packing
from w2s_lib.specs import Conflict, PolicyRecipe, Recipe, Texts, Train
from w2s_lib.training import policy
from w2s_lib.training.trl_settings import in_turns, one_device, order_epochs

WORDS = "how do i bake a good loaf of bread knead the dough well and wait".split()


@pytest.fixture(scope="module")
def texts(tmp_path_factory) -> Texts:
    """Pairs of random words, no prompt twice."""
    path, draw = tmp_path_factory.mktemp("pairs") / "pairs.jsonl", random.Random(0)
    say = lambda n: " " + " ".join(draw.choices(WORDS, k=n))
    reply = lambda: say(draw.randint(2, 6))
    prompts = (f"\n\nHuman: {i}{say(4)}\n\nAssistant:" for i in range(90))
    rows = [{"prompt": prompt, "chosen": reply(), "rejected": reply()} for prompt in prompts]
    path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    return Texts(source=source(path), train_pairs=32, test_pairs=12, max_tokens=96)


@pytest.fixture
def lab(tmp_path) -> Lab:
    return Lab(tmp_path / "store", workers=0, progress=False)


def run_of(texts: Texts, folder, recipe: Recipe | PolicyRecipe, method: str = "reward_model", **fields) -> Train:
    model = names.local(folder, **fields)
    return Train(model=model, pairs=texts, split="ground_truth", method=method, recipe=recipe)


def reward_run(texts: Texts, folder, **fields) -> Train:
    return run_of(texts, folder, Recipe(epochs=1, batch_size=16), **fields)


def policy_run(texts: Texts, folder, method: str = "dpo", **fields) -> Train:
    rates = {"learning_rate": 1e-2, "sft_learning_rate": 1e-3}
    recipe = PolicyRecipe(epochs=1, batch_size=16, sft_epochs=fields.pop("sft_epochs", 0), **rates)
    return run_of(texts, folder, recipe, method, **fields)


@pytest.mark.parametrize(
    ("turns", "whose"), [(2, "wwwwwwwwwwmmmmmm"), (3, "wwwwwmmmmmmwwwww"), (4, "wwwwwmmmwwwwwmmm")]
)
def test_two_aims_take_turns_and_every_pair_comes_once_an_epoch(turns, whose):
    weakly = np.array([True, False, True, True, False, True, True, False])
    order = in_turns(weakly, 2, turns, np.random.default_rng(0))
    assert "".join("mw"[int(weakly[i])] for i in order) == whose
    assert np.bincount(order).tolist() == [2] * 8
    for aim in (weakly, ~weakly):
        mine = [i for i in order if aim[i]]
        assert sorted(mine[: aim.sum()]) == np.flatnonzero(aim).tolist(), "an epoch has each once"


def test_a_trainer_is_told_to_read_pairs_in_turn(texts, folders):
    run = reward_run(texts, folders["llama"])
    turns = Conflict(kind="mixed", objective="verbosity", turns=2)
    run = Train(**dict(run) | {"conflict": turns, "labels": run, "split": "weak_label"})
    data = Dataset.from_dict({"weakly_labelled": [0.0, 1.0, 0.0, 1.0], "n": [0, 1, 2, 3]})
    ordered, told = order_epochs(data, run, 1)
    assert sorted(ordered["n"][:2]) == [1, 3] and told["train_sampling_strategy"] == "sequential"
    assert order_epochs(data, run.model_copy(update={"conflict": Conflict()}), 2) == (data, {"num_train_epochs": 2})


def test_turns_are_refused_where_there_are_none(texts, folders):
    with pytest.raises(ValueError, match="turns belong to a mixed conflict"):
        Conflict(kind="explicit", alpha=0.5, turns=4)
    run, turns = reward_run(texts, folders["llama"]), Conflict(kind="mixed", objective="verbosity", turns=4)
    with pytest.raises(ValueError, match="turns are for reward models, trained as a whole on weak labels"):
        Train(**dict(run) | {"conflict": turns})
    student = dict(run) | {"conflict": turns, "labels": run, "split": "weak_label"}
    assert Train(**student).conflict.turns == 4
    for change, says in (({"patience": 2}, "no patience"), ({"order": "repeated"}, "no other order")):
        with pytest.raises(ValueError, match=says):
            Train(**student | {"recipe": run.recipe.model_copy(update=change)})


@pytest.mark.parametrize("seen", [0, 1, 4])
def test_a_run_has_one_device_however_many_it_sees(seen, tmp_path):
    arguments = DPOConfig(output_dir=str(tmp_path), use_cpu=True, report_to=[])
    assert arguments.n_gpu == 0
    arguments._n_gpu = seen
    assert one_device(arguments).n_gpu == min(seen, 1)


@pytest.mark.parametrize("sft_epochs", [0, 1])
@pytest.mark.parametrize("method", ["dpo", "simpo"])
def test_a_policy_computes_in_bfloat16_also_after_supervised_fine_tuning(
    folders, texts, lab, method, sft_epochs, monkeypatch
):
    under: set[bool] = set()
    read = policy.hidden_at

    def spy(*arguments):
        if torch.is_grad_enabled():
            under.add(torch.is_autocast_enabled("cpu"))
        return read(*arguments)

    monkeypatch.setattr(policy, "hidden_at", spy)
    lab.run([policy_run(texts, folders["gpt2"], method, dtype="bfloat16", sft_epochs=sft_epochs)])
    assert under == {True}


@pytest.mark.parametrize("method", ["reward_model", "dpo"])
@pytest.mark.parametrize(
    "fields", [{"dtype": "bfloat16"}, {"dtype": "bfloat16", "lora_rank": 2}], ids=["all weights", "adapters"]
)
def test_models_are_given_back_when_their_run_is_over(folders, texts, lab, method, fields, monkeypatch):
    """One worker does hundreds of runs; on a GPU a few models that stay would fill it."""
    alive = []
    for name in ("reward_model", "language_model"):
        load = getattr(checkpoints, name)
        noted = lambda *given, load=load, **named: alive.append(weakref.ref(found := load(*given, **named))) or found
        monkeypatch.setattr(checkpoints, name, noted)
    run = (reward_run if method == "reward_model" else policy_run)(texts, folders["gpt2"], **fields)
    lab.run([run.model_copy(update={"replica": replica}) for replica in range(2)])
    gc.collect()
    assert len(alive) >= 2 and sum(model() is not None for model in alive) == 0


@pytest.mark.parametrize("method", ["dpo", "simpo"])
@pytest.mark.parametrize("name", ["gpt2", "llama"])
def test_a_policy_with_adapters_trains_them_alone(folders, texts, lab, name, method, monkeypatch):
    steps = []
    step = torch.optim.AdamW.step

    def spy(self, *given, **named):
        steps.append({p.shape for group in self.param_groups for p in group["params"] if p.grad is not None})
        return step(self, *given, **named)

    monkeypatch.setattr(torch.optim.AdamW, "step", spy)
    run = policy_run(texts, folders[name], method, lora_rank=2)
    margins = lab.scores(run)["margin"].to_numpy()
    assert steps and all(
        any(2 in shape for shape in shapes) and all(2 in shape for shape in shapes) for shapes in steps
    )
    untrained = lab.scores(run.model_copy(update={"recipe": run.recipe.model_copy(update={"learning_rate": 1e-30})}))[
        "margin"
    ].to_numpy()
    assert np.isfinite(margins).all() and np.abs(margins - untrained).max() > 1e-4, "the adapters learned"
    if method == "dpo":
        assert np.abs(untrained).max() < 1e-4, "adapters that have not learned are their own reference"


@pytest.mark.parametrize("pairs", [32, 28])
def test_a_policy_in_parts_is_that_of_the_whole_batch(folders, texts, tmp_path, monkeypatch, pairs):
    run, found = policy_run(texts.model_copy(update={"train_pairs": pairs}), folders["llama"]), []
    for at_a_time in (16, 8):
        monkeypatch.setattr("w2s_lib.training.shards.ALONE", at_a_time)
        found.append(Lab(tmp_path / str(at_a_time), workers=0, progress=False).scores(run)["margin"].to_numpy())
    assert np.allclose(*found, atol=1e-3 * np.abs(found[0]).max())


def test_early_stopping_leaves_scores_and_no_checkpoints(folders, texts, lab):
    recipe = Recipe(epochs=6, batch_size=8, learning_rate=3e-3, patience=1)
    weak = run_of(texts, folders["gpt2"], recipe.model_copy(update={"patience": None}))
    run = Train(model=weak.model, pairs=texts, split="weak_label", labels=weak, recipe=recipe)
    lab.run([run])
    assert {path.name for path in lab.store.path(run).iterdir()} == {"record.json", "scores.parquet"}


def test_a_trained_model_has_its_own_forward_back(folders, texts, lab, monkeypatch):
    seen = []
    gaps = packing.gaps_of_ids
    monkeypatch.setattr(
        packing,
        "gaps_of_ids",
        lambda model, *given, **named: seen.append("forward" in vars(model)) or gaps(model, *given, **named),
    )
    lab.run([reward_run(texts, folders["gpt2"], dtype="bfloat16")])
    assert seen == [False]
