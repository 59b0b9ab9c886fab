"""Fixtures: one smoke build serves all tests that need trained runs or rendered pages."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from w2s_lib.edition import load
from w2s_lib.lab import Lab
from w2s_lib.study import Study

ROOT = Path(__file__).resolve().parent.parent
BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)


def build_command(store: Path, output: Path) -> list[str]:
    """What ``make book EDITION=smoke`` runs, with folders of its own."""
    return [sys.executable, "-m", "w2s_lib.book", "--edition", "smoke", "--store", str(store), "--output", str(output)]


@pytest.fixture(scope="session")
def build_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The smoke edition, built by the command that ``make book EDITION=smoke`` runs, into folders of its own."""
    folder = tmp_path_factory.mktemp("smoke")
    done = subprocess.run(build_command(folder / "store", folder / "book"), cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    (folder / "log.txt").write_text(done.stdout)
    return folder


@pytest.fixture(scope="session")
def study() -> Study:
    return Study(load("smoke"))


@pytest.fixture(scope="session")
def lab(build_folder: Path) -> Lab:
    """The smoke build's store; missing runs are done in this process."""
    return Lab(build_folder / "store", workers=0, progress=False)


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
