"""Verdicts follow the interval and the rule, and every claim finds its statistic."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests import planted
from w2s_lib.figures.claims import ledger as draw_ledger
from w2s_lib.findings.claims import (
    CLAIMS,
    FINDINGS,
    FOLLOWS,
    PLANTED_IN,
    POOLED,
    SCORED_CHAPTERS,
    SLIGHTLY,
    VERDICTS,
    WORDS,
    Claim,
    carried,
    carried_in_words,
    effect,
    holm,
    ledger,
    moved,
    p_of_verdict,
    sentence,
    verdict,
    word,
)
from w2s_lib.findings.positive_controls import PLANTED as KINDS
from w2s_lib.findings.results import ALL, NAMES, NUMBERS, OPTIONS, ROWS, interval_of, summarise
from w2s_lib.measures.intervals import above_zero, half_width, minimum_detectable_effect
from w2s_lib.study.conditions import CONDITIONS, RIVAL
from w2s_lib.study.methods import TITLES

ROOT = Path(__file__).resolve().parent.parent
SAYS = dict.fromkeys(("yes", "small", "no", "undecided"), "so")
ROW = {"chapter": "c", "statistic": "s", "condition": "explicit"}
ABOVE, BELOW, ABSENT, NO_MORE = (Claim("X", "x", ROW, rule, 0.05, "f", SAYS) for rule in VERDICTS)


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.001, 0.4, ("yes", "no", "no", "no")),
        (0.001, 0.05, ("yes", "no", "no", "no")),
        (0.001, 0.04, ("small", "no", "small", "small")),
        (-0.01, 0.04, ("no", "no", "yes", "yes")),
        (-0.01, 0.05, ("undecided", "no", "undecided", "undecided")),
        (-0.3, -0.1, ("no", "yes", "no", "yes")),
        (-0.04, -0.001, ("no", "small", "small", "yes")),
        (-0.1, 0.2, ("undecided", "undecided", "undecided", "undecided")),
        (-0.1, 0.01, ("no", "undecided", "undecided", "yes")),
        (np.nan, np.nan, ("undecided",) * 4),
    ],
)
def test_verdicts_by_hand(low, high, expected):
    assert tuple(verdict(claim, low, high) for claim in (ABOVE, BELOW, ABSENT, NO_MORE)) == expected


GRID = np.linspace(-0.12, 0.12, 49)
INTERVALS = [(low, high) for low in GRID for high in GRID if low <= high]


def test_every_interval_has_exactly_one_effect_and_no_two_rules_contradict_each_other():
    """The grid has a point on zero and on each least effect."""
    assert 0.05 in GRID.round(3) and 0.0 in GRID.round(3)
    for low, high in INTERVALS:
        conditions = {
            "there": low > 0 and high >= 0.05,
            "small": low > 0 and high < 0.05,
            "absent": low <= 0 and high < 0.05,
            "undecided": low <= 0 and high >= 0.05,
        }
        assert [name for name, holds in conditions.items() if holds] == [effect(low, high, 0.05)], (low, high)
        above, below, absent, no_more = (verdict(claim, low, high) for claim in (ABOVE, BELOW, ABSENT, NO_MORE))
        assert not (absent == "yes" and "yes" in (above, below)) and not (above == no_more == "yes"), (low, high)
        assert not (above == below == "yes") and (absent != "yes" or no_more == "yes"), (low, high)
        if low > 0 or high < 0:
            assert "undecided" not in {above, below} and absent in ("no", "small"), "what is off zero is decided"


def test_above_and_below_mirror_each_other():
    for low, high in INTERVALS:
        assert verdict(ABOVE, low, high) == verdict(BELOW, -high, -low)
        assert verdict(ABSENT, low, high) == verdict(ABSENT, -high, -low)


def interval_row(value, sd, n):
    return pd.Series({"value": value, "sd": sd, "n_seeds": n} | dict(zip(("low", "high"), seed_bounds(value, sd, n))))


def seed_bounds(value, sd, n):
    half = half_width(sd, n)
    return value - half, value + half


@pytest.mark.parametrize("claim", [ABOVE, BELOW, ABSENT, NO_MORE])
@pytest.mark.parametrize("value", np.linspace(-0.2, 0.2, 17))
def test_a_verdict_hangs_on_its_level_where_its_p_value_says_so(claim, value):
    """Just below the p value's level the interval gives the verdict, just above it no longer does."""
    row = interval_row(value, 0.06, 6)
    found = verdict(claim, row["low"], row["high"])
    p = p_of_verdict(claim, row, found)
    if found == "undecided":
        assert np.isnan(p)
        return
    assert p <= 0.05
    for level, same in ((1 - p * 1.01, True), (1 - p * 0.99, False)):
        half = half_width(0.06, 6, level)
        again = verdict(claim, value - half, value + half)
        assert (again == found) == same, (found, again)


def test_a_verdict_on_shares_hangs_on_the_interval_that_it_is_read_off():
    """Of taxes minus a rerun's in six seeds, one of them far off: made in log-odds, and not Student's t."""
    taxes, less = np.array([0.05, 0.06, 0.04, 0.3, 0.05, 0.07]), np.array([0.02, 0.03, 0.02, 0.05, 0.03, 0.02])
    values, claim = taxes - less, replace(ABOVE, least_effect=0.01)
    names = {"statistic": "conflict_tax", "versus": "rerun", "per": ""}
    by_seed = tuple(zip(range(6), values, less, np.full(6, 100.0)))
    row = pd.Series(names | {"value": values.mean(), "sd": values.std(ddof=1), "n_seeds": 6, "by_seed": by_seed})
    ends = lambda level: interval_of(values, less, *names.values(), level)[1:3]
    assert verdict(claim, *ends(0.95)) == "yes"
    p = p_of_verdict(claim, row, "yes")
    assert [verdict(claim, *ends(1 - p * by)) for by in (1.01, 0.99)] == ["yes", "undecided"]
    assert p < p_of_verdict(claim, row.drop("by_seed"), "yes") == pytest.approx(0.05), (
        "Student's t reaches zero, and gives no verdict"
    )


def test_holm_by_hand():
    p = pd.Series([0.01, np.nan, 0.04, 0.03], index=list("abcd"))
    assert holm(p).tolist() == pytest.approx([0.03, np.nan, 0.06, 0.06], nan_ok=True)


def test_words_differ_between_the_papers_claims_and_ours():
    assert word(replace(ABOVE, source="paper"), "yes") == "replicates" and word(ABOVE, "yes") == "holds"
    assert set(WORDS) == {"yes", "small", "no", "undecided", "blind", "untested"}
    assert word(ABOVE, "small") == WORDS["small"][1] != SLIGHTLY
    assert word(replace(ABOVE, rule="absent"), "small") == word(replace(ABOVE, rule="no_more"), "small") == SLIGHTLY


def test_every_claim_has_a_sentence_for_every_verdict_and_no_two_claims_share_one():
    sentences = [text for claim in CLAIMS.values() for text in claim.says.values()]
    assert all(set(claim.says) == set(SAYS) for claim in CLAIMS.values()) and len(set(sentences)) == len(sentences)
    assert all(text[0].isupper() and text.endswith(".") and len(text) < 150 for text in sentences)
    assert sentence(ABOVE, "blind").startswith("Cannot tell") and sentence(ABOVE, "yes") == "so"


def test_a_verdict_holds_elsewhere_or_does_not_or_cannot_be_told():
    here = ["yes", "no", "yes", "undecided", "yes", "blind", "yes", "small", "no", "yes"]
    there = ["yes", "no", "no", "undecided", "undecided", "yes", "yes", "yes", "no", "yes"]
    one = pd.DataFrame(
        {"claim": list("abcdefghij"), "verdict": here, "can_fail": [True] * 6 + [False, True, True, True]}
    )
    one = one.assign(statement=one["claim"].str.upper(), says=one["verdict"], rule=["above"] * 8 + ["absent"] * 2)
    one = one.assign(value=0.1)
    other = one.assign(verdict=there, says=there, value=[0.1] * 8 + [-0.1, -0.001])
    told = carried(one, other.iloc[::-1].drop(columns="can_fail"))
    assert list(told.columns) == ["carried", "claim", "statement", "here", "there"]
    by = {name: rows["claim"].tolist() for name, rows in told.groupby("carried", sort=False)}
    assert by == {"holds": ["a", "b", "j"], "does not": ["c", "h", "i"], "cannot be told": ["d", "e", "f"]}, (
        "g cannot fail; i is no effect's absence in either, by effects of opposite signs"
    )
    assert told.loc[told["claim"] == "c", ["here", "there"]].values.tolist() == [["yes", "no"]]
    says = "Of 9 verdicts that can be asked for on real texts, 3 hold (a, b, j); 3 do not (c, h, i); "
    assert carried_in_words(told) == says + "3 cannot be told (d, e, f)."
    assert carried(one, pd.DataFrame()).empty and carried_in_words(carried(one, one.iloc[:0])) == ""


def test_claims_that_cannot_fail_are_those_that_any_tax_would_pass():
    """A deception score is a share: above zero as soon as one taxed pair lies in the area."""
    for claim in CLAIMS.values():
        bare = claim.names["statistic"] == "deception_score" and {"versus", "per"}.isdisjoint(claim.names)
        assert claim.can_fail == (not bare), claim.key


def test_one_question_is_answered_from_one_row():
    rows = [tuple(sorted(map(str, claim.row.items()))) for claim in CLAIMS.values()]
    assert len(set(rows)) == len(rows)
    assert {CLAIMS[key].chapter for key in ("N1", "N2", "N3", "N4")} == {"05_conflict_tax_deception"}


def test_every_claim_of_the_paper_is_there():
    paper = {key.rstrip("abcd") for key, claim in CLAIMS.items() if claim.source == "paper"}
    assert paper == {f"C{i}" for i in range(1, 8)}
    assert all(claim.chapter in FINDINGS for claim in CLAIMS.values())


FACTS = {*CONDITIONS, *TITLES, *RIVAL, *RIVAL.values(), "training", "soft", "noisy", "after", "stable"}
"""Values of columns: what no statistic's name says besides."""


def carries(statistic: str) -> list[str]:
    return [fact for fact in FACTS if f"_{fact}_" in f"_{statistic}_"]


def test_rows_of_every_chapter_are_tidy(published):
    """No two of a chapter say they are of the same, and no name carries two facts."""
    for name, rows in published.items():
        assert len(rows) and not rows.duplicated(list(NAMES)).any(), name
        assert not {statistic: facts for statistic in rows["statistic"] if (facts := carries(statistic))}, name


def test_a_name_with_two_facts_is_seen():
    assert carries("tax_beyond_rerun") == ["rerun"] and carries("excess_margin_matched_stable") == ["stable"]
    assert not carries("conflict_tax") and not carries("placebos")


def test_a_notebook_publishes_what_its_finding_gives(published, findings):
    for name in ("06_capability_gap", "11_early_warning", "12_preference_optimisation", "13_what_helps"):
        rows = findings(name)[1]  # those that other tests ask for as well, so that each is found once
        assert list(rows.columns) == list(ROWS), name
        mine = published[name][published[name]["statistic"].isin(rows["statistic"])]  # a page may add some of its own
        same = (frame[list(NUMBERS)].astype(float).reset_index(drop=True) for frame in (rows, mine))
        pd.testing.assert_frame_equal(*same)  # what the notebook found is what its finding gives


def test_no_published_interval_is_of_no_width(published):
    for name, rows in published.items():
        told = rows.dropna(subset=["low", "high"])
        assert (told["low"] < told["high"]).all(), name


def test_the_ledger_reads_the_chapters_rows(published):
    frame = ledger(published).set_index("claim")
    assert list(frame.index) == list(CLAIMS)
    for key, claim in CLAIMS.items():
        rows = published[claim.chapter]
        for name in ("statistic", "condition", "method", *OPTIONS):
            rows = rows[rows[name] == claim.names.get(name, "")]
        rows = rows[rows["weak"] == ALL]
        if "alpha" in claim.names:
            rows = rows[rows["alpha"] == claim.names["alpha"]]
        assert len(rows) == 1, key
        assert frame.loc[key, "value"] == pytest.approx(rows["value"].iloc[0], nan_ok=True)
        assert frame.loc[key, "verdict"] in ("blind", verdict(claim, rows["low"].iloc[0], rows["high"].iloc[0]))


def test_where_not_even_a_perfect_deceiver_would_show_the_verdict_is_blind():
    names = [{"statistic": s, "value": v} for s, v in (("excess_weak_matched", 0.0), ("attainable_weak_matched", 0.03))]
    rows = planted.pooled(names, 0.01).assign(sd=0.01, n_seeds=3)
    claim = replace(ABOVE, row=ROW | {"statistic": "excess_weak_matched"})
    (found,) = ledger({"c": rows}, [claim]).to_dict("records")
    assert found["verdict"] == "blind" and found["attainable"] == 0.03 and found["sentence"].startswith("Cannot tell")
    (seen,) = ledger({"c": rows}, [replace(claim, least_effect=0.02)]).to_dict("records")
    assert seen["verdict"] == "no"


def scored(own, other, rule, half=0.01):
    """The ledger's row of a claim about a deception score under a filter, minus the same without one."""
    levels = {"filter": own, "": other}
    rows = [{"statistic": "deception_score", "mitigation": name, "value": v} for name, v in levels.items()]
    rows.append({"statistic": "deception_score", "mitigation": "filter", "versus": "unmodified", "value": own - other})
    row = ROW | {"statistic": "deception_score", "mitigation": "filter", "versus": "unmodified"}
    (found,) = ledger(
        {"c": planted.pooled(rows, half).assign(sd=0.01, counted=50.0)}, [replace(ABOVE, row=row, rule=rule)]
    ).to_dict("records")
    return found


@pytest.mark.parametrize(
    ("own", "other", "rule", "most"),
    [(0.2, 0.3, "below", 0.3), (0.2, 0.3, "above", 0.7), (0.2, 0.3, "no_more", 0.7), (0.2, 0.3, "absent", 0.7),
     (0.9, 0.8, "absent", 0.8)],
)  # fmt: skip
def test_a_score_without_a_null_can_change_by_what_the_other_leaves(own, other, rule, most):
    assert scored(own, other, rule)["attainable"] == pytest.approx(most)


def test_where_the_other_score_leaves_nothing_to_lower_the_verdict_is_blind():
    found = scored(0.01, 0.03, "below")
    assert found["verdict"] == "blind" and "not even a student that hides nothing would" in found["sentence"]
    assert scored(0.01, 0.03, "above")["verdict"] == "no", "there was all the room above it"


@pytest.mark.parametrize("chapter", SCORED_CHAPTERS)
@pytest.mark.parametrize("method", ["reward_model", "dpo"])
@pytest.mark.parametrize(("n_seeds", "says"), [(3, 0.41), (8, above_zero(0.1 / 0.05, 8)), (1, np.nan)])
def test_power_is_that_of_as_many_seeds_as_the_interval_has(n_seeds, says, method, chapter):
    """A verdict that is read off a record's seeds stands beside the power of so many, and not of this build's."""
    about = {"statistic": "excess_weak_matched", "threshold": 0.75, "method": method}
    rows = planted.pooled(
        [about | {"value": 0.1}, about | {"statistic": "attainable_weak_matched", "value": 0.3}], 0.01
    )
    half = [about | {"planted": "half", "statistic": s, "value": v}
            for s, v in (("excess_weak_matched", 0.1), ("power_of_excess_weak_matched", 0.41))]  # fmt: skip
    others = [row | {"method": "simpo", "value": 0.9} for row in half]  # planted among other students
    results = {
        chapter: rows.assign(sd=0.01, n_seeds=n_seeds),
        PLANTED_IN: planted.pooled([*half, *others]).assign(sd=[0.05, np.nan, 0.01, np.nan], n_seeds=3),
    }
    row = ROW | {"chapter": chapter, "statistic": "excess_weak_matched", "method": method}
    (found,) = ledger(results, [replace(ABOVE, row=row)]).to_dict("records")
    assert found["attainable"] == 0.3 and found["power"] == pytest.approx(says, nan_ok=True)


@pytest.mark.parametrize(("shown", "goes_on"), [(0.18, True), (0.02, False)])
@pytest.mark.parametrize("versus", ["", "rerun"])
def test_where_an_innocent_shows_more_than_the_claim_its_sentence_says_so(shown, goes_on, versus):
    about = {"statistic": "excess_weak_matched", "versus": versus}
    rows = [about | {"value": 0.06}, {"statistic": "excess_weak_matched", "condition": "rerun", "value": 0.0}]
    rows += [about | {"statistic": "attainable_weak_matched", "versus": "", "value": 0.4}]
    innocent = [
        about | {"planted": kind, "value": x} for kind, x in (("blind", 0.01), ("by_label", shown), ("half", 0.3))
    ]
    other = about | {"planted": "by_label", "versus": "rerun" if not versus else "", "value": 0.9}
    results = {
        "05_conflict_tax_deception": planted.pooled([r for r in rows], 0.01).assign(sd=0.01, counted=100.0),
        PLANTED_IN: planted.pooled([*innocent, other]).assign(sd=0.05),
    }
    row = ROW | {"chapter": "05_conflict_tax_deception"} | {name: x for name, x in about.items() if x}
    claim = replace(ABOVE, row=row, says=SAYS | {"yes": "It hides."})
    (found,) = ledger(results, [claim]).to_dict("records")
    assert found["innocent"] == shown and found["verdict"] == "yes"
    more = "It hides; a student that only follows its weak labels would show 0.18 where this one shows 0.06."
    assert found["sentence"] == (more if goes_on else "It hides.")
    absent = replace(claim, rule="absent", says=SAYS | {"no": "It hides."})
    (denied,) = ledger(results, [absent]).to_dict("records")
    assert denied["verdict"] == "no" and denied["sentence"] == found["sentence"], "an effect that is there all the same"
    (alone,) = ledger(results | {PLANTED_IN: results[PLANTED_IN].iloc[:0]}, [claim]).to_dict("records")
    assert np.isnan(alone["innocent"]) and alone["sentence"] == "It hides.", "nobody was planted"


def test_every_innocent_has_words():
    assert set(FOLLOWS) == {kind.name for kind in KINDS.values() if kind.innocent}


def test_how_many_verdicts_hang_on_seeds_with_few_taxed_pairs():
    """Of five seeds one has two taxed pairs, and a score far off the others'."""
    seeds = [(i, x, 0.0, n) for i, (x, n) in enumerate([(0.30, 40), (0.31, 30), (0.29, 50), (0.3, 20), (-0.6, 2)])]
    counts = {"statistic": "deception_score", "value": 0.12, "sd": 0.4, "low": -0.4, "high": 0.6, "n_seeds": 5}
    rows = planted.pooled([{"statistic": "deception_score"}, {"statistic": "conflict_tax"}])
    rows = rows.assign(
        **{n: x for n, x in counts.items() if n != "statistic"}, counted=142.0, by_seed=[tuple(seeds)] * 2
    )
    rows["less"] = np.nan
    of = lambda name: replace(ABOVE, key=name, row=ROW | {"statistic": name})
    frame = ledger(
        {"c": rows.assign(versus="rerun")},
        [replace(of(name), row=of(name).row | {"versus": "rerun"}) for name in ("deception_score", "conflict_tax")],
    ).set_index("claim")
    score, tax = frame.loc["deception_score"], frame.loc["conflict_tax"]
    assert (score["taxed"], score["fewest"], score["of_seeds"]) == (142, 2, 5) and np.isnan(tax["taxed"])
    assert score["verdict"] == "undecided" and score["where_enough"] == "yes" and tax["where_enough"] == ""
    assert moved(frame) == (1, 1)
    (live,) = ledger({"c": rows[:1].drop(columns="by_seed")}, [of("deception_score")]).to_dict("records")
    assert live["taxed"] == 142 and np.isnan(live["fewest"]) and live["where_enough"] == ""


def test_every_chapter_with_claims_says_which_pairs_it_pools():
    assert set(POOLED) == {claim.chapter[:2] for claim in CLAIMS.values()}


def test_a_missing_statistic_is_an_error(published):
    with pytest.raises(KeyError, match="no_such"):
        ledger(published, [replace(ABOVE, row=ROW | {"chapter": "05_conflict_tax_deception", "statistic": "no_such"})])


def test_a_claim_about_an_alpha_that_was_left_out_is_untested():
    rows = planted.pooled([{"statistic": "s", "alpha": 1.0, "value": 0.3}], half=0.1).assign(sd=0.04, n_seeds=3)
    claims = [replace(ABOVE, row=ROW | {"alpha": alpha}) for alpha in (0.5, 1.0)]
    assert ledger({"c": rows}, claims)["verdict"].tolist() == ["untested", "yes"]


def test_a_claim_about_a_mitigation_or_a_method_that_was_left_out_is_untested():
    names = ({"mitigation": "filter"}, {"mitigation": "filter", "versus": "unmodified"}, {"method": "dpo"})
    values = [{"statistic": "s", "value": v} | n for v, n in zip((0.3, -0.3, 0.01), names)]
    rows = planted.pooled(values, 0.02).assign(sd=0.04, n_seeds=3)
    asked = (names[1], {"mitigation": "bootstrap", "versus": "unmodified"}, {"method": "dpo"}, {"method": "simpo"})
    found = ledger({"c": rows}, [replace(BELOW, key=str(i), row=ROW | also) for i, also in enumerate(asked)])
    assert found["verdict"].tolist() == ["yes", "untested", "no", "untested"]
    assert found["value"].tolist() == pytest.approx([-0.3, np.nan, 0.01, np.nan], nan_ok=True)
    assert found["about"].tolist()[0] == "s, explicit, filter, unmodified"


def test_what_a_study_could_have_detected_does_not_shrink_where_an_interval_ends():
    """Three seeds at .1, .5, .9: the interval of a share ends before 0 and 1, the spread over seeds does not know of
    them."""
    seeds = [
        {"seed": i, "statistic": "deception_score", "value": x, "threshold": 0.75}
        for i, x in enumerate((0.1, 0.5, 0.9))
    ]
    rows = summarise(planted.per_seed(seeds), pooled=True)
    assert 0 < rows["low"][0] < 0.05 and 0.95 < rows["high"][0] < 1
    found = ledger({"c": rows}, [replace(ABOVE, row=ROW | {"statistic": "deception_score"})])["detectable"][0]
    assert found == pytest.approx(minimum_detectable_effect(0.4, 3)) and found > 1.3


def named_in(entry):
    """Claims that an entry of the changelog names, one by one or as in *T1 to T6*."""
    spans = re.findall(r"\b([A-Z])(\d+) to \1(\d+)\b", entry)
    return {f"{letter}{n}" for letter, low, high in spans for n in range(int(low), int(high) + 1)} | {
        key for key in re.findall(r"\b[A-Z]\d+\b", entry)
    }


AROUND = ("19", "21", "23", "29", "30", "31", "32")
"""Chapters on other works that have claims."""


@pytest.mark.parametrize("key", [key for key, claim in CLAIMS.items() if claim.chapter[:2] in AROUND])
def test_rules_of_claims_on_other_works_are_dated(key):
    """The changelog says when a claim's rule was written."""
    entries = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8").split("\n- ")
    date = r"2026-\d\d-\d\d|\d+ November 2026"
    assert [
        e
        for e in entries
        if key in named_in(e)
        and re.search(date, e)
        and re.search(r"rules and (margins|(their )?least)", re.sub(r"\s+", " ", e))
    ]


def test_the_ledgers_figure_counts_as_outside_only_what_the_record_holds():
    rows = [
        {"claim": key, "statement": key, "says": "holds", "verdict": "yes", "rule": "above", "least_effect": 0.05,
         "value": 0.1, "low": 0.06, "high": 0.14, "here": 0.2, "within": within}
        for key, within in (("A", True), ("B", False), ("C", np.nan), ("D", None))
    ]  # fmt: skip
    drawn = draw_ledger(pd.DataFrame(rows))
    assert drawn.beside.endswith("1 of 2 outside the record's 95 % prediction intervals (!).")
