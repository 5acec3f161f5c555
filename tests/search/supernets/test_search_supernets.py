"""Supernets against the golden values of the reference files, and against the cells that they hold.

The expected numbers were made with rnn/model_search.py of quark0/darts and of jiangyingjunn/i-darts in float64:
parameter number i is filled with 0.5 sin(0.7 n + i), n the flat row-major index; x = cos(0.3 n); alpha =
sin(0.37 n); batch normalisation in training mode, all masks 1; T 3, B 4, D = H = 4, 8 nodes, h0 = 0.
"""

from __future__ import annotations

import pytest
import torch
from supernets import (
    DOUBLE,
    chosen_supernet,
    edge_shares,
    fill_like_the_reference,
    generator,
    lay_into,
    layer,
    wave,
)
from torch.nn.utils.rnn import pack_sequence
from torch.testing import assert_close

import cellzoo
from cellzoo.errors import CellzooError
from cellzoo.notations import darts, egs, idarts
from search.supernets.layout import CELL, Layout
from search.supernets.network import Supernet
from search.supernets.relaxation import JointSoftmax, LocalSoftmax

GOLDEN = {
    LocalSoftmax: (
        41.792771522508,
        [-0.1205215818, 1.264039376, 1.271771204, -0.4449451922],
        6.190289467716,
    ),
    JointSoftmax: (
        42.449717141036,
        [-0.0549671559, 1.3043588857, 1.2412037711, -0.7056715343],
        7.182522642627,
    ),
}


def reference_supernet(relaxation, engine):
    layout = Layout()
    architecture = relaxation(layout, layer(), generator())
    supernet = Supernet(layout, layer(), architecture, generator(), engine=engine)
    fill_like_the_reference(supernet)
    with torch.no_grad():
        supernet.relaxation.alphas[CELL].copy_(wave((36, 5), scale=1.0, step=0.37))
    return supernet


@pytest.mark.parametrize("engine", ["reference", "auto"])
@pytest.mark.parametrize("relaxation", GOLDEN)
def test_outputs_and_gradients_equal_the_golden_values(relaxation, engine):
    squares, last, gradient = GOLDEN[relaxation]
    supernet = reference_supernet(relaxation, engine)
    x = torch.cos(0.3 * torch.arange(3 * 4 * 4, dtype=DOUBLE)).view(3, 4, 4)
    output, h_n = supernet(x)
    total = output.square().sum()
    assert total.item() == pytest.approx(squares, rel=1e-8)
    # The row was written down with ten digits.
    assert output[-1, 0].tolist() == pytest.approx(last, abs=6e-11)
    assert torch.equal(h_n[0], output[-1])
    total.backward()
    assert supernet.relaxation.alphas[CELL].grad.abs().sum().item() == pytest.approx(gradient, rel=1e-8)


@pytest.mark.parametrize("sharing", ["target", "edge", "operation"])
@pytest.mark.parametrize("highway", [True, False])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_a_supernet_with_one_cell_is_that_cell(sharing, highway, bidirectional):
    genotype = darts.Genotype((("relu", 0), ("tanh", 1), ("sigmoid", 0), ("identity", 2)), (1, 2, 3, 4))
    genotype = darts.Genotype(genotype.recurrent, genotype.concat, highway=highway)
    layout = Layout(nodes=4, highway=highway, sharing=sharing, normalisation="none")
    sizes = layer(3, 5, bidirectional=bidirectional)
    shares = edge_shares(layout, [[edge] for edge in genotype.recurrent])
    supernet = chosen_supernet(layout, sizes, {CELL: shares})
    rnn = cellzoo.rnn(darts.parse(genotype), 3, 5, bidirectional=bidirectional, dtype=DOUBLE)
    lay_into(rnn, supernet)
    sequences = [torch.randn(steps, 3, dtype=DOUBLE, generator=generator(steps)) for steps in (2, 4, 1)]
    packed = pack_sequence(sequences, enforce_sorted=False)
    h = torch.randn(2 if bidirectional else 1, 3, 5, dtype=DOUBLE, generator=generator(9))
    output, h_n = supernet(packed, h)
    expected, expected_h_n = rnn(packed, h)
    assert_close(output.data, expected.data, rtol=1e-12, atol=1e-12)
    assert_close(h_n, expected_h_n, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("notation", [idarts, egs])
def test_several_edges_a_node_are_the_cell_of_their_notation(notation):
    nodes = [[("tanh", 0), ("relu", 0)], [("sigmoid", 0), ("tanh", 1)], [("identity", 2), ("relu", 0)]]
    kind = idarts.TopN if notation is idarts else egs.Code
    cell = notation.parse(kind(tuple(tuple(edges) for edges in nodes), (1, 2, 3)))
    layout = Layout(nodes=3, normalisation="none")
    supernet = chosen_supernet(layout, layer(3, 5), {CELL: edge_shares(layout, nodes, scale=0.5)})
    rnn = cellzoo.rnn(cell, 3, 5, dtype=DOUBLE)
    lay_into(rnn, supernet)
    x = torch.randn(4, 2, 3, dtype=DOUBLE, generator=generator(2))
    assert_close(supernet(x)[0], rnn(x)[0], rtol=1e-12, atol=1e-12)


def test_dropout_masks_are_those_of_the_cell():
    genotype = darts.Genotype((("relu", 0), ("tanh", 1)), (1, 2))
    layout = Layout(nodes=2, normalisation="none")
    sizes = layer(3, 5, dropout_x=0.5, dropout_h=0.5)
    shares = {CELL: edge_shares(layout, [[edge] for edge in genotype.recurrent])}
    supernet = chosen_supernet(layout, sizes, shares)
    rnn = cellzoo.rnn(darts.parse(genotype), 3, 5, dropout_x=0.5, dropout_h=0.5, dtype=DOUBLE)
    lay_into(rnn, supernet)
    x = torch.randn(4, 2, 3, dtype=DOUBLE, generator=generator(2))
    torch.manual_seed(5)
    output = supernet(x)[0]
    torch.manual_seed(5)
    assert_close(output, rnn(x)[0], rtol=1e-12, atol=1e-12)
    assert not torch.allclose(output, rnn.eval()(x)[0])


@pytest.mark.parametrize("sharing", ["target", "edge", "operation"])
@pytest.mark.parametrize("normalisation", ["batch", "none"])
def test_leaving_out_what_has_no_share_changes_nothing(sharing, normalisation):
    layout = Layout(nodes=3, sharing=sharing, normalisation=normalisation)
    shares = edge_shares(layout, [[("tanh", 0)], [("relu", 0), ("tanh", 1)], [("sigmoid", 1)]])
    x = torch.randn(3, 4, 3, dtype=DOUBLE, generator=generator(2))
    supernet = chosen_supernet(layout, layer(3, 5), {CELL: shares})
    sparse = supernet(x)[0]
    supernet.relaxation.shares_cell.requires_grad_()
    assert_close(supernet(x)[0], sparse, rtol=1e-12, atol=1e-12)


def test_gradients_pass_gradcheck():
    layout = Layout(nodes=2)
    supernet = Supernet(layout, layer(2, 3), LocalSoftmax(layout, layer(2, 3), generator()), generator(1))
    x = torch.randn(3, 2, 2, dtype=DOUBLE, generator=generator(2), requires_grad=True)
    names, values = zip(*supernet.named_parameters(), strict=True)

    def run(x, *weights):
        return torch.func.functional_call(supernet, dict(zip(names, weights, strict=True)), (x,))[0]

    assert torch.autograd.gradcheck(run, (x, *values), atol=1e-6, rtol=1e-6)


def test_packed_sequences_give_what_each_gives_alone():
    layout = Layout(nodes=3, normalisation="none")
    sizes = layer(3, 5, bidirectional=True)
    supernet = Supernet(layout, sizes, LocalSoftmax(layout, sizes, generator()), generator(1))
    sequences = [torch.randn(steps, 3, dtype=DOUBLE, generator=generator(steps)) for steps in (2, 5, 1)]
    _, h_n = supernet(pack_sequence(sequences, enforce_sorted=False))
    for index, sequence in enumerate(sequences):
        alone = supernet(sequence.unsqueeze(1))[1]
        assert_close(h_n[:, index : index + 1], alone, rtol=1e-12, atol=1e-12)


def test_a_single_row_is_normalised_by_running_statistics():
    layout = Layout(nodes=1)
    supernet = Supernet(layout, layer(), LocalSoftmax(layout, layer(), generator()), generator(1))
    x = torch.randn(2, 1, 4, dtype=DOUBLE, generator=generator(2))
    in_training = supernet(x)[0]
    assert supernet.directions[0].statistics.running_mean.abs().sum() == 0.0
    assert_close(in_training, supernet.eval()(x)[0])


@pytest.mark.parametrize("engine", ["reference", "auto"])
def test_evaluation_normalises_by_the_batch_or_by_running_statistics(engine):
    x = torch.randn(3, 5, 4, dtype=DOUBLE, generator=generator(2))
    nets = {}
    for normalisation in ("batch", "running"):
        layout = Layout(nodes=2, normalisation=normalisation)
        relaxation = LocalSoftmax(layout, layer(), generator())
        nets[normalisation] = Supernet(layout, layer(), relaxation, generator(1), engine=engine)
    in_training = {name: net(x)[0] for name, net in nets.items()}
    assert_close(in_training["batch"], in_training["running"], rtol=0, atol=0)
    kept = nets["batch"].directions[0].statistics.running_mean.clone()
    in_evaluation = {name: net.eval()(x)[0] for name, net in nets.items()}
    assert_close(in_evaluation["batch"], in_training["batch"])
    assert_close(nets["batch"].directions[0].statistics.running_mean, kept, rtol=0, atol=0)


def test_running_statistics_by_hand():
    layout = Layout(nodes=1, normalisation="running")
    supernet = Supernet(layout, layer(), LocalSoftmax(layout, layer(), generator()), generator(1)).eval()
    with torch.no_grad():
        for parameter in supernet.parameters():
            parameter.zero_()
        supernet.directions[0].statistics.running_mean.fill_(1.0)
        supernet.directions[0].statistics.running_var.fill_(0.25 - 1e-5)
        output = supernet(torch.zeros(1, 5, 4, dtype=DOUBLE))[0]
    # All gates are half open, all products 0, all shares 0.2. N(s) = (s - 1) / 0.5, so s_0 = N(0) = -2, and
    # s_1 = N(0.8 * 0.5 * -2 + 0.2 * 0.5 * sigmoid(0)) = N(-0.75).
    assert_close(output, torch.full_like(output, -3.5))


def test_weights_are_drawn_from_the_generator_alone():
    layout, sizes = Layout(nodes=2), layer(weight_range=0.1)
    first, again, other = (
        Supernet(layout, sizes, LocalSoftmax(layout, sizes, generator(seed)), generator(seed))
        for seed in (3, 3, 4)
    )
    for (name, weight), same in zip(first.named_parameters(), again.parameters(), strict=True):
        assert torch.equal(weight, same)
        assert not torch.equal(weight, dict(other.named_parameters())[name])
    assert max(weight.abs().max() for weight in first.directions.parameters()) <= 0.1


def test_joint_softmax_sums_to_one_over_all_edges_into_a_node():
    layout = Layout(nodes=5)
    relaxation = JointSoftmax(layout, layer(), generator())
    with torch.no_grad():
        relaxation.alphas[CELL].copy_(wave((15, 5), scale=2.0))
    shares = relaxation()[CELL]
    for node in range(1, 6):
        rows = layout.rows(node)
        assert shares[rows.start : rows.stop].sum().item() == pytest.approx(1.0, rel=1e-12)
        exponents = relaxation.alphas[CELL][rows.start : rows.stop].exp()
        assert_close(shares[rows.start : rows.stop], exponents / exponents.sum())


def test_with_one_edge_a_node_joint_softmax_is_local():
    layout = Layout(nodes=1)
    joint, local = (kind(layout, layer(), generator(1)) for kind in (JointSoftmax, LocalSoftmax))
    assert_close(joint()[CELL], local()[CELL], rtol=1e-15, atol=0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"nodes": 0}, "nodes is 0; a cell has 1 to 100 nodes"),
        ({"operations": ("tanh", "relo")}, "unknown operation 'relo'"),
        ({"operations": ("none",)}, "nothing to choose"),
        ({"operations": ("tanh", "tanh")}, "names an operation twice"),
        ({"delay": 9}, "delay is 9"),
        ({"sharing": "all"}, "unknown sharing 'all'"),
        ({"normalisation": "layer"}, "unknown normalisation 'layer'"),
        ({"inter_weights": "lowrank:0"}, "inter_weights is 'lowrank:0'"),
    ],
)
def test_a_layout_refuses_what_is_out_of_range(options, message):
    with pytest.raises(CellzooError, match=message):
        Layout(**options)


def test_a_supernet_refuses_what_does_not_fit():
    layout = Layout(nodes=1, delay=1, inter_weights="diag")
    with pytest.raises(CellzooError, match="'diag' needs an input as wide as the state; they are 3 and 5"):
        layout.weight_shapes(3, 5)
    supernet = chosen_supernet(Layout(nodes=1), layer(3, 5), {})
    with pytest.raises(ValueError, match="input has width 4; input_size is 3"):
        supernet(torch.zeros(1, 1, 4, dtype=DOUBLE))
    with pytest.raises(ValueError, match="hx has shapes"):
        supernet(torch.zeros(1, 2, 3, dtype=DOUBLE), torch.zeros(1, 1, 5, dtype=DOUBLE))
    with pytest.raises(CellzooError, match="unknown engine 'fast'"):
        chosen_supernet(Layout(nodes=1), layer(), {}, engine="fast")
