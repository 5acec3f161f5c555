"""The candidates of a cell: the loop, engines, layers of other libraries, and bare products."""

from __future__ import annotations

from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from cellzoo.bench.case import (
    BESIDE,
    BF16,
    LOOP,
    LSTM,
    LSTM_AUTOCAST,
    LSTM_BF16,
    OTHERS,
    PRODUCTS,
    TORCHRECURRENT,
    Case,
    Shape,
)
from cellzoo.bench.loop import build_loop, darts_genotype
from cellzoo.bench.others import build_layer, cell_of, has_counterpart, has_torchrecurrent
from cellzoo.bench.products import product_groups, product_pass, products_flops
from cellzoo.cells.cell import Cell
from cellzoo.layer import CellRNN
from cellzoo.notations import darts
from cellzoo.runtime import RUNTIMES, load_engine
from cellzoo.runtime.recurrence import can_scan

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from cellzoo.bench.case import Pass
    from cellzoo.bench.loop import LoopRNN

ENGINES = tuple(name for name in RUNTIMES if name != "auto")


def cell_case(
    cell: Cell,
    shape: Shape,
    *,
    training: bool,
    dtype: str,
    engines: Sequence[str],
    beside: Collection[str] = BESIDE,
    precision: str = "full",
    device: str = "cpu",
) -> Case:
    """The case of one cell at one shape, for training or inference.

    Args:
        cell: The cell.
        shape: The sizes.
        training: Whether to include the backward pass: a training step without the optimizer.
        dtype: One of `cellzoo.bench.case.DTYPES`.
        engines: Some of `ENGINES`; `scan` is left out if the cell cannot be scanned.
        beside: Some of `cellzoo.bench.case.BESIDE`; those that do not apply to the cell are left out, and
            torchrecurrent if it is not installed. Without the loop, results are not compared.
        precision: With `bf16`, engines that support bfloat16 products run in both precisions, and nn.LSTM also
            runs in bfloat16.
        device: Device of the layers.

    Raises:
        CellError: The cell needs E = H, and the shape's differ.
    """
    engines = [name for name in engines if name != "scan" or can_scan(cell)] or engines
    others = set(beside)
    if precision == "bf16":
        rounding = [name for name in engines if load_engine(name).prepare_rounding is not None]
        engines = [*engines, *(f"{name}{BF16}" for name in rounding)]
        others |= {LSTM_BF16, LSTM_AUTOCAST} if LSTM in others else set()
    if shape.packed or not (has_counterpart(cell) and has_torchrecurrent()):
        others.discard(TORCHRECURRENT)
    groups = product_groups(cell, shape)
    own = pass_flops(cell, shape, training=training)
    flops = {LOOP: own} if LOOP in others else {}
    flops |= dict.fromkeys(engines, own)
    for name in OTHERS:
        if name in others:
            flops[name] = pass_flops(cell_of(name, cell), shape, training=training)
    if groups and PRODUCTS in others:
        flops[PRODUCTS] = products_flops(groups, training=training)
    kind = "training step" if training else "inference"
    return Case(
        title=f"{cell.name or 'cell'}, shape {shape}, {kind}, {dtype}",
        shape=shape,
        flops=flops,
        engines=engines,
        build=partial(build, cell=cell.to_json(), training=training, dtype=dtype, device=device),
        description={
            "cell": cell.name,
            "cell_hash": cell.hash,
            "shape": asdict(shape),
            "pass": "training" if training else "inference",
            "dtype": dtype,
            "device": device,
            "loop": "node by node" if darts_genotype(cell) is None else "as in the DARTS code",
        },
    )


def pass_flops(cell: Cell, shape: Shape, *, training: bool) -> int:
    """Count the floating-point operations of one pass over a batch; backward counts as twice forward.

    The backward pass of A @ W^T has two products of the same size, for the gradients of A and of W. By
    convention elementwise operations are counted in the same way, which makes little difference.
    """
    token = cell.flops(input_size=shape.input_size, hidden_size=shape.hidden_size)
    return token * shape.tokens * shape.directions * (3 if training else 1)


def build(name: str, shape: Shape, *, cell: str, training: bool, dtype: str, device: str) -> Pass:
    """Build the pass of a candidate: one layer, with the same weights and inputs for all candidates.

    Initial states are 0. In training, the gradients of the weights and of x are computed. On a GPU, a pass
    waits until the device has finished.

    Args:
        name: The candidate.
        shape: The sizes.
        cell: The cell as JSON, from `Cell.to_json`.
        training: See `cell_case`.
        dtype: See `cell_case`.
        device: See `cell_case`.
    """
    run = _build_pass(Cell.from_json(cell), training, getattr(torch, dtype), torch.device(device), name, shape)
    if device == "cpu":
        return run

    def run_to_the_end() -> Sequence[Tensor]:
        results = run()
        torch.cuda.synchronize(device)
        return results

    return run_to_the_end


def _build_pass(
    cell: Cell, training: bool, dtype: torch.dtype, device: torch.device, name: str, shape: Shape
) -> Pass:
    if name == PRODUCTS:
        return product_pass(product_groups(cell, shape), training=training, dtype=dtype, device=device)
    sizes = shape.input_size, shape.hidden_size
    rnn: nn.Module
    if name in OTHERS:
        rnn = build_layer(name, cell, shape, dtype)
    else:
        genotype = darts_genotype(cell)
        # The same graph, with the names of weights that the DARTS loop expects.
        cell = cell if genotype is None else darts.parse(genotype, cell.name)
        runtime = "reference" if name == LOOP else name.removesuffix(BF16)
        precision = "bf16" if name.endswith(BF16) else "full"
        rnn = CellRNN(
            cell, *sizes, bidirectional=shape.packed, dtype=dtype, runtime=runtime, precision=precision
        )
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in rnn.parameters():
            parameter.uniform_(-(shape.hidden_size**-0.5), shape.hidden_size**-0.5, generator=generator)
    # Weights and inputs are drawn in `dtype` for all candidates, and then converted.
    held = torch.bfloat16 if name == LSTM_BF16 else dtype
    rnn.to(device, held)
    if name == LOOP and isinstance(rnn, CellRNN):
        weights = [rnn.direction(way).weights for way in range(shape.directions)]
        loops = [build_loop(cell, named, input_size=sizes[0], hidden_size=sizes[1]) for named in weights]
        return _pass(
            partial(_run_loops, loops, shape),
            [weight for loop in loops for weight in loop.weights],
            shape,
            dtype=dtype,
            held=held,
            device=device,
            training=training,
        )
    batch_sizes = torch.tensor(shape.batch_sizes)

    def run(x: Tensor) -> Tensor:
        output: Tensor = rnn(PackedSequence(x, batch_sizes))[0].data if shape.packed else rnn(x)[0]
        return output

    def run_in_bfloat16(x: Tensor) -> Tensor:
        with torch.autocast(device.type, torch.bfloat16):
            return run(x)

    layer = run_in_bfloat16 if name == LSTM_AUTOCAST else run
    return _pass(layer, list(rnn.parameters()), shape, dtype=dtype, held=held, device=device, training=training)


def _run_loops(loops: Sequence[LoopRNN], shape: Shape, x: Tensor) -> Tensor:
    """Run loops over padded x (T, B, E), or over packed rows (N, E), which are padded and reversed."""
    if not shape.packed:
        return loops[0](x)
    padded, lengths = pad_packed_sequence(PackedSequence(x, torch.tensor(shape.batch_sizes)))  # (T, B, E)
    steps, columns = torch.arange(shape.steps)[:, None], torch.arange(shape.batch, device=x.device)
    turned = torch.where(steps < lengths, lengths - 1 - steps, steps).to(x.device)  # (T, B)
    there, back = loops[0](padded), loops[1](padded[turned, columns])  # (T, B, H)
    return pack_padded_sequence(torch.cat([there, back[turned, columns]], -1), lengths).data


def _pass(
    layer: Callable[[Tensor], Tensor],
    weights: Sequence[Tensor],
    shape: Shape,
    *,
    dtype: torch.dtype,
    held: torch.dtype,
    device: torch.device,
    training: bool,
) -> Pass:
    """A pass through a layer that maps x (T, B, E) to outputs (T, B, H), or packed rows (N, E) to (N, 2 H).

    Random numbers are drawn in `dtype` and converted to `held`.
    """
    generator = torch.Generator().manual_seed(1)
    rows = (shape.tokens,) if shape.packed else (shape.steps, shape.batch)
    x = torch.randn(*rows, shape.input_size, dtype=dtype, generator=generator).to(device, held)
    size = shape.directions * shape.hidden_size
    gradient = torch.randn(*rows, size, dtype=dtype, generator=generator).to(device, held)
    x.requires_grad_(training)

    def run() -> list[Tensor]:
        if not training:
            with torch.no_grad():
                return [layer(x)]
        for tensor in (x, *weights):
            tensor.grad = None
        output = layer(x)
        output.backward(gradient)
        assert x.grad is not None  # noqa: S101 - every cell depends on x
        return [output.detach(), x.grad]

    return run
