"""A study: from an edition to the runs it needs, and from their scores to comparisons.

Here stands who is trained on what.  The weak supervisor sees ground truth on the first half; it labels
the second half for its students; the ceiling is trained on the second half with ground truth, so that
it differs from a student in its labels (Burns et al. 2023), by random streams that no student shares.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from w2s_lib.conditions import CEILING, CONDITIONS, INDEPENDENT
from w2s_lib.edition import Edition
from w2s_lib.lab import Lab
from w2s_lib.ladder import LADDER
from w2s_lib.metrics import Comparison
from w2s_lib.pairs import split
from w2s_lib.run import Conflict, Pairs, Pretrain, Train, World


@dataclass(frozen=True)
class Study:
    """The runs of one edition."""

    edition: Edition

    def only(self, seeds: Sequence[int], pairs: Sequence[str]) -> Study:
        """The same study with fewer seeds and weak-strong pairs."""
        return Study(self.edition.model_copy(update={"seeds": tuple(seeds), "pairs": tuple(pairs)}))

    def pairs(self, seed: int) -> Pairs:
        """The preference pairs of one study seed."""
        e = self.edition
        return Pairs(world=World(seed=seed, substances=e.substances), train_pairs=e.train_pairs, test_pairs=e.test_pairs)

    def model(self, seed: int, name: str) -> Pretrain:
        """A pretrained language model of the ladder."""
        return LADDER[name].pretrain(self.pairs(seed).world, self.edition.reading)

    def weak(self, seed: int, name: str) -> Train:
        """The weak supervisor: ground truth, first half."""
        return Train(model=self.model(seed, name), pairs=self.pairs(seed), split="ground_truth")

    def ceiling(self, seed: int, name: str) -> Train:
        """The strong ceiling: ground truth, second half; what the strong model can know."""
        return Train(model=self.model(seed, name), pairs=self.pairs(seed), split="weak_label", replica=CEILING)

    def student(self, seed: int, weak: str, strong: str, condition: str = "none") -> Train:
        """The strong student on the weak supervisor's labels of the second half, under a condition."""
        c = CONDITIONS[condition]
        return self._student(seed, weak, strong, c.conflict(self.edition.alpha), c.replica)

    def independent(self, seed: int, weak: str, strong: str) -> Train:
        """A no-conflict student whose random streams are its own; it tells the margins for the matched null."""
        return self._student(seed, weak, strong, Conflict(), INDEPENDENT)

    def _student(self, seed: int, weak: str, strong: str, conflict: Conflict, replica: int) -> Train:
        return Train(
            model=self.model(seed, strong), pairs=self.pairs(seed), split="weak_label",
            labels=self.weak(seed, weak), conflict=conflict, replica=replica,
        )  # fmt: skip

    def compared(self, seed: int, weak: str, strong: str, condition: str) -> list[Train]:
        """The five runs behind one comparison: weak, ceiling, baseline, conflict, independent."""
        return [
            self.weak(seed, weak),
            self.ceiling(seed, strong),
            self.student(seed, weak, strong),
            self.student(seed, weak, strong, condition),
            self.independent(seed, weak, strong),
        ]

    def ladder_runs(self) -> list[Pretrain | Train]:
        """Every model of the ladder, as a language model and as a ceiling."""
        e = self.edition
        return [run for s in e.seeds for m in e.models for run in (self.model(s, m), self.ceiling(s, m))]

    def student_runs(self, conditions: tuple[str, ...] = tuple(CONDITIONS)) -> list[Train]:
        """All that comparing these conditions needs, for every seed and pair of the edition."""
        e = self.edition
        cells = [(s, w, m, c) for s in e.seeds for w, m in e.weak_strong for c in conditions]
        return list(dict.fromkeys(run for cell in cells for run in self.compared(*cell)))

    def runs(self) -> list[Pretrain | Train]:
        """Everything that the book needs."""
        return [*self.ladder_runs(), *self.student_runs()]

    def clusters(self, seed: int) -> np.ndarray:
        """The cluster (substance or task) of each test pair, shape (test_pairs,)."""
        return split(self.pairs(seed), "test")["cluster"].to_numpy()

    def comparison(self, lab: Lab, seed: int, weak: str, strong: str, condition: str) -> Comparison:
        """Probabilities of the true order on the test pairs under the five runs; trains what is missing."""
        runs = self.compared(seed, weak, strong, condition)
        lab.run(runs)
        scores = [lab.scores(run) for run in runs]
        ids = split(self.pairs(seed), "test")["pair_id"].tolist()
        assert all(frame["pair_id"].tolist() == ids for frame in scores), "scores are not in the order of the pairs"
        return Comparison(*(frame["p_true"].to_numpy() for frame in scores), threshold=self.edition.threshold)
