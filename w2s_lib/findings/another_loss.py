"""Reverse losses in place of cross-entropy: where the explicit conflict wins, and what that does to tax and score."""

from __future__ import annotations

import numpy as np
import pandas as pd

from w2s_lib.findings.results import (
    GENERALIZATION,
    MATCHED,
    SCORES,
    TRAINING,
    UNMODIFIED,
    difference,
    measure,
    minus,
    summarise,
)
from w2s_lib.measures.metrics import log_odds
from w2s_lib.study import Study
from w2s_lib.study.conditions import LOSS_DOSE
from w2s_lib.study.mitigations import REVERSE

BETWEEN = "tax_rate_between_borders"

BY_REGION = ("tax_rate_below_band", "tax_rate_in_band", BETWEEN)

CHANGES = ("conflict_tax", "net_change", "deception_score", MATCHED, BETWEEN)
"""What is read of a loss minus cross-entropy, under the explicit conflict."""


def doses(study: Study) -> tuple[float, ...]:
    """The edition's alpha, and ``LOSS_DOSE``."""
    return tuple(dict.fromkeys((study.edition.alpha, LOSS_DOSE)))


def another_loss(study: Study) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Students under each loss, by dose: tax by label on training and test pairs, DS with nulls, PGR; pooled.

    The loss stands in ``mitigation``, empty for cross-entropy.  Minus a rerun by the same loss (``versus`` *rerun*),
    and minus cross-entropy (``versus`` *unmodified*).  The rerun has a row at every alpha, for its borders."""
    few = study.restricted_to(pairs=study.edition.mitigation_pairs)
    of = lambda alpha, loss: under_loss(few.with_parameters(alpha=alpha), loss)
    frames = [measure(under_loss(few, loss), ["none"], GENERALIZATION) for loss in ("", *REVERSE)]
    for alpha in doses(study):
        for loss in ("", *REVERSE):
            both = ("explicit", "rerun")
            test = measure(of(alpha, loss), both, (*SCORES, "accuracy", *BY_REGION))
            training = measure(of(alpha, loss), both, BY_REGION, on="weak_label")
            frames += [frame.assign(alpha=alpha) for frame in (test, training)]
    per_seed = pd.concat(frames, ignore_index=True)
    rows = [summarise(per_seed, pooled=True)]
    for alpha in doses(study):
        for loss in ("", *REVERSE):
            named = {"mitigation": loss, "alpha": alpha}
            rows.append(minus(per_seed, ("conflict_tax", MATCHED, *BY_REGION), ("explicit",), "rerun", **named))
            rows.append(minus(per_seed, BY_REGION, ("explicit",), "rerun", on=TRAINING, **named))
        for loss in REVERSE:
            these = {"condition": "explicit", "mitigation": loss, "alpha": alpha}
            those = {"condition": "explicit", "alpha": alpha}
            rows += [difference(per_seed, s, UNMODIFIED, these, those) for s in CHANGES]
            on = {"on": TRAINING}
            rows += [difference(per_seed, s, UNMODIFIED, these | on, those | on) for s in BY_REGION]
    for loss in REVERSE:
        these = {"condition": "none", "mitigation": loss}
        rows += [difference(per_seed, s, UNMODIFIED, these, {"condition": "none"}) for s in ("accuracy", "pgr")]
    return per_seed, pd.concat(rows, ignore_index=True)


def under_loss(study: Study, loss: str) -> Study:
    """The study with that loss of its students; empty: cross-entropy."""
    return study.under_mitigation(loss) if loss else study


def fitted(study: Study, alpha: float) -> pd.DataFrame:
    """Every training pair of every loss: ``loss, condition, q`` (weak label), ``z`` (the student's logit of the truth),
    ``right`` (whether the no-conflict student by the same loss ranks it right)."""
    frames = []
    few = study.restricted_to(pairs=study.edition.mitigation_pairs).with_parameters(alpha=alpha)
    for loss in ("", *REVERSE):
        for seed in few.edition.seeds:
            for weak, strong in few.edition.weak_strong:
                c = under_loss(few, loss).comparison(seed, weak, strong, "explicit", on="weak_label")
                for condition, p in (("none", c.baseline), ("explicit", c.conflict)):
                    about = {"loss": loss, "condition": condition, "q": c.weak, "z": log_odds(p), "right": c.right}
                    frames.append(pd.DataFrame(about))
    return pd.concat(frames, ignore_index=True)


def by_label(pairs: pd.DataFrame, bins: int = 10) -> pd.DataFrame:
    """Of ``fitted``, for each loss, condition and tenth of the labels: ``q`` (mean), and the ``low``, ``middle`` and
    ``high`` quartile of z."""
    tenth = np.minimum((pairs["q"] * bins).astype(int), bins - 1)
    rows = []
    for (loss, condition, _), group in pairs.groupby(["loss", "condition", tenth.rename("tenth")], sort=False):
        low, middle, high = np.quantile(group["z"], [0.25, 0.5, 0.75])
        rows.append(
            {"loss": loss, "condition": condition, "q": group["q"].mean(), "low": low, "middle": middle, "high": high}
        )
    return pd.DataFrame(rows).sort_values(["condition", "loss", "q"], ignore_index=True)
