"""The steps of the layout, each against what can be known without it."""

from __future__ import annotations

import itertools
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cellzoo.draw.layers import BoxGraph, into_columns
from cellzoo.draw.layout import layout
from cellzoo.draw.order import crossings_of, ordered
from cellzoo.draw.place import _isotonic, heights, room_between
from cellzoo.draw.straighten import straightened


@st.composite
def graphs(draw, max_boxes=14):
    """A graph with first boxes, boxes between, and last boxes that each are read from one box."""
    firsts, middles, lasts = draw(st.integers(1, 3)), draw(st.integers(1, max_boxes)), draw(st.integers(1, 3))
    edges = []
    for box in range(firsts, firsts + middles):
        edges += [(draw(st.integers(0, box - 1)), box) for _ in range(draw(st.integers(0, 3)))]
    count = firsts + middles
    edges += [(draw(st.integers(0, count - 1)), count + last) for last in range(lasts)]
    size = st.tuples(st.integers(20, 120).map(float), st.integers(20, 90).map(float))
    sizes = tuple(draw(size) for _ in range(count + lasts))
    return BoxGraph(sizes, frozenset(range(firsts)), frozenset(range(count, count + lasts)), tuple(edges))


@given(graphs())
@settings(max_examples=150, deadline=None)
def test_columns_follow_the_edges(graph):
    columns = into_columns(graph)
    assert all(columns.column[box] == 0 for box in graph.first)
    end = len(columns.columns) - 1
    assert all(columns.column[box] == end for box in graph.last)
    assert sorted(itertools.chain(*columns.columns)) == list(range(len(columns.column)))
    assert all(columns.columns)
    bends = set()
    for (source, target), route in zip(graph.edges, columns.routes, strict=True):
        assert (route[0], route[-1]) == (source, target)
        places = [columns.column[point] for point in route]
        assert places == list(range(places[0], places[-1] + 1))
        assert len(places) > 1
        bends.update((source, point) for point in route[1:-1])
    # A bend belongs to one source, and there are no others.
    assert len(bends) == len(columns.column) - len(graph.sizes)


def test_a_box_without_inputs_stands_beside_what_reads_it():
    sizes = ((40.0, 30.0),) * 7
    graph = BoxGraph(sizes, frozenset({0}), frozenset({6}), ((0, 1), (1, 2), (2, 3), (3, 4), (5, 4), (4, 6)))
    assert into_columns(graph).column[:7] == (0, 1, 2, 3, 4, 3, 5)


@given(graphs(max_boxes=8))
@settings(max_examples=60, deadline=None)
def test_crossings_are_counted_as_pairs_that_cross(graph):
    columns = into_columns(graph)
    generator = random.Random(1)
    orders = [generator.sample(column, len(column)) for column in columns.columns]
    place = {point: index for order in orders for index, point in enumerate(order)}
    count = 0
    for order in orders:
        steps = [(start, end) for start in order for end in columns.after[start]]
        for (a, b), (c, d) in itertools.combinations(steps, 2):
            count += (place[a] - place[c]) * (place[b] - place[d]) < 0
    assert crossings_of(columns, orders) == count


@given(st.integers(2, 25), st.randoms(use_true_random=False))
@settings(max_examples=40, deadline=None)
def test_a_tree_is_drawn_without_crossings(count, generator):
    edges = [(generator.randrange(box), box) for box in range(1, count)]
    # In any listing order.
    generator.shuffle(edges)
    graph = BoxGraph(((40.0, 30.0),) * count, frozenset({0}), frozenset(), tuple(edges))
    columns = into_columns(graph)
    assert crossings_of(columns, ordered(columns, lambda orders: 0.0, [])) == 0


def test_the_fewest_crossings_of_small_graphs_are_found():
    generator = random.Random(3)
    for _ in range(15):
        edges = [(source, target) for source in range(4) for target in range(4, 8) if generator.random() < 0.5]
        edges += [(source, source + 4) for source in range(4) if (source, source + 4) not in edges]
        graph = BoxGraph(((40.0, 30.0),) * 8, frozenset(range(4)), frozenset(range(4, 8)), tuple(edges))
        columns = into_columns(graph)
        least = min(
            crossings_of(columns, [list(left), list(right)])
            for left in itertools.permutations(range(4))
            for right in itertools.permutations(range(4, 8))
        )
        assert crossings_of(columns, ordered(columns, lambda orders: 0.0, [])) == least


@given(graphs())
@settings(max_examples=60, deadline=None)
def test_no_exchange_of_neighbours_would_remove_a_crossing(graph):
    columns = into_columns(graph)
    orders = ordered(columns, lambda orders: 0.0, [])
    count = crossings_of(columns, orders)
    for order in orders:
        for upper in range(len(order) - 1):
            order[upper : upper + 2] = order[upper + 1], order[upper]
            assert crossings_of(columns, orders) >= count
            order[upper : upper + 2] = order[upper + 1], order[upper]


def test_states_and_their_next_values_keep_one_order_where_that_costs_nothing():
    graph = BoxGraph(((40.0, 30.0),) * 4, frozenset({0, 1}), frozenset({2, 3}), ((0, 2), (1, 3)))
    columns = into_columns(graph)
    for loops in ([(2, 0), (3, 1)], [(3, 1), (2, 0)]):
        left, right = ordered(columns, lambda orders: 0.0, loops)
        assert [box + 2 for box in left] == right


@given(
    st.lists(st.tuples(st.floats(-100, 100), st.floats(0.1, 5), st.floats(5, 40)), min_size=1, max_size=8),
    st.randoms(use_true_random=False),
)
@settings(max_examples=150, deadline=None)
def test_a_column_is_as_near_to_what_is_wanted_as_its_room_allows(points, generator):
    wanted, weights, rooms = (list(values) for values in zip(*points, strict=True))
    offsets = list(itertools.accumulate([0.0, *rooms[1:]]))
    found = _isotonic(wanted, weights, offsets)

    def cost(places):
        return sum(w * (p - d) ** 2 for w, p, d in zip(weights, places, wanted, strict=True))

    def keeps_room(places):
        gaps = zip(places, places[1:], rooms[1:], strict=False)
        return all(below - above >= gap - 1e-9 for above, below, gap in gaps)

    assert keeps_room(found)
    # Least squares under linear constraints is convex: no small move that keeps the room may be better.
    for _ in range(40):
        low, high = sorted(generator.sample(range(len(found) + 1), 2))
        step = generator.choice([-0.01, 0.01])
        moved = [place + step * (low <= index < high) for index, place in enumerate(found)]
        assert not keeps_room(moved) or cost(moved) >= cost(found) - 1e-9


@given(graphs())
@settings(max_examples=60, deadline=None)
def test_straightening_keeps_room_and_never_makes_edges_longer(graph):
    columns = into_columns(graph)
    orders = ordered(columns, lambda orders: 0.0, [])
    extents = [height for _, height in graph.sizes] + [0.0] * (len(columns.column) - len(graph.sizes))

    def port(start, end):
        return 0.0

    before = heights(columns, orders, extents, port)
    after = straightened(columns, orders, extents, port, before)

    def cost(y):
        rises = [abs(y[a] - y[b]) for a, ends in enumerate(columns.after) for b in ends]
        return sum(rises) + 12 * sum(rise > 0.5 for rise in rises)

    for order in orders:
        for upper, lower in itertools.pairwise(order):
            assert after[lower] - after[upper] >= room_between(columns, extents, upper, lower) - 1e-6
    assert cost(after) <= cost(before) + 1e-6


@given(graphs())
@settings(max_examples=60, deadline=None)
def test_boxes_keep_apart_and_lie_in_the_picture(graph):
    found = layout(graph)
    for index, (left, top, width, height) in enumerate(found.boxes):
        assert (width, height) == graph.sizes[index]
        assert left >= 0
        assert top >= 0
        assert left + width <= found.size[0] + 0.2
        assert top + height <= found.size[1] + 0.2
    for (left, top, width, height), (left2, top2, width2, height2) in itertools.combinations(found.boxes, 2):
        assert (
            left + width < left2 + 1e-9 or left2 + width2 < left + 1e-9
            or top + height < top2 or top2 + height2 < top
        )  # fmt: skip


@given(graphs(max_boxes=8))
@settings(max_examples=30, deadline=None)
def test_edges_into_one_box_have_ports_of_their_own(graph):
    found = layout(graph)
    ends = [route.points[-1] for route in found.routes]
    assert len(set(ends)) == len(ends)


@pytest.mark.slow
def test_the_largest_cells_are_drawn():
    generator = random.Random(0)
    edges = [(generator.randrange(max(0, box - 12), box), box) for box in range(1, 1000) for _ in range(2)]
    edges += [(box, 1000) for box in range(1000)]
    graph = BoxGraph(((60.0, 30.0),) * 1001, frozenset({0}), frozenset({1000}), tuple(edges))
    assert len(layout(graph).boxes) == 1001
