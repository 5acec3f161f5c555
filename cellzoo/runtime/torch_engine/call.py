"""One call of the engine: its tensors, and the computation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from cellzoo.runtime.torch_engine.execution import Execution
from cellzoo.runtime.torch_engine.memory import BatchMemory, Given
from cellzoo.runtime.torch_engine.operands import External

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor

    from cellzoo.runtime.torch_engine.compiled import CompiledPlan
    from cellzoo.runtime.torch_engine.order import Order


@dataclass(frozen=True)
class Arguments:
    """The tensors of a call. All but the masks are differentiable.

    Attributes:
        inputs: (N, E).
        parameters: Mixture parameters, or None.
        states: Initial states, each (B, width).
        weights: By the plan's index; None for an absent bias.
        masks: Of x (B, E) and of hidden values (B, H), or None.
    """

    inputs: Tensor
    parameters: Tensor | None
    states: tuple[Tensor, ...]
    weights: tuple[Tensor | None, ...]
    masks: tuple[Tensor | None, Tensor | None]

    def flat(self) -> tuple[Tensor | None, ...]:
        """All tensors as a flat tuple, masks last."""
        return (self.inputs, self.parameters, *self.states, *self.weights, *self.masks)

    @staticmethod
    def of(flat: Sequence[Tensor | None], states: int) -> Arguments:
        """The inverse of `flat`."""
        inputs = flat[0]
        assert inputs is not None  # noqa: S101 - the only one that is always there
        given = tuple(state for state in flat[2 : 2 + states] if state is not None)
        return Arguments(inputs, flat[1], given, tuple(flat[2 + states : -2]), (flat[-2], flat[-1]))


@dataclass(frozen=True)
class CallForm:
    """The computation of a call, without its tensors.

    Attributes:
        compiled: The compiled plan.
        order: Order of the steps in the forward pass.
        sizes: Width -> number of units.
        dtype: The dtype of the computation.
        input_gradient: Whether the gradient of x is wanted.
        moments: Whether the statistics of norms are wanted, as in `cellzoo.runtime.PlanRuntime`.
    """

    compiled: CompiledPlan
    order: Order
    sizes: Mapping[str, int]
    dtype: torch.dtype
    input_gradient: bool
    moments: bool

    def forward(self, arguments: Arguments) -> tuple[Execution, tuple[Tensor, ...]]:
        """Run the forward pass.

        Returns:
            The execution, for the backward pass; and outputs (N, H), final states, and moments if wanted.
        """
        flat = [None if value is None else value.to(self.dtype) for value in arguments.flat()]
        arguments = Arguments.of(flat, len(arguments.states))
        inputs = arguments.inputs
        outputs = inputs.new_empty(inputs.size(0), self.sizes[self.compiled.plan.output_width])
        rows = {External.INPUT: inputs, External.OUTPUT: outputs}
        given = Given(rows, arguments.states, arguments.weights, arguments.masks, arguments.parameters)
        given.moments = [] if self.moments else None
        memory = BatchMemory(self.compiled.plan, self.compiled.blocks, self.order, self.sizes, inputs)
        execution = Execution(self.compiled, memory, given)
        final = execution.forward()
        # The outputs refer to the execution through autograd, so it must not refer to them: that would be a
        # cycle.
        del rows[External.OUTPUT]
        if given.moments is not None:
            final.append(self._moments(given.moments, outputs))
            given.moments = None
        return execution, (outputs, *final)

    def backward(self, execution: Execution, gradients: Sequence[Tensor | None]) -> list[Tensor | None]:
        """Run the backward pass: from the gradients of the results of `forward` to those of the arguments."""
        outputs, *final = (None if value is None else value.to(self.dtype) for value in gradients)
        del final[len(self.compiled.plan.states) :]
        given, plan = execution.given, self.compiled.plan
        inputs = given.rows[External.INPUT]
        if outputs is None:
            outputs = inputs.new_zeros(inputs.size(0), self.sizes[plan.output_width])
        given.rows[External.OUTPUT_GRADIENT] = outputs
        if self.input_gradient:
            given.rows[External.INPUT_GRADIENT] = inputs.new_empty(inputs.shape)
        if given.parameters is not None:
            given.parameter_gradients = torch.zeros_like(given.parameters)
        states = execution.backward(final)
        given.reduce_lanes()
        weights = execution.weight_gradients()
        of_weights = (weights.get(index) for index in range(len(plan.weights)))
        of_inputs = given.rows.get(External.INPUT_GRADIENT)
        return [of_inputs, given.parameter_gradients, *states, *of_weights, None, None]

    def _moments(self, found: Sequence[tuple[Tensor, Tensor]], like: Tensor) -> Tensor:
        """The statistics of norms, found step by step, as (norms, S, 2, H)."""
        norms, several = len(self.compiled.plan.norms), sum(rows > 1 for rows in self.order.counts)
        if not found:
            return like.new_empty(norms, several, 2, like.size(1))
        steps = torch.cat([row for pair in found for row in pair]).view(several, norms, 2, like.size(1))
        return (steps.flip(0) if self.order.descending else steps).transpose(0, 1).contiguous()
