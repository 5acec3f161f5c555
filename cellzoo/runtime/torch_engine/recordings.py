"""CUDA graphs of calls, which replay a call with one launch instead of thousands.

A recording has memory of its own: arguments are copied into it, and results out of it. It is used by one call
at a time, from the forward pass to the end of the backward pass. A call is recorded when its shapes occur for
the second time; all other calls, and those that cannot be recorded, run without recording.
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

# Each holds the memory of a training step of its shapes: a few suffice for the shapes of training and
# evaluation, and for a layer that is called twice before its backward pass.
_MOST_RECORDINGS = 4
# A recording that was not used for so many calls may be evicted; others stay, as recording takes the time of
# many calls.
_IDLE_CALLS = 200
_MOST_SHAPES = 1000


class Recorder(Protocol):
    """Records and replays the work of a device."""

    def warm_up(self, function: Callable[[], object]) -> None:
        """Run a function in the same way as for recording, so that lazy initialisation is not recorded."""
        ...

    def record(self, function: Callable[[], Result]) -> tuple[Result, Callable[[], None]]:
        """Record a function; returns its result, which a replay overwrites, and a function that replays it."""
        ...


class CudaRecorder:
    """Records CUDA graphs in a common memory pool; they must be replayed in the order of recording."""

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
        # Other threads may allocate memory meanwhile, such as those of a data loader that pin memory.
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
    """A recorded call, with its backward pass if it has one.

    Attributes:
        last_used: Number of the call that used it last.
    """

    def __init__(self, call: CallForm, arguments: Arguments, recorder: Recorder) -> None:
        flat = [None if value is None else value.to(call.dtype, copy=True) for value in arguments.flat()]
        own = Arguments.of(flat, len(arguments.states))
        # The keys of recordings contain the id of the compiled plan, which must not be reused by another
        # object.
        self._call = call
        self._arguments = [value for value in flat if value is not None]
        self.last_used = 0
        has_backward = bool(call.compiled.plan.backward_step)

        def warm_up() -> None:
            execution, results = call.forward(own)
            if has_backward:
                call.backward(execution, [torch.zeros_like(result) for result in results])

        # With an execution of its own, so that values which are cached during a call are computed by the
        # recording.
        recorder.warm_up(warm_up)
        (execution, self._results), self._forward = recorder.record(lambda: call.forward(own))
        if has_backward:
            self._gradients = [torch.zeros_like(result) for result in self._results]
            self._found, self._backward = recorder.record(lambda: call.backward(execution, self._gradients))

    def forward(self, arguments: Arguments) -> tuple[Tensor, ...]:
        """Replay `CallForm.forward`."""
        given = [value for value in arguments.flat() if value is not None]
        torch._foreach_copy_(self._arguments, given)
        self._forward()
        return tuple(_copies(self._results))

    def backward(self, gradients: Sequence[Tensor | None]) -> list[Tensor | None]:
        """Replay `CallForm.backward`."""
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
    """Exclusive use of a recording by one call."""

    def __init__(self, recording: Recording, idle: list[Recording]) -> None:
        self._recording: Recording | None = recording
        self._idle = idle

    def forward(self, arguments: Arguments) -> tuple[Tensor, ...]:
        """As `CallForm.forward`."""
        assert self._recording is not None  # noqa: S101 - released by `backward`
        return self._recording.forward(arguments)

    def backward(self, gradients: Sequence[Tensor | None]) -> list[Tensor | None]:
        """As `CallForm.backward`; releases the recording."""
        assert self._recording is not None  # noqa: S101
        found = self._recording.backward(gradients)
        self.release()
        return found

    def release(self) -> None:
        """Make the recording available to other calls."""
        if self._recording is not None:
            self._idle.append(self._recording)
            self._recording = None

    def __del__(self) -> None:
        """Release the recording if there is no backward pass."""
        self.release()


class Recordings:
    """The recordings of one engine.

    Args:
        recorder: Creates the recorder of a device; None for CUDA graphs on CUDA devices, and no recording on
            others.
    """

    def __init__(self, recorder: Callable[[torch.device], Recorder] | None = None) -> None:
        self._recorder = recorder
        self._lock = Lock()
        self._calls = 0
        self._forget()
        reset_after_fork(self)

    def after_fork(self) -> None:
        """Reset the lock in a forked child, and drop the recordings, which only the parent can replay."""
        self._lock = Lock()
        self._forget()

    def _forget(self) -> None:
        self._seen: dict[tuple[object, ...], int] = {}
        self._idle: dict[tuple[object, ...], list[Recording]] = {}
        self._alive: list[tuple[tuple[object, ...], Recording]] = []
        self._not_recordable: set[tuple[object, ...]] = set()

    def run(
        self, call: CallForm, arguments: Arguments
    ) -> tuple[tuple[Tensor, ...], Callable[[Sequence[Tensor | None]], list[Tensor | None]]]:
        """Run a call, recorded or not.

        Returns:
            Outputs and final states, and a function that runs the backward pass; it can be called once.
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
        """Record a call whose key has occurred before, if there is room; else None."""
        if len(self._seen) >= _MOST_SHAPES:
            self._seen.clear()
            self._not_recordable.clear()
        self._seen[key] = self._seen.get(key, 0) + 1
        if self._seen[key] < 2 or key in self._not_recordable or not self._make_room():
            return None
        try:
            # Tensors created in inference mode could not be written outside of it.
            with torch.inference_mode(mode=False), torch.no_grad():
                recording = Recording(call, arguments, recorder(arguments.inputs.device))
        except RuntimeError:
            # Out of memory, or an operation that cannot be recorded: the call runs without recording.
            self._not_recordable.add(key)
            return None
        self._alive.append((key, recording))
        return recording

    def _make_room(self) -> bool:
        """Whether there is room for a recording, if necessary after evicting one that is out of use."""
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
    """The recorder class for a device; None if there is none, or if the caller is recording already."""
    if device.type != "cuda" or torch.cuda.is_current_stream_capturing():
        return None
    return CudaRecorder


def _key(call: CallForm, arguments: Arguments) -> tuple[object, ...]:
    """Everything that a recording depends on, except the values of tensors."""
    device = arguments.inputs.device
    settings: tuple[object, ...] = ()
    if device.type == "cuda":
        # A recording belongs to one stream, as work on different streams is not ordered.
        products = torch.backends.cuda.matmul
        precision = getattr(products, "fp32_precision", None) or products.allow_tf32
        settings = (torch.cuda.current_stream(device).cuda_stream, precision)
    rows = call.order.rows.batch_sizes
    sizes = tuple(sorted(call.sizes.items()))
    return (id(call.compiled), call.moments, rows, call.order.descending, sizes, call.dtype, device, settings)
