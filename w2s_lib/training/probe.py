"""A linear reward head on frozen features, trained by the same losses as every other reward model."""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit
from transformers import get_scheduler

from w2s_lib.models.checkpoints import draw_head
from w2s_lib.specs import Train, stream
from w2s_lib.training.losses import LOSSES, confident_label, explicit_conflict, hardened
from w2s_lib.training.reward_model import WARM_UP


def logistic(x: NDArray[np.float64], ridge: float, least: float | None = None) -> NDArray[np.float64]:
    """Weights w, shape (d,), that minimise Σ −log σ(x·w) + ridge/2 w·w over pairs whose better reply stands first: a
    logistic regression without an intercept.

    ``x``: what it reads of the better reply minus the same of the other, shape (n, d).  ``least``: no weight is lower.
    """
    loss = lambda w: np.logaddexp(0, -x @ w).sum() + ridge / 2 * w @ w
    slope = lambda w: ridge * w - x.T @ expit(-x @ w)
    bounds = None if least is None else [(least, None)] * x.shape[1]
    return minimize(loss, np.zeros(x.shape[1]), jac=slope, method="L-BFGS-B", bounds=bounds).x


def fit(differences: np.ndarray, frame: pd.DataFrame, run: Train) -> np.ndarray:
    """Weights of the head, shape (hidden,), float64.

    ``differences`` are those of the training pairs, shape (pairs, hidden), with standard deviation 1; ``frame`` has the
    columns of ``training_pairs``.  Order and initial weights come from the run's replica.
    """
    recipe, seed = run.recipe, run.pairs.seed
    rng, initial = np.random.default_rng(stream(seed, "order", run.replica)), stream(seed, "head", run.replica)
    head = draw_head(differences.shape[1:], initial, recipe.head_scale, recipe.head_init).requires_grad_()
    columns = (differences, frame["label"], frame["weakly_labelled"])
    x, label, weakly = (torch.from_numpy(np.asarray(column, dtype=np.float32)) for column in columns)
    batches = -(-len(x) // run.batch_size)
    steps = recipe.epochs * batches
    optimizer = torch.optim.AdamW([head], lr=recipe.head_learning_rate, weight_decay=recipe.weight_decay)
    schedule = get_scheduler(recipe.schedule, optimizer, recipe.warmup_steps, steps)
    step = 0
    for _ in range(recipe.epochs):
        for index in np.array_split(rng.permutation(len(x)), batches):
            gap, y = x[index] @ head, label[index]
            if recipe.confidence_weight:
                grown = min(1.0, step / (WARM_UP * steps))
                opinion = hardened(gap, y, weakly[index], recipe.confidence_fence)
                y = confident_label(y, recipe.confidence_weight * grown * weakly[index], opinion)
            loss = LOSSES[recipe.loss](gap, y)
            if run.conflict.alpha is not None:
                loss = loss + explicit_conflict(gap, weakly[index], run.conflict.alpha)
            optimizer.zero_grad()
            loss.backward()
            if recipe.max_grad_norm:
                torch.nn.utils.clip_grad_norm_([head], recipe.max_grad_norm)
            optimizer.step()
            schedule.step()
            step += 1
    return head.detach().double().numpy()
