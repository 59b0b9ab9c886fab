"""Where TRL, transformers and accelerate are reached into: what they do not promise to keep, and may move.

Checked at trl 1.16.0, transformers 5.23.0 and accelerate 1.15.0 by ``tests/test_reached_into.py``, one check an entry,
whose failure says what to look for.  After a change of versions, mend what it names, and write the new ones here.

``trl.trainer.dpo_trainer.hash_module``
    ``training.policy`` replaces it while a trainer is made: it digests all weights, and shards have no digest.
``trl.DPOTrainer._prepare_dataset``
    ``training.policy`` overrides it: the pairs are tokenised already.
``trl.DPOTrainer._precompute_ref_logps``
    ``training.policy`` overrides it: the reference's log-probabilities are columns already.
``trl.DPOTrainer._compute_loss``
    ``training.policy`` gives the model a forward pass of its own that answers what this asks for (``Told``), and a hook
    that reads the answer off its only call: the stock loss has no soft labels.
``trl.trainer.utils.add_fused_lm_head``
    ``training.policy`` asks the forward pass that it sets for log-probabilities: the mean over replies is not TRL's.
``trl.trainer.reward_trainer.suppress_seqcls_warning``
    ``training.reward_model`` reads a causal model as a classifier: that its head is new is no news.
``transformers.Trainer._set_signature_columns_if_needed``
    ``training.trl_settings`` adds to ``_signature_columns``, in TRL's trainers: other columns are dropped silently.
``transformers.Trainer.create_scheduler``
    ``training.trl_settings`` sets ``lr_scheduler`` before it, which it then leaves: no stock schedule is by share.
``transformers.Trainer.loss_is_scaled_for_ga``
    ``training.policy`` says no: its mean over replies is one of a part of the batch.
``transformers.TrainingArguments._n_gpu``
    ``training.trl_settings`` sets it to 1: TRL refuses a process that sees several GPUs.
``accelerate.Accelerator.prepare_model``
    ``training.trl_settings`` takes back what it leaves on a model, ``_is_accelerate_prepared``, ``_original_forward``
    and ``forward``: another trainer prepares it anew.  ``models.packing`` puts its own pass in place of ``forward``.
``transformers.PreTrainedModel.prepare_distribute_model``
    ``training.shards`` calls it, and ``maybe_distribute_model``, on a model that is loaded, with a plan of its blocks.
``transformers.PreTrainedConfig._attn_implementation``
    ``models.packing`` reads which attention a model has: it sets its own in place of ``sdpa`` alone.
``transformers.integrations.sdpa_attention.sdpa_attention_forward``
    ``models.packing`` computes with it within its own attention, which transformers' registry takes.
``transformers.masking_utils.create_causal_mask``
    ``models.packing`` gives a mask of four dimensions, which is handed through, so that none is built.
``transformers.activations.NewGELUActivation``
    ``models.packing`` puts torch's own in its place: the same function in one operation.
``transformers.core_model_loading.revert_weight_conversion``
    ``models.checkpoints`` deletes ``_weight_conversions``, by which it would save mended names as they were.
``transformers.safetensors_conversion.previous_pr``
    ``models.names`` finds the hub's own proposal of safetensors by it.
"""
