"""The output of a benchmark: progress, a table for each case, and a file with all results."""

from __future__ import annotations

import json
import platform
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.measure import Measurement
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from cellzoo.bench.case import LOOP, LSTM, LSTM_AUTOCAST, LSTM_BF16, PRODUCTS
from cellzoo.system.atomic import write_atomically
from cellzoo.system.machine import installed, processor, usable_cores
from cellzoo.system.source_code import source_code

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from cellzoo.bench.case import Case
    from cellzoo.bench.run import Result, TimingSettings, Watch

BASES = (LOOP, LSTM, PRODUCTS)
NOTE = (
    "Medians over the rounds of the time, and of its ratio to the others' in the same round; ± is half the "
    "distance between the quartiles, in percent. Per FLOP: time for each floating-point operation."
)
BF16_NOTE = (
    "nn.LSTM bf16: weights and input in bfloat16; nn.LSTM autocast: in float32, under torch.autocast. "
    "Per FLOP, one column compares with the faster of them."
)
MEMORY_NOTE = (
    "Peak: the highest resident memory of a process of its own in such a pass, above what it had with weights "
    "and inputs."
)
VERSION = 3
_WIDEST = 300
# Nesting levels written on separate lines: the file, its cases, a case, its candidates.
_DEPTH = 3
_DIGITS = 8


def rows(result: Result) -> list[dict[str, Any]]:
    """The statistics of each candidate of a case, for the table and the file.

    `median` is the median of the seconds of a run. `ratios` are ratios of the times of a round: to each
    baseline in `BASES`. `per_flop` is the ratio of the time per FLOP to that of nn.LSTM, `per_flop_bf16` to
    that of nn.LSTM in bfloat16. `speedup` is the time with the first number of threads divided by the time with
    this one. Each comes with its quartiles.
    """
    bases = [base for base in BASES if base in result.seconds]
    in_bfloat16 = lstm_in_bfloat16(result)
    flops, peaks = result.case.flops, result.peaks
    found = []
    for name, taken in result.seconds.items():
        seconds = np.array(taken)
        row = {
            "name": name,
            "flops": flops[name],
            "seconds": list(taken),
            "median": _spread(seconds),
            "ratios": {base: _spread(seconds / result.seconds[base]) for base in bases},
            "per_flop": None,
            "per_flop_bf16": None,
            "speedup": None,
            "peak_bytes": peaks.get(name),
            "peak_ratio": peaks[name] / peaks[LOOP] if name in peaks and peaks.get(LOOP) else None,
        }
        for key, other in (("per_flop", LSTM), ("per_flop_bf16", in_bfloat16)):
            if other is not None and other in result.seconds:
                row[key] = _spread(seconds / result.seconds[other] * flops[other] / flops[name])
        if result.first is not None:
            row["speedup"] = _spread(np.array(result.first.seconds[name]) / seconds)
        found.append(row)
    return found


def lstm_in_bfloat16(result: Result) -> str | None:
    """The faster of the two ways to run nn.LSTM in bfloat16; None if neither was timed."""
    names = [name for name in (LSTM_BF16, LSTM_AUTOCAST) if name in result.seconds]
    return min(names, key=lambda name: float(np.median(result.seconds[name])), default=None)


def _spread(values: Any) -> dict[str, float]:
    low, median, high = np.quantile(values, (0.25, 0.5, 0.75)).tolist()
    return {"median": median, "low": low, "high": high}


def print_table(result: Result, settings: TimingSettings, console: Console) -> None:
    """Print the table of a case."""
    rounds = max(map(len, result.seconds.values()), default=0)
    heading = f"{result.case.title}: {settings.words(result.threads)}, {rounds} rounds"
    console.print(Text(heading, style="bold"), soft_wrap=True)
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("")
    bases = [base for base in BASES if base in result.seconds]
    in_bfloat16 = lstm_in_bfloat16(result)
    first = result.first
    titles = [
        "ms",
        "GFLOP/s",
        *(f"× {base}" for base in bases),
        *["per FLOP\n× nn.LSTM"] * (LSTM in bases),
        *[f"per FLOP\n× {in_bfloat16}"] * (in_bfloat16 is not None),
        *([f"speed-up\n{first.threads} to {result.threads} threads"] if first is not None else []),
        *["peak\nMB", "× loop"] * bool(result.peaks),
    ]
    for title in titles:
        table.add_column(title, justify="right", no_wrap=True)
    for row in rows(result):
        median = row["median"]["median"]
        cells = [f"{median * 1e3:.2f}", f"{row['flops'] / median / 1e9:.1f}"]
        further = [row["per_flop"], row["per_flop_bf16"], row["speedup"]]
        cells += [_ratio(found) for found in (*row["ratios"].values(), *further) if found is not None]
        if result.peaks:
            cells.append("" if row["peak_bytes"] is None else f"{row['peak_bytes'] / 1e6:.1f}")
            cells.append("" if row["peak_ratio"] is None else f"{row['peak_ratio']:.3f}")
        table.add_row(row["name"], *cells)
    # Rich cuts off columns that do not fit; lines that wrap can still be read.
    natural = Measurement.get(console, console.options.update(width=_WIDEST), table).maximum
    Console(width=max(console.width, natural), file=console.file).print(table)
    if result.first is not None:
        return
    for name, reason in result.left_out.items():
        console.print(Text(f"left out: {name}: {reason}", style="yellow"), soft_wrap=True)


def _ratio(found: dict[str, float]) -> str:
    percent = 50 * (found["high"] - found["low"]) / found["median"] if found["median"] else 0.0
    return f"{found['median']:.3f} ±{percent:.0f}%"


def about_the_run(settings: TimingSettings) -> dict[str, Any]:
    """The metadata of the file: time, code, machine, versions and settings."""
    return {
        "bench_version": VERSION,
        "began": _now(),
        "code": asdict(source_code()),
        "machine": {
            "platform": platform.platform(),
            "processor": processor(),
            "cores": usable_cores(),
            "torch_capability": torch.backends.cpu.get_cpu_capability(),
        },
        "versions": {
            "python": platform.python_version(),
            **{name: installed(name) for name in ("cellzoo", "torch", "numpy")},
        },
        "settings": {**asdict(settings), "clock": settings.clock_name},
    }


def write_file(path: Path, about: dict[str, Any], results: Sequence[Result], *, finished: bool) -> None:
    """Write the results so far, with all times.

    Raises:
        OutputError: The file cannot be written.
    """
    cases = [
        {
            **result.case.description,
            "threads": result.threads,
            "load_average": result.load_average,
            "candidates": rows(result),
            "left_out": result.left_out,
        }
        for result in results
    ]
    content = {**about, "written": _now(), "finished": finished, "cases": cases}
    write_atomically(path, (_text(content) + "\n").encode())


def _text(value: Any, depth: int = 0) -> str:
    """JSON with one line for each candidate and `_DIGITS` significant digits."""
    if isinstance(value, float):
        return json.dumps(float(f"{value:.{_DIGITS}g}"))
    if not isinstance(value, dict | list):
        return json.dumps(value)
    between = f",\n{' ' * (depth + 1)}" if depth <= _DEPTH else ", "
    if isinstance(value, dict):
        parts = [f"{json.dumps(key)}: {_text(part, depth + 1)}" for key, part in value.items()]
        return f"{{{between.join(parts)}}}"
    return f"[{between.join(_text(part, depth + 1) for part in value)}]"


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def progress(cases: Sequence[Case], console: Console) -> Callable[[Case], AbstractContextManager[Watch]]:
    """Show the progress of the cases: a progress bar in a terminal, otherwise a line for each case."""
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TimeRemainingColumn(),
        console=console,
        # Refreshed between samples, as the time of a thread of its own would be measured.
        auto_refresh=False,
        speed_estimate_period=3600,
        transient=True,
        disable=not console.is_terminal or console.is_dumb_terminal,
    )
    task = bar.add_task("", total=sum(case.work for case in cases))

    @contextmanager
    def watched(case: Case) -> Iterator[Watch]:
        title = f"{cases.index(case) + 1} of {len(cases)}: {case.title}"
        if bar.disable:
            console.print(Text(f"{title}: {', '.join(case.flops)}", style="dim"), soft_wrap=True)
        done = bar.tasks[task].completed

        def watch(fraction: float, words: str) -> None:
            completed = done + fraction * case.work
            bar.update(task, completed=completed, description=f"{title}: {words}", refresh=True)

        # Removed between cases, so that a table can be printed.
        with bar:
            yield watch
            bar.update(task, completed=done + case.work)

    return watched
