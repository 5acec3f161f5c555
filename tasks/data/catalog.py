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

[[fetch]]                    # what `cellzoo data fetch` gets from where
path = "wnut17/wnut17train.conll"
url = "https://..."

[hub]                        # the same on the Hugging Face hub
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from pathlib import Path, PurePosixPath
from typing import Annotated, Literal, Self, TypeAlias

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from cellzoo.errors import CellzooError, DataError, DataNotFoundError, unknown
from cellzoo.system.paths import typed_path
from tasks.data.conll import Reading
from tasks.toml_file import TomlModel, parse_toml, read_text

SUFFIX = ".toml"
NAME_PATTERN = r"^[a-z0-9][a-z0-9._-]{0,63}$"


def _below(path: str) -> str:
    inner = PurePosixPath(path.partition("!")[0])
    if not path or inner.is_absolute() or ".." in inner.parts:
        raise ValueError(f"{path!r} must be a path below the data folder, without '..'")
    return path


Below = Annotated[str, AfterValidator(_below)]


def _as_tuple(value: object) -> object:
    return tuple([value] if isinstance(value, str) else value) if isinstance(value, str | list) else value


Paths = Annotated[tuple[Below, ...], BeforeValidator(_as_tuple)]
WebAddress = Annotated[str, Field(pattern=r"^https?://[^\s/]+/\S*$")]
Measure: TypeAlias = Literal["accuracy", "f1", "mcc", "pearson", "spearman"]
Column: TypeAlias = str | Annotated[int, Field(ge=0)]
_ROLES: dict[str, tuple[tuple[str, ...], ...]] = {
    "tags": (("all",), ("train", "test")),
    "lines": (("all",), ("train", "test")),
    "news": (("text",),),
    "pairs": (("pairs",),),
    "vectors": (("vectors",),),
    "examples": (("train", "dev"),),
}
"""Format -> the roles that its reader needs; where there are several tuples, those of one of them."""


class Package(TomlModel):
    """An installed package that ships the files.

    Attributes:
        name: Import name, also its name on the package index.
        extra: The extra of cellzoo that installs it; empty for cellzoo's own files.
        files: Role -> path below its folder, where people also have the files otherwise; empty where the
            package is the only source, and the set's own paths are below its folder.
    """

    name: str = Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")
    extra: str = ""
    files: dict[str, Below] = Field(default={})


class Columns(TomlModel):
    """Which columns of a column file hold token and tag, and how tags are read; see `Reading`."""

    text_column: int | None = None
    tag_column: int | None = None
    tags: Literal["repair", "strict"] = "repair"


class Download(TomlModel):
    """A file that can be fetched from its original address.

    Attributes:
        path: Where it goes below the data folder.
        url: Addresses of the same file; the first that answers is taken.
    """

    path: Below
    url: Annotated[tuple[WebAddress, ...], BeforeValidator(_as_tuple), Field(min_length=1)]


class Hub(TomlModel):
    """The same data on the Hugging Face hub, read by the package `datasets`.

    Attributes:
        repository: Such as `nyu-mll/glue`.
        revision: A commit; or a branch where no commit is known, so that the content alone is checked.
        config: Its configuration.
        splits: Role of a file -> split there.
        columns: Its columns: text or texts and label; tokens and tags; or the text of a line.
    """

    repository: str = Field(pattern=r"^[A-Za-z0-9_.-]{1,96}/[A-Za-z0-9_.-]{1,96}$")
    revision: str = Field(pattern=r"^[A-Za-z0-9_./-]{1,96}$")
    config: str = Field(pattern=r"^[A-Za-z0-9_.-]{1,96}$")
    splits: dict[str, str] = Field(min_length=1)
    columns: Annotated[tuple[str, ...], BeforeValidator(_as_tuple), Field(min_length=1)]


class Table(TomlModel):
    """Columns of tab-separated files with labelled texts; see `tasks.data.examples`.

    Attributes:
        first: Column of the text, or of the first of two: its name in the header, or its number from 0.
        second: Column of the other text; None for single texts.
        label: Column of the label; None where the files have none.
        labels: All classes, in order; none where labels are scores.
        scores: The lowest and the highest score there is; None where labels are classes, or nothing is known.
        header: Whether labelled files have one; files without labels always have.
        first_unlabelled: Column of the text in files without labels, where it differs.
        metrics: What results are measured in; the score is their mean.
    """

    first: Column
    second: Column | None = None
    label: Column | None
    labels: Annotated[tuple[str, ...], BeforeValidator(_as_tuple)] = ()
    scores: Annotated[tuple[float, float], BeforeValidator(_as_tuple)] | None = None
    header: bool = True
    first_unlabelled: Column | None = None
    metrics: Annotated[tuple[Measure, ...], BeforeValidator(_as_tuple), Field(min_length=1)]

    def without_labels(self) -> Table:
        """The columns of GLUE's test files: no labels, and always a header."""
        first = self.first if self.first_unlabelled is None else self.first_unlabelled
        return self.model_copy(update={"first": first, "label": None, "header": True})


class DataSet(TomlModel):
    """A data set.

    Attributes:
        name: What tasks and commands call it.
        title: What a reader sees.
        terms: Licence, or who may use it.
        format: Which reader reads it: `tags`, `lines`, `news`, `pairs`, `vectors` or `examples`; `model` is for
            pretrained models, see `tasks.data.models`, and `table` for one of `search.benchmark`.
        files: Role (`train`, `dev`, `test`, `pairs`, `vectors`) -> paths below the data folder.
        optional: The same for files that a user need not have.
        obtain: Where the files can be had, as the end of a sentence.
        package: Set where an installed package ships them.
        sha256: Role -> digest of the published content; another content is the user's own variant.
        counts: Role -> what is counted -> number, as published.
        columns: Of a column file.
        table: Of a file of examples.
        encoding: Of its text.
        fetch: Where its files are fetched from; empty where they are not to be had at an address.
        hub: Where it is on the Hugging Face hub.
    """

    name: str = Field(pattern=NAME_PATTERN)
    title: str
    terms: str = "not stated"
    format: Literal["tags", "lines", "news", "pairs", "vectors", "examples", "model", "table"]
    files: dict[str, Paths] = Field(min_length=1)
    optional: dict[str, Paths] = Field(default={})
    obtain: str = ""
    package: Package | None = None
    sha256: dict[str, str] = Field(default={})
    counts: dict[str, dict[str, int]] = Field(default={})
    columns: Columns = Columns()
    table: Table | None = None
    encoding: str = "utf-8"
    fetch: Annotated[tuple[Download, ...], BeforeValidator(_as_tuple)] = ()
    hub: Hub | None = None

    @model_validator(mode="after")
    def _check_roles(self) -> Self:
        needed = _ROLES.get(self.format, ())
        if needed and not any(self.files.keys() >= set(roles) for roles in needed):
            expected = ", or ".join(" and ".join(roles) for roles in needed)
            raise ValueError(
                f"key 'files' has {', '.join(self.files)}; a data set of the format {self.format!r} needs "
                f"{expected}"
            )
        if self.format == "examples" and self.table is None:
            raise ValueError("key 'table' is missing; it says which columns hold the texts and the labels")
        return self

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
        return read_set(typed_path(text, "data set"))
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
    if not path.exists():
        raise DataNotFoundError(f"{path}: no such file")
    try:
        return parse_set(read_text(path), str(path))
    except DataError:
        raise
    except CellzooError as error:
        raise DataError(str(error)) from error


def parse_set(text: str, source: str) -> DataSet:
    """Read the text of a data set's file.

    Raises:
        DataError: It is not TOML, or a key is missing, unknown or of the wrong type.
    """
    try:
        return parse_toml(text, DataSet, source)
    except CellzooError as error:
        raise DataError(str(error)) from error
