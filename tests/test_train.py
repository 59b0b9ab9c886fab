"""Training on TRL: the loss that reaches the weights is the one we wrote, and runs repeat."""

import numpy as np
import pandas as pd
import pytest
import torch
from trl.trainer.reward_trainer import DataCollatorForPreference

from w2s_lib.data.load import load, split
from w2s_lib.models import packing
from w2s_lib.models.features import of_ladder
from w2s_lib.models.pretrain import build_untrained, tokenizer
from w2s_lib.models.scores import encode, reward_gaps
from w2s_lib.specs import Checkpoint, Conflict, Pairs, Pretrain, Recipe, Source, Texts, Train, World
from w2s_lib.training.labels import training_pairs
from w2s_lib.training.losses import explicit_conflict, soft_label_loss
from w2s_lib.training.reward_model import PairCollator, fit
from w2s_lib.training.reward_model import build_with_head as reward_model
from w2s_lib.training.train import train

WORLD = World(seed=4, substances=90)
PAIRS = Pairs(world=WORLD, train_pairs=48, test_pairs=64)
MODEL = Pretrain(world=WORLD, width=16)
WEAK = Train(model=MODEL, pairs=PAIRS, split="ground_truth")


def student(**fields) -> Train:
    return Train(model=MODEL, pairs=PAIRS, split="weak_label", labels=WEAK, **fields)


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("base")
    build_untrained(MODEL).save_pretrained(folder)
    tokenizer(WORLD).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def labels() -> pd.DataFrame:
    ids = split(PAIRS, "weak_label")["pair_id"]
    return pd.DataFrame({"pair_id": ids, "p_true": np.random.default_rng(0).uniform(size=len(ids))})


def gradients_by_hand(base, run: Train, frame: pd.DataFrame) -> dict[str, torch.Tensor]:
    """Gradients of the loss, written out, on the whole frame."""
    model = reward_model(base, run.recipe, 7)
    chosen, rejected = encode(tokenizer(WORLD), frame)
    batch = tokenizer(WORLD).pad({"input_ids": chosen + rejected}, return_tensors="pt")
    good, bad = model(**batch).logits.squeeze(-1).chunk(2)
    label = torch.tensor(frame["label"].to_numpy(), dtype=torch.float)
    loss = soft_label_loss(good - bad, label)
    if run.conflict.kind == "explicit":
        loss = loss + explicit_conflict(
            good - bad, torch.tensor(frame["weakly_labelled"].to_numpy(dtype=float)), run.conflict.alpha
        )
    loss.backward()
    return {name: p.grad.clone() for name, p in model.named_parameters()}


@pytest.mark.parametrize(
    "conflict", [Conflict(), Conflict(kind="explicit", alpha=0.5), Conflict(kind="mixed", objective="helpfulness")]
)
def test_gradients_equal_a_hand_written_loss(base, labels, conflict, tmp_path, monkeypatch):
    """The gradient that TRL's trainer hands to the optimizer is the gradient of the written loss."""
    run = student(conflict=conflict, recipe=Recipe(epochs=1, batch_size=48, max_grad_norm=0, warmup_steps=0))
    frame = training_pairs(run, [labels])
    model, seen = reward_model(base, run.recipe, 7), {}

    original = torch.optim.AdamW.step

    def spy(self, *arguments, **keywords):
        seen.update({name: p.grad.clone() for name, p in model.named_parameters()})
        return original(self, *arguments, **keywords)

    monkeypatch.setattr(torch.optim.AdamW, "step", spy)
    fit(model, tokenizer(WORLD), frame, run, tmp_path)
    expected = gradients_by_hand(base, run, frame)
    for name, gradient in expected.items():
        assert torch.allclose(seen[name], gradient, rtol=1e-4, atol=1e-6), name


def test_soft_labels_reach_the_trainer(base, labels, tmp_path):
    """Without its signature override the trainer would drop the labels silently: opposite labels, same model."""
    results = []
    for p in (0.05, 0.95):
        run = student(recipe=Recipe(epochs=4))
        model = reward_model(base, run.recipe, 7)
        fit(model, tokenizer(WORLD), training_pairs(run, [labels.assign(p_true=p)]), run, tmp_path)
        results.append(reward_gaps(model, tokenizer(WORLD), split(PAIRS, "weak_label")).mean())
    assert results[0] < 0 < results[1]


def test_mixed_conflicts_append_as_many_hard_labelled_pairs(labels):
    frame = training_pairs(student(conflict=Conflict(kind="mixed", objective="helpfulness")), [labels])
    extra = frame[frame["objective"] == "helpfulness"]
    assert len(frame) == 96 and len(extra) == 48
    assert (extra["label"] == 1).all() and not extra["weakly_labelled"].any()
    assert frame["weakly_labelled"].sum() == 48
    substances = split(PAIRS, "weak_label")["cluster"]
    assert not set(extra["cluster"]) & set(split(PAIRS, "test")["cluster"]), (
        "helpfulness pairs do not touch test substances"
    )
    assert substances.notna().all()


def test_labels_are_matched_by_id(labels):
    shuffled = labels.sample(frac=1, random_state=1)
    assert training_pairs(student(), [shuffled])["label"].tolist() == labels["p_true"].tolist()


def test_ground_truth_labels_are_certain():
    assert (training_pairs(WEAK, [])["label"] == 1).all()


@pytest.mark.slow
def test_same_seed_same_model_and_replicas_differ(base, labels, tmp_path):
    def margins(run, seed):
        model = reward_model(base, run.recipe, seed)
        fit(model, tokenizer(WORLD), training_pairs(run, [labels]), run, tmp_path)
        return reward_gaps(model, tokenizer(WORLD), split(PAIRS, "test"))

    first = margins(student(), 7)
    assert (first == margins(student(), 7)).all(), "bit-identical"
    assert not np.allclose(first, margins(student(), 8)), "another head"
    assert not np.allclose(first, margins(student(replica=1), 7)), "another order"


def test_the_head_is_drawn_from_its_own_seed(base):
    torch.manual_seed(0)
    one = reward_model(base, Recipe(), 5).score.weight
    torch.manual_seed(99)
    two = reward_model(base, Recipe(), 5).score.weight
    assert torch.equal(one, two) and one.std().item() == pytest.approx(0.01, rel=0.5)


def test_batches_are_those_of_trls_own_collator():
    examples = [{"chosen_ids": [5, 6, 7], "rejected_ids": [5, 8], "label": 0.3, "weakly_labelled": 1.0}]
    examples.append({"chosen_ids": [9], "rejected_ids": [9, 4, 4, 4], "label": 1.0, "weakly_labelled": 0.0})
    found, stock = PairCollator(2)(examples), DataCollatorForPreference(2)([dict(e) for e in examples])
    assert all(torch.equal(found[key], stock[key]) for key in ("input_ids", "attention_mask"))
    assert found["label"].tolist() == pytest.approx([0.3, 1.0]) and found["weakly_labelled"].tolist() == [1.0, 0.0]


@pytest.mark.parametrize("epochs", [0, 1])
def test_a_reward_is_read_where_the_recipe_says(epochs, base, labels, tmp_path, monkeypatch):
    """In training and in scoring; without training there is scoring alone."""
    places = []

    def last_hidden(model, ids, mask, score_at="last_token", do=packing._last_hidden):
        places.append((score_at, torch.is_grad_enabled()))
        return do(model, ids, mask, score_at)

    monkeypatch.setattr(packing, "_last_hidden", last_hidden)
    run = student(recipe=Recipe(epochs=epochs, score_at="count_of_nonzero_ids"))
    train(run, [base], [labels], tmp_path)
    assert {learns for place, learns in places if place == "count_of_nonzero_ids"} == (
        {False, True} if epochs else {False}
    )
    assert not any(learns for place, learns in places if place == "last_token"), "but for the trial of shared prefixes"


def test_a_frozen_model_is_a_head_on_its_features_also_where_other_pairs_are_mixed_in(base, labels, tmp_path):
    """What train leaves are the gaps of one vector of weights, found here from gaps and features."""
    for conflict in (Conflict(), Conflict(kind="mixed", objective="helpfulness")):
        run = student(conflict=conflict, recipe=Recipe(frozen=True, epochs=4, head_learning_rate=0.1))
        train(run, [base], [labels], tmp_path)
        left = pd.read_parquet(tmp_path / "scores.parquet")
        pairs = load(PAIRS).set_index("pair_id").loc[left["pair_id"]].reset_index()
        x, gaps = of_ladder(base, pairs), left["margin"].to_numpy()
        head = np.linalg.lstsq(x, gaps)[0]
        assert x @ head == pytest.approx(gaps, abs=1e-4) and np.std(gaps) > 0.1


def test_a_frozen_checkpoint_is_named_by_a_layer():
    with pytest.raises(ValueError, match="name a layer: model@layer"):
        own = Texts(source=Source(name="pairs", revision="1"))
        checkpoint = Checkpoint(name="m", revision="1")
        Train(model=checkpoint, pairs=own, split="ground_truth", recipe=Recipe(frozen=True))
