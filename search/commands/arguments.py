"""Numbers and seeds on the command line, and lines of output, for the commands of this package."""

from __future__ import annotations

import re
import sys

from cellzoo.errors import CellzooError
from cellzoo.system.text import printable


def whole_number(option: str, text: str, largest: int) -> int:
    """Read a whole number from 1 to `largest`.

    Raises:
        CellzooError: It is not one.
    """
    if not re.fullmatch(r"\d{1,10}", text.strip(), re.ASCII) or not 1 <= int(text) <= largest:
        raise CellzooError(f"{option} {text!r:.40}: expected a whole number from 1 to {largest}")
    return int(text)


def seed_list(text: str) -> list[int]:
    """Read a number of seeds, which count from 0, or a list of seeds.

    Raises:
        CellzooError: It is neither, or there are too many.
    """
    from tasks.commands.run import parse_seeds
    from tasks.runs.run import MAX_SEEDS

    seeds = parse_seeds(text)
    if isinstance(seeds, int) and not 1 <= seeds <= MAX_SEEDS:
        raise CellzooError(f"{seeds} seeds: expected at least 1 and at most {MAX_SEEDS}; one alone is {seeds},")
    return list(range(seeds)) if isinstance(seeds, int) else seeds


def say(*lines: str) -> None:
    """Print lines, with control characters escaped."""
    sys.stdout.writelines(printable(f"{line}\n") for line in lines)
