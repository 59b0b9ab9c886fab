"""Put a built book and what belongs to it into one folder: ``make release``.

The folder holds the site as a zip that opens by a double click and is an RO-Crate (``w2s_lib.book.crate``), the book as
PDF, the slides as a zip and as PDFs, what a class gets (``w2s_lib.book.course``) without its solutions, the record, the
results, who is to be cited and what changed, with checksums and a manifest.  Nothing is computed here.
"""

import hashlib
import json
import shutil
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from w2s_lib.book.build import ROOT, built, command, jupyter_book
from w2s_lib.book.chapter import BOOK_TABLES
from w2s_lib.book.course import course
from w2s_lib.book.pdf import SHEET, print_decks, print_pages
from w2s_lib.errors import Arguments, ParameterError, exit_code
from w2s_lib.findings import record
from w2s_lib.lab.provenance import versions
from w2s_lib.study.edition import load

PROJECT = "w2s-deception"
PROJECT_FILES = ("CITATION.cff", "codemeta.json", "CHANGELOG.md", "LICENSE", "pyproject.toml", "requirements.lock")
"""Files of the project that go with every release."""


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def release(
    edition: str, output: str | None = None, target: str | None = None, pdf: bool = True, taught: Sequence[str] = ()
) -> Path:
    """Write the release of a built book; returns its folder, ``target`` or ``book/_build/release/<name>-<version>``.

    ``taught``: chapters whose exercises go with it, by number; of none given, all that have some.

    Raises:
        ParameterError: the edition has not been built, or the folder holds something else than a release.
        BuildError: the PDF cannot be printed.
    """
    html, e = built(edition, output), load(edition)
    name = f"w2s-deception-{e.name}-{version(PROJECT)}"
    folder = Path(target).expanduser().absolute() if target else ROOT / "book" / "_build" / "release" / name
    if folder.exists() and any(folder.iterdir()) and not (folder / "manifest.json").is_file():
        raise ParameterError("target", str(target), "must be a new folder, or that of a release")
    if not (html / "slides").is_dir():
        says = f"has no slides: a preview, or built before books had; run {command(edition)}"
        raise ParameterError("edition", edition, says)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    shutil.make_archive(str(folder / "site"), "zip", html)
    shutil.make_archive(str(folder / "slides"), "zip", html / "slides")
    if pdf:
        (folder / "slides").mkdir()
        print_decks(sorted((html / "slides").glob("[0-9]*.html")), folder / "slides")
        whole = jupyter_book(html.parent / "source", html.parent, "singlehtml") / "index.html"
        print_pages({whole.as_uri(): folder / "book.pdf"}, **SHEET)
    handed = course(taught, edition, output, folder / "course")
    for inside in ("student", "solutions"):  # the one is in student.zip, the other is for who teaches
        shutil.rmtree(handed / inside)
    for path in (*(html / table for table in BOOK_TABLES.values()), *(ROOT / about for about in PROJECT_FILES)):
        shutil.copy(path, folder)
    for kept in record.record_folders(e):
        shutil.copytree(kept, folder / kept.name)
    _write_manifest(folder, {"name": name, "edition": e.name, "version": version(PROJECT), "commit": record.commit()})
    return folder


def _write_manifest(folder: Path, about: dict[str, object]) -> None:
    """Leave in a release what it is, its files with their checksums, and the checksums alone."""
    files = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}
    told = {called: {"sha256": _digest(path), "bytes": path.stat().st_size} for called, path in files.items()}
    about |= {"made_with": versions(), "files": told}
    (folder / "manifest.json").write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")
    sums = "".join(f"{one['sha256']}  {path}\n" for path, one in told.items())
    (folder / "SHA256SUMS").write_text(sums, encoding="utf-8")


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit code."""
    parser = Arguments(prog="python -m w2s_lib.book.release", description=__doc__.splitlines()[0])
    parser.add_argument("--edition", default="world", help="name of an edition that has been built (default: world)")
    parser.add_argument("--output", help="where it was built (default: book/_build/<edition>)")
    parser.add_argument("--target", help="folder of the release (default: book/_build/release/<name>-<version>)")
    parser.add_argument("--no-pdf", action="store_true", help="leave out the PDF, which a Chromium prints")
    given = parser.parse_args(arguments)
    return exit_code(lambda: print(release(given.edition, given.output, given.target, not given.no_pdf)))


if __name__ == "__main__":
    sys.exit(main())
