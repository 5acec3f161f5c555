"""A small data set of pairs in GLUE's layout: does the second text hold a word of the first?"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

WORDS = [f"{a}{b}" for a in "bdfgk" for b in ("a", "e", "i", "o", "u", "ar", "el")]

SET = """
name = "toy-pairs"
title = "Toy pairs"
format = "examples"

[files]
train = "train.tsv"
dev = "dev.tsv"

[table]
first = "question"
second = "sentence"
label = "label"
labels = ["yes", "no"]
metrics = ["accuracy", "f1"]
"""


def write_pairs(folder: Path, train: int = 300, dev: int = 60) -> str:
    """Write the files and what describes them; returns the name of the corpus."""
    draw = random.Random(4)
    for split, count in (("train", train), ("dev", dev)):
        lines = ["index\tquestion\tsentence\tlabel"]
        for index in range(count):
            first, second = draw.sample(WORDS, draw.randint(1, 3)), draw.sample(WORDS, draw.randint(2, 6))
            label = "yes" if set(first) & set(second) else "no"
            lines.append(f"{index}\t{' '.join(first)}\t{' '.join(second)}\t{label}")
        (folder / f"{split}.tsv").write_text("\n".join(lines) + "\n")
    (folder / "toy-pairs.toml").write_text(SET)
    return str(folder / "toy-pairs.toml")
