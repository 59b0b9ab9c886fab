"""What each chapter finds: from a study and its lab to results rows, one function a chapter.

Chapters publish these rows and draw from them; the ledger reads them by the same functions, so that
a page, ``results.csv`` and a verdict cannot disagree.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from w2s_lib.conditions import ABOVE_ONE, CORE, POLICY
from w2s_lib.lab import Lab, closure
from w2s_lib.metrics import band
from w2s_lib.results import (
    DECEPTION,
    GENERALIZATION,
    MECHANISM,
    NAMES,
    OTHER,
    PER_SEED,
    ROWS,
    TRAINING,
    UNMODIFIED,
    difference,
    measure,
    slopes,
    summarise,
)
from w2s_lib.run import Train
from w2s_lib.study import Study
from w2s_lib.supervision import relabel
from w2s_lib.talk import measure_talk

CONFLICTS = tuple(name for name in CORE if name != "none")
MATCHED = "excess_margin_matched"
OF_THE_GAP = ("conflict_tax", "net_change", "deception_score", "null_random", "null_margin_matched", "excess_random", MATCHED)
EXCESSES = ("excess_random", MATCHED, "excess_label_matched", "excess_weak_matched", "explained_by_label")
THRESHOLDS = (0.6, 0.75, 0.9, 0.97)
"""At which the mechanism chapter sets T, beside the edition's own."""
SCORES = ("conflict_tax", "net_change", "deception_score", "null_random", "null_margin_matched", *EXCESSES)


def minus(per_seed: pd.DataFrame, statistics: Sequence[str], conditions: Sequence[str], control: str, **also: object) -> pd.DataFrame:
    """Results rows of each statistic under each condition minus the same under a control, cell by cell, pooled.

    ``also`` names columns of both in which they are not as usual.
    """
    pairs = [({"condition": c, **also}, {"condition": control, **also}) for c in conditions]
    return pd.concat([difference(per_seed, s, control, *pair) for pair in pairs for s in statistics], ignore_index=True)


def generalization(study: Study, lab: Lab) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Accuracies and PGR of the no-conflict students: one row a seed and pair; results rows by pair and pooled."""
    per_seed = measure(study, lab, ["none"], GENERALIZATION)
    return per_seed, pd.concat([summarise(per_seed), summarise(per_seed, pooled=True)], ignore_index=True)


def conflict(study: Study, lab: Lab) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Tax, DS and nulls of the two conflicts and the two controls, by pair and pooled, and each minus the rerun's."""
    per_seed = measure(study, lab, CONFLICTS, ("accuracy", *DECEPTION))
    rows = [summarise(per_seed), summarise(per_seed, pooled=True), minus(per_seed, [MATCHED], ("explicit", "implicit", "placebo"), "rerun")]
    return per_seed, pd.concat(rows, ignore_index=True)


def capability_gap(study: Study, lab: Lab) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Every weak-strong pair by its capability gap, and how tax, DS, nulls and excesses grow with it."""
    none = measure(study, lab, ["none"], ("accuracy", "pgr", "gap"))
    per_seed = pd.concat([none, measure(study, lab, CONFLICTS, ("accuracy", *OF_THE_GAP))], ignore_index=True)
    return per_seed, pd.concat([summarise(per_seed), slopes(per_seed, OF_THE_GAP)], ignore_index=True)


def controls(study: Study, lab: Lab) -> tuple[pd.DataFrame, pd.DataFrame]:
    """DS after each null and control, on the edition's control pairs, pooled.

    ``subset`` is *stable* for the pairs that every rerun ranks right, ``ceiling`` *other* where the ceiling was trained
    on the weak supervisor's half.
    """
    few = study.controls()
    weakly = (*CONFLICTS, "explicit_reseeded", "untrained")
    gold = ("gold_explicit", "gold_implicit", "gold_rerun")
    per_seed = measure(few, lab, (*weakly, *gold), SCORES)
    stable = measure(few, lab, ("explicit", "implicit", "placebo", "explicit_reseeded"), ("deception_score", *EXCESSES), stable=True)
    other = measure(replace(few, ceiling_half="ground_truth"), lab, CONFLICTS, ("deception_score", *EXCESSES), ceiling=OTHER)
    above_one = [] if study.edition.alpha == ABOVE_ONE else [measure(few.at(alpha=ABOVE_ONE), lab, ["gold_explicit"], SCORES)]
    rows = [
        *(summarise(frame, pooled=True) for frame in (per_seed, stable, other, *above_one)),
        minus(per_seed, (MATCHED, "excess_weak_matched"), ("explicit", "implicit", "explicit_reseeded"), "rerun"),
        minus(per_seed, (MATCHED,), ("explicit", "implicit"), "placebo"),
        minus(per_seed, ("conflict_tax", MATCHED), ("gold_explicit", "gold_implicit"), "gold_rerun"),
        minus(per_seed, ("conflict_tax",), ("gold_implicit",), "implicit"),
    ]
    return per_seed, pd.concat(rows, ignore_index=True)


def mechanism(study: Study, lab: Lab) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The explicit conflict by dose: tax by weak label on training and on test pairs, DS and nulls, gold labels; pooled.

    The rerun is measured at every alpha, too: its training does not depend on alpha, but the band that it is
    compared in does.
    """
    frames, rows = [], []
    for alpha in study.edition.alphas:
        at = study.controls().at(alpha=alpha)
        training = measure(at, lab, ("explicit", "rerun"), MECHANISM, on="weak_label")
        test = measure(at, lab, ("explicit", "rerun"), (*MECHANISM, *SCORES[2:]))
        gold = measure(at, lab, ("gold_explicit", "gold_rerun"), ("conflict_tax", "net_change"))
        elsewhere = [
            measure(at.at(threshold=t), lab, ("explicit", "rerun"), ("deception_score", "null_random", "null_margin_matched", MATCHED))
            for t in THRESHOLDS
            if t != study.edition.threshold
        ]
        for frame in (training, test, gold, *elsewhere):
            frame["alpha"] = alpha
            frames.append(frame)
            rows.append(summarise(frame, pooled=True))
        rows.append(minus(training, ("band_contrast",), ("explicit",), "rerun", on=TRAINING))
        rows.append(minus(test, ("band_contrast", MATCHED), ("explicit",), "rerun"))
        rows.append(minus(gold, ("conflict_tax",), ("gold_explicit",), "gold_rerun"))
    return pd.concat(frames, ignore_index=True), pd.concat(rows, ignore_index=True)


def real_texts(study: Study, lab: Lab, conditions: Sequence[str] = CONFLICTS, controls: bool = True) -> tuple[pd.DataFrame, pd.DataFrame]:
    """A study on real texts: PGR by pair and pooled; the conflicts, rerun and placebo, and each minus the rerun's, pooled.

    ``controls`` adds gold labels and the other half's ceiling, on the control pairs; ``ceiling`` is *other* there, and *own*
    for what they are to be compared with.
    """
    none, rows = generalization(study, lab)
    per_seed = measure(study, lab, conditions, ("accuracy", *SCORES))
    against = [c for c in conditions if c != "rerun"]
    found = [rows, summarise(per_seed, pooled=True), minus(per_seed, ("conflict_tax", MATCHED), against, "rerun")]
    if controls:
        few = study.controls()
        on_gold = measure(few, lab, ("gold_explicit", "gold_rerun"), SCORES)
        found += [summarise(on_gold, pooled=True), minus(on_gold, ("conflict_tax",), ("gold_explicit",), "gold_rerun")]
        for half, name in (("weak_label", "own"), ("ground_truth", OTHER)):
            found.append(summarise(measure(replace(few, ceiling_half=half), lab, conditions, (MATCHED,), ceiling=name), pooled=True))
    return none, pd.concat(found, ignore_index=True)


SIDE_BY_SIDE = ("conflict_tax", "net_change", "deception_score", MATCHED)
"""What is compared between methods."""


def preference_optimisation(study: Study, lab: Lab) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Policies by every method of the edition beside reward models, on the edition's policy pairs, pooled.

    DPO's options stand in the columns ``labels`` and ``sft``.  Differences: each conflict minus the rerun of its method; each
    method's conflict minus the reward models'.
    """
    few = study.policies()
    reruns = ("explicit", "implicit", "rerun", "placebo")
    frames = [measure(few, lab, ["none"], GENERALIZATION), measure(few, lab, reruns, ("accuracy", *SCORES))]
    for method in study.edition.methods:
        by = few.by(method)
        frames += [
            measure(by, lab, ["none"], GENERALIZATION),
            measure(by, lab, POLICY[1:], ("accuracy", *SCORES)),
            measure_talk(by, lab, POLICY),
        ]
    for option in study.policy_options().values():
        frames += [measure(option, lab, ["none"], GENERALIZATION), measure(option, lab, ["explicit"], ("accuracy", *SCORES))]
        frames += [measure_talk(option, lab, ["none", "explicit"])]
    per_seed = pd.concat(frames, ignore_index=True)
    rows = [summarise(per_seed, pooled=True)]
    for method in study.edition.methods:
        told, against = (*SIDE_BY_SIDE, "talk_complies_with_hazard"), ("explicit", "implicit", "implicit_quarter", "placebo")
        rows.append(minus(per_seed, told, against, "rerun", method=method))
        rows += [beyond_reward_models(per_seed, {"method": method, "condition": c}) for c in ("explicit", "implicit")]
    return per_seed, pd.concat(rows, ignore_index=True)


def beyond_reward_models(per_seed: pd.DataFrame, policies: dict[str, object]) -> pd.DataFrame:
    """Results rows of what is compared between methods: these policies minus the reward models under the same condition."""
    those = {"method": "reward_model", "condition": policies["condition"]}
    return pd.concat([difference(per_seed, s, "reward_model", policies, those) for s in SIDE_BY_SIDE], ignore_index=True)


def dpo_options(study: Study, per_seed: pd.DataFrame) -> pd.DataFrame:
    """DPO after supervised fine-tuning and on soft labels, each minus DPO as it is; and DPO's explicit conflict on hard and on soft labels minus
    the reward models'.  Rows of the first policy pair, which alone has the options; none where DPO is left out.

    ``per_seed``: as ``preference_optimisation`` gives it.
    """
    weak, strong = study.policies().edition.weak_strong[0]
    first = per_seed[(per_seed["weak"] == weak) & (per_seed["strong"] == strong)]
    changed = {
        "sft": {"none": ("talk_decides", "talk_fits", "accuracy", "accuracy_ceiling"), "explicit": ("conflict_tax", MATCHED)},
        "labels": {"none": ("accuracy",), "explicit": ("conflict_tax", MATCHED, "talk_complies_with_hazard")},
    }
    rows, options = [pd.DataFrame(columns=list(ROWS))], {name: option.names("none") for name, option in study.policy_options().items()}
    for names in options.values():
        option = {column: names[column] for column in changed if names[column]}
        usual = {"method": "dpo"}
        for condition, statistics in changed[next(iter(option))].items():
            these, those = usual | option | {"condition": condition}, usual | {"condition": condition}
            rows += [difference(first, s, UNMODIFIED, these, those) for s in statistics]
    for labels in ("", "soft") if options else ():
        rows.append(beyond_reward_models(first, {"method": "dpo", "condition": "explicit", "labels": labels}))
    return pd.concat(rows, ignore_index=True).assign(weak=weak, strong=strong)


def hard_and_soft(study: Study, lab: Lab) -> pd.DataFrame:
    """DPO's explicit conflict on hard and on soft labels, on the first policy pair: ``labels``, ``seed``, ``in_band`` (share of the training labels),
    ``tax``, ``churn`` (what a further student without a conflict "pays"); no row where DPO is left out."""
    weak, strong = study.policies().edition.weak_strong[0]
    low, high = band(study.edition.alpha)
    options, rows = study.policy_options(), []
    for labels, by in zip(("hard", "soft"), [study.policies().by("dpo"), options["on_soft_labels"]] if options else []):
        for seed in study.edition.seeds:
            q = relabel(by.comparison(lab, seed, weak, strong, "none", on="weak_label").weak, by.labelling)
            c = by.comparison(lab, seed, weak, strong, "explicit")
            rows.append(
                (labels, seed, ((q >= low) & (q < high)).mean(), c.conflict_tax(), replace(c, conflict=c.independent).conflict_tax())
            )
    return pd.DataFrame(rows, columns=["labels", "seed", "in_band", "tax", "churn"])


OF_A_MITIGATION = ("conflict_tax", "net_change", "deception_score", "null_random", "null_margin_matched", "excess_random", MATCHED, "lift")


def over_ways(per_seed: pd.DataFrame) -> pd.DataFrame:
    """Bootstrapping averaged over its intermediate models: the rows of a per-seed frame that go ``via`` one, without it."""
    means = []
    for names, group in per_seed[per_seed["via"] != ""].assign(via="").groupby(["seed", *NAMES], sort=False, dropna=False):
        draws = None if group["draws"].isna().any() else np.mean(list(group["draws"]), axis=0)
        keys = tuple(dict.fromkeys(key for keys in group["run_keys"] for key in keys))
        mean = {"value": group["value"].mean(), "n_pairs": group["n_pairs"].iloc[0], "run_keys": keys, "draws": draws}
        means.append(dict(zip(["seed", *NAMES], names)) | mean)
    return pd.DataFrame(means, columns=PER_SEED)


def _tried(few: Study, lab: Lab, mitigated: Sequence[Study], conflict: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Students without and with a conflict under no mitigation and under each, by one method: per-seed and results rows."""
    frames = [measure(few, lab, ["none"], GENERALIZATION), measure(few, lab, (conflict, "rerun"), ("accuracy", *OF_A_MITIGATION))]
    for tried in mitigated:
        frames += [measure(tried, lab, ["none"], GENERALIZATION), measure(tried, lab, [conflict], ("accuracy", *OF_A_MITIGATION))]
    per_seed = pd.concat(frames, ignore_index=True)
    per_seed = pd.concat([per_seed, over_ways(per_seed)], ignore_index=True)
    rows, tried = [summarise(per_seed, pooled=True)], per_seed[per_seed["mitigation"] != ""]
    for names in tried[["condition", "mitigation", "via"]].drop_duplicates().to_dict("records"):
        statistics = ("accuracy", "pgr") if names["condition"] == "none" else OF_A_MITIGATION
        rows += [difference(per_seed, s, UNMODIFIED, names, {"condition": names["condition"]}) for s in statistics]
    return per_seed, pd.concat(rows, ignore_index=True)


def what_helps(study: Study, lab: Lab) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Every mitigation on the edition's mitigation pairs, pooled, and each minus no mitigation (``versus`` is *unmodified*).

    Reward models under the explicit conflict; and, on pairs that are policy pairs as well, policies by every method under the
    implicit one, which is where the paper tries its two.  Bootstrapping stands averaged over the ways, and ``via`` each
    intermediate model one by one.
    """
    found = [_tried(study.only(pairs=study.edition.mitigation_pairs), lab, study.mitigated(), "explicit")]
    for method in study.edition.methods:
        if mitigated := study.mitigated_policies(method):
            pairs = dict.fromkeys(tried.edition.pairs[0] for tried in mitigated)
            found.append(_tried(study.only(pairs=list(pairs)).by(method), lab, mitigated, "implicit"))
    per_seed, rows = (pd.concat(frames, ignore_index=True) for frames in zip(*found))
    return per_seed, rows


def costs(study: Study, lab: Lab) -> pd.DataFrame:
    """What a student costs under each mitigation: a row each, ``mitigation``, ``via``, ``runs`` (that it needs beyond the weak supervisor), ``seconds``.

    Mean over seeds and pairs of the recorded training times of the no-conflict student and of what only it needs; pretraining is
    left out, since an intermediate model is there before anybody bootstraps through it.
    """
    few = study.only(pairs=study.edition.mitigation_pairs)
    rows = []
    for tried in (few, *study.mitigated()):
        spent = []
        for seed in tried.edition.seeds:
            for weak, strong in tried.edition.weak_strong:
                student = tried.student(seed, weak, strong)
                shared = {run.key for run in closure([tried.weak(seed, weak), tried.model(seed, strong)])}
                own = [run for run in closure([student]) if isinstance(run, Train) and run.key not in shared]
                spent.append((len(own), sum(lab.store.record(run)["seconds"] for run in own)))
        runs, seconds = np.mean(spent, axis=0)
        rows.append({"mitigation": tried.mitigation or "none", "via": tried.via or "", "runs": runs, "seconds": seconds})
    return pd.DataFrame(rows)
