"""Runs every instruction set of the native engine on many cells, in a process that a sanitizer watches."""

from __future__ import annotations

import random
import sys
from dataclasses import replace
from pathlib import Path

import torch

from cellzoo.runtime.native import binding

binding._NAME = sys.argv[1]
sys.path.insert(0, str(Path(__file__).parents[1] / "search" / "supernets"))

from cell_spaces import SPACES  # noqa: E402 - the library is named before anything loads it
from engine_cases import ENGINES, TOLERANCES, Case, draw, fitting, hold, random_case, results  # noqa: E402
from test_engines import LAYOUTS, SIZES, assert_equal  # noqa: E402
from unaligned import run_unaligned  # noqa: E402

import cellzoo  # noqa: E402
from cellzoo.runtime.native.engine import NativeRuntime  # noqa: E402

NATIVE = [name for name in ENGINES if name.startswith("native")]
# Large enough for three threads, which share rows, or units.
SHARED = (
    Case(24, 100, (24, 24, 22, 5)),
    Case(5, 16, (600, 600, 400, 2, 1)),
    Case(16, 320, (2, 2, 2, 2, 2, 2, 2, 2, 2, 1)),
)
SHAPES = (Case(1, 1, (1,)), Case(17, 33, (7, 7, 3)), Case(3, 5, (300, 299, 1)), Case(4, 6, (0,)))


def main() -> None:
    assert sys.argv[1] in binding.load()._name
    torch.set_num_threads(1)
    generator = random.Random(3)
    for name in cellzoo.list_cells()[::3]:
        hold(cellzoo.load(name), random_case(generator), NATIVE, rounding=True)
    for space in SPACES.values():
        for _ in range(4):
            hold(space(generator), random_case(generator), NATIVE, rounding=True)
    for name in ("lstm", "darts-v2", "peephole-lstm", "fastgrnn"):
        for case in SHAPES:
            hold(cellzoo.load(name), replace(case, masked_x=True, masked_h=True), NATIVE)
    for name in ("lstm", "darts-v2", "mogrifier-lstm"):
        for number, case in enumerate(SHARED):
            for threads in (2, 3):
                torch.set_num_threads(threads)
                dtype = tuple(TOLERANCES)[(number + threads) % 2]
                hold(cellzoo.load(name), replace(case, dtype=dtype, masked_h=True), NATIVE, rounding=True)
    for layout in LAYOUTS.values():
        for threads, sizes in ((1, SIZES["small"]), (2, (24, 70, (40, 40, 30))), (3, (5, 16, (600, 500, 3)))):
            torch.set_num_threads(threads)
            assert_equal(layout, sizes, engines="native")
    run_unaligned()
    run_rounded(generator)


def run_rounded(generator: random.Random) -> None:
    """Products of bfloat16, where the processor has them; how exact they are is tested elsewhere."""
    drawn = [random_case(generator, dtype=torch.float32) for _ in range(12)]
    for number, case in enumerate((*drawn, *SHAPES, *SHARED)):
        torch.set_num_threads(number % 3 + 1)
        for name in ("lstm", "darts-v2", "mogrifier-lstm", "fastgrnn"):
            cell = cellzoo.load(name)
            fit = fitting(cell, replace(case, masked_h=True))
            results(NativeRuntime(cell, rounds=True), fit, draw(cell, fit), torch.float32)


if __name__ == "__main__":
    main()
    sys.stdout.write("done\n")
