"""What a study costs, before anything is run: tokens, arithmetic, memory, hours, from the specs of its runs alone.

The model is the usual one.  A token that a model of N weights reads costs 2 N floating-point operations, and one that
it is trained on 6 N: the backward pass takes twice the forward one (Kaplan et al. 2020, section 2.1).  N leaves out
weights that are only looked up, and attention's own products, which for texts this short are a few percent.  Hours are
arithmetic by the rate that a machine sustains, plus what a run takes beside it; ``tests/benchmarks/cost.py`` measures
both, and how far off the model is.

>>> arithmetic(Work(trained=1000, read=0), Size(weights=120, body=100, embedding=20, hidden=10, blocks=2))
600000.0
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from math import ceil
from os.path import commonprefix
from typing import TYPE_CHECKING, NamedTuple

import pandas as pd

from w2s_lib.data import cleaning, load
from w2s_lib.data.world import vocabulary
from w2s_lib.errors import OneLineError
from w2s_lib.lab import Lab
from w2s_lib.lab.graph import closure, model_name, wants_gpu
from w2s_lib.models.budget import token_budget
from w2s_lib.models.ladder import KNOWN
from w2s_lib.specs import (
    LONGEST_REPLY,
    Checkpoint,
    Features,
    Judgement,
    Layer,
    Objective,
    Opinion,
    Pairs,
    Pretrain,
    Search,
    Society,
    Source,
    Spec,
    Submission,
    Texts,
    Train,
)
from w2s_lib.study import Study
from w2s_lib.study.methods import POLICY_METHODS
from w2s_lib.training.shards import ALONE, AT_A_TIME, shards, trains_all

if TYPE_CHECKING:
    from transformers import PreTrainedConfig


class CostError(OneLineError):
    """A cost that cannot be told, in one line."""


class Size(NamedTuple):
    """What a model's cost depends on."""

    weights: int
    """All of them, once each."""
    body: int
    """Those of its blocks: each token is multiplied with all of them."""
    embedding: int
    """Vocabulary × hidden: looked up where a text is read, multiplied with where the next token is predicted."""
    hidden: int
    blocks: int


VOCABULARIES = {  # tokens, hidden units, positions that are learnt, whether input and output share their embeddings
    "pythia-70m": (50304, 512, 0, False), "pythia-160m": (50304, 768, 0, False), "pythia-410m": (50304, 1024, 0, False),
    "pythia-1b": (50304, 2048, 0, False), "gpt2": (50257, 768, 1024, True), "gpt2-medium": (50257, 1024, 1024, True),
    "gpt2-large": (50257, 1280, 1024, True), "gpt2-xl": (50257, 1600, 1024, True), "opt-125m": (50272, 768, 2050, True),
    "opt-350m": (50272, 512, 2050, True), "opt-1.3b": (50272, 2048, 2050, True), "opt-2.7b": (50272, 2560, 2050, True),
    "opt-6.7b": (50272, 4096, 2050, True), "smollm2-135m": (49152, 576, 0, True), "smollm2-360m": (49152, 960, 0, True),
    "smollm2-135m-q4": (49152, 576, 0, True), "smollm2-1.7b": (49152, 2048, 0, True),
    "gemma3-270m-q4": (262144, 640, 0, True),
    "qwen2.5-0.5b": (151936, 896, 0, True), "qwen2.5-1.5b": (151936, 1536, 0, True),
    "mistral-7b": (32000, 4096, 0, False),
}  # fmt: skip
"""Of every model of ``ladder.KNOWN``, from its published configuration.  OPT-350M alone embeds in fewer units than its
blocks have, 1,024."""


def _known(name: str) -> Size:
    tokens, units, positions, tied = VOCABULARIES[name]
    weights, hidden = round(1e6 * KNOWN[name].millions), 1024 if name == "opt-350m" else units
    looked_up = tokens * units * (1 if tied else 2) + positions * hidden
    return Size(weights, weights - looked_up, tokens * units, hidden, KNOWN[name].blocks)


SIZES: dict[str, Size] = {key: _known(name) for name, model in KNOWN.items() for key in (name, model.source)}
"""Sizes by name in the ladder and by hub id."""


def of_config(config: PreTrainedConfig) -> Size:
    """The size of a model with this configuration; no weight is made."""
    import torch
    from transformers import AutoModelForCausalLM

    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    looked_up = sum(m.weight.numel() for m in model.modules() if isinstance(m, torch.nn.Embedding))
    embedding, head = model.get_input_embeddings().weight, model.get_output_embeddings().weight
    apart = 0 if head is embedding else head.numel()
    weights = model.num_parameters()
    return Size(weights, weights - looked_up - apart, embedding.numel(), config.hidden_size, config.num_hidden_layers)


@lru_cache(maxsize=64)
def _loaded(checkpoint: Checkpoint) -> Size:
    from w2s_lib.models.checkpoints import CheckpointError, configuration  # here, for it loads torch

    try:
        return of_config(configuration(checkpoint))
    except CheckpointError as error:
        says = "its size is not known here and its configuration cannot be read"
        raise CostError(f"model={checkpoint.name!r}: {says} ({error.says})") from None


@lru_cache(maxsize=64)
def _tiny(model: Pretrain) -> Size:
    """A model of ``pretrain``: attention without biases, a gated feed-forward part, norms, tied embeddings."""
    tokens, width, inner = len(vocabulary(model.world)), model.width, 4 * round(2 * model.width / 3)
    body = model.layers * (4 * width**2 + 3 * width * inner + 2 * width) + width
    return Size(body + tokens * width, body, tokens * width, width, model.layers)


def size(model: Pretrain | Checkpoint | Layer) -> Size:
    """The size of a run's model.

    Raises:
        CostError: it is not among ``SIZES``, and its configuration cannot be read.
    """
    if isinstance(model, Pretrain):
        return _tiny(model)
    if isinstance(model, Layer):
        model = model.features.checkpoint
    whole = SIZES.get(model.name) if model.folder is None else None
    whole = whole or _loaded(model)
    if model.layers is None:
        return whole
    body = whole.body * model.layers // whole.blocks
    return whole._replace(weights=whole.weights - whole.body + body, body=body, blocks=model.layers)


class Length(NamedTuple):
    """Mean number of tokens of a pair's two texts: what they share, the prompt above all, counted once, and twice."""

    shared: float
    whole: float


TOKENS_A_PAIR = {"hh-harmless": Length(shared=101.0, whole=125.4)}
"""By name of the data set: measured with SmolLM2's tokenizer on 11,983 of its single-turn pairs."""

CHARACTERS_A_TOKEN = 3.94
"""Of English text, measured likewise."""


@lru_cache(maxsize=64)
def tokens_a_pair(pairs: Pairs | Texts, objective: Objective | None = None, shared: bool = True) -> float:
    """Mean number of tokens of a pair's two texts, what they share counted once or, unless ``shared``, twice.

    Counted for the world, whose tokens are words; as ``TOKENS_A_PAIR`` says for a data set that it names; from the
    number of characters for local files; helpfulness pairs of which neither is known are taken to be as long as the
    study's own; for all others as many as ``max_tokens`` allows: at most.
    """
    if isinstance(pairs, Texts):
        source = pairs.helpful if objective == "helpfulness" and pairs.helpful else pairs.source
        measured = TOKENS_A_PAIR.get(source.name)
        known = measured or (_estimated(source) if source.files else TOKENS_A_PAIR.get(pairs.source.name))
        limit = 2.0 * pairs.max_tokens
        return min(limit, known.shared if shared else known.whole) if known else limit
    frame = load.load(pairs, objective)
    chosen, rejected = ((frame["opening"] + frame[s] + frame["ending"]).str.split() for s in ("chosen", "rejected"))
    twice = sum(len(commonprefix([a, b])) for a, b in zip(chosen, rejected)) if shared else 0
    return float((chosen.str.len().sum() + rejected.str.len().sum() - twice) / len(frame))


def _estimated(source: Source) -> Length:
    prompt, chosen, rejected = (cleaning.usable_pairs(source)[s].str.len() for s in ("prompt", "chosen", "rejected"))
    whole = (2 * prompt + chosen + rejected).mean()
    return Length((whole - prompt.mean()) / CHARACTERS_A_TOKEN, whole / CHARACTERS_A_TOKEN)


class Work(NamedTuple):
    """Tokens that a run is trained on, forward and backward, and tokens that it only reads."""

    trained: float
    read: float
    predicts: bool = False
    """Whether it predicts tokens, and so multiplies with the vocabulary as well."""
    frozen: bool = False
    """Whether the weights' own gradients are left out: only adapters learn."""
    steps: float = 0
    """Steps of the optimizer."""


def work(run: Spec, rows: Mapping[str, int] | None = None) -> Work:
    """What a run reads and is trained on; at most, where a filter or early stopping may spare some of it.

    ``rows``: pairs of each ``Features``' data set, by name.
    """
    if isinstance(run, Pretrain):
        return Work(run.tokens, 0, predicts=True, steps=run.tokens // (run.block * run.batch_size))
    if isinstance(run, Features):
        pairs = Texts(source=run.source, max_tokens=run.max_tokens)
        read = (rows or {}).get(run.source.name, 2 * pairs.train_pairs + pairs.test_pairs)
        return Work(0, read * tokens_a_pair(pairs) / run.shards)
    if isinstance(run, Submission):
        return Work(0, run.pairs.train_pairs * tokens_a_pair(run.pairs, shared=False))
    if isinstance(run, Opinion):
        read = 0 if isinstance(run.model, Layer) else 2 * run.pairs.train_pairs
        return Work(0, read * tokens_a_pair(run.pairs, shared=run.of is not None), predicts=run.of is None)
    if isinstance(run, Society):
        return _of_a_society(run)
    if isinstance(run, Judgement):
        learned, said = work(run.judge), 2 * LONGEST_REPLY * run.policies[0].replies  # sampled once, and read
        again = 2 * run.pairs.train_pairs * tokens_a_pair(run.pairs) if isinstance(run.judge.model, Layer) else 0
        return Work(learned.trained, again + learned.read + said * (2 + len(run.policies)), frozen=learned.frozen)
    # Of a search at most, as if the guide were as large as the strong model, whose tokens are few beside its training.
    return _of_training(run.guide if isinstance(run, Search) else run)


def _of_a_society(run: Society) -> Work:
    """At most, as if every agent were as large as the strong one.  Agent and twin learn a reply a prompt each."""
    own, n = tokens_a_pair(run.pairs, shared=False), run.agents + 1
    tuned = run.recipe.sft_epochs * (run.pairs.train_pairs * run.agents + run.prompts)
    taught = run.recipe.epochs * run.rounds * run.prompts * n
    read = (run.rounds + 2) * n * (run.pairs.test_pairs + run.prompts)
    steps = ceil((2 * tuned + taught) / run.recipe.batch_size)
    return Work((tuned + taught) * own, read * own, predicts=True, steps=steps)


def _of_training(run: Train) -> Work:
    """Reward models go once over what the texts of a pair share, policies twice.  A head on frozen features costs next
    to nothing."""
    pairs, recipe, shared = run.pairs, run.recipe, run.method == "reward_model"
    if isinstance(run.model, Layer):
        return Work(0, 0, steps=_steps(run, recipe.epochs))
    own, mixed = tokens_a_pair(pairs, shared=shared), 0.0
    if run.conflict.objective is not None:
        mixed = run.conflict.share * tokens_a_pair(pairs, run.conflict.objective, shared)
    learned = (1 + run.as_long) * pairs.train_pairs * (own + mixed)
    scored = ((1 + run.everywhere) * pairs.train_pairs + pairs.test_pairs) * own
    frozen = isinstance(run.model, Checkpoint) and run.model.lora_rank is not None
    if shared and recipe.confidence_fence == "quantile" and isinstance(run.model, Checkpoint):
        scored += recipe.epochs * learned  # a batch is read before it is learned from, a part at a time
    if shared:
        return Work(recipe.epochs * learned, scored, frozen=frozen, steps=_steps(run, recipe.epochs))
    reference = learned + scored if run.method == "dpo" else learned if recipe.gamma else 0
    reference += 2 * scored if run.tokens else 0  # token by token, before and after
    trained = recipe.epochs * learned + recipe.sft_epochs * learned / 2
    steps = _steps(run, recipe.epochs) + _steps(run, recipe.sft_epochs)
    return Work(trained, scored + reference, predicts=True, frozen=frozen, steps=steps)


def _steps(run: Train, epochs: int) -> int:
    """Steps of the optimizer in so many epochs over the run's pairs: a second set makes the batch larger, or more."""
    pairs = round(run.pairs.train_pairs * (1 + run.conflict.share if run.conflict.kind == "mixed" else 1))
    pairs *= 1 + run.as_long
    if run.recipe.order == "repeated":
        return pairs * epochs // run.batch_size
    return epochs * ceil(pairs / run.batch_size)


def arithmetic(work: Work, size: Size) -> float:
    """Floating-point operations: for each weight and token read 2, and trained on 6, or 4 if the weight is frozen."""
    weights = size.body + (size.embedding if work.predicts else 0)
    return float(weights * (2 * work.read + (4 if work.frozen else 6) * work.trained))


ACTIVATIONS = {"float32": 122, "bfloat16": 66}
"""Bytes kept for the backward pass for each token, block and hidden unit, by what a model computes in: measured on
GPT-2's blocks by ``tests/benchmarks/cost.py``; Llama's keep fewer."""

LOGIT = 12
"""Bytes of a logit: itself, its logarithm of a probability, its gradient, each in fp32."""


def memory(run: Spec, size: Size, processes: int = 1) -> float:
    """Bytes of weights, gradients, AdamW's two moments and activations, in each of so many processes that share the
    run; on a GPU, at most.

    Weights are fp32, 16 bytes each where all of them learn, and 4 where they are frozen under adapters; under bf16 each
    process keeps a copy of all blocks in it until the backward pass is through.  Features are read in the checkpoint's
    own precision.  Reward models take ``budget.token_budget`` tokens at once, policies of real models ``shards.ALONE``
    pairs, processes that share a run ``shards.AT_A_TIME``: all as long as they may be.
    """
    if isinstance(run, Judgement):
        judge = run.judge.model
        return memory(judge.features if isinstance(judge, Layer) else run.judge, size, processes)
    if isinstance(run, Features):
        return size.weights * (2.0 if run.checkpoint.dtype == "bfloat16" else 4.0)
    model = getattr(run, "model", run)
    if isinstance(model, Layer):
        return 16.0 * size.hidden
    is_real = isinstance(model, Checkpoint)
    is_policy = is_real and run.method in POLICY_METHODS
    dtype, rank = (model.dtype, model.lora_rank) if is_real else ("float32", None)
    # Two pairs of adapters a block: of queries and of values.
    learning = size.weights if rank is None else 4 * rank * size.hidden * size.blocks
    longest = 2 * run.pairs.max_tokens if isinstance(run, Train) and isinstance(run.pairs, Texts) else 0
    if processes > 1 or is_policy:
        tokens = longest * (AT_A_TIME if processes > 1 else ALONE)
    else:
        tokens = max(token_budget(size.hidden, gpu=is_real), longest)
    copies = 2.0 * size.body if dtype == "bfloat16" else 0.0
    logits = tokens * LOGIT * size.embedding / size.hidden if is_policy else 0.0
    kept = tokens * size.blocks * size.hidden * ACTIVATIONS[dtype]
    return (4.0 * size.weights + 12.0 * learning) / processes + copies + kept + logits


class Machine(NamedTuple):
    """What a worker sustains: operations a second; and the seconds of a step, and of a run, that are no arithmetic."""

    name: str
    rate: float
    step: float = 0.0
    overhead: float = 0.0

    def hours(self, operations: float, steps: float = 0) -> float:
        return (operations / self.rate + steps * self.step + self.overhead) / 3600


ONE_CORE = Machine("one core", rate=2.7e10, step=0.021, overhead=1.0)
"""Fitted by ``tests/benchmarks/cost.py`` to the world's runs, one thread each, on a machine with two cores of an AMD
EPYC, both at work."""

DEVICE = Machine("a GPU that sustains 100 TFLOP/s", rate=1e14, overhead=60.0)
"""An assumption, not a measurement: a third of what an A100's data sheet promises for bf16, and a minute to load and to
write."""


def _rows(runs: Iterable[Spec]) -> dict[str, int]:
    """Pairs of each data set that the runs need, by name; those about helpfulness are only trained on."""
    rows: dict[str, int] = {}
    for pairs in (run.pairs for run in runs if isinstance(run, Train) and isinstance(run.pairs, Texts)):
        half = pairs.train_pairs
        for source, count in ((pairs.source, 2 * half + pairs.test_pairs), (pairs.helpful, 2 * half)):
            if source is not None:
                rows[source.name] = max(rows.get(source.name, 0), count)
    return rows


def _conflict(run: Train | Society) -> str:
    c = run.conflict
    if c.kind == "explicit":
        return f"explicit, alpha {c.alpha:g}"
    return "none" if c.kind == "none" else f"mixed with {c.objective}"


def _told(run: Spec, model: Pretrain | Checkpoint | Layer) -> dict[str, object]:
    """A plan's columns that say what a run is."""
    method, labels, conflict, seed = "", "", "", run.world.seed if isinstance(run, Pretrain) else None
    if isinstance(run, Train | Society | Search):
        conflict, seed = _conflict(run.guide if isinstance(run, Search) else run), run.pairs.seed
    if isinstance(run, Train):
        method, labels = run.method, "ground truth" if run.labels is None else model_name(run.labels.model)
    columns = {"key": run.key, "kind": type(run).__name__.lower(), "model": model_name(model), "method": method}
    parents = tuple(p.key for p in run.parents())
    return columns | {"labels": labels, "conflict": conflict, "seed": seed, "parents": parents}


def plan_runs(
    runs: Iterable[Spec], device: Machine = DEVICE, core: Machine = ONE_CORE, lab: Lab | None = None, processes: int = 1
) -> pd.DataFrame:
    """One row for each run and each of its parents, parents first.

    Columns: ``key``, ``kind``, ``model``, ``method``, ``labels``, ``conflict``, ``seed``, ``parents`` (keys),
    ``weights``, ``trained`` and ``read`` (tokens), ``operations``, ``memory`` (bytes a process), ``machine``,
    ``hours``, ``ends`` (hours from the start if every run began as soon as its parents were there) and ``there``
    (whether the ``lab`` has the result).  ``processes`` share the fine-tuning of a real model.

    Raises:
        CostError: the size of a model is not known.
    """
    order = closure(runs)
    rows = _rows(order)
    absent = None if lab is None else {run.key for run in lab.missing(order)}
    out, ends = [], {}
    for run in order:
        model = run.checkpoint if isinstance(run, Features) else getattr(run, "model", run)
        its, todo, together = size(model), work(run, rows), processes if trains_all(run) else 1
        if isinstance(run, Judgement):  # as if the larger of the two replied and judged
            its = max(its, size(run.reader))
        machine, there = device if wants_gpu(run) else core, absent is not None and run.key not in absent
        operations = arithmetic(todo, its)
        hours = 0.0 if there else machine.hours(operations / together, todo.steps)
        ends[run.key] = hours + max((ends[p.key] for p in run.parents()), default=0.0)
        its_work = {"weights": its.weights, "trained": todo.trained, "read": todo.read, "operations": operations}
        its_time = {"machine": machine.name, "hours": hours * together, "ends": ends[run.key], "there": there}
        out.append(_told(run, model) | its_work | {"memory": memory(run, its, together)} | its_time)
    return pd.DataFrame(out)


def plan(study: Study, device: Machine = DEVICE, core: Machine = ONE_CORE, lab: Lab | None = None) -> pd.DataFrame:
    """The plan of everything that the study's chapters need, shared as ``$W2S_SHARDS`` says; see ``plan_runs``."""
    return plan_runs(study.runs(), device, core, lab, processes=shards())


def summary(plan: pd.DataFrame) -> pd.DataFrame:
    """The plan with alike runs together, in the order of their first: what they are, then ``runs``, how many are
    ``there``, and of one of them ``parents``, ``tokens`` (trained on and read) and ``GB``; ``hours`` are those of
    all."""
    learns_from = plan["labels"].where(plan["labels"].isin(["", "ground truth"]), "weak labels")
    rows = plan.assign(tokens=plan["trained"] + plan["read"], GB=plan["memory"] / 1e9, learns_from=learns_from)
    rows["parents"] = rows["parents"].map(len)
    alike = rows.groupby(["kind", "model", "method", "learns_from", "conflict", "machine"], sort=False)
    columns = {"key": "size", "there": "sum", "parents": "max", "tokens": "mean", "GB": "max", "hours": "sum"}
    return alike.agg(columns).rename(columns={"key": "runs"}).reset_index()


def bill(studies: Iterable[Study], price: float) -> pd.DataFrame:
    """What whole studies take, a row each: ``edition``, ``runs``, ``GB`` of the largest, ``hours`` of GPUs and
    ``euros`` at ``price`` an hour; nothing is run."""
    rows = []
    for study in studies:
        runs = plan(study)
        hours = float(runs.loc[runs["machine"] == DEVICE.name, "hours"].sum())
        rows.append((study.edition.name, len(runs), runs["memory"].max() / 1e9, hours, price * hours))
    return pd.DataFrame(rows, columns=["edition", "runs", "GB", "hours", "euros"])


def print_plan(plan: pd.DataFrame, price: float | None = None) -> None:
    """Print what is to be run, what it takes, and what it costs at ``price`` euros an hour of a GPU."""
    formats = {"tokens": "{:,.0f}".format, "GB": "{:.1f}".format, "hours": "{:.2f}".format}
    print(summary(plan).drop(columns="machine").to_string(index=False, formatters=formats))
    missing = plan[~plan["there"]]
    tokens = f"they are trained on {missing['trained'].sum():,.0f} tokens and read {missing['read'].sum():,.0f} more"
    print(f"\n{len(plan)} runs, {len(missing)} of them missing; {tokens}.")
    for machine, rows in missing.groupby("machine", sort=False):
        hours, largest = rows["hours"].sum(), rows["memory"].max() / 1e9
        print(f"{len(rows)} runs on {machine}: {hours:.1f} hours; the largest takes {largest:.1f} GB.")
    print(f"However many workers there are, runs that wait for each other take {plan['ends'].max():.1f} hours.")
    if price is not None:
        hours = missing.loc[missing["machine"] != ONE_CORE.name, "hours"].sum()
        print(f"At {price:g} euros an hour of a GPU: {price * hours:,.0f} euros.")
