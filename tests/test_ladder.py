"""What the ladder's models know, read off the smoke edition's store."""

import pytest

from w2s_lib.findings.ladder import ladder_results
from w2s_lib.findings.results import pick


def test_ladder_results(study, lab):
    facts, rows = ladder_results(study.on(lab))
    model = study.edition.models[0]
    assert len(facts) == len(study.edition.models) * study.edition.substances
    mine = facts[facts["model"] == model]
    row = pick(rows, "facts_known", "none", "", model)
    assert row["value"] == pytest.approx((mine["p_true"] > 0.5).mean())
    assert row["low"] <= row["value"] <= row["high"]
