"""Cut one long text into parallel streams, and these into segments.

Each word is predicted from the word before it, so a text of N words needs one word of context in front, usually
`<eos>`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from cellzoo.errors import DataError
from tasks.language_modeling.softmax import PADDING

if TYPE_CHECKING:
    from collections.abc import Iterator

SHORT = 0.05
"""Probability of a training segment of half the length, `np.random.random() < 0.95` in the DARTS code."""


@dataclass(frozen=True)
class Streams:
    """B contiguous parts of one text, in columns.

    Attributes:
        inputs: Word numbers, (T, B).
        targets: The word after each input, (T, B); `PADDING` past the end of the text.
    """

    inputs: Tensor
    targets: Tensor

    @property
    def length(self) -> int:
        """T."""
        return self.inputs.shape[0]

    def rows(self, start: int, stop: int) -> tuple[Tensor, Tensor]:
        """Return inputs and targets of some steps, (stop - start, B) each."""
        return self.inputs[start:stop], self.targets[start:stop]

    def to(self, device: torch.device | str) -> Streams:
        """Move both tensors to a device."""
        return Streams(self.inputs.to(device), self.targets.to(device))


class StoredStreams:
    """The same streams as those of `training_streams`, without copying the text: steps are read on demand.

    Args:
        words: Word numbers of any integer dtype, (N,), usually memory-mapped.
        context: Number of the word before the text.
        streams: B.
        device: Device to which steps are moved.
    """

    def __init__(self, words: Tensor, context: int, streams: int, device: torch.device) -> None:
        self.length = words.numel() // streams
        self._columns = words[: self.length * streams].view(streams, self.length)  # (B, T)
        self._before = torch.cat([self._columns.new_tensor([context]), self._columns[:-1, -1]])  # (B,)
        self._device = device

    def rows(self, start: int, stop: int) -> tuple[Tensor, Tensor]:
        """See `Streams`."""
        first = self._columns[:, start - 1] if start else self._before  # (B,)
        words = torch.cat([first[:, None], self._columns[:, start:stop]], dim=1).t().long()  # (1 + T, B)
        moved = words.to(self._device)
        return moved[:-1], moved[1:]


def training_streams(words: Tensor, context: int, streams: int) -> Streams:
    """Cut a text into parts of equal length; up to `streams` - 1 words at the end are left out.

    Args:
        words: Word numbers of the text, (N,).
        context: Number of the word before the text.
        streams: B.

    Raises:
        DataError: The text has fewer words than there are streams.
    """
    length = words.numel() // streams
    if length == 0:
        raise DataError(
            f"the training text has {words.numel()} words, too few for {streams} parallel streams; "
            "take a longer text or a smaller batch_size"
        )
    kept = words[: length * streams]
    return _side_by_side(_before(kept, context), kept, streams)


def evaluation_streams(words: Tensor, context: int, streams: int) -> Streams:
    """Cut a text into parts so that every word is predicted exactly once; the last parts are padded.

    Every part has the actual previous word as its first input. `evaluate.word_losses` computes the initial
    states of the parts.

    Args:
        words: Word numbers of the text, (N,).
        context: Number of the word before the text.
        streams: B.

    Raises:
        DataError: The text is empty.
    """
    if words.numel() == 0:
        raise DataError("a text without words has no perplexity")
    missing = -words.numel() % streams
    inputs = F.pad(_before(words, context), (0, missing), value=context)
    return _side_by_side(inputs, F.pad(words, (0, missing), value=PADDING), streams)


def segments(length: int, bptt: int, jitter: str, generator: torch.Generator) -> Iterator[tuple[int, int]]:
    """Cut `length` time steps into segments of truncated back-propagation.

    Args:
        length: T of the streams.
        bptt: Steps per segment.
        jitter: `none`: always `bptt`. `gaussian`: mean `bptt` in 95 % of the cases and half of it in the
            others, standard deviation 5, at least 5 and at most `bptt` + 20, as in DARTS' train.py. `halved`:
            `bptt` in 95 % of the cases and half of it in the others, as in DARTS' train_search.py.
        generator: Draws the lengths.

    Yields:
        (start, stop) of each segment; together they cover every step once, in order.
    """
    start = 0
    while start < length:
        stop = min(start + _steps(bptt, jitter, generator), length)
        yield start, stop
        start = stop


def mean_steps(bptt: int, jitter: str) -> float:
    """Return the mean length of the segments."""
    return bptt if jitter == "none" else max(1.0, bptt * (1 - SHORT / 2))


def _steps(bptt: int, jitter: str, generator: torch.Generator) -> int:
    if jitter == "none":
        return bptt
    is_short = torch.rand((), generator=generator).item() < SHORT
    if jitter == "halved":
        return max(1, bptt // 2) if is_short else bptt
    mean = bptt / 2 if is_short else bptt
    drawn = int(mean + 5.0 * torch.randn((), generator=generator).item())
    return min(max(5, drawn), bptt + 20)


def _before(words: Tensor, context: int) -> Tensor:
    return torch.cat([words.new_tensor([context]), words[:-1]])


def _side_by_side(inputs: Tensor, targets: Tensor, streams: int) -> Streams:
    return Streams(
        inputs.view(streams, -1).t().contiguous(),  # (T, B)
        targets.view(streams, -1).t().contiguous(),  # (T, B)
    )
