"""Data sets behind one parameter: a registry, hub ids, local files; each pinned by a commit or by what it says.

The parameter ``data`` names a data set of the registry, a hub id with columns ``chosen`` and ``rejected``, or local
files.  The book's data card says where each comes from, under which licence, and what is wrong with it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from functools import lru_cache
from pathlib import Path
from typing import Any

import pandas as pd

from w2s_lib.data.reading import SUFFIXES, DataError, Reading, read_files, revision
from w2s_lib.data.rows import LABELLED, SAFER
from w2s_lib.digests import stamp
from w2s_lib.errors import first_line, listed, nearest
from w2s_lib.specs import Objective, Source

ON_THE_HUB = (".jsonl", ".jsonl.gz", ".parquet")
"""Endings of files on the hub that hold pairs; what lies beside them as JSON says something else."""

NO_PAIRS = "the hub cannot be reached and its cache does not hold these pairs; the edition 'world' needs no hub"


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


HH_RLHF = "09be8c5bbc57cb3887f3a9732ad6aa7ec602a1fa"  # https://huggingface.co/datasets/Anthropic/hh-rlhf/tree/<commit>

DATA = {
    "hh-harmless": DataSet(
        "HH-RLHF, single-turn harmless pairs", "Anthropic/hh-rlhf", "MIT", LABELLED,
        ("harmless-base/",), HH_RLHF, single_turn=True,
    ),
    "hh-helpful": DataSet(
        "HH-RLHF, single-turn helpful pairs", "Anthropic/hh-rlhf", "MIT", LABELLED,
        ("helpful-base/",), HH_RLHF, single_turn=True,
        objective="helpfulness", warning="Holds some offensive texts, and replies that are wrong.",
    ),
    "cai-harmless": DataSet(
        "Constitutional AI with open models, harmless pairs", "HuggingFaceH4/cai-conversation-harmless", "Apache-2.0",
        LABELLED, ("data/train_prefs", "data/test_prefs"), "51954823511ffd96d15ed6d1004949277e7af464",
    ),
    "hh-harmless-12k": DataSet(
        "HH-RLHF, the single-turn harmless pairs that the paper used", None, "MIT", LABELLED,
        ("*harmless_",), "569aa8e41f114348", single_turn=True,
    ),
    "hh-harmless-4k": DataSet(
        "HH-RLHF, the single-turn harmless pairs that the paper tested on", None, "MIT", LABELLED,
        ("*harmless_test",), "95f1044bc160e2d6", single_turn=True,
    ),
    "helpful-by-people": DataSet(
        "PandaLM's test set and LLMBar, the better of two replies as people judge", None, "Apache-2.0 and MIT",
        LABELLED, ("helpful_human_pairs",), "92973ab10a70f0cc", single_turn=True,
        objective="helpfulness", warning="Holds replies that are wrong, some of them on purpose.",
    ),
    "pku-saferlhf": DataSet(
        "PKU-SafeRLHF, the safer of two replies", "PKU-Alignment/PKU-SafeRLHF", "CC BY-NC 4.0", ("prompt", *SAFER),
        ("data/",), "c04a25eb44ac0be2a714c16e072122466bc6d416",
    ),
}  # fmt: skip


def source(data: str | Path | Sequence[str | Path]) -> Source:
    """What the parameter ``data`` names: a data set of the registry, a hub id, a file, a folder, or a list of files.

    A hub id is ``owner/name``, or ``owner/name/beginning`` for those of its files whose paths begin so.  Local files
    are ``SUFFIXES``, of a folder those in its subfolders, too; their revision is a digest of their pairs, the same for
    any order, format and place.  Nothing is downloaded; a revision that is not pinned is asked for.

    Raises:
        DataError: no such data set, file or hub id; a file that cannot be read; no hub in reach where one is needed.
    """
    if not isinstance(data, (str, Path, list, tuple)) or not data:
        raise DataError(data, f"must be a name ({', '.join(('world', *DATA))}), a hub id, or the path of files")
    if isinstance(data, str) and data in DATA:
        return Source(name=data, revision=DATA[data].revision or _commit(data), files=_own_files(data))
    if isinstance(data, (list, tuple)) or is_data_path(data):
        files = tuple(map(str, _local_files(data)[0]))
        return Source(name="local", revision=revision(tuple(map(stamp, files))), files=files)
    if re.fullmatch(r"[\w.-]+/[\w.-]+(/.*)?", str(data)):
        return Source(name=str(data), revision=_commit(str(data)))
    names = nearest(str(data), ["world", *DATA])
    raise DataError(data, f"no such data set or file; {names}, owner/name on the hub, or a path")


def _own_files(name: str) -> tuple[str, ...]:
    """Files of a data set that no hub has, where this machine has them."""
    folder = os.environ.get("W2S_DATA")
    files = _local_files(folder)[0] if DATA[name].hub is None and folder else []
    files = [f for f in files if f.parent == Path(os.path.expanduser(folder)).absolute()]  # no copies below it
    return tuple(str(f) for f in files if any(fnmatch(f.name, f"{begins}*") for begins in DATA[name].begins))


def can_be_read(source: Source) -> bool:
    """Whether the texts of a data set can be read here, or downloaded."""
    return bool(source.files) or source.name not in DATA or DATA[source.name].hub is not None


def source_name(source: Source) -> str:
    """What messages call a data set: its name, or that of its local file or of the folder that its files share."""
    if not source.files or source.name in DATA:
        return source.name
    return os.path.basename(os.path.commonpath(source.files))


def _holds_pairs(name: str) -> bool:
    return name.lower().removesuffix(".gz").endswith(SUFFIXES)


def is_data_path(data: str | Path, folder: str | Path = "") -> bool:
    """Whether a file or folder is meant, seen from a folder (the working one): it is there, or the folder that it would
    lie in, or no data set of the hub is named so."""
    if isinstance(data, Path) or _holds_pairs(data) or data.startswith((".", "~", os.sep)):
        return True
    try:
        return (there := Path(folder, data)).exists() or (os.sep in data and there.parent.is_dir())
    except OSError:  # longer than a path may be
        return False


def _below(folder: Path, seen: set[Path]) -> Iterator[Path]:
    """What lies in a folder and its subfolders, also in those that it only links to, each of them once; of a folder
    that nobody may open, the folder."""
    seen.add(folder.resolve())
    try:
        for path in sorted(folder.iterdir(), key=Path.is_symlink):  # what really lies there before what is linked to
            if not path.is_dir():
                yield path
            elif path.resolve() not in seen:
                yield from _below(path, seen)
    except PermissionError:
        yield folder


def _in_folder(folder: Path) -> tuple[list[Path], list[str]]:
    """The files in a folder and its subfolders that hold pairs, and the names of the others.

    Hidden files are others; so is JSON beside files that can only be pairs: as a rule it describes them.
    """
    every = {path.relative_to(folder): path for path in sorted(_below(folder, set()))}
    shown = [inside for inside in every if not any(part.startswith(".") for part in inside.parts)]
    mine = [inside for inside in shown if _holds_pairs(inside.name) and every[inside].is_file()]
    sure = [inside for inside in mine if not inside.name.lower().removesuffix(".gz").endswith(".json")]
    others = every.keys() - set(sure or mine)
    return [every[inside] for inside in sure or mine], sorted(inside.as_posix() for inside in others)


def _local_files(data: str | Path | Sequence[str | Path]) -> tuple[list[Path], list[str]]:
    """Local files that hold pairs, and the names of what lies beside them in a folder and is not read."""
    read: list[Path] = []
    left: list[str] = []
    for given in data if isinstance(data, (list, tuple)) else [data]:
        path, what = Path(os.path.expanduser(given)).absolute(), ""
        try:
            if path.is_dir():
                files, others = _in_folder(path)
                arrow = [name for name in others if name.endswith(".arrow") and not name.startswith(".")]
                if arrow and all(file.suffix == ".json" for file in files):
                    says = f"{path.name!r} holds {arrow[0]!r}, as save_to_disk writes it; write it by to_parquet"
                    raise DataError(str(data), says)
                read, left = read + files, left + others
                what = "" if files else f"no files in {path.name!r}"
            elif path.is_file() and _holds_pairs(path.name):
                read.append(path)
            else:
                what = repr(path.name) if path.exists() else f"no such file {path.name!r}"
        except OSError as error:
            what = f"{path.name!r} cannot be read ({error.strerror})"
        if what:
            allowed = f"{', '.join(SUFFIXES)}, each also packed as .gz, or a folder of them"
            raise DataError(str(data), f"{what}; allowed: {allowed}")
    return read, left


def notes_on_reading(data: str | Path | Sequence[str | Path], source: Source) -> list[str]:
    """What whoever gave the data should know of how they are read, a sentence each: of files, columns and encodings."""
    left = _local_files(data)[1] if source.files and source.name not in DATA else []
    found = reading(source)
    said = [f"Files that are not read: {listed(left)}."] if left else []
    said += [f"Columns that are not read: {listed(found.unread)}."] if found.unread else []
    return said + [f"{name!r} is read as {encoding}." for name, encoding in found.encodings.items()]


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
        raise DataError(name, NO_PAIRS) from None
    except Exception as error:  # proxies, certificates, disks: the hub's client lets errors of many libraries through
        raise DataError(name, f"{first_line(error)}; {NO_PAIRS}") from None


@lru_cache(maxsize=64)
def _commit(name: str) -> str:
    from huggingface_hub import resolve_revision

    return _asked(name, lambda: resolve_revision(_hub(name)[0], repo_type="dataset")).resolved


def _hub_files(name: str, revision: str) -> tuple[str, ...]:
    from huggingface_hub import snapshot_download
    from huggingface_hub.utils import filter_repo_objects

    hub, begins = _hub(name)
    patterns = [f"{beginning}*{suffix}" for beginning in begins for suffix in ON_THE_HUB]
    which = {"repo_type": "dataset", "revision": revision, "allow_patterns": patterns}
    folder = Path(_asked(name, lambda: snapshot_download(hub, **which)))
    # The cache may hold more of that commit than was asked for now.
    there = (str(path) for path in sorted(folder.rglob("*")) if path.is_file())
    found = filter_repo_objects(there, allow_patterns=patterns, key=lambda f: Path(f).relative_to(folder).as_posix())
    if not (files := tuple(found)):
        raise DataError(name, f"has no files {', '.join(patterns)} at revision {revision}")
    return files


def read_pairs(source: Source) -> pd.DataFrame:
    """All pairs of a data set as they are, see ``reading``; the same frame is handed out every time."""
    return reading(source).frame


def reading(source: Source) -> Reading:
    """What stands in the files of a data set; from the hub they are downloaded at their revision, once.

    Raises:
        DataError: files that cannot be read or that changed since the source was named; no hub in reach.
    """
    if not can_be_read(source):
        elsewhere = "its texts do not come with the project; W2S_DATA must name the folder that holds them"
        raise DataError(source.name, elsewhere)
    try:
        files = tuple(map(stamp, source.files or _hub_files(source.name, source.revision)))
        found = read_files(files)
    except FileNotFoundError as error:
        raise DataError(source_name(source), f"no such file {Path(error.filename).name!r}") from None
    if source.files and revision(files) != source.revision:
        says = f"the files say something else than at revision {source.revision}; name them anew"
        raise DataError(source_name(source), says)
    return found


def objective_of(source: Source) -> Objective:
    """What the labels of a data set prefer; of one that the registry does not know, what a study aims at by default."""
    return DATA[source.name].objective if source.name in DATA else "harmlessness"
