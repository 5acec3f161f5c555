"""Build and train a model around a cell: the training that every evaluation of a cell starts with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import torch

from cellzoo.layer import CellRNN
from cellzoo.runtime.native.binding import has_bfloat16
from tasks.layers.baselines import baseline_layer
from tasks.layers.stack import CellStack
from tasks.training.loop import Budget, train
from tasks.training.memory import memory_errors
from tasks.training.streams import RandomStreams
from tasks.training.trainer import Trainer

if TYPE_CHECKING:
    from torch import nn

    from cellzoo.cells.cell import Cell
    from tasks.problem import LayerSpec, Problem
    from tasks.training.checkpoint import Standing
    from tasks.training.loop import Place
    from tasks.training.settings import TrainingSettings


@dataclass(frozen=True)
class Fitted:
    """A trained model.

    Attributes:
        model: With the weights of the best epoch on dev, or of the last epoch without `restore_best`.
        rnn: The recurrent layer of the model, or the baseline that replaces it.
        standing: Epochs, steps, tokens, seconds and history.
        best_epoch: The best epoch on dev, counted from 1.
        notes: Caveats for the reader of the results.
    """

    model: nn.Module
    rnn: nn.Module
    standing: Standing
    best_epoch: int
    notes: tuple[str, ...] = ()


def fit(problem: Problem, subject: Cell | str, settings: TrainingSettings, seed: int, place: Place) -> Fitted:
    """Train a model around a cell, or resume a training that was interrupted.

    Args:
        problem: The data and the model around the layer.
        subject: The recurrent cell, or the name of a baseline that replaces it (`tasks.layers.baselines`).
        settings: Optimizer, schedule, averaging and budget.
        seed: Seeds all random number generators.
        place: The folder of the checkpoint, and the progress callback.

    Raises:
        RunError: A loss is not finite, or memory ran out.
        OutputError: The checkpoint or the event log cannot be written.
        DataError: The checkpoint is damaged or belongs to another run.
    """
    device = problem.layer.device or torch.device("cpu")
    streams = RandomStreams(seed, device)
    budget = Budget(settings.epochs, settings.max_steps, settings.max_seconds)
    with streams.in_force(), memory_errors(place.label):
        if isinstance(subject, str):
            rnn: nn.Module = baseline_layer(subject, problem.layer, streams.model)
        else:
            rnn = recurrent_layer(subject, problem.layer, streams.model, settings.precision)
        trainer = Trainer(problem, problem.model(rnn, streams.model), settings)
        standing = train(trainer, problem, budget, streams, place)
        trainer.show_best()
    notes = (*trainer.remarks(), *precision_notes(settings.precision, device))
    return Fitted(trainer.model, rnn, standing, trainer.best_epoch, notes)


def precision_notes(precision: str, device: torch.device) -> tuple[str, ...]:
    """Say so where bfloat16 was requested and this machine cannot compute with it."""
    if precision == "full" or (device.type == "cpu" and has_bfloat16()):
        return ()
    return ("this processor cannot compute in bfloat16: products were computed in full precision",)


def recurrent_layer(
    cell: Cell, spec: LayerSpec, generator: torch.Generator, precision: str = "full"
) -> CellRNN | CellStack:
    """Build the recurrent layer, or the stack of layers, of a problem's model.

    Args:
        cell: The recurrent cell.
        spec: Sizes, dropout, initialisation and device.
        generator: Draws the initial weights; a CPU generator.
        precision: As in `CellRNN`.
    """
    rnn = _stack(cell, spec, precision) if spec.is_stack else _layer(cell, spec, precision)
    layers = [rnn] if isinstance(rnn, CellRNN) else rnn.layers
    for layer in layers:
        cast("CellRNN", layer).reset_parameters(generator)
    if spec.weight_range is not None:
        for layer in layers:
            cast("CellRNN", layer).reset_parameters(generator, bound=spec.weight_range)
    return rnn.to(spec.device)


def _layer(cell: Cell, spec: LayerSpec, precision: str) -> CellRNN:
    return CellRNN(
        cell,
        spec.input_size,
        spec.hidden_size,
        num_layers=spec.num_layers,
        bidirectional=spec.bidirectional,
        dropout=spec.dropout if spec.num_layers > 1 else 0.0,
        dropout_x=spec.dropout_x,
        dropout_h=spec.dropout_h,
        dtype=spec.dtype,
        init=spec.init,
        precision=precision,
    )


def _stack(cell: Cell, spec: LayerSpec, precision: str) -> CellStack:
    layers = [
        CellRNN(
            cell,
            *sizes,
            dropout_x=spec.dropout_x,
            dropout_h=spec.dropout_h,
            dtype=spec.dtype,
            init=spec.init,
            precision=precision,
        )
        for sizes in spec.sizes
    ]
    return CellStack(
        layers,
        dropout=spec.dropout,
        weight_drop=spec.weight_drop,
        trains_dropped=spec.trains_dropped,
    )
