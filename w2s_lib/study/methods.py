"""How models are trained on preferences: by method, with which recipe.

The recipes of the world were chosen on study seeds that the book does not report, before any run with a conflict.
"""

from __future__ import annotations

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

HEAD: dict[str, Any] = {
    "frozen": True, "epochs": 3, "batch_size": 32, "head_learning_rate": 3e-3, "schedule": "cosine", "warmup_steps": 6
}  # fmt: skip
"""Recipe of linear heads on frozen models of the world: that of the edition hh-smol."""
