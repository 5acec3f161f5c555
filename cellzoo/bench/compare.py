"""Compares the candidates of all cases."""

from __future__ import annotations

import os
import time
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Protocol

import torch

from cellzoo.bench.agreement import disagreement
from cellzoo.bench.cell_case import ENGINES, LOOP, PRODUCTS
from cellzoo.bench.memory import peak_extra_bytes
from cellzoo.bench.turns import take_turns
from cellzoo.errors import CellzooError, RunError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from torch import Tensor

    from cellzoo.bench.candidate import Candidate
    from cellzoo.bench.case import Case
    from cellzoo.bench.turns import Times


@dataclass(frozen=True)
class TimingSettings:
    """How to compare.

    Attributes:
        engines: Names of engines.
        threads: For torch. With one, times are the process's CPU time, which other processes hardly
            change; with more, they are wall-clock time.
        rounds: Of each case, at most.
        budget: Seconds for all cases together. Each has at least `turns.MIN_ROUNDS` rounds, so a small budget
            is exceeded; memory is measured on top.
        memory: Whether to measure peak memory, too.
    """

    engines: tuple[str, ...] = ENGINES
    threads: int = 1
    rounds: int = 11
    budget: float = 300.0
    memory: bool = False

    @property
    def clock(self) -> Callable[[], float]:
        """What times are read from."""
        return time.process_time if self.threads == 1 else time.perf_counter

    @property
    def clock_name(self) -> str:
        """The same in words."""
        return "CPU time" if self.threads == 1 else "wall-clock time"


@dataclass(frozen=True)
class Result:
    """What came out of one case.

    Attributes:
        case: The case.
        candidates: Those that finished, by name, in order.
        times: Of each.
        peaks: Peak extra bytes of those it was measured for.
        left_out: Name -> why there is no time, or no memory.
        load_average: Of the machine in the last minute, where the system says it.
    """

    case: Case
    candidates: Mapping[str, Candidate]
    times: Mapping[str, Times]
    peaks: Mapping[str, int] = field(default_factory=dict)
    left_out: Mapping[str, str] = field(default_factory=dict)
    load_average: float | None = None


class Watcher(Protocol):
    """Is told how things go."""

    def begin(self, case: Case, names: Sequence[str]) -> None:
        """A case begins."""
        ...

    def advance(self, fraction: float, words: str) -> None:
        """So much of the case is done, 0 to 1."""
        ...

    def end(self) -> None:
        """The case has ended."""
        ...


def compare(cases: Sequence[Case], settings: TimingSettings, watcher: Watcher) -> Iterator[Result]:
    """Compare the candidates of each case, one after the other, and give each result when it is there.

    A candidate that cannot run, or that computes something else than the loop, is left out with the reason.
    """
    seconds_left = settings.budget
    with torch_threads(settings.threads):
        for index, case in enumerate(cases):
            begin = time.monotonic()
            share = case.flops / sum(later.flops for later in cases[index:])
            allowed = max(1.0, seconds_left * share)
            watcher.begin(case, case.candidates(settings.engines))
            result = _compare_case(case, settings, watcher, begin, allowed)
            seconds_left -= time.monotonic() - begin
            if settings.memory:
                result = _with_memory(result, settings, watcher)
            watcher.end()
            yield result


@contextmanager
def torch_threads(count: int) -> Iterator[None]:
    """Give torch a number of threads for a while."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _compare_case(
    case: Case, settings: TimingSettings, watcher: Watcher, begin: float, allowed: float
) -> Result:
    names = case.candidates(settings.engines)
    candidates: dict[str, Candidate] = {}
    left_out: dict[str, str] = {}
    expected: Sequence[Tensor] = ()
    for name in names:
        watcher.advance(0.0, f"preparing {name}")
        try:
            candidate = case.build(name, settings.clock)
            found = candidate.run()
            if name == LOOP:
                expected = found
            elif name in settings.engines and (fault := disagreement(found, expected)):
                raise RunError(fault)
        except Exception as error:  # one that is broken must not take the others' times away
            kind = "" if isinstance(error, CellzooError) else f"{type(error).__name__}: "
            left_out[name] = kind + (str(error).splitlines() or [""])[0]
            continue
        candidates[name] = candidate

    def watch(done: int) -> None:
        # Whichever ends the case: its rounds, or its share of the budget.
        fraction = max(done / settings.rounds, (time.monotonic() - begin) / allowed)
        watcher.advance(min(1.0, fraction), f"round {done} of {settings.rounds}")

    times = take_turns(
        list(candidates.values()),
        rounds=settings.rounds,
        clock=settings.clock,
        is_over=lambda: time.monotonic() > begin + allowed,
        watch=watch,
    )
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    return Result(case, candidates, times, left_out=left_out, load_average=load)


def _with_memory(result: Result, settings: TimingSettings, watcher: Watcher) -> Result:
    """Measure what has memory of its own to speak of: all but the bare products."""
    peaks: dict[str, int] = {}
    left_out = dict(result.left_out)
    for name in result.candidates:
        if name in PRODUCTS:
            continue
        watcher.advance(1.0, f"memory of {name}")
        try:
            peaks[name] = peak_extra_bytes(result.case, name, settings.threads)
        except RunError as error:
            left_out[f"memory of {name}"] = str(error)
    return replace(result, peaks=peaks, left_out=left_out)
