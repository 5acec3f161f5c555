"""Small language models and texts for the tests of `tasks.language_modeling`."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

import cellzoo
from tasks.data.locate import find
from tasks.language_modeling.model import CellLanguageModel
from tasks.language_modeling.settings import LanguageModelSettings
from tasks.task import Context, Subject

if TYPE_CHECKING:
    from collections.abc import Callable

TINY = LanguageModelSettings(
    hidden_size=6,
    epochs=3,
    batch_size=4,
    bptt=10,
    learning_rate=1.0,
    evaluation_streams=2,
)
TINY_NEWS: dict[str, Any] = {"hidden_size": 6, "epochs": 3, "batch_size": 256, "min_count": 30, "jitter": True}
ROOT = Path(__file__).parents[2]


def small_model(
    cell: str = "darts-v2", words: int = 11, size: int = 6, seed: int = 0, **options: Any
) -> CellLanguageModel:
    model = CellLanguageModel(cellzoo.load(cell), words, size, size, **options)
    model.reset_parameters(torch.Generator().manual_seed(seed))
    return model


def tiny(**changes: Any) -> LanguageModelSettings:
    return replace(TINY, **changes)


def random_words(count: int, words: int, seed: int = 0) -> torch.Tensor:
    return torch.randint(words, (count,), generator=torch.Generator().manual_seed(seed))


def context_in(folder: Path, *data: str, report: Callable[[float, str], None] | None = None) -> Context:
    for name in ("work", "artifacts"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    return Context(
        data={name: find(name) for name in data},
        work=folder / "work",
        artifacts=folder / "artifacts",
        device="cpu",
        report=report or (lambda fraction, words: None),
    )


def subject(name: str) -> Subject:
    entry = cellzoo.entry(name)
    return Subject(name, entry.cell, entry.origin, entry.notation, entry.genotype)


def python(script: str, *arguments: str, hash_seed: str = "0") -> subprocess.CompletedProcess[str]:
    """Run a script in a process of its own, which finds the tests' helpers."""
    environment = {
        **os.environ,
        "PYTHONHASHSEED": hash_seed,
        "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests' / 'helpers'}",
        "OMP_NUM_THREADS": "1",
    }
    return subprocess.run(
        [sys.executable, "-c", script, *arguments],
        capture_output=True,
        text=True,
        timeout=240,
        env=environment,
        check=False,
    )
