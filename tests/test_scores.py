"""Scores do not depend on how they are batched, and are read at the last real token."""

import numpy as np
import pandas as pd
import pytest
import torch

from w2s_lib.data.load import load
from w2s_lib.models.pretrain import build_untrained, tokenizer
from w2s_lib.models.scores import as_scores, encode, reward_gaps
from w2s_lib.specs import Pairs, Pretrain, Recipe, World
from w2s_lib.training.reward_model import build_with_head as reward_model


def score(model, tokenizer, pairs, token_budget=1024):
    return as_scores(pairs, reward_gaps(model, tokenizer, pairs, token_budget))


WORLD = World(seed=4, substances=90)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("base")
    build_untrained(Pretrain(world=WORLD, width=16)).save_pretrained(folder)
    torch.set_num_threads(1)
    return reward_model(folder, Recipe(head_scale=1.0), seed=1).eval()


@pytest.fixture(scope="module")
def pairs() -> pd.DataFrame:
    return load(Pairs(world=WORLD, train_pairs=64, test_pairs=100))


@pytest.mark.parametrize("token_budget", [1, 100, 300, 100_000])
def test_scores_do_not_depend_on_the_batch_size(model, pairs, token_budget):
    reference = score(model, tokenizer(WORLD), pairs, token_budget=1024)
    other = score(model, tokenizer(WORLD), pairs, token_budget=token_budget)
    assert (np.abs(reference["margin"] - other["margin"]) / reference["margin"].abs().clip(lower=1)).max() <= 1e-5
    assert np.abs(reference["p_true"] - other["p_true"]).max() <= 1e-5
    assert reference["margin"].std() > 0.01, "a model that scores everything alike would pass any comparison"


def test_scores_do_not_depend_on_the_order_of_the_pairs(model, pairs):
    shuffled = pairs.sample(frac=1, random_state=0)
    one, two = (score(model, tokenizer(WORLD), p).set_index("pair_id")["margin"] for p in (pairs, shuffled))
    assert np.abs(one - two.loc[one.index]).max() <= 1e-5


def test_score_by_hand(model, pairs):
    row = pairs.iloc[0]
    values = []
    for reply in (row["chosen"], row["rejected"]):
        text = f"<bos> <user> {row['prompt']} <assistant> {reply} <eos>"
        ids = tokenizer(WORLD)(text, add_special_tokens=False, return_tensors="pt")["input_ids"]
        with torch.no_grad():
            hidden = model.model(input_ids=ids).last_hidden_state[0, -1]
        values.append(float(hidden @ model.score.weight[0].detach()))
    frame = score(model, tokenizer(WORLD), pairs.head(1))
    assert frame["margin"][0] == pytest.approx(values[0] - values[1], abs=1e-5)
    assert frame["p_true"][0] == pytest.approx(1 / (1 + np.exp(values[1] - values[0])), abs=1e-5)


def test_every_word_is_known(pairs):
    chosen, rejected = encode(tokenizer(WORLD), pairs)
    padding, end = tokenizer(WORLD).pad_token_id, tokenizer(WORLD).eos_token_id
    assert not any(padding in ids for ids in chosen + rejected), "an unknown word would become padding"
    assert all(ids[-1] == end for ids in chosen + rejected)
