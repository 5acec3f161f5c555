"""10,000 damaged texts of three notations: each gives a cell or one clear error, and quickly."""

from __future__ import annotations

import random

import pytest

import cellzoo
from cellzoo.cells.cell import Cell
from cellzoo.notations import equations, fenas, nas_bench_nlp

SHARED = """\
u = linear(x: W, h; bias=b, width=7) * vector[p; width=7] + one[width=7]
d'[input] = linear(u, h; width=input, bias=no)
c' = blend(sigmoid(linear[G](x, h)), tanh(linear[G](x, h)), c) / (1 + scalar[a])
h' = mean(relu(linear(d, u: V)), c', linear(x: W2, h: V2; bias=b2) - 0)
output = tanh(h') * c'
"""
SEEDS = {
    "equations": (SHARED, "lstm", "gru", "rnn"),
    "fenas": (fenas.sample(random.Random(1)), fenas.sample(random.Random(2)), "fenas-lstm", "fenas-gru"),
    "nas-bench-nlp": ("nbnlp-7537", "nbnlp-7507", "nbnlp-gru", "nbnlp-lstm-tanh-gate"),
}
MODULES = {"equations": equations, "fenas": fenas, "nas-bench-nlp": nas_bench_nlp}
PIECES = {
    "equations": (
        "linear",
        "(",
        ")",
        "[W]",
        ": W",
        "; bias=no",
        ";",
        "'",
        "h'",
        "=",
        " - ",
        "0",
        "x",
        "one",
        "\n",
    ),
    "fenas": ("A_sig", "S_relu", "a_id", "(", ")", ",", ";", "n1", "n9", " = ", "c'", " * ", "0", "h", "\n"),
    "nas-bench-nlp": ('"', "{", "}", "[", "]", ",", ":", "x", "h_prev_1", "h_new_0", "h_new_7", "linear", "op"),
}
ODD = ("9" * 30, "\0", "é", "\u2028", "\ud800", "(" * 70, "[" * 2000, " " * 21_000, "-1", "1e999", "__import__")
MUTANTS = 10_000


def damage(text: str, pieces: tuple[str, ...], generator: random.Random) -> str:
    for _ in range(generator.randint(1, 4)):
        start = generator.randrange(len(text) + 1)
        stop = min(len(text), start + generator.randint(0, 8))
        kind = generator.randrange(6)
        if kind == 0:
            text = text[:start] + text[stop:]
        elif kind == 1:
            text = text[:start] + text[start:stop] * 2 + text[stop:]
        elif kind == 2:
            text = text[:start] + generator.choice(pieces) + text[stop:]
        elif kind == 3:
            text = text[:start] + generator.choice(pieces) + text[start:]
        elif kind == 4:
            other = generator.randrange(len(text) + 1)
            text = text[:start] + text[other : other + 8] + text[stop:]
        elif generator.random() < 0.2:
            text = text[:start] + generator.choice(ODD) + text[stop:]
    return text


@pytest.mark.parametrize("notation", SEEDS)
def test_a_damaged_text_gives_a_cell_or_one_clear_error(notation):
    seeds = [cellzoo.entry(seed).genotype if seed in cellzoo.list_cells() else seed for seed in SEEDS[notation]]
    generator = random.Random(2024)
    module = MODULES[notation]
    cells = 0
    for _ in range(MUTANTS // len(SEEDS) + 1):
        text = damage(generator.choice(seeds), PIECES[notation], generator)
        try:
            cell = module.parse(text)
        except cellzoo.CellzooError as error:
            message = str(error)
            assert message
            assert "\n" not in message
            assert len(message) < 1500
        else:
            assert isinstance(cell, Cell)
            cells += 1
            if cells % 10 == 0:
                assert module.parse(module.write(cell)).hash == cell.hash
    # Both answers occur.
    assert MUTANTS // 200 < cells < MUTANTS // 3
