"""Validation of constructor arguments; each message says what would be right."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any

import torch

from cellzoo.cells.cell import Cell

# The limit of the engines: products of two sizes and the size of a number must fit into 64 bits.
_LARGEST_SIZE = 2**31 - 1
# The abstract types, so that numpy's scalars are accepted, too.
_WHOLE: type[Any] = Integral
REAL: type[Any] = Real


def check_cell(cell: Any) -> None:
    """Check that an argument is a cell.

    Raises:
        TypeError: It is not a Cell, but, for example, a name.
    """
    if isinstance(cell, Cell):
        return
    hint = f"; cellzoo.rnn({cell!r:.40}, ...) builds the layer from a name" if isinstance(cell, str) else ""
    raise TypeError(f"cell is {cell!r:.40}; it must be a cellzoo.Cell, as cellzoo.load gives{hint}")


def checked_size(what: str, size: Any) -> int:
    """Convert a size to an int.

    Raises:
        TypeError: It is not a whole number.
        ValueError: It is out of range.
    """
    if isinstance(size, bool) or not isinstance(size, _WHOLE):
        raise TypeError(f"{what} is {size!r:.40}; it must be a whole number")
    if not 1 <= size <= _LARGEST_SIZE:
        raise ValueError(f"{what} is {size}; it must be at least 1, and at most {_LARGEST_SIZE}")
    return int(size)


def check_place(proj_size: Any, device: Any, dtype: Any) -> None:
    """Check the last arguments of torch.nn.LSTM, which are easily confused if given by position.

    Raises:
        TypeError: They are in another order, or the dtype is not a torch.dtype.
        ValueError: `proj_size` is not 0.
    """
    if isinstance(proj_size, torch.device | str):
        raise TypeError(f"proj_size is {proj_size!r:.40}; as in torch.nn.LSTM it comes before device and dtype")
    if isinstance(proj_size, bool) or proj_size != 0:
        raise ValueError(
            f"proj_size is {proj_size!r:.40}; it must be 0: a projected state is another cell, whose equations "
            "say so, such as h' = linear(o * tanh(c'); bias=no)"
        )
    if dtype is not None and not isinstance(dtype, torch.dtype):
        raise TypeError(f"dtype is {dtype!r:.40}; it must be a torch.dtype")
    if isinstance(device, torch.dtype):
        raise TypeError(f"device is {device}; as in torch.nn.LSTM it comes before dtype")


def checked_probability(what: str, value: Any) -> float:
    """Convert a probability to a float.

    Raises:
        ValueError: It is not a number from 0 to 1.
    """
    if isinstance(value, bool) or not isinstance(value, REAL) or not 0.0 <= value <= 1.0:
        raise ValueError(f"{what} is {value!r:.40}; it must be a probability, 0 to 1")
    return float(value)
