"""Pretrained models from elsewhere: a hub id, or a folder that holds safetensors or one GGUF file.

Nothing is loaded by pickle, and no code comes with a model.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import (
    MODEL_FOR_CAUSAL_LM_MAPPING,
    MODEL_FOR_MASKED_LM_MAPPING,
    MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING,
    AutoConfig,
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    GgufConfig,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.utils import logging

from w2s_lib.models.folders import CheckpointError
from w2s_lib.models.ladder import KNOWN
from w2s_lib.models.names import NO_MODEL, NO_SAFETENSORS, is_packaged, local, packaged
from w2s_lib.specs import Checkpoint, HeadInit, Method, TruncationSide

logging.disable_progress_bar()  # weights are read in seconds, and bars fill logs
logging.set_verbosity_error()  # which weights fit is checked here, and said in one line


def _where(checkpoint: Checkpoint) -> tuple[str, dict[str, Any]]:
    """First argument and keywords of ``from_pretrained``."""
    if is_packaged(checkpoint):
        checkpoint = packaged(KNOWN[checkpoint.name])
    if checkpoint.folder is None:
        return checkpoint.name, {"revision": checkpoint.revision}
    if local(Path(checkpoint.folder, checkpoint.gguf or "")).revision != checkpoint.revision:
        raise CheckpointError(checkpoint.folder, "its files were changed since the study began; run it again")
    return checkpoint.folder, {"gguf_file": checkpoint.gguf} if checkpoint.gguf else {}


def _load(checkpoint: Checkpoint, kind: type, name: str, **keywords: Any) -> Any:
    """``kind.from_pretrained``, whose errors come in one line."""
    try:
        return kind.from_pretrained(name, trust_remote_code=False, **keywords)
    except Exception as error:  # it lets errors of many libraries through
        said = " ".join(str(error).split())
        if checkpoint.folder is None and ("connect" in said or "offline" in said or "cached" in said):
            said = NO_MODEL
        elif checkpoint.folder is None and "safetensors" in said:
            said = NO_SAFETENSORS
        elif checkpoint.gguf is not None:
            said = f"{checkpoint.gguf} cannot be read ({said[:200]})"
        elif kind is AutoTokenizer:
            said = f"its tokenizer cannot be read ({said[:200]}); save it again: tokenizer.save_pretrained(folder)"
        raise CheckpointError(checkpoint_name(checkpoint), said[:300]) from None


def checkpoint_name(checkpoint: Checkpoint) -> str:
    """What errors call a model: where it lies, or its name."""
    return checkpoint.folder or checkpoint.name


def configuration(checkpoint: Checkpoint) -> PreTrainedConfig:
    """The configuration of a causal language model whose weights are plain numbers.

    Raises:
        CheckpointError: it is another kind of model, or its weights are quantised.
    """
    name, where = _where(checkpoint)
    config = _load(checkpoint, AutoConfig, name, **where)
    kind, packed = type(config), getattr(config, "quantization_config", None)
    reads_both_ways = config.is_encoder_decoder or kind in MODEL_FOR_MASKED_LM_MAPPING
    if reads_both_ways or kind not in MODEL_FOR_CAUSAL_LM_MAPPING:
        says = f"is of the family {config.model_type!r}; causal language models are needed, such as GPT-2 or Llama"
        raise CheckpointError(checkpoint_name(checkpoint), says)
    if packed and "gguf_file" not in where:
        method = packed.get("quant_method") if isinstance(packed, dict) else packed.quant_method
        says = f"its weights are quantised ({method}); use them in full precision, or as GGUF"
        raise CheckpointError(checkpoint_name(checkpoint), says)
    return config


@lru_cache(maxsize=4)
def tokenizer(
    checkpoint: Checkpoint, max_tokens: int, truncation_side: TruncationSide = "right"
) -> PreTrainedTokenizerBase:
    """The checkpoint's tokenizer, for up to ``max_tokens``, padding on the right, with its end or first token at need.

    Rewards are read at a text's last own token, so that what stands in the padding never matters.
    """
    name, where = _where(checkpoint)
    found = _load(checkpoint, AutoTokenizer, name, **where)
    if found.pad_token_id is None:
        found.pad_token = found.eos_token or found.convert_ids_to_tokens(0)
    found.padding_side, found.model_max_length, found.truncation_side = "right", max_tokens, truncation_side
    return found


DROPOUTS = (
    "resid_pdrop", "embd_pdrop", "attn_pdrop", "dropout", "attention_dropout", "activation_dropout", "hidden_dropout",
    "layerdrop", "residual_dropout", "hidden_dropout_prob", "attention_probs_dropout_prob",
)  # fmt: skip
"""What configurations call shares that are dropped at random in training."""


WRAPPERS = {r"^(?:_orig_mod\.|module\.)+": "", r"\._orig_mod\.": "."}
"""What torch.compile and DistributedDataParallel put into names of weights, and what stands there without them."""

OUTPUTS = re.compile(r"(^|\.)(lm_head|embed_out|score|classifier|v_head)\.")
"""Weights behind the last hidden states, under the names that families and trainers give them."""

BUFFERS = re.compile(r"\.(attn|attention)\.(bias|masked_bias)$|\.inv_freq$")
"""What older files hold beside weights: masks and angles, which models make themselves."""


def _pretrained(checkpoint: Checkpoint, kind: type, fetch: bool = True, **keywords: Any) -> PreTrainedModel:
    """The model's first blocks, as many as the checkpoint says, in fp32, without dropout, as in the paper's code.

    Some families drop by a function, which no trainer switches off.  Unless its files are to be fetched, it is what its
    configuration says, on no device.

    Raises:
        CheckpointError: it cannot be read, or its weights do not fit its architecture.
    """
    config, (name, where) = configuration(checkpoint), _where(checkpoint)
    if not fetch:
        with torch.device("meta"):
            return kind.from_config(config)
    keywords |= {key: 0.0 for key in DROPOUTS if hasattr(config, key)}
    if "gguf_file" in where:
        where["quantization_config"] = GgufConfig(dequantize=True)  # else the weights stay packed, and slow
    else:
        where |= {"use_safetensors": True, "key_mapping": WRAPPERS, "ignore_mismatched_sizes": True}
    keywords |= {"dtype": torch.float32, "output_loading_info": True}
    model, found = _load(checkpoint, kind, name, **where, **keywords)
    vars(model).pop("_weight_conversions", None)  # else it would be saved under the names that were mended
    _fit(checkpoint, model, found)
    return model if checkpoint.layers is None else truncate(model, checkpoint.layers)


def _fit(checkpoint: Checkpoint, model: PreTrainedModel, found: dict[str, Any]) -> None:
    """Refuse weights that are not the model's: transformers draws at random what a file does not hold."""
    drawn = "score.weight"  # the new head
    odd = {
        "missing": {key for key in found["missing_keys"] if key != drawn},
        "of another shape": {key for key, *_ in found["mismatched_keys"] if key != drawn},
        "not its own": {key for key in found["unexpected_keys"] if not OUTPUTS.search(key) and not BUFFERS.search(key)},
    }
    if not any(odd.values()):
        return
    told = "; ".join(f"{len(keys)} {what}, such as {min(keys)}" for what, keys in odd.items() if keys)
    says = f"its weights do not fit its architecture, {type(model).__name__}: {told}"
    raise CheckpointError(checkpoint_name(checkpoint), says)


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
    raise CheckpointError(family, f"its {depth} blocks were not found; other layers cannot be cut off")


def truncate(model: PreTrainedModel, layers: int) -> PreTrainedModel:
    """The same model, in place, with its first blocks only.

    Raises:
        CheckpointError: it has fewer blocks.
    """
    depth = model.config.num_hidden_layers
    if layers > depth:
        says = f"layers={layers}: the model has {depth} blocks; allowed: 1 to {depth}"
        raise CheckpointError(model.config.name_or_path, says)
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
    """The model, with adapters (of queries and values, or the like) drawn from ``seed`` where the checkpoint asks.

    Raises:
        CheckpointError: peft does not know where a model of this family has its queries and values.
    """
    if checkpoint.lora_rank is None:
        return model
    from peft import LoraConfig, get_peft_model, inject_adapter_in_model
    from peft.utils import TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING

    rank, gpt2 = checkpoint.lora_rank, model.config.model_type == "gpt2"
    adapters = LoraConfig(task_type=task, r=rank, lora_alpha=2 * rank, lora_dropout=0.0, fan_in_fan_out=gpt2)
    if model.config.model_type not in TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING:
        says = f"lora_rank={rank}: peft knows no place for adapters in the family {model.config.model_type!r}"
        raise CheckpointError(
            checkpoint_name(checkpoint), f"{says}; train all weights (no lora_rank), or another family"
        )
    with torch.random.fork_rng(devices=[]):  # peft draws from torch's own stream
        torch.default_generator.manual_seed(seed)
        if task == "SEQ_CLS":  # trains and saves the head as well; without it the head would stay random, and be lost
            return get_peft_model(model, adapters)
        # Under peft's wrapper TRL would keep a copy of the adapters as its reference, which it is not asked for here.
        return inject_adapter_in_model(adapters, model)


def language_model(checkpoint: Checkpoint, seed: int = 0) -> PreTrainedModel:
    """The causal language model, for policies; adapters, where the checkpoint asks for them, are set into it."""
    return _adapted(_pretrained(checkpoint, AutoModelForCausalLM), checkpoint, "CAUSAL_LM", seed)


def draw_head(shape: Sequence[int], seed: int, scale: float, init: HeadInit = "normal") -> torch.Tensor:
    """Weights of a head before training: normal with deviation ``scale``, or ``uniform`` within ± 1 / √width."""
    generator = torch.Generator().manual_seed(seed)
    if init == "normal":
        return scale * torch.randn(*shape, generator=generator)
    return (2 * torch.rand(*shape, generator=generator) - 1) / shape[-1] ** 0.5


def _classifier(checkpoint: Checkpoint, **keywords: Any) -> PreTrainedModel:
    """The model under a scalar head that is one linear layer, as causal language models have it."""
    config = configuration(checkpoint)
    if type(config) in MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING:
        model = _pretrained(checkpoint, AutoModelForSequenceClassification, num_labels=1, **keywords)
        if isinstance(getattr(model, "score", None), nn.Linear):
            return model
    says = f"transformers has no scalar head for the family {config.model_type!r}"
    says += "; its frozen layers can be used: name@layer"
    raise CheckpointError(checkpoint_name(checkpoint), says)


def without_weights(checkpoint: Checkpoint, method: Method | None, fetch: bool = True) -> PreTrainedModel:
    """The model as a method trains it (None: as features are read off it), names of weights held against its files,
    which are fetched where only the hub has them, if they are to be.

    No weight is read.

    Raises:
        CheckpointError: they do not fit, or the method cannot train it.
    """
    if method is None:
        return _pretrained(checkpoint, AutoModel, fetch, device_map="meta")
    if method == "reward_model":
        return _adapted(_classifier(checkpoint, fetch=fetch, device_map="meta"), checkpoint, "SEQ_CLS", seed=0)
    model = _pretrained(checkpoint, AutoModelForCausalLM, fetch, device_map="meta")
    return _adapted(model, checkpoint, "CAUSAL_LM", seed=0)


def reward_model(
    checkpoint: Checkpoint, head_scale: float, seed: int, head_init: HeadInit = "normal"
) -> PreTrainedModel:
    """The model under a new scalar head drawn from ``seed``, with adapters where the checkpoint asks for them.

    Weights are fp32; where the checkpoint says bfloat16, the trainer computes in it (autocast).
    """
    model = _classifier(checkpoint)
    model.config.pad_token_id = tokenizer(checkpoint, max_tokens=512).pad_token_id
    with torch.no_grad():
        model.score.weight.copy_(draw_head(model.score.weight.shape, seed, head_scale, head_init))
    return _adapted(model, checkpoint, "SEQ_CLS", seed)


@lru_cache(maxsize=64)
def shape(checkpoint: Checkpoint) -> tuple[int, int]:
    """Weights and blocks of a model, by its configuration alone: no weight is read.

    Raises:
        CheckpointError: there is no such model, or it cannot be reached.
    """
    config = configuration(checkpoint)
    with torch.device("meta"):
        return AutoModel.from_config(config).num_parameters(), config.num_hidden_layers
