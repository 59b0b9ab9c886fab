"""Figures of mitigations: what each changes, all beside one another; and bootstrapping, intermediate model by intermediate model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import pandas as pd
from matplotlib.axes import Axes

from w2s_lib.figures.style import CONDITION_COLOURS, GREY, MARKERS, Figure, canvas, mark_nulls
from w2s_lib.findings.results import UNMODIFIED, among, say, usual
from w2s_lib.study.methods import POLICY_METHODS, TITLES
from w2s_lib.study.mitigations import FOR_POLICIES, MITIGATIONS, title


@dataclass(frozen=True)
class Panel:
    """One measure, with its own axis."""

    statistic: str
    base: str
    """The student that it is read off: ``explicit``, or ``none`` for what the mitigation does to a student without a conflict."""
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
        text = self.axis.replace("-\n", "-").replace("\n", " ")
        return text[0].upper() + text[1:]


PANELS = (
    Panel("conflict_tax", "explicit", "change of\ntax (points)", (-4.0, 4.0), (-25.0, 25.0), percent=True),
    Panel("deception_score", "explicit", "change of\nDS", (-0.1, 0.1), (-0.6, 0.6)),
    Panel("excess_margin_matched", "explicit", "change of DS −\nmatched null", (-0.1, 0.1), (-0.6, 0.6)),
    Panel("pgr", "none", "change of\nPGR", (-0.2, 0.2), (-0.8, 0.8)),
)
"""What is read of every mitigation, from left to right."""

BETTER = ("← less tax", "", "", "more PGR →")
"""What a trainer wants, above each panel."""

LEVELS = (
    Panel("pgr", "none", "PGR, without\nthe conflict", (-0.05, 1.05), (-0.6, 1.6)),
    Panel("conflict_tax", "explicit", "conflict tax\n(% of the pairs)", (-0.5, 1.0), (-0.5, 75.0), percent=True),
    Panel("deception_score", "explicit", "deception score (DS)\nand its nulls", (-0.02, 1.02), (-0.02, 1.02)),
    Panel("excess_margin_matched", "explicit", "DS − margin-\nmatched null", (-0.1, 0.1), (-0.6, 0.6)),
)
"""What is read of every way of bootstrapping."""


def tried(results: pd.DataFrame) -> list[str]:
    """The mitigations that the results hold, in the order of ``MITIGATIONS``, those that ask the truth last."""
    held = set(among(results, condition="explicit")["mitigation"])
    return sorted((name for name in MITIGATIONS if name in held), key=lambda name: not MITIGATIONS[name].honest)


def ways(results: pd.DataFrame) -> list[str]:
    """The intermediate models of the reward models' bootstrapping that the results hold, in the order of the results."""
    return [name for name in dict.fromkeys(among(results, method="reward_model")["via"]) if name]


def _dots(ax: Axes, rows: Sequence[tuple[float, str, pd.Series, bool]], panel: Panel, unit: str = " %") -> list[str]:
    """Estimates with intervals (height, name, results row, hollow), in the panel's colour and frame; what they are, in words."""
    colour, said, values = CONDITION_COLOURS[panel.base], [], []
    for y, name, row, hollow in rows:
        said.append(f"{name} {say(row, percent=panel.percent).replace(' %', unit)}")
        if pd.isna(row["value"]):
            ax.annotate("undefined", (0, y), xytext=(5, 0), textcoords="offset points", va="center", fontsize=8.5)
            continue
        low, high, value = (panel.scale * row[key] for key in ("low", "high", "value"))
        values.append(value)
        ax.plot([low, high], [y, y], color=GREY if hollow else colour, linewidth=2.2)
        ax.scatter(
            value, y, s=44, marker=MARKERS[panel.base], zorder=3, linewidth=1.5,
            facecolor="none" if hollow else colour, edgecolor=GREY if hollow else colour,
        )  # fmt: skip
    low, high = ax.get_xlim() if values else panel.least
    ax.set_xlim(
        min(max(min(low, panel.least[0]), panel.most[0]), *(1.1 * v for v in values), 0),
        max(min(max(high, panel.least[1]), panel.most[1]), *(1.1 * v for v in values), 0),
    )
    ax.set_xlabel(panel.axis, fontsize=10)
    ax.tick_params(axis="y", length=0)
    ax.spines["left"].set_visible(False)
    return said


def forest(results: pd.DataFrame) -> Figure:
    """Every mitigation of reward models minus no mitigation, a row each: tax, DS, DS minus margin-matched null, PGR, with 95 % intervals.

    ``results``: pooled rows of ``mitigations.what_helps``.  Those that ask the truth stand apart, below.
    """
    names = tried(results)
    heights = [i + 0.7 * (not MITIGATIONS[name].honest) for i, name in enumerate(names)]
    rows = usual(results, method="reward_model", mitigation=None, versus=UNMODIFIED).set_index(
        ["condition", "mitigation", "statistic"]
    )
    figure, axes = canvas(8.4, 0.4 * max(len(names), 1) + 1.9, 1, len(PANELS), sharey=True)
    said = []
    for ax, panel, better in zip(axes, PANELS, BETTER):
        drawn = [
            (y, title(name), rows.loc[(panel.base, name, panel.statistic)], not MITIGATIONS[name].honest)
            for y, name in zip(heights, names)
        ]
        said.append(f"{panel.says}: {'; '.join(_dots(ax, drawn, panel, unit=''))}")
        ax.axvline(0, color=GREY, linewidth=1, linestyle="--")
        ax.set_title(better, fontsize=9.5)
        if any(not MITIGATIONS[name].honest for name in names) and len(names) > 1:
            ax.axhline(heights[-1] - 0.85, color=GREY, linewidth=0.6)
    labels = [title(name) + ("" if MITIGATIONS[name].honest else "\n(asks the truth)") for name in names]
    axes[0].set_yticks(heights, labels)
    axes[0].set_ylim((heights[-1] if names else 0) + 0.7, -0.7)
    shown = ". ".join(said) if names else "The results hold no mitigation: 0 rows"
    return Figure(
        figure,
        f"What each mitigation changes, against no mitigation, with 95 % intervals. {shown}.",
        "Each mitigation minus no mitigation. Squares: under the explicit conflict, measured from the mitigation's own no-conflict student; the matched null is the margin-matched one. Circles: that student's PGR. Hollow: a filter that asks the truth, out of competition. Bars: 95 % intervals over seeds; a bar that leaves the frame goes on.",
    )


def tried_on_policies(results: pd.DataFrame) -> list[tuple[str, str]]:
    """The methods and mitigations of policies that the results hold, in the order of the figure."""
    mine = among(results, condition="implicit")
    held = set(zip(mine["method"], mine["mitigation"]))
    return [(m, name) for m in POLICY_METHODS for name in FOR_POLICIES if (m, name) in held]


def in_policies(results: pd.DataFrame) -> Figure:
    """The paper's two mitigations in its own setting, each minus no mitigation: policies under the implicit conflict.

    ``results``: pooled rows of ``mitigations.what_helps``.
    """
    found = tried_on_policies(results)
    rows = usual(results, mitigation=None, versus=UNMODIFIED).set_index(
        ["method", "condition", "mitigation", "statistic"]
    )
    panels = [replace(panel, base="implicit") if panel.base == "explicit" else panel for panel in PANELS]
    names = [f"{TITLES[m]}: {title(name)}" for m, name in found]
    figure, axes = canvas(8.4, 0.4 * max(len(found), 1) + 1.9, 1, len(panels), sharey=True)
    said = []
    for ax, panel, better in zip(axes, panels, BETTER):
        drawn = [
            (y, names[y], rows.loc[(m, panel.base, name, panel.statistic)], False) for y, (m, name) in enumerate(found)
        ]
        said.append(f"{panel.says}: {'; '.join(_dots(ax, drawn, panel, unit=''))}")
        ax.axvline(0, color=GREY, linewidth=1, linestyle="--")
        ax.set_title(better, fontsize=9.5)
    axes[0].set_yticks(range(len(found)), names)
    axes[0].set_ylim(max(len(found), 1) - 0.4, -0.6)
    shown = ". ".join(said) if found else "The results hold no mitigation of policies: 0 rows"
    return Figure(
        figure,
        f"What two mitigations change in policies, against no mitigation, with 95 % intervals. {shown}.",
        "Each mitigation minus none, in DPO and SimPO. Under the implicit conflict, measured from the mitigation's own no-conflict student; PGR: that student's. Bars: 95 % intervals over seeds.",
    )


def steps(results: pd.DataFrame) -> Figure:
    """Bootstrapping by its intermediate models, beside no mitigation: PGR, tax, DS with its nulls, DS minus margin-matched null, as levels.

    ``results``: pooled rows of ``mitigations.what_helps``.
    """
    through = ways(results)
    shown = [("no intermediate", "", "")]
    if through:
        shown += [(f"via {way}", "bootstrap", way) for way in through] + [("mean of these", "bootstrap", "")]
    mine = usual(results, method="reward_model", mitigation=None, via=None)
    rows = mine.set_index(["condition", "mitigation", "via", "statistic"])
    figure, axes = canvas(8.4, 0.42 * len(shown) + 1.9, 1, len(LEVELS), sharey=True)
    said = []
    for ax, panel in zip(axes, LEVELS):
        drawn = [
            (y, name, rows.loc[(panel.base, *how, panel.statistic)], False) for y, (name, *how) in enumerate(shown)
        ]
        said.append(f"{panel.says}: {'; '.join(_dots(ax, drawn, panel))}")
    pgr, _, score, excess = axes
    nulls = []
    for y, (name, *how) in enumerate(shown):
        random, matched = (rows.loc[("explicit", *how, f"null_{n}"), "value"] for n in ("random", "margin_matched"))
        mark_nulls(score, y + 0.28, random, matched, named=y == 0)
        nulls.append(
            f"{name} {random:.2f} and {matched:.2f}" if random == random and matched == matched else f"{name} undefined"
        )
    excess.axvline(0, color=GREY, linewidth=1, linestyle="--")
    for x in (0, 1):
        pgr.axvline(x, color=GREY, linewidth=1, linestyle=":")
    axes[0].set_yticks(range(len(shown)), [name for name, *_ in shown])
    axes[0].set_ylim(len(shown) - 0.4, -0.6)
    figure.legend(*score.get_legend_handles_labels(), loc="outside lower center", ncols=2)
    return Figure(
        figure,
        f"Bootstrapping by intermediate model, with 95 % intervals. {'. '.join(said)}. Random and margin-matched null: {'; '.join(nulls)}.",
        "One row an intermediate model, from small to large. PGR: 0 is the weak supervisor, 1 the ceiling. Bars: 95 % intervals over seeds; a bar that leaves the frame goes on.",
    )
