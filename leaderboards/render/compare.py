"""The data embedded in a page: runs for the cards, item contributions for the comparison of two cells."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from leaderboards.render import notes
from leaderboards.render.grid import table_title

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic import JsonValue

    from leaderboards.board import Board, Row, TaskTable
    from tasks.runs.record import RunRecord

ITEMS_BUDGET, CURVES_BUDGET = 150_000, 30_000
"""Most numbers on a page, of items and of learning curves; whole tables and runs beyond that are left out."""
CURVE_POINTS = 40
STEPS = 2000
"""Contributions of items are rounded to 1 / STEPS of the largest one in the table."""


def compare_data(board: Board) -> dict[str, Any]:
    """Subjects, tables and runs as plain data."""
    places = {subject: place for place, subject in enumerate(board.subjects)}
    items_left, curves_left = ITEMS_BUDGET, CURVES_BUDGET
    tables = []
    for table in board.tables:
        wanted = sum(len(row.by_item) for row in table.rows)
        with_items = wanted <= items_left
        items_left -= wanted if with_items else 0
        rows = []
        for row in table.rows:
            runs = []
            for record in row.runs:
                curve = _curve(record)
                size = sum(map(len, curve.values()))
                if size > curves_left:
                    curve = {}
                else:
                    curves_left -= size
                runs.append([record.seed, record.key[:12], record.metrics[table.primary.name].value, curve])
            rows.append({"subject": places[row.subject], **_standing(table, row), "runs": runs})
        known = [sum(row.by_item) / len(row.by_item) for row in table.rows if row.by_item]
        middle = sum(known) / len(known) if known else 0.0
        scale = max((abs(value - middle) for row in table.rows for value in row.by_item), default=0.0)
        if with_items and scale > 0:
            for shown, row in zip(rows, table.rows, strict=True):
                shown["items"] = [round((value - middle) / scale * STEPS) for value in row.by_item]
        tables.append(
            {
                "title": table_title(table),
                "metric": table.primary.title,
                "digits": table.primary.digits,
                "higher": table.primary.higher_is_better,
                "scale": table.standing.scale,
                "tukey": table.standing.tukey,
                "step": scale / STEPS,
                "items_left_out": bool(wanted) and not with_items,
                "rows": rows,
            }
        )
    return {"subjects": [notes.label(subject) for subject in board.subjects], "tables": tables}


def embedded(data: dict[str, Any]) -> str:
    """JSON for a script element: `<`, `>` and `&` are escaped, so that it cannot end the element."""
    text = json.dumps(data, separators=(",", ":"), sort_keys=True, allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _standing(table: TaskTable, row: Row) -> dict[str, Any]:
    return {
        "mean": row.metrics[table.primary.name].mean,
        "error": table.standing.errors.get(row.identity),
        "seeds": len(row.seeds),
    }


def _curve(record: RunRecord) -> dict[str, list[list[float]]]:
    """Learning curves: name -> [[epoch, value], ...], with about `CURVE_POINTS` points."""
    curves: dict[str, list[list[float]]] = {}
    stride = max(1, len(record.history) // CURVE_POINTS)
    for place, epoch in enumerate(record.history):
        if place % stride and place != len(record.history) - 1:
            continue
        for name, value in epoch_numbers(epoch).items():
            if not name.startswith("seconds") and name not in ("epoch", "step", "tokens") and abs(value) < 1e12:
                curves.setdefault(name, []).append([place + 1, float(f"{value:.4g}")])
    return curves


def epoch_numbers(epoch: Mapping[str, JsonValue]) -> dict[str, float]:
    """The numbers of one epoch of a record's history; those of an evaluation have names such as `dev f1`."""
    named = {
        **epoch,
        **{
            f"{name} {metric}": value
            for name, values in epoch.items()
            if isinstance(values, dict)
            for metric, value in values.items()
        },
    }
    return {
        name: float(value)
        for name, value in named.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }
