"""The last step: make edges horizontal where the neighbours of their points leave room."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cellzoo.draw.place import room_between

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from cellzoo.draw.layers import LayerColumns

MAX_ROUNDS = 10
# In rounds times points, as in `cellzoo.draw.place`.
BUDGET = 500_000
_BEND_COST = 12.0
_FLAT = 0.5


def straightened(
    columns: LayerColumns,
    orders: Sequence[Sequence[int]],
    extents: Sequence[float],
    port: Callable[[int, int], float],
    y: Sequence[float],
) -> list[float]:
    """Give the bends of each edge the same height, or as few heights as possible, and move boxes to fit.

    Each move reduces the sum of vertical distances plus a fixed cost for each edge that is not horizontal.
    Order and spacing are kept. Arguments as in `cellzoo.draw.place.heights`; `y` is its result.
    """
    y = list(y)
    slot = {point: (column, index) for column, order in enumerate(orders) for index, point in enumerate(order)}

    def limits(point: int) -> tuple[float, float]:
        column, index = slot[point]
        order = orders[column]
        low, high = float("-inf"), float("inf")
        if index:
            above = order[index - 1]
            low = y[above] + room_between(columns, extents, above, point)
        if index + 1 < len(order):
            below = order[index + 1]
            high = y[below] - room_between(columns, extents, point, below)
        return low, high

    runs = [*_chains(columns), *([box] for box in range(columns.bends_from))]
    for _ in range(min(MAX_ROUNDS, max(1, BUDGET // len(y)))):
        is_moved = False
        for chain in runs:
            start = 0
            while start < len(chain):
                low, high = limits(chain[start])
                end = start + 1
                while end < len(chain):
                    next_low, next_high = limits(chain[end])
                    if max(low, next_low) > min(high, next_high):
                        break
                    low, high = max(low, next_low), min(high, next_high)
                    end += 1
                is_moved |= _settle(columns, chain[start:end], y, port, low, high)
                start = end
        if not is_moved:
            break
    return y


def _chains(columns: LayerColumns) -> list[list[int]]:
    """The bends of each source, from left to right; the longest chains first."""
    chains = []
    for point in range(columns.bends_from, len(columns.column)):
        if columns.before[point][0] < columns.bends_from:
            chain = [point]
            while following := [end for end in columns.after[chain[-1]] if end >= columns.bends_from]:
                chain.append(following[0])
            chains.append(chain)
    return sorted(chains, key=lambda chain: (-len(chain), chain))


def _settle(
    columns: LayerColumns,
    run: Sequence[int],
    y: list[float],
    port: Callable[[int, int], float],
    low: float,
    high: float,
) -> bool:
    """Move consecutive points to the height within the limits that costs least; return whether they moved.

    They stay where they are if that costs no more.
    """
    inside = set(run)
    ends = [y[other] - port(other, run[0]) for other in columns.before[run[0]]]
    ends += [y[end] + port(point, end) for point in run for end in columns.after[point] if end not in inside]
    before = _cost([y[run[0]] - y[other] + port(other, run[0]) for other in columns.before[run[0]]])
    before += _cost([y[point] - y[end] - port(point, end) for point in run for end in columns.after[point]])
    heights = dict.fromkeys(min(max(height, low), high) for height in ends)
    if not heights:
        return False
    least, best = min((_cost([height - end for end in ends]), height) for height in heights)
    if least >= before - _FLAT / 10:
        return False
    for point in run:
        y[point] = best
    return True


def _cost(rises: Sequence[float]) -> float:
    return sum(abs(rise) + _BEND_COST * (abs(rise) > _FLAT) for rise in rises)
