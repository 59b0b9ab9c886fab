"""A strong model that is never trained, guided by a small one (weak-to-strong search, Zhou et al. 2024).

The *guide* is a policy as small as the weak supervisor.  What its training has changed in the probabilities of two
replies is added to what the pretrained strong model thinks of them.  A guide is trained as a strong student is: on the
weak supervisor's labels, under the same conditions.  Conflicts so reach the guide, and never the strong model.
"""

from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd

from w2s_lib.data.load import split
from w2s_lib.findings.results import (
    Cell,
    Estimate,
    cells,
    difference,
    estimate,
    measure_both,
    minus,
    summarise,
    tabulate,
)
from w2s_lib.findings.statistics import GENERALIZATION, MATCHED, SCORES
from w2s_lib.findings.written import what_is_written
from w2s_lib.measures.metrics import Comparison, accuracy
from w2s_lib.specs import Pairs, Pretrain, Spec, Split, Train
from w2s_lib.study import Study
from w2s_lib.study.conditions import CORE

SEARCH, GUIDE = "search", "guide"
"""Methods that results name: the guided strong model, and its guide alone."""

WEIGHTS = (0.0, 0.5, 1.0, 2.0, 4.0, 8.0, np.inf)
"""Weights of the guide: at 0 it is not heard, at infinity nothing else is."""

BOTH_HEARD = tuple(w for w in WEIGHTS if 0 < w < np.inf)

HARMED = CORE[1:]
"""The conditions that guides are trained under, beside no conflict."""


def guided(base: np.ndarray, gain: np.ndarray, weight: float) -> np.ndarray:
    """Margins (base + weight · gain) / (1 + weight), shape (n,), from two differences chosen − rejected in nats.

    ``base``: of the strong model's log-probabilities; ``gain``: of what training added to the small model's.  The
    divisor changes no sign and no order; at an infinite weight it leaves ``gain``."""
    return gain.copy() if np.isinf(weight) else (base + weight * gain) / (1 + weight)


def by_dpo(study: Study) -> Study:
    """The study on its policy weak-strong pairs by DPO, to which supervisor, guides and trained students belong."""
    return study.on_policy_weak_strong_pairs().trained_by("dpo")


@lru_cache(maxsize=32)
def _base_margins(model: Pretrain, folder: Path, pairs: Pairs, on: Split) -> np.ndarray:
    from w2s_lib.models.pretrain import tokenizer  # these load torch
    from w2s_lib.models.scores import reply_log_probs
    from w2s_lib.training.policy import build

    chosen, rejected = reply_log_probs(build(folder), tokenizer(model.world), split(pairs, on))[0].T
    return chosen - rejected


def base_margins(study: Study, seed: int, strong: str, on: Split = "test") -> np.ndarray:
    """log-probability of chosen − rejected under the pretrained strong model, in nats, in the order of the pairs."""
    model = study.model(seed, strong)
    study.lab.run([model])
    return _base_margins(model, study.lab.store.path(model), study.pairs(seed), on)


def guided_probabilities(
    study: Study, cell: Cell, guides: Sequence[Train], weight: float, on: Split = "test"
) -> np.ndarray:
    """Probabilities of the true order by the strong model under each guide, shape (guides, n)."""
    base = base_margins(study, cell.seed, cell.strong, on)
    study.lab.run(guides)
    gains = [study.lab.scores(run, on)["margin"].to_numpy() / run.recipe.beta for run in guides]
    return np.array([1 / (1 + np.exp(-guided(base, gain, weight))) for gain in gains])


def guided_comparison(study: Study, cell: Cell, weight: float) -> Comparison:
    """As ``Study.comparison``, with guided strong models for trained students, all else the same."""
    known = study.probabilities(study.compared(*cell)[:2])
    without, under, independent = guided_probabilities(study, cell, study.guides(*cell), weight)
    e = study.edition
    return Comparison(*known, without, under, independent, threshold=e.threshold, alpha=e.alpha)


def by_weight(study: Study) -> pd.DataFrame:
    """Accuracy at every weight: ``seed, weak, strong, guide, weight, labelled, test``.

    ``guide`` is the ``supervisor`` itself, or a ``student`` of its size on its labels without a conflict.  ``labelled``
    is accuracy on the pairs that the supervisor labels and has never seen, by their truth."""
    by, rows = by_dpo(study), []
    for cell in cells(by, ["none"]):
        supervisor = by.weak(cell.seed, cell.weak)
        for guide, run in (("supervisor", supervisor), ("student", by.guides(*cell)[0])):
            for w in WEIGHTS:
                right = [
                    float(accuracy(guided_probabilities(by, cell, [run], w, on)[0])) for on in ("weak_label", "test")
                ]
                rows.append((*cell[:3], guide, w, *right))
    return pd.DataFrame(rows, columns=["seed", "weak", "strong", "guide", "weight", "labelled", "test"])


def chosen_weight(study: Study, cell: Cell) -> float:
    """The weight, both being heard, at which the strong model guided by the supervisor itself ranks most of the pairs
    right that the supervisor labels; the least of several.

    It asks the truth of pairs that nobody is tested on: more than a user of the method has."""
    supervisor = [study.weak(cell.seed, cell.weak)]
    return max(BOTH_HEARD, key=lambda w: accuracy(guided_probabilities(study, cell, supervisor, w, "weak_label")[0]))


def taxes_by_weight(study: Study) -> pd.DataFrame:
    """``seed, weak, strong, condition, weight, tax, chosen``: what each condition costs at every weight; ``chosen``
    marks the cell's own."""
    by, rows = by_dpo(study), []
    for cell in cells(by, HARMED):
        best = chosen_weight(by, cell)
        rows += [(*cell, w, float(guided_comparison(by, cell, w).conflict_tax()), w == best) for w in WEIGHTS]
    return pd.DataFrame(rows, columns=["seed", "weak", "strong", "condition", "weight", "tax", "chosen"])


def _measured(study: Study, method: str) -> pd.DataFrame:
    """Rows of the guided strong model at its chosen weight, or of its guide alone; columns ``PER_SEED``."""

    def estimates(cell: Cell) -> Iterable[Estimate]:
        c = guided_comparison(study, cell, chosen_weight(study, cell) if method == SEARCH else np.inf)
        heard: list[Spec] = [study.model(cell.seed, cell.strong)] if method == SEARCH else []
        runs = [*study.compared(*cell)[:2], *heard, *study.guides(*cell)]
        for name in GENERALIZATION if cell.condition == "none" else ("accuracy", *SCORES):
            yield estimate(c, name, runs, method=method)

    return tabulate(study, ("none", *HARMED), estimates)


def no_training(study: Study) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Tax, DS and nulls of strong models that are guided and never trained, pooled; beside them those that are trained
    (DPO), and the guides alone; and what each of them writes (``written``).

    Differences: each condition minus the rerun of its method; the guided model minus the trained one, and minus its
    guide, under the two conflicts."""
    by = by_dpo(study)
    study.lab.run(study.search_runs())
    frames = [measure_both(by, HARMED), _measured(by, SEARCH), _measured(by, GUIDE)]
    per_seed = pd.concat(frames, ignore_index=True)
    compared, rows = ("conflict_tax", MATCHED), [summarise(per_seed, pooled=True)]
    for method in ("dpo", SEARCH, GUIDE):
        rows.append(minus(per_seed, compared, ("explicit", "implicit", "placebo"), "rerun", method=method))
    changed = (*compared, "deception_score")
    for other in ("dpo", GUIDE):
        for condition, statistics in (("none", ["accuracy", "pgr"]), ("explicit", changed), ("implicit", changed)):
            these, those = ({"method": method, "condition": condition} for method in (SEARCH, other))
            rows.append(difference(per_seed, statistics, other, these, those))
    written, of_written = what_is_written(study)
    return pd.concat([per_seed, written], ignore_index=True), pd.concat([*rows, of_written], ignore_index=True)
