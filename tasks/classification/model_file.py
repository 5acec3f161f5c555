"""Save a trained classifier with its vocabulary and settings as one safetensors file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cellzoo.errors import DataError
from cellzoo.system.tensor_file import read_tensors, write_tensors
from tasks.classification.model import TextClassifier
from tasks.classification.settings import ClassificationSettings
from tasks.settings import configure, plain
from tasks.tagging.layers import describe, rebuild

if TYPE_CHECKING:
    from pathlib import Path

_FORMAT = "cellzoo classifier 1"
_MALFORMED = (KeyError, TypeError, ValueError, AttributeError, RuntimeError)
FIRST = 2
"""Row of the first word in the table of word vectors."""


@dataclass(frozen=True)
class SavedClassifier:
    """A classifier, and how it reads texts.

    Attributes:
        model: The model, around a `CellRNN`.
        words: The words that have vectors, in the order of the table from row 2 on.
        unknown: Row of all other words.
        labels: Names of the classes; empty if a score is predicted.
        is_pairs: Whether it reads pairs of texts.
        settings: Settings of the problem, with the actual hidden size.
    """

    model: TextClassifier
    words: tuple[str, ...]
    unknown: int
    labels: tuple[str, ...]
    is_pairs: bool
    settings: ClassificationSettings


def write_classifier(path: Path, saved: SavedClassifier) -> None:
    """Write the file atomically.

    Raises:
        CellzooError: The recurrent layer cannot be described.
        OutputError: It cannot be written.
    """
    content = {
        "format": _FORMAT,
        "layer": describe(saved.model.rnn),
        "words": saved.words,
        "unknown": saved.unknown,
        "labels": saved.labels,
        "is_pairs": saved.is_pairs,
        "settings": plain(saved.settings),
    }
    write_tensors(path, saved.model.state_dict(), content)


def read_classifier(path: Path) -> SavedClassifier:
    """Read what `write_classifier` wrote; the model is in evaluation mode, on the CPU.

    Raises:
        DataError: The file is missing, damaged, or holds something else.
    """
    tensors, content = read_tensors(path)
    if content.get("format") != _FORMAT:
        raise DataError(f"{path}: is not a classifier of a run")
    try:
        settings = configure(ClassificationSettings, content["settings"], "classifier", str(path))
        labels = tuple(content["labels"])
        model = TextClassifier(
            rebuild(content["layer"]),
            tensors["vectors"],
            settings,
            max(1, len(labels)),
            pairs=content["is_pairs"],
            trainable=False,
        )
        model.load_state_dict(tensors)
        saved = SavedClassifier(
            model=model.eval(),
            words=tuple(content["words"]),
            unknown=content["unknown"],
            labels=labels,
            is_pairs=content["is_pairs"],
            settings=settings,
        )
    except _MALFORMED as error:
        raise DataError(f"{path}: is damaged: {type(error).__name__}: {error!s:.200}") from error
    if len(saved.words) + FIRST != len(tensors["vectors"]) or not 0 <= saved.unknown < len(tensors["vectors"]):
        raise DataError(f"{path}: is damaged: its words do not fit its vectors")
    return saved
