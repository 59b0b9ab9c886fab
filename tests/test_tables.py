"""Text from data is shown as text."""

import pandas as pd

from w2s_lib.book.tables import Ledger, Parts, Table

EVIL = "<script>alert('x')</script> <img src=http://evil> & \"q\""


def test_cells_and_headers_are_escaped():
    shown = Table(pd.DataFrame({EVIL: [EVIL, [EVIL]]}))._repr_html_()
    assert "<script" not in shown and "<img" not in shown
    assert shown.count("&lt;script&gt;") == 3


def test_nothing_is_cut_and_missing_is_a_dash():
    table = Table(pd.DataFrame({"a_name": ["x" * 500, None, pd.NA], "b": [0.12345, float("nan"), 1]}))
    shown = table._repr_html_()
    assert "x" * 500 in shown and "0.12" in shown and shown.count(">–</td>") == 3
    assert '<th scope="col">a name</th>' in shown and 'class="dataframe"' in shown and "id=" not in shown
    assert table._repr_html_() == shown, "the same table twice is the same page"


def test_a_ledger_links_to_chapters_and_escapes_the_rest():
    claim = {"claim": "C1", "statement": EVIL, "chapter": "05_tax", "least_effect": 0.05, "says": "<b>holds</b>"}
    tested = claim | {"value": 0.5, "low": 0.25, "high": 0.75, "n_seeds": 32, "attainable": 0.8, "power": 0.125}
    behind = {"innocent": 0.179, "taxed": 4321.0, "fewest": 0.0, "of_seeds": 32, "weak_strong_pairs": "a → b"}
    nan = float("nan")
    missing = claim | {"value": nan, "low": 0.0, "high": 0.0, "n_seeds": 0, "attainable": nan, "power": nan}
    tested, missing = tested | behind, missing | dict.fromkeys(behind, nan) | {"weak_strong_pairs": ""}
    shown = Ledger(pd.DataFrame([tested, missing]))._repr_html_()
    assert "<script" not in shown and shown.count("<strong>&lt;b&gt;holds&lt;/b&gt;</strong>") == 2
    assert shown.count('<a href="05_tax.html">C1</a>') == 4 and "0.500 [0.250, 0.750]" in shown
    first, _, folded = shown.partition("<details>")
    assert first.count(">–</td>") == 5 and 'class="dataframe ledger"' in first and first.count(">32</td>") == 1
    assert (
        ">0.18</td>" in first and ">a → b</td>" in folded and ">4,321</td>" in folded and folded.count(">0</td>") == 1
    )
    assert folded.count(">–</td>") == 2 and "26 of 32" in Ledger(pd.DataFrame([tested | {"n_seeds": 26}]))._repr_html_()
    assert "an innocent" not in Ledger(pd.DataFrame([missing]))._repr_html_()
    alike = Ledger(pd.DataFrame([tested | {"low": nan, "high": nan}]))._repr_html_()
    assert ">0.500</td>" in alike and "nan" not in alike, "what is the same in all seeds has no interval"
    here = [tested | {"here": 0.7, "within": within} for within in (True, False, None)]
    shown = Ledger(pd.DataFrame([*here, tested | {"here": nan, "within": nan}]))._repr_html_()
    assert shown.count(">0.700</td>") == 2 and shown.count(">0.700, outside</td>") == 1 and "nan" not in shown


def test_parts_are_folded_counted_and_escaped():
    frame = pd.DataFrame({"chapter": ["05", EVIL, "05"], "key": ["a", EVIL, "c"]})
    shown = Parts(frame, by="chapter")._repr_html_()
    assert shown.count("<details>") == 2 and "<summary>05: 2</summary>" in shown and "<script" not in shown
    assert shown.count("<tr>") == 2 + 3 and ">chapter</th>" not in shown
