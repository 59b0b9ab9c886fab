"""How far two models' probabilities lie apart, and what theory says follows from it.

Pure numpy and scipy.  ``p`` and ``q`` are probabilities of the *true* order of each pair, shape (n,), as in
``metrics``; the truth itself has probability 1.  Functions named after a loss or a mean take optional ``weights``, (n,)
or (b, n), and give a number or one a row.

>>> import numpy as np
>>> weak, student = np.array([0.6, 0.4, 0.9]), np.array([0.8, 0.6, 0.9])
>>> round(float(gain(student, weak)), 3), round(float(misfit(student, weak)), 3)
(0.107, 0.027)
"""

import numpy as np
from scipy.special import rel_entr

from w2s_lib.measures.metrics import Array, correct, mean_over

LEAST_PROBABILITY = 1e-12
"""A probability is taken for no smaller: the logarithm of 0 is no number."""

RELIABILITY_BINS = 10
"""Of equal width, from a confidence of 1/2 to one of 1."""


def clipped(p: Array, least: float = LEAST_PROBABILITY) -> Array:
    """Probabilities, none nearer to 0 or 1 than ``least``."""
    return np.clip(p, least, 1 - least)


def kl(p: Array, q: Array) -> Array:
    """KL(p ‖ q) of each pair in nats, shape (n,): how surprised somebody who believes q is by what p says."""
    p, q = clipped(p), clipped(q)
    return rel_entr(p, q) + rel_entr(1 - p, 1 - q)


def log_loss(p: Array, weights: Array | None = None) -> Array:
    """Mean of −log p: KL of the truth from the model; log 2 for a coin."""
    return mean_over(-np.log(clipped(p)), weights=weights)


def misfit(student: Array, weak: Array, weights: Array | None = None) -> Array:
    """Mean squared distance of a student from its supervisor's labels (Charikar, Pabbaraju and Shiragur 2024)."""
    return mean_over((student - weak) ** 2, weights=weights)


def gain(student: Array, weak: Array, weights: Array | None = None) -> Array:
    """The supervisor's mean squared distance from the truth minus the student's."""
    return mean_over((1 - weak) ** 2 - (1 - student) ** 2, weights=weights)


def gain_beyond_misfit(student: Array, weak: Array, weights: Array | None = None) -> Array:
    """Gain − misfit: never negative where the student is the projection of its labels on a convex set that holds the
    truth.  It is 2 · mean (1 − p)(p − q)."""
    return gain(student, weak, weights) - misfit(student, weak, weights)


def loss_distance(student: Array, weak: Array, weights: Array | None = None) -> Array:
    """How far the mean log losses of student and supervisor lie apart: what the bounds below bound."""
    return np.abs(log_loss(student, weights) - log_loss(weak, weights))


def floor(student: Array, weak: Array) -> float:
    """γ: the least probability of the truth that either model gives to any pair."""
    return float(min(clipped(student).min(), clipped(weak).min()))


def bound_pair_by_pair(student: Array, weak: Array, weights: Array | None = None) -> Array:
    """Mean distance of log p and log q: the first step, where ups no longer cancel downs."""
    return mean_over(np.abs(np.log(clipped(student)) - np.log(clipped(weak))), weights=weights)


def bound_by_variation(student: Array, weak: Array, weights: Array | None = None) -> Array:
    """Mean distance of p and q, over γ: the logarithm is nowhere steeper than at the least probability."""
    return variation(student, weak, weights) / floor(student, weak)


def bound_by_kl(
    student: Array, weak: Array, weights: Array | None = None, reverse: bool = False, least: float | None = None
) -> Array:
    """√(mean KL / 2) / γ by Pinsker's inequality: KL of weak from student, or, ``reverse``, of student from weak.

    ``least`` replaces the γ that is found.
    """
    apart = kl(student, weak) if reverse else kl(weak, student)
    return np.sqrt(mean_over(apart, weights=weights) / 2) / (floor(student, weak) if least is None else least)


def calibration_in_bins_of(p: Array, binned_by: Array, weights: Array | None = None) -> Array:
    """Calibration error of one model in the bins of another's confidence: how far mean p lies from accuracy in a bin,
    on average over bins by their share of pairs.

    Each pair is read in the order that ``binned_by`` prefers.  For ``binned_by`` itself this is the expected
    calibration error.  Two models' errors in the same bins differ by ``variation`` at most.
    """
    weights = np.ones(len(p)) if weights is None else weights
    right = correct(binned_by)
    sure = np.where(right, binned_by, 1 - binned_by)
    places = np.minimum((2 * RELIABILITY_BINS * (sure - 0.5)).astype(int), RELIABILITY_BINS - 1)
    inside = np.eye(RELIABILITY_BINS)[places]
    off = np.where(right, p, 1 - p) - right
    return np.abs((weights * off) @ inside).sum(axis=-1) / weights.sum(axis=-1)


def variation(student: Array, weak: Array, weights: Array | None = None) -> Array:
    """Mean distance of p and q: how far, at most, calibration in the same bins can differ."""
    return mean_over(np.abs(student - weak), weights=weights)


def capa(p: Array, q: Array, weights: Array | None = None) -> Array:
    """κ: by how much two models agree beyond what their accuracies make them (CAPA, Goel et al. 2025, for two
    options).

    0 for models that err independently, 1 for models that never differ; NaN where both are always surely right.
    """
    observed = mean_over(p * q + (1 - p) * (1 - q), weights=weights)
    right, too = mean_over(p, weights=weights), mean_over(q, weights=weights)
    expected = right * too + (1 - right) * (1 - too)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(expected < 1, (observed - expected) / (1 - expected), np.nan)


def slack(truth: Array, student: Array, weak: Array, weights: Array | None = None, reverse: bool = True) -> Array:
    """Pythagoras: the supervisor's distance from the truth minus the student's minus that between the two, in nats.

    ``reverse``: KL(truth ‖ weak) − KL(truth ‖ student) − KL(student ‖ weak), never negative where the student is the
    nearest to weak in a convex set that holds the truth (Csiszár 1975).  Else each KL the other way round: zero where
    the student is the nearest *linear head* and the truth is one, too.
    """
    apart = kl if reverse else lambda p, q: kl(q, p)
    return mean_over(apart(truth, weak) - apart(truth, student) - apart(student, weak), weights=weights)
