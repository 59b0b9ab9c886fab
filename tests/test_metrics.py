"""Every measure against the naive formula, on planted tables, and under weights."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from tests.planted import per_seed
from w2s_lib.findings.results import summarise
from w2s_lib.findings.statistics import STATISTICS
from w2s_lib.measures.intervals import cluster_weights
from w2s_lib.measures.metrics import (
    MIN_GAP,
    NULLS,
    QUADRANTS,
    Comparison,
    accuracy,
    alike,
    band,
    known,
    mean_over,
    quadrant,
    share,
    sum_of_largest,
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
    assert c.null("random") == pytest.approx(hidden(right))
    assert c.lift() == pytest.approx(hidden(paid) / hidden(right))
    won = sum(1 for *_, b, x in rows if not b > 0.5 and x > 0.5)
    assert c.net_change() == pytest.approx((won - len(paid)) / len(rows))


def test_margin_matched_null_against_simulation():
    """Each taxed pair is replaced by one of the pairs nearest in margin, found here by sorting, not by a tree."""
    c = random_comparison(n=300, seed=3, neighbours=21)
    right = np.flatnonzero(c.right)
    right = right[np.argsort(c.independent[right])]
    place = {pair: i for i, pair in enumerate(right)}
    rng, inner = np.random.default_rng(0), [i for i in np.flatnonzero(c.tax) if 10 <= place[i] < len(right) - 10]
    near = [right[place[i] - 10 : place[i] + 11] for i in inner]
    draws = [c.area[[rng.choice(n) for n in near]].mean() for _ in range(2000)]
    assert c.chance("margin_matched")[inner].mean() == pytest.approx(np.mean(draws), abs=0.01)


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
    assert c.excess("random") > 0.1
    assert c.excess("margin_matched") == pytest.approx(0, abs=0.02)


def test_planted_truth_is_recovered():
    c, truth = planted()
    assert c.conflict_tax() == pytest.approx(truth["tax"], abs=0.01)
    assert c.deception_score() == pytest.approx(truth["area"] * 0.4 / truth["tax"], abs=0.02)
    assert c.null("random") == pytest.approx(truth["area"], abs=0.01)
    assert c.excess("margin_matched") == pytest.approx(c.excess("random"), abs=0.02), "margins are unrelated here"
    assert c.tax_rates() == pytest.approx([0.1, 0.4, 0.1, 0.1], abs=0.02)


def test_nothing_taxed_leaves_ds_undefined():
    c = Comparison(*np.full((5, 10), 0.9))
    assert c.conflict_tax() == 0
    assert np.isnan(c.deception_score()) and np.isnan(c.null("margin_matched")) and np.isnan(c.lift())


def test_pgr_and_where_it_is_silent():
    right = lambda n: np.where(np.arange(10) < n, 0.9, 0.1)
    pgr = lambda weak, student, ceiling: Comparison(*map(right, (weak, ceiling, 5, student, 5))).pgr()
    assert pgr(6, 7, 8) == pytest.approx(0.5) and pgr(6, 5, 8) == pytest.approx(-0.5)
    assert np.isnan(pgr(6, 7, 6)) and pgr(8, 7, 6) == pytest.approx(0.5)
    seeds = per_seed(
        {"statistic": "pgr", "seed": n, "value": v, "counted": MIN_GAP + off}
        for n, v, off in ((1, 9.0, -1e-3), (2, 0.7, 1e-3))
    )
    assert summarise(seeds)["value"].item() == 0.7, "of a single model pair small gaps have no number"
    weights = np.array([[1.0] * 10, [1.0] * 6 + [0.0] * 4])
    c = Comparison(*map(right, (6, 8, 5, 7, 5)))
    assert c.pgr(weights).tolist() == pytest.approx([0.5, np.nan], nan_ok=True)


@pytest.mark.parametrize(
    "name",
    [
        "conflict_tax",
        "net_change",
        "deception_score",
        "null_random",
        "null_margin_matched",
        "excess_margin_matched",
        "attainable_margin_matched",
        "share_of_attainable_weak_matched",
        "lift",
        "tax_rate_neither_knows",
        "shift_by_ceiling",
    ],
)
def test_weights_count_pairs(name):
    """Unit weights change nothing; a matrix of weights gives one value a row; weight 2 is the pair twice."""
    c = random_comparison(n=200, seed=5)
    statistic = partial(STATISTICS[name], c)
    weights = RNG.multinomial(200, np.full(200, 1 / 200), size=7).astype(float)
    assert statistic(weights=np.ones(200)) == pytest.approx(statistic())
    assert statistic(weights=weights)[3] == pytest.approx(statistic(weights=weights[3]))
    if not name.endswith("matched"):  # which pairs are matched belongs to the sample
        index = np.repeat(np.arange(200), weights[3].astype(int))
        resampled = Comparison(
            *(getattr(c, f)[index] for f in ("weak", "ceiling", "baseline", "conflict", "independent"))
        )
        assert statistic(weights=weights[3]) == pytest.approx(STATISTICS[name](resampled))


@pytest.mark.parametrize("null", [null for null, features in NULLS.items() if features])
def test_a_pair_that_is_drawn_twice_is_its_own_neighbour_once(null):
    """Against a loop over pairs; a pair that was not drawn, and one whose like were not, have no null to speak of."""
    c = random_comparison(n=150, seed=5, neighbours=4)
    weights = np.random.default_rng(0).multinomial(150, np.full(150, 1 / 150), size=5).astype(float)
    (part, among), near = c.scored(null), c.matched(null).toarray()
    by_hand = np.zeros(weights.shape)
    for drawn, found in zip(weights, by_hand):
        for i in np.flatnonzero(among):
            pool = near[i] * np.where(np.arange(150) == i, np.minimum(drawn, 1), drawn)
            found[i] = (pool * part).sum() / pool.sum() if pool.sum() else 0.0
    assert (weights > 1).any() and c.chance(null, weights) == pytest.approx(by_hand)
    assert c.chance(null, weights[2]) == pytest.approx(by_hand[2])


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
    assert c.excess("random") > 0.04
    assert c.excess("label_matched") == pytest.approx(0, abs=0.02)
    assert c.explained_by_label() == pytest.approx(c.excess("random") - c.excess("label_matched"))


def test_the_weak_matched_null_sees_only_a_preference_for_what_the_strong_knows():
    assert labelled().excess("weak_matched") == pytest.approx(0, abs=0.02)
    assert labelled(prefers=0.3).excess("weak_matched") > 0.05


def test_among_keeps_the_pairs_in_order():
    c = random_comparison(n=50)
    keep = c.weak > 0.4
    some = c.among(keep)
    assert (
        (some.weak == c.weak[keep]).all()
        and (some.conflict == c.conflict[keep]).all()
        and some.threshold == c.threshold
    )


def test_alike_pairs_are_the_nearest_in_rank_of_every_feature():
    rng = np.random.default_rng(1)
    one, other, among = rng.uniform(size=103), rng.uniform(size=103), np.arange(103) % 2 == 0
    matched = alike(among, [one, other], 5).toarray()
    assert (matched[among].sum(axis=1) == 5).all() and not matched[~among].any() and not matched[:, ~among].any()
    assert (np.diag(matched)[among] == 1).all(), "a pair is matched with itself"
    rank = np.stack([np.argsort(np.argsort(x[among])) for x in (one, other)])
    distance = np.abs(rank[:, :, None] - rank[:, None, :]).max(axis=0)
    nearest = np.sort(distance, axis=1)[:, :5].sum(axis=1)
    assert ((distance * matched[np.ix_(among, among)]).sum(axis=1) == nearest).all()


def test_a_few_pairs_are_matched_with_all_there_are():
    among = np.array([True, False, True])
    assert alike(among, [np.arange(3.0)], 20).sum() == 4 and alike(~np.ones(3, bool), [np.arange(3.0)], 20).sum() == 0


def placed(c, pairs):
    """The same table with the tax moved to these pairs."""
    return replace(c, conflict=np.where(np.isin(np.arange(len(c.weak)), pairs), 0.1, c.baseline))


@pytest.mark.parametrize("null", NULLS)
def test_no_placement_of_the_tax_exceeds_the_attainable(null):
    c = random_comparison(n=400, seed=11, threshold=0.6)
    part, among = c.scored(null)
    paid = int((c.tax & among).sum())
    best = np.argsort(np.where(among, part - c.chance(null), -np.inf))[-paid:]
    assert placed(c, best).excess(null) == pytest.approx(c.attainable(null)), "it is attained"
    rng = np.random.default_rng(2)
    tried = [placed(c, rng.choice(np.flatnonzero(among), paid, replace=False)).excess(null) for _ in range(200)]
    assert max(tried) < c.attainable(null)
    assert c.share_of_attainable(null) == pytest.approx(c.excess(null) / c.attainable(null))


def test_where_a_blind_supervisor_leaves_nothing_to_hide_nothing_is_attainable():
    c = replace(random_comparison(n=200), weak=np.full(200, 0.99))
    assert c.attainable("margin_matched") == 0 and np.isnan(c.share_of_attainable("margin_matched"))


def test_the_sum_of_the_largest_takes_weights_apart():
    gains, among = np.array([3.0, 2.0, 1.0, 9.0]), np.array([True, True, True, False])
    assert sum_of_largest(gains, among, 2) == 5 and sum_of_largest(gains, among, 0) == 0
    weights = np.array([[2.0, 0.0, 1.0, 1.0], [1.0, 1.0, 1.0, 1.0]])
    assert sum_of_largest(gains, among, np.array([3.0, 1.0]), weights).tolist() == [7.0, 3.0]


def test_matching_balances_what_it_matches_on():
    rng = np.random.default_rng(4)
    n = 3000
    margin = rng.uniform(0.5, 1, size=n)
    tax = rng.uniform(size=n) < 0.3 * (1 - margin)
    c = Comparison(rng.uniform(size=n), rng.uniform(size=n), np.full(n, 0.9), np.where(tax, 0.1, 0.9), margin)
    assert abs(c.imbalance("random")) > 0.3 and abs(c.imbalance("margin_matched")) < 0.05


def test_only_some_pairs_may_be_asked_for_theirs():
    rng = np.random.default_rng(3)
    among, of, feature = rng.random(40) < 0.8, rng.random(40) < 0.3, rng.normal(size=40)
    every, some = (alike(among, [feature], 5, asked).toarray() for asked in (None, of))
    assert (some[of] == every[of]).all() and not some[~of].any()


def drawn(n=400, draws=30, seed=5):
    """Bootstrap weights of the pairs, clusters drawn with replacement."""
    rng = np.random.default_rng(seed)
    return cluster_weights(rng.integers(0, n // 4, size=n), draws, rng)


def test_a_mean_over_few_pairs_is_that_over_all_of_them_with_zeros():
    """To the last bit under weights as they are drawn, and without."""
    of, weights = RNG.random(400) < 0.05, drawn()
    for values in (RNG.random(400), np.asfortranarray(RNG.random(weights.shape))):
        np.testing.assert_array_equal(
            mean_over(values, of, weights), (weights * values * of).sum(axis=-1) / (weights @ of.astype(float))
        )
    values = RNG.random(400)
    assert mean_over(values, of) == (values * of).sum() / of.sum() != values.mean()
    assert np.isnan(mean_over(values, np.zeros(400, bool), weights)).all()
    hole = np.where(of, values, np.nan)
    assert mean_over(hole, of) == mean_over(values, of), "what lies outside is not read, with weights or without"
    assert np.allclose(mean_over(hole, of, weights), mean_over(values, of, weights))


def test_what_was_asked_before_changes_no_answer():
    """Of the same pairs under other weights, of other nulls, at another threshold: each as if it were asked first."""
    c, weights, others = random_comparison(), drawn(), drawn(seed=6)
    of = [(name, null) for name in ("null", "excess", "score", "attainable", "share_of_attainable") for null in NULLS]
    for given in (weights, None, others, weights[0], weights, weights[:, ::-1].copy(order="F")):
        for one in (c, replace(c, threshold=0.6), c.among(np.ones(400, bool))):
            for name, null in of:
                fresh = getattr(random_comparison(threshold=one.threshold), name)(null, given)
                np.testing.assert_array_equal(getattr(one, name)(null, given), fresh)
    assert not np.array_equal(c.null("margin_matched", weights), c.null("margin_matched", others))
    assert replace(c, threshold=0.6).score("random") != c.score("random") == c.deception_score()


def test_a_null_that_is_asked_for_again_is_not_computed_again(monkeypatch):
    c, weights, asked = random_comparison(), drawn(), []
    chance = Comparison.chance
    monkeypatch.setattr(Comparison, "chance", lambda *given, **named: asked.append(1) or chance(*given, **named))
    for statistic in (c.null, c.excess, c.excess):
        statistic("margin_matched", weights)
    assert len(asked) == 1
    c.null("margin_matched", weights.copy())
    assert len(asked) == 2, "equal weights may be others"
