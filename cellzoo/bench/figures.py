"""Reads files of `cellzoo bench --out`, and writes tables in Markdown of cells compared with nn.LSTM."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from statistics import median
from textwrap import fill
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from cellzoo.bench.case import BF16, LSTM, LSTM_AUTOCAST, LSTM_BF16, TORCHRECURRENT
from cellzoo.errors import DataError
from cellzoo.runtime import RUNTIMES
from cellzoo.system.regular_file import read_regular

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

_MOST_BYTES = 100_000_000
_WIDTH = 118
_LAYERS = {"training": "training step", "inference": "inference"}
TAGGER_STEP = "tagger step"
_NOTE = (
    "Medians over the rounds of the time over that of nn.LSTM in the same round, with their quartiles; lengths "
    "up to T are spread evenly from a quarter of it, and cells run over them in both directions. Per FLOP: of "
    "the time for each floating-point operation."
)
_TAGGER_NOTE = "A tagger step is one of training a whole tagger, over that of Flair's own with nn.LSTM."
_SPEEDUP_NOTE = "\N{MULTIPLICATION SIGN}: how many times as fast as with {} thread."


class _Part(BaseModel):
    """Part of a file; fields that are not needed are ignored."""

    model_config = ConfigDict(extra="ignore", allow_inf_nan=False)


class Spread(_Part):
    """A median and its quartiles."""

    median: float
    low: float
    high: float


class _Candidate(_Part):
    name: str
    median: Spread
    ratios: dict[str, Spread]
    per_flop: Spread | None
    speedup: Spread | None


class _Shape(_Part):
    batch: int
    steps: int
    input_size: int
    hidden_size: int
    packed: bool

    def __str__(self) -> str:
        length = f"T up to {self.steps}" if self.packed else f"T {self.steps}"
        narrow = f", E {self.input_size}" if self.input_size != self.hidden_size else ""
        return f"B {self.batch}, {length}{narrow}, H {self.hidden_size}"


class _Case(_Part):
    cell: str | None = None
    shape: _Shape
    kind: str = Field("", alias="pass")
    dtype: str
    threads: int
    candidates: list[_Candidate]
    load_average: float | None = None


class _File(_Part):
    machine: dict[str, Any]
    versions: dict[str, Any]
    settings: dict[str, Any]
    began: str
    cases: list[_Case]


@dataclass(frozen=True)
class Column:
    """A column of the table: what was timed, and whether the time is divided by the number of FLOPs."""

    what: str
    shape: str
    per_flop: bool = False

    def __str__(self) -> str:
        return f"{self.what}, {self.shape}{', per FLOP' if self.per_flop else ''}"


@dataclass(frozen=True)
class Measured:
    """One entry of the table.

    Attributes:
        cell: Name of the cell.
        name: Name of the row: the cell, for its fastest engine, or the cell with a suffix.
        column: The column.
        threads: Number of threads.
        seconds: Median time.
        ratio: Ratio to the time of nn.LSTM in the same round.
        speedup: Speed-up over a lower number of threads; None if there is none.
    """

    cell: str
    name: str
    column: Column
    threads: int
    seconds: float
    ratio: Spread
    speedup: Spread | None

    @property
    def words(self) -> str:
        """The ratio as text; for nn.LSTM itself the time."""
        if self.name != LSTM:
            return short(self.ratio.median)
        milliseconds = self.seconds * 1e3
        return f"{milliseconds:,.{1 if milliseconds < 100 else 0}f} ms"

    @property
    def is_of_others(self) -> bool:
        """Whether it is a layer of another library."""
        return self.cell == LSTM or self.name.endswith(TORCHRECURRENT)


@dataclass(frozen=True)
class Figures:
    """The entries of one or several files.

    Attributes:
        measured: The entries, cell by cell, nn.LSTM first.
        conditions: The machine, and how the times were measured, as text.
    """

    measured: tuple[Measured, ...]
    conditions: tuple[str, str]

    @property
    def columns(self) -> list[Column]:
        """The columns, in the order in which they occur."""
        return list(dict.fromkeys(row.column for row in self.measured))

    @property
    def threads(self) -> list[int]:
        """The numbers of threads."""
        return sorted({row.threads for row in self.measured})

    def rows(self, threads: int) -> list[list[Measured | None]]:
        """A row for nn.LSTM and for each cell and variant, with an entry or None for each column."""
        columns = self.columns
        found: dict[str, list[Measured | None]] = {}
        for one in self.measured:
            if one.threads == threads:
                row = found.setdefault(one.name, [None] * len(columns))
                place = columns.index(one.column)
                row[place] = row[place] or one
        return list(found.values())


def read_figures(
    paths: Sequence[Path], threads: Sequence[int] | None = None, cells: Sequence[str] | None = None
) -> Figures:
    """Read files that `cellzoo bench --out` wrote.

    Args:
        paths: The files. An entry that is in several files is taken from the first one.
        threads: Numbers of threads to include; None for all.
        cells: Names of cells, or patterns of names, that are wanted, or all. The times of nn.LSTM are medians
            over all cells that it was timed beside.

    Raises:
        DataError: One is not such a file, or no such cell was timed beside nn.LSTM with these threads.
    """
    files = [_read(path) for path in paths]
    cases = [case for file in files for case in file.cases if threads is None or case.threads in threads]
    found = [row for case in cases for row in _measured(case)]
    shown = [
        row for row in found if cells is None or any(fnmatchcase(row.cell, cell) for cell in (LSTM, *cells))
    ]
    if not any(row.cell != LSTM for row in shown):
        which = "no cell" if cells is None else f"no cell of {', '.join(cells)}"
        wanted = "" if threads is None else f" with {' or '.join(map(str, threads))} threads"
        raise DataError(f"{', '.join(map(str, paths))}: {which} was timed beside nn.LSTM{wanted}")
    order = list(dict.fromkeys([LSTM, *(row.cell for row in shown)]))
    shown.sort(key=lambda row: order.index(row.cell))
    return Figures((*_of_lstm(found), *shown), _conditions(files, cases))


def _read(path: Path) -> _File:
    try:
        return _File.model_validate_json(read_regular(path, _MOST_BYTES))
    except OSError as error:
        raise DataError(f"{path}: cannot be read as a file of cellzoo bench --out: {error.strerror}") from error
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "the file"
        raise DataError(f"{path}: is not a file of cellzoo bench --out: {place}: {first['msg']}") from error


def _conditions(files: Sequence[_File], cases: Sequence[_Case]) -> tuple[str, str]:
    def each(values: Iterable[object]) -> str:
        return " and ".join(dict.fromkeys(map(str, values)))

    machine = ", ".join(
        (
            each(file.machine.get("processor") for file in files),
            each(file.machine.get("torch_capability") for file in files),
            f"torch {each(file.versions.get('torch') for file in files)}",
        )
    )
    loads = [case.load_average for case in cases if case.load_average is not None]
    load = f"; load average {min(loads):.1f} to {max(loads):.1f}" if loads else ""
    clock = each(file.settings.get("clock") for file in files)
    return machine, f"{clock}, {each(file.began[:10] for file in files)}{load}"


def _measured(case: _Case) -> Iterator[Measured]:
    fastest: dict[str, _Candidate] = {}
    for row in case.candidates:
        if (name := _name(case.cell, row.name)) is not None and LSTM in row.ratios:
            known = fastest.setdefault(name, row)
            fastest[name] = min(known, row, key=lambda row: row.median.median)
    for name, row in fastest.items():
        what = _LAYERS.get(case.kind, case.kind) + f", {case.dtype}" * (case.dtype != "float32")
        found = Measured(
            LSTM if name.startswith(LSTM) else str(case.cell),
            name,
            Column(what, str(case.shape)),
            case.threads,
            row.median.median,
            row.ratios[LSTM],
            row.speedup,
        )
        yield found
        if name != LSTM and case.kind in _LAYERS and not case.shape.packed and row.per_flop is not None:
            yield replace(found, column=replace(found.column, per_flop=True), ratio=row.per_flop, speedup=None)


def _of_lstm(found: Sequence[Measured]) -> Iterator[Measured]:
    """Entries of nn.LSTM, which was timed with every cell: medians over all cells."""
    rows: dict[tuple[Column, int], list[Measured]] = {}
    for row in found:
        if row.name == LSTM:
            rows.setdefault((row.column, row.threads), []).append(row)
    for same in rows.values():
        speedups = [row.speedup.median for row in same if row.speedup is not None]
        middle = median(speedups) if speedups else None
        yield replace(
            same[0],
            seconds=median(row.seconds for row in same),
            speedup=None if middle is None else Spread(median=middle, low=min(speedups), high=max(speedups)),
        )


def _name(cell: str | None, candidate: str) -> str | None:
    """The name of the row of a candidate; None if it is not shown."""
    if cell is None:
        return None
    if candidate in RUNTIMES:
        return cell
    if candidate.removesuffix(BF16) in RUNTIMES:
        return f"{cell}, bf16"
    others = {LSTM: LSTM, LSTM_BF16: f"{LSTM}, bf16", LSTM_AUTOCAST: f"{LSTM}, bf16"}
    return others.get(candidate, f"{cell} of {candidate}" if candidate == TORCHRECURRENT else None)


def tables(figures: Figures) -> str:
    """A Markdown table for each number of threads, and an explanation."""
    parts = [_table(figures, threads) for threads in figures.threads]
    notes = [_NOTE]
    if any(column.what == TAGGER_STEP for column in figures.columns):
        notes.append(_TAGGER_NOTE)
    if any(row.speedup is not None for row in figures.measured):
        notes.append(_SPEEDUP_NOTE.format(figures.threads[0]))
    words = f"{' '.join(notes)} {', '.join(figures.conditions)}."
    return "\n\n".join([*parts, fill(words, _WIDTH) + "\n"])


def _table(figures: Figures, threads: int) -> str:
    head = [f"{threads} thread{'s' * (threads > 1)}", *map(str, figures.columns)]
    lines = [_line(head), f"|---|{'---:|' * len(figures.columns)}"]
    for row in figures.rows(threads):
        name = next(figure.name for figure in row if figure is not None)
        lines.append(_line([name, *map(_entry, row)]))
    return "\n".join(lines)


def _line(entries: Sequence[str]) -> str:
    return f"| {' | '.join(entries)} |"


def _entry(figure: Measured | None) -> str:
    if figure is None:
        return ""
    spread = f" ({short(figure.ratio.low)} to {short(figure.ratio.high)})" if figure.name != LSTM else ""
    faster = "" if figure.speedup is None else f", \N{MULTIPLICATION SIGN} {figure.speedup.median:.2f}"
    return f"{figure.words}{spread}{faster}"


def short(ratio: float) -> str:
    """A ratio with about two significant digits."""
    return f"{ratio:.{3 if ratio < 0.1 else 2 if ratio < 10 else 0}f}"
