"""Built books of several editions side by side, on one page that asks no other host for anything, and as CSV.

    python -m w2s_lib.book.compare world smoke

Every number is read from the books' own ``results.csv``; verdicts are read off them, and off the record where one comes
with an edition, by the rules of this checkout.
"""

import json
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import numpy as np
import pandas as pd

from w2s_lib import digests
from w2s_lib.book.build import BOOK, LEDGER, built, command
from w2s_lib.book.chapter import BUILT, Chapter
from w2s_lib.book.page import focusable, page_template
from w2s_lib.book.report import target
from w2s_lib.errors import Arguments, ParameterError, exit_code, first_line
from w2s_lib.figures.real_texts import side_by_side
from w2s_lib.findings.claims import CLAIMS, ledger
from w2s_lib.findings.record import by_chapter
from w2s_lib.findings.results import ALL, COLUMNS, CONFLICTS, read_results, say, usual
from w2s_lib.lab.store import replacing
from w2s_lib.study import Study
from w2s_lib.study.edition import FOLDER, Edition, load

TAUGHT, DECEIVED = "04_weak_to_strong", "05_conflict_tax_deception"

HEADLINES = [
    *((TAUGHT, statistic, "none") for statistic in ("accuracy_weak", "accuracy", "accuracy_ceiling", "pgr")),
    *(
        (DECEIVED, statistic, condition)
        for statistic in ("conflict_tax", "deception_score", "null_margin_matched", "excess_margin_matched")
        for condition in CONFLICTS
    ),
]
"""Chapter, statistic and condition of the rows that stand first, model pairs pooled."""

COLUMNS_HERE = ("kind", "name", "condition", "chapter", "differs", "edition", "value", "low", "high", "n_seeds", "says")
"""Of the CSV: a row for each parameter that differs, statistic and claim in each edition.

``says`` is a parameter's value, or a verdict; ``differs`` whether it is not the same in all editions.
"""


COMPARISON_PAGE = "compare.html"
"""The page's name beside the built books of a checkout, where it lies unless it is said."""


class Built(NamedTuple):
    """A built book: its edition, the folder of its pages, results rows, and verdicts as of ``claims.ledger``."""

    edition: Edition
    html: Path
    results: pd.DataFrame
    verdicts: pd.DataFrame


def read_book(edition: str, output: str | None = None) -> Built:
    """The built book of an edition, checked; ``output`` where it was built, if elsewhere than usual.

    Raises:
        ParameterError: it is not built, of an older version or of other parameters, or its results are not whole.
    """
    html, now = built(edition, output), load(edition)
    refuse = lambda says: ParameterError("edition", edition, f"{says}; {command(edition)} builds it again")
    try:
        told = json.loads((html / BOOK).read_text(encoding="utf-8"))
        then, results = dict(told["edition"]), str(told["results"])
    except (OSError, ValueError, KeyError, TypeError):
        raise refuse(f"its book is of an older version: {html / BOOK} is missing, or cannot be read") from None
    for name, value in now.model_dump(mode="json").items():
        if then.get(name) != value:
            raise refuse(f"its file has changed since its book was built: {name} was {then.get(name)!r}")
    path = html / "results.csv"
    if not path.is_file() or digests.of_file(path) != results:
        raise refuse(f"{path} is cut or changed: it is not what was built")
    rows = read_results(path)
    if missing := [name for name in COLUMNS if name not in rows]:
        raise refuse(f"{path} is of an older version: it has no column {missing[0]!r}")
    try:
        return Built(now, html, rows, _verdicts(now, rows))
    except KeyError as error:
        raise refuse(f"{path} is of an older version: {first_line(error)}") from None


def _verdicts(edition: Edition, rows: pd.DataFrame) -> pd.DataFrame:
    """The ledger as the book's own chapter has it: off the record where it has more seeds."""
    return ledger(Chapter(LEDGER, Study(edition)).deciding(by_chapter(rows)))


def check_editions(editions: Sequence[str]) -> None:
    """See that these are books that can be laid side by side, before any of them is read.

    Raises:
        ParameterError: fewer than two, one of them twice, or one that is not built.
    """
    given = " ".join(editions)
    if len(editions) < 2:
        raise ParameterError("editions", given, "name two or more, as in EDITIONS='world smoke'")
    seen: dict[Path, str] = {}
    for name in editions:
        html = built(name)
        if html in seen:
            raise ParameterError("editions", given, f"{name!r} is the book of {seen[html]!r} again; name it once")
        seen[html] = name


def differing_parameters(books: Sequence[Built]) -> pd.DataFrame:
    """The parameters that differ, a row each and a column an edition; of a recipe as ``dpo.epochs``."""
    fields = [book.edition.model_dump(mode="json", exclude={"name", "title"}) for book in books]
    told = [pd.json_normalize(one).iloc[0] for one in fields]
    frame = pd.concat(told, axis=1, keys=[book.edition.name for book in books])
    text = frame.map(lambda value: ", ".join(map(str, value)) if isinstance(value, list) else str(value))
    return text[text.nunique(axis=1) > 1]


def headline_row(book: Built, chapter: str, statistic: str, condition: str) -> pd.Series | None:
    """The results row of a headline in a book; None where its edition leaves it out."""
    rows = book.results[book.results["chapter"] == chapter]
    found = usual(rows, statistic=statistic, condition=condition, weak=ALL, strong=ALL, method="reward_model")
    return found.iloc[0] if len(found) == 1 else None


def differing(verdicts: Sequence[str]) -> bool:
    """Whether a claim was answered in two ways or more: editions in which it was not tested say nothing."""
    return len(set(verdicts) - {"untested"}) > 1


def _facts(books: Sequence[Built]) -> Iterator[dict[str, Any]]:
    """All that the page shows, a row a fact, of ``COLUMNS_HERE``."""
    for name, row in differing_parameters(books).iterrows():
        for edition, value in row.items():
            yield {"kind": "parameter", "name": name, "differs": True, "edition": edition, "says": value}
    numbers = ["value", "low", "high", "n_seeds"]
    for chapter, statistic, condition in HEADLINES:
        about = {"kind": "statistic", "name": statistic, "condition": condition, "chapter": chapter}
        for book in books:
            row = headline_row(book, chapter, statistic, condition)
            yield about | {"edition": book.edition.name} | ({} if row is None else row[numbers].to_dict())
    for key, claim in CLAIMS.items():
        rows = {book.edition.name: book.verdicts.set_index("claim").loc[key] for book in books}
        about = {"kind": "verdict", "name": key, "chapter": claim.chapter}
        differs = differing([row["verdict"] for row in rows.values()])
        for edition, row in rows.items():
            yield about | {"differs": differs, "edition": edition, "says": row["says"]} | row[numbers].to_dict()


def render_comparison(books: Sequence[Built], folder: Path) -> str:
    """The page, its links relative to the folder that it will lie in."""
    split: dict[bool, list] = {True: [], False: []}
    for key, claim in CLAIMS.items():
        rows = [book.verdicts.set_index("claim").loc[key] for book in books]
        split[differing([row["verdict"] for row in rows])].append((claim, rows))
    pooled = lambda rows: rows[(rows["chapter"] == DECEIVED) & (rows["weak"] == ALL) & (rows["strong"] == ALL)]
    link = lambda book, page="index.html": quote(Path(os.path.relpath(book.html / page, folder)).as_posix())
    estimate = lambda row: "–" if row is None or np.isnan(row["value"]) else say(row)
    text = page_template("compare.html", estimate=estimate).render(
        books=books,
        link=link,
        parameters=differing_parameters(books),
        headlines=[(*about, [headline_row(book, *about) for book in books]) for about in HEADLINES],
        figure=side_by_side({book.edition.name: pooled(book.results) for book in books}, CONFLICTS),
        changed=split[True],
        same=split[False],
    )
    return focusable(text)


def compare(editions: Sequence[str], out: str | Path | None = None) -> Path:
    """Lay built books side by side; returns the page, beside which the same lies as CSV.

    Raises:
        ParameterError: see ``check_editions`` and ``read_book``; or the page cannot be written there.
    """
    check_editions(editions)
    path = target(out or BUILT / COMPARISON_PAGE)
    return lay([read_book(edition) for edition in editions], path)


def lay(books: Sequence[Built], path: Path) -> Path:
    """Write the page of books that were read, and the CSV beside it; returns the page."""
    with replacing(path) as draft:
        draft.write_text(render_comparison(books, path.parent), encoding="utf-8")
    with replacing(path.with_suffix(".csv")) as draft:
        pd.DataFrame(list(_facts(books)), columns=list(COLUMNS_HERE)).to_csv(draft, index=False)
    return path


def built_books(editions: Sequence[str] = ()) -> list[Built]:
    """The books that have been built in this checkout: of editions that come with it, and of these."""
    books: dict[Path, Built] = {}
    for edition in (*editions, *(path.stem for path in sorted(FOLDER.glob("*.yaml")))):
        with suppress(ParameterError):  # not built, or of an older version: there is nothing to compare
            if (html := built(edition)) not in books:
                books[html] = read_book(edition)
    return list(books.values())


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit code."""
    parser = Arguments(prog="python -m w2s_lib.book.compare", description=__doc__.splitlines()[0])
    parser.add_argument("editions", nargs="*", help="names of two or more editions, or paths of edition files")
    parser.add_argument("--out", help=f"where the page will lie (default: book/_build/{COMPARISON_PAGE})")
    every = "all editions that have been built, these among them; says nothing where there are fewer than two"
    parser.add_argument("--all", action="store_true", help=every)
    given = parser.parse_args(arguments)

    def do() -> None:
        if not given.all:
            print(f"open {compare(given.editions, given.out)}")
        elif len(books := built_books(given.editions)) > 1:
            print(f"open {lay(books, target(BUILT / COMPARISON_PAGE))}")

    return exit_code(do)


if __name__ == "__main__":
    sys.exit(main())
