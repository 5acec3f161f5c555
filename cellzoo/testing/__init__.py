"""Conformance tests for cells: does a cell, and the layer that runs it, meet the guarantees of cellzoo?

For a cell of your own, in a test file:

    import cellzoo
    from cellzoo.testing import CellConformance

    class TestFound(CellConformance):
        cell = cellzoo.load("found.toml")

`pytest` then runs one test for each check. For several cells, or for an engine of your own:

    import pytest
    from cellzoo.testing import CHECKS, run_check

    @pytest.mark.parametrize("check", CHECKS)
    @pytest.mark.parametrize("name", cellzoo.list_cells("nbnlp-*"))
    def test_cells(name, check):
        run_check(check, name, layer=functools.partial(cellzoo.CellRNN, runtime="mine"))

Without pytest, `check_cell("found.toml")` runs them all and raises AssertionError at the first that fails.
The check of exported files is skipped where the packages of the extra `export` are not installed.
Importing this package imports neither torch nor pytest.
"""

from __future__ import annotations

from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar
from unittest import SkipTest

from cellzoo.catalog import load
from cellzoo.errors import unknown
from cellzoo.testing.disguise import disguised

if TYPE_CHECKING:
    from collections.abc import Callable

    from cellzoo.cells.cell import Cell
    from cellzoo.layer import CellRNN

    Layer = Callable[..., CellRNN]

__all__ = ["CHECKS", "CellConformance", "check_cell", "disguised", "run_check"]

_MODULES = {
    "shapes": "structure",
    "counts": "structure",
    "hash": "structure",
    "save_and_load": "structure",
    "packed": "sequences",
    "directions": "sequences",
    "carried_state": "sequences",
    "rows": "sequences",
    "masks": "masks",
    "gradients": "gradients",
    "runtimes": "runtimes",
    "export": "export",
}

CHECKS = tuple(_MODULES)
"""Names of the checks; the docstrings of `CellConformance` say what each is."""


def run_check(check: str, cell: Cell | str | Path, layer: Layer | None = None) -> None:
    """Run one check.

    Args:
        check: One of `CHECKS`.
        cell: The cell, its name in the catalog, or a cell file.
        layer: What builds the layer under test, called as `CellRNN` is; `CellRNN` itself if None.

    Raises:
        AssertionError: The check fails; the message says what differs.
        unittest.SkipTest: A package that the check needs is not installed; pytest counts it as skipped.
        UnknownNameError: No such check, or no such cell.
    """
    if check not in _MODULES:
        raise unknown("check", check, CHECKS)
    if layer is None:
        from cellzoo.layer import CellRNN as layer  # noqa: N813 - the class is one way to build a layer
    subject = load(cell) if isinstance(cell, str | Path) else cell
    getattr(import_module(f"cellzoo.testing.{_MODULES[check]}"), f"check_{check}")(subject, layer)


def check_cell(cell: Cell | str | Path, layer: Layer | None = None) -> None:
    """Run every check on one cell that can run here; arguments and errors as in `run_check`."""
    for check in CHECKS:
        with suppress(SkipTest):
            run_check(check, cell, layer)


class CellConformance:
    """One test for each check; inherit it in a class whose name starts with `Test`.

    Attributes:
        cell: The cell under test: a Cell, a name in the catalog, or the path of a cell file.
        layer: What builds the layer under test; None for `cellzoo.CellRNN`. Wrap a function in `staticmethod`.
    """

    cell: ClassVar[Cell | str | Path]
    layer: ClassVar[Layer | None] = None

    def test_shapes(self) -> None:
        """Every kind of input gives outputs and states of the shape that torch.nn.LSTM gives."""
        run_check("shapes", self.cell, self.layer)

    def test_counts(self) -> None:
        """Parameters counted from the graph are those that the layer has."""
        run_check("counts", self.cell, self.layer)

    def test_hash(self) -> None:
        """Names and listing order change neither the hash nor what the cell computes."""
        run_check("hash", self.cell, self.layer)

    def test_save_and_load(self) -> None:
        """JSON, state_dict, deepcopy and torch.save keep the outputs to the last bit."""
        run_check("save_and_load", self.cell, self.layer)

    def test_packed(self) -> None:
        """Each sequence of a packed batch gives what it gives alone."""
        run_check("packed", self.cell, self.layer)

    def test_directions(self) -> None:
        """The second direction is the first on the reversed sequence."""
        run_check("directions", self.cell, self.layer)

    def test_carried_state(self) -> None:
        """A sequence in two pieces with carried state is the whole; no output sees what comes later."""
        run_check("carried_state", self.cell, self.layer)

    def test_rows(self) -> None:
        """Rows of a batch do not see each other, not even one that holds NaN."""
        run_check("rows", self.cell, self.layer)

    def test_masks(self) -> None:
        """Variational masks act where matrices multiply, once a sequence, in training only."""
        run_check("masks", self.cell, self.layer)

    def test_gradients(self) -> None:
        """Gradients of inputs, initial states and every weight equal finite differences."""
        run_check("gradients", self.cell, self.layer)

    def test_runtimes(self) -> None:
        """Every engine gives the reference's outputs, states and gradients."""
        run_check("runtimes", self.cell, self.layer)

    def test_export(self) -> None:
        """ONNX files of one step and of sequences of any length give what the layer gives."""
        run_check("export", self.cell, self.layer)
