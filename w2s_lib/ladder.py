"""The ladder's registry: which models there are, from small to large.

A plain dictionary; the order is the rank, and *smaller* means lower in it.  Nothing here loads torch.
"""

from __future__ import annotations

from dataclasses import dataclass

from w2s_lib.run import Pretrain, World


@dataclass(frozen=True)
class Rung:
    """One model of the ladder: its width, and the learning rate at which that width pretrains well."""

    name: str
    width: int
    learning_rate: float

    def pretrain(self, world: World, tokens: int) -> Pretrain:
        """The spec of this model in one world."""
        return Pretrain(world=world, width=self.width, tokens=tokens, learning_rate=self.learning_rate)


LADDER = {
    rung.name: rung
    for rung in (
        Rung("tiny-12", 12, 1e-2),
        Rung("tiny-16", 16, 9e-3),
        Rung("tiny-20", 20, 8e-3),
        Rung("tiny-24", 24, 8e-3),
        Rung("tiny-28", 28, 7.5e-3),
        Rung("tiny-32", 32, 7e-3),
        Rung("tiny-48", 48, 5e-3),
    )
}


def rank(name: str) -> int:
    """Position on the ladder, 0 is the smallest."""
    return list(LADDER).index(name)
