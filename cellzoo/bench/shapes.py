"""The sizes that cells are timed at."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cellzoo.errors import CellzooError, unknown

if TYPE_CHECKING:
    from collections.abc import Iterable

# Input and output together; a loop keeps some thirty times as much for its backward pass.
MAX_VALUES = 100_000_000
_FORM = re.compile(r"(\d{1,9})x(\d{1,9})x(\d{1,9})x(\d{1,9})", re.ASCII)


@dataclass(frozen=True)
class Shape:
    """Sizes of one batch of padded sequences.

    Attributes:
        name: How it is called.
        batch: B, sequences.
        steps: T, time steps.
        input_size: E.
        hidden_size: H.
    """

    name: str
    batch: int
    steps: int
    input_size: int
    hidden_size: int

    @property
    def tokens(self) -> int:
        """B T, the rows of a packed batch."""
        return self.batch * self.steps

    def __str__(self) -> str:
        sizes = f"{self.batch}x{self.steps}x{self.input_size}x{self.hidden_size}"
        return sizes if self.name == sizes else f"{self.name} ({sizes})"


SHAPES = {
    shape.name: shape
    for shape in (
        Shape("a", 32, 30, 256, 256),
        Shape("b", 64, 35, 300, 300),
        Shape("c", 32, 30, 512, 512),
        # The search's batch in rnn/train_search.py of quark0/darts.
        Shape("d", 256, 35, 300, 300),
    )
}


def find_shapes(texts: Iterable[str]) -> list[Shape]:
    """Read shapes, each a key of `SHAPES` or `BxTxExH`, several in one text separated by commas.

    Raises:
        CellzooError: A text is neither, a size is 0, or the shape is too large to time.
    """
    found = {name.strip(): _find_shape(name.strip()) for text in texts for name in text.split(",")}
    return list(dict.fromkeys(found.values()))


def _find_shape(text: str) -> Shape:
    if text in SHAPES:
        return SHAPES[text]
    match = _FORM.fullmatch(text)
    form = "A shape of your own is BxTxExH: batch, time steps, input size, hidden size, such as 32x30x256x256."
    if match is None:
        raise unknown("shape", text[:80], SHAPES, form)
    batch, steps, input_size, hidden_size = map(int, match.groups())
    if not batch * steps * input_size * hidden_size:
        raise CellzooError(f"shape {text!r}: a size is 0. {form}")
    shape = Shape(f"{batch}x{steps}x{input_size}x{hidden_size}", batch, steps, input_size, hidden_size)
    values = shape.tokens * (input_size + hidden_size) + hidden_size * (input_size + hidden_size)
    if values > MAX_VALUES:
        raise CellzooError(
            f"shape {text!r}: one matrix, the inputs and the outputs have {values:,} numbers together; "
            f"at most {MAX_VALUES:,} are allowed"
        )
    return shape
