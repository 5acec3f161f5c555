"""Train a language model on the news corpus; shared by the tasks that need one."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import torch

from tasks.language_modeling.model import CellLanguageModel
from tasks.language_modeling.train import train
from tasks.language_modeling.word_vectors import WordVectors, vectors_path, write_vectors
from tasks.runs.record import record_key
from tasks.task import ParameterCounts

if TYPE_CHECKING:
    from collections.abc import Callable

    from cellzoo.cells.cell import Cell
    from tasks.data.found import FoundData
    from tasks.language_modeling.news import NewsSettings
    from tasks.language_modeling.news_text import NewsText
    from tasks.task import Context

CHECKPOINT = "news-lm.checkpoint.safetensors"
TRAINING_REVISION = 1
"""Raised whenever the same settings would give other weights."""


def training_key(cell: Cell, seed: int, settings: NewsSettings, source: FoundData) -> str:
    """Hash everything that decides the trained weights (64 hexadecimal digits)."""
    return record_key(
        task="news-lm-training",
        revision=TRAINING_REVISION,
        subject=cell.hash,
        configuration=asdict(settings),
        data={source.name: source.sha256},
        seed=seed,
    )


def train_on_news(
    cell: Cell,
    seed: int,
    settings: NewsSettings,
    text: NewsText,
    context: Context,
    report: Callable[[float, str], None],
) -> tuple[CellLanguageModel, WordVectors]:
    """Train a model, or go on with a training that was killed, and leave its embeddings as an artifact.

    Args:
        cell: The recurrent cell.
        seed: Decides weights, masks and segment lengths.
        settings: See there.
        text: What to train on.
        context: Folders and device of the run.
        report: Takes (share that is done, a few words).

    Returns:
        The model of the best epoch, and what was left as an artifact.

    Raises:
        RunError: The training diverged.
        OutputError: The checkpoint or the artifact cannot be written.
    """
    key = training_key(cell, seed, settings, text.source)
    generator = torch.Generator().manual_seed(seed)
    model = CellLanguageModel(
        cell,
        len(text.vocabulary),
        settings.hidden_size,
        settings.hidden_size,
        dropout=settings.dropout,
        dropout_e=settings.dropout_e,
        dropout_i=settings.dropout_i,
        dropout_x=settings.dropout_x,
        dropout_h=settings.dropout_h,
    )
    model.reset_parameters(generator)
    model.to(context.device)
    training = train(
        model,
        text.training_streams(settings.batch_size),
        text.evaluation_streams("dev", settings.evaluation_streams),
        settings,
        generator=generator,
        checkpoint=context.work / CHECKPOINT,
        identity=key,
        report=report,
    )
    total = sum(parameter.numel() for parameter in model.parameters())
    size = settings.hidden_size
    vectors = WordVectors(
        words=text.vocabulary.words,
        vectors=model.embedding.detach().cpu().clone(),
        parameters=ParameterCounts(
            cell=cell.num_parameters(input_size=size, hidden_size=size),
            total_without_embeddings=total - model.embedding.numel(),
            total=total,
        ),
        flops_per_token=cell.flops(input_size=size, hidden_size=size),
        tokens=training.tokens,
        seconds=training.seconds,
        history=tuple(training.history),
    )
    write_vectors(vectors_path(context.artifacts, key), key, vectors)
    return model, vectors
