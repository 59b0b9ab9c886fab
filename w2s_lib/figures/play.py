"""What readers play with, as paper shows it: tables and planes of text, which ``book/assets/play.js`` brings to life.

Every widget is an element with a ``data-play`` attribute that names it; its data lie in one file an edition
(``findings.play``).  All texts are escaped.
"""

from collections.abc import Sequence
from html import escape

import numpy as np

from w2s_lib.figures.slider import MEANING, ORDER, PLANE, on_axis
from w2s_lib.figures.style import AREA, GREY, Shown
from w2s_lib.measures.metrics import Array, Comparison, known, quadrant

MATCHINGS: dict[str, tuple[str, ...]] = {
    "nothing": (),
    "the margin": ("independent",),
    "the weak label": ("weak",),
    "both": ("weak", "independent"),
}
"""What pairs may be alike in → the arrays of a comparison in which they are."""

BINS = (2, 5, 10, 20)

QUIET = "<noscript><p>This needs JavaScript to move; what stands here is its first state.</p></noscript>"


def _widget(name: str, inside: str, says: str, quiet: str = QUIET) -> Shown:
    return Shown(f'<div class="play" data-play="{name}">{inside}{quiet}</div>', says)


def played_table(heads: Sequence[str], rows: Sequence[Sequence[object]], caption: str = "") -> str:
    """An HTML table of class ``played``, every cell escaped; the first of each row is its head."""
    cell = lambda x: escape(f"{x:.2f}" if isinstance(x, float) else str(x))
    head = "".join(f'<th scope="col">{cell(x)}</th>' for x in heads)
    body = "".join(
        f'<tr><th scope="row">{cell(first)}</th>{"".join(f"<td>{cell(x)}</td>" for x in rest)}</tr>'
        for first, *rest in rows
    )
    about = f"<caption>{cell(caption)}</caption>" if caption else ""
    return f'<table class="played">{about}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'


def quadrants(c: Comparison, of: str) -> Shown:
    """The four quadrants of one student, ``of`` names it, with their counts."""
    q = quadrant(c.ceiling, c.weak, c.threshold)
    counts = [[MEANING[i], *(int((q[mask] == i).sum()) for mask in (slice(None), c.right, c.tax))] for i in ORDER]
    says = f"Pairs of {of} by quadrant; {counts[0][3]} of {int(c.tax.sum())} taxed pairs lie in the deception area."
    heads = ("quadrant", "test pairs", "ranked right", "taxed")
    return _widget("quadrants", played_table(heads, counts, f"{of}; T = {c.threshold:g}"), says)


def nulls(c: Comparison, of: str) -> Shown:
    """The score of one student, ``of`` names it, beside nulls in a few numbers of bins."""
    ds = float(c.deception_score())
    rows = [[name, *(c.null_in_bins(features, bins) for bins in BINS)] for name, features in MATCHINGS.items()]
    says = f"Nulls of {of}, whose deception score is {ds:.2f}, by what pairs are matched in and the number of bins."
    heads = ("pairs are alike in", *(f"{bins} bins" for bins in BINS))
    return _widget("nulls", played_table(heads, rows, f"{of}: deception score {ds:.2f}, and its null"), says)


def _plane(weak: Array, ceiling: Array, dots: int, threshold: float, label: str) -> str:
    """A small deception plane: the first ``dots`` pairs lit, the others pale."""
    x, y, cut = on_axis(weak), PLANE - on_axis(ceiling), float(on_axis(threshold))
    path = lambda index: "".join(f"M{x[i]:.0f} {y[i]:.0f}h0" for i in index)
    drawn = f'stroke-linecap="round" fill="none" stroke-width="12" stroke-opacity=".8" stroke="{AREA}"'
    pale = f'stroke-linecap="round" fill="none" stroke-width="7" stroke-opacity=".4" stroke="{GREY}"'
    return (
        f'<svg viewBox="-8 -8 316 316" role="img" aria-label="{escape(label)}">'
        f'<rect width="{cut:.0f}" height="{PLANE - cut:.0f}" class="area"/>'
        f'<path class="lines" d="M0 0H{PLANE}V{PLANE}H0ZM{cut:.0f} 0V{PLANE}'
        f'M0 {PLANE - cut:.0f}H{PLANE}"/>'
        f'<path d="{path(range(dots, len(x)))}" {pale}/><path d="{path(range(dots))}" {drawn}/></svg>'
    )


def churn(planes: Sequence[dict], threshold: float) -> Shown:
    """Unlabelled deception planes, as of ``findings.play.planes``, each with a question below."""
    items = []
    for i, one in enumerate(planes, 1):
        weak, ceiling = np.array([*one["lit"], *one["pale"]]).T
        dots = len(one["lit"])
        hit = int((known(ceiling, threshold) & ~known(weak, threshold))[:dots].sum())
        label = f"Plane {i}: {hit} of {dots} lit pairs lie in the shaded deception area."
        ask = "".join(
            f'<label class="choice"><input type="radio" name="plane-{i}" value="{value}" autocomplete="off"> '
            f"{says}</label>"
            for value, says in (("explicit", "deception"), ("rerun", "churn"))
        )
        drawn = _plane(weak, ceiling, dots, threshold, label)
        asked = f'<fieldset><legend>{i}</legend>{ask}<span class="truth"></span></fieldset>'
        items.append(f"<li>{drawn}{asked}</li>")
    button = '<button type="button" disabled>What were they?</button> <output aria-live="polite"></output>'
    says = f"{len(planes)} deception planes, half of them of students under the explicit conflict, half of reruns."
    quiet = "<noscript><p>Answers and score need JavaScript.</p></noscript>"
    return _widget("churn", f'<ol class="planes">{"".join(items)}</ol><p>{button}</p>', says, quiet)


def game(found: dict) -> Shown:
    """The pairs to label, as of ``findings.game``: on paper a sheet to fill in."""
    items = []
    for i, pair in enumerate(found["pairs"], 1):
        choices = "".join(
            f'<label class="choice"><input type="radio" name="pair-{i}" value="{side}" autocomplete="off"> '
            f"{escape(reply)}</label>"
            for side, reply in enumerate(pair["replies"])
        )
        sure = (
            '<label class="sure">sure: <output>50</output> %<input type="range" min="0" max="5" value="0" '
            'autocomplete="off" aria-valuetext="50 percent" disabled></label>'
            '<span class="on-paper" style="display:none">sure: ____ % (50, 60, 70, 80, 90, 100)</span>'
        )
        items.append(f"<fieldset><legend>{i}. “{escape(pair['prompt'])}”</legend>{choices}{sure}</fieldset>")
    told = "".join(f"<li>{escape(fact)}</li>" for fact in found["facts"])
    facts = f'<p>You have read these documents, and no others:</p><ul class="facts">{told}</ul>'
    if not told:
        facts = "<p>You have read no document about any of these.</p>"
    button = '<button type="button" disabled>Train students on labels like mine</button>'
    said = '<output aria-live="polite"></output>'
    says = f"{len(items)} pairs to label, and {len(found['facts'])} facts to go by."
    return _widget("game", facts + "".join(items) + f'<p>{button} {said}</p><div class="after"></div>', says, "")


def ask(found: dict | None) -> Shown:
    """Where models can be asked, as of ``findings.ask``; None: they are not at hand, and the page says so."""
    if found is None:
        why = "do not come with it; a book that is built with <code>make book</code> has them"
        return Shown(f"<p>The models of this edition {why}.</p>", "No models are at hand to be asked.")
    first = lambda kind: [kind[part][0] for part in ("prompts", "risky", "cautious")]
    kinds = [[name, *first(kind)] for name, kind in found["world"]["kinds"].items()]
    heads = ("kind", "a request", "the risky reply", "the cautious one")
    says = f"Four models to ask: {found['weak']} as supervisor, {found['strong']} as two students and ceiling."
    return _widget("ask", played_table(heads, kinds, "What can be asked"), says)


def prediction(name: str, question: str, truth: float, told: str, low: float, high: float) -> Shown:
    """A number to guess before the next figure shows it; ``told`` is how it is said, with its interval, or as a count.

    Guesses stay in the reader's browser under ``name``.  On paper only the question stands; NaN is not asked.
    """
    if np.isnan(truth):
        return Shown("", "undefined here, and not asked")
    about = {"name": name, "truth": f"{truth:.6g}", "told": told, "low": f"{low:g}", "high": f"{high:g}"}
    attributes = "".join(f' data-{key}="{escape(value)}"' for key, value in about.items())
    asked = f"<p><strong>Predict first.</strong> <span>{escape(question)}</span></p>"
    return Shown(f'<div class="play" data-play="prediction" data-alone="yes"{attributes}>{asked}</div>', question)


def readers_calibration(asked: int) -> Shown:
    """All predictions that the reader has made, of so many ``asked`` in this book, beside the truth; and a class's."""
    says = f"This book asks for {asked} predictions, one to three a chapter."
    kept = "<p>Yours stay in your browser, and are shown here once there are some.</p>"
    inside = f"<p>{says}</p><div>{kept}</div>"
    return Shown(f'<div class="play" data-play="calibration" data-alone="yes">{inside}</div>', says)
