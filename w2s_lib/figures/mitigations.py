"""Figures of mitigations: what each changes, all beside one another; and bootstrapping, step by step."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import matplotlib.figure
import numpy as np
import pandas as pd

from w2s_lib.figures.rows import Row, dot, draw_nulls, name_rows, on_one_line
from w2s_lib.figures.style import DASHED, GREY, Figure, canvas
from w2s_lib.findings.mitigations import Remedy, of_reward_models, split_remedies
from w2s_lib.findings.results import UNMODIFIED, rows_with, say, usual
from w2s_lib.findings.statistics import MATCHED, SHARE
from w2s_lib.study.methods import POLICY_METHODS, TITLES
from w2s_lib.study.mitigations import FOR_POLICIES, MITIGATIONS, TOKENS, title


@dataclass(frozen=True)
class Panel:
    """One measure, with its own axis."""

    statistic: str
    base: str
    """The student that it is read off: under a conflict, or ``none``, for what a mitigation does without one."""
    axis: str
    least: tuple[float, float]
    """The axis holds at least this."""
    most: tuple[float, float]
    """Intervals are drawn no farther than this; estimates are, to ``FAR`` times as far."""
    scale: float = 1.0


MITIGATION_PANELS = (
    Panel("excess_margin_matched", "explicit", "change of DS −\nmatched null", (-0.1, 0.1), (-0.6, 0.6)),
    Panel("pgr", "none", "change of\nPGR", (-0.2, 0.2), (-0.8, 0.8)),
    Panel("conflict_tax", "explicit", "change of\ntax (points)", (-4.0, 4.0), (-25.0, 25.0), 100),
    Panel("deception_score", "explicit", "change of\nDS", (-0.1, 0.1), (-0.6, 0.6)),
)
"""What is read of every mitigation, from left to right."""

FAR = 3
"""An estimate this many times as far out as intervals are drawn is written at the edge of its panel."""

WANTED = ("← less hidden", "more PGR →", "← less tax", "")
"""What a trainer wants, above each panel."""

BOOTSTRAP_PANELS = (
    Panel("pgr", "none", "PGR, without\nthe conflict", (-0.05, 1.05), (-0.6, 1.6)),
    Panel("conflict_tax", "explicit", "conflict tax\n(% of the pairs)", (-0.5, 1.0), (-0.5, 75.0), 100),
    Panel("deception_score", "explicit", "deception score (DS)\nand its nulls", (-0.02, 1.02), (-0.02, 1.02)),
    Panel("excess_margin_matched", "explicit", "DS − margin-\nmatched null", (-0.1, 0.1), (-0.6, 0.6)),
)
"""What is read of every way of bootstrapping."""

ASKS = "asks the truth"
"""The block of the mitigations that do, and what stands behind their names."""

POLICIES = "policies, explicit conflict; other scales"
"""What heads the remedies of policies, each of which is held against a policy of its own kind."""

IMPLICIT = "implicit conflict; other scales"
"""What heads the remedies that are tried under it, of reward models and policies."""


def tried(results: pd.DataFrame) -> list[str]:
    """The mitigations that the results hold, in the order of ``MITIGATIONS``, those that ask the truth last."""
    held = set(rows_with(results, condition="explicit")["mitigation"])
    return sorted((name for name in MITIGATIONS if name in held), key=lambda name: not MITIGATIONS[name].honest)


def ways(results: pd.DataFrame) -> list[str]:
    """The intermediate models of the reward models' bootstrapping that the results hold, in their order."""
    return [name for name in dict.fromkeys(rows_with(results, method="reward_model")["via"]) if name]


def _panels(
    drawn: Sequence[tuple[str, Sequence[pd.Series | None], bool]],
    panels: Sequence[Panel],
    heights: Sequence[float],
    unit: bool,
) -> tuple[matplotlib.figure.Figure, np.ndarray, list[str]]:
    """A panel a measure, a row each: name, results rows by panel (None: the book has none), and whether they are grey.

    Returns figure, axes, and what the panels show, in words.
    """
    figure, axes = canvas(8.4, 0.4 * max(heights, default=0) + 2.3, 1, len(panels), sharey=True)
    told = []
    for i, (ax, panel) in enumerate(zip(axes, panels)):
        said, values = [], []
        for y, (name, rows, grey) in zip(heights, drawn):
            row = rows[i]
            if row is None:
                ax.annotate("–", (0, y), ha="center", va="center", color=GREY)
                continue
            said.append(f"{name} {say(row, panel.scale != 1, unit)}")
            if pd.isna(row["value"]):
                ax.annotate("undefined", (0, y), xytext=(5, 0), textcoords="offset points", va="center", fontsize=8.5)
                continue
            value, far = panel.scale * row["value"], FAR * panel.most[int(row["value"] > 0)]
            if abs(value) > abs(far):
                text, side = f"← {value:.1f}" if value < 0 else f"{value:.1f} →", "left" if value < 0 else "right"
                place = ax.get_yaxis_transform()
                ax.annotate(text, (float(value > 0), y), xycoords=place, ha=side, va="center", fontsize=8.5)
                continue
            values.append(1.1 * value)
            look = {"color": GREY} if grey else {}
            dot(ax, y, row, row.get("condition", panel.base), scale=panel.scale, size=44, **look)
        low, high = ax.get_xlim() if values else panel.least
        (least, most), (lowest, highest) = panel.least, panel.most
        ax.set_xlim(min(max(min(low, least), lowest), *values, 0), max(min(max(high, most), highest), *values, 0))
        ax.set_xlabel(panel.axis, fontsize=10)
        axis = on_one_line(panel.axis)
        told.append(f"{axis[0].upper()}{axis[1:]}: {'; '.join(said)}")
    return figure, axes, told


def _of(results: pd.DataFrame, remedy: Remedy) -> list[pd.Series | None]:
    """What a remedy changes, a results row for each of ``MITIGATION_PANELS``; None where the results do not say."""
    return [remedy.row(results, panel.statistic) for panel in MITIGATION_PANELS]


def _changes(blocks: Mapping[str, Mapping[str, list]]) -> tuple[matplotlib.figure.Figure, str]:
    """A row a change, as of ``_of``, by name and block; blocks stand apart, and ``ASKS`` is grey.  Returns the figure,
    and what it shows, in words."""
    rows, lines, y = [], [], 0.0
    for block, members in blocks.items():
        if members and rows:
            y += 0.7
            lines.append(y - 0.85)
        if members and block in (POLICIES, IMPLICIT):
            rows.append(Row(y, block, None))
            y += 1
        for name, found in members.items():
            shown = f"{name}\n({ASKS})" if block == ASKS else name
            rows.append(Row(y, shown, (name, found, block == ASKS)))
            y += 1
    drawn = [row for row in rows if row.about]
    figure, axes, told = _panels([row.about for row in drawn], MITIGATION_PANELS, [row.y for row in drawn], unit=False)
    for ax, better in zip(axes, WANTED):
        ax.axvline(0, **DASHED)
        ax.set_title(better, fontsize=9.5)
        for line in lines:
            ax.axhline(line, color=GREY, linewidth=0.6)
    name_rows(axes, rows, above=0.65, below=0.65, line=False)
    return figure, ". ".join(told)


def _beside_none(results: pd.DataFrame, statistic: str) -> pd.DataFrame:
    """What each mitigation of reward models changes in a statistic under the explicit conflict, by its name."""
    about = {"statistic": statistic, "method": "reward_model", "condition": "explicit", "versus": UNMODIFIED}
    return usual(results, mitigation=None, **about).set_index("mitigation")


def on_fewer_seeds(results: pd.DataFrame) -> dict[str, int]:
    """The mitigations of reward models that are tried on fewer study seeds than others, and on how many: where a record
    stands in for a build, those that it does not hold.  The tax, by which it is told, has a value in every seed."""
    seeds = _beside_none(results, "conflict_tax")["n_seeds"]
    return seeds[seeds < seeds.max()].to_dict()


def by_excess(results: pd.DataFrame) -> list[str]:
    """The mitigations of reward models that the results hold, from the one that lowers DS minus its margin-matched null
    most to the one that raises it most; undefined changes stand last, after them those that are ``on_fewer_seeds``, and
    then those that ask the truth: three orders, and not one."""
    change = _beside_none(results, MATCHED)["value"].fillna(np.inf)
    few = on_fewer_seeds(results)
    return sorted(tried(results), key=lambda name: (not MITIGATIONS[name].honest, name in few, change[name]))


def cost(remedy: Remedy, times: Mapping[str, float]) -> str:
    """What a remedy costs, as a multiple of the plain student's arithmetic by its title; empty where nobody knows."""
    known = np.isfinite(times.get(remedy.title, np.nan))
    return f"{'≤ ' * remedy.at_most}{times[remedy.title]:.1f} ×" if known else ""


def _blocks(
    results: pd.DataFrame, times: Mapping[str, float], elsewhere: Mapping[str, pd.DataFrame]
) -> tuple[dict[str, dict[str, list]], list[Remedy]]:
    """What each mitigation changes, by block and by its name in the figure, as ``_changes`` asks for; and which of the
    remedies of other chapters are among them."""
    few = on_fewer_seeds(results)
    price = lambda remedy: f" ({told})" if (told := cost(remedy, times)) else ""
    seeds = lambda n: f", {n} seed{'s' * int(n > 1)}"
    blocks: dict[str, dict[str, list]] = {"": {}, "fewer seeds": {}, ASKS: {}, POLICIES: {}, IMPLICIT: {}}
    for name in by_excess(results):
        block = ASKS if not MITIGATIONS[name].honest else "fewer seeds" if name in few else ""
        one = of_reward_models(name)
        blocks[block][one.title + (seeds(few[name]) if name in few else "") + price(one)] = _of(results, one)
    others = [one for one in split_remedies(elsewhere)[0] if not one.beside_none]
    found = {one: _of(elsewhere[one.chapter], one) for one in others}
    for one in sorted(found, key=lambda one: np.nan_to_num(found[one][0]["value"], nan=np.inf)):
        most = max(row["n_seeds"] for row in found[one] if row is not None)
        block = POLICIES if one.condition == "explicit" else IMPLICIT
        blocks[block][one.title + seeds(most) + price(one)] = found[one]
    return blocks, others


def every_mitigation(
    results: pd.DataFrame,
    times: Mapping[str, float] | None = None,
    elsewhere: Mapping[str, pd.DataFrame] | None = None,
) -> Figure:
    """Every mitigation of reward models minus no mitigation: DS minus margin-matched null, PGR, tax, and DS.

    ``results``: pooled rows of ``mitigations.with_others``.  ``times``: the arithmetic of each by its title, as a
    multiple of the plain student's.  ``elsewhere``: rows by chapter; what they say of other students, or under another
    conflict, stands below.  As ``by_excess``; blocks stand apart.
    """
    blocks, others = _blocks(results, times or {}, elsewhere or {})
    names, (figure, shown) = by_excess(results), _changes(blocks)
    shares = usual(results, statistic=SHARE, condition="explicit", mitigation=None).set_index("mitigation")
    if len(shares):
        of_each = [f"{title(name or 'none')} {say(shares.loc[name])}" for name in ("", *names) if name in shares.index]
        shown += f". Excess as a share of the attainable: {'; '.join(of_each)}"
    apart = "Below the first line: on fewer seeds than the others, so many as stand behind a name. "
    apart *= bool(on_fewer_seeds(results))
    if others:
        why = dict.fromkeys(why for one in others for why in one.lacks.values())
        apart += "At the bottom: each minus what its name says, else minus no mitigation, in its own models"
        apart += f"; –: {'; '.join(why)}. " if why else ". "
        apart += "Diamonds: under the implicit conflict; stars: its pairs in turns. " * bool(blocks[IMPLICIT])
    apart += "Undefined: nothing is taxed, or there is no gap to recover. " * ("undefined" in shown)
    return Figure(
        figure,
        "What each mitigation changes, against no mitigation, with 95 % intervals. "
        f"{shown if names or others else 'The results hold no mitigation: 0 rows'}.",
        f"Each mitigation minus no mitigation{', with its arithmetic as a multiple' if times else ''}, from the one "
        "that lowers DS − margin-matched null most. Squares: under the explicit conflict, measured from the "
        "mitigation's own no-conflict student; the matched null is the margin-matched one. Circles: its PGR. "
        f"{apart}Grey: what asks the truth, out of competition. "
        "Bars: 95 % intervals over seeds; a bar that leaves the frame goes on.",
    )


def tried_on_policies(results: pd.DataFrame) -> list[tuple[str, str]]:
    """The methods and mitigations of policies that the results hold, in the order of the figure."""
    mine = rows_with(results, condition="implicit")
    held = set(zip(mine["method"], mine["mitigation"]))
    return [(m, name) for m in POLICY_METHODS for name in FOR_POLICIES + TOKENS if (m, name) in held]


def in_policies(results: pd.DataFrame) -> Figure:
    """The paper's two mitigations in its own setting, each minus no mitigation: policies under the implicit conflict.

    ``results``: pooled rows of ``mitigations.two_remedies``.
    """
    found = tried_on_policies(results)
    remedy = lambda m, name: Remedy(f"{TITLES[m]}: {title(name)}", "labels", "", m, "implicit", name)
    rows = {one.title: _of(results, one) for one in (remedy(m, name) for m, name in found)}
    figure, shown = _changes({"": rows})
    return Figure(
        figure,
        "What two mitigations change in policies, against no mitigation, with 95 % intervals. "
        f"{shown if found else 'The results hold no mitigation of policies: 0 rows'}.",
        "Each mitigation minus none, in DPO and SimPO. Under the implicit conflict, measured from the mitigation's own "
        "no-conflict student; PGR: that student's. Bars: 95 % intervals over seeds.",
    )


def bootstrapping(results: pd.DataFrame) -> Figure:
    """Bootstrapping by its intermediate models, beside no mitigation, as levels.

    PGR, tax, DS with its nulls, DS minus margin-matched null.  ``results``: pooled rows of ``mitigations.what_helps``.
    """
    through = ways(results)
    shown = {"no intermediate": ("", "")} | {f"via {way}": ("bootstrap", way) for way in through}
    if through:
        shown["mean of these"] = ("bootstrap", "")
    rows = usual(results, method="reward_model", mitigation=None, via=None)
    rows = rows.set_index(["mitigation", "via", "condition", "statistic"])
    of = lambda how: [rows.loc[(*how, panel.base, panel.statistic)] for panel in BOOTSTRAP_PANELS]
    drawn = [(name, of(how), False) for name, how in shown.items()]
    figure, axes, said = _panels(drawn, BOOTSTRAP_PANELS, range(len(drawn)), unit=True)
    pgr, _, score, excess = axes
    told = []
    for y, (name, how) in enumerate(shown.items()):
        random, matched = (rows.loc[(*how, "explicit", f"null_{n}"), "value"] for n in ("random", "margin_matched"))
        draw_nulls(score, y + 0.28, random, matched, named=y == 0)
        told.append(f"{name} undefined" if np.isnan(random + matched) else f"{name} {random:.2f} and {matched:.2f}")
    excess.axvline(0, **DASHED)
    for x in (0, 1):
        pgr.axvline(x, color=GREY, linewidth=1, linestyle=":")
    name_rows(axes, list(shown), above=0.6, below=0.6, line=False)
    figure.legend(*score.get_legend_handles_labels(), loc="outside lower center", ncols=2)
    return Figure(
        figure,
        f"Bootstrapping by intermediate model, with 95 % intervals. {'. '.join(said)}. "
        f"Random and margin-matched null: {'; '.join(told)}.",
        "One row an intermediate model, from small to large. PGR: 0 is the weak supervisor, 1 the ceiling. "
        "Bars: 95 % intervals over seeds; a bar that leaves the frame goes on.",
    )
