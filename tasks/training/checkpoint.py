"""Checkpoints: the state of a training or a search between two epochs, in one file."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError, model_validator

from cellzoo.errors import DataError
from cellzoo.system.tensor_file import read_tensors, write_tensors
from tasks.training.state import LearnerState

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from torch import Tensor

FORMAT = 1
Count = Annotated[int, Field(ge=0, lt=2**53)]
_LEARNER, _RANDOM = "learner.", "random."


class Standing(BaseModel):
    """Progress of a training run.

    Attributes:
        epoch: Completed epochs.
        steps: Completed optimizer steps.
        tokens: Tokens processed in training, without padding.
        seconds: Wall-clock seconds of each phase (`train`, `dev`), without work that was lost when the process
            was killed.
        events: Size of the event log in bytes.
        history: One JSON object per epoch.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    epoch: Count = 0
    steps: Count = 0
    tokens: Count = 0
    seconds: dict[str, Annotated[float, Field(ge=0, allow_inf_nan=False)]] = {}
    events: Count = 0
    history: tuple[dict[str, JsonValue], ...] = ()

    @model_validator(mode="after")
    def _has_a_history(self) -> Standing:
        if len(self.history) != self.epoch:
            raise ValueError(f"{self.epoch} epochs have a history of {len(self.history)}")
        return self


class _Content(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    format: int
    identity: str
    standing: Standing
    learner: dict[str, Any]


@dataclass(frozen=True)
class Checkpoint:
    """The contents of a checkpoint file.

    Attributes:
        standing: Progress of the training.
        learner: State of the learner.
        random: States of the random number generators that the learner does not save itself.
    """

    standing: Standing
    learner: LearnerState
    random: Mapping[str, Tensor]


@dataclass(frozen=True)
class CheckpointFile:
    """The file with the latest checkpoint of a training run.

    Attributes:
        path: The file.
        identity: Hash of everything that determines the result except the budget, so that a finished training
            can be continued with a larger budget.
    """

    path: Path
    identity: str

    def write(self, checkpoint: Checkpoint) -> None:
        """Replace the checkpoint atomically.

        Raises:
            OutputError: The file cannot be written; the previous checkpoint is kept.
        """
        tensors = {f"{_LEARNER}{name}": tensor for name, tensor in checkpoint.learner.tensors.items()}
        tensors |= {f"{_RANDOM}{name}": state for name, state in checkpoint.random.items()}
        content = {
            "format": FORMAT,
            "identity": self.identity,
            "standing": checkpoint.standing.model_dump(mode="json"),
            "learner": dict(checkpoint.learner.content),
        }
        write_tensors(self.path, tensors, content)

    def read(self) -> Checkpoint | None:
        """Read the checkpoint; None if there is no file.

        Raises:
            DataError: The file is damaged, or belongs to another run or another version of cellzoo. It is not
                deleted: it may hold hours of training.
        """
        if not self.path.exists():
            return None
        tensors, raw = read_tensors(self.path)
        if raw.get("format") != FORMAT:
            raise DataError(
                f"{self.path}: was written by another version of cellzoo (format {raw.get('format')!r:.20}; "
                f"this version has {FORMAT}). Continue with that version, or delete the file to train from "
                "scratch"
            )
        try:
            content = _Content.model_validate_json(json.dumps(raw))
        except ValidationError as error:
            fault = error.errors()[0]
            place = ".".join(map(str, fault["loc"]))
            raise DataError(
                f"{self.path}: {place} is malformed ({fault['msg']}); delete the file to train from scratch"
            ) from error
        if content.identity != self.identity:
            raise DataError(
                f"{self.path}: belongs to another run ({content.identity[:12]}…; this one is "
                f"{self.identity[:12]}…). Restore the right file, or delete it to train from scratch"
            )
        learner = LearnerState(_below(tensors, _LEARNER), content.learner)
        return Checkpoint(content.standing, learner, _below(tensors, _RANDOM))


def _below(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
