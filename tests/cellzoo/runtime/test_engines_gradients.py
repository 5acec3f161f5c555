"""How gradients are asked for: in part, twice, of a gradient, with weights changed in between."""

from __future__ import annotations

import copy
import pickle
from dataclasses import replace

import pytest
import torch
from engine_cases import ENGINES, Case, assert_agrees, call, draw, results

import cellzoo
from cellzoo.errors import CellzooError
from cellzoo.runtime import RUNTIMES
from cellzoo.runtime.native.binding import is_available
from cellzoo.runtime.reference import ReferenceRuntime

CELLS = ["lstm", "darts-v2", "nbnlp-7537"]
HERE = [name for name in RUNTIMES if name != "native" or is_available()]


def prepared(engine, name, **changes):
    """The engine, the case, and its tensors with everything that wants a gradient set to want it."""
    cell, case = cellzoo.load(name), Case(**changes)
    tensors = draw(cell, case)
    for leaf in tensors.leaves(case).values():
        leaf.requires_grad_()
    return ENGINES[engine](cell), case, tensors


def gradients(runtime, case, tensors, names):
    """Name -> gradient, from the outcomes `names` alone; None where nothing leads there."""
    given = call(runtime, case, tensors)
    leaves = tensors.leaves(case)
    found = torch.autograd.grad(
        [given[name] for name in names],
        list(leaves.values()),
        [tensors.gradients[name] for name in names],
        allow_unused=True,
    )
    return dict(zip(leaves, found, strict=True))


def assert_alike(found, expected):
    """Compare by name; no gradient counts as zero."""
    for name, value in expected.items():
        other = found[name]
        shape = value if value is not None else other
        if shape is not None:
            zeros = torch.zeros_like(shape)
            torch.testing.assert_close(
                zeros if other is None else other, zeros if value is None else value, rtol=1e-12, atol=1e-12
            )


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize(
    "outcomes", [["outputs"], ["final h"], ["final c"], ["final h", "final c"], ["outputs", "final c"]]
)
@pytest.mark.parametrize("engine", ENGINES)
def test_backward_through_some_of_the_outcomes(engine, outcomes, reverse):
    for name in ("lstm", "fenas-lstm"):
        runtime, case, tensors = prepared(engine, name, reverse=reverse)
        expected = gradients(ReferenceRuntime(cellzoo.load(name)), case, tensors, outcomes)
        assert_alike(gradients(runtime, case, tensors, outcomes), expected)


@pytest.mark.parametrize("name", CELLS)
@pytest.mark.parametrize("engine", ENGINES)
def test_a_second_backward_gives_what_the_first_one_gave(engine, name):
    runtime, case, tensors = prepared(engine, name, masked_h=True)
    outputs = call(runtime, case, tensors)["outputs"]
    leaves = list(tensors.leaves(case).values())
    first = torch.autograd.grad(outputs, leaves, tensors.gradients["outputs"], retain_graph=True)
    other = torch.autograd.grad(outputs, leaves, 2 * tensors.gradients["outputs"], retain_graph=True)
    again = torch.autograd.grad(outputs, leaves, tensors.gradients["outputs"])
    for one, two, three in zip(first, other, again, strict=True):
        torch.testing.assert_close(two, 2 * one, rtol=1e-12, atol=1e-12)
        assert torch.equal(three, one)
    with pytest.raises(RuntimeError, match="backward through the graph a second time"):
        torch.autograd.grad(outputs, leaves, tensors.gradients["outputs"])


@pytest.mark.parametrize("engine", ENGINES)
def test_the_gradient_of_a_gradient_is_refused(engine):
    runtime, case, tensors = prepared(engine, "lstm")
    outputs = call(runtime, case, tensors)["outputs"]

    def twice():
        (first,) = torch.autograd.grad(outputs.sum(), tensors.inputs, create_graph=True)
        first.sum().backward()

    with pytest.raises(CellzooError, match=f"engine '{engine.partition('-')[0]}'.*reference"):
        twice()


@pytest.mark.parametrize("engine", ENGINES)
def test_the_gradient_of_a_mask_is_refused(engine):
    runtime, case, tensors = prepared(engine, "lstm", masked_x=True, masked_h=True)
    for mask in (tensors.mask_x, tensors.mask_h):
        mask.requires_grad_()
        with pytest.raises(CellzooError, match=r"no gradients? of masks.*reference"):
            call(runtime, case, tensors)
        mask.requires_grad_(False)


def test_the_reference_gives_the_gradient_of_a_gradient():
    rnn = cellzoo.rnn("darts-v2", 2, 3, dtype=torch.float64, runtime="reference")
    x = torch.randn(
        2, 1, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(1), requires_grad=True
    )
    assert torch.autograd.gradgradcheck(lambda part: rnn(part)[0], x)


@pytest.mark.parametrize("engine", ENGINES)
def test_only_what_wants_a_gradient_gets_one(engine):
    runtime, case, tensors = prepared(engine, "lstm", frozen=2, input_gradient=False, state_gradient=False)
    given = call(runtime, case, tensors)
    given["outputs"].sum().backward()
    wanted = tensors.leaves(case)
    assert all(leaf.grad is not None for leaf in wanted.values())
    others = [value for name, value in tensors.weights.items() if f"weight {name}" not in wanted]
    assert len(others) == 6
    assert all(value.grad is None for value in (*others, tensors.inputs, *tensors.states.values()))


@pytest.mark.parametrize("what", ["x", "h", "weight g_next"])
@pytest.mark.parametrize("engine", ENGINES)
def test_one_leaf_alone(engine, what):
    """Only x, only an initial state, or only one bias wants a gradient."""
    cell, case = cellzoo.load("lstm"), Case(masked_x=True, masked_h=True)
    tensors = draw(cell, case)
    leaves = tensors.leaves(case)
    leaf = (
        leaves[what]
        if what in leaves
        else tensors.weights[next(key for key in tensors.weights if key.endswith("_b"))]
    )
    leaf.requires_grad_()
    given = [
        torch.autograd.grad(call(runtime, case, tensors)["outputs"], leaf, tensors.gradients["outputs"])[0]
        for runtime in (ENGINES[engine](cell), ReferenceRuntime(cell))
    ]
    torch.testing.assert_close(*given, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("engine", ENGINES)
def test_nothing_that_wants_a_gradient_gives_nothing_that_has_one(engine):
    cell, case = cellzoo.load("lstm"), Case()
    given = call(ENGINES[engine](cell), case, draw(cell, case))
    assert not any(value.requires_grad for value in given.values())
    assert all(value.grad_fn is None for value in given.values())


@pytest.mark.parametrize("engine", ENGINES)
def test_a_weight_changed_before_backward_is_noticed(engine):
    runtime, case, tensors = prepared(engine, "lstm")
    outputs = call(runtime, case, tensors)["outputs"]
    with torch.no_grad():
        next(iter(tensors.weights.values())).add_(1.0)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        outputs.sum().backward()


@pytest.mark.parametrize("engine", ENGINES)
def test_outputs_may_be_changed_in_place(engine):
    """As activations of the layer above do; what backward needs is kept apart, or the change is refused."""
    runtime, case, tensors = prepared(engine, "gru")
    leaves = list(tensors.leaves(case).values())
    expected = torch.autograd.grad(call(runtime, case, tensors)["outputs"].relu().sum(), leaves)
    changed = call(runtime, case, tensors)["outputs"].relu_()
    for found, value in zip(torch.autograd.grad(changed.sum(), leaves), expected, strict=True):
        torch.testing.assert_close(found, value, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("engine", ENGINES)
def test_tensors_may_lie_in_any_way(engine):
    """Transposed, strided, expanded, and one tensor in two places."""
    cell, case = cellzoo.load("lstm"), Case(4, 4, (3, 3))
    plain = draw(cell, case)
    shared = plain.states["h"]
    plain = replace(plain, states={"h": shared, "c": shared})
    odd = replace(
        plain,
        inputs=plain.inputs.t().contiguous().t(),
        weights={name: torch.stack([value, value], -1)[..., 0] for name, value in plain.weights.items()},
        gradients={
            "outputs": torch.ones((), dtype=torch.float64).expand(6, 4),
            **{f"final {name}": plain.gradients[f"final {name}"].t().contiguous().t() for name in ("h", "c")},
        },
    )
    assert not odd.inputs.is_contiguous()
    plain = replace(odd, **{name: getattr(plain, name) for name in ("inputs", "weights")})
    found, expected = [], []
    for runtime, tensors, into in (
        (ENGINES[engine](cell), odd, found),
        (ReferenceRuntime(cell), plain, expected),
    ):
        leaves = [tensors.inputs, tensors.states["h"], *tensors.weights.values()]
        sources = [leaf.detach().requires_grad_() for leaf in leaves]
        used = replace(
            tensors,
            inputs=sources[0],
            states={"h": sources[1], "c": sources[1]},
            weights=dict(zip(tensors.weights, sources[2:], strict=True)),
        )
        given = call(runtime, case, used)
        into += [
            *given.values(),
            *torch.autograd.grad(list(given.values()), sources, list(tensors.gradients.values())),
        ]
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("engine", ENGINES)
def test_weights_may_be_computed_and_calls_chained(engine):
    """Weight drop, a matrix in two places, and states that carry their graph from call to call."""
    cell, case = cellzoo.load("darts-v2"), Case(4, 4, (3, 2))
    tensors = draw(cell, case)
    names = list(tensors.weights)
    generator = torch.Generator().manual_seed(1)
    kept = {name: torch.rand(value.shape, generator=generator) > 0.3 for name, value in tensors.weights.items()}

    def run(runtime):
        raw = {name: value.clone().requires_grad_() for name, value in tensors.weights.items()}
        weights = {name: value * kept[name] * 2 for name, value in raw.items()}
        weights[names[-1]] = weights[names[-2]]
        first = call(runtime, case, replace(tensors, weights=weights))
        again = replace(tensors, weights=weights, states={"h": first["final h"]}, inputs=first["outputs"])
        second = call(runtime, case, again)
        values = [first["outputs"], second["outputs"], second["final h"]]
        loss = sum(value.square().sum() for value in values)
        leaves = [raw[name] for name in names[:-1]]
        return [*values, *torch.autograd.grad(loss, leaves)]

    for found, expected in zip(run(ENGINES[engine](cell)), run(ReferenceRuntime(cell)), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("engine", ENGINES)
def test_one_engine_serves_many_shapes(engine):
    """Masked and not, wide and narrow, in turn; what was prepared for one is not used for another."""
    cell = cellzoo.load("darts-v2")
    runtime = ENGINES[engine](cell)
    for case in (Case(), Case(3, 9, (2,)), Case(masked_x=True), Case(input_gradient=False), Case()):
        tensors = draw(cell, case)
        expected = results(ReferenceRuntime(cell), case, tensors, torch.float64)
        assert_agrees(runtime, cell, case, tensors, expected)


@pytest.mark.parametrize("runtime", HERE)
def test_copies_and_pickles_of_layers_give_the_same(runtime):
    rnn = cellzoo.rnn("darts-v2", 3, 4, num_layers=2, bidirectional=True, dtype=torch.float64, runtime=runtime)
    x = torch.randn(5, 2, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))

    def step(layer):
        output, final = layer(x)
        loss = output.square().sum() + final.sum()
        return [output, *torch.autograd.grad(loss, list(layer.parameters()))]

    expected = step(rnn)
    for other in (copy.deepcopy(rnn), pickle.loads(pickle.dumps(rnn)), copy.copy(rnn)):  # noqa: S301 - our own
        assert other.runtime == rnn.runtime
        for found, value in zip(step(other), expected, strict=True):
            assert torch.equal(found, value)
    other = copy.deepcopy(rnn)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.zero_()
    assert torch.equal(step(rnn)[0], expected[0])
