"""Copies of pages that leave the book: notebooks to run elsewhere and Markdown to read, with the numbers filled in.

A page's source has roles where numbers stand, and directives around exercises, which mean nothing outside the book.
"""

import ast
import posixpath
import re
from collections.abc import Iterable, Mapping
from copy import deepcopy
from dataclasses import dataclass

from nbformat import NotebookNode

from w2s_lib.figures import SLIDE

GLUED = "application/papermill.record/text/plain"
"""What a notebook has made known to the prose (``chapter.say``) is kept under this type."""

NUMBER = re.compile(r"\{glue:text\}`(?:([^`]+?)::)?([^`:]+)(?::[^`:]*)?`")
LINK = re.compile(r"\[\]\(([^)#\s]*)(#[^)\s]*)?\)")
TO_A_NOTEBOOK = re.compile(r"(\]\([^)\s#]+)\.ipynb(#[^)\s]*)?\)")
ROLE = re.compile(r"\{(?:cite:[pt]|doc|ref|numref|term|py:\w+)\}`([^`<]+?)(?: <[^`>]+>)?`")
BOUND = re.compile(r"^(`{3,})\{(exercise|solution)-(start|end)\}.*\n(?::.*\n)*\1[ \t]*$\n?", re.MULTILINE)
BLOCK = re.compile(r"^(`{3,}|:{3,})\{([a-z-]+)\}[ ]?(.*)\n((?:.*\n)*?)\1[ \t]*$", re.MULTILINE)
OPTION = re.compile(r"^:[a-z-]+:.*\n", re.MULTILINE)
PART_LABELS = {"exercise": "*Exercise.*\n", "solution": "*Solution:*\n"}


def glued(cells: Iterable[NotebookNode]) -> dict[str, str]:
    """What executed cells have made known to the prose, by name."""
    outputs = [output for cell in cells for output in cell.get("outputs", []) if GLUED in output.get("data", {})]
    name = lambda output: output.get("metadata", {}).get("scrapbook", {}).get("name")
    return {name(output): str(ast.literal_eval(output["data"][GLUED])) for output in outputs if name(output)}


def unfolded(text: str) -> str:
    """Text without directives and roles: notes as quotations, of other directives what is in them."""
    while (opened := BLOCK.sub(_opened, text)) != text:
        text = opened
    return ROLE.sub(r"\1", text)


@dataclass(frozen=True)
class Book:
    """What copies of pages need to know of the others: titles by page, and what each notebook made known.

    A page is named by its path in the book without its ending, such as ``notebooks/01_tour``.
    """

    titles: Mapping[str, str]
    numbers: Mapping[str, Mapping[str, str]]

    def filled(self, text: str, page: str) -> str:
        """The text of a page with its numbers, and with the titles of pages where links have none.

        Raises:
            KeyError: a number that no notebook made known.
        """
        name = lambda path: posixpath.normpath(posixpath.join(posixpath.dirname(page), path)).rpartition(".")[0]

        def number(found: re.Match) -> str:
            return self.numbers[name(found[1]) if found[1] else page][found[2]]

        def link(found: re.Match) -> str:
            path, place = found[1], found[2] or ""
            title = self.titles.get(name(path), path) if path else place.strip("#").replace("-", " ")
            return f"[{title}]({path}{place})"

        return LINK.sub(link, NUMBER.sub(number, text))

    def plain(self, text: str, page: str) -> str:
        """The same in plain Markdown: exercises and solutions under their names, and as ``unfolded``."""
        text = BOUND.sub(lambda found: PART_LABELS[found[2]] if found[3] == "start" else "", self.filled(text, page))
        return unfolded(text)

    def notebook(self, executed: NotebookNode, page: str) -> NotebookNode:
        """A copy to run: prose with numbers, solutions folded, figures as on the page."""
        copy, within = deepcopy(executed), False
        for cell in copy.cells:
            for output in cell.get("outputs", ()):
                output.get("data", {}).pop(SLIDE, None)
            if cell.cell_type == "markdown":
                bounds = [(found[2], found[3]) for found in BOUND.finditer(cell.source)]
                within = next((end == "start" for what, end in reversed(bounds) if what == "solution"), within)
                cell.source = self.plain(cell.source, page)
            elif within:
                cell.metadata["jupyter"] = {"source_hidden": True, "outputs_hidden": True}
        return copy

    def markdown(self, executed: NotebookNode, page: str) -> str:
        """A copy to read: prose, code, what was printed, and what figures show."""
        parts = []
        for cell in executed.cells:
            if "remove-cell" in cell.metadata.get("tags", []):
                continue
            if cell.cell_type == "markdown":
                parts.append(self.plain(cell.source, page))
            else:
                parts += [f"```python\n{cell.source.strip()}\n```", *filter(None, map(_told, cell.outputs))]
        return _among_markdown("\n\n".join(part.strip() for part in parts if part.strip()))

    def page(self, source: str, page: str) -> str:
        """A page of the book that is Markdown, without what stands before its title."""
        text = source.partition("---\n")[2].partition("---\n")[2] if source.startswith("---\n") else source
        return _among_markdown(self.plain(text, page).strip())


def bare(executed: NotebookNode) -> NotebookNode:
    """The notebook as its source: nothing executed.  It shares with the other all but what executing left."""
    nothing = {"outputs": [], "execution_count": None}
    cells = [NotebookNode(cell | nothing) if cell.cell_type == "code" else cell for cell in executed.cells]
    return NotebookNode(executed | {"cells": cells})


def _among_markdown(text: str) -> str:
    """Text whose links lead to other pages' Markdown."""
    return TO_A_NOTEBOOK.sub(r"\1.md\2)", text) + "\n"


def _opened(found: re.Match) -> str:
    """What is in a directive, without its options; a note is quoted under its title."""
    _, kind, title, body = found.groups()
    body = OPTION.sub("", body).strip()
    if kind in ("admonition", "note", "warning"):
        return "\n".join(f"> {line}".rstrip() for line in (f"**{title or kind.capitalize()}**", *body.splitlines()))
    return f"**{title}**\n\n{body}" if kind == "grid-item-card" else body


def _told(output: NotebookNode) -> str:
    """What an output says in words."""
    figure = output.get("metadata", {}).get("image/svg+xml")
    if figure:
        return f"*Figure: {figure['alt']}*"
    text = output.get("text") if output.output_type == "stream" else output.get("data", {}).get("text/plain")
    return f"```text\n{text.strip()}\n```" if text and "scrapbook" not in output.get("metadata", {}) else ""
