"""A transformer with random weights, small enough for tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from flair.embeddings import TransformerWordEmbeddings
from transformers import BertConfig, BertModel, BertTokenizerFast

if TYPE_CHECKING:
    from pathlib import Path

PIECES = [
    "[PAD]",
    "[UNK]",
    "[CLS]",
    "[SEP]",
    "[MASK]",
    *"abcdefghijklmnopqrstuvwxyz",
    "##a",
    "##e",
    "##i",
    "##o",
]


def write_bert(folder: Path, seed: int = 0, extra: tuple[str, ...] = ()) -> Path:
    folder.mkdir(parents=True)
    pieces = [*PIECES, *(f"##{letter}" for letter in "bcdfghjklmnpqrstuvwxyz"), *extra]
    (folder / "vocab.txt").write_text("\n".join(pieces), encoding="utf-8")
    torch.manual_seed(seed)
    sizes = {"hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 16}
    BertModel(BertConfig(vocab_size=len(pieces), hidden_dropout_prob=0.3, **sizes)).save_pretrained(folder)
    BertTokenizerFast(str(folder / "vocab.txt")).save_pretrained(folder)
    return folder


def bert(folder: Path, **settings: object) -> TransformerWordEmbeddings:
    """The embeddings as one builds them in Flair for features that are not trained."""
    return TransformerWordEmbeddings(str(folder), **{"fine_tune": False, "layers": "-1", **settings})
