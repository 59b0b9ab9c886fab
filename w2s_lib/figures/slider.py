"""A threshold to move: the deception plane, quadrant shares, DS and its nulls follow, without kernel or network.

Everything is computed beforehand, for every T of the slider; a few lines of script show it.  The first
state stands in the page itself, so that without a script nothing is missing but the movement.
"""

from __future__ import annotations

import hashlib
import html
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import count
from string import Template

import numpy as np

from w2s_lib.figures.style import AREA, CONDITION_COLOURS, GREY
from w2s_lib.measures.metrics import QUADRANTS, Array, Comparison, log_odds, quadrant, share

DRAWN = 600
"""At most so many dots; the numbers are always those of all pairs."""
STEPS = tuple(round(0.5 + 0.01 * i, 2) for i in range(50))
SIZE, CLIP = 300, 0.002
"""Side of the plane, and the probability from which on dots sit at its edge, as in ``figures.conflict``."""
ORDER = (1, 0, 3, 2)
"""Rows of the table: the deception area first."""
MEANING = ("both know", "deception area", "only the weak knows", "neither knows")

TICKS = (0.01, 0.1, 0.5, 0.9, 0.99)

_PAGE = count(1)


def at(p: Array | float) -> Array:
    """Where a probability stands on an axis of length ``SIZE``: log-odds, cut off at the edges."""
    edge = log_odds(np.array(1 - CLIP))
    return (log_odds(np.clip(p, CLIP, 1 - CLIP)) / edge + 1) / 2 * SIZE


def states(comparison: Comparison, thresholds: Sequence[float]) -> list[dict]:
    """What the slider shows at each T: shares of ``right`` and ``taxed`` by quadrant, ``scores``, where lines ``cut``.

    Quadrants are in the order of ``QUADRANTS``; ``scores`` are DS, random and margin-matched null.  None stands for an
    undefined number.
    """
    found = []
    for t in thresholds:
        c = replace(comparison, threshold=t)
        q = quadrant(c.ceiling, c.weak, t)
        found.append({
            "T": f"{t:.2f}" if np.isclose(t, round(t, 2)) else f"{t:g}",
            "cut": round(float(at(t)), 1),
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
    x, y = at(comparison.weak), SIZE - at(comparison.ceiling)
    taxed = np.flatnonzero(comparison.tax)[:DRAWN]
    rest = np.flatnonzero(comparison.right & ~comparison.tax)
    room = DRAWN - len(taxed)
    if len(rest) > room:
        rest = rest[np.linspace(0, len(rest) - 1, room).astype(int)] if room else rest[:0]

    def path(index: Array) -> str:
        return "".join(f"M{x[i]:.1f} {y[i]:.1f}h0" for i in index)

    return path(rest), path(taxed), len(taxed) + len(rest)


@dataclass(frozen=True)
class Slider:
    """What ``slider`` returns: Jupyter shows ``html``; ``states`` are the numbers behind it."""

    html: str
    states: list[dict]
    says: str

    def _repr_html_(self) -> str:
        return self.html

    def __repr__(self) -> str:
        return self.says


def slider(comparison: Comparison, condition: str, title: str, thresholds: Sequence[float] = STEPS) -> Slider:
    """A slider over T for one conflict student; it starts at the comparison's own threshold.

    ``title`` says which models and seed; like all text here it is escaped.  Every slider of a page has ids of its own.
    """
    start = comparison.threshold
    steps = sorted({*(t for t in thresholds if not np.isclose(t, start)), start})
    found, first = states(comparison, steps), steps.index(start)
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
    fields = {
        "id": f"threshold-{hashlib.sha256(f'{title}{condition}{data}'.encode()).hexdigest()[:8]}-{next(_PAGE)}",
        "title": html.escape(title), "condition": html.escape(condition), "says": html.escape(says),
        "drawn": "" if drawn == n else f" Drawn: {drawn} of the {n} (every taxed one first); numbers are those of all.",
        "rest": rest, "taxed": taxed, "rows": rows, "last": len(steps) - 1, "first": first, "T": now["T"], "data": data,
        "size": SIZE, "cut": now["cut"], "up": SIZE - now["cut"],
        "area": AREA, "grey": GREY, "colour": CONDITION_COLOURS.get(condition, AREA),
        **{name: _text(value) for name, value in zip(("ds", "random", "matched"), now["scores"])},
        **{f"x{i}": 10 + 280 * (value or 0) for i, value in enumerate(now["scores"])},
        **{f"shown{i}": "hidden" if value is None else "visible" for i, value in enumerate(now["scores"])},
        "ticks": "".join(f'<text x="{at(p):.0f}" y="{SIZE + 14}" text-anchor="middle">{p:g}</text>' for p in TICKS),
        "marks": "".join(f'<text x="-5" y="{SIZE - at(p) + 4:.0f}" text-anchor="end">{p:g}</text>' for p in TICKS),
    }  # fmt: skip
    return Slider(TEMPLATE.substitute(fields), found, says)


TEMPLATE = Template("""\
<div class="threshold-slider" id="$id">
<style>
#$id {max-width: 46rem; font-size: .95rem}
#$id .sides {display: flex; flex-wrap: wrap; gap: .5rem 1.5rem; align-items: flex-start}
#$id .plane {flex: 1 1 17rem; min-width: 0; max-width: 25rem}
#$id .numbers {flex: 1 1 17rem; min-width: 0}
#$id svg {display: block; width: 100%; height: auto; overflow: visible}
#$id svg text {fill: currentColor; font-size: 11px}
#$id input {width: 100%; accent-color: $colour; height: 2rem; margin: 0}
#$id table {width: 100%; margin: .25rem 0; border-collapse: collapse; font-size: .85rem}
#$id table th {font-weight: 400; text-align: left}
#$id tbody tr:first-child {background: ${area}22}
#$id thead th, #$id table tr:first-child th, #$id .ds {font-weight: 600}
#$id table, #$id dl {font-variant-numeric: tabular-nums}
#$id dl {display: grid; grid-template-columns: 1fr auto; margin: .25rem 0; gap: 0 1rem}
#$id dt, #$id dd {margin: 0; font-weight: inherit}
#$id p {margin: .25rem 0}
@media print {#$id input, #$id noscript {display: none}}
</style>
<p><strong>$title, $condition</strong></p>
<label for="$id-T">Threshold T = <output for="$id-T" class="T">$T</output></label>
<input id="$id-T" type="range" min="0" max="$last" step="1" value="$first" aria-valuetext="T = $T" autocomplete="off"
disabled>
<noscript><p>This needs JavaScript to move. The figure of scores over T on this page shows DS and its nulls without it,
for all pairs and seeds together.</p></noscript>
<div class="sides">
<div class="plane"><svg viewBox="-34 -18 340 352" role="img" aria-label="Deception plane: one dot a pair,
the deception area shaded, lines at T. What it shows stands below and beside it.">
<rect class="area" x="0" y="0" width="$cut" height="$up" fill="$area" fill-opacity=".13"/>
<path d="$rest" stroke="$grey" stroke-width="4" stroke-linecap="round" stroke-opacity=".55" fill="none"/>
<path d="$taxed" stroke="$colour" stroke-width="6" stroke-linecap="round" stroke-opacity=".85" fill="none"/>
<path d="M0 0V${size}H$size" stroke="$grey" fill="none"/>
<line class="weak" x1="$cut" x2="$cut" y1="0" y2="$size" stroke="currentColor"/>
<line class="ceiling" x1="0" x2="$size" y1="$up" y2="$up" stroke="currentColor"/>
$ticks$marks
<text x="0" y="-6">↑ strong ceiling's p of the truth</text>
<text x="$size" y="328" text-anchor="end">weak supervisor's p of the truth →</text>
</svg></div>
<div class="numbers">
<table class="dataframe">
<thead><tr><th scope="col">share of</th><th scope="col">ranked right</th><th scope="col">taxed</th></tr></thead>
<tbody>$rows</tbody></table>
<svg viewBox="0 0 300 44" aria-hidden="true">
<path d="M10 24H290M10 20v8M150 20v8M290 20v8" stroke="$grey" fill="none"/>
<g text-anchor="middle"><text x="10" y="41">0</text><text x="150" y="41">0.5</text><text x="290" y="41">1</text></g>
<g class="placed" transform="translate($x0)" visibility="$shown0"><circle cx="0" cy="24" r="6.5" fill="$colour"/></g>
<g stroke="currentColor">
<g class="placed" transform="translate($x1)" visibility="$shown1"><path d="M0 14V34" stroke-width="2.5"/></g>
<g class="placed" transform="translate($x2)" visibility="$shown2"><path d="M-5 7L5 17M-5 17L5 7" stroke-width="2"/></g>
</g></svg>
<dl aria-live="polite">
<dt class="ds">
<span aria-hidden="true" style="color: $colour">●</span> deception score</dt><dd class="score ds">$ds</dd>
<dt><span aria-hidden="true">❘</span> random null</dt><dd class="score">$random</dd>
<dt><span aria-hidden="true">×</span> margin-matched null</dt><dd class="score">$matched</dd></dl>
</div></div>
<p><small>$says$drawn</small></p>
<script type="application/json">$data</script>
<script>
(function () {
  var root = document.getElementById("$id");
  if (!root) return;
  var states = JSON.parse(root.querySelector("script[type='application/json']").textContent);
  var input = root.querySelector("input"), order = [1, 0, 3, 2];
  function all(selector) { return root.querySelectorAll(selector); }
  function put(selector, name, value) { root.querySelector(selector).setAttribute(name, value); }
  function text(x) { return x === null ? "undefined" : x.toFixed(2); }
  function show() {
    var s = states[+input.value], up = $size - s.cut;
    input.setAttribute("aria-valuetext", "T = " + s.T);
    root.querySelector(".T").textContent = s.T;
    put(".weak", "x1", s.cut); put(".weak", "x2", s.cut); put(".ceiling", "y1", up); put(".ceiling", "y2", up);
    put(".area", "width", s.cut); put(".area", "height", up);
    all("tbody tr").forEach(function (row, i) {
      row.cells[1].textContent = text(s.right[order[i]]);
      row.cells[2].textContent = text(s.taxed[order[i]]);
    });
    all(".score").forEach(function (cell, i) { cell.textContent = text(s.scores[i]); });
    all(".placed").forEach(function (mark, i) {
      mark.setAttribute("visibility", s.scores[i] === null ? "hidden" : "visible");
      mark.setAttribute("transform", "translate(" + (10 + 280 * (s.scores[i] || 0)) + ")");
    });
  }
  input.disabled = false;
  input.addEventListener("input", show);
  show();
})();
</script>
</div>
""")
