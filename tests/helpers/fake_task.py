"""A task that trains nothing, for tests of the runner; worker processes import it."""

from __future__ import annotations

import json
import os
import random
import signal
import time
from dataclasses import dataclass
from importlib import import_module

from cellzoo.errors import CellzooError
from tasks.task import Metric, Outcome, ParameterCounts


@dataclass(frozen=True)
class FakeConfig:
    epochs: int = 2
    rate: float = 0.5
    label: str = "x"
    shuffle: bool = True
    sizes: tuple[int, ...] = (1, 2)
    seconds: float = 0.0
    fault: str = ""
    victim: str = ""
    padding: int = 0


class Fake:
    """Draws `epochs` random numbers; its score is their mean. `fault` happens to `victim` (any, if empty)."""

    name = "fake"
    revision = 1
    title = "Fake"
    metrics = (Metric("score", "score", True), Metric("loss", "loss", False, 3))
    data = ()
    baselines = ()
    after = None
    Config = FakeConfig

    def __init__(self, config=None):
        self.config = config or self.Config()

    def run(self, subject, seed, context):
        checkpoint = context.work / "state.json"
        drawn = json.loads(checkpoint.read_text()) if checkpoint.exists() else []
        resumed = len(drawn)
        for epoch in range(resumed, self.config.epochs):
            drawn.append(random.Random(f"{subject.name} {seed} {epoch}").random())
            temporary = checkpoint.with_suffix(".tmp")
            temporary.write_text(json.dumps(drawn))
            temporary.replace(checkpoint)
            context.report((epoch + 1) / self.config.epochs, f"epoch {epoch + 1}")
            time.sleep(self.config.seconds)
            if self.config.fault and self.config.victim in ("", f"{subject.name}-{seed}"):
                self._fail(context, resumed)
        mean = sum(drawn) / len(drawn)
        (context.artifacts / f"{self.name}-{subject.name}-{seed}.txt").write_text(str(resumed))
        return Outcome(
            metrics={"score": float("nan") if self.config.fault == "nan" else mean, "loss": 1 - mean},
            items=[{"split": "test", "value": value, "padding": "x" * self.config.padding} for value in drawn],
            parameters=ParameterCounts(10, 20, 30),
            flops_per_token=7,
            tokens=100,
            seconds={"train": 0.5, "evaluate": 0.1},
            history=[
                {"epoch": n, "score": value, "rates": [float("inf"), 0.5], "seconds": n * 0.1}
                for n, value in enumerate(drawn, 1)
            ],
        )

    def _fail(self, context, resumed):
        match self.config.fault:
            case "input":
                raise CellzooError("corpus.txt: line 3: wrong")
            case "package" | "module":
                import_module(
                    "not_installed_here.part" if self.config.fault == "package" else "fake_task.deeper"
                )
            case "defect":
                raise ZeroDivisionError("oh\nno")
            case "full":
                raise OSError(28, "No space left on device", str(context.work))
            case "die":
                os.kill(os.getpid(), signal.SIGKILL)
            case "die-once" if not resumed:
                os.kill(os.getpid(), signal.SIGKILL)
            case "shout":
                print("SHOUT")  # noqa: T201 - that is the fault
                os.write(2, b"SHOUT")
            case "threads":
                import torch

                (context.artifacts / "threads.txt").write_text(
                    f"{torch.get_num_threads()} {os.environ['OMP_NUM_THREADS']}"
                )
            case "exit":
                raise SystemExit("bye")


class FakeAfter(Fake):
    """Needs what `Fake` leaves, and has a baseline."""

    name = "fake-after"
    baselines = ("nothing",)
    after = "fake"

    def run(self, subject, seed, context):
        if subject.cell is not None:
            (context.artifacts / f"fake-{subject.name}-{seed}.txt").read_text()
        return super().run(subject, seed, context)
