"""Sphinx extension: the built book asks no other host for anything, gives no name twice on a page, and shows docstrings
as they are written.

Drops the scripts of sphinx-thebe, which load from a content delivery network, and MathJax's other entry points, which
no page loads.
"""

from __future__ import annotations

import re
from pathlib import Path

from sphinx.application import Sphinx
from sphinx.pycode import ModuleAnalyzer

MATHJAX = "tex-chtml.js"

OF_ALL = re.compile(r' id="(?:exercise|solution)-content"')
"""What sphinx-exercise calls every exercise, and every solution."""


def drop_thebe(app: Sphinx, pagename: str, templatename: str, context: dict, doctree: object) -> None:
    """Leave out of a page every script and style that belongs to thebe, files and inline ones."""
    for kind in ("script_files", "css_files"):
        if kind in context:
            context[kind] = [
                file for file in context[kind] if "thebe" not in f"{file} {getattr(file, 'attributes', '')}".lower()
            ]


def drop_names(app: Sphinx, pagename: str, templatename: str, context: dict, doctree: object) -> None:
    """Leave out names that several parts of a page share: they name none."""
    if "body" in context:
        context["body"] = OF_ALL.sub("", context["body"])


def keep_first_line(app: Sphinx, what: str, name: str, thing: object, options: object, lines: list[str]) -> None:
    """Have napoleon read no type off what stands before a colon, but find an empty comment in its place: types are
    annotated, and sentences have colons."""
    if what in ("attribute", "data", "property"):
        lines[:0] = ["..", ""]


def skip_aliases(app: Sphinx, what: str, name: str, thing: object, skip: bool, options: object) -> bool | None:
    """Leave out fields of named tuples of which nothing is said: the signature has them."""
    if not str(getattr(thing, "__doc__", "")).startswith("Alias for field number"):
        return None
    inside, said = app.env.temp_data["autodoc:class"], app.env.temp_data["autodoc:module"]
    return (inside, name) not in ModuleAnalyzer.for_module(said).find_attr_docs() or None


def prune(app: Sphinx, exception: Exception | None) -> None:
    """Keep of MathJax the one script that pages load, and what that may load later: fonts, menu, speech, explorer."""
    for script in Path(app.outdir, "_static").rglob(MATHJAX):
        for entry in script.parent.glob("*.js"):
            if entry.name != MATHJAX:
                entry.unlink()


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("html-page-context", drop_thebe, priority=990)
    app.connect("html-page-context", drop_names, priority=990)
    app.connect("autodoc-process-docstring", keep_first_line, priority=400)
    app.connect("autodoc-skip-member", skip_aliases)
    app.connect("build-finished", prune, priority=990)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
