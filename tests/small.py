"""Five small runs, for tests of what does runs and keeps results.  It imports nothing that trains: a process that only
asks for runs has begun before one with a trainer in it has."""

from w2s_lib.specs import Pairs, Pretrain, Train, World

WORLD = World(seed=9, substances=60)
PAIRS = Pairs(world=WORLD, train_pairs=40, test_pairs=40)
SMALL, LARGE = (Pretrain(world=WORLD, width=w, tokens=20_000) for w in (12, 16))
WEAK = Train(model=SMALL, pairs=PAIRS, split="ground_truth")
STUDENT = Train(model=LARGE, pairs=PAIRS, split="weak_label", labels=WEAK)
RERUN = STUDENT.model_copy(update={"replica": 1})
