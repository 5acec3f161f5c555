"""How weights start: each rule has the distribution it names, and what is not named stays as it was."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

import cellzoo
from cellzoo.cells.canonical import canonical_form
from cellzoo.errors import CellError, UnknownNameError

H = 64


def started(init, seed=0, equations="h' = tanh(linear(x, h) + vector[v] * h + linear(h; bias=no, heads=4))"):
    """The weights of a layer whose cell has these rules."""
    cell = replace(cellzoo.parse(equations, "equations"), init=tuple(init.items()))
    rnn = cellzoo.CellRNN(cell, H, H, init="published", dtype=torch.float64)
    rnn.reset_parameters(torch.Generator().manual_seed(seed))
    return {name: weight.detach() for name, weight in rnn.direction(0).weights.items()}


def of(rule, name="h_next_2_0", seed=0):
    return started({name: rule}, seed)[name]


def test_names_of_the_weights_used_here():
    assert set(started({})) == {"h_next_1_0", "h_next_1_1", "h_next_1_b", "v", "h_next_5_0"}


def values(rule, name="h_next_1_1", count=20):
    return torch.stack([of(rule, name, seed) for seed in range(count)])


@pytest.mark.parametrize(
    ("rule", "low", "high"),
    [
        ("uniform(0.04)", -0.04, 0.04),
        ("uniform(0.5, 2)", 0.5, 2.0),
        ("glorot_uniform", -math.sqrt(6 / (2 * H)), math.sqrt(6 / (2 * H))),
        ("glorot_uniform(8)", -math.sqrt(6 / (9 * H)), math.sqrt(6 / (9 * H))),
        ("he_uniform(8)", -math.sqrt(6 / (65 * H)), math.sqrt(6 / (65 * H))),
    ],
)
def test_uniform_rules(rule, low, high):
    found = values(rule)
    assert low <= found.min()
    assert found.max() <= high
    # 81,920 draws: the standard error of the mean is 0.001 of the range, that of a quarter 0.0015.
    width = high - low
    assert (found.mean() - (low + high) / 2).abs() < 0.01 * width
    for quarter in range(1, 4):
        assert ((found < low + width * quarter / 4).double().mean() - quarter / 4).abs() < 0.01


@pytest.mark.parametrize(("rule", "deviation"), [("normal(0.02)", 0.02), ("lecun_normal", 1 / math.sqrt(H))])
def test_normal_rules(rule, deviation):
    found = values(rule)
    assert found.std().item() == pytest.approx(deviation, rel=0.02)
    assert found.mean().abs() < 0.02 * deviation
    assert ((found.abs() < deviation).double().mean() - 0.6827).abs() < 0.01


def test_sizes_of_a_block_are_those_of_the_rules():
    """A block-diagonal matrix is stored as its blocks: columns are those of one."""
    found = values("lecun_normal", "h_next_5_0")
    assert found.std().item() == pytest.approx(1 / math.sqrt(H / 4), rel=0.03)
    for block in of("orthogonal", "h_next_5_0").chunk(4):
        torch.testing.assert_close(block @ block.T, torch.eye(H // 4, dtype=torch.float64))


def test_chrono_is_the_logarithm_of_a_uniform_length():
    found = values("chrono(784)", "h_next_1_b", 200).exp()
    assert found.min() >= 1
    assert found.max() <= 783
    assert found.mean().item() == pytest.approx(392, rel=0.03)
    turned = -values("chrono(-784)", "h_next_1_b", 200)
    torch.testing.assert_close(turned.exp(), found, rtol=1e-12, atol=0)


def test_power_goes_from_the_first_to_the_last_in_each_head():
    found = of("power(5, -7, 0.3)", "h_next_1_b").chunk(4)
    for part in found:
        assert (part[0].item(), part[-1].item()) == (5.0, -7.0)
        expected = [5 - 12 * (unit / 15) ** 0.3 for unit in range(16)]
        assert part.tolist() == pytest.approx(expected, abs=1e-12)


def test_ring_gives_radii_uniform_in_area():
    radius = torch.exp(-torch.nn.functional.softplus(values("ring(0.5, 0.9)", "v", 200)))
    assert radius.min() >= 0.5
    assert radius.max() <= 0.9
    assert (radius**2).mean().item() == pytest.approx((0.25 + 0.81) / 2, rel=0.01)


def test_a_number_a_kind_a_pattern_and_later_over_earlier():
    found = started({"all": 1, "matrices": 2.5, "biases": 0, "vectors": -1, "h_next_1_*": 3, "h_next_1_0": 4})
    assert {name: weight.unique().tolist() for name, weight in found.items()} == {
        "h_next_1_0": [4.0],
        "h_next_1_1": [3.0],
        "h_next_1_b": [3.0],
        "v": [-1.0],
        "h_next_5_0": [2.5],
    }


def test_what_no_rule_names_starts_as_in_torch():
    bound = 1 / math.sqrt(H)
    for name, weight in started({"v": 0}).items():
        if name != "v":
            assert 0.9 * bound < weight.abs().max() <= bound


def test_uniform_draws_the_same_numbers_whatever_was_published():
    cells = [cellzoo.load("lstm"), replace(cellzoo.load("lstm"), init=())]
    found = []
    for cell in cells:
        rnn = cellzoo.CellRNN(cell, 3, 5, num_layers=2, bidirectional=True)
        rnn.reset_parameters(torch.Generator().manual_seed(1))
        found.append(torch.cat([weight.flatten() for weight in rnn.parameters()]))
    assert torch.equal(*found)


def test_every_layer_and_direction_and_a_layer_without_biases():
    rnn = cellzoo.rnn("lstm", 3, 5, num_layers=2, bidirectional=True, init="published")
    assert all((rnn.direction(index).weights["f_1_b"] == 1).all() for index in range(4))
    assert "f_1_b" not in cellzoo.rnn("lstm", 3, 5, bias=False, init="published").direction(0).weights


def test_the_canonical_form_starts_alike():
    """Names and the order of the draws differ, what is drawn does not."""
    cell = canonical_form(cellzoo.load("slstm"))
    weights = cellzoo.CellRNN(cell, 8, 8, init="published").direction(0).weights
    assert sum(torch.equal(weight, torch.tensor([5.0, -7.0] * 4)) for weight in weights.values()) == 1
    assert sum((weight == 0).all().item() for weight in weights.values()) == 7


def test_it_is_written_in_json_and_no_part_of_the_cell():
    cell = cellzoo.load("slstm")
    assert cellzoo.Cell.from_json(cell.to_json()).init == cell.init != ()
    assert replace(cell, init=()) == cell
    assert replace(cell, init=()).hash == cell.hash


@pytest.mark.parametrize(
    ("selector", "rule", "message"),
    [
        ("nope", 1, "'nope' names no weight; there are h_next_1_0"),
        ("scalars", 1, "'scalars' names no weight"),
        ("all", "gaussian(1)", "unknown rule 'gaussian'"),
        ("all", "uniform", "uniform takes 1 or 2 number"),
        ("all", "uniform(inf)", "'inf' is not a finite number"),
        ("all", "uniform(1e400)", "is not a finite number"),
        ("all", math.nan, "nan is not a finite number"),
        ("all", math.inf, "inf is not a finite number"),
        ("all", 10**400, "is not a finite number"),
        ("all", "uniform(2, 1)", "whose second number is the larger"),
        ("all", "uniform(0.1", "expected a number or a rule"),
        ("all", True, "expected a number or a rule"),
        ("all", ["uniform(1)"], "expected a number or a rule"),
        ("biases", "orthogonal", "orthogonal is for matrices, and 'h_next_1_b' is a bias"),
        ("v", "ring(0.9, 1)", "two radii between 0 and 1"),
        ("v", "chrono(1)", "a length above 2"),
        ("v", "chrono(-2)", "a length above 2"),
        ("matrices", "glorot_uniform(0)", "at least 1"),
    ],
)
def test_what_is_no_initialisation(selector, rule, message):
    with pytest.raises(CellError, match=r"init.*") as caught:
        started({selector: rule})
    assert message in str(caught.value)


def test_a_file_with_a_wrong_initialisation_is_named(tmp_path):
    path = tmp_path / "mine.toml"
    text = "name = 'mine'\nnotation = 'equations'\ngenotype = \"h' = tanh(linear(x, h))\"\n"
    path.write_text(f"{text}init = {{ forget = 1 }}\n")
    with pytest.raises(CellError, match=r"mine.toml: mine: .*'forget' names no weight"):
        cellzoo.load(path)
    path.write_text(f"{text}init = 1\n")
    with pytest.raises(CellError, match=r"mine.toml: init is 1; expected a table"):
        cellzoo.load(path)


@pytest.mark.parametrize("name", ["lstm", "mut1", "mut2", "mut3"])
def test_a_forget_gates_bias_of_one_keeps_what_it_says(name):
    """Without matrices and other biases, a step keeps sigmoid(1) of the state and adds nothing."""
    rnn = cellzoo.rnn(name, 2, 3, init="published", dtype=torch.float64)
    with torch.no_grad():
        for weight, value in rnn.direction(0).weights.items():
            value.mul_(1.0 if weight in {selector for selector, _ in rnn.cell.init} else 0.0)
        before = torch.full((1, 1, 3), 0.7, dtype=torch.float64)
        state = (torch.zeros_like(before), before) if name == "lstm" else before
        _, after = rnn(torch.zeros(1, 1, 2, dtype=torch.float64), state)
    kept = after[1] if name == "lstm" else after
    torch.testing.assert_close(kept, before / (1 + math.exp(-1)), rtol=1e-12, atol=0)


def test_an_unknown_choice():
    with pytest.raises(UnknownNameError, match="unknown init 'xavier'"):
        cellzoo.rnn("lstm", 3, 5, init="xavier")


@pytest.mark.parametrize("name", [name for name in cellzoo.list_cells() if cellzoo.entry(name).init])
def test_the_published_start_of_every_cell_of_the_zoo(name):
    """Each weight that a rule names is drawn by it, finite, and a pass from there is finite, too."""
    rnn = cellzoo.rnn(name, 8, 8, init="published")
    assert all(weight.isfinite().all() for weight in rnn.parameters())
    output, _ = rnn(torch.randn(12, 2, 8, generator=torch.Generator().manual_seed(0)))
    assert output.isfinite().all()
