"""A row each: an estimate with its interval, its nulls beside it, and names at the left."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from w2s_lib.figures.style import CONDITION_COLOURS, DASHED, GREY, HERE, MARKERS, over
from w2s_lib.findings.results import outside, say

HOLLOW = {"facecolor": "none", "label": f"{HERE}None"}
"""Look of marks that are this build's, where others are a record's."""


class Row(NamedTuple):
    """A row of a figure: how far down it stands, its name, and what it is about (None: it heads those below)."""

    y: float
    name: str
    about: Any


ONE = {"": 0.0}
"""In the place of a measure's conditions, where what a row is about says which."""


class Measure(NamedTuple):
    """One measure of a figure: what its axis is called, in lines; what of results, drawn times ``scale``, it shows; the
    conditions, each so far below the middle of a row (``ONE``: whichever the row is about); and how far from a line at
    zero intervals are drawn, where there is such a line."""

    axis: str
    statistic: str
    scale: float = 1.0
    names: Mapping[str, str] = {}
    conditions: Mapping[str, float] = {"explicit": -0.13, "rerun": 0.2}
    most: float | None = None


def headed(rows: Iterable[Row]) -> dict[str, Row]:
    """The rows that are about something, by their names, each after its heading where there is one."""
    heading, found = "", {}
    for row in rows:
        if row.about is None:
            heading = f"{row.name}, "
        else:
            found[heading + row.name] = row
    return found


def on_one_line(axis: str) -> str:
    """The name of an axis, without its lines."""
    return axis.replace("-\n", "-").replace("\n", " ")


def under_headings(groups: Mapping[str, Iterable[tuple[str, Any]]]) -> list[Row]:
    """Rows, given as (name, about), below the heading of their group; groups stand apart."""
    rows, y = [], 0.0
    for heading, members in groups.items():
        rows.append(Row(y, heading, None))
        for name, about in members:
            y += 1
            rows.append(Row(y, name, about))
        y += 1.3
    return rows


def offsets(n: int, step: float) -> np.ndarray:
    """Where ``n`` marks of one row stand, about its middle."""
    return step * (np.arange(n) - (n - 1) / 2)


def dot(
    ax: Axes,
    y: float,
    row: pd.Series,
    condition: str = "",
    scale: float = 1.0,
    size: float = 60,
    width: float = 2.2,
    upright: bool = False,
    **look: Any,
) -> None:
    """A results row at height ``y`` (``upright``: at x): value and interval, times ``scale``, in its condition's look.

    ``look``: ``color`` and ``marker`` where they are not the condition's, and a ``label``.
    """
    look = {"color": CONDITION_COLOURS.get(condition, GREY), "marker": MARKERS.get(condition, "o")} | look
    ends, value, at = [scale * row["low"], scale * row["high"]], scale * row["value"], [y, y]
    ax.plot(*((at, ends) if upright else (ends, at)), color=look["color"], linewidth=width, label=over(row))
    ax.scatter(*((y, value) if upright else (value, y)), s=size, zorder=3, **look)
    here(ax, [y], [row], scale, size, upright, **look)


def here(
    ax: Axes,
    at: Iterable[float],
    rows: Iterable[pd.Series],
    scale: float = 1.0,
    size: float = 60,
    upright: bool = True,
    **look: Any,
) -> None:
    """What this build found, of rows of ``record.beside_record``: hollow marks, with a ! where they lie outside the
    record's prediction interval; nothing of other rows.  ``look``: ``color`` and ``marker``."""
    for y, row in zip(at, rows):
        if row.get("here", "") == "" or pd.isna(row["here"]):
            continue
        place = (y, scale * row["here"]) if upright else (scale * row["here"], y)
        mark = {"facecolor": "none", "edgecolor": look["color"], "marker": look["marker"], "linewidth": 1.1}
        known = None if pd.isna(row["within"]) else bool(row["within"])  # a record does not hold every claim
        ax.scatter(*place, s=1.5 * size, zorder=4, label=f"{HERE}{known}", **mark)
        if outside(row):
            ax.annotate("!", place, (4, 3), textcoords="offset points", color=look["color"], fontweight="bold")


def has_record(rows: pd.DataFrame) -> bool:
    """Whether any of these rows is a record's, with this build's value beside it."""
    return "here" in rows and bool((rows["here"] != "").any())


def of_a_record(rows: pd.DataFrame) -> str:
    """Of a map's cells, in a sentence: that they are a record's, and how many of this build's it does not predict."""
    told = rows["within"].dropna() if has_record(rows) else ()
    out, n = sum(not within for within in told), len(told)
    return f"The record's; of this build's, {out} of {n} lie outside what it predicts (!). " if n else ""


def draw_nulls(ax: Axes, y: float, random: float, matched: float, named: bool, size: float = 1.0) -> None:
    """The random (bar) and margin-matched null (cross) of a score at height ``y``; in the legend where ``named``."""
    labels = ("random null", "margin-matched null") if named else (None, None)
    look = {"color": GREY, "linewidth": 1.6, "zorder": 4}
    ax.scatter(random, y, s=44 * size, marker="|", label=labels[0], **look)
    ax.scatter(matched, y, s=23 * size, marker="x", label=labels[1], **look)


def name_rows(axes: Any, rows: Sequence[str | Row], above: float = 0.5, below: float = 0.5, line: bool = True) -> None:
    """Names at the left of an axis, or of several that share it, with so much room above and below; no ticks, and
    without ``line`` none between names and marks.

    Plain names stand one below the other; headings are bold.
    """
    rows = [row if isinstance(row, Row) else Row(y, row, row) for y, row in enumerate(rows)]
    first, *others = np.ravel(axes)
    first.set_yticks([row.y for row in rows], [row.name for row in rows])
    first.set_ylim(max((row.y for row in rows), default=0) + below, -above)
    for label, row in zip(first.get_yticklabels(), rows):
        label.set_fontweight("bold" if row.about is None else "normal")
    for ax in (first, *others):
        ax.tick_params(axis="y", length=0)
        ax.spines["left"].set_visible(line and ax.spines["left"].get_visible())


def forest(
    axes: Iterable[Axes],
    rows: Sequence[Row],
    measures: Sequence[Measure],
    found: Callable[[Measure, Any, str], pd.Series | None],
    size: float = 60,
) -> list[str]:
    """A panel a measure, and in each the same rows; returns what they show, in words.  ``found``: the results row of a
    panel, of what a row is about and of a condition; None: there is none to draw."""
    told, about = [], headed(rows)
    for ax, measure in zip(axes, measures):
        said, named, alone = [], {""}, len(measure.conditions) == 1
        for name, row in about.items():
            values = []
            for condition, lower in measure.conditions.items():
                if (its := found(measure, row.about, condition)) is None:
                    continue
                look = {"size": size, "label": None if condition in named else condition}
                dot(ax, row.y + lower, its, condition or its["condition"], scale=measure.scale, **look)
                named.add(condition)
                values.append(f"{condition} " * (not alone) + say(its, percent=measure.scale != 1))
            if values:
                said.append(f"{on_one_line(name)}{' ' if alone else ': '}{', '.join(values)}")
        if measure.most is not None:
            ax.axvline(0, **DASHED)
            low, high = ax.get_xlim()
            ax.set_xlim(max(low, -measure.most), min(high, measure.most))
        ax.set_xlabel(measure.axis, fontsize=10)
        told.append(f"{on_one_line(measure.axis)}: {'; '.join(said)}")
    has_headings = len(about) < len(rows)
    name_rows(axes, rows, above=0.8 if has_headings else 0.6, below=0.7, line=False)
    return told


def spread(rows: Iterable[pd.Series], scale: float = 1.0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Values, low and high ends of some results rows, times ``scale``."""
    value, low, high = (scale * pd.DataFrame(rows)[["value", "low", "high"]].to_numpy(dtype=float)).T
    return value, low, high


def bars(ax: Axes, x: Any, rows: Iterable[pd.Series], condition: str, line: str = "", **look: Any) -> np.ndarray:
    """Values of a condition over x, in percent, with intervals as error bars; returns them."""
    rows = list(rows)
    value, low, high = spread(rows, 100)
    look = {"fmt": line + MARKERS[condition], "color": CONDITION_COLOURS[condition], "label": condition} | look
    drawn = ax.errorbar(x, value, yerr=np.abs([value - low, high - value]), **look)
    drawn.lines[2][0].set_label(over(pd.DataFrame(rows)))
    here(ax, np.ravel(x), rows, 100, look.get("markersize", 6) ** 2, color=look["color"], marker=MARKERS[condition])
    return value
