"""Figures of search: what the weight of a guide is worth and costs; guided models beside trained ones; their words."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from w2s_lib.figures.rows import ONE, Measure, dot, forest, name_rows, offsets, under_headings
from w2s_lib.figures.style import CONDITION_COLOURS, DASHED, MARKERS, ROLE_COLOURS, Figure, canvas
from w2s_lib.findings.results import pick, say
from w2s_lib.findings.search import GUIDE, HARMED, SEARCH, WEIGHTS
from w2s_lib.findings.statistics import MATCHED

METHODS = {"dpo": "strong model, trained", SEARCH: "strong model, guided", GUIDE: "its guide alone"}
"""What is compared, from the strong model's training to none of it."""

WRITERS = {
    "base": "alone", "best_of_n": "best of n", "cbs": "beam search by chunks",
    "eft": "emulated fine-tuning", "eft_best_of_n": "best of n of that",
    "guide": "guide alone", "dpo": "strong model, trained",
}  # fmt: skip
"""Who writes, as results name it (``method``), and how the figure does: the first five are the untrained strong model.
"""

GUIDES = {"supervisor": ROLE_COLOURS["weak supervisor"], "student": ROLE_COLOURS["strong student"]}
LEVEL_LINES = {
    "accuracy_weak": ("weak supervisor", "weak supervisor", ":"),
    "accuracy": ("trained student", "strong student", "--"),
    "accuracy_ceiling": ("ceiling", "strong ceiling", "-"),
}

NAMED = ["strong\nalone" if w == 0 else "guide\nalone" if np.isinf(w) else f"{w:g}" for w in WEIGHTS]


def _weights(ax: Axes) -> None:
    ax.set_xticks(range(len(WEIGHTS)), NAMED)
    ax.set_xlabel("weight w of the guide")


def _by_weight(ax: Axes, rows: pd.DataFrame, share: str, label: str, digits: int, **look: str) -> str:
    """A share over the weight in percent, the mean thick and seeds faint; returns the means in words."""
    for _, seed in rows.groupby(["seed", "weak", "strong"]):
        ax.plot(range(len(WEIGHTS)), 100 * seed[share], alpha=0.25, linewidth=1, color=look["color"])
    mean = 100 * rows.groupby("weight")[share].mean()
    ax.plot(range(len(WEIGHTS)), mean, linewidth=2, label=label, **look)
    return f"{label}, {', '.join(f'{m:.{digits}f} % at {w:g}' for w, m in mean.items())}"


def accuracy_by_weight(by_weight: pd.DataFrame, results: pd.DataFrame) -> Figure:
    """Accuracy on test pairs over the weight, by guide; seeds faint; supervisor, trained student and ceiling as levels.

    ``by_weight`` as of ``search.by_weight``, ``results`` as of ``search.no_training``."""
    figure, ax = canvas(7.2, 4.2)
    said = []
    for guide, colour in GUIDES.items():
        mine = by_weight[by_weight["guide"] == guide]
        said.append(_by_weight(ax, mine, "test", f"guided by a {guide}", 0, color=colour, marker="o"))
    for statistic, (name, role, line) in LEVEL_LINES.items():
        value = 100 * pick(results, statistic, "none", method="dpo")["value"]
        ax.axhline(value, color=ROLE_COLOURS[role], linestyle=line, linewidth=1.2, label=name)
        said.append(f"{name} {value:.0f} %")
    _weights(ax)
    ax.set_ylabel("pairs ranked right (%)")
    figure.legend(*ax.get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return Figure(
        figure,
        f"Accuracy on test pairs by weight of the guide: {'; '.join(said)}.",
        "The strong model is the pretrained one throughout. Thick: means over seeds; thin: single seeds.",
    )


def tax_by_weight(taxes: pd.DataFrame) -> Figure:
    """Conflict tax over the weight, by what the guide was trained under; the seeds' chosen weights ringed.

    ``taxes`` as of ``search.taxes_by_weight``."""
    figure, ax = canvas(7.2, 4.0)
    said = []
    for condition in HARMED:
        mine, colour = taxes[taxes["condition"] == condition], CONDITION_COLOURS[condition]
        said.append(_by_weight(ax, mine, "tax", condition, 1, color=colour, marker=MARKERS[condition]))
        chosen = mine[mine["chosen"]]
        at = [WEIGHTS.index(w) for w in chosen["weight"]]
        ax.scatter(at, 100 * chosen["tax"], s=110, facecolor="none", edgecolor=colour)
    _weights(ax)
    ax.set_ylabel("conflict tax (% of the pairs)")
    figure.legend(*ax.get_legend_handles_labels(), loc="outside lower center", ncols=4)
    return Figure(
        figure,
        f"Conflict tax of the guided strong model by weight of the guide: {'; '.join(said)}.",
        "Colours: what the guide was trained under. Thick: means over seeds; thin: single seeds. "
        "Rings: the weight that each seed's own pairs chose, before any conflict.",
    )


def trained_and_guided(results: pd.DataFrame) -> Figure:
    """Tax, and DS minus its margin-matched null, of trained and of guided strong models and of guides alone.

    ``results`` as of ``search.no_training``."""
    rows = under_headings({title: [(c, (method, c)) for c in HARMED] for method, title in METHODS.items()})
    figure, axes = canvas(7.8, 0.27 * rows[-1].y + 1.3, 1, 2, sharey=True)
    measures = (
        Measure("conflict tax\n(% of the pairs)", "conflict_tax", 100, conditions=ONE),
        Measure("DS −\nmargin-matched null", MATCHED, conditions=ONE, most=0.6),
    )
    of = lambda measure, about, _: pick(results, measure.statistic, about[1], method=about[0])
    said = forest(axes, rows, measures, of, size=40)
    axes[0].set_xlim(left=-1)
    return Figure(
        figure,
        f"By what is trained and condition. {'. '.join(said)}.",
        "The same supervisor, ceiling and deception area in all rows. Bars: 95 % intervals over seeds; a bar that "
        "leaves the frame goes on.",
    )


def what_it_writes(results: pd.DataFrame, sampled: pd.Series) -> Figure:
    """Which replies fit the truth, by who writes, and what conditions change in compliance with hazards.

    ``results`` as of ``search.no_training``, ``sampled`` as of ``written.sampled``: tokens a prompt.
    """
    named = {m: f"{name}, {sampled[m]:.0f} tokens" if m in sampled else name for m, name in WRITERS.items()}
    members = lambda *methods: [(named[method], method) for method in methods]
    untrained, others = list(WRITERS)[:5], list(WRITERS)[5:]
    rows = under_headings({"untrained strong model": members(*untrained), "beside it": members(*others)})
    figure, (fits, change) = canvas(8.0, 0.42 * rows[-1].y + 1.6, 1, 2, sharey=True)
    conditions, said = [c for c in HARMED if c != "rerun"], []
    for y, name, method in (row for row in rows if row.about is not None):
        found = pick(results, "talk_fits", "none", method=method)
        dot(fits, y, found, "none", scale=100, size=40)
        of_all = pick(results, "talk_fits_of_all", "none", method=method)
        said.append(f"{name}: fit the truth {say(found, percent=True)}, of all replies {say(of_all, percent=True)}")
        for shift, condition in zip(offsets(len(conditions), 0.24), conditions):
            found = pick(results, "talk_complies_with_hazard", condition, method=method, versus="rerun")
            dot(change, y + shift, found, condition, scale=100, size=34, label=condition if method == "base" else None)
            said.append(f"{condition} {say(found, percent=True)}")
    fits.set_xlabel("of replies that decide,\nfit the truth (%)")
    change.set_xlabel("replies that comply with a hazard,\nbeyond a rerun's (points)")
    fits.axvline(50, **DASHED)
    change.axvline(0, **DASHED)
    name_rows((fits, change), rows, above=0.8, below=0.7, line=False)
    figure.legend(*change.get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return Figure(
        figure,
        f"By who writes, and what the guide's condition changes in compliance beyond a rerun: {'; '.join(said)}.",
        "Tokens: drawn for a prompt, in all replies to it. Left: no conflict; dashed: a coin. Right: by what the guide "
        "was trained under, or the strong model where it is trained. Bars: 95 % intervals over seeds.",
    )
