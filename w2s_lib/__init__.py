"""The helper library of the book: packages in the order of an experiment, each of which imports only those before it.

``specs``
    what an experiment is: frozen specs whose content names their result (with ``errors``, ``digests``, ``progress``).
``measures``
    tax, deception score, nulls and intervals: pure functions of arrays.
``data``
    the preference world, real data sets, and preference pairs with stable ids in leak-free splits.
``models``
    the ladder of language models, pretrained here or elsewhere, and what they make of a text.
``training``
    labels and losses; reward models and policies on TRL; heads on frozen features.
``lab``
    results on disk by content, and running what is missing, here or on a cluster.
``study``
    conditions, methods, mitigations and editions; who is trained on what, and what that takes.
``findings``
    what each chapter finds, as rows of one tidy frame; the verdicts read off them.
``figures``, ``book``
    drawing; what a notebook opens, tables, checks, the report and the build.

Nothing loads torch before it has to: reading results takes none.
"""

import os

__version__ = "0.1.0"

os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")  # else trainers tell the hub that they train; read once
