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
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import takewhile
from pathlib import Path
from typing import Any

import pandas as pd

from w2s_lib.digests import Stamp, digest
from w2s_lib.errors import OneLineError

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
    r"""Two exchanges as prompt, chosen reply and rejected reply; prompt + reply is the exchange again, character for
    character.

    The prompt ends with the last ``\n\nAssistant:`` up to which both exchanges are the same; it is empty where there is
    none."""
    first, second = chosen.split(ASSISTANT), rejected.split(ASSISTANT)
    shared = takewhile(lambda turns: turns[0] == turns[1], zip(first[:-1], second[:-1]))
    prompt = "".join(turn + ASSISTANT for turn, _ in shared)
    return prompt, chosen[len(prompt) :], rejected[len(prompt) :]


def _render(messages: Sequence[Any]) -> str:
    """Chat messages as text."""
    for message in messages:
        if (
            not isinstance(message, Mapping)
            or message.get("role") not in ROLES
            or not isinstance(message.get("content"), str)
        ):
            raise ValueError(f"a message needs a role ({', '.join(ROLES)}) and text as content")
    return "".join(f"\n\n{ROLES[message['role']]}: {message['content'].strip()}" for message in messages)


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
    return _render(reply)


def _pair(row: object) -> tuple[str, str, str]:
    """Prompt, chosen and rejected of one row of a file.

    Raises:
        ValueError: columns are missing, or hold something else than text or messages.
    """
    if not isinstance(row, Mapping):
        raise ValueError("is no object with columns")
    if all(column in row for column in LABELLED):
        chosen, rejected = row["chosen"], row["rejected"]
    elif all(column in row for column in SAFER):
        if row["safer_response_id"] not in (0, 1):
            raise ValueError("safer_response_id must be 0 or 1")
        chosen, rejected = row["response_0"], row["response_1"]
        if row["safer_response_id"] == 1:
            chosen, rejected = rejected, chosen
    else:
        has = ", ".join(map(repr, row))[:200] or "none"
        raise ValueError(
            f"lacks columns {' and '.join(LABELLED)} (with or without prompt), or {', '.join(SAFER)}; it has {has}"
        )
    texts = [_exchange(row.get("prompt"), reply) for reply in (chosen, rejected)]
    "".join(texts).encode()  # half a surrogate pair is no text: an error, and a ValueError
    return prompt_and_replies(*texts)


def first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [""])[0][:200] or type(error).__name__


def _rows(path: Path) -> Iterator[tuple[str, Callable[[], object]]]:
    """Where each row stands, and how to get it."""
    if path.name.endswith(".parquet"):
        from pyarrow.parquet import ParquetFile

        file = ParquetFile(path)
        known = [column for column in file.schema_arrow.names if column in {"prompt", *LABELLED, *SAFER}]
        number = 0
        for batch in file.iter_batches(columns=known or None):
            for row in batch.to_pylist():
                number += 1
                yield f"row {number}", lambda row=row: row
        return
    with (gzip.open if path.name.endswith(".gz") else open)(path, "rt", encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            if line.strip():
                yield f"line {number}", lambda line=line: json.loads(line)


@lru_cache(maxsize=4)
def read_files(files: tuple[Stamp, ...]) -> pd.DataFrame:
    found: list[tuple[str, str, str, int]] = []
    for index, (file, _, _) in enumerate(files):
        path = Path(file)
        try:
            for where, get in _rows(path):
                try:
                    found.append((*_pair(get()), index))
                except json.JSONDecodeError as error:
                    raise DataError(path.name, f"{where} is not JSON ({error.msg})") from None
                except (ValueError, RecursionError) as error:
                    raise DataError(path.name, f"{where} {first_line(error)}") from None
        except DataError:
            raise
        except (ValueError, OSError, EOFError, zlib.error) as error:  # not UTF-8, not gzip, not Parquet, cut short
            raise DataError(path.name, f"cannot be read ({first_line(error)})") from None
    return pd.DataFrame(found, columns=["prompt", "chosen", "rejected", "file"]).astype(
        dict.fromkeys(("prompt", "chosen", "rejected"), "str")
    )


@lru_cache(maxsize=16)
def revision(files: tuple[Stamp, ...]) -> str:
    """16 hexadecimal digits that name what the pairs in some files say, whatever their order."""
    frame = read_files(files)
    return digest(
        "\x1e".join(sorted("\x1f".join(row) for row in zip(frame["prompt"], frame["chosen"], frame["rejected"])))
    )
