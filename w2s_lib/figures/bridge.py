"""Figures of the bridge: the world, the world with what real texts have, and real texts, on one scale."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from w2s_lib.figures.real_texts import SAME_TEXTS, a_row_each, short
from w2s_lib.figures.rows import dot, name_rows, under_headings
from w2s_lib.figures.style import CONDITION_COLOURS, DASHED, MARKERS, Figure, canvas
from w2s_lib.findings.bridge import ATTAINABLE, KNOWN, SHARE, SHIFT
from w2s_lib.findings.results import MATCHED, pick, say
from w2s_lib.study.study import COMPARED

PANELS = {
    "conflict_tax": "conflict tax",
    MATCHED: "score − margin-\nmatched null",
    SHARE: "… as a share of\nthe attainable",
    SHIFT: "shift by a logit\nof the ceiling",
}
"""Statistic → title of its panel."""

SETTINGS = {
    ("", "reward_model"): "the world",
    ("noisy", "reward_model"): "noisy labels",
    ("", "frozen_head"): "frozen heads",
    ("noisy", "frozen_head"): "both",
}
"""Names of the settings of ``Study.like_real_texts``."""

CEILINGS = (
    (KNOWN, "ceiling knows, of what\nthe weak does not"),
    (ATTAINABLE, "largest attainable\nscore − null"),
    (SHARE, "share of\nthe attainable"),
)
"""Panels of the figure of ceilings that know more or less."""


def bridge(
    world: pd.DataFrame, real: Mapping[str, pd.DataFrame], statistics: Sequence[str] = ("conflict_tax", MATCHED, SHARE)
) -> Figure:
    """A panel a statistic, a row a setting, the explicit conflict beside a rerun.

    ``world``: results rows of the bridge; ``real``: those of studies on real texts, by name.
    """
    groups = {
        "in the world": {
            name: world[(world["labels"] == labels) & (world["method"] == method)]
            for (labels, method), name in SETTINGS.items()
        },
        "real texts": dict(real),
    }
    rows = under_headings({heading: members.items() for heading, members in groups.items()})
    figure, axes = canvas(2.0 + 2.2 * len(statistics), 0.42 * len(rows) + 1.5, columns=len(statistics), sharey=True)
    said = []
    for ax, statistic in zip(axes, statistics):
        for y, name, found in rows:
            if found is None:
                continue
            told = []
            for condition, lower in zip(COMPARED, (-0.13, 0.13)):
                mine = found[(found["versus"] == "") & (found["statistic"] == statistic)]
                row = mine[mine["condition"] == condition].iloc[0]
                dot(ax, y + lower, row, condition, size=40)
                told.append(f"{condition} {say(row)}")
            said.append(f"{statistic.replace('_', ' ')}, {name}: {', '.join(told)}")
        ax.axvline(0, **DASHED)
        ax.set_title(PANELS[statistic], fontsize=11)
        ax.spines["left"].set_visible(False)
    name_rows(axes, rows)
    for condition in COMPARED:
        axes[0].scatter([], [], s=40, label=condition, color=CONDITION_COLOURS[condition], marker=MARKERS[condition])
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=len(COMPARED))
    return Figure(
        figure,
        f"The explicit conflict beside a rerun, by setting. {'; '.join(said)}.",
        "Pooled over the control pairs; 95 % intervals over seeds, or, for a study of one seed, over prompts. Seeds of "
        f"the world are worlds of their own. {SAME_TEXTS}",
    )


def ceilings(results: pd.DataFrame) -> Figure:
    """A panel a statistic, a row a student of one weak supervisor, under the explicit conflict.

    ``results``: rows of ``findings.bridge.by_ceiling``.
    """
    pairs = results[["weak", "strong"]].drop_duplicates().itertuples(index=False)
    groups: dict[str, list] = {}
    for weak, strong in pairs:
        groups.setdefault(f"labels of {short(weak)}", []).append((short(strong), (weak, strong)))
    marks = lambda statistic, names: {"explicit": pick(results, statistic, "explicit", *names)}
    figure, _, _, said = a_row_each(CEILINGS, groups, marks, 8.4)
    return Figure(
        figure,
        f"What ceilings know of what their supervisor does not, and the share of the attainable. {'. '.join(said)}.",
        f"A student and its ceiling a row: the same layer, under one supervisor. Bars: 95 % intervals over seeds. "
        f"{SAME_TEXTS}",
    )
