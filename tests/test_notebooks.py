"""Source notebooks are clean, take the same parameters, and refuse bad ones before anything runs."""

import ast
import builtins
import re
import shutil
import statistics
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
import yaml
from papermill import execute_notebook
from papermill.exceptions import PapermillExecutionError

from w2s_lib.book import kernels
from w2s_lib.book.build import BENCHMARKS, KERNEL, READERS, REPRODUCIBILITY, notebook_paths
from w2s_lib.book.course import exercises_of
from w2s_lib.findings.claims import FINDINGS, PLANTED_IN
from w2s_lib.study.edition import ALSO, ALWAYS, GOES_ON_FROM, PARAMETERS

ROOT = Path(__file__).resolve().parent.parent
SOURCES = {path.stem: nbformat.read(path, as_version=4) for path in notebook_paths()}


def parameter_cell(notebook):
    return next(c for c in notebook.cells if "parameters" in c.metadata.get("tags", []))


def papermill(tmp_path, build_folder, name, *arguments):
    target = tmp_path / "out.ipynb"
    command = [
        sys.executable,
        "-m",
        "papermill",
        str(ROOT / "notebooks" / f"{name}.ipynb"),
        str(target),
        "-p",
        "edition",
        "smoke",
    ]
    command += ["-p", "store", str(build_folder / "store"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, encoding="utf-8"), target


@pytest.mark.parametrize("name", SOURCES)
def test_sources_are_clean(name):
    notebook = SOURCES[name]
    nbformat.validate(notebook)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            assert cell.outputs == [] and cell.execution_count is None
    assert len({c.id for c in notebook.cells}) == len(notebook.cells)


@pytest.mark.parametrize("name", SOURCES)
def test_code_that_readers_see_is_as_wide_as_the_library_s(name):
    cells = [c for c in SOURCES[name].cells if c.cell_type == "code" and c is not parameter_cell(SOURCES[name])]
    seen = [c for c in cells if not any(re.match("remove|hide", tag) for tag in c.metadata.get("tags", ()))]
    assert [line for cell in seen for line in cell.source.splitlines() if len(line) > 120] == []


@pytest.mark.parametrize("name", sorted({*FINDINGS} - {PLANTED_IN}))
def test_what_a_record_may_hold_is_shown_beside_it(name):
    """Rows that the ledger reads are used as ``publish`` returns them; other chapters' are told, or held beside it."""
    code = "\n".join(c.source for c in SOURCES[name].cells if c.cell_type == "code")
    published = re.findall(r"^.*chapter\.publish\(\w+\)", code, re.M)
    assert published and all(re.match(r"(\w+) = chapter\.publish\(\1\)$", line) for line in published)
    for there in re.findall(r"^(\w+) = chapter\.found\(", code, re.M):
        assert f"chapter.beside({there}, " in code or not re.search(rf"pick\({there}\b", code), there


@pytest.mark.parametrize("name", SOURCES)
def test_all_chapters_take_the_same_parameters(name):
    assigned = ast.parse(parameter_cell(SOURCES[name]).source).body
    assert tuple(node.target.id for node in assigned) == PARAMETERS + ALSO.get(name, ())
    assert all(line.count("#") == 1 for line in parameter_cell(SOURCES[name]).source.splitlines()), "each has its help"


@pytest.mark.parametrize("name", [n for n in SOURCES if n not in (BENCHMARKS, REPRODUCIBILITY)])
def test_a_chapter_is_a_lecture(name):
    notebook = SOURCES[name]
    prose = "\n".join(c.source for c in notebook.cells if c.cell_type == "markdown")
    for part in ("What you will learn", "## Summary", "## Exercises"):
        assert part in prose
    labels = re.findall(r":label: (ex-\S+)", prose)
    assert all(f"{{solution-start}} {label}" in prose for label in labels)
    code = [c.source for c in notebook.cells if c.cell_type == "code"]
    assert statistics.median(len(source.splitlines()) for source in code) <= 8


@pytest.mark.parametrize("name", [n for n in SOURCES if n not in (BENCHMARKS, REPRODUCIBILITY)])
def test_exercises_have_three_levels_and_say_what_is_handed_in(name):
    """One asks for a prediction first; what is sealed is what its solution checks, under the exercise's name."""
    prose = "\n".join(c.source for c in SOURCES[name].cells if c.cell_type == "markdown")
    texts = re.findall(r"\{exercise-start\}\n(.*?)\{exercise-end\}", prose, re.S)
    code = "\n".join(c.source for c in SOURCES[name].cells if c.cell_type == "code")
    sealed = re.findall(r'chapter\.seal\(\s*"([\w-]+)"', code)
    told = exercises_of(SOURCES[name].cells, sealed)
    assert len(told) == len(texts) >= 5 and {e.level for e in told} == {"Recall", "Apply", "Extend"}
    assert all("*Hand in:*" in text for text in texts) and "**Predict first" in prose
    assert set(sealed) == {e.name for e in told if e.sealed} and len(sealed) >= 3
    assert all(f'check("{e.name}", {e.variable})' in code for e in told if e.sealed)


AROUND = yaml.safe_load((ROOT / "book" / "_toc.yml").read_text(encoding="utf-8"))["parts"]
AROUND = [
    Path(page["file"]).name for part in AROUND if part["caption"] == "The works around it" for page in part["chapters"]
]
"""Chapters that run another work."""


@pytest.mark.parametrize("name", AROUND)
def test_a_chapter_on_another_work_says_what_it_captures_of_it_and_what_would_change_my_mind(name):
    prose = "\n".join(c.source for c in SOURCES[name].cells if c.cell_type == "markdown")
    captures = re.findall(r"^\*\*What this captures of the originals?, and what not\.\*\*", prose, re.M)
    assert len(captures) == 1 and "**What would change my mind?**" in prose


def test_every_preprint_that_a_chapter_names_is_in_the_references():
    known = (ROOT / "book" / "references.bib").read_text(encoding="utf-8")
    prose = "\n".join(c.source for source in SOURCES.values() for c in source.cells if c.cell_type == "markdown")
    named = set(re.findall(r"arXiv[: ](\d{4}\.\d{5})", prose, re.I))
    assert not [number for number in named if f"arXiv:{number}" not in known]


CONDITIONS = "|".join(("explicit", "implicit", "verbosity", "rerun", "placebo"))


def tables(text: str) -> list[str]:
    """Tables of a page's Markdown, each as its lines."""
    return re.findall(r"(?:^\|.*\|$\n?)+", text, re.MULTILINE)


def test_a_table_with_deception_scores_says_how_many_taxed_pairs_they_are_shares_of():
    """Whether its columns or its rows are the conditions."""
    pages = {path.stem: nbformat.read(path, as_version=4).cells for path in (ROOT / "notebooks").glob("*.ipynb")}
    texts = {name: "\n\n".join(c.source for c in cells if c.cell_type == "markdown") for name, cells in pages.items()}
    texts["index"] = (ROOT / "book" / "index.md").read_text(encoding="utf-8")
    seen = set()
    for name, text in texts.items():
        for table in tables(text):
            for scored in re.findall(rf"\bds_(?:span_)?((?:honesty_)?(?:{CONDITIONS}))(?::s)?`", table):
                assert re.search(rf"\b(?:taxed|counted)_{scored}(?::s)?`", table), f"{name}: {scored}"
                seen.add(name[:2])
    assert seen >= {"05", "09", "10", "15", "29", "in"}


UNGUESSED = (BENCHMARKS, REPRODUCIBILITY, "16_bring_your_own_pairs", "22_play")
"""Pages whose figures are of the reader's own making, or reference."""


@pytest.mark.parametrize("name", [n for n in SOURCES if n not in UNGUESSED])
def test_a_guess_is_asked_right_before_what_answers_it(name):
    """The page covers what the next cell shows (``w2s.answersAfter`` in play.js), and nothing beyond a heading."""
    seen = [c for c in SOURCES[name].cells if "remove-cell" not in c.metadata.get("tags", [])]
    asked = [i for i, cell in enumerate(seen) if "chapter.predict(" in cell.source]
    last = (ast.unparse(ast.parse(seen[i].source).body[-1]) for i in asked)
    assert asked and all(statement.startswith("chapter.predict(") for statement in last)
    assert {seen[i + 1].cell_type for i in asked} == {"code"}


@pytest.mark.parametrize("name", [n for n in SOURCES if n not in READERS])
def test_rows_of_another_chapter_are_there_wherever_they_are_read(name):
    """That chapter is in every edition, or this one is left out without it; the ledger reads what there is."""
    code = "\n".join(c.source for c in SOURCES[name].cells if c.cell_type == "code")
    read = set(re.findall(r"chapter\.found\(\s*[\"'](\d\d)_", code))
    assert read <= {*ALWAYS, *GOES_ON_FROM.get(name[:2], ())}


def names_in(source):
    """Names that a cell reads, and those that it makes, arguments included."""
    nodes = list(ast.walk(ast.parse(source)))
    made = {n.id for n in nodes if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
    made |= {n.name for n in nodes if isinstance(n, (ast.FunctionDef, ast.ClassDef, ast.ExceptHandler))}
    made |= {n.arg for n in nodes if isinstance(n, ast.arg)}
    imports = [n for n in nodes if isinstance(n, (ast.Import, ast.ImportFrom))]
    made |= {(a.asname or a.name).partition(".")[0] for n in imports for a in n.names}
    return {n.id for n in nodes if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)} - made, made


@pytest.mark.parametrize("name", SOURCES)
def test_code_on_the_page_needs_no_name_from_a_cell_that_is_hidden(name):
    """A reader can follow it, and type it."""
    code = [c for c in SOURCES[name].cells if c.cell_type == "code"]
    known = {*dir(builtins), "display"}
    for cell in (c for c in code if "remove-cell" not in c.metadata.get("tags", [])):
        read, made = names_in(cell.source)
        assert read <= known | made, (cell.id, read - known)
        known |= made


def test_papermill_helps(tmp_path):
    command = [
        sys.executable,
        "-m",
        "papermill",
        "--help-notebook",
        str(ROOT / "notebooks" / "05_conflict_tax_deception.ipynb"),
    ]
    text = subprocess.run(command, capture_output=True, text=True, encoding="utf-8").stdout
    assert all(name in text for name in PARAMETERS) and "a model knows a pair where p > threshold" in text


def executed(name, folder, **parameters):
    """A notebook as papermill leaves it, executed by a kernel as builds have them: another papermill, which starts for
    seconds, would have nothing else to say."""
    kernels.use()
    given = {"edition": "smoke", "store": str(folder / "store"), **parameters}
    source, target = (str(path) for path in (ROOT / "notebooks" / f"{name}.ipynb", folder / "out.ipynb"))
    how = {"cwd": str(ROOT / "notebooks"), "progress_bar": False, "kernel_name": KERNEL, "language": "python"}
    return execute_notebook(source, target, given, **how)


def test_another_threshold_trains_nothing(tmp_path, build_folder):
    shutil.copytree(build_folder / "store", tmp_path / "store")  # other tests may be training into the shared one
    before = sorted((tmp_path / "store").rglob("record.json"))
    done = executed("05_conflict_tax_deception", tmp_path, threshold=0.9)
    assert sorted((tmp_path / "store").rglob("record.json")) == before
    assert any("0.9" in str(cell.outputs) for cell in done.cells if cell.cell_type == "code")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("parameters", "says"),
    [
        ({"threshold": 1.5}, "threshold=1.5: must be below 1"),
        ({"weak_strong_pairs": ["tiny-44 -> tiny-24"]}, "the weak model must be smaller than the strong one"),
    ],
)
def test_bad_parameters_fail_before_anything_runs(tmp_path, parameters, says):
    with pytest.raises(PapermillExecutionError) as failed:
        executed("05_conflict_tax_deception", tmp_path, **parameters)
    assert not list((tmp_path / "store").rglob("record.json"))
    shown = [line for line in str(failed.value).splitlines() if says in line]
    assert shown and "Traceback" not in shown[0]


@pytest.mark.slow
def test_a_bad_parameter_of_the_command_is_one_line(tmp_path):
    done, _ = papermill(tmp_path, tmp_path, "05_conflict_tax_deception", "-p", "treshold", "0.9")
    assert done.returncode != 0 and not list((tmp_path / "store").rglob("record.json"))
    says = "treshold=0.9: no such parameter; did you mean 'threshold'?"
    shown = [line for line in done.stderr.splitlines() if says in line]
    assert shown and "Traceback" not in shown[0]


def test_the_first_chapter_says_why_there_is_a_weak_supervisor_where_the_truth_is_known():
    text = (ROOT / "notebooks" / "01_tour.ipynb").read_text(encoding="utf-8")
    asked, answered = text.partition("*Why a weak supervisor at all, if we have the truth?*")[1:]
    assert asked and re.search(
        r"one day nobody will have it.*Only where the truth is known can one measure", answered, re.S
    )


@pytest.mark.parametrize("name", [n for n in SOURCES if n != REPRODUCIBILITY])
def test_words_lead_to_the_glossary(name):
    glossary = (ROOT / "book" / "glossary.md").read_text(encoding="utf-8").partition(":sorted:")[2]
    known = set(re.findall(r"^(\S.*)$", glossary, re.MULTILINE))
    prose = "\n".join(c.source for c in SOURCES[name].cells if c.cell_type == "markdown")
    used = re.findall(r"\{term\}`(?:[^`<]+ <)?([^`>]+)>?`", prose)
    assert used and set(used) <= known


def test_every_word_of_the_glossary_is_linked_from_a_chapter():
    """By its own name, or by another that stands above the same lines."""
    glossary = (ROOT / "book" / "glossary.md").read_text(encoding="utf-8").partition(":sorted:")[2]
    entries = [re.findall(r"^(\w.*)$", entry, re.MULTILINE) for entry in re.split(r"\n\s*\n", glossary)]
    prose = "\n".join(c.source for notebook in SOURCES.values() for c in notebook.cells if c.cell_type == "markdown")
    linked = set(re.findall(r"\{term\}`(?:[^`<]+ <)?([^`>]+)>?`", prose))
    assert len(linked) > 80 and [words for words in entries if words and not linked & set(words)] == []


@pytest.mark.parametrize("name", SOURCES)
def test_two_models_are_no_pair_and_chapters_are_named_by_links(name):
    """Words with one meaning: a pair is two replies, two models are a weak–strong pair."""
    prose = "\n".join(c.source for c in SOURCES[name].cells if c.cell_type == "markdown")
    assert not re.search(r"model pair|pairs? of models|seed and pair\b|[Cc]hapter \d|\(exercise \d", prose)
