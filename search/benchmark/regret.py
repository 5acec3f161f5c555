"""Compares samplers on the table: regret against simulated time, over many trials.

A trial is a search with one seed. The seed decides the sampler's draws, and which of its logged runs each
recipe uses. The latter is the same for all methods, so two methods can be compared trial by trial.

Simple regret is the validation loss of the best recipe so far minus the smallest validation loss of the pool.
Inference regret is the test loss of the recipe and epoch selected by validation loss, minus the smallest test
loss of the pool's recipes, each at its own epoch selected by validation loss. It can be below 0 because of the
noise between validation and test. Both are in nats per word.
"""

from __future__ import annotations

import math
import random
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache, partial
from multiprocessing import get_context
from typing import TYPE_CHECKING, Any

import numpy as np

from cellzoo.errors import CellzooError
from search.benchmark.pool import searchable
from search.benchmark.session import Session
from search.benchmark.simulate import simulate
from search.benchmark.table import Table
from search.benchmark.timing import make_clock

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from search.benchmark.pool import PoolSpace
    from search.benchmark.simulate import Trajectory

GRID = 200
BASELINE = "random"
HOUR = 3600.0


@dataclass(frozen=True)
class Method:
    """A sampler with settings.

    Attributes:
        label: For tables and charts.
        name: Of the sampler.
        settings: What differs from its defaults.
    """

    label: str
    name: str
    settings: tuple[tuple[str, Any], ...] = ()


@dataclass(frozen=True)
class Protocol:
    """The conditions that are the same for all methods.

    Attributes:
        table: File of the table.
        clock: Name of the clock.
        hours: Simulated hours of each worker.
        workers: Simulated workers.
        hand_designed: Whether RNN, LSTM and GRU are in the pool.
        seed: Of the first trial; trials have consecutive seeds.
    """

    table: Path
    clock: str = "corrected"
    hours: float = 100.0
    workers: int = 1
    hand_designed: bool = True
    seed: int = 0


@dataclass(frozen=True)
class Curves:
    """The results of all trials of one method.

    Attributes:
        method: The method.
        simple: Simple regret, (trials, `GRID`), at equal steps of time up to the horizon; NaN before the first
            training ended.
        inference: Inference regret, (trials, `GRID`).
        used: Hours of each trial until its last training within the budget ended.
        trainings: Number of trainings of each trial.
        ended: Why each trial ended.
        found: Number of the recipe that each trial selected; 0 for none.
    """

    method: Method
    simple: NDArray[np.float64]
    inference: NDArray[np.float64]
    used: NDArray[np.float64]
    trainings: NDArray[np.int64]
    ended: tuple[str, ...]
    found: tuple[int, ...]


def run_trial(protocol: Protocol, method: Method, seed: int) -> tuple[Trajectory, float, float]:
    """One search; the same arguments give the same trajectory in every process.

    Returns:
        The search, and the smallest validation and test losses of the pool, as `best_possible` gives them.

    Raises:
        CellzooError: The method's settings are wrong, it cannot search this space, or no loss of the pool is
            finite.
    """
    table, space = _opened(protocol.table, protocol.hand_designed)
    clock = _clock(protocol.table, protocol.clock)
    session = Session(table, clock, generator=random.Random(f"runs {seed}"))  # noqa: S311 - a seed
    sampler = build_sampler(method, space, random.Random(f"{method.label} {seed}"))  # noqa: S311 - a seed
    course = simulate(sampler, space, session, seconds=protocol.hours * HOUR, workers=protocol.workers)
    return course, *best_possible(session, space)


def build_sampler(method: Method, space: PoolSpace, generator: random.Random) -> Any:
    """Make a sampler for the pool.

    Raises:
        CellzooError: There is no such sampler, a setting is wrong, or it cannot search this space.
    """
    from search.registry import find_method
    from search.samplers.kind import SamplerKind
    from tasks.settings import configure

    kind = find_method(method.name)
    if not isinstance(kind, SamplerKind):
        raise CellzooError(f"{method.name} trains a supernet; a table can only be searched by a sampler")
    given = {"trials": 100_000, "epochs": 50} | dict(method.settings)
    settings = configure(kind.settings, given, method.name, "--methods")
    return kind.build(settings, space, generator)


def run_trials(
    protocol: Protocol, methods: Sequence[Method], trials: int, *, processes: int = 1
) -> list[Curves]:
    """Run all trials of all methods; the number of processes does not change the result.

    Raises:
        CellzooError: As `run_trial`.
    """
    seeds = range(protocol.seed, protocol.seed + trials)
    size = max(1, math.ceil(trials / (4 * processes)))
    chunks = [seeds[place : place + size] for place in range(0, trials, size)]
    jobs = [(method, chunk) for method in methods for chunk in chunks]
    if processes == 1:
        parts = [_run_chunk(protocol, *job) for job in jobs]
    else:
        with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
            parts = list(pool.map(partial(_run_chunk, protocol), *zip(*jobs, strict=True)))
    return [
        _joined(method, [part for (one, _), part in zip(jobs, parts, strict=True) if one == method])
        for method in methods
    ]


def _run_chunk(protocol: Protocol, method: Method, seeds: range) -> list[tuple[Any, ...]]:
    return [_summary(protocol, *run_trial(protocol, method, seed)) for seed in seeds]


def _summary(protocol: Protocol, course: Trajectory, valid: float, test: float) -> tuple[Any, ...]:
    """The fields of `Curves` for one trial."""
    grid = np.linspace(0.0, protocol.hours * HOUR, GRID + 1)[1:]
    times = np.array([point.seconds for point in course.points])
    last = np.searchsorted(times, grid, side="right") - 1
    simple = np.array([point.valid - valid for point in course.points] or [math.nan])
    inference = np.array([point.test - test for point in course.points] or [math.nan])
    known = (last >= 0) & np.isfinite(simple[last])
    return (
        np.where(known, simple[last], math.nan),
        np.where(known, inference[last], math.nan),
        course.seconds / HOUR,
        len(course.points),
        course.ended,
        course.points[-1].best if course.points else 0,
    )


def _joined(method: Method, parts: Sequence[list[tuple[Any, ...]]]) -> Curves:
    simple, inference, used, trainings, ended, found = zip(
        *(one for part in parts for one in part), strict=True
    )
    return Curves(
        method, np.array(simple), np.array(inference), np.array(used), np.array(trainings), ended, found
    )


def best_possible(session: Session, space: PoolSpace) -> tuple[float, float]:
    """The smallest validation loss, and the smallest test loss at an epoch selected by validation loss.

    Raises:
        CellzooError: No run of the session has a finite loss.
    """
    chosen = [best for found in space.architectures.values() if (best := session.best_of(found)) is not None]
    if not chosen:
        raise CellzooError("no recipe of the pool has a finite loss, so there is no regret")
    return min(valid for valid, _ in chosen), min(test for _, test in chosen)


@cache
def _opened(path: Path, hand_designed: bool) -> tuple[Table, PoolSpace]:
    table = Table.read(path)
    return table, searchable(table, hand_designed=hand_designed)


@cache
def _clock(path: Path, name: str) -> Any:
    return make_clock(_opened(path, True)[0], name)
