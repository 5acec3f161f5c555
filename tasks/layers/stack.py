"""Several recurrent layers of one cell, each of a width of its own, with weight drop."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from cellzoo.cells.graph import INPUT
from cellzoo.cells.ops import LINEAR
from tasks.layers.dropout import locked_dropout

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cellzoo.cells.cell import Cell
    from cellzoo.layer import CellRNN


class CellStack(nn.Module):
    """The recurrent layers of AWD-LSTM (Merity et al. 2018, arXiv 1708.02182) for any cell.

    Is called as `CellRNN` is, with padded, time-major input. Weight drop masks single weights of every matrix
    that does not read x, anew in each call in training.

    Args:
        layers: Layers of one cell, each as wide as the next one's input.
        dropout: Locked dropout on what passes from layer to layer.
        weight_drop: Share of weights that is dropped.
        trains_dropped: Whether gradients reach matrices with weight drop. Without, they stay as they were
            drawn, as in all published runs of NAS-Bench-NLP, whose code wraps the masked matrix in a new
            parameter.
    """

    bidirectional = False

    def __init__(
        self,
        layers: Sequence[CellRNN],
        *,
        dropout: float = 0.0,
        weight_drop: float = 0.0,
        trains_dropped: bool = True,
    ) -> None:
        super().__init__()
        self.cell: Cell = layers[0].cell
        self.input_size, self.hidden_size = layers[0].input_size, layers[-1].hidden_size
        self.num_layers = len(layers)
        self.layers = nn.ModuleList(layers)
        self.dropout = dropout
        self.weight_drop = weight_drop
        self.trains_dropped = trains_dropped
        self.recurrent_weights = _recurrent_weights(layers[0])

    @property
    def runtime(self) -> str:
        """Name of the engine that runs the layers."""
        return cast("CellRNN", self.layers[0]).runtime

    def forward(
        self,
        input: Tensor,  # noqa: A002 - torch.nn.LSTM's name
        hx: Sequence[Any] | None = None,
    ) -> tuple[Tensor, tuple[Any, ...]]:
        """Run all layers.

        Args:
            input: (T, B, E).
            hx: States of each layer to start from; zeros when None.

        Returns:
            Outputs of the last layer, (T, B, H), and the states of each layer after the last step.
        """
        values, finals = input, []
        for index, layer in enumerate(self.layers):
            if index > 0:
                values = locked_dropout(values, self.dropout, self.training)
            arguments = (values, None if hx is None else hx[index])
            values, final = functional_call(layer, self._dropped_weights(layer), arguments)  # (T, B, H)
            finals.append(final)
        return values, tuple(finals)

    def _dropped_weights(self, layer: nn.Module) -> dict[str, Tensor]:
        """Masked matrices of a layer by name; none where there is nothing to drop."""
        if not self.training or self.weight_drop == 0.0:
            return {}
        dropped = {
            name: F.dropout(layer.get_parameter(name), self.weight_drop) for name in self.recurrent_weights
        }
        return dropped if self.trains_dropped else {name: weight.detach() for name, weight in dropped.items()}


def _recurrent_weights(layer: CellRNN) -> tuple[str, ...]:
    """Names, in a `CellRNN` of one layer, of the matrices that do not read x."""
    uses = [
        (weight, source == INPUT)
        for node in layer.cell.live_nodes
        if node.op == LINEAR
        for weight, source in zip(node.weights, node.inputs, strict=True)
    ]
    on_x = {weight for weight, reads_x in uses if reads_x}
    names = dict.fromkeys(weight for weight, _ in uses if weight not in on_x)
    keys = layer.direction(0).keys
    return tuple(f"directions.0.{keys[name]}" for name in names)
