"""Cards of cells: picture, equations, provenance, and the command that repeats the runs of a row."""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from cellzoo.errors import CellzooError
from cellzoo.pages.page import picture
from tasks.runs.signature import signature

if TYPE_CHECKING:
    from leaderboards.board import Board, BoardSubject, Row, TaskTable
    from tasks.runs.record import RunRecord

PICTURES = 60
"""How many cells of a page have a picture and equations: with more, the file would become very large."""


@dataclass(frozen=True)
class SubjectCard:
    """The card of one subject.

    Attributes:
        subject: The subject.
        place: Its index in the page's data.
        picture: SVG; None if the cell cannot be drawn.
        equations: As text; empty if the cell cannot be drawn.
        commands: For each table with the subject, the command that repeats its runs.
        signatures: For each table with the subject, the signature of its runs.
    """

    subject: BoardSubject
    place: int
    picture: Any
    equations: str
    commands: tuple[str, ...]
    signatures: tuple[str, ...]


def cards(board: Board) -> list[SubjectCard]:
    """A card for each subject, in the order of the overview."""
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
    """The command that repeats the runs of a row."""
    first = row.runs[0]
    parts = ["cellzoo", "run", table.task, "--cells", first.cell.name, "--seeds", _seeds(row.seeds)]
    return shlex.join([*parts, *setting_arguments(first), "--out", "results"])


def setting_arguments(record: RunRecord) -> list[str]:
    """The settings of a record as arguments of `cellzoo run`; values that are not text are written as JSON."""
    arguments = []
    for name, value in sorted(record.configuration.items()):
        arguments += ["--set", f"{name}={value if isinstance(value, str) else json.dumps(value)}"]
    return arguments


def _seeds(seeds: tuple[int, ...]) -> str:
    """Seeds as `--seeds` takes them: a single number without a comma would be a count."""
    return ",".join(map(str, seeds)) + ("," if len(seeds) == 1 else "")


@lru_cache(maxsize=512)
def _drawn(genotype: str, notation: str) -> tuple[str | None, str]:
    """The picture and the equations of a cell given as text; nothing if this version cannot read it."""
    if not genotype or not notation:
        return None, ""
    import cellzoo
    from cellzoo.draw import equations, svg

    try:
        cell = cellzoo.parse(genotype, notation=notation)
        return svg(cell, is_part=True), equations(cell)
    except CellzooError:
        return None, ""
