"""The catalog: cells by name, from the zoo, from families, from installed packages, or from a file.

Listing names reads directory entries only; a cell's file is read when it is asked for.
"""

from __future__ import annotations

import re
import tomllib
from collections import Counter
from contextlib import suppress
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cellzoo.entry import CellEntry
from cellzoo.errors import CellError, CellzooError, UnknownNameError, unknown
from cellzoo.families import FAMILIES
from cellzoo.found import check_found
from cellzoo.notations import NOTATIONS
from cellzoo.system.plugins import leave_out, plugins
from cellzoo.system.regular_file import read_regular

if TYPE_CHECKING:
    from cellzoo.cells.cell import Cell

GROUP = "cellzoo.cells"
ZOO = Path(__file__).parent / "zoo"
NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
MAX_FILE_BYTES = 200_000

_PROVENANCE = ("source", "searched_on", "licence", "confidence", "notes", "record", "init_source")
_TEXT_FIELDS = ("name", "notation", *_PROVENANCE)
_FIELDS = (*_TEXT_FIELDS, "genotype", "aliases", "published", "init")
_REQUIRED = ("name", "notation", "genotype")


def list_cells(pattern: str = "*") -> list[str]:
    """Names of the catalog that match a shell pattern, sorted, without aliases. Does not import torch.

    Families of random cells, which have a member for each seed, are not listed; see
    `cellzoo.families.FAMILIES`.
    """
    return sorted(name for name in _files() if fnmatchcase(name, pattern))


def load(name: str | Path) -> Cell:
    """Load a cell by its name in the catalog, or from a cell file.

    Args:
        name: A name such as `darts-v2` or `random-darts-7`, an alias, or a path that ends in `.toml`.

    Raises:
        TypeError: `name` is neither text nor a path.
        UnknownNameError: No such cell; the message suggests close names.
        NotationError, CellError: The file is malformed.
    """
    return entry(name).cell


def entry(name: str | Path) -> CellEntry:
    """Load a cell's entry: the genotype and where it comes from. Arguments and errors as in `load`."""
    if not isinstance(name, str | Path):
        raise TypeError(f"cell is {name!r:.40}; it must be a name such as 'lstm', or the path of a cell file")
    if isinstance(name, Path) or name.endswith(".toml") or "/" in name or "\\" in name:
        path = Path(name)
        return read_cell_file(path, origin=path.name)
    for family in FAMILIES:
        seed = family.seed(name)
        if seed is not None:
            return CellEntry(
                name,
                family.notation,
                family.draw(seed),
                origin="family",
                source=f"drawn by cellzoo, family {family.pattern}: {family.summary}",
                confidence="by construction",
            )
    files = _files()
    if name not in files:
        aliases = _aliases()
        if name not in aliases:
            families = ", ".join(family.pattern for family in FAMILIES)
            hint = (
                "`cellzoo list cells --all` lists them. "
                f"Random cells are called {families}. A cell file is given by a path that ends in .toml."
            )
            raise unknown("cell", name[:80], files, hint, aliases=aliases)
        name = aliases[name]
    found = read_cell_file(files[name][0], origin=files[name][1])
    if found.name != name:
        raise CellError(
            f"{files[name][0]}: holds the name {found.name!r}; expected {name!r}, as the file is named"
        )
    check_found(found, files[name][0].parent)
    return found


def isomorphic() -> tuple[tuple[str, ...], ...]:
    """Group the names of the catalog whose cells are the same graph; a cell without such a twin is left out."""
    groups: dict[str, tuple[str, ...]] = {}
    for names in _by_signature().values():
        for name in names if len(names) > 1 else ():
            graph = entry(name).cell.hash
            groups[graph] = (*groups.get(graph, ()), name)
    return tuple(sorted(group for group in groups.values() if len(group) > 1))


def same_graph(cell: Cell) -> tuple[str, ...]:
    """Names of the catalog, sorted, whose cell is the same graph as `cell`."""
    names = _by_signature().get(_signature(cell), ())
    return tuple(name for name in names if entry(name).cell.hash == cell.hash)


def read_cell_file(path: Path, origin: str) -> CellEntry:
    """Read one cell file (TOML).

    Raises:
        UnknownNameError: No such file.
        CellError: The file is not a cell file; the message names the field, the value and what would be right.
    """
    content = _read_table(path)
    for key in ("aliases", "published"):
        content[key] = tuple(content.get(key, ()))
    found = CellEntry(**content, origin=origin)
    _ = found.cell
    return found


def _read_table(path: Path) -> dict[str, Any]:
    """Read a cell file and check its fields; the genotype is not parsed yet."""
    try:
        text = read_regular(path, MAX_FILE_BYTES)
    except FileNotFoundError as error:
        raise UnknownNameError(f"{path}: no such cell file") from error
    except OSError as error:
        raise CellError(f"{path}: cannot be read: {error.strerror}") from error
    except ValueError as error:  # a character that no path can have
        raise UnknownNameError(f"{path}: no such cell file: {error}") from error
    try:
        # Some editors begin a file with a byte order mark and end its lines with CR LF.
        content = tomllib.loads(text.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        # Not only TOMLDecodeError: bytes that are not text, or an integer of thousands of digits.
        raise CellError(f"{path}: is not TOML: {error}") from error
    for key in content:
        if key not in _FIELDS:
            raise CellError(f"{path}: {unknown('field', key, _FIELDS)}")
    for key in _REQUIRED:
        if key not in content:
            raise CellError(f"{path}: lacks the field {key!r}; a cell file needs {', '.join(_REQUIRED)}")
    for key in (*_TEXT_FIELDS, "genotype"):
        if not isinstance(content.get(key, ""), str):
            raise CellError(f"{path}: {key} is {content[key]!r:.80}; expected text")
    if not NAME.fullmatch(content["name"]):
        raise CellError(f"{path}: name {content['name']!r:.80}: expected a-z, 0-9, '.', '_', '-', at most 64")
    if content["notation"] not in NOTATIONS:
        raise CellError(f"{path}: {unknown('notation', content['notation'], NOTATIONS)}")
    published = content.get("published", [])
    if not isinstance(published, list) or not all(isinstance(row, dict) for row in published):
        raise CellError(f"{path}: published is {published!r:.80}; expected an array of tables")
    init = content.get("init", {})
    if not isinstance(init, dict):
        raise CellError(f"{path}: init is {init!r:.80}; expected a table such as {{ all = 'uniform(0.04)' }}")
    aliases = content.get("aliases", [])
    if not isinstance(aliases, list) or not all(isinstance(item, str) for item in aliases):
        raise CellError(f"{path}: aliases is {aliases!r:.80}; expected an array of text")
    for alias in aliases:
        if not NAME.fullmatch(alias):
            raise CellError(f"{path}: alias {alias!r:.80}: expected a-z, 0-9, '.', '_', '-', at most 64")
    return content


@cache
def _files() -> dict[str, tuple[Path, str]]:
    """Name -> (file, origin), over the zoo and the folders that installed packages add."""
    files = {path.stem: (path, "zoo") for path in ZOO.glob("*.toml")}
    for name, folder, package in plugins(GROUP):
        try:
            added = sorted(Path(folder).glob("*.toml"))
        except (TypeError, ValueError, OSError) as error:
            leave_out(GROUP, name, package, f"expected a folder of cell files ({error})")
            continue
        for path in added:
            if path.stem in files:
                leave_out(GROUP, path.stem, package, f"{files[path.stem][1]} has a cell of that name")
            else:
                files[path.stem] = (path, f"package {package}")
    return files


def _aliases() -> dict[str, str]:
    """Alias -> name, over all cell files; those of the zoo first.

    An alias that is taken already is left out with a warning. A malformed file is skipped: it raises its error
    when it is loaded.
    """
    files = _files()
    aliases: dict[str, str] = {}
    for name, (path, origin) in sorted(files.items(), key=lambda item: (item[1][1] != "zoo", item[0])):
        try:
            given = _read_table(path).get("aliases", [])
        except CellzooError:
            continue
        package = origin.removeprefix("package ")
        for alias in dict.fromkeys(given):
            if alias in files or any(family.seed(alias) is not None for family in FAMILIES):
                leave_out(GROUP, alias, package, f"{path}: the alias is the name of another cell")
            elif alias in aliases:
                leave_out(GROUP, alias, package, f"{path}: {aliases[alias]!r} has this alias already")
            else:
                aliases[alias] = name
    return aliases


_Signature = tuple[int, tuple[tuple[str, int], ...]]


def _by_signature() -> dict[_Signature, tuple[str, ...]]:
    """Group the names of the catalog by a cheap invariant of their graphs, so that few hashes are compared."""
    found: dict[_Signature, tuple[str, ...]] = {}
    for name in list_cells():
        with suppress(CellzooError):  # a malformed file raises its error when it is loaded
            key = _signature(entry(name).cell)
            found[key] = (*found.get(key, ()), name)
    return found


def _signature(cell: Cell) -> _Signature:
    """The number of states, and of nodes of each operation, identities left out: equal for equal graphs."""
    counts = Counter(node.op for node in cell.live_nodes if node.op != "identity")
    return len(cell.states), tuple(sorted(counts.items()))
