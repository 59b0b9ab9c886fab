"""Figures of the field: which works act where; and every student of the book between two aims."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patches import FancyBboxPatch

from w2s_lib.figures.rows import ONE, Measure, Row, forest, under_headings
from w2s_lib.figures.style import CONDITION_COLOURS, DASHED, GREY, MARKERS, ROLE_COLOURS, Figure, canvas
from w2s_lib.findings.conformity import AIMS, AIMS_BESIDE_RERUN, ON_THE_MAP, RIVAL_OF_AIMS
from w2s_lib.findings.results import UNMODIFIED, pick, rows_with, usual
from w2s_lib.findings.search import GUIDE, SEARCH
from w2s_lib.findings.society import MACPO
from w2s_lib.findings.statistics import MATCHED
from w2s_lib.study.conditions import CONDITIONS, TURNS
from w2s_lib.study.methods import TITLES
from w2s_lib.study.mitigations import title


class Publication(NamedTuple):
    """A work of the field: its key in the references, how it is cited, its name on the map, where it acts, and the
    book's chapter that runs it (empty: read, not run)."""

    key: str
    cited: str
    name: str
    acts: str
    chapter: str = ""


WHERE_WORKS_ACT = {
    "theory": "why it\nworks at all",
    "labels": "which labels\nare learned from",
    "loss": "by which loss",
    "use": "at use,\nwithout training",
    "agents": "who else\nspeaks",
    "aims": "what it is\nall for",
}
"""Where works act, from explanation to purpose."""

WORKS = (
    Publication("charikar2024", "Charikar 2024", "misfit", "theory", "19_theory"),
    Publication("yao2025", "Yao 2025", "bounds", "theory", "19_theory"),
    Publication("goel2025", "Goel 2025", "shared errors", "theory", "19_theory"),
    Publication("wu2025", "Wu 2025", "benign overfitting", "theory", "20_provable"),
    Publication("burns2023", "Burns 2023", "weak labels", "labels", "04_weak_to_strong"),
    Publication("yang2025", "Yang 2025", "conflicts", "labels", "05_conflict_tax_deception"),
    Publication("shi2025", "Shi 2025", "label again", "labels", "30_label_again"),
    Publication("lang2026", "Lang 2026", "self-answered", "labels", "30_label_again"),
    Publication("uzunoglu2026", "Uzunoglu 2026", "trust functions", "labels", "30_label_again"),
    Publication("somerstep2025", "Somerstep 2025", "refine, then learn", "labels"),
    Publication("yao2025reverse", "Yao 2025", "reverse KL", "loss", "21_another_loss"),
    Publication("rafailov2023", "Rafailov 2023", "DPO", "loss", "12_preference_optimisation"),
    Publication("meng2024", "Meng 2024", "SimPO", "loss", "12_preference_optimisation"),
    Publication("yang2025sepo", "Yang 2025", "chosen tokens", "loss", "31_token_by_token"),
    Publication("zhou2024", "Zhou 2024", "search", "use", "23_no_training"),
    Publication("mitchell2024", "Mitchell 2024", "emulation", "use", "23_no_training"),
    Publication("sang2024", "Sang 2024", "ensembles", "agents", "13_what_helps"),
    Publication("lyu2025", "Lyu 2025", "many agents", "agents", "32_many_agents"),
    Publication("wen2026", "Wen 2026", "agents do research", "agents", "26_sealed_challenge"),
    Publication("kim2024", "Kim 2024", "survey", "aims"),
    Publication("kim2025", "Kim 2025", "two aims", "aims", "29_competence_and_conformity"),
    Publication("mazzu2024", "Mazzu 2024", "trust", "aims"),
)
"""The works that this book is built on or stands beside; keys are of ``references.bib``."""


def field_map() -> Figure:
    """Works in columns by where they act; filled where a chapter of this book runs them."""
    columns = {act: [work for work in WORKS if work.acts == act] for act in WHERE_WORKS_ACT}
    most = max(map(len, columns.values()))
    figure, ax = canvas(8.6, 0.72 * most + 1.2)
    ax.set(xlim=(0, len(WHERE_WORKS_ACT)), ylim=(-most - 0.1, 1.0))
    ax.axis("off")
    said = []
    for x, (act, held) in enumerate(columns.items()):
        middle = {"ha": "center", "va": "center"}
        ax.text(x + 0.5, 0.5, WHERE_WORKS_ACT[act], fontsize=9.5, fontweight="bold", color=GREY, **middle)
        for y, work in enumerate(held):
            colour = ROLE_COLOURS["strong student"] if work.chapter else GREY
            look = {"facecolor": colour + "2E" if work.chapter else "none", "edgecolor": colour, "linewidth": 1.4}
            look |= {} if work.chapter else {"linestyle": "--"}
            ax.add_patch(FancyBboxPatch((x + 0.07, -y - 0.8), 0.86, 0.6, boxstyle="round,pad=0.03", **look))
            chapter = f" · {work.chapter[:2]}" if work.chapter else ""
            ax.text(x + 0.5, -y - 0.5, f"{work.name}\n{work.cited}{chapter}", fontsize=8, **middle)
        names = (f"{work.name} ({'chapter ' + work.chapter[:2] if work.chapter else 'not run'})" for work in held)
        said.append(f"{WHERE_WORKS_ACT[act].replace(chr(10), ' ')}: {', '.join(names)}")
    return Figure(
        figure,
        f"Map of the field, by where a work acts. {'; '.join(said)}.",
        "Filled: run in this book, with the number of the chapter; dashed: read and discussed. A work stands once, "
        "where this book takes most from it.",
    )


def student_table(results: pd.DataFrame) -> pd.DataFrame:
    """One row a student: ``method, condition, mitigation, competence, conformity, score, null`` (NaN without a
    conflict), pooled; bootstrapping stands averaged over its ways."""
    rows = usual(results, rival=None, mitigation=None)
    names, shown = ["method", "condition", "mitigation"], [*AIMS, "deception_score", "null_margin_matched"]
    table = rows.set_index([*names, "statistic"])["value"].unstack().reindex(columns=shown)
    told = dict.fromkeys(map(tuple, rows[rows["statistic"] == AIMS[0]][names].to_numpy()))
    short = {"deception_score": "score", "null_margin_matched": "null"}
    return table.loc[list(told)].reset_index().rename(columns=short)


def drawn(found: pd.DataFrame) -> pd.DataFrame:
    """Those rows of ``student_table`` that the map shows: under a mitigation, those that have a conflict as well."""
    return found[(found["mitigation"] == "") | (found["condition"] != "none")]


METHODS_IN_WORDS = TITLES | {SEARCH: "guided", GUIDE: "guide alone", MACPO: "society"}
"""Methods in words: those that train a student, and those that have a strong model otherwise."""


AXIS_END, AXIS_ROOM = 104.0, 8.0
"""Where the map's axes end, for discs at 100 %; how far an axis begins below what it shows."""


def _limits(found: pd.DataFrame, tried: pd.DataFrame, stars: Iterable[Sequence[float]]) -> tuple[list, list]:
    """Where the map's axes begin and end, to show all of the students and stars, and to show those tried enlarged."""
    least = (np.nanmin([*(100 * found[aim]), *places, 100.0]) for aim, places in zip(AIMS, zip(*stars)))
    whole = [(float(low) - AXIS_ROOM, AXIS_END) for low in least]
    near = [(100 * tried[aim].min() - 4, 100 * tried[aim].max() + 6) for aim in AIMS] if len(tried) else whole
    return whole, near


def _disc(ax: Axes, row: tuple) -> str:
    """Draw a student, a row of ``student_table``: disc and ring, or a small mark without a score; returns its words."""
    colour, x, y = CONDITION_COLOURS.get(row.condition, GREY), 100 * row.competence, 100 * row.conformity
    called = title(row.mitigation) if row.mitigation else row.condition
    called = called if row.method == "reward_model" else f"{METHODS_IN_WORDS[row.method]}, {called}"
    if np.isnan(row.score):
        ax.scatter(x, y, marker=MARKERS.get(row.condition, "o"), s=40, color=colour)
        return f"{called} {x:.0f} % and {y:.0f} %"
    ax.scatter(x, y, s=220 * row.score, alpha=0.3, linewidth=0, color=colour)
    ax.scatter(x, y, s=220 * row.null, facecolor="none", edgecolor=colour, linewidth=1.3)
    return f"{called} {x:.0f} % and {y:.0f} %, DS {row.score:.2f} and null {row.null:.2f}"


def on_the_map(results: pd.DataFrame, clash: float) -> Figure:
    """Every student between competence and conformity; discs of the size of its DS, in rings of that of its null.

    ``clash``: share of the pairs on which the two aims clash.  From left to right: reward models by
    condition, what was tried against the explicit conflict, policies."""
    found = drawn(student_table(results))
    usual_method = found["method"] == "reward_model"
    plain = found[usual_method & (found["mitigation"] == "")]
    tried = found[usual_method & (found["mitigation"] != "")]
    figure, axes = canvas(9.2, 4.7, 1, 3)
    panels = (("reward models", plain), ("under a mitigation, enlarged", tried), ("policies", found[~usual_method]))
    level = lambda name: 100 * pick(results, name, "none", method="reward_model", rival=RIVAL_OF_AIMS)["value"]
    stars = {called: [level(f"{aim}_{who}") for aim in AIMS] for who, called in ON_THE_MAP.items()}
    said = []
    for ax, (name, rows) in zip(axes, panels):
        ax.set_title(name, fontsize=10.5)
        least = 1 - clash  # of one aim, where the other has all
        ax.plot((100 * least, 100), (100, 100 * least), **DASHED)
        for called, (x, y) in stars.items():
            colour = ROLE_COLOURS[called]
            ax.scatter(x, y, marker="*", s=120, color=colour, zorder=4)
            if ax is axes[0]:
                ax.annotate(called, (x, y), (7, -3), textcoords="offset points", fontsize=8.5, color=colour)
        small_on_large = rows.sort_values("score", ascending=False).itertuples()
        said.append(f"{name}: {'; '.join(_disc(ax, row) for row in small_on_large)}")
        ax.set_xlabel("competence\n(helpful reply preferred, %)")
    whole, near = _limits(found, tried, stars.values())
    for ax, (xlim, ylim) in zip(axes, (whole, near, whole)):
        ax.set(xlim=xlim, ylim=ylim)
    axes[0].set_ylabel("conformity\n(harmless reply preferred, %)")
    seen = [c for c in CONDITIONS if c in set(found["condition"])]
    handles = [axes[0].scatter([], [], color=CONDITION_COLOURS[c], label=c.replace("_", " "), s=30) for c in seen]
    figure.legend(handles=handles, loc="outside lower center", ncols=6, fontsize=8.5)
    return Figure(
        figure,
        f"Competence and conformity of every student. {'. '.join(said)}.",
        "Area of a disc: DS; of its ring: the margin-matched null. Small marks: no conflict, so no score. Stars: weak "
        "supervisor and strong ceiling. Policies: trained, also under mitigations; guided and never trained; in a "
        "society. Not here: students at another dose, with another aim or on noisy labels, linear heads, societies' "
        "controls, submissions. On the dashed line every pair on which the two aims agree is ranked right; along it "
        "one aim is bought with the other.",
    )


def what_moves(results: pd.DataFrame) -> Figure:
    """What conflicts, the placebo and mitigations change in both aims, with intervals, a row each.

    Conditions minus the rerun; mitigations minus no mitigation, under the explicit conflict."""
    changed = usual(results, rival=RIVAL_OF_AIMS, mitigation=None, versus=None)
    methods = [m for m in TITLES if m in set(changed["method"])]
    groups = {f"{TITLES[m]}, minus a rerun": [(c, (m, c, "")) for c in AIMS_BESIDE_RERUN] for m in methods}
    names = dict.fromkeys(rows_with(changed, versus=UNMODIFIED)["mitigation"])
    if names:
        groups["explicit, minus no mitigation"] = [(title(n), ("reward_model", "explicit", n)) for n in names]
    rows = under_headings(groups)
    figure, axes = canvas(7.8, 0.27 * rows[-1].y + 1.3, 1, 2, sharey=True)

    def of(measure: Measure, about: tuple[str, str, str], _: str) -> pd.Series:
        method, condition, mitigation = about
        versus = UNMODIFIED if mitigation else "rerun"
        its = {"method": method, "mitigation": mitigation, "versus": versus, "rival": RIVAL_OF_AIMS}
        return pick(results, measure.statistic, condition, **its)

    measures = [Measure(f"change of\n{aim} (points)", aim, 100, conditions=ONE, most=80) for aim in AIMS]
    said = forest(axes, rows, measures, of, size=40)
    return Figure(
        figure,
        f"What changes in competence and conformity. {'. '.join(said)}.",
        "Bars: 95 % intervals over seeds; a bar that leaves the frame goes on. The placebo is what a second task costs "
        "that wants neither.",
    )


BY_TURNS = {
    "implicit_in_turns": "helpfulness,\nwhich comes last",
    "implicit_weak_last": "helpfulness,\nweak labels last",
    "placebo_in_turns": "politeness (placebo),\nwhich comes last",
}


def turns_against_mixed(results: pd.DataFrame) -> Figure:
    """What it changes to learn two aims in turn instead of mixed: tax, both aims and DS − null, with intervals."""
    about_zero = {"conditions": ONE, "most": np.inf}
    measures = [
        Measure("conflict tax\n(points)", "conflict_tax", 100, **about_zero),
        *(Measure(f"{aim}\n(points)", aim, 100, {"rival": RIVAL_OF_AIMS}, **about_zero) for aim in reversed(AIMS)),
        Measure("DS − null", MATCHED, **about_zero),
    ]
    figure, axes = canvas(8.6, 3.0, 1, len(measures), sharey=True)
    rows = [Row(y, name, condition) for y, (condition, name) in enumerate(BY_TURNS.items())]
    its = {"method": "reward_model"}
    of = lambda measure, c, _: pick(results, measure.statistic, c, versus=TURNS[c], **its | measure.names)
    said = forest(axes, rows, measures, of, size=70)
    return Figure(
        figure,
        f"Two aims in turn, minus the same pairs mixed. {'. '.join(said)}.",
        "In turn minus mixed, at equal data; bars: 95 % intervals over seeds. Right of the line turns have more of it.",
    )
