"""Settings of every sampler: how many cells, how long each is trained, and where they come from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import model_validator

from cellzoo.notations.steps.graph import OPERATIONS
from search.spaces.darts import DartsSpace
from search.spaces.egs import EgsSpace
from search.spaces.enas import EnasSpace
from search.spaces.ess import EssSpace
from search.spaces.idarts import IDartsSpace
from tasks.settings import Settings, Size

if TYPE_CHECKING:
    from search.spaces.space import Space


class SamplerSettings(Settings):
    """What is sampled, and how much.

    Attributes:
        space: Where cells come from, by its notation; its options but those below are its defaults.
        nodes: Of a cell.
        operations: Of a cell; `enas` has its own.
        trials: Cells that are proposed in all. Those whose graph was there before count, but are not trained
            again.
        epochs: Epochs that each cell is trained for.
    """

    space: Literal["darts", "idarts", "egs", "ess", "enas"] = "darts"
    nodes: Size = 8
    operations: tuple[str, ...] = OPERATIONS
    trials: Size = 20
    epochs: Size = 5

    @model_validator(mode="after")
    def _check_space(self) -> Self:
        self.cells()
        return self

    def cells(self) -> Space[Any]:
        """The space.

        Raises:
            CellzooError: A value is out of its range.
        """
        match self.space:
            case "darts":
                return DartsSpace(self.nodes, self.operations)
            case "idarts":
                return IDartsSpace(self.nodes, self.operations)
            case "egs":
                return EgsSpace(self.nodes, self.operations)
            case "ess":
                return EssSpace(DartsSpace(self.nodes, self.operations))
            case "enas":
                return EnasSpace(self.nodes)
