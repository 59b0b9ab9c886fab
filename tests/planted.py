"""Planted frames of results: every row as usual, but for what it names; and a lab whose scores are drawn."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd

from w2s_lib.data.load import split
from w2s_lib.findings.results import ALL, NAMES, OPTIONS, PER_SEED
from w2s_lib.specs import stream

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
    side, over three seeds."""
    usual = USUAL | {"weak": ALL, "strong": ALL, "n_seeds": 3}
    frame = pd.DataFrame([usual | row for row in rows], columns=[*NAMES, "value", "n_seeds"])
    return frame.assign(low=frame["value"] - half, high=frame["value"] + half)


class DrawnLab:
    """A lab whose score tables are drawn by key, or given, and which trains nothing."""

    def __init__(self, given=None):
        self.given = given or {}

    def run(self, specs):
        return 0

    def pairs(self, pairs, on="test"):
        return split(pairs, on)[["pair_id", "cluster"]]

    def scores(self, run, on="test"):
        ids = self.pairs(run.pairs, on)["pair_id"]
        drawn = np.random.default_rng(stream(run.key, on)).normal(1, 2, len(ids))
        margin = np.asarray(self.given.get((run, on), drawn))
        return pd.DataFrame({"pair_id": ids, "margin": margin, "p_true": 1 / (1 + np.exp(-margin))})
