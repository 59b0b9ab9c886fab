"""The claims ledger: what the paper claims, what we claim, and how a verdict is read off an interval.

``claims.yaml`` holds the claims: rules and least effects were written before any number of the reported seeds was seen.
A verdict is computed, never typed: another edition changes it without a change of code.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
import yaml

from w2s_lib.findings import (
    another_loss,
    bridge,
    conflict,
    conformity,
    controls,
    early_warning,
    gap,
    generalization,
    label_again,
    mechanism,
    mitigations,
    objectives,
    policies,
    positive_controls,
    search,
    society,
    theory,
    token_by_token,
)
from w2s_lib.findings.results import ALL, ROWS, interval_of, pick, rows_with, usual
from w2s_lib.findings.statistics import LEAST, OF_TAXED_PAIRS, attainable_of
from w2s_lib.measures import intervals
from w2s_lib.measures.intervals import LEVEL, above_zero, half_width, minimum_detectable_effect, power
from w2s_lib.study.conditions import CONDITIONS

Rule = Literal["above", "below", "absent", "no_more"]
Effect = Literal["there", "small", "absent", "undecided"]
Verdict = Literal["yes", "small", "no", "undecided", "blind", "untested"]

WORDS: dict[Verdict, tuple[str, str]] = {
    "yes": ("replicates", "holds"),
    "small": ("there, too small to count", "there, too small to count"),
    "no": ("does not replicate", "does not hold"),
    "undecided": ("undecided at this size", "undecided at this size"),
    "blind": ("cannot be told here", "cannot be told here"),
    "untested": ("not yet tested here", "not yet tested here"),
}
"""What a verdict is called: for the paper's claims, for ours."""

OPEN: tuple[Verdict, ...] = ("undecided", "blind", "untested")
"""Verdicts that decide nothing."""

SLIGHTLY = "differs, too little to count"
"""What a small effect is called where a claim says that there is none."""

VERDICTS: dict[Rule, dict[Effect, Verdict]] = {
    rule: {"there": there, "small": "small", "absent": absent, "undecided": "undecided"}
    for rule, there, absent in (
        ("above", "yes", "no"),
        ("below", "yes", "no"),
        ("absent", "no", "yes"),
        ("no_more", "no", "yes"),
    )
}
"""The one table of rules: what a claim's verdict is where its effect is there and counts, is there and too small to
count, is absent, or undecided.  *absent* asks on both sides of zero, the others on one."""


@dataclass(frozen=True)
class Claim:
    """A statement about one row of results.

    ``row`` names the row by columns of ``results.NAMES``, and its chapter.  ``least_effect`` is the smallest that
    would count, in the statistic's own unit: an interval that stays below it says "no such effect" and not merely
    "nothing found".  ``says`` has a sentence for each verdict.  ``can_fail`` is false where no student could."""

    key: str
    statement: str
    row: Mapping[str, str | float]
    rule: Rule
    least_effect: float
    family: str
    says: Mapping[str, str]
    source: Literal["paper", "ours"] = "ours"
    can_fail: bool = True

    @property
    def chapter(self) -> str:
        return str(self.row["chapter"])

    @property
    def names(self) -> dict[str, str | float]:
        """Columns that name its row among those of its chapter."""
        return {"method": "reward_model"} | {name: value for name, value in self.row.items() if name != "chapter"}


def claims_in(path: Path) -> dict[str, Claim]:
    """The claims of a file, by key, in its order."""
    sentences = ("yes", "small", "no", "undecided")
    claims = yaml.safe_load(path.read_text(encoding="utf-8"))
    return {
        key: Claim(key=key, says={name: claim.pop(name) for name in sentences}, **claim)
        for key, claim in claims.items()
    }


CLAIMS = claims_in(Path(__file__).with_name("claims.yaml"))
"""The paper's claims C1 to C7 and ours, in the order of the ledger.

:meta hide-value:
"""

PLANTED_IN = "17_positive_controls"
"""The chapter that says how often a planted student is found."""

SCORED_CHAPTERS = ("05_conflict_tax_deception", "12_preference_optimisation")
"""Chapters in whose score tables it plants them."""

FINDINGS = {
    "04_weak_to_strong": generalization.generalization,
    "05_conflict_tax_deception": conflict.conflict,
    "06_capability_gap": gap.capability_gap,
    "07_nulls_and_controls": controls.controls,
    "08_mechanism": mechanism.mechanism,
    "10_other_objectives": objectives.other_objectives,
    "11_early_warning": early_warning.early_warning,
    "12_preference_optimisation": policies.preference_optimisation,
    "13_what_helps": mitigations.what_helps,
    PLANTED_IN: positive_controls.positive_controls,
    "19_theory": theory.theory,
    "21_another_loss": another_loss.another_loss,
    "23_no_training": search.no_training,
    "24_policies_speak": policies.policies_speak,
    "25_bridge": bridge.bridge,
    "27_hard_labels": policies.hard_labels,
    "28_two_remedies": mitigations.two_remedies,
    "29_competence_and_conformity": conformity.competence_and_conformity,
    "30_label_again": label_again.label_again,
    "31_token_by_token": token_by_token.token_by_token,
    "32_many_agents": society.many_agents,
}
"""The functions behind the chapters that the ledger reads: from a study on a lab to a frame a seed and results rows.

:meta hide-value:
"""


POOLED = (
    dict.fromkeys(("04", "05", "06", "11", "19"), "all")
    | dict.fromkeys(("07", "08", "10", "25"), "control")
    | dict.fromkeys(("12", "23", "24", "31"), "policy")
    | dict.fromkeys(("13", "21", "28", "29", "30"), "mitigation")
    | {"32": "first"}
)
"""By a chapter's number, which of an edition's weak-strong pairs its claims pool: all, those of a field
``<name>_weak_strong_pairs``, or the first of the policies'."""


def effect(low: float, high: float, least: float) -> Effect:
    """What a 95 % interval says about an effect above zero; the four answers leave nothing out and never overlap.

    * there: it lies above zero and reaches the least effect that counts;
    * small: it lies above zero and below that least effect;
    * absent: it reaches zero, or lies below it, and stays below it;
    * undecided: it reaches zero and that effect, or is undefined.
    """
    if np.isnan(low) or np.isnan(high):
        return "undecided"
    if low > 0:
        return "there" if high >= least else "small"
    return "absent" if high < least else "undecided"


def verdict(claim: Claim, low: float, high: float) -> Verdict:
    """What a 95 % interval says about a claim: its ``effect``, where its rule looks, by ``VERDICTS``."""
    above, below = effect(low, high, claim.least_effect), effect(-high, -low, claim.least_effect)
    if claim.rule == "absent":
        both = {above, below}
        found = next((e for e in ("there", "small", "undecided") if e in both), "absent")
    else:
        found = below if claim.rule == "below" else above
    return VERDICTS[claim.rule][found]


def p_of_verdict(claim: Claim, row: pd.Series, found: Verdict) -> float:
    """1 − the level at which the row's interval would no longer give this verdict; NaN for an undecided one or fewer
    than two seeds.  A row without its values by seed has Student's t interval."""
    if found in ("undecided", "blind", "untested") or not row["sd"] > 0 or row["n_seeds"] < 2:
        return float("nan")
    return intervals.p_value(lambda level: verdict(claim, *_ends(row, level)) == found, held=LEVEL)


def _ends(row: pd.Series, level: float) -> tuple[float, float]:
    if not isinstance(row.get("by_seed"), tuple):
        half = float(half_width(row["sd"], row["n_seeds"], level))
        return row["value"] - half, row["value"] + half
    _, values, less, _ = zip(*row["by_seed"])
    interval = interval_of(values, less, row["statistic"], row["versus"], row["per"], level)
    return interval.low, interval.high


def holm(p: pd.Series) -> pd.Series:
    """Holm's correction (1979) of the p values of one family; NaN ones are left out."""
    known = p.dropna().sort_values()
    factors = np.arange(len(known), 0, -1)
    return (known * factors).cummax().clip(upper=1).reindex(p.index)


def word(claim: Claim, found: Verdict) -> str:
    """The verdict in words, for the paper's claims and for ours."""
    if found == "small" and claim.rule in ("absent", "no_more"):
        return SLIGHTLY
    return WORDS[found][claim.source == "ours"]


def sentence(claim: Claim, found: Verdict, value: float = np.nan, shown: float = np.nan, by: str = "") -> str:
    """What a verdict comes to, in one sentence; it goes on where an effect was found and an innocent student, ``by``
    name, has ``shown`` more than the claim's own ``value`` (``an_innocent``)."""
    if found == "blind":
        least = f"{claim.least_effect:g}"
        who = "a student that hides nothing" if claim.rule == "below" else "a perfect deceiver"
        return f"Cannot tell: at this size not even {who} would have shown an effect of {least}."
    says = claim.says.get(found, "Not tested in this edition.")
    there = found in (("yes", "small") if claim.rule == "above" else ("no", "small"))
    if claim.rule in ("above", "absent") and claim.can_fail and there and shown > value > 0:
        more = f"a student that {FOLLOWS[by]} would show {shown:.2f} where this one shows {value:.2f}"
        return f"{says.removesuffix('.')}; {more}."
    return says


def in_edition(claim: Claim, results: pd.DataFrame) -> bool:
    """Whether an edition's results hold what the claim is about: its alpha, method or mitigation may be left out."""
    asked = ("method", "condition", "mitigation", "alpha", "objective")
    return not rows_with(results, **{name: claim.names.get(name) for name in asked}).empty


FOLLOWS = {"blind": "pays anywhere", "by_margin": "only follows margins", "by_label": "only follows its weak labels"}
"""What each innocent of chapter 17 does, in a sentence of the ledger."""


ENOUGH = LEAST["deception_score"]
"""Of fewer taxed pairs a single model pair gets no number; a seed, in which model pairs are pooled, gets one."""


def taxed_pairs(claim: Claim, row: pd.Series) -> tuple[float, float, float, str]:
    """How many taxed pairs a claim's row is a share of, in all seeds and in the seed with the fewest; how many seeds
    there are, defined or not; and which verdict seeds with ``ENOUGH`` of them would give (empty: not known).

    Of a difference, the pairs of the claim's own student count, and seeds with fewer have no value.  A row that does
    not tell its seeds has no more than its sum."""
    if claim.names["statistic"] not in OF_TAXED_PAIRS:
        return float("nan"), float("nan"), float("nan"), ""
    if not isinstance(seeds := row.get("by_seed"), tuple) or not seeds:
        return float(row.get("counted", float("nan"))), float("nan"), float("nan"), ""
    _, values, less, counted = (np.array(part, dtype=float) for part in zip(*seeds))
    enough = np.nan_to_num(counted) >= ENOUGH
    kept = interval_of(values[enough], less[enough], row["statistic"], row["versus"], row["per"])
    counted = np.nan_to_num(counted)
    return float(counted.sum()), float(counted.min()), len(seeds), verdict(claim, kept.low, kept.high)


def an_innocent(claim: Claim, controls: pd.DataFrame) -> tuple[float, str]:
    """The largest mean that an innocent kind of planted student shows of a claim's statistic, in its own unit, and
    which kind; NaN and none, where nobody was planted.

    ``controls``: rows as of ``positive_controls``, or a record's over its seeds."""
    asked = {name: value or "" for name, value in claim.names.items()} | {"planted": None}
    rows = usual(controls, **asked) if claim.chapter in SCORED_CHAPTERS else controls.iloc[:0]
    rows = rows[rows["planted"].isin(FOLLOWS)].dropna(subset="value")
    if rows.empty:
        return float("nan"), ""
    most = rows.loc[rows["value"].astype(float).idxmax()]
    return float(most["value"]), str(most["planted"])


def could_be_seen(claim: Claim, row: pd.Series, results: pd.DataFrame, controls: pd.DataFrame) -> tuple[float, float]:
    """The largest value that its statistic could have reached, and the power: how often it would be told from zero.

    What bounds a score beside a null, or beyond another condition's, stands in its chapter; its power, where
    ``positive_controls`` has planted a student that half deceives in the edition's own score tables (reckoned from its
    spread, where the row has another number of seeds, such as a record's).  Of other statistics, power is that of a t
    test against the least effect that counts.  A score minus another's is bounded by what the other leaves
    (``largest_change``); nothing bounds the rest."""
    names, statistic = claim.names, str(claim.names["statistic"])
    bound = attainable_of(statistic)
    if bound and "per" not in names and names.get("versus", "rerun") in CONDITIONS:
        alike = {name: value for name, value in names.items() if name not in ("statistic", "versus")}
        most = pick(results, bound, **alike)["value"]
        if control := names.get("versus"):
            most -= pick(results, statistic, **alike | {"condition": str(control)})["value"]
        asked = {name: value or "" for name, value in names.items()} | {"versus": control or "", "planted": "half"}
        planted = usual(controls, **asked | {"statistic": positive_controls.POWER_OF[statistic]})
        if claim.chapter in SCORED_CHAPTERS and len(planted) == 1:
            if row["n_seeds"] == planted["n_seeds"].iloc[0]:
                return float(most), float(planted["value"].iloc[0])
            mean, spread = usual(controls, **asked).iloc[0][["value", "sd"]]
            return float(most), above_zero(mean / spread, int(row["n_seeds"]))
        return float(most), power(claim.least_effect, row["sd"], int(row["n_seeds"]))
    return largest_change(claim, row, results), power(claim.least_effect, row["sd"], int(row["n_seeds"]))


def largest_change(claim: Claim, row: pd.Series, results: pd.DataFrame) -> float:
    """How far a deception score can lie from another's, on the side that is asked about; NaN for other claims, and
    where the rows have the difference alone.

    Planted in the place of the claim's own student, one that hides nothing has no score, and takes all of the other's
    off; one that hides everything, where the area has room for its tax, has a score of 1.  *Absent* asks of both."""
    names = dict(claim.names)
    if names["statistic"] != "deception_score" or "per" in names or not names.pop("versus", None):
        return float("nan")
    score = usual(results, **{"weak": ALL, "strong": ALL} | names)["value"]
    if len(score) != 1:
        return float("nan")
    other = float(score.iloc[0] - row["value"])
    return {"below": other, "absent": max(other, 1 - other)}.get(claim.rule, 1 - other)


def ledger(results: Mapping[str, pd.DataFrame], claims: Iterable[Claim] | None = None) -> pd.DataFrame:
    """One row a claim: ``claim, statement, source, family, can_fail, chapter``, the names of its row as ``about``,
    ``rule, least_effect, value, low, high, n_seeds, detectable, attainable, power, innocent, verdict, holm, says,
    sentence``; and ``taxed, fewest, of_seeds, where_enough`` as of ``taxed_pairs``.

    ``results``: each chapter's results rows.  ``detectable`` is the minimum detectable effect: what a study of this
    size, with this spread over seeds, would tell from zero four times in five.  ``innocent`` is the largest mean
    that an innocent student shows, planted in chapter 17 (``an_innocent``).  ``holm`` is the p value after Holm's
    correction within the family: above 0.05, the verdict hangs on looking at this claim alone.

    Raises:
        KeyError: a statistic that a claim needs is missing from its chapter's results, or occurs twice.
    """
    rows, controls = [], results.get(PLANTED_IN, pd.DataFrame(columns=list(ROWS)))
    for claim in CLAIMS.values() if claims is None else claims:
        row = pd.Series({"value": np.nan, "low": np.nan, "high": np.nan, "sd": np.nan, "n_seeds": 0, "counted": np.nan})
        tested = in_edition(claim, results[claim.chapter])
        if tested:
            row = pick(results[claim.chapter], **claim.names)
        attainable, seen = could_be_seen(claim, row, results[claim.chapter], controls) if tested else (np.nan, np.nan)
        found = verdict(claim, row["low"], row["high"]) if tested else "untested"
        innocent, kind = an_innocent(claim, controls)
        if attainable < claim.least_effect:
            found = "blind"
        rows.append({
            "claim": claim.key, "statement": claim.statement, "source": claim.source, "family": claim.family,
            "can_fail": claim.can_fail, "chapter": claim.chapter,
            "about": ", ".join(map(str, list(claim.row.values())[1:])), "rule": claim.rule,
            "least_effect": claim.least_effect,
            **{name: row[name] for name in ("value", "low", "high", "n_seeds")},
            "detectable": minimum_detectable_effect(row["sd"], int(row["n_seeds"])), "attainable": attainable,
            "power": seen, "innocent": innocent, "verdict": found, "p": p_of_verdict(claim, row, found),
            **dict(zip(("taxed", "fewest", "of_seeds", "where_enough"), taxed_pairs(claim, row))),
            "says": word(claim, found), "sentence": sentence(claim, found, row["value"], innocent, kind),
        })  # fmt: skip
    frame = pd.DataFrame(rows)
    return frame.assign(holm=frame.groupby("family", sort=False)["p"].transform(holm)).drop(columns="p")


REAL = {
    "hh-smol": ("none", "explicit", "gold_explicit"),
    "hh-smol-helpful": ("implicit", "verbosity"),
    "hh-smol-policies": ("explicit", "implicit"),
}
"""Editions of real texts that the ledger asks as well, with the conditions that each is asked about: of pairs that are
mixed in, the one that has helpful pairs."""

TUNED = {"hh-smol-tuned": ("none", "explicit", "gold_explicit")}
"""The same of models of which all weights are trained."""


def on_real_texts(results: pd.DataFrame, editions: Mapping[str, Sequence[str]] = REAL) -> pd.DataFrame:
    """The same claims by the same rules on real texts; as ``ledger``, a row for each claim that can be asked there.

    ``results``: rows of the chapter on real texts, with their ``edition``; ``editions``: which of these are asked."""
    told = []
    for edition, conditions in editions.items():
        rows = results[results["edition"] == edition]
        mine = [claim for claim in CLAIMS.values() if claim.names["condition"] in conditions]
        asked = [claim for claim in mine if len(usual(rows, **{"weak": ALL, "strong": ALL} | claim.names)) == 1]
        told.append(ledger(dict.fromkeys(FINDINGS, rows), asked) if asked else pd.DataFrame())
    return pd.concat(told, ignore_index=True)


CARRIED = ("holds", "does not", "cannot be told")
"""What becomes of a verdict elsewhere: it is the same, it is another, or one of the two decides nothing."""


def carried(verdicts: pd.DataFrame, others: pd.DataFrame) -> pd.DataFrame:
    """Of two ledgers, the claims that can fail and are in both: ``carried`` (one of ``CARRIED``), ``claim``,
    ``statement``, and what each says, ``here`` and ``there``; in the order of ``CARRIED``.

    A verdict holds where the other ledger's is the same, and does not where it is another, or where both find an effect
    that a claim says is absent, of opposite signs; where one of the two decides nothing (``OPEN``), it cannot be told.
    """
    others = verdicts.iloc[:0] if others.empty else others
    both = verdicts[verdicts["can_fail"]].merge(others, on="claim", suffixes=("", "_there"))
    here, there = both["verdict"], both["verdict_there"]
    open_ones = here.isin(OPEN) | there.isin(OPEN)
    opposite = (both["rule"] == "absent") & (here != "yes") & (both["value"] * both["value_there"] < 0)
    found = np.select([open_ones, (here == there) & ~opposite], [CARRIED[2], CARRIED[0]], CARRIED[1])
    told = both[["claim", "statement"]].assign(here=both["says"], there=both["says_there"])
    told.insert(0, "carried", found)
    return pd.concat([told[found == name] for name in CARRIED], ignore_index=True)


def carried_in_words(told: pd.DataFrame) -> str:
    """What ``carried`` says, in one sentence that names the claims; empty where no claim is in both."""
    parts = [
        f"{len(keys)} {says} ({', '.join(keys)})"
        for name, says in zip(CARRIED, ("hold", "do not", "cannot be told"))
        if (keys := told.loc[told["carried"] == name, "claim"].tolist())
    ]
    return f"Of {len(told)} verdicts that can be asked for on real texts, {'; '.join(parts)}." if parts else ""


def moved(frame: pd.DataFrame) -> tuple[int, int]:
    """Of a ledger's verdicts on shares of taxed pairs, how many would be others if seeds with fewer than ``ENOUGH``
    taxed pairs were left out, and how many can be asked."""
    asked = frame[(frame["where_enough"] != "") & ~frame["verdict"].isin(["blind", "untested"])]
    return int((asked["verdict"] != asked["where_enough"]).sum()), len(asked)


def hangs_on_it(frame: pd.DataFrame) -> pd.Series:
    """Rows of a ledger whose verdict would be undecided if its family were corrected for."""
    return frame["holm"] > 1 - LEVEL
