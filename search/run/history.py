"""The history file of a sampler: one JSON line for each call."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from cellzoo.errors import DataError
from cellzoo.system.regular_file import read_regular
from search.methods.derived import CellNote

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_LONGEST_LINE = 1_000_000


class _Line(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Asked(_Line):
    """The sampler proposed a cell."""

    event: Literal["ask"] = "ask"
    number: Annotated[int, Field(ge=0)]
    epochs: Annotated[int, Field(ge=1)]
    cell: CellNote


class Told(_Line):
    """The sampler was told the score of a proposal.

    Attributes:
        number: Of the proposal.
        score: As in `Sampler.tell`.
        own: The score of this training, if equal graphs are trained again and `score` is the mean.
        shared: Whether the score is that of an earlier proposal with the same graph.
        failure: Why there is no score.
        seconds: Of training and evaluation.
        record: Key of the record.
    """

    event: Literal["tell"] = "tell"
    number: Annotated[int, Field(ge=0)]
    score: Annotated[float, Field(allow_inf_nan=False)] | None
    own: Annotated[float, Field(allow_inf_nan=False)] | None = None
    shared: bool = False
    failure: Annotated[str, Field(max_length=2000)] = ""
    seconds: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    record: Annotated[str, Field(max_length=64)] = ""


class Started(_Line):
    """The search began."""

    event: Literal["start"] = "start"
    identity: Annotated[str, Field(max_length=64)]
    label: Annotated[str, Field(max_length=400)]


class Exhausted(_Line):
    """The sampler has no more proposals, although its trials are not used up."""

    event: Literal["exhausted"] = "exhausted"
    reason: Annotated[str, Field(max_length=2000)]


AnyLine: TypeAlias = Started | Asked | Told | Exhausted
Line: TypeAlias = Annotated[AnyLine, Field(discriminator="event")]
_LINES: TypeAdapter[AnyLine] = TypeAdapter(Line)


def read_history(path: Path) -> tuple[list[AnyLine], int]:
    """Read the history of a sampler; an incomplete last line, as a kill leaves it, is ignored.

    Returns:
        The lines, and their total size in bytes.

    Raises:
        DataError: A line is malformed; the message has its number.
    """
    lines: list[AnyLine] = []
    size = 0
    for number, text in enumerate(_whole_lines(path), start=1):
        try:
            lines.append(_LINES.validate_json(text))
        except ValidationError as error:
            fault = error.errors()[0]
            place = ".".join(map(str, fault["loc"])) or "line"
            raise DataError(
                f"{path}:{number}: is not a line of a history ({place}: {fault['msg']:.200})"
            ) from error
        size += len(text) + 1
    return lines, size


def _whole_lines(path: Path) -> Iterator[bytes]:
    try:
        content = read_regular(path)
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from error
    for number, line in enumerate(content.split(b"\n")[:-1], start=1):
        if len(line) > _LONGEST_LINE:
            raise DataError(f"{path}:{number}: has {len(line):,} bytes; expected at most {_LONGEST_LINE:,}")
        yield line
