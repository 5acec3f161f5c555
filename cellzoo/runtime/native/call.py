"""Runs a plan by the compiled library, with gradients."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from cellzoo.errors import CellzooError
from cellzoo.runtime.native.binding import Call, check, load
from cellzoo.runtime.native.encoding import EncodedPlan, encode
from cellzoo.runtime.native.workspace import Block, Pool
from cellzoo.runtime.once import differentiable_never, refuse_batched
from cellzoo.runtime.plan import plan_sizes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cellzoo.runtime.program import Plan

DTYPES = {torch.float32: 0, torch.float64: 1}
# Tensors of a call are x, both masks, the mixture parameters, then the states and the weights.
_FIRST_STATE = 4


MOST_THREADS = 1024


_pool = Pool()


def pool() -> Pool:
    """The memory pool of this process."""
    return _pool


class PreparedPlan:
    """A plan for given sizes.

    Args:
        plan: The plan; for training, with a backward pass.
        input_size: E.
        hidden_size: H.
    """

    def __init__(self, plan: Plan, *, input_size: int, hidden_size: int) -> None:
        sizes = plan_sizes(plan, input_size=input_size, hidden_size=hidden_size)
        self.plan = plan
        self.encoded: EncodedPlan = encode(plan, sizes)
        self.output_size = sizes[plan.output_width]
        self.is_training = bool(plan.backward_step)
        self._input_size = input_size
        self._state_sizes = [sizes[width] for width in plan.states]
        self.shapes = {
            name: tuple(sizes[width] for width in widths) or (1,)
            for name, widths in zip(plan.weights, plan.weight_widths, strict=True)
        }

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
        parameters: Tensor | None = None,
        norm_statistics: Tensor | None = None,
        instruction_set: int = 0,
        rounds: bool = False,
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Run the plan; arguments and results as in `cellzoo.runtime.Runtime`.

        Args:
            inputs: (N, E).
            batch_sizes: Rows of each step.
            states: (B, width) each.
            weights: Name -> tensor; biases may be absent.
            reverse: Process the steps from the last to the first.
            mask_x: (B, E), if the plan has it.
            mask_h: (B, H), if the plan has it.
            parameters: Mixture parameters, as many as the plan has.
            norm_statistics: As in `cellzoo.runtime.PlanRuntime`; every step must have several rows.
            instruction_set: Its number, 0 for the best.
            rounds: Whether products have factors rounded to bfloat16, and float32 sums; needs float32 tensors
                and `binding.has_bfloat16`.

        Raises:
            CellzooError: A tensor has a wrong shape.
        """
        batch, names = batch_sizes[0], tuple(name for name in self.plan.weights if name in weights)
        _check_shape("x", inputs, (sum(batch_sizes), self._input_size))
        _check_shape("the mask of x", mask_x, (batch, self._input_size))
        _check_shape("the mask of hidden values", mask_h, (batch, self.output_size))
        for number, (state, size) in enumerate(zip(states, self._state_sizes, strict=True)):
            _check_shape(f"state {number}", state, (batch, size))
        for name in names:
            _check_shape(name, weights[name], self.shapes[name])
        _check_shape("the parameters", parameters, (self.plan.num_parameters,))
        moments = (len(self.plan.norms), len(batch_sizes), 2, self.output_size)
        _check_shape("norm_statistics", norm_statistics, moments)
        job = _Job(
            self, tuple(batch_sizes), reverse, names, len(states), instruction_set, rounds, norm_statistics
        )
        arguments = (inputs, mask_x, mask_h, parameters, *states, *(weights[name] for name in names))
        if self.is_training:
            results = _NativeFunction.apply(job, *arguments)
        else:
            results, _ = _forward(job, arguments)
        return results[0], tuple(results[1:])


def check_tensors(tensors: Sequence[Tensor]) -> None:
    """Check that the library supports the tensors.

    Raises:
        CellzooError: One is not on the CPU, or not float32 or float64, or not of the same dtype as the others.
    """
    first = tensors[0].dtype
    for tensor in tensors:
        if tensor.device.type != "cpu" or tensor.dtype not in DTYPES:
            raise CellzooError(
                f"the engine 'native' takes float32 or float64 tensors on the CPU; got {tensor.dtype} on "
                f"{tensor.device}; use runtime='torch'"
            )
        if tensor.dtype != first:
            raise CellzooError(
                f"x is {first}, but a state, a weight or a mask is {tensor.dtype}; they must be one dtype"
            )


def _check_shape(name: str, tensor: Tensor | None, shape: tuple[int, ...]) -> None:
    """Check a shape: the library gets only addresses, and would read beyond a smaller tensor."""
    if tensor is not None and tensor.shape != shape:
        raise CellzooError(f"the engine 'native': {name} has shape {tuple(tensor.shape)}; expected {shape}")


@dataclass(frozen=True)
class _Job:
    """The arguments of a call other than its differentiable tensors."""

    prepared: PreparedPlan
    batch_sizes: tuple[int, ...]
    reverse: bool
    names: tuple[str, ...]
    num_states: int
    instruction_set: int
    rounds: bool
    norm_statistics: Tensor | None

    @property
    def first_weight(self) -> int:
        """Index of the first weight among the tensors of a call."""
        return _FIRST_STATE + self.num_states


class _NativeFunction(torch.autograd.Function):
    """Forward and backward pass by the library; supports first derivatives only."""

    @staticmethod
    def forward(ctx: Any, job: _Job, *arguments: Tensor | None) -> tuple[Tensor, ...]:
        results, saved = _forward(job, arguments)
        # A pass that is made again must not write the statistics again: the caller may use their memory anew.
        ctx.job = job if job.norm_statistics is None else replace(job, norm_statistics=None)
        # Hooks on saved tensors (checkpointing, offloading) cannot handle the block, so the backward pass makes
        # it anew.
        ctx.saved = None if torch._C._autograd._top_saved_tensors_default_hooks(True) else saved
        ctx.save_for_backward(*arguments)
        ctx.set_materialize_grads(False)
        return results

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        refuse_batched("native", gradients)
        arguments = ctx.saved_tensors
        saved, ctx.saved = ctx.saved, None
        if saved is None:  # not kept, or overwritten by an earlier backward pass
            _, saved = _forward(ctx.job, arguments)
        wanted = _backward(ctx.job, arguments, saved, gradients, ctx.needs_input_grad[1:])
        if torch.is_grad_enabled():
            wanted = differentiable_never("native", wanted, [*gradients, *arguments])
        return (None, *wanted)


def _forward(job: _Job, arguments: Sequence[Tensor | None]) -> tuple[tuple[Tensor, ...], Block]:
    """Run the forward pass; returns outputs and final states, and the memory for the backward pass."""
    call = _Call(job, arguments)
    outputs = call.inputs.new_empty(call.inputs.size(0), job.prepared.output_size)  # (N, H)
    finals = [torch.empty_like(state) for state in call.states]
    call.structure.outputs = outputs.data_ptr()
    call.pointers("final", finals)
    saved = call.run("cellzoo_forward", None)
    return (outputs, *finals), saved


def _backward(
    job: _Job,
    arguments: Sequence[Tensor | None],
    saved: Block,
    gradients: Sequence[Tensor | None],
    wanted: Sequence[bool],
) -> list[Tensor | None]:
    """Run the backward pass; returns the gradients of the arguments, None if not wanted."""
    call = _Call(job, arguments)
    given, *given_final = (None if gradient is None else call.keep(gradient) for gradient in gradients)
    if given is None:
        given = call.inputs.new_zeros(call.inputs.size(0), job.prepared.output_size)
    results: list[Tensor | None] = [
        torch.empty_like(argument, memory_format=torch.contiguous_format)
        if argument is not None and is_wanted
        else None
        for argument, is_wanted in zip(arguments, wanted, strict=True)
    ]
    call.structure.grad_outputs = given.data_ptr()
    call.pointers("grad_final", given_final)
    call.structure.grad_inputs = _address(results[0])
    call.structure.grad_parameters = _address(results[3])
    call.pointers("grad_initial", results[_FIRST_STATE : job.first_weight])
    call.pointers("grad_weights", call.by_number(results[job.first_weight :]))
    call.run("cellzoo_backward", saved)
    return results


class _Call:
    """Builds the arguments of a call, and keeps alive the memory that they point to."""

    def __init__(self, job: _Job, arguments: Sequence[Tensor | None]) -> None:
        self._job = job
        self._alive: list[Any] = []
        inputs, mask_x, mask_h, parameters, *rest = (
            None if argument is None else self.keep(argument.detach()) for argument in arguments
        )
        assert inputs is not None  # noqa: S101 - only masks and parameters may be missing
        self.inputs: Tensor = inputs
        self.states = [state for state in rest[: job.num_states] if state is not None]
        self.structure = Call(
            dtype=DTYPES[inputs.dtype],
            isa=job.instruction_set,
            precision=job.rounds,
            threads=min(torch.get_num_threads(), MOST_THREADS),
            steps=len(job.batch_sizes),
            batch=job.batch_sizes[0],
            rows=inputs.size(0),
            batch_sizes=(ctypes.c_int64 * len(job.batch_sizes))(*job.batch_sizes),
            reverse=job.reverse,
            training=job.prepared.is_training,
            inputs=inputs.data_ptr(),
            parameters=_address(parameters),
            norm_statistics=_address(job.norm_statistics),
        )
        self.pointers("initial", self.states)
        self.pointers("masks", [mask_x, mask_h])
        self.pointers("weights", self.by_number(rest[job.num_states :]))

    def keep(self, tensor: Tensor) -> Tensor:
        """Return the tensor, or a copy, in plain contiguous aligned memory; kept alive for the call."""
        tensor = tensor.contiguous().resolve_neg()
        if tensor._is_zerotensor():
            tensor = torch.zeros_like(tensor, device="cpu")
        if tensor.data_ptr() % tensor.element_size():  # such as a view of a file at an odd offset
            tensor = tensor.clone()
        self._alive.append(tensor)
        return tensor

    def by_number(self, tensors: Sequence[Tensor | None]) -> list[Tensor | None]:
        """Reorder tensors from the order of the call's names to the order of the plan's weights."""
        by_name = dict(zip(self._job.names, tensors, strict=True))
        return [by_name.get(name) for name in self._job.prepared.plan.weights]

    def pointers(self, field: str, tensors: Sequence[Tensor | None]) -> None:
        """Set a field to an array of pointers."""
        array = (ctypes.c_void_p * len(tensors))(*map(_address, tensors))
        self._alive.append(array)
        setattr(self.structure, field, ctypes.cast(array, ctypes.c_void_p))

    def run(self, name: str, saved: Block | None) -> Block:
        """Call the library; returns the block with the values kept for the backward pass."""
        library = load()
        encoded = self._job.prepared.encoded
        plan = (encoded.integers, len(encoded.integers))
        sizes = (ctypes.c_int64 * 2)()
        check(library.cellzoo_workspace(*plan, self.structure, name == "cellzoo_backward", sizes))
        saved = saved or pool().take(sizes[0])
        scratch = pool().take(sizes[1])
        self.structure.saved = saved.address
        self.structure.scratch = scratch.address
        check(getattr(library, name)(*plan, encoded.constants, self.structure))
        return saved


def _address(tensor: Tensor | None) -> int | None:
    return None if tensor is None else tensor.data_ptr()
