"""Pretrained models that features are computed with, as data: found on this machine, and digested.

`flair:SOURCE [forward|backward]` is a character language model: a file, a folder that holds one file for each
direction (`*forward*.pt`), or a name of Flair's with its file in Flair's cache. `transformer:SOURCE` is a
folder as transformers saves it, or a name in the cache of the Hugging Face hub. The net is never asked.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from cellzoo.errors import DataError, DataNotFoundError
from cellzoo.system.paths import typed_path
from tasks.data.catalog import DataSet
from tasks.data.found import FoundData
from tasks.data.hub_cache import model_folder
from tasks.data.parts import Part

if TYPE_CHECKING:
    from collections.abc import Iterator

KINDS = ("flair", "transformer")
_DIRECTIONS = ("forward", "backward")
_PLAIN = (".json", ".txt", ".model", ".safetensors", ".bin")


def is_model(name: str) -> bool:
    """Whether a name says a pretrained model."""
    return name.partition(":")[0] in KINDS and ":" in name


def find_model(name: str, data_dir: Path | None) -> FoundData:
    """Find the files of a model.

    Args:
        name: See above.
        data_dir: The folder that relative paths begin at; the current one if None.

    Raises:
        DataNotFoundError: It is not on this machine; the message says where it was looked for.
        DataError: A folder holds none or several files that could be it.
    """
    kind, _, source = name.partition(":")
    parts = _flair(name, source, data_dir) if kind == "flair" else _transformer(name, source, data_dir)
    data_set = DataSet(
        name=f"own-{kind}",
        title=name,
        format="model",
        files={role: (part.path.name,) for role, part in parts.items()},
    )
    digests = {role: part.digest() for role, part in parts.items()}
    return FoundData(name, "pretrained model", parts, digests, data_set)


def _flair(name: str, source: str, data_dir: Path | None) -> dict[str, Part]:
    before, _, last = source.rpartition(" ")
    direction = last if last in _DIRECTIONS and before else ""
    typed = before if direction else source
    path = (data_dir or Path()) / typed_path(typed, f"feature {name!r}")
    if path.is_file():
        return {"model": Part(path)}
    if path.is_dir():
        fitting = sorted(one for one in path.iterdir() if one.suffix == ".pt" and direction in one.name)
        if len(fitting) != 1:
            names = ", ".join(one.name for one in fitting) or "none"
            raise DataError(
                f"{path}: expected one file *{direction}*.pt for the feature {name!r}; there is {names}"
            )
        return {"model": Part(fitting[0])}
    kept = _flair_cache() / "embeddings"
    fitting = [one for one in _of_name(kept, typed, direction) if one.is_file()]
    if len(fitting) != 1:
        raise DataNotFoundError(
            f"feature {name!r}: there is no file or folder {path}, and Flair's cache {kept} has no model "
            "of that name. Name a file, such as flair:lm/forward.pt (cellzoo run char-lm trains one), or "
            f'download the model once with the net: FlairEmbeddings("{typed}-{direction or "forward"}")'
        )
    return {"model": Part(fitting[0])}


def _flair_cache() -> Path:
    with suppress(RuntimeError):
        return Path(os.environ.get("FLAIR_CACHE_ROOT", "~/.flair")).expanduser()
    return Path("/nonexistent")


def _of_name(folder: Path, name: str, direction: str) -> Iterator[Path]:
    """Files as Flair names them: `news-forward-0.4.1.pt`, also `lm-mix-english-forward-v0.2rc.pt`."""
    wanted = f"{name}-{direction}" if direction else name
    with suppress(OSError):
        for path in sorted(folder.iterdir()):
            rest = path.name.removeprefix(wanted)
            if rest != path.name and (rest == ".pt" or (rest.startswith("-") and rest[1:2].isdigit())):
                yield path


def _transformer(name: str, source: str, data_dir: Path | None) -> dict[str, Part]:
    path = (data_dir or Path()) / typed_path(source, f"feature {name!r}")
    folder: Path | None = path if path.is_dir() else model_folder(source)
    if folder is None or not folder.is_dir():
        raise DataNotFoundError(
            f"feature {name!r}: there is no folder {path}, and the Hugging Face hub's cache has no model of "
            f"that name. Name a folder, or download it once with the net: hf download {source}"
        )
    files = sorted(one for one in folder.iterdir() if one.suffix in _PLAIN and one.is_file())
    if not any(one.name == "config.json" for one in files):
        raise DataError(f"{folder}: has no config.json; expected a folder as transformers saves a model")
    return {one.name: Part(one) for one in files}
