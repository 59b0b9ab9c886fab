"""Tables in the book: what stands in the data is shown as text, never as markup."""

import html
from collections.abc import Callable, Mapping

import pandas as pd


def html_table(frame: pd.DataFrame, digits: int, css: str, shown: Mapping[str, str | Callable] | None = None) -> str:
    """An HTML table of classes ``css``: floats with so many ``digits``, all else escaped and uncut, – where none is.

    ``shown`` puts markup around a column's escaped cells, as of pandas' ``Styler.format``.
    """
    # Styler escapes strings, and no other object that might hold some.
    cells = frame.map(lambda cell: cell if isinstance(cell, float) else str(cell), na_action="ignore")
    heads = [str(name).replace("_", " ") for name in frame.columns]
    style = cells.set_axis(heads, axis="columns").style.hide(axis="index")
    style.format(shown, precision=digits, na_rep="–", escape="html").format_index(axis="columns", escape="html")
    made = style.to_html(exclude_styles=True).replace("<th >", '<th scope="col">')  # styles would bring ids
    return made.replace("<table>", f'<table class="{css}">', 1)


class Table:
    """A frame that Jupyter shows as an HTML table, every cell escaped and none cut."""

    def __init__(self, frame: pd.DataFrame, digits: int = 2) -> None:
        self.frame, self.digits = frame, digits

    def _repr_html_(self) -> str:
        return html_table(self.frame, self.digits, "dataframe")

    def __repr__(self) -> str:
        return self.frame.to_string(index=False)


class Parts(Table):
    """A long frame as one folded table for each value of a column, with a field that searches all of them.

    Without the book's own script the field does nothing, and the tables open all the same.
    """

    def __init__(self, frame: pd.DataFrame, by: str, digits: int = 2) -> None:
        super().__init__(frame, digits)
        self.by = by

    def _repr_html_(self) -> str:
        parts = []
        for name, frame in self.frame.groupby(self.by, sort=False):
            table = html_table(frame.drop(columns=self.by), self.digits, "dataframe")
            parts.append(f"<details><summary>{html.escape(str(name))}: {len(frame)}</summary>{table}</details>")
        field = '<label>Search <input type="search" placeholder="any part of a row"></label> <output></output>'
        return f'<div class="searched">{field}{"".join(parts)}</div>'


FRAMED = (
    '<meta name="color-scheme" content="light dark"><style>body { font: 1rem/1.5 sans-serif; overflow-wrap: anywhere }'
    " td, th { padding: 0.3em 0.6em; text-align: left; vertical-align: top } th { overflow-wrap: normal }</style>"
)


class Warned(Table):
    """A table that is folded behind a warning of what it holds; as text, the warning stands alone.

    It stands in a frame of its own, so that neither the book's search nor what it shows of a page knows its words."""

    def __init__(self, warning: str, frame: pd.DataFrame) -> None:
        super().__init__(frame)
        self.warning = warning

    def _repr_html_(self) -> str:
        summary = f"<summary><strong>Content warning.</strong> {html.escape(self.warning)}</summary>"
        page = html.escape(FRAMED + super()._repr_html_())
        look = "width: 100%; height: 32rem; border: 0"
        return f'<details>{summary}<iframe sandbox title="Words" style="{look}" srcdoc="{page}"></iframe></details>'

    def __repr__(self) -> str:
        return f"Content warning. {self.warning}"


def _seeds(f: pd.DataFrame) -> pd.Series:
    """The seeds behind each claim; of how many, where in some the statistic is undefined."""
    fewer = f["n_seeds"] < f["of_seeds"]
    told = f["n_seeds"].map("{:g}".format) + f["of_seeds"].map(" of {:g}".format).where(fewer, "")
    return told.where(f["n_seeds"] > 0)


class Ledger(Table):
    """Claims with their intervals, the study seeds behind them and verdicts, each linked to its chapter; ``frame`` as
    of ``claims.ledger``.  What is behind each stands in a second table, folded: its ``weak_strong_pairs``,
    where the frame has them, and its taxed pairs."""

    def _repr_html_(self) -> str:
        f = self.frame
        bounds = [f" [{row.low:.3f}, {row.high:.3f}]" if row.low == row.low else "" for row in f.itertuples()]
        estimates = [f"{value:.3f}{told}" for value, told in zip(f["value"], bounds)]
        columns = {
            "": f["claim"],
            "claim": f["statement"],
            "estimate, 95 % interval": pd.Series(estimates, f.index, dtype="str").where(f["value"].notna()),
            "seeds": _seeds(f),
            "least effect that counts": f["least_effect"].map("{:g}".format),
            "attainable": f["attainable"],
            "power": f["power"],
        }
        if f["innocent"].notna().any():
            columns |= {"an innocent": f["innocent"]}
        columns |= {"verdict": f["says"]}
        if "on_real_texts" in f:
            columns |= {"on real texts": f["on_real_texts"]}
        if "here" in f:
            far = f["within"].map({False: ", outside"}).fillna("")
            columns |= {"here": f["here"].map("{:.3f}".format, na_action="ignore") + far}
        chapters = dict(zip(f["claim"].map(html.escape), f["chapter"]))
        link = lambda claim: f'<a href="{chapters[claim]}.html">{claim}</a>'
        shown = {"": link, "verdict": "<strong>{}</strong>"}
        first = html_table(pd.DataFrame(columns), self.digits, "dataframe ledger", shown)
        whole = lambda name: f[name].map("{:,.0f}".format, na_action="ignore")
        behind = {"": f["claim"], "claim": f["statement"]} | (
            {"weak–strong pairs": f[told]} if (told := "weak_strong_pairs") in f else {}
        )
        behind |= {"taxed pairs": whole("taxed"), "fewest in a seed": whole("fewest")}
        second = html_table(pd.DataFrame(behind), self.digits, "dataframe ledger", {"": link})
        summary = "<summary>How many taxed pairs are behind each, and of which models</summary>"
        return f"{first}<details>{summary}{second}</details>"

    def __repr__(self) -> str:
        return self.frame[["claim", "statement", "value", "low", "high", "says"]].to_string(index=False)
