"""TOML files as pydantic models: one error that names file, key, value, and what would be right."""

from __future__ import annotations

import stat
import tomllib
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from cellzoo.errors import CellzooError, unknown
from tasks.settings import describe_fault

if TYPE_CHECKING:
    from pathlib import Path

    from pydantic_core import ErrorDetails

LARGEST_FILE = 1_000_000
"""Bytes; a file of settings has some hundreds."""


class TomlModel(BaseModel):
    """Base of what TOML files hold: immutable, no unknown keys, no text for a number, no NaN."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


_EXPECTED = "; it must be "

Model = TypeVar("Model", bound=BaseModel)


def read_toml(path: Path, model: type[Model]) -> Model:
    """Read a TOML file.

    Raises:
        CellzooError: It cannot be read, is not TOML, or a key is missing, unknown or of the wrong type.
    """
    return parse_toml(read_text(path), model, str(path))


def parse_toml(text: str, model: type[Model], source: str) -> Model:
    """Read the text of a TOML file.

    Args:
        text: The content.
        model: What it must hold.
        source: The file, for messages.

    Raises:
        CellzooError: As `read_toml`.
    """
    try:
        content = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        # Not only TOMLDecodeError: an integer of thousands of digits is a plain ValueError.
        raise CellzooError(f"{source}: is not TOML: {error}") from error
    try:
        return model.model_validate(content)
    except ValidationError as error:
        # A misspelled key first: the key that is missing then is another fault of the same slip.
        faults = sorted(error.errors(), key=lambda fault: fault["type"] != "extra_forbidden")
        raise CellzooError(f"{source}: {_describe(faults, content, model)}") from error


def read_text(path: Path) -> str:
    """Read a small text file.

    Raises:
        CellzooError: It cannot be read, is not a regular file of moderate size, or is not UTF-8.
    """
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise CellzooError(f"{path}: is not a regular file")
        if status.st_size > LARGEST_FILE:
            raise CellzooError(
                f"{path}: has {status.st_size:,} bytes, too many for settings (at most {LARGEST_FILE:,})"
            )
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise CellzooError(f"{path}: cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise CellzooError(f"{path}: is not UTF-8 text (byte {error.start}); expected a TOML file") from error


def _describe(faults: list[ErrorDetails], content: Any, model: type[BaseModel]) -> str:
    """Say where and what of the first fault: `key 'settings.epochs' is 0; it must be at least 1`."""
    fault = faults[0]
    place = _key(fault["loc"], content)
    if fault["type"] == "extra_forbidden":
        known = _keys_beside(fault["loc"], model)
        return f"key {place!r}: {unknown('key', str(fault['loc'][-1])[:80], known)}"
    if not place:
        return fault["msg"].removeprefix("Value error, ")
    # A key that takes values of several types has a fault for each; one about a range or a form says more.
    alike = [other for other in faults if _key(other["loc"], content) == place]
    fault = next((other for other in alike if not other["type"].endswith("_type")), fault)
    words = describe_fault(fault)
    if fault["type"].endswith("_type"):
        found, expected, _ = words.partition(_EXPECTED)
        kinds = dict.fromkeys(describe_fault(other).rpartition(_EXPECTED)[2] for other in alike)
        words = found + expected + " or ".join(kinds)
    return f"key {place!r} {words}"


def _key(location: tuple[int | str, ...], content: Any) -> str:
    """Write a place as people count: the second [[task]] is `task[2]`.

    Where a key takes values of several types, pydantic adds the name of a type to the place; it is left out.
    """
    text = ""
    here = content
    for part in location:
        if isinstance(part, int):
            text += f"[{part + 1}]"
            here = here[part] if isinstance(here, list) and part < len(here) else None
        elif isinstance(here, dict):
            text += f".{part}" if text else part
            here = here.get(part)
    return text


def _keys_beside(location: tuple[int | str, ...], model: type[BaseModel]) -> list[str]:
    """Keys that the model knows where the last part of a place stands."""
    here: Any = model
    for part in location[:-1]:
        if part not in here.model_fields:  # a place in a list, or a key of a table that takes any key
            continue
        here = _inner_model(here.model_fields[part].annotation)
        if here is None:
            return []
    return list(here.model_fields)


def _inner_model(annotation: Any) -> Any:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for inner in getattr(annotation, "__args__", ()):
        found = _inner_model(inner)
        if found is not None:
            return found
    return None
