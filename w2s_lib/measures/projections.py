"""The nearest member of a family to given probabilities: what the theorems mean by a student.

A linear head says σ(x · w) of a pair whose frozen features differ by x.  *Heads* are all of these; *mixtures* average
the probabilities of a few given heads.  Heads are no convex set of probabilities, mixtures are one.
"""

from collections.abc import Callable

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit

from w2s_lib.measures.divergences import clipped, kl
from w2s_lib.measures.metrics import Array, log_odds


def nearest_head(x: Array, q: Array, ridge: float = 0.0, reverse: bool = False, start: Array | None = None) -> Array:
    """Weights of the head whose probabilities have the least mean KL to ``q``, shape (features,).

    ``x`` has shape (pairs, features), ``q`` (pairs,).  KL(q ‖ head), what cross-entropy on soft labels minimises, has
    one minimum; ``reverse``, KL(head ‖ q), may have several: that downhill from ``start`` is found.  ``ridge`` adds
    half of it times the squared weights.
    """

    def loss(w: Array) -> tuple[float, Array]:
        z = x @ w
        p = expit(z)
        if reverse:
            apart, slope = kl(p, q), p * (1 - p) * (z - log_odds(q))
        else:
            apart, slope = kl(q, p), p - q
        return float(apart.mean() + ridge * w @ w / 2), x.T @ slope / len(q) + ridge * w

    return _least(loss, np.zeros(x.shape[1]) if start is None else start)


def nearest_mixture(members: Array, q: Array) -> Array:
    """Shares, shape (members,), summing to 1, of the mixture with the least mean KL(mixture ‖ ``q``).

    ``members`` has shape (members, pairs): their probabilities.  The one minimum, for KL is convex and shares are, too.
    """

    def loss(share: Array) -> tuple[float, Array]:
        p = clipped(share @ members)
        return float(kl(p, q).mean()), members @ (log_odds(p) - log_odds(q)) / len(q)

    n = len(members)
    sums_to_one = {"type": "eq", "fun": lambda share: share.sum() - 1, "jac": np.ones_like}
    how = {"method": "SLSQP", "options": {"ftol": 1e-14, "maxiter": 500}}
    return minimize(loss, np.full(n, 1 / n), jac=True, bounds=[(0, 1)] * n, constraints=sums_to_one, **how).x


def _least(loss: Callable[[Array], tuple[float, Array]], start: Array) -> Array:
    return minimize(loss, start, jac=True, method="BFGS", options={"gtol": 1e-9, "maxiter": 2000}).x
