"""Figures of the provable toy: where theory promises, and what finite sizes do."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
import seaborn as sns

from w2s_lib.figures.style import CONDITION_COLOURS, DASHED, GREY, ROLE_COLOURS, STUDIES, Figure, canvas
from w2s_lib.findings.provable import SETTINGS
from w2s_lib.measures.intervals import seed_interval

PROMISED = ROLE_COLOURS["strong ceiling"]
"""Fill of where theory promises that the student becomes right."""


def learning_curves(found: Mapping[str, pd.DataFrame]) -> Figure:
    """Accuracy by number of weak labels m = n^u, a panel a setting and a line a size n; the promised window is shaded.

    ``found``: setting's name → frames of ``provable.learning``, one below the other.
    """
    figure, axes = canvas(8.2, 3.8, 1, len(found), sharey=True, squeeze=False)
    said = []
    for ax, (name, frame) in zip(axes[0], found.items()):
        low, high = SETTINGS[name].window()
        ax.axvspan(low, min(high, frame["u"].max()), color=PROMISED, alpha=0.13, linewidth=0)
        for width, (n, mine) in zip((1.2, 2.0, 2.8), frame.groupby("n")):
            by_u = mine.groupby("u")[["student", "weak", "alone"]].mean()
            ax.plot(by_u["student"], color=ROLE_COLOURS["strong student"], linewidth=width, label=f"student, n = {n}")
            ends = by_u["student"].iloc[[0, -1]]
            said.append(f"{name}, n = {n}: student {ends.iloc[0]:.2f} to {ends.iloc[1]:.2f}")
        last = frame[frame["n"] == frame["n"].max()]
        for what, colour, title in (
            ("weak", ROLE_COLOURS["weak supervisor"], "weak supervisor"),
            ("alone", ROLE_COLOURS["strong ceiling"], "strong, on n true labels"),
        ):
            ax.axhline(last[what].mean(), color=colour, linewidth=1.6, linestyle=":", label=title)
            said.append(f"{name}: {title} {last[what].mean():.2f}")
        ax.axhline(0.5, **DASHED)
        ax.set(xlabel="weak labels m = n^u, by u", title=name)
    axes[0][0].set(ylabel="accuracy", ylim=(0.47, 1.01))
    axes[0][0].legend(fontsize=8.5)
    return Figure(
        figure,
        f"Accuracy by number of weak labels. {'; '.join(said)}.",
        "Blue: the student, the thicker the larger n. Dotted: weak supervisor and strong model alone, at the largest "
        "n. Shaded: where the student is proved to become right as n grows, and the weak model to stay at chance.",
    )


def phase_picture(found: pd.DataFrame) -> Figure:
    """Student accuracy over number of weak labels and share of variance, with the promised region's border.

    ``found``: frame of ``provable.phases``.
    """
    grid = found.pivot(index="q", columns="u", values="student").sort_index(ascending=False)
    figure, ax = canvas(6.4, 4.0)
    sns.heatmap(grid, ax=ax, vmin=0.5, vmax=1, cmap="viridis", annot=True, fmt=".2f", annot_kws={"fontsize": 8},
                cbar=False, linewidths=0.6, linecolor="none")  # fmt: skip
    us, inside = grid.columns.to_numpy(), []
    for row, q in enumerate(grid.index):
        low, high = found.loc[found["q"] == q, ["low", "high"]].iloc[0]
        within = [(low < u < high) for u in us]
        inside += [grid.loc[q, u] for u, promised in zip(us, within) if promised]
        for column, promised in enumerate(within):
            for edge, neighbour in ((column, within[column - 1] if column else False),
                                    (column + 1, within[column + 1] if column + 1 < len(us) else False)):  # fmt: skip
                if promised and not neighbour:
                    ax.plot([edge, edge], [row, row + 1], color="#D55E00", linewidth=3)
    ax.set(xlabel="u: weak labels m = n^u", ylabel="q: the larger, the less is favoured")
    ax.tick_params(length=0, labelrotation=0)
    outside = grid.to_numpy().sum() - sum(inside)
    means = np.mean(inside), outside / (grid.size - len(inside))
    return Figure(
        figure,
        f"Student accuracy over exponents u and q; from {grid.to_numpy().min():.2f} to {grid.to_numpy().max():.2f}; "
        f"mean {means[0]:.2f} in the {len(inside)} cells that theory promises, {means[1]:.2f} in the others.",
        "Cells between two vermilion bars fulfil all conditions of the theorem. At this size no edge is to be seen.",
    )


def innocent_scores(found: pd.DataFrame) -> Figure:
    """Tax, score beside its nulls, and what is left of it, of a linear learner, by share of the second label.

    ``found``: frame of ``provable.unintended``.
    """
    by_share = {share: mine for share, mine in found.groupby("share")}
    shares = np.array(list(by_share))
    at = lambda statistic: [seed_interval(mine[statistic]) for mine in by_share.values()]
    figure, (left, middle, right) = canvas(8.4, 3.4, 1, 3)
    colour = CONDITION_COLOURS["implicit"]

    def draw(ax, statistic, **look):
        found = at(statistic)
        value, low, high = (np.array([getattr(i, name) for i in found]) for name in ("value", "low", "high"))
        ax.errorbar(shares, value, yerr=np.abs([value - low, high - value]), **look)
        return f"{statistic.replace('_', ' ')} {value[0]:.2f} to {value[-1]:.2f}"

    said = [draw(left, "conflict_tax", color=colour, fmt="-D", markersize=5)]
    said.append(draw(middle, "deception_score", color=colour, fmt="-D", markersize=5, label="DS"))
    said.append(draw(middle, "null_random", color=GREY, fmt=":", label="random null"))
    said.append(draw(middle, "null_margin_matched", color=GREY, fmt="--", label="margin-matched null"))
    said.append(draw(right, "excess_margin_matched", color=colour, fmt="-D", markersize=5))
    rerun = at("excess_margin_matched")[0].value
    right.axhline(rerun, color=GREY, linewidth=1.2, linestyle=":")
    right.text(shares[-1], rerun, "a rerun's", ha="right", va="bottom", fontsize=9)
    right.axhline(0, **DASHED)
    left.set(title="tax", ylim=(0, None))
    middle.set(title="score and nulls", ylim=(0, 1))
    middle.legend(fontsize=8.5, loc="lower right")
    right.set(title="DS − margin-matched null")
    for ax in (left, middle, right):
        ax.set_xlabel("share of the second label")
    return Figure(
        figure,
        f"A linear learner from share 0, a rerun, to share {shares[-1]:g}: {'; '.join(said)}.",
        "Bars: 95 % intervals over draws of the toy. At a share of nought nothing conflicts: a rerun.",
    )


def innocent_over_threshold(found: pd.DataFrame) -> Figure:
    """DS − margin-matched null of a rerun and of a learner of the second label, over T; and their difference.

    ``found``: frames of ``provable.unintended`` for a share of 0 and another, with their ``threshold``.
    """
    least, most = found["share"].min(), found["share"].max()
    wide = found.pivot(index=["threshold", "seed"], columns="share", values="excess_margin_matched")
    shown = {
        "a rerun": (wide[least], {"color": GREY, "fmt": "-v"}),
        "with the second label": (wide[most], {"color": CONDITION_COLOURS["implicit"], "fmt": "-D"}),
        "the second minus the first": (wide[most] - wide[least], {"color": STUDIES["world"], "fmt": "--o"}),
    }
    figure, ax = canvas(6.4, 3.6)
    said = []
    for name, (values, look) in shown.items():
        intervals = values.groupby("threshold").agg(list).map(seed_interval)
        value, low, high = (np.array([getattr(i, part) for i in intervals]) for part in ("value", "low", "high"))
        ax.errorbar(intervals.index, value, yerr=np.abs([value - low, high - value]), markersize=5, label=name, **look)
        said.append(
            f"{name} {value[0]:.2f} at T = {intervals.index[0]:g} and {value[-1]:.2f} at {intervals.index[-1]:g}"
        )
    ax.axhline(0, **DASHED)
    ax.set(xlabel="T: a model knows a pair where p > T", ylabel="DS − margin-matched null")
    ax.legend(fontsize=9)
    return Figure(
        figure,
        f"DS minus its margin-matched null over the threshold, of linear learners: {'; '.join(said)}.",
        "Nobody deceives here. Bars: 95 % intervals over draws of the toy.",
    )
