"""A run is a value: frozen, validated specs whose content names their result on disk.

Everything that is computed in the book is described by a *spec*: which world, model, labels, conflict, recipe, seed.
``spec.key`` hashes its canonical JSON, and the store keeps the result under that name.  Two chapters that need the same
run therefore share it, and changing a threshold, which is not part of any spec, retrains nothing.

>>> from w2s_lib.specs import World, Pretrain
>>> Pretrain(world=World(seed=1), width=20).key == Pretrain(width=20, world=World(seed=1)).key
True
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from functools import cached_property
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator

SCHEME = 3
"""Version of what the keys mean.  Raise it when a default below or the meaning of a field changes:
keys hash only the fields that differ from their defaults, so that adding a field keeps old results."""

Split = Literal["ground_truth", "weak_label", "test"]
Objective = Literal[
    "harmlessness", "helpfulness", "politeness", "honesty", "pleasing", "verbosity", "commas", "vowels", "parity"
]
Method = Literal["reward_model", "dpo", "simpo"]
ScoreAt = Literal["last_token", "count_of_nonzero_ids"]
TruncationSide = Literal["right", "left"]
HeadInit = Literal["normal", "uniform"]
Order = Literal["reshuffled", "repeated"]
MixedBatch = Literal["larger", "same"]
FilterBy = Literal["label", "log_probability"]
Loss = Literal["forward", "reverse_kl", "reverse_cross_entropy"]
Fence = Literal["half", "quantile"]


MAX_REPLY = 14
"""Longest reply that is sampled, in tokens; the world's are shorter."""

LONGEST_REPLY = 64
"""Longest reply to a prompt of a data set that is sampled, in tokens."""

MOST_BEAMS = 64
"""Replies to one prompt that are written side by side, at most."""


def stream(*names: object) -> int:
    """Seed of the named random stream, e.g. ``stream(seed, "head", replica)``; 63 bits.

    Streams with different names are independent, so that a rerun can change the head and the order
    of the data and nothing else.
    """
    digest = hashlib.sha256("/".join(map(str, names)).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


class Value(BaseModel):
    """A frozen value; unknown fields, numbers without end and truth values in place of numbers are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _true_is_no_number(cls, value: object, info: ValidationInfo) -> object:
        given = value if isinstance(value, (list, tuple)) else [value]
        if cls.model_fields[info.field_name].annotation is not bool and any(isinstance(one, bool) for one in given):
            raise ValueError("must not be a truth value")
        return value


class Spec(Value):
    """A value with a content key."""

    @cached_property
    def key(self) -> str:
        """16 hexadecimal digits that name this value: a hash of its kind and non-default fields."""
        science = self.model_dump(mode="json", exclude_defaults=True)
        text = json.dumps([SCHEME, type(self).__name__, science], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """As pydantic's, with a key of its own."""
        copied = super().model_copy(update=update, deep=deep)
        copied.__dict__.pop("key", None)
        return copied

    def parents(self) -> tuple[Spec, ...]:
        """The runs whose results this one reads."""
        return ()


class World(Spec):
    """The synthetic preference world: which substances exist and which of them are hazardous."""

    seed: int = Field(0, ge=0)
    substances: int = Field(900, ge=30, le=4900, description="how many; thirds are disjoint splits")
    zipf: float = Field(4.0, ge=0, description="frequency of being told falls as (rank + offset)^-zipf")
    zipf_offset: float = Field(150.0, gt=0)


class Pairs(Spec):
    """Preference pairs: where they come from and how many are drawn for each split."""

    world: World
    objective: Objective = Field("harmlessness", description="what supervision aims at")
    train_pairs: int = Field(1000, ge=8, description="pairs in each of the two training halves")
    test_pairs: int = Field(1500, ge=8)
    label_noise: float = Field(0.0, ge=0, lt=0.5, description="share of all labels that are turned around by chance")

    @property
    def seed(self) -> int:
        """The study seed, from which all named streams derive."""
        return self.world.seed


class Source(Spec):
    """A data set of real preference pairs, pinned: the same name and revision are the same texts, wherever they lie."""

    name: str = Field(description="name in the registry of data, hub id, or label of local files")
    revision: str = Field(description="commit on the hub, or digest of what local files say")
    files: tuple[str, ...] = Field(
        (), exclude=True, description="where local files lie on this machine; no part of what they are"
    )


class Texts(Spec):
    """Real preference pairs of one study: as ``Pairs``, for a data set; the seed draws what is in which split."""

    source: Source
    seed: int = Field(0, ge=0)
    objective: Objective = "harmlessness"
    helpful: Source | None = Field(None, description="helpfulness pairs, for the paper's implicit conflict")
    train_pairs: int = Field(4000, ge=8, description="pairs in each of the two training halves")
    test_pairs: int = Field(4000, ge=8)
    max_tokens: int = Field(512, ge=8, description="texts are cut after so many tokens")
    truncation_side: TruncationSide = Field("right", description="left: a long text loses its beginning, not its reply")


class Checkpoint(Spec):
    """A pretrained model from elsewhere: a hub id, or a folder with safetensors or GGUF."""

    name: str = Field(description="name in the ladder, hub id, or label of a local folder")
    revision: str = Field(description="commit on the hub, or digest of the local weights")
    layers: int | None = Field(None, ge=1, description="only its first blocks; None: all")
    dtype: Literal["float32", "bfloat16"] = "float32"
    lora_rank: int | None = Field(None, ge=1, description="train low-rank adapters and the head; None: everything")
    folder: str | None = Field(None, exclude=True, description="where it lies on this machine; no part of what it is")
    gguf: str | None = Field(None, exclude=True, description="name of the GGUF file in that folder")


class Features(Spec):
    """What every layer of a frozen model makes of every pair of a data set; computed once, for any number of runs.

    It is read in ``shards``, so that a long reading can be shared among workers, stopped and resumed.
    """

    checkpoint: Checkpoint
    source: Source
    max_tokens: int = Field(512, ge=8)
    shards: int = Field(12, ge=1)
    shard: int = Field(0, ge=0)

    def all(self) -> tuple[Features, ...]:
        """The shards of which this is one, in order."""
        return tuple(self.model_copy(update={"shard": i}) for i in range(self.shards))


class Layer(Spec):
    """A rung of a ladder of depth: the frozen features of one layer, under a linear head."""

    features: Features
    layer: int = Field(ge=0, description="0: the embeddings")
    pooling: Literal["last", "mean"] = Field("mean", description="the last token, or the mean over the reply's tokens")


class Pretrain(Spec):
    """A language model pretrained on the world's documents (a rung of the ladder)."""

    world: World
    width: int = Field(ge=4, multiple_of=4)
    layers: int = Field(2, ge=1)
    heads: int = Field(2, ge=1)
    tokens: int = Field(1_200_000, ge=1000)
    learning_rate: float = Field(5e-3, gt=0)
    batch_size: int = Field(16, ge=1, description="rows a step")
    block: int = Field(48, ge=16, description="tokens a row")
    replica: int = Field(
        0,
        ge=0,
        exclude_if=lambda replica: replica == 0,
        description="other weights to begin with, and another order of the same documents",
    )


class Recipe(Spec):
    """How a reward model is fine-tuned: AdamW, a decaying rate, one scalar head on the model or its frozen features.

    Zero epochs leave the pretrained model as it is, under a random head.  ``confidence_weight`` is the most that a
    student's own hardened opinion weighs against its label (Burns et al. 2023, section 4.3.2).  ``patience``: stop once
    the loss on held-out training pairs, by their labels, has not fallen for so many looks, and go back to the best;
    None trains to the end.  ``score_at``: where the reward is read, ``last_token``, or, as the paper's scripts do it,
    at ``count_of_nonzero_ids``: as many tokens in as the text has whose id is not 0, which is too early where a token
    of the text, GPT-2's "!" for one, has that id.  ``head_init``: what the head begins with, ``normal`` with
    ``head_scale``, or, as linear layers of torch do, ``uniform`` within ± 1 / √width.  ``mixed_batch`` and ``order``:
    as of ``PolicyRecipe``.  ``loss``: what is minimised between a label and the student's probability, ``forward``
    cross-entropy, or one of the reverse losses of Yao et al. (2025; ``training.losses``), in which a label is an
    argument of a logarithm.  ``confidence_fence``: the opinion is hardened at p = 1/2 (``half``), or at a ``quantile``
    of the batch that leaves as many above as the weak labels say (``training.losses.hardened``).  ``frozen``: the
    world's models keep their weights, and the head alone learns, on what the last layer makes of a text's last token,
    as the layers of a checkpoint always do.
    """

    epochs: int = Field(2, ge=0)
    batch_size: int = Field(32, ge=1, description="pairs a step; see mixed_batch")
    learning_rate: float = Field(5e-4, gt=0)
    head_learning_rate: float = Field(1e-2, gt=0)
    head_scale: float = Field(0.01, gt=0, description="standard deviation of the head's initial weights")
    warmup_steps: int = Field(5, ge=0)
    schedule: Literal["linear", "cosine", "constant_with_warmup"] = "linear"
    weight_decay: float = Field(0.0, ge=0)
    max_grad_norm: float = Field(1.0, ge=0, description="0: gradients are not clipped")
    confidence_weight: float = Field(0.0, ge=0, le=1)
    patience: int | None = Field(None, ge=1)
    score_at: ScoreAt = "last_token"
    head_init: HeadInit = "normal"
    mixed_batch: MixedBatch = "larger"
    order: Order = "reshuffled"
    loss: Loss = Field("forward", exclude_if=lambda loss: loss == "forward")  # editions, too, keep their names
    frozen: bool = Field(False, exclude_if=lambda frozen: not frozen)
    confidence_fence: Fence = Field("half", exclude_if=lambda fence: fence == "half")

    @model_validator(mode="after")
    def _confidence_mixes_labels(self) -> Recipe:
        if self.confidence_fence != "half" and not self.confidence_weight:
            raise ValueError("confidence_fence is where the confidence loss hardens opinions: confidence_weight is 0")
        if self.confidence_weight and self.loss != "forward":
            raise ValueError(
                f"confidence_weight mixes labels, and {self.loss} is not linear in them; use loss: forward"
            )
        return self


class PolicyRecipe(Spec):
    """How a policy is fine-tuned by DPO or SimPO: AdamW, a decaying rate, the whole model.

    ``beta`` scales the implicit reward; ``gamma`` is SimPO's target margin, in units of the reward.
    Before it, ``sft_epochs`` of supervised fine-tuning on the preferred replies make another starting
    point, and for DPO another reference.  ``sft_mean``: its loss is a mean over the ``tokens`` of all replies of a
    batch, or over its ``replies``, each of which is the mean over its tokens.

    ``mixed_batch``: a second set of pairs makes batches ``larger``, so that every condition takes as many steps, or
    leaves them the ``same`` and makes more steps.  ``order``: pairs are ``reshuffled`` in every epoch, and the last
    batch of each may be smaller; or they are shuffled once, that order is ``repeated`` from epoch to epoch without a
    break, and what is left for a last partial batch is dropped.  ``warmup_share``, in place of ``warmup_steps``: the
    rate of step s = 0, 1, … is (s + 1) / (w + 1) of the full one until that is reached, where w is this share of the
    steps, rounded down.  ``encode_apart``: prompt and reply become tokens each by itself, the reply with what the
    model's family begins a text with, if anything, which then counts as the reply's.
    """

    epochs: int = Field(2, ge=1)
    batch_size: int = Field(32, ge=1, description="pairs a step; see mixed_batch")
    learning_rate: float = Field(1e-3, gt=0)
    warmup_steps: int = Field(5, ge=0)
    schedule: Literal["linear", "cosine", "constant_with_warmup"] = "linear"
    max_grad_norm: float = Field(1.0, ge=0)
    beta: float = Field(1.0, gt=0)
    gamma: float = Field(0.0, ge=0)
    sft_epochs: int = Field(0, ge=0)
    sft_learning_rate: float = Field(1e-3, gt=0)
    sft_mean: Literal["tokens", "replies"] = "tokens"
    mixed_batch: MixedBatch = "larger"
    order: Order = "reshuffled"
    warmup_share: float | None = Field(None, ge=0, lt=1)
    encode_apart: bool = False

    @model_validator(mode="after")
    def _warm_up_ends_in_the_full_rate(self) -> PolicyRecipe:
        if self.warmup_share is not None and self.schedule != "constant_with_warmup":
            raise ValueError(f"warmup_share goes with the schedule constant_with_warmup, not with {self.schedule}")
        return self


class Labelling(Spec):
    """What is done with weak labels before a student sees them.

    ``hard`` rounds them: the paper's procedure for policies, which swaps the pairs that the weak model ranks the other
    way.  ``floor`` lifts their confidence max(q, 1 − q) to at least this, on the side where it was.  ``keep_above``
    drops pairs labelled with less confidence; ``leaky`` drops those labelled wrongly as well, as the paper's code does:
    it asks ground truth.  ``filter_by``: confidence is that of the ``label``, or, for labels of policies, as in the
    paper's code, that of the sigmoid of the replies' difference in ``log_probability``, without β: for SimPO in the
    mean over tokens, for DPO in the gain over the reference, divided by 50; then a pair exactly as confident as
    ``keep_above`` is kept.  ``half``: only every other pair is kept, beginning with the first or the second.
    ``misplaced`` deals out what first stages labelled (``Train.first``) among those pairs anew: as many labels are
    right, at random places.  It asks ground truth.
    """

    hard: bool = False
    floor: float | None = Field(None, ge=0.5, lt=1)
    keep_above: float | None = Field(None, ge=0.5, lt=1)
    leaky: bool = False
    filter_by: FilterBy = "label"
    half: Literal[0, 1] | None = None
    misplaced: bool = False

    @model_validator(mode="after")
    def _leaky_is_a_filter(self) -> Labelling:
        if self.keep_above is None and (self.leaky or self.filter_by != "label"):
            raise ValueError(f"{'leaky' if self.leaky else 'filter_by'} belongs to a filter: keep_above is missing")
        return self


class Conflict(Spec):
    """What competes with the target objective.

    ``explicit`` pays the student, with weight ``alpha``, for pairs it ranks wrongly with respect to
    ground truth; ``mixed`` adds ``share`` times as many pairs of another objective with their own hard labels:
    the paper's implicit conflict with helpfulness, a placebo with politeness.  Helpfulness pairs may be those of one
    ``part`` of their data set.  With ``turns`` the two are not mixed but learned from in turn, as often.
    """

    kind: Literal["none", "explicit", "mixed"] = "none"
    alpha: float | None = Field(None, gt=0, le=10)
    objective: Objective | None = None
    share: float = Field(1.0, gt=0, le=1)
    part: str | None = Field(None, description="what the rows of the mixed-in pairs name as their source; None: any")
    turns: int | None = Field(
        None, ge=2, le=1000, description="the aims are learned from in so many turns, not mixed; weak labels begin"
    )

    @model_validator(mode="after")
    def _only_what_the_kind_uses(self) -> Conflict:
        if (self.kind == "explicit") != (self.alpha is not None):
            raise ValueError("alpha belongs to the explicit conflict, and to it alone")
        if (self.kind == "mixed") != (self.objective is not None):
            raise ValueError("objective belongs to a mixed conflict, and to it alone")
        if self.part is not None and self.objective != "helpfulness":
            raise ValueError("part belongs to helpfulness pairs, and to them alone")
        if self.turns is not None and self.kind != "mixed":
            raise ValueError("turns belong to a mixed conflict, which has two aims")
        return self


class Submission(Spec):
    """A submitted mitigation at work: what its function makes of weak labels, as labels for a student.

    The function is run in a process of its own that never holds the truth (``training.sealed``).  It sees each pair's
    replies in an order that ``order``, a seed nobody knows who does not know the challenge's secret, draws.
    """

    code: str = Field(description="text of the file that defines the function")
    model: Pretrain = Field(description="the student's pretrained model, whose frozen features it may use")
    labels: Train = Field(description="the weak supervisor")
    order: int = Field(ge=0)

    @property
    def pairs(self) -> Pairs | Texts:
        """The pairs that it labels: those that the weak supervisor labels."""
        return self.labels.pairs

    @property
    def method(self) -> Method:
        """Its labels are soft, as those of reward models are."""
        return "reward_model"

    def parents(self) -> tuple[Spec, ...]:
        return (self.model, self.labels)


class Opinion(Spec):
    """Which of two replies is better, as a frozen model has it: a logistic head, fitted where truth is known.

    That is the weak supervisor's half.  Without ``of`` the head reads what the model's log-probabilities of the replies
    differ by, and has one weight, not below zero: a temperature.  With ``of`` it reads margin and side of that run's
    answers, beside the model's frozen features of the two texts: how probable is it that an answer is right?  ``of`` a
    supervisor, who has learnt the supervisor's half, it is fitted on the answers of two like it, each on the clusters
    that the other has learnt.
    """

    model: Pretrain | Checkpoint | Layer = Field(description="the student's pretrained model, which is not trained")
    pairs: Pairs | Texts
    of: Train | None = Field(None, description="whose answers are weighed; None: nobody's")

    @model_validator(mode="after")
    def _a_layer_predicts_no_tokens(self) -> Opinion:
        if isinstance(self.model, Layer) and self.of is None:
            raise ValueError("a frozen layer finds no reply more probable: name its whole checkpoint")
        return self

    @property
    def method(self) -> Method:
        """What it tells are probabilities, as those of reward models are."""
        return "reward_model"

    @property
    def fitted_on(self) -> tuple[Train, ...]:
        """Whose answers on the supervisor's half the head is fitted on; of two, the i-th has learnt the i-th half."""
        if self.of is None or self.of.labels is not None:
            return () if self.of is None else (self.of,)
        like = lambda half: {"labelling": Labelling(half=half), "everywhere": True}
        return tuple(self.of.model_copy(update=like(half)) for half in (0, 1))

    @property
    def answers(self) -> tuple[Train, ...]:
        """The runs whose scores it reads, in this order: ``fitted_on``, then ``of``."""
        return () if self.of is None else (*self.fitted_on, self.of)

    def parents(self) -> tuple[Spec, ...]:
        if isinstance(self.model, Pretrain):
            return (self.model, *dict.fromkeys(self.answers))
        read = self.model.features.all() if isinstance(self.model, Layer) else ()
        return (*read, *dict.fromkeys(self.answers))


class Selection(Spec):
    """The tokens of a reply that a policy learns from (selective preference optimization, K. Yang et al. 2024).

    A ``share`` of each reply's tokens, rounded down, and one at least.  ``oracle`` is a small policy, by DPO, that
    leaves what each token has gained (``Train.tokens``): of the reply that the label prefers those count that have
    gained most, of the other those that have gained least.  Without one, as many tokens count, drawn by lot.  Replies
    of pairs that no supervisor labels, and those of a label that takes no side, are learnt from whole.
    """

    share: float = Field(gt=0, le=1)
    oracle: Train | None = None

    @model_validator(mode="after")
    def _the_oracle_tells_of_tokens(self) -> Selection:
        if self.oracle is not None and not self.oracle.tokens:
            raise ValueError("the oracle of a token selection leaves no tokens")
        return self


class Train(Spec):
    """A trained preference model: weak supervisor, strong ceiling or strong student.

    ``labels`` is ``None`` for ground truth, or the run whose probabilities are the soft labels; those of
    ``ensemble`` are averaged with them.  A ``Submission`` may label fewer pairs than there are: the others are dropped.
    ``first``: students of the same supervisors, trained before this one on a part of the pairs; where one of them was
    not trained on a pair, its probability is the label instead.  ``opinion`` weighs one of these: of a first stage, its
    answer is the label only where the opinion gives it more than the confidence that the stage's filter asks for; of
    the supervisor, those labels are kept that it trusts most, as many as the labelling's filter would keep.
    ``as_long``: learns from what its first stage has learnt from alone, in as many steps as both stages would take.
    ``everywhere``: the supervisor's half is scored as well, and ``labelling.half`` is of its clusters.
    ``method`` is how it learns from preferences, ``recipe`` with which settings.
    ``replica`` changes the head's and the order's random streams, and nothing else.  ``selection``: a policy by SimPO
    learns from some tokens of its replies.  ``tokens``: a policy by DPO leaves, beside its scores, what each token of
    the scored replies has gained.  ``replies``: to so many test prompts of a data set a policy replies when it is
    trained; the world's always do.
    """

    model: Pretrain | Checkpoint | Layer
    pairs: Pairs | Texts
    split: Split
    labels: Train | Submission | Opinion | None = None
    ensemble: tuple[Train, ...] = ()
    first: tuple[Train, ...] = ()
    labelling: Labelling = Labelling()
    method: Method = "reward_model"
    conflict: Conflict = Conflict()
    recipe: Recipe | PolicyRecipe = Recipe()
    replica: int = Field(0, ge=0)
    selection: Selection | None = None
    tokens: bool = False
    opinion: Opinion | None = None
    as_long: bool = False
    everywhere: bool = False
    replies: int = Field(0, ge=0)

    @model_validator(mode="after")
    def _consistent(self) -> Train:
        if getattr(self.model, "world", None) != getattr(self.pairs, "world", None):
            raise ValueError("model and pairs come from different worlds")
        if isinstance(self.model, Layer) and self.model.features.source != self.pairs.source:
            raise ValueError("the features are of other pairs")
        if isinstance(self.model, Layer) and (self.recipe.order, self.pairs.truncation_side) != ("reshuffled", "right"):
            raise ValueError("frozen layers read a text from its beginning, and learn in an order that is reshuffled")
        if isinstance(self.model, Checkpoint) and getattr(self.recipe, "frozen", False):
            raise ValueError("frozen is for the world's models; of a checkpoint, name a layer: model@layer")
        if self.split == "test":
            raise ValueError("split 'test' is never trained on")
        if any(run.pairs != self.pairs for run in self.labellers):
            raise ValueError("the labelling run has not seen these pairs")
        plain = Labelling(half=self.labelling.half if self.everywhere else None)
        if self.labels is None and (self.ensemble or self.first or self.opinion or self.labelling != plain):
            raise ValueError("ensemble, first stages, opinions and labelling belong to weak labels")
        if self.opinion is not None and self.opinion.of not in (self.first[:1] or (self.labels,)):
            raise ValueError("an opinion is of the first stage, or, where there is none, of the supervisor")
        if self.opinion is not None and (self.first or (self,))[0].labelling.keep_above is None:
            raise ValueError("how sure an opinion must be is its filter's to say: keep_above is missing")
        if self.as_long and (len(self.first) != 1 or self.opinion is not None):
            raise ValueError("as_long is as long as one first stage and what goes on from it")
        for stage in self.first:
            if (stage.split, stage.first, *stage.supervisors) != (self.split, (), *self.supervisors):
                raise ValueError("a first stage learns from the same supervisors on the same half")
            if stage.labelling.keep_above is None and stage.labelling.half is None:
                raise ValueError("a first stage that has seen every pair labels none again")
        if self.labelling.misplaced and not self.first:
            raise ValueError("misplaced belongs to the labels of first stages")
        if (self.method == "reward_model") != isinstance(self.recipe, Recipe):
            raise ValueError(f"{type(self.recipe).__name__} is no recipe for {self.method}")
        methods = {run.method for run in (*self.supervisors, *self.first)}
        if self.labelling.filter_by == "log_probability" and "reward_model" in methods:
            raise ValueError("filter_by=log_probability is for labels of policies: reward models give none")
        if self.method == "dpo" and self.recipe.gamma:
            raise ValueError("gamma is SimPO's target margin; DPO has none")
        if self.conflict.turns is not None:
            whole = self.method == "reward_model" and not isinstance(self.model, Layer)
            if not whole or self.recipe.frozen or self.labels is None:
                raise ValueError("turns are for reward models, trained as a whole on weak labels")
            if self.recipe.patience is not None or self.recipe.order != "reshuffled":
                raise ValueError("turns are an order, and end when all are taken: no other order, no patience")
        if self.replies and (self.method == "reward_model" or not isinstance(self.model, Checkpoint)):
            raise ValueError(f"replies={self.replies}: policies of a checkpoint are asked for them, and nothing else")
        if self.tokens and self.method != "dpo":
            raise ValueError(f"tokens gain over a reference, which DPO has; {self.method} has none")
        if self.selection is not None and (self.method != "simpo" or self.labels is None):
            raise ValueError("a token selection is for SimPO, without a reference, on weak labels")
        if self.selection is not None and self.selection.oracle is not None:
            if self.selection.oracle.pairs != self.pairs:
                raise ValueError("the oracle of the token selection has not seen these pairs")
        return self

    @property
    def batch_size(self) -> int:
        """Pairs a step: a second set enlarges the batch, for as many steps, unless the recipe leaves it the same."""
        larger = self.conflict.kind == "mixed" and self.recipe.mixed_batch == "larger"
        return round(self.recipe.batch_size * (1 + self.conflict.share if larger else 1))

    @property
    def supervisors(self) -> tuple[Train | Submission | Opinion, ...]:
        """The runs whose probabilities, averaged, are the weak labels; none for ground truth."""
        return () if self.labels is None else (self.labels, *self.ensemble)

    @property
    def labellers(self) -> tuple[Train | Submission | Opinion, ...]:
        """The runs whose probabilities make the labels: supervisors, then first stages, then an opinion of them."""
        opinion = () if self.opinion is None else (self.opinion,)
        return () if self.labels is None else (*self.supervisors, *self.first, *opinion)

    def parents(self) -> tuple[Spec, ...]:
        oracle = () if self.selection is None or self.selection.oracle is None else (self.selection.oracle,)
        if isinstance(self.model, Checkpoint):  # its weights are no result of ours
            return (*self.labellers, *oracle)
        if not isinstance(self.model, Layer):
            return (self.model, *self.labellers, *oracle)
        read = [self.model.features]
        if self.conflict.objective == "helpfulness" and self.pairs.helpful is not None:  # pairs of another data set
            read.append(self.model.features.model_copy(update={"source": self.pairs.helpful}))
        return (*(shard for features in read for shard in features.all()), *self.labellers)


EXAMPLES = 5
"""Prompts to which a judgement keeps what was replied before training, and by the first policy; no other words."""


class Judgement(Spec):
    """What a real model and the policies made of it reply to the same test prompts, held by a rule and by a judge.

    The model's own replies, before any training, are sampled here, by the same random numbers.  ``judge``: a reward
    model, all of a model or a head on a layer of one, that has learnt from ground truth; it is trained once more here,
    since runs leave no weights.
    """

    policies: tuple[Train, ...] = Field(min_length=1)
    judge: Train

    @property
    def pairs(self) -> Texts:
        """The pairs whose test prompts are replied to."""
        return self.judge.pairs

    @property
    def model(self) -> Checkpoint:
        """The model that replies."""
        return self.policies[0].model

    @property
    def reader(self) -> Checkpoint:
        """The model that the judge reads with."""
        its = self.judge.model
        return its.features.checkpoint if isinstance(its, Layer) else its

    @model_validator(mode="after")
    def _consistent(self) -> Judgement:
        if self.judge.method != "reward_model" or self.judge.labels is not None:
            raise ValueError("a judge is a reward model that has learnt from ground truth")
        if isinstance(self.judge.model, Pretrain):
            raise ValueError("a judge reads new texts: a checkpoint is needed, or a layer of one, no model of a world")
        if {(run.model, run.pairs) for run in self.policies} != {(self.model, self.pairs)}:
            raise ValueError("policies that are judged together are of one model and one study's pairs")
        if len({run.replies for run in self.policies}) > 1 or not self.policies[0].replies:
            raise ValueError("policies that are judged together reply to the same test prompts (replies)")
        return self

    def parents(self) -> tuple[Spec, ...]:
        return self.policies


STRONG = "strong"
"""Name of a society's strong agent; the weak ones are called ``weak 0``, ``weak 1``, …"""


class Society(Spec):
    """Weak agents and a strong one that teach each other, all in one run (MACPO, Lyu et al. 2024).

    Each agent is a policy and has a negative twin.  The weak ones begin with supervised fine-tuning on the chosen
    replies of ``ground_truth`` pairs, their twins on the rejected ones; the strong one begins with what the weak ones
    reply to the first ``prompts`` about a substance of ``weak_label`` pairs, and its twin goes on from there with what
    the weak twins reply.  In each of the ``rounds`` the strong agent learns to prefer a weak agent's reply to its own
    twin's, and then each weak agent the strong one's to its own twin's.

    ``mutual``: the weak agents learn, too.  ``familiar``: of the weak agents' replies to a prompt the strong one learns
    from that which it finds least perplexing, else from one that is drawn.  ``replica`` changes the strong agent's
    random streams, and those of the rounds: the weak agents begin alike, and say the same at first.
    """

    weak: Pretrain
    model: Pretrain = Field(description="the strong one")
    pairs: Pairs
    agents: int = Field(3, ge=1, le=9, description="how many weak ones")
    rounds: int = Field(2, ge=1, le=9)
    prompts: int = Field(400, ge=8)
    recipe: PolicyRecipe
    conflict: Conflict = Conflict()
    mutual: bool = True
    familiar: bool = True
    replica: int = Field(0, ge=0)

    @model_validator(mode="after")
    def _consistent(self) -> Society:
        if not self.weak.world == self.model.world == self.pairs.world:
            raise ValueError("models and pairs come from different worlds")
        if not self.recipe.sft_epochs:
            raise ValueError("agents begin with supervised fine-tuning: sft_epochs must be at least 1")
        if self.conflict.kind == "mixed":
            raise ValueError("agents teach each other by their replies: no other pairs are mixed in")
        return self

    def parents(self) -> tuple[Spec, ...]:
        return (self.weak, self.model)


class Beams(Value):
    """Widths of chunk-level beam search (Zhou et al. 2024, Algorithm 1): of ``width`` × ``successors`` partial replies
    the best ``width`` are kept after every ``chunk`` tokens, and each goes on in so many ``successors``.

    One beam whose chunk is None, a whole reply, is best-of-n.
    """

    width: int = Field(2, ge=1, le=MOST_BEAMS)
    successors: int = Field(4, ge=1, le=MOST_BEAMS)
    chunk: int | None = Field(3, ge=1, le=MAX_REPLY, description="tokens; None: whole replies")

    @model_validator(mode="after")
    def _not_too_many(self) -> Beams:
        if self.total > MOST_BEAMS:
            raise ValueError(f"width times successors is {self.total}; at most {MOST_BEAMS} replies at once")
        return self

    @property
    def total(self) -> int:
        """Replies to one prompt that are written side by side."""
        return self.width * self.successors

    def whole(self, n: int | None = None) -> Beams:
        """Best-of-n with as many replies, or with ``n``."""
        return Beams(width=1, successors=n or self.total, chunk=None)


SAMPLERS = ("base", "best_of_n", "cbs", "eft", "eft_best_of_n")
"""Who writes in a search: the strong model alone, its best of n, chunk-level beam search, emulated fine-tuning, and the
best of n of that; n is one number, the beams of the search."""


class Search(Spec):
    """Replies of a pretrained strong model that a guide chooses or changes (weak-to-strong search, Zhou et al. 2024).

    ``guide``: a policy by DPO, trained once more here, since runs leave no weights.  What its training has added to
    log-probabilities scores replies in a search of these ``beams``, and in best-of-n of as many; added with a
    ``weight`` to the strong model's logits, it samples (emulated fine-tuning, Mitchell et al. 2024).
    """

    model: Pretrain = Field(description="the strong one, which nobody trains")
    guide: Train
    beams: Beams = Beams()
    weight: float = Field(1.0, ge=0)

    @property
    def pairs(self) -> Pairs | Texts:
        """The pairs whose test prompts are replied to."""
        return self.guide.pairs

    @model_validator(mode="after")
    def _consistent(self) -> Search:
        if self.guide.method != "dpo" or not isinstance(self.guide.model, Pretrain):
            raise ValueError("a guide is a model of the ladder that DPO has trained: others have no reference")
        if self.model.world != self.guide.model.world:
            raise ValueError("the strong model and its guide come from different worlds")
        return self

    @property
    def samplers(self) -> dict[str, tuple[Beams, float]]:
        """Beams, and weight of the guide in the logits, of each of ``SAMPLERS``."""
        one, n = self.beams.whole(1), self.beams.whole()
        settings = ((one, 0.0), (n, 0.0), (self.beams, 0.0), (one, self.weight), (n, self.weight))
        return dict(zip(SAMPLERS, settings, strict=True))

    def parents(self) -> tuple[Spec, ...]:
        return (self.model, *self.guide.parents())
