"""The state of a search between two epochs, in one file."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

from cellzoo.errors import DataError
from cellzoo.system.tensor_file import read_tensors, write_tensors
from search.methods.method import MethodState
from search.run.configuration import FORMAT

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import torch
    from torch import Tensor

_METHOD, _RANDOM = "method.", "random."


@dataclass(frozen=True)
class Standing:
    """How far a search is.

    Attributes:
        epoch: Finished epochs.
        steps: Finished steps.
        seconds: Wall seconds so far.
        events: Bytes of the event log.
        cell: Hash of the cell derived at the end of that epoch.
    """

    epoch: int = 0
    steps: int = 0
    seconds: float = 0.0
    events: int = 0
    cell: str = ""


def save_checkpoint(
    path: Path, identity: str, standing: Standing, method: MethodState, random: Mapping[str, Tensor]
) -> None:
    """Write everything that the rest of the search depends on.

    Args:
        path: The file, replaced as a whole: the older one stays until the new one is complete.
        identity: What search this is.
        standing: How far it is.
        method: The method's own state.
        random: Generator name -> state.

    Raises:
        OutputError: The file cannot be written; the older one is still there.
    """
    tensors = {f"{_METHOD}{name}": tensor for name, tensor in method.tensors.items()}
    tensors |= {f"{_RANDOM}{name}": state for name, state in random.items()}
    content = {
        "format": FORMAT,
        "identity": identity,
        "standing": vars(standing),
        "method": dict(method.content),
    }
    write_tensors(path, tensors, content)


def load_checkpoint(path: Path, identity: str) -> tuple[Standing, MethodState, dict[str, Tensor]]:
    """Read what `save_checkpoint` wrote for the same search.

    Raises:
        DataError: The file is damaged, of another search, or of another version of cellzoo.
    """
    tensors, content = read_tensors(path)
    if content.get("format") != FORMAT:
        raise DataError(
            f"{path}: was written by another version of cellzoo (format "
            f"{content.get('format')!r}; this version has {FORMAT}). Search anew in another directory"
        )
    if content.get("identity") != identity:
        raise DataError(
            f"{path}: belongs to a search of another configuration ({str(content.get('identity'))[:12]}…; this "
            f"one is {identity[:12]}…). Put the right file back, or delete it to begin anew"
        )
    try:
        standing, own = Standing(**content["standing"]), dict(content["method"])
        for field in fields(Standing):
            if type(getattr(standing, field.name)) is not type(field.default):
                raise TypeError(f"{field.name} is {getattr(standing, field.name)!r}")
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"{path}: lacks parts of a checkpoint ({error}); delete it to begin anew") from error
    state = MethodState(_below(tensors, _METHOD), own)
    return standing, state, _below(tensors, _RANDOM)


def _below(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, torch.Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
