"""The news corpus that gensim ships (`lee_background.cor`): 300 short items, one a line.

Words are found by one rule, the same for every use of the corpus:

- the text is lower-cased;
- a run of the letters a to z is a word; what follows an apostrophe inside a word is a word of its own,
  apostrophe included (`sydney's` gives `sydney`, `'s`; `don't` gives `don`, `'t`);
- whatever begins with a digit (`500`, `4:00pm`, `170,000`, `21st`) is the word `N`;
- all else is left out.

Seven items stand in the file twice; the second copy is left out, which leaves 293.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from tasks.data.splits import SPLITS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tasks.data.parts import Part
    from tasks.data.splits import Split

NUMBER = "N"
DEV_PLACE = 3
TEST_PLACE = 4

_WORD = re.compile(r"[a-z]+|(?<=[a-z])'[a-z]+|[0-9]\w*(?:[.,:]\w+)*")


def words_of(text: str) -> list[str]:
    """Cut a text into words by the rule above."""
    return [NUMBER if word[0].isdigit() else word for word in _WORD.findall(text.lower())]


def read_news(part: Part) -> list[list[str]]:
    """Read the corpus.

    Args:
        part: The file.

    Returns:
        Documents, each a list of words, in the order of the file and without repeats.

    Raises:
        DataError: The file cannot be read.
    """
    return [words_of(line) for line in dict.fromkeys(line for line in part.lines() if line.strip())]


def split_news(documents: Sequence[list[str]]) -> dict[Split, list[list[str]]]:
    """Split by whole documents: of every ten, the fourth goes to dev, the fifth to test, the rest to train.

    These two places were taken because follow-up reports, which repeat most of an earlier item, then stay
    in one split; other places put nearly the same text on both sides.
    """
    splits: dict[Split, list[list[str]]] = {split: [] for split in SPLITS}
    for position, document in enumerate(documents):
        place = position % 10
        split: Split = "dev" if place == DEV_PLACE else "test" if place == TEST_PLACE else "train"
        splits[split].append(document)
    return splits
