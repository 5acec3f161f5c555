"""Groups records that may be averaged, and finds the settings in which groups differ.

Records form a group if task, revision, configuration and data digests are equal. If cells were tuned, the
search space and the number of trials replace the settings that were tuned. Baselines are not tuned, so they
are also added to the groups of tuned cells. If one task has several groups, the board shows the settings in
which they differ.
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
    """What all records of a group have in common, as JSON text.

    Args:
        record: A record of the group.
        any_budget: Whether to ignore the number of tuning trials.
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
    """Whether an untuned baseline was run with the settings that all tuned cells have in common."""
    drawn = tuned.tuning.space if tuned.tuning else ()
    return _about(baseline, drawn) == _about(tuned, drawn)


def flat_settings(record: RunRecord) -> dict[str, str]:
    """All settings that a group has in common: dotted name -> value as JSON text."""
    flat = dict(_flatten(record.configuration, ""))
    if record.tuning is not None:
        flat |= dict.fromkeys(record.tuning.space, f"tuned, best of {record.tuning.trials}")
    flat["task revision"] = str(record.task.revision)
    for name, reference in sorted(record.data.items()):
        for role, digest in sorted(reference.sha256.items()):
            flat[f"{name} {role}, sha256"] = digest
    return flat


def differences(groups: Sequence[Sequence[RunRecord]]) -> list[dict[str, str]]:
    """For each group of one task, its values of the settings that differ between the groups.

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
