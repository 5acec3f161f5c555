"""Recurrent cells by name: load one, look at it, use it where torch.nn.LSTM stands.

import cellzoo

cellzoo.list_cells("darts*")
cell = cellzoo.load("darts-v2")
cellzoo.draw.svg(cell)                      # also equations, latex, mermaid
rnn = cellzoo.rnn("darts-v2", input_size=100, hidden_size=256, bidirectional=True)
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from cellzoo.catalog import entry, list_cells, load
from cellzoo.cells.cell import Cell
from cellzoo.entry import CellEntry
from cellzoo.errors import CellzooError
from cellzoo.notations import parse

if TYPE_CHECKING:
    from pathlib import Path

    from cellzoo.layer import CellRNN

__all__ = ["Cell", "CellEntry", "CellRNN", "CellzooError", "entry", "list_cells", "load", "parse", "rnn"]

__version__ = "0.1.0"


def rnn(
    name: str | Path | Cell,
    input_size: int,
    hidden_size: int,
    num_layers: int = 1,
    bias: bool = True,
    batch_first: bool = False,
    dropout: float = 0.0,
    bidirectional: bool = False,
    proj_size: int = 0,
    device: Any = None,
    dtype: Any = None,
    **options: Any,
) -> CellRNN:
    """Build a `CellRNN` from a name, a cell file or a Cell.

    Args:
        name: The cell.
        input_size: What follows the cell is what torch.nn.LSTM takes, in its order.
        hidden_size: See `CellRNN`, as for all that follow.
        num_layers: See there.
        bias: See there.
        batch_first: See there.
        dropout: See there.
        bidirectional: See there.
        proj_size: See there.
        device: See there.
        dtype: See there.
        **options: The others of `CellRNN`, by name.
    """
    from cellzoo.layer import CellRNN

    cell = name if isinstance(name, Cell) else load(name)
    return CellRNN(
        cell,
        input_size,
        hidden_size,
        num_layers,
        bias,
        batch_first,
        dropout,
        bidirectional,
        proj_size,
        device,
        dtype,
        **options,
    )


def __getattr__(name: str) -> Any:
    # torch takes seconds to import; listing and loading cells do not need it.
    if name == "CellRNN":
        from cellzoo.layer import CellRNN

        return CellRNN
    if name == "draw":
        return import_module("cellzoo.draw")
    raise AttributeError(f"module 'cellzoo' has no attribute {name!r}")
