"""The PGR ladder: weak supervisor, student and ceiling on one line for each weak-strong pair."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from w2s_lib.figures.rows import HOLLOW, dot, has_record, name_rows
from w2s_lib.figures.style import DASHED, GREY, ROLE_COLOURS, Figure, canvas
from w2s_lib.findings.results import rows_with, say, wide

ACCURACY_MARKERS = (
    ("accuracy_weak", "weak supervisor", "o"),
    ("accuracy", "strong student", "D"),
    ("accuracy_ceiling", "strong ceiling", "s"),
)


def roles(ax: Axes, y: float, accuracy: pd.Series, seeds: pd.DataFrame, pgr: str, beside: bool = False) -> None:
    """Weak supervisor, student and ceiling as three marks on a line, single seeds faint below, PGR at the right.

    ``accuracy``: value by statistic; ``seeds``: this build's rows, one a seed and statistic; ``beside``: the values are
    a record's, and the seeds' marks hollow.
    """
    ax.plot([accuracy["accuracy_weak"], accuracy["accuracy_ceiling"]], [y, y], color=GREY, linewidth=1)
    for statistic, role, marker in ACCURACY_MARKERS:
        full, faint = {"facecolor": ROLE_COLOURS[role]}, rows_with(seeds, statistic=statistic)["value"]
        look, small = {"marker": marker, "edgecolor": ROLE_COLOURS[role]}, HOLLOW if beside else full
        ax.scatter(faint, np.full(len(faint), y + 0.21), s=14, alpha=0.45, **look | small)
        ax.scatter(accuracy[statistic], y, s=70, zorder=3, label=None if y else role, **look | full)
    ax.text(1.02, y, pgr, va="center", fontsize=10, transform=ax.get_yaxis_transform())


def pgr_ladder(per_seed: pd.DataFrame, results: pd.DataFrame) -> Figure:
    """Accuracies as three marks on a line per pair (seeds faint), the recovered share at the right.

    ``per_seed`` and ``results`` as of ``results.measure`` and ``results.summarise``, condition ``none``.
    """
    table = wide(results)
    figure, ax = canvas(7.4, 0.62 * len(table) + 1.5)
    said = []
    for y, ((weak, strong), row) in enumerate(table.iterrows()):
        pgr = row.get("pgr", np.nan)
        seeds = rows_with(per_seed, weak=weak, strong=strong)
        roles(ax, y, row, seeds, "gap too small" if np.isnan(pgr) else f"PGR {pgr:.2f}", has_record(results))
        accuracies = ", ".join(f"{row[statistic]:.2f}" for statistic, _, _ in ACCURACY_MARKERS)
        said.append(f"{weak} to {strong}: {accuracies}")
    name_rows(ax, [f"{weak} → {strong}" for weak, strong in table.index], above=0.6, line=False)
    ax.set(xlabel="accuracy on the test pairs")
    ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.18 - 0.5 / len(table)), ncols=3)
    return Figure(
        figure,
        f"Accuracy of weak supervisor, student and ceiling by weak-strong pair: {'; '.join(said)}.",
        f"Large marks: means over seeds ({results['n_seeds'].max()}); small ones: seeds of this build. PGR is the "
        "student's way from weak to ceiling, averaged over the seeds whose gap is at least 0.05.",
    )


def pgr_intervals(results: pd.DataFrame, pooled: pd.Series) -> Figure:
    """PGR with its 95 % interval for each weak-strong pair, and over all of them."""
    rows = results[results["statistic"] == "pgr"].dropna(subset="value")
    names = [*(f"{w} → {s}" for w, s in zip(rows["weak"], rows["strong"])), "all of them"]
    rows = pd.concat([rows, pooled.to_frame().T], ignore_index=True)
    figure, ax = canvas(6.6, 0.42 * len(rows) + 1.3)
    for y, row in rows.iterrows():
        dot(ax, y, row, size=50, color=ROLE_COLOURS["strong student"] if y == len(rows) - 1 else GREY)
        ax.text(1.02, y, f"seeds: {row['n_seeds']}", va="center", fontsize=9, transform=ax.get_yaxis_transform())
    for x, text in ((0, "the weak supervisor"), (1, "the ceiling")):
        ax.axvline(x, **DASHED)
        ax.text(x, -0.7, text, ha="center", va="bottom", fontsize=9)
    name_rows(ax, names, above=0.6)
    ax.set(xlabel="performance gap recovered (PGR)", xlim=(-1.0, 2.0))
    said = "; ".join(f"{name} {say(row)}" for name, (_, row) in zip(names, rows.iterrows()))
    return Figure(
        figure,
        f"Performance gap recovered with its 95 % interval, by weak-strong pair: {said}.",
        "95 % intervals over seeds; a bar that leaves the frame goes on. Where the gap of a weak–strong pair is too "
        "small for PGR in every seed, the pair is left out.",
    )


def gains(table: pd.DataFrame) -> Figure:
    """Of a supervisor's wrong answers the share students correct, of its right ones the share they lose, by confidence.

    ``table`` as of ``generalization.gain_by_confidence``.
    """
    figure, ax = canvas(6.6, 3.6)
    said, x = [], np.arange(len(table))
    for name, of, colour, marker, aside in (
        ("corrected", "wrong", ROLE_COLOURS["strong student"], "D", -0.06),
        ("lost", "right", ROLE_COLOURS["weak supervisor"], "o", 0.06),
    ):
        ax.vlines(x + aside, 100 * table[f"{name}_low"], 100 * table[f"{name}_high"], color=colour, linewidth=2)
        ax.plot(x + aside, 100 * table[name], color=colour, marker=marker, linewidth=1, label=f"{name}, of the {of}")
        for i, (share, n) in enumerate(zip(table[name], table[of])):
            ax.annotate(f"of {n:.0f}", (x[i] + aside, 100 * share), (9, 5), textcoords="offset points", fontsize=9)
        told = ", ".join(f"{100 * v:.0f} % at {c}" for v, c in zip(table[name], table["weak_confidence"]))
        said.append(f"{name}, of its {of} answers: {told}")
    ax.set_xticks(x, table["weak_confidence"])
    ax.set(xlabel="confidence of the weak supervisor", ylabel="% of its answers", xlim=(-0.4, len(table) - 0.4))
    ax.set_ylim(-3, 103)
    figure.legend(loc="outside upper right", ncols=2, fontsize=9)
    return Figure(
        figure,
        "What students make of their supervisor's answers, by its confidence. " + "; ".join(said) + ".",
        "Of the pairs that the supervisor ranks wrong, how many the student ranks right; of those it ranks right, how "
        "many the student ranks wrong. Small numbers: such pairs, a weak–strong pair and seed, on average. 95 % "
        "intervals over seeds.",
    )
