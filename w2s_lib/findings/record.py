"""The record of an edition: every statistic of its study by study seed, computed once, kept with the project.

A build computes a few seeds of its own; beside the record it is a replication of it.  In an edition's folder
``record`` lie ``seed-<seed>.parquet``, a row a statistic (columns ``results.BY_SEED``), and ``record.json``, which says
what was computed: edition, scheme, a digest of the edition's other parameters, and for each seed its runs, versions,
machine, seconds and commit.  Chapters that came later have a record of their own, in a folder ``record-<name>``.
"""

import json
import math
import subprocess
import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import lru_cache
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import stats

from w2s_lib import digests
from w2s_lib.errors import OneLineError, first_line
from w2s_lib.findings.claims import CLAIMS, FINDINGS, Claim, verdict, word
from w2s_lib.findings.results import ALL, BY_SEED, NAMES, ROWS, by_seed, interval_of, intervals_of, usual
from w2s_lib.findings.statistics import SIGNED
from w2s_lib.lab.graph import closure
from w2s_lib.lab.provenance import versions
from w2s_lib.lab.store import UNREADABLE, replacing
from w2s_lib.measures.intervals import Interval, prediction_interval, seeds_for
from w2s_lib.specs import SCHEME as OF_THE_RUNS
from w2s_lib.specs import Spec
from w2s_lib.study import Study
from w2s_lib.study.edition import FOLDER, Edition

RECORD_SCHEME = f"{OF_THE_RUNS}.1"
"""Version of keys and statistics.  Raise its second number when a statistic changes: records of others are refused."""

ABOUT = "record.json"

BESIDE = "record-"
"""How the folder of a record begins that is kept beside an edition's first one."""

ENTRY = ("runs", "run_keys", "run_seconds", "seconds", "hardware", "commit", "date", "file")
"""What ``record.json`` says of every seed, at least."""

TOOK = ("run_seconds", "seconds", "waited")
"""Of these, what a seed took: missing (None) where it was made with more chapters than the record has."""

NO_PARAMETERS = ("name", "title", "seeds", "draws", "dask", "record_of")
"""Fields of an edition that change no statistic of a seed."""

ADDED = ("helpful_share",)
"""Fields that editions have not always had: where they are as by default, records from before stay an edition's own."""

ROW = ["chapter", *NAMES]
"""What a row of the record is about."""

OF_RECORD = ("value", "low", "high", "sd", "n_seeds", "counted", "by_seed")
"""What stands in a row over the record's seeds, beside the names."""


class RecordError(OneLineError):
    """A record that cannot be used, or not be added to: one line with file, seed and statistic."""


class Record(NamedTuple):
    """A record as it was read: what it says of itself, and its rows, columns ``results.BY_SEED``, sorted."""

    about: dict
    frame: pd.DataFrame

    @property
    def seeds(self) -> list[int]:
        return sorted(map(int, self.about["seeds"]))


def record_folder(edition: Edition, beside: str = "") -> Path:
    """Where the record of an edition lies, if it has one; ``beside``: the name of another one beside the first."""
    return FOLDER / (edition.record_of or edition.name) / (f"{BESIDE}{beside}" if beside else "record")


def record_folders(edition: Edition) -> list[Path]:
    """The folders of an edition's records, the first one first; none where it has none."""
    first = record_folder(edition)
    beside = sorted(first.parent.glob(f"{BESIDE}*/{ABOUT}"))
    return [path.parent for path in (first / ABOUT, *beside) if path.is_file()]


def parameters_digest(edition: Edition) -> str:
    """16 hexadecimal digits that name all of an edition's fields that matter to a seed: chapters left out do not."""
    as_before = {name for name in ADDED if getattr(edition, name) == Edition.model_fields[name].default}
    whole = edition.model_copy(update={"chapters": None})
    fields = whole.model_dump(mode="json", exclude={*NO_PARAMETERS, *as_before})
    named = {name.replace("weak_strong_", ""): value for name, value in fields.items()}  # as in records from before
    return digests.digest(json.dumps(named, sort_keys=True))


def _chapters(folder: Path) -> set[str]:
    """Chapters that a record holds: each of its seeds has all of them, so that one tells."""
    one = [*_about(folder)["seeds"]][:1]
    return {name for seed in one for _, rows in _seeds_of(_file(folder, int(seed))) for name in rows["chapter"]}


def _held_beside(folder: Path, edition: Edition) -> set[str]:
    """Chapters that the edition's other records hold where this one lies, or would lie, beside them."""
    others = [path for path in record_folders(edition) if path.resolve().parent == folder.resolve().parent]
    alike = [path for path in others if path.name != folder.name and _of(edition).items() <= _about(path).items()]
    return set().union(*map(_chapters, alike))


def chapters_of(folder: Path, edition: Edition) -> list[str]:
    """Chapters whose statistics a seed of this record has: those that its seeds have, and in a new record all of the
    edition's that the ledger reads and no record beside it holds.

    Raises:
        RecordError: a file of the record, or of one beside it, cannot be read.
    """
    if opened(folder, edition)["seeds"]:
        return sorted(_chapters(folder))
    others = _held_beside(folder, edition)
    return [name for name in FINDINGS if edition.has_chapter(name.partition("_")[0]) and name not in others]


def of_chapters(study: Study, seed: int, names: Iterable[str]) -> Study:
    """The study of one seed with these chapters, and those that every edition has: it asks for no other's runs."""
    one = study.one_of_many(seed)
    numbers = [name.partition("_")[0] for name in names]
    return replace(one, edition=one.edition.model_copy(update={"chapters": numbers}))


def seed_statistics(study: Study, names: Iterable[str]) -> pd.DataFrame:
    """Every statistic of these chapters in a study of one seed; columns ``BY_SEED``; trains what is missing.

    Statistics of planted students have no row in a seed in which they are undefined.
    """
    rows = [by_seed(FINDINGS[name](study)[1], study.edition.name, name) for name in names]
    return sorted_rows(pd.concat(rows, ignore_index=True))


def sorted_rows(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame's rows in the one order that a record has, whatever order its seeds came in."""
    return frame[list(BY_SEED)].sort_values(["seed", *ROW], ignore_index=True, na_position="first")


def _file(folder: Path, seed: int) -> Path:
    return folder / f"seed-{seed}.parquet"


def add_seed(study: Study, seed: int, folder: Path) -> bool:
    """Add one seed to the record in ``folder``; trains what is missing.  Whether there was anything to do.

    It has the statistics of the chapters that the record's other seeds have.  The seed's file and its entry are written
    as soon as it is whole.

    Raises:
        RecordError: the record there cannot be read, or is of another scheme, edition or parameters; a new one would
        hold no chapter, since those beside it hold all; or one of its seeds and this one lack a row of each other's.
        Where its runs show that, nothing is trained.
    """
    seeds = opened(folder, study.edition)["seeds"]
    if str(seed) in seeds:
        return False
    start, names = time.perf_counter(), chapters_of(folder, study.edition)
    if not names:
        says = "the records beside it hold every chapter that the ledger reads; add the seed to one of them"
        raise RecordError(f"{folder}: {says}")
    runs_of = lambda which: closure(of_chapters(study, which, names).runs())
    for other in [*seeds][:1]:  # one stands for all: each was added beside the others
        if not _named(runs_of(int(other))).items() <= seeds[other].items():
            says = f"comes from other runs than it would today, and seed {seed} would have other rows"
            raise RecordError(f"{folder}: seed {other} {says}; name another folder")
    one, lab, runs = of_chapters(study, seed, names), study.lab, runs_of(seed)
    lab.run(runs)
    trained = time.perf_counter()
    frame = seed_statistics(one, names)
    records = [lab.record(run) for run in runs]
    entry = {
        **_named(runs),
        "run_seconds": round(sum(record["seconds"] for record in records)),
        "seconds": round(time.perf_counter() - trained),
        "waited": round(trained - start),
        "hardware": sorted({record["hardware"] for record in records}),
        "code": sorted({record["code"] for record in records}),
        "versions": versions(),
        "commit": commit(),
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
    }
    _write(folder, study.edition, {seed: frame}, {str(seed): entry})
    return True


def _named(runs: Iterable[Spec]) -> dict[str, object]:
    """What an entry says of the runs that a seed's statistics come from."""
    keys = sorted(run.key for run in runs)
    return {"runs": len(keys), "run_keys": digests.digest("\n".join(keys))}


def _write(
    folder: Path,
    edition: Edition,
    frames: dict[int, pd.DataFrame],
    entries: dict[str, dict],
    instead: str = "name another folder",
) -> None:
    # A row that only some seeds have, of a new condition say, would make a record that no build can read.
    folder.mkdir(parents=True, exist_ok=True)
    if frames and opened(folder, edition)["seeds"]:
        every = pd.concat([load_record(folder).frame, *frames.values()], ignore_index=True)
        for seed, row in _lacking(every, _rows(every)):
            raise RecordError(f"{folder}: seed {seed}: {row} is missing; {instead}")
    for seed, frame in frames.items():
        with replacing(_file(folder, seed)) as draft:
            frame.to_parquet(draft, compression="zstd", index=False)
        entries[str(seed)] |= {"rows": len(frame), "file": digests.of_file(_file(folder, seed))}
    about = opened(folder, edition)
    about["seeds"] = dict(sorted((about["seeds"] | entries).items(), key=lambda item: int(item[0])))
    with replacing(folder / ABOUT) as draft:
        draft.write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")


def commit() -> str:
    """The commit of this checkout, with a + where tracked files differ from it; empty outside a checkout."""
    done = subprocess.run(
        ["git", "describe", "--always", "--abbrev=12", "--exclude=*", "--dirty=+"],
        cwd=Path(__file__).parent, capture_output=True, encoding="utf-8",
    )  # fmt: skip
    return done.stdout.strip()


def _of(edition: Edition) -> dict[str, str]:
    """What a record of this edition says of itself."""
    return {"edition": edition.name, "scheme": RECORD_SCHEME, "parameters": parameters_digest(edition)}


def opened(folder: Path, edition: Edition) -> dict:
    """What the record in a folder says of itself, empty where there is none yet.

    Raises:
        RecordError: it cannot be read, or is of another scheme, edition or parameters: nothing may be added to it.
    """
    mine = _of(edition)
    if not (folder / ABOUT).is_file():
        return mine | {"seeds": {}}
    about = _about(folder)
    for name, value in mine.items():
        if about[name] != value:
            says = f"its {name} is {about[name]!r}, here it is {value!r}; name another folder"
            raise RecordError(f"{folder / ABOUT}: {says}")
    return about


def _about(folder: Path) -> dict:
    path = folder / ABOUT
    try:
        about = json.loads(path.read_text(encoding="utf-8"))
        _ = [about[name] for name in ("edition", "scheme", "parameters", "seeds")]
        told = {int(seed): set(entry) for seed, entry in about["seeds"].items()}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RecordError(f"{path}: cannot be read ({type(error).__name__}: {first_line(error)})") from None
    for seed, names in told.items():
        if lacking := [name for name in ENTRY if name not in names]:
            raise RecordError(f"{path}: seed {seed}: its {lacking[0]} is missing; restore it")
    return about


def load_record(folder: Path) -> Record:
    """The record in a folder, checked; its files are read once until one of them is written again.

    Raises:
        RecordError: of another scheme, a file that is missing, cut short or changed, a seed twice, a statistic missing.
    """
    about = _about(folder)
    if about["scheme"] != RECORD_SCHEME:
        says = f"its scheme is {about['scheme']!r}, here it is {RECORD_SCHEME!r}; make it again"
        raise RecordError(f"{folder / ABOUT}: {says}")
    files = (digests.stamp(path) for path in sorted(folder.glob("*.parquet")))
    return Record(about, _checked(digests.stamp(folder / ABOUT), *files).copy(deep=False))


@lru_cache(maxsize=4)
def _checked(stamped: digests.Stamp, *files: digests.Stamp) -> pd.DataFrame:
    """All rows of the files of a record, which ``ABOUT`` names, as they are under their stamps: a chapter asks for them
    several times.  Copies share their columns until one is written to (pandas 3 copies on write)."""
    folder = Path(stamped[0]).parent
    about = _about(folder)
    frames: dict[int, tuple[Path, pd.DataFrame]] = {}
    for path in (Path(name) for name, *_ in files):
        for seed, frame in _seeds_of(path):
            if seed in frames:
                raise RecordError(f"{path}: seed {seed} twice: it is in {frames[seed][0].name}, too")
            if str(seed) not in about["seeds"]:
                raise RecordError(f"{path}: seed {seed} is not in {ABOUT}; merge records with --merge")
            frames[seed] = path, frame
    told = [frame for _, frame in frames.values()]
    every = pd.concat(told, ignore_index=True) if told else pd.DataFrame(columns=list(BY_SEED))
    row = _rows(every)
    for seed, rows in every[pd.DataFrame({"seed": every["seed"], "row": row}).duplicated()].groupby("seed"):
        raise RecordError(f"{frames[seed][0]}: seed {seed}: {_first(rows)} occurs twice")
    for seed, entry in about["seeds"].items():
        path = _file(folder, int(seed))
        if int(seed) not in frames:
            raise RecordError(f"{path}: seed {seed} is missing; restore it, or take it out of {ABOUT}")
        if digests.of_file(frames[int(seed)][0]) != entry["file"]:
            raise RecordError(f"{path}: seed {seed} was cut short or changed: it is not what {ABOUT} names; restore it")
    for seed, name in _lacking(every, row):
        raise RecordError(f"{frames[seed][0]}: seed {seed}: {name} is missing")
    return sorted_rows(every)


def _rows(every: pd.DataFrame) -> np.ndarray:
    """The number of what each row is about."""
    return every.groupby(ROW, sort=False, dropna=False).ngroup().to_numpy(int)


def _lacking(every: pd.DataFrame, row: np.ndarray) -> Iterator[tuple[int, str]]:
    """Seeds without a row that others have, and its names; those of planted students may be undefined in a seed."""
    seeds = set(every["seed"])
    lacking = every[(every["planted"] == "") & (np.bincount(row)[row] < len(seeds))]
    for _, rows in lacking.groupby(ROW, dropna=False, sort=False):
        yield min(seeds - set(rows["seed"])), _first(rows)


def _seeds_of(path: Path) -> Iterable[tuple[int, pd.DataFrame]]:
    try:
        frame = pd.read_parquet(path)
    except UNREADABLE as error:
        raise RecordError(f"{path}: cannot be read ({first_line(error)}); restore it") from None
    if missing := [name for name in BY_SEED if name not in frame]:
        raise RecordError(f"{path}: no column {missing[0]!r}; it is no part of a record of scheme {RECORD_SCHEME}")
    of = frame["seed"].unique()
    for seed, rows in frame.groupby("seed") if len(of) > 1 else zip(of, [frame]):
        yield int(seed), rows


def _first(rows: pd.DataFrame) -> str:
    """The first row's names as text; empty where there is none."""
    if rows.empty:
        return ""
    named = rows.iloc[0][ROW].dropna().items()
    return ", ".join(f"{name} {value}" for name, value in named if value not in ("", ALL))


def merge(folder: Path, other: Path, edition: Edition) -> list[int]:
    """Add the seeds of another record to the one in ``folder``; returns those that were new.

    A seed that both have must be the same in both, in the chapters of the one in ``folder``; the other may have more:
    then the entry of a new seed names the runs of those chapters, and not what they took.  A new record takes no
    chapter that one beside it holds.

    Raises:
        RecordError: one of them cannot be used, or they differ in scheme, edition or parameters, or in a seed that
        both have; or the other lacks a chapter, or a row, or has one more.
    """
    opened(other, edition)
    theirs, mine = load_record(other), opened(folder, edition)["seeds"]
    here = load_record(folder).frame if mine else theirs.frame
    held = set(here["chapter"]) - (set() if mine else _held_beside(folder, edition))
    if not held:
        raise RecordError(f"{other}: the records beside {folder} hold all of its chapters; merge it with one of them")
    if lacking := sorted(held - set(theirs.frame["chapter"])):
        raise RecordError(f"{other}: chapter {lacking[0]} is missing, which the record in {folder} has")
    of = lambda frame, seed: sorted_rows(frame[(frame["seed"] == seed) & frame["chapter"].isin(held)])
    for seed in theirs.seeds:
        if str(seed) in mine and not of(theirs.frame, seed).equals(of(here, seed)):
            raise RecordError(f"{_file(other, seed)}: seed {seed} is in {folder}, too, with other numbers")
    new = [seed for seed in theirs.seeds if str(seed) not in mine]
    frames = {seed: of(theirs.frame, seed) for seed in new}
    told = {str(seed): dict(theirs.about["seeds"][str(seed)]) for seed in new}
    if held < set(theirs.frame["chapter"]):
        for seed, entry in told.items():  # the runs of these chapters; what they took, nobody noted
            its = closure(of_chapters(Study(edition), int(seed), held).runs())
            entry |= _named(its) | dict.fromkeys(TOOK)
    _write(folder, edition, frames, told, f"keep {other} apart, or make its seeds again")
    return new


def comparable_records(edition: Edition) -> dict[str, Record]:
    """An edition's records by the names of their folders; without those of other parameters, or of one of its seeds:
    ``record_in_words`` tells why.

    Raises:
        RecordError: one of them cannot be used, or two hold the same chapter.
    """
    found = {folder.name: load_record(folder) for folder in record_folders(edition)}
    found = {name: one for name, one in found.items() if one.seeds and not _differs(one, edition)}
    held: dict[str, str] = {}
    for name, one in found.items():
        for chapter in one.frame["chapter"].unique():
            if held.setdefault(chapter, name) != name:
                path = record_folder(edition).with_name(name)
                raise RecordError(f"{path}: {held[chapter]} holds {chapter}, too; keep one of them elsewhere")
    return found


def rows_of(edition: Edition) -> pd.DataFrame:
    """The rows of an edition's ``comparable_records``, columns ``BY_SEED``; none where it has none."""
    frames = [one.frame for one in comparable_records(edition).values()]
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=list(BY_SEED))


def seed_entries(edition: Edition) -> pd.DataFrame:
    """What records say of their seeds, a row each: ``record`` (its folder), ``seed, runs, core_minutes,
    statistics_minutes, date, commit, hardware, run_keys``; minutes are missing where nobody noted them."""
    told = []
    for name, one in comparable_records(edition).items():
        for seed, e in one.about["seeds"].items():
            took = [math.nan if e[name] is None else e[name] / 60 for name in TOOK[:2]]
            about = (e["date"], e["commit"], "; ".join(e["hardware"]), e["run_keys"])
            told.append((name, int(seed), e["runs"], *took, *about))
    columns = ["record", "seed", "runs", "core_minutes", "statistics_minutes", "date", "commit", "hardware", "run_keys"]
    return pd.DataFrame(told, columns=columns)


def core_hours(entries: pd.DataFrame) -> str:
    """How long the runs of all seeds took, in words; *at least*, where it is not noted of some."""
    at_least = "at least " if entries["core_minutes"].isna().any() else ""
    return f"{at_least}{entries['core_minutes'].sum() / 60:.1f}"


def _differs(record: Record, edition: Edition) -> str:
    """Why a study of this edition cannot be held against the record; empty where it can."""
    if record.about["parameters"] != parameters_digest(edition):
        return "it was made with other parameters than those of this page"
    if shared := sorted(set(edition.seeds) & set(record.seeds)):
        return f"seed {shared[0]} of this page is one of its own"
    return ""


def record_in_words(edition: Edition, chapter: str | None = None) -> str:
    """In a sentence a record: what the numbers of this page, or of this chapter, are held against; or why they are
    not."""
    every = [one for one in map(load_record, record_folders(edition)) if one.seeds]
    if not every:
        return f"No record comes with the edition {edition.name}: there is nothing to hold its numbers against."
    found = [one for one in every if chapter is None or chapter in set(one.frame["chapter"])]
    if not found:
        return "The record does not hold this chapter."
    told = []
    for one in found:
        seeds, of = one.seeds, f", of {numbers_in_words(one.frame['chapter'])}," if told else ""
        many = f"{len(seeds)} study seed{'s' * (len(seeds) > 1)}, from {seeds[0]} to {seeds[-1]}"
        if why := _differs(one, edition):
            told.append(f"The record of the edition {edition.name}{of} is not compared with: {why}.")
        else:
            told.append(f"{'Another one' if told else 'The record'}{of} holds {many}.")
    return " ".join(told)


def numbers_in_words(names: Iterable[str]) -> str:
    """Which chapters these are, by their numbers.

    >>> numbers_in_words(["30_label_again", "19_theory", "29_competence_and_conformity", "31_token_by_token"])
    'chapters 19 and 29 to 31'
    """
    numbers = sorted({int(name[:2]) for name in names})
    runs = [[n for _, n in run] for _, run in groupby(enumerate(numbers), lambda placed: placed[1] - placed[0])]
    *told, last = (f"{run[0]} to {run[-1]}" if len(run) > 1 else f"{run[0]}" for run in runs)
    return f"chapter{'s' * (len(numbers) > 1)} {', '.join(told)}{' and ' * bool(told)}{last}"


def summarise_record(frame: pd.DataFrame) -> pd.DataFrame:
    """Results rows over the record's seeds, with their chapter: as of ``results.summarise``, without ``n_pairs``."""
    heads = frame.drop_duplicates(ROW)[ROW].reset_index(drop=True)
    of_seeds, values, less, counted = _by_row(frame, ("seed", "value", "less", "counted"))
    about = zip(values, less, heads["statistic"], heads["versus"], heads["per"])
    numbers = pd.DataFrame(intervals_of(about), columns=Interval._fields, index=heads.index)
    sums = pd.Series([np.nansum(c) if np.isfinite(c).any() else np.nan for c in counted], dtype=float)
    told = {"n_pairs": np.nan, "run_keys": "", "counted": sums.mask(heads["statistic"] == "pgr")}  # the gap is no count
    seeds = [tuple(zip(*row)) for row in zip(of_seeds, values, less, counted)]
    return heads.join(numbers).assign(**told, by_seed=seeds)[["chapter", *ROWS]]


def _by_row(frame: pd.DataFrame, columns: Iterable[str]) -> list[list[np.ndarray]]:
    """Each column's values for each row that the record is about, in the order of their first appearance."""
    if frame.empty:
        return [[] for _ in columns]
    row = frame.groupby(ROW, sort=False, dropna=False).ngroup().to_numpy()
    order = np.argsort(row, kind="stable")
    ends = np.flatnonzero(np.diff(row[order])) + 1
    return [np.split(frame[name].to_numpy()[order], ends) for name in columns]


def by_chapter(rows: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Results rows by chapter, as ``claims.ledger`` reads them; a chapter without a row has an empty frame."""
    found = dict(iter(rows.groupby("chapter")))
    return {name: found.get(name, rows.iloc[:0]) for name in FINDINGS}


def predicted(rows: pd.DataFrame, n: np.ndarray) -> pd.DataFrame:
    """Rows of ``summarise_record``, with the ends between which means of ``n`` new seeds lie in 95 of 100 studies."""
    low, high = prediction_interval(rows["value"], rows["sd"], rows["n_seeds"], n)
    share = ~rows["statistic"].isin(SIGNED) & (rows["versus"] == "") & (rows["per"] == "")
    return rows.assign(low=np.where(share, np.maximum(low, 0), low), high=np.where(share, np.minimum(high, 1), high))


def _joined(live: pd.DataFrame, recorded: pd.DataFrame) -> pd.DataFrame:
    """Rows of a build, beside the record's of the same names (columns of ``OF_RECORD``), the ends of its 95 %
    prediction interval for as many new seeds (``least``, ``most``), and whether they lie ``within`` it.

    ``within`` is None where nothing could go wrong: undefined on either side, or the same in every seed of the record.
    """
    names = [name for name in ROW if name in live]
    theirs = recorded[[*names, *OF_RECORD]].rename(columns={name: f"record_{name}" for name in OF_RECORD})
    both = live.merge(theirs, on=names, how="left")
    asked = {name: both[f"record_{name}"] for name in OF_RECORD}
    low, high = predicted(both.assign(**asked), both["n_seeds"].clip(lower=1).to_numpy())[["low", "high"]].to_numpy().T
    known = (both["n_seeds"] > 0) & both["value"].notna() & (both["record_sd"] > 0)
    within = both["value"].between(low - 1e-12, high + 1e-12).astype(object).where(known, None)
    return both.assign(least=low, most=high, within=within)


def replication(live: pd.DataFrame, frame: pd.DataFrame) -> pd.DataFrame:
    """Every row of a build that the record has as well, with whether it lies where the record says it should.

    ``live``: published rows, with their chapter.  Columns ``ROW``, ``value`` and ``n_seeds`` of the build, ``record``
    (the record's mean), ``low`` and ``high`` (of its 95 % prediction interval for so many new seeds), ``replicated``;
    ``claim``, where it is told.  What is undefined on either side, or the same in every seed of the record, is left
    out: nothing could have gone wrong there.
    """
    both = _joined(live, summarise_record(frame))
    both = both[both["within"].notna()].astype({"within": bool})
    kept = [*ROW, *(["claim"] if "claim" in live else []), "value", "n_seeds"]
    told = {"record_value": "record", "least": "low", "most": "high", "within": "replicated"}
    return both[[*kept, *told]].rename(columns=told).reset_index(drop=True)


def beside_record(live: pd.DataFrame, recorded: pd.DataFrame) -> pd.DataFrame:
    """A build's results rows with the record's numbers in place of its own, where the record has them.

    ``recorded``: rows over the record's seeds, as of ``summarise_record``.  New columns: ``here``, this build's value,
    and ``within``, whether that lies in the record's 95 % prediction interval for as many new seeds (None: cannot be
    told).  Rows that the record does not have, or where it has no value, stay this build's: ``here`` is empty text.
    ``results.say`` and the marks of figures read both.
    """
    both = _joined(live, recorded)
    held = both["record_value"].notna()
    told = {name: both[f"record_{name}"].where(held, both[name]) for name in OF_RECORD if name in live}
    here, within = both["value"].astype(object).where(held, ""), both["within"].where(held, None)
    shown = both.assign(**told, here=here, within=within)
    return shown.astype({"n_seeds": int})[[*live.columns, "here", "within"]]


def of_claims(rows: pd.DataFrame, claims: Iterable[Claim] | None = None, each: bool = True) -> pd.DataFrame:
    """Those rows, with their chapter, that a claim is read off (None: any that can fail); ``claim`` is the first.

    Each row stands there once; ``each`` is false for rows by seed, which stand there once a seed.
    """
    asked = [claim for claim in CLAIMS.values() if claim.can_fail] if claims is None else claims
    found = []
    for claim in asked:
        names = {"weak": ALL, "strong": ALL} | dict(claim.names)
        found.append(usual(rows[rows["chapter"] == claim.chapter], **names).assign(claim=claim.key))
    return pd.concat(found).drop_duplicates(ROW if each else [*ROW, "seed"]) if found else rows.iloc[:0]


def replicated_in_words(replicated: pd.DataFrame) -> str:
    """``Replicated here: 47 of 50``, and how many chance allows, if rows were independent, which they are not."""
    n = len(replicated)
    if not n:
        return "Replicated here: nothing, for nothing of this build is in the record."
    least = int(stats.binom.ppf(0.025, n, 0.95))
    return (
        f"Replicated here: {int(replicated['replicated'].sum())} of {n}. Were all independent, {0.95 * n:.1f} would "
        f"lie within on average, and fewer than {least} in at most one build of forty."
    )


def seeds_needed(rows: pd.DataFrame) -> pd.DataFrame:
    """How many seeds each claim needs to tell its least effect from zero four times in five, by the record's spread.

    ``rows``: as of ``summarise_record``.  Columns ``claim, statement, least_effect, value, sd, seeds_needed, n_seeds``;
    a claim that the record does not hold has no row; needed seeds are NaN where the spread is not known.
    """
    told = []
    for claim in CLAIMS.values():
        for _, row in of_claims(rows, [claim]).iterrows():
            needed = seeds_for(claim.least_effect, row["sd"])
            about = (claim.key, claim.statement, claim.least_effect)
            told.append((*about, row["value"], row["sd"], needed, row["n_seeds"]))
    columns = ["claim", "statement", "least_effect", "value", "sd", "seeds_needed", "n_seeds"]
    return pd.DataFrame(told, columns=columns).astype({"seeds_needed": "Int64"})


def verdict_paths(frame: pd.DataFrame, claims: Iterable[Claim] | None = None) -> pd.DataFrame:
    """Each claim's interval and verdict from the record's first 2, 3, … seeds: what such studies would have said.

    Columns ``claim, n_seeds, value, low, high, verdict, says, decided``: from how many seeds on the verdict has been
    what it is with
    all of them, NaN where that is undecided.  What could have been seen at all is not asked here: the ledger does.
    """
    found = []
    for claim in CLAIMS.values() if claims is None else claims:
        mine = of_claims(frame, [claim], each=False).sort_values("seed")
        told = []
        for n in range(2, len(mine) + 1):
            first = mine.iloc[:n]
            row = interval_of(first["value"], first["less"], *mine[["statistic", "versus", "per"]].iloc[0])
            outcome = verdict(claim, row.low, row.high)
            told.append((claim.key, n, row.value, row.low, row.high, outcome, word(claim, outcome)))
        last = [t[5] for t in told][-1:]
        same = next((i for i, t in enumerate(reversed(told)) if t[5] != last[0]), len(told))
        decided = told[len(told) - same][1] if last and last != ["undecided"] else math.nan
        found += [(*t, decided) for t in told]
    return pd.DataFrame(found, columns=["claim", "n_seeds", "value", "low", "high", "verdict", "says", "decided"])
