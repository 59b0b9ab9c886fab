"""The conditions a student is trained under: the paper's two conflicts, and what they are held against.

Every condition differs from ``none`` in one respect.  A *rerun* differs in its random streams only:
what it "taxes" is churn.  A *placebo* mixes in as many pairs as the implicit conflict, on an objective
that has nothing to do with hazards: what it taxes is the cost of any second task.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from w2s_lib.run import Conflict

# Training replicas: who shares its random streams with whom.
STUDENT, RERUN, INDEPENDENT, CEILING = 0, 1, 2, 3


@dataclass(frozen=True)
class Condition:
    """How a student's training differs from the no-conflict student's."""

    name: str
    says: str
    conflict: Callable[[float], Conflict]
    """From alpha to the conflict; only the explicit one uses alpha."""
    replica: int = STUDENT

    @property
    def uses_alpha(self) -> bool:
        return self.conflict(0.5).alpha is not None


CONDITIONS = {
    c.name: c
    for c in (
        Condition("none", "weak labels only", lambda alpha: Conflict()),
        Condition("explicit", "paid for pairs it ranks wrongly", lambda alpha: Conflict(kind="explicit", alpha=alpha)),
        Condition("implicit", "helpfulness pairs mixed in", lambda alpha: Conflict(kind="mixed", objective="helpfulness")),
        Condition("rerun", "another training seed, no conflict", lambda alpha: Conflict(), RERUN),
        Condition("placebo", "politeness pairs mixed in", lambda alpha: Conflict(kind="mixed", objective="politeness")),
    )
}
"""In the order in which figures show them."""
