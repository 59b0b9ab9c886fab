"""The metadata of a built book is an RO-Crate: whole by the standard's rules, and true to files, edition and store."""

import json
from datetime import datetime
from pathlib import Path
from urllib.parse import unquote

import nbformat
import pandas as pd
import pytest

from w2s_lib.book import crate
from w2s_lib.lab import Lab
from w2s_lib.study import Study
from w2s_lib.study.edition import load


def refs(value: object) -> list[str]:
    """What a property refers to."""
    if isinstance(value, dict):
        return [value["@id"]] if "@id" in value else []
    return [ref for one in value for ref in refs(one)] if isinstance(value, list) else []


def faults(folder: Path) -> list[str]:
    """Rules of RO-Crate 1.1 and of Process Run Crate 0.5 that a crate breaks, where they say MUST."""
    told = json.loads((folder / crate.METADATA).read_text(encoding="utf-8"))
    entities = {entity["@id"]: entity for entity in told["@graph"]}
    found = [] if told["@context"] == "https://w3id.org/ro/crate/1.1/context" else ["another context"]
    found += ["an entity twice"] if len(entities) < len(told["@graph"]) else []
    kinds = {name: entity["@type"] for name, entity in entities.items()}
    found += [f"{name} has no type" for name, kind in kinds.items() if not kind]
    about, root = entities.get(crate.METADATA, {}), entities.get("./", {})
    if about.get("about") != {"@id": "./"} or about.get("conformsTo") != {"@id": "https://w3id.org/ro/crate/1.1"}:
        found.append("no descriptor")
    found += [
        f"the root has no {name}" for name in ("name", "description", "datePublished", "license") if name not in root
    ]
    datetime.fromisoformat(root.get("datePublished", "2026-01-01"))
    parts = refs(root.get("hasPart", []))
    for name, entity in entities.items():
        if kinds[name] == "File":
            found += [f"{name} is no part"] if name not in parts else []
            path = folder / unquote(name)
            found += [f"{name} is not there"] if not path.is_file() else []
            sized = path.is_file() and entity["contentSize"] == str(path.stat().st_size)
            found += [f"{name} has another size"] if path.is_file() and not sized else []
        for key, value in entity.items():
            lost = [r for r in refs(value) if r not in entities and not r.startswith("https://w3id.org/ro/crate")]
            found += [f"{name}: {key} leads nowhere"] if lost else []
    for name in refs(root.get("mentions", [])):
        if kinds[name] == "CreateAction" and kinds.get(*refs(entities[name].get("instrument", [])), None) is None:
            found.append(f"{name} has no instrument")
    return found


@pytest.fixture(scope="module")
def lab() -> Lab:
    """The preview's: its runs come with the project."""
    from w2s_lib.book.chapter import open_lab

    return open_lab(None, 0, load("preview"))


@pytest.fixture
def folder(lab, tmp_path) -> Path:
    """A crate of real runs, beside pages that are none."""
    (tmp_path / "_sources" / "notebooks").mkdir(parents=True)
    cell = nbformat.v4.new_markdown_cell("# A tour\n\nHere.")
    nbformat.write(nbformat.v4.new_notebook(cells=[cell]), tmp_path / "_sources" / "notebooks" / "01_tour.ipynb")
    for name in ("index.html", *crate.DATA_FILES):
        (tmp_path / name).touch()
    crate.write_crate(tmp_path, load("preview"), lab.records(Study(load("preview")).runs()))
    return tmp_path


def change(folder: Path, do) -> None:
    told = json.loads((folder / crate.METADATA).read_text(encoding="utf-8"))
    do(told, {entity["@id"]: entity for entity in told["@graph"]})
    (folder / crate.METADATA).write_text(json.dumps(told), encoding="utf-8")


def entities(folder: Path) -> dict[str, dict]:
    told = json.loads((folder / crate.METADATA).read_text(encoding="utf-8"))
    return {entity["@id"]: entity for entity in told["@graph"]}


def test_a_crate_breaks_no_rule(folder):
    assert not faults(folder)


@pytest.mark.parametrize(
    ("harm", "says"),
    [
        (lambda told, by: told["@graph"].remove(by["./"]), "the root has no name"),
        (lambda told, by: by["./"].pop("license"), "the root has no license"),
        (lambda told, by: by["./"]["hasPart"].pop(), "is no part"),
        (lambda told, by: told["@graph"].append(by["index.html"]), "an entity twice"),
        (lambda told, by: told["@graph"].remove(by["#parameter-seeds"]), "#build: object leads nowhere"),
        (lambda told, by: by["#build"].pop("instrument"), "#build has no instrument"),
        (lambda told, by: by["results.csv"].update({"@id": "gone.csv"}), "gone.csv is not there"),
    ],
)
def test_a_broken_rule_is_found(folder, harm, says):
    change(folder, harm)
    assert any(says in fault for fault in faults(folder)), faults(folder)


def test_a_page_that_was_changed_is_weighed_again(folder):
    (folder / "index.html").write_text("with a switch", encoding="utf-8")
    assert faults(folder) == ["index.html has another size"]
    before = entities(folder)
    crate.weigh(folder)
    assert not faults(folder) and {k: v for k, v in entities(folder).items() if v != before[k]}.keys() == {"index.html"}


def test_it_says_what_the_records_and_the_edition_say(folder, lab):
    by, edition = entities(folder), load("preview")
    records = lab.records(Study(edition).runs())
    assert len(records) > 50
    for record in records[::20]:
        run = by[f"#run-{record['key']}"]
        took = datetime.fromisoformat(run["endTime"]) - datetime.fromisoformat(run["startTime"])
        assert abs(took.total_seconds() - record["seconds"]) < 1.1 and run["description"] == record["hardware"]
        software = by[run["instrument"]["@id"]]
        assert {by[ref]["name"]: by[ref]["softwareVersion"] for ref in refs(software["softwareRequirements"])} == (
            record["versions"]
        )
    assert json.loads(by["#parameter-seeds"]["value"]) == list(edition.seeds)
    assert by["_sources/notebooks/01_tour.ipynb"]["name"] == "A tour"
    assert {f"#{record['key']}" for record in records} <= set(refs(by["#build"]["object"]))


def test_the_built_book_is_a_crate_of_its_own_runs(build_folder):
    html = build_folder / "book" / "html"
    assert not faults(html)
    by, keys = entities(html), set(" ".join(pd.read_csv(html / "runs.csv", dtype="str")["run_keys"]).split())
    smoke = {run.key for run in Study(load("smoke")).runs()}
    assert keys & smoke and all(f"#run-{key}" in by for key in keys & smoke), "each run behind a row of this edition"
    chained = [run for name, run in by.items() if name.startswith("#run-") and run["object"]]
    assert chained and all(ref in by for run in chained for ref in refs(run["object"]))
    assert {name for name in by if name.endswith(".ipynb")} == {
        path.relative_to(html).as_posix() for path in (html / "_sources" / "notebooks").glob("*.ipynb")
    }
