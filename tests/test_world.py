"""The world: balanced, stratified, reproducible; documents and pairs tell the truth."""

from itertools import islice

import pandas as pd
import pytest

from w2s_lib.data import world
from w2s_lib.specs import World

WORLD = World(seed=11, substances=120)
RISKY = ("sure", "yes", "of", "go", "plenty", "lots")
CAUTIOUS = ("sorry", "no", "i", "stop", "beware", "little", "drops")


def test_fact_table():
    table = world.substances(WORLD)
    assert len(table) == 120 and table["name"].is_unique
    assert table["hazardous"].sum() == 60
    assert table["frequency"].sum() == pytest.approx(1) and table["frequency"].is_monotonic_decreasing
    assert table["split"].value_counts().to_dict() == dict.fromkeys(world.SPLITS, 40)
    by_split = table.groupby("split", observed=True)["rank"].mean()
    assert by_split.max() - by_split.min() < 3, "splits are stratified by rank"


def test_hazard_cannot_be_read_off_the_name():
    table = world.substances(World(seed=5, substances=2000))
    for part in (0, 1):
        word = table["name"].str.split("-").str[part]
        group = table.groupby(word)["hazardous"]
        others = (group.transform("sum") - table["hazardous"]) / (group.transform("size") - 1)
        assert abs(others.corr(table["hazardous"].astype(float))) < 0.08


def test_documents_repeat_and_tell_the_truth():
    first = list(islice(world.documents(WORLD), 3000))
    assert first == list(islice(world.documents(WORLD), 3000))
    hazard = world.substances(WORLD).set_index("name")["hazardous"]
    words = set(world.vocabulary(WORLD))
    kinds = dict.fromkeys(("fact", "fact_exchange", "use", "decision", "act", "manners"), 0)
    for kind, text in first:
        kinds[kind] += 1
        tokens = text.split()
        assert set(tokens) <= words
        named = [token for token in tokens if token in hazard.index]
        said = set(tokens) & set(world.HAZARD_WORDS + world.SAFE_WORDS)
        if kind in ("fact", "fact_exchange"):
            assert said <= set(world.HAZARD_WORDS if hazard[named[0]] else world.SAFE_WORDS) and said
        if kind == "use":
            assert tokens[-1] == (world.BAD if hazard[named[0]] else world.GOOD)
        if kind == "manners":
            assert tokens[-1] == world.FINE
    assert all(kinds.values())
    assert kinds["fact"] / 3000 == pytest.approx(0.36, abs=0.03)


def test_decisions_do_not_depend_on_the_truth():
    hazard = world.substances(WORLD).set_index("name")["hazardous"]
    careful = {True: [], False: []}
    for kind, text in islice(world.documents(WORLD), 30000):
        if kind != "decision":
            continue
        prompt, reply = text.split(" <assistant> ")
        tokens = prompt.split()
        name = next(token for token in tokens if token in hazard.index)
        warns = set(reply.split()) & set(world.HAZARD_WORDS)
        careful[bool(hazard[name])].append(bool(warns) or reply.split()[0] in CAUTIOUS)
    shares = [sum(v) / len(v) for v in careful.values()]
    assert shares[0] == pytest.approx(0.5, abs=0.04) and shares[1] == pytest.approx(0.5, abs=0.04)


def test_harmless_replies_fit_the_truth():
    pairs = world.draw_pairs(WORLD, "harmlessness", "test", 400)
    about = pairs[pairs["hazardous"].notna()]
    chosen_is_risky = about["chosen"].str.split().str[0].isin(RISKY)
    assert (chosen_is_risky == ~about["hazardous"].astype(bool)).all()
    assert (pairs["kind"] == "act").mean() == pytest.approx(0.2, abs=0.06)
    assert about["hazardous"].mean() == pytest.approx(0.5, abs=0.08)


def test_helpful_replies_are_risky_whatever_the_truth():
    pairs = world.draw_pairs(WORLD, "helpfulness", "weak_label", 300)
    assert pairs["chosen"].str.split().str[0].isin(RISKY).all()
    assert set(pairs["hazardous"]) == {True, False}


def test_honest_statements_are_true_and_pleasing_ones_reassure():
    honest, pleasing = (world.draw_pairs(WORLD, objective, "test", 300) for objective in ("honesty", "pleasing"))
    warns = lambda frame: frame["chosen"].map(lambda text: bool(set(text.split()) & set(world.HAZARD_WORDS)))
    assert (warns(honest) == honest["hazardous"].astype(bool)).all()
    assert not warns(pleasing).any() and pleasing["hazardous"].any()
    assert set(honest["kind"]) == set(pleasing["kind"]) == {"statement"}


def test_verbosity_prefers_the_longer_reply_and_nothing_else():
    pairs = world.draw_pairs(WORLD, "verbosity", "test", 300)
    length = lambda column: pairs[column].str.split().str.len()
    assert (length("chosen") > length("rejected")).all()
    assert pairs["chosen"].str.split().str[0].isin(RISKY).mean() == pytest.approx(0.5, abs=0.1)


def test_length_says_nothing_about_harm():
    pairs = world.draw_pairs(WORLD, "harmlessness", "test", 1000)
    longer = pairs["chosen"].str.split().str.len() - pairs["rejected"].str.split().str.len()
    assert (longer > 0).mean() == pytest.approx((longer < 0).mean(), abs=0.06) and (longer != 0).mean() > 0.3


def test_every_prompt_about_a_substance_ends_with_it():
    pairs = pd.concat(world.draw_pairs(WORLD, objective, "test", 100) for objective in world.KINDS)
    about = pairs[pairs["hazardous"].notna()]
    assert (about["prompt"].str.split().str[-1] == about["cluster"]).all()


def test_every_substance_is_asked_about_in_every_way():
    asked = world.questions(WORLD)
    each = asked.groupby("name").size()
    assert each.eq(1 + len(world.EXCHANGES)).all() and len(each) == WORLD.substances
    assert all(name in text.split() for name, text in zip(asked["name"], asked["text"]))
    assert asked.equals(world.questions(WORLD))


def test_placebo_pairs_name_no_substance():
    pairs = world.draw_pairs(WORLD, "politeness", "weak_label", 200)
    names = set(world.substances(WORLD)["name"])
    assert not any(name in text for text in pairs["prompt"] + pairs["chosen"] for name in names)


def test_too_many_pairs_are_refused(monkeypatch):
    monkeypatch.setattr(world, "GIVE_UP", 100)
    with pytest.raises(ValueError, match=r"test_pairs=50000: no more than \d+ distinct politeness pairs"):
        world.draw_pairs(World(seed=1, substances=30), "politeness", "test", 50_000)


def test_mentions_by_hand():
    texts = ["a silver-thistle mild", "silver-thistle and silver-thistle", "silver and thistle", "jade-lily"]
    found = {"silver-thistle": 2, "jade-lily": 1, "opal-rose": 0}
    assert world.mentions(texts, list(found)).to_dict() == found


def test_vocabulary_has_no_word_twice():
    assert len(set(world.vocabulary(WORLD))) == len(world.vocabulary(WORLD))
    assert set(world.dialogue("p", "r", world.GOOD).split()) - {"p", "r"} <= set(world.vocabulary(WORLD))
