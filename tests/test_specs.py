"""Specs are values: equal content, equal key; invalid content, no spec."""

import pytest
from pydantic import ValidationError

from w2s_lib.specs import (
    SCHEME,
    Beams,
    Conflict,
    Labelling,
    Pairs,
    PolicyRecipe,
    Pretrain,
    Recipe,
    Search,
    Train,
    World,
    stream,
)

WORLD = World(seed=3)
MODEL = Pretrain(world=WORLD, width=20)
PAIRS = Pairs(world=WORLD)
WORLD_STREAM = 9044928802395564960


def test_key_depends_on_content_only():
    assert Pretrain(width=20, world=World(seed=3)).key == MODEL.key
    assert Pretrain(width=20, world=World(seed=3), layers=2).key == MODEL.key, "a default, spelled out, is the same run"
    assert Pretrain(width=24, world=WORLD).key != MODEL.key


def test_keys_of_different_kinds_differ():
    assert World(seed=3).key != Pairs(world=WORLD).key


def test_every_science_field_changes_the_key():
    weak = Train(model=MODEL, pairs=PAIRS, split="ground_truth")
    variants = [
        weak,
        weak.model_copy(update={"split": "weak_label"}),
        weak.model_copy(update={"labels": weak}),
        weak.model_copy(update={"replica": 1}),
        weak.model_copy(update={"recipe": Recipe(epochs=3)}),
        weak.model_copy(update={"conflict": Conflict(kind="explicit", alpha=0.5)}),
        weak.model_copy(update={"conflict": Conflict(kind="explicit", alpha=1)}),
        weak.model_copy(update={"conflict": Conflict(kind="mixed", objective="politeness")}),
    ]
    assert len({v.key for v in variants}) == len(variants)


def test_defaults_are_part_of_the_scheme():
    # Keys hash what differs from the defaults.  If you changed a default on purpose, raise SCHEME and update this.
    assert SCHEME == 3
    assert World().model_dump() == {"seed": 0, "substances": 900, "zipf": 4.0, "zipf_offset": 150.0}
    assert Recipe().model_dump() == {
        "epochs": 2, "batch_size": 32, "learning_rate": 5e-4, "head_learning_rate": 1e-2, "head_scale": 0.01,
        "warmup_steps": 5, "schedule": "linear", "weight_decay": 0.0, "max_grad_norm": 1.0, "confidence_weight": 0.0,
        "patience": None, "score_at": "last_token", "head_init": "normal", "mixed_batch": "larger",
        "order": "reshuffled",
    }  # fmt: skip
    assert PolicyRecipe().model_dump() == {
        "epochs": 2, "batch_size": 32, "learning_rate": 1e-3, "warmup_steps": 5, "schedule": "linear",
        "max_grad_norm": 1.0, "beta": 1.0, "gamma": 0.0, "sft_epochs": 0, "sft_learning_rate": 1e-3,
        "sft_mean": "tokens", "mixed_batch": "larger", "order": "reshuffled", "warmup_share": None,
        "encode_apart": False,
    }  # fmt: skip
    nothing = {
        "hard": False, "floor": None, "keep_above": None, "leaky": False, "filter_by": "label", "half": None,
        "misplaced": False,
    }  # fmt: skip
    assert Labelling().model_dump() == nothing
    assert Beams().model_dump() == {"width": 2, "successors": 4, "chunk": 3}
    guide = Train(model=MODEL, pairs=PAIRS, split="ground_truth", method="dpo", recipe=PolicyRecipe())
    assert Search(model=MODEL, guide=guide).model_dump(exclude={"model", "guide", "beams"}) == {"weight": 1.0}


def test_the_loss_is_told_where_it_is_another_one():
    assert Recipe(loss="forward").key == Recipe().key == "6d446b1c02f0bca2", (
        "runs of before there was a choice keep their names"
    )
    assert Recipe(loss="reverse_kl").key != Recipe().key != Recipe(loss="reverse_cross_entropy").key
    assert Recipe.model_validate(Recipe(loss="reverse_kl").model_dump()).loss == "reverse_kl"


def test_a_first_pretraining_is_called_as_before_there_were_others():
    assert MODEL.key == "98575886c265f9ee" and "replica" not in MODEL.model_dump()
    assert MODEL.model_copy(update={"replica": 0}).key == MODEL.key != MODEL.model_copy(update={"replica": 1}).key
    assert Pretrain.model_validate(MODEL.model_copy(update={"replica": 1}).model_dump()).replica == 1


@pytest.mark.parametrize("loss", ["reverse_kl", "reverse_cross_entropy"])
def test_what_mixes_labels_needs_a_loss_that_is_linear_in_them(loss):
    with pytest.raises(ValidationError, match=f"confidence_weight mixes labels, and {loss} is not linear"):
        Recipe(loss=loss, confidence_weight=0.5)


def test_the_fence_is_told_where_it_is_another_one_and_belongs_to_the_confidence_loss():
    half = Recipe(confidence_weight=0.5)
    assert Recipe(confidence_weight=0.5, confidence_fence="half").key == half.key, "runs of before keep their names"
    quantile = Recipe(confidence_weight=0.5, confidence_fence="quantile")
    assert quantile.key != half.key and Recipe.model_validate(quantile.model_dump()) == quantile
    with pytest.raises(ValidationError, match="confidence_fence is where the confidence loss hardens opinions"):
        Recipe(confidence_fence="quantile")


def test_specs_are_frozen_and_refuse_unknown_fields():
    with pytest.raises(ValidationError):
        WORLD.seed = 4
    with pytest.raises(ValidationError):
        World(sede=4)


@pytest.mark.parametrize(
    "fields",
    [
        {"kind": "explicit"},
        {"kind": "none", "alpha": 0.5},
        {"kind": "mixed"},
        {"kind": "explicit", "alpha": 0.5, "objective": "politeness"},
    ],
)
def test_a_conflict_has_exactly_what_its_kind_uses(fields):
    with pytest.raises(ValidationError):
        Conflict(**fields)


def test_inconsistent_runs_are_refused():
    with pytest.raises(ValidationError, match="different worlds"):
        Train(model=MODEL, pairs=Pairs(world=World(seed=4)), split="ground_truth")
    with pytest.raises(ValidationError, match="never trained on"):
        Train(model=MODEL, pairs=PAIRS, split="test")


def test_parents():
    weak = Train(model=MODEL, pairs=PAIRS, split="ground_truth")
    student = Train(model=MODEL, pairs=PAIRS, split="weak_label", labels=weak)
    assert weak.parents() == (MODEL,)
    assert student.parents() == (MODEL, weak)


def test_streams_are_stable_and_distinct():
    assert stream(0, "world") == WORLD_STREAM, "all worlds would change"
    assert len({stream(s, n) for s in range(50) for n in ("world", "corpus", "head", "order")}) == 200
    assert all(0 <= stream(s) < 2**63 for s in range(50))


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"method": "dpo", "recipe": PolicyRecipe(gamma=0.5)}, "gamma is SimPO's"),
        ({"method": "dpo"}, "Recipe is no recipe for dpo"),
        ({"recipe": PolicyRecipe()}, "PolicyRecipe is no recipe for reward_model"),
        ({"labelling": Labelling(hard=True)}, "belong to weak labels"),
    ],
)
def test_a_run_refuses_what_its_method_or_labels_cannot_use(fields, says):
    pairs = Pairs(world=World())
    with pytest.raises(ValueError, match=says):
        Train(model=Pretrain(world=World(), width=24), pairs=pairs, split="weak_label", **fields)
    with pytest.raises(ValueError, match="leaky belongs to a filter"):
        Labelling(leaky=True)


def test_a_copy_with_other_fields_has_a_key_of_its_own():
    """A key is reckoned once; what was changed on the way must not keep it."""
    spec = Pretrain(world=World(seed=1), width=20)
    assert (known := spec.key) == spec.key
    for deep in (False, True):
        copied = spec.model_copy(update={"width": 24}, deep=deep)
        assert copied.key == Pretrain(world=World(seed=1), width=24).key != known
    assert spec.model_copy().key == known and spec == Pretrain(world=World(seed=1), width=20)
    assert "key" not in spec.model_dump()
