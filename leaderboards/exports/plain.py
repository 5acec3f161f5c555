"""A board as plain data, from which the other exports are made, and as JSON."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

from leaderboards.render import notes
from leaderboards.render.cards import command

if TYPE_CHECKING:
    from leaderboards.board import Board, Row, TaskTable
    from leaderboards.stats.families import Comparison

FORMAT = 1


def board_data(board: Board) -> dict[str, Any]:
    """All data of a board; missing numbers are None."""
    return {
        "format": FORMAT,
        "title": board.title,
        "records": board.provenance.records,
        "first": board.provenance.first,
        "last": board.provenance.last,
        "provenance": {fact.title: list(fact.values) for fact in board.provenance.facts},
        "left_out": [fault.message for fault in board.left_out],
        "tables": [_table(table) for table in board.tables],
        "average": _average(board),
    }


def render_json(board: Board) -> str:
    """The data as JSON text; equal records give equal bytes."""
    return json.dumps(board_data(board), ensure_ascii=False, indent=1, allow_nan=False) + "\n"


def flat_rows(board: Board) -> list[dict[str, Any]]:
    """One flat row for each table, entry and metric, and for published results, for CSV and Parquet."""
    lines = []
    for table in board_data(board)["tables"]:
        about = {name: table[name] for name in ("task", "revision", "variant", "title")}
        for row in table["rows"]:
            for metric, found in row["metrics"].items():
                first = metric == table["primary"]
                lines.append(
                    {
                        **about,
                        "kind": row["kind"],
                        "cell": row["cell"],
                        "hash": row["hash"],
                        "metric": metric,
                        "seeds": len(found["values"]),
                        **{name: found[name] for name in ("mean", "std", "low", "high", "new_low", "new_high")},
                        "rank_first": row["rank"][0] if first and row["rank"] else None,
                        "rank_last": row["rank"][1] if first and row["rank"] else None,
                        **{name: row["cost"][name] for name in sorted(row["cost"])},
                        "source": None,
                    }
                )
        for result in table["reported"]:
            empty = dict.fromkeys(lines[0])
            lines.append(
                {
                    **empty,
                    **about,
                    "kind": "reported",
                    "cell": result["name"],
                    "metric": table["primary"],
                    "mean": result["value"],
                    "source": result["source"],
                }
            )
    return lines


def _average(board: Board) -> dict[str, Any] | None:
    found = board.averages
    if found is None:
        return None
    return {
        "tasks": [table.task for table in found.tables],
        "rows": [
            {
                "cell": row.subject.name,
                "hash": row.subject.hash,
                "seeds": list(row.seeds),
                "values": list(row.summary.values),
                "mean": _finite(row.summary.mean),
                "std": _finite(row.summary.std),
                "shares": list(row.shares),
                "rank": [row.rank.first, row.rank.last] if row.rank else None,
            }
            for row in found.rows
        ],
        "lacking": {notes.label(subject): list(tasks) for subject, tasks in found.lacking.items()},
        "passed_over": dict(found.passed_over),
    }


def _table(table: TaskTable) -> dict[str, Any]:
    standing = table.standing
    control = next((row.subject.name for row in table.rows if row.is_control), None)
    return {
        "task": table.task,
        "revision": table.revision,
        "variant": table.variant,
        "title": table.title,
        "primary": table.primary.name,
        "higher_is_better": table.primary.higher_is_better,
        "scale": standing.scale,
        "control": control,
        "smallest_detectable_difference": standing.detectable,
        "pooled_variance": standing.pooled,
        "protocol": table.protocol,
        "settings": dict(table.settings),
        "rows": [_row(table, row) for row in table.rows],
        "tuning": None
        if table.tuning is None
        else {
            "trials": table.tuning.trials,
            "drawn": list(table.tuning.drawn),
            "metric": table.tuning.title,
            "expected_best": {
                notes.label(curve.subject): list(curve.expected) for curve in table.tuning.curves
            },
        },
        "confirmed": [
            {
                "cell": confirmed.subject.name,
                "hash": confirmed.subject.hash,
                "seeds": list(confirmed.seeds),
                "values": list(confirmed.summary.values),
                "mean": _finite(confirmed.summary.mean),
                "std": _finite(confirmed.summary.std),
            }
            for confirmed in table.confirmed
        ],
        "reported": [
            {"name": r.name, "value": r.value, "parameters": r.parameters, "source": r.said_of}
            for r in table.reported
        ],
    }


def _row(table: TaskTable, row: Row) -> dict[str, Any]:
    return {
        "cell": row.subject.name,
        "kind": "baseline" if row.subject.is_baseline else "cell",
        "hash": row.subject.hash,
        "origin": row.subject.origin,
        "held": next((run.held.model_dump() for run in row.runs if run.held is not None), None),
        "label": notes.label(row.subject),
        "seeds": list(row.seeds),
        "records": [record.key for record in row.runs],
        "rank": [row.rank.first, row.rank.last] if row.rank else None,
        "metrics": {
            name: {
                "values": list(summary.values),
                "mean": _finite(summary.mean),
                "std": _finite(summary.std),
                **_ends(summary.interval, "low", "high"),
                **_ends(summary.new_items, "new_low", "new_high"),
            }
            for name, summary in row.metrics.items()
        },
        "against": _comparison(row.against),
        "against_new_test_sets": _comparison(row.against_new),
        "cost": {
            "parameters_cell": row.cost.parameters_cell,
            "parameters_without_embeddings": row.cost.parameters_without_embeddings,
            "parameters_total": row.cost.parameters_total,
            "flops_per_token": row.cost.flops_per_token,
            "train_seconds": row.cost.train_seconds,
            "tokens_per_second": row.cost.tokens_per_second,
            "milliseconds": row.cost.milliseconds,
        },
        "command": command(table, row),
    }


def _comparison(comparison: Comparison | None) -> dict[str, Any] | None:
    if comparison is None:
        return None
    return {
        "difference": comparison.difference,
        "low": _finite(comparison.low),
        "high": _finite(comparison.high),
        "apart": comparison.apart,
    }


def _ends(interval: tuple[float, float] | None, *names: str) -> dict[str, float | None]:
    return {name: _finite(end) for name, end in zip(names, interval or (None, None), strict=True)}


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
