r"""Text for language models, one line after the other: Penn Treebank, WikiText-2, or the user's own files.

Words are what spaces separate. Every line ends in one `<eos>`, empty lines too, as in the usual counts.
"""

from __future__ import annotations

import zipfile
from types import MappingProxyType
from typing import TYPE_CHECKING

from cellzoo.errors import DataError
from tasks.data.own import split_items
from tasks.data.splits import SPLITS
from tasks.data.text_file import read_text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from tasks.data.found import FoundData
    from tasks.data.splits import Split

TOKENS: Mapping[str, Mapping[Split, int]] = MappingProxyType(
    {
        "ptb": {"train": 929_589, "dev": 73_760, "test": 82_430},
        "wikitext-2": {"train": 2_088_628, "dev": 217_646, "test": 245_569},
    }
)
"""Published number of words of each split, `<eos>` included (Mikolov et al. 2010; Merity et al. 2017)."""

_IN_ZIP: Mapping[Split, str] = MappingProxyType(
    {
        split: f"wikitext-2/wiki.{name}.tokens"
        for split, name in zip(SPLITS, ("train", "valid", "test"), strict=True)
    }
)


def read_line_text(found: FoundData) -> dict[Split, Sequence[list[str]]]:
    """Read a text.

    Args:
        found: What `locate.find` gave for `ptb`, `wikitext-2` or `text:FILES`.

    Returns:
        Split -> lines, each a list of words without `<eos>`.

    Raises:
        DataError: A file cannot be read or is empty, or a split gets no line.
    """
    if "zip" in found.files:
        return _read_zip(found.files["zip"])
    parts = {role: _words(read_text(path)) for role, path in found.files.items()}
    splits = split_items(parts)
    for split, lines in splits.items():
        if not any(lines):
            place = ", ".join(str(path) for path in found.files.values())
            total = sum(len(part) for part in parts.values())
            raise DataError(
                f"{place}: the {split} split is empty: {total} lines give it {len(lines)} and no word. "
                "Take a text of at least 10 lines, or give files of their own: TRAIN,DEV,TEST"
            )
    return splits


def _read_zip(path: Path) -> dict[Split, Sequence[list[str]]]:
    try:
        with zipfile.ZipFile(path) as archive:
            return {split: _words(archive.read(name).decode("utf-8")) for split, name in _IN_ZIP.items()}
    except (OSError, zipfile.BadZipFile, KeyError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: is no whole archive of WikiText-2: {error}") from error


def _words(text: str) -> list[list[str]]:
    return [line.split() for line in text.removesuffix("\n").split("\n")]
