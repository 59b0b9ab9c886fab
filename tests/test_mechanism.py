"""What the mechanism chapter says of single pairs and of the band is read off the same runs as everything else."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.text import Text

from tests import planted
from w2s_lib.figures.mechanism import beyond_by_region, threshold_and_alpha, trajectories
from w2s_lib.findings.mechanism import REGIONS, at_the_band, coincidence, mechanism, paths, taxed_by_region
from w2s_lib.findings.results import summarise
from w2s_lib.findings.statistics import MATCHED


def frame(values: dict[tuple[int, float, float], float]) -> pd.DataFrame:
    """(seed, alpha, T) → the explicit conflict's excess in one cell."""
    return planted.per_seed(
        {"statistic": MATCHED, "seed": seed, "alpha": alpha, "threshold": t, "value": value}
        for (seed, alpha, t), value in values.items()
    )


def test_the_nearest_threshold_to_the_end_of_the_band():
    assert [at_the_band((0.6, 0.75, 0.9), alpha) for alpha in (0.125, 0.5, 0.75, 1.0)] == [0.6, 0.75, 0.9, 0.9]


def test_a_planted_coincidence_is_found_and_one_beyond_alpha_1_does_not_count():
    ts, size = (0.6, 0.75, 0.9), {1: 0.2, 2: 0.3}
    values = {(s, a, t): size[s] * (t == at_the_band(ts, a)) for s in size for a in (0.125, 0.5) for t in ts}
    found = coincidence(frame(values | {(s, 2.0, t): 9.0 * (t == 0.9) for s in size for t in ts}))
    assert found["value"] == pytest.approx(0.25) and found["low"] < 0.25 < found["high"] and found["n_seeds"] == 2


def test_taxed_pairs_are_counted_by_region():
    rates = {"below": (0.5, 10), "in": (0.25, 8), "above": (np.nan, 0)}
    rows = planted.per_seed(
        {"statistic": f"tax_rate_{region}_band", "seed": seed, "on": "training", "alpha": 0.5, "value": v, "counted": n}
        for seed in (1, 2)
        for region, (v, n) in rates.items()
    )
    found = summarise(rows, pooled=True)
    assert taxed_by_region(found, 0.5).to_dict() == {"below": 10, "in": 4, "above": 0}
    more = [(*seed[:3], 4 * seed[3]) for seed in found["by_seed"][0]]
    shown = found.assign(by_seed=[tuple(more), *found["by_seed"][1:]])
    assert taxed_by_region(shown, 0.5)["below"] == 40, "of the seeds that the shown row has, a record's where it is one"


def test_each_cell_of_the_map_over_t_and_alpha_says_how_many_pairs_it_is_a_share_of():
    cells = {(0.5, 0.6): (-0.1, 40), (0.5, 0.75): (0.2, 41), (1.0, 0.6): (0.3, 42), (1.0, 0.75): (np.nan, 0)}
    names = {"statistic": MATCHED}
    rows = planted.pooled(names | {"alpha": a, "threshold": t, "value": value} for (a, t), (value, _) in cells.items())
    drawn = threshold_and_alpha(rows.assign(counted=[float(n) for _, n in cells.values()]))
    texts = {artist.get_text() for artist in drawn.canvas.findobj(Text)}
    assert {"-0.10\n40", "+0.20\n41", "+0.30\n42"} <= texts and not any("nan" in text for text in texts)
    assert "Below a value: taxed pairs" in drawn.caption


def test_recorded_training_ends_where_the_stored_scores_are(study, lab):
    few = study.on(lab).on_control_weak_strong_pairs()
    seed, (weak, strong) = few.edition.seeds[0], few.edition.weak_strong[0]
    found = paths(few, seed, weak, strong, each=3)
    stored = lab.scores(few.student(seed, weak, strong, "explicit"), "weak_label").set_index("pair_id")["margin"]
    end = found[found["step"] == found["step"].max()]
    assert end["gap"].to_numpy() == pytest.approx(stored.loc[end["pair_id"]].to_numpy(), abs=1e-4)
    assert ((end["gap"] <= 0) == end["taxed"]).all() and set(found["region"]) <= set(REGIONS)
    assert "Medians at the end" in trajectories(found, few.edition.alpha).alt


def test_the_region_below_one_half_is_tested_as_the_band_is(study, lab):
    results = mechanism(study.on(lab))[1]
    for on in ("training", ""):
        assert all(title in beyond_by_region(results, study.edition.alphas, on=on).alt for title in REGIONS.values())
