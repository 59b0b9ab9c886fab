"""The ladder's registry: which models there are, from small to large.

A plain dictionary; the order is the rank, and *smaller* means lower in it.  Nothing here loads torch.
"""

from __future__ import annotations

from dataclasses import dataclass

from w2s_lib.run import Pretrain, World


@dataclass(frozen=True)
class Rung:
    """One model of the ladder: its width, how many tokens it reads, and the learning rate at which it reads them well.

    Larger models read more, as they do in families of real ones; a rung stands for both.
    """

    name: str
    width: int
    tokens: int
    learning_rate: float

    def pretrain(self, world: World, reading: float = 1.0) -> Pretrain:
        """The spec of this model in one world; ``reading`` scales its tokens."""
        return Pretrain(world=world, width=self.width, tokens=round(self.tokens * reading), learning_rate=self.learning_rate)


LADDER = {
    rung.name: rung
    for rung in (
        Rung("tiny-24", 24, 850_000, 9e-3),
        Rung("tiny-28", 28, 1_000_000, 8e-3),
        Rung("tiny-36", 36, 1_250_000, 7e-3),
        Rung("tiny-44", 44, 1_600_000, 6.5e-3),
        Rung("tiny-56", 56, 2_100_000, 5.5e-3),
        Rung("tiny-72", 72, 2_700_000, 5e-3),
        Rung("tiny-96", 96, 3_500_000, 4e-3),
    )
}


def rank(name: str) -> int:
    """Position on the ladder, 0 is the smallest."""
    return list(LADDER).index(name)
