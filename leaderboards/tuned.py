"""Trials of `--tune` on a board: the expected best dev score of each cell for every number of configurations.

Trials do not take part in the ranking. They belong to the table whose rows were tuned in the same space.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from leaderboards.board import Tuning, TuningCurve
from leaderboards.settings import shared_settings
from leaderboards.stats.expected_best import expected_best

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from leaderboards.board import BoardSubject
    from tasks.runs.record import RunRecord


def is_trial(record: RunRecord) -> bool:
    """Whether a record is a trial of `--tune`."""
    return record.purpose == "tuning"


def tuning_of(
    rows: Sequence[RunRecord], trials: Iterable[RunRecord], subjects: Mapping[str, BoardSubject]
) -> Tuning | None:
    """How the cells of a table were tuned.

    Args:
        rows: The records of the table.
        trials: All trials of the board.
        subjects: Hash -> subject.

    Returns:
        None if the cells were not tuned, or if there is no record of a trial.
    """
    reference = next((record.tuning for record in rows if record.tuning is not None), None)
    if reference is None or reference.trials is None:
        return None
    wanted = {_space(record) for record in rows if record.tuning is not None}
    mine: dict[str, dict[int, float]] = {}
    metric = None
    for record in trials:
        trial = record.tuning
        if trial is None or record.cell.hash not in subjects or _space(record) not in wanted:
            continue
        if trial.trial < reference.trials:
            mine.setdefault(str(record.cell.hash), {})[trial.trial] = record.value(trial.chosen_by)
            metric = record.metrics.get(trial.chosen_by, metric)
    known = [value for values in mine.values() for value in values.values() if not math.isnan(value)]
    if metric is None or not known:
        return None
    worst = min(known) if metric.higher_is_better else max(known)
    curves = []
    for digest, values in mine.items():
        found = [value for value in values.values() if not math.isnan(value)]
        without = reference.trials - len(found)
        expected = expected_best([*found, *[worst] * without], higher_is_better=metric.higher_is_better)
        curves.append(TuningCurve(subjects[digest], tuple(expected), without))
    curves.sort(key=lambda curve: (curve.subject.name, curve.subject.tag))
    return Tuning(
        reference.trials,
        tuple(sorted(reference.space)),
        metric.title,
        metric.digits,
        metric.higher_is_better,
        tuple(curves),
    )


def _space(record: RunRecord) -> str:
    return shared_settings(record, any_budget=True)
