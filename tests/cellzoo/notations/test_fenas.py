"""FENAS node lists: known cells in them, the meaning of each function, sampling, writing, faults."""

from __future__ import annotations

import random
from collections import Counter

import pytest
import torch
from torch import nn

import cellzoo
from cellzoo.errors import NotationError
from cellzoo.notations import fenas

T, B, E, H = 6, 4, 5, 7


def tensors(*shapes, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(*shape, dtype=torch.float64, generator=generator).requires_grad_() for shape in shapes]


def backward(values) -> None:
    """Back-propagate one fixed loss through all values."""
    sum(
        (value * torch.cos(torch.arange(value.numel(), dtype=torch.float64)).view_as(value)).sum()
        for value in values
    ).backward()


def copy(weights, name, w_x, w_h, bias) -> None:
    with torch.no_grad():
        weights[f"{name}_u_0"].copy_(w_x)
        weights[f"{name}_u_1"].copy_(w_h)
        weights[f"{name}_u_b"].copy_(bias)


def test_its_lstm_is_torchs_lstm():
    theirs = nn.LSTM(E, H, dtype=torch.float64)
    ours = cellzoo.rnn("fenas-lstm", E, H, dtype=torch.float64)
    weights = ours.directions[0].weights
    # torch stacks the gates i, f, g, o; n1 to n4 are i, f, o, g.
    w_x, w_h = theirs.weight_ih_l0.detach().chunk(4), theirs.weight_hh_l0.detach().chunk(4)
    bias = (theirs.bias_ih_l0 + theirs.bias_hh_l0).detach().chunk(4)
    for node, gate in (("n1", 0), ("n2", 1), ("n3", 3), ("n4", 2)):
        copy(weights, node, w_x[gate], w_h[gate], bias[gate])
    seen = []
    for module in (theirs, ours):
        x, h, c = tensors((T, B, E), (1, B, H), (1, B, H))
        output, final = module(x, (h, c))
        backward([output, *final])
        seen.append([output, *final, x.grad, h.grad, c.grad])
    for expected, found in zip(*seen, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
    grads = {name: weight.grad for name, weight in weights.items()}
    for node, gate in (("n1", 0), ("n2", 1), ("n3", 3), ("n4", 2)):
        for ending, whole in (
            ("u_0", theirs.weight_ih_l0),
            ("u_1", theirs.weight_hh_l0),
            ("u_b", theirs.bias_ih_l0),
        ):
            expected = whole.grad.chunk(4)[gate]
            torch.testing.assert_close(grads[f"{node}_{ending}"], expected, rtol=1e-12, atol=1e-12)


def test_its_gru_is_the_gru_with_the_reset_gate_before_the_product():
    ours = cellzoo.rnn("fenas-gru", E, H, dtype=torch.float64)
    weights = ours.directions[0].weights
    names = ["n1_u", "n2_u", "n4_u"]
    # A gate, z, r and the candidate in this order, has W, U and b.
    parts = [tensors((H, E), (H, H), (H,), seed=index) for index in range(3)]
    for name, (w, u, b) in zip(names, parts, strict=True):
        copy(weights, name.removesuffix("_u"), w, u, b)
    (w_z, u_z, b_z), (w_r, u_r, b_r), (w_n, u_n, b_n) = parts
    x, start = tensors((T, B, E), (1, B, H), seed=9)
    h, outputs = start[0], []
    for step in x:
        z = torch.sigmoid(step @ w_z.T + h @ u_z.T + b_z)
        r = torch.sigmoid(step @ w_r.T + h @ u_r.T + b_r)
        n = torch.tanh(step @ w_n.T + (r * h) @ u_n.T + b_n)
        h = z * h + (1 - z) * n
        outputs.append(h)
    backward([torch.stack(outputs)])
    expected = [
        torch.stack(outputs).detach(),
        x.grad,
        start.grad,
        *(item.grad for part in parts for item in part),
    ]
    x, start = tensors((T, B, E), (1, B, H), seed=9)
    output, _ = ours(x, start)
    backward([output])
    grads = [weights[f"{name}_{ending}"].grad for name in names for ending in ("0", "1", "b")]
    for one, other in zip(expected, [output, x.grad, start.grad, *grads], strict=True):
        torch.testing.assert_close(other, one, rtol=1e-12, atol=1e-12)


def test_the_known_cells_have_as_many_nodes_as_the_paper_gives_them():
    assert len(fenas.read_architecture(cellzoo.entry("fenas-lstm").genotype).genes) == 9
    assert len(fenas.read_architecture(cellzoo.entry("fenas-gru").genotype).genes) == 8


@pytest.mark.parametrize("name", ["fenas-lstm", "fenas-gru"])
def test_the_known_cells_are_written_and_read_as_themselves(name):
    cell = cellzoo.load(name)
    assert fenas.parse(fenas.write(cell)).hash == cell.hash


def test_there_are_fourteen_functions():
    assert len(fenas.FUNCTIONS) == len(set(fenas.FUNCTIONS)) == 14


ACTIVATIONS = {"tanh": torch.tanh, "relu": torch.relu, "id": lambda a: a, "sig": torch.sigmoid}


def run_one(text: str) -> tuple[torch.Tensor, dict[str, torch.Tensor], torch.Tensor, torch.Tensor]:
    """Run one step with random weights; return the output, the weights, x and h."""
    rnn = cellzoo.CellRNN(fenas.parse(text), E, H, dtype=torch.float64)
    rnn.reset_parameters(torch.Generator().manual_seed(1))
    x, h = tensors((1, B, E), (1, B, H), seed=2)
    return rnn(x, h)[0][0], dict(rnn.directions[0].weights.items()), x[0], h[0]


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("inputs", ["x, h", "h, x", "x", "x, 0", "0, x"])
def test_a_weighted_function(activation, inputs):
    output, w, x, h = run_one(f"n1 = A_{activation}({inputs})")
    name = "n1" if activation == "id" else "n1_u"
    values = {"x": x, "h": h}
    real = [values[source] for source in inputs.split(", ") if source != "0"]
    total = w[f"{name}_b"] + sum(value @ w[f"{name}_{k}"].T for k, value in enumerate(real))
    torch.testing.assert_close(output, ACTIVATIONS[activation](total), rtol=1e-12, atol=1e-12)
    assert len(w) == len(real) + 1


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("inputs", ["x, h", "x", "0, x"])
def test_a_function_without_weights_projects_x_once(activation, inputs):
    output, w, x, h = run_one(f"n1 = a_{activation}({inputs})")
    total = x @ w["x_projected_0"].T + (h if "h" in inputs else 0.0)
    torch.testing.assert_close(output, ACTIVATIONS[activation](total), rtol=1e-12, atol=1e-12)
    assert len(w) == 1


@pytest.mark.parametrize("activation", ["tanh", "relu", "sig"])
@pytest.mark.parametrize("inputs", ["x, h", "x", "h, 0"])
def test_a_skip_function(activation, inputs):
    # A second node reads x, so that a skip of h alone is a cell, too.
    output, w, x, h = run_one(f"n1 = S_{activation}({inputs}); n2 = A_id(x); n3 = n1 + n2")
    values = {"x": x, "h": h}
    names = [source for source in inputs.split(", ") if source != "0"]
    gate = torch.sigmoid(w["n1_c_b"] + sum(values[s] @ w[f"n1_c_{k}"].T for k, s in enumerate(names)))
    candidate = ACTIVATIONS[activation](
        w["n1_u_b"] + sum(values[s] @ w[f"n1_u_{k}"].T for k, s in enumerate(names))
    )
    carried = sum(x @ w["x_projected_0"].T if source == "x" else h for source in names)
    n1 = (1 - gate) * carried + gate * candidate
    n2 = x @ w["n2_0"].T + w["n2_b"]
    torch.testing.assert_close(output, n1 + n2, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("text", "formula"),
    [
        ("x + h", lambda x, h: x + h),
        ("h - x", lambda x, h: h - x),
        ("x * h", lambda x, h: x * h),
        ("x + 0", lambda x, h: x),
        ("0 + x", lambda x, h: x),
        ("x - 0", lambda x, h: x),
        ("0 - x", lambda x, h: -x),
        ("x * x", lambda x, h: x * x),
    ],
)
def test_an_atomic_function(text, formula):
    output, w, x, h = run_one(f"n1 = {text}")
    torch.testing.assert_close(output, formula(x @ w["x_projected_0"].T, h), rtol=1e-12, atol=1e-12)


def test_all_places_share_one_projection_of_x():
    cell = fenas.parse("n1 = x * h; n2 = a_tanh(x, n1); n3 = S_relu(n2, x)")
    assert cell.num_parameters(input_size=E, hidden_size=H) == H * E + 2 * (H * H + H * E + H)


def test_nodes_without_effect_are_pruned():
    assert fenas.parse("n1 = A_tanh(x, h); n2 = A_sig(x, h); n3 = a_id(n1)").hash == cellzoo.load("rnn").hash


def test_lines_and_semicolons_are_alike():
    text = cellzoo.entry("fenas-lstm").genotype
    assert fenas.parse(text.replace(";", "\n")).hash == fenas.parse(text.strip().replace("\n", ";")).hash


def test_random_members_are_written_and_read_as_themselves():
    generator = random.Random(17)
    for number in range(1000):
        cell = fenas.parse(fenas.sample(generator))
        written = fenas.write(cell)
        again = fenas.parse(written)
        assert again.hash == cell.hash
        if number % 10 == 0:
            assert fenas.write(again) == written


def test_members_drawn_obey_the_rules():
    generator = random.Random(4)
    drawn, memories = Counter(), 0
    for _ in range(400):
        text = fenas.sample(generator)
        genes = fenas.read_architecture(text).genes
        assert len(genes) == 9
        drawn.update(gene.function for gene in genes)
        for gene in genes:
            assert (gene.first, gene.second) != ("0", "0")
            assert gene.function != "*" or "0" not in (gene.first, gene.second)
        cell = fenas.parse(text)
        read = {source for node in cell.live_nodes for source in node.inputs}
        assert {"x", *(state.name for state in cell.states)} <= read
        memories += len(cell.states) == 2
    assert set(drawn) == set(fenas.FUNCTIONS)
    # 3600 draws over 14 functions: 257 each, but that products are drawn a little less and accepted less.
    assert all(170 < count < 340 for count in drawn.values())
    assert 150 < memories < 250


def test_the_output_of_a_member_drawn_depends_on_the_input():
    """At once or by c: h' = f(h) would stay what it is, whatever x says."""
    for seed in range(150):
        cell = fenas.parse(fenas.sample(random.Random(seed), memory=True))
        inputs = {node.name: node.inputs for node in cell.nodes} | {s.name: (s.next,) for s in cell.states}
        seen, waiting = set(), [cell.output]
        while waiting:
            value = waiting.pop()
            if value not in seen:
                seen.add(value)
                waiting += inputs.get(value, ())
        assert {"x", "h", "c"} <= seen


@pytest.mark.parametrize("memory", [False, True])
def test_the_form_and_the_size_can_be_chosen(memory):
    text = fenas.sample(random.Random(1), nodes=4, memory=memory)
    architecture = fenas.read_architecture(text)
    assert len(architecture.genes) == 4
    assert (architecture.memory is not None) is memory


@pytest.mark.parametrize(
    ("equations", "text"),
    [
        # The output is not the last to be known: the next c depends on it.
        ("h' = tanh(linear(x, h, c2))\nc2' = relu(linear(h'))", None),
        (
            "h' = tanh(linear(x, h))\nc' = relu(linear(h', c))",
            "n1 = A_tanh(x, h)\nn2 = A_relu(c, n1)\nn3 = a_id(n1)\nc' = n2\n",
        ),
        # The next c is the h before; x projected is a value of its own.
        ("h' = tanh(linear(x, c))\nc' = h", "n1 = A_tanh(x, c)\nn2 = a_id(h)\nn3 = a_id(n1)\nc' = n2\n"),
        ("p = linear(x; bias=no)\nh' = linear(p, h) * p", "n1 = a_id(x)\nn2 = A_id(h, n1)\nn3 = x * n2\n"),
        ("h' = linear(x; bias=no)", "n1 = a_id(x)\n"),
        ("h' = 0 - linear(x, h)", "n1 = A_id(x, h)\nn2 = 0 - n1\n"),
        ("a = linear(x, h)\nh' = tanh(a) + a", "n1 = A_id(x, h)\nn2 = a_tanh(n1)\nn3 = n1 + n2\n"),
    ],
)
def test_cells_of_other_notations_are_said(equations, text):
    cell = cellzoo.parse(equations, "equations")
    if text is None:
        with pytest.raises(NotationError, match="a product of 3 inputs"):
            fenas.write(cell)
        return
    assert fenas.write(cell) == text
    assert fenas.parse(text).hash == cell.hash


@pytest.mark.parametrize(
    ("equations", "why"),
    [
        ("h' = leaky_relu(linear(x, h))", "the operation 'leaky_relu'"),
        ("h' = tanh(linear(x, h; bias=no))", "products without bias other than one projection of x"),
        ("h' = linear(x; bias=no) * linear(x; bias=no)", "products without bias other than one projection"),
        ("h' = linear(x: A, h: A2) * linear(x: A)", "some of its weights are shared"),
        (
            "z = sigmoid(linear(x, h))\nh' = blend(z, h, tanh(linear(x, h)))",
            "a blend that is not a skip function",
        ),
        (
            "z = sigmoid(linear(x, h))\nh' = blend(z, tanh(linear(x, h)), h)",
            "a blend that is not a skip function",
        ),
        ("z = linear(x, h)\nh' = blend(z, tanh(z), z)", "a blend that is not a skip function"),
        ("h' = linear(linear(x; width=3), h)", "a product of the width 3"),
        ("h' = linear(linear(x) * 0)", "the operation 'zero' where"),
        ("h' = linear(tanh(x))", "a function without weights reads x directly"),
        ("h' = add(linear(x), h, h)", "add of 3 inputs"),
        ("h' = linear(x, h)\noutput = tanh(h')", "its output is not the next value"),
        ("h' = linear(x, h)\nd' = x\ne' = linear(d)", "its states are not h, or h and c"),
        ("h' = linear(x, h)\nd' = x", "its states are not h, or h and c"),
        (
            "a1 = linear(x, h)\n" + "".join(f"a{k} = a{k - 1} * h\n" for k in range(2, 103)) + "h' = a102",
            "102 nodes",
        ),
    ],
)
def test_what_no_node_list_can_say_is_refused(equations, why):
    cell = cellzoo.parse(equations, "equations")
    with pytest.raises(NotationError, match=f"cannot be written in this notation: .*{why}"):
        fenas.write(cell)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no nodes; expected n1 = "),
        ("A_sig(x, h)", r"statement 1: 'A_sig\(x, h\)'; expected n1 = "),
        ("n2 = A_sig(x, h)", "statement 1: found 'n2', expected 'n1'"),
        ("n1 = A_sig(x, h); n1 = n1 + h", "statement 2: found 'n1', expected 'n2'"),
        ("n1 = A_sgi(x, h)", r"n1: unknown function 'A_sgi'; the functions are \+, -, \*, A_tanh"),
        ("n1 = S_id(x, h)", "n1: unknown function 'S_id'"),
        ("n1 = A_sig(x, h, h)", r"n1: 'A_sig\(x, h, h\)' is not a node"),
        ("n1 = A_sig()", "is not a node"),
        ("n1 = x / h", "is not a node"),
        ("n1 = x + h + h", "is not a node"),
        ("n1 = A_sig(x, n1)", "n1: input 'n1' does not exist; x, h, c, 0 do"),
        ("n1 = A_sig(x, h)\nn2 = n1 * n3", "n2: input 'n3' does not exist; x, h, c, 0 and n1 to n1 do"),
        ("n1 = A_sig(x, h)\nn2 = n01 * n1", "input 'n01'"),
        ("n1 = A_sig(0, 0)", r"n1: A_sig\(0\) is constant"),
        ("n1 = h * 0", r"n1: h \* 0 is constant"),
        ("n1 = A_sig(x, c)", "c is read, but no last line such as c' = n1"),
        ("n1 = A_sig(x, c)\nc' = h", "c' is 'h'; expected one of the nodes before it"),
        ("n1 = A_sig(x, c)\nc' = n2", "c' is 'n2'; expected one of the nodes"),
        ("n1 = A_sig(x, c)\nc' = n1\nn2 = n1 * c", "'n2' comes after c'"),
        ("n1 = A_sig(x, c)\nc' = n1\nc' = n1", "comes after c'"),
        ("n1 = A_sig(x, h)\nh' = n1", "statement 2: found \"h'\", expected 'n2'"),
        ("n1 = A_sig(h)", "depends on the input x"),
        ("\n".join(f"n{k} = A_sig(x, h)" for k in range(1, 102)), "more than 100 nodes"),
        ("n1 = A_sig(x, h)" + " " * 20_000, "at most 20000"),
    ],
)
def test_faults_are_named(text, message):
    with pytest.raises(cellzoo.CellzooError, match=message) as caught:
        fenas.parse(text)
    assert "\n" not in str(caught.value)


def test_data_that_is_no_text_is_refused():
    with pytest.raises(NotationError, match=r"expected text such as .*, found dict"):
        cellzoo.parse({}, "fenas")


@pytest.mark.parametrize(("nodes", "memory"), [(0, False), (1, True), (1, None)])
def test_too_few_nodes_to_draw_are_refused(nodes, memory):
    """Such as one node, which has two inputs, for x, h and c: no draw would ever be valid."""
    with pytest.raises(ValueError, match=f"nodes is {nodes}; expected at least"):
        fenas.sample(random.Random(1), nodes=nodes, memory=memory)
