"""What the spread over study seeds is made of, measured on pilots that nobody reports.

In each pilot world models are pretrained several times, and on each pretraining all is trained several times, by
streams of their own (``Study.pretraining``, ``Study.training``).  So the variance of a statistic has nested levels:

* world: its facts and documents, and the pairs that are trained and tested on, which are those of the world;
* pretraining: first weights, and the order of the documents;
* training: heads and orders of supervisors, ceilings and students, all at once;
* test pairs: which substances were asked about.  All trainings of a world share them, so that they hide in the three
  levels above; draws of the substances with replacement, alike in all of a world, tell how much of each is theirs.
"""

from collections.abc import Iterable
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd

from w2s_lib.findings import record
from w2s_lib.findings.claims import CLAIMS
from w2s_lib.findings.results import ALL, differences, measure, pick, pool
from w2s_lib.findings.statistics import MATCHED
from w2s_lib.lab.graph import closure
from w2s_lib.lab.store import replacing
from w2s_lib.measures.variance import best_replicas, components, likely_components
from w2s_lib.models.ladder import LADDER
from w2s_lib.specs import Pretrain, Train
from w2s_lib.study import Study
from w2s_lib.study.edition import ARROW, Edition

DRAWN_LEVELS = ("seed", "pretraining", "training")
PARTS_OF_SPREAD = ("world", "pretraining", "training", "test pairs")

COST_COLUMNS = ["pretraining_seconds", "training_seconds"]

PRETRAININGS, TRAININGS, DRAWS = 2, 2, 200
"""In each world; on each pretraining; of its test pairs, for each training."""

SPREAD_IN = ("none", "explicit", "implicit", "rerun")
"""The conditions whose spread is taken apart."""

ASKED_OF_PILOTS = {claim.key: claim.names for claim in CLAIMS.values() if claim.chapter[:2] in ("04", "05")} | {
    "implicit tax": {"method": "reward_model", "statistic": "conflict_tax", "condition": "implicit"}
}
"""What is asked of the pilots: claim → names of its row.  The implicit conflict's tax, on which N4 rests, is none."""


def path_of(edition: Edition) -> Path:
    """Where an edition's pilots lie, if it has any."""
    return record.record_folder(edition).with_name("spread.parquet")


def units(study: Study, seed: int) -> dict[tuple[int, int], Study]:
    """By pretraining and training, the studies of one world's control weak-strong pairs; no two share streams of
    training."""
    few = study.on_control_weak_strong_pairs().restricted_to(seeds=[seed]).with_parameters(draws=DRAWS)
    both = product(range(PRETRAININGS), range(TRAININGS))
    return {(p, t): replace(few, pretraining=p, training=p * TRAININGS + t) for p, t in both}


def unit_runs(study: Study) -> list:
    """All that a unit needs, parents first."""
    return closure(study.student_runs(SPREAD_IN))


def measure_unit(study: Study) -> pd.DataFrame:
    """``ASKED_OF_PILOTS`` of a unit, model pairs pooled: ``claim, draw, value``; draw 0 is of all pairs as they are."""
    statistics = {str(names["statistic"]) for names in ASKED_OF_PILOTS.values()} - {"pgr"}
    none, conflicts = measure(study, SPREAD_IN[:1], ["pgr"]), measure(study, SPREAD_IN[1:], sorted(statistics))
    beyond = differences(conflicts, MATCHED, "rerun", {"condition": "explicit"}, {"condition": "rerun"})
    rows = pd.concat([*(pool(frame, weak=ALL, strong=ALL) for frame in (none, conflicts)), beyond])
    found = {claim: pick(rows, **names) for claim, names in ASKED_OF_PILOTS.items()}
    told = [pd.DataFrame({"claim": c, "value": [row["value"], *row["draws"]]}) for c, row in found.items()]
    return pd.concat(told).rename_axis("draw").reset_index()


def measure_pilots(study: Study, seeds: Iterable[int]) -> pd.DataFrame:
    """Measure pilot worlds and leave their table with the edition; trains what the lab lacks.

    Columns ``DRAWN_LEVELS``, ``pretraining_seconds`` (of the unit's pretrained models), ``training_seconds`` (of all
    that was trained on them), ``claim, draw, value``.
    """
    frames = []
    for seed in seeds:
        for (pretraining, training), one in units(study, seed).items():
            study.lab.run(unit_runs(one))
            seconds = lambda kind: [study.lab.record(run)["seconds"] for run in unit_runs(one) if isinstance(run, kind)]
            took = [round(sum(seconds(kind)), 1) for kind in (Pretrain, Train)]
            about = zip((*DRAWN_LEVELS, *COST_COLUMNS), (seed, pretraining, training, *took))
            frames.append(measure_unit(one).assign(**dict(about)))
    frame = pd.concat(frames, ignore_index=True)[[*DRAWN_LEVELS, *COST_COLUMNS, "claim", "draw", "value"]]
    frame = frame.astype({"value": "float32"})
    frame.attrs = {"parameters": record.parameters_digest(study.edition), "commit": record.commit()}
    with replacing(path_of(study.edition)) as draft:
        frame.to_parquet(draft, compression="zstd", index=False)
    return frame


def read_pilots(edition: Edition) -> pd.DataFrame | None:
    """The pilots of an edition, as ``measure_pilots`` left them; None where it has none, or of other parameters."""
    path = path_of(edition)
    frame = pd.read_parquet(path) if path.is_file() else None
    return frame if frame is not None and frame.attrs.get("parameters") == record.parameters_digest(edition) else None


def costs_of_record(frame: pd.DataFrame, edition: Edition) -> tuple[float, float] | None:
    """Seconds that a seed of the first record takes: pretraining its models, by the pilots' seconds a token; and all
    else.  None where no such seed says."""
    tokens = lambda names: sum(LADDER[name].tokens for name in set(names))
    few = [name for pair in edition.control_weak_strong_pairs for name in pair.split(ARROW)]
    first = float(frame[COST_COLUMNS[0]].median()) * tokens(edition.models) / tokens(few)
    seeds = record.seed_entries(edition)
    took = seeds.loc[seeds["record"] == record.record_folder(edition).name, "core_minutes"].median()
    return None if np.isnan(took) else (first, float(took) * 60 - first)


def variance_shares(frame: pd.DataFrame, costs: tuple[float, float] | None = None) -> pd.DataFrame:
    """What each claim's variance over study seeds is made of: a row a claim and part.

    Columns ``claim, part, share, low, high, sd``: share of the variance, with its 95 % interval
    (``likely_components``), and the standard deviation over seeds that the part makes by itself.  ``best`` is how many
    trainings on one pretraining buy the most precision for their seconds, ``best_high`` the upper end of its interval,
    ``gain`` how much more precision than one training they buy, as a share; ``costs`` in seconds, of a pretraining and
    of a training (None: the pilots').  What comes out below zero counts as zero.
    """
    first, then = costs or frame[COST_COLUMNS].median()
    rows = []
    for claim, mine in frame.astype({"value": float}).groupby("claim", sort=False):
        wide = mine.pivot(index=list(DRAWN_LEVELS), columns="draw", values="value")
        drawn = wide.drop(columns=0).replace([np.inf, -np.inf], np.nan)  # a gap that a draw has closed
        drawn = drawn.sub(drawn.mean(axis="columns"), axis="index")
        of_pairs = components(drawn.reset_index(), DRAWN_LEVELS, *drawn).clip(lower=0).to_numpy()
        single = wide.reset_index()
        both = np.vstack([components(single, DRAWN_LEVELS, 0), likely_components(single, DRAWN_LEVELS, 0)])
        others = np.maximum(both - of_pairs, 0)
        found = np.hstack([others, np.full((len(both), 1), of_pairs.sum())])
        low, high = np.quantile(found[1:] / found[1:].sum(axis=1, keepdims=True), [0.025, 0.975], axis=0)
        within, without = others[:, 2] + of_pairs[2], others[:, :2].sum(axis=1) + of_pairs[:2].sum()
        best = [best_replicas(*variances, first, then) for variances in zip(without, within)]
        most = int(np.quantile(best[1:], 0.975, method="nearest"))
        paid = lambda k: (without[0] + within[0] / k) * (first + k * then)
        about = {"best": best[0], "best_high": most, "gain": paid(1) / paid(best[0]) - 1}
        parts = zip(PARTS_OF_SPREAD, found[0] / found[0].sum(), low, high, np.sqrt(found[0]))
        rows += [{"claim": claim} | dict(zip(("part", "share", "low", "high", "sd"), part)) | about for part in parts]
    return pd.DataFrame(rows)


def spread_in_words(found: pd.DataFrame) -> str:
    """Of which part most variance is, and how many trainings are best, in sentences; ``found``: ``variance_shares``."""
    largest = found.loc[found.groupby("claim", sort=False)["share"].idxmax()]
    others = found.drop(largest.index).groupby("claim")["high"].max()
    clear = int((largest["low"] > largest["claim"].map(others)).sum())
    n, parts = len(largest), ", ".join(f"{part} in {k}" for part, k in largest["part"].value_counts().items())
    return (
        f"Of {n} statistics, the largest part is {parts}; in {clear or 'none'} does its interval lie above all others. "
        f"{says_of_trainings(found)}"
    )


def says_of_trainings(found: pd.DataFrame) -> str:
    """In a sentence: in how many statistics one training on a pretraining is best."""
    each = found.drop_duplicates("claim")
    one, more = int((each["best"] == 1).sum()), each[each["best"] > 1]
    gain = f", and up to {more['best'].max()} in others, where they buy at most {100 * more['gain'].max():.0f} % more"
    return (
        f"One training on a pretraining buys the most precision for its seconds in {one} of "
        f"{len(each)}{gain * (len(more) > 0)}; the intervals of that number end at {each['best_high'].max()} or below."
    )
