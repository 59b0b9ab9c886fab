"""Copies of pages: numbers stand where roles stood, solutions are folded, and links lead on."""

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from w2s_lib.book.copies import GLUED, Book, bare, glued

PROSE = """# Title

DS is {glue:text}`ds`, there {glue:text}`14_claims.ipynb::says:s`.
See [](14_claims.ipynb#rules), [here](x.md), [](#at-scale).

```{exercise-start}
:label: ex-one
```
**Count.** How many?
```{exercise-end}
```

:::{admonition} Mind this
:class: note
Tiny models {cite:p}`yang2025`.
:::
"""
STARTS, ENDS = "```{solution-start} ex-one\n:class: dropdown\n```", "So many.\n```{solution-end}\n```\n\nMore."


@pytest.fixture
def executed() -> nbformat.NotebookNode:
    made_known = new_output("display_data", {GLUED: "'0.47 [0.2, 0.7]'"}, metadata={"scrapbook": {"name": "ds"}})
    figure = new_output("execute_result", {"image/svg+xml": "<svg/>"}, metadata={"image/svg+xml": {"alt": "a line"}})
    return new_notebook(
        cells=[
            new_code_cell("chapter.say(ds=ds)", metadata={"tags": ["remove-cell"]}, outputs=[made_known]),
            new_markdown_cell(PROSE),
            new_code_cell("draw()", outputs=[figure], execution_count=2),
            new_markdown_cell(STARTS),
            new_code_cell("print(7)", outputs=[new_output("stream", name="stdout", text="7\n")]),
            new_markdown_cell(ENDS),
            new_code_cell("1"),
        ]
    )


@pytest.fixture
def book(executed) -> Book:
    numbers = {"notebooks/05_x": glued(executed.cells), "notebooks/14_claims": {"says": "holds"}}
    return Book({"notebooks/14_claims": "The ledger"}, numbers)


def test_a_notebook_to_run_has_its_numbers_and_its_solutions_folded(book, executed):
    copy = book.notebook(executed, "notebooks/05_x")
    prose = copy.cells[1].source
    assert "DS is 0.47 [0.2, 0.7], there holds.\n" in prose
    assert "See [The ledger](14_claims.ipynb#rules), [here](x.md), [at scale](#at-scale)." in prose
    assert "*Exercise.*\n**Count.** How many?" in prose and "> **Mind this**\n> Tiny models yang2025." in prose
    assert "```" not in prose and ":::" not in prose and "{" not in prose
    folded = [bool(cell.metadata.get("jupyter", {}).get("source_hidden")) for cell in copy.cells]
    assert folded == [False, False, False, False, True, False, False]
    assert [c.source for c in copy.cells if c.cell_type == "code"] == [
        c.source for c in executed.cells if c.cell_type == "code"
    ]
    assert "{glue:text}" in executed.cells[1].source, "the page's own is as it was"


def test_its_source_is_not_executed(book, executed):
    copy = bare(book.notebook(executed, "notebooks/05_x"))
    assert not any(cell.get("outputs") or cell.get("execution_count") for cell in copy.cells)


def test_markdown_tells_code_words_and_figures(book, executed):
    text = book.markdown(executed, "notebooks/05_x")
    assert "[The ledger](14_claims.md#rules)" in text and "*Figure: a line*" in text and "```text\n7\n```" in text
    assert "*Solution:*" in text and "chapter.say" not in text and "{" not in text


def test_a_number_that_nobody_made_known_is_an_error(book):
    with pytest.raises(KeyError, match="other"):
        book.plain("{glue:text}`other`", "notebooks/05_x")


def test_code_on_a_page_stays_code(book):
    source = "---\na: b\n---\n# Run\n\n```sh\nmake book\n```\n\n::::{grid} 2\n:::{grid-item}\nOne.\n:::\n::::\n"
    assert book.page(source, "how") == "# Run\n\n```sh\nmake book\n```\n\nOne.\n"
