"""The sentences of a board, the same for every renderer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from leaderboards.render.numbers import shortened

if TYPE_CHECKING:
    from collections.abc import Mapping

    from leaderboards.board import Board, TaskTable


def summary(board: Board) -> str:
    """One line: how much is on the board, and from when."""
    provenance = board.provenance
    cells = sum(not subject.is_baseline for subject in board.subjects)
    baselines = len(board.subjects) - cells
    tasks = len({table.task for table in board.tables})
    parts = [_number(provenance.records, "result"), _number(cells, "cell")]
    if baselines:
        parts.append(_number(baselines, "baseline"))
    parts.append(_number(tasks, "task"))
    same_day = provenance.first == provenance.last
    when = f"on {provenance.first}" if same_day else f"from {provenance.first} to {provenance.last}"
    return f"{', '.join(parts)}, made {when}."


def left_out_title(board: Board) -> str:
    """Heading of the list of files that were left out."""
    return f"Left out: {_number(len(board.left_out), 'file')}"


def task(table: TaskTable) -> str:
    """Which task it is, and in which settings it differs from the other tables of the task."""
    name = f"Task {table.task}, revision {table.revision}"
    return f"{name}, with {settings_text(table.unlike)}." if table.unlike else f"{name}."


def absent(table: TaskTable) -> str:
    """Which subjects of the board have no result in this table."""
    names = [f"{subject.name} {subject.tag}".strip() for subject in table.absent if not subject.is_baseline]
    names += [f"{subject.name} (baseline)" for subject in table.absent if subject.is_baseline]
    return f"No result here: {', '.join(names)}."


def settings_text(settings: Mapping[str, str]) -> str:
    """`epochs = 4, optimizer = "sgd"`."""
    return ", ".join(f"{name} = {shortened(value, 40)}" for name, value in settings.items())


def reading(board: Board) -> list[str]:
    """How to read the numbers."""
    notes = [
        "A number is the mean over seeds ± the sample standard deviation (divisor n − 1). "
        "One seed has no deviation and none is shown.",
        "The 95 % interval is that of the mean, by Student's t with n − 1 degrees of freedom. "
        "With two seeds it is about 9 standard deviations to either side: two seeds settle little, and "
        "the interval may reach beyond what the metric can be.",
        "A rank is a range. Two entries are told apart by Welch's t test at 5 %, two-sided, without "
        "correction for the number of pairs; what is not told apart shares ranks. One seed is told apart "
        "from nothing.",
        "Bold: has several seeds and may be the best of the task. Nothing is bold where no entry is told "
        "apart from another.",
        "— is a missing result. It is no 0, sorts last, and counts neither for nor against an entry.",
        "↑: higher is better. ↓: lower is better. The overview is in the order of its first task, "
        "cells before baselines.",
        "Training time is wall time as measured on the machines named under Provenance, and says little "
        "about other machines. FLOPs are those of the cell for one token, forward.",
    ]
    lettered = [table for table in board.tables if table.variant]
    if lettered:
        which = "; ".join(
            f"{table.title} ({table.variant}): {settings_text(table.unlike)}" for table in lettered
        )
        notes.insert(0, f"Results under different settings are never averaged together. {which}.")
    return notes


def _number(count: int, noun: str) -> str:
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"
