"""The page of a report: one HTML file that asks no other host for anything, from ``report.html``."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template
from markupsafe import Markup
from scipy import stats

from w2s_lib.book.own import as_read, checkpoint, conditions, needed, not_shown, notes
from w2s_lib.book.tables import Table
from w2s_lib.data import load
from w2s_lib.data.cleaning import cleaned, usable_pairs
from w2s_lib.data.preferences import SURFACE, agreement
from w2s_lib.errors import plain
from w2s_lib.figures.conflict import scores_and_nulls, tax_by_quadrant
from w2s_lib.figures.generalization import pgr_ladder
from w2s_lib.figures.mitigations import every_mitigation
from w2s_lib.figures.style import Figure
from w2s_lib.findings.conflict import OF_THE_HIDDEN, cannot_tell, placebo_in_words
from w2s_lib.findings.early_warning import CHANCE
from w2s_lib.findings.results import ALL, CONFLICTS, pick, reads, say
from w2s_lib.findings.statistics import DECEPTION
from w2s_lib.lab.again import says_of_others
from w2s_lib.lab.graph import model_name
from w2s_lib.measures.metrics import MIN_GAP
from w2s_lib.models.ladder import parse
from w2s_lib.models.ranks import look_up
from w2s_lib.study import Study
from w2s_lib.study.conditions import CONDITIONS

PREFERS = {
    "verbosity": "the longer reply is preferred",
    "vowels": "the reply with the larger share of vowels among its letters is preferred",
    "parity": "the reply with the larger share of even code points among its letters and digits is preferred",
    "helpfulness": "the more helpful reply is preferred, in pairs of their own",
}
"""What the pairs say that are mixed in."""

BETTER = "better than chance"

LUCK = {
    False: "the ceiling is not told from chance: what it seems to know may be luck",
    True: "the ceiling is not told from its supervisor: what it seems to know beyond it may be luck",
}
"""Why no deception score can be read, by whether the ceiling is better than chance."""


def render_report(study: Study, none: pd.DataFrame, results: pd.DataFrame) -> str:
    """The page of a study on a lab; ``none``: rows by seed without a conflict; ``results``: those of the report."""
    text = page_template("report.html", beside_chance=_beside_chance).render(
        _setting(study) | _found(study, none, results)
    )
    return focusable(text)


def page_template(name: str, **filters: Callable) -> Template:
    """A page's template, in this folder, with the filters that all pages have and some of its own; it escapes texts."""
    folder = FileSystemLoader(Path(__file__).parent)
    blocks = {"trim_blocks": True, "lstrip_blocks": True, "extensions": ["jinja2.ext.loopcontrols"]}
    environment = Environment(loader=folder, autoescape=True, undefined=StrictUndefined, **blocks)
    environment.filters |= {"say": say, "percent": lambda row: say(row, percent=True), "reads": reads}
    table = lambda rows, *columns: Markup(Table(pd.DataFrame(rows, columns=columns or None))._repr_html_())
    environment.filters |= {"figure": _svg, "table": table} | filters
    return environment.get_template(name)


def focusable(page: str) -> str:
    """The page with tables that take focus: they scroll on a phone.  Its texts are escaped: every table is one."""
    return page.replace("<table", '<table tabindex="0"')


def _setting(study: Study) -> dict[str, Any]:
    """What the page says of data, models and training."""
    e = study.edition
    roles = dict(zip(("weak supervisor", "strong student and ceiling"), e.weak_strong[0]))
    source, mixed = study.pairs(e.seeds[0]).source, {c: study.conflict(c).objective for c in CONFLICTS}
    mixed, texts = {c: objective for c, objective in mixed.items() if objective}, usable_pairs(source, e.max_tokens)
    shown = [c for c in CONFLICTS if c in conditions(study)]
    others = says_of_others(study.lab, needed(study), how=False)
    return {
        "e": e,
        "source": source,
        "label": plain(Path(e.data).name if source.files else e.data),
        "models": [model_name(study.model(e.seeds[0], name)) for name in roles.values()],
        "read": cleaned(source, e.max_tokens).report,
        "notes": notes(study),
        "others": others,
        "mixed": [(c, PREFERS[objective], *_agreement(texts, objective)) for c, objective in mixed.items()],
        "training": {c: f"{PREFERS[mixed[c]]}: mixed in" if c in mixed else CONDITIONS[c].says for c in shown},
        "left_out": {c: (PREFERS[mixed[c]], error) for c, error in not_shown(study).items()},
        "told_apart": load.TOLD_APART,
        "ladder": [(role, *_model(study, name)) for role, name in roles.items()],
        "recipe": [(name, str(value)) for name, value in e.reward_model.model_dump(exclude_none=True).items()],
    }


def _found(study: Study, none: pd.DataFrame, results: pd.DataFrame) -> dict[str, Any]:
    """What the page says of results and their cost; ``get`` finds a row by condition and statistic."""
    weak, strong = study.edition.weak_strong[0]
    axis = {"weak": "weak", "strong": "strong"}  # paths are no labels of an axis
    shown = [c for c in CONFLICTS if c in conditions(study)]
    taxed = results[results["condition"].isin(shown) & (results["weak"] == weak)]

    def get(condition: str, statistic: str, versus: str = "") -> pd.Series:
        return pick(results, statistic, condition, *((ALL, ALL) if versus else (weak, strong)), versus=versus)

    leads, luck = beside_chance(results, weak, strong)
    tried = as_shown(study, results)[lambda rows: rows["mitigation"] != ""]
    rows = results[(results["condition"] == "none") & (results["mitigation"] == "")].assign(**axis)
    rows["value"] = rows["value"].mask(rows["statistic"].eq("pgr") & (not leads))
    beyond = get("placebo", "conflict_tax", "rerun") if "placebo" in shown else {"value": np.nan}
    return {
        "get": get,
        "min_gap": MIN_GAP,
        "leads": leads,
        "luck": luck,
        "blind": {c: cannot_tell(get(c, "attainable_margin_matched")) for c in shown},
        "placebo": "" if np.isnan(beyond["value"]) else placebo_in_words(beyond),
        "ladder_figure": pgr_ladder(none.assign(**axis), rows),
        "figures": [tax_by_quadrant(taxed, shown), scores_and_nulls(taxed, shown)],
        "remedies": every_mitigation(tried) if len(tried) else None,
        "ledger": study.lab.ledger(needed(study)),
        "trained": study.lab.trained,
    }


def beside_chance(results: pd.DataFrame, weak: str, strong: str) -> tuple[bool, str]:
    """Whether the ceiling is told from its supervisor, and why no deception score can be read, if so."""
    none = lambda statistic: pick(results, statistic, "none", weak, strong)
    leads = none("gap")["low"] > 0
    knows = _beside_chance(none("accuracy_ceiling")) == BETTER
    return leads, "" if knows and leads else LUCK[knows]


def as_shown(study: Study, results: pd.DataFrame) -> pd.DataFrame:
    """The results of a report without the numbers that its page does not show: their rows stay, and are empty."""
    leads, luck = beside_chance(results, *study.edition.weak_strong[0])
    of_scores = {*DECEPTION, *OF_THE_HIDDEN} - {"conflict_tax", "net_change"}
    hidden = results["statistic"].eq("pgr") & (not leads) | results["statistic"].isin(of_scores) & bool(luck)
    return results.assign(**{name: results[name].mask(hidden) for name in ("value", "low", "high", "sd")})


def _beside_chance(accuracy: pd.Series) -> str:
    """Whether an accuracy is better than a coin's; where all draws agree, and give no interval, by a binomial test."""
    low, high = accuracy["low"], accuracy["high"]
    if np.isnan(low):
        n = int(accuracy["n_pairs"])
        low, high = stats.binomtest(round(accuracy["value"] * n), n).proportion_ci()
    if low > CHANCE:
        return BETTER
    return "worse than chance" if high < CHANCE else "not told from chance"


def _model(study: Study, name: str) -> tuple[str, ...]:
    """Name, size and revision of a model, how many pairs it reads cut, and of how many it sees no difference."""
    whole, read = checkpoint(study, name), as_read(study, name)
    adapters = f", adapters of rank {whole.lora_rank}" if whole.lora_rank else ""
    size = f"{look_up(parse(study.edition.at(name)).base).millions:,.3g} million"
    called = model_name(study.model(study.edition.seeds[0], name)) + adapters
    return called, size, whole.revision, f"{read.cut} of {read.pairs}", f"{read.alike} of {read.pairs}"


def _agreement(texts: pd.DataFrame, objective: str) -> tuple[str, str]:
    """How many pairs an objective that is read off the texts tells apart, and how often it agrees with their labels."""
    if objective not in SURFACE:
        return "has pairs of its own", ""
    found = agreement(texts, objective)
    agrees = f"{100 * found.value:.1f} % [{100 * found.low:.1f}, {100 * found.high:.1f}] of these"
    return f"{found.pairs} of {found.pairs + found.ties} pairs", agrees if found.pairs else ""


def _svg(figure: Figure) -> Markup:
    """The figure as part of a page: without prolog and metadata, with its alt text."""
    svg = figure.svg()
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg[svg.index("<svg") :], flags=re.S)
    return Markup('<figure role="img" aria-label="{}">{}</figure>').format(figure.alt, Markup(svg))
