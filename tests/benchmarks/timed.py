"""What ``quick`` times, by the library that stands first on the path: today's or the last release's.

    PYTHONPATH=TREE python tests/benchmarks/timed.py

Every line of input is a name in ``WORKS``; each is answered by a line with the seconds that it took.  Only what a
release shares with this one is used.
"""

from __future__ import annotations

import itertools
import random
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import GPT2Config, GPT2ForSequenceClassification, PreTrainedTokenizerFast
from transformers.utils import logging

from w2s_lib import specs
from w2s_lib.lab import lab, store
from w2s_lib.models import scores
from w2s_lib.training import reward_model

VOCABULARY = 1000
RESULTS = 1000
"""In the store that is looked into."""


WORLD = specs.World(seed=900)
PAIRS = specs.Pairs(world=WORLD, train_pairs=300, test_pairs=300)
MODEL = specs.Pretrain(world=WORLD, width=24, tokens=10_000)
RUN = specs.Train(model=MODEL, pairs=PAIRS, split="ground_truth", recipe=specs.Recipe(epochs=1, batch_size=16))


def words() -> PreTrainedTokenizerFast:
    """One token a number."""
    backend = Tokenizer(models.WordLevel({str(i): i for i in range(VOCABULARY)}, unk_token="0"))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(tokenizer_object=backend, pad_token="0", padding_side="right")


def texts(pairs: int, draw: random.Random) -> pd.DataFrame:
    """Pairs of numbers about as long as those of HH-RLHF."""
    say = lambda few, many: " ".join(str(draw.randrange(1, VOCABULARY)) for _ in range(draw.randint(few, many)))
    rows = [(say(20, 150) + " ", say(10, 100), say(10, 100)) for _ in range(pairs)]
    frame = pd.DataFrame(rows, columns=["opening", "chosen", "rejected"])
    return frame.assign(ending="", label=1.0, weakly_labelled=False)


def gpt2() -> GPT2ForSequenceClassification:
    torch.manual_seed(0)
    size = dict(n_layer=4, n_embd=128, n_head=2, vocab_size=VOCABULARY, num_labels=1, pad_token_id=0)
    return GPT2ForSequenceClassification(GPT2Config(**size, resid_pdrop=0, embd_pdrop=0, attn_pdrop=0))


def works(folder: Path) -> dict[str, tuple[Callable[[], float], Callable[[int], object]]]:
    """For each work the clock that it is held against, and what to do, given how many times it has been done.

    Arithmetic is held against the processor's clock, so that other work on the machine counts little; what may have to
    wait for files or processes, against the wall's.
    """
    tokenizer, model, draw = words(), gpt2(), random.Random(0)
    ours = lab.Lab(folder / "store", workers=0, progress=False)
    ours.run([MODEL])
    full = store.Store(folder / "full")
    for seed in range(RESULTS):
        with full.writing(specs.World(seed=seed)):
            pass

    def step(i: int) -> None:
        reward_model.fit(model, tokenizer, texts(32, draw), RUN, folder / "step")

    def scoring(i: int) -> None:
        scores.reward_gaps(model, tokenizer, texts(96, draw))

    def look_up(i: int) -> None:
        found = [full.has(specs.World(seed=seed)) for seed in range(2 * RESULTS)]
        assert sum(found) == RESULTS

    def run(i: int) -> None:
        ours.run([RUN.model_copy(update={"replica": i})])

    return {
        "training, two steps of 16 pairs": (time.process_time, step),
        "scoring 96 pairs": (time.process_time, scoring),
        f"{2 * RESULTS:,} look-ups in a store": (time.perf_counter, look_up),
        "a run of the world": (time.perf_counter, run),
    }


def main() -> None:
    warnings.simplefilter("ignore")
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    torch.set_num_threads(1)
    answer, sys.stdout = sys.stdout, sys.stderr  # whatever the library prints is no answer
    with tempfile.TemporaryDirectory() as name:
        count, known = itertools.count(), works(Path(name))
        print(Path(specs.__file__).parent, *known, sep="\t", file=answer, flush=True)
        for line in sys.stdin:
            clock, do = known[line.strip()]
            begin = clock()
            do(next(count))
            print(clock() - begin, file=answer, flush=True)


if __name__ == "__main__":
    main()
