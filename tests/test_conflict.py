"""A placebo that taxes by itself is none, and what could not have been seen is said to be so."""

import numpy as np
import pandas as pd
import pytest

from w2s_lib.book.chapter import open_lab
from w2s_lib.figures.conflict import excess, scores_and_nulls
from w2s_lib.figures.positive_controls import shares
from w2s_lib.figures.real_texts import side_by_side
from w2s_lib.findings.claims import CLAIMS, REAL
from w2s_lib.findings.conflict import cannot_tell, conflict, is_placebo, placebo_in_words
from w2s_lib.findings.positive_controls import observed
from w2s_lib.findings.results import ALL, CONFLICTS, pick
from w2s_lib.study import Study
from w2s_lib.study.edition import load


@pytest.mark.parametrize(("value", "fair"), [(0.009, True), (0.05, True), (0.157, False), (-0.02, True)])
def test_a_placebo_that_taxes_much_more_than_a_rerun_is_none(value, fair):
    row = pd.Series({"value": value, "low": value - 0.01, "high": value + 0.01})
    assert is_placebo(row) == fair
    assert ("controls for nothing" in placebo_in_words(row)) == (not fair)


@pytest.fixture(scope="module")
def texts(tmp_path_factory) -> Study:
    """Two divisions of real texts, two model pairs, by the margins that come with the project."""
    study = Study(load("hh-smol"))
    study = study.on(open_lab(tmp_path_factory.mktemp("store"), 0, study.edition))
    return study.restricted_to(study.edition.seeds[:2], study.edition.weak_strong_pairs[:2])


def test_on_real_texts_the_placebo_is_refused_wherever_it_is_shown(texts):
    """Figures of chapters 15 and 17, and those of a report, by the shipped margins; the world's own placebo is one."""
    found, real = conflict(texts)[1], observed(texts)[1]
    pooled = found[found["weak"] == ALL]
    says = placebo_in_words(pick(pooled, "conflict_tax", "placebo", versus="rerun"))
    assert says.endswith("controls for nothing.")
    shown = list(CONFLICTS)
    drawn = [side_by_side({"frozen layers": pooled}, shown), shares({"HH-RLHF": real}, shown)]
    drawn += [scores_and_nulls(pooled, shown), excess(pooled, shown)]
    assert all(figure.caption.endswith(says) for figure in drawn)
    assert pick(real, "conflict_tax", "placebo", versus="rerun")["value"] == pytest.approx(
        pick(pooled, "conflict_tax", "placebo", versus="rerun")["value"]
    )
    others = [side_by_side({"frozen layers": pooled}, shown[:3]), shares({"HH-RLHF": real}, shown[:3])]
    fair = pooled.assign(value=pooled["value"].where(pooled["condition"] != "placebo", 0.01))
    others += [side_by_side({"world": fair}, shown), scores_and_nulls(fair, shown), excess(fair, shown)]
    assert not any("controls for nothing" in figure.caption for figure in others)


def test_no_claim_is_read_off_a_placebo_of_real_texts():
    """The ledger asks real texts for other conditions, and takes no placebo off."""
    asked = {claim.names["condition"] for claim in CLAIMS.values()} | {c for cs in REAL.values() for c in cs}
    against = {claim.names.get("versus") for claim in CLAIMS.values()}
    assert "explicit" in asked and "rerun" in against and not {"placebo"} & (asked | against)


@pytest.mark.parametrize(
    ("most", "says"),
    [(np.nan, "too few pairs are taxed"), (0.0, "area is empty"), (0.03, "area is too small"), (0.05, ""), (0.6, "")],
)
def test_what_could_not_have_been_seen_is_said(most, says):
    found = cannot_tell(pd.Series({"value": most}))
    assert says in found and bool(found) == bool(says)
    assert not found or found.startswith("Cannot tell") and "more pairs" in found.lower()
