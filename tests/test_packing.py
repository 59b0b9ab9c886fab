"""Shared prefixes: rewards and gradients of whole texts, for every architecture of the ladder, and in the trainer."""

import numpy as np
import pandas as pd
import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import AutoConfig, AutoModelForSequenceClassification, PreTrainedTokenizerFast

from w2s_lib.models.checkpoints import blocks
from w2s_lib.models.packing import (
    gaps,
    gaps_of_ids,
    minibatches,
    pack,
    padded,
    part,
    rewards,
    share_prefixes,
    token_budget,
)
from w2s_lib.models.scores import encode
from w2s_lib.specs import Checkpoint, Conflict, Recipe, Source, Texts, Train, stream
from w2s_lib.training import reward_model
from w2s_lib.training.losses import confident_label, explicit_conflict, hardened, soft_label_loss
from w2s_lib.training.reward_model import fit

SMALL = dict(vocab_size=90, hidden_size=32, num_hidden_layers=3, num_attention_heads=4, pad_token_id=0)
GATED = SMALL | dict(intermediate_size=48, max_position_embeddings=64)
POSITIONS, GROUPED = dict(max_position_embeddings=64), dict(num_key_value_heads=2)
OPT = SMALL | POSITIONS | dict(ffn_dim=48)
MODELS = {
    "llama": ("llama", GATED),
    "llama, grouped keys": ("llama", GATED | GROUPED),
    "gpt2": ("gpt2", SMALL | POSITIONS | dict(bos_token_id=1, eos_token_id=1)),
    "opt": ("opt", OPT | dict(word_embed_proj_dim=32)),
    "opt, layer norm after": ("opt", OPT | dict(word_embed_proj_dim=16, do_layer_norm_before=False)),
    "gpt_neox": ("gpt_neox", GATED),
    "mistral": ("mistral", GATED | GROUPED | dict(sliding_window=None)),
    "mistral, sliding window": ("mistral", GATED | GROUPED | dict(sliding_window=7)),
    "qwen2": ("qwen2", GATED | GROUPED),
    "qwen2, some sliding": (
        "qwen2", GATED | GROUPED | dict(use_sliding_window=True, sliding_window=7, max_window_layers=1)
    ),
    "qwen3": ("qwen3", GATED | GROUPED | dict(head_dim=8)),
    "gemma3, some sliding": (
        "gemma3_text",
        GATED | GROUPED | dict(head_dim=8, sliding_window=7, layer_types=["sliding_attention", "full_attention"] * 2)
        | dict(num_hidden_layers=4),
    ),
}  # fmt: skip
CONFIGS = {name: AutoConfig.for_model(family, **fields) for name, (family, fields) in MODELS.items()}


def build(config) -> torch.nn.Module:
    """A model with weights large enough for every mistake to show."""
    torch.manual_seed(0)
    model = AutoModelForSequenceClassification.from_config(config.__class__(**config.to_dict() | {"num_labels": 1}))
    with torch.no_grad():
        for p in model.parameters():
            p.add_(0.1 * torch.randn_like(p))
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    return model.eval()


def texts(pairs: int, longest: int = 30, seed: int = 0) -> tuple[list[list[int]], list[list[int]]]:
    """Pairs of all kinds: much or nothing shared, one text the other's beginning, tokens that look like padding."""
    rng = np.random.default_rng(seed)
    word = lambda count: rng.integers(2, 90, count).tolist()
    chosen, rejected = [], []
    for i in range(pairs):
        shared = word(rng.integers(1, longest // 2))
        chosen.append(shared + word(rng.integers(1, longest // 2)))
        rejected.append(shared + word(rng.integers(1, longest // 2)))
        if i == 1:
            chosen[1][0] = 1 + rejected[1][0] % 80
        if i == 2:
            rejected[2] = chosen[2][:-3]
        if i == 3:
            chosen[3][-1] = 0
    return chosen, rejected


def one_by_one(model, chosen, rejected) -> torch.Tensor:
    """Reward gaps the naive way: each text alone, whole, without padding or masks, read at its last token."""

    def reward(ids):
        return model.score(model.base_model(input_ids=torch.tensor([ids])).last_hidden_state[0, -1])[0]

    return torch.stack([reward(good) - reward(bad) for good, bad in zip(chosen, rejected)])


def test_a_packed_row_holds_each_token_once_and_finds_every_text():
    chosen, rejected = texts(8)
    ids, mask = padded(chosen, rejected)
    packed = pack(ids, mask)
    shared = [
        next((i for i, (a, b) in enumerate(zip(c, r)) if a != b), min(len(c), len(r))) for c, r in zip(chosen, rejected)
    ]
    assert packed.ids.shape == (1, sum(map(len, chosen)) + sum(map(len, rejected)) - sum(shared))
    for row, text in zip(packed.texts, [*chosen, *rejected]):
        places = row[: len(text)]
        assert packed.ids[0, places].tolist() == text
        assert packed.positions[0, places].tolist() == list(range(len(text)))
    assert (packed.texts.flatten()[packed.home] == torch.arange(packed.ids.shape[1])).all()


@pytest.mark.parametrize("name", CONFIGS)
def test_rewards_and_gradients_are_those_of_whole_texts(name):
    model, (chosen, rejected) = build(CONFIGS[name]), texts(8)
    weights = torch.linspace(-1, 1, 8)
    expected = one_by_one(model, chosen, rejected)
    (expected * weights).sum().backward()
    gradients = {key: p.grad.clone() for key, p in model.named_parameters()}
    model.zero_grad()
    assert share_prefixes(model), "all architectures of the ladder share prefixes"
    found = gaps(model, *padded(chosen, rejected), token_budget=90)
    (found * weights).sum().backward()
    assert (found - expected).norm() <= 1e-5 * expected.norm()
    for key, p in model.named_parameters():
        scale = max(gradients[key].norm().item(), 1e-3 * max(g.norm().item() for g in gradients.values()))
        assert (p.grad - gradients[key]).norm() <= 1e-5 * scale, key


@pytest.mark.parametrize("name", ["llama", "gpt2"])
def test_behind_the_last_attention_only_tokens_go_on_that_are_read(name):
    model, (ids, mask) = build(CONFIGS[name]), padded(*texts(8))
    assert share_prefixes(model)
    seen = []
    for block in blocks(model):
        block.mlp.register_forward_hook(lambda module, given, out: seen.append(given[0].shape[1]))
    rewards(model, ids, mask)
    everything = pack(ids, mask).ids.shape[1]
    assert seen == [everything, everything, 16], "in the last block the last tokens of 8 pairs"
    assert not blocks(model)[-1].mlp._forward_pre_hooks, "nothing is left behind"


def test_gradients_are_the_same_under_activation_checkpointing():
    (ids, mask), found = padded(*texts(8)), []
    for again in (False, True):
        model = build(CONFIGS["llama"]).train()
        assert share_prefixes(model)
        if again:
            model.gradient_checkpointing_enable()
        gaps(model, ids, mask).square().sum().backward()
        found.append(torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None]))
    assert (found[0] - found[1]).norm() <= 1e-5 * found[0].norm()


@pytest.mark.parametrize("name", ["llama", "opt"])
def test_without_sharing_the_rewards_are_the_same(name):
    model, (chosen, rejected) = build(CONFIGS[name]), texts(8)
    found = gaps(model, *padded(chosen, rejected), token_budget=90)
    assert torch.allclose(found, one_by_one(model, chosen, rejected), rtol=1e-5, atol=1e-5)


def test_the_check_refuses_what_it_must():
    assert not share_prefixes(build(AutoConfig.for_model("bloom", **SMALL))), "takes no positions"
    eager = build(CONFIGS["llama"])
    eager.set_attn_implementation("eager")
    assert not share_prefixes(eager) and eager.config._attn_implementation == "eager"
    both_ways = build(AutoConfig.for_model("llama", **GATED, is_causal=False))
    for layer in both_ways.model.layers:
        layer.self_attn.is_causal = False
    assert not share_prefixes(both_ways), "a prompt that sees its reply is not the same prompt twice"
    assert both_ways.config._attn_implementation == "sdpa", "left as it was"


def test_a_model_that_ignores_positions_is_found_out(monkeypatch):
    model = build(CONFIGS["llama"])
    rotary, forward = model.model.rotary_emb, model.model.rotary_emb.forward
    monkeypatch.setattr(rotary, "forward", lambda x, position_ids: forward(x, torch.arange(x.shape[1])[None]))
    assert not share_prefixes(model)


def test_sharing_leaves_plain_calls_as_they_were():
    model = build(CONFIGS["mistral, sliding window"])
    ids, mask = padded(*texts(4))
    before = model(input_ids=ids, attention_mask=mask).logits
    state = torch.get_rng_state()
    assert share_prefixes(model) and share_prefixes(model)
    assert torch.equal(state, torch.get_rng_state()), "the check draws from a generator of its own"
    assert torch.equal(model(input_ids=ids, attention_mask=mask).logits, before)


def test_minibatches_are_pairs_of_like_length_within_the_budget():
    chosen, rejected = texts(40)
    ids, mask = padded(chosen, rejected)
    found = list(minibatches(mask, token_budget=100))
    assert sorted(torch.cat(found).tolist()) == list(range(40))
    longest = [max(len(chosen[i]), len(rejected[i])) for i in torch.cat(found)]
    assert longest == sorted(longest)
    assert all(len(i) == 1 or mask[torch.cat([i, i + 40])].sum() <= 100 for i in found) and len(found) > 5
    small, few = part(ids, mask, found[0])
    assert small.shape[1] == few.sum(dim=1).max() < ids.shape[1]
    alone = [i.tolist() for i in minibatches(mask[[0, 40]], token_budget=1)]
    assert alone == [[0]], "a pair longer than the budget is a minibatch"


def test_scores_do_not_depend_on_the_budget_and_keep_their_order():
    model, (chosen, rejected) = build(CONFIGS["gpt2"]), texts(20)
    expected = one_by_one(model, chosen, rejected).detach().numpy()
    for budget in (1, 70, 10_000):
        found = gaps_of_ids(model, chosen, rejected, token_budget=budget)
        assert found.dtype == np.float64 and np.allclose(found, expected, rtol=1e-5, atol=1e-5)
    half = gaps_of_ids(model, chosen, rejected, dtype="bfloat16")
    assert 1e-6 < np.abs(half - expected).max() < 0.1 * np.abs(expected).max()


def test_padding_may_look_like_the_end_of_a_text():
    """Many tokenizers pad with the end token: rewards are read by length, not at the last token that is no padding."""
    model = build(CONFIGS["llama"])
    ids, mask = padded([[5, 6, 0]], [[5, 7, 8, 0]])
    expected = one_by_one(model, [[5, 6, 0]], [[5, 7, 8, 0]])
    assert torch.allclose(gaps(model, ids, mask), expected, rtol=1e-5, atol=1e-6)
    assert share_prefixes(model)
    assert torch.allclose(gaps(model, ids, mask), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("shared", [False, True])
def test_the_scripts_of_the_paper_read_a_reward_too_early_where_a_token_has_id_0(shared):
    """Position: as many tokens in as have another id; of a text without one it is the last."""
    model = build(CONFIGS["gpt2"])
    ids, mask = padded([[5, 0, 6, 0]], [[5, 7, 8]])
    assert not shared or share_prefixes(model)
    expected = one_by_one(model, [[5, 0]], [[5, 7, 8]])  # what follows is not seen
    assert torch.allclose(gaps(model, ids, mask, score_at="count_of_nonzero_ids"), expected, rtol=1e-5, atol=1e-6)
    assert not torch.allclose(gaps(model, ids, mask), expected, rtol=1e-3)


def test_adapters_share_prefixes_and_their_head_learns():
    from peft import LoraConfig, TaskType, get_peft_model

    model = get_peft_model(build(CONFIGS["llama"]), LoraConfig(task_type=TaskType.SEQ_CLS, r=2))
    ids, mask = padded(*texts(4))
    plain = rewards(model, ids, mask)
    assert share_prefixes(model)
    shared = rewards(model, ids, mask)
    assert torch.allclose(plain, shared, rtol=1e-5, atol=1e-5)
    shared.sum().backward()
    assert all(p.grad is not None for p in model.parameters() if p.requires_grad)
    assert any("score" in name for name, p in model.named_parameters() if p.requires_grad)


# In the trainer

BACKEND = Tokenizer(models.WordLevel({f"w{i}": i for i in range(90)}, unk_token="w0"))
WORDS = PreTrainedTokenizerFast(tokenizer_object=BACKEND, pad_token="w0", eos_token="w1")
WORDS.backend_tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()


def frame_of(pairs: int) -> pd.DataFrame:
    """Training pairs whose texts tokenise to those of ``texts``, half of them weakly labelled."""
    chosen, rejected = texts(pairs)
    word = lambda ids: " ".join(f"w{i}" for i in ids)
    rng = np.random.default_rng(1)
    columns = {"opening": "", "chosen": map(word, chosen), "rejected": map(word, rejected), "ending": ""}
    return pd.DataFrame(columns | {"label": rng.uniform(size=pairs), "weakly_labelled": np.arange(pairs) % 2 == 0})


def run_of(dtype="float32", conflict=None, **recipe) -> Train:
    """Two steps on the same batch, so slow that the second finds the same weights."""
    slow = dict.fromkeys(("learning_rate", "head_learning_rate"), 1e-12)
    still = slow | dict(epochs=2, batch_size=24, max_grad_norm=0, warmup_steps=0)
    pairs = Texts(source=Source(name="texts", revision="0"), train_pairs=24, test_pairs=8)
    model = Checkpoint(name="tiny", revision="0", dtype=dtype)
    weak = Train(model=model, pairs=pairs, split="ground_truth")
    what = dict(conflict=conflict or Conflict(), recipe=Recipe(**still | recipe))
    return Train(model=model, pairs=pairs, split="weak_label", labels=weak, **what)


@pytest.fixture
def last_gradients(monkeypatch):
    """Trains a model and returns the gradients of its last optimiser step."""

    def train(model, run: Train, frame: pd.DataFrame, folder) -> dict[str, torch.Tensor]:
        seen, step = {}, torch.optim.AdamW.step

        def spy(self, *arguments, **keywords):
            seen.update({name: p.grad.clone() for name, p in model.named_parameters()})
            return step(self, *arguments, **keywords)

        monkeypatch.setattr(torch.optim.AdamW, "step", spy)
        fit(model, WORDS, frame, run, folder)
        return seen

    return train


def by_hand(model, frame: pd.DataFrame, run: Train) -> dict[str, torch.Tensor]:
    """Gradients of the written loss on whole texts, one by one."""
    if run.recipe.order == "repeated":
        frame = frame.iloc[np.random.default_rng(stream(run.pairs.seed, "order", run.replica)).permutation(len(frame))]
    label, weakly = torch.tensor(frame[["label", "weakly_labelled"]].to_numpy(dtype=float), dtype=torch.float).T
    gap = one_by_one(model, *encode(WORDS, frame))
    if run.recipe.confidence_weight:
        opinion = hardened(gap, label, weakly, run.recipe.confidence_fence)
        label = confident_label(label, run.recipe.confidence_weight * weakly, opinion)
    loss = soft_label_loss(gap, label)
    if run.conflict.kind == "explicit":
        loss = loss + explicit_conflict(gap, weakly, run.conflict.alpha)
    loss.backward()
    found = {name: p.grad.clone() for name, p in model.named_parameters()}
    model.zero_grad()
    return found


def difference(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> float:
    """Norm of the difference of two gradients, relative to the second's."""
    total = sum((found[key] - expected[key]).square().sum() for key in expected)
    return float((total / sum(g.square().sum() for g in expected.values())).sqrt())


CASES = {
    "soft labels": {},
    "explicit conflict": {"conflict": Conflict(kind="explicit", alpha=0.5)},
    "confidence loss": {"confidence_weight": 0.7},
    "at a quantile": {"confidence_weight": 0.7, "confidence_fence": "quantile", "order": "repeated"},
}


@pytest.mark.parametrize("shared", [True, False], ids=["shared", "not shared"])
@pytest.mark.parametrize("case", CASES)
def test_the_trainers_gradients_are_those_of_the_written_loss(case, shared, last_gradients, tmp_path, monkeypatch):
    monkeypatch.setattr(reward_model, "budget", lambda model: 150)
    run, model, frame = run_of(**CASES[case]), build(CONFIGS["llama"]), frame_of(24)
    if not shared:
        model.set_attn_implementation("eager")
    expected = by_hand(model, frame, run)
    assert difference(last_gradients(model, run, frame, tmp_path), expected) <= 1e-5
    assert model.config._attn_implementation == ("shared_prefix" if shared else "eager")
    others = [by_hand(build(CONFIGS["llama"]), frame, run_of(**other)) for name, other in CASES.items() if name != case]
    assert min(difference(expected, other) for other in others) > 1e-2, "the cases differ by more than is tolerated"


def test_bfloat16_is_close_and_not_the_same(last_gradients, tmp_path):
    run, model, frame = run_of(dtype="bfloat16"), build(CONFIGS["llama"]), frame_of(24)
    expected = by_hand(model, frame, run)
    found = last_gradients(model, run, frame, tmp_path)
    assert 1e-4 < difference(found, expected) < 0.1
    assert all(p.dtype == torch.float32 for p in model.parameters()), "weights stay fp32"


def test_early_stopping_looks_at_whole_batches(tmp_path):
    model, frame = build(CONFIGS["gpt2"]), frame_of(60)
    run = run_of(epochs=4, batch_size=8, learning_rate=1e-3, head_learning_rate=1e-2, patience=1)
    before = gaps(model, *padded(*encode(WORDS, frame))).detach()
    fit(model, WORDS, frame, run, tmp_path)
    assert not torch.allclose(gaps(model, *padded(*encode(WORDS, frame))), before)


def test_wide_models_on_a_gpu_take_no_more_tokens_at_once_than_on_a_processor():
    assert {token_budget(width, gpu=False) for width in (64, 768, 4096)} == {1024}
    assert [token_budget(width, gpu=True) for width in (64, 768, 2048, 4096, 8192)] == [4096, 4096, 2048, 1024, 1024]
