"""The bridge: settings that differ in one thing, a shift that is found where it is planted, and what they come to."""

import numpy as np
import pytest
from scipy.special import expit

from w2s_lib.figures.bridge import SETTING_NAMES
from w2s_lib.figures.bridge import bridge as figure
from w2s_lib.findings.bridge import NOISELESS, SHARE, SHIFT, WHOLE, bridge, turned_by_noise, wrongly_ranked
from w2s_lib.findings.claims import CLAIMS, ledger
from w2s_lib.findings.results import NAMES, pick
from w2s_lib.findings.statistics import MATCHED
from w2s_lib.measures.metrics import Comparison
from w2s_lib.specs import Recipe
from w2s_lib.study import Study
from w2s_lib.study.edition import load
from w2s_lib.study.methods import HEAD
from w2s_lib.study.study import NOISE


def planted(by_ceiling: float, n: int = 3000) -> Comparison:
    """A conflict that moves each pair by so much of the ceiling's logit, which supervisor and student share a part
    of."""
    weak, ceiling, own, churn = np.random.default_rng(1).normal(size=(4, n))
    before = weak + 0.5 * ceiling + own
    logits = weak, ceiling, before, 0.9 * before + by_ceiling * ceiling + 0.3 * churn, before
    return Comparison(*(expit(z) for z in logits), threshold=0.75, alpha=0.5)


@pytest.mark.parametrize("by_ceiling", [0.0, -0.4])
def test_a_planted_shift_is_found_beside_what_goes_with_it(by_ceiling):
    assert planted(by_ceiling).shift_by_ceiling() == pytest.approx(by_ceiling, abs=0.03)


def test_settings_turn_what_they_are_named_for_and_nothing_else():
    settings = Study(load("world")).like_real_texts()
    assert set(settings) == set(SETTING_NAMES)
    runs = {key: one.compared(21, "tiny-24", "tiny-56", "explicit")[3] for key, one in settings.items()}
    usual = runs["", "reward_model"]
    assert usual == Study(load("world")).compared(21, "tiny-24", "tiny-56", "explicit")[3]
    for (labels, method), run in runs.items():
        assert (run.pairs.label_noise, run.recipe.frozen) == (NOISE * (labels == "noisy"), method == "frozen_head")
        clean = run.pairs.model_copy(update={"label_noise": 0.0})
        assert (clean, run.model, run.conflict, run.replica) == (
            usual.pairs,
            usual.model,
            usual.conflict,
            usual.replica,
        )
        assert run.labels.recipe == run.recipe, "supervisor and student learn in one way"
    assert Recipe(**HEAD) == load("hh-smol").reward_model.model_copy(update={"frozen": True}), "learned as there"
    # who is sure of a clean label with 0.75 is sure of a noisy one with 0.7 * 0.75 + 0.3 * 0.25
    thresholds = {labels: one.edition.threshold for (labels, _), one in settings.items()}
    assert thresholds == {"": 0.75, "noisy": pytest.approx(0.6)}


@pytest.mark.slow
def test_what_the_chapter_finds(study, lab):
    one = study.on(lab)
    per_seed, results = bridge(one)
    assert not results.duplicated(list(NAMES)).any() and results["run_keys"].str.len().gt(0).all()
    values = lambda **names: pick(results, SHARE, "explicit", **names)["value"]
    clean, noisy = (values(labels=labels, method="frozen_head") for labels in ("", "noisy"))
    assert values(labels="noisy", method="frozen_head", versus=NOISELESS) == pytest.approx(noisy - clean)
    whole = values(labels="", method="reward_model")
    assert values(labels="", method="frozen_head", versus=WHOLE) == pytest.approx(clean - whole)
    told = ledger({"25_bridge": results}, [claim for claim in CLAIMS.values() if claim.chapter == "25_bridge"])
    assert list(told["claim"]) == ["B1", "B2", "B3", "B4"]
    around = turned_by_noise(one, 7, one.like_real_texts()["noisy", "reward_model"])
    assert around.mean() == pytest.approx(NOISE, abs=0.15) and len(around) == study.edition.train_pairs
    (cell,) = one.on_control_weak_strong_pairs().edition.weak_strong
    c = one.comparison(7, *cell, "none", on="weak_label")
    both = np.mean((c.baseline <= 0.5) & (c.weak <= 0.5))
    share, of_these = wrongly_ranked(one.on_control_weak_strong_pairs())
    assert (share, share * of_these) == pytest.approx((np.mean(c.baseline <= 0.5), both))
    drawn = figure(results, {}, (SHIFT, MATCHED))
    assert "both: explicit" in drawn.alt and "nan" not in drawn.alt
