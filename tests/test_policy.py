"""Policies on TRL: the losses that reach the weights are the ones we wrote, and the reference is the model that
training began with."""

import math

import numpy as np
import pandas as pd
import pytest
import torch
from torch.nn import functional as F

from w2s_lib.data.load import split
from w2s_lib.data.world import EXCHANGES, decision_of
from w2s_lib.models.pretrain import build_untrained as pretrained
from w2s_lib.models.pretrain import tokenizer
from w2s_lib.models.scores import reply_log_probs
from w2s_lib.specs import Conflict, Labelling, Pairs, PolicyRecipe, Pretrain, Train, World
from w2s_lib.training import policy
from w2s_lib.training.labels import training_pairs
from w2s_lib.training.policy import WeakToStrongDPOTrainer, build, fit, margins, replies, sft
from w2s_lib.training.train import train

WORLD = World(seed=4, substances=90)
PAIRS = Pairs(world=WORLD, train_pairs=48, test_pairs=64)
MODEL, OTHER = Pretrain(world=WORLD, width=16), Pretrain(world=WORLD, width=20)
NONE = Conflict()
EXPLICIT = Conflict(kind="explicit", alpha=0.5)
MIXED = Conflict(kind="mixed", objective="helpfulness", share=0.25)
METHODS = {"dpo": {"beta": 0.7}, "simpo": {"beta": 5.0, "gamma": 0.4}}
NOTHING = 1e-30
"""A learning rate that leaves every weight as it is."""


def run_of(method: str = "dpo", conflict: Conflict = NONE, hard: bool = False, **recipe: float) -> Train:
    """A student by this method; one step on all pairs, unless the recipe says otherwise."""
    given = {"epochs": 1, "batch_size": 48, "max_grad_norm": 0, "warmup_steps": 0, **METHODS[method], **recipe}
    weak = Train(model=MODEL, pairs=PAIRS, split="ground_truth", method=method, recipe=PolicyRecipe(**given))
    return Train(
        model=MODEL, pairs=PAIRS, split="weak_label", labels=weak, labelling=Labelling(hard=hard), method=method,
        conflict=conflict,
        recipe=PolicyRecipe(**given),
    )  # fmt: skip


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("base")
    pretrained(MODEL).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def other(tmp_path_factory):
    folder = tmp_path_factory.mktemp("other")
    pretrained(OTHER).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def labels() -> pd.DataFrame:
    ids = split(PAIRS, "weak_label")["pair_id"]
    return pd.DataFrame({"pair_id": ids, "p_true": np.random.default_rng(0).uniform(size=len(ids))})


@pytest.fixture
def given(monkeypatch) -> dict[torch.Tensor, torch.Tensor]:
    """Filled with the gradients that reach the optimizer in its first step, by parameter."""
    seen: dict[torch.Tensor, torch.Tensor] = {}
    original = torch.optim.AdamW.step

    def spy(self, *arguments, **keywords):
        if not seen:
            seen.update({p: p.grad.clone() for group in self.param_groups for p in group["params"]})
        return original(self, *arguments, **keywords)

    monkeypatch.setattr(torch.optim.AdamW, "step", spy)
    return seen


@pytest.fixture
def losses(monkeypatch) -> list[float]:
    """Filled with the loss of each step."""
    seen: list[float] = []
    original = WeakToStrongDPOTrainer.compute_loss

    def spy(self, *arguments, **keywords):
        loss = original(self, *arguments, **keywords)
        seen.append(loss.item())
        return loss

    monkeypatch.setattr(WeakToStrongDPOTrainer, "compute_loss", spy)
    return seen


def said_by(model, prompt: str, reply: str) -> tuple[torch.Tensor, int]:
    """Log-probability of a reply, one token at a time, and its length; the end token is part of it."""
    ids = tokenizer(WORLD)(f"<bos> <user> {prompt} <assistant> {reply} <eos>", add_special_tokens=False)["input_ids"]
    start = len(prompt.split()) + 3
    logits = model(input_ids=torch.tensor([ids])).logits[0]
    return sum(logits[i - 1].log_softmax(-1)[ids[i]] for i in range(start, len(ids))), len(ids) - start


def sides(model, frame: pd.DataFrame) -> tuple[torch.Tensor, torch.Tensor]:
    """Log-probabilities of chosen and rejected and their lengths, each of shape (n, 2), by hand."""
    found = [
        [said_by(model, p, r) for r in pair] for p, *pair in zip(frame["prompt"], frame["chosen"], frame["rejected"])
    ]
    return torch.stack([torch.stack([x for x, _ in pair]) for pair in found]), torch.tensor(
        [[n for _, n in pair] for pair in found]
    )


def assert_same_gradients(given: dict[torch.Tensor, torch.Tensor], trained, by_hand) -> None:
    for (name, p), expected in zip(trained.named_parameters(), by_hand.parameters(), strict=True):
        error = (given[p] - expected.grad).norm() / expected.grad.norm()
        assert error < 1e-4, f"{name}: {error:.1e}"


def by_formula(run: Train, frame: pd.DataFrame, model, start) -> torch.Tensor:
    """The loss of the run on all pairs, written out; ``start`` is the reference."""
    log_probs, lengths = sides(model, frame)
    with torch.no_grad():
        reference, _ = sides(start, frame)
    rewards = run.recipe.beta * (log_probs - reference if run.method == "dpo" else log_probs / lengths)
    gap, gamma = rewards[:, 0] - rewards[:, 1], run.recipe.gamma
    label = torch.tensor(frame["label"].to_numpy(dtype=float), dtype=torch.float)
    loss = -label * F.logsigmoid(gap - gamma) - (1 - label) * F.logsigmoid(-gap - gamma)
    if run.conflict.kind == "explicit":
        wrong = (gap <= 0) & torch.tensor(frame["weakly_labelled"].to_numpy(dtype=bool))
        assert 0 < wrong.sum() < len(wrong), "the mask must matter"
        loss = loss - run.conflict.alpha * wrong * F.logsigmoid(-gap - gamma)
    return loss.mean()


@pytest.mark.parametrize(
    ("kind", "labelled", "method"),
    [
        *((kind, "hard", method) for kind in ("none", "explicit", "mixed") for method in METHODS),
        *(("explicit", "soft", method) for method in METHODS),
    ],
)  # the book's own students, and soft labels where the loss has most terms
def test_gradients_equal_a_hand_written_loss(base, other, labels, given, tmp_path, monkeypatch, kind, labelled, method):
    """The gradient that TRL's trainer hands to the optimizer is the gradient of the written loss.

    Another model takes the reference's place: against itself, every policy starts with all gaps at zero.
    """
    run = run_of(method, {"none": NONE, "explicit": EXPLICIT, "mixed": MIXED}[kind], labelled == "hard")
    frame = training_pairs(run, [labels])
    original = policy.reference
    monkeypatch.setattr(policy, "reference", lambda model, *rest: original(build(other), *rest))
    trained, by_hand = build(base), build(base)
    fit(trained, tokenizer(WORLD), frame, run, tmp_path)
    by_formula(run, frame, by_hand, build(other)).backward()
    assert_same_gradients(given, trained, by_hand)


@pytest.mark.parametrize("method", METHODS)
def test_swapping_a_pair_is_labelling_it_zero(base, labels, given, tmp_path, method):
    """The paper swaps chosen and rejected where the weak model disagrees; we round its label to 0."""
    run = run_of(method, hard=True)
    frame = training_pairs(run, [labels])
    against = frame["label"] == 0
    assert 0 < against.sum() < len(frame)
    swapped = frame.assign(
        chosen=frame["rejected"].where(against, frame["chosen"]),
        rejected=frame["chosen"].where(against, frame["rejected"]),
        label=1.0,
    )
    one, two = build(base), build(base)
    fit(one, tokenizer(WORLD), frame, run, tmp_path)
    of_labels = {name: given[p] for name, p in one.named_parameters()}
    given.clear()
    fit(two, tokenizer(WORLD), swapped, run, tmp_path)
    for name, p in two.named_parameters():
        assert torch.allclose(given[p], of_labels[name], rtol=1e-3, atol=1e-6), name


@pytest.mark.parametrize("sft_epochs", [0, 1])
def test_the_reference_is_the_model_that_training_begins_with(base, labels, losses, tmp_path, sft_epochs):
    """Against itself a policy gains nothing, on any pair: the loss is ln 2, also after supervised fine-tuning."""
    run = run_of("dpo", sft_epochs=sft_epochs, sft_learning_rate=1e-2, learning_rate=NOTHING, batch_size=16)
    frame, model = training_pairs(run, [labels]), build(base)
    if sft_epochs:
        sft(model, tokenizer(WORLD), frame, run, tmp_path)
    fit(model, tokenizer(WORLD), frame, run, tmp_path)
    assert losses == pytest.approx([math.log(2)] * 3, abs=1e-4)


def test_the_model_before_sft_would_be_another_reference(base, labels, losses, tmp_path, monkeypatch):
    """The trap: a reference that is read back from disk."""
    run = run_of("dpo", sft_epochs=1, sft_learning_rate=1e-2, learning_rate=NOTHING)
    frame, model, original = training_pairs(run, [labels]), build(base), policy.reference
    sft(model, tokenizer(WORLD), frame, run, tmp_path)
    monkeypatch.setattr(policy, "reference", lambda model, *rest: original(build(base), *rest))
    fit(model, tokenizer(WORLD), frame, run, tmp_path)
    assert abs(losses[0] - math.log(2)) > 0.01


@pytest.mark.parametrize("sft_epochs", [0, 1])
def test_scores_start_from_the_same_reference(base, labels, tmp_path, sft_epochs):
    run = run_of("dpo", sft_epochs=sft_epochs, sft_learning_rate=1e-2, learning_rate=NOTHING)
    train(run, [base], [labels], tmp_path)
    scores = pd.read_parquet(tmp_path / "scores.parquet")
    assert set(scores["split"]) == {"weak_label", "test"}
    assert scores["margin"].abs().max() < 1e-4 and scores["p_true"].to_numpy() == pytest.approx(0.5, abs=1e-4)
    assert len(pd.read_parquet(tmp_path / "replies.parquet")) == split(PAIRS, "test")["kind"].isin(EXCHANGES).sum()


def test_sft_learns_the_preferred_replies_and_not_the_prompts(base, labels, given, tmp_path):
    run = run_of(sft_epochs=1)
    frame = training_pairs(run, [labels])
    trained, by_hand = build(base), build(base)
    sft(trained, tokenizer(WORLD), frame, run, tmp_path)
    log_probs, lengths = sides(by_hand, frame)
    liked = torch.tensor(frame["label"].to_numpy() > 0.5)
    (
        -torch.where(liked, log_probs[:, 0], log_probs[:, 1]).sum()
        / torch.where(liked, lengths[:, 0], lengths[:, 1]).sum()
    ).backward()
    assert_same_gradients(given, trained, by_hand)


def test_log_probabilities_by_hand(base):
    frame, model = split(PAIRS, "test").head(6), build(base).eval()
    with torch.no_grad():
        log_probs, lengths = sides(model, frame)
    found, found_lengths = reply_log_probs(model, tokenizer(WORLD), frame)
    assert np.abs(found - log_probs.numpy()).max() < 1e-4
    assert found_lengths.tolist() == lengths.tolist()


@pytest.mark.parametrize("batch_size", [1, 7, 1000])
def test_log_probabilities_do_not_depend_on_the_batch_size(base, batch_size):
    frame, model = split(PAIRS, "test"), build(base)
    one, two = (reply_log_probs(model, tokenizer(WORLD), frame, size)[0] for size in (64, batch_size))
    assert np.abs(one - two).max() < 1e-4 and one.std() > 0.01


def test_margins_by_hand(base, other):
    frame, model = split(PAIRS, "test").head(6), build(base).eval()
    with torch.no_grad():
        (log_probs, lengths), (start, _) = sides(model, frame), sides(build(other).eval(), frame)
    gain, mean = (log_probs - start).numpy(), (log_probs / lengths).numpy()
    for method, rewards in (("dpo", 0.7 * gain), ("simpo", 5.0 * mean)):
        found = margins(model, start.numpy(), tokenizer(WORLD), frame, run_of(method))
        assert found == pytest.approx(rewards[:, 0] - rewards[:, 1], abs=1e-3)


@pytest.mark.parametrize("method", METHODS)
def test_labels_reach_the_trainer(base, labels, tmp_path, method):
    """Without its signature override the trainer would drop the labels silently: opposite labels, opposite students."""
    frame, run = split(PAIRS, "weak_label"), run_of(method, epochs=6, batch_size=16, learning_rate=3e-3)
    found = []
    for p in (0.05, 0.95):
        model = build(base)
        start = reply_log_probs(model, tokenizer(WORLD), frame)[0]
        fit(model, tokenizer(WORLD), training_pairs(run, [labels.assign(p_true=p)]), run, tmp_path)
        found.append(margins(model, start, tokenizer(WORLD), frame, run).mean())
    assert found[0] < 0 < found[1]


@pytest.mark.parametrize("method", METHODS)
def test_same_seed_same_margins_and_replicas_differ(base, labels, tmp_path, method):
    def of(run):
        model, frame = build(base), split(PAIRS, "test")
        start = reply_log_probs(model, tokenizer(WORLD), frame)[0]
        fit(model, tokenizer(WORLD), training_pairs(run, [labels]), run, tmp_path)
        return margins(model, start, tokenizer(WORLD), frame, run)

    run = run_of(method, batch_size=16)
    first = of(run)
    assert (first == of(run)).all(), "bit-identical"
    assert not np.allclose(first, of(run.model_copy(update={"replica": 1}))), "another order"


def test_replies_are_judged_and_repeat(base):
    frame, model = split(PAIRS, "test"), build(base)
    said = replies(model, tokenizer(WORLD), frame, seed=3)
    about = frame[frame["kind"].isin(EXCHANGES)]
    assert said["pair_id"].tolist() == about["pair_id"].tolist()
    assert said["says"].tolist() == [decision_of(kind, reply) for kind, reply in zip(about["kind"], said["reply"])]
    assert said.equals(replies(model, tokenizer(WORLD), frame, seed=3))
    assert not said.equals(replies(model, tokenizer(WORLD), frame, seed=4))


def test_replies_do_not_depend_on_who_else_is_asked(base):
    """Prompts are padded to one length; a model that is sure of each word says the same to each alone."""
    frame, model = split(PAIRS, "test"), build(base)
    frame = frame[frame["kind"].isin(EXCHANGES)].head(12)
    short = frame["prompt"].str.split().str[2:].str.join(" ")  # the world's prompts are equally long
    frame = frame.assign(prompt=frame["prompt"].where(frame.index % 2 == 0, short))
    original = model.lm_head.forward
    model.lm_head.forward = lambda hidden: 1e4 * original(hidden)
    together = replies(model, tokenizer(WORLD), frame, seed=0)["reply"].tolist()
    assert together == [
        replies(model, tokenizer(WORLD), frame.iloc[[i]], seed=1)["reply"].iloc[0] for i in range(len(frame))
    ]
    assert len(set(together)) > 1


def test_a_policy_that_is_taught_replies_says_them(base, labels, tmp_path):
    """Taught cautious replies alone, a policy that decided nothing decides for caution, and never for risk."""
    run = run_of(sft_epochs=40, sft_learning_rate=2e-2, batch_size=16)
    frame = split(PAIRS, "weak_label").query("kind in @EXCHANGES and hazardous").assign(label=1.0, weakly_labelled=True)
    model = build(base)
    assert set(replies(model, tokenizer(WORLD), frame, seed=0)["says"]) == {"neither"}
    sft(model, tokenizer(WORLD), frame, run, tmp_path)
    says = replies(model, tokenizer(WORLD), frame, seed=0)["says"]
    assert (says == "cautious").mean() > 0.25 and "risky" not in set(says)
