"""What is compared."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from cellzoo.bench.candidate import Candidate

DTYPES = ("float32", "float64")


class Case(Protocol):
    """One computation that is done in several ways.

    `CellCase` is one; whatever else is to be timed, such as a step of a search's supernet, is another class
    with these methods, and gets statistics, tables, peak memory and files as it is. `str` says it in a line.
    """

    @property
    def flops(self) -> int:
        """Floating-point operations of a pass."""
        ...

    def candidates(self, engines: Sequence[str]) -> list[str]:
        """Name the candidates, the loop first, which the engines' results are held against."""
        ...

    def build(self, name: str, clock: Callable[[], float]) -> Candidate:
        """Build a candidate; `clock` is what it may choose its methods by."""
        ...

    def describe(self) -> dict[str, Any]:
        """Say what it is, as JSON."""
        ...

    def recipe(self) -> tuple[str, dict[str, Any]]:
        """The path `module:function` of what builds an equal case from these arguments, which are JSON."""
        ...

    def tiny(self) -> Case:
        """The same at tiny sizes, whose run loads everything that a run loads."""
        ...
