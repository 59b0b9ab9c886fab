"""Models that cannot be used are refused in one line, before anything is trained; names that tell how are mended."""

import json
import re
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from gguf import GGMLQuantizationType, GGUFWriter, quantize
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModelForCausalLM

from w2s_lib.book.chapter import open_lab
from w2s_lib.lab import Lab
from w2s_lib.models import checkpoints, folders, names, usable
from w2s_lib.models.checkpoints import CheckpointError
from w2s_lib.models.ladder import parse
from w2s_lib.models.names import UNRESOLVED, local
from w2s_lib.specs import Checkpoint, Features, PolicyRecipe, Recipe, Selection, Source, Texts, Train
from w2s_lib.study import edition

PAIRS = Source(name="texts", revision="0")
NAME = "model.layers.1.mlp.up_proj.weight"
COMMIT = "c0ffee" + 34 * "0"
POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 538090408\n"


def run(checkpoint, method="reward_model", max_tokens=64) -> Train:
    pairs = Texts(source=PAIRS, train_pairs=8, test_pairs=8, max_tokens=max_tokens)
    recipe = Recipe() if method == "reward_model" else PolicyRecipe()
    return Train(model=checkpoint, pairs=pairs, split="ground_truth", method=method, recipe=recipe)


@pytest.fixture
def commits():
    names._commit.cache_clear()
    yield
    names._commit.cache_clear()


@pytest.fixture
def mine(folders, tmp_path) -> Path:
    """A folder of one's own with a good model, to do harm to."""
    return Path(shutil.copytree(folders["llama"], tmp_path / "mine"))


def with_weights(change):
    """What writes the model's weights, changed."""

    def do(folder: Path) -> None:
        weights = change(load_file(folder / "model.safetensors"))
        save_file({name: w.contiguous() for name, w in weights.items()}, folder / "model.safetensors", {"format": "pt"})

    return do


def says(file: str, **fields):
    """What writes fields into a file of JSON."""

    def do(folder: Path) -> None:
        (folder / file).write_text(
            json.dumps(json.loads((folder / file).read_text(encoding="utf-8")) | fields), encoding="utf-8"
        )

    return do


def is_now(file: str, text: str):
    return lambda folder: (folder / file).write_text(text, encoding="utf-8")


def cut(file: str):
    return lambda folder: (folder / file).write_bytes((folder / file).read_bytes()[:-100])


def gone(*files: str):
    return lambda folder: [path.unlink() for file in files for path in folder.glob(file)]


def moved(name: str):
    return lambda folder: (folder / "model.safetensors").rename(folder / name)


def another(kind: str, **fields):
    """What puts a model of another family, without weights, in its place."""
    return lambda folder: AutoConfig.for_model(kind, vocab_size=260, **fields).save_pretrained(folder)


def half_of_its_shards(folder: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(folder)
    (folder / "model.safetensors").unlink()
    model.save_pretrained(folder, max_shard_size="40KB")
    min(folder.glob("model-*.safetensors")).unlink()


TIMES = lambda x: lambda weights: weights | {NAME: weights[NAME] * x}

BROKEN = {
    "weights that are missing": (with_weights(lambda w: {n: x for n, x in w.items() if ".1.mlp" not in n}),
        "3 missing, such as model.layers.1.mlp.down_proj.weight"),
    "weights of a wrapper of no known name": (with_weights(lambda w: {f"net.{n}": x for n, x in w.items()}),
        "29 missing.*29 not its own, such as net.model.embed_tokens.weight"),
    "weights that are not its own": (
        with_weights(lambda w: w | {"model.layers.0.self_attn.q_proj.bias": torch.ones(32)}),
        "1 not its own, such as model.layers.0.self_attn.q_proj.bias"),
    "adapters inside": (
        with_weights(lambda w: w | {"model.layers.0.self_attn.q_proj.lora_A.weight": torch.ones(2, 32)}),
        "1 not its own.*lora_A"),
    "another shape": (says("config.json", intermediate_size=96),
        "9 of another shape, such as model.layers.0.mlp.down_proj.weight"),
    "more blocks than weights": (says("config.json", num_hidden_layers=4), "9 missing, such as model.layers.3"),
    "more weights than blocks": (says("config.json", num_hidden_layers=2), "9 not its own, such as model.layers.2"),
    "weights that are not numbers": (with_weights(TIMES(float("nan"))),
        f"{NAME} in model.safetensors holds numbers that are not finite"),
    "infinite weights": (with_weights(TIMES(float("inf"))),
        f"{NAME} in model.safetensors holds numbers that are not finite"),
    "integers": (with_weights(lambda w: w | {NAME: (100 * w[NAME]).to(torch.int8)}),
        f"{NAME} in model.safetensors is packed as int8"),
    "eight bits": (with_weights(lambda w: w | {NAME: w[NAME].to(torch.float8_e4m3fn)}),
        f"{NAME} in model.safetensors is packed as float8_e4m3fn"),
    "a quantised model": (says("config.json", quantization_config={"quant_method": "gptq", "bits": 4}),
        r"its weights are quantised \(gptq\)"),
    "a pointer": (is_now("model.safetensors", POINTER), "model.safetensors is a pointer of git-lfs.*git lfs pull"),
    "a pointer for a tokenizer": (is_now("tokenizer.json", POINTER), "tokenizer.json is a pointer of git-lfs"),
    "an interrupted download": (cut("model.safetensors"), "model.safetensors is cut or damaged"),
    "an empty file": (is_now("model.safetensors", ""), "model.safetensors is cut or damaged"),
    "a cut tokenizer": (cut("tokenizer.json"), "tokenizer.json is cut or damaged"),
    "a cut configuration": (cut("config.json"), "config.json is cut or damaged"),
    "a configuration that is a list": (is_now("config.json", "[]"), "config.json holds no mapping"),
    "no configuration": (gone("config.json"), "has no config.json"),
    "no tokenizer": (gone("token*"),
        r"has no tokenizer; save it beside the weights: tokenizer.save_pretrained\(folder\)"),
    "the half of a tokenizer": (gone("tokenizer.json"), "its tokenizer cannot be read"),
    "a shard that is missing": (half_of_its_shards,
        "model.safetensors.index.json: 1 of .* shards are not there, first model-00001-of"),
    "a shard without an index": (moved("model-00001-of-00002.safetensors"),
        "has model-00001-of-00002.safetensors, and neither model.safetensors nor the index"),
    "an index of nothing": (
        lambda folder: (moved("a.safetensors")(folder), is_now("model.safetensors.index.json", "{}")(folder)),
        "it names no shard"),
    "adapters": (is_now("adapter_config.json", '{"peft_type": "LORA"}'),
        r"holds adapters \(PEFT\), no whole model; merge them first"),
    "no GGUF": (lambda folder: (gone("*")(folder), is_now("m.gguf", "nonsense")(folder)),
        "m.gguf is (no GGUF file|read by a package that is missing)"),
    "code": (says("config.json", auto_map={"AutoConfig": "code.Mine"}),
        "auto_map in config.json: brings code of its own, which is never run"),
    "code of a tokenizer": (says("tokenizer_config.json", auto_map={"AutoTokenizer": ["code.Mine", None]}),
        "auto_map in tokenizer_config.json"),
    "an encoder": (another("bert"), "is of the family 'bert'; causal language models are needed"),
    "an encoder that has no decoder": (another("distilbert"), "is of the family 'distilbert'"),
    "an encoder and a decoder": (another("t5"), "is of the family 't5'"),
    "pictures": (lambda folder: AutoConfig.for_model("vit").save_pretrained(folder), "is of the family 'vit'"),
    "no family": (says("config.json", model_type="llama9"), "llama9"),
    "no scalar head": (another("mamba", hidden_size=32, num_hidden_layers=2),
        "transformers has no scalar head for the family 'mamba'; its frozen layers can be used"),
}  # fmt: skip
"""What is done to a good model, and what is said of it then."""


@pytest.mark.parametrize("case", BROKEN)
def test_what_cannot_be_used_is_one_line(mine, case):
    harm, says = BROKEN[case]
    harm(mine)
    with pytest.raises(CheckpointError, match=says) as error:
        usable.check_models([run(local(mine))])
    assert str(error.value).startswith(f"model={str(mine)!r}: ") and "\n" not in str(error.value)


def test_good_models_are_passed(folders):
    usable.check_models([run(local(folder)) for folder in folders.values()])


def test_texts_may_have_as_many_tokens_as_a_model_has_positions(folders):
    checkpoint = local(folders["gpt2"])
    read = lambda tokens: Features(checkpoint=checkpoint, source=PAIRS, max_tokens=tokens)
    usable.check_models([run(checkpoint, max_tokens=512), read(512)])
    for asked in (run(checkpoint, max_tokens=513), read(513), run(checkpoint, "dpo", 513)):
        with pytest.raises(CheckpointError, match="has 512 positions, and max_tokens=513 asks for more"):
            usable.check_models([asked])


def test_a_lab_checks_models_before_it_begins(mine, tmp_path):
    with_weights(TIMES(float("nan")))(mine)
    lab = Lab(tmp_path / "store", workers=0, progress=False)
    for do in (lab.check, lab.run):
        with pytest.raises(CheckpointError, match="not finite"):
            do([run(local(mine))])
    assert not list(tmp_path.rglob("record.json"))


@pytest.fixture
def downloads(mine, tmp_path, monkeypatch):
    """What brings files of a model of the hub, by pattern, into an empty cache, and what the model is called."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    says = SimpleNamespace(siblings=[SimpleNamespace(rfilename="model.safetensors")])
    monkeypatch.setattr(names.HfApi, "model_info", lambda *_, **__: says)
    found = tmp_path / "hub" / "models--org--tiny" / "snapshots" / COMMIT
    found.mkdir(parents=True)
    usable._fits.cache_clear()
    checkpoints.tokenizer.cache_clear()
    of = lambda *patterns: [shutil.copy(path, found) for pattern in patterns for path in mine.glob(pattern)]
    return of, Checkpoint(name="org/tiny", revision=COMMIT)


def test_a_model_that_only_the_hub_has_is_held_against_what_it_says_of_itself(downloads, mine):
    """As a dry run does: configuration and tokenizer are small; weights are left where they are."""
    bring, there = downloads
    bring("config.json")
    with pytest.raises(CheckpointError, match="model='org/tiny': (has no tokenizer|its tokenizer cannot be read)"):
        usable.check_models([run(there)])
    checkpoints.tokenizer.cache_clear()
    bring("tokenizer*")
    usable.check_models([run(there), run(there, "dpo")])
    for method in ("reward_model", "dpo"):
        with pytest.raises(CheckpointError, match="model='org/tiny': has 512 positions, and max_tokens=513"):
            usable.check_models([run(there, method, max_tokens=513)])
    says("config.json", vocab_size=200)(mine)
    bring("config.json")
    usable._fits.cache_clear()
    with pytest.raises(CheckpointError, match="its tokenizer has 257 tokens, its embeddings 200 rows"):
        usable.check_models([run(there)])


def test_a_hub_that_is_out_of_reach_is_asked_once_and_not_waited_for(downloads, monkeypatch):
    """Transformers would try for minutes, file by file."""
    bring, there = downloads
    bring("config.json")
    asked = []

    def out_of_reach(*_, **__):
        asked.append(1)
        raise OSError("no route")

    monkeypatch.setattr(names.HfApi, "model_info", out_of_reach)
    for loader in (checkpoints.AutoConfig, checkpoints.AutoTokenizer):
        monkeypatch.setattr(loader, "from_pretrained", lambda *_, **__: pytest.fail("waits for the hub"))
    usable.check_models([run(there, max_tokens=513)])
    assert asked == [1]


@pytest.mark.parametrize("case", ["weights that are not numbers", "weights that are missing", "integers"])
def test_a_model_of_the_hub_is_fetched_and_looked_at_before_anything_is_trained(case, downloads, mine, monkeypatch):
    harm, says = BROKEN[case]
    harm(mine)
    bring, there = downloads
    bring("config.json", "tokenizer*")
    lab = Lab(mine.parent / "store", workers=0, progress=False)
    assert lab.check([run(there)], planning=True) == [run(there)], "a dry run fetches no weights"
    monkeypatch.setattr(names, "check_hub", lambda wanted: bring("model.safetensors"))
    with pytest.raises(CheckpointError, match=f"model='org/tiny': .*{says}"):
        lab.run([run(there)])
    assert not list(lab.store.root.rglob("record.json"))


def test_adapters_have_a_place_in_the_models_that_are_to_have_them(folders, mine):
    """Peft has a list of families."""
    fields = dict(vocab_size=260, num_hidden_layers=2, hidden_size=32, intermediate_size=64, num_attention_heads=2)
    config = AutoConfig.for_model("phi3", **fields, pad_token_id=0, bos_token_id=0, eos_token_id=0)
    AutoModelForCausalLM.from_config(config).save_pretrained(mine)
    for method in ("reward_model", "dpo"):
        usable.check_models([run(local(mine), method)])
        with pytest.raises(CheckpointError, match="lora_rank=4: peft knows no place for adapters in the family 'phi3'"):
            usable.check_models([run(local(mine, lora_rank=4), method)])
        usable.check_models([run(local(folder, lora_rank=4), method) for folder in folders.values()])


@pytest.mark.parametrize(
    ("files", "says"),
    [(["pytorch_model.bin"], "has no safetensors"), (OSError("no route"), "the hub cannot be reached.*no route")],
)
def test_a_plan_is_refused_like_the_run_unless_the_hub_alone_could_tell(files, says, monkeypatch, tmp_path, capsys):
    def info(api, name, revision):
        if isinstance(files, OSError):
            raise files
        return SimpleNamespace(siblings=[SimpleNamespace(rfilename=file) for file in files])

    monkeypatch.setattr(names.HfApi, "model_info", info)
    lab, asked = Lab(tmp_path, workers=0, progress=False), run(Checkpoint(name="owner/model", revision="1"))
    for do in (lab.run, lab.check):
        with pytest.raises(CheckpointError, match=f"model='owner/model': {says}"):
            do([asked])
    if isinstance(files, OSError):
        assert lab.check([asked], planning=True) == [asked]
        assert "note: this plan cannot be run from here: model='owner/model': the hub" in capsys.readouterr().err
    else:
        with pytest.raises(CheckpointError, match=says):
            lab.check([asked], planning=True)


def test_errors_name_models_as_an_edition_writes_them(folders, monkeypatch, tmp_path, commits, capsys):
    """The ladder and the hub, which redirects old names, call a model otherwise; so do paths."""

    def info(api, name, revision=None):
        if name.startswith("openai"):
            raise OSError("no route")
        files = ["pytorch_model.bin" if revision else "model.safetensors"]
        return SimpleNamespace(id="new/name", sha=COMMIT, siblings=[SimpleNamespace(rfilename=f) for f in files])

    monkeypatch.setattr(names.HfApi, "model_info", info)
    monkeypatch.setattr(names, "resolve_revision", lambda name, **_: SimpleNamespace(resolved=UNRESOLVED))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr("w2s_lib.study.edition.rank", len)
    with_weights(lambda weights: {})(Path(shutil.copytree(folders["llama"], tmp_path / "mine")))
    monkeypatch.chdir(tmp_path)
    written = ["gpt2:3", "./mine@2", "old/name"]
    fields = {"data": "pairs.jsonl", "models": written[1:], "weak_strong_pairs": ["gpt2:3 -> ./mine@2"]}
    lab = open_lab(tmp_path / "store", 0, edition.load("own", fields))
    for name in written:
        with pytest.raises(CheckpointError, match=f"model='{re.escape(name)}': "):
            lab.check([run(names.checkpoint_named(parse(name).base))])
    lab.check([run(names.checkpoint_named("gpt2"))], planning=True)
    assert "note: this plan cannot be run from here: model='gpt2:3': the hub" in capsys.readouterr().err


def test_a_vocabulary_beyond_the_embeddings_is_refused(mine):
    says("config.json", vocab_size=200)(mine)
    whole = lambda w: {n: x[:200] if len(x) == 260 else x for n, x in w.items()}
    with_weights(whole)(mine)
    with pytest.raises(CheckpointError, match="its tokenizer has 257 tokens, its embeddings 200 rows"):
        usable.check_models([run(local(mine))])


@pytest.mark.parametrize("method", ["simpo", "dpo"])
def test_a_policy_needs_its_output_layer(mine, method):
    """A reward model is read before it, and has another one."""
    with_weights(lambda w: {n: x for n, x in w.items() if not n.startswith("lm_head")})(mine)
    usable.check_models([run(local(mine))])
    with pytest.raises(CheckpointError, match="1 missing, such as lm_head.weight"):
        usable.check_models([run(local(mine), method)])


def test_a_classifier_of_three_classes_is_a_model_without_its_head(mine):
    with_weights(lambda w: w | {"score.weight": torch.ones(3, 32)})(mine)
    usable.check_models([run(local(mine))])
    assert checkpoints.reward_model(local(mine), 0.5, seed=1).score.weight.shape == (1, 32)


def test_masks_and_angles_of_older_files_are_no_weights(mine):
    old = {f"model.layers.{i}.self_attn.rotary_emb.inv_freq": torch.ones(8) for i in range(3)}
    with_weights(lambda w: w | old)(mine)
    usable.check_models([run(local(mine))])


WRAPPED = {
    "compiled": lambda name: f"_orig_mod.{name}",
    "of several processes": lambda name: f"module.{name}",
    "both": lambda name: f"module._orig_mod.{name}",
    "compiled inside": lambda name: name.replace("model.", "model._orig_mod.").replace("former.", "former._orig_mod."),
}


@pytest.mark.parametrize("name", ["llama", "gpt2"])
@pytest.mark.parametrize("wrap", WRAPPED)
def test_names_that_a_wrapper_lengthened_are_mended(folders, tmp_path, name, wrap):
    mine = Path(shutil.copytree(folders[name], tmp_path / "mine"))
    with_weights(lambda w: {WRAPPED[wrap](n): x for n, x in w.items()})(mine)
    usable.check_models([run(local(mine)), run(local(mine), "dpo")])
    for load in (checkpoints.language_model, lambda c: checkpoints.reward_model(c, 0.5, seed=1), checkpoints.backbone):
        plain, mended = (load(local(folder)) for folder in (folders[name], mine))
        assert all(torch.equal(x, mended.state_dict()[n]) for n, x in plain.state_dict().items())
    for model, where in ((plain, "plain"), (mended, "mended")):
        model.save_pretrained(tmp_path / where)
    names = [load_file(tmp_path / where / "model.safetensors").keys() for where in ("plain", "mended")]
    assert names[0] == names[1], "what is saved can be loaded"


def test_a_tokenizer_without_padding_and_end_pads_with_its_first_token(folders, mine):
    said = json.loads((mine / "tokenizer_config.json").read_text(encoding="utf-8"))
    for mark in ("eos_token", "bos_token", "pad_token"):
        said.pop(mark, None)
    (mine / "tokenizer_config.json").write_text(json.dumps(said), encoding="utf-8")
    usable.check_models([run(local(mine))])
    bare, usual = (checkpoints.tokenizer(local(folder), 64) for folder in (mine, folders["llama"]))
    assert bare.eos_token is None and bare.pad_token_id == 0
    assert (
        bare("<end> hello!")["input_ids"] == usual("<end> hello!")["input_ids"]
        or "<end>" not in usual.all_special_tokens
    )


def test_files_that_a_system_hides_beside_others_are_no_weights(folders, mine):
    (mine / "._model.safetensors").write_bytes(bytes(100))
    assert local(mine).revision == local(folders["llama"]).revision
    usable.check_models([run(local(mine))])


def test_several_gguf_files_are_named_one_by_one(tmp_path, monkeypatch):
    monkeypatch.setattr(folders, "find_spec", lambda name: name)
    for name in ("q4.gguf", "q8.gguf"):
        (tmp_path / name).write_bytes(b"GGUF" + name.encode())
    with pytest.raises(CheckpointError, match="has 2 GGUF files; name one of them"):
        local(tmp_path)
    one, other = local(tmp_path / "q4.gguf"), local(tmp_path / "q8.gguf")
    assert (one.name, one.gguf, one.folder) == ("q4", "q4.gguf", str(tmp_path)) and one.key != other.key
    monkeypatch.setattr(folders, "find_spec", lambda name: None)
    names._whole.cache_clear()
    with pytest.raises(CheckpointError, match="q4.gguf is read by a package that is missing: pip install gguf"):
        local(tmp_path / "q4.gguf")


@pytest.mark.parametrize(
    ("files", "named", "says"),
    [
        (
            ["m-00001-of-00002.gguf", "m-00002-of-00002.gguf"], "",
            "m-00001-of-00002.gguf is one of 2 files of one model; join them: "
            "llama-gguf-split --merge m-00001-of-00002.gguf m.gguf,",
        ),
        (
            ["my m-00001-of-00003.gguf", "my m-00002-of-00003.gguf"], "my m-00002-of-00003.gguf",
            "llama-gguf-split --merge 'my m-00001-of-00003.gguf' 'my m.gguf',",
        ),
        (
            ["m.gguf.part10", "m.gguf.part9", "m.gguf.part1"], "",
            "m.gguf.part1 is one of 3 pieces of a GGUF file; join them: "
            "cat m.gguf.part1 m.gguf.part9 m.gguf.part10 > m.gguf,",
        ),
        (
            ["m.gguf.part-b", "m.gguf.part-a", "n.gguf.part-c"], "m.gguf.part-b",
            "one of 2 pieces of a GGUF file; join them: cat m.gguf.part-a m.gguf.part-b > m.gguf,",
        ),
    ],
)  # fmt: skip
def test_parts_of_a_gguf_file_are_refused_with_what_joins_them(tmp_path, files, named, says):
    for name in files:
        (tmp_path / name).write_bytes(b"GGUF")
    with pytest.raises(CheckpointError) as failed:
        local(tmp_path / named if named else tmp_path)
    said = str(failed.value)
    assert says in said and said.endswith("and name that file") and "\n" not in said


@pytest.mark.parametrize(
    "parts", [["m.gguf.part1", "m.gguf.part2"], ["m-00001-of-00002.gguf", "m-00002-of-00002.gguf"]]
)
def test_a_file_that_was_joined_is_used_whatever_lies_beside_it(tmp_path, monkeypatch, parts):
    monkeypatch.setattr(folders, "find_spec", lambda name: name)
    for name in (*parts, "m.gguf"):
        (tmp_path / name).write_bytes(b"GGUF" + name.encode())
    assert local(tmp_path / "m.gguf").gguf == "m.gguf"
    (tmp_path / "only").mkdir()
    alone = tmp_path / "only" / "m-00001-of-00001.gguf"
    alone.write_bytes(b"GGUF")
    assert local(alone.parent).gguf == alone.name, "one of one is whole"


def test_numbers_of_a_gguf_file_are_looked_at(tmp_path):
    for name, value in (("sound", 1.0), ("broken", np.inf)):
        writer = GGUFWriter(tmp_path / f"{name}.gguf", "llama")
        blocks = quantize(np.ones((4, 32), np.float32), GGMLQuantizationType.Q8_0)
        writer.add_tensor("packed", blocks, raw_dtype=GGMLQuantizationType.Q8_0)
        writer.add_tensor("plain", np.full((4, 32), value, np.float32))
        for write in (writer.write_header_to_file, writer.write_kv_data_to_file, writer.write_tensors_to_file):
            write()
        writer.close()
    sound, broken = (local(tmp_path / f"{name}.gguf") for name in ("sound", "broken"))
    usable._numbers(sound, usable._files(sound))
    with pytest.raises(CheckpointError, match="plain in broken.gguf holds numbers that are not finite; use sound"):
        usable._numbers(broken, usable._files(broken))


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("./lama", r"models='./lama': no such folder; did you mean 'llama'\? allowed: a folder"),
        ("~/of/nobody", "models='~/of/nobody': no such folder; allowed"),
        ("models/lama", r"models='models/lama': no such folder; did you mean 'llama'\? allowed: a folder"),
        ("llama/model.safetensors", "models='llama/model.safetensors': is a file, not a folder; allowed"),
        ("a -> b", "models='a -> b': '->' stands between the models of a pair; rename the folder"),
        ("no/where", "models='no/where': the hub cannot be reached.*a folder is written ./name"),
        ("run@2@1", "models='run@2@1': may be the folder 'run@2@1/', or @1 of 'run@2/': write which"),
    ],
)
def test_a_name_that_is_none_is_refused_as_it_was_written(folders, tmp_path, monkeypatch, name, says):
    monkeypatch.chdir(tmp_path)
    for folder in ("llama", "models/llama", "run@2", "run@2@1"):
        shutil.copytree(folders["llama"], tmp_path / folder)
    with pytest.raises(ValueError, match=says) as error:
        edition.load("own", {"data": "pairs.jsonl", "models": [name, "gpt2"], "weak_strong_pairs": [f"{name} -> gpt2"]})
    assert "\n" not in str(error.value)


def test_folders_may_be_called_like_parts_of_models(folders, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for folder in ("run@2", "run:2"):
        shutil.copytree(folders["llama"], tmp_path / folder)
    given = {"data": "pairs.jsonl", "models": ["run@2", "./run:2@1"], "weak_strong_pairs": ["./run:2@1 -> run@2"]}
    e = edition.load("own", given)
    assert e.models == ("run@2/", "./run:2/@1") and e.weak_strong == [("./run:2/@1", "run@2/")]
    assert parse("run@2/") == ("run@2/", None, None, "mean") and parse("./run:2/@1")[:3] == ("./run:2/", None, 1)
    assert names.checkpoint_named("run@2/").name == "run@2"
    assert edition.load("own", given | {"models": e.models, "weak_strong_pairs": e.weak_strong_pairs}) == e, (
        "what was read can be read again"
    )


def test_a_weak_model_that_is_larger_is_told_both_sizes(folders):
    weak, strong = f"{folders['llama']}@3", f"{folders['llama']}@1"
    with pytest.raises(ValueError, match=r"@3 has 0\.0\d+ and .*@1 has 0\.0\d+ million weights"):
        edition.load("own", {"data": "p.jsonl", "models": [weak, strong], "weak_strong_pairs": [f"{weak} -> {strong}"]})


@pytest.mark.parametrize("other", [True, False])
def test_an_oracle_that_reads_other_tokens_is_refused(folders, mine, other):
    if other:
        told = json.loads((mine / "tokenizer.json").read_text(encoding="utf-8"))
        vocab = told["model"]["vocab"]
        first, second = list(vocab)[1:3]
        vocab[first], vocab[second] = vocab[second], vocab[first]
        (mine / "tokenizer.json").write_text(json.dumps(told), encoding="utf-8")
    oracle = run(local(mine), "dpo").model_copy(update={"tokens": True})
    weak = run(local(mine), "simpo")
    student = run(local(folders["llama"]), "simpo").model_copy(
        update={"split": "weak_label", "labels": weak, "selection": Selection(share=0.3, oracle=oracle)}
    )
    if other:
        with pytest.raises(CheckpointError, match="reads other tokens than .*mine.*use one tokenizer"):
            usable.check_models([student])
    else:
        usable.check_models([student])


def test_a_download_that_was_cut_short_is_no_reason_to_refuse(tmp_path, monkeypatch):
    """The hub's cache has the index of the shards and not all of them: they are fetched where the model is loaded."""
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {NAME: "model-00001-of-00002.safetensors"}}), encoding="utf-8")
    cached = lambda name, file, revision: str(index) if file == index.name else None
    monkeypatch.setattr(usable, "try_to_load_from_cache", cached)
    assert usable._files(Checkpoint(name="org/large", revision="1")) == ()
