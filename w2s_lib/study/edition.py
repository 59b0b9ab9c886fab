"""Editions: one small YAML file of parameters for the whole book, and the one place that validates them.

>>> from w2s_lib.study.edition import load
>>> load("world", {"threshold": 0.9}).threshold
0.9
>>> load("world", {"treshold": 0.9})
Traceback (most recent call last):
    ...
w2s_lib.study.edition.ParameterError: treshold=0.9: no such parameter; did you mean 'threshold'? ...
"""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Callable, Collection, Mapping
from itertools import chain, combinations
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from w2s_lib.data import sources
from w2s_lib.data.sources import DATA
from w2s_lib.errors import ParameterError, nearest
from w2s_lib.lab.store import no_utf8
from w2s_lib.models.folders import is_model_path
from w2s_lib.models.ladder import KNOWN, LADDER, parse
from w2s_lib.models.ranks import rank
from w2s_lib.specs import Beams, FilterBy, Method, PolicyRecipe, Recipe, TruncationSide, Value
from w2s_lib.study.edition_file import EditionFile, read_edition_file
from w2s_lib.study.methods import POLICY_METHODS, RECIPES
from w2s_lib.study.mitigations import FILTER, MITIGATIONS, TOKEN_SHARE, TOKENS, USUAL

FOLDER = Path(__file__).resolve().parents[2] / "notebooks" / "editions"

OF_REAL_TEXTS = ("helpful", "placebo", "max_tokens", "dtype", "bfloat16_policies", "lora_rank", "replies", "judge")
"""Parameters that mean nothing to the world."""

CHAPTERS = tuple(sorted(path.name[:2] for path in FOLDER.parent.glob("[0-9][0-9]_*.ipynb")))
"""Numbers of the book's chapters."""

ABOUT_THE_WORLD = ("02", "03", "10", "19", "22", "23", "25", "26", "29", "31", "32")
"""Chapters that need the world: its facts, models that were told them, objectives that no data set is labelled by,
what a pretrained model thinks of replies, texts that may be shown to anybody, another world beside it, what two aims
want of one pair, replies whose first differing token decides, and whether a reply fits the truth."""

OF_ALL_WEIGHTS = ("08", "13", "22", "25", "26")
"""Chapters that train a stored run once more, stop one early, or freeze what was not frozen: not where heads alone are
trained."""

GOES_ON_FROM = {"24": ("12",), "27": ("12",), "28": ("12", "13")}
"""Chapters that go on where others end, with their runs: an edition has them where it has all of those."""

SOME_PAIRS = ("control_weak_strong_pairs", "policy_weak_strong_pairs", "mitigation_weak_strong_pairs")
"""Fields that name some of an edition's weak-strong pairs."""

ALWAYS = ("04", "05", "14", "97", "98", "99")
"""Chapters that every edition has: landing page, ledger and other chapters read them, or they depend on none."""

ARROW = " -> "

WORLD = "world"
"""The data that is no data set: the synthetic preference world."""


RELATIVE = "; paths in an edition's file are relative to it"


def resolved(name: str, folder: Path | None, is_path: Callable[[str, str | Path], bool] = is_model_path) -> str:
    """A name of models or data as a path of its own, where it is one relative to ``folder``, an edition file's.

    So is what only the working folder has: notebooks are executed in another one.
    """
    base = parse(name).base  # of a model, "./mine:6" are the first blocks of what lies in "./mine"
    if folder is None or name in (WORLD, *DATA) or base in (*LADDER, *KNOWN):
        return name
    meant = any(is_path(its, seen_from) for its in (name, base) for seen_from in (folder, ""))
    return os.path.join(folder, os.path.expanduser(name)) if meant else name


def _folder(info: ValidationInfo) -> Path | None:
    return (info.context or {}).get("folder")


def _model(name: str, info: ValidationInfo) -> str:
    """The name, by which a folder is taken for no part of another: ``run@2`` becomes ``run@2/`` where it is one."""
    if ARROW.strip() in name:
        says = f"{ARROW.strip()!r} stands between the models of a pair"
        raise ValueError(f"{says}; rename the folder, or link to it by another name")
    base, (before, _, layer) = parse(name).base, name.rpartition("@")
    is_folder = lambda name: os.path.isdir(os.path.join(_folder(info) or "", os.path.expanduser(name)))
    if base not in (name, *KNOWN) and is_folder(name):
        if is_folder(base):
            rest = name.removeprefix(base)
            raise ValueError(f"may be the folder {name + '/'!r}, or {rest} of {base + '/'!r}: write which")
        name += "/"
    elif base not in (before, *KNOWN) and before and is_folder(before):
        name = f"{before}/@{layer}"
    if is_model_path(base, _folder(info) or "") and (says := no_utf8(resolved(name, _folder(info)))):
        raise ValueError(says)
    try:
        rank(resolved(name, _folder(info)))
    except ValueError as error:
        names = [*LADDER, *KNOWN]
        more = f"; {nearest(base, names)}, a hub id (owner/name) or a folder" if str(error) == "no such model" else ""
        more += RELATIVE if resolved(name, _folder(info)) != name else ""
        raise ValueError(f"{getattr(error, 'says', error)}{more}") from None
    return name


def _pair(text: str, info: ValidationInfo) -> str:
    weak, arrow, strong = (part.strip() for part in text.partition(ARROW.strip()))
    if not arrow:
        raise ValueError(f"a weak-strong pair is written 'tiny-24{ARROW}tiny-56'")
    weak, strong = _model(weak, info), _model(strong, info)
    places = [rank(resolved(name, _folder(info))) for name in (weak, strong)]
    if not places[0] < places[1]:
        sizes = " and ".join(f"{name} has {place:.3g}" for name, place in zip((weak, strong), places))
        names = f"from small to large: {', '.join(LADDER)}" if weak in LADDER else f"{sizes} million weights"
        raise ValueError(f"the weak model must be smaller than the strong one; {names}")
    return f"{weak}{ARROW}{strong}"


def split_pair(text: str) -> tuple[str, str]:
    """``"tiny-24 -> tiny-56"`` as (weak, strong)."""
    weak, strong = text.split(ARROW)
    return weak, strong


def _distinct(values: tuple) -> tuple:
    if len(set(values)) < len(values):
        raise ValueError("every entry may occur once")
    return values


def _two_digits(chapter: object) -> object:
    written = f"{chapter:0>2}" if isinstance(chapter, (int, str)) else ""
    if written in CHAPTERS and written != chapter:
        raise ValueError(f"a chapter's number is a text of two digits: write '{written}' in quotes")
    return chapter


def _one_of(kind: str, names: Collection[str]) -> AfterValidator:
    def check(name: str) -> str:
        if name not in names:
            raise ValueError(f"no such {kind}; {nearest(name, list(names))}")
        return name

    return AfterValidator(check)


Item = TypeVar("Item")
Some = Annotated[tuple[Item, ...], AfterValidator(_distinct)]
"""None, one or several, each once."""
OneOrMore = Annotated[tuple[Item, ...], Field(min_length=1), AfterValidator(_distinct)]
TwoOrMore = Annotated[tuple[Item, ...], Field(min_length=2), AfterValidator(_distinct)]

Model = Annotated[str, AfterValidator(_model)]
Pair = Annotated[str, AfterValidator(_pair)]
MethodName = Annotated[str, _one_of("preference objective", POLICY_METHODS)]
MitigationName = Annotated[str, _one_of("mitigation", MITIGATIONS)]
EditionName = Annotated[str, _one_of("edition", sorted(path.stem for path in FOLDER.glob("*.yaml")))]
Chapter = Annotated[str, _one_of("chapter", CHAPTERS), BeforeValidator(_two_digits)]
Precision = Literal["float32", "bfloat16"]
Placebo = Literal["vowels", "parity"]


class Edition(Value):
    """The parameters of the whole book; every chapter takes the same names."""

    model_config = ConfigDict(validate_default=True)

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$")
    title: str
    seeds: OneOrMore[Annotated[int, Field(ge=0, lt=2**32)]]
    models: TwoOrMore[Model]
    weak_strong_pairs: OneOrMore[Pair]
    control_weak_strong_pairs: Some[Pair] = Field(
        (), description="weak-strong pairs of the chapters with many conditions; all, where none is named"
    )
    alphas: OneOrMore[Annotated[float, Field(gt=0, le=10)]] = (0.125, 0.25, 0.5, 0.75, 1.0, 2.0)
    policy_weak_strong_pairs: Some[Pair] = Field((), description="weak-strong pairs whose models are policies as well")
    mitigation_weak_strong_pairs: Some[Pair] = Field((), description="weak-strong pairs on which mitigations are tried")
    methods: OneOrMore[MethodName] = POLICY_METHODS
    dpo_beta: float = Field(RECIPES["dpo"].beta, description="scale of DPO's implicit reward", gt=0, le=100)
    simpo_beta: float = Field(RECIPES["simpo"].beta, description="scale of SimPO's reward", gt=0, le=100)
    simpo_gamma: float = Field(RECIPES["simpo"].gamma, description="SimPO's target margin", ge=0, le=10)
    mitigations: OneOrMore[MitigationName] = USUAL
    filter_above: float = Field(
        FILTER, description="confidence above which a filter keeps a weakly labelled pair", ge=0.5, lt=1
    )
    filter_by: FilterBy = Field(
        "label", description="what a filter of policies' labels goes by; log_probability: as the paper's scripts do"
    )
    token_share: float = Field(
        TOKEN_SHARE,
        description="share of a reply's tokens that a token selection chooses",
        gt=0,
        le=1,
        exclude_if=lambda share: share == TOKEN_SHARE,  # editions and records from before it keep their names
    )
    intermediates: Some[Model] | None = Field(
        None, description="models that bootstrapping goes through; None: all of the edition between weak and strong"
    )
    agents: int = Field(3, description="weak agents of chapter 32", ge=2, le=9, exclude_if=lambda agents: agents == 3)
    rounds: int = Field(
        2, description="rounds in which agents teach each other", ge=1, le=9, exclude_if=lambda rounds: rounds == 2
    )
    search: Beams = Field(
        Beams(), description="widths of the search of chapter 23", exclude_if=lambda beams: beams == Beams()
    )
    threshold: float = Field(0.75, description="a model knows a pair where p > threshold", ge=0.5, lt=1)
    alpha: float = Field(0.5, description="weight of the explicit conflict", gt=0, le=10)
    substances: int = Field(900, ge=30, le=4900)
    reading: float = Field(1.0, description="scales the pretraining tokens of every model", ge=0.002, le=10)
    train_pairs: int = Field(1000, ge=32)
    test_pairs: int = Field(1500, ge=32)
    label_noise: float = Field(
        0.0,
        description="share of the world's labels, also those of test pairs, that are turned around",
        ge=0,
        lt=0.5,
        exclude_if=lambda noise: noise == 0,  # editions and records from before it keep their names
    )
    draws: int = Field(1000, description="bootstrap draws", ge=100, le=100_000)
    data: str = Field(
        WORLD,
        description="pairs: 'world', a data set's name, a hub id, or a JSON, JSONL or Parquet file or folder",
    )
    helpful: str | None = Field(
        None, description="data of helpfulness pairs, for the implicit conflict; None: verbosity takes their place"
    )
    helpful_share: float = Field(
        1.0, description="helpfulness pairs that are mixed in, as a share of train_pairs", gt=0, le=1
    )
    placebo: Placebo = Field(
        "vowels",
        description="what a placebo prefers in real replies: vowels, or in any script parity, even code points",
        exclude_if=lambda placebo: placebo == "vowels",  # editions from before it keep their names
    )
    max_tokens: int = Field(512, description="real texts are cut after so many tokens", ge=8, le=8192)
    truncation_side: TruncationSide = Field(
        "right", description="left: of a long text the beginning is cut off, not the reply"
    )
    dtype: Precision = Field("float32", description="what real models compute in")
    bfloat16_policies: Some[Model] = Field(
        (), description="models that as policies compute in bfloat16, whatever dtype says"
    )
    replies: int = Field(
        0,
        description="test prompts of real texts that policies reply to at most, judged in chapter 15",
        ge=0,
        exclude_if=lambda replies: replies == 0,  # editions from before it keep their names
    )
    judge: Model | None = Field(
        None,
        description="the model, or the layer of one, that judges replies; None: the one that replies",
        exclude_if=lambda judge: judge is None,  # editions from before it keep their names
    )
    lora_rank: int | None = Field(None, description="real models train adapters of this rank; None: all weights", ge=1)
    reward_model: Recipe = Field(RECIPES["reward_model"], description="recipe of reward models")
    dpo: PolicyRecipe = Field(RECIPES["dpo"], description="recipe of DPO; dpo_beta is given by itself")
    simpo: PolicyRecipe = Field(
        RECIPES["simpo"], description="recipe of SimPO; simpo_beta and simpo_gamma are given by themselves"
    )
    chapters: Some[Chapter] | None = Field(None, description="chapters of the book, for instance '05'; None: all")
    record_of: EditionName | None = Field(
        None, description="of a preview, the edition that it shows, and whose record it is held against"
    )
    dask: str = Field(
        "local", description="where runs are computed: 'local', 'slurm', or the address of a Dask scheduler"
    )

    _folder: Path | None = PrivateAttr(None)
    """The edition file's: relative paths in it are relative to it."""

    def model_post_init(self, context: dict[str, Any] | None) -> None:
        """Keep the folder of the edition file."""
        self._folder = (context or {}).get("folder")

    def at(self, name: str) -> str:
        """What a name of models or data in this edition is to everybody: a path relative to its file, made absolute."""
        is_path = sources.is_data_path if name in (self.data, self.helpful) else is_model_path
        return resolved(name, self._folder, is_path)

    @field_validator("title")
    @classmethod
    def _is_one_line(cls, value: str) -> str:
        if not value.isprintable():  # it stands on pages, in logs and on terminals
            raise ValueError("must be one line of characters that can be printed")
        return value

    @field_validator("data", "helpful")
    @classmethod
    def _can_be_found(cls, value: str | None) -> str | None:
        try:
            os.fsencode(value or "")
        except UnicodeEncodeError:
            raise ValueError(no_utf8(value)) from None
        return value

    @field_validator("weak_strong_pairs", mode="before")
    @classmethod
    def _every_pair(cls, value: object, info: ValidationInfo) -> object:
        if value != "all":
            return value
        place = {name: rank(resolved(name, _folder(info))) for name in info.data.get("models", ())}
        every = combinations(sorted(place, key=place.get), 2)
        return [f"{weak}{ARROW}{strong}" for weak, strong in every if place[weak] < place[strong]]

    @field_validator("dpo", "simpo", mode="before")
    @classmethod
    def _beta_and_gamma_by_themselves(cls, value: object, info: ValidationInfo) -> object:
        for name in ("beta", "gamma"):
            if isinstance(value, Mapping) and name in value:
                own = f"{info.field_name}_{name}"
                says = f"is given by itself, as {own}" if own in cls.model_fields else "is SimPO's, as simpo_gamma"
                raise ValueError(f"{name} {says}")
        return value

    @field_validator(*SOME_PAIRS)
    @classmethod
    def _some_of_the_pairs(cls, value: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        pairs = info.data.get("weak_strong_pairs", ())
        unknown = [text for text in value if text not in pairs]
        if unknown:
            raise ValueError(f"{unknown[0]!r} is not among the edition's weak_strong_pairs: {'; '.join(pairs)}")
        return value or pairs

    @field_validator("intermediates")
    @classmethod
    def _between(cls, value: tuple[str, ...] | None, info: ValidationInfo) -> tuple[str, ...] | None:
        models = [*info.data.get("models", ()), *LADDER]
        place = lambda name: rank(resolved(name, _folder(info)))
        for weak, strong in map(split_pair, info.data.get("mitigation_weak_strong_pairs", ())):
            for name in value or ():
                if not place(weak) < place(name) < place(strong):
                    allowed = ", ".join(n for n in dict.fromkeys(models) if place(weak) < place(n) < place(strong))
                    says = f"{name!r} is not between {weak} and {strong}"
                    raise ValueError(f"{says}; allowed: {allowed or 'none, they are neighbours'}")
        return value

    def recipe(self, method: Method) -> Recipe | PolicyRecipe:
        """The recipe of a method, with the edition's settings."""
        if method == "dpo":
            return self.dpo.model_copy(update={"beta": self.dpo_beta})
        if method == "simpo":
            return self.simpo.model_copy(update={"beta": self.simpo_beta, "gamma": self.simpo_gamma})
        return self.reward_model

    def precision(self, name: str, method: Method) -> Precision:
        """What a real model computes in by this method."""
        return "bfloat16" if method in POLICY_METHODS and name in self.bfloat16_policies else self.dtype

    @property
    def is_quick(self) -> bool:
        """Whether this edition is there to be fast: it draws so seldom that chapters look at less elsewhere, too."""
        return self.draws < 200

    def has_chapter(self, chapter: str) -> bool:
        """Whether this edition has the chapter of that number."""
        named = {*(CHAPTERS if self.chapters is None else self.chapters), *ALWAYS}
        return named.issuperset(GOES_ON_FROM.get(chapter, (chapter,)))

    @model_validator(mode="after")
    def _models_fit_the_data(self) -> Edition:
        if self.judge is not None and not self.replies:
            raise ParameterError("judge", self.judge, "judges replies, and none are asked for (replies)")
        named = [("models", name) for name in (*self.models, *chain(*self.weak_strong))]
        for field, name in named + ([("judge", self.judge)] if self.judge is not None else []):
            if (parse(name).base in LADDER) != (self.data == WORLD):
                kind = "the world is read by its own models only"
                if self.data != WORLD:
                    kind = "the world's models read nothing else"
                raise ParameterError(field, name, f"data is {self.data!r}, and {kind}")
        return self

    @model_validator(mode="after")
    def _chapters_fit_the_data(self) -> Edition:
        told = [number for number in ABOUT_THE_WORLD if self.data != WORLD and self.has_chapter(number)]
        if told:
            others = ", ".join(f"'{number}'" for number in self.chapters or CHAPTERS if number not in ABOUT_THE_WORLD)
            says = f"{', '.join(told)} need the world, and data is {self.data!r}; name others: {others}"
            raise ParameterError("chapters", self.chapters and list(self.chapters), says)
        return self

    @model_validator(mode="after")
    def _chapters_are_there_with_those_that_they_go_on_from(self) -> Edition:
        for number in self.chapters or ():
            if not self.has_chapter(number):
                wanted = [other for other in GOES_ON_FROM[number] if not self.has_chapter(other)]
                says = f"goes on where {' and '.join(wanted)} end{'s' * (len(wanted) == 1)}; name that one, too"
                raise ParameterError("chapters", number, says)
        return self

    @model_validator(mode="after")
    def _data_prefer_what_they_are_taken_for(self) -> Edition:
        for name, wanted in (("data", "harmlessness"), ("helpful", "helpfulness")):
            given = getattr(self, name)
            if given in DATA and DATA[given].objective != wanted:
                says = f"its labels prefer {DATA[given].objective}; pairs labelled by {wanted} are needed here"
                raise ParameterError(name, given, says)
        return self

    @model_validator(mode="after")
    def _tokens_are_chosen_for_a_method_of_the_edition(self) -> Edition:
        chosen = [name for name in self.mitigations if name in TOKENS]
        if chosen and "simpo" not in self.methods:
            says = f"is for simpo, and methods are {', '.join(self.methods)}; name simpo among them (methods)"
            raise ParameterError("mitigations", chosen[0], says)
        return self

    @model_validator(mode="after")
    def _frozen_layers_are_read_and_trained_in_one_way(self) -> Edition:
        recipe, says = self.reward_model, "frozen layers are not {}; a choice for models that are trained whole"
        choices = (
            ("reward_model.score_at", recipe.score_at, "last_token", "read there"),
            ("reward_model.order", recipe.order, "reshuffled", "trained so"),
            ("reward_model.patience", recipe.patience, None, "stopped early"),
            ("truncation_side", self.truncation_side, "right", "cut there"),
        )
        is_layer = [parse(model).layer is not None for model in self.models]
        judged_by_a_layer = self.judge is not None and parse(self.judge).layer is not None
        for name, chosen, stock, done in choices:
            if chosen != stock and (recipe.frozen or judged_by_a_layer or any(is_layer)):
                raise ParameterError(name, chosen, says.format(done))
        if self.lora_rank is not None and all(is_layer):
            raise ParameterError("lora_rank", self.lora_rank, says.format("trained by adapters"))
        students = [split_pair(pair)[1] for pair in self.mitigation_weak_strong_pairs if self.has_chapter("13")]
        stop = [name for name in self.mitigations if "patience" in (MITIGATIONS[name].recipe or {})]
        if stop and any(parse(model).layer is not None for model in students):
            says = "frozen layers are not stopped early; name other mitigations (mitigations), or no chapter 13"
            raise ParameterError("mitigations", stop[0], says)
        return self

    @model_validator(mode="after")
    def _a_share_of_helpful_pairs_is_of_some(self) -> Edition:
        if self.helpful is None and self.helpful_share != 1:
            says = "is a share of helpful pairs, and none are named (helpful)"
            raise ParameterError("helpful_share", self.helpful_share, says)
        return self

    @model_validator(mode="after")
    def _what_only_the_world_has(self) -> Edition:
        if self.data != WORLD and self.label_noise:
            raise ParameterError("label_noise", self.label_noise, "real labels have a noise of their own; leave it 0")
        if self.data != WORLD and self.reward_model.frozen:
            says = "is for the world's models; of other models, name layers, such as model@3"
            raise ParameterError("reward_model.frozen", True, says)
        whole = [f"'{number}'" for number in OF_ALL_WEIGHTS if self.has_chapter(number)]
        if self.reward_model.frozen and whole:
            says = f"chapters {', '.join(whole)} train or stop whole models; leave them out (chapters)"
            raise ParameterError("reward_model.frozen", True, says)
        return self

    @model_validator(mode="after")
    def _the_world_s_texts_are_whole(self) -> Edition:
        if self.data != WORLD:
            return self
        for method in POLICY_METHODS:
            if getattr(self, method).encode_apart:
                says = "the world's tokens are words, however its texts are encoded"
                raise ParameterError(f"{method}.encode_apart", True, says)
        if self.truncation_side != "right":
            raise ParameterError("truncation_side", self.truncation_side, "the world's texts are short, and never cut")
        for name in OF_REAL_TEXTS:
            if (value := getattr(self, name)) != type(self).model_fields[name].default:
                raise ParameterError(name, value, f"is for real models and texts, and data is {WORLD!r}; leave it out")
        return self

    @property
    def written(self) -> dict[str, str]:
        """How the edition writes its models, by what they are called elsewhere: on the hub, or by a folder's path."""
        found: dict[str, str] = {}
        for name in (*self.models, *chain(*self.weak_strong)):
            base = parse(self.at(name)).base
            if base in KNOWN and KNOWN[base].package is None:
                base = KNOWN[base].source
            elif base not in KNOWN and is_model_path(base):
                base = str(Path(base).expanduser().absolute())
            found.setdefault(base, name)
        return found

    def ways(self, weak: str, strong: str) -> tuple[str, ...]:
        """The intermediate models of bootstrapping from weak to strong."""
        named = self.models if self.intermediates is None else self.intermediates
        place = lambda name: rank(self.at(name))
        return tuple(sorted((name for name in named if place(weak) < place(name) < place(strong)), key=place))

    @property
    def weak_strong(self) -> list[tuple[str, str]]:
        """The weak-strong pairs as (weak, strong) names."""
        return [split_pair(text) for text in self.weak_strong_pairs]


PARAMETERS = ("edition", "seeds", "weak_strong_pairs", "threshold", "alpha", "store", "workers")
"""What every notebook takes; ``None`` means: as the edition says."""

ALSO = {
    "12_preference_optimisation": ("methods", "dpo_beta", "simpo_beta", "simpo_gamma"),
    "13_what_helps": ("mitigations", "intermediates", "filter_above"),
    "23_no_training": ("search",),
    "30_label_again": ("filter_above",),
    "31_token_by_token": ("token_share",),
    "32_many_agents": ("agents", "rounds"),
}
"""What some notebooks take besides."""

_KINDS = {
    **dict.fromkeys(("int_type", "int_parsing", "int_from_float"), "must be a whole number"),
    **dict.fromkeys(("float_type", "float_parsing"), "must be a number"),
    "string_type": "must be text", "tuple_type": "must be a list", "missing": "is required",
    "greater_than_equal": "must be at least {ge}", "greater_than": "must be above {gt}",
    "less_than": "must be below {lt}", "less_than_equal": "must be at most {le}",
    "too_short": "needs at least {min_length} entries", "string_pattern_mismatch": "must match {pattern}",
}  # fmt: skip


def no_such(name: str, names: Collection[str]) -> str:
    """What to say of a parameter that is none of these: what it is called now (older ``pairs`` are weak-strong ones),
    or what is near."""
    now = f"{name.removesuffix('pairs')}weak_strong_pairs"
    if name.endswith("pairs") and now in names:
        return f"is called {now} now"
    return f"no such parameter; {nearest(name, list(names))}"


def _one_line(error: ValidationError, file: EditionFile) -> ParameterError:
    errors = error.errors()  # a field that is missing may be there under a name that is none: that one is told first
    first = next((one for one in errors if one["type"] == "extra_forbidden"), errors[0])
    if not first["loc"]:  # of no field by itself
        said = first["ctx"]["error"]
        return file.error(said.name, said.value, said.allowed)
    name, *inside = (part for part in first["loc"] if isinstance(part, str))
    dotted, value = ".".join((name, *inside)), None if first["type"] == "missing" else first["input"]
    if first["type"] == "extra_forbidden":
        fields = type(Edition.model_fields[name].default).model_fields if inside else Edition.model_fields
        return file.error(dotted, value, no_such((inside or [name])[-1], fields), first["loc"])
    says = _KINDS.get(first["type"], first["msg"].removeprefix("Value error, ")).format(**first.get("ctx", {}))
    description = Edition.model_fields[name].description if name in Edition.model_fields and not inside else None
    return file.error(dotted, value, f"{says} ({description})" if description else says, first["loc"])


def available() -> list[str]:
    """Names of the editions that come with the book."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


def find(edition: str | Path) -> Path:
    """The file of an edition, by its name or its path.

    Raises:
        ParameterError: there is none.
    """
    if not isinstance(edition, (str, Path)):
        raise ParameterError("edition", edition, f"must be a name or a path; {nearest('', available())}")
    path = FOLDER / f"{edition}.yaml" if str(edition) in available() else Path(os.path.expanduser(edition))
    if says := no_utf8(path):
        raise ParameterError("edition", str(edition), says)
    if os.path.isfile(path):
        return path.absolute()
    says = f"no such edition; {nearest(str(edition), available())}, or the path of a YAML file"
    if not FOLDER.is_dir():
        says = "the editions lie in the book's checkout; install from a clone: pip install --editable ."
    raise ParameterError("edition", str(edition), says)


def named_like(path: Path) -> str:
    """The name of the edition in a file: the file's, its letters in lower case, with hyphens for all but letters and
    digits.

    >>> named_like(Path("my folder/Größe & more.yaml"))
    'grosse-more'
    """
    plain = unicodedata.normalize("NFKD", path.stem.casefold()).encode("ascii", "ignore").decode()
    return re.sub("[^a-z0-9]+", "-", plain).strip("-")


def load(edition: str | Path = "world", overrides: Mapping[str, Any] | None = None) -> Edition:
    """The edition of that name, or in that YAML file, with some fields replaced (``None`` replaces nothing).

    Raises:
        ParameterError: no such edition, or a field that is unknown, of the wrong type or out of range.
    """
    path = find(edition)
    file = read_edition_file(path, str(edition) if path.parent != FOLDER else path.name)
    if not named_like(path):
        raise ParameterError("edition", str(edition), "the name of the file needs a letter from a to z, or a digit")
    if file.fields.get("name", "") != named_like(path):
        says = f"must be the name of its file, {named_like(path)}: the book is built under that name"
        raise file.error("name", file.fields.get("name"), says)
    fields, overrides = file.fields, {name: value for name, value in (overrides or {}).items() if value is not None}
    if overrides.get("weak_strong_pairs") not in (None, "all"):
        for name in SOME_PAIRS:  # they belong to the pairs that are replaced
            fields.pop(name, None)
    file.forget(overrides)
    folder = None if "data" in overrides else path.parent  # whose data are its own, its names are not the file's
    try:
        return Edition.model_validate(fields | overrides, context={"folder": folder})
    except ValidationError as error:
        raise _one_line(error, file) from None
