"""Figures of the capability gap: the whole grid of weak-strong pairs, and what grows along it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.patches import Rectangle

from w2s_lib.figures.style import CONDITION_COLOURS, GREY, MARKERS, Figure, canvas
from w2s_lib.findings.results import LEAST, pick, say, usual
from w2s_lib.models.ranks import rank

NAMES = {
    "accuracy": "accuracy", "pgr": "PGR", "net_change": "net change", "conflict_tax": "conflict tax", "deception_score": "DS",
    "null_random": "random null", "null_margin_matched": "margin-matched null", "excess_margin_matched": "DS − margin-matched null",
}  # fmt: skip
SIGNED = ("net_change", "excess_margin_matched", "pgr")


def heat_maps(results: pd.DataFrame, condition: str, statistics: Sequence[str]) -> Figure:
    """One heat map a statistic over weak (rows) × strong (columns), side by side; ``results`` by weak-strong pair.

    Scores and nulls of one figure share a scale; signed statistics get one that is symmetric about zero.
    """
    mine = usual(results[results["statistic"].isin(statistics)], condition=condition)
    order = list(dict.fromkeys([*mine["weak"], *mine["strong"]]))
    order.sort(key=rank)
    figure, axes = canvas(3.0 * len(statistics) + 0.8, 3.3, 1, len(statistics), squeeze=False)
    said = []
    for ax, statistic in zip(axes[0], statistics):
        rows = mine[mine["statistic"] == statistic]
        grid = rows.pivot(index="weak", columns="strong", values="value").reindex(index=order[:-1], columns=order[1:])
        signed = statistic in SIGNED
        limit = max(0.01, float(np.nanmax(np.abs(grid.to_numpy())))) if grid.notna().any().any() else 1.0
        largest = limit if statistic == "conflict_tax" else 1.0  # scores, nulls and accuracies share a scale
        scale = dict(vmin=-limit, vmax=limit, cmap="PuOr_r") if signed else dict(vmin=0, vmax=largest, cmap="viridis")
        ax.set_facecolor("none")
        for weak, strong in zip(rows["weak"][rows["value"].isna()], rows["strong"][rows["value"].isna()]):
            at = list(grid.columns).index(strong), list(grid.index).index(weak)
            ax.add_patch(Rectangle(at, 1, 1, fill=False, hatch="////", edgecolor=GREY, linewidth=0, alpha=0.5))
        told = [_cell(value, n) for value, n in zip(rows["value"], rows["counted"])]
        texts = rows.assign(told=told).pivot(index="weak", columns="strong", values="told")
        sns.heatmap(
            grid,
            ax=ax,
            annot=texts.reindex(index=order[:-1], columns=order[1:]).fillna(""),
            fmt="",
            cbar=False,
            square=True,
            linewidths=1,
            linecolor="none",
            annot_kws={"fontsize": 8.5},
            **scale,
        )
        ax.set(
            xlabel="strong student",
            ylabel="weak supervisor" if ax is axes[0][0] else "",
            title=NAMES.get(statistic, statistic),
        )
        ax.tick_params(length=0, labelrotation=0, labelsize=8)
        for tick in ax.get_xticklabels():
            tick.set_rotation(30)
        values = rows["value"].dropna()
        said.append(
            f"{NAMES.get(statistic, statistic)} from {values.min():.2f} to {values.max():.2f}"
            if len(values)
            else f"{statistic} undefined"
        )
    alt = f"Heat maps over weak-strong pairs for the {condition} condition: " + "; ".join(said) + "."
    return Figure(
        figure,
        alt,
        f"Condition *{condition}*; means over seeds. {_small_numbers(mine)}Hatched: {_too_few(statistics)}.",
    )


def _cell(value: float, counted: float) -> str:
    """What a cell says: its value and, below, how many pairs it is a share of."""
    number = f"{round(value, 2) + 0.0:.2f}"  # adding zero turns -0.0 into 0.0
    return "" if np.isnan(value) else number if np.isnan(counted) else f"{number}\n{counted:.0f}"


def _small_numbers(rows: pd.DataFrame) -> str:
    return "Below a value: taxed pairs, all seeds together. " if rows["counted"].notna().any() else ""


def _too_few(statistics: Sequence[str]) -> str:
    pairs = f"fewer than {LEAST['deception_score']:g} taxed pairs in every seed, too few for a number"
    return f"a gap below {LEAST['pgr']:g} in every seed" if "pgr" in statistics else pairs


def trend(per_seed: pd.DataFrame, lines: pd.DataFrame, statistic: str, conditions: Sequence[str]) -> Figure:
    """A statistic against the capability gap, one panel a condition: cells as marks (one shade a seed), a line a seed, the slope in words.

    ``per_seed`` as of ``results.measure`` with ``gap``; ``lines`` as of ``results.slopes``.
    """
    cell = ["seed", "weak", "strong"]
    gap = per_seed[per_seed["statistic"] == "gap"].drop_duplicates(cell).set_index(cell)["value"]
    figure, axes = canvas(2.6 * len(conditions) + 0.6, 3.4, 1, len(conditions), sharey=True, squeeze=False)
    said = []
    for ax, condition in zip(axes[0], conditions):
        mine = per_seed[(per_seed["statistic"] == statistic) & (per_seed["condition"] == condition)].dropna(
            subset="value"
        )
        largest = mine["counted"].max()
        for i, (_, group) in enumerate(mine.groupby("seed")):
            x, colour = gap.loc[pd.MultiIndex.from_frame(group[cell])].to_numpy(), CONDITION_COLOURS[condition]
            shade, weight = 0.35 + 0.3 * (i % 3), group["counted"].fillna(1.0).to_numpy()
            size = 6 + 50 * np.sqrt(weight / largest) if group["counted"].notna().any() else 26
            ax.scatter(x, group["value"], s=size, color=colour, marker=MARKERS[condition], alpha=shade, linewidth=0)
            if (weight > 0).sum() > 1 and np.ptp(x) > 0:
                ends = np.array([x.min(), x.max()])
                line = np.polyfit(x, group["value"], 1, w=np.sqrt(weight))
                ax.plot(ends, np.polyval(line, ends), color=colour, alpha=shade, linewidth=1.3)
        if statistic in SIGNED:
            ax.axhline(0, color=GREY, linewidth=1, linestyle="--")
        found = pick(lines, statistic, condition, per="gap")
        ax.set_title(f"{condition}\nslope {say(found)}", fontsize=9, color=CONDITION_COLOURS[condition])
        ax.set(xlabel="capability gap", ylabel=NAMES.get(statistic, statistic) if ax is axes[0][0] else "")
        said.append(f"{condition} {say(found)}")
    return Figure(
        figure,
        f"{NAMES.get(statistic, statistic)} against the capability gap (ceiling minus weak accuracy). Slopes with 95 % intervals: {'; '.join(said)}.",
        "Each mark is a weak–strong pair of one seed, the larger the more of its pairs are taxed; one line a seed, weighed by them. The interval of a slope is over seeds.",
    )
