"""A task as data: a TOML file of about 15 lines.

    name = "wnut17"
    title = "NER, WNUT-17"
    revision = 3
    problem = "tagging"           # a kind of problem: `cellzoo.problems`

    [settings]                    # of the problem, where they differ from its defaults
    corpus = "wnut17"

    [training]                    # of `tasks.training.settings.TrainingSettings`
    epochs = 20

    [scale]                       # of the first metric, for averages over tasks
    floor = 0.0
    reference = 100.0

A probe is trained no further: it measures what another task's run of the same cell and seed has left.

    name = "news-similarity"
    title = "Word similarity, embeddings from news"
    revision = 3
    probe = "word-similarity"     # a kind of probe: `cellzoo.probes`
    after = "news-lm"             # a task with `leaves = "vectors"`
"""

from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING, Literal, Self

from pydantic import Field, JsonValue, model_validator

from tasks.runs.record import NAME_PATTERN
from tasks.toml_file import TomlModel, parse_toml, read_text
from tasks.tuning.space import Range

if TYPE_CHECKING:
    from pathlib import Path

SUFFIX = ".toml"


class Scale(TomlModel):
    """Two fixed points of the first metric, between which results of several tasks are averaged.

    Attributes:
        floor: What a model scores that has learned nothing: always the majority, or uniform over words.
        reference: What counts as 1; a perfect score wherever there is one, never the best so far.
    """

    floor: float
    reference: float

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.floor == self.reference:
            raise ValueError("keys 'floor' and 'reference' are equal, so nothing lies between them")
        return self


class TaskFile(TomlModel):
    """What a task file holds.

    Attributes:
        name: What users type; the file is called the same.
        title: What a reader sees.
        revision: Raised by one whenever the same settings would give other numbers.
        problem: Kind of the problem that is trained and evaluated; empty in a probe.
        probe: Kind of the probe; empty in a task that is trained.
        after: The task whose run a probe comes after, or whose trained layer a classifier takes as its encoder,
            which then stays as it is: a name, or a path relative to this file.
        leaves: What each run leaves: word `vectors` for probes, or its `model` as a file, where its kind of
            problem can write one.
        scale: Where results lie for an average over tasks; None for a task that takes part in none.
        settings: Settings of the problem or of the probe that differ from the defaults.
        training: Settings of the training that differ from the defaults.
        tuning: What `--tune` draws, see `tasks.tuning.space`; empty for the default space.
    """

    name: str = Field(pattern=NAME_PATTERN)
    title: str = Field(min_length=1, max_length=200)
    revision: int = Field(ge=1)
    problem: str = ""
    probe: str = ""
    after: str = ""
    leaves: Literal["", "vectors", "model"] = ""
    scale: Scale | None = None
    settings: dict[str, JsonValue] = Field(default_factory=dict)
    training: dict[str, JsonValue] = Field(default_factory=dict)
    tuning: dict[str, Range] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if bool(self.problem) == bool(self.probe):
            raise ValueError("needs one of the keys 'problem' (what is trained) and 'probe' (what is measured)")
        if self.problem and self.after and self.problem != "classification":
            raise ValueError(
                "key 'after' is for probes, and for classifiers around a frozen encoder; a task with another "
                "'problem' trains its own model"
            )
        if self.probe and not self.after:
            raise ValueError("key 'after' is missing; it names the task whose runs the probe reads")
        if self.probe and (self.training or self.tuning or self.leaves):
            raise ValueError(
                "a probe has neither [training], [tuning] nor 'leaves'; they belong into the task before it"
            )
        return self


def read_task_file(path: Path) -> TaskFile:
    """Read a task file.

    Raises:
        CellzooError: It cannot be read or is wrong; file and key are in the message.
    """
    return parse_task_file(read_text(path), str(path))


def parse_task_file(text: str, source: str) -> TaskFile:
    """Read the text of a task file; `source` is the file, for messages. Errors as `read_task_file`."""
    return parse_toml(text, TaskFile, source)


def is_task_file(text: str) -> bool:
    """Whether the text of a TOML file is a task's rather than a suite's."""
    try:
        content = tomllib.loads(text)
    except (ValueError, RecursionError):
        return False
    return "task" not in content and bool({"problem", "probe"} & content.keys())
