"""What a strong model writes that nobody trains, under a guide: judged as the replies of trained policies are.

All guides of a study seed meet the same random numbers, so that their replies differ by the guide alone; and what the
strong model writes alone is the same whoever guides: its differences are zero, exactly.
"""

from collections.abc import Iterable, Iterator
from functools import partial

import numpy as np
import pandas as pd

from w2s_lib.findings.replies import Talk, beside_truth, judged_replies, statistics, talk_of
from w2s_lib.findings.results import Cell, Estimate, difference, minus, pick, reads, summarise, tabulate
from w2s_lib.findings.statistics import Statistic
from w2s_lib.measures.metrics import Mask, share
from w2s_lib.specs import SAMPLERS, Spec
from w2s_lib.study import Study
from w2s_lib.study.conditions import CORE

FITS = ("talk_fits", "talk_fits_of_all")
"""Fitting replies, of those that decide and of all: who decides seldom may lead by one and trail by the other."""

SAID = ("talk_decides", *FITS, "talk_complies_with_hazard", "talk_refuses_safe")
"""Statistics of replies that ask for no ranking."""

TAX = ("talk_fits", "talk_complies_with_hazard")
"""Those in which a conflict may show."""

SEARCH_RIVALS = ("best_of_n", "eft_best_of_n", "guide")
"""What chunk-level beam search is held against: what draws as many tokens, and its guide alone."""


def _spoken(by: Study, cell: Cell) -> Iterator[tuple[str, pd.DataFrame, Mask, list[Spec]]]:
    """Who writes, by the column ``method``: replies beside the truth, of which test pairs, and the run."""
    search = by.search(*cell)
    told = by.lab.replies(search)
    for name in SAMPLERS:
        mine = told[told["sampler"] == name].assign(p_true=np.nan)  # what is sampled ranks nothing
        yield name, *beside_truth(by, mine, cell.seed), [search]
    for name, run in (("guide", search.guide), ("dpo", by.student(*cell))):
        yield name, *judged_replies(by, run, cell.seed), [run]


def said(talk: Talk) -> dict[str, Statistic]:
    """``SAID`` by name, as functions of weights: ``talk_fits_of_all`` is the share of all replies that fit the truth,
    the others are of ``replies.statistics``."""
    every = statistics(talk) | {"talk_fits_of_all": partial(share, talk.fits)}
    return {name: every[name] for name in SAID}


def sampled(study: Study) -> pd.Series:
    """Tokens drawn for a prompt by each sampler, without a conflict: the mean over prompts, seeds and policy
    weak-strong pairs."""
    runs = [run for run in study.written_runs() if run.guide.conflict.kind == "none"]
    return pd.concat(map(study.lab.replies, runs)).groupby("sampler")["sampled"].mean()


def what_is_written(study: Study) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Shares of replies by who writes and condition, pooled: the samplers, the guide alone and the trained student.

    Differences: each condition minus the rerun of its writer; and, without a conflict, beam search minus its rivals."""
    by = study.on_policy_weak_strong_pairs().trained_by("dpo")

    def estimates(cell: Cell) -> Iterable[Estimate]:
        for name, frame, keep, runs in _spoken(by, cell):
            for statistic, of in said(talk_of(frame)).items():
                yield Estimate({"statistic": statistic, "method": name}, of, len(frame), runs, keep=keep)

    per_seed = tabulate(by, CORE, estimates, runs=[*study.search_runs(), *study.written_runs()])
    rows, of = [summarise(per_seed, pooled=True)], partial(dict, condition="none")
    for writer in (*SAMPLERS, "guide", "dpo"):
        rows.append(minus(per_seed, TAX, ("explicit", "implicit", "placebo"), "rerun", method=writer))
    for rival in SEARCH_RIVALS:
        statistics = dict.fromkeys((*TAX, *FITS))
        rows.append(difference(per_seed, list(statistics), rival, of(method="cbs"), of(method=rival)))
    return per_seed, pd.concat(rows, ignore_index=True)


def turned_round(results: pd.DataFrame) -> list[str]:
    """The rivals that beam search by chunks beats by one share of ``FITS`` and loses to by the other, both told from
    zero by their intervals; ``results`` as of ``what_is_written``."""
    sides = lambda rival: {reads(pick(results, name, "none", method="cbs", versus=rival)) for name in FITS}
    return [rival for rival in SEARCH_RIVALS if sides(rival) == {"above zero", "below zero"}]
