"""torch.compile and torch.export of what holds a layer."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import pack_sequence

import cellzoo

E, H = 3, 4


class Model(nn.Module):
    """A layer between others."""

    def __init__(self, name, **options):
        super().__init__()
        self.embed = nn.Embedding(9, E)
        self.rnn = cellzoo.rnn(name, E, H, **options)
        self.head = nn.LazyLinear(2)

    def forward(self, tokens):
        return self.head(self.rnn(self.embed(tokens))[0]).relu()


class Counter:
    """A compiler that compiles nothing and counts the operations it is given, and those that are passes."""

    def __init__(self):
        self.operations = 0
        self.passes = 0

    def __call__(self, graph, inputs):
        self.operations += sum(node.op in ("call_function", "call_method") for node in graph.graph.nodes)
        self.passes += sum(node.target is torch.ops.cellzoo.run for node in graph.graph.nodes)
        return graph.forward


@pytest.fixture(autouse=True)
def forget_what_was_compiled():
    torch.compiler.reset()
    yield
    torch.compiler.reset()


@pytest.mark.parametrize("options", [{}, {"num_layers": 2, "bidirectional": True}, {"runtime": "reference"}])
@pytest.mark.parametrize("name", ["lstm", "darts-v2"])
def test_a_compiled_model_leaves_its_layer_to_the_engines(name, options):
    """What the compiler sees does not grow with the length of the input, and the results stay."""
    model = Model(name, **options)
    model(torch.zeros(2, 1, dtype=torch.long))
    operations = []
    for steps in (3, 40):
        tokens = torch.randint(0, 9, (steps, 2), generator=torch.Generator().manual_seed(steps))
        torch.compiler.reset()
        counter = Counter()
        found = torch.compile(model, backend=counter, fullgraph=True)(tokens)
        operations.append(counter.operations)
        assert counter.passes == len(model.rnn.directions)
        expected = model(tokens)
        torch.testing.assert_close(found, expected)
        weights = list(model.parameters())
        for one, other in zip(
            torch.autograd.grad(found.sum(), weights),
            torch.autograd.grad(expected.sum(), weights),
            strict=True,
        ):
            torch.testing.assert_close(one, other)
    assert operations[0] == operations[1]
    assert torch._dynamo.explain(model)(tokens).graph_break_count == 0


def test_a_compiled_layer_takes_what_it_takes_otherwise():
    rnn = cellzoo.rnn("lstm", E, H)
    compiled = torch.compile(rnn, backend=Counter())
    parts = [torch.ones(4, E), torch.ones(2, E)]
    hx = (torch.ones(1, 2, H), torch.zeros(1, 2, H))
    found, expected = compiled(pack_sequence(parts), hx), rnn(pack_sequence(parts), hx)
    torch.testing.assert_close(found[0].data, expected[0].data)
    torch.testing.assert_close(found[1], expected[1])


@pytest.mark.parametrize("strict", [False, True])
def test_an_exported_layer_is_one_graph_for_its_length(strict):
    rnn = cellzoo.rnn("gru", E, H, 2, bidirectional=True)
    x = torch.randn(4, 2, E, generator=torch.Generator().manual_seed(1))
    program = torch.export.export(rnn, (torch.zeros(4, 2, E),), strict=strict)
    torch.testing.assert_close(program.module()(x), rnn(x))


@pytest.mark.filterwarnings("ignore")  # Tracing is deprecated, and still what many export with.
def test_a_traced_layer_computes_from_its_input():
    rnn = cellzoo.rnn("darts-v2", E, H)
    x = torch.randn(4, 2, E, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(torch.jit.trace(rnn, (torch.zeros(4, 2, E),))(x), rnn(x))
