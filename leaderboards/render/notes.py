"""The sentences of a board, the same for every renderer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cellzoo.system.text import shortened
from leaderboards.board import PROTOCOLS
from leaderboards.render import numbers
from leaderboards.stats.seeds import FEWEST_SEEDS
from tasks.equal_terms import UNITS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from leaderboards.board import Board, BoardSubject, TaskTable

FAILURES_SHOWN = 10
SEARCHES, RANDOM_SEARCH = "search-", "search-random-"
"""Prefixes: of tasks that measure searches, and of their rows that are random searches."""
SEARCH_FLOPS = "gigaflops_search"
"""Metric of these tasks: the computation of a search."""


def summary(board: Board) -> str:
    """One line: how many results, cells and tasks are on the board, and their dates."""
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
    """The task of a table, and the settings in which it differs from the other tables of the task."""
    name = f"Task {table.task}, revision {table.revision}"
    return f"{name}, with {settings_text(table.unlike)}." if table.unlike else f"{name}."


def detectable(table: TaskTable) -> str:
    """The smallest detectable difference of a table; empty if nothing is compared."""
    standing = table.standing
    if standing.detectable is None:
        return ""
    size = numbers.size(standing.detectable, standing.scale, table.primary.digits)
    what = "from " + _control(table) if standing.control else "between two entries"
    return f"Smallest detectable difference {what}: {size} (it is found in 4 of 5 such boards)."


def remarks(table: TaskTable) -> list[str]:
    """Remarks that are shown below a table."""
    standing, found = table.standing, []
    if table.superseded_by is not None:
        found.append(
            f"Superseded: the current revision of the task is {table.superseded_by}. These results are "
            "kept, but struck out."
        )
    unranked = len(table.rows) - standing.ranked
    if unranked:
        entries = "1 entry has" if unranked == 1 else f"{unranked:,} entries have"
        found.append(f"{entries} fewer than {FEWEST_SEEDS} seeds and so no rank.")
    if standing.ranked and not standing.pooled:
        found.append(
            "The variances over seeds differ between entries, so they are not pooled: each comparison uses "
            "those of its two entries."
        )
    if standing.best is not None and standing.expected is not None:
        row = next(row for row in table.rows if row.identity == standing.best)
        digits = table.primary.digits
        mean = numbers.metric(row.metrics[table.primary.name].mean, digits)
        found.append(
            f"The best of {standing.ranked} means is on average too good (the winner's curse): "
            f"{label(row.subject)} has {mean} here; with new seeds expect about "
            f"{numbers.metric(standing.expected, digits)}."
        )
    if table.task.startswith(SEARCHES) and not any(
        row.subject.name.startswith(RANDOM_SEARCH) for row in table.rows
    ):
        found.append(
            "No random search is in this table: run `cellzoo search random` on the same task to see what a "
            "method gains over it."
        )
    if table.held is not None:
        off = max(abs(run.held.deviation) for row in table.rows for run in row.runs if run.held is not None)
        found.append(
            f"{PROTOCOLS[table.held.quantity].capitalize()}: the width of each cell is chosen to come closest "
            f"to {table.held.target:,.6g} {UNITS[table.held.quantity]} (off by at most {100 * off:.1f} %); "
            "baselines keep the task's width."
        )
    if table.tuning is not None:
        drawn = ", ".join(table.tuning.drawn)
        found.append(
            f"Each cell is tuned: it uses the best on dev of the same {table.tuning.trials} random "
            f"configurations ({drawn}); baselines are not tuned."
        )
    found += [
        f"Failed, so not in the means: {one.cell.name}, seed {one.seed}: {one.message}"
        for one in table.failed[:FAILURES_SHOWN]
    ]
    if (more := len(table.failed) - FAILURES_SHOWN) > 0:
        found.append(f"Failed, so not in the means: {_number(more, 'further run')}.")
    for confirmed in table.confirmed:
        value = numbers.mean_and_std(confirmed.summary, table.primary.digits)
        found.append(
            f"Confirmation of the best cell on new seeds ({', '.join(map(str, confirmed.seeds))}): "
            f"{label(confirmed.subject)} has {value}."
        )
    same = [label(row.subject) for row in table.rows if row.identity in standing.without_spread]
    if same:
        found.append(
            f"All seeds gave the same value: {', '.join(same)}. The seed has no effect, or the runs are copies."
        )
    if table.reported:
        found.append(
            "Rows marked as reported are numbers from papers, obtained with other settings: they are shown for "
            "orientation, and are not part of any comparison."
        )
    return found


def _control(table: TaskTable) -> str:
    return next(row.subject.name for row in table.rows if row.is_control)


def label(subject: BoardSubject) -> str:
    """The name of a subject, with its tag if another subject has the same name."""
    return f"{subject.name} {subject.tag}".strip()


def absent(table: TaskTable) -> str:
    """The cells of the board that have no result in this table."""
    return f"No result here: {', '.join(map(label, table.absent))}."


def settings_text(settings: Mapping[str, str]) -> str:
    """`epochs = 4, optimizer = "sgd"`."""
    return ", ".join(f"{name} = {shortened(value, 40)}" for name, value in settings.items())


def reading(board: Board) -> list[str]:
    """How to read the numbers."""
    notes = [
        "Values are the mean over seeds ± the sample standard deviation (divisor n - 1). Perplexities are "
        "compared in logarithms, so their mean is the geometric mean. With one seed there is no deviation.",
        "The interval for this test set says what other trainings of the cell would give on the same items "
        "(95 %, Student's t over seeds). The interval for new test sets says what they would give on other "
        "items of the same kind (95 %, random effects of seeds and items, with Satterthwaite's degrees of "
        "freedom; the metric is recomputed from its items).",
        "Against lstm: the difference from lstm with its interval; all intervals of a table hold together at "
        "95 % (Dunnett). Bold differences are significant: the interval does not contain 0. Seeds of different "
        "cells are independent samples; items are paired.",
        "Ranks are ranges, such as 2–4: they contain all ranks that are compatible with the intervals of all "
        "pairs, which hold together at 95 % (Tukey). Entries with the same range are tied, and sorted by name. "
        f"Only entries with at least {FEWEST_SEEDS} seeds have a rank.",
        "Bold means may be the best of the task. Nothing is bold if no two entries differ significantly.",
        "Cells with the same graph are one row, with all their names.",
        "— means that there is no result. It is not a 0: it sorts last and is in no average.",
        "↑: higher is better. ↓: lower is better.",
        "Training time is the wall-clock time on the machines listed under Provenance; other machines differ. "
        "FLOPs are those of the cell in the forward pass of one token.",
        *(
            [
                "GFLOPs of a search are those of the recurrent layers in forward and backward passes: of the "
                "supernet, or of all trainings of a sampler's candidates."
            ]
            if any(column.name == SEARCH_FLOPS for table in board.tables for column in table.columns)
            else []
        ),
        *(
            ["There is no average over tasks: it needs two tasks with a scale and a cell with results on both."]
            if board.averages is None
            else []
        ),
    ]
    lettered = [table for table in board.tables if table.variant]
    if lettered:
        which = "; ".join(
            f"{table.title} ({table.variant}): {settings_text(table.unlike)}" for table in lettered
        )
        notes.insert(
            0, f"Results with different settings are in separate tables and never averaged together. {which}."
        )
    return notes


def _number(count: int, noun: str) -> str:
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"
