"""Compares the candidates of each case: whether they agree, their times in turns, and their peak memory.

Candidates take turns, A B A B, one run of each a round: two that run one after the other meet the same state
of the machine, so the ratio of their times within a round is far steadier than either time.
"""

from __future__ import annotations

import gc
import json
import math
import os
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import partial
from pkgutil import resolve_name
from typing import TYPE_CHECKING, TypeVar

import torch

from cellzoo.bench.case import BF16, LOOP, PRODUCTS, Case, Shape
from cellzoo.errors import CellzooError, RunError
from cellzoo.system.resident import peak, start_peak

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager

    from torch import Tensor

    from cellzoo.bench.case import Pass

    # Is told how much of a case is done, 0 to 1, and what happens.
    Watch = Callable[[float, str], None]

K = TypeVar("K")

# Seconds of one sample; what is quicker is run several times for it.
MIN_SAMPLE = 0.01
MIN_ROUNDS = 3
# The first run grows workspaces and the allocator's heap; later ones show whether they are used again.
MEMORY_RUNS = 3
# Of the norm. Far above rounding, which some cells amplify from step to step, and far below a wrong result.
# Single numbers may differ by more: where rounding carries a value across the kink of a relu, the gradient of
# one sequence jumps.
TOLERANCES = {torch.float32: 1e-3, torch.float64: 1e-8}
# With products of numbers rounded to bfloat16: at the sizes of a to d some .5 percent.
ROUNDED_TOLERANCE = 0.03
# Numbers that torch's threads share.
_SHARED = 1_000_000


@dataclass(frozen=True)
class TimingSettings:
    """How to compare.

    Attributes:
        threads: Counts of threads for torch, each of which every candidate runs with. With one alone, times
            are the process's CPU time, which other processes hardly change; with more, or on another device,
            they are wall-clock time.
        rounds: Of each case, at most.
        budget: Seconds for all cases together. Each has at least `MIN_ROUNDS` rounds, so a small budget is
            exceeded; memory is measured on top.
        memory: Whether to measure peak memory, too.
        device: Where passes run.
    """

    threads: tuple[int, ...] = (1,)
    rounds: int = 11
    budget: float = 300.0
    memory: bool = False
    device: str = "cpu"

    @property
    def clock(self) -> Callable[[], float]:
        """What times are read from."""
        return time.process_time if self.clock_name == "CPU time" else time.perf_counter

    @property
    def clock_name(self) -> str:
        """What that is called."""
        return "CPU time" if (self.threads, self.device) == ((1,), "cpu") else "wall-clock time"

    def words(self, *threads: int) -> str:
        """Say how times are taken, with some of the counts of threads."""
        if self.device != "cpu":
            return f"{self.clock_name} on {self.device}"
        return f"{self.clock_name}, {' and '.join(map(str, threads))} thread{'s' * (threads != (1,))}"

    def __str__(self) -> str:
        return self.words(*self.threads)


@dataclass
class Result:
    """What came out of one case with one count of threads.

    Attributes:
        case: The case.
        seconds: Of one run of each candidate that finished, a number for each round.
        peaks: Peak extra bytes of those it was measured for.
        left_out: Name -> why there is no time, or no memory.
        load_average: Of the machine in the last minute, where the system says it.
        threads: The count.
        first: What came out with the first count in the same rounds, where this is another.
    """

    case: Case
    seconds: Mapping[str, Sequence[float]]
    peaks: dict[str, int] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)
    load_average: float | None = None
    threads: int = 1
    first: Result | None = None


def compare(
    cases: Sequence[Case], settings: TimingSettings, watched: Callable[[Case], AbstractContextManager[Watch]]
) -> Iterator[Result]:
    """Compare the candidates of each case, one after the other, and give each result when it is there.

    There is one for each count of threads, which take turns as the candidates do; memory is in the first.
    A candidate that cannot run, or that computes something else than the loop, is left out with the reason.
    """
    seconds_left = settings.budget
    for index, case in enumerate(cases):
        share = case.work / sum(later.work for later in cases[index:])
        begin = time.monotonic()
        with watched(case) as watch, _undisturbed():
            results = _take_times(case, settings, max(1.0, seconds_left * share), watch)
            seconds_left -= time.monotonic() - begin
            if settings.memory:
                _measure_memory(results[0], watch)
        yield from results


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Keep torch's threads; keep Python's collector from taking one candidate's time for another's garbage."""
    before, collects = torch.get_num_threads(), gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        torch.set_num_threads(before)
        if collects:
            gc.enable()


def _use_threads(count: int) -> None:
    """Let torch use that many threads, and have them there before something is timed."""
    if torch.get_num_threads() != count:
        torch.set_num_threads(count)
        torch.ones(_SHARED).exp_()


def _take_times(case: Case, settings: TimingSettings, allowed: float, watch: Watch) -> list[Result]:
    begin = time.monotonic()
    _use_threads(settings.threads[0])
    passes: dict[str, Pass] = {}
    left_out: dict[str, str] = {}
    expected: Sequence[Tensor] = ()
    for name in case.flops:
        watch(0.0, f"preparing {name}")
        try:
            run = case.build(name, case.shape)
            found = run()
            if name == LOOP:
                expected = found
            elif name in case.engines and (fault := disagreement(found, expected, rounded=name.endswith(BF16))):
                raise RunError(fault)
        except Exception as error:  # one that is broken must not take the others' times away
            kind = "" if isinstance(error, CellzooError) else f"{type(error).__name__}: "
            left_out[name] = kind + _first_line(error)
            continue
        passes[name] = run

    def is_over(done: int) -> bool:
        # Whichever ends the case: its rounds, or its share of the budget.
        fraction = max(done / settings.rounds, (time.monotonic() - begin) / allowed)
        watch(min(1.0, fraction), f"round {done} of {settings.rounds}")
        return done >= min(MIN_ROUNDS, settings.rounds) and fraction >= 1.0

    runs = {(name, count): run for name, run in passes.items() for count in settings.threads}
    seconds = take_turns(runs, settings.clock, is_over, lambda key: _use_threads(key[1]))
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    results: list[Result] = []
    for count in settings.threads:
        taken = {name: seconds[name, count] for name in passes}
        first = results[0] if results else None
        results.append(Result(case, taken, {}, left_out, load, threads=count, first=first))
    return results


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [""])[0]


def disagreement(found: Sequence[Tensor], expected: Sequence[Tensor], *, rounded: bool = False) -> str:
    """Say how results differ from the loop's, or nothing where they agree.

    Args:
        found: Outputs, and in training the gradient of x.
        expected: The same of the loop.
        rounded: Whether products are of numbers rounded to bfloat16.
    """
    for what, one, other in zip(("outputs", "gradients of x"), found, expected, strict=False):
        if one.shape != other.shape:
            return f"its {what} have shape {tuple(one.shape)}, the loop's {tuple(other.shape)}"
        if not torch.equal(one.isfinite(), other.isfinite()):
            return f"its {what} differ from the loop's in where they are finite"
        scale = other.nan_to_num(0.0, 0.0, 0.0).norm().item() or 1.0
        apart = (one - other).nan_to_num(0.0, 0.0, 0.0).norm().item() / scale
        if apart > (ROUNDED_TOLERANCE if rounded else TOLERANCES[other.dtype]):
            return f"its {what} differ from the loop's by {apart:.1e} of their norm"
    return ""


def take_turns(
    passes: Mapping[K, Pass],
    clock: Callable[[], float],
    is_over: Callable[[int], bool],
    before: Callable[[K], None] = lambda _: None,
) -> dict[K, list[float]]:
    """Time candidates that have been run once before, until `is_over` of the number of rounds says so.

    Args:
        passes: What each runs.
        clock: What times are read from.
        is_over: See above.
        before: Is called before a candidate is timed.

    Returns:
        Of each, the seconds of one run in each round; round by round they belong together.
    """

    def sample(run: Pass, runs: int) -> float:
        begin = clock()
        for _ in range(runs):
            run()
        return (clock() - begin) / runs

    once: dict[K, float] = {}
    for key, run in passes.items():
        before(key)
        # 0 is below what the clock can tell.
        once[key] = max(sample(run, 1), MIN_SAMPLE / 1000)
    seconds: dict[K, list[float]] = {key: [] for key in passes}
    rounds = 0
    while not is_over(rounds):
        for key, run in passes.items():
            before(key)
            seconds[key].append(sample(run, math.ceil(MIN_SAMPLE / once[key])))
        rounds += 1
    return seconds


def _measure_memory(result: Result, watch: Watch) -> None:
    for name in result.seconds:
        if name == PRODUCTS:  # keeps nothing
            continue
        watch(1.0, f"memory of {name}")
        try:
            result.peaks[name] = peak_extra_bytes(result.case, name, result.threads)
        except RunError as error:
            result.left_out[f"memory of {name}"] = str(error)


def peak_extra_bytes(case: Case, name: str, threads: int) -> int:
    """Measure the peak extra memory of one candidate's run, in a process of its own.

    The process loads everything with a run at tiny sizes, builds the candidate, notes its resident memory, and
    runs it a few times. The extra memory is how far the high-water mark of the resident memory rises above
    that note: what is kept for the backward pass, workspaces and gradients, but not weights, inputs and
    libraries. Where the mark cannot be reset just before the runs, a higher one from loading hides what is
    below it.

    Raises:
        RunError: The process failed; the message says how.
    """
    found = subprocess.run(
        [sys.executable, "-c", "from cellzoo.bench.run import answer; answer()"],
        input=json.dumps([*_named(case.build), asdict(case.shape), name, threads]),
        capture_output=True,
        text=True,
        check=False,
    )
    if found.returncode:
        lines = found.stderr.strip().splitlines()
        reason = lines[-1] if lines else f"exit code {found.returncode}"
        raise RunError(f"memory of {name}: no measurement: {reason}")
    return int(found.stdout.split()[-1])


def _named(build: Callable[..., object]) -> tuple[str, dict[str, object]]:
    """The name of a module's function, and the keywords that it is called with."""
    function, keywords = (build.func, build.keywords) if isinstance(build, partial) else (build, {})
    return f"{function.__module__}:{function.__qualname__}", keywords


def answer() -> None:
    """Do what `peak_extra_bytes` says, in the process that it starts."""
    function, keywords, sizes, name, threads = json.load(sys.stdin)
    torch.set_num_threads(threads)
    build = partial(resolve_name(function), **keywords)
    # Every cell can be built with equal sizes.
    build(name, Shape("tiny", 2, 2, 8, 8))()
    sys.stdout.write(f"{extra_bytes(build(name, Shape(**sizes)))}\n")


def extra_bytes(run: Callable[[], object]) -> int:
    """How far the high-water mark of this process's resident memory rises in some runs."""
    before = start_peak()
    for _ in range(MEMORY_RUNS):
        run()
    return max(0, peak() - before)
