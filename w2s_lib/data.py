r"""Real preference pairs: a registry behind one parameter, prompts told from replies, and splits that do not leak.

The parameter ``data`` names a data set of the registry, a hub id with columns ``chosen`` and ``rejected``, or local files.
Whatever the form on disk, a pair becomes one text, as Anthropic's HH-RLHF writes it: ``\n\nHuman: …\n\nAssistant: …``; the prompt
is what both texts share, up to and with the last ``\n\nAssistant:``, and a reply is the rest, its leading space included.
The data card of the book says where each data set comes from, under which licence, and what is wrong with it.

>>> from w2s_lib.data import prompt_and_replies
>>> prompt_and_replies("\n\nHuman: Hi!\n\nAssistant: Hello.", "\n\nHuman: Hi!\n\nAssistant: What?")
('\n\nHuman: Hi!\n\nAssistant:', ' Hello.', ' What?')
"""

from __future__ import annotations

import difflib
import gzip
import hashlib
import json
import os
import re
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from functools import lru_cache
from itertools import takewhile
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from w2s_lib.digests import Stamp, digest, stamp
from w2s_lib.errors import OneLineError
from w2s_lib.pairs import PairsError, with_ids
from w2s_lib.run import Objective, Source, Texts, stream
from w2s_lib.world import SPLITS

HUMAN, ASSISTANT = "\n\nHuman:", "\n\nAssistant:"
ROLES = {"system": "System", "user": "Human", "assistant": "Assistant"}
SUFFIXES = (".jsonl", ".jsonl.gz", ".parquet")
LABELLED, SAFER = ("chosen", "rejected"), ("response_0", "response_1", "safer_response_id")
"""The two forms of a row: which reply is better says the column's name, or a number."""

UNREACHABLE = "the hub cannot be reached and its cache does not hold these pairs; the edition 'world' needs no hub"


class DataError(OneLineError, ValueError):
    """Data that cannot be used: one line with the value of ``data`` and what is wrong with it."""

    def __init__(self, data: object, says: str) -> None:
        super().__init__(f"data={data!r}: {says}")


@dataclass(frozen=True)
class DataSet:
    """A data set of the registry."""

    title: str
    hub: str | None
    """Where it lies on the hub; None: with whoever has it, in the folder that ``W2S_DATA`` names."""
    licence: str
    columns: tuple[str, ...]
    begins: tuple[str, ...] = ("",)
    """How the paths of its files begin, in the repository on the hub, or their names in that folder."""
    revision: str | None = None
    """The commit; None: the one that the hub has now, recorded with every run."""
    single_turn: bool = False
    """Only pairs with one question and one answer."""
    objective: Objective = "harmlessness"
    """What its labels prefer."""
    warning: str = "Holds offensive and upsetting texts, and harmful requests and replies."


HH_RLHF = "09be8c5bbc57cb3887f3a9732ad6aa7ec602a1fa"  # https://huggingface.co/datasets/Anthropic/hh-rlhf/tree/<commit>, likewise below

DATA = {
    "hh-harmless": DataSet(
        "HH-RLHF, single-turn harmless pairs", "Anthropic/hh-rlhf", "MIT", LABELLED, ("harmless-base/",), HH_RLHF, single_turn=True
    ),
    "hh-helpful": DataSet(
        "HH-RLHF, single-turn helpful pairs", "Anthropic/hh-rlhf", "MIT", LABELLED, ("helpful-base/",), HH_RLHF, single_turn=True,
        objective="helpfulness", warning="Holds some offensive texts, and replies that are wrong.",
    ),
    "cai-harmless": DataSet(
        "Constitutional AI with open models, harmless pairs", "HuggingFaceH4/cai-conversation-harmless", "Apache-2.0", LABELLED,
        ("data/train_prefs", "data/test_prefs"), "51954823511ffd96d15ed6d1004949277e7af464",
    ),
    "hh-harmless-12k": DataSet(
        "HH-RLHF, the single-turn harmless pairs that the paper used", None, "MIT", LABELLED, ("*harmless_",), "569aa8e41f114348",
        single_turn=True,
    ),
    "pku-saferlhf": DataSet(
        "PKU-SafeRLHF, the safer of two replies", "PKU-Alignment/PKU-SafeRLHF", "CC BY-NC 4.0", ("prompt", *SAFER),
        ("data/",), "c04a25eb44ac0be2a714c16e072122466bc6d416",
    ),
}  # fmt: skip


def source(data: str | Path | Sequence[str | Path], name: str = "local") -> Source:
    """What the parameter ``data`` names: a data set of the registry, a hub id, a file, a folder, or a list of files.

    A hub id is ``owner/name``, or ``owner/name/beginning`` for those of its files whose paths begin so.  Local files are
    ``SUFFIXES``; their revision is a digest of the pairs in them, the same for any order, format and place, and ``name`` their label.
    Nothing is downloaded; a revision that is not pinned is asked for.

    Raises:
        DataError: no such data set, file or hub id; a file that cannot be read; no hub in reach where one is needed.
    """
    if not isinstance(data, (str, Path, list, tuple)) or not data:
        raise DataError(data, f"must be a name ({', '.join(('world', *DATA))}), a hub id, or the path of files")
    if isinstance(data, str) and data in DATA:
        return Source(name=data, revision=DATA[data].revision or _commit(data), files=_own_files(data))
    if isinstance(data, (list, tuple)) or _exists(data) or str(data).endswith(SUFFIXES):
        files = _local_files(data)
        return Source(name=name, revision=_revision(tuple(map(stamp, files))), files=files)
    if re.fullmatch(r"[\w.-]+/[\w.-]+(/.*)?", str(data)):
        return Source(name=str(data), revision=_commit(str(data)))
    names = ["world", *DATA]
    close = difflib.get_close_matches(str(data), names, n=1)
    hint = f"did you mean {close[0]!r}? " if close else ""
    raise DataError(data, f"no such data set or file; {hint}allowed: {', '.join(names)}, owner/name on the hub, or a path")


def _own_files(name: str) -> tuple[str, ...]:
    """Files of a data set that no hub has, where this machine has them."""
    folder = os.environ.get("W2S_DATA")
    files = _local_files(folder) if DATA[name].hub is None and folder else ()
    return tuple(file for file in files if any(fnmatch(Path(file).name, f"{beginning}*") for beginning in DATA[name].begins))


def at_hand(source: Source) -> bool:
    """Whether the texts of a data set can be read here, or downloaded."""
    return bool(source.files) or source.name not in DATA or DATA[source.name].hub is not None


def _exists(path: str | Path) -> bool:
    try:
        return Path(path).expanduser().exists()
    except (OSError, RuntimeError):  # longer than a path may be, or the home of nobody
        return False


def _local_files(data: str | Path | Sequence[str | Path]) -> tuple[str, ...]:
    files: list[Path] = []
    for path in (Path(p).expanduser().absolute() for p in (data if isinstance(data, (list, tuple)) else [data])):
        found = [f for f in sorted(path.iterdir()) if f.name.endswith(SUFFIXES)] if path.is_dir() else [path]
        bad = next((f for f in found if not f.is_file() or not f.name.endswith(SUFFIXES)), None)
        if not found or bad is not None:
            what = f"no files in {path.name!r}" if not found else f"no such file {bad.name!r}" if not bad.exists() else f"{bad.name!r}"
            raise DataError(str(data), f"{what}; allowed: {', '.join(SUFFIXES)}, or a folder of them")
        files += found
    return tuple(map(str, files))


def _hub(name: str) -> tuple[str, tuple[str, ...]]:
    """Hub id, and the beginnings of the files' paths, of a name that a ``Source`` may bear."""
    if name in DATA:
        return DATA[name].hub, DATA[name].begins
    owner, repository, *inside = name.split("/", 2)
    return f"{owner}/{repository}", tuple(inside) or ("",)


def _asked(name: str, question: Callable[[], Any]) -> Any:
    """What the hub, or its cache, answers."""
    from huggingface_hub.errors import (
        HFValidationError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
        RevisionResolutionError,
    )

    try:
        return question()
    except (HFValidationError, RepositoryNotFoundError, RevisionNotFoundError):
        raise DataError(name, "neither a file here nor a data set on the hub, or one that needs a login") from None
    except (LocalEntryNotFoundError, RevisionResolutionError):
        raise DataError(name, UNREACHABLE) from None
    except Exception as error:  # proxies, certificates, disks: the hub's client lets errors of many libraries through
        raise DataError(name, f"{_first_line(error)}; {UNREACHABLE}") from None


@lru_cache(maxsize=64)
def _commit(name: str) -> str:
    from huggingface_hub import resolve_revision

    return _asked(name, lambda: resolve_revision(_hub(name)[0], repo_type="dataset")).resolved


def _hub_files(name: str, revision: str) -> tuple[str, ...]:
    from huggingface_hub import snapshot_download

    hub, begins = _hub(name)
    patterns = [f"{beginning}*{suffix}" for beginning in begins for suffix in SUFFIXES]
    folder = Path(_asked(name, lambda: snapshot_download(hub, repo_type="dataset", revision=revision, allow_patterns=patterns)))
    found = [p for p in sorted(folder.rglob("*")) if p.is_file() and any(fnmatch(p.relative_to(folder).as_posix(), q) for q in patterns)]
    if not found:
        raise DataError(name, f"has no files {', '.join(patterns)} at revision {revision}")
    return tuple(map(str, found))


def prompt_and_replies(chosen: str, rejected: str) -> tuple[str, str, str]:
    r"""Two exchanges as prompt, chosen reply and rejected reply; prompt + reply is the exchange again, character for character.

    The prompt ends with the last ``\n\nAssistant:`` up to which both exchanges are the same; it is empty where there is none.
    """
    first, second = chosen.split(ASSISTANT), rejected.split(ASSISTANT)
    shared = takewhile(lambda turns: turns[0] == turns[1], zip(first[:-1], second[:-1]))
    prompt = "".join(turn + ASSISTANT for turn, _ in shared)
    return prompt, chosen[len(prompt) :], rejected[len(prompt) :]


def _render(messages: Sequence[Any]) -> str:
    """Chat messages as text."""
    for message in messages:
        if not isinstance(message, Mapping) or message.get("role") not in ROLES or not isinstance(message.get("content"), str):
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
        raise ValueError(f"lacks columns {' and '.join(LABELLED)} (with or without prompt), or {', '.join(SAFER)}; it has {has}")
    texts = [_exchange(row.get("prompt"), reply) for reply in (chosen, rejected)]
    "".join(texts).encode()  # half a surrogate pair is no text: an error, and a ValueError
    return prompt_and_replies(*texts)


def _first_line(error: BaseException) -> str:
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
def _read_files(files: tuple[Stamp, ...]) -> pd.DataFrame:
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
                    raise DataError(path.name, f"{where} {_first_line(error)}") from None
        except DataError:
            raise
        except (ValueError, OSError, EOFError, zlib.error) as error:  # not UTF-8, not gzip, not Parquet, cut short
            raise DataError(path.name, f"cannot be read ({_first_line(error)})") from None
    return pd.DataFrame(found, columns=["prompt", "chosen", "rejected", "file"]).astype(
        dict.fromkeys(("prompt", "chosen", "rejected"), "str")
    )


@lru_cache(maxsize=16)
def _revision(files: tuple[Stamp, ...]) -> str:
    """16 hexadecimal digits that name what the pairs in some files say, whatever their order."""
    frame = _read_files(files)
    return digest("\x1e".join(sorted("\x1f".join(row) for row in zip(frame["prompt"], frame["chosen"], frame["rejected"]))))


def read(source: Source) -> pd.DataFrame:
    """All pairs of a data set as they are: ``prompt``, ``chosen``, ``rejected``, and ``file``, the number of the file they stand in.

    From the hub they are downloaded at their revision, once; the same frame is handed out every time.

    Raises:
        DataError: files that cannot be read, that lack columns, or that changed since the source was named; no hub in reach.
    """
    if not at_hand(source):
        raise DataError(source.name, "its texts do not come with the project; W2S_DATA must name the folder that holds them")
    try:
        files = tuple(map(stamp, source.files or _hub_files(source.name, source.revision)))
        frame = _read_files(files)
    except FileNotFoundError as error:
        raise DataError(source.name, f"no such file {Path(error.filename).name!r}") from None
    if source.files and _revision(files) != source.revision:
        raise DataError(source.name, f"the files say something else than at revision {source.revision}; name them anew")
    return frame


class Cleaned(NamedTuple):
    """Pairs that can be used, and how many could not, by reason."""

    frame: pd.DataFrame
    dropped: dict[str, int]

    @property
    def report(self) -> pd.DataFrame:
        """What was read, dropped and kept, and how prompts repeat: columns ``what``, ``number``."""
        prompts = self.frame.groupby("prompt")["file"].agg(["size", "nunique"])
        counts = {
            "pairs read": len(self.frame) + sum(self.dropped.values()),
            **{f"dropped: {reason}": number for reason, number in self.dropped.items()},
            "pairs kept": len(self.frame),
            "their prompts": len(prompts),
            "prompts with several pairs": int((prompts["size"] > 1).sum()),
            "prompts in several files": int((prompts["nunique"] > 1).sum()),
        }
        return pd.DataFrame(list(counts.items()), columns=["what", "number"])


def _beginnings(texts: pd.Series, tokenizer: Callable[..., Mapping[str, Any]] | None, max_tokens: int) -> list[list]:
    """What is left of each text after ``max_tokens`` tokens; without a tokenizer, after so many words.

    Where tokens do not reach over spaces, a text has at least as many tokens as words: what is the same for so many words is
    the same for so many tokens of any such tokenizer.
    """
    if tokenizer is None:
        return [re.findall(r"\s*\S+", text)[:max_tokens] for text in texts]
    return [ids[:max_tokens] for ids in tokenizer(texts.tolist())["input_ids"]]


def clean(
    frame: pd.DataFrame, tokenizer: Callable[..., Mapping[str, Any]] | None = None, max_tokens: int | None = None, single_turn: bool = False
) -> Cleaned:
    """The pairs of ``read`` that can be used: every reason to drop one is counted, in this order, on what is left by then.

    ``more than one turn``, where ``single_turn``; ``empty reply``; ``no shared prompt``; ``identical replies``, but for space around them;
    ``labelled both ways``: the same prompt and replies, once one preferred and once the other, of which none is kept; ``repeated`` in
    its file or ``in another file``, of which one is kept; and where ``max_tokens`` is given, pairs whose texts are identical when cut
    after so many of the ``tokenizer``'s tokens; without a tokenizer, after so many words (see ``_beginnings``).
    """
    dropped: dict[str, int] = {}

    def drop(reason: str, where: pd.Series) -> None:
        nonlocal frame
        dropped[reason], frame = int(where.sum()), frame[~where]

    if single_turn:
        turns = [(frame["prompt"] + frame[column]).str.count(HUMAN) for column in LABELLED]
        drop("more than one turn", (turns[0] > 1) & (turns[1] > 1))  # one alone is a reply that runs on
    drop("empty reply", (frame["chosen"].str.strip() == "") | (frame["rejected"].str.strip() == ""))
    drop("no shared prompt", frame["prompt"].str.strip() == "")
    drop("identical replies", frame["chosen"].str.strip() == frame["rejected"].str.strip())

    def what() -> pd.DataFrame:
        chosen, rejected = frame["chosen"], frame["rejected"]
        first = chosen < rejected
        return pd.DataFrame({"prompt": frame["prompt"], "one": chosen.where(first, rejected), "other": rejected.where(first, chosen)})

    key = what()
    drop("labelled both ways", frame["chosen"].groupby([key[c] for c in key]).transform("nunique") > 1)
    drop("repeated", what().assign(file=frame["file"]).duplicated())
    drop("repeated in another file", what().duplicated())
    if max_tokens is not None:
        cut = [_beginnings(frame["prompt"] + frame[column], tokenizer, max_tokens) for column in LABELLED]
        unit = "words" if tokenizer is None else "tokens"
        drop(f"identical for {max_tokens} {unit}", pd.Series([a == b for a, b in zip(*cut)], index=frame.index, dtype=bool))
    return Cleaned(frame.reset_index(drop=True), dropped)


@lru_cache(maxsize=8)
def cleaned(source: Source, max_tokens: int | None = None) -> Cleaned:
    """The pairs of a data set that can be used, with what was dropped; see ``clean``."""
    return clean(read(source), max_tokens=max_tokens, single_turn=source.name in DATA and DATA[source.name].single_turn)


@lru_cache(maxsize=8)
def pool(source: Source, max_tokens: int | None = None) -> pd.DataFrame:
    """The pairs of a data set that can be used: ``pair_id``, ``prompt``, ``chosen``, ``rejected``, in the order of their ids.

    Raises:
        DataError: none can.
    """
    found = cleaned(source, max_tokens)
    if found.frame.empty:
        raise DataError(source.name, "no pair can be used: " + ", ".join(f"{reason} {n}" for reason, n in found.dropped.items() if n))
    return with_ids(found.frame.drop(columns="file")).sort_values("pair_id", ignore_index=True)


def splits(frame: pd.DataFrame, seed: int, train_pairs: int, test_pairs: int) -> pd.DataFrame:
    """The pairs that one study uses, with their ``split``, the three splits in order, rows in the seed's order.

    All pairs of one prompt are in one split.  Where a prompt stands in the order depends on the seed and on what it says, not on what
    other pairs there are; the test split is drawn first, so that it is the same for every number of training pairs.

    Raises:
        PairsError: there are too few pairs.
    """
    place = frame["prompt"].map({prompt: stream(seed, "splits", prompt) for prompt in frame["prompt"].unique()})
    rows = frame.assign(place=place).sort_values(["place", "chosen", "rejected"], ignore_index=True)
    starts = rows.index[~rows["prompt"].duplicated()]
    sizes, found, start = {"test": test_pairs, "ground_truth": train_pairs, "weak_label": train_pairs}, {}, 0
    for name, size in sizes.items():
        stop = start + size
        found[name] = rows.iloc[start:stop].assign(split=name)
        start = int(starts[starts >= stop].min()) if (starts >= stop).any() else max(stop, len(rows))
    if stop > len(rows):
        asked = f"train_pairs={train_pairs}, test_pairs={test_pairs}"
        raise PairsError(
            f"{asked}: too few pairs; {len(rows)} of {len(starts)} prompts can be used, where all pairs of a prompt are in one split"
        )
    return pd.concat([found[name] for name in SPLITS], ignore_index=True).drop(columns="place")


SURFACE: dict[str, Callable[[str], float]] = {
    "verbosity": lambda reply: len(reply.strip()),
    "commas": lambda reply: reply.count(",") / max(1, len(reply.split())),
    "vowels": lambda reply: len(re.findall("[aeiou]", reply, re.I)) / max(1, len(re.findall("[a-z]", reply, re.I))),
}
"""Objectives that can be read off any reply, of which more is better: length in characters, commas a word, share of vowels among letters."""


def _lead(frame: pd.DataFrame, objective: str) -> pd.Series:
    """By how much chosen leads rejected in a surface objective."""
    measure = SURFACE[objective]
    return frame["chosen"].map(measure) - frame["rejected"].map(measure)


def prefer(frame: pd.DataFrame, objective: Objective) -> pd.DataFrame:
    """The same pairs by another preference: ``chosen`` is what the objective prefers, and ``turned`` says where it was rejected before.

    For ``SURFACE`` objectives ties are dropped; for all others the pairs stay as labelled.
    """
    if objective not in SURFACE:
        return frame.assign(turned=False)
    lead = _lead(frame, objective)
    turned = lead < 0
    chosen, rejected = frame["chosen"].where(~turned, frame["rejected"]), frame["rejected"].where(~turned, frame["chosen"])
    return frame.assign(chosen=chosen, rejected=rejected, turned=turned)[lead != 0].reset_index(drop=True)


def labelled(source: Source) -> Objective:
    """What the labels of a data set prefer; of one that the registry does not know, what a study aims at by default."""
    return DATA[source.name].objective if source.name in DATA else "harmlessness"


class Agreement(NamedTuple):
    """Share of pairs on which a surface objective prefers the labelled reply, with its 95 % interval."""

    value: float
    low: float
    high: float
    pairs: int
    """Pairs on which it prefers one."""
    ties: int


def agreement(frame: pd.DataFrame, objective: Objective) -> Agreement:
    """How often a ``SURFACE`` objective agrees with the labels, ties left out; Wilson's interval, pairs taken as independent.

    0.5 is what an objective that has nothing to do with the labels comes to.
    """
    from scipy.stats import binomtest

    lead = _lead(frame, objective)
    right, n = int((lead > 0).sum()), int((lead != 0).sum())
    if n == 0:
        return Agreement(float("nan"), float("nan"), float("nan"), 0, len(frame))
    interval = binomtest(right, n).proportion_ci(method="wilson")
    return Agreement(right / n, float(interval.low), float(interval.high), n, len(frame) - n)


@lru_cache(maxsize=16)
def load(texts: Texts, objective: Objective | None = None) -> pd.DataFrame:
    """The pairs of one study by one objective (None: the study's own), in three splits; the same frame for the same spec.

    Columns ``pair_id``, ``prompt``, ``chosen``, ``rejected``, ``objective``, ``split``, ``kind`` (the data set), ``cluster`` (names the prompt),
    ``hazardous`` (missing: nobody knows) and ``turned`` (whether the data set labels it the other way).

    A ``SURFACE`` objective beside the study's own is there to be mixed in with the pairs of a split, and a student must not meet
    the same pair twice, under two labels.  So for ``weak_label`` it takes the pairs of ``ground_truth``, which the student sees nowhere
    else, and for ``ground_truth`` those of ``weak_label``; there are fewer of them, by the ties.  Helpfulness pairs come from a data set of
    their own, without the prompts of the first; they are only trained on and have no test split.

    Raises:
        DataError: no data set says anything of this objective.
        PairsError: there are too few pairs.
    """
    aim = objective or texts.objective
    source = texts.source if aim in (labelled(texts.source), *SURFACE) else texts.helpful if aim == "helpfulness" else None
    if source is None:
        allowed = ", ".join([labelled(texts.source), *SURFACE, *(["helpfulness"] if texts.helpful else [])])
        hint = "; helpful=None: name helpful pairs" if aim == "helpfulness" else ""
        raise DataError(texts.source.name, f"objective={aim!r}: these pairs say nothing of it{hint}; allowed: {allowed}")
    frame, mine = pool(source, texts.max_tokens), source == texts.source
    if not mine:
        frame = frame[~frame["prompt"].isin(pool(texts.source)["prompt"])]
    frame = splits(frame, texts.seed, texts.train_pairs, texts.test_pairs if mine else 0)
    if aim != texts.objective and mine:
        frame["split"] = frame["split"].replace({"ground_truth": "weak_label", "weak_label": "ground_truth"})
        frame = pd.concat([frame[frame["split"] == name] for name in SPLITS], ignore_index=True)
    frame = prefer(frame, aim)
    cluster = frame["prompt"].map(lambda prompt: hashlib.sha256(prompt.encode()).hexdigest()[:12])
    frame = frame.assign(objective=aim, kind=source.name, cluster=cluster, hazardous=pd.array([pd.NA] * len(frame), dtype="boolean"))
    return frame[["pair_id", "prompt", "chosen", "rejected", "objective", "split", "kind", "cluster", "hazardous", "turned"]]
