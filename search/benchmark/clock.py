"""Clocks: what training a recipe for so many epochs would have taken.

`released`   as nas_environment.py of fmsnew/nas-bench-nlp-release counts: what is asked for is the last
             index, so one epoch more is trained, and that one is free.
`corrected`  the sum of the logged seconds of the epochs that were trained.
`retimed`    epochs times a cost that is counted from the graph, because the logged seconds of one recipe
             differ up to twofold between its own runs: they depend on what else the machine did.
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
        free: Epochs that are trained beyond those asked for, and not paid.
        totals: Run -> seconds after 0, 1, 2, ... paid epochs.
        note: How it was made.
    """

    name: str
    free: int
    totals: Mapping[int, list[float]]
    note: str

    def reached(self, asked: int, length: int) -> int:
        """The epochs that are trained where so many are asked for, of a log of so many."""
        return min(asked + self.free, length)

    def seconds(self, run: int, epochs: int) -> float:
        """What the training of so many epochs took."""
        return self.totals[run][epochs - self.free]
