"""The claims ledger as a figure: one row a claim, its interval in units of the smallest effect that counts."""

import numpy as np
import pandas as pd

from w2s_lib.figures.rows import dot, name_rows
from w2s_lib.figures.style import CONDITION_COLOURS, DASHED, GREY, ROLE_COLOURS, Figure, canvas

COLOURS = dict.fromkeys(("yes", "small"), ROLE_COLOURS["strong ceiling"]) | {"no": CONDITION_COLOURS["explicit"]}
"""Of verdicts; the others are grey."""
VERDICT_MARKERS = {"yes": "o", "small": "P", "no": "X", "undecided": "D", "blind": "D", "untested": ""}
REACH = 12.0
"""Intervals are cut at this many least effects."""


def ledger(frame: pd.DataFrame) -> Figure:
    """``frame``: as of ``claims.ledger``, with ``here`` and ``within`` where a record decides.  Right of zero is the
    direction that the claim asserts; ±1 is the least effect that counts."""
    figure, ax = canvas(10.2, 0.36 * len(frame) + 1.2)
    said = []
    ax.axvspan(-1, 1, color=GREY, alpha=0.12, linewidth=0)
    for y, row in enumerate(frame.itertuples()):
        said.append(f"{row.claim} {row.says}")
        colour = COLOURS.get(row.verdict, GREY)
        ax.text(1.02, y, row.says, va="center", fontsize=9, color=colour, transform=ax.get_yaxis_transform())
        if row.verdict == "untested" or np.isnan(row.value):
            continue
        sign = -1 if row.rule == "below" else 1
        units = {
            name: np.clip(sign * getattr(row, name) / row.least_effect, -REACH, REACH)
            for name in ("value", "low", "high", "here")
            if hasattr(row, name)
        }
        within = getattr(row, "within", None)
        dot(ax, y, pd.Series(units | {"within": within}), size=42, color=colour, marker=VERDICT_MARKERS[row.verdict])
    ax.axvline(0, **DASHED)
    name = lambda text, claim: f"{text[:48].rstrip()}{'…' * (len(text) > 48)}  {claim}"
    name_rows(ax, [name(*both) for both in zip(frame["statement"], frame["claim"])], above=0.6, below=0.6)
    ax.set(xlim=(-REACH * 1.02, REACH * 1.02), xlabel="estimate, in units of the smallest effect that would count")
    return Figure(
        figure,
        f"Verdicts on {len(frame)} claims with their 95 % intervals: {'; '.join(said)}.",
        "Shaded: effects too small to count. Right of the dashed line is what the claim asserts (for *absent* claims: "
        f"the shaded part). Bars that reach the frame are cut there.{' Hollow: this build.' * ('here' in frame)}",
    )
