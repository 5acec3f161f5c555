"""The native engine beyond its numbers: its library, its memory, what it refuses."""

from __future__ import annotations

import gc
import random
import resource
import sys
import weakref
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from engine_cases import Case, call, draw
from unaligned import run_unaligned, unaligned

import cellzoo
from cellzoo.cells.cell import Cell
from cellzoo.cells.graph import Node, State
from cellzoo.errors import CellzooError
from cellzoo.runtime import release_memory
from cellzoo.runtime.native import binding, workspace
from cellzoo.runtime.native.call import pool
from cellzoo.runtime.native.engine import NativeRuntime

pytestmark = pytest.mark.skipif(not binding.is_available(), reason=binding.status()[1])


@pytest.fixture
def blocks(monkeypatch):
    """The blocks of memory that are in use."""
    release_memory()
    alive = weakref.WeakSet()
    take = workspace.Pool.take

    def watched(self, size):
        block = take(self, size)
        alive.add(block)
        return block

    monkeypatch.setattr(workspace.Pool, "take", watched)
    yield alive
    release_memory()


def resident():
    """Bytes of this process in memory."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def test_inference_leaves_nothing_behind(blocks):
    rnn = cellzoo.rnn("darts-v2", 8, 16, num_layers=2, bidirectional=True, runtime="native")
    x = torch.randn(6, 3, 8)
    with torch.no_grad():
        rnn(x)
    assert not blocks
    scratch = pool().idle_bytes
    assert scratch > 0
    for parameter in rnn.parameters():
        parameter.requires_grad_(False)
    rnn(x)
    assert not blocks
    assert pool().idle_bytes == scratch


def test_training_holds_one_block_a_layer_until_backward_is_done(blocks):
    rnn = cellzoo.rnn("darts-v2", 8, 16, num_layers=2, runtime="native")
    output, _ = rnn(torch.randn(6, 3, 8))
    assert len(blocks) == 2
    output.sum().backward()
    assert not blocks
    output, _ = rnn(torch.randn(6, 3, 8))
    del output, _
    assert not blocks


def test_a_retained_graph_holds_no_more(blocks):
    rnn = cellzoo.rnn("lstm", 8, 16, runtime="native")
    output, _ = rnn(torch.randn(6, 3, 8))
    for _ in range(3):
        output.sum().backward(retain_graph=True)
        assert len(blocks) <= 1


def test_memory_is_used_again_and_given_back_when_asked():
    release_memory()
    assert pool().idle_bytes == 0
    rnn = cellzoo.rnn("darts-v2", 8, 16, runtime="native")
    x = torch.randn(6, 3, 8)
    rnn(x)[0].sum().backward()
    first = pool().idle_bytes
    assert first > 0
    for _ in range(20):
        rnn(x)[0].sum().backward()
    assert pool().idle_bytes == first
    release_memory()
    assert pool().idle_bytes == 0
    rnn(x)[0].sum().backward()
    assert pool().idle_bytes == first


def test_idle_memory_has_a_limit(monkeypatch):
    release_memory()
    monkeypatch.setattr(workspace, "MAX_IDLE", 2**16)
    rnn = cellzoo.rnn("lstm", 8, 64, runtime="native")
    for _ in range(3):
        rnn(torch.randn(50, 3, 8))[0].sum().backward()
        assert pool().idle_bytes <= 2**16


def test_memory_that_does_not_exist_is_an_error():
    with pytest.raises(MemoryError, match="native engine could not allocate"):
        pool().take(2**60)


def train(steps, lengths):
    """Memory in use after a quarter of the steps, and at the end; lengths are drawn anew for every step."""
    generator = random.Random(1)
    rnn = cellzoo.rnn("lstm", 12, 32, bidirectional=True, dropout_h=0.1, runtime="native")
    optimizer = torch.optim.SGD(rnn.parameters(), lr=0.1)
    release_memory()
    seen = []
    for step in range(steps):
        parts = [torch.randn(generator.choice(lengths), 12) for _ in range(4)]
        output, _ = rnn(torch.nn.utils.rnn.pack_sequence(parts, enforce_sorted=False))
        optimizer.zero_grad()
        output.data.square().mean().backward()
        optimizer.step()
        if step in (steps // 4, steps - 1):
            seen.append((resident(), pool().idle_bytes))
    return seen


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads /proc")
@pytest.mark.parametrize(
    "steps", [400, pytest.param(10_000, marks=[pytest.mark.slow, pytest.mark.timeout(1800)])]
)
@pytest.mark.parametrize("lengths", [[9], range(1, 30)], ids=["one length", "all lengths"])
def test_training_steps_do_not_grow(steps, lengths):
    """A block of a step here is some 100 kB: were one lost every step, it would be seen a hundredfold."""
    (before, idle_before), (after, idle_after) = train(steps, lengths)
    assert after - before < 4e6
    if lengths == [9]:
        assert idle_after == idle_before
    assert idle_after < 8e6


@pytest.mark.parametrize(
    ("what", "change"),
    [
        ("x", lambda t: replace(t, inputs=t.inputs[:-1])),
        ("x", lambda t: replace(t, inputs=t.inputs[:, :-1].contiguous())),
        ("state 1", lambda t: replace(t, states=t.states | {"c": t.states["c"][:, :-1]})),
        ("state 0", lambda t: replace(t, states=t.states | {"h": t.states["h"][:-1]})),
        ("i_1_0", lambda t: replace(t, weights=t.weights | {"i_1_0": t.weights["i_1_0"].t()})),
        ("i_1_b", lambda t: replace(t, weights=t.weights | {"i_1_b": t.weights["i_1_b"][:-1]})),
        ("the mask of x", lambda t: replace(t, mask_x=t.mask_x[:-1])),
        ("the mask of hidden values", lambda t: replace(t, mask_h=t.mask_h[:, :1])),
    ],
)
def test_a_tensor_of_another_shape_is_named(what, change):
    """The library would read beyond it."""
    cell, case = cellzoo.load("lstm"), Case(masked_x=True, masked_h=True)
    tensors = change(draw(cell, case))
    with pytest.raises(CellzooError, match=rf"native.*{what} has shape .*; expected"):
        call(NativeRuntime(cell), case, tensors)


def test_batch_sizes_that_grow_are_refused():
    cell, case = cellzoo.load("lstm"), Case(batch_sizes=(2, 3))
    tensors = draw(cell, case)
    tensors = replace(tensors, states={name: state[:2] for name, state in tensors.states.items()})
    with pytest.raises(RuntimeError, match="native engine: the call is malformed"):
        call(NativeRuntime(cell), case, tensors)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_other_dtypes_are_refused_with_advice(dtype):
    rnn = cellzoo.rnn("lstm", 3, 4, dtype=dtype, runtime="native")
    with pytest.raises(CellzooError, match=rf"float32 or float64.*{dtype}.*runtime='torch'"):
        rnn(torch.zeros(2, 1, 3, dtype=dtype))


def test_other_devices_and_mixed_dtypes_are_refused():
    cell, case = cellzoo.load("lstm"), Case()
    tensors = draw(cell, case)
    for wrong, message in (
        (tensors.inputs.float(), "x is torch.float32, but a state.* torch.float64; they must be one dtype"),
        (tensors.inputs.to("meta"), "tensors on the CPU; got torch.float64 on meta"),
    ):
        with pytest.raises(CellzooError, match=message):
            call(NativeRuntime(cell), case, replace(tensors, inputs=wrong))


def test_cells_of_the_largest_size():
    """A thousand nodes side by side: as many registers, and products."""
    wide = [Node(f"n{index}", "linear", ("x", "h"), (f"w{index}", f"u{index}")) for index in range(998)]
    nodes = (*wide, Node("total", "mean", tuple(node.name for node in wide)), Node("y", "tanh", ("total",)))
    cell, case = Cell((State("h", "y"),), nodes, "y"), Case(2, 3, (2, 1))
    tensors = draw(cell, case)
    (w, u) = (torch.stack([tensors.weights[f"{kind}{index}"] for index in range(998)]).mean(0) for kind in "wu")
    h = torch.tanh(tensors.inputs[:2] @ w.T + tensors.states["h"] @ u.T)
    last = torch.tanh(tensors.inputs[2:] @ w.T + h[:1] @ u.T)
    outputs = call(NativeRuntime(cell), case, tensors)["outputs"]
    torch.testing.assert_close(outputs, torch.cat([h, last]), rtol=1e-12, atol=1e-12)


def test_statuses_of_the_library_are_errors():
    binding.check(0)
    with pytest.raises(binding.LibraryError, match="the plan is malformed"):
        binding.check(-1)
    with pytest.raises(binding.LibraryError, match="lacks the instruction set"):
        binding.check(-4)
    with pytest.raises(binding.LibraryError, match="status -77"):
        binding.check(-77)
    with pytest.raises(MemoryError):
        binding.check(-3)


def test_the_status_names_the_instruction_set():
    available, words = binding.status()
    assert available
    assert words.partition("instruction set ")[2] in binding.INSTRUCTION_SETS


def opcodes(function):
    """How many steps of the interpreter a function takes."""
    count = 0

    def watch(frame, event, _):
        nonlocal count
        frame.f_trace_opcodes = True
        count += event == "opcode"
        return watch

    sys.settrace(watch)
    try:
        function()
    finally:
        sys.settrace(None)
    return count


@pytest.mark.parametrize("sizes", [[2**12], range(64, 2**16, 64)], ids=["one size", "many sizes"])
def test_finding_a_block_and_taking_it_back_costs_the_same_whatever_was_there(sizes):
    sizes = list(sizes)

    def costs(blocks):
        fresh = workspace.Pool()
        held = [fresh.take(sizes[index % len(sizes)]) for index in range(blocks)]
        held.clear()
        found = [opcodes(lambda: fresh.take(2**12)) for _ in range(5)]
        fresh.release()
        return found

    assert max(costs(20_000)) <= max(costs(20))


@pytest.mark.parametrize(
    "size", [0, 1, 64, 65, 1000, 2**16 + 1, 2**21 - 1, 2**21, 2**21 + 1, 3 * 2**21 + 5, 10**9 + 1]
)
def test_blocks_are_large_enough_and_little_larger(size):
    rounded = workspace._rounded(size)
    assert size <= rounded <= max(1.125 * size + 64, size + 2**21)
    assert rounded % 64 == 0
    assert workspace._rounded(rounded) == rounded
    if size >= 2**21:
        assert rounded % 2**21 == 0


def test_tensors_that_begin_anywhere_in_memory():
    run_unaligned()


def test_the_library_refuses_numbers_that_are_not_aligned(monkeypatch):
    monkeypatch.setattr("cellzoo.runtime.native.call._Call.keep", lambda self, tensor: tensor.contiguous())
    rnn = cellzoo.rnn("lstm", 3, 4, runtime="native")
    with pytest.raises(binding.LibraryError, match="the call is malformed"):
        rnn(unaligned(torch.ones(5, 2, 3)))
