"""A method of search that only looks like one, and small corpora, for tests of what drives methods.

Its beliefs are a random walk whose steps are scaled by the losses it sees, so that they depend on every batch,
mask and draw before; its weights are trained in earnest.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from search.objectives import language_modeling, tagging
from search.run.configuration import Configuration, Surroundings
from search.run.directory import RunDirectory
from search.run.events import read_events, without_times
from search.run.listener import Silent
from search.run.loop import Plan, run_search
from torch import nn

import cellzoo
from cellzoo.errors import DataError, RunError
from search.methods.kind import MethodKind
from search.methods.method import MethodState
from tasks.data.locate import find

if TYPE_CHECKING:
    from pathlib import Path

OPS = ("tanh", "relu", "sigmoid", "identity")


@dataclass(frozen=True)
class FakeSettings:
    nodes: int = 3
    learning_rate: float = 0.5
    spread: float = 0.3
    diverge_at: int = 0


class FakeMethod:
    def __init__(self, settings, objective, generator):
        self.settings, self.objective, self.generator = settings, objective, generator
        layer = objective.layer
        self.rnn = cellzoo.CellRNN(
            cellzoo.load("gru"),
            layer.input_size,
            layer.hidden_size,
            bidirectional=layer.bidirectional,
            dropout_x=0.2,
            runtime="reference",
        )
        self.rnn.reset_parameters(generator)
        self.model: nn.Module = objective.model(self.rnn, generator)
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=settings.learning_rate)
        self.logits = torch.zeros(settings.nodes, len(OPS))
        self.carry: Any = None
        self.steps = 0

    def start_epoch(self, epoch, epochs):
        return {"learning_rate": self.settings.learning_rate, "temperature": 5.0 - 4.0 * epoch / epochs}

    def step(self, batch, validation):
        self.steps += 1
        out = self.objective.loss(self.model, batch, None if batch.starts else self.carry)
        self.carry = out.carry
        held_out = self.objective.loss(self.model, next(validation), None)
        if self.steps == self.settings.diverge_at:
            raise RunError("the training loss is nan")
        self.optimizer.zero_grad()
        out.penalised.backward()
        self.optimizer.step()
        noise = torch.randn(self.logits.shape, generator=self.generator)
        self.logits += self.settings.spread * noise * held_out.loss.item()
        return {"train_loss": out.loss.item(), "validation_loss": held_out.loss.item()}

    def end_epoch(self, validation):
        self.carry = None
        return {"reward": self.logits.sum().item()}

    def give_up(self):
        return False

    def distribution(self):
        return {"cell": list(self.logits.softmax(1))}

    def derive(self):
        edges = [(OPS[int(best)], node) for node, best in enumerate(self.logits.argmax(1))]
        return cellzoo.parse(f"Genotype(recurrent={edges}, concat=range(1, {len(edges) + 1}))", "darts")

    def conclude(self, validation, judged):
        self.objective.loss(self.model, next(validation), None)
        return self.derive()

    def state(self):
        tensors = {f"model.{name}": value.clone() for name, value in self.model.state_dict().items()}
        tensors |= {"logits": self.logits.clone(), "generator": self.generator.get_state()}
        return MethodState(tensors, {"steps": self.steps})

    def restore(self, state):
        if "logits" not in state.tensors:
            raise DataError("the state is not one of this method")
        self.model.load_state_dict(
            {k.removeprefix("model."): v for k, v in state.tensors.items() if k.startswith("model.")}
        )
        self.logits = state.tensors["logits"].clone()
        self.generator.set_state(state.tensors["generator"])
        self.steps = state.content["steps"]


METHOD = MethodKind("fake", "for tests", FakeSettings, FakeMethod)

TEXT = {"hidden_size": 8, "batch_size": 4, "validation_batch_size": 2, "bptt": 8, "evaluation_streams": 2}
TAGS = {"hidden_size": 6, "word_size": 5, "batch_size": 8, "validation_batch_size": 4}


def write_text(path: Path, lines: int = 120) -> Path:
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


def text_plan(folder: Path, seed: int = 0, epochs: int = 3, name: str = "words.txt", **changes) -> Plan:
    """A fake search on a small text; `changes` are settings of the method."""
    if not (folder / name).exists():
        write_text(folder / name)
    return _plan(language_modeling.KIND, f"text:{name}", folder, TEXT, seed, epochs, changes)


def tag_plan(seed: int = 0, epochs: int = 2, **settings) -> Plan:
    """A fake search on the small NER corpus."""
    return _plan(tagging.KIND, "small-ner", None, {**TAGS, "train_sentences": 64, **settings}, seed, epochs, {})


def _plan(kind, data, folder, settings, seed, epochs, changes) -> Plan:
    found = find(data, folder)
    method = FakeSettings(**changes)
    configuration = Configuration(
        method="fake",
        preset="none",
        method_settings=vars(method),
        objective=kind.name,
        objective_settings=settings,
        data=data,
        sha256=found.sha256,
        epochs=epochs,
        seed=seed,
        device="cpu",
        threads=1,
        version="test",
    )
    device = torch.device("cpu")
    prepared = kind.build(found, kind.settings(**settings), device)

    def build(objective, generator):
        return FakeMethod(method, objective, generator)

    code = {"version": "test", "revision": "a" * 40, "dirty": True}
    return Plan(configuration, Surroundings(None, "cpu", code, {}), prepared, build, device)


def search(plan, folder, listener=None):
    directory = RunDirectory(folder)
    run_search(plan, directory, listener or Silent())
    return directory


def events_of(directory):
    return without_times(read_events(directory.events))
