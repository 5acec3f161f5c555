"""Compiles a plan to lists of functions, once for each plan and set of weights."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from cellzoo.runtime.program import NormKind, Op
from cellzoo.runtime.torch_engine import elementwise, supernet
from cellzoo.runtime.torch_engine.blocks import Blocks
from cellzoo.runtime.torch_engine.gradients import (
    WeightProduct,
    delta_wishes,
    postpone_sums,
    weight_products,
)
from cellzoo.runtime.torch_engine.lanes import alike, neighbours, one_by_one
from cellzoo.runtime.torch_engine.merge import in_a_row, merge
from cellzoo.runtime.torch_engine.operands import MixtureParameters, Moments, ParameterLanes, Scratch, Total
from cellzoo.runtime.torch_engine.products import KernelProducts, MatMul, homes, wishes
from cellzoo.runtime.torch_engine.registers import Together, allocate
from cellzoo.runtime.torch_engine.simplify import simplify
from cellzoo.runtime.torch_engine.steps import REDUCTIONS, translate

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from cellzoo.runtime.program import Plan
    from cellzoo.runtime.torch_engine.elementwise import Action
    from cellzoo.runtime.torch_engine.operands import Operand, Register
    from cellzoo.runtime.torch_engine.steps import Body, Step


_FORWARD_LANES: dict[Op, tuple[Callable[..., Action], int]] = {
    Op.MIXTURE: (supernet.mixture_lanes, 4),
    Op.PARAMETER_SCALE: (supernet.parameter_scale_lanes, 1),
}
_BACKWARD_LANES: dict[Op, tuple[Callable[..., Action], int]] = {
    Op.MIXTURE_BACKWARD: (supernet.mixture_lanes_backward, 4),
    Op.PARAMETER_SCALE_BACKWARD: (supernet.parameter_scale_lanes_backward, 1),
}


@dataclass(frozen=True)
class Phase:
    """Functions that run in order, for every step or for every chunk of rows.

    Attributes:
        operands: The operands of the tensors that each function gets, by position.
        actions: The functions.
    """

    operands: tuple[Operand, ...]
    actions: tuple[Action, ...]


@dataclass(frozen=True)
class CompiledPlan:
    """The compiled form of a plan, which does not depend on the batch.

    Attributes:
        plan: The plan.
        blocks: Layout of the buffers.
        forward_input: Functions over all rows, before the steps.
        forward_step: Functions of a time step.
        backward_step: Functions of a time step of the backward pass.
        backward_input: Functions over all rows, after the steps of the backward pass.
        weight_products: Products that compute the gradients of matrices.
        sums: (vector or scalar weight, buffer): the buffer's sum over all rows is added to the weight's
            gradient.
    """

    plan: Plan
    blocks: Blocks
    forward_input: Phase
    forward_step: Phase
    backward_step: Phase
    backward_input: Phase
    weight_products: tuple[WeightProduct, ...]
    sums: tuple[tuple[int, int], ...]


@lru_cache(maxsize=128)
def compile_plan(plan: Plan, absent: frozenset[int], wanted: frozenset[int]) -> CompiledPlan:
    """Compile a plan. The result holds no tensors, so all layers and directions with the same plan share it.

    Args:
        plan: The plan.
        absent: Indices of biases that the layer does not have.
        wanted: Indices of weights whose gradients are wanted.
    """
    # Grouping equal operations pays off for supernets, which repeat them on many edges, but not for cells.
    has_mixtures = bool(plan.num_parameters)
    kernels = (plan.forward_input, plan.forward_step, plan.backward_step, plan.backward_input)
    bodies = []
    for of_phase in kernels:
        translated = [translate(plan, kernel, absent=absent, wanted=wanted) for kernel in of_phase]
        merged = merge(translated)
        bodies.append([simplify(body) for body in (in_a_row(merged) if has_mixtures else merged)])
    backward, sums = postpone_sums(plan, [*bodies[2], *bodies[3]])
    bodies[2:] = [backward[: len(bodies[2])], backward[len(bodies[2]) :]]
    gradients = [gradient for gradient in plan.weight_gradients if gradient.weight in wanted]
    asked = [wish for phase in bodies for body in phase for wish in wishes(body)]
    group = alike if has_mixtures else one_by_one
    lanes = [wish for phase in bodies for body in phase for wish in neighbours(group(body.steps, homes(body)))]
    blocks = Blocks(plan, [*asked, *lanes, *delta_wishes(plan, gradients)])
    phases = []
    for phase in bodies:
        writer = _Writer(plan, blocks, group)
        for body in phase:
            writer.kernel(body)
        phases.append(writer.finish())
    products = weight_products(plan, blocks, gradients)
    return CompiledPlan(plan, blocks, phases[0], phases[1], phases[2], phases[3], products, tuple(sums))


class _Writer:
    """Builds the functions of one phase."""

    def __init__(
        self,
        plan: Plan,
        blocks: Blocks,
        group: Callable[[Sequence[Step], Mapping[Register, Operand]], list[list[Step]]],
    ) -> None:
        self._plan = plan
        self._blocks = blocks
        self._group = group
        self._positions: dict[Operand, int] = {}
        self._actions: list[Action] = []

    def finish(self) -> Phase:
        """Build the phase."""
        return Phase(tuple(self._positions), tuple(self._actions))

    def kernel(self, body: Body) -> None:
        """Append one kernel."""
        if body.norm is NormKind.FORWARD:
            self._append(supernet.normalise, *body.norm_places, Moments())
            return
        if body.norm is NormKind.BACKWARD:
            self._append(supernet.normalise_backward, *body.norm_places)
            return
        products = KernelProducts(body, self._blocks)
        for call in products.calls:
            if isinstance(call, MatMul):
                self._product(call)
            else:
                self._step(call, body.width)
        for step in allocate(self._group(body.steps, products.places), body.width, self._blocks):
            if isinstance(step, Together):
                self._together(step)
            else:
                self._step(step, body.width)

    def _product(self, call: MatMul) -> None:
        places = (call.source, call.matrix, call.target)
        if call.init is None:
            self._append(elementwise.product, *places)
        elif call.init == call.target:
            self._append(elementwise.added_product, *places)
        else:
            self._append(elementwise.product_with_init, *places, call.init)

    def _step(self, step: Step, width: str) -> None:
        op, first = step.op, step.immediate
        if op in REDUCTIONS:
            self._append(elementwise.add_to_total, Total(first, width), step.args[0])
            return
        assert step.target is not None  # noqa: S101 - all others have one
        places = (step.target, *step.args)
        if op in elementwise.PLAIN:
            self._append(elementwise.PLAIN[op], *places)
        elif op is Op.BLEND_BACKWARD:
            self._append(elementwise.blend_backward, *places, Scratch(width, 1, 0, 1, "temporary"))
        elif op is Op.FILL:
            self._append(elementwise.zero, *places)
        elif op is Op.SCALE:
            self._actions.append(elementwise.scale(self._plan.constants[first], *map(self._position, places)))
        elif op is Op.MIXTURE:
            self._append(supernet.mixture, *places, MixtureParameters(first, 4))
        elif op is Op.MIXTURE_BACKWARD:
            gradient = MixtureParameters(first, 4, gradient=True)
            self._append(supernet.mixture_backward, *places, MixtureParameters(first, 4), gradient)
        elif op is Op.PARAMETER_SCALE:
            self._append(supernet.parameter_scale, *places, MixtureParameters(first, 1))
        elif op is Op.PARAMETER_SCALE_BACKWARD:
            gradient = MixtureParameters(first, 1, gradient=True)
            self._append(supernet.parameter_scale_backward, *places, MixtureParameters(first, 1), gradient)
        else:
            raise AssertionError(f"no function for {op!r}")

    def _together(self, together: Together) -> None:
        for parts, room in together.gathered:
            self._append(elementwise.gather, room, *parts)
        op, places = together.steps[0].op, (together.target, *together.args)
        firsts = tuple(step.immediate for step in together.steps)
        if op in elementwise.PLAIN:
            self._append(elementwise.PLAIN[op], *places)
        elif op is Op.BLEND_BACKWARD:
            self._append(elementwise.blend_backward_apart, *places)
        elif op is Op.SCALE:
            factor = self._plan.constants[firsts[0]]
            self._actions.append(elementwise.scale(factor, *map(self._position, places)))
        elif op in (Op.MIXTURE, Op.PARAMETER_SCALE):
            build, count = _FORWARD_LANES[op]
            self._append(build, *places, ParameterLanes(firsts, count))
        elif op in (Op.MIXTURE_BACKWARD, Op.PARAMETER_SCALE_BACKWARD):
            build, count = _BACKWARD_LANES[op]
            gradient = ParameterLanes(firsts, count, gradient=True)
            self._append(build, *places, ParameterLanes(firsts, count), gradient)
        else:
            raise AssertionError(f"no function for {op!r}")

    def _append(self, build: Callable[..., Action], *places: Operand) -> None:
        self._actions.append(build(*map(self._position, places)))

    def _position(self, operand: Operand) -> int:
        return self._positions.setdefault(operand, len(self._positions))
