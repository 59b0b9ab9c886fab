"""What a real model replies to harmful requests before DPO and after it: by a written rule, and by a judge.

The judge, the edition's own, is a reward model that learns from ground truth of the supervisor's half.  It has seen
none of the pairs that policies learn from, but the same pairs as the supervisor, whose labels these are; and it errs:
``reply_judge_right`` says how often it ranks the two replies of the data set as people did.  The rule reads phrases:
how often it takes people's preferred replies, and how often the others, for refusals says what it can see.
"""

from collections.abc import Iterable
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from w2s_lib.findings.claims import claims_in, ledger, word
from w2s_lib.findings.results import Cell, Estimate, difference, minus, pick, summarise, tabulate
from w2s_lib.findings.statistics import Statistic
from w2s_lib.measures.metrics import Mask, mean_over, share
from w2s_lib.specs import EXAMPLES, Judgement
from w2s_lib.study import Study
from w2s_lib.study.study import REPLIED

EXPECTED_REPLIES = claims_in(Path(__file__).with_name("real_replies.yaml"))
"""What was expected of replies on real texts, with the rule that each is told by.

:meta hide-value:
"""

OTHERS = ("before", "chosen", "rejected")
"""Who replies beside the policies: the model before any training, and people's preferred and other replies."""

JUDGED = ("reply_refuses", "reply_net_preferred")
"""Share of replies that refuse by the rule; and share that the judge prefers to the one before training, less the share
that it likes less."""


def asked(statistic: str, method: str, of: Statistic, run: Judgement, keep: Mask) -> Estimate:
    """One number about the replies of one writer, from the test pairs that are kept."""
    return Estimate({"statistic": statistic, "method": method}, of, int(keep.sum()), [run], keep=keep)


def real_replies(study: Study) -> pd.DataFrame:
    """Results rows of what policies by DPO, and the ``OTHERS`` (column ``method``), reply on real texts; each policy
    minus the model before training, the conflict minus a rerun, and people's preferred replies minus the others."""
    by = study.on_policy_weak_strong_pairs().trained_by("dpo")

    def estimates(cell: Cell) -> Iterable[Estimate]:
        run = by.judgement(*cell[:3])
        told = by.lab.replies(run).set_index("writer")
        ids = by.lab.pairs(by.pairs(cell.seed))["pair_id"]
        keep = ids.isin(told.loc["before", "pair_id"]).to_numpy()
        of = lambda writer: told.loc[writer].set_index("pair_id").loc[ids[keep]]
        writers = {"dpo": by.student(*cell).key} | ({name: name for name in OTHERS} if cell.condition == "none" else {})
        for method, writer in writers.items():
            mine = of(writer)
            refuses, liked = (mine["says"] == "refuses").to_numpy(), np.sign(mine["margin"].to_numpy())
            yield asked("reply_refuses", method, partial(share, refuses), run, keep)
            if method != "before":
                yield asked("reply_net_preferred", method, partial(mean_over, liked, np.ones_like(refuses)), run, keep)
        if cell.condition == "none":
            right = (of("chosen")["margin"] > of("rejected")["margin"]).to_numpy()
            yield asked("reply_judge_right", "judge", partial(share, right), run, keep)

    per_seed = tabulate(by, REPLIED, estimates, runs=by.judgements())
    who = lambda method, condition="none": {"method": method, "condition": condition}
    rows = [summarise(per_seed, pooled=True), minus(per_seed, JUDGED, ("explicit",), "rerun", method="dpo")]
    rows += [difference(per_seed, "reply_refuses", "before", who("dpo", c), who("before")) for c in REPLIED]
    rows.append(difference(per_seed, JUDGED, "rejected", who("chosen"), who("rejected")))
    return pd.concat(rows, ignore_index=True)


A_COIN = 0.5
"""How often a judge that sees nothing ranks two replies as people did."""

NOT_TOLD = {
    "rule": "The rule cannot tell people's preferred replies from the others: what it counts says nothing.",
    "judge": "The judge ranks people's replies no better than a coin: what it prefers says nothing.",
    "few": "So few replies refuse in a rerun that no conflict could lower their share by enough to count.",
}
"""What is said of an expectation that nothing here could have told, by what it lacked."""


def told_of_replies(results: pd.DataFrame) -> pd.DataFrame:
    """The ledger of ``EXPECTED_REPLIES`` by key; ``results``: rows of ``real_replies``.

    What goes by the rule *cannot be told* unless that tells people's two replies apart, what goes by the judge unless
    that ranks them better than chance, and a fall unless there is enough to fall.
    """
    told = ledger({"15_real_models_and_data": results}, EXPECTED_REPLIES.values()).set_index("claim")
    rule_sees = pick(results, "reply_refuses", "none", method="chosen", versus="rejected")["low"] > 0
    judge_sees = pick(results, "reply_judge_right", "none", method="judge")["low"] > A_COIN
    to_fall = pick(results, "reply_refuses", "rerun", method="dpo")["value"] >= EXPECTED_REPLIES["R3"].least_effect
    lacks = {} if judge_sees else {"R2": "judge", "R4": "judge"}
    if not rule_sees:
        lacks |= {"R1": "rule", "R3": "rule"}
    elif not to_fall:
        lacks |= {"R3": "few"}
    for key, what in lacks.items():
        told.loc[key, ["verdict", "says"]] = "blind", word(EXPECTED_REPLIES[key], "blind")
        told.loc[key, "sentence"] = NOT_TOLD[what]
    return told


def examples(study: Study) -> pd.DataFrame:
    """What the model replied to the first test prompts of the first seed before training, and the policy without a
    conflict after it: ``prompt`` (its number), ``before``, ``after``."""
    by = study.on_policy_weak_strong_pairs().trained_by("dpo")
    cell = (by.edition.seeds[0], *by.edition.weak_strong[0])
    told = by.lab.replies(by.judgement(*cell)).pivot(index="pair_id", columns="writer", values="reply")
    order = by.lab.pairs(by.pairs(cell[0]))["pair_id"]
    told = told.loc[[pair for pair in order if pair in told.index]].head(EXAMPLES).reset_index(drop=True)
    after = by.student(*cell).key
    return pd.DataFrame({"prompt": told.index + 1, "before": told["before"], "after": told[after]})
