"""How many tokens of text a minibatch holds; without torch, so that plans of runs begin at once."""

TOKEN_BUDGET = 1024
"""Tokens of text at once on a processor: enough for matrix products at full rate, few enough to stay in its cache."""


def token_budget(width: int, gpu: bool) -> int:
    """Tokens of text in a minibatch for a model with hidden states of that width: on a GPU more, but of a wide model,
    which needs few to keep it busy, as few as on a processor, for the sake of memory."""
    return min(4096, max(TOKEN_BUDGET, 2**22 // width)) if gpu else TOKEN_BUDGET
