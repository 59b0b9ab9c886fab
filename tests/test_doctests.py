"""The examples in the docstrings are true."""

import doctest
import importlib

import pytest


@pytest.mark.parametrize(
    "module",
    [
        "specs",
        "data.pairs",
        "errors",
        "data.rows",
        "measures.metrics",
        "measures.intervals",
        "study.edition",
        "lab.provenance",
        "findings.benchmarks",
        "findings.results",
        "findings.objectives",
        "findings.sensitivity",
        "findings.early_warning",
        "lab.cluster",
        "study.cost",
        "book.decks",
    ],
)
def test_examples(module):
    flags = doctest.ELLIPSIS | doctest.IGNORE_EXCEPTION_DETAIL
    failed, tried = doctest.testmod(importlib.import_module(f"w2s_lib.{module}"), optionflags=flags)
    assert tried and not failed
