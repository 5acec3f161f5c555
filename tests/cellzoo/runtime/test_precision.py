"""Products of bfloat16: how far results may lie from float64, and what stays exact."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
from engine_cases import Case, draw, fitting, results
from torch.nn.utils.rnn import pack_sequence

import cellzoo
from cellzoo.errors import UnknownNameError
from cellzoo.runtime import prepare, using
from cellzoo.runtime.native import binding, engine
from cellzoo.runtime.native.engine import NativeRuntime
from cellzoo.runtime.reference import ReferenceRuntime

needs_bfloat16 = pytest.mark.skipif(
    not binding.has_bfloat16(), reason="this processor, or this build, has no products of bfloat16 (AMX)"
)
# Three steps of the 8 bits that bfloat16 has, of the norm of all gradients of a pass.
MOST_OF_THE_NORM = 0.01
CELLS = ["lstm", "gru", "darts-v2", "nao", "mogrifier-lstm", "nbnlp-7537", "fenas-lstm"]
CASES = {
    "packed": Case(20, 40, (37, 37, 20, 17, 3, 1), dtype=torch.float32),
    "reverse, masks": Case(
        33, 64, (9, 9, 8, 2), reverse=True, masked_x=True, masked_h=True, dtype=torch.float32
    ),
    "one row": Case(5, 17, (1, 1, 1), dtype=torch.float32),
    "some frozen": Case(40, 48, (16,) * 70, frozen=2, input_gradient=False, dtype=torch.float32),
}


def norm(tensors):
    return torch.stack([tensor.double().norm() for tensor in tensors]).norm()


@needs_bfloat16
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
@pytest.mark.parametrize("name", CELLS)
def test_results_lie_near_those_of_float64(name, case):
    cell = cellzoo.load(name)
    case = fitting(cell, case)
    tensors = draw(cell, case)
    expected = results(ReferenceRuntime(cell), case, tensors, torch.float64)
    found = results(NativeRuntime(cell, rounds=True), case, tensors, torch.float32)
    for kind in ("gradient", "inferred", ""):
        names = [each for each in expected if each.startswith(kind)]
        apart = [found[each] - expected[each] for each in names]
        assert norm(apart) <= MOST_OF_THE_NORM * norm([expected[each] for each in names]), kind
    assert torch.equal(found["inferred outputs"], found["outputs"])
    exact = results(NativeRuntime(cell), case, tensors, torch.float32)
    assert any(not torch.equal(found[each], exact[each]) for each in found)


@needs_bfloat16
@pytest.mark.parametrize("sizes", [(1, 1, 1), (31, 16, 3), (32, 33, 40), (64, 100, 16), (7, 50, 49)])
def test_numbers_that_bfloat16_holds_are_multiplied_without_loss(sizes):
    """Of one step and its products with x, so that nothing else is rounded: W x, W^T g and g^T x."""
    input_size, hidden_size, batch = sizes
    cell = cellzoo.parse("h' = linear(x)", notation="equations")
    case = Case(input_size, hidden_size, (batch,), dtype=torch.bfloat16)
    tensors = draw(cell, case)
    tensors.gradients["final h"].zero_()
    expected = results(ReferenceRuntime(cell), case, tensors, torch.float64)
    found = results(NativeRuntime(cell, rounds=True), case, tensors, torch.float32)
    for name, value in expected.items():
        torch.testing.assert_close(found[name].double(), value, rtol=1e-5, atol=1e-5, msg=name)


@needs_bfloat16
@pytest.mark.parametrize("name", ["lstm", "darts-v2"])
def test_packed_equals_alone_and_again(name):
    torch.manual_seed(0)
    rnn = cellzoo.rnn(name, 24, 40, bidirectional=True, precision="bf16")
    sequences = [torch.randn(length, 24) for length in (9, 1, 6, 9, 2) * 8]
    with torch.no_grad():
        output, _ = rnn(pack_sequence(sequences, enforce_sorted=False))
        again, _ = rnn(pack_sequence(sequences, enforce_sorted=False))
        assert torch.equal(output.data, again.data)
        padded, lengths = torch.nn.utils.rnn.pad_packed_sequence(output)
        for number, (sequence, length) in enumerate(zip(sequences, lengths, strict=True)):
            alone, _ = rnn(sequence)
            assert torch.equal(padded[:length, number], alone)


@needs_bfloat16
def test_threads_change_nothing():
    torch.manual_seed(0)
    rnn = cellzoo.rnn("darts-v2", 40, 200, precision="bf16")
    x = torch.randn(20, 40, 40)

    def run(threads):
        before = torch.get_num_threads()
        torch.set_num_threads(threads)
        try:
            rnn.zero_grad()
            output, _ = rnn(x)
            output.sum().backward()
        finally:
            torch.set_num_threads(before)
        return [output.detach(), *(weight.grad for weight in rnn.parameters())]

    assert all(map(torch.equal, run(1), run(3)))


@needs_bfloat16
def test_infinity_and_nan_go_where_they_go_in_float32():
    cell = cellzoo.parse("h' = tanh(linear(x))", notation="equations")
    x = torch.eye(5)
    x[1, 1], x[2, 2], x[3, 3] = torch.inf, torch.nan, 3e38
    weights = {
        name: torch.ones(shape) for name, shape in cell.parameter_shapes(input_size=5, hidden_size=3).items()
    }
    arguments = (x, [5], [torch.zeros(5, 3)], weights)
    found, _ = NativeRuntime(cell, rounds=True)(*arguments)
    expected, _ = NativeRuntime(cell)(*arguments)
    torch.testing.assert_close(found, expected, equal_nan=True, rtol=1e-4, atol=0)


@needs_bfloat16
def test_a_loop_of_steps_gives_what_the_sequence_gives():
    torch.manual_seed(0)
    rnn = cellzoo.rnn("gru", 8, 16, precision="bf16").eval()
    x = torch.randn(4, 3, 8)
    with torch.no_grad():
        output, _ = rnn(x)
        state = None
        for step, rows in zip(output, x, strict=True):
            found, state = rnn.step(rows, state)
            assert torch.equal(found, step)


@needs_bfloat16
def test_copies_and_compiled_layers_keep_the_precision():
    torch.manual_seed(0)
    rnn = cellzoo.rnn("lstm", 8, 16, precision="bf16")
    x = torch.randn(4, 3, 8)
    output = rnn(x)[0]
    full = cellzoo.rnn("lstm", 8, 16)
    full.load_state_dict(rnn.state_dict())
    assert not torch.equal(full(x)[0], output)
    for other in (copy.deepcopy(rnn), pickle.loads(pickle.dumps(rnn))):  # noqa: S301 - our own
        assert torch.equal(other(x)[0], output)
        assert "precision=bf16" in repr(other)
    sizes = torch.full((4,), 3)
    direction = rnn.direction(0)
    options = {"reverse": False, "mask_x": None, "mask_h": None}
    node, _ = direction(x.flatten(0, 1), sizes, [torch.zeros(3, 16)] * 2, **options)
    assert torch.equal(node.view_as(output), output)


def test_what_has_no_bfloat16_computes_in_full(monkeypatch):
    """Other engines, other dtypes, and other processors."""
    torch.manual_seed(0)
    x = torch.randn(4, 3, 8)
    rnn, full = cellzoo.rnn("lstm", 8, 16, precision="bf16"), cellzoo.rnn("lstm", 8, 16)
    full.load_state_dict(rnn.state_dict())
    for name in ("reference", "torch"):
        with using(name):
            assert torch.equal(rnn(x)[0], full(x)[0])
    assert torch.equal(rnn.double()(x.double())[0], full.double()(x.double())[0])
    monkeypatch.setattr(engine, "has_bfloat16", lambda: False)
    elsewhere = cellzoo.rnn("lstm", 8, 16, precision="bf16")
    elsewhere.load_state_dict(rnn.state_dict())
    assert torch.equal(elsewhere(x)[0], full.float()(x)[0])


def test_other_precisions_are_refused_by_name():
    with pytest.raises(UnknownNameError, match="bf16"):
        cellzoo.rnn("lstm", 3, 4, precision="bf61")
    with pytest.raises(UnknownNameError, match="full"):
        prepare("native", cellzoo.load("lstm"), "half")
