"""Text from data is shown as text."""

import pandas as pd

from w2s_lib.book.tables import Table

EVIL = "<script>alert('x')</script> <img src=http://evil> & \"q\""


def test_cells_and_headers_are_escaped():
    shown = Table(pd.DataFrame({EVIL: [EVIL]}))._repr_html_()
    assert "<script" not in shown and "<img" not in shown
    assert shown.count("&lt;script&gt;") == 2


def test_nothing_is_cut_and_missing_is_a_dash():
    shown = Table(pd.DataFrame({"a": ["x" * 500, None], "b": [0.12345, float("nan")]}))._repr_html_()
    assert "x" * 500 in shown and "0.12" in shown and shown.count("<td>–</td>") == 2
