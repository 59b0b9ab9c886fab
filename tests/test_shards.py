"""A run that several processes share (FSDP, here on the CPU through gloo) has the scores of one that is done alone."""

import json
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from w2s_lib.data.sources import source
from w2s_lib.lab import Lab
from w2s_lib.lab.execute import RunError, execute
from w2s_lib.models import names
from w2s_lib.specs import Checkpoint, Conflict, PolicyRecipe, Pretrain, Recipe, Source, Texts, Train, World
from w2s_lib.training import shards
from w2s_lib.training.shards import SHARDS, ShardedError

WORDS = (
    "how do i bake a good loaf of bread knead the dough well and wait no never mind that it is fine go on then".split()
)
SPECIAL = ["<s>", "</s>", "<pad>", "<unk>"]
SMALL = {"vocab_size": len(WORDS) + len(SPECIAL), "bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 2}
MODELS = {
    "gpt2": lambda: GPT2LMHeadModel(
        GPT2Config(n_embd=32, n_layer=2, n_head=4, n_positions=64, resid_pdrop=0, embd_pdrop=0, attn_pdrop=0, **SMALL)
    ),
    "llama": lambda: LlamaForCausalLM(
        LlamaConfig(
            hidden_size=32,
            intermediate_size=48,
            num_hidden_layers=3,
            num_attention_heads=4,
            num_key_value_heads=2,
            **SMALL,
        )
    ),
}


@pytest.fixture(scope="module")
def texts(tmp_path_factory) -> Texts:
    """Pairs of random words, no prompt twice."""
    path, draw = tmp_path_factory.mktemp("pairs") / "pairs.jsonl", np.random.default_rng(0)
    say = lambda n: " " + " ".join(draw.choice(WORDS, n))
    rows = [
        {
            "prompt": f"\n\nHuman:{say(6)}\n\nAssistant:",
            "chosen": say(draw.integers(3, 9)),
            "rejected": say(draw.integers(3, 9)),
        }
        for _ in range(90)
    ]
    path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    return Texts(source=source(path), train_pairs=32, test_pairs=12, max_tokens=32)


def saved(kind: str, folder, **fields) -> Checkpoint:
    """A model with random weights and its tokenizer, in a folder as a hub's would be."""
    torch.manual_seed(1)
    MODELS[kind]().save_pretrained(folder)
    backend = Tokenizer(models.WordLevel({word: i for i, word in enumerate([*SPECIAL, *WORDS])}, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    tokens = dict(zip(("bos_token", "eos_token", "pad_token", "unk_token"), SPECIAL))
    PreTrainedTokenizerFast(tokenizer_object=backend, **tokens).save_pretrained(folder)
    return names.local(folder, name=kind, **fields)


def student(model: Checkpoint, texts: Texts) -> Train:
    recipe = Recipe(epochs=2, batch_size=16, learning_rate=3e-3)
    weak = Train(model=model, pairs=texts, split="ground_truth", recipe=recipe)
    return Train(
        model=model,
        pairs=texts,
        split="weak_label",
        labels=weak,
        recipe=recipe,
        conflict=Conflict(kind="explicit", alpha=0.5),
    )


def dpo(model: Checkpoint, texts: Texts) -> Train:
    recipe = PolicyRecipe(epochs=2, batch_size=16, learning_rate=3e-3, sft_epochs=1)
    return Train(model=model, pairs=texts, split="ground_truth", method="dpo", recipe=recipe)


class Pair(NamedTuple):
    """What one pair of processes did, run after run, and what this process did alone."""

    runs: dict[str, list[Train]]
    alone: Lab
    shared: Lab
    held: list[list[int]]
    """Of a reward model and of a policy: how many numbers its weights are, and how many of them the first holds."""

    failed: str
    """What the last run, whose model's weights are gone, ended with."""


@pytest.fixture(scope="module")
def pair(texts, tmp_path_factory) -> Pair:
    """A reward model on weak labels under a conflict, and a policy after supervised fine-tuning, of two architectures;
    then a run that fails.  Processes take long to start: one pair does it all, the policy by the command line."""
    folder = tmp_path_factory.mktemp("pair")
    (folder / "runs").mkdir()
    models = {name: saved(name, folder / name, layers=n) for name, n in (("gpt2", None), ("llama", 2))}
    last, gone = dpo(models["llama"], texts), saved("gpt2", folder / "gone")
    first = student(models["gpt2"], texts)
    runs = {"gpt2": [*first.labellers, first], "llama": [last]}
    alone, shared = (Lab(folder / name, workers=0, progress=False) for name in ("alone", "shared"))
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv(SHARDS, raising=False)
        alone.run([first, last])
        (folder / "gone" / "model.safetensors").unlink()
        for i, run in enumerate(sum(runs.values(), [])):
            written = json.dumps(shards._whole(run))
            (folder / "runs" / f"{i}.json").write_text(written, encoding="utf-8")
        patch.setenv(SHARDS, "2")
        with pytest.raises(ShardedError) as failed:
            fails = student(gone, texts).labels.model_copy(update={"replica": 7})
            shards.launch(fails, shared.store.root, "tests.shared")
    held = json.loads((folder / "held.json").read_text(encoding="utf-8"))
    return Pair(runs, alone, shared, held, str(failed.value))


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["gpt2", "llama"])
def test_two_processes_give_the_scores_of_one(kind, pair):
    assert pair.shared.missing(pair.runs[kind]) == [], "they were done by the pair"
    for run in pair.runs[kind]:
        a, b = (lab.scores(run)["margin"].to_numpy() for lab in (pair.alone, pair.shared))
        assert np.abs(a).max() > 0.05, "it has learnt something"
        assert np.abs(a - b).max() < 1e-4 * np.abs(a).max()


@pytest.mark.slow
def test_each_process_holds_its_part_of_every_weight_also_after_reading_it(pair):
    assert len(pair.held) == 2, "a reward model and a policy"
    assert all(part < 0.6 * whole for whole, part in pair.held)


@pytest.mark.slow
def test_a_shared_run_that_fails_says_in_one_line_what_the_first_process_said_that_failed(pair):
    assert pair.failed.startswith("W2S_SHARDS=2: model=") and "\n" not in pair.failed


def test_a_lab_has_every_run_shared_that_can_be_and_names_one_that_fails(texts, tmp_path, monkeypatch):
    run, launched = student(saved("gpt2", tmp_path / "model"), texts), []

    def launch(spec, root, module):
        launched.append((spec, module))
        if spec == run:
            raise ShardedError("W2S_SHARDS=2: a line")
        with monkeypatch.context() as patch:
            patch.delenv(SHARDS)
            execute(spec, root)

    monkeypatch.setenv(SHARDS, "2")
    monkeypatch.setattr("w2s_lib.lab.execute._at_work", threading.RLock())  # this process is both
    monkeypatch.setattr(shards, "launch", launch)
    with pytest.raises(RunError, match=f"run {run.key} .* failed: W2S_SHARDS=2: a line") as error:
        Lab(tmp_path / "store", workers=0, progress=False).run([run])
    assert "\n" not in str(error.value)
    assert launched == [(one, "w2s_lib.lab.execute") for one in (*run.labellers, run)]


def test_the_processes_run_the_module_that_asks_for_them(texts, tmp_path, monkeypatch):
    run, commands = student(saved("gpt2", tmp_path / "model"), texts).labels, []
    monkeypatch.setenv(SHARDS, "2")
    monkeypatch.setattr(
        shards.subprocess, "run", lambda command, **_: commands.append(command) or SimpleNamespace(returncode=0)
    )
    shards.launch(run, tmp_path, "some.module")
    (command,) = commands
    assert command[-4:-1] == ["-m", "some.module", str(tmp_path)]


def test_what_cannot_be_shared_is_refused_before_any_run(texts, tmp_path, monkeypatch):
    run = student(saved("gpt2", tmp_path / "model"), texts)
    lab = Lab(tmp_path / "store", workers=0, progress=False)
    stops = run.model_copy(update={"recipe": run.recipe.model_copy(update={"patience": 2})})
    fenced = dict(confidence_weight=0.5, confidence_fence="quantile")
    fenced = run.model_copy(update={"recipe": run.recipe.model_copy(update=fenced)})
    for count, spec, says in (
        ("3", run, "a batch of 16 pairs cannot be shared equally"),
        ("2", stops, r"early stopping \(patience=2\) needs"),
        ("2", fenced, r"a quantile of the batch \(confidence_fence=quantile\) needs all of it in one process"),
    ):
        monkeypatch.setenv(SHARDS, count)
        with pytest.raises(ShardedError, match=f"{SHARDS}={count}: {says}"):
            lab.run([spec])
    assert lab.trained == 0 and len(lab.missing([run])) == 2
    monkeypatch.delenv(SHARDS)
    shards.check_shared([stops])


@pytest.mark.parametrize("said", ["0", "-1", "two", "1.5"])
def test_a_number_of_shards_that_is_none_is_refused(said, monkeypatch):
    monkeypatch.setenv(SHARDS, said)
    with pytest.raises(ShardedError, match=f"W2S_SHARDS='{said}': must be a whole number"):
        shards.shards()


def test_a_batch_is_divided_among_processes_and_parts(monkeypatch):
    assert shards.batch_arguments(7) == {"per_device_train_batch_size": 7} and shards.is_first()
    assert shards.batch_arguments(32, at_a_time=8) == {
        "per_device_train_batch_size": 8,
        "gradient_accumulation_steps": 4,
    }
    assert shards.batch_arguments(16, at_a_time=8, pairs=28) == {
        "per_device_train_batch_size": 4,
        "gradient_accumulation_steps": 4,
    }
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "1")
    monkeypatch.setenv("WORLD_SIZE", "4")
    monkeypatch.setenv("RANK", "2")
    assert not shards.is_first()
    for size, few, parts in ((32, 4, 2), (12, 3, 1), (20, 1, 5), (24, 3, 2), (4, 1, 1)):
        assert shards.batch_arguments(size) == {
            "per_device_train_batch_size": few,
            "gradient_accumulation_steps": parts,
        }
    with pytest.raises(ShardedError, match="W2S_SHARDS=4: a batch of 30 pairs cannot be shared"):
        shards.batch_arguments(30)


def test_only_training_all_weights_of_a_real_model_is_shared(monkeypatch):
    pairs = Texts(source=Source(name="x", revision="1"), train_pairs=16, test_pairs=16)
    real = Train(model=Checkpoint(name="m", revision="2"), pairs=pairs, split="ground_truth")
    adapters = real.model_copy(update={"model": real.model.model_copy(update={"lora_rank": 4})})
    monkeypatch.delenv(SHARDS, raising=False)
    assert not shards.wanted(real)
    monkeypatch.setenv(SHARDS, "2")
    assert shards.wanted(real) and not shards.wanted(adapters) and not shards.wanted(Pretrain(world=World(), width=8))
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert not shards.wanted(real), "it is being shared already"


def test_a_spec_survives_the_way_to_another_process(texts, tmp_path, monkeypatch):
    model = Checkpoint(name="m", revision="2", folder="/there", gguf="m.gguf")
    ensemble = (student(model, texts).labels.model_copy(update={"replica": 7}),)
    run, read = student(model, texts).model_copy(update={"ensemble": ensemble}), []
    monkeypatch.setenv(SHARDS, "2")
    says = lambda command, **_: read.append(shards.read_run(Path(command[-1]))) or SimpleNamespace(returncode=0)
    monkeypatch.setattr(shards.subprocess, "run", says)
    shards.launch(run, tmp_path, "some.module")
    (found,) = read
    assert found.key == run.key and found == run
    assert found.labels.model.folder == "/there" and found.pairs.source.files == texts.source.files
