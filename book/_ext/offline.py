"""Sphinx extension: the built book asks no other host for anything.

Drops the scripts of sphinx-thebe, which load from a content delivery network, and the MathJax variants
that no page uses.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from sphinx.application import Sphinx

KEEP = {"tex-chtml.js", "output"}


def drop_thebe(app: Sphinx, pagename: str, templatename: str, context: dict, doctree: object) -> None:
    """Leave out of a page every script and style that belongs to thebe, files and inline ones."""
    for kind in ("script_files", "css_files"):
        if kind in context:
            context[kind] = [
                file for file in context[kind] if "thebe" not in f"{file} {getattr(file, 'attributes', '')}".lower()
            ]


def prune(app: Sphinx, exception: Exception | None) -> None:
    """Keep of MathJax what the pages load: one script and its fonts."""
    for script in Path(app.outdir, "_static").rglob("tex-chtml.js"):
        for entry in script.parent.iterdir():
            if entry.name not in KEEP:
                shutil.rmtree(entry) if entry.is_dir() else entry.unlink()


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("html-page-context", drop_thebe, priority=990)
    app.connect("build-finished", prune, priority=990)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
