"""The page of a report: one HTML file that asks no other host for anything, from ``report.html``."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from scipy import stats

from w2s_lib.book.own import checkpoint, read_alike
from w2s_lib.book.tables import Table
from w2s_lib.data.cleaning import cleaned, pool
from w2s_lib.data.preferences import SURFACE, agreement
from w2s_lib.figures.conflict import scores_and_nulls, tax_by_quadrant
from w2s_lib.figures.generalization import pgr_ladder
from w2s_lib.figures.style import Figure
from w2s_lib.findings.conflict import cannot_tell, placebo_in_words
from w2s_lib.findings.results import ALL, CONFLICTS, pick, reads, say
from w2s_lib.lab.graph import model_name
from w2s_lib.measures.metrics import MIN_GAP
from w2s_lib.models.ladder import parse
from w2s_lib.models.ranks import known
from w2s_lib.study import Study
from w2s_lib.study.conditions import CONDITIONS

PREFERS = {
    "verbosity": "the longer reply is preferred",
    "vowels": "the reply with the larger share of vowels among its letters is preferred",
    "helpfulness": "the more helpful reply is preferred, in pairs of their own",
}
"""What the pairs say that are mixed in."""

CHANCE = 0.5


def page(study: Study, none: pd.DataFrame, results: pd.DataFrame) -> str:
    """The page of a study on a lab; ``none``: rows by seed without a conflict; ``results``: those of the report."""
    folder = FileSystemLoader(Path(__file__).parent)
    blocks = {"trim_blocks": True, "lstrip_blocks": True, "extensions": ["jinja2.ext.loopcontrols"]}
    environment = Environment(loader=folder, autoescape=True, undefined=StrictUndefined, **blocks)
    environment.filters |= {"say": say, "percent": lambda row: say(row, percent=True), "reads": reads}
    environment.filters |= {"figure": _svg, "table": _table, "beside_chance": _beside_chance}
    template = environment.get_template("report.html")
    text = template.render(_setting(study) | _found(study, none, results))
    return text.replace("<table", '<table tabindex="0"')  # what scrolls on a phone takes focus; texts are escaped


def _setting(study: Study) -> dict[str, Any]:
    """What the page says of data, models and training."""
    e = study.edition
    roles = dict(zip(("weak supervisor", "strong student and ceiling"), e.weak_strong[0]))
    source, conflicts = study.pairs(e.seeds[0]).source, {c: study.conflict(c) for c in CONFLICTS}
    mixed = {c: conflict.objective for c, conflict in conflicts.items() if conflict.objective}
    texts = pool(source, e.max_tokens)
    return {
        "e": e,
        "source": source,
        "label": Path(e.data).name if source.files else e.data,
        "models": [model_name(study.model(e.seeds[0], name)) for name in roles.values()],
        "read": cleaned(source, e.max_tokens).report,
        "mixed": [(c, PREFERS[objective], _agreement(texts, objective)) for c, objective in mixed.items()],
        "training": {c: f"{PREFERS[mixed[c]]}: mixed in" if c in mixed else CONDITIONS[c].says for c in conflicts},
        "ladder": [(role, *_model(study, name)) for role, name in roles.items()],
        "recipe": [(name, str(value)) for name, value in e.reward_model.model_dump(exclude_none=True).items()],
    }


def _found(study: Study, none: pd.DataFrame, results: pd.DataFrame) -> dict[str, Any]:
    """What the page says of results and their cost; ``get`` finds a row by condition and statistic."""
    weak, strong = study.edition.weak_strong[0]
    axis = {"weak": "weak", "strong": "strong"}  # paths are no labels of an axis
    taxed = results[results["condition"].isin(CONFLICTS) & (results["weak"] == weak)]
    ladder = pgr_ladder(none.assign(**axis), results[results["condition"] == "none"].assign(**axis))

    def get(condition: str, statistic: str, versus: str = "") -> pd.Series:
        return pick(results, statistic, condition, *((ALL, ALL) if versus else (weak, strong)), versus=versus)

    beyond = get("placebo", "conflict_tax", "rerun")
    return {
        "get": get,
        "min_gap": MIN_GAP,
        "blind": {c: cannot_tell(get(c, "attainable_margin_matched")) for c in CONFLICTS},
        "placebo": "" if np.isnan(beyond["value"]) else placebo_in_words(beyond),
        "figures": [ladder, tax_by_quadrant(taxed, list(CONFLICTS)), scores_and_nulls(taxed, list(CONFLICTS))],
        "ledger": study.lab.ledger(study.student_runs()),
        "trained": study.lab.trained,
    }


def _beside_chance(accuracy: pd.Series) -> str:
    """Whether an accuracy is better than a coin's; where all draws agree, and give no interval, by a binomial test."""
    low, high = accuracy["low"], accuracy["high"]
    if np.isnan(low):
        n = int(accuracy["n_pairs"])
        low, high = stats.binomtest(round(accuracy["value"] * n), n).proportion_ci()
    if low > CHANCE:
        return "better than chance"
    return "worse than chance" if high < CHANCE else "not told from chance"


def _model(study: Study, name: str) -> tuple[str, ...]:
    """Name, size and revision of a model, and of how many pairs it sees no difference."""
    whole, (same, of) = checkpoint(study, name), read_alike(study, name)
    adapters = f", adapters of rank {whole.lora_rank}" if whole.lora_rank else ""
    size = f"{known(parse(study.edition.at(name)).base).millions:,.3g} million"
    return model_name(study.model(study.edition.seeds[0], name)) + adapters, size, whole.revision, f"{same} of {of}"


def _agreement(texts: pd.DataFrame, objective: str) -> str:
    """How often an objective that is read off the texts agrees with their labels."""
    if objective not in SURFACE:
        return "has pairs of its own"
    found = agreement(texts, objective)
    return f"{100 * found.value:.1f} % [{100 * found.low:.1f}, {100 * found.high:.1f}] of the pairs"


def _table(rows: Any, *columns: str) -> Markup:
    return Markup(Table(pd.DataFrame(rows, columns=columns or None))._repr_html_())


def _svg(figure: Figure) -> Markup:
    """The figure as part of a page: without prolog and metadata, with its alt text."""
    svg = figure.svg()
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg[svg.index("<svg") :], flags=re.S)
    return Markup('<figure role="img" aria-label="{}">{}</figure>').format(figure.alt, Markup(svg))
