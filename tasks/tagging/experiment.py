"""One run of a tagging task: build, train, judge."""

from __future__ import annotations

import logging
import time
import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING, cast

import flair
import torch

from tasks.tagging.checkpoint import CheckpointFile
from tasks.tagging.corpus import LABEL, flair_sentences, type_dictionary
from tasks.tagging.evaluation import evaluate
from tasks.tagging.scores import micro
from tasks.tagging.tagger import CellTagger
from tasks.tagging.training import train
from tasks.task import Outcome, ParameterCounts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from flair.embeddings import TokenEmbeddings

    from cellzoo.cells.cell import Cell
    from cellzoo.layer import CellRNN
    from tasks.data.conll import TaggedSentence
    from tasks.data.splits import Split
    from tasks.tagging.settings import TaggerSettings
    from tasks.task import Context, Json

_TRAINING_SHARE = 0.97


def run_tagging(
    splits: Mapping[Split, Sequence[TaggedSentence]],
    features: Callable[[], TokenEmbeddings],
    cell: Cell,
    seed: int,
    settings: TaggerSettings,
    context: Context,
    identity: Mapping[str, Json],
) -> Outcome:
    """Train a tagger on `train`, choose the epoch by span F1 on `dev`, and judge it on `dev` and `test`.

    The global generators of Python, numpy and torch are seeded here, for Flair draws from them.

    Args:
        splits: `train`, `dev` and `test`.
        features: Builds the token features; called after seeding.
        cell: The recurrent cell.
        seed: Decides every random choice.
        settings: How to build and train.
        context: Folders, device and progress.
        identity: What decides the result; a checkpoint of another identity is not used.
    """
    started = time.perf_counter()
    with _flair(context.device):
        flair.set_seed(seed)
        context.report(0.0, "reading data and features")
        sentences = {name: flair_sentences(split) for name, split in splits.items()}
        tagger = _build(features(), cell, [*splits["train"], *splits["dev"]], settings)
        prepared = time.perf_counter()
        progress = train(
            tagger,
            sentences["train"],
            sentences["dev"],
            settings,
            CheckpointFile(context.work / "checkpoint.safetensors", identity),
            context.work,
            lambda fraction, words: context.report(_TRAINING_SHARE * fraction, words),
        )
        trained = time.perf_counter()
        items: list[dict[str, Json]] = []
        judged_splits: tuple[Split, ...] = ("dev", "test")
        for split in judged_splits:
            context.report(_TRAINING_SHARE, f"judging {split}")
            judged, _ = evaluate(tagger, sentences[split], split, 2 * settings.batch_size)
            items += judged
        judged_at = time.perf_counter()
    test = micro(item for item in items if item["split"] == "test")
    dev = micro(item for item in items if item["split"] == "dev")
    return Outcome(
        metrics={"f1": test.f1, "dev_f1": dev.f1, "precision": test.precision, "recall": test.recall},
        items=items,
        parameters=_count(tagger),
        flops_per_token=_flops(tagger),
        tokens=progress.epoch * sum(len(sentence.tokens) for sentence in splits["train"]),
        seconds={
            "prepare": prepared - started,
            "train": progress.seconds_train,
            "dev": progress.seconds_dev,
            "evaluate": judged_at - trained,
        },
        history=progress.history,
    )


def _build(
    features: TokenEmbeddings, cell: Cell, sentences: Sequence[TaggedSentence], settings: TaggerSettings
) -> CellTagger:
    return CellTagger(
        features,
        type_dictionary(sentences),
        LABEL,
        rnn_type=cell,
        hidden_size=settings.hidden_size,
        rnn_layers=settings.layers,
        bidirectional=settings.bidirectional,
        rnn_dropout=settings.layer_dropout,
        dropout_x=settings.dropout_x,
        dropout_h=settings.dropout_h,
        tag_format=settings.tag_format,
        use_crf=settings.crf,
        reproject_embeddings=settings.reproject,
        dropout=settings.dropout,
        word_dropout=settings.word_dropout,
        locked_dropout=settings.locked_dropout,
    )


def _count(tagger: CellTagger) -> ParameterCounts:
    def size(module: torch.nn.Module) -> int:
        return sum(weight.numel() for weight in module.parameters())

    total = size(tagger)
    return ParameterCounts(size(tagger.rnn), total - size(tagger.embeddings), total)


def _flops(tagger: CellTagger) -> int:
    layer = cast("CellRNN", tagger.rnn)
    directions = 2 if layer.bidirectional else 1
    sizes = [layer.input_size] + [layer.hidden_size * directions] * (layer.num_layers - 1)
    return directions * sum(layer.cell.flops(input_size=size, hidden_size=layer.hidden_size) for size in sizes)


@contextmanager
def _flair(device: str) -> Iterator[None]:
    """Set Flair's device, and silence its log and the deprecation warnings its trainer causes."""
    logger = logging.getLogger("flair")
    level, before = logger.level, flair.device
    logger.setLevel(logging.ERROR)
    flair.device = torch.device(device)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", category=FutureWarning, module="flair")
            yield
    finally:
        logger.setLevel(level)
        flair.device = before
