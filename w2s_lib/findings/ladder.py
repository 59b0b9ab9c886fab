"""What every model of the ladder knows: facts told, pairs ranked."""

from functools import partial

import pandas as pd

from w2s_lib.findings.results import PER_SEED, Cell, Estimate, as_row, seed_weights, summarise
from w2s_lib.measures.metrics import accuracy
from w2s_lib.study import Study


def ladder_results(study: Study) -> tuple[pd.DataFrame, pd.DataFrame]:
    """What every model of the ladder knows: all facts, and the results rows over seeds.

    The first frame has ``model`` (ordered), ``seed`` and the columns of ``pretrain.knowledge``; the second
    the statistics ``facts_known`` (share of facts whose true kind of word is the likelier one) and
    ``accuracy_ceiling``, one row a model, which stands under ``strong``.
    """
    e = study.edition
    study.lab.run(study.ladder_runs())
    facts = pd.concat(
        [study.lab.knowledge(study.model(s, m)).assign(model=m, seed=s) for m in e.models for s in e.seeds],
        ignore_index=True,
    )
    facts["model"] = pd.Categorical(facts["model"], e.models, ordered=True)
    rows = []
    for model in e.models:
        for seed in e.seeds:
            knows, ranks = study.lab.knowledge(study.model(seed, model)), study.lab.scores(study.ceiling(seed, model))
            for name, frame, clusters, run in (
                ("facts_known", knows, knows["name"], study.model(seed, model)),  # every fact is a cluster of its own
                ("accuracy_ceiling", ranks, study.clusters(seed), study.ceiling(seed, model)),
            ):
                of = partial(accuracy, frame["p_true"].to_numpy())
                estimate = Estimate({"statistic": name}, of, len(frame), [run])
                rows.append(as_row(study, Cell(seed, "", model, "none"), estimate, seed_weights(study, seed, clusters)))
    frame = pd.DataFrame(rows, columns=PER_SEED)
    return facts, summarise(frame).sort_values("statistic", kind="stable", ascending=False, ignore_index=True)
