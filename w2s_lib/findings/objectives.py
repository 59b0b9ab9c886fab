"""Other objectives: on which pairs a second aim stands against the first, and what that taxes.

Supervision aims at *harmlessness* or at *honesty*; mixed in are pairs of another aim, its *rival*.  Of every
target pair the world knows what the rival would prefer: the same reply, the other one, or neither.

>>> import pandas as pd
>>> from w2s_lib.findings.objectives import rival_sides
>>> rival_sides(pd.DataFrame({"chosen": ["no", "no"], "rejected": ["yes of course", "yes"]}), "verbosity").tolist()
['clashes', 'silent']
"""

from collections.abc import Iterable, Sequence
from functools import partial

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from w2s_lib.data.load import split
from w2s_lib.findings.results import CONFLICTS, Cell, Estimate, measure_both, minus, summarise, tabulate
from w2s_lib.findings.statistics import MATCHED, Statistic
from w2s_lib.measures.metrics import Array, Comparison, share
from w2s_lib.specs import Objective
from w2s_lib.study import Study

RIVAL_SIDES = ("agrees", "silent", "clashes")
"""What a rival says of a target pair: the same reply is better, no preference, the other reply is better."""

RISKY: tuple[Objective, ...] = ("helpfulness", "pleasing")
"""Rivals that prefer the risky or reassuring reply, whatever the substance is."""

RIVAL_MIXED_IN = {("", "implicit"): "helpfulness", ("", "verbosity"): "verbosity", ("honesty", "implicit"): "pleasing"}
"""Objectives and conditions, as results name them, with the rival that is mixed in."""

OBJECTIVES_BESIDE_RERUN = ("explicit", "implicit", "verbosity", "placebo")
"""What is compared with a rerun, where it was trained."""


def words_of_each(texts: pd.Series) -> pd.Series:
    """Length of each text, in words."""
    return texts.str.split().str.len()


def rival_sides(pairs: pd.DataFrame, rival: Objective) -> NDArray[np.str_]:
    """Which of ``RIVAL_SIDES`` the rival takes on each target pair, shape (n,).

    Verbosity prefers the longer reply and is silent on replies of one length.  Helpfulness and pleasing prefer the
    risky reply: the chosen one where the substance is safe, the rejected one where it is hazardous; they are silent
    where no substance is involved.  Politeness has nothing to say.

    Raises:
        ValueError: a rival that is none of these.
    """
    if rival == "verbosity":
        agrees = np.sign(words_of_each(pairs["chosen"]) - words_of_each(pairs["rejected"])).to_numpy()
    elif rival in RISKY:
        hazardous = pairs["hazardous"].astype("boolean")
        agrees = np.where(hazardous.isna(), 0, np.where(hazardous.fillna(False), -1, 1))
    elif rival == "politeness":
        agrees = np.zeros(len(pairs), dtype=int)
    else:
        raise ValueError(f"{rival!r} is no rival: it must be verbosity, politeness, {' or '.join(RISKY)}")
    return np.array(["silent", "agrees", "clashes"])[agrees]  # -1 is the last


def tax_rates(comparison: Comparison, stands: NDArray[np.str_]) -> dict[tuple[str, str], Statistic]:
    """By ``subset`` and ``versus``, as functions of weights: tax rates on each side, and *clashes* minus *agrees*.

    A rate is the share of the pairs ranked right without conflict that is taxed, NaN where there are none;
    ``stands`` is what ``rival_sides`` returns, shapes are as in ``metrics.share``.
    """

    def rate(name: str, weights: Array | None = None) -> Array:
        return share(comparison.tax, comparison.right & (stands == name), weights)

    rates = {(name, ""): partial(rate, name) for name in RIVAL_SIDES}
    return rates | {("clashes", "agrees"): lambda weights=None: rate("clashes", weights) - rate("agrees", weights)}


def sides(study: Study, rival: Objective) -> pd.DataFrame:
    """How the rival stands on test pairs of all seeds: one row, ``target``, ``rival``, shares by ``RIVAL_SIDES``."""
    found = np.concatenate([rival_sides(split(study.pairs(seed), "test"), rival) for seed in study.edition.seeds])
    about = {"target": study.objective, "rival": rival}
    return pd.DataFrame([about | {name: float((found == name).mean()) for name in RIVAL_SIDES}])


def tax_by_side(study: Study, conditions: Sequence[str], rival: Objective) -> pd.DataFrame:
    """Tax rates where the rival agrees, is silent and clashes, and *clashes* minus *agrees*; trains what is missing.

    Statistic ``tax_rate``; ``subset`` says on which side, ``versus`` is *agrees* for the difference, ``rival`` names
    the rival.  A rerun or a placebo, which know nothing of the rival, show what the pairs themselves do."""

    def estimates(cell: Cell) -> Iterable[Estimate]:
        c, stands = study.comparison(*cell), rival_sides(split(study.pairs(cell.seed), "test"), rival)
        rates = tax_rates(c, stands)
        for (subset, versus), rate in rates.items():
            names = {"statistic": "tax_rate", "subset": subset, "versus": versus, "rival": rival}
            yield Estimate(names, rate, len(c.weak), study.compared(*cell), less=rates.get((versus, "")))

    return tabulate(study, conditions, estimates)


def other_objectives(study: Study) -> tuple[pd.DataFrame, pd.DataFrame]:
    """All that the chapter shows, on the edition's control weak-strong pairs: one row a seed and cell, and results
    rows, pooled.

    Harmlessness with the conflicts and verbosity, honesty with the conflicts of its own; tax rates by what the rival
    says; DS - margin-matched null minus the rerun's, and explicit minus implicit."""
    few = study.on_control_weak_strong_pairs()
    honest = few.aiming_at("honesty")
    frames = [
        measure_both(few, (*CONFLICTS, "verbosity")),
        measure_both(honest, CONFLICTS),
        tax_by_side(few, ("implicit", "rerun", "placebo"), "helpfulness"),
        tax_by_side(few, ("verbosity", "rerun", "placebo"), "verbosity"),
        tax_by_side(honest, ("implicit", "rerun", "placebo"), "pleasing"),
    ]
    per_seed = pd.concat(frames, ignore_index=True)
    of_honesty = [name for name in OBJECTIVES_BESIDE_RERUN if name != "verbosity"]
    rows = [
        summarise(per_seed, pooled=True),
        minus(per_seed, [MATCHED], OBJECTIVES_BESIDE_RERUN, "rerun"),
        minus(per_seed, [MATCHED], of_honesty, "rerun", objective="honesty"),
        *(minus(per_seed, [MATCHED], ["explicit"], "implicit", objective=aim) for aim in ("", "honesty")),
    ]
    return per_seed, pd.concat(rows, ignore_index=True)
