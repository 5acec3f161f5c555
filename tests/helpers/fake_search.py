"""A method that only looks like one, tasks to search on, and searches in this process, for tests of searches.

The method's beliefs are a random walk whose steps are scaled by the losses it sees, so that they depend on
every batch, mask and draw before; its weights are trained in earnest.
"""

from __future__ import annotations

import random

import torch

import cellzoo
from cellzoo.errors import DataError, RunError
from search.methods.kind import MethodKind
from search.methods.method import Method
from search.run.request import request_search
from search.run.run import run_search
from tasks.runs.run import ExecutorSettings
from tasks.settings import Settings
from tasks.training.events import read_events, without_times
from tasks.training.state import LearnerState

OPS = ("tanh", "relu", "sigmoid", "identity")
FAKE = "fake_search:METHOD"


class FakeSettings(Settings):
    nodes: int = 3
    learning_rate: float = 0.05
    walk: float = 0.3
    diverge_at: int = 0


class FakeMethod(Method):
    notation = "darts"

    def __init__(self, settings, problem, generator):
        self.settings, self.problem, self.generator = settings, problem, generator
        layer = problem.layer
        self.own = cellzoo.CellRNN(
            cellzoo.load("gru"),
            layer.input_size,
            layer.hidden_size,
            bidirectional=layer.bidirectional,
            dropout_x=0.2,
            runtime="reference",
        )
        self.own.reset_parameters(generator)
        self.built = problem.model(self.own, generator)
        weights = [weight for weight in self.built.parameters() if weight.requires_grad]
        self.optimizer = torch.optim.SGD(weights, lr=settings.learning_rate)
        self.logits = torch.zeros(settings.nodes, len(OPS))
        self.carry = None
        self.steps = self.counted = 0

    @property
    def model(self):
        return self.built

    @property
    def rnn(self):
        return self.own

    def start_epoch(self, epoch, epochs):
        return {"learning_rate": self.settings.learning_rate, "temperature": 5.0 - 4.0 * epoch / epochs}

    def step(self, batch, validation):
        self.steps += 1
        stop(self.steps)
        out = self.problem.loss(self.built, batch, None if batch.starts else self.carry)
        self.carry = out.carry
        held_out = self.problem.loss(self.built, next(validation), None)
        if self.steps == self.settings.diverge_at:
            raise RunError("the training loss is nan")
        self.optimizer.zero_grad()
        out.penalised.backward()
        self.optimizer.step()
        noise = torch.randn(self.logits.shape, generator=self.generator)
        self.logits += self.settings.walk * noise * held_out.loss.item()
        return {"train_loss": out.loss.item(), "validation_loss": held_out.loss.item()}

    def end_epoch(self, validation):
        self.carry = None
        return {"reward": self.logits.sum().item()}

    def evaluated(self, evaluation):
        if not evaluation.metrics["loss"] < float("inf"):
            raise RunError("the loss on dev is not finite")
        return {"flops": float(self.take_flops())}

    def take_flops(self):
        """As if a step had cost a thousand million operations."""
        taken, self.counted = self.steps - self.counted, self.steps
        return taken * 10**9

    def distribution(self):
        return {"cell": list(self.logits.softmax(1))}

    def derive(self):
        edges = [(OPS[int(best)], node) for node, best in enumerate(self.logits.argmax(1))]
        return cellzoo.parse(f"Genotype(recurrent={edges}, concat=range(1, {len(edges) + 1}))", "darts")

    def conclude(self, validation, progress):
        self.problem.loss(self.built, next(validation), None)
        progress(1, 1)
        stop("end")
        return self.derive()

    def state(self):
        tensors = {f"model.{name}": value.clone() for name, value in self.built.state_dict().items()}
        tensors |= {"logits": self.logits.clone(), "generator": self.generator.get_state()}
        return LearnerState(tensors, {"steps": self.steps})

    def restore(self, state):
        if "logits" not in state.tensors or not isinstance(state.content.get("steps"), int):
            raise DataError("the state is not one of this method")
        try:
            self.built.load_state_dict(
                {k.removeprefix("model."): v for k, v in state.tensors.items() if k.startswith("model.")}
            )
            self.generator.set_state(state.tensors["generator"])
        except (RuntimeError, KeyError, TypeError) as error:
            raise DataError(f"the state is not one of this method: {error!s:.80}") from error
        self.logits = state.tensors["logits"].clone()
        self.steps = self.counted = state.content["steps"]


METHOD = MethodKind("fake", "for tests", FakeSettings, FakeMethod)

STOPS: list = []
"""Steps (or `end`) at which the next search in this process is interrupted, each once."""


def stop(step):
    if step in STOPS:
        STOPS.remove(step)
        raise KeyboardInterrupt


TOY_TASK = """\
name = "sums"
title = "Sums of sequences"
revision = 1
problem = "sequence_sums:KIND"
[training]
epochs = 2
optimizer = "adam"
learning_rate = 0.02
"""
TOY_PRESET = """\
epochs = 3
[methods.darts]
nodes = 3
learning_rate = 1.0
[methods.random]
nodes = 3
trials = 3
epochs = 2
[methods.evolution]
nodes = 3
trials = 10
population = 4
sample = 2
epochs = 2
[then.sequence-sums.brief]
epochs = 2
[then.sequence-sums.full]
epochs = 3
[then.language-modeling.brief]
epochs = 1
"""
SERIAL = ExecutorSettings(executor="serial", device="cpu")


def toy(folder, method=FAKE, on=None, **changes):
    """A search on the sums of sequences, or on something else; changes are settings of method or task."""
    for name, text in (("sums.toml", TOY_TASK), ("tiny.toml", TOY_PRESET)):
        if not (folder / name).exists():
            (folder / name).write_text(text)
    preset = str(folder / "tiny.toml")
    return request_search(method, str(on or folder / "sums.toml"), preset=preset, changes=changes)


def search(plan, out, seeds=(0,), stop_at=None, execution=SERIAL, **options):
    """Search in this process, to the end or to an interruption."""
    STOPS[:] = [] if stop_at is None else [stop_at]
    try:
        return run_search(plan, seeds, out, execution=execution, **options)
    finally:
        STOPS.clear()


def folder_of(out, number=0):
    """The folder of a search below an output folder."""
    return sorted((out / "searches").iterdir())[number]


def events_of(out, number=0):
    return without_times(read_events(folder_of(out, number) / "events.jsonl"))


def write_text(path, lines=120):
    """A text whose words follow each other by a rule, with some noise."""
    source = random.Random(3)
    words = [f"w{n}" for n in range(12)]
    with path.open("w") as stream:
        for _ in range(lines):
            at = source.randrange(12)
            sentence = []
            for _ in range(7):
                at = (5 * at + source.choice([1, 1, 1, 2])) % 12
                sentence.append(words[at])
            stream.write(" ".join(sentence) + "\n")
    return path
