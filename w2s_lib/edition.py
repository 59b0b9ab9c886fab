"""Editions: one small YAML file of parameters for the whole book, and the one place that validates them.

>>> from w2s_lib.edition import load
>>> load("world", {"threshold": 0.9}).threshold
0.9
>>> load("world", {"treshold": 0.9})
Traceback (most recent call last):
    ...
w2s_lib.edition.ParameterError: treshold=0.9: no such parameter; did you mean 'threshold'? ...
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator

from w2s_lib.errors import OneLineError
from w2s_lib.ladder import LADDER, rank

FOLDER = Path(__file__).resolve().parent.parent / "notebooks" / "editions"

ARROW = " -> "


class ParameterError(OneLineError, ValueError):
    """A parameter that cannot be used: one line with its name, its value and what is allowed."""

    def __init__(self, name: str, value: object, allowed: str) -> None:
        super().__init__(f"{name}={value!r}: {allowed}")


def nearest(name: str, names: list[str]) -> str:
    """What to say about an unknown name: the nearest one, if any is near, and all of them."""
    close = difflib.get_close_matches(str(name), names, n=1)
    hint = f"did you mean {close[0]!r}? " if close else ""
    return f"{hint}allowed: {', '.join(names)}"


def _model(name: str) -> str:
    if name not in LADDER:
        raise ValueError(f"no such model; {nearest(name, list(LADDER))}")
    return name


def _pair(text: str) -> str:
    weak, arrow, strong = (part.strip() for part in text.partition(ARROW.strip()))
    if not arrow:
        raise ValueError(f"a weak-strong pair is written 'tiny-24{ARROW}tiny-56'")
    if rank(_model(weak)) >= rank(_model(strong)):
        raise ValueError(f"the weak model must be smaller than the strong one; from small to large: {', '.join(LADDER)}")
    return f"{weak}{ARROW}{strong}"


def split_pair(text: str) -> tuple[str, str]:
    """``"tiny-24 -> tiny-56"`` as (weak, strong)."""
    weak, strong = text.split(ARROW)
    return weak, strong


def _distinct(values: tuple) -> tuple:
    if len(set(values)) < len(values):
        raise ValueError("every entry may occur once")
    return values


class Edition(BaseModel):
    """The parameters of the whole book; every chapter takes the same names."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$")
    title: str
    seeds: Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(min_length=1), AfterValidator(_distinct)]
    models: Annotated[tuple[Annotated[str, AfterValidator(_model)], ...], Field(min_length=2), AfterValidator(_distinct)]
    pairs: Annotated[tuple[Annotated[str, AfterValidator(_pair)], ...], Field(min_length=1), AfterValidator(_distinct)]
    control_pairs: Annotated[tuple[Annotated[str, AfterValidator(_pair)], ...], AfterValidator(_distinct)] = Field(
        (), validate_default=True, description="weak-strong pairs of the chapters with many conditions; all, where none is named"
    )
    alphas: Annotated[tuple[Annotated[float, Field(gt=0, le=10)], ...], Field(min_length=1), AfterValidator(_distinct)] = (
        0.125, 0.25, 0.5, 0.75, 1.0, 2.0,
    )  # fmt: skip
    threshold: float = Field(0.75, ge=0.5, lt=1, description="a model knows a pair where p > threshold")
    alpha: float = Field(0.5, gt=0, le=10, description="weight of the explicit conflict")
    substances: int = Field(900, ge=30, le=4900)
    reading: float = Field(1.0, gt=0, le=10, description="scales the pretraining tokens of every model")
    train_pairs: int = Field(1000, ge=32)
    test_pairs: int = Field(1500, ge=32)
    draws: int = Field(1000, ge=100, le=100_000, description="bootstrap draws")

    @field_validator("control_pairs")
    @classmethod
    def _some_of_the_pairs(cls, value: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        pairs = info.data.get("pairs", ())
        unknown = [text for text in value if text not in pairs]
        if unknown:
            raise ValueError(f"{unknown[0]!r} is not among the edition's pairs: {'; '.join(pairs)}")
        return value or pairs

    @property
    def weak_strong(self) -> list[tuple[str, str]]:
        """The pairs as (weak, strong) names."""
        return [split_pair(text) for text in self.pairs]


PARAMETERS = ("edition", "seeds", "pairs", "threshold", "alpha", "store", "workers")
"""What every notebook takes; ``None`` means: as the edition says."""

_KINDS = {
    "int_type": "must be a whole number", "int_parsing": "must be a whole number", "int_from_float": "must be a whole number",
    "float_type": "must be a number", "float_parsing": "must be a number", "string_type": "must be text",
    "tuple_type": "must be a list", "missing": "is required", "greater_than_equal": "must be at least {ge}", "greater_than": "must be above {gt}",
    "less_than": "must be below {lt}", "less_than_equal": "must be at most {le}", "too_short": "needs at least {min_length} entries",
    "string_pattern_mismatch": "must match {pattern}",
}  # fmt: skip


def _one_line(error: ValidationError) -> ParameterError:
    first = error.errors()[0]
    name = str(first["loc"][0])
    if first["type"] == "extra_forbidden":
        return ParameterError(name, first["input"], f"no such parameter; {nearest(name, list(Edition.model_fields))}")
    says = _KINDS.get(first["type"], first["msg"].removeprefix("Value error, ")).format(**first.get("ctx", {}))
    description = Edition.model_fields[name].description if name in Edition.model_fields else None
    return ParameterError(name, first["input"], says + (f" ({description})" if description else ""))


def available() -> list[str]:
    """Names of the editions that come with the book."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


def load(edition: str | Path = "world", overrides: Mapping[str, Any] | None = None) -> Edition:
    """The edition of that name, or in that YAML file, with some fields replaced (``None`` replaces nothing).

    Raises:
        ParameterError: no such edition, or a field that is unknown, of the wrong type or out of range.
    """
    if not isinstance(edition, (str, Path)):
        raise ParameterError("edition", edition, f"must be a name or a path; {nearest('', available())}")
    path = FOLDER / f"{edition}.yaml" if str(edition) in available() else Path(edition)
    if not path.is_file():
        raise ParameterError("edition", str(edition), f"no such edition; {nearest(str(edition), available())}, or the path of a YAML file")
    try:
        fields = yaml.safe_load(path.read_text()) or {}
    except yaml.YAMLError as error:
        raise ParameterError("edition", str(edition), f"is not YAML ({str(error).splitlines()[0]})") from None
    if not isinstance(fields, dict):
        raise ParameterError("edition", str(edition), "must hold one mapping of parameters")
    overrides = {name: value for name, value in (overrides or {}).items() if value is not None}
    if "pairs" in overrides:
        fields.pop("control_pairs", None)  # they belong to the pairs that are replaced
    fields |= overrides
    try:
        return Edition(**fields)
    except ValidationError as error:
        raise _one_line(error) from None
