"""Scores of a cell from one minibatch through an untrained language model.

    hidden-1, -2, -3     covariance of the outputs of a layer (Serianni & Kalita 2023, arXiv 2305.19864)
    jacobian-covariance  covariance of d output / d embedded words (Mellor et al. 2020, arXiv 2006.04647v1)
    jacobian-cosine      dissimilarity of these Jacobians between sequences (Celotti et al. 2020)
    gain                 minus the log distance of the first layer's gain from a good value; see `gain`
    saliency             sum of |w dL/dw| (Lee et al. 2019; as a score Abdelfattah et al. 2021)
    synflow              log of the sum of |w dR/dw|, where R is the summed output for weights |w| and inputs
                         of 1 (Tanaka et al. 2020)
    parameters           number of parameters of the cell

Both covariances are scored as by Mellor et al.: with the eigenvalues e of the correlation matrix of the
minibatch's sequences, -sum(log(e + k) + 1 / (e + k)), k = 1e-5. A higher score should mean a better cell.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, get_args

import torch
import torch.nn.functional as F
from torch import Tensor

from cellzoo.errors import CellzooError
from cellzoo.layer import CellRNN
from search.zero_cost.names import ScoreName

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cellzoo.cells.cell import Cell

SCORES: tuple[ScoreName, ...] = get_args(ScoreName)
_TINY = 1e-5
GOOD_GAIN = 0.29
"""Fitted to the losses of 250 graphs of NAS-Bench-NLP on Penn Treebank, for weights uniform in ±1 / sqrt(H). If
it is fitted on one half of the graphs, the score has a Kendall's tau of .51 with the losses of the other
half."""


@dataclass(frozen=True)
class Minibatch:
    """Sizes of the model and of the minibatch; all words and weights are random.

    Attributes:
        sequences: B.
        length: T.
        words: V.
        size: Width of embedding and layers.
        layers: Recurrent layers.
        seed: Of words and weights, the same for all cells.
    """

    sequences: int = 16
    length: int = 12
    words: int = 200
    size: int = 48
    layers: int = 3
    seed: int = 0


class Untrained:
    """An untrained language model around a cell: a smaller version of NAS-Bench-NLP's.

    As there, weights are uniform in ±1 / sqrt(H) and the embedding in ±0.1.

    Args:
        cell: The cell.
        batch: Sizes and seed.
    """

    def __init__(self, cell: Cell, batch: Minibatch) -> None:
        self.batch = batch
        generator = torch.Generator().manual_seed(batch.seed)
        self.embedding = 0.2 * torch.rand(batch.words, batch.size, generator=generator) - 0.1  # (V, E)
        self.words = torch.randint(batch.words, (batch.length + 1, batch.sequences), generator=generator)
        self.layers = [CellRNN(cell, batch.size, batch.size, runtime="reference") for _ in range(batch.layers)]
        for layer in self.layers:
            layer.reset_parameters(generator)
        self.weights = [weight for layer in self.layers for weight in layer.parameters()]

    def outputs(self, inputs: Tensor) -> list[Tensor]:
        """The outputs of each layer, (T, B, H), for inputs of (T, B, E)."""
        found = []
        for layer in self.layers:
            inputs, _ = layer(inputs)
            found.append(inputs)
        return found


def zero_cost(
    cell: Cell, names: Sequence[str] = SCORES, batch: Minibatch | None = None
) -> dict[str, float | None]:
    """Score a cell.

    Args:
        cell: The cell.
        names: The scores to compute, of `SCORES`.
        batch: Sizes and seed.

    Returns:
        Name -> score; None if it is not finite, as for a cell whose outputs grow without bound.
    """
    batch = batch or Minibatch()
    found: dict[str, float] = {}
    if "parameters" in names:
        found["parameters"] = float(cell.num_parameters(input_size=batch.size, hidden_size=batch.size))
    if set(names) & {"hidden-1", "hidden-2", "hidden-3", "jacobian-covariance", "jacobian-cosine", "saliency"}:
        found |= _of_gradients(Untrained(cell, batch))
    if "gain" in names:
        one_layer = Untrained(cell, replace(batch, layers=1))
        found["gain"] = -abs(math.log(gain(one_layer) + 1e-20) - math.log(GOOD_GAIN))
    if "synflow" in names:
        found["synflow"] = _synflow(Untrained(cell, batch))
    return {
        name: found[name] if math.isfinite(found.get(name, math.nan)) else None
        for name in SCORES
        if name in names
    }


def gain(model: Untrained) -> float:
    """The gain of the first layer from the input of a step to its output at the same step.

    With a random vector d and the first layer's last output h: |d (d . h) / d x| / |d|, where x is the last
    embedded word. It is 1 for a cell that returns its input, and 0 for one whose output depends on the input
    only at the next step.
    """
    inputs = F.embedding(model.words[:-1], model.embedding).requires_grad_()  # (T, B, E)
    output = model.outputs(inputs)[0][-1]  # (B, H)
    directions = torch.randn(output.shape, generator=torch.Generator().manual_seed(model.batch.seed))
    (slopes,) = torch.autograd.grad((output * directions).sum(), inputs)  # (T, B, E)
    return float(slopes[-1].norm() / directions.norm())


def require_score(name: str) -> None:
    """Check the name of a score.

    Raises:
        CellzooError: There is no score of this name.
    """
    if name not in SCORES:
        raise CellzooError(f"unknown zero-cost score {name[:80]!r}; the scores are {', '.join(SCORES)}")


def _of_gradients(model: Untrained) -> dict[str, float]:
    inputs = F.embedding(model.words[:-1], model.embedding).requires_grad_()  # (T, B, E)
    hidden = model.outputs(inputs)
    found = {
        f"hidden-{number}": _eigenvalue_score(_correlations(_by_sequence(output.detach())))
        for number, output in enumerate(hidden[:3], start=1)
    }
    (slopes,) = torch.autograd.grad(hidden[-1].sum(), inputs, retain_graph=True)  # (T, B, E)
    jacobian = _by_sequence(slopes)
    found["jacobian-covariance"] = _eigenvalue_score(_correlations(jacobian))
    alike = F.normalize(jacobian, dim=1) @ F.normalize(jacobian, dim=1).T  # (B, B)
    count = len(alike)
    others = alike[~torch.eye(count, dtype=torch.bool)].abs()
    found["jacobian-cosine"] = float((1 - others.pow(1 / 20)).mean())
    logits = hidden[-1] @ model.embedding.T  # (T, B, V)
    loss = F.cross_entropy(logits.flatten(0, 1), model.words[1:].flatten())
    found["saliency"] = _saliency(loss, model.weights)
    return found


def _synflow(model: Untrained) -> float:
    with torch.no_grad():
        for weight in model.weights:
            weight.abs_()
    inputs = torch.ones(len(model.words) - 1, 1, model.embedding.shape[1])  # (T, 1, E)
    flow = model.outputs(inputs)[-1].sum()
    return math.log(_saliency(flow, model.weights) + 1e-30)


def _saliency(value: Tensor, weights: Sequence[Tensor]) -> float:
    """The sum of |w dvalue/dw| over all weights."""
    gradients = torch.autograd.grad(value, weights, allow_unused=True)
    pairs = zip(weights, gradients, strict=True)
    return math.fsum(
        float((weight.detach() * slope).abs().sum()) for weight, slope in pairs if slope is not None
    )


def _by_sequence(values: Tensor) -> Tensor:
    """From (T, B, H) to (B, T H)."""
    return values.transpose(0, 1).flatten(1)


def _correlations(rows: Tensor) -> Tensor:
    """Correlation matrix of the rows; a constant row has correlation 0 with all."""
    centred = (rows - rows.mean(dim=1, keepdim=True)).double()
    unit = centred / centred.norm(dim=1, keepdim=True).clamp_min(1e-30)
    return unit @ unit.T


def _eigenvalue_score(correlations: Tensor) -> float:
    if not bool(torch.isfinite(correlations).all()):
        return math.nan
    values = torch.linalg.eigvalsh(correlations).clamp_min(0)
    return -float((torch.log(values + _TINY) + 1 / (values + _TINY)).sum())
