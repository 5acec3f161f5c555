"""Everything a method consists of, as tensors and JSON, and back."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from cellzoo.errors import DataError
from search.methods.method import MethodState
from tasks.training.optimizer_state import optimizer_state, restore_optimizer

if TYPE_CHECKING:
    import random
    from collections.abc import Mapping

    import torch
    from torch import Tensor, nn


@dataclass(frozen=True)
class Parts:
    """What changes while a method runs.

    Attributes:
        modules: Weights and buffers, by a name without dots.
        optimizers: Their moments and steps.
        generators: Where chance comes from.
        drawers: Where choices of Python come from.
    """

    modules: Mapping[str, nn.Module]
    optimizers: Mapping[str, torch.optim.Optimizer] = field(default_factory=dict)
    generators: Mapping[str, torch.Generator] = field(default_factory=dict)
    drawers: Mapping[str, random.Random] = field(default_factory=dict)

    def save(self, content: Mapping[str, Any] | None = None) -> MethodState:
        """Copy everything, and `content` with it."""
        tensors: dict[str, Tensor] = {}
        optimizers: dict[str, dict[str, Any]] = {}
        for name, module in self.modules.items():
            for key, tensor in module.state_dict().items():
                tensors[f"module.{name}.{key}"] = tensor.detach().clone()
        for name, optimizer in self.optimizers.items():
            state, optimizers[name] = optimizer_state(optimizer)
            for key, tensor in state.items():
                tensors[f"optimizer.{name}.{key}"] = tensor.detach().clone()
        for name, generator in self.generators.items():
            tensors[f"generator.{name}"] = generator.get_state()
        return MethodState(
            tensors,
            {
                "optimizers": optimizers,
                "drawers": {name: _drawer_state(drawer) for name, drawer in self.drawers.items()},
                "own": dict(content or {}),
            },
        )

    def restore(self, state: MethodState) -> dict[str, Any]:
        """Put everything back, and return the `content` that was saved with it.

        Raises:
            DataError: The state lacks a part, or a tensor has another shape; nothing was changed.
        """
        self.check(state)
        for name, module in self.modules.items():
            module.load_state_dict(_below(state.tensors, f"module.{name}."))
        for name, optimizer in self.optimizers.items():
            restore_optimizer(
                optimizer, _below(state.tensors, f"optimizer.{name}."), state.content["optimizers"][name]
            )
        for name, generator in self.generators.items():
            generator.set_state(state.tensors[f"generator.{name}"].cpu())
        for name, drawer in self.drawers.items():
            version, numbers, gauss = state.content["drawers"][name]
            drawer.setstate((version, tuple(numbers), gauss))
        own: dict[str, Any] = state.content["own"]
        return own

    def check(self, state: MethodState) -> None:
        """Check that a state has every part.

        Raises:
            DataError: It does not.
        """
        for name, module in self.modules.items():
            wanted = {key: tuple(tensor.shape) for key, tensor in module.state_dict().items()}
            found = {
                key: tuple(tensor.shape) for key, tensor in _below(state.tensors, f"module.{name}.").items()
            }
            if wanted != found:
                odd = sorted(key for key in wanted.keys() | found.keys() if wanted.get(key) != found.get(key))
                raise DataError(f"the saved search is one of another network: {name} differs in {odd[0]!r}")
        missing = [name for name in self.generators if f"generator.{name}" not in state.tensors]
        missing += [name for name in self.drawers if name not in state.content.get("drawers", {})]
        missing += [name for name in self.optimizers if name not in state.content.get("optimizers", {})]
        missing += [name for name in ("own",) if name not in state.content]
        if missing:
            raise DataError(f"the saved search is one of another method: it lacks {missing[0]!r}")


def _drawer_state(drawer: random.Random) -> list[Any]:
    version, numbers, gauss = drawer.getstate()
    return [version, list(numbers), gauss]


def _below(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
