"""Slides of a built book, as pages and as PDF, in a folder to take along: ``make slides``.

    python -m w2s_lib.book.slides --chapters 01 05 --edition preview

The book has the same decks among its pages; here they stand by themselves, and nothing is computed.  A preview has
none: of it, chapters are executed again, with figures for slides.
"""

import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from w2s_lib.book import decks
from w2s_lib.book.build import book_folder, built, drawing, execute_notebook, notebook_parameters, studied
from w2s_lib.book.chapter import open_lab
from w2s_lib.book.course import chosen
from w2s_lib.book.pdf import print_decks
from w2s_lib.errors import Arguments, ParameterError, exit_code
from w2s_lib.study import Study
from w2s_lib.study.edition import load


def slides(given: Sequence[str], edition: str = "world", output: str | None = None, pdf: bool = True) -> Path:
    """Write the decks of some chapters of a built book, as pages and, with ``pdf``, as PDF; returns their folder.

    Raises:
        ParameterError: bad parameters, a chapter that is not there or has no deck, or a book that has not been built.
        DeckError: Sphinx found something wrong.
        BuildError: there is no browser to print.
    """
    built(edition, output)
    e, paths = load(edition), chosen(given, edition)
    folder = book_folder(e, output)
    source, results = folder / "source", folder / "results"
    with tempfile.TemporaryDirectory() as draft:
        if e.record_of:
            source, results = (shutil.copytree(kept, Path(draft) / kept.name) for kept in (source, results))
            given_to, of = notebook_parameters(edition, open_lab(None, None, e)), studied(Study(e))
            with drawing(for_slides=True):
                for path in paths:
                    execute_notebook(path, source / "notebooks" / path.name, given_to, results, of)
        made = decks.write_decks(source, e, paths, folder / "slides")
    if not made:
        raise ParameterError("chapters", " ".join(given), "no goals, no deck: pages of reference have none")
    if pdf:
        print_decks(made, folder / "slides")
    return folder / "slides"


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit code."""
    parser = Arguments(prog="python -m w2s_lib.book.slides", description=__doc__.splitlines()[0])
    parser.add_argument("--chapters", nargs="*", default=[], help="numbers or names (default: all that have goals)")
    parser.add_argument("--edition", default="world", help="name of an edition, or path of an edition file")
    parser.add_argument("--output", help="where the book was built (default: book/_build/<edition>)")
    parser.add_argument("--no-pdf", action="store_true", help="leave out the PDFs, which a Chromium prints")
    given = parser.parse_args(arguments)
    return exit_code(lambda: print(slides(given.chapters, given.edition, given.output, not given.no_pdf)))


if __name__ == "__main__":
    sys.exit(main())
