"""Figures of other objectives: two aims of supervision and their conflicts, side by side."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes

from w2s_lib.figures.rows import Row, beside, dot, name_rows, under_headings
from w2s_lib.figures.style import DASHED, GREY, Figure, canvas
from w2s_lib.findings.objectives import RIVALS, SIDES
from w2s_lib.findings.results import say, usual

AIMS = {
    "": ("explicit", "implicit", "verbosity", "rerun", "placebo"),
    "honesty": ("explicit", "implicit", "rerun", "placebo"),
}
"""What supervision aims at, as results name it, and the conditions compared."""


def label(aim: str, condition: str) -> str:
    """The condition with the rival that is mixed in, as an axis names it."""
    rival = RIVALS.get((aim, condition), condition)
    return condition if rival == condition else f"{condition}: {rival}"


def _rows() -> list[Row]:
    """Conditions below the aim of supervision; what a row is about: aim and condition."""
    return under_headings({aim or "harmlessness": [(label(aim, c), (aim, c)) for c in cs] for aim, cs in AIMS.items()})


def _dots(ax: Axes, results: pd.DataFrame, statistic: str, most: float, scale: float = 1.0) -> list[str]:
    """Estimates with their intervals, a row a condition, no farther than ``most`` from the zero line; also in words."""
    rows, said = usual(results, statistic=statistic, objective=None).set_index(["objective", "condition"]), []
    for y, _, student in _rows():
        if student is not None:
            dot(ax, y, rows.loc[student], student[1], scale=scale, size=70)
            said.append(f"{' '.join(student).strip()} {say(rows.loc[student], percent=scale != 1)}")
    ax.axvline(0, **DASHED)
    low, high = ax.get_xlim()
    ax.set_xlim(max(low, -most), min(high, most))
    return said


def excess_by_objective(results: pd.DataFrame) -> Figure:
    """DS minus its margin-matched null with 95 % intervals, conditions below the aim of supervision; pooled rows."""
    figure, ax = canvas(6.2, 4.4)
    said = _dots(ax, results, "excess_margin_matched", most=0.6)
    name_rows(ax, _rows(), above=0.7, below=0.6, line=False)
    ax.set(xlabel="deception score − margin-matched null")
    return Figure(
        figure,
        f"Deception score minus margin-matched null, with 95 % intervals: {'; '.join(said)}.",
        "Right of the line: more of the tax falls on the deception area than its margins allow. "
        "Bars: 95 % intervals over seeds; a bar that leaves the frame goes on.",
    )


def taxes(results: pd.DataFrame) -> Figure:
    """Conflict tax beside the net change of accuracy, in percent, conditions below the aim; pooled rows."""
    figure, axes = canvas(6.8, 4.6, 1, 2, sharey=True)
    names = {"conflict_tax": "conflict tax\n(% of the pairs)", "net_change": "net change of\naccuracy (points)"}
    said = []
    for ax, (statistic, name) in zip(axes, names.items()):
        told = _dots(ax, results, statistic, most=65, scale=100)
        said.append(f"{statistic.replace('_', ' ')}: {'; '.join(told)}")
        ax.set(xlabel=name)
    name_rows(axes, _rows(), above=0.7, below=0.6, line=False)
    return Figure(
        figure,
        f"Conflict tax and net change of accuracy by aim and condition, with 95 % intervals. {'. '.join(said)}.",
        "The tax counts pairs lost and never those won back. "
        "Bars: 95 % intervals over seeds; a bar that leaves the frame goes on.",
    )


def tax_by_side(results: pd.DataFrame) -> Figure:
    """Tax rate by what the rival says of the pair, a panel each: conflict beside rerun and placebo; pooled rows."""
    names = dict.fromkeys(("objective", "subset", "rival"))
    rows = usual(results, statistic="tax_rate", **names).set_index(["objective", "condition", "subset", "rival"])
    figure, axes = canvas(6.8, 3.9, 1, len(RIVALS), sharey=True)
    said = []
    for ax, ((aim, condition), rival) in zip(axes, RIVALS.items()):
        told = []
        for shift, mine in zip(beside(3, 0.22), (condition, "rerun", "placebo")):
            for x, name in enumerate(SIDES):
                row = rows.loc[(aim, mine, name, rival)]
                dot(ax, x + shift, row, mine, scale=100, size=42, upright=True, label=None if x else mine)
                told.append(f"{mine} {name} {say(row, percent=True)}")
        ax.axhline(0, color=GREY, linewidth=0.8)
        for x, name in enumerate(SIDES):
            if pd.isna(rows.loc[(aim, condition, name, rival), "value"]):
                ax.text(x, 1.5, "no pairs", ha="center", va="bottom", fontsize=9, rotation=90)
        ax.set_xticks(range(3), SIDES)
        ax.set(title=f"{rival} against\n{aim or 'harmlessness'}", xlim=(-0.5, 2.5))
        ax.tick_params(axis="x", length=0)
        said.append(f"{rival}: {', '.join(told)}")
    axes[0].set(ylabel="tax rate (% of pairs ranked right)", ylim=(-3, 103))
    handles = {text: handle for ax in axes for handle, text in zip(*ax.get_legend_handles_labels())}
    figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=len(handles))
    return Figure(
        figure,
        f"Tax rate by what the rival prefers (the same reply, nothing, the other reply). {'; '.join(said)}.",
        "Of the pairs that the no-conflict student ranks right and on which the rival agrees, is silent or clashes: "
        "how many are taxed. 95 % intervals over seeds.",
    )
