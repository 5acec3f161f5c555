"""The engine `native`: hands a whole packed batch to the compiled library."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from cellzoo.cell import HIDDEN_WIDTH
from cellzoo.errors import CellzooError
from cellzoo.runtime.native.encoding import EncodedPlan, encode
from cellzoo.runtime.native.library import INSTRUCTION_SETS, Call, check, load
from cellzoo.runtime.native.workspace import Block, Pool
from cellzoo.runtime.plan import build_plan, plan_sizes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cellzoo.cell import Cell
    from cellzoo.runtime.program import Plan

_DTYPES = {torch.float32: 0, torch.float64: 1}


@lru_cache(maxsize=1)
def pool() -> Pool:
    """The memory that all calls of this process share."""
    return Pool()


class NativeRuntime:
    """Runs a cell by the compiled library. See `cellzoo.runtime.Runtime` for the call.

    Args:
        cell: The cell.
        instruction_set: `baseline`, `avx2`, `avx512`, or None for the best of this machine.

    Raises:
        CellzooError: The library is not there; the message says why.
    """

    def __init__(self, cell: Cell, instruction_set: str | None = None) -> None:
        try:
            load()
        except OSError as error:
            raise CellzooError(
                f"the engine 'native' is not available: {error}; use runtime='torch', or see `cellzoo doctor`"
            ) from error
        self.cell = cell
        self._instruction_set = INSTRUCTION_SETS[instruction_set] if instruction_set else 0
        self._prepared: dict[tuple[bool, bool, bool, bool, int, int], _Prepared] = {}

    def __call__(
        self,
        inputs: Tensor,
        batch_sizes: Sequence[int],
        states: Sequence[Tensor],
        weights: Mapping[str, Tensor],
        *,
        reverse: bool = False,
        mask_x: Tensor | None = None,
        mask_h: Tensor | None = None,
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Run the cell as `cellzoo.runtime.Runtime` says.

        Raises:
            CellzooError: A tensor is not on the CPU, or is neither float32 nor float64 like the others.
        """
        tensors = [inputs, *states, *weights.values(), *(mask for mask in (mask_x, mask_h) if mask is not None)]
        _check_tensors(tensors)
        wants_gradient = torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors)
        prepared = self._prepare(
            inputs.size(1),
            states,
            training=wants_gradient,
            masked_x=mask_x is not None,
            masked_h=mask_h is not None,
            input_gradient=inputs.requires_grad,
        )
        names = tuple(name for name in prepared.plan.weights if name in weights)
        job = _Job(prepared, tuple(batch_sizes), reverse, names, len(states), self._instruction_set)
        arguments = (inputs, mask_x, mask_h, *states, *(weights[name] for name in names))
        if wants_gradient:
            results = _NativeFunction.apply(job, *arguments)
        else:
            results, _ = _forward(job, arguments, training=False)
        return results[0], tuple(results[1:])

    def __deepcopy__(self, memo: dict[int, Any]) -> NativeRuntime:
        """Share what was prepared: it depends on the cell alone."""
        return self

    def __reduce__(self) -> tuple[type[NativeRuntime], tuple[Cell, str | None]]:
        """Prepare anew in the process that unpickles."""
        name = next(
            (name for name, number in INSTRUCTION_SETS.items() if number == self._instruction_set), None
        )
        return NativeRuntime, (self.cell, name)

    def _prepare(
        self,
        input_size: int,
        states: Sequence[Tensor],
        *,
        training: bool,
        masked_x: bool,
        masked_h: bool,
        input_gradient: bool,
    ) -> _Prepared:
        hidden_size = next(
            tensor.size(1)
            for state, tensor in zip(self.cell.states, states, strict=True)
            if state.width == HIDDEN_WIDTH
        )
        key = (training, masked_x, masked_h, input_gradient, input_size, hidden_size)
        if key not in self._prepared:
            plan = build_plan(
                self.cell,
                training=training,
                masked_x=masked_x,
                masked_h=masked_h,
                input_gradient=input_gradient,
            )
            sizes = plan_sizes(plan, input_size=input_size, hidden_size=hidden_size)
            self._prepared[key] = _Prepared(plan, encode(plan, sizes), sizes[plan.output_width])
        return self._prepared[key]


@dataclass(frozen=True)
class _Prepared:
    plan: Plan
    encoded: EncodedPlan
    output_size: int


@dataclass(frozen=True)
class _Job:
    """What a call does, but for its tensors: x, both masks or None, the states, the weights."""

    prepared: _Prepared
    batch_sizes: tuple[int, ...]
    reverse: bool
    names: tuple[str, ...]
    num_states: int
    instruction_set: int


class _NativeFunction(torch.autograd.Function):
    """Forward and backward by the library; once differentiable."""

    @staticmethod
    def forward(ctx: Any, job: _Job, *arguments: Tensor | None) -> tuple[Tensor, ...]:
        results, saved = _forward(job, arguments, training=True)
        ctx.job = job
        ctx.saved = saved
        ctx.save_for_backward(*arguments)
        ctx.set_materialize_grads(False)
        return results

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        if torch.is_grad_enabled():
            raise CellzooError(
                "the engine 'native' is differentiable once; for create_graph=True use runtime='reference'"
            )
        arguments = ctx.saved_tensors
        if ctx.saved is None:  # a second backward: the first one has consumed it
            _, ctx.saved = _forward(ctx.job, arguments, training=True)
        saved, ctx.saved = ctx.saved, None
        return (None, *_backward(ctx.job, arguments, saved, gradients, ctx.needs_input_grad[1:]))


def _forward(
    job: _Job, arguments: Sequence[Tensor | None], *, training: bool
) -> tuple[tuple[Tensor, ...], Block | None]:
    """Outputs and final states, and the memory that the backward call needs."""
    call = _Call(job, arguments, training=training)
    inputs, states = call.inputs, call.states
    outputs = inputs.new_empty(inputs.size(0), job.prepared.output_size)  # (N, H)
    finals = [torch.empty_like(state) for state in states]
    call.structure.outputs = outputs.data_ptr()
    call.pointers("final", finals)
    saved = call.run("cellzoo_forward", None)
    return (outputs, *finals), saved if training else None


def _backward(
    job: _Job,
    arguments: Sequence[Tensor | None],
    saved: Block,
    gradients: Sequence[Tensor | None],
    wanted: Sequence[bool],
) -> list[Tensor | None]:
    """Gradients of the arguments, None where not wanted."""
    call = _Call(job, arguments, training=True)
    given, *given_final = gradients
    if given is None:
        given = call.inputs.new_zeros(call.inputs.size(0), job.prepared.output_size)
    results: list[Tensor | None] = [
        torch.empty_like(argument, memory_format=torch.contiguous_format)
        if argument is not None and is_wanted
        else None
        for argument, is_wanted in zip(arguments, wanted, strict=True)
    ]
    first_weight = 3 + job.num_states
    given = call.keep(given)
    call.structure.grad_outputs = given.data_ptr()
    call.pointers("grad_final", [None if tensor is None else call.keep(tensor) for tensor in given_final])
    if results[0] is not None:
        call.structure.grad_inputs = results[0].data_ptr()
    call.pointers("grad_initial", results[3:first_weight])
    call.pointers("grad_weights", call.by_number(results[first_weight:]))
    call.run("cellzoo_backward", saved)
    return results


class _Call:
    """One call as it is filled in; keeps alive what the library's pointers refer to."""

    def __init__(self, job: _Job, arguments: Sequence[Tensor | None], *, training: bool) -> None:
        self._job = job
        self._alive: list[Any] = []
        first_weight = 3 + job.num_states
        inputs, mask_x, mask_h, *rest = (
            None if argument is None else self.keep(argument.detach()) for argument in arguments
        )
        assert inputs is not None  # noqa: S101 - only masks may be missing
        self.inputs: Tensor = inputs
        self.states = [state for state in rest[: job.num_states] if state is not None]
        sizes = (ctypes.c_int64 * len(job.batch_sizes))(*job.batch_sizes)
        self.structure = Call(
            dtype=_DTYPES[inputs.dtype],
            isa=job.instruction_set,
            threads=torch.get_num_threads(),
            steps=len(job.batch_sizes),
            batch=job.batch_sizes[0],
            rows=inputs.size(0),
            batch_sizes=sizes,
            reverse=job.reverse,
            training=training,
            inputs=inputs.data_ptr(),
        )
        self.pointers("initial", self.states)
        self.pointers("masks", [mask_x, mask_h])
        self.pointers("weights", self.by_number(rest[first_weight - 3 :]))

    def keep(self, tensor: Tensor) -> Tensor:
        """The tensor, contiguous, kept alive for the call."""
        tensor = tensor.contiguous()
        self._alive.append(tensor)
        return tensor

    def by_number(self, tensors: Sequence[Tensor | None]) -> list[Tensor | None]:
        """Tensors in the order of the call's names, put into the order of the plan's weights."""
        by_name = dict(zip(self._job.names, tensors, strict=True))
        return [by_name.get(name) for name in self._job.prepared.plan.weights]

    def pointers(self, field: str, tensors: Sequence[Tensor | None]) -> None:
        """Set a field to an array of pointers."""
        addresses = [None if tensor is None else tensor.data_ptr() for tensor in tensors]
        array = (ctypes.c_void_p * len(addresses))(*addresses)
        self._alive.append(array)
        setattr(self.structure, field, ctypes.cast(array, ctypes.c_void_p))

    def run(self, name: str, saved: Block | None) -> Block:
        """Call the library; returns the block that is kept between forward and backward."""
        library = load()
        encoded = self._job.prepared.encoded
        plan = (encoded.integers, len(encoded.integers))
        sizes = (ctypes.c_int64 * 2)()
        is_backward = name == "cellzoo_backward"
        check(library.cellzoo_workspace(*plan, self.structure, is_backward, sizes))
        saved = saved or pool().take(sizes[0])
        scratch = pool().take(sizes[1])
        self.structure.saved = saved.address
        self.structure.scratch = scratch.address
        check(getattr(library, name)(*plan, encoded.constants, self.structure))
        return saved


def _check_tensors(tensors: Sequence[Tensor]) -> None:
    first = tensors[0].dtype
    for tensor in tensors:
        if tensor.device.type != "cpu" or tensor.dtype not in _DTYPES or tensor.dtype != first:
            raise CellzooError(
                f"the engine 'native' takes float32 or float64 tensors on the CPU, all of one kind; "
                f"got {tensor.dtype} on {tensor.device} beside {first}; use runtime='torch'"
            )
