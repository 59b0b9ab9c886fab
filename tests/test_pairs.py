"""Pairs have stable ids, and splits do not leak."""

import pandas as pd
import pytest

from w2s_lib.data.load import load, split
from w2s_lib.data.pairs import PairsError, check_disjoint, pair_id, with_ids
from w2s_lib.specs import Pairs, World

SPEC = Pairs(world=World(seed=2, substances=150), train_pairs=120, test_pairs=150)
ROW = {"prompt": ["p", "q"], "chosen": ["a", "b"], "rejected": ["c", "d"]}


def test_ids_are_stable_and_ignore_the_order():
    assert pair_id("p", "a", "b") == pair_id("p", "b", "a") == "292f6f51c4df"
    assert pair_id("p", "a", "b") != pair_id("pa", "", "b")
    assert load(SPEC)["pair_id"].tolist() == load(SPEC)["pair_id"].tolist()


@pytest.mark.parametrize("objective", ["harmlessness", "helpfulness", "politeness"])
def test_splits_share_nothing(objective):
    frame = load(SPEC, objective)
    for column in ("pair_id", "prompt", "cluster"):
        assert (frame.groupby(column)["split"].nunique() == 1).all()
    assert frame["pair_id"].is_unique
    assert frame.groupby("split").size().to_dict() == {"ground_truth": 120, "weak_label": 120, "test": 150}


def test_leaks_are_found():
    frame = load(SPEC)
    leaking = frame.assign(split=["test", *frame["split"].iloc[1:]], cluster=["shared"] * len(frame))
    with pytest.raises(PairsError, match="cluster 'shared' occurs in more than one split"):
        check_disjoint(leaking)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"chosen": ["", "b"]}, "chosen of row 0 is empty"),
        ({"prompt": ["p", None]}, "prompt of row 1 is empty or not text"),
        ({"rejected": ["c", "b"]}, "chosen and rejected of row 1 are identical"),
        ({"prompt": ["p", "p"], "chosen": ["a", "c"], "rejected": ["c", "a"]}, "row 1 repeats pair"),
    ],
)
def test_bad_pairs_are_refused_in_one_line(change, says):
    with pytest.raises(PairsError, match=says) as error:
        with_ids(pd.DataFrame(ROW | change))
    assert "\n" not in str(error.value)


def test_no_pairs_are_refused():
    with pytest.raises(PairsError, match="none given"):
        with_ids(pd.DataFrame({"prompt": [], "chosen": [], "rejected": []}))


def test_split_is_indexed_from_zero():
    assert split(SPEC, "test").index.tolist() == list(range(150))


def test_label_noise_turns_a_share_of_all_labels_around_and_less_noise_is_part_of_more():
    clean = load(SPEC)
    turned = {}
    for noise in (0.1, 0.3):
        noisy = load(SPEC.model_copy(update={"label_noise": noise}))
        assert noisy["pair_id"].tolist() == clean["pair_id"].tolist() and noisy["split"].equals(clean["split"])
        turned[noise] = noisy["chosen"] != clean["chosen"]
        assert turned[noise].mean() == pytest.approx(noise, abs=0.06)
        assert (turned[noise] == (noisy["chosen"] == clean["rejected"])).all()
    assert not (turned[0.1] & ~turned[0.3]).any()


def test_pairs_of_another_objective_have_no_label_noise():
    noisy = SPEC.model_copy(update={"label_noise": 0.3})
    assert load(noisy, "helpfulness")["chosen"].equals(load(SPEC, "helpfulness")["chosen"])
