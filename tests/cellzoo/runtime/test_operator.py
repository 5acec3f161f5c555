"""The operator that a compiled or exported graph holds for a pass, against the layer itself."""

from __future__ import annotations

import gc
import io

import pytest
import torch
from torch import library
from torch.nn.utils.rnn import PackedSequence, pack_sequence

import cellzoo
from cellzoo.runtime import operator, using

E, H = 3, 4
CLOSE = {"rtol": 1e-12, "atol": 1e-12}


@pytest.fixture(autouse=True)
def forget_what_was_compiled():
    torch.compiler.reset()
    yield
    torch.compiler.reset()


def build(name="lstm", **options):
    rnn = cellzoo.rnn(name, E, H, dtype=torch.float64, **options)
    rnn.reset_parameters(torch.Generator().manual_seed(1))
    return rnn


def draw(*shape, seed=2):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64, requires_grad=True)


def node_arguments(rnn, *, training=True, masked=False, skipping=False):
    """What the operator is called with for the first direction of a layer."""
    direction = rnn.direction(0)
    sizes = [2, 2, 2] if skipping else [2, 2, 1]
    states = [draw(2, H, seed=3 + index) for index in range(len(rnn.cell.states))]
    return (
        draw(sum(sizes), E),
        torch.tensor(sizes),
        states,
        list(direction.weights.values()),
        torch.rand(2, E, dtype=torch.float64) if masked else None,
        torch.rand(2, H, dtype=torch.float64) if masked else None,
        torch.tensor([True, True, False, True, True, False]) if skipping else None,
        rnn.cell.to_json(),
        list(direction.weights),
        "auto",
        "full",
        False,
        None,
        training,
        True,
    )


class Counter:
    """A compiler that compiles nothing and keeps the graphs it is given."""

    def __init__(self):
        self.graphs = []

    def __call__(self, graph, inputs):
        self.graphs.append(graph)
        return graph.forward

    @property
    def nodes(self):
        return [
            node for graph in self.graphs for node in graph.graph.nodes if node.target is torch.ops.cellzoo.run
        ]


def leaves(result):
    output, final = result
    first = output.data if isinstance(output, PackedSequence) else output
    return [first, *(final if isinstance(final, tuple) else (final,))]


def assert_same(compiled, rnn, given, hx=None):
    """Results, and gradients of all that has some."""
    sources = [tensor for tensor in (given, *(hx or ())) if isinstance(tensor, torch.Tensor)]
    sources += [] if sources else [given.data]
    sources += list(rnn.parameters())
    found, expected = leaves(compiled(given, hx)), leaves(rnn(given, hx))
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, **CLOSE)
    total = sum((index + 1) * value.sin().sum() for index, value in enumerate(found))
    known = sum((index + 1) * value.sin().sum() for index, value in enumerate(expected))
    for one, other in zip(
        torch.autograd.grad(total, sources), torch.autograd.grad(known, sources), strict=True
    ):
        torch.testing.assert_close(one, other, **CLOSE)


@pytest.mark.parametrize("options", [{"masked": True}, {"training": False}, {"skipping": True}])
def test_torch_finds_nothing_wrong_with_the_operator(options):
    library.opcheck(torch.ops.cellzoo.run.default, node_arguments(build(), **options))
    library.opcheck(torch.ops.cellzoo.longest_batch.default, (torch.tensor([3, 1]),))


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("lstm", {}),
        ("darts-v2", {"num_layers": 2, "bidirectional": True}),
        ("gru", {"runtime": "reference"}),
        ("gru", {"runtime": "torch", "bias": False}),
        ("slstm", {"batch_first": True}),
    ],
)
def test_one_compilation_serves_all_lengths(name, options):
    rnn, counter = build(name, **options), Counter()
    compiled = torch.compile(rnn, backend=counter, fullgraph=True, dynamic=True)
    for steps, batch in ((5, 2), (40, 6), (8, 9)):
        assert_same(compiled, rnn, draw(steps, batch, E))
    assert len(counter.graphs) == 1
    assert len(counter.nodes) == len(rnn.directions)


def test_gradients_through_the_compiler_of_gradients():
    """One that makes the backward pass a graph, too."""
    rnn = build(num_layers=2, bidirectional=True)
    compiled = torch.compile(rnn, backend="aot_eager", fullgraph=True, dynamic=True)
    for steps, batch in ((5, 2), (7, 4)):
        hx = (draw(4, batch, H, seed=5), draw(4, batch, H, seed=6))
        assert_same(compiled, rnn, draw(steps, batch, E), hx)


@pytest.mark.parametrize("enforce_sorted", [True, False])
@pytest.mark.parametrize("with_states", [True, False])
def test_packed_batches(enforce_sorted, with_states):
    rnn, counter = build(bidirectional=True), Counter()
    compiled = torch.compile(rnn, backend=counter, fullgraph=True, dynamic=True)
    for lengths in ([7, 4, 4, 2, 1], [9, 7, 2], [6, 6, 3, 1]):
        lengths = lengths if enforce_sorted else lengths[::-1]
        parts = [torch.randn(length, E, dtype=torch.float64) for length in lengths]
        packed = pack_sequence(parts, enforce_sorted=enforce_sorted)
        packed.data.requires_grad_()
        hx = tuple(draw(2, len(lengths), H, seed=seed) for seed in (5, 6)) if with_states else None
        assert_same(compiled, rnn, packed, hx)
    assert len(counter.graphs) == 1


def test_packed_batches_through_the_compiler_of_gradients():
    rnn = build("gru")
    compiled = torch.compile(rnn, backend="aot_eager", fullgraph=True, dynamic=True)
    packed = pack_sequence([draw(5, E).detach(), draw(3, E).detach()])
    packed.data.requires_grad_()
    assert_same(compiled, rnn, packed)


def test_an_exported_layer_takes_any_length_and_any_batch(tmp_path):
    rnn = build(num_layers=2, bidirectional=True)
    sizes = {0: torch.export.Dim.DYNAMIC, 1: torch.export.Dim.DYNAMIC}
    program = torch.export.export(rnn, (draw(4, 2, E).detach(),), dynamic_shapes=((sizes),))
    names = [str(node.target) for node in program.graph.nodes]
    assert names.count("cellzoo.run.default") == 4
    file = io.BytesIO()
    torch.export.save(program, file)
    file.seek(0)
    loaded = torch.export.load(file).module()
    for steps, batch in ((9, 5), (1, 3), (2, 1)):
        x = draw(steps, batch, E)
        torch.testing.assert_close(loaded(x), rnn(x), **CLOSE)
    found = torch.autograd.grad(loaded(x)[0].sum(), list(loaded.parameters()))
    expected = torch.autograd.grad(rnn(x)[0].sum(), list(rnn.parameters()))
    torch.testing.assert_close(found, expected, **CLOSE)


def test_the_reference_is_written_out_where_someone_exports_it():
    x = draw(3, 2, E).detach()
    with using("reference"):
        program = torch.export.export(build(), (x,))
    assert all("cellzoo" not in str(node.target) for node in program.graph.nodes)
    torch.testing.assert_close(program.module()(x), build()(x), **CLOSE)


@pytest.mark.parametrize("name", ["lstm", "rnn", "darts-v2"])
def test_autocast_holds_inside_of_a_node(name):
    """States of some cells stay float32, those of others do not."""
    rnn = build(name).float()
    x = draw(4, 2, E).detach().float()

    def run(x):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return rnn(x)

    compiled = torch.compile(run, backend="aot_eager", fullgraph=True)
    found, expected = leaves(compiled(x)), leaves(run(x))
    assert [value.dtype for value in found] == [value.dtype for value in expected]
    torch.testing.assert_close(found, expected, rtol=0, atol=0)


def test_weights_that_are_computed_are_differentiated_to_their_sources():
    rnn = build("gru")
    name = next(iter(rnn.direction(0).weights))
    torch.nn.utils.parametrizations.weight_norm(rnn.direction(0), name)
    compiled = torch.compile(rnn, backend="aot_eager", fullgraph=True)
    assert_same(compiled, rnn, draw(4, 2, E))


def test_a_second_backward_pass_gives_the_same():
    rnn = build()
    x = draw(4, 2, E)
    output = torch.compile(rnn, backend="aot_eager")(x)[0].sum()
    with torch._functorch.config.patch(donated_buffer=False):
        first = torch.autograd.grad(output, [x], retain_graph=True)
        torch.testing.assert_close(torch.autograd.grad(output, [x]), first, **CLOSE)


def test_what_a_pass_kept_goes_with_its_results():
    gc.collect()
    before = len(operator._kept)
    results = torch.ops.cellzoo.run(*node_arguments(build()))
    assert len(operator._kept) == before + 1
    del results
    gc.collect()
    assert len(operator._kept) == before


def test_a_copy_of_the_handle_leads_to_the_same_gradients():
    """As checkpoints and offloading make: then the pass is made again."""
    arguments = node_arguments(build(), masked=True)
    output, final, saved = torch.ops.cellzoo.run(*arguments)
    sources = [arguments[0], *arguments[2], *arguments[3]]
    given = [torch.ones_like(output), *map(torch.ones_like, final)]
    rest = ([True] * len(sources), *arguments[:-2])
    copied = torch.ops.cellzoo.run_backward(saved.clone(), given, *rest)
    direct = torch.ops.cellzoo.run_backward(saved, given, *rest)
    torch.testing.assert_close(copied, direct, **CLOSE)
    expected = torch.autograd.grad([output, *final], sources, given)
    torch.testing.assert_close(direct, list(expected), **CLOSE)


def test_gradients_of_an_empty_batch():
    """Tensors without elements share the address 0."""
    rnn = build()
    x, states = draw(2, 0, E), (draw(1, 0, H), draw(1, 0, H))
    output, _ = torch.compile(rnn, backend="aot_eager")(x, states)
    for source, gradient in zip((x, *states), torch.autograd.grad(output.sum(), (x, *states)), strict=True):
        assert gradient.shape == source.shape
