"""`cellzoo similarity`: word vectors against people's scores, without training anything."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from cellzoo.cli.command import Command
from cellzoo.errors import DataNotFoundError
from cellzoo.system.paths import path_option, typed_path
from cellzoo.system.text import printable

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from tasks.data.word_pairs import WordPair

_DESCRIPTION = """\
Evaluate word vectors on human similarity scores of word pairs: Spearman's and Pearson's correlation of the
cosine similarities with the scores, and the share of pairs for which both words have a vector.

Vectors are named as data (glove-6b-50d), as a file in any usual format (vectors:FILE), or as what a run has
left (a file whose name ends in .vectors.safetensors). Sets of pairs that are not there are left out, unless
they are named; a set of your own is pairs:FILE, with a line `word word score` each.
"""
_LEFT = ".vectors.safetensors"


def _configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "vectors",
        nargs="+",
        metavar="VECTORS",
        help="glove-6b-50d, vectors:FILE, or a file of vectors that a run saved",
    )
    parser.add_argument(
        "--pairs", metavar="A,B,...", help="sets of word pairs (default: all that are available)"
    )
    parser.add_argument(
        "--data", type=path_option("--data"), metavar="DIR", help="folder with the original files of data sets"
    )


def _execute(options: argparse.Namespace) -> int:
    from tasks.word_similarity.compare import compare
    from tasks.word_similarity.probe import SETS, short_names, title_of

    sets, missing = _sets(options.pairs, options.data)
    titles = {short: title_of(name) for short, name in short_names(options.pairs or ",".join(SETS)).items()}
    width = max(len(titles[short]) for short in sets)
    for number, name in enumerate(options.vectors):
        words, vectors = _vectors(name, options.data, sets)
        if missing and number == 0:  # not before an error about the vectors, which is what matters then
            _note_missing(missing)
        found = compare(words, vectors, sets, titles)
        lines = [
            f"{name}: {vectors.shape[1]} values a word",
            f"  {'':{width}}  pairs  covered  Spearman  Pearson",
        ]
        for short, pairs in sets.items():
            covered, rank, linear = (
                found.metrics[f"{short}_{what}"] for what in ("coverage", "spearman", "pearson")
            )
            lines.append(
                f"  {titles[short]:{width}}  {len(pairs):5}  {100 * covered:6.1f}%  {rank:8.3f}  {linear:7.3f}"
            )
        lines += [f"  {note}" for note in found.notes]
        sys.stdout.write(printable("\n".join(lines) + "\n"))
    return 0


def _sets(pairs: str | None, folder: Path | None) -> tuple[dict[str, list[WordPair]], list[str]]:
    """Read the sets of word pairs; gives them by short name, and the names of those that are not there."""
    from tasks.data.locate import find
    from tasks.data.read import read_pairs
    from tasks.word_similarity.probe import SETS, short_names

    found: dict[str, list[WordPair]] = {}
    missing: list[str] = []
    for short, name in short_names(pairs or ",".join(SETS)).items():
        try:
            found[short] = read_pairs(find(name, folder))
        except DataNotFoundError:
            if pairs or len(missing) + 1 == len(SETS):
                raise
            missing.append(name)
    return found, missing


def _note_missing(names: Sequence[str]) -> None:
    sys.stderr.write(
        f"cellzoo: note: left out, as they were not found: {', '.join(names)}; name their folder by --data "
        f"DIR, or: cellzoo data fetch {' '.join(names)}\n"
    )


def _vectors(
    name: str, folder: Path | None, sets: Mapping[str, Sequence[WordPair]]
) -> tuple[tuple[str, ...], NDArray[np.floating]]:
    from tasks.data.locate import find
    from tasks.data.read import read_word_vectors
    from tasks.vectors import read_vectors
    from tasks.word_similarity.pairs import wanted_words

    if name.endswith(_LEFT):
        left = read_vectors(typed_path(name, "VECTORS"))
        return left.words, left.vectors.numpy()
    read = read_word_vectors(
        find(name, folder), wanted_words(pair for pairs in sets.values() for pair in pairs)
    )
    return read.words, read.vectors.numpy()


COMMAND = Command(
    name="similarity",
    summary="evaluate word vectors on human similarity scores",
    description=_DESCRIPTION,
    examples=(
        "  cellzoo similarity glove-6b-50d\n"
        "  cellzoo similarity vectors:mine.txt results/artifacts/*.vectors.safetensors --data DIR\n"
        "  cellzoo similarity glove-6b-50d --pairs simlex-999,pairs:mine.txt"
    ),
    configure=_configure,
    execute=_execute,
)
