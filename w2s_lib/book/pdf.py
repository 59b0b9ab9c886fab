"""Pages as PDF, printed by a Chromium of this machine."""

import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from w2s_lib.book.build import BuildError

FOOT = '<div style="width:100%;text-align:center;font-size:8px"><span class="pageNumber"></span></div>'
MARGIN = {"top": "15mm", "bottom": "18mm", "left": "15mm", "right": "15mm"}
SHEET = {"format": "A4", "margin": MARGIN, "display_header_footer": True, "footer_template": FOOT}
SHEET["header_template"] = "<span></span>"
"""How a book is printed: with page numbers."""

SET = "window.MathJax && MathJax.startup && MathJax.startup.promise.then(() => 0)"
"""Waits for formulas."""

LAID_OUT = (
    "window.Reveal && Reveal.isReady() && document.querySelectorAll('.pdf-page').length >= Reveal.getTotalSlides()"
)
"""Whether reveal.js has put every slide on a page."""


def print_pages(files: Mapping[str, Path], ready: str = "true", **options: Any) -> None:
    """Print addresses into files, with an outline of their headings, once they are ``ready``: a condition in
    JavaScript.  Other options are Playwright's.

    Raises:
        BuildError: there is no browser.
    """
    browser = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if browser is None:
        says = "PDFs are printed by a browser, and there is none; install chromium, or do without: PDF=no, --no-pdf"
        raise BuildError(says)
    from playwright.sync_api import sync_playwright  # here, for it comes with the tests' packages

    with sync_playwright() as playwright:
        program = playwright.chromium.launch(executable_path=browser, args=["--no-sandbox"])
        for address, path in files.items():
            sheet = program.new_page(viewport={"width": 1920, "height": 1080})
            sheet.goto(address)
            sheet.evaluate(SET)
            sheet.wait_for_function(ready)
            sheet.pdf(path=path, tagged=True, outline=True, print_background=True, **options)
            sheet.close()
        program.close()


def print_decks(pages: Iterable[Path], folder: Path) -> None:
    """Print decks into a folder, a slide a page.

    Raises:
        BuildError: there is no browser.
    """
    files = {f"{page.as_uri()}?print-pdf": folder / f"{page.stem}.pdf" for page in pages}
    print_pages(files, LAID_OUT, prefer_css_page_size=True)
