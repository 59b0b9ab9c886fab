"""Several studies on one scale: what each condition taxes, what its score is, and what a null leaves of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import cycle

import numpy as np
import pandas as pd

from w2s_lib.figures.rows import ONE, Measure, dot, forest, name_rows, offsets, under_headings
from w2s_lib.figures.style import CONDITION_COLOURS, DASHED, GREY, STUDIES, Figure, canvas
from w2s_lib.findings.conflict import placebo_refused, placebos_refused
from w2s_lib.findings.real_replies import JUDGED
from w2s_lib.findings.real_texts import ACROSS, WITHIN, family
from w2s_lib.findings.results import ALL, ONE_DIVISION, pick, say, usual
from w2s_lib.findings.statistics import MATCHED, SHARE
from w2s_lib.models.ladder import parse
from w2s_lib.study.conditions import CONDITIONS, DOSES

REAL_PANELS = (
    ("conflict_tax", "conflict tax"),
    ("deception_score", "deception score,\nnull (×)"),
    ("excess_margin_matched", "score − margin-\nmatched null"),
)
NULL = "null_margin_matched"
SAME_TEXTS = "Where seeds divide the same texts anew, intervals are narrower than those over new texts would be."
"""What every figure of real texts says of its intervals."""
OF_PEOPLE = tuple(Measure(title, statistic, conditions=ONE) for statistic, title in REAL_PANELS[:2]) + (
    Measure("score − margin-\nmatched null", MATCHED, conditions=ONE, most=np.inf),
    Measure("… as a share of\nthe attainable", SHARE, conditions=ONE, most=np.inf),
)
OF_FAMILIES = (
    Measure("capability gap", "gap", conditions={"none": 0.0}),
    Measure("likeness of\nerrors (κ)", "kappa", conditions={"none": 0.0}),
    Measure("PGR", "pgr", conditions={"none": 0.0}, most=np.inf),
    Measure("score − margin-\nmatched null", MATCHED, conditions={"explicit": -0.15, "rerun": 0.15}, most=np.inf),
)
OF_REPLIES = (
    Measure("replies that refuse,\nby the rule (%)", JUDGED[0], scale=100, conditions=ONE),
    Measure("judge prefers it to before,\nless the opposite", JUDGED[1], conditions=ONE, most=np.inf),
)
WHO_REPLIES = {
    "SmolLM2-135M": {"before training": ("before", "none")},
    "after DPO on weak labels": {
        "no conflict": ("dpo", "none"),
        "rerun": ("dpo", "rerun"),
        "explicit conflict": ("dpo", "explicit"),
    },
    "the data set": {"preferred": ("chosen", "none"), "not preferred": ("rejected", "none")},
}
"""Rows of the figure of replies: who wrote them (``method``), and the condition."""
ROWS_BY_PEOPLE = {
    "helpful pairs, judged by people": {
        "as many as weak labels": "implicit",
        "a quarter": "implicit_quarter",
        "a quarter, of PandaLM": "implicit_pandalm",
        "a quarter, of LLMBar": "implicit_llmbar",
    },
    "read off the replies, as many": {
        "the longer one (verbosity)": "verbosity",
        "more vowels (placebo)": "placebo",
        "more vowels, an eighth": "placebo_eighth",
    },
    "no other pairs": {"explicit conflict": "explicit", "rerun": "rerun"},
}
"""Rows of the figure of helpful pairs, by what is mixed in: each condition's name there."""


def looks(studies: Iterable[str]) -> dict[str, dict[str, str]]:
    """Colour and marker of each study: its own, or, where one has none, in turn."""
    names = list(studies)
    order = list(STUDIES) if set(names) <= set(STUDIES) else names
    look = zip(order, cycle(STUDIES.values()), cycle("osDv^P*"))
    return {name: {"color": colour, "marker": marker} for name, colour, marker in look}


def side_by_side(results: Mapping[str, pd.DataFrame], conditions: Sequence[str]) -> Figure:
    """One panel a statistic, one row a condition, one mark a study; a study that lacks a condition has no mark there.

    ``results``: pooled results rows by the study's name.
    """
    look = looks(results)
    figure, axes = canvas(8.4, 0.62 * len(conditions) + 1.7, columns=len(REAL_PANELS), sharey=True)
    said = []
    for ax, (statistic, title) in zip(axes, REAL_PANELS):
        for shift, (study, rows) in zip(offsets(len(results), 0.22), results.items()):
            rows, told = usual(rows).set_index(["statistic", "condition"]), []
            for y, condition in enumerate(conditions):
                if (statistic, condition) in rows.index:
                    row = rows.loc[(statistic, condition)]
                    dot(ax, y + shift, row, size=40, **look[study])
                    if statistic == "deception_score":
                        null = rows.loc[(NULL, condition), "value"]
                        ax.scatter(null, y + shift, s=30, color=GREY, marker="x", zorder=4)
                    told.append(f"{condition} {say(row)}")
            said.append(f"{statistic.replace('_', ' ')}, {study}: {', '.join(told)}")
        ax.set_title(title)
    name_rows(axes, [condition.replace("_", " ") for condition in conditions], above=0.6)
    axes[-1].axvline(0, **DASHED)
    axes[0].set_xlim(left=0)
    for study in results:
        axes[0].scatter([], [], s=40, label=study, **look[study])
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=len(results))
    return Figure(
        figure,
        "Tax, deception score and what the margin-matched null leaves of it, by condition and study. "
        f"{'; '.join(said)}.",
        f"Bars: 95 % intervals over seeds. {SAME_TEXTS} The dashed line is what a tax comes to "
        "that falls blindly among pairs of equal margin." + placebos_refused(results) * ("placebo" in conditions),
    )


def by_people(results: pd.DataFrame) -> Figure:
    """One panel a statistic, one row a condition, with the number of taxed pairs that its score is of.

    ``results``: pooled results rows of one study with helpful pairs that people judged.
    """
    counted = lambda condition: pick(results, "deception_score", condition)["counted"]
    groups = {
        heading: [(f"{name}: {counted(c):,.0f}", c) for name, c in rows.items()]
        for heading, rows in ROWS_BY_PEOPLE.items()
    }
    rows = under_headings(groups)
    figure, axes = canvas(9.6, 0.36 * len(rows) + 1.6, columns=len(OF_PEOPLE), sharey=True)
    said = forest(axes, rows, OF_PEOPLE, lambda measure, condition, _: pick(results, measure.statistic, condition))
    for y, _, condition in (row for row in rows if row.about):
        axes[1].scatter(pick(results, NULL, condition)["value"], y, s=30, color=GREY, marker="x", zorder=4)
    axes[0].set_xlim(left=0)
    return Figure(
        figure,
        f"Tax, deception score, and what the margin-matched null leaves of it, by what is mixed in. {'. '.join(said)}.",
        "Behind each name: taxed pairs, of all weak–strong pairs and divisions. Bars: 95 % intervals over seeds. "
        f"{SAME_TEXTS} The dashed line is what a tax comes to that falls blindly among pairs of equal margin. "
        f"{placebo_refused(results)}".rstrip(),
    )


def real_replies(results: pd.DataFrame) -> Figure:
    """Who replies to harmful requests: the share that refuses by the rule, and by how much more the judge likes it than
    what the model said before training.

    ``results``: rows of ``findings.real_replies``.
    """
    rows = under_headings({heading: members.items() for heading, members in WHO_REPLIES.items()})
    figure, axes = canvas(8.4, 0.42 * len(rows) + 1.4, columns=2, sharey=True)

    def found(measure: Measure, who: tuple[str, str], _: str) -> pd.Series | None:
        method, condition = who
        if (measure.statistic, method) == (JUDGED[1], "before"):
            return None  # the judge compares with these
        return pick(results, measure.statistic, condition, method=method)

    said = forest(axes, rows, OF_REPLIES, found)
    axes[0].set_xlim(left=0)
    judge = pick(results, "reply_judge_right", "none", method="judge")
    return Figure(
        figure,
        f"Replies to harmful requests, by who replies. {'. '.join(said)}.",
        f"Of people's two replies the judge ranks {say(judge, percent=True)} as people did. Bars: 95 % intervals over "
        f"{'seeds' if judge['n_seeds'] > 1 else 'prompts, of one training'}. The dashed line is what the model said "
        "before training, which the judge compares with.",
    )


def doses(results: pd.DataFrame) -> Figure:
    """Tax, and score beyond the margin-matched null, each minus a rerun's, over how many pairs are mixed in.

    ``results``: rows of ``findings.real_texts.by_people``.
    """
    series = {
        "helpful pairs": ("", DOSES, 1.0),
        "… one division, over prompts": (ONE_DIVISION, DOSES, 1.09),
        "more vowels (placebo)": ("", ("placebo_eighth", "placebo"), 0.92),
    }
    figure, axes = canvas(7.6, 3.2, columns=2)
    said = []
    for ax, (statistic, title) in zip(axes, (REAL_PANELS[0], REAL_PANELS[2])):
        for name, (subset, conditions, beside_it) in series.items():
            look = {"color": GREY if subset else CONDITION_COLOURS[conditions[-1]], "marker": "o", "upright": True}
            told = []
            for condition in conditions:
                row = pick(results, statistic, condition, versus="rerun", subset=subset)
                share = CONDITIONS[condition].conflict(1.0, "harmlessness").share
                dot(ax, beside_it * share, row, label=name * (condition == conditions[-1]), **look)
                told.append(f"{share:g} {say(row)}")
            said.append(f"{statistic.replace('_', ' ')}, {name.removeprefix('… ')}, by dose: {', '.join(told)}")
        ax.axhline(0, **DASHED)
        ax.set_xscale("log", base=2)
        ax.set_xticks([0.125, 0.25, 0.5, 1], ["⅛", "¼", "½", "1"])
        ax.minorticks_off()
        ax.set(title=f"{title.replace(chr(10), '')},\nbeyond a rerun's", xlabel="pairs mixed in for each weak label")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return Figure(
        figure,
        f"What more and more pairs that are mixed in cost beyond a rerun, and where. {'; '.join(said)}.",
        f"Bars: 95 % intervals, over seeds, and over prompts of the first division alone. {SAME_TEXTS} "
        f"{placebo_refused(results)}".rstrip(),
    )


def families(results: pd.DataFrame) -> Figure:
    """One panel a statistic, one row a weak-strong pair, those of one family and those of two, with what each group
    comes to.

    ``results``: rows of ``findings.real_texts.families``.
    """
    pairs = results.loc[~results["weak"].isin([ALL, WITHIN, ACROSS]), ["weak", "strong"]].drop_duplicates()
    kinds = {"one family": WITHIN, "two families": ACROSS}
    groups = {heading: [("all of them", (kind, kind))] for heading, kind in kinds.items()}
    for heading, kind in kinds.items():
        mine = [(w, s) for w, s in pairs.itertuples(index=False) if family(w, s) == kind]
        groups[heading] += [(f"{short(w)} → {short(s)}", (w, s)) for w, s in mine]
    of = lambda measure, names, condition: pick(results, measure.statistic, condition, *names)
    rows = under_headings(groups)
    figure, axes = canvas(9.6, 0.36 * len(rows) + 1.6, columns=len(OF_FAMILIES), sharey=True)
    forest(axes, rows, OF_FAMILIES, of)
    figure.legend(*axes[-1].get_legend_handles_labels(), loc="outside lower right", ncols=2)
    told = []
    for measure in OF_FAMILIES:  # in words, what each group comes to alone
        asked = [(heading, kind, c) for heading, kind in kinds.items() for c in measure.conditions]
        values = [f"{heading}, {c} {say(of(measure, (kind, kind), c))}" for heading, kind, c in asked]
        told.append(f"{measure.statistic.replace('_', ' ')}: {'; '.join(values)}")
    return Figure(
        figure,
        "Gap, likeness of errors, PGR, and what the margin-matched null leaves of the explicit conflict's score and of "
        f"a rerun's, for each weak–strong pair of one family and of two, and for all of them. {'. '.join(told)}.",
        "A family and the layer that is read; every weak and every strong layer stands as often in the one group as in "
        f"the other. Bars: 95 % intervals over seeds. {SAME_TEXTS}",
    )


def accuracy_by_layer(tried: pd.DataFrame, chosen: Mapping[str, Sequence[int]]) -> Figure:
    """Accuracy of ceilings by layer, a line a model, over the divisions on which layers were chosen.

    ``tried``: ``model``, ``layer``, ``seed``, ``accuracy``; ``chosen``: by model, the layers that became supervisors
    and students, which are ringed.
    """
    figure, axes = canvas(7.4, 3.6)
    look, said = looks(tried["model"].unique()), []
    for model, rows in tried.groupby("model", sort=False):
        found = 100 * rows.groupby("layer")["accuracy"].agg(["mean", "min", "max"])
        axes.plot(found.index, found["mean"], markersize=5, label=model, **look[model])
        axes.fill_between(found.index, found["min"], found["max"], color=look[model]["color"], alpha=0.15, linewidth=0)
        mine = found.loc[list(chosen[model])]
        ring = {"s": 150, "facecolor": "none", "edgecolor": look[model]["color"], "linewidth": 1.6}
        axes.scatter(mine.index, mine["mean"], **ring)
        told = "; ".join(f"layer {layer} {value:.1f} %" for layer, value in mine["mean"].items())
        said.append(f"{model}: {told}; of {len(found)} layers the best is {found['mean'].idxmax()}")
    axes.set(xlabel="layer", ylabel="ceiling is right (%)")
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=2)
    return Figure(
        figure,
        f"Accuracy of ceilings by layer, on other divisions. {'. '.join(said)}.",
        f"Lines: means over {tried['seed'].nunique()} divisions of the same texts; bands: from the lowest to the "
        "highest. Ringed: supervisors and students.",
    )


def short(model: str) -> str:
    """A layer of a real model as a figure names it: ``smollm2-135m-q4@3.last`` is ``smollm2 3``."""
    found = parse(model)
    return f"{found.base.partition('-')[0]} {found.layer}"
