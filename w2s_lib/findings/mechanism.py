"""The explicit conflict by dose, and by the weak label of a pair."""

import tempfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd

from w2s_lib.data.load import split
from w2s_lib.findings.results import ALL, TRAINING, measure, minus, pick, pool, summarise, usual
from w2s_lib.findings.statistics import BY_BAND, MATCHED, MECHANISM, SCORES, TAX_AND_SCORE
from w2s_lib.measures.intervals import seed_interval
from w2s_lib.measures.metrics import band
from w2s_lib.specs import Pretrain, stream
from w2s_lib.study import Study

REGIONS = {"below": "label wrong: q < 1/2", "in": "in the band", "above": "above the band"}
"""Where a pair's label q lies, by the name in ``tax_rate_<region>_band``."""

PATHS = "paths"
"""The table in which an edition ships what ``paths`` gives."""

OTHER_THRESHOLDS = (0.6, 0.75, 0.9, 0.97)
"""At which the mechanism chapter sets T, beside the edition's own."""


def mechanism(study: Study) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The explicit conflict by dose: tax by weak label on training and on test pairs, DS, nulls, gold labels; pooled.

    The rerun is measured at every alpha, too: not its training, but the band that it is compared in depends on it.
    """
    frames, rows = [], []
    for alpha in study.edition.alphas:
        at = study.on_control_weak_strong_pairs().with_parameters(alpha=alpha)
        training = measure(at, ("explicit", "rerun"), MECHANISM, on="weak_label")
        test = measure(at, ("explicit", "rerun"), (*MECHANISM, *SCORES[2:]))
        gold = measure(at, ("gold_explicit", "gold_rerun"), ("conflict_tax", "net_change"))
        others = [at.with_parameters(threshold=t) for t in OTHER_THRESHOLDS if t != study.edition.threshold]
        elsewhere = [measure(other, ("explicit", "rerun"), (*TAX_AND_SCORE[2:], MATCHED)) for other in others]
        for frame in (training, test, gold, *elsewhere):
            frame["alpha"] = alpha
            frames.append(frame)
            rows.append(summarise(frame, pooled=True))
        rows.append(minus(training, (*BY_BAND, "band_contrast"), ("explicit",), "rerun", on=TRAINING))
        rows.append(minus(test, (*BY_BAND, "band_contrast", MATCHED), ("explicit",), "rerun"))
        rows.append(minus(gold, ("conflict_tax",), ("gold_explicit",), "gold_rerun"))
    return pd.concat(frames, ignore_index=True), pd.concat(rows, ignore_index=True)


def taxed_by_region(results: pd.DataFrame, alpha: float) -> pd.Series:
    """How many training pairs the explicit conflict taxes in each of ``REGIONS``, all seeds and model pairs together;
    ``results``: pooled rows as of ``mechanism``, this build's or a record's, with their seeds."""
    at = lambda region: pick(results, f"tax_rate_{region}_band", "explicit", on=TRAINING, alpha=alpha)["by_seed"]
    taxed = {region: np.nansum([rate * pairs for _, rate, _, pairs in at(region)]) for region in REGIONS}
    return pd.Series({region: round(number) for region, number in taxed.items()})


def at_the_band(thresholds: Iterable[float], alpha: float) -> float:
    """Of some T the one nearest to where the band ends, (1 + alpha)/2."""
    return min(thresholds, key=lambda t: abs(t - band(alpha)[1]))


def coincidence(per_seed: pd.DataFrame) -> pd.Series:
    """DS − margin-matched null at the T nearest to the end of the band, minus the mean at others; ``value, low, high``.

    Averaged over the alphas whose band ends below 1, seed by seed; ``per_seed`` as of ``mechanism``.
    """
    mine = pool(usual(per_seed, statistic=MATCHED, condition="explicit"), weak=ALL, strong=ALL)
    values = mine.pivot(index=["seed", "alpha"], columns="threshold", values="value")
    values = values[[band(alpha)[1] <= 1 for _, alpha in values.index]]
    framed = [row[at_the_band(values.columns, alpha)] for (_, alpha), row in values.iterrows()]
    others = (values.sum(axis=1) - framed) / (values.shape[1] - 1)
    return pd.Series(seed_interval((framed - others).groupby("seed").mean())._asdict())


def paths(study: Study, seed: int, weak: str, strong: str, each: int = 12) -> pd.DataFrame:
    """Reward gaps of some training pairs at each step of the explicit student's training, which is done once more.

    Where the run is shipped, so is what was watched.

    Watched are, of the pairs that the no-conflict student ranks right, in each of ``REGIONS`` up to so many that are
    taxed and so many that are not, drawn at random.  Columns ``region, pair_id, q, taxed, step, gap``; no row where the
    student is no model of the ladder.
    """
    run, columns = study.student(seed, weak, strong, "explicit"), ["region", "pair_id", "q", "taxed", "step", "gap"]
    if not isinstance(run.model, Pretrain):
        return pd.DataFrame(columns=columns)
    if study.lab.shipped and study.lab.shipped.has(run):
        return study.lab.shipped.of_run(run, PATHS)[columns]
    from w2s_lib.training.train import watched  # here, for it loads torch

    c = study.comparison(seed, weak, strong, "explicit", on="weak_label")
    low, high = band(c.alpha)
    region = np.select([c.weak < low, c.weak < high], list(REGIONS)[:2], list(REGIONS)[2])
    rng, chosen = np.random.default_rng(stream(seed, "paths")), []
    for name in REGIONS:
        for of in (c.tax, c.right & ~c.tax):
            here = np.flatnonzero(of & (region == name))
            chosen += sorted(rng.choice(here, min(each, len(here)), replace=False))
    pairs = split(run.pairs, "weak_label").iloc[chosen]
    labels = [study.lab.scores(labeller, "weak_label") for labeller in run.labellers]
    with tempfile.TemporaryDirectory() as folder:
        gaps = watched(run, [study.lab.store.path(run.model)], labels, pairs, Path(folder))
    about = pairs[["pair_id"]].assign(region=region[chosen], q=c.weak[chosen], taxed=c.tax[chosen])
    return pd.concat([about.assign(step=step, gap=at) for step, at in enumerate(gaps)], ignore_index=True)[columns]
