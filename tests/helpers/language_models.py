"""Small texts, language models and trainings for the tests of `tasks.language_modeling`."""

from __future__ import annotations

import math
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

import cellzoo
from tasks.data.locate import find
from tasks.language_modeling.model import LanguageModel
from tasks.language_modeling.modeling import LanguageModeling
from tasks.language_modeling.problem import KIND
from tasks.settings import configure
from tasks.training.fit import Fitted, fit, recurrent_layer
from tasks.training.loop import Place
from tasks.training.settings import TrainingSettings

if TYPE_CHECKING:
    from torch import nn

CPU = torch.device("cpu")
ROOT = Path(__file__).parents[2]
NO_DROPOUT = {"dropout": 0.0, "dropout_e": 0.0, "dropout_i": 0.0, "dropout_x": 0.0, "dropout_h": 0.0}
DROPOUT = {"dropout": 0.2, "dropout_e": 0.1, "dropout_i": 0.2, "dropout_x": 0.2, "dropout_h": 0.2}
SMALL = {**DROPOUT, "hidden_size": 8, "batch_size": 4, "bptt": 10, "evaluation_streams": 2}
AWD = {
    **SMALL,
    "model": "awd",
    "embedding_size": 6,
    "num_layers": 3,
    "dropout_x": 0.0,
    "dropout_h": 0.0,
    "dropout_between": 0.2,
    "weight_drop": 0.3,
    "alpha": 2.0,
    "beta": 1.0,
}


def small_model(
    cell: str = "darts-v2",
    words: int = 11,
    size: int = 6,
    seed: int = 0,
    dtype: torch.dtype | None = None,
    dropout_x: float = 0.0,
    dropout_h: float = 0.0,
    **options: Any,
) -> LanguageModel:
    generator = torch.Generator().manual_seed(seed)
    rnn = cellzoo.CellRNN(cellzoo.load(cell), size, size, dropout_x=dropout_x, dropout_h=dropout_h, dtype=dtype)
    rnn.reset_parameters(generator)
    return LanguageModel(rnn, words, generator=generator, **options)


def random_words(count: int, words: int, seed: int = 0) -> torch.Tensor:
    return torch.randint(words, (count,), generator=torch.Generator().manual_seed(seed))


def write_text(path: Path, lines: int = 120) -> Path:
    """A text whose words follow each other by a rule, with some noise; seven words a line."""
    source = random.Random(3)
    words = [f"w{n}" for n in range(12)]
    with path.open("w") as stream:
        for _ in range(lines):
            at = source.randrange(12)
            sentence = []
            for _ in range(7):
                at = (5 * at + source.choice([1, 1, 1, 2])) % 12
                sentence.append(words[at])
            stream.write(" ".join(sentence) + "\n")
    return path


def problem_on(corpus: str | Path, folder: Path | None = None, **settings: Any) -> LanguageModeling:
    """The problem on a data set by its name, or on a file."""
    if isinstance(corpus, Path):
        corpus, folder = f"text:{corpus.name}", corpus.parent
    values = configure(KIND.settings, {**SMALL, **settings, "corpus": corpus}, "the test")
    built = KIND.build({corpus: find(corpus, folder)}, values, CPU)
    assert isinstance(built, LanguageModeling)
    return built


def model_of(problem: LanguageModeling, cell: str = "gru", seed: int = 0) -> LanguageModel:
    generator = torch.Generator().manual_seed(seed)
    return problem.model(recurrent_layer(cellzoo.load(cell), problem.layer, generator), generator)


class StoppedError(Exception):
    pass


def train_on(
    problem: LanguageModeling,
    folder: Path,
    cell: str = "gru",
    seed: int = 0,
    stop_at: float = math.inf,
    **settings: Any,
) -> Fitted:
    """Train by SGD at rate 1; at a fraction of the budget it stops, as by a kill."""
    folder.mkdir(exist_ok=True)

    def report(fraction: float, words: str) -> None:
        if fraction >= stop_at:
            raise StoppedError

    training = TrainingSettings(**{"epochs": 3, "learning_rate": 1.0, "clip": 0.25, **settings})
    return fit(problem, cellzoo.load(cell), training, seed, Place(folder, "a" * 64, "test", report))


def weights(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def equal(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


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
