"""Labelled texts and pairs of texts in tab-separated files, as GLUE has them.

No quoting: a double quote is a character of the text. A file with a header is read by the names of its
columns, one without by their numbers, so that other columns may stand around them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from cellzoo.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tasks.data.catalog import Table
    from tasks.data.parts import Part

_MOST_LEFT_OUT = 0.01
"""Share of malformed rows above which a file is not what it should be. The official QQP has a few of
363,849."""


class Example(NamedTuple):
    """A text or a pair of texts.

    Attributes:
        first: The text, or the first of two.
        second: The other text; empty for a single one.
        label: Number of its class, or its score; None where it is not given.
    """

    first: str
    second: str
    label: float | None


@dataclass(frozen=True)
class Examples:
    """What a file holds.

    Attributes:
        rows: In the order of the file.
        notes: What was left out, a sentence each.
    """

    rows: Sequence[Example]
    notes: tuple[str, ...] = ()


def read_examples(part: Part, table: Table, encoding: str = "utf-8") -> Examples:
    """Read a file.

    Args:
        part: The file.
        table: Its columns and labels.
        encoding: Of its text.

    Raises:
        DataError: The file cannot be read, lacks a column of its header, holds no row, has an unknown label
            or a score out of range, or more than 1 % of its rows lack columns. The message names file, line
            and value.
    """
    lines = part.lines(encoding)
    header = lines[0].split("\t") if table.header else None
    wanted = [table.first, *([table.second] if table.second is not None else [])]
    places = [_place(part, column, header) for column in wanted]
    label_place = None if table.label is None else _place(part, table.label, header)
    rows: list[Example] = []
    left_out: list[str] = []
    for number, line in enumerate(lines[table.header :], start=1 + table.header):
        if not line:
            continue
        fields = line.split("\t")
        texts = [fields[place].strip() if place < len(fields) else "" for place in places]
        if not all(texts) or (label_place is not None and label_place >= len(fields)):
            left_out.append(f"{part}:{number}: {len(fields)} column(s) in {line[:60]!r}")
            continue
        label = None if label_place is None else _label(fields[label_place], table, f"{part}:{number}")
        rows.append(Example(texts[0], texts[1] if len(texts) > 1 else "", label))
    if len(left_out) > _MOST_LEFT_OUT * (len(rows) + len(left_out)):
        raise DataError(
            f"{left_out[0]}; expected text in the column(s) {', '.join(map(str, wanted))}, separated by tabs "
            f"({len(left_out):,} such rows)"
        )
    if not rows:
        raise DataError(f"{part}: holds no example")
    notes = (f"{len(left_out):,} malformed row(s) left out; the first: {left_out[0]}",) if left_out else ()
    return Examples(rows, notes)


def _place(part: Part, column: str | int, header: list[str] | None) -> int:
    if isinstance(column, int):
        return column
    if header is None or column not in header:
        shown = ", ".join(repr(name) for name in header or ())
        raise DataError(f"{part}:1: has no column {column!r}; its first line says {shown:.200}")
    return header.index(column)


def _label(text: str, table: Table, place: str) -> float:
    if table.labels:
        if text not in table.labels:
            raise DataError(f"{place}: label {text!r:.60} is not known; expected {', '.join(table.labels)}")
        return float(table.labels.index(text))
    try:
        score = float(text)
    except ValueError:
        score = math.nan
    if not math.isfinite(score):
        raise DataError(f"{place}: score {text!r:.60} is not a finite number, such as 3.8")
    if table.scores is not None and not table.scores[0] <= score <= table.scores[1]:
        low, high = table.scores
        raise DataError(f"{place}: score {text!r:.60} is out of range; expected {low:g} to {high:g}")
    return score
