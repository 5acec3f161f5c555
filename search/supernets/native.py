"""The engine `native`: a supernet's plan, run by cellzoo's compiled library."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from cellzoo.notations.ess import DROP
from cellzoo.notations.steps.graph import NONE
from cellzoo.runtime.native.call import PreparedPlan, check_tensors
from cellzoo.runtime.plan import plan_graph
from cellzoo.runtime.program import NormKind
from search.supernets.gate_graph import existence, seen_after
from search.supernets.graph import MIXED, SCALE, SHIFT, Outline, Term, supernet_graph
from search.supernets.layout import CELL, GATES

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from search.supernets.layout import Layout
    from search.supernets.normalisation import SharedStatistics


def applies(
    layout: Layout, inputs: Tensor, batch_sizes: Sequence[int], statistics: SharedStatistics | None
) -> bool:
    """Whether the engine can run a call.

    Not with operations that the mixture instruction lacks; nor does it normalise the single row that the
    longest sequence of a packed batch may end in.
    """
    return (
        set(layout.operations) <= {NONE, *MIXED}
        and (not layout.delay or set(layout.past_operations) <= {DROP, *MIXED})
        and inputs.device.type == "cpu"
        and inputs.dtype in (torch.float32, torch.float64)
        and not torch.is_autocast_enabled("cpu")
        and not (statistics is not None and statistics.is_by_batch and min(batch_sizes) == 1)
    )


class NativeEngine:
    """Runs a supernet by the compiled library. See `search.supernets.engine.Engine` for the call."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout

    def __call__(
        self,
        inputs: Tensor,
        batch_sizes: Sequence[int],
        states: Sequence[Tensor],
        weights: Mapping[str, Tensor],
        mixtures: Mapping[str, Tensor],
        statistics: SharedStatistics | None,
        *,
        reverse: bool = False,
        mask_x: Tensor | None = None,
        mask_h: Tensor | None = None,
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Run the supernet as `Engine` says."""
        terms = tuple(self._terms(mixtures[CELL]))
        parts = dict(self._parts(weights, terms))
        normalisation = "none"
        if statistics is not None:
            normalisation = "batch" if statistics.is_by_batch else "running"
            parts |= {} if statistics.is_by_batch else _running(statistics)
        tensors = [inputs, *states, *mixtures.values(), *parts.values()]
        check_tensors(tensors)
        prepared = _prepare(
            Outline(self.layout, terms, normalisation, mask_x is not None, mask_h is not None),
            training=torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors),
            input_gradient=inputs.requires_grad,
            input_size=inputs.size(1),
            hidden_size=states[0].size(1),
        )
        moments = None
        if statistics is not None and statistics.training:
            norms = sum(kernel.norm is not NormKind.NONE for kernel in prepared.plan.forward_step)
            moments = inputs.new_empty(norms, len(batch_sizes), 2, states[0].size(1))
        output, final = prepared(
            inputs,
            batch_sizes,
            self._carried(states, inputs),
            parts,
            reverse=reverse,
            mask_x=mask_x,
            mask_h=mask_h,
            parameters=_parameters(mixtures, terms, self.layout),
            norm_statistics=moments,
        )
        if statistics is not None and moments is not None:
            rows = torch.tensor(batch_sizes, dtype=moments.dtype)
            statistics.absorb(moments.flip(1) if reverse else moments, rows.flip(0) if reverse else rows)
        if not self.layout.delay:
            return output, final
        return output, (*final[: 2 * self.layout.delay], seen_after(states[-1], batch_sizes))

    def _carried(self, states: Sequence[Tensor], inputs: Tensor) -> list[Tensor]:
        """The plan's states."""
        if not self.layout.delay:
            return list(states)
        *past, seen = states
        return [*past, *existence(self.layout, seen, inputs.size(1), past[0].size(1))]

    def _terms(self, mixture: Tensor) -> Iterator[Term]:
        """What is computed: everything while the mixture learns, what has a share otherwise."""
        columns = {op: index for index, op in enumerate(self.layout.operations) if op != NONE}
        offered = tuple(columns.get(op) for op in MIXED)
        used = None if mixture.requires_grad else (mixture != 0).tolist()
        for node in range(1, self.layout.nodes + 1):
            for source, row in enumerate(self.layout.rows(node)):
                for weight, mixed in self._products(node, source, offered):
                    if used is None or any(used[row][column] for column in mixed if column is not None):
                        yield Term(node, source, weight, mixed)

    def _products(
        self, node: int, source: int, offered: tuple[int | None, ...]
    ) -> Iterator[tuple[str, tuple[int | None, ...]]]:
        """The weights of an edge, and which operations follow from each."""
        if self.layout.sharing != "operation":
            yield f"w{node}" + (f".{source}" if self.layout.sharing == "edge" else ""), offered
            return
        for place, column in enumerate(offered):
            if column is not None:
                alone = tuple(column if index == place else None for index in range(len(offered)))
                yield f"w{node}.{source}.{self._rank(column)}", alone

    def _rank(self, column: int) -> int:
        """Place of an operation among those that are not `none`."""
        return sum(op != NONE for op in self.layout.operations[:column])

    def _parts(self, weights: Mapping[str, Tensor], terms: Sequence[Term]) -> Iterator[tuple[str, Tensor]]:
        """The weights as the graph names them, each (out, in)."""
        for source in ("x", "h"):
            yield from zip(
                _halves(self.layout, "0_" + source), self._split(weights[f"w0_{source}"]), strict=True
            )
        for name in dict.fromkeys(term.weight for term in terms):
            key, *indices = name.split(".")
            matrix = weights[key]
            for index in indices:
                matrix = matrix[int(index)]
            halves = ("c", "u") if self.layout.highway else ("u",)
            yield from zip((f"{name}.{half}" for half in halves), self._split(matrix), strict=True)
        for name, weight in weights.items():
            if name.startswith(GATES):
                yield name, weight.t() if weight.dim() == 2 else weight

    def _split(self, matrix: Tensor) -> tuple[Tensor, ...]:
        """(in, 2 H) or (in, H) into matrices (H, in)."""
        return tuple(part.t() for part in matrix.chunk(2 if self.layout.highway else 1, dim=1))


def _halves(layout: Layout, suffix: str) -> list[str]:
    return [f"c{suffix}", f"u{suffix}"] if layout.highway else [f"u{suffix}"]


def _running(statistics: SharedStatistics) -> dict[str, Tensor]:
    """Normalisation by running statistics as a scale and a shift, each (H,)."""
    scale = (statistics.running_var + statistics.EPSILON).rsqrt()
    return {SCALE: scale, SHIFT: -statistics.running_mean * scale}


def _parameters(mixtures: Mapping[str, Tensor], terms: Sequence[Term], layout: Layout) -> Tensor:
    """Four shares and their sum for every term and every step back of a gate, (5 * (terms + 2 m),)."""
    cell = mixtures[CELL]
    width = cell.size(1)
    places = [
        None if column is None else layout.rows(term.node)[term.source] * width + column
        for term in terms
        for column in term.operations
    ]
    if layout.delay:
        past = {op: column for column, op in enumerate(layout.past_operations)}
        places += [
            cell.numel() + row * len(past) + past[op] if op in past else None
            for row in range(2 * layout.delay)
            for op in MIXED
        ]
    groups = [mixtures[group].flatten() for group in layout.mixture_shapes()]
    flat = torch.cat([*groups, cell.new_zeros(1)])  # the last stands for what is not offered
    absent = flat.numel() - 1
    index = [absent if place is None else place for place in places]
    shares = flat[torch.tensor(index, device=flat.device, dtype=torch.long)].view(-1, len(MIXED))
    return torch.cat([shares, shares.sum(1, keepdim=True)], dim=1).flatten()


@lru_cache(maxsize=64)
def _prepare(
    outline: Outline, *, training: bool, input_gradient: bool, input_size: int, hidden_size: int
) -> PreparedPlan:
    plan = plan_graph(supernet_graph(outline), training=training, input_gradient=input_gradient)
    return PreparedPlan(plan, input_size=input_size, hidden_size=hidden_size)
