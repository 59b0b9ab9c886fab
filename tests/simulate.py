"""Simulated studies: score tables whose tax, deception and gap are planted, and whose pairs and cells are not
independent.

A study seed draws its models' skills and how much its conflict taxes; within a seed, pairs about one
substance share what models know of it, and weak-strong cells share models and pairs.  Sizes and scatter
are near those of the default edition on development seeds.  Nothing is trained.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
import pandas as pd

from tests.planted import per_seed
from w2s_lib.findings.results import Estimate, estimate
from w2s_lib.findings.statistics import GENERALIZATION
from w2s_lib.measures.metrics import Comparison


@dataclass(frozen=True)
class Plant:
    """What is planted.  ``skills`` are probits of accuracies, taxes are in log-odds; a ``_scatter`` is a standard
    deviation over study seeds."""

    skills: tuple[float, ...] = (0.65, 0.85, 1.0, 1.1, 1.2)
    skill_scatter: float = 0.1
    recovered: float = 0.8
    """Share of the gap in skill that a student recovers: close to its PGR."""
    recovered_scatter: float = 0.1
    tax: float = -1.2
    """Log-odds to be taxed of a pair that the no-conflict student ranks right and is unsure of."""
    tax_scatter: float = 0.5
    preference: float = 0.6
    """By how much these log-odds are higher in the deception area, beyond what the pair's margin says; 0: no
    deception."""
    preference_scatter: float = 0.3
    substances: int = 300
    tasks: int = 8
    pairs: int = 1500

    @property
    def cells(self) -> list[tuple[int, int]]:
        """Weak and strong model of each cell."""
        return list(combinations(range(len(self.skills)), 2))


Cells = dict[tuple[int, int], Comparison]


def simulate(plant: Plant, rng: np.random.Generator) -> tuple[Cells, np.ndarray]:
    """One study seed: a comparison for each weak-strong cell, and the cluster of each pair, shape (pairs,)."""
    n, clusters = plant.pairs, plant.substances + plant.tasks
    easy = rng.uniform(size=n) < 0.2  # pairs that name no substance: few clusters, and everyone knows them
    index = np.where(easy, plant.substances + rng.integers(plant.tasks, size=n), rng.integers(plant.substances, size=n))
    skill = np.array(plant.skills) + plant.skill_scatter * (rng.normal() + rng.normal(size=len(plant.skills)))
    told = 0.7 * rng.normal(size=clusters) + 1.5 * (np.arange(clusters) >= plant.substances)
    read = told + 0.6 * rng.normal(size=(len(skill), clusters))  # what each model knows of each cluster

    def margins(skill: float, reader: int) -> np.ndarray:
        """Of one training run: it has its own luck with clusters and with pairs."""
        return 2.5 * (skill + (read[reader] + 0.2 * rng.normal(size=clusters))[index] + 0.3 * rng.normal(size=n))

    level, preference = (
        plant.tax + plant.tax_scatter * rng.normal(),
        plant.preference + plant.preference_scatter * rng.normal(),
    )
    recovered = plant.recovered + plant.recovered_scatter * rng.normal()
    base = [_p(margins(skill[m], m)) for m in range(len(skill))]
    cells: Cells = {}
    for weak, strong in plant.cells:
        own = skill[weak] + recovered * (skill[strong] - skill[weak])
        baseline, other = _p(margins(own, strong)), margins(own, strong)
        area = (base[strong] > 0.75) & (base[weak] <= 0.75)
        cell_level = level + 0.4 * plant.tax_scatter * rng.normal()
        odds = cell_level - 0.9 * np.abs(other) + preference * area + 0.8 * rng.normal(size=clusters)[index]
        flipped = rng.uniform(size=n) < _p(odds + 0.5 * (baseline <= 0.5))  # what is wrong is won back a little oftener
        conflict = np.where(flipped, 1 - baseline, baseline)
        cells[weak, strong] = Comparison(base[weak], base[strong], baseline, conflict, _p(other))
    return cells, index


def _p(log_odds: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-log_odds))


def estimated(name: str, c: Comparison) -> Estimate:
    """A statistic as the book estimates it; accuracies, gap and PGR are those of the student without a conflict."""
    return estimate(replace(c, conflict=c.baseline) if name in GENERALIZATION else c, name, ())


def tables(plant: Plant, seeds: int, statistics: Iterable[str], rng: np.random.Generator) -> pd.DataFrame:
    """As of ``results.measure``, of so many simulated seeds."""
    rows, statistics = [], tuple(statistics)
    for seed in range(seeds):
        for (weak, strong), c in simulate(plant, rng)[0].items():
            student = {"seed": seed, "weak": f"m{weak}", "strong": f"m{strong}", "n_pairs": plant.pairs, "run_keys": ()}
            for name in statistics:
                found = estimated(name, c)
                numbers = {"value": found.of, "counted": found.counted, "less": found.less}
                rows.append(
                    student | {"statistic": name} | {key: float(of()) if of else np.nan for key, of in numbers.items()}
                )
    return per_seed(rows)
