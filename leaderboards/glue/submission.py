"""Packs predictions for GLUE's test sets into an archive that its evaluation server accepts.

One tab-separated file for each test set, with the header `index prediction`, rows in the order of the test
file, and the label strings of the training data (https://gluebenchmark.com/faq).
"""

from __future__ import annotations

import io
import math
import zipfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cellzoo.errors import DataError, RecordError
from cellzoo.system.atomic import write_atomically
from leaderboards.evidence import read_columns
from tasks.data.archives import FAULTS
from tasks.data.catalog import find_set

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from leaderboards.collect import Collection
    from tasks.runs.record import RunRecord

HEADER = "index\tprediction"
_PART = "unlabelled"
_LARGEST = 64 << 20
"""Most bytes of one file in a submission; the largest, QQP's, has about four million."""
_EPOCH = (1980, 1, 1, 0, 0, 0)
"""Modification time of all files in the archive, so that equal predictions give equal archives."""


@dataclass(frozen=True)
class OfficialFile:
    """A file of a submission.

    Attributes:
        name: Its name in the archive.
        task: The task whose model makes the predictions.
        role: The role of the file with the examples in the task's data set.
        rows: Number of examples in the official test set.
    """

    name: str
    task: str
    role: str
    rows: int


FILES = (
    OfficialFile("CoLA.tsv", "cola", "test", 1063),
    OfficialFile("SST-2.tsv", "sst-2", "test", 1821),
    OfficialFile("MRPC.tsv", "mrpc", "test", 1725),
    OfficialFile("STS-B.tsv", "sts-b", "test", 1379),
    OfficialFile("QQP.tsv", "qqp", "test", 390_965),
    OfficialFile("MNLI-m.tsv", "mnli", "test", 9796),
    OfficialFile("MNLI-mm.tsv", "mnli", "test_mismatched", 9847),
    OfficialFile("QNLI.tsv", "qnli", "test", 5463),
    OfficialFile("RTE.tsv", "rte", "test", 3000),
    OfficialFile("WNLI.tsv", "wnli", "test", 146),
    OfficialFile("AX.tsv", "mnli", "diagnostic", 1104),
)


def write_submission(collection: Collection, cell: str, seed: int, path: Path) -> list[str]:
    """Check the predictions of one cell and seed on all tasks, and write them as an archive.

    Returns:
        A line about each file.

    Raises:
        RecordError: Predictions of a task are missing, or several runs match.
        DataError: The predictions are not of the official test sets.
        OutputError: The archive cannot be written.
    """
    contents: dict[str, str] = {}
    missing: list[str] = []
    lines: list[str] = []
    for file in FILES:
        record = _record(collection, file.task, cell, seed)
        predictions = None if record is None else _predictions(collection, record, file.role)
        if record is None or predictions is None:
            reason = "no run" if record is None else f"no predictions of the {file.role} file"
            missing.append(f"  {file.name}: {reason} of {file.task} by {cell} with seed {seed}")
            continue
        contents[file.name] = "\n".join([HEADER, *_rows(file.task, predictions)]) + "\n"
        lines.append(f"{file.name}: {len(predictions):,} predictions, run {record.key[:12]}")
    if missing:
        raise RecordError(
            f"{len(missing)} of {len(FILES)} files cannot be made, and GLUE's server accepts only complete "
            "submissions:\n"
            + "\n".join(missing)
            + "\nRun these tasks with their test files in the data folder, "
            "for MNLI also the diagnostic set: `cellzoo data where mnli` lists where files are looked for"
        )
    faults = list(_faults(contents))
    if faults:
        raise DataError("the predictions are not those of GLUE's test sets:\n" + "\n".join(faults))
    write_atomically(path, _packed(contents))
    return lines


def check_submission(path: Path) -> list[str]:
    """Check an archive as GLUE's server would and return its faults; an empty list if it is valid.

    Raises:
        DataError: The file cannot be read, or is not a zip archive.
    """
    contents: dict[str, str] = {}
    faults: list[str] = []
    try:
        with zipfile.ZipFile(path) as archive:
            for entry in archive.infolist():
                if entry.file_size > _LARGEST:
                    faults.append(f"{entry.filename}: has {entry.file_size:,} bytes; at most {_LARGEST:,}")
                    continue
                contents[entry.filename] = archive.read(entry).decode()
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from error
    except FAULTS as error:
        raise DataError(f"{path}: is not a zip archive of text files ({error})") from error
    return [*faults, *_faults(contents)]


def _record(collection: Collection, task: str, cell: str, seed: int) -> RunRecord | None:
    found = [
        record
        for record in collection.records
        if (record.task.name, record.cell.name, record.seed) == (task, cell, seed)
        and record.purpose == "evaluation"
    ]
    if len(found) > 1:
        keys = ", ".join(record.key[:12] for record in found)
        raise RecordError(
            f"{task} by {cell} with seed {seed}: {len(found)} runs with different settings or cells ({keys}); "
            "give a results folder that contains only one of them"
        )
    return found[0] if found else None


def _predictions(collection: Collection, record: RunRecord, role: str) -> Sequence[Any] | None:
    columns = read_columns(collection.items[record.key], _PART)
    if role not in columns.get("file", ()):
        return None
    found: Sequence[Any] = columns["predictions"][columns["file"].index(role)]
    return found


def _rows(task: str, predictions: Sequence[Any]) -> Iterator[str]:
    table = find_set(task).table
    labels = () if table is None else table.labels
    for index, value in enumerate(predictions):
        yield f"{index}\t{labels[value] if labels else format(min(5.0, max(0.0, value)), '.3f')}"


def _packed(contents: Mapping[str, str]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in contents.items():
            entry = zipfile.ZipInfo(name, _EPOCH)
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, text)
    return buffer.getvalue()


def _faults(contents: Mapping[str, str]) -> Iterator[str]:
    known = {file.name for file in FILES}
    for name in sorted(contents.keys() - known):
        yield f"{name}: is not a file of a submission; expected {', '.join(sorted(known))}"
    for file in FILES:
        if file.name not in contents:
            yield f"{file.name}: is missing"
        else:
            yield from _faults_of(file, contents[file.name])


def _faults_of(file: OfficialFile, text: str) -> Iterator[str]:
    table = find_set(file.task).table
    labels = () if table is None else table.labels
    header, *rows = text.splitlines() or [""]
    if header != HEADER:
        yield f"{file.name}:1: is {header!r:.60}; expected the header {HEADER!r}"
    if len(rows) != file.rows:
        yield f"{file.name}: has {len(rows):,} predictions; the official test set has {file.rows:,} examples"
    for index, row in enumerate(rows):
        number, tab, value = row.partition("\t")
        if number != str(index) or not tab:
            yield f"{file.name}:{index + 2}: is {row!r:.60}; expected the index {index}, a tab and a prediction"
            return
        if not _is_known(value, labels):
            right = ", ".join(labels) if labels else "a number from 0 to 5"
            yield f"{file.name}:{index + 2}: the prediction is {value!r:.60}; expected {right}"
            return


def _is_known(value: str, labels: Sequence[str]) -> bool:
    if labels:
        return value in labels
    try:
        return 0.0 <= float(value) <= 5.0 and math.isfinite(float(value))
    except ValueError:
        return False
