"""Weak supervisor, strong ceiling and strong student are one function, for reward models and for policies."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from functools import lru_cache, partial
from pathlib import Path

import numpy as np
import pandas as pd
from transformers import PreTrainedModel, PreTrainedTokenizerBase, TrainerCallback

from w2s_lib.data import load
from w2s_lib.models import checkpoints, features, pretrain
from w2s_lib.models.budget import TOKEN_BUDGET
from w2s_lib.models.scores import as_scores, encode, openings, reply_log_probs, reward_gaps, token_log_probs
from w2s_lib.specs import Checkpoint, Layer, Opinion, Pairs, Pretrain, Recipe, Texts, Train, stream
from w2s_lib.training import policy, probe, reward_model, shards
from w2s_lib.training.labels import half_of_cluster, training_pairs
from w2s_lib.training.tokens import gained


def train(
    run: Train,
    bases: Sequence[Path],
    labels: Sequence[pd.DataFrame],
    folder: Path,
    told: pd.DataFrame | None = None,
) -> None:
    """Fine-tune a model as the run says; leaves ``scores.parquet``, a policy's ``replies.parquet``, and an oracle's
    ``tokens.parquet`` (see ``tokens.gained``), in ``folder``.

    ``bases`` are the folders of what the model is made of: a pretrained model, the shards of frozen features, or none
    for a checkpoint.  Scored are the test pairs and the weak-label half: what a supervisor's students learn from, and
    what a student made of its own training pairs, and the supervisor's half where the run says ``everywhere``.
    ``told``: the tokens of the run's oracle, if it has one.
    """
    frame = _scored(run.pairs, run.everywhere)
    fitted = _reward_gaps if run.method == "reward_model" else partial(_policy_margins, told=told)
    if isinstance(run.model, Layer):
        fitted = _layer_gaps
    elif isinstance(run.recipe, Recipe) and run.recipe.frozen:
        fitted = _frozen_gaps
    margins = fitted(run, bases, training_pairs(run, labels), frame, folder)
    as_scores(frame, margins).to_parquet(folder / "scores.parquet")


def again(
    run: Train,
    bases: Sequence[Path],
    labels: Sequence[pd.DataFrame],
    folder: Path,
    watch: TrainerCallback | None = None,
) -> PreTrainedModel:
    """A reward model of the ladder, trained once more: runs leave their scores and not their weights.

    ``bases`` and ``labels`` are those of ``train``; ``watch`` is told of each step.  Nothing is stored; ``folder`` is
    what the trainer may write into.
    """
    model = reward_model.build_with_head(bases[0], run.recipe, stream(run.pairs.seed, "head", run.replica))
    reward_model.fit(model, _tokenizer(run.model, run.pairs), training_pairs(run, labels), run, folder, watch)
    return model.eval()


def watched(
    run: Train, bases: Sequence[Path], labels: Sequence[pd.DataFrame], pairs: pd.DataFrame, folder: Path
) -> np.ndarray:
    """The reward gaps of ``pairs`` while a run is trained ``again``: shape (steps + 1, pairs)."""
    watch = reward_model.Watch(_tokenizer(run.model, run.pairs), pairs, run.recipe.score_at)
    again(run, bases, labels, folder, watch)
    return np.stack(watch.gaps)


def gaps_again(run: Train, pairs: pd.DataFrame, folder: Path) -> np.ndarray:
    """Reward gaps of other pairs, shape (n,), by a reward model of a checkpoint, or of a layer of one, that learns from
    ground truth, trained once more; otherwise as ``again``."""
    learned_from = training_pairs(run, [])
    if not isinstance(run.model, Layer):
        return _reward_gaps(run, (), learned_from, pairs, folder)
    known = load.load(run.pairs)
    known = known[known["split"] != "test"]
    layer, place = f"{run.model.layer}.{run.model.pooling}", pd.Series(range(len(known)), index=known["pair_id"])
    found = _read(run.model.features.checkpoint, run.pairs, pd.concat([known, pairs]), layer)  # loads the model once
    trained, scored = np.split(found, [len(known)])
    return _head_gaps(run, learned_from, trained, trained[place.loc[learned_from["pair_id"]]], scored)


def opinion(run: Opinion, bases: Sequence[Path], tables: Sequence[pd.DataFrame], folder: Path) -> None:
    """Fit a head where truth is known, as an opinion says; leaves ``scores.parquet`` in ``folder``, of the pairs that
    runs are scored on.

    ``bases`` are the folders of what the model is made of, ``tables`` the scores of the run's ``answers``.  The head is
    the same whichever reply stands first: all that it reads changes its sign with their order.
    """
    frame = load.load(run.pairs)
    known, learned = (frame["split"] == "ground_truth").to_numpy(), (frame["split"] != "test").to_numpy()
    if run.of is None:
        found = _untuned(run.model, tuple(bases), run.pairs, apart=False, everywhere=True)
        read, ridge = found[:, :1] - found[:, 1:], 0.0
    else:
        at = lambda table, pairs: table.set_index("pair_id").loc[pairs["pair_id"], "margin"].to_numpy()
        each = [at(table, frame[known]) for table in tables[:-1]]
        unseen = each[0] if len(each) == 1 else np.where(half_of_cluster(frame[known]) == 0, each[1], each[0])
        answer = np.empty(len(frame))
        answer[known], answer[~known] = unseen, at(tables[-1], frame[~known])
        read, ridge = np.column_stack([np.sign(answer), answer, _differences(run, bases, frame)]), RIDGE
    read /= np.sqrt(np.mean(read[learned] ** 2, axis=0)) + 1e-6  # the same whichever reply stands first
    margins = read[~known] @ probe.logistic(read[known], ridge, least=None if ridge else 0.0)
    as_scores(frame[~known], margins).to_parquet(folder / "scores.parquet")


RIDGE = 1.0
"""Penalty of an opinion's head: half of it times the squared weights, on features of mean square 1."""


def _differences(run: Opinion, bases: Sequence[Path], pairs: pd.DataFrame) -> np.ndarray:
    """What the frozen model's last layer, or the one that it names, makes of all pairs, shape (pairs, hidden)."""
    if isinstance(run.model, Pretrain):
        return _of_ladder(bases[0], run.pairs)
    if isinstance(run.model, Layer):
        return features.oriented(*features.read_layer(tuple(bases), run.model), pairs)
    return _read(run.model, run.pairs, pairs).astype(np.float64)


def _read(checkpoint: Checkpoint, study: Texts, pairs: pd.DataFrame, layer: str | None = None) -> np.ndarray:
    """What a frozen model's layer, by its name in ``feature_differences``, or its last one makes of these pairs, cut as
    the study's are; shape (pairs, hidden), float32."""
    tokenizer = _tokenizer(checkpoint, study)
    chosen, rejected = encode(tokenizer, pairs)
    begin = features.begins(openings(tokenizer, pairs), chosen, rejected)
    found = features.feature_differences(shards.spread_model(checkpoints.backbone(checkpoint)), chosen, rejected, begin)
    layer = layer or list(found)[-1]
    return features.without_overflow(found[layer].float().numpy(), checkpoint, layer)


def _scored(pairs: Pairs | Texts, everywhere: bool = False) -> pd.DataFrame:
    frame = load.load(pairs)
    return frame if everywhere else frame[frame["split"] != "ground_truth"]


def _tokenizer(model: Pretrain | Checkpoint, pairs: Pairs | Texts) -> PreTrainedTokenizerBase:
    if isinstance(model, Pretrain):
        return pretrain.tokenizer(model.world)
    return checkpoints.tokenizer(model, pairs.max_tokens, pairs.truncation_side)


def _layer_gaps(
    run: Train, bases: Sequence[Path], learned_from: pd.DataFrame, scored: pd.DataFrame, folder: Path
) -> np.ndarray:
    found, row_of = features.read_layer(tuple(bases), run.model)
    of = partial(features.oriented, found, row_of)
    pairs = load.load(run.pairs)
    return _head_gaps(run, learned_from, of(pairs[pairs["split"] != "test"]), of(learned_from), of(scored))


def _frozen_gaps(
    run: Train, bases: Sequence[Path], learned_from: pd.DataFrame, scored: pd.DataFrame, folder: Path
) -> np.ndarray:
    found, pairs = _of_ladder(bases[0], run.pairs), load.load(run.pairs)
    place = pd.Series(range(len(pairs)), index=pairs["pair_id"])
    of = lambda frame: found[place.loc[frame["pair_id"]].to_numpy()]
    mixed_in = ~learned_from["pair_id"].isin(place.index)  # pairs of another objective come last
    learned = [of(learned_from[~mixed_in])]
    if mixed_in.any():
        learned.append(features.of_ladder(bases[0], learned_from[mixed_in]))
    return _head_gaps(run, learned_from, of(pairs[pairs["split"] != "test"]), np.concatenate(learned), of(scored))


@lru_cache(maxsize=4)
def _of_ladder(base: Path, pairs: Pairs) -> np.ndarray:
    """Features of all pairs of a study, the same for every run that has this model."""
    return features.of_ladder(base, load.load(pairs))


def _head_gaps(
    run: Train, learned_from: pd.DataFrame, trained: np.ndarray, learned: np.ndarray, scored: np.ndarray
) -> np.ndarray:
    """Gaps of the scored pairs by a head on their features; ``trained`` are those of both halves, for the scale."""
    scale = np.sqrt(np.mean(trained**2, axis=0)) + 1e-6  # the same whichever reply stands first
    return scored / scale @ probe.fit(learned / scale, learned_from, run)


def _reward_gaps(
    run: Train, bases: Sequence[Path], learned_from: pd.DataFrame, scored: pd.DataFrame, folder: Path
) -> np.ndarray:
    tokenizer, seed = _tokenizer(run.model, run.pairs), stream(run.pairs.seed, "head", run.replica)
    if isinstance(run.model, Checkpoint):
        model = shards.spread_model(
            checkpoints.reward_model(run.model, run.recipe.head_scale, seed, run.recipe.head_init)
        )
    else:
        model = reward_model.build_with_head(bases[0], run.recipe, seed)
    if run.recipe.epochs:
        reward_model.fit(model, tokenizer, learned_from, run, folder, **shards.batch_arguments(run.batch_size))
    if isinstance(run.model, Pretrain):  # so small that a batch is mostly overhead
        return reward_gaps(model, tokenizer, scored, token_budget=4 * TOKEN_BUDGET, score_at=run.recipe.score_at)
    return reward_gaps(model, tokenizer, scored, dtype=run.model.dtype, score_at=run.recipe.score_at)


def _language_model(model: Pretrain | Checkpoint, bases: Sequence[Path], seed: int = 0) -> PreTrainedModel:
    if isinstance(model, Checkpoint):
        return shards.spread_model(checkpoints.language_model(model, seed))
    return policy.build(bases[0])


@lru_cache(maxsize=4)
def _untuned(
    model: Pretrain | Checkpoint, bases: tuple[Path, ...], pairs: Pairs | Texts, apart: bool, everywhere: bool
) -> np.ndarray:
    """Log-probabilities of the scored replies under a pretrained model: the same for every run that begins with it."""
    frame = _scored(pairs, everywhere)
    return reply_log_probs(_language_model(model, bases), _tokenizer(model, pairs), frame, apart=apart)[0]


def _begun(
    run: Train, bases: Sequence[Path], learned_from: pd.DataFrame, folder: Path
) -> tuple[PreTrainedModel, dict[str, int]]:
    """The language model that preferences are taught to, after supervised fine-tuning if there is any; and how batches
    are divided."""
    model = _language_model(run.model, bases, stream(run.pairs.seed, "head", run.replica))
    smaller = len(learned_from) if run.recipe.order == "reshuffled" else 0  # the last batch of each epoch may be
    part = shards.batch_arguments(run.batch_size, shards.ALONE if isinstance(run.model, Checkpoint) else None, smaller)
    if run.recipe.sft_epochs:
        policy.sft(model, _tokenizer(run.model, run.pairs), learned_from, run, folder, **part)
    return model, part


def replied(run: Train, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, test: pd.DataFrame) -> pd.DataFrame:
    """What a model replies where the run's policy replies, and by its random numbers; ``test``: all test pairs.

    On a data set these are the same for every policy, so that replies differ by the policies alone.
    """
    if isinstance(run.pairs, Pairs):
        return policy.replies(model, tokenizer, test, stream(run.pairs.seed, "replies", run.replica) % 2**32)
    return policy.answers(model, tokenizer, test.head(run.replies), stream(run.pairs.seed, "replies") % 2**32)


def policy_again(
    run: Train, bases: Sequence[Path], labels: Sequence[pd.DataFrame], folder: Path
) -> tuple[PreTrainedModel, PreTrainedModel]:
    """A policy of the ladder, trained once more: as it is after its preferences, and as it was before them; otherwise
    as ``again``."""
    learned_from = training_pairs(run, labels)
    model, part = _begun(run, bases, learned_from, folder)
    before = deepcopy(model)
    policy.fit(model, _tokenizer(run.model, run.pairs), learned_from, run, folder, **part)
    return model.eval(), before.eval()


def _policy_margins(
    run: Train,
    bases: Sequence[Path],
    learned_from: pd.DataFrame,
    scored: pd.DataFrame,
    folder: Path,
    told: pd.DataFrame | None = None,
) -> np.ndarray:
    tokenizer = _tokenizer(run.model, run.pairs)
    model, part = _begun(run, bases, learned_from, folder)
    apart = run.recipe.encode_apart
    if run.method == "simpo":
        start = np.zeros((len(scored), 2))  # it has no reference
    elif not run.recipe.sft_epochs:
        start = _untuned(run.model, tuple(bases), run.pairs, apart, run.everywhere)
    else:
        start = reply_log_probs(model, tokenizer, scored, apart=apart)[0]
    before = token_log_probs(model, tokenizer, scored, apart)[0] if run.tokens else []
    policy.fit(model, tokenizer, learned_from, run, folder, told, **part)
    if run.tokens:
        after, replies = token_log_probs(model, tokenizer, scored, apart)
        gained(before, after, replies, scored).to_parquet(folder / "tokens.parquet")
    said = replied(run, model, tokenizer, scored[scored["split"] == "test"])
    said.to_parquet(folder / "replies.parquet")
    return policy.margins(model, start, tokenizer, scored, run)
