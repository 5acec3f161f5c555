"""The engines of supernets against the reference implementation."""

import copy
import io

import pytest
import torch
from supernets import chosen_supernet, generator

from cellzoo.errors import CellzooError
from cellzoo.runtime import using
from cellzoo.runtime.native.binding import has_bfloat16, is_available
from search.supernets.layout import CELL, GATES, Layout
from search.supernets.network import Supernet
from search.supernets.normalisation import SharedStatistics
from search.supernets.prepare import prepare
from search.supernets.relaxation import LocalSoftmax
from search.supernets.runtime import SupernetCall
from search.supernets.shares import cell_shares
from tasks.problem import LayerSpec

ENGINES = ["torch", *(["native"] if is_available() else [])]
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
    "more than the mixture has": Layout(nodes=2, operations=("selu", "none", "tanh")),
    "nothing that the mixture has": Layout(nodes=2, operations=("selu",), highway=False),
    "more at the gates": Layout(nodes=2, delay=2, past_operations=("drop", "selu", "relu")),
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
    device="cpu",
    precision="full",
):
    """Outputs, final state, gradients, and the running statistics, from the same draws for every engine."""
    input_size, hidden_size, batch_sizes = sizes
    generator = torch.Generator().manual_seed(3)

    def draw(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64).to(device, dtype)

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
        for width in layout.state_widths(input_size, hidden_size)
    ]
    if layout.delay:
        # Rows that have seen no step, one, and so on.
        states[-1] = torch.arange(batch_sizes[0], dtype=dtype, device=device).unsqueeze(1)
    masks = [
        (draw(batch_sizes[0], width) > 0).to(dtype) * 2 if masked else None
        for width in (input_size, hidden_size)
    ]
    statistics = None
    if layout.normalisation != "none":
        statistics = SharedStatistics(
            hidden_size, uses_running=layout.normalisation == "running", dtype=dtype, device=device
        )
        statistics.running_mean.copy_(draw(hidden_size))
        statistics.running_var.copy_(draw(hidden_size).square() + 0.5)
        statistics.train(training)
    output, final = prepare(engine, layout, precision)(
        SupernetCall(
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
    return [tensor.detach().cpu() for tensor in (output, *final, *gradients, *kept)]


def soft_shares(layout):
    """The same share for every operation of an edge."""
    return {group: torch.full(shape, 1 / shape[1]) for group, shape in layout.mixture_shapes().items()}


def assert_equal(layout, sizes, engines=ENGINES, dtype=torch.float64, device="cpu", **options):
    tolerance = 1e-12 if dtype is torch.float64 else 2e-5
    expected = results("reference", layout, sizes, dtype, **options)
    for engine in [engines] if isinstance(engines, str) else engines:
        found = results(engine, layout, sizes, dtype, device=device, **options)
        for one, other in zip(found, expected, strict=True):
            scale = 1 + other.abs().max()
            torch.testing.assert_close(
                one / scale,
                other / scale,
                rtol=0,
                atol=tolerance,
                msg=lambda text, name=engine: f"{name}: {text}",
            )


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


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_gradients_of_all_but_the_shares(layout):
    assert_equal(layout, SIZES["small"], shares="fixed")


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
    for engine in ("reference", *ENGINES):
        supernet = chosen_supernet(layout, sizes, shares, engine=engine).train(training)
        x = torch.randn(3, 5, 4, dtype=torch.float64, generator=generator(1))
        output = supernet(x)[0]
        gradients = torch.autograd.grad(
            output.square().sum(),
            list(supernet.directions.parameters()),
            allow_unused=True,
            materialize_grads=True,
        )
        found.append([output.detach(), *gradients])
    for each in found[1:]:
        for one, other in zip(found[0], each, strict=True):
            torch.testing.assert_close(one, other, rtol=0, atol=1e-12)


@pytest.mark.parametrize("normalisation", ["none", "running"])
@pytest.mark.parametrize("sharing", ["target", "edge", "operation"])
def test_one_operation_an_edge(sharing, normalisation):
    layout = Layout(nodes=4, sharing=sharing, normalisation=normalisation)
    assert_equal(layout, SIZES["small"], shares="hard")


def test_statistics_follow_the_order_of_the_nodes():
    """Node 3 reads only state 0, so it could be computed before node 2, which reads node 1."""
    layout = Layout(nodes=3, normalisation="running")
    shares = cell_shares(layout, [[("tanh", 0)], [("relu", 1)], [("sigmoid", 0)]])
    found = []
    for engine in ("reference", *ENGINES):
        supernet = chosen_supernet(layout, LayerSpec(4, 4, dtype=torch.float64), shares, engine=engine).train()
        supernet(torch.randn(3, 5, 4, dtype=torch.float64, generator=generator(1)))
        statistics = supernet.directions[0].statistics
        found.append(torch.stack([statistics.running_mean, statistics.running_var]))
    for each in found[1:]:
        torch.testing.assert_close(each, found[0], rtol=0, atol=1e-14)


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


PACKED = [(1, 1, 1), (3, 2, 1, 1, 1)]


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
@pytest.mark.parametrize("batch_sizes", PACKED, ids=str)
def test_single_rows(layout, batch_sizes):
    for options in ({}, {"reverse": True, "masked": False}, {"training": False}, {"frozen": True}):
        assert_equal(layout, (3, 4, batch_sizes), ["torch", "auto"], **options)


def test_nodes_without_an_edge_and_single_rows():
    for empty in ((1,), (1, 2), (2, 3, 4)):
        options = {"shares": "fixed", "empty": empty}
        assert_equal(Layout(nodes=4), (4, 4, (3, 1, 1)), ["torch", "auto"], **options)


@pytest.mark.skipif(not is_available(), reason="the native engine is not built here")
def test_auto_splits_off_single_rows_where_they_are_normalised():
    def ran(layout, batch_sizes, *, training=True):
        supernet = chosen_supernet(layout, LayerSpec(3, 4), soft_shares(layout)).train(training)
        assert supernet.ran == ()
        lengths = [sum(size > row for size in batch_sizes) for row in range(batch_sizes[0])]
        supernet(torch.nn.utils.rnn.pack_sequence([torch.randn(length, 3) for length in lengths]))
        return supernet.ran

    by_batch = Layout(nodes=2)
    assert ran(by_batch, (3, 2, 2)) == ("native",)
    assert ran(by_batch, (3, 2, 1, 1)) == ("native", "torch")
    assert ran(by_batch, (1, 1)) == ("torch",)
    assert ran(Layout(nodes=2, normalisation="none"), (3, 1)) == ("native",)
    assert ran(Layout(nodes=2, normalisation="running"), (3, 1)) == ("native", "torch")
    assert ran(Layout(nodes=2, normalisation="running"), (3, 1), training=False) == ("native",)


@pytest.mark.skipif(not is_available(), reason="the native engine is not built here")
def test_native_alone_refuses_to_normalise_a_single_row():
    with pytest.raises(CellzooError, match=r"a step has a single one; use the engine 'auto' or 'torch'"):
        results("native", Layout(nodes=2), (3, 4, (2, 1)), torch.float64)


@pytest.mark.parametrize("sharing", ["target", "operation"])
def test_in_single_precision(sharing):
    assert_equal(Layout(nodes=8, sharing=sharing), SIZES["wide"], dtype=torch.float32)


@pytest.mark.skipif(not has_bfloat16(), reason="this processor, or this build, has no products of bfloat16")
@pytest.mark.parametrize("name", ["eight nodes", "weights of operations", "gates", "not normalised"])
def test_products_of_bfloat16_lie_near_those_of_float64(name):
    layout, sizes = LAYOUTS[name], SIZES["wide"]
    expected = results("reference", layout, sizes, torch.float64)
    found = results("auto", layout, sizes, torch.float32, precision="bf16")
    assert not all(map(torch.equal, found, results("auto", layout, sizes, torch.float32)))
    apart = torch.stack([(one - other).norm() for one, other in zip(found, expected, strict=True)])
    assert apart.norm() <= 0.01 * torch.stack([value.norm() for value in expected]).norm()


def test_transforms_of_torch_run_on_the_reference():
    layout = Layout(nodes=2)
    supernet = chosen_supernet(layout, LayerSpec(3, 3, dtype=torch.float64), soft_shares(layout))
    supernet.relaxation = LocalSoftmax(layout, supernet.layer, generator())
    x = torch.randn(4, 5, 3, dtype=torch.float64, generator=generator(1))
    leaf = x.clone().requires_grad_()
    (expected,) = torch.autograd.grad(supernet.eval()(leaf)[0].square().sum(), leaf)
    assert supernet.ran != ("reference",)
    found = torch.func.grad(lambda given: supernet(given)[0].square().sum())(x)
    assert supernet.ran == ("reference",)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)


def test_one_engine_runs_it_for_a_while():
    layout = Layout(nodes=2)
    supernet = chosen_supernet(layout, LayerSpec(3, 3, dtype=torch.float64), soft_shares(layout))
    x = torch.randn(4, 5, 3, dtype=torch.float64, generator=generator(1)).requires_grad_()
    with using("reference"):
        output = supernet(x)[0]
    assert supernet.ran == ("reference",)
    (gradient,) = torch.autograd.grad(output.square().sum(), x, create_graph=True)
    gradient.square().sum().backward()
    torch.testing.assert_close(supernet(x)[0], output, rtol=0, atol=1e-12)
    assert supernet.ran != ("reference",)


@pytest.mark.parametrize("engine", ENGINES)
def test_autocast_rounds_nothing_but_products(engine):
    layout, sizes = Layout(nodes=3), LayerSpec(4, 5)
    shares = cell_shares(layout, [[("tanh", 0)], [("relu", 1)], [("sigmoid", 0)]])
    supernet = chosen_supernet(layout, sizes, shares, engine=engine).train()
    x = torch.randn(6, 3, 4, generator=generator(1))
    factors = torch.randn(6, 3, 5, generator=generator(2))
    expected = supernet(x)[0]
    (factors * expected).sum().backward()
    gradients = {name: weight.grad.clone() for name, weight in supernet.named_parameters()}
    supernet.zero_grad()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = supernet(x)[0]
    (factors * found).sum().backward()
    assert found.dtype == torch.float32
    if engine == "native" and has_bfloat16():
        assert not torch.equal(found, expected)
        assert (found - expected).norm() <= 0.01 * expected.norm()
        apart = [(weight.grad - gradients[name]).norm() for name, weight in supernet.named_parameters()]
        total = torch.stack([gradient.norm() for gradient in gradients.values()]).norm()
        assert torch.stack(apart).norm() <= 0.01 * total
        return
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)
    for name, weight in supernet.named_parameters():
        torch.testing.assert_close(weight.grad, gradients[name], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("engine", ["auto", "reference", *ENGINES])
def test_copies_and_pickles_compute_the_same(engine):
    layout = Layout(nodes=2, delay=1)
    supernet = chosen_supernet(layout, LayerSpec(3, 4, dtype=torch.float64), soft_shares(layout), engine=engine)
    x = torch.randn(4, 5, 3, dtype=torch.float64, generator=generator(1))
    expected = supernet(x)[0]
    saved = io.BytesIO()
    torch.save(supernet, saved)
    saved.seek(0)
    for other in (copy.deepcopy(supernet), torch.load(saved, weights_only=False)):
        assert other.precision == supernet.precision
        torch.testing.assert_close(other(x)[0], expected, rtol=0, atol=0)


@pytest.mark.parametrize("engine", ["auto", *ENGINES])
def test_gradients_are_not_differentiated_again_in_silence(engine):
    layout = Layout(nodes=2)
    supernet = chosen_supernet(layout, LayerSpec(3, 3, dtype=torch.float64), soft_shares(layout), engine=engine)
    x = torch.randn(4, 5, 3, dtype=torch.float64, generator=generator(1)).requires_grad_()
    (gradient,) = torch.autograd.grad(supernet(x)[0].square().sum(), x, create_graph=True)
    with pytest.raises(CellzooError, match="reference"):
        gradient.sum().backward()


@pytest.mark.cuda
@pytest.mark.parametrize("batch_sizes", [(4, 4, 3), *PACKED], ids=str)
@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_on_cuda_is_the_definition(layout, batch_sizes):
    for engine in ("auto", "torch"):
        for options in ({}, {"reverse": True, "masked": False}, {"training": False}, {"frozen": True}):
            assert_equal(layout, (5, 7, batch_sizes), engine, device="cuda", **options)
        assert_equal(layout, (5, 7, batch_sizes), engine, shares="fixed", device="cuda")
        assert_equal(layout, (5, 7, batch_sizes), engine, dtype=torch.float32, device="cuda")


@pytest.mark.cuda
@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_on_cuda_steps_that_come_again_are_the_definition(layout):
    """Recorded by the device from the second call on; with other numbers every time."""
    sizes = LayerSpec(4, 4, dtype=torch.float64)
    found = []
    for device in ("cpu", "cuda"):
        supernet = Supernet(
            layout,
            sizes,
            LocalSoftmax(layout, sizes, generator(1)),
            generator(2),
            engine="reference" if device == "cpu" else "auto",
        )
        supernet.to(device).train()
        optimizer = torch.optim.SGD(supernet.parameters(), 0.05)
        results = []
        for step in range(6):
            x = torch.randn(5, 3, 4, dtype=torch.float64, generator=generator(step)).to(device)
            loss = supernet(x)[0].square().sum()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            results.append(loss.detach().cpu())
        results += [value.cpu() for value in supernet.state_dict().values()]
        found.append(results)
        assert supernet.ran == (("torch",) if device == "cuda" else ("reference",))
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-10)
