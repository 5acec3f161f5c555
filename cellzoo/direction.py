"""The weights of one recurrent layer in one direction, on the module that runs them."""

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
    """A cell's weights as parameters, and the engine that runs the cell with them.

    What hooks a module, replaces its parameters by others or brings them for the length of a call (weight and
    spectral norm, pruning, parametrisations, offloading, sharding) meets here what it expects: the owner of the
    weights is called at every pass, and reads them by attribute when it is.

    Attributes:
        cell: The cell.
        keys: The cell's name of a weight -> its attribute, which is the name but for the few that a module has.
        engine: What runs it, but where `cellzoo.runtime.using` says another, or torch traces.
        zoneout: State -> probability that a unit of it stays as it is.
        resting: What runs the cell with zoneout outside of training; None without zoneout.
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
        self.engine: Runtime = prepare(runtime, cell, precision)
        self._runtime, self._precision = runtime, precision
        self._text = cell.to_json()
        # Ready from the start: what is exported must change nothing.
        self._reference = ReferenceRuntime(cell)
        self._others: dict[str, Runtime] = {"reference": self._reference}
        self.zoneout = dict(zoneout or {})
        self.resting = _Engines(expected_cell(cell, self.zoneout), runtime, precision) if self.zoneout else None
        self.keys: dict[str, str] = {}
        # A cell may call a weight `half` or `keys`, which a module cannot; no identifier has a prime.
        self.keys = {name: f"{name}'" if _is_taken(self, name) else name for name in shapes}
        for name, shape in shapes.items():
            weight = nn.Parameter(torch.empty(shape, device=device, dtype=dtype))
            self.register_parameter(self.keys[name], weight)

    @property
    def weights(self) -> dict[str, Tensor]:
        """The weights by the names that the cell gives them, as the next call takes them."""
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

        Batch sizes in a tensor (T,) make one node of the call, in a graph that is compiled or exported.
        """
        weights = self.weights
        masks = {"mask_x": mask_x, "mask_h": mask_h}
        if isinstance(batch_sizes, Tensor):
            options: dict[str, Any] = {"reverse": reverse, **masks, "kept": kept}
            text = self._text if self.resting is None or self.training else self.resting.text
            return run_as_node(
                text, self._runtime, self._precision, data, batch_sizes, states, weights, **options
            )
        if self.resting is not None and not self.training:
            return self.resting.run(data, batch_sizes, states, weights, reverse=reverse, **masks, kept=kept)
        if self.zoneout and self.training:
            if kept is not None:
                raise ValueError("zoneout draws for every token in training: pack the batch instead of `kept`")
            engine = self._engine_in_use()
            return run_zoned(
                engine, self.cell, self.zoneout, data, batch_sizes, states, weights, reverse=reverse, **masks
            )
        if kept is not None:
            return self._reference(data, batch_sizes, states, weights, reverse=reverse, **masks, kept=kept)
        return self._engine_in_use()(data, batch_sizes, states, weights, reverse=reverse, **masks)

    def _engine_in_use(self) -> Runtime:
        # Nothing but plain operations of torch can be traced.
        is_traced = is_tracing() or torch.compiler.is_compiling()
        name = "reference" if is_traced else engine_in_use()
        if name is None:
            return self.engine
        if name not in self._others:
            self._others[name] = prepare(name, self.cell, self._precision)
        return self._others[name]

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *rest: Any) -> None:
        """Load, also from files of the time when a `ParameterDict` named `weights` held the weights."""
        former = f"{prefix}{_FORMER_OWNER}"
        for key in [key for key in state_dict if key.startswith(former)]:
            name = key.removeprefix(former)
            state_dict[prefix + self.keys.get(name.removesuffix("'"), name)] = state_dict.pop(key)
        super()._load_from_state_dict(state_dict, prefix, *rest)


class _Engines:
    """The engines of a cell, of which the one in use runs a call."""

    def __init__(self, cell: Cell, runtime: str, precision: str) -> None:
        self.cell = cell
        self._precision = precision
        self.text = cell.to_json()
        self.engine = prepare(runtime, cell, precision)
        self.reference = ReferenceRuntime(cell)
        self.others: dict[str, Runtime] = {"reference": self.reference}

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
            return self.reference(data, batch_sizes, states, weights, **options, kept=kept)
        name = "reference" if is_tracing() or torch.compiler.is_compiling() else engine_in_use()
        if name is None:
            return self.engine(data, batch_sizes, states, weights, **options)
        if name not in self.others:
            self.others[name] = prepare(name, self.cell, self._precision)
        return self.others[name](data, batch_sizes, states, weights, **options)


def _is_taken(module: nn.Module, name: str) -> bool:
    """Whether a weight cannot be an attribute of this name; what a `ParameterDict` has never could be."""
    return hasattr(module, name) or hasattr(nn.ParameterDict, name)
