"""A linear head on frozen features learns by the written losses, and repeats."""

import numpy as np
import pandas as pd
import pytest

from w2s_lib.specs import Checkpoint, Conflict, Features, Layer, Recipe, Source, Texts, Train
from w2s_lib.training.probe import fit

SOURCE = Source(name="pairs", revision="1")
LAYER = Layer(features=Features(checkpoint=Checkpoint(name="m", revision="1"), source=SOURCE), layer=3)
WEAK = Train(model=LAYER, pairs=Texts(source=SOURCE, seed=5), split="ground_truth")


def run(**fields) -> Train:
    return Train(model=LAYER, pairs=WEAK.pairs, split="weak_label", labels=WEAK, **fields)


def sigmoid(z: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-z))


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(640, 12)).astype(np.float32)
    truth = rng.normal(size=12)
    label = sigmoid(x @ truth)
    return x, pd.DataFrame({"label": label, "weakly_labelled": rng.random(640) < 0.8}), truth


@pytest.mark.parametrize("conflict", [Conflict(), Conflict(kind="explicit", alpha=0.5)])
def test_the_first_step_goes_against_the_written_gradient(data, conflict):
    """Adam's first step is the rate times the sign of the gradient, here of the loss of the paper, written out."""
    x, frame, _ = data
    recipe = dict(
        head_learning_rate=0.01,
        batch_size=len(x),
        warmup_steps=0,
        max_grad_norm=0,
        head_scale=0.3,
        schedule="constant_with_warmup",
    )
    start = fit(x, frame, run(conflict=conflict, recipe=Recipe(epochs=0, **recipe)))
    after = fit(x, frame, run(conflict=conflict, recipe=Recipe(epochs=1, **recipe)))
    d, y = x @ start, frame["label"].to_numpy()
    gradient = ((sigmoid(d) - y)[:, None] * x).mean(0)
    if conflict.alpha:
        wrong = (d <= 0) & frame["weakly_labelled"].to_numpy()
        gradient = gradient + conflict.alpha * ((wrong * sigmoid(d))[:, None] * x).mean(0)
    assert after - start == pytest.approx(-0.01 * np.sign(gradient), rel=1e-3)


def test_planted_weights_are_found_and_a_rerun_differs_in_its_streams_only(data):
    x, frame, truth = data
    recipe = Recipe(epochs=60, head_learning_rate=0.03)
    found = [fit(x, frame, run(recipe=recipe, replica=replica)) for replica in (0, 0, 1)]
    assert np.array_equal(found[0], found[1]) and not np.array_equal(found[0], found[2])
    for head in found:
        assert np.corrcoef(head, truth)[0, 1] > 0.99


def test_features_of_other_pairs_are_refused():
    with pytest.raises(ValueError, match="features are of other pairs"):
        Train(model=LAYER, pairs=Texts(source=Source(name="others", revision="1")), split="ground_truth")
