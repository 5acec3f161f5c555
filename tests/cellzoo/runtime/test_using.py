"""An engine for a while, whatever layers were built with."""

from __future__ import annotations

import copy
import threading

import pytest
import torch

import cellzoo
from cellzoo.errors import CellzooError, UnknownNameError
from cellzoo.runtime import RUNTIMES, using
from cellzoo.runtime.native import binding

ENGINES = ["auto", "torch", *(["native"] if binding.is_available() else [])]
DOUBLE = torch.float64


def layer(runtime="auto", name="lstm"):
    rnn = cellzoo.rnn(name, 3, 4, 2, bidirectional=True, dtype=DOUBLE, runtime=runtime)
    rnn.reset_parameters(torch.Generator().manual_seed(1))
    return rnn


def numbers(*shape, seed=2):
    return torch.randn(*shape, dtype=DOUBLE, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("runtime", ENGINES)
def test_second_derivatives_of_a_built_layer(runtime):
    rnn, x = layer(runtime), numbers(4, 2, 3).requires_grad_()
    with using("reference"):
        assert torch.autograd.gradgradcheck(lambda x: rnn(x)[0], (x,), nondet_tol=0)
        output = rnn(x)[0]
    (first,) = torch.autograd.grad(output.square().sum(), x, create_graph=True)
    second = torch.autograd.grad(first.square().sum(), [x, *rnn.parameters()])
    assert all(gradient.abs().max() > 0 for gradient in second)


@pytest.mark.parametrize("runtime", ENGINES)
def test_batches_of_gradients_of_a_built_layer(runtime):
    rnn, x = layer(runtime), numbers(3, 1, 3).requires_grad_()
    with using("reference"):
        output = rnn(x)[0]
    rows = torch.eye(output.numel(), dtype=DOUBLE).view(-1, *output.shape)
    (found,) = torch.autograd.grad(output, x, rows, is_grads_batched=True)
    plain = layer(runtime)(x)[0]
    for row, gradient in zip(rows, found, strict=True):
        (expected,) = torch.autograd.grad(plain, x, row, retain_graph=True)
        torch.testing.assert_close(gradient, expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("runtime", ENGINES)
def test_transforms_over_gradients_of_a_built_layer(runtime):
    rnn, x = layer(runtime), numbers(3, 1, 3)

    def loss(x):
        return rnn(x)[0].square().sum()

    with using("reference"):
        found = torch.func.hessian(loss)(x)
    expected = torch.autograd.functional.hessian(lambda x: layer("reference")(x)[0].square().sum(), x)
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("runtime", [name for name in ENGINES if name != "auto"])
def test_what_an_engine_refuses_names_the_way(runtime):
    """The advice is followed as it stands."""
    rnn, x = layer(runtime), numbers(3, 1, 3).requires_grad_()
    (first,) = torch.autograd.grad(rnn(x)[0].square().sum(), x, create_graph=True)
    with pytest.raises(CellzooError, match=r'with cellzoo\.runtime\.using\("reference"\):'):
        first.sum().backward()
    output = rnn(x)[0]
    with pytest.raises(CellzooError, match=r'with cellzoo\.runtime\.using\("reference"\):'):
        torch.autograd.grad(output, x, torch.ones(2, *output.shape, dtype=DOUBLE), is_grads_batched=True)


def test_it_ends_also_by_an_error_and_the_inner_one_counts():
    rnn, seen = layer("torch"), []

    def fail():
        with using("reference"):
            seen.append(rnn.runtime)
            with using("torch"):
                seen.append(rnn.runtime)
            seen.append(rnn.runtime)
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert [*seen, rnn.runtime] == ["reference", "torch", "reference", "torch"]


def test_it_holds_for_its_own_thread():
    rnn, seen = layer("torch"), []
    with using("reference"):
        other = threading.Thread(target=lambda: seen.append(rnn.runtime))
        other.start()
        other.join()
    assert seen == ["torch"]


@pytest.mark.parametrize("name", RUNTIMES)
def test_any_engine_may_be_said(name):
    if name == "native" and not binding.is_available():
        pytest.skip(binding.status()[1])
    rnn, x = layer("reference"), numbers(4, 2, 3)
    with using(name):
        found = rnn(x)[0]
    torch.testing.assert_close(found, rnn(x)[0], rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(copy.deepcopy(rnn)(x)[0], rnn(x)[0], rtol=1e-12, atol=1e-12)


def test_an_unknown_engine_is_named():
    with pytest.raises(UnknownNameError, match="engine 'cudnn'"), using("cudnn"):
        pass
