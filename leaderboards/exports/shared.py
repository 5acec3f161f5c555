"""A board in formats of other projects: model cards, Every Eval Ever; and one-line signatures."""

from __future__ import annotations

import calendar
import json
import math
import time
from typing import TYPE_CHECKING, Any

from leaderboards.render.cards import command
from leaderboards.render.notes import label
from tasks.runs.signature import digest, signature

if TYPE_CHECKING:
    from collections.abc import Iterator

    from leaderboards.board import Board, MetricColumn, Row, TaskTable
    from leaderboards.stats.seeds import Summary

EVERY_EVAL_EVER = "0.3.0"
"""Version of the schema eval.schema.json of github.com/evaleval/every_eval_ever."""
_RANGES = {"f1": 100.0, "precision": 100.0, "recall": 100.0}


def render_signatures(board: Board) -> str:
    """One line for each row: the primary metric with its standard deviation, then the signature."""
    lines = []
    for table in board.tables:
        for row in table.rows:
            summary = row.metrics[table.primary.name]
            spread = "" if summary.std is None else f" ± {summary.std:.{table.primary.digits}f}"
            value = f"{table.primary.name} = {summary.mean:.{table.primary.digits}f}{spread}"
            lines.append(f"{value} (n = {summary.n}) {signature(row.runs)}")
    return "\n".join(lines) + "\n"


def render_model_index(board: Board) -> str:
    """The `model-index` of model cards, one document for each entry, as YAML (JSON is valid YAML)."""
    documents = []
    for subject in board.subjects:
        results = [
            {
                "task": {"type": "other", "name": table.title},
                "dataset": {"type": table.task, "name": table.title, "split": "test"},
                "metrics": [
                    {"type": column.name, "name": column.title, "value": row.metrics[column.name].mean}
                    for column in table.columns
                    if column.name in row.metrics
                ],
            }
            for table in board.tables
            if (row := table.row(subject)) is not None
        ]
        index = {"model-index": [{"name": label(subject), "results": results}]}
        documents.append("---\n" + json.dumps(index, ensure_ascii=False, indent=1, allow_nan=False))
    return "\n".join(documents) + "\n"


def render_eval_results(board: Board) -> dict[str, bytes]:
    """A YAML file (JSON is valid YAML) for each cell, for the folder `.eval_results` of its model on the hub.

    One entry for each metric, as specified at https://huggingface.co/docs/hub/eval-results. Results on data
    sets that the hub does not have are left out, as entries refer to a data set of the hub.
    """
    files: dict[str, bytes] = {}
    for subject in board.subjects:
        if subject.is_baseline:
            continue
        entries = [
            entry
            for table in board.tables
            if (row := table.row(subject)) is not None
            for entry in _eval_entries(table, row)
        ]
        if not entries:
            continue
        name = f"{subject.name.split(' = ')[0]}{'-' if subject.tag else ''}{subject.tag}.yaml"
        if name in files:  # two cells that share one of their names
            name = f"{name.removesuffix('.yaml')}-{subject.hash}.yaml"
        files[name] = (json.dumps(entries, ensure_ascii=False, indent=1, allow_nan=False) + "\n").encode()
    return files


def _eval_entries(table: TaskTable, row: Row) -> Iterator[dict[str, Any]]:
    dataset = _hub_dataset(row)
    for column in table.columns:
        summary = row.metrics.get(column.name)
        if summary is not None and dataset is not None:
            spread = "" if summary.std is None else f" ± {summary.std:.{column.digits}f}"
            yield {
                "dataset": {**dataset, "task_id": f"{table.task}-{column.name}"},
                "value": summary.mean,
                "date": max(record.created for record in row.runs)[:10],
                "notes": f"mean of {summary.n} seeds{spread}; {signature(row.runs)}",
            }


def _hub_dataset(row: Row) -> dict[str, str] | None:
    """The hub's repository of a data set that the row was run on; None if the hub has none of them."""
    from tasks.data.catalog import find_set, set_names

    known = set(set_names())
    hubs = [find_set(name).hub for name in row.runs[0].data if name in known]
    return next(({"id": hub.repository, "revision": hub.revision} for hub in hubs if hub is not None), None)


def render_every_eval_ever(board: Board) -> str:
    """JSON lines: one document of the schema of Every Eval Ever for each entry of each task."""
    lines = [json.dumps(d, ensure_ascii=False, allow_nan=False) for d in every_eval_ever(board)]
    return "\n".join(lines) + "\n"


def every_eval_ever(board: Board) -> Iterator[dict[str, Any]]:
    """The documents of `render_every_eval_ever` as plain data."""
    for table in board.tables:
        for row in table.rows:
            yield _document(table, row)


def _document(table: TaskTable, row: Row) -> dict[str, Any]:
    # The time of the last run, so that the same records give the same bytes.
    made = _seconds(max(record.created for record in row.runs))
    name = label(row.subject)
    line = signature(row.runs)
    return {
        "schema_version": EVERY_EVAL_EVER,
        "evaluation_id": f"{table.task}/cellzoo/{row.runs[0].cell.name}/{made}/{digest(line)}",
        "retrieved_timestamp": made,
        "source_metadata": {
            "source_name": "cellzoo",
            "source_type": "evaluation_run",
            "source_organization_name": "unknown",
            "evaluator_relationship": "other",
        },
        "eval_library": {"name": "cellzoo", "version": row.runs[0].code.version},
        "model_info": {
            "name": name,
            "id": f"cellzoo/{row.runs[0].cell.name}",
            "additional_details": {
                "deployment_type": "self_deployed",
                "model_availability": "unknown",
                "hash": row.subject.hash or "",
                "origin": row.subject.origin,
                "parameters": str(round(row.cost.parameters_total or 0)),
                "signature": line,
                "command": command(table, row),
            },
        },
        "evaluation_results": [
            _result(table, column, row.metrics[column.name])
            for column in table.columns
            if column.name in row.metrics
        ],
    }


def _result(table: TaskTable, column: MetricColumn, summary: Summary) -> dict[str, Any]:
    metric: dict[str, Any] = {
        "evaluation_description": column.title,
        "lower_is_better": not column.higher_is_better,
    }
    if column.name in _RANGES:
        metric |= {"score_type": "continuous", "min_score": 0.0, "max_score": _RANGES[column.name]}
    score: dict[str, Any] = {"score": summary.mean}
    if summary.interval and all(map(math.isfinite, summary.interval)):
        low, high = summary.interval
        score["uncertainty"] = {
            "confidence_interval": {
                "lower": low,
                "upper": high,
                "confidence_level": 0.95,
                "method": "Student's t over trainings on this test set",
            },
            "num_samples": summary.n,
        }
    return {
        "evaluation_name": f"{table.task}: {column.name}",
        "source_data": {"dataset_name": table.title or table.task, "source_type": "other"},
        "metric_config": metric,
        "score_details": score,
    }


def _seconds(created: str) -> str:
    """An ISO time as seconds since 1970; 0 if it is not one."""
    try:
        return str(calendar.timegm(time.strptime(created[:19], "%Y-%m-%dT%H:%M:%S")))
    except ValueError:
        return "0"
