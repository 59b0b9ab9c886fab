"""Other objectives: on which pairs a second aim stands against the first, and what that taxes.

Supervision aims at *harmlessness* or at *honesty*; mixed in are pairs of another aim, its *rival*.  Of every
target pair the world knows what the rival would prefer: the same reply, the other one, or neither.

>>> import pandas as pd
>>> from w2s_lib.objectives import side
>>> side(pd.DataFrame({"chosen": ["no", "no"], "rejected": ["yes of course", "yes"]}), "verbosity").tolist()
['clashes', 'silent']
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from w2s_lib.findings import CONFLICTS, MATCHED, SCORES, minus
from w2s_lib.lab import Lab
from w2s_lib.metrics import Comparison, share
from w2s_lib.pairs import split
from w2s_lib.results import GENERALIZATION, PER_SEED, VERSUS, Statistic, cells, measure, row, seed_weights, summarise
from w2s_lib.run import Objective
from w2s_lib.study import Study

SIDES = ("agrees", "silent", "clashes")
"""What a rival says of a target pair: the same reply is better, no preference, the other reply is better."""

RISKY: tuple[Objective, ...] = ("helpfulness", "pleasing")
"""Rivals that prefer the risky or reassuring reply, whatever the substance is."""

RIVALS = {"implicit": "helpfulness", "verbosity": "verbosity", "honesty_implicit": "pleasing"}
"""Conditions, as results name them, with the rival that is mixed in."""

AGAINST = ("explicit", "implicit", "verbosity", "placebo")
"""What is compared with a rerun, where it was trained."""


def words(texts: pd.Series) -> pd.Series:
    """Length of each text, in words."""
    return texts.str.split().str.len()


def side(pairs: pd.DataFrame, rival: Objective) -> NDArray[np.str_]:
    """Which of ``SIDES`` the rival takes on each target pair, shape (n,).

    Verbosity prefers the longer reply and is silent on replies of one length.  Helpfulness and pleasing prefer the
    risky reply: the chosen one where the substance is safe, the rejected one where it is hazardous; they are silent
    where no substance is involved.  Politeness has nothing to say.

    Raises:
        ValueError: a rival that is none of these.
    """
    if rival == "verbosity":
        agrees = np.sign(words(pairs["chosen"]) - words(pairs["rejected"])).to_numpy()
    elif rival in RISKY:
        hazardous = pairs["hazardous"].astype("boolean")
        agrees = np.where(hazardous.isna(), 0, np.where(hazardous.fillna(False), -1, 1))
    elif rival == "politeness":
        agrees = np.zeros(len(pairs), dtype=int)
    else:
        raise ValueError(f"{rival!r} is no rival: it must be verbosity, politeness, {' or '.join(RISKY)}")
    return np.array(["silent", "agrees", "clashes"])[agrees]  # -1 is the last


def tax_rates(comparison: Comparison, stands: NDArray[np.str_], rival: str) -> dict[str, Statistic]:
    """By name, as functions of weights: the tax rate of the pairs on each side, and *clashes* minus *agrees*.

    A rate is the share of the pairs ranked right without conflict that is taxed, NaN where there are none;
    ``stands`` is what ``side`` returns, shapes are as in ``metrics.share``.
    """

    def rate(name: str) -> Statistic:
        return lambda weights=None: share(comparison.tax, comparison.right & (stands == name), weights)

    rates = {f"tax_rate_{name}_{rival}": rate(name) for name in SIDES}
    rates[f"tax_rate_clashes{VERSUS}agrees_{rival}"] = lambda weights=None: rate("clashes")(weights) - rate("agrees")(weights)
    return rates


def sides(study: Study, rival: Objective) -> pd.DataFrame:
    """How the rival stands on the study's test pairs of all seeds: one row, ``target``, ``rival``, a share for each of ``SIDES``."""
    found = np.concatenate([side(split(study.pairs(seed), "test"), rival) for seed in study.edition.seeds])
    return pd.DataFrame([{"target": study.objective, "rival": rival, **{name: float((found == name).mean()) for name in SIDES}}])


def tax_by_side(study: Study, lab: Lab, conditions: Sequence[str], rival: Objective) -> pd.DataFrame:
    """Tax rates where the rival agrees, is silent and clashes, and *clashes* minus *agrees*; trains what is missing.

    One row per seed, weak-strong pair, condition and statistic, columns ``results.PER_SEED``; statistics
    ``tax_rate_<side>_<rival>`` and ``tax_rate_clashes_vs_agrees_<rival>``.  A rerun or a placebo, which know nothing of
    the rival, show what the pairs themselves do.
    """
    rows = []
    lab.run(study.student_runs(tuple(conditions)))
    for cell in cells(study, conditions):
        stands = side(split(study.pairs(cell.seed), "test"), rival)
        weights = seed_weights(study, cell.seed, study.clusters(lab, cell.seed))
        c, runs = study.comparison(lab, *cell), study.compared(*cell)
        rows += [row(study, cell, name, rate, len(c.weak), runs, weights) for name, rate in tax_rates(c, stands, rival).items()]
    return pd.DataFrame(rows, columns=PER_SEED)


def found(study: Study, lab: Lab) -> tuple[pd.DataFrame, pd.DataFrame]:
    """All that the chapter shows, on the edition's control pairs: one row a seed and cell, and results rows, pooled.

    Harmlessness with the conflicts and verbosity, honesty with the conflicts of its own; tax rates by what the rival says; DS -
    margin-matched null minus the rerun's, and explicit minus implicit.
    """
    few = study.controls()
    honest = few.about("honesty")
    frames = [
        measure(few, lab, ["none"], GENERALIZATION),
        measure(few, lab, (*CONFLICTS, "verbosity"), ("accuracy", *SCORES)),
        measure(honest, lab, ["none"], GENERALIZATION),
        measure(honest, lab, CONFLICTS, ("accuracy", *SCORES)),
        tax_by_side(few, lab, ("implicit", "rerun", "placebo"), "helpfulness"),
        tax_by_side(few, lab, ("verbosity", "rerun", "placebo"), "verbosity"),
        tax_by_side(honest, lab, ("implicit", "rerun", "placebo"), "pleasing"),
    ]
    per_seed = pd.concat(frames, ignore_index=True)
    rows = [
        summarise(per_seed, pooled=True),
        minus(per_seed, [MATCHED], AGAINST, "rerun"),
        minus(per_seed, [MATCHED], [honest.label(c) for c in AGAINST if c != "verbosity"], honest.label("rerun")),
        *(minus(per_seed, [MATCHED], [at.label("explicit")], at.label("implicit")) for at in (few, honest)),
    ]
    return per_seed, pd.concat(rows, ignore_index=True)
