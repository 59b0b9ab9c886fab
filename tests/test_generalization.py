"""Which of a supervisor's mistakes its students correct, by how sure it was."""

from dataclasses import dataclass

import numpy as np
import pytest

from w2s_lib.findings.generalization import gain_by_confidence
from w2s_lib.findings.results import measure
from w2s_lib.measures.intervals import share_bounds, t_bounds
from w2s_lib.measures.metrics import Comparison
from w2s_lib.study import Study
from w2s_lib.study.edition import load


def test_gain_by_confidence_counts_every_pair_once(study, lab):
    table, e = gain_by_confidence(study.on(lab)), study.edition
    assert (table["wrong"] + table["right"]).sum() == pytest.approx(e.test_pairs)
    none = measure(study.on(lab), ["none"], ("accuracy_weak", "accuracy"))
    weak, student = (none[none["statistic"] == name]["value"].mean() for name in ("accuracy_weak", "accuracy"))
    won, lost = (table["corrected"] * table["wrong"]).sum(), (table["lost"] * table["right"]).sum()
    assert won - lost == pytest.approx(e.test_pairs * (student - weak)), "what is won and lost is the change"


@dataclass(frozen=True)
class Corrected(Study):
    """A study whose students correct nearly none of their supervisors' mistakes in four seeds, and a third in one."""

    def comparison(self, seed, weak, strong, condition, on="test"):
        wrong, many = np.repeat([0.2, 0.8], 100), np.arange(100) < (30 if seed == 25 else 1)
        student = np.where(np.concatenate([many, np.full(100, True)]), 0.9, 0.1)
        return Comparison(weak=wrong, ceiling=wrong, baseline=student, conflict=student, independent=student, alpha=1.0)


def test_of_mistakes_that_few_seeds_correct_the_interval_is_that_of_shares():
    """Student's t would end below zero."""
    few = Corrected(load("world")).restricted_to(seeds=[21, 22, 23, 24, 25], weak_strong_pairs=["tiny-24 -> tiny-56"])
    (row,) = gain_by_confidence(few).to_dict("records")
    shares = np.array([0.01, 0.01, 0.01, 0.01, 0.3])
    assert row["corrected"] == pytest.approx(shares.mean()) and t_bounds(shares)[0] < 0
    assert (row["corrected_low"], row["corrected_high"]) == pytest.approx(share_bounds(shares))
    assert row["corrected_low"] > 0 and (row["lost"], np.isnan(row["lost_low"])) == (0, True)
