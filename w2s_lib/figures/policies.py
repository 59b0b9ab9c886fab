"""Figures of preference optimisation: what policies gain, what conflicts cost them, what they say and how they rank."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from w2s_lib.figures.generalization import ACCURACY_MARKERS, roles
from w2s_lib.figures.rows import Row, dot, draw_nulls, has_record, headed, name_rows, offsets, under_headings
from w2s_lib.figures.style import DASHED, Figure, canvas
from w2s_lib.findings.results import say, usual
from w2s_lib.study.conditions import POLICY
from w2s_lib.study.methods import TITLES

OPTION_NAMES = {("", ""): "", ("soft", ""): " on soft labels", ("", "after"): " after SFT"}
"""What differs from a method's own recipe, as results name it (``labels``, ``sft``), and how figures do."""

AXIS_NAMES = {"none": "no conflict", "implicit_quarter": "implicit, a quarter"}
"""Conditions whose name on an axis is not their own."""


class Block(NamedTuple):
    """Rows of a figure that belong together: the conditions of one method, or of one of its options."""

    method: str
    option: tuple[str, str]
    conditions: tuple[str, ...]

    @property
    def title(self) -> str:
        return TITLES[self.method] + OPTION_NAMES[self.option]


def _by_student(results: pd.DataFrame) -> pd.DataFrame:
    """Rows by method, condition, option (``labels``, ``sft``) and statistic."""
    rows = usual(results, labels=None, sft=None)
    return rows.set_index(["method", "condition", "labels", "sft", "statistic"]).sort_index()


def blocks_of(results: pd.DataFrame, statistic: str) -> list[Block]:
    """Every method and option that the results hold, with the conditions for which they hold this statistic."""
    there = set(_by_student(results).xs(statistic, level="statistic").index)
    found = [Block(m, o, tuple(c for c in POLICY if (m, c, *o) in there)) for o in OPTION_NAMES for m in TITLES]
    return [group for group in found if group.conditions]


def _rows(shown: Sequence[Block]) -> list[Row]:
    """Conditions below their group; what a row is about: method, condition and option."""
    members = lambda g: [(AXIS_NAMES.get(c, c), (g.method, c, *g.option)) for c in g.conditions]
    return under_headings({group.title: members(group) for group in shown})


def _dots(
    ax: Axes,
    table: pd.DataFrame,
    rows: Sequence[Row],
    statistic: str,
    scale: float = 1.0,
    shift: float = 0.0,
    **look: Any,
) -> list[str]:
    """Estimates with their intervals, one row a condition; what they are, in words."""
    said = []
    for name, (y, _, student) in headed(rows).items():
        row = table.loc[(*student, statistic)]
        dot(ax, y + shift, row, student[1], scale=scale, size=34, **look)
        said.append(f"{name} {say(row, percent=scale != 1)}")
    return said


def by_method(per_seed: pd.DataFrame, results: pd.DataFrame) -> Figure:
    """Accuracies of weak supervisor, student and ceiling on a line a method and option (seeds faint), PGR beside.

    ``per_seed`` and pooled ``results`` as of ``policies.preference_optimisation``.
    """
    shown, told = blocks_of(results, "accuracy_ceiling"), []
    figure, ax = canvas(7.4, 0.55 * len(shown) + 1.4)
    for y, group in enumerate(shown):
        student = dict(zip(("method", "condition", "labels", "sft"), (group.method, "none", *group.option)))
        mine = usual(results, **student).set_index("statistic")
        seeds = usual(per_seed, **student).groupby(["seed", "statistic"])["value"].mean().reset_index()
        pgr = say(mine.loc["pgr"])
        roles(ax, y, mine["value"], seeds, pgr.replace("undefined", "gap too small"), has_record(mine))
        values = ", ".join(f"{role} {say(mine.loc[statistic])}" for statistic, role, _ in ACCURACY_MARKERS)
        told.append(f"{group.title}: {values}, PGR {pgr}")
    ax.text(1.02, -0.5, "PGR", va="bottom", fontsize=10, transform=ax.get_yaxis_transform())
    name_rows(ax, [group.title for group in shown], above=0.7, line=False)
    ax.set(xlabel="accuracy on the test pairs")
    figure.legend(*ax.get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return Figure(
        figure,
        "Accuracy of weak supervisor, student and ceiling, and performance gap recovered, by method. "
        f"{'; '.join(told)}.",
        "Large marks: means over seeds; small ones: single seeds. At the right, PGR with its 95 % interval, over the "
        "seeds whose gap is at least 0.05. Weak supervisor and ceiling are trained by the method of the row.",
    )


def tax_and_scores(results: pd.DataFrame) -> Figure:
    """Conflict tax; DS beside its nulls; what the margin-matched one leaves of it: conditions below their method.

    ``results``: pooled rows of ``policies.preference_optimisation``.
    """
    rows, table = _rows(blocks_of(results, "conflict_tax")), _by_student(results)
    figure, axes = canvas(8.2, 0.25 * rows[-1].y + 1.5, 1, 3, sharey=True)
    tax, score, excess = axes
    taxes = _dots(tax, table, rows, "conflict_tax", 100)
    scores = _dots(score, table, rows, "deception_score")
    excesses = _dots(excess, table, rows, "excess_margin_matched")
    told = []
    for y, _, student in rows:
        if student is not None:
            random, matched = (table.loc[(*student, f"null_{n}"), "value"] for n in ("random", "margin_matched"))
            draw_nulls(score, y + 0.3, random, matched, named=not told)
            told.append("" if np.isnan(random) else f" (nulls {random:.2f} and {matched:.2f})")
    tax.set(xlabel="conflict tax\n(% of the pairs)", xlim=(-1, min(max(tax.get_xlim()[1], 1), 75)))
    score.set(xlabel="deception score (DS)\nand its nulls", xlim=(-0.02, 1.02))
    excess.axvline(0, **DASHED)
    low, high = excess.get_xlim()
    excess.set(xlabel="DS −\nmargin-matched null", xlim=(max(low, -0.6), min(high, 0.6)))
    name_rows(axes, rows, above=0.8, below=0.7, line=False)
    figure.legend(*score.get_legend_handles_labels(), loc="outside lower center", ncols=2)
    return Figure(
        figure,
        f"Conflict tax: {'; '.join(taxes)}. Deception score, with random and margin-matched null: "
        f"{'; '.join(text + null for text, null in zip(scores, told))}. "
        f"Deception score minus margin-matched null: {'; '.join(excesses)}.",
        "Read each conflict beside the rerun and the placebo of its own method. "
        "Bars: 95 % intervals over seeds; a bar that leaves the frame goes on.",
    )


SAID_PANELS = (
    ("replies that\ndecide (%)", {"talk_decides": "Replies that decide"}),
    (
        "fit the truth (%)\nmarks: words that decide\nstars: rankings",
        {"talk_fits": "Of these, replies that fit the truth", "talk_ranked_right": "Pairs ranked right"},
    ),
    (
        "replies (%)\nmarks: comply with a hazard\nstars: refuse what is safe",
        {
            "talk_complies_with_hazard": "Replies that comply with a hazard",
            "talk_refuses_safe": "Replies that refuse what is safe",
        },
    ),
)
"""What is read of replies: panels, each with its one or two statistics, and what alt texts call them."""


def words_and_rankings(results: pd.DataFrame) -> Figure:
    """What policies say: how often they decide, whether words and rankings fit the truth, which mistakes they say.

    By method and condition.  ``results``: pooled rows of ``policies.policies_speak``.
    """
    rows, table = _rows(blocks_of(results, "talk_decides")), _by_student(results)
    figure, axes = canvas(8.2, 0.25 * rows[-1].y + 1.8, 1, 3, sharey=True)
    said = []
    for ax, (name, statistics) in zip(axes, SAID_PANELS):
        for shift, (statistic, title) in zip(offsets(len(statistics), 0.4), statistics.items()):
            look = {"marker": "*", "width": 1.4} if shift > 0 else {}
            told = _dots(ax, table, rows, statistic, 100, shift, **look)
            said.append(f"{title}: {'; '.join(told)}")
        ax.set_xlim(-3, 103)
        ax.set_xlabel(name, fontsize=9.5)
    axes[1].axvline(50, **DASHED)
    name_rows(axes, rows, above=0.8, below=0.7, line=False)
    return Figure(
        figure,
        f"{'. '.join(said)}.",
        "One sampled reply to each of the first test prompts about a substance, judged by the world's truth. "
        "Dashed: a coin. Bars: 95 % intervals over seeds.",
    )
