"""The candidates of a cell: FLOPs and products against closed forms, results against each other and torch."""

from __future__ import annotations

import pytest
import torch
from torch.nn.utils.rnn import PackedSequence, pack_sequence
from torch.overrides import TorchFunctionMode

import cellzoo
from cellzoo.bench.case import (
    DTYPES,
    LOOP,
    LSTM,
    LSTM_AUTOCAST,
    LSTM_BF16,
    PRODUCTS,
    SHAPES,
    Shape,
    find_shapes,
)
from cellzoo.bench.cells import ENGINES, cell_case, pass_flops
from cellzoo.bench.products import Group, product_groups, product_pass, products_flops
from cellzoo.bench.run import disagreement
from cellzoo.cells.canonical import canonical_form
from cellzoo.cells.cell import Cell
from cellzoo.cells.graph import Node, State, linear
from cellzoo.errors import CellError, CellzooError
from cellzoo.runtime.native.binding import has_bfloat16

B, T, E, H = 6, 7, 5, 4
SHAPE = Shape("s", B, T, E, H)
PACKED = Shape("p", 5, 8, E, H, packed=True)
N = B * T


def case_of(cell="darts-v2", shape=SHAPE, *, training=True, dtype="float64", engines=("reference",)):
    cell = cellzoo.load(cell) if isinstance(cell, str) else cell
    return cell_case(cell, shape, training=training, dtype=dtype, engines=engines)


def test_flops_of_the_lstm():
    """Eight products, four biases; three sigmoids, two tanh, three products and a sum for each unit."""
    token = 2 * 4 * H * (E + H) + 4 * H + (3 + 2 + 3 + 1) * H
    assert pass_flops(cellzoo.load("lstm"), SHAPE, training=False) == N * token
    assert pass_flops(cellzoo.load("lstm"), SHAPE, training=True) == 3 * N * token
    assert pass_flops(cellzoo.load("lstm"), PACKED, training=False) == 2 * (8 + 6 + 5 + 4 + 2) * token


def test_flops_of_the_candidates_are_their_own():
    flops = case_of().flops
    assert list(flops) == [LOOP, "reference", LSTM, "nn.GRU", PRODUCTS]
    assert flops[LSTM] == pass_flops(cellzoo.load("lstm"), SHAPE, training=True)
    assert flops[LOOP] == flops["reference"] == pass_flops(cellzoo.load("darts-v2"), SHAPE, training=True)
    assert flops[PRODUCTS] == 3 * 2 * N * (2 * H * E + 18 * H * H)


def test_darts_has_two_and_a_half_times_the_products_of_the_lstm():
    shape = SHAPES["a"]
    darts, lstm = (product_groups(cellzoo.load(name), shape) for name in ("darts-v2", "lstm"))
    size = shape.hidden_size
    assert products_flops(lstm, training=False) == 2 * 960 * 8 * size**2
    assert products_flops(darts, training=False) == 2 * 960 * 20 * size**2
    assert products_flops(darts, training=True) == 3 * 2 * 960 * 20 * size**2


def test_groups_of_the_lstm():
    assert product_groups(cellzoo.load("lstm"), SHAPE) == [
        Group("x", rows=(N,), inner=E, outer=4 * H),
        Group("h", rows=(B,) * T, inner=H, outer=4 * H),
    ]


def test_groups_of_darts_are_its_predecessors():
    """DARTS_V2 reads state 0 once, 1 three times, 2 once, 3 once and 5 twice; a gate and a candidate each."""
    groups = {group.source: group for group in product_groups(cellzoo.load("darts-v2"), SHAPE)}
    outer = {"x": 2 * H, "h": 2 * H, "s0": 2 * H, "s1": 6 * H, "s2": 2 * H, "s3": 2 * H, "s5": 4 * H}
    assert {name: group.outer for name, group in groups.items()} == outer
    assert groups.pop("x") == Group("x", (N,), E, 2 * H)
    assert all((group.rows, group.inner) == ((B,) * T, H) for group in groups.values())


def test_what_depends_on_x_alone_is_multiplied_at_once():
    cell = cellzoo.parse("u = tanh(linear(x))\nv = linear(u)\nh' = tanh(v + linear(h))\n", "equations")
    shapes = sorted((group.rows, group.inner) for group in product_groups(cell, SHAPE))
    assert shapes == [((B,) * T, H), ((N,), H), ((N,), E)]


def test_one_matrix_on_one_value_counts_once():
    first = Node("a", "linear", ("x", "h"), ("wx", "wh"))
    second = Node("b", "linear", ("h",), ("wh",))
    last = Node("h_next", "add", ("a", "b"))
    cell = Cell((State("h", "h_next"),), (first, second, last), "h_next")
    outer = {group.source: group.outer for group in product_groups(cell, SHAPE)}
    assert outer == {"x": H, "h": H}


def test_widths_of_the_mogrifier():
    """Its rounds change x by products of h, and h by products of x."""
    groups = product_groups(cellzoo.load("mogrifier-lstm"), SHAPE)
    shapes = cellzoo.load("mogrifier-lstm").parameter_shapes(input_size=E, hidden_size=H, bias=False)
    expected = sum(shape[0] * shape[1] for shape in shapes.values() if len(shape) == 2)
    assert sum(group.inner * group.outer for group in groups) == expected
    assert {group.inner for group in groups} == {E, H}


class Multiplied(TorchFunctionMode):
    """Notes the sizes m, k, n of each torch.mm."""

    def __init__(self):
        super().__init__()
        self.sizes = []

    def __torch_function__(self, function, types, arguments=(), options=None):
        if function is torch.mm:
            self.sizes.append((*arguments[0].shape, arguments[1].size(1)))
        return function(*arguments, **(options or {}))


@pytest.mark.parametrize("name", ["lstm", "gru", "darts-v2", "nascell", "mogrifier-lstm", "nbnlp-8045"])
@pytest.mark.parametrize("shape", [SHAPE, PACKED], ids=str)
@pytest.mark.parametrize("training", [True, False])
def test_the_products_that_run_are_those_that_are_counted(name, shape, training):
    groups = product_groups(cellzoo.load(name), shape)
    run = product_pass(groups, training=training, dtype=torch.float32)
    with Multiplied() as seen:
        assert run() == []
    assert sum(2 * m * k * n for m, k, n in seen.sizes) == products_flops(groups, training=training)
    forward = [(rows, group.inner, group.outer) for group in groups for rows in group.rows]
    backward = [(rows, group.outer, group.inner) for group in groups for rows in group.rows]
    weights = [(group.outer, sum(group.rows), group.inner) for group in groups]
    assert sorted(seen.sizes) == sorted(forward + (backward + weights if training else []))


def test_products_run_step_by_step_and_backward_the_other_way_round():
    groups = [Group("x", (6,), 2, 3), Group("h", (2, 2, 2), 4, 5), Group("s", (2, 2, 2), 7, 8)]
    run = product_pass(groups, training=True, dtype=torch.float32)
    with Multiplied() as seen:
        run()
    forward = [(6, 2, 3), *[(2, 4, 5), (2, 7, 8)] * 3]
    backward = [(2, 8, 7), (2, 5, 4), (6, 3, 2), *[(2, 8, 7), (2, 5, 4)] * 2]
    assert seen.sizes == [*forward, *backward, (3, 6, 2), (5, 6, 4), (8, 6, 7)]


def test_a_cell_without_products_does_not_race_against_products():
    nodes = (Node("r", "recast", ("x",)), Node("h_next", "add", ("r", "h")))
    cell = Cell((State("h", "h_next"),), nodes, "h_next")
    assert list(case_of(cell, Shape("s", 2, 3, 4, 4)).flops) == [LOOP, "reference", LSTM, "nn.GRU"]


def test_a_cell_that_needs_equal_sizes_says_so():
    nodes = (Node("r", "recast", ("x",)), linear("a", "h"), Node("h_next", "add", ("r", "a")))
    cell = Cell((State("h", "h_next"),), nodes, "h_next")
    with pytest.raises(CellError, match="must equal the hidden size; they are 5 and 4"):
        case_of(cell)


@pytest.mark.parametrize("name", ["darts-v2", "lstm", "nbnlp-8045"])
@pytest.mark.parametrize("shape", [SHAPE, PACKED], ids=str)
def test_engines_and_loop_agree_in_outputs_and_gradients(name, shape):
    case = case_of(name, shape, engines=ENGINES)
    expected = case.build(LOOP, shape)()
    rows = (25,) if shape.packed else (T, B)
    assert [tensor.shape for tensor in expected] == [(*rows, shape.directions * H), (*rows, E)]
    for engine in ENGINES:
        for one, other in zip(case.build(engine, shape)(), expected, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)


def test_a_loop_over_a_packed_batch_gives_each_sequence_what_it_gives_alone():
    """Forwards over the sequence, and backwards from its own end, by torch's own LSTM with the same draws."""
    case = case_of("lstm", PACKED, training=False)
    output = case.build(LSTM, PACKED)()[0]  # (25, 2 H)
    generator = torch.Generator().manual_seed(0)
    layer = torch.nn.LSTM(E, H, bidirectional=True, dtype=torch.float64)
    for weight in layer.parameters():
        torch.nn.init.uniform_(weight, -(H**-0.5), H**-0.5, generator=generator)
    x = torch.randn(25, E, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    padded, lengths = torch.nn.utils.rnn.pad_packed_sequence(
        PackedSequence(x, torch.tensor(PACKED.batch_sizes))
    )
    assert lengths.tolist() == [8, 6, 5, 4, 2]
    alone = [layer(padded[:length, index])[0] for index, length in enumerate(lengths)]
    torch.testing.assert_close(output, pack_sequence(alone).data.detach(), rtol=1e-12, atol=1e-12)


def test_a_cell_with_other_names_races_against_the_same_loop():
    """Canonical names are not those of the DARTS notation, by which the loop finds its weights."""
    case = case_of(canonical_form(cellzoo.load("darts-v2")))
    found, expected = (case.build(name, SHAPE)() for name in ("reference", LOOP))
    assert disagreement(found, expected) == ""


def test_only_what_is_asked_for_is_timed():
    case = cell_case(
        cellzoo.load("lstm"),
        SHAPE,
        training=True,
        dtype="float32",
        engines=("reference",),
        beside=(LSTM, PRODUCTS),
    )
    assert list(case.flops) == ["reference", LSTM, PRODUCTS]


@pytest.mark.skipif(not has_bfloat16(), reason="this processor, or this build, has no products of bfloat16")
@pytest.mark.parametrize("shape", [SHAPE, PACKED], ids=str)
@pytest.mark.parametrize("training", [True, False])
def test_products_of_bfloat16_run_beside_torch_in_bfloat16(shape, training):
    engines, cell = ("reference", "native"), cellzoo.load("lstm")
    options = {"training": training, "dtype": "float32", "engines": engines}
    case = cell_case(cell, shape, precision="bf16", **options)
    assert list(case.engines) == ["reference", "native", "native bf16"]
    results = {name: case.build(name, shape)() for name in case.flops}
    for name in ("native bf16", LSTM_BF16, LSTM_AUTOCAST):
        others = results[LOOP] if name in case.engines else results[LSTM]
        found = [tensor.float() for tensor in results[name]]
        assert disagreement(found, others) != ""
        assert disagreement(found, others, rounded=True) == ""


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [SHAPE, PACKED], ids=str)
def test_every_candidate_runs_and_takes_gradients_anew(training, dtype, shape):
    case = case_of(shape=shape, training=training, dtype=dtype)
    for name in case.flops:
        run = case.build(name, shape)
        first = [tensor.clone() for tensor in run()]
        assert len(first) == (0 if name == PRODUCTS else 1 + training)
        for one, other in zip(run(), first, strict=True):
            assert not one.requires_grad
            assert torch.equal(one, other)


def test_shapes_by_name_and_by_size():
    assert SHAPES["d"] == Shape("d", 256, 35, 300, 300)
    assert find_shapes(["a, 2x3x4x5", "a"]) == [SHAPES["a"], Shape("2x3x4x5", 2, 3, 4, 5)]
    assert str(SHAPES["a"]) == "a (32x30x256x256)"
    assert str(find_shapes(["2x3x4x5"])[0]) == "2x3x4x5"
    (packed,) = find_shapes(["2x8x4x5-packed"])
    assert (str(packed), packed.batch_sizes, packed.directions) == (
        "2x8x4x5-packed",
        [2, 2, 1, 1, 1, 1, 1, 1],
        2,
    )


def test_packed_lengths_go_from_a_quarter_to_all():
    shape = SHAPES["paragraphs"]
    lengths = [sum(size > index for size in shape.batch_sizes) for index in range(shape.batch)]
    assert (lengths[0], lengths[-1], lengths) == (200, 50, sorted(lengths, reverse=True))
    assert shape.tokens == sum(lengths) == 16 * 125
    assert Shape("s", 3, 1, 2, 2, packed=True).batch_sizes == [3]
    assert SHAPE.batch_sizes == [B] * T


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("e", "unknown shape 'e'.*BxTxExH"),
        ("", "unknown shape ''"),
        ("a,,b", "unknown shape ''"),
        ("2x3x4", "unknown shape '2x3x4'"),
        ("2x3x4x5x6", "unknown shape"),
        ("-2x3x4x5", "unknown shape"),
        ("2x3x4x5-padded", "unknown shape"),
        ("2x3x4x٥", "unknown shape"),
        ("2x0x4x5", "a size is 0"),
        ("1000x1000x100x100", "200,020,000 numbers together; at most 100,000,000"),
        ("999999999x999999999x999999999x999999999-packed", "numbers together"),
    ],
)
def test_bad_shapes_are_refused(text, message):
    with pytest.raises(CellzooError, match=message):
        find_shapes([text])
