"""Draws the entries of `cellzoo.bench.figures` as a bar chart."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cellzoo.bench.case import LSTM
from cellzoo.bench.figures import short
from cellzoo.pages.chart import Chart, standalone

if TYPE_CHECKING:
    from cellzoo.bench.figures import Column, Figures, Measured

_NAMES, _COLUMN, _FIELD, _VALUES = 136.0, 116.0, 64.0, 104.0
_TOP, _ROW, _BAR, _BOTTOM = 96.0, 20.0, 12.0, 62.0
# Longer bars are cut here; the number next to them is the full ratio.
_LONGEST = 2.0
_OURS, _OTHERS = "first", "second"


def draw(figures: Figures) -> str:
    """An SVG file with a bar for each ratio to nn.LSTM, for the lowest number of threads."""
    threads = figures.threads[0]
    rows = [row for row in figures.rows(threads) if any(row)]
    title = f"Time over that of {LSTM}, {threads} thread{'s' * (threads > 1)}"
    width, bottom = max(720.0, _NAMES + _COLUMN * len(figures.columns)), _TOP + _ROW * len(rows)
    chart = Chart.new(width, bottom + _BOTTOM, title, _in_words(figures, rows))
    chart.text(8, 22, f"{title}: shorter is faster", "heading")
    for place, (kind, name) in enumerate(((_OURS, "cellzoo"), (_OTHERS, "others"))):
        group, left = chart.group(kind), width - 150 + 76 * place
        group.box(left, 12, 12, 12, "dot")
        group.text(left + 18, 22, name)
    named = ""
    for index, row in enumerate(rows):
        one = next(figure for figure in row if figure is not None)
        # Variants follow their cell and are named by the suffix alone.
        is_variant, named = one.cell == named, one.cell
        name = one.name.removeprefix(one.cell).lstrip(", ") if is_variant else one.name
        chart.text(_NAMES - 12, _middle(index) + 4, name, "small end" if is_variant else "name end")
        for number, figure in enumerate(row):
            if figure is not None:
                _bar(chart, figure, _NAMES + _COLUMN * number, _middle(index))
    for number, column in enumerate(figures.columns):
        _frame(chart, column, _NAMES + _COLUMN * number, bottom)
    for number, line in enumerate(figures.conditions):
        chart.text(8, bottom + 38 + 16 * number, line)
    return standalone([chart])


def _in_words(figures: Figures, rows: list[list[Measured | None]]) -> str:
    columns = zip(figures.columns, zip(*rows, strict=True), strict=True)
    return "; ".join(
        f"{column}: {', '.join(f'{figure.name} {short(figure.ratio.median)}' for figure in found if figure)}"
        for column, found in columns
    )


def _middle(index: int) -> float:
    return _TOP + _ROW * (index + 0.5)


def _bar(chart: Chart, figure: Measured, left: float, y: float) -> None:
    group = chart.group(_OTHERS if figure.is_of_others else _OURS)
    ratio = figure.ratio
    low, end, high = (_place(value, left) for value in (ratio.low, ratio.median, ratio.high))
    group.box(left, y - _BAR / 2, max(1.0, end - left), _BAR, "dot")
    group.line(low, y, high, y, "mean")
    if ratio.median > _LONGEST:
        group.arrow(end + 8, y, 7)
    tip = f"{short(ratio.low)} to {short(ratio.high)}"
    group.text(left + _VALUES, y + 4, figure.words, "value end", tip=tip)


def _place(ratio: float, left: float) -> float:
    return left + min(ratio, _LONGEST) * _FIELD / _LONGEST


def _frame(chart: Chart, column: Column, left: float, bottom: float) -> None:
    batch, length, *sizes = column.shape.split(", ")
    for number, words in enumerate((column.what, f"{batch}, {length}", ", ".join(sizes))):
        chart.text(left, 52 + 14 * number, words + ", per FLOP" * (column.per_flop and number == 2))
    chart.line(left, _TOP - 4, left, bottom + 2, "grid")
    one = _place(1.0, left)
    chart.line(one, _TOP - 4, one, bottom + 2, "base")
    chart.text(one, bottom + 15, f"{LSTM} = 1", "small middle")
