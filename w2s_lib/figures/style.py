"""One visual language: what a colour means, and a figure that carries its own alt text.

Colours are Okabe and Ito's, told apart by colour-blind readers; backgrounds are transparent, words dark enough for a
white page.  Dark pages turn a figure's lightness over and keep its hues (``book.css``).
"""

import io
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from string import Template

import matplotlib.figure
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.colors import to_rgb
from matplotlib.text import Text

from w2s_lib.figures import SLIDE

GREY = "#757575"
ROLE_COLOURS = {"weak supervisor": "#E69F00", "strong student": "#0072B2", "strong ceiling": "#009E73"}
CONDITION_COLOURS = {
    "none": "#0072B2", "explicit": "#D55E00", "implicit": "#CC79A7", "implicit_quarter": "#E0A0C4", "rerun": GREY,
    "implicit_eighth": "#EBC3DA", "implicit_half": "#D68AB4", "placebo_eighth": "#2F8FBF",
    "implicit_pandalm": "#9A4D78", "implicit_llmbar": "#5B8C5A",
    "placebo": "#56B4E9", "explicit_shared": "#A34700", "verbosity": "#8C6BB1", "untrained": "#A9A9A9",
    "implicit_in_turns": "#7A3E63", "implicit_weak_last": "#B5651D", "placebo_in_turns": "#2E7DA1",
    "gold": "#C9A227", "gold_explicit": "#B8860B", "gold_implicit": "#9E7BA0", "gold_rerun": "#8A8D62",
}  # fmt: skip
MARKERS = {
    "none": "o", "explicit": "s", "implicit": "D", "implicit_quarter": "d", "rerun": "v", "placebo": "^",
    "implicit_eighth": "1", "implicit_half": "2",
    "placebo_eighth": "8", "implicit_pandalm": ">", "implicit_llmbar": "H",
    "explicit_shared": "p", "verbosity": "h", "untrained": "x",
    "implicit_in_turns": (4, 1, 0), "implicit_weak_last": (6, 1, 0), "placebo_in_turns": (8, 1, 0),
    "gold": "*", "gold_explicit": "P", "gold_implicit": "X", "gold_rerun": "<",
}  # fmt: skip
STUDIES = {"world": "#6C6CE0", "frozen layers": "#AA4499", "fine-tuned": "#44AA99"}
"""Studies that are shown side by side; colours that read on light and dark pages and mean nothing else here."""
DASHED = {"color": GREY, "linewidth": 1, "linestyle": "--"}
"""A line at what would be nothing, or chance."""
AREA = "#D55E00"
"""Fill of the deception area."""
HERE = "_here:"
"""How the labels of hollow marks begin, which say what this build found beside a record; a legend leaves them out."""
OVER = "_over:"
"""How the labels of intervals begin, which go on with the number of study seeds."""

STYLE = {
    "figure.facecolor": "none", "axes.facecolor": "none", "savefig.facecolor": "none", "savefig.transparent": True,
    "text.color": GREY, "axes.labelcolor": GREY, "axes.edgecolor": GREY, "axes.titlecolor": GREY,
    "xtick.color": GREY, "ytick.color": GREY, "grid.color": "#99999944", "legend.frameon": False,
    "axes.spines.top": False, "axes.spines.right": False, "font.size": 11, "axes.titlesize": 12, "axes.labelsize": 11,
    "font.family": "DejaVu Sans", "svg.hashsalt": "w2s", "figure.constrained_layout.use": True,
}  # fmt: skip


LIGHTEST = 0.18
"""Relative luminance of words on a white page at most: a contrast of 4.5 (WCAG 2.2, 1.4.3)."""
WHITE = 0.9
"""Words of this luminance and above stand on a dark cell of their own."""


def luminance(colour: str | tuple[float, ...]) -> tuple[np.ndarray, float]:
    """Linear red, green and blue of a colour, and its relative luminance, 0 to 1 (WCAG 2.2).

    >>> round(luminance("#757575")[1], 3)
    0.178
    """
    channels = np.array(to_rgb(colour))
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    return linear, float(linear @ (0.2126, 0.7152, 0.0722))


def readable_colour(colour: str | tuple[float, ...]) -> tuple[float, ...]:
    """The colour for words: darkened to ``LIGHTEST`` where it is lighter, and not ``WHITE``."""
    linear, light = luminance(colour)
    if not LIGHTEST < light < WHITE:
        return to_rgb(colour)
    linear = linear * (LIGHTEST / light)
    return tuple(np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055))


SLIDES = "W2S_SLIDES"
"""Environment variable: ``yes`` has figures drawn for slides as well."""
SLIDE_ROOM, SMALLEST = (1776, 690), 24
"""What a slide of 1920 × 1080 CSS pixels has for a figure, and its smallest words: 18 points, for the last row."""
SIZED = re.compile(r"scale\(([\d.]+) -[\d.]+\)")
"""Words in matplotlib's SVG: outlines at 100 points to the em, scaled."""


def smallest(svg: str) -> float:
    """Size of the smallest words of a figure, in its own points; infinite where it has none."""
    return min((100 * float(size) for size in SIZED.findall(svg)), default=np.inf)


@contextmanager
def step(ax: Axes, number: int) -> Iterator[None]:
    """What is drawn on the axes within appears on a slide at this step of the figure; at step 1, at once."""
    before = set(ax.get_children())
    yield
    for artist in [artist for artist in ax.get_children() if artist not in before]:
        at_step(artist, number)


def at_step(artist: Artist, number: int) -> None:
    """The same for something that is drawn already, such as a name at an axis."""
    marked = artist.figure.findobj(lambda other: str(other.get_gid()).startswith("step-"))
    artist.set_gid(f"step-{number}-{len(marked)}")


def begin() -> None:
    """Set the style; every figure function calls it first."""
    sns.set_theme(context="notebook", style="ticks", rc=STYLE)


@dataclass(frozen=True)
class Figure:
    """A drawn figure, the sentence that says what it shows, and its caption (Markdown).

    Notebooks show it as SVG; the book's build moves ``alt`` and ``caption`` to where the page needs them.
    """

    canvas: matplotlib.figure.Figure
    alt: str
    caption: str = ""

    def svg(self) -> str:
        """The figure as SVG text, the same for the same content."""
        drawn, buffer = self.canvas, io.StringIO()
        for words in drawn.findobj(Text):
            words.set_color(readable_colour(words.get_color()))
        for patch in (drawn.patch, *(axes.patch for axes in drawn.findobj(Axes))):
            patch.set(facecolor="none", edgecolor="none")
        canvas, dpi = drawn.canvas, drawn.dpi
        try:
            with matplotlib.rc_context({"svg.hashsalt": "w2s"}):  # savefig would draw it twice: once to lay it out
                FigureCanvasSVG(drawn).print_svg(buffer, metadata={"Date": None})
        finally:
            drawn.set_canvas(canvas)
            drawn.dpi = dpi
        return buffer.getvalue()

    def for_slides(self, svg: str) -> str | None:
        """The figure drawn again for a slide, where the page's own, ``svg``, would have words on it that are too small.

        The sheet has the shape of a slide's room, and a size at which the smallest words can be read there.
        """
        (width, height), size, least = SLIDE_ROOM, self.canvas.get_size_inches(), smallest(svg)
        if SMALLEST <= least * min(width / size[0], height / size[1]) / 72:
            return None
        self.canvas.set_size_inches(np.array(SLIDE_ROOM) * least / SMALLEST / 72)
        drawn = self.svg()
        self.canvas.set_size_inches(size)
        return drawn

    def _repr_mimebundle_(self, include=None, exclude=None) -> tuple[dict[str, str], dict[str, dict[str, str]]]:
        svg = self.svg()
        beside, over = self.beside, self.over
        alt, caption = (
            f"{text.replace('intervals over seeds', f'intervals over {over}')} {beside}".rstrip()
            for text in (self.alt, self.caption)
        )
        data = {"image/svg+xml": svg, "text/plain": alt}
        if os.environ.get(SLIDES) == "yes" and (drawn := self.for_slides(svg)):
            data[SLIDE] = drawn
        return data, {"image/svg+xml": {"alt": alt, "caption": caption}}

    @property
    def over(self) -> str:
        """What the intervals are over that the figure shows: study seeds, or, where there is one, its clusters of
        pairs, such as a prompt's, which are resampled whole."""
        marks = self.canvas.findobj(lambda artist: str(artist.get_label()).startswith(OVER))
        alone = [mark.get_label() == f"{OVER}1" for mark in marks]
        if not any(alone):
            return "seeds"
        return "clusters of pairs" if all(alone) else "seeds, or over clusters of pairs where there is one"

    @property
    def beside(self) -> str:
        """What filled and hollow marks are, where a record's numbers stand beside this build's; else empty."""
        marks = self.canvas.findobj(lambda artist: str(artist.get_label()).startswith(HERE))
        within = [mark.get_label() == f"{HERE}True" for mark in marks if mark.get_label() != f"{HERE}None"]
        said = f", {within.count(False)} of {len(within)} outside the record's 95 % prediction intervals (!)"
        return f"Filled: the record; hollow: this build{said if within else ''}." if marks else ""


@dataclass(frozen=True)
class Shown:
    """What readers move or fill in: Jupyter shows ``html``; ``says`` is what that shows, in a sentence; ``states`` are
    the numbers behind it, where a page holds them."""

    html: str
    says: str
    states: Sequence[dict] = ()

    def _repr_html_(self) -> str:
        return self.html

    def __repr__(self) -> str:
        return self.says


def fill_template(name: str, fields: Mapping[str, object]) -> str:
    """A file of this folder with its ``$fields`` filled in (``string.Template``), which are HTML already.

    What shows the state that a range input names stands between ``$states``, which reads all of them, and ``$moved``.
    """
    read = lambda name: Template((Path(__file__).parent / f"{name}.html").read_text(encoding="utf-8"))
    around = {part: read(part).substitute(fields).rstrip("\n") for part in ("states", "moved")}
    return read(name).substitute({**fields, **around})


def over(rows: pd.Series | pd.DataFrame) -> str:
    """Label of intervals, of one results row or of some: over how many study seeds; none where it is not said."""
    return f"{OVER}{np.max(rows['n_seeds']):.0f}" if "n_seeds" in rows else "_"


def canvas(width: float = 7.0, height: float = 4.0, rows: int = 1, columns: int = 1, **keywords):
    """A new figure and its axes, outside pyplot, so that notebooks neither keep nor show it twice."""
    begin()
    figure = matplotlib.figure.Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots(rows, columns, **keywords)
