"""A pass of an engine as a custom operator of torch: a single node in compiled and exported graphs.

`torch.ops.cellzoo.run` is self-contained: the cell is an argument, as JSON, so a program saved by
`torch.export` runs in any process that has imported this module. The engine is chosen when the node runs.
"""

from __future__ import annotations

from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple
from weakref import WeakValueDictionary

import torch
from torch import Tensor, library

from cellzoo.cells.cell import Cell
from cellzoo.cells.graph import HIDDEN_WIDTH
from cellzoo.runtime import engine_in_use, prepare
from cellzoo.runtime.autocast import autocast_dtype, result_dtype

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

_DIFFERENTIABLE = "Tensor inputs, Tensor batch_sizes, Tensor[] states, Tensor[] weights"
_OPTIONS = (
    "Tensor? mask_x, Tensor? mask_h, Tensor? kept, str cell, str[] names, str runtime, str precision, "
    "bool reverse, ScalarType? autocast"
)
_MOST_PREPARED = 256
# Dispatch keys of autograd and autocast. They are excluded inside of an operator, but engines need them.
_ABOVE = tuple(
    key
    for name, key in torch._C.DispatchKey.__members__.items()
    if name.startswith(("Autograd", "Autocast")) or name == "ADInplaceOrView"
)


# Cache: raw bits of a set of excluded dispatch keys -> the set without the keys above.
_outside: dict[int, Any] = {}


class _Options(NamedTuple):
    """Arguments of the operator other than the differentiable ones and the batch sizes."""

    mask_x: Tensor | None
    mask_h: Tensor | None
    kept: Tensor | None
    cell: str
    names: Sequence[str]
    runtime: str
    precision: str
    reverse: bool
    autocast: torch.dtype | None


def run_as_node(
    cell: str,
    runtime: str,
    precision: str,
    inputs: Tensor,
    batch_sizes: Tensor,
    states: Sequence[Tensor],
    weights: Mapping[str, Tensor],
    *,
    reverse: bool = False,
    mask_x: Tensor | None = None,
    mask_h: Tensor | None = None,
    kept: Tensor | None = None,
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Run a cell by the operator. Arguments and results as in `cellzoo.runtime.reference.ReferenceRuntime`.

    The dtype of the results is that of `cellzoo.runtime.autocast.result_dtype`.

    Args:
        cell: As `Cell.to_json` writes it.
        runtime: One of `cellzoo.runtime.RUNTIMES`; `cellzoo.runtime.using` overrides it.
        precision: One of `cellzoo.runtime.PRECISIONS`.
        inputs: See there.
        batch_sizes: (T,), integers on the CPU.
        states: See there, as for all that follow.
        weights: See there.
        reverse: See there.
        mask_x: See there.
        mask_h: See there.
        kept: See there.
    """
    given = list(weights.values())
    # Exported programs keep nothing for a backward pass: few have one, and those run the forward pass again in
    # it.
    training = torch.is_grad_enabled() and not torch.compiler.is_exporting()
    autocast = autocast_dtype(inputs.device)
    options = (mask_x, mask_h, kept, cell, list(weights), runtime, precision, reverse, autocast)
    output, final, _ = torch.ops.cellzoo.run(
        inputs,
        batch_sizes,
        list(states),
        given,
        *options,
        training and any(tensor.requires_grad for tensor in (inputs, *states, *given)),
        all(isinstance(weight, torch.nn.Parameter) for weight in given),
    )
    return output, tuple(final)


def longest_batch(batch_sizes: Tensor) -> int:
    """The first of the batch sizes (T,), as an unbacked symbolic size while a graph is traced."""
    rows: Tensor = torch.ops.cellzoo.longest_batch(batch_sizes)  # (B, 0)
    return rows.size(0)


@library.custom_op("cellzoo::longest_batch", mutates_args=(), schema="(Tensor batch_sizes) -> Tensor")
def _longest_batch(batch_sizes: Tensor) -> Tensor:
    return batch_sizes.new_empty(int(batch_sizes[0]), 0)


@_longest_batch.register_fake
def _(batch_sizes: Tensor) -> Tensor:
    return batch_sizes.new_empty(library.get_ctx().new_dynamic_size(min=1), 0)


@library.custom_op(
    "cellzoo::run",
    mutates_args=(),
    schema=f"({_DIFFERENTIABLE}, {_OPTIONS}, bool training, bool lasting) -> (Tensor, Tensor[], Tensor)",
)
def _run(
    inputs: Tensor,
    batch_sizes: Tensor,
    states: Sequence[Tensor],
    weights: Sequence[Tensor],
    *options: Any,
) -> tuple[Tensor, list[Tensor], Tensor]:
    """Return the outputs, the final states, and a handle by which the backward pass finds the kept graph.

    Args:
        inputs: As in `run_as_node`.
        batch_sizes: See there.
        states: See there.
        weights: See there.
        options: `_Options`, then `training`, whether to keep the graph for the backward pass, and `lasting`,
            whether the weights keep their values until then. A compiler may reuse the memory of all other
            arguments.
    """
    *given, training, lasting = options
    call = _Options(*given)
    if not training:
        with torch.no_grad():
            results = _compute(call, inputs, batch_sizes, states, weights)
        return results[0], results[1:], torch.zeros(1, dtype=torch.uint8, device="cpu")
    graph = _Graph.record(call, inputs, batch_sizes, states, weights, copy_weights=not lasting)
    output, *final = (result.detach().clone() for result in graph.results)
    return output, final, _keep(graph)


@_run.register_fake
def _(
    inputs: Tensor, batch_sizes: Tensor, states: Sequence[Tensor], weights: Sequence[Tensor], *options: Any
) -> tuple[Tensor, list[Tensor], Tensor]:
    call = _Options(*options[:-2])
    dtype = result_dtype((inputs, *states), call.autocast)
    cell, _ = _prepared(call.cell, "reference", "full")
    hidden = next(index for index, state in enumerate(cell.states) if state.width == HIDDEN_WIDTH)
    output = inputs.new_empty((inputs.size(0), states[hidden].size(1)), dtype=dtype)  # (N, H)
    final = [state.new_empty(state.size(), dtype=dtype) for state in states]
    return output, final, torch.empty(1, dtype=torch.uint8, device="cpu")


@library.custom_op(
    "cellzoo::run_backward",
    mutates_args=(),
    schema=f"(Tensor saved, Tensor[] gradients, bool[] wanted, {_DIFFERENTIABLE}, {_OPTIONS}) -> Tensor[]",
)
def _run_backward(
    saved: Tensor,
    gradients: Sequence[Tensor],
    wanted: Sequence[bool],
    inputs: Tensor,
    batch_sizes: Tensor,
    states: Sequence[Tensor],
    weights: Sequence[Tensor],
    *options: Any,
) -> list[Tensor]:
    """Compute the gradients of those of x, the states and the weights that are wanted, in this order.

    Args:
        saved: The handle from the forward node. If its graph is gone, the forward pass is run again.
        gradients: Of the outputs and of each final state.
        wanted: For each of x, the states and the weights.
        inputs: As in `run_as_node`.
        batch_sizes: See there.
        states: See there.
        weights: See there.
        options: `_Options`.
    """
    graph = _take(saved)
    if graph is None:
        graph = _Graph.record(_Options(*options), inputs, batch_sizes, states, weights, copy_weights=False)
    leaves = [leaf for leaf, is_wanted in zip(graph.leaves, wanted, strict=True) if is_wanted]
    pairs = [pair for pair in zip(graph.results, gradients, strict=True) if pair[0].requires_grad]
    differentiable, given = zip(*pairs, strict=True) if pairs else ((), ())
    with _above_operators(inputs.device, None):
        found = torch.autograd.grad(differentiable, leaves, given, allow_unused=True)
    # Results of an operator must not share memory: copy views of a larger tensor, and tensors returned twice.
    results, addresses = [], set()
    for leaf, gradient in zip(leaves, found, strict=True):
        result = torch.zeros_like(leaf) if gradient is None else gradient.contiguous()
        storage = result.untyped_storage()
        if storage.nbytes() != result.nbytes or storage.data_ptr() in addresses:
            result = result.clone()
        results.append(result)
        addresses.add(result.data_ptr())
    return results


@_run_backward.register_fake
def _(
    saved: Tensor,
    gradients: Sequence[Tensor],
    wanted: Sequence[bool],
    inputs: Tensor,
    batch_sizes: Tensor,
    states: Sequence[Tensor],
    weights: Sequence[Tensor],
    *options: Any,
) -> list[Tensor]:
    leaves = (inputs, *states, *weights)
    return [
        torch.empty_like(leaf, memory_format=torch.contiguous_format)
        for leaf, is_wanted in zip(leaves, wanted, strict=True)
        if is_wanted
    ]


def _setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Any, ...]) -> None:
    x, batch_sizes, states, weights, *options = inputs
    call = _Options(*options[:-2])
    masks = (call.mask_x, call.mask_h, call.kept)
    ctx.call, ctx.num_states = call._replace(mask_x=None, mask_h=None, kept=None), len(states)
    ctx.save_for_backward(output[2], x, batch_sizes, *masks, *states, *weights)


def _backward(ctx: Any, of_output: Tensor, of_final: Sequence[Tensor], _: Any) -> tuple[Any, ...]:
    saved, x, batch_sizes, mask_x, mask_h, kept, *rest = ctx.saved_tensors
    states, weights = rest[: ctx.num_states], rest[ctx.num_states :]
    needs_x, _, needs_states, needs_weights, *others = ctx.needs_input_grad
    wanted = [needs_x, *needs_states, *needs_weights]
    call = ctx.call._replace(mask_x=mask_x, mask_h=mask_h, kept=kept)
    found = iter(
        torch.ops.cellzoo.run_backward(
            saved, [of_output, *of_final], wanted, x, batch_sizes, states, weights, *call
        )
    )
    all_gradients = [next(found) if is_wanted else None for is_wanted in wanted]
    of_states, of_weights = all_gradients[1 : 1 + len(states)], all_gradients[1 + len(states) :]
    return all_gradients[0], None, of_states, of_weights, *(None for _ in others)


_run.register_autograd(_backward, setup_context=_setup_context)


class _Graph(NamedTuple):
    """A recorded forward pass that autograd can differentiate.

    Attributes:
        leaves: x, the states and the weights.
        results: The outputs and the final states.
    """

    leaves: list[Tensor]
    results: list[Tensor]

    @classmethod
    def record(
        cls,
        call: _Options,
        inputs: Tensor,
        batch_sizes: Tensor,
        states: Sequence[Tensor],
        weights: Sequence[Tensor],
        *,
        copy_weights: bool,
    ) -> _Graph:
        """Run a pass on copies of all tensors that may be overwritten before the backward pass."""
        copies = [tensor.detach().clone().requires_grad_() for tensor in (inputs, *states)]
        own_weights = [
            (weight.detach().clone() if copy_weights else weight.detach()).requires_grad_()
            for weight in weights
        ]
        call = call._replace(
            mask_x=None if call.mask_x is None else call.mask_x.clone(),
            mask_h=None if call.mask_h is None else call.mask_h.clone(),
            kept=None if call.kept is None else call.kept.clone(),
        )
        with torch.enable_grad():
            results = _compute(call, copies[0], batch_sizes, copies[1:], own_weights)
        return cls([*copies, *own_weights], results)


class _Kept(bytearray):
    """The memory of a handle, which keeps the graph alive as long as the handle's tensor."""

    graph: _Graph | None


_kept: WeakValueDictionary[int, _Kept] = WeakValueDictionary()


def _keep(graph: _Graph) -> Tensor:
    """Create a handle: a tensor by whose address `_take` finds the graph."""
    memory = _Kept(1)
    memory.graph = graph
    handle = torch.frombuffer(memory, dtype=torch.uint8)
    _kept[handle.data_ptr()] = memory
    return handle


def _take(handle: Tensor) -> _Graph | None:
    """Remove and return the graph of a handle; None for a copy of one, as checkpointing and offloading make."""
    memory = _kept.get(handle.data_ptr())
    if memory is None:
        return None
    graph, memory.graph = memory.graph, None
    return graph


def _compute(
    call: _Options,
    inputs: Tensor,
    batch_sizes: Tensor,
    states: Sequence[Tensor],
    weights: Sequence[Tensor],
) -> list[Tensor]:
    """Run the pass; returns the outputs and the final states."""
    dtype = result_dtype((inputs, *states), call.autocast)
    name = "reference" if call.kept is not None else engine_in_use() or call.runtime
    _, runtime = _prepared(call.cell, name, call.precision)
    options = {} if call.kept is None else {"kept": call.kept}
    with _above_operators(inputs.device, call.autocast):
        output, final = runtime(
            inputs,
            batch_sizes.tolist(),
            states,
            dict(zip(call.names, weights, strict=True)),
            reverse=call.reverse,
            mask_x=call.mask_x,
            mask_h=call.mask_h,
            **options,
        )
        return [result.to(dtype) for result in (output, *final)]


@lru_cache(_MOST_PREPARED)
def _prepared(
    text: str, name: str, precision: str
) -> tuple[Cell, Callable[..., tuple[Tensor, tuple[Tensor, ...]]]]:
    """The cell of a JSON text, and an engine prepared for it."""
    cell = Cell.from_json(text)
    return cell, prepare(name, cell, precision)


@contextmanager
def _above_operators(device: torch.device, autocast: torch.dtype | None) -> Iterator[None]:
    """Enable autograd and autocast inside of an operator."""
    excluded = torch._C._dispatch_tls_local_exclude_set()
    raw = excluded.raw_repr()
    if raw not in _outside:
        for key in _ABOVE:
            excluded = excluded.remove(key)
        _outside[raw] = excluded
    with torch._C._ForceDispatchKeyGuard(torch._C._dispatch_tls_local_include_set(), _outside[raw]):
        if autocast is None and not torch.is_autocast_enabled(device.type):
            yield
            return
        with torch.autocast(device.type, dtype=autocast, enabled=autocast is not None):
            yield
