"""`cellzoo zero-cost`: scores of cells from one minibatch through an untrained model."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from cellzoo.cli.command import Command

if TYPE_CHECKING:
    import argparse

_DESCRIPTION = """\
Score cells without training them: one random minibatch is passed through an untrained language model with three
layers of the cell, which takes a fraction of a second per cell. Higher scores should mean better cells. A dash
means that a score is not finite.
"""
_EXAMPLES = """\
  cellzoo zero-cost 'lstm,gru,nbnlp-*'                     all scores, sorted by hidden-1
  cellzoo zero-cost 'idarts-*' --by synflow                sorted by another score
  cellzoo zero-cost lstm,out/found.toml --seed 3           another minibatch, other weights
"""


def _configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "cells",
        metavar="A,B,...",
        help="names of cells, patterns such as 'darts-*', or paths of cell files, separated by commas",
    )
    parser.add_argument(
        "--by", default="hidden-1", metavar="SCORE", help="the score to sort by (default: hidden-1)"
    )
    parser.add_argument(
        "--seed", default="0", metavar="N", help="seed of the random words and weights (default: 0)"
    )


def _execute(options: argparse.Namespace) -> int:
    from cellzoo.errors import CellzooError
    from cellzoo.selection import split_cells
    from search.zero_cost.scores import SCORES, Minibatch, require_score, zero_cost
    from tasks.runs.subjects import resolve_cells

    require_score(options.by)
    if not (options.seed.isascii() and options.seed.isdigit() and len(options.seed) < 10):
        raise CellzooError(f"--seed {options.seed!r:.40}: expected a whole number from 0")
    batch = Minibatch(seed=int(options.seed))
    subjects = resolve_cells(split_cells(options.cells))[0]
    rows = [(one.name, zero_cost(one.cell, batch=batch)) for one in subjects if one.cell is not None]
    rows.sort(key=lambda row: (row[1][options.by] is not None, row[1][options.by]), reverse=True)
    width = max(len("cell"), *(len(name) for name, _ in rows))
    head = " ".join(f"{name:>{len(name) + 1}}" for name in SCORES)
    sys.stdout.write(f"{'cell':<{width}} {head}\n")
    for name, scores in rows:
        cells = " ".join(
            f"{'-' if scores[score] is None else f'{scores[score]:.5g}':>{len(score) + 1}}" for score in SCORES
        )
        sys.stdout.write(f"{name:<{width}} {cells}\n")
    return 0


COMMAND = Command(
    name="zero-cost",
    summary="score cells without training them",
    description=_DESCRIPTION,
    examples=_EXAMPLES,
    configure=_configure,
    execute=_execute,
)
