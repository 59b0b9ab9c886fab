"""Checks for exercises: say whether an answer is right, and never what it is."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from w2s_lib.errors import OneLineError


class WrongAnswer(OneLineError, AssertionError):
    """An answer to an exercise that is not right."""


def check(answer: ArrayLike, expected: ArrayLike, tolerance: float = 1e-6) -> None:
    """Print that ``answer`` is right.

    Raises:
        WrongAnswer: it has another shape, or differs by more than ``tolerance``.
    """
    answer, expected = np.asarray(answer, dtype=float), np.asarray(expected, dtype=float)
    if answer.shape != expected.shape:
        raise WrongAnswer(f"expected an answer of shape {expected.shape}, got {answer.shape}")
    if not np.allclose(answer, expected, atol=tolerance, equal_nan=True):
        raise WrongAnswer("not yet: the shape is right, the values are not")
    print("✓ right")
