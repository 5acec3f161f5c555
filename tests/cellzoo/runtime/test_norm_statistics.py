"""Where engines write the mean and the variance that norms find."""

from __future__ import annotations

import pytest
import torch

from cellzoo.runtime import prepare_plans
from cellzoo.runtime.graph import NORM, GraphBuilder, Value
from cellzoo.runtime.native import binding
from cellzoo.runtime.plan import plan_graph

ENGINES = ["torch", *(["native"] if binding.is_available() else [])]
SIZES, H = [3, 3, 2], 4


def normalised_rnn(variant):
    builder = GraphBuilder("input", {"h": "hidden"})
    total = builder.linear("l", "hidden", [("x", "W", None), ("h", "U", None)], None)
    norm = builder.add(Value("n", NORM, "hidden", (total,)))
    after = builder.add(Value("t", "tanh", "hidden", (norm,)))
    graph = builder.finish(after, [after])
    return plan_graph(graph, training=variant.training, input_gradient=variant.input_gradient)


def run(engine, statistics, **options):
    generator = torch.Generator().manual_seed(1)
    x, h, w, u = (
        torch.randn(shape, generator=generator, dtype=torch.float64, requires_grad=True)
        for shape in ((sum(SIZES), H), (3, H), (H, H), (H, H))
    )
    weights = {"W": w, "U": u}
    output, _ = prepare_plans(engine)(
        normalised_rnn, x, SIZES, [h], weights, norm_statistics=statistics, **options
    )
    first = x[:3] @ w.t() + h @ u.t()
    return output, torch.stack([first.mean(0), first.var(0, correction=0)]).detach()


@pytest.mark.parametrize("engine", ENGINES)
def test_statistics_may_be_a_view_of_a_larger_tensor(engine):
    whole = torch.full((1, 3, 2, 2 * H), 7.0, dtype=torch.float64)
    _, expected = run(engine, whole[..., ::2])
    torch.testing.assert_close(whole[0, 0, :, ::2], expected)
    assert (whole[..., 1::2] == 7.0).all()


@pytest.mark.parametrize("engine", ENGINES)
def test_a_second_backward_pass_does_not_write_statistics_again(engine):
    statistics = torch.empty(1, 3, 2, H, dtype=torch.float64)
    output, _ = run(engine, statistics)
    output.sum().backward(retain_graph=True)
    statistics.fill_(7.0)
    output.sum().backward()
    assert (statistics == 7.0).all()
