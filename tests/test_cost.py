"""The cost model: sizes as of models that are really built, operations as counted on a real pass, memory as of a real
optimiser."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import (
    Gemma3TextConfig,
    GPT2Config,
    GPTNeoXConfig,
    LlamaConfig,
    MistralConfig,
    OPTConfig,
    Qwen2Config,
)

from w2s_lib.data import load
from w2s_lib.lab import Lab
from w2s_lib.lab.graph import closure
from w2s_lib.models import pretrain
from w2s_lib.models.ladder import KNOWN
from w2s_lib.models.names import local
from w2s_lib.specs import (
    Checkpoint,
    Conflict,
    Features,
    Layer,
    Pairs,
    PolicyRecipe,
    Pretrain,
    Recipe,
    Source,
    Texts,
    Train,
    World,
)
from w2s_lib.study import Study, cost, edition
from w2s_lib.study.cost import (
    SIZES,
    CostError,
    Machine,
    Size,
    Work,
    arithmetic,
    memory,
    of_config,
    plan,
    plan_runs,
    print_plan,
    size,
    summary,
    work,
)

WORLD = World(seed=3, substances=60)
PAIRS = Pairs(world=WORLD, train_pairs=40, test_pairs=60)
TINY = Pretrain(world=WORLD, width=20, tokens=30_000)
SOURCE = Source(name="hh-harmless", revision="1" * 40)
TEXTS = Texts(source=SOURCE, train_pairs=100, test_pairs=50, max_tokens=256)
GPT2 = Checkpoint(name="openai-community/gpt2", revision="2" * 40)
WEAK = Train(model=TINY, pairs=PAIRS, split="ground_truth")
REAL = Train(model=GPT2, pairs=TEXTS, split="ground_truth", recipe=Recipe(epochs=2))

llama = dict(num_attention_heads=8, num_key_value_heads=8)
CONFIGURATIONS = {
    "gpt2": GPT2Config(),
    "gpt2-medium": GPT2Config(n_embd=1024, n_layer=24, n_head=16),
    "gpt2-large": GPT2Config(n_embd=1280, n_layer=36, n_head=20),
    "gpt2-xl": GPT2Config(n_embd=1600, n_layer=48, n_head=25),
    "opt-125m": OPTConfig(),
    "opt-350m": OPTConfig(hidden_size=1024, ffn_dim=4096, num_hidden_layers=24, num_attention_heads=16,
        word_embed_proj_dim=512, do_layer_norm_before=False),
    "opt-1.3b": OPTConfig(hidden_size=2048, ffn_dim=8192, num_hidden_layers=24, num_attention_heads=32,
        word_embed_proj_dim=2048),
    "opt-2.7b": OPTConfig(hidden_size=2560, ffn_dim=10240, num_hidden_layers=32, num_attention_heads=32,
        word_embed_proj_dim=2560),
    "opt-6.7b": OPTConfig(hidden_size=4096, ffn_dim=16384, num_hidden_layers=32, num_attention_heads=32,
        word_embed_proj_dim=4096),
    "mistral-7b": MistralConfig(),
    "pythia-160m": GPTNeoXConfig(vocab_size=50304, hidden_size=768, num_hidden_layers=12, num_attention_heads=12,
        intermediate_size=3072),
    "pythia-410m": GPTNeoXConfig(vocab_size=50304, hidden_size=1024, num_hidden_layers=24, num_attention_heads=16,
        intermediate_size=4096),
    "smollm2-135m": LlamaConfig(vocab_size=49152, hidden_size=576, intermediate_size=1536, num_hidden_layers=30,
        num_attention_heads=9,
                                num_key_value_heads=3, tie_word_embeddings=True),
    "smollm2-360m": LlamaConfig(vocab_size=49152, hidden_size=960, intermediate_size=2560, num_hidden_layers=32,
        num_attention_heads=15,
                                num_key_value_heads=5, tie_word_embeddings=True),
    "gemma3-270m-q4": Gemma3TextConfig(vocab_size=262144, hidden_size=640, intermediate_size=2048, num_hidden_layers=18,
        num_attention_heads=4, num_key_value_heads=1, head_dim=256),
    "qwen2.5-0.5b": Qwen2Config(vocab_size=151936, hidden_size=896, intermediate_size=4864, num_hidden_layers=24,
        num_attention_heads=14,
                                num_key_value_heads=2, tie_word_embeddings=True),
}  # fmt: skip
"""Of the published models, as their papers and cards state them."""


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_the_table_of_sizes_is_that_of_the_models(name):
    built, told = of_config(CONFIGURATIONS[name]), SIZES[name]
    assert told.weights == pytest.approx(built.weights, rel=1e-3)
    assert told.body == pytest.approx(built.body, rel=0.02)
    assert (told.embedding, told.hidden, told.blocks) == (built.embedding, built.hidden, built.blocks)
    assert SIZES[KNOWN[name].source] == told


def test_every_known_model_has_a_size_and_larger_ones_have_larger_bodies():
    assert set(KNOWN) <= set(SIZES)
    assert all(0 < SIZES[name].body < SIZES[name].weights and SIZES[name].embedding > 0 for name in KNOWN)


def test_a_tiny_model_is_counted_without_building_it():
    built = pretrain.build_untrained(TINY)
    told = size(TINY)
    assert told.weights == built.num_parameters()
    assert told.embedding == built.get_input_embeddings().weight.numel() and told.body == told.weights - told.embedding


def test_first_blocks_and_layers():
    whole = SIZES["gpt2"]
    half = size(GPT2.model_copy(update={"layers": 6}))
    assert half.body == whole.body // 2 and half.weights == whole.weights - whole.body // 2
    features = Features(checkpoint=GPT2, source=SOURCE)
    assert size(Layer(features=features, layer=3)) == whole


def test_a_model_that_nobody_knows_is_one_line(tmp_path):
    with pytest.raises(CostError, match="model='nobody/nothing': its size is not known") as error:
        size(Checkpoint(name="nobody/nothing", revision="3"))
    assert "\n" not in str(error.value)


def test_a_local_checkpoint_is_measured_by_its_configuration_whatever_it_is_called(folders):
    config = GPT2Config.from_pretrained(folders["gpt2"])
    assert size(local(folders["gpt2"], name="gpt2-xl")) == of_config(config)


@pytest.mark.parametrize("predicts", [False, True])
def test_operations_are_those_that_a_pass_takes(predicts):
    """Counted by torch on a model whose texts are short beside its width, so that attention's own products are few."""
    config = LlamaConfig(
        vocab_size=512,
        hidden_size=256,
        intermediate_size=512,
        num_hidden_layers=3,
        num_attention_heads=4,
        tie_word_embeddings=True,
    )
    from transformers import AutoModel, AutoModelForCausalLM

    model, ids = (AutoModelForCausalLM if predicts else AutoModel).from_config(config), torch.randint(512, (4, 16))
    its = of_config(config)
    with FlopCounterMode(display=False) as forward, torch.no_grad():
        model(input_ids=ids)
    assert forward.get_total_flops() == pytest.approx(arithmetic(Work(0, 64, predicts=predicts), its), rel=0.05)
    with FlopCounterMode(display=False) as both:
        model(input_ids=ids)[0].sum().backward()
    assert both.get_total_flops() == pytest.approx(arithmetic(Work(64, 0, predicts=predicts), its), rel=0.05)


def test_frozen_weights_under_adapters_spare_a_third():
    from peft import LoraConfig, TaskType, get_peft_model
    from transformers import AutoModelForSequenceClassification

    config = LlamaConfig(
        vocab_size=64,
        hidden_size=256,
        intermediate_size=512,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_labels=1,
        pad_token_id=0,
    )
    model = get_peft_model(
        AutoModelForSequenceClassification.from_config(config), LoraConfig(task_type=TaskType.SEQ_CLS, r=1)
    )
    with FlopCounterMode(display=False) as counted:
        model(input_ids=torch.randint(1, 64, (4, 16))).logits.sum().backward()
    assert counted.get_total_flops() == pytest.approx(arithmetic(Work(64, 0, frozen=True), of_config(config)), rel=0.1)


def naive_tokens(pairs: Pairs, objective=None, shared: bool = True) -> float:
    frame, total = load.load(pairs, objective), 0
    for row in frame.itertuples():
        first, second = ((row.opening + reply + row.ending).split() for reply in (row.chosen, row.rejected))
        same = 0
        while shared and same < min(len(first), len(second)) and first[same] == second[same]:
            same += 1
        total += len(first) + len(second) - same
    return total / len(frame)


def test_tokens_of_the_world_are_counted():
    assert cost.tokens_a_pair(PAIRS) == pytest.approx(naive_tokens(PAIRS))
    assert cost.tokens_a_pair(PAIRS, "verbosity", shared=False) == pytest.approx(
        naive_tokens(PAIRS, "verbosity", shared=False)
    )


def test_tokens_of_data_sets(tmp_path):
    known = cost.TOKENS_A_PAIR["hh-harmless"]
    assert 50 < known.shared < known.whole < 300
    assert cost.tokens_a_pair(TEXTS) == known.shared and cost.tokens_a_pair(TEXTS, shared=False) == known.whole
    assert cost.tokens_a_pair(TEXTS.model_copy(update={"max_tokens": 16})) == 32, "no text is longer than max_tokens"
    other = TEXTS.model_copy(update={"source": Source(name="some/where", revision="5")})
    assert cost.tokens_a_pair(other) == 2 * TEXTS.max_tokens, "of what nobody knows, the most"
    file = tmp_path / "pairs.jsonl"
    pd.DataFrame(
        {
            "prompt": ["Say it." * 8, "Why?" * 8],
            "chosen": ["Yes." * 40, "So it is." * 20],
            "rejected": ["No." * 40, "I see." * 20],
        }
    ).to_json(file, orient="records", lines=True)
    from w2s_lib.data.sources import source

    local = cost.tokens_a_pair(Texts(source=source(file), max_tokens=512), shared=False)
    assert 60 < local < 300


def test_work_of_each_kind_of_run():
    own, other = cost.tokens_a_pair(PAIRS), cost.tokens_a_pair(PAIRS, "helpfulness")
    assert work(TINY) == Work(30_000, 0, predicts=True, steps=30_000 // (16 * 48))
    assert work(WEAK) == Work(pytest.approx(2 * 40 * own), pytest.approx(100 * own), steps=2 * 2)
    mixed = WEAK.model_copy(update={"conflict": Conflict(kind="mixed", objective="helpfulness", share=0.5)})
    assert work(mixed).trained == pytest.approx(2 * 40 * (own + 0.5 * other)) and work(mixed).read == pytest.approx(
        100 * own
    )
    whole = cost.tokens_a_pair(PAIRS, shared=False)
    dpo = WEAK.model_copy(update={"method": "dpo", "recipe": PolicyRecipe(epochs=3, sft_epochs=1)})
    assert work(dpo) == Work(
        pytest.approx(40 * whole * 3.5), pytest.approx((100 + 140) * whole), predicts=True, steps=4 * 2
    )
    simpo = WEAK.model_copy(update={"method": "simpo", "recipe": PolicyRecipe(epochs=1)})
    assert work(simpo) == Work(pytest.approx(40 * whole), pytest.approx(100 * whole), predicts=True, steps=2)
    features = Features(checkpoint=GPT2, source=SOURCE, shards=5)
    assert work(features, {"hh-harmless": 1000}) == Work(0, pytest.approx(200 * cost.tokens_a_pair(TEXTS)))
    probe = Train(model=Layer(features=features, layer=2), pairs=TEXTS, split="ground_truth")
    assert work(probe) == Work(0, 0, steps=2 * 4)
    fenced = {"recipe": Recipe(confidence_weight=0.5, confidence_fence="quantile")}
    again, plain = (work(run.model_copy(update=fenced)) for run in (REAL, WEAK))
    assert again == work(REAL)._replace(read=work(REAL).read + again.trained) and plain == work(WEAK), "read before"
    assert (
        work(REAL.model_copy(update={"model": GPT2.model_copy(update={"lora_rank": 4})})).frozen
        and not work(REAL).frozen
    )


def test_memory_of_weights_gradients_and_moments_is_that_of_an_optimiser(monkeypatch):
    monkeypatch.setattr(cost, "ACTIVATIONS", {"float32": 0, "bfloat16": 0})
    model = pretrain.build_untrained(TINY)
    optimizer = torch.optim.AdamW(model.parameters())
    model(input_ids=torch.ones(1, 4, dtype=torch.long)).logits.sum().backward()
    optimizer.step()
    tensors = [*model.parameters(), *(p.grad for p in model.parameters())]
    tensors += [v for state in optimizer.state.values() for v in state.values() if v.numel() > 1]
    assert memory(TINY, size(TINY)) == sum(t.numel() * t.element_size() for t in tensors)
    assert memory(REAL, SIZES["gpt2"], processes=4) == memory(REAL, SIZES["gpt2"]) / 4
    lora = REAL.model_copy(update={"model": GPT2.model_copy(update={"lora_rank": 8})})
    assert 4 * SIZES["gpt2"].weights < memory(lora, SIZES["gpt2"]) < 0.3 * memory(REAL, SIZES["gpt2"])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_activations_are_as_many_as_torch_keeps(dtype):
    from tests.benchmarks.cost import kept

    assert kept(2, 128, dtype) == pytest.approx(cost.ACTIVATIONS[str(dtype).removeprefix("torch.")], rel=0.1)


def test_features_are_read_in_their_own_precision():
    half = Features(checkpoint=GPT2.model_copy(update={"dtype": "bfloat16"}), source=SOURCE)
    assert memory(half, SIZES["gpt2"]) == 2 * SIZES["gpt2"].weights


DEVICE, CORE = Machine("a device", 1e12, step=0.5, overhead=36.0), Machine("a core", 1e9, overhead=1.8)


def test_a_plan_has_every_run_once_and_hours_by_the_formula():
    student = Train(
        model=GPT2, pairs=TEXTS, split="weak_label", labels=REAL, conflict=Conflict(kind="explicit", alpha=0.5)
    )
    frame = plan_runs([student, WEAK], DEVICE, CORE).set_index("key")
    assert set(frame.index) == {run.key for run in (REAL, student, TINY, WEAK)}
    tokens = cost.tokens_a_pair(TEXTS)
    operations = SIZES["gpt2"].body * (6 * 2 * 100 * tokens + 2 * 150 * tokens)
    row = frame.loc[REAL.key]
    assert row["operations"] == pytest.approx(operations) and row["hours"] == pytest.approx(
        (operations / 1e12 + 0.5 * 2 * 4 + 36) / 3600
    )
    assert row["machine"] == "a device" and frame.loc[WEAK.key, "machine"] == "a core"
    last = frame.loc[student.key]
    assert (
        last["parents"] == (REAL.key,)
        and last["labels"] == "openai-community/gpt2"
        and last["conflict"] == "explicit, alpha 0.5"
    )
    assert last["ends"] == pytest.approx(row["hours"] + last["hours"]), "a student waits for its labels"
    assert frame.loc[TINY.key, "parents"] == () and frame.loc[WEAK.key, "ends"] > frame.loc[TINY.key, "hours"]


def test_sharing_a_run_divides_its_time_and_memory_but_not_its_price():
    large = REAL.model_copy(
        update={"model": Checkpoint(name="mistralai/Mistral-7B-v0.1", revision="6", dtype="bfloat16")}
    )
    alone, shared = (plan_runs([large], DEVICE, CORE, processes=n).iloc[0] for n in (1, 4))
    free = Machine("no overhead", 1e12)
    a, b = (plan_runs([REAL], free, CORE, processes=n).iloc[0] for n in (1, 4))
    assert b["ends"] == pytest.approx(a["ends"] / 4) and b["hours"] == pytest.approx(a["hours"])
    assert alone["memory"] > 80e9 > shared["memory"], "too large for one GPU, and not for four"


def test_what_is_there_costs_nothing(tmp_path):
    lab = Lab(tmp_path, workers=0, progress=False)
    lab.run([TINY])
    frame = plan_runs([WEAK], DEVICE, CORE, lab=lab).set_index("key")
    assert frame.loc[TINY.key, "there"] and frame.loc[TINY.key, "hours"] == 0
    assert not frame.loc[WEAK.key, "there"] and frame.loc[WEAK.key, "ends"] == frame.loc[WEAK.key, "hours"] > 0


def test_the_plan_of_an_edition_is_its_runs(capsys):
    study = Study(edition.load("smoke"))
    frame = plan(study)
    assert len(frame) == len(closure(study.runs())) and frame["key"].is_unique
    together = summary(frame)
    assert together["runs"].sum() == len(frame) and together["hours"].sum() == pytest.approx(frame["hours"].sum())
    print_plan(frame, price=2.5)
    said = capsys.readouterr().out
    assert (
        f"{len(frame)} runs, {len(frame)} of them missing" in said and "At 2.5 euros an hour of a GPU: 0 euros" in said
    )
    assert np.isfinite(frame.select_dtypes("number")["hours"]).all()


def test_the_price_is_that_of_the_gpu_hours(capsys):
    frame = plan_runs([REAL, WEAK], Machine("slow", 1e9), CORE)
    print_plan(frame, price=100)
    gpu = frame[frame["machine"] == "slow"]["hours"].sum()
    assert f"At 100 euros an hour of a GPU: {100 * gpu:,.0f} euros" in capsys.readouterr().out and gpu > 0


def test_the_page_says_what_the_model_says():
    """The table of *Running at scale*, for one reward model of the paper's edition."""
    page = (Path(__file__).resolve().parent.parent / "book" / "running-at-scale.md").read_text(encoding="utf-8")
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in page.splitlines()
        if "× 10" in line and line.startswith("| ")
    ]
    names = {"GPT-2": "gpt2", "GPT-2-XL": "gpt2-xl", "OPT-6.7B": "opt-6.7b", "Mistral-7B": "mistral-7b"}
    assert [row[0] for row in rows] == list(names)
    number = lambda text: float(text.split()[0].replace(",", ""))
    for title, body, operations, seconds, hours, alone, *shared in rows:
        source = KNOWN[names[title]].source
        model = Checkpoint(name=source, revision="7", dtype="bfloat16")
        run = Train(
            model=model,
            pairs=Texts(source=SOURCE),
            split="ground_truth",
            recipe=edition.load("paper").recipe("reward_model"),
        )
        its, todo = size(model), work(run)
        found = arithmetic(todo, its)
        digits = operations.replace(" × 10", "e").translate(str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹", "0123456789"))
        assert number(body) == round(its.body / 1e6) and float(digits) == pytest.approx(found, rel=0.05)
        assert number(seconds) == round(found / 1e14) and number(hours) == round(cost.ONE_CORE.hours(found, todo.steps))
        assert number(alone) == pytest.approx(memory(run, its) / 1e9, rel=0.03)
        if shared[0] != "–":
            assert number(shared[0]) == round(memory(run, its, 4) / 1e9)


def test_the_example_in_the_docstring():
    assert arithmetic(Work(1000, 0), Size(120, 100, 20, 10, 2)) == 600_000
