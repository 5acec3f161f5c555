"""Save a trained language model with its vocabulary as one safetensors file with JSON in its header."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cellzoo.errors import DataError
from tasks.data.vocabulary import Vocabulary
from tasks.model_file import ModelFile

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from torch import Tensor, nn

    from tasks.language_modeling.modeling import LanguageModeling
    from tasks.language_modeling.text import Text

_FORMAT = "cellzoo language model 1"


def write_language_model(problem: LanguageModeling, model: nn.Module, path: Path) -> None:
    """Write the file atomically.

    Raises:
        OutputError: It cannot be written.
    """
    from cellzoo.system.tensor_file import write_tensors

    words = problem.text.vocabulary.words
    write_tensors(path, model.state_dict(), {"format": _FORMAT, "vocabulary": words})


def read_language_model(problem: LanguageModeling, path: Path) -> Mapping[str, Tensor]:
    """Read the weights of a saved model.

    Raises:
        DataError: The file is missing, damaged or not a language model, or its vocabulary differs from that of
            the problem's text.
    """
    from cellzoo.system.tensor_file import read_tensors

    tensors, content = read_tensors(path)
    if content.get("format") != _FORMAT:
        raise DataError(f"{path}: is not a language model of a run")
    found = Vocabulary.of(content.get("vocabulary"), str(path))
    _require_same(found, problem.text, path)
    return tensors


def _require_same(found: Vocabulary, text: Text, path: Path) -> None:
    """Check that a saved vocabulary is that of the text, with the same `min_count`."""
    wanted = text.vocabulary
    if found == wanted:
        return
    number, (mine, right) = next(
        (
            (place, pair)
            for place, pair in enumerate(zip(found.words, wanted.words, strict=False))
            if len({*pair}) > 1
        ),
        (min(len(found), len(wanted)), ("", "")),
    )
    first = (
        f"; the first that differs is number {number}, {mine!r:.60} instead of {right!r:.60}" if mine else ""
    )
    raise DataError(
        f"{path}: its vocabulary has {len(found):,} words and differs from that of {text.place}, which has "
        f"{len(wanted):,}{first}. "
        "A model can only be evaluated on the text, and with the min_count, that it was trained with"
    )


LANGUAGE_MODEL_FILE = ModelFile("language-model.safetensors", write_language_model, read_language_model)
