"""The sealed challenge as a figure: what an entry changes in the world that it was made in, and in another one."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from w2s_lib.figures.style import CONDITION_COLOURS, DASHED, GREY, Figure, canvas
from w2s_lib.findings.results import UNMODIFIED
from w2s_lib.findings.statistics import MATCHED

CHANGE_PANELS = {
    "pgr": ("change of PGR", 1.0),
    "conflict_tax": ("change of tax (points)", 100.0),
    MATCHED: ("change of DS − matched null", 1.0),
}
"""What an entry may change, with the axis' name and scale."""

FAR_OUT = 3.0
"""A change this many times as large as those of three quarters of all entries is written at the edge of its panel."""


def _entries(ax: Axes, x: pd.Series, y: pd.Series, words: Mapping[str, str], near: pd.Series, says: pd.Series) -> None:
    """A numbered mark an entry, full where Holm's test tells its change in its own world from zero; with its changes in
    ``words`` where it is not ``near`` and stands at an edge."""
    colour = CONDITION_COLOURS["none"]
    for i, entry in enumerate(x.index):
        full = colour if says[entry] in ("lower", "higher") else "none"
        ax.scatter(x[entry], y[entry], s=46, zorder=3, edgecolor=colour, facecolor=full)
        left = i % 2 == 1 if near[entry] else x[entry] > 0  # names of neighbours stand on either side
        aside, side = ((-6, 0), "right") if left else ((6, 0), "left")
        look = {"textcoords": "offset points", "fontsize": 9, "ha": side, "va": "center"}
        ax.annotate(f"{i + 1}" if near[entry] else f"{i + 1}: {words[entry]}", (x[entry], y[entry]), aside, **look)


def transfer(found: pd.DataFrame) -> Figure:
    """Each entry's changes in its own world (x) and in the second (y), as of ``findings.challenge.standing``.

    On the dashed line a change is the same in both; entries whose own-world change Holm's test tells from zero are
    full.  Entries without a second world stand at the lower edge, and those that are ``FAR_OUT`` at the nearest one.
    """
    figure, axes = canvas(9.6, 3.9, 1, len(CHANGE_PANELS))
    told, far = [], False
    for ax, (statistic, (axis, scale)) in zip(axes, CHANGE_PANELS.items()):
        rows = found[(found["statistic"] == statistic) & (found["versus"] == UNMODIFIED)]
        rows = rows.assign(entry=rows["title"].where(rows["who"] == "the book", rows["who"] + ": " + rows["title"]))
        x, y = (scale * rows[rows["world"] == world].set_index("entry")["value"] for world in ("own", "second"))
        y, says = y.reindex(x.index), rows[rows["world"] == "own"].set_index("entry")["says"]
        reach = x.abs().combine(y.abs(), np.fmax)
        most = FAR_OUT * reach.quantile(0.75)
        near = ~(reach > most) | (most == 0)
        far |= not near.all()
        ends = np.concatenate([x[near], y[near], [0.0]])
        low, high = np.nanmin(ends), np.nanmax(ends)
        room = 0.12 * (high - low) or 1.0
        ax.plot([low - room, high + room], [low - room, high + room], **DASHED)
        ax.axhline(0, color=GREY, linewidth=0.6)
        ax.axvline(0, color=GREY, linewidth=0.6)
        inside = lambda values: values.clip(low - 0.6 * room, high + 0.6 * room)
        words = {e: f"{x[e]:.2f} and {'unknown' if pd.isna(y[e]) else f'{y[e]:.2f}'}" for e in x.index}
        _entries(ax, inside(x), inside(y.fillna(-np.inf)), words, near, says)
        ax.set(xlim=(low - room, high + room), ylim=(low - room, high + room), xlabel=f"{axis}\nown world")
        ax.set_ylabel("second world")
        ax.set_aspect("equal")
        pairs = "; ".join(f"{entry} {its}" for entry, its in words.items())
        told.append(f"{axis[0].upper()}{axis[1:]}, own world and second: {pairs}")
    names = ", ".join(f"{i + 1} {entry}" for i, entry in enumerate(x.index))
    caption = (
        f"What each entry changes beside no mitigation, in the edition's own world and in the second: {names}. Dashed: "
        "as much in both. Full: told from zero in its own world, all looks of its participant counted."
        + " At an edge, with its changes in both: what is very far out."
        * far
    )
    return Figure(figure, ". ".join(told) + ".", caption)
