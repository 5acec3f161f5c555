"""Canonical form and content hash of a cell.

Two cells get one hash exactly when they are the same graph: same operations on the same values, same
sharing of weights, same states in the same order, same output. Names, the listing order of nodes, the
order of the inputs of commutative operations, nodes without effect and `identity` nodes do not matter.

The method is colour refinement with individualisation (McKay & Piperno 2014, "Practical graph
isomorphism II"): values and weights get colours from their neighbourhood until nothing changes; ties are
broken by trying each candidate and keeping the smallest certificate. Candidates that an automorphism maps
onto one already tried are recognised by a certificate seen before and cut off.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from typing import Any

from cellzoo.cell import HIDDEN_WIDTH, INPUT, Cell, Node, State
from cellzoo.errors import CellError
from cellzoo.ops import LINEAR, PRIMITIVES

# Far above what any known cell needs (at most a few hundred); stops a crafted graph.
MAX_REFINEMENTS = 20_000

Colours = dict[str, int]


def content_hash(cell: Cell) -> str:
    """Hash the canonical form: 64 hexadecimal digits."""
    certificate = _Canonicaliser(cell).run()[0]
    return hashlib.sha256(json.dumps(certificate, separators=(",", ":")).encode()).hexdigest()


def canonical_form(cell: Cell) -> Cell:
    """Rebuild the cell with canonical names and order; isomorphic cells give equal results."""
    canonicaliser = _Canonicaliser(cell)
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
            )
        )
    states = tuple(State(names[state.name], names[state.next], state.width) for state in canonicaliser.states)
    return Cell(states, tuple(nodes), names[canonicaliser.output], name=cell.name)


def _weight(name: str) -> str:
    """Weights live beside values in one table of colours; the prefix keeps the names apart."""
    return f"@{name}"


@dataclass(frozen=True)
class _Use:
    """One place where a value or weight is used: by `node`, in the role `role`, beside `partner`."""

    node: str
    role: int
    partner: str


class _Canonicaliser:
    """Works on the live part of a cell without identity nodes."""

    def __init__(self, cell: Cell) -> None:
        alias: dict[str, str] = {}
        self.nodes: list[Node] = []
        for node in cell.live_nodes:
            inputs = tuple(alias.get(source, source) for source in node.inputs)
            # The output must stay a node even where it is an identity of a state.
            is_node = inputs != () and inputs[0] in {kept.name for kept in self.nodes}
            if node.op == "identity" and (is_node or node.name != cell.output):
                alias[node.name] = inputs[0]
            else:
                self.nodes.append(replace(node, inputs=inputs))
        self.states = [
            State(state.name, alias.get(state.next, state.next), state.width) for state in cell.states
        ]
        self.output = alias.get(cell.output, cell.output)
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
        self.refinements = 0

    def run(self) -> tuple[list[Any], Colours]:
        """Return the certificate and the rank of every value and weight."""
        return self._search(self._refine(self._initial()), set())

    def _initial(self) -> Colours:
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
        by_name = {node.name: node for node in self.nodes}
        while True:
            self.refinements += 1
            if self.refinements > MAX_REFINEMENTS:
                raise CellError(f"the graph is too symmetric to hash within {MAX_REFINEMENTS} refinements")
            keys: dict[str, Any] = {}
            for name, colour in colours.items():
                uses = sorted(
                    (colours[use.node], use.role, colours.get(use.partner, -1))
                    for use in self.uses.get(name, ())
                )
                node = by_name.get(name)
                keys[name] = (colour, self._content(node, colours) if node else [], uses)
            refined = _ranks(keys)
            if len(set(refined.values())) == len(set(colours.values())):
                return refined
            colours = refined

    @staticmethod
    def _content(node: Node, colours: Colours) -> list[Any]:
        partners = [colours[_weight(name)] for name in _matrices(node)] or [-1] * len(node.inputs)
        terms = [(colours[source], partner) for source, partner in zip(node.inputs, partners, strict=True)]
        if PRIMITIVES[node.op].commutative:
            terms.sort()
        return [terms, [colours[_weight(name)] for name in _other_weights(node)]]

    def _search(self, colours: Colours, seen: set[str]) -> tuple[list[Any], Colours]:
        """Return the smallest certificate below this colouring.

        Stops at the first leaf whose certificate is in `seen`: such a leaf proves an automorphism, so
        nothing smaller than what the sibling found lies below.
        """
        classes: dict[int, list[str]] = {}
        for name, colour in colours.items():
            classes.setdefault(colour, []).append(name)
        tied = next((names for _, names in sorted(classes.items()) if len(names) > 1), None)
        if tied is None:
            return self._certificate(colours), colours
        best: tuple[list[Any], Colours] | None = None
        found: set[str] = set()
        for name in tied:
            split = {other: 2 * colour + 1 for other, colour in colours.items()}
            split[name] -= 1
            result = self._search(self._refine(_ranks(split)), seen | found)
            text = json.dumps(result[0])
            if best is None or text < json.dumps(best[0]):
                best = result
            if text in seen:
                break
            found.add(text)
        assert best is not None  # noqa: S101 - a tied class has members
        return best

    def _certificate(self, colours: Colours) -> list[Any]:
        ordered = sorted(self.nodes, key=lambda node: colours[node.name])
        return [
            [colours[state.next] for state in self.states],
            colours[self.output],
            [[colours[node.name], _kind(node), *self._content(node, colours)] for node in ordered],
        ]


def _kind(node: Node) -> str:
    return node.op if node.width == HIDDEN_WIDTH else f"{node.op} to {node.width}"


def _bias(node: Node) -> tuple[str, ...]:
    return () if node.bias is None else (node.bias,)


def _matrices(node: Node) -> tuple[str, ...]:
    return node.weights if node.op == LINEAR else ()


def _other_weights(node: Node) -> tuple[str, ...]:
    """Weights that stand beside no input: a bias, a vector, a scalar."""
    return _bias(node) if node.op == LINEAR else node.weights


def _ranks(keys: dict[str, Any]) -> Colours:
    """Replace each key by its rank among the distinct keys."""
    ranks: Colours = {}
    previous, rank = None, -1
    for name, key in sorted(keys.items(), key=lambda item: item[1]):
        if key != previous:
            previous, rank = key, rank + 1
        ranks[name] = rank
    return ranks
