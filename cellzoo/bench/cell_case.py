"""What is compared at one cell and shape: loop, engines, torch's own layers, and bare products."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from cellzoo.bench.candidate import Candidate
from cellzoo.bench.loop import DartsLoop, build_loop, darts_genotype
from cellzoo.bench.products import METHODS, TORCH, Products
from cellzoo.bench.shapes import Shape
from cellzoo.bench.work import pass_flops, product_groups, products_flops
from cellzoo.catalog import load
from cellzoo.cells.cell import Cell
from cellzoo.layer import CellRNN
from cellzoo.notations import darts
from cellzoo.runtime import RUNTIMES

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


LOOP = "loop"
TORCH_LSTM, TORCH_GRU = "nn.LSTM", "nn.GRU"
TORCH_PRODUCTS, BEST_PRODUCTS = "torch.mm products", "best products"
PRODUCTS = (TORCH_PRODUCTS, BEST_PRODUCTS)
BASELINES = (LOOP, TORCH_LSTM, TORCH_GRU, *PRODUCTS)
ENGINES = tuple(name for name in RUNTIMES if name != "auto")
_LAYERS = {TORCH_LSTM: (nn.LSTM, "lstm"), TORCH_GRU: (nn.GRU, "gru")}


@dataclass(frozen=True)
class CellCase:
    """One cell at one shape, trained or only run.

    Attributes:
        cell: The cell.
        shape: The sizes.
        training: Whether a pass has its backward pass: a training step without the optimizer.
        dtype: One of `DTYPES`.

    Raises:
        CellError: The cell needs E = H, and the shape's differ.
    """

    cell: Cell
    shape: Shape
    training: bool
    dtype: str = "float32"

    def __post_init__(self) -> None:
        self.cell.sizes(input_size=self.shape.input_size, hidden_size=self.shape.hidden_size)

    @property
    def flops(self) -> int:
        """Floating-point operations of a pass."""
        return pass_flops(self.cell, self.shape, training=self.training)

    def __str__(self) -> str:
        kind = "training step" if self.training else "inference"
        return f"{self.cell.name or 'cell'}, shape {self.shape}, {kind}, {self.dtype}"

    def candidates(self, engines: Sequence[str]) -> list[str]:
        """Name what is compared; see `candidate_names`."""
        return candidate_names(self, engines)

    def build(self, name: str, clock: Callable[[], float]) -> Candidate:
        """Build a candidate; see `build_candidate`."""
        return build_candidate(self, name, clock)

    def describe(self) -> dict[str, Any]:
        """Say what it is."""
        return {
            "cell": self.cell.name,
            "cell_hash": self.cell.hash,
            "shape": asdict(self.shape),
            "pass": "training" if self.training else "inference",
            "dtype": self.dtype,
        }

    def recipe(self) -> tuple[str, dict[str, Any]]:
        """What builds it again."""
        arguments = {
            "cell": self.cell.to_json(),
            "shape": asdict(self.shape),
            "training": self.training,
            "dtype": self.dtype,
        }
        return "cellzoo.bench.cell_case:rebuild_cell_case", arguments

    def tiny(self) -> CellCase:
        """The same at sizes that every cell can be built with, because they are equal."""
        return CellCase(self.cell, Shape("tiny", 2, 2, 8, 8), self.training, self.dtype)


def rebuild_cell_case(cell: str, shape: dict[str, Any], *, training: bool, dtype: str) -> CellCase:
    """Build the case that `CellCase.recipe` describes."""
    return CellCase(Cell.from_json(cell), Shape(**shape), training, dtype)


def candidate_names(case: CellCase, engines: Sequence[str]) -> list[str]:
    """Name the candidates: the loop, the engines, and the other baselines that the cell has a use for."""
    has_products = bool(product_groups(case.cell, case.shape))
    return [LOOP, *engines, *(name for name in BASELINES[1:] if has_products or name not in PRODUCTS)]


def build_candidate(case: CellCase, name: str, clock: Callable[[], float] = time.perf_counter) -> Candidate:
    """Build a candidate: one layer in one direction, weights and inputs the same for all.

    Gradients of weights and of x are taken, as in a layer that has another below it. Initial states are zero.

    Args:
        case: What is run.
        name: `LOOP`, an engine, or one of the other `BASELINES`.
        clock: Seconds, to choose the best products by.

    Raises:
        CellzooError: An engine cannot run the case.
    """
    if name in PRODUCTS:
        return _products(case, name, clock)
    shape, dtype = case.shape, _dtype(case)
    if name in _LAYERS:
        layer, cell_name = _LAYERS[name]
        torch_layer = layer(shape.input_size, shape.hidden_size, dtype=dtype)
        _draw_weights(torch_layer, shape)
        flops = pass_flops(load(cell_name), shape, training=case.training)
        return _sequence(case, name, lambda x: torch_layer(x)[0], list(torch_layer.parameters()), flops)
    cell = _with_known_names(case.cell)
    rnn = CellRNN(
        cell,
        shape.input_size,
        shape.hidden_size,
        dtype=dtype,
        runtime="reference" if name == LOOP else name,
    )
    rnn.reset_parameters(torch.Generator().manual_seed(0))
    if name == LOOP:
        sizes = {"input_size": shape.input_size, "hidden_size": shape.hidden_size}
        loop = build_loop(cell, rnn.direction(0).weights, **sizes)
        form = "as in the DARTS code" if isinstance(loop, DartsLoop) else "node by node"
        return _sequence(case, name, loop, loop.weights, case.flops, {"form": form})
    return _sequence(case, name, lambda x: rnn(x)[0], list(rnn.parameters()), case.flops)


def _dtype(case: CellCase) -> torch.dtype:
    found: torch.dtype = getattr(torch, case.dtype)
    return found


def _with_known_names(cell: Cell) -> Cell:
    """The same graph with the names of weights that the DARTS loop expects, where there is one."""
    genotype = darts_genotype(cell)
    return cell if genotype is None else darts.parse(genotype, cell.name)


def _draw_weights(layer: nn.Module, shape: Shape) -> None:
    generator = torch.Generator().manual_seed(0)
    bound = shape.hidden_size**-0.5
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.uniform_(-bound, bound, generator=generator)


def _sequence(
    case: CellCase,
    name: str,
    layer: Callable[[Tensor], Tensor],
    weights: Sequence[Tensor],
    flops: int,
    details: dict[str, Any] | None = None,
) -> Candidate:
    """Wrap what maps x (T, B, E) to outputs (T, B, H)."""
    shape, dtype = case.shape, _dtype(case)
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(shape.steps, shape.batch, shape.input_size, dtype=dtype, generator=generator)
    if not case.training:

        def infer() -> list[Tensor]:
            with torch.no_grad():
                return [layer(x)]

        return Candidate(name, flops, infer, details or {})
    gradient = torch.randn(shape.steps, shape.batch, shape.hidden_size, dtype=dtype, generator=generator)
    x.requires_grad_()

    def train() -> list[Tensor]:
        for tensor in (x, *weights):
            tensor.grad = None
        output = layer(x)
        output.backward(gradient)
        assert x.grad is not None  # noqa: S101 - every cell depends on x
        return [output.detach(), x.grad]

    return Candidate(name, flops, train, details or {})


def _products(case: CellCase, name: str, clock: Callable[[], float]) -> Candidate:
    groups = product_groups(case.cell, case.shape)
    methods = (TORCH,) if name == TORCH_PRODUCTS else METHODS
    products = Products(groups, training=case.training, dtype=_dtype(case), methods=methods, clock=clock)

    def run() -> list[Tensor]:
        products.run()
        return []

    flops = products_flops(groups, training=case.training)
    return Candidate(name, flops, run, {"methods": products.chosen})
