"""The helper library of the book, in the order in which an experiment happens.

``run``
    what an experiment is: frozen specs whose content names their result.
``world``, ``pairs``
    the preference world, and preference pairs with stable ids in leak-free splits.
``ladder``, ``conditions``, ``methods``, ``mitigations``, ``edition``
    registries and parameters: which models, conflicts, controls, recipes, remedies, which numbers.
``supervision``, ``losses``, ``score``, ``pretrain``, ``trainers``, ``reward_model``, ``policy``, ``train``
    the models: pretrained with transformers, trained as reward models or policies on TRL, scored.
``store``, ``lab``, ``study``
    results on disk by content; running what is missing; who is trained on what.
``metrics``, ``uncertainty``, ``results``
    pure functions: tax, deception score and nulls; intervals; the tidy frame of all numbers.
``talk``, ``findings``, ``objectives``, ``sensitivity``, ``early_warning``, ``claims``
    what each chapter finds, as rows of that frame; and the verdicts read off them.
``figures``, ``chapter``, ``check``, ``book``
    drawing, what a notebook opens, exercise checks, and the build.

A module imports only what stands before it; all but the third group of models load no torch.
"""

__version__ = "0.1.0"
