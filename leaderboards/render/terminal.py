"""A board's overview for the terminal: a formatted table, or Markdown if the output is not a terminal."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from cellzoo.system.text import printable
from leaderboards.render import notes
from leaderboards.render.grid import overview_grid
from leaderboards.render.markdown import overview_markdown

if TYPE_CHECKING:
    from rich.text import Text

    from leaderboards.board import Board
    from leaderboards.render.grid import GridCell
    from leaderboards.write import BoardFiles


def show(board: Board, written: BoardFiles) -> None:
    """Print the overview, the number of files left out, and the paths of the written files."""
    from rich.console import Console

    console = Console()
    if console.is_terminal:
        _show_table(board, console.width)
    else:
        sys.stdout.write(overview_markdown(board) + "\n")
    lines = [
        "",
        "mean ± standard deviation over seeds; ranks are ranges and need three seeds",
    ]
    if board.left_out:
        lines.append(f"{notes.left_out_title(board)} (listed on the page)")
    lines += [f"page      {written.html}", f"Markdown  {written.markdown}"]
    sys.stdout.write("\n".join(lines) + "\n")


def _show_table(board: Board, width: int) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    grid = overview_grid(board)
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for column in grid.columns:
        heading = Text(printable(column.brief or column.title))
        if column.detail:
            heading.append(f"\n{printable(column.detail)}", style="dim")
        table.add_column(heading, justify="right" if column.numeric else "left", no_wrap=not column.numeric)
    for row in grid.rows:
        table.add_row(*(_field(cell) for cell in row.cells), style="italic" if row.is_baseline else "")
    Console(width=width).print(table)


def _field(cell: GridCell) -> Text:
    from rich.text import Text

    text = Text(cell.text, style="bold" if cell.strong else "")
    if cell.note:
        text.append(f"\n{cell.note}", style="dim not bold")
    return text
