"""Figures of the ladder: who knows what."""

import pandas as pd
import seaborn as sns

from w2s_lib.figures.style import DASHED, GREY, ROLE_COLOURS, Figure, canvas


def knowledge_map(knowledge: pd.DataFrame, bins: int = 60) -> Figure:
    """Probability of the truth for every fact, by frequency (x) and model (y): the staircase of who knows what.

    ``knowledge``: ``model`` (ordered), ``rank``, ``p_true``; substances are averaged in ``bins`` groups of rank.
    """
    total = knowledge["rank"].max() + 1
    group = knowledge.assign(bin=knowledge["rank"] * bins // total)
    grid = group.pivot_table(index="model", columns="bin", values="p_true", observed=True).iloc[::-1]
    figure, ax = canvas(7.4, 0.55 * len(grid) + 1.5)
    bar = {"label": "probability of the truth"}
    sns.heatmap(grid, vmin=0.4, vmax=1, cmap="viridis", ax=ax, cbar_kws=bar, xticklabels=False)
    ax.set(xlabel="facts, from the most often told (left) to the rarest (right)", ylabel="")
    ax.tick_params(axis="y", length=0, labelrotation=0)
    ends = grid.iloc[:, [0, -1]]
    alt = "Heat map of the probability of the truth by model and by how often a fact is told. " + "; ".join(
        f"{model}: {row.iloc[0]:.2f} for the most frequent facts, {row.iloc[1]:.2f} for the rarest"
        for model, row in ends.iloc[::-1].iterrows()
    )
    return Figure(figure, alt + ".", f"{total} facts in {bins} groups by rank; mean over seeds.")


def knowledge_by_size(per_seed: pd.DataFrame, summary: pd.DataFrame) -> Figure:
    """Share of facts that each model knows: seeds as dots, mean with 95 % interval.

    ``per_seed``: ``model, seed, value``; ``summary``: ``strong`` (the model), ``value, low, high``.
    """
    figure, ax = canvas(6.4, 3.6)
    models = summary["strong"].tolist()
    sns.stripplot(per_seed, x="model", y="value", order=models, color=GREY, size=4, alpha=0.6, jitter=0.12, ax=ax)
    errors = [summary["value"] - summary["low"], summary["high"] - summary["value"]]
    ax.errorbar(range(len(models)), summary["value"], yerr=errors, fmt="o-", color="#0072B2", capsize=4)
    ax.axhline(0.5, **DASHED)
    ax.text(len(models) - 0.6, 0.505, "chance", ha="right", va="bottom", fontsize=9)
    ax.set(xlabel="", ylabel="facts known", ylim=(0.3, 1.02))
    said = ", ".join(f"{model} {value:.2f}" for model, value in zip(models, summary["value"]))
    return Figure(
        figure,
        f"Share of facts known by model: {said}; chance is 0.5.",
        "Share of all facts whose true kind of word is the likelier one. "
        f"Dots: seeds ({per_seed['seed'].nunique()}); bars: 95 % intervals over seeds.",
    )


def knowing_and_ranking(results: pd.DataFrame) -> Figure:
    """Ranking accuracy with ground truth (y) against facts known (x), one point a model.

    ``results``: the statistics ``facts_known`` and ``accuracy_ceiling`` of ``ladder.ladder_results``.
    """
    wide = results.pivot_table(index="strong", columns="statistic", values=["value", "low", "high"], sort=False)
    x, y = (wide.xs(name, axis=1, level="statistic") for name in ("facts_known", "accuracy_ceiling"))
    figure, ax = canvas(6.0, 4.0)
    across, along = ([side["value"] - side["low"], side["high"] - side["value"]] for side in (x, y))
    look = {"fmt": "s", "color": ROLE_COLOURS["strong ceiling"], "ecolor": GREY, "elinewidth": 1, "markersize": 8}
    ax.errorbar(x["value"], y["value"], xerr=across, yerr=along, **look)
    points = list(zip(wide.index, x["value"], y["value"]))
    for i, (model, *point) in enumerate(points):  # neighbours' names stand on either side
        above = {"xytext": (-8, 8), "ha": "right"} if i % 2 else {"xytext": (8, -14)}
        ax.annotate(model, point, textcoords="offset points", fontsize=9, **above)
    ax.set(xlabel="facts known as a language model", ylabel="accuracy as a ceiling")
    ax.set(xlim=(0.45, 1.02), ylim=(0.5, 1.02))
    said = "; ".join(f"{model}: knows {knows:.2f}, ranks {ranks:.2f}" for model, knows, ranks in points)
    return Figure(
        figure,
        f"Share of facts known against ranking accuracy with ground truth: {said}.",
        "Means over seeds with 95 % intervals in both directions.",
    )
