"""Sphinx extension: what is the same for every page is worked out once.

Sphinx copies all headings of all pages for every page, and then takes those out that are no titles: with an API of
a thousand names that is a fifth of the time in which the book is rendered.  It finds the stem of a word anew on every
page that has it, and for every citation all installed packages are searched for what turns it into text.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from docutils import nodes
from pybtex.plugin import find_plugin, register_plugin
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.search.en import SearchEnglish

CITATIONS = ("pybtex.backends", "plaintext")
"""The plugin that turns a citation into text."""


class English(SearchEnglish):
    """Words of the search index, whose stems are remembered from page to page."""

    def init(self, options: dict[str, str]) -> None:
        super().init(options)
        self.stem = cache(self.stem)


def titles_of(contents: nodes.bullet_list) -> nodes.bullet_list:
    """A page's contents with its title and with what it lists of other pages alone."""
    kept = contents.copy()
    for item in contents.children:
        short = item.copy()
        for child in item.children:
            if not isinstance(child, nodes.bullet_list):
                short += child.deepcopy()
            elif listed := list(child.findall(addnodes.toctree)):
                short += nodes.bullet_list("", *(one.copy() for one in listed))
        kept += short
    return kept


@cache
def titles(app: Sphinx) -> dict[str, nodes.bullet_list]:
    return {page: titles_of(contents) for page, contents in app.env.tocs.items()}


def shorten(app: Sphinx, pagename: str, templatename: str, context: dict, doctree: object) -> None:
    """Have a page's list of all pages made of their titles, where no more of them is asked for."""
    whole: Callable[..., str] = context["toctree"]

    def toctree(**asked: object) -> str:
        if not asked.get("titles_only"):
            return whole(**asked)
        contents, app.env.tocs = app.env.tocs, titles(app)
        try:
            return whole(**asked)
        finally:
            app.env.tocs = contents

    context["toctree"] = toctree


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("html-page-context", shorten, priority=100)
    app.add_search_language(English)
    register_plugin(*CITATIONS, find_plugin(*CITATIONS), force=True)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
