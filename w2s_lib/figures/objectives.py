"""Figures of other objectives: two aims of supervision and their conflicts, side by side."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd
from matplotlib.axes import Axes

from w2s_lib.figures.style import CONDITION_COLOURS, GREY, MARKERS, Figure, canvas
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


def _mark(condition: str) -> dict[str, str]:
    return {"color": CONDITION_COLOURS.get(condition, GREY), "marker": MARKERS.get(condition, "o")}


def _rows() -> Iterator[tuple[float, str, tuple[str, str] | None]]:
    """Height and name of each row, aim and condition (None for the row that names the aim)."""
    y = 0.0
    for aim, conditions in AIMS.items():
        yield y, aim or "harmlessness", None
        for condition in conditions:
            y += 1
            yield y, label(aim, condition), (aim, condition)
        y += 1.4


def _dots(ax: Axes, results: pd.DataFrame, statistic: str, scale: float = 1.0) -> list[str]:
    """Estimates with their intervals, one row a condition, and a line at zero; what they are, in words."""
    rows, said = usual(results, statistic=statistic, objective=None).set_index(["objective", "condition"]), []
    for y, _, student in _rows():
        if student is None:
            continue
        row, mark = rows.loc[student], _mark(student[1])
        ax.plot([scale * row["low"], scale * row["high"]], [y, y], color=mark["color"], linewidth=2.5)
        ax.scatter(scale * row["value"], y, s=70, zorder=3, **mark)
        said.append(f"{' '.join(student).strip()} {say(row, percent=scale != 1)}")
    ax.axvline(0, color=GREY, linewidth=1, linestyle="--")
    ax.tick_params(axis="y", length=0)
    ax.spines["left"].set_visible(False)
    return said


def _name_rows(ax: Axes) -> None:
    heights, names, students = zip(*_rows())
    ax.set_yticks(heights, names)
    for tick, student in zip(ax.get_yticklabels(), students):
        tick.set_fontweight("bold" if student is None else "normal")
    ax.set_ylim(max(heights) + 0.6, -0.7)


def excess_by_objective(results: pd.DataFrame) -> Figure:
    """DS minus its margin-matched null with 95 % intervals, conditions below the aim of supervision; pooled rows."""
    figure, ax = canvas(6.2, 4.4)
    said = _dots(ax, results, "excess_margin_matched")
    _name_rows(ax)
    low, high = ax.get_xlim()
    ax.set(xlabel="deception score − margin-matched null", xlim=(max(low, -0.6), min(high, 0.6)))
    return Figure(
        figure,
        f"Deception score minus margin-matched null, with 95 % intervals: {'; '.join(said)}.",
        "Right of the line: more of the tax falls on the deception area than its margins allow. Bars: 95 % intervals over seeds; a bar that leaves the frame goes on.",
    )


def taxes(results: pd.DataFrame) -> Figure:
    """Conflict tax beside the net change of accuracy, in percent, conditions below the aim of supervision; pooled rows."""
    figure, axes = canvas(6.8, 4.6, 1, 2, sharey=True)
    said = []
    for ax, statistic, name in zip(
        axes, ("conflict_tax", "net_change"), ("conflict tax\n(% of the pairs)", "net change of\naccuracy (points)")
    ):
        said.append(f"{statistic.replace('_', ' ')}: {'; '.join(_dots(ax, results, statistic, 100.0))}")
        low, high = ax.get_xlim()
        ax.set(xlabel=name, xlim=(max(low, -65), min(high, 65)))
    _name_rows(axes[0])
    return Figure(
        figure,
        f"Conflict tax and net change of accuracy by aim and condition, with 95 % intervals. {'. '.join(said)}.",
        "The tax counts pairs lost and never those won back. Bars: 95 % intervals over seeds; a bar that leaves the frame goes on.",
    )


def tax_by_side(results: pd.DataFrame) -> Figure:
    """Tax rate by what the rival says of the pair, one panel a rival: the conflict beside its rerun and placebo; pooled rows."""
    names = dict.fromkeys(("objective", "subset", "rival"))
    rows = usual(results, statistic="tax_rate", **names).set_index(["objective", "condition", "subset", "rival"])
    figure, axes = canvas(6.8, 3.9, 1, len(RIVALS), sharey=True)
    said = []
    for ax, ((aim, condition), rival) in zip(axes, RIVALS.items()):
        told = []
        for i, mine in enumerate((condition, "rerun", "placebo")):
            for x, name in enumerate(SIDES):
                row, mark, at = rows.loc[(aim, mine, name, rival)], _mark(mine), x + 0.22 * (i - 1)
                ax.plot([at, at], [100 * row["low"], 100 * row["high"]], color=mark["color"], linewidth=1.8)
                ax.scatter(at, 100 * row["value"], s=42, zorder=3, label=mine if x == 0 else None, **mark)
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
        "Of the pairs that the no-conflict student ranks right and on which the rival agrees, is silent or clashes: how many are taxed. 95 % intervals over seeds.",
    )
