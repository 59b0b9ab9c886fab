"""The picture that stands for the book where its address is shared."""

import pandas as pd

from w2s_lib.figures.conflict import scores_and_nulls
from w2s_lib.figures.style import Figure

SIZE = (1200, 630)
"""Pixels, as those who show links to others want them."""
DPI = 150


def card(results: pd.DataFrame, conditions: list[str], title: str, question: str) -> Figure:
    """The headline figure under the book's title and question, white behind; ``results`` as of ``scores_and_nulls``.

    Its ``canvas`` saved at ``DPI`` has ``SIZE``.
    """
    drawn = scores_and_nulls(results, conditions)
    drawn.canvas.set_size_inches(SIZE[0] / DPI, SIZE[1] / DPI)
    drawn.canvas.suptitle(title, fontsize=17, fontweight="bold", color="#222222", x=0.03, ha="left")
    drawn.canvas.axes[0].set_title(question, fontsize=10.5, color="#444444", loc="left", x=-0.08, pad=10)
    drawn.canvas.set_facecolor("white")
    return drawn
