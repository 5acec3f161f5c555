"""Settings of every sampler: the space, the number of candidates, and how long each is trained."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import model_validator

from cellzoo.notations.fenas import NODES
from cellzoo.notations.steps.graph import OPERATIONS
from search.spaces.darts import DartsSpace
from search.spaces.egs import EgsSpace
from search.spaces.enas import EnasSpace
from search.spaces.ess import EssSpace
from search.spaces.fenas import FenasSpace, States
from search.spaces.idarts import IDartsSpace
from search.spaces.nas_bench_nlp import MAX_NODES, NasBenchNlpSpace
from tasks.settings import Settings, Size

if TYPE_CHECKING:
    from search.spaces.space import Space


_USUAL_NODES = {"fenas": NODES, "nas-bench-nlp": MAX_NODES}
_READ_BY = {
    "operations": ("darts", "idarts", "egs", "ess"),
    "states": ("fenas",),
    "changes_inputs": ("fenas",),
}
"""Settings that only some spaces have: name -> spaces."""


class SamplerSettings(Settings):
    """The searched space and the number and length of trainings.

    Attributes:
        space: The space, named by its notation; options other than those below have their defaults.
        nodes: Nodes of a cell; of `nas-bench-nlp` the largest number. None for the usual number of the space:
            8, of `fenas` 9, of `nas-bench-nlp` 24.
        operations: Operations of a cell; `enas`, `fenas` and `nas-bench-nlp` have fixed ones.
        states: `fenas`: cells with the state h, with h and c (`h+c`), or `any` of them.
        changes_inputs: `fenas`: whether a mutation may also change inputs.
        trials: Total number of proposals. Proposals of a graph that was proposed before count, but are not
            trained again.
        retrain: Whether a graph that is proposed again is trained again with another seed, and scored by the
            mean of its trainings; otherwise equal graphs share the first score.
        epochs: Epochs of each training, or of the longest one if the sampler uses several lengths.
    """

    space: Literal["darts", "idarts", "egs", "ess", "enas", "fenas", "nas-bench-nlp"] = "darts"
    nodes: Size | None = None
    operations: tuple[str, ...] = OPERATIONS
    states: States = "any"
    changes_inputs: bool = False
    trials: Size = 20
    retrain: bool = False
    epochs: Size = 5

    @model_validator(mode="after")
    def _check_space(self) -> Self:
        for name, spaces in _READ_BY.items():
            value = getattr(self, name)
            if self.space not in spaces and value != type(self).model_fields[name].default:
                raise ValueError(
                    f"{name} is {value!r}, which the space {self.space} does not have; it is a setting of "
                    f"{', '.join(spaces)}"
                )
        self.cells()
        return self

    def cells(self) -> Space[Any]:
        """The space.

        Raises:
            CellzooError: A value is out of its range.
        """
        nodes = self.nodes or _USUAL_NODES.get(self.space, 8)
        match self.space:
            case "darts":
                return DartsSpace(nodes, self.operations)
            case "idarts":
                return IDartsSpace(nodes, self.operations, min(IDartsSpace.edges, len(self.operations)))
            case "egs":
                return EgsSpace(nodes, self.operations)
            case "ess":
                return EssSpace(DartsSpace(nodes, self.operations))
            case "enas":
                return EnasSpace(nodes)
            case "fenas":
                return FenasSpace(nodes, self.states, self.changes_inputs)
            case "nas-bench-nlp":
                return NasBenchNlpSpace(nodes)
