"""Settings of a task: values from files and flags, checked against the types of its configuration."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, get_type_hints

from pydantic import TypeAdapter, ValidationError

from cellzoo.errors import CellzooError, unknown

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tasks.task import Json


@dataclass(frozen=True)
class Typed:
    """A value as it was typed in a command: JSON where the setting's type says so, otherwise plain text."""

    text: str


def setting_types(config_class: type) -> dict[str, Any]:
    """Name -> type of every setting of a configuration class."""
    hints = get_type_hints(config_class)
    return {field.name: hints[field.name] for field in dataclasses.fields(config_class)}


def configure(config_class: type, settings: Mapping[str, Any], task: str, source: str = "") -> Any:
    """Build a configuration from its defaults and `settings`.

    Args:
        config_class: A frozen dataclass of plain values, all with defaults.
        settings: Name -> value; a value is plain (as read from TOML or JSON) or `Typed`.
        task: Name of the task, for messages.
        source: Where the settings come from, for messages: a file, or `--set`.

    Raises:
        UnknownNameError: The task has no such setting.
        CellzooError: A value is of the wrong type or is refused by the configuration class.
    """
    types = setting_types(config_class)
    prefix = f"{source}: " if source else ""
    for name in settings:
        if name not in types:
            error = unknown("setting", name, types)
            raise type(error)(f"{prefix}task {task!r}: {error}")
    defaults = dataclasses.asdict(config_class())
    values = {
        name: _coerce(settings.get(name, defaults[name]), wanted, f"{prefix}setting {name!r} of task {task!r}")
        for name, wanted in types.items()
    }
    try:
        return config_class(**values)
    except (CellzooError, TypeError, ValueError) as error:
        raise CellzooError(f"{prefix}settings of task {task!r}: {error}") from error


def plain(config: Any) -> dict[str, Json]:
    """Write a configuration as JSON values: what a record holds and what its key hashes."""
    return json.loads(json.dumps(dataclasses.asdict(config), allow_nan=False))


def _coerce(value: Any, wanted: Any, place: str) -> Any:
    """Check a value strictly: no text for a number, no boolean for an integer; 1 is fine for 1.0."""
    adapter: TypeAdapter[Any] = TypeAdapter(wanted)
    if isinstance(value, Typed):
        return _coerce_text(value.text, adapter, place)
    try:
        return adapter.validate_json(json.dumps(value, allow_nan=False), strict=True)
    except ValidationError as error:
        raise CellzooError(f"{place}: {_advice(error)}, not {value!r}") from error
    except (TypeError, ValueError) as error:
        raise CellzooError(f"{place}: {value!r} is no plain finite value") from error


def _coerce_text(text: str, adapter: TypeAdapter[Any], place: str) -> Any:
    for candidate in (text, json.dumps(text)):
        try:
            value = adapter.validate_json(candidate, strict=True)
            json.dumps(adapter.dump_python(value), allow_nan=False)
        except ValidationError as error:
            problem = error
        except ValueError as error:
            raise CellzooError(f"{place}: {text!r} is no finite value") from error
        else:
            return value
    raise CellzooError(f"{place}: {_advice(problem)}, not {text!r}") from problem


def _advice(error: ValidationError) -> str:
    message = error.errors()[0]["msg"]
    return message[:1].lower() + message[1:]
