"""Architecture gradients and derived genotypes against the golden values of the reference files.

Made with rnn/architect.py of quark0/darts in float64: a language model of V 11, D = H = 4, 8 nodes, B 4, T 5
without dropout; parameters in the order encoder (tied), W0, W1, ..., decoder bias, number i filled with
0.5 sin(0.7 n + i); alpha = 0.1 sin(0.37 n); training words 3 n mod 11 -> 3 n + 1 mod 11, held-out words
5 n mod 11 -> 5 n + 2 mod 11; eta 2, clip 0.25, weight decay 5e-7.
"""

from __future__ import annotations

import pytest
import torch
from small_problems import Text
from supernets import DOUBLE, fill_like_the_reference, generator, layer, wave
from torch.testing import assert_close

from search.methods import architect, darts, idarts
from search.methods.architect import first_order, second_order
from search.methods.shared_weights import SharedWeights
from search.spaces.idarts import IDartsSpace
from search.supernets.layout import CELL, Layout
from search.supernets.network import Supernet
from search.supernets.relaxation import JointSoftmax, LocalSoftmax
from tasks.problem import Batch

SETTINGS = darts.DartsSettings(order=2, learning_rate=2.0, clip=0.25, weight_decay=5e-7, move_tied=False)
FIRST = (
    0.766189613394,
    [-6.073077e-06, -0.018110630146, 0.010322126697, 0.034280962839, -0.026486386314],
    [0.000242463943, -0.002076336229, 0.001327801321, 0.004084979457, -0.003578908492],
)
SECOND = (
    0.530237910030,
    [-4.918864e-06, -0.003567456689, -0.003644825362, 0.015712147293, -0.008494946378],
    [6.732725e-06, -0.001507444802, 0.001253010134, 0.00265767945, -0.002409977506],
)


def words(step, offset):
    inputs = (step * torch.arange(20)) % 11
    targets = (step * torch.arange(20) + offset) % 11
    return Batch((inputs.view(5, 4), targets.view(5, 4)), tokens=20)


def reference_model(sizes=None, engine="auto"):
    layout = Layout()
    sizes = sizes or layer()
    relaxation = LocalSoftmax(layout, sizes, generator())
    supernet = Supernet(layout, sizes, relaxation, generator(), engine=engine)
    shared = SharedWeights(supernet, Text(11, [], [], sizes), SETTINGS, generator())
    fill_like_the_reference(supernet, first=1)
    with torch.no_grad():
        shared.model.encoder.copy_(wave((11, 4), 0))
        shared.model.bias.copy_(wave((11,), 10))
        supernet.relaxation.alphas[CELL].copy_(wave((36, 5), scale=0.1, step=0.37))
    return shared


def check(gradient, golden, relative, absolute):
    total, first, last = golden
    assert gradient.abs().sum().item() == pytest.approx(total, rel=relative)
    # The rows were written down with twelve digits after the point.
    assert gradient[0].tolist() == pytest.approx(first, rel=relative, abs=absolute)
    assert gradient[-1].tolist() == pytest.approx(last, rel=relative, abs=absolute)


def test_losses_equal_the_golden_values():
    shared = reference_model()
    assert shared.training_loss(words(3, 1)).loss.item() == pytest.approx(2.635554080724, rel=1e-8)
    assert shared.validation_loss(words(5, 2)).loss.item() == pytest.approx(2.816377487658, rel=1e-8)


@pytest.mark.parametrize("engine", ["reference", "auto"])
def test_first_order_gradient_equals_the_golden_values(engine):
    shared = reference_model(engine=engine)
    (gradient,), loss = first_order(shared, words(5, 2))
    assert loss == pytest.approx(2.816377487658, rel=1e-8)
    check(gradient, FIRST, 1e-8, 6e-13)


@pytest.mark.parametrize("cap", [True, False])
@pytest.mark.parametrize("engine", ["reference", "auto"])
def test_second_order_gradient_equals_the_golden_values(cap, engine):
    # Here the gradient is clipped, so that both rules for the coefficient say 0.44.
    shared = reference_model(engine=engine)
    settings = SETTINGS.model_copy(update={"cap_coefficient": cap})
    before = [weight.clone() for weight in shared.weights]
    (gradient,), _ = second_order(shared, words(3, 1), words(5, 2), settings)
    check(gradient, SECOND, 1e-5, 1e-10)
    assert all(torch.equal(weight, old) for weight, old in zip(shared.weights, before, strict=True))


def test_without_clipping_it_is_the_gradient_through_the_step(monkeypatch):
    # d/dalpha L_val(w - eta dL_train/dw) by automatic differentiation, twice. A shorter step makes the finite
    # difference a better approximation of it.
    monkeypatch.setattr(architect, "FINITE_STEP", 1e-4)
    shared = reference_model(engine="reference")
    eta = 0.1
    settings = darts.DartsSettings(order=2, learning_rate=eta, clip=1e6, weight_decay=0.0)
    (gradient,), _ = second_order(shared, words(3, 1), words(5, 2), settings)
    names = [name for name, _ in shared.model.named_parameters() if "relaxation" not in name]
    alpha = shared.supernet.relaxation.alphas[CELL]

    def loss(weights, batch):
        inputs, targets = batch.content
        logits, _ = torch.func.functional_call(shared.model, dict(zip(names, weights, strict=True)), (inputs,))
        return torch.nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten())

    weights = [dict(shared.model.named_parameters())[name] for name in names]
    slope = torch.autograd.grad(loss(weights, words(3, 1)), weights, create_graph=True)
    ahead = [weight - eta * part for weight, part in zip(weights, slope, strict=True)]
    (expected,) = torch.autograd.grad(loss(ahead, words(5, 2)), alpha)
    (plain,), _ = first_order(shared, words(5, 2))
    assert_close(gradient, expected, rtol=1e-4, atol=1e-7)
    assert (expected - plain).abs().max() > 1e-3


def test_an_uncapped_coefficient_multiplies_the_correction():
    shared = reference_model()
    gradients = {}
    for cap in (True, False):
        settings = darts.DartsSettings(
            order=2, learning_rate=0.1, clip=2.0, weight_decay=0.0, cap_coefficient=cap
        )
        (gradients[cap],), _ = second_order(shared, words(3, 1), words(5, 2), settings)
    slope = torch.autograd.grad(shared.training_loss(words(3, 1)).loss, shared.weights)
    coefficient = 2.0 / (torch.stack([part.norm() for part in slope]).norm().item() + 1e-6)
    assert coefficient == pytest.approx(0.44060747202 * 2.0 / 0.25, rel=1e-5)
    ahead = [weight.detach() - 0.1 * part for weight, part in zip(shared.weights, slope, strict=True)]
    with torch.no_grad():
        for weight, value in zip(shared.weights, ahead, strict=True):
            weight.copy_(value)
    (direct,), _ = first_order(shared, words(5, 2))
    assert_close(gradients[False] - direct, coefficient * (gradients[True] - direct), rtol=1e-6, atol=1e-9)


def test_weights_that_are_only_tried_leave_the_running_statistics_as_a_copy_would(monkeypatch):
    shared, seen = reference_model(), []

    def noted(run):
        def outcome(batch):
            seen.append([buffer.clone() for buffer in shared.supernet.buffers()])
            return run(batch)

        return outcome

    monkeypatch.setattr(shared, "training_loss", noted(shared.training_loss))
    monkeypatch.setattr(shared, "validation_loss", noted(shared.validation_loss))
    second_order(shared, words(3, 1), words(5, 2), SETTINGS)
    first, ahead, beside, _ = seen
    assert any(not torch.equal(one, other) for one, other in zip(first, ahead, strict=True))
    assert all(torch.equal(one, other) for one, other in zip(ahead, beside, strict=True))


def test_same_masks_make_the_second_order_gradient_reproducible():
    shared = reference_model(layer(dropout_x=0.5, dropout_h=0.5))
    settings = darts.DartsSettings(order=2, learning_rate=0.1, same_masks=True)

    def drawn():
        torch.manual_seed(7)
        return second_order(shared, words(3, 1), words(5, 2), settings)[0][0]

    once = drawn()
    again = torch.get_rng_state()
    assert torch.equal(once, drawn())
    assert torch.equal(again, torch.get_rng_state())


def test_derived_genotypes_equal_the_golden_ones():
    layout = Layout()
    alphas = wave((36, 5), scale=1.0, step=0.37)
    local, joint = (kind(layout, layer(), generator()) for kind in (LocalSoftmax, JointSoftmax))
    with torch.no_grad():
        local.alphas[CELL].copy_(alphas)
        joint.alphas[CELL].copy_(alphas)
    assert darts.derive(layout, local.probabilities(CELL)).recurrent == (
        *(("identity", 0), ("tanh", 0), ("identity", 0), ("identity", 0)),
        *(("identity", 3), ("identity", 5), ("identity", 2), ("identity", 2)),
    )
    official = idarts.derive(layout, IDartsSpace(edges=1), joint.probabilities(CELL), skip_start=True)
    assert official.recurrent == (
        *((("identity", 0),), (("tanh", 1),), (("tanh", 1),), (("sigmoid", 1),)),
        *((("relu", 4),), (("identity", 2),), (("sigmoid", 3),), (("identity", 6),)),
    )


def test_top_n_keeps_the_most_probable_pairs_but_none():
    layout = Layout(nodes=2, operations=("none", "tanh", "relu"))
    probabilities = torch.tensor([[0.9, 0.04, 0.06], [0.5, 0.1, 0.2], [0.0, 0.15, 0.05]], dtype=DOUBLE)
    kept = idarts.derive(layout, IDartsSpace(2, ("tanh", "relu"), edges=2), probabilities, skip_start=False)
    assert kept.recurrent == ((("tanh", 0), ("relu", 0)), (("relu", 0), ("tanh", 1)))


def test_of_equals_the_first_is_derived():
    layout = Layout(nodes=2)
    equal = torch.full((3, 5), 0.2)
    assert darts.derive(layout, equal).recurrent == (("tanh", 0), ("tanh", 0))
