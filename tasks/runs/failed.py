"""Runs that failed, kept as records are: what was run, and why it has no result.

OUT/failures/<stem of the record that it would have>.json

A later command tries such a run again; once its record is there, its failure is gone.
"""

from __future__ import annotations

import json
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from pydantic import ValidationError

from cellzoo.errors import OutputError
from cellzoo.system.atomic import write_atomically
from cellzoo.system.regular_file import read_json, read_regular
from tasks.runs.job import record_head
from tasks.runs.record import CodeVersion, Environment, RunHead
from tasks.runs.record_key import key_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tasks.runs.events import Failure
    from tasks.runs.job import Job

FOLDER = "failures"
LARGEST_FILE = 1 << 20
LONGEST_MESSAGE = 2000


class FailedRun(RunHead):
    """A run without a result. `message` says why, in one line as a rule."""

    message: str
    code: CodeVersion
    environment: Environment
    created: str


class FailureStore:
    """The failures below one output folder.

    Args:
        out: The output folder.
    """

    def __init__(self, out: Path) -> None:
        self.folder = out / FOLDER

    def keep(self, failure: Failure, code: CodeVersion, environment: Environment) -> None:
        """Write a failure; where that cannot be, it is in the report all the same."""
        failed = FailedRun(
            **record_head(failure.job),
            message=failure.message.encode(errors="replace").decode()[:LONGEST_MESSAGE],
            code=code,
            environment=environment,
            created=datetime.now(UTC).isoformat(timespec="seconds"),
        )
        content = json.dumps(failed.model_dump(mode="json"), ensure_ascii=False, indent=1, allow_nan=False)
        with suppress(OutputError, OSError):
            self.folder.mkdir(parents=True, exist_ok=True)
            write_atomically(self.folder / f"{failure.job.stem}.json", content.encode() + b"\n")

    def forget(self, job: Job) -> None:
        """Remove the failure of a run that is done."""
        with suppress(OSError):
            (self.folder / f"{job.stem}.json").unlink(missing_ok=True)

    def read(self) -> Iterator[FailedRun]:
        """All failures, by the names of their files; what is not a failure is left out."""
        try:
            paths = sorted(self.folder.glob("*.json"))
        except OSError:
            return
        for path in paths:
            with suppress(OSError, ValueError, ValidationError, RecursionError):
                failed = FailedRun.model_validate(read_json(read_regular(path, LARGEST_FILE).decode()))
                if key_of(failed) == failed.key:
                    yield failed
