"""The state of a training between two epochs, in one file."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch

from cellzoo.errors import DataError
from cellzoo.system.tensor_file import read_tensors, write_tensors
from tasks.training.optimizer_state import optimizer_state, restore_optimizer

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor, nn

FORMAT = 2


@dataclass
class Progress:
    """How far a training is.

    Attributes:
        epoch: Finished epochs.
        learning_rate: Of the next epoch, for a segment of full length.
        best_epoch: The epoch (from 1) with the lowest dev loss; 0 before the first.
        best_loss: That loss, nats a word.
        best_weights: The model's weights after that epoch, on the CPU.
        history: One JSON object an epoch.
    """

    learning_rate: float
    epoch: int = 0
    best_epoch: int = 0
    best_loss: float = float("inf")
    best_weights: dict[str, Tensor] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)


def save_checkpoint(
    path: Path,
    identity: str,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    generator: torch.Generator,
    progress: Progress,
) -> None:
    """Write everything that the rest of the training depends on.

    Args:
        path: The file, replaced as a whole.
        identity: What this training is; another one does not take the file for its own.
        model: Weights.
        optimizer: Its state (moments, steps).
        generator: Where segment lengths are drawn from. The states of torch's default generators, on the
            CPU and on the model's GPU, go along.
        progress: The rest.

    Raises:
        OutputError: The file cannot be written.
    """
    tensors = {f"model.{name}": tensor for name, tensor in model.state_dict().items()}
    tensors |= {f"best.{name}": tensor for name, tensor in progress.best_weights.items()}
    tensors["random.segments"] = generator.get_state()
    tensors |= {f"random.{name}": state for name, state in _default_generators(model).items()}
    moments, rest = optimizer_state(optimizer)
    tensors |= {f"optimizer.{name}": tensor for name, tensor in moments.items()}
    content = {
        "format": FORMAT,
        "identity": identity,
        "epoch": progress.epoch,
        "learning_rate": progress.learning_rate,
        "best_epoch": progress.best_epoch,
        "best_loss": progress.best_loss,
        "history": progress.history,
        "optimizer": rest,
    }
    write_tensors(path, tensors, content)


def load_checkpoint(
    path: Path,
    identity: str,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    generator: torch.Generator,
) -> Progress:
    """Put a training back to where `save_checkpoint` left it.

    Raises:
        DataError: The file is damaged, of another format or of another training; nothing was changed.
    """
    tensors, content = read_tensors(path)
    if content.get("format") != FORMAT or content.get("identity") != identity:
        raise DataError(f"{path}: belongs to another training or another version of cellzoo")
    groups = _by_first_part(tensors)
    names = set(model.state_dict())
    random = {"segments", *_default_generators(model)}
    if set(groups["model"]) != names or set(groups["best"]) != names or set(groups["random"]) != random:
        raise DataError(f"{path}: lacks weights or generator states")
    model.load_state_dict(groups["model"])
    restore_optimizer(optimizer, groups["optimizer"], content["optimizer"])
    generator.set_state(groups["random"]["segments"])
    torch.set_rng_state(groups["random"]["cpu"])
    if "cuda" in groups["random"]:
        torch.cuda.set_rng_state(groups["random"]["cuda"], next(model.parameters()).device)
    return Progress(
        learning_rate=content["learning_rate"],
        epoch=content["epoch"],
        best_epoch=content["best_epoch"],
        best_loss=content["best_loss"],
        best_weights=groups["best"],
        history=content["history"],
    )


def _default_generators(model: nn.Module) -> dict[str, Tensor]:
    states = {"cpu": torch.get_rng_state()}
    device = next(model.parameters()).device
    if device.type == "cuda":
        states["cuda"] = torch.cuda.get_rng_state(device)
    return states


def _by_first_part(tensors: dict[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    groups: dict[str, dict[str, Tensor]] = {"model": {}, "best": {}, "random": {}, "optimizer": {}}
    for name, tensor in tensors.items():
        first, _, rest = name.partition(".")
        groups.setdefault(first, {})[rest] = tensor
    return groups
