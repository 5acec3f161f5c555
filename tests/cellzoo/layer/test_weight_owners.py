"""Utilities that hook, replace or move the weights of a module, held against torch.nn.RNN and LSTM."""

from __future__ import annotations

import copy
import io
from functools import partial

import pytest
import torch
from accelerate import cpu_offload, disk_offload
from torch import nn
from torch.nn.utils import parametrizations, prune, spectral_norm, weight_norm
from torch_weights import copy_weights, mapped, suffixes

import cellzoo
from cellzoo.cells.cell import Cell
from cellzoo.cells.graph import Node, State
from cellzoo.export import to_onnx, to_torch_export
from cellzoo.export.check import onnx_error
from cellzoo.export.weights import weights_in_use
from cellzoo.runtime import using
from cellzoo.runtime.native import binding

E, H, B, T = 3, 4, 2, 5
DOUBLE = torch.float64
ENGINES = ["auto", "reference", "torch", *(["native"] if binding.is_available() else [])]
MASK = torch.rand(H, H, generator=torch.Generator().manual_seed(8)) < 0.5

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*is deprecated"),
    pytest.mark.filterwarnings("ignore:.*weight_norm.*"),
]

UTILITIES = {
    "weight norm": weight_norm,
    "spectral norm": spectral_norm,
    "weight norm as a parametrisation": parametrizations.weight_norm,
    # Each reading of the weight is a step towards the norm, and torch reads it more often: take it to its end.
    "spectral norm as a parametrisation": partial(parametrizations.spectral_norm, n_power_iterations=100),
    "orthogonal": parametrizations.orthogonal,
    "pruning": partial(prune.custom_from_mask, mask=MASK),
    "pruning by size": partial(prune.l1_unstructured, amount=5),
    "pruning of rows": partial(prune.ln_structured, amount=1, n=2, dim=0),
}


def numbers(*shape, seed=0):
    return torch.randn(*shape, dtype=DOUBLE, generator=torch.Generator().manual_seed(seed))


def pair(runtime="auto", **options):
    """torch's layer and ours, whose recurrent matrix is one parameter in both."""
    torch.manual_seed(3)
    theirs = nn.RNN(E, H, dtype=DOUBLE, **options)
    ours = cellzoo.rnn("rnn", E, H, dtype=DOUBLE, runtime=runtime, **options)
    copy_weights(theirs, ours)
    return theirs, ours


def hook(utility, theirs, ours):
    torch.manual_seed(4)
    UTILITIES[utility](theirs, "weight_hh_l0")
    torch.manual_seed(4)
    UTILITIES[utility](ours.directions[0], "h_next_1_1")


def losses(layer, steps=3, rate=0.1):
    """Train the matrices a few steps; of biases torch has two a gate, which learn twice as fast."""
    optimizer = torch.optim.SGD([weight for weight in layer.parameters() if weight.dim() > 1], rate)
    seen = []
    for _ in range(steps):
        optimizer.zero_grad()
        loss = (layer(numbers(T, B, E))[0] - numbers(T, B, H, seed=1)).square().mean()
        loss.backward()
        optimizer.step()
        seen.append(loss.item())
    return seen


@pytest.mark.parametrize("runtime", ENGINES)
@pytest.mark.parametrize("utility", UTILITIES)
def test_a_hooked_layer_trains_as_torchs_does(utility, runtime):
    theirs, ours = pair(runtime)
    plain = losses(copy.deepcopy(ours))
    hook(utility, theirs, ours)
    expected = losses(theirs)
    assert losses(ours) == pytest.approx(expected, rel=1e-10)
    assert expected != pytest.approx(plain, rel=1e-6)
    outputs = [layer.eval()(numbers(T, B, E))[0] for layer in (ours, theirs)]
    torch.testing.assert_close(*outputs, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("utility", UTILITIES)
def test_a_hooked_layer_takes_a_state_dict(utility):
    """What is loaded is what runs, not what was computed from the weights before."""
    theirs, ours = pair()
    hook(utility, theirs, ours)
    losses(ours, steps=2)
    torch.manual_seed(9)
    fresh = cellzoo.rnn("rnn", E, H, dtype=DOUBLE)
    UTILITIES[utility](fresh.directions[0], "h_next_1_1")
    fresh.load_state_dict(ours.state_dict())
    x = numbers(T, B, E)
    torch.testing.assert_close(fresh.eval()(x)[0], ours.eval()(x)[0], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("runtime", ENGINES)
def test_weight_norm_of_every_matrix_equals_torchs_lstm(runtime):
    """Norms of rows are the same whether gates are stacked or not."""
    torch.manual_seed(3)
    theirs = nn.LSTM(E, H, 2, bidirectional=True, dtype=DOUBLE)
    ours = cellzoo.rnn("lstm", E, H, 2, bidirectional=True, dtype=DOUBLE, runtime=runtime)
    copy_weights(theirs, ours)
    for direction, suffix in zip(ours.directions, suffixes(theirs), strict=True):
        for name, weight in direction.weights.items():
            if weight.dim() == 2:
                parametrizations.weight_norm(direction, name)
        for kind in ("ih", "hh"):
            parametrizations.weight_norm(theirs, f"weight_{kind}_{suffix}")
    for layer in (theirs, ours):
        layer(numbers(T, B, E))[0].square().sum().backward()
    magnitudes = {
        name: parameter.grad
        for name, parameter in theirs.named_parameters()
        if name.endswith("original0") and "l0." in name
    }
    found = torch.cat(
        [ours.directions[0].parametrizations[f"{gate}_1_1"].original0.grad for gate in ("i", "f", "g", "o")]
    )
    expected = magnitudes["parametrizations.weight_hh_l0.original0"]
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-12)


def test_removing_a_utility_leaves_what_it_made():
    theirs, ours = pair()
    hook("pruning", theirs, ours)
    losses(ours)
    expected = ours(numbers(T, B, E))[0]
    prune.remove(ours.directions[0], "h_next_1_1")
    torch.testing.assert_close(ours(numbers(T, B, E))[0], expected, rtol=1e-12, atol=1e-12)
    assert not ours.directions[0].weights["h_next_1_1"][~MASK].any()


@pytest.mark.parametrize("utility", ["weight norm", "spectral norm", "pruning"])
def test_exports_hold_what_runs(utility, tmp_path):
    rnn = cellzoo.rnn("rnn", E, H)
    UTILITIES[utility](rnn.directions[0], "h_next_1_1")
    optimizer = torch.optim.SGD(rnn.parameters(), 0.5)
    rnn(torch.ones(T, B, E))[0].sum().backward()
    optimizer.step()
    rnn.eval()
    to_onnx(rnn, tmp_path / "layer.onnx", steps=2)
    assert onnx_error(rnn, tmp_path / "layer.onnx", steps=2) < 1e-5
    x, h = torch.ones(2, B, E), torch.zeros(1, B, H)
    program = to_torch_export(rnn, steps=2).module()
    torch.testing.assert_close(program(x, h)[0], rnn(x, h)[0], rtol=1e-5, atol=1e-5)


def test_weights_are_exported_whatever_engine_is_in_use():
    direction = cellzoo.rnn("lstm", E, H, zoneout=0.1).direction(0)
    with using("reference"):
        found = weights_in_use(direction)
    torch.testing.assert_close(found, {name: value.detach() for name, value in direction.weights.items()})
    assert direction.training


@pytest.mark.parametrize("runtime", ENGINES)
@pytest.mark.parametrize("offload", ["cpu", "disk"])
def test_offloaded_layers_give_the_same(runtime, offload, tmp_path):
    rnn = cellzoo.rnn("darts-v2", E, H, 2, bidirectional=True, dtype=DOUBLE, runtime=runtime)
    x = numbers(T, B, E)
    with torch.no_grad():
        expected = rnn(x)
        moved = cpu_offload(rnn) if offload == "cpu" else disk_offload(rnn, tmp_path)
        assert {parameter.device.type for parameter in moved.parameters()} == {"meta"}
        for found, value in zip(moved(x), expected, strict=True):
            torch.testing.assert_close(found, value, rtol=1e-12, atol=1e-12)


def test_a_replica_holds_plain_tensors_and_runs():
    """What torch.nn.DataParallel makes of a module on each device."""
    rnn = cellzoo.rnn("lstm", E, H, dtype=DOUBLE)
    modules = list(rnn.modules())
    replicas = [module._replicate_for_data_parallel() for module in modules]
    places = {id(module): index for index, module in enumerate(modules)}
    for module, replica in zip(modules, replicas, strict=True):
        for name, child in module._modules.items():
            replica._modules[name] = replicas[places[id(child)]]
        for name, parameter in module._parameters.items():
            setattr(replica, name, parameter.clone())
    x = numbers(T, B, E)
    output = replicas[0](x)[0]
    torch.testing.assert_close(output, rnn(x)[0], rtol=1e-12, atol=1e-12)
    output.sum().backward()
    assert all(parameter.grad is not None for parameter in rnn.parameters())


def test_views_of_one_flat_parameter_run_in_place_of_the_weights():
    """What fully sharded training puts where the parameters were, for the length of a pass."""
    rnn = cellzoo.rnn("gru", E, H, dtype=DOUBLE)
    x = numbers(T, B, E)
    expected = rnn(x)[0]
    places = [
        (module, name, parameter)
        for module in rnn.modules()
        for name, parameter in module.named_parameters(recurse=False)
    ]
    flat = nn.Parameter(torch.cat([parameter.detach().reshape(-1) for _, _, parameter in places]))
    views = flat.split([parameter.numel() for _, _, parameter in places])
    for (module, name, parameter), view in zip(places, views, strict=True):
        delattr(module, name)
        setattr(module, name, view.view_as(parameter))
    torch.testing.assert_close(rnn(x)[0], expected, rtol=1e-12, atol=1e-12)
    rnn(x)[0].sum().backward()
    assert flat.grad.abs().min() > 0


@pytest.mark.parametrize("change", [copy.deepcopy, lambda rnn: rnn.float(), lambda rnn: rnn.to(torch.bfloat16)])
def test_parametrised_layers_are_copied_and_moved(change):
    _, rnn = pair()
    parametrizations.weight_norm(rnn.directions[0], "h_next_1_1")
    expected = rnn(numbers(T, B, E))[0]
    changed = change(rnn)
    dtype = next(changed.parameters()).dtype
    found = changed(numbers(T, B, E).to(dtype))[0]
    assert found.dtype == dtype
    torch.testing.assert_close(found.double(), expected, rtol=0.05, atol=0.05)


def former_names(rnn):
    """A state dict as it was when a ParameterDict owned the weights."""
    return {
        f"directions.{index}.weights.{name}": value.clone()
        for index, direction in enumerate(rnn.directions)
        for name, value in direction.weights.items()
    }


@pytest.mark.parametrize("name", ["lstm", "darts-v2"])
def test_files_from_before_load(name):
    rnn = cellzoo.rnn(name, E, H, 2, bidirectional=True)
    other = cellzoo.rnn(name, E, H, 2, bidirectional=True)
    saved = io.BytesIO()
    torch.save(former_names(rnn), saved)
    saved.seek(0)
    other.load_state_dict(torch.load(saved))
    for ours, theirs in zip(rnn.parameters(), other.parameters(), strict=True):
        assert torch.equal(ours, theirs)


def test_what_is_wrong_in_a_file_from_before_is_still_named():
    rnn = cellzoo.rnn("rnn", E, H)
    state = former_names(rnn)
    state["directions.0.weights.other"] = torch.zeros(1)
    del state["directions.0.weights.h_next_1_b"]
    with pytest.raises(RuntimeError, match=r'(?s)Missing .*"directions.0.h_next_1_b".*Unexpected .*other'):
        rnn.load_state_dict(state)


def test_weights_may_have_names_that_a_module_has():
    names = ("weights", "engine", "keys", "half", "forward", "training", "pop", "T_destination")
    nodes, source = [], "x"
    for index, name in enumerate(names):
        nodes.append(Node(f"n{index}", "linear", (source,), (name,), width="hidden"))
        source = f"n{index}"
    cell = Cell((State("h", source),), tuple(nodes), source)
    rnn = cellzoo.CellRNN(cell, E, H, dtype=DOUBLE)
    assert set(rnn.directions[0].weights) == set(names)
    other = cellzoo.CellRNN(cell, E, H, dtype=DOUBLE)
    former = {
        f"directions.0.weights.{name}" + ("'" if hasattr(nn.ParameterDict, name) else ""): value
        for name, value in rnn.directions[0].weights.items()
    }
    other.load_state_dict(former)
    x = numbers(T, B, E)
    torch.testing.assert_close(other(x)[0], rnn(x)[0], rtol=1e-12, atol=1e-12)


def test_all_weights_are_those_that_run():
    theirs, ours = pair()
    hook("weight norm", theirs, ours)
    losses(ours)
    ours(numbers(T, B, E))
    expected = dict(mapped(pair()[0], "rnn", "l0", "sum"))
    assert [tuple(w.shape) for w in ours.all_weights[0]] == [tuple(w.shape) for w in expected.values()]
