"""One recurrent layer in one direction: its weights, and the engine that runs it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.jit import is_tracing  # type: ignore[attr-defined]

from cellzoo.runtime import engine_in_use, prepare
from cellzoo.runtime.operator import run_as_node
from cellzoo.runtime.reference import ReferenceRuntime
from cellzoo.zoneout import expected_cell, run_zoned

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cellzoo.cells.cell import Cell
    from cellzoo.runtime import Runtime

_FORMER_OWNER = "weights."


class Direction(nn.Module):
    """A module with the weights of a cell, which runs the cell.

    Extensions that hook modules, replace parameters, or load them for the duration of a call (weight and
    spectral norm, pruning, parametrisations, offloading, sharding) work as usual: the module that owns the
    weights is called at every pass, and reads them as attributes in its `forward`.

    Attributes:
        cell: The cell.
        keys: Name of a weight in the cell -> name of its attribute. They differ only if a module already has an
            attribute of that name.
        zoneout: State -> probability that a unit keeps its value.
        resting: Runs the cell with the expected value of zoneout, in eval mode; None without zoneout.
    """

    def __init__(
        self,
        cell: Cell,
        input_size: int,
        hidden_size: int,
        *,
        bias: bool,
        device: torch.device | str | None,
        dtype: torch.dtype | None,
        runtime: str,
        zoneout: Mapping[str, float] | None = None,
        precision: str = "full",
    ) -> None:
        super().__init__()
        shapes = cell.parameter_shapes(input_size=input_size, hidden_size=hidden_size, bias=bias)
        self.cell = cell
        self._runtime, self._precision = runtime, precision
        self._engines = _Engines(cell, runtime, precision)
        self.zoneout = dict(zoneout or {})
        self.resting = _Engines(expected_cell(cell, self.zoneout), runtime, precision) if self.zoneout else None
        self.keys: dict[str, str] = {}
        # A cell may have a weight called `half` or `keys`, which a module already has. No identifier contains a
        # prime.
        self.keys = {name: f"{name}'" if _is_taken(self, name) else name for name in shapes}
        for name, shape in shapes.items():
            weight = nn.Parameter(torch.empty(shape, device=device, dtype=dtype))
            self.register_parameter(self.keys[name], weight)

    @property
    def engine(self) -> Runtime:
        """The engine, unless `cellzoo.runtime.using` overrides it or torch traces the call."""
        return self._engines.engine

    @engine.setter
    def engine(self, engine: Runtime) -> None:
        self._engines.engine = engine

    @property
    def weights(self) -> dict[str, Tensor]:
        """The present weights, by their names in the cell."""
        return {name: getattr(self, key) for name, key in self.keys.items()}

    def forward(
        self,
        data: Tensor,
        batch_sizes: Sequence[int] | Tensor,
        states: Sequence[Tensor],
        *,
        reverse: bool,
        mask_x: Tensor | None,
        mask_h: Tensor | None,
        kept: Tensor | None = None,
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Run the engine with these weights; arguments as in `cellzoo.runtime.reference.ReferenceRuntime`.

        If batch sizes are a tensor (T,), the call becomes one node of the compiled or exported graph.
        """
        options = {"reverse": reverse, "mask_x": mask_x, "mask_h": mask_h}
        return self._run(data, batch_sizes, states, self.weights, kept=kept, **options)

    def _run(
        self,
        data: Tensor,
        batch_sizes: Sequence[int] | Tensor,
        states: Sequence[Tensor],
        weights: Mapping[str, Tensor],
        *,
        kept: Tensor | None,
        **options: Any,
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        engines = self._engines if self.resting is None or self.training else self.resting
        if isinstance(batch_sizes, Tensor):
            settings = (engines.text, self._runtime, self._precision)
            return run_as_node(*settings, data, batch_sizes, states, weights, kept=kept, **options)
        if self.zoneout and self.training:
            if kept is not None:
                raise ValueError("`kept` cannot be used with zoneout in training; pack the batch instead")
            engine = engines.in_use()
            return run_zoned(engine, self.cell, self.zoneout, data, batch_sizes, states, weights, **options)
        return engines.run(data, batch_sizes, states, weights, kept=kept, **options)

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *rest: Any) -> None:
        """Load a state dict, also in the old format, with the weights in a `ParameterDict` called `weights`."""
        former = f"{prefix}{_FORMER_OWNER}"
        for key in [key for key in state_dict if key.startswith(former)]:
            name = key.removeprefix(former)
            state_dict[prefix + self.keys.get(name.removesuffix("'"), name)] = state_dict.pop(key)
        super()._load_from_state_dict(state_dict, prefix, *rest)


class _Engines:
    """A cell with its engines; calls run on the engine in use."""

    def __init__(self, cell: Cell, runtime: str, precision: str) -> None:
        self.text = cell.to_json()
        self.engine = prepare(runtime, cell, precision)
        self._cell = cell
        self._precision = precision
        # Prepared eagerly, as exported code must not change attributes.
        self._reference = ReferenceRuntime(cell)
        self._others: dict[str, Runtime] = {"reference": self._reference}

    def in_use(self) -> Runtime:
        """The engine that runs the next call."""
        # Only the plain torch operations of the reference engine can be traced.
        name = "reference" if is_tracing() or torch.compiler.is_compiling() else engine_in_use()
        if name is None:
            return self.engine
        if name not in self._others:
            self._others[name] = prepare(name, self._cell, self._precision)
        return self._others[name]

    def run(
        self,
        data: Tensor,
        batch_sizes: Sequence[int],
        states: Sequence[Tensor],
        weights: Mapping[str, Tensor],
        *,
        kept: Tensor | None,
        **options: Any,
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Run the cell; arguments as in `cellzoo.runtime.reference.ReferenceRuntime`."""
        if kept is not None:
            return self._reference(data, batch_sizes, states, weights, kept=kept, **options)
        return self.in_use()(data, batch_sizes, states, weights, **options)


def _is_taken(module: nn.Module, name: str) -> bool:
    """Whether a module has an attribute of this name, or, for the old file format, a `ParameterDict` has."""
    return hasattr(module, name) or hasattr(nn.ParameterDict, name)
