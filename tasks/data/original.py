"""Write rows of data as lines of a set's original format: what the readers read, for data from elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cellzoo.errors import DataError
from tasks.data.read import UNLABELLED

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from tasks.data.catalog import DataSet, Table

Row = tuple[Any, ...]


def original_lines(data_set: DataSet, role: str, rows: Iterable[Row], names: Sequence[str]) -> Iterator[str]:
    """Write rows.

    Args:
        data_set: Whose format; `tags`, `lines` or `examples`.
        role: Of the file.
        rows: Of examples text or texts and label, a class number or a score; of tags a list of tokens and one
            of tags, as text or numbers; of lines the text.
        names: Of the tags, by number.

    Returns:
        Lines without their ends.

    Raises:
        DataError: A value is not what the format can say; row and value are in the message.
    """
    if data_set.table is not None:
        unlabelled = role in UNLABELLED
        return _examples(rows, data_set.table.without_labels() if unlabelled else data_set.table)
    writers: Mapping[str, Callable[[Iterable[Row], Sequence[str]], Iterator[str]]] = {
        "tags": _tags,
        "lines": _texts,
    }
    if data_set.format not in writers:
        raise DataError(f"data set {data_set.name!r}: its format {data_set.format!r} cannot come from a hub")
    return writers[data_set.format](rows, names)


def _examples(rows: Iterable[Row], table: Table) -> Iterator[str]:
    texts = [column for column in (table.first, table.second) if column is not None]
    columns = texts if table.label is None else [*texts, table.label]
    numbered = {column for column in columns if isinstance(column, int)}
    order: list[Any] = list(range(max(numbered) + 1)) if numbered else columns
    if table.header:
        yield "\t".join(map(str, order))
    for number, row in enumerate(rows):
        values = {column: _text(value, number) for column, value in zip(texts, row[: len(texts)], strict=True)}
        if table.label is not None:
            values[table.label] = _label(row[-1], table, number)
        yield "\t".join(values.get(column, "") for column in order)


def _label(value: Any, table: Table, number: int) -> str:
    if not table.labels:
        return str(value)
    if not isinstance(value, int) or not 0 <= value < len(table.labels):
        raise DataError(f"row {number}: label {value!r:.60} is not one of {len(table.labels)} classes")
    return table.labels[value]


def _tags(rows: Iterable[Row], names: Sequence[str]) -> Iterator[str]:
    for number, (tokens, tags) in enumerate(rows):
        if len(tokens) != len(tags):
            raise DataError(f"row {number}: has {len(tokens)} tokens and {len(tags)} tags")
        for token, tag in zip(tokens, tags, strict=True):
            if not isinstance(tag, str) and not 0 <= tag < len(names):
                raise DataError(f"row {number}: tag {tag!r:.60} is not one of {len(names)} tags")
            yield f"{_text(token, number)}\t{tag if isinstance(tag, str) else names[tag]}"
        yield ""


def _texts(rows: Iterable[Row], names: Sequence[str]) -> Iterator[str]:
    for number, (text,) in enumerate(rows):
        yield _text(text.removesuffix("\n"), number)


def _text(value: Any, number: int) -> str:
    if not isinstance(value, str) or any(mark in value for mark in "\t\n\r"):
        raise DataError(f"row {number}: {value!r:.60} is not text without tabs and ends of lines")
    return value
