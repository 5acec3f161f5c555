"""A supernet as plans, for every engine that runs plans."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from cellzoo.runtime import prepare_plans
from cellzoo.runtime.once import variant_of
from cellzoo.runtime.plan import plan_graph
from search.supernets.gate_graph import existence, seen_after
from search.supernets.graph import SCALE, SHIFT, GraphOutline, state_number, supernet_graph
from search.supernets.layout import CELL, GATES
from search.supernets.terms import computed_terms, layout_terms, slots

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from cellzoo.runtime.plan import Variant
    from cellzoo.runtime.program import Plan
    from search.supernets.layout import Layout, Normalisation
    from search.supernets.normalisation import SharedStatistics
    from search.supernets.runtime import SupernetCall
    from search.supernets.terms import Term

_MOST_PLANS = 128


class SupernetPlans:
    """The plans of one supernet, or of the part of it that has nonzero shares.

    Attributes:
        layout: The supernet.
        terms: The terms that are computed.
        normalisation: As in `GraphOutline`.
    """

    def __init__(self, layout: Layout, normalisation: Normalisation, terms: tuple[Term, ...]) -> None:
        self.layout = layout
        self.normalisation = normalisation
        self.terms = terms
        self._plans: dict[Variant, Plan] = {}
        self._places: dict[torch.device, list[Tensor]] = {}

    def __call__(self, variant: Variant) -> Plan:
        """The plan for a variant."""
        if variant not in self._plans:
            self._plans[variant] = plan_graph(
                supernet_graph(
                    GraphOutline(
                        self.layout, self.terms, self.normalisation, variant.masked_x, variant.masked_h
                    )
                ),
                training=variant.training,
                input_gradient=variant.input_gradient,
            )
        return self._plans[variant]

    def weights(self, given: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The weights under the names of the graph, each (out, in)."""
        return dict(self._weights(given))

    def parameters(self, mixtures: Mapping[str, Tensor]) -> Tensor:
        """The shares of each term, then those of each past step of both gates; each followed by their sum."""
        device = mixtures[CELL].device
        if device not in self._places:
            self._places[device] = [
                torch.tensor(places, dtype=torch.long, device=device).view(-1, width)
                for places, width in self._share_places()
            ]
        groups = [mixtures[group].flatten() for group in self.layout.mixture_shapes()]
        flat = torch.cat([*groups, groups[0].new_zeros(1)])  # the last is the share of absent operations
        parts = []
        for places in self._places[device]:
            shares = flat[places]  # (terms, operations)
            parts.append(torch.cat([shares, shares.sum(1, keepdim=True)], dim=1).flatten())
        return torch.cat(parts) if len(parts) > 1 else parts[0]

    def _share_places(self) -> Iterator[tuple[list[int], int]]:
        """Indices of shares in the concatenated mixtures, and their number per product: terms, then gates."""
        layout = self.layout
        rows, columns = layout.mixture_shapes()[CELL]
        absent = rows * columns + 2 * layout.delay * len(layout.past_operations)
        own, past = slots(layout.operations), slots(layout.past_operations)
        places = []
        for term in self.terms:
            first = layout.rows(term.node)[term.source] * columns
            offered = dict(term.operations)
            places += [first + offered[op] if op in offered else absent for op in own]
        yield places, len(own)
        if layout.delay:
            count = len(layout.past_operations)
            offered = {op: column for column, op in enumerate(layout.past_operations)}
            starts = range(rows * columns, absent, count)
            yield (
                [start + offered[op] if op in offered else absent for start in starts for op in past],
                len(past),
            )

    def _weights(self, given: Mapping[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
        halves = ("c", "u") if self.layout.highway else ("u",)
        for source in ("x", "h"):
            names = [f"{half}0_{source}" for half in halves]
            yield from zip(names, self._split(given[f"w0_{source}"]), strict=True)
        for name in dict.fromkeys(term.weight for term in self.terms):
            key, *indices = name.split(".")
            matrix = given[key]
            for index in indices:
                matrix = matrix[int(index)]
            yield from zip((f"{name}.{half}" for half in halves), self._split(matrix), strict=True)
        for name, weight in given.items():
            if name.startswith(GATES):
                yield name, weight.t() if weight.dim() == 2 else weight

    def _split(self, matrix: Tensor) -> tuple[Tensor, ...]:
        """Split (in, 2 H) or (in, H) into matrices (H, in)."""
        return tuple(part.t() for part in matrix.chunk(2 if self.layout.highway else 1, dim=1))


class PlannedSupernet:
    """Runs a supernet with an engine for plans; a `search.supernets.runtime.SupernetRuntime`.

    Args:
        layout: The supernet.
        engine: Name of the engine.
        precision: As in `cellzoo.runtime.prepare`.

    Raises:
        CellzooError: The engine is not available here.
    """

    def __init__(self, layout: Layout, engine: str, precision: str = "full") -> None:
        run = prepare_plans(engine, precision)
        assert run is not None  # noqa: S101 - otherwise `prepare` uses the reference
        self.layout = layout
        self._engine, self._precision = engine, precision
        self._run = run
        self._terms = tuple(layout_terms(layout))
        self._plans = lru_cache(_MOST_PLANS)(self._build)

    @property
    def ran(self) -> tuple[str, ...]:
        """The engines that ran the last call, in the order of its steps."""
        return self._run.ran

    def __call__(self, call: SupernetCall) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Run the supernet, see `SupernetRuntime`."""
        inputs, batch_sizes, statistics = call.inputs, call.batch_sizes, call.statistics
        normalisation: Normalisation = "none"
        running: dict[str, Tensor] = {}
        if statistics is not None:
            normalisation = "batch" if statistics.is_by_batch else "running"
            running = {} if statistics.is_by_batch else _running(statistics)
        plans = self._plans(normalisation, computed_terms(self.layout, self._terms, call.mixtures[CELL]))
        carried = self._carried(call.states, inputs)
        parts = plans.weights(call.weights) | running
        parameters = plans.parameters(call.mixtures)
        norms: tuple[str, ...] = ()
        moments = None
        if statistics is not None and statistics.training:
            learned = [*carried, *parts.values(), parameters]
            norms = plans(variant_of(self._engine, inputs, learned, call.mask_x, call.mask_h)).norms
            several = sum(rows > 1 for rows in batch_sizes)
            moments = carried[0].new_empty(len(norms), several, 2, carried[0].size(1))
        output, final = self._run(
            plans,
            inputs,
            batch_sizes,
            carried,
            parts,
            reverse=call.reverse,
            mask_x=call.mask_x,
            mask_h=call.mask_h,
            parameters=parameters,
            norm_statistics=moments,
        )
        if statistics is not None and moments is not None:
            # The plan may compute states in another order than their numbers.
            order = sorted(range(len(norms)), key=lambda index: state_number(norms[index]))
            rows = torch.tensor([rows for rows in batch_sizes if rows > 1], dtype=moments.dtype)
            moments, rows = moments[order], rows.to(moments.device)
            statistics.absorb(
                moments.flip(1) if call.reverse else moments, rows.flip(0) if call.reverse else rows
            )
        if not self.layout.delay:
            return output, final
        return output, (*final[: 2 * self.layout.delay], seen_after(call.states[-1], batch_sizes))

    def __deepcopy__(self, memo: dict[int, Any]) -> PlannedSupernet:
        """Return the same object: it only depends on the layout."""
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        """Prepare again when unpickled."""
        return PlannedSupernet, (self.layout, self._engine, self._precision)

    def _build(self, normalisation: Normalisation, used: tuple[int, ...]) -> SupernetPlans:
        return SupernetPlans(self.layout, normalisation, tuple(self._terms[index] for index in used))

    def _carried(self, states: Sequence[Tensor], inputs: Tensor) -> list[Tensor]:
        """The initial states of the plan."""
        if not self.layout.delay:
            return list(states)
        *past, seen = states
        return [*past, *existence(self.layout, seen, inputs.size(1), past[0].size(1))]


def _running(statistics: SharedStatistics) -> dict[str, Tensor]:
    """Normalisation by running statistics as a scale and a shift, each (H,)."""
    scale = (statistics.running_var + statistics.EPSILON).rsqrt()
    return {SCALE: scale, SHIFT: -statistics.running_mean * scale}
