"""A placebo that taxes by itself is none, and what could not have been seen is said to be so."""

import numpy as np
import pandas as pd
import pytest

from w2s_lib.findings.conflict import cannot_tell, is_placebo, placebo_in_words


@pytest.mark.parametrize(("value", "fair"), [(0.009, True), (0.05, True), (0.157, False), (-0.02, True)])
def test_a_placebo_that_taxes_much_more_than_a_rerun_is_none(value, fair):
    row = pd.Series({"value": value, "low": value - 0.01, "high": value + 0.01})
    assert is_placebo(row) == fair
    assert ("controls for nothing" in placebo_in_words(row)) == (not fair)


@pytest.mark.parametrize(
    ("most", "says"),
    [(np.nan, "too few pairs are taxed"), (0.0, "area is empty"), (0.03, "area is too small"), (0.05, ""), (0.6, "")],
)
def test_what_could_not_have_been_seen_is_said(most, says):
    found = cannot_tell(pd.Series({"value": most}))
    assert says in found and bool(found) == bool(says)
    assert not found or found.startswith("Cannot tell") and "more pairs" in found.lower()
