"""Hand jobs out to workers, several at a time; what a worker is, is said by who derives from `Pool`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from cellzoo.system.interrupt import raise_if_asked

if TYPE_CHECKING:
    from tasks.runs.events import Listener
    from tasks.runs.execute import RunSetup
    from tasks.runs.job import Job
    from tasks.runs.queue import Queue


class PoolWorker(Protocol):
    """A worker, seen from the process that gives out the jobs.

    Attributes:
        job: What it is doing or will do; None if it waits.
    """

    job: Job | None

    @property
    def alive(self) -> bool:
        """Whether it can be given jobs, now or when it is done."""
        ...


WorkerType = TypeVar("WorkerType", bound=PoolWorker)


class Pool(ABC, Generic[WorkerType]):
    """The workers of one command.

    Args:
        queue: Gives out jobs and takes results.
        setup: What all runs share.
        listener: Is told of starts and progress.
        size: Workers at a time.
        longest_silence: Seconds after which a worker that has said nothing of its job is taken to hang.
    """

    def __init__(
        self, queue: Queue, setup: RunSetup, listener: Listener, size: int, longest_silence: float
    ) -> None:
        self.queue = queue
        self.setup = setup
        self.listener = listener
        self.longest_silence = longest_silence
        self.workers: list[WorkerType] = []
        self._size = size

    def run(self) -> None:
        """Do the jobs of the queue; stops early only if no other can be done."""
        try:
            while self._assign_jobs():
                raise_if_asked()
                self.listen()
                self.listener.tick()
        finally:
            self.stop()

    @abstractmethod
    def start(self, job: Job) -> WorkerType:
        """Start a worker that does a job first."""

    @abstractmethod
    def give(self, worker: WorkerType, job: Job) -> None:
        """Give a job to a worker that waits."""

    @abstractmethod
    def listen(self) -> None:
        """Wait a moment for the workers to say something, take it, and end those that hang."""

    @abstractmethod
    def stop(self) -> None:
        """End all workers; what they are doing is left at its last checkpoint."""

    def hung(self, worker: str) -> str:
        """Say that a worker hung and was ended."""
        return (
            f"its {worker} hung: it said nothing for {self.longest_silence:g} s and was ended; "
            "it goes on from its last checkpoint when run again"
        )

    def _assign_jobs(self) -> bool:
        """Give jobs to idle workers, starting workers as needed; says whether any is busy then."""
        self.workers = [worker for worker in self.workers if worker.alive]
        while True:
            idle = next((worker for worker in self.workers if worker.job is None), None)
            if idle is None and len(self.workers) >= self._size:
                return True
            job = self.queue.take()
            if job is None:
                return any(worker.job is not None for worker in self.workers)
            self.listener.started(job)
            if idle is None:
                self.workers.append(self.start(job))
            else:
                self.give(idle, job)
