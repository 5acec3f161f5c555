"""From times to the figures that tables and files show."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cellzoo.bench.cell_case import BEST_PRODUCTS, LOOP, TORCH_LSTM, TORCH_PRODUCTS
from cellzoo.bench.ratios import Quartiles, paired_ratios, spread

if TYPE_CHECKING:
    from cellzoo.bench.compare import Result

# Each line is compared with these, by time, and with the second one also by time for each FLOP.
BASES = (LOOP, TORCH_LSTM, TORCH_PRODUCTS, BEST_PRODUCTS)
PER_FLOP_BASE = TORCH_LSTM


@dataclass(frozen=True)
class FigureLine:
    """The figures of one candidate.

    Attributes:
        name: The candidate.
        seconds: Of one run.
        flops_per_second: By the median time.
        ratios: Base -> median and quartiles of the time over the base's, round by round.
        per_flop: The same of time for each FLOP, over `PER_FLOP_BASE`; None if that was left out.
        peak: Peak extra bytes of a run, where it was measured.
        peak_ratio: The same over the loop's.
    """

    name: str
    seconds: Quartiles
    flops_per_second: float
    ratios: dict[str, Quartiles]
    per_flop: Quartiles | None
    peak: int | None
    peak_ratio: float | None


def lines(result: Result) -> list[FigureLine]:
    """Compute the figures of one case."""
    return [_line(result, name) for name in result.candidates]


def _line(result: Result, name: str) -> FigureLine:
    seconds = result.times[name].seconds
    flops = result.candidates[name].flops
    ratios = {
        base: paired_ratios(seconds, result.times[base].seconds) for base in BASES if base in result.times
    }
    per_flop = None
    if PER_FLOP_BASE in ratios:
        per_flop = ratios[PER_FLOP_BASE].scaled(result.candidates[PER_FLOP_BASE].flops / flops)
    taken = spread(seconds)
    peak, loop_peak = result.peaks.get(name), result.peaks.get(LOOP)
    return FigureLine(
        name,
        taken,
        flops / taken.median,
        ratios,
        per_flop,
        peak,
        peak / loop_peak if peak is not None and loop_peak else None,
    )
