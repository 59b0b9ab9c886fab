"""Built books side by side: what differs is shown, each number where it came from, and nothing that is not whole."""

import json
import os
import re
import shutil
import subprocess
from html import unescape
from pathlib import Path
from urllib.parse import unquote

import pandas as pd
import pytest

from w2s_lib import digests
from w2s_lib.book import build, compare
from w2s_lib.findings.claims import CLAIMS
from w2s_lib.findings.results import pick
from w2s_lib.study.edition import load

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def laid(shelf) -> Path:
    """The page of both books; it lies beside their editions."""
    root = Path(shelf[0]).parent
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(build, "BUILT", root / "book" / "_build")
        return compare.compare(shelf, root / "side by side.html")


@pytest.fixture
def books(shelf, tmp_path, monkeypatch) -> tuple[Path, list[str]]:
    """A copy of these, to which a test may do harm: its root, and the paths of the editions."""
    root = tmp_path / "copy & co"
    shutil.copytree(Path(shelf[0]).parent, root)
    monkeypatch.setattr(build, "BUILT", root / "book" / "_build")
    monkeypatch.setattr(compare, "BUILT", root / "book" / "_build")
    return root, [str(root / Path(edition).name) for edition in shelf]


@pytest.mark.slow
def test_books_are_laid_side_by_side(laid):
    page, facts = laid.read_text(encoding="utf-8"), pd.read_csv(laid.with_suffix(".csv"), keep_default_na=False)
    parameter = facts[facts["kind"] == "parameter"].pivot(index="name", columns="edition", values="says")
    assert parameter.to_dict("index") == {
        "seeds": {"one": "400, 401", "two": "402, 403"},
        "threshold": {"one": "0.75", "two": "0.8"},
        "dpo.epochs": {"one": "2", "two": "1"},
    }
    told = facts.query("kind == 'statistic' and name == 'excess_margin_matched' and condition == 'explicit'")
    for name, row in told.set_index("edition").iterrows():
        rows = compare.read_results(laid.parent / "book" / "_build" / name / "html" / "results.csv")
        rows = rows[rows["chapter"] == row["chapter"]]
        number = pick(rows, "excess_margin_matched", "explicit")
        assert float(row["value"]) == number["value"] and float(row["high"]) == number["high"]
        assert compare.say(number) in page
    verdicts = facts[facts["kind"] == "verdict"]
    words = verdicts.groupby("name")["says"].agg(set)
    assert set(words.index) == set(CLAIMS)
    changed = set(verdicts.loc[verdicts["differs"] == "True", "name"])
    assert changed == set(words.index[words.map(len) > 1]) and 0 < len(changed) < len(CLAIMS)
    first, rest = page.partition("<details>")[::2]
    assert all(f'nowrap">{key}</td>' in (first if key in changed else rest) for key in CLAIMS)


def test_the_page_asks_no_other_host_escapes_texts_and_links_to_both_books(laid):
    page = laid.read_text(encoding="utf-8")
    assert "<b>the second" not in page and "&lt;b&gt;the second &amp; half" in page
    assert not re.search(r"""(src|href)=["']?(https?:|//)|@import|<script""", page.replace('xmlns:xlink="http', ""))
    links = {unquote(unescape(link)) for link in re.findall(r'<a href="([^"]+)"', page)}
    assert {"book/_build/one/html/index.html", "book/_build/two/html/index.html"} <= links
    chapters = {link.rpartition("/")[2] for link in links} - {"index.html"}
    verdicts = pd.read_csv(laid.with_suffix(".csv")).query("kind == 'verdict' and n_seeds > 0")
    assert chapters == {f"{chapter}.html" for chapter in verdicts["chapter"]} and len(chapters) > 5
    assert {link.rpartition("/html/")[0] for link in links} == {"book/_build/one", "book/_build/two"}
    assert page.count("<table") == page.count('<table tabindex="0"')


def test_the_page_is_dark_on_white_on_paper_whatever_the_screen_is(browser, laid):
    context = browser.new_context(color_scheme="dark")
    page, seen = context.new_page(), {}
    page.goto(laid.as_uri())
    for media in ("screen", "print"):
        page.emulate_media(media=media, color_scheme="dark")
        style = "[...document.querySelectorAll('body, svg')].map(e => getComputedStyle(e))"
        seen[media] = page.evaluate(f"{style}.map(e => [e.backgroundColor, e.color, e.filter])")
    assert seen["print"][0][:2] == ["rgb(255, 255, 255)", "rgb(0, 0, 0)"] != seen["screen"][0][:2]
    assert {filter for *_, filter in seen["print"]} == {"none"} != {filter for *_, filter in seen["screen"]}
    context.close()


@pytest.mark.parametrize(
    ("verdicts", "differ"),
    [(("yes", "no"), True), (("yes", "yes"), False), (("yes", "untested"), False), (("untested", "untested"), False)],
)
def test_what_was_not_tested_contradicts_nothing(verdicts, differ):
    assert compare.differing(verdicts) is differ


def cut(html: Path) -> None:
    path = html / "results.csv"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def older(html: Path) -> None:
    rows = pd.read_csv(html / "results.csv").drop(columns="versus")
    rows.to_csv(html / "results.csv", index=False)
    told = json.loads((html / build.BOOK).read_text(encoding="utf-8"))
    (html / build.BOOK).write_text(
        json.dumps(told | {"results": digests.of_file(html / "results.csv")}), encoding="utf-8"
    )


def without_a_claim(html: Path) -> None:
    rows = pd.read_csv(html / "results.csv")
    rows[rows["statistic"] != "pgr"].to_csv(html / "results.csv", index=False)
    told = json.loads((html / build.BOOK).read_text(encoding="utf-8"))
    (html / build.BOOK).write_text(
        json.dumps(told | {"results": digests.of_file(html / "results.csv")}), encoding="utf-8"
    )


@pytest.mark.parametrize(
    ("harm", "says"),
    [
        (cut, "results.csv is cut or changed"),
        (lambda html: (html / "results.csv").unlink(), "results.csv is cut or changed"),
        (older, "of an older version: it has no column 'versus'"),
        (without_a_claim, "of an older version: .*pgr"),
        (lambda html: (html / build.BOOK).unlink(), "of an older version: .*book.json is missing"),
        (
            lambda html: (html / build.BOOK).write_text('{"edition": 3', encoding="utf-8"),
            "book.json is missing, or cannot be read",
        ),
        (lambda html: (html / "index.html").unlink(), "not built yet"),
        (
            lambda html: (html.parents[3] / "two.yaml").write_text(
                (html.parents[3] / "two.yaml").read_text(encoding="utf-8").replace("0.8\n", "0.9\n"), encoding="utf-8"
            ),
            "its file has changed since its book was built: threshold was 0.8",
        ),
    ],
)
def test_a_book_that_is_not_whole_is_one_line_and_nothing_is_written(books, harm, says, capsys):
    root, editions = books
    harm(root / "book" / "_build" / "two" / "html")
    assert compare.main(editions[::-1]) == 2
    told = capsys.readouterr().err
    assert re.match(f"error: edition={re.escape(repr(editions[1]))}: .*{says}", told) and told.count("\n") == 1
    assert "make book 'EDITION=" in told and not (root / "book" / "_build" / "compare.html").exists()


@pytest.mark.parametrize(
    ("which", "says"),
    [
        ([], "editions='': name two or more"),
        ([0], "name two or more, as in EDITIONS='world smoke'"),
        ([0, 1, 0], "one.yaml' again; name it once"),
        ([0, "wrold"], "edition='wrold': no such edition; did you mean 'world'?"),
        ([0, 1, "--out", "/nowhere/page.html"], "out='/nowhere/page.html': must be the path of an .html file"),
    ],
)
def test_bad_input_is_one_line(books, which, says, capsys):
    assert compare.main([books[1][one] if isinstance(one, int) else one for one in which]) == 2
    told = capsys.readouterr().err
    assert told.startswith("error: ") and says in told and told.count("\n") == 1


def test_make_hands_on_every_edition_as_it_is(tmp_path):
    shutil.copy(ROOT / "Makefile", tmp_path)
    for file in ("pyproject.toml", "requirements.lock"):
        (tmp_path / file).touch()
    (tmp_path / ".venv").mkdir()
    (tmp_path / ".venv" / ".complete").touch()
    for editions in ("world smoke", "it's.yaml $HOME/{a};b.yaml", ""):
        command = ["make", "-s", "compare", "RUN=printf '%s\\n'", f"EDITIONS={editions}"]
        done = subprocess.run(
            command, cwd=tmp_path, env=dict(os.environ), capture_output=True, text=True, encoding="utf-8"
        )
        assert done.returncode == 0 and done.stdout.splitlines() == ["-m", "w2s_lib.book.compare", *editions.split()]


def test_a_build_says_what_it_was_built_with(build_folder, monkeypatch, tmp_path):
    """And is read again: the smoke edition's own book beside itself is refused, alone it is whole."""
    monkeypatch.setattr(compare, "built", lambda edition, output=None: build_folder / "book" / "html")
    read = compare.read_book("smoke")
    assert read.edition == load("smoke") and set(read.verdicts["claim"]) == set(CLAIMS)
