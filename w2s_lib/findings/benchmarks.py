"""The last bench file: what ``make bench`` measured, and on which machine."""

import json
from pathlib import Path
from typing import NamedTuple

import pandas as pd

LAST_BENCH = Path(__file__).resolve().parents[2] / "notebooks" / "benchmarks.json"


class Section(NamedTuple):
    """What one benchmark left: the machine, when, the versions, sentences about the run, and a frame of its numbers."""

    hardware: str
    date: str
    versions: dict[str, str]
    notes: dict[str, str]
    rows: pd.DataFrame


def read_bench(path: Path = LAST_BENCH) -> dict[str, Section]:
    """The bench file's sections: ``throughput``, ``runs``, ``workers``, ``cost``, ``cost_world``, as measured."""
    found = json.loads(path.read_text(encoding="utf-8"))
    return {name: Section(**{**section, "rows": pd.DataFrame(section["rows"])}) for name, section in found.items()}


def native(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows in number formats in which the machine multiplies no slower than in fp32: shares of others say nothing."""
    return rows[rows["gemm_rate"] >= rows.loc[rows["dtype"] == "float32", "gemm_rate"].min()]


def limits(rows: pd.DataFrame) -> pd.DataFrame:
    """What each way could reach: ``limit`` is its ratio to the reference recipe if it only multiplied, at full rate.

    ``rows`` of the section ``throughput``; tokens, padding included, are relative to the reference recipe's.
    """
    against = native(rows[rows["against"] == "reference recipe"])
    base = against[against["way"] == "reference recipe"].set_index(["work", "model"])["tokens"]
    tokens = against["tokens"] / base.loc[pd.MultiIndex.from_frame(against[["work", "model"]])].to_numpy()
    table = against.assign(tokens=tokens, ratio=against["value"], limit=against["value"] / against["gemm_share"])
    columns = ["work", "model", "way", "dtype", "tokens", "gemm_rate", "gemm_share", "ratio", "limit"]
    return table[columns].reset_index(drop=True)


def _span(values: pd.Series, digits: int = 1) -> str:
    low, high = (f"{value:.{digits}f}" for value in (values.min(), values.max()))
    return low if low == high else f"{low} to {high}"


def said_of_cost(cost: pd.DataFrame, world: pd.DataFrame) -> dict[str, str]:
    """The smallest and the largest ratio of predicted to taken: of GPT-2s, the world's pretraining, its other runs."""
    is_pretraining, ratio = world["work"] == "pretraining", world["predicted"] / world["seconds"]
    return {
        "predicted": _span(cost["predicted"] / cost["microseconds"]),
        "predicted_pretraining": _span(ratio[is_pretraining]),
        "predicted_training": _span(ratio[~is_pretraining]),
    }


def lost(workers: pd.DataFrame) -> dict[str, float]:
    """What keeps two workers from doing twice as much as one: factors whose product is what is missing, by who takes
    them; below one, where somebody gives.

    ``rows`` of the section ``workers``.

    >>> names = ["the lab", "the lab, workers started", "plain processes"]
    >>> lost(pd.DataFrame({"name": names, "value": [1.25, 1.25, 1.6]}))
    {'the machine': 1.25, 'the lab': 1.28, 'starting workers': 1.0}
    """
    times = workers.set_index("name")["value"]
    whole, started, plain = (times[name] for name in ("the lab", "the lab, workers started", "plain processes"))
    taken = {"the machine": 2 / plain, "the lab": plain / started, "starting workers": started / whole}
    return {who: round(float(times), 3) for who, times in taken.items()}


WHAT_TAKES_MOST = {
    "the machine": "the machine, on which two plain processes hinder each other as much",
    "the lab": "lab and Dask, for plain processes reach more",
    "starting workers": "the start and the end of workers, which a longer study would not notice",
}
"""Who takes most of what is missing, in words."""


def said_of_workers(workers: Section | None) -> str:
    """What bounds two workers, in words; that it is not known, where nobody has measured it."""
    if workers is None:
        return "How much more two workers do than one has not been measured since this page asks for it."
    times, taken = workers.rows.set_index("name"), lost(workers.rows)
    rows = (times.loc[name] for name in ("the lab", "the lab, workers started"))
    told = ["{value:.2f} [{low:.2f}, {high:.2f}]".format(**row) for row in rows]
    most = max(taken, key=taken.get)
    return (
        f"Two workers do {told[0]} times as much as one, and {told[1]} times once they have started. "
        f"What is missing to twice as much, most of it, is taken by {WHAT_TAKES_MOST[most]}."
    )


def said_of_throughput(throughput: Section) -> dict[str, str]:
    """What the page says in words: the smallest and largest ratio to the reference recipe, and the machine's rates."""
    rows = throughput.rows[throughput.rows["against"] == "reference recipe"]
    full = rows[rows["dtype"] == "float32"]
    ours = full[full["way"] == "shared prefixes"]
    rates = rows.groupby("dtype")["gemm_rate"].median()
    return {
        "training": _span(ours.loc[ours["work"] == "training", "value"]),
        "scoring": _span(ours.loc[ours["work"] == "scoring", "value"]),
        "alone": _span(full.loc[full["way"] == "one text at a time", "value"]),
        "shares": _span(ours["gemm_share"], 2),
        "full": f"{rates['float32']:.0f}",
        "half": f"{rates['bfloat16']:.0f}",
        "native": throughput.notes["bfloat16"],
    }
