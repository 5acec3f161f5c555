"""Every method on a text of a few words: its interface, determinism, and exact resumption."""

from __future__ import annotations

import json

import pytest
import torch
from small_problems import drive, periodic_text
from torch.nn.utils import parameters_to_vector

from cellzoo.cells.cell import Cell
from cellzoo.errors import CellzooError, DataError, RunError
from search.methods.kind import MethodKind
from search.registry import find_method, kinds
from tasks.problem import Evaluation, LayerSpec
from tasks.settings import configure
from tasks.training.state import LearnerState

SMALL = {"nodes": 3, "learning_rate": 1.0}
SETTINGS = {
    "darts": SMALL,
    "darts second order": SMALL | {"order": 2},
    "idarts": SMALL | {"edges": 2},
    "egs": SMALL | {"samples": 2},
    "egs joint": SMALL | {"levels": "joint", "resource": 0.1, "derivation": "sampled", "candidates": 3},
    "ess": SMALL | {"delay": 2},
    "ess intra": SMALL | {"mode": "intra"},
    "ess inter": {"mode": "inter", "learning_rate": 1.0, "intra": "gdas", "inter_weights": "shared"},
    "enas": SMALL | {"controller_steps": 2, "controller_samples": 2, "candidates": 3},
    "random-ws": SMALL | {"candidates": 5, "candidates_an_epoch": 2},
}


def text(**options):
    sizes = {"dropout_x": 0.2, "dropout_h": 0.2, **options}
    return periodic_text(layer=LayerSpec(6, 6, **sizes))


def build(name, problem=None, seed=5):
    kind = find_method(name.partition(" ")[0])
    problem = problem or text()
    return kind.build(kind.settings(**SETTINGS[name]), problem, torch.Generator().manual_seed(seed))


def outcome_of(method, problem):
    cell = method.conclude(problem.validation_batches(torch.Generator()), progress=lambda done, of: None)
    return cell, parameters_to_vector(method.model.parameters()).detach()


def test_every_method_is_found_and_tested():
    found = {name for name, kind in kinds().items() if isinstance(kind, MethodKind)}
    assert found == {name.partition(" ")[0] for name in SETTINGS}
    with pytest.raises(CellzooError, match=r"unknown method 'dart'\. Did you mean 'darts'"):
        find_method("dart")


@pytest.mark.parametrize("name", SETTINGS)
def test_a_method_keeps_its_contract(name):
    problem = text()
    method = build(name, problem)
    torch.manual_seed(1)
    before = parameters_to_vector(method.model.parameters()).detach().clone()
    events = drive(method, problem, epochs=2)
    assert all(isinstance(value, float) for event in events for value in event.values())
    assert all("train_loss" in event for event in events[1:4])
    assert events[0]["learning_rate"] == 1.0
    assert not torch.equal(parameters_to_vector(method.model.parameters()), before)
    random_state = torch.get_rng_state()
    first, again = method.derive(), method.derive()
    assert isinstance(first, Cell)
    assert first.hash == again.hash
    assert torch.equal(torch.get_rng_state(), random_state)
    for rows in method.distribution().values():
        for row in rows:
            assert not row.requires_grad
            assert row.sum().item() == pytest.approx(1.0, abs=1e-5)
    output, _ = method.rnn(torch.zeros(3, 2, 6))
    assert output.shape == (3, 2, 6)
    assert any(module is method.rnn for module in method.model.modules())
    assert isinstance(outcome_of(method, problem)[0], Cell)


@pytest.mark.parametrize("name", SETTINGS)
def test_a_search_goes_on_exactly_where_it_was_saved(name):
    problem = text()
    torch.manual_seed(1)
    whole = build(name, problem)
    drive(whole, problem, epochs=1, of=4)
    state, random_state = whole.state(), torch.get_rng_state()
    content = json.loads(json.dumps(state.content))
    events = drive(whole, problem, first=1, epochs=4)
    resumed = build(name, problem, seed=99)
    resumed.restore(LearnerState({key: value.clone() for key, value in state.tensors.items()}, content))
    torch.set_rng_state(random_state)
    assert drive(resumed, problem, first=1, epochs=4) == events
    cell, weights = outcome_of(whole, problem)
    cell_again, weights_again = outcome_of(resumed, problem)
    assert cell.hash == cell_again.hash
    assert torch.equal(weights, weights_again)


@pytest.mark.parametrize("name", ["darts", "enas"])
def test_a_state_of_another_search_is_refused_and_changes_nothing(name):
    method = build(name)
    before = parameters_to_vector(method.model.parameters()).detach().clone()
    other = build("ess", text())
    tensors = {key: value for key, value in other.state().tensors.items() if "bias" not in key}
    with pytest.raises(DataError, match=r"the saved (state is of another network|baseline is None)"):
        method.restore(LearnerState(tensors, other.state().content))
    assert torch.equal(parameters_to_vector(method.model.parameters()), before)


@pytest.mark.parametrize("name", SETTINGS)
def test_a_loss_that_is_no_number_stops_the_search_with_the_weights_as_they_were(name):
    problem = text()
    method = build(name, problem)
    drive(method, problem)
    with torch.no_grad():
        method.model.bias[0] = float("nan")
    before = {key: tensor.clone() for key, tensor in method.model.named_parameters()}
    with pytest.raises(RunError, match="loss is nan"):
        drive(method, problem)
    after = dict(method.model.named_parameters())
    assert all(
        torch.equal(after[key].nan_to_num(7.0), tensor.nan_to_num(7.0)) for key, tensor in before.items()
    )
    assert all(parameter.requires_grad for key, parameter in after.items() if "alphas" not in key)


@pytest.mark.parametrize("normalisation", ["batch", "running"])
@pytest.mark.parametrize("name", ["darts", "enas", "random-ws"])
def test_only_running_statistics_excuse_an_evaluation_that_is_not_finite(name, normalisation):
    kind = find_method(name)
    settings = kind.settings(**SETTINGS[name], normalisation=normalisation)
    method = kind.build(settings, text(), torch.Generator().manual_seed(5))
    lost = Evaluation({"loss": float("nan")})
    if normalisation == "running":
        assert method.evaluated(lost) == {"flops": 0.0}  # nothing has run
        with torch.no_grad():
            method.model.bias[0] = float("nan")
    with pytest.raises(RunError, match="the loss on dev is nan"):
        method.evaluated(lost)


def test_a_gradient_that_is_no_number_stops_a_joint_search_with_all_as_it_was():
    problem = text()
    method = build("egs joint", problem)
    alphas = dict(method.rnn.relaxation.named_parameters())
    next(iter(alphas.values())).register_hook(lambda gradient: gradient * float("nan"))
    before = {key: tensor.clone() for key, tensor in method.model.named_parameters()}
    with pytest.raises(RunError, match="the gradient of the architecture is nan"):
        drive(method, problem)
    assert all(torch.equal(tensor, before[key]) for key, tensor in method.model.named_parameters())


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("darts", {"nodes": 0}, "is 0; it must be at least 1"),
        ("darts", {"operations": ("none",)}, "nothing to choose"),
        ("darts", {"order": 3}, "is 3; it must be 1 or 2"),
        ("darts", {"order": 2, "optimizer": "adam"}, "optimizer must be 'sgd'"),
        ("darts", {"learning_rate": 0.0}, "setting 'learning_rate' .* is 0.0; it must be above 0"),
        ("darts", {"clip": -1.0}, "is -1.0; it must be above 0"),
        ("idarts", {"edges": 0}, "is 0; it must be at least 1"),
        ("idarts", {"edges": 5}, "n is 1 to 4"),
        ("idarts", {"edges": 3, "operations": ("none", "tanh", "relu")}, "n is 1 to 2"),
        ("idarts", {"edges": 2, "skip_start": True}, "skip_start is a rule .* for n = 1"),
        ("egs", {"samples": 0}, "is 0; it must be at least 1"),
        ("egs", {"samples": 101}, "M is 101 samples an edge; expected 1 to 100"),
        ("egs", {"order": 2}, "order must be 1"),
        ("egs", {"highway": False}, "highway must be true"),
        ("egs", {"last_temperature": 0.0}, "is 0.0; it must be above 0"),
        ("ess", {"delay": 0}, "delay is 0; gates read at least 1 past step"),
        ("ess", {"delay": 9}, "delay is 9"),
        ("ess", {"mode": "both"}, "must be 'intra', 'inter' or 'joint'"),
        ("ess", {"mode": "inter", "intra": "darts-v9"}, "unknown cell 'darts-v9'"),
        ("ess", {"mode": "inter", "intra": "enas"}, "mean of all nodes"),
        ("ess", {"mode": "inter", "intra": "lstm"}, "'lstm' is written in the notation .*; expected darts"),
        ("enas", {"table": "enas_lm_tpu"}, "averages only loose ends"),
        ("enas", {"baseline_decay": 1.0}, "is 1.0; it must be below 1"),
        ("random-ws", {"candidates": 0}, "is 0; it must be at least 1"),
        ("random", {"space": "fence"}, "is 'fence'; it must be 'darts'"),
        ("random", {"trials": 0}, "is 0; it must be at least 1"),
        ("random", {"nodes": 101}, "nodes is 101"),
        ("evolution", {"sample": 2**63}, "must be at most 2,147,483,647"),
    ],
)
def test_settings_out_of_range_are_refused(name, settings, message):
    with pytest.raises(CellzooError, match=message):
        configure(find_method(name).settings, settings, name)
