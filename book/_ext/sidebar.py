"""Sphinx extension: what lies below the titles that the sidebar shows is left out once, and not for every page.

Sphinx copies all headings of all pages for every page, and then takes those out that are no titles.  With an API of
a thousand names that is a fifth of the time in which the book is rendered.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx


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
    return {"parallel_read_safe": True, "parallel_write_safe": True}
