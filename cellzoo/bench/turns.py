"""Takes the times of several candidates in turns: A B A B, one run of each a round."""

from __future__ import annotations

import gc
import math
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from cellzoo.bench.candidate import Candidate

# Of one sample; what is quicker is run several times for it.
MIN_SAMPLE = 0.01
MIN_ROUNDS = 3


@dataclass(frozen=True)
class Times:
    """What one candidate took.

    Attributes:
        seconds: Of one run, a number for each round.
        runs: Runs that each number is the mean of.
    """

    seconds: tuple[float, ...]
    runs: int


def take_turns(
    candidates: Sequence[Candidate],
    *,
    rounds: int,
    clock: Callable[[], float],
    is_over: Callable[[], bool],
    watch: Callable[[int], None],
) -> dict[str, Times]:
    """Time candidates that have been run once before.

    Args:
        candidates: In the order of each round.
        rounds: How many, unless `is_over` ends it before.
        clock: Seconds.
        is_over: Asked after each round, once there are `MIN_ROUNDS`.
        watch: Told the number of rounds done.

    Returns:
        By name, the times of each; round by round they belong together.
    """
    seconds: dict[str, list[float]] = {candidate.name: [] for candidate in candidates}
    with _without_garbage_collection():
        runs = {candidate.name: _runs(_sample(candidate, 1, clock)) for candidate in candidates}
        for done in range(1, rounds + 1):
            for candidate in candidates:
                name = candidate.name
                seconds[name].append(_sample(candidate, runs[name], clock) / runs[name])
            watch(done)
            if done >= MIN_ROUNDS and is_over():
                break
    return {name: Times(tuple(found), runs[name]) for name, found in seconds.items()}


def _sample(candidate: Candidate, runs: int, clock: Callable[[], float]) -> float:
    begin = clock()
    for _ in range(runs):
        candidate.run()
    return clock() - begin


def _runs(seconds: float) -> int:
    """How many runs make a sample, where one takes `seconds`; 0 is below what the clock can tell."""
    return max(1, math.ceil(MIN_SAMPLE / max(seconds, MIN_SAMPLE / 1000)))


@contextmanager
def _without_garbage_collection() -> Iterator[None]:
    """Keep Python's collector from falling into one candidate's time for what another left behind."""
    gc.collect()
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
