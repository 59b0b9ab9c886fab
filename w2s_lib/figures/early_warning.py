"""Figures of the early warning: ROC curves, AUCs by signal, and what an audit of a few pairs finds."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from w2s_lib.figures.rows import bars, dot, name_rows, offsets
from w2s_lib.figures.style import CONDITION_COLOURS, DASHED, GREY, MARKERS, Figure, canvas
from w2s_lib.findings.early_warning import BUDGETS, CHANCE, SIGNALS
from w2s_lib.findings.results import say, usual

TARGETS = {"taxed": "taxed pairs", "deceived": "deceived pairs"}


def _panels(names: Sequence[str], height: float):
    """One panel a signal, two beside each other, to be readable on a phone; the canvas, and its axes by signal."""
    rows = -(-len(names) // 2)
    figure, axes = canvas(6.0, height * rows + 0.5, rows, 2, sharex=True, sharey=True, squeeze=False)
    for ax in axes.flat[len(names) :]:
        ax.axis("off")
        axes[-2, -1].tick_params(labelbottom=True)
    for name, ax in zip(names, axes.flat):
        ax.set_title(SIGNALS[name].title, fontsize=10)
    return figure, dict(zip(names, axes.flat))


def roc_panels(curves: pd.DataFrame) -> Figure:
    """One panel a signal, one curve a condition: ``early_warning.roc_curves`` with a column ``condition``."""
    names = list(dict.fromkeys(curves["signal"]))
    figure, axes = _panels(names, 2.3)
    said = {name: [] for name in names}
    for (name, condition), rows in curves.groupby(["signal", "condition"], sort=False):
        ax, x, colour = axes[name], rows["others"], CONDITION_COLOURS[condition]
        ax.fill_between(x, rows["low"], rows["high"], color=colour, alpha=0.2, linewidth=0)
        marks = {"marker": MARKERS[condition], "markevery": 5, "markersize": 5}
        ax.plot(x, rows["found"], color=colour, linewidth=2, label=condition, **marks)
        middle = rows["found"].iloc[int(np.abs(x.to_numpy() - 0.2).argmin())]
        said[name].append(f"{condition} undefined" if np.isnan(middle) else f"{condition} {middle:.0%}")
    for ax in axes.values():
        ax.plot([0, 1], [0, 1], **DASHED)
        ax.set(xlim=(0, 1), ylim=(0, 1.02), xticks=[0, 0.5, 1], yticks=[0, 0.5, 1])
    axes[names[0]].legend(fontsize=9, loc="lower right")
    figure.supxlabel("share of the other pairs that is flagged", color=GREY, fontsize=11)
    figure.supylabel("share of the taxed pairs that is flagged", color=GREY, fontsize=11)
    return Figure(
        figure,
        "ROC curves for taxed pairs, by signal. Share of the taxed pairs found where a fifth of the others is flagged: "
        + "; ".join(f"{SIGNALS[name].title}: {', '.join(told)}" for name, told in said.items())
        + ".",
        "First seed, first weak–strong pair; among the pairs that the no-conflict student ranks right. Dashed: chance. "
        "Bands: 95 %, bootstrap over clusters of pairs.",
    )


def auc_by_signal(results: pd.DataFrame, conditions: Sequence[str], control: str | None = None) -> Figure:
    """AUC of each signal for taxed and for deceived pairs, one mark a condition; or AUC minus that of a ``control``.

    ``results``: pooled rows of ``early_warning.early_warning``.
    """
    chance = CHANCE if control is None else 0.0
    rows = usual(results, signal=None, versus=control or "").set_index(["statistic", "signal", "condition"])
    # An explicit student's twin shares the baseline's random streams and a rerun's does not: no like with like.
    signals = [name for name in SIGNALS if control is None or name != "twins"]
    figure, axes = canvas(7.4, 0.62 * len(signals) + 1.5, 1, 2, sharey=True, sharex=True)
    said = []
    for ax, (target, title) in zip(axes, TARGETS.items()):
        for y, name in enumerate(signals):
            told = []
            for shift, condition in zip(offsets(len(conditions), 0.24), conditions):
                if (key := (f"auc_{target}", name, condition)) in rows.index:
                    row = rows.loc[key]
                    dot(ax, y + shift, row, condition, size=46)
                    told.append(f"{condition} {say(row) if control else say(row).split(' [')[0]}")
            said.append(f"{SIGNALS[name].title}, {title}: {', '.join(told)}")
        ax.axvline(chance, **DASHED)
        ax.set_title(title, fontsize=11)
        if rows.loc[rows.index.get_level_values("statistic") == f"auc_{target}", "value"].isna().all():
            ax.text(chance, (len(signals) - 1) / 2, "undefined", color=GREY, ha="center", backgroundcolor="none")
    name_rows(axes, [SIGNALS[name].title for name in signals])
    if control is None:
        axes[0].set(xlim=(0, 1.02), xticks=(0, 0.5, 1))
        measure, dashed = "AUC", "a signal that says nothing"
        twins = "Twins exist on the edition's control weak–strong pairs only."
    else:
        axes[0].set(xlim=(-0.6, 0.6), xticks=(-0.5, 0, 0.5))
        measure, dashed = f"AUC − the {control}'s AUC", f"as good as for the {control}"
        twins = f"Without twins: the {control}'s are not made as a conflict's are."
    figure.supxlabel(measure, color=GREY, fontsize=11)
    look = lambda c: {"color": CONDITION_COLOURS[c], "marker": MARKERS[c], "linewidth": 2, "label": c}
    handles = [axes[0].plot([], [], **look(c))[0] for c in conditions]
    figure.legend(handles=handles, loc="outside upper right", ncols=len(conditions))
    return Figure(
        figure,
        f"{measure} by signal, drawn with 95 % intervals; the dashed line is {chance:g}. {'; '.join(said)}.",
        f"Among the pairs that the no-conflict student ranks right. Dashed: {dashed}. Bars: 95 % intervals over seeds; "
        f"a bar that leaves the frame goes on. {twins}",
    )


def recall_by_budget(results: pd.DataFrame, conditions: Sequence[str]) -> Figure:
    """Share of the deceived pairs found by auditing the pairs of strongest signal, by budget; one panel a signal.

    ``results``: pooled rows of ``early_warning.early_warning``.
    """
    rows = usual(results, signal=None).set_index(["statistic", "signal", "condition"])
    figure, axes = _panels(list(SIGNALS), 2.2)
    said = []
    for name, ax in axes.items():
        told = []
        for shift, condition in zip(offsets(len(conditions), 1), conditions):
            keys = [(f"recall_at_{100 * b:g}", name, condition) for b in BUDGETS]
            if keys[0] not in rows.index:
                continue
            found = [rows.loc[key] for key in keys]
            x = 100 * np.array(BUDGETS) * 1.07**shift  # side by side, on a logarithmic axis
            bars(ax, x, found, condition, line="-", linewidth=1.4, markersize=5, elinewidth=1)
            told.append(f"{condition} {say(found[BUDGETS.index(0.05)], percent=True)}")
        said.append(f"{SIGNALS[name].title}: {', '.join(told)}")
        line = np.geomspace(min(BUDGETS), max(BUDGETS), 40)
        ax.plot(100 * line, 100 * line, **DASHED)
        ax.set(xscale="log", ylim=(-3, 103))
        ax.set_xticks([100 * b for b in BUDGETS], [f"{100 * b:g}" for b in BUDGETS])
        ax.minorticks_off()
    next(iter(axes.values())).legend(fontsize=9, loc="upper left")
    figure.supxlabel("audited (% of all pairs)", color=GREY, fontsize=11)
    figure.supylabel("deceived pairs found (%)", color=GREY, fontsize=11)
    return Figure(
        figure,
        "Share of the deceived pairs found by auditing the 5 % of the pairs with the strongest signal (chance: 5 %). "
        f"{'; '.join(said)}.",
        "Dashed: pairs drawn by lot. Bars: 95 % intervals over seeds. "
        "Twins exist on the edition's control weak–strong pairs only.",
    )
