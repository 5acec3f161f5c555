"""The data sets that tasks can ask for: one small file each, in `tasks/data/sets` or the user's own.

name = "wnut17"
title = "WNUT 2017, novel and emerging entities (NER)"
terms = "CC BY 4.0"
format = "tags"
obtain = "https://github.com/leondz/emerging_entities_17"

[files]                      # role -> paths below the data folder; the first that is there is taken
train = ["wnut17/wnut17train.conll"]

[sha256]                     # of the content: the tokens and labels that the reader yields
[counts.train]               # as published
"""

from __future__ import annotations

import tomllib
from functools import cache
from importlib.resources import files
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from cellzoo.errors import DataError, DataNotFoundError, unknown
from tasks.data.conll import Reading
from tasks.settings import describe_fault

if TYPE_CHECKING:
    from collections.abc import Mapping

SUFFIX = ".toml"
NAME_PATTERN = r"^[a-z0-9][a-z0-9._-]{0,63}$"
_LIMIT = 200_000


def _below(path: str) -> str:
    inner = PurePosixPath(path.partition("!")[0])
    if not path or inner.is_absolute() or ".." in inner.parts:
        raise ValueError(f"{path!r} must be a path below the data folder, without '..'")
    return path


Below = Annotated[str, AfterValidator(_below)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Package(_Strict):
    """An installed package that ships the files.

    Attributes:
        name: Import name, also its name on the package index.
        extra: The extra of cellzoo that installs it; empty for cellzoo's own files.
    """

    name: str
    extra: str = ""


class Columns(_Strict):
    """Which columns of a column file hold token and tag, and how tags are read; see `Reading`."""

    text_column: int | None = None
    tag_column: int | None = None
    tags: Literal["repair", "strict"] = "repair"


class DataSet(_Strict):
    """A data set.

    Attributes:
        name: What tasks and commands call it.
        title: What a reader sees.
        terms: Licence, or who may use it.
        format: Which reader reads it: `tags`, `lines`, `news`, `pairs` or `vectors`.
        files: Role (`train`, `dev`, `test`, `pairs`, `vectors`) -> paths below the data folder.
        obtain: Where the files can be had, as the end of a sentence.
        package: Set where an installed package ships them; paths are then below its folder.
        sha256: Role -> digest of the published content; another content is the user's own variant.
        counts: Role -> what is counted -> number, as published.
        columns: Of a column file.
        encoding: Of its text.
    """

    name: str = Field(pattern=NAME_PATTERN)
    title: str
    terms: str = "not stated"
    format: Literal["tags", "lines", "news", "pairs", "vectors"]
    files: dict[str, tuple[Below, ...]] = Field(min_length=1)
    obtain: str = ""
    package: Package | None = None
    sha256: dict[str, str] = {}
    counts: dict[str, dict[str, int]] = {}
    columns: Columns = Columns()
    encoding: str = "utf-8"

    @property
    def reading(self) -> Reading:
        """How its column files are read."""
        return Reading(self.columns.text_column, self.columns.tag_column, self.columns.tags, self.encoding)


def set_names() -> list[str]:
    """Names of the data sets that come with the package, sorted."""
    found = (resource.name for resource in files("tasks.data").joinpath("sets").iterdir())
    return sorted(name.removesuffix(SUFFIX) for name in found if name.endswith(SUFFIX))


def find_set(text: str) -> DataSet:
    """Find a data set by its name or by the path of its file, which ends in `.toml`.

    Raises:
        UnknownNameError: No data set of that name.
        DataError: The file cannot be read or is malformed; file and key are in the message.
    """
    if text.endswith(SUFFIX):
        return read_set(Path(text).expanduser())
    if text not in set_names():
        raise unknown("data set", text[:80], set_names(), f"One of your own is a path that ends in {SUFFIX}.")
    return _known(text)


@cache
def _known(name: str) -> DataSet:
    return parse_set(files("tasks.data").joinpath(f"sets/{name}{SUFFIX}").read_text(encoding="utf-8"), name)


def read_set(path: Path) -> DataSet:
    """Read the file of a data set.

    Raises:
        DataNotFoundError: There is no such file.
        DataError: It cannot be read or is malformed.
    """
    try:
        with path.open("rb") as stream:
            content = stream.read(_LIMIT + 1)
        if len(content) > _LIMIT:
            raise DataError(f"{path}: is larger than {_LIMIT:,} bytes; that is not the file of a data set")
        return parse_set(content.decode("utf-8-sig"), str(path))
    except FileNotFoundError as error:
        raise DataNotFoundError(f"{path}: no such file") from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: is not UTF-8 text (byte {error.start}); a data set is a TOML file") from error


def parse_set(text: str, source: str) -> DataSet:
    """Read the text of a data set's file.

    Raises:
        DataError: It is not TOML, or a key is missing, unknown or of the wrong type.
    """
    try:
        content = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{source}: is not TOML: {error}") from error
    for value in _lists(content):
        for role, names in value.items():
            value[role] = (
                tuple([names] if isinstance(names, str) else names) if isinstance(names, str | list) else names
            )
    try:
        return DataSet.model_validate(content)
    except ValidationError as error:
        # A key that is not known explains one that is missing.
        fault = min(error.errors(), key=lambda found: found["type"] != "extra_forbidden")
        place = ".".join(map(str, fault["loc"]))
        known = list(DataSet.model_fields)
        if fault["type"] == "extra_forbidden" and len(fault["loc"]) == 1:
            raise DataError(f"{source}: {unknown('key', str(fault['loc'][0])[:80], known)}") from error
        raise DataError(f"{source}: key {place!r} {describe_fault(fault)}") from error


def _lists(content: Mapping[str, object]) -> list[dict[str, object]]:
    table = content.get("files")
    return [table] if isinstance(table, dict) else []
