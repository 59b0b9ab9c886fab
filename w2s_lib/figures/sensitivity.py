"""Figures of sensitivity: scores over T, by definition of knowledge, and how far confidence can be believed."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from w2s_lib.figures.rows import Row, dot, draw_nulls, name_rows, offsets
from w2s_lib.figures.style import CONDITION_COLOURS, DASHED, GREY, MARKERS, ROLE_COLOURS, Figure, canvas, over
from w2s_lib.findings.results import rows_with, say, usual
from w2s_lib.findings.sensitivity import DEFINITIONS, MISCALIBRATED, NEIGHBOURS_TRIED
from w2s_lib.findings.statistics import MATCHED

SCORE_NAMES = {
    "deception_score": "deception score", "null_random": "random null", "null_margin_matched": "margin-matched null",
    "excess_margin_matched": "DS − margin-matched null", "lift": "lift: DS / random null",
}  # fmt: skip
NULL_LINES = {"null_random": "--", "null_margin_matched": ":"}
BLIND = {"excess_margin_matched": 0.0, "lift": 1.0}
"""What a tax that falls blindly would give."""
TOLD = (0.6, 0.75, 0.9)
"""Thresholds that alt texts tell, beside the edition's: a dozen numbers a condition would say less."""


def _number(x: float) -> str:
    return "undefined" if np.isnan(x) else f"{round(x, 2) + 0.0:.2f}"  # adding zero turns -0.0 into 0.0


def _over_threshold(ax: Axes, rows: Mapping[str, pd.DataFrame], condition: str, threshold: float) -> None:
    """One panel: the first statistic of these results rows with its interval, the others as grey lines."""
    (first, main), *others = rows.items()
    colour = CONDITION_COLOURS[condition]
    ax.axvline(threshold, color=GREY, linewidth=0.8)
    if first in BLIND:
        ax.axhline(BLIND[first], **DASHED)
    low, high = main["low"].astype(float), main["high"].astype(float)
    ax.fill_between(main["threshold"], low, high, color=colour, alpha=0.16, linewidth=0, label=over(main))
    ax.plot(main["threshold"], main["value"], color=colour, marker=MARKERS[condition], markersize=5, linewidth=2)
    for name, mine in others:
        look = {"color": GREY, "linestyle": NULL_LINES[name], "linewidth": 2, "label": SCORE_NAMES[name]}
        ax.plot(mine["threshold"], mine["value"], **look)
    ax.set_title(condition, color=colour, loc="left")


def over_threshold(
    results: pd.DataFrame, conditions: Sequence[str], threshold: float, statistics: Sequence[str]
) -> Figure:
    """Statistics over T, one panel a condition: the first in its colour with its interval, the others as grey lines.

    ``results``: pooled rows at many thresholds; ``threshold``: the edition's, marked.
    """
    first, *others = statistics
    figure, axes = canvas(7.4, 5.6, 2, -(-len(conditions) // 2), sharex=True, sharey=True, squeeze=False)
    told = sorted(t for t in {*TOLD, threshold} if np.isclose(results["threshold"], t).any())
    said = []
    for ax, condition in zip(axes.flat, conditions):
        rows = {s: usual(results, condition=condition, statistic=s).sort_values("threshold") for s in statistics}
        _over_threshold(ax, rows, condition, threshold)
        values = (f"{_number(rows_with(rows[first], threshold=float(t))['value'].iloc[0])} at {t:g}" for t in told)
        said.append(f"{condition} {', '.join(values)}")
    for ax in axes.flat[len(conditions) :]:
        ax.axis("off")
    ax = axes.flat[0]
    ax.set(xlim=(0.49, 1.0), ylim=_limits(results, first))
    mark = f" T = {threshold:g}"
    ax.text(threshold, 0.99, mark, transform=ax.get_xaxis_transform(), color=GREY, fontsize=9, va="top")
    figure.supxlabel("T: a model knows a pair where p > T", color=GREY, fontsize=11)
    figure.supylabel("share of the taxed pairs" if others else SCORE_NAMES[first], color=GREY, fontsize=11)
    grey = " and ".join(SCORE_NAMES[name] for name in others)
    if others:
        look = {"loc": "outside upper right", "ncols": len(others), "fontsize": 9}
        figure.legend(*ax.get_legend_handles_labels(), **look)
    return Figure(
        figure,
        f"{SCORE_NAMES[first]} over the threshold T{grey and f', beside {grey}'}, weak-strong pairs pooled: "
        f"{'; '.join(said)}.",
        f"In colour: {SCORE_NAMES[first]}{grey and f'; grey: {grey}'}. Shaded: 95 % intervals, one T at a time; "
        "what leaves the frame goes on.",
    )


def over_neighbours(results: pd.DataFrame, conditions: Sequence[str]) -> Figure:
    """DS − margin-matched null by the number of neighbours: of each condition (left), and minus a rerun's (right).

    ``results``: rows of ``sensitivity.by_neighbours``.
    """
    figure, axes = canvas(7.6, 3.4, 1, 2, sharey=True)
    said = []
    for ax, versus, title in ((axes[0], "", "DS − margin-matched null"), (axes[1], "rerun", "… minus a rerun's")):
        for shift, condition in zip(offsets(len(conditions), 0.12), conditions):
            rows = usual(results, condition=condition, versus=versus).set_index("statistic")
            if rows.empty:
                continue
            rows, colour = rows.loc[[f"{MATCHED}_{k}" for k in NEIGHBOURS_TRIED]], CONDITION_COLOURS[condition]
            x = np.array(NEIGHBOURS_TRIED) * 2**shift
            ax.vlines(x, rows["low"], rows["high"], color=colour, linewidth=1.6, label=over(rows))
            ax.plot(x, rows["value"], color=colour, marker=MARKERS[condition], markersize=5, linewidth=1)
            ends = " to ".join(_number(v) for v in rows["value"].iloc[[0, -1]])
            said.append(f"{condition}{' minus rerun' * bool(versus)} {ends}")
        ax.axhline(0, **DASHED)
        ax.set_xscale("log", base=2)
        ax.set_xticks(NEIGHBOURS_TRIED, [str(k) for k in NEIGHBOURS_TRIED])
        ax.minorticks_off()
        ax.set_title(title, loc="left")
        ax.set_xlabel("neighbours")
    marks = {c: axes[0].plot([], [], color=CONDITION_COLOURS[c], marker=MARKERS[c], label=c)[0] for c in conditions}
    figure.legend(handles=list(marks.values()), loc="outside upper right", ncols=len(conditions), fontsize=9)
    least, most = NEIGHBOURS_TRIED[0], NEIGHBOURS_TRIED[-1]
    return Figure(
        figure,
        f"DS minus its margin-matched null, from {least} to {most} neighbours: " + "; ".join(said) + ".",
        "With how many pairs of nearly the same margin each taxed pair is compared. Bars: 95 % intervals over seeds.",
    )


def _limits(results: pd.DataFrame, statistic: str) -> tuple[float, float]:
    """Limits that hold every estimate, and of wide intervals as much as does not flatten the estimates."""
    if statistic not in BLIND:
        return -0.02, 1.02
    mine, centre = usual(results, statistic=statistic, knowledge=None), BLIND[statistic]
    farthest = np.nanmax(np.abs(mine["value"].to_numpy(float) - centre), initial=0.05)
    widest = np.nanmax(np.abs(mine[["low", "high"]].to_numpy(float) - centre), initial=farthest)
    reach = 1.08 * min(widest, max(5 * farthest, 0.25))
    return (0.0 if statistic == "lift" else centre - reach), centre + reach


def by_definition(results: pd.DataFrame, conditions: Sequence[str]) -> Figure:
    """DS with its nulls, and DS − margin-matched null, at one T, by condition and definition of knowledge."""
    table = usual(results, knowledge=None).set_index(["condition", "knowledge", "statistic"]).sort_index()
    step = len(DEFINITIONS) + 1
    figure, axes = canvas(7.6, 0.34 * step * len(conditions) + 1.2, 1, 2, sharey=True)
    left, right = axes
    rows, said = [], []
    for i, condition in enumerate(conditions):
        told = []
        for y, (name, (knowledge, _)) in enumerate(DEFINITIONS.items(), i * step):
            found = table.loc[(condition, knowledge)]
            score, excess = found.loc["deception_score"], found.loc["excess_margin_matched"]
            dot(left, y, score, condition, size=50)
            dot(right, y, excess, condition, size=50)
            random, matched = found.loc["null_random", "value"], found.loc["null_margin_matched", "value"]
            draw_nulls(left, y, random, matched, named=y == 0, size=2)
            rows.append(Row(y, name, condition))
            told.append(f"{name} {_number(score['value'])}, minus margin-matched null {_number(excess['value'])}")
        left.text(0.0, i * step - 0.62, condition, color=CONDITION_COLOURS[condition], fontsize=11, va="center")
        said.append(f"{condition}: {'; '.join(told)}")
    name_rows(axes, rows, above=1.2, below=0.6)
    left.set(xlim=(-0.03, 1.03), xlabel="deception score, and nulls")
    right.set(xlabel="DS − margin-matched null", xlim=_limits(results, "excess_margin_matched"))
    right.axvline(0, **DASHED)
    figure.legend(*left.get_legend_handles_labels(), loc="outside upper right", ncols=2, fontsize=9)
    return Figure(
        figure,
        f"Deception score by definition of knowledge. {'. '.join(said)}.",
        "The same runs and the same T, three meanings of *known*. "
        "Bars: 95 % intervals; a bar that leaves the frame goes on.",
    )


def reliability_diagram(curves: pd.DataFrame, results: pd.DataFrame) -> Figure:
    """Confidence against accuracy of weak supervisors, no-conflict students and ceilings; how many pairs, below.

    ``curves``: first frame of ``sensitivity.calibration``; ``results``: its second, summarised and pooled.
    """
    names = dict(zip(("weak", "student", "ceiling"), ROLE_COLOURS))
    figure, axes = canvas(7.6, 4.0, 2, 3, sharex=True, sharey="row", height_ratios=(4, 1))
    said = []
    for i, (role, name) in enumerate(names.items()):
        mine, colour = curves[curves["role"] == role], ROLE_COLOURS[name]
        ax, below = axes[:, i]
        ax.plot([0.5, 1], [0.5, 1], **DASHED)
        for _, seed in mine.groupby("seed"):
            ax.plot(seed["confidence"], seed["accuracy"], color=colour, linewidth=1, alpha=0.4)
        total = mine.groupby("bin")["pairs"].sum()
        mean = mine[["confidence", "accuracy"]].mul(mine["pairs"], axis=0).groupby(mine["bin"]).sum().div(total, axis=0)
        ax.plot(mean["confidence"], mean["accuracy"], color=colour, marker="o", markersize=5, linewidth=2)
        below.bar(mean["confidence"], 100 * total / total.sum(), width=0.035, color=colour, alpha=0.6)
        error = results[results["statistic"] == MISCALIBRATED + role].iloc[0]
        ax.set_title(name, color=colour, loc="left")
        said.append(f"{name} {say(error)}")
    ax = axes[0, 0]
    ax.text(0.98, 0.03, "dashed: as sure as right", transform=ax.transAxes, color=GREY, fontsize=9, ha="right")
    ax.set(ylabel="accuracy", xlim=(0.49, 1.01), ylim=(min(0.38, curves["accuracy"].min() - 0.02), 1.02))
    axes[1, 0].set_ylabel("% of pairs")
    axes[1, 1].set_xlabel("confidence max(p, 1 − p)")
    surest = "; ".join(f"{name}: {_surest(curves, role)}" for role, name in names.items())
    told = ", ".join(said)
    return Figure(
        figure,
        f"Confidence against accuracy for three roles. Expected calibration error: {told}. "
        f"In the surest bin, confidence and accuracy are: {surest}.",
        "Below the dashed line a model is surer than it is right. Strong lines: all seeds; faint: one each. "
        f"Expected calibration error: {told}.",
    )


def _surest(curves: pd.DataFrame, role: str) -> str:
    mine = curves[curves["role"] == role]
    top = mine[mine["bin"] == mine["bin"].max()]
    return " and ".join(f"{np.average(top[c], weights=top['pairs']):.2f}" for c in ("confidence", "accuracy"))
