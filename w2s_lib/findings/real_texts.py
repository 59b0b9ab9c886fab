"""The same questions on real texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pandas as pd

from w2s_lib.findings.claims import claims_in
from w2s_lib.findings.conflict import placebo_in_words
from w2s_lib.findings.generalization import generalization
from w2s_lib.findings.results import (
    ALL,
    CONFLICTS,
    GENERALIZATION,
    ONE_DIVISION,
    OTHER,
    SCORES,
    measure,
    minus,
    one_less_other,
    pick,
    pool,
    say,
    slopes,
    summarise,
    taken_off,
)
from w2s_lib.findings.statistics import MATCHED
from w2s_lib.findings.theory import likeness
from w2s_lib.models.ladder import parse
from w2s_lib.study import Study
from w2s_lib.study.conditions import BY_PEOPLE, CONDITIONS, DOSES

EXPECTED = claims_in(Path(__file__).with_name("by_people.yaml"))
"""What was expected of helpful pairs that people judged, with the rule that each is told by.

:meta hide-value:
"""

EXPECTED_ACROSS = claims_in(Path(__file__).with_name("families.yaml"))
"""What was expected of supervisors and students of two families, with the rule that each is told by.

:meta hide-value:
"""

OF_MARGINS = (
    "conflict_tax", "deception_score", "null_margin_matched", MATCHED, "attainable_margin_matched",
    "share_of_attainable_margin_matched",
)  # fmt: skip
"""What is measured of the conflicts across families."""

NOT_EVERYWHERE = {
    "implicit": ("the implicit conflict (longer replies)", "rerun"),
    "placebo_eighth": ("a placebo", "rerun"),
    "gold_explicit": ("gold labels", "gold_rerun"),
}
"""What the fine-tuned study may lack: in words, and the rerun that its tax is held against."""

WITHIN, ACROSS = "within", "across"
"""Stand for weak and strong in rows that pool the weak-strong pairs of one family, or those of two."""


def real_texts(
    study: Study, conditions: Sequence[str] = CONFLICTS, controls: bool = True
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """A study on real texts: PGR by pair and pooled; the conflicts, rerun and placebo, and each minus the rerun's (of
    conditions on gold labels, the tax minus the gold rerun's), pooled; and where there are several seeds, the scores of
    the first alone, with intervals over prompts (``ONE_DIVISION``).

    ``controls`` adds gold labels and the other half's ceiling, on the control weak-strong pairs; ``ceiling`` is *other*
    there, and *own* for what they are to be compared with."""
    none, rows = generalization(study)
    per_seed = measure(study, conditions, ("accuracy", *SCORES))
    against = [c for c in conditions if c != "rerun" and not CONDITIONS[c].gold]
    found = [rows, summarise(per_seed, pooled=True), minus(per_seed, ("conflict_tax", MATCHED), against, "rerun")]
    if "gold_rerun" in conditions:
        found.append(minus(per_seed, ("conflict_tax",), ("gold_explicit",), "gold_rerun"))
    if len(study.edition.seeds) > 1:
        first = study.restricted_to(seeds=study.edition.seeds[:1])
        found.append(summarise(measure(first, conditions, (MATCHED,), subset=ONE_DIVISION), pooled=True))
    if controls:
        few = study.on_control_weak_strong_pairs()
        on_gold = measure(few, ("gold_explicit", "gold_rerun"), SCORES)
        found += [summarise(on_gold, pooled=True), minus(on_gold, ("conflict_tax",), ("gold_explicit",), "gold_rerun")]
        for half, name in (("weak_label", "own"), ("ground_truth", OTHER)):
            by = measure(replace(few, ceiling_half=half), conditions, (MATCHED,), ceiling=name)
            found.append(summarise(by, pooled=True))
    return none, pd.concat(found, ignore_index=True)


def conditions_at_hand(study: Study) -> list[str]:
    """Those of ``NOT_EVERYWHERE``, and the gold rerun, of which the study's lab lacks no run, of any seed."""
    tried = [(condition, rerun) for condition, (_, rerun) in NOT_EVERYWHERE.items()]
    there = [both for both in tried if not study.lab.missing(study.student_runs(both))]
    return [condition for both in there for condition in both if condition != "rerun"]


def tried_in_words(results: pd.DataFrame) -> str:
    """What each of ``NOT_EVERYWHERE`` taxes beyond a rerun in a study, and which of them were not tried there.

    ``results``: rows of ``real_texts``, without ``controls``."""
    told, lacks = [], []
    for condition, (name, rerun) in NOT_EVERYWHERE.items():
        if condition not in set(results["condition"]):
            lacks.append(name)
            continue
        more = pick(results, "conflict_tax", condition, versus=rerun)
        paid = f"With {name}, the tax minus that of a {rerun.replace('_', ' ')} is {say(more, percent=True)}."
        told.append(placebo_in_words(more) if condition.startswith("placebo") else paid)
    if lacks:
        listed = " and ".join(", ".join(lacks).rsplit(", ", 1))
        told.append(f"{listed[0].upper()}{listed[1:]} {'were' if len(lacks) > 1 else 'was'} not tried on them.")
    return " ".join(told)


def seeds_in_words(studies: Mapping[str, Study]) -> str:
    """How many study seeds each of these has, the fewest first, in one sentence."""
    by_number: dict[int, list[str]] = {}
    for name, study in studies.items():
        by_number.setdefault(len(study.edition.seeds), []).append(name)
    told = [
        f"of {' and '.join(names)} there {'is one study seed' if n == 1 else f'are {n} study seeds'}"
        for n, names in sorted(by_number.items())
    ]
    return f"O{', and '.join(told)[1:]}."


def by_people(study: Study) -> pd.DataFrame:
    """Results rows of a study with helpful pairs that people judged, pooled: every condition, each minus a rerun's;
    what the expectations compare; each dose minus the next smaller one, and, by the first seed alone
    (``ONE_DIVISION``), minus a rerun's."""
    per_seed = measure(study, (*CONFLICTS, *BY_PEOPLE), ("accuracy", *SCORES))
    paid = ("conflict_tax", MATCHED)
    against = [condition for condition in (*CONFLICTS, *BY_PEOPLE) if condition != "rerun"]
    first = measure(study.restricted_to(seeds=study.edition.seeds[:1]), (*DOSES, "rerun"), paid, subset=ONE_DIVISION)
    others = [(more, less) for less, more in pairwise(DOSES)]
    others += [(str(c.row["condition"]), str(c.row["versus"])) for c in EXPECTED.values() if c.row["versus"] != "rerun"]
    found = [generalization(study)[1], summarise(per_seed, pooled=True), minus(per_seed, paid, against, "rerun")]
    found.append(minus(per_seed, (MATCHED,), ("explicit",), "placebo_eighth"))
    found.append(minus(first, paid, DOSES, "rerun", subset=ONE_DIVISION))
    found += [minus(per_seed, paid, [condition], control) for condition, control in others]
    return pd.concat(found, ignore_index=True)


def family(weak: str, strong: str) -> str:
    """``WITHIN`` where two models are the same one, or layers of it, else ``ACROSS``."""
    return WITHIN if parse(weak).base == parse(strong).base else ACROSS


def across_families(study: Study) -> Study:
    """The same study on the weak-strong pairs whose models are of two families."""
    pairs = [pair for pair in study.edition.weak_strong if family(*pair) == ACROSS]
    return study.restricted_to(weak_strong_pairs=[" -> ".join(pair) for pair in pairs])


def families(study: Study) -> pd.DataFrame:
    """Results rows of a study whose weak-strong pairs are of one family and of two, by pair, pooled over those of one
    family and over those of two: accuracies, PGR, κ and every conflict, each minus a rerun's too; two families minus
    one; and how PGR grows with κ, alone and at an equal gap."""
    none = pd.concat([measure(study, ["none"], GENERALIZATION), likeness(study)], ignore_index=True)
    per_seed = pd.concat([none, measure(study, CONFLICTS, OF_MARGINS)], ignore_index=True)
    kinds = [family(weak, strong) for weak, strong in zip(per_seed["weak"], per_seed["strong"])]
    groups = {kind: per_seed[[found == kind for found in kinds]] for kind in (WITHIN, ACROSS)}
    paid, against = ("conflict_tax", MATCHED), [condition for condition in CONFLICTS if condition != "rerun"]
    found = [summarise(per_seed)]
    for kind, rows in groups.items():
        mine = [summarise(rows, pooled=True), minus(rows, paid, against, "rerun")]
        found += [its.assign(weak=kind, strong=kind) for its in mine]
    one, two = (pool(rows, weak=ALL, strong=ALL).assign(less=taken_off) for rows in groups.values())
    apart = summarise(one_less_other(two, one, WITHIN, ("statistic", "seed", "condition")), pooled=True)
    apart = apart.assign(weak=ACROSS, strong=ACROSS)
    lines = [slopes(none, ("pgr",), "kappa", given) for given in ("", "gap")]
    return pd.concat([*found, apart, *lines], ignore_index=True)
