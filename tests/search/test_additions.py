"""Additions by other packages: a sampler and a supernet method in one file each, and a problem."""

from __future__ import annotations

import json

import pytest
from fake_search import FAKE, search, toy

import cellzoo
from search.testing import check_method, check_sampler
from tasks.runs.record_file import read_record

SAMPLER = '''
"""Local search: the neighbours of the best cell so far."""

from search.samplers.kind import SamplerKind
from search.samplers.sampler import Proposal
from search.samplers.settings import SamplerSettings


class LocalSearch:
    def __init__(self, settings, space, generator):
        self.settings, self.space, self.generator = settings, space, generator
        self.asked, self.best = 0, None

    def ask(self):
        if self.asked == self.settings.trials:
            return None
        self.asked += 1
        found = (
            self.space.sample(self.generator)
            if self.best is None
            else self.space.mutate(self.best[1], self.generator)
        )
        return Proposal(self.asked - 1, found, self.settings.epochs)

    def tell(self, proposal, score):
        if score is not None and (self.best is None or score < self.best[0]):
            self.best = (score, proposal.genotype)


SAMPLER = SamplerKind("local", "neighbours of the best", SamplerSettings, LocalSearch)
'''

METHOD = '''
"""Weights of a random cell on every batch; the cell is the one whose operations had the smallest loss."""

import torch

from cellzoo.notations import darts
from search.methods.kind import MethodKind
from search.methods.method import Method
from search.methods.settings import SupernetSettings
from search.methods.shared_weights import share_weights
from search.supernets.layout import CELL
from search.supernets.relaxation import LocalSoftmax
from search.methods.darts import derive
from tasks.training.state import Parts


class Credit(Method):
    notation = "darts"

    def __init__(self, settings, problem, generator):
        self.settings, self.layout = settings, settings.layout()
        self.relaxation = LocalSoftmax(self.layout, problem.layer, generator)
        self.shared = share_weights(self.layout, self.relaxation, problem, settings, generator)
        self.generator = generator
        self._parts = Parts(
            {"model": self.shared.model}, {"weights": self.shared.optimizer.optimizer}, {"draws": generator}
        )

    def start_epoch(self, epoch, epochs):
        return {"learning_rate": self.settings.learning_rate}

    def step(self, batch, validation):
        alphas = self.relaxation.alphas[CELL]
        noise = torch.randn(alphas.shape, generator=self.generator)
        with torch.no_grad():
            alphas += noise
        loss = self.shared.learn(batch)
        with torch.no_grad():
            alphas -= noise * (0.9 + 0.01 * loss)
        return {"train_loss": loss}

    def distribution(self):
        return self.relaxation.distribution()

    def derive(self):
        return darts.parse(derive(self.layout, self.relaxation.probabilities(CELL)))

    def state(self):
        return self._parts.save()

    def restore(self, state):
        self._parts.restore(state)


METHOD = MethodKind("credit", "for tests", SupernetSettings, Credit)
'''


@pytest.fixture
def added(tmp_path, monkeypatch):
    (tmp_path / "local_search.py").write_text(SAMPLER)
    (tmp_path / "credit.py").write_text(METHOD)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return tmp_path


def test_a_sampler_is_one_file(added):
    from local_search import SAMPLER as KIND

    check_sampler(KIND, {"trials": 40, "nodes": 3})
    report = search(toy(added, "local_search:SAMPLER", trials=4, nodes=2, epochs=1), added / "out")
    assert cellzoo.load(report.path).hash == report.best.cell.hash
    assert report.best.subject.name.startswith("local-sums-s0-")


def test_a_method_that_trains_a_supernet_is_one_file(added):
    from credit import METHOD as KIND

    check_method(KIND, {"nodes": 3, "learning_rate": 1.0})
    report = search(toy(added, "credit:METHOD", nodes=3, learning_rate=0.5), added / "out")
    assert cellzoo.load(report.path).hash == report.best.cell.hash


@pytest.mark.parametrize("method", ["darts", "random", FAKE])
def test_a_problem_of_ones_own_is_searched_without_another_file(tmp_path, method):
    """`sequence_sums.py` is the one file of the problem; its task is eight lines of TOML."""
    report = search(toy(tmp_path, method), tmp_path / "out")
    assert cellzoo.load(report.path).hash == report.best.cell.hash
    assert json.loads(cellzoo.entry(report.path).notes)["task"] == "sums"
    found = [read_record(path) for path in (tmp_path / "out" / "records").glob("*.json")]
    assert {record.task.name for record in found} <= {"search", "sums"}
