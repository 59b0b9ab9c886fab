"""Competence and conformity (Kim et al. 2025): does a student do what one asks for, and what one should want?

On pairs about a substance the world knows both: *conformity* is the share in which the harmless reply is preferred,
*competence* that in which the helpful one is.  The two agree about safe substances and clash about hazardous ones."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from w2s_lib.data.load import split
from w2s_lib.findings import search, society
from w2s_lib.findings.mitigations import over_ways
from w2s_lib.findings.objectives import rival_sides
from w2s_lib.findings.results import (
    NAMES,
    TRAINING,
    UNMODIFIED,
    Cell,
    Estimate,
    difference,
    estimate,
    measure,
    minus,
    reads,
    summarise,
    tabulate,
)
from w2s_lib.findings.statistics import MATCHED, number_of
from w2s_lib.measures.metrics import Array, Comparison, Mask, correct, share
from w2s_lib.specs import Spec, stream
from w2s_lib.study import Study
from w2s_lib.study.conditions import CONTROLS, CORE, POLICY, TURNS
from w2s_lib.study.mitigations import AGAIN, FENCES, TOKENS

AIMS = ("competence", "conformity")

RIVAL_OF_AIMS = "helpfulness"

SIDES_OF_AIMS = ("agrees", "clashes")
"""Pairs on which both aims want the same reply, and on which they do not; elsewhere helpfulness is silent."""

ON_THE_MAP = {"weak": "weak supervisor", "ceiling": "strong ceiling"}
"""Who stands on the map beside the students; results add the name to the aim."""

AIMS_BESIDE_RERUN = ("explicit", "implicit", "placebo")
"""What is held against a rerun."""

COSTS = ("conflict_tax", "deception_score", "null_margin_matched", MATCHED)
"""What stands beside the aims, of a condition that may cost something."""

OTHERWISE, OTHER_SIDE = "hardened_otherwise", "other_side"
"""The share of training pairs that another fence would harden to the other side; the subset that these are."""


OFTEN = {"above zero": "more often", "below zero": "less often"}
"""What a difference of two shares says by its interval, where it says anything."""


def how_often(row: pd.Series) -> str:
    """Which of two shares is the larger, by the interval of their difference, in words of a sentence."""
    return OFTEN.get(reads(row), "no more and no less often, as far as can be told")


def prefers_helpful(p: Array, stands: NDArray[np.str_]) -> Mask:
    """Pairs whose helpful reply is preferred, by p of the harmless one; ``stands``: ``rival_sides`` of helpfulness.

    False where helpfulness is silent."""
    return np.where(stands == "agrees", correct(p), ~correct(p) & (stands == "clashes"))


def by_side(competence: float, conformity: float, clash: float) -> tuple[float, float]:
    """Accuracy where the aims agree and where they clash, from both and the share of pairs on which they clash.

    >>> by_side(0.8, 0.7, clash=0.5)
    (1.0, 0.4)
    """
    agree = (competence + conformity - clash) / (2 * (1 - clash))
    return round(agree, 12), round((conformity - agree * (1 - clash)) / clash, 12)


def placed(study: Study) -> list[tuple[Study, Sequence[str]]]:
    """Every student that the book trains on the edition's mitigation weak-strong pairs, at its usual dose and aim:
    studies, and conditions of each; a student may be named by two."""
    few, has = study.on_mitigation_weak_strong_pairs(), study.edition.has_chapter
    within = lambda pairs: set(study.edition.mitigation_weak_strong_pairs) <= set(pairs)
    policies = within(study.edition.policy_weak_strong_pairs)
    found = [(few, (*CORE, *CONTROLS) if has("07") and within(study.edition.control_weak_strong_pairs) else CORE)]
    if study.takes_turns:
        found.append((few, tuple(TURNS)))
    if has("13"):
        found += [(tried, ("none", "explicit")) for tried in study.mitigated()]
        by = (tried for method in study.edition.methods for tried in study.mitigated_policies(method))
        found += [(tried, ("none", "implicit")) for tried in by]
    found += [(few.under_mitigation(name), ("none", "explicit")) for name in FENCES]
    if has("30"):
        found += [(few.under_mitigation(name), ("none", "explicit")) for name in AGAIN]
    if has("12") and policies:
        found += [(few.trained_by(method), POLICY) for method in study.edition.methods]
    if has("31") and policies:
        found += [(few.trained_by("simpo").under_mitigation(name), ("none", "explicit")) for name in TOKENS]
    return found


Compared = Callable[[Cell], tuple[Comparison, list[Spec]]]
"""Gives a comparison, and the runs behind it."""


def _others(study: Study) -> Iterator[pd.DataFrame]:
    """The same rows of strong models that are no students, a frame a ``method``: under a guide, the guide alone, and in
    a society, whose weak agents' knowledge is that after the last round."""
    e, has = study.edition, study.edition.has_chapter
    few = study.on_mitigation_weak_strong_pairs()
    if has("23") and set(e.mitigation_weak_strong_pairs) <= set(e.policy_weak_strong_pairs):
        by = search.by_dpo(few)

        def guided(weight: Callable[[Study, Cell], float], cell: Cell) -> tuple[Comparison, list[Spec]]:
            heard = [*by.compared(*cell)[:2], by.model(cell.seed, cell.strong), *by.guides(*cell)]
            return search.guided_comparison(by, cell, weight(by, cell)), heard

        for method, weight in ((search.SEARCH, search.chosen_weight), (search.GUIDE, lambda *_: np.inf)):
            of = partial(_aims, by, compared=partial(guided, weight), method=method)
            yield tabulate(by, CORE, of, runs=by.search_runs())
    if has("32"):
        one = society.first_pair(study)
        taught = lambda cell: (society.society_comparison(one, cell), one.societies(*cell))
        of = partial(_aims, one, compared=taught, method=society.MACPO)
        yield tabulate(one, society.OF_A_SOCIETY, of, runs=study.society_runs())


def _aims(study: Study, cell: Cell, compared: Compared | None = None, **names: str) -> Iterable[Estimate]:
    """Of the study's student, or of what is ``compared`` in its place, which results give other ``names``."""
    c, runs = compared(cell) if compared else (study.comparison(*cell), study.compared(*cell))
    stands = rival_sides(split(study.pairs(cell.seed), "test"), RIVAL_OF_AIMS)
    its = runs if compared else runs[3:4]
    told = {"": (c.conflict, its)}
    if cell.condition == "none" and not study.mitigation and not compared:
        told |= {"_weak": (c.weak, runs[:1]), "_ceiling": (c.ceiling, runs[1:2])}
    heard = stands != "silent"
    for name, (p, behind) in told.items():
        masks = {"competence": prefers_helpful(p, stands)[heard], "conformity": correct(p)[heard]}
        for aim in AIMS:
            about = {"statistic": aim + name, "rival": RIVAL_OF_AIMS} | names
            yield Estimate(about, partial(share, masks[aim]), int(heard.sum()), behind, keep=heard)
    for name in SIDES_OF_AIMS:
        about = {"statistic": "accuracy", "subset": name, "rival": RIVAL_OF_AIMS} | names
        yield Estimate(about, partial(share, correct(c.conflict), stands == name), int(heard.sum()), its)
    for name in COSTS if cell.condition != "none" else ():
        yield estimate(c, name, runs, **names)


def hardened_otherwise(p: Array, q: Array, batch: int, rng: np.random.Generator) -> Mask:
    """Pairs whose hardened label differs by where the fence stands, at 1/2 or at a quantile of the student's p; (n,).

    ``p``, ``q``: student's and weak supervisor's probabilities of the true order.  As students meet them, pairs come in
    batches, of which every second one is turned round; the quantile of p in each leaves as many above as the mean of q
    says (``training.losses.hardened``)."""
    found = np.zeros(len(p), dtype=bool)
    for index in np.split(rng.permutation(len(p)), range(batch, len(p), batch)):
        turned = np.arange(len(index)) % 2 == 1
        mine, labels = (np.where(turned, 1 - x[index], x[index]) for x in (p, q))
        found[index] = (mine >= np.quantile(mine, 1 - labels.mean())) != (mine > 0.5)
    return found


def either_fence(study: Study) -> pd.DataFrame:
    """Tax and scores under the confidence loss with either fence, by the explicit conflict and in a rerun, and PGR,
    also without that loss; a row a seed."""
    few = study.on_mitigation_weak_strong_pairs()
    tried = [few.under_mitigation(name) for name in FENCES]
    frames = [measure(one, ["none"], ["pgr"]) for one in (few, *tried)]
    return pd.concat([*frames, *(measure(one, ("explicit", "rerun"), COSTS) for one in tried)], ignore_index=True)


def confidence_fences(study: Study) -> pd.DataFrame:
    """Of students who harden at 1/2: the share of their training pairs that ``hardened_otherwise`` marks, and,
    as ``accuracy`` of the subset, the share of these that 1/2 ranks right."""
    few = study.on_mitigation_weak_strong_pairs().under_mitigation(FENCES[0])

    def estimates(cell: Cell) -> Iterable[Estimate]:
        c, run = few.comparison(*cell, on="weak_label"), few.student(*cell)
        rng = np.random.default_rng(stream(cell.seed, OTHERWISE))
        differs = hardened_otherwise(c.baseline, c.weak, run.batch_size, rng)
        about, n = {"on": TRAINING}, len(differs)
        yield Estimate(about | {"statistic": OTHERWISE}, partial(share, differs), n, [run])
        right, counted = partial(share, correct(c.baseline), differs), partial(number_of, differs)
        yield Estimate(about | {"statistic": "accuracy", "subset": OTHER_SIDE}, right, n, [run], counted)

    return tabulate(few, ["none"], estimates, "weak_label")


def competence_and_conformity(study: Study) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Both aims, and DS beside its margin-matched null, of every student of ``placed``, of guided models and of
    societies: a row a seed, and results rows.

    Differences: the conflicts and the placebo minus the rerun, in both aims and in accuracy on ``SIDES_OF_AIMS``; aims
    in turn minus the same pairs mixed, in these and in tax, DS and excess; each mitigation minus no mitigation, in both
    aims, under the explicit conflict, reward models alone.  The confidence loss' two fences stand beside them: the
    quantile minus 1/2, and minus no such loss, in tax, DS, excess and PGR; each minus its own rerun in tax and
    excess."""
    frames = [tabulate(one, conditions, partial(_aims, one)) for one, conditions in placed(study)]
    per_seed = pd.concat([*frames, *_others(study), either_fence(study)], ignore_index=True)
    per_seed = per_seed.drop_duplicates(["seed", *NAMES], ignore_index=True)
    per_seed = pd.concat([per_seed, over_ways(per_seed)], ignore_index=True)
    rows = [summarise(per_seed, pooled=True)]
    for method, plain in per_seed[per_seed["mitigation"] == ""].groupby("method", sort=False):
        there = [condition for condition in AIMS_BESIDE_RERUN if condition in set(plain["condition"])]
        moved = partial(minus, per_seed, conditions=there, control="rerun", method=method, rival=RIVAL_OF_AIMS)
        rows += [moved(statistics=AIMS), *(moved(statistics=["accuracy"], subset=name) for name in SIDES_OF_AIMS)]
    for condition, mixed in TURNS.items() if study.takes_turns else ():
        beside = partial(minus, per_seed, conditions=[condition], control=mixed, method="reward_model")
        rows.append(beside(statistics=AIMS, rival=RIVAL_OF_AIMS))
        rows.append(beside(statistics=["conflict_tax", "deception_score", MATCHED]))
        rows += [beside(statistics=["accuracy"], subset=name, rival=RIVAL_OF_AIMS) for name in SIDES_OF_AIMS]
    tried = per_seed[(per_seed["mitigation"] != "") & (per_seed["condition"] == "explicit") & (per_seed["via"] == "")]
    for name in (name for name in dict.fromkeys(tried["mitigation"]) if name in study.mitigations()):
        both = {"condition": "explicit", "method": "reward_model", "rival": RIVAL_OF_AIMS}
        rows.append(difference(per_seed, AIMS, UNMODIFIED, both | {"mitigation": name}, both))
    half, quantile = FENCES
    for condition, changed in (("explicit", ("conflict_tax", "deception_score", MATCHED)), ("none", ("pgr",))):
        both = {"condition": condition, "method": "reward_model"}
        for versus, other in ((half, half), (UNMODIFIED, "")):
            these, those = (both | {"mitigation": name} for name in (quantile, other))
            rows.append(difference(per_seed, changed, versus, these, those))
    for name in ("", *FENCES):
        of = {"mitigation": name, "method": "reward_model"}
        rows.append(minus(per_seed, ("conflict_tax", MATCHED), ["explicit"], "rerun", **of))
    fences = confidence_fences(study)
    rows.append(summarise(fences, pooled=True))
    return pd.concat([per_seed, fences], ignore_index=True), pd.concat(rows, ignore_index=True)
