"""Tell a build to those who come later: when, where, how long, and whether its verdicts are the record's.

    python -m w2s_lib.book.builds --edition world

It adds a row to ``book/builds.csv``, which the page *Last builds* shows.  The weekly rebuild from nothing does that.
"""

import json
import sys
from pathlib import Path

import pandas as pd

from w2s_lib import digests
from w2s_lib.book import compare
from w2s_lib.book.build import DONE, ROOT, command
from w2s_lib.errors import Arguments, ParameterError, exit_code, first_line
from w2s_lib.findings import record
from w2s_lib.findings.claims import ledger
from w2s_lib.lab.store import replacing

HISTORY = Path("book", "builds.csv")
HISTORY_COLUMNS = (
    "when", "edition", "commit", "where", "minutes", "runs trained", "decided otherwise", "undecided", "results",
)  # fmt: skip
"""Of the history: a row a build, as ``history_row`` says."""

DECIDED = {"yes", "small", "no"}


def changes(live: pd.DataFrame, recorded: pd.DataFrame) -> tuple[list[str], list[str]]:
    """Claims that a build decides otherwise than the record, and those that only one of them decides.

    Both are ledgers; claims that one of them does not test say nothing.
    """
    both = live.merge(recorded, on="claim", suffixes=("", "_record"))
    both = both[(both["verdict"] != "untested") & (both["verdict_record"] != "untested")]
    mine, records = both["verdict"].isin(DECIDED), both["verdict_record"].isin(DECIDED)
    otherwise = both["claim"][mine & records & (both["verdict"] != both["verdict_record"])]
    return otherwise.tolist(), both["claim"][mine != records].tolist()


def history_row(edition: str, output: str | None = None) -> dict[str, str]:
    """What is told of a built book: ``HISTORY_COLUMNS``; ``results`` is the digest of its ``results.csv``, the same in
    builds that agree to the last digit.

    Raises:
        ParameterError: it is not built, or of an older version, as of ``compare.read_book``.
    """
    book = compare.read_book(edition, output)
    path = book.html.parent / DONE
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
        when, minutes = str(told["finished"]), float(told["seconds"]) / 60
        trained, commit, where = f"{told['trained']} of {told['total']}", str(told["commit"]), str(told["where"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        says = f"{path} does not say how it was built ({first_line(error)}); {command(edition)} builds it again"
        raise ParameterError("edition", edition, says) from None
    otherwise, undecided = changes(ledger(record.by_chapter(book.results)), book.verdicts)
    known = bool(record.comparable_records(book.edition))
    values = (
        when, book.edition.name, commit, where, f"{minutes:.0f}",
        trained, (" ".join(otherwise) or "none") if known else "no record", str(len(undecided)) if known else "",
        digests.of_file(book.html / "results.csv"),
    )  # fmt: skip
    return dict(zip(HISTORY_COLUMNS, values))


def tell(edition: str, output: str | None = None, history: Path | None = None) -> dict[str, str]:
    """Add the row of a built book to the history; returns it.  A build that is there already is not told twice.

    Raises:
        ParameterError: see ``history_row``; or the history is none.
    """
    path = history or ROOT / HISTORY
    if path.read_text(encoding="utf-8").partition("\n")[0] != ",".join(HISTORY_COLUMNS):
        raise ParameterError("history", str(path), f"must have the columns {', '.join(HISTORY_COLUMNS)}")
    told, rows = history_row(edition, output), pd.read_csv(path, dtype="str", keep_default_na=False)
    with replacing(path) as draft:
        pd.concat([pd.DataFrame([told]), rows]).drop_duplicates().to_csv(draft, index=False)
    return told


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit code."""
    parser = Arguments(prog="python -m w2s_lib.book.builds", description=__doc__.splitlines()[0])
    parser.add_argument("--edition", default="world", help="name of an edition that has been built (default: world)")
    parser.add_argument("--output", help="where it was built (default: book/_build/<edition>)")
    given = parser.parse_args(arguments)
    return exit_code(lambda: print(", ".join(tell(given.edition, given.output).values())))


if __name__ == "__main__":
    sys.exit(main())
