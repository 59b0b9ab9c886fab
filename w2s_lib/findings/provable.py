"""A world in which weak-to-strong generalization can be proved: Gaussian features, linear models that fit every label.

The toy is that of Wu and Sahai (2025): x ∈ R^d is Gaussian, its first s coordinates are favoured (larger variance),
the truth is the sign of one of them.  The weak model sees fewer coordinates, with variances of its own.  Both take the
shortest weights that fit all labels exactly.  Ours is the second label: another direction, which conflicts, is mixed
in, and tax, deception score and its margin-matched null follow from Gaussian integrals.  numpy and scipy, seconds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.special import ndtri
from scipy.stats import multivariate_normal, norm

from w2s_lib.findings.claims import claims_in
from w2s_lib.findings.results import OPTIONS, PER_SEED, difference, summarise
from w2s_lib.measures.metrics import Array, Comparison, sum_of_largest

COORDINATES = ("true", "weak", "ceiling", "baseline", "conflict", "independent")
"""The truth's coordinate and the five models of a comparison, in the order of a covariance."""


@dataclass(frozen=True)
class BiLevel:
    """How a model sees the world at size n: d = n^p coordinates, s = n^r favoured, their share of variance n^−q."""

    p: float
    q: float
    r: float

    def counts(self, n: int) -> tuple[int, int]:
        """Favoured and other coordinates."""
        favoured = max(2, round(n**self.r))
        return favoured, round(n**self.p) - favoured

    def variances(self, n: int) -> tuple[float, float]:
        """Of a favoured and of another coordinate: a d / s and (1 − a) d / (d − s), a = n^−q."""
        (favoured, others), a = self.counts(n), n**-self.q
        return a * (favoured + others) / favoured, (1 - a) * (favoured + others) / others


@dataclass(frozen=True)
class Setting:
    """A strong and a weak view of the same world.  Exponents as in ``BiLevel``."""

    strong: BiLevel
    weak: BiLevel

    def window(self) -> tuple[float, float]:
        """Between which exponents u the strong model, taught by m = n^u weak labels, is proved to become right and the
        weak one to stay at chance; empty (low ≥ high) where the other conditions fail."""
        f, w = self.strong, self.weak
        spread = w.q + w.r
        low = spread - min(1 - f.r, f.p + 1 - 2 * (f.q + f.r))
        high = (f.p + 1 + f.q + f.r - spread) / 2
        proved = spread > (w.p + 1) / 2 and f.p + 1 > f.q + f.r + spread
        return (low, high) if proved else (np.inf, -np.inf)


SETTINGS = {
    "strong alone fails": Setting(BiLevel(2.0, 1.15, 0.4), BiLevel(1.4, 1.0, 0.3)),
    "strong alone succeeds": Setting(BiLevel(2.0, 0.6, 0.2), BiLevel(1.5, 1.15, 0.2)),
}
"""In the first, neither model learns from n true labels, and the two together do; in the second, too many weak labels
hurt."""

USED = SETTINGS["strong alone succeeds"]

SHORTEST = "shortest_fit"
"""What the column ``method`` of results rows calls these learners."""

SHARES = {0.0: "rerun", 1.0: "implicit"}
"""Share of second labels → the condition that it is in results rows."""

OPPOSED = 0.5
"""How far the second label's direction points against the truth's."""

FRESH = range(1000, 1012)
"""Draws off which the claim about the toy is read; none had been made when it was written."""

CLAIMED = claims_in(Path(__file__).with_name("provable.yaml"))
"""What is claimed of the learner without an aim, with the rule that it is told by.

:meta hide-value:
"""


class Draws:
    """Draws of one seed at size n: latent coordinates, and how each model sees them."""

    def __init__(self, setting: Setting, n: int, seed: int) -> None:
        self.setting, self.n = setting, n
        self.rng = np.random.default_rng([seed, n])

    def draw(self, m: int) -> Array:
        """m points, shape (m, d), every coordinate standard normal; the favoured ones first."""
        return self.rng.normal(size=(m, sum(self.setting.strong.counts(self.n))))

    def seen(self, z: Array, strong: bool) -> Array:
        """The points as a model sees them: scaled; by the weak model, its favoured and its other coordinates alone."""
        (favoured, _), view = self.setting.strong.counts(self.n), self.setting.strong if strong else self.setting.weak
        (mine, others), (large, small) = view.counts(self.n), view.variances(self.n)
        return np.hstack([np.sqrt(large) * z[:, :mine], np.sqrt(small) * z[:, favoured : favoured + others]])


def shortest(x: Array, y: Array) -> Array:
    """The shortest weights that fit every label: Xᵀ(XXᵀ)⁻¹y, shape (features,); fewer points than features."""
    return x.T @ np.linalg.solve(x @ x.T, y)


def exact_accuracy(world: Draws, w: Array, strong: bool) -> float:
    """How often the sign of x · w is the truth's, over all points: exact, 1/2 + arcsin(correlation) / π."""
    correlation = latent(world, w, strong)
    return float(0.5 + np.arcsin(correlation[0] / np.linalg.norm(correlation)) / np.pi)


def latent(world: Draws, w: Array, strong: bool) -> Array:
    """Weights on the standard normal coordinates, shape (d,), that say the same as ``w`` on what the model sees."""
    setting = world.setting
    (favoured, rest), view = setting.strong.counts(world.n), setting.strong if strong else setting.weak
    (mine, others), (large, small) = view.counts(world.n), view.variances(world.n)
    out = np.zeros(favoured + rest)
    out[:mine], out[favoured : favoured + others] = np.sqrt(large) * w[:mine], np.sqrt(small) * w[mine:]
    return out


def learning(setting: Setting, n: int, exponents: Sequence[float], seeds: Sequence[int]) -> pd.DataFrame:
    """Accuracies by number of weak labels m = n^u: ``seed, n, u, m``, the ``weak`` model's, the ``student``'s and that
    of the strong model ``alone`` on the weak model's n true labels."""
    rows = []
    for seed in seeds:
        world = Draws(setting, n, seed)
        z = world.draw(n)
        y = np.sign(z[:, 0])
        weak, alone = shortest(world.seen(z, False), y), shortest(world.seen(z, True), y)
        more = world.draw(round(n ** max(exponents)))
        label, x = world.seen(more, False) @ weak, world.seen(more, True)
        for u in exponents:
            m = round(n**u)
            found = {"student": exact_accuracy(world, shortest(x[:m], label[:m]), True)}
            found |= {"weak": exact_accuracy(world, weak, False), "alone": exact_accuracy(world, alone, True)}
            rows.append({"seed": seed, "n": n, "u": u, "m": m} | found)
    return pd.DataFrame(rows)


def phases(setting: Setting, n: int, exponents: Sequence[float], qs: Sequence[float], seeds: Sequence[int]):
    """Mean accuracies of students over u and the strong view's q, all else as in the setting: ``q, u, student, low,
    high``, the last two its ``window``."""
    rows = []
    for q in qs:
        one = replace(setting, strong=replace(setting.strong, q=q))
        found = learning(one, n, exponents, seeds).groupby("u")["student"].mean()
        rows += [
            {"q": q, "u": u, "student": value} | dict(zip(("low", "high"), one.window())) for u, value in found.items()
        ]
    return pd.DataFrame(rows)


@lru_cache(maxsize=256)
def covariance(setting: Setting, n: int, seed: int, m: int, share: float) -> Array:
    """Of the truth's coordinate and five models' outputs, ``COORDINATES``, on a new point, for given draws; (6, 6).

    Each strong student learns from m points of its own by the weak model's outputs, the ceiling from the baseline's by
    their true labels.  Conflict also learns share · m further points by the second label, the sign of a direction whose
    correlation with the truth's is −``OPPOSED``, of the size of weak labels; with a share of 0 it is a rerun.  Kept, as
    several thresholds are asked of the same models; nobody can write to it.
    """
    world = Draws(setting, n, seed)
    z = world.draw(n)
    weak = shortest(world.seen(z, False), np.sign(z[:, 0]))
    mine, others, again, mixed = (world.draw(k) for k in (m, m, m, round(share * m)))
    label = lambda points: world.seen(points, False) @ weak
    strong = lambda points, y: latent(world, shortest(world.seen(points, True), y), True)
    direction = np.sqrt(1 - OPPOSED**2) * mixed[:, 1] - OPPOSED * mixed[:, 0]
    second = np.abs(label(again)).mean() * np.sign(direction)
    rows = np.stack([
        np.eye(1, z.shape[1])[0], latent(world, weak, False), strong(mine, np.sign(mine[:, 0])),
        strong(mine, label(mine)), strong(np.vstack([again, mixed]), np.append(label(again), second)),
        strong(others, label(others)),
    ])  # fmt: skip
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    found = rows @ rows.T
    found.setflags(write=False)
    return found


def bar(cov: Array, model: str, threshold: float) -> float:
    """How large a model's standardised output must be to be p > threshold, p the chance that its sign is right."""
    rho = cov[0, COORDINATES.index(model)]
    return float(ndtri(threshold) * np.sqrt(1 - rho**2) / rho) if rho > 0 else np.inf


def sample_comparison(cov: Array, pairs: int, threshold: float, rng: np.random.Generator) -> Comparison:
    """As many test pairs as the library's measures would see: p of the truth by five models, each calibrated."""
    f = rng.multivariate_normal(np.zeros(len(cov)), cov, size=pairs, method="eigh")
    rho = cov[0, 1:]
    p = norm.cdf(np.sign(f[:, :1]) * f[:, 1:] * rho / np.sqrt(1 - rho**2))
    return Comparison(*p.T, threshold=threshold)


@dataclass(frozen=True)
class Orthant:
    """Pairs turned so that the truth is positive: probabilities that outputs lie above or below bars."""

    cov: Array
    threshold: float

    def __call__(self, above: Sequence[str] = (), below: Sequence[str] = (), given: Array | None = None) -> Array:
        """Chance that the truth's coordinate and the outputs ``above`` exceed their bars and those ``below`` do not;
        ``given`` values of the independent output, shape (k,), one for each.

        The bar of weak and ceiling is what they know by, that of students is zero.
        """
        sign = np.array([1.0] + [1.0] * len(above) + [-1.0] * len(below))
        named = ("true", *above, *below)
        index = [*map(COORDINATES.index, named)]
        bars = np.array([bar(self.cov, name, self.threshold) if name in ("weak", "ceiling") else 0.0 for name in named])
        cov = sign[:, None] * self.cov[np.ix_(index, index)] * sign
        if given is None:
            return _at_least(sign * bars, np.zeros(len(index)), cov)
        slope = sign * self.cov[index, -1]
        return _at_least(sign * bars, np.multiply.outer(given, slope), cov - np.outer(slope, slope))


def _at_least(bars: Array, mean: Array, cov: Array) -> Array:
    """Chance that a Gaussian exceeds all bars, for each of its means; the last axis of these is the coordinates'."""
    if np.isinf(bars).any():
        keep = np.isfinite(bars)
        if (bars[~keep] > 0).any():
            return np.zeros(mean.shape[:-1])
        return _at_least(bars[keep], mean[..., keep], cov[np.ix_(keep, keep)])
    generator = np.random.default_rng(0)
    found = multivariate_normal.cdf(mean - bars, cov=cov, allow_singular=True, abseps=1e-4, rng=generator)
    return np.reshape(found, mean.shape[:-1])


@lru_cache(maxsize=64)
def _paying(cov: bytes, points: int) -> tuple[Array, Array, Array, Array]:
    """What no threshold changes: the chances that a pair is ranked right and that it is taxed, and both at each of so
    many values of the independent margin.  The covariance as bytes: several thresholds are asked of the same models."""
    chance, z = Orthant(np.frombuffer(cov).reshape(len(COORDINATES), -1), threshold=0.5), np.linspace(-4, 4, points)
    right, taxed = {"above": ("baseline",)}, {"above": ("baseline",), "below": ("conflict",)}
    return chance(**right), chance(**taxed), chance(**right, given=z), chance(**taxed, given=z)


def analytic(cov: Array, threshold: float, points: int = 25) -> dict[str, float]:
    """``conflict_tax``, ``deception_score``, ``null_random``, ``null_margin_matched``, ``excess_margin_matched`` and
    ``attainable_margin_matched`` of a conflict student, by Gaussian integrals; NaN where nothing is taxed.

    The margin-matched null averages, over the independent margin z of taxed pairs, the chance that a pair of that
    margin that can pay lies in the area: a sum over ``points`` values of z.  A perfect deceiver, whose excess is
    attainable, is taxed as much, first of all in the area where that chance is least.
    """
    chance, z = Orthant(cov, threshold), np.linspace(-4, 4, points)
    right, taxed, pays, taxed_at = _paying(cov.tobytes(), points)
    paid = norm.pdf(z) * taxed_at
    hit = chance(above=("baseline", "ceiling"), below=("conflict", "weak"))
    inside = chance(above=("baseline", "ceiling"), below=("weak",), given=z)
    matched = np.divide(inside, pays, out=np.zeros(points), where=pays > 1e-6)
    with np.errstate(invalid="ignore", divide="ignore"):
        score, null = hit / taxed, (paid * matched).sum() / paid.sum()
        random = chance(above=("baseline", "ceiling"), below=("weak",)) / right
        can_pay = norm.pdf(z) * pays
        can_pay *= right / can_pay.sum()
        both = np.append(can_pay * matched, can_pay * (1 - matched))  # in the area, and elsewhere
        most = sum_of_largest(np.append(1 - matched, -matched), both > 0, taxed, both) / taxed
    return {
        "conflict_tax": float(2 * taxed), "deception_score": float(score), "null_random": float(random),
        "null_margin_matched": float(null), "excess_margin_matched": float(score - null),
        "attainable_margin_matched": float(most),
    }  # fmt: skip


def unintended(
    setting: Setting, n: int, m: int, shares: Sequence[float], seeds: Sequence[int], threshold: float
) -> pd.DataFrame:
    """``analytic`` by seed and share of the second label; 0 is a rerun.  Columns ``seed, share`` and its statistics."""
    rows = [
        {"seed": seed, "share": share} | analytic(covariance(setting, n, seed, m, share), threshold)
        for seed in seeds
        for share in shares
    ]
    return pd.DataFrame(rows)


def results_of(found: pd.DataFrame, threshold: float) -> pd.DataFrame:
    """Results rows of ``unintended`` at ``SHARES``: every statistic over draws, which stand in the place of study
    seeds, and a learner's with second labels minus its rerun's.  No pairs are counted, as integrals need none."""
    long = found[found["share"].isin(SHARES)].melt(["seed", "share"], var_name="statistic")
    usual = dict.fromkeys((*OPTIONS, "weak", "strong"), "") | {"method": SHORTEST, "n_pairs": 0, "draws": None}
    unknown = dict.fromkeys(("alpha", "less", "counted", "draws_counted"), np.nan)
    long = long.assign(condition=long["share"].map(SHARES), **usual, **unknown)
    uses = long["statistic"] != "conflict_tax"
    per_seed = long.assign(threshold=np.where(uses, threshold, np.nan), run_keys=[()] * len(long))[PER_SEED]
    second, rerun = ({"condition": SHARES[share]} for share in (1.0, 0.0))
    beyond = difference(per_seed, per_seed["statistic"].unique(), SHARES[0.0], second, rerun)
    return pd.concat([summarise(per_seed), beyond.assign(weak="", strong="")], ignore_index=True)
