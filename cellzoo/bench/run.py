"""Compares the candidates of each case: checks that results agree, and measures times and peak memory.

Times are measured alternately (A B A B), with one run of each candidate in each round. Runs that follow each
other find the machine in the same state, so the ratio of two times of a round varies much less than the times.
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

    # Called with the fraction of a case that is done, from 0 to 1, and a description of the current step.
    Watch = Callable[[float, str], None]

K = TypeVar("K")

# Shortest sample in seconds; faster passes are run several times for one sample.
MIN_SAMPLE = 0.01
MIN_ROUNDS = 3
# The first run allocates workspaces and grows the heap; later ones show whether that memory is reused.
MEMORY_RUNS = 3
# Largest difference relative to the norm. It is far above rounding errors, which some cells amplify from step
# to step, and far below the error of a wrong result. Single numbers may differ by more: where rounding moves a
# value across the kink of a relu, the gradient of that sequence jumps.
TOLERANCES = {torch.float32: 1e-3, torch.float64: 1e-8}
# The same for bfloat16 products; at the shapes a to d the difference is about .5 percent.
ROUNDED_TOLERANCE = 0.03
# Size of a tensor whose operations torch divides among its threads.
_SHARED = 1_000_000


@dataclass(frozen=True)
class TimingSettings:
    """Settings of a benchmark.

    Attributes:
        threads: Numbers of threads of torch; every candidate runs with each of them. If the only number is 1,
            times are CPU times of the process, which other processes hardly affect; otherwise, and on other
            devices, they are wall-clock times.
        rounds: Most rounds of each case. budget: Seconds for all cases together. Each case has at least
        `MIN_ROUNDS` rounds, so a small budget may
            be exceeded. Measuring memory takes additional time.
        memory: Whether to measure peak memory as well.
        device: Device of the passes.
    """

    threads: tuple[int, ...] = (1,)
    rounds: int = 11
    budget: float = 300.0
    memory: bool = False
    device: str = "cpu"

    @property
    def clock(self) -> Callable[[], float]:
        """The function that returns the current time."""
        return time.process_time if self.clock_name == "CPU time" else time.perf_counter

    @property
    def clock_name(self) -> str:
        """The name of the clock."""
        return "CPU time" if (self.threads, self.device) == ((1,), "cpu") else "wall-clock time"

    def words(self, *threads: int) -> str:
        """Describe how times are measured, for the given numbers of threads."""
        if self.device != "cpu":
            return f"{self.clock_name} on {self.device}"
        return f"{self.clock_name}, {' and '.join(map(str, threads))} thread{'s' * (threads != (1,))}"

    def __str__(self) -> str:
        return self.words(*self.threads)


@dataclass
class Result:
    """The result of one case with one number of threads.

    Attributes:
        case: The case.
        seconds: Candidate -> seconds of one run in each round.
        peaks: Candidate -> peak extra bytes, if measured.
        left_out: Candidate -> why there is no time, or no memory.
        load_average: Load average of the machine in the last minute, if the system provides it.
        threads: Number of threads.
        first: The result with the first number of threads in the same rounds; None if this is the first.
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
    """Compare the candidates of each case, and yield the results of a case as soon as it is done.

    There is a result for each number of threads, which alternate as the candidates do; the first one has the
    memory. A candidate that fails, or whose results differ from those of the loop, is left out with the reason.
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
    """Switch off Python's garbage collector, so that no candidate pays for another; restore torch's threads."""
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
    """Set the number of threads of torch, and start them before anything is timed."""
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
        except Exception as error:  # a candidate that fails must not stop the others
            kind = "" if isinstance(error, CellzooError) else f"{type(error).__name__}: "
            left_out[name] = kind + _first_line(error)
            continue
        passes[name] = run

    def is_over(done: int) -> bool:
        # A case ends when its rounds are done or its share of the budget is used up.
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
    """Describe how results differ from those of the loop; empty if they agree.

    Args:
        found: Outputs, and in training the gradient of x.
        expected: The same from the loop.
        rounded: Whether matrix products round their inputs to bfloat16.
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
    """Time candidates alternately. Each must have been run once before, to warm up.

    Args:
        passes: Candidate -> its pass.
        clock: Returns the current time in seconds.
        is_over: Called with the number of rounds that are done; timing ends when it returns True.
        before: Called with a candidate before it is timed.

    Returns:
        Candidate -> seconds of one run in each round.
    """

    def sample(run: Pass, runs: int) -> float:
        begin = clock()
        for _ in range(runs):
            run()
        return (clock() - begin) / runs

    once: dict[K, float] = {}
    for key, run in passes.items():
        before(key)
        # The clock may be too coarse and return 0.
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
        if name == PRODUCTS:  # allocates nothing during a pass
            continue
        watch(1.0, f"memory of {name}")
        try:
            result.peaks[name] = peak_extra_bytes(result.case, name, result.threads)
        except RunError as error:
            result.left_out[f"memory of {name}"] = str(error)


def peak_extra_bytes(case: Case, name: str, threads: int) -> int:
    """Measure the peak extra memory of a pass of one candidate, in a separate process.

    The process first runs a pass at tiny sizes, which loads all libraries. Then it builds the candidate, reads
    its resident memory, and runs a few passes. The extra memory is the increase of the peak resident memory
    above that value: activations stored for the backward pass, workspaces and gradients, but not weights,
    inputs and libraries. On systems where the peak cannot be reset just before the passes, a higher peak while
    loading hides smaller ones.

    Raises:
        RunError: The process failed; the message gives the reason.
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
    """The qualified name of a function, and its keyword arguments."""
    function, keywords = (build.func, build.keywords) if isinstance(build, partial) else (build, {})
    return f"{function.__module__}:{function.__qualname__}", keywords


def answer() -> None:
    """The main function of the process that `peak_extra_bytes` starts."""
    function, keywords, sizes, name, threads = json.load(sys.stdin)
    torch.set_num_threads(threads)
    build = partial(resolve_name(function), **keywords)
    # Every cell can be built with equal sizes.
    build(name, Shape("tiny", 2, 2, 8, 8))()
    sys.stdout.write(f"{extra_bytes(build(name, Shape(**sizes)))}\n")


def extra_bytes(run: Callable[[], object]) -> int:
    """The increase of the peak resident memory of this process during some runs."""
    before = start_peak()
    for _ in range(MEMORY_RUNS):
        run()
    return max(0, peak() - before)
