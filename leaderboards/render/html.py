"""A board as one self-contained HTML page.

Everything on it is in the file: style, script and pictures. Its content security policy admits that
style and that script, by digest, and nothing else, so text from a record can neither run nor load
anything even if it got past the escaping.
"""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from leaderboards.render import notes
from leaderboards.render.characters import printable
from leaderboards.render.grid import overview_grid, table_title, task_grid
from leaderboards.render.numbers import shortened
from leaderboards.render.picture import task_picture

if TYPE_CHECKING:
    from leaderboards.board import Board, TaskTable


def render_html(board: Board) -> str:
    """Write the page."""
    style, script = _source("page.css") + picture_style(), _source("sort.js")
    page = _environment().get_template("board.html.j2")
    text = page.render(
        board=board,
        summary=notes.summary(board),
        left_out_title=notes.left_out_title(board),
        overview=overview_grid(board),
        sections=[_section(table, number) for number, table in enumerate(board.tables, start=1)],
        reading=notes.reading(board),
        style=Markup(style),  # noqa: S704 - a file of this package
        script=Markup(script),  # noqa: S704 - a file of this package
        policy=f"default-src 'none'; style-src '{_digest(style)}'; script-src '{_digest(script)}'",
    )
    return printable(text)


def picture_style() -> str:
    """The part of the style that pictures need."""
    return _source("picture.css")


def _section(table: TaskTable, number: int) -> dict[str, Any]:
    return {
        "id": f"task-{number}",
        "title": table_title(table),
        "task": notes.task(table),
        "picture": Markup(task_picture(table, f"picture-{number}")),  # noqa: S704 - ElementTree escapes
        "grid": task_grid(table),
        "absent": notes.absent(table) if table.absent else "",
        "settings": table.settings,
    }


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("leaderboards", "render"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    environment.filters["shortened"] = shortened
    return environment


@cache
def _source(name: str) -> str:
    return files("leaderboards.render").joinpath(name).read_text(encoding="utf-8")


def _digest(source: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(source.encode()).digest()).decode()
