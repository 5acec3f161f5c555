"""A chart and a short table of what `cellzoo bench --out` wrote."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from cellzoo.bench.case import LSTM
from cellzoo.errors import DataError
from cellzoo.pages.axis import logarithmic_axis
from cellzoo.pages.chart import Chart, standalone
from cellzoo.runtime import RUNTIMES

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from cellzoo.pages.axis import Axis

_WIDTH, _LEFT, _RIGHT = 720.0, 150.0, 690.0
_TOP, _ROW, _BOTTOM = 44.0, 24.0, 52.0
_CAP = 4.0
_MOST_BYTES = 100_000_000


class _Part(BaseModel):
    """Part of the file, which has more than what is shown."""

    model_config = ConfigDict(extra="ignore", allow_inf_nan=False)


class _Spread(_Part):
    median: float
    low: float
    high: float


class _Candidate(_Part):
    name: str
    flops: int
    median: _Spread
    ratios: dict[str, _Spread]
    per_flop: _Spread | None


class _Shape(_Part):
    name: str
    batch: int
    steps: int
    input_size: int
    hidden_size: int
    packed: bool


class _Case(_Part):
    cell: str | None = None
    shape: _Shape
    kind: str = Field("", alias="pass")
    dtype: str
    candidates: list[_Candidate]
    load_average: float | None = None


class _File(_Part):
    machine: dict[str, Any]
    versions: dict[str, Any]
    settings: dict[str, Any]
    began: str
    cases: list[_Case]


@dataclass(frozen=True)
class Measured:
    """A cell at a shape.

    Attributes:
        cell: Its name.
        shape: The shape, in words.
        what: The pass and the dtype.
        engine: The fastest one.
        seconds: Of it, the median.
        lstm_seconds: Of nn.LSTM.
        ratio: Of the times, round by round: median, lower and upper quartile.
        per_flop: The same for each floating-point operation.
    """

    cell: str
    shape: str
    what: str
    engine: str
    seconds: float
    lstm_seconds: float
    ratio: tuple[float, float, float]
    per_flop: tuple[float, float, float]


@dataclass(frozen=True)
class Figures:
    """What a file says.

    Attributes:
        measured: Cells at shapes, in the order of the file.
        conditions: Where and how they were measured, in a sentence.
    """

    measured: tuple[Measured, ...]
    conditions: str


def read_figures(path: Path) -> Figures:
    """Read a file that `cellzoo bench --out` wrote.

    Raises:
        DataError: It is not such a file, or no cell in it was timed beside nn.LSTM.
    """
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise DataError(f"{path}: more than {_MOST_BYTES:,} bytes; expected what cellzoo bench --out wrote")
        content = _File.model_validate_json(path.read_bytes())
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from error
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "the file"
        raise DataError(f"{path}: not what cellzoo bench --out wrote: {place}: {first['msg']}") from error
    found = [measured for case in content.cases if (measured := _measured(case)) is not None]
    if not found:
        raise DataError(f"{path}: no cell in it was timed beside nn.LSTM")
    loads = [case.load_average for case in content.cases if case.load_average is not None]
    load = f"; load average {min(loads):.1f} to {max(loads):.1f}" if loads else ""
    machine = content.machine
    conditions = (
        f"{machine.get('processor')}, {machine.get('torch_capability')}, torch "
        f"{content.versions.get('torch')}, {content.settings.get('clock')}, {content.began[:10]}{load}"
    )
    return Figures(tuple(found), conditions)


def _measured(case: _Case) -> Measured | None:
    lstm = next((row for row in case.candidates if row.name == LSTM), None)
    engines = [row for row in case.candidates if row.name in RUNTIMES and row.per_flop is not None]
    if case.cell is None or lstm is None or not engines:
        return None
    best = min(engines, key=lambda row: row.median.median)
    assert best.per_flop is not None  # noqa: S101 - chosen so
    shape = case.shape
    length = f"T up to {shape.steps}" if shape.packed else f"T {shape.steps}"
    return Measured(
        case.cell,
        f"B {shape.batch}, {length}, H {shape.hidden_size}",
        f"{'training step' if case.kind == 'training' else case.kind}, {case.dtype}",
        best.name,
        best.median.median,
        lstm.median.median,
        _quartiles(best.ratios[LSTM]),
        _quartiles(best.per_flop),
    )


def _quartiles(spread: _Spread) -> tuple[float, float, float]:
    return spread.median, spread.low, spread.high


def table(figures: Figures) -> str:
    """A table in Markdown: milliseconds of nn.LSTM and of each cell, and how their times compare."""
    cells = list(dict.fromkeys(row.cell for row in figures.measured))
    lines = [
        f"| | nn.LSTM, ms | {' | '.join(f'{cell}, ms' for cell in cells)} |",
        f"|---|{'---:|' * (1 + len(cells))}",
    ]
    for (shape, what), rows in _by_shape(figures).items():
        known = {row.cell: row for row in rows}
        entries = [_entry(known.get(cell)) for cell in cells]
        lstm = median(row.lstm_seconds for row in rows)
        lines.append(f"| {what}, {shape} | {_short(lstm * 1e3)} | {' | '.join(entries)} |")
    return "\n".join([*lines, "", f"{_NOTE} {figures.conditions}.", ""])


_NOTE = (
    "In brackets: the median over the rounds of the time over that of nn.LSTM in the same round, "
    "and its quartiles."
)


def _by_shape(figures: Figures) -> dict[tuple[str, str], list[Measured]]:
    found: dict[tuple[str, str], list[Measured]] = {}
    for row in figures.measured:
        found.setdefault((row.shape, row.what), []).append(row)
    return found


def _entry(row: Measured | None) -> str:
    if row is None:
        return ""
    middle, low, high = map(_short, row.ratio)
    return f"{_short(row.seconds * 1e3)} ({middle}; {low} to {high})"


def _short(value: float) -> str:
    return f"{value:.3g}" if value < 1000 else f"{value:,.0f}"


def draw(figures: Figures) -> str:
    """The text of an SVG file: time for each floating-point operation over that of nn.LSTM, shape by shape."""
    ends = [end for row in figures.measured for end in row.per_flop]
    axis = logarithmic_axis(min([*ends, 0.5]) / 1.1, max([*ends, 1.0]) * 1.1, ticks=6)
    parts = [_panel(shape, what, rows, axis) for (shape, what), rows in _by_shape(figures).items()]
    return standalone(parts)


def _panel(shape: str, what: str, rows: Sequence[Measured], axis: Axis) -> Chart:
    bottom = _TOP + _ROW * len(rows)
    # Of a whole step the FLOPs are not counted.
    is_whole = all(row.per_flop == row.ratio for row in rows)
    title = f"Time{'' if is_whole else ' for each FLOP'}, {what}, {shape}"
    words = "; ".join(f"{row.cell} {_short(row.per_flop[0])} times that of nn.LSTM" for row in rows)
    chart = Chart.new(_WIDTH, bottom + _BOTTOM, title, words, _identity(shape, what))
    chart.text(8, 22, f"{title} (nn.LSTM = 1)", "heading")
    chart.x_axis(axis, _LEFT, _RIGHT, _TOP, bottom)
    one = _LEFT + axis.share(1.0) * (_RIGHT - _LEFT)
    chart.line(one, _TOP, one, bottom, "base")
    chart.text((_LEFT + _RIGHT) / 2, bottom + 34, "\N{LEFTWARDS ARROW} less is better", "small middle")
    for index, row in enumerate(rows):
        group, y = chart.group("first"), _TOP + _ROW * (index + 0.5)
        middle, low, high = (_LEFT + axis.share(value) * (_RIGHT - _LEFT) for value in row.per_flop)
        group.text(_LEFT - 12, y + 4, row.cell, "name end")
        group.line(low, y, high, y, "mark")
        for end in (low, high):
            group.line(end, y - _CAP, end, y + _CAP, "mark")
        group.dot(middle, y, tip=f"{row.engine}: {_short(row.per_flop[0])}")
        group.text(max(middle, high) + 8, y + 4, _short(row.per_flop[0]), "small value")
    return chart


def _identity(shape: str, what: str) -> str:
    return "".join(letter if letter.isalnum() else "-" for letter in f"{what}-{shape}")
