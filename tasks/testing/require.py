"""Checks that the conformance tests of problems and tasks share."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tasks.metric import Metric

CELL = "gru"
"""The cell that is used in all checks."""
_METRIC_NAME = r"[a-z][a-z0-9_]*"


def require(holds: bool, message: str) -> None:
    """Raise `AssertionError` with the message unless the condition holds; also under `python -O`."""
    if not holds:
        raise AssertionError(message)


def check_metrics(metrics: Sequence[Metric]) -> None:
    """Require metrics with distinct valid names that can be displayed."""
    names = [metric.name for metric in metrics]
    require(bool(names), "no metric is declared")
    require(len(set(names)) == len(names), "two metrics have one name")
    for metric in metrics:
        require(bool(re.fullmatch(_METRIC_NAME, metric.name)), f"{metric.name!r} is not a name of a metric")
        require(bool(metric.title.strip()) and 0 <= metric.digits <= 12, f"{metric} cannot be shown")
