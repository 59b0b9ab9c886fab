"""The ladder's models: word tokens, packed rows, reproducible weights, knowledge measured where planted."""

import numpy as np
import pytest
import torch

from w2s_lib.data.world import substances, vocabulary
from w2s_lib.models import checkpoints, names
from w2s_lib.models.pretrain import build_untrained, corpus, knowledge, pretrain, tokenizer
from w2s_lib.specs import Pretrain, World, stream

WORLD = World(seed=6, substances=60)


def test_tokenizer_is_one_token_a_word():
    text = f"<bos> <user> is {substances(WORLD)['name'][0]} safe for my soup <assistant>"
    ids = tokenizer(WORLD)(text, add_special_tokens=False)["input_ids"]
    assert len(ids) == len(text.split())
    assert tokenizer(WORLD).convert_ids_to_tokens(ids) == text.split()
    assert len(tokenizer(WORLD)) == len(vocabulary(WORLD))


def test_corpus_is_packed_and_starts_with_a_document():
    rows = corpus(WORLD, 5000, 48)
    assert rows.shape == (5000 // 48, 48)
    assert rows[0, 0] == tokenizer(WORLD).bos_token_id
    assert (rows != tokenizer(WORLD).pad_token_id).all()


def test_wider_models_have_more_parameters_and_seeds_give_weights():
    sizes = [build_untrained(Pretrain(world=WORLD, width=w)).num_parameters() for w in (12, 16, 24)]
    assert sizes == sorted(sizes) and len(set(sizes)) == 3
    one, two = (build_untrained(Pretrain(world=WORLD, width=16)).lm_head.weight for _ in range(2))
    assert torch.equal(one, two)
    assert not torch.equal(one, build_untrained(Pretrain(world=World(seed=7), width=16)).lm_head.weight)


def test_a_replica_begins_with_other_weights_and_the_first_with_those_of_before():
    first, again = (build_untrained(Pretrain(world=WORLD, width=16, replica=replica)) for replica in (0, 1))
    torch.manual_seed(stream(WORLD.seed, "pretraining", 16))
    assert torch.equal(first.lm_head.weight, type(first)(first.config).lm_head.weight)
    assert not torch.equal(first.lm_head.weight, again.lm_head.weight)


def test_a_replica_reads_the_same_documents_in_another_order(tmp_path, monkeypatch):
    orders = []
    monkeypatch.setattr(
        "w2s_lib.models.pretrain.TrainingArguments", lambda **given: orders.append(given["seed"]) or 1 / 0
    )
    for replica in (0, 1):
        with pytest.raises(ZeroDivisionError):
            pretrain(Pretrain(world=WORLD, width=16, tokens=5000, replica=replica), tmp_path)
    assert orders[0] == stream(WORLD.seed, "pretraining order") % 2**32 != orders[1]


class Oracle(torch.nn.Module):
    """A language model that says the true word with probability .9 of the two kinds."""

    def forward(self, input_ids):
        hazard = substances(WORLD).set_index("name")["hazardous"]
        logits = torch.full((*input_ids.shape, len(vocabulary(WORLD))), -20.0)
        for i, row in enumerate(input_ids):
            tokens = tokenizer(WORLD).convert_ids_to_tokens(row.tolist())
            (hazardous,) = [hazard[token] for token in tokens if token in hazard.index]
            for word, p in (("toxic", 0.9 if hazardous else 0.1), ("mild", 0.1 if hazardous else 0.9)):
                logits[i, -1, tokenizer(WORLD).convert_tokens_to_ids(word)] = np.log(p)
        return type("Output", (), {"logits": logits})


def test_knowledge_of_a_planted_model():
    frame = knowledge(Oracle(), WORLD)
    assert frame["p_true"].to_numpy() == pytest.approx(0.9, abs=1e-4)
    assert len(frame) == 60


def test_building_a_model_leaves_the_random_state_as_it_was():
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    build_untrained(Pretrain(world=WORLD, width=12))
    assert torch.equal(torch.rand(2), expected)


@pytest.mark.parametrize(
    "build", [checkpoints.language_model, lambda model, seed: checkpoints.reward_model(model, 0.5, seed)]
)
def test_adapters_leave_the_random_state_as_it_was(build, folders):
    model = names.local(folders["llama"], lora_rank=2)
    torch.manual_seed(3)
    build(model, seed=5)
    one = torch.rand(2)
    torch.manual_seed(3)
    build(model, seed=6)
    assert torch.equal(torch.rand(2), one)
