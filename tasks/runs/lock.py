"""One command at a time in an output folder."""

from __future__ import annotations

import json
import os
from contextlib import contextmanager, suppress
from datetime import datetime
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from cellzoo.errors import OutputError
from cellzoo.system.atomic import output_errors, write_atomically

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LOCK = "run.lock"
HOLDER = "run.lock.json"


@contextmanager
def locked(out: Path) -> Iterator[None]:
    """Make the output folder if need be and hold it; the system lets go of it when the process dies.

    Raises:
        OutputError: Another command holds it (the message says which process, since when), or the folder
            cannot be made or written.
    """
    with output_errors(out):
        out.mkdir(parents=True, exist_ok=True)
        lock = FileLock(out / LOCK, timeout=0, thread_local=False)
        try:
            lock.acquire()
        except (Timeout, RuntimeError) as error:
            raise OutputError(f"{out}: another run is writing to it{_holder(out)}. {_ADVICE}") from error
    try:
        since = datetime.now().astimezone().isoformat(sep=" ", timespec="seconds")
        write_atomically(out / HOLDER, json.dumps({"pid": os.getpid(), "since": since}).encode())
        yield
    finally:
        with suppress(OSError):
            (out / HOLDER).unlink()
        lock.release()


_ADVICE = "Wait until it ends, or give another folder with --out."


def _holder(out: Path) -> str:
    try:
        content = json.loads((out / HOLDER).read_text(encoding="utf-8"))
        return f" (process {content['pid']:d}, since {content['since']:.40})"
    except (OSError, ValueError, KeyError, TypeError):
        return ""
