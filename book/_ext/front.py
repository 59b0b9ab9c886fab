"""Sphinx extension: how machines find, cite and copy the book.

Each page gets what link previews, search engines and reference managers read, and how to cite it; a preview says on
every page that it is one.  Beside the pages lie their Markdown,
``llms.txt``, a site map, a page for what is not found, and pages that lead from old addresses to new ones.  Notebooks
are copied so that they can be read and run elsewhere (``w2s_lib.book.copies``).

Where the book will lie, and where its source does, is known to those who publish it: ``W2S_SITE`` and
``W2S_REPOSITORY``.  Without them nothing needs them.
"""

from __future__ import annotations

import json
import os
import posixpath
from collections.abc import Iterator
from html import escape
from pathlib import Path

import nbformat
import yaml
from docutils import nodes
from sphinx.application import Sphinx

from w2s_lib.book import copies

PAPER = "https://arxiv.org/abs/2406.11431"
CARD = "card.png"
CITED = yaml.safe_load((Path(copies.__file__).parents[2] / "CITATION.cff").read_text(encoding="utf-8"))
SILENT = {"sphinx_multitoc_numbering", "sphinx_jupyterbook_latex", "sphinx-mathjax-offline", "sphinx.ext.mathjax"}
"""Extensions that number what was read, make LaTeX of it, or add files."""


def site() -> str:
    """The address of the book, with a slash at its end; empty where nobody has told."""
    told = os.environ.get("W2S_SITE", "").rstrip("/")
    return f"{told}/" if told else ""


def configure(app: Sphinx, config: object) -> None:
    """The foot of every page: the paper, and where the source can be had; the head of those of a preview; and the one
    address of each, where the site is known."""
    repository = escape(os.environ.get("W2S_REPOSITORY", ""))
    source = f' <a href="{repository}">Source</a>: <code>git clone {repository}</code>' if repository else ""
    paper = f'The paper examined: <a href="{PAPER}">arXiv 2406.11431</a>.'
    config.html_theme_options["extra_footer"] = f"<p>{paper}{source}</p>"
    config.html_baseurl = site()
    whole = json.loads(Path(app.srcdir, "book.json").read_text(encoding="utf-8"))["edition"].get("record_of")
    if whole:
        says = f"A preview, made from one study seed: <code>make book EDITION={escape(whole)}</code> computes the book."
        config.html_theme_options["announcement"] = says


def describe(doctree: nodes.document | None) -> str:
    """The first paragraph of a page, as one line."""
    for paragraph in doctree.findall(nodes.paragraph) if doctree else ():
        text = " ".join(paragraph.astext().split())
        if len(text) > 40:
            return text[:297] + "…" if len(text) > 298 else text
    return CITED["abstract"]


def linked_data(page: str, title: str, says: str) -> dict:
    """A page as schema.org calls it: the book with its data, a chapter, or a page of it."""
    about, kind = CITED, "Chapter" if page.startswith("notebooks/") else "WebPage"
    book = {"@type": "Book", "name": about["title"], "version": about["version"], "license": about["license"]}
    book |= {"author": [{"@type": "Organization", "name": one["name"]} for one in about["authors"]]}
    book |= {"inLanguage": "en", "citation": PAPER} | ({"url": site()} if site() else {})
    if page != "index":
        return {"@context": "https://schema.org", "@type": kind, "name": title, "description": says, "isPartOf": book}
    data = {"@type": "Dataset", "name": "All statistics of this build", "license": about["license"]}
    data |= {"description": "One row a statistic, with its interval; the page results says what each column holds."}
    file = {"@type": "DataDownload", "encodingFormat": "text/csv", "contentUrl": f"{site()}results.csv"}
    return {"@context": "https://schema.org", **book, "description": says, "hasPart": [data | {"distribution": file}]}


def reference(page: str, title: str) -> str:
    """A page as BibTeX knows it; that of the book stands on its first page."""
    told = {"title": title, "author": f"{{{CITED['authors'][0]['name']}}}", "booktitle": CITED["title"]}
    told |= {"year": f"{CITED['date-released']}"[:4], "note": f"Version {CITED['version']}"}
    told |= {"url": f"{site()}{page}.html"} if site() else {}
    fields = "".join(f",\n  {name} = {{{text}}}" for name, text in told.items())
    return f"@incollection{{w2s_{page.replace('/', '_').replace('-', '_')}{fields}\n}}"


def tag(app: Sphinx, pagename: str, templatename: str, context: dict, doctree: nodes.document | None) -> None:
    """What machines read at the head of a page, and another copy of a notebook to download."""
    if doctree is None:
        return
    # a list of the references would need items, which they are not
    context["body"] = context["body"].replace(' role="list" class="citation-list"', ' class="citation-list"')
    title, says, about = app.env.titles[pagename].astext(), describe(doctree), CITED
    if pagename != "index":
        cite = f'<div class="highlight"><pre>{escape(reference(pagename, title))}</pre></div>'
        context["body"] += f'<details class="cite d-print-none"><summary>Cite this page</summary>{cite}</details>'
    named = {"description": says, "citation_title": f"{title}. {about['title']}" if pagename != "index" else title}
    named |= {"citation_author": about["authors"][0]["name"], "citation_publication_date": f"{about['date-released']}"}
    shown = {"og:title": title, "og:description": says, "og:site_name": about["title"]}
    shown |= {"og:type": "book" if pagename == "index" else "article"}
    shown |= {"og:image": site() + CARD, "og:image:width": "1200", "og:image:height": "630"}
    if site():
        shown["og:url"] = named["citation_public_url"] = f"{site()}{pagename}.html"
    tags = [f'<meta name="{name}" content="{escape(text)}" />' for name, text in named.items()]
    tags += [f'<meta property="{name}" content="{escape(text)}" />' for name, text in shown.items()]
    tags += ['<meta name="twitter:card" content="summary_large_image" />']
    data = json.dumps(linked_data(pagename, title, says), ensure_ascii=False).replace("<", "\\u003c")
    tags += [f'<script type="application/ld+json">{data}</script>']
    beside = context["pathto"](f"{pagename}.md", resource=True)
    tags += [f'<link rel="alternate" type="text/markdown" href="{beside}" />']
    context["metatags"] = context.get("metatags", "") + "\n".join(tags)
    for group in context.get("header_buttons", []):
        if group.get("label") == "download-buttons":
            more = [(beside, ".md", "The page as Markdown")]
            if pagename.startswith("notebooks/"):
                as_source = context["pathto"](f"_sources/bare/{posixpath.basename(pagename)}.ipynb", resource=True)
                more.insert(0, (as_source, "source .ipynb", "The notebook, nothing executed"))
            link = {"type": "link", "icon": "fas fa-file", "label": "download-source-button"}
            group["buttons"][1:1] = [link | {"url": u, "text": t, "tooltip": says} for u, t, says in more]


def enliven(app: Sphinx, pagename: str, templatename: str, context: dict, doctree: nodes.document | None) -> None:
    """Load the script of what readers play with where a page has some, and the data that the page's chapter left."""
    if doctree is None or not any("data-play=" in raw.astext() for raw in doctree.findall(nodes.raw)):
        return
    data = f"{posixpath.basename(pagename)}.js"
    if (Path(app.srcdir) / "assets" / data).is_file():
        app.add_js_file(data)
    app.add_js_file("play.js")


def lead_on(app: Sphinx) -> Iterator[tuple[str, dict, str]]:
    """The page for what is not found, at whatever address: its own lead from where the book lies, if that is known."""
    links = "".join(
        f'<li><a href="{site()}{page}.html">{escape(title)}</a></li>'
        for page, title in (("index", "The book"), ("notebooks/01_tour", "A tour in one page"), ("search", "Search"))
    )
    says = "It may have been renamed. From here you find everything:"
    body = f"<h1>There is no such page</h1><p>{says}</p><ul>{links}</ul>"
    base = f'<base href="{escape(site())}404.html">' if site() else ""
    yield "404", {"title": "There is no such page", "body": body, "metatags": base}, "page.html"


def leave_copies(app: Sphinx, exception: Exception | None) -> None:
    """Write what lies beside the pages."""
    if exception or app.builder.name != "html":
        return
    source, out = Path(app.srcdir), Path(app.outdir)
    pages = sorted(app.env.found_docs)
    notebooks = {p: nbformat.read(source / f"{p}.ipynb", 4) for p in pages if (source / f"{p}.ipynb").is_file()}
    titles = {page: app.env.titles[page].astext() for page in pages}
    book = copies.Book(titles, {page: copies.glued(notebook.cells) for page, notebook in notebooks.items()})
    (out / "_sources" / "bare").mkdir(parents=True, exist_ok=True)
    for page in pages:
        if page in notebooks:
            name = f"{posixpath.basename(page)}.ipynb"
            copy = book.notebook(notebooks[page], page)
            nbformat.write(copy, out / "_sources" / f"{page}.ipynb")
            nbformat.write(copies.bare(copy), out / "_sources" / "bare" / name)
            text = book.markdown(notebooks[page], page)
        else:
            text = book.page((source / f"{page}.md").read_text(encoding="utf-8"), page)
        (out / f"{page}.md").write_text(text, encoding="utf-8")
    (out / "llms.txt").write_text(contents(app, titles), encoding="utf-8")
    if site():
        urls = "".join(f"<url><loc>{escape(site())}{page}.html</loc></url>" for page in pages)
        head = '<?xml version="1.0" encoding="UTF-8"?><urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">'
        (out / "sitemap.xml").write_text(f"{head}{urls}</urlset>\n", encoding="utf-8")
        (out / "robots.txt").write_text(f"User-agent: *\nAllow: /\nSitemap: {site()}sitemap.xml\n", encoding="utf-8")
    redirect(source, out)


def _files(chapter: dict) -> list[str]:
    """A page of the contents and all below it."""
    return [chapter["file"], *(file for below in chapter.get("sections", []) for file in _files(below))]


def contents(app: Sphinx, titles: dict[str, str]) -> str:
    """The book for language models: what it is, and its pages as Markdown, by part."""
    parts = yaml.safe_load((Path(app.srcdir) / "_toc.yml").read_text(encoding="utf-8"))["parts"]
    lines = [f"# {CITED['title']}", "", f"> {CITED['abstract']}", "", f"- [{titles['index']}]({site()}index.md)"]
    for part in parts:
        lines += ["", f"## {part['caption']}", ""]
        files = [file for chapter in part["chapters"] for file in _files(chapter)]
        lines += [f"- [{titles[file]}]({site()}{file}.md)" for file in files]
    lines += ["", "## Data", "", f"- [All statistics of this build, as CSV]({site()}results.csv)"]
    return "\n".join(lines) + "\n"


def redirect(source: Path, out: Path) -> None:
    """Pages at old addresses that lead to the new ones of ``redirects.yml``."""
    for old, new in (yaml.safe_load((source / "redirects.yml").read_text(encoding="utf-8")) or {}).items():
        to = escape(posixpath.relpath(f"{new}.html", posixpath.dirname(old) or "."))
        says = f'<p>This page is now <a href="{to}">here</a>.</p>'
        head = f'<meta charset="utf-8"><title>Moved</title><meta http-equiv="refresh" content="0; url={to}">'
        path = out / f"{old}.html"
        path.parent.mkdir(parents=True, exist_ok=True)
        page = f'<!doctype html><html lang="en"><head>{head}</head><body>{says}</body></html>\n'
        path.write_text(page, encoding="utf-8")


def read_in_parallel(app: Sphinx, env: object, pages: list[str]) -> None:
    """Tell Sphinx of extensions that do not say so that they do nothing where pages are read."""
    for name in SILENT & app.extensions.keys():
        app.extensions[name].parallel_read_safe = True


def on_one_page(app: Sphinx) -> None:
    """The book on a single page, of which the PDF is printed, knows all elements that its many pages know."""
    known = app.registry.translation_handlers
    if app.builder.name == "singlehtml":  # an extension that names this builder would hide what the others said
        known["singlehtml"] = {**known.get("html", {}), **known.get("singlehtml", {})}


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("config-inited", configure, priority=100)
    app.connect("builder-inited", on_one_page)
    app.connect("env-before-read-docs", read_in_parallel)
    app.connect("html-page-context", tag, priority=700)
    app.connect("html-page-context", enliven)
    app.connect("html-collect-pages", lead_on)
    app.connect("build-finished", leave_copies, priority=980)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
