"""What a file in this folder offers: a kind of objective, as the object `KIND`.

`registry.py` finds the files by themselves, so a new objective is one new file.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import torch

    from search.objectives.objective import Objective
    from tasks.data.found import FoundData


@dataclass(frozen=True)
class Prepared:
    """An objective with its data read.

    Attributes:
        objective: Ready for a method.
        steps: Training batches of an epoch, as far as known beforehand; for the time left.
        facts: What a reader sees of the data, such as `{"words": 929589, "vocabulary": 10000}`.
    """

    objective: Objective
    steps: int
    facts: Mapping[str, int]


@dataclass(frozen=True)
class Retraining:
    """The task that trains and judges a derived cell on the data that it was searched on.

    Attributes:
        task: A registered task.
        metric: Its metric on held-out data, which chooses between cells.
        test_metric: The same on test data.
        lower_is_better: Of both.
        settings: The settings that name the data, from the data set's name.
    """

    task: str
    metric: str
    test_metric: str
    lower_is_better: bool
    settings: Callable[[str], dict[str, Any]]


@dataclass(frozen=True)
class ObjectiveKind:
    """A kind of objective.

    Attributes:
        name: As presets and configurations call it, such as `language-modeling`.
        data_sets: The known data sets it takes.
        own: The kind of the user's own files it takes: `text` or `conll`, see `tasks.data.own`.
        settings: A frozen dataclass of plain values with defaults, those of the papers.
        build: Reads the data and makes the objective, for the data set, the settings and a device.
        retraining: How its cells are retrained.
    """

    name: str
    data_sets: tuple[str, ...]
    own: str
    settings: type
    build: Callable[[FoundData, Any, torch.device], Prepared]
    retraining: Retraining

    def takes(self, data: str) -> bool:
        """Whether this is the objective for a data set."""
        return data in self.data_sets or (data.partition(":")[0] == self.own and ":" in data)
