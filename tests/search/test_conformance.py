"""The conformance tests of `search.testing` on every method, sampler and space, and on faulty ones."""

from __future__ import annotations

import random
from typing import get_args

import pytest

from search.methods.kind import MethodKind
from search.registry import find_method, kinds
from search.samplers.kind import SamplerKind
from search.samplers.sampler import Proposal
from search.samplers.settings import SamplerSettings
from search.spaces.darts import DartsSpace
from search.testing import check_method, check_sampler, check_space

SMALL = {"nodes": 3, "learning_rate": 1.0}
METHODS = {
    "darts": SMALL | {"order": 2},
    "idarts": SMALL | {"edges": 2},
    "egs": SMALL | {"samples": 2},
    "ess": SMALL | {"delay": 2},
    "enas": SMALL | {"controller_steps": 2, "controller_samples": 2, "candidates": 3},
    "random-ws": SMALL | {"candidates": 5, "candidates_an_epoch": 2},
}
LEARNING = {"trials": 24, "nodes": 3, "initial": 8, "refit": 8}
SAMPLERS = {
    "random": {},
    "evolution": {"population": 8, "sample": 3},
    "fenas": {"population": 8, "nodes": 9},
    "local-search": {"neighbours": 4},
    "hyperband": {"epochs": 9},
    "asha": {"epochs": 9},
    "bananas": LEARNING | {"models": 2, "candidates": 8},
    "bayes": LEARNING | {"pool": 60},
    "boosting": LEARNING | {"pool": 60, "models": 3},
    "smac": LEARNING | {"pool": 60},
    "tpe": LEARNING | {"pool": 60},
    "zero-cost": {"pool": 40, "score": "parameters"},
}
NEEDS = {"bananas": "sklearn", "bayes": "sklearn", "boosting": "lightgbm", "smac": "smac", "tpe": "optuna"}
SPACES = get_args(SamplerSettings.model_fields["space"].annotation)


def test_every_registered_one_is_here():
    found = kinds()
    assert set(METHODS) == {name for name, kind in found.items() if isinstance(kind, MethodKind)}
    assert set(SAMPLERS) == {name for name, kind in found.items() if isinstance(kind, SamplerKind)}


@pytest.mark.parametrize("name", METHODS)
def test_methods(name):
    check_method(find_method(name), METHODS[name])


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=pytest.mark.slow if name in ("bananas", "bayes") else ()) for name in SAMPLERS],
)
def test_samplers(name):
    if name in NEEDS:
        pytest.importorskip(NEEDS[name])
    check_sampler(find_method(name), {"trials": 40, "nodes": 3, **SAMPLERS[name]})


@pytest.mark.parametrize("name", SPACES)
def test_spaces(name):
    check_space(SamplerSettings(space=name, nodes=None if name == "nas-bench-nlp" else 4).cells())


class Forgetful:
    """A sampler whose draws depend on something besides its generator."""

    draws = 0

    def __init__(self, settings, space, generator):
        self.settings, self.space, self.asked = settings, space, 0

    def ask(self):
        if self.asked == self.settings.trials:
            return None
        self.asked += 1
        Forgetful.draws += 1
        return Proposal(self.asked - 1, self.space.sample(random.Random(Forgetful.draws)), 1)

    def tell(self, proposal, score):
        pass


class Constant(DartsSpace):
    def encode(self, genotype):
        return super().encode(genotype)[:-1]


class Idle(DartsSpace):
    def mutate(self, genotype, generator):
        return genotype


def test_the_kits_can_fail():
    kind = SamplerKind("forgetful", "for tests", SamplerSettings, Forgetful)
    with pytest.raises(AssertionError, match="the same calls gave other proposals"):
        check_sampler(kind, {"trials": 40})
    with pytest.raises(AssertionError, match="the codes do not tell"):
        check_space(Constant(2, ("tanh", "relu", "sigmoid")))
    with pytest.raises(AssertionError, match="a mutation left"):
        check_space(Idle(3))
