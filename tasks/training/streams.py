"""The random number generators of a run, all derived from one seed."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch

from cellzoo.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from torch import Tensor

_DEFAULT_CPU, _DEFAULT_CUDA = "default_cpu", "default_cuda"


class RandomStreams:
    """Independent random number generators, one per purpose.

    Args:
        seed: Seed of all of them.
        device: Dropout masks come from torch's default generator of this device.

    Attributes:
        model: Draws initial weights and everything that a search method draws. `state` leaves it out: the
            learner saves it.
        train: Draws the order and the lengths of training batches.
        validation: Draws those of the validation batches.
    """

    def __init__(self, seed: int, device: torch.device) -> None:
        source = torch.Generator().manual_seed(seed)
        self.model, self.train, self.validation = (_child(source) for _ in range(3))
        self._masks = _draw(source)
        self.device = device

    @contextmanager
    def in_force(self) -> Iterator[None]:
        """Seed torch's default generators for the run, and restore their states afterwards."""
        gpus = [self.device.index or 0] if self.device.type == "cuda" else []
        with torch.random.fork_rng(devices=gpus):
            torch.manual_seed(self._masks)
            yield

    def state(self) -> dict[str, Tensor]:
        """Return the states of all generators except `model`."""
        states = {"train": self.train.get_state(), "validation": self.validation.get_state()}
        states[_DEFAULT_CPU] = torch.get_rng_state()
        if self.device.type == "cuda":
            states[_DEFAULT_CUDA] = torch.cuda.get_rng_state(self.device)
        return states

    def restore(self, states: Mapping[str, Tensor]) -> None:
        """Restore what `state` returned; call it within `in_force`.

        Raises:
            DataError: A state is missing, or is not the state of a generator.
        """
        if set(states) != set(self.state()):
            raise DataError("lacks states of random number generators")
        try:
            self.train.set_state(states["train"])
            self.validation.set_state(states["validation"])
            torch.set_rng_state(states[_DEFAULT_CPU])
            if self.device.type == "cuda":
                torch.cuda.set_rng_state(states[_DEFAULT_CUDA], self.device)
        except (RuntimeError, TypeError) as error:
            raise DataError(f"holds a state that is not one of a random number generator: {error}") from error


@contextmanager
def default_generator(generator: torch.Generator) -> Iterator[None]:
    """Seed torch's default CPU generator from `generator`, and restore its state afterwards.

    For code that takes no generator, such as Flair and the layers of torch.nn.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(_draw(generator))
        yield


def _child(source: torch.Generator) -> torch.Generator:
    return torch.Generator().manual_seed(_draw(source))


def _draw(source: torch.Generator) -> int:
    return int(torch.randint(2**62, (), generator=source))
