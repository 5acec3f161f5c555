"""The third step: vertical positions. Points are placed as close to their neighbours as the order allows.

One column is solved exactly: minimising the squared distance to the wanted heights, subject to the order and
the space that each point needs, is isotonic regression (pool adjacent violators). Sweeps over the columns are
repeated until the whole settles.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from cellzoo.draw.layers import LayerColumns

SWEEPS, MIN_SWEEPS = 24, 4
# Limit on sweeps times points, so that large graphs take bounded time.
BUDGET = 500_000
BETWEEN_BOXES, BETWEEN_BENDS = 16.0, 11.0

# Edges that pass many columns should be straight before edges between boxes are.
_BEND_TO_BEND, _BEND_TO_BOX, _BOX_TO_BOX = 8.0, 2.0, 1.0


def heights(
    columns: LayerColumns,
    orders: Sequence[Sequence[int]],
    extents: Sequence[float],
    port: Callable[[int, int], float],
    sweeps: int = SWEEPS,
) -> list[float]:
    """Find the height of the middle of each point.

    Args:
        columns: The points.
        orders: Column -> its points from top to bottom.
        extents: Point -> its height in the picture; 0 for a bend.
        port: (source, target) -> where the edge enters the target, relative to its middle.
        sweeps: How often to go over all columns, at most.
    """
    y = [0.0] * len(columns.column)
    offsets = [_offsets(columns, order, extents) for order in orders]
    for order, offset in zip(orders, offsets, strict=True):
        for point, place in zip(order, offset, strict=True):
            y[point] = place - offset[-1] / 2
    sweeps = min(sweeps, max(MIN_SWEEPS, BUDGET // len(y)))
    for sweep in range(sweeps):
        both = sweep >= sweeps // 2
        left, right = both or sweep % 2 == 0, both or sweep % 2 == 1
        indices = range(len(orders)) if sweep % 2 == 0 else range(len(orders) - 1, -1, -1)
        for index in indices:
            order = orders[index]
            wanted, weights = [], []
            for point in order:
                pull = _pulls(columns, point, y, port, left=left, right=right)
                total = sum(weight for _, weight in pull)
                wanted.append(sum(place * weight for place, weight in pull) / total if pull else y[point])
                weights.append(total if pull else 0.05)
            for point, place in zip(order, _isotonic(wanted, weights, offsets[index]), strict=True):
                y[point] = place
    return y


def _pulls(
    columns: LayerColumns,
    point: int,
    y: Sequence[float],
    port: Callable[[int, int], float],
    *,
    left: bool,
    right: bool,
) -> list[tuple[float, float]]:
    """The heights at which a point's edges would be horizontal, with weights."""
    pulls = []
    if left:
        before = columns.before[point]
        pulls += [(y[other] - port(other, point), _weight(columns, other, point)) for other in before]
    if right:
        after = columns.after[point]
        pulls += [(y[other] + port(point, other), _weight(columns, point, other)) for other in after]
    return pulls


def _weight(columns: LayerColumns, start: int, end: int) -> float:
    bends = (start >= columns.bends_from) + (end >= columns.bends_from)
    return (_BOX_TO_BOX, _BEND_TO_BOX, _BEND_TO_BEND)[bends]


def room_between(columns: LayerColumns, extents: Sequence[float], upper: int, lower: int) -> float:
    """The least distance between the middles of two points, one below the other."""
    are_bends = upper >= columns.bends_from and lower >= columns.bends_from
    return (extents[upper] + extents[lower]) / 2 + (BETWEEN_BENDS if are_bends else BETWEEN_BOXES)


def _offsets(columns: LayerColumns, order: Sequence[int], extents: Sequence[float]) -> list[float]:
    """The least height of each point below the first."""
    offsets = [0.0]
    for upper, lower in pairwise(order):
        offsets.append(offsets[-1] + room_between(columns, extents, upper, lower))
    return offsets


def _isotonic(wanted: Sequence[float], weights: Sequence[float], offsets: Sequence[float]) -> list[float]:
    """The heights closest to the wanted ones that keep the order and the spacing."""
    blocks: list[list[float]] = []
    for place, weight, offset in zip(wanted, weights, offsets, strict=True):
        blocks.append([place - offset, weight, 1])
        while len(blocks) > 1 and blocks[-2][0] > blocks[-1][0]:
            mean, mass, count = blocks.pop()
            last = blocks[-1]
            last[0] = (last[0] * last[1] + mean * mass) / (last[1] + mass)
            last[1] += mass
            last[2] += count
    bases = [mean for mean, _, count in blocks for _ in range(int(count))]
    return [base + offset for base, offset in zip(bases, offsets, strict=True)]
