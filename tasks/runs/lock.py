"""One command at a time in an output folder."""

from __future__ import annotations

import errno
import json
import os
import stat
from contextlib import contextmanager, suppress
from datetime import datetime
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from cellzoo.errors import OutputError
from cellzoo.system.atomic import output_errors, write_atomically
from cellzoo.system.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LOCK = "run.lock"
HOLDER = "run.lock.json"


class _Holder(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    pid: int = Field(ge=1)
    since: str = Field(max_length=40)


@contextmanager
def locked(out: Path) -> Iterator[None]:
    """Make the output folder if need be and hold it; the system lets go of it when the process dies.

    Raises:
        OutputError: Another command holds it (the message says which process, since when), or the folder
            cannot be made or written.
    """
    with output_errors(out):
        out.mkdir(parents=True, exist_ok=True)
        # Without locks of the system filelock takes a file in their place, which a kill leaves behind.
        lock = FileLock(out / LOCK, timeout=0, thread_local=False, fallback_to_soft=False)
        try:
            lock.acquire()
        except OSError as error:
            if isinstance(error, Timeout):
                raise OutputError(f"{out}: another run is writing to it{_holder(out)}. {_ADVICE}") from error
            if error.errno not in _NO_LOCKS:
                raise
            raise OutputError(
                f"{out}: its file system has no locks ({error.strerror}), so two commands at once could not be "
                "told apart; name a folder on another file system with --out"
            ) from error
        except RuntimeError as error:
            raise OutputError(f"{out}: another run is writing to it{_holder(out)}. {_ADVICE}") from error
    try:
        since = datetime.now().astimezone().isoformat(sep=" ", timespec="seconds")
        write_atomically(out / HOLDER, json.dumps({"pid": os.getpid(), "since": since}).encode())
        yield
    finally:
        with suppress(OSError):
            (out / HOLDER).unlink()
        lock.release()


_NO_LOCKS = (errno.ENOSYS, errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP)
_LARGEST_HOLDER = 10_000
_ADVICE = "Wait until it ends, or give another folder with --out."


def _holder(out: Path) -> str:
    path = out / HOLDER
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode) or status.st_size > _LARGEST_HOLDER:
            return ""
        holder = _Holder.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return ""
    return f" (process {holder.pid}, since {printable(holder.since)})"
