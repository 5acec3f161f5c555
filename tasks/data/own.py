"""Files of the user's own as a data set: text for language models, column files for taggers, word vectors.

A name says the kind and the files, below the data folder: `text:FILE` or `conll:TRAIN,DEV,TEST`. Word vectors
are one file in any format of `tasks.data.vectors`, whichever of `glove:FILE`, `fasttext:FILE`, `word2vec:FILE`
and `vectors:FILE` is written; being large, they may also lie elsewhere, named by an absolute path or by `~`.

Scored word pairs are one file, `pairs:FILE`, named in the same way.

- One file is cut in order, by whole lines or sentences: eight tenths train, one tenth dev, one tenth test.
- Two files are train and test; the last tenth of the training file becomes dev.
- Three files are train, dev and test.

What cannot be said in a name (columns, encoding, other places) is said in a data set's file, see
`tasks.data.catalog`.
"""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Literal, TypeVar

from cellzoo.errors import DataError, DataNotFoundError
from cellzoo.system.paths import typed_path
from tasks.data.catalog import DataSet
from tasks.data.found import FoundData
from tasks.data.parts import find_part

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tasks.data.splits import Split

Item = TypeVar("Item")

KINDS: dict[str, Literal["lines", "tags", "vectors", "pairs"]] = {
    "text": "lines",
    "conll": "tags",
    "pairs": "pairs",
    **dict.fromkeys(("glove", "fasttext", "word2vec", "vectors"), "vectors"),
}
_ROLES: dict[int, tuple[str, ...]] = {1: ("all",), 2: ("train", "test"), 3: ("train", "dev", "test")}
_TENTHS = 10
_WHOLE = {"vectors": "word vectors", "pairs": "scored word pairs"}
"""Formats of one file that is not cut, and what they are."""


def is_own(name: str) -> bool:
    """Whether a name says files of the user's own."""
    return name.partition(":")[0] in KINDS and ":" in name


def find_own(name: str, data_dir: Path | None) -> FoundData:
    """Find the files that a name says, and digest their bytes as they are once unpacked.

    Args:
        name: `text:FILES` or `conll:FILES`, one to three files separated by commas.
        data_dir: The folder that they lie in; the current one if None.

    Raises:
        DataNotFoundError: A file is not in the folder.
        DataError: The name has more files, leaves the folder, or a file cannot be read.
    """
    kind, _, listed = name.partition(":")
    if KINDS[kind] in _WHOLE:
        return _find_whole(name, listed, data_dir)
    files = listed.split(",")
    if not all(files) or len(files) not in _ROLES:
        raise DataError(f"data {name!r}: expected one to three files, such as text:book.txt or conll:a,b,c")
    for file in files:
        if PurePosixPath(file).is_absolute() or ".." in PurePosixPath(file).parts:
            raise DataError(f"data {name!r}: {file!r} must lie below the folder that --data names")
    folder = data_dir or Path()
    parts = {}
    for role, file in zip(_ROLES[len(files)], files, strict=True):
        part = find_part(folder, (file,))
        if part is None:
            state = "is not a regular file" if (folder / file).exists() else "no such file"
            hint = "" if data_dir else "; name the folder that it lies in by --data DIR"
            raise DataNotFoundError(f"{folder / file}: {state}; it is part of the data {name!r}{hint}")
        parts[role] = part
    data_set = DataSet(
        name=f"own-{kind}",
        title=name,
        format=KINDS[kind],
        files={role: (file,) for role, file in zip(_ROLES[len(files)], files, strict=True)},
    )
    digests = {role: part.digest() for role, part in parts.items()}
    return FoundData(name, "own files", parts, digests, data_set)


def _find_whole(name: str, typed: str, data_dir: Path | None) -> FoundData:
    from tasks.data.vectors import file_digest

    kind = KINDS[name.partition(":")[0]]
    path = typed_path(typed, f"data {name!r}")
    folder = (data_dir or Path()) / path.parent
    part = find_part(folder, (path.name,)) if path.name else None
    if part is None:
        raise DataNotFoundError(
            f"{folder / path.name}: no such file; it is the {_WHOLE[kind]} {name!r}. A file is named by its "
            f"path, from the folder of --data or absolute; known {kind} by name, see cellzoo list data"
        )
    data_set = DataSet(name=f"own-{kind}", title=name, format=kind, files={kind: (path.name,)})
    digest = file_digest(part) if kind == "vectors" else part.digest()
    return FoundData(name, "own files", {kind: part}, {kind: digest}, data_set)


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
