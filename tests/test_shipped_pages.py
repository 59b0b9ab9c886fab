"""Executed pages that come with a preview: when they are shown, what they say, and what a pack may not be."""

from __future__ import annotations

import json
import shutil
import zipfile
from io import BytesIO
from pathlib import Path

import nbformat
import pytest

from tests.conftest import of_few_chapters
from w2s_lib.book import build, ship
from w2s_lib.book.build import (
    REPRODUCIBILITY,
    drawing,
    execute_all,
    fitting,
    left_out,
    notebook_parameters,
    notebook_paths,
    page_key,
    studied,
)
from w2s_lib.book.challenge import BOARD
from w2s_lib.book.chapter import CHAPTERS_BESIDE, open_lab
from w2s_lib.book.pages import CAME, EXECUTED, PACK, PAGE, PackError, Pages, pack_pages
from w2s_lib.errors import ParameterError
from w2s_lib.lab.shipped import DIGESTS, Shipped
from w2s_lib.lab.store import StoreError
from w2s_lib.study import Study
from w2s_lib.study.edition import FOLDER, load

ROOT = Path(__file__).resolve().parent.parent
NOT_READ = (".py", ".pyc", ".css")
"""Endings of files of the library of which one is tried, or that no page shows: what slides look like."""
A_PAGE = {PAGE: b'{"cells": []}', "results.csv": b"a,b\n1,2\n"}


@pytest.fixture
def shipped(tmp_path) -> Shipped:
    """An edition's folder with a pack of two pages."""
    shipped = Shipped(tmp_path / "smoke")
    shipped.write_content(PACK, pack_pages({"01_a": "k1", "02_b": "k2"}, {"01_a": A_PAGE, "02_b": {PAGE: b"{}"}}, []))
    return shipped


def test_a_page_is_had_under_its_key_alone(shipped):
    pages = Pages(Shipped(shipped.folder))
    assert pages.has("01_a", "k1") and not pages.has("01_a", "k2") and not pages.has("03_c", "k1")
    assert pages.files("01_a") == A_PAGE and pages.files("02_b") == {PAGE: b"{}"}
    assert not Pages(Shipped(shipped.folder / "none")), "an edition without a pack has no pages"


def test_the_same_pages_are_the_same_bytes():
    turned = {"02_b": {PAGE: b"{}"}, "01_a": dict(reversed(A_PAGE.items()))}
    assert pack_pages({"b": "2", "a": "1"}, turned, []) == pack_pages(
        {"a": "1", "b": "2"}, dict(reversed(turned.items())), []
    )


def test_a_page_that_names_a_place_on_the_builders_machine_is_not_handed_on(tmp_path):
    for says in (f"read {tmp_path}/store", "wrote /tmp/tmpab12/report.html"):
        with pytest.raises(PackError, match="01_a/page.ipynb: names .*a place on this machine") as error:
            pack_pages({"01_a": "k"}, {"01_a": {PAGE: says.encode()}}, [tmp_path])
        assert "\n" not in str(error.value)


def foreign(path: Path) -> None:
    """Another zip, under the digest that it has."""
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("else.txt", "something")
    Shipped(path.parent).write_content(PACK, path.read_bytes())


def other(path: Path) -> None:
    Shipped(path.parent).write_content(PACK, b"no zip at all")


HARMS = {
    "cut": lambda path: path.write_bytes(path.read_bytes()[:-9]),
    "changed": lambda path: path.write_bytes(path.read_bytes().replace(b"results", b"resultz")),
    "foreign": foreign,
    "no zip": other,
}


@pytest.mark.parametrize("harm", HARMS)
def test_a_pack_that_is_not_what_was_written_is_named_in_one_line(harm, shipped):
    path = shipped.folder / PACK
    HARMS[harm](path)
    with pytest.raises(StoreError, match="it comes with the edition: restore it") as error:
        Pages(Shipped(shipped.folder))
    assert str(path) in str(error.value) and "\n" not in str(error.value)


@pytest.fixture
def key(tmp_path, monkeypatch):
    """The name that a page has anywhere, and a copy of the project that may be written to."""
    root = tmp_path / "project"
    for part in ("w2s_lib", "notebooks/editions"):
        shutil.copytree(ROOT / part, root / part, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "requirements.lock", root)
    (root / "notebooks" / "01_x.ipynb").write_text("{}", encoding="utf-8")
    monkeypatch.setattr(build, "ROOT", root)
    monkeypatch.setattr(build, "FOLDER", root / "notebooks" / "editions")
    monkeypatch.setattr(build, "LOCK", root / "requirements.lock")
    return lambda read=(): page_key(root / "notebooks" / "01_x.ipynb", "0" * 16, read, anywhere=True), root


@pytest.mark.parametrize(
    "file",
    ["notebooks/01_x.ipynb", "w2s_lib/measures/metrics.py", "requirements.lock"]
    + [f"{path.relative_to(ROOT)}" for path in sorted((ROOT / "w2s_lib").rglob("*.*")) if path.suffix not in NOT_READ]
    + ["notebooks/editions/preview.yaml", "notebooks/editions/hh-smol/records.parquet"]
    + [f"{path.relative_to(ROOT)}" for path in sorted((FOLDER / "world").glob("record*/*.json"))],
)  # fmt: skip
def test_a_changed_byte_of_what_a_page_depends_on_names_another(file, key):
    name, root = key
    before = name()
    (root / file).write_bytes((root / file).read_bytes() + b"\n")
    assert name() != before


def test_a_page_is_named_alike_on_every_machine(key, tmp_path, monkeypatch):
    name, root = key
    results = [tmp_path / where / "05_x.csv" for where in ("here", "there")]
    for path in results:
        path.parent.mkdir()
        path.write_text("a,b\n", encoding="utf-8")
    before = name(results[:1])
    Shipped(root / "notebooks" / "editions" / "preview").write_content(PACK, b"pages")
    versions = build.versions()
    monkeypatch.setattr(build, "versions", lambda: versions | {"python": "3.99.1", "torch": "2+cu130"})
    assert name(results[1:]) == before, "neither pages nor folders, nor builds of packages, are in it"
    results[1].write_text("a,c\n", encoding="utf-8")
    assert name(results[1:]) != before


def test_only_a_previews_pages_are_shipped_and_nobodys_leaderboard(tmp_path):
    for edition, says in (("world", "only pages of a preview"), ("preview", f"has a {BOARD} of its own")):
        study = Study(load(edition)).on(open_lab(str(tmp_path), 0, load(edition)))
        (tmp_path / BOARD).touch()
        with pytest.raises(ParameterError, match=says):
            ship.ship_pages(study, edition, [])


def test_what_a_preview_ships_beside_its_own_chapters_is_what_the_whole_edition_has():
    preview = load("preview")
    also = ship.left_out_of_the_preview(preview)
    assert {path.stem for path in also} >= set(build.NOT_SHIPPED) and all(left_out(path, preview) for path in also)
    assert {path.stem for path in notebook_paths()} == {
        path.stem for path in notebook_paths() if path in also or not left_out(path, preview)
    }


def test_with_a_pack_nothing_but_the_last_notebook_is_executed(
    build_folder, tmp_path, executed_here, monkeypatch, capfd
):
    """A preview of the smoke edition by the chapters that all have; one more comes as a page."""
    shutil.copytree(FOLDER, tmp_path / "editions")
    for module in (build, ship):
        monkeypatch.setattr(module, "FOLDER", tmp_path / "editions")
    path = of_few_chapters(tmp_path, ())
    path.write_text(f"{path.read_text(encoding='utf-8')}record_of: smoke\n", encoding="utf-8")
    study, (also,) = Study(load(path)), [path for path in notebook_paths() if path.stem.startswith("02_")]
    lab = open_lab(str(build_folder / "store"), 0, study.edition)
    zipped = ship.ship_pages(study.on(lab), str(path), [also])
    assert lab.trained == 0
    capfd.readouterr()

    pages, of = Pages(Shipped(zipped.parent)), studied(study)
    target, results = tmp_path / "book" / "source" / "notebooks", tmp_path / "book" / "results"
    target.mkdir(parents=True)
    results.mkdir()
    (results / "runs.json").write_text(json.dumps({"trained": 0, "run_seconds": 0.0}), encoding="utf-8")
    (results / CHAPTERS_BESIDE).write_text(json.dumps([also.stem]), encoding="utf-8")
    with drawing(for_slides=False):
        times = execute_all(target, results, notebook_parameters(str(path), lab), 1, of, {}, pages)
    shown = [source for source in notebook_paths() if source == also or not left_out(source, study.edition)]
    assert {name for name, seconds in times.items() if seconds} == {REPRODUCIBILITY}
    left = len(notebook_paths()) - len(shown)
    says = f"{len(shown) - 1} pages come with the book, 1 were executed here, {left} are left out"
    assert says in capfd.readouterr().out and len(shown) == 7

    files = zipfile.ZipFile(BytesIO(zipped.read_bytes()))
    assert not {name for name in files.namelist() if name.rpartition(".")[2] not in ("ipynb", "json", "csv", "runs")
                and not name.endswith((".seeds", ".checks"))}  # fmt: skip
    for name in files.namelist():
        content = files.read(name).decode()
        assert str(ROOT) not in content and str(build_folder) not in content and str(tmp_path) not in content
    for source in shown:
        note = nbformat.read(target / source.name, as_version=4).cells[1].source
        assert (EXECUTED if source.stem == REPRODUCIBILITY else CAME) in note and build.this_machine() in note
        assert (CAME in note) == (source.stem != REPRODUCIBILITY)
        assert ("no model was trained for it" in note) == (source != also)
    assert len(list(results.glob("0*.csv"))) >= 2 and list(results.glob("02*.checks"))
    assert json.loads((tmp_path / "editions/smoke" / DIGESTS).read_text(encoding="utf-8")).keys() == {PACK}

    with drawing(for_slides=False):
        assert fitting([also], pages, of, results, lab.store.root) == [also]
        assert fitting([also], pages, "0" * 16, results, lab.store.root) == [], "another study"
