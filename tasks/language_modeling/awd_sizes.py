"""The sizes of the AWD macro model that NAS-Bench-NLP trains each cell in, and its count of parameters.

Light to import, so that a count takes neither torch nor weights; the model itself is in `awd.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cellzoo.cells.cell import Cell


@dataclass(frozen=True)
class AWDSizes:
    """Sizes of the model of AWD-LSTM (Merity et al. 2018, arXiv 1708.02182) with any cell and a tied decoder.

    The defaults are those of all published runs of NAS-Bench-NLP (Klyuchnikov et al. 2020): layers of
    400 -> 600, 600 -> 600 and 600 -> 400.

    Attributes:
        vocabulary_size: V.
        embedding_size: E, also the width of the last layer's output, as the decoder is tied.
        hidden_size: H, the width between the layers.
        num_layers: Recurrent layers.
    """

    vocabulary_size: int
    embedding_size: int = 400
    hidden_size: int = 600
    num_layers: int = 3

    @property
    def layers(self) -> tuple[tuple[int, int], ...]:
        """Input and hidden size of each recurrent layer."""
        between = [self.hidden_size] * (self.num_layers - 1)
        return tuple(zip([self.embedding_size, *between], [*between, self.embedding_size], strict=True))

    def num_parameters(self, cell: Cell) -> int:
        """Count the parameters of the model: embedding, decoder bias, and the cell in each layer."""
        in_layers = sum(
            cell.num_parameters(input_size=input_size, hidden_size=hidden_size)
            for input_size, hidden_size in self.layers
        )
        return self.vocabulary_size * self.embedding_size + self.vocabulary_size + in_layers
