"""Cards of cells: picture, equations, where they come from, and the command that makes a row again."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from cellzoo.errors import CellzooError
from cellzoo.pages.page import picture
from tasks.runs.signature import signature

if TYPE_CHECKING:
    from leaderboards.board import Board, BoardSubject, Row, TaskTable

PICTURES = 60
"""Cells with a picture and equations on a page: more would make it too large to send."""


@dataclass(frozen=True)
class SubjectCard:
    """What the page says of one subject.

    Attributes:
        subject: Whose card it is.
        place: Its number in the page's data.
        picture: SVG; None where the cell cannot be drawn.
        equations: As text, else empty.
        commands: One a task: how to run its rows again.
        signatures: One a task: what decided the numbers of its row.
    """

    subject: BoardSubject
    place: int
    picture: Any
    equations: str
    commands: tuple[str, ...]
    signatures: tuple[str, ...]


def cards(board: Board) -> list[SubjectCard]:
    """One card a subject, in the order of the overview."""
    found = []
    for place, subject in enumerate(board.subjects):
        drawn, equations = _drawn(subject.genotype, subject.notation) if place < PICTURES else (None, "")
        rows = [(table, row) for table in board.tables if (row := table.row(subject)) is not None]
        found.append(
            SubjectCard(
                subject,
                place,
                None if drawn is None else picture(drawn),
                equations,
                commands=tuple(command(table, row) for table, row in rows),
                signatures=tuple(signature(row.runs) for _, row in rows),
            )
        )
    return found


def command(table: TaskTable, row: Row) -> str:
    """The command that makes the runs of a row again."""
    name = row.runs[0].cell.name
    parts = ["cellzoo", "run", table.task, "--cells", name, "--seeds", _seeds(row.seeds)]
    for setting, value in sorted(row.runs[0].configuration.items()):
        if isinstance(value, (str, int, float)):
            parts += ["--set", f"{setting}={str(value).lower() if isinstance(value, bool) else value}"]
    return shlex.join([*parts, "--out", "results"])


def _seeds(seeds: tuple[int, ...]) -> str:
    """As the command line takes them: a lone number would be how many."""
    return ",".join(map(str, seeds)) + ("," if len(seeds) == 1 else "")


@lru_cache(maxsize=512)
def _drawn(genotype: str, notation: str) -> tuple[str | None, str]:
    """The picture and the equations of a cell given as text; nothing where it is none of this version's."""
    if not genotype or not notation:
        return None, ""
    import cellzoo
    from cellzoo.draw import equations, svg

    try:
        cell = cellzoo.parse(genotype, notation=notation)
        return svg(cell, is_part=True), equations(cell)
    except CellzooError:
        return None, ""
