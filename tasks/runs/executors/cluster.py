"""Runs on the machines of a Ray cluster.

Ray moves jobs and nothing else: which runs there are and what became of them is known by the queue and the
records alone. Nothing is tried again by Ray. A worker that is lost costs its job, which the next command does
again; a cluster that was started here and is lost as a whole is started again.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cellzoo.errors import CellzooError, RunError
from cellzoo.system.extras import require
from tasks.runs.events import Failure
from tasks.runs.execute import ARTIFACTS
from tasks.runs.executors.remote import (
    Delivery,
    Equipment,
    Shipment,
    Worker,
    difference,
    equipment,
    file_digests,
    unpack,
)
from tasks.runs.lock import HOLDER

if TYPE_CHECKING:
    from tasks.runs.events import Listener
    from tasks.runs.execute import RunSetup
    from tasks.runs.job import Job
    from tasks.runs.queue import Queue

AUTO = "auto"
_TICK = 0.25
_ASK = 1.0
_ANSWER = 5.0
"""Seconds in which an address must answer."""
_HEALTH = 20.0
"""Seconds in which it must say that it is a cluster."""
_START = 60.0
"""Seconds in which a first worker must come up."""
_LOSSES = 3
"""Workers that are lost one after the other before they have begun, after which no other is tried."""
_JOBS = 50
"""Jobs after which a worker is replaced, so that whatever a library keeps in memory goes."""
_MEMORY = 100 * 2**20
"""Bytes for objects of Ray on a cluster of our own: jobs and records are small."""


@dataclass
class Cluster:
    """A connection to a cluster.

    Attributes:
        address: Where it is; empty for one of our own.
        processors: Of one of our own.
        is_ours: Whether it is to be left when the work is done; a user's own connection stays.
    """

    address: str
    processors: int
    is_ours: bool

    def open(self) -> None:
        """Connect, or start a cluster.

        Raises:
            RunError: The cluster does not answer, or cannot be started.
        """
        import ray

        quiet = {"configure_logging": False, "log_to_driver": False, "logging_level": "ERROR"}
        try:
            if self.address:
                ray.init(address=self.address, **quiet)
            else:
                ray.init(
                    address="local",
                    num_cpus=self.processors,
                    include_dashboard=False,
                    object_store_memory=_MEMORY,
                    **quiet,
                )
        except Exception as error:  # Ray has many classes for this, and raises plain ones
            where = f"{self.address}: no Ray cluster answers" if self.address else "Ray cannot start"
            raise RunError(f"{where} ({' '.join(str(error).split()) or type(error).__name__:.200})") from error

    def close(self) -> None:
        """Disconnect; a cluster of our own ends."""
        import ray

        if self.is_ours:
            ray.shutdown()

    def is_lost(self) -> bool:
        """Whether no machine of it is alive."""
        import ray

        try:
            return not any(node["Alive"] for node in ray.nodes())
        except Exception:  # whatever Ray raises when nobody answers
            return True


def connect(address: str, workers: int, threads: int) -> Cluster:
    """Connect to a cluster, or start one of this machine.

    Args:
        address: As in `ExecutorSettings`.
        workers: Runs at a time.
        threads: Of each.

    Raises:
        MissingDependencyError: The package ray is not installed.
        CellzooError: The address is none.
        RunError: Nobody answers there, within seconds.
    """
    require("ray", "ray")
    if address and address != AUTO:
        require_answer(address)
        _require_health(address)
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    import ray

    cluster = Cluster(address, workers * threads, is_ours=not ray.is_initialized())
    if cluster.is_ours:
        cluster.open()
    return cluster


def require_answer(address: str) -> None:
    """See to it that somebody listens at an address.

    Raises:
        CellzooError: It is not HOST:PORT.
        RunError: Nobody listens.
    """
    host, colon, port = address.rpartition(":")
    if not colon or not host or "/" in host or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise CellzooError(
            f"address {address!r}: expected HOST:PORT of a running Ray cluster, such as 10.0.0.1:6379, or auto"
        )
    try:
        socket.create_connection((host, int(port)), timeout=_ANSWER).close()
    except OSError as error:
        raise RunError(
            f"{address}: no Ray cluster answers ({error.strerror or error}); `ray start --head` starts one"
        ) from error


def _require_health(address: str) -> None:
    """See whether what listens is a cluster, in a process of its own: Ray itself tries for minutes."""
    code = "import sys, ray; ray.init(address=sys.argv[1], log_to_driver=False)"
    try:
        done = subprocess.run(  # noqa: S603 - the address is checked
            [sys.executable, "-c", code, address], capture_output=True, text=True, timeout=_HEALTH, check=False
        )
    except subprocess.TimeoutExpired as error:
        if b"InvalidAuthToken" in (error.stderr or b""):
            raise RunError(
                f"{address}: the Ray cluster asks for its token; set RAY_AUTH_MODE=token, and the token by "
                "Ray's documentation of token authentication"
            ) from error
        raise RunError(
            f"{address}: no Ray cluster answers within {_HEALTH:g} s; something else may listen there"
        ) from error
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise RunError(f"{address}: the Ray cluster does not let us in ({reason:.300})")


def run_in_cluster(
    queue: Queue,
    setup: RunSetup,
    listener: Listener,
    workers: int,
    cluster: Cluster,
    longest_silence: float,
) -> None:
    """Do the jobs of a queue, `workers` at a time.

    Args:
        queue: Gives out jobs and takes results.
        setup: What all runs share.
        listener: Is told of starts and progress.
        workers: Runs at a time.
        cluster: Where.
        longest_silence: Seconds after which a worker that has said nothing of its job is taken to hang.

    Raises:
        RunError: No worker comes up, one has another version of something, or the cluster is lost.
        OutputError: What a worker hands over cannot be written.
    """
    pool = _Pool(queue, setup, listener, workers, cluster, longest_silence)
    try:
        while pool.assign_jobs():
            pool.listen()
            listener.tick()
    finally:
        pool.stop()


@dataclass
class _Remote:
    """A worker, seen from here.

    Attributes:
        actor: Ray's handle.
        job: What it does or will do; None if it waits.
        answer: What will come: its greeting, or the job's delivery; None if it waits.
        has_greeted: Whether it is known to have the same of everything.
        started: When it was asked for.
        host: Its machine.
        done: Jobs it has done.
        asked: Its answer to how far it is.
        next_ask: When it is asked again.
    """

    actor: Any
    job: Job | None
    answer: Any
    started: float
    has_greeted: bool = False
    host: str = ""
    done: int = 0
    asked: Any = None
    next_ask: float = 0.0


class _Pool:
    """The workers of one command; arguments as of `run_in_cluster`."""

    def __init__(
        self,
        queue: Queue,
        setup: RunSetup,
        listener: Listener,
        size: int,
        cluster: Cluster,
        longest_silence: float,
    ) -> None:
        self._queue = queue
        self._setup = setup
        self._listener = listener
        self._size = size
        self._cluster = cluster
        self._longest_silence = longest_silence
        self._workers: list[_Remote] = []
        self._ours = equipment()
        self._holder = (setup.out / HOLDER).read_bytes() if (setup.out / HOLDER).is_file() else b""
        self._losses = 0

    def assign_jobs(self) -> bool:
        """Give jobs to idle workers, starting workers as needed; says whether any is busy then."""
        while True:
            idle = next((worker for worker in self._workers if worker.job is None), None)
            if idle is None and len(self._workers) >= self._size:
                return True
            job = self._queue.take()
            if job is None:
                return any(worker.job is not None for worker in self._workers)
            self._listener.started(job)
            if idle is None:
                self._workers.append(self._start(job))
            else:
                self._give(idle, job)

    def listen(self) -> None:
        """Wait a moment for the workers to say something, and take it."""
        import ray

        busy = {worker.answer: worker for worker in self._workers if worker.answer is not None}
        ready, _ = ray.wait(list(busy), num_returns=len(busy), timeout=_TICK)
        for answer in ready:
            self._take(busy[answer], answer)
        now = time.monotonic()
        for worker in list(self._workers):
            if worker.has_greeted and worker.job is not None:
                self._ask(worker, now)
        self._check_start(now)

    def stop(self) -> None:
        """End all workers; what they are doing is left at its last checkpoint."""
        for worker in self._workers:
            self._kill(worker)
        self._workers = []

    def _start(self, job: Job) -> _Remote:
        import ray

        made = ray.remote(Worker).options(
            num_cpus=self._setup.environment.threads,
            num_gpus=1 if self._setup.device.startswith("cuda") else 0,
            max_concurrency=2,
            max_restarts=0,
            max_task_retries=0,
        )
        actor = made.remote(self._setup.environment.threads)
        return _Remote(actor, job, actor.greet.remote(), time.monotonic())

    def _give(self, worker: _Remote, job: Job) -> None:
        left = self._setup.out / ARTIFACTS / job.left
        shipment = Shipment(
            job=job,
            setup=self._setup,
            holder=self._holder,
            files=file_digests(job.data.values()),
            left=left.read_bytes() if job.left and left.is_file() else None,
        )
        worker.job, worker.asked, worker.next_ask = job, None, time.monotonic() + _ASK
        worker.answer = worker.actor.do.remote(shipment)

    def _take(self, worker: _Remote, answer: Any) -> None:
        import ray

        job = worker.job
        assert job is not None  # noqa: S101 - it was given one with what it answers
        try:
            found = ray.get(answer)
        except ray.exceptions.RayTaskError as error:
            cause = " ".join(str(error.cause).split()) or type(error.cause).__name__
            self._drop(worker)
            self._queue.fail(Failure(job, f"{type(error.cause).__name__} on the worker: {cause:.300}"))
        except ray.exceptions.RayError as error:
            self._lose(worker, job, error)
        else:
            if isinstance(found, Equipment):
                self._welcome(worker, job, found)
            elif isinstance(found, Delivery):
                self._deliver(worker, job, found)

    def _welcome(self, worker: _Remote, job: Job, theirs: Equipment) -> None:
        unlike = difference(self._ours, theirs)
        if unlike:
            raise RunError(
                f"the worker on {theirs.host} has {unlike}; numbers would not be comparable: install the same"
            )
        worker.has_greeted, worker.host, self._losses = True, theirs.host, 0
        self._give(worker, job)

    def _deliver(self, worker: _Remote, job: Job, delivery: Delivery) -> None:
        worker.job = worker.answer = None
        worker.done += 1
        result = delivery.result
        if isinstance(result, Failure):
            # A defect may have left anything behind in the process.
            if result.log is not None:
                self._drop(worker)
            self._queue.fail(result)
            return
        unpack(delivery, self._setup.out)
        if worker.done >= _JOBS:
            self._drop(worker)
        self._queue.done(job, result)

    def _ask(self, worker: _Remote, now: float) -> None:
        import ray

        job = worker.job
        assert job is not None  # noqa: S101 - the caller has seen to it
        if worker.asked is None:
            if now >= worker.next_ask:
                worker.asked = worker.actor.progress.remote()
            return
        if not ray.wait([worker.asked], timeout=0)[0]:
            return
        asked, worker.asked, worker.next_ask = worker.asked, None, now + _ASK
        with suppress(ray.exceptions.RayError):  # what is lost is seen by its answer
            fraction, words, silence = ray.get(asked)
            if words:
                self._listener.progressed(job, fraction, words)
            if silence > self._longest_silence:
                self._drop(worker)
                message = (
                    f"its worker on {worker.host} hung: it said nothing for {self._longest_silence:g} s and "
                    "was ended; it goes on from its last checkpoint when run again"
                )
                self._queue.fail(Failure(job, message))

    def _lose(self, worker: _Remote, job: Job, error: Exception) -> None:
        self._drop(worker)
        if worker.has_greeted:
            message = f"its worker on {worker.host} was lost ({type(error).__name__}); run it again"
            self._queue.fail(Failure(job, message))
            return
        self._losses += 1
        cause = " ".join(str(error).split())
        if self._losses >= _LOSSES:
            raise RunError(f"workers of the Ray cluster are lost before they begin ({cause:.300})")
        self._workers.append(self._start(job))

    def _check_start(self, now: float) -> None:
        """See to it that a worker comes up."""
        starting = [w for w in self._workers if not w.has_greeted]
        if not starting or any(w.has_greeted for w in self._workers):
            return
        waited = now - min(worker.started for worker in starting)
        if waited > _ANSWER and self._cluster.is_lost():
            self._begin_again()
        elif waited > _START:
            raise RunError(
                f"the Ray cluster gives no worker within {_START:g} s; a run asks for "
                f"{self._setup.environment.threads} processor(s)"
                + (" and a GPU" if self._setup.device.startswith("cuda") else "")
            )

    def _begin_again(self) -> None:
        """Start our own cluster again; the jobs that wait for a worker have not begun."""
        self._losses += 1
        if self._cluster.address or not self._cluster.is_ours or self._losses >= _LOSSES:
            raise RunError("the Ray cluster is lost; the same command goes on where it stopped")
        jobs = [worker.job for worker in self._workers if worker.job is not None]
        self._workers = []
        self._cluster.close()
        self._cluster.open()
        self._workers = [self._start(job) for job in jobs]

    def _drop(self, worker: _Remote) -> None:
        self._workers = [other for other in self._workers if other is not worker]
        self._kill(worker)

    def _kill(self, worker: _Remote) -> None:
        import ray

        with suppress(Exception):  # it may be gone, and the cluster, too
            ray.kill(worker.actor)
