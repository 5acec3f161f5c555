"""The three parts of a data set."""

from __future__ import annotations

from typing import Literal, TypeAlias

Split: TypeAlias = Literal["train", "dev", "test"]
"""What is trained on; what epochs, settings and architectures are chosen by; what is reported."""
SPLITS: tuple[Split, ...] = ("train", "dev", "test")
