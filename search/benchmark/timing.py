"""Makes the clocks of a table: from the logged seconds, or from measured or estimated seconds of an epoch."""

from __future__ import annotations

from itertools import accumulate
from typing import TYPE_CHECKING

import numpy as np

from cellzoo.cells.ops import LINEAR
from cellzoo.errors import CellzooError, unknown
from search.benchmark.clock import CLOCKS, CORRECTED, RELEASED, RETIMED, Clock
from search.benchmark.logs import EPOCHS, WIKITEXT2
from search.benchmark.table import recipes_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from cellzoo.cells.cell import Cell
    from search.benchmark.table import Table


def make_clock(table: Table, name: str = CORRECTED, costs: Mapping[int, float] | None = None) -> Clock:
    """Make a clock.

    Args:
        table: The table.
        name: `released`, `corrected` or `retimed`.
        costs: For `retimed`: measured seconds of an epoch by index of the architecture; None to estimate them
            from the graphs, see `fit_costs`.

    Raises:
        UnknownNameError: There is no such clock.
        CellzooError: An architecture has no cost, or costs cannot be estimated.
    """
    if name not in CLOCKS:
        raise unknown("clock", name[:80], CLOCKS)
    runs = [run for run in range(len(table.run_names)) if table.epochs(run)]
    if name != RETIMED:
        logged = {run: [0.0, *accumulate(table.curve(run, "seconds"))] for run in runs}
        free = int(name == RELEASED)
        return Clock(name, free, logged, "logged seconds" + ("; the last epoch is free" if free else ""))
    note = "measured seconds of an epoch"
    if costs is None:
        costs, note = counted_costs(table)
    architectures = table.arrays["run_architecture"].tolist()
    totals = {}
    for run in runs:
        cost = costs.get(architectures[run])
        if cost is None:
            raise CellzooError(f"no cost of an epoch of {table.architectures[architectures[run]].number}")
        totals[run] = [cost * epoch for epoch in range(max(EPOCHS, table.epochs(run)) + 1)]
    return Clock(name, 0, totals, note)


def counted_costs(table: Table, data: str = WIKITEXT2) -> tuple[dict[int, float], str]:
    """Estimate the seconds of an epoch from the operations of a cell.

    Returns:
        Index of the architecture -> seconds, and a description of the fit.

    Raises:
        CellzooError: As in `fit_costs`.
    """
    weights, note = fit_costs(table, data)
    cells = recipes_of(table.architectures)
    return {place: float(np.dot(work(cell), weights)) for place, cell in cells.items()}, note


def fit_costs(table: Table, data: str = WIKITEXT2) -> tuple[NDArray[np.float64], str]:
    """Fit the seconds of an epoch that each part of `work` costs.

    Non-negative least squares of the median logged second on a constant, the matrices that read x, the other
    matrices, and the nodes that are not linear.

    Returns:
        Seconds of each part, (4,), and a description of the fit.

    Raises:
        CellzooError: The table has no log of the data set.
    """
    from scipy.optimize import nnls

    cells = recipes_of(table.architectures)
    runs = {
        place: [run for run in table.runs(table.architectures[place], data) if table.epochs(run)]
        for place in cells
    }
    places = [place for place in cells if runs[place]]
    if not places:
        raise CellzooError(f"the table has no log on {data}, so the time of an epoch cannot be estimated")
    counts = np.array([work(cells[place]) for place in places])  # (recipes, 4)
    logged = np.array(
        [np.median([one for run in runs[place] for one in table.curve(run, "seconds")]) for place in places]
    )
    weights, _ = nnls(counts, logged)
    named = ", ".join(f"{weight:.2f}" for weight in weights)
    note = f"seconds of an epoch = ({named}) . (1, matrices of x, other matrices, other nodes)"
    variation = np.sum((logged - logged.mean()) ** 2)
    if variation > 0:
        note += f"; R² {1.0 - np.sum((logged - counts @ weights) ** 2) / variation:.2f}"
    return weights, note


def work(cell: Cell) -> tuple[int, int, int, int]:
    """Count what a step of a cell computes.

    Returns:
        1, matrices that read x, other matrices, and nodes that are not linear.
    """
    linear = [node for node in cell.nodes if node.op == LINEAR]
    of_input = sum(source == "x" for node in linear for source in node.inputs)
    matrices = sum(len(node.inputs) for node in linear)
    return 1, of_input, matrices - of_input, len(cell.nodes) - len(linear)
