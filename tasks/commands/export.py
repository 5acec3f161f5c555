"""`cellzoo export`: a whole trained model as one ONNX file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from cellzoo.cli.command import Command
from cellzoo.system.paths import path_option, typed_path

if TYPE_CHECKING:
    import argparse

_DESCRIPTION = """\
Export a trained tagger or classifier as one ONNX file that maps token ids to tags or classes. The vocabulary is
stored in the metadata of the file; `tasks.deploy.reader.load` reads both. Models are saved by
`cellzoo run --keep-models`.
"""


def _configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="RECORD|MODEL", help="the record of a run, or its saved model")
    parser.add_argument(
        "--out",
        type=path_option("--out"),
        default=Path("model.onnx"),
        metavar="FILE",
        help="file to write (default: model.onnx)",
    )


def _execute(options: argparse.Namespace) -> int:
    from cellzoo.system.streams import console, say
    from tasks.deploy.find import export_model, find_model

    model = find_model(typed_path(options.model, "model"))
    export_model(model, options.out)
    size = options.out.stat().st_size / 2**20
    say(console(), f"{options.out}: {size:.1f} MiB, from {model}")
    return 0


COMMAND = Command(
    name="export",
    summary="export a trained tagger or classifier as an ONNX file",
    description=_DESCRIPTION,
    examples="  cellzoo export results/records/wnut17--lstm--seed0--1b0c3a5e0f12.json --out tagger.onnx",
    configure=_configure,
    execute=_execute,
)
