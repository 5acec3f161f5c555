"""Operations of supernets against sums by hand and against what torch counts while the reference runs."""

from __future__ import annotations

from contextlib import nullcontext

import pytest
import torch
from sequence_sums import SequenceSums, Settings
from supernets import edge_shares, generator
from torch.utils.flop_counter import FlopCounterMode

import cellzoo
from search.registry import find_method
from search.supernets.flops import call_flops
from search.supernets.layout import CELL, Layout
from search.supernets.reference import ReferenceSupernet
from search.supernets.runtime import SupernetCall
from search.supernets.terms import layout_terms

STEPS, ROWS, INPUT, HIDDEN = 4, 3, 2, 5


@pytest.mark.parametrize(
    ("learned", "times"),
    [
        (("x", "weights", "mixtures"), (3, 3)),
        (("weights",), (2, 3)),
        (("mixtures",), (1, 2)),
        ((), (1, 1)),
    ],
)
def test_by_hand(learned, times):
    layout = Layout(nodes=2, normalisation="none")
    call = drawn(layout, learned)
    # A matrix of x, one of h, and one on each of the three edges; each for the gate and for the candidate.
    of_x, of_rest = 2 * INPUT * 2 * HIDDEN, (1 + 3) * 2 * HIDDEN * 2 * HIDDEN
    expected = STEPS * ROWS * (times[0] * of_x + times[1] * of_rest)
    assert counted(layout, call) == expected
    with torch.no_grad():
        assert counted(layout, call) == STEPS * ROWS * (of_x + of_rest)


LAYOUTS = {
    "all": Layout(nodes=3, normalisation="none"),
    "no highway": Layout(nodes=3, normalisation="none", highway=False),
    "weights of edges": Layout(nodes=3, normalisation="none", sharing="edge"),
    "weights of operations": Layout(nodes=3, normalisation="none", sharing="operation"),
    "gates": Layout(nodes=2, normalisation="none", delay=2),
    "gates with one matrix": Layout(nodes=2, normalisation="none", delay=3, inter_weights="shared"),
    "gates of low rank": Layout(nodes=2, normalisation="none", delay=2, inter_weights="lowrank:3"),
}


@pytest.mark.parametrize("learned", [("x", "weights", "mixtures"), ("x", "weights"), ("weights",), ()], ids=str)
@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_torch_counts_the_same(layout, learned):
    call = drawn(layout, learned)
    with FlopCounterMode(display=False) as counter, nullcontext() if learned else torch.no_grad():
        output, _ = ReferenceSupernet(layout)(call)
        if learned:
            output.sum().backward()
        expected = counter.get_total_flops()
        assert counted(layout, call) == expected > 0


@pytest.mark.parametrize("learned", [("weights",), ()], ids=str)
def test_what_has_no_share_costs_nothing(learned):
    """A supernet with the shares of one cell counts only the products of that cell, as torch does."""
    layout = Layout(nodes=3, sharing="operation", normalisation="none")
    edges = [("tanh", 0), ("relu", 1), ("sigmoid", 0)]
    call = drawn(layout, learned, {CELL: edge_shares(layout, [[edge] for edge in edges])})
    with FlopCounterMode(display=False) as counter, nullcontext() if learned else torch.no_grad():
        output, _ = ReferenceSupernet(layout)(call)
        if learned:
            output.sum().backward()
        assert counted(layout, call) == counter.get_total_flops()
    cell = cellzoo.parse(f"Genotype(recurrent={edges}, concat=range(1, 4))", "darts")
    shapes = cell.parameter_shapes(input_size=INPUT, hidden_size=HIDDEN, bias=False)
    products = sum(2 * rows * columns for rows, columns in shapes.values())
    with torch.no_grad():
        assert counted(layout, call) == STEPS * ROWS * products


METHODS = {
    "darts": ({}, 2 + 1),
    "darts order 2": ({"order": 2}, 1 + 1 + 2 * 2 + 1),
    "idarts": ({"edges": 2}, 2 + 1),
    "egs": ({"samples": 2}, 2 + 1),
    "egs joint": ({"samples": 2, "levels": "joint"}, 1),
    "ess": ({"mode": "intra"}, 2 + 1),
    "random-ws": ({}, 1),
}


@pytest.mark.parametrize("name", METHODS)
def test_a_step_of_a_method_costs_what_it_runs(name):
    """But for the first step of a text: no gradient goes to the state that it starts with.

    Where the architecture alone learns, none goes to state 0, either, which node 1 reads. So each forward pass
    that is followed by a backward pass has one or two products less there.
    """
    settings, missing = METHODS[name]
    kind = name.partition(" ")[0]
    problem = SequenceSums(Settings(hidden_size=HIDDEN), torch.device("cpu"))
    found = find_method(kind)
    method = found.build(
        found.settings(nodes=3, engine="reference", normalisation="none", **settings), problem, generator(1)
    )
    batch = next(problem.train_batches(generator(2)))
    method.start_epoch(0, 1)
    with FlopCounterMode(display=False) as counter:
        method.step(batch, problem.validation_batches(generator(3)))
    steps, rows = batch.content.shape  # of one number
    product = rows * 2 * HIDDEN * 2 * HIDDEN
    assert method.take_flops() == counter.get_total_flops() + missing * product
    assert method.take_flops() == 0
    if name == "darts order 2":
        # In all 13 times the products of h and of six edges, and 8 times those of x, which needs no gradient:
        # twice in each of the three passes for the weights, and once in the two of the finite difference.
        assert counter.get_total_flops() == steps * rows * 4 * HIDDEN * (13 * 7 * HIDDEN + 8) - 7 * product


def drawn(layout, learned=(), mixtures=None):
    """A call whose initial states require gradients, like those of later steps."""
    draws = generator(3)

    def draw(*shape):
        return torch.randn(*shape, generator=draws, dtype=torch.float64)

    mixtures = mixtures or {group: draw(*shape).softmax(-1) for group, shape in layout.mixture_shapes().items()}
    weights = {name: draw(*shape) for name, shape in layout.weight_shapes(INPUT, HIDDEN).items()}
    inputs = draw(STEPS * ROWS, INPUT)
    states = [draw(ROWS, width) for width in layout.state_widths(INPUT, HIDDEN)]
    if layout.delay:
        states[-1] = torch.zeros(ROWS, 1, dtype=torch.float64)
    wanted = {"x": [inputs], "weights": weights.values(), "mixtures": mixtures.values()}
    for name in learned:
        for tensor in wanted[name]:
            tensor.requires_grad_()
    for index, state in enumerate(states[:-1] if layout.delay else states):
        # Past inputs are as x is.
        state.requires_grad_(bool(learned) if index < max(1, layout.delay) else "x" in learned)
    return SupernetCall(inputs, [ROWS] * STEPS, states, weights, mixtures)


def counted(layout, call):
    return call_flops(layout, tuple(layout_terms(layout)), call)
