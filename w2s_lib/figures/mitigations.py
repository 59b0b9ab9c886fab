"""Figures of mitigations: what each changes, all beside one another; and bootstrapping, step by step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import matplotlib.figure
import numpy as np
import pandas as pd

from w2s_lib.figures.rows import Row, dot, name_rows, nulls, one_line
from w2s_lib.figures.style import DASHED, GREY, Figure, canvas
from w2s_lib.findings.results import MATCHED, UNMODIFIED, among, say, usual
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


PANELS = (
    Panel("excess_margin_matched", "explicit", "change of DS −\nmatched null", (-0.1, 0.1), (-0.6, 0.6)),
    Panel("pgr", "none", "change of\nPGR", (-0.2, 0.2), (-0.8, 0.8)),
    Panel("conflict_tax", "explicit", "change of\ntax (points)", (-4.0, 4.0), (-25.0, 25.0), percent=True),
    Panel("deception_score", "explicit", "change of\nDS", (-0.1, 0.1), (-0.6, 0.6)),
)
"""What is read of every mitigation, from left to right."""

BETTER = ("← less hidden", "more PGR →", "← less tax", "")
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
    """The intermediate models of the reward models' bootstrapping that the results hold, in their order."""
    return [name for name in dict.fromkeys(among(results, method="reward_model")["via"]) if name]


def _panels(
    drawn: Sequence[tuple[str, Sequence[pd.Series], bool]], panels: Sequence[Panel], heights: Sequence[float], unit: str
) -> tuple[matplotlib.figure.Figure, np.ndarray, list[str]]:
    """A panel a measure, a row each: name, results rows in the order of the panels, and whether they are grey.

    Returns figure, axes, and what the panels show, in words.
    """
    figure, axes = canvas(8.4, 0.4 * max(len(drawn), 1) + 1.9, 1, len(panels), sharey=True)
    told = []
    for i, (ax, panel) in enumerate(zip(axes, panels)):
        said, values = [], []
        for y, (name, rows, grey) in zip(heights, drawn):
            row = rows[i]
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


def _changes(results: pd.DataFrame, students: Mapping[tuple[str, str], str], conflict: str) -> tuple:
    """Every mitigation minus no mitigation, a row each; ``students``: the name of each method and mitigation.

    Those that ask the truth are grey, and stand apart, below.
    """
    rows = usual(results, mitigation=None, versus=UNMODIFIED)
    rows = rows.set_index(["method", "mitigation", "condition", "statistic"])
    panels = [panel if panel.base == "none" else replace(panel, base=conflict) for panel in PANELS]
    leaky = [not MITIGATIONS[name].honest for _, name in students]
    heights = [y + 0.7 * asks for y, asks in enumerate(leaky)]
    found = [[rows.loc[(*student, panel.base, panel.statistic)] for panel in panels] for student in students]
    drawn = list(zip(students.values(), found, leaky))
    figure, axes, told = _panels(drawn, panels, heights, unit="")
    for ax, better in zip(axes, BETTER):
        ax.axvline(0, **DASHED)
        ax.set_title(better, fontsize=9.5)
        if any(leaky) and not all(leaky):
            ax.axhline(heights[leaky.index(True)] - 0.85, color=GREY, linewidth=0.6)
    names = [f"{name}\n(asks the truth)" if asks else name for name, _, asks in drawn]
    name_rows(axes, [Row(y, name, name) for y, name in zip(heights, names)], above=0.65, below=0.65, line=False)
    return figure, ". ".join(told)


def by_excess(results: pd.DataFrame) -> list[str]:
    """The mitigations of reward models that the results hold, from the one that lowers DS minus its margin-matched null
    most to the one that raises it most; undefined changes and those that ask the truth stand last."""
    about = {"statistic": MATCHED, "method": "reward_model", "condition": "explicit", "versus": UNMODIFIED}
    change = usual(results, mitigation=None, **about).set_index("mitigation")["value"].fillna(np.inf)
    return sorted(tried(results), key=lambda name: (not MITIGATIONS[name].honest, change[name]))


def forest(results: pd.DataFrame, times: Mapping[str, float] | None = None) -> Figure:
    """Every mitigation of reward models minus no mitigation: DS minus margin-matched null, PGR, tax, and DS.

    ``results``: pooled rows of ``mitigations.what_helps``.  ``times``: the arithmetic of each, as a multiple of no
    mitigation's.  Sorted by the first; those that ask the truth stand apart, below.
    """
    names = by_excess(results)
    cost = lambda name: f" ({times[name]:.1f} ×)" if times and np.isfinite(times[name]) else ""
    students = {("reward_model", name): title(name) + cost(name) for name in names}
    figure, shown = _changes(results, students, "explicit")
    return Figure(
        figure,
        "What each mitigation changes, against no mitigation, with 95 % intervals. "
        f"{shown if names else 'The results hold no mitigation: 0 rows'}.",
        f"Each mitigation minus no mitigation{', with its arithmetic as a multiple' if times else ''}, from the one "
        "that lowers DS − margin-matched null most. Squares: under the explicit conflict, measured from the "
        "mitigation's own no-conflict student; the matched null is the margin-matched one. Circles: its PGR. "
        "Grey: what asks the truth, out of competition. "
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
    figure, shown = _changes(results, {(m, name): f"{TITLES[m]}: {title(name)}" for m, name in found}, "implicit")
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
    drawn = [(name, [rows.loc[(*how, p.base, p.statistic)] for p in LEVELS], False) for name, how in shown.items()]
    figure, axes, said = _panels(drawn, LEVELS, range(len(drawn)), unit=" %")
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
