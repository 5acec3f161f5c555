"""The course of a search, read from its events."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from cellzoo.errors import DataError
from search.methods.derived import CellNote
from search.run.history import Asked, Told, read_history
from tasks.training.events import read_events
from tasks.training.loop import EVENTS

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_OF_DEV = {"f1": "dev span F1 (%)"}
_OF_EVENT = {
    "train_loss": "train loss (nats)",
    "deviation": "mean absolute deviation from uniform",
    "entropy": "entropy of the architecture (nats)",
    "temperature": "temperature",
    "reward": "reward",
}
_IN_RATIOS = "perplexity"

Number = Annotated[float, Field(allow_inf_nan=False)]


class Epoch(BaseModel):
    """The fields of an event `epoch` that a page shows; others are ignored."""

    model_config = ConfigDict(extra="ignore", frozen=True, strict=True)

    epoch: Annotated[int, Field(ge=1)]
    dev: dict[str, Number | None]
    cell: CellNote
    train_loss: Number | None = None
    deviation: Number | None = None
    entropy: Number | None = None
    temperature: Number | None = None
    reward: Number | None = None
    seconds: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    seconds_dev: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    flops: Annotated[float, Field(ge=0, allow_inf_nan=False)]


class End(BaseModel):
    """The fields of an event `end` that a page shows."""

    model_config = ConfigDict(extra="ignore", frozen=True, strict=True)

    cell: CellNote
    flops: Annotated[float, Field(ge=0, allow_inf_nan=False)]


@dataclass(frozen=True)
class Curve:
    """One number for each epoch or trial.

    Attributes:
        title: Title of the panel.
        values: In order; None if it was not finite or was not measured.
        in_ratios: Whether the axis is logarithmic.
    """

    title: str
    values: tuple[float | None, ...]
    in_ratios: bool = False


@dataclass(frozen=True)
class DerivedCell:
    """A cell that the search would have given at the end of some consecutive epochs.

    Attributes:
        first: The first of these epochs.
        last: The last of them.
        hash: Of the cell.
        notation: Of the genotype.
        genotype: The cell as text.
    """

    first: int
    last: int
    hash: str
    notation: str
    genotype: str


@dataclass(frozen=True)
class Course:
    """The content of a page about a search.

    Attributes:
        title: Method, data and seed.
        epochs: Number of completed epochs.
        curves: The curves that the search has.
        cells: The derived cells in order, a new entry at each change.
        found: The cell that the search ended with; None while it is running, and for samplers.
        seconds: Wall seconds so far.
        unit: `epoch`, or `trial` for a sampler.
        flops: Of a supernet so far, see `search.supernets.flops`; None for a sampler.
    """

    title: str
    epochs: int
    curves: tuple[Curve, ...]
    cells: tuple[DerivedCell, ...]
    found: DerivedCell | None
    seconds: float
    unit: str = "epoch"
    flops: float | None = None


def read_course(folder: Path) -> Course:
    """Read the course of a search, which may still be running.

    Raises:
        DataError: The folder has no search, or no epoch or trial of it is completed yet.
    """
    path = folder / EVENTS
    if not path.is_file():
        raise DataError(f"{folder}: holds no search ({EVENTS} is not there)")
    events = read_events(path)
    title = str(events[0].get("label", "search"))[:400] if events else "search"
    if any(event["event"] == "ask" for event in events[:2]):
        return _of_sampler(path, title)
    try:
        epochs = [Epoch.model_validate(event) for event in events if event["event"] == "epoch"]
        ends = [End.model_validate(event) for event in events if event["event"] == "end"]
    except ValidationError as error:
        fault = error.errors()[0]
        place = ".".join(map(str, fault["loc"]))
        raise DataError(
            f"{path}: an event lacks what a search writes ({place}: {fault['msg']:.200})"
        ) from error
    if not epochs:
        raise DataError(f"{path}: no epoch is over yet, so there is nothing to draw")
    return Course(
        title=title,
        epochs=len(epochs),
        curves=tuple(_curves(epochs)),
        cells=_merged([_derived(epoch.cell, number) for number, epoch in enumerate(epochs, start=1)]),
        found=_derived(ends[-1].cell, len(epochs)) if ends else None,
        seconds=sum(epoch.seconds + epoch.seconds_dev for epoch in epochs),
        flops=sum(epoch.flops for epoch in epochs) + sum(end.flops for end in ends[-1:]),
    )


def _of_sampler(path: Path, title: str) -> Course:
    """The course of a sampler: the score of each candidate, the best score so far, and the cell that has it."""
    lines, _ = read_history(path)
    asked = {line.number: line.cell for line in lines if isinstance(line, Asked)}
    told = [line for line in lines if isinstance(line, Told) and line.number in asked]
    scores: list[float] = []
    best: list[float | None] = []
    cells: list[DerivedCell] = []
    for line in told:
        if line.score is not None and (not scores or line.score < min(scores)):
            cells.append(_derived(asked[line.number], len(best) + 1))
        elif cells:
            cells.append(replace(cells[-1], first=len(best) + 1, last=len(best) + 1))
        scores += [] if line.score is None else [line.score]
        best.append(min(scores, default=None))
    if not cells:
        raise DataError(f"{path}: no candidate has a score yet, so there is nothing to draw")
    return Course(
        title=title,
        epochs=len(told),
        curves=(
            Curve("score of the candidate (lower is better)", tuple(line.score for line in told)),
            Curve("best score so far", tuple(best)),
        ),
        cells=_merged(cells),
        found=None,
        seconds=sum(line.seconds for line in told),
        unit="trial",
    )


def _curves(epochs: Sequence[Epoch]) -> list[Curve]:
    names = list(dict.fromkeys(name for epoch in epochs for name in epoch.dev))
    if _IN_RATIOS in names:
        # The loss is the logarithm of the perplexity, whose axis is logarithmic already.
        names = [name for name in names if name != "loss"]
    names.sort(key=lambda name: name == "loss")
    curves = [
        Curve(_OF_DEV.get(name, f"dev {name[:40]}"), tuple(e.dev.get(name) for e in epochs), name == _IN_RATIOS)
        for name in names
    ]
    curves += [Curve(title, tuple(getattr(e, name) for e in epochs)) for name, title in _OF_EVENT.items()]
    return [curve for curve in curves if any(value is not None for value in curve.values)]


def _merged(cells: Sequence[DerivedCell]) -> tuple[DerivedCell, ...]:
    merged: list[DerivedCell] = []
    for cell in cells:
        if merged and merged[-1].hash == cell.hash:
            merged[-1] = replace(merged[-1], last=cell.last)
        else:
            merged.append(cell)
    return tuple(merged)


def _derived(cell: CellNote, number: int) -> DerivedCell:
    return DerivedCell(number, number, cell.hash, cell.notation, cell.genotype)
