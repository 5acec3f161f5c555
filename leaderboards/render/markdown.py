"""A board as Markdown (GitHub's tables)."""

from __future__ import annotations

import html
import re
from typing import TYPE_CHECKING

from cellzoo.system.text import printable, shortened
from leaderboards.relations import relations
from leaderboards.render import notes
from leaderboards.render.average import average_grid, average_remarks
from leaderboards.render.budget import budget_lines
from leaderboards.render.grid import overview_grid, table_title, task_grid
from leaderboards.render.scatter import relation_words

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from leaderboards.board import Board, TaskTable
from leaderboards.render.grid import Grid, GridCell, GridColumn, GridRow

_SPECIAL = re.compile(r"([\\`*_{}\[\]|~#!$])")


def render_markdown(board: Board, picture: str) -> str:
    """Render the whole board; `picture` is the path of the file of pictures, relative to the Markdown file."""
    parts = [f"# {plain(board.title)}", plain(notes.summary(board))]
    if board.left_out:
        faults = [f"- {plain(fault.message)}" for fault in board.left_out]
        parts += [f"**{notes.left_out_title(board)}**", "\n".join(faults)]
    parts += ["## Overview", overview_markdown(board), f"![Results by task]({picture})"]
    if board.averages is not None:
        parts += ["## Average over tasks", _table(average_grid(board.averages))]
        parts += [plain(remark) for remark in average_remarks(board.averages)]
    for table in board.tables:
        parts += _task(table)
    if found := relations(board.tables):
        lines = [
            f"- {plain(table_title(r.first))} and {plain(table_title(r.second))}: {plain(relation_words(r))}"
            for r in found
        ]
        parts += ["## Task against task", "\n".join(lines)]
    parts += ["## How to read this", "\n".join(f"- {plain(note)}" for note in notes.reading(board))]
    parts += ["## Provenance", "\n".join(_provenance(board))]
    return printable("\n\n".join(parts)) + "\n"


def overview_markdown(board: Board) -> str:
    """The overview table alone."""
    return printable(_table(overview_grid(board)))


def plain(text: str) -> str:
    """Escape `text` so that Markdown shows it literally, on one line."""
    one_line = " ".join(text.split())
    return _SPECIAL.sub(r"\\\1", html.escape(one_line, quote=False))


def _task(table: TaskTable) -> list[str]:
    about = " ".join(filter(None, [notes.task(table), notes.detectable(table)]))
    parts = [f"## {plain(table_title(table))}", plain(about), _table(task_grid(table))]
    parts += [plain(remark) for remark in notes.remarks(table)]
    if table.tuning is not None:
        lines = [f"- {plain(line)}" for line in budget_lines(table.tuning)]
        parts += [plain(f"Expected best {table.tuning.title} of so many configurations:"), "\n".join(lines)]
    if table.reported:
        parts.append(
            "\n".join(
                f"- {plain(f'{result.name}: {result.value:g}. {result.said_of}.')}" for result in table.reported
            )
        )
    if table.absent:
        parts.append(plain(notes.absent(table)))
    parts.append("<details><summary>Settings</summary>\n\n" + _settings(table.settings) + "\n\n</details>")
    return parts


def _settings(settings: Mapping[str, str]) -> str:
    return "\n".join(f"- {plain(name)} = {plain(shortened(value, 60))}" for name, value in settings.items())


def _provenance(board: Board) -> Iterable[str]:
    for fact in board.provenance.facts:
        yield f"- {plain(fact.title)}: {plain('; '.join(fact.values))}"
    for subject in board.subjects:
        if subject.hash:
            yield f"- Cell {plain(subject.name)}: hash {subject.hash}, from {plain(subject.origin)}"


def _table(grid: Grid) -> str:
    lines = [_line(_heading(column) for column in grid.columns)]
    lines.append(_line("---:" if column.numeric else ":---" for column in grid.columns))
    lines += [_line(_field(cell, row, index) for index, cell in enumerate(row.cells)) for row in grid.rows]
    return "\n".join(lines)


def _line(fields: Iterable[str]) -> str:
    return "| " + " | ".join(fields) + " |"


def _heading(column: GridColumn) -> str:
    return plain(f"{column.title}, {column.detail}" if column.detail else column.title)


def _field(cell: GridCell, row: GridRow, index: int) -> str:
    text = plain(cell.text)
    if cell.strong:
        text = f"**{text}**"
    if index == 0 and row.is_baseline:
        text = f"*{text}*"
    return f"{text} ({plain(cell.note)})" if cell.note else text
