"""What a null could have seen: planted students, the alarms they set off, and the share of the attainable."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from w2s_lib.figures.conflict import log_odds_axes
from w2s_lib.figures.rows import dot, name_rows
from w2s_lib.figures.style import AREA, DASHED, GREY, ROLE_COLOURS, STUDIES, Figure, canvas
from w2s_lib.findings.conflict import placebos_refused
from w2s_lib.findings.positive_controls import INNOCENT, PLANTED, SEEN, alarm_rates, largest
from w2s_lib.findings.results import pick
from w2s_lib.measures.metrics import Comparison

HIT, FALSE_ALARM = ROLE_COLOURS["strong ceiling"], AREA
PLANTED_SHORT = {
    "perfect": "all in\narea", "lowest": "low\nmargin", "half": "half",
    "blind": "any-\nwhere", "by_margin": "by\nmargin", "by_label": "by weak\nlabel",
}  # fmt: skip
SEEN_SHORT = {
    "deception_score": "DS",
    "excess_random": "− random",
    "excess_margin_matched": "− margin",
    "excess_label_matched": "− label",
    "excess_weak_matched": "− weak",
}
"""Kinds of ``PLANTED`` and statistics of ``SEEN``, in few letters."""


def planted_students(c: Comparison, seed: int) -> Figure:
    """One planted student of each kind on the plane of weak and ceiling p: deceivers left, innocents right."""
    figure, axes = canvas(6.2, 7.4, 3, 2, sharex=True, sharey=True)
    said, columns = [], [[k for k in PLANTED.values() if k.innocent is innocent] for innocent in (False, True)]
    for column, kinds in enumerate(columns):
        for ax, kind in zip(axes[:, column], kinds):
            tax = kind.plant(c, 1, np.random.default_rng(seed))[0]
            weak, ceiling = log_odds_axes(ax, c, (0.1, 0.99))
            rest, colour = c.right & ~tax, GREY if kind.innocent else AREA
            ax.scatter(weak[rest], ceiling[rest], s=4, color=GREY, alpha=0.2, linewidth=0)
            ax.scatter(weak[tax], ceiling[tax], s=18, marker="o", facecolor="none", edgecolor=colour, linewidth=1.1)
            inside = float(c.area[tax].mean()) if tax.any() else float("nan")
            ax.set_title(f"{kind.title.partition(': ')[2] or kind.title}: DS {inside:.2f}", fontsize=10)
            said.append(f"{kind.title} {inside:.2f}")
    for ax in axes[-1]:
        ax.set_xlabel("weak supervisor's p")
    for ax in axes[:, 0]:
        ax.set_ylabel("ceiling's p")
    return Figure(
        figure,
        f"Six scatter plots of the same pairs, each with the {int(c.tax.sum())} taxed pairs of a planted student; "
        f"the share of them in the deception area is {'; '.join(said)}.",
        "Left: three deceivers. Right: three innocents. Dots are pairs that the no-conflict student ranks right; "
        "rings, those that a planted student pays; the shade is the deception area.",
    )


def _alarms(
    dots: Axes, bars: Axes, planted: pd.DataFrame, found: pd.DataFrame, condition: str, versus: str
) -> list[str]:
    """A row a statistic: how often it alarms, at the left, and what the real student shows; returns it in words."""
    title, said = "beyond a rerun" if versus else "alone", []
    table = alarm_rates(planted, condition, versus=versus)
    for y, name in enumerate(SEEN):
        for x, kind in enumerate(PLANTED.values()):
            _dot(dots, x + 0.5 * kind.innocent, y, float(table.loc[name, kind.name]), kind.innocent)
        row, most = pick(found, name, condition, versus=versus), largest(found, name, condition, versus)
        bars.plot([0, most], [y, y], color=GREY, alpha=0.35, linewidth=9, solid_capstyle="butt")
        dot(bars, y, row, condition, size=42, width=1.6, color=GREY)
        half, innocents = (_percent(rate) for rate in (table.loc[name, "half"], table.loc[name, INNOCENT].max()))
        told = f"half a deceiver {half}, innocents at most {innocents}"
        said.append(f"{SEEN[name]} {title}: {told}, observed {row['value']:.2f} of {most:.2f}")
    dots.set_title(title, loc="left")
    dots.set(xlim=(-0.6, 6.1), ylim=(len(SEEN) - 0.4, -0.6))
    dots.set_yticks(range(len(SEEN)), list(SEEN_SHORT.values()))
    bars.axvline(0, **DASHED)
    bars.set_xlim(-0.35, 1.05)
    for ax in (dots, bars):
        ax.tick_params(length=0)
        ax.spines[["left", "bottom"]].set_visible(False)
    return said


def what_it_sees(
    planted: pd.DataFrame, found: pd.DataFrame, condition: str, parts: Sequence[str] = ("", "rerun")
) -> Figure:
    """How often each statistic alarms for each kind of planted student, and what the real student shows.

    Above alone, below beyond a rerun, or one of these ``parts``.
    ``planted`` as of ``positive_controls``, ``found`` as of ``observed``.
    """
    rows = len(parts)
    figure, axes = canvas(6.2, 3.4 * rows, rows, 2, width_ratios=(3, 1.25), sharey=True, sharex="col", squeeze=False)
    said = []
    for row, versus in zip(axes, parts):
        said += _alarms(*row, planted, found, condition, versus)
    top, last = axes[0, 0], axes[-1, 0]
    top.set_title(top.get_title("left"), loc="left", pad=20)
    for x, text, colour in ((1, "deceivers seen", HIT), (4.5, "false alarms", FALSE_ALARM)):
        top.text(x, -0.68, text, ha="center", va="bottom", color=colour)
    axes[0, 1].set_title(f"{condition}: observed,\nof the attainable", fontsize=10)
    at = [x + 0.5 * kind.innocent for x, kind in enumerate(PLANTED.values())]
    last.set_xticks(at, [PLANTED_SHORT[name] for name in PLANTED], fontsize=9)
    return Figure(
        figure,
        f"How often each statistic alarms for planted students, in percent, and what the {condition} conflict shows: "
        f"{'; '.join(said)}.",
        "Numbers: in how many of a hundred planted studies the 95 % interval lies above zero. A good statistic is full "
        "on the left and empty in the middle. “− random” is the score minus its random null, and so on. Right: mark "
        "and line, the real student with its interval; pale bar, up to the largest attainable value.",
    )


def _percent(rate: float) -> str:
    return "–" if np.isnan(rate) else f"{100 * rate:.0f}"


def _dot(ax: Axes, x: float, y: float, rate: float, innocent: bool) -> None:
    """A ring that is filled as far as the rate goes, by area, with the rate in percent below."""
    colour, marker, full = (FALSE_ALARM, "s", 230) if innocent else (HIT, "o", 280)
    ax.scatter(x, y, s=full, marker=marker, facecolor="none", edgecolor=GREY, linewidth=0.8, alpha=0.6)
    if rate > 0:
        ax.scatter(x, y, s=full * rate, marker=marker, color=colour, linewidth=0, alpha=0.9)
    ax.text(x, y + 0.3, _percent(rate), ha="center", va="top", fontsize=10)


def shares(studies: Mapping[str, pd.DataFrame], conditions: Sequence[str]) -> Figure:
    """Share of the attainable excess over the margin- and weak-matched nulls, by condition, studies side by side.

    ``studies``: a name of ``style.STUDIES`` → results rows as of ``observed``.
    """
    figure, axes = canvas(6.2, 0.62 * len(conditions) + 1.6, 1, 2, sharey=True, sharex=True)
    said = []
    for ax, null in zip(axes, ("margin_matched", "weak_matched")):
        for i, (study, rows) in enumerate(studies.items()):
            colour = list(STUDIES.values())[i]
            for y, condition in enumerate(conditions):
                row = pick(rows, f"share_of_attainable_{null}", condition)
                at = y + 0.26 * (i - (len(studies) - 1) / 2)
                look = {"color": colour, "label": study if y == 0 else None}
                dot(ax, at, row, condition, size=48, **look)
                said.append(f"{study}, {condition}, {null.replace('_', '-')} {row['value']:.2f}")
        ax.axvline(0, **DASHED)
        ax.axvline(1, color=GREY, linewidth=1, linestyle=":")
        ax.set_title(f"{null.replace('_', '-')} null", fontsize=11)
        ax.set_xticks([0, 0.5, 1], ["0\ninnocent", "0.5", "1\nperfect"])
    axes[0].set_xlim(-0.75, 1.1)
    name_rows(axes, conditions, above=0.6, below=0.6)
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=len(studies))
    return Figure(
        figure,
        f"Share of the attainable excess by condition: {'; '.join(said)}.",
        "0: what an innocent shows; 1: what a perfect deceiver would. 95 % intervals over seeds; one that leaves the "
        "frame goes on." + placebos_refused(studies) * ("placebo" in conditions),
    )
