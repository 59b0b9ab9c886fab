"""A release is one folder that can be checked without the project."""

import json
import os
import re
import shutil
import subprocess
import sys
import zipfile

import nbformat
import pandas as pd
import pytest

from tests.conftest import BROWSER, ROOT
from w2s_lib.book.build import BuildError
from w2s_lib.book.crate import METADATA
from w2s_lib.book.release import main, print_pdf, release
from w2s_lib.errors import ParameterError

WITHOUT_PDF = {"pdf": False, "taught": ["01"]}


@pytest.fixture(scope="module")
def folder(build_folder, tmp_path_factory):
    return release("smoke", str(build_folder / "book"), str(tmp_path_factory.mktemp("release") / "one"), **WITHOUT_PDF)


def test_a_class_gets_exercises_and_graders_and_no_solutions(folder):
    there = {path.relative_to(folder / "course").as_posix() for path in (folder / "course").rglob("*.*")}
    assert there == {"student.zip", "exercises.csv", "grader/01_tour.zip"}
    with zipfile.ZipFile(folder / "course" / "student.zip") as course:
        assert set(course.namelist()) == {"01_tour.ipynb", "checks/01_tour.json", "README.md"}


def test_sums_hold_and_the_manifest_names_every_file(folder):
    assert subprocess.run(["sha256sum", "--check", "--quiet", "SHA256SUMS"], cwd=folder).returncode == 0
    told = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    there = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert there == set(told["files"]) | {"manifest.json", "SHA256SUMS"}
    assert told["edition"] == "smoke" and told["name"].endswith(told["version"]) and told["made_with"]["torch"]


def test_the_site_is_whole_and_the_results_are_its_own(folder, build_folder):
    html = build_folder / "book" / "html"
    with zipfile.ZipFile(folder / "site.zip") as site:
        assert site.testzip() is None
        inside = {name for name in site.namelist() if not name.endswith("/")}
    assert inside == {path.relative_to(html).as_posix() for path in html.rglob("*") if path.is_file()}
    assert METADATA in inside, "the zip is an RO-Crate, which tests/test_crate.py reads"
    with zipfile.ZipFile(folder / "slides.zip") as slides:
        assert {"index.html", "01_tour.html"} <= set(slides.namelist())
    pd.testing.assert_frame_equal(pd.read_csv(folder / "results.csv"), pd.read_csv(html / "results.csv"))


def test_a_release_takes_the_place_of_a_release_and_of_nothing_else(build_folder, folder, tmp_path):
    (folder / "left from before").touch()
    release("smoke", str(build_folder / "book"), str(folder), **WITHOUT_PDF)
    assert not (folder / "left from before").exists()
    (tmp_path / "mine.txt").touch()
    with pytest.raises(ParameterError, match="target=.*must be a new folder, or that of a release"):
        release("smoke", str(build_folder / "book"), str(tmp_path), **WITHOUT_PDF)
    assert (tmp_path / "mine.txt").exists()


def test_what_is_not_built_is_one_line(tmp_path, capsys):
    assert main(["--edition", "smoke", "--output", str(tmp_path)]) == 2
    assert capsys.readouterr().err.startswith("error: edition='smoke': not built yet")


RELEASES = """
import sys
from w2s_lib.book.release import release
release("smoke", *sys.argv[1:], taught=["01"])
"""
CHAPTERS = ("notebooks/01_tour", "notebooks/05_conflict_tax_deception")


@pytest.fixture(scope="module")
def printed(build_folder, tmp_path_factory):
    """The release, with its PDFs, of a book of few of the smoke edition's pages."""
    output, built = tmp_path_factory.mktemp("printed") / "book", build_folder / "book"
    shutil.copytree(built / "source", output / "source")
    shutil.copytree(built / "results", output / "results")
    pages = shutil.ignore_patterns("*.html", "[0-9]*.ipynb", "_*", "slides")
    shutil.copytree(built / "html", output / "html", ignore=pages)
    others = shutil.ignore_patterns("0[2-9]*.html", "[1-9]*.html")
    shutil.copytree(built / "html" / "slides", output / "html" / "slides", ignore=others)
    shutil.copy(built / "html" / "index.html", output / "html")
    parts = [{"caption": "Few", "chapters": [{"file": name} for name in CHAPTERS]}]
    contents = json.dumps({"format": "jb-book", "root": "glossary", "parts": parts})
    (output / "source" / "_toc.yml").write_text(contents, encoding="utf-8")
    # in a process of its own: Playwright's interface does not start twice in one
    told = [sys.executable, "-c", RELEASES, str(output), str(output.parent / "release")]
    subprocess.run(told, check=True, env=os.environ | {"PYTHONPATH": str(ROOT)})
    return output.parent / "release"


@pytest.mark.slow
@pytest.mark.skipif(BROWSER is None, reason="no Chromium or Chrome is installed")
def test_a_book_is_printed_with_its_chapters_in_the_outline_and_with_links(printed, build_folder):
    made = (printed / "book.pdf").read_bytes()
    told = [bytes.fromhex(text.decode()).decode("utf-16") for text in re.findall(rb"/Title <(FEFF[0-9A-F]+)>", made)]
    told += [text.decode("latin-1") for text in re.findall(rb"/Title \(((?:[^()\\]|\\.)*)\)", made)]
    for name in CHAPTERS:
        title = nbformat.read(build_folder / "book" / "source" / f"{name}.ipynb", 4).cells[0].source.splitlines()[0]
        assert any(title.removeprefix("# ") in one for one in told), told[:40]
    assert made.startswith(b"%PDF") and b"/Outlines" in made and len(re.findall(rb"/Type\s*/Page\b", made)) > 10
    assert made.count(b"/Dest") > 20 and b"/URI (https://arxiv.org/abs/2406.11431)" in made
    assert [path.name for path in (printed / "slides").iterdir()] == ["01_tour.pdf"]


@pytest.mark.slow
@pytest.mark.skipif(BROWSER is None or not shutil.which("pdftotext"), reason="no Chromium or no pdftotext is installed")
def test_pages_of_the_printed_book_have_numbers(printed):
    done = subprocess.run(["pdftotext", printed / "book.pdf", "-"], capture_output=True, encoding="utf-8", check=True)
    pages = done.stdout.split("\f")[:-1]
    assert [page.split()[-1] for page in pages] == [str(number + 1) for number in range(len(pages))]


def test_without_a_browser_the_pdf_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setattr("shutil.which", lambda name: None)
    with pytest.raises(BuildError, match="there is none; install chromium, or say --no-pdf"):
        print_pdf(tmp_path / "page.html", tmp_path / "a.pdf")
