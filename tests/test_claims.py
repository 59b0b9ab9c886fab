"""Verdicts follow the interval and the rule, and every claim finds its statistic."""

import numpy as np
import pandas as pd
import pytest

from tests import planted
from w2s_lib.findings.claims import CLAIMS, FINDINGS, WORDS, Claim, ledger, verdict, word
from w2s_lib.findings.results import NAMES, OPTIONS, ROWS, summarise
from w2s_lib.measures.intervals import minimum_detectable_effect

ABOVE, BELOW, ABSENT = (Claim("X", "x", "c", "s", "explicit", rule, 0.05) for rule in ("above", "below", "absent"))


@pytest.mark.parametrize(
    ("claim", "low", "high", "expected"),
    [
        (ABOVE, 0.001, 0.4, "yes"),
        (ABOVE, 0.001, 0.05, "yes"),
        (ABOVE, 0.001, 0.04, "small"),
        (BELOW, -0.04, -0.001, "small"),
        (ABSENT, 0.001, 0.04, "yes"),
        (ABOVE, -0.01, 0.04, "no"),
        (ABOVE, -0.3, -0.1, "no"),
        (ABOVE, -0.1, 0.2, "undecided"),
        (BELOW, -0.4, -0.001, "yes"),
        (BELOW, -0.04, 0.01, "no"),
        (BELOW, -0.2, 0.1, "undecided"),
        (ABSENT, -0.04, 0.04, "yes"),
        (ABSENT, 0.06, 0.2, "no"),
        (ABSENT, -0.2, -0.06, "no"),
        (ABSENT, 0.01, 0.2, "undecided"),
        (ABOVE, np.nan, np.nan, "undecided"),
    ],
)
def test_verdicts_by_hand(claim, low, high, expected):
    assert verdict(claim, low, high) == expected


def test_no_interval_says_that_something_is_there_and_that_it_is_absent():
    grid = np.linspace(-0.12, 0.12, 49)
    for low, high in ((a, b) for a in grid for b in grid if a <= b):
        above, below, absent = (verdict(claim, low, high) for claim in (ABOVE, BELOW, ABSENT))
        assert (above, absent) != ("yes", "yes") and (below, absent) != ("yes", "yes"), (low, high)
        if low > 0 or high < 0:
            assert {"yes", "small"} & {above, below}, (low, high)


def test_above_and_below_mirror_each_other():
    for low, high in np.sort(np.random.default_rng(0).normal(scale=0.1, size=(200, 2)), axis=1):
        assert verdict(ABOVE, low, high) == verdict(BELOW, -high, -low)


def test_untested_claims_say_so():
    claim = Claim("Y", "y", "", source="paper")
    assert verdict(claim, 0.1, 0.2) == "untested" and word(claim, "untested") == "not yet tested here"


def test_words_differ_between_the_papers_claims_and_ours():
    assert word(Claim("Y", "y", "", "s", source="paper"), "yes") == "replicates" and word(ABOVE, "yes") == "holds"
    assert set(WORDS) == {"yes", "small", "no", "undecided", "untested"}


def test_every_claim_of_the_paper_is_there():
    paper = {key.rstrip("abcd") for key, claim in CLAIMS.items() if claim.source == "paper"}
    assert paper == {f"C{i}" for i in range(1, 8)}
    assert all(claim.chapter in FINDINGS for claim in CLAIMS.values() if claim.tested)


@pytest.fixture(scope="module")
def found(study, lab) -> dict[str, pd.DataFrame]:
    return {name: finding(study.on(lab))[1] for name, finding in FINDINGS.items()}


def test_findings_are_tidy(found):
    for name, rows in found.items():
        assert list(rows.columns) == list(ROWS), name
        assert not rows.duplicated(list(NAMES)).any(), name


def test_the_ledger_reads_the_chapters_rows(found):
    frame = ledger(found).set_index("claim")
    assert list(frame.index) == list(CLAIMS)
    for key, claim in CLAIMS.items():
        if claim.tested:
            rows = found[claim.chapter].query(
                "statistic == @claim.statistic and condition == @claim.condition and weak == 'all'"
            )
            rows = rows[rows["method"] == claim.method]
            for option in OPTIONS:
                rows = rows[rows[option] == claim.also.get(option, "")]
            if claim.alpha is not None:
                rows = rows[rows["alpha"] == claim.alpha]
            assert len(rows) == 1, key
            assert frame.loc[key, "value"] == pytest.approx(rows["value"].iloc[0], nan_ok=True)
            assert frame.loc[key, "verdict"] == verdict(claim, rows["low"].iloc[0], rows["high"].iloc[0])


def test_a_missing_statistic_is_an_error(found):
    with pytest.raises(KeyError, match="no_such"):
        ledger(found, [Claim("Z", "z", "05_conflict_tax_deception", "no_such", "explicit")])


def test_a_claim_about_an_alpha_that_was_left_out_is_untested():
    rows = planted.pooled([{"statistic": "s", "alpha": 1.0, "value": 0.3}], half=0.1).assign(sd=0.04, n_seeds=3)
    claims = [Claim("X", "x", "c", "s", "explicit", alpha=alpha) for alpha in (0.5, 1.0)]
    assert ledger({"c": rows}, claims)["verdict"].tolist() == ["untested", "yes"]


def test_a_claim_about_a_mitigation_or_a_method_that_was_left_out_is_untested():
    names = ({"mitigation": "filter"}, {"mitigation": "filter", "versus": "unmodified"}, {"method": "dpo"})
    rows = planted.pooled([{"statistic": "s", "value": v} | n for v, n in zip((0.3, -0.3, 0.01), names)], 0.02).assign(
        sd=0.04, n_seeds=3
    )
    asked = (
        {"also": names[1]},
        {"also": {"mitigation": "bootstrap", "versus": "unmodified"}},
        {"method": "dpo"},
        {"method": "simpo"},
    )
    found = ledger(
        {"c": rows}, [Claim(str(i), "x", "c", "s", "explicit", "below", **also) for i, also in enumerate(asked)]
    )
    assert found["verdict"].tolist() == ["yes", "untested", "no", "untested"]
    assert found["value"].tolist() == pytest.approx([-0.3, np.nan, 0.01, np.nan], nan_ok=True)
    assert found["also"].tolist()[:3] == [
        "mitigation filter, versus unmodified",
        "mitigation bootstrap, versus unmodified",
        "",
    ]


def test_what_a_study_could_have_detected_does_not_shrink_where_an_interval_ends():
    """Three seeds at .1, .5, .9: the interval of a share ends before 0 and 1, the spread over seeds does not know of them."""
    seeds = [
        {"seed": i, "statistic": "deception_score", "value": x, "threshold": 0.75}
        for i, x in enumerate((0.1, 0.5, 0.9))
    ]
    rows = summarise(planted.per_seed(seeds), pooled=True)
    assert 0 < rows["low"][0] < 0.05 and 0.95 < rows["high"][0] < 1
    found = ledger({"c": rows}, [Claim("X", "x", "c", "deception_score", "explicit")])["detectable"][0]
    assert found == pytest.approx(minimum_detectable_effect(0.4, 3)) and found > 1.3
