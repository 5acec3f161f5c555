"""Writes the page of the docs with the results of the simulations."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

_INTRODUCTION = """\
# How far the intervals and ranks of a board can be trusted

The statistics of boards were tested on simulated boards, for which the true values are known: k cells with n
seeds each on m common items, with crossed random effects of seeds and items. The standard deviation between
seeds is about two points, and two trainings of one cell have a correlation of .5 to .9 over items. Each entry
is a mean over settings of the simulation; in brackets are the lowest and the highest value of a single
setting. `python -m leaderboards.audit --out docs/statistics.md` repeats the simulations and writes this page.

Intervals for *this test set* say what other trainings would give on the same items, those for *new test sets*
what they would give on other items of the same kind. The *family error* is the share of boards of equal cells
that show at least one significant difference.
"""

_OWN = (
    ("coverage here", "coverage of the interval of a cell, this test set", "95 %"),
    ("coverage new", "coverage of the interval of a cell, new test sets", "95 %"),
    ("simultaneous Dunnett", "joint coverage of all differences from one cell, this test set", "95 %"),
    ("simultaneous Tukey", "joint coverage of all pairwise differences, this test set", "95 %"),
    ("simultaneous new", "joint coverage of all differences from one cell, new test sets", "95 %"),
    ("false Dunnett", "family error of all cells against one, this test set", "5 %"),
    ("false Tukey", "family error of ranks, this test set", "5 %"),
    ("false new", "family error of all cells against one, new test sets", "5 %"),
)
_OTHERS = (
    ("false Welch", "Welch's test for each pair: boards with a false difference", "5 %"),
    ("false items", "randomisation over items of two trained models, used as a test of cells", "5 %"),
    ("coverage percentile", "coverage of the percentile bootstrap over seeds and items, new test sets", "95 %"),
)
Result = dict[str, Any]


def render(results: Sequence[Result]) -> str:
    """Write the page."""
    fewest, most = (pick(result["worlds"] for result in results) for pick in (min, max))
    boards = f"{most:,}" if fewest == most else f"{fewest:,} to {most:,}"
    error = 100 * math.sqrt(0.05 * 0.95 / fewest)
    parts = [
        _INTRODUCTION,
        f"{len(results)} settings of {boards} boards each; the standard error of a share near "
        f"5 % or 95 % in one setting is {error:.1f} points.\n",
        "## The procedures of a board, by number of seeds\n",
        _table(results, _OWN, "seeds"),
        "## By number of cells\n",
        _table(results, _OWN, "cells"),
        "## By number of items\n",
        _table(results, _OWN, "items"),
        "## By metric\n",
        _table(results, _OWN, "metric"),
        "## Procedures that boards do not use\n",
        _table(results, _OTHERS, "seeds"),
        _table(results, _OTHERS, "cells"),
        "## One cell that varies four times as much from seed to seed\n",
        "Bartlett's test at 1 % decides whether variances are pooled. With few seeds it often does not detect "
        "that one cell varies more, and then too many boards show a false difference. Settings with 8 and 20 "
        "cells:\n",
        _table(results, [(f"uneven {name}", title, target) for name, title, target in _OWN[2:5]], "seeds"),
        "## Power\n",
        "One cell is better than the others. *Found* is how often Dunnett's intervals show it; *stated* is the "
        "smallest detectable difference (found in 4 of 5 cases) that the boards state. Differences are in "
        "points (perplexity: per cent).\n",
        _power(results),
        "## The winner's curse\n",
        "How much the best mean is above the true mean of the same cell, in points: as measured, and after "
        "shrinkage.\n",
        _bias(results),
    ]
    return "\n".join(parts)


def _groups(results: Sequence[Result], by: str) -> list[Any]:
    return list(dict.fromkeys(result["setting"][by] for result in results))


def _table(results: Sequence[Result], names: Sequence[tuple[str, str, str]], by: str) -> str:
    groups = _groups(results, by)
    heads = [f"{group} {by}" if by != "metric" else str(group) for group in groups]
    lines = [f"| | target | {' | '.join(heads)} |", "|:---|---:|" + "---:|" * len(groups)]
    for name, title, target in names:
        fields = [_share([r for r in results if r["setting"][by] == group], name) for group in groups]
        lines.append(f"| {title} | {target} | {' | '.join(fields)} |")
    return "\n".join(lines) + "\n"


def _share(results: Sequence[Result], name: str) -> str:
    shares = [100 * result["shares"][name] for result in results if name in result["shares"]]
    if not shares:
        return "—"
    return f"{np.mean(shares):.1f} ({min(shares):.1f} to {max(shares):.1f})"


def _power(results: Sequence[Result]) -> str:
    lines = ["| cells | seeds | metric | true difference | stated | found |", "|---:|---:|:---|---:|---:|---:|"]
    for cells in _groups(results, "cells"):
        for seeds in _groups(results, "seeds"):
            for metric in _groups(results, "metric"):
                those = [
                    r["shares"]
                    for r in results
                    if (r["setting"]["cells"], r["setting"]["seeds"], r["setting"]["metric"])
                    == (cells, seeds, metric)
                ]
                if not those:
                    continue
                difference, stated, found = (
                    100 * float(np.mean([shares[f"power {name}"] for shares in those]))
                    for name in ("difference", "stated", "found")
                )
                lines.append(
                    f"| {cells} | {seeds} | {metric} | {difference:.1f} | {stated:.1f} | {found:.0f} % |"
                )
    return "\n".join(lines) + "\n"


def _bias(results: Sequence[Result]) -> str:
    lines = ["| cells | seeds | as measured | shrunk |", "|---:|---:|---:|---:|"]
    for cells in _groups(results, "cells"):
        for seeds in _groups(results, "seeds"):
            those = [
                r["shares"]
                for r in results
                if r["setting"]["cells"] == cells and r["setting"]["seeds"] == seeds
            ]
            if those:
                best, shrunk = (
                    100 * float(np.mean([shares[f"bias {name}"] for shares in those]))
                    for name in ("best", "shrunk")
                )
                lines.append(f"| {cells} | {seeds} | {best:+.2f} | {shrunk:+.2f} |")
    return "\n".join(lines) + "\n"
