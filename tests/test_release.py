"""A release is one folder that can be checked without the project."""

import json
import os
import re
import subprocess
import sys
import zipfile

import pandas as pd
import pytest

from tests.conftest import BROWSER, ROOT
from w2s_lib.book.build import BuildError
from w2s_lib.book.crate import METADATA
from w2s_lib.book.pdf import print_pages
from w2s_lib.book.release import main, release
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


PRINTS = """
from pathlib import Path
from w2s_lib.book.pdf import SHEET, print_pages
print_pages({(Path.cwd() / "page.html").as_uri(): "a.pdf"}, **SHEET)
"""


@pytest.mark.slow
@pytest.mark.skipif(BROWSER is None, reason="no Chromium or Chrome is installed")
def test_a_page_is_printed_with_an_outline(tmp_path):
    (tmp_path / "page.html").write_text("<h1>One</h1><p>a</p><h2 style='break-before: page'>Two</h2>", encoding="utf-8")
    # in a process of its own: Playwright's interface does not start twice in one
    done = subprocess.run([sys.executable, "-c", PRINTS], cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(ROOT)})
    made = (tmp_path / "a.pdf").read_bytes()
    assert done.returncode == 0 and made.startswith(b"%PDF") and b"/Outlines" in made
    assert len(re.findall(rb"/Type\s*/Page\b", made)) == 2


def test_without_a_browser_the_pdf_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setattr("shutil.which", lambda name: None)
    with pytest.raises(BuildError, match="there is none; install chromium, or do without: PDF=no, --no-pdf"):
        print_pages({(tmp_path / "page.html").as_uri(): tmp_path / "a.pdf"})
