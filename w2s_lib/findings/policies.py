"""Policies beside reward models: what conflicts cost them, and where."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd

from w2s_lib.findings.replies import measure_talk
from w2s_lib.findings.results import (
    GENERALIZATION,
    MATCHED,
    ROWS,
    SCORES,
    UNMODIFIED,
    difference,
    measure,
    minus,
    summarise,
)
from w2s_lib.measures.metrics import band
from w2s_lib.study import Study
from w2s_lib.study.conditions import POLICY
from w2s_lib.training.labels import relabel

SIDE_BY_SIDE = ("conflict_tax", "net_change", "deception_score", MATCHED)
"""What is compared between methods."""


def preference_optimisation(study: Study) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Policies by every method of the edition beside reward models, on the edition's policy pairs, pooled.

    DPO's options stand in the columns ``labels`` and ``sft``.  Differences: each conflict minus the rerun of its
    method; each method's conflict minus the reward models'."""
    few = study.on_policy_pairs()
    reruns = ("explicit", "implicit", "rerun", "placebo")
    frames = [measure(few, ["none"], GENERALIZATION), measure(few, reruns, ("accuracy", *SCORES))]
    for method in study.edition.methods:
        by = few.trained_by(method)
        frames += [
            measure(by, ["none"], GENERALIZATION),
            measure(by, POLICY[1:], ("accuracy", *SCORES)),
            measure_talk(by, POLICY),
        ]
    for option in study.policy_options().values():
        frames += [measure(option, ["none"], GENERALIZATION), measure(option, ["explicit"], ("accuracy", *SCORES))]
        frames += [measure_talk(option, ["none", "explicit"])]
    per_seed = pd.concat(frames, ignore_index=True)
    rows = [summarise(per_seed, pooled=True)]
    for method in study.edition.methods:
        told, against = (
            (*SIDE_BY_SIDE, "talk_complies_with_hazard"),
            ("explicit", "implicit", "implicit_quarter", "placebo"),
        )
        rows.append(minus(per_seed, told, against, "rerun", method=method))
        rows += [beyond_reward_models(per_seed, {"method": method, "condition": c}) for c in ("explicit", "implicit")]
    return per_seed, pd.concat(rows, ignore_index=True)


def beyond_reward_models(per_seed: pd.DataFrame, policies: dict[str, object]) -> pd.DataFrame:
    """Results rows of what is compared between methods: these policies minus the reward models under the same
    condition."""
    those = {"method": "reward_model", "condition": policies["condition"]}
    return pd.concat(
        [difference(per_seed, s, "reward_model", policies, those) for s in SIDE_BY_SIDE], ignore_index=True
    )


def dpo_options(study: Study, per_seed: pd.DataFrame) -> pd.DataFrame:
    """DPO after supervised fine-tuning and on soft labels, each minus DPO as it is; and DPO's explicit conflict on hard
    and on soft labels minus the reward models'.  Rows of the first policy pair, which alone has the options; none where
    DPO is left out.

    ``per_seed``: as ``preference_optimisation`` gives it.
    """
    weak, strong = study.on_policy_pairs().edition.weak_strong[0]
    first = per_seed[(per_seed["weak"] == weak) & (per_seed["strong"] == strong)]
    changed = {
        "sft": {
            "none": ("talk_decides", "talk_fits", "accuracy", "accuracy_ceiling"),
            "explicit": ("conflict_tax", MATCHED),
        },
        "labels": {"none": ("accuracy",), "explicit": ("conflict_tax", MATCHED, "talk_complies_with_hazard")},
    }
    rows, options = (
        [pd.DataFrame(columns=list(ROWS))],
        {name: option.names("none") for name, option in study.policy_options().items()},
    )
    for names in options.values():
        option = {column: names[column] for column in changed if names[column]}
        usual = {"method": "dpo"}
        for condition, statistics in changed[next(iter(option))].items():
            these, those = usual | option | {"condition": condition}, usual | {"condition": condition}
            rows += [difference(first, s, UNMODIFIED, these, those) for s in statistics]
    for labels in ("", "soft") if options else ():
        rows.append(beyond_reward_models(first, {"method": "dpo", "condition": "explicit", "labels": labels}))
    return pd.concat(rows, ignore_index=True).assign(weak=weak, strong=strong)


def hard_and_soft(study: Study) -> pd.DataFrame:
    """DPO's explicit conflict on hard and on soft labels, on the first policy pair: ``labels``, ``seed``, ``in_band``
    (share of the training labels), ``tax``, ``churn`` (what a further student without a conflict "pays"); no row where
    DPO is left out."""
    weak, strong = study.on_policy_pairs().edition.weak_strong[0]
    low, high = band(study.edition.alpha)
    options, rows = study.policy_options(), []
    for labels, by in zip(
        ("hard", "soft"), [study.on_policy_pairs().trained_by("dpo"), options["on_soft_labels"]] if options else []
    ):
        for seed in study.edition.seeds:
            q = relabel(by.comparison(seed, weak, strong, "none", on="weak_label").weak, by.labelling)
            c = by.comparison(seed, weak, strong, "explicit")
            rows.append(
                (
                    labels,
                    seed,
                    ((q >= low) & (q < high)).mean(),
                    c.conflict_tax(),
                    replace(c, conflict=c.independent).conflict_tax(),
                )
            )
    return pd.DataFrame(rows, columns=["labels", "seed", "in_band", "tax", "churn"])
