"""Labels are changed as a trainer could change them; filters drop what they say; the losses and the stopping rule do
what they are named for."""

import numpy as np
import pandas as pd
import pytest
import torch
from torch.nn import functional as F

from w2s_lib.data.load import split
from w2s_lib.data.pairs import PairsError
from w2s_lib.errors import OneLineError
from w2s_lib.models.pretrain import build_untrained, tokenizer
from w2s_lib.models.scores import encode, reward_gaps
from w2s_lib.specs import Conflict, Labelling, Pairs, PolicyRecipe, Pretrain, Recipe, Submission, Train, World
from w2s_lib.study.mitigations import ENSEMBLE, FLOOR, MITIGATIONS, TOKENS
from w2s_lib.training import reward_model as module
from w2s_lib.training.labels import kept, relabel, summarise_labels, training_pairs
from w2s_lib.training.losses import confident_label, hardened, soft_label_loss
from w2s_lib.training.reward_model import LOOK_EVERY, WeakToStrongRewardTrainer, fit
from w2s_lib.training.reward_model import build_with_head as reward_model

WORLD = World(seed=4, substances=90)
PAIRS = Pairs(world=WORLD, train_pairs=48, test_pairs=64)
MODEL = Pretrain(world=WORLD, width=16)
WEAK = Train(model=MODEL, pairs=PAIRS, split="ground_truth")
Q = np.array([0.05, 0.2, 0.25, 0.3, 0.45, 0.5, 0.55, 0.7, 0.75, 0.76, 0.95, 1.0])
EXPLICIT, MIXED = Conflict(kind="explicit", alpha=0.5), Conflict(kind="mixed", objective="helpfulness")


def student(**fields) -> Train:
    return Train(**{"model": MODEL, "pairs": PAIRS, "split": "weak_label", "labels": WEAK} | fields)


def scores(p: np.ndarray | float) -> pd.DataFrame:
    """As a weak supervisor leaves them: its p of the truth for every pair that the student learns from."""
    return pd.DataFrame({"pair_id": split(PAIRS, "weak_label")["pair_id"], "p_true": np.broadcast_to(p, 48)})


def random_labels(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(size=48)


# Labels


def test_labels_are_rounded_or_lifted_and_otherwise_left_alone():
    assert relabel(Q, Labelling()) is Q
    assert relabel(Q, Labelling(hard=True)).tolist() == [0, 0, 0, 0, 0, 0.5, 1, 1, 1, 1, 1, 1]
    lifted = [0.05, 0.1, 0.1, 0.1, 0.1, 0.5, 0.9, 0.9, 0.9, 0.9, 0.95, 1.0]
    assert relabel(Q, Labelling(floor=0.9)) == pytest.approx(lifted)


def test_clear_labels_leave_the_band_of_every_alpha_up_to_0_8():
    q = relabel(np.linspace(0, 1, 1000), MITIGATIONS["clear_labels"].labelling)  # none is exactly 1/2
    for alpha in (0.1, 0.5, 0.8):
        assert summarise_labels(pd.DataFrame({"label": q}), 1000, (0.5, (1 + alpha) / 2))["in_band"] == 0
    assert summarise_labels(pd.DataFrame({"label": q}), 1000, (0.5, (1 + 0.9) / 2))["in_band"] > 0 and FLOOR == 0.9


def test_filters_keep_what_they_say():
    assert kept(Q, Labelling()).all()
    honest, leaky = kept(Q, Labelling(keep_above=0.75)), kept(Q, Labelling(keep_above=0.75, leaky=True))
    assert Q[honest].tolist() == [0.05, 0.2, 0.76, 0.95, 1.0], "0.25 and 0.75 are no more confident than the threshold"
    assert Q[leaky].tolist() == [0.76, 0.95, 1.0]
    assert not (leaky & ~honest).any(), "the leaky one drops whatever the honest one drops, and more"


def asks_the_truth(name: str) -> bool:
    """Whether it treats pairs and their mirror images, whose labels are 1 − q, differently: all at once, and one."""
    run = MITIGATIONS[name].of(student())
    told = [scores(random_labels(i)) for i, _ in enumerate(run.labellers)]

    def answers(mirrored: np.ndarray) -> np.ndarray:
        """Label of every pair turned back, NaN where it is dropped."""
        turned = [one.assign(p_true=np.where(mirrored, 1 - one["p_true"], one["p_true"])) for one in told]
        frame = training_pairs(run, turned).drop_duplicates("pair_id").set_index("pair_id")["label"]
        frame = frame.reindex(told[0]["pair_id"]).to_numpy()
        return np.where(mirrored, 1 - frame, frame)

    plain = answers(np.zeros(48, dtype=bool))
    return any(not np.allclose(plain, answers(m), equal_nan=True) for m in (np.arange(48) >= 0, np.arange(48) % 3 == 0))


@pytest.mark.parametrize("name", [name for name in MITIGATIONS if name not in TOKENS])
def test_only_what_says_so_asks_the_truth(name):
    asking = ("leaky_filter", "label_again_misplaced")
    assert asks_the_truth(name) == (name in asking) == (not MITIGATIONS[name].honest)


def test_the_paper_s_filter_removes_the_band_and_its_mirror_image_and_nothing_else():
    q = np.linspace(0, 1, 2001)
    gone = ~kept(q, Labelling(keep_above=0.75))
    assert gone[(q >= 0.5) & (q < 0.75)].all() and not gone[(q > 0.75) | (q < 0.25)].any()


def test_labels_are_described():
    frame = pd.DataFrame({"label": [0.2, 0.6, 0.5, 0.75]})
    assert summarise_labels(frame, 8, (0.5, 0.75)) == pytest.approx(
        {"kept": 0.5, "right": 0.5, "confidence": (0.8 + 0.6 + 0.5 + 0.75) / 4, "in_band": 0.5}
    )


# Training pairs


def test_a_filter_drops_pairs_and_keeps_the_others_labels():
    q = random_labels()
    frame = training_pairs(student(labelling=Labelling(keep_above=0.75)), [scores(q)])
    ids = split(PAIRS, "weak_label")["pair_id"]
    assert frame["pair_id"].tolist() == ids[np.maximum(q, 1 - q) > 0.75].tolist()
    assert frame["label"].tolist() == q[np.maximum(q, 1 - q) > 0.75].tolist() and frame["weakly_labelled"].all()
    assert list(frame.index) == list(range(len(frame)))
    leaky = training_pairs(student(labelling=Labelling(keep_above=0.75, leaky=True)), [scores(q)])
    assert leaky["label"].tolist() == q[q > 0.75].tolist() and 0 < len(leaky) < len(frame) < 48


def test_an_ensemble_is_averaged_pair_by_pair_before_it_is_rounded():
    run = student(ensemble=tuple(WEAK.model_copy(update={"replica": r}) for r in ENSEMBLE))
    q = [random_labels(seed) for seed in range(3)]
    shuffled = [scores(one).sample(frac=1, random_state=i) for i, one in enumerate(q)]
    assert len(run.labellers) == 3
    assert training_pairs(run, shuffled)["label"].to_numpy() == pytest.approx(np.mean(q, axis=0))
    rounded = training_pairs(run.model_copy(update={"labelling": Labelling(hard=True)}), shuffled)
    assert rounded["label"].tolist() == (np.mean(q, axis=0) > 0.5).astype(float).tolist()


@pytest.mark.parametrize(("share", "extra"), [(1.0, 48), (0.25, 12), (0.1, 5)])
def test_a_mixed_conflict_brings_its_share_of_pairs(share, extra):
    frame = training_pairs(
        student(conflict=Conflict(kind="mixed", objective="helpfulness", share=share)), [scores(0.7)]
    )
    mixed = frame[~frame["weakly_labelled"]]
    assert len(mixed) == extra and (mixed["label"] == 1).all() and (mixed["objective"] == "helpfulness").all()


@pytest.mark.parametrize("share", [1.0, 0.5])
def test_pairs_are_mixed_in_by_their_share_of_what_a_filter_leaves(share):
    run = student(conflict=MIXED.model_copy(update={"share": share}), labelling=Labelling(keep_above=0.75))
    frame = training_pairs(run, [scores(random_labels())])
    left = frame["weakly_labelled"].sum()
    assert 0 < left < 48 and (~frame["weakly_labelled"]).sum() == round(share * left)


# Policies: a filter by differences in log-probability


def policy_student(method: str, leaky: bool = False, hard: bool = True) -> Train:
    weak = Train(model=MODEL, pairs=PAIRS, split="ground_truth", method=method, recipe=PolicyRecipe(beta=2.0))
    labelling = Labelling(hard=hard, keep_above=0.75, leaky=leaky, filter_by="log_probability")
    return Train(
        model=MODEL,
        pairs=PAIRS,
        split="weak_label",
        labels=weak,
        labelling=labelling,
        method=method,
        recipe=weak.recipe,
    )


@pytest.mark.parametrize("leaky", [False, True])
@pytest.mark.parametrize(("method", "divisor"), [("simpo", 1), ("dpo", 50)])
def test_a_policy_s_filter_goes_by_log_probability_without_beta_and_keeps_what_is_on_the_threshold(
    method, divisor, leaky
):
    rng = np.random.default_rng(1)
    difference = rng.normal(scale=2 * divisor, size=48)
    difference[:2] = divisor * np.log(3), -divisor * np.log(3)  # the sigmoid of which is 3/4 and 1/4
    margin = 2.0 * difference  # what is stored has beta
    table = scores(1 / (1 + np.exp(-margin))).assign(margin=margin)
    frame = training_pairs(policy_student(method, leaky), [table.sample(frac=1, random_state=0)])
    sure = np.abs(difference) / divisor >= np.log(3) - 1e-12
    expected = sure & (difference > 0) if leaky else sure
    assert expected.sum() < 48 and frame["pair_id"].tolist() == table["pair_id"][expected].tolist()
    assert frame["label"].tolist() == (difference[expected] > 0).astype(float).tolist(), (
        "labels are rounded, and stay what they were"
    )
    on_the_line = set(table["pair_id"][: 1 if leaky else 2])
    assert on_the_line <= set(frame["pair_id"])


def test_reward_models_labels_have_no_log_probability():
    with pytest.raises(ValueError, match="filter_by=log_probability is for labels of policies"):
        student(labelling=Labelling(keep_above=0.75, filter_by="log_probability"))
    with pytest.raises(ValueError, match="filter_by belongs to a filter"):
        Labelling(filter_by="log_probability")


@pytest.mark.parametrize("leaky", [False, True])
def test_a_filter_that_keeps_nothing_is_one_line_that_names_the_parameter(leaky):
    p = 0.1 if leaky else 0.6  # confident and wrong: nothing is left for the leaky one
    with pytest.raises(PairsError, match="^filter_above=0.75: no pair") as error:
        training_pairs(student(labelling=Labelling(keep_above=0.75, leaky=leaky)), [scores(p)])
    assert isinstance(error.value, OneLineError) and "\n" not in str(error.value)


def test_a_half_without_a_labelled_pair_is_one_line():
    """A submission may label a single pair, and a first stage of cross-fitting be trained on the others."""
    submitted = Submission(code="", model=MODEL, labels=WEAK, order=0)
    first, second = (student(labels=submitted, labelling=Labelling(half=half)) for half in (0, 1))
    assert len(training_pairs(first, [scores(0.9)[:1]])) == 1
    with pytest.raises(PairsError, match="no labelled pair is in the half"):
        training_pairs(second, [scores(0.9)[:1]])


# The confidence loss

GAP, LABEL = torch.tensor([2.0, -1.0, 0.3, -0.2]), torch.tensor([0.9, 0.2, 0.4, 0.7])


WRITTEN = {"half": [1.0, 0.0, 1.0, 0.0], "quantile": [1.0, 0.0, 0.0, 1.0]}
"""The opinion of ``GAP`` by fence.  With every second pair turned the gaps are 2, 1, .3, .2 and the labels .9, .8, .4,
.3, of mean .6: the quantile at .4 is .44, so that the first two lie above; the second, turned back, says 0, the last
says 1."""


def mixed(gap: torch.Tensor, label: torch.Tensor, weight: float, fence: str = "half") -> torch.Tensor:
    return confident_label(label, weight, hardened(gap, label, torch.ones(len(gap)), fence))


@pytest.mark.parametrize("fence", WRITTEN)
def test_mixing_labels_is_mixing_losses(fence):
    """Burns et al. write two cross-entropies; the library mixes their labels.  Value and gradient agree."""
    gap, weight = GAP.clone().requires_grad_(), 0.3
    soft_label_loss(gap, mixed(gap, LABEL, weight, fence)).backward()
    by_hand, opinion = GAP.clone().requires_grad_(), torch.tensor(WRITTEN[fence])
    entropy = F.binary_cross_entropy_with_logits
    loss = (1 - weight) * entropy(by_hand, LABEL) + weight * entropy(by_hand, opinion)
    loss.backward()
    assert torch.allclose(gap.grad, by_hand.grad, atol=1e-7)
    written = (torch.sigmoid(GAP) - (1 - weight) * LABEL - weight * opinion) / len(GAP)
    assert torch.allclose(gap.grad, written, atol=1e-7)
    assert torch.allclose(soft_label_loss(GAP, mixed(GAP, LABEL, weight, fence)), loss)


def test_the_student_s_opinion_is_rounded_and_not_asked_for_the_truth():
    assert torch.equal(mixed(GAP, LABEL, 0.0), LABEL)
    assert mixed(GAP, LABEL, 1.0).tolist() == [1, 0, 1, 0]
    assert torch.allclose(mixed(-GAP, 1 - LABEL, 0.4), 1 - mixed(GAP, LABEL, 0.4)), "the same for the mirror image"


@pytest.mark.parametrize("n", [2, 7, 32, 33])
def test_as_many_pairs_lie_above_the_quantile_as_weak_labels_say(n):
    """Whatever the student thinks, and whichever pairs are mixed in."""
    rng = np.random.default_rng(n)
    for _ in range(50):
        gap, label = map(torch.tensor, (rng.normal(rng.normal(), 1, n), rng.uniform(size=n) ** rng.uniform(0, 3)))
        weakly = torch.tensor(rng.uniform(size=n) < 0.7)
        weakly[0] = True
        turned = torch.arange(n) % 2 == 1
        above = hardened(gap, label, weakly, "quantile").bool() ^ turned
        asked = torch.where(turned, 1 - label, label)[weakly].sum()
        assert abs(above[weakly].sum() - asked) <= 1
        found = gap.where(~turned, -gap)
        assert min(found[above], default=np.inf) > max(found[~above], default=-np.inf), "a fence"


def test_labels_that_are_all_one_side_leave_all_pairs_there():
    gap, all_weak = torch.tensor([0.3, -2.0, 1.0, 0.1]), torch.ones(4)
    up = torch.tensor([1.0, 0.0, 1.0, 0.0])  # once every second pair is turned, all labels point up
    assert hardened(gap, up, all_weak, "quantile").tolist() == up.tolist()
    assert hardened(gap, up, torch.zeros(4), "quantile").tolist() == [1, 0, 1, 1], "no weak label, no quantile"


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("base")
    build_untrained(MODEL).save_pretrained(folder)
    return folder


def fitted(base, run: Train, frame: pd.DataFrame, folder):
    model = reward_model(base, run.recipe, 7)
    fit(model, tokenizer(WORLD), frame, run, folder)
    return model


def test_its_weight_grows_over_a_fifth_of_the_training_and_spares_mixed_pairs(base, tmp_path, monkeypatch):
    seen = []

    def spy(label, weight, opinion):
        seen.append(weight)
        return confident_label(label, weight, opinion)

    monkeypatch.setattr(module, "confident_label", spy)
    run = student(conflict=MIXED, recipe=Recipe(epochs=10, batch_size=48, confidence_weight=0.4))
    fitted(base, run, training_pairs(run, [scores(random_labels())]), tmp_path)
    assert len(seen) == 10
    for step, weights in enumerate(seen):  # a batch is everything: 48 weakly labelled pairs and as many mixed in
        assert sorted(weights.tolist()) == pytest.approx([0.0] * 48 + [0.4 * min(1, step / 2)] * 48)


def test_the_gradient_is_the_mixed_loss_s(base, tmp_path, monkeypatch):
    run = student(conflict=EXPLICIT, recipe=Recipe(epochs=10, batch_size=48, confidence_weight=0.4, max_grad_norm=0))
    frame = training_pairs(run, [scores(random_labels())])
    model, steps, at_second = reward_model(base, run.recipe, 7), [], {}
    original = torch.optim.AdamW.step

    def spy(self, *arguments, **keywords):
        steps.append(1)
        if len(steps) == 2:
            at_second.update({n: (p.detach().clone(), p.grad.clone()) for n, p in model.named_parameters()})
        return original(self, *arguments, **keywords)

    monkeypatch.setattr(torch.optim.AdamW, "step", spy)
    fit(model, tokenizer(WORLD), frame, run, tmp_path)
    again = reward_model(base, run.recipe, 7)
    again.load_state_dict({n: value for n, (value, _) in at_second.items()}, strict=False)
    chosen, rejected = encode(tokenizer(WORLD), frame)
    good, bad = (
        again(**tokenizer(WORLD).pad({"input_ids": chosen + rejected}, return_tensors="pt")).logits.squeeze(-1).chunk(2)
    )
    gap, label = good - bad, torch.tensor(frame["label"].to_numpy(), dtype=torch.float)
    opinion, wrong = (gap.detach() > 0).float(), gap.detach() <= 0
    weight, entropy = 0.4 * 0.5, F.binary_cross_entropy_with_logits  # the second of ten steps: half grown
    loss = (1 - weight) * entropy(gap, label) + weight * entropy(gap, opinion) + 0.5 * (wrong * F.softplus(gap)).mean()
    loss.backward()
    assert 0 < wrong.sum() < 48, "both kinds of pairs are there"
    for name, p in again.named_parameters():
        assert torch.allclose(at_second[name][1], p.grad, rtol=1e-3, atol=1e-6), name


# Early stopping


def watched(monkeypatch) -> list[WeakToStrongRewardTrainer]:
    """The trainers that ``fit`` makes from now on."""
    made = []

    class Watched(WeakToStrongRewardTrainer):
        def __init__(self, *arguments, **keywords):
            super().__init__(*arguments, **keywords)
            made.append(self)

    monkeypatch.setattr(module, "WeakToStrongRewardTrainer", Watched)
    return made


@pytest.mark.parametrize("conflict", [Conflict(), EXPLICIT, MIXED])
def test_early_stopping_looks_at_weak_labels_that_it_does_not_train_on(base, tmp_path, monkeypatch, conflict):
    made = watched(monkeypatch)
    run = student(conflict=conflict, recipe=Recipe(epochs=1, patience=1))
    frame = training_pairs(run, [scores(random_labels())])
    fitted(base, run, frame, tmp_path)
    train, looks = made[0].train_dataset, made[0].eval_dataset
    assert len(looks) == 5 and len(train) == len(frame) - 5
    assert all(looks["weakly_labelled"]) and looks["label"] == pytest.approx(frame["label"].iloc[[0, 10, 20, 30, 40]])
    assert sum(1 - w for w in train["weakly_labelled"]) == (frame["weakly_labelled"] == 0).sum(), (
        "mixed pairs are all trained on"
    )


def test_early_stopping_stops_and_goes_back_to_its_best(base, tmp_path, monkeypatch):
    """The held-out pairs are labelled the other way round, so that every step fits them less."""
    made = watched(monkeypatch)
    held_out = np.arange(48) % 10 == 0
    run = student(conflict=EXPLICIT, recipe=Recipe(epochs=20, batch_size=8, patience=2, learning_rate=2e-3))
    frame = training_pairs(run, [scores(np.where(held_out, 0.02, 0.98))])
    model = fitted(base, run, frame, tmp_path)
    state = made[0].state
    losses = [entry["eval_loss"] for entry in state.log_history if "eval_loss" in entry]
    best = int(np.argmin(losses))
    assert state.global_step == LOOK_EVERY * len(losses) < state.max_steps and len(losses) == best + 1 + 2
    gaps = torch.tensor(reward_gaps(model, tokenizer(WORLD), frame[held_out]), dtype=torch.float)
    now = soft_label_loss(gaps, torch.full((5,), 0.02)).item()
    assert now == pytest.approx(min(losses), rel=1e-4) and now < losses[-1], (
        "by the weak labels alone, without the conflict's term"
    )


def test_patience_that_is_never_tried_trains_to_the_end(base, tmp_path, monkeypatch):
    made = watched(monkeypatch)
    run = student(recipe=Recipe(epochs=2, batch_size=8, patience=100))
    fitted(base, run, training_pairs(run, [scores(0.9)]), tmp_path)
    assert made[0].state.global_step == made[0].state.max_steps == 12
