"""Figures of labelling again: what comes back with which labels, and who pays."""

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd

from w2s_lib.figures.rows import Measure, Row, dot, forest, name_rows, under_headings
from w2s_lib.figures.style import DASHED, GREY, Figure, canvas
from w2s_lib.findings.label_again import ASKED_WHO_PAYS, LABEL_GROUPS, THERE, TWICE
from w2s_lib.findings.results import TRAINING, pick, say
from w2s_lib.study.mitigations import title

LABEL_GROUPS_IN_WORDS = {
    "kept": "kept: supervisor sure",
    "came_back": "came back: first student sure",
    "left_out": "neither is sure",
}
"""Groups of pairs in figures."""


def labels(results: pd.DataFrame) -> Figure:
    """How many training pairs are in each group, and how many of their labels are right: the supervisor's, the first
    student's without a conflict, and under it."""
    figure, (many, right) = canvas(8.4, 2.9, 1, 2, sharey=True)
    names = {"mitigation": TWICE, "on": TRAINING}
    at = lambda statistic, group, condition="none": pick(results, statistic, condition, subset=group, **names)
    told = []
    for y, group in enumerate(LABEL_GROUPS):
        dot(many, y, at("share_of_pairs", group), scale=100, color=GREY)
        looks = {
            "supervisor's": ("label_right", "none", -0.2, {"color": GREY, "marker": "D"}),
            "first student's": ("label_right_again", "none", 0.0, {}),
            "first student's, under the conflict": ("label_right_again", "explicit", 0.2, {}),
        }
        said = [f"{say(at('share_of_pairs', group), percent=True)} of the pairs"]
        for name, (statistic, condition, lower, look) in looks.items():
            row = at(statistic, group, condition)
            dot(right, y + lower, row, condition, scale=100, size=44, label=name if y == 0 else None, **look)
            said.append(f"right {name} {say(row, percent=True)}")
        told.append(f"{LABEL_GROUPS_IN_WORDS[group]}: {', '.join(said)}")
    many.set_xlabel("share of the training pairs (%)")
    many.set_xlim(left=0)
    right.axvline(50, **DASHED)
    right.set_xlabel("of their labels, right (%)")
    names = [LABEL_GROUPS_IN_WORDS[group].replace(": ", ":\n") for group in LABEL_GROUPS]
    name_rows((many, right), names, line=False)
    figure.legend(*right.get_legend_handles_labels(), loc="outside lower center", ncols=3, fontsize=9)
    return Figure(
        figure,
        f"Training pairs by what becomes of them. {'; '.join(told)}.",
        "Training pairs by whether the supervisor is sure of its label, and else whether the first student is, who "
        "learnt from the pairs that were kept. Dashed: a coin. Bars: 95 % intervals over seeds.",
    )


def payers(
    axes: np.ndarray,
    rows: Sequence[Row],
    beyond: str,
    found: Callable[[Measure, tuple[str, str], str], pd.Series | None],
    size: float,
) -> list[str]:
    """As ``rows.forest``, of rows about a mitigation and a group of pairs: tax rates of its training and test pairs,
    and its share of the taxed pairs ``beyond`` margins, as the last axis is called."""
    measures = (
        Measure("tax rate of training\npairs (%)", "tax_rate", 100, {"on": TRAINING}),
        Measure("tax rate of test\npairs (%)", "tax_rate", 100, {"on": ""}),
        Measure(beyond, THERE[-1], names={"on": ""}),
    )
    told = forest(axes, rows, measures, found, size)
    axes[2].axvline(0, **DASHED)
    most = max(ax.get_xlim()[1] for ax in axes[:2])
    for ax in axes[:2]:
        ax.set_xlim(-0.02 * most, most)
    return told


def who_pays(results: pd.DataFrame) -> Figure:
    """Tax rates by group of pairs, without a mitigation and when students label again, on training and on test pairs;
    and how far the groups' share of the taxed pairs is beyond what margins explain."""
    members = lambda name: [(words, (name, group)) for group, words in LABEL_GROUPS_IN_WORDS.items()]
    rows = under_headings({title(name or "none"): members(name) for name in ASKED_WHO_PAYS})
    figure, axes = canvas(8.6, 0.42 * len(rows) + 1.5, 1, 3, sharey=True)

    def of(measure: Measure, about: tuple[str, str], condition: str) -> pd.Series:
        mitigation, group = about
        return pick(results, measure.statistic, condition, mitigation=mitigation, subset=group, **measure.names)

    told = payers(axes, rows, "share of the taxed test\npairs, beyond margins", of, size=40)
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=2)
    return Figure(
        figure,
        f"Who pays, under the explicit conflict. {'. '.join(told)}.",
        "Rates are shares of the pairs that the no-conflict student under the same mitigation ranks right. Right: the "
        "group's share of all taxed pairs minus what it would be if each were one of the twenty nearest in margin. "
        "Triangles: a rerun. Bars: 95 % intervals over seeds.",
    )
