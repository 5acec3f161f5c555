"""The problem kind `language-modeling`: predict each word of a text from the words before it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tasks.language_modeling.model_file import LANGUAGE_MODEL_FILE
from tasks.language_modeling.settings import (
    BITS,
    MEASURES,
    PERPLEXITY,
    LanguageModelingSettings,
    final_metrics,
)
from tasks.problem import Outline, ProblemKind

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import torch

    from tasks.data.found import FoundData
    from tasks.language_modeling.modeling import LanguageModeling


def outline(settings: LanguageModelingSettings) -> Outline:
    """See `tasks.problem.Outline`."""
    return Outline((settings.corpus,), (PERPLEXITY, BITS), PERPLEXITY.name, final=final_metrics(settings))


def build(
    data: Mapping[str, FoundData],
    settings: LanguageModelingSettings,
    device: torch.device,
    cache: Path | None = None,
) -> LanguageModeling:
    """Read a text and make the problem; see `tasks.problem.BuildProblem`.

    Raises:
        DataError: The text cannot be read, a split is empty or too short, or there is nothing to predict.
    """
    from tasks.language_modeling.modeling import LanguageModeling
    from tasks.language_modeling.text import Text

    text = Text.read(data[settings.corpus], settings, cache)
    return LanguageModeling(text, settings, device)


KIND = ProblemKind(
    name="language-modeling",
    summary="predict each word of a text from the words before it",
    settings=LanguageModelingSettings,
    outline=outline,
    build=build,
    keeps=LANGUAGE_MODEL_FILE,
    measures=MEASURES,
)
