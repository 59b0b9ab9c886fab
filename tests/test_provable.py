"""The provable toy: shortest weights fit, integrals are what sampling gives, conditions are those of the theorem."""

from functools import partial

import numpy as np
import pandas as pd
import pytest

from w2s_lib.figures import provable as figures
from w2s_lib.findings.claims import CLAIMS, ledger
from w2s_lib.findings.provable import (
    CLAIMED,
    COORDINATES,
    SETTINGS,
    USED,
    BiLevel,
    Draws,
    Setting,
    analytic,
    bar,
    covariance,
    exact_accuracy,
    latent,
    learning,
    phases,
    results_of,
    sample_comparison,
    shortest,
    unintended,
)
from w2s_lib.findings.results import NAMES as ROW_NAMES
from w2s_lib.findings.results import pick, published

T = 0.75


def test_variances_sum_to_the_dimension_and_share_it_as_written():
    view = BiLevel(1.8, 0.7, 0.4)
    (favoured, others), (large, small) = view.counts(40), view.variances(40)
    assert favoured * large + others * small == pytest.approx(favoured + others) == pytest.approx(40**1.8, rel=0.01)
    assert favoured * large / (favoured + others) == pytest.approx(40**-0.7)


def test_windows_by_hand():
    assert SETTINGS["strong alone fails"].window() == pytest.approx((1.4, 1.625))
    assert USED.window() == pytest.approx((0.55, 1.225))
    alone = [s.strong.q + s.strong.r > (s.strong.p + 1) / 2 for s in SETTINGS.values()]
    assert alone == [True, False], "the strong model on n true labels is proved to stay at chance, as its name says"
    low, high = Setting(BiLevel(2, 0.6, 0.2), BiLevel(1.5, 0.9, 0.2)).window()
    assert low > high, "a weak model that learns: the theorem is not about it"


def test_the_shortest_weights_fit_every_label_and_none_shorter_do():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(12, 30)), rng.normal(size=12)
    w = shortest(x, y)
    aside = rng.normal(size=30)
    aside -= x.T @ np.linalg.solve(x @ x.T, x @ aside)  # what no point sees
    assert x @ w == pytest.approx(y) and abs(w @ aside) < 1e-9


@pytest.mark.parametrize("strong", [True, False])
def test_accuracy_is_that_of_many_points(strong):
    world = Draws(USED, 20, 3)
    z = world.draw(20)
    w = shortest(world.seen(z, strong), np.sign(z[:, 0]))
    many = world.draw(6000)
    assert world.seen(many, strong) @ w == pytest.approx(many @ latent(world, w, strong))
    counted = np.mean(np.sign(world.seen(many, strong) @ w) == np.sign(many[:, 0]))
    assert exact_accuracy(world, w, strong) == pytest.approx(counted, abs=0.02)


def test_models_that_see_all_and_learn_from_the_truth_are_right():
    easy = Setting(BiLevel(1.4, 0.05, 0.1), BiLevel(1.4, 0.05, 0.1))
    found = learning(easy, 40, [1.0], range(2))
    assert found["weak"].min() > 0.8 and found["student"].min() > 0.75


@pytest.fixture(scope="module")
def conflicting():
    return covariance(USED, 30, 1, 60, 0.4)


def test_a_covariance_is_one_and_a_second_label_costs(conflicting):
    assert np.diag(conflicting) == pytest.approx(1) and np.linalg.eigvalsh(conflicting).min() > -1e-9
    rerun = covariance(USED, 30, 1, 60, 0.0)
    truth = dict(zip(COORDINATES, conflicting[0])), dict(zip(COORDINATES, rerun[0]))
    assert truth[0]["conflict"] < truth[1]["conflict"] - 0.05 and truth[0]["baseline"] == truth[1]["baseline"]


def test_integrals_are_what_the_library_counts(conflicting):
    exact, c = analytic(conflicting, T), sample_comparison(conflicting, 60_000, T, np.random.default_rng(0))
    assert exact["conflict_tax"] == pytest.approx(float(c.conflict_tax()), abs=0.005)
    for name, counted in (("deception_score", c.deception_score()), ("null_margin_matched", c.null("margin_matched"))):
        assert exact[name] == pytest.approx(float(counted), abs=0.015), name
    assert exact["null_random"] == pytest.approx(float(c.null("random")), abs=0.008)
    alike = pd.Series(c.area[c.right], dtype=float).groupby(pd.qcut(c.independent[c.right], 100, labels=False))
    gains = np.sort(c.area[c.right] - alike.transform("mean"))  # of a perfect deceiver, by bins of the margin
    assert exact["attainable_margin_matched"] == pytest.approx(gains[-c.tax.sum() :].mean(), abs=0.015)


def test_sampled_probabilities_are_calibrated(conflicting):
    c = sample_comparison(conflicting, 40_000, T, np.random.default_rng(1))
    for p in (c.weak, c.conflict):
        sure = np.maximum(p, 1 - p)
        assert sure.mean() == pytest.approx((p > 0.5).mean(), abs=0.01)
    assert bar(conflicting, "weak", 0.5) == pytest.approx(0)


def test_a_student_that_is_its_baseline_pays_nothing():
    same = covariance(USED, 30, 1, 60, 0.4).copy()  # the library's own, which it keeps, cannot be written to
    same[4], same[:, 4] = same[3], same[:, 3]
    same[4, 4] = same[3, 3]
    assert analytic(same, T)["conflict_tax"] == pytest.approx(0, abs=1e-4)


def test_figures_tell_their_numbers():
    curves = {name: learning(s, 15, [0.8, 1.2], range(2)) for name, s in SETTINGS.items()}
    grid = phases(USED, 15, [0.7, 1.1, 1.4], [0.5, 0.8], range(2))
    assert len(grid) == 6 and set(grid.columns) == {"q", "u", "student", "low", "high"}
    frames = [unintended(USED, 15, 20, (0.0, 0.5), range(2), t).assign(threshold=t) for t in (0.6, 0.8)]
    drawn = [figures.learning_curves(curves), figures.phase_picture(grid), figures.innocent_scores(frames[0])]
    drawn.append(figures.innocent_over_threshold(pd.concat(frames)))
    assert all(len(figure.alt) > 60 and figure.caption and "nan" not in figure.alt for figure in drawn)
    assert f"{grid['student'].min():.2f}" in drawn[1].alt and "at T = 0.6" in drawn[3].alt


def test_rows_of_the_toy_are_what_was_integrated():
    found = unintended(USED, 20, 30, (0.0, 0.5, 1.0), range(3), T)
    rows = results_of(found, T)
    of = partial(pick, rows, condition="implicit", weak="", strong="")
    by_share = found.pivot(index="seed", columns="share", values="excess_margin_matched")
    assert of("excess_margin_matched")["value"] == pytest.approx(by_share[1.0].mean())
    beyond = of("excess_margin_matched", versus="rerun")
    assert beyond["value"] == pytest.approx((by_share[1.0] - by_share[0.0]).mean())
    assert beyond["low"] < beyond["value"] < beyond["high"] and beyond["n_seeds"] == 3
    told, behind = published(rows, "smoke", "20_provable")
    assert set(told["runs"]) == {""} and behind.empty, "it has no runs"
    assert not rows.duplicated(list(ROW_NAMES)).any() and set(rows["condition"]) == {"implicit", "rerun"}
    told = ledger({"20_provable": rows}, CLAIMED.values()).iloc[0]
    assert (told["value"], told["n_seeds"]) == (of("excess_margin_matched")["value"], 3)
    assert told["attainable"] == pytest.approx(found.query("share == 1")["attainable_margin_matched"].mean())
    assert told["verdict"] in ("yes", "small", "no", "undecided") and not set(CLAIMED) & set(CLAIMS)
    assert (rows["threshold"].isna() == (rows["statistic"] == "conflict_tax")).all()
