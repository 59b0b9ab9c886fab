"""What each mitigation changes, and what it costs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from w2s_lib.findings.results import (
    PER_SEED,
    ROWS,
    SHARE,
    TAX_AND_EXCESS,
    UNMODIFIED,
    difference,
    measure,
    measure_both,
    pool,
    reads,
    summarise,
    usual,
)
from w2s_lib.lab.graph import closure
from w2s_lib.specs import Train
from w2s_lib.study import Study
from w2s_lib.study.cost import arithmetic, size, work
from w2s_lib.study.mitigations import MITIGATIONS, title

OF_A_MITIGATION = (*TAX_AND_EXCESS, "lift")


def over_ways(per_seed: pd.DataFrame) -> pd.DataFrame:
    """Bootstrapping averaged over its intermediate models: the rows of a per-seed frame that go ``via`` one, without
    it."""
    return pool(per_seed[per_seed["via"] != ""], via="")


def _tried(few: Study, mitigated: Sequence[Study], conflict: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Students without and with a conflict under no mitigation and under each, by one method: per-seed and results
    rows."""
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
    """Every mitigation on the edition's mitigation pairs, pooled, and each minus no mitigation (``versus`` is
    *unmodified*): reward models under the explicit conflict.

    Bootstrapping stands averaged over the ways, and ``via`` each intermediate model one by one."""
    return _tried(study.restricted_to(pairs=study.edition.mitigation_pairs), study.mitigated(), "explicit")


def two_remedies(study: Study) -> tuple[pd.DataFrame, pd.DataFrame]:
    """As ``what_helps``, where the paper tries its two: policies by every method, under the implicit conflict, on
    mitigation pairs that are policy pairs as well; no row where the edition has none."""
    found = []
    for method in study.edition.methods:
        if mitigated := study.mitigated_policies(method):
            pairs = dict.fromkeys(tried.edition.pairs[0] for tried in mitigated)
            found.append(_tried(study.restricted_to(pairs=list(pairs)).trained_by(method), mitigated, "implicit"))
    if not found:
        return pd.DataFrame(columns=PER_SEED), pd.DataFrame(columns=list(ROWS))
    per_seed, rows = (pd.concat(frames, ignore_index=True) for frames in zip(*found))
    return per_seed, rows


def of_the_attainable(study: Study) -> pd.DataFrame:
    """Results rows: the largest excess over the margin-matched null that was attainable under each mitigation, and
    without one, and which share of it the explicit conflict's was; each share minus that without a mitigation."""
    few = study.restricted_to(pairs=study.edition.mitigation_pairs)
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
    apart = [
        f"{word}: {', '.join(moved[side])}" for side, word in (("below", "lower"), ("above", "higher")) if moved[side]
    ]
    return f"{says}. Told from no mitigation's by their intervals: {'; '.join(apart) or 'none'}."


def costs(study: Study) -> pd.DataFrame:
    """What a student costs under each mitigation: a row each, ``mitigation``, ``via``, ``runs`` (that it needs beyond
    the weak supervisor), ``operations`` (of its arithmetic).

    Mean over seeds and pairs, for the no-conflict student and what only it needs; pretraining is left out, since an
    intermediate model is there before anybody bootstraps through it.  Operations are reckoned (``study.cost``), for
    recorded times are of machines that were more or less busy; a filter and early stopping may spare some of theirs."""
    few = study.restricted_to(pairs=study.edition.mitigation_pairs)
    rows = []
    for tried in (few, *study.mitigated()):
        spent = []
        for seed in tried.edition.seeds:
            for weak, strong in tried.edition.weak_strong:
                student = tried.student(seed, weak, strong)
                shared = {run.key for run in closure([tried.weak(seed, weak), tried.model(seed, strong)])}
                own = [run for run in closure([student]) if isinstance(run, Train) and run.key not in shared]
                spent.append((len(own), sum(arithmetic(work(run), size(run.model)) for run in own)))
        runs, operations = np.mean(spent, axis=0)
        about = {"mitigation": tried.mitigation or "none", "via": tried.via or ""}
        rows.append(about | {"runs": runs, "operations": operations})
    return pd.DataFrame(rows)
