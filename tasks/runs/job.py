"""One run, as plain data: what it is, its key, and where it works."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from cellzoo.errors import CellzooError
from tasks.runs.record import CellReference, DataReference, TaskReference
from tasks.runs.record_key import init_in_use, record_key, subject_key
from tasks.runs.store import record_stem
from tasks.settings import recorded

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tasks.data.found import FoundData
    from tasks.registry import TaskSource
    from tasks.runs.record import TuningReference
    from tasks.settings import Json, Settings
    from tasks.task import Subject, Task

WORK = "work"
Purpose: TypeAlias = Literal["evaluation", "confirmation", "tuning"]


@dataclass(frozen=True)
class Job:
    """One run: a task, a subject and a seed. Plain data, so that it can be sent to a worker process.

    Attributes:
        source: Where the task is.
        task: Its name.
        revision: Its revision.
        title: What a reader sees of it.
        settings: All settings of the task.
        subject: The cell, baseline or search.
        seed: The seed.
        key: The record's key.
        identity: Hash of all that decides the training but its budget.
        stem: Name of the record's file, without suffix.
        data: The data sets the task asks for.
        work: Folder of checkpoint and events, below the output folder. Jobs that differ by their budget alone
            share it, and are not run at the same time.
        after: Key of the run whose artifact this one reads; it must be over before this one starts.
        left: Name of that artifact.
        leaves: Name of the artifact that this run leaves for others; empty for none.
        keeps: Name of the file, beside the artifacts, in which it keeps its model; empty for none.
        keep_work: Whether the work folder stays when the record is written, because a job with a larger budget
            may follow.
        remake: Whether the record is there already and only the artifact is made again.
        purpose: As the record has it.
        tuning: As the record has it.
    """

    source: TaskSource
    task: str
    revision: int
    title: str
    settings: Mapping[str, Json]
    subject: Subject
    seed: int
    key: str
    identity: str
    stem: str
    data: Mapping[str, FoundData] = field(default_factory=dict)
    work: str = ""
    after: str | None = None
    left: str = ""
    leaves: str = ""
    keeps: str = ""
    keep_work: bool = False
    remake: bool = False
    purpose: Purpose = "evaluation"
    tuning: TuningReference | None = None

    @property
    def label(self) -> str:
        """What a reader sees, such as `news-lm darts-v2 seed 0`."""
        if self.purpose == "tuning" and self.tuning is not None:
            return f"{self.task} {self.subject.name} trial {self.tuning.trial}"
        return f"{self.task} {self.subject.name} seed {self.seed}"

    @property
    def artifacts(self) -> tuple[str, ...]:
        """Names of all files that it writes below `artifacts`."""
        return tuple(dict.fromkeys(filter(None, (self.leaves, self.keeps))))


def make_job(
    task: Task,
    source: TaskSource,
    config: Settings,
    subject: Subject,
    seed: int,
    data: Mapping[str, FoundData],
    *,
    after: Job | None = None,
    work: str = "",
    keep_work: bool = False,
    purpose: Purpose = "evaluation",
    keeps: str = "",
    tuning: TuningReference | None = None,
) -> Job:
    """Make the job of a task, a subject and a seed.

    Args:
        task: The task.
        source: Where it is.
        config: Its configuration.
        subject: What is run.
        seed: The seed.
        data: At least the data sets that the configuration needs, by name.
        after: The job whose artifact this one reads.
        work: See `Job`; by default a folder named by the identity.
        keep_work: See `Job`.
        purpose: As the record will have it.
        keeps: How the name of the file ends in which the model is kept; empty for none.
        tuning: As the record will have it.

    Raises:
        CellzooError: Something that the record will hold cannot be written in a file.
    """
    settings = recorded(config)
    mine = {name: data[name] for name in task.data(config)}

    def key_of(configuration: Mapping[str, Json]) -> str:
        return record_key(
            task=task.name,
            revision=task.revision,
            subject=subject_key(subject.identity, init_in_use(configuration, subject.init)),
            configuration=configuration,
            data={name: found.sha256 for name, found in mine.items()},
            seed=seed,
            after=after.key if after else None,
            tuning=tuning,
        )

    key = key_of(settings)
    identity = key_of({name: value for name, value in settings.items() if name not in task.budget})
    stem = record_stem(task.name, subject.name, seed, key)
    job = Job(
        source=source,
        task=task.name,
        revision=task.revision,
        title=task.title,
        settings=settings,
        subject=subject,
        seed=seed,
        key=key,
        identity=identity,
        stem=stem,
        data=mine,
        work=work or f"{WORK}/{identity}",
        after=after.key if after else None,
        left=after.leaves if after else "",
        leaves=f"{stem}.{task.leaves}" if task.leaves else "",
        keeps=f"{stem}.{keeps}" if keeps else "",
        keep_work=keep_work,
        purpose=purpose,
        tuning=tuning,
    )
    _check_encodable(job)
    return job


def record_head(job: Job) -> dict[str, Any]:
    """The fields of the record that are known before the run."""
    subject = job.subject
    return {
        "schema_version": 1,
        "key": job.key,
        "task": TaskReference(name=job.task, revision=job.revision, title=job.title),
        "cell": CellReference(
            name=subject.name,
            kind="baseline" if subject.cell is None else "cell",
            hash=None if subject.cell is None else subject.cell.hash,
            origin=subject.origin,
            notation=subject.notation,
            genotype=subject.genotype,
            init=init_in_use(job.settings, subject.init),
        ),
        "seed": job.seed,
        "purpose": job.purpose,
        "tuning": job.tuning,
        "configuration": dict(job.settings),
        "data": {
            name: DataReference(origin=found.origin, sha256=dict(found.sha256))
            for name, found in job.data.items()
        },
        "after": job.after,
    }


def _check_encodable(job: Job) -> None:
    """Refuse at once what would make the record fail after the training.

    Raises:
        CellzooError: A text of the record is not Unicode, such as the name of a file that is not UTF-8.
    """
    texts: dict[str, str] = {
        "the name of the cell": job.subject.name,
        "the name of the cell's file": job.subject.origin,
        "the cell's notation": job.subject.notation,
        "the cell's genotype": job.subject.genotype,
        "the task's title": job.title,
        "the task's place": job.source.place,
        **{f"setting {name!r}": str(value) for name, value in job.settings.items()},
        **{f"the place of the data set {name!r}": found.origin for name, found in job.data.items()},
    }
    for what, text in texts.items():
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise CellzooError(
                f"{job.label}: {what}, {text!r:.200}, is not UTF-8 and cannot stand in a record; rename it"
            ) from error
