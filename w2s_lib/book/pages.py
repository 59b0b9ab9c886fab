"""Executed pages that come with a preview, so that the whole book is there in a minute: one zip beside its results.

``pages.zip`` has a folder a chapter, with the files that an execution of it leaves, and ``about.json`` with the key of
each: a page is shown only where nothing that its key names has changed since.
"""

import json
import tempfile
import zipfile
from collections.abc import Iterable, Mapping
from io import BytesIO
from pathlib import Path

import nbformat

from w2s_lib.errors import OneLineError, first_line
from w2s_lib.lab.shipped import Shipped
from w2s_lib.lab.store import StoreError

PACK = "pages.zip"
"""The file among what comes with an edition."""

KEYS_OF_PAGES = "about.json"
"""Its member that says which key each chapter's page has."""

PAGE = "page.ipynb"
"""What the executed notebook is called among the files of a page."""

NOTE = "preview"
"""The id of the cell in which a page says that it is of a preview."""

EXECUTED, CAME = "It was executed", "It came with the book as it was executed"
"""How that cell tells where and when, on the machine that did it, and elsewhere."""

LONG_AGO = (1980, 1, 1, 0, 0, 0)
"""The date of every member: the same pages are the same bytes."""


class PackError(OneLineError):
    """Pages that cannot be handed on, in one line."""


class Pages:
    """The pages that come with an edition; none where it has no pack.

    Raises:
        StoreError: the pack is damaged, or no such file.
    """

    def __init__(self, shipped: Shipped) -> None:
        self._keys: dict[str, str] = {}
        if content := shipped.content(PACK):
            try:
                self._zip = zipfile.ZipFile(BytesIO(content))
                self._keys = dict(json.loads(self._zip.read(KEYS_OF_PAGES)))
                for chapter in self._keys:
                    self._zip.getinfo(f"{chapter}/{PAGE}")
            except (zipfile.BadZipFile, KeyError, TypeError, ValueError) as error:
                says = f"{shipped.folder / PACK} holds no pages ({first_line(error)})"
                raise StoreError(f"{says}; it comes with the edition: restore it (git checkout)") from None

    def __len__(self) -> int:
        return len(self._keys)

    def has(self, chapter: str, key: str) -> bool:
        """Whether the page of a chapter is there, under this key."""
        return self._keys.get(chapter) == key

    def files(self, chapter: str) -> dict[str, bytes]:
        """The files of a chapter's page, by name."""
        names = [name for name in self._zip.namelist() if name.startswith(f"{chapter}/")]
        return {name.removeprefix(f"{chapter}/"): self._zip.read(name) for name in names}


def handed_on(page: bytes) -> bytes:
    """An executed notebook of a preview, which says that it came with the book."""
    notebook = nbformat.reads(page.decode(), as_version=4)
    for cell in notebook.cells:
        if cell.get("id") == NOTE:
            cell.source = cell.source.replace(EXECUTED, CAME)
    return nbformat.writes(notebook).encode() + b"\n"


def pack_pages(keys: Mapping[str, str], pages: Mapping[str, Mapping[str, bytes]], paths: Iterable[Path]) -> bytes:
    """The pack of some pages, by chapter: the same bytes for the same pages.

    Raises:
        PackError: a page holds one of the builder's ``paths``, or that of a temporary file.
    """
    foreign = [*map(str, paths), str(Path(tempfile.gettempdir(), tempfile.gettempprefix()))]
    members = {f"{chapter}/{name}": content for chapter, files in pages.items() for name, content in files.items()}
    for name, content in members.items():
        for path in foreign:
            if path.encode() in content:
                raise PackError(f"{name}: names {path}, a place on this machine; it cannot come with the book")
    members[KEYS_OF_PAGES] = json.dumps(dict(sorted(keys.items())), indent=1).encode()
    whole = BytesIO()
    with zipfile.ZipFile(whole, "w") as file:
        for name, content in sorted(members.items()):
            told = zipfile.ZipInfo(name, LONG_AGO)
            told.external_attr = 0o644 << 16
            file.writestr(told, content, zipfile.ZIP_DEFLATED, 9)
    return whole.getvalue()
