"""A built book as a research object: what lies in it, its parameters, and every run behind it, as RO-Crate 1.1.

``ro-crate-metadata.json`` beside the pages makes their folder, and the zip of a release, a crate that can be read
without this project.  It is a projection of the store: each run is an action with what it started from, the code and
the versions that it went through, and when (the profile *Process Run Crate*).

Source: https://www.researchobject.org/ro-crate/specification/1.1/
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import yaml

from w2s_lib import digests
from w2s_lib.lab.provenance import code, hardware, versions
from w2s_lib.lab.store import replacing
from w2s_lib.study.edition import Edition

METADATA = "ro-crate-metadata.json"
STANDARD = "https://w3id.org/ro/crate/1.1"
PROFILE = "https://w3id.org/ro/wfrun/process/0.5"
MEDIA_TYPES = {
    ".csv": "text/csv",
    ".json": "application/json",
    ".ipynb": "application/x-ipynb+json",
    ".html": "text/html",
}
DATA_FILES = {
    "results.csv": "All statistics of this build, one row each, with intervals",
    "results_by_seed.csv": "The same rows study seed by study seed",
    "runs.csv": "The keys of the runs behind each row",
    "book.json": "All parameters of the edition",
}
"""Files of a built book that are data, and what they hold."""

Entity = dict[str, Any]


def write_crate(html: Path, edition: Edition, records: Sequence[dict]) -> None:
    """Write the metadata of a built book beside its pages; ``records`` as of ``Lab.records``."""
    cited = yaml.safe_load((Path(__file__).parents[2] / "CITATION.cff").read_text(encoding="utf-8"))
    _write(html, {"@context": f"{STANDARD}/context", "@graph": graph(html, edition, records, cited)})


def weigh(html: Path) -> None:
    """Correct the sizes of files that were changed since the metadata were written; a book without them stays so."""
    if (html / METADATA).is_file():
        told = json.loads((html / METADATA).read_text(encoding="utf-8"))
        for entity in told["@graph"]:
            if "contentSize" in entity:
                entity["contentSize"] = str((html / entity["@id"]).stat().st_size)
        _write(html, told)


def _write(html: Path, told: dict) -> None:
    with replacing(html / METADATA) as path:
        path.write_text(json.dumps(told, ensure_ascii=False, indent=1), encoding="utf-8")


def graph(html: Path, edition: Edition, records: Sequence[dict], cited: dict) -> list[Entity]:
    """All entities of the crate: the book, its files, who is to be cited, parameters, software, runs."""
    files, fields = list(_files(html)), edition.model_dump(mode="json")
    text = lambda value: value if isinstance(value, str) else json.dumps(value)
    about = {name: {"@id": f"#parameter-{name}", "@type": "PropertyValue", "name": name} for name in fields}
    told = [about[name] | {"value": text(value)} for name, value in fields.items()]
    software: dict[str, Entity] = {}
    there = {record["key"] for record in records}
    made = [entity for record in records for entity in _run(record, there, software)]
    results = [entity for entity in made if entity["@type"] == "CreativeWork"]
    now = datetime.now(UTC).isoformat(timespec="seconds")
    build = {"@id": "#build", "@type": "CreateAction", "name": f"Build of the book, edition {edition.name}"}
    build |= {"instrument": _ref(_software({"code": code(), "versions": versions()}, software)), "endTime": now}
    build |= {"description": hardware(), "object": _refs([*told, *results]), "result": _refs(files)}
    actions = [build, *(entity for entity in made if entity["@type"] == "CreateAction")]
    names = [one["name"] for one in cited["authors"]]
    authors = [{"@id": f"#author-{n}", "@type": "Organization", "name": name} for n, name in enumerate(names)]
    paper, licence = cited["references"][0], f"https://spdx.org/licenses/{cited['license']}"
    root = {"@id": "./", "@type": "Dataset", "name": f"{cited['title']}, edition {edition.name}"}
    root |= {"description": f"A built book with its results: {edition.title}.", "datePublished": now}
    root |= {"version": cited["version"], "keywords": ", ".join(cited["keywords"]), "license": {"@id": licence}}
    root |= {"author": _refs(authors), "citation": {"@id": paper["url"]}, "conformsTo": {"@id": PROFILE}}
    root |= {"mainEntity": {"@id": "index.html"}, "hasPart": _refs(files), "mentions": _refs(actions)}
    return [
        {"@id": METADATA, "@type": "CreativeWork", "about": {"@id": "./"}, "conformsTo": {"@id": STANDARD}},
        root,
        {"@id": PROFILE, "@type": "CreativeWork", "name": "Process Run Crate", "version": "0.5"},
        {"@id": licence, "@type": "CreativeWork", "name": f"{cited['license']} licence", "identifier": licence},
        {"@id": paper["url"], "@type": "ScholarlyArticle", "name": paper["title"], "datePublished": str(paper["year"])},
        *authors,
        *files,
        *told,
        *software.values(),
        *made,
        build,
    ]


def _ref(entity: Entity) -> Entity:
    return {"@id": entity["@id"]}


def _refs(entities: Iterable[Entity]) -> list[Entity]:
    return [_ref(entity) for entity in entities]


def _files(html: Path) -> Iterator[Entity]:
    """The book's first page, its data, its notebooks as readers download them."""
    first = lambda path: json.loads(path.read_bytes())["cells"][0]["source"]  # a notebook as such takes long to read
    title = lambda path: "".join(first(path)).splitlines()[0].lstrip("# ")
    named = {html / "index.html": "The book"} | {html / name: says for name, says in DATA_FILES.items()}
    named |= {path: title(path) for path in sorted((html / "_sources" / "notebooks").glob("*.ipynb"))}
    for path, says in named.items():
        about = {"@id": path.relative_to(html).as_posix(), "@type": "File", "name": says}
        yield about | {"encodingFormat": MEDIA_TYPES[path.suffix], "contentSize": str(path.stat().st_size)}


def _software(record: dict, known: dict[str, Entity]) -> Entity:
    """What a run went through, by its record: the library's code, and the versions under it; each once."""
    told = dict(sorted(record.get("versions", {}).items()))
    parts = [
        {"@id": f"#{name}-{version}", "@type": "SoftwareApplication", "name": name, "softwareVersion": version}
        for name, version in told.items()
    ]
    made_by = record.get("code")
    name = f"#w2s_lib-{digests.digest(json.dumps([made_by, told]))}"
    about = {"@id": name, "@type": "SoftwareApplication", "name": "w2s_lib", "softwareRequirements": _refs(parts)}
    about |= {"softwareVersion": f"code {made_by}" if made_by else "of before records named the code"}
    known |= {entity["@id"]: entity for entity in (about, *parts)}
    return about


def _run(record: dict, there: set[str], software: dict[str, Entity]) -> tuple[Entity, Entity]:
    """A run, which begins with results that are ``there``, and its own, which the store keeps under its key."""
    key, ended = record["key"], datetime.fromisoformat(record["finished"])
    result = {"@id": f"#{key}", "@type": "CreativeWork", "name": f"Result of: {record['what']}", "identifier": key}
    run = {"@id": f"#run-{key}", "@type": "CreateAction", "name": record["what"], "result": _ref(result)}
    run |= {"object": [{"@id": f"#{parent}"} for parent in record.get("parents", []) if parent in there]}
    run |= {"instrument": _ref(_software(record, software)), "description": record["hardware"]}
    run |= {"startTime": (ended - timedelta(seconds=record["seconds"])).isoformat(timespec="seconds")}
    run |= {"endTime": record["finished"]}
    return run, result
