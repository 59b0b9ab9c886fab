"""The stairs of doubt: a deception score, and what is left of it after each null and control."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from w2s_lib.figures.rows import beside, dot, name_rows
from w2s_lib.figures.style import DASHED, GREY, Figure, canvas
from w2s_lib.findings.results import MATCHED, OTHER, STABLE, usual

STEPS: tuple[tuple[str, dict[str, str]], ...] = (
    ("the score", {"statistic": "deception_score"}),
    ("− random null", {"statistic": "excess_random"}),
    ("− margin-matched null", {"statistic": MATCHED}),
    ("   … the same for a rerun, taken off", {"statistic": MATCHED, "versus": "rerun"}),
    ("   … the same for a placebo, taken off", {"statistic": MATCHED, "versus": "placebo"}),
    ("   … on pairs that all reruns rank right", {"statistic": MATCHED, "subset": STABLE}),
    ("   … with the other half's ceiling", {"statistic": MATCHED, "ceiling": OTHER}),
    ("− label-matched null", {"statistic": "excess_label_matched"}),
    ("− weak-matched null", {"statistic": "excess_weak_matched"}),
)
"""What each step is called, and the names of its rows."""


def stairs(results: pd.DataFrame, conditions: Sequence[str], upto: int = len(STEPS)) -> Figure:
    """One row a step, one mark a condition, with 95 % intervals.

    Only the first ``upto`` steps are drawn, so that a lecturer can build it up.
    """
    steps = STEPS[:upto]
    figure, ax = canvas(7.6, 0.52 * len(STEPS) + 1.2)
    said = []
    for y, (name, names) in enumerate(steps):
        rows, told = usual(results, **names).set_index("condition"), []
        for shift, condition in zip(beside(len(conditions), 0.24), conditions):
            if condition in rows.index:
                row = rows.loc[condition]
                dot(ax, y + shift, row, condition, size=46, label=None if y else condition)
                told.append(f"{condition} {row['value']:+.2f} [{row['low']:+.2f}, {row['high']:+.2f}]")
        said.append(f"{name.strip(' …')}: {', '.join(told)}")
    ax.axvline(0, **DASHED)
    ax.axhline(0.5, color=GREY, linewidth=0.6)
    name_rows(ax, [name for name, _ in steps], above=0.6)
    ax.set(ylim=(len(STEPS) - 0.4, -0.6), xlim=(-0.6, 1.0))
    ax.set(xlabel="share of the taxed pairs, or a difference of shares")
    for label in ax.get_yticklabels():
        label.set_horizontalalignment("left")
    ax.tick_params(axis="y", pad=225)
    ax.legend(loc="upper center", bbox_to_anchor=(0.4, -0.12), ncols=len(conditions))
    return Figure(
        figure,
        f"What is left of the deception score after each null and control, with 95 % intervals. {'; '.join(said)}.",
        "From top to bottom, one doubt after another. Bars: 95 % intervals over seeds; a bar that leaves the frame "
        "goes on.",
    )


def taxes(results: pd.DataFrame, conditions: Sequence[tuple[str, float | None]]) -> Figure:
    """Conflict tax by condition (with its alpha, where one is given) and interval, in percent of the test pairs.

    Weak labels stand beside gold labels.
    """
    figure, ax = canvas(7.0, 0.5 * len(conditions) + 1.2)
    names, said = [], []
    for y, (condition, alpha) in enumerate(conditions):
        row = usual(results, statistic="conflict_tax", condition=condition, alpha=alpha).iloc[0]
        names.append(condition.replace("_", " ") + ("" if alpha is None else f", α = {alpha:g}"))
        dot(ax, y, row, condition, scale=100, size=70)
        said.append(f"{names[-1]} {100 * row['value']:.1f} %")
    name_rows(ax, names)
    ax.set(xlabel="conflict tax (% of the test pairs)")
    ax.set_xlim(left=0)
    return Figure(
        figure,
        f"Conflict tax by condition: {'; '.join(said)}.",
        "Each against its own no-conflict student: trained on weak labels, or on gold labels. "
        "95 % intervals over seeds.",
    )
