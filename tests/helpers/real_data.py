"""Where the tests find original data files: `CELLZOO_DATA`, else beside the project."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def data_folder(needed: str) -> Path:
    """The data folder, if it holds `needed`; otherwise the test is skipped."""
    folder = Path(os.environ.get("CELLZOO_DATA") or ROOT.parent / "shared" / "data")
    if not (folder / needed).exists():
        pytest.skip(f"no {needed} in {folder}; name the folder with original data files by CELLZOO_DATA")
    return folder
