"""Figures of the bridge: the world, the world with what real texts have, and real texts, on one scale."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from w2s_lib.figures.real_texts import SAME_TEXTS, short
from w2s_lib.figures.rows import ONE, Measure, forest, under_headings
from w2s_lib.figures.style import Figure, canvas
from w2s_lib.findings.bridge import ATTAINABLE, KNOWN_BEYOND, SHARE, SHIFT
from w2s_lib.findings.results import pick, rows_with
from w2s_lib.findings.statistics import MATCHED
from w2s_lib.study.study import COMPARED

BRIDGE_PANELS = {
    "conflict_tax": "conflict tax",
    MATCHED: "score − margin-\nmatched null",
    SHARE: "… as a share of\nthe attainable",
    SHIFT: "shift by a logit\nof the ceiling",
}
"""Statistic → title of its panel."""

SETTING_NAMES = {
    ("", "reward_model"): "the world",
    ("noisy", "reward_model"): "noisy labels",
    ("", "frozen_head"): "frozen heads",
    ("noisy", "frozen_head"): "both",
}
"""Names of the settings of ``Study.like_real_texts``."""

CEILINGS = (
    Measure("ceiling knows, of what\nthe weak does not", KNOWN_BEYOND, conditions=ONE),
    Measure("largest attainable\nscore − null", ATTAINABLE, conditions=ONE),
    Measure("share of\nthe attainable", SHARE, conditions=ONE),
)
"""Panels of the figure of ceilings that know more or less."""


def bridge(
    world: pd.DataFrame, real: Mapping[str, pd.DataFrame], statistics: Sequence[str] = ("conflict_tax", MATCHED, SHARE)
) -> Figure:
    """A panel a statistic, a row a setting, the explicit conflict beside a rerun.

    ``world``: results rows of the bridge; ``real``: those of studies on real texts, by name.
    """
    told = {name: rows_with(world, labels=labels, method=method) for (labels, method), name in SETTING_NAMES.items()}
    rows = under_headings({"in the world": told.items(), "real texts": real.items()})
    figure, axes = canvas(2.0 + 2.2 * len(statistics), 0.42 * len(rows) + 1.5, columns=len(statistics), sharey=True)
    look = {"conditions": dict(zip(COMPARED, (-0.13, 0.13))), "most": np.inf}
    measures = [Measure(BRIDGE_PANELS[name], name, **look) for name in statistics]
    of = lambda measure, its, c: rows_with(its, statistic=measure.statistic, condition=c, versus="").iloc[0]
    said = forest(axes, rows, measures, of, size=40)
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=len(COMPARED))
    seeds = ", ".join(f"{name} {rows['n_seeds'].iloc[0]:.0f}" for name, rows in {"the world": world, **real}.items())
    return Figure(
        figure,
        f"The explicit conflict beside a rerun, by setting. {'. '.join(said)}.",
        f"Pooled over the control weak–strong pairs; 95 % intervals over seeds ({seeds}). Seeds "
        f"of the world are worlds of their own. {SAME_TEXTS}",
    )


def ceilings(results: pd.DataFrame) -> Figure:
    """A panel a statistic, a row a student of one weak supervisor, under the explicit conflict.

    ``results``: rows of ``findings.bridge.by_ceiling``.
    """
    pairs = results[["weak", "strong"]].drop_duplicates().itertuples(index=False)
    groups: dict[str, list] = {}
    for weak, strong in pairs:
        groups.setdefault(f"labels of {short(weak)}", []).append((short(strong), (weak, strong)))
    rows = under_headings(groups)
    figure, axes = canvas(8.4, 0.36 * len(rows) + 1.6, 1, len(CEILINGS), sharey=True)
    said = forest(axes, rows, CEILINGS, lambda measure, names, _: pick(results, measure.statistic, "explicit", *names))
    return Figure(
        figure,
        f"What ceilings know of what their supervisor does not, and the share of the attainable. {'. '.join(said)}.",
        f"A student and its ceiling a row: the same layer, under one supervisor. Bars: 95 % intervals over seeds. "
        f"{SAME_TEXTS}",
    )
