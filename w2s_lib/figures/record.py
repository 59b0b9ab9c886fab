"""The record beside a build: filled marks are the record's, hollow ones this build's; a slider over the number of
seeds; and what the spread over seeds is made of."""

import hashlib
import html
import json

import numpy as np
import pandas as pd

from w2s_lib.figures.claims import COLOURS, REACH
from w2s_lib.figures.style import CONDITION_COLOURS, GREY, STUDIES, Figure, Shown, canvas, fill_template
from w2s_lib.findings.claims import CLAIMS
from w2s_lib.findings.spread import PARTS_OF_SPREAD


def within_prediction(replicated: pd.DataFrame) -> Figure:
    """Each claim's record, the interval for this build, and where it lies; ``replicated`` as of ``record.replication``.

    Everything is shown in units of half that interval, around its middle.
    """
    figure, ax = canvas(7.2, 0.3 * len(replicated) + 1.3)
    ax.axvspan(-1, 1, color=GREY, alpha=0.12, linewidth=0)
    ax.axvline(0, color=GREY, linewidth=1)
    half = (replicated["high"] - replicated["low"]) / 2
    middle = (replicated["high"] + replicated["low"]) / 2
    at = ((replicated["value"] - middle) / half).clip(-3, 3)
    colours = np.where(replicated["replicated"], GREY, CONDITION_COLOURS["explicit"])
    ax.scatter((replicated["record"] - middle) / half, range(len(at)), s=34, color=GREY, label="the record", zorder=3)
    hollow = {"facecolors": "none", "edgecolors": colours, "linewidth": 1.6, "zorder": 4}
    ax.scatter(at, range(len(at)), s=52, label="this build", **hollow)
    ax.set_yticks(range(len(at)), replicated["claim"])
    ax.set(ylim=(len(at) - 0.4, -0.6), xlim=(-3.1, 3.1), xlabel="in units of half the 95 % prediction interval")
    ax.tick_params(axis="y", length=0)
    ax.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2)
    out = ", ".join(replicated.loc[~replicated["replicated"], "claim"])
    return Figure(
        figure,
        f"Where this build's numbers lie in the record's prediction intervals: {int(replicated['replicated'].sum())} "
        f"of {len(at)} within" + (f"; outside: {out}." if out else "."),
        "Shaded: where 95 of 100 builds of as many seeds lie, by the record. Filled: its mean; hollow: this build.",
    )


def made_of(found: pd.DataFrame) -> Figure:
    """Share of a claim's variance over seeds by part, a bar a claim; ``found``: as of ``spread.variance_shares``."""
    claims = list(dict.fromkeys(found["claim"]))
    figure, axes = canvas(8.6, 0.3 * len(claims) + 1.3, columns=len(PARTS_OF_SPREAD), sharex=True, sharey=True)
    for ax, part in zip(axes, PARTS_OF_SPREAD):
        mine = found[found["part"] == part].set_index("claim").loc[claims]
        ax.barh(range(len(claims)), mine["share"], height=0.62, color=STUDIES["world"], alpha=0.45)
        ax.hlines(range(len(claims)), mine["low"], mine["high"], color=GREY, linewidth=1.6)
        ax.set(title=part, xlim=(0, 1), ylim=(len(claims) - 0.4, -0.6), xticks=(0, 0.5, 1))
        ax.tick_params(axis="y", length=0)
    axes[0].set_yticks(range(len(claims)), claims)
    figure.supxlabel("share of the variance over study seeds", fontsize=11, color=GREY)
    said = found.loc[found.groupby("claim", sort=False)["share"].idxmax()]
    each = "{0.claim}: {0.part}, {0.share:.0%} [{0.low:.0%}, {0.high:.0%}]"
    told = "; ".join(map(each.format, said.itertuples()))
    cut = int((found["high"] < 0.005).sum())
    no_line = " Where there is no line, the pilots lie closer together than the parts below would put them by chance."
    return Figure(
        figure,
        f"What the variance of {len(claims)} statistics is made of, with the largest part of each: {told}.",
        f"Bars: shares of the variance; lines: their 95 % intervals.{no_line if cut else ''}",
    )


WIDTH = 300


def _x(value: float, claim: str) -> float:
    """Where a value stands on an axis of ``WIDTH``, in least effects, right the way that the claim asserts."""
    c = CLAIMS[claim]
    at = np.clip((-1 if c.rule == "below" else 1) * value / c.least_effect, -REACH, REACH)
    return round(float((at / REACH + 1) / 2 * WIDTH), 1)


def power_panel(paths: pd.DataFrame) -> Shown:
    """A slider over the number of seeds, which redraws each claim's interval; it starts at all seeds of the record.
    A claim of which there are fewer stays as it is with the last of them.

    ``paths``: as of ``record.verdict_paths``.
    """
    if paths.empty:
        says = "Two study seeds of a record are needed, at least."
        return Shown(f"<p>{says}</p>", says)
    counts = sorted(paths["n_seeds"].unique())
    order = list(dict.fromkeys(paths["claim"]))
    states = []
    for n in counts:
        now = paths[paths["n_seeds"] <= n].drop_duplicates("claim", keep="last").set_index("claim").loc[order]
        of = lambda c, r: None if np.isnan(r.low) else [_x(r.value, c), *sorted((_x(r.low, c), _x(r.high, c)))]
        marks, colours = [of(c, r) for c, r in now.iterrows()], now["verdict"].map(COLOURS).fillna(GREY).tolist()
        states.append({"n": int(n), "marks": marks, "says": now["says"].tolist(), "colours": colours})
    decided = paths.groupby("claim")["decided"].first()
    last = states[-1]
    undecided = sum(bool(np.isnan(decided[claim])) for claim in order)
    says = (
        f"Verdicts on {len(order)} claims by number of study seeds, from {counts[0]} to {counts[-1]}; "
        f"{undecided} are undecided with all of them."
    )
    rows = "".join(
        f'<tr><th scope="row" title="{html.escape(CLAIMS[claim].statement)}">{html.escape(claim)}</th>'
        f'<td><svg viewBox="0 0 {WIDTH} 16" aria-hidden="true"><rect x="{WIDTH / 2 * (1 - 1 / REACH):.1f}" '
        f'width="{WIDTH / REACH:.1f}" height="16" fill="{GREY}" fill-opacity=".15"/><path d="M{WIDTH / 2} 0v16" '
        f'stroke="{GREY}" stroke-dasharray="3 2"/>'
        f"{_mark(mark, colour)}</svg></td>"
        f'<td class="says">{html.escape(words)}</td>'
        f"<td>{'–' if np.isnan(decided[claim]) else int(decided[claim])}</td></tr>"
        for claim, mark, words, colour in zip(order, last["marks"], last["says"], last["colours"])
    )
    data = json.dumps(states, separators=(",", ":")).replace("<", "\\u003c")
    several = paths["claim"].value_counts().nunique() > 1
    fields = {
        "id": f"power-{hashlib.sha256(data.encode()).hexdigest()[:8]}", "rows": rows, "data": data,
        "last": len(states) - 1,
        "n": last["n"], "says": html.escape(says),
        "fewer": "A claim of fewer seeds stays as its last one left it. " * several,
    }  # fmt: skip
    return Shown(fill_template("power_panel", fields), says, states)


def _mark(mark: list[float] | None, colour: str) -> str:
    value, low, high = mark or (0, 0, 0)
    shown = "visible" if mark else "hidden"
    return (
        f'<g class="mark" visibility="{shown}" stroke="{colour}" fill="{colour}"><path d="M{low} 8H{high}" '
        'stroke-width="2.5"/>'
        f'<circle cx="{value}" cy="8" r="4"/></g>'
    )
