"""Frozen features: packed rows say what each text alone says; pairs keep their sides."""

import weakref

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import save_file
from transformers import LlamaConfig, LlamaModel, OPTConfig, OPTModel

from w2s_lib.models import checkpoints, features, names
from w2s_lib.models.features import begins, feature_differences, oriented, read_layer
from w2s_lib.models.scores import encode, openings
from w2s_lib.specs import Checkpoint, Features, Layer, Source


class Words:
    """A tokenizer of words, enough for ``encode``."""

    def __init__(self, longest=64):
        self.model_max_length, self.truncation_side = longest, "right"

    def __call__(self, texts, add_special_tokens=False):
        if isinstance(texts, str):
            return {"input_ids": []}
        return {"input_ids": [[sum(map(ord, word)) % 97 for word in text.split()] for text in texts]}


PAIRS = pd.DataFrame({
    "prompt": ["ask me something", "why", "what is it that you want to know", "go on"],
    "chosen": [" yes of course", " because", " the answer please", " no"],
    "rejected": [" yes of no", " no reason at all", " nothing", " no and no again"],
}).assign(opening=lambda pairs: pairs["prompt"], ending="")  # fmt: skip


TEXTS = Features(checkpoint=Checkpoint(name="m", revision="1"), source=Source(name="texts", revision="0"), shards=1)
SMALL = dict(vocab_size=97, hidden_size=16, num_hidden_layers=2, num_attention_heads=2)


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return LlamaModel(LlamaConfig(intermediate_size=32, **SMALL)).eval()


def read_by(tokenizer: Words) -> tuple[list[list[int]], list[list[int]], list[int]]:
    """Chosen and rejected texts and where their replies begin."""
    chosen, rejected = encode(tokenizer, PAIRS)
    return chosen, rejected, begins(openings(tokenizer, PAIRS), chosen, rejected)


@pytest.mark.parametrize("shared", [True, False], ids=["shared", "not shared"])
def test_differences_are_those_of_each_text_alone(model, shared):
    model.set_attn_implementation("sdpa" if shared else "eager")
    found = feature_differences(model, *read_by(Words()))
    assert model.config._attn_implementation == ("shared_prefix" if shared else "eager")
    assert set(found) == {f"{layer}.{pooling}" for layer in (0, 1, 2) for pooling in ("last", "mean")}
    for i, (prompt, chosen, rejected) in enumerate(zip(PAIRS["prompt"], PAIRS["chosen"], PAIRS["rejected"])):
        before = len(prompt.split())
        states = []
        for reply in (chosen, rejected):
            ids = torch.tensor(Words()([prompt + reply])["input_ids"])
            states.append(model(input_ids=ids, output_hidden_states=True).hidden_states)
        for layer in (0, 1, 2):
            good, bad = (s[layer][0] for s in states)
            assert torch.allclose(found[f"{layer}.last"][i].float(), good[-1] - bad[-1], atol=2e-3)
            mean = good[before:].mean(0) - bad[before:].mean(0)
            assert torch.allclose(found[f"{layer}.mean"][i].float(), mean, atol=2e-3)


def test_long_texts_are_cut_and_keep_a_reply():
    for chosen, rejected, begin in zip(*read_by(Words(4))):
        assert begin < min(len(chosen), len(rejected)) <= max(len(chosen), len(rejected)) <= 4


def test_shards_are_read_as_one_and_pairs_can_be_turned(tmp_path):
    x, ids = np.arange(12, dtype=np.float32).reshape(4, 3), ["a", "b", "c", "d"]
    for shard in (0, 1):
        folder = tmp_path / str(shard)
        folder.mkdir()
        save_file({"2.mean": torch.tensor(x[shard::2]).half()}, folder / "features.safetensors")
        pd.DataFrame({"pair_id": ids[shard::2]}).to_parquet(folder / "pairs.parquet")
    found, row_of = read_layer((tmp_path / "0", tmp_path / "1"), Layer(features=TEXTS, layer=2))
    asked = pd.DataFrame({"pair_id": ["d", "a"], "turned": [True, False]})
    assert oriented(found, row_of, asked).tolist() == [[-9, -10, -11], [0, 1, 2]]


def test_layers_may_differ_in_width():
    """As OPT-350m's: its states are projected to the width of its embeddings behind the last block."""
    torch.manual_seed(0)
    shape = dict(ffn_dim=32, word_embed_proj_dim=8, max_position_embeddings=64, do_layer_norm_before=False)
    model = OPTModel(OPTConfig(**SMALL, **shape)).eval()
    found = feature_differences(model, *read_by(Words()))
    assert [found[f"{layer}.last"].shape[1] for layer in (0, 1, 2)] == [16, 16, 8]
    chosen, rejected, _ = read_by(Words())
    good, bad = (model(input_ids=torch.tensor([side[0]])).last_hidden_state[0, -1] for side in (chosen, rejected))
    assert torch.allclose(found["2.last"][0].float(), good - bad, atol=2e-3)


def test_a_layer_with_states_too_large_for_half_precision_is_refused_and_the_others_are_read(tmp_path, monkeypatch):
    torch.manual_seed(0)
    large = LlamaModel(LlamaConfig(intermediate_size=32, **SMALL)).eval()
    monkeypatch.setattr(features, "usable_pairs", lambda source, max_tokens: PAIRS.assign(pair_id=list("abcd")))
    monkeypatch.setattr(checkpoints, "tokenizer", lambda checkpoint, max_tokens: Words())
    monkeypatch.setattr(features, "_backbone", lambda checkpoint: large)
    with torch.no_grad():
        large.norm.weight.mul_(1e6)
    assert features.extract(TEXTS, tmp_path)["pairs"] == 4
    first, second = (Layer(features=TEXTS, layer=layer, pooling="last") for layer in (1, 2))
    assert np.isfinite(read_layer((tmp_path,), first)[0]).all()
    says = "^model='m', layer 2, last: states of 4 of 4 pairs are too large for half precision; read another layer$"
    with pytest.raises(features.FeaturesError, match=says):
        read_layer((tmp_path,), second)


def test_a_model_is_kept_for_its_shards_and_no_longer(folders, monkeypatch):
    one, two = (names.local(folders[name]) for name in ("llama", "gpt2"))
    alive, load = [], checkpoints.backbone

    def loading(checkpoint):
        alive.append(sum(model() is not None for model in models))
        model = load(checkpoint)
        models.append(weakref.ref(model))
        return model

    models = []
    monkeypatch.setattr(checkpoints, "backbone", loading)
    for checkpoint in (one, one, two):
        features._backbone(checkpoint)
    assert alive == [0, 0], "loaded once, and gone before the other is loaded"
    features.keep(None)
    assert not any(model() is not None for model in models), "another kind of run has the memory"
