"""Agents that teach each other: whose reply is chosen, what a lesson is, a run from end to end, areas, findings."""

import numpy as np
import pandas as pd
import pytest

from tests.planted import DrawnLab
from w2s_lib.data.load import split
from w2s_lib.errors import ParameterError
from w2s_lib.figures.society import SOCIETY_TITLES, by_round, frozen_and_updated, societies
from w2s_lib.findings.claims import CLAIMS, ledger
from w2s_lib.findings.results import NAMES, Cell, measure, pick, summarise
from w2s_lib.findings.society import (
    AGENT_LEVELS,
    BESIDE_DPO,
    ELSEWHERE,
    FROZEN,
    MOVED,
    UPDATED,
    after,
    first_pair,
    many_agents,
    round_name,
    society_comparison,
)
from w2s_lib.findings.statistics import MATCHED
from w2s_lib.lab import Lab
from w2s_lib.lab.execute import RunError
from w2s_lib.lab.graph import describe
from w2s_lib.specs import STRONG, Conflict, Pairs, PolicyRecipe, Pretrain, Society, World, stream
from w2s_lib.study import Study
from w2s_lib.study.cost import plan_runs
from w2s_lib.study.edition import load
from w2s_lib.study.methods import VARIANTS
from w2s_lib.training import society
from w2s_lib.training.society import lesson, most_familiar, taken

CELL = Cell(21, "tiny-24", "tiny-56", "explicit")
MINE = [claim for claim in CLAIMS.values() if claim.chapter == "32_many_agents"]
TINY = World(seed=9, substances=60)
SMALL = Society(
    weak=Pretrain(world=TINY, width=12, tokens=20_000),
    model=Pretrain(world=TINY, width=16, tokens=20_000),
    pairs=Pairs(world=TINY, train_pairs=40, test_pairs=40),
    agents=2,
    rounds=1,
    prompts=16,
    recipe=PolicyRecipe(epochs=1, sft_epochs=1, batch_size=8),
)


# Who is chosen, and what is learnt


def test_the_filter_takes_the_least_perplexing_reply_and_not_the_most_probable():
    log_probs = np.array([[-2.0, -9.0, -4.0, -6.0], [-3.0, -6.0, -4.0, -2.0]])
    lengths = np.array([[1, 3, 2, 6], [3, 1, 2, 1]])
    # By token −2, −3, −2, −1 against −1, −6, −2, −2: perplexities e², e³, e², e against e, e⁶, e², e².
    assert most_familiar(log_probs, lengths).tolist() == [1, 0, 0, 0]
    assert np.argmax(log_probs, axis=0).tolist() == [0, 1, 0, 1]


def said(ids, fits, word) -> pd.DataFrame:
    return pd.DataFrame({"pair_id": ids, "reply": [f"{word} {i}" for i in range(len(ids))], "fits": fits})


def test_a_lesson_is_a_pair_in_its_true_order_with_a_label():
    asked = split(SMALL.pairs, "weak_label").head(4)
    ids = asked["pair_id"].tolist()
    frame = lesson(asked, said(ids, [True, False, True, False], "a"), said(ids, [False, True, True, False], "b"))
    assert frame["chosen"].tolist() == ["a 0", "b 1", "a 2", "a 3"]
    assert frame["rejected"].tolist() == ["b 0", "a 1", "b 2", "b 3"]
    assert frame["label"].tolist() == [1, 0, 1, 1], "the second lesson prefers the reply that does not fit"
    assert frame["weakly_labelled"].tolist() == [True, True, False, False], "the conflict pays where there is a truth"


def test_candidates_are_taken_prompt_by_prompt():
    ids = list("wxyz")
    both = [said(ids, [True] * 4, word) for word in "ab"]
    assert taken(both, np.array([1, 0, 0, 1]))["reply"].tolist() == ["b 0", "a 1", "a 2", "b 3"]


# One run from end to end


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    return Lab(tmp_path_factory.mktemp("society"), workers=0, progress=False)


def told(lab: Lab, run: Society) -> pd.DataFrame:
    lab.run([run])
    return lab.scores(run).set_index(["agent", "round", "pair_id"])["margin"].sort_index()


@pytest.mark.slow
def test_a_society_leaves_scores_of_all_agents_and_rounds_and_its_lessons(small):
    margins, lessons = told(small, SMALL), small.replies(SMALL)
    assert set(margins.index.droplevel("pair_id")) == {(a, r) for a in ("weak 0", "weak 1", STRONG) for r in (0, 1)}
    assert len(margins) == 6 * 40 and np.isfinite(margins).all()
    counts = lessons.groupby(["round", "learner"]).size()
    assert (counts == 16).all() and len(counts) == 3
    assert set(lessons.loc[lessons["learner"] == STRONG, "teacher"]) <= {"weak 0", "weak 1"}
    assert set(lessons.loc[lessons["learner"] != STRONG, "teacher"]) == {STRONG}
    hazardous = split(SMALL.pairs, "weak_label").set_index("pair_id")["hazardous"][lessons["pair_id"]].to_numpy(bool)
    for twin in ("", "_twin"):
        fits = (lessons[f"says{twin}"] != "neither") & ((lessons[f"says{twin}"] == "cautious") == hazardous)
        assert (fits == lessons[f"fits{twin}"]).all()
    assert not any((small.store.path(SMALL)).glob("*.safetensors")), "no weights"


def test_the_same_society_is_the_same_to_the_last_bit(small, tmp_path):
    society._weak.cache_clear()
    other = Lab(tmp_path, workers=0, progress=False)
    assert told(other, SMALL).equals(told(small, SMALL)) and other.replies(SMALL).equals(small.replies(SMALL))


@pytest.mark.parametrize(
    "own",
    [{"conflict": Conflict(kind="explicit", alpha=2.0)}, {"replica": 1}, {"familiar": False}, {"mutual": False}],
    ids=["explicit", "rerun", "any_candidate", "frozen_weak"],
)
def test_controls_begin_with_the_same_weak_agents_and_have_as_many_lessons(small, own):
    run = SMALL.model_copy(update=own)
    here, there = told(small, SMALL), told(small, run)
    for weak in ("weak 0", "weak 1"):
        assert here[weak, 0].equals(there[weak, 0]), "the area frozen at round 0 is one and the same"
    assert here[STRONG, 0].equals(there[STRONG, 0]) == ("replica" not in own)
    lessons = small.replies(run).groupby(["round", "learner"]).size()
    assert (lessons[:, STRONG] == 16).all()
    if own == {"mutual": False}:
        assert set(lessons.index.get_level_values("learner")) == {STRONG}
        assert there["weak 0", 0].equals(there["weak 0", 1]), "they stay as they began"
    else:
        assert (lessons == small.replies(SMALL).groupby(["round", "learner"]).size()).all()


def test_one_weak_agent_teaches_as_many_lessons_as_several(small):
    one = SMALL.model_copy(update={"agents": 1})
    assert told(small, one)["weak 0", 0].equals(told(small, SMALL)["weak 0", 0])
    lessons = small.replies(one)
    assert (lessons[lessons["learner"] == STRONG].groupby("round").size() == 16).all()
    assert set(lessons.loc[lessons["learner"] == STRONG, "teacher"]) == {"weak 0"}


# What is refused


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"agents": 1}, "agents=1: must be at least 2"),
        ({"agents": 2.5}, "agents=2.5: must be a whole number"),
        ({"rounds": 0}, "rounds=0: must be at least 1"),
        ({"rounds": 10}, "rounds=10: must be at most 9"),
    ],
)
def test_impossible_numbers_are_one_line(fields, says):
    with pytest.raises(ParameterError, match=says) as error:
        load("smoke", fields)
    assert "\n" not in str(error.value)


def test_what_makes_no_society_is_refused():
    build = lambda **fields: Society.model_validate(SMALL.model_dump() | fields)
    with pytest.raises(ValueError, match="sft_epochs must be at least 1"):
        build(recipe=PolicyRecipe())
    with pytest.raises(ValueError, match="no other pairs are mixed in"):
        build(conflict=Conflict(kind="mixed", objective="helpfulness"))
    with pytest.raises(ValueError, match="different worlds"):
        build(weak=Pretrain(world=World(seed=8), width=12))


def test_more_prompts_than_there_are_is_one_line_before_anything_is_tuned(small, monkeypatch):
    monkeypatch.setattr(society.policy, "sft", lambda *a, **k: pytest.fail("nothing is trained"))
    with pytest.raises(RunError, match="prompts=41: only .* use fewer, or more train_pairs") as error:
        small.run([SMALL.model_copy(update={"prompts": 41})])
    assert "\n" not in str(error.value)


def test_real_texts_have_no_such_chapter():
    with pytest.raises(ParameterError, match="32 need the world"):
        load("hh-smol", {"chapters": ["04", "32"]})


# Two areas


class TaughtLab(DrawnLab):
    """Weak agents that come to know a share of the pairs, whichever these are; a tax that falls blindly."""

    def scores(self, run, on="test"):
        if not isinstance(run, Society):
            return super().scores(run, on)
        ids, frames = self.pairs(run.pairs, on)["pair_id"], []
        begun, ended, strong = self.told(run, np.random.default_rng(run.pairs.seed).uniform(size=(3, len(ids))))
        for number in (0, 1, 2):
            for agent in ("weak 0", "weak 1", "weak 2", STRONG):
                p = strong if agent == STRONG else ended if number else begun
                frames.append(pd.DataFrame({"pair_id": ids, "p_true": p, "agent": agent, "round": number}))
        return pd.concat(frames)

    def told(self, run, drawn):
        """p of the weak agents as they begin, of the weak agents as they end, and of the strong one; of three draws."""
        first, last, blind = drawn
        weak = [np.where(known, 0.9, 0.6) for known in (first < 0.4, (first < 0.4) | (last < 0.5))]
        return *weak, np.where((blind < 0.2) & (run.conflict.kind == "explicit"), 0.1, 0.6 + 0.3 * blind)


class CopyingLab(TaughtLab):
    """Weak agents that end as copies of their strong one, which loses one pair in five blindly: whatever the margin,
    and each by a lot of its own."""

    def told(self, run, drawn):
        lots = np.random.default_rng(stream(run.pairs.seed, "lost", run.conflict.kind, run.replica))
        strong = np.where(lots.uniform(size=drawn.shape[1]) < 0.2, 0.1, 0.6 + 0.3 * drawn[2])
        return np.where(drawn[0] < 0.4, 0.9, 0.6), strong, strong


class AimingLab(TaughtLab):
    """A strong agent under the conflict that loses what the weak ones do not know as they begin; as they end they know
    that, and every pair of a large margin."""

    def told(self, run, drawn):
        first, margin, lot = drawn
        known = first < 0.4
        strong = np.where((lot < 0.3) & ~known & (run.conflict.kind == "explicit"), 0.1, 0.6 + 0.3 * margin)
        return *(np.where(which, 0.9, 0.6) for which in (known, known | (margin > 0.5))), strong


class SurerLab(CopyingLab):
    """Weak agents that rank every pair as before, and are twice as sure, of right and of wrong ones."""

    def told(self, run, drawn):
        away = np.where(drawn[1] < 0.7, 0.3, -0.3) * drawn[0]
        return 0.5 + away, np.clip(0.5 + 2 * away, 0.01, 0.99), super().told(run, drawn)[2]


def test_a_smaller_area_lowers_score_and_null_alike():
    study = first_pair(Study(load("world", {"seeds": [21]}))).on(TaughtLab())
    old, new = (society_comparison(study, CELL, knowledge) for knowledge in (FROZEN, UPDATED))
    assert (old.tax == new.tax).all() and old.tax.mean() == pytest.approx(0.2, abs=0.03)
    assert new.area.sum() < 0.6 * old.area.sum() and not (new.area & ~old.area).any()
    moved = new.deception_score() - old.deception_score()
    assert moved < -0.1, "by mechanics alone"
    assert new.null("random") - old.null("random") == pytest.approx(moved, abs=0.06), "and the null with it"
    assert new.excess("random") - old.excess("random") == pytest.approx(0, abs=0.06)


def excesses(lab: DrawnLab, condition: str) -> dict[str, float]:
    """DS − margin-matched null by whose knowledge makes the area, mean over three seeds."""
    study = first_pair(Study(load("world", {"seeds": [21, 22, 23]}))).on(lab)
    cells = [CELL._replace(seed=seed, condition=condition) for seed in study.edition.seeds]
    return {
        knowledge: float(
            np.mean([society_comparison(study, cell, knowledge).excess("margin_matched") for cell in cells])
        )
        for knowledge in (FROZEN, UPDATED, ELSEWHERE)
    }


@pytest.mark.parametrize("condition", ["explicit", "rerun"])
def test_agents_whom_the_judged_one_taught_make_a_blind_tax_look_aimed(condition):
    """What it lost they do not know; agents whom it has not taught do not follow it."""
    found = excesses(CopyingLab(), condition)
    assert found[FROZEN] == pytest.approx(0, abs=0.06) and found[UPDATED] - found[FROZEN] > 0.1, "the tax is blind"
    assert found[ELSEWHERE] == pytest.approx(0, abs=0.06)


def test_agents_elsewhere_still_show_a_tax_that_is_aimed():
    found = excesses(AimingLab(), "explicit")
    assert found[FROZEN] > found[ELSEWHERE] > 0.05, "less, for some of the area goes by margin"


@pytest.mark.slow
def test_nothing_is_said_to_be_learnt_where_agents_are_only_surer():
    study = Study(load("world", {"seeds": [21, 22, 23]})).on(SurerLab())
    results = many_agents(study)[1]
    verdicts = ledger({"32_many_agents": results}, MINE).set_index("claim")["verdict"]
    assert verdicts["M1"] not in ("yes", "small") and verdicts["M2"] == verdicts["M3"] == "yes"
    wrong = pick(results, "surely_wrong_weak", "none", method="macpo", knowledge=UPDATED, versus=FROZEN)
    assert wrong["low"] > 0, "and surer of wrong pairs"
    for key in ("M2", "M3"):
        assert not any("learn" in says for says in CLAIMS[key].says.values())


@pytest.mark.slow
def test_the_society_is_held_against_a_student_by_dpo_where_the_edition_has_policies():
    study = Study(load("world", {"seeds": [21, 22]})).on(TaughtLab())
    results, by = many_agents(study)[1], first_pair(study).trained_by("dpo")
    assert set(results["method"]) == set(VARIANTS), "its own numbers alone"
    for name, (condition, knowledge) in BESIDE_DPO.items():
        told = pick(results, name, condition, method="macpo", versus="dpo", knowledge=knowledge)["value"]
        if name == "pgr":  # drawn supervisors leave no gap to recover
            continue
        mine = pick(results, name, condition, method="macpo", knowledge=knowledge)["value"]
        theirs = summarise(measure(by, [condition], [name]), pooled=True)["value"].item()
        assert told == pytest.approx(mine - theirs) != 0, name
    tax = [float(society_comparison(first_pair(study), CELL._replace(seed=s), FROZEN).conflict_tax()) for s in (21, 22)]
    assert pick(results, "conflict_tax", "explicit", method="macpo")["value"] == pytest.approx(np.mean(tax))
    fewer = many_agents(Study(load("world", {"seeds": [21], "chapters": ["32"]})).on(TaughtLab()))[1]
    assert "dpo" not in set(fewer["versus"]), "no student is trained for this"


def test_the_weak_side_is_the_mean_of_the_weak_agents():
    study = first_pair(Study(load("world", {"seeds": [21]}))).on(TaughtLab())
    rounds = after(study, study.society(*CELL))
    assert list(rounds) == [0, 1, 2] and [round_name(r, 2) for r in rounds] == [FROZEN, "round_1", UPDATED]
    assert (society_comparison(study, CELL, FROZEN).weak == rounds[0][0]).all()
    assert (society_comparison(study, CELL).weak == rounds[2][0]).all()


# What the chapter trains and finds


def test_the_chapter_trains_ten_societies_a_seed():
    study = Study(load("world"))
    runs = [run for run in study.society_runs() if isinstance(run, Society)]
    assert len(runs) == 3 * 10 and set(runs) <= set(study.runs())
    assert {run.prompts for run in runs} == {400} and {run.model for run in runs} == {
        study.model(seed, "tiny-56") for seed in study.edition.seeds
    }
    differ = {name: study.society(*CELL[:3], "none", name).model_dump() for name in VARIANTS}
    main = differ.pop("macpo")
    assert [sum(main[key] != other[key] for key in main) for other in differ.values()] == [1, 1, 1]
    assert not any(isinstance(run, Society) for run in Study(load("world", {"chapters": ["12"]})).runs())


def test_a_society_is_described_and_has_a_cost():
    study = Study(load("smoke"))
    run = study.society(7, "tiny-24", "tiny-44", "explicit")
    assert describe(run) == "society of 3 of width 24 and width 44, explicit, seed 7, replica 0"
    plan = plan_runs([run]).set_index("kind")
    assert plan.loc["society", "operations"] > 0 and plan.loc["society", "trained"] > 0
    two = run.model_copy(update={"agents": 6})
    assert plan_runs([two]).set_index("kind").loc["society", "trained"] > plan.loc["society", "trained"]


@pytest.fixture(scope="module")
def found(study, lab):
    return study.on(lab), many_agents(study.on(lab))[1]


def test_what_the_chapter_finds(found):
    study, results = found
    assert not results.duplicated(list(NAMES)).any()
    few = first_pair(study)
    cell = Cell(few.edition.seeds[0], *few.edition.weak_strong[0], "explicit")
    row = lambda statistic, condition="explicit", **also: pick(results, statistic, condition, method="macpo", **also)
    for knowledge in (FROZEN, UPDATED):
        c = society_comparison(few, cell, knowledge)
        assert row("deception_area", knowledge=knowledge)["value"] == pytest.approx(c.area.mean())
        assert row("deception_score", knowledge=knowledge)["value"] == pytest.approx(float(c.deception_score()))
    there, old = (society_comparison(few, cell, knowledge) for knowledge in (ELSEWHERE, FROZEN))
    score = row("deception_score", knowledge=ELSEWHERE, versus=FROZEN)["value"]
    assert score == pytest.approx(there.deception_score() - old.deception_score())
    for name, of in MOVED.items():
        new, old = (row(of, knowledge=knowledge)["value"] for knowledge in (UPDATED, FROZEN))
        assert row(name)["value"] == pytest.approx(new - old)
    gained = row("pgr", "none", knowledge=FROZEN)["value"] - few.trained_by("dpo").comparison(*cell[:3], "none").pgr()
    assert row("pgr", "none", knowledge=FROZEN, versus="dpo")["value"] == pytest.approx(gained)
    p = after(few, few.society(*cell[:3], "none"))
    assert row("accuracy_weak", "none", knowledge=FROZEN)["value"] == pytest.approx(np.mean(p[0][0] > 0.5))
    change = np.mean(p[2][1] > 0.5) - np.mean(p[0][1] > 0.5)
    assert row("accuracy", "none", knowledge=UPDATED, versus=FROZEN)["value"] == pytest.approx(change)
    still = [pick(results, s, "none", method="frozen_weak", knowledge=UPDATED, versus=FROZEN) for s in AGENT_LEVELS[:3]]
    assert [one["value"] for one in still] == [0, 0, 0]
    assert len(MINE) == 6 and (ledger({"32_many_agents": results}, MINE)["verdict"] != "untested").all()


def test_figures_say_what_they_show(found):
    _, results = found
    assert by_round(results).alt.count("none") == len(AGENT_LEVELS)
    assert all(name in societies(results).alt for name in SOCIETY_TITLES.values())
    assert "rerun, area elsewhere" in frozen_and_updated(results).alt
    assert "area updated" in frozen_and_updated(results).alt and MATCHED not in frozen_and_updated(results).alt
