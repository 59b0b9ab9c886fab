"""Figures of preference optimisation: what policies gain, what conflicts cost them, what they say beside how they rank."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from w2s_lib.figures.generalization import MARKS
from w2s_lib.figures.style import CONDITION_COLOURS, GREY, MARKERS, ROLES, Figure, canvas, mark_nulls
from w2s_lib.findings.results import say, usual
from w2s_lib.study.conditions import POLICY
from w2s_lib.study.methods import TITLES

OPTIONS = {("", ""): "", ("soft", ""): " on soft labels", ("", "after"): " after SFT"}
"""What differs from a method's own recipe, as results name it (``labels``, ``sft``), and how figures do."""

LABELS = {"none": "no conflict", "implicit_quarter": "implicit, a quarter"}
"""Conditions whose name on an axis is not their own."""


@dataclass(frozen=True)
class Group:
    """Rows of a figure that belong together: the conditions of one method, or of one of its options."""

    method: str
    option: tuple[str, str]
    conditions: tuple[str, ...]

    @property
    def title(self) -> str:
        return TITLES[self.method] + OPTIONS[self.option]


def _by_student(results: pd.DataFrame) -> pd.DataFrame:
    """Rows by method, condition, option (``labels``, ``sft``) and statistic."""
    return (
        usual(results, labels=None, sft=None)
        .set_index(["method", "condition", "labels", "sft", "statistic"])
        .sort_index()
    )


def groups(results: pd.DataFrame, statistic: str) -> list[Group]:
    """Every method and option that the results hold, with the conditions for which they hold this statistic."""
    there = set(_by_student(results).xs(statistic, level="statistic").index)
    all_of_them = [
        Group(method, option, tuple(c for c in POLICY if (method, c, *option) in there))
        for option in OPTIONS
        for method in TITLES
    ]
    return [g for g in all_of_them if g.conditions]


def _rows(shown: Sequence[Group]) -> Iterator[tuple[float, Group, str | None]]:
    """Height, group and condition of each row; the condition of a group's heading is None."""
    y = 0.0
    for group in shown:
        yield y, group, None
        for condition in group.conditions:
            y += 1
            yield y, group, condition
        y += 1.3


def _name_rows(ax: Axes, shown: Sequence[Group]) -> None:
    heights, of, conditions = zip(*_rows(shown))
    ax.set_yticks(heights, [g.title if c is None else LABELS.get(c, c) for g, c in zip(of, conditions)])
    for tick, condition in zip(ax.get_yticklabels(), conditions):
        tick.set_fontweight("bold" if condition is None else "normal")
    ax.set_ylim(max(heights) + 0.7, -0.8)


def _height(shown: Sequence[Group]) -> float:
    return 0.25 * max(y for y, _, _ in _rows(shown)) + 1.5


def _dots(
    ax: Axes,
    rows: pd.DataFrame,
    shown: Sequence[Group],
    statistic: str,
    scale: float = 1.0,
    hollow: bool = False,
    shift: float = 0.0,
) -> list[str]:
    """Estimates with their intervals, one row a condition; what they are, in words."""
    said = []
    for y, group, condition in _rows(shown):
        if condition is None:
            continue
        row, colour = rows.loc[(group.method, condition, *group.option, statistic)], CONDITION_COLOURS[condition]
        ax.plot(
            [scale * row["low"], scale * row["high"]], [y + shift] * 2, color=colour, linewidth=1.4 if hollow else 2.4
        )
        ax.scatter(
            scale * row["value"], y + shift, s=34, marker=MARKERS[condition], zorder=3, linewidth=1.4,
            facecolor="none" if hollow else colour, edgecolor=colour,
        )  # fmt: skip
        said.append(f"{group.title}, {LABELS.get(condition, condition)} {say(row, percent=scale != 1)}")
    ax.tick_params(axis="y", length=0)
    ax.spines["left"].set_visible(False)
    return said


def by_method(per_seed: pd.DataFrame, results: pd.DataFrame) -> Figure:
    """Accuracies of weak supervisor, student and ceiling on one line a method and option (seeds faint), PGR at the right.

    ``per_seed`` and pooled ``results`` as of ``policies.preference_optimisation``.
    """
    shown = groups(results, "accuracy_ceiling")
    figure, ax = canvas(7.4, 0.55 * len(shown) + 1.4)
    said = []
    for y, group in enumerate(shown):
        student = dict(zip(("method", "condition", "labels", "sft"), (group.method, "none", *group.option)))
        mine = usual(results, **student).set_index("statistic")
        ax.plot(
            [mine.loc["accuracy_weak", "value"], mine.loc["accuracy_ceiling", "value"]], [y, y], color=GREY, linewidth=1
        )
        for statistic, role, marker in MARKS:
            seeds = usual(per_seed, statistic=statistic, **student).groupby("seed")["value"].mean()
            ax.scatter(seeds, np.full(len(seeds), y + 0.22), s=14, marker=marker, color=ROLES[role], alpha=0.45)
            ax.scatter(
                mine.loc[statistic, "value"],
                y,
                s=70,
                marker=marker,
                color=ROLES[role],
                zorder=3,
                label=role if y == 0 else None,
            )
        pgr = mine.loc["pgr"]
        ax.text(
            1.03,
            y,
            "gap too small" if np.isnan(pgr["value"]) else say(pgr),
            va="center",
            fontsize=10,
            transform=ax.get_yaxis_transform(),
        )
        values = ", ".join(f"{role} {say(mine.loc[statistic])}" for statistic, role, _ in MARKS)
        said.append(f"{group.title}: {values}, PGR {say(pgr)}")
    ax.text(1.03, -0.5, "PGR", va="bottom", fontsize=10, transform=ax.get_yaxis_transform())
    ax.set_yticks(range(len(shown)), [g.title for g in shown])
    ax.set(xlabel="accuracy on the test pairs", ylim=(len(shown) - 0.5, -0.7))
    ax.tick_params(axis="y", length=0)
    ax.spines["left"].set_visible(False)
    figure.legend(*ax.get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return Figure(
        figure,
        f"Accuracy of weak supervisor, student and ceiling, and performance gap recovered, by method. {'; '.join(said)}.",
        "Large marks: means over seeds; small ones: single seeds. At the right, PGR with its 95 % interval, over the seeds whose gap is at least 0.05. Weak supervisor and ceiling are trained by the method of the row.",
    )


def tax_and_scores(results: pd.DataFrame) -> Figure:
    """Conflict tax; DS beside its random and margin-matched nulls; what the latter leaves of it: conditions below their method.

    ``results``: pooled rows of ``policies.preference_optimisation``.
    """
    shown, rows = groups(results, "conflict_tax"), _by_student(results)
    figure, axes = canvas(8.2, _height(shown), 1, 3, sharey=True)
    taxes = _dots(axes[0], rows, shown, "conflict_tax", 100.0)
    scores = _dots(axes[1], rows, shown, "deception_score")
    excesses = _dots(axes[2], rows, shown, "excess_margin_matched")
    nulls = []
    for y, group, condition in _rows(shown):
        if condition is not None:
            random, matched = (
                rows.loc[(group.method, condition, *group.option, f"null_{n}"), "value"]
                for n in ("random", "margin_matched")
            )
            mark_nulls(axes[1], y + 0.3, random, matched, named=not nulls)
            nulls.append(f"(nulls {random:.2f} and {matched:.2f})" if random == random else "")
    axes[1].set_xlim(-0.02, 1.02)
    axes[2].axvline(0, color=GREY, linewidth=1, linestyle="--")
    low, high = axes[2].get_xlim()
    axes[2].set_xlim(max(low, -0.6), min(high, 0.6))
    axes[0].set_xlim(-1, min(max(axes[0].get_xlim()[1], 1), 75))
    for ax, name in zip(
        axes, ("conflict tax\n(% of the pairs)", "deception score (DS)\nand its nulls", "DS −\nmargin-matched null")
    ):
        ax.set_xlabel(name)
    _name_rows(axes[0], shown)
    figure.legend(*axes[1].get_legend_handles_labels(), loc="outside lower center", ncols=2)
    of_scores = "; ".join(f"{text} {null}".rstrip() for text, null in zip(scores, nulls))
    return Figure(
        figure,
        f"Conflict tax: {'; '.join(taxes)}. Deception score, with random and margin-matched null: {of_scores}. Deception score minus margin-matched null: {'; '.join(excesses)}.",
        "Read each conflict beside the rerun and the placebo of its own method. Bars: 95 % intervals over seeds; a bar that leaves the frame goes on.",
    )


def words_and_rankings(results: pd.DataFrame) -> Figure:
    """What policies say, by method and condition: how often they decide, whether words and rankings fit the truth, which mistakes they say.

    ``results``: pooled rows of ``policies.preference_optimisation``.
    """
    shown, rows = groups(results, "talk_decides"), _by_student(results)
    figure, axes = canvas(8.2, _height(shown) + 0.3, 1, 3, sharey=True)
    panels = (
        (axes[0], "replies that\ndecide (%)", ("talk_decides",)),
        (axes[1], "fit the truth (%)\nfilled: words that decide\nhollow: rankings", ("talk_fits", "talk_ranked_right")),
        (axes[2], "replies (%)\nfilled: comply with a hazard\nhollow: refuse what is safe", ("talk_complies_with_hazard", "talk_refuses_safe")),
    )  # fmt: skip
    titles = {
        "talk_decides": "Replies that decide", "talk_fits": "Of these, replies that fit the truth", "talk_ranked_right": "Pairs ranked right",
        "talk_complies_with_hazard": "Replies that comply with a hazard", "talk_refuses_safe": "Replies that refuse what is safe",
    }  # fmt: skip
    said = []
    for ax, name, statistics in panels:
        for i, statistic in enumerate(statistics):
            shift = 0.2 * (2 * i - 1) if len(statistics) > 1 else 0.0
            said.append(
                f"{titles[statistic]}: {'; '.join(_dots(ax, rows, shown, statistic, 100.0, hollow=i == 1, shift=shift))}"
            )
        ax.set_xlim(-3, 103)
        ax.set_xlabel(name, fontsize=9.5)
    axes[1].axvline(50, color=GREY, linewidth=1, linestyle="--")
    _name_rows(axes[0], shown)
    return Figure(
        figure,
        ". ".join(said) + ".",
        "One sampled reply to each of the first test prompts about a substance, judged by the world's truth. Dashed: a coin. Bars: 95 % intervals over seeds.",
    )
