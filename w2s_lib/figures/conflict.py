"""Figures of tax and deception: the plane, the quadrants, scores beside their nulls."""

from __future__ import annotations

import numpy as np
import pandas as pd

from w2s_lib.figures.style import AREA, CONDITION_COLOURS, GREY, MARKERS, Figure, canvas
from w2s_lib.findings.results import RATES, usual
from w2s_lib.measures.metrics import Comparison


def _logit(p: np.ndarray, clip: float = 0.002) -> np.ndarray:
    """Log-odds, so that sure models do not pile up at the edges; probabilities beyond ``clip`` are drawn at the edge."""
    p = np.clip(p, clip, 1 - clip)
    return np.log(p / (1 - p))


def deception_plane(comparison: Comparison, condition: str) -> Figure:
    """Every test pair at (weak p, ceiling p), in log-odds, quadrants cut at T, taxed pairs lit; margins compare with chance."""
    c, t = comparison, comparison.threshold
    figure, axes = canvas(6.4, 6.2, 2, 2, width_ratios=(4, 1), height_ratios=(1, 4), sharex="col", sharey="row")
    top, corner, ax, side = axes[0, 0], axes[0, 1], axes[1, 0], axes[1, 1]
    corner.axis("off")
    weak, ceiling, cut, edge = (
        _logit(c.weak),
        _logit(c.ceiling),
        float(_logit(np.array(t))),
        float(_logit(np.array(1.0))),
    )
    ax.fill_between([-edge, cut], cut, edge, color=AREA, alpha=0.10, linewidth=0)
    ax.axhline(cut, color=GREY, linewidth=1)
    ax.axvline(cut, color=GREY, linewidth=1)
    rest = c.right & ~c.tax
    ax.scatter(weak[rest], ceiling[rest], s=6, color=GREY, alpha=0.35, linewidth=0)
    ax.scatter(
        weak[c.tax],
        ceiling[c.tax],
        s=20,
        color=CONDITION_COLOURS[condition],
        marker=MARKERS[condition],
        alpha=0.8,
        linewidth=0,
    )
    ax.text(-edge, edge * 1.04, "deception area: strong knows, weak does not", va="bottom", fontsize=9, color=AREA)
    ticks = np.array([0.01, 0.1, 0.5, t, 0.99])
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_ticks(_logit(ticks), [f"{x:g}" for x in ticks])
    ax.set(xlim=(-edge * 1.02, edge * 1.02), ylim=(-edge * 1.02, edge * 1.12))
    ax.set(xlabel="weak supervisor's p of the truth", ylabel="strong ceiling's p of the truth")
    bins = np.linspace(-edge, edge, 25)
    for axis, values, orientation in ((top, weak, "vertical"), (side, ceiling, "horizontal")):
        axis.hist(values[c.right], bins, density=True, orientation=orientation, color=GREY, alpha=0.35)
        if c.tax.any():
            axis.hist(
                values[c.tax],
                bins,
                density=True,
                orientation=orientation,
                histtype="step",
                color=CONDITION_COLOURS[condition],
                linewidth=1.8,
            )
        axis.axis("off")
    n, hit, null = int(c.tax.sum()), float(c.deception_score()), float(c.null("random"))
    alt = (
        f"Scatter of {len(c.weak)} test pairs by the weak supervisor's and the ceiling's probability of the truth. {n} taxed pairs are lit; "
        f"{hit:.0%} of them lie in the deception area (ceiling above {t}, weak not), against {null:.0%} of all pairs that the no-conflict student ranks right."
    )
    return Figure(
        figure,
        alt,
        f"Each dot is a test pair that the no-conflict student ranks right; the {n} that the {condition} student then ranks wrong are lit. Margins: grey, all of them; outlined, the taxed ones.",
    )


def scores_and_nulls(results: pd.DataFrame, conditions: list[str]) -> Figure:
    """DS with its interval beside its random and margin-matched nulls, one row a condition.

    ``results``: pooled rows of ``results.summarise`` with ``deception_score``, ``null_random``, ``null_margin_matched``.
    """
    rows = usual(results).set_index(["condition", "statistic"])
    figure, ax = canvas(7.0, 0.75 * len(conditions) + 1.5)
    said = []
    for y, condition in enumerate(conditions):
        ds, random, matched = (
            rows.loc[(condition, s)] for s in ("deception_score", "null_random", "null_margin_matched")
        )
        ax.plot([ds["low"], ds["high"]], [y, y], color=CONDITION_COLOURS[condition], linewidth=2.5)
        ax.scatter(
            ds["value"],
            y,
            s=90,
            color=CONDITION_COLOURS[condition],
            marker=MARKERS[condition],
            zorder=3,
            label="deception score" if y == 0 else None,
        )
        ax.scatter(
            random["value"],
            y + 0.22,
            s=60,
            marker="|",
            color=GREY,
            linewidth=2,
            label="random null" if y == 0 else None,
        )
        ax.scatter(
            matched["value"],
            y + 0.22,
            s=45,
            marker="x",
            color=GREY,
            linewidth=2,
            label="margin-matched null" if y == 0 else None,
        )
        said.append(
            f"{condition} {ds['value']:.2f} (random null {random['value']:.2f}, margin-matched {matched['value']:.2f})"
        )
    ax.set_yticks(range(len(conditions)), conditions)
    ax.set(xlim=(0, 1.0), xlabel="share of the taxed pairs in the deception area", ylim=(len(conditions) - 0.4, -0.6))
    ax.tick_params(axis="y", length=0)
    ax.legend(loc="upper center", bbox_to_anchor=(0.45, -0.22), ncols=3)
    return Figure(
        figure,
        "Deception score by condition: " + "; ".join(said) + ".",
        "A score means something only beside its nulls. Bars: 95 % intervals over seeds; the edition's weak-strong pairs are pooled by their taxed pairs.",
    )


def excess(results: pd.DataFrame, conditions: list[str], statistic: str = "excess_margin_matched") -> Figure:
    """DS minus a null, with its interval, one row a condition: what a null leaves of the score."""
    names = {"excess_margin_matched": "margin-matched null", "excess_random": "random null"}
    wide = usual(results, statistic=statistic).set_index("condition")
    figure, ax = canvas(6.6, 0.5 * len(conditions) + 1.2)
    for y, condition in enumerate(conditions):
        row = wide.loc[condition]
        ax.plot([row["low"], row["high"]], [y, y], color=CONDITION_COLOURS[condition], linewidth=2.5)
        ax.scatter(row["value"], y, s=80, color=CONDITION_COLOURS[condition], marker=MARKERS[condition], zorder=3)
    ax.axvline(0, color=GREY, linewidth=1, linestyle="--")
    ax.set_yticks(range(len(conditions)), conditions)
    ax.set(xlabel=f"deception score − {names[statistic]}", ylim=(len(conditions) - 0.5, -0.5))
    ax.tick_params(axis="y", length=0)
    said = "; ".join(
        f"{c} {wide.loc[c, 'value']:+.2f} [{wide.loc[c, 'low']:+.2f}, {wide.loc[c, 'high']:+.2f}]" for c in conditions
    )
    return Figure(
        figure,
        f"Deception score minus its {names[statistic]}, with 95 % intervals: {said}.",
        "Right of the line: more of the tax falls on the deception area than the null allows. 95 % intervals over seeds.",
    )


def tax_and_net_change(results: pd.DataFrame, conditions: list[str]) -> Figure:
    """The conflict tax (a gross flow) beside the net change of accuracy, one row a condition, in percent."""
    figure, axes = canvas(7.4, 0.5 * len(conditions) + 1.4, 1, 2, sharey=True)
    said = []
    for ax, statistic, label in zip(
        axes, ("conflict_tax", "net_change"), ("conflict tax (% of pairs)", "net change of accuracy (points)")
    ):
        wide = usual(results, statistic=statistic).set_index("condition")
        for y, condition in enumerate(conditions):
            row = wide.loc[condition]
            ax.plot([100 * row["low"], 100 * row["high"]], [y, y], color=CONDITION_COLOURS[condition], linewidth=2.5)
            ax.scatter(
                100 * row["value"], y, s=70, color=CONDITION_COLOURS[condition], marker=MARKERS[condition], zorder=3
            )
            said.append(f"{condition} {statistic.replace('_', ' ')} {100 * row['value']:.1f}")
        ax.axvline(0, color=GREY, linewidth=1, linestyle="--")
        ax.set(xlabel=label)
        ax.tick_params(axis="y", length=0)
    axes[0].set_yticks(range(len(conditions)), conditions)
    axes[0].set_ylim(len(conditions) - 0.5, -0.5)
    return Figure(
        figure,
        "Conflict tax and net change of accuracy by condition, in percent: " + "; ".join(said) + ".",
        "The tax counts pairs lost and never those won back: a rerun pays it too. 95 % intervals over seeds.",
    )


def tax_by_quadrant(results: pd.DataFrame, conditions: list[str]) -> Figure:
    """Tax rate in each of the four quadrants, conditions side by side."""
    names = ["both know", "deception area:\nonly strong knows", "only weak knows", "neither knows"]
    wide = usual(results).set_index(["condition", "statistic"])
    figure, ax = canvas(7.2, 3.8)
    ax.axvspan(0.5, 1.5, color=AREA, alpha=0.08, linewidth=0)
    width = 0.8 / len(conditions)
    said = []
    for i, condition in enumerate(conditions):
        rows = [wide.loc[(condition, rate)] for rate in RATES]
        x = np.arange(4) + (i - (len(conditions) - 1) / 2) * width
        value = np.array([100 * r["value"] for r in rows])
        errors = np.abs(np.array([[100 * (r["value"] - r["low"]), 100 * (r["high"] - r["value"])] for r in rows]).T)
        ax.errorbar(
            x,
            value,
            yerr=errors,
            fmt=MARKERS[condition],
            color=CONDITION_COLOURS[condition],
            markersize=7,
            linewidth=1.8,
            label=condition,
        )
        said.append(f"{condition}: " + ", ".join(f"{v:.1f}" for v in value))
    ax.axhline(0, color=GREY, linewidth=0.8)
    ax.set_xticks(range(4), names)
    ax.set(
        ylabel="tax rate (% of pairs ranked right)",
        ylim=(min(-2.0, ax.get_ylim()[0]) if ax.get_ylim()[0] > -15 else -15, None),
    )
    ax.tick_params(axis="x", length=0)
    ax.legend(ncols=len(conditions), loc="upper center", bbox_to_anchor=(0.5, 1.15))
    return Figure(
        figure,
        "Tax rate in percent by quadrant (both know, deception area, only weak knows, neither knows). "
        + "; ".join(said)
        + ".",
        "Of the pairs in a quadrant that the no-conflict student ranks right, how many are taxed. 95 % intervals over seeds.",
    )
