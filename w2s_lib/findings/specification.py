"""How much of a verdict is a choice? One number, counted in every way that can be defended.

The number is what the explicit conflict's score has beyond a null, minus the same for a rerun.  A *specification*
settles how it is counted: the threshold, what it means to know a pair, the null and its neighbours, how model pairs are
pooled, which of them, and beside which ceiling (Simonsohn, Simmons and Nelson 2020).  Trains nothing of its own.
"""

from dataclasses import replace
from itertools import product

import numpy as np
import pandas as pd

from w2s_lib.findings.results import cells, reads
from w2s_lib.findings.sensitivity import DEFINITIONS, defined
from w2s_lib.measures.intervals import seed_interval
from w2s_lib.measures.metrics import NULLS, Comparison, alike
from w2s_lib.study import Study
from w2s_lib.study.study import COMPARED

CHOICES: dict[str, tuple[float | str, ...]] = {
    "T": (0.6, 0.75, 0.9),
    "knows": tuple(DEFINITIONS),
    "null": ("margin-matched", "weak-matched"),
    "neighbours": (10, 20, 40),
    "pooled": ("ratio of sums", "mean over pairs"),
    "weak_strong_pairs": ("all", "control"),
    "ceiling": ("own half", "other half"),
}
"""What a specification settles, and the options.  The other half's ceiling stands beside the control weak-strong pairs
only."""

OF_A_CELL = ("T", "knows", "null", "neighbours", "ceiling")
"""The choices that a single model pair knows of."""


def total_excess(c: Comparison, null: str, neighbours: int) -> tuple[float, int]:
    """Sum over taxed pairs of what is scored minus its chance by a null, and their number: ``excess`` is the ratio."""
    part, among = c.scored(null)
    paid = c.tax & among
    near = alike(among, [getattr(c, name) for name in NULLS[null]], neighbours, of=paid)
    return float(part[paid].sum() - (near @ part).sum() / min(neighbours, max(among.sum(), 1))), int(paid.sum())


def by_cell(study: Study, ceiling: str) -> pd.DataFrame:
    """Every model pair and seed, in every way: ``seed, weak, strong, condition``, ``OF_A_CELL``, ``total, taxed``."""
    study.lab.run(study.student_runs(COMPARED))
    rows = []
    for cell in cells(study, COMPARED):
        c, clusters = study.comparison(*cell), study.clusters(cell.seed)
        for knows in DEFINITIONS:
            one = defined(c, clusters, knows)
            for t, null, k in product(CHOICES["T"], CHOICES["null"], CHOICES["neighbours"]):
                total, taxed = total_excess(replace(one, threshold=t), null.replace("-", "_"), k)
                names = {"T": t, "knows": knows, "null": null, "neighbours": k, "ceiling": ceiling}
                rows.append(cell._asdict() | names | {"total": total, "taxed": taxed})
    return pd.DataFrame(rows)


def explicit_minus_rerun(counted: pd.DataFrame, how: str) -> pd.Series:
    """Explicit minus rerun, by ``OF_A_CELL`` and seed, over the model pairs in which both have a score; ``counted`` as
    of ``by_cell``."""
    cell = [*OF_A_CELL, "seed", "weak", "strong"]
    sums = counted.set_index([*cell, "condition"])[["total", "taxed"]].unstack("condition")
    sums = sums[(sums["taxed"] > 0).all(axis=1)]
    by_seed = lambda frame: frame.groupby([*OF_A_CELL, "seed"], sort=False)
    if how == "mean over pairs":
        scores = by_seed(sums["total"] / sums["taxed"]).mean()
    else:
        scores = by_seed(sums["total"]).sum() / by_seed(sums["taxed"]).sum()
    return (scores["explicit"] - scores["rerun"]).rename("value")


def specification_curve(study: Study) -> pd.DataFrame:
    """A row a specification, the least estimate first: ``CHOICES``, ``value, low, high, n_seeds, reads``.

    Intervals are t intervals over seeds; with a single seed there is none.
    """
    few = study.on_control_weak_strong_pairs()
    own = by_cell(study, "own half")
    other = by_cell(replace(few, ceiling_half="ground_truth"), "other half")
    on_control = own[[cell in few.edition.weak_strong for cell in zip(own["weak"], own["strong"])]]
    samples = [("control", on_control), ("control", other)]
    if len(on_control) < len(own):
        samples.insert(0, ("all", own))
    rows = []
    for (pairs, counted), how in product(samples, CHOICES["pooled"]):
        for names, values in explicit_minus_rerun(counted, how).groupby(list(OF_A_CELL), sort=False):
            about = dict(zip(OF_A_CELL, names)) | {"weak_strong_pairs": pairs, "pooled": how}
            rows.append(about | seed_interval(values)._asdict())
    frame = pd.DataFrame(rows).sort_values("value", ignore_index=True)
    frame["reads"] = [reads(row) for _, row in frame.iterrows()]
    return frame[[*CHOICES, "value", "low", "high", "n_seeds", "reads"]]


def with_every_option(curve: pd.DataFrame, choice: str) -> pd.DataFrame:
    """The specifications that are there with every option of a choice, all else equal: the other half's ceiling has no
    specification over all pairs, so that ceilings are compared over the control weak-strong pairs, and pairs at the own
    half's."""
    others = [name for name in CHOICES if name != choice]
    return curve[curve.groupby(others)[choice].transform("nunique") == curve[choice].nunique()]


def by_option(curve: pd.DataFrame) -> pd.DataFrame:
    """What each option makes of it, among those ``with_every_option``: ``choice, option``, how many ``specifications``,
    their median, and the share ``above_zero``."""
    rows = []
    for choice, options in CHOICES.items():
        alike = with_every_option(curve, choice)
        for option in options:
            mine = alike[alike[choice] == option]
            above = np.mean(mine["reads"] == "above zero")
            rows.append((choice, str(option), len(mine), mine["value"].median(), above))
    frame = pd.DataFrame(rows, columns=["choice", "option", "specifications", "median", "above_zero"])
    return frame[frame["specifications"] > 0].reset_index(drop=True)
