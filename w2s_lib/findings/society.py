"""Agents that teach each other: what the weak ones come to know, and what that alone does to a deception score."""

from collections.abc import Iterator
from functools import partial

import numpy as np
import pandas as pd

from w2s_lib.findings.results import Cell, Estimate, difference, estimate, measure, minus, summarise, tabulate
from w2s_lib.findings.statistics import COUNTED, MATCHED, STATISTICS
from w2s_lib.measures.metrics import Array, Comparison, correct, known, share
from w2s_lib.specs import STRONG, Society
from w2s_lib.study import Study
from w2s_lib.study.methods import VARIANTS

MACPO, *CONTROLS = VARIANTS

FROZEN, UPDATED, ELSEWHERE = "frozen", "updated", "elsewhere"
"""Whose knowledge divides the pairs: the weak agents' as they began; after the last round, taught by the strong agent
on trial; or after the last round of the independent society, which says neither what is right nor what is lost."""

AGENT_LEVELS = ("accuracy_weak", "known_weak", "surely_wrong_weak", "accuracy")
"""Of the agents after a round: pairs that the weak ones rank right, know, or are as sure of and wrong about, by their
mean p; and pairs that the strong one ranks right."""

ASK_T = ("known_weak", "surely_wrong_weak")

OF_A_SOCIETY = ("none", "explicit", "rerun")
"""The conditions that societies are under; controls have no rerun of their own."""

SCORED = (
    "deception_score", "null_margin_matched", MATCHED, "attainable_margin_matched", "null_random", "excess_random",
)  # fmt: skip
"""Of a student and an area."""

BESIDE_DPO = {
    "conflict_tax": ("explicit", ""), "deception_score": ("explicit", FROZEN), MATCHED: ("explicit", FROZEN),
    "pgr": ("none", FROZEN),
}  # fmt: skip
"""What is held against a student by DPO: under which condition, and whose knowledge the society's number is by."""

MOVED = {"score_moved": "deception_score", "null_moved": "null_margin_matched", "beyond_null_moved": MATCHED}
"""What becomes of these when the area is updated and nothing else: the same taxed pairs, another weak side."""


def first_pair(study: Study) -> Study:
    """The study on its first policy pair, whose models the agents are."""
    return study.restricted_to(weak_strong_pairs=study.edition.policy_weak_strong_pairs[:1])


def after(study: Study, run: Society) -> dict[int, tuple[Array, Array]]:
    """By round, 0 is before the first: the weak agents' mean probability of the true order of each test pair, and the
    strong agent's; both in the order of the pairs.  Trains what is missing."""
    frame = study.lab.scores(run)
    ids = study.lab.pairs(run.pairs)["pair_id"].tolist()
    found = {}
    for number, rows in frame.groupby("round"):
        p = {agent: told for agent, told in rows.groupby("agent", sort=False)}
        assert all(told["pair_id"].tolist() == ids for told in p.values()), "scores are not in the order of the pairs"
        strong = p.pop(STRONG)["p_true"].to_numpy()
        found[int(number)] = np.mean([told["p_true"].to_numpy() for told in p.values()], axis=0), strong
    return found


def round_name(number: int, rounds: int) -> str:
    """What the column ``knowledge`` says of the agents after that round, of so many.

    >>> [round_name(number, 2) for number in range(3)]
    ['frozen', 'round_1', 'updated']
    """
    return FROZEN if number == 0 else UPDATED if number == rounds else f"round_{number}"


def society_comparison(study: Study, cell: Cell, knowledge: str = UPDATED) -> Comparison:
    """The strong agents after the last round, without the condition, under it, and another without; the weak side is
    the weak agents of the society under the condition, as they began or as they are, or those of the third society; the
    ceiling is trained by DPO."""
    runs = study.societies(*cell)
    (_, without), (taught, under), (others, independent) = (after(study, run)[run.rounds] for run in runs)
    weak = {FROZEN: after(study, runs[1])[0][0], UPDATED: taught, ELSEWHERE: others}[knowledge]
    (ceiling,) = study.probabilities([study.trained_by("dpo").ceiling(cell.seed, cell.strong)])
    e = study.edition
    return Comparison(weak, ceiling, without, under, independent, threshold=e.threshold, alpha=e.alpha)


def _levels(study: Study, cell: Cell, variant: str) -> Iterator[Estimate]:
    run, t = study.society(*cell, variant), study.edition.threshold
    for number, (weak, strong) in after(study, run).items():
        masks = (correct(weak), known(weak, t), known(1 - weak, t), correct(strong))
        for name, mask in zip(AGENT_LEVELS, masks):
            asks = t if name in ASK_T else np.nan
            names = {
                "statistic": name,
                "method": variant,
                "knowledge": round_name(number, run.rounds),
                "threshold": asks,
            }
            yield Estimate(names, partial(share, mask), len(mask), [run])


def _scores(study: Study, cell: Cell) -> Iterator[Estimate]:
    runs = [*study.societies(*cell), study.trained_by("dpo").ceiling(cell.seed, cell.strong)]
    areas = {knowledge: society_comparison(study, cell, knowledge) for knowledge in (FROZEN, UPDATED, ELSEWHERE)}
    old, new = areas[FROZEN], areas[UPDATED]
    for name in ("conflict_tax", "net_change"):
        yield estimate(new, name, runs, method=MACPO)
    for knowledge, c in areas.items():
        area = partial(share, c.area)
        names = {"statistic": "deception_area", "method": MACPO, "knowledge": knowledge, "threshold": c.threshold}
        yield Estimate(names, area, len(c.area), runs)
        for name in SCORED:
            yield estimate(c, name, runs, method=MACPO, knowledge=knowledge)
    for name, of in MOVED.items():
        by = lambda weights=None, of=STATISTICS[of]: of(new, weights=weights) - of(old, weights=weights)
        names = {"statistic": name, "method": MACPO, "threshold": new.threshold}
        yield Estimate(names, by, len(new.weak), runs, partial(COUNTED[of], new))


def _tax(study: Study, cell: Cell, variant: str) -> Iterator[Estimate]:
    """What a condition costs the strong agent of a control; tax and net change ask for no weak side."""
    runs = [study.society(*cell[:3], condition, variant) for condition in ("none", cell.condition)]
    without, under = (after(study, run)[run.rounds][1] for run in runs)
    for name in ("conflict_tax", "net_change"):
        yield estimate(Comparison(without, without, without, under, without), name, runs, method=variant)


def _of(study: Study, cell: Cell) -> Iterator[Estimate]:
    yield from _levels(study, cell, MACPO)
    if cell.condition == "none":
        runs = [*study.societies(*cell), study.trained_by("dpo").ceiling(cell.seed, cell.strong)]
        yield estimate(society_comparison(study, cell, FROZEN), "pgr", runs, method=MACPO, knowledge=FROZEN)
    else:
        yield from _scores(study, cell)
    for variant in CONTROLS if cell.condition != "rerun" else ():
        yield from _levels(study, cell, variant)
        if cell.condition != "none":
            yield from _tax(study, cell, variant)


def many_agents(study: Study) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Agents by round, without a conflict, under the explicit one and in a rerun; the strong one's tax and DS, with the
    deception area frozen, updated and of agents elsewhere; controls without scores.

    Differences: updated minus *frozen*, of ``AGENT_LEVELS``; elsewhere minus *frozen*, of scores; the explicit conflict
    minus the rerun; the society minus each of its controls; and, where the edition trains policies, minus *dpo*'s
    student, by ``BESIDE_DPO``, each beside weak ones of its own."""
    few = first_pair(study)
    per_seed = tabulate(few, OF_A_SOCIETY, partial(_of, few), runs=study.society_runs())
    rows, of = [summarise(per_seed, pooled=True)], partial(dict, method=MACPO)
    for variant in VARIANTS:
        for condition in ("none", "explicit"):
            names = {"method": variant, "condition": condition}
            both = (names | {"knowledge": knowledge} for knowledge in (UPDATED, FROZEN))
            rows.append(difference(per_seed, AGENT_LEVELS, FROZEN, *both))
    rows.append(minus(per_seed, ("conflict_tax", "net_change", *MOVED), ("explicit",), "rerun", method=MACPO))
    for condition in ("explicit", "rerun"):
        both = (of(condition=condition, knowledge=knowledge) for knowledge in (ELSEWHERE, FROZEN))
        rows.append(difference(per_seed, tuple(MOVED.values()), FROZEN, *both))
    for knowledge in (FROZEN, UPDATED, ELSEWHERE):
        asked = ("deception_score", MATCHED)
        rows.append(minus(per_seed, asked, ("explicit",), "rerun", method=MACPO, knowledge=knowledge))
    for control in CONTROLS:
        level = {"condition": "none", "knowledge": UPDATED}
        rows.append(difference(per_seed, AGENT_LEVELS, control, of(**level), level | {"method": control}))
        paid = {"condition": "explicit"}
        rows.append(difference(per_seed, "conflict_tax", control, of(**paid), paid | {"method": control}))
    if few.edition.has_chapter("12") and "dpo" in few.edition.methods:  # else there are no students by DPO
        by = few.trained_by("dpo")
        told = pd.concat([per_seed, measure(by, ["none"], ["pgr"]), measure(by, ["explicit"], [*BESIDE_DPO][:3])])
        for name, (condition, knowledge) in BESIDE_DPO.items():
            theirs = {"method": "dpo", "condition": condition}
            rows.append(difference(told, name, "dpo", of(condition=condition, knowledge=knowledge), theirs))
    return per_seed, pd.concat(rows, ignore_index=True)
