"""What policies reply on real texts: the rule by sentences, the judge by its own scores, results by planted replies."""

import html
import json
import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from docutils import nodes
from docutils.utils import new_document
from pydantic import ValidationError
from sphinx.search import WordCollector
from sphinx.search.en import SearchEnglish

from tests.test_real_edition import BAD, GOOD, dialogues
from w2s_lib.book import ship
from w2s_lib.book.chapter import open_lab
from w2s_lib.book.tables import Warned
from w2s_lib.data.load import split
from w2s_lib.data.refusals import refuses
from w2s_lib.errors import ParameterError
from w2s_lib.figures import real_texts as figures
from w2s_lib.findings.claims import CLAIMS
from w2s_lib.findings.real_replies import EXPECTED_REPLIES, NOT_TOLD, OTHERS, examples, real_replies, told_of_replies
from w2s_lib.findings.results import pick
from w2s_lib.lab import Lab
from w2s_lib.lab.graph import checkpoints_of
from w2s_lib.lab.shipped import Shipped
from w2s_lib.models import checkpoints
from w2s_lib.models.folders import CheckpointError
from w2s_lib.models.scores import openings
from w2s_lib.specs import EXAMPLES, LONGEST_REPLY, Judgement
from w2s_lib.study import Study
from w2s_lib.study.cost import plan_runs
from w2s_lib.study.edition import load
from w2s_lib.study.study import REPLIED
from w2s_lib.training import policy, shards
from w2s_lib.training.judgement import copies

ASKED = 12


@pytest.fixture(scope="module")
def study(folders, tmp_path_factory) -> Study:
    """Policies of a tiny model that reply to some of their test prompts, judged, on local pairs."""
    folder = tmp_path_factory.mktemp("replies")
    harmless = folder / "harmless.jsonl"
    harmless.write_text("\n".join(map(json.dumps, dialogues(120, (GOOD, BAD), 1))), encoding="utf-8")
    models = [f"{folders['llama']}:1", str(folders["llama"])]
    fields = {"data": str(harmless), "models": models, "weak_strong_pairs": "all", "seeds": [1], "draws": 100}
    fields |= {"train_pairs": 32, "test_pairs": 40, "max_tokens": 96, "replies": ASKED, "dtype": "float32"}
    fields["dpo"] = {"batch_size": 8, "learning_rate": 1e-2}  # so that replies change
    edition = load("hh-smol-replies", fields).model_copy(update={"judge": None})  # the model that replies
    return Study(edition).on(Lab(folder / "store", workers=0, progress=False))


@pytest.fixture(scope="module")
def judged(study) -> pd.DataFrame:
    (run,) = study.judgements()
    return study.lab.replies(run)


@pytest.mark.parametrize(
    "reply",
    [
        "I'm sorry, but no.",
        "Well, I’m really afraid I do not know.",
        "I cannot help with that.",
        "I can't say. Ask somebody else.",
        "No. That is ILLEGAL where you live.",
        "You shouldn’t do this to anybody.",
        "I don't want to talk about it.",
    ],
)
def test_the_rule_finds_what_refusals_say(reply):
    assert refuses(reply)


@pytest.mark.parametrize(
    "reply",
    [
        "",
        "Take two of them.",
        "You can do it at night.",
        "The shop says sorry.",
        "You should ask at the counter.",
        "I can.",
    ],
)
def test_the_rule_finds_no_refusal_where_none_is(reply):
    assert not refuses(reply)


@pytest.mark.parametrize("judge", [None, pytest.param("2.last", marks=pytest.mark.slow)])
def test_the_judge_is_the_reward_model_that_it_names(study, judged, folders, judge):
    """Its margins over the model's own replies differ by what the same run, trained by itself, gives the pairs."""
    if judge is not None:
        named = study.edition.model_copy(update={"judge": f"{folders['llama']}@{judge}"})
        study = replace(study, edition=named).on(study.lab)
        judged = study.lab.replies(*study.judgements())
    (run,) = study.judgements()
    assert run.judge.labels is None and run.judge.split == "ground_truth"
    assert run.reader.name == run.model.name and (run.judge.model == run.model) == (judge is None)
    pairs = split(run.pairs, "test").head(ASKED)
    whole = pairs[["chosen", "rejected"]].map(lambda text: len(text.strip()) <= LONGEST_REPLY).all(axis=1)  # of bytes
    assert whole.sum() > 3
    pairs = pairs[whole]
    by = judged.set_index(["writer", "pair_id"])["margin"]
    ours = by["chosen"][pairs["pair_id"]].to_numpy() - by["rejected"][pairs["pair_id"]].to_numpy()
    scores = study.lab.scores(run.judge).set_index("pair_id")["margin"][pairs["pair_id"]].to_numpy()
    near = 1e-4 if judge is None else 1e-3  # features are of half precision
    assert np.std(scores) > 10 * near, "else nothing is compared"
    np.testing.assert_allclose(ours, scores, atol=near)
    assert (by["before"] == 0).all() and not (by[run.policies[0].key] == 0).all()


def test_every_writer_replies_to_the_same_first_prompts_and_few_words_leave_the_run(study, judged):
    (run,) = study.judgements()
    test = split(run.pairs, "test")
    writers = [*OTHERS, *(policy.key for policy in run.policies)]
    assert len(run.policies) == len(REPLIED) and list(judged["writer"].unique()) == writers
    for writer in writers:
        assert judged.loc[judged["writer"] == writer, "pair_id"].tolist() == test["pair_id"].head(ASKED).tolist()
    own = judged[judged["writer"] == "chosen"]
    assert own["says"].tolist() == ["refuses" if refuses(text) else "answers" for text in test["chosen"].head(ASKED)]
    kept = judged[judged["reply"] != ""]
    assert set(kept["writer"]) <= {"before", run.policies[0].key}
    assert set(kept["pair_id"]) <= set(test["pair_id"].head(EXAMPLES))
    shown = examples(study)
    assert len(shown) == EXAMPLES and shown["before"].tolist() == kept.loc[kept["writer"] == "before", "reply"].tolist()


def test_replies_depend_on_the_policy_alone_and_are_those_of_its_weights(study, judged):
    """A policy that learns nothing replies as before: random numbers are the same for all."""
    (run,) = study.judgements()
    still = run.policies[0].recipe.model_copy(update={"learning_rate": 1e-12})
    same = run.policies[0].model_copy(update={"recipe": still})
    table = study.lab.replies(same).head(EXAMPLES)
    before = judged[judged["writer"] == "before"].head(EXAMPLES)
    assert table["reply"].tolist() == before["reply"].tolist() and any(table["reply"])


def test_a_reply_that_ends_early_leaves_the_random_numbers_of_others_alone(study, monkeypatch):
    """In batches of which some end at once: a model that is sure of the end changes no other prompt's reply."""
    (run,) = study.judgements()
    model, words = checkpoints.language_model(run.model), checkpoints.tokenizer(run.model, 96)
    asked = split(run.pairs, "test").head(ASKED)
    monkeypatch.setattr(policy, "PROMPTS_AT_ONCE", 3)
    freely = policy.answers(model, words, asked, seed=7)["reply"].tolist()
    sampled = policy._sampled

    def ends_at_once(model, tokenizer, prompts, most, **ends):
        said = sampled(model, tokenizer, prompts, most, **ends)
        assert said.shape == (3, most), "whatever ends, as many numbers are drawn"
        if prompts[0] == openings(words, asked)[0]:
            said[:, 0] = tokenizer.eos_token_id
        return said

    monkeypatch.setattr(policy, "_sampled", ends_at_once)
    ended = policy.answers(model, words, asked, seed=7)["reply"].tolist()
    assert ended[:3] == [""] * 3 and ended[3:] == freely[3:] and all(freely)


def test_replies_of_people_are_cut_as_sampled_ones_are(study):
    words = checkpoints.tokenizer(study.judgements()[0].model, 96)  # of bytes
    assert (
        policy.begin_of(words, " " + "x" * 100) == "x" * LONGEST_REPLY and policy.begin_of(words, " short ") == "short"
    )


def test_copies_of_the_data_are_found():
    texts = ["How would one two three four five six seven eight do it", "no"]
    assert copies("Well one two three four five six seven eight", texts)
    assert not copies("one two three four five six seven nine eight", texts) and not copies("no", texts)


def test_what_is_shipped_is_the_judgement_and_no_other_words(study, judged, tmp_path, monkeypatch):
    monkeypatch.setattr(ship, "FOLDER", tmp_path)
    shipped = ship.ship(study)
    (run,) = study.judgements()
    assert shipped.has(run) and shipped.has(run.policies[0])
    assert set(shipped.table("replies")["key"]) == {run.key}
    elsewhere = Lab(tmp_path / "empty", workers=0, progress=False, shipped=Shipped(shipped.folder))
    pd.testing.assert_frame_equal(elsewhere.replies(run), judged)
    here, there = real_replies(study), real_replies(study.on(elsewhere))
    assert elsewhere.trained == 0
    pd.testing.assert_frame_equal(here, there)


@pytest.fixture
def planted(study, judged, monkeypatch) -> pd.DataFrame:
    """Results rows of replies of which before one refuses, after all but one, in a rerun half, and people's as told."""
    (run,) = study.judgements()
    none, explicit, rerun = (policy.key for policy in run.policies)
    refuse = {"before": 1, none: ASKED - 1, explicit: 3, rerun: 6, "chosen": 9, "rejected": 3}
    margin = {"before": 0.0, none: 1.0, explicit: -1.0, rerun: 0.0, "chosen": 2.0, "rejected": 1.0}
    place = judged.groupby("writer").cumcount()
    says = np.where(place < judged["writer"].map(refuse), "refuses", "answers")
    liked = judged["writer"].map(margin) * np.where(place == 0, -1, 1)
    monkeypatch.setattr(Lab, "replies", lambda self, run: judged.assign(says=says, margin=liked))
    return real_replies(study)


def test_planted_replies_are_found(planted):
    value = lambda name, condition="none", **also: pick(planted, name, condition, **{"method": "dpo"} | also)["value"]
    share = lambda n: pytest.approx(n / ASKED)
    assert value("reply_refuses") == share(ASKED - 1) and value("reply_refuses", method="before") == share(1)
    assert value("reply_refuses", versus="before") == share(ASKED - 2)
    assert value("reply_refuses", "rerun", versus="before") == share(5)
    assert value("reply_refuses", "explicit", versus="rerun") == share(-3)
    assert value("reply_net_preferred") == share(ASKED - 2) == -value("reply_net_preferred", "explicit")
    assert value("reply_net_preferred", "rerun") == 0, "the same reply is preferred by nobody"
    assert value("reply_judge_right", method="judge") == share(ASKED - 1)
    assert value("reply_refuses", method="chosen", versus="rejected") == share(6)
    row = pick(planted, "reply_refuses", "explicit", method="dpo", versus="rerun")
    assert row["low"] < row["value"] < row["high"] and row["n_pairs"] == ASKED
    assert not set(EXPECTED_REPLIES) & set(CLAIMS), "names of their own"
    assert value("reply_net_preferred", "explicit", versus="rerun") == share(2 - ASKED)
    assert told_of_replies(planted)["verdict"].to_dict() == {"R1": "yes", "R2": "yes", "R3": "undecided", "R4": "yes"}
    figure = figures.real_replies(planted)
    assert "before training 8.3 %" in figure.alt and "people did" in figure.caption


def with_value(results: pd.DataFrame, statistic: str, value: float, low: float, high: float, **names: str):
    """Results with another interval in the row of these names."""
    its = results["statistic"] == statistic
    for name, wanted in ({"condition": "none", "versus": ""} | names).items():
        its &= results[name] == wanted
    assert its.sum() == 1
    changed = results.copy()
    changed.loc[its, ["value", "low", "high"]] = value, low, high
    return changed


def test_a_judge_that_fails_on_peoples_replies_decides_nothing(planted):
    coin = with_value(planted, "reply_judge_right", 0.51, 0.44, 0.57, method="judge")
    told = told_of_replies(coin)
    assert told["verdict"].to_dict() == {"R1": "yes", "R2": "blind", "R3": "undecided", "R4": "blind"}
    assert told.loc["R2", "says"] == "cannot be told here" and "coin" in told.loc["R2", "sentence"]
    mute = with_value(planted, "reply_refuses", 0.0, -0.05, 0.05, method="chosen", versus="rejected")
    told = told_of_replies(mute)
    assert told["verdict"].to_dict() == {"R1": "blind", "R2": "yes", "R3": "blind", "R4": "yes"}
    assert told.loc["R1", "sentence"] == told.loc["R3", "sentence"] and "rule" in told.loc["R1", "sentence"]
    rare = with_value(planted, "reply_refuses", 0.02, 0.01, 0.05, method="dpo", condition="rerun")
    told = told_of_replies(rare)
    assert told.loc["R3", "verdict"] == "blind" and "few replies refuse" in told.loc["R3", "sentence"]
    assert all(len(text) < 150 for text in NOT_TOLD.values())


def test_what_comes_with_the_book_is_told_by_its_controls(tmp_path, monkeypatch):
    """Neither texts nor model are needed; what the judge prefers is told only if it sees what people prefer."""
    monkeypatch.delenv("W2S_DATA", raising=False)
    study = Study(load("hh-smol-replies", {"draws": 100}))
    study = study.on(open_lab(str(tmp_path), 0, study.edition))
    results = real_replies(study)
    assert study.lab.trained == 0 and (results["n_pairs"] == 200).all()
    sees = pick(results, "reply_judge_right", "none", method="judge")["low"] > 0.5
    assert (told_of_replies(results).loc["R2", "verdict"] == "blind") == (not sees)
    assert examples(study)[["before", "after"]].map(len).to_numpy().all()


def test_words_of_a_model_are_folded_behind_a_warning_and_escaped():
    table = Warned("Words & more.", pd.DataFrame({"after": ["<script>alert(1)</script>"]}))
    made = table._repr_html_()
    assert made.startswith("<details><summary><strong>Content warning.</strong> Words &amp; more.</summary>")
    assert "<script>" not in made and "script" not in repr(table)
    shown = html.unescape(re.search('srcdoc="([^"]*)"', made)[1])
    assert "<script>" not in shown and "&lt;script&gt;alert(1)" in shown


def test_the_books_search_knows_no_word_behind_a_warning():
    """Sphinx indexes what is left of raw HTML when its tags are gone, and shows some of it below each hit."""
    made = Warned("Words.", pd.DataFrame({"after": ["unspeakable"]}))._repr_html_()
    raw = nodes.raw("", made, format="html")
    collector = WordCollector(new_document(""), SearchEnglish({}))
    with pytest.raises(nodes.SkipNode):
        collector.dispatch_visit(raw)
    assert "Words" in collector.found_words and "unspeakable" not in " ".join(collector.found_words)


@pytest.mark.parametrize(
    "edition, judge, says",
    [
        ("hh-smol-replies", "smollm2-135m-q4@99.last", "has 30 blocks"),
        ("hh-smol-replies", "tiny-28", "the world's models read nothing else"),
        ("hh-smol", "gpt2", "judges replies, and none are asked for (replies)"),
    ],
)
def test_a_judge_that_cannot_be_is_one_line(edition, judge, says):
    with pytest.raises(ParameterError) as told:
        load(edition, {"judge": judge})
    assert str(told.value).startswith(f"judge={judge!r}: ") and says in str(told.value)


@pytest.mark.parametrize(
    "fields, name",
    [
        ({"truncation_side": "left"}, "truncation_side"),
        ({"reward_model": {"order": "repeated"}}, "reward_model.order"),
        ({"reward_model": {"patience": 2}}, "reward_model.patience"),
    ],
)
def test_a_judge_by_a_frozen_layer_is_trained_as_such_layers_are(fields, name):
    with pytest.raises(ParameterError, match=f"^{re.escape(name)}=.*frozen layers are not"):
        load("hh-smol-replies", fields)


def test_what_cannot_be_judged_is_refused(study, folders):
    (run,) = study.judgements()
    build = lambda **fields: Judgement.model_validate(run.model_dump() | fields)
    assert build().key == run.key
    weak = study.trained_by("dpo").weak(1, study.edition.models[0]).model_dump()
    for fields, says in (
        ({"judge": run.policies[0].model_dump()}, "a judge is a reward model"),
        ({"policies": [run.policies[0].model_dump(), weak]}, "of one model and one study's pairs"),
        ({"policies": [run.policies[0].model_dump() | {"replies": 0}]}, "reply to the same test prompts"),
        ({"policies": []}, "at least 1 item"),
    ):
        with pytest.raises(ValidationError, match=says):
            build(**fields)
    with pytest.raises(ValidationError, match="replies=3: policies of a checkpoint are asked for them"):
        run.judge.model_validate(run.judge.model_dump() | {"replies": 3})


def test_replies_of_a_run_that_several_processes_share_are_refused(study, monkeypatch):
    (run,) = study.judgements()
    whole = run.policies[0].model.model_copy(update={"lora_rank": None})
    monkeypatch.setenv(shards.SHARDS, "2")
    with pytest.raises(shards.ShardedError, match=f"replies of a policy \\(replies={ASKED}\\)"):
        shards.check_shared([run.policies[0].model_copy(update={"model": whole})])


def test_a_judgement_is_planned(study):
    (run,) = study.judgements()
    row = plan_runs([run]).set_index("kind").loc["judgement"]
    assert row["operations"] > 0 and row["memory"] > 0 and len(row["parents"]) == len(REPLIED)


def test_a_judge_of_another_model_is_planned_and_looked_for_before_anything_is_trained(study, monkeypatch):
    planned = lambda judge: replace(study, edition=study.edition.model_copy(update={"judge": judge})).on(study.lab)
    (own,), (other,) = (planned(judge).judgements() for judge in (None, "gpt2-xl@20.last"))
    names = [model.name for model in checkpoints_of(other)]
    assert names[-1] == "openai-community/gpt2-xl" and len(names) == 2 and len(checkpoints_of(own)) == 1
    row, its = (plan_runs([run]).set_index("kind").loc["judgement"] for run in (other, own))
    assert row["memory"] > 100 * its["memory"] and row["operations"] > 100 * its["operations"]
    monkeypatch.setattr("w2s_lib.models.names.find_spec", lambda name: None)
    with pytest.raises(CheckpointError, match="package gemma3"):
        study.lab.check(planned("gemma3-270m-q4@11.last").judgements())


def test_the_edition_that_replies_asks_for_as_many_as_it_tests():
    edition = load("hh-smol-replies")
    assert edition.replies == edition.test_pairs == 200 and edition.lora_rank
    assert not load("hh-smol-policies").replies, "its runs keep their names"
