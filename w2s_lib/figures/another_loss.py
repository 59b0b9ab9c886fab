"""Figures of another loss: where the explicit conflict can win, where it does, and what that comes to."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from w2s_lib.figures.mechanism import limits_of_rates, rates_by_label
from w2s_lib.figures.rows import dot, draw_nulls, name_rows
from w2s_lib.figures.style import AREA, CONDITION_COLOURS, DASHED, Figure, canvas
from w2s_lib.findings.another_loss import LOSSES_TRIED, resting_places
from w2s_lib.findings.results import TRAINING, rows_with, say, usual
from w2s_lib.findings.statistics import BY_LABEL
from w2s_lib.measures.metrics import borders
from w2s_lib.study.mitigations import title


def loss_name(loss: str) -> str:
    """A loss' name in figures."""
    return title(loss) if loss else "cross-entropy"


def _border(loss: str, alpha: float) -> float:
    return min(borders(alpha)[loss == ""], 1.0)


def resting_places_by_loss(alphas: Sequence[float]) -> Figure:
    """Where the student's p comes to rest by the weak label q, a panel a loss.  Theory, no data."""
    figure, axes = canvas(8.2, 3.2, 1, len(LOSSES_TRIED), sharey=True)
    q = np.linspace(0.002, 0.998, 499)
    for ax, loss in zip(axes, LOSSES_TRIED):
        above = q[q > 0.5]
        settles = np.ones_like(above) if loss == "reverse_cross_entropy" else above
        ax.plot(above, settles, color=CONDITION_COLOURS["none"], linewidth=2)
        for alpha, shade in zip(alphas, np.linspace(0.5, 1.0, len(alphas))):
            p = resting_places(loss, alpha, q)
            ax.plot(q, p, color=CONDITION_COLOURS["explicit"], alpha=shade, linewidth=1.8)
            end, colour = _border(loss, alpha), CONDITION_COLOURS["explicit"]
            ax.axvline(end, color=colour, alpha=0.4, linewidth=1, linestyle=":")
            ax.text(end - 0.01, 0.03, f"α = {alpha:g}", color=colour, fontsize=8, rotation=90, ha="right", va="bottom")
        ax.axhline(0.5, **DASHED)
        ax.set(title=loss_name(loss), xlabel="weak label q", xlim=(0, 1.02), ylim=(-0.02, 1.04))
    axes[0].set_ylabel("p at rest")
    ends = lambda loss: ", ".join(f"{_border(loss, a):.3f} at alpha {a:g}" for a in alphas)
    told = [f"{loss_name(loss)} {ends(loss)}" for loss in LOSSES_TRIED]
    return Figure(
        figure,
        f"Where a pair by itself comes to rest, by its label. A wrong ranking persists below: {'; '.join(told)}.",
        "Blue: ranked right. Orange: ranked wrongly, under the explicit conflict; dotted: the last label at which that "
        "lasts. Under reverse cross-entropy nothing rests before 0 or 1 but a part of the orange line.",
    )


def boundary_by_loss(results: pd.DataFrame, alphas: Sequence[float]) -> Figure:
    """Tax rate of training pairs by weak label, a row an alpha, a column a loss: what was predicted is shaded."""
    shared = {"sharex": True, "sharey": True, "squeeze": False}
    figure, axes = canvas(8.2, 2.3 * len(alphas) + 0.7, len(alphas), len(LOSSES_TRIED), **shared)
    table = usual(results, on=TRAINING, mitigation=None).set_index(["statistic", "condition", "alpha", "mitigation"])
    said = []
    for row, alpha in zip(axes, alphas):
        for ax, loss in zip(row, LOSSES_TRIED):
            ax.axvspan(0.5, _border(loss, alpha), color=AREA, alpha=0.12, linewidth=0)
            rates_by_label(ax, table.xs((alpha, loss), level=("alpha", "mitigation")))
            last = table.loc[(BY_LABEL[-1][0], "explicit", alpha, loss)]
            said.append(f"{loss_name(loss)} at alpha {alpha:g}: {say(last, percent=True)} of the surest labels")
            ax.set_title(f"{loss_name(loss)}, α = {alpha:g}", fontsize=10)
        row[0].set_ylabel("tax rate (%)")
    axes[0, 0].set_ylim(*limits_of_rates(axes.flat, 1.15))
    for ax in axes[-1]:
        ax.set_xlabel("weak label q")
    axes[0, 0].legend(fontsize=8)
    return Figure(
        figure,
        f"Tax rate of training pairs by weak label, loss and alpha. {'; '.join(said)}.",
        "Of the training pairs that the no-conflict student by the same loss ranks right. Shaded: where the loss lets "
        "a wrong ranking last, predicted. 95 % intervals over seeds; what leaves the frame goes on.",
    )


def logits(labelled: pd.DataFrame, alpha: float) -> Figure:
    """The student's logit on its training pairs by their label, without and with the conflict; of ``by_label``."""
    figure, axes = canvas(8.2, 3.2, 1, len(LOSSES_TRIED))
    said, q = [], np.linspace(0.02, 0.98, 97)
    for ax, loss in zip(axes, LOSSES_TRIED):
        ax.plot(q, np.log(q) - np.log1p(-q), label="logit q", **DASHED)
        for condition in ("none", "explicit"):
            mine = labelled[(labelled["loss"] == loss) & (labelled["condition"] == condition)]
            colour = CONDITION_COLOURS[condition]
            ax.plot(mine["q"], mine["middle"], color=colour, linewidth=2, label=condition)
            ax.fill_between(mine["q"], mine["low"], mine["high"], color=colour, alpha=0.15, linewidth=0)
            first, last = mine["middle"].iloc[[0, -1]]
            said.append(f"{loss_name(loss)} {condition} from {first:.1f} to {last:.1f}")
        ax.axhline(0, color=DASHED["color"], linewidth=0.8)
        ax.set(title=loss_name(loss), xlabel="weak label q")
    axes[0].set_ylabel("student's logit z")
    axes[0].legend(fontsize=8)
    return Figure(
        figure,
        f"Median logit on training pairs from the lowest to the highest tenth of labels: {'; '.join(said)}.",
        f"Training pairs by tenths of their label: median and quartiles of the student's logit of the truth, all seeds "
        f"together, conflict at α = {alpha:g}. Dashed: the label itself. Each panel has a scale of its own.",
    )


def losses_side_by_side(results: pd.DataFrame, alphas: Sequence[float]) -> Figure:
    """Every loss at every alpha: tax, DS with its nulls, DS − matched null, each beside a rerun; and PGR."""
    table = usual(results, mitigation=None).set_index(["statistic", "condition", "mitigation"])
    at = lambda *key, alpha: rows_with(table.loc[[key]], alpha=alpha).iloc[0]
    cells = [(loss, alpha) for alpha in alphas for loss in LOSSES_TRIED]
    figure, axes = canvas(8.6, 0.42 * len(cells) + 1.9, 1, 4, sharey=True)
    tax, score, excess, pgr = axes
    told = []
    for y, (loss, alpha) in enumerate(cells):
        for condition, lower in (("explicit", -0.1), ("rerun", 0.2)):
            dot(tax, y + lower, at("conflict_tax", condition, loss, alpha=alpha), condition, scale=100, size=40)
            dot(excess, y + lower, at("excess_margin_matched", condition, loss, alpha=alpha), condition, size=40)
        dot(score, y, at("deception_score", "explicit", loss, alpha=alpha), "explicit", size=40)
        two = (at(f"null_{null}", "explicit", loss, alpha=alpha)["value"] for null in ("random", "margin_matched"))
        draw_nulls(score, y + 0.25, *two, named=y == 0)
        dot(pgr, y, table.loc[("pgr", "none", loss)], "none", size=40)
        said = [say(at("conflict_tax", "explicit", loss, alpha=alpha), percent=True)]
        said += [say(at(name, "explicit", loss, alpha=alpha)) for name in ("deception_score", "excess_margin_matched")]
        told.append(
            f"{loss_name(loss)} at alpha {alpha:g}: {', '.join([*said, say(table.loc[('pgr', 'none', loss)])])}"
        )
    names = ("conflict tax\n(% of the pairs)", "DS and\nits nulls", "DS − margin-\nmatched null", "PGR")
    for ax, name in zip(axes, names):
        ax.set_xlabel(name, fontsize=10)
    tax.set_xlim(left=-1)
    score.set_xlim(-0.02, 1.02)
    excess.axvline(0, **DASHED)
    low, high = pgr.get_xlim()
    pgr.set_xlim(max(low, -1), min(high, 2))
    name_rows(axes, [f"{loss_name(loss)}, α = {alpha:g}" for loss, alpha in cells], above=0.6, below=0.7, line=False)
    figure.legend(*score.get_legend_handles_labels(), loc="outside lower center", ncols=2)
    return Figure(
        figure,
        f"Conflict tax, DS, DS minus margin-matched null, and PGR, by loss and alpha. {'; '.join(told)}.",
        "Squares: the explicit conflict. Triangles: a rerun by the same loss. Circles: PGR without a conflict, which "
        "knows no α. Bars: 95 % intervals over seeds.",
    )
