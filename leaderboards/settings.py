"""Which records may be averaged, and how groups of records differ.

Records belong together if task, revision, configuration and data digests are all equal. Where one task
has several such groups, the board says in which settings they differ.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pydantic import JsonValue

    from tasks.runs.record import RunRecord

NOT_SET = "not set"


def group_by_settings(records: Sequence[RunRecord]) -> list[list[RunRecord]]:
    """Split records into groups of equal settings, by task name, then revision, then settings."""
    groups: dict[tuple[str, int, str], list[RunRecord]] = {}
    for record in records:
        data = {name: reference.sha256 for name, reference in record.data.items()}
        shared = json.dumps([record.configuration, data], sort_keys=True)
        groups.setdefault((record.task.name, record.task.revision, shared), []).append(record)
    return [groups[identity] for identity in sorted(groups)]


def flat_settings(record: RunRecord) -> dict[str, str]:
    """Everything that a group shares: dotted name -> value as JSON text."""
    flat = dict(_flatten(record.configuration, ""))
    flat["task revision"] = str(record.task.revision)
    for name, reference in sorted(record.data.items()):
        for role, digest in sorted(reference.sha256.items()):
            flat[f"{name} {role}, sha256"] = digest
    return flat


def differences(groups: Sequence[Sequence[RunRecord]]) -> list[dict[str, str]]:
    """For each group of one task, the settings in which the groups are not all alike.

    A setting that a group does not have is given as `not set`.
    """
    flats = [flat_settings(group[0]) for group in groups]
    names = dict.fromkeys(name for flat in flats for name in flat)
    unlike = [name for name in names if len({flat.get(name) for flat in flats}) > 1]
    return [{name: flat.get(name, NOT_SET) for name in unlike} for flat in flats]


def _flatten(value: JsonValue, prefix: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict) and value:
        for name, inner in value.items():
            yield from _flatten(inner, f"{prefix}.{name}" if prefix else name)
    elif prefix:
        yield prefix, json.dumps(value, ensure_ascii=False)
