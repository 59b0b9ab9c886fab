"""Figures of other objectives: two aims of supervision and their conflicts, side by side."""

from collections.abc import Iterable

import pandas as pd
from matplotlib.axes import Axes

from w2s_lib.figures.rows import ONE, Measure, dot, forest, offsets, under_headings
from w2s_lib.figures.style import GREY, Figure, canvas
from w2s_lib.findings.objectives import RIVAL_MIXED_IN, RIVAL_SIDES
from w2s_lib.findings.results import pick, say, usual
from w2s_lib.findings.statistics import MATCHED

CONDITIONS_BY_AIM = {
    "": ("explicit", "implicit", "verbosity", "rerun", "placebo"),
    "honesty": ("explicit", "implicit", "rerun", "placebo"),
}
"""What supervision aims at, as results name it, and the conditions compared."""


def condition_with_rival(aim: str, condition: str) -> str:
    """The condition with the rival that is mixed in, as an axis names it."""
    rival = RIVAL_MIXED_IN.get((aim, condition), condition)
    return condition if rival == condition else f"{condition}: {rival}"


def _forest(axes: Iterable[Axes], results: pd.DataFrame, *measures: Measure) -> list[str]:
    """A panel a measure, conditions below the aim of supervision; returns what they show, in words."""
    groups = {
        aim or "harmlessness": [(condition_with_rival(aim, c), (aim, c)) for c in cs]
        for aim, cs in CONDITIONS_BY_AIM.items()
    }
    of = lambda measure, about, _: pick(results, measure.statistic, about[1], objective=about[0])
    return forest(axes, under_headings(groups), measures, of, size=70)


def excess_by_objective(results: pd.DataFrame) -> Figure:
    """DS minus its margin-matched null with 95 % intervals, conditions below the aim of supervision; pooled rows."""
    figure, ax = canvas(6.2, 4.4)
    measure = Measure("deception score − margin-matched null", MATCHED, conditions=ONE, most=0.6)
    (said,) = _forest([ax], results, measure)
    return Figure(
        figure,
        f"By aim and condition, with 95 % intervals, {said}.",
        "Right of the line: more of the tax falls on the deception area than its margins allow. "
        "Bars: 95 % intervals over seeds; a bar that leaves the frame goes on.",
    )


def tax_by_objective(results: pd.DataFrame) -> Figure:
    """Conflict tax beside the net change of accuracy, in percent, conditions below the aim; pooled rows."""
    figure, axes = canvas(6.8, 4.6, 1, 2, sharey=True)
    tax = Measure("conflict tax\n(% of the pairs)", "conflict_tax", 100, conditions=ONE, most=65)
    net = Measure("net change of\naccuracy (points)", "net_change", 100, conditions=ONE, most=65)
    said = _forest(axes, results, tax, net)
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
    figure, axes = canvas(6.8, 3.9, 1, len(RIVAL_MIXED_IN), sharey=True)
    said = []
    for ax, ((aim, condition), rival) in zip(axes, RIVAL_MIXED_IN.items()):
        told = []
        for shift, mine in zip(offsets(3, 0.22), (condition, "rerun", "placebo")):
            for x, name in enumerate(RIVAL_SIDES):
                row = rows.loc[(aim, mine, name, rival)]
                dot(ax, x + shift, row, mine, scale=100, size=42, upright=True, label=None if x else mine)
                told.append(f"{mine} {name} {say(row, percent=True)}")
        ax.axhline(0, color=GREY, linewidth=0.8)
        for x, name in enumerate(RIVAL_SIDES):
            if pd.isna(rows.loc[(aim, condition, name, rival), "value"]):
                ax.text(x, 1.5, "no pairs", ha="center", va="bottom", fontsize=9, rotation=90)
        ax.set_xticks(range(3), RIVAL_SIDES)
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
