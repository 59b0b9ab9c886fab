"""What a guided strong model writes: the sampler against its definitions, a run from end to end, bad widths."""

import numpy as np
import pandas as pd
import pytest
import torch

from w2s_lib.data.load import split
from w2s_lib.data.world import decision_of
from w2s_lib.errors import ParameterError
from w2s_lib.lab import Lab
from w2s_lib.lab.graph import describe
from w2s_lib.models.pretrain import tokenizer
from w2s_lib.models.scores import openings
from w2s_lib.specs import MAX_REPLY, SAMPLERS, Beams, Pairs, PolicyRecipe, Pretrain, Search, Train, World, stream
from w2s_lib.study import Study
from w2s_lib.study.cost import plan_runs
from w2s_lib.study.edition import load
from w2s_lib.training import policy
from w2s_lib.training.search import write
from w2s_lib.training.train import policy_again

TINY = World(seed=9, substances=60)
STRONG, WEAK = (Pretrain(world=TINY, width=width, tokens=20_000) for width in (16, 12))
PAIRS = Pairs(world=TINY, train_pairs=40, test_pairs=40)
SUPERVISOR = Train(model=WEAK, pairs=PAIRS, split="ground_truth", method="dpo", recipe=PolicyRecipe(batch_size=8))
GUIDE = SUPERVISOR.model_copy(update={"split": "weak_label", "labels": SUPERVISOR})
RUN = Search(model=STRONG, guide=GUIDE)

CBS, BEST_OF_8, ONE = Beams(), Beams().whole(), Beams().whole(1)


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    lab = Lab(tmp_path_factory.mktemp("written"), workers=0, progress=False)
    lab.run([RUN, GUIDE])
    return lab


@pytest.fixture(scope="module")
def prompts() -> list[list[int]]:
    asked = policy.about_substances(split(PAIRS, "test"), 25)
    found = openings(tokenizer(TINY), asked)
    assert len({len(ids) for ids in found}) > 1, "of several lengths"
    return found


@pytest.fixture(scope="module")
def models(small):
    """A strong model and a guide, after and before; what it has learned is drawn, and more than forty pairs teach."""
    base, before, after = (policy.build(small.store.path(model)).eval() for model in (STRONG, WEAK, WEAK))
    torch.manual_seed(0)
    with torch.no_grad():
        for weight in after.parameters():
            weight.add_(0.1 * torch.randn_like(weight))
    return base, (after, before)


def log_probs(model, prompt: list[int], reply: list[int]) -> np.ndarray:
    """Of a reply's tokens, by one pass over the whole text, without a cache."""
    with torch.no_grad():
        told = model(input_ids=torch.tensor([prompt + reply]), use_cache=False).logits[0].double().log_softmax(-1)
    return told[range(len(prompt) - 1, len(prompt) + len(reply) - 1), reply].numpy()


def gained(guide, prompt, reply) -> float:
    return float(np.sum(log_probs(guide[0], prompt, reply) - log_probs(guide[1], prompt, reply)))


def drawn_alone(base, prompt: list[int], uniform: np.ndarray) -> list[int]:
    """A reply by the definition: token by token, each from the whole text before it."""
    reply: list[int] = []
    for u in uniform:
        with torch.no_grad():
            told = base(input_ids=torch.tensor([prompt + reply]), use_cache=False).logits[0, -1].double().softmax(-1)
        reply.append(min(int((told.cumsum(-1) < u).sum()), len(told) - 1))
        if reply[-1] == base.config.eos_token_id:
            break
    return reply


# The sampler, against its definitions


@pytest.mark.slow
def test_one_beam_of_whole_replies_is_best_of_n(models, prompts):
    base, guide = models
    found = write(base, guide, prompts[:6], BEST_OF_8, seed=3)
    for i, (prompt, one) in enumerate(zip(prompts, found)):
        uniform = np.random.default_rng(stream(3, "search", i)).random((8, MAX_REPLY))
        every = [drawn_alone(base, prompt, u) for u in uniform]
        scores = [gained(guide, prompt, reply) for reply in every]
        assert one.tokens == every[int(np.argmax(scores))] and one.score == pytest.approx(max(scores), abs=1e-3)
        assert one.sampled == sum(map(len, every))


def test_a_guide_that_is_not_heard_leaves_the_base(models, prompts):
    base, guide = models
    alone = [one.tokens for one in write(base, guide, prompts, ONE)]
    assert alone == [one.tokens for one in write(base, guide[::-1], prompts, ONE, weight=0.0)]
    assert alone == [one.tokens for one in write(base, (base, base), prompts, ONE, weight=5.0)], "nor one that is mute"
    assert alone != [one.tokens for one in write(base, guide, prompts, ONE, weight=2.0)]


def test_emulated_fine_tuning_of_a_small_base_is_its_tuned_model(models, prompts):
    """base + 1 · (after − before), with the base before: the guide itself."""
    after, before = models[1]
    emulated = write(before, (after, before), prompts, ONE, weight=1.0)
    assert [one.tokens for one in emulated] == [one.tokens for one in write(after, (after, before), prompts, ONE)]


@pytest.mark.parametrize("longest", [3, 5, MAX_REPLY])
def test_scores_of_partial_replies_are_those_of_a_whole_pass(models, prompts, longest):
    base, guide = models
    for prompt, one in zip(prompts, write(base, guide, prompts, Beams(chunk=2), longest=longest)):
        assert one.score == pytest.approx(gained(guide, prompt, one.tokens), abs=1e-3)
        assert len(one.tokens) <= longest and (len(one.tokens) == longest or one.tokens[-1] == base.config.eos_token_id)


def test_chunks_keep_the_beams_that_have_gained_most(models, prompts):
    """One token a chunk, by the definition: of 2 × 2 beams the two best go on, each twice."""
    base, guide = models
    (found,) = write(base, guide, prompts[:1], Beams(width=2, successors=2, chunk=1), seed=4, longest=3)
    uniform = np.random.default_rng(stream(4, "search", 0)).random((4, 3))
    beams, end = [[]] * 4, base.config.eos_token_id
    for t in range(3):
        if t:
            scores = [gained(guide, prompts[0], reply) for reply in beams]
            first, second = np.argsort([-s for s in scores], kind="stable")[:2]
            beams = [beams[first]] * 2 + [beams[second]] * 2
        grown = []
        for reply, u in zip(beams, uniform[:, t]):
            done = bool(reply) and reply[-1] == end
            grown.append(reply if done else reply + drawn_alone(base, prompts[0] + reply, [u]))
        beams = grown
    assert found.tokens == max(beams, key=lambda reply: gained(guide, prompts[0], reply))


def test_batches_change_nothing(models, prompts):
    base, guide = models
    few = prompts[:9]
    told = [write(base, guide, few, CBS, weight=0.5, batch_size=size) for size in (1, 4, 256)]
    for one, other in zip(told, told[1:]):
        assert [w.tokens for w in one] == [w.tokens for w in other]
        assert [w.sampled for w in one] == [w.sampled for w in other]
        assert [w.score for w in one] == pytest.approx([w.score for w in other], abs=1e-4)
    assert told[1] == write(base, guide, few, CBS, weight=0.5, batch_size=4), "to the last bit"
    assert [w.tokens for w in told[1]] != [w.tokens for w in write(base, guide, few, CBS, weight=0.5, seed=1)]


def test_search_draws_as_many_tokens_as_best_of_n_and_finds_more(models, prompts):
    base, guide = models
    cbs, best, alone = (write(base, guide, prompts, beams) for beams in (CBS, BEST_OF_8, ONE))
    mean = lambda told, name: np.mean([getattr(one, name) for one in told])
    assert mean(cbs, "score") > mean(best, "score") > mean(alone, "score")
    assert mean(alone, "sampled") == np.mean([len(one.tokens) for one in alone])
    assert mean(cbs, "sampled") <= 8 * MAX_REPLY and mean(best, "sampled") > 4 * mean(alone, "sampled")


# A run from end to end


def test_a_run_leaves_the_replies_of_every_sampler(small):
    told, pairs = small.replies(RUN), split(PAIRS, "test").set_index("pair_id")
    asked = policy.about_substances(split(PAIRS, "test"))["pair_id"].tolist()
    for name in SAMPLERS:
        mine = told[told["sampler"] == name]
        assert mine["pair_id"].tolist() == asked
        assert mine["says"].tolist() == [decision_of(k, r) for k, r in zip(pairs.loc[asked, "kind"], mine["reply"])]
    assert not any(small.store.path(RUN).glob("*.safetensors")), "no weights"
    sampled = told.groupby("sampler")["sampled"].mean()
    assert sampled["best_of_n"] > 4 * sampled["base"] and sampled["eft_best_of_n"] > 4 * sampled["eft"]


def test_the_guide_that_is_trained_again_is_the_guide(small, tmp_path):
    bases, labels = [small.store.path(WEAK)], [small.store.table(SUPERVISOR, "scores")]
    after, before = policy_again(GUIDE, bases, labels, tmp_path)
    test, words = split(PAIRS, "test"), tokenizer(TINY)
    start = policy.reference(before, words, test, GUIDE)
    margins = policy.margins(after, start, words, test, GUIDE)
    assert margins == pytest.approx(small.scores(GUIDE)["margin"].to_numpy(), abs=1e-4) and np.ptp(margins) > 0


def test_the_strong_model_alone_says_the_same_whoever_guides(small):
    other = RUN.model_copy(update={"guide": GUIDE.model_copy(update={"replica": 1})})
    here, there = ({n: f for n, f in small.replies(run).groupby("sampler")} for run in (RUN, other))
    alone = ["pair_id", "reply", "says", "sampled"]
    pd.testing.assert_frame_equal(here["base"][alone], there["base"][alone])
    assert here["cbs"]["reply"].tolist() != there["cbs"]["reply"].tolist()


def test_a_search_is_described_and_has_a_cost():
    run = Study(load("smoke")).search(7, "tiny-24", "tiny-44", "explicit")
    said = "search of width 44, guided by dpo of width 24 on labels of width 24, explicit, seed 7, replica 0"
    assert describe(run) == said and describe(RUN).startswith("search of width 16")
    plan = plan_runs([run]).set_index("kind").loc["search"]
    assert plan["read"] > 0 and plan["trained"] > 0 and plan["conflict"] == "explicit, alpha 0.5"
    assert set(plan["parents"]) == {parent.key for parent in run.parents()}


# Bad widths


@pytest.mark.parametrize(
    ("widths", "says"),
    [
        ({"width": 0}, "search.width=0: must be at least 1"),
        ({"successors": -2}, "search.successors=-2: must be at least 1"),
        ({"chunk": 1.5}, "search.chunk=1.5: must be a whole number"),
        ({"width": True}, "search.width=True: must not be a truth value"),
        ({"chunk": 15}, "search.chunk=15: must be at most 14"),
        ({"width": 16, "successors": 8}, "width times successors is 128; at most 64 replies at once"),
        ({"beams": 3}, "search.beams=3: no such parameter"),
    ],
)
def test_impossible_widths_are_one_line_before_anything_runs(widths, says):
    with pytest.raises(ParameterError, match=says) as error:
        load("smoke", {"search": widths})
    assert "\n" not in str(error.value)
    with pytest.raises(ValueError):
        Beams(**widths)


def test_widths_reach_the_runs_and_leave_other_names_alone():
    wide = Study(load("smoke", {"search": {"width": 4, "successors": 4, "chunk": 5}}))
    run = wide.search(7, "tiny-24", "tiny-44", "none")
    assert run.beams == Beams(width=4, successors=4, chunk=5)
    assert run.samplers["best_of_n"] == (Beams(width=1, successors=16, chunk=None), 0.0)
    assert "search" not in load("smoke").model_dump(), "editions and records from before keep their names"
    assert Search.model_validate(run.model_dump()).key == run.key


def test_what_guides_nobody_is_refused():
    build = lambda **fields: Search.model_validate(RUN.model_dump() | fields)
    with pytest.raises(ValueError, match="others have no reference"):
        build(guide=Train(model=WEAK, pairs=PAIRS, split="ground_truth").model_dump())
    with pytest.raises(ValueError, match="different worlds"):
        build(model=Pretrain(world=World(seed=8), width=16).model_dump())
