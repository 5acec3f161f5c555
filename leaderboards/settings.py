"""Which records may be averaged, and how groups of records differ.

Records belong together if task, revision, configuration and data digests are all equal; where cells were tuned,
the space and the number of trials in the place of the settings that were drawn. Baselines are not tuned, and
stand with such cells too. Where one task has several groups, the board says in which settings they differ.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from pydantic import JsonValue

    from tasks.runs.record import RunHead, RunRecord

NOT_SET = "not set"


def group_by_settings(records: Sequence[RunRecord]) -> list[list[RunRecord]]:
    """Split records into groups of equal settings, by task name, then revision, then settings."""
    groups: dict[str, list[RunRecord]] = {}
    for record in records:
        groups.setdefault(shared_settings(record), []).append(record)
    tuned = [group for group in groups.values() if group[0].tuning is not None]
    for identity, group in [(key, group) for key, group in groups.items() if group[0].tuning is None]:
        baselines = [record for record in group if record.cell.hash is None]
        takers = [other for other in tuned if baselines and _is_untuned(baselines[0], other[0])]
        for other in takers:
            other += baselines
        if takers and len(baselines) == len(group):
            del groups[identity]
    places = {id(group): (group[0].task.name, group[0].task.revision, key) for key, group in groups.items()}
    return sorted(groups.values(), key=lambda group: places[id(group)])


def shared_settings(record: RunHead, *, any_budget: bool = False) -> str:
    """What all records of a group have alike, as JSON text.

    Args:
        record: One of them.
        any_budget: Whether tuning with any number of trials is alike.
    """
    tuning = None
    if record.tuning is not None:
        tuning = [record.tuning.space, None if any_budget else record.tuning.trials]
    drawn = record.tuning.space if record.tuning else ()
    return json.dumps([*_about(record, drawn), tuning], sort_keys=True)


def _about(record: RunHead, drawn: Iterable[str]) -> list[object]:
    data = {name: reference.sha256 for name, reference in record.data.items()}
    left_out = set(drawn)
    kept = {name: value for name, value in record.configuration.items() if name not in left_out}
    return [record.task.name, record.task.revision, kept, data]


def _is_untuned(baseline: RunRecord, tuned: RunRecord) -> bool:
    """Whether a baseline, which is not tuned, ran under what is alike for all cells that were."""
    drawn = tuned.tuning.space if tuned.tuning else ()
    return _about(baseline, drawn) == _about(tuned, drawn)


def flat_settings(record: RunRecord) -> dict[str, str]:
    """Everything that a group shares: dotted name -> value as JSON text."""
    flat = dict(_flatten(record.configuration, ""))
    if record.tuning is not None:
        flat |= dict.fromkeys(record.tuning.space, f"tuned, best of {record.tuning.trials}")
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
