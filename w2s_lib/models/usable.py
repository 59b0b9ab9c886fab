"""Whether models can be used as asked for, said before anything is trained."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache
from itertools import chain
from pathlib import Path

import torch
from huggingface_hub import try_to_load_from_cache
from safetensors import safe_open

from w2s_lib.models import checkpoints, folders, names
from w2s_lib.models.folders import CheckpointError
from w2s_lib.models.ladder import KNOWN
from w2s_lib.specs import Checkpoint, Features, Judgement, Method, Opinion, Spec, Train

FLOATS = (torch.float32, torch.bfloat16, torch.float16, torch.float64)
"""What weights are read as they are; anything else is packed."""


def check_models(runs: Iterable[Spec], fetch: bool = False) -> None:
    """Whether these runs can use their models.

    Held against each other are names, shapes and values of the weights, the architecture, the tokenizer, its vocabulary
    and the most tokens of a text.  Each file is read once.  Of a model that only the hub has, weights are left out
    unless they are to be fetched; all is, where the hub cannot be reached.

    Raises:
        CheckpointError: one cannot, or an oracle is to choose tokens that a student does not read.
    """
    runs = list(runs)
    for checkpoint, method, max_tokens in dict.fromkeys(chain.from_iterable(map(_asked, runs))):
        if names.is_packaged(checkpoint):
            if fetch:
                names.packaged(KNOWN[checkpoint.name])
            continue  # its digest is known
        whole = fetch or bool(_files(checkpoint))
        try:  # transformers would ask a hub that is out of reach again and again, for minutes
            names.check_hub([] if whole else [checkpoint])
        except names.Unreachable:
            continue
        plain = checkpoint.model_copy(update={"layers": None, "dtype": "float32"})
        positions = _fits(plain, method, whole)
        if whole:
            _numbers(plain, _files(checkpoint))
        if positions is not None and max_tokens > positions:
            says = f"has {positions:,} positions, and max_tokens={max_tokens} asks for more; allowed: up to {positions}"
            raise CheckpointError(checkpoints.checkpoint_name(checkpoint), says)
    for student, oracle in dict.fromkeys(_chosen_for(run) for run in runs):
        if student is not None and _files(student) and _files(oracle) and _tokens(student) != _tokens(oracle):
            other = checkpoints.checkpoint_name(oracle)
            says = f"reads other tokens than {other}, which is to choose some; use one tokenizer"
            raise CheckpointError(checkpoints.checkpoint_name(student), says)


def _chosen_for(run: Spec) -> tuple[Checkpoint | None, Checkpoint | None]:
    """A real student and the real oracle that chooses its tokens (``Selection``), if the run has them."""
    selection = run.selection if isinstance(run, Train) else None
    oracle = selection.oracle.model if selection is not None and selection.oracle is not None else None
    both = isinstance(oracle, Checkpoint) and isinstance(run.model, Checkpoint)
    return (run.model, oracle) if both else (None, None)


@lru_cache(maxsize=32)
def _tokens(checkpoint: Checkpoint) -> dict[str, int]:
    """What a model's tokenizer calls its tokens."""
    return checkpoints.tokenizer(checkpoint, 512).get_vocab()


def _asked(run: Spec) -> Iterator[tuple[Checkpoint, Method | None, int]]:
    """The real models that a run reads or trains, by which method (None: it is read), on texts how long."""
    if isinstance(run, Features):
        yield run.checkpoint, None, run.max_tokens
    elif isinstance(run, Opinion) and isinstance(run.model, Checkpoint):  # without answers it asks as a policy is asked
        yield run.model, None if run.of else "simpo", run.pairs.max_tokens
    elif isinstance(run, Judgement):
        yield run.model, run.policies[0].method, run.pairs.max_tokens
        yield run.reader, run.judge.method if run.reader == run.judge.model else None, run.pairs.max_tokens
    elif isinstance(run, Train) and isinstance(run.model, Checkpoint):
        yield run.model, run.method, run.pairs.max_tokens


def _files(checkpoint: Checkpoint) -> tuple[Path, ...]:
    """The files of a model's weights that are at hand; none where the hub's cache lacks some: they are fetched."""
    if names.is_packaged(checkpoint):
        return ()  # of a known digest
    if checkpoint.folder is not None:
        return tuple(folders.weights(Path(checkpoint.folder), checkpoint.gguf))
    cached = (try_to_load_from_cache(checkpoint.name, f, revision=checkpoint.revision) for f in folders.SAFETENSORS)
    here = [Path(path) for path in cached if isinstance(path, str)]
    try:
        return tuple(folders.weights(here[0].parent)) if here else ()
    except CheckpointError:
        return ()


@lru_cache(maxsize=32)
def _fits(checkpoint: Checkpoint, method: Method | None, whole: bool) -> int | None:
    """Positions of a model, None where it has no most, whose weights, if they are ``whole`` or to be fetched, and
    tokenizer fit its architecture."""
    model, tokenizer = checkpoints.without_weights(checkpoint, method, whole), checkpoints.tokenizer(checkpoint, 512)
    rows, ids = model.get_input_embeddings().num_embeddings, tokenizer.get_vocab()
    if set(ids.values()) <= set(tokenizer.all_special_ids):  # transformers makes one where there is none
        raise CheckpointError(
            checkpoints.checkpoint_name(checkpoint), "has no tokenizer that reads words; use a model with one"
        )
    if checkpoint.gguf is not None:  # to whose tokens transformers adds one of its own
        ids = {token: i for token, i in ids.items() if token not in tokenizer.get_added_vocab()}
    tokens = max(*ids.values(), tokenizer.pad_token_id) + 1
    if tokens > rows:
        says = f"its tokenizer has {tokens:,} tokens, its embeddings {rows:,} rows; use the tokenizer that is its own"
        raise CheckpointError(checkpoints.checkpoint_name(checkpoint), says)
    return getattr(model.config, "max_position_embeddings", None)


@lru_cache(maxsize=32)
def _numbers(checkpoint: Checkpoint, files: tuple[Path, ...]) -> None:
    """Refuse weights that are packed in a way that is not unpacked, or no finite numbers."""
    for path in files:
        for name, tensor in _of_gguf(path) if path.suffix == ".gguf" else _of_safetensors(path):
            if checkpoints.BUFFERS.search(name) or tensor.dtype in FLOATS and tensor.isfinite().all():
                continue
            kind = str(tensor.dtype).removeprefix("torch.")
            wrong = "holds numbers that are not finite" if tensor.dtype in FLOATS else f"is packed as {kind}"
            says = f"{name} in {path.name} {wrong}; use sound weights in full precision"
            raise CheckpointError(checkpoints.checkpoint_name(checkpoint), says)


def _of_safetensors(path: Path) -> Iterator[tuple[str, torch.Tensor]]:
    with safe_open(path, "pt") as file:
        for name in file.keys():
            yield name, file.get_tensor(name)


def _of_gguf(path: Path) -> Iterator[tuple[str, torch.Tensor]]:
    """The weights of a GGUF file, unpacked as transformers unpacks them."""
    from gguf import GGUFReader, dequantize

    for tensor in GGUFReader(path).tensors:
        yield tensor.name, torch.tensor(dequantize(tensor.data, tensor.tensor_type))
