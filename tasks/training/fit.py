"""From a cell and a problem to a trained model: what every evaluation of a cell does."""

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
        model: With the weights that the settings ask for, those of the best epoch on dev by default.
        rnn: The recurrent layer in it, or what stands in its place.
        standing: Epochs, steps, words, seconds and history.
        best_epoch: The epoch (from 1) that was best on dev.
        notes: What a reader must know of the training.
    """

    model: nn.Module
    rnn: nn.Module
    standing: Standing
    best_epoch: int
    notes: tuple[str, ...] = ()


def fit(problem: Problem, subject: Cell | str, settings: TrainingSettings, seed: int, place: Place) -> Fitted:
    """Train a model around a cell, or go on with a training that was killed.

    Args:
        problem: What is trained on.
        subject: The recurrent cell, or the name of a baseline in its place (`tasks.layers.baselines`).
        settings: How.
        seed: Decides all random numbers.
        place: Where the state is kept.

    Raises:
        RunError: A loss is not finite, or memory ran out.
        OutputError: The state cannot be written.
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
    """What a reader must know of the precision that was asked for."""
    if precision == "full" or (device.type == "cpu" and has_bfloat16()):
        return ()
    return ("products of bfloat16 are not to be had here: they were computed in full precision",)


def recurrent_layer(
    cell: Cell, spec: LayerSpec, generator: torch.Generator, precision: str = "full"
) -> CellRNN | CellStack:
    """Build the layer, or the stack of layers, that a problem's model has room for.

    Args:
        cell: The recurrent cell.
        spec: Sizes, dropout and place.
        generator: Draws the weights; a CPU generator.
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
