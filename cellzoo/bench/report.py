"""The figures of all cases as a JSON file, with every time they were made from."""

from __future__ import annotations

import json
import platform
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import torch

from cellzoo.bench.figures import lines
from cellzoo.bench.memory import RUNS
from cellzoo.system.atomic import write_atomically
from cellzoo.system.machine import installed, processor, usable_cores
from cellzoo.system.source_code import source_code

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from cellzoo.bench.compare import Result, TimingSettings
    from cellzoo.bench.figures import FigureLine

VERSION = 1
_PACKAGES = ("cellzoo", "torch", "numpy")


class BenchReport:
    """A file that holds what is known so far.

    Args:
        path: The file; None for none.
        settings: How the figures are made.
        planned: The number of cases.
    """

    def __init__(self, path: Path | None, settings: TimingSettings, planned: int) -> None:
        self._path = path
        self._planned = planned
        self._content: dict[str, Any] = {
            "bench_version": VERSION,
            "began": _now(),
            "code": asdict(source_code()),
            "machine": {
                "platform": platform.platform(),
                "processor": processor(),
                "cores": usable_cores(),
                "torch_capability": torch.backends.cpu.get_cpu_capability(),
            },
            "versions": {"python": platform.python_version()}
            | {name: release for name in _PACKAGES if (release := installed(name))},
            "settings": {**asdict(settings), "clock": settings.clock_name, "memory_runs": RUNS},
        }

    def write(self, results: Sequence[Result]) -> None:
        """Write the file anew.

        Raises:
            OutputError: It cannot be written.
        """
        if self._path is None:
            return
        content = {
            **self._content,
            "written": _now(),
            "finished": len(results) == self._planned,
            "cases": [_case(result) for result in results],
        }
        write_atomically(self._path, (json.dumps(content, indent=1) + "\n").encode())


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _case(result: Result) -> dict[str, Any]:
    case = result.case
    return {
        **case.describe(),
        "flops": case.flops,
        "load_average": result.load_average,
        "candidates": [_candidate(result, line) for line in lines(result)],
        "left_out": dict(result.left_out),
    }


def _candidate(result: Result, line: FigureLine) -> dict[str, Any]:
    candidate, times = result.candidates[line.name], result.times[line.name]
    return {
        "name": line.name,
        "flops": candidate.flops,
        "seconds": list(times.seconds),
        "runs_a_time": times.runs,
        "median": asdict(line.seconds),
        "ratios": {base: asdict(found) for base, found in line.ratios.items()},
        "per_flop": None if line.per_flop is None else asdict(line.per_flop),
        "peak_bytes": line.peak,
        "peak_ratio": line.peak_ratio,
        **candidate.details,
    }
