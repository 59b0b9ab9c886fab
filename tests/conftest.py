"""Fixtures: one smoke build serves all tests that need trained runs or rendered pages."""

from __future__ import annotations

import json
import os
import pickle
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future
from functools import cache
from pathlib import Path

import pandas as pd
import pytest
import yaml
from filelock import FileLock

from w2s_lib.findings.claims import FINDINGS
from w2s_lib.findings.results import read_results
from w2s_lib.lab import Lab
from w2s_lib.study import Study
from w2s_lib.study.edition import FOLDER, load

os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # a hundred processes would each compile the library again

ROOT = Path(__file__).resolve().parent.parent
REAL_PAIRS = Path(os.environ.get("W2S_DATA") or "no folder: W2S_DATA is not set")
"""Where the files of real pairs lie that some tests read; without them, those tests skip."""
SERIOUS = ("serious", "critical")
"""What axe must not find."""
BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)


def build_command(store: Path, output: Path, edition: str | Path = "smoke") -> list[str]:
    """What ``make book EDITION=smoke`` runs, with folders of its own."""
    told = {"--edition": edition, "--store": store, "--output": output}
    return [sys.executable, "-m", "w2s_lib.book", *(str(word) for pair in told.items() for word in pair)]


def of_few_chapters(folder: Path, chapters: Sequence[str] = ("01",)) -> Path:
    """The smoke edition with these chapters beside those that all have, as a file here: its book is built sooner."""
    smoke = (ROOT / "notebooks" / "editions" / "smoke.yaml").read_text(encoding="utf-8")
    path = folder / "smoke.yaml"
    path.write_text(f"{smoke}\nchapters: {json.dumps(chapters)}\n", encoding="utf-8")
    return path


LONGEST = ("test_book.py", "test_ship.py", "test_shipped_pages.py", "test_slides.py")
"""Files that need the book and take longest but for one."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What needs the smoke book or a browser is slow: ``make test-quick`` leaves it out.

    Files that need the book come last, but for one, which comes first: its process builds the book while the others
    have something else to do, and none waits for it with a core idle.  It is the one that takes longest, where it is
    among them: a browser looks at every page.  ``LONGEST`` come before the others, or a core would be idle at the end.
    """
    of_the_book: dict[Path, None] = {}
    for item in items:
        needs = {"build_folder", "browser"} & set(getattr(item, "fixturenames", ()))
        if needs:
            item.add_marker(pytest.mark.slow)
        if "build_folder" in needs and not any(mark.args[0] for mark in item.iter_markers("skipif")):
            of_the_book[item.path] = None
    first = next((path for path in of_the_book if path.name == "test_pages.py"), next(iter(of_the_book), None))
    place = lambda path: path in of_the_book and 1 + (path.name not in LONGEST)
    items.sort(key=lambda item: -1 if item.path == first else place(item.path))


@pytest.fixture(scope="session")
def build_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The smoke edition, built by the command that ``make book EDITION=smoke`` runs; once for all processes that share
    the tests."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "smoke"
    folder.mkdir(exist_ok=True)
    with FileLock(folder / ".lock"):
        if not (folder / "log.txt").is_file():
            done = subprocess.run(
                build_command(folder / "store", folder / "book"),
                cwd=ROOT,
                capture_output=True,
                text=True,
                encoding="utf-8",
            )
            assert done.returncode == 0, done.stdout + done.stderr
            (folder / "log.txt").write_text(done.stdout, encoding="utf-8")
    return folder


@pytest.fixture(scope="session")
def html(build_folder) -> Path:
    return build_folder / "book" / "html"


def pages(html: Path) -> list[Path]:
    """All pages but those that only lead to another, and slides, which tests/test_slides.py opens."""
    moved = yaml.safe_load((ROOT / "book" / "redirects.yml").read_text(encoding="utf-8"))
    found = sorted(p for p in html.rglob("*.html") if not {"_static", "slides"} & set(p.parts))
    return [p for p in found if p.relative_to(html).with_suffix("").as_posix() not in moved]


@pytest.fixture(scope="session")
def study() -> Study:
    return Study(load("smoke"))


@pytest.fixture(scope="session")
def lab(build_folder: Path) -> Lab:
    """The smoke build's store; missing runs are done in this process."""
    return Lab(build_folder / "store", workers=0, progress=False)


@pytest.fixture(scope="session")
def findings(study: Study, lab: Lab, build_folder: Path) -> Callable[[str], tuple[pd.DataFrame, pd.DataFrame]]:
    """What a chapter that the ledger reads finds in the smoke build's store, by its name: its frame a seed, and its
    results; computed when first asked for, once for all processes that share the tests."""

    @cache
    def found(name: str) -> tuple[pd.DataFrame, pd.DataFrame]:
        path = build_folder / f"{name}.pickle"
        with FileLock(path.with_suffix(".lock")):
            if not path.is_file():
                path.write_bytes(pickle.dumps(FINDINGS[name](study.on(lab))))
            return pickle.loads(path.read_bytes())

    return found


@pytest.fixture(scope="session")
def published(build_folder: Path) -> dict[str, pd.DataFrame]:
    """What each chapter that the ledger reads has in the smoke build's ``results.csv``."""
    results = read_results(build_folder / "book" / "html" / "results.csv")
    mine = results[results["edition"] == "smoke"]
    return {name: mine[mine["chapter"] == name].reset_index(drop=True) for name in FINDINGS}


@pytest.fixture
def without_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Builds in this process leave out what is slow and the same for every edition: a book's folder gets its tables,
    and pages, slides and crate are not made."""
    from w2s_lib.book import build

    def tables(source: Path, output: Path, _: int) -> Path:
        return shutil.copytree(source, output / "html", ignore=shutil.ignore_patterns("*.md", "notebooks"))

    monkeypatch.setattr(build, "render_book", tables)
    for of_pages, write in ((build.decks, "write_decks"), (build.crate, "write_crate")):
        monkeypatch.setattr(of_pages, write, lambda *_: None)


class Here(Executor):
    """Does what it is asked for at once, in this process."""

    def submit(self, fn, /, *args, **kwargs) -> Future:
        done = Future()
        try:
            done.set_result(fn(*args, **kwargs))
        except Exception as error:
            done.set_exception(error)
        return done


@pytest.fixture
def executed_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Builds in this process execute notebooks in it as well, whose fork server has imported the library for all tests
    that do; any other process would begin one of its own."""
    monkeypatch.setenv("W2S_RESULTS", "")  # what executes a notebook sets it: afterwards it is as before
    monkeypatch.setattr("w2s_lib.book.build.notebook_processes", lambda _: Here())


@pytest.fixture(scope="session")
def browser():
    """One headless browser for all tests: Playwright's synchronous interface does not start twice in a process."""
    if BROWSER is None:
        pytest.skip("no Chromium or Chrome is installed: pages are not looked at in a browser")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        flags = [
            "--no-sandbox",
            "--disable-gpu",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--disable-quic",
        ]
        chromium = playwright.chromium.launch(executable_path=BROWSER, args=flags)
        yield chromium
        chromium.close()


@pytest.fixture(scope="session")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """For every architecture of the ladder a folder with a tiny random model and a tokenizer of bytes, as the hub would
    have it."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    backend = Tokenizer(models.BPE({"<end>": 0} | {c: i + 1 for i, c in enumerate(alphabet)}, []))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="<end>", bos_token="<end>")
    ends = dict.fromkeys(("bos_token_id", "eos_token_id", "pad_token_id"), 0)
    small = (
        dict(vocab_size=260, num_hidden_layers=3, hidden_size=32, num_attention_heads=2, max_position_embeddings=512)
        | ends
    )
    fields = {
        "llama": {"intermediate_size": 64},
        "gpt2": {},
        "opt": {"ffn_dim": 64, "word_embed_proj_dim": 32},
        "gpt_neox": {"intermediate_size": 64},
        "mistral": {"intermediate_size": 64, "num_key_value_heads": 1},
        "qwen2": {"intermediate_size": 64, "num_key_value_heads": 2},
        "gemma3_text": {"intermediate_size": 64, "num_key_value_heads": 1, "head_dim": 16, "sliding_window": 7},
    }
    out = {}
    for name, own in fields.items():
        torch.manual_seed(0)
        out[name] = tmp_path_factory.mktemp(name)
        AutoModelForCausalLM.from_config(AutoConfig.for_model(name, **small, **own)).save_pretrained(out[name])
        tokenizer.save_pretrained(out[name])
    return out


@pytest.fixture(scope="session")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """Editions and books of two halves of the record, of two study seeds each: real rows, and verdicts that differ."""
    from w2s_lib import digests
    from w2s_lib.book import build, compare
    from w2s_lib.findings import record
    from w2s_lib.findings.claims import CLAIMS
    from w2s_lib.findings.results import COLUMNS

    root, editions = tmp_path_factory.mktemp("shelf & co"), []
    read = {str(claim.names["statistic"]) for claim in CLAIMS.values()} | {name for _, name, _ in compare.HEADLINES}
    read |= {name.replace("excess", "attainable") for name in read}
    frame = record.load_record(FOLDER / "world" / "record").frame
    frame = frame[frame["statistic"].isin(read | {f"power_of_{name}" for name in read})]
    source = re.sub(r"^(name|title|seeds):.*\n", "", (FOLDER / "world.yaml").read_text(encoding="utf-8"), flags=re.M)
    other = "seeds: [402, 403]\nthreshold: 0.8\ntitle: <b>the second & half</b>\ndpo: {epochs: 1}\n"
    for name, fields in (("one", "seeds: [400, 401]\ntitle: the first half\n"), ("two", other)):
        path, html = root / f"{name}.yaml", root / "book" / "_build" / name / "html"
        path.write_text(f"name: {name}\n{fields}{source}", encoding="utf-8")
        editions.append(str(path))
        html.mkdir(parents=True)
        (html / "index.html").touch()
        rows = record.summarise_record(frame[frame["seed"].isin(load(path).seeds)]).assign(edition=name, runs="")
        rows.to_csv(html / "results.csv", index=False, columns=list(COLUMNS))
        about = {"edition": load(path).model_dump(mode="json"), "results": digests.of_file(html / "results.csv")}
        (html / build.BOOK).write_text(json.dumps(about), encoding="utf-8")
    return tuple(editions)
