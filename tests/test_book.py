"""The built book: whole, and honest about its numbers."""

import json
import os
import posixpath
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import tomllib
from concurrent.futures.process import BrokenProcessPool
from html import unescape
from pathlib import Path

import nbformat
import numpy as np
import pandas as pd
import psutil
import pytest
import yaml
from jupyter_client.manager import KernelManager
from PIL import Image
from pybtex.database import parse_string

from tests.conftest import build_command, of_few_chapters, pages
from w2s_lib.book import build, copies
from w2s_lib.book.build import (
    KERNEL,
    LONGEST_CHAPTERS,
    NOT_SHIPPED,
    BuildError,
    announced,
    keep_figures,
    left_out,
    longest_first,
    main,
    notebook_paths,
    notebook_processes,
    page_key,
    polish,
    read_by,
    render_book,
    run_notebook,
    stand_in,
    studied,
    without_docstrings,
)
from w2s_lib.findings.claims import CLAIMS, on_real_texts
from w2s_lib.findings.provable import SHORTEST
from w2s_lib.findings.real_replies import OTHERS
from w2s_lib.findings.record import ROW
from w2s_lib.findings.results import ALL, BY_SEED, COLUMNS, NAMES, OPTIONS, read_results, rows_with, usual
from w2s_lib.findings.statistics import STATISTICS
from w2s_lib.lab import Lab
from w2s_lib.lab.graph import closure
from w2s_lib.lab.store import versions
from w2s_lib.specs import SAMPLERS
from w2s_lib.study import Study
from w2s_lib.study.conditions import CONDITIONS
from w2s_lib.study.edition import FOLDER, load
from w2s_lib.study.methods import VARIANTS
from w2s_lib.study.mitigations import EXAMPLE, MITIGATIONS

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def results(html) -> pd.DataFrame:
    return read_results(html / "results.csv")


@pytest.fixture(scope="session")
def runs(html) -> pd.DataFrame:
    return pd.read_csv(html / "runs.csv", dtype="str")


def test_every_page_of_the_contents_exists(html):
    contents = (ROOT / "book" / "_toc.yml").read_text(encoding="utf-8")
    names = [*re.findall(r"file: (\S+)", contents), "index"]
    assert all((html / f"{name}.html").is_file() for name in names)


@pytest.fixture(scope="module")
def seed_rows(html):
    return read_results(html / "results_by_seed.csv")


def test_rows_by_seed_say_what_the_rows_say(results, seed_rows):
    assert list(seed_rows.columns) == list(BY_SEED)
    told = seed_rows.groupby(["edition", *ROW], dropna=False)["value"].mean().rename("mean").reset_index()
    both = results.merge(told, how="left", on=["edition", *ROW])
    powers = both["statistic"].str.startswith("power_of_")
    assert len(both) == len(results) and both.loc[~powers & both["value"].notna(), "mean"].notna().all()
    np.testing.assert_allclose(both["mean"][~powers], both["value"][~powers], atol=1e-12)


def test_the_ledger_asks_real_texts_the_same(html):
    results = read_results(html / "results.csv")
    told = on_real_texts(results[results["chapter"] == "15_real_models_and_data"]).set_index("claim")
    assert {"C1", "N1", "N2", "N7"} <= set(told.index), "asked of frozen layers"
    assert told.loc["N4", "value"] < 0 < told.loc["N12", "value"], "helpful pairs, and longer replies, of one edition"
    assert on_real_texts(results[results["edition"] == "smoke"]).empty
    there = results.query("chapter == '15_real_models_and_data' and edition == 'hh-smol' and weak == 'all'")
    plain = "condition == 'explicit' and versus == '' and ceiling == '' and subset == ''"
    (score,) = there.query(f"statistic == 'excess_margin_matched' and {plain}").itertuples()
    (tax,) = there.query("statistic == 'conflict_tax' and versus == 'gold_rerun'").itertuples()
    assert (score.low, score.high) == tuple(told.loc["N1", ["low", "high"]]) and tax.value == told.loc["N7", "value"]
    on_the_page = dict(
        ledger_column((html / "notebooks" / "14_claims.html").read_text(encoding="utf-8"), "on real texts")
    )
    assert set(on_the_page) == set(CLAIMS)
    assert (on_the_page["N1"] == "holds") == (score.low > 0 and score.high >= 0.05), "above, by 0.05"
    assert (on_the_page["N7"] == "holds") == (tax.low <= 0 and tax.high < 0.01), "no more, by 0.01"
    assert {key for key, says in on_the_page.items() if says} == set(told.index), "the others are not asked there"


def test_the_ledger_says_which_verdicts_hold_on_real_texts(html):
    """Three lists, by the words of the ledger's own columns; the landing page counts and names the same."""
    page = (html / "notebooks" / "14_claims.html").read_text(encoding="utf-8")
    here, there = (dict(ledger_column(page, column)) for column in ("verdict", "on real texts"))
    nothing = {"undecided at this size", "cannot be told here", "not yet tested here"}
    asked = [key for key, says in there.items() if says and CLAIMS[key].can_fail]
    told = {
        key: "cannot be told" if {here[key], there[key]} & nothing
        else "holds" if here[key] == there[key] else "does not"
        for key in asked
    }  # fmt: skip
    (table,) = [table for table in re.findall(r"<table.*?</table>", page, re.DOTALL) if ">on HH-RLHF<" in table]
    rows = [re.findall(r"<td[^>]*>(.*?)</td>", row, re.DOTALL) for row in table.split("<tr")[2:]]
    listed = {row[1].strip(): row[0].strip() for row in rows}
    told |= {key: listed[key] for key in asked if CLAIMS[key].rule == "absent" and told[key] == "holds"}  # signs decide
    assert listed == told and len(rows) == len(told) > 5
    landing = " ".join((html / "index.html").read_text(encoding="utf-8").split())
    assert f"Of {len(told)} verdicts that can be asked for on real texts, " in landing
    for name, says in (("holds", "hold"), ("does not", "do not"), ("cannot be told", "cannot be told")):
        keys = [key for key in there if told.get(key) == name]
        assert not keys or f"{len(keys)} {says} ({', '.join(keys)})" in landing


def ledger_column(page: str, column: str) -> list[tuple[str, str]]:
    """Claims and what a column of the ledger's tables says of each, in plain text."""
    found, plain = [], lambda cell: re.sub("<[^>]+>", "", cell).strip()
    for table in re.findall(r'<table[^>]*class="[^"]*ledger[^"]*".*?</table>', page, re.DOTALL):
        heads, *rows = (re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row, re.DOTALL) for row in table.split("<tr")[1:])
        if column in (named := [plain(head) for head in heads]):
            found += [(plain(row[0]), plain(row[named.index(column)])) for row in rows]
    return found


def test_results_csv_is_tidy(results):
    assert list(results.columns) == list(COLUMNS)
    assert set(results["method"]) == {
        "reward_model",
        "dpo",
        "simpo",
        "search",
        "guide",
        "frozen_head",
        *VARIANTS,
        *SAMPLERS,
        SHORTEST,
        *OTHERS,
        "judge",
    }
    wanted = {
        "accuracy",
        "pgr",
        "conflict_tax",
        "net_change",
        "deception_score",
        "null_random",
        "null_margin_matched",
        "facts_known",
    }
    assert wanted <= set(results["statistic"])
    assert set(CONDITIONS) - {"gold"} <= set(results["condition"]), "gold is a baseline only"
    told = results[results["low"].notna()]
    outside = ~told["value"].between(told["low"] - 1e-12, told["high"] + 1e-12)
    assert set(told.loc[outside, "statistic"]) <= {"pgr"}, "a ratio, over a gap that may be next to nothing"
    assert not results.duplicated(["edition", "chapter", *NAMES]).any()
    for option in OPTIONS:
        assert (results[option] == "").any() and (results[option] != "").any(), (
            option,
            "is used, and empty where a row is as usual",
        )


def test_every_row_names_its_runs_in_a_file_of_their_own(html, results, runs, build_folder):
    assert list(runs.columns) == ["runs", "run_keys"] and runs["runs"].is_unique and runs["run_keys"].is_unique
    assert set(results["runs"]) - {""} == set(runs["runs"]), "each row's are there, and no others"
    assert set(results.loc[results["runs"] == "", "chapter"]) == {"20_provable"}, "which trains nothing"
    assert runs["run_keys"].str.fullmatch(r"[0-9a-f]{16}( [0-9a-f]{16})*").all()
    text, every = (html / "results.csv").read_text(encoding="utf-8"), set(" ".join(runs["run_keys"]).split())
    assert len(every) > 100 and not any(key in text for key in every), "keys would be most of the file"
    smoke = results[(results["edition"] == "smoke") & (results["statistic"] == "conflict_tax")]
    keys = set(" ".join(smoke.merge(runs, on="runs")["run_keys"]).split())
    lab = Lab(build_folder / "store", workers=0, progress=False)
    assert keys and keys <= {run.key for run in closure(Study(load("smoke")).runs()) if lab.store.has(run)}, (
        "keys of runs that the store has"
    )


DICTIONARY = ROOT / "book" / "results.md"


def dictionary() -> dict[str, dict[str, set[str]]]:
    """What the page *What results.csv holds* names: section → what a row of its table is about → what else that row
    names."""
    sections = re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", DICTIONARY.read_text(encoding="utf-8"), re.M | re.S)
    tables = {title: re.findall(r"^\| (`.+?) \| (.+) \|$", text, re.M) for title, text in sections}
    named = lambda text: re.findall(r"`([^`]+)`", text)
    return {
        title: {name: set(named(said)) for about, said in table for name in named(about)}
        for title, table in tables.items()
    }


def test_the_page_on_the_file_has_every_column_and_no_other(results, runs, seed_rows):
    *columns, measures = dictionary().values()
    assert len(columns) == 5 and len(measures) > 40
    told = [name for table in columns for name in table]
    assert sorted(told) == sorted({*results.columns, *runs.columns, *seed_rows.columns})


def test_the_page_on_the_file_tells_nothing_twice():
    told = [
        name
        for about in re.findall(r"^\| (`.+?) \|", DICTIONARY.read_text(encoding="utf-8"), re.M)
        for name in re.findall(r"`([^`]+)`", about)
    ]
    assert len(told) > 70 and [name for name in told if told.count(name) > 1] == []


@pytest.mark.parametrize("option", ["method", "condition", *OPTIONS])
def test_the_page_on_the_file_names_every_value_and_no_other(results, option):
    told = {name: said for table in dictionary().values() for name, said in table.items()}[option]
    elsewhere = {"condition": CONDITIONS, "mitigation": MITIGATIONS}
    there = set(results[option]) - {""}
    if option == "via":
        assert there <= set(load("smoke").models) and not told
    elif option in elsewhere:
        assert told == {f"w2s_lib.study.{option}s"} and there <= set(elsewhere[option])
    else:
        assert told == there


def test_the_page_on_the_file_names_every_measure_and_no_other(results):
    measures = list(dictionary().values())[-1]
    patterns = [re.sub(r"<\w+>", "[^_]+", name) for name in measures]
    there = set(results["statistic"])
    assert [name for name in there if sum(bool(re.fullmatch(pattern, name)) for pattern in patterns) != 1] == []
    known = there | set(STATISTICS)
    assert [pattern for pattern in patterns if not any(re.fullmatch(pattern, name) for name in known)] == []
    assert set.union(*measures.values()) <= there | set(STATISTICS) | set(OPTIONS), "what a measure is explained by"


def test_the_page_on_the_file_shows_how_to_read_it(html, results, monkeypatch):
    monkeypatch.chdir(html)
    code, by_seed = re.findall(r"```python\n(.*?)```", DICTIONARY.read_text(encoding="utf-8"), re.S)
    *lines, last = code.strip().splitlines()
    names: dict = {}
    exec("\n".join(lines), names)
    found = eval(last, names)
    exec(by_seed, names)
    assert len(names["again"]) == len(names["of_chapter"])
    stable = rows_with(
        results,
        chapter="07_nulls_and_controls",
        subset="stable",
        statistic="excess_margin_matched",
        condition="explicit",
    )
    assert [found["value"]] == pytest.approx(stable["value"].tolist(), nan_ok=True)
    plain = DICTIONARY.read_text(encoding="utf-8")
    assert "empty from `on` to `per` and from `objective` to `sft`" in plain
    between = [
        *COLUMNS[COLUMNS.index("on") : COLUMNS.index("per") + 1],
        *COLUMNS[COLUMNS.index("objective") : COLUMNS.index("sft") + 1],
    ]
    assert tuple(between) == OPTIONS


def test_the_ledger_on_the_page_reads_the_rows_of_the_file(html, results):
    page = (html / "notebooks" / "14_claims.html").read_text(encoding="utf-8")
    for claim in CLAIMS.values():
        rows = rows_with(usual(results, weak=ALL, **claim.names), chapter=claim.chapter)
        ((_, row),) = rows.iterrows()
        bounds = "" if pd.isna(row["low"]) else f" [{row['low']:.3f}, {row['high']:.3f}]"
        number = "–" if pd.isna(row["value"]) else f"{row['value']:.3f}{bounds}"
        cells = r"</td>\s*<td[^>]*>".join((f"<a[^>]*>{claim.key}</a>", "[^<]*", re.escape(number)))
        assert re.search(rf"<td[^>]*>{cells}</td>", page), claim.key
    assert "verdict" in (html / "index.html").read_text(encoding="utf-8")


def test_pages_say_what_the_file_says(html, results):
    taxes = usual(results, chapter="05_conflict_tax_deception", statistic="conflict_tax", condition="rerun", weak=ALL)
    ((_, row),) = taxes.iterrows()
    text = f"{100 * row['value']:.1f} % [{100 * row['low']:.1f}, {100 * row['high']:.1f}]"
    for page in ("index.html", "notebooks/05_conflict_tax_deception.html"):
        assert text in (html / page).read_text(encoding="utf-8"), page


def test_no_key_is_left_unglued(html):
    for page in pages(html):
        text = page.read_text(encoding="utf-8")
        assert "glue:text" not in text and "Unknown" not in text, page.name


def test_no_name_stands_twice_on_a_page(html):
    for page in pages(html):
        names = re.findall(r'\sid="([^"]+)"', page.read_text(encoding="utf-8"))
        assert len(names) == len(set(names)), (page.name, {name for name in names if names.count(name) > 1})


def test_docstrings_stand_on_the_pages_as_they_are_written(html):
    api = "".join(path.read_text(encoding="utf-8") for path in (html / "api").glob("*.html"))
    assert 'Type<span class="colon">' not in api and "Alias for field number" not in api
    assert "Of results_by_seed.csv, and of the record: what each row" in re.sub("<[^>]+>", "", api)


def test_figures_have_alt_texts(html):
    count = 0
    for page in pages(html):
        for image in re.findall(r"<img[^>]*_images/[^>]*>", page.read_text(encoding="utf-8")):
            assert re.search(r'alt="[^"]{60,}"', image), (page.name, image[:200])
            count += 1
    assert count >= 12


def test_no_sentence_counts_one_as_many_or_says_nan(html):
    """Of one seed and one pair a smoke edition is made; where nothing is known, words say so."""
    broken = re.compile(r"\b1 (?:seeds|(?:[\w–-]+ )?pairs|students|reruns)\b|\bnan\b")
    for page in pages(html):
        text = page.read_text(encoding="utf-8")
        shown = re.sub(r"<(pre|script|style|dt)\b.*?</\1>", "", text, flags=re.DOTALL)
        said = [unescape(re.sub("<[^>]+>", " ", shown)), *map(unescape, re.findall(r'\balt="([^"]*)"', text))]
        told = [" ".join(text[max(0, hit.start() - 40) : hit.end() + 40].split()) for text in said
                for hit in broken.finditer(text)]  # fmt: skip
        assert not told, (page.name, told)


def test_parameter_cells_are_hidden_and_the_table_is_folded(html):
    text = (html / "notebooks" / "05_conflict_tax_deception.html").read_text(encoding="utf-8")
    assert "<summary>Parameters of this run: smoke, seeds 7" in text and "None: the edition" not in text


def test_no_paragraph_carries_more_than_two_intervals(build_folder):
    """The others stand in tables, or have a paragraph of their own; exercises may ask for as many as they like."""
    too_many = []
    for path in (build_folder / "book" / "source" / "notebooks").glob("*.ipynb"):
        notebook = nbformat.read(path, as_version=4)
        told = copies.glued(notebook.cells)
        prose = "\n\n".join(c.source for c in notebook.cells if c.cell_type == "markdown").partition("\n## Exercises")[
            0
        ]
        for paragraph in re.split(r"\n\s*\n|\n(?=[-*] |\d+\. )", prose):
            said = copies.NUMBER.sub(lambda found: told.get(found[2], ""), paragraph)
            if not paragraph.startswith("|") and len(re.findall(r"\[-?[\d.]+, -?[\d.]+\]", said)) > 2:
                too_many.append((path.stem, said))
    assert not too_many


def test_solutions_are_folded_on_every_page(html):
    """And so on paper: what is printed opens none."""
    told = "".join(page.read_text(encoding="utf-8") for page in pages(html))
    assert {*re.findall(r'<div class="(solution [^"]*)"', told)} == {"solution dropdown admonition"}


def test_solutions_were_executed(build_folder):
    for source in notebook_paths():
        executed = nbformat.read(build_folder / "book" / "source" / "notebooks" / source.name, as_version=4)
        checks = [c for c in executed.cells if c.cell_type == "code" and re.search(r"^check\(", c.source, re.M)]
        assert all("✓ right" in json.dumps(c.outputs, ensure_ascii=False) for c in checks)


def test_executed_notebooks_carry_no_path_of_this_machine(build_folder):
    """Neither what pages show nor what readers download."""
    made, downloads = (build_folder / "book" / folder for folder in ("source/notebooks", "html/_sources/notebooks"))
    assert {path.name for path in made.glob("*.ipynb")} == {path.name for path in downloads.glob("*.ipynb")}
    for path in (*made.glob("*.ipynb"), *downloads.glob("*.ipynb")):
        text = path.read_text(encoding="utf-8")
        assert "papermill" not in nbformat.reads(text, as_version=4).metadata
        assert str(ROOT) not in text and str(build_folder) not in text, path.name


@pytest.mark.parametrize("name", [path.stem for path in notebook_paths()])
def test_a_download_has_the_books_edition_and_nothing_else_of_its_builder(html, name):
    notebook = nbformat.read(html / "_sources" / "notebooks" / f"{name}.ipynb", as_version=4)
    source = nbformat.read(ROOT / "notebooks" / f"{name}.ipynb", as_version=4)
    (injected,) = [c for c in notebook.cells if "injected-parameters" in c.metadata.tags]
    given: dict = {}
    exec(injected.source, given)
    assert {key: value for key, value in given.items() if not key.startswith("__")} == {"edition": "smoke"}
    code = lambda cells: [c.source for c in cells if c.cell_type == "code" and c is not injected]
    assert code(notebook.cells) == code(source.cells)
    prose = "\n".join(c.source for c in notebook.cells if c.cell_type == "markdown")
    assert not re.search(r"\{glue|\{(solution|exercise)|\[\]\(", prose), "numbers, titles and words stand in it"
    bare = nbformat.read(html / "_sources" / "bare" / f"{name}.ipynb", as_version=4)
    assert code(bare.cells) == code(notebook.cells) or injected.source in code(bare.cells)
    assert not any(c.get("outputs") for c in bare.cells)


def test_a_download_runs_as_it_is_in_a_clone(html, build_folder, tmp_path):
    shutil.copytree(build_folder / "store", tmp_path / "store")  # other tests may be training into the shared one
    before = sorted((tmp_path / "store").rglob("record.json"))
    download = html / "_sources" / "notebooks" / "05_conflict_tax_deception.ipynb"
    command = [sys.executable, "-m", "papermill", str(download), str(tmp_path / "out.ipynb")]
    environment = {**os.environ, "W2S_STORE": str(tmp_path / "store"), "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, encoding="utf-8")
    assert done.returncode == 0, done.stderr
    assert "smoke: the smallest pass" in (tmp_path / "out.ipynb").read_text(encoding="utf-8")
    assert sorted((tmp_path / "store").rglob("record.json")) == before, "it reads the clone's store"


def test_machines_find_and_cite_every_page(html):
    told = [
        json.loads(text) for page in pages(html) for text in re.findall(LINKED_DATA, page.read_text(encoding="utf-8"))
    ]
    book, *others = sorted(told, key=lambda data: data["@type"] != "Book")
    assert book["hasPart"][0]["@type"] == "Dataset" and len(book["hasPart"][0]["distribution"]["contentUrl"]) > 5
    assert {data["@type"] for data in others} == {"Chapter", "WebPage"} and len(others) > 30
    for page in (html / "index.html", html / "notebooks" / "05_conflict_tax_deception.html"):
        text = page.read_text(encoding="utf-8")
        for name in ("og:title", "og:description", "og:image", "citation_title", "citation_author", "description"):
            assert re.search(rf'<meta (name|property)="{name}" content="[^"]+" />', text), (page.name, name)
        assert "arxiv.org/abs/2406.11431" in text
    with Image.open(html / "card.png") as card:
        assert card.size == (1200, 630) and {(86, 180, 233), (204, 121, 167)} <= {
            c for _, c in card.convert("RGB").getcolors(10**6)
        }


def test_every_page_says_how_it_is_cited(html):
    keys, others = set(), ("404.html", "genindex.html", "py-modindex.html", "search.html", "index.html")
    for page in (page for page in pages(html) if page.relative_to(html).as_posix() not in others):
        text = page.read_text(encoding="utf-8")
        (bibtex,) = re.findall(r'<details class="cite .*?<pre>(.*?)</pre></div></details>', text, re.DOTALL)
        [(key, entry)] = parse_string(unescape(bibtex), "bibtex").entries.items()
        assert entry.type == "incollection" and {"booktitle", "year", "note"} <= set(entry.fields) and key not in keys
        assert unescape(re.search("<title>(.*?)</title>", text)[1]).startswith(f"{entry.fields['title']} —"), key
        assert entry.persons["author"] and not re.search(r"[&%#$_]", entry.fields["title"]), "LaTeX reads it"
        keys.add(key)
    assert len(keys) > 60


SITE, REPOSITORY = "https://book.example/w2s/", "https://code.example/w2s"


@pytest.fixture(scope="module")
def published(build_folder, tmp_path_factory) -> Path:
    """Three pages of a preview, rendered by those who know where they will lie, and where the source does."""
    output, source = tmp_path_factory.mktemp("published"), build_folder / "book" / "source"
    left = shutil.ignore_patterns("*.md", "notebooks", "teaching", "api", "figures")
    copy = shutil.copytree(source, output / "source", ignore=left)
    (copy / "notes").mkdir()
    for page in ("index", "one", "notes/two"):
        (copy / f"{page}.md").write_text(f"# The page {page}\n\nWhat it says.\n", encoding="utf-8")
    contents = {"root": "index", "parts": [{"caption": "All", "chapters": [{"file": "one"}, {"file": "notes/two"}]}]}
    (copy / "_toc.yml").write_text(json.dumps({"format": "jb-book", **contents}), encoding="utf-8")
    (copy / "redirects.yml").write_text("was/one: one\n", encoding="utf-8")
    (copy / build.BOOK).write_text(json.dumps({"edition": {"record_of": "world"}}), encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("W2S_SITE", SITE.rstrip("/"))
        patch.setenv("W2S_REPOSITORY", REPOSITORY)
        return render_book(copy, output)


def test_pages_name_their_address_and_where_the_source_lies_and_those_of_a_preview_say_so(published):
    for page in ("index", "one", "notes/two"):
        text, address = (published / f"{page}.html").read_text(encoding="utf-8"), f"{SITE}{page}.html"
        assert re.findall(r'<link rel="canonical" href="([^"]+)"', text) == [address]
        assert (
            f'property="og:image" content="{SITE}card.png"' in text and f'property="og:url" content="{address}"' in text
        )
        assert f"url = {{{address}}}" in text or page == "index"
        foot = text[text.index("The paper examined") :]
        assert f'<a href="{REPOSITORY}">Source</a>' in foot and f"git clone {REPOSITORY}" in foot
        assert "A preview, made from one study seed: <code>make book EDITION=world</code>" in text
    addresses = re.findall("<loc>(.*?)</loc>", (published / "sitemap.xml").read_text(encoding="utf-8"))
    assert sorted(addresses) == [f"{SITE}{page}.html" for page in ("index", "notes/two", "one")]
    assert f"Sitemap: {SITE}sitemap.xml" in (published / "robots.txt").read_text(encoding="utf-8")
    assert 'url=../one.html"' in (published / "was" / "one.html").read_text(encoding="utf-8")


def test_the_page_for_what_is_not_found_is_whole_at_any_address(published):
    text = (published / "404.html").read_text(encoding="utf-8")
    assert re.findall(r'(?:href|src)="([^"]*)"', text)[0] == f"{SITE}404.html" and text.count("<base ") == 1


def test_every_page_is_there_as_markdown(html):
    contents = (html / "llms.txt").read_text(encoding="utf-8")
    linked = re.findall(r"\]\(([^)]+\.md)\)", contents)
    assert len(linked) == len(set(linked)) > 40
    for path in linked:
        text = (html / path).read_text(encoding="utf-8")
        assert text.startswith(("# ", "(")) and "{glue" not in text, path


def test_old_addresses_lead_to_new_pages(html):
    moved = yaml.safe_load((ROOT / "book" / "redirects.yml").read_text(encoding="utf-8"))
    for old in moved:
        page = html / f"{old}.html"
        (to,) = re.findall(r'url=([^"]+)"', page.read_text(encoding="utf-8"))
        assert (page.parent / to).is_file()
    lost = (html / "404.html").read_text(encoding="utf-8")
    assert (
        all((html / path).is_file() for path in re.findall(r'<li><a href="([^"]+)">', lost)) and "no such page" in lost
    )


@pytest.fixture
def named(tmp_path, monkeypatch):
    """A page's name, its notebook, and a copy of the editions that may be written to."""
    shutil.copytree(FOLDER, tmp_path / "editions")
    monkeypatch.setattr("w2s_lib.book.build.FOLDER", tmp_path / "editions")
    source = tmp_path / "01_x.ipynb"
    source.write_text("{}", encoding="utf-8")
    return lambda study=None: page_key(source, studied(study or Study(load("smoke")))), source, tmp_path / "editions"


def test_a_page_is_named_by_its_source_and_its_parameters(named):
    name, source, _ = named
    key = name()
    assert key == name() != name(Study(load("smoke", {"threshold": 0.6})))
    source.write_text("{ }", encoding="utf-8")
    assert key != name()


@pytest.mark.parametrize("file", ["paper.yaml", "hh-smol.yaml", "hh-smol/records.parquet"])
def test_a_page_is_named_by_every_edition_and_what_comes_with_it(named, file):
    """Chapter 15 reads four editions beside its own."""
    name, _, editions = named
    key = name()
    (editions / file).write_bytes((editions / file).read_bytes() + b"\n")
    assert key != name()


@pytest.mark.parametrize(
    ("chapter", "file"),
    [("22_play", "notebooks/05_conflict_tax_deception.ipynb"), ("26_sealed_challenge", EXAMPLE.relative_to(ROOT))],
)
def test_a_page_is_named_by_what_it_reads_beside_its_study(chapter, file, tmp_path, monkeypatch):
    """Chapter 22 counts what all chapters ask, and chapter 26 explains a submission."""
    shutil.copytree(ROOT / "notebooks", tmp_path / "notebooks", ignore=shutil.ignore_patterns("editions"))
    monkeypatch.setattr("w2s_lib.book.build.ROOT", tmp_path)
    monkeypatch.setattr("w2s_lib.book.build.EXAMPLE", tmp_path / EXAMPLE.relative_to(ROOT))
    keys = lambda: {
        path.stem: page_key(path, "", read_by(path, tmp_path, tmp_path))
        for path in (tmp_path / "notebooks" / f"{name}.ipynb" for name in ("01_tour", chapter))
    }
    before = keys()
    (tmp_path / file).write_bytes((tmp_path / file).read_bytes() + b"\n")
    after = keys()
    assert after[chapter] != before[chapter] and after["01_tour"] == before["01_tour"]


@pytest.mark.parametrize("switch", ["W2S_SHIPPED", "W2S_DATA"])
def test_a_page_is_named_by_the_switches_of_the_environment(named, monkeypatch, switch):
    name, _, _ = named
    monkeypatch.delenv(switch, raising=False)
    key = name()
    monkeypatch.setenv(switch, "no")
    assert key != name()


def test_a_page_is_named_by_the_versions_of_all_pinned_packages(named, monkeypatch):
    name, _, _ = named
    pinned = {
        re.split("[=><]", line)[0]
        for line in tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["dependencies"]
    }
    assert pinned <= set(versions())
    key = name()
    monkeypatch.setattr("w2s_lib.book.build.versions", lambda: versions() | {"scipy": "0.1"})
    assert key != name()


def test_edited_data_and_models_give_another_page(named, tmp_path, folders):
    """The parameters say where they lie, the name says what they hold."""
    name, _, _ = named
    data, model = tmp_path / "my.jsonl", tmp_path / "model"
    rows = [{"prompt": f"p{i}", "chosen": "good", "rejected": "bad"} for i in range(200)]
    data.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    shutil.copytree(folders["gpt2"], model)
    pairs = {
        "models": [f"{model}:1", str(model)],
        "weak_strong_pairs": [f"{model}:1 -> {model}"],
        "train_pairs": 32,
        "test_pairs": 32,
    }
    edition = load("own", pairs | {"data": str(data), "seeds": [1], "chapters": ["05"]})
    key = name(Study(edition))
    assert key == name(Study(edition))
    data.write_text(
        "\n".join(map(json.dumps, [*rows, {"prompt": "p", "chosen": "good", "rejected": "bad"}])), encoding="utf-8"
    )
    other = name(Study(edition))
    assert key != other
    config = json.loads((model / "tokenizer_config.json").read_text(encoding="utf-8"))
    (model / "tokenizer_config.json").write_text(json.dumps(config | {"add_prefix_space": True}), encoding="utf-8")
    assert other != name(Study(edition))


def test_polish_moves_alt_and_caption_and_hides_parameters():
    cell = nbformat.v4.new_code_cell("x = 1", metadata={"tags": ["injected-parameters"]})
    figure = nbformat.v4.new_code_cell("draw()")
    image = {"image/svg+xml": {"alt": "what it shows", "caption": "a caption"}}
    figure.outputs = [
        nbformat.v4.new_output("execute_result", {"image/svg+xml": "<svg/>"}, metadata=image, execution_count=1)
    ]
    notebook = polish(nbformat.v4.new_notebook(cells=[cell, figure]))
    assert "remove-cell" in notebook.cells[0].metadata.tags
    assert notebook.cells[1].metadata.mystnb["image"]["alt"] == "what it shows"
    assert notebook.cells[1].metadata.mystnb["figure"]["caption"] == "a caption"


@pytest.mark.parametrize("edition", ["mine.yaml", "/home/me & you/{editions}/mine.yaml"])
def test_polish_leaves_nothing_of_the_builder(edition):
    """Store, workers, the folder of the edition, and what was said on the way, where paths may stand."""
    source = f"# Parameters\nedition = {edition!r}\nstore = '/root/store'\nworkers = 64\n"
    cell = nbformat.v4.new_code_cell(source, metadata={"tags": ["injected-parameters"]})
    said = nbformat.v4.new_code_cell("run()")
    said.outputs = [nbformat.v4.new_output("stream", name=name, text=name) for name in ("stdout", "stderr")]
    polished = polish(nbformat.v4.new_notebook(cells=[cell, said]), edition).cells
    assert polished[0].source == "# Parameters\nedition = 'mine.yaml'\n"
    assert [output.text for output in polished[1].outputs] == ["stdout"]


def test_kept_figures_can_be_included_by_other_pages(tmp_path):
    cell = nbformat.v4.new_code_cell("draw()", metadata={"tags": ["keep:plane"]})
    image = {"image/svg+xml": {"alt": "what it shows", "caption": "a caption"}}
    cell.outputs = [
        nbformat.v4.new_output("execute_result", {"image/svg+xml": "<svg/>"}, metadata=image, execution_count=1)
    ]
    keep_figures(nbformat.v4.new_notebook(cells=[cell]), tmp_path / "figures")
    assert (tmp_path / "figures" / "plane.svg").read_text(encoding="utf-8") == "<svg/>"
    text = (tmp_path / "figures" / "plane.md").read_text(encoding="utf-8")
    assert text.startswith("```{figure} /figures/plane.svg") and ":alt: what it shows" in text and "a caption" in text


def test_the_landing_page_shows_a_figure_of_this_build(html):
    text = (html / "index.html").read_text(encoding="utf-8")
    assert re.search(r'<img[^>]*alt="Deception score by condition: explicit [^"]*"[^>]*scores-and-nulls.svg', text)


def test_the_landing_page_says_when_it_was_built_and_its_rows_lead_to_their_chapters(html, build_folder):
    text = (html / "index.html").read_text(encoding="utf-8")
    made = json.loads((build_folder / "book" / build.DONE).read_text(encoding="utf-8"))
    assert re.search(
        rf"built on .{{,200}}\d+ \w+ 20\d\d.{{,200}}{re.escape(made['commit'] or 'no commit')}", text, re.S
    )
    source = (ROOT / "book" / "index.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| .*::.*$", source, re.MULTILINE)
    linked = re.findall(r"^\| \[[^]]+\]\(notebooks/(\w+)\.ipynb\).*::", source, re.MULTILINE)
    assert len(rows) == len(linked) > 15
    for row, chapter in zip(rows, linked):
        assert chapter in {CLAIMS[name].chapter for name in re.findall(r"says_(\w+)", row)} or "says_" not in row, row


def test_every_page_of_a_preview_says_what_it_is_and_one_why_it_is_left_out():
    preview, world = load("preview"), load("world")
    title = nbformat.v4.new_markdown_cell("# A title")
    page = announced(nbformat.v4.new_notebook(cells=[title]), preview)
    assert page.cells[0] is title and "no model was trained for it" in page.cells[1].source
    assert announced(nbformat.v4.new_notebook(cells=[title]), world).cells == [title]
    left = [source for source in notebook_paths() if left_out(source, preview)]
    assert set(NOT_SHIPPED) <= {source.stem for source in left} and not any(left_out(source, world) for source in left)
    told = {source.stem: stand_in(source, preview).cells[0].source for source in left}
    assert all("`make book EDITION=world` builds it" in says for says in told.values())
    assert all(NOT_SHIPPED[name] in told[name] for name in NOT_SHIPPED)


def test_a_preview_reads_no_docstrings_and_says_what_does(tmp_path):
    api = shutil.copytree(ROOT / "book" / "api", tmp_path / "api")
    without_docstrings(api, load("preview"))
    told = {path.name: path.read_text(encoding="utf-8") for path in api.iterdir()}
    for name, text in told.items():
        title = (ROOT / "book" / "api" / name).read_text(encoding="utf-8").splitlines()[0]
        assert text.startswith(f"{title}\n") and "`make book EDITION=world`" in text and "automodule" not in text
    assert len(told) > 5


def test_notebooks_that_take_longest_begin_first():
    begin = lambda before: [path.stem[:2] for path in longest_first(notebook_paths(), before)]
    assert begin({})[:7] == [*LONGEST_CHAPTERS, "01"] and sorted(begin({})) == sorted(
        path.stem[:2] for path in notebook_paths()
    )
    assert begin({"03_ladder": 9.0, "01_tour": 2.0, "20_provable": 1.0})[:4] == ["03", "01", "20", "15"]


def test_a_page_that_is_left_out_names_the_chapters_that_it_goes_on_from():
    few, sources = load("smoke", {"chapters": ["13"]}), {source.stem[:2]: source for source in notebook_paths()}
    assert left_out(sources["28"], few) and not left_out(sources["13"], few)
    told = {number: stand_in(sources[number], few).cells[0].source for number in ("18", "27", "28")}
    assert "from [](12_preference_optimisation.ipynb) and [](13_what_helps.ipynb), and" in told["28"]
    assert "from [](12_preference_optimisation.ipynb), and" in told["27"] and "goes on" not in told["18"]


def test_a_second_build_trains_nothing(build_folder, tmp_path, without_pages, executed_here, capfd):
    """Of a few chapters of the same edition, whose rows are those of the whole book."""
    told = ["--edition", of_few_chapters(tmp_path), "--store", build_folder / "store", "--output", tmp_path / "book"]
    assert build.main([*map(str, told), "--workers", "0"]) == 0
    said = capfd.readouterr().out
    assert "0 of them missing" in said and "0 runs trained" in said
    for name in ("results.csv", "results_by_seed.csv"):
        old, new = (pd.read_csv(p / "html" / name) for p in (build_folder / "book", tmp_path / "book"))
        of_few = old[old["chapter"].isin(new["chapter"].unique())].reset_index(drop=True)
        assert new["chapter"].nunique() >= 2
        pd.testing.assert_frame_equal(of_few, new, check_dtype=False)


@pytest.mark.slow
@pytest.mark.rehearsal
def test_an_interrupted_build_keeps_what_is_finished(tmp_path):
    store, edition = tmp_path / "store", of_few_chapters(tmp_path)
    study = Study(load(edition))
    process = subprocess.Popen(
        build_command(store, tmp_path / "book", edition), cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True, encoding="utf-8",
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a suite in the background ignores Ctrl-C
    )  # fmt: skip
    deadline = time.monotonic() + 240
    while not list(store.rglob("record.json")) and time.monotonic() < deadline:
        time.sleep(0.05)
    under = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=240)
    assert process.returncode == 130 and "finished runs are kept" in told and "Traceback" not in told
    assert under and not psutil.wait_procs(under, timeout=60)[1], "workers notice, and stop"
    lab = Lab(store, workers=0, progress=False)
    finished = {run.key: lab.store.record(run) for run in closure(study.runs()) if lab.store.has(run)}
    assert finished, "something had been finished"
    assert lab.run(study.runs()) == len(closure(study.runs())) - len(finished)
    assert all(lab.store.record(run) == finished[run.key] for run in closure(study.runs()) if run.key in finished), (
        "not done again"
    )
    assert not list(store.rglob(".draft-*")), "what was interrupted is swept away"


@pytest.mark.slow
def test_processes_of_notebooks_end_on_ctrl_c():
    begin = time.monotonic()
    with pytest.raises(KeyboardInterrupt), notebook_processes(1) as pool:
        pool.submit(time.sleep, 0).result()
        job = pool.submit(time.sleep, 600)
        raise KeyboardInterrupt
    assert isinstance(job.exception(60), BrokenProcessPool) and time.monotonic() - begin < 180


POOL = """
import os, sys, time
from w2s_lib.book.build import notebook_processes
if __name__ == "__main__":
    with notebook_processes(1) as pool:
        print(pool.submit(os.getpid).result(), flush=True)
        time.sleep(300)
"""


@pytest.mark.slow
def test_processes_of_notebooks_end_with_a_build_that_is_killed(tmp_path):
    (tmp_path / "pool.py").write_text(POOL, encoding="utf-8")
    build = subprocess.Popen(
        [sys.executable, "pool.py"], cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE
    )
    waits = psutil.Process(int(build.stdout.readline()))
    build.kill()
    build.wait()
    _, alive = psutil.wait_procs([waits], timeout=30)
    assert not alive, "it waits for work that nobody will give it"


LINKED_DATA = r'<script type="application/ld\+json">(.*?)</script>'

RENDERS = """
import sys
from pathlib import Path
from w2s_lib.book.build import render_book
from w2s_lib.errors import exit_code
sys.exit(exit_code(lambda: render_book(Path(sys.argv[1]), Path(sys.argv[2]))))
"""


@pytest.mark.parametrize(("ends", "says"), [("kill -9 $$", "jupyter-book was killed; finished runs are kept"),
                                            ("exit 3", r"first: it said nothing")])  # fmt: skip
def test_a_renderer_that_ends_without_a_word_is_one_line(tmp_path, monkeypatch, ends, says):
    program = tmp_path / "python"
    program.write_text(f"#!/bin/sh\n{ends}\n", encoding="utf-8")
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program))
    with pytest.raises(BuildError, match=says):
        render_book(tmp_path, tmp_path)


@pytest.mark.slow
def test_ctrl_c_while_pages_are_rendered_leaves_the_last_book(tmp_path):
    source, output = tmp_path / "source", tmp_path / "book"
    (output / "html").mkdir(parents=True)
    (output / "html" / "index.html").write_text("the last book", encoding="utf-8")
    shutil.copytree(ROOT / "book", source, ignore=shutil.ignore_patterns("_build", "notebooks"))
    process = subprocess.Popen(
        [sys.executable, "-c", RENDERS, str(source), str(output)], cwd=ROOT, stderr=subprocess.PIPE, text=True,
        preexec_fn=lambda: (os.setpgrp(), signal.signal(signal.SIGINT, signal.SIG_DFL)), encoding="utf-8",
    )  # fmt: skip
    deadline = time.monotonic() + 120
    while not (output / "_build").is_dir() and time.monotonic() < deadline:
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to all of them
    _, told = process.communicate(timeout=60)
    assert process.returncode == 130 and told.strip().startswith("interrupted: ") and "Traceback" not in told
    assert (output / "html" / "index.html").read_text(encoding="utf-8") == "the last book"


@pytest.mark.slow
def test_what_a_broken_off_rendering_left_is_not_gone_on_from(tmp_path):
    source, output = tmp_path / "source", tmp_path / "book"
    source.mkdir()
    contents = "format: jb-book\nroot: index\nchapters:\n- file: other\n- file: third\n"
    pages = {"_toc.yml": contents, "_config.yml": "title: small\n", "index.md": "# One\n", "other.md": "# Two\n"}
    pages["third.md"] = "# Three\n"
    for name, text in pages.items():
        (source / name).write_text(text, encoding="utf-8")
    index = output / "_build" / "html" / "searchindex.js"
    index.parent.mkdir(parents=True)
    index.write_text("Search.setInd", encoding="utf-8")  # the end came while it was written
    index.with_name("left").touch()
    (output / ".begun").touch()
    (source / "other.md").write_text("# Two\n\nand more\n", encoding="utf-8")
    assert "and more" in (render_book(source, output) / "other.html").read_text(encoding="utf-8")
    assert not (output / ".begun").exists() and not index.with_name("left").exists()
    assert index.read_text(encoding="utf-8").startswith("Search.setIndex(")
    index.with_name("kept").touch()
    (source / "other.md").write_text("# Two\n\n[nowhere](nowhere.md)\n", encoding="utf-8")
    for _ in range(2):  # a warning is told as often as it is true, and the other pages stay
        with pytest.raises(BuildError, match="1 warnings or errors; first: .*other.md:3: WARNING"):
            render_book(source, output)
        assert index.with_name("kept").exists() and not (output / ".begun").exists()


@pytest.mark.slow
def test_a_process_or_a_kernel_that_is_killed_is_one_line(tmp_path):
    with pytest.raises(BuildError, match="a process that executes notebooks was killed; finished runs are kept"):
        with notebook_processes(1) as pool:
            pool.submit(os._exit, 1).result()
    cell = nbformat.v4.new_code_cell("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)")
    nbformat.write(nbformat.v4.new_notebook(cells=[cell]), tmp_path / "x.ipynb")
    with pytest.raises(BuildError, match="x.ipynb: its kernel died, .*finished runs are kept"):
        run_notebook(tmp_path / "x.ipynb", tmp_path / "out.ipynb", {"edition": "smoke"}, tmp_path)


COPIED = """
import os, subprocess, sys, time
from w2s_lib.book.kernels import end_with
if len(sys.argv) == 1:
    subprocess.run([sys.executable, "-c", os.environ["COPIED"], "under it"])
end_with(os.getppid())
read, write = os.pipe()
if copy := os.fork():
    print(os.getpid(), copy, flush=True)
    time.sleep(300)
os.write(write, bytes(10**6))
"""


@pytest.mark.slow
@pytest.mark.parametrize("killed", ["build", "renderer"])
def test_a_renderer_ends_with_its_build_and_a_copy_of_it_that_waits_with_it(killed):
    environment = {**os.environ, "COPIED": COPIED, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen([sys.executable, "-c", COPIED], cwd=ROOT, env=environment, stdout=subprocess.PIPE)
    under = [psutil.Process(int(pid)) for pid in process.stdout.readline().split()]
    time.sleep(0.5)
    assert all(each.is_running() for each in under), "the copy writes more than a pipe holds"
    process.kill() if killed == "build" else under[0].kill()
    assert not psutil.wait_procs(under, timeout=30)[1]
    process.kill()
    process.wait()


BEGINS = """
import os, sys, time
assert "w2s_lib.figures.conflict" in sys.modules and "torch" not in sys.modules
import w2s_lib
assert not hasattr(w2s_lib, "mine") and os.getpgid(0) == os.getpid()
w2s_lib.mine = 1
"""
HOLDS = """
import sys
from pathlib import Path
from w2s_lib.book.build import run_notebook
if __name__ == "__main__":
    for name in ("begins", "waits"):
        run_notebook(Path(f"{name}.ipynb"), Path("out.ipynb"), {"edition": "smoke"}, Path())
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="kernels are forked on Linux")
def test_forked_kernels_begin_with_the_library_share_nothing_and_end_with_who_asked_for_them(tmp_path):
    told = tmp_path / "pid"
    waits = f"{BEGINS}open({str(told)!r}, 'w', encoding='utf-8').write(str(os.getpid()))\ntime.sleep(300)"
    for name, source in (("begins", BEGINS), ("waits", waits)):
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source)])
        nbformat.write(notebook, tmp_path / f"{name}.ipynb")
    (tmp_path / "holds.py").write_text(HOLDS, encoding="utf-8")
    process = subprocess.Popen([sys.executable, "holds.py"], cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)})
    deadline = time.monotonic() + 180
    while not told.is_file() or not (pid := told.read_text(encoding="utf-8")):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.1)
    process.kill()
    process.wait()
    while psutil.pid_exists(int(pid)) and psutil.Process(int(pid)).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline, "a kernel outlives who asked for it"
        time.sleep(0.1)


@pytest.mark.slow
@pytest.mark.parametrize("kernel", [None, {"name": "w2s-nowhere", "display_name": "Mine", "language": "R"}])
def test_a_notebook_is_executed_whatever_kernel_it_was_saved_with(kernel, tmp_path, monkeypatch):
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("import sys; sys.executable")])
    notebook.metadata |= {} if kernel is None else {"kernelspec": kernel}
    nbformat.write(notebook, tmp_path / "x.ipynb")
    given = (tmp_path / "x.ipynb", tmp_path / "out.ipynb", {"edition": "smoke"}, tmp_path)
    run_notebook(*given)
    executed = nbformat.read(tmp_path / "out.ipynb", as_version=4)
    assert any(sys.executable in str(cell.get("outputs")) for cell in executed.cells)
    monkeypatch.setattr("w2s_lib.book.build.KERNEL", "w2s-nowhere")
    with pytest.raises(BuildError, match="kernel 'w2s-nowhere': this Python has none; pip install ipykernel"):
        run_notebook(*given)


def test_the_way_from_no_such_kernel_is_told():
    told = (ROOT / "book" / "how-to-rerun.md").read_text(encoding="utf-8")
    assert re.search(rf"\*No such kernel\*, add `-k {KERNEL}`", told) and "ipykernel install --user" in told


def test_a_kernel_that_dies_as_it_starts_is_started_again_and_is_one_line_the_second_time(tmp_path, monkeypatch):
    times = []

    def start(*_, **__):
        times.append(1)
        raise RuntimeError("Kernel died before replying to kernel_info")  # as jupyter_client says

    monkeypatch.setattr("papermill.execute_notebook", start)
    with pytest.raises(BuildError, match="x.ipynb: its kernel died, .*finished runs are kept"):
        run_notebook(tmp_path / "x.ipynb", tmp_path / "out.ipynb", {"edition": "smoke"}, tmp_path)
    assert len(times) == 2


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="kernels are forked on Linux")
def test_a_port_that_is_taken_costs_a_kernel_and_no_notebook(tmp_path, monkeypatch, capfd):
    """Ports are chosen before the kernel that will listen there has begun."""
    taken, starts = socket.create_server(("127.0.0.1", 0)), []
    write = KernelManager.write_connection_file

    def collide(self, **keywords):
        starts.append(self)
        if len(starts) == 1:
            self.iopub_port = taken.getsockname()[1]
        write(self, **keywords)

    monkeypatch.setattr(KernelManager, "write_connection_file", collide)
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("1 + 1")])
    nbformat.write(notebook, tmp_path / "x.ipynb")
    run_notebook(tmp_path / "x.ipynb", tmp_path / "out.ipynb", {"edition": "smoke"}, tmp_path)
    assert len(starts) == 2 and "Traceback" not in "".join(capfd.readouterr())


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--edition", "wrold"], "error: edition='wrold': no such edition; did you mean 'world'?"),
        (["--edition", "smoke", "--store", "/proc/nowhere"], "error: store='/proc/nowhere': cannot be written"),
        (["--edition", "smoke", "--workers", "-2"], "error: workers=-2: must be a whole number"),
    ],
)
def test_bad_input_is_one_line_and_an_exit_code(arguments, says, capsys):
    assert main(arguments) == 2
    told = capsys.readouterr().err
    assert told.startswith(says) and len(told.strip().splitlines()) == 1


def glued(path: Path) -> dict[str, str]:
    """What an executed notebook makes known to the prose: name → text."""
    outputs = (o for cell in json.loads(path.read_text(encoding="utf-8"))["cells"] for o in cell.get("outputs", ()))
    named = ((o["metadata"].get("scrapbook"), o["data"]) for o in outputs if "data" in o)
    return {about["name"]: data["application/papermill.record/text/plain"][1:-1] for about, data in named if about}


def test_what_a_single_seed_cannot_judge_is_not_called_none(html):
    """The edition has one seed, and no record: how often an innocent alarms has no number."""
    told = glued(html.parent / "source" / "notebooks" / "17_positive_controls.ipynb")
    assert "none can be judged" in told["enough"] and told["fooled"] == "cannot be judged"
    assert told["n_seeds"] == "1" and told["alarms_score"].endswith("has no interval to tell")


def test_no_page_gives_another_verdict_than_the_ledger(html):
    """Verdicts of claims are glued as ``says_<claim>`` or ``<claim>_says``, their sentences alike."""
    pages = {path.stem: glued(path) for path in (html.parent / "source" / "notebooks").glob("*.ipynb")}
    ledger, seen = pages["14_claims"], set()
    for name, texts in pages.items():
        for key, text in texts.items():
            for claim, kind in re.findall(
                r"^(?:(?=says_|sentence_)(?:says|sentence)_)?([ABCKMNTLS]\d+[a-d]?)(?:_(says|sentence))?$", key
            ):
                kind = kind or key.partition("_")[0]
                told = ledger[f"{kind}_{claim}"]
                # Without a record, what an innocent shows is known where students were planted in this build.
                begins = told.startswith(f"{text.removesuffix('.')}; a student that ") and kind == "sentence"
                assert text == told or begins, f"{name}: {key}"
                seen.add((name, claim))
    assert {claim for _, claim in seen} == set(CLAIMS) and len({name for name, _ in seen}) > 5


def test_the_sidebar_names_every_page_once_and_no_headings(html):
    page = "teaching/chapters/01_tour.html"
    sidebar = re.search(r'<nav class="bd-links.*?</nav>', (html / page).read_text(encoding="utf-8"), re.DOTALL)[0]
    named = re.findall(r'<a [^>]*href="([^"]+)"', sidebar)
    led_to = [page if to == "#" else posixpath.normpath(posixpath.join(posixpath.dirname(page), to)) for to in named]
    every = {path.relative_to(html).as_posix() for path in pages(html)}
    assert sorted(led_to) == sorted(every - {"404.html", "genindex.html", "py-modindex.html", "search.html"})
