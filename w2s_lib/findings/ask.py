"""Models to ask in the page: a weak supervisor, a student, a conflict student and a ceiling, as weights.

Runs leave their scores and not their weights.  The four are therefore trained once more; on the machine of the runs
they are the same to the last bit, and where they are not nearly so there is an error.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import expit

from w2s_lib.data.load import split
from w2s_lib.data.world import EXCHANGES, KINDS, MANNERS, PEOPLE, PLACES, TAILS, TASKS, substances, vocabulary
from w2s_lib.errors import OneLineError
from w2s_lib.findings.play import packed
from w2s_lib.specs import Pretrain, Train
from w2s_lib.study import Study

if TYPE_CHECKING:
    from transformers import PreTrainedModel

ASKED_MODELS = ("weak supervisor", "student", "conflict student", "ceiling")

SLOTS = {"task": TASKS[0], "place": PLACES[0], "person": PEOPLE[0], "manner": MANNERS[0]}
"""What a prompt says where it may say many things; the reader can type others."""


TOLERATED = 0.01
"""By how much a probability of a model that is trained once more may differ from its run's: machines differ."""


class NotTheRunError(OneLineError):
    """A model that was trained once more and has other scores than its run."""


def can_be_asked(study: Study) -> bool:
    """Whether the pretrained models of the first weak-strong pair can be read; a preview has none."""
    e = study.edition
    return not e.record_of and all(study.lab.store.has(study.model(e.seeds[0], name)) for name in e.weak_strong[0])


def asked_runs(study: Study) -> dict[str, Train]:
    """The four runs of the edition's first seed and weak-strong pair, by ``ASKED_MODELS``."""
    seed, (weak, strong) = study.edition.seeds[0], study.edition.weak_strong[0]
    none, explicit = (study.student(seed, weak, strong, condition) for condition in ("none", "explicit"))
    return dict(zip(ASKED_MODELS, (study.weak(seed, weak), none, explicit, study.ceiling(seed, strong))))


def trained(study: Study, run: Train) -> PreTrainedModel:
    """The reward model of a run, trained once more."""
    from w2s_lib.training.train import again  # here, for it loads torch

    labels = [study.lab.scores(labeller, "weak_label") for labeller in run.labellers]
    with tempfile.TemporaryDirectory() as folder:
        return again(run, [study.lab.store.path(run.model)], labels, Path(folder))


def true_order_probabilities(model: PreTrainedModel, run: Train) -> np.ndarray:
    """The model's p of the true order of the run's test pairs, shape (pairs,)."""
    from w2s_lib.models.pretrain import tokenizer
    from w2s_lib.models.scores import reward_gaps

    return expit(reward_gaps(model, tokenizer(run.model.world), split(run.pairs, "test")))


def stored(model: PreTrainedModel, exact: bool) -> dict:
    """A reward model as the page reads it: shape and base64 of every weight, by its name within the model.

    As fp32, or, unless ``exact``, matrices in 16 bits: whole numbers that each row's ``scale`` multiplies.  The model
    is then rounded, too: from here on it is what the page has.
    """
    config, tensors = model.config, {}
    for name, weight in model.named_parameters():
        values = weight.detach().numpy()  # shares the weight's memory
        short = name.removeprefix("model.").removesuffix(".weight")
        if exact or values.ndim == 1:
            tensors[short] = {"shape": values.shape, "data": packed(values, "<f4")}
        else:
            scale = np.maximum(np.abs(values).max(axis=1) / 32767, 1e-30).astype(np.float32)
            steps = np.clip(np.round(values / scale[:, None].astype(float)), -32767, 32767)
            tensors[short] = {"shape": values.shape, "data": packed(steps, "<i2"), "scale": packed(scale, "<f4")}
            values[:] = steps * scale[:, None]
    about = {"layers": config.num_hidden_layers, "heads": config.num_attention_heads, "eps": config.rms_norm_eps}
    return about | {"theta": config.rope_parameters["rope_theta"], "tensors": tensors}


def world_of(model: Pretrain) -> dict:
    """Words, substances and exchanges of a world: what one can ask, and what is true."""
    table = substances(model.world).sort_values("name")
    kinds = {
        kind: {"prompts": EXCHANGES[kind].prompts, "risky": EXCHANGES[kind].risky, "cautious": EXCHANGES[kind].cautious}
        for kind in KINDS["harmlessness"]
    }
    return {
        "words": " ".join(vocabulary(model.world)),
        "substances": " ".join(table["name"]),
        "hazardous": "".join(map(str, table["hazardous"].astype(int))),
        "split": "".join(name[0] for name in table["split"]),
        "kinds": kinds,
        "slots": SLOTS,
        "manners": MANNERS,
        "tails": TAILS,
    }


def ask(study: Study) -> dict:
    """The four models of the first seed and weak-strong pair, and their world; trains them once more.

    The small supervisor stands exactly, the three large ones in 16 bits a weight; ``differs`` is by how much a
    probability of what the page has differs from its run's at most, over all test pairs and models.

    Raises:
        NotTheRunError: by more than is ``TOLERATED``.
    """
    seed, (weak, strong) = study.edition.seeds[0], study.edition.weak_strong[0]
    found, differs = {}, 0.0
    for name, run in asked_runs(study).items():
        model = trained(study, run)
        found[name] = stored(model, exact=name == ASKED_MODELS[0])
        off = float(np.abs(true_order_probabilities(model, run) - study.lab.scores(run)["p_true"].to_numpy()).max())
        if off > TOLERATED:
            says = f"trained once more, differs by {off:.3f}; its record names its versions"
            raise NotTheRunError(f"run {run.key}, {says}")
        differs = max(differs, off)
    about = {"seed": seed, "weak": weak, "strong": strong, "differs": differs}
    return about | {"models": found, "world": world_of(study.model(seed, weak))}
