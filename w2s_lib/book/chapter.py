"""What a notebook opens: its checked parameters, the study, the lab; and where its results go.

>>> chapter = open_chapter("05_conflict_tax_deception", globals())   # doctest: +SKIP
"""

import ast
import html
import json
import math
import os
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd
from numpy.typing import ArrayLike

from w2s_lib import digests
from w2s_lib.book.seal import RIGHT, Exercise, TooFewError, WrongAnswer, exercise, exercises, not_right, unseal
from w2s_lib.errors import ParameterError, nearest
from w2s_lib.figures.play import prediction
from w2s_lib.figures.style import Shown
from w2s_lib.findings import record
from w2s_lib.findings.claims import CLAIMS, FINDINGS, FOLLOWS, PLANTED_IN, ledger
from w2s_lib.findings.positive_controls import POWER_OF
from w2s_lib.findings.results import COLUMNS, by_seed, published, read_results, say
from w2s_lib.lab import Lab
from w2s_lib.lab.cluster import LOCAL
from w2s_lib.lab.shipped import RECORDS, Shipped
from w2s_lib.lab.store import Store, replacing
from w2s_lib.study import Study
from w2s_lib.study.edition import ALSO, FOLDER, PARAMETERS, Edition, load, no_such
from w2s_lib.study.edition_file import EditionFile

ROOT = Path(__file__).resolve().parents[2]
DEFAULT_STORE = ROOT / ".store"
MODELS = FOLDER / "world" / "models"
"""The pretrained models of the edition ``world``, as a store keeps them, for all that need them (``lab.Lab``)."""

BUILT = ROOT / "book" / "_build"
"""Where books are built, a folder an edition."""

ONE_OR_MORE = {"seeds", "weak_strong_pairs", "methods", "mitigations", "intermediates"}
"""Parameters that may be given as one value instead of a list of one."""

BOOK_TABLES = {"csv": "results.csv", "runs": "runs.csv", "seeds": "results_by_seed.csv"}
"""Ending of the file in which a chapter leaves what it publishes → the book's file that it is a part of."""

CHECKS = "checks"
"""Ending of the file with what opens a chapter's answers; and a hand-out's folder of them."""

SCRIPT = "js"
"""Ending of the file in which a chapter leaves what its page reads in the browser."""

CHAPTERS_BESIDE = "beside.json"
"""File in which a build leaves the names of chapters that it has beside its edition's: their pages came with it."""

PLAIN = (str, int, float, bool, list, tuple, dict, type(None))

INJECTED = "# Parameters"
"""How the cell begins in which papermill sets what it was given."""

PAPERMILL_PATHS = ("PAPERMILL_INPUT_PATH", "PAPERMILL_OUTPUT_PATH")
"""What papermill sets besides, when it is asked to inject paths."""


@dataclass
class Chapter:
    """A chapter at work; its study is on a lab."""

    name: str
    study: Study
    published: list[tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]] = field(default_factory=list)
    """What results.csv, runs.csv and results_by_seed.csv get from here."""
    sealed: dict[str, Exercise | None] = field(default_factory=dict)
    """This chapter's exercises that can be kept under seal, by name; None where there are too few answers to try."""

    @property
    def lab(self) -> Lab:
        """The lab that the study is on."""
        return self.study.lab

    def lab_of(self, edition: Edition) -> Lab:
        """The lab for an edition that this chapter shows beside its own: what that one ships counts, also where
        ``W2S_SHIPPED`` is ``no``.  For its own edition it is ``lab``."""
        if edition.name == self.study.edition.name:
            return self.lab
        ships = Shipped(FOLDER / edition.name)
        return Lab(self.lab.store.root, self.lab.workers, dask=edition.dask, shipped=ships, given=self.lab.given)

    def publish(self, results: pd.DataFrame, edition: str | None = None) -> pd.DataFrame:
        """Add rows to the book's ``results.csv``, under an edition (None: the chapter's own); returns them as the page
        shows them: ``beside`` the record.

        They are written to the folder that ``W2S_RESULTS`` names (the book build sets it); else they stay here.
        """
        about = edition or self.study.edition.name, self.name
        self.published.append((*published(results, *about), by_seed(results, *about)))
        folder = os.environ.get("W2S_RESULTS")
        for frames, ending in zip(zip(*self.published), BOOK_TABLES) if folder else ():
            with replacing(Path(folder) / f"{self.name}.{ending}") as path:  # another chapter may be reading it
                pd.concat(frames).drop_duplicates().to_csv(path, index=False)
        return self.beside(results) if edition is None else results

    def beside(self, results: pd.DataFrame, name: str | None = None) -> pd.DataFrame:
        """Results rows of a chapter (None: this one) as pages show them, with the columns of ``record.beside_record``.

        Where the edition's record holds a row, its numbers are the record's, off which verdicts are read as well, and
        this build's value stands beside them.  Otherwise rows are as they were.
        """
        name = name or self.name
        return record.beside_record(results, self._recorded(name)) if name in self._in_record else results

    @property
    def n_seeds(self) -> int:
        """Over how many study seeds this chapter's intervals are: the record's, where it holds the chapter."""
        mine = self.record_rows.loc[self.record_rows["chapter"] == self.name, "seed"]
        return mine.nunique() if self.name in self._in_record else len(self.study.edition.seeds)

    @property
    def stands_beside(self) -> str:
        """In a sentence: whose numbers those of this chapter are; empty where it has none that a record could hold, and
        where the edition has no record."""
        edition, ours = self.study.edition, "the numbers of this chapter are this build's own"
        if self.name not in FINDINGS or not record.record_folders(edition):
            return ""
        if self.name == PLANTED_IN and PLANTED_IN in set(self.record_rows["chapter"]):
            return f"The record holds of this chapter what planted students come to, and no more: else {ours}."
        if self.name not in self._in_record:
            return f"{record.record_in_words(edition, self.name)} So {ours}."
        return (
            f"{record.record_in_words(edition, self.name)} A number with “(here …)” behind it and a filled mark beside "
            f"a hollow one are the record's; “here”, and hollow, is this build "
            f"({len(edition.seeds)} seed{'s' * (len(edition.seeds) > 1)}). "
            "“Outside”, or !: where the record expects five builds of a hundred. Nulls, bounds and cells of tables "
            "that stand without one are the record's as well; this build's are in results.csv."
        )

    def leave(self, data: dict) -> int:
        """Leave data for the page's own script as ``window.w2sPlay``, in a file beside the results; returns its size.

        It is a script and no JSON: pages that are opened from the file system may load the one and not the other.
        """
        text = f"window.w2sPlay = {json.dumps(data, separators=(',', ':'), allow_nan=False)};\n"
        if folder := os.environ.get("W2S_RESULTS"):
            with replacing(Path(folder) / f"{self.name}.{SCRIPT}") as path:
                path.write_text(text, encoding="utf-8")
        return len(text.encode())

    def predict(
        self,
        name: str,
        question: str,
        truth: pd.Series | float,
        low: float = 0.0,
        high: float = 1.0,
        percent: bool = False,
    ) -> Shown:
        """A number for readers to guess before they see it, on a slider from ``low`` to ``high``.

        ``truth`` is a results row, which is said with its interval, or a number, of which a whole one is a count.
        ``percent``: it, and these, are read as percentages.  What is undefined is not asked.
        """
        row = truth if isinstance(truth, pd.Series) else pd.Series({"value": truth, "low": math.nan, "high": math.nan})
        told = str(truth) if isinstance(truth, int) else say(row, percent=percent)
        value, about = row["value"] * (100 if percent else 1), f"{self.study.edition.name}/{self.name[:2]}/{name}"
        return prediction(about, question, float(value), told, low, high)

    @property
    def n_predictions(self) -> int:
        """How many numbers the chapters of this build ask to guess; what is undefined counts as well."""
        import nbformat

        path = Path(os.environ.get("W2S_RESULTS", "")) / CHAPTERS_BESIDE
        came = json.loads(path.read_bytes()) if "W2S_RESULTS" in os.environ and path.is_file() else []
        has = lambda path: self.study.edition.has_chapter(path.stem[:2]) or path.stem in came
        paths = filter(has, (ROOT / "notebooks").glob("*.ipynb"))
        cells = (cell for path in paths for cell in nbformat.read(path, as_version=4).cells)
        return sum(cell.source.count("chapter.predict(") for cell in cells if cell.cell_type == "code")

    def found(self, name: str, finding: Callable[[Study], tuple[pd.DataFrame, pd.DataFrame]]) -> pd.DataFrame:
        """Another chapter's results rows: those it published in this build; outside a build, what its finding gives.

        None where the edition leaves the chapter out, unless its page came with the book.
        """
        path = Path(os.environ.get("W2S_RESULTS", "")) / f"{name}.csv"
        if "W2S_RESULTS" in os.environ and path.is_file():
            return read_results(path)
        if not self.study.edition.has_chapter(name.partition("_")[0]):
            return pd.DataFrame(columns=list(COLUMNS))
        return finding(self.study)[1]

    def seal(self, name: str, answer: ArrayLike, digits: int = 6, hints: Mapping[str, ArrayLike] | None = None) -> None:
        """Keep the answer to an exercise (``seal.exercise``), for this study's parameters; ``check`` reads it.

        A build leaves all of a chapter's in the folder that ``W2S_RESULTS`` names; hand-outs get them under seal, which
        takes a while (``course``).  An edition may be so small that an answer would be found by trying all: there it
        stays open, and ``check`` says so.
        """
        try:
            self.sealed[name] = exercise(name, answer, digits, hints)
        except TooFewError:
            self.sealed[name] = None
        kept = {name: one for name, one in self.sealed.items() if one}
        if folder := os.environ.get("W2S_RESULTS"):
            with replacing(Path(folder) / f"{self.name}.{CHECKS}") as path:
                path.write_text(json.dumps({"study": self._asked, "exercises": kept}), encoding="utf-8")

    def check(self, name: str, answer: ArrayLike) -> None:
        """Print that an answer is right.  ``...`` stands for none yet.

        What is right comes from a solution of this notebook, else the hand-out's file beside it, else the last build.

        Raises:
            WrongAnswer: it is not; says a hint where the mistake is a common one, and never what is right.
            ParameterError: no such exercise, or other parameters than those that were sealed.
        """
        known = self.sealed if name in self.sealed else self._handed_out()
        if name not in known:
            raise ParameterError("exercise", name, nearest(name, list(known)))
        if known[name] is None:
            print(f"{name}: too few possible answers in this edition to keep one under seal; read the solution")
            return
        if answer is ...:
            print(f"{name}: no answer yet")
            return
        try:
            says = unseal(known[name], answer)
        except ValueError as error:
            raise WrongAnswer(str(error)) from None
        if says != RIGHT:
            raise WrongAnswer(says or not_right(answer))
        print("✓ right")

    @property
    def _asked(self) -> str:
        """Names all parameters on which answers depend."""
        return digests.digest(json.dumps(self.study.edition.model_dump(mode="json")))

    def _handed_out(self) -> dict[str, Exercise]:
        """The exercises that lie beside a notebook that was handed out, or where the book was built."""
        here = Path(CHECKS) / f"{self.name}.json"
        built = BUILT / self.study.edition.name / "results" / f"{self.name}.{CHECKS}"
        path = next((path for path in (here, built) if path.is_file()), None)
        if path is None:
            says = "not here; open a hand-out in its own folder, build this edition, or run the solution first"
            raise ParameterError("checks", str(here.absolute()), says)
        study, known = exercises(path)
        if study != self._asked:
            raise ParameterError("checks", str(path), "sealed for other parameters than this run's; answers differ")
        return known

    @cached_property
    def record_rows(self) -> pd.DataFrame:
        """The rows of the edition's records by seed; without chapters of which they have no more than this study."""
        rows = record.rows_of(self.study.edition)
        return rows[rows.groupby("chapter")["seed"].transform("nunique") > len(self.study.edition.seeds)]

    @cached_property
    def _in_record(self) -> set[str]:
        """Chapters whose statistics the record holds, but for planted students."""
        return {*self.record_rows["chapter"].unique()} - {PLANTED_IN}

    @cached_property
    def _over_seeds(self) -> dict[str, pd.DataFrame]:
        return {}

    @property
    def recorded(self) -> bool:
        """Whether verdicts are read off the edition's record."""
        return not self.record_rows.empty

    @property
    def read_off(self) -> str:
        """In a sentence: what verdicts are read off."""
        held, e = {*self.record_rows["chapter"]}, self.study.edition
        own = [name for name in FINDINGS if e.has_chapter(name.partition("_")[0]) and name not in held]
        if not self.recorded:
            return "Verdicts are read off this build."
        others = f", those of {record.numbers_in_words(own)} off this build" if own else ""
        return f"Verdicts are read off the record{others}."

    def _recorded(self, name: str) -> pd.DataFrame:
        """Results rows of one chapter over the seeds of the record; none where the chapter is younger."""
        if name not in self._over_seeds:  # an interval for each of hundreds of rows takes a while
            self._over_seeds[name] = record.summarise_record(self.record_rows[self.record_rows["chapter"] == name])
        return self._over_seeds[name]

    def deciding(self, live: Mapping[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
        """Results rows by chapter that verdicts are read off: the record's, where it has more seeds, else this build's.

        How often a planted student is found is of this build in any case: its score tables are at hand.  What innocent
        ones show on average is the record's, where it has them.  A chapter that it does not have is this build's.
        """
        found = {name: self._recorded(name) if name in self._in_record else rows for name, rows in live.items()}
        if PLANTED_IN in live and len(means := self._innocents):
            mine = live[PLANTED_IN]
            rates = mine["statistic"].isin(POWER_OF.values())
            others = mine[rates | ~mine["planted"].isin(FOLLOWS) | ~mine["method"].isin(means["method"])]
            found[PLANTED_IN] = pd.concat([others, means], ignore_index=True) if len(others) else means
        return found

    @cached_property
    def _innocents(self) -> pd.DataFrame:
        """What innocent planted students show on average over the record's seeds; none where it has none."""
        rows = self.record_rows
        return record.summarise_record(rows[(rows["chapter"] == PLANTED_IN) & rows["planted"].isin(FOLLOWS)])

    def ledger_row(self, key: str, results: pd.DataFrame) -> pd.Series:
        """The ledger's row of a claim, from its chapter's results: ``says`` (its verdict), ``sentence`` and so on."""
        claim = CLAIMS[key]
        live = {PLANTED_IN: results.iloc[:0], claim.chapter: results}
        return ledger(self.deciding(live), [claim]).iloc[0]

    def say(self, **texts: object) -> None:
        """Make numbers and words known to the prose under their names; a results row is said with its interval."""
        from myst_nb import glue

        for name, text in texts.items():
            glue(name, say(text) if isinstance(text, pd.Series) else str(text), display=False)

    def say_percent(self, **rows: pd.Series) -> None:
        """Like ``say``, for results rows that are read as percentages."""
        self.say(**{name: say(row, percent=True) for name, row in rows.items()})

    def build_times(self) -> dict[str, Any]:
        """What the build measured: ``chapters`` (seconds by notebook), ``trained``, ``run_seconds``; else empty."""
        path = Path(os.environ.get("W2S_RESULTS", "")) / "times.json"
        if "W2S_RESULTS" not in os.environ or not path.is_file():
            return {"chapters": {}, "trained": self.lab.trained, "run_seconds": 0.0}
        return json.loads(path.read_text(encoding="utf-8"))

    def first_uses(self) -> dict[str, str]:
        """Key of a run → the first chapter of this build whose results rest on it; empty outside a build."""
        folder, found = os.environ.get("W2S_RESULTS"), {}
        for path in sorted(Path(folder).glob("[0-9]*.runs")) if folder else ():
            for key in " ".join(pd.read_csv(path, dtype="str")["run_keys"].dropna()).split():
                found.setdefault(key, path.stem)
        return found

    def _repr_html_(self) -> str:
        e = self.study.edition
        cells = {
            "edition": f"{e.name}: {e.title}", "seeds": ", ".join(map(str, e.seeds)),
            "weak_strong_pairs": "; ".join(e.weak_strong_pairs), "threshold": e.threshold, "alpha": e.alpha,
        }  # fmt: skip
        body = "".join(f"<tr><th>{html.escape(k)}</th><td>{html.escape(str(v))}</td></tr>" for k, v in cells.items())
        told = html.escape(f"{e.name}, seeds {cells['seeds']}, T = {e.threshold:g}, α = {e.alpha:g}")
        whose = f"<p>{html.escape(self.stands_beside)}</p>" if self.stands_beside else ""
        return (
            f"<details><summary>Parameters of this run: {told}</summary>"
            f'<table class="parameters">{body}</table></details>{whose}'
        )


def open_lab(store: object = None, workers: object = None, edition: Edition | None = None) -> Lab:
    """The lab on a store (None: ``$W2S_STORE``, else this checkout's ``.store``) with ``workers`` (None: one a core).

    What an edition ships is not computed again, nor are the ``MODELS``, unless ``$W2S_SHIPPED`` is ``no`` (see
    ``Chapter.lab_of`` for other editions).

    Raises:
        ParameterError: ``store`` is no path, or ``workers`` no number of processes.
        StoreError: the store cannot be written.
    """
    if workers is not None and (isinstance(workers, bool) or not isinstance(workers, int) or workers < 0):
        raise ParameterError("workers", workers, "must be a whole number, 0 (this process) or more")
    store = store or os.environ.get("W2S_STORE") or DEFAULT_STORE
    if not isinstance(store, (str, Path)):
        raise ParameterError("store", store, "must be the path of a folder")
    shipped, comes = None, os.environ.get("W2S_SHIPPED") != "no"
    if edition is not None and comes and (FOLDER / edition.name / RECORDS).is_file():
        shipped = Shipped(FOLDER / edition.name)
    given = Store(MODELS, read_only=True) if comes else None
    lab = Lab(store, workers, dask=edition.dask if edition else LOCAL, shipped=shipped, given=given)
    lab.written = edition.written if edition else {}
    return lab


def assigned(source: str) -> set[str]:
    """Names that a cell gives values to, each on a line of its own; of a cell that is more than Python, none."""
    try:
        lines = ast.parse(source).body
    except SyntaxError:
        return set()
    targets = [line.targets[0] if isinstance(line, ast.Assign) else getattr(line, "target", None) for line in lines]
    return {target.id for target in targets if isinstance(target, ast.Name)}


def given_names(namespace: Mapping[str, Any], allowed: Collection[str]) -> set[str]:
    """Names that were given as parameters: in a cell that gives values to some of those ``allowed``, or in papermill's.

    Others, such as a loop's variable or what IPython sets, are the reader's own.  Without cells, all plain ones count.
    """
    if "In" not in namespace:
        return {key for key, value in namespace.items() if isinstance(value, PLAIN) and not key.startswith("_")}
    cells = [(cell.startswith(INJECTED), assigned(cell)) for cell in namespace["In"]]
    named = {name for injected, names in cells if injected or names & set(allowed) for name in names}
    return named & set(namespace)  # without what the running cell will give a value to later


def as_list(name: str, value: object) -> object:
    """A list parameter as a list: one value is a list of one, and papermill's ``-p`` hands on a list as text.

    Raises:
        ParameterError: a text that begins as a list and is none.
    """
    if not isinstance(value, (str, int)):
        return value
    text = str(value).strip()
    if name == "seeds" and "," in text and not text.startswith("["):
        text = f"[{text}]"
    if not text.startswith("["):
        return [value]
    try:
        return EditionFile(f"{name}: {text}", f"-p {name}").fields[name]
    except ParameterError:
        raise ParameterError(name, value, f"is no list; write it as in -y '{name}: [one, another]'") from None


def open_chapter(name: str, namespace: Mapping[str, Any]) -> Chapter:
    """Check a notebook's parameters and open its study and lab.

    ``namespace`` is the notebook's ``globals()``.  papermill only warns about a parameter that the
    notebook does not know, and goes on with the default; here it is an error, before anything runs.

    Raises:
        ParameterError: a parameter that is unknown, of the wrong type or out of range.
        StoreError: the store cannot be written.
    """
    allowed = PARAMETERS + ALSO.get(name, ())
    if not any(isinstance(value, Chapter) for value in namespace.values()):  # else cells have made variables since
        for key in sorted(given_names(namespace, allowed) - {*allowed, *PAPERMILL_PATHS}):
            raise ParameterError(key, namespace.get(key), no_such(key, allowed))
    given = {key: namespace.get(key) for key in allowed}
    fields = {key: value for key, value in given.items() if key not in ("edition", "store", "workers")}
    fields |= {key: as_list(key, fields[key]) for key in ONE_OR_MORE & fields.keys()}
    edition = load("world" if given["edition"] is None else given["edition"], fields)
    return Chapter(name, Study(edition, lab=open_lab(given["store"], given["workers"], edition)))
