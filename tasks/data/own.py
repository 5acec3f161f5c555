"""Files of the user's own as a data set: text for language models, column files for taggers.

A name says the kind and the files, below the data folder: `text:FILE` or `conll:TRAIN,DEV,TEST`.

- One file is cut in order, by whole lines or sentences: eight tenths train, one tenth dev, one tenth test.
- Two files are train and test; the last tenth of the training file becomes dev.
- Three files are train, dev and test.
"""

from __future__ import annotations

import hashlib
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, TypeVar

from cellzoo.errors import DataError, DataNotFoundError
from tasks.data.found import FoundData

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from tasks.data.splits import Split

Item = TypeVar("Item")

KINDS = ("text", "conll")
_ROLES: dict[int, tuple[str, ...]] = {1: ("all",), 2: ("train", "test"), 3: ("train", "dev", "test")}
_TENTHS = 10


def is_own(name: str) -> bool:
    """Whether a name says files of the user's own."""
    return name.partition(":")[0] in KINDS and ":" in name


def kind_of(name: str) -> str:
    """`text` or `conll`."""
    return name.partition(":")[0]


def find_own(name: str, data_dir: Path | None) -> FoundData:
    """Find the files that a name says, and take their digests.

    Args:
        name: `text:FILES` or `conll:FILES`, one to three files separated by commas.
        data_dir: The folder that they lie in.

    Raises:
        DataNotFoundError: No folder is given, or a file is not in it.
        DataError: The name has more files, leaves the folder, or a file cannot be read.
    """
    files = name.partition(":")[2].split(",")
    if not all(files) or len(files) not in _ROLES:
        raise DataError(f"data {name!r}: expected one to three files, such as text:book.txt or conll:a,b,c")
    for file in files:
        if PurePosixPath(file).is_absolute() or ".." in PurePosixPath(file).parts:
            raise DataError(f"data {name!r}: {file!r} must lie below the folder that --data names")
    if data_dir is None:
        raise DataNotFoundError(f"data {name!r}: name the folder with {', '.join(files)} by --data DIR")
    paths = {role: data_dir / file for role, file in zip(_ROLES[len(files)], files, strict=True)}
    digests: dict[str, str] = {}
    for role, path in paths.items():
        try:
            with path.open("rb") as stream:
                digests[role] = hashlib.file_digest(stream, "sha256").hexdigest()
        except FileNotFoundError as error:
            raise DataNotFoundError(f"{path}: no such file; it is part of the data {name!r}") from error
        except OSError as error:
            raise DataError(f"{path}: cannot be read: {error.strerror or error}") from error
    return FoundData(name, "own files", paths, digests)


def split_items(parts: Mapping[str, Sequence[Item]]) -> dict[Split, Sequence[Item]]:
    """Give each split its lines or sentences, by the rule above.

    Args:
        parts: Role of a file -> its lines or sentences: `all`, or `train` and `test`, or all three splits.
    """
    if "all" in parts:
        whole = parts["all"]
        tenth = len(whole) // _TENTHS
        cut = len(whole) - 2 * tenth
        return {"train": whole[:cut], "dev": whole[cut : cut + tenth], "test": whole[cut + tenth :]}
    if "dev" not in parts:
        whole = parts["train"]
        cut = len(whole) - len(whole) // _TENTHS
        return {"train": whole[:cut], "dev": whole[cut:], "test": parts["test"]}
    return {"train": parts["train"], "dev": parts["dev"], "test": parts["test"]}
