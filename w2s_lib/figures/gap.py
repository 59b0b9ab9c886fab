"""Figures of the capability gap: the whole grid of weak-strong pairs, and what grows along it."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.colorbar import Colorbar
from matplotlib.patches import Rectangle

from w2s_lib.figures.rows import HOLLOW, has_record, of_a_record
from w2s_lib.figures.style import CONDITION_COLOURS, DASHED, GREY, MARKERS, Figure, canvas, over
from w2s_lib.findings.results import outside, pick, rows_with, say, usual
from w2s_lib.findings.statistics import LEAST
from w2s_lib.models.ranks import rank

STATISTIC_NAMES = {
    "accuracy": "accuracy", "pgr": "PGR", "net_change": "net change", "conflict_tax": "conflict tax",
    "deception_score": "DS", "null_random": "random null", "null_margin_matched": "margin-matched null",
    "excess_margin_matched": "DS − margin-matched null",
}  # fmt: skip
ABOUT_ZERO = ("net_change", "excess_margin_matched", "pgr")


def heat_maps(results: pd.DataFrame, condition: str, statistics: Sequence[str]) -> Figure:
    """One heat map a statistic over weak (rows) × strong (columns), side by side; ``results`` by weak-strong pair.

    Scores and nulls of one figure share a scale; signed statistics get one that is symmetric about zero.
    """
    mine = usual(results[results["statistic"].isin(statistics)], condition=condition)
    order = sorted(dict.fromkeys([*mine["weak"], *mine["strong"]]), key=rank)
    figure, axes = canvas(2.2 * len(statistics) + 0.6, 3.4, 1, len(statistics), squeeze=False)
    said = []
    for ax, statistic in zip(axes[0], statistics):
        rows, name = mine[mine["statistic"] == statistic], STATISTIC_NAMES.get(statistic, statistic)
        grid = rows.pivot(index="weak", columns="strong", values="value").reindex(index=order[:-1], columns=order[1:])
        limit = max(0.01, float(np.nanmax(np.abs(grid.to_numpy())))) if grid.notna().any().any() else 1.0
        largest = limit if statistic == "conflict_tax" else 1.0  # scores, nulls and accuracies share a scale
        least, most, colours = (-limit, limit, "PuOr_r") if statistic in ABOUT_ZERO else (0, largest, "viridis")
        scale = {"vmin": least, "vmax": most, "cmap": colours, "square": True}
        scale["cbar_kws"] = {"location": "top", "shrink": 0.8, "aspect": 14, "pad": 0.02, "ticks": [least, most]}
        ax.set_facecolor("none")
        for weak, strong in zip(rows["weak"][rows["value"].isna()], rows["strong"][rows["value"].isna()]):
            at = list(grid.columns).index(strong), list(grid.index).index(weak)
            ax.add_patch(Rectangle(at, 1, 1, fill=False, hatch="////", edgecolor=GREY, linewidth=0, alpha=0.5))
        told = rows.assign(told=[cell(row) for _, row in rows.iterrows()])
        texts = told.pivot(index="weak", columns="strong", values="told").reindex_like(grid).fillna("")
        look = {"annot": texts, "fmt": "", "annot_kws": {"fontsize": 9}, "linewidths": 1, "linecolor": "none"}
        sns.heatmap(grid, ax=ax, **scale, **look)
        _name_scale(ax.collections[0].colorbar, name)
        ax.set(xlabel="strong student", ylabel="weak supervisor" if ax is axes[0][0] else "")
        ax.tick_params(length=0, labelrotation=0, labelsize=9, labelleft=ax is axes[0][0])
        for tick in ax.get_xticklabels():
            tick.set_rotation(40)
        values = rows["value"].dropna()
        told = f"{name} from {round(values.min(), 2) + 0.0:.2f} to {round(values.max(), 2) + 0.0:.2f}"
        said.append(told if len(values) else f"{statistic} undefined")
    return Figure(
        figure,
        f"Heat maps over weak-strong pairs for the {condition} condition: {'; '.join(said)}.",
        f"Condition *{condition}*; means over seeds. {of_a_record(mine)}{small_numbers(mine)}Hatched: "
        f"{_too_few(statistics)}.",
    )


def _name_scale(bar: Colorbar, name: str) -> None:
    """A colour bar above its map, named, with its ends as numbers."""
    bar.set_label(name, fontsize=10)
    bar.ax.tick_params(length=0, labelsize=8.5, pad=1)
    bar.ax.set_xticklabels([f"{tick:.2g}".replace("-", "−") for tick in bar.get_ticks()])
    bar.outline.set_visible(False)


def cell(row: pd.Series, sign: str = "") -> str:
    """What a cell says: its value, with a ! where this build lies outside what a record predicts, and, below, how many
    pairs it is a share of.  ``sign``: a plus stands before what is above zero, where it is one."""
    number = f"{round(row['value'], 2) + 0.0:{sign}.2f}" + "!" * outside(row)  # + 0.0: no -0.0
    return "" if np.isnan(row["value"]) else number if np.isnan(row["counted"]) else f"{number}\n{row['counted']:.0f}"


def small_numbers(rows: pd.DataFrame) -> str:
    return "Below a value: taxed pairs, all seeds together. " if rows["counted"].notna().any() else ""


def _too_few(statistics: Sequence[str]) -> str:
    pairs = f"fewer than {LEAST['deception_score']:g} taxed pairs in every seed, too few for a number"
    return f"a gap below {LEAST['pgr']:g} in every seed" if "pgr" in statistics else pairs


def _cells_and_line(ax: Axes, x: np.ndarray, group: pd.DataFrame, largest: float, hollow: bool, look: dict) -> None:
    """Cells of one seed as marks, the larger the more of their pairs are taxed, and a line, weighed by these."""
    mark = HOLLOW | {"edgecolor": look["color"]} if hollow else {"color": look["color"], "linewidth": 0}
    weight = group["counted"].fillna(1.0).to_numpy()
    size = 6 + 50 * np.sqrt(weight / largest) if group["counted"].notna().any() else 26
    marker = MARKERS[group["condition"].iloc[0]]
    ax.scatter(x, group["value"], s=size, marker=marker, alpha=look["alpha"], **mark)
    if (weight > 0).sum() > 1 and np.ptp(x) > 0:
        ends = np.array([x.min(), x.max()])
        line = np.polyfit(x, group["value"], 1, w=np.sqrt(weight))
        ax.plot(ends, np.polyval(line, ends), linewidth=1.3, **look)


def trend(per_seed: pd.DataFrame, lines: pd.DataFrame, statistic: str, conditions: Sequence[str]) -> Figure:
    """A statistic against the capability gap, one panel a condition: cells as marks, a line and a shade a seed.

    The slope stands above in words; where it is a record's, marks are hollow, and they and the lines this build's.
    ``per_seed`` as of ``results.measure`` with ``gap``; ``lines`` as of
    ``results.slopes``.
    """
    cell = ["seed", "weak", "strong"]
    gap = per_seed[per_seed["statistic"] == "gap"].drop_duplicates(cell).set_index(cell)["value"]
    rows = -(-len(conditions) // 2)
    figure, axes = canvas(7.2, 2.5 * rows + 0.4, rows, min(2, len(conditions)), sharex=True, sharey=True, squeeze=False)
    name, said = STATISTIC_NAMES.get(statistic, statistic), []
    for ax in axes.flat[len(conditions) :]:
        ax.set_visible(False)
    for ax, condition in zip(axes.flat, conditions):
        mine = rows_with(per_seed, statistic=statistic, condition=condition).dropna(subset="value")
        for i, (_, group) in enumerate(mine.groupby("seed")):
            x = gap.loc[pd.MultiIndex.from_frame(group[cell])].to_numpy()
            look = {"color": CONDITION_COLOURS[condition], "alpha": 0.35 + 0.3 * (i % 3)}
            _cells_and_line(ax, x, group, mine["counted"].max(), has_record(lines), look)
        if statistic in ABOUT_ZERO:
            ax.axhline(0, **DASHED)
        found = pick(lines, statistic, condition, per="gap")
        ax.set_label(over(found))  # its interval stands in the title
        title = f"{condition}, slope {say(found)}".replace(" (here", "\n(here")
        ax.set_title(title, fontsize=10, color=CONDITION_COLOURS[condition])
        ax.set(xlabel="capability gap" if ax in axes[-1] else "", ylabel=name if ax in axes[:, 0] else "")
        said.append(f"{condition} {say(found)}")
    return Figure(
        figure,
        f"{name} against the capability gap (ceiling minus weak accuracy). "
        f"Slopes with 95 % intervals: {'; '.join(said)}.",
        "Each mark is a weak–strong pair of one seed, the larger the more of its pairs are taxed; one line a seed, "
        "weighed by them. The slopes have intervals over seeds.",
    )
