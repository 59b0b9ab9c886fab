"""Labelling again: who labels which pair, whom a head trusts, what is refused, groups and their null, what the chapter
finds."""

from functools import partial

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit
from transformers import TrainerCallback

from tests.planted import DrawnLab
from tests.test_labels import EXPLICIT, MIXED, MODEL, PAIRS, WEAK, scores, student
from tests.test_labels import WORLD as SMALL
from w2s_lib.data.load import load as loaded
from w2s_lib.data.load import split
from w2s_lib.errors import ParameterError
from w2s_lib.figures.label_again import LABEL_GROUPS_IN_WORDS, labels, who_pays
from w2s_lib.figures.mitigations import every_mitigation
from w2s_lib.findings.claims import CLAIMS, ledger
from w2s_lib.findings.label_again import (
    CONTRAST,
    LABEL_GROUPS,
    LABELS_TRIED,
    THERE,
    group_as_area,
    label_again,
    label_groups,
    stages,
    there,
)
from w2s_lib.findings.results import NAMES, TRAINING, UNMODIFIED, UNMODIFIED_NET, pick
from w2s_lib.findings.search import _base_margins
from w2s_lib.findings.statistics import MATCHED
from w2s_lib.lab.graph import closure
from w2s_lib.measures.metrics import Comparison
from w2s_lib.models.pretrain import build_untrained, tokenizer
from w2s_lib.specs import Labelling, Opinion, Recipe, Train
from w2s_lib.study import Study
from w2s_lib.study.edition import load
from w2s_lib.study.methods import HEAD
from w2s_lib.study.mitigations import AGAIN, MITIGATIONS, TOKENS, TWO_STAGES, USUAL, WEIGHED
from w2s_lib.training import reward_model, train
from w2s_lib.training.labels import half_of_cluster, labels_of_run, training_pairs

CELL = (21, "tiny-24", "tiny-56")
WORLD = Study(load("world"))
MINE = [claim for claim in CLAIMS.values() if claim.chapter == "30_label_again"]


def q_and_p() -> tuple[np.ndarray, np.ndarray]:
    """The supervisor's p of the truth, and the first student's: sure or not, right or wrong, in all combinations."""
    four = np.array([0.95, 0.6, 0.4, 0.05])
    return np.tile(np.repeat(four, 4), 3), np.tile(four, 12)


def used(name: str, **fields) -> pd.Series:
    """Label by pair that a student under the mitigation learns from."""
    run = MITIGATIONS[name].of(student(**fields))
    frame = training_pairs(run, [scores(one) for one in (*q_and_p(), q_and_p()[1])][: len(run.labellers)])
    return frame.set_index("pair_id")["label"]


def test_the_first_student_labels_what_the_filter_dropped_and_comes_in_where_it_is_sure():
    (q, p), ids = q_and_p(), scores(0.5)["pair_id"].to_numpy()
    sure = lambda x: np.maximum(x, 1 - x) > 0.75
    expected = pd.Series(np.where(sure(q), q, p), index=ids)
    assert used("label_again").to_dict() == expected[sure(q) | sure(p)].to_dict()
    assert used("label_all_again").to_dict() == expected.to_dict()
    assert used("label_again_trusted").to_dict() == used("label_again").to_dict(), "by these labels the two are alike"
    assert used("filter").to_dict() == expected[sure(q)].to_dict()


def test_misplaced_labels_are_as_many_as_right_and_as_sure_on_the_same_pairs():
    placed, elsewhere = used("label_again"), used("label_again_misplaced")
    sure = pd.Series(np.abs(q_and_p()[0] - 0.5) > 0.25, index=scores(0.5)["pair_id"])
    assert placed.index.equals(elsewhere.index) and sorted(placed) == sorted(elsewhere) and not placed.equals(elsewhere)
    kept = placed.index[sure[placed.index]]
    assert placed[kept].equals(elsewhere[kept]), "the supervisor's labels stay where they are"


def test_cross_fitted_labels_are_of_those_who_did_not_see_the_pair():
    run = MITIGATIONS["cross_fit"].of(student())
    evens, odds = np.full(48, 0.7), np.full(48, 0.2)
    q, use, again = labels_of_run(run, [scores(p) for p in (0.9, evens, odds)])
    assert q.tolist() == [0.2, 0.7] * 24 and use.all() and again.all()
    seen = [training_pairs(stage, [scores(0.9)])["pair_id"] for stage in run.first]
    assert [len(one) for one in seen] == [24, 24] and set(seen[0]).isdisjoint(seen[1])
    assert [stage.recipe for stage in run.first] == [Recipe(**HEAD)] * 2 and run.recipe == Recipe()


def test_both_stages_have_the_conflict_but_where_the_first_is_trusted():
    for name in AGAIN:
        run = WORLD.under_mitigation(name).student(*CELL, "explicit")
        kinds = {stage.conflict.kind for stage in run.first}
        alone = name in ("trust", "own_labels")
        assert kinds == (set() if alone else {"none" if name == "label_again_trusted" else "explicit"})
        assert run.conflict.kind == "explicit"
        assert all(stage.replica == run.replica for stage in run.first)
    first = WORLD.under_mitigation("label_again").student(*CELL, "explicit").first
    assert first == (WORLD.under_mitigation("filter").student(*CELL, "explicit"),), (
        "the filter's student is trained once"
    )


def test_policies_label_again_by_what_their_filter_goes_by():
    study = Study(load("world", {"filter_by": "log_probability", "filter_above": 0.8})).trained_by("simpo")
    run = study.under_mitigation("label_again").student(*CELL, "implicit")
    asked = Labelling(hard=True, keep_above=0.8, filter_by="log_probability")
    assert run.labelling == asked and [stage.labelling for stage in run.first] == [asked]
    ids = DrawnLab().pairs(run.pairs, "weak_label")["pair_id"]
    margin = lambda size: pd.DataFrame({"pair_id": ids, "margin": size, "p_true": expit(size)})
    weak = np.where(np.arange(len(ids)) % 2 == 0, 50.0, -0.1)
    told = [margin(weak), margin(np.full(len(ids), 50.0))]
    frame = training_pairs(run.model_copy(update={"conflict": student().conflict}), told)
    assert len(frame) == len(ids) and (frame["label"] == 1).all(), (
        "rounded, and those dropped as the first student says"
    )


def test_keys_of_what_was_there_before_stay():
    """Written down before runs had first stages: a store of before is read."""
    keys = {
        "weak": WORLD.weak(21, "tiny-24").key,
        "filter": WORLD.under_mitigation("filter").student(*CELL, "explicit").key,
    }
    assert keys == {"weak": "e12691095f07050f", "filter": "994781ab45088049"}


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"labels": None, "first": (student(labelling=Labelling(half=0)),)}, "belong to weak labels"),
        ({"first": (student(),)}, "a first stage that has seen every pair labels none again"),
        ({"first": (WEAK,)}, "learns from the same supervisors on the same half"),
        ({"labelling": Labelling(misplaced=True)}, "misplaced belongs to the labels of first stages"),
        ({"opinion": Opinion(model=MODEL, pairs=PAIRS)}, "an opinion is of the first stage, or, where there is none"),
        ({"opinion": Opinion(model=MODEL, pairs=PAIRS, of=WEAK)}, "keep_above is missing"),
        ({"as_long": True}, "as long as one first stage"),
        ({"labels": None, "labelling": Labelling(half=0)}, "labelling belong to weak labels"),
    ],
)
def test_stages_that_make_no_sense_are_refused(fields, says):
    with pytest.raises(ValueError, match=says):
        student(**fields)


def test_an_unknown_name_is_one_line():
    with pytest.raises(ParameterError, match="no such mitigation; did you mean 'label_again'?") as error:
        load("smoke", {"mitigations": ["label_agan"]})
    assert "\n" not in str(error.value)


# Whom to trust


def test_as_many_labels_are_kept_as_by_the_filter_and_the_most_trusted_ones():
    (q, p), ids = q_and_p(), scores(0.5)["pair_id"].to_numpy()
    found, filtered = used("trust"), used("filter")
    assert len(found) == len(filtered) and found.to_dict() == {i: x for i, x in zip(ids, q) if i in found.index}
    trusted = pd.Series(np.where(q > 0.5, p, 1 - p), index=ids)  # the opinion's probability here is p
    assert trusted[found.index].min() > trusted.drop(found.index).max() - 1e-12 and set(found) != set(filtered)


def test_a_first_student_labels_where_it_is_trusted_and_all_pairs_are_used():
    (q, p), sure = q_and_p(), lambda x: np.maximum(x, 1 - x) > 0.75
    assert used("selective").tolist() == np.where(~sure(q) & sure(p), p, q).tolist()
    run = MITIGATIONS["selective"].of(student())
    doubted = labels_of_run(run, [scores(q), scores(p), scores(1 - p)])  # the opinion takes the other side everywhere
    assert doubted[0].tolist() == q.tolist() and doubted[1].all() and not doubted[2].any()


@pytest.mark.parametrize("conflict", [EXPLICIT, MIXED])
def test_the_filter_is_trained_for_as_many_steps_as_both_stages(conflict, tmp_path):
    class Steps(TrainerCallback):
        def on_train_end(self, args, state, control, **others):
            taken.append(state.global_step)

    both, alone = (MITIGATIONS[name].of(student(conflict=conflict)) for name in ("label_again", "equal_steps"))
    q, p = q_and_p()
    tables, taken = [scores(q), scores(p)], []
    pairs = [(both.first[0], tables[:1]), (both, tables), (alone, tables)]
    for run, told in pairs:
        model = reward_model.build_with_head(_base(tmp_path), run.recipe, 1)
        reward_model.fit(model, tokenizer(SMALL), training_pairs(run, told), run, tmp_path, Steps())
    assert taken[0] > 0 and taken[0] + taken[1] == taken[2]
    first, again = (training_pairs(run, told).drop_duplicates("pair_id") for run, told in (pairs[0], pairs[2]))
    order = dict(zip(first["pair_id"], first["label"]))
    assert dict(zip(again["pair_id"], again["label"])) == order, "the filter's pairs and labels, and no others"
    counts = training_pairs(alone, tables)["pair_id"].value_counts()
    assert 2 <= counts.min() and counts.max() - counts.min() <= 1, "each as often as any other, or once more"


def _base(folder):
    """A model that has read nothing."""
    if not (folder / "base").is_dir():
        build_untrained(MODEL).save_pretrained(folder / "base")
        tokenizer(SMALL).save_pretrained(folder / "base")
    return folder / "base"


def opinion(
    run: Opinion, folder, turned: bool = False, falsely: np.ndarray | None = None, **own: float
) -> pd.DataFrame:
    """What an opinion leaves: answers are drawn, but for ``own``, which a half's supervisor says of what it has learnt;
    with the replies of the student's half ``turned``, and with them what is answered; and with those of pairs of the
    supervisor's half whose truth is told ``falsely``."""
    frame, rng = loaded(PAIRS), np.random.default_rng(1)
    half, other = frame["split"] == "weak_label", np.zeros(len(frame), dtype=bool)
    other |= turned & half
    if falsely is not None:
        other[frame["split"] == "ground_truth"] = falsely
    chosen, rejected = frame["chosen"], frame["rejected"]
    frame = frame.assign(chosen=chosen.mask(other, rejected), rejected=rejected.mask(other, chosen))
    tables = []
    for answers in run.answers:
        margin = rng.normal(0.5, 1, len(frame))
        if own and answers.everywhere and answers.labels is None:
            learnt = frame["pair_id"].isin(training_pairs(answers, [])["pair_id"])
            margin = np.where(learnt, own["own"], margin)
        margin = np.where(turned & half, -margin, margin)
        tables.append(pd.DataFrame({"pair_id": frame["pair_id"], "margin": margin}))
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(train.load, "load", lambda pairs: frame)
        for kept in (train._of_ladder, train._untuned):
            kept.cache_clear()
        train.opinion(run, [_base(folder)], tables, folder)
        for kept in (train._of_ladder, train._untuned):
            kept.cache_clear()
    return pd.read_parquet(folder / "scores.parquet")


OPINIONS = {name: MITIGATIONS[name].of(student()) for name in ("own_labels", *WEIGHED)}


@pytest.mark.parametrize("name", OPINIONS)
def test_an_opinion_never_asks_the_truth_of_the_students_half(name, tmp_path):
    run = OPINIONS[name].opinion or OPINIONS[name].labels
    wrong = _base_margins(MODEL, _base(tmp_path), PAIRS, "ground_truth") < 0
    plain, turned = (opinion(run, tmp_path, turned=one, falsely=wrong) for one in (False, True))
    assert plain["pair_id"].tolist() == loaded(PAIRS).query("split != 'ground_truth'")["pair_id"].tolist()
    sign = np.where(plain["split"] == "weak_label", -1, 1)
    assert np.allclose(turned["margin"], sign * plain["margin"], atol=1e-6) and plain["margin"].std() > 0


def test_own_labels_are_the_pretrained_margins_at_one_temperature(tmp_path):
    run = OPINIONS["own_labels"]
    margins = {on: _base_margins(MODEL, _base(tmp_path), PAIRS, on) for on in ("ground_truth", "weak_label")}
    falsely = (margins["ground_truth"] < 0) == (np.arange(48) % 4 > 0)  # of four pairs it ranks three right
    told = opinion(run.labels, tmp_path, falsely=falsely).query("split == 'weak_label'")
    inverse = told["margin"].to_numpy() / margins["weak_label"]
    assert np.allclose(inverse, inverse[0], rtol=1e-3) and inverse[0] > 0
    loss = lambda slope: np.logaddexp(0, -slope * np.where(falsely, -1, 1) * margins["ground_truth"]).sum()
    assert all(loss(inverse[0]) < loss(inverse[0] * by) for by in (0, 0.9, 1.1))
    contrary = opinion(run.labels, tmp_path, falsely=~falsely)
    assert (contrary["p_true"] == 0.5).all(), "no temperature turns an opinion round: it says nothing"
    frame = training_pairs(run, [told])
    assert np.allclose(frame["label"], expit(margins["weak_label"] * inverse[0]), atol=1e-6)
    assert not any(parent.split == "ground_truth" for parent in closure([run]) if isinstance(parent, Train))


def test_a_supervisor_is_weighed_by_answers_on_clusters_that_were_not_learnt(tmp_path):
    run = OPINIONS["trust"].opinion
    frames = [training_pairs(half, []) for half in run.fitted_on]
    assert set(frames[0]["cluster"]).isdisjoint(frames[1]["cluster"]) and sum(map(len, frames)) == PAIRS.train_pairs
    assert (half_of_cluster(split(PAIRS, "ground_truth")) == 0).sum() == len(frames[0])
    found = [opinion(run, tmp_path, own=own)["margin"].to_numpy() for own in (-9.0, 9.0)]
    assert np.allclose(*found), "what a half's supervisor says of its own pairs is not looked at"
    selective = OPINIONS["selective"].opinion
    assert selective.fitted_on == (selective.of,) and selective.of.everywhere and selective.of.labels == WEAK


def test_they_are_tried_by_name_and_nobody_else_tries_more():
    named = load("world", {"mitigations": ["trust", "selective", "equal_steps", "own_labels"]})
    assert [study.mitigation for study in Study(named).mitigated()] == list(named.mitigations)
    tried = {study.mitigation for study in WORLD.mitigated()}
    assert tried & {*AGAIN} == {*TWO_STAGES} and not {*USUAL} & {*AGAIN, *TOKENS}
    runs = Study(load("world", {"chapters": ["05", "13"]})).runs()
    assert not any(isinstance(run, Opinion) for run in closure(runs))


# Who pays


def planted(seeks: bool, n: int = 4000) -> tuple[Comparison, np.ndarray]:
    """A tax that falls on small margins, of which the group has more, or on the group whatever its margins."""
    rng = np.random.default_rng(3)
    group = rng.uniform(size=n) < 0.3
    margin = rng.exponential(np.where(group, 0.5, 1.5))
    chance = np.where(group, 0.3, 0.05) if seeks else np.where(margin < 0.5, 0.3, 0.02)
    taxed = rng.uniform(size=n) < chance
    right = np.full(n, 0.9)
    return Comparison(right, right, expit(margin), np.where(taxed, 0.1, 0.9), expit(margin)), group


@pytest.mark.parametrize("seeks", [True, False])
def test_a_group_that_pays_by_its_margins_alone_is_told_from_one_that_is_sought(seeks):
    c, group = planted(seeks)
    rate, share, null, beyond = (float(of()) for of in there(c, group).values())
    assert rate == np.mean(c.tax[group]) > 1.5 * np.mean(c.tax[~group]), "it pays more in either case"
    assert share == np.mean(group[c.tax]) and beyond == pytest.approx(share - null)
    assert (beyond > 0.2) if seeks else abs(beyond) < 0.05
    assert (group_as_area(c, group).area == group).all() and list(there(c, group)) == list(THERE)


# What the chapter finds


def test_the_chapter_trains_what_it_needs_and_no_more():
    study = Study(load("smoke"))
    runs = study.again_runs()
    needed = {run for run in closure(runs) if isinstance(run, Train)}
    assert {"label_again", "cross_fit"} <= {one.mitigation for one in study.mitigated()}
    assert set(runs) <= set(study.runs())
    cell = (study.edition.seeds[0], *study.edition.weak_strong[0])
    assert {study.under_mitigation(name).student(*cell, "rerun") for name in ("label_again", "trust")} <= set(runs)
    assert {run.pairs for run in needed} == {study.pairs(7)}


@pytest.fixture(scope="module")
def found(study, lab):
    return study.on(lab), label_again(study.on(lab))[1]


def test_what_the_chapter_finds(found):
    study, results = found
    assert not results.duplicated(list(NAMES)).any()
    cell = (study.edition.seeds[0], *study.edition.weak_strong[0])
    supervisor, first, run = stages(study, *cell, "explicit")
    at = label_groups(study, *cell, "weak_label")
    assert (np.sum([*at.values()], axis=0) == 1).all() and tuple(at) == LABEL_GROUPS
    q, p = study.probabilities([supervisor, first], "weak_label")
    for name, group in at.items():
        of = lambda statistic: pick(results, statistic, "explicit", mitigation="label_again", subset=name, on=TRAINING)
        assert of("share_of_pairs")["value"] == pytest.approx(group.mean())
        assert of("label_right")["value"] == pytest.approx(np.mean(q[group] > 0.5), nan_ok=True)
        assert of("label_right_again")["value"] == pytest.approx(np.mean(p[group] > 0.5), nan_ok=True)
    tax = lambda study, condition: study.comparison(*cell, condition).tax.mean()
    for name in ("label_again", "trust", "selective"):
        its, row = study.under_mitigation(name), partial(pick, results, "conflict_tax", "explicit", mitigation=name)
        less = tax(its, "explicit") - tax(study, "explicit")
        assert row(versus=UNMODIFIED)["value"] == pytest.approx(less)
        churn = tax(its, "rerun") - tax(study, "rerun")
        assert row(versus=UNMODIFIED_NET)["value"] == pytest.approx(less - churn)
        assert row(versus="rerun")["value"] == pytest.approx(tax(its, "explicit") - tax(its, "rerun"))
    beyond = [pick(results, THERE[-1], "explicit", mitigation="label_again", subset=g)["value"] for g in LABEL_GROUPS]
    assert sum(beyond) == pytest.approx(0, abs=1e-9), "what one group has beyond its margins, the others lack"
    kept, back, _ = label_groups(study, *cell).values()
    rate = lambda c, group: c.tax[c.right & group].mean()
    explicit, rerun = (study.comparison(*cell, condition) for condition in ("explicit", "rerun"))
    apart = rate(explicit, back) - rate(explicit, kept)
    assert pick(results, CONTRAST, "explicit")["value"] == pytest.approx(apart, nan_ok=True)
    beyond = pick(results, CONTRAST, "explicit", versus="rerun")["value"]
    assert beyond == pytest.approx(apart - (rate(rerun, back) - rate(rerun, kept)), nan_ok=True)
    counts = [
        pick(results, "share_of_pairs", "none", mitigation=name, subset="kept", on=TRAINING)["value"]
        for name in ("label_again", "trust")
    ]
    assert counts[0] == counts[1] > 0, "trust keeps as many pairs as the filter"
    assert len(MINE) == 8 and (ledger({"30_label_again": results}, MINE)["verdict"] != "untested").all()


def test_figures_say_what_they_show(found):
    _, results = found
    assert all(name in labels(results).alt for name in LABEL_GROUPS_IN_WORDS.values())
    assert who_pays(results).alt.count("label again, came back") == 3
    drawn = every_mitigation(results).alt
    assert all(MITIGATIONS[name].title in drawn for name in LABELS_TRIED if name) and MATCHED not in drawn
