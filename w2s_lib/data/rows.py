r"""What a row of preference pairs says, in whatever form: a prompt, a chosen and a rejected reply.

A pair becomes one text, as Anthropic's HH-RLHF writes it: ``\n\nHuman: …\n\nAssistant: …``; the prompt is what both
texts share, up to and with the last ``\n\nAssistant:``, and a reply is the rest, its leading space included.

>>> from w2s_lib.data.rows import prompt_and_replies
>>> prompt_and_replies("\n\nHuman: Hi!\n\nAssistant: Hello.", "\n\nHuman: Hi!\n\nAssistant: What?")
('\n\nHuman: Hi!\n\nAssistant:', ' Hello.', ' What?')
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import takewhile

HUMAN, ASSISTANT = "\n\nHuman:", "\n\nAssistant:"
ROLES = {
    "system": "System", "developer": "System", "user": "Human", "human": "Human", "assistant": "Assistant",
    "gpt": "Assistant",
}  # fmt: skip
"""What those who speak are called in chat messages, and in texts."""
LABELLED, SAFER = ("chosen", "rejected"), ("response_0", "response_1", "safer_response_id")
"""The two forms of a row: which reply is better says the column's name, or a number."""
ASKED = {"prompt": "user", "messages": None, "conversations": None}
"""Columns of what is replied to, of which the first counts that says anything; whose words text in them is."""
BEFORE = {"system": "system", "history": None}
"""Columns of what was said before that, likewise."""
ORIGIN = "source"
"""The column that may say from which part of its data set a pair comes."""


def prompt_and_replies(chosen: str, rejected: str) -> tuple[str, str, str]:
    r"""Two exchanges as prompt, chosen reply and rejected reply; prompt + reply is the exchange again, as it was.

    The prompt ends with the last ``\n\nAssistant:`` up to which both exchanges are the same; without one it is empty.
    """
    first, second = chosen.split(ASSISTANT), rejected.split(ASSISTANT)
    shared = takewhile(lambda turns: turns[0] == turns[1], zip(first[:-1], second[:-1]))
    prompt = "".join(turn + ASSISTANT for turn, _ in shared)
    return prompt, chosen[len(prompt) :], rejected[len(prompt) :]


def _kind(value: object) -> str:
    """What a value is, in the words of JSON."""
    kinds = {str: "text", bool: "true or false", int: "a number", float: "a number", list: "a list", type(None): "null"}
    return next((says for kind, says in kinds.items() if isinstance(value, kind)), "an object")


def _role(message: object) -> str | None:
    """Who says a chat message, as texts call them; None: nobody that they know."""
    role = (message.get("role") or message.get("from")) if isinstance(message, Mapping) else None
    return ROLES.get(role) if isinstance(role, str) else None


def _said(content: object) -> str:
    """What a chat message says: text, or parts of text."""
    if isinstance(content, str):
        return content
    if isinstance(content, list) and content:
        texts = [part.get("text") if isinstance(part, Mapping) else None for part in content]
        if all(isinstance(text, str) for text in texts):
            return "".join(texts)
        raise ValueError("a message has parts that are no text")
    raise ValueError(f"{_kind(content)} stands where the text of a message is needed")


def _turn(message: object) -> str:
    """A chat message as text."""
    match message:
        case {"role": role, "content": content} | {"from": role, "value": content}:
            pass
        case ValueError():  # an object that could not be read
            raise ValueError(f"a message {message}")
        case Mapping():
            raise ValueError(f"a message has the keys {', '.join(map(repr, message))}; 'role' and 'content' are needed")
        case _:
            raise ValueError(f"{_kind(message)} stands where a message is needed")
    if (called := _role(message)) is None:
        raise ValueError(f"a message has the role {role!r}; allowed: {', '.join(ROLES)}")
    if calls := [key for key in ("tool_calls", "function_call") if message.get(key)]:
        raise ValueError(f"a message has {calls[0]!r}, which is no text")
    return f"\n\n{called}: {_said(content).strip()}"


def _messages(value: object, speaker: str | None) -> list[object]:
    """Chat messages: a list of them, one alone, text as what the speaker says, or pairs of question and reply."""
    match value:
        case str() if speaker:
            return [{"role": speaker, "content": value}]
        case Mapping():
            return [value]
        case [[_, _], *_] if all(isinstance(turns, list) and len(turns) == 2 for turns in value):
            roles = ("user", "assistant")
            return [{"role": role, "content": said} for turns in value for role, said in zip(roles, turns)]
        case list():
            return value
    raise ValueError(f"{_kind(value)} stands where {'text or ' if speaker else ''}messages are needed")


def _turns(row: Mapping, column: str, speaker: str | None) -> str:
    """What a column of messages says, as text."""
    try:
        return "".join(map(_turn, _messages(row[column], speaker)))
    except ValueError as error:
        raise ValueError(f"{column}: {error}") from None


def _exchange(row: Mapping, side: str, asked: str | None) -> str:
    """One exchange as text, from a reply that may hold its prompt, and the column ``asked``, which may hold it, too."""
    reply, prompt = row[side], row[asked] if asked else None
    if reply is None:
        return ""
    if isinstance(reply, str) and (not prompt or reply.lstrip().startswith(HUMAN.strip())):
        return reply
    if isinstance(reply, str) and isinstance(prompt, str) and ASSISTANT in prompt:
        return prompt + reply
    text = _turns(row, side, "assistant")
    if not prompt or any(_role(message) != ROLES["assistant"] for message in _messages(reply, "assistant")):
        return text
    before = _turns(row, asked, ASKED[asked])
    if asked != "prompt" and _role(_messages(prompt, None)[-1]) == ROLES["assistant"]:
        raise ValueError(f"{asked}: ends with a reply, and {side} is another; it must end with what is replied to")
    return before + text


def pair(row: object) -> tuple[tuple[str, str, str], set[str]]:
    """Prompt, chosen and rejected of one row of a file, and the columns that say so.

    Raises:
        ValueError: columns are missing, or hold something else than text or messages.
    """
    match row:
        case {"chosen": _, "rejected": _}:
            sides = LABELLED
        case {"response_0": _, "response_1": _, "safer_response_id": 0 | 1 as safer}:
            sides = SAFER[:2] if safer == 0 else SAFER[1::-1]
        case {"response_0": _, "response_1": _, "safer_response_id": _}:
            raise ValueError("safer_response_id must be 0 or 1")
        case Mapping():
            columns, has = f"{' and '.join(LABELLED)} (with or without prompt)", ", ".join(map(repr, row))[:200]
            raise ValueError(f"lacks columns {columns}, or {', '.join(SAFER)}; it has {has or 'none'}")
        case _:
            raise ValueError(f"{_kind(row)} stands where an object with columns is needed")
    asked = next((column for column in ASKED if row.get(column)), None)
    earlier = [column for column in BEFORE if row.get(column)]
    before = "".join(_turns(row, column, BEFORE[column]) for column in earlier)
    texts = [_exchange(row, side, asked) for side in sides]
    texts = [before + text if text and not text.startswith(before) else text for text in texts]
    try:
        "".join(texts).encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"{error.object[error.start]!r} is half of a character, and no text") from None
    said = LABELLED if sides == LABELLED else SAFER
    return prompt_and_replies(*texts), {*said, *earlier, *([asked] if asked else [])}
