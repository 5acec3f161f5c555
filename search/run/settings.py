"""The settings of a search, and what follows from them: the problem, the method, and the selection metric."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import Field, JsonValue

from search.registry import find_method
from tasks.metric import Metric
from tasks.problem import LOSS
from tasks.registry import find_problem
from tasks.settings import Count, Settings, configure

if TYPE_CHECKING:
    from collections.abc import Mapping

    from search.methods.derived import CellNote
    from tasks.data.found import FoundData
    from tasks.problem import Outline, Problem, ProblemKind

SECONDS = "seconds_search"
DEV_LOSS = Metric(LOSS, "loss (nats)", higher_is_better=False, digits=3)


class SearchSettings(Settings):
    """Everything except the data and the seed that decides which cell is found.

    Attributes:
        method: Name of the method or sampler.
        task: Name of the task of the search.
        problem: Its kind of problem.
        epochs: Of a search with a supernet; 0 for a sampler, whose own settings have the epochs of candidates.
        method_settings: All settings of the method.
        problem_settings: All settings of the problem.
        training_settings: Settings of the training of a sampler's candidates; empty for a supernet.
    """

    method: str
    task: str
    problem: str
    epochs: Count = 0
    method_settings: dict[str, JsonValue]
    problem_settings: dict[str, JsonValue]
    training_settings: dict[str, JsonValue] = Field(default_factory=dict)


def selection_metric(outline: Outline) -> Metric:
    """The metric on dev by which cells are selected."""
    return next((metric for metric in outline.metrics if metric.name == outline.selection), DEV_LOSS)


def selection_of(config: SearchSettings) -> Metric:
    """The metric on dev by which the candidates of a search are selected."""
    return selection_metric(outline_of(config))


def build_problem(
    config: SearchSettings, data: Mapping[str, FoundData], device: Any, cache: Any = None
) -> Problem:
    """Read the data and make the problem; errors as `tasks.problem.BuildProblem`."""
    kind = find_problem(config.problem)
    return kind.build(data, problem_settings(kind, config), device, cache)


def method_settings(config: SearchSettings) -> Any:
    """The settings of the method, as an instance of its class."""
    kind = find_method(config.method)
    return configure(kind.settings, config.method_settings, f"method {config.method!r}")


def problem_settings(kind: ProblemKind, config: SearchSettings) -> Any:
    """The settings of the problem, as an instance of its class."""
    return configure(kind.settings, config.problem_settings, f"task {config.task!r}")


def outline_of(config: SearchSettings) -> Outline:
    """The outline of the problem, which needs no data."""
    kind = find_problem(config.problem)
    return kind.outline(problem_settings(kind, config))


def cell_notes(cell: CellNote) -> tuple[str, ...]:
    """Notes on a found cell for a record."""
    found = f"found {cell.hash[:12]} ({cell.notation}): {' '.join(cell.genotype.split())}"
    return (found, cell.warning) if cell.warning else (found,)
