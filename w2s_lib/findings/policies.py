"""Policies beside reward models: what conflicts cost them and where, what they say, and what their labels change."""

from dataclasses import replace

import pandas as pd

from w2s_lib.findings.replies import measure_talk
from w2s_lib.findings.results import PER_SEED, UNMODIFIED, difference, measure, measure_both, minus, summarise, usual
from w2s_lib.findings.statistics import MATCHED, STATISTICS
from w2s_lib.measures.metrics import band
from w2s_lib.study import Study
from w2s_lib.study.conditions import POLICY
from w2s_lib.training.labels import relabel

SIDE_BY_SIDE = ("conflict_tax", "net_change", "deception_score", MATCHED)
"""What is compared between methods."""

REWARD_MODELS = ("explicit", "implicit", "rerun", "placebo")
"""Conditions of the reward models beside them."""

POLICIES_BESIDE_RERUN = ("explicit", "implicit", "implicit_quarter", "placebo")
"""Conditions of policies that are held against a rerun."""


def preference_optimisation(study: Study) -> tuple[pd.DataFrame, pd.DataFrame]:
    """How policies rank, by every method of the edition, beside reward models, on the edition's policy weak-strong
    pairs, pooled.

    Differences: each conflict minus the rerun of its method; each method's conflict minus the reward models'."""
    few = study.on_policy_weak_strong_pairs()
    frames = [measure_both(few, REWARD_MODELS)]
    frames += [measure_both(few.trained_by(method), POLICY[1:]) for method in study.edition.methods]
    per_seed = pd.concat(frames, ignore_index=True)
    rows = [summarise(per_seed, pooled=True)]
    for method in study.edition.methods:
        rows.append(minus(per_seed, SIDE_BY_SIDE, POLICIES_BESIDE_RERUN, "rerun", method=method))
        rows += [beyond_reward_models(per_seed, {"method": method, "condition": c}) for c in ("explicit", "implicit")]
    return per_seed, pd.concat(rows, ignore_index=True)


def policies_speak(study: Study) -> tuple[pd.DataFrame, pd.DataFrame]:
    """What policies say, by every method of the edition, on its policy weak-strong pairs, pooled; and DPO after
    supervised fine-tuning, on the first of them.  Differences: each conflict minus the rerun of its method."""
    few = study.on_policy_weak_strong_pairs()
    frames = [measure_talk(few.trained_by(method), POLICY) for method in study.edition.methods]
    frames += _option(study, "after_sft")
    per_seed = pd.concat(frames, ignore_index=True)
    spoken = ("talk_complies_with_hazard",)
    rows = [minus(per_seed, spoken, POLICIES_BESIDE_RERUN, "rerun", method=method) for method in study.edition.methods]
    return per_seed, pd.concat([summarise(per_seed, pooled=True), *rows], ignore_index=True)


def hard_labels(study: Study) -> tuple[pd.DataFrame, pd.DataFrame]:
    """DPO on soft labels, on the first policy pair: how it ranks, and what it says; no row where DPO is left out."""
    frames = _option(study, "on_soft_labels")
    per_seed = pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=PER_SEED)
    return per_seed, summarise(per_seed, pooled=True)


def _option(study: Study, name: str) -> list[pd.DataFrame]:
    """All that is measured of one of DPO's options, as per-seed frames; none where the edition lacks it."""
    option = study.policy_options().get(name)
    if option is None:
        return []
    return [measure_both(option, ["explicit"]), measure_talk(option, ["none", "explicit"])]


def beyond_reward_models(per_seed: pd.DataFrame, policies: dict[str, object]) -> pd.DataFrame:
    """Results rows of what is compared between methods: policies minus reward models under the same condition."""
    those = {"method": "reward_model", "condition": policies["condition"]}
    return difference(per_seed, SIDE_BY_SIDE, "reward_model", policies, those)


CHANGED_BY_OPTION: dict[str, dict[str, tuple[str, ...]]] = {
    "after_sft": {
        "none": ("talk_decides", "talk_fits", "accuracy", "accuracy_ceiling"),
        "explicit": ("conflict_tax", MATCHED),
    },
    "on_soft_labels": {"none": ("accuracy",), "explicit": ("conflict_tax", MATCHED, "talk_complies_with_hazard")},
}
"""What is compared between DPO as it is and each of its options, by condition."""


OPTION_COLUMNS = {"after_sft": {"sft": "after"}, "on_soft_labels": {"labels": "soft"}}
"""What names an option's rows."""


def dpo_option(study: Study, name: str, per_seed: pd.DataFrame) -> pd.DataFrame:
    """One of DPO's options minus DPO as it is (``beside_dpo``), on the first policy pair, which alone has the options;
    no row where the edition lacks this one.

    ``per_seed``: as ``policies_speak`` or ``hard_labels`` gives it; what DPO is without the option is measured here.
    """
    if name not in study.policy_options():
        return summarise(per_seed.iloc[:0])
    few, changed = (
        study.restricted_to(weak_strong_pairs=study.edition.policy_weak_strong_pairs[:1]),
        CHANGED_BY_OPTION[name],
    )
    by = few.trained_by("dpo")
    frames = [
        usual(per_seed, method="dpo", **OPTION_COLUMNS[name]),
        measure_talk(by, list(changed)),
        measure(by, ["none"], [name for name in changed["none"] if name in STATISTICS]),
        *(measure(one, ["explicit"], SIDE_BY_SIDE) for one in (few, by)),
    ]
    (names,) = few.edition.weak_strong
    return beside_dpo(name, pd.concat(frames, ignore_index=True)).assign(weak=names[0], strong=names[1])


def beside_dpo(name: str, per_seed: pd.DataFrame) -> pd.DataFrame:
    """Results rows of what an option of DPO changes; on soft labels, besides, DPO's explicit conflict minus the reward
    models', once on hard and once on soft labels."""
    usual_dpo, rows = {"method": "dpo"}, []
    changed_dpo = usual_dpo | OPTION_COLUMNS[name]
    for condition, statistics in CHANGED_BY_OPTION[name].items():
        these, those = changed_dpo | {"condition": condition}, usual_dpo | {"condition": condition}
        rows.append(difference(per_seed, statistics, UNMODIFIED, these, those))
    if name == "on_soft_labels":
        rows += [beyond_reward_models(per_seed, by | {"condition": "explicit"}) for by in (usual_dpo, changed_dpo)]
    return pd.concat(rows, ignore_index=True)


def hard_and_soft(study: Study) -> pd.DataFrame:
    """DPO's explicit conflict on hard and on soft labels, on the first policy pair: ``labels``, ``seed``, ``in_band``
    (share of training labels), ``tax``, ``churn`` (what a further no-conflict one "pays"); no row without DPO."""
    few, options, rows = study.on_policy_weak_strong_pairs(), study.policy_options(), []
    (weak, strong), (low, high) = few.edition.weak_strong[0], band(study.edition.alpha)
    by_labels = {"hard": few.trained_by("dpo"), "soft": options["on_soft_labels"]} if options else {}
    for labels, by in by_labels.items():
        for seed in study.edition.seeds:
            q = relabel(by.comparison(seed, weak, strong, "none", on="weak_label").weak, by.labelling)
            c = by.comparison(seed, weak, strong, "explicit")
            churn = replace(c, conflict=c.independent).conflict_tax()
            rows.append((labels, seed, ((q >= low) & (q < high)).mean(), c.conflict_tax(), churn))
    return pd.DataFrame(rows, columns=["labels", "seed", "in_band", "tax", "churn"])
