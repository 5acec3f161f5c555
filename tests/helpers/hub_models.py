"""Small models for the tests of cellzoo.hub."""

from __future__ import annotations

import torch

import cellzoo
from cellzoo.hub import CellConfig

VOCABULARY = 20
# One state; two states; a delayed input beside the hidden state.
CELLS = {
    "darts-v2": cellzoo.load("darts-v2"),
    "lstm": cellzoo.load("lstm"),
    "delayed": cellzoo.parse("d' = x\nh' = tanh(linear(x, d, h))", "equations", "delayed"),
}


def config(cell="darts-v2", **options):
    sizes = {"vocab_size": VOCABULARY, "hidden_size": 6, "initializer_range": 0.5}
    return CellConfig(cell=CELLS.get(cell, cell), **(sizes | options))


def build(model_class, cell="darts-v2", seed=0, **options):
    """A model in double precision, without dropout at work."""
    torch.manual_seed(seed)
    return model_class(config(cell, **options)).double().eval()


def sequences(*lengths, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randint(1, VOCABULARY, (length,), generator=generator) for length in lengths]


def padded(parts, side, junk=0):
    """Token ids (B, T) and their mask; `junk` stands where the mask is 0."""
    width = max(map(len, parts))
    ids = torch.full((len(parts), width), junk)
    mask = torch.zeros_like(ids)
    for row, part in enumerate(parts):
        first = 0 if side == "right" else width - len(part)
        ids[row, first : first + len(part)] = part
        mask[row, first : first + len(part)] = 1
    return ids, mask
