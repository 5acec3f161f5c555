"""A board as one self-contained HTML page, with embedded styles, script, pictures and data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cellzoo.draw.style import style as cell_style
from cellzoo.pages.chart import chart_style
from cellzoo.pages.page import picture, render_page, source
from leaderboards.relations import relations
from leaderboards.render import notes
from leaderboards.render.average import average_grid, average_remarks, critical_picture
from leaderboards.render.budget import budget_lines, budget_picture
from leaderboards.render.cards import cards
from leaderboards.render.compare import compare_data, embedded
from leaderboards.render.grid import overview_grid, table_title, task_grid
from leaderboards.render.picture import task_picture
from leaderboards.render.scatter import relation_picture, relation_words, scatter_pictures

if TYPE_CHECKING:
    from leaderboards.board import Board, TaskTable

RELATIONS_DRAWN = 15
"""Most pairs of tasks with a picture on a page; the others are only listed as text."""


def render_html(board: Board) -> str:
    """Render the page."""
    return render_page(
        "leaderboards.render/board.html.j2",
        board.title,
        {
            "board": board,
            "summary": notes.summary(board),
            "left_out_title": notes.left_out_title(board),
            "overview": overview_grid(board),
            "sections": [_section(table, number) for number, table in enumerate(board.tables, start=1)],
            "averages": _averages(board),
            "relations": _relations(board),
            "cards": cards(board),
            "places": {subject: place for place, subject in enumerate(board.subjects)},
            "protocols": sorted({table.protocol for table in board.tables}),
            "families": sorted({subject.family for subject in board.subjects}),
            "reading": notes.reading(board),
            "data": picture(embedded(compare_data(board))),
        },
        styles=[source("leaderboards.render/page.css"), chart_style(), cell_style()],
        script=source("leaderboards.render/page.js"),
    )


def _averages(board: Board) -> dict[str, Any] | None:
    if board.averages is None:
        return None
    drawn = critical_picture(board.averages, "critical")
    return {
        "grid": average_grid(board.averages),
        "remarks": average_remarks(board.averages),
        "picture": picture(drawn) if drawn else None,
    }


def _relations(board: Board) -> list[dict[str, Any]]:
    found = relations(board.tables)
    return [
        {
            "title": f"{table_title(relation.first)} and {table_title(relation.second)}",
            "words": relation_words(relation),
            "picture": picture(relation_picture(relation, f"relation-{number}"))
            if number <= RELATIONS_DRAWN
            else None,
        }
        for number, relation in enumerate(found, start=1)
    ]


def _section(table: TaskTable, number: int) -> dict[str, Any]:
    return {
        "id": f"task-{number}",
        "title": table_title(table),
        "task": notes.task(table),
        "detectable": notes.detectable(table),
        "remarks": notes.remarks(table),
        "picture": picture(task_picture(table, f"picture-{number}")),
        "scatter": [picture(svg) for svg in scatter_pictures(table, f"scatter-{number}")],
        "budget": picture(drawn) if (drawn := budget_picture(table, f"budget-{number}")) else None,
        "budget_lines": budget_lines(table.tuning) if table.tuning else [],
        "grid": task_grid(table),
        "absent": notes.absent(table) if table.absent else "",
        "settings": table.settings,
        "reported": table.reported,
        "protocol": table.protocol,
        "superseded": table.superseded_by is not None,
    }
