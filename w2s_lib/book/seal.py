"""Answers under seal: what is right can be checked, and common mistakes met with a hint, where no answer is written.

An answer is a number or an array, rounded on a grid.  Where a book was built, a digest of it names its text.  Under
seal, ``hashlib.scrypt`` makes of that digest and of a salt two things: the name of an entry and the key of the text in
it.  An exercise is a handful of such entries, one for the right answer and one for each mistake that has a hint, alike
in length and without order.  Whoever has an answer opens its entry; whoever has none sees as little of the hints as of
the right answer.

A guess takes about 0.06 s and 16 MB.  A number with two decimals is one of 101 and would fall in seconds, so that an
answer is one of ``GUESSES`` or more: minutes.  Better are answers whose guesses nobody can count, such as *which*
pairs are taxed instead of how many.  A seal does not keep from the answer those who compute it, with their own lines or
with the library's.
"""

import hashlib
import json
import secrets
from collections.abc import Mapping
from functools import lru_cache
from math import log
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from w2s_lib.errors import OneLineError, ParameterError, nearest

GUESSES = 4096
"""How many answers there are to try, at least: yes or no twelve times, or a share with four decimals."""

COST = 2**14
"""What a guess takes: scrypt's n, with blocks of 8 (16 MB)."""

SLACK = 1e-9
"""How far an array's numbers may lie from the sealed ones by rounding of the machine, where they fall on an edge."""

RIGHT = "right"
NOT_YET = "not yet; look again at what is asked, and in which order"
COMMA = "decimals are written with a point: 0.45, and not 0,45, which makes two numbers"
SEAL_SCHEME = 2
"""How a seal is made; one of another scheme would tell a right answer that it is none."""

UNDEFINED = np.iinfo(np.int64).min
"""What stands on the grid for NaN."""

Exercise = dict[str, object]
"""What opens which text, as JSON has it: ``digits``, and ``texts`` by the digest of an answer; or, under seal,
``digits``, ``scheme``, ``salt``, and ``entries``, text by name."""


class WrongAnswer(OneLineError, AssertionError):
    """An answer to an exercise that is not right."""


class TooFewError(ParameterError):
    """An answer that would be found by trying all there are."""


def on_grid(answer: ArrayLike, digits: int) -> bytes:
    """An answer as bytes: its shape, and its numbers rounded to ``digits`` decimals; true is 1, false 0, NaN itself.

    Raises:
        ValueError: it is no array of finite numbers or NaN, or one is too large for so many decimals.
    """
    try:
        values = np.asarray(answer, dtype=float)
    except (TypeError, ValueError):
        says = "an answer is a number, or an array of numbers or of true and false"
        raise ValueError(COMMA if has_comma(answer) else says) from None
    if np.any(np.abs(values) * 10.0**digits >= 2**53):  # beyond that, neighbours on the grid are one number
        raise ValueError(f"an answer has finite numbers below {2**53 / 10**digits:.0e}")
    undefined = np.isnan(values)
    cells = np.floor(np.where(undefined, 0.0, values) * 10.0**digits + 0.5).astype("<i8")
    return repr(values.shape).encode() + np.where(undefined, UNDEFINED, cells).astype("<i8").tobytes()


def _named(answer: ArrayLike, digits: int) -> str:
    """A digest of an answer on its grid."""
    return hashlib.sha256(on_grid(answer, digits)).hexdigest()


def has_comma(answer: ArrayLike) -> bool:
    """Whether an answer looks as if its decimals were written with a comma.

    That is text with one in it, or two whole numbers, the first 0 or 1, which is what ``0,45`` makes.

    >>> has_comma((0, 45)), has_comma([0, 45]), has_comma("0,45")
    (True, False, True)
    """
    told = np.ravel(np.asarray(answer, dtype=object)).tolist()
    if any(isinstance(one, str) for one in told):
        return any(isinstance(one, str) and "," in one for one in told)
    pair = isinstance(answer, tuple) and len(told) == 2 and all(type(one) is int for one in told)
    return pair and told[0] in (0, 1) and told[1] > 9


def not_right(answer: ArrayLike) -> str:
    """What is said of an answer that opens nothing."""
    return COMMA if has_comma(answer) else NOT_YET


@lru_cache(maxsize=64)
def _opened(named: str, salt: str) -> tuple[str, bytes]:
    """The name of an answer's entry, and the key of the text in it.  Whoever has just tried an answer waits once."""
    made = hashlib.scrypt(named.encode(), salt=bytes.fromhex(salt), n=COST, r=8, p=1, maxmem=2**27, dklen=48)
    return made[:16].hex(), made[16:]


def _turned(text: bytes, key: bytes) -> bytes:
    """A text under a key, or back.  A key serves one text alone, as there is one for each answer and salt."""
    stream = hashlib.shake_256(key).digest(len(text))
    return bytes(one ^ other for one, other in zip(text, stream))


def exercise(name: str, answer: ArrayLike, digits: int = 6, hints: Mapping[str, ArrayLike] | None = None) -> Exercise:
    """An exercise that can be sealed; ``hints`` are texts that lead on, each with the wrong answer that it is for.

    A mistake that makes no difference here (its answer is the right one, or another's) gets no hint.

    Raises:
        TooFewError: an answer that is one of fewer than ``GUESSES``.
        ValueError: as ``on_grid``.
    """
    texts = {_named(answer, digits): RIGHT}
    values = np.asarray(answer)
    steps = 2 if values.dtype.kind in "biu" else 10**digits + 1  # yes or no, or a share of that many decimals
    if values.size * log(steps) < log(GUESSES):
        says = "is found by trying all; ask for more decimals, or for an array"
        raise TooFewError(name, f"{values.size} numbers of {digits} decimals", says)
    for hint, wrong in (hints or {}).items():
        texts.setdefault(_named(wrong, digits), hint)
    return {"digits": digits, "texts": texts}


def seal(exercise: Exercise) -> Exercise:
    """The exercise under seal."""
    texts, salt = exercise["texts"], secrets.token_hex(16)
    width = max(len(text.encode()) for text in texts.values())
    entries: dict[str, str] = {}
    for named, text in texts.items():
        entry, key = _opened(named, salt)
        entries[entry] = _turned(text.encode().ljust(width), key).hex()
    return {"digits": exercise["digits"], "scheme": SEAL_SCHEME, "salt": salt, "entries": dict(sorted(entries.items()))}


def unseal(exercise: Exercise, answer: ArrayLike) -> str | None:
    """What an answer opens: ``RIGHT``, a hint, or nothing.

    A single number may lie half a unit of the last decimal beside the right one, in the neighbouring cell of the grid.

    Raises:
        ValueError: as ``on_grid``.
    """
    digits = exercise["digits"]
    names = [_named(answer, digits)]  # refuses what is no array of numbers, before anything is added to it
    values = np.asarray(answer, dtype=float)
    slack = 0.5 * 10.0**-digits if values.ndim == 0 else SLACK
    names = dict.fromkeys([*names, *(_named(values + off, digits) for off in (-slack, slack))])
    if "texts" in exercise:
        return next((exercise["texts"][named] for named in names if named in exercise["texts"]), None)
    for named in names:
        entry, key = _opened(named, exercise["salt"])
        if entry in exercise["entries"]:
            return _turned(bytes.fromhex(exercise["entries"][entry]), key).decode(errors="replace").rstrip()
    return None


def exercises(path: Path) -> tuple[str, dict[str, Exercise]]:
    """What a file of checks holds: whose parameters it is for, and exercises by name.

    Raises:
        ParameterError: it is no such file, or one of another version of the book.
    """
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
        for one in told["exercises"].values():
            texts = one.get("texts", {}).values()
            if one["digits"] not in range(13) or not all(isinstance(text, str) for text in texts):
                raise ValueError
            for text in () if "texts" in one else (one["salt"], *one["entries"].values()):
                bytes.fromhex(text)
        study, known = told["study"], told["exercises"]
    except (ValueError, KeyError, TypeError, AttributeError):
        raise ParameterError("checks", str(path), "is no file of checks; unpack the hand-out again") from None
    if any("salt" in one and one.get("scheme") != SEAL_SCHEME for one in known.values()):
        says = "was sealed by another version of the book; build the book and make the course again"
        raise ParameterError("checks", str(path), says)
    return study, known


def right(path: str, name: str, answer: ArrayLike) -> bool:
    """Whether an answer is the one under seal; what is no answer, or none yet (``...``), is not.

    For a grader, which trusts no function of the notebook that it marks.

    Raises:
        ParameterError: no such exercise in that file.
    """
    _, known = exercises(Path(path))
    if name not in known:
        raise ParameterError("exercise", name, nearest(name, list(known)))
    try:
        return answer is not ... and unseal(known[name], answer) == RIGHT
    except ValueError:
        return False
