"""Hand-outs, solutions and graders from the notebooks of a built book: ``make course``.

    python -m w2s_lib.book.course --chapters 01 05 --edition preview

The folder ``course`` beside the book's pages gets ``student`` (notebooks without solutions and outputs, with sealed
checks), the same as ``student.zip`` for a learning platform, ``solutions`` for the instructor (notebooks as the build
executed them, and the exam with its rubric), and a grader for otter-grader for each chapter that has sealed exercises
(``grader/<chapter>.zip``).  Nothing is computed here.
"""

import html
import json
import re
import shutil
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

import nbformat
import pandas as pd
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell

from w2s_lib.book.build import ROOT, book_folder, built, left_out, notebook_paths
from w2s_lib.book.chapter import CHECKS
from w2s_lib.book.copies import NUMBER, glued, unfolded
from w2s_lib.book.guide import unanswered
from w2s_lib.book.seal import exercises, seal
from w2s_lib.errors import Arguments, ParameterError, exit_code, nearest, plain
from w2s_lib.study.edition import FOLDER, find, load

POINTS = {"Recall": 1, "Apply": 2, "Extend": 3}
"""Levels of exercises, and what each is worth."""

RESTARTED = "# NameError? The kernel forgot: run the cells above first"
"""What a traceback shows to whoever restarts in the middle, and answers at once."""

EXAM = ROOT / "book" / "teaching" / "exam.md"
"""Questions and rubric: on no page, and in no hand-out."""

FENCE = re.compile(
    r"^```\{(exercise|solution)-(start|end)\}[ ]?(\S*)\n(?::label: (\S+)\n)?(?::class: \S+\n)?```\n?", re.M
)
EXERCISE_TITLE = re.compile(
    r"\*\*(?P<title>.+?)\*\* \*(?P<level>Recall|Apply|Extend), (?P<minutes>\d+) minutes\.\*", re.S
)


@dataclass(frozen=True)
class Exercise:
    """An exercise as its text tells it; ``sealed`` where a check knows the answer."""

    name: str
    title: str
    level: str
    minutes: int
    sealed: bool

    @property
    def variable(self) -> str:
        """What a notebook calls the answer."""
        return self.name.replace("-", "_")

    @property
    def points(self) -> int:
        """What it is worth."""
        return POINTS[self.level]


def pieces(cells: Iterable[NotebookNode]) -> Iterator[tuple[NotebookNode, str, str]]:
    """Cells, cut where an exercise or a solution begins or ends: each with the part it belongs to (``"exercise"``,
    ``"solution"`` or ``""``) and the label of that part."""
    part = label = ""
    for cell in cells:
        if cell.cell_type != "markdown":
            yield cell, part, label
            continue
        at = 0
        for fence in FENCE.finditer(cell.source):
            if text := cell.source[at : fence.start()].strip():
                yield new_markdown_cell(text), part, label
            begins = fence[2] == "start"
            part, label = (fence[1], fence[3] or fence[4] or "") if begins else ("", "")
            at = fence.end()
        if text := cell.source[at:].strip():
            yield new_markdown_cell(text), part, label


def exercises_of(cells: Iterable[NotebookNode], sealed: Iterable[str]) -> list[Exercise]:
    """The exercises of a notebook that say their level and minutes, in order."""
    sealed, told = set(sealed), []
    for cell, part, label in pieces(cells):
        if part == "exercise" and (about := EXERCISE_TITLE.search(cell.source)):
            name = label.removeprefix("ex-")
            told.append(Exercise(name, about["title"], about["level"], int(about["minutes"]), name in sealed))
    return told


def readable_prose(text: str, said: Mapping[str, str]) -> str:
    """Prose of a page as a notebook shows it: numbers in their places, without what only the book's pages know."""
    text = NUMBER.sub(lambda hit: "…" if hit[1] else said.get(hit[2], "…"), text)
    text = re.sub(r"\{cite:\w\}`([^`]+)`", r"(\1)", text)
    return unfolded(re.sub(r"\[\]\((\d\d)_\w+\.ipynb(?:#[\w-]+)?\)", r"chapter \1", text))


def _to_answer(name: str, sealed: bool) -> list[NotebookNode]:
    """Where a student answers: in code that is checked, and in words that a person reads."""
    if not sealed:
        return [new_markdown_cell("*Your answer:*")]
    variable = name.replace("-", "_")
    code = f'{variable} = ...  # your answer; lines of your own go above\n\ncheck("{name}", {variable})  {RESTARTED}'
    return [new_code_cell(code), new_markdown_cell("*In words:*")]


def _whole(cells: list[NotebookNode], like: NotebookNode) -> NotebookNode:
    for number, cell in enumerate(cells):
        cell.id = f"{number:03d}"
    metadata = {key: like.metadata[key] for key in ("kernelspec", "language_info") if key in like.metadata}
    return nbformat.v4.new_notebook(cells=cells, metadata=metadata)


def student(notebook: NotebookNode, sealed: Iterable[str]) -> NotebookNode:
    """The notebook to hand out: without solutions, what they gave to the prose, and any output; with a cell for each
    answer."""
    sealed, cells, answered = set(sealed), [], ""
    cut = list(pieces(notebook.cells))
    said = glued(cell for cell, part, _ in cut if part != "solution")
    for cell, part, label in cut:
        if part == "solution":
            if label != answered:
                name = label.removeprefix("ex-")
                cells += _to_answer(name, name in sealed)
            answered = label
        elif cell.cell_type == "markdown":
            cells.append(new_markdown_cell(readable_prose(unanswered(cell.source), said)))
        else:
            cells.append(new_code_cell(cell.source))
            if "remove-cell" in cell.metadata.get("tags", []):  # pages do not show it, and JupyterLab folds it
                cells[-1].metadata["jupyter"] = {"source_hidden": True}
    return _whole(cells, notebook)


def solutions(notebook: NotebookNode) -> NotebookNode:
    """The notebook as the build executed it, its prose with the numbers."""
    said, cells, answered = glued(notebook.cells), [], ""
    for cell, part, label in pieces(notebook.cells):
        if part == "solution" and label != answered:
            cells.append(new_markdown_cell("**Solution**"))
            answered = label
        cell = NotebookNode(cell)
        if cell.cell_type == "markdown":
            cell.source = readable_prose(cell.source, said)
        cells.append(cell)
    return _whole(cells, notebook)


def grader_test(chapter: str, exercise: Exercise) -> str:
    """The test file of an exercise in otter-grader's format: points for the answer under seal, nothing else."""
    code = (
        ">>> from w2s_lib.book.seal import right\n"
        f">>> right({f'{CHECKS}/{chapter}.json'!r}, {exercise.name!r}, {exercise.variable})\nTrue\n"
    )
    case = {"code": code, "hidden": False, "locked": False}
    suite = {"cases": [case], "scored": True, "setup": "", "teardown": "", "type": "doctest"}
    test = {"name": exercise.name, "points": exercise.points, "suites": [suite]}
    return f"OK_FORMAT = True\n\ntest = {test!r}\n"


def write_grader(path: Path, listed: Iterable[Exercise], files: Mapping[str, str | bytes]) -> None:
    """The grader of a chapter, for otter-grader, with the files that it reads."""
    tests = {f"tests/{e.name}.py": grader_test(path.stem, e) for e in listed if e.sealed}
    beside = {f"files/{inside}": data for inside, data in files.items()}
    write_zip(path, tests | beside | {"otter_config.json": json.dumps({"pdf": False})})


def write_zip(path: Path, files: Mapping[str, str | bytes]) -> None:
    """A zip whose bytes depend on nothing but what is in it."""
    with ZipFile(path, "w", ZIP_DEFLATED) as archive:
        for name in sorted(files):
            archive.writestr(ZipInfo(name), files[name], ZIP_DEFLATED)


def chosen(given: Sequence[str], edition: str) -> list[Path]:
    """The source notebooks of some chapters, by number or name; of none given, all that have exercises.

    Raises:
        ParameterError: no such chapter, or the edition leaves it out.
    """
    known = {path.stem.partition("_")[0]: path for path in notebook_paths()}
    known |= {path.stem: path for path in known.values()}
    asked = [name.zfill(2) for name in given] or [
        name
        for name, path in known.items()
        if name != path.stem and "{exercise-start}" in path.read_text(encoding="utf-8")
    ]
    for name in asked:
        if name not in known:
            raise ParameterError("chapters", name, nearest(name, sorted(known)))
    paths = list(dict.fromkeys(known[name] for name in asked))
    missing = [path for path in paths if left_out(path, load(edition))]
    if missing and given:
        raise ParameterError("chapters", missing[0].stem, f"is not part of the edition {load(edition).name}")
    return [path for path in paths if path not in missing]


READ_ME = """# Exercises

Unpack this folder under the `notebooks` of the book (as `notebooks/exercises`, say), whose `make lab` opens JupyterLab
there. Run a notebook from the top, again after a restart of its kernel. The folder `checks` stays beside it. Write your
answer where a cell says `...`, decimals with a point (0.45). `check` says whether it is right; it does not know the
answer, and a try takes a moment. Answers are sealed for the edition `{edition}`; other parameters, or models that were
trained on another machine, can have other answers. What is *handed in* in words is marked by a person.

Every chapter takes the results of models from the store (`.store` of the book, or the folder in `W2S_STORE`).

{table}
"""


def _read_me(edition: str, told: Mapping[str, list[Exercise]]) -> str:
    lines = ["| notebook | exercise | level | minutes | points | marked by |", "|---|---|---|---|---|---|"]
    for chapter, listed in told.items():
        for e in listed:
            by = "check" if e.sealed else "a person"
            lines.append(f"| {chapter} | {e.title} | {e.level.lower()} | {e.minutes} | {e.points} | {by} |")
    return READ_ME.format(edition=html.escape(plain(edition)), table="\n".join(lines))


def course(given: Sequence[str], edition: str = "world", output: str | None = None, target: Path | None = None) -> Path:
    """Write the course of some chapters of a built book; returns its folder, ``target`` or one beside the book.

    Raises:
        ParameterError: bad parameters, a chapter that is not there, or a book that has not been built.
    """
    built(edition, output)
    folder, paths = book_folder(load(edition), output), chosen(given, edition)
    beside = {} if find(edition).parent == FOLDER else {find(edition).name: find(edition).read_bytes()}
    target, told = target or folder / "course", {}
    draft = target.with_name(f".{target.name}")
    shutil.rmtree(draft, ignore_errors=True)
    handed: dict[str, str | bytes] = {**beside}
    solved: dict[str, str | bytes] = {**beside, EXAM.name: EXAM.read_bytes()}
    (draft / "grader").mkdir(parents=True)
    for path in paths:
        name, checks = path.stem, folder / "results" / f"{path.stem}.{CHECKS}"
        notebook = nbformat.read(folder / "source" / "notebooks" / path.name, as_version=4)
        study, known = exercises(checks) if checks.is_file() else ("", {})
        sealed = {one: seal(exercise) for one, exercise in known.items()}
        told[name] = exercises_of(notebook.cells, sealed)
        kept = {f"{CHECKS}/{name}.json": json.dumps({"study": study, "exercises": sealed})} if sealed else {}
        handed |= {path.name: nbformat.writes(student(notebook, sealed)), **kept}
        solved |= {path.name: nbformat.writes(solutions(notebook)), **kept}
        if sealed:
            write_grader(draft / "grader" / f"{name}.zip", told[name], kept | beside)
    handed["README.md"] = _read_me(load(edition).name, told)
    for part, files in (("student", handed), ("solutions", solved)):
        for inside, data in files.items():
            place = draft / part / inside
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(data.encode() if isinstance(data, str) else data)
    write_zip(draft / "student.zip", handed)
    rows = [{"chapter": name, **vars(e), "points": e.points} for name, listed in told.items() for e in listed]
    pd.DataFrame(rows).to_csv(draft / "exercises.csv", index=False)
    shutil.rmtree(target, ignore_errors=True)
    draft.rename(target)
    return target


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit code."""
    parser = Arguments(prog="python -m w2s_lib.book.course", description=__doc__.splitlines()[0])
    parser.add_argument("--chapters", nargs="*", default=[], help="numbers or names (default: all with exercises)")
    parser.add_argument("--edition", default="world", help="name of an edition, or path of an edition file")
    parser.add_argument("--output", help="where the book was built (default: book/_build/<edition>)")
    given = parser.parse_args(arguments)
    return exit_code(lambda: print(course(given.chapters, given.edition, given.output)))


if __name__ == "__main__":
    sys.exit(main())
