"""The engine `scan`, without a loop over steps: products for all steps at once, and parallel scans for states.

It runs cells whose states are all delayed or affine (see `recurrence.py`); the engine `torch` runs all others.
It consists of differentiable torch operations, so it supports gradients of gradients.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from cellzoo.cells.graph import HIDDEN_WIDTH, INPUT, INPUT_WIDTH
from cellzoo.cells.ops import LINEAR, PRIMITIVES
from cellzoo.runtime.affine import Affine, affine
from cellzoo.runtime.autocast import widest_dtype, without_autocast
from cellzoo.runtime.graph import COPY, MASK, cell_graph
from cellzoo.runtime.interface import Engine
from cellzoo.runtime.linear_recurrence import Rows, Solve
from cellzoo.runtime.lowering import Lowering
from cellzoo.runtime.recurrence import Kind, can_scan, components
from cellzoo.runtime.torch_engine import TorchPlans, TorchRuntime
from cellzoo.runtime.torch_engine.dtypes import ResultDtypes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cellzoo.cells.cell import Cell
    from cellzoo.runtime.graph import Graph, Value
    from cellzoo.runtime.interface import Runtime
    from cellzoo.runtime.recurrence import Component


def prepare(cell: Cell) -> Runtime:
    """Prepare the engine for a cell, or the engine `torch` if scans cannot run it."""
    return ScanRuntime(cell) if can_scan(cell) else TorchRuntime(cell)


class ScanRuntime:
    """Runs a cell whose states are all delayed or affine. See `cellzoo.runtime.Runtime` for the call."""

    def __init__(self, cell: Cell) -> None:
        self.cell = cell
        self._programs: dict[tuple[bool, bool], _Program] = {}
        self._lowering = Lowering(cell)
        self._dtypes = ResultDtypes(cell)
        self._hidden_state = next(
            index for index, state in enumerate(cell.states) if state.width == HIDDEN_WIDTH
        )

    def __call__(
        self,
        inputs: Tensor,
        batch_sizes: Sequence[int],
        states: Sequence[Tensor],
        weights: Mapping[str, Tensor],
        *,
        reverse: bool = False,
        mask_x: Tensor | None = None,
        mask_h: Tensor | None = None,
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Run the cell as `cellzoo.runtime.Runtime` says."""
        masks = (mask_x, mask_h)
        dtypes = self._dtypes(inputs, batch_sizes, states, weights, masks, reverse=reverse)
        hidden_size = states[self._hidden_state].size(1)
        weights = self._lowering(weights, like=inputs, hidden_size=hidden_size)
        given = [inputs, *states, *weights.values(), *(mask for mask in masks if mask is not None)]
        dtype = widest_dtype(given)
        key = (mask_x is not None, mask_h is not None)
        if key not in self._programs:
            self._programs[key] = _Program(cell_graph(self.cell, masked_x=key[0], masked_h=key[1]))
        with without_autocast(inputs.device):
            run = _Pass(
                self._programs[key],
                Rows(batch_sizes, inputs.device, reverse=reverse),
                inputs.to(dtype),
                [state.to(dtype) for state in states],
                {name: weight.to(dtype) for name, weight in weights.items()},
                [None if mask is None else mask.to(dtype) for mask in masks],
                hidden_size,
            )
            output, *final = (value.to(own) for value, own in zip(run(), dtypes, strict=True))
        return output, tuple(final)


class _Program:
    """The order of computation for one kind of call.

    Attributes:
        components: The components of states, in topological order.
        stages: The values that are computed before each component, and after the last one, for all steps at
            once.
        shifted: The states that these values, or other components, read; as shifted by one step.
        nexts: State -> name of its next value.
        output: Name of the output.
    """

    def __init__(self, graph: Graph) -> None:
        self.components = components(graph)
        self.nexts = dict(zip(graph.states, graph.nexts, strict=True))
        self.output = graph.output
        scanned = {
            self.nexts[component.states[0]]: component
            for component in self.components
            if component.kind is Kind.AFFINE
        }
        wanted = {graph.output, *graph.nexts}
        for value in reversed(graph.values):
            if value.name in wanted:
                wanted |= scanned[value.name].reads if value.name in scanned else set(value.sources)
        known = {INPUT: 0}
        known |= {component.states[0]: stage for stage, component in enumerate(self.components, start=1)}
        stages: list[list[Value]] = [[] for _ in (*self.components, None)]
        for value in graph.values:
            if value.name in scanned:
                known[value.name] = known[scanned[value.name].states[0]]
            elif value.name in wanted:
                known[value.name] = max((known[source] for source in value.sources), default=0)
                stages[known[value.name]].append(value)
        self.stages = stages
        read = {source for stage in stages for value in stage for source in value.sources}
        self.shifted = read.union(*(component.reads for component in scanned.values())).intersection(
            graph.states
        )


class _Pass:
    """One call. Values are (N, width), except those that depend on weights alone, which are (width,)."""

    def __init__(
        self,
        program: _Program,
        rows: Rows,
        inputs: Tensor,
        initial: Sequence[Tensor],
        weights: Mapping[str, Tensor],
        masks: Sequence[Tensor | None],
        hidden_size: int,
    ) -> None:
        self._program = program
        self._rows = rows
        self._inputs = inputs
        self._initial = dict(zip(program.nexts, initial, strict=True))
        self._weights = weights
        self._masks = masks
        self._hidden_size = hidden_size
        self._known = {INPUT: inputs}

    def __call__(self) -> list[Tensor]:
        """Compute the outputs (N, H) and the final states."""
        program, known = self._program, self._known
        for stage, component in zip(program.stages, (*program.components, None), strict=True):
            for value in stage:
                known[value.name] = self._evaluate(value)
            if component is None:
                break
            (state,) = component.states
            after, initial = program.nexts[state], self._initial[state]
            if component.kind is Kind.AFFINE:
                known[after] = Solve.apply(self._rows, *self._affine(component), initial)
            if state in program.shifted:
                known[state] = self._rows.before(known[after], initial)
        outputs = self._in_rows(known[program.output], self._hidden_size)
        return [outputs, *(self._rows.last(known[name]) for name in program.nexts.values())]

    def _evaluate(self, value: Value) -> Tensor:
        inputs = [self._known[name] for name in value.inputs]
        primitive = PRIMITIVES.get(value.op)
        if primitive is not None and primitive.forward is not None:
            return primitive.forward(*inputs)
        if value.op == LINEAR:
            total = self._known[value.start] if value.start else self._weights.get(value.bias or "")
            for source, name in zip(inputs, value.weights, strict=True):
                weight = self._weights[name]
                rows = self._in_rows(source, weight.size(1))
                total = rows @ weight.t() if total is None else torch.addmm(total, rows, weight.t())
            assert total is not None  # noqa: S101 - a linear value has a source
            return total
        if value.op == MASK:
            mask = self._masks[value.immediate]
            assert mask is not None  # noqa: S101 - the program is that of a call with this mask
            return inputs[0] * self._rows.each(mask)
        if value.op == COPY:
            return self._in_rows(inputs[0], self._units(value.width))
        if value.weights:
            return self._weights[value.weights[0]]
        assert primitive is not None  # noqa: S101 - all other ops of a cell's graph are primitives
        return self._inputs.new_full((1,), value.number if primitive.constant is None else primitive.constant)

    def _affine(self, component: Component) -> tuple[Tensor, Tensor]:
        """Compute a and b, each (N, width), of a state whose next value is a * h + b."""
        (state,) = component.states
        found = {state: Affine(1.0, 0.0)}
        for value in component.loop:
            operands = [found.get(source) or Affine(0.0, self._known[source]) for source in value.inputs]
            found[value.name] = affine(value.op, operands)
        units = self._initial[state].size(1)
        factor, term = (
            self._in_rows(part if isinstance(part, Tensor) else self._inputs.new_full((1,), part), units)
            for part in found[self._program.nexts[state]]
        )
        return factor, term

    def _in_rows(self, value: Tensor, units: int) -> Tensor:
        return value if value.dim() > 1 else value.expand(self._inputs.size(0), units)

    def _units(self, width: str) -> int:
        if width == INPUT_WIDTH:
            return self._inputs.size(1)
        return self._hidden_size if width == HIDDEN_WIDTH else int(width)


ENGINE = Engine(prepare, TorchPlans)
