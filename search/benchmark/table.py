"""The table: all recipes, and every number that was logged when they were trained.

Losses are mean negative log-likelihoods in nats per word (perplexity is their exponential), NaN once a run
diverged. Epochs count from 1. Each number comes with its split, epoch, unit, data set, run, and the training
time that it cost according to a clock.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np

from cellzoo.cells.cell import Cell
from cellzoo.errors import CellzooError, DataError, NotationError, UnknownNameError
from cellzoo.notations import nas_bench_nlp
from cellzoo.system.atomic import output_errors, write_atomically
from cellzoo.system.lazy import lazy_property
from cellzoo.system.regular_file import require_regular
from search.benchmark.logs import EPOCHS, PTB, WIKITEXT2
from tasks.data.archives import FAULTS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from search.benchmark.clock import Clock

UNIT = "nats per word"
SPLITS = ("train", "valid", "test")
_VERSION = 1
_FIRST_NUMBER = 1_000_000
_NUMBER = re.compile(r"(?:nbnlp-)?(\d{1,9})", re.ASCII)
_HASH = re.compile(r"[0-9a-f]{8,64}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Architecture:
    """A recipe of the table.

    Attributes:
        index: Its place in the table.
        number: The smallest number under which it was published, the same for all its seeds.
        ids: All numbers of its logs.
        recipe: As written in the logs; empty if only the number is known.
        hash: Of its graph, or empty. Two recipes can have the same graph.
        numbers: Of the recipe: more than one if it was drawn twice.
    """

    index: int
    number: int
    ids: tuple[int, ...]
    recipe: str
    hash: str
    numbers: tuple[int, ...]


class Number(NamedTuple):
    """A value from the table, or from a rule for cells that are not in the table, with its metadata.

    Attributes:
        value: The loss; NaN if the run had diverged.
        split: `train`, `valid` or `test`.
        epoch: After which it was measured, from 1.
        unit: Of the value.
        data: The data set of the training.
        run: Name of the log; empty if the value is not from a log.
        seconds: Training time up to this epoch according to the clock; NaN if no times were published.
        clock: Name of the clock.
        source: `table`, or the rule that gave the value of a cell that was never trained.
    """

    value: float
    split: str
    epoch: int
    unit: str
    data: str
    run: str
    seconds: float
    clock: str
    source: str = "table"


class Table:
    """All recipes and runs. Made by `build.build_table`, or read from its file.

    Args:
        architectures: In order of their index; those whose recipe is known come first.
        run_names: Names of the logs.
        arrays: As `build.assemble` makes them.
        sources: The files that were read: name, digest of the content, number of entries.
        notes: What was skipped, and why.
    """

    DATA: ClassVar[tuple[str, ...]] = (WIKITEXT2, PTB)

    def __init__(
        self,
        architectures: tuple[Architecture, ...],
        run_names: tuple[str, ...],
        arrays: Mapping[str, NDArray[Any]],
        sources: tuple[dict[str, Any], ...],
        notes: tuple[str, ...],
    ) -> None:
        self.architectures = architectures
        self.run_names = run_names
        self.arrays = dict(arrays)
        self.sources = sources
        self.notes = notes
        self._ends: list[int] = arrays["run_end"].tolist()
        self._of_id = {identity: found for found in reversed(architectures) for identity in found.ids}
        for found in reversed(architectures):
            self._of_id.update(dict.fromkeys(found.numbers, found))
        self._of_recipe = {found.recipe: found for found in architectures if found.recipe}
        self._of_graph: dict[str, list[Architecture]] = defaultdict(list)
        for found in architectures:
            if found.hash:
                self._of_graph[found.hash].append(found)

    @classmethod
    def read(cls, path: Path) -> Table:
        """Read the file of a table.

        Raises:
            DataError: It does not exist, is damaged, or was not written by `write`.
        """
        try:
            arrays = _read_arrays(path)
            digest, content = arrays.pop("digest").tobytes(), arrays.pop("content").tobytes()
            if digest != _digest(arrays, content):
                raise DataError(f"{path}: its content does not match its digest; build it again")
            said = json.loads(content)
            if said["version"] != _VERSION:
                raise DataError(f"{path}: is of another version of cellzoo; build it again")
            architectures = tuple(
                Architecture(place, number, tuple(ids), recipe, graph, tuple(numbers))
                for place, (number, ids, recipe, graph, numbers) in enumerate(said["architectures"])
            )
            return cls(architectures, tuple(said["runs"]), arrays, tuple(said["sources"]), tuple(said["notes"]))
        except FileNotFoundError as error:
            raise DataError(
                f"{path}: there is no such table; make it with: cellzoo table build --data DIR --table {path}"
            ) from error
        except (*FAULTS, MemoryError) as error:
            raise DataError(
                f"{path}: is not a table of `cellzoo table build`, or is damaged; build it again"
            ) from error

    def write(self, path: Path) -> None:
        """Write the file; the same table gives the same digest.

        Raises:
            OutputError: It cannot be written.
        """
        content = self._content()
        stream = io.BytesIO()
        digest = bytes.fromhex(self.digest)
        np.savez(
            stream,
            allow_pickle=False,
            content=np.frombuffer(content, dtype=np.uint8),
            digest=np.frombuffer(digest, dtype=np.uint8),
            **self.arrays,
        )
        with output_errors(path.parent):
            path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, stream.getvalue())

    @lazy_property
    def digest(self) -> str:
        """Digest of all that it holds: 64 hexadecimal digits."""
        return _digest(self.arrays, self._content()).hex()

    def _content(self) -> bytes:
        """Everything in the file besides the arrays, as JSON."""
        said = {
            "version": _VERSION,
            "architectures": [
                [found.number, found.ids, found.recipe, found.hash, found.numbers]
                for found in self.architectures
            ],
            "runs": self.run_names,
            "sources": self.sources,
            "notes": self.notes,
        }
        return json.dumps(said).encode()

    def find(self, what: Architecture | Cell | int | str | Mapping[str, Any]) -> Architecture:
        """Find an architecture by number, recipe (text or data), hash of its graph, or cell.

        Numbers are those of the logs (1007537), or without the leading million (7537, nbnlp-7537). A hash can
        be shortened to 8 digits. If two recipes have the same graph, a hash or a cell finds the one with the
        smaller number.

        Raises:
            UnknownNameError: The table does not have it.
            NotationError: The recipe is malformed.
        """
        if isinstance(what, Architecture):
            return what
        if isinstance(what, str):
            found = self._of_recipe.get(what)
            if found is not None:
                return found
            return self._named(what.strip())
        if isinstance(what, int):
            return self._numbered(what)
        cell = what if isinstance(what, Cell) else nas_bench_nlp.parse(what)
        same = self._of_graph.get(cell.hash)
        if not same:
            raise _absent(f"the graph {cell.hash[:12]}")
        return same[0]

    def of_graph(self, digest: str) -> tuple[Architecture, ...]:
        """All recipes with the graph of this full hash."""
        return tuple(self._of_graph.get(digest, ()))

    def _named(self, text: str) -> Architecture:
        match = _NUMBER.fullmatch(text)
        if match:
            return self._numbered(int(match.group(1)))
        if _HASH.fullmatch(text):
            matching = [graph for graph in self._of_graph if graph.startswith(text)]
            if len(matching) == 1:
                return self._of_graph[matching[0]][0]
            one = "exactly one graph" if matching else "a graph"
            raise _absent(f"{one} whose hash begins with {text}")
        if not text.startswith("{"):
            raise _absent(f"{text!r:.80}")
        return self.find(nas_bench_nlp.parse(text))

    def _numbered(self, number: int) -> Architecture:
        found = self._of_id.get(number) or self._of_id.get(number + _FIRST_NUMBER)
        if found is None:
            raise _absent(f"the number {number}")
        return found

    def runs(self, architecture: Architecture, data: str = WIKITEXT2) -> tuple[int, ...]:
        """Indices of the runs of an architecture on a data set, in the order of their ids."""
        return self._runs.get((architecture.index, data), ())

    @lazy_property
    def _runs(self) -> dict[tuple[int, str], tuple[int, ...]]:
        found: dict[tuple[int, str], list[int]] = defaultdict(list)
        architectures = self.arrays["run_architecture"].tolist()
        for run, (place, data) in enumerate(zip(architectures, self.arrays["run_data"].tolist(), strict=True)):
            found[place, self.DATA[data]].append(run)
        return {key: tuple(runs) for key, runs in found.items()}

    def pool(self, data: str = WIKITEXT2) -> tuple[Architecture, ...]:
        """The architectures with a run on a data set whose epochs were published."""
        return tuple(
            found for found in self.architectures if any(self.epochs(run) for run in self.runs(found, data))
        )

    def epochs(self, run: int) -> int:
        """How many epochs of a run were published; 0 if only the last test loss was."""
        return self._ends[run + 1] - self._ends[run]

    def curve(self, run: int, what: str) -> list[float]:
        """One value an epoch of a run: its `seconds`, or the `train`, `valid` or `test` loss after it."""
        return self._curves[what][run]

    @lazy_property
    def _curves(self) -> dict[str, list[list[float]]]:
        """As lists, because reading a single number from a list is faster than from an array."""
        places = list(zip(self._ends[:-1], self._ends[1:], strict=True))
        return {
            name: [values[first:last] for first, last in places]
            for name in ("seconds", *SPLITS)
            for values in [self.arrays[name].tolist()]
        }

    def diverged(self, run: int) -> bool:
        """Whether a run ended in NaN."""
        return bool(self.arrays["run_diverged"][run])

    def parameters(self, run: int) -> int:
        """Parameters of the whole model of a run."""
        return int(self.arrays["run_parameters"][run])

    def score(
        self,
        what: Architecture | Cell | int | str | Mapping[str, Any],
        *,
        clock: Clock,
        split: str = "valid",
        epoch: int = EPOCHS,
        data: str = WIKITEXT2,
        run: int = 0,
    ) -> Number:
        """Look up one number.

        Args:
            what: As in `find`.
            clock: Gives the training time.
            split: `train`, `valid` or `test`.
            epoch: From 1.
            data: `wikitext-2` or `ptb`.
            run: Which of the architecture's runs, from 0.

        Raises:
            CellzooError: There is no such architecture, run, split or epoch; the message says which exist.
        """
        found = self.find(what)
        runs = self._runs.get((found.index, data), ())
        if not 0 <= run < len(runs):
            raise CellzooError(f"{found.number} has {len(runs)} runs on {data}, counted from 0; not run {run}")
        index = runs[run]
        if split not in SPLITS:
            raise CellzooError(f"split is {split!r:.40}; expected one of {', '.join(SPLITS)}")
        values = self._curves[split][index]
        if not values:
            if split != "test" or epoch != EPOCHS:
                raise CellzooError(
                    f"only the test loss of {found.number} on {data} after epoch {EPOCHS} was published"
                )
            value, seconds = float(self.arrays["final_test"][index]), float("nan")
        elif not 1 <= epoch <= len(values):
            end = ", where it diverged" if self.diverged(index) else ""
            raise CellzooError(
                f"epoch {epoch}: the log of {found.number} on {data} has the epochs 1 to {len(values)}{end}"
            )
        else:
            value, seconds = values[epoch - 1], clock.seconds(index, epoch)
        return Number(value, split, epoch, UNIT, data, self.run_names[index], seconds, clock.name)

    def features(self, architecture: Architecture) -> NDArray[np.float64] | None:
        """The released graph2vec vector of 10 dimensions, or None if none was released."""
        rows = (self._features.get(number) for number in architecture.numbers)
        return next((row for row in rows if row is not None), None)

    @lazy_property
    def _features(self) -> dict[int, NDArray[np.float64]]:
        return dict(zip(self.arrays["feature_number"].tolist(), self.arrays["features"], strict=True))


def _absent(what: str) -> UnknownNameError:
    return UnknownNameError(f"the table does not have {what}; `cellzoo table show` lists its contents")


def _read_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """Read all arrays of an .npz file; raises one of `FAULTS` or `MemoryError` if it is not one."""
    require_regular(path)
    file = np.load(path, allow_pickle=False)
    if not isinstance(file, np.lib.npyio.NpzFile):
        raise ValueError("a single array")
    with file:
        arrays = {name: file[name] for name in file.files}
    # numpy gives the bytes of a member that is not an array.
    if not all(isinstance(array, np.ndarray) for array in arrays.values()):
        raise ValueError("a member that is not an array")
    return arrays


def _digest(arrays: Mapping[str, NDArray[Any]], content: bytes) -> bytes:
    digest = hashlib.sha256(content)
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        digest.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        digest.update(array.data)
    return digest.digest()


def recipes_of(architectures: Sequence[Architecture]) -> dict[int, Cell]:
    """Index -> cell, for each architecture whose recipe is known and valid."""
    cells = {}
    for found in architectures:
        if found.recipe:
            try:
                cells[found.index] = nas_bench_nlp.parse(found.recipe)
            except (CellzooError, NotationError):
                continue
    return cells
