"""The families into which lists and pages group the cells of the zoo."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cellzoo.entry import CellEntry

FOUND_PREFIX = "found-"
_BENCHMARK = ("nbnlp-*",)
# Intermediate results of searches, from repositories that published them beside the final cell.
_ARCHIVE = ("evalnas-*", "nasabn-*", "fortunechen-*", "renqianluo-*", "lzwpku-*")


@dataclass(frozen=True)
class Shelf:
    """A family of cells.

    Attributes:
        name: Its name in lists and filters.
        title: The heading above its cells on a page.
        summary: One line that describes its cells.
    """

    name: str
    title: str
    summary: str


HAND_DESIGNED = Shelf("hand-designed", "Designed by hand", "designed by people, from papers and their code")
SEARCHED = Shelf("searched", "Found by searches, published", "the result of a published search")
FOUND = Shelf("found", "Found by searches here", "found by the searches of this project, each with its record")
BENCHMARK = Shelf("benchmark", "NAS-Bench-NLP", "recipes of NAS-Bench-NLP")
ARCHIVE = Shelf("archive", "Archive", "snapshots of searches, kept so that they load by name")

SHELVES = (HAND_DESIGNED, SEARCHED, FOUND, BENCHMARK, ARCHIVE)


def shelf_of(found: CellEntry) -> Shelf:
    """The family of a cell of the catalog."""
    if found.name.startswith(FOUND_PREFIX):
        return FOUND
    for shelf, patterns in ((BENCHMARK, _BENCHMARK), (ARCHIVE, _ARCHIVE)):
        if any(fnmatchcase(found.name, pattern) for pattern in patterns):
            return shelf
    return SEARCHED if found.searched_on else HAND_DESIGNED
