"""Other losses: where they let a wrong ranking last, what the chapter finds, what is refused."""

import numpy as np
import pandas as pd
import pytest
import torch

from tests.planted import per_seed, pooled
from w2s_lib.errors import ParameterError
from w2s_lib.figures.another_loss import (
    LOSSES_TRIED,
    boundary_by_loss,
    logits,
    losses_side_by_side,
    resting_places_by_loss,
)
from w2s_lib.findings.another_loss import BY_REGION, alphas_tried, another_loss, by_label, fitted, resting_places
from w2s_lib.findings.claims import CLAIMS, ledger, verdict
from w2s_lib.findings.results import NAMES, TRAINING, UNMODIFIED, UNMODIFIED_NET, difference, net_of_reruns, pick, say
from w2s_lib.findings.statistics import BY_LABEL
from w2s_lib.measures.metrics import Comparison, borders
from w2s_lib.specs import Conflict, Pairs, Pretrain, Recipe, Train, World
from w2s_lib.study import Study
from w2s_lib.study.edition import load
from w2s_lib.training import losses, probe

OF = {"": "forward", "reverse_kl": "reverse_kl", "reverse_cross_entropy": "reverse_cross_entropy"}


@pytest.mark.parametrize("loss", LOSSES_TRIED)
@pytest.mark.parametrize("alpha", [0.5, 1.0])
def test_what_rests_has_no_gradient(loss, alpha):
    q = np.linspace(0.02, 0.99, 98)
    p = resting_places(loss, alpha, q)
    assert np.isnan(p).tolist() == (q >= borders(alpha)[loss == ""]).tolist(), "it rests up to its border"
    rests = ~np.isnan(p) & (p > 1e-9)  # the others fall without end
    gap = torch.logit(torch.tensor(p[rests])).requires_grad_()
    conflict = losses.explicit_conflict(gap, torch.ones(len(gap)), alpha)
    (losses.LOSSES[OF[loss]](gap, torch.tensor(q[rests])) + conflict).backward()
    assert rests.sum() > 5 and np.abs(len(gap) * gap.grad.numpy()).max() < 1e-6


def test_the_rate_between_borders_by_a_naive_formula():
    rng = np.random.default_rng(0)
    c = Comparison(*rng.uniform(size=(5, 800)), threshold=0.6, alpha=1.0)
    right = [i for i in range(800) if c.baseline[i] > 0.5 and 1 / (1 + np.exp(-2)) <= c.weak[i] < 1]
    assert c.tax_rate_between_borders() == pytest.approx(np.mean([c.conflict[i] <= 0.5 for i in right]))


@pytest.mark.parametrize("loss", ["forward", "reverse_kl", "reverse_cross_entropy"])
def test_heads_on_frozen_features_learn_by_every_loss(loss):
    """One feature for each of four pairs: heads end where the loss has them end."""
    world = World(seed=1)
    run = Train(
        model=Pretrain(world=world, width=8), pairs=Pairs(world=world), split="weak_label",
        recipe=Recipe(loss=loss, epochs=400, head_learning_rate=0.05, batch_size=4, schedule="constant_with_warmup"),
        labels=Train(model=Pretrain(world=world, width=4), pairs=Pairs(world=world), split="ground_truth"),
        conflict=Conflict(),
    )  # fmt: skip
    label = np.array([0.2, 0.4, 0.6, 0.9])
    z = probe.fit(np.eye(4), pd.DataFrame({"label": label, "weakly_labelled": True}), run)
    if loss == "reverse_cross_entropy":
        assert (np.sign(z) == np.sign(label - 0.5)).all() and (np.abs(z) > 3).all(), "to certainty"
    else:
        assert 1 / (1 + np.exp(-z)) == pytest.approx(label, abs=0.02)


@pytest.mark.parametrize(
    ("parameters", "says"),
    [
        ({"reward_model": {"loss": "revers_kl"}}, "reward_model.loss='revers_kl': .*'reverse_kl'"),
        ({"reward_model": {"loss": "reverse_kl", "confidence_weight": 0.5}}, "confidence_weight mixes labels"),
        ({"mitigations": ["reverse_lk"]}, "mitigations='reverse_lk': no such mitigation; did you mean 'reverse_kl'?"),
    ],
)
def test_bad_losses_are_one_line(parameters, says):
    with pytest.raises(ParameterError, match=says) as error:
        load("smoke", parameters)
    assert "\n" not in str(error.value)


def test_a_loss_is_a_students_alone():
    study = Study(load("world")).under_mitigation("reverse_kl")
    weak, ceiling, *students = study.compared(21, "tiny-24", "tiny-56", "explicit")
    assert [run.recipe.loss for run in (weak, ceiling)] == ["forward"] * 2
    assert [run.recipe.loss for run in students] == ["reverse_kl"] * 3


# Churn

KL, PLAIN = {"condition": "explicit", "mitigation": "reverse_kl"}, {"condition": "explicit"}


def taxed(plain: tuple[float, float], kl: tuple[float, float], names=("conflict_tax",), seeds=3) -> pd.DataFrame:
    """Taxes under the conflict and in a rerun, by cross-entropy and by reverse KL, each a little off in each seed."""
    rng, rows = np.random.default_rng(0), []
    for mitigation, means in (("", plain), ("reverse_kl", kl)):
        for condition, mean in zip(("explicit", "rerun"), means):
            off = rng.normal(0, 0.002, (len(names), seeds))
            if len(names) == 1:
                off -= off.mean()  # of one study the estimate is the truth; of many, the mean of estimates
            about = {"condition": condition, "mitigation": mitigation}
            rows += [
                about | {"statistic": name, "seed": seed, "value": mean + off[i, seed]}
                for i, name in enumerate(names)
                for seed in range(seeds)
            ]
    return per_seed(rows)


def test_a_loss_under_which_students_churn_less_is_a_remedy_by_the_claim_and_none_net_of_reruns():
    """Cross-entropy taxes 4 % and its rerun 3; reverse KL 2 and 1: the conflict adds a point under both."""
    frame = taxed((0.04, 0.03), (0.02, 0.01))
    gross = difference(frame, ("conflict_tax",), UNMODIFIED, KL, PLAIN).iloc[0]
    assert gross["value"] == pytest.approx(-0.02) and verdict(CLAIMS["L2"], gross["low"], gross["high"]) == "yes"
    net = net_of_reruns(frame, ("conflict_tax",), UNMODIFIED, KL, PLAIN).iloc[0]
    assert net["value"] == pytest.approx(0) and net["low"] < 0 < net["high"] and net["versus"] == UNMODIFIED_NET


def test_a_loss_that_spares_what_the_conflict_takes_is_a_remedy_net_of_reruns():
    net = net_of_reruns(taxed((0.06, 0.03), (0.04, 0.03)), ("conflict_tax",), UNMODIFIED, KL, PLAIN).iloc[0]
    assert net["value"] == pytest.approx(-0.02) and net["high"] < 0


@pytest.mark.slow
@pytest.mark.parametrize("kl", [(0.02, 0.01), (0.01, 0.02)])
def test_intervals_net_of_reruns_cover_what_is_true(kl):
    names = [f"a share, study {i}" for i in range(300)]
    net = net_of_reruns(taxed((0.04, 0.03), kl, names, seeds=4), names, UNMODIFIED, KL, PLAIN)
    true = kl[0] - kl[1] - 0.01
    assert net["value"].mean() == pytest.approx(true, abs=0.001)
    assert 0.91 <= ((net["low"] <= true) & (true <= net["high"])).mean() <= 0.99


# Figures, planted; and what the chapter finds


def planted() -> pd.DataFrame:
    rows = []
    for loss in LOSSES_TRIED:
        rows.append({"statistic": "pgr", "condition": "none", "mitigation": loss, "value": 0.5})
        for alpha in (0.5, 1.0):
            for condition in ("explicit", "rerun"):
                student = {"condition": condition, "mitigation": loss, "alpha": alpha, "value": 0.2}
                levels = (
                    "conflict_tax",
                    "deception_score",
                    "null_random",
                    "null_margin_matched",
                    "excess_margin_matched",
                )
                rows += [student | {"statistic": statistic} for statistic in levels]
                rows += [student | {"statistic": name, "on": TRAINING} for name, _, _ in BY_LABEL]
    return pooled(rows)


@pytest.mark.slow
def test_figures_say_what_they_show():
    assert (
        resting_places_by_loss((0.5, 1.0)).alt.count("0.881 at alpha 1") == 2
        and "0.750 at alpha 0.5, 1.000 at alpha 1" in resting_places_by_loss((0.5, 1)).alt
    )
    assert boundary_by_loss(planted(), (0.5, 1.0)).alt.count("20.0 % [15.0, 25.0]") == 6
    assert losses_side_by_side(planted(), (0.5, 1.0)).alt.count("0.50 [0.45, 0.55]") == 6
    for figure in (
        resting_places_by_loss((0.5,)),
        boundary_by_loss(planted(), (0.5, 1.0)),
        losses_side_by_side(planted(), (0.5, 1.0)),
    ):
        assert figure.caption and "<svg" in figure.svg()


def test_tenths_of_labels_hold_their_own_pairs():
    pairs = pd.DataFrame({"loss": "", "condition": "none", "q": [0.01, 0.09, 0.95, 1.0], "z": [-4.0, -2.0, 1.0, 3.0]})
    found = by_label(pairs)
    assert found["middle"].tolist() == [-3.0, 2.0] and found["q"].tolist() == pytest.approx([0.05, 0.975])


def test_what_the_chapter_finds(study, lab):
    study = study.on(lab)
    per_seed, results = another_loss(study)
    assert not results.duplicated(list(NAMES)).any()
    cell = (study.edition.seeds[0], *study.edition.weak_strong[0])
    for alpha in alphas_tried(study):
        for loss in LOSSES_TRIED[1:]:
            at = study.with_parameters(alpha=alpha)
            before, after = (s.comparison(*cell, "explicit", on="weak_label") for s in (at, at.under_mitigation(loss)))
            assert (before.weak == after.weak).all() and not (before.baseline == after.baseline).all()
            change = pick(
                results, BY_REGION[0], "explicit", mitigation=loss, alpha=alpha, on=TRAINING, versus=UNMODIFIED
            )
            net = pick(results, "conflict_tax", "explicit", mitigation=loss, alpha=alpha, versus=UNMODIFIED_NET)
            beyond = lambda s: np.subtract(*(s.comparison(*cell, c).conflict_tax() for c in ("explicit", "rerun")))
            assert net["value"] == pytest.approx(beyond(at.under_mitigation(loss)) - beyond(at))
            rates = [float(c.tax_rate_below_band()) for c in (after, before)]
            assert change["value"] == pytest.approx(rates[0] - rates[1], nan_ok=True)
            assert (
                say(pick(results, "deception_score", "explicit", mitigation=loss, alpha=alpha))
                in losses_side_by_side(results, alphas_tried(study)).alt
            )
    mine = [claim for claim in CLAIMS.values() if claim.chapter == "21_another_loss"]
    assert len(mine) == 4 and (ledger({"21_another_loss": results}, mine)["verdict"] != "untested").all()
    table = by_label(fitted(study, 1.0))
    assert set(table["loss"]) == set(LOSSES_TRIED) and "Median logit" in logits(table, 1.0).alt
