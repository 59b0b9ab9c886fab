"""Rivals take the side that the world gives them, and tax rates by side say where a planted tax fell."""

import re

import numpy as np
import pandas as pd
import pytest

from tests import planted
from w2s_lib.data.load import split
from w2s_lib.figures.objectives import (
    CONDITIONS_BY_AIM,
    condition_with_rival,
    excess_by_objective,
    tax_by_objective,
    tax_by_side,
)
from w2s_lib.findings.objectives import RIVAL_MIXED_IN, RIVAL_SIDES, other_objectives, rival_sides, sides, tax_rates
from w2s_lib.findings.results import NAMES, measure, pick, say, usual
from w2s_lib.measures.metrics import Comparison
from w2s_lib.specs import Pairs, World

PAIRS = Pairs(world=World(seed=900), train_pairs=64, test_pairs=300)
DRAWN = ("conflict_tax", "net_change", "excess_margin_matched", "tax_rate")


def pair(chosen, rejected, hazardous):
    return pd.DataFrame(
        {"chosen": [chosen], "rejected": [rejected], "hazardous": pd.array([hazardous], dtype="boolean")}
    )


@pytest.mark.parametrize(
    ("rival", "chosen", "rejected", "hazardous", "says"),
    [
        ("verbosity", "no", "yes of course", True, "clashes"),
        ("verbosity", "yes of course", "no", False, "agrees"),
        ("verbosity", "a longwinded word", "a b c", True, "silent"),  # words count, not letters
        ("helpfulness", "no", "yes", True, "clashes"),
        ("helpfulness", "yes", "no", False, "agrees"),
        ("helpfulness", "help him", "hurt him", pd.NA, "silent"),
        ("pleasing", "they say it is toxic", "they say it is mild", True, "clashes"),
        ("politeness", "no", "yes of course", True, "silent"),
    ],
)
def test_what_a_rival_says(rival, chosen, rejected, hazardous, says):
    assert rival_sides(pair(chosen, rejected, hazardous), rival).tolist() == [says]


def test_a_target_is_no_rival():
    with pytest.raises(ValueError, match="harmlessness"):
        rival_sides(pair("no", "yes", True), "harmlessness")


def test_every_rival_agrees_with_its_own_pairs():
    assert (rival_sides(split(PAIRS, "test", "verbosity"), "verbosity") == "agrees").all()
    for rival in ("helpfulness", "pleasing"):  # they prefer the risky reply also where the substance is hazardous
        own = split(PAIRS, "test", rival)
        assert (rival_sides(own, rival) == np.where(own["hazardous"], "clashes", "agrees")).all()


def test_length_is_unrelated_to_the_truth_in_target_pairs():
    for target in ("harmlessness", "honesty"):
        found = rival_sides(split(PAIRS, "test", target), "verbosity")
        assert (found == "clashes").mean() == pytest.approx((found == "agrees").mean(), abs=0.08)
        assert 0.1 < (found == "clashes").mean() < 0.35


def test_tax_rates_find_a_planted_tax():
    """A student that changed sides: wrong on the clashing pairs, and on no others."""
    stands = np.repeat(RIVAL_SIDES, [50, 30, 20])
    right = np.ones(100)
    right[-4:] = 0.0  # four clashing pairs were wrong before, and cannot be taxed
    c = Comparison(right, right, right, np.where(stands == "clashes", 0.1, 0.9), right)
    rates = {names: rate() for names, rate in tax_rates(c, stands).items()}
    assert rates == {("agrees", ""): 0, ("silent", ""): 0, ("clashes", ""): 1, ("clashes", "agrees"): 1}
    weights = np.stack([stands == "agrees", np.ones(100)]).astype(float)
    drawn = tax_rates(c, stands)["clashes", ""](weights=weights)
    assert np.isnan(drawn[0]) and drawn[1] == 1


def pooled(**values: float) -> pd.DataFrame:
    """Results rows of every aim, condition and statistic that the figures draw: 0.1 [0.05, 0.15], or the value given
    for a statistic."""
    students = [{"objective": aim, "condition": c} for aim, conditions in CONDITIONS_BY_AIM.items() for c in conditions]
    sides = [
        {"statistic": "tax_rate", "subset": name, "rival": rival}
        for rival in RIVAL_MIXED_IN.values()
        for name in RIVAL_SIDES
    ]
    measures = [{"statistic": name} for name in DRAWN if name != "tax_rate"] + sides
    return planted.pooled(
        student | what | {"value": values.get(what["statistic"], 0.1)} for student in students for what in measures
    )


@pytest.mark.parametrize("draw", [excess_by_objective, tax_by_objective, tax_by_side])
def test_figures_say_what_they_show_also_where_nothing_is_defined(draw):
    figure, empty = draw(pooled()), draw(pooled(**dict.fromkeys(DRAWN, np.nan)))
    assert len(figure.alt) >= 60 and re.search(r"0\.10 \[0\.05, 0\.15\]|10\.0 % \[5\.0, 15\.0\]", figure.alt)
    assert "undefined" in empty.alt and "<svg" in empty.svg()
    assert figure.caption and "fill: #ffffff" not in figure.svg().split("</defs>")[0]


def test_rows_name_the_rival_where_there_is_one():
    assert [condition_with_rival("honesty", c) for c in CONDITIONS_BY_AIM["honesty"]] == [
        "explicit",
        "implicit: pleasing",
        "rerun",
        "placebo",
    ]
    assert (
        condition_with_rival("", "implicit") == "implicit: helpfulness"
        and condition_with_rival("", "verbosity") == "verbosity"
    )


def test_what_the_chapter_finds(study, lab):
    per_seed, results = other_objectives(study.on(lab))
    assert not results.duplicated(list(NAMES)).any()
    direct = measure(study.on_control_weak_strong_pairs().on(lab), ["verbosity"], ["excess_margin_matched"])
    there = usual(per_seed, condition="verbosity", statistic="excess_margin_matched")
    assert there["value"].tolist() == pytest.approx(direct["value"].tolist(), nan_ok=True)
    for draw in (excess_by_objective, tax_by_objective, tax_by_side):
        assert len(draw(results).alt) > 60
    assert (
        say(pick(results, "excess_margin_matched", "implicit", objective="honesty")) in excess_by_objective(results).alt
    )
    shown = sides(study.aiming_at("honesty"), "pleasing").iloc[0]
    assert shown["agrees"] + shown["clashes"] == pytest.approx(1)
    taxed = pick(results, "conflict_tax", "verbosity")["value"]
    c = study.on(lab).comparison(study.edition.seeds[0], *study.edition.weak_strong[0], "verbosity")
    stands = rival_sides(split(study.pairs(study.edition.seeds[0]), "test"), "verbosity")
    by_side = tax_rates(c, stands)
    weight = [(c.right & (stands == name)).mean() for name in RIVAL_SIDES]
    rates = [float(by_side[name, ""]()) for name in RIVAL_SIDES]
    assert np.nansum(np.array(weight) * rates) == pytest.approx(taxed)
    shown = [pick(results, "tax_rate", "verbosity", subset=name, rival="verbosity")["value"] for name in RIVAL_SIDES]
    assert shown == pytest.approx(rates, nan_ok=True)
    contrast = pick(results, "tax_rate", "verbosity", subset="clashes", rival="verbosity", versus="agrees")["value"]
    assert contrast == pytest.approx(
        shown[RIVAL_SIDES.index("clashes")] - shown[RIVAL_SIDES.index("agrees")], nan_ok=True
    )
    for aim in CONDITIONS_BY_AIM:
        both = [pick(results, "excess_margin_matched", c, objective=aim)["value"] for c in ("explicit", "implicit")]
        between = pick(results, "excess_margin_matched", "explicit", objective=aim, versus="implicit")["value"]
        assert between == pytest.approx(both[0] - both[1], nan_ok=True), (
            "of one study, on one pair: the aim is that of both"
        )
