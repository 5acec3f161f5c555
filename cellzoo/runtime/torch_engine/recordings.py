"""Calls that a CUDA device has recorded as graphs, to replay with one launch in place of thousands.

A recording has memory of its own: what goes in is copied there, and what comes out is copied from there. It is
lent to one call at a time, from the forward walk to the end of the walk back. Only a shape that comes again is
recorded; anything else, and anything that cannot be recorded, runs as it would without.
"""

from __future__ import annotations

from functools import partial
from threading import Lock
from typing import TYPE_CHECKING, Protocol, TypeVar

import torch

from cellzoo.runtime.forks import reset_after_fork
from cellzoo.runtime.torch_engine.call import Arguments

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor

    from cellzoo.runtime.torch_engine.call import CallForm

Result = TypeVar("Result")

# Each holds the memory of a training step of its shape: a few are enough for the shapes of training and
# evaluation, and for a layer that is called twice before its walk back.
_MOST_RECORDINGS = 4
# Calls after which an unused recording makes room for another shape; one that is used more often stays, since
# recording takes the time of many calls.
_IDLE_CALLS = 200
_MOST_SHAPES = 1000


class Recorder(Protocol):
    """Records what a device does."""

    def warm_up(self, function: Callable[[], object]) -> None:
        """Run a function as it would be recorded, so that nothing has its first time while recording."""
        ...

    def record(self, function: Callable[[], Result]) -> tuple[Result, Callable[[], None]]:
        """Record a function; gives its result, which is filled when replayed, and what replays it."""
        ...


class CudaRecorder:
    """Records CUDA graphs that share one pool of memory; they must be replayed in the order of recording."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._stream = torch.cuda.Stream(device)
        self._pool = torch.cuda.graph_pool_handle()

    def warm_up(self, function: Callable[[], object]) -> None:
        """Run a function on the stream that records."""
        current = torch.cuda.current_stream(self._device)
        self._stream.wait_stream(current)
        with torch.cuda.stream(self._stream):
            function()
        current.wait_stream(self._stream)

    def record(self, function: Callable[[], Result]) -> tuple[Result, Callable[[], None]]:
        """Record a function."""
        graph = torch.cuda.CUDAGraph()
        # Other threads may go on allocating, such as those that pin batches of a data loader.
        recording = torch.cuda.graph(
            graph, pool=self._pool, stream=self._stream, capture_error_mode="thread_local"
        )
        with torch.cuda.device(self._device), recording:
            result = function()

        def replay() -> None:
            with torch.cuda.device(self._device):
                graph.replay()

        return result, replay


class Recording:
    """A recorded call, and its walk back if it has one.

    Attributes:
        last_used: Number of the call that used it last.
    """

    def __init__(self, call: CallForm, arguments: Arguments, recorder: Recorder) -> None:
        flat = [None if value is None else value.to(call.dtype, copy=True) for value in arguments.flat()]
        own = Arguments.of(flat, len(arguments.states))
        # A recording is found by the identity of what it runs, which therefore must stay.
        self._call = call
        self._arguments = [value for value in flat if value is not None]
        self.last_used = 0
        has_walk_back = bool(call.compiled.plan.backward_step)

        def rehearse() -> None:
            execution, results = call.forward(own)
            if has_walk_back:
                call.backward(execution, [torch.zeros_like(result) for result in results])

        # On other memory than what is recorded: values that are made once a call must be made by the recording.
        recorder.warm_up(rehearse)
        (execution, self._results), self._forward = recorder.record(lambda: call.forward(own))
        if has_walk_back:
            self._gradients = [torch.zeros_like(result) for result in self._results]
            self._found, self._backward = recorder.record(lambda: call.backward(execution, self._gradients))

    def forward(self, arguments: Arguments) -> tuple[Tensor, ...]:
        """What `CallForm.forward` gives."""
        given = [value for value in arguments.flat() if value is not None]
        torch._foreach_copy_(self._arguments, given)
        self._forward()
        return tuple(_copies(self._results))

    def backward(self, gradients: Sequence[Tensor | None]) -> list[Tensor | None]:
        """What `CallForm.backward` gives."""
        for own, given in zip(self._gradients, gradients, strict=True):
            if given is None:
                own.zero_()
            else:
                own.copy_(given)
        self._backward()
        copies = iter(_copies([value for value in self._found if value is not None]))
        return [None if value is None else next(copies) for value in self._found]


def _copies(tensors: Sequence[Tensor]) -> list[Tensor]:
    copies = [torch.empty_like(tensor) for tensor in tensors]
    torch._foreach_copy_(copies, list(tensors))
    return copies


class Loan:
    """A recording in use by one call."""

    def __init__(self, recording: Recording, idle: list[Recording]) -> None:
        self._recording: Recording | None = recording
        self._idle = idle

    def forward(self, arguments: Arguments) -> tuple[Tensor, ...]:
        """What `CallForm.forward` gives."""
        assert self._recording is not None  # noqa: S101 - given back after the walk back
        return self._recording.forward(arguments)

    def backward(self, gradients: Sequence[Tensor | None]) -> list[Tensor | None]:
        """What `CallForm.backward` gives; once."""
        assert self._recording is not None  # noqa: S101
        found = self._recording.backward(gradients)
        self.give_back()
        return found

    def give_back(self) -> None:
        """Let the next call have it."""
        if self._recording is not None:
            self._idle.append(self._recording)
            self._recording = None

    def __del__(self) -> None:
        """A graph that nobody walks back is dropped."""
        self.give_back()


class Recordings:
    """The recordings of one engine.

    Args:
        recorder: Builds what records on a device; None for CUDA graphs, on CUDA devices.
    """

    def __init__(self, recorder: Callable[[torch.device], Recorder] | None = None) -> None:
        self._recorder = recorder
        self._lock = Lock()
        self._calls = 0
        self._forget()
        reset_after_fork(self)

    def after_fork(self) -> None:
        """Open the lock in a child, which has no use for what was recorded on a device of its parent's."""
        self._lock = Lock()
        self._forget()

    def _forget(self) -> None:
        self._seen: dict[tuple[object, ...], int] = {}
        self._idle: dict[tuple[object, ...], list[Recording]] = {}
        self._alive: list[tuple[tuple[object, ...], Recording]] = []
        self._hopeless: set[tuple[object, ...]] = set()

    def run(
        self, call: CallForm, arguments: Arguments
    ) -> tuple[tuple[Tensor, ...], Callable[[Sequence[Tensor | None]], list[Tensor | None]]]:
        """Run a call, recorded or not.

        Returns:
            Outputs and final states, and what takes their gradients and gives those of the arguments, once.
        """
        loan = self._lend(call, arguments)
        if loan is not None:
            return loan.forward(arguments), loan.backward
        execution, results = call.forward(arguments)
        return results, partial(call.backward, execution)

    def _lend(self, call: CallForm, arguments: Arguments) -> Loan | None:
        recorder = self._recorder or _recorder_of(arguments.inputs.device)
        if recorder is None:
            return None
        key = _key(call, arguments)
        with self._lock:
            self._calls += 1
            idle = self._idle.get(key)
            recording = idle.pop() if idle else self._record(key, call, arguments, recorder)
            if recording is None:
                return None
            recording.last_used = self._calls
            return Loan(recording, self._idle.setdefault(key, []))

    def _record(
        self,
        key: tuple[object, ...],
        call: CallForm,
        arguments: Arguments,
        recorder: Callable[[torch.device], Recorder],
    ) -> Recording | None:
        """A new recording of a shape that came before, if there is room."""
        if len(self._seen) >= _MOST_SHAPES:
            self._seen.clear()
            self._hopeless.clear()
        self._seen[key] = self._seen.get(key, 0) + 1
        if self._seen[key] < 2 or key in self._hopeless or not self._make_room():
            return None
        try:
            # Tensors that inference mode makes could not be written outside of it.
            with torch.inference_mode(mode=False), torch.no_grad():
                recording = Recording(call, arguments, recorder(arguments.inputs.device))
        except RuntimeError:
            # Out of memory, or something that the device cannot record: the call runs without.
            self._hopeless.add(key)
            return None
        self._alive.append((key, recording))
        return recording

    def _make_room(self) -> bool:
        """Whether there is room for a recording, if need be after forgetting one that is out of use."""
        if len(self._alive) < _MOST_RECORDINGS:
            return True
        for position, (key, recording) in enumerate(self._alive):
            if self._calls - recording.last_used > _IDLE_CALLS and recording in self._idle[key]:
                self._idle[key].remove(recording)
                del self._alive[position]
                if all(other != key for other, _ in self._alive):
                    del self._idle[key]
                return True
        return False


def _recorder_of(device: torch.device) -> type[CudaRecorder] | None:
    """What records on a device; nothing while the caller records."""
    if device.type != "cuda" or torch.cuda.is_current_stream_capturing():
        return None
    return CudaRecorder


def _key(call: CallForm, arguments: Arguments) -> tuple[object, ...]:
    """Everything that a recording depends on, apart from the values of tensors."""
    device = arguments.inputs.device
    settings: tuple[object, ...] = ()
    if device.type == "cuda":
        # Work on another stream is not ordered with that of the stream that a recording was made for.
        products = torch.backends.cuda.matmul
        precision = getattr(products, "fp32_precision", None) or products.allow_tf32
        settings = (torch.cuda.current_stream(device).cuda_stream, precision)
    rows = call.order.rows.batch_sizes
    sizes = tuple(sorted(call.sizes.items()))
    return (id(call.compiled), call.moments, rows, call.order.descending, sizes, call.dtype, device, settings)
