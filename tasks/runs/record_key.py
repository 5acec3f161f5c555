"""The key of a run: a hash of everything that decides its number."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tasks.runs.record import RunHead, TuningReference


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


def content_digest(content: Mapping[str, Any]) -> str:
    """Hash the fields of a record as JSON data: 64 hexadecimal digits. It shows that a record was edited."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()
