"""Runs a sampler on the table, with several workers in simulated time."""

from __future__ import annotations

import heapq
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cellzoo.errors import CellzooError

if TYPE_CHECKING:
    from search.benchmark.pool import PoolSpace
    from search.benchmark.session import Session, Trained
    from search.samplers.sampler import Proposal, Sampler

BUDGET, EXHAUSTED, NOTHING_NEW = "budget", "exhausted", "nothing new"
_MOST_FREE = 1000
"""A search ends after so many proposals in a row that were trained before and so cost nothing."""


@dataclass(frozen=True, slots=True)
class Point:
    """The state of a search when a training ended.

    Attributes:
        seconds: Simulated time since the search began.
        number: The recipe that was trained.
        epochs: Its epochs so far.
        best: The best recipe so far by validation loss over all trained epochs; 0 before the first finite loss.
        epoch: The epoch of that loss.
        valid: That loss, in nats per word; infinite before the first finite loss.
        test: The test loss at that epoch.
    """

    seconds: float
    number: int
    epochs: int
    best: int
    epoch: int
    valid: float
    test: float


@dataclass
class Trajectory:
    """The course of a search.

    Attributes:
        points: In the order of simulated time.
        ended: `budget`, `exhausted` (the sampler has no more proposals) or `nothing new` (it only repeats).
        seconds: When the last training within the budget ended.
        unfinished: Trainings that would have ended after the budget; the sampler is not told their results.
    """

    points: list[Point] = field(default_factory=list)
    ended: str = BUDGET
    seconds: float = 0.0
    unfinished: int = 0


def simulate(
    sampler: Sampler, space: PoolSpace, session: Session, *, seconds: float, workers: int = 1
) -> Trajectory:
    """Search until the budget is used up.

    An idle worker asks for a proposal at once. The sampler is told a result when the training ends in simulated
    time; results of the same time come in the order of their proposals. A training that would end after the
    budget occupies its worker until the end. If a recipe is proposed that is being trained, its training
    continues when the current one ends.

    Args:
        sampler: Proposes numbers of recipes of the space.
        space: The searched space.
        session: Trainings that it has already cost nothing.
        seconds: Simulated seconds of each worker.
        workers: Trainings at a time.
    """
    course = Trajectory()
    running: list[tuple[float, int, Proposal, Trained]] = []
    ready: dict[int, float] = {}
    now, begun, busy, free_in_a_row = 0.0, 0, 0, 0
    while True:
        while len(running) + busy < workers and free_in_a_row < _MOST_FREE:
            try:
                proposal = sampler.ask()
            except CellzooError:
                # The space has nothing else to propose, see `Sampler.ask`.
                proposal = None
            if proposal is None:
                break
            architecture = space.architectures[proposal.genotype]
            cost = session.peek(architecture, proposal.epochs).cost
            finish = max(now, ready.get(architecture.index, 0.0)) + cost
            begun += 1
            if finish > seconds:
                course.unfinished += 1
                busy += 1
                continue
            ready[architecture.index] = finish
            state = session.advance(architecture, proposal.epochs)
            heapq.heappush(running, (finish, begun, proposal, state))
        if not running:
            break
        now, _, proposal, state = heapq.heappop(running)
        free_in_a_row = 0 if state.cost > 0 else free_in_a_row + 1
        session.observe(state)
        course.points.append(_point(now, session, state))
        loss = session.loss(state, proposal.epochs)
        sampler.tell(proposal, loss if math.isfinite(loss) else None)
    course.seconds = now
    if not busy:
        course.ended = NOTHING_NEW if free_in_a_row >= _MOST_FREE else EXHAUSTED
    return course


def _point(now: float, session: Session, state: Trained) -> Point:
    best = session.incumbent
    if best is None:
        return Point(now, state.architecture.number, state.epochs, 0, 0, math.inf, math.inf)
    number = best.architecture.number
    return Point(now, state.architecture.number, state.epochs, number, best.epoch, best.valid, best.test)
