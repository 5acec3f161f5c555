"""Canonical form and content hash of a cell.

Two cells have the same hash exactly when they are the same graph: the same operations on the same values, the
same sharing of weights, the same states in the same order, the same output. Names, the listing order of nodes,
the order of the inputs of commutative operations, dead nodes and `identity` nodes do not matter.

The method is colour refinement with individualisation (McKay & Piperno 2014, "Practical graph
isomorphism II"). Values and weights are coloured by their neighbourhood until the colouring is stable. A tie is
broken by trying each vertex of the colour class and keeping the smallest certificate; vertices that a known
automorphism maps onto one already tried are pruned, and connected components are solved separately.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar

from cellzoo.cells.graph import HIDDEN_WIDTH, INPUT, CellGraph, Node, State
from cellzoo.cells.initial import rules
from cellzoo.cells.ops import LINEAR, PRIMITIVES
from cellzoo.errors import CellError

# Limit on the work, in colours computed: a few seconds. No known cell comes near it; a crafted graph could.
MAX_COLOURINGS = 1_000_000

if TYPE_CHECKING:
    from collections.abc import Callable

Colours = dict[str, int]
AnyGraph = TypeVar("AnyGraph", bound=CellGraph)


def content_hash(graph: CellGraph) -> str:
    """Hash the canonical form: 64 hexadecimal digits."""
    certificate = _Canonicaliser(graph).run()[0]
    return hashlib.sha256(json.dumps(certificate, separators=(",", ":")).encode()).hexdigest()


def canonical_form(graph: AnyGraph) -> AnyGraph:
    """Rebuild a graph, or cell, with canonical names and order; isomorphic cells give equal results."""
    canonicaliser = _Canonicaliser(graph)
    rank = canonicaliser.run()[1]
    ordered = sorted(canonicaliser.nodes, key=lambda node: rank[node.name])
    names = {INPUT: INPUT}
    names |= {state.name: f"s{index}" for index, state in enumerate(canonicaliser.states)}
    names |= {node.name: f"n{index}" for index, node in enumerate(ordered)}
    weights = sorted(canonicaliser.weights, key=lambda weight: rank[weight])
    names |= {weight: f"w{index}" for index, weight in enumerate(weights)}
    nodes = []
    for node in ordered:
        terms = list(zip(node.inputs, _matrices(node) or ("",) * len(node.inputs), strict=True))
        if PRIMITIVES[node.op].commutative:
            terms.sort(key=lambda term: (rank[term[0]], rank.get(_weight(term[1]), 0)))
        nodes.append(
            Node(
                names[node.name],
                node.op,
                tuple(names[source] for source, _ in terms),
                tuple(
                    names[_weight(weight)]
                    for weight in ([weight for _, weight in terms] if node.op == LINEAR else node.weights)
                ),
                None if node.bias is None else names[_weight(node.bias)],
                node.width,
                node.heads,
                node.value,
            )
        )
    states = tuple(State(names[state.name], names[state.next], state.width) for state in canonicaliser.states)
    init = sorted((names[_weight(weight)], rule.text) for weight, rule in rules(graph).items())
    return replace(
        graph, states=states, nodes=tuple(nodes), output=names[canonicaliser.output], init=tuple(init)
    )


def _weight(name: str) -> str:
    """The key of a weight among the colours of values and weights; the prefix keeps them apart."""
    return f"@{name}"


@dataclass(frozen=True)
class _Use:
    """One use of a value or weight.

    Attributes:
        node: The node that uses it.
        role: The position among the node's inputs where order matters, else 0; -1 for a weight without input.
        partner: The matrix that multiplies the value, or the value that the matrix multiplies; else empty.
    """

    node: str
    role: int
    partner: str


@dataclass(frozen=True)
class _Order:
    """A part of the graph, ordered.

    Parts with equal certificates are isomorphic: an automorphism of the graph exchanges them.
    """

    names: list[str]
    certificate: str


class _Canonicaliser:
    """Computes the canonical order of a cell's live nodes and weights; identity nodes are skipped."""

    def __init__(self, graph: CellGraph) -> None:
        alias: dict[str, str] = {}
        self.nodes: list[Node] = []
        for node in graph.live_nodes:
            inputs = tuple(alias.get(source, source) for source in node.inputs)
            # The output must be a node, so an identity of x or of a state stays where it is the output.
            is_node = inputs != () and inputs[0] in {kept.name for kept in self.nodes}
            if node.op == "identity" and (is_node or node.name != graph.output):
                alias[node.name] = inputs[0]
            else:
                self.nodes.append(replace(node, inputs=inputs))
        self.states = [
            State(state.name, alias.get(state.next, state.next), state.width) for state in graph.states
        ]
        self.output = alias.get(graph.output, graph.output)
        self.weights = sorted({_weight(name) for node in self.nodes for name in (*node.weights, *_bias(node))})
        self.uses: dict[str, list[_Use]] = {}
        for node in self.nodes:
            ordered = not PRIMITIVES[node.op].commutative
            partners = [_weight(name) for name in _matrices(node)] or [""] * len(node.inputs)
            for role, (source, partner) in enumerate(zip(node.inputs, partners, strict=True)):
                place = role if ordered else 0
                self.uses.setdefault(source, []).append(_Use(node.name, place, partner))
                if partner:
                    self.uses.setdefault(partner, []).append(_Use(node.name, place, source))
            for name in _other_weights(node):
                self.uses.setdefault(_weight(name), []).append(_Use(node.name, -1, ""))
        self.neighbours: dict[str, set[str]] = {}
        for node in self.nodes:
            partners = [_weight(name) for name in _matrices(node)] or [node.name] * len(node.inputs)
            for source, partner in zip(node.inputs, partners, strict=True):
                self._link(node.name, source, partner)
            for name in _other_weights(node):
                self._link(node.name, _weight(name))
        self.by_name = {node.name: node for node in self.nodes}
        self.automorphisms: list[dict[str, str]] = []
        self.colourings = 0

    def _link(self, *names: str) -> None:
        for name in names:
            self.neighbours.setdefault(name, set()).update(other for other in names if other != name)

    def run(self) -> tuple[list[Any], Colours]:
        """Return the certificate and the rank of every value and weight.

        Raises:
            CellError: The graph is so symmetric that the search exceeds its limits.
        """
        everything = self._initial()
        stable = self._refine(everything)
        try:
            order = self._solve(sorted(everything), stable)
        except RecursionError as error:  # a level for each tie that is broken inside another
            raise CellError("the graph is too symmetric to hash: too many ties depend on each other") from error
        colours = {name: rank for rank, name in enumerate(order.names)}
        return self._certificate(colours), colours

    def _initial(self) -> Colours:
        """Colour values and weights by what they are themselves: kind, depth, and whether they are results."""
        depth = {INPUT: 0, **{state.name: 0 for state in self.states}}
        for node in self.nodes:
            depth[node.name] = 1 + max((depth[source] for source in node.inputs), default=0)
        markers: dict[str, list[Any]] = {}
        for index, state in enumerate(self.states):
            markers.setdefault(state.next, []).append(index)
        keys: dict[str, Any] = {INPUT: (0, 0, "", -1, str(markers.get(INPUT, "")))}
        for index, state in enumerate(self.states):
            keys[state.name] = (1, index, state.width, -1, str(markers.get(state.name, "")))
        for node in self.nodes:
            is_output = int(node.name == self.output)
            keys[node.name] = (2, depth[node.name], _kind(node), is_output, str(markers.get(node.name, "")))
        for weight in self.weights:
            keys[weight] = (3, 0, "", -1, "")
        return _ranks(keys)

    def _refine(self, colours: Colours) -> Colours:
        """Split colour classes by the colours of neighbours until the colouring is stable."""
        while True:
            self.colourings += len(colours)
            if self.colourings > MAX_COLOURINGS:
                raise CellError(f"the graph is too symmetric to hash within {MAX_COLOURINGS} colourings")
            keys: dict[str, Any] = {}
            for name, colour in colours.items():
                uses = sorted(
                    (colours[use.node], use.role, colours.get(use.partner, -1))
                    for use in self.uses.get(name, ())
                )
                node = self.by_name.get(name)
                keys[name] = (colour, self._content(node, colours.__getitem__) if node else [], uses)
            refined = _ranks(keys)
            if len(set(refined.values())) == len(set(colours.values())):
                return refined
            colours = refined

    @staticmethod
    def _content(node: Node, rank: Callable[[str], Any]) -> list[Any]:
        """The ranks of what a node reads: inputs with their matrices, then its other weights."""
        partners = [rank(_weight(name)) for name in _matrices(node)] or [-1] * len(node.inputs)
        terms = [(rank(source), partner) for source, partner in zip(node.inputs, partners, strict=True)]
        if PRIMITIVES[node.op].commutative:
            terms.sort()
        return [terms, [rank(_weight(name)) for name in _other_weights(node)]]

    def _solve(self, part: list[str], colours: Colours, *, greedy: bool = False) -> _Order:
        """Order a part of the graph whose colouring is stable.

        Vertices with a unique colour are ordered by it. The others form connected components, which are solved
        separately and ordered by their certificates; components with equal certificates are interchangeable.

        Args:
            part: Values and weights, whose neighbours outside of the part have unique colours.
            colours: Of all values and weights.
            greedy: Whether to break a tie by its first candidate; the result is then not canonical.
        """
        names = [name for members in _classes(part, colours).values() if len(members) > 1 for name in members]
        solved = []
        for component in self._components(names):
            # A component that is the whole part again cannot be divided further: a tie must be broken.
            solve = self._solve if len(names) < len(part) or len(component) < len(part) else self._choose
            solved.append(solve(component, colours, greedy=greedy))
        position: dict[str, tuple[int, int]] = {}
        for index, order in enumerate(sorted(solved, key=lambda order: order.certificate)):
            position |= {name: (index, place) for place, name in enumerate(order.names)}
        return self._order(sorted(part, key=lambda name: (colours[name], position.get(name, (0, 0)))), colours)

    def _choose(self, part: list[str], colours: Colours, *, greedy: bool) -> _Order:
        """Order a connected part by trying each member of its smallest colour class as the first of the class.

        A greedy trial whose certificate equals the best one reveals an automorphism. Candidates that known
        automorphisms map onto one already tried give the same certificates, and are skipped.
        """
        candidates = min(
            (len(names), colour, names) for colour, names in _classes(part, colours).items() if len(names) > 1
        )[2]
        best: _Order | None = None
        known = len(self.automorphisms)
        tried: set[str] = set()
        for name in candidates[:1] if greedy else candidates:
            if not tried.isdisjoint(self._images(name, known)):
                continue
            tried.add(name)
            split = {other: 2 * colour + 1 for other, colour in colours.items()}
            split[name] -= 1
            refined = self._refine(_ranks(split))
            is_trial = greedy or best is not None
            order = self._order(self._solve(part, refined, greedy=is_trial).names, colours)
            if best is not None and order.certificate == best.certificate:
                self.automorphisms.append(dict(zip(best.names, order.names, strict=True)))
                continue
            if best is not None:
                order = self._order(self._solve(part, refined).names, colours)
            if best is None or order.certificate < best.certificate:
                best = order
        assert best is not None  # noqa: S101 - a tied class has members
        return best

    def _images(self, name: str, known: int) -> set[str]:
        """The orbit of a name under the automorphisms that were found after the first `known` ones."""
        images, waiting = {name}, [name]
        while waiting:
            image = waiting.pop()
            for automorphism in self.automorphisms[known:]:
                other = automorphism.get(image, image)
                if other not in images:
                    images.add(other)
                    waiting.append(other)
        return images

    def _components(self, names: list[str]) -> list[list[str]]:
        """Split names into connected components."""
        waiting = dict.fromkeys(names)
        components = []
        while waiting:
            component = [waiting.popitem()[0]]
            for name in component:
                found = [other for other in self.neighbours.get(name, ()) if other in waiting]
                for other in found:
                    del waiting[other]
                component += found
            components.append(component)
        return components

    def _order(self, names: list[str], colours: Colours) -> _Order:
        """Build the certificate of an ordered part: its structure, with vertices named by their positions."""
        place = {name: index for index, name in enumerate(names)}

        def seen(name: str) -> tuple[int, int]:
            return (1, place[name]) if name in place else (0, colours.get(name, -1))

        rows = []
        for name in names:
            uses = sorted((seen(use.node), use.role, seen(use.partner)) for use in self.uses.get(name, ()))
            node = self.by_name.get(name)
            rows.append((colours[name], self._content(node, seen) if node else [], uses))
        return _Order(names, json.dumps(rows))

    def _certificate(self, colours: Colours) -> list[Any]:
        ordered = sorted(self.nodes, key=lambda node: colours[node.name])
        return [
            [colours[state.next] for state in self.states],
            colours[self.output],
            [[colours[node.name], _kind(node), *self._content(node, colours.__getitem__)] for node in ordered],
        ]


def _kind(node: Node) -> str:
    kind = node.op if node.width == HIDDEN_WIDTH else f"{node.op} to {node.width}"
    kind = kind if node.heads == 1 else f"{kind} by {node.heads} heads"
    return kind if node.value is None else f"{kind} {node.value!r}"


def _bias(node: Node) -> tuple[str, ...]:
    return () if node.bias is None else (node.bias,)


def _matrices(node: Node) -> tuple[str, ...]:
    return node.weights if node.op == LINEAR else ()


def _other_weights(node: Node) -> tuple[str, ...]:
    """Weights that do not multiply an input of the node: a bias, a vector, a scalar."""
    return _bias(node) if node.op == LINEAR else node.weights


def _classes(names: list[str], colours: Colours) -> dict[int, list[str]]:
    """Colour -> the names that have it."""
    classes: dict[int, list[str]] = {}
    for name in names:
        classes.setdefault(colours[name], []).append(name)
    return classes


def _ranks(keys: dict[str, Any]) -> Colours:
    """Replace each key by its rank among the distinct keys."""
    ranks: Colours = {}
    previous, rank = None, -1
    for name, key in sorted(keys.items(), key=lambda item: item[1]):
        if key != previous:
            previous, rank = key, rank + 1
        ranks[name] = rank
    return ranks
