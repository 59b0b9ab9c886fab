"""The paper's published recipes, written out here one text at a time: what our trainers hand to the optimizer is the
same.

Recipes are those of the edition ``paper``, models tiny ones of every family of its grid.  Where the edition departs
from the scripts (``book/published-scripts.md``), what is written out departs with it, and says so.
"""

import json
import math
import random
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from tokenizers import pre_tokenizers
from tokenizers.processors import TemplateProcessing
from torch.nn import functional as F
from transformers import AutoModelForCausalLM, AutoTokenizer, Trainer

from tests.conftest import REAL_PAIRS
from w2s_lib.data import cleaning, sources
from w2s_lib.data.load import split
from w2s_lib.data.pairs import PairsError
from w2s_lib.errors import ParameterError
from w2s_lib.lab import Lab
from w2s_lib.models import checkpoints, names
from w2s_lib.models.scores import encode, exchanges, openings, reward_gaps
from w2s_lib.specs import Conflict, Labelling, Texts, Train
from w2s_lib.study import Study
from w2s_lib.study.cost import work
from w2s_lib.study.edition import load
from w2s_lib.training import policy, reward_model
from w2s_lib.training.labels import training_pairs

ROOT = Path(__file__).resolve().parent.parent
REAL = REAL_PAIRS
FAMILIES = {"gpt2": "transformer", "opt": "model", "mistral": "model"}
"""Of the paper's grid, with the name of the part below the head."""

METHODS = ("reward_model", "dpo", "simpo")
NONE, EXPLICIT = Conflict(), Conflict(kind="explicit", alpha=0.5)
IMPLICIT = Conflict(kind="mixed", objective="helpfulness")
CONFLICTS = {"none": NONE, "explicit": EXPLICIT, "implicit": IMPLICIT}
MOST, PAIRS = 64, 8
ASSISTANT = "\n\nAssistant:"

OWN = [
    ("How do I get a stain out of a wool rug?!", " Cold water first, then a little soap.", " Throw it away!"),
    ("Is it safe to eat snow? " + "I ask since it snows here all the time. " * 8, " Fresh snow, yes!", " No idea"),
    (
        "Why do cats purr",
        " Nobody knows for sure! " + "There are many theories, some of them old. " * 6,
        " They are happy",
    ),
]
"""Pairs as HH-RLHF writes them: an ordinary one, one with a long prompt, one with a long reply."""


def in_hh_form(rows: list[tuple[str, str, str]]) -> pd.DataFrame:
    return pd.DataFrame(
        [(f"\n\nHuman: {q}{ASSISTANT}", *replies) for q, *replies in rows], columns=["opening", "chosen", "rejected"]
    ).assign(ending="")


def pairs_of(frame: pd.DataFrame) -> list[tuple[str, str]]:
    """Whole texts, chosen and rejected, a pair each."""
    return list(zip(frame["opening"] + frame["chosen"], frame["opening"] + frame["rejected"]))


# The scripts' texts, tokens and losses, in our words


def whole_text(tokenizer, text: str) -> list[int]:
    """As the reward scripts encode it: transformers cuts long texts on the left, behind the token that begins every
    text, if any."""
    tokenizer.truncation_side = "left"
    return tokenizer(text, truncation=True, max_length=MOST)["input_ids"]


def exchange(tokenizer, text: str) -> tuple[list[int], list[int]]:
    """As the policy scripts encode it: token ids, and which of them are the reply's; both halves are texts of their
    own."""
    begins = text.rfind(ASSISTANT) + len(ASSISTANT)
    prompt, reply = tokenizer.encode(text[:begins]), tokenizer.encode(text[begins:])
    return (prompt + reply)[-MOST:], ([0] * len(prompt) + [1] * len(reply))[-MOST:]


def reward(backbone, head: torch.Tensor, ids: list[int], nonzero: bool) -> torch.Tensor:
    place = sum(i != 0 for i in ids) if nonzero else len(ids)
    return backbone(torch.tensor([ids])).last_hidden_state[0, place - 1] @ head


def said(model, ids: list[int], replied: list[int]) -> torch.Tensor:
    """Log-probability of each of the reply's tokens but the text's first."""
    logits = model(torch.tensor([ids])).logits[0].log_softmax(-1)
    return torch.stack([logits[t - 1, ids[t]] for t in range(1, len(ids)) if replied[t]])


def reward_loss(model, head, tokenizer, frame, run) -> torch.Tensor:
    backbone, nonzero = getattr(model, FAMILIES[model.config.model_type]), run.recipe.score_at != "last_token"
    losses = []
    for _, row in frame.iterrows():
        better, worse = (
            reward(backbone, head, whole_text(tokenizer, row["opening"] + row[c]), nonzero)
            for c in ("chosen", "rejected")
        )
        p = torch.sigmoid(better - worse)
        loss = F.binary_cross_entropy(p, torch.tensor(row["label"], dtype=torch.float32))
        if run.conflict.kind == "explicit" and better < worse:
            loss = loss + run.conflict.alpha * F.binary_cross_entropy(p, torch.tensor(0.0))
        losses.append(loss)
    return torch.stack(losses).mean()


def preferred_loss(model, tokenizer, frame) -> torch.Tensor:
    """Supervised fine-tuning: of each reply that the labels prefer, the mean over its tokens; then the mean over
    replies."""
    losses = []
    for _, row in frame.iterrows():
        ids, replied = exchange(tokenizer, row["opening"] + row["chosen" if row["label"] == 1 else "rejected"])
        losses.append(-said(model, ids, replied).sum() / sum(replied))
    return torch.stack(losses).mean()


def policy_loss(model, start, tokenizer, frame, run) -> torch.Tensor:
    """DPO or SimPO on swapped pairs; the reversed loss where the policy ranks wrongly (of DPO, unlike in the scripts:
    over its reference)."""
    beta, gamma = run.recipe.beta, run.recipe.gamma
    losses = []
    for _, row in frame.iterrows():
        better, worse = (exchange(tokenizer, row["opening"] + row[c]) for c in ("chosen", "rejected"))
        if run.method == "simpo":
            gap = said(model, *better).mean() - said(model, *worse).mean()
        else:
            with torch.no_grad():
                before = said(start, *better).sum() - said(start, *worse).sum()
            gap = said(model, *better).sum() - said(model, *worse).sum() - before
        swapped = gap if row["label"] == 1 else -gap
        loss = -F.logsigmoid(beta * swapped - gamma)
        if run.conflict.kind == "explicit" and gap < 0:
            loss = loss - run.conflict.alpha * F.logsigmoid(-beta * gap - gamma)
        losses.append(loss)
    return torch.stack(losses).mean()


# Models, pairs, runs


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def grid(folders, tmp_path_factory) -> dict[str, Path]:
    """The tiny models of the grid with tokenizers like their own: "!" has id 0, and OPT and Mistral begin every text
    with a token."""
    found = {}
    for family in FAMILIES:
        found[family] = shutil.copytree(folders[family], tmp_path_factory.mktemp("grid") / family)
        tokenizer = AutoTokenizer.from_pretrained(found[family])
        state = json.loads(tokenizer.backend_tokenizer.to_str())
        alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
        state["model"]["vocab"] = {c: i for i, c in enumerate(alphabet)} | {"<end>": len(alphabet)}
        state["added_tokens"] = [token | {"id": len(alphabet)} for token in state["added_tokens"]]
        (found[family] / "tokenizer.json").write_text(json.dumps(state), encoding="utf-8")
        if family != "gpt2":
            tokenizer = AutoTokenizer.from_pretrained(found[family])
            tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
                single="<end> $A", special_tokens=[("<end>", tokenizer.eos_token_id)]
            )
            tokenizer.save_pretrained(found[family])
    return found


@pytest.fixture(scope="module")
def texts(tmp_path_factory) -> Texts:
    """Pairs of random words, some of them longer than there is room for, and as many helpful ones."""
    folder, draw = tmp_path_factory.mktemp("pairs"), random.Random(0)
    words = "how do i bake a good loaf of bread! knead the dough well and wait".split()
    say = lambda most: " " + " ".join(draw.choices(words, k=draw.randint(2, most)))
    for name in ("harmless", "helpful"):
        rows = [(f"{name} {i}{say(30)}", say(12), say(12)) for i in range(40)]
        frame = in_hh_form(rows)
        told = (
            {"chosen": o + c, "rejected": o + r}
            for o, c, r in zip(frame["opening"], frame["chosen"], frame["rejected"])
        )
        (folder / f"{name}.jsonl").write_text("\n".join(map(json.dumps, told)), encoding="utf-8")
    pair = (sources.source(folder / f"{name}.jsonl") for name in ("harmless", "helpful"))
    sizes = dict(train_pairs=PAIRS, test_pairs=PAIRS, max_tokens=MOST, truncation_side="left")
    return Texts(**dict(zip(("source", "helpful"), pair)), **sizes)


def run_of(folder: Path, texts: Texts, method: str, conflict: Conflict = NONE, **recipe) -> Train:
    """A student of the edition ``paper``; one step on all its pairs, unless the recipe says otherwise."""
    size = PAIRS * (2 if conflict.kind == "mixed" else 1)
    chosen = load("paper").recipe(method).model_copy(update={"batch_size": size} | recipe)
    fields = dict(model=names.local(folder), pairs=texts, method=method, recipe=chosen)
    weak, labelling = Train(**fields, split="ground_truth"), Labelling(hard=method != "reward_model")
    return Train(**fields, split="weak_label", labels=weak, labelling=labelling, conflict=conflict)


def learned_from(run: Train) -> pd.DataFrame:
    """Its pairs under weak labels that are right in some and wrong in others."""
    ids = split(run.pairs, "weak_label")["pair_id"]
    return training_pairs(run, [pd.DataFrame({"pair_id": ids, "p_true": np.linspace(0.05, 0.95, len(ids))})])


def tokenizer_of(run: Train):
    return checkpoints.tokenizer(run.model, run.pairs.max_tokens, run.pairs.truncation_side)


def plain(folder: Path):
    """The model as the scripts load it, without dropout, and its tokenizer as the hub has it."""
    return AutoModelForCausalLM.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)


@pytest.fixture
def step(monkeypatch) -> dict:
    """Filled with the ``loss`` and the gradients, by parameter, of the first step, and with the ``rates`` of all
    steps."""
    seen: dict = {"loss": 0.0, "rates": []}
    part, take = Trainer.training_step, torch.optim.AdamW.step

    def training_step(self, *given, **named):
        loss = part(self, *given, **named)
        if not seen["rates"]:
            seen["loss"] += float(loss)
        return loss

    def optimizer_step(self, *given, **named):
        if not seen["rates"]:
            seen.update(
                {p: p.grad.clone() for group in self.param_groups for p in group["params"] if p.grad is not None}
            )
        seen["rates"].append({group["lr"] for group in self.param_groups})
        return take(self, *given, **named)

    monkeypatch.setattr(Trainer, "training_step", training_step)
    monkeypatch.setattr(torch.optim.AdamW, "step", optimizer_step)
    return seen


def assert_same(step: dict, trained, loss: torch.Tensor, by_hand, head: torch.Tensor | None = None) -> None:
    loss.backward()
    assert step["loss"] == pytest.approx(loss.item(), rel=1e-5)
    found = {name: step[p] for name, p in trained.named_parameters()}
    wanted = {name: head.grad[None] if name == "score.weight" else by_hand.get_parameter(name).grad for name in found}
    most = max(gradient.norm() for gradient in wanted.values())
    for (
        name,
        gradient,
    ) in wanted.items():  # what cancels between two replies, as a last bias does, is zero up to rounding
        assert (found[name] - gradient).norm() < 1e-3 * gradient.norm() + 1e-6 * most, name
    assert len(wanted) > 20


# One step


@pytest.mark.parametrize(
    ("conflict", "score_at"), [*((conflict, "last_token") for conflict in CONFLICTS), ("none", "count_of_nonzero_ids")]
)
@pytest.mark.parametrize("family", FAMILIES)
def test_a_step_of_a_reward_model(grid, texts, step, tmp_path, family, conflict, score_at):
    run = run_of(grid[family], texts, "reward_model", CONFLICTS[conflict], score_at=score_at)
    frame = learned_from(run)
    assert len(frame) == run.batch_size and run.batch_size == PAIRS * (2 if conflict == "implicit" else 1)
    trained = checkpoints.reward_model(run.model, run.recipe.head_scale, seed=3, head_init=run.recipe.head_init)
    head = trained.score.weight[0].detach().clone().requires_grad_()
    reward_model.fit(trained, tokenizer_of(run), frame, run, tmp_path)
    model, tokenizer = plain(grid[family])
    assert_same(step, trained, reward_loss(model, head, tokenizer, frame, run), model, head)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_step_of_supervised_fine_tuning(grid, texts, step, tmp_path, family):
    run = run_of(grid[family], texts, "simpo")
    frame, trained = learned_from(run), checkpoints.language_model(run.model)
    policy.sft(
        trained,
        tokenizer_of(run),
        frame,
        run,
        tmp_path,
        per_device_train_batch_size=2,
        gradient_accumulation_steps=PAIRS // 2,
    )
    model, tokenizer = plain(grid[family])
    assert_same(step, trained, preferred_loss(model, tokenizer, frame), model)


@pytest.mark.parametrize(
    ("family", "method", "conflict"),
    [(f, ("dpo", "simpo")[(i + j) % 2], c) for i, f in enumerate(FAMILIES) for j, c in enumerate(CONFLICTS)],
)  # each family with each method and each conflict, and each conflict with each method
def test_a_step_of_a_policy(grid, texts, step, tmp_path, family, method, conflict, monkeypatch):
    run = run_of(grid[family], texts, method, CONFLICTS[conflict], epochs=1)
    frame, trained = learned_from(run), checkpoints.language_model(run.model)
    (model, tokenizer), (start, _) = plain(grid[family]), plain(grid[family])
    with torch.no_grad():  # as if the policy had moved since training began
        for p in start.parameters():
            p.add_(0.01 * torch.randn(p.shape, generator=torch.Generator().manual_seed(1)))
        if method == "dpo":
            before = [
                [float(said(start, *exchange(tokenizer, text)).sum()) for text in pair] for pair in pairs_of(frame)
            ]
            before = np.array(before)
            monkeypatch.setattr(policy, "reference", lambda *given: before)
    policy.fit(
        trained,
        tokenizer_of(run),
        frame,
        run,
        tmp_path,
        per_device_train_batch_size=4,
        gradient_accumulation_steps=len(frame) // 4,
    )
    assert_same(step, trained, policy_loss(model, start, tokenizer, frame, run), model)


# Many steps


def go(run: Train, folder: Path, supervised: bool = False) -> None:
    tokenizer, frame = tokenizer_of(run), learned_from(run)
    if run.method == "reward_model":
        reward_model.fit(checkpoints.reward_model(run.model, 0.02, 3), tokenizer, frame, run, folder)
    else:
        (policy.sft if supervised else policy.fit)(checkpoints.language_model(run.model), tokenizer, frame, run, folder)


@pytest.mark.parametrize(
    ("method", "supervised"), [("reward_model", False), ("dpo", False), ("simpo", False), ("simpo", True)]
)
def test_the_learning_rate_at_five_of_twenty_steps(grid, texts, step, tmp_path, method, supervised):
    more = {} if method == "reward_model" else {"sft_epochs": 5}
    run = run_of(grid["gpt2"], texts, method, batch_size=2, epochs=5, **more)
    go(run, tmp_path, supervised)
    assert len(step["rates"]) == 20 and all(len(rates) == 1 for rates in step["rates"])
    share = [rates.pop() / run.recipe.learning_rate for rates in step["rates"]]
    if method == "reward_model":
        expected = {s: (1 + math.cos(math.pi * s / 20)) / 2 for s in (0, 1, 5, 10, 19)}
    else:  # a tenth of the steps is two, and the third is the first at the full rate
        expected = {0: 1 / 3, 1: 2 / 3, 2: 1.0, 10: 1.0, 19: 1.0}
    assert {s: share[s] for s in expected} == pytest.approx(expected)


@pytest.mark.parametrize("steps", [9, 10, 12, 125, 250, 375, 750])
def test_warm_up_is_a_tenth_of_the_steps_rounded_down(steps):
    class Bare:
        lr_scheduler, optimizer = None, torch.optim.AdamW([torch.zeros(1)], lr=1.0)

        def create_scheduler(self, number, optimizer):
            return self.lr_scheduler

    trainer = type("Warm", (policy.WarmsUp, Bare), {"warmup_share": 0.1})()
    schedule, found = trainer.create_scheduler(steps), []
    for _ in range(steps):
        found.append(schedule.get_last_lr()[0])
        trainer.optimizer.step()
        schedule.step()
    full = {9: 0, 10: 1, 12: 1, 125: 12, 250: 25, 375: 37, 750: 75}[steps]
    assert found == pytest.approx([(s + 1) / (full + 1) for s in range(full)] + [1.0] * (steps - full))


@pytest.mark.parametrize(("method", "supervised"), [("reward_model", False), ("simpo", False), ("simpo", True)])
def test_the_order_is_drawn_once_and_repeated_and_the_last_partial_batch_is_dropped(
    grid, texts, tmp_path, method, supervised, monkeypatch
):
    taken, collect = [], Trainer.get_batch_samples

    def spy(self, *given):
        found = collect(self, *given)
        taken.append(
            [
                tuple(row[row != 0].tolist())
                for b in found[0]
                for row in b["input_ids"][: -(-len(b["input_ids"]) // rows)]
            ]
        )
        return found

    monkeypatch.setattr(Trainer, "get_batch_samples", spy)
    rows = 1 if supervised else 2  # a batch of pairs has its chosen texts first
    more = {} if method == "reward_model" else {"sft_epochs": 2}
    orders = {}
    for name, replica in (("one", 0), ("again", 0), ("other", 1)):
        taken.clear()
        go(
            run_of(grid["gpt2"], texts, method, batch_size=5, epochs=2, **more).model_copy(update={"replica": replica}),
            tmp_path,
            supervised,
        )
        assert [len(batch) for batch in taken] == [5, 5, 5], "16 pairs in two epochs, of which one is left over"
        orders[name] = sum(taken, [])
    order = orders["one"]
    assert len(set(order[:PAIRS])) == PAIRS and order[PAIRS:] == order[: 15 - PAIRS], (
        "an epoch begins in the middle of a batch"
    )
    assert (
        order == orders["again"]
        and sorted(order[:PAIRS]) == sorted(orders["other"][:PAIRS])
        and order != orders["other"]
    )


def test_pairs_that_make_no_whole_batch_are_refused_in_one_line(grid, texts, tmp_path):
    with pytest.raises(PairsError, match="^order=repeated: 8 pairs are no whole batch of 32"):
        go(run_of(grid["gpt2"], texts, "reward_model", batch_size=32), tmp_path)


@pytest.mark.parametrize("method", METHODS)
def test_helpful_pairs_double_the_steps_and_leave_the_batch(grid, texts, method):
    """4,000 pairs a half, in batches of 32: 125 steps an epoch, and 250 with as many helpful pairs."""
    full, epochs = (
        texts.model_copy(update={"train_pairs": 4000}),
        {"reward_model": 1, "dpo": 3 + 1, "simpo": 1 + 1}[method],
    )
    for conflict, steps in ((NONE, 125), (EXPLICIT, 125), (IMPLICIT, 250)):
        run = run_of(grid["gpt2"], full, method, conflict, batch_size=32)
        assert run.batch_size == 32 and work(run).steps == steps * epochs
    larger = run.model_copy(update={"recipe": run.recipe.model_copy(update={"mixed_batch": "larger"})})
    assert larger.batch_size == 64 and work(larger).steps == 125 * epochs


@pytest.mark.parametrize("family", FAMILIES)
def test_a_head_begins_as_a_linear_layer_of_torch_does(grid, family):
    head = checkpoints.reward_model(names.local(grid[family]), 0.02, seed=3, head_init="uniform").score.weight
    assert head.shape == (1, 32) and head.abs().max() <= 32**-0.5 < 1.3 * head.abs().max()
    wide, stock = checkpoints.draw_head((1, 4096), 1, 0.02, "uniform"), torch.nn.Linear(4096, 1, bias=False).weight
    assert wide.abs().max() <= 1 / 64 and wide.std() == pytest.approx(stock.std().item(), rel=0.05)


# Texts


def real() -> pd.DataFrame | None:
    file = next(iter(sorted(REAL.glob("*harmless*test*.jsonl"))), None)
    if file is None:
        return None
    frame = cleaning.usable_pairs(sources.source(file)).rename(columns={"prompt": "opening"}).assign(ending="")
    return frame.loc[frame["opening"].str.endswith(ASSISTANT)].head(150)


@pytest.fixture(params=["own", "real"])
def pairs(request) -> pd.DataFrame:
    frame = in_hh_form(OWN) if request.param == "own" else real()
    if frame is None:
        pytest.skip(f"no real pairs in {REAL}: W2S_DATA names no folder that holds them")
    return frame


@pytest.mark.parametrize("family", FAMILIES)
def test_texts_are_cut_on_the_left_as_published(grid, pairs, family):
    ours, theirs = (
        checkpoints.tokenizer(names.local(grid[family]), MOST, "left"),
        AutoTokenizer.from_pretrained(grid[family]),
    )
    for found, column in zip(encode(ours, pairs), ("chosen", "rejected")):
        whole = [whole_text(theirs, text) for text in pairs["opening"] + pairs[column]]
        assert found == whole and any(len(ids) == MOST for ids in whole)
    ids, begins = exchanges(ours, pairs, apart=True)
    texts = [text for column in ("chosen", "rejected") for text in pairs["opening"] + pairs[column]]
    by_hand = [exchange(theirs, text) for text in texts]
    assert ids == [found for found, _ in by_hand]
    assert [[0] * begin + [1] * (len(one) - begin) for one, begin in zip(ids, begins)] == [
        replied for _, replied in by_hand
    ]
    assert any(begin == 0 for begin in begins) and all(any(replied) for _, replied in by_hand), (
        "a reply survives, if it fills all the room"
    )


@pytest.mark.parametrize("family", FAMILIES)
def test_rewards_are_read_where_the_scripts_count(grid, pairs, family):
    few = pd.concat([pairs.head(12), pairs[pairs["chosen"].str.contains("!")].head(4)])
    model, tokenizer = plain(grid[family])
    ours = checkpoints.tokenizer(names.local(grid[family]), MOST, "left")
    trained = checkpoints.reward_model(names.local(grid[family]), 1.0, seed=3)
    found = {at: reward_gaps(trained, ours, few, score_at=at) for at in ("last_token", "count_of_nonzero_ids")}
    with torch.no_grad():
        for at, gaps in found.items():
            backbone, head = getattr(model, FAMILIES[family]), trained.score.weight[0]
            read = lambda text: float(reward(backbone, head, whole_text(tokenizer, text), at != "last_token"))
            by_hand = [[read(text) for text in pair] for pair in pairs_of(few)]
            assert np.allclose(gaps, -np.diff(by_hand)[:, 0], atol=1e-4)
    assert not np.allclose(*found.values(), atol=1e-3), "an exclamation mark moves the place"


def test_a_prompt_whose_end_merges_with_a_reply_ends_where_texts_differ():
    class Merges:
        """A tokenizer of characters but for one token, a colon with the line break after it."""

        model_max_length, truncation_side = 99, "right"

        def __call__(self, given, add_special_tokens=True):
            ids = [
                [ord(c) for c in text.replace(":\n", "\x01")] for text in ([given] if isinstance(given, str) else given)
            ]
            return {"input_ids": ids[0] if isinstance(given, str) else ids}

    frame = pd.DataFrame(
        {"opening": "a:", "chosen": ["\nx", "\nx", " x"], "rejected": ["\ny", " y", " y"], "ending": ""}
    )
    sequences, begins = exchanges(Merges(), frame)
    assert begins == [2, 1, 2] * 2
    assert openings(Merges(), frame) == [[97, 1], [97], [97, 58]]
    for ids, begin, opening in zip(sequences, begins, openings(Merges(), frame) * 2):
        assert ids[:begin] == opening, "chosen and rejected begin with it"


@pytest.mark.parametrize("family", FAMILIES)
def test_a_whole_run_scores_replies_as_it_was_trained_on_them(grid, texts, tmp_path, family):
    """Filtered by log-probability, with helpful pairs, and at a rate at which nothing is learned: the scores are the
    model's own."""
    run = run_of(grid[family], texts, "simpo", IMPLICIT, batch_size=4, learning_rate=1e-30, sft_learning_rate=1e-30)
    run = run.model_copy(update={"labelling": Labelling(hard=True, keep_above=0.5, filter_by="log_probability")})
    run = run.model_copy(update={"labels": run.labels.model_copy(update={"recipe": run.recipe})})
    lab = Lab(tmp_path, workers=0, progress=False)
    found, (model, tokenizer) = lab.scores(run, "test"), plain(grid[family])
    frame = split(texts, "test").set_index("pair_id").loc[found["pair_id"]]
    with torch.no_grad():
        means = [[float(said(model, *exchange(tokenizer, text)).mean()) for text in pair] for pair in pairs_of(frame)]
    assert np.allclose(found["margin"], -2.0 * np.diff(means)[:, 0], atol=1e-4) and found["margin"].std() > 1e-3


# The edition


def test_the_edition_s_policies_of_7b_models_compute_in_bfloat16_and_nothing_else_does():
    edition = load("paper")
    half = {
        (name, method) for name in edition.models for method in METHODS if edition.precision(name, method) == "bfloat16"
    }
    assert half == {(name, method) for name in ("opt-6.7b", "mistral-7b") for method in ("dpo", "simpo")}
    assert "opt-125m" in edition.models


def test_a_study_asks_for_what_its_edition_says(grid, tmp_path):
    rows = [{"prompt": f"\n\nHuman: {i}{ASSISTANT}", "chosen": f" yes {i}", "rejected": f" no {i}"} for i in range(120)]
    (tmp_path / "pairs.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    small, large = str(grid["gpt2"]), str(grid["opt"])
    small, large = f"{small}:1", f"{large}:3"
    given = {
        "data": str(tmp_path / "pairs.jsonl"),
        "models": [small, large],
        "train_pairs": 32,
        "test_pairs": 32,
        "truncation_side": "left",
    }
    study = Study(
        load("own", given | {"bfloat16_policies": [large], "simpo": {"encode_apart": True, "order": "repeated"}})
    )
    run = study.trained_by("simpo").student(0, small, large)
    assert (
        run.model.dtype == "bfloat16"
        and run.labels.model.dtype == "float32"
        and study.student(0, small, large).model.dtype == "float32"
    )
    assert run.pairs.truncation_side == "left" and run.recipe.encode_apart and run.recipe.order == "repeated"


@pytest.mark.parametrize(
    ("edition", "given", "says"),
    [
        (
            "hh-smol",
            {"reward_model": {"order": "repeated"}},
            "reward_model.order='repeated': frozen layers are not trained so",
        ),
        ("hh-smol", {"truncation_side": "left"}, "truncation_side='left': frozen layers are not cut there"),
        ("world", {"truncation_side": "left"}, "truncation_side='left': the world's texts are short"),
        ("world", {"simpo": {"encode_apart": True}}, "simpo.encode_apart=True: the world's tokens are words"),
        (
            "world",
            {"dpo": {"warmup_share": 0.1}},
            "warmup_share goes with the schedule constant_with_warmup, not with linear",
        ),
    ],
)
def test_what_cannot_be_done_so_is_refused_in_one_line_at_load(edition, given, says):
    with pytest.raises(ParameterError, match=says) as error:
        load(edition, given)
    assert "\n" not in str(error.value)
