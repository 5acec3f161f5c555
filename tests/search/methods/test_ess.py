"""ESS: which part is trained in which epoch, the derivation of cells, and given cells."""

from __future__ import annotations

import pytest
import torch
from small_problems import drive, periodic_text
from supernets import generator

import cellzoo
from cellzoo.notations import ess as notation
from search.methods import darts, ess
from search.supernets.layout import CELL, PAST_INPUTS, PAST_STATES, Layout
from tasks.problem import LayerSpec


def build(**settings):
    problem = periodic_text(layer=LayerSpec(6, 6))
    made = ess.build(ess.EssSettings(**({"learning_rate": 0.5} | settings)), problem, generator(1))
    return made, problem


def alphas(method):
    return {group: alpha.detach().clone() for group, alpha in method.rnn.relaxation.alphas.items()}


def test_cell_and_gates_learn_in_turns_with_their_own_rates():
    method, problem = build(nodes=2, delay=2, intra_epochs=2, inter_epochs=1)
    turns = []
    for epoch in range(6):
        before = alphas(method)
        events = drive(method, problem, first=epoch, epochs=epoch + 1, of=6)
        changed = {group for group, alpha in alphas(method).items() if not torch.equal(alpha, before[group])}
        turns.append((changed, events[0]["architecture_learning_rate"]))
    cell, gates = ({CELL}, 3e-3), ({PAST_INPUTS, PAST_STATES}, 1e-3)
    assert turns == [cell, cell, gates, cell, cell, gates]


def test_the_first_step_of_each_group_has_its_learning_rate():
    # Adam's first step is the learning rate, whatever the gradient.
    method, problem = build(nodes=2, delay=1, architecture_weight_decay=0.0)
    for epoch, (groups, rate) in enumerate((((CELL,), 3e-3), ((PAST_INPUTS, PAST_STATES), 1e-3))):
        before = alphas(method)
        method.start_epoch(epoch, 2)
        batches = problem.validation_batches(generator())
        method.step(next(problem.train_batches(generator())), batches)
        # The gates have seen nothing in the first batch's first step, but later steps use them.
        for group in groups:
            moved = (alphas(method)[group] - before[group]).abs()
            assert moved.max().item() == pytest.approx(rate, rel=1e-2)


def test_intra_alone_is_darts():
    found = []
    for module, kind, more in (
        (darts, darts.DartsSettings, {}),
        (ess, ess.EssSettings, {"mode": "intra"}),
    ):
        problem = periodic_text(layer=LayerSpec(6, 6))
        method = module.build(kind(nodes=3, learning_rate=0.5, **more), problem, generator(1))
        events = drive(method, problem, epochs=3)
        found.append((events, method.derive().hash, alphas(method)[CELL]))
    assert found[0][0] == found[1][0]
    assert found[0][1] == found[1][1]
    assert torch.equal(found[0][2], found[1][2])


def test_inter_alone_keeps_the_cell_that_is_given():
    method, problem = build(mode="inter", delay=2, intra="gdas")
    assert set(alphas(method)) == {PAST_INPUTS, PAST_STATES}
    drive(method, problem)
    found = notation.read_genotype(notation.write(method.derive()))
    given = cellzoo.entry("gdas").genotype
    assert str(list(found.recurrent)) in str(given).replace("Genotype(recurrent=", "")
    assert len(found.past_inputs) == len(found.past_states) == 2


def test_a_cell_with_gates_is_derived_without_drop():
    layout = Layout(delay=2)
    probabilities = torch.tensor([[0.9, 0.01, 0.04, 0.03, 0.02], [0.2, 0.2, 0.2, 0.2, 0.2]])
    assert ess.derive_past(layout, probabilities, derive_drop=False) == ("sigmoid", "identity")
    assert ess.derive_past(layout, probabilities, derive_drop=True) == ("drop", "drop")
    method, _ = build(nodes=2, delay=3, inter_weights="lowrank:2")
    found = notation.read_genotype(notation.write(method.derive()))
    assert (len(found.past_inputs), len(found.past_states), found.inter_weights) == (3, 3, "lowrank:2")
