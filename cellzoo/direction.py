"""The weights of one recurrent layer in one direction, on the module that runs them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.jit import is_tracing  # type: ignore[attr-defined]

from cellzoo.runtime import engine_in_use, prepare
from cellzoo.runtime.reference import ReferenceRuntime

if TYPE_CHECKING:
    from collections.abc import Sequence

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
    ) -> None:
        super().__init__()
        shapes = cell.parameter_shapes(input_size=input_size, hidden_size=hidden_size, bias=bias)
        self.cell = cell
        self.engine: Runtime = prepare(runtime, cell)
        # Ready from the start: what is exported must change nothing.
        self._reference = ReferenceRuntime(cell)
        self._others: dict[str, Runtime] = {"reference": self._reference}
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
        batch_sizes: Sequence[int],
        states: Sequence[Tensor],
        *,
        reverse: bool,
        mask_x: Tensor | None,
        mask_h: Tensor | None,
        kept: Tensor | None = None,
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Run the engine with these weights; arguments as in `cellzoo.runtime.reference.ReferenceRuntime`."""
        weights = self.weights
        masks = {"mask_x": mask_x, "mask_h": mask_h}
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
            self._others[name] = prepare(name, self.cell)
        return self._others[name]

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *rest: Any) -> None:
        """Load, also from files of the time when a `ParameterDict` named `weights` held the weights."""
        former = f"{prefix}{_FORMER_OWNER}"
        for key in [key for key in state_dict if key.startswith(former)]:
            name = key.removeprefix(former)
            state_dict[prefix + self.keys.get(name.removesuffix("'"), name)] = state_dict.pop(key)
        super()._load_from_state_dict(state_dict, prefix, *rest)


def _is_taken(module: nn.Module, name: str) -> bool:
    """Whether a weight cannot be an attribute of this name; what a `ParameterDict` has never could be."""
    return hasattr(module, name) or hasattr(nn.ParameterDict, name)
