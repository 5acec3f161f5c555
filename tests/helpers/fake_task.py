"""A task that trains nothing, for tests of the runner; worker processes import it."""

from __future__ import annotations

import json
import os
import random
import signal
import time
from importlib import import_module

from cellzoo.errors import CellzooError
from tasks.metric import Metric
from tasks.settings import Settings
from tasks.task import Outcome, ParameterCounts, Task


class FakeSettings(Settings):
    epochs: int = 2
    rate: float = 0.5
    label: str = "x"
    shuffle: bool = True
    sizes: tuple[int, ...] = (1, 2)
    seconds: float = 0.0
    fault: str = ""
    victim: str = ""
    padding: int = 0


class Fake(Task):
    """Draws `epochs` random numbers; its score is their mean. `fault` happens to `victim` (any, if empty)."""

    name = "fake"
    revision = 1
    title = "Fake"
    settings = FakeSettings
    leaves = "txt"
    budget = frozenset({"epochs"})

    def data(self, config):
        return ()

    def metrics(self, config):
        return (Metric("score", "score", True), Metric("loss", "loss", False, 3))

    def keeps(self, config):
        return "model.txt"

    def run(self, config, subject, seed, context):
        checkpoint = context.work / "state.json"
        drawn = json.loads(checkpoint.read_text()) if checkpoint.exists() else []
        resumed = len(drawn)
        for epoch in range(resumed, config.epochs):
            drawn.append(random.Random(f"{subject.name} {seed} {epoch}").random())
            temporary = checkpoint.with_suffix(".tmp")
            temporary.write_text(json.dumps(drawn))
            temporary.replace(checkpoint)
            context.report((epoch + 1) / config.epochs, f"epoch {epoch + 1}")
            time.sleep(config.seconds)
            if config.fault and config.victim in ("", f"{subject.name}-{seed}"):
                _fail(config, context, resumed)
        drawn = drawn[: config.epochs]
        mean = sum(drawn) / len(drawn)
        if context.artifact:
            context.artifact.write_text(str(resumed))
        if context.model:
            context.model.write_text(str(mean))
        return Outcome(
            metrics={
                "score": float(config.fault) if config.fault in ("nan", "inf") else mean,
                "loss": 1 - mean,
            },
            items=[{"split": "test", "value": value, "padding": "x" * config.padding} for value in drawn],
            parameters=ParameterCounts(10, 20, 30),
            flops_per_token=7,
            tokens=100,
            seconds={"train": 0.5, "evaluate": 0.1},
            history=[
                {"epoch": n, "score": value, "rates": [float("inf"), 0.5], "seconds": n * 0.1}
                for n, value in enumerate(drawn, 1)
            ],
        )


def _fail(config, context, resumed):
    match config.fault:
        case "input":
            raise CellzooError("corpus.txt: line 3: wrong")
        case "package" | "module":
            import_module("not_installed_here.part" if config.fault == "package" else "fake_task.deeper")
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

            (context.cache / "threads.txt").write_text(
                f"{torch.get_num_threads()} {os.environ['OMP_NUM_THREADS']}"
            )
        case "exit":
            raise SystemExit("bye")


class FakeAfter(Fake):
    """Needs what `Fake` leaves, and has a baseline."""

    name = "fake-after"
    baselines = ("nothing",)
    after = "fake_task:Fake"
    leaves = ""

    def run(self, config, subject, seed, context):
        if subject.cell is not None:
            context.left.read_text()
        return super().run(config, subject, seed, context)
