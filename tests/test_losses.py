"""The losses equal what the paper writes, and their gradients have the derived fixed points."""

import pytest
import torch
from torch.nn import functional as F

from w2s_lib.training.losses import explicit_conflict, soft_label_loss, soft_label_term

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
