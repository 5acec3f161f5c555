"""Layers and engines to break, for the tests of the conformance kit."""

from __future__ import annotations

import pytest

import cellzoo
from cellzoo.runtime.reference import ReferenceRuntime
from cellzoo.testing import run_check


def fails(check, message, cell="lstm", layer=None):
    with pytest.raises(AssertionError, match=message):
        run_check(check, cell, layer)


class Layer(cellzoo.CellRNN):
    """A layer to break: the sound one, whose parts a test overrides."""


class Engine(ReferenceRuntime):
    """An engine to break."""


def with_engine(engine):
    """A layer class that runs on an engine of its own."""

    class Own(Layer):
        def __init__(self, *arguments, **options):
            super().__init__(*arguments, **options)
            for direction in self.directions:
                direction.engine = engine(self.cell)

    return Own
