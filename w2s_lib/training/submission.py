"""What a submission makes of a study's weak labels, as a table of labels that a student can be trained on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from scipy.special import logit
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from w2s_lib.data.load import split
from w2s_lib.models import pretrain
from w2s_lib.models.scores import batches, encode
from w2s_lib.specs import Pairs, Submission, stream
from w2s_lib.training import policy, sealed

AT_ONCE = 256
"""Texts of one length that are read at once."""


@torch.inference_mode()
def last_states(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, pairs: pd.DataFrame) -> NDArray[np.float32]:
    """The last hidden state at the last token of chosen and rejected, shape (pairs, 2, width)."""
    model.eval()
    sequences = [ids for texts in encode(tokenizer, pairs) for ids in texts]
    out = np.empty((len(sequences), model.config.hidden_size), dtype=np.float32)
    for index in batches(sequences, AT_ONCE):
        ids = torch.tensor([sequences[i] for i in index])
        out[index] = model.base_model(input_ids=ids, use_cache=False).last_hidden_state[:, -1].numpy()
    return out.reshape(2, len(pairs), -1).swapaxes(0, 1)


def turned_pairs(order: int, n: int) -> NDArray[np.bool_]:
    """Of which pairs the rejected reply stands first, shape (n,)."""
    return np.random.default_rng(order).random(n) < 0.5


def _asked(frame: pd.DataFrame, order: int, weak: NDArray[np.float64], features: NDArray[np.float32]) -> sealed.Asked:
    """What a submission sees of pairs, weak probabilities of the true order and features of chosen and rejected."""
    other = turned_pairs(order, len(frame))
    first = frame["chosen"].mask(other, frame["rejected"])
    second = frame["rejected"].mask(other, frame["chosen"])
    pairs = pd.DataFrame({"prompt": frame["prompt"], "first": first, "second": second})
    both = np.where(other[:, None, None], features[:, ::-1], features)
    return sealed.Asked(pairs, np.where(other, 1 - weak, weak), both)


def rehearse(code: str, pairs: Pairs, width: int, order: int, name: str) -> None:
    """Try a submission on a study's pairs, with weak labels and features that are drawn: before anything is trained.

    Raises:
        SubmissionError: as of ``sealed.answer``.
    """
    frame, rng = split(pairs, "weak_label"), np.random.default_rng(stream(order, "rehearsal"))
    features = rng.normal(size=(len(frame), 2, width)).astype(np.float32)
    sealed.answer(code, _asked(frame, order, rng.random(len(frame)), features), name)


def label_pairs(run: Submission, base: Path, scores: pd.DataFrame, folder: Path) -> dict[str, object]:
    """Have a submission label the weak-label half; leaves ``scores.parquet`` of the pairs that it keeps in ``folder``.

    ``base`` is the folder of the student's pretrained model, ``scores`` those of the weak supervisor.  Returns a note
    for the record: how many pairs it ``kept``.
    """
    frame = split(run.pairs, "weak_label")
    weak = scores.set_index("pair_id").loc[frame["pair_id"], "p_true"].to_numpy()
    features = last_states(policy.build(base), pretrain.tokenizer(run.model.world), frame)
    labels, keep = sealed.answer(run.code, _asked(frame, run.order, weak, features))
    p = np.where(turned_pairs(run.order, len(frame)), 1 - labels, labels)
    table = pd.DataFrame({"pair_id": frame["pair_id"], "split": frame["split"], "margin": logit(p), "p_true": p})
    table[keep].to_parquet(folder / "scores.parquet", index=False)
    return {"kept": int(keep.sum())}
