"""Where run records lie: one folder, safe against kills, full disks and files of others.

OUT/records/<task>--<cell>--seed<seed>--<first 12 of the key>.json
OUT/records/<the same>.items.jsonl
"""

from __future__ import annotations

import hashlib
import json
import re
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cellzoo.errors import CellzooError, OutputError, RecordError
from cellzoo.system.atomic import TEMPORARY, output_errors, write_atomically
from tasks.runs.record import NAME_PATTERN, ItemsReference, RunRecord
from tasks.runs.record_file import encode_record, read_record

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

FOLDER = "records"
MAX_SEED = 2**32 - 1
_ITEMS = ".items.jsonl"
_RECORD = ".json"


def record_stem(task: str, subject: str, seed: int, key: str) -> str:
    """Name the files of a run, without suffix.

    Raises:
        CellzooError: A name that is not safe in a file name, or a seed out of range.
    """
    for kind, name in (("task", task), ("cell", subject)):
        if not re.fullmatch(NAME_PATTERN, name) or name.endswith("\n"):
            raise CellzooError(
                f"{kind} name {name!r}: expected 1 to 80 of a-z 0-9 . _ + - with a letter or digit first"
            )
    if not 0 <= seed <= MAX_SEED:
        raise CellzooError(f"seed {seed}: a seed is a whole number from 0 to {MAX_SEED}")
    if not re.fullmatch(r"[0-9a-f]{64}", key):
        raise CellzooError(f"record key {key!r}: a key has 64 hexadecimal digits")
    return f"{task}--{subject}--seed{seed}--{key[:12]}"


@dataclass(frozen=True)
class Survey:
    """What lies in a record folder.

    Attributes:
        records: Key -> record, of the records asked for that are there and whole.
        strangers: One message for each file that is not a whole record and was not asked for.
    """

    records: Mapping[str, RunRecord]
    strangers: tuple[str, ...]


class RecordStore:
    """The records below one output folder.

    Args:
        out: The output folder; it need not exist before something is written.
    """

    def __init__(self, out: Path) -> None:
        self.folder = out / FOLDER

    def survey(self, planned: Mapping[str, str]) -> Survey:
        """Find which planned records are there.

        A planned record counts as there if a file ends in its key's first digits, reads as a record, holds
        that key and what the key says, and its items file has the digest that the record names.

        Args:
            planned: Key -> file stem.

        Raises:
            RecordError: The file of a planned record is damaged or holds something else.
            OutputError: The folder cannot be read.
        """
        stems = set(planned.values())
        by_digits = {key[:12]: key for key in planned}
        records: dict[str, RunRecord] = {}
        strangers: list[str] = []
        for path in self._files():
            if path.name.endswith(_ITEMS) or TEMPORARY.fullmatch(path.name):
                continue
            if not path.name.endswith(_RECORD):
                strangers.append(f"{path}: is not a run record; left as it is")
                continue
            stem = path.name.removesuffix(_RECORD)
            wanted = by_digits.get(stem.rpartition("--")[2])
            try:
                record = read_record(path)
                if wanted is not None:
                    self._check(path, record, wanted)
                    records[wanted] = record
            except RecordError as error:
                if wanted is not None or stem in stems:
                    raise
                strangers.append(f"{error} (not needed now; left as it is)")
        return Survey(records, tuple(strangers))

    def find(self, stem: str, key: str) -> RunRecord | None:
        """The record of one run, or None if it is not there; errors as `survey`."""
        path = self.folder / (stem + _RECORD)
        if not path.exists():
            return None
        record = read_record(path)
        self._check(path, record, key)
        return record

    def of_run(self, task: str, subject: str, seed: int) -> Iterator[RunRecord]:
        """The whole records of a task, cell and seed, with any settings."""
        for path in self._files():
            if path.name.startswith(f"{task}--{subject}--seed{seed}--") and path.name.endswith(_RECORD):
                with suppress(RecordError):
                    yield read_record(path)

    def _files(self) -> list[Path]:
        try:
            return sorted(self.folder.iterdir())
        except FileNotFoundError:
            return []
        except OSError as error:
            raise OutputError(f"{self.folder}: cannot be read: {error.strerror or error}") from error

    def _check(self, path: Path, record: RunRecord, key: str) -> None:
        if record.key != key:
            raise RecordError(
                f"{path}: key is {record.key}, but the run that this file name belongs to has {key}. "
                "Move the file elsewhere."
            )
        items = self.folder / record.items.file
        try:
            if items.exists() and not items.is_file():
                raise RecordError(f"{items}: is not a regular file; {path.name} needs it")
            with items.open("rb") as stream:
                digest = hashlib.file_digest(stream, "sha256").hexdigest()
        except OSError as error:
            raise RecordError(
                f"{items}: cannot be read: {error.strerror or error}; {path.name} needs it. "
                "Delete the record and run its task again."
            ) from error
        if digest != record.items.sha256:
            raise RecordError(
                f"{items}: sha256 is {digest}, but {path.name} says {record.items.sha256}. "
                "Delete the record and run its task again."
            )

    def prepare(self) -> None:
        """Make the folder and clear away what killed runs left half written.

        Raises:
            OutputError: The folder cannot be made or written.
        """
        with output_errors(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            for path in self.folder.iterdir():
                if TEMPORARY.fullmatch(path.name):
                    path.unlink(missing_ok=True)

    def write_items(self, stem: str, items: Iterable[Mapping[str, Any]]) -> ItemsReference:
        """Write the per-item statistics of a run; they come before its record.

        Raises:
            CellzooError: An item has a value that is not plain finite JSON.
            OutputError: No space, no permission, or not a folder.
        """
        lines: list[str] = []
        for number, item in enumerate(items, 1):
            try:
                lines.append(
                    json.dumps(item, ensure_ascii=False, separators=(",", ":"), allow_nan=False) + "\n"
                )
            except (TypeError, ValueError) as error:
                raise CellzooError(f"item {number} cannot be kept: {error}: {item!r:.200}") from error
        content = "".join(lines).encode()
        name = stem + _ITEMS
        write_atomically(self.folder / name, content)
        return ItemsReference(file=name, sha256=hashlib.sha256(content).hexdigest(), count=len(lines))

    def write_record(self, stem: str, record: RunRecord) -> Path:
        """Write a record whose items file is written already.

        Raises:
            OutputError: No space, no permission, or not a folder.
        """
        path = self.folder / (stem + _RECORD)
        write_atomically(path, encode_record(record))
        return path
