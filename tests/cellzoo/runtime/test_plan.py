"""What a plan computes when, and what it keeps: counts by hand, and rules that hold for every cell."""

from __future__ import annotations

import math
import os
import random
import subprocess
import sys
from collections import Counter
from dataclasses import replace

import pytest
from cell_spaces import SPACES

import cellzoo
from cellzoo.cells.cell import Cell
from cellzoo.cells.graph import INPUT, Node, State
from cellzoo.cells.ops import LINEAR
from cellzoo.runtime.description import cost, describe, diagram
from cellzoo.runtime.native.encoding import encode
from cellzoo.runtime.plan import build_plan, plan_sizes
from cellzoo.runtime.program import BufferKind, Op
from cellzoo.testing import disguised

E, H = 3, 5
# A simple recurrent unit (Lei et al. 2018): every product reads x alone.
SRU = """
f = sigmoid(linear(x) + vector[v] * c)
c' = blend(f, c, linear(x; bias=no))
h' = sigmoid(linear(x) + vector[w] * c) * tanh(c')
"""
DRAWN = [SPACES[space](random.Random(f"plan {space} {number}")) for space in SPACES for number in range(6)]
CELLS = [cellzoo.load(name) for name in cellzoo.list_cells()] + DRAWN


def parse(text):
    return cellzoo.parse(text, "equations")


def sizes_of(cell, plan, input_size=E, hidden_size=H):
    input_size, hidden_size = input_size * cell.heads, hidden_size * cell.heads
    if any(node.op == "recast" for node in cell.nodes):
        input_size = hidden_size
    return plan_sizes(plan, input_size=input_size, hidden_size=hidden_size)


def products(kernels):
    """How often each weight's index is multiplied, by direction."""
    return Counter(
        (product.weight, product.transposed)
        for kernel in kernels
        for dot in kernel.dots
        for product in dot.products
    )


def linear_nodes(cell):
    return [node for node in cell.live_nodes if node.op == LINEAR]


def early_values(cell):
    """Values that depend on x alone, by the definition: all they read does."""
    early = {INPUT}
    for node in cell.live_nodes:
        if all(source in early for source in node.inputs):
            early.add(node.name)
    return early


def products_in_a_row(cell):
    """The most products on a path through one step, of those that are not known before it."""
    early = early_values(cell)
    length = Counter()
    for node in cell.live_nodes:
        if node.name not in early:
            own = node.op == LINEAR
            length[node.name] = own + max((length[source] for source in node.inputs), default=0)
    return max(length.values(), default=0)


@pytest.mark.parametrize("cell", CELLS, ids=lambda cell: cell.name or "drawn")
def test_rules_for_every_cell(cell):
    plan = build_plan(cell)
    names = plan.weights
    early = early_values(cell)
    wanted = {True: Counter(), False: Counter()}
    for node in linear_nodes(cell):
        for source, weight in zip(node.inputs, node.weights, strict=True):
            wanted[source in early][weight] += 1

    def named(counter):
        return Counter({names[weight]: count for (weight, _), count in counter.items()})

    # What depends on x alone is multiplied before the first step, everything else in it, and all of it once.
    assert named(products(plan.forward_input)) == wanted[True]
    assert named(products(plan.forward_step)) == wanted[False]
    everything = wanted[True] + wanted[False]
    assert Counter(names[item.weight] for item in plan.weight_gradients) == everything
    # Backward every product is made once more, but for what neither x nor a weight nor a state leads to.
    backward = named(products((*plan.backward_step, *plan.backward_input)))
    constant = {node.name for node in cell.nodes if node.op in ("zero", "one")}
    fixed = Counter(
        weight
        for node in linear_nodes(cell)
        for source, weight in zip(node.inputs, node.weights, strict=True)
        if source in constant
    )
    assert backward + fixed == everything
    assert all(transposed for _, transposed in products((*plan.backward_step, *plan.backward_input)))
    assert not any(transposed for _, transposed in products((*plan.forward_step, *plan.forward_input)))
    # The longest chain of products is as long as in the graph, and no longer.
    assert cost(plan, sizes_of(cell, plan)).levels == products_in_a_row(cell)
    # A value that several matrices multiply is read once in a kernel.
    for kernel in (*plan.forward_input, *plan.forward_step, *plan.backward_step, *plan.backward_input):
        assert len({dot.source for dot in kernel.dots}) == len(kernel.dots)


@pytest.mark.parametrize("cell", CELLS, ids=lambda cell: cell.name or "drawn")
def test_products_cost_what_the_cell_says(cell):
    """2 m n for a product, as in `Cell.flops`; a plan's matrices are full, also where the cell has heads."""
    plan = build_plan(cell)
    sizes = sizes_of(cell, plan)
    count = cost(plan, sizes)
    input_size, hidden_size = sizes["input"], sizes["hidden"]
    widths = cell.sizes(input_size=input_size, hidden_size=hidden_size)
    by_hand = sum(
        2 * widths[node.name] * widths[source] for node in linear_nodes(cell) for source in node.inputs
    )
    forward = sum(
        len(kernel.program) * sizes[kernel.width] for kernel in (*plan.forward_input, *plan.forward_step)
    )
    assert count.forward_flops - forward == by_hand
    heads = {weight: node.heads for node in linear_nodes(cell) for weight in node.weights}
    shapes = cell.parameter_shapes(input_size=input_size, hidden_size=hidden_size)
    assert count.weights == sum(heads.get(name, 1) * math.prod(shape) for name, shape in shapes.items())
    if cell.heads == 1:
        assert by_hand <= cell.flops(input_size=input_size, hidden_size=hidden_size)


@pytest.mark.parametrize(
    ("name", "flops"),
    [
        ("rnn", 2 * H * (E + H)),
        ("lstm", 8 * H * (E + H)),
        ("gru", 6 * H * (E + H)),
        # Two products of x and h, and for each of the eight nodes a gate and a candidate.
        ("darts-v2", 4 * H * (E + H) + 8 * 4 * H * H),
        ("indrnn", 2 * H * E),
    ],
)
def test_products_of_known_cells(name, flops):
    plan = build_plan(cellzoo.load(name))
    sizes = plan_sizes(plan, input_size=E, hidden_size=H)
    kernels = (*plan.forward_input, *plan.forward_step)
    assert cost(plan, sizes).forward_flops == flops + sum(len(kernel.program) for kernel in kernels) * H
    backward = (*plan.backward_step, *plan.backward_input)
    elementwise = sum(len(kernel.program) * sizes[kernel.width] for kernel in backward)
    # Once for the gradients of values, once for those of the weights.
    assert cost(plan, sizes).backward_flops == 2 * flops + elementwise


@pytest.mark.parametrize(
    ("name", "levels"),
    # Of darts-v2 by its predecessors 0 1 1 1 2 5 3 5: nodes 6 and 8 come last, by 0, 1, 2, 5.
    [("indrnn", 0), ("rnn", 1), ("lstm", 1), ("gru", 1), ("gru-reset-before", 2), ("darts-v2", 5)],
)
def test_levels_of_known_cells(name, levels):
    plan = build_plan(cellzoo.load(name))
    assert cost(plan, plan_sizes(plan, input_size=E, hidden_size=H)).levels == levels


@pytest.mark.parametrize(
    ("name", "hidden"),
    [
        # h, and the result of tanh.
        ("rnn", 2),
        # h and c, four gates, tanh(c').
        ("lstm", 2 + 4 + 1),
        # h, r, z, n, and the product that r multiplies. What the gate mixes is there anyway.
        ("gru", 1 + 3 + 1),
        # h; gate and candidate of state 0 and of eight nodes, of which one has no function to keep an argument
        # of, so that its candidate is the product; the states 0, 1, 2, 3 and 5 that matrices multiply.
        ("darts-v2", 1 + 2 * 9 + 5),
        ("indrnn", 2),
    ],
)
def test_numbers_kept_for_backward(name, hidden):
    """x, of width E, and what no cheap formula gives; gradients of products take the places of values."""
    plan = build_plan(cellzoo.load(name))
    assert cost(plan, plan_sizes(plan, input_size=E, hidden_size=H)).kept == E + hidden * H


def test_inference_keeps_nothing():
    for name in ("lstm", "darts-v2", "mogrifier-lstm"):
        plan = build_plan(cellzoo.load(name), training=False)
        assert plan.backward_step == plan.backward_input == plan.weight_gradients == ()
        assert not any(buffer.kind is BufferKind.CARRY for buffer in plan.buffers)
        assert cost(plan, plan_sizes(plan, input_size=E, hidden_size=H)).kept == 0
        handed_on = [buffer for buffer in plan.buffers if buffer.kind is BufferKind.ALL]
        # Only x's part of each product, for the steps to start from.
        assert all(buffer.label.endswith(".x") or buffer.label.startswith("x") for buffer in handed_on)


def test_without_a_gradient_of_x_nothing_is_multiplied_for_it():
    for name in ("lstm", "darts-v2"):
        cell = cellzoo.load(name)
        plan = build_plan(cell, input_gradient=False)
        backward = products((*plan.backward_step, *plan.backward_input))
        read_x = {
            weight
            for node in linear_nodes(cell)
            for source, weight in zip(node.inputs, node.weights, strict=True)
            if source == INPUT
        }
        assert {plan.weights[weight] for weight, _ in backward} == set(plan.weights) - read_x - {
            name for name in plan.weights if name.endswith("_b")
        }
        stores = [step for kernel in plan.backward_input for step in kernel.program if step.op is Op.STORE_ROWS]
        assert not stores


def test_a_cell_whose_products_read_x_alone_has_none_in_its_steps():
    plan = build_plan(parse(SRU))
    assert not products(plan.forward_step)
    assert not products(plan.backward_step)
    assert len(products(plan.forward_input)) == len(products(plan.backward_input)) == 3
    assert cost(plan, plan_sizes(plan, input_size=E, hidden_size=H)).levels == 0


def test_functions_of_x_belong_to_the_input_phase():
    """minimalrnn: z = tanh(linear(x)), and the part of u that reads z."""
    plan = build_plan(cellzoo.load("minimalrnn"), training=False)
    assert len(products(plan.forward_input)) == 2
    assert [step.op for kernel in plan.forward_input for step in kernel.program if step.op is not Op.COPY] == [
        Op.TANH
    ]
    assert len(products(plan.forward_step)) == 1


def test_masked_values_are_masked_once():
    plan = build_plan(cellzoo.load("lstm"), masked_x=True, masked_h=True)
    forward = [step.op for kernel in (*plan.forward_input, *plan.forward_step) for step in kernel.program]
    assert forward.count(Op.MASK) == 2
    assert not any(
        step.op is Op.MASK
        for kernel in build_plan(cellzoo.load("lstm")).forward_step
        for step in kernel.program
    )


def test_products_of_one_value_are_one_dot():
    (step,) = [kernel for kernel in build_plan(cellzoo.load("lstm")).forward_step if kernel.dots]
    (dot,) = step.dots
    assert len(dot.products) == 4


@pytest.mark.parametrize("name", ["lstm", "gru", "darts-v2"])
def test_what_has_no_effect_is_not_planned(name):
    cell = cellzoo.load(name)
    dead = (
        Node("dead1", LINEAR, (INPUT, cell.states[0].name), ("dead_w", "dead_u"), "dead_b"),
        Node("dead2", "tanh", ("dead1",)),
    )
    assert build_plan(replace(cell, nodes=(*dead, *cell.nodes))) == build_plan(cell)


def test_what_is_named_or_listed_otherwise_costs_the_same():
    for cell in CELLS[:: len(CELLS) // 40]:
        plan, other = build_plan(cell), build_plan(disguised(cell, random.Random(3))[0])
        sizes = sizes_of(cell, plan)
        count, again = cost(plan, sizes), cost(other, sizes)
        assert (again.levels, again.weights) == (count.levels, count.weights)
        assert products(other.forward_step).total() == products(plan.forward_step).total()


def test_a_plan_is_the_same_in_every_process():
    """Nothing in it depends on the order of a set."""
    program = (
        "import cellzoo, hashlib\n"
        "from cellzoo.runtime.native.encoding import encode\n"
        "from cellzoo.runtime.plan import build_plan, plan_sizes\n"
        "for name in ('darts-v2', 'mogrifier-lstm', 'nascell', 'nbnlp-7537'):\n"
        "    plan = build_plan(cellzoo.load(name), masked_h=True)\n"
        "    sizes = plan_sizes(plan, input_size=3, hidden_size=5)\n"
        "    print(plan.weights, hashlib.sha256(bytes(encode(plan, sizes).integers)).hexdigest())\n"
    )
    printed = {
        subprocess.run(
            [sys.executable, "-c", program],
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, "PYTHONHASHSEED": seed},
        ).stdout
        for seed in ("1", "2")
    }
    assert len(printed) == 1
    assert len(printed.pop().splitlines()) == 4


def test_cells_of_the_largest_size_are_planned():
    """A thousand nodes: in a row, and side by side."""
    row = [Node("n0", LINEAR, ("x", "h"), ("w", "u"))]
    row += [Node(f"n{index}", "multiply", (f"n{index - 1}", "h")) for index in range(1, 1000)]
    wide = [Node(f"n{index}", LINEAR, ("x", "h"), (f"w{index}", f"u{index}")) for index in range(998)]
    wide.append(Node("total", "add", tuple(node.name for node in wide)))
    wide.append(Node("y", "tanh", ("total",)))
    for nodes in (row, wide):
        last = nodes[-1].name
        plan = build_plan(Cell((State("h", last),), tuple(nodes), last))
        assert cost(plan, plan_sizes(plan, input_size=2, hidden_size=3)).levels == 1
        assert len(encode(plan, plan_sizes(plan, input_size=2, hidden_size=3)).integers) > 1000


def test_a_plan_in_words_and_as_a_diagram():
    plan = build_plan(cellzoo.load("gru-reset-before"))
    sizes = plan_sizes(plan, input_size=E, hidden_size=H)
    text = describe(plan, sizes)
    count = cost(plan, sizes)
    assert f"{count.forward_flops:,} FLOPs forward, {count.backward_flops:,} backward" in text
    assert f"{E + 5 * H:,} numbers kept" in text
    assert "a step: 2 products one after another" in text
    for title in (
        "all rows at once\n",
        "each step\n",
        "each step, backwards\n",
        "weight gradients, over all rows\n",
    ):
        assert f"\n{title}" in text
    weights = [name for name in plan.weights if not name.endswith("_b")]
    assert all(f"{name} += delta" in text for name in weights)
    inference = describe(build_plan(cellzoo.load("rnn"), training=False), sizes)
    assert "nothing kept" in inference
    assert "backwards" not in inference
    drawn = diagram(plan).splitlines()
    assert drawn[0] == "flowchart TD"
    kernels = len(plan.forward_input) + len(plan.forward_step)
    assert sum('["' in line and line.startswith("  k") for line in drawn) == kernels
    arrows = [line for line in drawn if "-->" in line]
    assert len(arrows) == sum(len(kernel.dots) for kernel in (*plan.forward_input, *plan.forward_step))
