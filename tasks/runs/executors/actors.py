"""Runs on the machines of a Ray cluster.

Ray moves jobs and nothing else: which runs there are and what became of them is known by the queue and the
records alone. Nothing is tried again by Ray. A worker that is lost costs its job, which the next command does
again; a cluster that was started here and is lost as a whole is started again.
"""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cellzoo.errors import RunError
from tasks.runs.events import Failure
from tasks.runs.execute import ARTIFACTS
from tasks.runs.executors.cluster import ANSWER
from tasks.runs.executors.pool import Pool
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
    from tasks.runs.executors.cluster import Cluster
    from tasks.runs.job import Job
    from tasks.runs.queue import Queue

_TICK = 0.25
_ASK = 1.0
_START = 60.0
"""Seconds in which a first worker must come up."""
_LOSSES = 3
"""Workers that are lost one after the other before they have begun, after which no other is tried."""
_JOBS = 50
"""Jobs after which a worker is replaced, so that whatever a library keeps in memory goes."""


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
    _ActorPool(queue, setup, listener, workers, longest_silence, cluster).run()


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
        alive: Whether it has not been ended.
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
    alive: bool = True


class _ActorPool(Pool[_Remote]):
    """The workers of one command on a cluster; arguments as of `Pool` and `run_in_cluster`."""

    def __init__(
        self,
        queue: Queue,
        setup: RunSetup,
        listener: Listener,
        size: int,
        longest_silence: float,
        cluster: Cluster,
    ) -> None:
        super().__init__(queue, setup, listener, size, longest_silence)
        self._cluster = cluster
        self._ours = equipment()
        self._holder = (setup.out / HOLDER).read_bytes() if (setup.out / HOLDER).is_file() else b""
        self._losses = 0

    def start(self, job: Job) -> _Remote:
        """See `Pool`; it greets before it is given its job."""
        import ray

        made = ray.remote(Worker).options(
            num_cpus=self.setup.environment.threads,
            num_gpus=1 if self.setup.device.startswith("cuda") else 0,
            max_concurrency=2,
            max_restarts=0,
            max_task_retries=0,
        )
        actor = made.remote(self.setup.environment.threads)
        return _Remote(actor, job, actor.greet.remote(), time.monotonic())

    def give(self, worker: _Remote, job: Job) -> None:
        """See `Pool`."""
        left = self.setup.out / ARTIFACTS / job.left
        shipment = Shipment(
            job=job,
            setup=self.setup,
            holder=self._holder,
            files=file_digests(job.data.values()),
            left=left.read_bytes() if job.left and left.is_file() else None,
        )
        worker.job, worker.asked, worker.next_ask = job, None, time.monotonic() + _ASK
        worker.answer = worker.actor.do.remote(shipment)

    def listen(self) -> None:
        """See `Pool`."""
        import ray

        busy = {worker.answer: worker for worker in self.workers if worker.answer is not None}
        ready, _ = ray.wait(list(busy), num_returns=len(busy), timeout=_TICK)
        for answer in ready:
            self._take(busy[answer], answer)
        now = time.monotonic()
        for worker in list(self.workers):
            if worker.has_greeted and worker.job is not None:
                self._ask(worker, now)
        self._check_start(now)

    def stop(self) -> None:
        """See `Pool`."""
        for worker in self.workers:
            self._kill(worker)
        self.workers = []

    def _take(self, worker: _Remote, answer: Any) -> None:
        import ray

        job = worker.job
        assert job is not None  # noqa: S101 - it was given one with what it answers
        try:
            found = ray.get(answer)
        except ray.exceptions.RayTaskError as error:
            cause = " ".join(str(error.cause).split()) or type(error.cause).__name__
            self._drop(worker)
            self.queue.fail(Failure(job, f"{type(error.cause).__name__} on the worker: {cause:.300}"))
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
        self.give(worker, job)

    def _deliver(self, worker: _Remote, job: Job, delivery: Delivery) -> None:
        worker.job = worker.answer = None
        worker.done += 1
        result = delivery.result
        if isinstance(result, Failure):
            # A defect may have left anything behind in the process.
            if result.log is not None:
                self._drop(worker)
            self.queue.fail(result)
            return
        unpack(delivery, self.setup.out)
        if worker.done >= _JOBS:
            self._drop(worker)
        self.queue.done(job, result)

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
                self.listener.progressed(job, fraction, words)
            if silence > self.longest_silence:
                self._drop(worker)
                self.queue.fail(Failure(job, self.hung(f"worker on {worker.host}")))

    def _lose(self, worker: _Remote, job: Job, error: Exception) -> None:
        self._drop(worker)
        if worker.has_greeted:
            message = f"its worker on {worker.host} was lost ({type(error).__name__}); run it again"
            self.queue.fail(Failure(job, message))
            return
        self._losses += 1
        cause = " ".join(str(error).split())
        if self._losses >= _LOSSES:
            raise RunError(f"workers of the Ray cluster are lost before they begin ({cause:.300})")
        self.workers.append(self.start(job))

    def _check_start(self, now: float) -> None:
        """See to it that a worker comes up."""
        starting = [w for w in self.workers if not w.has_greeted]
        if not starting or any(w.has_greeted for w in self.workers):
            return
        waited = now - min(worker.started for worker in starting)
        if waited > ANSWER and self._cluster.is_lost():
            self._begin_again()
        elif waited > _START:
            raise RunError(
                f"the Ray cluster gives no worker within {_START:g} s; a run asks for "
                f"{self.setup.environment.threads} processor(s)"
                + (" and a GPU" if self.setup.device.startswith("cuda") else "")
            )

    def _begin_again(self) -> None:
        """Start our own cluster again; the jobs that wait for a worker have not begun."""
        self._losses += 1
        if self._cluster.address or not self._cluster.is_ours or self._losses >= _LOSSES:
            raise RunError("the Ray cluster is lost; the same command goes on where it stopped")
        jobs = [worker.job for worker in self.workers if worker.job is not None]
        self.workers = []
        self._cluster.close()
        self._cluster.open()
        self.workers = [self.start(job) for job in jobs]

    def _drop(self, worker: _Remote) -> None:
        worker.alive = False
        self.workers = [other for other in self.workers if other is not worker]
        self._kill(worker)

    def _kill(self, worker: _Remote) -> None:
        import ray

        with suppress(Exception):  # it may be gone, and the cluster, too
            ray.kill(worker.actor)
