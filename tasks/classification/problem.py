"""The problem kind `classification`: classify texts and pairs of texts, or score pairs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tasks.classification.settings import ClassificationSettings, metrics_of
from tasks.data.read import read_word_vectors
from tasks.embeddings.features import MODELS
from tasks.model_file import ModelFile
from tasks.problem import Outline, ProblemKind

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import torch
    from torch import nn

    from tasks.classification.classifying import Classifying
    from tasks.data.found import FoundData
    from tasks.problem import Problem


def outline(settings: ClassificationSettings) -> Outline:
    """See `tasks.problem.Outline`."""
    data = (settings.corpus, *(feature.data for feature in settings.declared if feature.data))
    metrics = metrics_of(settings.corpus) if settings.corpus else ()
    chosen_on = "inner dev" if settings.choose_on == "inner-dev" else "dev"
    reported = "dev" if settings.choose_on == "inner-dev" else "dev (selected)"
    return Outline(data, metrics, metrics[0].name if metrics else "loss", dev=chosen_on, test=reported)


def build(
    data: Mapping[str, FoundData],
    settings: ClassificationSettings,
    device: torch.device,
    cache: Path | None = None,
) -> Classifying:
    """Read the examples and make the problem; see `tasks.problem.BuildProblem`.

    Raises:
        DataError: A file cannot be read, or the training data hold too few examples or labels.
    """
    from tasks.classification.classifying import Classifying
    from tasks.classification.texts import Corpus

    corpus = Corpus.read(data[settings.corpus], settings)
    problem = Classifying(corpus, settings, device, data)
    models = [(feature, data[feature.data]) for feature in settings.declared if feature.kind in MODELS]
    if models:
        from tasks.classification.context import Context

        problem.add_context(Context(corpus, models, device, cache))
    return problem


def check_data(data: Mapping[str, FoundData], settings: ClassificationSettings) -> None:
    """Read and check the examples and the word vectors; see `tasks.problem.ProblemKind.check`."""
    from tasks.classification.texts import Corpus

    corpus = Corpus.read(data[settings.corpus], settings)
    for feature in settings.declared:
        if feature.kind == "vectors":
            read_word_vectors(data[feature.data], corpus.looked_up(settings.vocabulary_size))


def write_model(problem: Problem, model: nn.Module, path: Path) -> None:
    """Write the classifier; see `tasks.classification.model_file`."""
    from tasks.classification.classifying import Classifying
    from tasks.classification.model_file import write_classifier

    if not isinstance(problem, Classifying):
        raise TypeError(f"{problem.name}: is a {type(problem).__name__}")
    write_classifier(path, problem.saved(model))


def can_write(settings: ClassificationSettings) -> bool:
    """Whether the classifier can be saved: features of pretrained models cannot."""
    return all(feature.kind not in MODELS for feature in settings.declared)


KIND = ProblemKind(
    name="classification",
    summary="classify texts and pairs of texts, or score pairs",
    settings=ClassificationSettings,
    outline=outline,
    build=build,
    check_data=check_data,
    baselines=("constant", "no-recurrence"),
    keeps=ModelFile("classifier.safetensors", write_model, can_write=can_write),
)
