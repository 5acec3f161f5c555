"""Sums of sequences whose first trainings get into trouble, one after another; worker processes import it."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import replace
from pathlib import Path

import torch
from fake_search import TOY_TASK
from sequence_sums import KIND as SUMS
from sequence_sums import SequenceSums, Settings


class TroubledSettings(Settings):
    folder: str
    troubles: tuple[str, ...]


class TroubledSums(SequenceSums):
    """The n-th model that is made in any process has the n-th trouble: `hang`, `die`, `nan`, or none."""

    def model(self, rnn, generator):
        model = super().model(rnn, generator)
        met = len(list(Path(self.settings.folder).iterdir()))
        (Path(self.settings.folder) / str(met)).write_text(str(os.getpid()))
        match self.settings.troubles[met] if met < len(self.settings.troubles) else "":
            case "hang":
                os.kill(os.getpid(), signal.SIGSTOP)
            case "die":
                os.kill(os.getpid(), signal.SIGKILL)
            case "nan":
                torch.nn.init.constant_(model.output, torch.nan)
        return model


KIND = replace(
    SUMS,
    settings=TroubledSettings,
    build=lambda data, settings, device, cache=None: TroubledSums(settings, device),
)


def troubled_task(folder, *troubles):
    """A task file whose trainings have these troubles."""
    counts = folder / "made"
    counts.mkdir()
    own = f'[settings]\nfolder = "{counts}"\ntroubles = {list(troubles)}\n'
    path = folder / "troubled.toml"
    path.write_text(TOY_TASK.replace("sequence_sums:", "troubled_sums:") + own)
    return path


class Clock:
    """A clock that is two hours fast while one of the processes that made a model stands still."""

    def __init__(self, folder):
        self.folder = folder / "made"

    def monotonic(self):
        return time.monotonic() + (7200.0 if any(map(_is_stopped, self.folder.iterdir())) else 0.0)


def _is_stopped(path):
    stat = Path(f"/proc/{path.read_text() or 0}/stat")
    try:
        return stat.read_text().rpartition(")")[2].split()[0] == "T"
    except OSError:
        return False
