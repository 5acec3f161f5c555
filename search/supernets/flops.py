"""Floating-point operations of a supernet's matrix products, which dominate its computation.

As in `cellzoo.cells.cell.Cell.flops` a product with an (m, n) matrix counts 2 m n for a row; elementwise
operations are not counted. A product counts once in the forward pass, and in the backward pass once for each of
its two factors that needs a gradient. So if all products of a batch cost F, a training step of the weights
costs 3 F, the gradient of the architecture alone 2 F, and an evaluation F. A step of DARTS costs 2 F + 3 F in
first order, and 13 F in second order: 3 F + 3 F for the unrolled step and its validation loss, 2 F + 2 F for
the finite difference, and 3 F for the weights. If x needs no gradient, its products count one time less.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from cellzoo.notations.ess import DIAG
from search.supernets.layout import CELL
from search.supernets.terms import computed_terms

if TYPE_CHECKING:
    from collections.abc import Sequence

    from search.supernets.layout import Layout
    from search.supernets.runtime import SupernetCall
    from search.supernets.terms import Term

EPOCH_FLOPS = "flops"
"""The key of the operations of an epoch, or of the conclusion of a search, in its history."""


def call_flops(layout: Layout, terms: Sequence[Term], call: SupernetCall) -> int:
    """Count the products of a call and, if a gradient is needed, of the backward pass.

    The first step counts like the others, although the initial states need no gradient.

    Args:
        layout: The supernet.
        terms: All of its terms; only those of `search.supernets.terms.computed_terms` are counted.
        call: The arguments of the call.
    """
    used = len(computed_terms(layout, terms, call.mixtures[CELL]))
    rows, width = call.inputs.shape
    hidden = call.states[0].size(1)
    of_x, of_rest = products(layout, used, width, hidden)
    if not torch.is_grad_enabled():
        return rows * (of_x + of_rest)
    weights_learn = any(weight.requires_grad for weight in call.weights.values())
    anything = weights_learn or any(value.requires_grad for value in (call.inputs, *call.mixtures.values()))
    return rows * (
        of_x * (1 + weights_learn + call.inputs.requires_grad) + of_rest * (1 + weights_learn + anything)
    )


def products(layout: Layout, terms: int, input_size: int, hidden_size: int) -> tuple[int, int]:
    """Operations of the forward pass for one row, with this number of terms.

    Returns:
        Those of products that read x directly, and those of all others.
    """
    out = hidden_size * (2 if layout.highway else 1)
    of_x, of_rest = 2 * input_size * out, 2 * hidden_size * out * (1 + terms)
    if not layout.delay:
        return of_x, of_rest
    # The cell reads the gated x, so its products are among the others; only the gate on h reads x directly.
    of_rest += of_x
    if layout.inter_weights == DIAG:
        return 0, of_rest
    if layout.rank:
        across = 2 * layout.delay * layout.rank
        return across * input_size, of_rest + across * (2 * hidden_size + input_size)
    across = 2 * layout.delay * input_size * hidden_size
    return across, of_rest + across
