"""Figures of the mechanism: where the explicit loss settles, and where the tax is paid."""

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from w2s_lib.figures.gap import cell, small_numbers
from w2s_lib.figures.rows import bars, dot, here, of_a_record, spread
from w2s_lib.figures.style import AREA, CONDITION_COLOURS, DASHED, GREY, MARKERS, Figure, canvas, over, step
from w2s_lib.findings.mechanism import REGIONS, at_the_band
from w2s_lib.findings.results import TRAINING, usual
from w2s_lib.findings.statistics import BY_LABEL, MATCHED
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


def rates_by_label(ax: Axes, rows: pd.DataFrame) -> None:
    """Tax rates over the weak label of the explicit conflict and a rerun; ``rows`` by statistic and condition."""
    middle = np.array([(low + high) / 2 for _, low, high in BY_LABEL])
    for shown, (condition, shift) in enumerate((("rerun", -0.008), ("explicit", 0.008)), 2):
        with step(ax, shown):  # on a slide, after what was predicted
            found = [rows.loc[(name, condition)] for name, _, _ in BY_LABEL]
            bars(ax, middle + shift, found, condition, markersize=5, linewidth=1.4)


def limits_of_rates(axes: Iterable[Axes], room: float) -> tuple[float, float]:
    """Limits of axes with tax rates: the largest estimate fits, ``room`` times; an interval that is longer goes on."""
    most = np.nanmax([y for ax in axes for line in ax.lines for y in line.get_ydata()], initial=1.0)
    return -0.03 * most, room * most


def boundary(results: pd.DataFrame, alphas: Sequence[float]) -> Figure:
    """Tax rate of training pairs by weak label, one panel an alpha: the predicted band shaded, explicit beside rerun.

    ``results``: pooled rows of ``mechanism.mechanism``.
    """
    columns = min(3, len(alphas))
    rows = -(-len(alphas) // columns)
    shared = {"sharex": True, "sharey": "row", "squeeze": False}
    figure, axes = canvas(2.7 * columns + 0.6, 2.4 * rows + 0.6, rows, columns, **shared)
    table = usual(results, on=TRAINING).set_index(["statistic", "condition", "alpha"])
    said = []
    for ax, alpha in zip(axes.flat, alphas):
        low, high = band(alpha)
        ax.axvspan(low, min(high, 1.0), color=AREA, alpha=0.12, linewidth=0)
        rates_by_label(ax, table.xs(alpha, level="alpha"))
        inside, above = (table.loc[(f"tax_rate_{where}_band", "explicit", alpha), "value"] for where in ("in", "above"))
        beyond = "" if np.isnan(above) else f", {100 * above:.0f} % above"
        said.append(f"alpha {alpha:g}: {100 * inside:.0f} % in the band{beyond}")
        ax.set_title(f"α = {alpha:g}", fontsize=10)
    for row in axes:
        row[0].set_ylim(*limits_of_rates(row, 1.25))
    for ax in axes[-1]:
        ax.set_xlabel("weak label q")
    for ax in axes[:, 0]:
        ax.set_ylabel("tax rate (%)")
    axes[0, 0].legend(fontsize=8)
    return Figure(
        figure,
        f"Tax rate of training pairs by weak label, a panel an alpha, under the explicit conflict. {'; '.join(said)}.",
        "Of the training pairs that the no-conflict student ranks right, how many are taxed. Shaded: the band that was "
        "predicted, from 1/2 to (1 + α)/2. 95 % intervals over seeds; what leaves the frame goes on, and each row has "
        "a scale of its own.",
    )


def beyond_by_region(results: pd.DataFrame, alphas: Sequence[float], on: str = TRAINING) -> Figure:
    """Tax rate under the explicit conflict minus a rerun's, over alpha: label wrong, in the band, above it.

    ``results``: pooled rows of ``mechanism.mechanism``; ``on``: *training* pairs, or, where it is empty, test pairs.
    """
    rows = usual(results, on=on, versus="rerun", condition="explicit").set_index(["statistic", "alpha"])
    figure, axes = canvas(7.6, 3.2, 1, len(REGIONS), sharex=True, sharey=True)
    said, x = [], np.arange(len(alphas))
    for ax, (region, title) in zip(axes, REGIONS.items()):
        found = [rows.loc[(f"tax_rate_{region}_band", alpha)] for alpha in alphas]
        for at, row in enumerate(found):
            dot(ax, at, row, "explicit", scale=100, size=30, width=1.8, upright=True)
        ax.axhline(0, **DASHED)
        ax.set_xticks(x, [f"{alpha:g}" for alpha in alphas], fontsize=8)
        ax.set_title(title, fontsize=10)
        ax.set_xlabel("α")
        told = ", ".join(f"{100 * r['value']:+.1f} at {a:g}" for r, a in zip(found, alphas) if not np.isnan(r["value"]))
        said.append(f"{title}: {told or 'no pair'}")
    axes[0].set_ylabel("points beyond a rerun's tax")
    axes[0].set_ylim(-8, 40)
    what = "training" if on else "test"
    return Figure(
        figure,
        f"Tax rate of {what} pairs under the explicit conflict minus a rerun's, in points. " + "; ".join(said) + ".",
        f"Of the {what} pairs that the no-conflict student ranks right. From α = 1 on nothing lies above the band. "
        "95 % intervals over seeds; what leaves the frame goes on.",
    )


def trajectories(paths: pd.DataFrame, alpha: float) -> Figure:
    """Reward gaps of training pairs, step by step (below), over the loss that pulls them (above); by region.

    ``paths`` as of ``mechanism.paths``.
    """
    reach = float(np.ceil(np.quantile(np.abs(paths["gap"]), 0.98)))
    d = np.linspace(-reach, reach, 401)
    figure, axes = canvas(7.6, 5.0, 2, len(REGIONS), sharex=True, sharey="row", height_ratios=(2, 3), squeeze=False)
    said = []
    for (above, below), (region, title) in zip(axes.T, REGIONS.items()):
        mine = paths[paths["region"] == region]
        q = mine["q"].median()
        plain = q * np.logaddexp(0, -d) + (1 - q) * np.logaddexp(0, d)
        above.plot(d, plain, color=CONDITION_COLOURS["none"], linewidth=1.2, linestyle="--", label="label alone")
        pulled = plain + alpha * np.where(d <= 0, np.logaddexp(0, d), 0)
        pulled[np.searchsorted(d, 0, side="right")] = np.nan  # the loss jumps where the ranking changes
        above.plot(d, pulled, color=CONDITION_COLOURS["explicit"], linewidth=1.8, label="with the conflict")
        above.set_title(f"{title}\n(loss at q = {q:.2f})", fontsize=10)
        for (_, taxed), path in mine.groupby(["pair_id", "taxed"]):
            colour = CONDITION_COLOURS["explicit" if taxed else "none"]
            below.plot(path["gap"], path["step"], color=colour, alpha=0.6, linewidth=0.9)
        for ax in (above, below):
            ax.axvline(0, color=GREY, linewidth=1, linestyle=":")
        below.set(xlim=(-reach, reach), xlabel="reward gap d")
        end = mine[mine["step"] == mine["step"].max()].groupby("taxed")["gap"].median()
        told = " and ".join(f"{'taxed' if taxed else 'kept'} at {gap:+.1f}" for taxed, gap in end.items())
        said.append(f"{title}: {told}")
    axes[1, 0].invert_yaxis()
    axes[0, 0].set_ylabel("loss")
    axes[1, 0].set_ylabel("training step")
    axes[0, 1].legend(fontsize=8)
    return Figure(
        figure,
        "Reward gaps of single training pairs over the steps of one explicit student's training. Medians at the end: "
        + "; ".join(said)
        + ".",
        "Above, the loss of a pair at the region's median label. Below, time runs downwards; right of the dotted line "
        "a pair is ranked right. Orange: taxed in the end; blue: kept.",
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
            found = [table.loc[(statistic, condition, a)] for a in alphas]
            (y, low, high), colour = spread(found, scale), CONDITION_COLOURS[condition]
            ax.plot(alphas, y, color=colour, marker=MARKERS[condition], label=condition.replace("_", " "))
            here(ax, alphas, found, scale, size=36, color=colour, marker=MARKERS[condition])
            ax.fill_between(alphas, low, high, color=colour, alpha=0.12, linewidth=0, label=over(pd.DataFrame(found)))
            first, last = (round(value, 2) + 0.0 for value in (y[0], y[-1]))
            said.append(f"{statistic.replace('_', ' ')} {condition} from {first:.2f} to {last:.2f}")
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


def threshold_and_alpha(results: pd.DataFrame) -> Figure:
    """The explicit conflict's DS − margin-matched null over T and alpha; framed: T nearest to (1 + alpha)/2."""
    rows = usual(results, statistic=MATCHED, condition="explicit")
    grid = rows.pivot(index="threshold", columns="alpha", values="value").sort_index(ascending=False)
    figure, ax = canvas(5.6, 4.4)
    limit = max(0.05, float(np.nanmax(np.abs(grid.to_numpy())))) if grid.notna().any().any() else 1.0
    scale = {"vmin": -limit, "vmax": limit, "cmap": "PuOr_r", "cbar": False}
    told = rows.assign(told=[cell(row, "+") for _, row in rows.iterrows()])
    texts = told.pivot(index="threshold", columns="alpha", values="told").reindex_like(grid).fillna("")
    sns.heatmap(grid, annot=texts, fmt="", annot_kws={"fontsize": 9}, ax=ax, **scale)
    for x, alpha in enumerate(grid.columns):
        nearest = list(grid.index).index(at_the_band(grid.index, alpha))
        if band(alpha)[1] <= 1:
            ax.add_patch(Rectangle((x + 0.04, nearest + 0.04), 0.92, 0.92, fill=False, edgecolor=GREY, linewidth=2))
    ax.set(xlabel="α", ylabel="T")
    ax.set_yticklabels([f"{t:g}" for t in grid.index], rotation=0)
    ax.tick_params(length=0)
    low, high = np.nanmin(grid.to_numpy()), np.nanmax(grid.to_numpy())
    return Figure(
        figure,
        f"DS minus its margin-matched null by threshold and alpha, explicit conflict: from {low:+.2f} to {high:+.2f}.",
        f"{of_a_record(rows)}{small_numbers(rows)}Framed: the T nearest to (1 + α)/2, where *unknown to the weak* and "
        "*the conflict can win* mean the same labels.",
    )
