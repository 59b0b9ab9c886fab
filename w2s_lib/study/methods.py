"""How models are trained on preferences: by method, with which recipe.

The recipes of the world were chosen on study seeds that the book does not report, before any run with a conflict.
"""

from __future__ import annotations

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
