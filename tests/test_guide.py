"""The instructor's guide fits the book: every chapter has its notes, and all minutes add up."""

import re
import shutil
from pathlib import Path

import nbformat
import pytest
import yaml

from w2s_lib.book.guide import ANSWER, GOALS, OPENING_HERE, minutes, take_opening, take_over, unanswered

ROOT = Path(__file__).resolve().parent.parent
GUIDE, BOOK = ROOT / "book" / "teaching", ROOT / "book"
CONTENTS = (BOOK / "_toc.yml").read_text(encoding="utf-8")
CHAPTERS = re.findall(r"file: notebooks/(\w+)", CONTENTS)
REFERENCE = ("98_benchmarks", "99_reproducibility")
"""Pages that are looked up, and not taught: minutes and questions for a class, neither goals nor exercises."""
ROW = re.compile(r"^\| (.+?) \| (.*?) ?\| (\d+) \|$", re.MULTILINE)
"""What is taught, which part of it or nothing, minutes."""
TAUGHT = re.compile(r"^\| (.+?) \| (\d+) \| .+ \|$", re.MULTILINE)
"""A section of a chapter, its minutes, what the class does."""


def notes(name):
    return (GUIDE / "chapters" / f"{name}.md").read_text(encoding="utf-8")


def notebook(name):
    return nbformat.read(ROOT / "notebooks" / f"{name}.ipynb", 4)


def sections(name):
    return {section: int(n) for section, n in TAUGHT.findall(notes(name))}


def teaching(part):
    """Pages of the guide, as the contents have them, in their order."""
    files = lambda chapter: [chapter["file"], *(f for below in chapter.get("sections", []) for f in files(below))]
    (found,) = [p for p in yaml.safe_load(CONTENTS)["parts"] if p["caption"] == part]
    return [file for chapter in found["chapters"] for file in files(chapter)]


def test_every_chapter_has_its_notes_and_every_page_of_the_guide_is_in_the_contents():
    pages = teaching("Teaching")
    assert [page.rpartition("/")[2] for page in pages if page.startswith("teaching/chapters/")] == CHAPTERS
    written = {path.relative_to(BOOK).with_suffix("").as_posix() for path in GUIDE.rglob("*.md")}
    assert written - set(pages) == {"teaching/exam"}, "the exam is on no page"
    config = yaml.safe_load((BOOK / "_config.yml").read_text(encoding="utf-8"))
    assert "teaching/exam.md" in config["exclude_patterns"] and config["only_build_toc_files"]
    assert "link: teaching/index" in (BOOK / "index.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", CHAPTERS)
def test_minutes_of_sections_are_those_of_the_chapter(name):
    source = "\n".join(c.source for c in notebook(name).cells if c.cell_type == "markdown")
    headings = re.findall(r"^## (.+)$", source, re.MULTILINE)
    taught = sections(name)
    assert [h for h in headings if h in taught] == list(taught), "sections as the chapter has them, in its order"
    assert set(headings) - set(taught) <= {"Summary", "Add your seeds"}
    assert minutes(notebook(name)) in (sum(taught.values()), None)


@pytest.mark.parametrize("name", CHAPTERS)
def test_notes_have_their_parts(name):
    text = notes(name)
    parts = re.findall(r"^## (.+)$", text, re.MULTILINE)
    assert parts == ["Minutes", "Misconceptions", "Discussion", "Board", "Skip"]
    believed = text.partition("## Misconceptions")[2].partition("## Discussion")[0].strip().split("\n\n")
    assert len(believed) >= 2 and all(re.match(r"\*\*.+\*\* \*Ask:\* .+\?", one) for one in believed)
    discussed = text.partition("## Discussion")[2].partition("## Board")[0]
    assert discussed.count("ood answer") >= discussed.count("?*") >= 1
    has_opening = GOALS in notebook(name).cells[0].source
    assert (OPENING_HERE in text) == has_opening == bool(minutes(notebook(name)))


@pytest.mark.parametrize("name", [n for n in CHAPTERS if n not in REFERENCE])
def test_a_chapter_opens_with_goals_prerequisites_minutes_and_an_answer(name):
    first = notebook(name).cells[0].source
    assert [first.index(part) for part in (GOALS, "**Before you start**", "**Time**", ANSWER)] == sorted(
        first.index(part) for part in (GOALS, "**Before you start**", "**Time**", ANSWER)
    )
    goals = re.findall(r"^- (.+)$", first.partition("**Before")[0], re.MULTILINE)
    assert len(goals) >= 3 and all(goal.endswith(";") for goal in goals[:-1]) and goals[-1].endswith(".")
    answer = first.partition(ANSWER)[2].partition(":::")[0]
    assert "{glue:text}" in answer, "the answer is read off the run"


@pytest.mark.parametrize("name", [n for n in CHAPTERS if n not in REFERENCE])
def test_a_hand_out_keeps_the_goals_and_loses_the_answer(name):
    first = notebook(name).cells[0].source
    handed = unanswered(first)
    assert GOALS in handed and "**Time**" in handed and ANSWER not in handed
    kept = first.partition(ANSWER)
    assert handed == kept[0] + kept[2].partition("\n:::")[2].lstrip("\n")


def test_plans_name_chapters_and_sections_and_their_minutes_add_up():
    text = (GUIDE / "plans.md").read_text(encoding="utf-8")
    plans = re.findall(r"^## (.+)$", text, re.MULTILINE)
    assert plans == ["90 minutes", "One day", "Four weeks", "Ten weeks"]
    days = re.findall(r"^### [^\n]+ \((\d+) minutes\)\n(.*?)(?=^##|\Z)", text, re.MULTILINE | re.DOTALL)
    assert len(days) == 1 + 4 + 8 + 10
    for length, body in days:
        rows = ROW.findall(body)
        assert sum(int(n) for _, _, n in rows) == int(length), body
        for what, part, n in rows:
            linked = re.fullmatch(r"\[\]\(\.\./notebooks/(\w+)\.ipynb\)", what)
            if linked:
                assert linked[1] in CHAPTERS
                taught, named = sections(linked[1]), re.findall(r"\*([^*]+)\*", part)
                assert part.startswith("all") or named
                assert set(named) <= set(taught), part
                meant = set(taught) - set(named) if part.startswith("all") else named
                assert sum(taught[section] for section in meant) == int(n), (what, part)


def test_works_are_cited_by_keys_that_exist_and_each_week_has_some():
    known = set(re.findall(r"^@\w+\{(\w+),", (BOOK / "references.bib").read_text(encoding="utf-8"), re.MULTILINE))
    pages = [path.read_text(encoding="utf-8") for path in GUIDE.rglob("*.md")]
    cited = [key for text in pages for keys in re.findall(r"\{cite:[pt]\}`([^`]+)`", text) for key in keys.split(",")]
    assert len(cited) >= 15 and set(cited) <= known
    weeks = (GUIDE / "reading.md").read_text(encoding="utf-8").split("## Week ")[1:]
    assert len(weeks) == 10 and all("{cite:t}" in week and "?*" in week and "\n: " in week for week in weeks)


def test_ten_projects_are_whole_and_the_exam_counts_its_points():
    briefs = re.split(r"^## \d+\. ", (GUIDE / "projects.md").read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]
    wanted = ("**Question.**", "**Do.**", "**Hand in.**", "**A good report**")
    assert len(briefs) == 10 and all(part in brief for brief in briefs for part in wanted)
    exam = (GUIDE / "exam.md").read_text(encoding="utf-8")
    points = [int(n) for n in re.findall(r"^## \d+\. .+ \((\d+) points\)$", exam, re.MULTILINE)]
    assert sum(points) == 60 and exam.count("**Rubric.**") == len(points)


def test_notes_take_over_the_opening_with_links_that_lead_somewhere(tmp_path):
    shutil.copytree(GUIDE, tmp_path / "teaching")
    take_over(tmp_path / "teaching", ROOT / "notebooks", ["01_tour"])
    overview = (tmp_path / "teaching" / "chapters.md").read_text(encoding="utf-8")
    rows = re.findall(
        r"^\| \[\]\(\.\./notebooks/(\w+)\.ipynb\) \(\[notes\]\(chapters/\w+\.md\)\) \| (\d+) \| (\d+) \| .+ \|$",
        overview,
        re.MULTILINE,
    )
    assert {name: int(n) for name, n, _ in rows} == {
        n: sum(sections(n).values()) for n in CHAPTERS if n not in REFERENCE
    }
    assert all(int(asked) >= 2 for *_, asked in rows) and "<!--" not in overview
    for path in (tmp_path / "teaching" / "chapters").glob("*.md"):
        text = path.read_text(encoding="utf-8")
        assert ("../../slides/01_tour.html" in text) == (path.stem == "01_tour"), "an edition may leave out a chapter"
        assert OPENING_HERE not in text and f"Notes on [](../../notebooks/{path.stem}.ipynb)" in text
        assert set(re.findall(r"\]\(([^)]*?)(\w+)\.ipynb\)", text)) <= {("../../notebooks/", name) for name in CHAPTERS}
        assert take_opening(notebook(path.stem)).count("\n- ") == text.partition("## Minutes")[0].count("\n- ")
