"""ENAS arcs: sequences of integers, whose meaning depends on the code base that published them.

Text: the name of a code base's table of operations and the arc, `enas_lm: 0 2 1 0 2 1 2 2 4 0 5 0 3 2 6 2`.
Data: a mapping with the keys `table` and `arc`. An arc is a pair (predecessor, operation) for each node from 1
on; node 0 reads x and h.

    table         operations 0, 1, 2, 3         output: mean of   code
    enas_lm       tanh relu sigmoid identity    all nodes         google-research enas_lm, src/fixed_lib.py
    enas_lm_tpu   tanh relu sigmoid identity    loose ends        google-research enas_lm, src/tpu/fixed_lib.py
    nao           tanh relu identity sigmoid    all nodes         renqianluo/NAO, NAO/rnn
    nao-ws        tanh relu sigmoid identity    all nodes         renqianluo/NAO, NAO-WS/rnn
    melodyguan    tanh relu identity sigmoid    loose ends        melodyguan/enas

Loose ends are the nodes that no other node reads. Node 0 applies tanh; a `melodyguan` arc begins with one more
number, the operation of node 0: `melodyguan: 0 0 0 1 1`. The nodes themselves are those of a DARTS genotype
(Pham et al. 2018, "Efficient Neural Architecture Search via Parameter Sharing", section 2.1).
"""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cellzoo.errors import unknown
from cellzoo.notations.expressions import read_expression
from cellzoo.notations.finding import UNREADABLE
from cellzoo.notations.literals import MAX_TEXT, Form
from cellzoo.notations.plain import plain
from cellzoo.notations.steps.checks import MAX_STEPS, is_list
from cellzoo.notations.steps.graph import Edge, Steps, to_cell
from cellzoo.notations.steps.reader import cannot_write, confirm, read_steps

if TYPE_CHECKING:
    import random
    from collections.abc import Mapping, Sequence

    from cellzoo.cells.cell import Cell

FORM = Form(
    label="ENAS arc",
    call="",
    example="TABLE: 0 2 1 0 ..., with a pair (predecessor, operation) for each node",
    required=("table", "arc"),
    optional={},
)
SPACE_STEPS = 8


@dataclass(frozen=True)
class OperationTable:
    """How a code base interprets an arc.

    Attributes:
        operations: What the numbers 0, 1, 2, 3 stand for.
        loose_ends: Whether the output is the mean of the loose ends, not of all nodes.
        has_start: Whether the first number is the operation of node 0.
    """

    operations: tuple[str, ...]
    loose_ends: bool = False
    has_start: bool = False

    @property
    def legend(self) -> str:
        """The operations with their numbers."""
        return ", ".join(f"{number} {op}" for number, op in enumerate(self.operations))


_SIGMOID_THIRD = ("tanh", "relu", "sigmoid", "identity")
_IDENTITY_THIRD = ("tanh", "relu", "identity", "sigmoid")
# In order of preference for writing: the first that can express a cell is used.
TABLES = {
    "enas_lm": OperationTable(_SIGMOID_THIRD),
    "enas_lm_tpu": OperationTable(_SIGMOID_THIRD, loose_ends=True),
    "melodyguan": OperationTable(_IDENTITY_THIRD, loose_ends=True, has_start=True),
    "nao": OperationTable(_IDENTITY_THIRD),
    "nao-ws": OperationTable(_SIGMOID_THIRD),
}


_KNOWN = f"TABLE one of {', '.join(TABLES)}"
# The name of a table in a line of text, and the rest of the line.
_LABELLED = re.compile(
    rf"""(?<![\w-])({"|".join(sorted(TABLES, key=len, reverse=True))})['"]?\s*[:=,]([^\n]*)"""
)
# The start of another field after an arc in a line of a log.
_FURTHER = re.compile(r"[,;|]?\s+\(?(?:[A-Za-z_][\w.]*\s*[=:]|[|#])")
_AROUND = re.compile(
    r"""\b(?:\w+\.)*(?:array|tensor|list|tuple|int64)\s*(?=\()    # of a printed array
    | \b(?:\w+_)?arc['"]?\s*[=:]                                  # an assignment
    | [\[\](){}'";]""",
    re.VERBOSE,
)


def parse(source: str | Mapping[str, Any], name: str = "") -> Cell:
    """Read an arc as a Cell with one state, h.

    Raises:
        NotationError: The source is not an arc; the message names the number and what would be right.
    """
    content = _content(plain(source))
    return to_cell(_steps(*_checked(content["table"], content["arc"])), name)


def write(cell: Cell, table: str | None = None) -> str:
    """Write a cell as an arc.

    Args:
        cell: The cell.
        table: A key of `TABLES`; None for the first that can express the cell.

    Raises:
        NotationError: No table can express the cell, or the given one cannot.
        UnknownNameError: No such table.
    """
    if table is not None and table not in TABLES:
        raise unknown("table", table, TABLES)
    steps = read_steps(cell, FORM)
    for number, edges in enumerate(steps.edges, start=1):
        if len(edges) != 1:
            raise cannot_write(FORM, f"node {number} has {len(edges)} edges; expected one")
    recurrent = [edges[0] for edges in steps.edges]
    for key in TABLES if table is None else (table,):
        arc = _arc(TABLES[key], steps.start, recurrent)
        if arc is None or set(_averaged(TABLES[key], recurrent)) != set(steps.concat):
            continue
        text = f"{key}: {' '.join(map(str, arc))}"
        confirm(cell, parse(text), FORM)
        return text
    tables = f"the table {table!r}" if table else "any table"
    shown = f"start {steps.start!r} and the mean of {list(steps.concat)}"
    raise cannot_write(FORM, f"{shown} do not fit {tables}")


def sample(generator: random.Random, steps: int = SPACE_STEPS, table: str = "enas_lm") -> str:
    """Draw an arc: every number is uniform."""
    rule = TABLES[table]
    arc = [generator.randrange(len(rule.operations))] if rule.has_start else []
    for step in range(1, steps + 1):
        arc += [generator.randrange(step), generator.randrange(len(rule.operations))]
    return f"{table}: {' '.join(map(str, arc))}"


def _content(source: Any) -> dict[str, Any]:
    """Extract the table and the arc from a text, a mapping, or a pair (table, arc)."""
    if isinstance(source, str) and source.lstrip().startswith(("[", "(")):
        try:
            source = read_expression(source)
        except UNREADABLE as error:
            raise FORM.fault(f"not readable ({error}); expected {FORM.example}") from error
    if isinstance(source, str) and source.lstrip().startswith("{"):
        with suppress(*UNREADABLE):
            source = read_expression(source)
    if isinstance(source, str) and not source.lstrip().startswith(("{", "dict", "OrderedDict")):
        content = _split(source)
    elif isinstance(source, list) and len(source) == 2 and isinstance(source[0], str):
        content = {"table": source[0], "arc": source[1]}
    elif isinstance(source, list) and source and not isinstance(source[0], str):
        raise FORM.fault(f"found an arc without its table; expected {{'table': ..., 'arc': [...]}}, {_KNOWN}")
    elif isinstance(source, dict) and len(source) == 1 and next(iter(source)) in TABLES:
        [(table, arc)] = source.items()
        content = {"table": table, "arc": arc}
    else:
        content = FORM.read(source)
    arc = content["arc"]
    content["arc"] = _numbers(arc) if isinstance(arc, str) else _flat(arc)
    return content


def _flat(arc: Any) -> Any:
    """Flatten pairs (predecessor, operation) into one list."""
    if not isinstance(arc, list):
        return arc
    rows = [item if isinstance(item, list) else [item] for item in arc]
    return [number for row in rows for number in row]


def _split(text: str) -> dict[str, Any]:
    if len(text) > MAX_TEXT:
        raise FORM.fault(f"{len(text)} characters; at most {MAX_TEXT} are read")
    table, colon, row = text.partition(":")
    if table.strip() in TABLES and all(isinstance(number, int) for number in _row(row)):
        return {"table": table.strip(), "arc": row}
    found = []
    for name, rest in _LABELLED.findall(text):
        arc = _row(_FURTHER.split(_AROUND.sub(" ", rest), maxsplit=1)[0])
        if all(isinstance(number, int) for number in arc) and (name, arc) not in found:
            found.append((name, arc))
    if len(found) > 1:
        raise FORM.fault(f"found {len(found)} that differ; give one of them alone: {FORM.example}")
    if found:
        return {"table": found[0][0], "arc": found[0][1]}
    if not colon:
        raise FORM.fault(f"found {text!r:.80}; expected {FORM.example}, and {_KNOWN}")
    return {"table": table.strip(), "arc": row}


def _row(text: str) -> list[Any]:
    """Split a row into numbers, without the brackets, quotes and names around it; other words stay texts."""
    tokens = re.split(r"[\s,]+", _AROUND.sub(" ", text).strip())
    return [int(token) if re.fullmatch(r"[0-9]{1,4}", token, re.ASCII) else token for token in tokens]


def _numbers(row: str) -> list[int]:
    arc = _row(row)
    for position, number in enumerate(arc, start=1):
        if not isinstance(number, int):
            raise FORM.fault(f"number {position} is {number!r:.80}; expected a number such as 0")
    return arc


def _checked(table: Any, arc: Any) -> tuple[OperationTable, str, list[Edge]]:
    """Return the table, the operation of node 0 and the edges."""
    if not isinstance(table, str) or table not in TABLES:
        raise FORM.fault(f"{unknown('table', str(table)[:80], TABLES)}")
    rule = TABLES[table]
    if not is_list(arc):
        raise FORM.fault(f"arc is {arc!r:.80}; expected a list of numbers")
    pairs = len(arc) - int(rule.has_start)
    if pairs < 2 or pairs % 2 or pairs > 2 * MAX_STEPS:
        first = "the operation of node 0, then " if rule.has_start else ""
        raise FORM.fault(
            f"{len(arc)} numbers; expected {first}a pair (predecessor, operation) for each of "
            f"1 to {MAX_STEPS} nodes"
        )
    start = _operation(rule, table, arc, 0) if rule.has_start else "tanh"
    recurrent: list[Edge] = []
    for position in range(int(rule.has_start), len(arc), 2):
        predecessor, step = arc[position], len(recurrent) + 1
        if type(predecessor) is not int or not 0 <= predecessor < step:
            allowed = "only 0 exists" if step == 1 else f"0 to {step - 1} exist"
            where = f"number {position + 1}, node {step}"
            raise FORM.fault(f"{where}: predecessor {predecessor!r:.80} does not exist yet; {allowed}")
        recurrent.append((_operation(rule, table, arc, position + 1), predecessor))
    return rule, start, recurrent


def _operation(rule: OperationTable, table: str, arc: Sequence[Any], position: int) -> str:
    number = arc[position]
    if type(number) is not int or not 0 <= number < len(rule.operations):
        raise FORM.fault(f"number {position + 1}: operation {number!r:.80}; {table} has {rule.legend}")
    return rule.operations[number]


def _steps(rule: OperationTable, start: str, recurrent: Sequence[Edge]) -> Steps:
    return Steps(tuple((edge,) for edge in recurrent), _averaged(rule, recurrent), start)


def _averaged(rule: OperationTable, recurrent: Sequence[Edge]) -> tuple[int, ...]:
    """The nodes whose mean is the output."""
    read = {predecessor for _, predecessor in recurrent} if rule.loose_ends else set()
    return tuple(step for step in range(1, len(recurrent) + 1) if step not in read)


def _arc(rule: OperationTable, start: str, recurrent: Sequence[Edge]) -> list[int] | None:
    """Encode nodes with a table's numbers; None if it lacks one of the operations."""
    if not rule.has_start and start != "tanh":
        return None
    try:
        arc = [rule.operations.index(start)] if rule.has_start else []
        for op, predecessor in recurrent:
            arc += [predecessor, rule.operations.index(op)]
    except ValueError:
        return None
    return arc
