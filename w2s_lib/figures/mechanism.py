"""Figures of the mechanism: where the explicit loss settles, and where the tax is paid."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.patches import Rectangle

from w2s_lib.figures.rows import bars, spread
from w2s_lib.figures.style import AREA, CONDITION_COLOURS, DASHED, GREY, MARKERS, Figure, canvas
from w2s_lib.findings.results import BY_LABEL, TRAINING, usual
from w2s_lib.measures.metrics import band


def fixed_points(alphas: Sequence[float]) -> Figure:
    """Where the student's p settles, by the weak label q: from below 1/2 at q / (1 + alpha), from above at q.

    Theory, no data.
    """
    figure, ax = canvas(6.2, 4.2)
    right, wrong = CONDITION_COLOURS["none"], CONDITION_COLOURS["explicit"]
    q = np.linspace(0, 1, 201)
    ax.plot(q[q >= 0.5], q[q >= 0.5], color=right, linewidth=2)
    ax.text(0.8, 0.86, "ranked right:\nas labelled", color=right, fontsize=9, ha="right")
    ax.text(0.55, 0.1, "ranked wrong, and stays so", color=wrong, fontsize=9)
    shades = np.linspace(0.35, 1.0, len(alphas))
    for alpha, shade in zip(alphas, shades):
        p = q / (1 + alpha)
        ax.plot(q[p < 0.5], p[p < 0.5], color=wrong, alpha=shade, linewidth=1.6)
        end = min(1.0, (1 + alpha) / 2)
        ax.text(end, end / (1 + alpha) + 0.012, f"α = {alpha:g}", color=wrong, fontsize=8, rotation=50, ha="left")
    ax.axhline(0.5, **DASHED)
    ax.axvline(0.5, **DASHED)
    ax.set(xlabel="weak label q for the truth", ylabel="student's p of the truth", xlim=(0, 1.12), ylim=(0, 1.02))
    ends = ", ".join(f"{band(a)[1]:.2f} at alpha {a:g}" for a in alphas)
    return Figure(
        figure,
        f"Fixed points of the explicit loss by weak label: a wrong ranking persists below (1 + alpha)/2, "
        f"that is {ends}.",
        "Above 1/2 on the vertical axis the conflict is silent and p follows the label. Below, it pulls p down to "
        "q / (1 + α): a pair that has fallen stays down as far as its line goes.",
    )


def boundary(results: pd.DataFrame, alphas: Sequence[float], on: str = TRAINING) -> Figure:
    """Tax rate by weak label, one panel an alpha: the predicted band shaded, explicit beside rerun.

    ``results``: pooled rows of ``mechanism.mechanism``; ``on``: *training* pairs, or, where it is empty, test pairs.
    """
    columns = min(3, len(alphas))
    rows = -(-len(alphas) // columns)
    figure, axes = canvas(2.7 * columns + 0.6, 2.4 * rows + 0.6, rows, columns, sharex=True, sharey=True, squeeze=False)
    table = usual(results, on=on).set_index(["statistic", "condition", "alpha"])
    said = []
    for ax, alpha in zip(axes.flat, alphas):
        low, high = band(alpha)
        ax.axvspan(low, min(high, 1.0), color=AREA, alpha=0.12, linewidth=0)
        for condition in ("rerun", "explicit"):
            found = [table.loc[(name, condition, alpha)] for name, _, _ in BY_LABEL]
            x = np.array([(a + b) / 2 for _, a, b in BY_LABEL]) + (0.008 if condition == "explicit" else -0.008)
            bars(ax, x, found, condition, markersize=5, linewidth=1.4)
        inside, above = (table.loc[(f"tax_rate_{where}_band", "explicit", alpha), "value"] for where in ("in", "above"))
        beyond = "" if np.isnan(above) else f", {100 * above:.0f} % above"
        said.append(f"alpha {alpha:g}: {100 * inside:.0f} % in the band{beyond}")
        ax.set_title(f"α = {alpha:g}", fontsize=10)
        ax.set_ylim(-3, 103)
    for ax in axes[-1]:
        ax.set_xlabel("weak label q for the truth")
    for ax in axes[:, 0]:
        ax.set_ylabel("tax rate (%)")
    axes[0, 0].legend(fontsize=8)
    what = "training" if on else "test"
    return Figure(
        figure,
        f"Tax rate of {what} pairs by weak label, one panel an alpha, under the explicit conflict. {'; '.join(said)}.",
        f"Of the {what} pairs that the no-conflict student ranks right, how many are taxed. Shaded: the band that was "
        "predicted, from 1/2 to (1 + α)/2. 95 % intervals over seeds.",
    )


def dose(results: pd.DataFrame, alphas: Sequence[float], threshold: float) -> Figure:
    """Conflict tax and, at one threshold, DS − margin-matched null over alpha, with the reruns'.

    The explicit conflict on weak labels stands beside that on gold labels.
    """
    figure, axes = canvas(7.6, 3.4, 1, 2)
    table = usual(results[results["threshold"].isna() | (results["threshold"] == threshold)])
    table = table.set_index(["statistic", "condition", "alpha"])
    said = []
    for ax, statistic, conditions, scale in (
        (axes[0], "conflict_tax", ("explicit", "gold_explicit", "rerun"), 100),
        (axes[1], "excess_margin_matched", ("explicit", "rerun"), 1),
    ):
        for condition in conditions:
            y, low, high = spread((table.loc[(statistic, condition, a)] for a in alphas), scale)
            colour = CONDITION_COLOURS[condition]
            ax.plot(alphas, y, color=colour, marker=MARKERS[condition], label=condition.replace("_", " "))
            ax.fill_between(alphas, low, high, color=colour, alpha=0.12, linewidth=0)
            said.append(f"{statistic.replace('_', ' ')} {condition} from {y[0]:.2f} to {y[-1]:.2f}")
        ax.set_xscale("log", base=2)
        ax.set_xticks(list(alphas), [f"{a:g}" for a in alphas])
        ax.minorticks_off()
        ax.set_xlabel("α")
    axes[0].axvline(1, **DASHED)
    axes[1].axhline(0, **DASHED)
    axes[0].set_ylabel("conflict tax (% of test pairs)")
    axes[1].set_ylabel("DS − margin-matched null")
    axes[0].legend(fontsize=9)
    return Figure(
        figure,
        f"Dose and response over alpha {alphas[0]:g} to {alphas[-1]:g}: {'; '.join(said)}.",
        "Left: conflict tax; gold labels are predicted to be immune up to the dashed line. Right: what DS has beyond "
        "its margin-matched null. Shading: 95 % intervals over seeds.",
    )


def threshold_and_alpha(results: pd.DataFrame, statistic: str = "excess_margin_matched") -> Figure:
    """A statistic of the explicit conflict over T and alpha; the cells nearest to T = (1 + alpha)/2 are framed."""
    rows = usual(results, statistic=statistic, condition="explicit")
    grid = rows.pivot(index="threshold", columns="alpha", values="value").sort_index(ascending=False)
    figure, ax = canvas(5.6, 3.8)
    limit = max(0.05, float(np.nanmax(np.abs(grid.to_numpy())))) if grid.notna().any().any() else 1.0
    scale = {"vmin": -limit, "vmax": limit, "cmap": "PuOr_r", "cbar": False}
    sns.heatmap(grid, annot=True, fmt="+.2f", annot_kws={"fontsize": 9}, ax=ax, **scale)
    for x, alpha in enumerate(grid.columns):
        nearest = int(np.argmin(np.abs(grid.index.to_numpy() - band(alpha)[1])))
        if band(alpha)[1] <= 1:
            ax.add_patch(Rectangle((x + 0.04, nearest + 0.04), 0.92, 0.92, fill=False, edgecolor=GREY, linewidth=2))
    ax.set(xlabel="α", ylabel="T")
    ax.set_yticklabels([f"{t:g}" for t in grid.index], rotation=0)
    ax.tick_params(length=0)
    low, high = np.nanmin(grid.to_numpy()), np.nanmax(grid.to_numpy())
    return Figure(
        figure,
        f"DS minus its margin-matched null by threshold and alpha, explicit conflict: from {low:+.2f} to {high:+.2f}.",
        "Framed: the T nearest to (1 + α)/2, where *unknown to the weak* and *the conflict can win* mean the same "
        "labels.",
    )
