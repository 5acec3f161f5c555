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
"""How the names of tasks begin that measure searches, and of their rows that are random ones."""
SEARCH_FLOPS = "gigaflops_search"
"""Their metric of what a search has computed."""


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


def detectable(table: TaskTable) -> str:
    """The smallest difference that this table could show; empty where nothing is compared."""
    standing = table.standing
    if standing.detectable is None:
        return ""
    size = numbers.size(standing.detectable, standing.scale, table.primary.digits)
    what = "from " + _control(table) if standing.control else "between two entries"
    return f"Smallest detectable difference {what}: {size} (found in 4 of 5 such boards)."


def remarks(table: TaskTable) -> list[str]:
    """What to know before reading the table."""
    standing, found = table.standing, []
    if table.superseded_by is not None:
        found.append(f"Superseded: the task is at revision {table.superseded_by}. Kept, struck out.")
    unranked = len(table.rows) - standing.ranked
    if unranked:
        found.append(
            f"{_number(unranked, 'entry')} with fewer than {FEWEST_SEEDS} seeds: shown, not ranked, by name."
            if unranked == 1
            else f"{unranked} entries with fewer than {FEWEST_SEEDS} seeds: shown, not ranked, by name."
        )
    if standing.ranked and not standing.pooled:
        found.append("Spreads over seeds differ between entries, so each comparison uses those of its own two.")
    if standing.best is not None and standing.expected is not None:
        row = next(row for row in table.rows if row.identity == standing.best)
        digits = table.primary.digits
        mean = numbers.metric(row.metrics[table.primary.name].mean, digits)
        found.append(
            f"The best of {standing.ranked} means is too good on average (the winner's curse): "
            f"{label(row.subject)} "
            f"has {mean} here; on fresh seeds expect about {numbers.metric(standing.expected, digits)}."
        )
    if table.task.startswith(SEARCHES) and not any(
        row.subject.name.startswith(RANDOM_SEARCH) for row in table.rows
    ):
        found.append(
            "No random search stands here: `cellzoo search random` on the same task says what a method adds to "
            "it."
        )
    if table.held is not None:
        off = max(abs(run.held.deviation) for row in table.rows for run in row.runs if run.held is not None)
        found.append(
            f"{PROTOCOLS[table.held.quantity].capitalize()}: each cell is as wide as comes nearest to "
            f"{table.held.target:,.6g} {UNITS[table.held.quantity]} (off by at most {100 * off:.1f} %); "
            "baselines keep the task's width."
        )
    if table.tuning is not None:
        drawn = ", ".join(table.tuning.drawn)
        found.append(
            f"Each cell has the best on dev of the same {table.tuning.trials} random configurations ({drawn}); "
            "baselines are not tuned."
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
            f"Confirmed on seeds that had no part in the choice ({', '.join(map(str, confirmed.seeds))}): "
            f"{label(confirmed.subject)} has {value}."
        )
    same = [label(row.subject) for row in table.rows if row.identity in standing.without_spread]
    if same:
        found.append(
            f"All seeds gave the same number: {', '.join(same)}. The seed had no effect, or these are copies."
        )
    if table.reported:
        found.append(
            "Rows marked reported are numbers from papers, under settings of their own: shown beside, never "
            "compared."
        )
    return found


def _control(table: TaskTable) -> str:
    return next(row.subject.name for row in table.rows if row.is_control)


def label(subject: BoardSubject) -> str:
    """A subject's name with what tells it apart."""
    return f"{subject.name} {subject.tag}".strip()


def absent(table: TaskTable) -> str:
    """Which subjects of the board have no result in this table."""
    return f"No result here: {', '.join(map(label, table.absent))}."


def settings_text(settings: Mapping[str, str]) -> str:
    """`epochs = 4, optimizer = "sgd"`."""
    return ", ".join(f"{name} = {shortened(value, 40)}" for name, value in settings.items())


def reading(board: Board) -> list[str]:
    """How to read the numbers."""
    notes = [
        "A number is the mean over seeds ± the sample standard deviation (divisor n - 1); of a perplexity the "
        "geometric mean, as perplexities are compared in logarithms. One seed has no deviation and none is "
        "shown.",
        "This test set: what other trainings of the cell would give on the same items; the 95 % interval is "
        "Student's t over seeds. New test sets: what they would give on other items of the same kind; seeds "
        "and "
        "items are crossed, degrees of freedom by Satterthwaite, the metric recomputed from its items.",
        "Against lstm: the difference with its interval, simultaneous at 95 % over all entries of the table "
        "(Dunnett). Bold differences leave out 0. Seeds of different cells are not pairs; items are.",
        "A rank is a range that all pairwise intervals, simultaneous at 95 % (Tukey), leave open. Entries "
        "with the "
        "same range are tied and stand in the order of their names. A rank needs "
        f"{FEWEST_SEEDS} seeds.",
        "Bold means may be the best of the task. Nothing is bold where no entry is told apart from another.",
        "Entries that are the same graph are one row, under all their names.",
        "— is a missing result. It is not a 0, sorts last, and counts neither for nor against an entry.",
        "↑: higher is better. ↓: lower is better.",
        "Training time is wall time as measured on the machines named under Provenance, and says little "
        "about other machines. FLOPs are those of the cell for one token, forward.",
        *(
            [
                "GFLOPs of a search are those of its recurrent layers, forwards and backwards: all that a "
                "supernet has run, or the trainings of a sampler's candidates."
            ]
            if any(column.name == SEARCH_FLOPS for table in board.tables for column in table.columns)
            else []
        ),
        *(
            ["There is no average over tasks: it needs two tasks with a scale, and a cell that ran on both."]
            if board.averages is None
            else []
        ),
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
