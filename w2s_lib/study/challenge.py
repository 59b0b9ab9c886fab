"""The sealed challenge: what is trained for a submission, in the edition's own world and in one that nobody has seen.

The second world has other seeds and another conflict dose, drawn by a secret of the teacher's.  Without one it is the
open practice secret: then whoever reads the source can draw that world, too.
"""

from __future__ import annotations

import os
from random import Random

from w2s_lib.digests import digest
from w2s_lib.errors import ParameterError
from w2s_lib.specs import stream
from w2s_lib.study.edition import FOLDER, WORLD
from w2s_lib.study.mitigations import MITIGATIONS, Submitted
from w2s_lib.study.seeds import of_challenge
from w2s_lib.study.study import Run, Study, distinct

SECRET = "W2S_CHALLENGE_SECRET"
"""Environment variable with the teacher's secret."""

PRACTICE = "practice"
"""The secret where there is none: open, for practice."""

DOSES = (0.625, 0.75, 0.875)
"""Weights of the explicit conflict, one of which the second world has."""

CONDITIONS = ("none", "explicit", "rerun")
"""What a submission's students are trained under."""

EXAMPLE = FOLDER.parent / "submissions" / "confidence_filter.py"
"""The worked submission."""


def secret() -> str:
    """The secret of this challenge."""
    return os.environ.get(SECRET) or PRACTICE


def worlds(study: Study, secret: str) -> dict[str, Study]:
    """The study on its mitigation pairs in its ``own`` world, and in the ``second`` one.

    Raises:
        ParameterError: its data are no world's, so that there is no second one.
    """
    e = study.edition
    if e.data != WORLD:
        raise ParameterError(
            "edition", e.name, f"its data are {e.data!r}; the challenge needs a world of its own seeds"
        )
    own = study.restricted_to(pairs=e.mitigation_pairs)
    dose = Random(stream(secret, "challenge", "dose")).choice([dose for dose in DOSES if dose != e.alpha])
    second = own.restricted_to(seeds=of_challenge(secret, len(e.seeds))).with_parameters(alpha=dose)
    return {"own": own, "second": second}


def name_of(study: Study, secret: str) -> str:
    """8 hexadecimal digits that name a challenge: entries of other studies or secrets are not compared with its own."""
    runs = [run.key for world in worlds(study, secret).values() for run in world.student_runs(CONDITIONS)]
    return digest(" ".join([*runs, digest(secret)]))[:8]


def entries_of_the_book(world: Study) -> dict[str, Study]:
    """The mitigations of the book in one world of the challenge, by name; bootstrapping goes through the middle model
    of all that lie between."""
    weak, strong = world.edition.weak_strong[0]
    ways = world.edition.ways(weak, strong)
    middle = ways[len(ways) // 2] if ways else None
    tried = {name: None for name in world.edition.mitigations if middle or not MITIGATIONS[name].bootstrap}
    return {name: world.under_mitigation(name, middle if MITIGATIONS[name].bootstrap else None) for name in tried}


def example(secret: str) -> Submitted:
    """The worked submission."""
    return Submitted(EXAMPLE.read_text(encoding="utf-8"), secret)


def runs_of_the_page(study: Study, secret: str) -> list[Run]:
    """What the challenge's page needs: all entries in the edition's own world; the second one's come with the book."""
    own = worlds(study, secret)["own"]
    tried = [own, *entries_of_the_book(own).values(), own.under_submission(example(secret))]
    return distinct(run for one in tried for run in one.student_runs(CONDITIONS))
