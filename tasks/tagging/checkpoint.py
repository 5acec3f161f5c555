"""The state of a tagger's training between two epochs, in one file that is replaced as a whole."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from cellzoo.errors import DataError
from cellzoo.system.tensor_file import read_tensors, write_tensors

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from tasks.task import Json

_VERSION = 1


@dataclass(frozen=True)
class Checkpoint:
    """The state after an epoch.

    Attributes:
        tensors: Group (`model`, `best`, `optimizer`, `random`) -> name -> tensor.
        facts: Everything that is no tensor, as plain JSON.
    """

    tensors: Mapping[str, Mapping[str, torch.Tensor]]
    facts: Mapping[str, Any]


@dataclass(frozen=True)
class CheckpointFile:
    """Where one run keeps its newest checkpoint.

    Attributes:
        path: The file.
        identity: What decides the run's result; a checkpoint of another identity is refused.
    """

    path: Path
    identity: Mapping[str, Json]

    def write(self, checkpoint: Checkpoint) -> None:
        """Replace the checkpoint.

        Raises:
            OutputError: The file cannot be written.
        """
        tensors = {
            f"{group}/{name}": tensor
            for group, members in checkpoint.tensors.items()
            for name, tensor in members.items()
        }
        content = {"version": _VERSION, "identity": dict(self.identity), "facts": dict(checkpoint.facts)}
        write_tensors(self.path, tensors, content)

    def read(self) -> Checkpoint | None:
        """Return the checkpoint, or None where there is none.

        Raises:
            DataError: It is damaged, or belongs to another run or version.
        """
        if not self.path.exists():
            return None
        tensors, content = read_tensors(self.path)
        identity = json.loads(json.dumps(dict(self.identity)))
        if content.get("version") != _VERSION or content.get("identity") != identity:
            raise DataError(f"{self.path}: belongs to another run or another version of cellzoo; delete it")
        groups: dict[str, dict[str, torch.Tensor]] = {"model": {}, "best": {}, "optimizer": {}, "random": {}}
        for full_name, tensor in tensors.items():
            group, _, name = full_name.partition("/")
            groups.setdefault(group, {})[name] = tensor
        return Checkpoint(groups, content["facts"])


def random_state() -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Take the state of the global generators of Python, numpy and torch, as tensors and plain JSON."""
    version, words, gauss = random.getstate()
    # The global generator is the one that Flair and transformers draw from.
    _, keys, position, has_gauss, cached = np.random.get_state()
    tensors = {"torch": torch.get_rng_state(), "numpy": torch.from_numpy(np.asarray(keys, dtype=np.int64))}
    if torch.cuda.is_available():
        tensors |= {f"cuda.{i}": state for i, state in enumerate(torch.cuda.get_rng_state_all())}
    rest = {
        "python": [version, list(words), gauss],
        "numpy": [int(position), int(has_gauss), float(cached)],
    }
    return tensors, rest


def restore_random(tensors: Mapping[str, torch.Tensor], rest: Mapping[str, Any]) -> None:
    """Put back what `random_state` gave."""
    version, words, gauss = rest["python"]
    random.setstate((version, tuple(words), gauss))
    keys = tensors["numpy"].numpy().astype(np.uint32)
    np.random.set_state(("MT19937", keys, *rest["numpy"]))
    torch.set_rng_state(tensors["torch"])
    for name, state in tensors.items():
        if name.startswith("cuda."):
            torch.cuda.set_rng_state(state, int(name.removeprefix("cuda.")))
