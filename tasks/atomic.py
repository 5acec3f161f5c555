"""Write a file whole or not at all: `cellzoo.atomic`, under the name that tasks use."""

from __future__ import annotations

from cellzoo.atomic import TEMPORARY, output_errors, write_atomically

__all__ = ["TEMPORARY", "output_errors", "write_atomically"]
