"""Where the Hugging Face hub's own packages keep data sets on this machine; imports none of them."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from cellzoo.system.paths import typed_path

if TYPE_CHECKING:
    from tasks.data.catalog import Hub


def arrow_files(hub: Hub, split: str) -> list[Path]:
    """The Arrow files that `datasets.load_dataset` has made of a split, in order; none if none is there."""
    owner, _, name = hub.repository.partition("/")
    wanted = re.compile(rf"[\w.]+-{re.escape(split)}(-\d{{5}}-of-\d{{5}})?\.arrow")
    # Data sets without an owner were renamed; people have them under both names.
    for folder in (f"{owner}___{name}", name):
        place = _home("HF_DATASETS_CACHE", "datasets") / folder / hub.config / "0.0.0" / hub.revision
        if found := sorted(path for path in _entries(place) if wanted.fullmatch(path.name)):
            return found
    return []


def parquet_files(hub: Hub, split: str) -> list[Path]:
    """The Parquet files of a split that were downloaded from the hub, in order; none if they are not there."""
    place = _home("HF_HUB_CACHE", "hub") / f"datasets--{hub.repository.replace('/', '--')}"
    commit = hub.revision
    with suppress(OSError):  # a branch leads to a commit, a commit to itself
        commit = (place / "refs" / hub.revision).read_text(encoding="utf-8").strip()
    return parquet_below(place / "snapshots" / commit, hub.config, split)


def parquet_below(snapshot: Path, config: str, split: str) -> list[Path]:
    """The Parquet files of a split in a copy of a repository."""
    flat = [path for path in _entries(snapshot / config) if path.name.startswith(f"{split}-")]
    return sorted(path for path in flat or _entries(snapshot / config / split) if path.suffix == ".parquet")


def model_folder(name: str) -> Path | None:
    """The folder of a model that was downloaded from the hub, on its main branch; None if there is none."""
    place = _home("HF_HUB_CACHE", "hub") / f"models--{name.replace('/', '--')}"
    with suppress(OSError):
        return place / "snapshots" / (place / "refs" / "main").read_text(encoding="utf-8").strip()
    return None


def is_in_hub_cache(hub: Hub) -> bool:
    """Whether all splits are on this machine."""
    return all(arrow_files(hub, split) or parquet_files(hub, split) for split in hub.splits.values())


def _home(variable: str, folder: str) -> Path:
    if named := os.environ.get(variable, ""):
        return typed_path(named, variable)
    if home := os.environ.get("HF_HOME", ""):
        return typed_path(home, "HF_HOME") / folder
    above = os.environ.get("XDG_CACHE_HOME", "") or "~/.cache"
    with suppress(RuntimeError):
        return Path(above).expanduser() / "huggingface" / folder
    return Path("/nonexistent")


def _entries(folder: Path) -> list[Path]:
    with suppress(OSError):
        return list(folder.iterdir())
    return []
