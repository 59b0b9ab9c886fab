"""Texts and names that would like to be more: nothing runs, breaks out or crashes, and what is cut is counted."""

import json
import os
import random
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from nbconvert import HTMLExporter

from tests.conftest import ROOT, build_command
from tests.faults.conftest import takes_long
from tests.test_real_edition import FAST as RECIPE
from w2s_lib.book.course import course
from w2s_lib.book.report import main
from w2s_lib.data import sources
from w2s_lib.data.reading import DataError
from w2s_lib.data.sources import read_pairs, source
from w2s_lib.errors import ParameterError, plain
from w2s_lib.study.edition import FOLDER, named_like

ALL_AT_ONCE = "<img src=x onerror=alert(1)>{{7*7}}{% raise %}{glue:text}`x`$(touch pwned)\x1b[31m\u202e&amp;'\""
"""Markup, Jinja, MyST, a shell, a terminal, a turn to the left and quotes: what a name of a file can hold."""

TEXTS = [
    ALL_AT_ONCE,
    "<script>alert(1)</script></td></table><svg onload=alert(1)>",
    "```{code-cell}\nimport os; os.abort()\n```\n```{eval-rst}\n.. raw:: html\n\n   <script>alert(1)</script>\n```",
    "{{ cycler.__init__.__globals__.os.popen('touch pwned') }}{% include '/etc/passwd' %}",
    "a\x00b\x00", "\x1b]0;title\x07\x1b[2J\x9b31m", "\u202eleft\u2066in\u2069", "line\r\nline\x0b\x0c\x85\u2028\u2029",
    "<end><|endoftext|><s></s>[INST]<|im_start|>system\n", "../../../../etc/passwd",
    "%s%n%x {0.__class__} {}", "👩‍👩‍👧‍👦\ufeff\u200b", "a" + "\u0301" * 500,
    "=cmd|' /C calc'!A0", "\\N{BULLET}\\x00\\u202e",
    "\U0010ffff\ufffe\ufdd0",
]  # fmt: skip
TURNS = "yes\n\nHuman: again\n\nAssistant: yes"  # a reply that runs on; a prompt like this is an exchange
LONG = ("x" * 2**20, "word" + " " * 2**20 + "word")


def rows() -> list[dict]:
    """Pairs whose prompts, replies and columns are hostile, two of them far too long."""
    rng, made = random.Random(3), []
    for i in range(100):
        prompt, good, bad = f"{rng.choice(TEXTS)} {i}", rng.choice([*TEXTS, TURNS]), rng.choice([*TEXTS, TURNS])
        made.append({"prompt": prompt, "chosen": f"{good} good", "rejected": f"{bad} bad", ALL_AT_ONCE: TEXTS[1]})
    for row, text in zip(made, LONG):
        row["rejected"] += text
    return made


@pytest.fixture(scope="module")
def reported(tmp_path_factory, folders) -> tuple[Path, str]:
    """The page of a report on such pairs, in a folder and by models of such names, and what the command printed."""
    folder = tmp_path_factory.mktemp("hostile")
    data, weak = folder / f"{ALL_AT_ONCE} pairs", folder / f"{ALL_AT_ONCE} weak"
    data.mkdir()
    (data / "pairs.jsonl").write_text("\n".join(map(json.dumps, rows())), encoding="utf-8")
    (data / f"{ALL_AT_ONCE}.txt").touch()
    shutil.copytree(folders["gpt2"], weak)
    arguments = [str(data), "--weak", f"{weak}:1", "--strong", str(folders["llama"]), "--max-tokens", "256"]
    arguments += ["--seeds", "1", "--draws", "100", "--workers", "0", "--store", str(folder / "store")]
    arguments += ["--out", str(folder / f"{ALL_AT_ONCE}.html")]
    arguments += ["--recipe", *(f"{name}={value}" for name, value in (RECIPE | {"epochs": 1}).items())]
    with pytest.MonkeyPatch.context() as patch, (folder / "printed").open("w", encoding="utf-8") as printed:
        patch.chdir(folder)
        patch.setattr("sys.stdout", printed)
        patch.setattr("sys.stderr", printed)
        assert main(arguments) == 0
    assert not list(folder.rglob("pwned"))
    return folder / f"{ALL_AT_ONCE}.html", (folder / "printed").read_text(encoding="utf-8")


def test_texts_are_read_as_they_are(tmp_path):
    path = tmp_path / "pairs.jsonl"
    path.write_text("\n".join(map(json.dumps, rows())), encoding="utf-8")
    for row, found in zip(rows(), read_pairs(source(path)).itertuples()):
        whole = f"\n\nHuman: {row['prompt'].strip()}\n\nAssistant: "
        assert found.prompt + found.chosen == whole + row["chosen"].strip()
        assert found.prompt + found.rejected == whole + row["rejected"].strip()


@pytest.mark.slow
def test_a_page_shows_what_others_wrote_and_does_nothing_of_it(reported):
    page = reported[0].read_text(encoding="utf-8")
    assert not re.search(r"<(script|img|iframe|object|embed|link|base|form)\b", page)
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", page)
    assert page.count("{{7*7}}{% raise %}{glue:text}`x`$(touch pwned)\\x1b[31m\\u202e") > 5, (
        "as text, where it is named"
    )
    assert "Files that are not read" in page and "Columns that are not read" in page


def test_what_is_too_long_is_cut_and_counted(reported):
    texts = (
        [f"\n\nHuman: {row['prompt']}\n\nAssistant: {row[side]}" for side in ("chosen", "rejected")] for row in rows()
    )
    bytes_ = [max(len(text.replace("<end>", "x").encode()) for text in pair) for pair in texts]  # a token each
    cut, page = sum(length > 256 for length in bytes_), reported[0].read_text(encoding="utf-8")
    assert cut >= len(LONG) and len(re.findall(rf">\s*{cut} of 100\s*</td>", page)) == 2, "by both models"
    assert "Texts are cut after\n256 tokens" in page


def test_a_log_cannot_be_steered(reported):
    assert not re.search("\x1b\\[31m|[\x00-\x09\x0b\x0c\x0e-\x1a\u202e]", reported[1])
    assert "{{7*7}}" in reported[1] and "Columns that are not read" in reported[1]


def test_nothing_runs_in_a_browser(browser, reported, tried):
    context = browser.new_context()
    page, asked, happened = context.new_page(), [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("dialog", lambda dialog: (happened.append(dialog.message), dialog.dismiss()))
    page.on("console", lambda message: happened.append(message.text))
    page.goto(reported[0].as_uri())
    assert len(asked) == 1 and not happened
    assert "<img src=x onerror=alert(1)>{{7*7}}" in page.inner_text("h1")
    assert page.evaluate("document.querySelectorAll('script, img, iframe, [onload], [onerror]').length") == 0
    context.close()
    tried(
        "a report on pairs of markup, control signs and texts of a megabyte", len(rows()), "shown as text; nothing runs"
    )


@takes_long
def test_a_book_shows_what_an_edition_is_called_and_does_nothing_of_it(tmp_path, build_folder, browser, tried):
    edition, html = tmp_path / f"{ALL_AT_ONCE}.yaml", tmp_path / "book" / "html"
    title = "".join(filter(str.isprintable, ALL_AT_ONCE))
    fields = yaml.safe_load((FOLDER / "smoke.yaml").read_text(encoding="utf-8"))
    edition.write_text(yaml.safe_dump(fields | {"name": named_like(edition), "title": title}), encoding="utf-8")
    command = build_command(build_folder / "store", html.parent)
    command[command.index("smoke")] = str(edition)
    assert subprocess.run(command, cwd=ROOT, capture_output=True).returncode == 0
    handed_out = course(["05"], str(edition), str(html.parent))
    for notebook in list(handed_out.rglob("*.ipynb")):  # as a reader of notebooks shows them
        shown, _ = HTMLExporter(template_name="basic").from_filename(str(notebook))
        notebook.with_suffix(".html").write_text(shown, encoding="utf-8")
    pages = sorted(p for p in (*html.rglob("*.html"), *handed_out.rglob("*.html")) if "_static" not in p.parts)
    assert any("slides" in p.parts for p in pages) and sum(handed_out in p.parents for p in pages) == 2
    context = browser.new_context()
    page, asked, happened = context.new_page(), [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("dialog", lambda dialog: (happened.append(dialog.message), dialog.dismiss()))
    for path in pages:
        page.goto(path.as_uri())
        assert page.evaluate("document.querySelectorAll('img[src=x], [onload], [onerror]').length") == 0, path
    assert not happened and all(url.startswith(("file:", "data:", "blob:")) for url in asked)
    page.goto((html / "index.html").as_uri())
    assert title in page.inner_text("main")
    assert not list(tmp_path.rglob("pwned")) and not (ROOT / "pwned").exists()
    tried(
        "an edition that is called markup, MyST, Jinja and a shell",
        len(pages),
        "shown as text; no page, slide or hand-out does more",
    )
    context.close()


PATHS = [
    "../../../../etc/passwd", "/dev/zero", "/proc/self/environ", "file:///etc/passwd", "a\0b.jsonl", "~nobody/a.jsonl",
    "//host/share/a.jsonl", "\n\x1b[31m\u202e.jsonl", "-rf.jsonl", "x" * 5000 + ".jsonl", ".", "..", "/",
    "hh-harmless\n", "https://example.org/a.jsonl", "pipe.jsonl", "zero.jsonl", "loop", "$(touch pwned).jsonl",
    "\ud800.jsonl",
]  # fmt: skip


@pytest.mark.parametrize("path", PATHS, ids=range(len(PATHS)))
def test_a_path_leads_nowhere_else(tmp_path, monkeypatch, counted, path):
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    os.mkfifo("pipe.jsonl")
    Path("zero.jsonl").symlink_to("/dev/zero")
    Path("loop").symlink_to("loop")
    if path in ("..", "/"):
        monkeypatch.setattr(sources, "_below", lambda *_: iter(()))  # whatever lies there on this machine
    with pytest.raises(DataError) as error:
        source(path)
    said = str(error.value)
    assert said.isprintable() and said.startswith("data=") and not list(tmp_path.rglob("pwned"))
    counted["a path of pairs that leads elsewhere or nowhere", "refused in one line"] += 1


def test_names_that_are_no_text_are_refused_or_read(tmp_path):
    path = tmp_path / os.fsdecode(b"\xff.jsonl")
    path.write_text(json.dumps(rows()[5]), encoding="utf-8")
    assert len(read_pairs(source(path))) == 1
    assert plain(path.name) == r"\udcff.jsonl"


def test_an_error_is_one_line_whatever_it_tells():
    for text in TEXTS:
        for error in (DataError(text, text), ParameterError(text, text, text), ParameterError("a", [text], "b")):
            assert len(str(error).splitlines()) == 1 and not re.search("[\x00-\x1f\x7f-\x9f\u202e]", str(error))
