"""The file of word vectors that a trained language model leaves for other tasks."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from cellzoo.errors import DataError
from cellzoo.system.tensor_file import read_tensors, write_tensors
from tasks.task import ParameterCounts

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor


@dataclass(frozen=True)
class WordVectors:
    """Word vectors, and what the record of whoever uses them has to say about their training.

    Attributes:
        words: V words.
        vectors: One row a word, (V, E), on the CPU.
        parameters: Of the model that was trained.
        flops_per_token: Of its cell.
        tokens: Words it was trained on, over all epochs.
        seconds: Wall seconds of the training.
        history: One JSON object an epoch.
    """

    words: tuple[str, ...]
    vectors: Tensor
    parameters: ParameterCounts
    flops_per_token: int
    tokens: int
    seconds: float
    history: tuple[dict[str, Any], ...]


def vectors_path(artifacts: Path, key: str) -> Path:
    """Where the vectors of one training lie; `key` is the hash of all that decides them."""
    return artifacts / f"news-lm-{key}.safetensors"


def write_vectors(path: Path, key: str, vectors: WordVectors) -> None:
    """Write the file atomically.

    Raises:
        OutputError: It cannot be written.
    """
    content = {
        "key": key,
        "words": vectors.words,
        "parameters": asdict(vectors.parameters),
        "flops_per_token": vectors.flops_per_token,
        "tokens": vectors.tokens,
        "seconds": vectors.seconds,
        "history": vectors.history,
    }
    write_tensors(path, {"vectors": vectors.vectors}, content)


def read_vectors(path: Path, key: str) -> WordVectors:
    """Read what `write_vectors` wrote under the same key.

    Raises:
        DataError: The file is damaged or holds something else.
    """
    tensors, content = read_tensors(path)
    try:
        found = WordVectors(
            words=tuple(content["words"]),
            vectors=tensors["vectors"],
            parameters=ParameterCounts(**content["parameters"]),
            flops_per_token=content["flops_per_token"],
            tokens=content["tokens"],
            seconds=content["seconds"],
            history=tuple(content["history"]),
        )
        fits = content["key"] == key and found.vectors.shape[0] == len(found.words)
    except (KeyError, TypeError):
        fits = False
    if not fits:
        raise DataError(f"{path}: does not hold the word vectors that its name promises; delete it")
    return found
