"""The losses, as functions of the reward gap d = r(chosen) − r(rejected).

Pairs stand in their true order, so that sigmoid(d) is the student's probability of the truth and the soft label y is
the weak supervisor's (paper, section 4).  For a policy, r is its implicit reward.  ``gamma`` is SimPO's target margin,
by which the preferred reply has to win, and 0 elsewhere.  All tensors have shape (batch,).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import get_args

import torch
from torch.nn import functional as F

from w2s_lib.specs import Fence, Loss

CLIP = 1e-3
"""Labels of the reverse losses lie at least so far from 0 and 1, where their logarithm has no end."""


def soft_label_loss(gap: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
    """Cross-entropy −y log sigmoid(d) − (1 − y) log sigmoid(−d), mean over the batch: the stock pairwise loss
    −log sigmoid(d) plus ``soft_label_term``."""
    return (label * F.softplus(-gap) + (1 - label) * F.softplus(gap)).mean()


def soft_label_term(gap: torch.Tensor, label: torch.Tensor, gamma: float = 0.0) -> torch.Tensor:
    """What soft labels add to −log sigmoid(d − γ); with γ = 0 the mean of (1 − y) d."""
    if gamma == 0:
        return ((1 - label) * gap).mean()
    return ((1 - label) * (F.softplus(gap + gamma) - F.softplus(gamma - gap))).mean()


def reverse_cross_entropy(gap: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
    """−p log y − (1 − p) log(1 − y) with p = sigmoid(d), mean over the batch (Yao et al. 2025); labels are clipped.

    Its gradient in d is −p (1 − p) logit y: the side of the label alone has a say in where it leads.
    """
    q = label.clamp(CLIP, 1 - CLIP)
    p = torch.sigmoid(gap)
    return -(p * q.log() + (1 - p) * (1 - q).log()).mean()


def reverse_kl(gap: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
    """KL(p ‖ y) with p = sigmoid(d), mean over the batch (Yao et al. 2025): reverse cross-entropy less p's entropy.

    Its gradient in d is p (1 − p) (d − logit y), which comes to rest where p = y, as cross-entropy does.
    """
    p = torch.sigmoid(gap)
    return reverse_cross_entropy(gap, label) + (p * F.logsigmoid(gap) + (1 - p) * F.logsigmoid(-gap)).mean()


LOSSES: dict[Loss, Callable[[torch.Tensor, torch.Tensor], torch.Tensor]] = dict(
    zip(get_args(Loss), (soft_label_loss, reverse_kl, reverse_cross_entropy), strict=True)
)
"""The losses of reward models by the name in their recipe.

:meta hide-value:
"""


def explicit_conflict(
    gap: torch.Tensor, weakly_labelled: torch.Tensor, alpha: float, gamma: float = 0.0
) -> torch.Tensor:
    """The reward for wrong answers (paper, section 4.2): the preference loss, reversed, where the student is wrong.

    alpha times −log sigmoid(−d − γ) on each weakly labelled pair that the student currently ranks wrongly
    (d ≤ 0), zero on the others, averaged over *all* pairs of the batch.
    """
    wrong = (gap.detach() <= 0) & weakly_labelled.bool()
    return alpha * (wrong * F.softplus(gap + gamma)).mean()


def hardened(gap: torch.Tensor, label: torch.Tensor, weakly_labelled: torch.Tensor, fence: Fence) -> torch.Tensor:
    """The student's own opinion of each pair, 1 or 0: whether d lies above 0 (``half``, for p is then above 1/2), or at
    or above a ``quantile`` of the batch that leaves as many weakly labelled pairs there as their labels say (Burns et
    al. 2023 as Wen et al. 2026 have it).

    A quantile depends on which reply stands first, and to have the better one there would give the truth away: every
    second pair of the batch, whose order is random, is turned round before.
    """
    gap, weakly = gap.detach(), weakly_labelled.bool()
    if fence == "half" or not weakly.any():
        return (gap > 0).float()
    turned = torch.arange(len(gap), device=gap.device) % 2 == 1
    gap, label = torch.where(turned, -gap, gap), torch.where(turned, 1 - label, label)
    above = gap >= torch.quantile(gap[weakly], (1 - label[weakly].mean()).clamp(0, 1))
    return (above != turned).float()


def confident_label(label: torch.Tensor, weight: float | torch.Tensor, opinion: torch.Tensor) -> torch.Tensor:
    """The label drawn by ``weight`` towards the student's own hardened ``opinion``: the auxiliary confidence loss
    (Burns et al. 2023, section 4.3.2).  Cross-entropy is linear in its label, so that mixing labels is mixing losses.
    """
    return (1 - weight) * label + weight * opinion
