"""What might help against deception: changes to how a student is supervised or trained, each under one name.

Every mitigation uses what a trainer has, weak labels, the student and the pairs that the supervisor learnt from, and
never the truth of others; *leaky filter*, which does, is here to show how much that flatters it.  A mitigation changes
the no-conflict student and the conflict student alike, so that its tax is the conflict's alone.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from w2s_lib.specs import Conflict, FilterBy, Labelling, Layer, Opinion, Pretrain, Recipe, Submission, Train, stream
from w2s_lib.study.methods import HEAD
from w2s_lib.training.sealed import check_submission, loss

FILTER = 0.75
"""Confidence above which a filter keeps a pair (paper, section 5)."""

FLOOR = 0.9
"""Confidence that clear labels have at least: out of the explicit conflict's band for every alpha up to 0.8."""

CONFIDENCE_WEIGHT = 0.5
"""The most that the auxiliary confidence loss weighs (Burns et al. 2023, for all but the largest gaps)."""

PATIENCE = 2
"""Looks without a lower held-out loss after which early stopping stops."""

FOR_POLICIES = ("bootstrap", "filter")
"""Mitigations that are tried on policies as well: the paper's, in its own setting (DPO, SimPO, implicit conflict)."""

EXAMPLE = Path(__file__).resolve().parents[2] / "notebooks" / "submissions" / "confidence_filter.py"
"""The sealed challenge's worked submission."""

PRACTICE = "practice"
"""The challenge's secret where the teacher has none: open, for practice."""

TOKEN_SHARE = 0.3
"""Share of a reply's tokens that is chosen (K. Yang et al. 2024)."""

ENSEMBLE = (11, 12)
"""Replicas of the weak supervisor that join it in an ensemble."""


Changes = Literal["labels", "loss", "stages", "tokens", "use", "agents"]
"""What a remedy changes: the pairs and labels that a student learns from; what it minimises, and when it stops; whom
is taught before it, or in which order; the tokens that count; how an untrained model is used; or who teaches whom."""


@dataclass(frozen=True)
class Mitigation:
    """A change to a student's labels or training."""

    name: str
    title: str
    says: str
    labelling: Labelling = Labelling()
    recipe: dict[str, float | int | str] | None = None
    """Fields of the reward model's recipe that it replaces; where there are any, it is for reward models only."""
    ensemble: bool = False
    bootstrap: bool = False
    first: tuple[Labelling, ...] = ()
    """Parts of the pairs on which the student is trained once before, to label what such a first stage has not seen."""
    innocent: bool = False
    """Whether first stages learn without the student's conflict: they are another's whom the trainer trusts."""
    tokens: Literal["oracle", "lot"] | None = None
    """Who chooses the tokens that the student learns from; where anybody does, it is for SimPO only."""
    share: float | None = None
    """The share of them that is chosen; None: the edition's."""
    heads: bool = False
    """Whether first stages are linear heads on frozen pretrained features, where the model is one of the world's."""
    opinion: Literal["own", "supervisor", "student"] | None = None
    """Whose labels the strong model's frozen opinion weighs, where that has a say; ``own``: it labels by itself."""
    as_long: bool = False
    """Whether it takes as many steps as a first stage and what goes on from it."""
    honest: bool = True
    """Whether it does without the truth of the pairs that the student learns from."""

    @property
    def by_confidence(self) -> bool:
        """Whether some stage keeps the pairs whose labels are confident enough."""
        return any(part.keep_above is not None for part in (self.labelling, *self.first))

    @property
    def changes(self) -> Changes:
        """What it changes, in the order in which a student comes by it: whoever changes stages changes labels, too."""
        if self.tokens:
            return "tokens"
        if self.first or self.bootstrap:
            return "stages"
        return "loss" if self.recipe else "labels"

    def of(self, run: Train, filter_above: float = FILTER, filter_by: FilterBy = "label") -> Train:
        """The student, under this mitigation; bootstrapping, ensembles and chosen tokens are ``Study``'s.

        ``filter_by`` is for policies; what a reward model's filter reads is always the label.

        Raises:
            ValueError: the student is a policy, and the mitigation changes a reward model's recipe, or it is none by
                SimPO, and the mitigation chooses tokens.
        """
        is_policy = run.method != "reward_model"
        if is_policy and self.recipe:
            raise ValueError(f"mitigation {self.name!r} is for reward models, not for {run.method}")
        if self.tokens and run.method != "simpo":
            raise ValueError(f"mitigation {self.name!r} is for simpo, not for {run.method}")

        def labelling(own: Labelling) -> Labelling:
            changes = {name: getattr(own, name) for name in own.model_dump(exclude_defaults=True)}
            if "keep_above" in changes:
                changes |= {"keep_above": filter_above} | ({"filter_by": filter_by} if is_policy else {})
            return run.labelling.model_copy(update=changes)

        stage: dict[str, object] = {"conflict": Conflict()} if self.innocent else {}
        if self.heads and isinstance(run.model, Pretrain) and not is_policy:
            stage["recipe"] = Recipe(**HEAD)
        if self.opinion == "student":
            stage["everywhere"] = True
        first = tuple(run.model_copy(update=stage | {"labelling": labelling(part)}) for part in self.first)
        changes: dict[str, object] = {"labelling": labelling(self.labelling), "first": first, "as_long": self.as_long}
        if self.opinion:
            of = {"own": None, "supervisor": run.labels, "student": first[0] if first else None}[self.opinion]
            # Of a model's layer the head reads features; what it finds more probable is the whole model's to say.
            whole = self.opinion == "own" and isinstance(run.model, Layer)
            found = Opinion(model=run.model.features.checkpoint if whole else run.model, pairs=run.pairs, of=of)
            changes["labels" if self.opinion == "own" else "opinion"] = found
        return run.model_copy(update=changes | {"recipe": run.recipe.model_copy(update=self.recipe or {})})


@dataclass(frozen=True)
class Submitted:
    """A mitigation that somebody submitted: the text of its file, and the secret that orders the replies it sees."""

    code: str
    secret: str

    def of(self, run: Train) -> Train:
        """The student, on the labels that the function makes of its weak supervisor's, by the loss that its file names.

        Raises:
            SubmissionError: it is no submission.
        """
        its = loss(check_submission(self.code))
        order = stream(self.secret, "challenge", "order", run.pairs.seed)
        labels = Submission(code=self.code, model=run.model, labels=run.labels, order=order)
        return run.model_copy(update={"labels": labels, "recipe": run.recipe.model_copy(update={"loss": its})})


_FILTERED = (Labelling(keep_above=FILTER),)

_ALL = (
    Mitigation("bootstrap", "bootstrapping", bootstrap=True,
               says="an intermediate model learns from the weak labels and labels for the student"),
    Mitigation("filter", "confidence filter", "only pairs that the weak supervisor labels confidently",
               Labelling(keep_above=FILTER)),
    Mitigation("leaky_filter", "leaky filter", honest=False, labelling=Labelling(keep_above=FILTER, leaky=True),
               says="the same, and only where its label is right: the filter of the paper's code"),
    Mitigation("confidence_loss", "confidence loss", "the student's own hardened opinion weighs up to half",
               recipe={"confidence_weight": CONFIDENCE_WEIGHT, "loss": "forward"}),
    Mitigation("confidence_quantile", "confidence loss, quantile",
               recipe={"confidence_weight": CONFIDENCE_WEIGHT, "confidence_fence": "quantile", "loss": "forward"},
               says="the same, hardened so that in each batch as many pairs point up as the weak labels say"),
    Mitigation("early_stopping", "early stopping", "training ends when held-out weak labels are fitted no better",
               recipe={"patience": PATIENCE}),
    Mitigation("ensemble", "ensemble of supervisors", ensemble=True,
               says="labels averaged over three weak supervisors that differ in their seeds"),
    Mitigation("hard_labels", "hard labels", "weak labels rounded to 0 or 1", Labelling(hard=True)),
    Mitigation("clear_labels", "clear labels", "weak labels' confidence lifted to at least 0.9",
               Labelling(floor=FLOOR)),
    Mitigation("reverse_kl", "reverse KL", "the student minimises KL(p ‖ q) in place of cross-entropy",
               recipe={"loss": "reverse_kl"}),
    Mitigation("reverse_cross_entropy", "reverse cross-entropy", recipe={"loss": "reverse_cross_entropy"},
               says="the student minimises the cross-entropy of q under p, its arguments exchanged"),
    Mitigation("label_again", "label again", labelling=Labelling(keep_above=FILTER), first=_FILTERED,
               says="a first student, of what the filter keeps, labels the others; where it is sure, they come in"),
    Mitigation("cross_fit", "cross-fitting", first=(Labelling(half=0), Labelling(half=1)), heads=True,
               says="each half of the pairs is labelled by a first student, of the other half"),
    Mitigation("label_all_again", "label all again", first=_FILTERED,
               says="the same, and whatever the first student says comes in"),
    Mitigation("label_again_trusted", "label again, trusted", labelling=Labelling(keep_above=FILTER), first=_FILTERED,
               innocent=True, says="the same as label again, by a first student who has no conflict"),
    Mitigation("label_again_misplaced", "label again, misplaced", first=_FILTERED, honest=False,
               labelling=Labelling(keep_above=FILTER, misplaced=True),
               says="the first student's labels, as many of them right, at random places"),
    Mitigation("trust", "trust function", labelling=Labelling(keep_above=FILTER), opinion="supervisor",
               says="as many pairs as the filter keeps: those whose labels a head finds most probably right"),
    Mitigation("selective", "selective labels", first=_FILTERED, opinion="student",
               says="the first student's label where a head finds it right with confidence, else the weak one"),
    Mitigation("equal_steps", "filter, equal steps", labelling=Labelling(keep_above=FILTER), first=_FILTERED,
               as_long=True, says="what the filter keeps, in as many steps as the two stages of label again"),
    Mitigation("own_labels", "own labels", opinion="own",
               says="what the pretrained strong model finds more probable, at one temperature, without a supervisor"),
    Mitigation("chosen_tokens", "chosen tokens", tokens="oracle",
               says="a policy learns from those tokens of its replies that a small oracle chooses"),
    Mitigation("chosen_half", "chosen half", tokens="oracle", share=0.5,
               says="the same, from half of the tokens"),
    Mitigation("random_tokens", "random tokens", tokens="lot",
               says="as many tokens as the oracle would choose, drawn by lot"),
    Mitigation("random_half", "random half", tokens="lot", share=0.5,
               says="half of the tokens, drawn by lot"),
)  # fmt: skip

MITIGATIONS = {mitigation.name: mitigation for mitigation in _ALL}
"""In the order in which figures show them."""

FENCES = ("confidence_loss", "confidence_quantile")
"""The confidence loss with its fence at 1/2, and at a quantile of each batch (Burns et al. 2023; Wen et al. 2026)."""

REVERSE = ("reverse_kl", "reverse_cross_entropy")
"""Mitigations that are another loss (Yao et al. 2025)."""

TWO_STAGES = ("label_again", "cross_fit")
"""Mitigations in which a student of a first stage labels for another (Shi et al. 2025; after Somerstep et al. 2024)."""

AGAIN_CONTROLS = ("label_all_again", "label_again_trusted", "label_again_misplaced", "equal_steps", "own_labels")
"""What these are held against."""

WEIGHED = ("trust", "selective")
"""Mitigations in which a head says whom to trust, pair by pair (after Lang et al. 2026, and trust functions)."""

BY_OPINION = (*WEIGHED, "own_labels")
"""Mitigations in which a frozen opinion of the strong model has a say."""

AGAIN = (*TWO_STAGES, *AGAIN_CONTROLS, *WEIGHED)
"""All that the chapter on labelling again tries."""

AGAIN_WITH_RERUN = (TWO_STAGES[0], *WEIGHED)
"""Those of them under which that chapter trains a rerun, so that a change of the tax can be told from one of churn."""

TOKENS = ("chosen_tokens", "chosen_half", "random_tokens", "random_half")
"""Mitigations of SimPO that choose the tokens it learns from (K. Yang et al. 2024), and their controls."""

USUAL = (
    "bootstrap", "filter", "leaky_filter", "confidence_loss", "early_stopping", "ensemble", "hard_labels",
    "clear_labels",
)  # fmt: skip
"""What editions try that name none; the chapters of *The works around it* try the others.  It is a parameter of an
edition's record: one more makes another record."""


def title(name: str, via: str = "") -> str:
    """What a mitigation is called in figures and tables; ``none`` is no mitigation."""
    return "no mitigation" if name == "none" else MITIGATIONS[name].title + (f" via {via}" if via else "")
