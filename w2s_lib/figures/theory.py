"""Figures of the theory chapter: what is promised as a line or a band, what was found as marks."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from w2s_lib.figures.rows import dot, name_rows, offsets
from w2s_lib.figures.style import CONDITION_COLOURS, DASHED, GREY, MARKERS, ROLE_COLOURS, Figure, canvas
from w2s_lib.findings.results import TRAINING, pick, rows_with, say
from w2s_lib.findings.statistics import MATCHED
from w2s_lib.findings.theory import BOUNDS, COIN

BOUND_STEPS = {
    "loss_distance": "what is bounded:\ndistance of two mean log losses",
    "bound_pair_by_pair": "ups no longer\ncancel downs",
    "bound_by_variation": "every pair as steep\nas the worst, 1/γ",
    "bound_by_kl": "Pinsker:\nKL(weak ‖ student)",
    "bound_by_reverse_kl": "or\nKL(student ‖ weak)",
}
"""What each of ``theory.BOUNDS`` gives away."""

SLACKS = {
    "slack_mixtures": "mixtures, reverse KL; the truth is a member",
    "slack_mixtures_truth": "… against the pairs' own truth",
    "slack_heads": "heads, reverse KL; the truth is a head",
    "slack_heads_truth": "… against the pairs' own truth",
    "slack_heads_forward": "heads, forward KL; the truth is a head",
}
"""Statistic of ``theory.slacks`` → the student and its truth."""


def columns_by_cell(per_seed: pd.DataFrame, *statistics: str) -> pd.DataFrame:
    """One row a seed and weak-strong pair, one column a statistic, of the student without a conflict on test pairs."""
    mine = rows_with(per_seed[per_seed["statistic"].isin(statistics)], condition="none", on="")
    return mine.pivot(index=["seed", "weak", "strong"], columns="statistic", values="value")[list(statistics)]


STUDENT_COLOUR = ROLE_COLOURS["strong student"]


def _by_seed(ax: Axes, cells: pd.DataFrame) -> None:
    """A mark a weak-strong pair, the first column along and the second up, each seed in a shade of its own."""
    for i, (seed, mine) in enumerate(cells.groupby("seed")):
        look = {"alpha": 0.4 + 0.25 * (i % 3), "marker": "osD"[i % 3], "label": f"seed {seed}"}
        ax.scatter(*mine.to_numpy().T, s=34, color=STUDENT_COLOUR, linewidth=0, **look)


def misfit_and_gain(per_seed: pd.DataFrame) -> Figure:
    """Gain against misfit, a mark a weak-strong pair and seed; on the line and above, the theorem would have them.

    ``per_seed``: first frame of ``theory.theory``.
    """
    cells = columns_by_cell(per_seed, "misfit", "gain")
    figure, ax = canvas(5.4, 4.2)
    _by_seed(ax, cells)
    most = 1.08 * float(cells.to_numpy().max())
    ax.plot([0, most], [0, most], **DASHED)
    ax.text(0.97 * most, 0.99 * most, "gain = misfit", ha="right", va="top", rotation=0, fontsize=9)
    ax.axhline(0, color=GREY, linewidth=0.6)
    ax.set(xlabel="misfit: mean (p − q)²", ylabel="gain in mean squared\ndistance from the truth", xlim=(0, most))
    ax.legend(fontsize=9, loc="upper left")
    below = int((cells["gain"] < cells["misfit"]).sum())
    return Figure(
        figure,
        f"Gain against misfit of students ({len(cells)}): {below} lie below the line on which gain equals misfit; "
        f"misfit from {cells['misfit'].min():.3f} to {cells['misfit'].max():.3f}, gain from {cells['gain'].min():.3f} "
        f"to {cells['gain'].max():.3f}.",
        "Each mark is a weak–strong pair in one seed. A student that is what the theorem asks for lies on the dashed "
        "line or above it.",
    )


def staircase(per_seed: pd.DataFrame) -> Figure:
    """The distance of two losses and every bound of it, on a logarithmic scale: which step gives most away.

    ``per_seed``: first frame of ``theory.theory``.
    """
    cells = columns_by_cell(per_seed, *BOUNDS)
    figure, ax = canvas(7.4, 3.9)
    place = dict(zip(cells.groupby(["seed", "weak", "strong"]).groups, offsets(len(cells), 0.5 / max(len(cells), 1))))
    medians = cells.median()
    for y, name in enumerate(BOUNDS):
        ax.scatter(cells[name], [y + place[at] for at in cells.index], s=16, color=STUDENT_COLOUR, alpha=0.55)
        ax.plot([medians[name]] * 2, [y - 0.36, y + 0.36], color=GREY, linewidth=2.4)
    ax.plot(medians, range(len(medians)), color=GREY, linewidth=0.8, linestyle=":")
    name_rows(ax, [BOUND_STEPS[name] for name in BOUNDS], above=0.8)
    ax.axvline(COIN, **DASHED)
    ax.text(COIN, -0.7, " log 2: what a coin loses", fontsize=9, va="top")
    ax.set(xscale="log", xlabel="nats, logarithmic")
    told = "; ".join(f"{' '.join(BOUND_STEPS[name].split())}: {medians[name]:.3g}" for name in BOUNDS)
    return Figure(
        figure,
        f"What the log losses of student and supervisor differ by, and its bounds; medians over students "
        f"({len(cells)}), in nats: {told}.",
        "Each mark is a weak–strong pair in one seed; grey bars are medians. A promise beyond the dashed line says "
        "nothing that a coin would not.",
    )


def calibration_bands(per_seed: pd.DataFrame) -> Figure:
    """For every student: its supervisor's calibration error, the band around it that is promised, and the student's.

    ``per_seed``: first frame of ``theory.theory``.
    """
    names = ("calibration_error_weak", "calibration_in_bins_of_weak", "variation")
    cells = columns_by_cell(per_seed, *names).sort_values("variation")
    weak, student, reach = (cells[name].to_numpy() for name in names)
    x = np.arange(len(cells))
    figure, ax = canvas(7.4, 3.4)
    ax.bar(x, weak + reach - np.maximum(weak - reach, 0), bottom=np.maximum(weak - reach, 0), width=0.7, color=GREY,
           alpha=0.22, label="promised: ± mean |p − q|")  # fmt: skip
    ax.scatter(x, weak, s=26, color=ROLE_COLOURS["weak supervisor"], marker="_", linewidth=2.2, label="weak supervisor")
    ax.scatter(x, student, s=26, color=STUDENT_COLOUR, label="student, in the same bins")
    ax.set(xlabel="weak–strong pairs and seeds, the nearest student first", ylabel="calibration error", xticks=[])
    figure.legend(*ax.get_legend_handles_labels(), loc="outside upper right", ncols=3, fontsize=9)
    used = np.median(np.abs(student - weak) / reach)
    return Figure(
        figure,
        f"Calibration errors of students ({len(cells)}) and their supervisors, in the same bins. All students lie "
        f"within the promised band; at the median the distance is {used:.2f} of what the band allows. Students' errors "
        f"from {student.min():.2f} to {student.max():.2f}, supervisors' from {weak.min():.2f} to {weak.max():.2f}.",
        "The band cannot be left: it is a theorem. What can be read is how much of it is used.",
    )


def pythagoras(results: pd.DataFrame) -> Figure:
    """Slack of Pythagoras' inequality for each student and truth, on training pairs (squares) and unseen ones.

    ``results``: second frame of ``theory.theory``.
    """
    figure, ax = canvas(7.4, 3.6)
    said = []
    for y, (name, title) in enumerate(SLACKS.items()):
        for at, on, label in ((-0.14, TRAINING, "pairs that it learned from"), (0.14, "", "unseen pairs")):
            row = pick(results, name, "none", on=on)
            look = {"color": STUDENT_COLOUR, "label": label if y == 0 else None}
            dot(ax, y + at, row, marker="s" if on == TRAINING else "o", size=46, **look)
            said.append(f"{title}, {label}: {say(row)}")
    name_rows(ax, list(SLACKS.values()), above=0.6)
    ax.axvline(0, **DASHED)
    ax.set(xlabel="slack in nats; the inequality holds at 0 and above")
    figure.legend(*ax.get_legend_handles_labels(), loc="outside upper right", ncols=2, fontsize=9)
    return Figure(
        figure,
        f"Slack of Pythagoras' inequality with 95 % intervals. {'; '.join(said)}.",
        "What a student gains beyond what it differs from its supervisor, in nats of KL. Bars: 95 % intervals.",
    )


def alike_and_apart(per_seed: pd.DataFrame) -> Figure:
    """The rivals against each other: capability gap and CAPA's κ of every weak-strong pair and seed.

    ``per_seed``: first frame of ``theory.theory``.
    """
    cells = columns_by_cell(per_seed, "gap", "kappa")
    figure, ax = canvas(5.4, 3.7)
    _by_seed(ax, cells)
    ax.set(xlabel="capability gap: ceiling − weak, in accuracy", ylabel="κ of weak supervisor and ceiling")
    ax.legend(fontsize=9)
    within = {seed: mine["gap"].corr(mine["kappa"]) for seed, mine in cells.groupby("seed") if len(mine) > 2}
    told = "; ".join(f"seed {seed} {r:.2f}" for seed, r in within.items()) or "too few pairs"
    return Figure(
        figure,
        f"CAPA's kappa against the capability gap over weak-strong pairs and seeds ({len(cells)}); correlation within "
        f"a seed: {told}.",
        f"κ is 0 where two models err independently and 1 where they are sure and never differ. Correlation "
        f"within a seed: {told}.",
    )


def rivals(results: pd.DataFrame) -> Figure:
    """Slopes of tax, DS, DS beyond its null and PGR on the gap and on κ, each alone and at equal values of the other.

    ``results``: second frame of ``theory.theory``.
    """
    shown = {
        "conflict tax": ("conflict_tax", ("explicit", "implicit")),
        "DS": ("deception_score", ("explicit", "implicit")),
        "DS − matched null": (MATCHED, ("explicit", "implicit")),
        "PGR": ("pgr", ("none",)),
    }
    rows = {
        "gap": {"gap": "alone", "gap_given_kappa": "at equal κ"},
        "kappa": {"kappa": "alone", "kappa_given_gap": "at equal gap"},
    }
    figure, axes = canvas(9.6, 3.9, 2, 4, sharey="row")
    said = []
    for line, (about, asked) in zip(axes, rows.items()):
        for ax, (title, (statistic, conditions)) in zip(line, shown.items()):
            estimates = []
            for y, per in enumerate(asked):
                for at, condition in zip(offsets(len(conditions), 0.28), conditions):
                    row = pick(results, statistic, condition, per=per)
                    dot(ax, y + at, row, condition, size=40)
                    estimates.append(abs(row["value"]))
                    said.append(f"{title} {condition} on {about} {asked[per]}: {say(row)}")
            ax.axvline(0, **DASHED)
            reach = 4 * np.nanmax([*estimates, 0.05])
            ax.set(xlim=(-reach, reach), title=title if about == "gap" else "")
            ax.set_xlabel(f"per unit of {'the gap' if about == 'gap' else 'κ'}")
        name_rows(line, list(asked.values()))
    colours = [(c, CONDITION_COLOURS[c], MARKERS[c]) for c in ("explicit", "implicit", "none")]
    marks = [axes[0, 0].scatter([], [], color=colour, marker=marker, label=c) for c, colour, marker in colours]
    figure.legend(handles=marks, loc="outside upper right", ncols=3, fontsize=9)
    return Figure(
        figure,
        f"Slopes within a seed, with 95 % intervals over seeds. {'; '.join(said)}.",
        "One line a seed through its weak–strong pairs; with two rivals, each slope is taken at equal values of the "
        "other. Bars that leave the frame go on.",
    )
