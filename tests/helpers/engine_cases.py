"""Cells, shapes and tensors on which engines are held against the reference."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import partial
from importlib.util import find_spec
from typing import TYPE_CHECKING

import torch

from cellzoo.cells.graph import HIDDEN_WIDTH
from cellzoo.errors import CellError
from cellzoo.runtime import prepare
from cellzoo.runtime.native.binding import INSTRUCTION_SETS, is_available, load
from cellzoo.runtime.native.engine import NativeRuntime
from cellzoo.runtime.reference import ReferenceRuntime

if TYPE_CHECKING:
    import random

TOLERANCES = {torch.float64: 1e-12, torch.float32: 1e-5}
# Rounding that an engine cannot be blamed for: some steps of each input's own precision.
_ROUNDING_STEPS = 20


def instruction_sets():
    """The instruction sets of the native engine that this machine has; none where it was not built."""
    return (
        [name for name, number in INSTRUCTION_SETS.items() if load().cellzoo_lanes(number, 0)]
        if is_available()
        else []
    )


def engines():
    """Name -> what prepares the engine for a cell: all engines here but the reference."""
    found = {f"native-{name}": partial(NativeRuntime, instruction_set=name) for name in instruction_sets()}
    if find_spec("cellzoo.runtime.torch_engine") is not None:
        found["torch"] = partial(prepare, "torch")
    return found


ENGINES = engines()


@dataclass(frozen=True)
class Case:
    """A shape, and what is asked for.

    Attributes:
        input_size: E.
        hidden_size: H.
        batch_sizes: Rows at each step.
        reverse: The direction.
        masked_x: Whether there is a mask on x.
        masked_h: Whether there is a mask on hidden values.
        input_gradient: Whether x wants a gradient.
        state_gradient: Whether the initial states want gradients.
        frozen: One weight in so many wants no gradient; 0 for none.
        bias: Whether the biases are there.
        dtype: Of every tensor.
        seed: Of their numbers.
    """

    input_size: int = 5
    hidden_size: int = 7
    batch_sizes: tuple[int, ...] = (4, 3, 3, 1)
    reverse: bool = False
    masked_x: bool = False
    masked_h: bool = False
    input_gradient: bool = True
    state_gradient: bool = True
    frozen: int = 0
    bias: bool = True
    dtype: torch.dtype = torch.float64
    seed: int = 0


_SIZES = (1, 1, 2, 3, 5, 7, 8, 9, 15, 16, 17, 24, 31, 32, 33, 40, 63, 65, 80, 97)


def random_case(generator: random.Random, **fixed) -> Case:
    """Draw a case: sizes of 1 and around the sizes of vectors, packed or padded, and everything optional."""
    steps, batch = generator.choice((1, 2, 3, 4, 5, 8)), generator.choice((1, 1, 2, 3, 4, 7, 12, 17))
    sizes = [batch] * steps
    if generator.random() < 0.7:
        sizes = sorted((generator.randint(1, batch) for _ in range(steps)), reverse=True)
    drawn = {
        "input_size": generator.choice(_SIZES),
        "hidden_size": generator.choice(_SIZES),
        "batch_sizes": tuple(sizes),
        "reverse": generator.random() < 0.5,
        "masked_x": generator.random() < 0.4,
        "masked_h": generator.random() < 0.4,
        "input_gradient": generator.random() < 0.7,
        "state_gradient": generator.random() < 0.8,
        "frozen": generator.choice((0, 0, 0, 2, 3)),
        "bias": generator.random() < 0.8,
        "dtype": generator.choice(tuple(TOLERANCES)),
        "seed": generator.randrange(2**31),
    }
    return Case(**(drawn | fixed))


@dataclass(frozen=True)
class Tensors:
    """The tensors of a case."""

    inputs: torch.Tensor  # (N, E)
    states: dict[str, torch.Tensor]  # (B, H) or (B, E) each
    weights: dict[str, torch.Tensor]
    mask_x: torch.Tensor | None  # (B, E)
    mask_h: torch.Tensor | None  # (B, H)
    gradients: dict[str, torch.Tensor]  # of the outputs and of the final states

    def map(self, function) -> Tensors:
        """The tensors that `function` makes of those that are differentiated and of their gradients."""

        def each(tensors):
            return {name: function(tensor) for name, tensor in tensors.items()}

        return replace(
            self,
            inputs=function(self.inputs),
            states=each(self.states),
            weights=each(self.weights),
            mask_x=None if self.mask_x is None else self.mask_x.to(function(self.inputs).dtype),
            mask_h=None if self.mask_h is None else self.mask_h.to(function(self.inputs).dtype),
            gradients=each(self.gradients),
        )

    def leaves(self, case: Case) -> dict[str, torch.Tensor]:
        """Name -> tensor that wants a gradient."""
        found = {"x": self.inputs} if case.input_gradient else {}
        found |= self.states if case.state_gradient else {}
        kept = [name for index, name in enumerate(self.weights) if not case.frozen or index % case.frozen]
        return found | {f"weight {name}": self.weights[name] for name in kept}


def fitting(cell, case: Case) -> Case:
    """The case with E = H where the cell needs that, and with sizes that its heads divide."""
    if cell.heads > 1:
        sizes = (case.input_size, case.hidden_size)
        input_size, hidden_size = (-(-size // cell.heads) * cell.heads for size in sizes)
        case = replace(case, input_size=input_size, hidden_size=hidden_size)
    try:
        cell.sizes(input_size=case.input_size, hidden_size=case.hidden_size)
    except CellError:
        return replace(case, input_size=case.hidden_size)
    return case


def draw(cell, case: Case) -> Tensors:
    """Draw the tensors of a case, float64 with the precision of its dtype."""
    generator = torch.Generator().manual_seed(case.seed)

    def normal(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64).to(case.dtype).double()

    def mask(*shape):
        kept = torch.rand(*shape, generator=generator, dtype=torch.float64) > 0.4
        return (kept * (1 / 0.6)).to(case.dtype).double()

    rows, batch = sum(case.batch_sizes), max(case.batch_sizes)
    size = {HIDDEN_WIDTH: case.hidden_size}
    widths = {state.name: size.get(state.width, case.input_size) for state in cell.states}
    shapes = cell.parameter_shapes(input_size=case.input_size, hidden_size=case.hidden_size, bias=case.bias)
    return Tensors(
        normal(rows, case.input_size),
        {name: normal(batch, width) for name, width in widths.items()},
        {
            name: (normal(*shape) / (2 * math.sqrt(shape[1]) if len(shape) == 2 else 2)).to(case.dtype).double()
            for name, shape in shapes.items()
        },
        mask(batch, case.input_size) if case.masked_x else None,
        mask(batch, case.hidden_size) if case.masked_h else None,
        {
            "outputs": normal(rows, case.hidden_size),
            **{f"final {name}": normal(batch, width) for name, width in widths.items()},
        },
    )


def call(runtime, case: Case, tensors: Tensors):
    """Outputs and final states by name."""
    outputs, finals = runtime(
        tensors.inputs,
        case.batch_sizes,
        list(tensors.states.values()),
        tensors.weights,
        reverse=case.reverse,
        mask_x=tensors.mask_x,
        mask_h=tensors.mask_h,
    )
    return {"outputs": outputs} | {
        f"final {name}": final for name, final in zip(tensors.states, finals, strict=True)
    }


def results(runtime, case: Case, tensors: Tensors, dtype: torch.dtype) -> dict[str, torch.Tensor]:
    """Outputs and final states of training and of inference, and all gradients, by name."""
    own = tensors.map(lambda tensor: tensor.detach().to(dtype, copy=True))
    leaves = own.leaves(case)
    for leaf in leaves.values():
        leaf.requires_grad_()
    given = call(runtime, case, own)
    for name, value in given.items():
        assert value.dtype == dtype, (name, value.dtype)
    with torch.no_grad():
        inferred = call(runtime, case, own)
    found = {name: value.detach() for name, value in given.items()}
    found |= {f"inferred {name}": value for name, value in inferred.items()}
    pairs = [(value, own.gradients[name]) for name, value in given.items() if value.requires_grad]
    if leaves and pairs:
        values, gradients = zip(*pairs, strict=True)
        sources = list(leaves.values())
        found_gradients = torch.autograd.grad(
            values, sources, gradients, allow_unused=True, materialize_grads=True
        )
        found |= {f"gradient of {name}": each for name, each in zip(leaves, found_gradients, strict=True)}
    return found


def hold(cell, case: Case, names=None, *, tensors=None, tolerance=None, rounding=False):
    """Hold engines against the reference.

    Args:
        cell: The cell.
        case: What is asked for.
        names: Which engines; all of them if None.
        tensors: Of the case; drawn if None.
        tolerance: As in `assert_agrees`.
        rounding: As in `assert_agrees`.
    """
    case = fitting(cell, case)
    tensors = tensors or draw(cell, case)
    expected = results(ReferenceRuntime(cell), case, tensors, torch.float64)
    for name in names or ENGINES:
        runtime = ENGINES[name](cell)
        try:
            assert_agrees(runtime, cell, case, tensors, expected, tolerance=tolerance, rounding=rounding)
        except Exception as error:
            error.add_note(f"engine {name}")
            raise


def assert_agrees(runtime, cell, case: Case, tensors: Tensors, expected, *, tolerance=None, rounding=False):
    """Hold an engine against the reference's results in float64.

    Args:
        runtime: The engine, prepared for the cell.
        cell: The cell.
        case: What is asked for.
        tensors: Of the case.
        expected: Results of the reference in float64.
        tolerance: Of every tensor, relative to its largest number and at least to 1.
        rounding: Whether the cell may be such that rounding changes the results by more than that: a
            quotient by almost 0, the derivative of relu at almost 0. What the reference itself does to
            inputs changed in their last digits is then allowed, too.
    """
    found = results(runtime, case, tensors, case.dtype)
    assert_results(found, cell, case, tensors, expected, tolerance=tolerance, rounding=rounding)


def assert_results(found, cell, case: Case, tensors: Tensors, expected, *, tolerance=None, rounding=False):
    """Hold results against the reference's; arguments as in `assert_agrees`."""
    tolerance = tolerance or TOLERANCES[case.dtype]
    assert set(found) == set(expected), set(found) ^ set(expected)
    wrong = _wrong(found, expected, dict.fromkeys(found, 0.0), tolerance)
    if wrong and rounding:
        wrong = _wrong(found, expected, _rounding(cell, case, tensors, expected), tolerance)
    assert not wrong, f"{cell.name or cell.hash}, {case}: {wrong}\n{cell.to_json()}"


def _wrong(found, expected, noise, tolerance):
    """Name -> largest error, of the tensors that are not as expected."""
    wrong = {}
    for name, value in expected.items():
        assert found[name].shape == value.shape, (name, found[name].shape, value.shape)
        error = _distance(found[name], value)
        finite = value[value.isfinite()]
        scale = max(1.0, finite.abs().max().item()) if finite.numel() else 1.0
        if not (error <= tolerance * scale + noise[name]).all():
            wrong[name] = error.max().item()
    return wrong


def _rounding(cell, case: Case, tensors: Tensors, expected):
    """Name -> how much each number moves when those that go in move by a last digit."""
    reference = ReferenceRuntime(cell)
    generator = torch.Generator().manual_seed(case.seed)
    step = torch.finfo(case.dtype).eps

    def moved(tensor):
        return tensor * (1 + step * torch.randn(tensor.shape, generator=generator, dtype=torch.float64))

    noise = dict.fromkeys(expected, 0.0)
    trials = [results(reference, case, tensors.map(moved), torch.float64) for _ in range(4)]
    trials.append(results(reference, case, tensors, case.dtype))
    for trial in trials:
        for name, value in expected.items():
            noise[name] = max(noise[name], _ROUNDING_STEPS * _distance(trial[name], value).amax().item())
    return noise


def _distance(found, expected):
    """Of each number: infinite where just one is NaN or infinite, 0 where both are alike."""
    same = (found == expected) | (found.isnan() & expected.isnan())
    return torch.where(same, 0.0, (found.double() - expected).abs().nan_to_num(nan=math.inf))
