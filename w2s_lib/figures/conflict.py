"""Figures of tax and deception: the plane, the quadrants, scores beside their nulls."""

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from w2s_lib.figures.rows import ONE, Measure, Row, bars, dot, draw_nulls, forest, name_rows, offsets
from w2s_lib.figures.style import AREA, CONDITION_COLOURS, GREY, MARKERS, Figure, canvas
from w2s_lib.findings.conflict import placebo_refused
from w2s_lib.findings.results import usual
from w2s_lib.findings.statistics import MATCHED, RATES
from w2s_lib.measures.metrics import Comparison

SURE, STRIP = 0.998, 1.4
"""What is surer than this lies in a strip behind the edge, of so many log-odds; without it, all on one line."""


def _logit(p: np.ndarray | float) -> np.ndarray:
    p = np.clip(p, 1 - SURE, SURE)
    return np.log(p / (1 - p))


EDGE = float(_logit(1.0))


def _place(p: np.ndarray) -> np.ndarray:
    """Log-odds; in the strips, where order means nothing, pairs are spread evenly."""
    odds = _logit(p)
    spread = STRIP * ((np.arange(len(odds)) + 1) * 0.618034 % 1)  # the golden ratio leaves no gaps and no heaps
    return odds + np.sign(odds) * np.where(np.abs(odds) >= EDGE, spread, 0.0)


def log_odds_axes(ax: Axes, c: Comparison, ticks: Sequence[float] = (0.01, 0.1, 0.5, 0.99)) -> list[np.ndarray]:
    """Make an axes the plane of weak and ceiling p, in log-odds, cut at T, the deception area shaded.

    Returns the pairs' places, weak and ceiling.
    """
    cut, end = float(_logit(c.threshold)), EDGE + STRIP
    ax.fill_between([-end, cut], cut, end, color=AREA, alpha=0.10, linewidth=0)
    ax.axhline(cut, color=GREY, linewidth=1)
    ax.axvline(cut, color=GREY, linewidth=1)
    ax.axhline(EDGE, color=GREY, linewidth=0.6, linestyle=":")
    far = np.array(sorted({c.threshold, *(x for x in ticks if abs(_logit(x) - cut) > 1.3)}))  # labels do not meet
    ax.xaxis.set_ticks(_logit(far), [f"{x:g}" for x in far])
    ax.yaxis.set_ticks([*_logit(far), EDGE + STRIP / 2], [*(f"{x:g}" for x in far), f"> {SURE:g}"])
    ax.set(xlim=(-end * 1.02, end * 1.02), ylim=(-end * 1.02, end * 1.12))
    return [_place(c.weak), _place(c.ceiling)]


def deception_plane(comparison: Comparison, condition: str) -> Figure:
    """Every test pair at (weak p, ceiling p), in log-odds, quadrants cut at T, taxed pairs lit.

    The margins compare taxed pairs with all.
    """
    c, t = comparison, comparison.threshold
    figure, axes = canvas(6.4, 6.2, 2, 2, width_ratios=(4, 1), height_ratios=(1, 4), sharex="col", sharey="row")
    (top, corner), (ax, side) = axes
    corner.axis("off")
    weak, ceiling = log_odds_axes(ax, c)
    end, colour, rest = EDGE + STRIP, CONDITION_COLOURS[condition], c.right & ~c.tax
    ax.scatter(weak[rest], ceiling[rest], s=6, color=GREY, alpha=0.35, linewidth=0)
    lit = {"s": 14 if c.tax.sum() > 200 else 20, "color": colour, "marker": MARKERS[condition], "alpha": 0.7}
    ax.scatter(weak[c.tax], ceiling[c.tax], linewidth=0, **lit)
    ax.text(-end, end * 1.03, "deception area: only strong knows", va="bottom", fontsize=9, color=AREA)
    ax.set(xlabel="weak supervisor's p of the truth", ylabel="strong ceiling's p of the truth")
    for axis, values, orientation in ((top, weak, "vertical"), (side, ceiling, "horizontal")):
        shape = {"bins": np.linspace(-end, end, 29), "density": True, "orientation": orientation}
        axis.hist(values[c.right], color=GREY, alpha=0.35, **shape)
        if c.tax.any():
            axis.hist(values[c.tax], histtype="step", color=colour, linewidth=1.8, **shape)
        axis.axis("off")
    n, hit, null = int(c.tax.sum()), float(c.deception_score()), float(c.null("random"))
    return Figure(
        figure,
        f"Scatter of {c.right.sum()} test pairs by the weak supervisor's and the ceiling's probability of the truth. "
        f"{n} taxed pairs are lit; {hit:.0%} of them lie in the deception area (ceiling above {t}, weak not), "
        f"against {null:.0%} of all pairs that the no-conflict student ranks right.",
        f"Each dot is a test pair that the no-conflict student ranks right; the {n} that the {condition} student then "
        f"ranks wrong are lit. Above the dotted line the ceiling is surer than {SURE:g}, and height means nothing. "
        "At the edges: grey, all of them; outlined, the taxed ones.",
    )


def scores_and_nulls(results: pd.DataFrame, conditions: list[str]) -> Figure:
    """DS with its interval beside its random and margin-matched nulls, one row a condition.

    ``results``: pooled rows with ``deception_score``, ``null_random``, ``null_margin_matched``.
    """
    rows = usual(results).set_index(["condition", "statistic"])
    figure, ax = canvas(7.0, 0.75 * len(conditions) + 1.5)
    said = []
    for y, condition in enumerate(conditions):
        score = rows.loc[(condition, "deception_score")]
        random, matched = (rows.loc[(condition, f"null_{name}"), "value"] for name in ("random", "margin_matched"))
        dot(ax, y, score, condition, size=90, label=None if y else "deception score")
        excess_bar = {"color": CONDITION_COLOURS[condition], "alpha": 0.35, "linewidth": 5, "solid_capstyle": "butt"}
        ax.plot([matched, score["value"]], [y + 0.22] * 2, **excess_bar, label=None if y else "difference")
        draw_nulls(ax, y + 0.22, random, matched, named=y == 0, size=1.6)
        said.append(f"{condition} {score['value']:.2f} (random null {random:.2f}, margin-matched {matched:.2f})")
    name_rows(ax, conditions, above=0.6, below=0.6)
    ax.set(xlim=(0, 1.0), xlabel="share of the taxed pairs in the deception area")
    ax.legend(loc="upper center", bbox_to_anchor=(0.45, -0.22), ncols=4, fontsize=10, columnspacing=1.2)
    return Figure(
        figure,
        f"Deception score by condition: {'; '.join(said)}.",
        "A score means something only beside its nulls: look from × to the large mark. Bars: 95 % intervals over "
        f"seeds; the edition's weak-strong pairs are pooled by their taxed pairs. {placebo_refused(results)}".rstrip(),
    )


def _forest(axes: Iterable[Axes], results: pd.DataFrame, conditions: list[str], *measures: Measure) -> str:
    of = lambda measure, condition, _: usual(results, statistic=measure.statistic, condition=condition).iloc[0]
    return ". ".join(forest(axes, [Row(y, name, name) for y, name in enumerate(conditions)], measures, of, size=75))


def excess(results: pd.DataFrame, conditions: list[str]) -> Figure:
    """DS minus its margin-matched null, with its interval, one row a condition: what the null leaves of the score."""
    figure, ax = canvas(6.6, 0.5 * len(conditions) + 1.2)
    measure = Measure("deception score − margin-matched null", MATCHED, conditions=ONE, most=np.inf)
    return Figure(
        figure,
        f"With 95 % intervals, {_forest([ax], results, conditions, measure)}.",
        "Right of the line: more of the tax falls on the deception area than the null allows. "
        f"95 % intervals over seeds. {placebo_refused(results)}".rstrip(),
    )


def tax_and_net_change(results: pd.DataFrame, conditions: list[str]) -> Figure:
    """The conflict tax (a gross flow) beside the net change of accuracy, one row a condition, in percent."""
    figure, axes = canvas(7.4, 0.5 * len(conditions) + 1.4, 1, 2, sharey=True)
    tax = Measure("conflict tax (% of pairs)", "conflict_tax", 100, conditions=ONE, most=np.inf)
    net = Measure("net change of accuracy (points)", "net_change", 100, conditions=ONE, most=np.inf)
    return Figure(
        figure,
        f"By condition, with 95 % intervals. {_forest(axes, results, conditions, tax, net)}.",
        "The tax counts pairs lost and never those won back: a rerun pays it too. 95 % intervals over seeds.",
    )


def tax_by_quadrant(results: pd.DataFrame, conditions: list[str]) -> Figure:
    """Tax rate in each of the four quadrants, conditions side by side, above how many pairs could pay in each."""
    names = ["both know", "deception area:\nonly strong knows", "only weak knows", "neither knows"]
    rows = usual(results).set_index(["condition", "statistic"])
    counted = rows.loc[[(conditions[0], rate) for rate in RATES], "counted"]
    names = [f"{name}\n{count:,.0f} pairs" for name, count in zip(names, counted)]
    figure, ax = canvas(7.2, 3.8)
    ax.axvspan(0.5, 1.5, color=AREA, alpha=0.08, linewidth=0)
    said = []
    for shift, condition in zip(offsets(len(conditions), 0.8 / len(conditions)), conditions):
        of_condition = [rows.loc[(condition, rate)] for rate in RATES]
        values = bars(ax, np.arange(4) + shift, of_condition, condition, markersize=7, linewidth=1.8)
        said.append(f"{condition}: " + ", ".join("no pairs" if np.isnan(value) else f"{value:.1f}" for value in values))
    ax.axhline(0, color=GREY, linewidth=0.8)
    ax.set_xticks(range(4), names)
    ax.set(ylabel="tax rate (% of pairs ranked right)", ylim=(max(-15, min(-2.0, ax.get_ylim()[0])), None))
    ax.tick_params(axis="x", length=0)
    ax.legend(ncols=len(conditions), loc="upper center", bbox_to_anchor=(0.5, 1.15))
    return Figure(
        figure,
        "Tax rate in percent by quadrant (both know, deception area, only weak knows, neither knows). "
        f"{'; '.join(said)}.",
        "Of the pairs in a quadrant that the no-conflict student ranks right, how many are taxed. "
        "95 % intervals over seeds.",
    )
