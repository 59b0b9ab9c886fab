"""The sealed challenge: score a mitigation of your own in two worlds, one of which a secret draws.

    python -m w2s_lib.book.challenge my_idea.py --as NAME

The file defines one function, ``mitigate(pairs, weak, features)``; the chapter *The sealed challenge* says what it gets
and what it gives.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd

from w2s_lib.book.chapter import open_lab
from w2s_lib.digests import digest
from w2s_lib.errors import Arguments, ParameterError, exit_code, first_line, plain
from w2s_lib.findings.challenge import Entry, Score, enter, measure_entry, read_board, scored, standing, write_board
from w2s_lib.findings.results import UNMODIFIED, say
from w2s_lib.findings.statistics import MATCHED
from w2s_lib.lab import Lab
from w2s_lib.specs import Submission, Train, stream
from w2s_lib.study import Study
from w2s_lib.study.challenge import SECRET, TRIED_UNDER, name_of, secret, worlds
from w2s_lib.study.cost import plan_runs, print_plan
from w2s_lib.study.edition import FOLDER, load
from w2s_lib.study.mitigations import MITIGATIONS, PRACTICE, Submitted
from w2s_lib.training.sealed import check_submission, loss

BOARD = "leaderboard.json"
"""The leaderboard's file, in the store unless it is said otherwise."""

MOST_BYTES = 100_000
"""Bytes of a submission's file at most."""

THE_BOOK = "the book"
"""Who submitted the book's own mitigations."""

LONGEST_NAME = 40
"""Characters of a participant's name at most."""

LEVEL_COLUMNS = {
    "PGR": ("pgr", ""), "tax": ("conflict_tax", ""), "DS": ("deception_score", ""),
    "its null": ("null_margin_matched", ""),
}  # fmt: skip
CHANGE_COLUMNS = {
    "change of PGR": ("pgr", UNMODIFIED), "change of tax": ("conflict_tax", UNMODIFIED),
    "change of DS − null": (MATCHED, UNMODIFIED), "DS − null, beyond a rerun": (MATCHED, "rerun"),
}  # fmt: skip
"""What a leaderboard shows, in two tables: names of columns, with the statistic and what it is held against."""

CHANGE_MARKS = {"lower": "▼", "higher": "▲", "not told apart": "○", "cannot tell": "?"}
"""How a leaderboard marks a change beside no mitigation."""


def board_of(lab: Lab, board: str | None = None) -> Path:
    """Where the leaderboard is."""
    return Path(os.path.expanduser(board)) if board else lab.store.root / BOARD


def read_code(path: str) -> str:
    """The text of a submission's file.

    Raises:
        ParameterError: there is no such file, or it is no text, or too long.
    """
    try:
        content = Path(os.path.expanduser(path)).read_bytes()
        code = content.decode("utf-8-sig")
    except (OSError, ValueError) as error:
        says = getattr(error, "strerror", None) or f"is no UTF-8 text ({first_line(error)})"
        raise ParameterError("submission", path, says) from None
    if len(content) > MOST_BYTES:
        raise ParameterError("submission", path, f"has {len(content):,} bytes; at most {MOST_BYTES:,} are allowed")
    return code


def _participant(name: str) -> str:
    if not (0 < len(name.strip()) <= LONGEST_NAME) or plain(name) != name or name.strip() == THE_BOOK:
        raise ParameterError(
            "as", name, f"must be a name of 1 to {LONGEST_NAME} printable characters, and not {THE_BOOK!r}"
        )
    return name.strip()


def studies(edition: str, code: str, file: str, lab: Lab) -> tuple[dict[str, Study], dict[str, Study]]:
    """The challenge's two worlds without a mitigation, and under the submission."""
    loss(check_submission(code, file), file)  # what is wrong is said by the file's name
    plain = {name: world.on(lab) for name, world in worlds(Study(load(edition)), secret()).items()}
    return plain, {n: world.under_submission(Submitted(code, secret())) for n, world in plain.items()}


def submit(path: str, who: str, edition: str = "world", lab: Lab | None = None, board: str | None = None) -> Entry:
    """Score the submission in the file at ``path`` and enter it on the leaderboard; trains what is missing.

    Raises:
        OneLineError: before anything is trained, if something cannot be used; later, if a run fails.
    """
    lab = lab or open_lab(edition=load(edition))
    who, code, plain, tried, runs = _prepared(path, who, edition, lab, board)
    lab.run(runs)
    rows = [row for name in plain for row in scored(name, measure_entry(tried[name]), measure_entry(plain[name]))]
    entry = Entry(
        who=who, title=Path(path).stem, challenge=name_of(Study(load(edition)), secret()), digest=digest(code),
        finished=datetime.now(UTC).isoformat(timespec="seconds"), rows=tuple(rows),
    )  # fmt: skip
    enter(board_of(lab, board), entry)
    return entry


def _prepared(
    path: str, who: str, edition: str, lab: Lab, board: str | None
) -> tuple[str, str, dict[str, Study], dict[str, Study], list[Train]]:
    """Who submits, the code, the two worlds without and under it, and their runs; all that can be wrong is refused."""
    who, code = _participant(who), read_code(path)
    read_board(board_of(lab, board))
    plain, tried = studies(edition, code, Path(path).name, lab)
    rehearsed(code, tried, Path(path).name)
    runs = [run for study in (*plain.values(), *tried.values()) for run in study.student_runs(TRIED_UNDER)]
    return who, code, plain, tried, runs


def of_the_book(study: Study, secret: str, names: Sequence[str] = ("own",)) -> tuple[Entry, ...]:
    """The book's mitigations as one participant's entries, in these worlds of the challenge; trains what is missing."""
    rows: dict[str, list[Score]] = {name: [] for name in study.challenged()}
    for world, bare in worlds(study, secret).items():
        if world in names:
            beside = measure_entry(bare)
            for name, tried in bare.challenged().items():
                rows[name] += scored(world, measure_entry(tried), beside)
    about = {"who": THE_BOOK, "challenge": name_of(study, secret), "finished": ""}
    return tuple(Entry(title=MITIGATIONS[n].title, digest=n, rows=tuple(its), **about) for n, its in rows.items())


def shipped(edition: str) -> Path:
    """Where the book's entries lie that come with an edition."""
    return FOLDER / edition / "challenge.json"


def board_entries(study: Study, board: Path) -> tuple[Entry, ...]:
    """The leaderboard of a study: the book's entries in its own world, those that come with the edition in the second
    one, and whatever has been submitted here to the same challenge.

    The book was in the practice secret's second world: under a secret of its own a challenge has another, in which the
    book has no entry."""
    here = name_of(study, secret())
    came = read_board(shipped(study.edition.name)) if here == name_of(study, PRACTICE) else ()
    there = {(entry.title, entry.challenge): entry for entry in came}

    def second(entry: Entry) -> tuple[Score, ...]:
        found = there.get((entry.title, entry.challenge))
        return tuple(row for row in found.rows if row.world == "second") if found else ()

    book = (entry.model_copy(update={"rows": entry.rows + second(entry)}) for entry in of_the_book(study, PRACTICE))
    return (*book, *(entry for entry in read_board(board) if entry.challenge == here))


def rehearsed(code: str, tried: dict[str, Study], name: str) -> None:
    """Try the submission on the pairs of the first world, on labels that are drawn, unless it has been run there."""
    from w2s_lib.training.submission import rehearse  # here, for it loads torch

    own = tried["own"]
    seed, (weak, strong) = own.edition.seeds[0], own.edition.weak_strong[0]
    submission = own.student(seed, weak, strong).labels
    assert isinstance(submission, Submission)
    if not own.lab.store.has(submission):
        rehearse(code, own.pairs(seed), submission.model.width, stream(submission.order, "rehearsal"), name)


def participants(found: pd.DataFrame) -> pd.DataFrame:
    """Who stands on a board, as of ``standing``: columns ``by``, ``looks``, ``level`` of the intervals, in words."""
    each = found.drop_duplicates("who")
    return pd.DataFrame({"by": each["who"], "looks": each["looks"], "level": each["level"].map("{:.1%}".format)})


def shown(
    found: pd.DataFrame, world: str, columns: Mapping[str, tuple[str, str]] = LEVEL_COLUMNS | CHANGE_COLUMNS
) -> pd.DataFrame:
    """A leaderboard of one world as a table of texts, a row an entry; the least tax first.  ``found``: as of
    ``standing``.

    Beside no mitigation a change is marked: ▼ lower, ▲ higher, ○ not told apart, ? cannot tell.  An entry that is not
    the book's is named with who submitted it.
    """
    found = found[found["world"] == world] if len(found) else found
    rows = []
    for (who, title), its in found.groupby(["who", "title"], sort=False) if len(found) else ():
        cell = its.set_index(["statistic", "versus"])
        told = {"submission": title if who == THE_BOOK else f"{who}: {title}"}
        for name, key in columns.items():
            row = cell.loc[key]
            percent = key[0] == "conflict_tax"
            told[name] = say(row, percent) + (f" {CHANGE_MARKS[row['says']]}" if key[1] == UNMODIFIED else "")
        rows.append(told | {"_": cell.loc[("conflict_tax", ""), "value"]})
    frame = pd.DataFrame(rows)
    return frame if frame.empty else frame.sort_values("_", ignore_index=True).drop(columns="_")


def _tell(entry: Entry, board: Path) -> None:
    """Print what whoever submitted it has on the leaderboard in this challenge."""
    is_mine = lambda one: (one.who, one.challenge) == (entry.who, entry.challenge)
    mine = [one for one in read_board(board) if is_mine(one)]
    found = standing(mine)
    for world in ("own", "second"):
        print(f"\n{world} world, intervals at {found['level'].iloc[0]:.1%}:")
        table = shown(found, world)
        print("\n\n".join("\n".join(f"{k:>26}: {v}" for k, v in row.items()) for row in table.to_dict("records")))
    print(f"\nsubmission {len(mine)} of {entry.who}; the leaderboard is {board}")


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit code."""
    parser = Arguments(
        prog="python -m w2s_lib.book.challenge", description=__doc__.splitlines()[0],
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog=f"The second world is drawn by ${SECRET}, the teacher's; without it, by an open practice secret.",
    )  # fmt: skip
    add = parser.add_argument
    add("submission", nargs="?", help="a Python file with one function, mitigate(pairs, weak, features)")
    add("--as", dest="who", metavar="NAME", help="who submits; each further look widens your intervals")
    add("--edition", default="world", help="name of an edition, or path of an edition file (default: world)")
    add("--store", metavar="FOLDER", help="folder of results (default: $W2S_STORE, else .store)")
    add("--workers", type=int, metavar="N", help="processes (default: one a core)")
    add("--board", metavar="FILE", help=f"the leaderboard (default: {BOARD} in the store)")
    add("--dry-run", action="store_true", help="check everything, say what would be run; run nothing")
    add("--of-the-book", action="store_true", help="score the book's mitigations, to come with the edition")
    given = parser.parse_args(arguments)
    if not given.of_the_book and None in (given.submission, given.who):
        parser.error("a submission's file and --as NAME are needed")

    def do() -> None:
        lab = open_lab(given.store, given.workers, load(given.edition))
        if given.of_the_book:
            study = Study(load(given.edition)).on(lab)
            path = shipped(study.edition.name)
            path.parent.mkdir(exist_ok=True)
            write_board(path, of_the_book(study, PRACTICE, ("own", "second")))
            print(path)
        elif given.dry_run:
            *_, runs = _prepared(given.submission, given.who, given.edition, lab, given.board)
            lab.check(runs, planning=True)
            print_plan(plan_runs(runs, lab=lab))
        else:
            _tell(submit(given.submission, given.who, given.edition, lab, given.board), board_of(lab, given.board))

    return exit_code(do)


if __name__ == "__main__":
    sys.exit(main())
