"""The problem kind `tagging`: spans in sentences (entities, chunks), with Flair."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tasks.embeddings.features import MODELS
from tasks.model_file import ModelFile
from tasks.problem import Outline, ProblemKind
from tasks.tagging.settings import TaggingSettings, metrics_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import torch
    from torch import nn

    from tasks.data.found import FoundData
    from tasks.problem import Problem
    from tasks.tagging.tagging import Tagging


def outline(settings: TaggingSettings) -> Outline:
    """See `tasks.problem.Outline`."""
    features = [feature.data for feature in settings.declared if feature.data]
    metrics = metrics_of(settings)
    dev = "dev (trained on)" if settings.train_with_dev else "dev"
    return Outline((settings.corpus, *features), metrics, metrics[0].name, dev=dev)


def build(
    data: Mapping[str, FoundData],
    settings: TaggingSettings,
    device: torch.device,
    cache: Path | None = None,
) -> Tagging:
    """See `tasks.problem.BuildProblem`."""
    from tasks.tagging.tagging import read

    return read(data, settings, device, cache)


def check_data(data: Mapping[str, FoundData], settings: TaggingSettings) -> None:
    """See `tasks.problem.ProblemKind.check`."""
    from tasks.tagging.reading import check_data as check

    check(data, settings)


def write_model(problem: Problem, model: nn.Module, path: Path) -> None:
    """Write the tagger with `CellTagger.save_safely`."""
    from tasks.tagging.tagger import CellTagger

    if not isinstance(model, CellTagger):
        raise TypeError(f"{problem.name}: the model is a {type(model).__name__}")
    model.save_safely(path)


def can_write(settings: TaggingSettings) -> bool:
    """Whether the tagger can be saved without pickle: features of pretrained models cannot."""
    return all(feature.kind not in MODELS for feature in settings.declared)


KIND = ProblemKind(
    name="tagging",
    summary="spans in sentences, such as entities or chunks",
    settings=TaggingSettings,
    outline=outline,
    build=build,
    check_data=check_data,
    keeps=ModelFile("tagger.safetensors", write_model, can_write=can_write),
)
