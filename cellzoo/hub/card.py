"""A model card: the README.md of a saved model, from its configuration and the record of its training."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import yaml

from cellzoo.catalog import NAME, entry
from cellzoo.errors import CellzooError, RecordError
from cellzoo.hub.config import CellConfig
from cellzoo.system.atomic import write_atomically
from cellzoo.system.text import escape_markdown, printable

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cellzoo.cells.cell import Cell
    from cellzoo.entry import CellEntry

# Class of the saved model -> (name of its task on the hub, the Auto class that loads it).
_ARCHITECTURES = {
    "CellForCausalLM": ("text-generation", "AutoModelForCausalLM"),
    "CellForSequenceClassification": ("text-classification", "AutoModelForSequenceClassification"),
    "CellForTokenClassification": ("token-classification", "AutoModelForTokenClassification"),
}
_INTEGERS = 2**63


def save_model_card(
    folder: Path | str,
    record: Mapping[str, Any] | None = None,
    *,
    title: str | None = None,
    licence: str | None = None,
) -> Path:
    """Write the card of a saved model into its folder, as README.md.

    Args:
        folder: Where `save_pretrained` saved the model.
        record: As in `model_card`.
        title: As in `model_card`.
        licence: As in `model_card`.

    Returns:
        The file.

    Raises:
        CellzooError: The folder holds no model of the type `cellzoo`.
        RecordError: As in `model_card`.
        OutputError: The file cannot be written.
    """
    folder = Path(folder)
    if not (folder / "config.json").is_file():
        raise CellzooError(f"{folder}: has no config.json; expected a folder that save_pretrained wrote")
    content, _ = CellConfig.get_config_dict(folder)
    if content.get("model_type") != CellConfig.model_type:
        raise CellzooError(
            f"{folder / 'config.json'}: model_type is {content.get('model_type')!r:.40}; "
            f"expected {CellConfig.model_type!r}"
        )
    path = folder / "README.md"
    card = model_card(CellConfig.from_dict(content), record, title=title, licence=licence)
    write_atomically(path, card.encode())
    return path


def model_card(
    config: CellConfig,
    record: Mapping[str, Any] | None = None,
    *,
    title: str | None = None,
    licence: str | None = None,
) -> str:
    """Write a model card in the format of the Hugging Face hub: YAML between dashes, then Markdown.

    Args:
        config: The model's configuration.
        record: The run record of its training, as parsed from its JSON file. None for a card without results.
        title: Heading; by default the cell's name, and the task's title if there is a record.
        licence: The model's licence as an SPDX identifier in lower case, such as `mit`.

    Returns:
        The card.

    Raises:
        RecordError: The record lacks a field, or is of another cell than the model's.
    """
    cell = config.to_cell()
    run = None if record is None else _Run(_printable(record))
    if run is not None and run.cell_hash != cell.hash:
        raise RecordError(
            f"the record is of the cell {run.cell_name!r:.80} ({run.cell_hash:.12}…); "
            f"the model's cell is {cell.name!r:.80} ({cell.hash[:12]}…)"
        )
    name = cell.name or "a cell"
    heading = printable(title or (name if run is None else f"{name}: {run.task_title}"))
    pipeline, auto = _ARCHITECTURES.get((config.architectures or [""])[0], ("", "AutoModel"))
    sections = [
        _front_matter(heading, pipeline, licence, run),
        f"# {_escaped(heading)}\n",
        f"Recurrent layers whose cell is **{_escaped(name)}**, made with cellzoo.\n",
        _fenced(
            "import cellzoo.hub  # registers the model type\n"
            f"from transformers import {auto}\n\n"
            f'model = {auto}.from_pretrained("path/to/this/folder")',
            "python",
        ),
        *_cell_section(cell, _known(cell)),
        *_model_section(config, cell),
        *(run.sections() if run is not None else []),
    ]
    return printable("\n".join(sections))


class _Metric(NamedTuple):
    name: str
    value: float
    title: str
    digits: int


class _Run:
    """The parts of a run record that a card shows."""

    def __init__(self, record: Mapping[str, Any]) -> None:
        self.record = record
        self.task = _field(record, str, "task", "name")
        self.task_title = _field(record, str, "task", "title")
        self.cell_name = _field(record, str, "cell", "name")
        self.cell_hash = str(_field(record, object, "cell", "hash"))
        self.seed = _field(record, int, "seed")
        self.data = _optional(record, "data")
        self.metrics = [
            _Metric(
                name,
                _field(record, float, "metrics", name, "value"),
                _field(record, str, "metrics", name, "title"),
                _field(record, int, "metrics", name, "digits"),
            )
            for name in _field(record, Mapping, "metrics")
        ]

    def index(self, title: str, pipeline: str) -> list[dict[str, Any]]:
        """The results in the hub's model-index format."""
        data = ", ".join(self.data) or self.task
        result = {
            "task": {"type": pipeline or self.task, "name": self.task_title},
            "dataset": {"type": data, "name": data},
            "metrics": [
                {"type": metric.name, "value": metric.value, "name": metric.title} for metric in self.metrics
            ],
        }
        return [{"name": title, "results": [result]}]

    def sections(self) -> list[str]:
        """The sections on results, settings and the run."""
        results = [
            (metric.title, f"{metric.value:.{min(max(metric.digits, 0), 12)}f}", self.seed)
            for metric in self.metrics
        ]
        facts = [
            *((f"data {name}", _field(self.record, str, "data", name, "origin")) for name in self.data),
            ("training tokens", self.record.get("tokens")),
            ("seconds", _optional(self.record, "timing").get("total_seconds")),
            ("cellzoo", _optional(self.record, "code").get("version")),
            ("revision", _optional(self.record, "code").get("revision")),
            ("device", _optional(self.record, "environment").get("device")),
            ("run key", self.record.get("key")),
            ("created", self.record.get("created")),
        ]
        return [
            "## Results\n",
            f"{_escaped(self.task_title)}: one training run, with seed {self.seed}. "
            "Other seeds give other numbers; compare over several.\n",
            _rows(("metric", "value", "seed"), results),
            "## Settings\n",
            _rows(("setting", "value"), _optional(self.record, "configuration").items()),
            "## Run\n",
            _rows(("what", "value"), [row for row in facts if row[1] is not None]),
        ]


def _front_matter(heading: str, pipeline: str, licence: str | None, run: _Run | None) -> str:
    content: dict[str, Any] = {"library_name": "transformers"}
    if pipeline:
        content["pipeline_tag"] = pipeline
    if licence:
        content["license"] = licence
    content["tags"] = ["cellzoo", "recurrent"]
    if run is not None:
        content["metrics"] = [metric.name for metric in run.metrics]
        content["model-index"] = run.index(heading, pipeline)
    text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True)
    return f"---\n{text}---\n"


def _cell_section(cell: Cell, known: CellEntry | None) -> list[str]:
    from cellzoo.draw.equations import equations

    rows = [("name", cell.name), ("hash", cell.hash)]
    if known is not None:
        rows += [
            ("source", known.source),
            ("searched on", known.searched_on),
            ("licence of the source", known.licence),
        ]
    sections = [
        "## The cell\n",
        _rows(("what", "value"), [row for row in rows if row[1]]),
        _fenced(equations(cell).rstrip("\n")),
    ]
    if known is not None:
        sections += [f"In the notation `{known.notation}`:\n", _fenced(known.genotype.strip())]
    return sections


def _model_section(config: CellConfig, cell: Cell) -> list[str]:
    count = cell.num_parameters(
        input_size=config.embedding_size, hidden_size=config.hidden_size, bias=config.bias
    )
    names = (
        "vocab_size embedding_size hidden_size num_hidden_layers bidirectional bias tie_word_embeddings "
        "embedding_dropout dropout output_dropout dropout_x dropout_h"
    )
    rows = [(name, getattr(config, name)) for name in names.split()]
    return [
        "## The model\n",
        _rows(("setting", "value"), [*rows, ("parameters of the first layer, one direction", f"{count:,}")]),
    ]


def _known(cell: Cell) -> CellEntry | None:
    """The entry of the catalog under the cell's name, if it is this cell."""
    # The name may come from an untrusted file, so it must not be used as a path.
    if not NAME.fullmatch(cell.name) or cell.name.endswith(".toml"):
        return None
    try:
        found = entry(cell.name)
        return found if found.cell.hash == cell.hash else None
    except CellzooError:  # no such cell, or a malformed file of an installed package
        return None


def _rows(titles: Iterable[str], rows: Iterable[Iterable[Any]]) -> str:
    titles = list(titles)
    lines = [titles, ["---"] * len(titles), *([_escaped(value) for value in row] for row in rows)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _escaped(value: Any) -> str:
    return escape_markdown(str(value))


def _fenced(text: str, language: str = "") -> str:
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{text}\n{fence}\n"


def _field(record: Mapping[str, Any], kind: type[Any], *names: str) -> Any:
    """A required field."""
    found: Any = record
    for depth, name in enumerate(names, start=1):
        if not isinstance(found, Mapping) or name not in found:
            raise RecordError(f"the record has no {'.'.join(names[:depth])!r:.80}; expected a run record")
        found = found[name]
    if isinstance(found, bool) or not isinstance(found, (int, float) if kind is float else kind):
        raise RecordError(f"the record: {'.'.join(names):.80} is {found!r:.40}; expected {_KINDS[kind]}")
    if isinstance(found, int) and abs(found) >= _INTEGERS:
        raise RecordError(f"the record: {'.'.join(names):.80} is beyond 64 bits; expected {_KINDS[kind]}")
    return found


def _printable(value: Any) -> Any:
    """The same data with unprintable characters replaced in all texts."""
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, Mapping):
        return {_printable(key): _printable(item) for key, item in value.items()}
    return [_printable(item) for item in value] if isinstance(value, list | tuple) else value


_KINDS: dict[type[Any], str] = {str: "text", int: "a whole number", float: "a number", Mapping: "a table"}


def _optional(record: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """A table that may be missing."""
    return _field(record, Mapping, name) if name in record else {}
