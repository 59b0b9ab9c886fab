"""The sealed challenge: what is trained for a submission, in the edition's own world and in a second one.

The second world has other seeds and another conflict dose, drawn by a secret of the teacher's.  Without one it is the
open practice secret: then whoever reads the source can draw that world, too.
"""

from __future__ import annotations

import os
from random import Random

from w2s_lib.digests import digest
from w2s_lib.errors import ParameterError
from w2s_lib.specs import stream
from w2s_lib.study.edition import WORLD
from w2s_lib.study.mitigations import PRACTICE
from w2s_lib.study.seeds import of_challenge
from w2s_lib.study.study import Study

SECRET = "W2S_CHALLENGE_SECRET"
"""Environment variable with the teacher's secret."""

SEALED_DOSES = (0.625, 0.75, 0.875)
"""Weights of the explicit conflict, one of which the second world has."""

TRIED_UNDER = ("none", "explicit", "rerun")
"""What a submission's students are trained under."""


def secret() -> str:
    """The secret of this challenge."""
    return os.environ.get(SECRET) or PRACTICE


def worlds(study: Study, secret: str) -> dict[str, Study]:
    """The study on its mitigation weak-strong pairs in its ``own`` world, and in the ``second`` one.

    Raises:
        ParameterError: its data are no world's, so that there is no second one.
    """
    e = study.edition
    if e.data != WORLD:
        raise ParameterError(
            "edition", e.name, f"its data are {e.data!r}; the challenge needs a world of its own seeds"
        )
    own = study.on_mitigation_weak_strong_pairs()
    dose = Random(stream(secret, "challenge", "dose")).choice([dose for dose in SEALED_DOSES if dose != e.alpha])
    second = own.restricted_to(seeds=of_challenge(secret, len(e.seeds))).with_parameters(alpha=dose)
    return {"own": own, "second": second}


def name_of(study: Study, secret: str) -> str:
    """8 hexadecimal digits that name a challenge: entries of other studies or secrets are not compared with its own."""
    runs = [run.key for world in worlds(study, secret).values() for run in world.student_runs(TRIED_UNDER)]
    return digest(" ".join([*runs, digest(secret)]))[:8]
