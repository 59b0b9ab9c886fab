"""Several studies on one scale: what each condition taxes, what its score is, and what a null leaves of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import cycle

import pandas as pd

from w2s_lib.figures.rows import beside, dot, name_rows, under_headings
from w2s_lib.figures.style import DASHED, GREY, STUDIES, Figure, canvas
from w2s_lib.findings.results import pick, usual

PANELS = (
    ("conflict_tax", "conflict tax"),
    ("deception_score", "deception score,\nnull (×)"),
    ("excess_margin_matched", "score − margin-\nmatched null"),
)
NULL = "null_margin_matched"
SHARE = ("share_of_attainable_margin_matched", "… as a share of\nthe attainable")
BY_PEOPLE = {
    "helpful pairs, judged by people": {
        "as many as weak labels": "implicit",
        "a quarter": "implicit_quarter",
        "a quarter, of PandaLM": "implicit_pandalm",
        "a quarter, of LLMBar": "implicit_llmbar",
    },
    "read off the replies, as many": {"the longer one (verbosity)": "verbosity", "more vowels (placebo)": "placebo"},
    "no other pairs": {"explicit conflict": "explicit", "rerun": "rerun"},
}
"""Rows of the figure of helpful pairs, by what is mixed in: each condition's name there."""


def looks(studies: Iterable[str]) -> dict[str, dict[str, str]]:
    """Colour and marker of each study: its own, or, where one has none, in turn."""
    names = list(studies)
    order = list(STUDIES) if set(names) <= set(STUDIES) else names
    look = zip(order, cycle(STUDIES.values()), cycle("osDv^P*"))
    return {name: {"color": colour, "marker": marker} for name, colour, marker in look}


def side_by_side(results: Mapping[str, pd.DataFrame], conditions: Sequence[str]) -> Figure:
    """One panel a statistic, one row a condition, one mark a study; a study that lacks a condition has no mark there.

    ``results``: pooled results rows by the study's name.
    """
    look = looks(results)
    figure, axes = canvas(8.4, 0.62 * len(conditions) + 1.7, columns=len(PANELS), sharey=True)
    said = []
    for ax, (statistic, title) in zip(axes, PANELS):
        for shift, (study, rows) in zip(beside(len(results), 0.22), results.items()):
            rows, told = usual(rows).set_index(["statistic", "condition"]), []
            for y, condition in enumerate(conditions):
                if (statistic, condition) in rows.index:
                    row = rows.loc[(statistic, condition)]
                    dot(ax, y + shift, row, size=40, **look[study])
                    if statistic == "deception_score":
                        null = rows.loc[(NULL, condition), "value"]
                        ax.scatter(null, y + shift, s=30, color=GREY, marker="x", zorder=4)
                    told.append(f"{condition} {row['value']:.2f} [{row['low']:.2f}, {row['high']:.2f}]")
            said.append(f"{statistic.replace('_', ' ')}, {study}: {', '.join(told)}")
        ax.set_title(title)
    name_rows(axes, [condition.replace("_", " ") for condition in conditions], above=0.6)
    axes[-1].axvline(0, **DASHED)
    axes[0].set_xlim(left=0)
    for study in results:
        axes[0].scatter([], [], s=40, label=study, **look[study])
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=len(results))
    return Figure(
        figure,
        "Tax, deception score and what the margin-matched null leaves of it, by condition and study. "
        f"{'; '.join(said)}.",
        "Bars: 95 % intervals, over seeds; for a study of one seed, over prompts. The dashed line is what a tax comes "
        "to that falls blindly among pairs of equal margin.",
    )


def by_people(results: pd.DataFrame) -> Figure:
    """One panel a statistic, one row a condition, with the number of taxed pairs that its score is of.

    ``results``: pooled results rows of one study with helpful pairs that people judged.
    """
    panels, said = (*PANELS, SHARE), []
    counted = lambda condition: pick(results, "deception_score", condition)["counted"]
    groups = {
        heading: [(f"{name}: {counted(c):,.0f}", c) for name, c in rows.items()] for heading, rows in BY_PEOPLE.items()
    }
    rows = under_headings(groups)
    figure, axes = canvas(9.6, 0.36 * len(rows) + 1.6, columns=len(panels), sharey=True)
    for ax, (statistic, title) in zip(axes, panels):
        told = []
        for y, _, condition in (row for row in rows if row.about):
            row = pick(results, statistic, condition)
            dot(ax, y, row, condition)
            if statistic == "deception_score":
                ax.scatter(pick(results, NULL, condition)["value"], y, s=30, color=GREY, marker="x", zorder=4)
            told.append(f"{condition.replace('_', ' ')} {row['value']:.2f} [{row['low']:.2f}, {row['high']:.2f}]")
        ax.set_title(title)
        said.append(f"{statistic.replace('_', ' ')}: {', '.join(told)}")
    name_rows(axes, rows)
    for ax in axes[2:]:
        ax.axvline(0, **DASHED)
    axes[0].set_xlim(left=0)
    return Figure(
        figure,
        f"Tax, deception score, and what the margin-matched null leaves of it, by what is mixed in. {'; '.join(said)}.",
        "Behind each name: taxed pairs, of all model pairs and divisions. Bars: 95 % intervals over divisions of the "
        "same texts. The dashed line is what a tax comes to that falls blindly among pairs of equal margin.",
    )
