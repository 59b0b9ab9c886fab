"""How models are trained on preferences: by method, with which recipe.

The recipes of the world were chosen on study seeds that the book does not report, before any run with a conflict.
"""

from typing import Any

from w2s_lib.specs import Method, PolicyRecipe, Recipe

TITLES: dict[Method, str] = {"reward_model": "reward model", "dpo": "DPO", "simpo": "SimPO"}
"""Every method, with its name in figures."""

POLICY_METHODS: tuple[Method, ...] = ("dpo", "simpo")
"""Those that train a policy, whose implicit reward ranks."""

RECIPES: dict[Method, Recipe | PolicyRecipe] = {
    "reward_model": Recipe(),
    "dpo": PolicyRecipe(beta=1.0),
    "simpo": PolicyRecipe(beta=5.0, gamma=0.0),
}

SOCIETY: dict[str, Any] = {"epochs": 1, "sft_epochs": 1}
"""Recipe of agents that teach each other, beside that of DPO: an epoch of supervised fine-tuning, and one a round."""

PROMPTS = 0.4
"""To how many prompts they reply, as a share of the labelled pairs; four in five of these are about a substance."""

VARIANTS: dict[str, dict[str, Any]] = {
    "macpo": {},
    "frozen_weak": {"mutual": False},
    "any_candidate": {"familiar": False},
    "one_teacher": {"agents": 1},
}
"""The society of Lyu et al. (2024), and what it is held against, each other in one respect: the strong agent learns
alone, from any weak agent's reply, or from one weak agent.  Lessons are as many."""

HEAD: dict[str, Any] = {
    "frozen": True, "epochs": 3, "batch_size": 32, "head_learning_rate": 3e-3, "schedule": "cosine", "warmup_steps": 6
}  # fmt: skip
"""Recipe of linear heads on frozen models of the world: that of the edition hh-smol."""
