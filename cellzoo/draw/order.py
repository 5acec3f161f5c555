"""The second step: order the points in each column to reduce crossings.

Barycentre sweeps (Sugiyama et al. 1981) with exchanges of neighbours, from several starts; the best result
is kept. Everything is deterministic: the starts are drawn from a generator with a fixed seed.
"""

from __future__ import annotations

import random
from bisect import bisect_left, insort
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from cellzoo.draw.layers import LayerColumns

Orders = list[list[int]]

# Limit on the work, in points and edge segments per sweep and start: large graphs get fewer of both.
BUDGET = 60_000
MAX_STARTS, MAX_SWEEPS = 16, 12
_SEED = 0


def ordered(columns: LayerColumns, cost: Callable[[Orders], float], loops: Sequence[tuple[int, int]]) -> Orders:
    """Order the points of each column from top to bottom.

    Args:
        columns: The points.
        cost: Breaks ties between orders with equally many crossings; less is better.
        loops: Pairs of a point of the last column and one of the first that should keep the same order.
    """
    steps = sum(map(len, columns.after)) + len(columns.column)
    sweeps = max(1, min(MAX_SWEEPS, BUDGET // steps))
    starts = max(1, min(MAX_STARTS, BUDGET // (steps * sweeps)))
    generator = random.Random(_SEED)  # noqa: S311 - a reproducible draw, no secret
    best: tuple[float, float, Orders] | None = None
    for start in range(starts):
        orders = [list(column) for column in columns.columns]
        if start:
            for order in orders:
                generator.shuffle(order)
        found = _improved(columns, orders, sweeps, loops)
        crossings = crossings_of(columns, found) + _twists(found, loops)
        if best is None or crossings <= best[0]:
            value = (crossings, cost(found) if starts > 1 else 0.0)
            if best is None or value < best[:2]:
                best = (*value, found)
    assert best is not None  # noqa: S101 - there is at least one start
    return best[2]


def crossings_of(columns: LayerColumns, orders: Orders) -> int:
    """Count the pairs of edges that cross, column by column."""
    return sum(_crossings(columns, upper, lower) for upper, lower in pairwise(orders))


def _crossings(columns: LayerColumns, left: Sequence[int], right: Sequence[int]) -> int:
    """Count inversions of the right ends when edges are sorted by their left ends."""
    place = {point: index for index, point in enumerate(right)}
    seen: list[int] = []
    total = 0
    for point in left:
        ends = sorted(place[target] for target in columns.after[point])
        total += sum(len(seen) - bisect_left(seen, end + 1) for end in ends)
        for end in ends:
            insort(seen, end)
    return total


def _twists(orders: Orders, loops: Sequence[tuple[int, int]]) -> int:
    first = {point: index for index, point in enumerate(orders[0])}
    last = {point: index for index, point in enumerate(orders[-1])}
    ends = [first[start] for end, start in sorted(loops, key=lambda loop: last[loop[0]])]
    return sum(ends[low] > ends[high] for high in range(len(ends)) for low in range(high))


def _improved(columns: LayerColumns, orders: Orders, sweeps: int, loops: Sequence[tuple[int, int]]) -> Orders:
    def badness(candidate: Orders) -> int:
        return crossings_of(columns, candidate) + _twists(candidate, loops)

    best = [list(order) for order in orders]
    least = badness(best)
    for _ in range(sweeps):
        for forwards in (True, False):
            neighbours = columns.before if forwards else columns.after
            indices = range(1, len(orders)) if forwards else range(len(orders) - 2, -1, -1)
            for index in indices:
                fixed = orders[index - 1 if forwards else index + 1]
                orders[index] = _by_barycentre(orders[index], fixed, neighbours)
            _exchange(columns, orders)
            found = badness(orders)
            if found < least:
                best, least = [list(order) for order in orders], found
        if not least:
            break
    return best


def _by_barycentre(
    order: Sequence[int], fixed: Sequence[int], neighbours: Sequence[Sequence[int]]
) -> list[int]:
    place = {point: index for index, point in enumerate(fixed)}
    scale = len(fixed) / len(order)
    keys = {}
    for index, point in enumerate(order):
        joined = neighbours[point]
        keys[point] = sum(place[other] for other in joined) / len(joined) if joined else index * scale
    return sorted(order, key=lambda point: keys[point])


def _exchange(columns: LayerColumns, orders: Orders) -> None:
    """Exchange neighbours as long as that removes crossings."""
    places = [{point: index for index, point in enumerate(order)} for order in orders]
    is_better = True
    rounds = 0
    while is_better and rounds < MAX_SWEEPS:
        is_better = False
        rounds += 1
        for index, order in enumerate(orders):
            for upper in range(len(order) - 1):
                first, second = order[upper], order[upper + 1]
                gain = 0
                if index:
                    gain += _gain(columns.before, places[index - 1], first, second)
                if index + 1 < len(orders):
                    gain += _gain(columns.after, places[index + 1], first, second)
                if gain > 0:
                    order[upper], order[upper + 1] = second, first
                    places[index][first], places[index][second] = upper + 1, upper
                    is_better = True


def _gain(neighbours: Sequence[Sequence[int]], place: dict[int, int], first: int, second: int) -> int:
    """Crossings of the edges of two points on one side now, less those after an exchange."""
    if not neighbours[first] or not neighbours[second]:
        return 0
    gain = 0
    for left in neighbours[first]:
        for right in neighbours[second]:
            difference = place[left] - place[right]
            gain += (difference > 0) - (difference < 0)
    return gain
