"""The reward-modelling losses, as functions of the reward gap d = r(chosen) − r(rejected).

Pairs stand in their true order, so that sigmoid(d) is the student's probability of the truth and the
soft label y is the weak supervisor's (paper, section 4).  All tensors have shape (batch,).
"""

from __future__ import annotations

import torch
from torch.nn import functional as F


def soft_label_loss(gap: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
    """Binary cross-entropy of sigmoid(d) against soft labels, mean over the batch.

    Equal to the stock pairwise loss −log sigmoid(d) plus ``soft_label_term``.
    """
    return F.binary_cross_entropy_with_logits(gap, label)


def soft_label_term(gap: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
    """What soft labels add to −log sigmoid(d): the mean of (1 − y) d."""
    return ((1 - label) * gap).mean()


def explicit_conflict(gap: torch.Tensor, weakly_labelled: torch.Tensor, alpha: float) -> torch.Tensor:
    """The reward for wrong answers (paper, section 4.2).

    alpha times BCE(sigmoid(d), 0) on each weakly labelled pair that the student currently ranks
    wrongly (d ≤ 0), zero on the others, averaged over *all* pairs of the batch.
    """
    wrong = (gap.detach() <= 0) & weakly_labelled.bool()
    return alpha * (wrong * F.softplus(gap)).mean()
