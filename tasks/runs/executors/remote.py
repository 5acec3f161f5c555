"""What a worker of a Ray cluster does: says what it has, does jobs, hands records back.

Nothing here needs Ray. The worker writes records itself where it sees the output folder; elsewhere it works in
a folder of its own and hands the files over.
"""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import tempfile
import time
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from cellzoo.system.atomic import output_errors, write_atomically
from cellzoo.system.source_code import source_code
from tasks.runs.environment import describe_environment
from tasks.runs.events import Failure
from tasks.runs.execute import ARTIFACTS, attempt
from tasks.runs.executors.serial import thread_limit
from tasks.runs.lock import HOLDER
from tasks.runs.store import FOLDER, RecordStore
from tasks.runs.threads import thread_variables

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from tasks.data.found import FoundData
    from tasks.runs.execute import RunSetup
    from tasks.runs.job import Job
    from tasks.runs.record import RunRecord

_PACKAGES = ("cellzoo", "tasks", "search")
_SOURCES = (".py", ".toml")


@dataclass(frozen=True)
class Shipment:
    """A job on its way to a worker.

    Attributes:
        job: The job.
        setup: As on the machine that gives out the jobs.
        holder: Content of the lock's file there, by which a worker knows that it sees the same folder.
        files: Digest of each file of the data, by path.
        left: Content of the artifact that the job reads; None if it reads none.
    """

    job: Job
    setup: RunSetup
    holder: bytes
    files: Mapping[str, str]
    left: bytes | None = None


@dataclass(frozen=True)
class Delivery:
    """What comes back.

    Attributes:
        result: As of `attempt`.
        files: Content of files to be written below the output folder, in this order; none where the worker has
            written them itself.
    """

    result: RunRecord | Failure
    files: dict[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True)
class Equipment:
    """What must be the same on all machines.

    Attributes:
        host: Name of the machine, which need not be.
        python: Version, first two numbers.
        packages: Package -> version.
        code: Digest of the source files.
    """

    host: str
    python: str
    packages: Mapping[str, str]
    code: str


def equipment() -> Equipment:
    """What this machine has."""
    packages = describe_environment("cpu", 1).packages
    python = ".".join(platform.python_version_tuple()[:2])
    return Equipment(platform.node(), python, packages, code_digest())


def difference(ours: Equipment, theirs: Equipment) -> str:
    """Say what a worker has that is not as here, or nothing."""
    if ours.python != theirs.python:
        return f"Python {theirs.python}, and here is {ours.python}"
    for name in sorted(ours.packages.keys() | theirs.packages.keys()):
        mine, other = (have.packages.get(name, "none") for have in (ours, theirs))
        if mine != other:
            return f"{name} {other}, and here is {mine}"
    if ours.code != theirs.code:
        return f"other code of cellzoo ({theirs.code[:8]}, and here is {ours.code[:8]})"
    return ""


@lru_cache(maxsize=1)
def code_digest() -> str:
    """Digest of all source files, wherever they are installed."""
    import cellzoo

    top = Path(cellzoo.__file__).parents[1]
    digest = hashlib.sha256(source_code().version.encode())
    for package in _PACKAGES:
        for path in sorted((top / package).rglob("*")):
            if path.suffix in _SOURCES:
                digest.update(f"{path.relative_to(top)}\0".encode() + path.read_bytes())
    return digest.hexdigest()


def file_digests(data: Iterable[FoundData]) -> dict[str, str]:
    """Digest of each file of some data sets, by path, so that a worker can tell whether it has the same."""
    return {str(path): _digest(path) for found in data for path in found.files.values() if path.is_file()}


@lru_cache(maxsize=256)
def _digest(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


class Worker:
    """A worker; Ray makes it in a process of its own and calls it from two threads.

    Args:
        threads: Threads of a run.
    """

    def __init__(self, threads: int) -> None:
        # Before torch is loaded.
        os.environ.update(thread_variables(threads))
        self._progress = 0.0, ""
        self._heard = time.monotonic()

    def greet(self) -> Equipment:
        """Say what there is."""
        return equipment()

    def progress(self) -> tuple[float, str, float]:
        """How far the job is, and for how many seconds nothing was said of it."""
        return *self._progress, time.monotonic() - self._heard

    def do(self, shipment: Shipment) -> Delivery:
        """Do a job."""
        self._report(0.0, "")
        job, setup = shipment.job, shipment.setup
        problem = missing_data(shipment.files)
        if problem:
            return Delivery(Failure(job, f"worker on {platform.node()}: {problem}"))
        threads = setup.environment.threads
        with thread_limit(threads):
            setup = replace(setup, environment=describe_environment(setup.device, threads))
            if sees(setup.out, shipment.holder):
                return Delivery(attempt(job, setup, self._report))
            return _elsewhere(replace(shipment, setup=setup), self._report)

    def _report(self, fraction: float, words: str) -> None:
        self._progress = fraction, words
        self._heard = time.monotonic()


def missing_data(files: Mapping[str, str]) -> str:
    """Say which file is not here, or is another one; or nothing."""
    for name, digest in files.items():
        path = Path(name)
        if not path.is_file():
            return f"{path} is not there; every machine needs the data in the same place"
        if _digest(path) != digest:
            return f"{path} holds something else than the file of that name where the command runs"
    return ""


def sees(out: Path, holder: bytes) -> bool:
    """Whether a folder is the one that the command holds."""
    try:
        return (out / HOLDER).read_bytes() == holder
    except OSError:
        return False


def _elsewhere(shipment: Shipment, report: Callable[[float, str], None]) -> Delivery:
    """Do a job in a folder of this machine's, and pack what came of it."""
    job = shipment.job
    out = Path(tempfile.mkdtemp(prefix="cellzoo-"))
    try:
        RecordStore(out).prepare()
        if shipment.left is not None:
            (out / ARTIFACTS).mkdir()
            (out / ARTIFACTS / job.left).write_bytes(shipment.left)
        result = attempt(job, replace(shipment.setup, out=out), report)
        if isinstance(result, Failure):
            return Delivery(replace(result, log=None, stops_all=False))
        # The record comes last: where it is, all is.
        paths = [out / FOLDER / result.items.file]
        paths += [out / ARTIFACTS / name for name in job.artifacts]
        paths += [out / FOLDER / f"{job.stem}.json"]
        return Delivery(result, {str(path.relative_to(out)): path.read_bytes() for path in paths})
    finally:
        shutil.rmtree(out, ignore_errors=True)


def unpack(delivery: Delivery, out: Path) -> None:
    """Write what a worker has handed over.

    Raises:
        OutputError: A file cannot be written.
    """
    for name, content in delivery.files.items():
        path = out / name
        with output_errors(path.parent):
            path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, content)
