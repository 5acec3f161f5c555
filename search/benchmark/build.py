"""Builds the file of the table from the published files, packed or unpacked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from cellzoo.errors import DataNotFoundError
from search.benchmark.logs import Source, read_features, read_final_losses, read_logs, recipe_number
from search.benchmark.table import Architecture, Table

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from search.benchmark.logs import LoggedRun

# Paths below a data folder; the first of each line that exists is read. The last two lines are the logs of all
# 14,322 recipes on Penn Treebank, which few people have.
LOGS = (
    ("nas-bench-nlp/train_logs_wikitext-2.zip", "train_logs_wikitext-2/logs.zip", "train_logs_wikitext-2"),
    ("nas-bench-nlp/train_logs_single_run.zip", "train_logs_single_run/logs.zip", "train_logs_single_run"),
    ("nas-bench-nlp/train_logs_multi_runs.zip", "train_logs_multi_runs/logs.zip", "train_logs_multi_runs"),
)
FINAL_LOSSES = ("nas-bench-nlp-ptb/RNN_parameters.csv",)
FEATURES = (
    "nas-bench-nlp/doc2vec_features_lowdim.csv.gz",
    "nas-bench-nlp/doc2vec_features_lowdim.csv",
    "data/doc2vec_features_lowdim.csv",
)
PUBLISHED = {
    "fe0e493cbecadf4711694fd0d60a580c47c97ab715710eb66a51a3625c54deb9": "WikiText-2 logs as published",
    "536548fa3eb073264b7db8c2fa4625ac6e2333aee0ba0f67b4b154048ac86428": "PTB losses as published",
    "85cf5bfd28650ea00c649860d3bdcacfaea7de1b6c4a9d7e483020a6cb3ae7e8": "10-D features as published",
}
"""Digests of the published content."""
_VARIANT = "not the published content"


@dataclass
class _Recipe:
    """The runs' data on one architecture: on one recipe, or on one number if the recipe is not known."""

    recipe: str
    hash: str
    numbers: set[int]
    ids: set[int]


def build_table(folder: Path | None, more: Sequence[Path] = ()) -> Table:
    """Read all published files that exist, and combine them into a table.

    Args:
        folder: Data folder with `nas-bench-nlp` in it, or a copy of the benchmark's repository.
        more: Further zips or folders of logs.

    Raises:
        DataNotFoundError: There are no logs.
        DataError: A file is damaged, or does not have the expected format.
    """
    logs = [*(_present(folder, names) for names in LOGS), *more]
    sources = [read_logs(path) for path in logs if path is not None]
    if not sources:
        names = " or ".join(LOGS[0])
        raise DataNotFoundError(
            f"no logs of NAS-Bench-NLP: expected {names} in the folder that --data names, or --logs FILE. "
            "They are in the repository fmsnew/nas-bench-nlp-release on GitHub"
        )
    final = _present(folder, FINAL_LOSSES)
    if final is not None:
        sources.append(read_final_losses(final))
    features: dict[int, tuple[float, ...]] = {}
    described = [_described(source.path, source.sha256, len(source.runs)) for source in sources]
    path = _present(folder, FEATURES)
    if path is not None:
        features, digest = read_features(path)
        described.append(_described(path, digest, len(features)))
    notes = [note for source in sources for note in source.notes]
    return assemble(sources, features, described, notes)


def _present(folder: Path | None, names: Iterable[str]) -> Path | None:
    return next((folder / name for name in names if (folder / name).exists()), None) if folder else None


def _described(path: Path, sha256: str, count: int) -> dict[str, Any]:
    return {"file": path.name, "sha256": sha256, "entries": count, "is": PUBLISHED.get(sha256, _VARIANT)}


def assemble(
    sources: Sequence[Source],
    features: dict[int, tuple[float, ...]],
    described: list[dict[str, Any]],
    notes: list[str],
) -> Table:
    """Group runs by recipe; a run that is in two sources is taken from the first."""
    runs: dict[str, LoggedRun] = {}
    for source in sources:
        for name, run in source.runs.items():
            runs.setdefault(name, run)
    ordered = sorted(runs.values(), key=lambda run: (run.data, run.id, run.name))
    recipes, of_number = _recipes(ordered)
    keys = sorted(recipes, key=lambda key: (not recipes[key].recipe, min(recipes[key].numbers), key))
    index = {key: place for place, key in enumerate(keys)}
    ends = np.cumsum([0, *(len(run.seconds) for run in ordered)])
    vectors = {recipe_number(identity): vector for identity, vector in sorted(features.items(), reverse=True)}
    arrays: dict[str, NDArray[Any]] = {
        "run_data": np.array([_DATA.index(run.data) for run in ordered], dtype=np.int8),
        "run_id": np.array([run.id for run in ordered], dtype=np.int64),
        "run_architecture": np.array([index[_key(run, of_number)] for run in ordered], dtype=np.int32),
        "run_parameters": np.array([run.parameters for run in ordered], dtype=np.int64),
        "run_diverged": np.array([run.diverged for run in ordered], dtype=np.bool_),
        "run_end": ends.astype(np.int64),
        "final_test": np.array([run.final_test for run in ordered], dtype=np.float64),
        **{
            name: np.array([value for run in ordered for value in getattr(run, name)], dtype=np.float64)
            for name in ("seconds", "train", "valid", "test")
        },
        "feature_number": np.array(sorted(vectors), dtype=np.int64),
        "features": np.array([vectors[number] for number in sorted(vectors)], dtype=np.float64),
    }
    architectures = tuple(
        Architecture(
            place,
            min(recipes[key].numbers),
            tuple(sorted(recipes[key].ids)),
            recipes[key].recipe,
            recipes[key].hash,
            tuple(sorted(recipes[key].numbers)),
        )
        for place, key in enumerate(keys)
    )
    names = tuple(run.name for run in ordered)
    return Table(architectures, names, arrays, tuple(described), tuple(notes))


_DATA = Table.DATA


def _recipes(runs: Sequence[LoggedRun]) -> tuple[dict[str | int, _Recipe], dict[int, str]]:
    """Architectures by their keys (see `_key`), and the recipe of each number whose recipe is known."""
    recipes: dict[str | int, _Recipe] = {}
    of_number: dict[int, str] = {}
    for run in runs:
        if run.recipe:
            of_number.setdefault(recipe_number(run.id), run.recipe)
    for run in runs:
        number = recipe_number(run.id)
        key = _key(run, of_number)
        graph = run.hash if run.recipe else ""
        found = recipes.setdefault(key, _Recipe(run.recipe, graph, set(), set()))
        if run.recipe and not found.recipe:
            found.recipe, found.hash = run.recipe, run.hash
        found.numbers.add(number)
        found.ids.add(run.id)
    return recipes, of_number


def _key(run: LoggedRun, of_number: dict[int, str]) -> str | int:
    """What identifies the architecture of a run: its recipe, or its number if the recipe is not known."""
    number = recipe_number(run.id)
    return run.recipe or of_number.get(number, number)
