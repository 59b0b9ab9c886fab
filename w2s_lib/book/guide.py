"""The instructor's guide: what a page of notes on a chapter takes over from the chapter itself.

Goals, prerequisites and minutes stand once, in the first cell of a notebook; the notes of ``book/teaching/chapters``
get them when the book is built.
"""

import re
from collections.abc import Collection
from pathlib import Path

import nbformat
from nbformat import NotebookNode

OPENING_HERE, SYLLABUS = "<!-- opening -->", "<!-- syllabus -->"
"""Where a page of notes wants the opening of its chapter, and where a page wants all chapters as a table."""

GOALS, ANSWER = "**What you will learn here**: after this chapter you can", ":::{admonition} The answer"
"""Between these lies the opening."""

TO_A_CHAPTER = re.compile(r"\]\((?=\d\d_\w+\.ipynb)")


def take_opening(notebook: NotebookNode) -> str:
    """Goals, prerequisites and minutes of a chapter, as Markdown; empty where it has none, as pages of reference."""
    goals = notebook.cells[0].source.partition(GOALS)[2].partition(ANSWER)[0].strip()
    return goals and f"**Goals.** After this chapter students can\n\n{goals}"


def unanswered(text: str) -> str:
    """The first lines of a chapter without its answer: for hand-outs, in which one predicts before one looks."""
    return re.sub(rf"^{re.escape(ANSWER)}.*?^:::\n*", "", text, flags=re.MULTILINE | re.DOTALL)


def minutes(notebook: NotebookNode) -> int | None:
    """Minutes that a chapter takes in class; None where it does not say."""
    told = re.search(r"^\*\*Time\*\*: (\d+) minutes", notebook.cells[0].source, re.MULTILINE)
    return int(told[1]) if told else None


def syllabus(notes: Path, notebooks: Path) -> str:
    """Every chapter that says how long it takes: minutes, exercises, and what comes before it, as a Markdown table."""
    rows = ["| chapter | minutes | exercises | before it |", "|---|---|---|---|"]
    for page in sorted(notes.glob("*.md")):
        chapter = nbformat.read(notebooks / f"{page.stem}.ipynb", 4)
        if long := minutes(chapter):
            before = re.search(r"^\*\*Before you start\*\*: (.+)$", chapter.cells[0].source, re.MULTILINE)
            asked = sum(cell.source.count("{exercise-start}") for cell in chapter.cells)
            name = f"[](../notebooks/{page.stem}.ipynb) ([notes]({notes.name}/{page.name}))"
            told = TO_A_CHAPTER.sub("](../notebooks/", before[1] if before else "")
            rows.append(f"| {name} | {long} | {asked} | {told} |")
    return "\n".join(rows)


DECK = """```{{only}} builder_html
<a href="../../slides/{}.html">Slides</a> of this chapter, for 45 minutes: `S` opens the speaker's notes.
```

"""


def take_over(teaching: Path, notebooks: Path, decks: Collection[str] = ()) -> None:
    """Put what the chapters in ``notebooks`` say of themselves into the pages of the guide in ``teaching``, a folder of
    the book: the syllabus, and their openings into the notes on them; those named in ``decks`` get links to slides."""
    notes, overview = teaching / "chapters", teaching / "chapters.md"
    text = overview.read_text(encoding="utf-8").replace(SYLLABUS, syllabus(notes, notebooks))
    overview.write_text(text, encoding="utf-8")
    for page in sorted(notes.glob("*.md")):
        text = page.read_text(encoding="utf-8")
        told = take_opening(nbformat.read(notebooks / f"{page.stem}.ipynb", 4)) if OPENING_HERE in text else ""
        about = f"Notes on [](../../notebooks/{page.stem}.ipynb).\n\n"
        about += DECK.format(page.stem) if told and page.stem in decks else ""
        head, _, rest = text.partition("\n\n")
        text = f"{head}\n\n{about}{rest}".replace(OPENING_HERE, TO_A_CHAPTER.sub("](../../notebooks/", told))
        page.write_text(text, encoding="utf-8")
