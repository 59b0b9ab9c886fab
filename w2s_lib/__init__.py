"""The helper library of the book, in the order in which an experiment happens.

``errors``, ``digests``, ``run``
    one-line errors; what files say, as digests; what an experiment is: frozen specs whose content names their result.
``world``, ``pairs``, ``data``
    the preference world, real data sets, and preference pairs with stable ids in leak-free splits.
``ladder``, ``checkpoints``, ``conditions``, ``methods``, ``mitigations``, ``edition``
    registries and parameters: which models, conflicts, controls, recipes, remedies, which numbers.
``supervision``, ``losses``, ``prefix``, ``score``, ``features``, ``pretrain``, ``trainers``, ``reward_model``, ``sharded``, ``probe``, ``policy``, ``train``
    the models: pretrained with transformers or read frozen, trained as reward models or policies on TRL, scored.
``store``, ``cluster``, ``lab``, ``study``, ``cost``
    results on disk by content; running what is missing, here or elsewhere; who is trained on what; what that takes.
``metrics``, ``uncertainty``, ``results``
    pure functions: tax, deception score and nulls; intervals; the tidy frame of all numbers.
``talk``, ``findings``, ``objectives``, ``sensitivity``, ``early_warning``, ``claims``
    what each chapter finds, as rows of that frame; and the verdicts read off them.
``benchmarks``, ``figures``, ``chapter``, ``check``, ``report``, ``ship``, ``book``
    measurements of speed, drawing, what a notebook opens, exercise checks, a report on own pairs, results that come with the project, the build.

A module imports only what stands before it; but for ``checkpoints`` and the third group, none loads torch before it has to.
"""

__version__ = "0.1.0"
