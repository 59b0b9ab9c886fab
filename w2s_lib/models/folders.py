"""What lies in the folder of a model, read off its files before any library loads them.  Nothing here loads torch."""

from __future__ import annotations

import difflib
import json
import os
import re
import shlex
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

from safetensors import SafetensorError, safe_open

from w2s_lib.digests import POINTER
from w2s_lib.errors import OneLineError

INDEX = "model.safetensors.index.json"
SAFETENSORS = ("model.safetensors", INDEX)
CONFIGURATIONS = ("config.json", "tokenizer_config.json")

BESIDE_WEIGHTS = (
    "config.json", INDEX, "tokenizer*", "vocab*", "merges.txt", "special_tokens_map.json", "added_tokens.json",
    "*.model", "*.jinja",
)  # fmt: skip
"""Files of a folder that say what its weights are and how texts become tokens; a GGUF file holds both."""

SPLIT = re.compile(r"-\d{5}-of-(\d{5})(?=\.gguf$)")
"""How llama.cpp numbers the files of one model that it has split."""
PIECE = re.compile(r"(.*\.gguf)\.part-?(\d*).*", re.I)
"""How the pieces of a GGUF file that was cut are called."""

ALLOWED = "a folder with model.safetensors, or with shards and their index, or one GGUF file (pickles are not read)"


class CheckpointError(OneLineError, ValueError):
    """A model that cannot be used, in one line: which, and what is the matter."""

    def __init__(self, model: str, says: str) -> None:
        super().__init__(model, says)
        self.says = says

    def __str__(self) -> str:
        return "model={!r}: {}".format(*self.args)


@contextmanager
def refused_by(refuse: Callable[[CheckpointError], Exception]) -> Iterator[None]:
    """A model that cannot be used within is refused in other words, under the name by which it was asked for."""
    try:
        yield
    except CheckpointError as error:
        raise refuse(error) from None


def is_model_path(name: str, folder: str | Path = "") -> bool:
    """Whether a name means a place on this machine, seen from a folder (the working one): it is there, or the folder
    that it would lie in, or no hub has models of such names."""
    begins, ends = ("/", "./", "../", "~"), ("/", ".gguf", ".safetensors")
    if name.startswith(begins) or name.endswith(ends) or name.count("/") > 1:
        return True
    there = os.path.join(folder, name)
    return os.path.exists(there) or ("/" in name and os.path.isdir(os.path.dirname(there)))


def files_of(folder: Path, *patterns: str) -> list[Path]:
    """The files of these patterns, in order, without those that systems hide beside them (``._model.safetensors``)."""
    found = {path for pattern in patterns for path in folder.glob(pattern) if path.is_file()}
    return sorted(path for path in found if not path.name.startswith("."))


def weights(folder: Path, gguf: str | None = None) -> list[Path]:
    """The files that hold a model's weights: safetensors, whole or in shards, or one GGUF file, named or alone.

    Raises:
        CheckpointError: there are none, or not all, or what lies there is no model.
    """
    if not os.path.isdir(folder):
        _refuse_parts(folder.parent, [folder] if os.path.isfile(folder) else [])
        near = difflib.get_close_matches(folder.name, [path.name for path in folder.parent.glob("*")], n=1)
        what = f"no such folder; did you mean {near[0]!r}? " if near else "no such folder; "
        what = "is a file, not a folder; " if os.path.isfile(folder) else what
        raise CheckpointError(str(folder), f"{what}allowed: {ALLOWED}")
    one, index, packed = folder / SAFETENSORS[0], folder / INDEX, files_of(folder, gguf or "*.gguf")
    if (folder / "adapter_config.json").is_file():
        says = (
            "holds adapters (PEFT), no whole model; merge them first: model.merge_and_unload().save_pretrained(folder)"
        )
        raise CheckpointError(str(folder), says)
    if gguf is None and one.is_file():
        return [one]
    if gguf is None and index.is_file():
        return _shards(folder, index)
    if not packed or all(SPLIT.search(path.name) for path in packed):
        _refuse_parts(folder, packed or files_of(folder, "*.gguf.*"))
    if len(packed) == 1:
        return packed
    others = files_of(folder, "*.safetensors")
    has = f"has {len(packed)} GGUF files; name one of them" if packed else "has neither"
    if others and not packed:
        has = f"has {others[0].name}, and neither {SAFETENSORS[0]} nor the index of its shards, {INDEX}"
    raise CheckpointError(str(folder), f"{has}; allowed: {ALLOWED}")


def _refuse_parts(folder: Path, files: list[Path]) -> None:
    """Whether the first of some files is one of several that make one GGUF file.

    Raises:
        CheckpointError: it is; says how they are joined.
    """
    if not files:
        return
    name = files[0].name
    if (split := SPLIT.search(name)) and int(split[1]) > 1:
        first, whole = (shlex.quote(SPLIT.sub(new, name)) for new in (f"-00001-of-{split[1]}", ""))
        how = f"one of {int(split[1])} files of one model; join them: llama-gguf-split --merge {first} {whole}"
    elif piece := PIECE.fullmatch(name):
        whole = piece[1]
        of = [path for path in files_of(folder, "*.gguf.*") if (p := PIECE.fullmatch(path.name)) and p[1] == whole]
        of = sorted(of, key=lambda path: int(PIECE.fullmatch(path.name)[2] or 0))
        pieces = " ".join(shlex.quote(path.name) for path in of)
        how = f"one of {len(of)} pieces of a GGUF file; join them: cat {pieces} > {shlex.quote(whole)}"
    else:
        return
    raise CheckpointError(str(folder), f"{name} is {how}, and name that file")


def _shards(folder: Path, index: Path) -> list[Path]:
    names = sorted(set(read_json(index).get("weight_map", {}).values()))
    absent = [name for name in names if not (folder / name).is_file()]
    if absent or not names:
        what = (
            f"{len(absent)} of {len(names)} shards are not there, first {absent[0]}" if absent else "it names no shard"
        )
        raise CheckpointError(str(folder), f"{INDEX}: {what}; copy or download the whole folder again")
    return [folder / name for name in names]


def read_json(path: Path) -> dict:
    """What a file of JSON says.

    Raises:
        CheckpointError: it is no JSON, or no mapping.
    """
    try:
        said = json.loads(path.read_bytes())
    except ValueError as error:
        says = f"{path.name} is cut or damaged ({' '.join(str(error).split())}); copy or download it again"
        raise CheckpointError(str(path.parent), says) from None
    if not isinstance(said, dict):
        raise CheckpointError(str(path.parent), f"{path.name} holds no mapping")
    return said


def check_files(folder: Path, of_weights: list[Path]) -> None:
    """Whether the files of a model are whole, and none brings code; no weight is read.

    Raises:
        CheckpointError: one is a pointer of git-lfs, cut or damaged, or names code of its own.
    """
    for path in [*of_weights, *files_of(folder, *BESIDE_WEIGHTS)]:
        with path.open("rb") as file:
            begins = file.read(64)
        if begins.startswith(POINTER):
            says = f"{path.name} is a pointer of git-lfs, not the file itself; fetch it: git lfs pull"
            raise CheckpointError(str(folder), says)
        if path.suffix == ".json":
            read_json(path)
        if path.suffix == ".gguf" and find_spec("gguf") is None:
            raise CheckpointError(str(folder), f"{path.name} is read by a package that is missing: pip install gguf")
        if path.suffix == ".gguf" and not begins.startswith(b"GGUF"):
            raise CheckpointError(str(folder), f"{path.name} is no GGUF file, or damaged; copy or download it again")
        if path.suffix == ".safetensors":
            try:
                safe_open(path, "np")
            except (SafetensorError, OSError) as error:
                says = f"{path.name} is cut or damaged ({error}); copy or download it again"
                raise CheckpointError(str(folder), says) from None
    if of_weights[0].suffix == ".gguf":
        return  # it holds its configuration and its tokenizer
    for path in (folder / name for name in CONFIGURATIONS):
        if path.is_file() and "auto_map" in read_json(path):
            says = "brings code of its own, which is never run; use a model of an architecture that transformers has"
            raise CheckpointError(str(folder), f"auto_map in {path.name}: {says}")
    if not (folder / "config.json").is_file():
        raise CheckpointError(str(folder), "has no config.json, which says what its weights are; copy it beside them")
    if not files_of(folder, "tokenizer*", "vocab*", "*.model"):
        says = "has no tokenizer; save it beside the weights: tokenizer.save_pretrained(folder)"
        raise CheckpointError(str(folder), says)
