"""10,000 damaged texts of the notations of steps: each gives a cell or one clear error, and quickly."""

from __future__ import annotations

import random

import pytest

from cellzoo.errors import CellzooError
from cellzoo.notations import darts, egs, enas, ess, idarts, parse, write

PARTS = (
    *("(", ")", "[", "]", "[[", "{", ":", ",", "'", '"', "=", "**", "*", "-", "0x", "1e9", "\\", "#", ";"),
    *(
        "'tanh'",
        "'none'",
        "'drop'",
        "'selu'",
        "relu",
        "None",
        "True",
        "false",
        "lambda: 0",
        "range(9)",
        "0",
        "7",
    ),
    *(
        "combine='sum'",
        "highway=False",
        "none='zero'",
        "normalize=0",
        "inter_weights='lowrank:3'",
        "concat=[1]",
    ),
    *("9" * 30, "0x" + "f" * 6000, "\0", "\n", "\u2028", "\ud800", "é", "[" * 300, "__import__('os')"),
)
SEEDS = {
    "darts": [
        *(darts.sample(random.Random(seed)) for seed in range(3)),
        "Genotype(recurrent=[('none', 0), ('relu', 1)], concat=[2], none='zero', highway=True)",
    ],
    "idarts": [idarts.sample(random.Random(seed), 4, combine=how) for seed, how in enumerate(("mean", "sum"))],
    "egs": [egs.sample(random.Random(seed), 3, normalize=seed == 0) for seed in range(2)],
    "enas": [enas.sample(random.Random(0), table=table) for table in enas.TABLES],
    "ess": [ess.sample(random.Random(0), 4, 2, kind) for kind in ("dense", "shared", "diag", "lowrank:8")],
}
MUTANTS = 10_000


def damage(text, generator):
    for _ in range(generator.randint(1, 3)):
        start = generator.randrange(len(text) + 1)
        stop = min(len(text), start + generator.choice((0, 0, 1, 2, 8)))
        other = generator.randrange(len(text) + 1)
        kind = generator.randrange(4)
        piece = ("", text[other : other + 9], generator.choice(PARTS), generator.choice("0123456789"))[kind]
        text = text[:start] + piece + text[stop:]
    return text


@pytest.mark.parametrize("notation", SEEDS)
def test_a_damaged_text_gives_a_cell_or_one_clear_error(notation):
    generator = random.Random(2024)
    cells = 0
    for _ in range(MUTANTS // len(SEEDS)):
        text = damage(generator.choice(SEEDS[notation]), generator)
        try:
            cell = parse(text, notation)
        except CellzooError as error:
            message = str(error)
            assert message
            assert "\n" not in message
            assert len(message) < 600
        else:
            cells += 1
            assert parse(write(cell, notation), notation).hash == cell.hash
    # Both answers occur.
    assert 20 < cells < MUTANTS // len(SEEDS) - 200
