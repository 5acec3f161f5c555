"""The analysis of the space as one page and as JSON."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from cellzoo.pages.axis import linear_axis, logarithmic_axis
from cellzoo.pages.chart import Chart, chart_style
from cellzoo.pages.page import picture, render_page
from cellzoo.system.atomic import output_errors, write_atomically
from tasks.training.events import finite

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from search.benchmark.analysis import Analysis, Correlation

_WIDTH, _HEIGHT = 360.0, 280.0
_STYLE = """body { max-width: 64rem; }
.picture svg { display: inline-block; }
td, th { padding: 0.1rem 0.8rem; text-align: left; }"""
# The horizontal axis is logarithmic if the ratio of its ends is above this.
_WIDE = 20.0
_LEFT, _TOP, _RIGHT, _BOTTOM = 56.0, 26.0, 14.0, 46.0


def write_analysis(folder: Path, analysis: Analysis) -> tuple[Path, Path]:
    """Write `analysis.html` and `analysis.json`.

    Raises:
        OutputError: They cannot be written.
    """
    with output_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    page, data = folder / "analysis.html", folder / "analysis.json"
    write_atomically(data, (json.dumps(as_json(analysis), indent=1) + "\n").encode())
    text = render_page(
        "search.benchmark/analysis.html.j2",
        "The space of NAS-Bench-NLP",
        {"analysis": analysis, "charts": _charts(analysis), "tau": in_words, "gap": _gap(analysis)},
        styles=[
            _STYLE,
            chart_style(),
        ],
    )
    write_atomically(page, text.encode())
    return page, data


def as_json(analysis: Analysis) -> dict[str, Any]:
    """All results as JSON values; numbers that are not finite become None."""
    content = asdict(analysis)
    plain = {key: value.tolist() if isinstance(value, np.ndarray) else value for key, value in content.items()}
    return dict(finite(plain))


def in_words(found: Correlation) -> str:
    """Such as `0.842 [0.812, 0.871], n = 273`; `undefined, n = 2` where there is no value."""
    if math.isnan(found.tau):
        return f"undefined, n = {found.count}"
    return f"{found.tau:.3f} [{found.low:.3f}, {found.high:.3f}], n = {found.count}"


def _gap(analysis: Analysis) -> tuple[float, float, float]:
    """Mean lower bound, mean upper bound, and the share of pairs for which they are equal."""
    if not len(analysis.bounds):
        return 0.0, 0.0, 0.0
    low, high = analysis.bounds[:, 0], analysis.bounds[:, 1]
    return float(low.mean()), float(high.mean()), float((low == high).mean())


def _charts(analysis: Analysis) -> list[Any]:
    perplexity = analysis.perplexity
    made = [
        _scatter("Parameters", analysis.parameters / 1e6, perplexity, "million parameters", "test perplexity"),
        _scatter("Time of training", analysis.hours, perplexity, "hours", "test perplexity"),
    ]
    if len(analysis.ptb):
        ptb = np.exp(analysis.ptb)
        made.append(
            _scatter("Transfer", ptb[:, 0], ptb[:, 1], "PTB test perplexity", "WikiText-2 test perplexity")
        )
    if len(analysis.bounds):
        made.append(
            _scatter(
                "Edit distance",
                analysis.bounds[:, 1],
                np.maximum(analysis.bounds[:, 2], 1e-3),
                "upper bound of the distance",
                "difference of losses",
            )
        )
    return [picture(chart.to_svg()) for chart in made]


def _scatter(
    title: str, across: NDArray[np.float64], up: NDArray[np.float64], x_label: str, y_label: str
) -> Chart:
    """Plot a dot for each recipe; the horizontal axis is logarithmic if its values span a wide range."""
    words = f"{len(across)} points; {x_label} from {across.min():.4g} to {across.max():.4g}, {y_label} from "
    words += f"{up.min():.4g} to {up.max():.4g}."
    chart = Chart.new(_WIDTH, _HEIGHT, title, words, f"scatter-{title.lower().replace(' ', '-')}")
    wide = across.min() > 0 and across.max() / across.min() > _WIDE
    x_axis = (logarithmic_axis if wide else linear_axis)(float(across.min()), float(across.max()), ticks=4)
    y_axis = logarithmic_axis(float(up.min()), float(up.max()), ticks=4)
    left, right, top, bottom = _LEFT, _WIDTH - _RIGHT, _TOP, _HEIGHT - _BOTTOM
    chart.text(left, top - 10, f"{title}: {y_label}", "name")
    chart.y_axis(y_axis, left, right, top, bottom)
    chart.x_axis(x_axis, left, right, top, bottom)
    chart.text((left + right) / 2, bottom + 34, x_label, "small middle")
    group = chart.group("first")
    for x, y in zip(across.tolist(), up.tolist(), strict=True):
        group.dot(
            left + x_axis.share(x) * (right - left), bottom - y_axis.share(y) * (bottom - top), radius=2.2
        )
    return chart
