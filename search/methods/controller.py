"""The controller of ENAS: an LSTM that samples an arc, number by number.

Pham et al. 2018, "Efficient Neural Architecture Search via Parameter Sharing", as in
enas_lm/src/controller.py of google-research. For node l = 1, 2, ...

    a step of the LSTM gives the anchor a_l
    predecessor k < l:   logits  2.25 tanh(v . tanh(W_1 a_k + W_2 a_l) / 5) - (l - k)^2 / 6,   a_0 = 0
    a step of the LSTM on a_k / (0.1 + l - k) gives s
    operation:           logits  2.25 tanh(E s / 5)
    the next step reads the row of E of the operation
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from search.spaces.enas import Arc

HIDDEN = 64
WEIGHT_RANGE = 0.01
LOGIT_RANGE = 2.25
TEMPERATURE = 5.0
RECENCY = 6.0
EDGE_OFFSET = 0.1


@dataclass(frozen=True)
class SampledArc:
    """An arc and its probabilities under the controller.

    Attributes:
        arc: A pair (predecessor, operation) for each node.
        log_probability: Of the whole arc, a scalar with gradients.
        entropy: Sum of the entropies of the distributions of its numbers, a scalar; its expectation is the
            entropy of the controller.
        sampled_entropy: Sum of -p log p over the chosen numbers only, as in the reward of the ENAS code.
        distributions: The distribution of each number, in order.
    """

    arc: Arc
    log_probability: Tensor
    entropy: Tensor
    sampled_entropy: Tensor
    distributions: tuple[Tensor, ...]


class Controller(nn.Module):
    """Samples arcs, and gives their probabilities.

    Args:
        nodes: Of the cell.
        operations: Number of operations to choose from.
        generator: Draws the weights, uniform in ± 0.01.
    """

    def __init__(self, nodes: int, operations: int, generator: torch.Generator) -> None:
        super().__init__()
        self.nodes = nodes
        self.lstm = nn.LSTMCell(HIDDEN, HIDDEN, bias=False)
        self.start = nn.Parameter(torch.empty(1, HIDDEN))
        self.operations = nn.Parameter(torch.empty(operations, HIDDEN))
        self.on_anchor = nn.Parameter(torch.empty(HIDDEN, HIDDEN))
        self.on_query = nn.Parameter(torch.empty(HIDDEN, HIDDEN))
        self.attention = nn.Parameter(torch.empty(HIDDEN))
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.uniform_(-WEIGHT_RANGE, WEIGHT_RANGE, generator=generator)

    def sample(self, generator: torch.Generator) -> SampledArc:
        """Draw an arc."""
        return self._walk(lambda _, p: int(torch.multinomial(p, 1, generator=generator)))

    def follow(self, arc: Sequence[int]) -> SampledArc:
        """Compute the probabilities of a given arc."""
        return self._walk(lambda place, _: arc[place])

    def greedy(self) -> SampledArc:
        """Choose the most probable number each time; ties are resolved in favour of the first."""
        return self._walk(lambda _, p: int(p.argmax()))

    def _walk(self, choose: Callable[[int, Tensor], int]) -> SampledArc:
        zeros = torch.zeros_like(self.start)  # (1, 64)
        state = (zeros, zeros)
        inputs: Tensor = self.start
        anchors = [zeros]
        arc: list[int] = []
        distributions: list[Tensor] = []

        def decide(logits: Tensor) -> int:
            distributions.append(logits.log_softmax(dim=0))
            arc.append(choose(len(arc), distributions[-1].detach().exp()))
            return arc[-1]

        for node in range(1, self.nodes + 1):
            state = self.lstm(inputs, state)
            query = state[0]
            known = torch.cat(anchors)  # (node, 64)
            scores = (known @ self.on_anchor + query @ self.on_query).tanh() @ self.attention  # (node,)
            distance = torch.arange(node, 0, -1, dtype=scores.dtype)
            predecessor = decide(_bounded(scores) - distance.square() / RECENCY)
            anchors.append(query)
            inputs = anchors[predecessor] / (EDGE_OFFSET + node - predecessor)
            state = self.lstm(inputs, state)
            op = decide(_bounded(self.operations @ state[0].squeeze(0)))
            inputs = self.operations[op : op + 1]
        taken = torch.stack([row[number] for row, number in zip(distributions, arc, strict=True)])
        return SampledArc(
            tuple(arc),
            taken.sum(),
            torch.stack([-(row.exp() * row).sum() for row in distributions]).sum(),
            -(taken.exp() * taken).sum(),
            tuple(row.exp() for row in distributions),
        )


def _bounded(logits: Tensor) -> Tensor:
    return LOGIT_RANGE * (logits / TEMPERATURE).tanh()
