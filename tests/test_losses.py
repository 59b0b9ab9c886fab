"""The losses equal what the paper writes, and their gradients have the derived fixed points."""

import pytest
import torch
from torch.nn import functional as F

from w2s_lib.measures.metrics import borders
from w2s_lib.training.losses import CLIP, LOSSES, explicit_conflict, soft_label_loss, soft_label_term

GAP = torch.tensor([2.0, -1.0, 0.3, -0.2, 0.0])
LABEL = torch.tensor([0.9, 0.2, 0.6, 0.5, 1.0])
ALL = torch.ones(5)


def test_soft_labels_are_the_stock_loss_plus_our_term():
    stock = -F.logsigmoid(GAP).mean()
    assert torch.allclose(stock + soft_label_term(GAP, LABEL), soft_label_loss(GAP, LABEL))


def test_soft_label_loss_by_hand():
    p = torch.sigmoid(GAP)
    by_hand = -(LABEL * p.log() + (1 - LABEL) * (1 - p).log()).mean()
    assert torch.allclose(soft_label_loss(GAP, LABEL), by_hand)


def test_explicit_conflict_by_hand():
    p = torch.sigmoid(GAP)
    wrong = p <= 0.5  # a tie counts as wrong, as it does in every measure
    by_hand = 0.5 * (wrong * -(1 - p).log()).sum() / len(GAP)
    assert torch.allclose(explicit_conflict(GAP, ALL, 0.5), by_hand)


def test_explicit_conflict_is_zero_on_pairs_ranked_right_and_on_mixed_in_pairs():
    assert explicit_conflict(torch.tensor([1.0, 3.0]), torch.ones(2), 0.5) == 0
    assert explicit_conflict(GAP, torch.zeros(5), 0.5) == 0


def test_conflict_keeps_a_wrong_ranking_where_derived():
    # Gradient in d where d <= 0 is p - q + alpha p, with the fixed point p = q / (1 + alpha).
    q, alpha = torch.tensor([0.6]), 0.5
    fixed = torch.logit(q / (1 + alpha)).requires_grad_()
    (soft_label_loss(fixed, q) + explicit_conflict(fixed, torch.ones(1), alpha)).backward()
    assert fixed.detach() < 0, "a wrong ranking persists for q < (1 + alpha) / 2"
    assert fixed.grad.item() == pytest.approx(0, abs=1e-6)


def slope(loss: str, d: float, q: float, alpha: float = 0.0) -> float:
    """Gradient in the reward gap of one pair, with the explicit conflict."""
    gap, label = torch.tensor([d], dtype=torch.float64).requires_grad_(), torch.tensor([q], dtype=torch.float64)
    (LOSSES[loss](gap, label) + explicit_conflict(gap, torch.ones(1), alpha)).backward()
    return gap.grad.item()


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("d", [-3.0, -0.4, 0.0, 1.7])
@pytest.mark.parametrize("q", [0.0, 0.2, 0.7, 0.999, 1.0])
def test_gradients_by_hand(loss, d, q):
    d64, q64 = (torch.tensor(value, dtype=torch.float64) for value in (d, q))
    p, clipped = torch.sigmoid(d64), q64.clamp(CLIP, 1 - CLIP)
    by_hand = {
        "forward": p - q,
        "reverse_kl": p * (1 - p) * (d - torch.logit(clipped)),
        "reverse_cross_entropy": -p * (1 - p) * torch.logit(clipped),
    }
    assert slope(loss, d, q) == pytest.approx(by_hand[loss].item(), abs=1e-9)


@pytest.mark.parametrize("loss", ["reverse_kl", "reverse_cross_entropy"])
def test_reverse_losses_by_hand(loss):
    p, q = torch.sigmoid(GAP), LABEL.clamp(CLIP, 1 - CLIP)
    by_hand = -(p * q.log() + (1 - p) * (1 - q).log())
    if loss == "reverse_kl":
        by_hand = by_hand + p * p.log() + (1 - p) * (1 - p).log()
    assert torch.allclose(LOSSES[loss](GAP, LABEL), by_hand.mean())


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("alpha", [0.25, 0.5, 1.0, 1.5])
def test_a_wrong_ranking_persists_below_the_border_and_nowhere_above(loss, alpha):
    border = min(borders(alpha)[loss == "forward"], 1.0)
    below = torch.linspace(0.51, border - 0.005, 5).tolist()
    for q in below:
        assert slope(loss, -1e-6, q, alpha) > 0, "just below 1/2 the conflict wins"
    for q in torch.linspace(border + 0.005, 0.998, 4).tolist() if border < 0.99 else ():
        assert all(slope(loss, d, q, alpha) < 0 for d in torch.linspace(-9, -1e-6, 60).tolist()), "no resting place"
