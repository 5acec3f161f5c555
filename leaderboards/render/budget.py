"""The expected best dev score against the tuning budget, as a picture and as text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cellzoo.pages.axis import linear_axis, logarithmic_axis
from cellzoo.pages.chart import Chart
from cellzoo.system.text import shortened
from leaderboards.render import notes, numbers
from leaderboards.render.grid import table_title

if TYPE_CHECKING:
    from leaderboards.board import TaskTable, Tuning, TuningCurve

WIDTH, HEIGHT = 760, 340
LEFT, RIGHT, TOP, BOTTOM = 70, 590, 40, 282
DRAWN = 12
"""Most curves in a picture; the others are only listed as text."""


def budget_lines(tuning: Tuning) -> list[str]:
    """One line for each subject: `lstm: 41.2 with 1 configuration, 46.0 with 8, 46.3 with 16`."""
    return [_line(tuning, curve) for curve in tuning.curves]


def budget_picture(table: TaskTable, identity: str) -> str | None:
    """One `<svg>` element; None if the cells of the table were not tuned."""
    tuning = table.tuning
    if tuning is None or tuning.trials < 2:
        return None
    shown = _shown(tuning)
    title = f"{table_title(table)}: expected best {tuning.title} against configurations tried"
    words = "; ".join(_line(tuning, curve) for curve in shown)
    chart = Chart.new(WIDTH, HEIGHT, title, words, identity)
    values = [value for curve in shown for value in curve.expected]
    x_axis = logarithmic_axis(1, tuning.trials)
    y_axis = linear_axis(min(values), max(values))
    chart.text(8, 22, f"expected best {tuning.title} of so many random configurations", "heading")
    chart.y_axis(y_axis, LEFT, RIGHT, TOP, BOTTOM)
    chart.x_axis(x_axis, LEFT, RIGHT, TOP, BOTTOM)
    chart.text((LEFT + RIGHT) / 2, HEIGHT - 22, "configurations tried", "small middle")
    chart.text(LEFT, HEIGHT - 6, "on dev; Dodge et al. 2019")
    for place, curve in enumerate(shown):
        points = [
            (
                LEFT + x_axis.share(number) * (RIGHT - LEFT),
                BOTTOM - y_axis.share(value) * (BOTTOM - TOP),
            )
            for number, value in enumerate(curve.expected, start=1)
        ]
        group = chart.group()
        group.curve(points, "curve")
        x, y = points[-1]
        group.dot(x, y, tip=_line(tuning, curve))
        row = TOP + 12 + place * 18
        last = numbers.metric(curve.expected[-1], tuning.digits)
        group.line(x + 4, y, RIGHT + 22, row, "grid")
        group.text(RIGHT + 26, row + 4, f"{shortened(notes.label(curve.subject), 16)} {last}", "small")
    return chart.to_svg()


def _shown(tuning: Tuning) -> list[TuningCurve]:
    """The best curves, sorted by their last value, so that labels are in the same order."""
    sign = -1 if tuning.higher_is_better else 1
    ordered = sorted(tuning.curves, key=lambda curve: (sign * curve.expected[-1], curve.subject.name))[:DRAWN]
    return sorted(ordered, key=lambda curve: -curve.expected[-1])


def _line(tuning: Tuning, curve: TuningCurve) -> str:
    budgets = [1]
    while 2 * budgets[-1] < tuning.trials:
        budgets.append(2 * budgets[-1])
    if tuning.trials > 1:
        budgets.append(tuning.trials)
    at = [f"{numbers.metric(curve.expected[n - 1], tuning.digits)} with {n}" for n in budgets]
    failed = f" ({curve.without} of {tuning.trials} failed)" if curve.without else ""
    return f"{notes.label(curve.subject)}: {', '.join(at)}{failed}"
