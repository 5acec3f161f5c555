"""An optimizer's state as tensors and plain JSON, for a checkpoint."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from collections.abc import Mapping


def optimizer_state(optimizer: torch.optim.Optimizer) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Split an optimizer's state into tensors, named `<parameter>.<key>`, and the rest as plain JSON."""
    state = optimizer.state_dict()
    tensors: dict[str, torch.Tensor] = {}
    values: dict[str, dict[str, Any]] = {}
    for parameter, entries in state["state"].items():
        for key, value in entries.items():
            if isinstance(value, torch.Tensor):
                tensors[f"{parameter}.{key}"] = value
            else:
                values.setdefault(str(parameter), {})[key] = value
    return tensors, {"groups": state["param_groups"], "values": values}


def restore_optimizer(
    optimizer: torch.optim.Optimizer, tensors: Mapping[str, torch.Tensor], rest: Mapping[str, Any]
) -> None:
    """Put back what `optimizer_state` gave."""
    state: dict[int, dict[str, Any]] = {int(number): dict(value) for number, value in rest["values"].items()}
    for name, tensor in tensors.items():
        parameter, key = name.split(".", 1)
        state.setdefault(int(parameter), {})[key] = tensor
    optimizer.load_state_dict({"state": state, "param_groups": rest["groups"]})
