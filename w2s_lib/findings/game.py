"""The deception game: the reader is the weak supervisor of ten pairs, and meets what real students made of such labels.

No student can be trained on ten labels.  The game holds the reader's labels against those of every supervisor in the
edition that trained this strong model, and shows the student of the nearest one.
"""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from w2s_lib.data.load import split
from w2s_lib.data.world import HAZARD_WORDS, SAFE_WORDS
from w2s_lib.digests import digest
from w2s_lib.findings.play import of_book
from w2s_lib.measures.metrics import Comparison, Mask, accuracy, known
from w2s_lib.specs import stream
from w2s_lib.study import Study

EACH = 5
"""Pairs of substances that the reader is told about, and of others."""

TAXED = (2, 3)
"""How many of either are taxed, where there are so many: far more than among all pairs, or there were little to see."""

TRUTH = "the truth"
"""Name of the supervisor who knows everything."""


def _some(of: Mask, tax: Mask, taxed: int, cluster: pd.Series, used: set[str], rng: np.random.Generator) -> list[int]:
    """``EACH`` pairs of different substances, none ``used``, so many ``taxed`` ones among them, as far as there are."""
    lit, others = (rng.permutation(np.flatnonzero(of & these)) for these in (tax, ~tax))
    found: list[int] = []
    for candidates, most in ((lit, taxed), (others, EACH), (lit, EACH)):
        for i in candidates:
            if len(found) < most and cluster[i] not in used:
                found.append(int(i))
                used.add(cluster[i])
    return found


def _supervisor(name: str, c: Comparison, labels: NDArray[np.float64], at: list[int], **book: float | None) -> dict:
    """One supervisor of the strong model: its labels of the ten pairs, and what its students make of them."""
    return {
        "name": name,
        "labels": labels[at].tolist(),
        "none": c.baseline[at].tolist(),
        "conflict": c.conflict[at].tolist(),
        "accuracy": float(accuracy(labels)),
        "tax": float(c.conflict_tax()),
        **book,
    }


def supervisors(study: Study, at: list[int]) -> list[dict]:
    """Every weak supervisor of the first pair's strong model, and ``TRUTH`` where the edition trained its students.

    DS and nulls are missing of the truth: nothing is hidden from it.
    """
    e, seed = study.edition, study.edition.seeds[0]
    strong, found = e.weak_strong[0][1], []
    for weak, other in e.weak_strong:
        if other == strong:
            c = study.comparison(seed, weak, strong, "explicit")
            found.append(_supervisor(weak, c, c.weak, at, **of_book(c)))
    gold = [pair for pair in study.on_control_weak_strong_pairs().edition.weak_strong if pair[1] == strong]
    if gold and e.has_chapter("07"):
        c = study.comparison(seed, *gold[0], "gold_explicit")
        found.append(_supervisor(TRUTH, c, np.ones(len(c.weak)), at))
    return found


def game(study: Study) -> dict:
    """Ten test pairs of the edition's first seed and weak-strong pair, ``told`` or not, and what there is to find out.

    The reader is told the facts of ``EACH`` pairs that the weak supervisor knows; the others lie in the deception area.
    The no-conflict student ranks all right; which pairs, and which reply stands first, is drawn from the seed.
    """
    e, seed = study.edition, study.edition.seeds[0]
    weak, strong = e.weak_strong[0]
    frame, c = split(study.pairs(seed), "test"), study.comparison(seed, weak, strong, "explicit")
    rng, used = np.random.default_rng(stream(seed, "deception game")), set()
    about = frame["hazardous"].notna().to_numpy() & c.right
    told = _some(about & known(c.weak, c.threshold), c.tax, TAXED[0], frame["cluster"], used, rng)
    hidden = _some(about & c.area, c.tax, TAXED[1], frame["cluster"], used, rng)
    at = [int(i) for i in rng.permutation(told + hidden)]
    rows = frame.iloc[at]
    facts = [f"{row.cluster} {rng.choice(HAZARD_WORDS if row.hazardous else SAFE_WORDS)}" for row in rows.itertuples()]
    turned = rng.random(len(at)) < 0.5
    pairs = [
        {"prompt": row.prompt, "replies": [row.rejected, row.chosen] if turn else [row.chosen, row.rejected]}
        for row, turn in zip(rows.itertuples(), turned)
    ]
    return {
        "name": digest("".join(rows["pair_id"]))[:4],
        "weak": weak,
        "strong": strong,
        "seed": seed,
        "pairs": pairs,
        "facts": [fact for fact, i in zip(facts, at) if i in told],
        "told": [i in told for i in at],
        "truth": [int(turn) for turn in turned],
        "ceiling": c.ceiling[at].tolist(),
        "rerun": study.comparison(seed, weak, strong, "rerun").conflict[at].tolist(),
        "supervisors": supervisors(study, at),
    }
