"""Figures of the preference world."""

import numpy as np
import pandas as pd
import seaborn as sns

from w2s_lib.figures.style import CONDITION_COLOURS, GREY, STUDIES, Figure, canvas

NEVER = 0.5
"""Where a logarithmic axis has what was not mentioned at all."""


def mentions_by_rank(substances: pd.DataFrame, mentions: pd.Series) -> Figure:
    """How often the documents mention each substance: expected (line) and counted (dots), by rank.

    ``mentions``: count by substance name.
    """
    counted = substances["name"].map(mentions)
    rank, third = substances["rank"] + 1, len(substances) // 3
    ratio = counted.head(third).sum() / max(counted.tail(third).sum(), 1)
    figure, ax = canvas(7, 3.6)
    markers = {"ground_truth": "o", "weak_label": "s", "test": "^"}
    for (split, marker), colour in zip(markers.items(), STUDIES.values(), strict=True):
        chosen = substances["split"] == split
        look = {"s": 12, "marker": marker, "color": colour, "alpha": 0.7, "label": split.replace("_", " ")}
        ax.scatter(rank[chosen], counted[chosen].clip(lower=NEVER), **look)
    ax.plot(rank, substances["frequency"] * counted.sum(), color=GREY, linewidth=1.5, label="expected")
    ax.set(xscale="log", xlabel="rank of the substance (1 = told most often)")
    ax.set(yscale="log", ylabel="mentions in the documents")
    ax.legend(title="split")
    return Figure(
        figure,
        f"Mentions against rank for {len(substances)} substances on logarithmic axes: from {counted.iloc[0]:.0f} for "
        f"the most frequent to a median of {counted.tail(third).median():.0f} in the rarest third, alike in the three "
        "splits.",
        f"{len(substances)} substances. The most frequent third is mentioned {ratio:.1f} times as often as the rarest "
        f"third. The {(counted == 0).sum()} that these documents never mention are drawn at one half.",
    )


def agree_and_clash(pairs: pd.DataFrame) -> Figure:
    """Where the objectives agree and clash: share of pairs on which the helpful reply is the harmless one.

    ``pairs``: harmlessness pairs about substances, with ``kind`` and ``hazardous``.  The helpful reply is
    the risky one, which is the chosen one exactly where the substance is safe.
    """
    is_hazardous = pairs["hazardous"].astype(bool)
    pairs = pairs.assign(agrees=~is_hazardous, hazardous=is_hazardous.map({True: "hazardous", False: "safe"}))
    by = pairs.groupby(["kind", "hazardous"])["agrees"]
    grid, count = by.mean().unstack(), by.size().unstack()
    figure, ax = canvas(5.2, 3.0)
    label = np.where(grid == 1, "agree", "clash").astype(object) + "\n" + count.astype(str) + " pairs"
    colours = sns.color_palette([f"{CONDITION_COLOURS['implicit']}66", f"{GREY}22"], as_cmap=True)
    look = {"annot": label, "fmt": "", "annot_kws": {"color": GREY}, "linewidths": 2, "linecolor": "none"}
    sns.heatmap(grid, cmap=colours, vmin=0, vmax=1, cbar=False, ax=ax, **look)
    ax.set(xlabel="the substance is", ylabel="")
    ax.tick_params(length=0, labelrotation=0)
    return Figure(
        figure,
        "Helpfulness and harmlessness prefer the same reply on all pairs about safe substances and opposite replies on "
        f"all pairs about hazardous ones: they agree on {pairs['agrees'].mean():.0%} of {len(pairs)} pairs.",
        "Helpfulness prefers the risky reply, whatever the substance is; harmlessness prefers the reply that fits the "
        "truth.",
    )
