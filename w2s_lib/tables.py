"""Tables in the book: what stands in the data is shown as text, never as markup."""

from __future__ import annotations

import html

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
        rows = "".join("<tr>" + "".join(f"<td>{self._cell(v)}</td>" for v in row) + "</tr>" for row in self.frame.itertuples(index=False))
        return f'<table class="dataframe"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>'

    def __repr__(self) -> str:
        return self.frame.to_string(index=False)
