"""What a search tells whoever listens."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any


class Listener(Protocol):
    """Hears how a search goes on."""

    def begin(self, label: str, epochs: int, done: int, steps: int) -> None:
        """A search of `epochs` epochs of about `steps` steps goes on after `done` of them."""

    def step(self, step: int, numbers: Mapping[str, float]) -> None:
        """Step number `step` of this epoch is over."""

    def epoch(self, event: Mapping[str, Any]) -> None:
        """An epoch is over and its checkpoint written."""

    def concluding(self) -> None:
        """The last epoch is over; the cell is chosen now."""

    def judged(self, done: int, of: int) -> None:
        """So many candidates for the cell are judged, of so many."""

    def end(self, stopped: bool) -> None:
        """Nothing goes on any more; `stopped` says that someone stopped it."""


class Silent:
    """A listener that does nothing."""

    def begin(self, label: str, epochs: int, done: int, steps: int) -> None:
        """Do nothing."""

    def step(self, step: int, numbers: Mapping[str, float]) -> None:
        """Do nothing."""

    def epoch(self, event: Mapping[str, Any]) -> None:
        """Do nothing."""

    def concluding(self) -> None:
        """Do nothing."""

    def judged(self, done: int, of: int) -> None:
        """Do nothing."""

    def end(self, stopped: bool) -> None:
        """Do nothing."""
