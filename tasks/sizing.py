"""From a problem and a cell to the same problem with a layer as wide as equal terms ask for."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from cellzoo.errors import CellError, CellzooError
from tasks.equal_terms import SETTINGS, UNITS, Held, solve_width

if TYPE_CHECKING:
    from pathlib import Path

    from cellzoo.cells.cell import Cell
    from tasks.equal_terms import EqualTerms, Quantity
    from tasks.problem import LayerSpec, Problem


@runtime_checkable
class Resizable(Protocol):
    """A problem whose recurrent layer can be of any width."""

    layer: LayerSpec

    @property
    def settings(self) -> EqualTerms:
        """Among them what is held equal."""
        ...

    def resized(self, hidden_size: int) -> Problem:
        """The same problem around a layer of another width; what the layer reads is as wide as before."""
        ...


def sized(problem: Problem, cell: Cell, cache: Path | None = None) -> tuple[Problem, Held | None]:
    """A problem with a layer as wide as its settings allow this cell.

    Args:
        problem: With the `hidden_size` of its settings.
        cell: The cell.
        cache: A folder where a width that was measured is kept; None measures anew.

    Returns:
        The problem, and what was held equal; the problem as it is and None where nothing is.

    Raises:
        CellzooError: No width fits.
        OutputError: The width cannot be written.
    """
    if not isinstance(problem, Resizable) or problem.settings.target is None:
        return problem, None
    quantity, target = problem.settings.target
    name = SETTINGS[quantity]
    try:
        if quantity == "time":
            width, reached = _timed(problem, cell, target, cache)
        else:
            width, reached = _counted(problem, cell, quantity, target)
    except CellError as error:
        raise CellzooError(f"{name} = {target:,}: {error}, so that it cannot be of any width") from error
    if reached > 2 * target:
        raise CellzooError(
            f"{name} = {target:,}: the narrowest layer of {cell.name or 'this cell'} has "
            f"{reached:,.6g} {UNITS[quantity]}; allow more"
        )
    return problem.resized(width), Held(quantity, float(target), float(reached), width)


def _counted(problem: Resizable, cell: Cell, quantity: Quantity, target: float) -> tuple[int, int]:
    def amount(width: int) -> int:
        layer = problem.resized(width).layer
        return layer.num_parameters(cell) if quantity == "parameters" else layer.flops(cell)

    width = solve_width(amount, target, step=cell.heads)
    return width, amount(width)


def _timed(problem: Resizable, cell: Cell, target: float, cache: Path | None) -> tuple[int, float]:
    """The width by measured time; once for a cell, so that all its seeds and a resumed run have the same."""
    from cellzoo.system.atomic import write_once
    from cellzoo.system.regular_file import read_regular
    from tasks.step_time import BATCH, StepTimes

    batch = int(getattr(problem.settings, "batch_size", BATCH))
    times = StepTimes(cell, problem.layer, batch, lambda width: problem.resized(width).layer)
    if cache is None:
        return times.solve(target)
    path = cache / "equal-time" / f"{times.digest(target)}.json"
    if not path.is_file():
        width, reached = times.solve(target)
        write_once(path, json.dumps({"hidden_size": width, "reached": reached}).encode())
    content = json.loads(read_regular(path, 1000))
    return int(content["hidden_size"]), float(content["reached"])
