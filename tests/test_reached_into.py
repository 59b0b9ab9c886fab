"""Where libraries are reached into they are as the code takes them to be; if not, it is said what to do."""

import inspect
import re
from importlib.metadata import version

import pytest
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedModel, Trainer, TrainingArguments
from transformers.activations import NewGELUActivation
from transformers.core_model_loading import revert_weight_conversion
from transformers.distributed.fsdp import ALL_FSDP_STYLES
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import create_causal_mask
from transformers.safetensors_conversion import previous_pr
from trl import DPOTrainer, RewardTrainer
from trl.trainer import dpo_trainer, reward_trainer, utils

from w2s_lib.training import policy, reached_into

TOLD = reached_into.__doc__
ENTRIES = dict(re.findall(r"^``([\w.]+)``\n    ``([\w.]+)``", TOLD, re.M))
CHECKED = dict(re.findall(r"(trl|transformers|accelerate) (\d[\d.]*\d)", TOLD))

TINY = LlamaConfig(
    vocab_size=9, hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=2, num_labels=1
)


def parameters(function) -> list[str]:
    return list(inspect.signature(function).parameters)


def digests_by_this_name() -> bool:
    calls = "hash_module(" in inspect.getsource(DPOTrainer.__init__)
    return calls and parameters(dpo_trainer.hash_module) == ["module"]


def is_called_with(name: str, *arguments: str) -> bool:
    called = f"self.{name}(" in inspect.getsource(DPOTrainer.__init__)
    return called and parameters(getattr(DPOTrainer, name)) == ["self", *arguments]


def loss_asks_once_for_what_is_told() -> bool:
    source = inspect.getsource(DPOTrainer._compute_loss)
    asked = set(re.findall(r"\boutputs\.(\w+)", source)) - {"aux_loss", "log_sum_sq_probs"}  # of what is not used here
    return asked == set(policy.Told._fields) and source.count("= model(**model_kwargs, labels=labels, fused") == 1


def ignored_tokens_are_told_as_zero() -> bool:
    model = LlamaForCausalLM(TINY)
    utils.add_fused_lm_head(model)
    ids, labels = torch.tensor([[1, 2, 3, 4]]), torch.tensor([[-100, -100, 3, 4]])
    told = model(input_ids=ids, labels=labels, use_cache=False, fused_lm_head=True).log_probs[0]
    whole = model(input_ids=ids).logits[0].log_softmax(-1)
    return torch.allclose(told, torch.stack([torch.tensor(0.0), whole[1, 3], whole[2, 4]]), atol=1e-5)


def hides_a_warning() -> bool:
    with reward_trainer.suppress_seqcls_warning():
        return True


def columns_are_listed_once() -> bool:
    for kind in (DPOTrainer, RewardTrainer):
        trainer = kind.__new__(kind)
        trainer._signature_columns, trainer._is_vision_dataset = None, False
        trainer._set_signature_columns_if_needed()
        first = trainer._signature_columns
        trainer._set_signature_columns_if_needed()
        if not {"chosen_ids", "rejected_ids"} <= set(first) or trainer._signature_columns is not first:
            return False
    return "_signature_columns" in inspect.getsource(Trainer._remove_unused_columns)


def schedule_is_left() -> bool:
    trainer = Trainer.__new__(Trainer)
    trainer.lr_scheduler = mine = object()
    return trainer.create_scheduler(10) is mine


def parts_are_averaged() -> bool:
    return Trainer.loss_is_scaled_for_ga is None and "self.loss_is_scaled_for_ga" in inspect.getsource(
        Trainer.training_step
    )


def counts_devices(folder) -> bool:
    arguments = TrainingArguments(output_dir=str(folder), use_cpu=True, report_to=[])
    before, arguments._n_gpu = arguments.n_gpu, 4
    return (before, arguments.n_gpu) == (0, 4)


def leaves_these_on_a_model() -> bool:
    model = LlamaForCausalLM(TINY)
    AcceleratorState._reset_state(reset_partial_state=True)
    try:
        accelerator = Accelerator(cpu=True, mixed_precision="bf16")
        accelerator.prepare_model(model)
    finally:
        AcceleratorState._reset_state(reset_partial_state=True)
    return model._is_accelerate_prepared and {"forward", "_original_forward"} <= set(vars(model))


def spreads_a_loaded_model() -> bool:
    model = LlamaForCausalLM(TINY)
    model.fsdp_plan = {"model.layers.*": "free_full_weight"}
    asks = parameters(PreTrainedModel.prepare_distribute_model)[0], parameters(PreTrainedModel.maybe_distribute_model)
    known = "free_full_weight" in ALL_FSDP_STYLES and model.fsdp_plan["model.layers.*"] == "free_full_weight"
    return known and asks == ("distributed_config", ["model", "distributed_config", "mesh_manager"])


def names_the_attention() -> bool:
    model = LlamaForCausalLM(TINY)
    before = model.config._attn_implementation
    model.set_attn_implementation("eager")
    return (before, model.config._attn_implementation) == ("sdpa", "eager")


def attends() -> bool:
    module, x = LlamaForCausalLM(TINY).model.layers[0].self_attn, torch.ones(1, 2, 5, 4)
    out, weights = sdpa_attention_forward(module, x, x, x, None, scaling=1.0)
    return out.shape == (1, 5, 2, 4) and weights is None


def hands_a_mask_through() -> bool:
    mask, model = torch.ones(1, 1, 1, 1), LlamaForCausalLM(TINY)
    given = {"config": model.config, "inputs_embeds": torch.ones(1, 3, 8), "attention_mask": mask}
    return create_causal_mask(**given, past_key_values=None, position_ids=None) is mask


def is_the_same_function() -> bool:
    x = torch.linspace(-5, 5, 101)
    return torch.allclose(NewGELUActivation()(x), torch.nn.GELU(approximate="tanh")(x), atol=1e-5)


CHECKS = {
    "trl.trainer.dpo_trainer.hash_module": (
        digests_by_this_name, "find what DPOTrainer.__init__ calls on the weights if precompute_ref_log_probs"),
    "trl.DPOTrainer._prepare_dataset": (
        lambda: is_called_with("_prepare_dataset", "dataset", "processing_class", "args", "dataset_name"),
        "find what DPOTrainer.__init__ does to its dataset, and keep tokenised pairs as they are"),
    "trl.DPOTrainer._precompute_ref_logps": (
        lambda: is_called_with("_precompute_ref_logps", "dataset", "name", "batch_size"),
        "find what DPOTrainer.__init__ computes reference log-probabilities by, and keep the columns"),
    "trl.DPOTrainer._compute_loss": (
        loss_asks_once_for_what_is_told, "compare its call of the model, and what it reads of the answer, with Told"),
    "trl.trainer.utils.add_fused_lm_head": (
        ignored_tokens_are_told_as_zero, "compare what the patched forward returns with ReplySFTTrainer.compute_loss"),
    "trl.trainer.reward_trainer.suppress_seqcls_warning": (
        hides_a_warning, "find what RewardTrainer wraps from_pretrained in, or drop it from build"),
    "transformers.Trainer._set_signature_columns_if_needed": (
        columns_are_listed_once, "find how unused columns are removed now: the labels must reach PairCollator"),
    "transformers.Trainer.create_scheduler": (
        schedule_is_left, "find how a trainer takes a schedule of ours, for WarmsUp"),
    "transformers.Trainer.loss_is_scaled_for_ga": (
        parts_are_averaged, "find how compute_loss says that the trainer has to divide by the parts of a batch"),
    "transformers.TrainingArguments._n_gpu": (
        lambda: counts_devices("/tmp"), "find what n_gpu reads, for one_device"),
    "accelerate.Accelerator.prepare_model": (
        leaves_these_on_a_model, "find what it sets on a model, and take it back in train_quietly"),
    "transformers.PreTrainedModel.prepare_distribute_model": (
        spreads_a_loaded_model, "find how from_pretrained shards a model by distributed_config, for share"),
    "transformers.PreTrainedConfig._attn_implementation": (
        names_the_attention, "find where set_attn_implementation keeps its name"),
    "transformers.integrations.sdpa_attention.sdpa_attention_forward": (
        attends, "compare its arguments and shapes with attention"),
    "transformers.masking_utils.create_causal_mask": (
        hands_a_mask_through, "find which mask means that none is built, for _read"),
    "transformers.activations.NewGELUActivation": (
        is_the_same_function, "find GPT-2's activation, for _fuse"),
    "transformers.core_model_loading.revert_weight_conversion": (
        lambda: '"_weight_conversions", None)' in inspect.getsource(revert_weight_conversion),
        "find how a model that was loaded remembers renamed weights, for _pretrained"),
    "transformers.safetensors_conversion.previous_pr": (
        lambda: parameters(previous_pr) == ["api", "model_id", "pr_title", "token"],
        "find how transformers finds the bot's pull request, for _commit"),
}  # fmt: skip
"""Of every entry what is true of it, and what to look for where it is not."""


@pytest.mark.parametrize("what", CHECKS)
def test_what_is_reached_into_is_as_it_was(what):
    (holds, look), library = CHECKS[what], what.split(".")[0]
    try:
        true, why = holds(), ""
    except Exception as error:
        true, why = False, f" ({type(error).__name__}: {error})"
    file = f"w2s_lib/{ENTRIES[what].replace('.', '/')}.py"
    assert true, f"{what} has changed in {library} {version(library)}{why}: edit {file}; {look}"


def test_every_entry_is_checked():
    assert set(ENTRIES) == set(CHECKS)


@pytest.mark.parametrize("library", ["trl", "transformers", "accelerate"])
def test_the_versions_are_those_that_were_checked(library):
    assert CHECKED[library] == version(library), (
        f"w2s_lib/training/reached_into.py was checked at {library} {CHECKED[library]}: "
        "once the other tests here pass, write the new version there"
    )
