"""Find the trained model of a run by its file or by the record of the run, and export it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cellzoo.errors import CellzooError, DataError
from tasks.runs.execute import ARTIFACTS
from tasks.runs.record_file import read_record

if TYPE_CHECKING:
    from pathlib import Path

TAGGER, CLASSIFIER = "tagger.safetensors", "classifier.safetensors"


def find_model(path: Path) -> Path:
    """Find the file of a model.

    Args:
        path: The file, or the record of the run that trained it.

    Raises:
        DataError: There is no such file, or the run kept no model.
        CellzooError: It is another kind of file.
        RecordError: The record is damaged.
    """
    if path.name.endswith((TAGGER, CLASSIFIER)):
        return path
    if path.suffix != ".json":
        raise CellzooError(
            f"{path}: expected the record of a run (.json), or its model ({TAGGER}, {CLASSIFIER})"
        )
    if not path.is_file():
        raise DataError(f"{path}: is not there; expected the record of a run, or its model")
    record = read_record(path)
    folder = path.parent.parent / ARTIFACTS
    for suffix in (TAGGER, CLASSIFIER):
        model = folder / f"{path.stem}.{suffix}"
        if model.is_file():
            return model
    raise DataError(
        f"{folder}: holds no model of {record.task.name} {record.cell.name} seed {record.seed}: taggers and "
        "classifiers keep one when they are run with --keep-models"
    )


def export_model(model: Path, out: Path) -> None:
    """Write the model of a run as an ONNX file.

    Raises:
        MissingDependencyError: The package onnx is not installed.
        CellzooError: The model cannot be exported.
        DataError: Its file is damaged.
        OutputError: The ONNX file cannot be written.
    """
    from cellzoo.system.extras import require

    require("onnx", "export")
    if model.name.endswith(TAGGER):
        import torch

        from tasks.deploy.tagger import export_tagger
        from tasks.tagging.flair_device import flair_on, quiet_flair
        from tasks.tagging.tagger import CellTagger

        with flair_on(torch.device("cpu")), quiet_flair():
            export_tagger(CellTagger.load_safely(model), out)
    else:
        from tasks.classification.model_file import read_classifier
        from tasks.deploy.classifier import export_classifier

        export_classifier(read_classifier(model), out)
