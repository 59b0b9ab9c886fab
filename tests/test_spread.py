"""What a seed's spread is made of: pilots that repeat a world's pretraining and its training, and what they come to."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from tests.planted import DrawnLab
from w2s_lib.errors import ParameterError
from w2s_lib.figures.record import made_of
from w2s_lib.findings import record, spread
from w2s_lib.findings.results import measure, pick, summarise
from w2s_lib.findings.spread import DRAWN_LEVELS, PARTS_OF_SPREAD
from w2s_lib.lab.graph import closure
from w2s_lib.specs import Pretrain, Society, Train
from w2s_lib.study import Study
from w2s_lib.study.edition import load
from w2s_lib.study.seeds import SEEDS, SPREAD

WORLD = Study(load("world"))
PLANTED = {"world": 0.03, "pretraining": 0.02, "training": 0.01, "test pairs": 0.04}


def planted(rng: np.random.Generator, worlds: int, draws: int = 40) -> pd.DataFrame:
    """Pilots of one claim with these variances; three quarters of the test pairs' is common to all of a world."""
    shape, sd = (worlds, 2, 2), {part: np.sqrt(variance) for part, variance in PLANTED.items()}
    luck = np.sqrt(0.75) * rng.normal(0, sd["test pairs"], (draws + 1, worlds, 1, 1))
    luck = luck + np.sqrt(0.25) * rng.normal(0, sd["test pairs"], (draws + 1, *shape))
    value = rng.normal(0, sd["world"], (worlds, 1, 1)) + rng.normal(0, sd["pretraining"], (worlds, 2, 1))
    value = value + rng.normal(0, sd["training"], shape) + luck[0]
    values = value + np.concatenate([np.zeros((1, *shape)), luck[1:]])
    at = np.indices(values.shape)
    frame = pd.DataFrame(
        dict(zip(("draw", *DRAWN_LEVELS), (index.ravel() for index in at))) | {"value": values.ravel()}
    )
    return frame.assign(claim="N1", pretraining_seconds=60.0, training_seconds=60.0)


def test_parts_are_those_that_were_planted_test_pairs_among_them():
    found = spread.variance_shares(planted(np.random.default_rng(2), 300)).set_index("part")
    assert list(found.index) == list(PARTS_OF_SPREAD)
    truth = pd.Series(PLANTED)
    assert found["share"].to_dict() == pytest.approx((truth / truth.sum()).to_dict(), abs=0.05)
    assert found["sd"].to_dict() == pytest.approx(np.sqrt(truth).to_dict(), rel=0.15)


def test_intervals_cover_shares_of_six_worlds():
    rng, truth = np.random.default_rng(1), pd.Series(PLANTED) / sum(PLANTED.values())
    tables = [spread.variance_shares(planted(rng, 6, 20)).set_index("part") for _ in range(40)]
    covered = np.mean([(t["low"] <= truth) & (truth <= t["high"]) for t in tables], axis=0)
    assert (covered >= 0.85).all() and np.mean([t["high"] - t["low"] for t in tables]) < 0.7


def test_cheap_trainings_that_scatter_are_worth_repeating():
    frame = planted(np.random.default_rng(2), 60)
    alike, dear = (spread.variance_shares(frame.assign(pretraining_seconds=seconds)) for seconds in (60.0, 6000.0))
    once, often = alike.iloc[0], dear.iloc[0]
    assert once["best"] == 1 and once["gain"] == 0 and "in 1 of 1; the" in spread.spread_in_words(alike)
    assert 2 < often["best"] <= often["best_high"] and often["gain"] > 0.05
    assert f"in 0 of 1, and up to {often['best']} in others" in spread.spread_in_words(dear)


def test_a_repeated_study_shares_models_or_nothing_of_what_is_drawn():
    units = spread.units(WORLD, 330)
    runs = {unit: spread.unit_runs(study) for unit, study in units.items()}
    first = replace(WORLD.on_control_weak_strong_pairs().restricted_to(seeds=[330]))
    assert set(spread.unit_runs(first)) == set(runs[0, 0]), "the first is a study as any"
    for one, other in ((0, 0), (0, 1)), ((0, 0), (1, 0)):
        both = set(runs[one]) & set(runs[other])
        assert {type(run) for run in both} == ({Pretrain} if one[0] == other[0] else set())
    trained = [{run.replica for run in its if isinstance(run, Train)} for its in runs.values()]
    assert sum(map(len, trained)) == len(set().union(*trained)), "no two share random streams"
    assert {len(its) for its in runs.values()} == {len(runs[0, 0])}
    assert len({run.pairs for its in runs.values() for run in its if isinstance(run, Train)}) == 1


def test_everything_of_a_repeated_study_is_repeated():
    again = replace(WORLD.restricted_to(seeds=[330]), pretraining=1, training=2)
    for run in (run for run in closure(again.runs()) if isinstance(run, Pretrain | Train | Society)):
        where = run.replica == 1 if isinstance(run, Pretrain) else 200 <= run.replica < 300
        assert where, run


def test_only_models_of_the_world_can_be_pretrained_again():
    with pytest.raises(ParameterError, match="pretraining=1: repeats the world's models"):
        replace(Study(load("hh-smol")), pretraining=1).runs()


class TimedLab(DrawnLab):
    def record(self, run):
        return {"seconds": 3.0 if isinstance(run, Pretrain) else 2.0}


@pytest.fixture
def study(tmp_path, monkeypatch):
    monkeypatch.setattr(record, "record_folder", lambda edition: tmp_path / "record")
    monkeypatch.setattr(spread, "DRAWS", 20)
    pairs = ("tiny-24 -> tiny-44", "tiny-28 -> tiny-44")
    edition = load("smoke").model_copy(update={"control_weak_strong_pairs": pairs, "test_pairs": 300})
    return Study(edition, lab=TimedLab())


def test_pilots_are_measured_as_the_book_measures_and_read_back(study):
    assert spread.read_pilots(study.edition) is None
    spread.measure_pilots(study, [330, 331])
    frame = spread.read_pilots(study.edition)
    assert len(frame.drop_duplicates(DRAWN_LEVELS)) == 8 and set(frame["claim"]) == set(spread.ASKED_OF_PILOTS)
    assert set(frame["draw"]) == set(range(21)) and frame.loc[frame["draw"] == 0, "value"].notna().all()
    assert frame[["pretraining_seconds", "training_seconds"]].drop_duplicates().to_numpy().tolist() == [[9.0, 26.0]]
    one = frame[(frame["seed"] == 331) & (frame["pretraining"] == 1) & (frame["training"] == 1) & (frame["draw"] == 0)]
    by_hand = measure(spread.units(study, 331)[1, 1], ["explicit"], ["deception_score"])
    usual = pick(summarise(by_hand, pooled=True), "deception_score", "explicit")
    assert one.set_index("claim").loc["C3a", "value"] == pytest.approx(usual["value"], abs=1e-6)
    found = spread.variance_shares(frame)
    assert len(found) == 4 * len(spread.ASKED_OF_PILOTS) and found.groupby("claim")[
        "share"
    ].sum().to_numpy() == pytest.approx(1)
    assert f"Of {len(spread.ASKED_OF_PILOTS)} statistics" in spread.spread_in_words(found)
    assert "implicit tax" in made_of(found).alt
    assert spread.read_pilots(study.edition.model_copy(update={"alpha": 0.4})) is None, "of other parameters"


def test_pilots_are_seeds_that_nobody_reports():
    assert set(SPREAD) <= set(SEEDS["pilots"]) and SPREAD[0] > 321, "statistics were chosen on two of them"


def test_the_pilots_that_come_with_the_edition_are_whole():
    frame = spread.read_pilots(load("world"))
    assert sorted(frame["seed"].unique()) == list(SPREAD) and set(frame["claim"]) == set(spread.ASKED_OF_PILOTS)
    assert len(frame) == len(SPREAD) * spread.PRETRAININGS * spread.TRAININGS * len(spread.ASKED_OF_PILOTS) * (
        spread.DRAWS + 1
    )
    assert np.isfinite(frame["value"]).all()
    assert f"Of {len(spread.ASKED_OF_PILOTS)} statistics" in spread.spread_in_words(spread.variance_shares(frame))


def test_a_seed_of_the_record_costs_what_it_took():
    edition = load("world")
    first, then = spread.costs_of_record(planted(np.random.default_rng(0), 2), edition)
    assert first == pytest.approx(60 * 6.8 / 3.95), "by the tokens of five models, where the pilots pretrain three"
    seeds = record.seed_entries(edition).set_index("record").loc["record"]
    assert first + then == pytest.approx(60 * seeds["core_minutes"].median()), "of all chapters that pilots train"
