"""Clocks: how long training a recipe for a number of epochs would have taken.

`released`   as in nas_environment.py of fmsnew/nas-bench-nlp-release: the requested number is the index of the
             last epoch, so one more epoch is trained, and its time is not counted.
`corrected`  the sum of the logged seconds of the epochs that were trained.
`retimed`    epochs times a cost that is estimated from the graph. The logged seconds of one recipe differ up to
             twofold between its own runs, because they depend on the load of the machine.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

RELEASED, CORRECTED, RETIMED = "released", "corrected", "retimed"
CLOCKS = (RELEASED, CORRECTED, RETIMED)


@dataclass(frozen=True)
class Clock:
    """A clock for the runs of one table.

    Attributes:
        name: Of `CLOCKS`.
        free: Epochs that are trained beyond those requested, and whose time is not counted.
        totals: Run -> seconds after 0, 1, 2, ... counted epochs.
        note: How it was made.
    """

    name: str
    free: int
    totals: Mapping[int, list[float]]
    note: str

    def reached(self, asked: int, length: int) -> int:
        """The epochs that a request for `asked` epochs trains, with a log of `length` epochs."""
        return min(asked + self.free, length)

    def seconds(self, run: int, epochs: int) -> float:
        """The time of training `epochs` epochs."""
        return self.totals[run][epochs - self.free]
