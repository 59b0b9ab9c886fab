"""A society of policies that teach each other in rounds (MACPO, Lyu et al. 2024), as one run.

Who learns is shown two replies to a prompt: one of the other side, which it is to prefer, and one of its own negative
twin.  Where exactly one of the two fits the truth, that is the pair's true order, and the lesson its label; so the
loss of a policy, and the explicit conflict, are what they are elsewhere in the book.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from transformers import PreTrainedModel

from w2s_lib.data.load import split
from w2s_lib.data.pairs import PairsError
from w2s_lib.data.world import EXCHANGES
from w2s_lib.models.pretrain import tokenizer
from w2s_lib.models.scores import as_scores, reply_log_probs
from w2s_lib.specs import STRONG, Conflict, Pretrain, Society, Train, stream
from w2s_lib.training import policy

NONE = Conflict()

Replies = pd.DataFrame
"""A reply to each prompt, in the order of the prompts: ``pair_id``, ``reply``, ``says``, and whether it ``fits``."""


def most_familiar(log_probs: NDArray[np.float64], lengths: NDArray[np.float64]) -> NDArray[np.intp]:
    """Which candidate the learner finds least perplexing, shape (n,); the first of several.

    ``log_probs``: of every candidate's reply to each prompt under the learner, in nats; ``lengths``: its tokens; both
    (candidates, n).  Perplexity is exp(− log-probability / length) (Lyu et al. 2024, Eq. 6 and 7).
    """
    return np.argmax(log_probs / lengths, axis=0)


def lesson(asked: pd.DataFrame, preferred: Replies, other: Replies) -> pd.DataFrame:
    """The prompts with two replies as pairs in their true order: a frame that ``policy.fit`` trains on.

    ``label`` is 1 where the lesson prefers the reply that fits, 0 where it prefers the other.  Where both fit, or
    neither, there is no true order: the preferred one stands first, with the label 1, and ``weakly_labelled``, which
    tells the explicit conflict where truth is, is false.
    """
    told = (preferred["fits"] != other["fits"]).to_numpy()
    turned = told & other["fits"].to_numpy()
    first, second = preferred["reply"].to_numpy(), other["reply"].to_numpy()
    return asked.assign(
        chosen=np.where(turned, second, first),
        rejected=np.where(turned, first, second),
        label=np.where(turned, 0.0, 1.0),
        weakly_labelled=told,
    ).reset_index(drop=True)


class Agent(NamedTuple):
    """A policy, and what its negative twin replies, who learns no more."""

    name: str
    base: Pretrain
    model: PreTrainedModel
    twin_says: Replies


class Rounds:
    """What a society does with its agents, by ``policy``: tune one, ask one, have one learn, choose a teacher."""

    def __init__(self, run: Society, folder: Path) -> None:
        self.run, self.folder, self.tokenizer = run, folder, tokenizer(run.pairs.world)
        half = split(run.pairs, "weak_label")
        self.asked = half[half["kind"].isin(EXCHANGES)].head(run.prompts)
        if len(self.asked) < run.prompts:
            says = f"only {len(self.asked)} labelled pairs are about a substance; use fewer, or more train_pairs"
            raise PairsError(f"prompts={run.prompts}: {says}")

    def as_train(self, base: Pretrain, streams: str, conflict: Conflict = NONE) -> Train:
        """The recipe, the conflict and the random streams of one training, as ``policy`` takes them."""
        own = dict(method="dpo", recipe=self.run.recipe, conflict=conflict, replica=stream(streams))
        return Train(model=base, pairs=self.run.pairs, split="weak_label", **own)

    def tune(self, model: PreTrainedModel, base: Pretrain, frame: pd.DataFrame, streams: str) -> PreTrainedModel:
        """The model after supervised fine-tuning on the frame's chosen replies, in place."""
        frame = frame.assign(label=1.0)
        policy.sft(model, self.tokenizer, frame, self.as_train(base, streams), self.folder)
        return model

    def ask(self, model: PreTrainedModel, streams: str) -> Replies:
        """What a model replies to the prompts of the labelled half."""
        seed = stream(self.run.pairs.seed, "society", streams) % 2**32
        said = policy.replies(model, self.tokenizer, self.asked, seed, most=len(self.asked))
        cautious, hazardous = said["says"] == "cautious", self.asked["hazardous"].to_numpy(dtype=bool)
        return said.assign(fits=(said["says"] != "neither") & (cautious == hazardous))

    def with_replies(self, said: Replies) -> pd.DataFrame:
        """The prompts with these replies in place of the chosen ones."""
        return self.asked.assign(chosen=said["reply"].to_numpy())

    def learn(self, agent: Agent, preferred: Replies, streams: str, conflict: Conflict = NONE) -> None:
        """Have an agent prefer these replies to its twin's, by DPO from where it stands."""
        frame, told = lesson(self.asked, preferred, agent.twin_says), self.as_train(agent.base, streams, conflict)
        policy.fit(agent.model, self.tokenizer, frame, told, self.folder)

    def choose(self, learner: PreTrainedModel, candidates: Sequence[Replies], streams: str) -> NDArray[np.intp]:
        """Which agent's reply to each prompt the strong one learns from."""
        if not self.run.familiar:
            seed = stream(self.run.pairs.seed, "society", streams)
            return np.random.default_rng(seed).integers(len(candidates), size=len(self.asked))
        told = [reply_log_probs(learner, self.tokenizer, self.with_replies(said)) for said in candidates]
        return most_familiar(*(np.stack([values[:, 0] for values in both]) for both in zip(*told)))


def taken(candidates: Sequence[Replies], which: NDArray[np.intp]) -> Replies:
    """Of each prompt the reply of that candidate, in the order of the prompts."""
    parts = [said[which == k] for k, said in enumerate(candidates)]
    return pd.concat(parts).sort_index()


@lru_cache(maxsize=16)
def _weak(plain: Society, k: int, base: Path) -> Agent:
    """A weak agent as it begins: the same for every society of these models, pairs, prompts and recipe."""
    half = split(plain.pairs, "ground_truth")
    turned = half.assign(chosen=half["rejected"], rejected=half["chosen"])
    with TemporaryDirectory() as folder:  # the trainers' own
        at = Rounds(plain, Path(folder))
        model = at.tune(policy.build(base), plain.weak, half, f"weak {k}")
        twin = at.tune(policy.build(base), plain.weak, turned, f"weak {k} twin")
        return Agent(f"weak {k}", plain.weak, model, at.ask(twin, f"weak {k} twin"))


def _begin(at: Rounds, bases: Sequence[Path]) -> tuple[list[Agent], Agent]:
    """The weak agents, and the strong one, before the first round."""
    run, n = at.run, at.run.agents
    plain = Society(weak=run.weak, model=run.model, pairs=run.pairs, prompts=run.prompts, recipe=run.recipe)
    weak = [deepcopy(_weak(plain, k, bases[0])) for k in range(n)]
    of = np.arange(len(at.asked)) % n  # prompts are dealt out: as many as with one weak agent
    said = taken([at.ask(agent.model, f"{agent.name} begins") for agent in weak], of)
    model = at.tune(policy.build(bases[1]), run.model, at.with_replies(said), f"strong {run.replica}")
    badly = at.with_replies(taken([agent.twin_says for agent in weak], of))
    twin = at.tune(deepcopy(model), run.model, badly, f"strong twin {run.replica}")
    return weak, Agent(STRONG, run.model, model, at.ask(twin, f"strong twin {run.replica}"))


def live(run: Society, bases: Sequence[Path], folder: Path) -> None:
    """Do all rounds of a society; ``bases`` are the folders of the pretrained weak and strong model.

    Leaves ``scores.parquet`` in ``folder``: the test pairs' margins by every ``agent`` after every ``round`` (0: before
    the first), β times what chosen has gained over the pretrained model, minus what rejected has.  And
    ``replies.parquet``, a row a lesson: its ``round``, the ``learner``, whose reply it is to prefer (``teacher``), that
    reply and its own twin's (``reply_twin``), what each says and whether it fits.

    Raises:
        PairsError: there are fewer prompts about a substance than asked for.
    """
    at = Rounds(run, folder)
    weak, strong = _begin(at, bases)
    test, scores, lessons = split(run.pairs, "test"), [], []
    start = {
        base.key: reply_log_probs(policy.build(path), at.tokenizer, test)[0]
        for base, path in zip((run.weak, run.model), bases)
    }

    def score(agents: Sequence[Agent], after: int) -> None:
        for one in agents:
            told = at.as_train(one.base, one.name)
            margin = policy.margins(one.model, start[one.base.key], at.tokenizer, test, told)
            scores.append(as_scores(test, margin).assign(agent=one.name, round=after))

    def teach(learner: Agent, teachers: Sequence[str], preferred: Replies, after: int, **own: Conflict) -> None:
        at.learn(learner, preferred, f"{learner.name} round {after} {run.replica}", **own)
        both = preferred.merge(learner.twin_says, on="pair_id", suffixes=("", "_twin"))
        lessons.append(both.assign(round=after, learner=learner.name, teacher=teachers))

    score([*weak, strong], 0)
    for after in range(1, run.rounds + 1):
        streams = f"round {after} {run.replica}"
        candidates = [at.ask(agent.model, f"{agent.name} {streams}") for agent in weak]
        which = at.choose(strong.model, candidates, f"choose {streams}")
        names = [weak[k].name for k in which]
        teach(strong, names, taken(candidates, which), after, conflict=run.conflict)
        if run.mutual:
            said = at.ask(strong.model, f"strong {streams}")
            for agent in weak:
                teach(agent, [STRONG] * len(said), said, after)
        score([*weak, strong], after)
    pd.concat(scores, ignore_index=True).to_parquet(folder / "scores.parquet")
    pd.concat(lessons, ignore_index=True).to_parquet(folder / "replies.parquet")
