"""Every measure against the naive formula, on planted tables, and under weights."""

from dataclasses import replace

import numpy as np
import pytest

from w2s_lib.measures.metrics import (
    MIN_GAP,
    QUADRANTS,
    Comparison,
    accuracy,
    band,
    equal_count_bins,
    known,
    pgr,
    quadrant,
    share,
    taxed,
)

RNG = np.random.default_rng(0)


def random_comparison(n=400, seed=1, **keywords):
    p = np.random.default_rng(seed).uniform(size=(5, n))
    return Comparison(*p, **keywords)


def planted(n=20_000, tax_in_area=0.4, tax_outside=0.1, seed=0):
    """A table whose tax and DS are known: the baseline is right everywhere, the tax is drawn by area."""
    rng = np.random.default_rng(seed)
    weak, ceiling = rng.uniform(size=n), rng.uniform(size=n)
    area = (ceiling > 0.75) & (weak <= 0.75)
    taxed_pairs = rng.uniform(size=n) < np.where(area, tax_in_area, tax_outside)
    margin = rng.uniform(0.5, 1, size=n)
    truth = {"area": 0.25 * 0.75, "tax": 0.1875 * tax_in_area + 0.8125 * tax_outside}
    return Comparison(weak, ceiling, np.full(n, 0.9), np.where(taxed_pairs, 0.2, 0.9), margin), truth


def test_accuracy_and_knowledge_by_hand():
    p = np.array([0.9, 0.5, 0.51, 0.2, 0.75])
    assert accuracy(p) == 0.6, "a tie is not correct"
    assert known(p, 0.75).tolist() == [True, False, False, False, False], "knowing is strictly above T"


def test_quadrants_by_hand():
    ceiling, weak = np.array([0.9, 0.9, 0.1, 0.1]), np.array([0.9, 0.1, 0.9, 0.1])
    assert quadrant(ceiling, weak, 0.75).tolist() == [0, 1, 2, 3]
    assert QUADRANTS[1] == "S_k ∩ W_uk"


def test_tax_by_hand():
    assert taxed(np.array([0.9, 0.9, 0.1, 0.5]), np.array([0.9, 0.1, 0.1, 0.1])).tolist() == [False, True, False, False]


@pytest.mark.parametrize("seed", range(5))
def test_statistics_against_naive_loops(seed):
    c = random_comparison(seed=seed, threshold=0.6)
    rows = list(zip(c.weak, c.ceiling, c.baseline, c.conflict))
    paid = [(w, s) for w, s, b, x in rows if b > 0.5 and not x > 0.5]
    right = [(w, s) for w, s, b, _ in rows if b > 0.5]
    hidden = lambda pairs: sum(1 for w, s in pairs if s > 0.6 and not w > 0.6) / len(pairs)
    assert c.conflict_tax() == pytest.approx(len(paid) / len(rows))
    assert c.deception_score() == pytest.approx(hidden(paid))
    assert c.null_random() == pytest.approx(hidden(right))
    assert c.lift() == pytest.approx(hidden(paid) / hidden(right))
    won = sum(1 for *_, b, x in rows if not b > 0.5 and x > 0.5)
    assert c.net_change() == pytest.approx((won - len(paid)) / len(rows))


def test_margin_matched_null_against_simulation():
    c = random_comparison(n=300, seed=3)
    right = np.flatnonzero(c.right)
    groups = np.array_split(right[np.argsort(c.independent[right])], c.bins)
    sizes = [int(c.tax[g].sum()) for g in groups]
    rng = np.random.default_rng(0)
    draws = [
        np.concatenate([c.area[rng.choice(g, s, replace=False)] for g, s in zip(groups, sizes)]).mean()
        for _ in range(4000)
    ]
    assert c.null_margin_matched() == pytest.approx(np.mean(draws), abs=0.02)


def test_margin_matched_null_explains_a_tax_that_follows_the_margin():
    # Small margins are taxed, and lie in the area more often.  DS is far above random, and not above its matched null.
    rng = np.random.default_rng(4)
    n = 40_000
    margin = rng.uniform(size=n)
    area = rng.uniform(size=n) < 0.8 * (1 - margin)
    tax = rng.uniform(size=n) < 0.3 * (1 - margin)
    c = Comparison(
        np.full(n, 0.1), np.where(area, 0.9, 0.1), np.full(n, 0.9), np.where(tax, 0.1, 0.9), 0.5 + margin / 2
    )
    assert c.excess_random() > 0.1
    assert c.excess_margin_matched() == pytest.approx(0, abs=0.02)


def test_planted_truth_is_recovered():
    c, truth = planted()
    assert c.conflict_tax() == pytest.approx(truth["tax"], abs=0.01)
    assert c.deception_score() == pytest.approx(truth["area"] * 0.4 / truth["tax"], abs=0.02)
    assert c.null_random() == pytest.approx(truth["area"], abs=0.01)
    assert c.excess_margin_matched() == pytest.approx(c.excess_random(), abs=0.01), "margins are unrelated here"
    assert c.tax_rates() == pytest.approx([0.1, 0.4, 0.1, 0.1], abs=0.02)


def test_nothing_taxed_leaves_ds_undefined():
    c = Comparison(*np.full((5, 10), 0.9))
    assert c.conflict_tax() == 0
    assert np.isnan(c.deception_score()) and np.isnan(c.null_margin_matched()) and np.isnan(c.lift())


def test_pgr_and_where_it_is_silent():
    assert pgr(0.6, 0.7, 0.8) == pytest.approx(0.5)
    assert pgr(0.6, 0.5, 0.8) == pytest.approx(-0.5)
    assert np.isnan(pgr(0.6, 0.7, 0.6 + MIN_GAP - 0.001)) and np.isnan(pgr(0.8, 0.7, 0.6))
    assert pgr(np.array([0.6, 0.6]), 0.7, np.array([0.8, 0.61])).tolist() == pytest.approx([0.5, np.nan], nan_ok=True)


@pytest.mark.parametrize(
    "name",
    [
        "conflict_tax",
        "net_change",
        "deception_score",
        "null_random",
        "null_margin_matched",
        "excess_margin_matched",
        "lift",
        "tax_rates",
    ],
)
def test_weights_count_pairs(name):
    """Unit weights change nothing; a matrix of weights gives one value a row; weight 2 is the pair twice."""
    c = random_comparison(n=200, seed=5)
    statistic = getattr(c, name)
    weights = RNG.multinomial(200, np.full(200, 1 / 200), size=7).astype(float)
    assert statistic(np.ones(200)) == pytest.approx(statistic())
    assert statistic(weights)[3] == pytest.approx(statistic(weights[3]))
    if name != "null_margin_matched" and not name.endswith("margin_matched"):  # its bins belong to the sample
        index = np.repeat(np.arange(200), weights[3].astype(int))
        resampled = Comparison(
            *(getattr(c, f)[index] for f in ("weak", "ceiling", "baseline", "conflict", "independent"))
        )
        assert statistic(weights[3]) == pytest.approx(getattr(resampled, name)())


def test_share_of_nothing_is_undefined():
    assert np.isnan(share(np.array([True]), np.array([False])))


def test_the_band_follows_from_the_gradient():
    """The fixed point of the explicit loss, found by descent, is wrong exactly inside the band."""
    for alpha in (0.25, 0.5, 1.0):
        low, high = band(alpha)
        for q in (low + 0.02, high - 0.02, high + 0.02):
            d = -0.05
            for _ in range(20_000):
                p = 1 / (1 + np.exp(-d))
                d -= 0.05 * (p - min(q, 1.0) + (alpha * p if d <= 0 else 0))
            assert (d <= 0) == (q < high) or q > 1


def test_tax_by_label_against_naive_loops():
    c = random_comparison(n=500, seed=8, alpha=0.5)
    rows = [(w, b > 0.5 >= x) for w, b, x in zip(c.weak, c.baseline, c.conflict) if b > 0.5]
    inside = [t for w, t in rows if 0.5 <= w < 0.75]
    above = [t for w, t in rows if w >= 0.75]
    assert c.tax_rate_in_band() == pytest.approx(np.mean(inside))
    assert c.tax_rate_above_band() == pytest.approx(np.mean(above))
    assert c.band_contrast() == pytest.approx(np.mean(inside) - np.mean(above))
    assert np.isnan(replace(c, alpha=2.0).tax_rate_above_band()), "nothing lies above a label of 1"


def labelled(n=60_000, seed=3, prefers=0.0):
    """A table whose tax depends on the weak label, and on what the strong knows by as much as ``prefers``."""
    rng = np.random.default_rng(seed)
    weak, margin = rng.uniform(size=n), rng.uniform(0.5, 1, size=n)
    knows = rng.uniform(size=n) < 0.3 + 0.5 * weak
    tax = rng.uniform(size=n) < 0.4 * (1 - weak) + prefers * knows
    return Comparison(weak, np.where(knows, 0.9, 0.6), np.full(n, 0.9), np.where(tax, 0.1, 0.9), margin)


def test_the_label_matched_null_explains_a_tax_that_follows_the_label():
    c = labelled()
    assert c.excess_random() > 0.04
    assert c.excess_label_matched() == pytest.approx(0, abs=0.02)
    assert c.explained_by_label() == pytest.approx(c.excess_random() - c.excess_label_matched())


def test_the_weak_matched_null_sees_only_a_preference_for_what_the_strong_knows():
    assert labelled().excess_weak_matched() == pytest.approx(0, abs=0.02)
    assert labelled(prefers=0.3).excess_weak_matched() > 0.05


def test_among_keeps_the_pairs_in_order():
    c = random_comparison(n=50)
    keep = c.weak > 0.4
    some = c.among(keep)
    assert (
        (some.weak == c.weak[keep]).all()
        and (some.conflict == c.conflict[keep]).all()
        and some.threshold == c.threshold
    )


def test_equal_count_bins_are_equal_and_ordered():
    values, of = np.random.default_rng(1).uniform(size=103), np.arange(103) % 2 == 0
    cell = equal_count_bins(values, of, 5)
    assert (cell[~of] == -1).all()
    sizes = np.bincount(cell[of])
    assert len(sizes) == 5 and sizes.max() - sizes.min() <= 1
    assert all(values[cell == b].max() < values[cell == b + 1].min() for b in range(4))
