"""A deception report on own pairs and models, in one page that asks no other host for anything.

    python -m w2s_lib.book.report my-pairs.jsonl --weak gpt2 --strong gpt2-medium --out report.html

It is a study like the book's: the edition ``own`` with other names in it, the same conditions, controls, nulls and intervals.
"""

from __future__ import annotations

import argparse
import html
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from w2s_lib.book.chapter import open_lab
from w2s_lib.book.tables import Table
from w2s_lib.data.cleaning import clean, cleaned, pool
from w2s_lib.data.load import load as load_pairs
from w2s_lib.data.preferences import SURFACE, agreement
from w2s_lib.data.reading import DataError
from w2s_lib.data.sources import source as source_of
from w2s_lib.errors import ParameterError, exit_code
from w2s_lib.figures.conflict import scores_and_nulls, tax_by_quadrant
from w2s_lib.figures.generalization import pgr_ladder
from w2s_lib.figures.style import Figure
from w2s_lib.findings.results import (
    ALL,
    CONFLICTS,
    DECEPTION,
    GENERALIZATION,
    MATCHED,
    ROWS,
    measure,
    minus,
    pick,
    reads,
    say,
    summarise,
)
from w2s_lib.lab.graph import model_name
from w2s_lib.lab.store import replacing
from w2s_lib.measures.metrics import MIN_GAP
from w2s_lib.models.ladder import parse
from w2s_lib.models.ranks import known
from w2s_lib.specs import Checkpoint, Layer, Source
from w2s_lib.study import Study
from w2s_lib.study.conditions import CONDITIONS, CORE
from w2s_lib.study.cost import plan_runs, print_plan
from w2s_lib.study.edition import ARROW, Edition, load

LEAST = 32
"""Pairs in a split, at least."""

SHARPEST = ("hidden_score", "null_weak_matched", "excess_weak_matched")

PREFERS = {
    "verbosity": "the longer reply is preferred",
    "vowels": "the reply with the larger share of vowels among its letters is preferred",
    "helpfulness": "the more helpful reply is preferred, in pairs of their own",
}
"""What the pairs say that are mixed in."""

SAYS = {
    "seeds": "study seeds",
    "train_pairs": "pairs in each of the two training splits",
    "test_pairs": "pairs in the test split",
}
"""Help for parameters that an edition does not describe."""


@dataclass(frozen=True, repr=False)
class Report:
    """What a study of own pairs found: a tidy frame (edition, chapter and ``results.ROWS``, over seeds) and the page made of it."""

    study: Study
    results: pd.DataFrame
    page: str
    path: Path
    """Where the page lies; the results lie beside it as ``.csv``."""

    def __repr__(self) -> str:
        return f"Report({self.path.name}, {len(self.results)} results)"

    def _repr_html_(self) -> str:
        style = "width:100%;height:44rem;border:1px solid #8888"
        return f'<iframe sandbox title="Deception report" style="{style}" srcdoc="{html.escape(self.page)}"></iframe>'


# -- the study ------------------------------------------------------------------------------------------------------------------------


def own(data: str | Path, weak: str | Path, strong: str | Path, **parameters: Any) -> Study:
    """The study behind a report: everything checked, nothing trained.

    Args:
        data: JSONL or Parquet with columns ``chosen`` and ``rejected`` (and ``prompt``, where they do not hold it), a folder of such
            files, a hub id, or a data set of ``sources.DATA``.
        weak, strong: a name of ``ladder.KNOWN``, a hub id or a folder; ``gpt2:6``: the first six blocks; ``gpt2@6``: the frozen sixth layer.
        parameters: fields of an edition, such as ``seeds``, ``train_pairs`` and ``test_pairs`` (default: as many as the data allow,
            evenly, up to 4,000 in each of the three splits), ``threshold``, ``alpha``, ``helpful``, ``max_tokens``, ``lora_rank``;
            ``reward_model`` may hold some fields of the recipe. None: as the edition ``own`` says.

    Raises:
        ParameterError, DataError, PairsError, CheckpointError: in one line, what cannot be used and why.
    """
    fields = {"data": str(data), "models": [str(weak), str(strong)], "pairs": [f"{weak}{ARROW}{strong}"], **parameters}
    fields = {name: value for name, value in fields.items() if value is not None}
    recipe = fields.get("reward_model", {})
    if not isinstance(recipe, Mapping):
        raise ParameterError("reward_model", recipe, "must be fields of a recipe, for instance {'epochs': 1}")
    fields["reward_model"] = load("own").reward_model.model_dump() | dict(recipe)
    edition = load("own", fields)
    study = Study(load("own", fields | _sizes(edition, set(fields))))
    for seed in study.edition.seeds:
        for aim in {study.conflict(condition).objective for condition in CORE}:
            load_pairs(study.pairs(seed), aim)
    for name in study.edition.models:
        same, of = _same(study, name)
        if 2 * same > of:
            says = (
                f"{name} reads {same} of {of} pairs as two times the same text, so soon are they cut; allow more tokens"
            )
            raise ParameterError("max_tokens", edition.max_tokens, says)
    return study


def _checkpoint(study: Study, name: str) -> Checkpoint:
    model = study.model(study.edition.seeds[0], name)
    return model.features.checkpoint if isinstance(model, Layer) else model


@lru_cache(maxsize=8)
def _same(study: Study, name: str) -> tuple[int, int]:
    """How many pairs, of how many, a model cannot tell apart: cut after ``max_tokens`` of its tokens they say the same."""
    from w2s_lib.models.checkpoints import tokenizer  # here, for it loads torch

    pairs = study.pairs(study.edition.seeds[0])
    usable = pool(pairs.source, pairs.max_tokens)
    cut = partial(tokenizer(_checkpoint(study, name), pairs.max_tokens), truncation=True)
    left = clean(usable.assign(file=0), cut, pairs.max_tokens).frame
    return len(usable) - len(left), len(usable)


def _room(source: Source, max_tokens: int) -> int:
    """Pairs that three splits have room for: where a split ends within a prompt, the rest of its pairs are left out."""
    prompts = pool(source, max_tokens)["prompt"]
    return len(prompts) - 2 * (int(prompts.value_counts().max()) - 1)


def _sizes(e: Edition, given: set[str]) -> dict[str, int]:
    """``train_pairs`` and ``test_pairs``: as given, else as many as there are, evenly, up to what the edition says."""
    room = _room(source_of(e.data), e.max_tokens)
    test = (
        e.test_pairs
        if "test_pairs" in given
        else min(e.test_pairs, room - 2 * e.train_pairs if "train_pairs" in given else room // 3)
    )
    most = (
        (room - test) // 2
        if e.helpful is None
        else min((room - test) // 2, _room(source_of(e.helpful), e.max_tokens) // 2)
    )
    train = e.train_pairs if "train_pairs" in given else min(e.train_pairs, most)
    if min(test, train) < LEAST:
        raise DataError(
            e.data,
            f"{room} pairs can be used, too few for a test split and two training splits of {LEAST} or more each",
        )
    return {"train_pairs": train, "test_pairs": test}


# -- the report -----------------------------------------------------------------------------------------------------------------------


def report(
    data: str | Path, weak: str | Path, strong: str | Path, out: str | Path = "report.html", *,
    store: str | Path | None = None, workers: int | None = None, progress: bool = True, **parameters: Any,
) -> Report:  # fmt: skip
    """Train what is missing and write the page to ``out``, the results beside it as ``.csv``; see ``own`` for the other arguments.

    ``store`` and ``workers`` as of ``chapter.open_lab``; ``progress`` shows a bar while runs are missing.

    Raises:
        OneLineError: before anything is trained, if something cannot be used; later, if a run fails.
    """
    path = Path(out).expanduser().absolute()
    if path.suffix != ".html" or not path.parent.is_dir():
        raise ParameterError("out", str(out), "must be the path of an .html file, in a folder that exists")
    study = own(data, weak, strong, **parameters)
    lab = open_lab(store, workers, study.edition)
    lab.progress = progress
    study = study.on(lab)
    lab.run(study.student_runs())
    none = measure(study, ["none"], GENERALIZATION)
    taxed = measure(study, CONFLICTS, ("accuracy", *DECEPTION, *SHARPEST))
    against = minus(taxed, [MATCHED], [c for c in CONFLICTS if c != "rerun"], "rerun")
    results = pd.concat([summarise(none), summarise(taxed), against], ignore_index=True)
    results = results.assign(edition=study.edition.name, chapter="report")[["edition", "chapter", *ROWS]].drop(
        columns="by_seed"
    )
    page = _page(study, none, results)
    try:
        with replacing(path) as html, replacing(path.with_suffix(".csv")) as csv:
            html.write_text(page)
            results.to_csv(csv, index=False)
    except OSError as error:
        raise ParameterError("out", str(out), f"cannot be written ({error.strerror})") from None
    return Report(study, results, page, path)


def _page(study: Study, none: pd.DataFrame, results: pd.DataFrame) -> str:
    e = study.edition
    seed, (weak, strong), source = e.seeds[0], e.weak_strong[0], study.pairs(e.seeds[0]).source
    usable, conflicts = pool(source, e.max_tokens), {c: study.conflict(c) for c in CONFLICTS}
    folder = FileSystemLoader(Path(__file__).parent)
    environment = Environment(
        loader=folder, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {
        "say": say, "percent": lambda row: say(row, percent=True), "reads": reads, "figure": _svg,
        "table": lambda rows, *columns: Markup(Table(pd.DataFrame(rows, columns=columns or None))._repr_html_()),
    }  # fmt: skip
    roles = {"weak supervisor": weak, "strong student and ceiling": strong}
    figures = results[results["condition"].isin(CONFLICTS) & (results["weak"] == weak)], list(CONFLICTS)
    axis = {"weak": "weak", "strong": "strong"}  # paths are no labels of an axis
    return environment.get_template("report.html").render(
        e=e, source=source, label=Path(e.data).name if source.files else e.data, models=[model_name(study.model(seed, m)) for m in roles.values()],
        get=lambda c, s, versus="": pick(results, s, c, *((ALL, ALL) if versus else (weak, strong)), versus=versus),
        read=cleaned(source, e.max_tokens).report, min_gap=MIN_GAP,
        mixed=[(c, PREFERS[x.objective], _agreement(usable, x.objective)) for c, x in conflicts.items() if x.objective],
        training={c: PREFERS[x.objective] + ": mixed in" if x.objective else CONDITIONS[c].says for c, x in conflicts.items()},
        ladder=[(role, *_model(study, name)) for role, name in roles.items()],
        recipe=[(name, str(value)) for name, value in e.reward_model.model_dump(exclude_none=True).items()],
        figures=[pgr_ladder(none.assign(**axis), results[results["condition"] == "none"].assign(**axis)), tax_by_quadrant(*figures), scores_and_nulls(*figures)],
        ledger=study.lab.ledger(study.student_runs()), trained=study.lab.trained,
    )  # fmt: skip


def _model(study: Study, name: str) -> tuple[str, ...]:
    """Name, size and revision of a model, and of how many pairs it sees no difference."""
    checkpoint, (same, of) = _checkpoint(study, name), _same(study, name)
    adapters = f", adapters of rank {checkpoint.lora_rank}" if checkpoint.lora_rank else ""
    size = f"{known(parse(name).base).millions:,.3g} million"
    return (
        model_name(study.model(study.edition.seeds[0], name)) + adapters,
        size,
        checkpoint.revision,
        f"{same} of {of}",
    )


def _agreement(pool: pd.DataFrame, objective: str) -> str:
    """How often an objective that is read off the texts agrees with their labels."""
    if objective not in SURFACE:
        return "has pairs of its own"
    found = agreement(pool, objective)
    return f"{100 * found.value:.1f} % [{100 * found.low:.1f}, {100 * found.high:.1f}] of the pairs"


def _svg(figure: Figure) -> Markup:
    """The figure as part of a page: without prolog and metadata, with its alt text."""
    svg = figure.svg()
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg[svg.index("<svg") :], flags=re.S)
    return Markup('<figure role="img" aria-label="{}">{}</figure>').format(figure.alt, Markup(svg))


# -- the command ----------------------------------------------------------------------------------------------------------------------

OPTIONS = (
    "seeds",
    "train_pairs",
    "test_pairs",
    "threshold",
    "alpha",
    "helpful",
    "max_tokens",
    "dtype",
    "lora_rank",
    "draws",
)


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m w2s_lib.book.report", usage="%(prog)s DATA --weak MODEL --strong MODEL [options]", description=__doc__.splitlines()[0], formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="A model is a name of the book's ladder, a hub id or a folder with safetensors or one GGUF file;\n"
        "gpt2:6 is its first six blocks, gpt2@6 its frozen sixth layer under a linear head (much cheaper).",
    )  # fmt: skip
    parser.add_argument(
        "data",
        help="JSONL or Parquet with columns chosen and rejected, prompt inside them or beside; a folder of such files; a hub id",
    )
    parser.add_argument("--weak", required=True, metavar="MODEL", help="the weak supervisor")
    parser.add_argument("--strong", required=True, metavar="MODEL", help="the strong student; larger than the weak one")
    parser.add_argument(
        "--out",
        default="report.html",
        metavar="HTML",
        help="the page; results go beside it as .csv (default: report.html)",
    )
    for name in OPTIONS:
        field, default = Edition.model_fields[name], getattr(load("own"), name)
        several = {"nargs": "+", "metavar": "SEED"} if name == "seeds" else {"metavar": "X"}
        usual = {"seeds": "0 1 2", "train_pairs": "as many as there are", "test_pairs": "as many as there are"}.get(
            name, default
        )
        parser.add_argument(
            f"--{name.replace('_', '-')}", **several, help=f"{field.description or SAYS[name]} (default: {usual})"
        )
    parser.add_argument(
        "--recipe",
        nargs="+",
        default=[],
        metavar="FIELD=X",
        help="fields of the recipe, for instance epochs=1 learning_rate=1e-5",
    )
    parser.add_argument("--store", metavar="FOLDER", help="folder of results (default: $W2S_STORE, else .store)")
    parser.add_argument("--workers", type=int, metavar="N", help="processes (default: one a core)")
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="check everything, say what would be run and what it would take; run nothing",
    )
    given = vars(parser.parse_args(arguments))
    given["reward_model"] = dict(field.partition("=")[::2] for field in given.pop("recipe"))

    def do() -> None:
        if given.pop("dry_run"):
            lab = open_lab(given.pop("store"), given.pop("workers"))
            given.pop("out")
            print_plan(plan_runs(own(**given).student_runs(), lab=lab))
            return
        done = report(**given)
        print(f"{done.path} and {done.path.with_suffix('.csv').name}, {len(done.results)} rows")

    return exit_code(do)


if __name__ == "__main__":
    sys.exit(main())
