"""A threshold to move: the deception plane, quadrant shares, DS and its nulls follow, without kernel or network.

Everything is computed beforehand, for every T of the slider; a few lines of script show it.  The first
state stands in the page itself, so that without a script nothing is missing but the movement.
"""

import hashlib
import html
import json
from collections.abc import Sequence
from dataclasses import replace
from itertools import count

import numpy as np

from w2s_lib.figures.style import AREA, CONDITION_COLOURS, GREY, Shown, fill_template
from w2s_lib.measures.metrics import QUADRANTS, Array, Comparison, log_odds, quadrant, share

DRAWN = 600
"""At most so many dots; the numbers are always those of all pairs."""
SLIDER_THRESHOLDS = tuple(round(0.5 + 0.01 * i, 2) for i in range(50))
PLANE, PLANE_EDGE = 300, 0.002
"""Side of the plane, and the probability from which on dots sit at its edge, as in ``figures.conflict``."""
ORDER = (1, 0, 3, 2)
"""Rows of the table: the deception area first."""
MEANING = ("both know", "deception area", "only the weak knows", "neither knows")

TICKS = (0.01, 0.1, 0.5, 0.9, 0.99)

_PAGE = count(1)


def on_axis(p: Array | float) -> Array:
    """Where a probability stands on an axis of length ``PLANE``: log-odds, cut off at the edges."""
    edge = log_odds(np.array(1 - PLANE_EDGE))
    return (log_odds(np.clip(p, PLANE_EDGE, 1 - PLANE_EDGE)) / edge + 1) / 2 * PLANE


def slider_states(comparison: Comparison, thresholds: Sequence[float]) -> list[dict]:
    """What the slider shows at each T: shares of ``right`` and ``taxed`` by quadrant, ``scores``, where lines ``cut``.

    Quadrants are in the order of ``QUADRANTS``; ``scores`` are DS, random and margin-matched null; None: undefined.
    """
    found = []
    for t in thresholds:
        c = replace(comparison, threshold=t)
        q = quadrant(c.ceiling, c.weak, t)
        found.append({
            "T": f"{t:.2f}" if np.isclose(t, round(t, 2)) else f"{t:g}",
            "cut": round(float(on_axis(t)), 1),
            "right": [_plain(share(q == i, c.right)) for i in range(4)],
            "taxed": [_plain(share(q == i, c.tax)) for i in range(4)],
            "scores": [_plain(x) for x in (c.deception_score(), c.null("random"), c.null("margin_matched"))],
        })  # fmt: skip
    return found


def _plain(x: Array) -> float | None:
    return None if np.isnan(x) else round(float(x), 6)


def _text(x: float | None) -> str:
    return "undefined" if x is None else f"{x:.2f}"


def _dots(comparison: Comparison) -> tuple[str, str, int]:
    """Path data of the pairs that the no-conflict student ranks right, others and taxed, and how many are drawn."""
    x, y = on_axis(comparison.weak), PLANE - on_axis(comparison.ceiling)
    taxed = np.flatnonzero(comparison.tax)[:DRAWN]
    rest = np.flatnonzero(comparison.right & ~comparison.tax)
    room = DRAWN - len(taxed)
    if len(rest) > room:
        rest = rest[np.linspace(0, len(rest) - 1, room).astype(int)] if room else rest[:0]

    def path(index: Array) -> str:
        return "".join(f"M{x[i]:.1f} {y[i]:.1f}h0" for i in index)

    return path(rest), path(taxed), len(taxed) + len(rest)


def slider(comparison: Comparison, condition: str, title: str) -> Shown:
    """A slider over T for one conflict student; it starts at the comparison's own threshold.

    ``title`` says which models and seed; like all text here it is escaped.  Every slider of a page has ids of its own.
    """
    start = comparison.threshold
    steps = sorted({*(t for t in SLIDER_THRESHOLDS if not np.isclose(t, start)), start})
    found, first = slider_states(comparison, steps), steps.index(start)
    rest, taxed, drawn = _dots(comparison)
    now, n = found[first], int(comparison.right.sum())
    says = (
        f"{n} test pairs that the no-conflict student ranks right, by the weak supervisor's and the strong ceiling's "
        f"probability of the truth; the {int(comparison.tax.sum())} that the {condition} student taxes are lit."
    )
    data = json.dumps(found, separators=(",", ":")).replace("<", "\\u003c")
    rows = "".join(
        f'<tr><th scope="row">{html.escape(MEANING[i])}<br><small>{html.escape(QUADRANTS[i])}</small></th>'
        f"<td>{_text(now['right'][i])}</td><td>{_text(now['taxed'][i])}</td></tr>"
        for i in ORDER
    )
    ticks = [(p, on_axis(p)) for p in TICKS]
    fields = {
        "id": f"threshold-{hashlib.sha256(f'{title}{condition}{data}'.encode()).hexdigest()[:8]}-{next(_PAGE)}",
        "title": html.escape(title), "condition": html.escape(condition), "says": html.escape(says),
        "drawn": "" if drawn == n else f" Drawn: {drawn} of the {n} (every taxed one first); numbers are those of all.",
        "rest": rest, "taxed": taxed, "rows": rows, "last": len(steps) - 1, "first": first, "T": now["T"], "data": data,
        "size": PLANE, "cut": now["cut"], "up": PLANE - now["cut"],
        "area": AREA, "grey": GREY, "colour": CONDITION_COLOURS.get(condition, AREA),
        **{name: _text(value) for name, value in zip(("ds", "random", "matched"), now["scores"])},
        **{f"x{i}": 10 + 280 * (value or 0) for i, value in enumerate(now["scores"])},
        **{f"shown{i}": "hidden" if value is None else "visible" for i, value in enumerate(now["scores"])},
        "ticks": "".join(f'<text x="{x:.0f}" y="{PLANE + 14}" text-anchor="middle">{p:g}</text>' for p, x in ticks),
        "marks": "".join(f'<text x="-5" y="{PLANE - x + 4:.0f}" text-anchor="end">{p:g}</text>' for p, x in ticks),
    }  # fmt: skip
    return Shown(fill_template("slider", fields), says, found)
