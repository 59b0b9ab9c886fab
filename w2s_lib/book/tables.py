"""Tables in the book: what stands in the data is shown as text, never as markup."""

from __future__ import annotations

import html
from typing import NamedTuple

import pandas as pd


class Table:
    """A frame that Jupyter shows as an HTML table, every cell escaped and none cut."""

    def __init__(self, frame: pd.DataFrame, digits: int = 2) -> None:
        self.frame, self.digits = frame, digits

    def _cell(self, value: object) -> str:
        if value is None or value is pd.NA or value != value:
            return "–"
        return html.escape(f"{value:.{self.digits}f}" if isinstance(value, float) else str(value))

    def _repr_html_(self) -> str:
        head = "".join(f"<th>{html.escape(str(c).replace('_', ' '))}</th>" for c in self.frame.columns)
        rows = "".join(
            "<tr>" + "".join(f"<td>{self._cell(v)}</td>" for v in row) + "</tr>"
            for row in self.frame.itertuples(index=False)
        )
        return f'<table class="dataframe"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>'

    def __repr__(self) -> str:
        return self.frame.to_string(index=False)


class Ledger:
    """Claims with their intervals and verdicts, each linked to its chapter; ``frame`` as of ``claims.ledger``."""

    def __init__(self, frame: pd.DataFrame) -> None:
        self.frame = frame

    def _row(self, row: NamedTuple) -> str:
        number = "–" if pd.isna(row.value) else f"{row.value:.3f} [{row.low:.3f}, {row.high:.3f}]"
        chapter = (
            f'<a href="{html.escape(row.chapter)}.html">{html.escape(row.chapter[:2])}</a>' if row.statistic else "–"
        )
        detectable = "–" if pd.isna(row.detectable) else f"{row.detectable:.2f}"
        says = f"<strong>{html.escape(row.says)}</strong>"
        cells = (
            html.escape(row.claim),
            html.escape(row.statement),
            number,
            f"{row.margin:g}",
            detectable,
            says,
            chapter,
        )
        return "<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>"

    def _repr_html_(self) -> str:
        head = "".join(
            f"<th>{name}</th>"
            for name in ("", "claim", "estimate, 95 % interval", "margin", "detectable", "verdict", "chapter")
        )
        rows = "".join(self._row(row) for row in self.frame.itertuples())
        return f'<table class="dataframe ledger"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>'

    def __repr__(self) -> str:
        return self.frame[["claim", "statement", "value", "low", "high", "says"]].to_string(index=False)
