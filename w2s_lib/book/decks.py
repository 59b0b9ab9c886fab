"""One deck of slides a chapter, from the executed notebooks of a book.

A chapter is a lecture already, and its deck is derived from it by rule: title and question, goals, a slide for each
figure, table and prediction with the sentences that stand beside it, what would change the author's mind, questions
for a class, an exercise, the answer, the summary.  What else the chapter says, and the instructor's notes, are the
speaker's notes.  Figures whose parts have steps (``figures.style.step``) build up.

Decks are reveal.js, by sphinx-revealjs, and ask no other host for anything.  Nothing is computed here.
"""

from __future__ import annotations

import html
import math
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from io import StringIO
from pathlib import Path

import nbformat
import numpy as np
from nbformat import NotebookNode

from w2s_lib.book import guide
from w2s_lib.book.copies import Book, glued
from w2s_lib.book.page import page_template
from w2s_lib.errors import OneLineError, plain
from w2s_lib.figures import SLIDE
from w2s_lib.study.edition import Edition

FEWEST_SLIDES, MOST_SLIDES = 12, 20
"""Slides of a deck, for 45 minutes."""

SLIDE_WORDS = 40
"""Of a section's text, so many words stand on a slide."""

FULL = 130
"""Words of a list that fill a slide, in the smallest letters that can be read from the last row."""

LEAD = 9
"""A sentence of fewer words says little by itself, and takes its neighbour along."""

ROOMY, SHORT_IN_CHARACTERS = 320, 110
"""Characters of a table, and of a formula's longest line, that are shown in larger letters."""

LED = 5
"""Rank of a slide that leads up to what the next one shows."""

SCRAP = 20
"""A slide of text alone that says less goes, while there are slides enough."""

MOST_ROWS, MOST_COLUMNS, CELLS = 11, 7, 800
"""Rows, columns and characters of a table that can be read from the last row."""

SUMMARY, EXERCISES = "Summary", "Exercises"
MIND = "What would change my mind?"
CITED = re.compile(r"\{cite:([pt])\}`([^`]+)`")
NAMED_TWICE = re.compile(r"([A-Z][\w. ]+) \(\1, (\d+)\)")
"""Authors who are named in the sentence, and again where they are cited."""
TO_A_PAGE = re.compile(r"\[\]\(([^)#\s]*)(?:#[^)\s]*)?\)")
TO_AN_EXERCISE = re.compile(r"\{(?:ref|prf:ref)\}`ex-[^`]*`")
LINKED = re.compile(r"(?<!!)\[([^\]]*)\]\([^)\s]*\)")
SENTENCE = re.compile(r"(?<=[.?!])(?<!al\.)([*\"”)]*)\s+(?=[*_\"“(\[$`\d]*[A-Z])")
EXERCISE = re.compile(r"^```\{exercise-start\}\n(?::.*\n)*```\n(.*?)^```\{exercise-end\}", re.MULTILINE | re.DOTALL)
FORMULA = re.compile(r"(\$[^$]*\$)")
HEADING = re.compile(r"^#{2,3} (.+)$", re.MULTILINE)
ITEM = re.compile(r"^\s*(?:[-*]|\d+\.) (?=\S)", re.MULTILINE)
PREDICTION_ASKED = re.compile(r'data-play="prediction".*?data-told="([^"]*)".*?<span>(.*?)</span>', re.DOTALL)
MISTAKEN = re.compile(r"^\*\*(?P<mistake>.+?)\*\* \*Ask:\* (?P<ask>[^?]+\?)(?P<answer>.*)$", re.DOTALL)
DISCUSSED = re.compile(r"^\*(?P<ask>[^*]+)\*(?P<answer>.*)$", re.DOTALL)
COST_NOTE = re.compile(r"\*What [^*]* cost: [^*]*\*$")
LEADS = re.compile(r"[^.!)*”\"`|]$")
"""How prose ends that leads over to what follows it."""
TITLE = re.compile(r"^(\*\*[^*]+\*\*|\*[^*]+\*)")
STEP_GROUP = re.compile(r'<g id="step-(\d+)-\d+">')


class DeckError(OneLineError):
    """Slides that could not be made, in one line."""


@dataclass(frozen=True)
class Slide:
    """One slide: Markdown that it ``says``, HTML or a block of Markdown that it ``shows``, and notes in Markdown.

    ``rank`` tells what goes first where a deck is too long: 0 stays.
    """

    title: str
    says: str = ""
    shows: str = ""
    notes: tuple[str, ...] = ()
    look: str = ""
    rank: int = 0


@dataclass
class Piece:
    """What one slide is made of: prose before and after the one thing that it shows."""

    before: list[str] = field(default_factory=list)
    shows: str = ""
    kind: str = ""
    after: list[str] = field(default_factory=list)
    told: str = ""
    """What is known of the thing besides: a figure's caption, a prediction's answer."""


def count_words(text: str) -> int:
    """How many words a text has."""
    return len(text.split())


def sentences(text: str) -> list[str]:
    """The sentences of a paragraph in one line each; what is too short to be one, and a question, go with the next.

    >>> sentences("**Rerun.** No conflict; another seed. Whatever\\nit taxes is churn.")
    ['**Rerun.** No conflict; another seed.', 'Whatever it taxes is churn.']
    """
    parts = SENTENCE.sub(lambda end: f"{end[1]}\n", " ".join(text.split())).split("\n")
    told: list[str] = []
    for part in parts:
        if told and (count_words(told[-1]) < 4 or told[-1].rstrip("*_").endswith("?")):
            told[-1] += f" {part}"
        else:
            told.append(part)
    stars = lambda part: FORMULA.sub("", part).replace("**", "").count("*")
    return [without_markup(part) if stars(part) % 2 else part for part in told]


def split_blocks(text: str) -> Iterator[str]:
    """Paragraphs, lists, tables and formulas of a page's Markdown, one by one."""
    for block in re.split(r"\n\s*\n(?=\S)", text):
        if block.strip():
            yield block.strip("\n")


def items(block: str) -> list[str]:
    """The items of a list; of another block, itself."""
    return [item.strip() for item in ITEM.split(block) if item.strip()] if ITEM.match(block) else [block]


def without_markup(text: str) -> str:
    """Markdown as a speaker reads it: words alone; formulas stay as they are."""
    parts = FORMULA.split(text)
    parts[::2] = [re.sub(r"(\*\*|(?<!\w)\*(?=\S)|(?<=\S)\*(?!\w)|`)", "", part) for part in parts[::2]]
    return "".join(parts)


def authors(references: Path) -> dict[str, tuple[str, str]]:
    """Who wrote a work, and when, by the work's key."""
    from pybtex.database import parse_file
    from pybtex.richtext import Text

    told = {}
    for key, entry in parse_file(references).entries.items():
        names = [" ".join(person.last_names) or str(person) for person in entry.persons.get("author", ())]
        who = names[0] + " et al." if len(names) > 2 or "others" in names else " and ".join(names)
        told[key] = (str(Text.from_latex(who)), entry.fields.get("year", ""))
    return told


@dataclass(frozen=True)
class Origin:
    """A built book as its decks read it."""

    folder: Path
    edition: Edition
    book: Book
    works: Mapping[str, tuple[str, str]]

    @classmethod
    def of(cls, folder: Path, edition: Edition) -> Origin:
        """The book whose pages lie in ``folder``."""
        read = {path.stem: nbformat.read(path, 4) for path in sorted((folder / "notebooks").glob("*.ipynb"))}
        titles = {f"notebooks/{name}": notebook.cells[0].source.splitlines()[0][2:] for name, notebook in read.items()}
        numbers = {f"notebooks/{name}": glued(notebook.cells) for name, notebook in read.items()}
        return cls(folder, edition, Book(titles, numbers), authors(folder / "references.bib"))

    def prose(self, text: str, page: str) -> str:
        """Markdown of a page as a slide has it: with its numbers, authors by name, and without links."""

        def cite(found: re.Match) -> str:
            told = [self.works.get(key.strip(), (key.strip(), "")) for key in found[2].split(",")]
            parts = [f"{who} ({year})" if found[1] == "t" else f"{who}, {year}" for who, year in told]
            return " and ".join(parts) if found[1] == "t" else f"({'; '.join(parts)})"

        text = NAMED_TWICE.sub(r"\1 (\2)", TO_AN_EXERCISE.sub("the exercises", CITED.sub(cite, text)))
        text = TO_A_PAGE.sub(lambda found: f"*{found[0]}*" if found[1] else found[0], text)  # a title in a sentence
        return LINKED.sub(r"\1", self.book.plain(text, page))


def figure(output: NotebookNode, name: str) -> tuple[str, dict[str, str]]:
    """A figure's HTML, and the file that it needs, if any: one that builds up stands in the page itself."""
    about = output.metadata["image/svg+xml"]
    svg = output.data.get(SLIDE) or output.data["image/svg+xml"]
    alt = html.escape(about["alt"])
    if not STEP_GROUP.search(svg):
        return f'<figure><img src="figures/{name}.svg" alt="{alt}"></figure>', {f"{name}.svg": svg}
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg[svg.index("<svg") :], flags=re.DOTALL)
    at = lambda step: f'<g class="fragment" data-fragment-index="{int(step) - 1}"'
    shown = lambda found: found[0] if found[1] == "1" else found[0].replace("<g", at(found[1]), 1)
    svg = STEP_GROUP.sub(shown, svg)
    svg = re.sub(r'( id="|href="#|url\(#)', rf"\g<1>{name}-", svg)  # ids of several figures do not meet
    svg = svg.replace("<svg", f'<svg role="img" aria-label="{alt}"', 1)
    return f"<figure>{svg}</figure>".replace("\n", " "), {}


def fits(table: str) -> bool:
    """Whether a table, of HTML or Markdown, can be read from the last row."""
    rows = re.findall(r"<tr.*?</tr>", table, re.DOTALL)
    rows = rows or [row for row in table.splitlines() if set(row) - set("|-: ")]  # the line below its head has no words
    columns = max((len(re.findall(r"<t[hd]|(?<=.)\|", row)) for row in rows), default=0)
    longest = sum(len(re.sub(r"<[^>]+>|[*|]", "", row).strip()) for row in rows)
    return 2 <= len(rows) <= MOST_ROWS and columns <= MOST_COLUMNS and longest <= CELLS


def in_rows(formula: str) -> str:
    """A display formula; parts of it that would not fit side by side stand one below the other."""
    body = formula.strip("$\n ")
    if len(body) <= SHORT_IN_CHARACTERS or "\\qquad" not in body or "\\\\" in body:
        return formula
    parts = [part.strip() for part in re.split(r"\\qquad", body) if part.strip()]
    return "\n".join(["$$", "\\begin{gathered}", " \\\\[0.6em]\n".join(parts), "\\end{gathered}", "$$"])


def _kind(block: str) -> str:
    if block.startswith("|"):
        return "table"
    return "formula" if block.startswith(("$$", "\\begin")) else "prose"


def _add(groups: list[Piece], kind: str, shows: str, about: str = "") -> None:
    """Add a thing to the groups of a section, with what leads over to it."""
    last = groups[-1]
    if kind == last.kind == "formula":  # a derivation stays on one slide
        last.shows = "\n\n".join([last.shows, *(sentences(p)[-1] for p in last.after[-1:]), shows])
        return
    if last.kind:  # what leads over to a thing stands before it
        lead = last.after[-1:] if last.after and LEADS.search(last.after[-1]) else []
        last.after = last.after[: len(last.after) - len(lead)]
        groups.append(Piece(lead))
    groups[-1].kind, groups[-1].shows, groups[-1].told = kind, shows, about


def sections(notebook: NotebookNode, source: Origin, page: str) -> tuple[list[tuple[str, list[Piece]]], dict[str, str]]:
    """The sections of a chapter up to its exercises, each in groups of what one slide is made of; and their figures."""
    told: list[tuple[str, list[Piece]]] = [("", [Piece()])]
    figures: dict[str, str] = {}
    add = lambda *thing: _add(told[-1][1], *thing)
    for cell in notebook.cells:
        skipped, hidden = cell.metadata.get("slide") == "skip", "remove-cell" in cell.metadata.get("tags", [])
        hidden &= cell.metadata.get("slide") != "only"
        if cell.cell_type == "markdown":
            text = "" if skipped else source.prose(cell.source, page)
            for block in split_blocks(HEADING.sub(r"\n\n## \1\n\n", text)):
                if block.startswith("## "):
                    if block[3:] == EXERCISES:
                        return told, figures
                    told.append((block[3:], [Piece()]))
                elif (kind := _kind(block)) != "prose":
                    add(kind, in_rows(block) if kind == "formula" else block)
                elif not block.startswith("# "):
                    last = told[-1][1][-1]
                    (last.after if last.kind else last.before).extend(items(block))
        for output in () if skipped or hidden else cell.get("outputs", ()):
            data = output.get("data", {})
            if "image/svg+xml" in output.get("metadata", {}):
                name = f"{page.rpartition('/')[2][:2]}-{len(figures) + 1}"
                shown, files = figure(output, name)
                figures |= files or {name: ""}
                add("figure", shown, source.prose(output.metadata["image/svg+xml"]["caption"], page))
            elif asked := PREDICTION_ASKED.search(data.get("text/html", "")):
                add("question", html.unescape(asked[2]), html.unescape(asked[1]))
            elif data.get("text/html", "").startswith('<table class="dataframe'):
                add("table", data["text/html"].partition("<details>")[0].replace("\n", " "))  # none is unfolded there
    return told, figures


def with_lead(told: Sequence[str]) -> list[str]:
    """Sentences of a paragraph, the first of which says something without those behind it; a title alone does not."""
    enough = lambda text: count_words(text) >= LEAD and count_words(TITLE.sub("", text)) > LEAD // 2
    n = next((n for n in range(1, len(told)) if enough(" ".join(told[:n]))), len(told))
    return [" ".join(told[:n]), *told[n:]] if told else []


def ending(paragraph: str) -> str:
    """The last sentence of a paragraph, with as many before it as it takes to say something."""
    told = sentences(paragraph)
    return next((text for n in range(1, len(told)) if count_words(text := " ".join(told[-n:])) >= LEAD), " ".join(told))


def chosen_words(paragraphs: Sequence[str]) -> list[str]:
    """What of some paragraphs stands on a slide: first sentences first, then second ones, as many as there is room for.

    What leads over to something else does not, nor the end of a sentence, nor what stands below a table in italics.
    """
    split = [sentences(p) for p in paragraphs if not re.fullmatch(r"\*[^*].*[^*]\*", p, re.DOTALL)]
    split = [with_lead([s for s in told if s and not (LEADS.search(s) or s[0].islower())]) for told in split]
    kept, room = [0] * len(split), SLIDE_WORDS
    for depth in range(max(map(len, split), default=0)):
        for i, told in enumerate(split):
            if kept[i] == depth < len(told) and (count_words(told[depth]) <= room or not any(kept)):
                kept[i] += 1
                room -= count_words(told[depth])
    return [" ".join(told[:n]) for told, n in zip(split, kept) if n]


def slides_of_group(title: str, group: Piece) -> list[Slide]:
    """The slides of a group: the thing with the finding beside it, and before it, where much leads to it, the lead."""
    prose = [p for p in (*group.before, *group.after) if not p.startswith((">", ":::", "```"))]
    notes = (*group.before, *group.after)
    bulleted = lambda texts: "\n".join(f"- {text}" for text in texts) if len(texts) > 1 else "".join(texts)
    if group.kind == "question":
        return [Slide(title, group.shows, "", (*notes, f"What is found: {group.told}"), "question", 1)]

    def text(prose: list[str], rank: int) -> list[Slide]:
        says = bulleted(chosen_words(prose))
        return [Slide(title, says, "", tuple(prose), "text", rank)] if count_words(says) > 8 else []

    if not group.kind or group.kind == "table" and not fits(group.shows):
        return text(prose, 4 if group.kind else 3)
    lead = text(group.before, LED) if sum(map(count_words, group.before)) > 60 and group.kind != "formula" else []
    beside = (group.after[:1], [] if lead else group.before[-1:], [group.told])
    if group.kind == "formula" and group.before:
        finding = ending(group.before[-1])
    else:
        found = [" ".join(chosen_words(prose)) for prose in beside]
        finding = next((says for says in found if count_words(says) > 8), max(found, key=count_words))
    notes = (*(() if lead else group.before), *group.after, group.told)
    rank = {"figure": 1, "formula": 2}.get(group.kind, 4)
    return [*lead, Slide(title, finding, group.shows, notes, group.kind, rank)]


def noted(source: Origin, chapter: str) -> dict[str, list[str]]:
    """The instructor's notes on a chapter: paragraphs by heading; rows of the table of minutes among them."""
    path = source.folder / "teaching" / "chapters" / f"{chapter}.md"
    text = source.prose(path.read_text(encoding="utf-8"), f"teaching/chapters/{chapter}") if path.is_file() else ""
    parts = re.split(r"^## (.+)$", text, flags=re.MULTILINE)[1:]
    return {name: list(split_blocks(body)) for name, body in zip(parts[::2], parts[1::2])}


def minutes_by_section(notes: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """What the instructor's notes say of each section: its minutes, and what the class does."""
    rows = [line for block in notes.get("Minutes", ()) if block.startswith("|") for line in block.splitlines()[2:]]
    cells = [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]
    return {name: f"{long} minutes. The class {does}." for name, long, does in (row for row in cells if len(row) == 3)}


def class_questions(notes: Mapping[str, Sequence[str]]) -> list[Slide]:
    """Questions for the class from the instructor's notes; what a good answer contains is for the speaker alone."""
    told = []
    for kind, pattern in (("Discussion", DISCUSSED), ("Misconceptions", MISTAKEN)):
        for block in notes.get(kind, ()):
            if found := pattern.match(" ".join(block.split())):
                said = found.groupdict()
                mistake = f"> {said['mistake']}\n\n" if "mistake" in said else ""
                title, ask = "To discuss" if kind == "Discussion" else "Is it so?", said["ask"]
                says = mistake + ask[0].upper() + ask[1:]
                told.append(Slide(title, says, "", (said["answer"],), "question", 6))
    return told


def class_exercise(notebook: NotebookNode, source: Origin, page: str) -> list[Slide]:
    """The exercise of fewest words, to begin in class."""
    text = "\n\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    asked = [source.prose(found, page).strip() for found in EXERCISE.findall(text)]
    if not asked:
        return []
    where = "Every exercise, with its solution, stands in the chapter."
    return [Slide("Exercise", min(asked, key=count_words), "", (where,), "exercise")]


def read_opening(notebook: NotebookNode, source: Origin, page: str) -> tuple[str, list[str], list[str], str]:
    """Of a chapter's first cell: its question, its goals, what comes before and how long it takes, and the answer."""
    text = notebook.cells[0].source
    head, _, rest = text.partition(guide.GOALS)
    goals, _, answered = rest.partition(guide.ANSWER)
    parts = list(split_blocks(source.prose(goals, page)))
    answer = re.sub(r"^:.*$|^, in two sentences$", "", answered.partition("\n:::")[0], flags=re.MULTILINE)
    question = " ".join(source.prose(head.partition("\n")[2], page).split())
    told = lambda bullets: [p for p in parts if bool(ITEM.match(p)) == bullets]
    return question, [i for p in told(True) for i in items(p)], told(False), source.prose(answer, page).strip()


def in_parts(bullets: Sequence[str]) -> list[list[str]]:
    """Bullets in their order, in as few parts as fill no slide but by a single bullet, about as many words in each."""
    words = [count_words(bullet) for bullet in bullets]
    for count in range(max(1, math.ceil(sum(words) / FULL)), len(bullets) + 1):
        middle = np.cumsum(words) - np.array(words) / 2
        part = np.floor(count * middle / sum(words)).astype(int)
        parts = [[bullet for bullet, its in zip(bullets, part) if its == i] for i in dict.fromkeys(part)]
        if all(len(told) == 1 or sum(map(count_words, told)) <= FULL for told in parts):
            return parts
    return [[bullet] for bullet in bullets]


def shortened(slides: list[Slide], most: int) -> list[Slide]:
    """At most so many slides: those of highest rank go first, the last of them first, and leave their notes."""
    slides = list(slides)
    while len(slides) > most and max(s.rank for s in slides):
        highest = max(s.rank for s in slides)
        at = next(i for i in reversed(range(len(slides))) if slides[i].rank == highest)
        gone = slides.pop(at)
        if at < len(slides) and slides[at].title == gone.title:
            slides[at] = replace(slides[at], notes=(*gone.notes, *slides[at].notes))
        elif at:
            slides[at - 1] = replace(slides[at - 1], notes=(*slides[at - 1].notes, *gone.notes))
    return slides


def without_scraps(slides: Sequence[Slide], fewest: int) -> list[Slide]:
    """Slides without those of text alone that say little or lead up to something, but for what makes up the fewest."""
    scrap = lambda slide: slide.look == "text" and (count_words(slide.says) < SCRAP or slide.rank == LED)
    last = max((s.rank for s in slides), default=0) + 1
    ranked = [replace(s, rank=last) if scrap(s) else s for s in slides]
    return shortened(ranked, max(fewest, sum(not scrap(s) for s in slides)))


def deck(notebook: NotebookNode, source: Origin, chapter: str) -> tuple[str, list[Slide], dict[str, str]]:
    """A chapter's title, its slides after the first, which is made of the title and the question, and its figures."""
    page = f"notebooks/{chapter}"
    question, goals, before, answer = read_opening(notebook, source, page)
    told, figures = sections(notebook, source, page)
    notes = noted(source, chapter)
    long, made, mind, summed = minutes_by_section(notes), [], [], []
    for title, groups in told[1:]:
        for group in groups:
            for prose in (group.before, group.after):
                for text in [p for p in prose if MIND in p]:
                    prose.remove(text)
                    says = text.partition(MIND)[2].strip("* ")
                    mind = [Slide(MIND, says, "", (), "question")]
        slides = [slide for group in groups for slide in slides_of_group(title, group)]
        if title == SUMMARY:
            said = [p for group in groups for p in group.before if not COST_NOTE.match(p)]
            summed = [Slide(title, "\n".join(f"- {p}" for p in part), "", (), "text") for part in in_parts(said)]
        elif slides:
            made += [replace(slides[0], notes=(long.get(title, ""), *slides[0].notes)), *slides[1:]]
    first = Slide(question, "", "", (*before, *notes.get("Skip", ())), "title")
    aims = Slide("After this chapter you can", "\n".join(f"- {goal}" for goal in goals), "", tuple(before), "text")
    given = [Slide("The answer", answer, "", (), "text")] if answer else []
    asked = class_questions(notes)
    worked = [replace(s, notes=(long.get(EXERCISES, ""), *s.notes)) for s in class_exercise(notebook, source, page)]
    fixed = 2 + len(mind) + len(given) + len(worked) + len(summed)
    made = shortened(without_scraps(made, FEWEST_SLIDES - fixed), MOST_SLIDES - fixed - min(1, len(asked)))
    asked = asked[: max(1, FEWEST_SLIDES + 2 - fixed - len(made))]
    return source.book.titles[page], [first, aims, *made, *mind, *asked, *worked, *given, *summed], figures


def _look(slide: Slide) -> str:
    """What the style sheet is told of a slide: larger letters where there is room, smaller ones where there is not."""
    if slide.look == "text" and count_words(slide.says) > 75:
        return "dense"
    lines = re.sub(r"<[^>]+>|\s*\|[\s|:-]*", " ", slide.shows) if slide.look == "table" else ""
    roomy_table = slide.look == "table" and len(" ".join(lines.split())) <= ROOMY
    rows = [" ".join(row.split()) for row in re.split(r"\\\\|\n\n", slide.shows)]
    roomy_formula = slide.look == "formula" and max(map(len, rows)) <= SHORT_IN_CHARACTERS
    return f"roomy {slide.look}" if roomy_table or roomy_formula else slide.look


def _raw(text: str) -> str:
    return f"``````{{raw}} html\n{text}\n``````\n"


def as_markdown(title: str, slides: Sequence[Slide], edition: Edition) -> str:
    """The source of a deck: MyST Markdown, a heading a slide."""
    first, *others = slides
    foot = html.escape(plain(f"{edition.name}: {edition.title}"))
    parts = [f"---\norphan: true\n---\n\n# {title}\n", f"{first.title}\n", _raw(f'<p class="edition">{foot}</p>')]
    parts.append(_notes(first.notes))
    for slide in others:
        look = _look(slide)
        parts.append(f"## {slide.title}\n\n```{{revealjs-section}}\n:data-state: {look}\n```\n")
        parts += [f"{slide.says}\n"] if slide.says else []
        if slide.shows:
            wide = slide.shows.startswith(("$$", "\\begin", "|"))
            parts.append(f"{slide.shows}\n" if wide else _raw(slide.shows))
        parts.append(_notes(slide.notes))
    return "\n".join(parts)


def _notes(notes: Iterable[str]) -> str:
    """Notes of the speaker's view, as plain paragraphs."""
    told = [without_markup(" ".join(text.split())) for text in notes if text.strip() and not text.startswith("|")]
    paragraphs = "".join(f"<p>{html.escape(text)}</p>" for text in dict.fromkeys(told))
    return _raw(f'<aside class="notes">{paragraphs}</aside>') if paragraphs else ""


KEPT = ("reveal.css", "reveal.js", "reset.css", "source-sans-pro", "notes.js", "deck.css", "tex-chtml.js", "fonts")
"""What decks load of all that Sphinx, reveal.js and MathJax bring."""

SPHINX_SETTINGS = {
    "extensions": ["myst_parser", "sphinx.ext.mathjax", "sphinx-mathjax-offline", "sphinx_revealjs"],
    "myst_enable_extensions": ["amsmath", "dollarmath"],
    "myst_disable_syntax": ["html_block", "html_inline"],  # texts of editions and runs are texts
    "suppress_warnings": ["myst.header"],
    "language": "en",
    "copyright": "",
    "html_copy_source": False,
    "mathjax3_config": {"options": {"enableMenu": False}},
    "revealjs_html_theme": "revealjs-simple",
    "revealjs_style_theme": "deck.css",
    "revealjs_static_path": [str(Path(__file__).parent / "deck")],
    "revealjs_script_files": ["revealjs/dist/reveal.js"],
    "revealjs_script_plugins": [{"src": "revealjs/plugin/notes/notes.js", "name": "RevealNotes"}],
    "revealjs_script_conf": {
        "width": 1920,
        "height": 1080,
        "margin": 0,
        "center": False,
        "display": "flex",
        "hash": True,
        "slideNumber": "c/t",
        "transition": "none",
        "pdfSeparateFragments": False,
        "pdfMaxPagesPerSlide": 1,
        "totalTime": 45 * 60,
        "scrollActivationWidth": None,
    },
}


def render_decks(draft: Path, target: Path, first: str) -> None:
    """Make decks of the Markdown in ``draft``, whose first page is named.

    Raises:
        DeckError: Sphinx found something wrong.
    """
    from sphinx.application import Sphinx
    from sphinx.util.docutils import docutils_namespace, patch_docutils

    warned = StringIO()
    with patch_docutils(), docutils_namespace():
        settings = SPHINX_SETTINGS | {"root_doc": first}
        app = Sphinx(draft, None, target, target / ".doctrees", "revealjs", settings, None, warned)
        app.build(force_all=True)
    if said := warned.getvalue().strip():
        raise DeckError(f"slides: {' '.join(said.splitlines()[0].split())}")


def _prune(target: Path) -> None:
    """Take away what no deck loads."""
    for path in sorted(target.rglob("*"), reverse=True):
        if path.is_dir():
            if not any(path.iterdir()):
                path.rmdir()
        elif "_static" in (parts := path.relative_to(target).parts) and not set(parts) & set(KEPT):
            path.unlink()
    shutil.rmtree(target / ".doctrees")
    for name in ("genindex.html", "search.html", "searchindex.js", "objects.inv", ".buildinfo"):
        (target / name).unlink(missing_ok=True)


def write_decks(source: Path, edition: Edition, paths: Sequence[Path], target: Path) -> list[Path]:
    """Write decks of some chapters of the book whose pages lie in ``source`` into a new folder; returns them.

    Chapters without goals, which are pages of reference, have no deck.

    Raises:
        DeckError: Sphinx found something wrong.
    """
    read = Origin.of(source, edition)
    draft, made = target.with_name(f".{target.name}"), target.with_name(f".{target.name}-made")
    for folder in (draft, made):
        shutil.rmtree(folder, ignore_errors=True)
    (draft / "decks").mkdir(parents=True)
    titles: dict[str, str] = {}
    figures: dict[str, str] = {}
    for path in paths:
        notebook = nbformat.read(source / "notebooks" / path.name, 4)
        if guide.take_opening(notebook):
            title, slides, drawn = deck(notebook, read, path.stem)
            titles[path.stem], figures = title, figures | drawn
            text = as_markdown(title, slides, edition)
            (draft / "decks" / f"{path.stem}.md").write_text(text, encoding="utf-8")
    if titles:
        render_decks(draft / "decks", made, next(iter(titles)))
        _prune(made)
        (made / "figures").mkdir(exist_ok=True)
        for name, svg in figures.items():
            if svg:
                (made / "figures" / name).write_text(svg, encoding="utf-8")
        index = page_template("slides.html").render(titles=titles, e=edition)
        (made / "index.html").write_text(index, encoding="utf-8")
        shutil.rmtree(target, ignore_errors=True)
        made.rename(target)
    shutil.rmtree(draft)
    return [target / f"{name}.html" for name in titles]
