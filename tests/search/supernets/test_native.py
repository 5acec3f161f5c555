"""The compiled engine of supernets against their definition."""

import pytest
import torch

from cellzoo.runtime.native.binding import is_available
from search.supernets.auto import AutoEngine
from search.supernets.engine import prepare
from search.supernets.layout import CELL, GATES, Layout
from search.supernets.native import NativeEngine, applies
from search.supernets.network import Supernet
from search.supernets.normalisation import SharedStatistics
from search.supernets.reference import ReferenceEngine
from search.supernets.relaxation import Chosen
from search.supernets.shares import cell_shares
from search.supernets.states import state_widths
from tasks.problem import LayerSpec

pytestmark = pytest.mark.skipif(not is_available(), reason="the native engine is not built here")

SIZES = {"small": (5, 7, (4, 4, 3)), "wide": (33, 40, (9, 9, 9, 6)), "short": (3, 1, (2,))}
LAYOUTS = {
    "all": Layout(nodes=4),
    "eight nodes": Layout(nodes=8),
    "running": Layout(nodes=3, normalisation="running"),
    "not normalised": Layout(nodes=3, normalisation="none"),
    "weights of edges": Layout(nodes=3, sharing="edge"),
    "weights of operations": Layout(nodes=3, sharing="operation"),
    "no highway": Layout(nodes=3, highway=False),
    "two operations": Layout(nodes=3, operations=("relu", "none", "tanh")),
    "gates": Layout(nodes=3, delay=3),
    "gates of low rank": Layout(nodes=2, delay=2, inter_weights="lowrank:3", normalisation="running"),
    "gates with one matrix": Layout(nodes=2, delay=1, inter_weights="shared", highway=False),
    "gates of two operations": Layout(nodes=2, delay=2, past_operations=("tanh", "identity")),
}


def results(
    engine,
    layout,
    sizes,
    dtype,
    *,
    training=True,
    masked=True,
    reverse=False,
    shares="soft",
    frozen=False,
    empty=(),
):
    """Outputs, final state, gradients, and the running statistics, from the same draws for every engine."""
    input_size, hidden_size, batch_sizes = sizes
    generator = torch.Generator().manual_seed(3)

    def draw(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64).to(dtype)

    weights = {
        name: (draw(*shape) * shape[-2:][0] ** -0.5).requires_grad_(not frozen)
        for name, shape in layout.weight_shapes(input_size, hidden_size).items()
    }
    mixtures = {group: draw(*shape).softmax(-1) for group, shape in layout.mixture_shapes().items()}
    for node in empty:
        mixtures[CELL][layout.rows(node).start : layout.rows(node).stop] = 0.0
    if shares == "hard":
        mixtures[CELL] = (mixtures[CELL] == mixtures[CELL].max(1, keepdim=True).values).to(dtype)
    for group, mixture in mixtures.items():
        mixture.requires_grad_(shares in ("soft", group))
    inputs = draw(sum(batch_sizes), input_size).requires_grad_(not frozen)
    states = [
        draw(batch_sizes[0], width).requires_grad_(not frozen)
        for width in state_widths(layout, input_size, hidden_size)
    ]
    if layout.delay:
        # Rows that have seen no step, one, and so on.
        states[-1] = torch.arange(batch_sizes[0], dtype=dtype).unsqueeze(1)
    masks = [
        (draw(batch_sizes[0], width) > 0).to(dtype) * 2 if masked else None
        for width in (input_size, hidden_size)
    ]
    statistics = None
    if layout.normalisation != "none":
        statistics = SharedStatistics(hidden_size, uses_running=layout.normalisation == "running", dtype=dtype)
        statistics.running_mean.copy_(draw(hidden_size))
        statistics.running_var.copy_(draw(hidden_size).square() + 0.5)
        statistics.train(training)
    output, final = engine(layout)(
        inputs,
        batch_sizes,
        states,
        weights,
        mixtures,
        statistics,
        reverse=reverse,
        mask_x=masks[0],
        mask_h=masks[1],
    )
    tensors = (inputs, *states, *mixtures.values(), *weights.values())
    sources = [tensor for tensor in tensors if tensor.requires_grad]
    gradients = torch.autograd.grad(
        sum(
            ((tensor * draw(*tensor.shape)).sum() for tensor in (output, *final) if tensor.requires_grad),
            start=0.0 * sources[0].sum(),
        ),
        sources,
        allow_unused=True,
        materialize_grads=True,
    )
    # Statistics need not have what is the same in all rows.
    kept = [] if statistics is None or empty else [statistics.running_mean, statistics.running_var]
    return [output.detach(), *(state.detach() for state in final), *gradients, *kept]


def assert_equal(layout, sizes, dtype=torch.float64, engine=NativeEngine, **options):
    tolerance = 1e-12 if dtype is torch.float64 else 2e-5
    expected = results(ReferenceEngine, layout, sizes, dtype, **options)
    found = results(engine, layout, sizes, dtype, **options)
    for one, other in zip(found, expected, strict=True):
        scale = 1 + other.abs().max()
        torch.testing.assert_close(one / scale, other / scale, rtol=0, atol=tolerance)


@pytest.mark.parametrize("sizes", SIZES.values(), ids=SIZES)
@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_is_the_definition(layout, sizes):
    assert_equal(layout, sizes)
    assert_equal(layout, sizes, masked=False, reverse=True)


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_in_evaluation(layout):
    assert_equal(layout, SIZES["small"], training=False)


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_gradients_of_the_shares_alone(layout):
    assert_equal(layout, SIZES["small"], frozen=True)


@pytest.mark.parametrize("normalisation", ["batch", "running", "none"])
@pytest.mark.parametrize("highway", [True, False])
@pytest.mark.parametrize("empty", [(1,), (2,), (1, 2), (1, 2, 3, 4)])
def test_nodes_without_an_edge(empty, highway, normalisation):
    layout = Layout(nodes=4, highway=highway, normalisation=normalisation)
    for training in (True, False):
        assert_equal(layout, (4, 4, (4, 4, 3)), shares="fixed", empty=empty, training=training)


@pytest.mark.parametrize("training", [True, False])
def test_a_node_that_reads_only_nodes_without_an_edge(training):
    layout = Layout(nodes=3)
    sizes = LayerSpec(4, 4, dtype=torch.float64)
    shares = cell_shares(layout, [[], [("sigmoid", 1)], [("tanh", 0), ("relu", 2)]])
    found = []
    for engine in ("reference", "native"):
        chosen = Chosen(layout, sizes)
        chosen.choose(shares)
        supernet = Supernet(layout, sizes, chosen, torch.Generator().manual_seed(0), engine=engine).train(
            training
        )
        x = torch.randn(3, 5, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
        output = supernet(x)[0]
        gradients = torch.autograd.grad(
            output.square().sum(),
            list(supernet.directions.parameters()),
            allow_unused=True,
            materialize_grads=True,
        )
        found.append([output.detach(), *gradients])
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-12)


@pytest.mark.parametrize("sharing", ["target", "edge", "operation"])
def test_one_operation_an_edge(sharing):
    assert_equal(Layout(nodes=4, sharing=sharing, normalisation="none"), SIZES["small"], shares="hard")


@pytest.mark.parametrize("inter_weights", ["dense", "shared", "diag", "lowrank:2"])
@pytest.mark.parametrize("learned", [CELL, *GATES])
def test_gates_whose_width_is_the_cells(inter_weights, learned):
    layout = Layout(nodes=2, delay=4, inter_weights=inter_weights)
    assert_equal(layout, (6, 6, (5, 5, 3, 3, 2, 2)), shares=learned)
    assert_equal(layout, (6, 6, (5, 5, 3, 3, 2, 2)), shares=learned, frozen=True, reverse=True)


def test_a_single_row_is_normalised_over_its_units():
    row = torch.randn(1, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    expected = (row - row.mean()) / (row.var(correction=0) + 1e-5).sqrt()
    for uses_running, training in ((False, True), (True, True), (False, False)):
        statistics = SharedStatistics(6, uses_running=uses_running, dtype=torch.float64).train(training)
        torch.testing.assert_close(statistics(row), expected, rtol=0, atol=1e-14)
        assert torch.equal(statistics.running_mean, torch.zeros(6, dtype=torch.float64))
    running = SharedStatistics(6, uses_running=True, dtype=torch.float64).eval()
    torch.testing.assert_close(running(row), row / (1 + 1e-5) ** 0.5, rtol=0, atol=1e-14)


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
@pytest.mark.parametrize("batch_sizes", [(1, 1, 1), (3, 2, 1, 1, 1)])
def test_single_rows_by_auto(layout, batch_sizes, monkeypatch):
    steps = []

    def noted(engine, inputs, sizes, *others, run=ReferenceEngine.__call__, **named):
        steps.append(len(sizes))
        return run(engine, inputs, sizes, *others, **named)

    monkeypatch.setattr(ReferenceEngine, "__call__", noted)
    for options in ({}, {"reverse": True, "masked": False}, {"training": False}):
        steps.clear()
        assert_equal(layout, (3, 4, batch_sizes), engine=lambda layout: AutoEngine(layout, prepare), **options)
        by_batch = layout.normalisation == "batch"
        by_batch = by_batch or (layout.normalisation == "running" and options.get("training", True))
        # The reference says what is right, and then takes the steps of single rows where those are normalised.
        assert steps == [len(batch_sizes), *([3] if by_batch else [])]


def test_in_single_precision():
    assert_equal(LAYOUTS["eight nodes"], SIZES["wide"], torch.float32)


def test_what_it_cannot_run():
    inputs = torch.zeros(5, 3)
    statistics = SharedStatistics(4)
    assert applies(Layout(), inputs, (3, 2), statistics)
    assert not applies(Layout(), inputs, (4, 1), statistics), "a single row has no variance"
    assert not applies(Layout(), inputs, (1, 1, 1, 1, 1), statistics)
    assert applies(Layout(), inputs, (4, 1), None)
    assert applies(Layout(delay=2), inputs, (3, 2), statistics)
    assert not applies(Layout(delay=2, past_operations=("tanh", "selu")), inputs, (3, 2), statistics)
    assert not applies(Layout(operations=("tanh", "selu")), inputs, (3, 2), statistics)
    assert not applies(Layout(), inputs.half(), (3, 2), statistics)
