"""Who is trained on what: by each method, under each mitigation, and that nothing else changes."""

import pytest

from w2s_lib.findings.results import OF_THE_STUDENT
from w2s_lib.specs import Labelling, PolicyRecipe, Recipe
from w2s_lib.study import Study
from w2s_lib.study.edition import load
from w2s_lib.study.mitigations import AGAIN, ENSEMBLE, FENCES, MITIGATIONS, TOKENS, TWO_STAGES, USUAL

WORLD = Study(load("world"))
CELL = (21, "tiny-24", "tiny-56")


@pytest.mark.parametrize("method", ["dpo", "simpo"])
def test_every_model_of_a_study_is_trained_by_its_method(method):
    study = WORLD.trained_by(method)
    runs = study.compared(*CELL, "explicit")
    assert {run.method for run in runs} == {method} and all(isinstance(run.recipe, PolicyRecipe) for run in runs)
    weak, ceiling, baseline, conflict, independent = runs
    assert baseline.labels == weak and weak.labels is None and ceiling.labels is None, (
        "the supervisor is of the same kind"
    )
    assert baseline.labelling == Labelling(hard=True), "the paper swaps pairs where the weak model disagrees"
    assert study.with_soft_labels().student(*CELL).labelling == Labelling()
    assert conflict.conflict.alpha == 0.5 and independent.replica != baseline.replica != ceiling.replica


def test_methods_take_the_editions_settings():
    study = Study(load("world", {"dpo_beta": 0.3, "simpo_beta": 2.0, "simpo_gamma": 0.5}))
    assert study.trained_by("dpo").student(*CELL).recipe.beta == 0.3
    assert (
        study.trained_by("simpo").student(*CELL).recipe.beta,
        study.trained_by("simpo").student(*CELL).recipe.gamma,
    ) == (2.0, 0.5)
    assert study.trained_by("dpo", sft_epochs=1).student(*CELL).recipe.sft_epochs == 1


@pytest.mark.parametrize(
    ("study", "unusual"),
    [
        (WORLD, {}),
        (WORLD.with_soft_labels(), {}),  # as is usual for reward models
        (WORLD.trained_by("dpo"), {"method": "dpo"}),
        (WORLD.trained_by("dpo").with_soft_labels(), {"method": "dpo", "labels": "soft"}),
        (WORLD.trained_by("dpo", sft_epochs=1), {"method": "dpo", "sft": "after"}),
        (WORLD.under_mitigation("filter"), {"mitigation": "filter"}),
        (
            WORLD.trained_by("simpo").under_mitigation("bootstrap", "tiny-36"),
            {"method": "simpo", "mitigation": "bootstrap", "via": "tiny-36"},
        ),
        (WORLD.under_mitigation("hard_labels"), {"mitigation": "hard_labels"}),
        (WORLD.aiming_at("honesty"), {"objective": "honesty"}),
    ],
)
def test_names_say_what_differs_each_in_a_column_of_its_own(study, unusual):
    usual = dict.fromkeys(OF_THE_STUDENT, "") | {"method": "reward_model", "condition": "explicit"}
    assert study.names("explicit") == usual | unusual
    assert study.names("none")["condition"] == "none"


def test_sft_that_the_editions_own_recipe_asks_for_is_as_usual():
    edition = WORLD.edition.model_copy(update={"dpo": WORLD.edition.dpo.model_copy(update={"sft_epochs": 1})})
    assert (
        Study(edition).trained_by("dpo").names("none")["sft"] == ""
        and Study(edition).trained_by("dpo", sft_epochs=2).names("none")["sft"] == "after"
    )


@pytest.mark.parametrize("name", [m for m in MITIGATIONS if m != "bootstrap"])
def test_a_mitigation_changes_students_and_nothing_else(name):
    by = WORLD.trained_by("simpo") if name in TOKENS else WORLD
    weak, ceiling, *students = by.under_mitigation(name).compared(*CELL, "explicit")
    plain_weak, plain_ceiling, *plain = by.compared(*CELL, "explicit")
    assert (weak, ceiling) == (plain_weak, plain_ceiling)
    for student, before in zip(students, plain):
        assert student != before and student.conflict == before.conflict and student.replica == before.replica


def test_bootstrapping_goes_through_an_intermediate_that_has_no_conflict():
    student = WORLD.under_mitigation("bootstrap", "tiny-36").student(*CELL, "explicit")
    middle = student.labels
    assert middle.model == WORLD.model(21, "tiny-36") and middle.labels == WORLD.weak(21, "tiny-24")
    assert middle.conflict.kind == "none" and middle.split == "weak_label" and student.conflict.kind == "explicit"


def test_an_ensemble_averages_supervisors_that_differ_in_their_replica():
    student = WORLD.under_mitigation("ensemble").student(*CELL)
    assert [run.replica for run in student.labellers] == [0, *ENSEMBLE]
    assert set(student.parents()) == {student.model, *student.labellers}


def test_a_filter_takes_the_editions_confidence():
    study = Study(load("world", {"filter_above": 0.9}))
    assert study.under_mitigation("filter").student(*CELL).labelling == Labelling(keep_above=0.9)
    assert study.under_mitigation("leaky_filter").student(*CELL).labelling == Labelling(keep_above=0.9, leaky=True)


def test_mitigations_need_weak_labels():
    gold = WORLD.under_mitigation("hard_labels").student(*CELL, "gold")
    assert gold == WORLD.student(*CELL, "gold")
    assert isinstance(gold.recipe, Recipe)


def test_the_books_runs_hold_every_method_mitigation_and_way():
    runs = WORLD.runs()
    assert {run.method for run in runs if hasattr(run, "method")} == {"reward_model", "dpo", "simpo"}
    tried = [(study.mitigation, study.via) for study in WORLD.mitigated()]
    assert [via for name, via in tried if name == "bootstrap"] == ["tiny-28", "tiny-36", "tiny-44"]
    controls = {*AGAIN, *TOKENS, *FENCES[1:]} - {*TWO_STAGES}
    assert {name for name, _ in tried} == set(MITIGATIONS) - controls, "another loss is one as well"
    fewer = (load("world", {"mitigations": ["filter"]}), load("world", {"chapters": ["13"]}))
    assert [{study.mitigation for study in Study(one).mitigated()} for one in fewer] == [{"filter"}, set(USUAL)]
    for study in WORLD.mitigated():
        assert set(study.student_runs(("none", "explicit"))) <= set(runs)


def test_an_edition_without_a_method_has_no_runs_of_it():
    study = Study(load("world", {"methods": ["simpo"]}))
    assert {run.method for run in study.policy_runs()} == {"simpo"}
