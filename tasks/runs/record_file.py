"""The file of a run record: written with a digest over its fields, read against the schema and its own key."""

from __future__ import annotations

import json
import re
import stat
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from cellzoo.errors import RecordError
from cellzoo.system.regular_file import read_json, read_regular
from tasks.runs.record import SCHEMA_VERSION, SHA256_PATTERN, RunRecord
from tasks.runs.record_key import content_digest, key_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

LARGEST_RECORD = 100_000_000
"""Bytes; a history of 3,600 epochs has about a million."""
LARGEST_NUMBER = 1e100
"""Its square is still a number; what is larger has diverged."""
_SURROGATE = re.compile("[\ud800-\udfff]")


def encode_record(record: RunRecord) -> bytes:
    """Write a record as the JSON text that `read_record` reads: its fields, and a digest over them."""
    content = record.model_dump(mode="json")
    content["digest"] = content_digest(content)
    return json.dumps(content, ensure_ascii=False, indent=1, allow_nan=False).encode() + b"\n"


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
    if cell.kind == "cell" and not re.fullmatch(SHA256_PATTERN, cell.hash or ""):
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
