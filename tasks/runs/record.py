"""The run record: the one schema of a result.

One JSON file for one (task, configuration, data, cell, seed), and beside it one JSON object a line for every
item that was evaluated. The record names the items file and its digest; the items file is written first, so a
record that exists is complete.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
import stat
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from cellzoo.errors import RecordError
from cellzoo.system.regular_file import read_json, read_regular

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

SCHEMA_VERSION = 1
LARGEST_RECORD = 100_000_000
"""Bytes; a history of 3,600 epochs has about a million."""
LARGEST_NUMBER = 1e100
"""Its square is still a number; what is larger has diverged."""
_SURROGATE = re.compile("[\ud800-\udfff]")
NAME_PATTERN = r"^[a-z0-9][a-z0-9._+-]{0,79}$"
_SHA256 = r"^[0-9a-f]{64}$"


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class TaskReference(_Strict):
    """Which task, in which revision."""

    name: str = Field(pattern=NAME_PATTERN)
    revision: int = Field(ge=1)
    title: str


class CellReference(_Strict):
    """Which cell. `hash` identifies the graph, a baseline has none; `genotype` in `notation` can rebuild it.

    `init` is how its weights started, where the run took them as they were published.
    """

    name: str = Field(pattern=NAME_PATTERN)
    kind: Literal["cell", "baseline"]
    hash: str | None
    origin: str
    notation: str
    genotype: str
    init: dict[str, float | str] = {}


class DataReference(_Strict):
    """Which files a data set was read from, by role."""

    origin: str
    sha256: dict[str, str]


class MetricValue(_Strict):
    """One measured number with what a table needs to show it; null where the data does not define it."""

    value: float | None
    title: str
    higher_is_better: bool
    digits: int = Field(ge=0, le=12)


class ItemsReference(_Strict):
    """The per-item statistics beside the record."""

    file: str = Field(pattern=r"^[a-z0-9][A-Za-z0-9._+-]*$")
    sha256: str = Field(pattern=_SHA256)
    count: int = Field(ge=0)


class Parameters(_Strict):
    """Parameter counts of the trained model."""

    cell: int = Field(ge=0)
    total_without_embeddings: int = Field(ge=0)
    total: int = Field(ge=0)


class LatencyReference(_Strict):
    """Milliseconds for a test item alone, by one thread: the median, and what 95 % of the items stay below."""

    median_ms: float = Field(ge=0)
    p95_ms: float = Field(ge=0)
    items: int = Field(ge=1)


class Timing(_Strict):
    """Wall seconds by phase, throughput over the training phase, and latency where it was measured."""

    seconds: dict[str, float]
    total_seconds: float = Field(ge=0)
    tokens_per_second: float = Field(ge=0)
    latency: LatencyReference | None = None


class CodeVersion(_Strict):
    """Which code made the number. `revision` is None outside a checkout."""

    version: str
    revision: str | None
    dirty: bool | None


class Environment(_Strict):
    """Where it ran."""

    python: str
    packages: dict[str, str]
    platform: str
    processor: str
    device: str
    threads: int = Field(ge=1)


class HeldEqual(_Strict):
    """What every cell got equally much of, the width that was solved for it, and how near that came."""

    quantity: Literal["parameters", "flops", "time"]
    target: float = Field(gt=0)
    reached: float = Field(gt=0)
    hidden_size: int = Field(ge=1)

    @property
    def deviation(self) -> float:
        """Distance from the target as a share of it: -0.01 is one per cent less."""
        return self.reached / self.target - 1


class TuningReference(_Strict):
    """From which space a configuration was drawn, as which trial; and out of how many it was chosen.

    `trials` is None in the record of a trial itself; `chosen_by` is the metric on dev.
    """

    chosen_by: str
    space: dict[str, JsonValue]
    trial: int = Field(ge=0)
    trials: int | None = Field(default=None, ge=1)


class RunHead(_Strict):
    """Which run it is. `key` is `record_key` of everything that decides the number.

    `after` is the key of the run whose artifact is measured. A run whose `purpose` is confirmation measures, on
    a fresh seed, a cell that was chosen because its other runs were the best, and one that is for tuning a
    configuration that may be chosen: neither takes part in a ranking.
    """

    schema_version: Literal[1]
    key: str = Field(pattern=_SHA256)
    task: TaskReference
    cell: CellReference
    seed: int = Field(ge=0)
    purpose: Literal["evaluation", "confirmation", "tuning"] = "evaluation"
    tuning: TuningReference | None = None
    configuration: dict[str, JsonValue]
    data: dict[str, DataReference]
    after: str | None = Field(default=None, pattern=_SHA256)


class RunRecord(RunHead):
    """One result.

    `facts` are sizes of the data; `held` is what was held equal for all cells; `notes` is what a reader must
    know of the numbers.
    """

    metrics: dict[str, MetricValue] = Field(min_length=1)
    primary: str
    items: ItemsReference
    parameters: Parameters
    flops_per_token: int = Field(ge=0)
    tokens: int = Field(ge=0)
    timing: Timing
    history: list[dict[str, JsonValue]]
    facts: dict[str, int] = {}
    held: HeldEqual | None = None
    notes: list[str] = []
    code: CodeVersion
    environment: Environment
    created: str

    def value(self, name: str) -> float:
        """The value of a metric; NaN where the record does not have it, or the data does not define it."""
        metric = self.metrics.get(name)
        return math.nan if metric is None or metric.value is None else metric.value

    @property
    def score(self) -> float | None:
        """The value of the primary metric; None where the data does not define it."""
        return self.metrics[self.primary].value

    def comparable(self) -> dict[str, Any]:
        """Everything but times: equal for two runs of one key on one machine."""
        content = self.model_dump(mode="json")
        for name in ("timing", "created"):
            del content[name]
        content["history"] = [
            {key: value for key, value in epoch.items() if not key.startswith("seconds")}
            for epoch in content["history"]
        ]
        return content


def init_in_use(
    configuration: Mapping[str, Any], published: Mapping[str, float | str]
) -> dict[str, float | str]:
    """The published rules that a run draws weights by: none unless its setting `init` says so."""
    return dict(published) if configuration.get("init") == "published" else {}


def subject_key(subject: str, init: Mapping[str, float | str]) -> str:
    """What stands for a subject in a record's key.

    Args:
        subject: The cell's content hash, or `baseline:<name>`.
        init: As `init_in_use` gives it.
    """
    if not init:
        return subject
    # A whole number in a cell file is a float in a record.
    rules = [[selector, rule if isinstance(rule, str) else float(rule)] for selector, rule in init.items()]
    return f"{subject}:{content_digest({'init': rules})}"


def record_key(
    *,
    task: str,
    revision: int,
    subject: str,
    configuration: Mapping[str, Any],
    data: Mapping[str, Mapping[str, str]],
    seed: int,
    after: str | None = None,
    tuning: TuningReference | None = None,
) -> str:
    """Hash everything that decides the number.

    Args:
        task: Task name.
        revision: Task revision.
        subject: As `subject_key` gives it.
        configuration: All settings of the task.
        data: Data set name -> role -> sha256.
        seed: The seed.
        after: Key of the run whose artifact is read, if there is one.
        tuning: How the configuration was come by, where it was drawn.

    Returns:
        64 hexadecimal digits (sha256 of canonical JSON).
    """
    content = {
        "task": task,
        "revision": revision,
        "subject": subject,
        "configuration": dict(configuration),
        "data": {name: dict(roles) for name, roles in data.items()},
        "seed": seed,
    }
    if after is not None:
        content["after"] = after
    if tuning is not None:
        content["tuning"] = tuning.model_dump(mode="json")
    return content_digest(content)


def key_of(record: RunHead) -> str:
    """The key that follows from what a record says."""
    return record_key(
        task=record.task.name,
        revision=record.task.revision,
        subject=subject_key(record.cell.hash or f"baseline:{record.cell.name}", record.cell.init),
        configuration=record.configuration,
        data={name: reference.sha256 for name, reference in record.data.items()},
        seed=record.seed,
        after=record.after,
        tuning=record.tuning,
    )


def encode_record(record: RunRecord) -> bytes:
    """Write a record as the JSON text that `read_record` reads: its fields, and a digest over them."""
    content = record.model_dump(mode="json")
    content["digest"] = content_digest(content)
    return json.dumps(content, ensure_ascii=False, indent=1, allow_nan=False).encode() + b"\n"


def content_digest(content: Mapping[str, Any]) -> str:
    """Hash the fields of a record as JSON data: 64 hexadecimal digits. It shows that a record was edited."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def read_record(path: Path) -> RunRecord:
    """Read one record and check that its parts agree with one another.

    Raises:
        RecordError: The file is not JSON, not a run record, of another schema version, or was edited so that
            its key or its digest no longer fits; the message names the file, the place in it, the value,
            and what would be right.
    """
    try:
        content = read_json(_read_text(path))
    except OSError as error:
        raise RecordError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise RecordError(f"{path}: is not UTF-8 text (byte {error.start}); a run record is JSON") from error
    except ValueError as error:
        # Not only JSONDecodeError: an integer of thousands of digits is a plain ValueError.
        place = f"line {error.lineno}: " if isinstance(error, json.JSONDecodeError) else ""
        reason = error.msg if isinstance(error, json.JSONDecodeError) else str(error)
        raise RecordError(
            f"{path}: {place}is not complete JSON ({reason}); a run record is one JSON object. "
            "Delete the file and run its task again to replace it."
        ) from error
    if not isinstance(content, dict) or "schema_version" not in content:
        raise RecordError(f"{path}: is JSON but not a run record (no 'schema_version'); move it elsewhere")
    if content["schema_version"] != SCHEMA_VERSION:
        raise RecordError(
            f"{path}: schema_version is {content['schema_version']!r}; this version reads {SCHEMA_VERSION}"
        )
    odd = _odd_value(content)
    if odd:
        raise RecordError(f"{path}: {odd}")
    digest = content.pop("digest", None)
    try:
        record = RunRecord.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        found = "" if first["type"] == "missing" else f" (found {first['input']!r:.80})"
        more = f"; {error.error_count()} faults in all" if error.error_count() > 1 else ""
        raise RecordError(f"{path}: {place}: {first['msg']}{found}{more}") from error
    contradiction = _contradiction(record) or _edited(content, digest)
    if contradiction:
        raise RecordError(f"{path}: {contradiction}")
    return record


def _read_text(path: Path) -> str:
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise RecordError(f"{path}: is not a regular file; a run record is a JSON file. Move it elsewhere")
    if status.st_size > LARGEST_RECORD:
        raise RecordError(f"{path}: has {status.st_size:,} bytes; a run record has at most {LARGEST_RECORD:,}")
    return read_regular(path, LARGEST_RECORD).decode()


def _odd_value(content: Any, place: str = "") -> str:
    """Say which number or text cannot be computed with or written again, or nothing."""
    if isinstance(content, dict):
        pairs = [(f"{place}.{name}".removeprefix("."), item) for name, item in content.items()]
        return next(filter(None, map(_odd_text, content)), "") or _first_odd(pairs)
    if isinstance(content, list):
        return _first_odd([(f"{place}.{number}", item) for number, item in enumerate(content)])
    if isinstance(content, str):
        return _odd_text(content)
    if isinstance(content, int | float) and not abs(content) <= LARGEST_NUMBER:
        return f"{place:.80} is {content!r:.40}; it should be a finite number of at most {LARGEST_NUMBER:g}"
    return ""


def _first_odd(pairs: list[tuple[str, Any]]) -> str:
    return next((odd for place, item in pairs if (odd := _odd_value(item, place))), "")


def _odd_text(text: str) -> str:
    return "" if text.isascii() or _SURROGATE.search(text) is None else f"holds half a character: {text!r:.80}"


def _edited(content: Mapping[str, Any], digest: object) -> str:
    """Say that the content is not what was written, or nothing."""
    try:
        if digest == content_digest(content):
            return ""
    except ValueError as error:
        return f"holds a number that JSON does not know ({error})"
    found = "is missing" if digest is None else "does not fit the content"
    return f"digest: {found}: the record was edited. Delete the file and run its task again."


def _contradiction(record: RunRecord) -> str:
    """Say what does not fit together, or nothing."""
    cell = record.cell
    if cell.kind == "cell" and not re.fullmatch(_SHA256, cell.hash or ""):
        return f"cell.hash: a cell has 64 hexadecimal digits (found {cell.hash!r:.80})"
    if cell.kind == "baseline" and cell.hash is not None:
        return f"cell.hash: a baseline has none (found {cell.hash!r:.80})"
    if record.primary not in record.metrics:
        known = ", ".join(sorted(record.metrics))
        return f"primary: {record.primary!r:.80} is not among its metrics ({known:.200})"
    try:
        key = key_of(record)
    except ValueError as error:
        return f"configuration: holds a number that JSON does not know ({error})"
    if key != record.key:
        return (
            f"key: {record.key[:12]}… is not the key of its content ({key[:12]}…): the task, cell, "
            "configuration, data or seed was edited. Delete the file and run its task again."
        )
    return ""
