"""Scheduling: which values a kernel computes, in which order, and which are kept for the backward pass."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cellzoo.cells.graph import INPUT
from cellzoo.cells.ops import LINEAR
from cellzoo.runtime.graph import MASK, NORM, Value
from cellzoo.runtime.rules import CHEAP, RESULT, gradient_needs

if TYPE_CHECKING:
    from cellzoo.runtime.graph import Graph


@dataclass(frozen=True)
class Group:
    """Values that one kernel computes: products, and elementwise values that follow from them.

    Attributes:
        early: Whether it belongs to the input phase.
        level: Length of the longest chain of products or norms that it depends on.
        values: In topological order.
        sources: x or states that are read elementwise; the group's backward kernel computes their gradients.
        width: Width of all values.
    """

    early: bool
    level: int
    values: tuple[Value, ...]
    sources: tuple[str, ...]
    width: str

    @property
    def label(self) -> str:
        """The names of its values, for display."""
        return " ".join(value.name for value in self.values) or " ".join(self.sources)


class Schedule:
    """The groups of a graph, and properties of its values.

    Attributes:
        graph: The graph.
        values: Name -> value.
        groups: In the order of execution, those of the input phase first.
        readers: Name -> the linear values that read it.
    """

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.values = {value.name: value for value in graph.values}
        self.readers: dict[str, list[Value]] = {}
        for value in graph.values:
            if value.op == LINEAR:
                for source in dict.fromkeys(value.inputs):
                    self.readers.setdefault(source, []).append(value)
        self.groups = self._group(self._levels())

    def is_early(self, name: str) -> bool:
        """Whether a value belongs to the input phase."""
        return name in self.graph.input_phase

    def is_shared(self, name: str) -> bool:
        """Whether a product, or a kernel other than its own, reads a value."""
        return name in self._read_elsewhere

    @property
    def _sources(self) -> dict[str, str]:
        return {INPUT: self.graph.input_width, **self.graph.states}

    def _levels(self) -> dict[str, int]:
        levels = dict.fromkeys(self._sources, 0)
        for value in self.graph.values:
            if value.is_leaf:
                continue
            same_phase = [
                levels[source] + (source in self.values and self.values[source].op == NORM)
                for source in value.inputs
                if source in levels and self.is_early(source) == self.is_early(value.name)
            ]
            own = value.op in (LINEAR, NORM)
            levels[value.name] = max(same_phase, default=0) + own
        return levels

    def _group(self, levels: dict[str, int]) -> list[Group]:
        parent = {name: name for name in levels}

        def root(name: str) -> str:
            while parent[name] != name:
                parent[name] = parent[parent[name]]
                name = parent[name]
            return name

        for value in self.graph.values:
            if value.is_leaf or value.op in (LINEAR, NORM):
                continue
            for source in value.inputs:
                if (
                    source in levels
                    and levels[source] == levels[value.name]
                    and self.is_early(source) == self.is_early(value.name)
                ):
                    parent[root(value.name)] = root(source)
        members: dict[str, list[str]] = {}
        for name in levels:
            members.setdefault(root(name), []).append(name)
        groups = [
            Group(
                self.is_early(names[0]),
                levels[names[0]],
                tuple(self.values[name] for name in names if name in self.values),
                tuple(name for name in names if name not in self.values),
                self._sources[names[0]] if names[0] in self._sources else self.values[names[0]].width,
            )
            for names in members.values()
        ]
        groups.sort(key=lambda group: (not group.early, group.level))
        position = {
            name: index
            for index, group in enumerate(groups)
            for name in (*group.sources, *(value.name for value in group.values))
        }
        self._read_elsewhere = {
            source
            for value in self.graph.values
            for source in value.sources
            if source in position and (value.op in (LINEAR, NORM) or position[source] != position[value.name])
        }
        return groups

    def differentiable(self, *, input_gradient: bool) -> set[str]:
        """Names that depend on a weight, on a state, or, with `input_gradient`, on x."""
        found = {*self.graph.states, *([INPUT] if input_gradient else [])}
        for value in self.graph.values:
            if (
                value.weights
                or value.op in ("mixture", "parameter_scale")
                or any(source in found for source in value.inputs)
            ):
                found.add(value.name)
        return found

    def kept(self, *, input_gradient: bool) -> set[str]:
        """Names of the values that must be kept at every row for the backward pass.

        These are the factors of weight gradients, the results of the input phase that steps read, norms, and
        the operands of derivatives, unless they are cheap to recompute from other values that are kept.
        """
        differentiable = self.differentiable(input_gradient=input_gradient)
        kept = set()
        for name in self.readers:
            value = self.values.get(name)
            if value is not None and value.op == MASK and not self.is_early(name):
                value = self.values.get(value.inputs[0])
            if value is not None:
                kept.add(value.name)
        kept |= {name for name in self._read_elsewhere if self.is_early(name) and name in self.values}
        kept |= {value.name for value in self.graph.values if value.op == NORM}
        needed: set[str] = set()
        for value in self.graph.values:
            for index, source in enumerate(value.inputs):
                if value.op != LINEAR and source in differentiable:
                    for need in gradient_needs(value, index):
                        needed.add(value.name if need == RESULT else value.inputs[need])
        needed = {name for name in needed if name in self.values and not self.values[name].is_leaf} - kept
        for value in reversed(self.graph.values):
            if value.name in needed and value.op in CHEAP and self._can_recompute(value, kept | needed):
                needed.discard(value.name)
        return kept | needed

    def _can_recompute(self, value: Value, kept: set[str]) -> bool:
        return all(
            source not in self.values or self.values[source].is_leaf or source in kept
            for source in value.inputs
        )
