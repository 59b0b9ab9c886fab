"""Figures of mitigations: what each changes, all beside one another; and bootstrapping, step by step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import matplotlib.figure
import numpy as np
import pandas as pd

from w2s_lib.figures.rows import Row, dot, name_rows, nulls, one_line
from w2s_lib.figures.style import DASHED, GREY, Figure, canvas
from w2s_lib.findings.results import ALL, MATCHED, SHARE, UNMODIFIED, among, say, usual
from w2s_lib.findings.search import SEARCH
from w2s_lib.findings.society import MACPO
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
    """Intervals are drawn no farther than this; estimates always are."""
    percent: bool = False

    @property
    def scale(self) -> float:
        return 100.0 if self.percent else 1.0

    @property
    def says(self) -> str:
        """The axis' name on one line."""
        text = one_line(self.axis)
        return text[0].upper() + text[1:]


MITIGATION_PANELS = (
    Panel("excess_margin_matched", "explicit", "change of DS −\nmatched null", (-0.1, 0.1), (-0.6, 0.6)),
    Panel("pgr", "none", "change of\nPGR", (-0.2, 0.2), (-0.8, 0.8)),
    Panel("conflict_tax", "explicit", "change of\ntax (points)", (-4.0, 4.0), (-25.0, 25.0), percent=True),
    Panel("deception_score", "explicit", "change of\nDS", (-0.1, 0.1), (-0.6, 0.6)),
)
"""What is read of every mitigation, from left to right."""

WANTED = ("← less hidden", "more PGR →", "← less tax", "")
"""What a trainer wants, above each panel."""

BOOTSTRAP_PANELS = (
    Panel("pgr", "none", "PGR, without\nthe conflict", (-0.05, 1.05), (-0.6, 1.6)),
    Panel("conflict_tax", "explicit", "conflict tax\n(% of the pairs)", (-0.5, 1.0), (-0.5, 75.0), percent=True),
    Panel("deception_score", "explicit", "deception score (DS)\nand its nulls", (-0.02, 1.02), (-0.02, 1.02)),
    Panel("excess_margin_matched", "explicit", "DS − margin-\nmatched null", (-0.1, 0.1), (-0.6, 0.6)),
)
"""What is read of every way of bootstrapping."""

ASKS = "asks the truth"
"""The block of the mitigations that do, and what stands behind their names."""

POLICIES = "policies; no claim to the same scale"
"""What heads the remedies of policies, each of which is held against a policy of its own kind."""

OF_POLICIES = {
    "chosen tokens, minus all tokens": ("31_token_by_token", "simpo", "chosen_tokens", UNMODIFIED),
    "chosen half, minus all tokens": ("31_token_by_token", "simpo", "chosen_half", UNMODIFIED),
    "search, minus training": ("23_no_training", SEARCH, "", "dpo"),
    "many agents, minus one that learns alone": ("32_many_agents", MACPO, "", "frozen_weak"),
}
"""Remedies of policies in figures: the chapter that tries each, and its ``method``, ``mitigation`` and ``versus``."""


def tried(results: pd.DataFrame) -> list[str]:
    """The mitigations that the results hold, in the order of ``MITIGATIONS``, those that ask the truth last."""
    held = set(among(results, condition="explicit")["mitigation"])
    return sorted((name for name in MITIGATIONS if name in held), key=lambda name: not MITIGATIONS[name].honest)


def ways(results: pd.DataFrame) -> list[str]:
    """The intermediate models of the reward models' bootstrapping that the results hold, in their order."""
    return [name for name in dict.fromkeys(among(results, method="reward_model")["via"]) if name]


def _panels(
    drawn: Sequence[tuple[str, Sequence[pd.Series | None], bool]],
    panels: Sequence[Panel],
    heights: Sequence[float],
    unit: str,
) -> tuple[matplotlib.figure.Figure, np.ndarray, list[str]]:
    """A panel a measure, a row each: name, results rows in the order of the panels (None: the book does not have it),
    and whether they are grey.

    Returns figure, axes, and what the panels show, in words.
    """
    figure, axes = canvas(8.4, 0.4 * max(len(drawn), 1) + 1.9, 1, len(panels), sharey=True)
    told = []
    for i, (ax, panel) in enumerate(zip(axes, panels)):
        said, values = [], []
        for y, (name, rows, grey) in zip(heights, drawn):
            row = rows[i]
            if row is None:
                ax.annotate("–", (0, y), ha="center", va="center", color=GREY)
                continue
            said.append(f"{name} {say(row, percent=panel.percent).replace(' %', unit)}")
            if pd.isna(row["value"]):
                ax.annotate("undefined", (0, y), xytext=(5, 0), textcoords="offset points", va="center", fontsize=8.5)
                continue
            values.append(1.1 * panel.scale * row["value"])
            dot(ax, y, row, panel.base, scale=panel.scale, size=44, **({"color": GREY} if grey else {}))
        low, high = ax.get_xlim() if values else panel.least
        (least, most), (lowest, highest) = panel.least, panel.most
        ax.set_xlim(min(max(min(low, least), lowest), *values, 0), max(min(max(high, most), highest), *values, 0))
        ax.set_xlabel(panel.axis, fontsize=10)
        told.append(f"{panel.says}: {'; '.join(said)}")
    return figure, axes, told


def _of(results: pd.DataFrame, conflict: str, method: str, mitigation: str, versus: str = UNMODIFIED) -> list:
    """What a student changes, a results row for each of ``MITIGATION_PANELS``; None where the results do not say."""
    rows = usual(results, method=method, mitigation=mitigation, versus=versus, weak=ALL)
    rows = rows.set_index(["condition", "statistic"])
    asked = [("none" if panel.base == "none" else conflict, panel.statistic) for panel in MITIGATION_PANELS]
    return [rows.loc[key] if key in rows.index else None for key in asked]


def _changes(blocks: Mapping[str, Mapping[str, list]], conflict: str) -> tuple[matplotlib.figure.Figure, str]:
    """A row a change, as of ``_of``, by name and block; blocks stand apart, and ``ASKS`` is grey.  Returns the figure,
    and what it shows, in words."""
    rows, lines, y = [], [], 0.0
    for block, members in blocks.items():
        if members and rows:
            y += 0.7
            lines.append(y - 0.85)
        if members and block == POLICIES:
            rows.append(Row(y, block, None))
            y += 1
        for name, found in members.items():
            shown = f"{name}\n({ASKS})" if block == ASKS else name.replace(", minus", ",\nminus")
            rows.append(Row(y, shown, (name, found, block == ASKS)))
            y += 1
    drawn = [row for row in rows if row.about]
    panels = [panel if panel.base == "none" else replace(panel, base=conflict) for panel in MITIGATION_PANELS]
    figure, axes, told = _panels([row.about for row in drawn], panels, [row.y for row in drawn], unit="")
    for ax, better in zip(axes, WANTED):
        ax.axvline(0, **DASHED)
        ax.set_title(better, fontsize=9.5)
        for line in lines:
            ax.axhline(line, color=GREY, linewidth=0.6)
    name_rows(axes, rows, above=0.65, below=0.65, line=False)
    return figure, ". ".join(told)


def on_fewer_seeds(results: pd.DataFrame) -> dict[str, int]:
    """The mitigations of reward models that are tried on fewer study seeds than others, and on how many: where a record
    stands in for a build, those that it does not hold.  The tax, by which it is told, has a value in every seed."""
    about = {"statistic": "conflict_tax", "method": "reward_model", "condition": "explicit", "versus": UNMODIFIED}
    seeds = usual(results, mitigation=None, **about).set_index("mitigation")["n_seeds"]
    return seeds[seeds < seeds.max()].to_dict()


def by_excess(results: pd.DataFrame) -> list[str]:
    """The mitigations of reward models that the results hold, from the one that lowers DS minus its margin-matched null
    most to the one that raises it most; undefined changes stand last, after them those that are ``on_fewer_seeds``, and
    then those that ask the truth: three orders, and not one."""
    about = {"statistic": MATCHED, "method": "reward_model", "condition": "explicit", "versus": UNMODIFIED}
    change = usual(results, mitigation=None, **about).set_index("mitigation")["value"].fillna(np.inf)
    few = on_fewer_seeds(results)
    return sorted(tried(results), key=lambda name: (not MITIGATIONS[name].honest, name in few, change[name]))


def forest(
    results: pd.DataFrame, times: Mapping[str, float] | None = None, policies: Mapping[str, pd.DataFrame] | None = None
) -> Figure:
    """Every mitigation of reward models minus no mitigation: DS minus margin-matched null, PGR, tax, and DS.

    ``results``: pooled rows of ``mitigations.what_helps``.  ``times``: the arithmetic of each, as a multiple of no
    mitigation's.  ``policies``: rows of the chapters of ``OF_POLICIES``, by name.  As ``by_excess``; blocks stand
    apart.
    """
    names, few = by_excess(results), on_fewer_seeds(results)
    cost = lambda name: f" ({times[name]:.1f} ×)" if times and np.isfinite(times[name]) else ""
    seeds = lambda n: f", {n} seed{'s' * int(n > 1)}"
    blocks: dict[str, dict[str, list]] = {"": {}, "fewer seeds": {}, ASKS: {}}
    for name in names:
        block = ASKS if not MITIGATIONS[name].honest else "fewer seeds" if name in few else ""
        called = title(name) + (seeds(few[name]) if name in few else "") + cost(name)
        blocks[block][called] = _of(results, "explicit", "reward_model", name)
    theirs = lambda chapter: (policies or {}).get(chapter, results[:0])
    found = {name: _of(theirs(chapter), "explicit", *about) for name, (chapter, *about) in OF_POLICIES.items()}
    found = {name: rows for name, rows in found.items() if any(row is not None for row in rows)}
    order = lambda name: np.inf if found[name][0] is None else np.nan_to_num(found[name][0]["value"], nan=np.inf)
    most = lambda name: max(row["n_seeds"] for row in found[name] if row is not None)
    blocks[POLICIES] = {name + seeds(most(name)): found[name] for name in sorted(found, key=order)}
    figure, shown = _changes(blocks, "explicit")
    shares = usual(results, statistic=SHARE, condition="explicit", mitigation=None).set_index("mitigation")
    if len(shares):
        of_each = "; ".join(f"{title(name or 'none')} {say(shares.loc[name])}" for name in ("", *names))
        shown += f". Excess as a share of the attainable: {of_each}"
    apart = "Below the first line: on fewer seeds than the others, so many as stand behind a name. " * bool(few)
    apart += (
        "At the bottom, policies: each minus what its name says, in its own models; –: the book does not reckon it. "
    ) * bool(found)
    return Figure(
        figure,
        "What each mitigation changes, against no mitigation, with 95 % intervals. "
        f"{shown if names else 'The results hold no mitigation: 0 rows'}.",
        f"Each mitigation minus no mitigation{', with its arithmetic as a multiple' if times else ''}, from the one "
        "that lowers DS − margin-matched null most. Squares: under the explicit conflict, measured from the "
        "mitigation's own no-conflict student; the matched null is the margin-matched one. Circles: its PGR. "
        f"{apart}Grey: what asks the truth, out of competition. "
        "Bars: 95 % intervals over seeds; a bar that leaves the frame goes on.",
    )


def tried_on_policies(results: pd.DataFrame) -> list[tuple[str, str]]:
    """The methods and mitigations of policies that the results hold, in the order of the figure."""
    mine = among(results, condition="implicit")
    held = set(zip(mine["method"], mine["mitigation"]))
    return [(m, name) for m in POLICY_METHODS for name in FOR_POLICIES + TOKENS if (m, name) in held]


def in_policies(results: pd.DataFrame) -> Figure:
    """The paper's two mitigations in its own setting, each minus no mitigation: policies under the implicit conflict.

    ``results``: pooled rows of ``mitigations.two_remedies``.
    """
    found = tried_on_policies(results)
    rows = {f"{TITLES[m]}: {title(name)}": _of(results, "implicit", m, name) for m, name in found}
    figure, shown = _changes({"": rows}, "implicit")
    return Figure(
        figure,
        "What two mitigations change in policies, against no mitigation, with 95 % intervals. "
        f"{shown if found else 'The results hold no mitigation of policies: 0 rows'}.",
        "Each mitigation minus none, in DPO and SimPO. Under the implicit conflict, measured from the mitigation's own "
        "no-conflict student; PGR: that student's. Bars: 95 % intervals over seeds.",
    )


def steps(results: pd.DataFrame) -> Figure:
    """Bootstrapping by its intermediate models, beside no mitigation, as levels.

    That is PGR, tax, DS with its nulls, DS minus margin-matched null.  ``results``: pooled rows of
    ``mitigations.what_helps``.
    """
    through = ways(results)
    shown = {"no intermediate": ("", "")} | {f"via {way}": ("bootstrap", way) for way in through}
    if through:
        shown["mean of these"] = ("bootstrap", "")
    rows = usual(results, method="reward_model", mitigation=None, via=None)
    rows = rows.set_index(["mitigation", "via", "condition", "statistic"])
    drawn = [
        (name, [rows.loc[(*how, p.base, p.statistic)] for p in BOOTSTRAP_PANELS], False) for name, how in shown.items()
    ]
    figure, axes, said = _panels(drawn, BOOTSTRAP_PANELS, range(len(drawn)), unit=" %")
    pgr, _, score, excess = axes
    told = []
    for y, (name, how) in enumerate(shown.items()):
        random, matched = (rows.loc[(*how, "explicit", f"null_{n}"), "value"] for n in ("random", "margin_matched"))
        nulls(score, y + 0.28, random, matched, named=y == 0)
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
