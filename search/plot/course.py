"""The course of a search, read from its events."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cellzoo.errors import DataError
from search.run.configuration import read_configuration
from search.run.directory import RunDirectory
from search.run.events import read_events

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from search.run.events import Event

_CURVES = (
    ("validation", "perplexity", "validation perplexity"),
    ("validation", "f1", "validation span F1 (%)"),
    ("validation", "loss", "validation loss (nats)"),
    ("", "train_loss", "train loss (nats)"),
    ("", "deviation", "mean absolute deviation from uniform"),
    ("", "entropy", "entropy of the architecture (nats)"),
    ("", "temperature", "temperature"),
    ("", "reward", "reward"),
)


@dataclass(frozen=True)
class Curve:
    """One number of each epoch.

    Attributes:
        title: What a reader sees.
        values: By epoch; None where it was no finite number or was not measured.
        in_ratios: Whether what counts is by what factor it changes.
    """

    title: str
    values: tuple[float | None, ...]
    in_ratios: bool = False


@dataclass(frozen=True)
class DerivedCell:
    """A cell with the epochs at whose end the search would have named it.

    Attributes:
        first: The first of them.
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
    """What a page shows of a search.

    Attributes:
        title: Method, data and seed.
        epochs: How many were asked for.
        curves: Those that the search has.
        cells: The derived cells in order, a new entry at each change.
        found: The cell that the search ended in; None as long as it goes on.
        seconds: Wall seconds so far.
    """

    title: str
    epochs: int
    curves: tuple[Curve, ...]
    cells: tuple[DerivedCell, ...]
    found: DerivedCell | None
    seconds: float


def read_course(folder: Path) -> Course:
    """Read the course of a search, which may still be running.

    Raises:
        DataError: The directory holds no search, or no epoch of it is over yet.
    """
    directory = RunDirectory(folder)
    configuration, _ = read_configuration(directory.configuration)
    events = read_events(directory.events)
    epochs = [event for event in events if event["event"] == "epoch"]
    if not epochs:
        raise DataError(f"{directory.events}: no epoch is over yet, so there is nothing to draw")
    ends = [event for event in events if event["event"] == "end"]
    try:
        return Course(
            title=f"{configuration.method} on {configuration.data}, seed {configuration.seed}",
            epochs=configuration.epochs,
            curves=tuple(_curves(epochs)),
            cells=_cells(epochs),
            found=_cell(ends[-1]) if ends else None,
            seconds=events[-1]["seconds"],
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{directory.events}: an event lacks what a search writes ({error})") from error


def _curves(epochs: Sequence[Event]) -> list[Curve]:
    curves = []
    for place, key, title in _CURVES:
        values = tuple((event.get(place, {}) if place else event).get(key) for event in epochs)
        if any(value is not None for value in values):
            curves.append(Curve(title, values, in_ratios=key == "perplexity"))
    if any(curve.title == "validation perplexity" for curve in curves):
        # The loss is its logarithm, and the axis is logarithmic already.
        curves = [curve for curve in curves if curve.title != "validation loss (nats)"]
    return curves


def _cells(epochs: Sequence[Event]) -> tuple[DerivedCell, ...]:
    cells: list[DerivedCell] = []
    for event in epochs:
        cell = _cell(event)
        if cells and cells[-1].hash == cell.hash:
            cell = DerivedCell(cells.pop().first, cell.last, cell.hash, cell.notation, cell.genotype)
        cells.append(cell)
    return tuple(cells)


def _cell(event: Event) -> DerivedCell:
    cell = event["cell"]
    return DerivedCell(event["epoch"], event["epoch"], cell["hash"], cell["notation"], cell["genotype"])
