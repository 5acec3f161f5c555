"""Settings: plain values from files and flags, checked against the annotations of a settings class.

A settings class says name, type, range and default of each setting in one line:

    class MySettings(Settings):
        hidden_size: Size = 256
        dropout: Probability = 0.5

All settings of a run enter the key of its record.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias, TypeVar, Union, cast

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    create_model,
    model_validator,
)

from cellzoo.errors import CellzooError, unknown

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pydantic.fields import FieldInfo
    from pydantic_core import ErrorDetails

Json: TypeAlias = Union[bool, int, float, str, "list[Json]", "dict[str, Json]", None]

LARGEST = 2**31 - 1
"""The largest whole number that a setting takes: torch has no sizes beyond 63 bits, and nobody means these."""

Size = Annotated[int, Field(ge=1, le=LARGEST)]
"""A whole number from 1: a width, a number of epochs."""
Count = Annotated[int, Field(ge=0, le=LARGEST)]
"""A whole number from 0, where 0 stands for none or for no limit."""
Probability = Annotated[float, Field(ge=0, lt=1)]
"""The share that a dropout takes: from 0 to below 1."""
Positive = Annotated[float, Field(gt=0)]
"""A number above 0."""
NotNegative = Annotated[float, Field(ge=0)]
"""A number from 0."""
Factor = Annotated[float, Field(gt=0, le=1)]
"""A factor that makes smaller: above 0 and at most 1."""


class Settings(BaseModel):
    """Base of all settings classes: immutable, no unknown names, no text for a number, no NaN."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


SettingsClass = TypeVar("SettingsClass", bound=Settings)


@dataclass(frozen=True)
class Typed:
    """A value as it was typed in a command: JSON where the setting's type says so, otherwise plain text."""

    text: str


def configure(
    settings_class: type[SettingsClass], values: Mapping[str, Any], owner: str, source: str = ""
) -> SettingsClass:
    """Build settings from their defaults and `values`.

    Args:
        settings_class: What to build.
        values: Name -> value; a value is plain (as read from TOML or JSON) or `Typed`.
        owner: What the settings are of, for messages, such as `task 'wnut17'`.
        source: Where the values come from, for messages: a file, or `--set`.

    Raises:
        UnknownNameError: There is no such setting.
        CellzooError: A value is of the wrong type or out of range.
    """
    prefix = f"{source}: " if source else ""
    fields = settings_class.model_fields
    plain_values: dict[str, Any] = {}
    for name, value in values.items():
        if name not in fields:
            error = unknown("setting", name[:80], fields)
            raise type(error)(f"{prefix}{owner}: {error}")
        place = f"{prefix}setting {name!r} of {owner}"
        plain_values[name] = (
            _read_text(value.text, settings_class, name, place) if isinstance(value, Typed) else value
        )
    try:
        text = json.dumps(plain_values, allow_nan=False)
    except (TypeError, ValueError) as error:
        odd = next(name for name, value in plain_values.items() if not _is_plain(value))
        raise CellzooError(
            f"{prefix}setting {odd!r} of {owner}: {plain_values[odd]!r:.80} is not a plain finite value"
        ) from error
    try:
        return settings_class.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        if not place:
            raise CellzooError(
                f"{prefix}settings of {owner}: {first['msg'].removeprefix('Value error, ')}"
            ) from error
        raise CellzooError(f"{prefix}setting {place!r} of {owner} {describe_fault(first)}") from error
    except CellzooError as error:
        raise type(error)(f"{prefix}settings of {owner}: {error}") from error


_LATER = {"precision": "full"}


def plain(settings: Settings) -> dict[str, Json]:
    """Write settings as JSON values: what a record holds and what its key hashes."""
    return settings.model_dump(mode="json")


def recorded(settings: Settings) -> dict[str, Json]:
    """Write what decides a number, as `plain` does, but for what goes without saying.

    A setting that came when there were records already is left out where it has the default that it has
    everywhere, by which all had been computed before: their keys stay, and new runs can be compared with them.
    """
    fields = type(settings).model_fields
    return {
        name: value
        for name, value in plain(settings).items()
        if name not in _LATER or not value == fields[name].default == _LATER[name]
    }


def with_defaults(owner: str, settings: Settings) -> type[Settings]:
    """The class of settings with other defaults: the values that it has here."""
    return join(owner, settings)


def join(owner: str, *parts: Settings) -> type[Settings]:
    """Make one flat class of several, whose defaults are the values of `parts`.

    Args:
        owner: What the settings are of, for messages.
        parts: Settings whose names are disjoint.

    Raises:
        CellzooError: Two parts have a setting of one name.
    """
    fields: dict[str, Any] = {}
    for settings in parts:
        for name, field in type(settings).model_fields.items():
            if name in fields:
                raise CellzooError(
                    f"{owner}: {type(settings).__name__} and another part both have a setting {name!r}; "
                    "one of them must be renamed"
                )
            fields[name] = (_annotation(field), getattr(settings, name))
    classes = tuple(type(settings) for settings in parts)

    def check(self: Settings) -> Settings:
        for wanted in classes:
            part(self, wanted)
        return self

    return create_model(
        "Configuration",
        __base__=Settings,
        __module__=__name__,
        __validators__={"check_parts": cast("Any", model_validator(mode="after")(check))},
        **fields,
    )


def part(config: Settings, wanted: type[SettingsClass]) -> SettingsClass:
    """The part of a flat configuration that a settings class knows.

    Raises:
        ValueError: The values do not fit together.
    """
    try:
        return wanted.model_validate({name: getattr(config, name) for name in wanted.model_fields})
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        message = f"{place} {describe_fault(first)}" if place else first["msg"].removeprefix("Value error, ")
        raise ValueError(message) from error


def _annotation(field: FieldInfo) -> Any:
    return Annotated[(field.annotation, *field.metadata)] if field.metadata else field.annotation


def describe_fault(fault: ErrorDetails) -> str:
    """Say in one wording what pydantic found: `is 0; it must be at least 1`."""
    kind, limits, value = fault["type"], fault.get("ctx", {}), fault["input"]
    if kind in _RANGES:
        word, key = _RANGES[kind]
        return f"is {value!r:.80}; it must be {word} {limits[key]:,}"
    if kind == "literal_error":
        return f"is {value!r:.80}; it must be {limits['expected']}"
    if kind == "string_pattern_mismatch":
        return f"is {value!r:.80}; it must match {limits['pattern']}"
    if kind in _LENGTHS:
        word, key = _LENGTHS[kind]
        return f"is {value!r:.80}; it must have {word} {limits[key]:,} character(s)"
    if kind == "missing":
        return "is missing"
    if kind == "extra_forbidden":
        return "is not known"
    for start, words in _TYPES.items():
        if kind.startswith(start):
            return f"is {value!r:.80}; it must be {words}"
    message = fault["msg"].removeprefix("Value error, ")
    return f"is {value!r:.80}: {message[:1].lower() + message[1:]}"


_RANGES = {
    "greater_than": ("above", "gt"),
    "greater_than_equal": ("at least", "ge"),
    "less_than": ("below", "lt"),
    "less_than_equal": ("at most", "le"),
}
_LENGTHS = {"string_too_short": ("at least", "min_length"), "string_too_long": ("at most", "max_length")}
_TYPES = {
    "int": "a whole number",
    "float": "a number",
    "finite_number": "a finite number",
    "bool": "true or false",
    "string": "text",
    "tuple": "a list",
    "list": "a list",
    "dict": "a table",
    "model": "a table",
}


def _read_text(text: str, settings_class: type[Settings], name: str, place: str) -> Any:
    """Read a typed value: as JSON where the setting takes that, otherwise as text."""
    field = settings_class.model_fields[name]
    adapter: TypeAdapter[Any] = TypeAdapter(
        _annotation(field),
        config=ConfigDict(strict=True, allow_inf_nan=False),
    )
    faults = []
    for candidate in (text, json.dumps(text)):
        try:
            return adapter.dump_python(adapter.validate_json(candidate), mode="json")
        except ValidationError as error:
            faults += [fault for fault in error.errors() if fault["type"] != "json_invalid"]
    raise CellzooError(f"{place} {describe_fault(faults[0])}")


def _is_plain(value: Any) -> bool:
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError):
        return False
    return True


def setting_names(settings_class: type[Settings]) -> Iterable[str]:
    """Names of all settings of a class, in order."""
    return settings_class.model_fields
