"""Families of random cells: a name that ends in a seed stands for the cell that is drawn with it."""

from __future__ import annotations

import random
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_SEED = 2**32 - 1


@dataclass(frozen=True)
class Family:
    """A family of cells.

    Attributes:
        prefix: The part of a member's name before the seed.
        notation: The notation of the text that `draw` returns.
        summary: One line that describes the members.
        draw: Seed -> genotype text, the same in every process and on every platform.
    """

    prefix: str
    notation: str
    summary: str
    draw: Callable[[int], str]

    @property
    def pattern(self) -> str:
        """The form of the members' names."""
        return f"{self.prefix}<seed>"

    def seed(self, name: str) -> int | None:
        """Return the seed in a member's name; None if `name` is not a member."""
        match = re.fullmatch(re.escape(self.prefix) + r"(0|[1-9][0-9]{0,9})", name)
        return int(match.group(1)) if match and int(match.group(1)) <= MAX_SEED else None


def draw_random_darts(seed: int) -> str:
    """Draw a DARTS genotype of 8 nodes: operation and predecessor of each node are uniform.

    This is the space of the random search of Li & Talwalkar 2019, "Random Search and
    Reproducibility for NAS", section 4.1.
    """
    from cellzoo.notations import darts

    return darts.sample(random.Random(seed))  # noqa: S311 - a reproducible draw, no secret


FAMILIES = (
    Family(
        "random-darts-",
        "darts",
        "8 nodes, operation and predecessor uniform (random search in the DARTS space)",
        draw_random_darts,
    ),
)
