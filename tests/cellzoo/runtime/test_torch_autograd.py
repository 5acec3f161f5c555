"""The torch engine as a differentiable function: graphs kept, differentiated twice, in part, under autocast."""

from __future__ import annotations

import gc
import weakref

import pytest
import torch
from engine_cases import Case, call, draw, results
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.checkpoint import checkpoint

import cellzoo
from cellzoo.errors import CellzooError
from cellzoo.runtime.reference import ReferenceRuntime
from cellzoo.runtime.torch_engine import TorchRuntime
from cellzoo.runtime.torch_engine.memory import BatchMemory

CASE = Case(5, 7, (4, 4, 3, 1), masked_h=True)
_PRODUCTS = ("aten::mm", "aten::addmm", "aten::addmm_")


class Operations(TorchDispatchMode):
    """Counts the operations that torch executes, and the numbers in memory that is asked for."""

    def __init__(self):
        super().__init__()
        self.counts = {}
        self.allocated = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        name = function._schema.name
        self.counts[name] = self.counts.get(name, 0) + 1
        if name in ("aten::empty", "aten::new_empty"):
            self.allocated += result.numel()
        return result

    @property
    def products(self):
        return sum(self.counts.get(name, 0) for name in _PRODUCTS)


def prepared(name="darts-v2", case=CASE):
    """A runtime, tensors with gradients, and the loss of a call."""
    cell = cellzoo.load(name)
    tensors = draw(cell, case)
    for leaf in tensors.leaves(case).values():
        leaf.requires_grad_()

    def loss(runtime):
        given = call(runtime, case, tensors)
        return sum((value * tensors.gradients[name]).sum() for name, value in given.items())

    return cell, tensors, loss


@pytest.mark.parametrize("name", ["lstm", "darts-v2"])
def test_a_retained_graph_gives_the_same_gradients_again(name):
    """The walk back overwrites what the forward walk left."""
    cell, tensors, loss = prepared(name)
    sources = list(tensors.leaves(CASE).values())
    expected = torch.autograd.grad(loss(ReferenceRuntime(cell)), sources)
    total = loss(TorchRuntime(cell))
    for keep in (True, True, False):
        found = torch.autograd.grad(total, sources, retain_graph=keep)
        for one, other in zip(found, expected, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)
    with pytest.raises(RuntimeError, match="second time"):
        torch.autograd.grad(total, sources)


def test_gradients_of_one_output_at_a_time():
    """What nobody gives a gradient for counts as zero."""
    cell, tensors, _ = prepared("lstm")
    sources = list(tensors.leaves(CASE).values())
    ours, theirs = (call(runtime(cell), CASE, tensors) for runtime in (TorchRuntime, ReferenceRuntime))
    for name, value in ours.items():
        given = tensors.gradients[name]
        found = torch.autograd.grad(value, sources, given, retain_graph=True)
        expected = torch.autograd.grad(theirs[name], sources, given, retain_graph=True, materialize_grads=True)
        for one, other in zip(found, expected, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("of", ["x", "h", "weight"])
def test_second_derivatives_name_the_engine_that_has_them(of):
    """Also where what comes in from above wants no gradient."""
    cell, tensors, _ = prepared("rnn")
    output = call(TorchRuntime(cell), CASE, tensors)["outputs"]
    leaf = next(leaf for name, leaf in tensors.leaves(CASE).items() if name.startswith(of))
    (gradient,) = torch.autograd.grad(output.sum(), leaf, create_graph=True)
    with pytest.raises(CellzooError, match='runtime="reference"'):
        gradient.square().sum().backward()


@pytest.mark.parametrize("of", ["outputs", "final h"])
def test_batched_gradients_name_the_engine_that_takes_them(of):
    """Whichever result they come from; one gradient at a time still works after."""
    cell, tensors, _ = prepared("rnn")
    sources = list(tensors.leaves(CASE).values())
    ours, theirs = (call(runtime(cell), CASE, tensors)[of] for runtime in (TorchRuntime, ReferenceRuntime))
    batch = torch.stack([torch.ones_like(ours), 2 * torch.ones_like(ours)])
    expected = torch.autograd.grad(theirs, sources, batch, is_grads_batched=True)
    with pytest.raises(CellzooError, match='runtime="reference" for batched gradients'):
        torch.autograd.grad(ours, sources, batch, is_grads_batched=True, retain_graph=True)
    for one, other in zip(torch.autograd.grad(ours, sources, batch[1]), expected, strict=True):
        torch.testing.assert_close(one, other[1], rtol=1e-12, atol=1e-12)


def test_gradients_in_vmap_name_the_engine_that_takes_them():
    cell, tensors, _ = prepared("rnn")
    for runtime in (ReferenceRuntime(cell), TorchRuntime(cell)):
        output = call(runtime, CASE, tensors)["outputs"]

        def gradient(given, output=output):
            return torch.autograd.grad(output, tensors.inputs, given, retain_graph=True)[0]

        batch = torch.stack([torch.ones_like(output), 2 * torch.ones_like(output)])
        if isinstance(runtime, ReferenceRuntime):
            torch.testing.assert_close(torch.vmap(gradient)(batch)[1], gradient(batch[1]))
        else:
            with pytest.raises(CellzooError, match='runtime="reference" for batched gradients'):
                torch.vmap(gradient)(batch)


def test_a_vectorised_jacobian_names_the_engine_that_gives_it():
    cell = cellzoo.load("lstm")
    tensors = draw(cell, CASE)
    states, weights = list(tensors.states.values()), tensors.weights
    jacobians = []
    for engine, vectorize in ((TorchRuntime, False), (ReferenceRuntime, True)):
        runtime = engine(cell)

        def outputs(x, runtime=runtime):
            return runtime(x, CASE.batch_sizes, states, weights)[0]

        jacobians.append(torch.autograd.functional.jacobian(outputs, tensors.inputs, vectorize=vectorize))
        if engine is TorchRuntime:
            with pytest.raises(CellzooError, match='runtime="reference"'):
                torch.autograd.functional.jacobian(outputs, tensors.inputs, vectorize=True)
    torch.testing.assert_close(jacobians[0], jacobians[1], rtol=1e-12, atol=1e-12)


def test_gradients_with_a_graph_are_right_though_it_leads_nowhere():
    cell, tensors, loss = prepared()
    sources = list(tensors.leaves(CASE).values())
    expected = torch.autograd.grad(loss(ReferenceRuntime(cell)), sources)
    found = torch.autograd.grad(loss(TorchRuntime(cell)), sources, create_graph=True)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one.detach(), other, rtol=1e-12, atol=1e-12)


def test_a_mask_that_wants_a_gradient_is_refused():
    cell = cellzoo.load("lstm")
    tensors = draw(cell, CASE)
    tensors.mask_h.requires_grad_()
    with pytest.raises(CellzooError, match="masks"):
        call(TorchRuntime(cell), CASE, tensors)


def test_weights_changed_before_the_walk_back_are_noticed():
    _, tensors, loss = prepared()
    total = loss(TorchRuntime(cellzoo.load("darts-v2")))
    with torch.no_grad():
        tensors.weights["c0_x"].add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        total.backward()


def test_results_belong_to_the_caller():
    """Changing them in place harms neither the walk back nor the next call."""
    cell, tensors, _ = prepared()
    runtime, sources = TorchRuntime(cell), list(tensors.leaves(CASE).values())
    output = call(runtime, CASE, tensors)["outputs"]
    expected = torch.autograd.grad((output * 2).sum(), sources)
    output = call(runtime, CASE, tensors)["outputs"]
    found = torch.autograd.grad(output.mul_(2).sum(), sources)
    for one, other in zip(found, expected, strict=True):
        assert torch.equal(one, other)


def test_two_calls_before_their_walks_back():
    cell, tensors, loss = prepared("lstm")
    runtime, sources = TorchRuntime(cell), list(tensors.leaves(CASE).values())
    expected = torch.autograd.grad(loss(ReferenceRuntime(cell)), sources)
    for total in [loss(runtime), loss(runtime)][::-1]:
        for one, other in zip(torch.autograd.grad(total, sources), expected, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", ["lstm", "darts-v2", "enas"])
def test_gradients_are_those_of_finite_differences(name):
    cell = cellzoo.load(name)
    case = Case(3, 3, (2, 1), masked_x=True)
    tensors = draw(cell, case)
    leaves = list(tensors.leaves(case).values())
    for leaf in leaves:
        leaf.requires_grad_()
    assert torch.autograd.gradcheck(
        lambda *_: tuple(call(TorchRuntime(cell), case, tensors).values()), leaves, fast_mode=True
    )


@pytest.mark.parametrize("reentrant", [False, True])
def test_checkpoints(reentrant):
    """The forward walk again in the backward pass, which drops what it keeps twice over."""
    cell, tensors, loss = prepared("lstm")
    runtime, sources = TorchRuntime(cell), list(tensors.leaves(CASE).values())
    expected = torch.autograd.grad(loss(runtime), sources)

    def total(*leaves):
        return loss(runtime)

    checkpoint(total, *sources, use_reentrant=reentrant).backward()
    for leaf, gradient in zip(sources, expected, strict=True):
        torch.testing.assert_close(leaf.grad, gradient, rtol=1e-12, atol=1e-12)


def test_products_are_few_and_large():
    """An LSTM: one product for x, one a step, the same backward, and one for each side of the weights."""
    cell = cellzoo.load("lstm")
    case = Case(5, 7, (4,) * 6)
    tensors = draw(cell, case)
    for leaf in tensors.leaves(case).values():
        leaf.requires_grad_()
    with Operations() as forward:
        output = call(TorchRuntime(cell), case, tensors)["outputs"]
    assert forward.products == 1 + 6
    with Operations() as backward:
        output.sum().backward()
    assert backward.products == 6 + 1 + 2


def test_what_reads_one_value_is_one_product():
    """DARTS-V2 has 9 nodes with 18 matrices, which read 6 values, h among them, and x."""
    cell = cellzoo.load("darts-v2")
    read = {node.inputs[-1] for node in cell.live_nodes if node.op == "linear"}
    assert len(read) == 6
    case = Case(5, 5, (4,) * 6)
    tensors = draw(cell, case)
    for leaf in tensors.leaves(case).values():
        leaf.requires_grad_()
    with Operations() as forward:
        output = call(TorchRuntime(cell), case, tensors)["outputs"]
    with Operations() as backward:
        output.sum().backward()
    assert forward.products == 1 + 6 * len(read)
    assert backward.products == 6 * len(read) + 1 + (len(read) + 1)


@pytest.mark.parametrize("frozen", ["x", "states", "weights", "bias"])
def test_nothing_is_computed_for_what_wants_no_gradient(frozen):
    cell, tensors, loss = prepared("lstm")
    leaves = tensors.leaves(CASE)
    without = {
        "x": ["x"],
        "states": list(tensors.states),
        "weights": [name for name, leaf in leaves.items() if name.startswith("weight") and leaf.dim() == 2],
        "bias": [name for name, leaf in leaves.items() if name.startswith("weight") and leaf.dim() == 1],
    }[frozen]
    assert without
    total = loss(TorchRuntime(cell))
    with Operations() as all_of_it:
        expected = dict(zip(leaves, torch.autograd.grad(total, list(leaves.values())), strict=True))
    for name in without:
        leaves[name].requires_grad_(False)
    rest = {name: leaf for name, leaf in leaves.items() if leaf.requires_grad}
    total = loss(TorchRuntime(cell))
    with Operations() as part:
        found = dict(zip(rest, torch.autograd.grad(total, list(rest.values())), strict=True))
    for name, gradient in found.items():
        torch.testing.assert_close(gradient, expected[name], rtol=1e-12, atol=1e-12)
    fewer = {"x": 1, "states": 0, "weights": 2, "bias": 0}[frozen]
    assert part.products == all_of_it.products - fewer
    if frozen == "bias":
        assert all_of_it.counts["aten::sum"] - part.counts.get("aten::sum", 0) >= 4


def test_inference_keeps_no_step():
    """More steps take the memory of the outputs and of x's part of gate and candidate, and no more."""
    cell = cellzoo.load("darts-v2")
    allocated = []
    for steps in (10, 100):
        case = Case(5, 5, (4,) * steps)
        tensors = draw(cell, case)
        with torch.no_grad(), Operations() as operations:
            call(TorchRuntime(cell), case, tensors)
        allocated.append(operations.allocated)
    assert allocated[1] - allocated[0] == (400 - 40) * (5 + 2 * 5)


def test_memory_goes_with_the_walk_back_or_with_the_graph(monkeypatch):
    made = []
    init = BatchMemory.__init__

    def remember(self, *args):
        init(self, *args)
        made.append(weakref.ref(self))

    monkeypatch.setattr(BatchMemory, "__init__", remember)
    cell, _, loss = prepared()
    gc.collect()
    gc.disable()
    try:
        total = loss(TorchRuntime(cell))
        assert made[-1]() is not None
        total.backward(retain_graph=True)
        assert made[-1]() is None
        total = loss(TorchRuntime(cell))
        assert made[-1]() is not None
        del total
        assert made[-1]() is None
        assert len(made) == 2
    finally:
        gc.enable()


@pytest.mark.parametrize("batch_sizes", [(1,), (4, 4), (4, 3, 3, 1)], ids=str)
@pytest.mark.parametrize("name", ["rnn", "lstm", "darts-v2", "enas", "cifg", "nbnlp-10006"])
def test_autocast(name, batch_sizes):
    """Dtypes of the reference under autocast, and numbers of single precision."""
    cell = cellzoo.load(name)
    case = Case(8, 8, batch_sizes, masked_x=True, masked_h=True, dtype=torch.float32)
    tensors = draw(cell, case)
    exact = results(ReferenceRuntime(cell), case, tensors, torch.float64)
    own = tensors.map(lambda tensor: tensor.detach().float())
    leaves = own.leaves(case)
    for leaf in leaves.values():
        leaf.requires_grad_()
    found = {}
    for runtime in (ReferenceRuntime(cell), TorchRuntime(cell)):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            given = call(runtime, case, own)
        loss = sum((value * own.gradients[key]).sum() for key, value in given.items() if value.requires_grad)
        gradients = torch.autograd.grad(loss, list(leaves.values()), materialize_grads=True, allow_unused=True)
        found[type(runtime)] = given, dict(zip(leaves, gradients, strict=True))
    theirs, ours = found.values()
    assert {key: value.dtype for key, value in ours[0].items()} == {
        key: value.dtype for key, value in theirs[0].items()
    }
    for key, value in ours[0].items():
        bound = {torch.float32: 1e-5, torch.bfloat16: 2**-8}[value.dtype]
        scale = max(1.0, exact[key].abs().max().item())
        assert (value.double() - exact[key]).abs().max() <= bound * scale, key
        torch.testing.assert_close(value, theirs[0][key], rtol=0.1, atol=0.1)
    for key, gradient in ours[1].items():
        wanted = exact[f"gradient of {key}"]
        assert gradient.dtype == torch.float32
        # What comes in was rounded to bfloat16 where the outputs were.
        assert (gradient.double() - wanted).norm() <= 2**-6 * (wanted.norm() + 1), key


def test_autocast_leaves_double_precision_alone():
    case = Case(4, 4)
    cell, tensors, _ = prepared("gru", case)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        ours, theirs = (call(runtime(cell), case, tensors) for runtime in (TorchRuntime, ReferenceRuntime))
    for key, value in ours.items():
        assert value.dtype == theirs[key].dtype == torch.float64
        torch.testing.assert_close(value, theirs[key], rtol=1e-12, atol=1e-12)


def test_half_precision_inputs_and_single_precision_weights_under_autocast():
    """What a layer above another one gets."""
    cell, case = cellzoo.load("rnn"), Case(4, 4, dtype=torch.float32)
    tensors = draw(cell, case).map(torch.Tensor.float)
    tensors.inputs.requires_grad_()
    half = tensors.inputs.bfloat16()
    dtypes = []
    for runtime in (TorchRuntime(cell), ReferenceRuntime(cell)):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            states = [state.bfloat16() for state in tensors.states.values()]
            output, (final,) = runtime(half, case.batch_sizes, states, tensors.weights)
        (gradient,) = torch.autograd.grad(output.float().sum(), tensors.inputs, retain_graph=True)
        dtypes.append((output.dtype, final.dtype, gradient.dtype))
    assert dtypes[0] == dtypes[1]
