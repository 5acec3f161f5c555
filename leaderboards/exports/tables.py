"""A board as CSV, LaTeX and Parquet."""

from __future__ import annotations

import csv
import io
import re
from typing import TYPE_CHECKING, Any

from cellzoo.system.extras import require
from cellzoo.system.text import printable
from leaderboards.exports.plain import flat_rows
from leaderboards.render.grid import PRIMARY_PLACE, table_title, task_grid

if TYPE_CHECKING:
    from leaderboards.board import Board, TaskTable

_LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "^": r"\textasciicircum{}",
    **{character: "\\" + character for character in "&%$#_{}"},
    "±": r"$\pm$",
    "–": "--",
    "—": "---",
    "↑": r"$\uparrow$",
    "↓": r"$\downarrow$",
    "\N{MINUS SIGN}": r"$-$",
}
_LATEX_COLUMNS = 6
"""Cell, rank, primary metric, intervals, seeds: more columns do not fit on a page."""


def render_csv(board: Board) -> str:
    """One line for each entry and metric; text that a spreadsheet would read as a formula is quoted."""
    lines = flat_rows(board)
    out = io.StringIO()
    writer = csv.DictWriter(out, list(lines[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: _escape_formula(value) for name, value in line.items()} for line in lines)
    return out.getvalue()


def render_latex(board: Board) -> str:
    """One `tabular` for each table, with the rules of the package booktabs."""
    return printable("\n\n".join(_tabular(table) for table in board.tables)) + "\n"


def parquet_bytes(board: Board) -> bytes:
    """The lines of the CSV file as a typed table.

    Raises:
        CellzooError: pyarrow is not installed.
    """
    require("pyarrow", "board")
    import pyarrow
    import pyarrow.parquet

    lines = flat_rows(board)
    whole = {"revision", "seeds", "rank_first", "rank_last"}
    words = {"task", "variant", "title", "kind", "cell", "hash", "metric", "source"}
    types = [
        (n, pyarrow.string() if n in words else pyarrow.int64() if n in whole else pyarrow.float64())
        for n in lines[0]
    ]
    out = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(lines, pyarrow.schema(types)), out)
    return out.getvalue()


def _escape_formula(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    text = printable(value)
    return f"'{text}" if text.startswith(("=", "+", "-", "@")) else text


def _tabular(table: TaskTable) -> str:
    grid = task_grid(table)
    intervals = [place for place, column in enumerate(grid.columns) if column.title == "95 % interval"]
    seeds = [place for place, column in enumerate(grid.columns) if column.title == "Seeds"]
    shown = [0, 1, PRIMARY_PLACE, *intervals, *seeds][:_LATEX_COLUMNS]
    heads = [
        _latex(f"{grid.columns[place].title}, {grid.columns[place].detail}".removesuffix(", "))
        for place in shown
    ]
    lines = [
        f"% {_one_line(table_title(table))}",
        rf"\begin{{tabular}}{{l{'r' * (len(shown) - 1)}}}",
        r"\toprule",
        " & ".join(heads) + r" \\",
        r"\midrule",
    ]
    for row in grid.rows:
        fields = []
        for place in shown:
            text = _latex(row.cells[place].text)
            fields.append(rf"\textbf{{{text}}}" if row.cells[place].strong else text)
        if row.subject is None:
            fields[0] += " (reported)"
        lines.append(" & ".join(fields) + r" \\")
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}"])


def _latex(text: str) -> str:
    return re.sub(r"[\\~<>|^&%$#_{}±–—↑↓−]", lambda found: _LATEX[found.group()], _one_line(text))


def _one_line(text: str) -> str:
    return " ".join(text.split())
