"""The three parts of a data set."""

from __future__ import annotations

from typing import Literal, TypeAlias

Split: TypeAlias = Literal["train", "dev", "test"]
SPLITS: tuple[Split, ...] = ("train", "dev", "test")
