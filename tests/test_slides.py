"""Slides say what the chapter says, fit, can be read from the last row, and ask nobody for anything."""

import os
import re
import subprocess
import sys

import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from tests.conftest import ROOT, SERIOUS
from w2s_lib.book import decks, guide
from w2s_lib.book.copies import Book
from w2s_lib.book.slides import main
from w2s_lib.figures.style import SLIDE, SLIDE_ROOM, SLIDES, SMALLEST, Figure, canvas, smallest, step
from w2s_lib.study.edition import load

HOSTILE = "<script>document.title = 'taken'</script>"

CHAPTER = """# A chapter

Who learns?

**What you will learn here**: after this chapter you can

- learn;
- tell.

**Time**: 45 minutes in class.

:::{admonition} The answer, in two sentences
:class: tip dropdown
The student, by {glue:text}`gain`. That is all.
:::
"""


def shown(**words):
    """A figure as a cell of a built book has it."""
    figure, ax = canvas(4, 3)
    for number, name in enumerate(words, 1):
        with step(ax, number):
            ax.plot([0, number], label=name)
    with pytest.MonkeyPatch.context() as build:
        build.setenv(SLIDES, "yes")
        data, metadata = Figure(figure, "What is seen.", "What is meant. It rises.")._repr_mimebundle_()
    return new_code_cell("draw()", outputs=[new_output("execute_result", data, metadata=metadata)])


def source(folder):
    """A book of this one chapter."""
    numbers = {"notebooks/01_a": {"gain": "0.5 [0.4, 0.6]"}}
    return decks.Origin(folder, load("smoke"), Book({"notebooks/01_a": "A chapter"}, numbers), {"b": ("Burns", "2023")})


def made(folder, *cells):
    """The slides of a chapter of these cells."""
    return decks.deck(new_notebook(cells=[new_markdown_cell(CHAPTER), *cells]), source(folder), "01_a")


def test_a_chapter_becomes_slides_by_rule(tmp_path):
    prose = (
        "## Gain\n\nMore {cite:p}`b` in [](02_b.ipynb).\n\nIt is {glue:text}`gain`, which is more than nothing at all."
    )
    end = "## Summary\n\n- It learns.\n\n**What would change my mind?** If it did not.\n\n## Exercises\n\nnever shown"
    task = "```{exercise-start}\n:label: ex-a\n```\n**Learn.** *Recall, 5 minutes.* Do.\n```{exercise-end}\n```"
    title, told, files = made(tmp_path, new_markdown_cell(prose), shown(), *map(new_markdown_cell, (end, task)))
    assert title == "A chapter" and told[0].title == "Who learns?" and list(files) == ["01-1.svg"]
    wanted = ["After this chapter you can", "Gain", decks.MIND, "Exercise", "The answer", "Summary"]
    assert [slide.title for slide in told[1:]] == wanted
    by = {slide.title: slide for slide in told}
    assert by["Gain"].says == "It is 0.5 [0.4, 0.6], which is more than nothing at all."
    assert 'src="figures/01-1.svg" alt="What is seen."' in by["Gain"].shows
    assert "More (Burns, 2023) in *02_b.ipynb*." in by["Gain"].notes and "What is meant. It rises." in by["Gain"].notes
    assert by["The answer"].says == "The student, by 0.5 [0.4, 0.6]. That is all."
    assert by[decks.MIND].says == "If it did not." and by["Summary"].says == "- It learns."
    assert by["Exercise"].says.startswith("**Learn.**") and "never" not in str(told)


def test_authors_are_named_once(tmp_path):
    assert source(tmp_path).prose("As Burns {cite:p}`b` has it {cite:p}`b`.", "notebooks/01_a") == (
        "As Burns (2023) has it (Burns, 2023)."
    )


def test_words_on_a_slide_are_few_and_whole_sentences():
    long = "The first says something. " + "Another one is here, and it has ten words. " * 9
    kept = decks.chosen_words([long, "It follows that:", "and goes on.", "*all of it below a table*", "A last one."])
    assert kept[-1] == "A last one." and len(kept) == 2
    assert 30 < decks.count_words(" ".join(kept)) <= decks.SLIDE_WORDS and all(text.endswith(".") for text in kept)


def test_a_sentence_that_says_little_takes_its_neighbour_along():
    kept = decks.chosen_words(["**A word on counting.** It has two parts. They are told apart by nothing but a name."])
    assert kept == ["**A word on counting.** It has two parts. They are told apart by nothing but a name."]
    assert decks.ending("Let γ be the least probability of any truth. Then") == (
        "Let γ be the least probability of any truth. Then"
    )
    assert decks.ending("The first one says little. It has at least nine words, and so it stands.").startswith("It has")


def test_slides_of_few_words_go_while_there_are_enough():
    slide = lambda n, rank=3: decks.Slide("a", "word " * n, "", (str(n),), "text", rank)
    long = [slide(30), slide(5), slide(29), slide(6)]
    assert [decks.count_words(s.says) for s in decks.without_scraps(long, 2)] == [30, 29]
    assert [decks.count_words(s.says) for s in decks.without_scraps(long, 3)] == [30, 5, 29]
    assert [decks.count_words(s.says) for s in decks.without_scraps([slide(30, decks.LED), slide(31)], 1)] == [31]
    assert "6" in decks.without_scraps(long, 3)[-1].notes, "what was to be said stays with the speaker"


def test_long_formulas_stand_in_rows_and_short_ones_in_large_letters(tmp_path):
    long = "$$\n" + ",\\qquad ".join(["a = b + c + d + e + f + g + h + i + j + k"] * 3) + "\n$$"
    assert decks.in_rows(long).count("\\\\[0.6em]") == 2 and decks.in_rows("$$a,\\qquad b$$") == "$$a,\\qquad b$$"
    look = lambda shows, kind: decks._look(decks.Slide("a", "", shows, (), kind))
    assert look(decks.in_rows(long), "formula") == look("| a |\n|---|\n| b |", "table").replace("table", "formula")
    assert look("$$" + "a + " * 60 + "$$", "formula") == "formula" and look("| a |\n" * 200, "table") == "table"


def test_a_deck_that_is_too_long_loses_what_matters_least_and_no_note():
    long = [decks.Slide("a", notes=("1",), rank=1), *(decks.Slide("a", notes=(str(n),), rank=n) for n in (3, 5, 3))]
    kept = decks.shortened(long, 2)
    assert [slide.rank for slide in kept] == [1, 3] and kept[1].notes == ("3", "5", "3")
    assert len(decks.shortened([decks.Slide("a")] * 4, 2)) == 4, "what has rank 0 stays"


@pytest.mark.parametrize(
    "words, parts",
    [
        ([], []),
        ([20], [1]),
        ([20] * 6, [6]),
        ([20] * 7, [3, 4]),
        ([20] * 13, [4, 5, 4]),
        ([60, 60, 60, 60, 20], [1, 2, 2]),
        ([200, 20, 20], [1, 2]),
    ],
)
def test_a_summary_that_fills_more_than_a_slide_goes_on_on_another(tmp_path, words, parts):
    told = [f"{n}{' word' * its}." for n, its in enumerate(words)]
    cell = new_markdown_cell("## Summary\n\n" + "\n".join(f"- {text}" for text in told))
    shown = [slide.says for slide in made(tmp_path, cell)[1] if slide.title == "Summary"]
    assert "\n".join(shown) == "\n".join(f"- {text}" for text in told), "each stands there once, in its order"
    assert [slide.count("- ") for slide in shown] == parts


def test_no_slide_of_a_summary_is_fuller_than_can_be_read():
    rng = np.random.default_rng(0)
    for _ in range(200):
        bullets = [f"{n}{' word' * rng.integers(10, 150)}." for n in range(rng.integers(1, 12))]
        parts = decks.in_parts(bullets)
        assert [bullet for part in parts for bullet in part] == bullets
        assert all(len(part) == 1 or decks.count_words(" ".join(part)) <= decks.FULL for part in parts)


def test_cells_can_be_for_slides_alone_or_for_pages_alone(tmp_path):
    only, never = shown(), shown()
    only.metadata |= {"slide": "only", "tags": ["remove-cell"]}
    never.metadata["slide"] = "skip"
    _, told, files = made(tmp_path, new_markdown_cell("## Gain"), only, never, new_markdown_cell("## Exercises"))
    assert [slide.look for slide in told if slide.shows] == ["figure"] and len(files) == 1


def test_a_figure_in_steps_stands_in_the_page_and_its_first_step_at_once():
    drawn, files = decks.figure(shown(one=1, two=2, three=3).outputs[0], "07-1")
    assert not files and re.findall(r'class="fragment" data-fragment-index="(\d)"', drawn) == ["1", "2"]
    ids = re.findall(r' id="([^"]+)"', drawn)
    assert len(ids) == len(set(ids)) and all(name.startswith("07-1-") for name in ids)
    assert set(re.findall(r'href="#([^"]+)"|url\(#([^)]+)\)', drawn)) <= {(i, "") for i in ids} | {("", i) for i in ids}


def test_a_figure_is_drawn_again_where_its_words_would_be_too_small():
    figure, ax = canvas(6, 7)
    ax.set_xlabel("small", fontsize=7)
    tall = Figure(figure, "a")
    again = tall.for_slides(tall.svg())
    assert SLIDE not in tall._repr_mimebundle_()[0], "drawn for who asks"
    width, height = map(float, re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', again).groups())
    scale = min(SLIDE_ROOM[0] / width, SLIDE_ROOM[1] / height)
    assert smallest(again) == pytest.approx(7) and 7 * scale == pytest.approx(SMALLEST, rel=1e-3)
    assert list(figure.get_size_inches()) == [6, 7], "the page's own keeps its size"
    wide, ax = canvas(7, 2.5)
    assert Figure(wide, "a").for_slides(Figure(wide, "a").svg()) is None


@pytest.mark.parametrize(
    "arguments, says",
    [
        (["--chapters", "77"], "chapters='77'"),
        (["--chapters", "99"], "pages of reference have none"),
        (["--edition", "nowhere"], "nowhere"),
    ],
)
def test_bad_input_is_one_line(arguments, says, tmp_path, capsys):
    (tmp_path / "html").mkdir()
    (tmp_path / "html" / "index.html").touch()
    notebooks = tmp_path / "source" / "notebooks"
    notebooks.mkdir(parents=True)
    (tmp_path / "source" / "references.bib").touch()
    for path in (ROOT / "notebooks").glob("99*.ipynb"):
        (notebooks / path.name).write_bytes(path.read_bytes())
    assert main(["--edition", "smoke", "--output", str(tmp_path), "--no-pdf", *arguments]) == 2
    told = capsys.readouterr().err
    assert told.startswith("error: ") and says in told and told.count("\n") == 1


def test_what_is_not_built_is_one_line(tmp_path, capsys):
    assert main(["--edition", "smoke", "--output", str(tmp_path)]) == 2
    assert capsys.readouterr().err.startswith("error: edition='smoke': not built yet")


def test_small_tables_of_either_kind_are_shown_and_large_ones_are_not():
    markdown = lambda rows: "\n".join(["| a | b |", "|---|---|", *["| 1 | 2 |"] * rows])
    html = lambda rows: (
        "<table>" + "<tr><th>a</th><th>b</th></tr>" + "<tr>\n<td>1</td><td>2</td></tr>" * rows + "</table>"
    )
    for table in (markdown, html):
        assert [decks.fits(table(rows)) for rows in (0, 1, decks.MOST_ROWS - 1, decks.MOST_ROWS)] == [
            False,
            True,
            True,
            False,
        ]


def test_what_a_slide_that_goes_has_to_say_stays_with_its_section():
    slide = lambda title, note, rank=0: decks.Slide(title, "", "", (note,), "text", rank)
    kept = decks.shortened([slide("A", "1"), slide("B", "2", rank=5), slide("B", "3"), slide("C", "4", rank=5)], 2)
    assert [(s.title, s.notes) for s in kept] == [("A", ("1",)), ("B", ("2", "3", "4"))]


# In a browser


@pytest.fixture(scope="module")
def opened(browser):
    """Opens a deck; returns its page.  A request to another host, or an error, fails the test."""
    context, trouble = browser.new_context(viewport={"width": 1920, "height": 1080}), []
    page = context.new_page()
    page.on("pageerror", lambda e: trouble.append(str(e)))
    page.on("console", lambda m: trouble.append(m.text) if m.type == "error" else None)
    page.on(
        "request", lambda r: None if r.url.startswith(("file:", "data:", "blob:", "about:")) else trouble.append(r.url)
    )
    left = "net::ERR_ABORTED"  # the next deck was opened while a font of this one was read
    page.on("requestfailed", lambda r: None if r.failure == left else trouble.append(f"failed: {r.url}, {r.failure}"))

    def open_deck(path, query=""):
        page.goto(path.as_uri() + query)
        page.wait_for_function("window.Reveal && Reveal.isReady()")
        page.evaluate("(window.MathJax ? MathJax.startup.promise : document.fonts.ready).then(() => 0)")
        return page

    yield open_deck
    assert not trouble
    context.close()


MEASURE = """() => {
  const told = [];
  for (let i = 0; i < Reveal.getTotalSlides(); i++) {
    Reveal.slide(i, 0, 99);
    const slide = Reveal.getCurrentSlide(), title = slide.querySelector("h1, h2").innerText;
    const walk = document.createTreeWalker(slide, NodeFilter.SHOW_TEXT), range = document.createRange();
    const boxes = [...slide.querySelectorAll("mjx-math")].map((formula) => formula.getBoundingClientRect());
    for (let node; node = walk.nextNode();) {
      if (!node.data.trim() || node.parentElement.closest("aside, svg, mjx-container")) continue;
      range.selectNodeContents(node);
      boxes.push(range.getBoundingClientRect());
      const size = parseFloat(getComputedStyle(node.parentElement).fontSize);
      if (size < SMALLEST) told.push([title, "small", size, node.data]);
    }
    for (const box of boxes)
      if (box.right > 1900 || box.bottom > 1060 || box.left < 40 || box.top < 20)
        told.push([title, "leaves the slide", box.right, box.bottom]);
    for (const drawn of slide.querySelectorAll("figure > *")) {
      const box = drawn.getBoundingClientRect();
      told.push([title, "figure", box.width, box.height, drawn.getAttribute("src") || drawn.outerHTML]);
    }
  }
  return told;
}""".replace("SMALLEST", str(SMALLEST))


def test_decks_have_their_length_fit_and_can_be_read_from_the_last_row(opened, build_folder):
    folder = build_folder / "book" / "html" / "slides"
    with_goals = {
        path.stem
        for path in (ROOT / "book" / "teaching" / "chapters").glob("*.md")
        if guide.OPENING_HERE in path.read_text(encoding="utf-8")
    }
    assert {path.stem for path in folder.glob("[0-9]*.html")} == with_goals
    wrong, figures = [], 0
    for path in sorted(folder.glob("[0-9]*.html")):
        page = opened(path)
        slides = page.evaluate("Reveal.getTotalSlides()")
        wrong += [] if decks.FEWEST_SLIDES <= slides <= decks.MOST_SLIDES else [(path.stem, slides)]
        for title, what, *told in page.evaluate(MEASURE):
            if what != "figure":
                wrong.append((path.stem, title, what, told))
                continue
            width, height, drawn = told
            svg = (folder / drawn).read_text(encoding="utf-8") if drawn.startswith("figures/") else drawn
            sheet = np.array(re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', svg).groups(), dtype=float)
            size, figures = smallest(svg) * min((width, height) / sheet), figures + 1
            wrong += [] if size > SMALLEST - 0.1 else [(path.stem, title, "small words in a figure", round(size, 1))]
    assert not wrong and figures > 40


def test_axe_finds_nothing_serious(opened, build_folder):
    found = []
    for path in sorted((build_folder / "book" / "html" / "slides").glob("05*.html")):
        page = opened(path)
        for i in range(0, page.evaluate("Reveal.getTotalSlides()"), 4):
            page.evaluate(f"Reveal.slide({i}, 0, 99)")
            broken = Axe().run(page, options={"preload": False}).response["violations"]
            found += [(path.stem, i, one["id"], one["nodes"][0]["html"]) for one in broken if one["impact"] in SERIOUS]
    assert not found


def test_keys_move_on_figures_build_up_and_notes_open(opened, build_folder):
    page = opened(next((build_folder / "book" / "html" / "slides").glob("07*.html")))
    at = "document.querySelector('section section:has(.fragment)')"
    page.evaluate(f"Reveal.slide(Reveal.getIndices({at}.parentElement).h)")
    steps = page.evaluate(f"new Set([...{at}.querySelectorAll('.fragment')].map((e) => e.dataset.fragmentIndex)).size")
    seen = []
    for _ in range(steps + 1):
        seen.append(page.evaluate("Reveal.getCurrentSlide().querySelectorAll('.fragment.visible').length"))
        page.keyboard.press("ArrowRight")
    assert steps >= 2 and seen[0] == 0 and all(np.diff(seen) > 0)
    assert page.evaluate(f"Reveal.getCurrentSlide() !== {at}"), "after its last step comes the next slide"
    with page.expect_popup() as popup:
        page.keyboard.press("s")
    popup.value.wait_for_selector(".speaker-controls-notes .value p", state="attached")
    popup.value.close()


PRINTS = """
from pathlib import Path
from w2s_lib.book.pdf import print_decks
print_decks([Path("slides/01_tour.html").absolute()], Path({!r}))
"""


def test_a_slide_is_a_page_of_the_pdf(opened, build_folder, tmp_path):
    html = build_folder / "book" / "html"
    slides = opened(html / "slides" / "01_tour.html").evaluate("Reveal.getTotalSlides()")
    # in a process of its own: Playwright's interface does not start twice in one
    told = {"cwd": html, "env": os.environ | {"PYTHONPATH": str(ROOT)}, "check": True}
    subprocess.run([sys.executable, "-c", PRINTS.format(str(tmp_path))], **told)
    made = (tmp_path / "01_tour.pdf").read_bytes()
    assert len(re.findall(rb"/Type\s*/Page\b", made)) == slides and b"/MediaBox [0 0 1440 810]" in made


def test_names_of_editions_are_shown_as_text(opened, build_folder, tmp_path):
    edition = load("smoke").model_copy(update={"name": HOSTILE, "title": f"[a](https://b.c) $x$ {HOSTILE}"})
    source = build_folder / "book" / "source"
    [deck] = decks.write_decks(source, edition, sorted((source / "notebooks").glob("01*.ipynb")), tmp_path / "slides")
    page = opened(deck)
    assert page.locator("p.edition").inner_text() == f"{HOSTILE}: [a](https://b.c) $x$ {HOSTILE}"
    assert page.title() == "A tour in one page"
    assert HOSTILE not in (tmp_path / "slides" / "index.html").read_text(encoding="utf-8")


def test_the_guide_links_to_decks(build_folder):
    html = build_folder / "book" / "html"
    for path in (html / "slides").glob("[0-9]*.html"):
        page = (html / "teaching" / "chapters" / path.name).read_text(encoding="utf-8")
        assert f'href="../../slides/{path.name}"' in page
