"""Writes the files of a board into a folder."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cellzoo.system.atomic import output_errors, write_atomically
from leaderboards.exports.plain import render_json
from leaderboards.exports.plots import plot_files
from leaderboards.exports.shared import (
    render_eval_results,
    render_every_eval_ever,
    render_model_index,
    render_signatures,
)
from leaderboards.exports.tables import parquet_bytes, render_csv, render_latex
from leaderboards.render.html import render_html
from leaderboards.render.markdown import render_markdown
from leaderboards.render.picture import all_pictures

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from leaderboards.board import Board

MARKDOWN, PAGE, PICTURE = "board.md", "board.html", "board.svg"


_FORMS: Mapping[str, Callable[[Board], str | bytes | Mapping[str, bytes]]] = {
    "json": render_json,
    "csv": render_csv,
    "latex": render_latex,
    "parquet": parquet_bytes,
    "model-index": render_model_index,
    "every-eval-ever": render_every_eval_ever,
    "signatures": render_signatures,
    "eval-results": render_eval_results,
    "plots": plot_files,
}


@dataclass(frozen=True)
class BoardFiles:
    """Paths of the main files of a board."""

    markdown: Path
    html: Path
    picture: Path


def write_board(board: Board, out: Path, forms: Mapping[str, str] | None = None) -> BoardFiles:
    """Write the Markdown file, the HTML page, the picture file and other formats into `out`.

    Everything is rendered before the first file is written. Each file is written atomically and replaces an
    earlier one.

    Args:
        board: The board.
        out: The folder; it is created if it does not exist.
        forms: Other formats, as in `leaderboards.command.FORMATS`: format -> name of the file, or of the folder
            of a format with several files.

    Raises:
        OutputError: The folder cannot be created, or a file cannot be written.
    """
    contents: dict[Path, str | bytes] = {
        out / PICTURE: all_pictures(board.tables),
        out / MARKDOWN: render_markdown(board, PICTURE),
        out / PAGE: render_html(board),
    }
    for form, name in (forms or {}).items():
        made = _FORMS[form](board)
        contents |= (
            {out / name: made}
            if isinstance(made, str | bytes)
            else {out / name / inner: content for inner, content in made.items()}
        )
    for folder in dict.fromkeys(path.parent for path in contents):
        with output_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
    for path, content in contents.items():
        write_atomically(path, content.encode() if isinstance(content, str) else content)
    return BoardFiles(out / MARKDOWN, out / PAGE, out / PICTURE)
