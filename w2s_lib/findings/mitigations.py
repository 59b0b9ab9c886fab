"""What each mitigation changes, and what it costs."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from w2s_lib.findings.results import (
    ALL,
    NAMES,
    PER_SEED,
    ROWS,
    UNMODIFIED,
    Cell,
    cells,
    difference,
    measure,
    measure_both,
    pool,
    reads,
    summarise,
    usual,
)
from w2s_lib.findings.search import SEARCH
from w2s_lib.findings.society import FROZEN, MACPO, first_pair
from w2s_lib.findings.statistics import MATCHED, SHARE, TAX_AND_EXCESS
from w2s_lib.lab.graph import closure
from w2s_lib.specs import Features, Pretrain, Spec
from w2s_lib.study import Study
from w2s_lib.study.conditions import TURNS
from w2s_lib.study.cost import Work, arithmetic, size, tokens_a_pair, work
from w2s_lib.study.methods import POLICY_METHODS, TITLES
from w2s_lib.study.mitigations import BY_OPINION, FENCES, FOR_POLICIES, MITIGATIONS, Changes, title

OF_A_MITIGATION = (*TAX_AND_EXCESS, "lift")

CHAPTER = "13_what_helps"
"""The chapter that holds all remedies side by side."""


@dataclass(frozen=True)
class Remedy:
    """A remedy, where its rows stand, and what was taken off them."""

    title: str
    changes: Changes
    chapter: str = CHAPTER
    method: str = "reward_model"
    condition: str = "explicit"
    mitigation: str = ""
    versus: str = UNMODIFIED
    knowledge: str = ""
    """By whose knowledge a society's numbers are, where they need any."""
    lacks: Mapping[str, str] = field(default_factory=dict, hash=False)
    """Statistic that cannot be had → why."""
    at_most: bool = False
    """Whether its costs are reckoned at most."""

    @property
    def beside_none(self) -> bool:
        """Whether it is held against no mitigation in reward models under the explicit conflict, as those here are."""
        return (self.method, self.condition, self.versus) == ("reward_model", "explicit", UNMODIFIED)

    def row(self, rows: pd.DataFrame, statistic: str) -> pd.Series | None:
        """What it changes in a statistic, a results row; None: the rows do not say.  PGR: without a conflict."""
        names = {"statistic": statistic, "method": self.method, "mitigation": self.mitigation, "versus": self.versus}
        names["condition"] = "none" if statistic == "pgr" else self.condition
        found = usual(rows, **names, knowledge=None, weak=ALL)
        found = found[found["knowledge"].isin(["", self.knowledge])]
        return found.iloc[0] if len(found) else None


def of_reward_models(name: str, chapter: str = CHAPTER) -> Remedy:
    """A mitigation of reward models under the explicit conflict, by its name."""
    return Remedy(title(name), MITIGATIONS[name].changes, chapter, mitigation=name)


_ORDER = {"pgr": "turns leave the student without a conflict as it is, and with it PGR"}

OF_OTHERS = (
    *(of_reward_models(name, "30_label_again") for name in BY_OPINION),
    of_reward_models(FENCES[1], "29_competence_and_conformity"),
    *(
        Remedy(called, "stages", "29_competence_and_conformity", condition=turns, versus=TURNS[turns], lacks=_ORDER)
        for turns, called in (
            ("implicit_in_turns", "turns, helpfulness last − mixed"),
            ("implicit_weak_last", "turns, weak labels last − mixed"),
        )
    ),
    *(
        Remedy(f"{TITLES[by]}, {title(name)}", MITIGATIONS[name].changes, "28_two_remedies", by, "implicit", name)
        for name in FOR_POLICIES
        for by in POLICY_METHODS
    ),
    Remedy("chosen tokens − all tokens", "tokens", "31_token_by_token", "simpo", mitigation="chosen_tokens"),
    Remedy("chosen half − all tokens", "tokens", "31_token_by_token", "simpo", mitigation="chosen_half"),
    Remedy("search − DPO", "use", "23_no_training", SEARCH, versus="dpo"),
    Remedy("many agents − DPO", "agents", "32_many_agents", MACPO, versus="dpo", knowledge=FROZEN, at_most=True),
)  # fmt: skip
"""Remedies that other chapters try; their controls stand there alone."""

NEEDS: dict[str, Callable[[Study], Sequence[Spec]]] = {
    "21_another_loss": Study.loss_runs,
    "23_no_training": lambda study: study.search_runs() + study.written_runs(),
    "28_two_remedies": lambda study: [*study.policy_runs(), *study.mitigation_runs()],
    "29_competence_and_conformity": Study.runs,
    "30_label_again": Study.again_runs,
    "31_token_by_token": Study.token_runs,
    "32_many_agents": lambda study: [
        *study.society_runs(),
        *(study.policy_runs() if study.edition.has_chapter("12") else ()),
    ],
}
"""Chapters whose rows stand beside this one's → all runs that they rest on; chapter 29 reads nearly every other."""


def why_not(study: Study) -> dict[str, str]:
    """Chapters of ``NEEDS`` whose rows cannot be had without training → why, in words."""
    has = lambda chapter: study.edition.has_chapter(chapter[:2])
    lacks = "its runs do not come with a preview" if study.edition.record_of else "this edition has no such chapter"
    absent = {chapter: lacks for chapter in NEEDS if not has(chapter)}
    missing = [chapter for chapter in NEEDS if chapter not in absent and study.lab.missing(NEEDS[chapter](study))]
    return absent | dict.fromkeys(missing, "it has not been run")


def split_remedies(found: Mapping[str, pd.DataFrame]) -> tuple[list[Remedy], list[Remedy]]:
    """Those of ``OF_OTHERS`` that rows by chapter say something about, and the others."""
    says = lambda remedy: remedy.chapter in found and remedy.row(found[remedy.chapter], MATCHED) is not None
    return [one for one in OF_OTHERS if says(one)], [one for one in OF_OTHERS if not says(one)]


def with_others(results: pd.DataFrame, found: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Results rows of this chapter, and below them those of other chapters' remedies that are held against the same;
    ``found``: rows by chapter, as of ``Chapter.beside``.  A row that another chapter has on more study seeds, of a
    record that holds that chapter, stands in place of this one's."""
    every = pd.concat([*found.values(), results], ignore_index=True).sort_values("n_seeds", kind="stable")
    rows = [results[[*NAMES]].merge(every.drop_duplicates([*NAMES], keep="last"), on=[*NAMES])[results.columns]]
    held = {*results["mitigation"]}
    for one in split_remedies(found)[0]:
        if one.beside_none and one.mitigation not in held:
            rows.append(usual(found[one.chapter], method=one.method, mitigation=one.mitigation, versus=UNMODIFIED))
    both = pd.concat(rows, ignore_index=True)
    return both.fillna({"here": ""}) if "here" in both else both


def over_ways(per_seed: pd.DataFrame) -> pd.DataFrame:
    """Bootstrapping averaged over its intermediate models: rows of a per-seed frame that go ``via`` one, without it."""
    return pool(per_seed[per_seed["via"] != ""], via="")


def _tried(few: Study, mitigated: Sequence[Study], conflict: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Students without and with a conflict, unmitigated and under each mitigation: per-seed and results rows."""
    frames = [measure_both(few, (conflict, "rerun"), OF_A_MITIGATION)]
    frames += [measure_both(tried, [conflict], OF_A_MITIGATION) for tried in mitigated]
    per_seed = pd.concat(frames, ignore_index=True)
    per_seed = pd.concat([per_seed, over_ways(per_seed)], ignore_index=True)
    rows, tried = [summarise(per_seed, pooled=True)], per_seed[per_seed["mitigation"] != ""]
    for names in tried[["condition", "mitigation", "via"]].drop_duplicates().to_dict("records"):
        statistics = ("accuracy", "pgr") if names["condition"] == "none" else OF_A_MITIGATION
        rows.append(difference(per_seed, statistics, UNMODIFIED, names, {"condition": names["condition"]}))
    return per_seed, pd.concat(rows, ignore_index=True)


def what_helps(study: Study) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Every mitigation on the edition's mitigation weak-strong pairs, pooled, and each minus no mitigation (``versus``
    is *unmodified*): reward models under the explicit conflict.

    Bootstrapping stands averaged over the ways, and ``via`` each intermediate model one by one."""
    return _tried(study.on_mitigation_weak_strong_pairs(), study.mitigated(), "explicit")


def two_remedies(study: Study) -> tuple[pd.DataFrame, pd.DataFrame]:
    """As ``what_helps``, where the paper tries its two: policies by every method, under the implicit conflict, on
    mitigation weak-strong pairs that are policy weak-strong pairs as well; no row where the edition has none."""
    found = []
    for method in study.edition.methods:
        if mitigated := study.mitigated_policies(method):
            pairs = dict.fromkeys(tried.edition.weak_strong_pairs[0] for tried in mitigated)
            found.append(
                _tried(study.restricted_to(weak_strong_pairs=list(pairs)).trained_by(method), mitigated, "implicit")
            )
    if not found:
        return pd.DataFrame(columns=PER_SEED), pd.DataFrame(columns=list(ROWS))
    per_seed, rows = (pd.concat(frames, ignore_index=True) for frames in zip(*found))
    return per_seed, rows


def of_the_attainable(study: Study) -> pd.DataFrame:
    """Results rows: the largest excess over the margin-matched null that was attainable under each mitigation, and
    without one, and which share of it the explicit conflict's was; each share minus that without a mitigation."""
    few = study.on_mitigation_weak_strong_pairs()
    asked = ("attainable_margin_matched", SHARE)
    per_seed = pd.concat([measure(one, ["explicit"], asked) for one in (few, *study.mitigated())], ignore_index=True)
    per_seed = pd.concat([per_seed, over_ways(per_seed)], ignore_index=True)
    plain, rows = {"condition": "explicit"}, [summarise(per_seed, pooled=True)]
    for names in per_seed.loc[per_seed["mitigation"] != "", ["mitigation", "via"]].drop_duplicates().to_dict("records"):
        rows.append(difference(per_seed, SHARE, UNMODIFIED, plain | names, plain))
    return pd.concat(rows, ignore_index=True)


def of_the_attainable_in_words(rows: pd.DataFrame) -> str:
    """Which shares of the attainable the honest mitigations leave, and which of them are told from no mitigation's.

    ``rows``: as of ``of_the_attainable``; bootstrapping by its mean."""
    about = {"statistic": SHARE, "condition": "explicit", "mitigation": None}
    level, change = (usual(rows, versus=v, **about).set_index("mitigation") for v in ("", UNMODIFIED))
    told = {name: level["value"][name] for name in level.index if name == "" or MITIGATIONS[name].honest}
    known = {name: value for name, value in told.items() if not np.isnan(value)}
    plain, tried = known.pop("", None), sorted(known, key=known.__getitem__)
    says = f"Without a mitigation {'nothing could have been seen' if plain is None else f'it is {plain:.2f}'}"
    if not tried:
        return f"{says}; with one, it cannot be told."
    ends = [f"{known[name]:.2f} ({title(name)})" for name in dict.fromkeys((tried[0], tried[-1]))]
    says += f"; with an honest one {' to '.join(ends)}"
    if unknown := [title(name) for name in told if name and name not in known]:
        says += f"; nothing could have been seen with {', '.join(unknown)}"
    moved = {side: [title(n) for n in tried if reads(change.loc[n]) == f"{side} zero"] for side in ("below", "above")}
    words = {"below": "lower", "above": "higher"}
    apart = [f"{words[side]}: {', '.join(names)}" for side, names in moved.items() if names]
    return f"{says}. Told from no mitigation's by their intervals: {'; '.join(apart) or 'none'}."


def costs(study: Study) -> pd.DataFrame:
    """What a student costs under each mitigation: a row each, ``mitigation``, ``via``, ``runs`` (that it needs beyond
    the weak supervisor), ``operations`` (of its arithmetic).

    Mean over seeds and pairs, for the no-conflict student and what only it needs, as ``_spent`` has it.  Operations are
    reckoned (``study.cost``), for recorded times are of machines that were more or less busy; a filter and early
    stopping may spare some of theirs."""
    few = study.on_mitigation_weak_strong_pairs()
    rows = []
    for tried in (few, *study.mitigated()):
        spent = [_spent(tried.student(*cell), tried.weak(*cell[:2])) for cell in cells(tried, ["none"])]
        runs, operations = np.mean(spent, axis=0)
        about = {"mitigation": tried.mitigation or "none", "via": tried.via or ""}
        rows.append(about | {"runs": runs, "operations": operations})
    return pd.DataFrame(rows)


def _spent(run: Spec, supervisor: Spec) -> tuple[int, float]:
    """Runs and operations that a student needs, beyond its supervisor and all pretraining: an intermediate model is
    there before anybody bootstraps through it."""
    there = {one.key for one in closure([supervisor])}
    own = [one for one in closure([run]) if not isinstance(one, Pretrain | Features) and one.key not in there]
    return len(own), sum(arithmetic(work(one), size(one.model)) for one in own)


def _operations(study: Study, remedy: Remedy, cell: Cell) -> tuple[float, float]:
    """Of one student under a remedy of ``OF_OTHERS``, and of the plain one; the study is by the plain one's method."""
    supervisor, plain = study.weak(*cell[:2]), study.student(*cell)
    if remedy.method == MACPO:
        mine = _spent(study.society(*cell), supervisor)[1]
    elif remedy.method == SEARCH:
        # The guide is trained, and the strong model reads what is ranked and what the guide's weight is chosen on.
        pairs = study.pairs(cell.seed)
        read = (pairs.train_pairs + pairs.test_pairs) * tokens_a_pair(pairs, shared=False)
        reading = arithmetic(Work(0, read, predicts=True), size(study.model(cell.seed, cell.strong)))
        mine = _spent(study.guides(*cell)[0], supervisor)[1] + reading
    elif remedy.versus in TURNS.values():
        plain, turns = (study.student(*cell[:3], condition) for condition in (remedy.versus, remedy.condition))
        mine = _spent(turns, supervisor)[1]
    else:
        mine = _spent(study.under_mitigation(remedy.mitigation, study.via).student(*cell), supervisor)[1]
    return mine, _spent(plain, supervisor)[1]


def _studies(study: Study, remedy: Remedy) -> list[Study]:
    """The studies in which a remedy of ``OF_OTHERS`` is tried, by the method of the plain student, with its ``via``."""
    if remedy.method == "reward_model":
        return [study.on_mitigation_weak_strong_pairs()]
    if remedy.condition == "implicit":
        tried = [one for one in study.mitigated_policies(remedy.method) if one.mitigation == remedy.mitigation]
        return [one.under_mitigation("", one.via) for one in tried]
    by = study.trained_by("simpo" if remedy.method == "simpo" else "dpo")
    return [first_pair(by) if remedy.method == MACPO else by.on_policy_weak_strong_pairs()]


def costs_elsewhere(study: Study, remedies: Iterable[Remedy]) -> dict[str, float]:
    """Operations of what a student needs under each remedy of ``OF_OTHERS``, as a multiple of the plain student's that
    it is held against, by title: as of ``costs``, summed over seeds and pairs.

    What is paid at each use of a model that nobody trains is not among them."""
    found = {}
    for remedy in remedies:
        spent = [_operations(one, remedy, cell) for one in _studies(study, remedy) for cell in cells(one, ["none"])]
        mine, plain = np.sum(spent, axis=0)
        found[remedy.title] = mine / plain if plain else np.nan
    return found
