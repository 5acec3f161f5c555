"""Where the course of runs can be followed: TensorBoard, Trackio, Weights & Biases, imported when used."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from cellzoo.errors import MissingDependencyError, unknown
from cellzoo.system.extras import require

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from tasks.runs.job import Job
    from tasks.settings import Json

PROJECT = "cellzoo"
FOLDER = "logs"


_ALONE = (
    ", in an environment without the extras nlp and hub: Trackio and the transformers of these need different "
    "versions of huggingface-hub"
)


class Tracker(Protocol):
    """The page of one run."""

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Add values at a step; steps only grow."""
        ...

    def close(self) -> None:
        """Write what is left; nothing comes after it."""
        ...


class _TensorBoard:
    """Event files below OUT/logs/tensorboard, one folder a run, for `tensorboard --logdir`."""

    def __init__(self, job: Job, out: Path) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._writer = SummaryWriter(out / FOLDER / "tensorboard" / job.stem)

    def log(self, step: int, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)
        self._writer.flush()

    def close(self) -> None:
        self._writer.close()


class _WandB:
    """A run of Weights & Biases, offline below OUT/logs unless WANDB_MODE says otherwise.

    `wandb sync` sends it later: nothing leaves the machine because of an option that is about files.
    """

    def __init__(self, job: Job, out: Path) -> None:
        import os

        import wandb

        folder = out / FOLDER
        folder.mkdir(parents=True, exist_ok=True)
        mode: Any = os.environ.get("WANDB_MODE", "offline")
        self._run: Any = wandb.init(
            project=PROJECT,
            name=job.label,
            dir=str(folder),
            config=_about(job),
            mode=mode,
            reinit="create_new",
        )

    def log(self, step: int, values: Mapping[str, float]) -> None:
        self._run.log(dict(values), step=step)

    def close(self) -> None:
        self._run.finish()


class _Trackio:
    """A run of Trackio, in its own local database (TRACKIO_DIR says where)."""

    def __init__(self, job: Job, out: Path) -> None:
        import trackio

        self._run: Any = trackio.init(project=PROJECT, name=job.stem, config=_about(job), embed=False)

    def log(self, step: int, values: Mapping[str, float]) -> None:
        self._run.log(dict(values), step=step)

    def close(self) -> None:
        self._run.finish()


TRACKERS: Mapping[str, Callable[[Job, Path], Tracker]] = {
    "tensorboard": _TensorBoard,
    "trackio": _Trackio,
    "wandb": _WandB,
}


def find_tracker(name: str) -> Callable[[Job, Path], Tracker]:
    """Find a tracker by name; it is called with a job and the output folder.

    Raises:
        UnknownNameError: There is no such tracker.
        MissingDependencyError: Its package is not installed.
    """
    if name not in TRACKERS:
        raise unknown("tracker", name[:80], TRACKERS)
    try:
        require(name, name)
    except MissingDependencyError as error:
        if name != "trackio":
            raise
        raise MissingDependencyError(f"{error}{_ALONE}") from error
    return TRACKERS[name]


def _about(job: Job) -> dict[str, Json]:
    """By what a reader chooses among runs."""
    return {"task": job.task, "cell": job.subject.name, "seed": job.seed, **job.settings}
