"""What a training run keeps on disk to go on exactly where it was killed.

A checkpoint is `checkpoint.json` and the safetensors files it names, with their digests. The JSON file is
written last and atomically, so it always names complete files; the files of the epoch before are removed
after that.
"""

from __future__ import annotations

import hashlib
import json
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from cellzoo.errors import CellzooError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from tasks.task import Json

_VERSION = 1
_INDEX = "checkpoint.json"


class CheckpointError(CellzooError):
    """A checkpoint that is damaged, or of another run."""


@dataclass(frozen=True)
class Checkpoint:
    """The state after an epoch.

    Attributes:
        epoch: Epochs done.
        facts: Everything that is no tensor, as plain JSON.
        tensors: Model, optimizer and random generators.
        best: The weights of the best epoch so far.
    """

    epoch: int
    facts: Mapping[str, Any]
    tensors: Mapping[str, torch.Tensor]
    best: Mapping[str, torch.Tensor]


class CheckpointFolder:
    """Keeps the newest checkpoint of one run.

    Args:
        folder: Where; it must exist.
        identity: What decides the run's result; a checkpoint of another identity is refused.
    """

    def __init__(self, folder: Path, identity: Mapping[str, Json]) -> None:
        self._folder = folder
        self._identity = json.loads(json.dumps(dict(identity)))
        self._best: dict[str, str] = {}

    def write(self, checkpoint: Checkpoint, *, best_is_new: bool) -> None:
        """Replace the checkpoint; the best weights are written only when they are new."""
        files = {"state": self._write_tensors(f"state-{checkpoint.epoch}", checkpoint.tensors)}
        if best_is_new:
            self._best = self._write_tensors(f"best-{checkpoint.epoch}", checkpoint.best)
        files["best"] = self._best
        content = {
            "checkpoint_version": _VERSION,
            "identity": self._identity,
            "epoch": checkpoint.epoch,
            "files": files,
            "facts": dict(checkpoint.facts),
        }
        index = self._folder / _INDEX
        unfinished = index.with_suffix(".unfinished")
        unfinished.write_text(json.dumps(content, allow_nan=False), encoding="utf-8")
        unfinished.replace(index)
        kept = {entry["name"] for entry in files.values()}
        for path in self._folder.glob("*.safetensors"):
            if path.name not in kept:
                path.unlink()

    def read(self) -> Checkpoint | None:
        """Return the newest checkpoint, or None where there is none.

        Raises:
            CheckpointError: It is damaged, or belongs to another run or version.
        """
        index = self._folder / _INDEX
        if not index.exists():
            return None
        try:
            content = json.loads(index.read_text(encoding="utf-8"))
            version, identity = content["checkpoint_version"], content["identity"]
            if version != _VERSION or identity != self._identity:
                raise CheckpointError(f"{index}: belongs to another run; delete the folder to start afresh")
            checkpoint = Checkpoint(
                content["epoch"],
                content["facts"],
                self._read_tensors(content["files"]["state"]),
                self._read_tensors(content["files"]["best"]),
            )
            self._best = content["files"]["best"]
        except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
            raise CheckpointError(
                f"{index}: is damaged ({error}); delete the folder to start afresh"
            ) from error
        return checkpoint

    def _write_tensors(self, stem: str, tensors: Mapping[str, torch.Tensor]) -> dict[str, str]:
        path = self._folder / f"{stem}.safetensors"
        unfinished = path.with_suffix(".unfinished")
        save_file({name: _plain(tensor) for name, tensor in tensors.items()}, unfinished)
        digest = hashlib.sha256(unfinished.read_bytes()).hexdigest()
        unfinished.replace(path)
        return {"name": path.name, "sha256": digest}

    def _read_tensors(self, entry: Mapping[str, str]) -> dict[str, torch.Tensor]:
        path = self._folder / _checked_name(entry["name"])
        if hashlib.sha256(path.read_bytes()).hexdigest() != entry["sha256"]:
            raise ValueError(f"{path.name} has changed")
        return load_file(path)


def _checked_name(name: str) -> str:
    if "/" in name or "\\" in name or not name.endswith(".safetensors"):
        raise ValueError(f"{name!r} is no file name of a checkpoint")
    return name


def _plain(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.detach().to("cpu", copy=True).contiguous()


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
