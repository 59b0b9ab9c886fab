"""The stairs of doubt: a deception score, and what is left of it after each null and control."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from w2s_lib.figures.rows import ONE, Measure, Row, dot, forest, name_rows, offsets
from w2s_lib.figures.style import DASHED, GREY, Figure, at_step, canvas, step
from w2s_lib.findings.results import OTHER, STABLE, say, usual
from w2s_lib.findings.statistics import MATCHED, attainable_of

NULL_STEPS: tuple[tuple[str, dict[str, str]], ...] = (
    ("the score", {"statistic": "deception_score"}),
    ("− random null", {"statistic": "excess_random"}),
    ("− margin-matched null", {"statistic": MATCHED}),
    ("   … the same for a rerun, taken off", {"statistic": MATCHED, "versus": "rerun"}),
    ("   … the same for a placebo, taken off", {"statistic": MATCHED, "versus": "placebo"}),
    ("   … on pairs that all reruns rank right", {"statistic": MATCHED, "subset": STABLE}),
    ("   … with the other half's ceiling", {"statistic": MATCHED, "ceiling": OTHER}),
    ("− label-matched null", {"statistic": "excess_label_matched"}),
    ("another score − weak-matched null", {"statistic": "excess_weak_matched"}),
)
"""What each step is called, and the names of its rows.  The last is a statistic of its own: of the taxed pairs that the
weak supervisor does not know, the share that the strong ceiling knows, minus its null."""


def _stair(ax: Axes, y: int, results: pd.DataFrame, names: dict[str, str], shifts: dict[str, float]) -> str:
    """Draw one step, a mark a condition, each so far below its middle; returns what it shows, in words."""
    rows, told = usual(results, **names).set_index("condition"), []
    bound = None if "versus" in names else attainable_of(names["statistic"])
    most = usual(results, **names | {"statistic": bound}).set_index("condition")["value"] if bound else {}
    for condition, shift in shifts.items():
        if condition not in rows.index:
            continue
        row = rows.loc[condition]
        with step(ax, y + 1):
            dot(ax, y + shift, row, condition, size=46, label=None if y else condition)
        told.append(f"{condition} {say(row)}")
        if condition in most:
            with step(ax, y + 1):
                ax.scatter(most[condition], y + shift, s=60, marker="|", color=GREY, linewidth=1.8)
            told[-1] += f" of at most {most[condition]:.2f}"
    return ", ".join(told)


def stairs(results: pd.DataFrame, conditions: Sequence[str], upto: int = len(NULL_STEPS)) -> Figure:
    """One row a step, one mark a condition, with 95 % intervals.

    Only the first ``upto`` steps are drawn; on a slide they appear one by one.  Where the rows have it, a tick says
    what a perfect deceiver would have reached."""
    steps = NULL_STEPS[:upto]
    figure, ax = canvas(7.6, 0.52 * len(steps) + 1.3)
    apart = min(0.24, 0.68 / len(conditions))  # four marks keep clear of the next row
    shifts = dict(zip(conditions, offsets(len(conditions), apart)))
    told = "; ".join(f"{n.strip(' …')}: {_stair(ax, y, results, its, shifts)}" for y, (n, its) in enumerate(steps))
    ax.axvline(0, **DASHED)
    # Below the first line something is taken off; below the second another score begins.
    for below in (below for below in (1, len(NULL_STEPS) - 1) if below < len(steps)):
        with step(ax, below + 1):
            ax.axhline(below - 0.5, color=GREY, linewidth=0.6)
    ax.scatter([], [], s=60, marker="|", color=GREY, linewidth=1.8, label="attainable")
    name_rows(ax, [name for name, _ in steps], above=0.6)
    ax.set(
        ylim=(len(steps) - 0.4, -0.6), xlim=(-0.6, 1.0), xlabel="share of the taxed pairs, or a difference of shares"
    )
    for y, label in enumerate(ax.get_yticklabels()):
        label.set_horizontalalignment("left")
        at_step(label, y + 1)
    ax.tick_params(axis="y", pad=225)
    figure.legend(*ax.get_legend_handles_labels(), loc="outside lower center", ncols=len(conditions) + 1)
    return Figure(
        figure,
        f"What is left of the deception score after each null and control, with 95 % intervals. {told}.",
        "From top to bottom, one doubt after another. Bars: 95 % intervals over seeds; a bar that leaves the frame "
        "goes on. Grey ticks: what a perfect deceiver would have reached. Last row, where it is shown: of the taxed "
        "pairs that the weak supervisor does not know, the share that the ceiling knows, minus its null.",
    )


def tax_by_condition(results: pd.DataFrame, conditions: Sequence[tuple[str, float | None]]) -> Figure:
    """Conflict tax by condition (with its alpha, where one is given) and interval, in percent of the test pairs.

    Weak labels stand beside gold labels.
    """
    figure, ax = canvas(7.0, 0.5 * len(conditions) + 1.2)
    of = lambda _, about, __: usual(results, statistic="conflict_tax", condition=about[0], alpha=about[1]).iloc[0]
    named = lambda condition, alpha: condition.replace("_", " ") + ("" if alpha is None else f", α = {alpha:g}")
    rows = [Row(y, named(*about), about) for y, about in enumerate(conditions)]
    measure = Measure("conflict tax (% of the test pairs)", "conflict_tax", 100, conditions=ONE)
    (said,) = forest([ax], rows, [measure], of)
    ax.set_xlim(0, np.nanmax([1.0, *(115 * of(None, about, None)["value"] for about in conditions)]))
    return Figure(
        figure,
        f"By condition, {said}.",
        "Each against its own no-conflict student: trained on weak labels, or on gold labels. "
        "95 % intervals over seeds; a bar that leaves the frame goes on.",
    )
