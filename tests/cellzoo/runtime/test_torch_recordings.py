"""Calls recorded and replayed: on CUDA as graphs, elsewhere by a tape of operations that behaves like one."""

from __future__ import annotations

import gc
from dataclasses import replace
from functools import partial

import pytest
import torch
from engine_cases import Case, assert_agrees, call, draw, results
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

import cellzoo
from cellzoo.runtime.plan import cell_plans
from cellzoo.runtime.reference import ReferenceRuntime
from cellzoo.runtime.torch_engine import TorchPlans, TorchRuntime
from cellzoo.runtime.torch_engine.recordings import Recordings

CASE = Case(5, 7, (4, 4, 4), masked_h=True)


class Tape(TorchDispatchMode):
    """Remembers operations with the tensors that they read and wrote; a replay writes those again."""

    def __init__(self):
        super().__init__()
        self.operations = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        self.operations.append((function, args, kwargs or {}, result))
        return result

    def replay(self):
        for function, args, kwargs, result in self.operations:
            if function.is_view:
                continue
            given = {id(tensor) for tensor in tree_leaves((args, kwargs))}
            for place, value in zip(tree_leaves(result), tree_leaves(function(*args, **kwargs)), strict=True):
                if isinstance(place, torch.Tensor) and id(place) not in given:
                    place.copy_(value)


class TapeRecorder:
    """Records on a tape; counts what it does."""

    recorded = 0
    replayed = 0

    def __init__(self, device):
        assert device.type == "cpu"

    def warm_up(self, function):
        function()

    def record(self, function):
        type(self).recorded += 1
        with Tape() as tape:
            result = function()

        def replay():
            type(self).replayed += 1
            tape.replay()

        return result, replay


@pytest.fixture
def recorder():
    return type("Counted", (TapeRecorder,), {})


def runtime_with(cell, recorder):
    return partial(TorchPlans(Recordings(recorder)), cell_plans(cell))


@pytest.mark.parametrize("batch_sizes", [(4, 4, 4), (4, 3, 1)], ids=str)
@pytest.mark.parametrize("name", ["lstm", "darts-v2", "nbnlp-10006"])
def test_a_shape_that_comes_again_is_replayed(name, batch_sizes, recorder):
    """With other inputs, states, masks and weights every time."""
    cell = cellzoo.load(name)
    runtime = runtime_with(cell, recorder)
    for seed in range(4):
        case = replace(CASE, input_size=7, batch_sizes=batch_sizes, seed=seed)
        tensors = draw(cell, case)
        expected = results(ReferenceRuntime(cell), case, tensors, torch.float64)
        assert_agrees(runtime, cell, case, tensors, expected)
    # A recording of training and its walk back, and one of inference; replayed in all rounds but the first.
    assert (recorder.recorded, recorder.replayed) == (3, 9)


def test_other_shapes_directions_and_wishes_are_other_recordings(recorder):
    cell = cellzoo.load("lstm")
    runtime = runtime_with(cell, recorder)
    cases = [
        CASE,
        replace(CASE, batch_sizes=(4, 4, 3)),
        replace(CASE, reverse=True),
        replace(CASE, masked_h=False),
        replace(CASE, bias=False),
        replace(CASE, frozen=2),
        replace(CASE, input_gradient=False),
        replace(CASE, hidden_size=6),
        replace(CASE, dtype=torch.float32),
    ]
    for _ in range(3):
        for case in cases:
            tensors = draw(cell, case)
            expected = results(ReferenceRuntime(cell), case, tensors, torch.float64)
            assert_agrees(runtime, cell, case, tensors, expected)
    assert recorder.replayed


def train(runtime, tensors, case=CASE):
    """The outputs of a call, with a graph."""
    for leaf in tensors.leaves(case).values():
        leaf.requires_grad_()
    return call(runtime, case, tensors)["outputs"]


def test_calls_before_their_walks_back_do_not_share_a_recording(recorder):
    """And results of earlier calls stay what they were."""
    cell = cellzoo.load("lstm")
    runtime = runtime_with(cell, recorder)
    several = [draw(cell, replace(CASE, seed=seed)) for seed in range(3)]
    for _ in range(3):
        outputs = [train(runtime, tensors) for tensors in several]
        found = [
            torch.autograd.grad(output.sum(), list(tensors.leaves(CASE).values()))
            for output, tensors in zip(outputs, several, strict=True)
        ]
    for output, gradients, tensors in zip(outputs, found, several, strict=True):
        expected = train(ReferenceRuntime(cell), tensors)
        torch.testing.assert_close(output, expected, rtol=1e-12, atol=1e-12)
        wanted = torch.autograd.grad(expected.sum(), list(tensors.leaves(CASE).values()))
        for one, other in zip(gradients, wanted, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)
    assert recorder.recorded == 2 * 3


def test_a_graph_that_is_dropped_gives_its_recording_back(recorder):
    cell = cellzoo.load("lstm")
    runtime, tensors = runtime_with(cell, recorder), draw(cell, CASE)
    for _ in range(6):
        train(runtime, tensors)
        gc.collect()
    assert (recorder.recorded, recorder.replayed) == (2, 5)


def test_a_second_walk_back_needs_no_recording(recorder):
    cell = cellzoo.load("darts-v2")
    runtime, tensors = runtime_with(cell, recorder), draw(cell, CASE)
    sources = list(tensors.leaves(CASE).values())
    for _ in range(3):
        output = train(runtime, tensors)
        first = torch.autograd.grad(output.sum(), sources, retain_graph=True)
        # The recording is free again, and this call overwrites its memory.
        train(runtime, draw(cell, replace(CASE, seed=5)))
        second = torch.autograd.grad(output.sum(), sources)
        for one, other in zip(first, second, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)
    assert recorder.replayed


def test_what_inference_mode_recorded_serves_outside_of_it(recorder):
    cell = cellzoo.load("lstm")
    runtime = runtime_with(cell, recorder)
    for mode in (torch.inference_mode, torch.inference_mode, torch.no_grad, torch.inference_mode):
        tensors = draw(cell, replace(CASE, seed=recorder.replayed))
        with mode():
            found = call(runtime, CASE, tensors)["outputs"]
            expected = call(ReferenceRuntime(cell), CASE, tensors)["outputs"]
            torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
    assert (recorder.recorded, recorder.replayed) == (1, 3)


def test_recordings_are_few_and_one_out_of_use_makes_room(recorder, monkeypatch):
    monkeypatch.setattr("cellzoo.runtime.torch_engine.recordings._IDLE_CALLS", 8)
    cell = cellzoo.load("lstm")
    runtime = runtime_with(cell, recorder)

    def infer(steps):
        case = replace(CASE, batch_sizes=(4,) * steps, masked_h=False)
        tensors = draw(cell, case)
        with torch.no_grad():
            found = call(runtime, case, tensors)["outputs"]
        expected = call(ReferenceRuntime(cell), case, tensors)["outputs"]
        torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)

    for _ in range(3):
        for steps in (1, 2, 3, 4, 5, 6):
            infer(steps)
    # Six shapes in turn: four are recorded, and none of them again.
    assert (recorder.recorded, recorder.replayed) == (4, 8)
    for _ in range(12):
        infer(6)
    assert (recorder.recorded, recorder.replayed) == (5, 8 + 9)


def test_what_cannot_be_recorded_runs_without():
    class Unable(TapeRecorder):
        def record(self, function):
            raise RuntimeError("operation not permitted when stream is capturing")

    cell = cellzoo.load("lstm")
    runtime = runtime_with(cell, Unable)
    for seed in range(3):
        case = replace(CASE, seed=seed)
        tensors = draw(cell, case)
        expected = results(ReferenceRuntime(cell), case, tensors, torch.float64)
        assert_agrees(runtime, cell, case, tensors, expected)


@pytest.mark.parametrize("can_record", [True, False], ids=["recorded", "not-recorded"])
def test_little_is_remembered_of_many_shapes(can_record, recorder, monkeypatch):
    """Of each shape that came once, twice, or while a recording of another one was forgotten."""
    module = "cellzoo.runtime.torch_engine.recordings"
    monkeypatch.setattr(f"{module}._IDLE_CALLS", 2)
    monkeypatch.setattr(f"{module}._MOST_SHAPES", 10)

    def fail(self, function):
        raise RuntimeError("operation not permitted when stream is capturing")

    if not can_record:
        monkeypatch.setattr(recorder, "record", fail)
    cell = cellzoo.load("rnn")
    runtime = runtime_with(cell, recorder)
    recordings = runtime.func._recordings
    for steps in range(1, 41):
        case = replace(CASE, batch_sizes=(4,) * steps, masked_h=False)
        tensors = draw(cell, case)
        for _ in range(1 + steps % 2):
            with torch.no_grad():
                call(runtime, case, tensors)
        assert set(recordings._idle) == {key for key, _ in recordings._alive}
        assert len(recordings._seen) <= 10
        assert len(recordings._not_recordable) <= 10
    assert (recorder.recorded > 4) == can_record


def test_nothing_is_recorded_on_the_cpu(monkeypatch):
    def record(*_):
        raise AssertionError("recorded")

    monkeypatch.setattr("cellzoo.runtime.torch_engine.recordings.Recording.__init__", record)
    cell = cellzoo.load("lstm")
    runtime, tensors = TorchRuntime(cell), draw(cell, CASE)
    for _ in range(3):
        train(runtime, tensors).sum().backward()


@pytest.mark.cuda
@pytest.mark.parametrize("batch_sizes", [(4, 4, 4), (4, 3, 1)], ids=str)
@pytest.mark.parametrize("name", ["lstm", "darts-v2", "enas"])
def test_cuda_graphs_agree_with_the_cpu(name, batch_sizes):
    """Also with weights that change in place between calls, and with several calls before their walks back."""
    cell = cellzoo.load(name)
    case = replace(CASE, input_size=7, batch_sizes=batch_sizes)
    runtime = TorchRuntime(cell)
    for _ in range(4):
        several = [draw(cell, replace(case, seed=seed)) for seed in range(2)]
        moved = [tensors.map(lambda tensor: tensor.detach().cuda()) for tensors in several]
        moved = [replace(tensors, mask_h=tensors.mask_h.cuda()) for tensors in moved]
        outputs = [train(runtime, tensors, case) for tensors in moved]
        for tensors, ours, output in zip(several, moved, outputs, strict=True):
            found = torch.autograd.grad(output.sum(), list(ours.leaves(case).values()))
            expected = train(ReferenceRuntime(cell), tensors, case)
            wanted = torch.autograd.grad(expected.sum(), list(tensors.leaves(case).values()))
            for one, other in zip((output, *found), (expected, *wanted), strict=True):
                torch.testing.assert_close(one.cpu(), other, rtol=1e-10, atol=1e-10)
    assert runtime._run._recordings._alive


@pytest.mark.cuda
def test_cuda_graphs_of_a_layer_that_is_trained():
    """Optimiser steps in place, in single precision, on the stream that the caller chose."""
    losses = {}
    for engine in ("reference", "torch"):
        torch.manual_seed(0)
        rnn = cellzoo.rnn("darts-v2", 16, 16, num_layers=2, runtime=engine).cuda()
        optimiser = torch.optim.SGD(rnn.parameters(), lr=0.1)
        x = torch.randn(10, 8, 16, device="cuda", generator=torch.Generator("cuda").manual_seed(1))
        losses[engine] = []
        for step in range(6):
            stream = torch.cuda.Stream() if step == 4 else torch.cuda.current_stream()
            stream.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(stream):
                loss = rnn(x)[0].square().mean()
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
            torch.cuda.current_stream().wait_stream(stream)
            losses[engine].append(loss.item())
    assert losses["torch"] == pytest.approx(losses["reference"], rel=1e-4)
