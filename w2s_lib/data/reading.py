r"""Rows of preference pairs, whatever form they have on disk, as prompt, chosen and rejected reply.

A pair becomes one text, as Anthropic's HH-RLHF writes it: ``\n\nHuman: …\n\nAssistant: …``; the prompt is what both
texts share, up to and with the last ``\n\nAssistant:``, and a reply is the rest, its leading space included.

>>> from w2s_lib.data.reading import prompt_and_replies
>>> prompt_and_replies("\n\nHuman: Hi!\n\nAssistant: Hello.", "\n\nHuman: Hi!\n\nAssistant: What?")
('\n\nHuman: Hi!\n\nAssistant:', ' Hello.', ' What?')
"""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator, Mapping
from functools import lru_cache
from itertools import takewhile
from pathlib import Path

import pandas as pd

from w2s_lib.digests import Stamp, digest
from w2s_lib.errors import OneLineError, first_line

HUMAN, ASSISTANT = "\n\nHuman:", "\n\nAssistant:"
ROLES = {"system": "System", "user": "Human", "assistant": "Assistant"}
SUFFIXES = (".jsonl", ".jsonl.gz", ".parquet")
LABELLED, SAFER = ("chosen", "rejected"), ("response_0", "response_1", "safer_response_id")
"""The two forms of a row: which reply is better says the column's name, or a number."""


class DataError(OneLineError, ValueError):
    """Data that cannot be used: one line with the value of ``data`` and what is wrong with it."""

    def __init__(self, data: object, says: str) -> None:
        super().__init__(f"data={data!r}: {says}")


def prompt_and_replies(chosen: str, rejected: str) -> tuple[str, str, str]:
    r"""Two exchanges as prompt, chosen reply and rejected reply; prompt + reply is the exchange again, as it was.

    The prompt ends with the last ``\n\nAssistant:`` up to which both exchanges are the same; without one it is empty.
    """
    first, second = chosen.split(ASSISTANT), rejected.split(ASSISTANT)
    shared = takewhile(lambda turns: turns[0] == turns[1], zip(first[:-1], second[:-1]))
    prompt = "".join(turn + ASSISTANT for turn, _ in shared)
    return prompt, chosen[len(prompt) :], rejected[len(prompt) :]


def _turn(message: object) -> str:
    """A chat message as text."""
    match message:
        case {"role": str(role), "content": str(content)} if role in ROLES:
            return f"\n\n{ROLES[role]}: {content.strip()}"
    raise ValueError(f"a message needs a role ({', '.join(ROLES)}) and text as content")


def _exchange(prompt: object, reply: object) -> str:
    """One exchange as text, from a reply that may hold its prompt, and a prompt that may be given beside it."""
    if prompt is not None and not isinstance(prompt, (str, list)):
        raise ValueError(f"prompt is {type(prompt).__name__}; it must be text or messages")
    if reply is None:
        return ""
    if isinstance(reply, str):
        if not prompt or reply.lstrip().startswith(HUMAN.strip()):
            return reply
        if isinstance(prompt, str) and ASSISTANT in prompt:
            return prompt + reply
        reply = [{"role": "assistant", "content": reply}]
    if not isinstance(reply, list):
        raise ValueError(f"a reply is {type(reply).__name__}; it must be text or messages")
    if prompt and all(isinstance(message, Mapping) and message.get("role") == "assistant" for message in reply):
        reply = [*([{"role": "user", "content": prompt}] if isinstance(prompt, str) else prompt), *reply]
    return "".join(map(_turn, reply))


def _pair(row: object) -> tuple[str, str, str]:
    """Prompt, chosen and rejected of one row of a file.

    Raises:
        ValueError: columns are missing, or hold something else than text or messages.
    """
    match row:
        case {"chosen": chosen, "rejected": rejected}:
            pass
        case {"response_0": chosen, "response_1": rejected, "safer_response_id": 0}:
            pass
        case {"response_0": rejected, "response_1": chosen, "safer_response_id": 1}:
            pass
        case {"response_0": _, "response_1": _, "safer_response_id": _}:
            raise ValueError("safer_response_id must be 0 or 1")
        case Mapping():
            columns, has = f"{' and '.join(LABELLED)} (with or without prompt)", ", ".join(map(repr, row))[:200]
            raise ValueError(f"lacks columns {columns}, or {', '.join(SAFER)}; it has {has or 'none'}")
        case _:
            raise ValueError("is no object with columns")
    texts = [_exchange(row.get("prompt"), reply) for reply in (chosen, rejected)]
    "".join(texts).encode()  # half a surrogate pair is no text: an error, and a ValueError
    return prompt_and_replies(*texts)


def _rows(path: Path) -> Iterator[tuple[str, object]]:
    """The rows of a file behind where each stands; those of JSON Lines as text, so that an error can name the line."""
    try:
        if path.name.endswith(".parquet"):
            from pyarrow.parquet import ParquetFile

            file = ParquetFile(path)
            known = [column for column in file.schema_arrow.names if column in {"prompt", *LABELLED, *SAFER}]
            rows = (row for batch in file.iter_batches(columns=known or None) for row in batch.to_pylist())
            yield from ((f"row {number}", row) for number, row in enumerate(rows, 1))
        else:
            with (gzip.open if path.name.endswith(".gz") else open)(path, "rt", encoding="utf-8") as lines:
                yield from ((f"line {number}", line) for number, line in enumerate(lines, 1) if line.strip())
    except (ValueError, OSError, EOFError, zlib.error) as error:  # not UTF-8, not gzip, not Parquet, cut short
        raise DataError(path.name, f"cannot be read ({first_line(error)})") from None


@lru_cache(maxsize=4)
def read_files(files: tuple[Stamp, ...]) -> pd.DataFrame:
    """The pairs in some files: ``prompt``, ``chosen``, ``rejected`` and ``file``, the number of the file.

    Raises:
        DataError: a file cannot be read, or a row of it is no pair; says which row, and why.
    """
    found: list[tuple[str, str, str, int]] = []
    for index, path in enumerate(Path(file) for file, _, _ in files):
        for where, row in _rows(path):
            try:
                found.append((*_pair(json.loads(row) if isinstance(row, str) else row), index))
            except json.JSONDecodeError as error:
                raise DataError(path.name, f"{where} is not JSON ({error.msg})") from None
            except (ValueError, RecursionError) as error:
                raise DataError(path.name, f"{where} {first_line(error)}") from None
    texts = ["prompt", "chosen", "rejected"]
    return pd.DataFrame(found, columns=[*texts, "file"]).astype(dict.fromkeys(texts, "str"))


@lru_cache(maxsize=16)
def revision(files: tuple[Stamp, ...]) -> str:
    """16 hexadecimal digits that name what the pairs in some files say, whatever their order."""
    frame = read_files(files)
    rows = sorted(map("\x1f".join, zip(frame["prompt"], frame["chosen"], frame["rejected"])))
    return digest("\x1e".join(rows))
