"""CellRNN: any Cell as a recurrent layer with the interface of torch.nn.LSTM and torch.nn.GRU."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, cast
from warnings import warn

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.rnn import PackedSequence

from cellzoo.arguments import check_cell, check_place, checked_probability, checked_size
from cellzoo.cells.graph import HIDDEN_WIDTH
from cellzoo.cells.initial import rules
from cellzoo.direction import Direction
from cellzoo.errors import unknown
from cellzoo.inference import Inference
from cellzoo.initialise import INITS, draw
from cellzoo.rewrites.norm import layer_norm as normalised
from cellzoo.runtime import engine_in_use
from cellzoo.runtime.auto import choose
from cellzoo.runtime.autocast import autocast_dtype, result_dtype
from cellzoo.runtime.operator import longest_batch
from cellzoo.zoneout import expected_cell, state_rates

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cellzoo.cells.cell import Cell

States = Tensor | tuple[Tensor, ...]


class CellRNN(nn.Module):
    """A stack of recurrent layers, in one or both directions, whose cell is any `Cell`.

    Inputs and outputs are those of torch.nn.LSTM: padded input (T, B, E), or (B, T, E) with `batch_first`;
    unbatched input (T, E); or a PackedSequence with any order of lengths. `hx` and `h_n` are
    (num_layers * num_directions, B, H), without B for unbatched input: one tensor for a cell with one
    state, a tuple for a cell with several, in the cell's order. Padded rows are treated as data, as in
    torch.nn.LSTM; pack the batch if lengths differ. Under torch.autocast outputs and states have the dtype of
    autocast, as those of torch.nn.LSTM on GPUs, unless the input is float64.

    Args:
        cell: The cell.
        input_size: E.
        hidden_size: H.
        num_layers: Number of layers; each reads the outputs of the one below.
        bias: Whether the layer has the biases that the cell defines.
        batch_first: Whether padded input and output are (B, T, ...).
        dropout: Probability of dropout on the outputs of every layer but the last.
        bidirectional: Whether there is a second direction, from the last step to the first; outputs are then
            (..., 2 H).
        proj_size: Must be 0. A cell with a projected state is a different cell, with other equations.
        device: As in torch.nn.LSTM.
        dtype: As in torch.nn.LSTM.
        dropout_x: Probability of variational dropout on x (Gal & Ghahramani 2016), with one mask per sequence.
            It applies to x, and to other values of its width, where they are factors of a matrix product.
        dropout_h: The same for values of the hidden width, with one mask for all of them, as in the DARTS cell.
            The state that is passed to the next step is not masked.
        layer_norm: Whether the inputs of activation functions are normalised over their units, as by
            `cellzoo.rewrites.layer_norm`; the attribute `cell` is then the rewritten cell.
        zoneout: Probability that a unit of a state keeps its value at a step of training (Krueger et al. 2017):
            one for all states, or by name of the state. See `cellzoo.zoneout`.
        init: Initialisation of the weights: `uniform` in ±1 / sqrt(H), as in torch.nn.LSTM, or `published`,
            which uses the rules of the cell's publication where the cell has some.
        runtime: The engine, one of `cellzoo.runtime.RUNTIMES`. `auto` uses the fastest applicable engine at
            every call; the attribute `runtime` names the present one.
        precision: `full`, or `bf16`: factors of float32 matrix products, in forward and backward pass, may be
            rounded to bfloat16; sums, weights, states and gradients stay float32. The engine `native` supports
            this on processors with AMX (`cellzoo doctor` says whether there is AMX); otherwise it has no
            effect. Under torch.autocast to bfloat16 the engine does the same in any case.

    Raises:
        TypeError: `cell` is not a Cell, a size not an integer, or a flag not a bool.
        ValueError: A size or probability is out of range.
        CellError: The cell requires equal input and hidden size, and they differ in a layer.
        UnknownNameError: No such engine, `init` or precision.
    """

    def __init__(
        self,
        cell: Cell,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        *,
        dropout_x: float = 0.0,
        dropout_h: float = 0.0,
        layer_norm: bool = False,
        zoneout: float | dict[str, float] = 0.0,
        init: str = "uniform",
        runtime: str = "auto",
        precision: str = "full",
    ) -> None:
        super().__init__()
        check_cell(cell)
        input_size, hidden_size, num_layers = (
            checked_size(what, size)
            for what, size in (
                ("input_size", input_size),
                ("hidden_size", hidden_size),
                ("num_layers", num_layers),
            )
        )
        choices = {"bias": bias, "batch_first": batch_first, "bidirectional": bidirectional}
        for what, choice in {**choices, "layer_norm": layer_norm}.items():
            if not isinstance(choice, bool):
                raise TypeError(f"{what} is {choice!r:.40}; it must be True or False")
        check_place(proj_size, device, dtype)
        dropout, dropout_x, dropout_h = (
            checked_probability(what, value)
            for what, value in (("dropout", dropout), ("dropout_x", dropout_x), ("dropout_h", dropout_h))
        )
        if dropout > 0.0 and num_layers == 1:
            warn(
                f"dropout is {dropout}, but acts between layers, and there is one; give num_layers above 1",
                stacklevel=2,
            )
        delayed_input = any(state.width != HIDDEN_WIDTH for state in cell.states)
        if delayed_input and num_layers > 1 and input_size != hidden_size * (2 if bidirectional else 1):
            raise ValueError(
                "the cell carries its input, whose width would differ between the layers; "
                f"with num_layers {num_layers} input_size must be {hidden_size * (2 if bidirectional else 1)}"
            )
        if init not in INITS:
            raise unknown("init", str(init)[:80], INITS)
        self.init = init
        self.cell = cell = normalised(cell) if layer_norm else cell
        self.zoneout = state_rates(cell, zoneout)
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.num_layers = num_layers
        self.bias = bias
        self.batch_first = batch_first
        self.dropout = dropout
        self.bidirectional = bidirectional
        self.proj_size = 0
        self.dropout_x = dropout_x
        self.dropout_h = dropout_h
        self.precision = precision
        self._runtime = runtime
        self.directions = nn.ModuleList(
            Direction(
                cell,
                input_size if layer == 0 else hidden_size * self.num_directions,
                hidden_size,
                bias=bias,
                device=device,
                dtype=dtype,
                runtime=runtime,
                zoneout=self.zoneout,
                precision=precision,
            )
            for layer in range(num_layers)
            for _ in range(self.num_directions)
        )
        self._inference = Inference(self.inference_cell, input_size, hidden_size, runtime)
        self.reset_parameters()

    @property
    def runtime(self) -> str:
        """Name of the engine that runs the layer, given the present device and dtype of its weights."""
        name = engine_in_use() or self._runtime
        if name != "auto":
            return name
        weight = next(iter(self.direction(0).weights.values()), None)
        return choose(
            torch.device("cpu") if weight is None else weight.device,
            torch.get_default_dtype() if weight is None else weight.dtype,
        )

    @property
    def inference_cell(self) -> Cell:
        """The cell that the layer computes in eval mode: the cell, with the expected value of zoneout."""
        return expected_cell(self.cell, self.zoneout) if self.zoneout else self.cell

    @property
    def num_directions(self) -> int:
        """2 if bidirectional, else 1."""
        return 2 if self.bidirectional else 1

    @property
    def all_weights(self) -> list[list[Tensor]]:
        """The weights of each layer and direction, layer by layer, forward before backward."""
        return [list(self.direction(index).weights.values()) for index in range(len(self.directions))]

    def direction(self, index: int) -> Direction:
        """Return one layer in one direction; `index` is layer * num_directions + (0 forward, 1 backward)."""
        return cast("Direction", self.directions[index])

    def flatten_parameters(self) -> None:
        """Do nothing; for compatibility with torch.nn.LSTM, which compacts its weights here."""

    def reset_parameters(self, generator: torch.Generator | None = None, *, bound: float | None = None) -> None:
        """Initialise all weights, as the argument `init` of the constructor says.

        Args:
            generator: Random number generator; None for torch's default.
            bound: Weights without a published rule are uniform in ±bound; None for 1 / sqrt(H).
        """
        bound = 1.0 / math.sqrt(self.hidden_size) if bound is None else bound
        known = rules(self.cell) if self.init == "published" else {}
        for index in range(len(self.directions)):
            direction = self.direction(index)
            of_parameter = {key: known.get(name) for name, key in direction.keys.items()}
            for key, parameter in direction.named_parameters():
                draw(parameter, of_parameter.get(key), bound, generator)

    def forward(
        self,
        input: Tensor | PackedSequence,  # noqa: A002 - torch.nn.LSTM's name
        hx: States | None = None,
    ) -> tuple[Tensor | PackedSequence, States]:
        """Run the layers over a batch of sequences.

        Args:
            input: (T, B, E), (B, T, E) with `batch_first`, (T, E), or a PackedSequence.
            hx: Initial states, in the caller's order of sequences; zeros if None.

        Returns:
            Outputs (..., num_directions * H) of the same kind as `input`, and the states after each
            sequence's last step.

        Raises:
            TypeError: `input` or `hx` is not a tensor.
            ValueError: A shape is wrong, or, outside of autocast, a dtype.
        """
        found = self._inference.sequence(self, input, hx)
        if found is not None:
            return found
        (output,), final = self._run_input(input, hx, None, False)
        return output, final

    def step(self, x: Tensor, state: States | None = None) -> tuple[Tensor, States]:
        """Run one time step, for streaming input. A loop over steps gives the same results as `forward`.

        Without gradients, on the CPU, there is little overhead beside the products. Nothing is cached between
        steps: the present weights are read at each.

        Args:
            x: (B, E), or (E,) unbatched.
            state: As `hx` in `forward`, such as the states that the previous step returned; zeros if None.

        Returns:
            The output (B, H), or (H,), and the states.

        Raises:
            TypeError: `x` or `state` is not a tensor.
            ValueError: The layer is bidirectional, or a shape or dtype is wrong.
        """
        if self.bidirectional:
            raise ValueError("a bidirectional layer has no single step: it reads the end of a sequence first")
        if not isinstance(x, Tensor):
            raise TypeError(f"x is a {type(x).__name__}; it must be a torch.Tensor")
        if x.dim() not in (1, 2):
            raise ValueError(f"x has {x.dim()} dimensions; expected 1 (unbatched) or 2")
        if not self._forward_hooks and not self._forward_pre_hooks:  # the fast path would not call them
            found = self._inference.step(self, x, state)
            if found is not None:
                return found
        axis = 1 if self.batch_first and x.dim() == 2 else 0
        output, final = self(x.unsqueeze(axis), state)
        return output.squeeze(axis), final

    def forward_layers(
        self,
        input: Tensor | PackedSequence,  # noqa: A002 - as in `forward`
        hx: States | None = None,
        kept: Tensor | None = None,
    ) -> tuple[list[Tensor | PackedSequence], States]:
        """Run the layers, and return the outputs of each of them, as they are before dropout between layers.

        Args:
            input: As in `forward`.
            hx: As in `forward`.
            kept: For padded input: (T, B), or (B, T) with `batch_first`; False for tokens to skip. Skipped
                tokens keep the states and repeat the previous output, or zeros. No control flow depends on its
                values, so it can be traced. The reference engine runs such a call; packing the batch is faster.

        Returns:
            The outputs of each layer, from first to last, and the states, as `forward` returns them.

        Raises:
            ValueError: As in `forward`.
        """
        return self._run_input(input, hx, kept, True)

    def _run_input(
        self, given: Tensor | PackedSequence, hx: States | None, kept: Tensor | None, every: bool
    ) -> tuple[list[Tensor | PackedSequence], States]:
        # Zoneout draws new random numbers at each time step. Unrolled steps would take minutes to compile for
        # each length, so the call is not compiled. Exported programs must be a single graph, whatever its size.
        has_zoneout = bool(self.zoneout) and self.training
        if has_zoneout and torch.compiler.is_dynamo_compiling() and not torch.compiler.is_exporting():
            from cellzoo.runtime.compiled import run_apart

            found: tuple[list[Tensor | PackedSequence], States] = run_apart(
                self._run_kind, given, hx, kept, every
            )
            return found
        return self._run_kind(given, hx, kept, every)

    def _runs_as_nodes(self) -> bool:
        """Whether a pass becomes one node of a compiled or exported graph; see `cellzoo.runtime.operator`."""
        if not torch.compiler.is_compiling() or (self.zoneout and self.training):
            return False
        if not torch.compiler.is_exporting():
            return True
        # Exported as plain torch operations if the engine is `reference`, and to ONNX, which has no custom
        # operators.
        if self._runtime == "reference" or torch.onnx.is_in_onnx_export():
            return False
        return torch.compiler.is_dynamo_compiling() or engine_in_use() != "reference"

    def _run_kind(
        self, given: Tensor | PackedSequence, hx: States | None, kept: Tensor | None, every: bool
    ) -> tuple[list[Tensor | PackedSequence], States]:
        if not isinstance(given, Tensor | PackedSequence):
            raise TypeError(f"input is a {type(given).__name__}; it must be a torch.Tensor or a PackedSequence")
        if isinstance(given, PackedSequence):
            packed, states = self._run_packed(given, hx, every)
            return [*packed], states
        padded, states = self._run_padded(given, hx, kept, every)
        return [*padded], states

    def _run_packed(
        self, packed: PackedSequence, hx: States | None, every: bool
    ) -> tuple[list[PackedSequence], States]:
        data, batch_sizes, sorted_indices, unsorted_indices = packed
        if data.dim() != 2:
            raise ValueError(
                f"input has packed data of {data.dim()} dimensions; expected 2, as of (T, E) tensors"
            )
        if data.size(-1) != self.input_size:
            raise ValueError(f"input has width {data.size(-1)}; input_size is {self.input_size}")
        sizes = batch_sizes if self._runs_as_nodes() else batch_sizes.tolist()
        if not isinstance(sizes, Tensor):
            batch = sizes[0]
        elif sorted_indices is not None:
            batch = sorted_indices.size(0)
        elif hx is not None:
            batch = (hx if isinstance(hx, Tensor) else hx[0]).size(1)
        else:
            batch = longest_batch(sizes)
        states = self._initial_states(hx, batch, data, batched=True)
        if sorted_indices is not None:
            states = [state.index_select(1, sorted_indices) for state in states]
        outputs, final = self._run(data, batch, sizes, states, None, every)
        if unsorted_indices is not None:
            final = [state.index_select(1, unsorted_indices) for state in final]
        return [
            PackedSequence(output, batch_sizes, sorted_indices, unsorted_indices) for output in outputs
        ], self._give_states(final)

    def _run_padded(
        self, padded: Tensor, hx: States | None, kept: Tensor | None, every: bool
    ) -> tuple[list[Tensor], States]:
        if padded.dim() not in (2, 3):
            raise ValueError(f"input has {padded.dim()} dimensions; expected 2 (unbatched) or 3")
        if padded.size(-1) != self.input_size:
            raise ValueError(f"input has width {padded.size(-1)}; input_size is {self.input_size}")
        if kept is not None and kept.shape != padded.shape[:-1]:
            raise ValueError(f"kept has shape {tuple(kept.shape)}; expected {tuple(padded.shape[:-1])}")
        batched = padded.dim() == 3
        turned = batched and self.batch_first

        def time_first(tensor: Tensor) -> Tensor:
            tensor = tensor if batched else tensor.unsqueeze(1)
            return tensor.transpose(0, 1) if turned else tensor

        sequence = time_first(padded)  # (T, B, E)
        steps, batch = sequence.size(0), sequence.size(1)
        if steps == 0:
            raise ValueError("input has no time step; at least one is needed")
        states = self._initial_states(hx, batch, padded, batched=batched)
        rows = sequence.reshape(steps * batch, self.input_size)
        kept_rows = None if kept is None else time_first(kept).reshape(steps * batch)
        sizes = (
            [batch] * steps if not self._runs_as_nodes() else torch.full((steps,), batch, device="cpu")
        )  # (T,)
        outputs, final = self._run(rows, batch, sizes, states, kept_rows, every)
        results = [output.view(steps, batch, output.size(1)) for output in outputs]  # (T, B, directions * H)
        if not batched:
            return [result.squeeze(1) for result in results], self._give_states(
                [state.squeeze(1) for state in final]
            )
        return [result.transpose(0, 1) if turned else result for result in results], self._give_states(final)

    def _run(
        self,
        data: Tensor,
        batch: int,
        batch_sizes: Sequence[int] | Tensor,
        states: Sequence[Tensor],
        kept: Tensor | None,
        every: bool,
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Run all layers over packed rows (N, E). States are (num_layers * num_directions, B, H)."""
        self._check_dtypes(data, states)
        given: list[Tensor] = []
        finals: list[tuple[Tensor, ...]] = []
        for layer in range(self.num_layers):
            outputs = []
            for way in range(self.num_directions):
                index = layer * self.num_directions + way
                output, final = self._run_direction(
                    index,
                    data,
                    [state[index] for state in states],
                    batch_sizes=batch_sizes,
                    reverse=way == 1,
                    mask_x=self._mask(data, batch, data.size(1), self.dropout_x),
                    mask_h=self._mask(data, batch, self.hidden_size, self.dropout_h),
                    kept=kept,
                )
                outputs.append(output)
                finals.append(final)
            data = torch.cat(outputs, dim=1) if len(outputs) > 1 else outputs[0]  # (N, num_directions * H)
            given = [*given, data] if every else [data]
            if layer < self.num_layers - 1:
                data = F.dropout(data, self.dropout, self.training)
        return given, [torch.stack(parts) for parts in zip(*finals, strict=True)]

    def _run_direction(
        self, index: int, data: Tensor, states: Sequence[Tensor], **options: Any
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Run one layer in one direction; options as in `Direction.forward`."""
        dtype = result_dtype((data, *states), autocast_dtype(data.device))
        output, final = self.direction(index)(data, states=states, **options)
        return output.to(dtype), tuple(state.to(dtype) for state in final)

    def _check_dtypes(self, data: Tensor, states: Sequence[Tensor]) -> None:
        weight = next(self.parameters(), None)
        if weight is None or autocast_dtype(data.device) is not None:
            return
        for what, tensor in (("input", data), *(("hx", state) for state in states)):
            if tensor.dtype != weight.dtype:
                raise ValueError(f"{what} is {tensor.dtype}, but the weights are {weight.dtype}; convert one")

    def _mask(self, like: Tensor, batch: int, width: int, probability: float) -> Tensor | None:
        """Draw a (batch, width) mask of 0 and 1 / (1 - p); None if dropout is off."""
        if not self.training or probability == 0.0:
            return None
        return F.dropout(like.new_ones(batch, width), probability)

    def _initial_states(self, hx: States | None, batch: int, like: Tensor, *, batched: bool) -> list[Tensor]:
        wanted = self.cell.states
        rows = len(self.directions)
        widths = [self.hidden_size if state.width == HIDDEN_WIDTH else self.input_size for state in wanted]
        if hx is None:
            return [like.new_zeros(rows, batch, width) for width in widths]
        given = (hx,) if isinstance(hx, Tensor) else tuple(hx) if isinstance(hx, tuple | list) else (None,)
        if not all(isinstance(state, Tensor) for state in given):
            kind = "a torch.Tensor" if len(wanted) == 1 else f"a tuple of {len(wanted)} torch.Tensors"
            raise TypeError(f"hx is {hx!r:.40}; it must be {kind}, or None")
        if len(given) != len(wanted) or (isinstance(hx, Tensor) and len(wanted) > 1):
            names = ", ".join(state.name for state in wanted)
            raise ValueError(f"hx has {len(given)} state(s); the cell has {len(wanted)} ({names})")
        for state, width, tensor in zip(wanted, widths, given, strict=True):
            expected = (rows, batch, width) if batched else (rows, width)
            if tuple(tensor.shape) != expected:
                raise ValueError(f"hx: {state.name} has shape {tuple(tensor.shape)}; expected {expected}")
        return list(given) if batched else [tensor.unsqueeze(1) for tensor in given]

    def _give_states(self, final: Sequence[Tensor]) -> States:
        return final[0] if len(self.cell.states) == 1 else tuple(final)

    def extra_repr(self) -> str:
        """Cell, sizes, and the options that differ from their defaults."""
        options = {
            "num_layers": (self.num_layers, 1),
            "bias": (self.bias, True),
            "batch_first": (self.batch_first, False),
            "dropout": (self.dropout, 0.0),
            "bidirectional": (self.bidirectional, False),
            "dropout_x": (self.dropout_x, 0.0),
            "dropout_h": (self.dropout_h, 0.0),
            "zoneout": (self.zoneout, {}),
            "init": (self.init, "uniform"),
            "precision": (self.precision, "full"),
        }
        changed = [f"{name}={value}" for name, (value, default) in options.items() if value != default]
        return ", ".join([self.cell.name or "cell", str(self.input_size), str(self.hidden_size), *changed])
