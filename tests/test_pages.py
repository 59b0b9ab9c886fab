"""The built book in a browser: quiet on the network, without errors, for everyone to read."""

import json
import re
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import NamedTuple

import pytest
from axe_playwright_python.sync_playwright import Axe

from tests.conftest import SERIOUS, pages


@pytest.fixture(scope="session")
def server(html):
    handler = partial(SimpleHTTPRequestHandler, directory=str(html))
    handler.log_message = lambda *_: None
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as httpd:
        threading.Thread(target=httpd.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{httpd.server_address[1]}"
        httpd.shutdown()


class Visit(NamedTuple):
    """What was seen of a page: requests elsewhere, errors, headings, what is wider than a phone, what axe found but for
    contrast (``None``: it had nothing new for axe), and how its words look, light and dark."""

    page: str
    foreign: list[str]
    errors: list[str]
    headings: int
    overflow: int = 0
    serious: Sequence[tuple[str, str]] | None = None
    looks: Sequence[tuple[str, str]] = ()


@contextmanager
def listening(browser, base: str) -> Iterator[tuple]:
    """A page of a context of its own, and the lists of requests to other hosts and of errors, which grow."""
    context, foreign, errors = browser.new_context(), [], []
    page = context.new_page()
    page.on("request", lambda r: None if r.url.startswith((base, "data:", "blob:")) else foreign.append(r.url))
    page.on("console", lambda m: errors.append(m.text) if m.type == "error" else None)
    page.on("pageerror", lambda e: errors.append(str(e)))
    # A request that the next page cuts short has not failed.
    page.on(
        "requestfailed", lambda r: None if "ERR_ABORTED" in (r.failure or "") else errors.append(f"failed: {r.url}")
    )
    yield page, foreign, errors
    context.close()


def is_whole(visit: Visit) -> bool:
    """Whether a page has a heading, where it is no index, and asked for nothing elsewhere without an error."""
    index = visit.page in ("genindex.html", "search.html", "py-modindex.html")
    return not visit.foreign and not visit.errors and (visit.headings > 0 or index)


def with_other_scripts(paths: list[Path]) -> list[Path]:
    """Pages that load a script, a style or a frame which none before them loads, or have one of their own in them."""
    seen, kept = set(), []
    for path in paths:
        tags = re.findall(r"<(?:script|link|iframe)\b[^>]*>", path.read_text(encoding="utf-8"))
        told = {re.sub(r"(\.\./)+|#.*", "", tag) for tag in tags if not re.search(r'rel="(?!stylesheet)', tag)}
        if told - seen:
            kept.append(path)
            seen |= told
    return kept


def test_pages_ask_no_other_host_and_log_no_error_from_the_file_system(browser, html):
    """Every page is looked at as it is served, below; what the file system changes is how scripts are loaded."""
    few = with_other_scripts(pages(html))
    assert len(few) > 4 and html / "notebooks" / "22_play.html" in few
    with listening(browser, html.as_uri()) as (page, foreign, errors):
        for path in few:
            page.goto(path.as_uri(), wait_until="load")
            visit = Visit(path.name, foreign, errors, page.locator("h1").count())
            assert is_whole(visit), visit


LOOKS = """() => {
  const seen = new Map(), known = new Map(), clear = c => c == "transparent" || /^rgba\\(.*[ ,]0\\)$/.test(c);
  const under = e => {
    if (!e || known.has(e)) return known.get(e) || { behind: [], opacity: 1 };
    const { backgroundColor: own, opacity } = getComputedStyle(e), above = under(e.parentElement);
    const behind = clear(own) ? above.behind : /^rgb\\(/.test(own) ? [own] : [own, ...above.behind];
    known.set(e, { behind, opacity: opacity * above.opacity });
    return known.get(e);
  };
  for (const e of document.querySelectorAll("body *")) {
    const said = [...e.childNodes].some(n => n.nodeType == 3 && /[\\p{L}\\p{N}]/u.test(n.textContent));
    if (!said || !e.getClientRects().length) continue;
    const { color, fontWeight, fontSize, visibility } = getComputedStyle(e), { behind, opacity } = under(e);
    if (visibility != "visible" || !opacity) continue;
    const text = `color: ${color}; font: ${fontWeight} ${fontSize} sans-serif; opacity: ${opacity}`;
    seen.set(JSON.stringify([text, behind]), e.outerHTML.slice(0, 200));
  }
  return [...seen]
}"""
"""How the words of a page look: colour, font and opacity, and the backgrounds behind them down to one that hides the
others; which is all that contrast depends on.  With each, an element that looks like that."""

KINDS = """() => [...new Set([...document.querySelectorAll("body *")].map(e => {
  const inside = e.parentElement.closest("mjx-container, pre"), formula = inside?.tagName == "MJX-CONTAINER";
  const classes = [...e.classList].map(name => name.replace(/\\d+/g, "")).filter(name => !NAMES.test(name));
  return JSON.stringify([
    inside ? inside.tagName : e.parentElement.tagName, formula || e.tagName, inside || classes.sort(),
    e.getAttributeNames().filter(name => !formula || /^(aria-|role|tabindex|id$|href)/.test(name)).sort(),
    e.getAttribute("role"), e.tabIndex, [e.textContent, e.getAttribute("aria-label"), e.alt, e.title].some(
      said => said?.trim())
  ]);
}))]""".replace("NAMES", "/^(tag_|highlight-|py-?|std-?|xref$)/")
"""What kinds of elements a page has: where they stand, classes, attributes, role, focus, and whether they say
anything, so that a link or a figure that says nothing is of another kind.  Pages of the same kinds are alike to axe:
it reads no names of what cells and code are about, nor of parts of a formula and of colours of code."""

WIDE, PHONE = {"width": 1280, "height": 720}, {"width": 390, "height": 800}
STILL = "*, *::before, *::after { transition: none !important }"


MODERATE = (
    "aria-allowed-role", "empty-heading", "empty-table-header", "heading-order", "identical-links-same-purpose",
    "image-redundant-alt", "landmark-banner-is-top-level", "landmark-complementary-is-top-level",
    "landmark-contentinfo-is-top-level", "landmark-main-is-top-level", "landmark-no-duplicate-banner",
    "landmark-no-duplicate-contentinfo", "landmark-no-duplicate-main", "landmark-one-main", "landmark-unique",
    "meta-viewport", "meta-viewport-large", "page-has-heading-one", "presentation-role-conflict", "region",
    "scope-attr-valid", "skip-link", "table-duplicate-name",
)  # fmt: skip
"""Rules of axe whose findings are neither serious nor critical; they would take a third of its time."""


def serious(page, rules: dict) -> list[tuple[str, str]]:
    """What axe finds serious or critical on a page."""
    found = Axe().run(page, options=rules | {"resultTypes": ["violations"], "preload": False}).response["violations"]
    return [(one["id"], node["html"]) for one in found if one["impact"] in SERIOUS for node in one["nodes"]]


def too_faint(browser, looks: Sequence[str]) -> list[int]:
    """Which of these looks have too little contrast, by axe: words of each, on a page that has nothing else.

    On the pages themselves, axe would take minutes: looks are few, and pages large.
    """
    page = browser.new_page()
    rows = []
    for n, look in enumerate(looks):
        text, behind = json.loads(look)
        around = "".join(f'<div style="background: {colour}">' for colour in reversed(behind))
        rows.append(f'{around}<p id="look{n}" style="{text}">words</p>{"</div>" * len(behind)}')
    page.set_content(f"<!doctype html><html lang=en><title>Looks</title><main>{''.join(rows)}</main>")
    faint = [int(re.search(r'id="look(\d+)"', html)[1]) for _, html in serious(page, {"runOnly": ["color-contrast"]})]
    page.close()
    return faint


@pytest.fixture(scope="module")
def visits(browser, server, html) -> list[Visit]:
    """Every page as it is served, looked at once: as it loads, on a phone, and by axe where it has a kind of element
    that no page before it has."""
    found, known, sizes, themes = [], set(), [WIDE, PHONE], ["light", "dark"]
    passed_over = {"rules": dict.fromkeys(("color-contrast", *MODERATE), {"enabled": False})}
    with listening(browser, server) as (page, foreign, errors):
        for path in pages(html):
            page.goto(f"{server}/{path.relative_to(html)}", wait_until="load")
            visit = Visit(path.name, foreign.copy(), errors.copy(), page.locator("h1").count(), looks=[])
            page.add_style_tag(content=STILL)
            for size in sizes:
                page.set_viewport_size(size)
                if size is PHONE:
                    over = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
                    visit = visit._replace(overflow=page.evaluate(over))
                    continue
                if (kinds := set(page.evaluate(KINDS))) - known:
                    visit = visit._replace(serious=serious(page, passed_over))
                known |= kinds
                for theme in themes:
                    page.emulate_media(color_scheme=theme)
                    page.wait_for_selector(f"html:is([data-theme={theme}], :not([data-theme]))")
                    visit.looks.extend(page.evaluate(LOOKS))
            # The next page begins as this one ends: to lay out a large one again, or in other colours, takes long.
            sizes.reverse(), themes.reverse()
            found.append(visit)
            foreign.clear()
            errors.clear()
    return found


def test_pages_ask_no_other_host_and_log_no_error(visits):
    assert len(visits) > 60 and not [visit for visit in visits if not is_whole(visit)]


def test_axe_finds_nothing_serious_on_any_page(visits):
    judged = [visit for visit in visits if visit.serious is not None]
    assert len(judged) > 20 and not [(visit.page, visit.serious) for visit in judged if visit.serious]


def test_what_says_nothing_is_of_another_kind(browser, server):
    """So that the first page with a link or a figure without words is one for axe, which says so."""
    page = browser.new_page()
    page.goto(f"{server}/notebooks/05_conflict_tax_deception.html", wait_until="load")
    before = set(page.evaluate(KINDS))
    page.locator("article figure img").first.evaluate("e => e.removeAttribute('alt')")
    page.locator("article p > a.reference").first.evaluate("e => { e.textContent = '' }")
    assert len(set(page.evaluate(KINDS)) - before) == 2
    assert {rule for rule, _ in serious(page, {"runOnly": ["image-alt", "link-name"]})} == {"image-alt", "link-name"}
    page.close()


def test_words_stand_out_in_both_themes(browser, visits):
    first = {look: (visit.page, html) for visit in reversed(visits) for look, html in visit.looks}
    assert len(first) > 100, "in colours of code, notes, tables and links"
    page = browser.new_page()
    page.set_content('<body style="background: #fff"><p style="background: #000; color: #3c3c3c">dark <b>on black')
    planted = [look for look, _ in page.evaluate(LOOKS)]
    page.close()
    looks = [*first, *planted]
    *faint, black, on_it = too_faint(browser, looks)
    assert (black, on_it) == (len(first), len(first) + 1), "of what is planted, axe says so"
    assert not [(first[looks[n]], looks[n]) for n in faint]


def test_pages_fit_a_phone(visits):
    assert not [(visit.page, visit.overflow) for visit in visits if visit.overflow > 1]


WORDS = """() => {
  const broken = [], range = document.createRange();
  for (const table of document.querySelectorAll("article table")) {
    const texts = document.createTreeWalker(table, NodeFilter.SHOW_TEXT);
    for (let text; (text = texts.nextNode()); )
      for (const word of text.data.matchAll(/[\\p{L}\\p{N}.]+/gu)) {
        range.setStart(text, word.index);
        range.setEnd(text, word.index + word[0].length);
        if (range.getClientRects().length != 1) broken.push(word[0]);
      }
  }
  return [document.querySelectorAll("article table").length, broken];
}"""
"""How many tables a page has, and which words in them stand on several lines."""


def test_the_landing_page_answers_within_one_screen(browser, server):
    page = browser.new_page(viewport={"width": 1366, "height": 768})
    page.goto(f"{server}/index.html")
    ends = lambda selector: page.evaluate(f"document.querySelector('{selector}').getBoundingClientRect().bottom")
    for selector in (".in-a-minute li:last-child", ".in-a-minute img", ".doors .sd-card-title"):
        assert 0 < ends(selector) <= 768, selector
    assert page.locator(".in-a-minute li").count() == 3 and page.locator(".doors .sd-card").count() == 3
    page.set_viewport_size({"width": 390, "height": 844})
    tables, broken = page.evaluate(WORDS)
    assert tables == 3 and not broken, "words of its tables stay whole on a phone"
    page.close()


def test_downloads_keep_their_names_and_figures_grow_on_a_phone(browser, server):
    page = browser.new_page(viewport={"width": 390, "height": 844})
    page.goto(f"{server}/notebooks/05_conflict_tax_deception.html")
    names = page.eval_on_selector_all(".btn-download-source-button", "all => all.map(a => a.download)")
    assert names == ["05_conflict_tax_deception.ipynb"] * 2 + ["05_conflict_tax_deception.md"]
    figure = page.locator("figure img[src$='.svg']").first
    narrow = figure.bounding_box()["width"]
    figure.press("Enter")
    assert figure.bounding_box()["width"] > 2 * narrow - 60
    assert page.evaluate("document.documentElement.scrollWidth") <= 390, "the figure scrolls, and not the page"
    figure.press("Enter")
    assert figure.bounding_box()["width"] == narrow
    page.close()


def test_runs_are_folded_by_chapter_and_can_be_searched(browser, server, html):
    page = browser.new_page()
    page.goto(f"{server}/notebooks/99_reproducibility.html")
    rows, parts = page.locator(".searched tbody tr"), page.locator(".searched details")
    key = rows.nth(0).locator("td").nth(0).text_content().strip()
    assert rows.count() > 100 and parts.count() > 5 and page.locator(".searched details[open]").count() == 0
    assert page.evaluate("document.documentElement.scrollHeight") < 12_000
    page.fill(".searched input", key[:12].upper())
    assert page.locator(".searched tbody tr:visible").count() == 1 and page.inner_text(".searched output") == "1 found"
    page.fill(".searched input", "")
    assert (
        page.locator(".searched details[open]").count() == 0 and page.locator(".searched details:visible").count() > 5
    )
    page.close()


def test_formulas_are_set(browser, server):
    page = browser.new_page()
    page.goto(f"{server}/notebooks/04_weak_to_strong.html")
    page.wait_for_selector("mjx-container", timeout=20_000)
    assert page.locator("mjx-container").count() >= 3


def test_figures_have_size_and_no_background_in_the_dark(browser, server):
    context = browser.new_context(color_scheme="dark")
    page = context.new_page()
    page.goto(f"{server}/notebooks/05_conflict_tax_deception.html")
    page.evaluate("document.documentElement.dataset.theme = 'dark'; document.documentElement.dataset.mode = 'dark'")
    measure = "es => es.map(e => [e.naturalWidth, e.clientWidth, getComputedStyle(e).backgroundColor])"
    shown = page.locator("article img").evaluate_all(measure)
    assert len(shown) >= 5
    for natural, width, background in shown:
        assert natural > 100 and width > 100 and background in ("rgba(0, 0, 0, 0)", "transparent")
    context.close()


BEFORE = """e => {
  const before = document.createElement("span");
  before.tabIndex = -1;
  e.before(before);
  before.focus();
}"""
"""Has the next Tab lead to an element."""


def test_solutions_are_folded_until_opened_and_buttons_show_that_they_have_the_focus(browser, server):
    page = browser.new_page()
    page.goto(f"{server}/notebooks/01_tour.html")
    solution = page.locator("div.solution").first
    assert not solution.locator("div.cell").first.is_visible()
    for button in (
        ".search-button__button",
        ".dropdown-download-buttons button",
        "article .copybtn",
        "div.solution button",
    ):
        page.locator(button).locator("visible=true").first.evaluate(BEFORE)
        page.keyboard.press("Tab")
        outline = "e => [getComputedStyle(e).outlineStyle, parseFloat(getComputedStyle(e).outlineWidth)]"
        style, width = page.locator(f"{button}:focus").evaluate(outline, timeout=2000)
        assert style == "solid" and width > 0, button
    page.keyboard.press("Enter")
    solution.locator("div.cell").first.wait_for(state="visible", timeout=5000)
    page.close()


def test_formulas_outlive_their_accessibility_menu(browser, server, html):
    """Its explorer is loaded with the page; from the file system nothing can be loaded, and there is no menu."""
    page = browser.new_context().new_page()
    page.goto(f"{server}/notebooks/04_weak_to_strong.html")
    page.wait_for_selector("mjx-container", timeout=20_000)
    count = page.locator("mjx-container").count()
    activate = "MathJax.startup.document.menu.menu.findID('Accessibility', 'Activate').variable"
    page.wait_for_function(f"Object.hasOwn({activate}, 'setValue')")
    with page.expect_navigation():
        page.evaluate(f"{activate}.setValue(true)")
    page.wait_for_selector("mjx-container[role=application]", timeout=20_000)
    assert page.locator("mjx-container").count() == count
    page = browser.new_context().new_page()
    page.goto(f"{html.as_uri()}/notebooks/04_weak_to_strong.html")
    page.evaluate("localStorage.setItem('MathJax-Menu-Settings', JSON.stringify({explorer: true}))")
    page.reload()
    page.wait_for_selector("mjx-container", timeout=20_000)
    assert page.locator("mjx-container").count() == count


def test_search_finds_what_defines_a_term_first_served_and_from_the_file_system(browser, server, html):
    for base in (server, html.as_uri()):
        with listening(browser, base) as (page, foreign, errors):
            # what is found is fetched for a line of each, all pages of the book
            page.route(re.compile(r"^http.*(?<!/search)\.html"), lambda route: route.fulfill(body="<p role=main>Found"))
            for term in ("margin-matched", "PGR", "deception score"):
                page.goto(f"{base}/search.html?q={term}")
                page.wait_for_selector("#search-results li:nth-child(6)")
                found = page.eval_on_selector_all("#search-results li a", "all => all.map(a => a.getAttribute('href'))")
                assert any(link.startswith("glossary.html#term-") for link in found[:3]), (term, found[:3])
            assert not foreign and not errors


def test_paper_is_light_and_keeps_solutions_folded(browser, server):
    context = browser.new_context(color_scheme="dark")
    page = context.new_page()
    page.goto(f"{server}/notebooks/05_conflict_tax_deception.html")
    page.wait_for_function("document.documentElement.dataset.theme === 'dark'")
    note = "window.addEventListener('beforeprint', () => { window.printed = [document.documentElement.dataset.theme,"
    note += " document.querySelectorAll('.admonition.solution:not(.toggle-hidden)').length]; })"
    page.evaluate(note)
    page.pdf()
    assert page.evaluate("window.printed") == ["light", 0]
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"
    context.close()


def test_words_on_paper_have_contrast_from_a_dark_screen_too(browser, server):
    context = browser.new_context(color_scheme="dark")
    page, dark, light = context.new_page(), {}, {}
    for name in ("notebooks/05_conflict_tax_deception", "notebooks/14_claims", "results"):
        page.goto(f"{server}/{name}.html")
        page.wait_for_function("document.documentElement.dataset.theme === 'dark'")
        page.add_style_tag(content=STILL)
        page.emulate_media(media="print", color_scheme="dark")
        dark |= page.evaluate(LOOKS)
        page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
        light |= page.evaluate(LOOKS)
        page.emulate_media(media="screen", color_scheme="dark")
    context.close()
    assert too_faint(browser, list(dark)), "without the event, dark words stand on a dark page"
    assert len(light) > 20 and not [light[list(light)[n]] for n in too_faint(browser, list(light))]


def test_what_scrolls_on_a_phone_takes_focus(browser, server, html):
    context = browser.new_context(viewport={"width": 390, "height": 800})
    page = context.new_page()
    scrolls = """[...document.querySelectorAll("article *")].filter(e => e.scrollWidth > e.clientWidth + 1
      && ["auto", "scroll"].includes(getComputedStyle(e).overflowX)).map(e => [e.tagName, e.className, e.tabIndex])"""
    seen = 0
    for name in ("notebooks/05_conflict_tax_deception", "notebooks/14_claims", "results", "how-to-rerun"):
        page.goto(f"{server}/{name}.html")
        found = page.evaluate(scrolls)
        assert all(tab == 0 for *_, tab in found), (name, found)
        seen += len(found)
    assert seen > 3, "some do scroll"
    context.close()
