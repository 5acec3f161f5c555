"""Defines what is timed: a case is one computation at one shape, done by several candidates."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cellzoo.errors import CellzooError, unknown
from cellzoo.system.plugins import plugins

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from torch import Tensor

    # One pass; returns the outputs, and in training the gradient of x. Bare products return nothing.
    Pass = Callable[[], Sequence[Tensor]]

DTYPES = ("float32", "float64")
LOOP, LSTM, GRU, PRODUCTS = "loop", "nn.LSTM", "nn.GRU", "bare products"
LSTM_BF16, LSTM_AUTOCAST, TORCHRECURRENT = "nn.LSTM bf16", "nn.LSTM autocast", "torchrecurrent"
# Layers of other libraries.
OTHERS = (LSTM, LSTM_BF16, LSTM_AUTOCAST, GRU, TORCHRECURRENT)
# What engines are compared with by default.
BESIDE = (LOOP, LSTM, GRU, TORCHRECURRENT, PRODUCTS)
# Suffix of candidates whose matrix products round their inputs to bfloat16.
BF16 = " bf16"
# Input, output and one matrix together; a loop stores about thirty times as much for its backward pass.
MAX_VALUES = 100_000_000
_FORM = re.compile(r"(\d{1,9})x(\d{1,9})x(\d{1,9})x(\d{1,9})(-packed)?", re.ASCII)


@dataclass(frozen=True)
class Shape:
    """Sizes of one batch: B sequences, T time steps of the longest, E and H.

    The lengths of packed sequences are spread evenly from T / 4 to T, and cells run in both directions, as in
    taggers. Otherwise all sequences have T steps, and cells run in the forward direction.
    """

    name: str
    batch: int
    steps: int
    input_size: int
    hidden_size: int
    packed: bool = False

    @property
    def batch_sizes(self) -> list[int]:
        """Number of sequences that have a token at each step, as in a PackedSequence."""
        shrink = 0.75 / max(1, self.batch - 1) if self.packed else 0.0
        lengths = [max(1, round(self.steps * (1 - shrink * index))) for index in range(self.batch)]
        return [sum(length > step for length in lengths) for step in range(self.steps)]

    @property
    def tokens(self) -> int:
        """Number of tokens: B T if all sequences have T steps."""
        return sum(self.batch_sizes)

    @property
    def directions(self) -> int:
        """Number of directions: 2 for packed sequences, else 1."""
        return 2 if self.packed else 1

    def __str__(self) -> str:
        form = f"{self.batch}x{self.steps}x{self.input_size}x{self.hidden_size}" + "-packed" * self.packed
        return form if self.name == form else f"{self.name} ({form})"


SHAPES = {
    shape.name: shape
    for shape in (
        Shape("a", 32, 30, 256, 256),
        Shape("b", 64, 35, 300, 300),
        Shape("c", 32, 30, 512, 512),
        # The batch of the search in rnn/train_search.py of quark0/darts.
        Shape("d", 256, 35, 300, 300),
        Shape("sentences", 32, 30, 256, 256, packed=True),
        Shape("paragraphs", 16, 200, 256, 256, packed=True),
        Shape("pages", 4, 1000, 128, 128, packed=True),
        # The latency of one sentence.
        Shape("one", 1, 20, 256, 256),
    )
}


def find_shapes(texts: Iterable[str]) -> list[Shape]:
    """Read shapes, each a key of `SHAPES`, `BxTxExH` or `BxTxExH-packed`, several in one text with commas.

    Raises:
        CellzooError: A text is none of these, a size is 0, or the shape is too large to time.
    """
    return list(dict.fromkeys(_find_shape(name.strip()) for text in texts for name in text.split(",")))


def _find_shape(text: str) -> Shape:
    if text in SHAPES:
        return SHAPES[text]
    match = _FORM.fullmatch(text)
    form = (
        "A shape of your own is BxTxExH: batch, time steps, input size, hidden size, such as 32x30x256x256, "
        "or 32x30x256x256-packed."
    )
    if match is None:
        raise unknown("shape", text[:80], SHAPES, form)
    batch, steps, input_size, hidden_size = map(int, match.groups()[:4])
    if not batch * steps * input_size * hidden_size:
        raise CellzooError(f"shape {text!r}: a size is 0. {form}")
    values = (batch * steps + hidden_size) * (input_size + hidden_size)
    if values > MAX_VALUES:
        raise CellzooError(
            f"shape {text!r}: one matrix, the inputs and the outputs have {values:,} numbers together; "
            f"at most {MAX_VALUES:,} are allowed"
        )
    name = f"{batch}x{steps}x{input_size}x{hidden_size}{match[5] or ''}"
    return Shape(name, batch, steps, input_size, hidden_size, packed=bool(match[5]))


@dataclass(frozen=True)
class Case:
    """One computation by several candidates: a pass of a cell, a step of a supernet, or that of a plug-in.

    Attributes:
        title: Title, one line.
        shape: The sizes.
        flops: Candidate -> floating-point operations of its pass. If there is a `LOOP`, it comes first.
        engines: The candidates whose results must agree with those of the loop.
        build: Builds the pass of a candidate at a shape. As memory is measured in another process, it must be a
            `functools.partial` of a function of a module, with keyword arguments that JSON can represent.
        description: The case as JSON.
    """

    title: str
    shape: Shape
    flops: Mapping[str, int]
    engines: Sequence[str]
    build: Callable[[str, Shape], Pass]
    description: dict[str, Any]

    @property
    def work(self) -> int:
        """FLOPs of all candidates, roughly proportional to the time that the case takes."""
        return sum(self.flops.values())


def benchmark_cases(name: str, shapes: Iterable[Shape], dtype: str, engines: Sequence[str]) -> list[Case]:
    """The cases of a benchmark that a package provides, such as training steps of taggers.

    Benchmarks are entry points of the group `cellzoo.benchmarks`: functions that take a shape, the name of a
    dtype and the engines, and return the cases to time.

    Raises:
        UnknownNameError: No package provides that benchmark, or the package cannot be imported.
    """
    found = {key: build for key, build, _ in plugins("cellzoo.benchmarks")}
    if name not in found:
        raise unknown("benchmark", name[:80], found)
    return [case for shape in shapes for case in found[name](shape, dtype, engines)]
