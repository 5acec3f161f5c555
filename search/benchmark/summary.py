"""The results of a comparison: means with intervals, paired differences, distributions; as JSON and a page."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from cellzoo.pages.axis import linear_axis, logarithmic_axis
from cellzoo.pages.chart import Chart, chart_style
from cellzoo.pages.page import picture, render_page
from cellzoo.system.atomic import output_errors, write_atomically
from search.benchmark.regret import BASELINE, GRID
from tasks.training.events import finite

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from search.benchmark.regret import Curves, Protocol
    from search.benchmark.released import ReleasedCurve

LEVEL = 0.95
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
_COLUMNS, _WIDTH, _HEIGHT = 3, 250.0, 200.0
_LEFT, _TOP, _RIGHT, _BOTTOM = 46.0, 30.0, 10.0, 34.0


@dataclass(frozen=True)
class Comparison:
    """The methods on one pool.

    Attributes:
        title: Of the pool.
        protocol: The conditions of the trials.
        curves: One for each method.
        horizons: Hours at which they are compared; the last is the protocol's.
    """

    title: str
    protocol: Protocol
    curves: tuple[Curves, ...]
    horizons: tuple[float, ...]


def interval(values: NDArray[np.float64]) -> tuple[float, float, float]:
    """Mean of the finite values and the ends of its 95 % interval (Student's t); NaN if there are too few."""
    from scipy.stats import t

    known = values[np.isfinite(values)]
    if not len(known):
        return math.nan, math.nan, math.nan
    mean = float(known.mean())
    if len(known) < 2:
        return mean, math.nan, math.nan
    half = float(t.ppf(0.5 + LEVEL / 2, len(known) - 1) * known.std(ddof=1) / math.sqrt(len(known)))
    return mean, mean - half, mean + half


def table_rows(comparison: Comparison) -> list[dict[str, Any]]:
    """A row for each method and horizon: regrets and the paired difference to random search."""
    baseline = next((one for one in comparison.curves if one.method.label == BASELINE), None)
    rows = []
    for hours in comparison.horizons:
        # The last step of the grid that is not after the horizon; the small number is for rounding errors.
        place = int(hours / comparison.protocol.hours * GRID + 1e-9) - 1
        for one in comparison.curves:
            inference = one.inference[:, place]
            compared = baseline is not None and one is not baseline
            paired = inference - baseline.inference[:, place] if compared and baseline else np.array([])
            known = inference[np.isfinite(inference)]
            rows.append(
                {
                    "hours": hours,
                    "method": one.method.label,
                    "simple": interval(one.simple[:, place]),
                    "inference": interval(inference),
                    "difference": interval(paired),
                    "quantiles": np.quantile(known, QUANTILES).tolist() if len(known) else [],
                    "trials": len(inference),
                    "without": int(len(inference) - len(known)),
                }
            )
    return rows


def as_json(comparisons: Sequence[Comparison], released: Sequence[ReleasedCurve]) -> dict[str, Any]:
    """All results as JSON values; numbers may be NaN."""
    return {
        "unit": "nats per word",
        "interval": f"{LEVEL:.0%} of the mean over trials, Student's t",
        "comparisons": [
            {
                "pool": one.title,
                "clock": one.protocol.clock,
                "workers": one.protocol.workers,
                "hours": one.protocol.hours,
                "rows": table_rows(one),
                "methods": [
                    {
                        "label": curves.method.label,
                        "sampler": curves.method.name,
                        "settings": {
                            key: getattr(value, "text", value) for key, value in curves.method.settings
                        },
                        "mean_simple": _column_means(curves.simple),
                        "mean_inference": _column_means(curves.inference),
                        "hours_used": [float(curves.used.min()), float(curves.used.max())],
                        "mean_trainings": float(curves.trainings.mean()),
                        "ended": sorted(set(curves.ended)),
                        "found": list(curves.found),
                    }
                    for curves in one.curves
                ],
            }
            for one in comparisons
        ],
        "released": [
            {
                "label": one.label,
                "mean_hours": one.hours.mean(axis=0).tolist(),
                "mean_regret": np.nanmean(one.regret, axis=0).tolist(),
                "final": one.regret[:, -1].tolist(),
            }
            for one in released
        ],
    }


def _column_means(values: NDArray[np.float64]) -> list[float | None]:
    """Means of the columns that are finite in all trials; None for other columns."""
    return [float(column.mean()) if np.isfinite(column).all() else None for column in values.T]


def write_comparison(
    folder: Path, comparisons: Sequence[Comparison], released: Sequence[ReleasedCurve]
) -> tuple[Path, Path]:
    """Write `regret.html` and `regret.json`.

    Raises:
        OutputError: They cannot be written.
    """
    with output_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    page, data = folder / "regret.html", folder / "regret.json"
    content = as_json(comparisons, released)
    write_atomically(data, (json.dumps(finite(content), indent=1) + "\n").encode())
    shown = [
        {
            "comparison": one,
            "rows": table_rows(one),
            "charts": [
                picture(_panels(one, what, f"{what}-{place}").to_svg()) for what in ("inference", "simple")
            ],
            "finals": picture(_finals(one, f"final-{place}").to_svg()),
        }
        for place, one in enumerate(comparisons)
    ]
    text = render_page(
        "search.benchmark/regret.html.j2",
        "Regret on NAS-Bench-NLP",
        {
            "shown": shown,
            "released": [(one.label, interval(one.regret[:, -1]), one.hours[:, -1].mean()) for one in released],
            "number": mean_text,
        },
        styles=[
            "body { max-width: 64rem; }\ntd, th { padding: 0.1rem 0.6rem; text-align: right; }",
            chart_style(),
        ],
    )
    write_atomically(page, text.encode())
    return page, data


def mean_text(values: tuple[float, float, float]) -> str:
    """A mean with its interval, such as `0.621 [0.512, 0.730]`; empty if there is no value."""
    mean, low, high = values
    if math.isnan(mean):
        return ""
    return f"{mean:.3f}" if math.isnan(low) else f"{mean:.3f} [{low:.3f}, {high:.3f}]"


def _band(values: NDArray[np.float64]) -> tuple[int, NDArray[np.float64]]:
    """The first step at which all trials have a value, and mean, low and high from there, (3, steps)."""
    complete = np.isfinite(values).all(axis=0)
    first = int(np.argmax(complete)) if complete.any() else values.shape[1]
    return first, np.array([interval(column) for column in values[:, first:].T]).T.reshape(3, -1)


def _panels(comparison: Comparison, what: str, identity: str) -> Chart:
    """Draw a panel for each method: its mean regret with the band, and that of random search for comparison."""
    bands = {one.method.label: _band(getattr(one, what)) for one in comparison.curves}
    values = [value for _, band in bands.values() for value in band[0]]
    low = max(min((value for value in values if value > 0), default=0.01), 1e-3)
    axis = logarithmic_axis(low, max([*values, low * 4]), ticks=4)
    hours = linear_axis(0.0, comparison.protocol.hours, ticks=4, to_ticks=False)
    rows = math.ceil(len(bands) / _COLUMNS)
    title = f"{what.capitalize()} regret, mean and 95 % band, {comparison.title}"
    words = "; ".join(f"{label} ends at {band[0][-1]:.3f}" for label, (_, band) in bands.items() if band.size)
    chart = Chart.new(_COLUMNS * _WIDTH, rows * _HEIGHT, title, f"{words}.", identity)
    steps = np.linspace(0.0, comparison.protocol.hours, GRID + 1)[1:]
    for place, (label, (first, band)) in enumerate(bands.items()):
        left, top = place % _COLUMNS * _WIDTH, place // _COLUMNS * _HEIGHT
        right, bottom = left + _WIDTH - _RIGHT, top + _HEIGHT - _BOTTOM
        left, top = left + _LEFT, top + _TOP
        chart.text(left, top - 10, label, "name")
        chart.y_axis(axis, left, right, top, bottom)
        chart.x_axis(hours, left, right, top, bottom)

        def at(
            start: int,
            row: NDArray[np.float64],
            box: tuple[float, float, float, float] = (left, right, top, bottom),
        ) -> list[tuple[float, float]]:
            return [
                (
                    box[0] + hours.share(float(steps[start + index])) * (box[1] - box[0]),
                    box[3] - axis.share(float(value)) * (box[3] - box[2]),
                )
                for index, value in enumerate(row)
            ]

        if not band.size:
            chart.text(left + 8, top + 20, "not all trials have a value")
            continue
        if BASELINE in bands and label != BASELINE and bands[BASELINE][1].size:
            chart.group("second").curve(at(bands[BASELINE][0], bands[BASELINE][1][0]), "mark curve")
        chart.curve([*at(first, band[1]), *reversed(at(first, band[2]))], "tint0")
        chart.group("first").curve(at(first, band[0]), "mean curve")
    return chart


def _finals(comparison: Comparison, identity: str) -> Chart:
    """Draw the final inference regret of each method: 5 to 95 %, quartiles, median."""
    finals = {one.method.label: one.inference[:, -1] for one in comparison.curves}
    finals = {label: values[np.isfinite(values)] for label, values in finals.items()}
    every = [value for values in finals.values() for value in values]
    axis = linear_axis(min([0.0, *every]), max([*every, 0.1]))
    left, right, row = 190.0, _COLUMNS * _WIDTH - 20.0, 24.0
    bottom = 10.0 + row * len(finals)
    words = "; ".join(
        f"{label}: median {np.median(values):.3f}" for label, values in finals.items() if len(values)
    )
    title = f"Final inference regret after {comparison.protocol.hours:g} hours, {comparison.title}"
    chart = Chart.new(_COLUMNS * _WIDTH, bottom + 34, title, f"{words}.", identity)
    chart.x_axis(axis, left, right, 6.0, bottom)
    for place, (label, values) in enumerate(finals.items()):
        y = 6.0 + row * (place + 0.5)
        chart.text(left - 8, y + 4, label, "end")
        if not len(values):
            continue
        ends = [left + axis.share(float(value)) * (right - left) for value in np.quantile(values, QUANTILES)]
        group = chart.group("first")
        group.line(ends[0], y, ends[4], y, "mark")
        group.line(ends[1], y, ends[3], y, "mean")
        group.dot(ends[2], y, tip=f"{label}: median {np.median(values):.3f}")
    return chart
