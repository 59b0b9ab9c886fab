"""Edition files as they are written: YAML in which every value means what it says, and the line where each stands.

YAML has traps: it reads ``010`` as 8, ``1:30`` as 90 and ``no`` as false, and of two values under one key it forgets
the first.  Here all of these are refused, in one line that says where, and what to write.
"""

from __future__ import annotations

import re
from codecs import BOM_UTF16_BE, BOM_UTF16_LE
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from w2s_lib.errors import ParameterError, first_line

MEANT = {
    "bool": re.compile(r"true|false", re.I),
    "int": re.compile(r"[-+]?(0|[1-9]\d*)"),
    "float": re.compile(r"[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?", re.I),
    "timestamp": re.compile(r"(?!)"),  # never: no parameter is a date
}
"""How a truth value or a number must look, so that YAML and everybody else read it alike."""

IN_OTHER_WORDS = {
    "mapping values are not allowed": """a text with ": " in it needs quotes, as in title: "GPT-2: a try\"""",
    "found character '\\t'": "a tab stands here; write spaces",
}
"""How YAML begins to say it → what to do."""

Where = tuple[str | int, ...]
"""Of a field, ``("seeds",)``, and of what is in it, ``("seeds", 0)`` or ``("dpo", "epochs")``."""


class AsWritten(str):
    """A value as it stands in a file, which errors show as it is."""

    __repr__ = str.__str__


class Place(NamedTuple):
    """Where a value stands: the beginning of an error's line, and the value."""

    where: str
    written: AsWritten


class EditionFile:
    """The text of an edition, read: its ``fields``, and the ``places`` of their values; errors call it ``said``.

    Raises:
        ParameterError: it is no YAML, holds no mapping, or a value that YAML reads as something else than it says.
    """

    def __init__(self, text: str, said: str) -> None:
        self.said, self._text, self.places = said, text, {}
        try:
            loader = yaml.SafeLoader(text)
            root = loader.get_single_node()
            if root is not None:
                self._look_at((), root, loader)
            self.fields: dict[str, Any] = loader.construct_document(root) if root else {}
        except ParameterError:
            raise
        except (yaml.YAMLError, ValueError, RecursionError) as error:
            raise self._no_yaml(error) from None
        if not isinstance(self.fields, dict):
            raise ParameterError("edition", said, "must hold one mapping of parameters, a 'name: value' a line")

    def forget(self, names: Collection[str]) -> None:
        """Others have given values for these parameters: no error is about those in the file."""
        self.places = {where: place for where, place in self.places.items() if not where or where[0] not in names}

    def error(self, name: str, value: object, says: str, where: Where = ()) -> ParameterError:
        """What is wrong with a parameter, as it is written at ``where``; and in which line, where the file has it."""
        place = self.places.get(where or tuple(name.split(".")))
        return ParameterError(name, place.written if place and where else value, says, place.where if place else "")

    def _place(self, node: yaml.Node) -> Place:
        written = " ".join(self._text[node.start_mark.index : node.end_mark.index].split())
        return Place(f"{self.said}, line {node.start_mark.line + 1}: ", AsWritten(written[:80]))

    def _look_at(self, where: Where, node: yaml.Node, loader: yaml.SafeLoader) -> None:
        """Note where a value stands, and what is in it; refuse what would be read as something else than it says."""
        if where not in self.places:
            self.places[where] = self._place(node)
            self._check_keys(where, node)
            self._check_value(where, node, loader)
            for name, child in _inside(node) if len(where) < 3 else ():
                self._look_at((*where, name), child, loader)

    def _check_keys(self, where: Where, node: yaml.Node) -> None:
        lines: dict[str, int] = {}
        for key, value in node.value if isinstance(node, yaml.MappingNode) else ():
            beginning, written = self._place(key)
            for merged in _merged(key, value):
                self._check_keys(where, merged)
            if _kind(key) not in ("str", "merge"):
                raise ParameterError(written, AsWritten("…"), "a parameter's name is needed here", beginning)
            if key.value in lines:
                says = f"stands here for the second time, first in line {lines[key.value]}; keep one of them"
                raise ParameterError(".".join((*map(str, where), key.value)), AsWritten("…"), says, beginning)
            lines[key.value] = key.start_mark.line + 1

    def _check_value(self, where: Where, node: yaml.Node, loader: yaml.SafeLoader) -> None:
        if not isinstance(node, yaml.ScalarNode):
            return
        kind, text = _kind(node), node.value
        if kind == "null" and not text:
            says = "nothing stands there; leave the name out, too, or write null"
            raise self.error(_written(where), AsWritten("…"), says, where)
        if kind in MEANT and not MEANT[kind].fullmatch(text):
            read = "a date" if kind == "timestamp" else str(loader.construct_object(node)).lower()
            plain = text.lstrip("0") or read if text.isdigit() else read
            number = "" if kind == "timestamp" or plain.endswith(("inf", "nan")) else f"{plain}, or "
            says = f'YAML reads it as {read}; write {number}"{text}" in quotes where a text is meant'
            raise self.error(_written(where), text, says, where)

    def _no_yaml(self, error: Exception) -> ParameterError:
        mark, problem = getattr(error, "problem_mark", None), getattr(error, "problem", None) or first_line(error)
        says = next((what for begins, what in IN_OTHER_WORDS.items() if problem.startswith(begins)), None)
        lines = self._text.splitlines()
        where = f"line {mark.line + 1}, {lines[mark.line].strip()[:80]!r}: " if mark and mark.line < len(lines) else ""
        return ParameterError("edition", self.said, f"{where}{says or f'this is no YAML ({problem})'}")


def read_edition_file(path: Path, said: str) -> EditionFile:
    """The edition file at ``path``, which errors call ``said``; in UTF-8, or in UTF-16 with a byte order mark.

    Raises:
        ParameterError: see ``EditionFile``; or it is in another encoding, or cannot be read.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ParameterError("edition", said, f"cannot be read ({error.strerror})") from None
    encoding = "utf-16" if content.startswith((BOM_UTF16_LE, BOM_UTF16_BE)) else "utf-8-sig"
    try:
        return EditionFile(content.decode(encoding), said)
    except UnicodeDecodeError as error:
        line = 1 + content.count(b"\n", 0, error.start)
        says = f"line {line} is not {encoding.upper().removesuffix('-SIG')}; save the file as UTF-8"
        raise ParameterError("edition", said, says) from None


def _kind(node: yaml.Node) -> str:
    return node.tag.rpartition(":")[2]


def _written(where: Where) -> str:
    """A place as errors name it: ``dpo.epochs``; of an entry of a list, the list."""
    return ".".join(name for name in where if isinstance(name, str))


def _inside(node: yaml.Node) -> Iterator[tuple[str | int, yaml.Node]]:
    """Names and values of a mapping, merged ones last, or numbers and entries of a list."""
    if isinstance(node, yaml.SequenceNode):
        yield from enumerate(node.value)
    elif isinstance(node, yaml.MappingNode):
        yield from ((key.value, value) for key, value in node.value if _kind(key) != "merge")
        for merged in (merged for pair in node.value for merged in _merged(*pair)):
            yield from _inside(merged)


def _merged(key: yaml.Node, value: yaml.Node) -> Sequence[yaml.Node]:
    """What ``<<`` merges into a mapping: one other, or some; of another key, none."""
    if _kind(key) != "merge":
        return ()
    return value.value if isinstance(value, yaml.SequenceNode) else (value,)
