"""Reverse losses in place of cross-entropy: where the explicit conflict wins, and what that does to tax and score."""

import numpy as np
import pandas as pd

from w2s_lib.findings.results import TRAINING, UNMODIFIED, cells, difference, measure, minus, net_of_reruns, summarise
from w2s_lib.findings.statistics import BY_LABEL, GENERALIZATION, MATCHED, SCORES
from w2s_lib.measures.metrics import borders, log_odds
from w2s_lib.study import Study
from w2s_lib.study.conditions import LOSS_DOSE
from w2s_lib.study.mitigations import REVERSE

LOSSES_TRIED = ("", *REVERSE)
"""Losses of the chapter, as results name them in ``mitigation``; the empty one is cross-entropy."""

BETWEEN = "tax_rate_between_borders"

BY_REGION = ("tax_rate_below_band", "tax_rate_in_band", BETWEEN)

LOSS_CHANGES = ("conflict_tax", "net_change", "deception_score", MATCHED, BETWEEN)
"""What is read of a loss minus cross-entropy, under the explicit conflict."""


def alphas_tried(study: Study) -> tuple[float, ...]:
    """The edition's alpha, and ``LOSS_DOSE``."""
    return tuple(dict.fromkeys((study.edition.alpha, LOSS_DOSE)))


def another_loss(study: Study) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Students under each loss, by dose: tax by label on training and test pairs, DS with nulls, PGR; pooled.

    The loss stands in ``mitigation``, empty for cross-entropy.  Minus a rerun by the same loss (``versus`` *rerun*),
    minus cross-entropy (*unmodified*), and minus cross-entropy with the rerun of each taken off before
    (*unmodified_net*).  The rerun has a row at every alpha, for its borders."""
    few = study.on_mitigation_weak_strong_pairs()
    frames = [measure(few.under_mitigation(loss), ["none"], GENERALIZATION) for loss in LOSSES_TRIED]
    for alpha in alphas_tried(study):
        for loss in LOSSES_TRIED:
            one, both = few.with_parameters(alpha=alpha).under_mitigation(loss), ("explicit", "rerun")
            test = measure(one, both, (*SCORES, "accuracy", *BY_REGION))
            training = measure(one, both, (*BY_REGION, *(name for name, _, _ in BY_LABEL)), on="weak_label")
            frames += [frame.assign(alpha=alpha) for frame in (test, training)]
    per_seed = pd.concat(frames, ignore_index=True)
    rows = [summarise(per_seed, pooled=True)]
    for alpha in alphas_tried(study):
        for loss in LOSSES_TRIED:
            named = {"mitigation": loss, "alpha": alpha}
            rows.append(minus(per_seed, ("conflict_tax", MATCHED, *BY_REGION), ("explicit",), "rerun", **named))
            rows.append(minus(per_seed, BY_REGION, ("explicit",), "rerun", on=TRAINING, **named))
        for loss in REVERSE:
            these = {"condition": "explicit", "mitigation": loss, "alpha": alpha}
            those = {"condition": "explicit", "alpha": alpha}
            rows.append(difference(per_seed, LOSS_CHANGES, UNMODIFIED, these, those))
            on = {"on": TRAINING}
            rows.append(difference(per_seed, BY_REGION, UNMODIFIED, these | on, those | on))
            rows.append(net_of_reruns(per_seed, ("conflict_tax",), UNMODIFIED, these, those))
            rows.append(net_of_reruns(per_seed, (BETWEEN,), UNMODIFIED, these | on, those | on))
    for loss in REVERSE:
        these = {"condition": "none", "mitigation": loss}
        rows.append(difference(per_seed, ("accuracy", "pgr"), UNMODIFIED, these, {"condition": "none"}))
    return per_seed, pd.concat(rows, ignore_index=True)


def fitted(study: Study, alpha: float) -> pd.DataFrame:
    """Every training pair of every loss: ``loss, condition, q`` (weak label), ``z`` (the student's logit of the truth),
    ``right`` (whether the no-conflict student by the same loss ranks it right)."""
    frames = []
    few = study.on_mitigation_weak_strong_pairs().with_parameters(alpha=alpha)
    for loss in LOSSES_TRIED:
        for cell in cells(few, ["explicit"]):
            c = few.under_mitigation(loss).comparison(*cell, on="weak_label")
            for condition, p in (("none", c.baseline), ("explicit", c.conflict)):
                about = {"loss": loss, "condition": condition, "q": c.weak, "z": log_odds(p), "right": c.right}
                frames.append(pd.DataFrame(about))
    return pd.concat(frames, ignore_index=True)


def resting_places(loss: str, alpha: float, q: np.ndarray) -> np.ndarray:
    """Where p of a pair by itself comes to rest below 1/2 under the explicit conflict, by its label q; NaN: nowhere.

    The gradient that is set to zero is ``training.losses``'; under reverse cross-entropy p may fall without end, to 0.
    """
    label = np.log(q) - np.log1p(-q)
    if loss == "":
        p = q / (1 + alpha)
    elif loss == "reverse_cross_entropy":
        p = 1 - alpha / np.maximum(label, alpha)
    else:  # (1 - p) (logit q - z) = alpha, whose left side falls as z rises
        low, high = np.full_like(q, -40.0), np.zeros_like(q)
        for _ in range(60):
            z = (low + high) / 2
            left = (label - z) / (1 + np.exp(z)) > alpha
            low, high = np.where(left, z, low), np.where(left, high, z)
        p = 1 / (1 + np.exp(-z))
    return np.where(q < borders(alpha)[loss == ""], p, np.nan)


def by_label(pairs: pd.DataFrame) -> pd.DataFrame:
    """Of ``fitted``, by loss, condition and tenth of labels: mean ``q``; quartiles ``low, middle, high`` of z."""
    tenth = np.minimum((pairs["q"] * 10).astype(int), 9)
    rows = []
    for (loss, condition, _), group in pairs.groupby(["loss", "condition", tenth.rename("tenth")], sort=False):
        low, middle, high = np.quantile(group["z"], [0.25, 0.5, 0.75])
        z = {"low": low, "middle": middle, "high": high}
        rows.append({"loss": loss, "condition": condition, "q": group["q"].mean()} | z)
    return pd.DataFrame(rows).sort_values(["condition", "loss", "q"], ignore_index=True)
