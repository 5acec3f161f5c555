"""FLOPs and shapes of matrix products against closed forms."""

from __future__ import annotations

import pytest
import torch

import cellzoo
from cellzoo.bench.cell_case import CellCase
from cellzoo.bench.products import METHODS, Products
from cellzoo.bench.shapes import SHAPES, Shape, find_shapes
from cellzoo.bench.work import ProductGroup, pass_flops, product_groups, products_flops
from cellzoo.cells.cell import Cell
from cellzoo.cells.graph import Node, State, linear
from cellzoo.errors import CellError, CellzooError

B, T, E, H = 6, 7, 5, 4
SHAPE = Shape("s", B, T, E, H)
N = B * T


def test_flops_of_the_lstm():
    """Eight products, four biases; three sigmoids, two tanh, three products and a sum for each unit."""
    token = 2 * 4 * H * (E + H) + 4 * H + (3 + 2 + 3 + 1) * H
    assert pass_flops(cellzoo.load("lstm"), SHAPE, training=False) == N * token
    assert pass_flops(cellzoo.load("lstm"), SHAPE, training=True) == 3 * N * token


def test_darts_has_two_and_a_half_times_the_products_of_the_lstm():
    shape = SHAPES["a"]
    darts, lstm = (product_groups(cellzoo.load(name), shape) for name in ("darts-v2", "lstm"))
    size = shape.hidden_size
    assert products_flops(lstm, training=False) == 2 * 960 * 8 * size**2
    assert products_flops(darts, training=False) == 2 * 960 * 20 * size**2
    assert products_flops(darts, training=True) == 3 * 2 * 960 * 20 * size**2


def test_groups_of_the_lstm():
    assert product_groups(cellzoo.load("lstm"), SHAPE) == [
        ProductGroup("x", rows=N, times=1, inner=E, outer=4 * H),
        ProductGroup("h", rows=B, times=T, inner=H, outer=4 * H),
    ]


def test_groups_of_darts_are_its_predecessors():
    """DARTS_V2 reads state 0 once, 1 three times, 2 once, 3 once and 5 twice; a gate and a candidate each."""
    groups = {group.source: group for group in product_groups(cellzoo.load("darts-v2"), SHAPE)}
    assert {name: group.outer for name, group in groups.items()} == {
        "x": 2 * H,
        "h": 2 * H,
        "s0": 2 * H,
        "s1": 6 * H,
        "s2": 2 * H,
        "s3": 2 * H,
        "s5": 4 * H,
    }
    assert groups.pop("x") == ProductGroup("x", N, 1, E, 2 * H)
    assert all((group.rows, group.times, group.inner) == (B, T, H) for group in groups.values())


def test_what_depends_on_x_alone_is_multiplied_at_once():
    cell = cellzoo.parse("u = tanh(linear(x))\nv = linear(u)\nh' = tanh(v + linear(h))\n", "equations")
    shapes = sorted((group.rows, group.times, group.inner) for group in product_groups(cell, SHAPE))
    assert shapes == [(B, T, H), (N, 1, H), (N, 1, E)]


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
    matrices = cellzoo.load("mogrifier-lstm").parameter_shapes(input_size=E, hidden_size=H, bias=False)
    expected = sum(
        rows * columns for rows, columns in (shape for shape in matrices.values() if len(shape) == 2)
    )
    assert sum(group.inner * group.outer for group in groups) == expected
    assert {group.inner for group in groups} == {E, H}


def test_a_cell_that_needs_equal_sizes_says_so():
    nodes = (Node("r", "recast", ("x",)), linear("a", "h"), Node("h_next", "add", ("r", "a")))
    cell = Cell((State("h", "h_next"),), nodes, "h_next")
    with pytest.raises(CellError, match="must equal the hidden size; they are 5 and 4"):
        CellCase(cell, SHAPE, training=True)


class Recorder:
    """A method of multiplication that notes the sizes it is asked for."""

    name = "recorder"

    def __init__(self):
        self.sizes = []
        self.packs = []

    def applies(self, dtype, inner):
        return True

    def pack(self, weight, rows):
        self.packs.append((tuple(weight.shape), rows))
        return weight

    def multiply(self, a, packed, out):
        assert out.shape == (a.size(0), packed.size(0))
        self.sizes.append((a.size(0), a.size(1), packed.size(0)))
        return out


@pytest.mark.parametrize("name", ["lstm", "gru", "darts-v2", "nascell", "mogrifier-lstm", "nbnlp-8045"])
@pytest.mark.parametrize("training", [True, False])
def test_the_products_that_run_are_those_that_are_counted(name, training):
    groups = product_groups(cellzoo.load(name), SHAPE)
    recorder = Recorder()
    Products(groups, training=training, dtype=torch.float32, methods=(recorder,)).run()
    total = sum(2 * m * k * n for m, k, n in recorder.sizes)
    assert total == products_flops(groups, training=training)
    forward = [(group.rows, group.inner, group.outer) for group in groups for _ in range(group.times)]
    backward = [(group.rows, group.outer, group.inner) for group in groups for _ in range(group.times)]
    weights = [(group.outer, group.rows * group.times, group.inner) for group in groups]
    assert sorted(recorder.sizes) == sorted(forward + (backward + weights if training else []))
    assert len(recorder.packs) == len(groups) * (3 if training else 1)


def test_forward_runs_step_by_step_and_backward_the_other_way_round():
    recorder = Recorder()
    groups = [ProductGroup("x", 6, 1, 2, 3), ProductGroup("h", 2, 3, 4, 5), ProductGroup("s", 2, 3, 7, 8)]
    Products(groups, training=True, dtype=torch.float32, methods=(recorder,)).run()
    forward = [(6, 2, 3), *[(2, 4, 5), (2, 7, 8)] * 3]
    backward = [(6, 3, 2), *[(2, 8, 7), (2, 5, 4)] * 3]
    assert recorder.sizes == [*forward, *backward, (3, 6, 2), (5, 6, 4), (8, 6, 7)]


class Priced(Recorder):
    """A method whose time on a clock of its own is known."""

    def __init__(self, name, clock, price):
        super().__init__()
        self.name = name
        self.clock = clock
        self.price = price

    def multiply(self, a, packed, out):
        self.clock[0] += self.price(a.size(0), a.size(1), packed.size(0))
        return super().multiply(a, packed, out)


def test_each_product_gets_its_fastest_method():
    clock = [0.0]
    cheap_when_wide = Priced("wide", clock, lambda m, k, n: 1.0 if n > 10 else 3.0)
    constant = Priced("constant", clock, lambda m, k, n: 2.0)
    groups = [ProductGroup("x", 40, 1, 12, 30), ProductGroup("h", 2, 20, 5, 8)]
    methods = (constant, cheap_when_wide)
    found = Products(groups, training=True, dtype=torch.float32, methods=methods, clock=lambda: clock[0])
    assert found.chosen == {
        "x": {"forward": "wide", "backward": "wide", "weights": "wide"},
        "h": {"forward": "constant", "backward": "constant", "weights": "constant"},
    }


def test_packing_counts_once_and_steps_each():
    """Packing costs 10, a step 1 less: worth it from 11 steps on, though few steps are tried."""

    class Packed(Priced):
        def pack(self, weight, rows):
            self.clock[0] += 10.0
            return super().pack(weight, rows)

    for steps, expected in ((9, "plain"), (12, "packed")):
        clock = [0.0]
        methods = (Priced("plain", clock, lambda *_: 2.0), Packed("packed", clock, lambda *_: 1.0))
        group = ProductGroup("h", 2, steps, 3, 4)
        found = Products(
            [group], training=False, dtype=torch.float32, methods=methods, clock=lambda clock=clock: clock[0]
        )
        assert found.chosen == {"h": {"forward": expected}}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("m", "k", "n"), [(6, 5, 8), (3, 1300, 7), (1, 1, 1)])
def test_methods_multiply(dtype, m, k, n):
    generator = torch.Generator().manual_seed(3)
    a, w = (torch.randn(rows, k, dtype=dtype, generator=generator) for rows in (m, n))
    expected = a.double() @ w.double().T
    tolerance = {torch.float32: 1e-4, torch.float64: 1e-12}[dtype]
    usable = [method for method in METHODS if method.applies(dtype, k)]
    assert usable[0] is METHODS[0]
    for method in usable:
        for left, right in ((a, w), (a.T.contiguous().T, w.T.contiguous().T)):
            found = method.multiply(left, method.pack(right, m), torch.full((m, n), torch.nan, dtype=dtype))
            torch.testing.assert_close(found.double(), expected, rtol=tolerance, atol=tolerance)


def test_shapes_by_name_and_by_size():
    assert SHAPES["d"] == Shape("d", 256, 35, 300, 300)
    assert find_shapes(["a, 2x3x4x5", "a"]) == [SHAPES["a"], Shape("2x3x4x5", 2, 3, 4, 5)]
    assert str(SHAPES["a"]) == "a (32x30x256x256)"
    assert str(find_shapes(["2x3x4x5"])[0]) == "2x3x4x5"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("e", "unknown shape 'e'.*BxTxExH"),
        ("", "unknown shape ''"),
        ("a,,b", "unknown shape ''"),
        ("2x3x4", "unknown shape '2x3x4'"),
        ("2x3x4x5x6", "unknown shape"),
        ("-2x3x4x5", "unknown shape"),
        ("2x3x4x٥", "unknown shape"),
        ("2x0x4x5", "a size is 0"),
        ("1000x1000x100x100", "200,020,000 numbers together; at most 100,000,000"),
        ("999999999x999999999x999999999x999999999", "numbers together"),
    ],
)
def test_bad_shapes_are_refused(text, message):
    with pytest.raises(CellzooError, match=message):
        find_shapes([text])
