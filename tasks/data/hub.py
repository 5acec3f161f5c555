"""Data sets of the Hugging Face hub, read by the package `datasets`, at a pinned revision.

They are written once as files in the original format into cellzoo's cache, so that all that reads and digests
data sees one form, and no run needs the package `datasets`.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from cellzoo.errors import DataError, DataNotFoundError
from cellzoo.system.atomic import output_errors, write_atomically
from cellzoo.system.extras import require
from tasks.data.hub_cache import arrow_files, parquet_below, parquet_files
from tasks.data.original import original_lines

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tasks.data.catalog import DataSet, Hub


def fetch_from_hub(data_set: DataSet, hub: Hub, folder: Path, *, offline: bool = False) -> None:
    """Write the files of a data set, in its original format, from the hub or from its cache on this machine.

    Args:
        data_set: What it is; its first path for each role names the file.
        hub: Where it is on the hub.
        folder: The folder that is made, whole or not at all.
        offline: Take what the hub's cache on this machine has, and ask nobody.

    Raises:
        MissingDependencyError: The package `datasets` is not installed.
        DataNotFoundError: It is not in the cache and the hub cannot be reached; the message says what helps.
        DataError: A file is damaged, or lacks a column.
        OutputError: The folder cannot be written.
    """
    require("datasets", "datasets")
    if not offline and not all(_on_this_machine(hub, split) for split in hub.splits.values()):
        _download(hub)
    making = folder.with_name(f".{folder.name}-{uuid4().hex}")
    try:
        for role, split in hub.splits.items():
            path = making / next(name for name in data_set.files[role] if "!" not in name)
            with output_errors(path):
                path.parent.mkdir(parents=True, exist_ok=True)
            lines = _lines(data_set, hub, role, split)
            write_atomically(path, "".join(f"{line}\n" for line in lines).encode())
        with output_errors(folder):
            if folder.is_dir():
                shutil.rmtree(folder)
            making.replace(folder)
    finally:
        shutil.rmtree(making, ignore_errors=True)


def _on_this_machine(hub: Hub, split: str) -> list[Path]:
    return arrow_files(hub, split) or parquet_files(hub, split)


def _download(hub: Hub) -> None:
    """Let the hub's own package download the Parquet files into its cache; it goes on where it broke off."""
    from huggingface_hub import snapshot_download

    patterns = [
        pattern
        for split in hub.splits.values()
        for pattern in (f"{hub.config}/{split}-*.parquet", f"{hub.config}/{split}/*.parquet")
    ]
    try:
        place = snapshot_download(
            hub.repository, repo_type="dataset", revision=hub.revision, allow_patterns=patterns
        )
    except Exception as error:  # requests', httpx's and the package's own errors, by its release
        raise DataNotFoundError(
            f"data set {hub.repository!r} at {hub.revision} could not be had from the Hugging Face hub: "
            f"{type(error).__name__}: {' '.join(str(error).split())[:200]}. If the net is there, see that "
            "HF_HUB_OFFLINE is not set; without it, copy the hub's cache (HF_HOME) from a machine that has it"
        ) from error
    absent = [split for split in hub.splits.values() if not parquet_below(Path(place), hub.config, split)]
    if absent:
        raise DataError(
            f"data set {hub.repository!r} at {hub.revision}: has no Parquet files of {hub.config!r} for "
            f"{', '.join(absent)}"
        )


def _lines(data_set: DataSet, hub: Hub, role: str, split: str) -> Iterator[str]:
    rows, features, place = _open(hub, split)
    absent = [column for column in hub.columns if column not in features]
    if absent:
        raise DataError(f"{place}: has no column {absent[0]!r}; it has {', '.join(features)}")
    types = [features[column] for column in hub.columns]
    is_single = [getattr(kind, "dtype", "") == "float32" for kind in types]
    names = getattr(getattr(types[-1], "feature", None), "names", None) or ()
    values = (
        tuple(
            _shortest(row[column]) if single else row[column]
            for column, single in zip(hub.columns, is_single, strict=True)
        )
        for row in rows
    )
    try:
        yield from original_lines(data_set, role, values, names)
    except DataError as error:
        raise DataError(f"{place}, {error}") from error
    except Exception as error:  # pyarrow's and the package's own
        raise _damaged(place, error) from error


def _shortest(value: float) -> float:
    """The shortest decimal number that a single-precision one stands for: 3.8, where it is 3.79999995."""
    import numpy as np

    return float(str(np.float32(value)))


def _open(hub: Hub, split: str) -> tuple[Any, Mapping[str, Any], str]:
    """Rows, types of the columns, and the files for messages."""
    import datasets

    arrow = arrow_files(hub, split)
    files = arrow or parquet_files(hub, split)
    place = ", ".join(map(str, files))
    try:
        if arrow:
            rows = datasets.concatenate_datasets([datasets.Dataset.from_file(str(path)) for path in arrow])
        else:
            names = [str(path) for path in files]
            rows = datasets.load_dataset("parquet", data_files=names, split="train", streaming=True)
        features = rows.features
        if features is None:
            raise ValueError("its columns are not known")
    except Exception as error:  # pyarrow's and the package's own
        raise _damaged(place, error) from error
    return rows, features, place


def _damaged(place: str, error: Exception) -> DataError:
    words = " ".join(str(error.__cause__ or error).split())
    return DataError(f"{place}: cannot be read: {words[:200]}. Delete the file and fetch the data set again")
