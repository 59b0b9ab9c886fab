"""Figures of agents that teach each other: by round, with the deception area frozen and updated, beside controls."""

from functools import partial

import numpy as np
import pandas as pd

from w2s_lib.figures.rows import Measure, Row, bars, dot, draw_nulls, forest, name_rows, offsets, under_headings
from w2s_lib.figures.style import DASHED, Figure, canvas
from w2s_lib.findings.results import pick, say, usual
from w2s_lib.findings.society import AGENT_LEVELS, ELSEWHERE, FROZEN, MACPO, MOVED, UPDATED, round_name
from w2s_lib.study.methods import VARIANTS

AGENTS_IN_WORDS = {
    "accuracy_weak": "weak agents:\nranked right",
    "known_weak": "weak agents:\nknown",
    "surely_wrong_weak": "weak agents:\nsure and wrong",
    "accuracy": "strong agent:\nranked right",
}
SOCIETY_TITLES = {
    MACPO: "the society",
    "frozen_weak": "weak agents frozen",
    "any_candidate": "any candidate",
    "one_teacher": "one weak agent",
}
"""What societies are called in figures."""

SHOWN = ("none", "explicit")


def rounds(results: pd.DataFrame) -> list[str]:
    """What the column ``knowledge`` says of the rounds, in their order."""
    rows = usual(results, statistic=AGENT_LEVELS[0], method=MACPO, condition="none", knowledge=None)
    last = rows["knowledge"].nunique() - 1
    return [round_name(number, last) for number in range(last + 1)]


def by_round(results: pd.DataFrame) -> Figure:
    """What the weak agents rank right, know, and are sure of and wrong about, and what the strong one ranks right,
    before the first round and after each, without a conflict and under it."""
    names = rounds(results)
    figure, axes = canvas(9.0, 3.1, 1, len(AGENT_LEVELS))
    said = []
    for ax, level in zip(axes, AGENT_LEVELS):
        told = []
        for shift, condition in zip(offsets(len(SHOWN), 0.12), SHOWN):
            found = [pick(results, level, condition, method=MACPO, knowledge=name) for name in names]
            value = bars(ax, np.arange(len(names)) + shift, found, condition, line="-", markersize=6)
            told.append(f"{condition} {', '.join(f'{v:.1f} %' for v in value)}")
        said.append(f"{AGENTS_IN_WORDS[level].replace(chr(10), ' ')}, {'; '.join(told)}")
        ax.set_title(AGENTS_IN_WORDS[level], fontsize=11)
        ax.set_xticks(range(len(names)))
        ax.set_xlim(-0.4, len(names) - 0.6)
        ax.set_xlabel("rounds")
    axes[0].set_ylabel("share of the test pairs (%)")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=2)
    return Figure(
        figure,
        f"From before the first round on: {'. '.join(said)}.",
        "The weak agents together, by their mean p. Each panel has its own axis. Bars: 95 % intervals over seeds.",
    )


def frozen_and_updated(results: pd.DataFrame) -> Figure:
    """DS beside its nulls with the area frozen, updated and of agents elsewhere; what the update alone moves."""
    groups = {
        condition: [(f"area {name}", (condition, name)) for name in (FROZEN, UPDATED, ELSEWHERE)]
        for condition in ("explicit", "rerun")
    }
    rows = under_headings(groups)
    figure, (scores, moved) = canvas(8.8, 4.2, 1, 2)
    said = []
    for row in (row for row in rows if row.about):
        condition, knowledge = row.about
        at = partial(pick, results, condition=condition, method=MACPO, knowledge=knowledge)
        score, matched = at("deception_score"), at("null_margin_matched")
        dot(scores, row.y, score, condition)
        draw_nulls(scores, row.y, at("null_random")["value"], matched["value"], named=row is rows[1])
        said.append(f"{condition}, {row.name}: {say(score)}, margin-matched null {matched['value']:.2f}")
    scores.set_xlabel("deception score and its nulls")
    scores.legend(loc="lower left", fontsize=8.5)
    name_rows(scores, rows, above=0.8, below=1.4, line=False)
    names = {"score_moved": "DS", "null_moved": "its null", "beyond_null_moved": "DS − null"}
    for y, name in enumerate(MOVED):
        for shift, condition in zip((-0.14, 0.14), groups):
            found = pick(results, name, condition, method=MACPO)
            dot(moved, y + shift, found, condition, size=44, label=condition if y == 0 else None)
            said.append(f"{condition}, {names[name]} moved by {say(found)}")
    moved.axvline(0, **DASHED)
    moved.set_xlabel("updated − frozen")
    name_rows(moved, [names[name] for name in MOVED], line=False)
    moved.legend(loc="best", fontsize=8.5)
    return Figure(
        figure,
        f"Deception scores by whose knowledge makes the area. {'; '.join(said)}.",
        "The taxed pairs are the same in all rows of a condition: only the weak side of the area differs. Updated: "
        "agents whom the judged student has taught; elsewhere: of the independent society. Right: what the update "
        "alone moves. Bars: 95 % intervals over seeds.",
    )


def societies(results: pd.DataFrame) -> Figure:
    """What the weak agents come to know, where the strong one ends, and what the conflict costs it, by society."""
    figure, axes = canvas(8.8, 2.9, 1, 3, sharey=True)
    end, known = {"knowledge": UPDATED}, {"knowledge": UPDATED, "versus": FROZEN}
    measures = (
        Measure("known to the weak agents,\nupdated − frozen (points)", "known_weak", 100, known, {"none": 0.0}),
        Measure("strong agent: ranked\nright at the end (%)", "accuracy", 100, end, {"none": 0.0}),
        Measure("explicit conflict:\ntax (% of the pairs)", "conflict_tax", 100, {}, {"explicit": 0.0}),
    )
    of = lambda measure, name, condition: pick(results, measure.statistic, condition, method=name, **measure.names)
    said = forest(axes, [Row(y, SOCIETY_TITLES[name], name) for y, name in enumerate(VARIANTS)], measures, of)
    axes[0].axvline(0, **DASHED)
    churn = usual(results, statistic="conflict_tax", condition="rerun", method=MACPO)["value"]
    axes[2].axvline(100 * float(churn.iloc[0]), **DASHED)
    return Figure(
        figure,
        f"By society. {'. '.join(said)}.",
        "Lessons are as many in each. Dashed: no change; on the right, what a rerun of the first society pays. "
        "Bars: 95 % intervals over seeds.",
    )
