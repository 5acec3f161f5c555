"""What a search is: everything that decides its result, and where it takes place."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any

from cellzoo.errors import CellzooError, DataError
from tasks.runs.record import content_digest

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

FORMAT = 1
"""Of the directory: configuration, events and checkpoints together."""
MAX_SEED = 2**32 - 1

_TYPES = {"str": str, "int": int, "Mapping[str, Any]": dict, "Mapping[str, str]": dict}


@dataclass(frozen=True)
class Configuration:
    """Everything that decides which cell is found. Plain values.

    Attributes:
        method: Name of the method.
        preset: Name of what the settings come from; the settings themselves are below.
        method_settings: All settings of the method.
        objective: Kind of objective.
        objective_settings: All its settings.
        data: Name of the data set.
        sha256: Role -> digest of its files.
        epochs: Epochs of the search.
        seed: Decides all chance.
        device: `cpu` or `cuda`: the last digits differ between kinds of devices.
        threads: Threads of the search; another number can change the last digits.
        version: Of cellzoo; another version may draw or add in another order.
        format: Of the directory.
    """

    method: str
    preset: str
    method_settings: Mapping[str, Any]
    objective: str
    objective_settings: Mapping[str, Any]
    data: str
    sha256: Mapping[str, str]
    epochs: int
    seed: int
    device: str
    threads: int
    version: str
    format: int = FORMAT

    def __post_init__(self) -> None:
        if not 0 <= self.seed <= MAX_SEED:
            raise CellzooError(f"seed {self.seed}: a seed is a whole number from 0 to {MAX_SEED}")
        for name in ("epochs", "threads"):
            if getattr(self, name) < 1:
                raise CellzooError(f"{name} is {getattr(self, name)}; it must be at least 1")

    @property
    def identity(self) -> str:
        """64 hexadecimal digits that stand for all of it."""
        return content_digest(asdict(self))

    @property
    def search_settings(self) -> dict[str, Any]:
        """All but the seed and the machine: what searches have in common that may be averaged."""
        content = asdict(self)
        for name in ("seed", "device", "threads", "version", "format"):
            del content[name]
        return content


@dataclass(frozen=True)
class Surroundings:
    """Where a search takes place; none of it decides the result.

    Attributes:
        folder: The data folder, if one was given.
        device: The torch device.
        code: Version and revision of the code that began it.
        environment: Packages and machine that began it.
    """

    folder: str | None
    device: str
    code: Mapping[str, Any]
    environment: Mapping[str, Any]


def write_configuration(configuration: Configuration, surroundings: Surroundings) -> bytes:
    """Write both as the JSON text that `read_configuration` reads."""
    content = {"configuration": asdict(configuration), "surroundings": asdict(surroundings)}
    return json.dumps(content, ensure_ascii=False, indent=1, allow_nan=False).encode() + b"\n"


def read_configuration(path: Path) -> tuple[Configuration, Surroundings]:
    """Read what `write_configuration` wrote.

    Raises:
        DataError: The file is missing, damaged, or of another version of cellzoo.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        own, around = content["configuration"], content["surroundings"]
        if own.get("format") != FORMAT:
            raise DataError(
                f"{path}: was written by another version of cellzoo (format {own.get('format')!r}; this "
                f"version has {FORMAT}). Search anew in another directory, "
                f"or take the version {own.get('version')!r}"
            )
        configuration = Configuration(**own)
        for field in fields(Configuration):
            if not isinstance(getattr(configuration, field.name), _TYPES[str(field.type)]):
                raise DataError(f"{path}: {field.name} is no {field.type}")
        return configuration, Surroundings(**around)
    except FileNotFoundError as error:
        raise DataError(f"{path.parent}: holds no search ({path.name} is not there)") from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from error
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise DataError(f"{path}: is no configuration of a search: {error}") from error


def differences(one: Configuration, other: Configuration) -> list[str]:
    """Say in which settings two configurations differ: `seed: 0 there, 1 here`."""
    return [
        f"{name}: {first.get(name, 'not set')!r} there, {second.get(name, 'not set')!r} here"
        for first, second in [(_flat(one), _flat(other))]
        for name in sorted({*first, *second})
        if first.get(name, "not set") != second.get(name, "not set")
    ]


def _flat(configuration: Configuration) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for field in fields(configuration):
        value = getattr(configuration, field.name)
        if isinstance(value, dict):
            flat |= {f"{field.name}.{name}": inner for name, inner in value.items()}
        else:
            flat[field.name] = value
    return json.loads(json.dumps(flat))
