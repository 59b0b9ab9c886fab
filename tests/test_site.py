"""A site of several editions: every page leads to the same one of the other editions, whoever reads it, wherever."""

import json
import re
import shutil
import subprocess
from html import unescape
from pathlib import Path
from urllib.parse import unquote

import pytest
from axe_playwright_python.sync_playwright import Axe

from w2s_lib.book import build, compare, crate, site
from w2s_lib.study.edition import FOLDER, load

ROOT = Path(__file__).resolve().parent.parent
PAGE = '<body>\n<div id="pst-skip-link" class="skip-link"><a href="#main">Skip</a></div>\n<h1>{}</h1></body>'
BOTH, ALONE, DEEP = "notebooks/05_conflict_tax_deception", "notebooks/12_preference_optimisation", "api/a & b/deep"


def write(html: Path, *pages: str) -> None:
    for page in pages:
        (html / page).parent.mkdir(parents=True, exist_ok=True)
        (html / page).write_text(PAGE.format(page), encoding="utf-8")


def links(page: Path) -> dict[str, Path]:
    """Where a page's switch leads, by what it says."""
    (nav,) = re.findall(r'<nav class="editions.*?</nav>', page.read_text(encoding="utf-8"), re.DOTALL)
    found = re.findall(r'<a href="([^"]+)"[^>]*>([^<]+)</a>', nav)
    return {says: (page.parent / unquote(unescape(to))).resolve() for to, says in found}


@pytest.fixture(scope="module")
def told(shelf) -> dict[str, compare.Built]:
    """What is read of both books, once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(build, "BUILT", Path(shelf[0]).parent / "book" / "_build")
        return {Path(edition).stem: compare.read_book(edition) for edition in shelf}


@pytest.fixture
def read_before(told, monkeypatch) -> None:
    """Books are not read again, where a test asks for something else."""
    monkeypatch.setattr(compare, "read_book", lambda name: told[Path(name).stem]._replace(html=build.built(name)))


@pytest.fixture
def laid_before(read_before, monkeypatch) -> None:
    """Nor laid side by side."""
    monkeypatch.setattr(compare, "lay", lambda books, path: path.write_text("all of them", encoding="utf-8"))


@pytest.fixture
def library(shelf, tmp_path, monkeypatch) -> tuple[Path, list[str]]:
    """Two books with pages, one of which only the first has: their root, and the paths of their editions."""
    root = tmp_path / "a shelf & more"
    shutil.copytree(Path(shelf[0]).parent, root)
    for module in (build, compare, site):
        monkeypatch.setattr(module, "BUILT", root / "book" / "_build")
    for name in ("one", "two"):
        html = root / "book" / "_build" / name / "html"
        write(html, "index.html", f"{BOTH}.html", f"{DEEP}.html", *([f"{ALONE}.html"] if name == "one" else []))
        (html / "moved.html").write_text(
            "<body>This page is now <a href='index.html'>here</a>.</body>", encoding="utf-8"
        )
    return root, [str(root / Path(edition).name) for edition in shelf]


def test_the_switch_stays_on_the_page_where_the_other_edition_has_it(library, laid_before):
    root, editions = library
    about = {"@graph": [{"@id": "index.html", "contentSize": "0"}]}
    (root / "book" / "_build" / "one" / "html" / crate.METADATA).write_text(json.dumps(about), encoding="utf-8")
    first = site.site(editions)
    folder = root / "book" / "_build" / "site"
    assert first == folder / "index.html" and 'url=one/index.html"' in first.read_text(encoding="utf-8")
    (told,) = json.loads((folder / "one" / crate.METADATA).read_text(encoding="utf-8"))["@graph"]
    assert told["contentSize"] == str((folder / "one" / "index.html").stat().st_size)
    for page in (BOTH, DEEP, "index"):
        there = {name: folder / name / f"{page}.html" for name in ("one", "two")}
        assert links(there["one"]) == links(there["two"]) == there | {"Compare": folder / "compare.html"}
        for name, path in there.items():
            assert re.search(rf'<a href="[^"]*" aria-current="true"[^>]*>{name}</a>', path.read_text(encoding="utf-8"))
            assert path.read_text(encoding="utf-8").index("pst-skip-link") < path.read_text(encoding="utf-8").index(
                "editions"
            ), "the skip link is first"
    assert links(folder / "one" / f"{ALONE}.html")["two (first page)"] == folder / "two" / "index.html"
    assert all(path.is_file() for page in folder.rglob("*.html") for path in links_of(page))
    assert "<b>the second" not in (folder / "one" / f"{BOTH}.html").read_text(encoding="utf-8"), "titles are escaped"
    assert "editions" not in (root / "book" / "_build" / "one" / "html" / "index.html").read_text(encoding="utf-8"), (
        "books stay as built"
    )


def links_of(page: Path) -> list[Path]:
    return [*links(page).values()] if 'class="editions' in page.read_text(encoding="utf-8") else []


def test_the_page_that_compares_leads_to_the_books_of_the_site(library, read_before):
    root, editions = library
    folder = site.site(editions, str(root / "out")).parent
    page = (folder / "compare.html").read_text(encoding="utf-8")
    assert {"one/index.html", "two/index.html"} <= set(re.findall(r'<a href="([^"]+)"', page))
    assert (folder / "compare.csv").is_file()


def test_a_site_takes_the_place_of_a_site_and_of_nothing_else(library, laid_before, capsys):
    root, editions = library
    folder = site.site(editions, str(root / "out")).parent
    (folder / "left from before").touch()
    site.site(editions, str(folder))
    assert not (folder / "left from before").exists()
    (root / "mine").mkdir()
    (root / "mine" / "thesis.tex").touch()
    (root / "mine" / "compare.html").touch()  # make compare and make book write it beside books, which are no site
    assert site.main([*editions, "--out", str(root / "mine")]) == 2
    told = capsys.readouterr().err
    assert re.match("error: out='.*mine': must be a new folder, or that of a site", told) and told.count("\n") == 1
    assert (root / "mine" / "thesis.tex").exists()


def test_a_book_that_is_not_whole_leaves_the_last_site(library, capsys):
    root, editions = library
    page = root / "book" / "_build" / "site" / "index.html"
    write(page.parent, "index.html", site.MARK)
    (root / "book" / "_build" / "two" / "html" / "results.csv").unlink()
    assert site.main(editions) == 2 and "results.csv is cut or changed" in capsys.readouterr().err
    assert page.is_file() and not [path for path in page.parent.parent.iterdir() if path.name.startswith(".draft")]


def test_all_that_is_built_is_compared_and_one_alone_is_not(library, read_before, capsys):
    root, editions = library
    assert compare.main(["--all", editions[0]]) == 0 and not capsys.readouterr().out
    assert compare.main(["--all", *editions]) == 0
    page = root / "book" / "_build" / "compare.html"
    assert capsys.readouterr().out == f"open {page}\n"
    assert set(re.findall(r'<a href="([^"/]+)/html/index.html"', page.read_text(encoding="utf-8"))) == {"one", "two"}


def test_make_hands_on_every_edition(tmp_path):
    shutil.copy(ROOT / "Makefile", tmp_path)
    for file in ("pyproject.toml", "requirements.lock"):
        (tmp_path / file).touch()
    (tmp_path / ".venv").mkdir()
    (tmp_path / ".venv" / ".complete").touch()
    run = lambda *words: subprocess.run(["make", "-s", *words], cwd=tmp_path, capture_output=True, encoding="utf-8")
    done = run("site", "RUN=printf '%s\\n'", "EDITIONS=world it's.yaml")
    assert done.stdout.splitlines() == ["-m", "w2s_lib.book.site", "world", "it's.yaml"], done.stderr
    for name in ("one", "two"):
        assert "compare" not in run("book", "RUN=printf '%s\\n'").stdout, "of one book there is nothing to compare"
        (tmp_path / "book" / "_build" / name / "html").mkdir(parents=True)
    assert run("book", "RUN=printf '%s\\n'").stdout.splitlines()[-3:] == ["w2s_lib.book.compare", "--all", "world"]


@pytest.fixture(scope="module")
def real(build_folder, tmp_path_factory) -> Path:
    """The first page of a site of two real books: the smoke edition, and one that differs and lacks a chapter."""
    root = tmp_path_factory.mktemp("real site & co")
    (root / "other.yaml").write_text(
        re.sub(r"^(name|title):.*$", r"\1: other", (FOLDER / "smoke.yaml").read_text(encoding="utf-8"), flags=re.M),
        encoding="utf-8",
    )
    built = root / "book" / "_build"
    for name in ("smoke", "other"):
        shutil.copytree(build_folder / "book" / "html", built / name / "html")
    about = built / "other" / "html" / build.BOOK
    told = json.loads(about.read_text(encoding="utf-8"))
    about.write_text(
        json.dumps(told | {"edition": load(root / "other.yaml").model_dump(mode="json")}), encoding="utf-8"
    )
    (built / "other" / "html" / f"{ALONE}.html").unlink()
    with pytest.MonkeyPatch.context() as patch:
        for module in (build, site):
            patch.setattr(module, "BUILT", built)
        return site.site(["smoke", str(root / "other.yaml")])


def test_readers_switch_by_keyboard_from_the_file_system(real, browser):
    context, foreign = browser.new_context(viewport={"width": 1366, "height": 768}), []
    page = context.new_page()
    page.on("request", lambda r: None if r.url.startswith(("file:", "data:", "blob:")) else foreign.append(r.url))
    page.goto(real.as_uri())
    page.wait_for_url("**/smoke/index.html")
    assert page.evaluate("document.querySelector('.doors .sd-card-title').getBoundingClientRect().bottom") <= 768
    page.goto((real.parent / "smoke" / f"{BOTH}.html").as_uri())
    page.evaluate("history.replaceState(null, '', '#summary')")  # to go there would move the place where Tab begins
    page.keyboard.press("Tab")
    for says in ("smoke", "other"):  # after the skip link
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.textContent") == says
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/other/{BOTH}.html#summary")
    page.get_by_role("navigation", name="Editions").get_by_text("smoke").click()
    page.wait_for_url(f"**/smoke/{BOTH}.html*")
    page.goto((real.parent / "smoke" / f"{ALONE}.html").as_uri())
    page.get_by_role("navigation", name="Editions").get_by_text("other (first page)").click()
    page.wait_for_url("**/other/index.html")
    page.get_by_role("navigation", name="Editions").get_by_text("Compare").click()
    page.wait_for_url("**/compare.html")
    assert page.locator("h1").inner_text() == "Editions side by side" and not foreign
    context.close()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_switch_hinders_nobody(real, browser, theme):
    context = browser.new_context(color_scheme=theme, viewport={"width": 390, "height": 844})
    page = context.new_page()
    page.goto((real.parent / "other" / f"{BOTH}.html").as_uri())
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    broken = Axe().run(page, context=".editions").response["violations"]
    assert not [one["id"] for one in broken if one["impact"] in ("serious", "critical")]
    context.close()
