"""Convert the state of an optimizer to tensors and JSON for a checkpoint, and back."""

from __future__ import annotations

import inspect
import json
import math
from typing import TYPE_CHECKING, Any

import torch

from cellzoo.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Mapping

_RATE = "lr"


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
    """Restore what `optimizer_state` returned.

    Raises:
        DataError: The state is not that of an optimizer of this class with these weights and settings.
    """
    _check_groups(optimizer, rest["groups"])
    weights = [weight for group in optimizer.param_groups for weight in group["params"]]
    state: dict[int, dict[str, Any]] = {}
    for number, entries in rest["values"].items():
        place = _number(str(number), len(weights))
        if any(value is not None for value in entries.values()):
            raise DataError(f"the saved state of the optimizer: {place} has what is not a tensor")
        state[place] = dict(entries)
    for name, tensor in tensors.items():
        number, _, key = name.partition(".")
        place = _number(number, len(weights))
        if tuple(tensor.shape) not in ((), tuple(weights[place].shape)) or not tensor.is_floating_point():
            raise DataError(f"the saved state of the optimizer: {name!r:.80} has another shape or dtype")
        state.setdefault(place, {})[key] = tensor
    wanted = _parts(optimizer)
    for place, entries in state.items():
        if set(entries) != wanted:
            odd = sorted(set(entries) ^ wanted)
            raise DataError(f"the saved state of the optimizer differs in {odd[0]!r:.80} of weight {place}")
    optimizer.load_state_dict({"state": state, "param_groups": rest["groups"]})


def _check_groups(optimizer: torch.optim.Optimizer, groups: Any) -> None:
    """Check the parameter groups: only the learning rate may differ from those of the new optimizer."""
    own = json.loads(json.dumps(optimizer.state_dict()["param_groups"]))
    if not isinstance(groups, list) or len(groups) != len(own):
        raise DataError("the saved state of the optimizer has other groups of weights")
    for saved, group in zip(groups, own, strict=True):
        if not isinstance(saved, dict) or set(saved) != set(group):
            raise DataError("the saved state of the optimizer has other settings")
        for name, value in group.items():
            if name == _RATE:
                rate = saved[name]
                if type(rate) is not float or not math.isfinite(rate) or rate < 0:
                    raise DataError(f"the saved learning rate is {rate!r:.40}")
            elif json.dumps(saved[name]) != json.dumps(value):
                raise DataError(f"the saved {name} of the optimizer is {saved[name]!r:.40}, not {value!r:.40}")


def _parts(optimizer: torch.optim.Optimizer) -> set[str]:
    """List the state entries that this class of optimizer has for a weight after a step."""
    kind = type(optimizer)
    known = inspect.signature(kind).parameters
    weight = torch.nn.Parameter(torch.zeros(1))
    weight.grad = torch.zeros(1)
    fresh = kind([weight], **{name: value for name, value in optimizer.defaults.items() if name in known})
    fresh.step()
    return set(fresh.state[weight])


def _number(text: str, count: int) -> int:
    number = int(text) if text.isascii() and text.isdecimal() and len(text) < 10 else count
    if number >= count:
        raise DataError(f"the saved state of the optimizer is of a weight {text!r:.40} that is not there")
    return number
