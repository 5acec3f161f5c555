"""The word vectors and the recurrent layer that a trained model leaves for other tasks, in one file."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from cellzoo.errors import DataError
from cellzoo.system.tensor_file import read_tensors, write_tensors
from tasks.task import ParameterCounts

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from torch import Tensor

SUFFIX = "vectors.safetensors"
_ENCODER = "encoder."


@dataclass(frozen=True)
class LearnedVectors:
    """Word vectors, and what the record of whoever measures them has to say about their training.

    Attributes:
        words: V words.
        vectors: One row a word, (V, E), on the CPU.
        parameters: Of the model that was trained.
        flops_per_token: Of its recurrent layers.
        tokens: Words it was trained on, over all epochs.
        seconds: Wall seconds of the training.
        history: One JSON object an epoch.
        encoder: Weights of the recurrent layer above the vectors, by name; none where there is no such layer.
        hidden_size: Of that layer; 0 without one.
    """

    words: tuple[str, ...]
    vectors: Tensor
    parameters: ParameterCounts
    flops_per_token: int
    tokens: int
    seconds: float
    history: tuple[dict[str, Any], ...]
    encoder: Mapping[str, Tensor] = field(default_factory=dict)
    hidden_size: int = 0


def write_vectors(path: Path, key: str, learned: LearnedVectors) -> None:
    """Write the file atomically.

    Args:
        path: Where.
        key: Of the run that learned them.
        learned: What to keep.

    Raises:
        OutputError: It cannot be written.
    """
    content = {
        "key": key,
        "words": learned.words,
        "parameters": asdict(learned.parameters),
        "flops_per_token": learned.flops_per_token,
        "tokens": learned.tokens,
        "seconds": learned.seconds,
        "history": learned.history,
        "hidden_size": learned.hidden_size,
    }
    encoder = {_ENCODER + name: weight for name, weight in learned.encoder.items()}
    write_tensors(path, {"vectors": learned.vectors, **encoder}, content)


def read_vectors(path: Path) -> LearnedVectors:
    """Read what `write_vectors` wrote.

    Raises:
        DataError: The file is missing, damaged or holds something else.
    """
    tensors, content = read_tensors(path)
    try:
        found = LearnedVectors(
            words=tuple(content["words"]),
            vectors=tensors["vectors"],
            parameters=ParameterCounts(**content["parameters"]),
            flops_per_token=content["flops_per_token"],
            tokens=content["tokens"],
            seconds=content["seconds"],
            history=tuple(content["history"]),
            encoder={
                name.removeprefix(_ENCODER): weight
                for name, weight in tensors.items()
                if name.startswith(_ENCODER)
            },
            hidden_size=content["hidden_size"],
        )
        fits = found.vectors.dim() == 2 and found.vectors.shape[0] == len(found.words)
    except (KeyError, TypeError):
        fits = False
    if not fits:
        raise DataError(f"{path}: does not hold the word vectors that its name promises; delete it")
    return found
