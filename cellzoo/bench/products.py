"""The bare matrix products of a pass, by torch.mm and by the best that is there.

This is the floor below any engine: it does no elementwise work, keeps nothing, and joins products as far as
the graph allows (`cellzoo.bench.work.product_groups`). Forward, at every step, the product of each value with
its matrices; backward, at every step, the gradients of the results with the same matrices; and the gradients
of the matrices as one product each over all steps. Matrices are packed anew in each pass, because training
changes them.
"""

from __future__ import annotations

import time
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import torch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from torch import Tensor

    from cellzoo.bench.work import ProductGroup

# Rows of a weight gradient that are multiplied at a time by the method that goes through them in parts.
PART = 512
_TRIALS, _TRIAL_STEPS = 2, 8
_PACK = -1


class Multiplication(Protocol):
    """A way to multiply: A (m, k) @ W (n, k)^T."""

    name: str

    def applies(self, dtype: torch.dtype, inner: int) -> bool:
        """Whether it takes values of this type, and is worth a trial at k = `inner`."""
        ...

    def pack(self, weight: Tensor, rows: int) -> Any:
        """Prepare W (n, k), of any strides, for A with `rows` rows."""
        ...

    def multiply(self, a: Tensor, packed: Any, out: Tensor) -> Tensor:
        """Multiply A (m, k), of any strides; gives the result (m, n), which may be in `out`."""
        ...


class TorchProduct:
    """torch.mm, into a tensor that is there."""

    name = "torch.mm"

    def applies(self, dtype: torch.dtype, inner: int) -> bool:
        """Always."""
        return True

    def pack(self, weight: Tensor, rows: int) -> Tensor:
        """Transpose, without a copy."""
        return weight.T

    def multiply(self, a: Tensor, packed: Tensor, out: Tensor) -> Tensor:
        """Multiply."""
        return torch.mm(a, packed, out=out)


class TorchProductInParts(TorchProduct):
    """torch.mm in parts of k, which stay in the cache."""

    name = f"torch.addmm in parts of {PART}"

    def applies(self, dtype: torch.dtype, inner: int) -> bool:
        """Where there are several parts."""
        return inner > PART

    def multiply(self, a: Tensor, packed: Tensor, out: Tensor) -> Tensor:
        """Multiply part by part."""
        for index, (part, factor) in enumerate(zip(a.split(PART, dim=1), packed.split(PART), strict=True)):
            out.addmm_(part, factor, beta=1 if index else 0)
        return out


class OneDnnProduct:
    """oneDNN's linear operator on a packed matrix, which torch's compiler uses for frozen weights."""

    name = "oneDNN packed"

    def applies(self, dtype: torch.dtype, inner: int) -> bool:
        """Float32, where torch was built with oneDNN and has the operators, which are not public."""
        return (
            dtype == torch.float32
            and torch.backends.mkldnn.is_available()
            and hasattr(torch.ops.mkldnn, "_linear_pointwise")
            and hasattr(torch.ops.mkldnn, "_reorder_linear_weight")
        )

    def pack(self, weight: Tensor, rows: int) -> Tensor:
        """Pack; a transposed matrix is copied first, which is quicker than packing it as it is."""
        packed: Tensor = torch.ops.mkldnn._reorder_linear_weight(weight.contiguous(), rows)
        return packed

    def multiply(self, a: Tensor, packed: Tensor, out: Tensor) -> Tensor:
        """Multiply into a tensor of its own: there is no form with `out`."""
        product: Tensor = torch.ops.mkldnn._linear_pointwise(a, packed, None, "none", [], "")
        return product


TORCH = TorchProduct()
METHODS: tuple[Multiplication, ...] = (TORCH, TorchProductInParts(), OneDnnProduct())


@dataclass(eq=False)
class _Product:
    """One product at each of its steps: a_t @ weight^T.

    Attributes:
        factors: a_t (m, k) of each step.
        weight: (n, k), of any strides.
        results: Where a_t's result (m, n) goes.
        method: How it is done.
        packed: The weight as the method wants it.
    """

    factors: Sequence[Tensor]
    weight: Tensor
    results: Sequence[Tensor]
    method: Multiplication
    packed: Any = None

    def do(self, step: int) -> None:
        """Do one step, or pack."""
        if step == _PACK:
            self.packed = self.method.pack(self.weight, self.factors[0].size(0))
        else:
            self.method.multiply(self.factors[step], self.packed, self.results[step])


class Products:
    """The products of one pass.

    Args:
        groups: As `product_groups` gives them, at least one.
        training: Whether those of the backward pass are among them.
        dtype: Of all values.
        methods: To choose from; the first must always apply.
        clock: Seconds, to choose by.

    Attributes:
        chosen: Source -> the methods of its products: forward, and in training backward (the gradient of the
            source) and weights (the gradient of the matrices).
    """

    def __init__(
        self,
        groups: Sequence[ProductGroup],
        *,
        training: bool,
        dtype: torch.dtype,
        methods: Sequence[Multiplication] = METHODS,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        products: dict[str, dict[str, _Product]] = {"forward": {}, "backward": {}, "weights": {}}
        generator = torch.Generator().manual_seed(0)

        def draw(*shape: int) -> Tensor:
            return torch.randn(*shape, dtype=dtype, generator=generator)

        for group in groups:
            rows = group.rows * group.times
            weight, source = draw(group.outer, group.inner), draw(rows, group.inner)
            # The results; their gradients lie in their place.
            delta = draw(rows, group.outer)
            deltas = delta.split(group.rows)
            products["forward"][group.source] = _Product(source.split(group.rows), weight, deltas, methods[0])
            if training:
                source_gradients = [draw(group.rows, group.inner)] * group.times
                products["backward"][group.source] = _Product(deltas, weight.T, source_gradients, methods[0])
                results = [draw(group.outer, group.inner)]
                products["weights"][group.source] = _Product([delta.T], source.T, results, methods[0])
        forward, backward, weights = (list(products[kind].values()) for kind in products)
        self._phases = (forward, backward[::-1], weights)
        if len(methods) > 1:
            self._choose(methods, dtype, clock)
        self.chosen = {
            group.source: {kind: found[group.source].method.name for kind, found in products.items() if found}
            for group in groups
        }

    def run(self) -> None:
        """Do all products of the pass, in the order in which an engine has to."""
        for product, step in self._order():
            product.do(step)

    def _order(self, most_steps: int | None = None) -> Iterator[tuple[_Product, int]]:
        for products in self._phases:
            stepwise = [product for product in products if len(product.factors) > 1]
            for product in products:
                yield product, _PACK
            for product in products:
                if len(product.factors) == 1:
                    yield product, 0
            for step in range(len(stepwise[0].factors) if stepwise else 0)[:most_steps]:
                for product in stepwise:
                    yield product, step

    def _choose(
        self, methods: Sequence[Multiplication], dtype: torch.dtype, clock: Callable[[], float]
    ) -> None:
        """Give each product the method that is the fastest for it, amid the other products of a pass."""
        every = [product for phase in self._phases for product in phase]
        best: dict[_Product, list[float]] = {product: [float("inf")] * len(methods) for product in every}
        for trial in range(_TRIALS + 1):
            for index, method in enumerate(methods):
                for product in every:
                    applies = method.applies(dtype, product.weight.size(1))
                    product.method = method if applies else methods[0]
                seconds = self._time(clock)
                # The first trial warms up.
                for product in every if trial else ():
                    best[product][index] = min(best[product][index], seconds[product])
        for product, found in best.items():
            method = methods[found.index(min(found))]
            applies = method.applies(dtype, product.weight.size(1))
            product.method = method if applies else methods[0]

    def _time(self, clock: Callable[[], float]) -> dict[_Product, float]:
        """Seconds of each product in a pass, from its packing and some of its steps."""
        seconds: dict[_Product, float] = defaultdict(float)
        for product, step in self._order(_TRIAL_STEPS):
            steps = len(product.factors)
            begin = clock()
            product.do(step)
            weight = 1.0 if step == _PACK else steps / min(steps, _TRIAL_STEPS)
            seconds[product] += (clock() - begin) * weight
        return seconds
