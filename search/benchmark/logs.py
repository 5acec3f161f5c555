"""Reads the published files of NAS-Bench-NLP and of the results on PTB, strictly.

A malformed log is skipped with a note, and never read in part.

Two kinds of runs: logs of a training (JSON, one a file, in a zip or a folder) with all losses of every epoch,
and rows of a table (CSV) with only the test loss of the last epoch. Losses are mean negative log-likelihoods
in nats per word; a run that diverged ends with NaN.

Sources: fmsnew/nas-bench-nlp-release (Klyuchnikov et al. 2020, arXiv 2006.07116), logs as its train.py writes
them; aaronserianni/training-free-nas (Serianni & Kalita, ACL 2023), `RNN_parameters.csv`.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import json
import math
import re
import zipfile
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from cellzoo.errors import CellzooError, DataError
from cellzoo.notations import nas_bench_nlp
from tasks.data.archives import FAULTS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

WIKITEXT2, PTB = "wikitext-2", "ptb"
EPOCHS = 50
"""Epochs of every published run that did not diverge."""
OK, DIVERGED = "OK", "loss is nan!"
_NAME = re.compile(r"log_stats_model_(\d{1,9})_[\w.-]{1,80}", re.ASCII)
_LISTS = ("wall_times", "train_losses", "val_losses", "test_losses")
_LARGEST_LOG = 1_000_000
_MOST_EPOCHS = 10_000
_MOST_SECONDS = 1e7
_FEATURES = re.compile(r"v\d\d")


@dataclass(frozen=True)
class LoggedRun:
    """One training that was published.

    Attributes:
        name: Name of its log, without `.json`.
        data: What it was trained on, `wikitext-2` or `ptb`.
        id: Number of the recipe, as published.
        recipe: The recipe as written in the log; empty if only its number is known.
        hash: Of the recipe's graph, or empty.
        parameters: Of the whole model; 0 if they were not published.
        diverged: Whether it ended in NaN.
        seconds: Of each epoch; empty if no epochs were published.
        train: Loss of each epoch.
        valid: Loss of each epoch.
        test: Loss of each epoch.
        final_test: Test loss of the last epoch.
    """

    name: str
    data: str
    id: int
    recipe: str
    hash: str
    parameters: int
    diverged: bool
    seconds: tuple[float, ...]
    train: tuple[float, ...]
    valid: tuple[float, ...]
    test: tuple[float, ...]
    final_test: float


@dataclass
class Source:
    """The runs of one file or folder.

    Attributes:
        path: The file or folder.
        sha256: Digest of the content, which does not depend on how it is packed.
        runs: By name.
        notes: What was skipped, and why, a sentence each.
    """

    path: Path
    sha256: str = ""
    runs: dict[str, LoggedRun] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def read_logs(path: Path) -> Source:
    """Read a zip or folder of logs.

    A file whose name does not end in `.json` is ignored. One that is not a log, or contradicts itself, is
    skipped with a note; so is a second log of the same name with different content.

    Raises:
        DataError: The zip is damaged, or nothing in it is a log.
    """
    source = Source(path)
    digest = hashlib.sha256()
    hashes: dict[str, str] = {}
    for name, content in sorted(_files(path)):
        digest.update(f"{name} {hashlib.sha256(content).hexdigest()}\n".encode())
        try:
            run = _read_log(name.removesuffix(".json"), content, hashes)
        except (CellzooError, ValueError, OverflowError, RecursionError) as error:
            source.notes.append(f"{path.name}: {name:.120}: {error!s:.300}; left out")
            continue
        if source.runs.setdefault(run.name, run) != run and repr(source.runs[run.name]) != repr(run):
            source.notes.append(
                f"{path.name}: {name:.120}: there is another log of the same name; this one is left out"
            )
    if not source.runs:
        first = f"; the first file: {source.notes[0]}" if source.notes else ""
        raise DataError(f"{path}: holds no log of NAS-Bench-NLP{first}")
    source.sha256 = digest.hexdigest()
    return source


def _files(path: Path) -> Iterator[tuple[str, bytes]]:
    """Name and content of each JSON file."""
    try:
        if path.is_dir():
            for file in path.glob("*.json"):
                yield file.name, _limited(file.name, file.stat().st_size, file.read_bytes)
            return
        with zipfile.ZipFile(path) as archive:
            for member in archive.infolist():
                name = member.filename.rpartition("/")[2]
                if name.endswith(".json") and not name.startswith("."):
                    yield name, _limited(name, member.file_size, lambda member=member: archive.read(member))
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from error
    except FAULTS as error:
        raise DataError(f"{path}: is not a complete zip of logs ({error}); get the file again") from error


def _limited(name: str, size: int, read: Any) -> bytes:
    """The content of a file; for one that is too large to be a log, a JSON text that says so."""
    return read() if size <= _LARGEST_LOG else f'"{name[:80]} has {size} bytes"'.encode()


def _read_log(name: str, content: bytes, hashes: dict[str, str]) -> LoggedRun:
    """Read one log; raises `CellzooError` or `ValueError` with what is wrong."""
    log = json.loads(content.decode("utf-8"))
    wanted = ("recepie", "recepie_id", "data", "num_params", "status", *_LISTS)
    if not isinstance(log, dict) or any(key not in log for key in wanted):
        missing = [key for key in wanted if not isinstance(log, dict) or key not in log]
        raise DataError(f"is not a log of a training: it lacks {', '.join(missing[:4])}")
    recipe, identity, status = log["recepie"], log["recepie_id"], log["status"]
    if not isinstance(recipe, str) or not _is_whole(identity) or not _is_whole(log["num_params"]):
        raise DataError("recepie is not a text, or recepie_id or num_params is not a whole number above 0")
    if status not in (OK, DIVERGED):
        raise DataError(f"status is {status!r:.60}; expected {OK!r} or {DIVERGED!r}")
    if recipe not in hashes:
        hashes[recipe] = nas_bench_nlp.parse(recipe).hash
    columns = {key: _numbers(key, log[key]) for key in _LISTS}
    epochs = {len(values) for values in columns.values()}
    if len(epochs) != 1 or epochs == {0}:
        raise DataError(f"its lists have {', '.join(f'{len(columns[key])} {key}' for key in _LISTS)}")
    if not all(0 < seconds < _MOST_SECONDS for seconds in columns["wall_times"]):
        raise DataError("a wall time is not a number of seconds above 0")
    losses = [columns[key] for key in _LISTS[1:]]
    if not all(math.isfinite(value) for values in losses for value in values[:-1]) or (
        status == OK and not all(math.isfinite(values[-1]) for values in losses)
    ):
        raise DataError("a loss is NaN although the training went on or ended well")
    return LoggedRun(
        name=name,
        data=_data(log["data"]),
        id=identity,
        recipe=recipe,
        hash=hashes[recipe],
        parameters=log["num_params"],
        diverged=status == DIVERGED,
        seconds=columns["wall_times"],
        train=columns["train_losses"],
        valid=columns["val_losses"],
        test=columns["test_losses"],
        final_test=columns["test_losses"][-1],
    )


def _data(text: Any) -> str:
    """The name of a data set from the path in a log."""
    name = re.split(r"[/\\]", text.rstrip("/\\"))[-1] if isinstance(text, str) else ""
    if name not in (WIKITEXT2, PTB):
        raise DataError(f"data is {text!r:.80}; expected a path that ends in {WIKITEXT2} or {PTB}")
    return name


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value < 2**53


def _numbers(key: str, values: Any) -> tuple[float, ...]:
    if not isinstance(values, list) or len(values) > _MOST_EPOCHS:
        raise DataError(f"{key} is not a list of at most {_MOST_EPOCHS} numbers")
    if not all(isinstance(value, float | int) and not isinstance(value, bool) for value in values):
        raise DataError(f"{key} holds something that is not a number")
    return tuple(float(value) for value in values)


def read_final_losses(path: Path) -> Source:
    """Read the table of last-epoch test losses on PTB.

    If a name occurs twice, the first row counts. Rows with other names than those of logs are skipped, and
    their number is noted. In one published row the heading follows the last field without a line break; only
    the digits of that field are read.

    Raises:
        DataError: The file is not that table, or a row of a log has no loss or no parameters.
    """
    source = Source(path)
    text = _text(path)
    source.sha256 = hashlib.sha256(text.encode()).hexdigest()
    rows = _rows(path, text)
    heading = next(rows, [])
    if heading[:2] != ["log name", "loss"] or len(heading) != 6:
        raise DataError(
            f"{path}:1: expected the columns 'log name', 'loss' and four more, not {heading!r:.200}"
        )
    others = repeated = 0
    for number, row in enumerate(rows, start=2):
        match = _NAME.fullmatch(row[0].removesuffix(".json")) if row else None
        if match is None:
            others += 1
            continue
        name = row[0].removesuffix(".json")
        parameters = re.match(r"\d{1,12}|nan$", row[5]) if len(row) >= 6 else None
        try:
            loss = float(row[1])
        except (IndexError, ValueError) as error:
            raise DataError(f"{path}:{number}: the loss of {name} is not a number: {row!r:.120}") from error
        if parameters is None or math.isinf(loss) or loss < 0:
            raise DataError(
                f"{path}:{number}: {name}: expected a loss and a number of parameters: {row!r:.120}"
            )
        if name in source.runs:
            repeated += 1
            continue
        source.runs[name] = LoggedRun(
            name=name,
            data=PTB,
            id=int(match.group(1)),
            recipe="",
            hash="",
            parameters=0 if parameters.group() == "nan" else int(parameters.group()),
            diverged=math.isnan(loss),
            seconds=(),
            train=(),
            valid=(),
            test=(),
            final_test=loss,
        )
    if not source.runs:
        raise DataError(f"{path}: has no row of a log")
    if others:
        source.notes.append(f"{path.name}: {others} rows are not those of a log; left out")
    if repeated:
        source.notes.append(f"{path.name}: {repeated} rows repeat a log's name; the first of each counts")
    return source


def read_features(path: Path) -> tuple[dict[int, tuple[float, ...]], str]:
    """Read the released graph2vec features, plain or gzipped.

    Returns:
        Number of a recipe -> vector, and the digest of the text.

    Raises:
        DataError: The file is not such a table, a number occurs twice, or a value is not finite.
    """
    text = _text(path)
    rows = _rows(path, text)
    heading = next(rows, [])
    if heading[:1] != ["recepie_id"] or not all(_FEATURES.fullmatch(name) for name in heading[1:]):
        raise DataError(f"{path}:1: expected the columns recepie_id, v00, v01, ..., not {heading!r:.120}")
    found: dict[int, tuple[float, ...]] = {}
    for number, row in enumerate(rows, start=2):
        try:
            identity, vector = int(row[0]), tuple(float(value) for value in row[1:])
        except (IndexError, ValueError) as error:
            raise DataError(f"{path}:{number}: is not a row of numbers: {row!r:.120}") from error
        if len(vector) != len(heading) - 1 or not all(map(math.isfinite, vector)) or identity in found:
            raise DataError(
                f"{path}:{number}: expected a recipe's number that is new and {len(heading) - 1} finite values"
            )
        found[identity] = vector
    return found, hashlib.sha256(text.encode()).hexdigest()


def _text(path: Path) -> str:
    try:
        content = path.read_bytes()
        if path.suffix == ".gz":
            content = gzip.decompress(content)
        return content.decode("utf-8-sig")
    except FAULTS as error:
        raise DataError(f"{path}: cannot be read as a table: {error!s:.200}") from error


def _rows(path: Path, text: str) -> Iterator[list[str]]:
    """The rows of a table.

    Raises:
        DataError: It is not CSV.
    """
    rows = csv.reader(io.StringIO(text))
    try:
        yield from rows
    except csv.Error as error:
        raise DataError(f"{path}:{rows.line_num}: is not a row of a table: {error}") from error


def recipe_number(identity: int) -> int:
    """The number that all seeds of a recipe share.

    Numbers repeat over seeds by a fixed shift: with k = id - 1,000,000, those below 6000 every 2000, those from
    6000 to below 12000 every 2000 as well. Inferred from the files: parameter counts agree in 6,992 of 7,007
    pairs, and the logs of WikiText-2 have no two recipes of one number.
    """
    k = identity - 1_000_000
    if 0 <= k < 6000:
        return 1_000_000 + k % 2000
    if 6000 <= k < 12_000:
        return 1_006_000 + (k - 6000) % 2000
    return identity
