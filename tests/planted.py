"""Planted frames of results: every row as usual, but for what it names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd

from w2s_lib.findings.results import ALL, NAMES, OPTIONS, PER_SEED

USUAL = dict.fromkeys(OPTIONS, "") | {
    "method": "reward_model",
    "condition": "explicit",
    "alpha": np.nan,
    "threshold": np.nan,
}


def per_seed(rows: Iterable[Mapping[str, object]]) -> pd.DataFrame:
    """A frame as of ``results.measure``, columns ``PER_SEED``; a row names at least ``statistic``, ``seed`` and
    ``value``."""
    usual = USUAL | {"weak": "w", "strong": "s", "n_pairs": 100, "run_keys": ("k",)}
    usual |= {"less": np.nan, "counted": np.nan, "draws": None, "draws_counted": np.nan}
    return pd.DataFrame([usual | row for row in rows], columns=PER_SEED)


def pooled(rows: Iterable[Mapping[str, object]], half: float = 0.05) -> pd.DataFrame:
    """Results rows over all weak-strong pairs: each with its ``value`` and an interval that reaches ``half`` to either
    side."""
    usual = USUAL | {"weak": ALL, "strong": ALL}
    frame = pd.DataFrame([usual | row for row in rows], columns=[*NAMES, "value"])
    return frame.assign(low=frame["value"] - half, high=frame["value"] + half)
