"""Built books of several editions in one folder, with a switch on every page that stays on the same chapter.

    python -m w2s_lib.book.site world smoke

The switch is links: it works from files, without scripts and by keyboard.  *Compare* lays editions side by side.
"""

import os
import re
import shutil
import sys
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from urllib.parse import quote

from w2s_lib.book import compare, crate
from w2s_lib.book.chapter import BUILT
from w2s_lib.errors import Arguments, ParameterError, exit_code

MARK = ".site"
"""A file by which a folder is known to be a site: what holds it may be replaced."""

FIRST_PAGE = "index.html"
SKIP_LINK = re.compile(r'<div id="pst-skip-link".*?</div>', re.DOTALL)
"""After this, what a page begins with for those who read with a keyboard, comes the switch."""


def switch(here: str, edition: str, editions: Mapping[str, str], pages: Mapping[str, set[str]]) -> str:
    """The switch on one page, ``here``, of an edition: to the same page of each other one, or its first.

    ``editions`` has their titles by name, ``pages`` the paths of the pages that each has.
    """
    up, links = "../" * (here.count("/") + 1), []
    for name, title in editions.items():
        same = here in pages[name]
        to = quote(f"{up}{name}/{here if same else FIRST_PAGE}")
        state = ' aria-current="true"' if name == edition else " data-same" if same else ""
        more = "" if same else " (first page)"
        links.append(f'<a href="{to}"{state} title="{escape(title)}">{escape(name)}{more}</a>')
    links.append(f'<a href="{up}{compare.COMPARISON_PAGE}">Compare</a>')
    return f'<nav class="editions d-print-none" aria-label="Editions"><span>Edition</span> {" ".join(links)}</nav>'


def folder_for(out: str | None) -> Path:
    """Where the site will lie; one that was written before is known by a file of its own: it will be replaced.

    Raises:
        ParameterError: the folder holds something that is no site.
    """
    folder = Path(out).expanduser().absolute() if out else BUILT / "site"
    if folder.exists() and not (folder.is_dir() and ((folder / MARK).is_file() or not any(folder.iterdir()))):
        raise ParameterError("out", str(out or folder), "must be a new folder, or that of a site")
    return folder


def site(editions: Sequence[str], out: str | None = None) -> Path:
    """Put built books side by side into a folder; returns its first page, which leads to the first edition.

    Raises:
        ParameterError: see ``compare.check_editions`` and ``compare.read_book``; or the folder holds something else.
    """
    compare.check_editions(editions)
    folder = folder_for(out)
    books = [compare.read_book(edition) for edition in editions]
    draft = folder.with_name(f".draft-{os.getpid()}-{folder.name}")
    try:
        for book in books:
            shutil.copytree(book.html, draft / book.edition.name)
        _connect(draft, {book.edition.name: book.edition.title for book in books})
        compare.lay([book._replace(html=draft / book.edition.name) for book in books], draft / compare.COMPARISON_PAGE)
        (draft / FIRST_PAGE).write_text(_first(books[0].edition.name), encoding="utf-8")
        (draft / MARK).touch()
        shutil.rmtree(folder, ignore_errors=True)
        draft.rename(folder)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return folder / FIRST_PAGE


def _connect(folder: Path, editions: Mapping[str, str]) -> None:
    """Put the switch on every page of every book; pages that only lead on to another have none."""
    texts = {
        name: {
            path.relative_to(folder / name).as_posix(): path.read_text(encoding="utf-8")
            for path in sorted((folder / name).rglob("*.html"))
        }
        for name in editions
    }
    texts = {name: {here: text for here, text in own.items() if SKIP_LINK.search(text)} for name, own in texts.items()}
    pages = {name: set(own) for name, own in texts.items()}
    for name, own in texts.items():
        for here, text in own.items():
            at = SKIP_LINK.search(text).end()
            changed = f"{text[:at]}\n{switch(here, name, editions, pages)}{text[at:]}"
            (folder / name / here).write_text(changed, encoding="utf-8")
        crate.weigh(folder / name)


def _first(name: str) -> str:
    """A page that leads to the first edition."""
    to = f"{quote(name)}/{FIRST_PAGE}"
    head = f'<meta charset="utf-8"><title>{escape(name)}</title><meta http-equiv="refresh" content="0; url={to}">'
    compared = f'<a href="{compare.COMPARISON_PAGE}">all side by side</a>'
    says = f'<p><a href="{to}">Edition {escape(name)}</a>, or {compared}.</p>'
    return f'<!doctype html><html lang="en"><head>{head}</head><body>{says}</body></html>\n'


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit code."""
    parser = Arguments(prog="python -m w2s_lib.book.site", description=__doc__.splitlines()[0])
    parser.add_argument("editions", nargs="*", help="names of two or more editions, or paths of edition files")
    parser.add_argument("--out", help="folder of the site (default: book/_build/site)")
    given = parser.parse_args(arguments)
    return exit_code(lambda: print(f"open {site(given.editions, given.out)}"))


if __name__ == "__main__":
    sys.exit(main())
