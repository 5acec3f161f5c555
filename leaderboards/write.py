"""Put a board into a folder."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cellzoo.system.atomic import output_errors, write_atomically
from leaderboards.render.html import render_html
from leaderboards.render.markdown import render_markdown
from leaderboards.render.picture import all_pictures

if TYPE_CHECKING:
    from pathlib import Path

    from leaderboards.board import Board

MARKDOWN, PAGE, PICTURE = "board.md", "board.html", "board.svg"


@dataclass(frozen=True)
class Written:
    """Where the files of a board lie."""

    markdown: Path
    html: Path
    picture: Path


def write_board(board: Board, out: Path) -> Written:
    """Write the Markdown file, the HTML page and the picture file into `out`, each whole or not at all.

    All three are rendered before the first is written, and earlier ones are replaced.

    Raises:
        OutputError: The folder cannot be made or written.
    """
    contents = {
        out / PICTURE: all_pictures(board.tables),
        out / MARKDOWN: render_markdown(board, PICTURE),
        out / PAGE: render_html(board),
    }
    with output_errors(out):
        out.mkdir(parents=True, exist_ok=True)
    for path, content in contents.items():
        write_atomically(path, content.encode())
    return Written(out / MARKDOWN, out / PAGE, out / PICTURE)
