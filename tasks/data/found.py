"""A data set that was found on this machine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from tasks.data.catalog import DataSet
    from tasks.data.parts import Part


@dataclass(frozen=True)
class FoundData:
    """The files of a data set, with digests of what they hold. Plain data, so that workers can be sent it.

    Attributes:
        name: Name of the data set, such as `wnut17` or `text:book.txt`.
        origin: Where it was found, such as `--data`, `gensim 4.4.0`; says so where its content is not the
            published one.
        parts: Role (`train`, `dev`, `test`, `all`, `pairs`, `vectors`) -> file.
        sha256: Role -> digest of the content, the same however the files are packed.
        data_set: What is known of it; its format says how it is read.
        notes: What a reader must know, a sentence each.
    """

    name: str
    origin: str
    parts: Mapping[str, Part]
    sha256: Mapping[str, str]
    data_set: DataSet
    notes: tuple[str, ...] = ()

    @property
    def files(self) -> dict[str, Path]:
        """Role -> file, or the archive that holds it."""
        return {role: part.path for role, part in self.parts.items()}

    @property
    def places(self) -> str:
        """The files, for messages."""
        return ", ".join(str(part) for part in self.parts.values())
