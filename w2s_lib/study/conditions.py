"""The conditions a student is trained under: the paper's two conflicts, and what they are held against.

Every condition differs from its ``baseline`` in one respect.  A *rerun* differs in its random streams only: what it
"taxes" is churn.  Every student has other random streams than its baseline, so that churn is in each tax alike.  A
*placebo* mixes in as many pairs as the implicit conflict, on an objective
that has nothing to do with hazards: what it taxes is the cost of any second task.  The ``gold``
conditions learn from ground truth and are compared with a student that does: is it the weak labels, or the conflict?
"""

from collections.abc import Callable
from dataclasses import dataclass

from w2s_lib.specs import Conflict, Objective

# Training replicas: who shares its random streams with whom.  No student shares them with the baseline that it is
# compared with, or its churn would be smaller than a rerun's, and what it pays beyond a rerun too small.  (Two do:
# ``explicit_shared``, to show that; and ``untrained``, which has the baseline's first head and none of its training.)
STUDENT, BASELINE, INDEPENDENT, CEILING = 0, 1, 2, 3

STREAMS = 100
"""By so much all training replicas of a study move where it is trained once more; each is smaller."""

RIVAL: dict[Objective, Objective] = {"harmlessness": "helpfulness", "honesty": "pleasing"}
"""The objectives that supervision can aim at, and what competes with each under the implicit conflict."""


def _none(alpha: float, target: Objective) -> Conflict:
    return Conflict()


def _explicit(alpha: float, target: Objective) -> Conflict:
    return Conflict(kind="explicit", alpha=alpha)


def _implicit(share: float = 1.0) -> Callable[[float, Objective], Conflict]:
    return lambda alpha, target: Conflict(kind="mixed", objective=RIVAL[target], share=share)


def _quarter_of(part: str) -> Callable[[float, Objective], Conflict]:
    return lambda alpha, target: Conflict(kind="mixed", objective="helpfulness", share=0.25, part=part)


def _mixed(
    objective: Objective, turns: int | None = None, share: float = 1.0
) -> Callable[[float, Objective], Conflict]:
    return lambda alpha, target: Conflict(kind="mixed", objective=objective, share=share, turns=turns)


@dataclass(frozen=True)
class Condition:
    """How a student's training differs from its baseline's."""

    name: str
    says: str
    conflict: Callable[[float, Objective], Conflict]
    """From alpha and the target objective to the conflict."""
    replica: int = STUDENT
    gold: bool = False
    """Whether the student, and its baseline, learn from ground truth."""
    trained: bool = True

    def alpha(self, alpha: float) -> float:
        """``alpha`` if this condition uses it, else NaN."""
        return self.conflict(alpha, "harmlessness").alpha or float("nan")

    @property
    def baseline(self) -> str:
        """The condition without a conflict that this one is compared with."""
        return "gold" if self.gold else "none"


CONDITIONS = {
    c.name: c
    for c in (
        Condition("none", "weak labels only", _none, BASELINE),
        Condition("explicit", "paid for pairs it ranks wrongly", _explicit),
        Condition("implicit", "helpfulness pairs mixed in", _implicit()),
        Condition("rerun", "another training seed, no conflict", _none),
        Condition("placebo", "politeness pairs mixed in", _mixed("politeness")),
        Condition("placebo_eighth", "an eighth as many politeness pairs mixed in", _mixed("politeness", share=0.125)),
        Condition("implicit_eighth", "an eighth as many helpfulness pairs mixed in", _implicit(0.125)),
        Condition("implicit_quarter", "a quarter as many helpfulness pairs mixed in", _implicit(0.25)),
        Condition("implicit_half", "half as many helpfulness pairs mixed in", _implicit(0.5)),
        Condition("implicit_pandalm", "a quarter as many of PandaLM's pairs mixed in", _quarter_of("pandalm")),
        Condition(
            "implicit_llmbar", "a quarter as many of LLMBar's adversarial ones", _quarter_of("llmbar-adversarial")
        ),
        Condition(
            "explicit_shared", "paid for pairs it ranks wrongly, the baseline's own random streams", _explicit, BASELINE
        ),
        Condition("verbosity", "verbosity pairs mixed in", _mixed("verbosity")),
        Condition("implicit_in_turns", "helpfulness pairs in turns, the last one theirs", _mixed("helpfulness", 8)),
        Condition(
            "implicit_weak_last", "helpfulness pairs in turns, the last one the weak labels'", _mixed("helpfulness", 9)
        ),
        Condition("placebo_in_turns", "politeness pairs in turns, the last one theirs", _mixed("politeness", 8)),
        Condition("untrained", "no training: the pretrained model under a random head", _none, BASELINE, trained=False),
        Condition("gold", "ground truth instead of weak labels", _none, BASELINE, gold=True),
        Condition("gold_explicit", "ground truth, and paid for pairs it ranks wrongly", _explicit, gold=True),
        Condition("gold_implicit", "ground truth, helpfulness pairs mixed in", _implicit(), gold=True),
        Condition("gold_rerun", "ground truth, another training seed", _none, gold=True),
    )
}
"""In the order in which figures show them."""

CORE = ("none", "explicit", "implicit", "rerun", "placebo")
"""Trained for every weak-strong pair."""

POLICY = ("none", "explicit", "implicit", "implicit_quarter", "rerun", "placebo")
"""Trained for the edition's policy weak-strong pairs, by every method."""

CONTROLS = (
    "explicit_shared", "verbosity", "untrained", "gold", "gold_explicit", "gold_implicit", "gold_rerun",
)  # fmt: skip
"""Trained for the edition's control weak-strong pairs, beside the core."""

TURNS = {"implicit_in_turns": "implicit", "implicit_weak_last": "implicit", "placebo_in_turns": "placebo"}
"""Two aims in turn (after Kim et al. 2025), and the condition that mixes the same pairs; in worlds alone."""

DOSES = ("implicit_eighth", "implicit_quarter", "implicit_half", "implicit")
"""Helpfulness pairs by dose, each twice the one before."""

BY_PEOPLE = (*DOSES[:-1], "implicit_pandalm", "implicit_llmbar", "verbosity", "placebo_eighth")
"""Trained beside the core where people judged the helpfulness pairs: smaller doses, a quarter of one source, in which
the longer reply is mostly the better or mostly the worse one, the longer reply in their place, and a placebo at a dose
that taxed little more than a rerun on other divisions."""

OF_TUNED = ("placebo_eighth", "gold_explicit", "gold_rerun")
"""Trained beside the core where all weights of a real model are: the smaller placebo, and gold labels."""

BESIDE_THE_CORE = {"hh-smol-helpful": BY_PEOPLE, "hh-smol-tuned": OF_TUNED}
"""By the name of an edition of real texts, what chapter 15 asks for beside the core."""

ABOVE_ONE = 2.0
"""An alpha at which the explicit conflict pays on gold labels, too: the gold control is trained there as well."""

LOSS_DOSE = 1.0
"""A second alpha for other losses: at the usual one their border is almost that of cross-entropy."""
