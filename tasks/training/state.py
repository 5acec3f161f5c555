"""Save and restore modules, optimizers and random number generators as tensors and JSON."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from cellzoo.errors import DataError
from tasks.training.optimizer_state import optimizer_state, restore_optimizer

if TYPE_CHECKING:
    import random
    from collections.abc import Mapping

    import torch
    from torch import Tensor, nn


Own = TypeVar("Own")

_MALFORMED = (KeyError, IndexError, TypeError, ValueError, RuntimeError, AttributeError, OverflowError)
"""What torch and Python raise when parts of a saved state have wrong types."""


@dataclass(frozen=True)
class LearnerState:
    """A saved state.

    Attributes:
        tensors: Name -> tensor; no two share memory.
        content: JSON values.
    """

    tensors: Mapping[str, Tensor]
    content: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Parts:
    """The parts of a learner that change during training.

    Attributes:
        modules: Modules by a name without dots; their weights and buffers are saved.
        optimizers: Optimizers by name.
        generators: torch's random number generators by name.
        choices: Python's random number generators by name.
        constant: `<name of the module>.<key>` of tensors that never change and are not saved, see
            `frozen_keys`.
    """

    modules: Mapping[str, nn.Module]
    optimizers: Mapping[str, torch.optim.Optimizer] = field(default_factory=dict)
    generators: Mapping[str, torch.Generator] = field(default_factory=dict)
    choices: Mapping[str, random.Random] = field(default_factory=dict)
    constant: frozenset[str] = frozenset()

    def save(self, content: Mapping[str, Any] | None = None) -> LearnerState:
        """Copy the state of all parts, and add `content`."""
        tensors: dict[str, Tensor] = {}
        optimizers: dict[str, dict[str, Any]] = {}
        for name, module in self.modules.items():
            for key, tensor in self._changing(name, module).items():
                tensors[f"module.{name}.{key}"] = tensor.detach().clone()
        for name, optimizer in self.optimizers.items():
            state, optimizers[name] = optimizer_state(optimizer)
            for key, tensor in state.items():
                tensors[f"optimizer.{name}.{key}"] = tensor.detach().clone()
        for name, generator in self.generators.items():
            tensors[f"generator.{name}"] = generator.get_state()
        return LearnerState(
            tensors,
            {
                "optimizers": optimizers,
                "choices": {name: _choice_state(choice) for name, choice in self.choices.items()},
                "own": dict(content or {}),
            },
        )

    def restore(self, state: LearnerState) -> dict[str, Any]:
        """Restore all parts, and return the `content` that was saved with them.

        Raises:
            DataError: The state lacks a part, or a part is malformed.
        """
        self.check(state)
        try:
            return self._restore(state)
        except _MALFORMED as error:
            raise DataError(f"the saved state is malformed: {type(error).__name__}: {error!s:.200}") from error

    def _restore(self, state: LearnerState) -> dict[str, Any]:
        for name, module in self.modules.items():
            kept = {
                key: tensor for key, tensor in module.state_dict().items() if f"{name}.{key}" in self.constant
            }
            module.load_state_dict(kept | _below(state.tensors, f"module.{name}."))
        for name, optimizer in self.optimizers.items():
            restore_optimizer(
                optimizer, _below(state.tensors, f"optimizer.{name}."), state.content["optimizers"][name]
            )
        for name, generator in self.generators.items():
            generator.set_state(state.tensors[f"generator.{name}"].cpu())
        for name, choice in self.choices.items():
            version, numbers, gauss = state.content["choices"][name]
            if gauss is not None and type(gauss) is not float:
                raise DataError(f"the saved random choices are malformed: {gauss!r:.40}")
            choice.setstate((version, tuple(numbers), gauss))
        own: dict[str, Any] = state.content["own"]
        return own

    def check(self, state: LearnerState) -> None:
        """Check that a state has every part, and that the tensors of modules have the right shapes and dtypes.

        Raises:
            DataError: It does not.
        """
        for name, module in self.modules.items():
            wanted = {key: _kind(tensor) for key, tensor in self._changing(name, module).items()}
            found = {key: _kind(tensor) for key, tensor in _below(state.tensors, f"module.{name}.").items()}
            if wanted != found:
                odd = sorted(key for key in wanted.keys() | found.keys() if wanted.get(key) != found.get(key))
                raise DataError(f"the saved state is of another network: {name} differs in {odd[0]!r}")
        content = state.content
        if any(not isinstance(content.get(name), dict) for name in ("optimizers", "choices", "own")):
            raise DataError("the saved state lacks its tables of optimizers, choices and own values")
        missing = [name for name in self.generators if f"generator.{name}" not in state.tensors]
        missing += [name for name in self.choices if name not in content["choices"]]
        missing += [name for name in self.optimizers if name not in content["optimizers"]]
        if missing:
            raise DataError(f"the saved state is of another learner: it lacks {missing[0]!r}")

    def _changing(self, name: str, module: nn.Module) -> dict[str, Tensor]:
        return {
            key: tensor for key, tensor in module.state_dict().items() if f"{name}.{key}" not in self.constant
        }


def frozen_keys(name: str, module: nn.Module) -> frozenset[str]:
    """List the parameters that require no gradient, such as pretrained vectors, for `Parts.constant`.

    Args:
        name: Name of the module in `Parts.modules`.
        module: The module before training.
    """
    return frozenset(f"{name}.{key}" for key, weight in module.named_parameters() if not weight.requires_grad)


def own_value(state: LearnerState, name: str, kind: type[Own]) -> Own:
    """Look up a value of the saved `content`, and check its type.

    Raises:
        DataError: It is missing or of another type.
    """
    own = state.content.get("own")
    value = own.get(name) if isinstance(own, dict) else None
    if type(value) is not kind or (isinstance(value, float) and not math.isfinite(value)):
        raise DataError(f"the saved {name} is {value!r:.80}; expected {kind.__name__}")
    return value


def _kind(tensor: Tensor) -> tuple[tuple[int, ...], torch.dtype]:
    return tuple(tensor.shape), tensor.dtype


def _choice_state(choice: random.Random) -> list[Any]:
    version, numbers, gauss = choice.getstate()
    return [version, list(numbers), gauss]


def _below(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
