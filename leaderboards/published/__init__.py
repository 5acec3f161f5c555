"""Results reported by papers, as data files: boards show them next to measured results, without comparing them.

Each table is one TOML file with the tasks and the metric that it belongs to, and rows, each with its source.
The `mark` of a row explains peculiarities of its numbers.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

TEST = "test"


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class ReportedRow(_Strict):
    """One line of a published table.

    Attributes:
        name: The name in the paper.
        values: Split or metric -> value.
        source: Key of the paper in `sources`.
        parameters: Parameters of the whole model, in millions.
        search_days: GPU days of the search.
        cell: Name of the cell in the zoo, if it is there.
        mark: Peculiarities of the numbers.
    """

    name: str
    values: dict[str, float] = Field(min_length=1)
    source: str
    parameters: float | None = None
    search_days: float | None = None
    cell: str = ""
    mark: str = ""


class ReportedTable(_Strict):
    """A published table.

    Attributes:
        title: Title of the table.
        tasks: Names of the tasks whose boards show it.
        metric: Name of the metric in these tasks.
        shown: Key in the values of a row that is this metric.
        unit: Unit of the values.
        better: Direction of the metric.
        sources: Key -> citation.
        note: Remark about the whole table.
        rows: The rows.
    """

    title: str
    tasks: list[str]
    metric: str
    shown: str
    unit: str
    better: Literal["higher", "lower"]
    sources: dict[str, str]
    note: str = ""
    rows: list[ReportedRow]


@dataclass(frozen=True)
class Published:
    """One published result as a board shows it."""

    name: str
    value: float
    parameters: int | None
    said_of: str
    mark: str


@cache
def published_tables() -> dict[str, ReportedTable]:
    """All tables, by the name of their file."""
    folder = files("leaderboards.published")
    found = sorted(entry.name for entry in folder.iterdir() if entry.name.endswith(".toml"))
    return {
        name.removesuffix(".toml"): ReportedTable.model_validate(
            tomllib.loads(folder.joinpath(name).read_text(encoding="utf-8"))
        )
        for name in found
    }


def published_for(task: str, metric: str, *, higher: bool) -> tuple[Published, ...]:
    """The published results of a task in its metric, best first."""
    rows = [
        Published(
            row.name,
            row.values[table.shown],
            None if row.parameters is None else round(row.parameters * 1e6),
            _said_of(table, row),
            row.mark,
        )
        for table in published_tables().values()
        if task in table.tasks and table.metric == metric
        for row in table.rows
        if table.shown in row.values
    ]
    return tuple(sorted(rows, key=lambda row: (-row.value if higher else row.value, row.name)))


def _said_of(table: ReportedTable, row: ReportedRow) -> str:
    parts = [table.sources[row.source], row.mark, table.note]
    if row.search_days is not None:
        parts.insert(1, f"search {row.search_days:g} GPU days")
    return "; ".join(part for part in parts if part)
