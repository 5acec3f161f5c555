"""Floating-point operations of a supernet's matrix products, which are nearly all that it computes.

As in `cellzoo.cells.cell.Cell.flops` a product with an (m, n) matrix counts 2 m n for a row; what is computed
element by element is left out here. A product counts once forwards, and backwards once for each of its two
factors that a gradient goes to. So with F for all products of a batch, a training step of the weights counts 3
F, a gradient of the architecture alone 2 F, and an evaluation F. A step of DARTS is 2 F + 3 F in first order;
in second order 13 F, 3 F + 3 F for the weights one step ahead, 2 F + 2 F for the finite difference, and 3 F.
Where x needs no gradient its products count one time less.
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
"""The number in the history of a search that says what an epoch has cost, or what followed the last one."""


def call_flops(layout: Layout, terms: Sequence[Term], call: SupernetCall) -> int:
    """Count the products of a call and, where anything learns from it, of the backward pass that follows.

    The first step counts as the others do, though no gradient goes to the states that a text starts with.

    Args:
        layout: The supernet.
        terms: All of its terms; those count that `search.supernets.terms.computed_terms` names.
        call: What it is run on.
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
    """Operations for one row, forwards, with this many terms.

    Returns:
        Of products of the inputs themselves, and of all others.
    """
    out = hidden_size * (2 if layout.highway else 1)
    of_x, of_rest = 2 * input_size * out, 2 * hidden_size * out * (1 + terms)
    if not layout.delay:
        return of_x, of_rest
    # What the cell reads is gated, so it is not the inputs themselves; the gate on h looks at those.
    of_rest += of_x
    if layout.inter_weights == DIAG:
        return 0, of_rest
    if layout.rank:
        across = 2 * layout.delay * layout.rank
        return across * input_size, of_rest + across * (2 * hidden_size + input_size)
    across = 2 * layout.delay * input_size * hidden_size
    return across, of_rest + across
