"""Supernet: a recurrent layer that mixes all cells of a space, with the interface of `CellRNN`."""

from __future__ import annotations

import math
from contextlib import contextmanager
from typing import TYPE_CHECKING, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from cellzoo.runtime import engine_in_use
from search.supernets.flops import call_flops
from search.supernets.normalisation import SharedStatistics
from search.supernets.prepare import prepare
from search.supernets.relaxation import Chosen
from search.supernets.runtime import SupernetCall
from search.supernets.terms import layout_terms

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from search.supernets.layout import Layout
    from search.supernets.relaxation import Relaxation
    from search.supernets.runtime import SupernetRuntime
    from tasks.problem import LayerSpec

States = Tensor | tuple[Tensor, ...]


class Supernet(nn.Module):
    """One layer, in one or both directions, that mixes the operations on every edge.

    Both directions have the same architecture, but separate weights.

    Args:
        layout: Nodes, operations and weights.
        layer: Sizes, dropout, device and dtype.
        relaxation: Gives the mixture, once for each call.
        generator: Draws the weights.
        engine: One of `cellzoo.runtime.RUNTIMES`.
        precision: As in `cellzoo.layer.CellRNN`.

    Raises:
        CellzooError: As in `Layout.weight_shapes`.
        UnknownNameError: No such engine, or no such precision.
    """

    def __init__(
        self,
        layout: Layout,
        layer: LayerSpec,
        relaxation: Relaxation,
        generator: torch.Generator,
        *,
        engine: str = "auto",
        precision: str = "full",
    ) -> None:
        super().__init__()
        self.layout = layout
        self.layer = layer
        self.input_size = layer.input_size
        self.hidden_size = layer.hidden_size
        self.num_layers = 1
        self.bidirectional = layer.bidirectional
        self.relaxation = relaxation
        self.directions = nn.ModuleList(
            _Direction(layout, layer) for _ in range(2 if layer.bidirectional else 1)
        )
        self._runtimes: dict[str | None, SupernetRuntime] = {None: prepare(engine, layout, precision)}
        self.precision = precision
        self._ran: tuple[str, ...] = ()
        self._terms = tuple(layout_terms(layout))
        self._flops = 0
        # The range of torch's recurrent layers, which suits small layers, too; the DARTS code has 0.04 for 300
        # units.
        bound = 1.0 / math.sqrt(layer.hidden_size) if layer.weight_range is None else layer.weight_range
        with torch.no_grad():
            for parameter in self.directions.parameters():
                drawn = torch.rand(parameter.shape, generator=generator, dtype=torch.float64)
                parameter.copy_((2.0 * drawn - 1.0) * bound)

    @property
    def ran(self) -> tuple[str, ...]:
        """The engines that ran the last call, in the order of its steps; empty before the first."""
        return self._ran

    def forward(
        self,
        input: Tensor | PackedSequence,  # noqa: A002 - torch.nn.LSTM's name
        hx: States | None = None,
    ) -> tuple[Tensor | PackedSequence, States]:
        """Run the layer over a batch of sequences.

        Args:
            input: (T, B, E) or a PackedSequence.
            hx: Initial states, as returned by this method; None for the start of a sequence.

        Returns:
            Outputs (T, B, directions * H) of the same type as `input`, and the states after each sequence's
            last step: (directions, B, H), or a tuple of states for a layout with gates.

        Raises:
            ValueError: A shape does not fit.
        """
        if isinstance(input, PackedSequence):
            data, batch_sizes, sorted_indices, unsorted_indices = input
            sizes = batch_sizes.tolist()
            states = self._initial(hx, sizes[0], data)
            if sorted_indices is not None:
                states = [state.index_select(1, sorted_indices) for state in states]
            output, final = self._run(data, sizes, states)
            if unsorted_indices is not None:
                final = [state.index_select(1, unsorted_indices) for state in final]
            return PackedSequence(output, batch_sizes, sorted_indices, unsorted_indices), _given(final)
        if input.dim() != 3 or input.size(0) == 0:
            raise ValueError(f"input has shape {tuple(input.shape)}; expected (T, B, E) with at least one step")
        steps, batch, width = input.shape
        states = self._initial(hx, batch, input)
        output, final = self._run(input.reshape(steps * batch, width), [batch] * steps, states)
        return output.view(steps, batch, output.size(1)), _given(final)

    def take_flops(self) -> int:
        """Operations of all calls since this method was last called; see `search.supernets.flops`."""
        taken, self._flops = self._flops, 0
        return taken

    @contextmanager
    def holding(self, shares: Mapping[str, Tensor]) -> Iterator[None]:
        """Use fixed shares, those of a discrete cell, instead of the relaxation within this context."""
        searched = self.relaxation
        held = Chosen(self.layout, self.layer)
        held.choose(shares)
        self.relaxation = held
        try:
            yield
        finally:
            self.relaxation = searched

    def _run(
        self, data: Tensor, batch_sizes: Sequence[int], states: Sequence[Tensor]
    ) -> tuple[Tensor, list[Tensor]]:
        if data.size(-1) != self.input_size:
            raise ValueError(f"input has width {data.size(-1)}; input_size is {self.input_size}")
        mixtures = self.relaxation()
        runtime = self._runtime()
        outputs, finals = [], []
        for index, module in enumerate(self.directions):
            direction = cast("_Direction", module)
            call = SupernetCall(
                data,
                batch_sizes,
                [state[index] for state in states],
                dict(direction.weights.items()),
                mixtures,
                direction.statistics,
                reverse=index == 1,
                mask_x=self._mask(data, batch_sizes[0], self.input_size, self.layer.dropout_x),
                mask_h=self._mask(data, batch_sizes[0], self.hidden_size, self.layer.dropout_h),
            )
            self._flops += call_flops(self.layout, self._terms, call)
            output, final = runtime(call)
            outputs.append(output)
            finals.append(final)
        self._ran = runtime.ran
        return torch.cat(outputs, dim=1), [torch.stack(parts) for parts in zip(*finals, strict=True)]

    def _runtime(self) -> SupernetRuntime:
        """The engine of the constructor, or that of `cellzoo.runtime.using`."""
        name = engine_in_use()
        if name not in self._runtimes:
            assert name is not None  # noqa: S101 - prepared from the start
            self._runtimes[name] = prepare(name, self.layout, self.precision)
        return self._runtimes[name]

    def _mask(self, like: Tensor, batch: int, width: int, probability: float) -> Tensor | None:
        if not self.training or probability == 0.0:
            return None
        return F.dropout(like.new_ones(batch, width), probability)

    def _initial(self, hx: States | None, batch: int, like: Tensor) -> list[Tensor]:
        widths = self.layout.state_widths(self.input_size, self.hidden_size)
        shapes = [(len(self.directions), batch, width) for width in widths]
        if hx is None:
            return [like.new_zeros(shape) for shape in shapes]
        given = [hx] if isinstance(hx, Tensor) else list(hx)
        if [tuple(state.shape) for state in given] != shapes:
            raise ValueError(f"hx has shapes {[tuple(state.shape) for state in given]}; expected {shapes}")
        return given


class _Direction(nn.Module):
    """The weights and the running statistics of one direction."""

    def __init__(self, layout: Layout, layer: LayerSpec) -> None:
        super().__init__()
        shapes = layout.weight_shapes(layer.input_size, layer.hidden_size)
        self.weights = nn.ParameterDict(
            {
                name: nn.Parameter(torch.empty(shape, device=layer.device, dtype=layer.dtype))
                for name, shape in shapes.items()
            }
        )
        self.statistics = (
            None
            if layout.normalisation == "none"
            else SharedStatistics(
                layer.hidden_size,
                uses_running=layout.normalisation == "running",
                device=layer.device,
                dtype=layer.dtype,
            )
        )


def own_weights(model: nn.Module, relaxation: nn.Module) -> Mapping[str, nn.Parameter]:
    """The parameters of a model by name, without those of the architecture."""
    architecture = {id(parameter) for parameter in relaxation.parameters()}
    return {name: weight for name, weight in model.named_parameters() if id(weight) not in architecture}


def _given(final: Sequence[Tensor]) -> States:
    return final[0] if len(final) == 1 else tuple(final)
