"""Figures of learning token by token: where the tokens lie that count, what a choice does, and who pays."""

import pandas as pd

from w2s_lib.figures.label_again import payers
from w2s_lib.figures.rows import Measure, Row, forest, under_headings
from w2s_lib.figures.style import DASHED, GREY, ROLE_COLOURS, Figure, canvas
from w2s_lib.findings.results import TRAINING, pick, usual
from w2s_lib.findings.statistics import MATCHED
from w2s_lib.findings.token_by_token import CHOSEN, LOT, MISSED, PLANTED_HERE, THERE, TOKENS_TRIED
from w2s_lib.study.mitigations import title

TOKEN_GROUPS_IN_WORDS = {
    "in_both": "counts in both replies",
    "in_one": "counts in one",
    "in_neither": "counts in neither",
}
"""Groups of pairs in figures, by their deciding token."""

WHO = {CHOSEN: "the oracle", LOT: "a lot"}

PLANTED_LOOK = {"perfect": ("*", "all on these"), "half": ("P", "half on these"), "by_margin": ("x", "by margin")}
"""Planted students in figures: mark and name."""

LAST_PLACE = 7
"""Places after the deciding token that are drawn: few replies are longer."""


def tokens_name(name: str) -> str:
    """What a mitigation of this chapter is called; none of them: all tokens."""
    return title(name) if name else "all tokens"


def places(by_place: pd.DataFrame) -> Figure:
    """In how many replies the token at a place counts, from the deciding token on, in the reply that the label prefers
    and in the other one; the oracle and a lot.  ``by_place``: as of the finding of that name."""
    figure, axes = canvas(8.4, 3.3, 1, 2, sharey=True)
    rows = by_place[(by_place["place"] >= 0) & (by_place["place"] <= LAST_PLACE)]
    told = []
    for ax, reply in zip(axes, ("preferred", "other")):
        said = []
        for by, look in ((CHOSEN, {"color": ROLE_COLOURS["weak supervisor"], "marker": "o"}), (LOT, {"color": GREY})):
            mine = rows[(rows["by"] == by) & (rows["reply"] == reply)]
            mean = 100 * mine.groupby("place")["counts"].mean()
            for _, seed in mine.groupby("seed"):
                seed = seed.sort_values("place")
                ax.plot(seed["place"], 100 * seed["counts"], alpha=0.25, linewidth=1, color=look["color"])
            ax.plot(mean.index, mean, linewidth=2, label=WHO[by], linestyle="-" if by == CHOSEN else "--", **look)
            said.append(f"{WHO[by]} {', '.join(f'{value:.0f} % at {place}' for place, value in mean.items())}")
        ax.set_title(f"{reply} reply", fontsize=11)
        ax.set_xlabel("place, from the deciding token (0) on")
        ax.set_ylim(bottom=0)
        told.append(f"{reply} reply: {'; '.join(said)}")
    axes[0].set_ylabel("replies in which it counts (%)")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=2)
    return Figure(
        figure,
        f"In how many replies the token at a place counts. {'. '.join(told)}.",
        "Training pairs, in the reply that the label prefers and in the other. Place 0 is the first token in which a "
        "pair's replies differ. Thick: means over seeds; thin: single seeds.",
    )


def levels(results: pd.DataFrame) -> Figure:
    """PGR, explicit tax and score beyond its null of students of all, chosen and random tokens, beside their reruns."""
    figure, axes = canvas(8.6, 0.5 * len(TOKENS_TRIED) + 1.6, 1, 3, sharey=True)
    measures = (
        Measure("PGR", "pgr", conditions={"none": 0.0}),
        Measure("tax (% of test pairs)", "conflict_tax", 100),
        Measure("DS − margin-matched null", MATCHED),
    )
    of = lambda measure, name, condition: pick(results, measure.statistic, condition, method="simpo", mitigation=name)
    told = forest(axes, [Row(y, tokens_name(name), name) for y, name in enumerate(TOKENS_TRIED)], measures, of, size=44)
    axes[1].set_xlim(left=0)
    for ax in (axes[0], axes[2]):
        ax.axvline(0, **DASHED)
    figure.legend(*axes[1].get_legend_handles_labels(), loc="outside lower center", ncols=2)
    return Figure(
        figure,
        f"Policies by the tokens that they learn from. {'. '.join(told)}.",
        "Policies by SimPO, from all tokens of a reply or from a share of them. PGR without a conflict; tax and score "
        "under the explicit one. Triangles: a rerun. Bars: 95 % intervals over seeds.",
    )


def who_pays(results: pd.DataFrame) -> Figure:
    """Tax rates by whether the deciding token counts, in students of all, of chosen and of random tokens; and how far
    the groups' share of the taxed pairs is beyond what margins explain, beside planted students."""
    members = lambda name: [(words, (name, group)) for group, words in TOKEN_GROUPS_IN_WORDS.items()]
    rows = under_headings({tokens_name(name): members(name) for name in ("", CHOSEN, LOT)})
    figure, axes = canvas(8.6, 0.36 * len(rows) + 1.6, 1, 3, sharey=True)

    def of(measure: Measure, about: tuple[str, str], condition: str) -> pd.Series | None:
        mitigation, group = about
        its = {"method": "simpo", "mitigation": mitigation, "subset": group} | measure.names
        if mitigation == LOT and not its["on"]:  # no lot is drawn for pairs that nobody learns from
            if measure.statistic == "tax_rate":
                return None
            its["on"] = TRAINING
        return pick(results, measure.statistic, condition, **its)

    told = payers(axes, rows, "share of the taxed pairs,\nbeyond margins", of, size=36)
    told.append(f"planted: {_planted(axes[2], results, rows)}")
    named = {name: mark for ax in axes for mark, name in zip(*ax.get_legend_handles_labels())}  # each name once
    figure.legend(named.values(), named.keys(), loc="outside lower center", ncols=5, fontsize=9)
    return Figure(
        figure,
        f"Who pays, under the explicit conflict. {'. '.join(told)}.",
        "Pairs by whether their deciding token counts. Rates are shares of the pairs that the no-conflict student of "
        "the same tokens ranks right. Right: the group's share of all taxed pairs minus what it would be if each were "
        "one of the twenty nearest in margin; test pairs, and training pairs for the lot. Triangles: a rerun. Grey "
        "marks: planted students who pay as many. Bars: 95 % intervals over seeds.",
    )


def _planted(ax, results: pd.DataFrame, rows: list[Row]) -> str:
    """Draw planted students beside the pairs that the oracle misses; returns what they show, in words."""
    (y,) = (row.y for row in rows if row.about == (CHOSEN, MISSED))
    said = []
    for kind in PLANTED_HERE:
        found = usual(results, statistic=THERE[-1], subset=MISSED, planted=kind, mitigation=CHOSEN).iloc[0]
        mark, name = PLANTED_LOOK[kind]
        ax.scatter(found["value"], y, marker=mark, color=GREY, s=44, zorder=4, label=f"planted: {name}")
        said.append(f"{name} {found['value']:.2f}")
    return ", ".join(said)
