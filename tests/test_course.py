"""What a class gets: hand-outs that run and hold no solution, and graders that give points for what is right."""

import ast
import html
import json
import re
import subprocess
import zipfile

import nbformat
import pytest
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell

from tests.conftest import ROOT
from w2s_lib.book import course as course_module
from w2s_lib.book.chapter import CHECKS
from w2s_lib.book.course import RESTARTED, course, exercises_of, main, pieces, readable_prose, student, write_zip
from w2s_lib.book.seal import SEAL_SCHEME, exercises
from w2s_lib.errors import ParameterError

CHAPTERS = ("01_tour", "05_conflict_tax_deception")


@pytest.fixture(scope="module")
def folder(build_folder):
    return course([name[:2] for name in CHAPTERS], "smoke", str(build_folder / "book"))


def solved(folder, name):
    """The notebook of a chapter as the build executed it, in pieces."""
    built = nbformat.read(folder.parent / "source" / "notebooks" / f"{name}.ipynb", as_version=4)
    return list(pieces(built.cells))


def lines_of(cells):
    """Lines that say something, of cells and of what they put out."""
    outputs = [str(o.get("text") or o.get("data")) for cell in cells for o in cell.get("outputs", ())]
    texts = [cell.source for cell in cells] + outputs
    return {line.strip() for text in texts for line in text.splitlines() if len(line.strip()) > 12}


@pytest.mark.parametrize("name", CHAPTERS)
def test_no_hand_out_holds_a_solution(folder, name):
    """Neither its code nor its words, hints, or what it printed; nor in the zip, which holds the same."""
    of = lambda keep: [cell for cell, part, _ in solved(folder, name) if (part == "solution") == keep]
    public = "\n".join(cell.source for cell in of(False))
    secret = {line for line in lines_of(of(True)) - lines_of(of(False)) if line not in public}
    assert len(secret) > 40
    notebook = nbformat.read(folder / "student" / f"{name}.ipynb", as_version=4)
    nbformat.validate(notebook)
    checks = (folder / "student" / CHECKS / f"{name}.json").read_text(encoding="utf-8")
    text = "\n".join(
        [cell.source for cell in notebook.cells]
        + [checks, (folder / "student" / "README.md").read_text(encoding="utf-8")]
    )
    assert text.count("check(") >= 4 and "seal(" not in text and not any(c.get("outputs") for c in notebook.cells)
    assert not {line for line in secret if line in text and not line.startswith("check(")}
    with zipfile.ZipFile(folder / "student.zip") as archive:
        there = {path.relative_to(folder / "student").as_posix() for path in (folder / "student").rglob("*.*")}
        assert set(archive.namelist()) == there
        assert archive.read(f"{name}.ipynb") == (folder / "student" / f"{name}.ipynb").read_bytes()


def test_the_exam_is_the_instructor_s_alone(folder):
    exam = (ROOT / "book" / "teaching" / "exam.md").read_bytes()
    assert (folder / "solutions" / "exam.md").read_bytes() == exam
    secret = {line for line in exam.decode().splitlines() if len(line) > 60}
    with zipfile.ZipFile(folder / "student.zip") as archive:
        handed = [archive.read(name).decode() for name in archive.namelist()]
    handed += [path.read_text(encoding="utf-8") for path in (folder / "student").rglob("*.*")]
    assert len(secret) >= 20 and not any(line in text for line in secret for text in handed)
    assert not [path for path in (folder.parent / "html").rglob("*") if path.stem == "exam"]


@pytest.mark.parametrize("name", CHAPTERS)
def test_the_book_keeps_its_solutions_and_their_notebooks_are_whole(folder, name):
    notebook = nbformat.read(folder / "solutions" / f"{name}.ipynb", as_version=4)
    nbformat.validate(notebook)
    text = "\n".join(cell.source for cell in notebook.cells)
    told = exercises_of(nbformat.read(ROOT / "notebooks" / f"{name}.ipynb", 4).cells, ())
    assert text.count("**Solution**") == len(told) and "{glue:" not in text and "{exercise" not in text


MARK = """
import doctest, io, contextlib
def points():
    total = 0
    for test in TESTS:
        case = doctest.DocTestParser().get_doctest(test["suites"][0]["cases"][0]["code"], globals(), "", None, None)
        with contextlib.redirect_stdout(io.StringIO()):
            failed, _ = doctest.DocTestRunner().run(case, clear_globs=False)
        total += 0 if failed else test["points"]
    return total
"""


def test_a_hand_out_runs_as_it_is_and_gets_the_points_that_it_deserves(folder, build_folder, tmp_path, monkeypatch):
    """Blank, then with half of the answers, then with all; a wrong one costs its points alone."""
    name = CHAPTERS[0]
    with zipfile.ZipFile(folder / "grader" / f"{name}.zip") as archive:
        tests = [
            ast.literal_eval(archive.read(n).decode().split("test = ")[1]) for n in archive.namelist() if "tests/" in n
        ]
        archive.extractall(tmp_path, [n for n in archive.namelist() if n.startswith("files/")])
    notebook = nbformat.read(folder / "student" / f"{name}.ipynb", as_version=4)
    mark = new_code_cell("points()")
    notebook.cells += [new_code_cell(f"TESTS = {tests!r}\n{MARK}"), mark]
    cells = [(cell, label) for cell, part, label in solved(folder, name) if part == "solution" and "outputs" in cell]
    labels = list(dict.fromkeys(label for _, label in cells))
    half = labels[: len(labels) // 2]
    for some in (half, labels[len(half) :]):
        code = [cell.source for cell, label in cells if label in some and "chapter.seal" not in cell.source]
        notebook.cells += [*map(new_code_cell, code), new_code_cell(mark.source)]
    notebook.cells += [new_code_cell(f"{half[0].removeprefix('ex-').replace('-', '_')} = 'text'\npoints()")]
    monkeypatch.setenv("W2S_STORE", str(build_folder / "store"))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    NotebookClient(notebook, resources={"metadata": {"path": str(tmp_path / "files")}}).execute()
    given = [
        int(c.outputs[0]["data"]["text/plain"]) for c in notebook.cells if c.source.endswith("points()") and c.outputs
    ]
    worth = {test["name"]: test["points"] for test in tests}
    first = sum(worth[label.removeprefix("ex-")] for label in half)
    assert given == [0, first, sum(worth.values()), sum(worth.values()) - worth[half[0].removeprefix("ex-")]]
    assert 0 < first < sum(worth.values())


def test_what_is_sealed_is_what_the_exercises_say(folder):
    for name in CHAPTERS:
        _, sealed = exercises(folder / "student" / CHECKS / f"{name}.json")
        told = exercises_of(nbformat.read(ROOT / "notebooks" / f"{name}.ipynb", 4).cells, sealed)
        assert set(sealed) == {e.name for e in told if e.sealed} and len(told) >= 5
        closed = {"digits", "scheme", "salt", "entries"}
        assert all(set(one) == closed for one in sealed.values()), "what a build keeps is open"
        assert {e.level for e in told} == {"Recall", "Apply", "Extend"}


@pytest.mark.parametrize("given", [["1", "77"], ["../../etc/passwd"], ["01_tuor"]])
def test_what_cannot_be_handed_out_is_one_line(build_folder, capsys, given):
    assert main(["--edition", "smoke", "--output", str(build_folder / "book"), "--chapters", *given]) == 2
    assert re.match(r"error: chapters='.+': (did you mean '01_tour'\? )?allowed: 01, 01_tour", capsys.readouterr().err)


def test_a_book_that_is_not_built_is_one_line(tmp_path, capsys):
    assert main(["--edition", "smoke", "--output", str(tmp_path)]) == 2
    assert capsys.readouterr().err == "error: edition='smoke': not built yet; run make book EDITION=smoke first\n"


def notebook_of(*cells):
    make = {"m": nbformat.v4.new_markdown_cell, "c": nbformat.v4.new_code_cell}
    return nbformat.v4.new_notebook(cells=[make[kind](source) for kind, source in cells])


def test_solutions_are_cut_wherever_cells_begin_and_end():
    """One cell may end a solution, go on with the text, and begin the next exercise and its solution."""
    notebook = notebook_of(
        ("m", "text\n\n```{exercise-start}\n:label: ex-a-1\n```\n**A.** *Recall, 5 minutes.*\n```{exercise-end}\n```"),
        ("m", "```{solution-start} ex-a-1\n:class: dropdown\n```\nsecret"),
        ("c", "secret = 1"),
        ("m", "secret\n```{solution-end}\n```\nbetween\n```{exercise-start}\n:label: ex-b\n```\n**B.** write\n"
              "```{exercise-end}\n```\n```{solution-start} ex-b\n```\nsecret\n```{solution-end}\n```\nafter"),
    )  # fmt: skip
    sources = [cell.source for cell in student(notebook, ["a-1"]).cells]
    assert not any("secret" in source or "```" in source for source in sources)
    assert sources[2].startswith("a_1 = ...") and sources[2].endswith(f'check("a-1", a_1)  {RESTARTED}')
    assert [s for s in sources if s in ("text", "between", "after", "*Your answer:*")] == [
        "text", "between", "*Your answer:*", "after",
    ]  # fmt: skip


def test_prose_reads_as_on_the_page():
    text = "DS {glue:text}`ds`, {cite:p}`yang2025`, [](14_claims.ipynb); {glue:text}`gone`\n"
    text += ":::{admonition} A preview\nx\n:::"
    words = "A {term}`rerun`, {term}`at most <attainable>`"
    assert readable_prose(words, {}) == "A rerun, at most"
    assert readable_prose(text, {"ds": "0.51"}) == "DS 0.51, (yang2025), chapter 14; …\n> **A preview**\n> x"
    fenced = "before\n```{warning}\nx\n```\n\n```python\ny\n```\nafter {glue:text}`05_x.ipynb::ds:s`"
    assert readable_prose(fenced, {"ds": "1"}) == "before\n> **Warning**\n> x\n\n```python\ny\n```\nafter …", (
        "no fence stays open"
    )


HOSTILE = "<img src=x onerror=alert(1)>\x1b[31m | `{glue:text}`"


def test_hostile_texts_do_nothing(tmp_path, monkeypatch):
    """A name reads as text on the page that goes with a hand-out; a file of checks is read, never run."""
    says = course_module._read_me(HOSTILE, {})
    assert "<img" not in says and "\x1b" not in says and html.escape("<img src=x") in says
    for text in ("{", "[]", '{"study": 1, "exercises": {"a": {"digits": 99, "salt": "", "entries": {}}}}',
                 '{"study": 1, "exercises": {"a": {"digits": 1, "salt": "x", "entries": {}}}}'):  # fmt: skip
        (tmp_path / "a.json").write_text(text, encoding="utf-8")
        with pytest.raises(ParameterError, match="is no file of checks"):
            exercises(tmp_path / "a.json")


def test_a_hand_out_of_another_version_says_so(tmp_path):
    path = tmp_path / "a.json"
    sealed = {"digits": 1, "salt": "00", "entries": {}}
    path.write_text(json.dumps({"study": "1", "exercises": {"a": sealed}}), encoding="utf-8")
    with pytest.raises(ParameterError, match="a.json.*was sealed by another version of the book"):
        exercises(path)
    path.write_text(json.dumps({"study": "1", "exercises": {"a": sealed | {"scheme": SEAL_SCHEME}}}), encoding="utf-8")
    assert exercises(path) == ("1", {"a": sealed | {"scheme": SEAL_SCHEME}})


def test_a_zip_tells_nothing_of_when_it_was_made(tmp_path):
    for name in "ab":
        write_zip(tmp_path / name, {"x/y.txt": "text", "a": b"1"})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    with zipfile.ZipFile(tmp_path / "a") as archive:
        assert archive.namelist() == ["a", "x/y.txt"]


OTTER = ROOT / ".venv" / "otter" / "bin" / "otter"


@pytest.mark.slow
@pytest.mark.skipif(not OTTER.is_file(), reason="make grade has not made otter's environment")
def test_otter_gives_the_same_points(folder, build_folder, tmp_path, monkeypatch):
    """The solutions themselves, with the names of answers as the hand-out has them, get all; a blank gets none."""
    monkeypatch.setenv("W2S_STORE", str(build_folder / "store"))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    for part, share in (("solutions", 1.0), ("student", 0.0)):
        command = [OTTER, "run", "--no-logo", "-a", folder / "grader" / f"{CHAPTERS[0]}.zip", "-o", tmp_path]
        assert subprocess.run([*command, folder / part / f"{CHAPTERS[0]}.ipynb"]).returncode == 0
        tests = [
            t for t in json.loads((tmp_path / "results.json").read_text(encoding="utf-8"))["tests"] if "max_score" in t
        ]
        assert sum(t["score"] for t in tests) == share * sum(t["max_score"] for t in tests) and len(tests) >= 5
