"""A data set that was found: which files, from where, and their digests."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


@dataclass(frozen=True)
class FoundData:
    """Files of a data set on this machine, checked against the known digests.

    Attributes:
        name: Name of the data set, such as `wnut17`.
        origin: Where it was found: `--data`, `CELLZOO_DATA`, `gensim 4.4.0`, or `generated`.
        files: Role (`train`, `dev`, `test`, `vectors`, ...) -> path; empty for generated data.
        sha256: Role -> hex digest of the file, or of the generated text.
    """

    name: str
    origin: str
    files: Mapping[str, Path]
    sha256: Mapping[str, str]
